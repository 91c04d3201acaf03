//! The rules of a node, compiled.

use alloc::string::String;
use alloc::vec::Vec;

use super::engine::{Engine, LATER};
use super::facts::Facts;
use super::language::FieldId;
use super::phase::Phase;
use super::rule::{Decision, Hit, Rule, RuleId};
use super::stage::Stage;
use super::upstream::{Upstream, UpstreamId};
use super::world::Series;
use crate::limits::{APP_SERIES_MAX, SERVER_SERIES_MAX};

/// All rules and routes of a node.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    pub(super) rules: Vec<Rule>,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) resolver: Option<UpstreamId>,
    pub(super) series: Series,
    /// The label of each server of each upstream.
    pub(super) labels: Vec<Vec<u8>>,
    /// The names of tags, by their bits.
    pub(super) tags: Vec<String>,
    /// The names of applications.
    pub(super) apps: Vec<String>,
    /// What each application may ask, in the order in which it names them.
    pub(super) forwards: Vec<Vec<UpstreamId>>,
    /// The label of each application.
    pub(super) app_labels: Vec<u8>,
    /// How many names and networks each rule lists.
    pub(super) listed: Vec<[usize; 2]>,
    pub(super) engine: Engine,
    pub(super) folded: Vec<String>,
    /// Files that may have been cut off: they end in the middle of a line.
    pub(super) unended: Vec<String>,
}

impl Policy {
    /// Whether no rule concerns a query that came to this listener.
    #[inline]
    #[must_use]
    pub fn is_free(&self, listener: usize) -> bool {
        self.engine.busy >> (listener & 63) & 1 == 0
    }

    /// What a phase comes to. Rules that match are given to `note`.
    #[inline]
    #[must_use]
    pub fn decide(&self, phase: Phase, facts: &Facts<'_>, note: &mut impl FnMut(Hit)) -> Decision {
        self.engine.decide(phase as usize, &self.rules, facts, note)
    }

    /// What a phase comes to without a rule and those before it.
    #[must_use]
    pub fn decide_after(
        &self,
        phase: Phase,
        rule: RuleId,
        facts: &Facts<'_>,
        note: &mut impl FnMut(Hit),
    ) -> Decision {
        self.engine.decide_of(phase as usize, |entry| entry.rule > rule, &self.rules, facts, note)
    }

    /// Whether a rule of a later phase may match a query that no route takes, as far as a shard can know.
    #[inline]
    #[must_use]
    pub fn may_concern(&self, facts: &Facts<'_>) -> bool {
        self.engine.any_matches(LATER, facts)
    }

    /// Whether any rule is asked in a phase.
    #[inline]
    #[must_use]
    pub fn has_rules(&self, phase: Phase) -> bool {
        !self.engine.stages[phase as usize].entries.is_empty()
    }

    /// Whether a rule may hand a query over, or there is an application, which may have work of its own.
    #[must_use]
    pub fn needs_workers(&self) -> bool {
        !self.apps.is_empty()
            || self.has_rules_of(LATER)
            || self.asked(Phase::Route as usize).any(Rule::waits)
    }

    /// Whether any rule asks where clients are.
    #[must_use]
    pub fn needs_places(&self) -> bool {
        let is_place = |field| matches!(field, FieldId::Country | FieldId::Asn);
        self.engine.terms.iter().any(|term| is_place(term.field))
    }

    /// Whether any rule wants queries traced.
    #[must_use]
    pub fn wants_traces(&self) -> bool {
        self.rules.iter().any(|rule| rule.log)
    }

    fn has_rules_of(&self, stage: usize) -> bool {
        !self.engine.stages[stage].entries.is_empty()
    }

    /// The rules that are asked in a phase, in their order; those that cannot be true here are not among them.
    pub fn asked_in(&self, phase: Phase) -> impl Iterator<Item = RuleId> {
        self.engine.stages[phase as usize].entries.iter().map(|entry| entry.rule)
    }

    /// The rules that are asked in a stage.
    fn asked(&self, stage: usize) -> impl Iterator<Item = &Rule> {
        self.engine.stages[stage].entries.iter().map(|entry| &self.rules[usize::from(entry.rule)])
    }

    /// What is counted by name.
    #[must_use]
    pub fn series(&self) -> &Series {
        &self.series
    }

    /// The rules, in the order in which they are asked. Those that cannot be true here are among them.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether a rule is asked in any phase: else it cannot be true here.
    #[must_use]
    pub fn is_asked(&self, rule: RuleId) -> bool {
        let has = |stage: &Stage| stage.entries.iter().any(|entry| entry.rule == rule);
        self.engine.stages[..LATER].iter().any(has)
    }

    /// The upstreams, by their ids.
    #[must_use]
    pub fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }

    /// The resolver, which is asked as an upstream.
    #[must_use]
    pub fn resolver(&self) -> Option<UpstreamId> {
        self.resolver
    }

    /// How a server of an upstream is counted: a value of the label of servers.
    #[inline]
    #[must_use]
    pub fn server_label(&self, upstream: UpstreamId, server: usize) -> usize {
        let label = self.labels.get(usize::from(upstream)).and_then(|labels| labels.get(server));
        label.map_or(SERVER_SERIES_MAX, |label| usize::from(*label))
    }

    /// The upstreams that an application may ask, in the order in which it names them.
    #[must_use]
    pub fn forwards(&self, app: u16) -> &[UpstreamId] {
        self.forwards.get(usize::from(app)).map_or(&[], Vec::as_slice)
    }

    /// How an application is counted: a value of the label of applications.
    #[inline]
    #[must_use]
    pub fn app_label(&self, app: u16) -> usize {
        self.app_labels.get(usize::from(app)).map_or(APP_SERIES_MAX, |label| usize::from(*label))
    }

    /// Rules that cannot be true here, and why: lines for an operator.
    #[must_use]
    pub fn folded(&self) -> &[String] {
        &self.folded
    }
}
