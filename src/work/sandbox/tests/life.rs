//! What a guest wants, what comes of it, and how instances go.

use super::pointers::{generous, load_generous};
use super::*;
use crate::policy::facts::Outcome;
use crate::stats::app_labels::*;
use crate::stats::counters::{APP_EVENTS, APP_METRICS, APP_VERDICTS, GUEST_REPLIES_BAD};
use crate::work::sandbox::InstanceId;
use crate::work::sandbox::call::{Order, Result as Brought};
use crate::work::sandbox::settings::Condition;

/// A guest that forwards each query to `lan` and holds it; it finishes it by what DONE brings: with the
/// answer as its reply, else with the error as the response code. The token of the query stands at 3000.
const FORWARDS: &str = r#"
    (if (i32.eq (local.get $kind) (i32.const 1)) (then
      (i32.store (i32.const 3000) (local.get $token))
      (if (i32.lt_s (call $forward (i32.const 2100) (i32.const 3) (i32.const 1152) (local.get $len)
                                   (i32.const 700) (i32.const 1)) (i32.const 0))
        (then (return (i64.const 7))))
      (return (i64.const 4))))
    (if (i32.eq (local.get $kind) (i32.const 2)) (then
      (if (i32.gt_s (local.get $len) (i32.const 0))
        (then
          (drop (call $load (i32.load (i32.const 3000))))
          (i32.store (i32.const 1048) (local.get $len))
          (drop (call $finish (i32.load (i32.const 3000)) (i64.const 1))))
        (else
          (drop (call $finish (i32.load (i32.const 3000))
            (i64.or (i64.const 2) (i64.shl (i64.extend_i32_u (i32.sub (i32.const 0) (local.get $len)))
                                           (i64.const 8)))))))))
    (i64.const 0)"#;

fn forwards() -> Vec<u8> {
    let imports = r#"
        (import "as112" "forward" (func $forward (param i32 i32 i32 i32 i32 i32) (result i32)))
        (import "as112" "load" (func $load (param i32) (result i32)))
        (import "as112" "finish" (func $finish (param i32 i64) (result i32)))"#;
    let head =
        "(func (export \"as112_event\") (param $kind i32) (param $token i32) (param $len i32) (result i64)";
    guest(imports, &format!("(data (i32.const 2100) \"lan\") {head} {FORWARDS})"))
}

impl Lab {
    fn order(&mut self) -> (InstanceId, u32, Order) {
        self.sandbox.take_order().unwrap()
    }

    fn brings(&mut self, (instance, token): (InstanceId, u32), brought: Brought<'_>) {
        self.sandbox.done(instance, token, brought, self.now, &mut self.ledger);
    }
}

/// The answer of a server to the query: NXDOMAIN.
fn answer(query: &[u8]) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[..2].copy_from_slice(&[0xab, 0xcd]);
    answer[2..4].copy_from_slice(&[0x84, 0x83]);
    answer
}

#[test]
fn a_query_is_held_while_somebody_is_asked() {
    let mut lab = Lab::new(vec![load_generous(&forwards())]);
    assert_eq!(lab.call(0, 9), Called::Later);
    let (instance, token, order) = lab.order();
    let Order::Ask { upstream: Some(3), query, is_cached: true, timeout } = order else {
        panic!("{order:?}")
    };
    assert_eq!((query, timeout), (lab.query.clone(), Duration::from_millis(700)));
    // In between there is another query, whose bytes stand in the area.
    lab.query[13] = b'9';
    assert_eq!(lab.call(0, 10), Called::Later);
    let second = lab.order();
    lab.query[13] = b'1';
    // The guest knows one of them alone.
    let answer = answer(&lab.query);
    lab.brings((instance, token), Brought::Answer(&answer));
    assert_eq!(lab.sandbox.take_finished(), Some((10, Called::Failed)), "it answers the other's question");
    assert_eq!(lab.count(GUEST_REPLIES_BAD, [1, BAD_REPLY_QUESTION]), 1);
    lab.brings((second.0, second.1), Brought::Answer(&answer));
    assert_eq!(lab.sandbox.take_finished(), None, "that one is not held");
    assert_eq!(lab.call(0, 11), Called::Later);
    let third = lab.order();
    lab.brings((third.0, third.1), Brought::Answer(&answer));
    assert_eq!(lab.sandbox.take_finished(), Some((11, Called::Reply)));
    let reply = lab.sandbox.reply().to_vec();
    assert_eq!(reply[..4], [0x12, 0x34, 0x85, 0x83], "ID and RD of the query; AA, as that is allowed");
    assert_eq!(reply[4..], lab.query[4..]);
    lab.brings((third.0, third.1), Brought::Answer(&answer));
    assert_eq!(lab.count(APP_EVENTS, [1, APP_EVENT_DONE]), 3, "nothing is told twice");
    assert_eq!(lab.count(APP_VERDICTS, [1, 1]), 2, "what is not held has none");
}

#[test]
fn it_is_told_why_nobody_answers() {
    let outcomes = [(Outcome::Timeout, 6), (Outcome::Refused, 7), (Outcome::Bad, 1)];
    let mut lab = Lab::new(vec![load_generous(&forwards())]);
    for (token, (outcome, code)) in (1..).zip(outcomes) {
        assert_eq!(lab.call(0, token), Called::Later);
        let (instance, order, _) = lab.order();
        lab.brings((instance, order), Brought::Unanswered(outcome));
        assert_eq!(lab.sandbox.take_finished(), Some((token, Called::Code(code, None))));
    }
}

/// A guest that answers each event with what a body makes; hostcalls by name.
fn with(hostcalls: &[&str], data: &str, body: &str) -> Vec<u8> {
    let known = super::super::hostcalls::HOSTCALLS;
    let import = |name: &&str| {
        let hostcall = known.iter().find(|known| known.name == *name).unwrap();
        let kinds: String =
            hostcall.parameters.iter().map(|(_, kind)| format!("{kind:?} ").to_lowercase()).collect();
        let result = format!("{:?}", hostcall.result).to_lowercase();
        format!("(import \"as112\" \"{name}\" (func ${name} (param {kinds}) (result {result})))")
    };
    let imports: String = hostcalls.iter().map(import).collect();
    let head =
        "(func (export \"as112_event\") (param $kind i32) (param $token i32) (param $len i32) (result i64)";
    guest(&imports, &format!("{data} {head} {body})"))
}

/// What a body makes of a number: the response code.
const CODE: &str = "(func $code (param i32) (result i64)
    (i64.or (i64.const 2) (i64.shl (i64.extend_i32_u (i32.and (local.get 0) (i32.const 255)))
      (i64.const 8))))";

/// The code for a hostcall's refusal.
const fn refused(number: i32) -> Called {
    Called::Code((number & 255).cast_unsigned() as u16, None)
}

#[test]
fn exchanges_of_a_query_are_bounded() {
    // Three for one query, of which the manifest allows two: the first two are dropped, the third is told.
    let three = "(drop (call $resolve (i32.const 1152) (local.get $len) (i32.const 0)))
        (drop (call $resolve (i32.const 1152) (local.get $len) (i32.const 0)))
        (call $code (call $resolve (i32.const 1152) (local.get $len) (i32.const 0)))";
    let mut lab = Lab::new(vec![load_generous(&with(&["resolve"], CODE, three))]);
    assert_eq!(lab.call(0, 1), refused(-5));
    assert!(matches!(lab.order().2, Order::Ask { upstream: Some(7), is_cached: true, .. }));
    lab.order();
    assert!(lab.sandbox.take_order().is_none());
    assert_eq!(lab.call(0, 2), refused(-5), "each query has its own");
}

#[test]
fn timers_run_out_and_are_cancelled() {
    // A query sets a timer of 20 ms and one of 30 ms, which it cancels; the timer's token becomes the code of
    // the next query.
    let body =
        "(if (i32.eq (local.get $kind) (i32.const 3)) (then (i32.store (i32.const 3000) (local.get $token))))
        (if (i32.eq (local.get $kind) (i32.const 1)) (then
          (if (i32.load (i32.const 3000)) (then (return (call $code (i32.load (i32.const 3000))))))
          (drop (call $timer (i32.const 20)))
          (drop (call $cancel (call $timer (i32.const 30))))
          (drop (call $cancel (i32.const 77)))))
        (i64.const 0)";
    let mut lab = Lab::new(vec![load_generous(&with(&["timer", "cancel"], CODE, body))]);
    assert_eq!(lab.call(0, 1), Called::Pass);
    let (instance, token, order) = lab.order();
    assert!(matches!(order, Order::Timer(time) if time == Duration::from_millis(20)));
    assert!(matches!(lab.order(), (_, 2, Order::Timer(_))));
    assert!(matches!(lab.order(), (_, 2, Order::Cancel(2))));
    assert!(lab.sandbox.take_order().is_none());
    lab.brings((instance, 2), Brought::Time);
    assert_eq!(lab.call(0, 2), Called::Pass, "nobody hears of what was cancelled");
    while lab.sandbox.take_order().is_some() {}
    lab.brings((instance, token), Brought::Time);
    assert_eq!(lab.call(0, 3), Called::Code(1, None));
    assert_eq!(lab.count(APP_EVENTS, [1, APP_EVENT_TIMER]), 1);
}

#[test]
fn a_purge_brings_how_many_entries() {
    let data = format!(
        "{CODE} (data (i32.const 100000) \"\\03www\\07EXAMPLE\\03com\\00\") (data (i32.const 100100) \
        \"\\03com\\00\")"
    );
    // The reply area begins at 3264, scratch at 68800.
    let body = "(if (i32.eq (local.get $kind) (i32.const 2)) (then
          (i32.store (i32.const 100200)
            (i32.add (local.get $len) (i32.wrap_i64 (i64.load (i32.const 68800)))))))
        (if (i32.eq (local.get $kind) (i32.const 1)) (then
          (if (i32.load (i32.const 100200)) (then (return (call $code (i32.load (i32.const 100200))))))
          (if (i32.ne (call $purge (i32.const 100100) (i32.const 5) (i32.const 1)) (i32.const -2))
            (then (unreachable)))
          (drop (call $purge (i32.const 100000) (i32.const 17) (i32.const 1)))))
        (i64.const 0)";
    let mut lab = Lab::new(vec![load_generous(&with(&["purge"], &data, body))]);
    assert_eq!(lab.call(0, 1), Called::Pass);
    let (instance, token, order) = lab.order();
    let Order::Purge { qname, subtree: true } = order else { panic!("{order:?}") };
    assert_eq!(&qname[..], b"\x03www\x07example\x03com\0");
    lab.brings((instance, token), Brought::Purged(34));
    assert_eq!(lab.call(0, 2), Called::Code(8 + 34, None));
}

#[test]
fn sockets_are_opened_written_read_and_closed() {
    let data =
        format!("{CODE} (data (i32.const 100000) \"/run/feed.sock\") (data (i32.const 100100) \"hello\")");
    // What each query does is its token; what DONE brings stands at 100200, its length at 100204.
    let step = |number: u32, what: &str| {
        format!("(if (i32.eq (local.get $token) (i32.const {number})) (then (return (call $code {what}))))")
    };
    let steps = [
        step(1, "(call $open (i32.const 100000) (i32.const 14))"),
        step(2, "(call $send (i32.const 1) (i32.const 100100) (i32.const 5))"),
        step(3, "(call $receive (i32.const 1))"),
        step(4, "(i32.load8_u (i32.const 100200))"),
        step(5, "(i32.load (i32.const 100204))"),
        step(6, "(call $close (i32.const 1))"),
    ];
    let body = format!(
        "(if (i32.eq (local.get $kind) (i32.const 2)) (then
           (i32.store8 (i32.const 100200) (i32.load8_u (i32.const 68800)))
           (i32.store (i32.const 100204) (local.get $len)) (return (i64.const 0))))
         (if (i32.ne (local.get $kind) (i32.const 1)) (then (return (i64.const 0))))
         {} (i64.const 0)",
        steps.concat()
    );
    let mut lab = Lab::new(vec![load_generous(&with(&["open", "send", "receive", "close"], &data, &body))]);
    assert_eq!(lab.call(0, 2), refused(-4));
    assert_eq!(lab.call(0, 1), Called::Code(1, None));
    let (instance, socket, order) = lab.order();
    assert!(matches!(order, Order::Open(path) if path.as_os_str() == "/run/feed.sock"));
    assert_eq!(lab.call(0, 2), refused(-11), "it is not open yet");
    lab.brings((instance, socket), Brought::Bytes(&[]));
    assert_eq!((lab.call(0, 5), lab.call(0, 2)), (Called::Code(0, None), Called::Code(2, None)));
    let (_, send, order) = lab.order();
    assert!(matches!(order, Order::Send(1, bytes) if bytes == b"hello"));
    lab.brings((instance, send), Brought::Bytes(&[]));
    assert_eq!(lab.call(0, 3), Called::Code(3, None));
    assert_eq!(lab.call(0, 3), refused(-5), "one reads at a time");
    let (_, receive, order) = lab.order();
    assert!(matches!(order, Order::Receive(1)));
    lab.brings((instance, receive), Brought::Bytes(b"A!"));
    assert_eq!((lab.call(0, 4), lab.call(0, 5)), (Called::Code(65, None), Called::Code(2, None)));
    assert_eq!(lab.call(0, 3), Called::Code(4, None));
    let (_, receive, _) = lab.order();
    lab.brings((instance, receive), Brought::Closed);
    assert_eq!((lab.call(0, 5), lab.call(0, 2), lab.call(0, 3)), (refused(-8), refused(-8), refused(-8)));
    assert_eq!(lab.call(0, 6), Called::Code(0, None));
    assert!(matches!(lab.order(), (_, 1, Order::Close(1))));
    assert_eq!(lab.call(0, 6), refused(-4));
}

#[test]
fn an_instance_that_goes_leaves_nothing_open() {
    let data = "(data (i32.const 100000) \"/run/feed.sock\")";
    let body = "(if (i32.eq (local.get $token) (i32.const 2)) (then (unreachable)))
        (drop (call $open (i32.const 100000) (i32.const 14)))
        (drop (call $timer (i32.const 1000)))
        (drop (call $resolve (i32.const 1152) (local.get $len) (i32.const 0)))
        (i64.const 4)";
    let mut lab = Lab::new(vec![load_generous(&with(&["open", "timer", "resolve"], data, body))]);
    assert_eq!(lab.call(0, 1), Called::Later);
    let first = lab.order().0;
    lab.order();
    lab.order();
    assert_eq!(lab.call(0, 2), Called::Failed);
    let mut left: Vec<String> = std::iter::from_fn(|| lab.sandbox.take_order())
        .map(|(instance, token, order)| {
            assert_eq!(instance, first);
            format!("{token} {order:?}")
        })
        .collect();
    left.sort();
    assert_eq!(left, ["1 Close(1)", "2 Cancel(2)", "3 Cancel(3)"]);
    // What comes for it is for nobody: its successor has another number.
    lab.brings((first, 3), Brought::Unanswered(Outcome::Timeout));
    assert_eq!(lab.count(APP_EVENTS, [1, APP_EVENT_DONE]), 0);
}

#[test]
fn counters_lines_and_the_configuration_are_the_guests_own() {
    let body = "(drop (call $metric (i32.const 1) (i64.const 5)))
        (if (i32.ne (call $metric (i32.const 2) (i64.const 5)) (i32.const -4)) (then (unreachable)))
        (if (i32.ne (call $metric (i32.const 0) (i64.const -5)) (i32.const -1)) (then (unreachable)))
        (if (i32.ne (call $config (i32.const 2) (i32.const 100000) (i32.const 6)) (i32.const 6))
          (then (unreachable)))
        (if (i32.ne (call $config (i32.const 17) (i32.const 100100) (i32.const 6)) (i32.const 0))
          (then (unreachable)))
        (if (i32.ne (call $config (i32.const 18) (i32.const 100100) (i32.const 6)) (i32.const -1))
          (then (unreachable)))
        (drop (call $log (i32.const 2) (i32.const 100000) (i32.const 6)))
        (i64.const 0)";
    let (log, writer) = crate::log::open(&crate::log::Settings::default()).unwrap();
    let tools = Tools { places: Places::default(), log };
    let app = load_generous(&with(&["metric", "config", "log"], "", body));
    let mut lab = Lab::with(tools, vec![app]);
    assert_eq!([lab.call(0, 1), lab.call(0, 2)], [Called::Pass; 2]);
    assert_eq!((lab.count(APP_METRICS, [0, 0]), lab.count(APP_METRICS, [0, 1])), (0, 10));
    drop(lab);
    let lines: Vec<String> = writer.into_lines().into_iter().map(|line| line.message).collect();
    assert_eq!(lines, ["a: colour", "a: colour"]);
}

/// A guest that answers each query with one code, and on STOP finishes what it holds.
fn version(code: u8, holds: u32) -> Vec<u8> {
    let body = format!(
        "(if (i32.eq (local.get $kind) (i32.const 6)) (then
           (drop (call $finish (i32.const {holds}) (i64.const {})))))
         (if (i32.eq (local.get $token) (i32.const {holds})) (then (return (i64.const 4))))
         (i64.const {})",
        2 | u32::from(code) << 8,
        2 | u32::from(code) << 8
    );
    with(&["finish"], "", &body)
}

#[test]
fn an_application_changes_without_losing_a_query() {
    let standing_at = |line: u32| {
        let (text, place) = ("qtype == A".to_owned(), format!("app.toml:{line}:5"));
        Manifest { router: vec![Condition { text, place }], ..manifest("a") }
    };
    let mut lab = Lab::new(vec![load(standing_at(4), &version(3, 50)).unwrap()]);
    let old = Arc::clone(&lab.apps);
    assert_eq!(lab.call(0, 50), Called::Later);
    // The same again, but for a comment above its router: it keeps its instance.
    lab.refresh(vec![load(standing_at(5), &version(3, 50)).unwrap()]);
    assert_eq!(lab.count(APP_EVENTS, [1, APP_EVENT_START]), 1);
    assert_eq!(lab.call(0, 1), Called::Code(3, None));
    // Another one: queries get that of their own snapshot.
    lab.refresh(vec![load(manifest("a"), &version(5, 51)).unwrap()]);
    assert_eq!(lab.count(APP_EVENTS, [1, APP_EVENT_START]), 2);
    let new = Arc::clone(&lab.apps);
    for _ in 0..3 {
        assert_eq!(lab.call(0, 1), Called::Code(5, None));
        lab.apps = Arc::clone(&old);
        assert_eq!(lab.call(0, 1), Called::Code(3, None));
        lab.apps = Arc::clone(&new);
    }
    assert_eq!(lab.sandbox.gauges().app(1).held(), 1);
    lab.tick(Duration::from_millis(1999));
    assert_eq!(lab.sandbox.take_finished(), None);
    lab.tick(Duration::from_millis(1));
    assert_eq!(lab.sandbox.take_finished(), Some((50, Called::Code(3, None))), "it was told to stop");
    assert_eq!(lab.count(APP_EVENTS, [1, APP_EVENT_STOP]), 1);
    lab.apps = old;
    assert_eq!(lab.call(0, 1), Called::Failed, "that one is gone");
    lab.apps = new;
    assert_eq!(lab.call(0, 1), Called::Code(5, None));

    // One that holds nothing goes once no query of its snapshot can come; and then there is none.
    lab.refresh(vec![]);
    lab.tick(Duration::from_millis(999));
    assert_eq!(lab.count(APP_EVENTS, [1, APP_EVENT_STOP]), 1);
    lab.tick(Duration::from_millis(1));
    assert_eq!(lab.count(APP_EVENTS, [1, APP_EVENT_STOP]), 2);
    assert_eq!(lab.sandbox.gauges().app(1).state(), crate::stats::gauges::AppState::Gone);
    assert_eq!(lab.sandbox.next_deadline(), None);
}

#[test]
fn what_an_old_instance_does_not_finish_gets_the_fallback() {
    let mut lab = Lab::new(vec![load(manifest("a"), &event("", "(i64.const 4)")).unwrap()]);
    assert_eq!(lab.call(0, 50), Called::Later);
    lab.refresh(vec![]);
    lab.tick(Duration::from_secs(2));
    assert_eq!(lab.sandbox.take_finished(), Some((50, Called::Failed)));
}

#[test]
fn reloads_leave_nothing_behind() {
    let mut lab = Lab::new(vec![]);
    for round in 0..50 {
        lab.refresh(vec![load(manifest("a"), &version(round, 99)).unwrap()]);
        assert_eq!(lab.call(0, 1), Called::Code(round.into(), None));
        lab.tick(Duration::from_millis(300));
    }
    lab.tick(Duration::from_secs(1));
    assert_eq!(lab.sandbox.slots(), 1);
}

#[test]
fn each_query_may_have_an_instance_of_its_own() {
    // It counts what it sees.
    let body = "(i32.store (i32.const 3000) (i32.add (i32.load (i32.const 3000)) (i32.const 1)))
        (call $code (i32.load (i32.const 3000)))";
    let counts = with(&[], CODE, body);
    let mut lab = Lab::new(vec![load(manifest("a"), &counts).unwrap()]);
    assert_eq!([1, 2].map(|token| lab.call(0, token)), [1, 2].map(|code| Called::Code(code, None)));
    let mut alone = generous("a");
    alone.isolation = Isolation::Query;
    let mut lab = Lab::new(vec![load(alone.clone(), &counts).unwrap()]);
    assert_eq!([1, 2].map(|token| lab.call(0, token)), [Called::Code(1, None); 2]);
    assert_eq!(lab.count(APP_EVENTS, [1, APP_EVENT_START]), 2);
    // It can hold none, and nothing is told to it.
    let mut lab = Lab::new(vec![load(alone.clone(), &event("", "(i64.const 4)")).unwrap()]);
    assert_eq!(lab.call(0, 1), Called::Failed);
    assert_eq!(lab.count(GUEST_REPLIES_BAD, [1, BAD_REPLY_VERDICT]), 1);
    let mut lab = Lab::new(vec![
        load(alone, &with(&["timer"], CODE, "(call $code (call $timer (i32.const 1)))")).unwrap(),
    ]);
    assert_eq!(lab.call(0, 1), refused(-10));
    assert!(lab.sandbox.take_order().is_none());
}

#[test]
fn what_was_adopted_can_be_started_again() {
    let traps = "(if (i32.eq (local.get $token) (i32.const 9)) (then (unreachable))) (i64.const 0x302)";
    let load = || load(manifest("a"), &event("", traps)).unwrap();
    let mut lab = Lab::new(vec![load()]);
    let first = Arc::clone(&lab.apps);
    for _ in 0..3 {
        lab.refresh(vec![load()]);
        assert_eq!(lab.call(0, 9), Called::Failed);
        assert_eq!(lab.call(0, 1), Called::Code(3, None));
    }
    assert_eq!(lab.sandbox.slots(), 1);
    lab.apps = first;
    assert_eq!(lab.call(0, 1), Called::Code(3, None));
}

#[test]
fn spans_are_of_traced_queries() {
    let body = "(i64.or (i64.const 2) (i64.shl (i64.extend_i32_u (i32.and (i32.const 255)
        (call $span (local.get $token) (i32.const 2) (i32.const 100000) (i32.const 4)))) (i64.const 8)))";
    let mut lab = Lab::new(vec![
        load(manifest("a"), &with(&["span"], "(data (i32.const 100000) \"seen\")", body)).unwrap(),
    ]);
    assert_eq!(lab.call(0, 1), Called::Code(0, None));
    assert_eq!(lab.sandbox.take_span(), None);
    lab.is_traced = true;
    assert_eq!(lab.call(0, 2), Called::Code(0, None));
    let span = lab.sandbox.take_span().unwrap();
    assert_eq!((span.query, span.label, span.kind, span.text.as_str()), (2, 1, 2, "seen"));
    // A query has 64, and of one that it does not have a guest can note nothing.
    let body =
        "(if (i32.ne (call $span (i32.const 77) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const -4))
          (then (unreachable)))
        (local.set 3 (i32.const 100))
        (loop $more
          (drop (call $span (local.get $token) (i32.const 0) (i32.const 0) (i32.const 0)))
          (br_if $more (local.tee 3 (i32.sub (local.get 3) (i32.const 1)))))
        (i64.const 0)";
    let bytes = with(&["span"], "", &format!("(local i32) {body}"));
    let mut lab = Lab::new(vec![load(manifest("a"), &bytes).unwrap()]);
    lab.is_traced = true;
    assert_eq!(lab.call(0, 3), Called::Pass);
    assert_eq!(std::iter::from_fn(|| lab.sandbox.take_span()).count(), 64);
}

#[test]
fn places_and_random_numbers_come_from_the_node() {
    let places = Places::new(|address| match address.to_string().as_str() {
        "192.0.2.7" => crate::work::places::Place { country: Some(*b"PT"), asn: Some(0x0102_0304) },
        _ => crate::work::places::Place::default(),
    });
    let body = "(if (i32.eq (local.get $token) (i32.const 2))
          (then (return (call $code (call $geo (i32.const 1024) (i32.const 6) (i32.const 100000))))))
        (drop (call $geo (i32.const 1052) (i32.const 4) (i32.const 100000)))
        (drop (call $random (i32.const 100008) (i32.const 32)))
        (if (i64.ne (i64.load (i32.const 100000)) (i64.const 0x01020304_00005450)) (then (unreachable)))
        (i64.or (i64.const 2) (i64.shl (i64.load8_u (i32.const 100008)) (i64.const 8)))";
    let app = load_generous(&with(&["geo", "random"], CODE, body));
    let mut lab = Lab::with(Tools { places, log: Log::silent() }, vec![app]);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let Called::Code(code, None) = lab.call(0, 1) else { panic!() };
        seen.insert(code);
    }
    assert!(seen.len() > 20, "{seen:?}");
    assert_eq!(lab.call(0, 2), refused(-4));
}

#[test]
fn a_counter_of_a_guest_does_not_wrap() {
    let body = "(drop (call $metric (i32.const 0) (i64.const 0xffffffff)))
        (drop (call $metric (i32.const 0) (i64.const 0xffffffff))) (i64.const 0)";
    let mut lab = Lab::new(vec![load_generous(&with(&["metric"], "", body))]);
    assert_eq!([lab.call(0, 1), lab.call(0, 2)], [Called::Pass; 2]);
    assert_eq!(lab.count(APP_METRICS, [0, 0]), 2 * 0xffff_ffff);
}

#[test]
fn all_are_told_when_it_is_over() {
    let mut lab = Lab::new(vec![load(manifest("a"), &version(3, 50)).unwrap()]);
    assert_eq!(lab.call(0, 50), Called::Later);
    lab.sandbox.stop(lab.now, &mut lab.ledger);
    assert_eq!(lab.sandbox.take_finished(), Some((50, Called::Code(3, None))));
    assert_eq!(lab.call(0, 1), Called::Failed);
}
