//! What the core of an agent is told, and what it says.

use std::fmt;

use as112d::release::{Pointer, ReleaseName, Scope};
use serde::{Deserialize, Serialize};

use super::drain::Drained;

/// What is to be done. Each step says of what, so that another one begins where that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, before something is heard or some time has passed.
    Wait,
    /// Fetch a release, with all that the node takes of it. With `true`, what is there is hashed again.
    Fetch(ReleaseName, bool),
    /// Write down the pointers that are new.
    Point,
    /// Write down the pointers that are new, and make this release `current`.
    Swap(ReleaseName),
    /// Have the node take what is current.
    Tell(ReleaseName),
    /// The release has proved itself: it is `good`, and what nobody needs goes.
    Keep(ReleaseName),
    /// Make `current` what was there before.
    Back(ReleaseName),
}

/// A release that was taken back, and the pointer that had wanted it. Only another pointer can want it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallen {
    /// The release.
    pub release: ReleaseName,
    /// Of the pointer.
    pub scope: Scope,
    /// Of the pointer.
    pub serial: u64,
    /// Why.
    pub why: String,
}

/// What a node's folder says of the past.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// The pointers, verified.
    pub pointers: Vec<Pointer>,
    /// What is current.
    pub current: Option<ReleaseName>,
    /// What is good.
    pub good: Option<ReleaseName>,
    /// The highest number that was current.
    pub floor: u64,
    /// What was taken back.
    pub fallen: Option<Fallen>,
    /// The drain that was under way.
    pub drained: Option<Drained>,
}

/// What came of the attempt to do something.
pub type Outcome = Result<(), Trouble>;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Later it may be.
    Away(String),
    /// What there is is not what was signed, or may not be taken.
    Refused(String),
    /// The disk has no room, or cannot be written.
    Disk(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Away(text) | Self::Refused(text) | Self::Disk(text)) = self;
        f.write_str(text)
    }
}

/// What the node answered to a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It serves what is current.
    Taken(String),
    /// It does not, and why: its answer, word for word.
    Refused(String),
    /// There is no node to tell.
    Gone(String),
}

/// A line of the log: the word that says what happened, the release, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What happened.
    pub word: &'static str,
    /// With which release.
    pub release: Option<ReleaseName>,
    /// Why, or what came of it.
    pub text: String,
}

/// How the agent fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// No pointer was ever seen.
    Unled,
    /// The node has what it should have.
    Settled,
    /// It stays with what it has, as it was told.
    Held,
    /// It does not have it yet.
    Behind,
    /// It has it on trial.
    Baking,
    /// It does not take what it should have.
    Refused,
    /// It has gone back.
    FellBack,
}
