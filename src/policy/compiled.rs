//! The rules of a node.

use super::facts::Facts;
use super::phase::Phase;
use super::rule::{Decision, Hit, Route, Rule};
use super::upstream::{Upstream, UpstreamId};
use super::world::{Series, Source, World};
use crate::problem::Problem;

/// All rules and routes of a node.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    rules: Vec<Rule>,
    upstreams: Vec<Upstream>,
    resolver: Option<UpstreamId>,
    series: Series,
    folded: Vec<String>,
}

impl Policy {
    /// Compiles rules and routes.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn compile(files: &[Source<'_>], routes: &[Route], world: &World<'_>) -> Result<Self, Vec<Problem>> {
        let _ = (files, routes);
        Ok(Self { series: world.series.clone(), ..Self::default() })
    }

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

    /// Whether any rule is asked in a phase.
    #[must_use]
    pub fn has_rules(&self, phase: Phase) -> bool {
        let _ = phase;
        false
    }

    /// Whether a rule may hand a query over.
    #[must_use]
    pub fn needs_workers(&self) -> bool {
        false
    }

    /// What is counted by name.
    #[must_use]
    pub fn series(&self) -> &Series {
        &self.series
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

    /// The resolver, which is asked as an upstream.
    #[must_use]
    pub fn resolver(&self) -> Option<UpstreamId> {
        self.resolver
    }

    /// How a server of an upstream is counted: a value of the label of servers.
    #[must_use]
    pub fn server_label(&self, upstream: UpstreamId, server: usize) -> usize {
        let _ = (upstream, server);
        crate::limits::SERVER_SERIES_MAX
    }

    /// Each rule that a phase asks, whether it matches, and the term that decides: lines for an operator.
    #[must_use]
    pub fn explain(&self, phase: Phase, facts: &Facts<'_>) -> Vec<String> {
        let _ = (phase, facts);
        Vec::new()
    }

    /// Rules that cannot be true here, and why: lines for an operator.
    #[must_use]
    pub fn folded(&self) -> &[String] {
        &self.folded
    }

    /// Where each rule is asked and what it takes: lines for an operator.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}
