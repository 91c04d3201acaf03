//! Files for other programs: what the daemon writes, and what it says of folders that it cannot write.

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use as112d::history::FILE;
use common::daemon::{Configured, Daemon, PATIENCE, V4, V6, program};
use common::query;
use rusqlite::Connection;

const DAY: u64 = 24 * 3600;

/// A node that exports to folders within its own.
fn node(export: &str) -> Configured {
    Configured::new(&format!("[history]\ndir = 'past'\n[sources]\nsample_every = 1\n[export]\n{export}\n"))
}

fn check(node: &Configured) -> (Option<i32>, String) {
    let output = Command::new(program()).args(["check", "--config", &node.config]).output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn get(daemon: &Daemon, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(daemon.http()).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("a name of ours");
    entries.map(|entry| name(entry.expect("an entry"))).collect()
}

/// Ends a daemon that has seen a whole second: no file is of less.
#[expect(clippy::disallowed_methods, reason = "what is waited for is time itself")]
fn stop(daemon: Daemon) {
    std::thread::sleep(Duration::from_millis(1100));
    assert!(daemon.stop().0.success());
}

/// Counts 3 queries over UDP and 1 over TCP in a run of the daemon, and moves them two days back; the date of
/// that.
fn some_days_ago(node: &Configured) -> String {
    let daemon = node.start();
    let asked = query("1.1.168.192.in-addr.arpa", 12);
    (0..3).for_each(|_| drop(daemon.ask_udp(V4, &asked)));
    assert!(daemon.ask_tcp(V6, &asked).is_some());
    stop(daemon);
    let db = Connection::open(node.path("past").join(FILE)).expect("it opens");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs();
    let day = now - now % DAY - 2 * DAY;
    db.execute("UPDATE counts SET start = ? + start - (SELECT min(start) FROM counts)", [day + 43_200])
        .expect("it is our file");
    // Their day has no row of its own yet.
    db.execute("DELETE FROM marks WHERE name = 'days_until'", []).expect("it is our file");
    let uniques =
        "INSERT OR REPLACE INTO uniques (day, kind, sources) VALUES (?1, 'ipv4', 1), (?1, 'ipv6', 1)";
    db.execute(uniques, [day]).expect("it is our file");
    db.query_row("SELECT strftime('%Y-%m-%d', ?, 'unixepoch')", [day], |row| row.get(0)).expect("a date")
}

#[test]
fn the_daemon_writes_what_is_due() {
    let node = node("rssac002 = 'rssac'\ndsc = 'dsc'\ndsc_format = 'json'");
    let (code, said) = check(&node);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\nexport     rssac002 to ") && said.contains("\nexport     dsc to "), "{said}");
    let date = some_days_ago(&node);
    let compact = date.replace('-', "");

    let daemon = node.start();
    let line = format!("export: dsc to {}", node.path("dsc").display());
    assert!(daemon.announcement.contains(&line), "{:?}", daemon.announcement);
    let (head, body) = get(&daemon, &format!("/rssac002/{date}.yaml"));
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains("\ncontent-type: application/yaml\r\n"),
        "{head}"
    );
    assert!(get(&daemon, "/rssac002/today.yaml").0.starts_with("HTTP/1.1 404 "));
    assert!(get(&daemon, "/metrics").1.contains("\nas112_export_errors_total{export=\"rssac002\"} 0\n"));
    drop(daemon.ask_udp(V4, &query("10.in-addr.arpa", 6)));
    stop(daemon);

    let metrics = ["traffic-volume", "rcode-volume", "traffic-sizes", "unique-sources"];
    let month = node.path("rssac").join(&date[..4]).join(&date[5..7]);
    let read = |metric: &str| {
        let name = format!("node-1-{compact}-{metric}.yaml");
        let there = names(&month.join(metric));
        assert!(there.contains(&name) && there.iter().all(|name| name.ends_with(".yaml")), "{there:?}");
        fs::read_to_string(month.join(metric).join(name)).expect("it is there")
    };
    let whole: String = metrics.iter().map(|metric| read(metric)).collect();
    assert_eq!(whole, body, "files and HTTP have the same");
    for line in [
        "dns-udp-queries-received-ipv4: 3",
        "dns-tcp-queries-received-ipv6: 1",
        "3: 4",
        "  32-47: 3",
        "num-sources-ipv6: 1",
    ] {
        assert!(whole.contains(&format!("\n{line}\n")), "{line}\n{whole}");
    }
    // Each run wrote a file when it ended, and one for each minute that it saw end.
    let mut minutes = names(&node.path("dsc").join("node-1"));
    minutes.sort();
    let last = minutes.last().expect("a file");
    assert!(last.ends_with(".dscdata.json"), "{minutes:?}");
    let text = fs::read_to_string(node.path("dsc").join("node-1").join(last)).expect("it is there");
    let arrays: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let all: u64 = minutes
        .iter()
        .map(|name| fs::read_to_string(node.path("dsc").join("node-1").join(name)).expect("it is there"))
        .map(|text| serde_json::from_str::<serde_json::Value>(&text).expect("JSON"))
        .filter_map(|arrays| arrays[0]["data"][0]["Qtype"].as_array().cloned())
        .flatten()
        .map(|cell| cell["count"].as_u64().expect("a count"))
        .sum();
    assert_eq!((all, arrays[0]["name"].as_str()), (5, Some("qtype")));
}

#[test]
fn a_folder_that_cannot_be_written_is_told_and_stops_nothing() {
    let node = node("dsc = '/proc/dsc'");
    let (code, said) = check(&node);
    assert_eq!(code, Some(0), "the node serves without it: {said}");
    let fault = "cannot write to /proc/dsc: it does not exist and cannot be created in /proc: ";
    let way_out = "give a directory that this node can write with [export] dsc";
    assert!(said.contains("\nwarning    cannot write") && said.contains(fault), "{said}");
    assert!(said.contains(way_out), "{said}");
    assert_eq!(said.matches("cannot write to").count(), 1, "the folder of the history can be: {said}");
    let daemon = node.start();
    // Its thread says so, once it has begun.
    let told = || daemon.announcement.iter().find(|line| line.contains(fault)).cloned();
    let line = told().unwrap_or_else(|| daemon.next_line());
    assert!(line.contains(fault) && line.ends_with(way_out), "{line}");
    assert_eq!(daemon.ask_udp(V4, &query("1.1.168.192.in-addr.arpa", 12))[3] & 0xF, 3);
    assert!(get(&daemon, "/stats.json").1.contains("\"place\": \"/proc/dsc\""));
    assert!(daemon.stop().0.success());
}

#[test]
#[ignore = "needs PyYAML of PyPI in a virtual environment; tests/run installs it"]
fn readers_of_yaml_and_xml_find_no_fault() {
    let node = node("rssac002 = 'rssac'\ndsc = 'dsc'");
    let date = some_days_ago(&node);
    stop(node.start());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("target/venv/bin/python"))
        .arg(root.join("tests/export.py"))
        .args([node.path("rssac"), node.path("dsc").join("node-1")])
        .arg(date)
        .output()
        .expect("Python is there");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim() == "export: all read", "{said}{complaint}");
}
