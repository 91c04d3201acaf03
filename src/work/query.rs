//! The life of one query, as a state machine without I/O and without a clock: what has happened goes in, what
//! is to be done next comes out. Whoever drives it does that, and says what came of it.
//!
//! ```text
//! route -> request -> lookup -> post-cache -> exchange -> response -> store -> reply -> send -> done
//! ```
//!
//! Rules leave this way in any phase, and applications that they name. Each query gets one reply, or none
//! where a rule drops it, and ends.

mod apps;
#[cfg(test)]
mod tests;
mod words;

use std::time::Instant;

use crate::dns::consts::rcode;
use crate::limits::{WORK_EXCHANGES_MAX, WORK_NEXT_MAX};
use crate::policy::facts::{Cached, Later, Outcome, Tags};
use crate::policy::phase::Phase;
use crate::policy::upstream::UpstreamId;
use crate::policy::{Action, Decision, Fallback, RuleId};
use crate::stats::labels::{WORK_REFUSED_DEADLINE, WORK_REFUSED_UPSTREAM};

pub use words::Reply;
use words::is_error;
pub(super) use words::{Effect, Event, Looked, Patience, Response, Rules};

/// "Cached Error" (RFC 8914, section 4.14).
const EDE_CACHED_ERROR: u16 = 13;
/// "No Reachable Authority" (RFC 8914, section 4.23).
const EDE_NO_REACHABLE_AUTHORITY: u16 = 22;
/// "Network Error" (RFC 8914, section 4.24).
const EDE_NETWORK_ERROR: u16 = 23;
const SERVFAIL: u16 = rcode::SERVFAIL as u16;
const REFUSED: u16 = rcode::REFUSED as u16;

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Native,
    Upstream(UpstreamId),
}

/// Why something stale is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The client has waited for long enough; servers are still being asked.
    Due,
    /// Servers were asked in vain. Without it the query gets its fallback, by this value of `WORK_REFUSAL`.
    Failed(usize),
    /// Only what the cache has will do. Without it the query gets its fallback.
    CacheOnly,
    /// It is the fallback.
    Fallback,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Start,
    Deciding(Phase),
    /// A copy is being sent; then the phase goes on with this.
    Copying(Phase, Option<(RuleId, Action)>),
    /// An application is asked, for a rule of the phase.
    Calling(Phase, RuleId),
    /// It holds the query.
    Held(Phase, RuleId),
    /// It failed: that is being counted.
    Failed(Phase, RuleId),
    Looking,
    LookingForStale(Why),
    Asking,
    Waiting,
    Storing,
    Failing,
    /// The fallback of a rule is being counted.
    Refusing(Option<RuleId>),
    Making,
    /// The rules of phase `reply` have replaced it.
    Remaking,
    Sending,
    Ended,
}

/// One query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Query {
    state: State,
    /// Somebody waits for the reply. Without a client it only fills the cache.
    has_client: bool,
    /// It came over TCP.
    is_tcp: bool,
    asked: Instant,
    patience: Patience,
    /// Who has said where the answer comes from, in each of the phases up to `post-cache`.
    takers: [Option<(RuleId, Source)>; 3],
    /// The rule that only wants what the cache has.
    cache_only: Option<RuleId>,
    /// Where the cache was looked into.
    view: Option<Option<UpstreamId>>,
    cached: Option<Cached>,
    /// It is known that the upstream that was looked for in the cache cannot be asked.
    has_failed: bool,
    no_store: bool,
    has_copy: bool,
    is_traced: bool,
    tags: Tags,
    exchanges: u8,
    nexts: u8,
    /// Rules of phase `request` have been asked.
    was_requested: bool,
    /// The applications that rules of phase `route` have asked, a bit for each.
    routed: u32,
    response: Option<Response>,
    /// Who was asked last.
    upstream: Option<UpstreamId>,
    /// The client has its reply, and servers are still being asked, for the cache.
    goes_on: bool,
    /// Its time is up: nobody is asked any more.
    is_over: bool,
    /// Of the reply.
    rcode: Option<u16>,
}

impl Query {
    /// A query with a client, which was taken in at `asked`.
    pub(super) fn new(asked: Instant, is_tcp: bool, patience: Patience) -> Self {
        Self {
            state: State::Start,
            has_client: true,
            is_tcp,
            asked,
            patience,
            takers: [None; 3],
            cache_only: None,
            view: None,
            cached: None,
            has_failed: false,
            no_store: false,
            has_copy: false,
            is_traced: false,
            tags: Tags::default(),
            exchanges: 0,
            nexts: 0,
            was_requested: false,
            routed: 0,
            response: None,
            upstream: None,
            goes_on: false,
            is_over: false,
            rcode: None,
        }
    }

    /// A query without a client, for the cache to have fresh what it just had; unless that was no upstream's.
    pub(super) fn prefetch(&self, now: Instant) -> Option<Self> {
        self.view??;
        let (takers, view, tags) = (self.takers, self.view, self.tags);
        Some(Self { has_client: false, takers, view, tags, ..Self::new(now, self.is_tcp, self.patience) })
    }

    /// What rules may know beyond the packet.
    pub(super) fn later(&self) -> Later {
        Later {
            cache: self.cached,
            upstream: self.upstream,
            rtt: self.response.and_then(|response| response.rtt),
            outcome: self.response.map(|response| response.outcome),
            rcode: self.rcode.or_else(|| self.response?.rcode),
            ..Later::default()
        }
    }

    /// When it was taken in.
    pub(super) fn asked(&self) -> Instant {
        self.asked
    }

    pub(super) fn tags(&self) -> Tags {
        self.tags
    }

    /// Whether a rule with `log` has matched.
    pub(super) fn is_traced(&self) -> bool {
        self.is_traced
    }

    /// Whether the cache has something for it, and an answer only makes that fresh.
    pub(super) fn has_something(&self) -> bool {
        self.has_stale() || !self.has_client
    }

    pub(super) fn has_client(&self) -> bool {
        self.has_client
    }

    /// Where the cache was looked into, if it was.
    pub(super) fn view(&self) -> Option<Option<UpstreamId>> {
        self.view
    }

    /// The rule that decides where the answer comes from.
    pub(super) fn rule(&self) -> Option<RuleId> {
        self.cache_only.or_else(|| self.taker().map(|(rule, _)| rule))
    }

    /// When its time is up.
    pub(super) fn deadline(&self, rules: &Rules<'_>) -> Instant {
        let asking = match self.state {
            State::Calling(_, rule) | State::Held(_, rule) => Some(rule),
            _ => None,
        };
        let takers = self.takers.iter().rev().flatten().map(|&(rule, _)| rule);
        let timeout = asking.into_iter().chain(takers).find_map(|rule| rules.rule(rule)?.timeout);
        self.asked + timeout.unwrap_or(self.patience.query)
    }

    /// The phase in which an application holds it.
    pub(super) fn held_in(&self) -> Option<Phase> {
        match self.state {
            State::Held(phase, _) => Some(phase),
            _ => None,
        }
    }

    /// What happens while it waits, and when.
    pub(super) fn timer(&self, rules: &Rules<'_>) -> Option<(Instant, Event)> {
        let deadline = (self.deadline(rules), Event::Deadline);
        match self.state {
            State::Waiting => {}
            State::Held(..) => return Some(deadline),
            _ => return None,
        }
        let stale = (self.asked + self.patience.stale, Event::StaleDue);
        let is_first = self.has_client && self.has_stale() && stale.0 < deadline.0;
        Some(if is_first { stale } else { deadline })
    }

    /// Takes in what has happened. What does not belong here changes nothing.
    pub(super) fn step(&mut self, event: Event, rules: &Rules<'_>) -> Effect {
        match (self.state, event) {
            (State::Start, Event::Begin) => self.begin(),
            (State::Deciding(phase), Event::Decided(decision)) => self.decided(phase, &decision, rules),
            (State::Copying(phase, taken), Event::Done) => self.act(phase, taken, rules),
            (State::Calling(phase, rule) | State::Held(phase, rule), Event::Called(called)) => {
                self.called(phase, rule, called, rules)
            }
            (State::Calling(phase, rule), Event::NotAsked(reason)) => self.not_called(phase, rule, reason),
            (State::Held(phase, rule), Event::Deadline) => {
                self.is_over = true;
                self.not_called(phase, rule, WORK_REFUSED_DEADLINE)
            }
            (State::Failed(phase, rule), Event::Done) => self.fall_back_in(phase, rule, rules),
            (State::Looking, Event::Looked(looked)) => self.looked(looked),
            (State::LookingForStale(why), Event::Looked(looked)) => self.looked_for_stale(why, looked),
            (State::Asking, Event::Asked) => self.wait(),
            (State::Asking, Event::NotAsked(WORK_REFUSED_UPSTREAM)) => {
                self.responded(Response { outcome: Outcome::Refused, rcode: None, rtt: None })
            }
            (State::Asking, Event::NotAsked(reason)) => self.fail(reason),
            (State::Waiting, Event::Finished(response)) => self.responded(response),
            (State::Waiting, Event::StaleDue) if self.has_client && self.has_stale() => {
                self.look_for_stale(Why::Due)
            }
            (State::Waiting, Event::Deadline) => {
                self.is_over = true;
                self.responded(Response { outcome: Outcome::Timeout, rcode: None, rtt: None })
            }
            (State::Storing, Event::Done) if self.has_client => self.make(Reply::Response),
            (State::Failing, Event::Done) => self.fail(self.reason()),
            (State::Refusing(rule), Event::Done) => self.fall_back(rule, rules),
            (State::Making, Event::Made(rcode)) => self.made(rcode),
            (State::Remaking, Event::Made(rcode)) => {
                self.rcode = rcode;
                self.to(State::Sending, Effect::Send)
            }
            (State::Sending, Event::Done) => self.sent(),
            (State::Storing, Event::Done) | (State::Ended, _) => self.end(),
            _ => Effect::Wait,
        }
    }

    fn to(&mut self, state: State, effect: Effect) -> Effect {
        self.state = state;
        effect
    }

    fn end(&mut self) -> Effect {
        self.to(State::Ended, Effect::End)
    }

    fn wait(&mut self) -> Effect {
        self.to(State::Waiting, Effect::Wait)
    }

    fn begin(&mut self) -> Effect {
        match self.source() {
            _ if self.has_client => self.decide(Phase::Route),
            Source::Upstream(upstream) => self.ask(upstream),
            Source::Native => self.end(),
        }
    }

    fn decide(&mut self, phase: Phase) -> Effect {
        self.was_requested |= phase == Phase::Request;
        self.to(State::Deciding(phase), Effect::Decide(phase, None))
    }

    fn decided(&mut self, phase: Phase, decision: &Decision, rules: &Rules<'_>) -> Effect {
        self.tags = decision.tags;
        self.no_store |= decision.no_store;
        self.is_traced |= decision.is_traced;
        if let Some((rule, upstream)) = decision.divert.filter(|_| self.has_client && !self.has_copy) {
            self.has_copy = true;
            return self.to(State::Copying(phase, decision.taken), Effect::Copy(rule, upstream));
        }
        self.act(phase, decision.taken, rules)
    }

    fn act(&mut self, phase: Phase, taken: Option<(RuleId, Action)>, rules: &Rules<'_>) -> Effect {
        match (phase, taken) {
            (_, Some((rule, Action::App(app)))) if self.may_call(phase) => self.call(phase, rule, app),
            (Phase::Done, _) if self.goes_on => self.wait(),
            (Phase::Done, _) => self.end(),
            (Phase::Reply, _) => self.replace(taken.map(|(_, action)| action)),
            (_, Some((rule, action))) => self.take(phase, rule, action, rules),
            (_, None) => self.pass(phase, rules),
        }
    }

    /// No rule of the phase has a say.
    fn pass(&mut self, phase: Phase, rules: &Rules<'_>) -> Effect {
        match phase {
            // After a fallback to what comes next.
            Phase::Route if self.was_requested => self.look(rules),
            Phase::Route => self.decide(Phase::Request),
            Phase::Request => self.look(rules),
            Phase::PostCache => self.exchange(),
            Phase::Response | Phase::Reply | Phase::Done => self.accept(),
        }
    }

    fn take(&mut self, phase: Phase, rule: RuleId, action: Action, rules: &Rules<'_>) -> Effect {
        let is_forward = matches!(action, Action::Forward(_) | Action::Resolve);
        if phase == Phase::Route && self.cache_only.is_some() && !is_forward {
            // The rules after one that only wants what the cache has just say whose answers those are.
            return self.pass(phase, rules);
        }
        match action {
            Action::Retry(upstream) if self.may_ask() && phase == Phase::Response => self.ask(upstream),
            Action::Retry(_) | Action::Pass | Action::NoStore | Action::Divert(_) | Action::Tag(_) => {
                self.pass(phase, rules)
            }
            // It has been asked, or cannot be here.
            Action::App(_) => self.pass(phase, rules),
            // Over TCP the client is where it is sent to.
            Action::Truncate if self.is_tcp => self.pass(phase, rules),
            _ if !self.has_client => self.end(),
            Action::Native => self.make(Reply::Native),
            Action::Answer(rcode) => self.make(Reply::Code(rcode, None)),
            Action::Drop => self.make(Reply::None),
            Action::Truncate => self.make(Reply::Truncated),
            Action::Forward(upstream) => self.route(phase, rule, Source::Upstream(upstream), rules),
            Action::Resolve => match rules.resolver {
                Some(resolver) => self.route(phase, rule, Source::Upstream(resolver), rules),
                None => self.cannot(phase, rule),
            },
            Action::CacheOnly => self.only_cached(phase, rule, rules),
        }
    }

    /// The answer comes from there.
    fn route(&mut self, phase: Phase, rule: RuleId, source: Source, rules: &Rules<'_>) -> Effect {
        self.taken(phase, rule, source);
        match (phase, source) {
            (Phase::Response, Source::Upstream(upstream)) if self.may_ask() => self.ask(upstream),
            _ => self.pass(phase, rules),
        }
    }

    /// Nobody here can do what the rule says.
    fn cannot(&mut self, phase: Phase, rule: RuleId) -> Effect {
        self.taken(phase, rule, Source::Native);
        self.fail(WORK_REFUSED_UPSTREAM)
    }

    fn taken(&mut self, phase: Phase, rule: RuleId, source: Source) {
        let place = (phase as usize).min(self.takers.len() - 1);
        self.takers[place] = Some((rule, source));
        self.cache_only = self.cache_only.filter(|_| phase == Phase::Route);
    }

    fn only_cached(&mut self, phase: Phase, rule: RuleId, rules: &Rules<'_>) -> Effect {
        self.cache_only = Some(rule);
        match phase {
            Phase::Route => self.to(State::Deciding(phase), Effect::Decide(phase, Some(rule))),
            Phase::Request => self.look(rules),
            _ => self.look_for_stale(Why::CacheOnly),
        }
    }

    fn taker(&self) -> Option<(RuleId, Source)> {
        self.takers.iter().rev().flatten().next().copied()
    }

    fn source(&self) -> Source {
        self.taker().map_or(Source::Native, |(_, source)| source)
    }

    fn look(&mut self, rules: &Rules<'_>) -> Effect {
        let upstream = match self.source() {
            Source::Upstream(upstream) => Some(upstream),
            Source::Native if self.cache_only.is_none() && !rules.has_post_cache => {
                return self.make(Reply::Native);
            }
            Source::Native => None,
        };
        self.view = Some(upstream);
        self.to(State::Looking, Effect::LookUp(upstream))
    }

    fn looked(&mut self, looked: Looked) -> Effect {
        self.has_failed = looked == Looked::Failure;
        self.cached = Some(match looked {
            Looked::Fresh => Cached::Hit,
            Looked::Stale | Looked::Held => Cached::Stale,
            Looked::Failure | Looked::Miss => Cached::Miss,
        });
        let is_only = self.cache_only.is_some();
        match looked {
            Looked::Fresh => self.make(Reply::Cached),
            Looked::Held => self.make(Reply::Stale { is_tried: false }),
            Looked::Stale if is_only => self.make(Reply::Stale { is_tried: false }),
            Looked::Failure | Looked::Miss if is_only => self.refuse(WORK_REFUSED_UPSTREAM),
            _ => self.decide(Phase::PostCache),
        }
    }

    fn exchange(&mut self) -> Effect {
        match self.source() {
            Source::Native => self.make(Reply::Native),
            Source::Upstream(upstream) if self.may_ask() && !self.has_failed => self.ask(upstream),
            Source::Upstream(_) => self.fail(WORK_REFUSED_UPSTREAM),
        }
    }

    fn may_ask(&self) -> bool {
        self.exchanges < WORK_EXCHANGES_MAX && !self.is_over
    }

    fn ask(&mut self, upstream: UpstreamId) -> Effect {
        self.exchanges += 1;
        (self.upstream, self.response) = (Some(upstream), None);
        self.to(State::Asking, Effect::Ask(upstream))
    }

    fn responded(&mut self, response: Response) -> Effect {
        self.response = Some(response);
        self.decide(Phase::Response)
    }

    /// Takes what came of the exchange.
    fn accept(&mut self) -> Effect {
        let is_kept = self.view.is_some() && !self.no_store;
        match self.response {
            Some(response) if response.is_answer() && is_kept => self.to(State::Storing, Effect::Store),
            Some(response) if response.is_answer() => self.make(Reply::Response),
            // A circuit that is open is known already, and may close at any time.
            Some(response)
                if response.outcome != Outcome::Refused
                    && is_kept
                    && self.has_client
                    && !self.has_stale() =>
            {
                self.to(State::Failing, Effect::Fail)
            }
            _ => self.fail(self.reason()),
        }
    }

    /// Why the last exchange gives no answer.
    fn reason(&self) -> usize {
        if self.is_over { WORK_REFUSED_DEADLINE } else { WORK_REFUSED_UPSTREAM }
    }

    fn has_stale(&self) -> bool {
        self.cached == Some(Cached::Stale)
    }

    /// It gets what is stale, else its fallback.
    fn fail(&mut self, reason: usize) -> Effect {
        match self.has_client {
            false => self.end(),
            true if self.has_stale() => self.look_for_stale(Why::Failed(reason)),
            true => self.refuse(reason),
        }
    }

    fn look_for_stale(&mut self, why: Why) -> Effect {
        let view = *self.view.get_or_insert(None);
        self.to(State::LookingForStale(why), Effect::LookUp(view))
    }

    fn looked_for_stale(&mut self, why: Why, looked: Looked) -> Effect {
        let is_there = matches!(looked, Looked::Fresh | Looked::Stale | Looked::Held);
        self.goes_on = why == Why::Due && is_there;
        match (looked, why) {
            (Looked::Fresh, _) => self.make(Reply::Cached),
            (Looked::Stale | Looked::Held, _) => {
                self.make(Reply::Stale { is_tried: matches!(why, Why::Due | Why::Failed(_)) })
            }
            (Looked::Failure | Looked::Miss, _) => {
                // It had to make room for something else.
                self.cached = Some(Cached::Miss);
                match why {
                    Why::Due => self.wait(),
                    Why::Failed(reason) => self.refuse(reason),
                    Why::CacheOnly => self.refuse(WORK_REFUSED_UPSTREAM),
                    Why::Fallback => self.make(Reply::Code(SERVFAIL, None)),
                }
            }
        }
    }

    fn refuse(&mut self, reason: usize) -> Effect {
        let rule = self.rule();
        self.to(State::Refusing(rule), Effect::Refused(rule, reason))
    }

    fn fall_back(&mut self, rule: Option<RuleId>, rules: &Rules<'_>) -> Effect {
        let rule = rule.and_then(|id| Some((id, rules.rule(id)?)));
        match rule.map_or(Fallback::Native, |(_, rule)| rule.fallback) {
            // What is stale has been looked for.
            Fallback::Fail | Fallback::Stale => self.make(self.failure()),
            Fallback::Refuse => self.make(Reply::Code(REFUSED, None)),
            Fallback::Native => self.make(Reply::Native),
            Fallback::Drop => self.make(Reply::None),
            Fallback::Next => match rule {
                Some((id, rule)) if self.nexts < WORK_NEXT_MAX && !self.is_over => self.next(id, rule.phase),
                _ => self.make(self.failure()),
            },
        }
    }

    /// As if this rule were not there.
    fn next(&mut self, rule: RuleId, phase: Phase) -> Effect {
        self.nexts += 1;
        self.takers.iter_mut().skip(phase as usize).for_each(|taker| *taker = None);
        (self.cache_only, self.response, self.has_failed) = (None, None, false);
        self.to(State::Deciding(phase), Effect::Decide(phase, Some(rule)))
    }

    /// What tells the client that there is no answer.
    fn failure(&self) -> Reply {
        let said = self.response.and_then(|response| response.rcode).filter(|rcode| is_error(*rcode));
        let error = match self.response.map(|response| response.outcome) {
            _ if self.has_failed => Some(EDE_CACHED_ERROR),
            Some(Outcome::Bad) if said.is_none() => Some(EDE_NETWORK_ERROR),
            Some(_) => Some(EDE_NO_REACHABLE_AUTHORITY),
            None => None,
        };
        Reply::Code(said.unwrap_or(SERVFAIL), error)
    }

    fn make(&mut self, reply: Reply) -> Effect {
        match self.has_client {
            true => self.to(State::Making, Effect::Make(reply)),
            false => self.end(),
        }
    }

    fn made(&mut self, rcode: Option<u16>) -> Effect {
        self.rcode = rcode;
        match rcode {
            Some(_) => self.decide(Phase::Reply),
            None => self.to(State::Sending, Effect::Send),
        }
    }

    /// Rules of phase `reply` may say something else.
    fn replace(&mut self, action: Option<Action>) -> Effect {
        let reply = match action {
            Some(Action::Native) => Reply::Native,
            Some(Action::Answer(rcode)) => Reply::Code(rcode, None),
            Some(Action::Drop) => Reply::None,
            Some(Action::Truncate) if !self.is_tcp => Reply::Truncated,
            _ => return self.to(State::Sending, Effect::Send),
        };
        self.to(State::Remaking, Effect::Make(reply))
    }

    fn sent(&mut self) -> Effect {
        self.has_client = false;
        self.decide(Phase::Done)
    }
}
