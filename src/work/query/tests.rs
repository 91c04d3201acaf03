//! Queries through their whole life, without I/O.

mod apps;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::*;
use crate::policy::Rule;
use crate::stats::labels::{WORK_REFUSED_TASKS, WORK_REFUSED_WAITERS};
use crate::work::sandbox::call::Called;

const FALLBACKS: [Fallback; 6] =
    [Fallback::Fail, Fallback::Refuse, Fallback::Native, Fallback::Drop, Fallback::Next, Fallback::Stale];
const PATIENCE: Patience = Patience { query: Duration::from_secs(2), stale: Duration::from_millis(1800) };

fn rule(phase: Phase, action: Action, fallback: Fallback) -> Rule {
    Rule {
        name: "test".to_owned(),
        place: String::new(),
        phase,
        action,
        fallback,
        timeout: None,
        log: false,
        dry_run: false,
        label: 1,
        share: None,
        is_for_all: true,
    }
}

/// A rule for each action, fallback and phase.
fn every_rule() -> Vec<Rule> {
    let actions = [
        Action::Native,
        Action::Answer(3),
        Action::Drop,
        Action::Truncate,
        Action::Forward(0),
        Action::Forward(1),
        Action::Resolve,
        Action::App(0),
        Action::App(1),
        Action::CacheOnly,
        Action::Retry(1),
        Action::Pass,
    ];
    let mut rules = Vec::new();
    for phase in Phase::ALL {
        for action in actions {
            let can_fail =
                matches!(action, Action::Forward(_) | Action::Resolve | Action::App(_) | Action::CacheOnly);
            let count = if can_fail { FALLBACKS.len() } else { 1 };
            rules.extend(FALLBACKS[..count].iter().map(|fallback| rule(phase, action, *fallback)));
        }
    }
    rules
}

fn rules(rules: &[Rule]) -> Rules<'_> {
    Rules { rules, resolver: Some(2), has_post_cache: true }
}

fn response(outcome: Outcome, rcode: Option<u16>) -> Event {
    Event::Finished(Response { outcome, rcode, rtt: Some(Duration::from_millis(3)) })
}

/// What may happen after an effect.
fn answers(effect: Effect, query: &Query, all: &Rules<'_>) -> Vec<Event> {
    match effect {
        Effect::Decide(phase, after) => {
            let mine = |(id, rule): &(usize, &Rule)| {
                rule.phase == phase && after.is_none_or(|after| *id > usize::from(after))
            };
            let taken = all.rules.iter().enumerate().filter(mine);
            let taken = taken.map(|(id, rule)| Some((id as RuleId, rule.action)));
            let decision = |taken| Decision { taken, tags: query.tags, ..Decision::default() };
            let mut decisions: Vec<Decision> = taken.chain([None]).map(decision).collect();
            decisions.push(Decision { divert: Some((0, 1)), ..decision(None) });
            decisions.push(Decision { no_store: true, ..decision(None) });
            decisions.into_iter().map(Event::Decided).collect()
        }
        Effect::LookUp(_) => {
            let looked = [Looked::Fresh, Looked::Stale, Looked::Held, Looked::Failure, Looked::Miss];
            looked.map(Event::Looked).to_vec()
        }
        Effect::Ask(_) => [WORK_REFUSED_TASKS, WORK_REFUSED_WAITERS, WORK_REFUSED_UPSTREAM]
            .map(Event::NotAsked)
            .into_iter()
            .chain([Event::Asked])
            .collect(),
        Effect::Call(..) => {
            let mut events = apps::every_verdict().map(Event::Called).to_vec();
            events.extend([Event::Called(Called::Later), Event::NotAsked(WORK_REFUSED_TASKS)]);
            events
        }
        Effect::Make(Reply::None) => vec![Event::Made(None)],
        Effect::Make(_) => vec![Event::Made(Some(0))],
        Effect::Wait if matches!(query.state, State::Held(..)) => {
            let finished = apps::every_verdict().map(Event::Called).into_iter();
            finished.chain(query.timer(all).map(|(_, event)| event)).collect()
        }
        Effect::Wait => {
            let mut events = vec![
                response(Outcome::Ok, Some(0)),
                response(Outcome::Ok, Some(2)),
                response(Outcome::Bad, None),
                response(Outcome::Timeout, None),
                response(Outcome::Refused, None),
            ];
            events.extend(query.timer(all).map(|(_, event)| event));
            events
        }
        Effect::Store | Effect::Fail | Effect::Copy(..) | Effect::Refused(..) | Effect::Send => {
            vec![Event::Done]
        }
        Effect::End => Vec::new(),
    }
}

fn every_event() -> Vec<Event> {
    let mut events: Vec<Event> = [WORK_REFUSED_TASKS, WORK_REFUSED_UPSTREAM].map(Event::NotAsked).to_vec();
    events.extend([Event::Begin, Event::Asked, Event::Done, Event::StaleDue, Event::Deadline]);
    events.extend([Event::Made(None), Event::Made(Some(0)), Event::Decided(Decision::default())]);
    events.extend([Looked::Fresh, Looked::Stale, Looked::Miss].map(Event::Looked));
    events.push(response(Outcome::Ok, Some(0)));
    events.extend(apps::every_verdict().map(Event::Called));
    events
}

/// All ways that a query can go.
struct Ways<'a> {
    rules: Rules<'a>,
    /// Where the search has been; `None` while it is there.
    seen: HashMap<String, Option<()>>,
    ends: usize,
}

impl Ways<'_> {
    /// Follows all ways on from here. `sent` replies have gone out, and so much was asked.
    fn follow(&mut self, query: Query, effect: Effect, sent: usize) {
        let key = format!("{query:?}{effect:?}{sent}");
        match self.seen.get(&key) {
            Some(Some(())) => return,
            Some(None) => panic!("a query that goes in circles: {key}"),
            None => {}
        }
        self.seen.insert(key.clone(), None);
        let sent = sent + usize::from(effect == Effect::Send);
        assert!(sent <= 1, "two replies: {key}");
        assert!(query.exchanges <= WORK_EXCHANGES_MAX && query.nexts <= WORK_NEXT_MAX, "{key}");
        if effect == Effect::Wait {
            assert!(query.timer(&self.rules).is_some(), "nothing ends it: {key}");
        }
        if effect == Effect::End {
            assert!(!query.has_client, "a client without a reply: {key}");
            self.ends += 1;
        }
        let answers = answers(effect, &query, &self.rules);
        self.strays(query, &answers);
        for event in answers {
            let mut next = query;
            let effect = next.step(event, &self.rules);
            assert!(effect != Effect::Wait || next.waits(), "{event:?} is lost: {key}");
            self.follow(next, effect, sent);
        }
        self.seen.insert(key, Some(()));
    }

    /// What does not belong here changes nothing.
    fn strays(&self, query: Query, answers: &[Event]) {
        let kind = std::mem::discriminant::<Event>;
        let belong: Vec<_> = answers.iter().map(kind).collect();
        for event in every_event().into_iter().filter(|event| !belong.contains(&kind(event))) {
            if query.waits() && event == Event::Deadline {
                continue;
            }
            let mut other = query;
            let effect = other.step(event, &self.rules);
            assert!(other == query, "{event:?} changes something: {query:?}");
            assert!(matches!(effect, Effect::Wait | Effect::End), "{event:?} has an effect");
        }
    }
}

impl Query {
    fn waits(&self) -> bool {
        matches!(self.state, State::Waiting | State::Held(..))
    }
}

/// A few rules of every kind, so that all ways can be followed.
fn some_rules(seed: usize) -> Vec<Rule> {
    let all = every_rule();
    let mut chosen = Vec::new();
    for phase in Phase::ALL {
        let of_phase: Vec<&Rule> = all.iter().filter(|rule| rule.phase == phase).collect();
        let count = if phase == Phase::Done { 1 } else { 2 };
        for nth in 0..count {
            chosen.push(of_phase[(seed * 7 + nth * 11 + phase as usize * 5) % of_phase.len()].clone());
        }
    }
    chosen
}

#[test]
fn every_way_ends_with_one_reply_and_nothing_leads_in_circles() {
    for seed in 0..8 {
        let chosen = some_rules(seed);
        let mut ways = Ways { rules: rules(&chosen), seen: HashMap::new(), ends: 0 };
        let query = Query::new(Instant::now(), false, PATIENCE);
        let mut begun = query;
        let effect = begun.step(Event::Begin, &ways.rules);
        ways.follow(begun, effect, 0);
        assert!(ways.ends > 10, "{} ends", ways.ends);
        // And without a client.
        let mut cached = query;
        cached.takers[0] = Some((0, Source::Upstream(0)));
        cached.view = Some(Some(0));
        let mut prefetch = cached.prefetch(Instant::now()).unwrap();
        let effect = prefetch.step(Event::Begin, &ways.rules);
        assert_eq!(effect, Effect::Ask(0));
        // It sends nothing: one reply is counted as sent already.
        ways.follow(prefetch, effect, 1);
    }
}

#[test]
fn random_ways_through_all_rules_end() {
    let every = every_rule();
    let rules = rules(&every);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for _ in 0..200_000 {
        let mut query = Query::new(Instant::now(), false, PATIENCE);
        let mut effect = query.step(Event::Begin, &rules);
        let (mut sent, mut asked, mut steps) = (0, 0, 0);
        while effect != Effect::End {
            sent += usize::from(effect == Effect::Send);
            asked += u8::from(matches!(effect, Effect::Ask(_)));
            steps += 1;
            assert!(steps < 120, "{query:?}");
            let answers = answers(effect, &query, &rules);
            effect = query.step(answers[random(answers.len())], &rules);
        }
        assert!(sent == 1 && asked <= WORK_EXCHANGES_MAX, "{sent} replies, {asked} exchanges");
    }
}

/// A query that answers are given to, in the order in which it asks.
struct Play {
    query: Query,
    rules: Vec<Rule>,
    route: Option<RuleId>,
    looks: Vec<Looked>,
    exchanges: Vec<Event>,
    /// What applications say, and what becomes of queries that they hold.
    calls: Vec<Event>,
    /// Rules that take it, in later phases.
    takes: Vec<RuleId>,
    /// What it did that others can see.
    did: Vec<Effect>,
}

impl Play {
    fn new(rules: Vec<Rule>, route: Option<RuleId>) -> Self {
        let query = Query::new(Instant::now(), false, PATIENCE);
        let (looks, exchanges, calls) = (Vec::new(), Vec::new(), Vec::new());
        let (takes, did) = (Vec::new(), Vec::new());
        Self { query, rules, route, looks, exchanges, calls, takes, did }
    }

    fn forward(fallback: Fallback) -> Self {
        Self::new(vec![rule(Phase::Route, Action::Forward(0), fallback)], Some(0))
    }

    fn looked(mut self, looks: &[Looked]) -> Self {
        self.looks = looks.to_vec();
        self
    }

    fn got(mut self, exchanges: &[Event]) -> Self {
        self.exchanges = exchanges.to_vec();
        self
    }

    fn said(mut self, calls: &[Event]) -> Self {
        self.calls = calls.to_vec();
        self
    }

    fn taken_by(mut self, takes: &[RuleId]) -> Self {
        self.takes = takes.to_vec();
        self
    }

    fn run(mut self) -> Vec<Effect> {
        let all = std::mem::take(&mut self.rules);
        let has_post_cache = all.iter().any(|rule| rule.phase == Phase::PostCache);
        let rules = Rules { rules: &all, resolver: Some(2), has_post_cache };
        let mut effect = self.query.step(Event::Begin, &rules);
        while effect != Effect::End {
            let event = match effect {
                Effect::Decide(phase, after) => {
                    let takes = self.takes.iter().chain(&self.route).copied();
                    let take = takes
                        .filter(|id| after.is_none_or(|after| *id > after))
                        .find(|id| all[usize::from(*id)].phase == phase);
                    let taken = take.map(|id| (id, all[usize::from(id)].action));
                    Event::Decided(Decision { taken, ..Decision::default() })
                }
                Effect::LookUp(_) => Event::Looked(self.looks.remove(0)),
                Effect::Ask(_) => match self.exchanges.first() {
                    Some(Event::NotAsked(_)) => self.exchanges.remove(0),
                    _ => Event::Asked,
                },
                Effect::Call(..) => self.calls.remove(0),
                Effect::Wait if matches!(self.query.state, State::Held(..)) => self.calls.remove(0),
                Effect::Wait => self.exchanges.remove(0),
                Effect::Make(Reply::None) => Event::Made(None),
                Effect::Make(_) => Event::Made(Some(0)),
                _ => Event::Done,
            };
            if !matches!(effect, Effect::Decide(..) | Effect::Wait | Effect::Send) {
                self.did.push(effect);
            }
            effect = self.query.step(event, &rules);
        }
        self.did
    }
}

const TRIED: Reply = Reply::Stale { is_tried: true };
const AT_ONCE: Reply = Reply::Stale { is_tried: false };

fn ok() -> Event {
    response(Outcome::Ok, Some(0))
}

fn timeout() -> Event {
    response(Outcome::Timeout, None)
}

#[test]
fn an_answer_is_stored_and_then_given() {
    let (look, ask) = (Effect::LookUp(Some(0)), Effect::Ask(0));
    let did = Play::forward(Fallback::Fail).looked(&[Looked::Miss]).got(&[ok()]).run();
    assert_eq!(did, [look, ask, Effect::Store, Effect::Make(Reply::Response)]);
    let did = Play::forward(Fallback::Fail).looked(&[Looked::Fresh]).run();
    assert_eq!(did, [look, Effect::Make(Reply::Cached)]);
    let did = Play::forward(Fallback::Fail).looked(&[Looked::Held]).run();
    assert_eq!(did, [look, Effect::Make(AT_ONCE)], "servers are left alone for a while");
}

#[test]
fn a_query_that_no_route_takes_is_answered_natively() {
    assert_eq!(Play::new(Vec::new(), None).run(), [Effect::Make(Reply::Native)]);
    let rules = vec![rule(Phase::PostCache, Action::Forward(7), Fallback::Fail)];
    let play = || Play::new(rules.clone(), None);
    let did = play().looked(&[Looked::Miss]).run();
    assert_eq!(did, [Effect::LookUp(None), Effect::Make(Reply::Native)], "the rule does not take it");
    let did = play().looked(&[Looked::Miss]).taken_by(&[0]).got(&[ok()]).run();
    let make = Effect::Make(Reply::Response);
    assert_eq!(did, [Effect::LookUp(None), Effect::Ask(7), Effect::Store, make], "as in the article");
    let did = play().looked(&[Looked::Failure]).taken_by(&[0]).run();
    let refused = Effect::Refused(Some(0), WORK_REFUSED_UPSTREAM);
    assert_eq!(did[1..], [refused, Effect::Make(Reply::Code(SERVFAIL, Some(EDE_CACHED_ERROR)))]);
}

#[test]
fn without_an_answer_a_query_gets_the_fallback_of_its_rule() {
    for (fallback, reply) in [
        (Fallback::Fail, Reply::Code(SERVFAIL, Some(EDE_NO_REACHABLE_AUTHORITY))),
        (Fallback::Stale, Reply::Code(SERVFAIL, Some(EDE_NO_REACHABLE_AUTHORITY))),
        (Fallback::Refuse, Reply::Code(REFUSED, None)),
        (Fallback::Native, Reply::Native),
        (Fallback::Drop, Reply::None),
        (Fallback::Next, Reply::Native),
    ] {
        let play = || Play::forward(fallback).looked(&[Looked::Miss]);
        let refused = |reason| Effect::Refused(Some(0), reason);
        let did = play().got(&[timeout()]).run();
        assert_eq!(did[2..], [Effect::Fail, refused(WORK_REFUSED_UPSTREAM), Effect::Make(reply)]);
        let did = play().got(&[Event::Deadline]).run();
        let late = if fallback == Fallback::Next {
            // There is no time left for anybody else.
            Reply::Code(SERVFAIL, Some(EDE_NO_REACHABLE_AUTHORITY))
        } else {
            reply
        };
        assert_eq!(did[2..], [Effect::Fail, refused(WORK_REFUSED_DEADLINE), Effect::Make(late)]);
        let did = play().got(&[Event::NotAsked(WORK_REFUSED_UPSTREAM)]).run();
        assert_eq!(did[2..], [refused(WORK_REFUSED_UPSTREAM), Effect::Make(reply)], "nobody was asked");
        let did = play().got(&[Event::NotAsked(WORK_REFUSED_TASKS)]).run();
        let reply = match reply {
            Reply::Code(SERVFAIL, _) => Reply::Code(SERVFAIL, None),
            other => other,
        };
        assert_eq!(did[2..], [refused(WORK_REFUSED_TASKS), Effect::Make(reply)]);
    }
}

#[test]
fn what_all_servers_said_is_passed_on() {
    let play = |got| Play::forward(Fallback::Fail).looked(&[Looked::Miss]).got(&[got]).run();
    let last = |did: Vec<Effect>| *did.last().unwrap();
    let refused = last(play(response(Outcome::Ok, Some(5))));
    assert_eq!(refused, Effect::Make(Reply::Code(REFUSED, Some(EDE_NO_REACHABLE_AUTHORITY))));
    let malformed = last(play(response(Outcome::Bad, None)));
    assert_eq!(malformed, Effect::Make(Reply::Code(SERVFAIL, Some(EDE_NETWORK_ERROR))));
}

#[test]
fn what_is_stale_is_better_than_a_fallback() {
    let play = || Play::forward(Fallback::Refuse).looked(&[Looked::Stale, Looked::Stale]);
    let look = Effect::LookUp(Some(0));
    let servfail = response(Outcome::Ok, Some(2));
    for got in [timeout(), servfail, Event::NotAsked(WORK_REFUSED_UPSTREAM), Event::Deadline] {
        let did = play().got(&[got]).run();
        assert_eq!(did, [look, Effect::Ask(0), look, Effect::Make(TRIED)], "{got:?}");
    }
    // In time the client gets it, and servers are still asked.
    let did = play().got(&[Event::StaleDue, ok()]).run();
    assert_eq!(did, [look, Effect::Ask(0), look, Effect::Make(TRIED), Effect::Store]);
    let did = play().got(&[Event::StaleDue, Event::Deadline]).run();
    assert_eq!(did, [look, Effect::Ask(0), look, Effect::Make(TRIED)]);
    // It had to make room meanwhile.
    let gone = || Play::forward(Fallback::Refuse).looked(&[Looked::Stale, Looked::Miss]);
    let refused = Effect::Refused(Some(0), WORK_REFUSED_UPSTREAM);
    let code = Effect::Make(Reply::Code(REFUSED, None));
    assert_eq!(gone().got(&[timeout()]).run()[2..], [look, refused, code]);
    assert_eq!(
        gone().got(&[Event::StaleDue, ok()]).run()[3..],
        [Effect::Store, Effect::Make(Reply::Response)]
    );
}

#[test]
fn timers_fire_in_their_order() {
    let mut forward = rule(Phase::Route, Action::Forward(0), Fallback::Fail);
    let asked = Instant::now();
    for (timeout, looked, first) in [
        (None, Looked::Miss, (2000, Event::Deadline)),
        (None, Looked::Stale, (1800, Event::StaleDue)),
        (Some(300), Looked::Stale, (300, Event::Deadline)),
        (Some(300), Looked::Miss, (300, Event::Deadline)),
        (Some(5000), Looked::Miss, (5000, Event::Deadline)),
    ] {
        forward.timeout = timeout.map(Duration::from_millis);
        let all = [forward.clone()];
        let rules = Rules { rules: &all, resolver: None, has_post_cache: false };
        let mut query = Query::new(asked, false, PATIENCE);
        query.step(Event::Begin, &rules);
        assert_eq!(query.timer(&rules), None, "it does not wait");
        let taken = Some((0, Action::Forward(0)));
        query.step(Event::Decided(Decision { taken, ..Decision::default() }), &rules);
        query.step(Event::Decided(Decision::default()), &rules);
        query.step(Event::Looked(looked), &rules);
        query.step(Event::Decided(Decision::default()), &rules);
        assert_eq!(query.step(Event::Asked, &rules), Effect::Wait);
        let (after, event) = first;
        assert_eq!(query.timer(&rules), Some((asked + Duration::from_millis(after), event)));
    }
}

#[test]
fn a_rule_may_ask_others_but_not_without_end() {
    let all = vec![
        rule(Phase::Route, Action::Forward(0), Fallback::Refuse),
        rule(Phase::Response, Action::Retry(1), Fallback::Fail),
    ];
    let play =
        |got: &[Event]| Play::new(all.clone(), Some(0)).looked(&[Looked::Miss]).taken_by(&[1]).got(got).run();
    let did = play(&[timeout(), timeout(), ok()]);
    let asks = [Effect::Ask(0), Effect::Ask(1), Effect::Ask(1)];
    assert_eq!(did[1..], [&asks[..], &[Effect::Store, Effect::Make(Reply::Response)]].concat());
    let did = play(&[timeout(), timeout(), timeout()]);
    assert_eq!(*did.last().unwrap(), Effect::Make(Reply::Code(REFUSED, None)), "the fallback of the route");
    let did = play(&[Event::Deadline]);
    assert_eq!(did.iter().filter(|did| matches!(did, Effect::Ask(_))).count(), 1, "there is no time left");
}

#[test]
fn the_rule_after_one_that_cannot_takes_its_queries() {
    let all = vec![
        rule(Phase::Route, Action::Forward(0), Fallback::Next),
        rule(Phase::Route, Action::Forward(1), Fallback::Refuse),
    ];
    let play = Play::new(all, Some(0)).taken_by(&[0, 1]).looked(&[Looked::Miss, Looked::Miss]);
    let did = play.got(&[timeout(), ok()]).run();
    let refused = Effect::Refused(Some(0), WORK_REFUSED_UPSTREAM);
    let second = [Effect::LookUp(Some(1)), Effect::Ask(1), Effect::Store, Effect::Make(Reply::Response)];
    assert_eq!(did[2..], [&[Effect::Fail, refused][..], &second].concat());
}

#[test]
fn only_what_is_cached() {
    let all = vec![
        rule(Phase::Route, Action::CacheOnly, Fallback::Refuse),
        rule(Phase::Route, Action::Forward(1), Fallback::Fail),
    ];
    let play = |looked| Play::new(all.clone(), Some(0)).taken_by(&[0, 1]).looked(&[looked]).run();
    let look = Effect::LookUp(Some(1));
    assert_eq!(play(Looked::Fresh), [look, Effect::Make(Reply::Cached)], "of who would be asked");
    assert_eq!(play(Looked::Stale), [look, Effect::Make(AT_ONCE)]);
    let refused = Effect::Refused(Some(0), WORK_REFUSED_UPSTREAM);
    assert_eq!(play(Looked::Miss), [look, refused, Effect::Make(Reply::Code(REFUSED, None))]);
}

#[test]
fn later_phases_change_what_earlier_ones_said() {
    let route = rule(Phase::Route, Action::Forward(0), Fallback::Fail);
    let play = |phase, action| {
        let all = vec![route.clone(), rule(phase, action, Fallback::Fail)];
        Play::new(all, Some(0)).taken_by(&[1]).looked(&[Looked::Miss]).got(&[ok()]).run()
    };
    let make = Effect::Make;
    let (look, ask, fresh) = (Effect::LookUp(Some(0)), Effect::Ask(0), make(Reply::Response));
    assert_eq!(play(Phase::Request, Action::Answer(3)), [make(Reply::Code(3, None))]);
    assert_eq!(play(Phase::Request, Action::Forward(4))[..2], [Effect::LookUp(Some(4)), Effect::Ask(4)]);
    assert_eq!(play(Phase::Request, Action::Resolve)[..2], [Effect::LookUp(Some(2)), Effect::Ask(2)]);
    assert_eq!(play(Phase::PostCache, Action::Forward(4)), [look, Effect::Ask(4), Effect::Store, fresh]);
    assert_eq!(play(Phase::PostCache, Action::Native), [look, make(Reply::Native)]);
    let replaced = play(Phase::Response, Action::Answer(5));
    assert_eq!(replaced, [look, ask, make(Reply::Code(5, None))], "what is not taken is not stored");
    assert_eq!(play(Phase::Reply, Action::Truncate)[2..], [Effect::Store, fresh, make(Reply::Truncated)]);
    assert_eq!(play(Phase::Reply, Action::Drop)[2..], [Effect::Store, fresh, make(Reply::None)]);
    assert_eq!(play(Phase::Done, Action::Drop)[2..], [Effect::Store, fresh], "it is too late");
}

#[test]
fn nobody_is_sent_to_tcp_who_is_there() {
    let route = rule(Phase::Route, Action::Forward(0), Fallback::Fail);
    for phase in [Phase::Request, Phase::PostCache, Phase::Response, Phase::Reply] {
        let all = vec![route.clone(), rule(phase, Action::Truncate, Fallback::Fail)];
        let mut play = Play::new(all, Some(0)).taken_by(&[1]).looked(&[Looked::Miss]).got(&[ok()]);
        play.query = Query::new(Instant::now(), true, PATIENCE);
        assert_eq!(play.run().last(), Some(&Effect::Make(Reply::Response)), "{phase:?}");
    }
}

#[test]
fn a_clock_that_jumps_moves_no_deadline() {
    // Deadlines count from when the query came, whatever was between.
    let all = [rule(Phase::Route, Action::Forward(0), Fallback::Fail)];
    let rules = Rules { rules: &all, resolver: None, has_post_cache: false };
    let long_ago = Instant::now() - Duration::from_secs(1);
    let query = Query::new(long_ago, false, PATIENCE);
    assert_eq!(query.deadline(&rules), long_ago + PATIENCE.query);
}
