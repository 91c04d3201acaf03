//! The history of the counters, when the program is killed, starts again, or finds no room on the disk.

mod common;
#[path = "common/mutate.rs"]
#[allow(dead_code, reason = "its dice alone are needed")]
mod mutate;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use as112d::board::Status;
use as112d::board::announcers::Announcers;
use as112d::board::host::Host;
use as112d::board::observed::Observed;
use as112d::board::process::Process;
use as112d::board::resolver::Resolver;
use as112d::board::{Block, Board, Facts, Life, Named, Reloads};
use as112d::history::fault::{Cause, Fault};
use as112d::history::uniques::UniquesOfDays;
use as112d::history::{FILE, History, Kept};
use as112d::log::Log;
use as112d::stats::counters::{Counters, QUERIES, QUERIES_BY_TYPE, SHARD_RECEIVED};
use as112d::stats::labels::Names;
use as112d::sys::confine::Confined;
use common::daemon::{Daemon, PATIENCE, V4};
use common::query;
use common::skip::skipped;
use mutate::Dice;
use rusqlite::Connection;

/// Tells a test that it runs as a child of another, and where the history is to be.
const CHILD: &str = "AS112D_TEST_HISTORY_DIR";
/// What the child counts in a minute.
const A_MINUTES_WORTH: u32 = 1000;

/// A board of one shard, which goes on from what is stored in `dir`, with its history.
fn open(dir: &Path, now: u64) -> (History, Board) {
    let began = Instant::now();
    let (history, mut bases) = loop {
        match History::open(dir, &Names::default(), 1, now) {
            // A test beside this one starts a process, which has all that is open here until it begins.
            Err(Fault { cause: Cause::Taken(_), .. }) if began.elapsed() < PATIENCE => {
                std::thread::yield_now();
            }
            opened => break opened.expect("a history"),
        }
    };
    let block = |base| Block {
        cpu: None,
        numa_node: None,
        counters: vec![Arc::new(Counters::default())],
        base: ArcSwap::from_pointee(base),
    };
    let facts = Facts {
        sample_every: 64,
        version: "0",
        datapath: String::new(),
        reason: String::new(),
        xdp: Vec::new(),
        started: SystemTime::now(),
        since: Instant::now(),
    };
    let board = Board {
        log: Log::silent(),
        query_log: None,
        dnstap: None,
        facts,
        named: ArcSwap::from_pointee(Named {
            node: "n".to_owned(),
            site: "s".to_owned(),
            location: None,
            unique_ip: Vec::new(),
            further: Vec::new(),
            prefixes: Vec::new(),
            counted: Names::default(),
        }),
        shards: vec![block(bases.shards.remove(0))],
        tcp: block(bases.tcp),
        xdp: block(bases.xdp),
        workers: Block::of_workers(Vec::new(), bases.workers),
        gauges: Vec::new(),
        resolver: Resolver::default(),
        past: ArcSwap::from_pointee(bases.past),
        history: Status::new(String::new()),
        exports: Vec::new(),
        observed: Observed::new(2),
        host: Host::open(),
        process: Process::open(),
        confined: Confined::default(),
        life: Life::default(),
        announcers: Announcers::default(),
        pops: ArcSwap::default(),
        tailor: Default::default(),
        reloads: Reloads::default(),
        maps: Reloads::default(),
    };
    (history, board)
}

fn count(board: &Board, queries: u32) {
    let counters = &board.shards[0].counters[0];
    counters.add(QUERIES.at([0, 0, 0]), queries);
    counters.add(QUERIES_BY_TYPE.at([1]), queries / 2);
    counters.add(QUERIES_BY_TYPE.at([2]), queries - queries / 2);
    counters.add(SHARD_RECEIVED.at([]), queries);
}

fn number(db: &Connection, query: &str) -> u64 {
    db.query_row(query, [], |row| row.get(0)).expect("a number")
}

/// This test alone, in a process of its own, with its history in `dir`.
fn child(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("we run"));
    command.args(["--exact", test, "--nocapture"]).env(CHILD, dir);
    command
}

#[test]
fn killed_while_it_writes_the_file_opens_and_totals_do_not_go_back() {
    if let Some(dir) = std::env::var_os(CHILD) {
        // A minute takes as long as it takes to store it.
        let mut now = 1_700_000_000;
        let (mut history, board) = open(dir.as_ref(), now);
        println!("stored {}", board.read().total.sum(QUERIES));
        loop {
            count(&board, A_MINUTES_WORTH);
            now += 60;
            history.store(&board, &[], &UniquesOfDays::default(), now).expect("there is room");
            println!("stored {}", board.read().total.sum(QUERIES));
        }
    }
    let folder = common::folder();
    let test = "killed_while_it_writes_the_file_opens_and_totals_do_not_go_back";
    let mut dice = dice();
    let (mut least, mut within) = (0, 0);
    for _ in 0..KILLS {
        let mut writer = child(test, folder.path()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(writer.stdout.take().expect("it is piped")).lines();
        let mut stored = lines.by_ref().map_while(Result::ok).filter_map(|line| {
            line.rsplit_once("stored ").map(|(_, total)| total.parse::<u64>().expect("a number"))
        });
        // After some stores, or while it still opens the file; and then at any moment of the next store.
        let seen = match dice.below(20) {
            0..4 => None,
            stores => Some(stored.by_ref().nth(stores).expect("it writes")),
        };
        pause(Duration::from_micros(dice.below(if seen.is_some() { 2_000 } else { 30_000 }) as u64));
        writer.kill().expect("it runs");
        writer.wait().expect("it ends");
        // It may have stored more until the kill came.
        let last = stored.last().or(seen).unwrap_or(least);
        assert!(last >= seen.unwrap_or(last) && last >= least, "it goes on from {least}");

        let (_, board) = open(folder.path(), 1_700_000_000);
        let total = board.read().total;
        least = total.sum(QUERIES);
        assert!((last..=last + u64::from(A_MINUTES_WORTH)).contains(&least), "{least}, it said {last}");
        within += u32::from(least > last);
        assert_eq!((total.sum(QUERIES_BY_TYPE), total.sum(SHARD_RECEIVED)), (least, least));
        assert_sound(&folder.path().join(FILE), least);
    }
    println!("report: history_kills {KILLS}, of these between a store and the news of it {within}");
    assert!(least > u64::from(A_MINUTES_WORTH) * 100, "it did store in between: {least}");
}

/// How often the writer is killed.
const KILLS: u32 = 50;

/// The file is whole, and its rows are those of so many queries.
fn assert_sound(file: &Path, queries: u64) {
    let db = Connection::open(file).expect("it opens");
    let check: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("an answer");
    assert_eq!(check, "ok");
    for family in [QUERIES, QUERIES_BY_TYPE] {
        let query = format!("SELECT coalesce(sum(count), 0) FROM history WHERE family = '{}'", family.name);
        assert_eq!(number(&db, &query), queries, "{}", family.name);
    }
}

#[expect(clippy::disallowed_methods, reason = "any moment is meant")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Moments that `SEED=` chooses.
fn dice() -> Dice {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(112);
    println!("SEED={seed}");
    Dice::new(seed)
}

#[test]
fn a_full_disk_costs_nothing_but_time() {
    if let Some(dir) = std::env::var_os(CHILD) {
        let dir: &Path = dir.as_ref();
        let mut now = 1_700_000_000;
        let (mut history, board) = open(dir, now);
        let ballast = dir.join("ballast");
        // Each minute has what was counted in it, whether or not it had to wait.
        let mut expected = BTreeMap::new();
        let mut minute = |queries| {
            count(&board, queries);
            expected.insert(now - now % 60, u64::from(queries));
            now += 60;
            history.store(&board, &[], &UniquesOfDays::default(), now).expect("there is memory")
        };
        assert_eq!(minute(10), Kept::Stored);
        let mut file = fs::File::create(&ballast).expect("there is room");
        while file.write_all(&[0; 512]).is_ok() {}
        let failed = (0..2000).filter(|_| minute(1) != Kept::Stored).count();
        assert!(failed > 0, "the disk is full");
        assert_eq!(board.read().total.sum(QUERIES), 2010, "counting does not end with it");
        drop(file);
        fs::remove_file(&ballast).expect("it is there");
        assert_eq!(minute(5), Kept::Stored, "there is room again");
        drop(history);
        let (_, board) = open(dir, now);
        assert_eq!(board.read().total.sum(QUERIES), 2015);
        let db = Connection::open(dir.join(FILE)).expect("it opens");
        let query = "SELECT start, sum(count) FROM history WHERE family = 'as112_queries_total' GROUP BY 1";
        let mut query = db.prepare(query).expect("the view is there");
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        let found: BTreeMap<u64, u64> = rows.map(|row| row.expect("two numbers")).collect();
        assert_eq!(found, expected);
        assert_eq!(found.values().sum::<u64>(), 2015);
        println!("it was full for {failed} minutes");
        return;
    }
    let folder = common::folder();
    let is_root = fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    let unshared = Command::new("unshare").args(["--mount", "true"]).status();
    if !is_root || !unshared.is_ok_and(|status| status.success()) {
        skipped("a disk of one's own takes root and unshare");
        return;
    }
    let child = child("a_full_disk_costs_nothing_but_time", folder.path());
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", "mount -t tmpfs -o size=8m none \"$0\" && exec \"$@\""])
        .args([folder.path().as_os_str(), child.get_program()])
        .args(child.get_args())
        .env(CHILD, folder.path())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("it was full for"), "{said}{complaint}");
}

//------------ The daemon ---

/// A daemon whose configuration has this `[history] dir`, and where it serves HTTP.
fn start(config: &Path, dir: &str) -> (Daemon, SocketAddr) {
    fs::write(config, format!("[history]\ndir = '{dir}'\n")).expect("there is room");
    let config = config.display().to_string();
    let daemon = Daemon::start(&["--config", &config, "--http", "127.0.0.1:0"]);
    let address = daemon.http();
    (daemon, address)
}

fn get(http: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(http).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// The same, of the whole life of the node.
fn queries_of_life(http: SocketAddr) -> u64 {
    let text = get(http, "/stats.json");
    let (_, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let stats: serde_json::Value = serde_json::from_str(body).expect("JSON");
    stats.pointer("/counters/queries/direct/udp/ipv4").and_then(serde_json::Value::as_u64).expect("a number")
}

/// The queries over UDP and IPv4 for the direct zones, as /metrics has them.
fn queries(http: SocketAddr) -> u64 {
    let series = "as112_queries_total{service=\"direct\",transport=\"udp\",family=\"ipv4\"} ";
    let metrics = get(http, "/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)).expect("the series is there");
    line.parse().expect("a number")
}

#[test]
fn totals_survive_a_restart() {
    let folder = common::folder();
    let config = folder.path().join("as112d.toml");
    let ask = |daemon: &Daemon| daemon.ask_udp(V4, &query("1.1.168.192.in-addr.arpa", 12));
    for run in 0..3 {
        let (daemon, http) = start(&config, "past");
        let place = folder.path().join("past").join(FILE);
        assert!(daemon.announcement.contains(&format!("history: {}", place.display())));
        assert_eq!(queries(http), run * 5, "before the first query of run {run}");
        (0..5).for_each(|_| drop(ask(&daemon)));
        let (status, _) = daemon.stop();
        assert!(status.success());
        let db = Connection::open(place).expect("it opens");
        let query = "SELECT sum(count) FROM history WHERE family = 'as112_queries_total'";
        assert_eq!(number(&db, query), (run + 1) * 5);
    }
}

#[test]
fn a_killed_daemon_loses_no_more_than_was_not_stored() {
    let folder = common::folder();
    let config = folder.path().join("as112d.toml");
    let file = folder.path().join("past").join(FILE);
    let asked = query("1.1.168.192.in-addr.arpa", 12);
    let ask = |daemon: &Daemon, times| (0..times).for_each(|_| drop(daemon.ask_udp(V4, &asked)));
    let (daemon, _) = start(&config, "past");
    ask(&daemon, 100);
    assert!(daemon.stop().0.success());
    let (mut stored, mut is_first) = (100, true);
    let mut dice = dice();
    for _ in 0..10 {
        let (daemon, http) = start(&config, "past");
        let found = queries_of_life(http);
        assert!((stored..=stored + 20).contains(&found), "{found} after {stored}");
        // A counter goes on from where it was, or begins at 0.
        assert_eq!(queries(http), if is_first { 100 } else { 0 });
        (stored, is_first) = (found, false);
        ask(&daemon, dice.below(21));
        daemon.signal(libc::SIGKILL);
        assert_eq!(daemon.wait().0.code(), None, "it was killed");
    }
    // What the last one counted may have been stored as the minute ended.
    let (daemon, _) = start(&config, "past");
    assert!(daemon.stop().0.success());
    let db = Connection::open(&file).expect("it opens");
    let query = format!("SELECT sum(count) FROM history WHERE family = '{}'", QUERIES.name);
    let found = number(&db, &query);
    assert!((stored..=stored + 20).contains(&found), "{found} after {stored}");
    assert_sound(&file, found);
}

/// The counters of a scrape, by series.
fn counters(http: SocketAddr) -> BTreeMap<String, String> {
    let text = get(http, "/metrics");
    let lines = text.lines().filter(|line| line.starts_with("as112_"));
    let samples = lines.filter_map(|line| line.rsplit_once(' '));
    let is_counter = |series: &str| series.split('{').next().is_some_and(|name| name.ends_with("_total"));
    samples
        .filter(|(series, _)| is_counter(series))
        .map(|(series, value)| (series.to_owned(), value.to_owned()))
        .collect()
}

/// A test for promtool: whether any counter ever rises by more than 1,000 in a second, where each has these
/// values a quarter of a minute apart.
fn rates(scrapes: &[BTreeMap<String, String>]) -> String {
    let all: BTreeSet<&String> = scrapes.iter().flat_map(BTreeMap::keys).collect();
    let mut text = "evaluation_interval: 15s\ntests:\n  - interval: 15s\n    input_series:\n".to_owned();
    for series in &all {
        let values: Vec<&str> =
            scrapes.iter().map(|scrape| scrape.get(*series).map_or("_", String::as_str)).collect();
        writeln!(
            text,
            "      - series: '{}'\n        values: {}",
            series.replace('\'', "''"),
            values.join(" ")
        )
        .expect("text");
    }
    text.push_str("    promql_expr_test:\n");
    let names: BTreeSet<&str> = all.iter().filter_map(|series| series.split('{').next()).collect();
    for name in names {
        for at in 1..scrapes.len() {
            writeln!(
                text,
                "      - expr: count(rate({name}[5m]) > 1000) or vector(0)\n        eval_time: {}s\n        \
                 exp_samples: [{{value: 0}}]",
                at * 15
            )
            .expect("text");
        }
    }
    text
}

fn promtool(rates: &str) -> bool {
    let folder = common::folder();
    let file = folder.path().join("rates.yml");
    fs::write(&file, rates).expect("there is room");
    let output = Command::new("promtool").args(["test", "rules"]).arg(&file).output().expect("it runs");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // It has read the file, whatever it makes of the numbers.
    assert!(output.status.success() || said.contains("got:"), "{said}");
    output.status.success()
}

#[test]
fn a_kill_is_no_spike_to_prometheus() {
    if Command::new("promtool").arg("--version").output().is_err() {
        return skipped("promtool is missing (Debian package prometheus)");
    }
    let folder = common::folder();
    let config = folder.path().join("as112d.toml");
    let asked = query("1.1.168.192.in-addr.arpa", 12);
    let ask = |daemon: &Daemon| (0..20).for_each(|_| drop(daemon.ask_udp(V4, &asked)));
    let (daemon, _) = start(&config, "past");
    ask(&daemon);
    assert!(daemon.stop().0.success());
    // A node that has lived for long.
    let db = Connection::open(folder.path().join("past").join(FILE)).expect("it opens");
    db.execute("UPDATE totals SET total = total + 1000000000000", []).expect("it is ours");
    drop(db);
    let mut scrapes = Vec::new();
    for kill in [true, true, false, false] {
        let (daemon, http) = start(&config, "past");
        scrapes.push(counters(http));
        ask(&daemon);
        scrapes.push(counters(http));
        if kill {
            daemon.signal(libc::SIGKILL);
            daemon.wait();
        } else {
            assert!(daemon.stop().0.success());
        }
    }
    let queries = "as112_queries_total{service=\"direct\",transport=\"udp\",family=\"ipv4\"}";
    let seen: Vec<&str> = scrapes.iter().map(|scrape| scrape[queries].as_str()).collect();
    assert_eq!(
        seen,
        ["1000000000020", "1000000000040", "0", "20", "0", "20", "20", "40"],
        "exactly on after an end in order, at 0 after a kill"
    );
    assert!(promtool(&rates(&scrapes)), "a counter rises by more than it has counted");
    // What a counter that goes on from less looks like.
    let less = [("1000000000040"), ("1000000000020")]
        .map(|value| BTreeMap::from([(queries.to_owned(), value.to_owned())]));
    assert!(!promtool(&rates(&less)), "it would be seen");
}

#[test]
fn a_directory_has_one_node_also_over_an_upgrade() {
    let folder = common::folder();
    let config = folder.path().join("as112d.toml");
    let control = folder.path().join("control").display().to_string();
    fs::write(&config, "[history]\ndir = 'past'\n").expect("there is room");
    let path = config.display().to_string();
    let first = Daemon::start(&["--config", &path, "--control", &control]);
    let place = folder.path().join("past").join(FILE).display().to_string();
    assert!(first.announcement.contains(&format!("history: {place}")));
    let second = |owner: u32| {
        let second = Daemon::start(&["--config", &path, "--http", "127.0.0.1:0"]);
        let said = second.announcement.join("\n");
        assert!(
            said.contains(&format!(": process {owner} uses it; give each node a directory of its own")),
            "{said}"
        );
        assert!(get(second.http(), "/metrics").contains("\nas112_history_in_memory 1\n"));
        drop(second.ask_udp(V4, &query("1.1.168.192.in-addr.arpa", 12)));
        assert!(second.stop().0.success());
    };
    second(first.id());
    let check = Command::new(common::daemon::program()).args(["check", "--config", &path]).output();
    let said = String::from_utf8(check.expect("it runs").stdout).expect("text");
    assert!(said.contains(&format!("in use by process {}", first.id())), "{said}");

    let order = |words: &[&str]| {
        let mut command = Command::new(common::daemon::program());
        let output = command.args(words).args(["--control", &control]).output().expect("it runs");
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    order(&["upgrade"]);
    let status: serde_json::Value = serde_json::from_str(&order(&["status", "--json"])).expect("JSON");
    let successor = u32::try_from(status["pid"].as_u64().expect("a number")).expect("a process");
    assert_ne!(successor, first.id());
    assert_eq!(status["history"], place.as_str());
    second(successor);
    order(&["shutdown"]);
    first.end_family();
    // What is free again is had.
    let third = Daemon::start(&["--config", &path]);
    assert!(third.announcement.contains(&format!("history: {place}")), "{:?}", third.announcement);
}

#[test]
fn without_a_folder_to_write_in_the_history_is_in_memory() {
    let folder = common::folder();
    let config = folder.path().join("as112d.toml");
    let (daemon, http) = start(&config, "/proc");
    let said = daemon.announcement.join("\n");
    let told = "\nhistory: in memory until its directory can be used\nerror: history: /proc: ";
    assert!(said.contains(told), "{said}");
    let advice = "; give a directory that this node can write to with [history] dir; retrying every minute\n";
    assert!(said.contains(advice), "{said}");
    let reply = daemon.ask_udp(V4, &query("1.1.168.192.in-addr.arpa", 12));
    assert_eq!(reply[3] & 0xF, 3);
    assert_eq!(queries(http), 1);
    let stats = get(http, "/stats.json");
    assert!(stats.contains("\"place\": \"in memory\""), "{stats}");
    let metrics = get(http, "/metrics");
    assert!(metrics.contains("\nas112_history_errors_total 1\n"), "{metrics}");
    assert!(metrics.contains("\nas112_history_in_memory 1\n"), "{metrics}");
    assert!(daemon.stop().0.success());
}
