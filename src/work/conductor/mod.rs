//! The exchange with upstream servers: who is asked, when somebody else is, and which answer is believed.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use mio::Registry;

pub use crate::stats::gauges::{Gauges, ServerGauges, State};

use crate::policy::facts::Outcome;
use crate::policy::upstream::UpstreamId;
use crate::serve::snapshot::Snapshot;
use crate::stats::labels::WORK_REFUSED_UPSTREAM;
use crate::stats::ledger::Ledger;

/// Who waits for an answer: a number that the asker chooses, the smaller the better (see
/// [`WAITERS_MAX`](crate::limits::WAITERS_MAX)). It is free again when it has finished or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter(pub u32);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Whom.
    pub upstream: UpstreamId,
    /// The name in wire form, not compressed, in any letter case.
    pub qname: &'a [u8],
    /// The type.
    pub qtype: u16,
    /// The class.
    pub qclass: u16,
    /// The RD bit.
    pub recursion_desired: bool,
    /// The CD bit.
    pub checking_disabled: bool,
    /// The AD bit.
    pub authentic_data: bool,
    /// The DO bit.
    pub dnssec_ok: bool,
    /// The client subnet that is sent (RFC 7871): what the upstream's [`Ecs`](crate::policy::upstream::Ecs)
    /// says was applied already.
    pub subnet: Option<IpNet>,
    /// When nobody wants the answer any more.
    pub deadline: Instant,
    /// It is a copy: it neither joins others nor is joined.
    pub is_alone: bool,
}

/// What became of an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It will finish.
    Waiting,
    /// It will finish with an equal one that was asked before.
    Joined,
    /// It will not be asked: a value of [`WORK_REFUSAL`](crate::stats::labels::WORK_REFUSAL).
    Refused(usize),
}

/// What came of asking.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// All who waited for it.
    pub waiters: &'a [Waiter],
    /// What came.
    pub outcome: Outcome,
    /// The message as received, but for the qname in its question, which is in lower case; empty without one.
    pub message: &'a [u8],
    /// Who was asked.
    pub upstream: UpstreamId,
    /// Which of its servers said so; without a message, the last one that was asked.
    pub server: usize,
    /// How long that server took.
    pub rtt: Duration,
}

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
