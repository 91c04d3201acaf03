//! Which PoPs are up, and why.

use serde::{Deserialize, Serialize};

/// How it is known whether a PoP is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// By probes.
    Probe,
    /// A file says so.
    File,
    /// It is up, unless somebody says otherwise.
    None,
}

/// What somebody ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ByHand {
    /// Nobody is to be sent there.
    Drain,
    /// It is up, whatever probes say.
    Up,
}

/// A PoP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its name.
    pub name: String,
    /// How it is known whether it is up.
    pub health: Health,
    /// Whether it is.
    pub up: bool,
    /// Since when, in seconds of Unix time; `None` for since the node began.
    pub since: Option<u64>,
    /// What somebody ordered, which goes before what was seen.
    pub by_hand: Option<ByHand>,
    /// Whether the watcher found it up; `None` while it has not said.
    pub seen: Option<bool>,
    /// Why not.
    pub why: Option<String>,
}

impl State {
    /// One of which nothing is known: it is up.
    #[must_use]
    pub const fn new(name: String, health: Health) -> Self {
        Self { name, health, up: true, since: None, by_hand: None, seen: None, why: None }
    }

    /// Whether it is up, by what is known of it.
    #[must_use]
    pub fn is_up(&self) -> bool {
        match self.by_hand {
            Some(ByHand::Drain) => false,
            Some(ByHand::Up) => true,
            None => self.health == Health::None || self.seen != Some(false),
        }
    }
}

/// All PoPs of a node, in the order of its configuration.
#[derive(Clone, Debug, Default)]
pub struct Pops {
    /// Each of them.
    pub states: Vec<State>,
    /// When a watcher said something last, in seconds of Unix time.
    pub heard: Option<u64>,
}

impl Pops {
    /// A bit for each that is up, in their order; and for each that there is not.
    #[must_use]
    pub fn up(&self) -> u64 {
        let down =
            |(place, state): (u32, &State)| if state.up { 0 } else { 1_u64.checked_shl(place).unwrap_or(0) };
        !(0..).zip(&self.states).map(down).fold(0, |all, bit| all | bit)
    }

    /// Whether some wait for what nobody says: no watcher was heard since `then`.
    #[must_use]
    pub fn is_unwatched(&self, then: u64) -> bool {
        self.heard.is_none_or(|heard| heard < then)
            && self.states.iter().any(|state| state.health != Health::None)
    }
}
