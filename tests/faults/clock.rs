//! A wall clock that jumps while the node serves, and one that is past the end of 32 bits. The library of
//! Debian's package faketime stands between the node and its clock; the clock that does not jump is left.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::Connection;
use serde_json::Value;

use crate::common::daemon::{
    Configured, Daemon, PATIENCE, V4, free_port, get, program, read_message, send_message,
};
use crate::fault::{LENIENCY, argument, beside, honest_query, output, ping_pong, reload, report, skipped};

/// The library reads its file with calls that a confined node has given up.
const UNCONFINED: &str = "[confine]\nlandlock = 'off'\nseccomp = 'off'\n[history]\ndir = 'past'\n";

/// 2039-02-01 00:00:00 UTC, behind the end of 32 bits with a sign.
const YEAR_2039: (&str, u64) = ("@2039-02-01 00:00:00", 2_180_131_200);
const DAY: i64 = 24 * 3600;

/// A node whose wall clock is in our hands.
struct Clocked {
    daemon: Daemon,
    file: PathBuf,
    control: PathBuf,
    left: Left,
}

/// What the library shares between processes, and leaves behind where this one is no longer root.
struct Left(u32);

impl Drop for Left {
    fn drop(&mut self) {
        for file in ["faketime_shm", "sem.faketime_sem"] {
            let _ = fs::remove_file(format!("/dev/shm/{file}_{}", self.0));
        }
    }
}

impl Clocked {
    /// Starts a node at `time`, as faketime writes it; `None`, said, where there is no faketime.
    fn start(node: &Configured, further: &[&str], time: &str) -> Option<Self> {
        // The tool knows where its library is.
        let library = output(Command::new("faketime").args(["-f", "+0", "sh", "-c", "echo $LD_PRELOAD"]));
        let Some(library) = library.filter(|output| output.status.success()) else {
            skipped("there is no faketime");
            return None;
        };
        let [file, control] = ["time", "control"].map(|name| node.path(name));
        set(&file, time);
        let port = free_port();
        let own = ["--config", &node.config, "--http", "127.0.0.1:0", "--control", argument(&control)];
        let mut command = Command::new(program());
        command.args(Daemon::arguments(port, &own)).args(further).env("TZ", "UTC");
        command.env("LD_PRELOAD", String::from_utf8_lossy(&library.stdout).trim());
        command.env("FAKETIME_TIMESTAMP_FILE", &file).env("FAKETIME_NO_CACHE", "1");
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let daemon = Daemon::spawn(command, port);
        let left = Left(daemon.id());
        Some(Self { daemon, file, control, left })
    }

    /// Moves its clock to `offset` seconds beside the host's, and reads the configuration again, of which it
    /// says when that was.
    fn jump(&self, offset: i64) {
        set(&self.file, &format!("{offset:+}"));
        let before = host_time() + offset;
        assert_eq!(reload(&self.control)["ok"], true);
        let loaded_at = self.stats()["configuration"]["loaded_at"].as_i64().expect("a time");
        let around = before..=host_time() + offset;
        assert!(around.contains(&loaded_at), "{loaded_at} is not in {around:?}");
    }

    fn stats(&self) -> Value {
        serde_json::from_str(&get(self.daemon.http(), "/stats.json")).expect("JSON")
    }

    /// Ends it.
    fn stop(self) {
        let Self { daemon, left, .. } = self;
        let (status, said) = daemon.stop();
        assert_eq!(status.code(), Some(0), "{said:?}");
        let expected = ["reload: ordered by ", "reload: serving ", "stopped after "];
        let is_expected = |line: &String| expected.iter().any(|begin| line.starts_with(begin));
        assert!(said.iter().all(is_expected), "{said:?}");
        drop(left);
    }
}

/// In seconds of Unix time.
fn host_time() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs() as i64
}

/// All of it at once, as the node may read it at any moment.
fn set(file: &PathBuf, time: &str) {
    let new = file.with_extension("new");
    fs::write(&new, format!("{time}\n")).expect("there is room");
    fs::rename(&new, file).expect("they are in one folder");
}

/// Asks once over a connection that is open.
fn asks_on(stream: &mut TcpStream) {
    send_message(stream, &honest_query(7));
    assert_eq!(read_message(stream).map(|reply| reply.len()), Some(119), "it is open and answers");
}

#[test]
fn a_clock_that_jumps_disturbs_nobody() {
    let _turn = beside();
    for datapath in ["io_uring", "mmsg"] {
        let node = Configured::new(&format!("{UNCONFINED}[tcp]\nidle_timeout = '60s'\n"));
        let began = Instant::now();
        let Some(clocked) = Clocked::start(&node, &["--datapath", datapath], "+0") else { return };
        let daemon = &clocked.daemon;
        let started = clocked.stats()["start_time_seconds"].clone();
        let mut open: Vec<TcpStream> = (0..20).map(|_| daemon.tcp(V4)).collect();
        open.iter_mut().for_each(asks_on);
        for offset in [0, DAY, 0, -DAY, 0, 1, 0, -1, 0] {
            clocked.jump(offset);
            assert_eq!(ping_pong(&daemon.udp(V4), 100).len(), 100, "{datapath}, {offset:+} s");
            assert_eq!(daemon.ask_tcp(V4, &honest_query(2)).map(|reply| reply.len()), Some(119));
            open.iter_mut().for_each(asks_on);
            let stats = clocked.stats();
            let uptime = Duration::from_secs_f64(stats["uptime_seconds"].as_f64().expect("a number"));
            assert!(!uptime.is_zero() && uptime <= began.elapsed(), "{datapath}, {offset:+} s: {uptime:?}");
            assert_eq!(stats["start_time_seconds"], started, "{datapath}, {offset:+} s");
            assert_eq!(get(daemon.http(), "/healthz"), "ok\n", "{datapath}, {offset:+} s");
            assert!(get(daemon.http(), "/metrics").contains("\nas112_history_errors_total 0\n"));
        }
        clocked.stop();
    }
}

/// HTTP has four digits for the year. What serves it must not take the node with it.
#[test]
fn after_the_year_9999_dns_is_served_and_http_is_not() {
    let _turn = beside();
    let node = Configured::new(UNCONFINED);
    let Some(clocked) = Clocked::start(&node, &["--datapath", "mmsg"], "+0") else { return };
    let daemon = &clocked.daemon;
    let mut stream = TcpStream::connect(daemon.http()).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    write!(stream, "GET /events HTTP/1.1\r\nHost: n\r\n\r\n").expect("sent");
    stream.read_exact(&mut [0; 12]).expect("the answer begins");
    set(&clocked.file, "@9999-12-31 23:59:58");
    let jumped = Instant::now();
    // It is open, and sends each second.
    let _ = stream.read_to_end(&mut Vec::new());
    while jumped.elapsed() < Duration::from_secs(4) {
        assert_eq!(ask(daemon.http(), "/healthz"), "");
        assert_eq!(ping_pong(&daemon.udp(V4), 10).len(), 10);
    }
    set(&clocked.file, "+0");
    assert!(ask(daemon.http(), "/healthz").ends_with("\r\n\r\nok\n"));
    let (status, said) = clocked.daemon.stop();
    assert_eq!(status.code(), Some(0), "{said:?}");
}

/// All that HTTP answers, if anything.
fn ask(http: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(http).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: n\r\n\r\n");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).expect("text")
}

#[test]
fn an_idle_connection_ends_in_its_time_whatever_the_clock_does() {
    let _turn = beside();
    for offset in [-DAY, DAY] {
        let node = Configured::new(&format!("{UNCONFINED}[tcp]\nidle_timeout = '2s'\n"));
        let Some(clocked) = Clocked::start(&node, &[], "+0") else { return };
        let mut stream = clocked.daemon.tcp(V4);
        let began = Instant::now();
        asks_on(&mut stream);
        set(&clocked.file, &format!("{offset:+}"));
        assert_eq!(read_message(&mut stream), None, "it is closed");
        let elapsed = began.elapsed();
        report(&format!("idle_closed_clock_{offset:+}_ms"), elapsed.as_millis());
        assert!(elapsed >= Duration::from_millis(1900), "not before its time: {elapsed:?}");
        assert!(elapsed < (LENIENCY * Duration::from_secs(2)).min(PATIENCE), "{elapsed:?}");
        clocked.stop();
    }
}

#[test]
fn a_node_of_2039_serves_and_keeps_its_history() {
    let _turn = beside();
    let (time, seconds) = YEAR_2039;
    let node = Configured::new(UNCONFINED);
    for run in 1..=2 {
        let Some(clocked) = Clocked::start(&node, &[], time) else { return };
        let daemon = &clocked.daemon;
        assert_eq!(ping_pong(&daemon.udp(V4), 5).len(), 5);
        assert_eq!(daemon.ask_tcp(V4, &honest_query(2)).map(|reply| reply.len()), Some(119));
        let around = seconds as i64..seconds as i64 + 3600;
        let stats = clocked.stats();
        let started = stats["start_time_seconds"].as_f64().expect("a number");
        assert!(around.contains(&(started as i64)), "{started}");
        assert!(stats["uptime_seconds"].as_f64().is_some_and(|uptime| uptime < 3600.0), "{stats}");
        clocked.stop();
        let db = Connection::open(node.path("past").join("history.sqlite")).expect("it opens");
        let query = "SELECT min(start), sum(count) FROM history WHERE family = 'as112_queries_total'";
        let row = db.query_row(query, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, u64>(1)?)));
        let (start, count) = row.expect("a minute was stored");
        assert!(around.contains(&start), "{start}");
        assert_eq!(count, run * 6, "of all runs");
    }
}
