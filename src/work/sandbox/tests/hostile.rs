//! Guests that mean no good: each query gets what its manifest says, each deed is counted, and a neighbour
//! answers as before.

use super::*;
use crate::dns::message::Message;
use crate::stats::app_labels::*;
use crate::stats::counters::{
    APP_EVENTS, APP_VERDICTS, GUEST_HOSTCALLS_REFUSED, GUEST_LOG_DROPPED, GUEST_MEMORY_REFUSED,
    GUEST_REPLIES_BAD, GUEST_TRAPS,
};

/// A guest of `guests/hostile/`.
macro_rules! hostile {
    ($name:literal) => {
        wat::parse_str(include_str!(concat!("../../../../guests/hostile/", $name, ".wat"))).unwrap()
    };
}

/// The neighbour, which answers each query with NXDOMAIN.
fn neighbour() -> App {
    load(manifest("neighbour"), &event("", "(i64.const 0x302)")).unwrap()
}

/// A hostile guest, whose label is 1, and its neighbour.
fn lab(bytes: &[u8]) -> Lab {
    Lab::new(vec![load(manifest("hostile"), bytes).unwrap(), neighbour()])
}

impl Lab {
    /// Calls the guest, and then its neighbour, which is as ever.
    fn call_both(&mut self, token: u32) -> Called {
        let called = self.call(0, token);
        assert_eq!(self.call(1, 1000 + token), Called::Code(3, None));
        called
    }
}

#[test]
fn an_instance_that_traps_is_thrown_away() {
    let traps: [(&[u8], usize); 7] = [
        (&hostile!("loop"), TRAP_TIME),
        (&hostile!("recursion"), TRAP_STACK),
        (&hostile!("unreachable"), TRAP_UNREACHABLE),
        (&hostile!("outside"), TRAP_MEMORY),
        (&hostile!("pointer"), TRAP_POINTER),
        (&hostile!("hostcalls"), TRAP_CALLS),
        (
            &event(
                "",
                "(i64.div_u (i64.const 1) (i64.extend_i32_u (i32.sub (local.get $len) (local.get $len))))",
            ),
            TRAP_CODE,
        ),
    ];
    for (bytes, why) in traps {
        let mut lab = lab(bytes);
        for token in 1..=3 {
            assert_eq!(lab.call_both(token), Called::Failed);
            assert_eq!(lab.count(GUEST_TRAPS, [1, why]), u64::from(token), "{why}");
            assert_eq!(lab.count(APP_EVENTS, [1, APP_EVENT_START]), u64::from(token) + 1, "{why}");
        }
        let traps: u64 = (0..TRAP.len).map(|why| lab.count(GUEST_TRAPS, [1, why])).sum();
        assert_eq!((traps, lab.count(GUEST_TRAPS, [2, why])), (3, 0));
    }
}

#[test]
fn what_is_too_much_is_refused_and_counted() {
    for bytes in [hostile!("memory"), hostile!("table")] {
        let mut lab = lab(&bytes);
        for token in 1..=3 {
            assert_eq!(lab.call_both(token), Called::Pass);
            assert_eq!(lab.count(GUEST_MEMORY_REFUSED, [1]), u64::from(token));
        }
        lab.tick(Duration::from_secs(1));
        assert!((128 << 10..=4 << 20).contains(&lab.sandbox.gauges().app(1).memory()));
    }
    let mut lab = lab(&hostile!("log"));
    assert_eq!(lab.call_both(1), Called::Pass);
    assert_eq!(lab.count(GUEST_LOG_DROPPED, [1]), 897);
    assert_eq!(lab.count(GUEST_HOSTCALLS_REFUSED, [1, HOSTCALL_LIMIT]), 897);
    lab.now += Duration::from_secs(1);
    assert_eq!(lab.call_both(2), Called::Pass);
    assert_eq!(lab.count(GUEST_LOG_DROPPED, [1]), 2 * 897, "there are three more a second later");
}

#[test]
fn replies_that_are_not_true_are_not_taken() {
    let replies: [(&[u8], usize); 7] = [
        (&hostile!("question"), BAD_REPLY_QUESTION),
        (&hostile!("counts"), BAD_REPLY_MALFORMED),
        (&hostile!("compression"), BAD_REPLY_MALFORMED),
        (&hostile!("rest"), BAD_REPLY_MALFORMED),
        (&hostile!("long"), BAD_REPLY_LENGTH),
        (&hostile!("verdict"), BAD_REPLY_VERDICT),
        (&event("", "(i32.store (i32.const 1048) (i32.const 11)) (i64.const 1)"), BAD_REPLY_LENGTH),
    ];
    for (bytes, why) in replies {
        let mut lab = lab(bytes);
        assert_eq!(lab.call_both(1), Called::Failed);
        assert_eq!(lab.count(GUEST_REPLIES_BAD, [1, why]), 1);
        let bad: u64 = (0..BAD_REPLY.len).map(|why| lab.count(GUEST_REPLIES_BAD, [1, why])).sum();
        let traps: u64 = (0..TRAP.len).map(|why| lab.count(GUEST_TRAPS, [1, why])).sum();
        assert_eq!((bad, traps), (1, 0), "{why}");
    }
}

#[test]
fn the_header_is_the_hosts() {
    let mut lab = lab(&hostile!("header"));
    assert_eq!(lab.call_both(1), Called::Reply);
    assert_eq!(lab.call(0, 2), Called::Reply);
    let reply = lab.sandbox.reply();
    let message = Message::read(reply).unwrap();
    assert_eq!(reply[..2], lab.query[..2]);
    assert_eq!(message.flags, 0x8103, "QR, RD, NXDOMAIN; no AA without leave");
    assert_eq!((message.counts, message.opt.is_none()), ([1, 0, 0, 0], true));
    assert_eq!(reply[12..], lab.query[12..]);

    let mut with_leave = manifest("a");
    with_leave.allow.authoritative = true;
    let mut lab = Lab::new(vec![load(with_leave, &hostile!("header")).unwrap()]);
    lab.query[2] = 0;
    lab.query[3] = 0x10;
    lab.query[22] = b'I';
    assert_eq!(lab.call(0, 1), Called::Reply);
    assert_eq!(Message::read(lab.sandbox.reply()).unwrap().flags, 0x8413, "QR, AA, CD, NXDOMAIN");
}

#[test]
fn nobody_finishes_queries_of_others() {
    let holder = load(manifest("holder"), &event("", "(i64.const 4)")).unwrap();
    let mut lab = Lab::new(vec![load(manifest("hostile"), &hostile!("finish")).unwrap(), holder]);
    for token in 5..8 {
        assert_eq!(lab.call(1, token), Called::Later);
    }
    assert_eq!(lab.call(0, 6), Called::Pass);
    assert_eq!(lab.sandbox.take_finished(), None);
    assert_eq!(lab.count(GUEST_HOSTCALLS_REFUSED, [1, HOSTCALL_NOT_FOUND]), 999);
}

#[test]
fn what_is_held_for_ever_is_forgotten() {
    let mut lab = lab(&hostile!("later"));
    for token in 1..=4 {
        assert_eq!(lab.call_both(token), Called::Later);
    }
    assert_eq!(lab.call_both(5), Called::Failed, "it holds four");
    assert_eq!(lab.count(APP_VERDICTS, [1, 4]), 5);
    lab.sandbox.forget(2);
    assert_eq!(lab.call_both(6), Called::Later);
    assert_eq!(lab.call_both(7), Called::Failed);
    assert_eq!(lab.sandbox.take_finished(), None);
}

#[test]
fn a_start_that_does_not_end_is_not_loaded() {
    let wrong = load(manifest("a"), &hostile!("start-loop")).unwrap_err();
    assert_eq!(wrong.len(), 1);
    assert_eq!(wrong[0].to_string(), "apps.d/a/a.wasm: cannot be started: its time was up");
}

#[test]
fn who_registers_other_hooks_than_when_it_was_loaded_is_off() {
    let app = load(manifest("a"), &hostile!("hooks")).unwrap();
    assert_eq!(app.hooks.len(), 1);
    let mut lab = Lab::new(vec![app, neighbour()]);
    assert_eq!(lab.count(GUEST_TRAPS, [1, TRAP_HOOKS]), 1);
    assert_eq!(lab.call_both(1), Called::Failed);
    lab.tick(Duration::from_millis(900));
    assert_eq!(lab.count(APP_EVENTS, [1, APP_EVENT_START]), 1);
    lab.tick(Duration::from_millis(100));
    assert_eq!(lab.count(APP_EVENTS, [1, APP_EVENT_START]), 2, "a second later it is tried again");
    lab.tick(Duration::from_millis(1900));
    assert_eq!(lab.count(GUEST_TRAPS, [1, TRAP_HOOKS]), 2, "and then after two");
    lab.tick(Duration::from_millis(100));
    assert_eq!(lab.count(GUEST_TRAPS, [1, TRAP_HOOKS]), 3);
}

#[test]
fn five_traps_turn_an_application_off() {
    let mut lab = lab(&hostile!("unreachable"));
    let mut token = 0;
    // The pause doubles each time.
    for pause in [1, 2, 4] {
        for _ in 0..5 {
            token += 1;
            assert_eq!(lab.call_both(token), Called::Failed);
        }
        let (traps, starts) =
            (lab.count(GUEST_TRAPS, [1, TRAP_UNREACHABLE]), lab.count(APP_EVENTS, [1, APP_EVENT_QUERY]));
        assert_eq!((traps, starts), (u64::from(token), u64::from(token)));
        assert_eq!(lab.sandbox.gauges().app(1).state(), crate::stats::gauges::AppState::Off);
        // It is not asked.
        assert_eq!(lab.call_both(99), Called::Failed);
        assert_eq!(lab.count(APP_EVENTS, [1, APP_EVENT_QUERY]), u64::from(token));
        lab.tick(Duration::from_millis(pause * 1000 - 1));
        assert_eq!(lab.call_both(99), Called::Failed);
        assert_eq!(lab.count(APP_EVENTS, [1, APP_EVENT_QUERY]), u64::from(token));
        assert!(lab.sandbox.next_deadline().unwrap() <= lab.now + Duration::from_millis(1));
        lab.tick(Duration::from_millis(1));
    }
    // Five in more than ten seconds are not too many.
    for _ in 0..7 {
        lab.now += Duration::from_millis(2600);
        token += 1;
        assert_eq!(lab.call_both(token), Called::Failed);
        assert_eq!(lab.count(APP_EVENTS, [1, APP_EVENT_QUERY]), u64::from(token));
    }
    // And after a minute without any, the pause is the shortest again.
    lab.tick(Duration::from_secs(60));
    for _ in 0..5 {
        assert_eq!(lab.call(0, 1), Called::Failed);
    }
    lab.tick(Duration::from_secs(1));
    token += 5;
    assert_eq!(lab.call(0, 1), Called::Failed);
    assert_eq!(lab.count(APP_EVENTS, [1, APP_EVENT_QUERY]), u64::from(token) + 1);
}

#[test]
fn what_a_trapped_instance_held_gets_the_fallback() {
    // It traps on the third query.
    let body = "(if (i32.eq (local.get $token) (i32.const 3)) (then (unreachable))) (i64.const 4)";
    let mut lab = lab(&event("", body));
    assert_eq!([1, 2].map(|token| lab.call_both(token)), [Called::Later; 2]);
    assert_eq!(lab.call_both(3), Called::Failed);
    let mut finished: Vec<_> = std::iter::from_fn(|| lab.sandbox.take_finished()).collect();
    finished.sort_by_key(|(token, _)| *token);
    assert_eq!(finished, [(1, Called::Failed), (2, Called::Failed)]);
    assert_eq!(lab.call_both(4), Called::Later, "there is a fresh one");
}

#[test]
fn an_event_takes_the_same_fuel_each_time() {
    let mut lab = lab(&event(
        "(import \"as112\" \"random\" (func $random (param i32 i32) (result i32)))",
        "(drop (call $random (i32.const 80000) (i32.const 100)))
         (memory.fill (i32.const 80000) (i32.const 1) (i32.const 10000)) (i64.const 0)",
    ));
    lab.call_both(1);
    let left = lab.sandbox.fuel_left(0).unwrap();
    assert!(left < super::super::instance::fuel(&lab.apps.apps[0]));
    for token in 2..100 {
        lab.call_both(token);
        assert_eq!(lab.sandbox.fuel_left(0), Some(left));
    }
}
