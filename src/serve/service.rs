//! The decision about a packet: what every reply needs, and the replies that the node makes by itself.

pub mod identity;
mod options;
mod reject;
mod tailored;

use std::net::SocketAddr;

use crate::answer::{RuleRef, Tail};
use crate::dns::arrival::{Arrival, Pace, Transport};
use crate::dns::consts::{EDE_NOT_AUTHORITATIVE, HEADER_LEN, UDP_LEN_MAX, class, flag, rcode, rtype};
use crate::dns::cookie::{Cookie, Standing};
use crate::dns::ecs::Subnet;
use crate::dns::edns::{Opt, OptReply};
use crate::dns::query::{Header, Query, Question, Tsig, parse};
use crate::dns::reply::{Reply, bad_key};
use crate::limits::TCP_REPLY_LEN_MAX;
use crate::stats::account::{Account, Edns};
use crate::stats::labels::{
    DROPPED_BAD_PORT, DROPPED_LISTED, DROPPED_OWN_ADDRESS, DROPPED_RATE_LIMIT, DROPPED_RESPONSE,
    DROPPED_RULE, DROPPED_SHORT, OVER_LIMIT_BADCOOKIE, OVER_LIMIT_COOKIE, OVER_LIMIT_DROPPED,
    OVER_LIMIT_DRY_RUN, OVER_LIMIT_EXEMPT, OVER_LIMIT_TRUNCATED,
};

use super::job::Way;
use super::route::{self, Asking, Routed};
use super::snapshot::Snapshot;

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A reply of this length, at the beginning of the slot.
    Reply(usize),
    /// No reply. A connection is closed once the answers already due are sent.
    Drop,
    /// A worker makes the reply. The slot is as it came.
    HandOff(Way),
}

/// UDP source ports that no DNS client has: 0 cannot be answered, the others belong to services that answer
/// whatever they get (echo, discard, daytime, quotd, chargen, time, kpasswd), so two programs could keep
/// each other busy.
pub const SOURCE_PORTS_REFUSED: [u16; 7] = [0, 7, 13, 17, 19, 37, 464];
/// The highest of them.
const SOURCE_PORT_REFUSED_MAX: u16 = SOURCE_PORTS_REFUSED[SOURCE_PORTS_REFUSED.len() - 1];

/// As [`serve`](super::serve()), but no rule is asked: for a query that rules have been asked about. What
/// they said of it stays in `account`.
pub fn native(
    snapshot: &Snapshot,
    arrival: &Arrival,
    slot: &mut [u8],
    len: usize,
    account: &mut Account,
) -> Verdict {
    let ruled = account.ruled;
    let verdict = decide::<false>(snapshot, arrival, slot, len, account);
    account.ruled = ruled;
    verdict
}

/// Decides what any packet gets, as [`serve`](super::serve()) describes.
#[inline(never)]
pub(super) fn decide<const ASKS_RULES: bool>(
    snapshot: &Snapshot,
    arrival: &Arrival,
    slot: &mut [u8],
    len: usize,
    account: &mut Account,
) -> Verdict {
    let is_here = is_here(arrival);
    *account = opened(arrival, len, is_here);
    if snapshot.drops(arrival.peer.ip()) {
        account.dropped = Some(DROPPED_LISTED);
        return Verdict::Drop;
    }
    let Some(header) = Header::read(slot, len) else {
        account.dropped = Some(DROPPED_SHORT);
        return Verdict::Drop;
    };
    if header.is_response() {
        account.dropped = Some(DROPPED_RESPONSE);
        return Verdict::Drop;
    }
    if arrival.transport == Transport::Udp
        && let Some(reason) = refused_source(snapshot, arrival, is_here)
    {
        account.dropped = Some(reason);
        return Verdict::Drop;
    }
    account.opcode = header.opcode();
    account.recursion_desired = header.is_recursion_desired();
    let mut service = Service::new(snapshot, arrival, header);
    let mut query = Query::default();
    match parse(slot, len, &header, &mut query) {
        Ok(()) => service.answer::<ASKS_RULES>(slot, &query, account),
        Err(reject) => service.reject(slot, &reject, account),
    }
}

/// Makes another reply to the query in the first `len` bytes of `slot`, which has been parsed before: `make`
/// returns its length.
pub(super) fn again(
    snapshot: &Snapshot,
    arrival: &Arrival,
    slot: &mut [u8],
    len: usize,
    make: impl FnOnce(&mut Service<'_>, &mut [u8], &Query) -> usize,
) -> usize {
    let Some(header) = Header::read(slot, len) else { return 0 };
    let mut service = Service::new(snapshot, arrival, header);
    let mut query = Query::default();
    if parse(slot, len, &header, &mut query).is_err() {
        // It is no query that has been parsed: the reply says so.
        return Reply::new(slot, &header).rcode(rcode::FORMERR).finish();
    }
    if let Some(opt) = &query.opt {
        service.takes_options_again(slot, opt, query.question.end);
    }
    make(&mut service, slot, &query)
}

/// Whether a packet comes from the address that it was sent to.
#[inline]
pub(super) fn is_here(arrival: &Arrival) -> bool {
    match (&arrival.peer, &arrival.local) {
        (SocketAddr::V4(peer), SocketAddr::V4(local)) => peer.ip() == local.ip(),
        (SocketAddr::V6(peer), SocketAddr::V6(local)) => peer.ip() == local.ip(),
        _ => false,
    }
}

/// The account of a packet before it is parsed.
#[inline]
pub(super) fn opened(arrival: &Arrival, len: usize, is_here: bool) -> Account {
    Account {
        transport: usize::from(arrival.transport != Transport::Udp),
        family: usize::from(arrival.peer.is_ipv6()),
        is_probe: is_here && is_probe(arrival),
        listener: arrival.listener,
        len,
        ..Account::default()
    }
}

/// Whether a packet from the address that it was sent to is a probe: that is how this host reaches itself. On
/// loopback it means nothing, as all clients of a node that listens there come from it. No other host can
/// send such a packet: the kernel takes none from outside with a source that is its own.
#[cold]
pub(super) fn is_probe(arrival: &Arrival) -> bool {
    !arrival.local.ip().is_loopback()
}

/// Whether it may be, by its port alone, that a datagram from elsewhere is dropped because of its source.
#[inline]
pub(super) fn may_be_refused(snapshot: &Snapshot, arrival: &Arrival) -> bool {
    let port = arrival.peer.port();
    port <= SOURCE_PORT_REFUSED_MAX || snapshot.may_listen_on(port)
}

/// Why a datagram is dropped because of its source address or port.
#[inline]
fn refused_source(snapshot: &Snapshot, arrival: &Arrival, is_here: bool) -> Option<usize> {
    let port = arrival.peer.port();
    if port <= SOURCE_PORT_REFUSED_MAX && SOURCE_PORTS_REFUSED.contains(&port) {
        return Some(DROPPED_BAD_PORT);
    }
    let is_own = is_here && port == arrival.local.port() || snapshot.is_listener(&arrival.peer);
    is_own.then_some(DROPPED_OWN_ADDRESS)
}

/// What answering a query needs, whatever the answer is.
pub(super) struct Service<'a> {
    snapshot: &'a Snapshot,
    arrival: &'a Arrival,
    /// The header of the query.
    pub(super) header: Header,
    /// The client subnet of the query, as the reply has it. Who chooses an answer by it sets SCOPE.
    pub(super) subnet: Option<Subnet>,
    /// The cookie of the reply.
    cookie: Option<Cookie>,
    /// Bytes that the two take in the OPT of the reply, in addition to those of its `OptReply`.
    inserted_len: usize,
}

impl<'a> Service<'a> {
    #[inline(always)]
    pub(super) fn new(snapshot: &'a Snapshot, arrival: &'a Arrival, header: Header) -> Self {
        Self { snapshot, arrival, header, subnet: None, cookie: None, inserted_len: 0 }
    }
}

impl Service<'_> {
    #[inline]
    fn answer<const ASKS_RULES: bool>(
        &mut self,
        slot: &mut [u8],
        query: &Query,
        account: &mut Account,
    ) -> Verdict {
        let Query { question, opt, tsig } = query;
        account.question = Some((question.qtype, question.qclass));
        account.edns = opt.as_ref().map(edns);
        if let Some(opt) = opt {
            if opt.subnet.is_some() && !self.takes_subnet(slot, opt, question.end, account) {
                return self.unsound_subnet(slot, query, opt, account);
            }
            if let Some(span) = opt.cookie
                && !self.takes_cookie(slot, span, account)
            {
                return self.malformed_cookie(slot, question, opt);
            }
        }
        if self.arrival.pace != Pace::Within
            && let Some(verdict) = self.over_limit(slot, query, account)
        {
            return verdict;
        }
        if let Some(tsig) = tsig {
            return self.unknown_key(slot, question, opt.as_ref(), tsig);
        }
        if ASKS_RULES
            && !self.snapshot.policy.is_free(self.arrival.listener)
            && let Some(verdict) = self.routed(slot, query, account)
        {
            return verdict;
        }
        if question.qclass != class::IN {
            return self.other_class(slot, question, opt.as_ref());
        }
        if matches!(question.qtype, rtype::AXFR | rtype::IXFR) {
            return self.refuse(slot, question, opt.as_ref(), None);
        }
        let answers = &self.snapshot.answers;
        let Some(found) = answers.find(slot, HEADER_LEN, question.name) else {
            return self.refuse(slot, question, opt.as_ref(), Some(EDE_NOT_AUTHORITATIVE));
        };
        account.zone = Some(found.zone);
        match found.rule {
            RuleRef::Set(set) if set.is_plain() => {
                let tail = answers.select(set, question.qtype, self.arrival.transport != Transport::Udp);
                self.compiled(slot, question, opt.as_ref(), tail, HEADER_LEN + found.node_start)
            }
            rule => self.at_run_time(slot, query, rule, found.node_start, account),
        }
    }

    /// What rules of the phase `route` make of the query; `None` for the answer that it gets without them.
    #[cold]
    fn routed(&self, slot: &mut [u8], query: &Query, account: &mut Account) -> Option<Verdict> {
        let Self { snapshot, arrival, header, .. } = self;
        match route::route(&Asking { snapshot, arrival, header, slot, query }, None, account) {
            Routed::Native | Routed::Next => None,
            Routed::Answer(rcode) => Some(Verdict::Reply(self.code(slot, query, rcode, None))),
            Routed::Truncate => Some(Verdict::Reply(self.truncated(slot, query))),
            Routed::Drop => {
                account.dropped = Some(DROPPED_RULE);
                Some(Verdict::Drop)
            }
            Routed::HandOff(way) => Some(Verdict::HandOff(way)),
        }
    }

    /// A reply without records: its response code, with the bits of EDNS, and an extended error. To a query
    /// without EDNS a code that needs it is SERVFAIL.
    #[cold]
    pub(super) fn code(&self, slot: &mut [u8], query: &Query, rcode: u16, error: Option<u16>) -> usize {
        let Query { question, opt, .. } = query;
        let (low, opt_reply) = self.coded(opt.as_ref(), rcode, error);
        let reply = Reply::with_question(slot, &self.header, question.end).rcode(low);
        self.end(reply, opt_reply.as_ref())
    }

    /// A response code as a header has it, and the OPT with the rest of it, and with an extended error.
    pub(super) fn coded(
        &self,
        opt: Option<&Opt>,
        rcode: u16,
        error: Option<u16>,
    ) -> (u8, Option<OptReply<'_>>) {
        let (low, extended_rcode) = split(rcode, opt.is_some());
        (low, opt.map(|opt| OptReply { error, extended_rcode, ..self.opt(opt) }))
    }

    /// A reply that sends the client to TCP.
    #[cold]
    pub(super) fn truncated(&self, slot: &mut [u8], query: &Query) -> usize {
        let Query { question, opt, .. } = query;
        let opt_reply = opt.as_ref().map(|opt| self.opt(opt));
        let mut reply = Reply::with_question(slot, &self.header, question.end);
        reply.set(flag::TC);
        self.end(reply, opt_reply.as_ref())
    }

    /// Replies with a compiled tail.
    #[inline]
    fn compiled(
        &self,
        slot: &mut [u8],
        question: &Question,
        opt: Option<&Opt>,
        tail: &Tail,
        node_at: usize,
    ) -> Verdict {
        let opt_reply = opt.map(|opt| self.opt(opt));
        let room = self.room(opt, opt_reply.as_ref());
        let mut reply = Reply::with_question(slot, &self.header, question.end).rcode(tail.head.rcode());
        if tail.head.is_authoritative() {
            reply.set(flag::AA);
        }
        if question.end + tail.len() <= room {
            self.snapshot.answers.write(&mut reply, tail, node_at, HEADER_LEN);
        } else {
            reply.set(flag::TC);
        }
        self.finish(reply, opt_reply.as_ref())
    }

    #[cold]
    pub(super) fn refuse(
        &self,
        slot: &mut [u8],
        question: &Question,
        opt: Option<&Opt>,
        error: Option<u16>,
    ) -> Verdict {
        let opt_reply = opt.map(|opt| OptReply { error, ..self.opt(opt) });
        let reply = Reply::with_question(slot, &self.header, question.end).rcode(rcode::REFUSED);
        self.finish(reply, opt_reply.as_ref())
    }

    /// Class CH has the names of the server (RFC 4892); every other class is refused.
    #[cold]
    fn other_class(&self, slot: &mut [u8], question: &Question, opt: Option<&Opt>) -> Verdict {
        let name = &slot[HEADER_LEN..HEADER_LEN + question.name.len()];
        let is_text = question.qclass == class::CH && question.qtype == rtype::TXT;
        let Some(record) = self.snapshot.chaos.record(name).filter(|_| is_text) else {
            return self.refuse(slot, question, opt, None);
        };
        let opt_reply = opt.map(|opt| self.opt(opt));
        let mut reply = Reply::with_question(slot, &self.header, question.end);
        if question.end + record.len() <= self.room(opt, opt_reply.as_ref()) {
            reply.append(record, [1, 0, 0]);
        } else {
            reply.set(flag::TC);
        }
        self.finish(reply, opt_reply.as_ref())
    }

    /// A TSIG: its key is always unknown, as none is ever configured (BADKEY, RFC 8945, section 5.2.1).
    #[cold]
    fn unknown_key(&self, slot: &mut [u8], question: &Question, opt: Option<&Opt>, tsig: &Tsig) -> Verdict {
        let record = bad_key(slot, tsig);
        let opt_reply = opt.map(|opt| self.opt(opt));
        let room = self.room(opt, opt_reply.as_ref());
        let mut reply = Reply::with_question(slot, &self.header, question.end).rcode(rcode::NOTAUTH);
        let fits = question.end + record.len() <= room;
        if !fits {
            reply.set(flag::TC);
        }
        if let Some(opt) = opt_reply {
            self.append(&mut reply, &opt);
        }
        if fits {
            reply.tsig(&record);
        }
        Verdict::Reply(reply.finish())
    }

    /// A query of a network over its rate. What it gets instead of an answer is no longer than it, but
    /// for the cookie that a client needs to be above the limit.
    #[cold]
    fn over_limit(&self, slot: &mut [u8], query: &Query, account: &mut Account) -> Option<Verdict> {
        let over = self.over(account);
        account.over_limit = Some(over as u8);
        if !matches!(over, OVER_LIMIT_TRUNCATED | OVER_LIMIT_BADCOOKIE | OVER_LIMIT_DROPPED) {
            return None;
        }
        if over == OVER_LIMIT_DROPPED {
            account.dropped = Some(DROPPED_RATE_LIMIT);
            return Some(Verdict::Drop);
        }
        let Query { question, opt, .. } = query;
        if question.qclass == class::IN {
            let found = self.snapshot.answers.find(slot, HEADER_LEN, question.name);
            account.zone = found.map(|found| found.zone);
        }
        let mut reply = Reply::with_question(slot, &self.header, question.end);
        let opt_reply = opt.as_ref().map(|opt| self.bare_opt(opt));
        match opt_reply {
            Some(opt_reply) if over == OVER_LIMIT_BADCOOKIE => Some(self.bad_cookie(reply, opt_reply)),
            _ => {
                reply.set(flag::TC);
                Some(self.finish(reply, opt_reply.as_ref()))
            }
        }
    }

    /// What becomes of a query over the limit: a value of `OVER_LIMIT`.
    fn over(&self, account: &Account) -> usize {
        let has_proof = self.cookie.is_some() && account.cookie.is_some_and(Standing::is_valid);
        match self.arrival.pace {
            Pace::Exempt => OVER_LIMIT_EXEMPT,
            // Who withdraws the routes when the node does not answer must not be told so by a limit.
            _ if account.is_probe => OVER_LIMIT_EXEMPT,
            _ if has_proof => OVER_LIMIT_COOKIE,
            Pace::DryRun | Pace::Within => OVER_LIMIT_DRY_RUN,
            Pace::Drop => OVER_LIMIT_DROPPED,
            Pace::Slip if self.cookie.is_some() => OVER_LIMIT_BADCOOKIE,
            Pace::Slip => OVER_LIMIT_TRUNCATED,
        }
    }

    /// The OPT that answers `opt`.
    #[inline]
    pub(super) fn opt(&self, opt: &Opt) -> OptReply<'_> {
        OptReply {
            nsid: opt.nsid.then_some(&self.snapshot.nsid[..]),
            keepalive: match self.arrival.transport {
                Transport::Tcp { keepalive } if opt.keepalive => Some(keepalive),
                _ => None,
            },
            ..self.bare_opt(opt)
        }
    }

    /// The same without options.
    #[inline]
    fn bare_opt(&self, opt: &Opt) -> OptReply<'static> {
        let udp_size = self.snapshot.edns_udp_size;
        OptReply { udp_size, dnssec_ok: opt.dnssec_ok, ..OptReply::default() }
    }

    /// How long the reply may be before its OPT.
    #[inline]
    pub(super) fn room(&self, opt: Option<&Opt>, reply: Option<&OptReply<'_>>) -> usize {
        let whole = match (self.arrival.transport, opt) {
            (Transport::Tcp { .. }, _) => TCP_REPLY_LEN_MAX,
            (Transport::Udp, None) => UDP_LEN_MAX,
            (Transport::Udp, Some(opt)) => {
                usize::from(opt.udp_size.min(self.snapshot.edns_udp_size)).max(UDP_LEN_MAX)
            }
        };
        whole - reply.map_or(0, OptReply::len) - self.inserted_len
    }

    /// Appends OPT and ends the reply.
    #[inline]
    fn finish(&self, reply: Reply<'_>, opt: Option<&OptReply<'_>>) -> Verdict {
        Verdict::Reply(self.end(reply, opt))
    }

    /// Appends OPT and ends the reply, whose length it returns.
    #[inline]
    pub(super) fn end(&self, mut reply: Reply<'_>, opt: Option<&OptReply<'_>>) -> usize {
        if let Some(opt) = opt {
            self.append(&mut reply, opt);
        }
        reply.finish()
    }

    /// Appends OPT, with the client subnet and the cookie if there are any.
    #[inline]
    fn append(&self, reply: &mut Reply<'_>, opt: &OptReply<'_>) {
        reply.opt(opt);
        if self.inserted_len > 0 {
            self.insert(reply, opt);
        }
    }

    /// Ends a reply that says that the server's part of the cookie is absent or not valid.
    #[cold]
    fn bad_cookie(&self, reply: Reply<'_>, opt: OptReply<'_>) -> Verdict {
        let low = (rcode::BADCOOKIE & 0xF) as u8;
        let opt = OptReply { extended_rcode: (rcode::BADCOOKIE >> 4) as u8, ..opt };
        self.finish(reply.rcode(low), Some(&opt))
    }
}

/// The low four bits of a response code, and those that travel in OPT.
const fn split(rcode: u16, has_opt: bool) -> (u8, u8) {
    if rcode > 0xF && !has_opt {
        return (rcode::SERVFAIL, 0);
    }
    ((rcode & 0xF) as u8, (rcode >> 4) as u8)
}

/// What counts of an OPT.
#[inline]
fn edns(opt: &Opt) -> Edns {
    let cookie = opt.cookie.map(|span| usize::from(span.len));
    Edns { version: opt.version, dnssec_ok: opt.dnssec_ok, nsid: opt.nsid, cookie }
}

#[cfg(test)]
mod tests;
