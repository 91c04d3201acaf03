//! A pointer: which release a fleet, a colo or a node should have.

use serde::{Deserialize, Serialize};

use super::digest::Hasher;
use super::manifest::{FORMAT, ReleaseName, json};
use super::refused::{Code, Refused};
use super::scope::{Label, Scope, Who};
use super::words::Words;
use crate::limits::{BAKE_MAX_SECONDS, DRAIN_MAX_SECONDS, MADE_LEN_MAX, REASON_LEN_MAX, SIGNED_LINE_LEN_MAX};

/// What a pointer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Take the release that it names.
    Want,
    /// Stay with what you have.
    Hold,
    /// No opinion: the next wider scope decides.
    Follow,
}

/// A pointer. It is signed as one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointer {
    /// That of manifests, [`FORMAT`].
    pub format: u32,
    /// Whose pointer it is.
    pub fleet: Label,
    /// Whom it is for.
    pub scope: Scope,
    /// Grows with each pointer of its scope: the highest counts.
    pub serial: u64,
    /// What it says.
    pub kind: Kind,
    /// The release, if it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseName>,
    /// How many of 100 nodes take it.
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub share: u8,
    /// What the others take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<ReleaseName>,
    /// For how many seconds a node watches itself after it took the release, ready to fall back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bake: Option<u32>,
    /// For how many seconds a node withdraws its routes, from when it hears of it. With 0 it no longer does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<u32>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Words<REASON_LEN_MAX>>,
    /// Who made it, for people.
    pub by: Words<MADE_LEN_MAX>,
    /// When, for people.
    pub made_at: Words<MADE_LEN_MAX>,
}

fn all() -> u8 {
    100
}

fn is_all(share: &u8) -> bool {
    *share == all()
}

impl Pointer {
    /// Reads the line of a pointer. Its signatures are the caller's matter, and are to be checked first.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &str) -> Result<Self, Refused> {
        if line.len() > SIGNED_LINE_LEN_MAX {
            let words = format!("a pointer of {} bytes; at most {SIGNED_LINE_LEN_MAX} are read", line.len());
            return Err(Refused::new(Code::TooLarge, words));
        }
        let pointer: Self = json(line.as_bytes(), "pointer")?;
        pointer.check()?;
        Ok(pointer)
    }

    /// The line that is signed.
    ///
    /// # Panics
    /// Never: all that it has can be written as JSON.
    #[must_use]
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("keys are texts, and nothing in it can fail")
    }

    /// What is wrong with it, besides its form. Whoever makes one asks before it is signed.
    ///
    /// # Errors
    /// See [`Pointer::parse`].
    pub fn check(&self) -> Result<(), Refused> {
        let refuse = |words: &str| Err(Refused::new(Code::NotAllowed, words));
        if self.format != FORMAT {
            let words =
                format!("a pointer of format {}, and this program reads {FORMAT}; upgrade it", self.format);
            return Err(Refused::new(Code::UnknownFormat, words));
        }
        if self.serial == 0 {
            return refuse("serial 0: they are numbered from 1");
        }
        if (self.kind == Kind::Want) != self.release.is_some() {
            return refuse("a pointer names a release if it is `want`, and only then");
        }
        if !(1..=all()).contains(&self.share) {
            return refuse("`share` is from 1 to 100");
        }
        if (self.share < all()) != self.otherwise.is_some() {
            return refuse("`otherwise` names what the others take if `share` is below 100, and only then");
        }
        if self.kind != Kind::Want && (self.share < all() || self.bake.is_some()) {
            return refuse("`share` and `bake` belong to `want`");
        }
        if self.bake.is_some_and(|seconds| seconds > BAKE_MAX_SECONDS) {
            return refuse(&format!("`bake` is at most {BAKE_MAX_SECONDS} seconds"));
        }
        if self.drain.is_some_and(|seconds| seconds > DRAIN_MAX_SECONDS) {
            return refuse(&format!("`drain` is at most {DRAIN_MAX_SECONDS} seconds"));
        }
        Ok(())
    }

    /// The release that it wants a node to have, if it has an opinion. Which nodes are among the share
    /// depends on the release: it is not always the same ones that go first.
    #[must_use]
    pub fn wanted(&self, who: &Who) -> Option<&ReleaseName> {
        let release = self.release.as_ref()?;
        if self.share >= all() || place(release, &who.node) < self.share {
            Some(release)
        } else {
            self.otherwise.as_ref()
        }
    }
}

/// Where a node stands among a hundred, for a release: SHA-256(hash of the release, name of the node) modulo
/// 100.
#[must_use]
pub fn place(release: &ReleaseName, node: &Label) -> u8 {
    let mut hasher = Hasher::new();
    hasher.update(&release.digest.0);
    hasher.update(node.as_str().as_bytes());
    let rest = hasher.finish().0.iter().fold(0_u32, |rest, byte| (rest << 8 | u32::from(*byte)) % 100);
    rest as u8
}
