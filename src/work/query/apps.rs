//! The life of a query where a rule names an application: what it says counts, or the rule's fallback.

use super::words::{Effect, Reply, Rules};
use super::{Query, REFUSED, SERVFAIL, State, Why};
use crate::policy::phase::Phase;
use crate::policy::{Fallback, RuleId};
use crate::stats::labels::{WORK_REFUSED_APP, WORK_REFUSED_DEADLINE};
use crate::work::sandbox::call::Called;

impl Query {
    /// The rules after one that only wants what the cache has just say whose answers those are.
    pub(super) fn may_call(&self, phase: Phase) -> bool {
        phase != Phase::Route || self.cache_only.is_none()
    }

    /// A rule asks an application; in phase `request` not again what a rule of phase `route` has asked.
    pub(super) fn call(&mut self, phase: Phase, rule: RuleId, app: u16) -> Effect {
        let bit = 1_u32.checked_shl(app.into()).unwrap_or_default();
        match phase {
            Phase::Request if self.routed & bit != 0 => return self.go_on(phase, rule),
            Phase::Route => self.routed |= bit,
            _ => {}
        }
        self.to(State::Calling(phase, rule), Effect::Call(phase, rule, app))
    }

    /// With the rules after this one.
    fn go_on(&mut self, phase: Phase, rule: RuleId) -> Effect {
        self.to(State::Deciding(phase), Effect::Decide(phase, Some(rule)))
    }

    /// What the application says.
    pub(super) fn called(&mut self, phase: Phase, rule: RuleId, called: Called, rules: &Rules<'_>) -> Effect {
        match (phase, called) {
            (_, Called::Pass) | (Phase::Done, _) => self.go_on(phase, rule),
            (_, Called::Reply) => self.say(phase, Reply::App),
            (_, Called::Code(rcode, error)) => self.say(phase, Reply::Code(rcode, error)),
            (_, Called::Drop) => self.say(phase, Reply::None),
            (_, Called::Later) if self.is_over => self.not_called(phase, rule, WORK_REFUSED_DEADLINE),
            (_, Called::Later) => self.to(State::Held(phase, rule), Effect::Wait),
            (Phase::Route | Phase::Request, Called::Changed) => self.go_on(phase, rule),
            (Phase::Response, Called::Retry(upstream)) if self.may_ask() => self.ask(upstream),
            (Phase::Response, Called::Retry(_)) => self.pass(phase, rules),
            (_, Called::Changed | Called::Retry(_) | Called::Failed) => {
                self.not_called(phase, rule, WORK_REFUSED_APP)
            }
        }
    }

    fn say(&mut self, phase: Phase, reply: Reply) -> Effect {
        match phase {
            Phase::Reply => self.to(State::Remaking, Effect::Make(reply)),
            _ => self.make(reply),
        }
    }

    /// The query gets the fallback of the rule, by a value of `WORK_REFUSAL`.
    pub(super) fn not_called(&mut self, phase: Phase, rule: RuleId, reason: usize) -> Effect {
        match phase {
            Phase::Done => self.go_on(phase, rule),
            _ => self.to(State::Failed(phase, rule), Effect::Refused(Some(rule), reason)),
        }
    }

    /// The fallback of a rule whose application has failed. Where there is a response or a reply, that is
    /// what the query would have had.
    pub(super) fn fall_back_in(&mut self, phase: Phase, rule: RuleId, rules: &Rules<'_>) -> Effect {
        let has_something = matches!(phase, Phase::Response | Phase::Reply);
        match rules.rule(rule).map_or(Fallback::Native, |rule| rule.fallback) {
            Fallback::Native if phase == Phase::Response => self.accept(),
            Fallback::Native if phase == Phase::Reply => self.to(State::Sending, Effect::Send),
            Fallback::Native => self.make(Reply::Native),
            Fallback::Next if has_something || !self.is_over => self.go_on(phase, rule),
            Fallback::Stale if self.has_stale() && phase != Phase::Reply && self.has_client => {
                self.look_for_stale(Why::Fallback)
            }
            Fallback::Fail | Fallback::Next | Fallback::Stale => self.say(phase, Reply::Code(SERVFAIL, None)),
            Fallback::Refuse => self.say(phase, Reply::Code(REFUSED, None)),
            Fallback::Drop => self.say(phase, Reply::None),
        }
    }
}
