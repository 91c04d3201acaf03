//! How a thread that answers hands a query over: at its desk, or else it makes the fallback in the slot.

use std::time::Instant;

use crate::dns::arrival::Arrival;
use crate::serve::job::{Connection, Desk, Taken, Way};
use crate::serve::snapshot::Snapshot;
use crate::serve::{Verdict, fallback};
use crate::stats::account::Account;
use crate::stats::counters::{HANDED_OVER, WORK_REFUSED};
use crate::stats::labels::WORK_REFUSED_POOL;
use crate::stats::ledger::Ledger;

/// A query that is to be handed over.
pub(super) struct Handed<'a> {
    pub(super) way: Way,
    pub(super) arrival: &'a Arrival,
    /// Which of the sockets of its shard.
    pub(super) socket: usize,
    /// The connection, if it came over one.
    pub(super) connection: Option<Connection>,
    /// When it was taken in: with its batch, as the clock is not asked for each.
    pub(super) asked: Instant,
    /// It is in the first `len` bytes of `slot`.
    pub(super) slot: &'a mut [u8],
    pub(super) len: usize,
}

impl Handed<'_> {
    /// Hands it over; where that cannot be, what it gets instead, made in its slot. Without workers there is
    /// no desk.
    #[cold]
    #[inline(never)]
    pub(super) fn over(
        self,
        mut desk: Option<&mut Desk>,
        snapshot: &Snapshot,
        ledger: &mut Ledger,
        account: &mut Account,
    ) -> Option<Verdict> {
        let Self { mut way, arrival, socket, connection, asked, slot, len } = self;
        loop {
            let (label, share) = snapshot.route_share(way);
            let packet = &slot[..len];
            let taken = Taken { arrival, socket, connection, account, label, share, asked, packet };
            let handed = desk.as_mut().map_or(Err(WORK_REFUSED_POOL), |desk| desk.hand_over(way, &taken));
            let Err(reason) = handed else {
                ledger.count(HANDED_OVER.at([label]));
                return None;
            };
            ledger.count(WORK_REFUSED.at([label, reason]));
            match fallback(snapshot, way, arrival, slot, len, account) {
                // A rule further down.
                Verdict::HandOff(next) => way = next,
                instead => return Some(instead),
            }
        }
    }
}

#[cfg(test)]
mod tests;
