//! The exchange with upstream servers: who is asked, when somebody else is, and which answer is believed.

mod ask;
mod choose;
mod coalesce;
mod directory;
mod ended;
mod events;
mod exchange;
mod judge;
mod network;
mod query;
mod random;
mod server;
mod table;
pub(in crate::work) mod wheel;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use mio::Registry;

pub use crate::stats::gauges::{Gauges, ServerGauges, State};
pub use ask::{Ask, Asked, Finished, Waiter};

use crate::policy::upstream::UpstreamId;
use crate::serve::snapshot::Snapshot;
use crate::stats::labels::WORK_REFUSED_UPSTREAM;
use crate::stats::ledger::Ledger;

/// One thread's exchange with upstream servers.
#[derive(Debug)]
pub struct Conductor {
    gauges: Arc<Gauges>,
}

impl Conductor {
    /// Nobody is known yet. Its sockets will be registered under tokens from `first` on.
    ///
    /// # Errors
    ///
    /// No memory, no descriptors, or no source of random numbers.
    pub fn new(registry: &Registry, first: usize, now: Instant) -> io::Result<Self> {
        let _ = (registry, first, now);
        Ok(Self { gauges: Arc::default() })
    }

    /// Takes the servers of `snapshot`. What is known of servers that stay is kept; what is being asked is not
    /// disturbed.
    pub fn refresh(&mut self, snapshot: &Arc<Snapshot>, now: Instant) {
        let _ = (snapshot, now);
    }

    /// Asks an upstream of `snapshot`, which may be older than the one that was taken last.
    pub fn ask(
        &mut self,
        snapshot: &Arc<Snapshot>,
        ask: &Ask<'_>,
        waiter: Waiter,
        now: Instant,
        ledger: &mut Ledger,
    ) -> Asked {
        let _ = (snapshot, ask, waiter, now, ledger);
        Asked::Refused(WORK_REFUSED_UPSTREAM)
    }

    /// This one does not want it any more.
    pub fn cancel(&mut self, waiter: Waiter) {
        let _ = waiter;
    }

    /// Something has happened at one of its sockets; errors count as both.
    pub fn ready(&mut self, token: usize, readable: bool, writable: bool, now: Instant, ledger: &mut Ledger) {
        let _ = (token, readable, writable, now, ledger);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant, ledger: &mut Ledger) {
        let _ = (now, ledger);
    }

    /// Sends what is queued.
    pub fn flush(&mut self, now: Instant, ledger: &mut Ledger) {
        let _ = (now, ledger);
    }

    /// Gives up what has finished since the last call.
    pub fn finished(&mut self, take: &mut impl FnMut(&Finished<'_>)) {
        let _ = take;
    }

    /// When [`tick`](Self::tick) has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// Whether no server of an upstream can be asked now.
    #[must_use]
    pub fn is_down(&self, snapshot: &Arc<Snapshot>, upstream: UpstreamId, now: Instant) -> bool {
        let _ = (snapshot, upstream, now);
        false
    }

    /// What others can see of the servers.
    #[must_use]
    pub fn gauges(&self) -> Arc<Gauges> {
        Arc::clone(&self.gauges)
    }

    /// Bytes of one at most.
    #[must_use]
    pub fn memory_len() -> usize {
        size_of::<Gauges>()
    }
}
