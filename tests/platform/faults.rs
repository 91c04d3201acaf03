//! Upstreams that are gone, slow, half dead or dead; a node that has no room, or no time.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common::daemon::{V4, wait_until};
use crate::common::{query, with_opt};
use crate::load::all_of;
use crate::node::{Answer, NXDOMAIN, Node, REFUSED, SERVFAIL, Setup, ask_until, ask_within};
use crate::upstream::{Upstream, nobody, truth};

const A: u16 = 1;
const AT_MOST: Duration = Duration::from_secs(8);
/// A name that the node itself knows not to exist.
const NATIVE: &str = "1.168.192.in-addr.arpa";

/// The answers to names below a domain, no two alike.
fn ask_many(node: &Node, domain: &str, count: usize, window: usize) -> Vec<Answer> {
    let all = all_of(node.address(), count, window, AT_MOST, |n| query(&format!("n{n}.{domain}"), A));
    all.into_iter().map(|reply| Answer::of(&reply.expect("each has a reply"))).collect()
}

fn all_are_true(answers: &[Answer], domain: &str) {
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.address(), Some(truth(&format!("n{n}.{domain}"))), "{answer:?}");
    }
}

/// Nobody listens on the port: each route's fallback, at once and not after a time-out.
#[test]
fn a_refused_port_is_known_at_once() {
    let gone = nobody();
    let route = |name: &str, fallback: &str| {
        (format!("qname-suffix in {{ {name}.example }}"), format!("fallback_action = '{fallback}'"))
    };
    let mut setup = Setup::new().upstream("gone", &[gone], "timeout = '1s'");
    for name in ["fail", "refuse", "native", "next"] {
        let (when, further) = route(name, name);
        setup = setup.route(name, &when, "forward upstream gone", &further);
    }
    let (when, further) = route("drop", "drop");
    let node = setup.route("drop", &when, "forward upstream gone", &further).start();
    let native = Setup::new().start().ask("a.native.example", A);
    for (name, rcode) in
        [("fail", SERVFAIL), ("refuse", REFUSED), ("native", native.rcode), ("next", native.rcode)]
    {
        let began = Instant::now();
        assert_eq!(node.ask(&format!("a.{name}.example"), A).rcode, rcode, "{name}");
        assert!(began.elapsed() < Duration::from_secs(2), "{name} takes {:?}", began.elapsed());
    }
    let (answer, _) = ask_within(node.address(), &query("a.drop.example", A), Duration::from_millis(700));
    assert!(answer.is_none(), "{answer:?}");
    assert!(
        node.metrics().sum("upstream_queries_total", &["=\"unreachable\""])
            + node.metrics().sum("upstream_queries_total", &["=\"refused\""])
            > 0
    );
}

/// One of two servers is gone, or silent, or answers SERVFAIL or REFUSED: clients get the truth from the
/// other one, and soon the ill one is left alone, but for a probe now and then.
#[test]
fn one_of_two_is_enough() {
    let good = Upstream::start(|seen| vec![seen.truth()]);
    for name in ["gone", "silent", "failing", "refusing"] {
        for choose in ["order", "fastest"] {
            let ill = Upstream::start(move |seen| match name {
                "failing" => vec![seen.reply().rcode(2)],
                "refusing" => vec![seen.reply().rcode(5)],
                _ => vec![],
            });
            let address = if name == "gone" { nobody() } else { ill.address };
            let keys = format!("choose = '{choose}'\ntimeout = '300ms'");
            let node = Setup::new()
                .upstream("up", &[address, good.address], &keys)
                .route("all", "any", "forward upstream up", "")
                .start();
            // For as long as it may take to be sure of it.
            let (began, mut round) = (Instant::now(), 0);
            while began.elapsed() < Duration::from_millis(2500) {
                round += 1;
                let domain = format!("r{round}.{choose}.{name}.example");
                all_are_true(&ask_many(&node, &domain, 20, 4), &domain);
                thread::park_timeout(Duration::from_millis(50));
            }
            let before = ill.count();
            let domain = format!("{choose}.{name}.example");
            all_are_true(&ask_many(&node, &domain, 500, 8), &domain);
            let asked = ill.count() - before;
            assert!(asked <= 100, "{name} by {choose} was asked {asked} of 500 times");
        }
    }
}

/// The faster one is taken, and the slower one measured now and then.
#[test]
fn the_faster_one_is_taken() {
    let fast = Upstream::start(|seen| vec![seen.truth().after(Duration::from_millis(2))]);
    let slow = Upstream::start(|seen| vec![seen.truth().after(Duration::from_millis(60))]);
    let node = Setup::new()
        .upstream(
            "up",
            &[slow.address, fast.address],
            "choose = 'fastest'\nexplore = 0.05\ntimeout = '400ms'",
        )
        .route("all", "any", "forward upstream up", "")
        .start();
    all_are_true(&ask_many(&node, "speed.example", 3000, 16), "speed.example");
    let (to_fast, to_slow) = (fast.count(), slow.count());
    println!("report: platform_fast_slow {to_fast} {to_slow}");
    assert!(to_fast > 2000, "{to_fast} to the fast one, {to_slow} to the slow one");
    assert!((5..1500).contains(&to_slow), "{to_fast} to the fast one, {to_slow} to the slow one");
    // They change places, and that is noticed.
    fast.script(|seen| vec![seen.truth().after(Duration::from_millis(80))]);
    slow.script(|seen| vec![seen.truth().after(Duration::from_millis(2))]);
    let mut round = 0;
    wait_until("the other one is the faster one", || {
        round += 1;
        let before = (fast.count(), slow.count());
        let domain = format!("round{round}.example");
        all_are_true(&ask_many(&node, &domain, 300, 16), &domain);
        slow.count() - before.1 > 2 * (fast.count() - before.0)
    });
}

/// All are dead: what is known goes on stale, the rest gets the fallback, soon and then at once. Nothing else
/// is touched.
#[test]
fn all_dead_is_stale_then_fallback() {
    let servers: Vec<Upstream> =
        (0..2).map(|_| Upstream::start(|seen| vec![seen.reply().a(truth(&seen.name()), 1)])).collect();
    let node = Setup::new()
        .upstream("up", &[servers[0].address, servers[1].address], "timeout = '200ms'")
        .route("all", "qname-suffix in { example }", "forward upstream up", "fallback_action = \"refuse\"")
        .start();
    all_are_true(&ask_many(&node, "known.example", 50, 8), "known.example");
    servers.iter().for_each(|server| server.script(|_| vec![]));
    thread::park_timeout(Duration::from_millis(1100));
    let stale = ask_many(&node, "known.example", 50, 8);
    all_are_true(&stale, "known.example");
    let unknown = ask_many(&node, "unknown.example", 50, 8);
    assert!(unknown.iter().all(|answer| answer.rcode == REFUSED), "{:?}", unknown.first());
    // By now everything is known to be dead.
    let (answer, took) = ask_within(node.address(), &query("another.example", A), AT_MOST);
    assert_eq!(answer.expect("a reply").rcode, REFUSED);
    assert!(took < Duration::from_millis(1500), "it takes {took:?}");
    let sent = servers.iter().map(Upstream::count).sum::<u64>();
    ask_many(&node, "more.example", 500, 32);
    let probes = servers.iter().map(Upstream::count).sum::<u64>() - sent;
    assert!(probes <= 30, "{probes} probes for 500 queries");
    let native = node.ask(NATIVE, 12);
    assert_eq!(native.rcode, NXDOMAIN);
    assert!(node.metrics().0.contains("as112_upstream_state"), "states are shown");

    servers.iter().for_each(|server| server.script(|seen| vec![seen.truth()]));
    let answer = ask_until(&node, "back.example", A, |answer| answer.rcode == 0);
    assert_eq!(answer.address(), Some(truth("back.example")));
}

/// Errors are said with their reasons (RFC 8914): nobody could be reached.
#[test]
fn a_failure_says_why() {
    let node = Setup::new()
        .upstream("up", &[nobody()], "timeout = '200ms'\ntries = 1")
        .route("all", "any", "forward upstream up", "")
        .start();
    let packet = with_opt(query("why.example", A), 1232, &[]);
    let answer = Answer::of(&node.daemon.ask_udp(V4, &packet));
    assert_eq!(answer.rcode, SERVFAIL);
    assert!(answer.errors().iter().any(|error| [22, 23].contains(error)), "{:?}", answer.errors());
    // The failure itself is known now.
    let again = Answer::of(&node.daemon.ask_udp(V4, &packet));
    assert_eq!(again.rcode, SERVFAIL);
    assert!(again.errors().iter().any(|error| [13, 22, 23].contains(error)), "{:?}", again.errors());
}

/// More queries wait than there is room for: the others get the fallback at once, what is native is answered
/// as ever, and afterwards there is room again.
#[test]
fn no_room_is_the_fallback() {
    let server = Upstream::start(|_| vec![]);
    let node = Setup::new()
        .platform("jobs = 64\nshare = 32")
        .upstream("up", &[server.address], "timeout = '1800ms'\ntries = 1")
        .route("all", "qname-suffix in { example }", "forward upstream up", "fallback_action = \"refuse\"")
        .start();
    let began = Instant::now();
    let socket = UdpSocket::bind((V4, 0)).expect("a socket");
    socket.connect(node.address()).expect("connected");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
    // All replies come at once, and would not fit an ordinary buffer. Only root may have a larger one.
    let _ = nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBufForce, &(8 << 20));
    for n in 0..500_u16 {
        let mut packet = query(&format!("n{n}.room.example"), A);
        packet[..2].copy_from_slice(&n.to_be_bytes());
        socket.send(&packet).expect("sent");
    }
    let mut at_once = 0;
    let mut reply = [0; 512];
    while began.elapsed() < Duration::from_millis(1000) {
        if let Ok(len) = socket.recv(&mut reply) {
            assert_eq!(Answer::of(&reply[..len]).rcode, REFUSED);
            at_once += 1;
        }
    }
    let (native, took) = ask_within(node.address(), &query(NATIVE, 12), AT_MOST);
    assert_eq!(native.expect("a reply").rcode, NXDOMAIN);
    let metrics = node.metrics();
    let [pool, share, tasks] = ["pool", "share", "tasks"]
        .map(|reason| metrics.sum("work_refused_total", &[&format!("=\"{reason}\"")]));
    println!(
        "report: platform_no_room at once {at_once}, pool {pool}, share {share}, tasks {tasks}, {took:?}"
    );
    assert!(at_once >= 300, "{at_once} of 500 were refused at once");
    assert!(pool + share + tasks >= 300, "pool {pool}, share {share}, tasks {tasks}");
    server.script(|seen| vec![seen.truth()]);
    let answer = ask_until(&node, "room.again.example", A, |answer| answer.rcode == 0);
    assert_eq!(answer.address(), Some(truth("room.again.example")));
    // Nothing has leaked: as many as at first can wait again, each of them answered.
    all_are_true(&ask_many(&node, "afterwards.example", 2000, 16), "afterwards.example");
}

/// The process is stopped for a while and goes on: what has waited too long is dropped, for its client has
/// asked again; everything works as before.
#[test]
fn a_process_that_was_stopped() {
    let server = Upstream::start(|seen| vec![seen.truth()]);
    let node = Setup::new()
        .upstream("up", &[server.address], "")
        .route("all", "qname-suffix in { example }", "forward upstream up", "")
        .start();
    for round in 0..5 {
        let domain = format!("round{round}.example");
        node.daemon.signal(Signal::SIGSTOP as i32);
        let socket = UdpSocket::bind((V4, 0)).expect("a socket");
        socket.connect(node.address()).expect("connected");
        (0..100).for_each(|n| drop(socket.send(&query(&format!("stopped{n}.{domain}"), A))));
        thread::park_timeout(Duration::from_millis(500));
        node.daemon.signal(Signal::SIGCONT as i32);
        all_are_true(&ask_many(&node, &domain, 200, 16), &domain);
        assert_eq!(node.ask(NATIVE, 12).rcode, NXDOMAIN);
    }
}

/// A client that goes away, over TCP, with queries on the way: nothing leaks.
#[test]
fn clients_that_go_away() {
    let server = Upstream::start(|seen| vec![seen.truth().after(Duration::from_millis(30))]);
    let node = Setup::new()
        .platform("jobs = 64")
        .upstream("up", &[server.address], "")
        .route("all", "any", "forward upstream up", "")
        .start();
    for n in 0..100 {
        let mut stream = node.daemon.tcp(V4);
        for i in 0..10 {
            let packet = query(&format!("gone{n}-{i}.example"), A);
            crate::common::daemon::send_message(&mut stream, &packet);
        }
    }
    all_are_true(&ask_many(&node, "still.here.example", 500, 16), "still.here.example");
    let answer = node.ask_tcp("tcp.example", A);
    assert_eq!(answer.address(), Some(truth("tcp.example")));
}

/// Over one connection answers may overtake each other (RFC 7766, 6.2.1.1): a slow one holds up nobody.
#[test]
fn answers_overtake_over_tcp() {
    let server = Upstream::start(|seen| {
        let wait = if seen.name().starts_with("slow") { 600 } else { 0 };
        vec![seen.truth().after(Duration::from_millis(wait))]
    });
    let node = Setup::new()
        .upstream("up", &[server.address], "timeout = '1500ms'")
        .route("all", "qname-suffix in { example }", "forward upstream up", "")
        .start();
    let mut stream = node.daemon.tcp(V4);
    let names = ["slow.example", "quick.example", NATIVE];
    for (id, name) in names.iter().enumerate() {
        let mut packet = query(name, if *name == NATIVE { 12 } else { A });
        packet[1] = id as u8;
        crate::common::daemon::send_message(&mut stream, &packet);
    }
    let order: Vec<u8> =
        (0..3).map(|_| crate::common::daemon::read_message(&mut stream).expect("a reply")[1]).collect();
    assert_eq!(order[2], 0, "the slow one comes last: {order:?}");
}
