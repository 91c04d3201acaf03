//! Rules against an evaluator of our own and against dnsdist; what `--why` says against what the node does;
//! files that are damaged.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::daemon::{PATIENCE, V4, free_port, program, read_message, send_message};
use crate::common::lab::{Process, is_there};
use crate::common::skip::skipped;
use crate::common::{folder, query};
use crate::mutate::Dice;
use crate::node::{Answer, Node, SERVFAIL, Setup, said};
use crate::rulebook::{Query, Rulebook};

/// Asks so as the query says; the response code.
fn ask(to: SocketAddr, query: &Query) -> u16 {
    let mut packet = self::query(&query.name, query.qtype.1);
    packet[2] = u8::from(query.wants_recursion);
    if query.over_tcp {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::new(IpAddr::V4(query.source), 0).into()).expect("bound");
        socket.connect(&to.into()).expect("connected");
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        send_message(&mut stream, &packet);
        return Answer::of(&read_message(&mut stream).expect("a reply")).rcode;
    }
    let socket = UdpSocket::bind((query.source, 0)).expect("a socket");
    socket.connect(to).expect("connected");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    socket.send(&packet).expect("sent");
    let mut reply = [0; 512];
    let len = socket.recv(&mut reply).unwrap_or_else(|_| panic!("no reply to {query:?}"));
    Answer::of(&reply[..len]).rcode
}

fn start(rules: &str, colo: &str) -> Node {
    Setup::new()
        .section("[server]\nlisten = ['127.0.0.1:PORT', '[::1]:PORT']\nshards = 1")
        .platform(&format!("colo = '{colo}'"))
        .rules("10-random.rules", rules)
        .start()
}

/// Under many random rules the node does what an evaluator of our own says, and counts it.
#[test]
fn the_node_decides_as_an_evaluator_of_our_own() {
    let mut dice = Dice::new(112);
    let mut book = Rulebook::random(&mut dice, 1, false);
    let node = start(&book.text(), "test2");
    for round in 0..40 {
        let mut hits = vec![0_u64; book.len()];
        let before = node.metrics();
        let hit = |metrics: &crate::node::Metrics, rule: usize| {
            metrics.sum("rule_hits_total", &[&format!("=\"r{rule}\"")])
        };
        for _ in 0..100 {
            let query = Query::random(&mut dice);
            let code = ask(node.address(), &query);
            match book.decide(&query, "test2") {
                Some((rule, expected)) => {
                    assert_eq!(code, expected, "{query:?} by rule r{rule} of\n{}", book.text());
                    hits[rule] += 1;
                }
                None => {
                    assert!([0, 3, 5].contains(&code), "{query:?} gets {code} by none of\n{}", book.text());
                }
            }
        }
        for (rule, &expected) in hits.iter().enumerate() {
            let began = Instant::now();
            let counted = || hit(&node.metrics(), rule) - hit(&before, rule);
            while counted() != expected {
                assert!(
                    began.elapsed() < PATIENCE,
                    "r{rule}: {} hits, not {expected}, in\n{}",
                    counted(),
                    book.text()
                );
                thread::park_timeout(Duration::from_millis(20));
            }
        }
        book = Rulebook::random(&mut dice, 1 + (round * 7) % 60, false);
        node.write_rules("10-random.rules", &book.text());
        node.reload();
    }
}

/// `query --why` names the rule that decides, as the running node does.
#[test]
fn why_says_what_the_node_does() {
    let mut dice = Dice::new(4);
    for count in [1, 7, 40] {
        let book = Rulebook::random(&mut dice, count, false);
        let node = start(&book.text(), "test1");
        for at in 0..60 {
            let mut query = Query::random(&mut dice);
            query.over_tcp = at % 5 == 0;
            // As `query` asks.
            query.wants_recursion = false;
            let code = ask(node.address(), &query);
            for colo in ["test1", "test3"] {
                let mut command = Command::new(program());
                let (from, to) = (query.source.to_string(), node.address().to_string());
                command.args(["query", &query.name, query.qtype.0, "--why", "--from", &from, "--to", &to]);
                command.args(["--colo", colo]);
                command.arg("--config").arg(node.path("as112d.toml"));
                command.args(query.over_tcp.then_some("--tcp"));
                let output = command.output().expect("it runs");
                let why = said(&output);
                assert!(output.status.success(), "{why}");
                let expected = book.decide(&query, colo);
                let decided = taken(&why);
                assert_eq!(decided, expected.map(|(rule, _)| rule), "{query:?}\n{why}\n{}", book.text());
                if colo == "test1" {
                    assert!(expected.is_none_or(|(_, expected)| expected == code), "{query:?}\n{why}");
                }
            }
        }
    }
}

/// The rule that the verdict names.
fn taken(why: &str) -> Option<usize> {
    let verdict = why.lines().find(|line| line.starts_with(";; verdict")).expect("it says what comes of it");
    let (_, rule) = verdict.split_once("by rule \"r")?;
    rule.trim_end_matches('"').parse().ok()
}

/// For the rules that both can say, dnsdist decides the same.
#[test]
fn dnsdist_decides_the_same() {
    if !is_there("dnsdist") {
        return skipped("dnsdist is missing (Debian package dnsdist)");
    }
    let mut dice = Dice::new(53);
    for count in [3, 20, 60] {
        let book = Rulebook::random(&mut dice, count, true);
        let folder = folder();
        let address = SocketAddr::new(V4, free_port());
        let lua = format!("setLocal('{address}')\nsetSecurityPollSuffix('')\n{}", book.lua());
        fs::write(folder.path().join("conf"), lua).expect("written");
        let mut command = Command::new("dnsdist");
        command.args(["--supervised", "-C"]).arg(folder.path().join("conf"));
        let _dnsdist = Process::spawn(command, &folder.path().join("said"));
        let began = Instant::now();
        let probe = query("probe", 1);
        while crate::node::ask_within(address, &probe, Duration::from_millis(200)).0.is_none() {
            let said = || fs::read_to_string(folder.path().join("said")).unwrap_or_default();
            assert!(
                began.elapsed() < PATIENCE,
                "dnsdist does not answer; it said: {}\n{}",
                said(),
                book.lua()
            );
        }
        let queries: Vec<Query> = (0..1000).map(|_| Query::random(&mut dice)).collect();
        let decided = |query: &Query| book.decide(query, "test1").map_or(SERVFAIL, |(_, code)| code);
        let expected: Vec<u16> = queries.iter().map(decided).collect();
        let compare = |to: SocketAddr| {
            for (query, &expected) in queries.iter().zip(&expected) {
                assert_eq!(ask(to, query), expected, "{query:?}\n{}", book.text());
            }
        };
        compare(address);
        let node = start(&(book.text() + "any answer SERVFAIL\n"), "test1");
        compare(node.address());
    }
}

/// Rules that are damaged somehow are refused with their place, or are rules that an operator could have
/// meant: nothing crashes, and a node that has refused them goes on as before.
#[test]
fn damaged_rules_are_refused_with_their_place() {
    let mut dice = Dice::new(500);
    let sound = Rulebook::random(&mut dice, 5, false).text();
    let node = start(&sound, "test1");
    let mut refused = 0;
    for _ in 0..150 {
        let mut text: Vec<char> = sound.chars().collect();
        for _ in 0..=dice.below(2) {
            let at = dice.below(text.len());
            match dice.below(4) {
                0 => drop(text.remove(at)),
                1 => text[at] = *dice.pick(&['{', '}', '(', ')', ':', '=', 'x', '\0', '#', 'é', '9']),
                2 => text.insert(at, *dice.pick(&['{', '}', '(', ')', ':', 'q', '/', '\n', ' '])),
                _ => text.truncate(at + 1),
            }
        }
        let text: String = text.into_iter().collect();
        node.write_rules("10-random.rules", &text);
        let output = node.run(&["reload"]);
        if output.status.success() {
            continue;
        }
        refused += 1;
        let told = said(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        let place =
            told.split("10-random.rules:").nth(1).unwrap_or_else(|| panic!("no place: {told}\n{text}"));
        let mut numbers = place.split(':').map(|word| word.trim().parse::<usize>());
        let line = numbers.next().and_then(Result::ok).unwrap_or_else(|| panic!("no line: {told}"));
        let column = numbers.next().and_then(Result::ok).unwrap_or_else(|| panic!("no column: {told}"));
        assert!((1..=text.lines().count() + 1).contains(&line) && column > 0, "{told}\n{text}");
    }
    assert!(refused > 50, "only {refused} of 150 were refused");
    node.write_rules("10-random.rules", &sound);
    node.reload();
    assert!(node.daemon.lives());
}

/// What an operator mistypes, and what he is told.
#[test]
fn mistakes_have_a_place_and_a_hint() {
    for (rule, place, hint) in [
        ("qtpye = PTR refuse", "10.rules:1:1", "qtype"),
        ("any\n  refsue", "10.rules:2:3", "refuse"),
        ("qtype in { PTRR } refuse", "10.rules:1:12", "PTR"),
        ("phase = postcache any refuse", "10.rules:1:9", "post-cache"),
        ("phase = route and rcode = NXDOMAIN refuse", "10.rules:1:", "rcode"),
        ("phase = route and cache = miss refuse", "10.rules:1:", "cache"),
        ("src in { 127.0.0.0/8 } forward upstream lna", "10.rules:1:", "lan"),
        ("one: any refuse\none: any drop", "10.rules:2:1", "one"),
        ("qname-suffix in { 10.in-addr..arpa } refuse", "10.rules:1:19", "10.in-addr..arpa"),
        ("src in { 127.0.0.0/33 } refuse", "10.rules:1:10", "127.0.0.0/33"),
    ] {
        let (is_sound, told) =
            Setup::new().upstream("lan", &["127.0.0.1:5399"], "").rules("10.rules", rule).check();
        assert!(!is_sound, "{rule} is accepted: {told}");
        assert!(
            told.contains(place) && told.contains(hint),
            "{rule} should be told {place} and {hint}: {told}"
        );
    }
}

/// A dry run counts what a rule would do, and does nothing.
#[test]
fn a_dry_run_only_counts() {
    let node = start("trial: qtype = TXT refuse dry-run\nreal: qtype = SRV answer NOTAUTH", "test1");
    let plain = Setup::new().start();
    for _ in 0..10 {
        assert_eq!(node.ask("10.in-addr.arpa", 16).packet, plain.ask("10.in-addr.arpa", 16).packet);
    }
    node.wait_for("rule_would_total", &["=\"trial\""], 10);
    assert_eq!(node.metrics().sum("rule_hits_total", &["=\"trial\""]), 0);
    assert_eq!(node.ask("10.in-addr.arpa", 33).rcode, 9);
}
