//! What nearly every query is and gets, in one pass: a plain query for a name with ready answers, or below
//! one, about which nothing but its own bytes decides.

use super::service::{Service, Verdict, decide, is_here, is_probe, may_be_refused, opened};
use super::snapshot::Snapshot;
use crate::answer::RuleRef;
use crate::dns::Room;
use crate::dns::arrival::{Arrival, Pace, Transport};
use crate::dns::consts::{EDE_NOT_AUTHORITATIVE, HEADER_LEN, UDP_LEN_MAX, class, rcode, rtype};
use crate::dns::edns::{OPT_LEN, Opt};
use crate::dns::query::{Header, Plain, Question};
use crate::dns::reply::PlainReply;
use crate::stats::account::{Account, Edns};

/// Decides what the packet in the first `len` bytes of `slot` gets, and makes the reply in the same place. A
/// slot for UDP holds at least [`SLOT_PAYLOAD_LEN`](crate::limits::SLOT_PAYLOAD_LEN) bytes, one for TCP
/// [`TCP_REPLY_LEN_MAX`](crate::limits::TCP_REPLY_LEN_MAX). Of a packet over
/// [`QUERY_LEN_MAX`](crate::limits::QUERY_LEN_MAX) bytes that many and one more suffice.
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
    match answer(snapshot, arrival, slot, len, account) {
        Some(len) => Verdict::Reply(len),
        None => decide::<true>(snapshot, arrival, slot, len, account),
    }
}

/// Answers the packet in the first `len` bytes of `slot` if it is one of those, and is within all that might
/// stop it; gives the length of the reply. Else the slot is as it was.
#[inline(always)]
fn answer(
    snapshot: &Snapshot,
    arrival: &Arrival,
    slot: &mut [u8],
    len: usize,
    account: &mut Account,
) -> Option<usize> {
    if arrival.pace != Pace::Within || !snapshot.policy.is_free(arrival.listener) {
        return None;
    }
    let room: &mut Room = slot.first_chunk_mut()?;
    let query = Plain::read(room, len)?;
    let is_over_tcp = arrival.transport != Transport::Udp;
    if snapshot.dropped_networks().is_some_and(|dropped| dropped.contains(arrival.peer.ip()))
        || is_here(arrival) && (is_probe(arrival) || arrival.peer.port() == arrival.local.port())
        || !is_over_tcp && may_be_refused(snapshot, arrival)
        || matches!(query.qtype, rtype::AXFR | rtype::IXFR)
    {
        return None;
    }
    *account = Account {
        recursion_desired: query.recursion_desired,
        question: Some((query.qtype, class::IN)),
        edns: query.opt.map(|dnssec_ok| Edns { version: 0, dnssec_ok, nsid: false, cookie: None }),
        ..opened(arrival, len, false)
    };
    let answers = &*snapshot.answers;
    let Some(found) = answers.find(room, HEADER_LEN, query.name) else {
        return refused(snapshot, arrival, room, len, &query);
    };
    let RuleRef::Set(set) = found.rule else { return None };
    if !set.is_plain() {
        return None;
    }
    let tail = answers.select(set, query.qtype, is_over_tcp);
    let opt_len = if query.opt.is_some() { OPT_LEN } else { 0 };
    // What is longer is compared with what the client can take.
    if query.end + tail.len() + opt_len > UDP_LEN_MAX
        || !matches!(tail.head.rcode(), rcode::NOERROR | rcode::NXDOMAIN)
    {
        return None;
    }
    account.zone = Some(found.zone);
    account.is_usual = true;
    let mut reply = PlainReply::new(room, &query);
    answers.write_plain(&mut reply, tail, HEADER_LEN + found.node_start, HEADER_LEN);
    Some(reply.finish(&query, &tail.head, snapshot.edns_udp_size))
}

/// Names in no zone of ours are refused as always.
#[cold]
fn refused(
    snapshot: &Snapshot,
    arrival: &Arrival,
    room: &mut Room,
    len: usize,
    query: &Plain,
) -> Option<usize> {
    let Plain { name, end, qtype, .. } = *query;
    let question = Question { name, end, qtype, qclass: class::IN };
    let opt = query.opt.map(Opt::plain);
    let service = Service::new(snapshot, arrival, Header::read(room, len)?);
    match service.refuse(room, &question, opt.as_ref(), Some(EDE_NOT_AUTHORITATIVE)) {
        Verdict::Reply(len) => Some(len),
        Verdict::Drop | Verdict::HandOff(_) => None,
    }
}
