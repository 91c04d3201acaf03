//! One question goes upstream where many ask it; what is known is kept as long as it may be, and no longer;
//! what was known helps while the upstream is away.

use std::thread;
use std::time::{Duration, Instant};

use crate::common::daemon::PATIENCE;
use crate::common::query;
use crate::load::all_of;
use crate::node::{Answer, NXDOMAIN, Node, SERVFAIL, Setup, ask_until};
use crate::upstream::{Seen, Upstream, truth};

const A: u16 = 1;
const AT_MOST: Duration = Duration::from_secs(8);

fn forwarding(server: &Upstream, upstream: &str, cache: &str) -> Node {
    Setup::new()
        .upstream("up", &[server.address], upstream)
        .route("all", "any", "forward upstream up", "")
        .section(&format!("[cache]\n{cache}"))
        .start()
}

/// The time between two queries for a name.
fn gap(server: &Upstream, name: &str) -> Option<Duration> {
    let seen = server.seen();
    let mut times = seen.iter().filter(|seen| seen.name() == name).map(|seen| seen.at);
    let first = times.next()?;
    Some(times.next()? - first)
}

#[test]
fn a_thousand_clients_ask_one_name() {
    let server = Upstream::start(|seen| vec![seen.truth().after(Duration::from_millis(500))]);
    let node = forwarding(&server, "timeout = '1900ms'", "");
    let all = all_of(node.address(), 1000, 1000, AT_MOST, |n| {
        // Each client has its own letters.
        let mut packet = query("popular.name.example", A);
        (0..10)
            .filter(|bit| n >> bit & 1 == 1)
            .for_each(|bit| packet[13 + bit % 7] ^= 0x20 * u8::from(bit < 7));
        packet
    });
    for reply in &all {
        let answer = Answer::of(reply.as_ref().expect("each has a reply"));
        assert_eq!(answer.address(), Some(truth("popular.name.example")), "{answer:?}");
    }
    let seen = server.seen();
    let asked: Vec<Duration> = seen.iter().map(|again| again.at - seen[0].at).collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    // Clients ask again what is answered late, and who comes after the answer has it from the cache.
    let coalesced = node.metrics().sum("coalesced_total", &[]);
    assert!(coalesced > 0, "{coalesced} coalesced");
}

/// Equal questions with other flags are other questions.
#[test]
fn other_flags_are_other_questions() {
    let server = Upstream::start(|seen| vec![seen.truth().after(Duration::from_millis(100))]);
    let node = forwarding(&server, "timeout = '1s'", "");
    let variants: Vec<Vec<u8>> = (0..4)
        .map(|n| {
            let mut packet = crate::common::with_opt(query("flags.example", A), 1232, &[]);
            packet[3] |= if n & 1 == 1 { 0x10 } else { 0 };
            let at = packet.len() - 4;
            packet[at] = if n & 2 == 2 { 0x80 } else { 0 };
            packet
        })
        .collect();
    for _ in 0..2 {
        let all = all_of(node.address(), 40, 40, AT_MOST, |n| variants[n % 4].clone());
        assert!(all.iter().all(|reply| reply.as_ref().is_some_and(|reply| reply[3] & 15 == 0)));
        assert_eq!(server.count(), 4, "one for each of DO and CD, and then the cache");
    }
}

#[test]
fn what_does_not_exist_is_asked_for_again_in_time() {
    let server = Upstream::start(|seen| vec![seen.reply().rcode(3).soa(3600, 5)]);
    let node = forwarding(&server, "", "prefetch = false");
    let began = Instant::now();
    while gap(&server, "missing.example").is_none() {
        assert_eq!(node.ask("missing.example", A).rcode, NXDOMAIN);
        assert!(began.elapsed() < 3 * PATIENCE, "it is never asked for again");
        thread::park_timeout(Duration::from_millis(50));
    }
    let gap = gap(&server, "missing.example").expect("two");
    assert!(gap >= Duration::from_millis(4950) && gap < Duration::from_secs(7), "asked again after {gap:?}");
}

/// The same of what exists, by its TTL; and what clients see of the TTL goes down.
#[test]
fn what_exists_is_asked_for_again_in_time() {
    let server = Upstream::start(|seen| vec![seen.reply().a(truth(&seen.name()), 4)]);
    let node = forwarding(&server, "", "prefetch = false");
    let (began, mut ttls) = (Instant::now(), Vec::new());
    while gap(&server, "short.example").is_none() {
        ttls.extend(node.ask("short.example", A).ttl());
        assert!(began.elapsed() < 3 * PATIENCE, "it is never asked for again");
        thread::park_timeout(Duration::from_millis(50));
    }
    let gap = gap(&server, "short.example").expect("two");
    assert!(gap >= Duration::from_millis(3950) && gap < Duration::from_secs(6), "asked again after {gap:?}");
    ttls.pop();
    assert!(
        ttls.is_sorted_by(|a, b| a >= b) && ttls[0] == 4 && ttls.last().is_some_and(|&ttl| ttl <= 1),
        "{ttls:?}"
    );
}

/// What is popular is asked for before its time is over, and no client waits.
#[test]
fn popular_names_are_prefetched() {
    let server = Upstream::start(|seen| vec![seen.reply().a(truth(&seen.name()), 10)]);
    let node = forwarding(&server, "", "");
    let began = Instant::now();
    while gap(&server, "popular.example").is_none() {
        node.ask("popular.example", A);
        assert!(began.elapsed() < 3 * PATIENCE, "it is never asked for again");
        thread::park_timeout(Duration::from_millis(40));
    }
    let gap = gap(&server, "popular.example").expect("two");
    assert!(
        gap >= Duration::from_millis(8900) && gap < Duration::from_millis(10_000),
        "asked again after {gap:?}"
    );
}

/// The upstream is silent: answers go on, stale, and it is left alone; then it is back.
#[test]
fn stale_answers_while_the_upstream_is_away() {
    let fresh = |seen: &Seen| vec![seen.reply().a(truth(&seen.name()), 1)];
    let server = Upstream::start(fresh);
    let node = forwarding(&server, "timeout = '400ms'", "prefetch = false");
    let names: Vec<String> = (0..20).map(|n| format!("stale{n}.example")).collect();
    names.iter().for_each(|name| assert_eq!(node.ask(name, A).ttl(), Some(1)));
    server.script(|_| vec![]);
    thread::park_timeout(Duration::from_millis(1200));

    let before = server.count();
    for (n, name) in names.iter().enumerate() {
        let began = Instant::now();
        let answer = Answer::of(
            &node
                .daemon
                .ask_udp(crate::common::daemon::V4, &crate::common::with_opt(query(name, A), 1232, &[])),
        );
        let took = began.elapsed();
        assert_eq!(answer.address(), Some(truth(name)), "{answer:?}");
        assert_eq!(answer.ttl(), Some(30), "{answer:?}");
        assert_eq!(answer.errors(), [3], "it says that it is stale: {answer:?}");
        assert!(took < Duration::from_millis(3500), "{n} takes {took:?}");
    }
    let tried = server.count() - before;
    println!("report: platform_stale_tries {tried} for 20 names");
    assert!(tried <= 20 * 3, "{tried}");
    // For each of these there has been a try; no other for a while.
    let before = server.count();
    let began = Instant::now();
    for name in names.iter().chain(&names) {
        assert_eq!(node.ask(name, A).address(), Some(truth(name)));
    }
    assert!(began.elapsed() < PATIENCE, "they are answered at once");
    assert!(server.count() - before <= 3, "{} more tries", server.count() - before);
    // What was never known has nothing to be stale.
    assert_eq!(node.ask("unknown.example", A).rcode, SERVFAIL);

    server.script(fresh);
    let began = Instant::now();
    let answer = ask_until(&node, "new.example", A, |answer| answer.rcode == 0);
    println!("report: platform_fresh_after {:?}", began.elapsed());
    assert_eq!(answer.address(), Some(truth("new.example")));
}

/// A failure is not asked for again at once, and not kept for long (RFC 9520).
#[test]
fn failures_are_kept_for_a_moment() {
    let server = Upstream::start(|seen| vec![seen.reply().rcode(2)]);
    let node = forwarding(&server, "tries = 1", "failure_ttl = '2s'");
    for _ in 0..20 {
        assert_eq!(node.ask("failing.example", A).rcode, SERVFAIL);
    }
    assert_eq!(server.asked_for("failing.example"), 1);
    server.script(|seen| vec![seen.truth()]);
    let answer = ask_until(&node, "failing.example", A, |answer| answer.rcode == 0);
    assert_eq!(answer.address(), Some(truth("failing.example")));
}

/// Purged by name, by subtree; and shown.
#[test]
fn the_cache_is_shown_and_purged() {
    let server = Upstream::start(|seen| vec![seen.truth()]);
    let node = forwarding(&server, "", "");
    let names = ["a.example", "b.example", "c.other"];
    let ask_all = || names.iter().for_each(|name| assert_eq!(node.ask(name, A).rcode, 0));
    ask_all();
    ask_all();
    assert_eq!(server.count(), 3);
    let shown = node.tell(&["cache", "show", "a.example"]);
    assert!(shown.contains("a.example"), "{shown}");
    node.tell(&["cache", "purge", "a.example"]);
    ask_all();
    assert_eq!(server.count(), 4);
    node.tell(&["cache", "purge", "example", "--subtree"]);
    ask_all();
    assert_eq!(server.count(), 6);
    assert_eq!(server.asked_for("c.other"), 1);
}
