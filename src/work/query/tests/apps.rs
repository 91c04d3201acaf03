//! Queries that rules show to applications.

use super::*;
use crate::stats::labels::WORK_REFUSED_APP;

/// All that an application may say, but that it holds a query.
pub(super) const fn every_verdict() -> [Called; 7] {
    let (code, retry) = (Called::Code(3, Some(17)), Called::Retry(1));
    [Called::Pass, Called::Reply, code, Called::Drop, Called::Changed, retry, Called::Failed]
}

const MAKE_NATIVE: Effect = Effect::Make(Reply::Native);
const MAKE_APP: Effect = Effect::Make(Reply::App);
const MAKE_SERVFAIL: Effect = Effect::Make(Reply::Code(SERVFAIL, None));

/// A route to an upstream, and a rule of `phase` that names an application.
fn in_phase(phase: Phase, fallback: Fallback) -> Play {
    let route = rule(Phase::Route, Action::Forward(0), Fallback::Fail);
    let play = Play::new(vec![route, rule(phase, Action::App(0), fallback)], Some(0));
    play.taken_by(&[1]).looked(&[Looked::Miss]).got(&[ok()])
}

/// What happens in all phases before it.
fn before(phase: Phase) -> Vec<Effect> {
    let all = [Effect::LookUp(Some(0)), Effect::Ask(0), Effect::Store, Effect::Make(Reply::Response)];
    let count = match phase {
        Phase::Route | Phase::Request => 0,
        Phase::PostCache => 1,
        Phase::Response => 2,
        Phase::Reply | Phase::Done => 4,
    };
    all[..count].to_vec()
}

/// What it does after the application has spoken.
fn after(phase: Phase, fallback: Fallback, said: &[Called]) -> Vec<Effect> {
    let said: Vec<Event> = said.iter().copied().map(Event::Called).collect();
    let did = in_phase(phase, fallback).said(&said).run();
    let before = [before(phase), vec![Effect::Call(phase, 1, 0)]].concat();
    assert_eq!(did[..before.len()], before);
    did[before.len()..].to_vec()
}

const WITH_CLIENT: [Phase; 4] = [Phase::Request, Phase::PostCache, Phase::Response, Phase::Reply];

#[test]
fn an_application_answers_in_any_phase_and_nothing_is_stored_then() {
    for phase in WITH_CLIENT {
        for (said, reply) in [
            (Called::Reply, Reply::App),
            (Called::Code(3, Some(17)), Reply::Code(3, Some(17))),
            (Called::Drop, Reply::None),
        ] {
            assert_eq!(after(phase, Fallback::Fail, &[said]), [Effect::Make(reply)], "{phase:?}");
            let held = after(phase, Fallback::Fail, &[Called::Later, said]);
            assert_eq!(held, [Effect::Make(reply)], "{phase:?}, after a while");
        }
    }
}

#[test]
fn without_a_say_all_goes_on() {
    let whole = before(Phase::Done);
    for phase in [&WITH_CLIENT[..], &[Phase::Done]].concat() {
        for said in [&[Called::Pass][..], &[Called::Later, Called::Pass]] {
            if phase == Phase::Done && said.len() > 1 {
                continue;
            }
            let rest = after(phase, Fallback::Fail, said);
            assert_eq!([before(phase), rest].concat(), whole, "{phase:?}");
        }
    }
    for said in every_verdict() {
        assert_eq!(after(Phase::Done, Fallback::Fail, &[said]), [], "it is too late");
    }
    assert_eq!(after(Phase::Done, Fallback::Fail, &[Called::Later]), []);
}

#[test]
fn what_a_phase_does_not_allow_is_the_fallback() {
    let refused = Effect::Refused(Some(1), WORK_REFUSED_APP);
    for phase in WITH_CLIENT {
        for said in [Called::Changed, Called::Retry(1), Called::Failed] {
            let is_allowed = match said {
                Called::Changed => phase == Phase::Request,
                Called::Retry(_) => phase == Phase::Response,
                _ => false,
            };
            if is_allowed {
                continue;
            }
            let did = after(phase, Fallback::Fail, &[said]);
            assert_eq!(did, [refused, MAKE_SERVFAIL], "{phase:?} {said:?}");
        }
    }
    let changed = after(Phase::Request, Fallback::Fail, &[Called::Changed]);
    assert_eq!(changed, before(Phase::Done), "it goes on, with another question");
    let again = in_phase(Phase::Response, Fallback::Fail).got(&[ok(), ok()]);
    let did = again.said(&[Event::Called(Called::Retry(1)), Event::Called(Called::Pass)]).run();
    let call = Effect::Call(Phase::Response, 1, 0);
    let rest = [Effect::Store, Effect::Make(Reply::Response)];
    assert_eq!(did[1..], [&[Effect::Ask(0), call, Effect::Ask(1), call][..], &rest].concat());
    let again = in_phase(Phase::Response, Fallback::Fail).got(&[ok(), ok(), ok()]);
    let did = again.said(&[Event::Called(Called::Retry(1)); 3]).run();
    assert_eq!(did[did.len() - 2..], rest, "there is an end to that, and then the last response counts");
}

#[test]
fn each_fallback_in_each_phase() {
    let whole = before(Phase::Done);
    for phase in WITH_CLIENT {
        for fallback in FALLBACKS {
            let made = match fallback {
                Fallback::Fail | Fallback::Stale => vec![MAKE_SERVFAIL],
                Fallback::Refuse => vec![Effect::Make(Reply::Code(REFUSED, None))],
                Fallback::Drop => vec![Effect::Make(Reply::None)],
                Fallback::Native if matches!(phase, Phase::Request | Phase::PostCache) => vec![MAKE_NATIVE],
                Fallback::Native | Fallback::Next => whole[before(phase).len()..].to_vec(),
            };
            let refused = |reason| Effect::Refused(Some(1), reason);
            let did = after(phase, fallback, &[Called::Failed]);
            assert_eq!(did, [&[refused(WORK_REFUSED_APP)][..], &made].concat(), "{phase:?} {fallback:?}");
            // Its time is up: nobody else is asked, but what there is, is given.
            let events = [Event::Called(Called::Later), Event::Deadline];
            let did = in_phase(phase, fallback).said(&events).run();
            let late = match fallback {
                Fallback::Next if matches!(phase, Phase::Request | Phase::PostCache) => vec![MAKE_SERVFAIL],
                _ => made.clone(),
            };
            let expected = [&[refused(WORK_REFUSED_DEADLINE)][..], &late].concat();
            assert_eq!(did[before(phase).len() + 1..], expected, "{phase:?} {fallback:?}, late");
            let events = [Event::NotAsked(WORK_REFUSED_TASKS)];
            let did = in_phase(phase, fallback).said(&events).run();
            assert_eq!(did[before(phase).len() + 1..][..1], [refused(WORK_REFUSED_TASKS)]);
        }
    }
}

#[test]
fn what_is_stale_is_a_fallback_too() {
    let play = |looks: &[Looked]| {
        let play = in_phase(Phase::PostCache, Fallback::Stale).looked(looks);
        play.said(&[Event::Called(Called::Failed)]).run()[2..].to_vec()
    };
    let refused = Effect::Refused(Some(1), WORK_REFUSED_APP);
    let look = Effect::LookUp(Some(0));
    assert_eq!(play(&[Looked::Stale, Looked::Stale]), [refused, look, Effect::Make(AT_ONCE)]);
    assert_eq!(play(&[Looked::Stale, Looked::Miss]), [refused, look, MAKE_SERVFAIL]);
}

#[test]
fn a_router_shows_a_query_once_and_what_passes_goes_on_with_later_routes() {
    let all = vec![
        rule(Phase::Route, Action::App(3), Fallback::Fail),
        rule(Phase::Route, Action::App(4), Fallback::Fail),
        rule(Phase::Request, Action::App(3), Fallback::Fail),
        rule(Phase::Request, Action::App(5), Fallback::Fail),
    ];
    let (first, second) = (Effect::Call(Phase::Route, 0, 3), Effect::Call(Phase::Route, 1, 4));
    let hook = Effect::Call(Phase::Request, 3, 5);
    let play = |said: &[Called]| {
        let said: Vec<Event> = said.iter().copied().map(Event::Called).collect();
        let play = Play::new(all.clone(), Some(0)).taken_by(&[0, 1, 2, 3]);
        play.said(&said).run()
    };
    assert_eq!(play(&[Called::Reply]), [first, MAKE_APP]);
    assert_eq!(play(&[Called::Pass, Called::Reply]), [first, second, MAKE_APP]);
    let passed = play(&[Called::Pass; 3]);
    assert_eq!(passed, [first, second, hook, MAKE_NATIVE], "its own hook does not see it again");
    let failed = Effect::Refused(Some(0), WORK_REFUSED_APP);
    assert_eq!(play(&[Called::Failed]), [first, failed, MAKE_SERVFAIL]);
    let mut next = all.clone();
    next[0].fallback = Fallback::Next;
    let said = [Called::Failed, Called::Pass, Called::Pass].map(Event::Called);
    let did = Play::new(next, Some(0)).taken_by(&[0, 1, 2, 3]).said(&said).run();
    assert_eq!(did, [first, failed, second, hook, MAKE_NATIVE], "the phase `request` is still to come");
}

#[test]
fn a_query_is_held_until_the_time_of_its_rule() {
    let mut all = [rule(Phase::Request, Action::App(0), Fallback::Fail)];
    all[0].timeout = Some(Duration::from_millis(300));
    let rules = rules(&all);
    let now = Instant::now();
    let mut query = Query::new(now, false, PATIENCE);
    query.state = State::Calling(Phase::Request, 0);
    assert_eq!(query.deadline(&rules), now + Duration::from_millis(300));
    assert_eq!(query.step(Event::Called(Called::Later), &rules), Effect::Wait);
    assert_eq!(query.timer(&rules), Some((now + Duration::from_millis(300), Event::Deadline)));
    query.is_over = true;
    query.state = State::Calling(Phase::Request, 0);
    let refused = Effect::Refused(Some(0), WORK_REFUSED_DEADLINE);
    assert_eq!(query.step(Event::Called(Called::Later), &rules), refused, "it cannot wait any more");
}

#[test]
fn a_response_without_a_client_is_shown_before_it_is_stored() {
    let all = [rule(Phase::Response, Action::App(0), Fallback::Fail)];
    let rules = rules(&all);
    let mut query = Query::new(Instant::now(), false, PATIENCE);
    (query.has_client, query.view, query.state) = (false, Some(Some(0)), State::Waiting);
    let decided = Decision { taken: Some((0, Action::App(0))), ..Decision::default() };
    query.step(ok(), &rules);
    assert_eq!(query.step(Event::Decided(decided), &rules), Effect::Call(Phase::Response, 0, 0));
    let end = |said| {
        let mut query = query;
        (query.step(Event::Called(said), &rules), query.step(Event::Decided(Decision::default()), &rules))
    };
    assert_eq!(end(Called::Pass), (Effect::Decide(Phase::Response, Some(0)), Effect::Store));
    for said in [Called::Reply, Called::Code(0, None), Called::Drop] {
        assert_eq!(end(said).0, Effect::End, "{said:?}");
    }
}
