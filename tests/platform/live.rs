//! Rules change while queries go on, and processes take over from each other: nothing is lost, and nothing is
//! answered by a rule that was not in force at some moment of its query's life.

use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::calendar::Calendar;
use crate::common::daemon::{PATIENCE, dropped_by_loopback, is_as_shipped};
use crate::common::{query, with_opt};
use crate::load::{Tally, open_loop};
use crate::node::{Answer, NXDOMAIN, Node, Setup, said};
use crate::upstream::{Upstream, truth};

const A: u16 = 1;
/// Codes by which versions of the rules are told apart.
const CODES: [(&str, u16); 4] = [("REFUSED", 5), ("NOTAUTH", 9), ("YXDOMAIN", 6), ("YXRRSET", 7)];

/// Queries a second of each kind: native, answered by a rule, forwarded.
fn rate() -> u32 {
    if is_as_shipped() { 6500 } else { 800 }
}

/// A version of the rules: each answers with a code of its own, asks a server of its own, and has more rules,
/// in another order, around one that all have.
fn version(number: usize) -> String {
    let mut text = String::new();
    for n in 0..number % 5 {
        let _ = writeln!(text, "v{number}-{n}: qname-suffix in {{ f{n}.other.example }} drop");
    }
    let code = CODES[number % CODES.len()].0;
    let server = number % CODES.len();
    let kept = "kept: qname-suffix in { kept.example } answer NXRRSET\n";
    let _ = write!(text, "{}", if number.is_multiple_of(2) { kept } else { "" });
    let _ = writeln!(text, "coded-{number}: qname-suffix in {{ coded.example }} answer {code}");
    let _ = writeln!(
        text,
        "sent-{number}: src in {{ 127.0.0.0/8 }} and qname-suffix in {{ sent.example }} \
         forward upstream s{server}"
    );
    text + if number.is_multiple_of(2) { "" } else { kept }
}

fn servers() -> Vec<Upstream> {
    (0..4_u8)
        .map(|n| Upstream::start(move |seen| vec![seen.reply().a([192, 0, 2, 10 + n].into(), 300)]))
        .collect()
}

/// A node that knows these servers, as a rule can only name ports that were known at the start.
fn live(servers: &[Upstream]) -> Setup {
    let add = |setup: Setup, (n, server): (usize, &Upstream)| {
        setup.upstream(&format!("s{n}"), &[server.address], "")
    };
    servers.iter().enumerate().fold(Setup::new(), add)
}

fn question(number: u64) -> Vec<u8> {
    match number % 3 {
        0 => query(&format!("{}.{}.168.192.in-addr.arpa", number % 251, number % 241), 12),
        1 => query(&format!("n{number}.coded.example"), A),
        // With EDNS, so that a failure says why.
        _ => with_opt(query(&format!("n{number}.sent.example"), A), 1232, &[]),
    }
}

fn judge(calendar: &Calendar, number: u64, reply: &[u8], at: Instant) -> Result<(), String> {
    let answer = Answer::of(reply);
    let is_right = match number % 3 {
        0 => answer.rcode == NXDOMAIN && answer.flags & 0x0400 != 0,
        1 => calendar.had(at, |version| CODES[version % CODES.len()].1 == answer.rcode),
        _ => answer.address().is_some_and(|address| {
            calendar.had(at, |version| address.octets() == [192, 0, 2, 10 + (version % 4) as u8])
        }),
    };
    if is_right {
        Ok(())
    } else {
        Err(format!("rcode {}, errors {:?}: {answer:?}", answer.rcode, answer.errors()))
    }
}

/// Loads a node from several sockets while `change` runs.
fn loaded(
    node: &mut Node,
    question: &(impl Fn(u64) -> Vec<u8> + Sync),
    judge: &(impl Fn(u64, &[u8], Instant) -> Result<(), String> + Sync),
    change: impl FnOnce(&mut Node),
) -> Tally {
    let (tally, stop, address) = (Tally::default(), AtomicBool::new(false), node.address());
    thread::scope(|scope| {
        for socket in 0..3_u64 {
            let (tally, stop) = (&tally, &stop);
            // Each asks for names of its own.
            let own = move |number: u64| (number / 3 * 9) + socket * 3 + number % 3;
            scope.spawn(move || {
                open_loop(address, rate(), tally, stop, &|n| question(own(n)), &|n, reply, at| {
                    judge(own(n), reply, at)
                });
            });
        }
        thread::park_timeout(Duration::from_millis(500));
        change(node);
        thread::park_timeout(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
    });
    tally.check();
    tally
}

/// What was not handled as its rule says, and what was lost on the way, by reason.
fn refusals(node: &Node, tally: &Tally) -> String {
    let unanswered = tally.unanswered.lock().expect("nobody panics");
    let kinds = [0, 1, 2].map(|kind| unanswered.iter().filter(|&&number| number % 3 == kind).count());
    let metrics = node.metrics().0;
    let is_told = |line: &&str| {
        let names = ["as112_work_refused_total", "as112_worker_replies_lost", "as112_socket_drops_total"];
        names.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0")
    };
    format!(
        "native, by rule, forwarded: {kinds:?}; {:?}",
        metrics.lines().filter(is_told).collect::<Vec<_>>()
    )
}

#[test]
fn two_hundred_reloads_lose_nothing() {
    let servers = servers();
    let calendar = Calendar::default();
    calendar.begins(0);
    let mut node = live(&servers).rules("10-live.rules", &version(0)).start();
    let dropped = dropped_by_loopback();
    let mut took = Vec::new();
    let tally = loaded(&mut node, &question, &|n, reply, at| judge(&calendar, n, reply, at), |node| {
        for number in 1..=200 {
            if number % 4 == 0 {
                // One that is broken changes nothing.
                node.write_rules("10-live.rules", &format!("{}\nbroken: qtype in {{ A", version(number)));
                let told = node.fail_to_reload();
                assert!(told.contains("10-live.rules:"), "{told}");
            }
            node.write_rules("10-live.rules", &version(number));
            calendar.begins(number);
            let began = Instant::now();
            node.reload();
            took.push(began.elapsed());
            calendar.is_done();
        }
    });
    took.sort();
    let (asked, lost) = (tally.asked(), tally.lost());
    println!("report: platform_reloads_lost {lost} of {asked}, a reload takes {:?}", took[took.len() / 2]);
    assert!(asked > 5000, "{asked}");
    assert!(lost <= dropped_by_loopback() - dropped, "{lost} of {asked} lost; {}", refusals(&node, &tally));
    // Each was answered by something: no fallback, no refusal.
    assert_eq!(node.metrics().sum("work_refused_total", &[]), 0);
}

/// A rule's counter keeps its place by its name, whatever stands around it and however often.
#[test]
fn counters_of_a_rule_stay() {
    let servers = servers();
    let node = live(&servers).rules("10-live.rules", &version(0)).start();
    for number in 1..=40 {
        for _ in 0..5 {
            assert_eq!(node.ask("a.kept.example", A).rcode, 8);
        }
        node.write_rules("10-live.rules", &version(number));
        node.reload();
    }
    node.wait_for("rule_hits_total", &["=\"kept\""], 200);
    assert_eq!(node.metrics().sum("rule_hits_total", &["=\"kept\""]), 200);
    let listed = node.tell(&["rules", "list"]);
    let line = listed.lines().find(|line| line.contains("kept")).expect("it is listed");
    assert!(line.contains("200"), "{listed}");
}

/// A file that was being written when the node read it: refused, and all stays as it was.
#[test]
fn a_file_half_written() {
    let servers = servers();
    let whole = version(2);
    let node = live(&servers).rules("10-live.rules", &whole).start();
    let is_as_before = || {
        assert_eq!(node.ask("a.coded.example", A).rcode, CODES[2].1);
        assert_eq!(node.ask("a.kept.example", A).rcode, 8);
    };
    is_as_before();
    let newer = version(3);
    let mut refused = 0;
    for len in (0..newer.len()).step_by(7) {
        node.write_rules("10-live.rules", &newer[..len]);
        let output = node.run(&["reload"]);
        if output.status.success() {
            // It ends where a rule does. The whole one is back for the next.
            node.write_rules("10-live.rules", &whole);
            node.reload();
        } else {
            refused += 1;
            assert!(said(&output).contains("10-live.rules:"), "{}", said(&output));
        }
        is_as_before();
    }
    assert!(refused > 20, "{refused}");
    // The directory gone is a mistake too.
    fs::rename(node.path("rules.d"), node.path("elsewhere")).expect("renamed");
    node.fail_to_reload();
    is_as_before();
}

#[test]
fn twenty_upgrades_lose_nothing() {
    let server = Upstream::start(|seen| vec![seen.truth().after(Duration::from_millis(30))]);
    // A server that takes 30 ms has 200 on the way, and more while processes change places.
    let mut node = Setup::new()
        .upstream("up", &[server.address], "")
        .route("sent", "qname-suffix in { sent.example }", "forward upstream up", "")
        .rules("10.rules", "coded: qname-suffix in { coded.example } answer NOTAUTH")
        .start();
    let judge = |number: u64, reply: &[u8], _: Instant| {
        let answer = Answer::of(reply);
        let is_right = match number % 3 {
            0 => answer.rcode == NXDOMAIN,
            1 => answer.rcode == 9,
            _ => answer.address() == Some(truth(&format!("n{number}.sent.example"))),
        };
        if is_right {
            Ok(())
        } else {
            Err(format!("rcode {}, errors {:?}: {answer:?}", answer.rcode, answer.errors()))
        }
    };
    let dropped = dropped_by_loopback();
    let mut processes = Vec::new();
    let tally = loaded(&mut node, &question, &judge, |node| {
        for _ in 0..20 {
            processes.push(node.process());
            node.tell(&["upgrade"]);
        }
        processes.push(node.process());
    });
    processes.dedup();
    assert_eq!(processes.len(), 21, "{processes:?}");
    let (asked, lost) = (tally.asked(), tally.lost());
    println!("report: platform_upgrades_lost {lost} of {asked}");
    assert!(lost <= dropped_by_loopback() - dropped, "{lost} of {asked} lost; {}", refusals(&node, &tally));
    // The counters went from process to process.
    let hits = node.metrics().sum("rule_hits_total", &["=\"coded\""]);
    assert!(hits > asked / 6, "{hits} of {asked}");
}

/// The second opinion of a rule: a copy goes to a server, its answer is compared, the client notices nothing.
#[test]
fn diverted_copies_are_compared() {
    let same = Upstream::start(|seen| vec![seen.truth()]);
    let other = Upstream::start(|seen| match &seen.name()[..] {
        name if name.starts_with("same") => vec![seen.truth().after(Duration::from_millis(20))],
        name if name.starts_with("differs") => vec![seen.reply().a([192, 0, 2, 1].into(), 300)],
        _ => vec![],
    });
    let rule = format!(
        "compare: qname-suffix in {{ example }} and src in {{ 127.0.0.0/8 }} divert {}",
        other.address
    );
    let node = Setup::new()
        .upstream("up", &[same.address], "")
        .route("all", "qname-suffix in { example }", "forward upstream up", "")
        .rules("10.rules", &rule)
        .start();
    for name in ["same.example", "differs.example", "silent.example"] {
        let began = Instant::now();
        assert_eq!(node.ask(name, A).address(), Some(truth(name)));
        assert!(began.elapsed() < Duration::from_millis(1500), "{name} waits for nobody");
        // The copy may leave after the reply.
        let deadline = Instant::now() + PATIENCE;
        while other.asked_for(name) == 0 {
            assert!(Instant::now() < deadline, "no copy of {name}");
            thread::yield_now();
        }
    }
    for result in ["same", "differs", "timeout"] {
        node.wait_for("diverted_total", &["=\"compare\"", &format!("=\"{result}\"")], 1);
    }
    for name in ["same.example", "differs.example"] {
        assert_eq!(other.asked_for(name), 1, "one copy");
    }
}

/// How long queries may take, and what the cache does, is as the last reload says.
#[test]
fn times_change_with_a_reload() {
    let silent = Upstream::start(|_| vec![]);
    let setup = |query_timeout: &str, failure_ttl: &str| {
        Setup::new()
            .platform(&format!("query_timeout = '{query_timeout}'"))
            .section(&format!("[cache]\nfailure_ttl = '{failure_ttl}'"))
            .upstream("up", &[silent.address], "timeout = '10s'\ntries = 1")
            .route("all", "qname-suffix in { example }", "forward upstream up", "")
    };
    let node = setup("300ms", "1m").start();
    let ask = |name: &str| {
        let (answer, took) = crate::node::ask_within(node.address(), &query(name, A), PATIENCE);
        assert_eq!(answer.expect("a reply").rcode, crate::node::SERVFAIL, "{name}");
        took
    };
    let first = ask("first.example");
    assert!(first >= Duration::from_millis(250), "{first:?}");
    let asked = silent.count();
    ask("first.example");
    assert_eq!(silent.count(), asked, "it is known that nobody answers");
    fs::write(node.path("as112d.toml"), setup("1500ms", "1s").text()).expect("written");
    let told = node.tell(&["reload"]);
    assert!(!told.contains("restart"), "{told}");
    let second = ask("second.example");
    assert!(second >= Duration::from_millis(1400), "{second:?}");
    // What is remembered from now on is forgotten sooner.
    let began = Instant::now();
    while silent.asked_for("second.example") < 2 {
        assert!(began.elapsed() < Duration::from_secs(40), "a failure is still remembered");
        ask("second.example");
        thread::park_timeout(Duration::from_millis(100));
    }
}
