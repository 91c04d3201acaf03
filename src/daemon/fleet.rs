//! What is said of the release of a fleet, and what a node answers with it, in one number.

use std::fmt;
use std::time::Instant;

use serde_json::{Value, json};

use super::said::Lines;
use crate::board::fleet::{Served, State};
use crate::config::Config;
use crate::config::released::{Known, Which};
use crate::history::unix_time;
use crate::problem::Problem;
use crate::serve::snapshot::Snapshot;
use crate::zone::is_hostname;

/// What has become of the releases.
#[derive(Debug)]
pub(super) struct Standing {
    /// What is in effect.
    served: Served,
    /// The keys that have signed it.
    verified_by: Vec<String>,
    /// What is wrong with the release that should be.
    problems: Vec<Problem>,
}

/// What nodes that have the same release should have in common: of zones that say who a node is nothing.
#[must_use]
pub fn answers(config: &Config, snapshot: &Snapshot) -> Option<u64> {
    config.fleet.as_ref()?;
    let pools = &config.tailoring.pools;
    let variants = |pool: u16| pools.get(usize::from(pool)).map_or(1, |pool| pool.variants.len());
    Some(snapshot.answers().fingerprint(|name| !is_hostname(name), variants))
}

/// What a node of a fleet would serve, for people: its fleet, the release, and what is answered in one
/// number.
#[must_use]
pub fn told(config: &Config, snapshot: &Snapshot) -> Vec<(&'static str, String)> {
    let Some((fleet, answers)) = config.fleet.as_ref().zip(answers(config, snapshot)) else {
        return Vec::new();
    };
    let release =
        config.release.as_ref().map_or_else(|| "none yet".to_owned(), |release| release.to_string());
    vec![
        ("fleet", format!("{} as {}, in {}", fleet.who.fleet, fleet.who.node, fleet.dir.display())),
        ("release", release),
        ("answers", format!("{answers:016x}")),
    ]
}

impl Standing {
    /// Of what was read: the release of `config` is in effect from now on. Nothing without a fleet.
    pub(super) fn new(
        known: &Known,
        config: &Config,
        snapshot: &Snapshot,
        problems: Vec<Problem>,
    ) -> Option<Self> {
        let mut standing = Self::empty(problems);
        standing.took(known, config, answers(config, snapshot)?);
        Some(standing)
    }

    /// Nothing is in effect yet.
    pub(super) fn empty(problems: Vec<Problem>) -> Self {
        let served = Served { state: State::None, name: None, since: unix_time(), answers: 0, problems: 0 };
        Self { served, verified_by: Vec::new(), problems }
    }

    /// The release of `config` is in effect from now on.
    fn took(&mut self, known: &Known, config: &Config, answers: u64) {
        let release = config.release.as_deref();
        let name = release.map(|release| release.name);
        known.took(name, Instant::now());
        if name != self.served.name {
            self.served.since = unix_time();
        }
        let is_broken = !self.problems.is_empty();
        let state = match release.map(|release| release.which) {
            Some(Which::Current) => State::Current,
            Some(Which::Good) => State::Good,
            None if is_broken => State::Fallback,
            None => State::None,
        };
        let keys = release.map(|release| release.verified_by.iter().map(ToString::to_string).collect());
        self.verified_by = keys.unwrap_or_default();
        self.served = Served { state, name, answers, problems: self.problems.len() as u64, ..self.served };
    }

    /// A reload has taken over the release of `config`, with which nothing is wrong.
    pub(super) fn reloaded(&mut self, known: &Known, config: &Config, answers: u64) {
        self.problems.clear();
        self.took(known, config, answers);
    }

    /// What a reload has read may not take effect.
    pub(super) fn refused(&mut self, problems: &[Problem]) {
        self.problems = problems.to_vec();
        self.served.problems = problems.len() as u64;
    }

    /// For whoever counts.
    pub(super) const fn served(&self) -> Served {
        self.served
    }

    /// For `status`.
    pub(super) fn as_json(&self) -> Value {
        let Served { state, name, since, answers, .. } = self.served;
        let problems: Vec<String> = self.problems.iter().map(ToString::to_string).collect();
        json!({
            "number": name.map(|name| name.number),
            "hash": name.map(|name| name.digest),
            "name": name.map(|name| name.to_string()),
            "state": state.name(),
            "verified_by": self.verified_by,
            "since": since,
            "answers": format!("{answers:016x}"),
            "problems": problems,
        })
    }

    /// Says what is served; first of all whatever is wrong.
    pub(super) fn say(&self, lines: &mut Lines) {
        self.problems.iter().for_each(|problem| lines.error(format!("release: {problem}")));
        match self.served.state {
            State::Current | State::None => lines.say(self.to_string()),
            State::Good | State::Fallback => lines.error(self.to_string()),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = self.verified_by.join(", ");
        match (self.served.state, self.served.name) {
            (State::Current, Some(name)) => write!(f, "release: {name}, signed by {by}"),
            (_, Some(name)) => {
                write!(
                    f,
                    "release: the current one is refused; serving {name}, the last good one, signed by {by}"
                )
            }
            (State::Fallback, None) => {
                f.write_str("release: none can be used; serving this node's own file and the built-in zones")
            }
            (_, None) => f.write_str("release: there is none yet; serving this node's own file"),
        }
    }
}
