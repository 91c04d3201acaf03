//! A query that a worker has, with all that belongs to it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::divert::Copy;
use super::guests::Exchange;
use super::places::Place;
use super::query::{Effect, Query, Reply, Rules};
use super::question::Packet;
use super::responses::Ended;
use super::trace::Steps;
use crate::policy::phase::Phase;
use crate::policy::{Policy, RuleId};
use crate::serve::job::Job;
use crate::serve::snapshot::Snapshot;

/// A query that a worker has.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) query: Query,
    pub(super) job: Box<Job>,
    /// The desk that the job goes back to. Without one it is nobody's.
    pub(super) desk: Option<usize>,
    pub(super) snapshot: Arc<Snapshot>,
    /// Its number, if it has waited.
    pub(super) number: Option<u32>,
    /// The number of its copy, if one was sent.
    pub(super) copy: Option<u32>,
    pub(super) place: Option<Place>,
    /// Where it may be traced.
    pub(super) steps: Option<Box<Steps>>,
    /// It is, whether or not a rule with `log` matches.
    pub(super) is_sampled: bool,
    /// The phase that it is in, and since when, if that is recorded.
    pub(super) phase: Option<(Phase, Instant)>,
    /// What its reply is made of.
    pub(super) reply: Reply,
    pub(super) reply_len: Option<usize>,
    /// The query that an application has made of it.
    pub(super) changed: Option<Box<[u8]>>,
    /// What it needs to continue, while an application holds it.
    pub(super) kept: Option<Box<Kept>>,
}

/// What is kept of a query that an application holds: others use the same places meanwhile.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The response, in phase `response`.
    pub(super) ended: Option<Ended>,
    /// The reply, in phase `reply`.
    pub(super) reply: Vec<u8>,
}

/// What waits for an answer, or a timer.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are queries")]
pub(super) enum Waiting {
    Query(Task),
    Copy(Copy),
    /// What an application asks others.
    Exchange(Box<Exchange>),
}

/// What the rules of a snapshot want of its queries.
#[derive(Debug, Default)]
pub(super) struct Wants {
    serial: Option<u32>,
    pub(super) places: bool,
    pub(super) traces: bool,
}

impl Wants {
    /// Nearly all queries are of the same snapshot.
    pub(super) fn see(&mut self, snapshot: &Snapshot) {
        if self.serial != Some(snapshot.serial()) {
            let (serial, policy) = (Some(snapshot.serial()), snapshot.policy());
            *self = Self { serial, places: policy.needs_places(), traces: policy.wants_traces() };
        }
    }
}

impl Task {
    pub(super) fn new(query: Query, job: Box<Job>, desk: Option<usize>, snapshot: &Arc<Snapshot>) -> Self {
        let (number, copy, place, steps, phase, reply_len) = (None, None, None, None, None, None);
        let snapshot = Arc::clone(snapshot);
        let (reply, is_sampled, changed, kept) = (Reply::None, false, None, None);
        Self {
            query,
            job,
            desk,
            snapshot,
            number,
            copy,
            place,
            steps,
            is_sampled,
            phase,
            reply,
            reply_len,
            changed,
            kept,
        }
    }

    /// Whether anybody will see what is noted of it.
    pub(super) fn is_traced(&self) -> bool {
        self.steps.is_some() && (self.is_sampled || self.query.is_traced())
    }

    pub(super) fn client(&self) -> IpAddr {
        self.job.arrival.peer.ip()
    }

    /// What others are asked, and what is looked for in the cache.
    pub(super) fn packet(&self) -> Packet<'_> {
        let bytes = self.changed.as_deref().unwrap_or_else(|| self.job.query());
        Packet { bytes, client: Some(self.client()) }
    }
}

pub(super) fn rules(policy: &Policy) -> Rules<'_> {
    Rules {
        rules: policy.rules(),
        resolver: policy.resolver(),
        has_post_cache: policy.has_rules(Phase::PostCache),
    }
}

/// How a rule is counted.
pub(super) fn label(policy: &Policy, rule: Option<RuleId>) -> usize {
    let rule = rule.and_then(|rule| policy.rules().get(usize::from(rule)));
    rule.map_or(0, |rule| usize::from(rule.label))
}

/// What a step is called in a trace.
pub(super) const fn name(effect: Effect) -> &'static str {
    match effect {
        Effect::Decide(phase, _) => phase.name(),
        Effect::Call(..) => "app",
        Effect::LookUp(_) => "lookup",
        Effect::Ask(_) => "ask",
        Effect::Copy(..) => "copy",
        Effect::Store => "store",
        Effect::Fail => "fail",
        Effect::Refused(..) => "fallback",
        Effect::Make(_) => "make",
        Effect::Send => "send",
        Effect::Wait => "wait",
        Effect::End => "end",
    }
}
