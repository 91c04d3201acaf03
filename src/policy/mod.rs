//! The router: rules and routes, compiled to one decision for each phase of a query's life.
//!
//! No I/O, no clock; nothing here allocates once a [`Policy`] is made.

pub mod facts;
pub mod phase;
pub mod upstream;

use std::time::Duration;

use ipnet::IpNet;

use facts::{Facts, Tags};
use phase::Phase;
use upstream::{Upstream, UpstreamId};

/// A rule or a route, by its place in the policy.
pub type RuleId = u16;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The node's own zones answer.
    Native,
    /// A reply with this response code and no records.
    Answer(u16),
    /// No reply.
    Drop,
    /// A truncated reply, which sends the client to TCP.
    Truncate,
    /// The servers of an upstream are asked.
    Forward(UpstreamId),
    /// The resolver is asked.
    Resolve,
    /// A guest application answers.
    App(u16),
    /// What the cache holds, be it stale; else the fallback.
    CacheOnly,
    /// Other servers are asked, instead of taking this response.
    Retry(UpstreamId),
    /// Nothing: no further rule of this phase is looked at.
    Pass,
    /// The response is not stored; further rules are looked at.
    NoStore,
    /// A copy is sent to a server, whose answer is compared; further rules are looked at.
    Divert(UpstreamId),
    /// The query has a tag from here on; further rules are looked at.
    Tag(u8),
}

/// What a query gets when nobody can handle it as the rule says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// SERVFAIL.
    #[default]
    Fail,
    /// REFUSED.
    Refuse,
    /// The node's own zones answer.
    Native,
    /// No reply.
    Drop,
    /// What it would have had without this rule.
    Next,
    /// What the cache holds, be it stale; else SERVFAIL.
    Stale,
}

/// What a phase comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The rule that ended the phase, and what it does.
    pub taken: Option<(RuleId, Action)>,
    /// Where a copy goes.
    pub divert: Option<(RuleId, UpstreamId)>,
    /// The tags of the query, with those it had before.
    pub tags: Tags,
    /// The response is not to be stored.
    pub no_store: bool,
    /// A rule with `log` has matched.
    pub is_traced: bool,
}

/// A rule that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The rule.
    pub rule: RuleId,
    /// It only counts what it would have done.
    pub is_dry_run: bool,
}

/// A rule or a route.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What it is called in counters.
    pub name: String,
    /// `file:line:column`.
    pub place: String,
    /// Where it is asked.
    pub phase: Phase,
    /// What it does.
    pub action: Action,
    /// What happens when that cannot be.
    pub fallback: Fallback,
    /// How long a query may take that it hands over.
    pub timeout: Option<Duration>,
    /// Queries that match are traced.
    pub log: bool,
    /// It counts, and does nothing else.
    pub dry_run: bool,
    /// How it is counted: a value of the label of rules.
    pub label: u8,
}

/// A route of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What it is called.
    pub name: String,
    /// Which queries it takes, in the language of rules.
    pub when: String,
    /// What it does with them: an action of the language of rules.
    pub then: String,
    /// Whose. Without it a route that forwards or resolves is refused.
    pub allow: Vec<IpNet>,
    /// What happens when that cannot be.
    pub fallback: Fallback,
    /// Where it stands: `file:line:column`.
    pub place: String,
}

/// All rules and routes of a node.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    rules: Vec<Rule>,
    upstreams: Vec<Upstream>,
}

impl Policy {
    /// Whether no rule concerns a query that came to this listener.
    #[inline]
    #[must_use]
    pub fn is_free(&self, listener: usize) -> bool {
        let _ = listener;
        self.rules.is_empty()
    }

    /// What a phase comes to. Rules that match are given to `note`.
    #[must_use]
    pub fn decide(&self, phase: Phase, facts: &Facts<'_>, note: &mut impl FnMut(Hit)) -> Decision {
        let _ = (phase, facts, note);
        Decision::default()
    }

    /// Whether a rule of a later phase may match a query that no route takes.
    #[must_use]
    pub fn may_concern(&self, facts: &Facts<'_>) -> bool {
        let _ = facts;
        false
    }

    /// The rules, in the order in which they are asked.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The upstreams, by their ids.
    #[must_use]
    pub fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }

    /// Whether a rule may hand a query over.
    #[must_use]
    pub fn needs_workers(&self) -> bool {
        false
    }
}
