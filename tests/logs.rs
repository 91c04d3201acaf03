//! What the daemon says, of itself and of queries: the log in its forms, when nobody reads it or a disk is
//! full; the query log; and dnstap as fstrm's and dnstap-ldns' programs read it.

mod common;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::daemon::{Configured, Daemon, PATIENCE, V4, V6, free_port, program, wait_until};
use common::query;
use common::skip::skipped;

/// The value of a metric without labels.
fn metric(daemon: &Daemon, name: &str) -> u64 {
    metric_at(&daemon.http().to_string(), name)
}

fn metric_at(address: &str, name: &str) -> u64 {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let value = answer.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    value.unwrap_or_else(|| panic!("no {name}")).parse().expect("a number")
}

/// A daemon whose standard error goes to `stderr`; it ends when dropped.
struct Deaf(Child, u16);

impl Deaf {
    fn start(stderr: impl Into<Stdio>, further: &[&str], prepare: impl Fn(&mut Command)) -> Self {
        let port = free_port();
        let mut command = Command::new(program());
        command.args(Daemon::arguments(port, further)).stderr(stderr).stdin(Stdio::null());
        prepare(&mut command);
        Self(command.spawn().expect("the daemon starts"), port)
    }

    /// Waits until it serves.
    fn served(self) -> Self {
        wait_until("it answers", || self.answers_within(Duration::from_millis(200)));
        self
    }

    fn is_answered(&self) -> bool {
        self.answers_within(PATIENCE)
    }

    fn answers_within(&self, time: Duration) -> bool {
        let socket = std::net::UdpSocket::bind((V4, 0)).expect("a socket");
        socket.connect((V4, self.1)).expect("connected");
        socket.set_read_timeout(Some(time)).expect("a time-out");
        let asked = query("1.1.168.192.in-addr.arpa", 12);
        socket.send(&asked).is_ok() && socket.recv(&mut [0; 512]).is_ok()
    }

    fn end(mut self) -> std::process::ExitStatus {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").arg(id).status().expect("kill runs").success());
        self.0.wait().expect("it ends")
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_journal_gets_priorities_and_programs_get_objects() {
    for (format, start) in [("text", "<6>as112d "), ("json", "<6>{\"time\":\"2")] {
        let (reader, stderr) = std::io::pipe().expect("a pipe");
        let stderr = File::from(OwnedFd::from(stderr));
        let metadata = stderr.metadata().expect("a pipe has an inode");
        let stream = format!("{}:{}", metadata.dev(), metadata.ino());
        let daemon = Deaf::start(stderr, &["--log-format", format], |command| {
            command.env("JOURNAL_STREAM", &stream);
        });
        let mut lines = BufReader::new(reader).lines().map(|line| line.expect("text"));
        assert!(lines.next().is_some_and(|line| line.starts_with(start)), "{format}");
        let last = lines.find(|line| line.contains("control: off")).expect("the last line of a start");
        assert!(last.starts_with("<6>"), "{last}");
        assert!(daemon.end().success());
        let last = lines.last().expect("it says that it has stopped");
        assert!(last.contains("stopped after 0 queries"), "{last}");
    }
    // A start that fails is an error for the journal too, and said once.
    let (mut reader, stderr) = std::io::pipe().expect("a pipe");
    let stderr = File::from(OwnedFd::from(stderr));
    let metadata = stderr.metadata().expect("a pipe has an inode");
    let stream = format!("{}:{}", metadata.dev(), metadata.ino());
    let status = Command::new(program())
        .args(["run", "--listen", "192.0.2.1:5300", "--shards", "1", "--http", "192.0.2.1:1"])
        .env("JOURNAL_STREAM", stream)
        .stderr(stderr)
        .status();
    assert_eq!(status.expect("it runs").code(), Some(1));
    let mut said = String::new();
    reader.read_to_string(&mut said).expect("text");
    assert!(said.starts_with("<3>cannot ") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_file_gets_lines_with_their_time_and_a_failed_start_is_said_twice() {
    let node = Configured::new("[log]\nfile = 'log'\n");
    let daemon = Deaf::start(Stdio::null(), &["--config", &node.config], |_| {}).served();
    assert!(daemon.end().success());
    let text = fs::read_to_string(node.path("log")).expect("a log");
    let line = text.lines().last().expect("a line");
    assert!(line.starts_with("20") && line[24..].starts_with(" info    stopped after "), "{line}");

    // Before it is a daemon, a person looks.
    let arguments = ["run", "--listen", "192.0.2.1:5300", "--shards", "1", "--http", "192.0.2.1:1"];
    let mut command = Command::new(program());
    let output = command.args(arguments).arg("--log-file").arg(node.path("other")).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("cannot ") && output.status.code() == Some(1), "{said}");
    let text = fs::read_to_string(node.path("other")).expect("a log");
    assert!(text.contains(" error   cannot "), "{text}");

    let mut command = Command::new(program());
    let output = command.args(arguments).args(["--log-file", "/no/such/folder/log"]).output();
    let said = String::from_utf8_lossy(&output.expect("it runs").stderr).into_owned();
    assert!(said.starts_with("cannot log to /no/such/folder/log: "), "{said}");
    let mut command = Command::new(program());
    let output = command.args(["check", "--log-file", "/no/such/folder/log"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("cannot log to /no/such/folder/log: its directory does not exist; "), "{said}");
}

#[test]
fn nobody_who_reads_and_nobody_who_has_stopped_reading_holds_it_up() {
    for has_gone in [true, false] {
        let (reader, stderr) = std::io::pipe().expect("a pipe");
        // Every query is a line, far more than a pipe takes.
        let node = Configured::new("[query_log]\nsample_every = 1\n");
        let daemon = Deaf::start(OwnedFd::from(stderr), &["--config", &node.config], |_| {});
        let reader = if has_gone {
            drop(reader);
            None
        } else {
            Some(reader)
        };
        let daemon = daemon.served();
        for _ in 0..3000 {
            assert!(daemon.is_answered(), "gone: {has_gone}");
        }
        assert!(daemon.end().success(), "it ends although nobody reads: {has_gone}");
        drop(reader);
    }
}

#[test]
fn a_full_disk_costs_lines_that_are_counted() {
    let port = free_port();
    let http = format!("127.0.0.1:{port}");
    let daemon = Deaf::start(Stdio::null(), &["--log-file", "/dev/full", "--http", &http], |_| {}).served();
    wait_until("lines are lost", || metric_at(&http, r#"as112_log_lines_lost_total{log="node"}"#) > 3);
    assert!(daemon.is_answered());
    assert!(daemon.end().success());
}

#[test]
fn one_query_in_so_many_is_told() {
    let node = Configured::new("[query_log]\nsample_every = 2\nfile = 'queries'\n");
    let daemon = node.start();
    let asked = query("1.1.168.192.in-addr.arpa", 12);
    for _ in 0..10 {
        daemon.ask_udp(V4, &asked);
    }
    // The thread of TCP counts for itself.
    for _ in 0..2 {
        daemon.ask_tcp(V6, &asked).expect("an answer");
    }
    let (v4, v6) = (daemon.address(V4), daemon.address(V6));
    let said = daemon.announcement.iter().find(|line| line.starts_with("query log: one query in 2 to "));
    assert!(said.is_some(), "{:?}", daemon.announcement);
    assert!(daemon.stop().0.success());
    let text = fs::read_to_string(node.path("queries")).expect("a query log");
    let question = "opcode=QUERY name=1.1.168.192.in-addr.arpa. type=PTR class=IN rcode=NXDOMAIN";
    let over = |client: &str, server, transport: &str| {
        let line = format!("query client={client} server={server} transport={transport} {question} ");
        let lines = text.lines().filter(|text| text.contains(&line));
        lines.filter(|text| text.ends_with(" query_bytes=42 reply_bytes=119")).count()
    };
    assert_eq!((over("127.0.0.0/24", v4, "udp"), over("::/48", v6, "tcp")), (5, 1), "{text}");
    assert_eq!(text.lines().count(), 6, "{text}");
}

#[test]
fn a_reload_opens_files_anew_and_a_command_sets_the_level() {
    let node = Configured::new("[log]\nfile = 'log'\n[query_log]\nsample_every = 1\nfile = 'queries'\n");
    let control = node.path("control").display().to_string();
    let daemon = Deaf::start(Stdio::null(), &["--config", &node.config, "--control", &control], |_| {});
    let daemon = daemon.served();
    let read = |name: &str| fs::read_to_string(node.path(name)).unwrap_or_default();
    let reload = || {
        let id = daemon.0.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &id]).status().expect("kill runs").success());
    };
    wait_until("the query is told", || read("queries").lines().count() > 0);
    for name in ["log", "queries"] {
        fs::rename(node.path(name), node.path(&format!("{name}.1"))).expect("it is there");
    }
    reload();
    wait_until("the log goes on", || read("log").contains(" info    reload: serving "));
    wait_until("the query log goes on", || node.path("queries").exists());
    let before = read("queries.1");
    assert!(daemon.is_answered());
    wait_until("the next query is told", || read("queries").lines().count() == 1);
    assert_eq!(read("queries.1"), before);

    let verbosity = |level: &str| {
        let mut command = Command::new(program());
        let output = command.args(["verbosity", level, "--control", &control]).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(verbosity("error"), (Some(0), "logging at error and above\n".to_owned()));
    assert_eq!(verbosity("loud").0, Some(2));
    fs::write(&node.config, "[log]\nfile = 'log'\n[identity]\nnode = 1\n").expect("there is room");
    reload();
    wait_until("the mistake is told", || read("log").contains(" error   reload: "));
    let mistakes = "[log]\nfile = 'other'\n[query_log]\nsample_every = 1\nfile = 'queries'\n";
    fs::write(&node.config, mistakes).expect("there is room");
    reload();
    assert_eq!(verbosity("info").0, Some(0), "orders are carried out in turn");
    reload();
    wait_until("what a restart takes is told", || {
        read("log").contains(" warning reload: [log] has changed; restart or upgrade to apply it")
    });
    assert_eq!(read("log").matches("reload: serving ").count(), 2, "{}", read("log"));
    assert!(!node.path("other").exists());
    assert!(daemon.end().success());
    assert!(read("log").contains(" info    stopped after "));
}

//------------ dnstap ---

/// Whether the programs that read dnstap are there.
fn has_readers() -> bool {
    let missing: Vec<&str> = ["fstrm_capture", "dnstap-ldns"]
        .into_iter()
        .filter(|program| Command::new(program).stdout(Stdio::null()).stderr(Stdio::null()).status().is_err())
        .collect();
    if !missing.is_empty() {
        skipped(&format!("{missing:?} are missing (Debian packages fstrm-bin and dnstap-ldns)"));
    }
    missing.is_empty()
}

/// fstrm's program that writes what comes to a file; it ends when dropped.
struct Capture(Child);

impl Capture {
    fn start(arguments: &[&str], file: &Path) -> Self {
        let mut command = Command::new("fstrm_capture");
        command.args(["-t", "protobuf:dnstap.Dnstap"]).args(arguments).arg("-w").arg(file);
        let capture = Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it is there"));
        if let ["-u", socket] = arguments {
            let socket = Path::new(socket);
            wait_until("the socket is there", || socket.exists());
            // For a node that has become another user.
            common::open_up(socket.parent().expect("it is in a folder"));
        }
        capture
    }

    /// Lets it write all that came.
    fn end(mut self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill runs").success());
        self.0.wait().expect("it ends");
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What dnstap-ldns reads in a file, in its long form.
fn decoded(file: &Path) -> String {
    let output = Command::new("dnstap-ldns").arg("-y").arg("-r").arg(file).output().expect("it is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn dnstap_is_what_others_read() {
    if !has_readers() {
        return;
    }
    let port = free_port().to_string();
    let folder = common::folder();
    let socket = folder.path().join("socket").display().to_string();
    let asked = query("1.1.168.192.in-addr.arpa", 12);
    for (to, arguments) in [
        (format!("unix:{socket}"), vec!["-u", &socket]),
        (format!("tcp:127.0.0.1:{port}"), vec!["-a", "127.0.0.1", "-p", &port]),
    ] {
        let node = Configured::new(&format!("[dnstap]\nto = '{to}'\nsample_every = 2\n"));
        let daemon = node.start();
        let file = node.path("captured");
        // It may come later; until then frames are dropped.
        for _ in 0..4 {
            daemon.ask_udp(V4, &asked);
        }
        wait_until("what nobody takes is dropped", || {
            metric(&daemon, "as112_dnstap_frames_dropped_total") == 4
        });
        assert_eq!(metric(&daemon, "as112_dnstap_connected"), 0);
        let capture = Capture::start(&arguments, &file);
        wait_until("somebody takes frames", || metric(&daemon, "as112_dnstap_connected") == 1);
        for _ in 0..5 {
            daemon.ask_udp(V4, &asked);
            daemon.ask_udp(V6, &asked);
        }
        daemon.ask_tcp(V4, &asked).expect("an answer");
        daemon.ask_tcp(V6, &asked).expect("an answer");
        wait_until("all is copied", || metric(&daemon, "as112_tapped_total") == 2 + 5 + 1);
        // The end of the node ends the stream in good order.
        assert!(daemon.stop().0.success());
        capture.end();

        let text = decoded(&file);
        let count = |part: &str| text.matches(part).count();
        assert_eq!((count("type: AUTH_QUERY"), count("type: AUTH_RESPONSE")), (6, 6), "{to}\n{text}");
        assert_eq!(count("identity: \"node-1\""), 12, "{text}");
        assert_eq!(count(concat!("version: \"as112d ", env!("CARGO_PKG_VERSION"), "\"")), 12, "{text}");
        // Every second one is from ::1, of which no bit of the first 48 is set.
        assert_eq!((count("query_address: \"::\""), count("socket_family: INET6")), (12, 12), "{text}");
        assert_eq!((count("socket_protocol: UDP"), count("socket_protocol: TCP")), (10, 2), "{text}");
        assert_eq!(count("response_address: \"::1\""), 12, "{text}");
        assert_eq!(count(";; ->>HEADER<<- opcode: QUERY, rcode: NXDOMAIN"), 6, "{text}");
        assert!(count("1.1.168.192.in-addr.arpa.") >= 12, "{text}");
    }
}

#[test]
fn a_receiver_that_stands_still_holds_up_nobody() {
    if !has_readers() {
        return;
    }
    let folder = common::folder();
    let socket = folder.path().join("socket").display().to_string();
    let node =
        Configured::new(&format!("[dnstap]\nto = 'unix:{socket}'\nsample_every = 1\naddresses = 'whole'\n"));
    let daemon = node.start();
    let file = node.path("captured");
    let capture = Capture::start(&["-u", &socket], &file);
    wait_until("somebody takes frames", || metric(&daemon, "as112_dnstap_connected") == 1);
    let stop = |signal: &str| {
        let id = capture.0.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
    };
    stop("-STOP");
    let asked = query("1.1.168.192.in-addr.arpa", 12);
    let client = daemon.udp(V4);
    let mut asked_count = 0_u64;
    while metric(&daemon, "as112_dnstap_frames_dropped_total") == 0 {
        for _ in 0..500 {
            client.send(&asked).expect("sent");
            client.recv(&mut [0; 512]).expect("an answer, whatever becomes of its copy");
        }
        asked_count += 500;
        assert!(asked_count < 100_000, "what nobody takes must be dropped");
    }
    stop("-CONT");
    assert!(daemon.stop().0.success());
    capture.end();
    let text = decoded(&file);
    let frames = text.matches("type: AUTH_").count() as u64;
    assert!((1..2 * asked_count).contains(&frames), "{frames} of {asked_count}");
    assert!(text.contains("query_address: \"127.0.0.1\""), "whole addresses");
}
