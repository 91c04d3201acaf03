//! The applications of a worker, with all that they have under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::conductor::wheel::Wheel;
use super::peers::Peers;
use super::sandbox::{Apps, InstanceId, Sandbox};
use super::sockets::Sockets;
use super::tasks::Tasks;
use crate::policy::upstream::UpstreamId;
use crate::serve::snapshot::Snapshot;

/// The applications of a worker, and what they want.
#[derive(Debug)]
pub(super) struct Guests {
    pub(super) sandbox: Sandbox,
    /// How many of the worker's tasks are exchanges of theirs.
    pub(super) exchanges: usize,
    pub(super) sockets: Sockets,
    /// The other workers, whose caches they purge as well.
    pub(super) peers: Peers,
    pub(super) timers: Tasks<Timer>,
    pub(super) wheel: Wheel,
    /// What is under way, by what the instance knows of it.
    pub(super) under_way: HashMap<(InstanceId, u32), Errand>,
    /// The snapshots that instances are of, the newest last, and when each was replaced.
    pub(super) snapshots: Vec<(Arc<Apps>, Arc<Snapshot>, Option<Instant>)>,
}

/// Where something is under way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Errand {
    /// The number of a task.
    Exchange(u32),
    /// The number of a timer.
    Timer(u32),
}

#[derive(Debug)]
pub(super) struct Timer {
    pub(super) instance: InstanceId,
    pub(super) token: u32,
    pub(super) at: Instant,
}

/// A question to an upstream, for an application.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) instance: InstanceId,
    pub(super) token: u32,
    pub(super) query: Vec<u8>,
    pub(super) upstream: UpstreamId,
    pub(super) is_cached: bool,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) until: Instant,
}

impl Guests {
    pub(super) fn new(sandbox: Sandbox, sockets: Sockets, peers: Peers) -> Self {
        Self {
            sandbox,
            exchanges: 0,
            sockets,
            peers,
            timers: Tasks::new(),
            wheel: Wheel::new(),
            under_way: HashMap::new(),
            snapshots: Vec::new(),
        }
    }

    /// Whether there are any, or were until a moment ago.
    pub(super) fn are_there(&self) -> bool {
        !self.snapshots.is_empty()
    }

    /// When something is to be done, on the clock of a wheel that began then.
    pub(super) fn next_deadline(&self, began: Instant) -> Option<Instant> {
        if self.sandbox.has_something() {
            return Some(began);
        }
        let timer = self.wheel.next().map(|at| began + Duration::from_micros(at));
        timer.into_iter().chain(self.sandbox.next_deadline()).min()
    }

    /// The snapshot whose upstreams an instance means, while it is there.
    pub(super) fn snapshot_of(&self, instance: InstanceId) -> Option<Arc<Snapshot>> {
        let app = self.sandbox.app_of(instance)?;
        let is_its = |apps: &Apps| apps.apps.iter().any(|known| Arc::ptr_eq(known, app));
        let (_, snapshot, _) = self.snapshots.iter().rev().find(|(apps, ..)| is_its(apps))?;
        Some(Arc::clone(snapshot))
    }
}
