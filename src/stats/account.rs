//! What is known of one packet. It is filled while the packet is answered, and posted to the counters when
//! its fate is sealed: a cap on errors has its say after the answer.

use super::client::Client;
use super::counters::{
    Counters, DROPPED, PROBES, QUERIES, QUERIES_BY_ADDRESS, QUERIES_BY_CLASS, QUERIES_BY_OPCODE,
    QUERIES_BY_TYPE, QUERIES_BY_ZONE, QUERIES_COOKIE, QUERIES_DO, QUERIES_EDNS, QUERIES_NSID,
    QUERIES_OVERSIZE, QUERIES_RD, QUERY_BYTES, QUERY_SIZES, REPLY_BYTES, REPLY_SIZES, RESPONSES,
    RESPONSES_BY_TRANSPORT, RULE_HITS, RULE_WOULD, SERVER_COOKIES, TRUNCATED, UPDATES,
};
use super::kinds::Kind;
use super::labels::{
    ADDRESS, DROPPED_UPDATE, QUERY_BIN, RCODE_BADCOOKIE, RCODE_BADVERS, REPLY_BIN, RULE, SERVICE_OTHER,
    SIZE_BIN_LEN, class_value, cookie_value, rcode_value, type_value,
};
use crate::dns::consts::{flag, opcode, rcode};
use crate::dns::cookie::Standing;
use crate::limits::QUERY_LEN_MAX;

/// EDNS of a query.
#[derive(Clone, Copy, Debug)]
pub struct Edns {
    /// Its version.
    pub version: u8,
    /// The DO bit.
    pub dnssec_ok: bool,
    /// NSID was asked for.
    pub nsid: bool,
    /// Bytes of the cookie, if there was one.
    pub cookie: Option<usize>,
}

/// How a zone is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneLabels {
    /// A value of [`SERVICE`](super::labels::SERVICE).
    pub service: u8,
    /// A value of [`ZONE`](super::labels::ZONE).
    pub zone: u8,
}

/// A bit for each value of [`RULE`].
pub type RuleSet = [u64; RULE.len.div_ceil(64)];

/// What rules have said of a query.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ruled {
    /// Those that were applied to it.
    pub hits: RuleSet,
    /// Those that only count what they would have done.
    pub would: RuleSet,
    /// What it is tagged with, a bit for each tag.
    pub tags: u64,
    /// A rule, and the upstream that it sends a copy to.
    pub divert: Option<(u16, u16)>,
    /// A rule wants it traced.
    pub is_traced: bool,
    /// The bits of the response code that OPT has, where somebody else than the node has said it.
    pub extended_rcode: u8,
}

impl Ruled {
    /// Notes a rule that matched, by its value of [`RULE`].
    pub fn note(&mut self, rule: usize, is_dry_run: bool) {
        let set = if is_dry_run { &mut self.would } else { &mut self.hits };
        if let Some(word) = set.get_mut(rule / 64) {
            *word |= 1 << (rule % 64);
        }
    }

    #[cold]
    fn post(&self, counters: &Counters) {
        for (set, family) in [(&self.hits, RULE_HITS), (&self.would, RULE_WOULD)] {
            for (at, word) in set.iter().enumerate() {
                let mut left = *word;
                while left != 0 {
                    counters.count(family.at([at * 64 + left.trailing_zeros() as usize]));
                    left &= left - 1;
                }
            }
        }
    }
}

/// What is known of one packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    /// A value of [`TRANSPORT`](super::labels::TRANSPORT).
    pub transport: usize,
    /// A value of [`FAMILY`](super::labels::FAMILY).
    pub family: usize,
    /// A value of [`ADDRESS`].
    pub listener: usize,
    /// Bytes of the query.
    pub len: usize,
    /// It is a usual query (see [`Kind`]), without a cookie, for a zone of ours, and is answered: of what can
    /// be said of it below, zone, question and EDNS are, and nothing else.
    pub is_usual: bool,
    /// It came from the address that it was sent to: a probe of this node, which is not what the public asks.
    pub is_probe: bool,
    /// It was not a query, by a value of [`DROPPED`](super::labels::DROPPED).
    pub dropped: Option<usize>,
    /// The operation code.
    pub opcode: u8,
    /// Recursion is desired.
    pub recursion_desired: bool,
    /// Type and class, once a question was parsed.
    pub question: Option<(u16, u16)>,
    /// EDNS, once it was parsed.
    pub edns: Option<Edns>,
    /// What the server's part of the cookie was, where cookies are looked at.
    pub cookie: Option<Standing>,
    /// A query of a network over its rate: a value of [`OVER_LIMIT`](super::labels::OVER_LIMIT). Who has the
    /// limit counts it.
    pub over_limit: Option<u8>,
    /// How the zone is counted, once one was found.
    pub zone: Option<ZoneLabels>,
    /// What rules have said of it, where any was asked.
    pub ruled: Option<Ruled>,
    /// What is known of the client, where it sent a subnet or its answer depends on it.
    pub client: Option<Client>,
}

impl Account {
    /// Counts the packet and its reply; whether it was a query of somebody else's. A probe is counted as that
    /// alone. Without a reply a packet is counted as dropped alone, but for an update, which is a query that
    /// the configuration leaves unanswered.
    #[inline]
    pub fn post(&self, reply: Option<&[u8]>, counters: &Counters) -> bool {
        if self.is_usual
            && let (Some(reply), Some(zone), Some((qtype, _))) = (reply, self.zone, self.question)
        {
            self.post_usual(reply, zone, qtype, counters);
            return true;
        }
        match &self.ruled {
            None => self.post_with::<false>(reply, counters),
            Some(ruled) => self.post_ruled(ruled, reply, counters),
        }
    }

    /// The same for a usual query.
    #[inline(always)]
    fn post_usual(&self, reply: &[u8], zone: ZoneLabels, qtype: u16, counters: &Counters) {
        let (transport, edns) = (self.transport & 1, self.edns.as_ref());
        counters.count_kind(Kind {
            service: usize::from(zone.service),
            transport,
            family: self.family & 1,
            recursion_desired: self.recursion_desired,
            edns: edns.map_or(0, |edns| 1 + usize::from(edns.dnssec_ok)),
            cookie: 0,
            is_nxdomain: reply.get(3).is_some_and(|flags| flags & 0xF == rcode::NXDOMAIN),
        });
        counters.count(QUERIES_BY_ZONE.at([usize::from(zone.zone)]));
        counters.count(QUERIES_BY_ADDRESS.at([self.listener & (ADDRESS.len - 1)]));
        counters.count(QUERIES_BY_TYPE.at([type_value(qtype)]));
        counters.add(QUERY_BYTES.at([transport]), self.len as u32);
        counters.count(QUERY_SIZES.at([transport, (self.len / SIZE_BIN_LEN).min(QUERY_BIN.len - 1)]));
        counters.add(REPLY_BYTES.at([transport]), reply.len() as u32);
        counters.count(REPLY_SIZES.at([transport, (reply.len() / SIZE_BIN_LEN).min(REPLY_BIN.len - 1)]));
    }

    /// The same for a query that rules were asked about.
    #[cold]
    #[inline(never)]
    fn post_ruled(&self, ruled: &Ruled, reply: Option<&[u8]>, counters: &Counters) -> bool {
        ruled.post(counters);
        self.post_with::<true>(reply, counters)
    }

    #[inline(always)]
    fn post_with<const IS_RULED: bool>(&self, reply: Option<&[u8]>, counters: &Counters) -> bool {
        if let Some(reason) = self.dropped {
            counters.count(DROPPED.at([reason]));
            return false;
        }
        if self.is_probe {
            counters.count(PROBES.at([self.transport, self.family]));
            return false;
        }
        self.post_query(counters);
        match reply {
            Some(reply) => self.post_reply::<IS_RULED>(reply, counters),
            None => counters.count(DROPPED.at([DROPPED_UPDATE])),
        }
        true
    }

    #[inline]
    fn post_query(&self, counters: &Counters) {
        let Self { transport, family, .. } = *self;
        let service = self.zone.map_or(SERVICE_OTHER, |zone| usize::from(zone.service));
        counters.count(QUERIES.at([service, transport, family]));
        counters.count(QUERIES_BY_ADDRESS.at([self.listener]));
        counters.count(QUERIES_BY_OPCODE.at([usize::from(self.opcode)]));
        counters.add(QUERY_BYTES.at([transport]), self.len as u32);
        counters.count(QUERY_SIZES.at([transport, (self.len / SIZE_BIN_LEN).min(QUERY_BIN.len - 1)]));
        counters.add(QUERIES_OVERSIZE.at([]), u32::from(self.len > QUERY_LEN_MAX));
        counters.add(QUERIES_RD.at([]), u32::from(self.recursion_desired));
        if let Some(ZoneLabels { zone, .. }) = self.zone {
            let family = if self.opcode == opcode::UPDATE { UPDATES } else { QUERIES_BY_ZONE };
            counters.count(family.at([usize::from(zone)]));
        }
        if let Some((qtype, qclass)) = self.question {
            counters.count(QUERIES_BY_TYPE.at([type_value(qtype)]));
            counters.count(QUERIES_BY_CLASS.at([class_value(qclass)]));
        }
        if let Some(edns) = self.edns {
            counters.count(QUERIES_EDNS.at([usize::from(edns.version > 0)]));
            if edns.dnssec_ok {
                counters.count(QUERIES_DO.at([]));
            }
            if edns.nsid {
                counters.count(QUERIES_NSID.at([]));
            }
            if let Some(len) = edns.cookie {
                counters.count(QUERIES_COOKIE.at([cookie_value(len)]));
                if let Some(standing) = self.cookie {
                    counters.count(SERVER_COOKIES.at([standing as usize]));
                }
            }
        }
        if let Some(client) = &self.client {
            client.post(counters);
        }
    }

    /// The value of [`RCODE`](super::labels::RCODE) of a reply whose header has these flags. What the node
    /// says by itself and only OPT has whole is known by why it says so.
    #[inline]
    fn rcode<const IS_RULED: bool>(&self, flags: u16) -> usize {
        let ruled = self.ruled.as_ref().filter(|_| IS_RULED);
        let extended = ruled.map_or(0, |ruled| u16::from(ruled.extended_rcode));
        match flags & 0xF {
            low if extended != 0 => rcode_value(extended << 4 | low),
            // Of BADVERS: a reply to no version that we speak.
            0 if self.edns.is_some_and(|edns| edns.version > 0) => RCODE_BADVERS,
            // Of BADCOOKIE: YXRRSET, which has the same bits, is for rules to say.
            7 if !IS_RULED => RCODE_BADCOOKIE,
            low => rcode_value(low),
        }
    }

    #[inline]
    fn post_reply<const IS_RULED: bool>(&self, reply: &[u8], counters: &Counters) {
        let Self { transport, family, .. } = *self;
        let flags = reply.get(2..4).map_or(0, |flags| u16::from_be_bytes([flags[0], flags[1]]));
        counters.count(RESPONSES.at([self.rcode::<IS_RULED>(flags)]));
        counters.count(RESPONSES_BY_TRANSPORT.at([transport, family]));
        counters.add(REPLY_BYTES.at([transport]), reply.len() as u32);
        counters.count(REPLY_SIZES.at([transport, (reply.len() / SIZE_BIN_LEN).min(REPLY_BIN.len - 1)]));
        if flags & flag::TC != 0 {
            counters.count(TRUNCATED.at([]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::consts::rcode;
    use crate::stats::counters::Totals;

    #[test]
    fn a_reply_is_counted_by_its_whole_response_code() {
        let newer = Some(Edns { version: 1, dnssec_ok: false, nsid: false, cookie: None });
        let by_rule = Some(Ruled::default());
        let ruled = Some(Ruled { extended_rcode: 1, ..Ruled::default() });
        let replies = [
            (Account::default(), 2, 2),
            (Account::default(), 7, rcode::BADCOOKIE),
            (Account { ruled: by_rule, ..Account::default() }, 7, 7),
            (Account { edns: newer, ..Account::default() }, 0, rcode::BADVERS),
            (Account { ruled, ..Account::default() }, 7, rcode::BADCOOKIE),
            (Account { ruled, ..Account::default() }, 1, 17),
        ];
        for (account, low, expected) in replies {
            let (counters, mut totals) = (Counters::default(), Totals::default());
            account.post(Some(&[0, 0, 0x80, low, 0, 0, 0, 0, 0, 0, 0, 0]), &counters);
            counters.read(&mut totals);
            let place = RESPONSES.at([rcode_value(expected)]);
            assert_eq!((totals.get(place), totals.sum(RESPONSES)), (1, 1), "{expected}");
        }
    }
}
