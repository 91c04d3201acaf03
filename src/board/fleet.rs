//! Which release of its fleet the node serves, as far as it is counted.

use arc_swap::ArcSwapOption;
use std::sync::Arc;

use crate::release::ReleaseName;

/// What the node serves of its fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The release that it should.
    Current,
    /// The last one that has proved itself: the current one is refused.
    Good,
    /// Its own file alone: no release can be used.
    Fallback,
    /// Its own file alone: there is no release yet.
    None,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Current, Self::Good, Self::Fallback, Self::None];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Good => "good",
            Self::Fallback => "fallback",
            Self::None => "none",
        }
    }
}

/// What is in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// What it is.
    pub state: State,
    /// The release.
    pub name: Option<ReleaseName>,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// What is answered, in one number.
    pub answers: u64,
    /// How much is wrong with the release that should be in effect.
    pub problems: u64,
}

/// The same for whoever asks: nothing without a fleet.
#[derive(Debug, Default)]
pub struct Fleet(ArcSwapOption<Served>);

impl Fleet {
    /// From now on it is this.
    pub fn set(&self, served: Option<Served>) {
        self.0.store(served.map(Arc::new));
    }

    /// What it is.
    #[must_use]
    pub fn read(&self) -> Option<Served> {
        self.0.load().as_deref().copied()
    }
}
