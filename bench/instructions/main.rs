//! How many instructions an answer takes, counted by valgrind's callgrind: unlike time, the same on a busy
//! machine. What is expected stands in `expected.txt`; more than 5 % above it fails.
//!
//! `cargo run --release -p as112d-instructions`; with `UPDATE=1` it writes what was counted there.

#[path = "../cases.rs"]
mod cases;
#[path = "../../tests/common/node.rs"]
mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use as112d::limits::SLOT_PAYLOAD_LEN;
use as112d::serve::snapshot::Snapshot;
use as112d::stats::account::Account;

use cases::{
    BATCH, Case, arrival, batch, cases, client_cases, cookie_cases, handed, idle_batch, limited, new_desk,
    new_ledger, new_limiter, node_with_clients, node_with_cookies, node_with_rules, ruled_cases,
};
use common::node;

/// Rounds of the two runs whose difference counts: what both do once is not in it.
const ROUNDS: [u64; 2] = [1_000, 11_000];
/// Rise of a count that fails.
const RISE_MAX: f64 = 0.05;
/// The name of counting's cost: a batch that is counted less one that is not, by query.
const COUNTING: &str = "counting";
const COUNTED: &str = "a batch, counted";
const NOT_COUNTED: &str = "a batch, not counted";
/// The first, by query, and what of it this program alone does: it copies the query and looks at the verdict.
const IN_ALL: &str = "PTR, NXDOMAIN, EDNS, counting included";
const LOOP: &str = "the loop alone";
/// A query that a rule hands over: by the shard, and the turning over of its job by a worker.
const HANDED_OVER: &str = "handed over";
/// What a rate limit adds to a query: of networks that are in the table, and of new ones.
const LIMITING: [&str; 2] = ["limiting, a known network", "limiting, a new network"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, name, rounds] = &arguments[..]
        && mode == "--run"
    {
        run(name, rounds.parse().expect("a number of rounds"));
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: there is no valgrind (Debian's package of that name)");
        return ExitCode::SUCCESS;
    }
    let counted = count_all();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("expected.txt");
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        let text = counted.iter().fold(String::new(), |mut text, (name, count)| {
            writeln!(text, "{count:>6} {name}").expect("a String takes all that is written");
            text
        });
        std::fs::write(path, text).expect("the file can be written");
        return ExitCode::SUCCESS;
    }
    compare(&counted, &expected(&std::fs::read_to_string(path).expect("the file is there")))
}

/// The part of this program that is counted.
fn run(name: &str, rounds: u64) {
    let node = node(&[]);
    let cases = cases();
    let (mut ledger, _stream) = new_ledger();
    if let Some(of_new) = LIMITING.iter().position(|limiting| *limiting == name) {
        let (mut limiter, limit) = new_limiter();
        let step = (of_new * BATCH) as u32;
        return (0..rounds as u32).for_each(|round| limited(&mut limiter, &limit, round * step));
    }
    if let Some(case) = cookie_cases().iter().find(|case| case.name == name) {
        return answer(&node_with_cookies(), case, rounds);
    }
    if let Some(case) = client_cases().iter().find(|case| case.name == name) {
        return answer(&node_with_clients(), case, rounds);
    }
    if let Some((rules, case)) = ruled_cases().iter().find(|(_, case)| case.name == name) {
        let node = node_with_rules(rules);
        if name != HANDED_OVER {
            return answer(&node, case, rounds);
        }
        let (mut desk, mut inbox) = new_desk();
        return (0..rounds).for_each(|_| handed(&node, case, &mut desk, &mut inbox));
    }
    match name {
        COUNTED => (0..rounds).for_each(|_| batch(&node, &cases[0], Some(&mut ledger))),
        NOT_COUNTED => (0..rounds).for_each(|_| batch(&node, &cases[0], None)),
        LOOP => (0..rounds).for_each(|_| idle_batch(&cases[0])),
        name => {
            let case = cases.iter().find(|case| case.name == name).expect("a case of that name");
            answer(&node, case, rounds);
        }
    }
}

fn answer(node: &Snapshot, case: &Case, rounds: u64) {
    let arrival = arrival();
    let mut slot = [0; SLOT_PAYLOAD_LEN];
    let mut account = Account::default();
    for _ in 0..rounds {
        let verdict = case.answer(node, &arrival, black_box(&mut slot), &mut account);
        case.check(black_box(verdict), &slot);
    }
}

/// The instructions of each case, by query.
fn count_all() -> BTreeMap<String, u64> {
    let mut counted: BTreeMap<String, u64> = cases()
        .iter()
        .chain(&cookie_cases())
        .chain(&client_cases())
        .chain(ruled_cases().iter().map(|(_, case)| case).filter(|case| case.name != HANDED_OVER))
        .map(|case| (case.name.to_owned(), by_round(case.name)))
        .collect();
    let of_batch = |name| by_round(name) / BATCH as u64;
    let (with, without, idle) = (of_batch(COUNTED), of_batch(NOT_COUNTED), of_batch(LOOP));
    counted.insert(COUNTING.to_owned(), with - without);
    counted.insert(IN_ALL.to_owned(), with - idle);
    counted.insert(LOOP.to_owned(), idle);
    counted.insert(HANDED_OVER.to_owned(), of_batch(HANDED_OVER));
    counted.extend(LIMITING.map(|name| (name.to_owned(), of_batch(name))));
    counted
}

fn by_round(name: &str) -> u64 {
    let [few, many] = ROUNDS.map(|rounds| instructions(name, rounds));
    (many - few) / (ROUNDS[1] - ROUNDS[0])
}

/// All instructions of a run of this program.
fn instructions(name: &str, rounds: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().expect("this program has a path"))
        .args(["--run", name, &rounds.to_string()])
        .output()
        .expect("valgrind runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    collected.expect("callgrind says what it collected").1.trim().parse().expect("a count")
}

fn expected(text: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (count, name) = line.trim().split_once(' ').expect("a count and a name");
        (name.to_owned(), count.parse().expect("a count"))
    };
    text.lines().map(line).collect()
}

fn compare(counted: &BTreeMap<String, u64>, expected: &BTreeMap<String, u64>) -> ExitCode {
    let mut failed = !counted.keys().eq(expected.keys());
    if failed {
        println!("expected.txt has other cases than there are");
    }
    for (name, count) in counted {
        let Some(before) = expected.get(name) else { continue };
        let rise = *count as f64 / *before as f64 - 1.0;
        let verdict = if rise > RISE_MAX { "TOO MANY" } else { "" };
        failed |= rise > RISE_MAX;
        println!("{count:>6} instructions, expected {before:>6} ({:+.1} %)  {name}  {verdict}", rise * 100.0);
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
