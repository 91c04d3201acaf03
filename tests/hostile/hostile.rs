//! The guests of guests/hostile/ in a node: each query has its fallback, each deed its counter, and whoever
//! is beside them goes on.

use std::time::Instant;

use crate::common::daemon::{PATIENCE, wait_until};
use crate::node::{Guest, Node, says};

/// What a hostile guest is counted as for each query, and the response code that its clients get: that of
/// its fallback, or what it may say.
const DEEDS: [(&str, &str, &str, u8); 13] = [
    ("loop", include_str!("../../guests/hostile/loop.wat"), "guest_traps_total{app=\"X\",why=\"time\"}", 5),
    (
        "recursion",
        include_str!("../../guests/hostile/recursion.wat"),
        "guest_traps_total{app=\"X\",why=\"stack\"}",
        5,
    ),
    (
        "unreachable",
        include_str!("../../guests/hostile/unreachable.wat"),
        "guest_traps_total{app=\"X\",why=\"unreachable\"}",
        5,
    ),
    (
        "outside",
        include_str!("../../guests/hostile/outside.wat"),
        "guest_traps_total{app=\"X\",why=\"memory\"}",
        5,
    ),
    (
        "pointer",
        include_str!("../../guests/hostile/pointer.wat"),
        "guest_traps_total{app=\"X\",why=\"pointer\"}",
        5,
    ),
    (
        "hostcalls",
        include_str!("../../guests/hostile/hostcalls.wat"),
        "guest_traps_total{app=\"X\",why=\"calls\"}",
        5,
    ),
    (
        "question",
        include_str!("../../guests/hostile/question.wat"),
        "guest_replies_bad_total{app=\"X\",why=\"question\"}",
        5,
    ),
    (
        "counts",
        include_str!("../../guests/hostile/counts.wat"),
        "guest_replies_bad_total{app=\"X\",why=\"malformed\"}",
        5,
    ),
    (
        "compression",
        include_str!("../../guests/hostile/compression.wat"),
        "guest_replies_bad_total{app=\"X\",why=\"malformed\"}",
        5,
    ),
    (
        "rest",
        include_str!("../../guests/hostile/rest.wat"),
        "guest_replies_bad_total{app=\"X\",why=\"malformed\"}",
        5,
    ),
    (
        "long",
        include_str!("../../guests/hostile/long.wat"),
        "guest_replies_bad_total{app=\"X\",why=\"length\"}",
        5,
    ),
    (
        "verdict",
        include_str!("../../guests/hostile/verdict.wat"),
        "guest_replies_bad_total{app=\"X\",why=\"verdict\"}",
        5,
    ),
    (
        "later",
        include_str!("../../guests/hostile/later.wat"),
        "app_verdicts_total{app=\"X\",verdict=\"later\"}",
        5,
    ),
];

fn router(name: &str) -> String {
    format!("router = ['qname-suffix = {name}.test']\nfallback_action = 'refuse'\n")
}

/// The neighbour, which answers with NXDOMAIN.
const NEIGHBOUR: (&str, &str) = ("neighbour", "router = ['qname-suffix = neighbour.test']\n");
const NATIVE: &str = "1.2.0.10.in-addr.arpa";

#[test]
fn each_deed_has_its_counter_and_its_fallback_and_nobody_else_suffers() {
    let manifests: Vec<String> = DEEDS.iter().map(|(name, ..)| router(name)).collect();
    let mut guests: Vec<Guest<'_>> = DEEDS
        .iter()
        .zip(&manifests)
        .map(|((name, text, ..), manifest)| (*name, manifest.as_str(), wat::parse_str(text).expect("WAT")))
        .collect();
    guests.push((NEIGHBOUR.0, NEIGHBOUR.1, says(2 | 3 << 8)));
    let node = Node::start(&guests, "[platform]\nworkers = 1\nquery_timeout = '300ms'\n");
    let pid = node.daemon.id();
    for round in 1..=3 {
        for (name, _, counter, rcode) in DEEDS {
            assert_eq!(node.rcode(&format!("{round}.{name}.test")), rcode, "{name}, round {round}");
            assert_eq!(node.rcode(&format!("{name}.neighbour.test")), 3, "beside {name}");
            assert_eq!(node.rcode(NATIVE), 3, "beside {name}");
            let series = format!("as112_{}", counter.replace('X', name));
            wait_until(&series, || node.count(&series) >= round);
        }
    }
    // Ticks trap too, but each query had its fallback once.
    for (name, ..) in DEEDS {
        let reason = if name == "later" { "deadline" } else { "app" };
        let refused = format!("as112_work_refused_total{{route=\"{name}\",reason=\"{reason}\"}}");
        wait_until(&refused, || node.count(&refused) == 3);
    }
    let neighbours = "as112_app_verdicts_total{app=\"neighbour\",verdict=\"rcode\"}";
    wait_until(neighbours, || node.count(neighbours) == 3 * DEEDS.len() as u64);
    let refused = node.count("as112_refused_syscalls_total{thread=\"worker\"}");
    assert_eq!((node.daemon.id(), node.daemon.lives(), refused), (pid, true, 0));
    assert_no_code_is_made(pid);
    assert_eq!(node.daemon.stop().0.code(), Some(0));
}

/// Nothing that can be executed but the text of files.
fn assert_no_code_is_made(pid: u32) {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("its maps");
    let made: Vec<&str> = maps
        .lines()
        .filter(|line| line.split_whitespace().nth(1).is_some_and(|rights| rights.contains('x')))
        .filter(|line| !line.contains(" /") && !line.ends_with("[vdso]") && !line.ends_with("[vsyscall]"))
        .collect();
    assert!(maps.lines().count() > 10 && made.is_empty(), "{made:#?}");
}

#[test]
fn an_application_that_traps_is_off_for_a_while_and_comes_back() {
    let text = include_str!("../../guests/hostile/unreachable.wat");
    // Long enough that it is off while that is looked at.
    let manifest = format!("{}[limits]\nrestart = '5s..10s'\n", router("traps"));
    let guests = [("traps", manifest.as_str(), wat::parse_str(text).expect("WAT"))];
    let node = Node::start(&guests, "");
    let traps = "as112_guest_traps_total{app=\"traps\",why=\"unreachable\"}";
    for round in 0..20 {
        assert_eq!(node.rcode(&format!("{round}.traps.test")), 5);
    }
    let refused = "as112_work_refused_total{route=\"traps\",reason=\"app\"}";
    wait_until(refused, || node.count(refused) == 20);
    assert_eq!(node.count(traps), 5, "then it is off");
    assert_eq!(node.count("as112_app_state{app=\"traps\"}"), 3);
    wait_until("it is back", || node.count("as112_app_state{app=\"traps\"}") == 1);
    assert_eq!(node.rcode("again.traps.test"), 5);
    wait_until(traps, || node.count(traps) == 6);
    assert_eq!(node.daemon.stop().0.code(), Some(0));
}

/// Queries at once, to the node's own zones: how many are answered.
fn natives(node: &Node, count: u16) -> u16 {
    let socket = node.daemon.udp(crate::common::daemon::V4);
    let began = Instant::now();
    let (mut sent, mut got) = (0, 0);
    let mut packet = [0; 1500];
    while got < count {
        assert!(began.elapsed() < PATIENCE, "{got} of {count}");
        // As many as are on their way fit the buffers of sockets.
        while sent < count && sent - got < 32 {
            let mut query = crate::common::query(NATIVE, 12);
            query[..2].copy_from_slice(&sent.to_be_bytes());
            socket.send(&query).expect("sent");
            sent += 1;
        }
        got += u16::from(socket.recv(&mut packet).is_ok_and(|len| len > 12 && packet[3] & 0xF == 3));
    }
    got
}

#[test]
fn five_that_loop_trap_hog_and_hold_for_ever_cost_no_native_answer() {
    let names = ["loop", "unreachable", "memory", "later", "log"];
    let texts = [
        include_str!("../../guests/hostile/loop.wat"),
        include_str!("../../guests/hostile/unreachable.wat"),
        include_str!("../../guests/hostile/memory.wat"),
        include_str!("../../guests/hostile/later.wat"),
        include_str!("../../guests/hostile/log.wat"),
    ];
    let manifests = names.map(|name| router(name) + "[limits]\nrestart = '1s..1s'\nin_flight = 64\n");
    let guests: Vec<Guest<'_>> = (0..5)
        .map(|at| (names[at], manifests[at].as_str(), wat::parse_str(texts[at]).expect("WAT")))
        .collect();
    let node = Node::start(&guests, "[platform]\nworkers = 1\nquery_timeout = '500ms'\n");
    let pid = node.daemon.id();
    // Hostile queries without end from another thread, which nobody waits for.
    let socket = node.daemon.udp(crate::common::daemon::V4);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut nth = 0_u32;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let name = format!("{nth}.{}.test", names[nth as usize % 5]);
                let _ = socket.send(&crate::common::query(&name, 1));
                nth += 1;
                if nth.is_multiple_of(50) {
                    std::thread::park_timeout(std::time::Duration::from_millis(5));
                }
            }
        });
        for _ in 0..10 {
            assert_eq!(natives(&node, 1000), 1000);
        }
        for counter in [
            "as112_guest_traps_total{app=\"loop\",why=\"time\"}",
            "as112_guest_traps_total{app=\"unreachable\",why=\"unreachable\"}",
            "as112_guest_memory_refused_total{app=\"memory\"}",
            "as112_app_verdicts_total{app=\"later\",verdict=\"later\"}",
            "as112_guest_log_dropped_total{app=\"log\"}",
        ] {
            wait_until(counter, || node.count(counter) > 0);
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!((node.daemon.id(), node.daemon.lives()), (pid, true));
    wait_until("nothing is held", || node.count("as112_worker_tasks") == 0);
    assert_eq!(node.daemon.stop().0.code(), Some(0));
}
