//! The language of rules against an evaluator that was written from its grammar alone, in Python: the same
//! files are taken, and every query comes to the same. Files are made by dice, and damaged by dice.
//!
//! `SEED=` chooses them and `POLICY_PAIRS=` how many pairs of a file and a query are compared.

#[path = "../common/mutate.rs"]
#[allow(dead_code, reason = "the dice alone are used here")]
mod mutate;
#[path = "../common/skip.rs"]
mod skip;

mod guest;
mod made;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use as112d::policy::facts::{Facts, Tags};
use as112d::policy::phase::Phase;
use as112d::policy::{Action, Hit, Policy, reference};
use serde_json::{Value, json};

use made::{COLO, FILE, LISTENERS, NODE, Of, Query, UPSTREAMS, compile, damaged, file};
use mutate::Dice;

/// Queries for each file.
const QUERIES: usize = 100;

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

/// The other evaluator, running.
struct Other {
    python: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Other {
    /// `None` where there is no Python.
    fn start() -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy/evaluate.py");
        let command =
            Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let Ok(mut python) = command else {
            skip::skipped("python3 is not installed");
            return None;
        };
        let input = python.stdin.take().expect("it is piped");
        let output = BufReader::new(python.stdout.take().expect("it is piped"));
        Some(Self { python, input, output })
    }

    fn ask(&mut self, document: &Value) -> Value {
        writeln!(self.input, "{document}").expect("it reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it writes");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?} to {document}"))
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.python.kill();
        let _ = self.python.wait();
    }
}

fn document(text: &str, colo: &str, queries: &[Query]) -> Value {
    json!({
        "text": text,
        "world": {"colo": colo, "node": NODE, "listeners": LISTENERS, "upstreams": UPSTREAMS},
        "queries": queries.iter().map(Query::told).collect::<Vec<_>>(),
    })
}

/// The tags that rules set, by their bits.
fn tag_names(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut names: Vec<String> = Vec::new();
    for pair in words.windows(2) {
        if pair[0] == "tag" && pair[1] != "=" && pair[1] != "!=" && !["in", "not"].contains(&pair[1]) {
            let name = pair[1].to_owned();
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// What the node says of a query, in the form of the other.
fn said(policy: &Policy, tags: &[String], query: &Query) -> Value {
    let known = |name: &String| query.tags.contains(name);
    let bits =
        tags.iter().enumerate().filter(|(_, name)| known(name)).fold(0, |bits, (bit, _)| bits | 1 << bit);
    let facts = Facts { tags: Tags(bits), ..query.facts() };
    let mut hits = Vec::new();
    let decision = policy.decide(query.phase, &facts, &mut |hit: Hit| hits.push((hit.rule, hit.is_dry_run)));
    let (explained, lines) = policy.explained(query.phase, &facts);
    assert_eq!(explained, decision, "{lines:#?}");
    let matched = lines.iter().filter(|line| !line.ends_with(": no")).count();
    assert_eq!(matched, hits.len(), "{lines:#?}");
    // Nothing of a later phase is missed by what a shard asks of it.
    if query.phase != Phase::Route && !hits.is_empty() {
        assert!(policy.may_concern(&facts), "{:?} {hits:?}", query.phase);
        assert!(!policy.is_free(facts.listener));
    }
    if policy.is_free(facts.listener) {
        assert!(hits.is_empty(), "a listener that is free has no rules: {hits:?}");
    }
    let is_set = |(bit, _): &(usize, &String)| decision.tags.0 >> bit & 1 == 1;
    let mut set: Vec<&String> = tags.iter().enumerate().filter(is_set).map(|(_, name)| name).collect();
    set.sort();
    json!({
        "taken": decision.taken.map(|(rule, _)| rule),
        "divert": decision.divert.map(|(rule, _)| rule),
        "no_store": decision.no_store,
        "traced": decision.is_traced,
        "tags": set,
        "hits": hits,
    })
}

fn action_name(action: Action) -> &'static str {
    match action {
        Action::Native => "native",
        Action::Answer(_) => "answer",
        Action::Drop => "drop",
        Action::Truncate => "truncate",
        Action::Forward(_) => "forward",
        Action::Resolve => "resolve",
        Action::App(_) => "app",
        Action::CacheOnly => "cache-only",
        Action::Retry(_) => "retry",
        Action::Pass => "pass",
        Action::NoStore => "no-store",
        Action::Divert(_) => "divert",
        Action::Tag(_) => "tag",
    }
}

#[test]
fn another_evaluator_decides_the_same() {
    let Some(mut other) = Other::start() else { return };
    let (seed, pairs) = (number("SEED", 112), number("POLICY_PAIRS", 10_000));
    let (mut taken, mut hits) = (0, 0);
    for at in 0..pairs.div_ceil(QUERIES) {
        let mut dice = Dice::new(seed as u64 ^ (at as u64) << 20);
        let text = file(&mut dice, Of::Node);
        let colo = if dice.once_in(4) { "elsewhere" } else { COLO };
        let policy = compile(&text, colo).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
        let tags = tag_names(&text);
        let queries: Vec<Query> = (0..QUERIES).map(|_| Query::new(&mut dice, &tags)).collect();
        let answer = other.ask(&document(&text, colo, &queries));
        let known = |key: &str| answer[key].as_array().unwrap_or_else(|| panic!("{answer}\n{text}")).clone();
        let (names, phases, actions) = (known("names"), known("phases"), known("actions"));
        assert_eq!(policy.rules().len(), names.len(), "{text}");
        for (rule, ((name, phases), action)) in
            policy.rules().iter().zip(names.iter().zip(&phases).zip(&actions))
        {
            assert_eq!(
                (&*rule.name, rule.phase.name()),
                (name.as_str().unwrap(), phases[0].as_str().unwrap())
            );
            let action = if action == "refuse" { "answer" } else { action.as_str().unwrap() };
            assert_eq!(action_name(rule.action), action, "{name}");
        }
        for (query, decision) in queries.iter().zip(known("decisions")) {
            let ours = said(&policy, &tags, query);
            assert_eq!(ours, decision, "SEED={seed}, file {at}\n{query:?}\n{text}");
            taken += usize::from(!ours["taken"].is_null());
            hits += ours["hits"].as_array().map_or(0, Vec::len);
        }
    }
    assert!(taken * 10 > pairs && taken * 10 < pairs * 9, "{taken} of {pairs} were taken: files try both");
    assert!(hits > pairs / 4, "{hits} hits");
}

#[test]
fn no_damaged_file_is_taken_that_another_reader_refuses() {
    let Some(mut other) = Other::start() else { return };
    let (seed, files) = (number("SEED", 112), number("POLICY_PAIRS", 10_000) / 5);
    let mut taken = 0;
    for at in 0..files {
        let mut dice = Dice::new(!(seed as u64) ^ (at as u64) << 20);
        let text = damaged(&mut dice);
        let answer = other.ask(&document(&text, COLO, &[]));
        match compile(&text, COLO) {
            Ok(_) => {
                assert!(answer["refused"].is_null(), "SEED={seed}, file {at}: {answer}\n{text}");
                taken += 1;
            }
            Err(problems) => {
                assert!(!answer["refused"].is_null(), "SEED={seed}, file {at}: {problems:#?}\n{text}");
                problems.iter().for_each(|problem| assert_placed(problem, &text));
            }
        }
    }
    assert!((files / 50..files - files / 50).contains(&taken), "{taken} of {files} were taken");
}

/// A problem names the file, and a line and column that it has.
fn assert_placed(problem: &str, text: &str) {
    let rest = problem.strip_prefix(FILE).and_then(|rest| rest.strip_prefix(':'));
    let place = rest.unwrap_or_else(|| panic!("no place: {problem}")).split(": ").next().unwrap_or_default();
    let (line, column) = place.split_once(':').unwrap_or_else(|| panic!("no column: {problem}"));
    let (line, column): (usize, usize) = (line.parse().expect("a line"), column.parse().expect("a column"));
    let there = text.split('\n').nth(line - 1).unwrap_or_else(|| panic!("no such line: {problem}\n{text}"));
    assert!((1..=there.chars().count() + 1).contains(&column), "no such column: {problem}\n{text}");
}

#[test]
fn the_examples_of_the_reference_are_rules() {
    let text = reference();
    let examples: Vec<&str> =
        text.split("```rules\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
    assert!(examples.len() >= 5, "there are examples");
    for example in &examples {
        let policy = compile(example, COLO).unwrap_or_else(|problems| panic!("{problems:#?}\n{example}"));
        assert!(policy.folded().is_empty() && !policy.rules().is_empty(), "{example}");
    }
    compile(&examples.concat(), COLO).expect("together too");
}
