//! Statistics and health over HTTP: what they say, and that nothing done to them reaches DNS.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use as112d::limits::HTTP_ANSWERS_LEN_MAX;
use common::daemon::{Configured, Daemon, PATIENCE, V4, V6, dropped_by_loopback, program, wait_until};
use common::{query, with_opt};
use hdrhistogram::Histogram;
use socket2::{Domain, Socket, Type};

/// A daemon that serves HTTP on a port of its own, and where that is.
fn start(arguments: &[&str]) -> (Daemon, SocketAddr) {
    let daemon = Daemon::start(&[arguments, &["--http", "127.0.0.1:0"]].concat());
    let address = daemon.http();
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
    exchange(http, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes())
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
        ("/explain?name=10.in-addr.arpa&type=SOA", "HTTP/1.1 200 ", "\"tailored\":false"),
        ("/explain", "HTTP/1.1 400 ", "name is missing"),
        ("/healthz", "HTTP/1.1 200 ", "\r\n\r\nok\n"),
        ("/readyz?x=1", "HTTP/1.1 200 ", "\r\n\r\nok\n"),
        (
            "/nowhere",
            "HTTP/1.1 404 ",
            "Try /, /node, /explain, /metrics, /stats.json, /healthz or /readyz.\n",
        ),
        ("/metrics/", "HTTP/1.1 404 ", "Not found."),
    ] {
        let answer = get(http, path, "");
        assert!(answer.starts_with(start) && answer.contains(fragment), "{path}: {answer}");
        for header in ["x-content-type-options: nosniff", "content-security-policy: default-src 'none'"] {
            assert!(answer.contains(header), "{path}: {answer}");
        }
    }
    let head = exchange(http, b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer =
            exchange(http, format!("{method} /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
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
        lines.find(|line| line.starts_with("web: ")).expect("a line on HTTP").clone()
    };
    assert_eq!(
        line(&second),
        "web: off; 127.0.0.1:9112: address in use (choose another address with --http)"
    );
    for daemon in [&first, &second] {
        let query = query("1.1.168.192.in-addr.arpa", 12);
        assert_eq!(daemon.ask_udp(V4, &query)[3] & 0xF, 3);
    }
}

/// What the daemon holds: KiB of memory, and descriptors.
fn held(daemon: &Daemon) -> (u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line on memory");
    let memory = line.trim().trim_end_matches(" kB").parse().expect("a number");
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", daemon.id())).expect("it runs").count();
    (memory, descriptors)
}

/// The descriptors that the daemon holds while nobody is connected: what it has just closed may take a while.
fn idle_descriptors(daemon: &Daemon) -> usize {
    let looks = (0..20).map(|_| {
        pause(Duration::from_millis(10));
        held(daemon).1
    });
    looks.min().expect("there are some")
}

/// Waits until the number of descriptors that the daemon holds is as wanted.
#[expect(clippy::disallowed_methods, reason = "descriptors are looked at, they do not call")]
fn wait_for_descriptors(daemon: &Daemon, is_wanted: impl Fn(usize) -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !is_wanted(held(daemon).1) {
        assert!(Instant::now() < patience, "connections begin and end");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A connection with next to no receive buffer, and with small segments, for which the kernel gives the
/// sender little room as well: what is not read stays with the daemon.
fn deaf(http: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(http), Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(2048).expect("set");
    socket.set_tcp_mss(536).expect("set");
    socket.connect(&http.into()).expect("a connection");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(b"GET /stats.json HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    stream
}

#[test]
fn every_step_of_an_exchange_has_a_second() {
    let (daemon, http) = start(&["--shards", "16"]);
    let whole = get(http, "/stats.json", "").len();
    let before = idle_descriptors(&daemon);
    let took = |end: &mut dyn FnMut()| {
        let began = Instant::now();
        end();
        let took = began.elapsed();
        assert!((Duration::from_millis(900)..PATIENCE).contains(&took), "{took:?}");
        took
    };
    // Nothing, a byte, or a byte now and then: the head has a second in all.
    for part in ["", "G"] {
        let mut stream = connect(http);
        stream.write_all(part.as_bytes()).expect("sent");
        took(&mut || drop(stream.read_to_end(&mut Vec::new())));
    }
    let mut dripping = connect(http);
    dripping.set_read_timeout(Some(Duration::from_millis(50))).expect("a time-out");
    took(&mut || {
        while dripping.write_all(b"G").is_ok() && !matches!(dripping.read(&mut [0; 64]), Ok(0)) {}
    });
    drop(dripping);
    wait_for_descriptors(&daemon, |open| open <= before);
    // The one who reads nothing is left with what the kernels hold.
    let mut stream = deaf(http);
    let ended = took(&mut || {
        wait_for_descriptors(&daemon, |open| open > before);
        wait_for_descriptors(&daemon, |open| open <= before);
    });
    println!("report: http_deaf_reader_ended_ms {}", ended.as_millis());
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.len() < whole, "{} of {whole} bytes", rest.len());
    // Whoever reads a little now and then is no better off.
    let (mut slow, mut read) = (deaf(http), 0);
    took(&mut || {
        wait_for_descriptors(&daemon, |open| open > before);
        while held(&daemon).1 > before {
            read += slow.read(&mut [0; 64]).expect("some of it");
            pause(Duration::from_millis(20));
        }
    });
    assert!(read < whole / 2, "{read} of {whole} bytes");
    assert!(get(http, "/stats.json", "").ends_with("}\n"), "who reads gets all");
    assert_answers(&daemon);
    assert_eq!(daemon.stop().0.code(), Some(0));
}

/// Each answer gives back what it took of the room for those that clients have not taken yet, be it read, not
/// wanted, or left: else there would be none after so many.
#[test]
fn answers_that_are_over_leave_their_room_to_others() {
    let (daemon, http) = start(&[]);
    let request = |method: &str| format!("{method} /page.css HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = exchange(http, request("GET").as_bytes());
    let len = body(&answer).len();
    let (left, clients) = (AtomicU32::new((HTTP_ANSWERS_LEN_MAX / len + 100) as u32), 4);
    let ask = || {
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(3)).is_ok() {
            for method in ["GET", "HEAD"] {
                let answer = exchange(http, request(method).as_bytes());
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            }
            let mut gone = connect(http);
            gone.write_all(request("GET").as_bytes()).expect("sent");
            assert_eq!(gone.read(&mut [0; 1]).expect("an answer"), 1);
        }
    };
    std::thread::scope(|scope| (0..clients).for_each(|_| drop(scope.spawn(ask))));
    assert!(exchange(http, request("GET").as_bytes()).ends_with(body(&answer)));
    assert!(daemon.stop().0.success());
}

#[expect(clippy::disallowed_methods, reason = "clients keep a pace of their own")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Held by those that measure, so that none measures what another does.
static MEASURES: Mutex<()> = Mutex::new(());

/// Times of queries over UDP, one after the other, in microseconds.
fn latencies(socket: &UdpSocket, queries: u32, into: &mut Histogram<u64>) {
    let query = with_opt(query("1.1.168.192.in-addr.arpa", 12), 1232, &[]);
    let (mut reply, dropped) = ([0; 512], dropped_by_loopback());
    for _ in 0..queries {
        let began = Instant::now();
        socket.send(&query).expect("sent");
        match socket.recv(&mut reply) {
            Ok(_) => into.record(began.elapsed().as_micros() as u64).expect("in range"),
            // What the host has dropped is no matter of the node.
            Err(error) => assert!(dropped_by_loopback() > dropped, "no reply: {error}"),
        }
    }
}

/// Latency of DNS in turns without and with what `disturb` does, again and again until it is told to end.
/// What is measured close together has the same noise from others.
fn interleaved(daemon: &Daemon, disturb: impl Fn(&AtomicBool) + Sync) -> [Histogram<u64>; 2] {
    let socket = daemon.udp(V4);
    let [mut quiet, mut busy] = [(); 2].map(|()| Histogram::<u64>::new(3).expect("a histogram"));
    for _ in 0..5 {
        latencies(&socket, 600, &mut quiet);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| disturb(&is_over));
            }
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(300) {
                latencies(&socket, 200, &mut busy);
            }
            is_over.store(true, Ordering::Relaxed);
        });
    }
    [quiet, busy]
}

/// Microseconds within which a median may always be, and those that it may never pass. Measured are 6 to 20,
/// also on a host with eight times as much to do as it has CPUs.
const MEDIAN_US: [u64; 2] = [50, 100];

/// How often is measured before a median counts as changed: what a disturbance costs is there each time, what
/// the host has to do besides is not.
const MEASURED_MAX: u32 = 3;

/// A median that is unchanged but for noise: five times as much at most.
fn assert_unchanged(what: &str, mut measure: impl FnMut() -> [Histogram<u64>; 2]) {
    let of = |histogram: &Histogram<u64>| [0.5, 0.99].map(|part| histogram.value_at_quantile(part));
    let [always, never] = MEDIAN_US;
    for nth in 1.. {
        let [quiet, busy] = measure();
        let ([quiet_p50, quiet_p99], [busy_p50, busy_p99]) = (of(&quiet), of(&busy));
        println!("report: udp_us_with_{what} p50 {busy_p50} p99 {busy_p99} without {quiet_p50} {quiet_p99}");
        let most = (5 * quiet_p50).clamp(always, never);
        if busy_p50 <= most {
            return;
        }
        assert!(nth < MEASURED_MAX, "{what}: {busy_p50} us of {most}, without it {quiet_p50} us");
    }
}

/// A connection on its way: the kernel tries it again for as long as it is open.
fn begin_connection(http: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(http), Type::STREAM, None).expect("a socket");
    socket.set_nonblocking(true).expect("set");
    if let Err(error) = socket.connect(&http.into()) {
        assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS), "{error}");
    }
    socket
}

#[test]
fn abuse_of_http_changes_nothing_for_dns_and_costs_no_memory() {
    let _turn = MEASURES.lock().unwrap_or_else(PoisonError::into_inner);
    let (daemon, http) = start(&["--shards", "1"]);
    assert_answers(&daemon);
    get(http, "/metrics", "");
    let (memory, descriptors) = (held(&daemon).0, idle_descriptors(&daemon));
    // As many as there may be, and more: to send half a head, a giant one, or read nothing.
    let slow_heads = |is_over: &AtomicBool| {
        let mut open = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            let mut stream = connect(http);
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: ");
            open.push(stream);
            open.drain(..open.len().saturating_sub(40));
            pause(Duration::from_millis(1));
        }
    };
    let giant = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1000));
    let giant_heads = |is_over: &AtomicBool| {
        for head in [&giant, &many].into_iter().cycle() {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            let answer = exchange(http, head.as_bytes());
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
        }
    };
    let deaf_readers = |is_over: &AtomicBool| {
        let mut open = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            open.push(deaf(http));
            open.drain(..open.len().saturating_sub(40));
            pause(Duration::from_millis(1));
        }
    };
    assert_unchanged("slow_heads", || interleaved(&daemon, slow_heads));
    assert_unchanged("giant_heads", || interleaved(&daemon, giant_heads));
    assert_unchanged("deaf_readers", || interleaved(&daemon, deaf_readers));

    // The descriptors of this process bound how many can be open at one time.
    let at_once =
        as112d::sys::sockets::raise_nofile().map_or(900, |limit| (limit as usize).saturating_sub(500));
    let at_once = at_once.clamp(500, 10_000);
    let mut most = 0;
    for _ in 0..10_000_usize.div_ceil(at_once) {
        assert_unchanged(&format!("{at_once}_connections"), || {
            let [mut without, mut with] = [(); 2].map(|()| Histogram::<u64>::new(3).expect("a histogram"));
            latencies(&daemon.udp(V4), 600, &mut without);
            let open: Vec<Socket> = (0..at_once).map(|_| begin_connection(http)).collect();
            latencies(&daemon.udp(V4), 600, &mut with);
            most = most.max(held(&daemon).1);
            drop(open);
            [without, with]
        });
    }
    assert!(most <= descriptors + 32 + 8, "{most} descriptors, {descriptors} before");
    let grown = held(&daemon).0.saturating_sub(memory);
    println!("report: http_abuse_memory_grown_kib {grown}");
    assert!(grown < 16 << 10, "{grown} KiB more than before");

    // What is left of them times out, and nobody is worse off.
    let patience = Instant::now() + PATIENCE;
    while !get(http, "/readyz", "").ends_with("ok\n") {
        assert!(Instant::now() < patience, "HTTP answers again");
    }
    wait_for_descriptors(&daemon, |open| open <= descriptors);
    assert_answers(&daemon);
    assert_eq!(daemon.stop().0.code(), Some(0));
}

#[test]
fn scrapes_do_not_slow_udp() {
    let _turn = MEASURES.lock().unwrap_or_else(PoisonError::into_inner);
    let (daemon, http) = start(&["--shards", "1"]);
    let (scrapes, time) = (AtomicU32::new(0), AtomicU64::new(0));
    let scrape = |is_over: &AtomicBool| {
        let (began, mut done) = (Instant::now(), 0);
        // Each of two: as many as are due at 500 a second, if the machine can.
        while !is_over.load(Ordering::Relaxed) {
            if u128::from(done) < began.elapsed().as_millis() / 2 {
                assert!(get(http, "/metrics", "").starts_with("HTTP/1.1 200 "));
                done += 1;
            } else {
                pause(Duration::from_micros(200));
            }
        }
        scrapes.fetch_add(done, Ordering::Relaxed);
        time.fetch_add(began.elapsed().as_micros() as u64, Ordering::Relaxed);
    };
    assert_unchanged("scrapes", || interleaved(&daemon, scrape));
    let scrapes = scrapes.into_inner();
    let rate = f64::from(scrapes) * 2e6 / time.into_inner() as f64;
    println!("report: scrapes_a_second {rate:.0}");
    assert!(scrapes > 20);
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
#[ignore = "needs prometheus_client of PyPI in a virtual environment; tests/run installs it"]
fn the_parser_of_open_metrics_finds_nothing_to_complain_of() {
    let (daemon, http) = start(&[]);
    assert_answers(&daemon);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new(root.join("target/venv/bin/python"))
        .args([
            "-c",
            "import sys; from prometheus_client.openmetrics.parser import \
                      text_string_to_metric_families as read; print(len(list(read(sys.stdin.read()))))",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python is there");
    let answer = get(http, "/metrics", "Accept: application/openmetrics-text\r\n");
    let mut stdin = python.stdin.take().expect("it is piped");
    stdin.write_all(body(&answer).as_bytes()).expect("it reads");
    drop(stdin);
    let output = python.wait_with_output().expect("it ends");
    let families = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(families.trim().parse::<u32>().is_ok_and(|families| families > 40), "{families}{complaint}");
}

/// `as112d stats --watch`, and what it has printed up to a fragment.
fn watch_until(url: &str, further: &[&str], is_enough: impl Fn(&str) -> bool) -> (Child, String) {
    let mut watching = Command::new(program())
        .args(["stats", "--watch", "--url", url])
        .args(further)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let (mut seen, mut some) = (Vec::new(), [0; 4096]);
    while !is_enough(&String::from_utf8_lossy(&seen)) {
        let len = watching.stdout.as_mut().expect("it is piped").read(&mut some).expect("it prints");
        assert!(len > 0, "it ended after {}", String::from_utf8_lossy(&seen));
        seen.extend(&some[..len]);
    }
    (watching, String::from_utf8(seen).expect("it prints text"))
}

#[test]
fn stats_watches_until_the_node_is_gone_or_nobody_looks() {
    let (daemon, http) = start(&[]);
    assert_answers(&daemon);
    let url = format!("http://{http}");
    let (mut watching, seen) = watch_until(&url, &[], |seen| seen.contains("shares of the last seconds"));
    let screens: Vec<&str> = seen.split("\x1b[H\x1b[2J").collect();
    assert!(screens[0].is_empty() && screens[1].contains("shares since counting began"), "{seen}");
    assert!(screens[2].contains("queries             0.0/s"), "{seen}");

    let (mut reading, seen) =
        watch_until(&url, &["--json"], |seen| seen.matches("\"tcp_connections\"").count() == 2);
    let documents = serde_json::Deserializer::from_str(&seen).into_iter::<serde_json::Value>();
    let first = documents.flatten().next().expect("a document");
    assert_eq!(first["ready"], true);
    // With nobody to read the next one it ends well.
    drop(reading.stdout.take());
    assert_eq!(reading.wait().expect("it ends").code(), Some(0));

    assert!(daemon.stop().0.success());
    assert_eq!(watching.wait().expect("it ends").code(), Some(3));
}

/// Who asks most just now, and for what: for the operator, as little as that may be.
#[test]
fn the_operator_sees_who_asks_most_and_for_what() {
    let configured = Configured::new("[sources]\nsample_every = 1\n");
    let daemon = configured.start();
    let http = daemon.http();
    for (name, times) in [("1.1.168.192.in-addr.arpa", 3), ("9.10.in-addr.arpa", 1)] {
        (0..times).for_each(|_| drop(daemon.ask_udp(V4, &query(name, 12))));
    }
    let top = |headers: &str| {
        let text = get(http, "/stats.json", headers);
        serde_json::from_str::<serde_json::Value>(body(&text)).expect("JSON")["top"].clone()
    };
    wait_until("all four are sampled", || top("")["names"]["samples"] == 4);
    let expected = serde_json::json!({
        "networks": {"samples": 4, "largest": {"127.0.0.0/24": 4}},
        "names": {"samples": 4, "largest": {"1.1.168.192.in-addr.arpa.": 3, "9.10.in-addr.arpa.": 1}},
    });
    assert_eq!(top(""), expected);
    assert_eq!(top("X-Forwarded-For: 192.0.2.1\r\n"), serde_json::Value::Null, "others are behind a proxy");
    let url = format!("http://{http}");
    let output = Command::new(program()).args(["stats", "--url", &url]).output().expect("it runs");
    let screen = String::from_utf8_lossy(&output.stdout);
    assert!(
        screen.contains("names      1.1.168.192.in-addr.arpa. 75.0 %, 9.10.in-addr.arpa. 25.0 %\n"),
        "{screen}"
    );
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
        if screen.contains("   4 in total; ") {
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
    assert!(code == Some(1) && err.contains("write it like http://127.0.0.1:9112"), "{err}");
    drop(daemon);
    let (code, out, err) = run(&["--url", &url]);
    assert_eq!((code, out.as_str()), (Some(3), ""));
    assert!(err.starts_with(&format!("no node answers at {url}: ")), "{err}");
}
