//! Replies to queries that have been parsed before: on the way to a worker, or there.

use super::job::Way;
use super::route::{Routed, without_worker};
use super::service::{Verdict, again, native};
use super::snapshot::Snapshot;
use crate::dns::arrival::{Arrival, Transport};
use crate::stats::account::Account;
use crate::stats::labels::DROPPED_RULE;

/// What the query in the first `len` bytes of `slot` gets when it cannot be handed over: the fallback of its
/// rule, made in the slot. Nothing is handed over: [`Verdict::HandOff`] is not among what it returns.
#[cold]
pub fn fallback(
    snapshot: &Snapshot,
    way: Way,
    arrival: &Arrival,
    slot: &mut [u8],
    len: usize,
    account: &mut Account,
) -> Verdict {
    match without_worker(snapshot, way, arrival.transport != Transport::Udp) {
        Routed::Native | Routed::HandOff(_) => native(snapshot, arrival, slot, len, account),
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

/// Makes `message` (header, question, records; no OPT) the reply to `query`, in `out`, which is a slot.
/// Returns its length. AA, RA and AD are the message's; ID, RD, CD, the bytes of the question, OPT, NSID,
/// cookie and keepalive are the client's and ours. Records that do not fit what the client can take are left
/// out, with TC. A message with another question is none: then the reply is SERVFAIL.
pub fn complete(
    snapshot: &Snapshot,
    arrival: &Arrival,
    query: &[u8],
    message: &[u8],
    rcode: u16,
    error: Option<u16>,
    out: &mut [u8],
) -> usize {
    let len = copy(query, out);
    again(snapshot, arrival, out, len, |service, out, query| {
        service.complete(out, query, message, rcode, error)
    })
}

/// Copies a query to the beginning of a slot, as far as there is room.
fn copy(query: &[u8], out: &mut [u8]) -> usize {
    let len = query.len().min(out.len());
    out[..len].copy_from_slice(&query[..len]);
    len
}
