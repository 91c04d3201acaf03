//! Workers with applications.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use super::harness::{Floor, Guest, Start, pause, wire};
use super::upstream::Upstream;
use crate::policy::Fallback;
use crate::policy::phase::Phase;
use crate::stats::app_labels::APP_EVENT_TICK;
use crate::stats::counters::{APP_EVENTS, CACHE_PURGED, GUEST_TRAPS, QUERIES, RESPONSES, WORK_REFUSED};
use crate::stats::gauges::AppState;
use crate::stats::labels::{WORK_REFUSAL, WORK_REFUSED_APP, WORK_REFUSED_DEADLINE};
use crate::work::sandbox::tests::event;

/// An application whose events are `body`, after which it passes: a query is `$kind` 1, and its token stands
/// at 1028.
fn app(name: &str, imports: &str, body: &str) -> Guest {
    let imports = format!(
        "{imports}
         (import \"as112\" \"finish\" (func $finish (param i32 i64) (result i32)))
         (import \"as112\" \"timer\" (func $timer (param i32) (result i32)))"
    );
    Guest::new(name, event(&imports, body))
}

const PASS: i64 = 0;
const REFUSED: i64 = 2 | 5 << 8;
const DROP: i64 = 3;
const LATER: i64 = 4;
const FAIL: i64 = 7;

/// One that says this of every query.
fn says(name: &str, verdict: i64) -> Guest {
    app(name, "", &format!("(i64.const {verdict})"))
}

/// One that holds each query until a timer has run out, and then says this. Tokens of queries stand from 8192
/// on, by the tokens of their timers.
fn holds(name: &str, millis: u32, verdict: i64) -> Guest {
    let mut guest = app(
        name,
        "",
        &format!(
            "(if (i32.eq (local.get $kind) (i32.const 1)) (then
                (i32.store
                    (i32.add (i32.const 8192) (i32.mul (i32.const 4) (call $timer (i32.const {millis}))))
                    (i32.load (i32.const 1028)))
                (return (i64.const 4))))
             (if (i32.eq (local.get $kind) (i32.const 3)) (then
                (drop (call $finish
                    (i32.load (i32.add (i32.const 8192) (i32.mul (i32.const 4) (local.get $token))))
                    (i64.const {verdict})))))
             (i64.const 0)"
        ),
    );
    guest.manifest.limits.in_flight = 100;
    guest
}

/// One that asks `lan` what it is asked, and replies with what that says.
fn forwards(name: &str, flags: u32) -> Guest {
    let imports = "(import \"as112\" \"forward\"
                      (func $forward (param i32 i32 i32 i32 i32 i32) (result i32)))
                   (data (i32.const 512) \"lan\")";
    let body = format!(
        "(if (i32.eq (local.get $kind) (i32.const 1)) (then
            (i32.store
                (i32.add (i32.const 8192) (i32.mul (i32.const 4)
                    (call $forward (i32.const 512) (i32.const 3) (i32.const 1152)
                        (i32.load (i32.const 1044)) (i32.const 300) (i32.const {flags}))))
                (i32.load (i32.const 1028)))
            (return (i64.const 4))))
         (if (i32.eq (local.get $kind) (i32.const 2)) (then
            (i32.store (i32.const 1048) (local.get $len))
            (drop (call $finish
                (i32.load (i32.add (i32.const 8192) (i32.mul (i32.const 4) (local.get $token))))
                (select (i64.const 1) (i64.const 7) (i32.gt_s (local.get $len) (i32.const 0)))))))
         (i64.const 0)"
    );
    // Data stands after imports, and there is a memory by then.
    let (imports, data) = imports.split_once("(data").unwrap();
    let mut guest = Guest::new(name, Vec::new());
    let finish = "(import \"as112\" \"finish\" (func $finish (param i32 i64) (result i32)))";
    let head =
        "(func (export \"as112_event\") (param $kind i32) (param $token i32) (param $len i32) (result i64)";
    let more = format!("(data{data} {head} {body})");
    guest.module = crate::work::sandbox::tests::guest(&format!("{imports} {finish}"), &more);
    guest.manifest.allow.forward = vec!["lan".to_owned()];
    guest.manifest.limits.in_flight = 100;
    guest
}

/// All queries below `example` go to the application `a`.
const ROUTE: &str = "a: phase = route and src in { 127.0.0.0/8 } and qname-suffix = example app a";

fn start(guests: &[Guest]) -> Floor {
    Floor::start(&Start { apps: guests.to_vec(), ..Start::with(ROUTE, &[]) })
}

#[test]
fn an_application_answers_passes_drops_and_fails() {
    for (verdict, result) in [
        (PASS, Some((5, 0))),
        (REFUSED, Some((5, 0))),
        (2 | 3 << 8, Some((3, 0))),
        (DROP, None),
        (FAIL, Some((2, 0))),
    ] {
        let mut floor = start(&[says("a", verdict)]);
        assert_eq!(floor.result("x.example"), result, "{verdict}");
        floor.idle();
        floor.counted(QUERIES, result.is_some().into());
        floor.counted(RESPONSES, result.is_some().into());
    }
    // The reply is the question, which the guest copies.
    let copies = app(
        "a",
        "",
        "(memory.copy (i32.const 3264) (i32.const 1152) (i32.load16_u (i32.const 1042)))
         (i32.store (i32.const 1048) (i32.load16_u (i32.const 1042)))
         (i64.const 1)",
    );
    let mut floor = start(&[copies]);
    let reply = floor.ask("X.Example").unwrap();
    assert_eq!(
        (reply[2..12].to_vec(), &reply[12..23]),
        (vec![0x81, 0, 0, 1, 0, 0, 0, 0, 0, 0], &wire("X.Example")[..])
    );
    floor.idle();
}

#[test]
fn a_query_is_held_until_it_is_finished_or_its_time_is_up() {
    let mut floor = start(&[holds("a", 30, REFUSED)]);
    let ids: Vec<u16> = (0..40).map(|nth| floor.send(&format!("{nth}.example"))).collect();
    let mut got: Vec<u16> = (0..40)
        .map(|_| floor.receive().unwrap())
        .map(|reply| {
            assert_eq!(reply[3] & 0xF, 5);
            u16::from_be_bytes([reply[0], reply[1]])
        })
        .collect();
    got.sort_unstable();
    assert_eq!(got, ids, "each has one reply");
    floor.idle();
    // One that never finishes any.
    let guests = vec![says("a", LATER)];
    let start = Start { apps: guests, query_timeout: Duration::from_millis(200), ..Start::with(ROUTE, &[]) };
    let mut floor = Floor::start(&start);
    for _ in 0..3 {
        assert_eq!(floor.result("never.example"), Some((2, 0)));
    }
    floor.idle();
    let refused = floor.counted(WORK_REFUSED, 3);
    assert_eq!(refused[WORK_REFUSAL.len + WORK_REFUSED_DEADLINE], 3);
    floor.until("nothing is held", |floor| floor.workers.gauges()[0].apps.app(1).held() == 0);
}

#[test]
fn what_it_holds_in_late_phases_is_kept_for_it() {
    let upstream = Upstream::start();
    let rules = "lan: src in { 127.0.0.0/8 } and qname-suffix = example forward upstream lan";
    let upstreams = [("lan", upstream.address)];
    for phase in [Phase::Response, Phase::Reply] {
        let mut guest = holds("a", 40, PASS);
        guest.hooks.push((phase, "qname-suffix = example"));
        let mut floor = Floor::start(&Start { apps: vec![guest], ..Start::with(rules, &upstreams) });
        let phase = phase.name();
        let names: Vec<String> = (0..20).map(|nth| format!("{phase}{nth}.example")).collect();
        for name in &names {
            floor.send(name);
        }
        let mut seen: Vec<String> = Vec::new();
        for _ in &names {
            let reply = floor.receive().unwrap();
            assert_eq!((reply[3] & 0xF, reply[7]), (0, 1), "{phase}: the answer is its own");
            let len = usize::from(reply[12]);
            seen.push(format!("{}.example", std::str::from_utf8(&reply[13..13 + len]).unwrap()));
        }
        assert_eq!(seen.len(), names.len());
        assert!(names.iter().all(|name| seen.contains(name)));
        floor.idle();
        // It was stored, as without the application.
        assert_eq!(floor.result(&names[0]), Some((0, 1)));
        assert_eq!(upstream.asked(&names[0]), 1);
        floor.idle();
    }
}

#[test]
fn an_application_asks_others_with_and_without_the_cache() {
    for (flags, asked) in [(0, 2), (1, 1)] {
        let upstream = Upstream::start();
        let guests = vec![forwards("a", flags)];
        let mut floor =
            Floor::start(&Start { apps: guests, ..Start::with(ROUTE, &[("lan", upstream.address)]) });
        for _ in 0..2 {
            let reply = floor.ask("Of.Example").unwrap();
            assert_eq!((reply[3] & 0xF, reply[7], &reply[reply.len() - 4..]), (0, 1, &[192, 0, 0, 1][..]));
            assert_eq!(reply[12..24], wire("Of.Example"), "the question as the client wrote it");
        }
        assert_eq!(upstream.asked("of.example"), asked, "flags {flags}");
        upstream.silence(true);
        assert_eq!(floor.result("silent.example"), Some((2, 0)), "it says so when nobody answers");
        floor.idle();
        let refused = floor.counted(WORK_REFUSED, 1);
        assert_eq!(refused[WORK_REFUSAL.len + WORK_REFUSED_APP], 1);
    }
}

#[test]
fn a_trap_takes_what_is_held_and_leaves_the_neighbours_alone() {
    // It holds what comes first, and gives up with the second.
    let traps = app(
        "a",
        "",
        "(if (i32.ne (local.get $kind) (i32.const 1)) (then (return (i64.const 0))))
         (if (i32.load (i32.const 600)) (then (unreachable)))
         (i32.store (i32.const 600) (i32.const 1))
         (i64.const 4)",
    );
    let rules = format!("{ROUTE}\nb: src in {{ 127.0.0.0/8 }} and qname-suffix = other app b");
    let guests = vec![traps, holds("b", 60, REFUSED)];
    let mut floor = Floor::start(&Start { apps: guests, ..Start::with(&rules, &[]) });
    let held = floor.send("held.example");
    let neighbour = floor.send("held.other");
    let trapped = floor.send("trap.example");
    let mut replies: Vec<(u16, u8)> = (0..3)
        .map(|_| floor.receive().unwrap())
        .map(|reply| (u16::from_be_bytes([reply[0], reply[1]]), reply[3] & 0xF))
        .collect();
    replies.sort_unstable();
    assert_eq!(replies, [(held, 2), (neighbour, 5), (trapped, 2)]);
    floor.idle();
    floor.counted(GUEST_TRAPS, 1);
    assert_eq!(floor.workers.gauges()[0].apps.app(1).state(), AppState::Running, "there is a fresh one");
}

#[test]
fn time_passes_only_where_there_are_applications() {
    let mut floor = start(&[says("a", PASS)]);
    floor.until("it ticks", |floor| APP_EVENTS.of(&floor.totals())[APP_EVENT_TICK + 6] >= 2);
    floor.reload(ROUTE.replace("app a", "native").as_str(), &[]);
    floor.until("it is gone", |floor| floor.workers.gauges()[0].apps.app(1).memory() == 0);
    assert_eq!(floor.workers.gauges()[0].apps.app(1).state(), AppState::Gone);
    let ticks = APP_EVENTS.of(&floor.totals())[APP_EVENT_TICK + 6];
    pause(Duration::from_millis(1200));
    assert_eq!(APP_EVENTS.of(&floor.totals())[APP_EVENT_TICK + 6], ticks);
}

#[test]
fn an_old_instance_finishes_what_it_holds_while_a_new_one_takes_what_comes() {
    let mut floor = start(&[holds("a", 300, REFUSED)]);
    let old = floor.send("old.example");
    floor.until("it is held", |floor| floor.workers.gauges()[0].tasks() == 1);
    let mut newer = says("a", 2 | 3 << 8);
    newer.manifest.fallback = Fallback::Drop;
    floor.reload_apps(ROUTE, &[], &[newer]);
    let new = floor.send("new.example");
    let replies: Vec<(u16, u8)> = (0..2)
        .map(|_| floor.receive().unwrap())
        .map(|reply| (u16::from_be_bytes([reply[0], reply[1]]), reply[3] & 0xF))
        .collect();
    assert_eq!(replies, [(new, 3), (old, 5)]);
    floor.idle();
}

#[test]
fn what_is_held_is_answered_when_workers_end() {
    let mut floor = start(&[holds("a", 3_000_000, REFUSED)]);
    floor.send("held.example");
    floor.until("it is held", |floor| floor.workers.gauges()[0].tasks() == 1);
    floor.workers.stop();
    assert_eq!(floor.receive().unwrap()[3] & 0xF, 2, "its fallback");
    let mut floor = start(&[holds("a", 100, REFUSED)]);
    floor.send("held.example");
    floor.until("it is held", |floor| floor.workers.gauges()[0].tasks() == 1);
    floor.workers.retire();
    floor.close_desks();
    floor.until("they end by themselves", |floor| floor.workers.is_over());
}

#[test]
fn a_name_is_purged_and_lines_go_to_a_local_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines");
    let listener = UnixListener::bind(&path).unwrap();
    let text = path.display().to_string();
    let upstream = Upstream::start();
    // It purges `example`, opens the socket, and writes how many entries went.
    let imports = "(import \"as112\" \"finish\" (func $finish (param i32 i64) (result i32)))
         (import \"as112\" \"purge\" (func $purge (param i32 i32 i32) (result i32)))
         (import \"as112\" \"open\" (func $open (param i32 i32) (result i32)))
         (import \"as112\" \"send\" (func $send (param i32 i32 i32) (result i32)))
         (import \"as112\" \"receive\" (func $receive (param i32) (result i32)))
         (global $query (mut i32) (i32.const 0)) (global $purge_token (mut i32) (i32.const 0))
         (global $socket (mut i32) (i32.const 0)) (global $sent (mut i32) (i32.const 0))";
    let more = format!(
        "(data (i32.const 512) \"\\07example\\00\") (data (i32.const 600) \"{text}\")
         (func (export \"as112_event\") (param $kind i32) (param $token i32) (param $len i32) (result i64)
           (if (i32.eq (local.get $kind) (i32.const 1)) (then
             (global.set $query (i32.load (i32.const 1028)))
             (global.set $purge_token (call $purge (i32.const 512) (i32.const 9) (i32.const 1)))
             (return (i64.const 4))))
           (if (i32.ne (local.get $kind) (i32.const 2)) (then (return (i64.const 0))))
           (if (i32.eq (local.get $token) (global.get $purge_token)) (then
             (i32.store8 (i32.const 700) (i32.add (i32.const 48) (i32.load (i32.const 68800))))
             (global.set $socket (call $open (i32.const 600) (i32.const {})))
             (return (i64.const 0))))
           (if (i32.eq (local.get $token) (global.get $socket)) (then
             (global.set $sent (call $send (global.get $socket) (i32.const 700) (i32.const 1)))
             (return (i64.const 0))))
           (if (i32.eq (local.get $token) (global.get $sent)) (then
             (drop (call $receive (global.get $socket)))
             (return (i64.const 0))))
           (drop (call $finish (global.get $query) (i64.const {REFUSED})))
           (i64.const 0))",
        text.len()
    );
    let mut guest = Guest::new("a", crate::work::sandbox::tests::guest(imports, &more));
    guest.manifest.allow.cache_purge = vec![wire("example").into()];
    guest.manifest.allow.sockets = vec![path];
    let rules = "
        lan: src in { 127.0.0.0/8 } and qname-suffix = example forward upstream lan
        a: src in { 127.0.0.0/8 } and qname-suffix = purge app a";
    let upstreams = [("lan", upstream.address)];
    let start = Start { apps: vec![guest], workers: 2, ..Start::with(rules, &upstreams) };
    let mut floor = Floor::start(&start);
    // Queries are dealt by their names: each worker has some of them in its cache.
    for name in 'a'..='i' {
        assert_eq!(floor.result(&format!("{name}.example")), Some((0, 1)));
    }
    floor.send("now.purge");
    let (mut peer, _) = listener.accept().unwrap();
    let mut line = [0; 1];
    peer.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"9", "so many entries of both");
    peer.write_all(b"thanks").unwrap();
    assert_eq!(floor.receive().unwrap()[3] & 0xF, 5);
    floor.idle();
    floor.counted(CACHE_PURGED, 9);
    for name in 'a'..='i' {
        let name = format!("{name}.example");
        assert_eq!((floor.result(&name), upstream.asked(&name)), (Some((0, 1)), 2));
    }
}

#[test]
fn a_trace_has_the_application_and_what_it_notes() {
    let imports = "(import \"as112\" \"span\" (func $span (param i32 i32 i32 i32) (result i32)))";
    let more = format!(
        "(data (i32.const 512) \"looked up\")
         (func (export \"as112_event\") (param $kind i32) (param $token i32) (param $len i32) (result i64)
           (if (i32.eq (local.get $kind) (i32.const 1)) (then
             (drop (call $span (i32.load (i32.const 1028)) (i32.const 2) (i32.const 512) (i32.const 9)))))
           (i64.const {REFUSED}))"
    );
    let module = crate::work::sandbox::tests::guest(imports, &more);
    let guest = Guest::new("a", module);
    let rules = "a: src in { 127.0.0.0/8 } and qname-suffix = example app a log";
    let mut floor = Floor::start(&Start { apps: vec![guest], ..Start::with(rules, &[]) });
    assert_eq!(floor.result("x.example"), Some((5, 0)));
    floor.idle();
    let trace = floor.traces.try_recv().unwrap();
    assert_eq!(trace.apps, [("a".to_owned(), "request", "rcode")]);
    let spans: Vec<_> =
        trace.spans.iter().map(|span| (span.app.as_str(), span.kind, span.text.as_str())).collect();
    assert_eq!(spans, [("a", "event", "looked up")]);
    let steps: Vec<&str> = trace.steps.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, ["route", "app", "make", "reply", "send", "done", "end"]);
}

#[test]
fn a_changed_question_is_asked_and_the_client_has_its_own() {
    // The first letter of the name is changed to `b`.
    let changes = app("a", "", "(i32.store8 (i32.const 1165) (i32.const 98)) (i64.const 5)");
    let rules = "
        a: phase = route and src in { 127.0.0.0/8 } and qname-suffix in { example 10.in-addr.arpa } app a
        lan: src in { 127.0.0.0/8 } and qname-suffix = example forward upstream lan";
    let upstream = Upstream::start();
    let upstreams = [("lan", upstream.address)];
    let mut floor = Floor::start(&Start { apps: vec![changes], ..Start::with(rules, &upstreams) });
    for name in ["cache.example", "dache.example", "bache.example"] {
        let reply = floor.ask(name).unwrap();
        assert_eq!((reply[3] & 0xF, reply[7], &reply[reply.len() - 4..]), (0, 1, &[192, 0, 0, 1][..]));
        let question = [&wire(name)[..], &[0, 1, 0, 1]].concat();
        assert_eq!(reply[12..12 + question.len()], question);
        assert_eq!(reply[12 + question.len()..][..2], [0xC0, 12], "the record is of the client's name");
    }
    assert_eq!((upstream.asked("bache.example"), upstream.asked("cache.example")), (1, 0));
    // The node's own zones answer the other question, too.
    let reply = floor.ask("x.10.in-addr.arpa").unwrap();
    assert_eq!((reply[3] & 0xF, reply[2] & 4), (3, 4));
    assert_eq!(reply[12..31], wire("x.10.in-addr.arpa"));
    floor.idle();
}
