//! Replies to queries that have been parsed before: on the way to a worker, or there.

use super::job::Way;
use super::route::{Asking, Routed, route, without_worker};
use super::service::{Service, Verdict, again, native};
use super::snapshot::Snapshot;
use crate::dns::arrival::{Arrival, Transport};
use crate::dns::consts::{HEADER_LEN, flag, rcode};
use crate::dns::name::eq_ignore_case;
use crate::dns::query::{Header, Query, Question};
use crate::dns::reply::Reply;
use crate::stats::account::Account;
use crate::stats::labels::DROPPED_RULE;

/// What the query in the first `len` bytes of `slot` gets when it cannot be handed over: the fallback of its
/// rule, made in the slot. Where that is what the rules after it make of the query, it may be
/// [`Verdict::HandOff`], by another rule: each time by one further down, so this ends.
#[cold]
pub fn fallback(
    snapshot: &Snapshot,
    way: Way,
    arrival: &Arrival,
    slot: &mut [u8],
    len: usize,
    account: &mut Account,
) -> Verdict {
    let mut routed = without_worker(snapshot, way, arrival.transport != Transport::Udp);
    if routed == Routed::Next {
        again(snapshot, arrival, slot, len, |service, slot, query| {
            let asking = Asking { snapshot, arrival, header: &service.header, slot, query };
            routed = route(&asking, Some(way.rule), account);
            0
        });
    }
    match routed {
        Routed::Native | Routed::Next => native(snapshot, arrival, slot, len, account),
        Routed::Answer(rcode) => {
            Verdict::Reply(again(snapshot, arrival, slot, len, |service, slot, query| {
                service.code(slot, query, rcode, None)
            }))
        }
        Routed::Truncate => Verdict::Reply(again(snapshot, arrival, slot, len, |service, slot, query| {
            service.truncated(slot, query)
        })),
        Routed::Drop => {
            account.dropped = Some(DROPPED_RULE);
            Verdict::Drop
        }
        Routed::HandOff(way) => Verdict::HandOff(way),
    }
}

/// Makes a reply to `query` without records in `out`, which is a slot: its response code, with the bits of
/// EDNS, and an extended error (RFC 8914) for clients with EDNS. Returns its length.
pub fn answer_code(
    snapshot: &Snapshot,
    arrival: &Arrival,
    query: &[u8],
    rcode: u16,
    error: Option<u16>,
    out: &mut [u8],
) -> usize {
    let len = copy(query, out);
    again(snapshot, arrival, out, len, |service, out, query| service.code(out, query, rcode, error))
}

/// Makes a truncated reply to `query` in `out`, which is a slot. Returns its length.
pub fn truncated(snapshot: &Snapshot, arrival: &Arrival, query: &[u8], out: &mut [u8]) -> usize {
    let len = copy(query, out);
    again(snapshot, arrival, out, len, |service, out, query| service.truncated(out, query))
}

/// What somebody else has made of a query.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// Header, question and records, without an OPT.
    pub message: &'a [u8],
    /// The response code, with the bits that EDNS has of it.
    pub rcode: u16,
    /// An extended error (RFC 8914), for clients with EDNS.
    pub error: Option<u16>,
    /// Whoever made it knew the client's subnet, so it holds for that alone.
    pub knows_subnet: bool,
}

/// Makes what was `made` elsewhere the reply to `query`, in `out`, which is a slot. Returns its length. AA,
/// RA and AD are the message's; ID, RD, CD, the bytes of the question, OPT, NSID, client subnet, cookie and
/// keepalive are the client's and ours. Records that do not fit what the client can take are left out, with
/// TC. CD is repeated where RA is set. To a message with another question the reply is SERVFAIL.
pub fn complete(
    snapshot: &Snapshot,
    arrival: &Arrival,
    query: &[u8],
    made: &Made<'_>,
    out: &mut [u8],
) -> usize {
    let len = copy(query, out);
    again(snapshot, arrival, out, len, |service, out, query| {
        if made.knows_subnet {
            service.narrow_to_subnet();
        }
        completed(service, out, query, made)
    })
}

fn completed(service: &Service<'_>, slot: &mut [u8], query: &Query, made: &Made<'_>) -> usize {
    let Query { question, opt, .. } = query;
    let Made { message, rcode, error, .. } = *made;
    // Its pointers count from its beginning, so what it repeats of the query has to be as long.
    let made = Header::read(message, message.len())
        .filter(|made| made.questions == 1 && is_same(slot, message, question))
        .zip(message.get(question.end..));
    let Some((made, records)) = made else {
        return service.code(slot, query, u16::from(rcode::SERVFAIL), error);
    };
    let (low, opt_reply) = service.coded(opt.as_ref(), rcode, error);
    let room = service.room(opt.as_ref(), opt_reply.as_ref());
    let mut reply = Reply::with_question(slot, &service.header, question.end).rcode(low);
    reply.set(made.flags & (flag::AA | flag::RA | flag::AD));
    // CD is between a client and who resolves for it: what is authoritative has it clear (RFC 4035, section
    // 3.1.6).
    if made.flags & flag::RA != 0 {
        reply.set(service.header.flags & flag::CD);
    }
    if question.end + records.len() <= room {
        reply.append(records, made.records);
    } else {
        reply.set(flag::TC);
    }
    service.end(reply, opt_reply.as_ref())
}

/// Whether `message` has the question of the query in `slot`, but for the case of letters.
fn is_same(slot: &[u8], message: &[u8], question: &Question) -> bool {
    let (ours, theirs) = (slot.get(HEADER_LEN..question.end), message.get(HEADER_LEN..question.end));
    let is_same = |(ours, theirs): (&[u8], &[u8])| {
        let ((name, rest), (their_name, their_rest)) =
            (ours.split_at(question.name.len()), theirs.split_at(question.name.len()));
        eq_ignore_case(name, their_name) && rest == their_rest
    };
    ours.zip(theirs).is_some_and(is_same)
}

/// Copies a query to the beginning of a slot, as far as there is room.
fn copy(query: &[u8], out: &mut [u8]) -> usize {
    let len = query.len().min(out.len());
    out[..len].copy_from_slice(&query[..len]);
    len
}
