//! What a rule does, and what a phase comes to.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use ipnet::IpNet;

use super::facts::Tags;
use super::phase::Phase;
use super::upstream::UpstreamId;

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

impl Fallback {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Fail, Self::Refuse, Self::Native, Self::Drop, Self::Next, Self::Stale];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Refuse => "refuse",
            Self::Native => "native",
            Self::Drop => "drop",
            Self::Next => "next",
            Self::Stale => "stale",
        }
    }
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
    /// How many jobs of each thread that answers it may have, if that is not as many as any rule.
    pub share: Option<u32>,
    /// Its condition names no clients: it may be anybody's query.
    pub is_for_all: bool,
}

impl Rule {
    /// Whether what it does in the phase `route` may wait: then a worker does it.
    #[must_use]
    pub fn waits(&self) -> bool {
        let is_of_worker = matches!(
            self.action,
            Action::Forward(_) | Action::Resolve | Action::App(_) | Action::CacheOnly | Action::Divert(_)
        );
        is_of_worker && !self.dry_run
    }
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
