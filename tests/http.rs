//! Statistics and health over HTTP: what they say, and that nothing done to them reaches DNS.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::daemon::{Daemon, PATIENCE, V4, V6, program};
use common::{query, with_opt};
use hdrhistogram::Histogram;

/// A daemon that serves HTTP on a port of its own, and where that is.
fn start(arguments: &[&str]) -> (Daemon, SocketAddr) {
    let daemon = Daemon::start(&[arguments, &["--http", "127.0.0.1:0"]].concat());
    let line = daemon.announcement.iter().find_map(|line| line.strip_prefix("statistics: http://"));
    let address = line.and_then(|line| line.strip_suffix("/metrics")).expect("it says where");
    let address = address.parse().expect("an address");
    (daemon, address)
}

fn connect(http: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(http).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

/// All that comes back for these bytes. A connection that is closed on us says as much by an end.
fn exchange(http: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(http);
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).expect("answers are text")
}

fn get(http: SocketAddr, path: &str, headers: &str) -> String {
    exchange(http, format!("GET {path} HTTP/1.1\r\nHost: n\r\n{headers}\r\n").as_bytes())
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head and a body").1
}

/// The daemon still answers DNS, at every door.
fn assert_answers(daemon: &Daemon) {
    let query = query("1.1.168.192.in-addr.arpa", 12);
    for ip in [V4, V6] {
        let reply = daemon.ask_udp(ip, &query);
        assert_eq!(reply[3] & 0xF, 3);
        assert_eq!(daemon.ask_tcp(ip, &query), Some(reply));
    }
}

#[test]
fn every_path_answers_and_nothing_else_does() {
    let (daemon, http) = start(&[]);
    for (path, start, fragment) in [
        ("/metrics", "HTTP/1.1 200 ", "\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        ("/stats.json", "HTTP/1.1 200 ", "\ncontent-type: application/json\r\n"),
        ("/healthz", "HTTP/1.1 200 ", "\r\n\r\nok\n"),
        ("/readyz?x=1", "HTTP/1.1 200 ", "\r\n\r\nok\n"),
        ("/nowhere", "HTTP/1.1 404 ", "There is /, /node, /metrics, /stats.json, /healthz and /readyz.\n"),
        ("/metrics/", "HTTP/1.1 404 ", "There is nothing here."),
    ] {
        let answer = get(http, path, "");
        assert!(answer.starts_with(start) && answer.contains(fragment), "{path}: {answer}");
        for header in ["x-content-type-options: nosniff", "content-security-policy: default-src 'none'"] {
            assert!(answer.contains(header), "{path}: {answer}");
        }
    }
    let head = exchange(http, b"HEAD /metrics HTTP/1.1\r\nHost: n\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = exchange(http, format!("{method} /metrics HTTP/1.1\r\nHost: n\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET, HEAD"), "{answer}");
    }
    let answer = get(http, "/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n");
    assert!(
        answer.contains("\ncontent-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n")
    );
    assert!(answer.ends_with("# EOF\n"));
    assert_answers(&daemon);
}

#[test]
fn an_address_that_is_taken_stops_the_start_only_where_it_was_asked_for() {
    let taken = TcpListener::bind((V4, 0)).expect("a port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let output = Command::new(program())
        .args(Daemon::arguments(common::daemon::free_port(), &["--http", &address]))
        .output()
        .expect("the daemon runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with(&format!("cannot serve HTTP on {address}: ")), "{said}");
    assert!(said.trim_end().ends_with("or give --http off") && said.lines().count() == 1, "{said}");

    // The default address: whoever has it, two daemons start, and at most one of them has it.
    let start = || {
        let port = common::daemon::free_port();
        let mut command = Command::new(program());
        command.args(["--listen", &format!("127.0.0.1:{port}"), "--shards", "1"]);
        Daemon::spawn(command, port)
    };
    let (first, second) = (start(), start());
    let line = |daemon: &Daemon| {
        let mut lines = daemon.announcement.iter();
        lines.find(|line| line.starts_with("statistics: ")).expect("a line on statistics").clone()
    };
    assert!(
        line(&second).starts_with("statistics: none, 127.0.0.1:9112 cannot be had ("),
        "{}",
        line(&second)
    );
    for daemon in [&first, &second] {
        let query = query("1.1.168.192.in-addr.arpa", 12);
        assert_eq!(daemon.ask_udp(V4, &query)[3] & 0xF, 3);
    }
}

#[test]
fn slow_and_giant_heads_end_and_readers_that_do_not_read() {
    let (daemon, http) = start(&[]);
    let began = Instant::now();
    // 31 that send one byte and wait, so that there is room for one more.
    let slow: Vec<TcpStream> = (0..31)
        .map(|_| {
            let mut stream = connect(http);
            stream.write_all(b"G").expect("sent");
            stream
        })
        .collect();
    assert_answers(&daemon);
    for mut stream in slow {
        // 408, or nothing: the connection ends.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let took = began.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(6)).contains(&took), "{took:?}");

    let giant = format!("GET /metrics HTTP/1.1\r\nHost: n\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let answer = exchange(http, giant.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1000));
    let answer = exchange(http, many.as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");

    let mut deaf: Vec<TcpStream> = (0..20).map(|_| connect(http)).collect();
    for stream in &mut deaf {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: n\r\n\r\n").expect("sent");
    }
    assert_answers(&daemon);
    assert!(get(http, "/readyz", "").ends_with("ok\n"));
    let (status, _) = daemon.stop();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn ten_thousand_connections_leave_memory_and_descriptors_alone() {
    let (daemon, http) = start(&[]);
    let memory = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line on memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", daemon.id())).expect("it runs").count();
    get(http, "/metrics", "");
    let (kib_before, descriptors_before) = (memory(), descriptors());
    let mut most = 0;
    for round in 0..10 {
        let open: Vec<_> = (0..1000).filter_map(|_| TcpStream::connect(http).ok()).collect();
        assert!(open.len() > 900, "connections are accepted, if only to be closed");
        most = most.max(descriptors());
        if round % 3 == 0 {
            assert_answers(&daemon);
        }
    }
    assert!(most <= descriptors_before + 32 + 8, "{most} descriptors, {descriptors_before} before");
    let grown = memory().saturating_sub(kib_before);
    assert!(grown < 16 << 10, "{grown} KiB more than before");
    // What is left of them times out.
    let patience = Instant::now() + PATIENCE;
    while !get(http, "/readyz", "").ends_with("ok\n") {
        assert!(Instant::now() < patience, "HTTP answers again");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the scraper keeps its own pace")]
fn scrapes_do_not_slow_udp() {
    let (daemon, http) = start(&["--shards", "1"]);
    let query = with_opt(query("1.1.168.192.in-addr.arpa", 12), 1232, &[]);
    let p99 = || {
        let socket = daemon.udp(V4);
        let mut latencies = Histogram::<u64>::new(3).expect("a histogram");
        let mut reply = [0; 512];
        for _ in 0..3000 {
            let began = Instant::now();
            socket.send(&query).expect("sent");
            socket.recv(&mut reply).expect("a reply");
            latencies.record(began.elapsed().as_micros() as u64).expect("in range");
        }
        latencies.value_at_quantile(0.99)
    };
    let quiet = p99();
    let (over, scrapes) = (AtomicBool::new(false), std::sync::atomic::AtomicU32::new(0));
    let (busy, rate) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let began = Instant::now();
            // As many as are due at 1,000 a second, if the machine can.
            while !over.load(Ordering::Relaxed) {
                let due = began.elapsed().as_millis() as u32;
                let done = scrapes.load(Ordering::Relaxed);
                if done < due {
                    assert!(get(http, "/metrics", "").starts_with("HTTP/1.1 200 "));
                    scrapes.store(done + 1, Ordering::Relaxed);
                } else {
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
        });
        let began = Instant::now();
        let mut busy = p99();
        while began.elapsed() < Duration::from_secs(1) {
            busy = busy.max(p99());
        }
        over.store(true, Ordering::Relaxed);
        (busy, f64::from(scrapes.load(Ordering::Relaxed)) / began.elapsed().as_secs_f64())
    });
    println!("report: UDP p99 {quiet} us, with {rate:.0} scrapes a second {busy} us");
    // The floor is a turn of the scheduler, for where client, scraper and server share two CPUs.
    assert!(busy <= (5 * quiet).max(10_000), "p99 {busy} us with scrapes, {quiet} us without");
    assert!(scrapes.load(Ordering::Relaxed) > 20);
}

#[test]
#[ignore = "needs promtool; tests/run installs it"]
fn promtool_finds_nothing_to_complain_of() {
    for datapath in ["io_uring", "mmsg"] {
        let (daemon, http) = start(&["--datapath", datapath]);
        assert_answers(&daemon);
        for qtype in 0..300 {
            daemon.ask_udp(V4, &with_opt(query("hostname.as112.net", qtype), 1232, &[0, 3, 0, 0]));
        }
        daemon.ask_udp(V6, &query("example.com", 1));
        daemon.ask_udp(V6, &[0; 20]);
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool is there");
        let answer = get(http, "/metrics", "");
        let mut stdin = promtool.stdin.take().expect("it is piped");
        stdin.write_all(body(&answer).as_bytes()).expect("promtool reads");
        drop(stdin);
        let output = promtool.wait_with_output().expect("promtool ends");
        let said = [output.stderr, output.stdout].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!((output.status.code(), said.trim()), (Some(0), ""));
    }
}

#[test]
fn stats_prints_one_screen_or_json_or_that_no_node_answers() {
    let (daemon, http) = start(&[]);
    assert_answers(&daemon);
    let url = format!("http://{http}");
    let run = |arguments: &[&str]| {
        let output = Command::new(program()).arg("stats").args(arguments).output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("it prints text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let patience = Instant::now() + PATIENCE;
    let screen = loop {
        let (code, screen, err) = run(&["--url", &url]);
        assert_eq!((code, err.as_str()), (Some(0), ""));
        if screen.contains("   4 in all; ") {
            break screen;
        }
        assert!(Instant::now() < patience, "{screen}");
    };
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    for fragment in
        ["service    direct 100.0 %", "rcode      NXDOMAIN 100.0 %", "168.192.in-addr.arpa", "shard 0"]
    {
        assert!(screen.contains(fragment), "{fragment}\n{screen}");
    }
    let (code, json, _) = run(&["--json", "--url", &url]);
    let stats: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((code, stats["counters"]["responses"]["NXDOMAIN"].as_u64()), (Some(0), Some(4)));

    let (code, _, err) = run(&["--url", "ftp://x"]);
    assert!(code == Some(1) && err.contains("give one as http://127.0.0.1:9112"), "{err}");
    drop(daemon);
    let (code, out, err) = run(&["--url", &url]);
    assert_eq!((code, out.as_str()), (Some(3), ""));
    assert!(err.starts_with(&format!("no node answers at {url}: ")), "{err}");
}
