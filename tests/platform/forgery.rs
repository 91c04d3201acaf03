//! What is forged, damaged or lost on the way from an upstream: no client ever sees it, and every query ends
//! in truth or in SERVFAIL.

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::daemon::{V4, wait_until};
use crate::common::{query, with_opt};
use crate::load::all_of;
use crate::node::{Answer, Node, SERVFAIL, Setup, ask_within};
use crate::upstream::{FORGED, Reply, Seen, Upstream, truth};

const A: u16 = 1;
/// As long as a query may take, and what a busy machine adds.
const AT_MOST: Duration = Duration::from_secs(8);

fn forwarding(server: &Upstream, keys: &str) -> Node {
    Setup::new()
        .upstream("up", &[server.address], keys)
        .route("all", "any", "forward upstream up", "")
        .section("[cache]\nfailure_ttl = '1s'")
        .start()
}

/// Before the truth comes something that is not it.
fn truth_after(lie: impl Fn(&Seen) -> Vec<Reply> + Send + Sync + 'static) -> impl Fn(&Seen) -> Vec<Reply> {
    move |seen| {
        let mut all = if seen.over_tcp { vec![] } else { lie(seen) };
        all.push(seen.truth().after(Duration::from_millis(if seen.over_tcp { 0 } else { 15 })));
        all
    }
}

/// What a kind of lie is called, and how it is made.
type Lie = (&'static str, fn(&Seen) -> Reply);

fn lies() -> [Lie; 8] {
    [
        ("id", |seen| seen.reply().a(FORGED, 3600).wrong_id()),
        ("question", |seen| seen.reply().a(FORGED, 3600).wrong_question()),
        ("case", |seen| seen.reply().a(FORGED, 3600).wrong_case()),
        ("port", |seen| seen.reply().a(FORGED, 3600).wrong_port()),
        ("query", |seen| seen.reply().a(FORGED, 3600).bytes(|packet| packet[2] &= 0x7F)),
        ("opcode", |seen| seen.reply().a(FORGED, 3600).bytes(|packet| packet[2] |= 0x28)),
        ("short", |seen| seen.reply().a(FORGED, 3600).bytes(|packet| packet.truncate(11))),
        ("type", |seen| {
            let end = seen.qname().len() + 12;
            seen.reply().a(FORGED, 3600).bytes(move |packet| packet[end + 1] ^= 1)
        }),
    ]
}

#[test]
fn no_lie_is_believed() {
    let server = Upstream::start(|seen| vec![seen.truth()]);
    let node = forwarding(&server, "timeout = '1s'");
    for (name, lie) in lies() {
        server.script(truth_after(move |seen| vec![lie(seen)]));
        for n in 0..20 {
            let name = format!("{name}{n}.some.letters.example");
            let answer = node.ask(&name, A);
            assert_eq!(answer.address(), Some(truth(&name)), "{name}: {answer:?}");
        }
    }
    // What is of the upstream's address and port but wrong in what is in it: each is counted.
    node.wait_for("upstream_forged_total", &[], 100);
}

/// Where nothing but lies comes, the client is told that there is no answer, and soon.
#[test]
fn nothing_but_lies_is_a_failure() {
    for (name, lie) in lies() {
        let server = Upstream::start(move |seen| if seen.over_tcp { vec![] } else { vec![lie(seen); 30] });
        let node = forwarding(&server, "timeout = '200ms'");
        let began = Instant::now();
        let answer = node.ask(&format!("{name}.some.letters.example"), A);
        assert_eq!((answer.rcode, answer.address()), (SERVFAIL, None), "{name}: {answer:?}");
        assert!(began.elapsed() < AT_MOST, "{name} takes {:?}", began.elapsed());
    }
}

/// After some forged answers to one query it is asked over TCP, where nobody can forge.
#[test]
fn many_lies_lead_to_tcp() {
    let server = Upstream::start(|seen| match seen.over_tcp {
        true => vec![seen.truth()],
        false => vec![seen.reply().a(FORGED, 3600).wrong_id(); 100],
    });
    let node = forwarding(&server, "timeout = '1s'");
    let answer = node.ask("many.lies.example", A);
    assert_eq!(answer.address(), Some(truth("many.lies.example")), "{answer:?}");
}

#[test]
fn a_hundred_thousand_replies_for_one_query() {
    let server = Upstream::start(truth_after(|seen| match &seen.name()[..] {
        "flood.some.letters.example" => vec![seen.reply().a(FORGED, 3600).wrong_case(); 100_000],
        _ => vec![],
    }));
    let node = forwarding(&server, "timeout = '1s'");
    let answer = node.ask("flood.some.letters.example", A);
    assert_ne!(answer.address(), Some(FORGED));
    assert!(answer.rcode == SERVFAIL || answer.address() == Some(truth("flood.some.letters.example")));
    let after = node.ask("after.example", A);
    assert_eq!(after.address(), Some(truth("after.example")));
    assert!(node.daemon.lives());
}

/// Duplicates, late answers and answers that never come: each client has one reply, and it is true.
#[test]
fn duplicates_delays_and_losses() {
    let count = AtomicU64::new(0);
    let server = Upstream::start(move |seen| {
        let n = count.fetch_add(1, Ordering::Relaxed);
        // Three in ten are lost.
        if !seen.over_tcp && n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60 < 5 {
            return vec![];
        }
        let late = Duration::from_millis(n % 7 * 10);
        vec![seen.truth().after(late), seen.truth().after(late), seen.reply().a(FORGED, 1).wrong_id()]
    });
    let node = forwarding(&server, "timeout = '300ms'");
    let name = |n: usize| format!("n{n}.lossy.network.example");
    let all = all_of(node.address(), 3000, 48, AT_MOST, |n| query(&name(n), A));
    let mut failed = 0;
    for (n, reply) in all.into_iter().enumerate() {
        let answer = Answer::of(&reply.unwrap_or_else(|| panic!("{n} has no reply at all")));
        match answer.rcode {
            SERVFAIL => failed += 1,
            _ => assert_eq!(answer.address(), Some(truth(&name(n))), "{answer:?}"),
        }
    }
    println!("report: platform_lossy_failed {failed} of 3000");
    // With three tries one in forty fails.
    assert!(failed < 300, "{failed} of 3000 failed");
}

/// What is cut comes over TCP, whole.
#[test]
fn what_is_cut_comes_over_tcp() {
    let text = "x".repeat(3000);
    let server = Upstream::start(move |seen| match seen.over_tcp {
        true => vec![seen.reply().txt(&text, 300)],
        false => vec![seen.reply().cut()],
    });
    let node = forwarding(&server, "");
    let answer = node.ask_tcp("large.example", 16);
    assert_eq!(answer.packet.len(), 12 + 15 + 4 + 12 + 3012, "{answer:?}");
    assert!(answer.flags & 0x0200 == 0);
    // Over UDP it is cut for this client too.
    let cut = node.ask("large.example", 16);
    assert!(cut.flags & 0x0200 != 0 && cut.records.is_empty(), "{cut:?}");
    assert_eq!(server.seen().iter().filter(|seen| seen.over_tcp).count(), 1);
}

/// Somebody who sends from the very address and port of the upstream, to every port that the node asks from,
/// with the right names: a million datagrams.
#[test]
fn a_million_spoofed_datagrams() {
    let server = Upstream::start(|seen| vec![seen.truth().after(Duration::from_millis(20))]);
    let node = forwarding(&server, "timeout = '1s'");
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let socket = server.socket.try_clone().expect("a second handle");
    thread::scope(|scope| {
        scope.spawn(|| spoof(&server, &socket, &stop, &sent));
        let mut n = 0;
        let began = Instant::now();
        while sent.load(Ordering::Relaxed) < 1_000_000 && began.elapsed() < Duration::from_secs(90) {
            let name = |i: usize| format!("spoofed{}.with.many.letters.in.a.long.name.example", n + i);
            for (i, reply) in
                all_of(node.address(), 64, 16, AT_MOST, |i| query(&name(i), A)).into_iter().enumerate()
            {
                let answer = Answer::of(&reply.expect("a reply"));
                assert_ne!(answer.address(), Some(FORGED), "{answer:?}");
                assert!(answer.rcode == SERVFAIL || answer.address() == Some(truth(&name(i))), "{answer:?}");
            }
            n += 64;
        }
        stop.store(true, Ordering::Relaxed);
    });
    println!("report: platform_spoofed {}", sent.load(Ordering::Relaxed));
    wait_until("it answers as before", || {
        node.ask("afterwards.example", A).address() == Some(truth("afterwards.example"))
    });
    node.wait_for("upstream_forged_total", &[], 1000);
}

fn spoof(server: &Upstream, socket: &UdpSocket, stop: &AtomicBool, sent: &AtomicU64) {
    let mut id = 1_u16;
    while !stop.load(Ordering::Relaxed) {
        let last: Vec<Seen> = server.seen().iter().rev().take(16).cloned().collect();
        if last.is_empty() {
            thread::park_timeout(Duration::from_millis(5));
        }
        for seen in &last {
            for _ in 0..32 {
                id = id.wrapping_mul(31).wrapping_add(17);
                let forged = seen.reply().a(FORGED, 3600).wrong_case().bytes(|packet| {
                    packet[..2].copy_from_slice(&id.to_be_bytes());
                });
                if socket.send_to(&forged.message(), seen.from).is_ok() {
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// What somebody who cannot see the queries has to guess: ports, IDs, letter case.
#[test]
fn nobody_can_guess() {
    let server = Upstream::start(|seen| vec![seen.truth()]);
    let node = forwarding(&server, "");
    let round = |from: usize, count: usize| -> Vec<Seen> {
        let name = |n: usize| format!("guess{}.which.letters.are.large.example", from + n);
        let before = server.seen().len();
        let all = all_of(node.address(), count, 64, AT_MOST, |n| query(&name(n), A));
        assert!(all.iter().all(Option::is_some));
        server.seen()[before..].to_vec()
    };
    let first = round(0, 20_000);
    let ports: HashSet<u16> = first.iter().map(|seen| seen.from.port()).collect();
    assert!(ports.len() >= 16, "{} ports", ports.len());
    for (what, byte) in [("high", 0), ("low", 1)] {
        let mut bins = [0_u32; 256];
        first.iter().for_each(|seen| bins[usize::from(seen.id().to_be_bytes()[byte])] += 1);
        let expected = first.len() as f64 / 256.0;
        let chi: f64 = bins.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
        // 255 degrees of freedom: 255, with a deviation of 22.6; this far off once in a billion.
        assert!((120.0..400.0).contains(&chi), "the {what} bytes of IDs have a chi-square of {chi}");
    }
    let steps: HashMap<u16, usize> = first.windows(2).fold(HashMap::new(), |mut steps, pair| {
        *steps.entry(pair[1].id().wrapping_sub(pair[0].id())).or_default() += 1;
        steps
    });
    assert!(steps.values().all(|&times| times < 20), "IDs follow a rule");
    let letters = |seen: &Seen| -> Vec<bool> {
        let name = seen.qname();
        name[12..].iter().filter(|byte| byte.is_ascii_alphabetic()).map(u8::is_ascii_uppercase).collect()
    };
    for at in 0..20 {
        let large = first.iter().filter(|seen| letters(seen)[at]).count();
        let share = large as f64 / first.len() as f64;
        assert!((0.45..0.55).contains(&share), "letter {at} is large in {share} of all");
    }
    // Other ports as time goes by.
    let began = Instant::now();
    let mut from = 20_000;
    loop {
        let later: HashSet<u16> = round(from, 300).iter().map(|seen| seen.from.port()).collect();
        let new = later.difference(&ports).count();
        if new >= 8 {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(90),
            "only {new} new ports after {:?}",
            began.elapsed()
        );
        from += 300;
        thread::park_timeout(Duration::from_secs(1));
    }
}

/// Cookies (RFC 7873): ours is sent, the server's is sent back, BADCOOKIE leads to another try, and a reply
/// with another client's cookie is forged.
#[test]
fn cookies_to_upstreams() {
    const THEIRS: [u8; 8] = *b"upstream";
    let server = Upstream::start(|seen| {
        let Some(cookie) = seen.option(10) else { return vec![seen.reply().rcode(5)] };
        let with = |mine: &[u8]| [&[0, 10, 0, 16], mine, &THEIRS].concat();
        let own = with(&cookie[..8]);
        if seen.name().starts_with("forged") && !seen.over_tcp {
            let other = with(b"somebody");
            return vec![
                seen.reply().a(FORGED, 3600).opt(0, &other),
                seen.truth().opt(0, &own).after(Duration::from_millis(20)),
            ];
        }
        match cookie.len() {
            16 if cookie[8..] == THEIRS => vec![seen.truth().opt(0, &own)],
            _ => vec![seen.reply().rcode(7).opt(1, &own)],
        }
    });
    let node = forwarding(&server, "cookies = true\ntimeout = '1s'");
    for name in ["first.example", "second.example", "forged.some.letters.example"] {
        let answer = node.ask(name, A);
        assert_eq!(answer.address(), Some(truth(name)), "{answer:?}");
    }
    let cookies: Vec<Vec<u8>> = server.seen().iter().filter_map(|seen| seen.option(10)).collect();
    assert_eq!(cookies[0].len(), 8);
    assert!(
        cookies[1..].iter().all(|cookie| cookie.len() == 16 && cookie[..8] == cookies[0][..]),
        "{cookies:?}"
    );
    assert_eq!(server.asked_for("second.example"), 1, "the cookie is remembered");

    let without = forwarding(&server, "cookies = false");
    without.ask("third.example", A);
    assert!(server.seen().last().expect("one").option(10).is_none());
}

/// A server that does not know EDNS is asked without, and remembered.
#[test]
fn servers_without_edns() {
    let server = Upstream::start(|seen| match seen.has_edns() {
        true => vec![seen.reply().rcode(1)],
        false => vec![seen.truth()],
    });
    let node = forwarding(&server, "");
    for name in ["one.example", "two.example"] {
        assert_eq!(node.ask(name, A).address(), Some(truth(name)));
    }
    assert_eq!(server.asked_for("one.example"), 2);
    assert_eq!(server.asked_for("two.example"), 1);
}

/// Client subnets (RFC 7871): not sent on, sent on, or set.
#[test]
fn client_subnets() {
    let server = Upstream::start(|seen| vec![seen.truth()]);
    let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
    let mut n = 0;
    let mut seen_with = |keys: &str, options: &[u8]| {
        n += 1;
        let name = format!("subnet{n}.example");
        let node = forwarding(&server, keys);
        let packet = with_opt(query(&name, A), 1232, options);
        assert_eq!(Answer::of(&node.daemon.ask_udp(V4, &packet)).address(), Some(truth(&name)));
        server.seen().last().expect("one").option(8)
    };
    assert_eq!(seen_with("", &subnet), None);
    assert_eq!(seen_with("ecs = 'strip'", &subnet), None);
    assert_eq!(seen_with("ecs = 'pass'", &subnet).as_deref(), Some(&subnet[4..]));
    assert_eq!(seen_with("ecs = 'pass'", &[]), None);
    let set = seen_with("ecs = '24/56'", &[]);
    assert_eq!(set.as_deref(), Some(&[0, 1, 24, 0, 127, 0, 0][..]));
}

/// The address itself is not enough: one that somebody else sends from is not the upstream's.
#[test]
fn other_addresses_are_nobody() {
    let server = Upstream::start(|seen| vec![seen.truth().after(Duration::from_millis(150))]);
    let node = forwarding(&server, "timeout = '1s'");
    let other = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 9], server.address.port()))).expect("a socket");
    thread::scope(|scope| {
        let (address, query) = (node.address(), query("other.some.letters.example", A));
        let asked = scope.spawn(move || ask_within(address, &query, AT_MOST).0.expect("a reply"));
        wait_until("it is asked", || server.count() == 1);
        let seen = server.seen()[0].clone();
        for _ in 0..100 {
            other.send_to(&seen.reply().a(FORGED, 3600).message(), seen.from).expect("sent");
        }
        let answer = asked.join().expect("an answer");
        assert_eq!(answer.address(), Some(truth("other.some.letters.example")));
    });
}
