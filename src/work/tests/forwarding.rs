//! Workers that ask a server.

use std::time::{Duration, Instant};

use super::harness::{Floor, Start, pause, wire};
use super::upstream::{SLOW, Upstream};
use crate::dns::consts::flag;
use crate::dns::u16_at;
use crate::limits::PHASE_TIME_EVERY;
use crate::policy::phase::Phase;
use crate::stats::counters::{
    CACHE_LOOKS, CACHE_PURGED, CACHE_STORED, COALESCED, DIVERTED, PHASE_TIME, PHASE_TIME_SUM, QUERIES,
    RESPONSES, WORK_REFUSED, WORKER_JOBS,
};
use crate::stats::labels::{
    CACHE_FRESH, CACHE_MISS, CACHE_PREFETCH, PHASE_BIN, WORK_REFUSAL, WORK_REFUSED_DEADLINE,
    WORK_REFUSED_UPSTREAM, phase_bin,
};
use crate::work::cache;
use crate::work::{CacheOrder, CacheOrderKind};

const ROUTE: &str = "all: src in { 127.0.0.0/8 } and qname-suffix in { example } forward upstream lan";

fn flags(reply: &[u8]) -> u16 {
    u16_at(reply, 2).unwrap()
}

#[test]
fn answers_come_back_and_are_cached() {
    let upstream = Upstream::start();
    let mut floor = Floor::start(&Start::with(ROUTE, &[("lan", upstream.address)]));
    let first = floor.ask("a.example").unwrap();
    assert_eq!(flags(&first) & (flag::AA | flag::RA | flag::AD | 0xF), flag::AA | flag::RA, "at first hand");
    assert_eq!(first[first.len() - 4..], [192, 0, 0, 1]);
    upstream.answer(2, 300);
    let second = floor.ask("A.Example").unwrap();
    assert_eq!(flags(&second) & (flag::AA | flag::RA | 0xF), flag::RA, "out of the cache");
    assert_eq!(second[second.len() - 4..], [192, 0, 0, 1]);
    assert_eq!(second[12..12 + 11], wire("A.Example"), "the name as the client writes it");
    for (name, result) in [("nx.example", (3, 0)), ("nodata.example", (0, 0))] {
        assert_eq!(floor.result(name), Some(result), "{name}");
        assert_eq!(floor.result(name), Some(result), "{name}, again");
        assert_eq!(upstream.asked(name), 1, "{name}");
    }
    assert_eq!(upstream.asked("a.example"), 1);
    floor.idle();
    let looks = floor.counted(CACHE_LOOKS, 6);
    assert_eq!((looks[CACHE_FRESH], looks[CACHE_MISS]), (3, 3));
    floor.counted(CACHE_STORED, 3);
    floor.counted(QUERIES, 6);
    floor.counted(RESPONSES, 6);
    let purge = CacheOrder { name: wire("example"), subtree: true, kind: CacheOrderKind::Purge };
    let show = CacheOrder { kind: CacheOrderKind::Show(10), ..purge.clone() };
    assert_eq!(floor.workers.order(&show).len(), 3);
    assert_eq!(floor.workers.order(&purge), ["3 entries purged"]);
    assert_eq!(floor.workers.order(&show), [""; 0]);
    floor.counted(CACHE_PURGED, 3);
    let third = floor.ask("a.example").unwrap();
    assert_eq!(third[third.len() - 4..], [192, 0, 0, 2], "asked again");
}

#[test]
fn what_is_cut_is_asked_over_tcp_and_cut_for_the_client() {
    let upstream = Upstream::start();
    let mut floor = Floor::start(&Start::with(ROUTE, &[("lan", upstream.address)]));
    let cut = floor.ask("big.example").unwrap();
    assert!(flags(&cut) & flag::TC != 0 && cut.len() <= 512, "{} bytes", cut.len());
    let whole = floor.ask_tcp("big.example");
    assert_eq!((flags(&whole) & flag::TC, u16_at(&whole, 6)), (0, Some(100)));
    floor.idle();
}

#[test]
fn equal_questions_are_asked_once() {
    let upstream = Upstream::start();
    let mut floor = Floor::start(&Start::with(ROUTE, &[("lan", upstream.address)]));
    let mut ids: Vec<u16> = (0..50).map(|_| floor.send("slow.example")).collect();
    for _ in 0..50 {
        let reply = floor.receive().unwrap();
        assert_eq!(u16_at(&reply, 6), Some(1));
        let id = u16_at(&reply, 0).unwrap();
        ids.remove(ids.iter().position(|asked| *asked == id).expect("each has one reply"));
    }
    floor.idle();
    assert_eq!(upstream.asked("slow.example"), 1);
    floor.counted(COALESCED, 49);
    floor.counted(CACHE_STORED, 1);
}

/// One query in so many is timed: the phase after which servers are asked has their time.
#[test]
fn the_phases_of_a_sample_are_timed() {
    let upstream = Upstream::start();
    let mut floor = Floor::start(&Start::with(ROUTE, &[("lan", upstream.address)]));
    let before = PHASE_TIME_EVERY as usize - 1;
    for _ in 0..before {
        floor.send("a.example");
    }
    (0..before).for_each(|_| drop(floor.receive().expect("a reply")));
    floor.counted(WORKER_JOBS, before as u64);
    assert!(floor.counted(PHASE_TIME, 0).iter().all(|count| *count == 0), "it is nobody's turn yet");
    assert_eq!(floor.result("slow.example").map(|(rcode, _)| rcode), Some(0));
    floor.idle();
    let times = floor.counted(PHASE_TIME, Phase::ALL.len() as u64);
    let bins = |phase: Phase| &times[phase as usize * PHASE_BIN.len..][..PHASE_BIN.len];
    for phase in Phase::ALL {
        assert_eq!(bins(phase).iter().sum::<u64>(), 1, "{phase:?}");
    }
    // The server takes its time; nothing else does.
    let sums = PHASE_TIME_SUM.of(&floor.totals()).to_vec();
    assert!(sums[Phase::PostCache as usize] >= SLOW.as_micros() as u64, "{sums:?}");
    assert!(bins(Phase::PostCache)[..phase_bin(SLOW.as_micros() as u64)].iter().all(|count| *count == 0));
}

#[test]
fn queries_get_the_fallback_of_their_rule() {
    let upstream = Upstream::start();
    let fallbacks = [
        ("fail", Some(2)),
        ("refuse", Some(5)),
        ("native", Some(3)),
        ("drop", None),
        ("next", Some(4)),
        ("stale", Some(2)),
    ];
    let rule = |(name, _): &(&str, Option<u8>)| {
        format!(
            "{name}: src in {{ 127.0.0.0/8 }} and qname-suffix = {name}.10.in-addr.arpa \
             forward upstream lan fallback {name} timeout 600ms\n"
        )
    };
    let rules: String = fallbacks.iter().map(rule).collect();
    let rules = rules + "rest: src in { 127.0.0.0/8 } and qname-suffix = next.10.in-addr.arpa answer NOTIMP";
    let mut floor = Floor::start(&Start::with(&rules, &[("lan", upstream.address)]));
    for (name, rcode) in fallbacks {
        let result = floor.result(&format!("silent.{name}.10.in-addr.arpa"));
        assert_eq!(result.map(|(rcode, _)| rcode), rcode, "{name}");
    }
    floor.idle();
    let refused = floor.counted(WORK_REFUSED, 6);
    for rule in 1..=6 {
        let of_rule = &refused[rule * WORK_REFUSAL.len..][..WORK_REFUSAL.len];
        assert_eq!(of_rule[WORK_REFUSED_DEADLINE] + of_rule[WORK_REFUSED_UPSTREAM], 1, "rule {rule}");
    }
}

#[test]
fn failures_are_remembered_for_a_while() {
    let upstream = Upstream::start();
    let cache = cache::Settings { failure_ttl: Duration::from_secs(60), ..cache::Settings::default() };
    let upstreams = [("lan", upstream.address)];
    let mut floor = Floor::start(&Start { cache, ..Start::with(ROUTE, &upstreams) });
    assert_eq!(floor.result("servfail.example"), Some((2, 0)));
    let asked = upstream.asked("servfail.example");
    assert!(asked > 0);
    assert_eq!(floor.result("servfail.example"), Some((2, 0)));
    assert_eq!(upstream.asked("servfail.example"), asked, "it is known");
    assert_eq!(floor.result("refused.example"), Some((5, 0)), "what all servers say is passed on");
    floor.idle();
}

#[test]
fn what_is_stale_is_given_in_time() {
    let upstream = Upstream::start();
    let cache = cache::Settings {
        ttl_max: Duration::from_secs(1),
        stale_after: Duration::from_millis(100),
        prefetch: false,
        ..cache::Settings::default()
    };
    let upstreams = [("lan", upstream.address)];
    let mut floor = Floor::start(&Start { cache, ..Start::with(ROUTE, &upstreams) });
    assert_eq!(floor.result("a.example"), Some((0, 1)));
    pause(Duration::from_millis(1200));
    upstream.silence(true);
    let begun = Instant::now();
    let stale = floor.ask("a.example").unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(90), "servers had their time");
    assert_eq!((flags(&stale) & 0xF, u16_at(&stale, 6)), (0, Some(1)));
    assert_eq!(stale[stale.len() - 10..stale.len() - 6], [0, 0, 0, 30], "with a short TTL");
    let asked = upstream.asked("a.example");
    floor.idle();
    assert_eq!(floor.result("a.example"), Some((0, 1)));
    assert!(upstream.asked("a.example") <= asked + 1, "servers are left alone for a while");
    floor.idle();
}

#[test]
fn answers_that_are_wanted_are_fetched_again_before_their_time() {
    let upstream = Upstream::start();
    upstream.answer(1, 3);
    let mut floor = Floor::start(&Start::with(ROUTE, &[("lan", upstream.address)]));
    let begun = Instant::now();
    // In the last tenth of the time, after a few hits.
    floor.until("it is fetched again", |floor| {
        assert_eq!(floor.result("a.example"), Some((0, 1)));
        assert!(begun.elapsed() < Duration::from_secs(15));
        floor.totals().sum(CACHE_LOOKS) > 0 && CACHE_LOOKS.of(&floor.totals())[CACHE_PREFETCH] > 0
    });
    floor.idle();
    assert_eq!(upstream.asked("a.example"), floor.totals().sum(CACHE_STORED) as u32);
    assert!(upstream.asked("a.example") >= 2);
}

#[test]
fn a_query_is_finished_by_the_rules_that_took_it() {
    let (old, new) = (Upstream::start(), Upstream::start());
    old.answer(1, 300);
    new.answer(2, 300);
    let upstreams = [("old", old.address), ("new", new.address)];
    let old_rule = "r: src in { 127.0.0.0/8 } and qname-suffix in { example } forward upstream old";
    let new_rule = "r: src in { 127.0.0.0/8 } and qname-suffix in { example } forward upstream new";
    let mut floor = Floor::start(&Start::with(old_rule, &upstreams));
    floor.send("slow.example");
    floor.reload(new_rule, &upstreams);
    let slow = floor.receive().unwrap();
    assert_eq!(slow[slow.len() - 1], 1);
    let fast = floor.ask("slow.example").unwrap();
    assert_eq!(fast[fast.len() - 1], 2, "the answers of another upstream are none of this one");
    for nth in 0..50 {
        let rule = if nth % 2 == 0 { old_rule } else { new_rule };
        let name = format!("n{nth}.example");
        floor.reload(rule, &upstreams);
        assert_eq!(floor.result(&name), Some((0, 1)));
        assert_eq!((old.asked(&name), new.asked(&name)), (1 - nth % 2, nth % 2), "{name}");
    }
    floor.idle();
}

#[test]
fn who_is_stopped_answers_what_it_has() {
    let upstream = Upstream::start();
    let mut floor = Floor::start(&Start::with(ROUTE, &[("lan", upstream.address)]));
    let count = 20;
    for nth in 0..count {
        floor.send(&format!("silent.{nth}.example"));
    }
    floor.until("all wait", |floor| floor.workers.gauges()[0].tasks() == count);
    floor.workers.stop();
    for _ in 0..count {
        assert_eq!(flags(&floor.receive().unwrap()) & 0xF, 2);
    }
    floor.idle();
}

#[test]
fn rules_of_phase_response_ask_elsewhere() {
    let (bad, good) = (Upstream::start(), Upstream::start());
    let rules = "
        one: src in { 127.0.0.0/8 } and qname-suffix in { example } forward upstream bad
        two: phase = response and outcome = timeout retry upstream good
        three: phase = response and rcode = SERVFAIL retry upstream good
        four: phase = response and qname = private.example no-store
        five: phase = response and rcode = NXDOMAIN answer REFUSED
    ";
    let upstreams = [("bad", bad.address), ("good", good.address)];
    let mut floor = Floor::start(&Start::with(rules, &upstreams));
    for _ in 0..2 {
        assert_eq!(floor.result("private.example"), Some((0, 1)));
        assert_eq!(floor.result("nx.example"), Some((5, 0)));
    }
    assert_eq!((bad.asked("private.example"), bad.asked("nx.example")), (2, 2), "neither is stored");
    assert_eq!(floor.result("servfail.example"), Some((2, 0)));
    assert!(good.asked("servfail.example") > 0);
    bad.silence(true);
    assert_eq!(floor.result("a.example"), Some((0, 1)));
    assert_eq!(good.asked("a.example"), 1);
    assert_eq!(floor.result("a.example"), Some((0, 1)));
    assert_eq!(good.asked("a.example"), 1, "it is stored where it was looked up");
    floor.idle();
}

#[test]
fn the_rule_of_the_article_takes_what_no_route_takes() {
    let upstream = Upstream::start();
    let rules = "
        phase = post-cache and qtype in { A } and colo in { test1 test2 }
        and qname-suffix in { 10.in-addr.arpa 16.172.in-addr.arpa } forward upstream new
    ";
    let mut floor = Floor::start(&Start::with(rules, &[("new", upstream.address)]));
    let reply = floor.ask("1.2.3.10.in-addr.arpa").unwrap();
    assert_eq!(flags(&reply) & (flag::AA | flag::RA | 0xF), flag::AA, "it is an AS112 answer");
    assert_eq!(reply[reply.len() - 4..], [192, 0, 0, 1]);
    let query = floor.query("1.2.3.10.in-addr.arpa", 12);
    assert!(floor.hand_over(&query, None).is_some(), "another type does not leave the shard");
    let query = floor.query("a.example", 1);
    let refused = floor.hand_over(&query, None).unwrap();
    assert_eq!(refused[3] & 0xF, 5, "it is not an open resolver");
    floor.idle();
}

#[test]
fn copies_are_compared_and_clients_see_nothing_of_them() {
    let upstream = Upstream::start();
    let server = upstream.address;
    let rules = format!(
        "
        one: phase = request and qname-suffix in {{ 10.in-addr.arpa }} divert {server}
        two: src in {{ 127.0.0.0/8 }} and qname-suffix in {{ example }} divert {server}
        three: src in {{ 127.0.0.0/8 }} and qname-suffix in {{ example }} forward upstream lan
    "
    );
    let mut floor = Floor::start(&Start::with(&rules, &[("lan", upstream.address)]));
    // The node's NXDOMAIN has the SOA of the zone; the server's has another.
    assert_eq!(floor.result("nx.10.in-addr.arpa"), Some((3, 0)));
    assert_eq!(floor.result("a.10.in-addr.arpa"), Some((3, 0)));
    for name in ["a.example", "nx.example", "big.example"] {
        floor.ask(name).unwrap();
    }
    assert_eq!(floor.result("silent.10.in-addr.arpa"), Some((3, 0)), "at once");
    let diverted = floor.counted(DIVERTED, 6);
    assert_eq!(diverted[3..6], [0, 2, 1], "of rule one: same, differs, timeout");
    assert_eq!(diverted[6..9], [3, 0, 0], "of rule two");
    floor.idle();
}
