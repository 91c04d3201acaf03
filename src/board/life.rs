//! Where in its life a node is, and how the reading of its configuration fares.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// Where in its life a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It serves, and wants to be asked.
    Serving,
    /// It serves, and wants no further queries: routes to it are to be withdrawn.
    Draining,
    /// It answers what has come, and ends.
    Stopping,
}

impl State {
    /// All of them, by number.
    const ALL: [Self; 3] = [Self::Serving, Self::Draining, Self::Stopping];

    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
        }
    }
}

/// The state, as it is now. Begins with [`State::Serving`].
#[derive(Debug, Default)]
pub struct Life {
    state: AtomicU8,
    can_upgrade: AtomicBool,
}

impl Life {
    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        State::ALL[usize::from(self.state.load(Ordering::Relaxed))]
    }

    /// Goes over to `state`.
    pub fn change(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Whether an upgrade is possible: somebody is there who would start the new process.
    #[must_use]
    pub fn can_upgrade(&self) -> bool {
        self.can_upgrade.load(Ordering::Relaxed)
    }

    /// Notes whether it is.
    pub fn set_can_upgrade(&self, can_upgrade: bool) {
        self.can_upgrade.store(can_upgrade, Ordering::Relaxed);
    }
}

/// How often the configuration was read again, and what came of it.
#[derive(Debug, Default)]
pub struct Reloads {
    succeeded: AtomicU64,
    failed: AtomicU64,
    has_failed: AtomicBool,
    loaded_at: AtomicU64,
}

impl Reloads {
    /// Begins with a configuration that was read at `now`, in seconds of Unix time.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self { loaded_at: AtomicU64::new(now), ..Self::default() }
    }

    /// The configuration was read again, and is in effect.
    pub fn succeeded(&self, now: u64) {
        self.succeeded.fetch_add(1, Ordering::Relaxed);
        self.has_failed.store(false, Ordering::Relaxed);
        self.loaded_at.store(now, Ordering::Relaxed);
    }

    /// It could not be; the old one stays in effect.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.has_failed.store(true, Ordering::Relaxed);
    }

    /// How often it succeeded, and how often it failed.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.succeeded.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    /// Whether the configuration in effect is the one that was asked for last.
    #[must_use]
    pub fn is_current(&self) -> bool {
        !self.has_failed.load(Ordering::Relaxed)
    }

    /// When the configuration in effect was read, in seconds of Unix time.
    #[must_use]
    pub fn loaded_at(&self) -> u64 {
        self.loaded_at.load(Ordering::Relaxed)
    }
}
