//! The decision about a packet: what every reply needs, and the replies that the node makes by itself.

use crate::answer::{RuleRef, Tail, dname};
use crate::dns::arrival::{Arrival, Pace, Transport};
use crate::dns::consts::{EDE_NOT_AUTHORITATIVE, HEADER_LEN, UDP_LEN_MAX, class, flag, rcode, rtype};
use crate::dns::cookie::{self, Cookie, Standing};
use crate::dns::edns::{COOKIE_OPTION_LEN, Opt, OptReply, Span};
use crate::dns::name::Walk;
use crate::dns::query::{Header, Query, Question, Reject, Tsig, parse};
use crate::dns::reply::{Reply, bad_key};
use crate::dns::u16_at;
use crate::limits::TCP_REPLY_LEN_MAX;
use crate::stats::account::{Account, Edns, ZoneLabels};
use crate::stats::labels::{
    DROPPED_BAD_PORT, DROPPED_LISTED, DROPPED_OWN_ADDRESS, DROPPED_RATE_LIMIT, DROPPED_RESPONSE,
    DROPPED_RULE, DROPPED_SHORT, OVER_LIMIT_BADCOOKIE, OVER_LIMIT_COOKIE, OVER_LIMIT_DROPPED,
    OVER_LIMIT_DRY_RUN, OVER_LIMIT_EXEMPT, OVER_LIMIT_TRUNCATED,
};

use super::job::Way;
use super::route::{self, Asking, Routed};
use super::snapshot::{Snapshot, UpdatePolicy};

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

/// Decides what the packet in the first `len` bytes of `slot` gets, and makes the reply in the same place. A
/// slot for UDP holds at least [`SLOT_PAYLOAD_LEN`](crate::limits::SLOT_PAYLOAD_LEN) bytes, one for TCP
/// [`TCP_REPLY_LEN_MAX`]. Of a packet over [`QUERY_LEN_MAX`](crate::limits::QUERY_LEN_MAX) bytes that many
/// and one more suffice.
///
/// What decides, in this order: the drop list, what is not a query, the source; that the packet parses
/// (opcode QUERY, one question, sound records, EDNS version 0; updates go their own way); the cookie; the
/// rate limit; TSIG; **rules of the phase `route`**, which see queries of every class and type; the class;
/// transfers; the zones. So no rule sees what is dropped, malformed or over the limit, and none gives an
/// answer to a forged source that the limit would not. A transfer (AXFR, IXFR) is not handed over, whatever a
/// rule says of it: unless a rule answers it here, it is refused.
#[inline]
pub fn serve(
    snapshot: &Snapshot,
    arrival: &Arrival,
    slot: &mut [u8],
    len: usize,
    account: &mut Account,
) -> Verdict {
    decide::<true>(snapshot, arrival, slot, len, account)
}

/// As [`serve`], but no rule is asked: for a query that rules have been asked about. What they said of it
/// stays in `account`.
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

#[inline(always)]
fn decide<const ASKS_RULES: bool>(
    snapshot: &Snapshot,
    arrival: &Arrival,
    slot: &mut [u8],
    len: usize,
    account: &mut Account,
) -> Verdict {
    let is_here = arrival.peer.ip() == arrival.local.ip();
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
    let mut service = Service { snapshot, arrival, header, cookie: None };
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
    make: impl FnOnce(&Service<'_>, &mut [u8], &Query) -> usize,
) -> usize {
    let Some(header) = Header::read(slot, len) else { return 0 };
    let mut service = Service { snapshot, arrival, header, cookie: None };
    let mut query = Query::default();
    if parse(slot, len, &header, &mut query).is_err() {
        // It is no query that has been parsed: the reply says so.
        return Reply::new(slot, &header).rcode(rcode::FORMERR).finish();
    }
    if let Some(span) = query.opt.as_ref().and_then(|opt| opt.cookie) {
        service.takes_cookie(slot, span, &mut Account::default());
    }
    make(&service, slot, &query)
}

/// The account of a packet before it is parsed.
#[inline]
fn opened(arrival: &Arrival, len: usize, is_here: bool) -> Account {
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
fn is_probe(arrival: &Arrival) -> bool {
    !arrival.local.ip().is_loopback()
}

/// Why a datagram is dropped because of its source address or port.
#[inline]
fn refused_source(snapshot: &Snapshot, arrival: &Arrival, is_here: bool) -> Option<usize> {
    let port = arrival.peer.port();
    if port <= 464 && SOURCE_PORTS_REFUSED.contains(&port) {
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
    /// The cookie of the reply.
    cookie: Option<Cookie>,
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
        if let Some(opt) = opt
            && let Some(span) = opt.cookie
            && !self.takes_cookie(slot, span, account)
        {
            return self.malformed_cookie(slot, question, opt);
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
        let Some(found) = answers.find(slot, HEADER_LEN, &question.name) else {
            return self.refuse(slot, question, opt.as_ref(), Some(EDE_NOT_AUTHORITATIVE));
        };
        account.zone = Some(found.zone);
        match found.rule {
            RuleRef::Set(set) if !set.is_followed_at_run_time(question.qtype) => {
                let tail = answers.select(set, question.qtype, self.arrival.transport != Transport::Udp);
                self.compiled(slot, question, opt.as_ref(), tail, HEADER_LEN + found.node_start)
            }
            _ => self.chain(slot, question, opt.as_ref()),
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
        let mut reply = Reply::with_question(slot, &self.header, question.end).rcode(tail.rcode);
        if tail.authoritative {
            reply.set(flag::AA);
        }
        if question.end + tail.len() <= room {
            self.snapshot.answers.write(&mut reply, tail, node_at, HEADER_LEN);
        } else {
            reply.set(flag::TC);
        }
        self.finish(reply, opt_reply.as_ref())
    }

    /// Replies with an answer that is assembled at run time: aliases are followed.
    #[cold]
    fn chain(&self, slot: &mut [u8], question: &Question, opt: Option<&Opt>) -> Verdict {
        let opt_reply = opt.map(|opt| self.opt(opt));
        let room = self.room(opt, opt_reply.as_ref());
        let mut reply = Reply::with_question(slot, &self.header, question.end);
        let over_tcp = self.arrival.transport != Transport::Udp;
        let ending = dname::follow(&self.snapshot.answers, &mut reply, question, over_tcp, room);
        if !ending.fits {
            reply = Reply::with_question(slot, &self.header, question.end);
            reply.set(flag::TC);
        }
        reply.set(flag::AA);
        self.finish(reply.rcode(ending.rcode), opt_reply.as_ref())
    }

    #[cold]
    fn refuse(&self, slot: &mut [u8], question: &Question, opt: Option<&Opt>, error: Option<u16>) -> Verdict {
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
            let found = self.snapshot.answers.find(slot, HEADER_LEN, &question.name);
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

    /// Makes the cookie of the reply where cookies are on. Returns whether that of the query is well-formed,
    /// or nobody looks at it.
    #[inline(never)]
    fn takes_cookie(&mut self, slot: &[u8], span: Span, account: &mut Account) -> bool {
        let Some(cookies) = &self.snapshot.cookies else { return true };
        let (at, len) = (usize::from(span.at), usize::from(span.len));
        let is_well_formed = cookie::is_well_formed(len);
        if is_well_formed {
            let received = slot.get(at..at + len).unwrap_or_default();
            let Arrival { peer, unix_time, .. } = *self.arrival;
            let (cookie, standing) = cookies.secrets.answer(received, peer.ip(), unix_time);
            account.cookie = Some(standing);
            self.cookie = Some(cookie).filter(|_| !cookies.dry_run);
        }
        is_well_formed || cookies.dry_run
    }

    #[cold]
    fn malformed_cookie(&self, slot: &mut [u8], question: &Question, opt: &Opt) -> Verdict {
        let reply = Reply::with_question(slot, &self.header, question.end).rcode(rcode::FORMERR);
        self.finish(reply, Some(&self.bare_opt(opt)))
    }

    /// A packet that is not a query.
    #[cold]
    fn reject(&mut self, slot: &mut [u8], reject: &Reject, account: &mut Account) -> Verdict {
        let header = &{ self.header };
        match *reject {
            Reject::Opcode => self.finish(Reply::new(slot, header).rcode(rcode::NOTIMP), None),
            Reject::Question => self.finish(Reply::new(slot, header).rcode(rcode::FORMERR), None),
            Reject::QuestionAbsent(ref opt) => self.question_absent(slot, opt, account),
            Reject::Update { question_end } => {
                account.zone = self.zone_to_update(slot);
                let rcode = match self.snapshot.update {
                    UpdatePolicy::Refused => rcode::REFUSED,
                    UpdatePolicy::Notimp => rcode::NOTIMP,
                    UpdatePolicy::Drop => return Verdict::Drop,
                };
                self.finish(Reply::with_question(slot, header, question_end).rcode(rcode), None)
            }
            Reject::Records { question_end } => {
                account.question = question_before(slot, question_end);
                let reply = Reply::with_question(slot, header, question_end).rcode(rcode::FORMERR);
                self.finish(reply, None)
            }
            Reject::Version { question_end, opt } => {
                account.question = question_before(slot, question_end);
                account.edns = Some(edns(&opt));
                let mut reply = Reply::with_question(slot, header, question_end);
                reply.opt(&OptReply { extended_rcode: (rcode::BADVERS >> 4) as u8, ..self.bare_opt(&opt) });
                Verdict::Reply(reply.finish())
            }
        }
    }

    /// No question but an OPT. With a cookie in it, that is how a client asks for one (RFC 7873, section
    /// 5.4).
    #[cold]
    fn question_absent(&mut self, slot: &mut [u8], opt: &Opt, account: &mut Account) -> Verdict {
        account.edns = Some(edns(opt));
        let is_sound = opt.cookie.is_none_or(|span| self.takes_cookie(slot, span, account));
        let mut bare = !is_sound;
        if self.arrival.pace != Pace::Within {
            let over = self.over(account);
            account.over_limit = Some(over as u8);
            if over == OVER_LIMIT_DROPPED {
                account.dropped = Some(DROPPED_RATE_LIMIT);
                return Verdict::Drop;
            }
            // There is nothing to truncate: it is short without the options.
            bare |= matches!(over, OVER_LIMIT_TRUNCATED | OVER_LIMIT_BADCOOKIE);
        }
        let reply = Reply::new(slot, &self.header);
        let opt_reply = match bare {
            true => self.bare_opt(opt),
            false => self.opt(opt),
        };
        if self.cookie.is_none() {
            return self.finish(reply.rcode(rcode::FORMERR), Some(&opt_reply));
        }
        match account.cookie {
            Some(Standing::Expired | Standing::Unknown) => self.bad_cookie(reply, opt_reply),
            _ => self.finish(reply, Some(&opt_reply)),
        }
    }

    /// The zone that an update is for.
    fn zone_to_update(&self, slot: &[u8]) -> Option<ZoneLabels> {
        let name = Walk::new(slot, HEADER_LEN).ok()?;
        Some(self.snapshot.answers.find(slot, HEADER_LEN, &name)?.zone)
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
        let cookie = if self.cookie.is_some() { COOKIE_OPTION_LEN } else { 0 };
        whole - reply.map_or(0, OptReply::len) - cookie
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

    /// Appends OPT, with the cookie if there is one.
    #[inline]
    fn append(&self, reply: &mut Reply<'_>, opt: &OptReply<'_>) {
        reply.opt(opt);
        if let Some(cookie) = &self.cookie {
            reply.cookie(opt, cookie);
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

/// Type and class of the question that ends at `end`.
fn question_before(slot: &[u8], end: usize) -> Option<(u16, u16)> {
    Some((u16_at(slot, end - 4)?, u16_at(slot, end - 2)?))
}

#[cfg(test)]
mod tests;
