//! Rules of a running node: read again, listed, explained; and what of them a process cannot do as it was
//! started.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use common::daemon::{Configured, Daemon, V4, get, program, wait_until};
use common::{query, with_opt};
use serde_json::Value;

const A: u16 = 1;
const NXDOMAIN: u8 = 3;
const NOTIMP: u8 = 4;
const REFUSED: u8 = 5;

/// A node with a directory of rules.
struct Node {
    configured: Configured,
    daemon: Daemon,
}

impl Node {
    /// With these sections, and these files of rules.
    fn start(sections: &str, rules: &[(&str, &str)]) -> Self {
        let configured = Configured::new(&format!("[control]\npath = 'control'\n{sections}"));
        fs::create_dir(configured.path("rules.d")).expect("there is room");
        rules.iter().for_each(|(name, text)| write(&configured, name, text));
        let control = configured.path("control").display().to_string();
        let arguments = ["--config", &configured.config, "--http", "127.0.0.1:0", "--control", &control];
        let daemon = Daemon::start(&arguments);
        Self { configured, daemon }
    }

    /// Puts a file of rules in the place of the one that was there, whole.
    fn write(&self, name: &str, text: &str) {
        write(&self.configured, name, text);
    }

    /// Runs a command that speaks to the node.
    fn run(&self, line: &str) -> Output {
        let control = self.configured.path("control");
        let mut command = Command::new(program());
        command.args(line.split(' ')).arg("--control").arg(control).output().expect("it runs")
    }

    /// What a command prints that has to go well.
    fn told(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("it is text")
    }

    /// Why a command fails.
    fn refused(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).expect("it is text")
    }

    /// The response code for a name.
    fn rcode(&self, name: &str) -> u8 {
        self.daemon.ask_udp(V4, &query(name, A))[3] & 0xF
    }

    /// A rule as `rules list` has it.
    fn rule(&self, name: &str) -> Value {
        let listed: Value = serde_json::from_str(&self.told("rules list --json")).expect("it is JSON");
        let rules = listed["rules"].as_array().expect("a list").clone();
        rules.into_iter().find(|rule| rule["name"] == name).unwrap_or_else(|| panic!("{name}: {listed}"))
    }
}

fn write(configured: &Configured, name: &str, text: &str) {
    let unfinished = configured.path("unfinished");
    fs::write(&unfinished, text).expect("there is room");
    fs::rename(unfinished, configured.path("rules.d").join(name)).expect("renamed");
}

fn run(line: &str, configured: &Configured) -> (Option<i32>, String, String) {
    let output =
        Command::new(program()).args(line.split(' ')).args(["--config", &configured.config]).output();
    let output = output.expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("it is text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn rules_that_are_read_again_are_in_force_or_nothing_changes() {
    let node = Node::start("", &[("10-first.rules", "first: qname = a.example answer NOTIMP\n")]);
    assert_eq!((node.rcode("a.example"), node.rcode("b.example")), (NOTIMP, REFUSED));
    // All that is wrong in any file is told, and what is right beside it is not in effect.
    node.write("10-first.rules", "first: qname = a.example answer NXDOMAIN\n");
    node.write("20-second.rules", "\nqnam = b.example drop\nqname = c.example forward\n");
    let told = node.refused("reload");
    let path = node.configured.path("rules.d/20-second.rules").display().to_string();
    assert!(told.contains(&format!("{path}:2:1: ")) && told.contains("did you mean `qname`?"), "{told}");
    assert!(told.contains(&format!("{path}:4:1: the rule is not whole")), "{told}");
    assert_eq!(node.rcode("a.example"), NOTIMP);
    assert!(node.told("status").contains("running an old configuration since"));
    // One that is half written is no other.
    node.write("20-second.rules", "qname = b.example ans");
    assert!(node.refused("reload").contains("20-second.rules:1:19: "));
    node.write("20-second.rules", "qname = b.example answer NXDOMAIN");
    node.told("reload");
    assert_eq!((node.rcode("a.example"), node.rcode("b.example")), (NXDOMAIN, NXDOMAIN));
    // The order of files is that of their names, and their end is that of their rules.
    node.write("00-before.rules", "qname = a.example answer NOTIMP");
    node.told("reload");
    assert_eq!(node.rcode("a.example"), NOTIMP);
    fs::remove_file(node.configured.path("rules.d/00-before.rules")).expect("it is there");
    node.told("reload");
    assert_eq!(node.rcode("a.example"), NXDOMAIN);
    assert!(node.daemon.stop().0.success());
}

#[test]
fn a_rule_keeps_its_counter_by_its_name_wherever_it_moves() {
    let two = "b: qname = b.example refuse\na: qname = a.example refuse\n";
    let node = Node::start("", &[("10.rules", two)]);
    (0..3).for_each(|_| assert_eq!(node.rcode("a.example"), 5));
    node.rcode("b.example");
    // Counts are put together once per batch, after its replies.
    wait_until("they are counted", || node.rule("a")["hits"] == 3 && node.rule("b")["hits"] == 1);
    node.write("10.rules", "a: qname = a.example refuse dry-run\n");
    node.write("20.rules", "c: qname = c.example answer NOTIMP\n");
    node.told("reload");
    assert_eq!(node.rule("a")["state"], "dry-run");
    (0..2).for_each(|_| assert_eq!(node.rcode("a.example"), 5));
    node.rcode("c.example");
    wait_until("they are counted", || node.rule("a")["would"] == 2 && node.rule("c")["hits"] == 1);
    assert_eq!(node.rule("a")["hits"], 3, "what it counted before it stayed");
    let metrics = get(node.daemon.http(), "/metrics");
    for line in ["as112_rule_hits_total{rule=\"a\"} 3", "as112_rule_would_total{rule=\"a\"} 2"] {
        assert!(metrics.contains(&format!("{line}\n")), "{line}\n{metrics}");
    }
    let table = node.told("rules list");
    let row = |name: &str| {
        let row = table.lines().find(|line| line.split_whitespace().next() == Some(name));
        row.unwrap_or_else(|| panic!("{table}")).split_whitespace().take(5).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        (row("a"), row("rule")),
        ("a route dry-run 3 2".to_owned(), "rule phase state hits would".to_owned())
    );
    assert!(node.daemon.stop().0.success());
}

/// What no process can have that was started without it is refused, and nothing of the rest is in effect.
#[test]
fn rules_that_need_a_worker_where_there_is_none_wait_for_a_restart() {
    let node = Node::start("", &[("10.rules", "qname = a.example answer NOTIMP\n")]);
    node.write(
        "10.rules",
        "qname = a.example answer NXDOMAIN\n\
         qname = b.example and src in { 127.0.0.0/8 } forward 127.0.0.1:9\n",
    );
    let told = node.refused("reload");
    assert!(
        told.contains(
            "a rule, a route or an application needs a worker, and this process was started without"
        ),
        "{told}"
    );
    assert_eq!((node.rcode("a.example"), node.rcode("b.example")), (NOTIMP, REFUSED));
    let told = node.refused("cache show example.com");
    assert!(told.contains("no worker"), "{told}");
    assert!(node.daemon.stop().0.success());
    // The configuration itself can be right and want none.
    let none = Configured::new("[platform]\nworkers = 0\nrules = 'r'\n");
    fs::create_dir(none.path("r")).expect("there is room");
    fs::write(none.path("r/a.rules"), "src in { 127.0.0.0/8 } forward 127.0.0.1:9").expect("there is room");
    let (code, _, err) = run("check", &none);
    assert!(code == Some(1) && err.contains("[platform] workers is 0"), "{err}");
}

#[test]
fn a_port_that_the_process_may_not_connect_to_waits_for_a_restart() {
    let forward = |port: u16| {
        format!("src in {{ 127.0.0.0/8 }} and qname-suffix in {{ a.example }} forward 127.0.0.1:{port}\n")
    };
    let node = Node::start("", &[("10.rules", &forward(5399))]);
    let status: Value = serde_json::from_str(&node.told("status --json")).expect("it is JSON");
    assert_eq!((&status["workers"], &status["rules"]), (&1.into(), &1.into()));
    // Usual ports are there for all.
    node.write("10.rules", &forward(853));
    node.told("reload");
    node.write("10.rules", &forward(5398));
    let reloaded = node.run("reload");
    if reloaded.status.success() {
        eprintln!("skipped: landlock does not limit ports here");
        return;
    }
    let told = String::from_utf8_lossy(&reloaded.stderr).into_owned();
    assert!(told.contains("a server on port 5398, which this process may not connect to"), "{told}");
    assert!(node.daemon.stop().0.success());
}

const STORY: &str = "\
blocked: qname-suffix in { bad.example } refuse
elsewhere: colo = test9 and qname-suffix in { x.example } drop
test: phase = post-cache and qtype in { PTR } and colo in { test1 test2 }
  and qname-suffix in { 10.in-addr.arpa } forward 127.0.0.1:9
";

/// A rule that cannot be true in one of its phases is asked in the others.
#[test]
fn a_rule_is_folded_if_it_is_asked_in_no_phase() {
    let rules = "both: phase in { request reply } and (phase = reply or colo = elsewhere) pass\n\
                 none: phase in { request reply } and colo = elsewhere pass\n\
                 dry: phase in { request reply } and (phase = reply or colo = elsewhere) drop dry-run\n";
    let node = Node::start("[platform]\ncolo = 'test1'\n", &[("10.rules", rules)]);
    let listed: Value = serde_json::from_str(&node.told("rules list --json")).expect("it is JSON");
    let states = listed["rules"].as_array().expect("a list").iter();
    let states: Vec<[&str; 2]> =
        states.map(|rule| ["name", "state"].map(|key| rule[key].as_str().expect("a word"))).collect();
    assert_eq!(states, [["both", "in effect"], ["none", "folded"], ["dry", "dry-run"]], "{listed}");
    assert!(listed["folded"].to_string().contains("both"), "where it is not asked is told: {listed}");
    assert!(node.daemon.stop().0.success());
}

/// What others would say is supposed, and may be something else.
fn what_others_say_is_supposed(configured: &Configured) {
    let printed = |line: &str| run(line, configured).1;
    for (supposed, verdict) in [
        ("--rcode NXDOMAIN", "NXDOMAIN from 127.0.0.1:9, else SERVFAIL, by rule \"test\"\n"),
        (
            "--rcode 127.0.0.1:9=REFUSED --rcode 127.0.0.1:9=YXDOMAIN",
            "YXDOMAIN from 127.0.0.1:9, else SERVFAIL",
        ),
        ("--outcome timeout", "SERVFAIL, 0+0+1 records, 56 bytes, by rule \"test\"\n"),
        ("--outcome refused --cache stale=NXDOMAIN", "NXDOMAIN from the cache, stale, by rule \"test\"\n"),
        ("--cache hit", "NOERROR from the cache\n"),
        ("--cache failure", "SERVFAIL, 0+0+1 records, 56 bytes, by rule \"test\"\n"),
    ] {
        let way = printed(&format!("query 1.2.3.10.in-addr.arpa PTR --why {supposed}"));
        assert!(way.contains(&format!(";; verdict     {verdict}")), "{supposed}: {way}");
    }
    let (code, _, err) = run("query 1.2.3.10.in-addr.arpa PTR --why --rcode lan=2", configured);
    assert!(code == Some(1) && err.contains("no upstream `lan`; those that there are: 127.0.0.1:9"), "{err}");
}

/// The way is told from the same rules whether a node runs or not.
#[test]
fn the_way_of_a_query_is_told_term_by_term_and_the_running_node_says_the_same() {
    let node = Node::start("[platform]\ncolo = 'test1'\n", &[("10.rules", STORY)]);
    let configured = &node.configured;
    let told = |line: &str| {
        let (code, out, err) = run(line, configured);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{line}");
        out
    };
    let address = node.daemon.address(V4);
    let place = |line: u32| format!("{}:{line}:1", configured.path("rules.d/10.rules").display());
    let folded = format!(
        ";; folded      rule \"elsewhere\" ({}), phase route: colo = test9 is false: folded away at load\n",
        place(2)
    );
    // What is asked of the file listens elsewhere.
    let head = |name: &str, qtype: &str| {
        format!(";; {name}. IN {qtype}  from 127.0.0.1 to 127.0.0.1:5300 (listener 0)\n")
    };
    let blocked = format!(
        "{}{folded};; route       rule \"blocked\" ({}): \
         qname-suffix in {{bad.example}} is true: answer REFUSED\n\
         ;; verdict     REFUSED, 0+0+1 records, 42 bytes, by rule \"blocked\"\n",
        head("a.bad.example", "A"),
        place(1)
    );
    assert_eq!(told("query a.bad.example A --why"), blocked);
    let handed = told("query 1.2.3.10.in-addr.arpa PTR --why");
    for line in [
        ";; route       rule \"blocked\"",
        "is false: no\n;; hand-over   rules of later phases may concern it\n",
        ";; cache       supposed: it has nothing\n",
        ";; post-cache  rule \"test\"",
        ";; ask         127.0.0.1:9: 127.0.0.1:9\n",
        ";; upstream    supposed: NOERROR, 10 ms after the query\n",
        ";; cache       the response is stored\n",
        ";; verdict     NOERROR from 127.0.0.1:9, else SERVFAIL, by rule \"test\"\n",
    ] {
        assert!(handed.contains(line), "{line}\n{handed}");
    }
    let native = told("query 1.2.3.10.in-addr.arpa PTR --why --colo test3");
    let of_zone = ";; native      zone 10.in-addr.arpa\n;; verdict     native, NXDOMAIN, AA, 0+1+1 records";
    assert!(native.contains(of_zone) && native.contains("rule \"test\""), "{native}");
    what_others_say_is_supposed(configured);
    // The same from the running node, but for its address.
    let [blocked, handed] = ["query a.bad.example A --why", "query 1.2.3.10.in-addr.arpa PTR --why"];
    let supposed = "--cache 127.0.0.1:9=hit --cache stale=3 --outcome 127.0.0.1:9=bad --rtt 1s --rcode 2";
    for line in [blocked, handed, &format!("{handed} --json"), &format!("{handed} {supposed}")] {
        let live = told(&format!("{line} --live --from 127.0.0.1"));
        assert_eq!(live.replace(&address.to_string(), "127.0.0.1:5300"), told(line), "{line}");
    }
    // Without somebody else to ask for it is asked once.
    let live = told("query a.bad.example A --why --live");
    assert!(live.starts_with(";; a.bad.example.") && live.contains("rcode: REFUSED"), "{live}");
    let elsewhere = run("query a.example A --why --live --to 192.0.2.9", configured);
    assert!(
        elsewhere.0 == Some(1) && elsewhere.2.contains("does not listen on 192.0.2.9:53"),
        "{elsewhere:?}"
    );
    // It is what the node does.
    let (blocked, test) = (node.rcode("a.bad.example"), node.rcode("x.example"));
    assert_eq!((blocked, test), (REFUSED, REFUSED));
    assert!(node.daemon.stop().0.success());
}

/// A line of a batch is what the command line would be.
#[test]
fn the_ways_of_many_queries_are_told_at_once() {
    let configured = Configured::new("[platform]\ncolo = 'test1'\n");
    fs::create_dir(configured.path("rules.d")).expect("there is room");
    write(&configured, "10.rules", STORY);
    let batch = configured.path("batch").display().to_string();
    let lines = [
        "a.bad.example A",
        "1.2.3.10.in-addr.arpa PTR --rcode NXDOMAIN --rd",
        "1.2.3.10.in-addr.arpa PTR --colo test3 --tcp --from 192.0.2.1",
        "-x 10.3.2.1 --cache hit",
        "b.x.example SOA --colo test9",
    ];
    fs::write(&batch, format!("# queries\n\n{}", lines.join("\n"))).expect("written");
    for form in ["", " --json"] {
        let (code, out, err) = run(&format!("query --why --batch {batch}{form}"), &configured);
        assert_eq!((code, err.as_str()), (Some(0), ""));
        let gap = if form.is_empty() { "\n" } else { "" };
        let alone = lines.map(|line| run(&format!("query {line} --why{form}"), &configured).1 + gap);
        assert_eq!(out, alone.concat());
        assert!(form.is_empty() || out.lines().count() == lines.len());
    }
    let (_, out, _) = run(&format!("query {} --why --json", lines[1]), &configured);
    let way: Value = serde_json::from_str(&out).expect("JSON");
    let phase = |name: &str, rule: Value, action: Value, hits: Value| {
        let would: [&str; 0] = [];
        serde_json::json!({ "phase": name, "rule": rule, "action": action, "hits": hits, "would": would })
    };
    let test = phase("post-cache", "test".into(), "forward 127.0.0.1:9".into(), serde_json::json!(["test"]));
    assert_eq!(
        way,
        serde_json::json!({
            "query": "1.2.3.10.in-addr.arpa. IN PTR", "from": "127.0.0.1", "to": "127.0.0.1:5300",
            "transport": "udp",
            "phases": [phase("route", Value::Null, Value::Null, serde_json::json!([])), test],
            "hits": { "test": 1 }, "would": {}, "cache": "miss", "asked": ["127.0.0.1:9"], "copies": [],
            "outcome": "ok", "stored": [null], "source": "upstream", "rule": "test", "rcode": "NXDOMAIN",
            "truncated": false,
        })
    );
    for (line, message) in [
        ("a.example", "the following required arguments were not provided"),
        ("a.example A --cache some", "is not one of hit, stale, failure, miss"),
        ("a.example A --json", "`--json` is for the whole batch: give it on the command line"),
        ("a..b A", "give a name as"),
        ("a.example A --to 192.0.2.9", "does not listen on 192.0.2.9:53"),
    ] {
        fs::write(&batch, format!("a.example A\n{line}\n")).expect("written");
        let (code, out, err) = run(&format!("query --why --batch {batch}"), &configured);
        let place = format!("{batch}:2: ");
        assert!(code == Some(1) && err.starts_with(&place) && err.contains(message), "{line}: {err}");
        assert!(out.contains(";; a.example. IN A"), "what is sound before it is told: {out}");
    }
}

#[test]
fn rules_are_checked_without_a_node() {
    let configured = Configured::new("[platform]\ncolo = 'test1'\n");
    fs::create_dir(configured.path("rules.d")).expect("there is room");
    write(&configured, "10.rules", STORY);
    let (code, out, err) = run("rules check", &configured);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    for line in [
        "rule \"blocked\": phase route, listeners 0-1, 1 name, answer REFUSED, decided on the shard\n",
        "rule \"elsewhere\": phase route, never true here\n",
        "3 rules in effect; they need a worker\n",
    ] {
        assert!(out.replace("listeners 0,", "listeners 0-1,").contains(line), "{line}\n{out}");
    }
    let (code, out, err) = run("check", &configured);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("\nworkers    1 (auto): any CPU\nrule       \"blocked\": phase route, "), "{out}");
    let (_, out, _) = run("run --dry-run", &configured);
    assert!(
        out.contains("\nworkers: 1 (auto): any CPU\nrule: \"blocked\": ") && out.contains(", workers "),
        "{out}"
    );
    // Other files in their place.
    let one = configured.path("one");
    fs::write(&one, "any drop\nqname = a.example refuse tmeout 3s\n").expect("there is room");
    let check = |files: &[&PathBuf]| {
        let mut command = Command::new(program());
        let output = command.args(["rules", "check"]).args(files).output().expect("it runs");
        (output.status.code(), String::from_utf8(output.stderr).expect("it is text"))
    };
    let (code, err) = check(&[&one]);
    let told = format!("{}:2:", one.display());
    assert!(code == Some(1) && err.starts_with(&told) && err.contains("did you mean `timeout`?"), "{err}");
    fs::write(&one, "any drop").expect("there is room");
    assert_eq!(check(&[&one]), (Some(0), String::new()));
    let (code, err) = check(&[&configured.path("absent")]);
    assert!(code == Some(1) && err.contains("absent: cannot be read: No such file"), "{err}");
}

#[test]
fn what_workers_have_is_shown_purged_and_traced() {
    let text = "here: qname-suffix in { a.example } and src in { 127.0.0.0/8 } forward 127.0.0.1:9 log\n\
                there: qname-suffix in { b.example } and src in { 127.0.0.0/8 } forward 127.0.0.1:9\n";
    let sections = "[trace]\nto = 'file:traces.json'\nsample_every = 1048576\n";
    let node = Node::start(sections, &[("10.rules", text)]);
    // Nobody listens there, so the fallback is what it gets.
    let reply = node.daemon.ask_udp(V4, &with_opt(query("x.a.example", A), 1232, &[]));
    assert_eq!(reply[3] & 0xF, 2, "SERVFAIL");
    node.rcode("x.b.example");
    assert!(node.told("cache show a.example --subtree").lines().count() >= 1);
    let told = node.refused("cache purge a..example");
    assert!(told.contains("give a name such as example.com"), "{told}");
    assert!(node.told("cache purge a.example --subtree").contains("entries purged"));
    let traces = || fs::read_to_string(node.configured.path("traces.json")).unwrap_or_default();
    wait_until("it is traced", || traces().contains("x.a.example."));
    let first: Value = serde_json::from_str(traces().lines().next().expect("a line")).expect("it is JSON");
    let trace = &first["trace"];
    assert_eq!(
        (&trace["rule"], &trace["type"], &trace["rcode"]),
        (&"here".into(), &"A".into(), &"SERVFAIL".into())
    );
    assert!(trace["steps"].as_array().is_some_and(|steps| steps.len() > 3), "{trace}");
    let (status, _) = node.daemon.stop();
    assert!(status.success());
    let traces = fs::read_to_string(node.configured.path("traces.json")).expect("it is there");
    assert!(!traces.contains("x.b.example"), "one in many, and none of a rule without `log`: {traces}");
}
