//! A roll: how a release reaches a fleet in stages, and when it must not go further. A signed document says
//! the stages; how far it is stands in the pointers, and nowhere else. Without I/O and without a clock: if
//! whoever drives it dies, it stands where it is.

use std::fmt;
use std::str::FromStr;

use as112d::limits::{BAKE_MAX_SECONDS, MADE_LEN_MAX, REASON_LEN_MAX, SIGNED_LINE_LEN_MAX};
use as112d::release::manifest::FORMAT;
use as112d::release::pointer::{self, place};
use as112d::release::{Code, Label, Pointer, Refused, ReleaseName, Scope, Who, Words};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::limits::{FAILED_NODES, FAILED_PERCENT, QUORUM_DEFAULT, ROLL_STAGES_MAX};

/// Whom a stage gives the release to, besides those of the stages before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// A colo or a node.
    Scope(Scope),
    /// So many of a hundred nodes of the fleet.
    Share(u8),
}

impl To {
    /// The whole fleet.
    pub const ALL: Self = Self::Share(100);

    /// The scope whose pointer says it.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::Scope(scope) => scope.clone(),
            Self::Share(_) => Scope::Fleet,
        }
    }
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scope(scope) => scope.fmt(f),
            Self::Share(100) => f.write_str("all"),
            Self::Share(share) => write!(f, "{share}%"),
        }
    }
}

impl FromStr for To {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let bad = || {
            let words = format!(
                "`{}` is not a stage: `colo/NAME`, `node/NAME`, a share such as `10%`, or `all`",
                text.chars().take(60).flat_map(char::escape_default).collect::<String>()
            );
            Refused::new(Code::NotAllowed, words)
        };
        if text == "all" {
            return Ok(Self::ALL);
        }
        if let Some(share) = text.strip_suffix('%') {
            let share = share.parse().ok().filter(|share| (1..=100).contains(share));
            return share.map(Self::Share).ok_or_else(bad);
        }
        match text.parse() {
            Ok(Scope::Fleet) | Err(_) => Err(bad()),
            Ok(scope) => Ok(Self::Scope(scope)),
        }
    }
}

impl Serialize for To {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for To {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Who gets the release.
    pub to: To,
    /// For how many seconds each of them watches itself.
    pub bake: u32,
}

/// The plan of a roll. It is signed as one line of JSON, like a pointer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roll {
    /// That of manifests and pointers.
    pub format: u32,
    /// Whose it is.
    pub fleet: Label,
    /// Grows with each roll.
    pub serial: u64,
    /// What is rolled out.
    pub release: ReleaseName,
    /// What nodes have that are not yet among the share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<ReleaseName>,
    /// The stages; the last one is all.
    pub stages: Vec<Stage>,
    /// The part of the nodes of a stage that were heard of, in percent, which must be healthy for the next
    /// one.
    #[serde(default = "quorum")]
    pub quorum: u8,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Words<REASON_LEN_MAX>>,
    /// Who made it, for people.
    pub by: Words<MADE_LEN_MAX>,
    /// When, for people.
    pub made_at: Words<MADE_LEN_MAX>,
}

fn quorum() -> u8 {
    QUORUM_DEFAULT
}

/// What is known of a node, as far as a release is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing was heard of it for a while.
    Silent,
    /// It does not have the release yet.
    Behind,
    /// It has it and watches itself.
    Baking,
    /// It has it, and all gates stand.
    Healthy,
    /// It did not take it, or fell back.
    Failed(String),
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its place in the fleet.
    pub who: Who,
    /// How it is.
    pub state: State,
}

/// How the nodes of a stage are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All of them.
    pub nodes: usize,
    /// See [`State`].
    pub healthy: usize,
    /// See [`State`].
    pub baking: usize,
    /// See [`State`].
    pub behind: usize,
    /// See [`State`].
    pub silent: usize,
    /// Those that failed, with why.
    pub failed: Vec<(String, String)>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} healthy", self.healthy, self.nodes)?;
        let parts = [(self.baking, "baking"), (self.behind, "behind"), (self.failed.len(), "failed")];
        for (count, word) in
            parts.into_iter().chain([(self.silent, "silent")]).filter(|(count, _)| *count > 0)
        {
            write!(f, ", {count} {word}")?;
        }
        Ok(())
    }
}

/// How far a roll is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// No pointer names the release yet.
    Nothing,
    /// Its pointers say this stage.
    Stage(usize),
    /// The pointers say something else: a hold, a rollback, a newer release.
    Elsewhere(String),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing yet, and what for.
    Wait(String),
    /// The stage of this number is next.
    Next(usize),
    /// All nodes have it.
    Done,
    /// It must not go further.
    Stop(String),
}

impl Roll {
    /// Reads the line of a roll. Its signatures are the caller's matter, and are to be checked first.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &str) -> Result<Self, Refused> {
        if line.len() > SIGNED_LINE_LEN_MAX {
            let words = format!("a roll of {} bytes; at most {SIGNED_LINE_LEN_MAX} are read", line.len());
            return Err(Refused::new(Code::TooLarge, words));
        }
        let roll: Self = serde_json::from_str(line)
            .map_err(|error| Refused::new(Code::UnknownFormat, format!("not a roll: {error}")))?;
        roll.check()?;
        Ok(roll)
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
    /// See [`Roll::parse`].
    pub fn check(&self) -> Result<(), Refused> {
        let refuse = |words: &str| Err(Refused::new(Code::NotAllowed, words));
        if self.format != FORMAT {
            let words =
                format!("a roll of format {}, and this program reads {FORMAT}; upgrade it", self.format);
            return Err(Refused::new(Code::UnknownFormat, words));
        }
        if !(1..=ROLL_STAGES_MAX).contains(&self.stages.len()) {
            return refuse(&format!("a roll has 1 to {ROLL_STAGES_MAX} stages"));
        }
        if self.stages.last().is_some_and(|stage| stage.to != To::ALL) {
            return refuse("the last stage of a roll is `all`");
        }
        if self.stages.iter().any(|stage| stage.bake > BAKE_MAX_SECONDS) {
            return refuse(&format!("`bake` is at most {BAKE_MAX_SECONDS} seconds"));
        }
        if !(1..=100).contains(&self.quorum) {
            return refuse("`quorum` is from 1 to 100 percent");
        }
        for [one, next] in self.stages.array_windows() {
            match (&one.to, &next.to) {
                (To::Share(one), To::Share(next)) if one >= next => {
                    return refuse("shares grow from stage to stage");
                }
                (To::Share(_), To::Scope(_)) => {
                    return refuse("colos and nodes come before shares of the fleet");
                }
                _ => {}
            }
        }
        for (at, stage) in self.stages.iter().enumerate() {
            if self.stages[..at].iter().any(|before| before.to == stage.to) {
                return refuse(&format!("{} is there twice", stage.to));
            }
        }
        let has_part = self.stages.iter().any(|stage| matches!(stage.to, To::Share(share) if share < 100));
        if has_part && self.before.is_none() {
            return refuse(
                "the first release of a fleet has no other one that the rest could keep: leave out shares",
            );
        }
        Ok(())
    }

    /// Whether a node has got the release by this stage.
    #[must_use]
    pub fn has(&self, stage: usize, who: &Who) -> bool {
        self.stages.iter().take(stage + 1).any(|stage| match &stage.to {
            To::Scope(scope) => who.has(scope),
            To::Share(share) => place(&self.release, &who.node) < *share,
        })
    }

    /// The stage that an operator names.
    #[must_use]
    pub fn stage(&self, to: &To) -> Option<usize> {
        self.stages.iter().position(|stage| stage.to == *to)
    }

    /// How far it is, by the pointers that are there.
    #[must_use]
    pub fn reached<'a>(&self, pointer: impl Fn(&Scope) -> Option<&'a Pointer>) -> Reached {
        let wants = |pointer: &Pointer| pointer.release.as_ref() == Some(&self.release);
        let fleet = pointer(&Scope::Fleet);
        if let Some(fleet) = fleet.filter(|fleet| !wants(fleet)) {
            match (fleet.kind, &fleet.release) {
                (pointer::Kind::Hold, _) => return Reached::Elsewhere("the fleet is held".to_owned()),
                (_, Some(release)) if Some(release) != self.before.as_ref() => {
                    return Reached::Elsewhere(format!("the fleet's pointer wants {release}"));
                }
                _ => {}
            }
        }
        let is_reached = |stage: &Stage| match &stage.to {
            To::Scope(scope) => pointer(scope).is_some_and(wants),
            To::Share(share) => fleet.is_some_and(|fleet| wants(fleet) && fleet.share >= *share),
        };
        self.stages.iter().rposition(is_reached).map_or(Reached::Nothing, Reached::Stage)
    }

    /// How the nodes are that have got the release by this stage.
    #[must_use]
    pub fn tally(&self, stage: usize, nodes: &[Seen]) -> Tally {
        let mut tally = Tally::default();
        for Seen { who, state } in nodes.iter().filter(|seen| self.has(stage, &seen.who)) {
            tally.nodes += 1;
            match state {
                State::Silent => tally.silent += 1,
                State::Behind => tally.behind += 1,
                State::Baking => tally.baking += 1,
                State::Healthy => tally.healthy += 1,
                State::Failed(why) => tally.failed.push((who.node.to_string(), why.clone())),
            }
        }
        tally
    }

    /// What is to be done after this stage, as the nodes are.
    ///
    /// In the first stage one node that failed stops the roll, whenever it fails. Later [`FAILED_NODES`] do,
    /// or [`FAILED_PERCENT`] of the stage, whichever is more; or all there are. Who is silent neither counts
    /// as healthy nor is waited for.
    #[must_use]
    pub fn step(&self, stage: usize, nodes: &[Seen]) -> Step {
        let first = self.tally(0, nodes);
        if let Some((node, why)) = first.failed.first().filter(|_| self.stages.len() > 1) {
            return Step::Stop(format!("{node}, of the first stage: {why}"));
        }
        let tally = self.tally(stage, nodes);
        let enough = FAILED_NODES.max((tally.nodes * FAILED_PERCENT).div_ceil(100));
        let heard = tally.nodes - tally.silent;
        if let Some((node, why)) = tally.failed.first()
            && (tally.failed.len() >= enough || tally.failed.len() == heard)
        {
            let count = tally.failed.len();
            return Step::Stop(format!("{count} of {heard} nodes failed, such as {node}: {why}"));
        }
        let to = &self.stages[stage.min(self.stages.len() - 1)].to;
        // A share of a small fleet may be nobody; a colo that nobody has heard of is something else.
        let may_be_nobody =
            matches!(to, To::Share(_)) && nodes.iter().any(|seen| seen.state != State::Silent);
        if heard == 0 && !may_be_nobody {
            return Step::Wait(format!("{to}: no node has been heard of"));
        }
        if tally.healthy * 100 < heard * usize::from(self.quorum) {
            return Step::Wait(format!("{to}: {tally}; {} % must be healthy", self.quorum));
        }
        if stage + 1 < self.stages.len() { Step::Next(stage + 1) } else { Step::Done }
    }
}

#[cfg(test)]
mod tests;
