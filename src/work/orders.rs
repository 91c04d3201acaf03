//! What workers are told.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::cache;

/// What is to be done with what caches have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheOrder {
    /// The name, in wire form.
    pub name: Vec<u8>,
    /// And all names below it.
    pub subtree: bool,
    /// What.
    pub kind: CacheOrderKind,
}

/// See [`CacheOrder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOrderKind {
    /// It is forgotten.
    Purge,
    /// So many lines are shown at the most.
    Show(usize),
}

/// How workers do it, as far as a reload may change that.
#[derive(Clone, Debug, PartialEq)]
pub struct Habits {
    /// What each worker's cache is like; its size stays.
    pub cache: cache::Settings,
    /// How long a query may take, unless its rule says otherwise.
    pub query_timeout: Duration,
}

/// What becomes of the workers.
#[derive(Debug, Default)]
pub(super) struct Fate(AtomicU8);

impl Fate {
    /// They end when all desks are gone.
    pub(super) const RETIRE: u8 = 1;
    /// They end now.
    pub(super) const STOP: u8 = 2;

    pub(super) fn seal(&self, fate: u8) {
        self.0.fetch_max(fate, Ordering::Relaxed);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Self::RETIRE
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Self::STOP
    }
}
