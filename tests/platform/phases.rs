//! What rules can do in each phase, seen by clients and by the upstreams.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use crate::common::daemon::{PATIENCE, V4};
use crate::common::query;
use crate::load::all_of;
use crate::node::{Answer, Node, REFUSED, SERVFAIL, Setup, ask_within};
use crate::upstream::{Upstream, truth};

const A: u16 = 1;

/// Asks from an address of the loopback.
fn ask_from(node: &Node, from: [u8; 4], name: &str) -> Answer {
    let socket = UdpSocket::bind((IpAddr::from(from), 0)).expect("a socket");
    socket.connect(node.address()).expect("connected");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    socket.send(&query(name, A)).expect("sent");
    let mut reply = [0; 512];
    let len = socket.recv(&mut reply).expect("a reply");
    Answer::of(&reply[..len])
}

/// A node that forwards names below example, with rules besides.
fn start(server: &Upstream, rules: &str) -> Node {
    Setup::new()
        .upstream("up", &[server.address], "timeout = '300ms'")
        .route("all", "qname-suffix in { example }", "forward upstream up", "")
        .rules("10.rules", rules)
        .start()
}

/// Every way in and out: both datapaths, several shards and workers, both families, UDP and TCP, and from the
/// very address that was asked, where a socket listens on all.
#[test]
fn replies_leave_as_queries_came() {
    let server = Upstream::start(|seen| vec![seen.truth()]);
    for datapath in ["io_uring", "mmsg"] {
        for workers in [1, 2] {
            let node = Setup::new()
                .platform(&format!("workers = {workers}"))
                .upstream("up", &[server.address], "")
                .route("all", "qname-suffix in { example }", "forward upstream up", "")
                .arguments(&["--listen", "0.0.0.0:PORT", "--listen", "[::]:PORT"])
                .arguments(&["--shards", "2", "--datapath", datapath])
                .start();
            let addresses = ["127.0.0.1", "127.0.0.5", "127.1.2.3", "::1"];
            for (n, ip) in addresses.into_iter().enumerate() {
                let ip: IpAddr = ip.parse().expect("an address");
                for round in 0..20 {
                    let name = format!("{datapath}{workers}{n}{round}.example");
                    // A connected socket takes what comes from there alone.
                    let reply = node.daemon.ask_udp(ip, &query(&name, A));
                    assert_eq!(Answer::of(&reply).address(), Some(truth(&name)));
                    let reply = node.daemon.ask_tcp(ip, &query(&name, A)).expect("a reply");
                    assert_eq!(Answer::of(&reply).address(), Some(truth(&name)));
                }
            }
        }
    }
}

#[test]
fn another_upstream_is_asked_instead() {
    let first = Upstream::start(|seen| match &seen.name()[..] {
        name if name.starts_with("refused") => vec![seen.reply().rcode(5)],
        name if name.starts_with("silent") => vec![],
        name if name.starts_with("missing") => vec![seen.reply().rcode(3).soa(60, 60)],
        _ => vec![seen.truth()],
    });
    let second = Upstream::start(|seen| vec![seen.reply().a([192, 0, 2, 2].into(), 60)]);
    let node = Setup::new()
        .upstream("up", &[first.address], "timeout = '200ms'\ntries = 1")
        .upstream("second", &[second.address], "")
        .route("all", "qname-suffix in { example }", "forward upstream up", "")
        .rules(
            "10.rules",
            "phase = response and outcome = timeout retry upstream second\n\
             phase = response and rcode in { REFUSED NXDOMAIN } and upstream = up retry upstream second",
        )
        .start();
    for name in ["refused.example", "silent.example", "missing.example"] {
        assert_eq!(node.ask(name, A).address(), Some(Ipv4Addr::new(192, 0, 2, 2)), "{name}");
        assert_eq!((first.asked_for(name), second.asked_for(name)), (1, 1), "{name}");
    }
    assert_eq!(node.ask("good.example", A).address(), Some(truth("good.example")));
    assert_eq!(second.asked_for("good.example"), 0);
}

#[test]
fn what_is_not_to_be_stored_is_not() {
    let server = Upstream::start(|seen| vec![seen.truth()]);
    let node = start(&server, "phase = response and qname-suffix in { fresh.example } no-store");
    for name in ["a.fresh.example", "a.kept.example"] {
        (0..5).for_each(|_| assert_eq!(node.ask(name, A).address(), Some(truth(name))));
    }
    assert_eq!((server.asked_for("a.fresh.example"), server.asked_for("a.kept.example")), (5, 1));
}

/// What a rule makes of a reply is for its client alone: the cache keeps what came.
#[test]
fn replies_that_rules_change_are_not_stored() {
    let server = Upstream::start(|seen| vec![seen.truth()]);
    let node = start(
        &server,
        "phase = reply and src in { 127.0.0.2 } refuse\n\
         phase = reply and cache = hit and src in { 127.0.0.3 } answer NOTAUTH",
    );
    assert_eq!(ask_from(&node, [127, 0, 0, 2], "a.example").rcode, REFUSED);
    assert_eq!(ask_from(&node, [127, 0, 0, 3], "a.example").rcode, 9);
    assert_eq!(ask_from(&node, [127, 0, 0, 3], "b.example").address(), Some(truth("b.example")));
    assert_eq!(ask_from(&node, [127, 0, 0, 4], "a.example").address(), Some(truth("a.example")));
    assert_eq!(server.asked_for("a.example"), 1);
}

/// A client that gets what the cache has, and costs nobody anything.
#[test]
fn cache_only_clients() {
    let server = Upstream::start(|seen| vec![seen.truth()]);
    let node = start(&server, "src in { 127.0.0.3 } and qname-suffix in { example } cache-only");
    assert_eq!(ask_from(&node, [127, 0, 0, 3], "a.example").rcode, SERVFAIL);
    assert_eq!(server.count(), 0);
    assert_eq!(ask_from(&node, [127, 0, 0, 4], "a.example").address(), Some(truth("a.example")));
    // It looks where its route does: one that asks nobody has no upstream's answers.
    let rule = "phase = request and src in { 127.0.0.3 } cache-only";
    let node = start(&server, rule);
    assert_eq!(ask_from(&node, [127, 0, 0, 4], "b.example").address(), Some(truth("b.example")));
    assert_eq!(ask_from(&node, [127, 0, 0, 3], "b.example").address(), Some(truth("b.example")));
    assert_eq!(ask_from(&node, [127, 0, 0, 3], "c.example").rcode, SERVFAIL);
    assert_eq!(server.asked_for("c.example"), 0);
}

/// A tag goes from phase to phase with its query, and rules are asked in the order of files and lines.
#[test]
fn tags_and_order() {
    let first = Upstream::start(|seen| vec![seen.truth()]);
    let second = Upstream::start(|seen| vec![seen.reply().a([192, 0, 2, 2].into(), 60)]);
    let node = Setup::new()
        .upstream("up", &[first.address], "")
        .upstream("second", &[second.address], "")
        .route("all", "qname-suffix in { example }", "forward upstream up", "")
        .rules("20-later.rules", "qname-suffix in { ordered.example } answer NOTAUTH")
        .rules("10-first.rules", "qname-suffix in { ordered.example } answer YXDOMAIN")
        .rules(
            "30-tags.rules",
            "mark: qname-suffix in { special.example } tag special\n\
             use: phase = post-cache and tag = special forward upstream second",
        )
        .start();
    assert_eq!(node.ask("a.ordered.example", A).rcode, 6);
    assert_eq!(node.ask("a.special.example", A).address(), Some(Ipv4Addr::new(192, 0, 2, 2)));
    assert_eq!(node.ask("a.plain.example", A).address(), Some(truth("a.plain.example")));
    // Hits of the cache do not meet rules that are asked after a miss.
    (0..4).for_each(|_| drop(node.ask("a.special.example", A)));
    node.wait_for("rule_hits_total", &["=\"mark\""], 5);
    assert_eq!(node.metrics().sum("rule_hits_total", &["=\"use\""]), 1);
    assert_eq!(second.count(), 1);
}

#[test]
fn drops_and_truncations() {
    let node = Setup::new()
        .rules(
            "10.rules",
            "qname-suffix in { silent.example } drop\ntransport = udp and qtype = TXT truncate",
        )
        .start();
    let (answer, _) = ask_within(node.address(), &query("a.silent.example", A), Duration::from_millis(300));
    assert!(answer.is_none(), "{answer:?}");
    assert!(node.daemon.ask_tcp(V4, &query("a.other.example", A)).is_some());
    let cut = node.ask("10.in-addr.arpa", 16);
    assert!(cut.flags & 0x0200 != 0 && cut.records.is_empty(), "{cut:?}");
    assert!(node.ask_tcp("10.in-addr.arpa", 16).flags & 0x0200 == 0);
}

/// A rule's own time, and its own fallback.
#[test]
fn times_and_fallbacks_of_rules() {
    let silent = Upstream::start(|_| vec![]);
    let rule = |name: &str, options: &str| {
        let server = silent.address;
        format!("src in {{ 127.0.0.0/8 }} and qname-suffix in {{ {name} }} forward {server} {options}\n")
    };
    let rules = rule("soon.example", "timeout 200ms fallback refuse")
        + &rule("native.example", "timeout 200ms fallback native")
        + &rule("late.example", "");
    let node = Setup::new().rules("10.rules", &rules).start();
    let plain = Setup::new().start();
    for (name, rcode, least, most) in [
        ("a.soon.example", REFUSED, 150, 1500),
        ("a.native.example", plain.ask("a.native.example", A).rcode, 150, 1500),
        ("a.late.example", SERVFAIL, 300, 4000),
    ] {
        let began = Instant::now();
        assert_eq!(node.ask(name, A).rcode, rcode, "{name}");
        let took = began.elapsed();
        let expected = Duration::from_millis(least)..Duration::from_millis(most);
        assert!(expected.contains(&took), "{name} takes {took:?}");
    }
}

/// A hundred thousand names, several kinds of rules, all at once: each client gets what is his.
#[test]
fn nobody_gets_the_answer_of_another() {
    let server =
        Upstream::start(|seen| vec![seen.truth().after(Duration::from_millis(u64::from(seen.id()) % 5))]);
    let node = start(&server, "coded: qname-suffix in { coded.example } answer NOTAUTH");
    let name = |n: usize| match n % 3 {
        0 => format!("n{}.example", n % 3000),
        1 => format!("n{n}.once.example"),
        _ => format!("n{n}.coded.example"),
    };
    let all = all_of(node.address(), 60_000, 64, PATIENCE, |n| query(&name(n), A));
    for (n, reply) in all.into_iter().enumerate() {
        let answer = Answer::of(&reply.unwrap_or_else(|| panic!("{n} has no reply")));
        match n % 3 {
            2 => assert_eq!(answer.rcode, 9, "{n}"),
            _ => assert_eq!(answer.address(), Some(truth(&name(n))), "{n}: {answer:?}"),
        }
    }
    assert!(node.metrics().sum("cache_lookups_total", &["=\"fresh\""]) > 10_000);
}
