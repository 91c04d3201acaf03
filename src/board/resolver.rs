//! The resolver that a node runs as a process of its own, and how it fares.

use std::sync::{Mutex, PoisonError};

/// How a resolver is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What it does.
    pub phase: Phase,
    /// How often it was started.
    pub starts: u64,
    /// How it ended last.
    pub ended: Option<String>,
}

/// What a resolver does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It is being started.
    #[default]
    Starting,
    /// It takes queries.
    Running,
    /// It has ended, and will be started again.
    Waiting,
    /// It was told to end.
    Ended,
}

impl Phase {
    /// As it is shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Ended => "ended",
        }
    }
}

/// Where whoever sees to the resolver notes its state, and others read that.
#[derive(Debug, Default)]
pub struct Resolver(Mutex<Option<Status>>);

impl Resolver {
    /// How it is; nothing where this node runs none.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes a change.
    pub fn note(&self, change: impl FnOnce(&mut Status)) {
        change(self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default());
    }
}
