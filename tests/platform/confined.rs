//! What the platform may and may not do to the process that it is in; and that it is not there where nothing
//! asks for it.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::daemon::{V4, wait_until};
use crate::common::{folder, query};
use crate::load::all_of;
use crate::node::{Answer, NXDOMAIN, Node, SERVFAIL, Setup, ask_until};
use crate::servers::{Kind, Server, TLS_NAME, certificates};
use crate::upstream::{Upstream, truth};

const A: u16 = 1;

fn tasks(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/task")).expect("it runs").count()
}

/// Mappings of memory that can be executed and are no file's text.
fn executable_memory(process: u32) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("it runs");
    let is_executable = |line: &&str| line.split(' ').nth(1).is_some_and(|rights| rights.contains('x'));
    let is_file = |line: &str| line.split_whitespace().nth(5).is_some_and(|path| path.starts_with('/'));
    let is_kernel = |line: &str| line.ends_with("[vdso]") || line.ends_with("[vsyscall]");
    maps.lines()
        .filter(is_executable)
        .filter(|line| !is_file(line) && !is_kernel(line))
        .map(str::to_owned)
        .collect()
}

/// A mapping that can be written and executed at once.
fn is_writable_and_executable(process: u32) -> bool {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("it runs");
    maps.lines().any(|line| line.split(' ').nth(1).is_some_and(|rights| rights.contains("wx")))
}

/// All that a worker does, with everything that confines on: and no system call is refused, no memory made
/// executable.
#[test]
fn workers_are_confined() {
    let folder = folder();
    certificates(folder.path());
    let udp = Upstream::start(|seen| {
        if seen.name().starts_with('t') { vec![seen.reply().cut()] } else { vec![seen.truth()] }
    });
    udp.script(|seen| match (seen.over_tcp, seen.name().starts_with('t')) {
        (false, true) => vec![seen.reply().cut()],
        _ => vec![seen.truth()],
    });
    let zone = folder.path().join("tls.zone");
    fs::write(&zone, "$TTL 60\n@ SOA ns m 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\nh A 192.0.2.2\n")
        .expect("written");
    let zones = [crate::common::peers::ZoneFile { name: "tls.example".to_owned(), path: zone }];
    let nsd = Kind::Nsd.is_there().then(|| Server::start(Kind::Nsd, &zones, folder.path(), None));
    let tls = nsd.as_ref().map_or(SocketAddr::new(V4, 853), |nsd| nsd.tls);
    let ca = folder.path().join("ca.pem").display().to_string();
    let node = Setup::new()
        .section("[confine]\nlandlock = 'auto'\nseccomp = 'required'")
        .upstream("udp", &[udp.address], "")
        .upstream(
            "tls",
            &[tls],
            &format!("over = 'tls'\ntls_name = '{TLS_NAME}'\ntls_ca = '{ca}'\ntimeout = '2s'"),
        )
        .route("tls", "qname-suffix in { tls.example }", "forward upstream tls", "")
        .route("udp", "qname-suffix in { example }", "forward upstream udp", "")
        .rules("10.rules", "nobody: qname = nobody.example and src in { 127.0.0.0/8 } forward 127.0.0.1:9")
        .start();
    for round in 0..10 {
        for name in [format!("u{round}.example"), format!("t{round}.example")] {
            assert_eq!(node.ask(&name, A).address(), Some(truth(&name)));
            assert_eq!(node.ask_tcp(&name, A).address(), Some(truth(&name)));
        }
        node.ask("nobody.example", A);
        if nsd.is_some() {
            assert_eq!(node.ask("h.tls.example", A).address(), Some([192, 0, 2, 2].into()));
        }
        node.tell(&["cache", "show", "example", "--subtree"]);
        node.tell(&["cache", "purge", "example", "--subtree"]);
        node.write_rules("10.rules", &format!("r{round}: qname = n{round}.example refuse"));
        node.reload();
    }
    thread::park_timeout(Duration::from_millis(1500));
    let metrics = node.metrics();
    assert_eq!(metrics.sum("refused_syscalls_total", &[]), 0);
    assert!(metrics.0.contains("refused_syscalls_total"), "they are counted");
    let process = node.process();
    assert_eq!(executable_memory(process), [] as [&str; 0]);
    assert!(!is_writable_and_executable(process));
}

/// Without routes and rules there is no thread, no descriptor and no memory for them; with rules that a shard
/// decides by itself there is no thread either.
#[test]
fn nothing_is_there_for_nothing() {
    let plain = Setup::new().start();
    let empty = Setup::new()
        .platform("workers = 'auto'\njobs = 16384")
        .section("[cache]\nsize = '256MiB'")
        .upstream("up", &["127.0.0.1:5399"], "")
        .rules("10.rules", "# nothing yet\n")
        .start();
    let decided = Setup::new().rules("10.rules", "qname-suffix in { example } refuse").start();
    let used = |node: &Node| {
        all_of(node.address(), 2000, 32, Duration::from_secs(5), |n| {
            query(&format!("{n}.10.in-addr.arpa"), 12)
        });
        let process = node.process();
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        let rss: u64 = rss.split_whitespace().next().expect("a number").parse().expect("a number");
        // Files that are read now and then are open for a moment.
        let look = |_| {
            thread::park_timeout(Duration::from_millis(10));
            fs::read_dir(format!("/proc/{process}/fd")).expect("it runs").count()
        };
        let descriptors = (0..50).map(look).min().expect("it is looked");
        (tasks(process), descriptors, rss)
    };
    let (plain, empty, decided) = (used(&plain), used(&empty), used(&decided));
    println!("report: platform_nothing plain {plain:?} empty {empty:?} decided {decided:?}");
    assert_eq!((empty.0, empty.1), (plain.0, plain.1), "threads and descriptors");
    assert_eq!((decided.0, decided.1), (plain.0, plain.1), "threads and descriptors");
    assert!(empty.2 < plain.2 + 1024, "{} KiB, {} KiB without", empty.2, plain.2);
    assert!(decided.2 < plain.2 + 4096, "{} KiB, {} KiB without", decided.2, plain.2);
}

/// With workers, the memory stays within what the start announced.
#[test]
fn memory_is_within_what_was_announced() {
    let server = Upstream::start(|seen| vec![seen.reply().txt(&"x".repeat(900), 3600)]);
    let node = Setup::new()
        .section("[cache]\nsize = '1MiB'")
        .upstream("up", &[server.address], "")
        .route("all", "qname-suffix in { example }", "forward upstream up", "")
        .start();
    let rss = || {
        let status = fs::read_to_string(format!("/proc/{}/status", node.process())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line").to_owned();
        line.split_whitespace().next().expect("a number").parse::<u64>().expect("a number")
    };
    let fill = |round: usize| {
        let ask = |n: usize| query(&format!("n{round}-{n}.example"), 16);
        let all = all_of(node.address(), 4000, 32, Duration::from_secs(5), ask);
        assert!(all.iter().all(Option::is_some));
    };
    fill(0);
    let first = rss();
    (1..5).for_each(fill);
    let last = rss();
    println!("report: platform_memory {first} KiB, then {last} KiB");
    assert!(last < first + 2048, "{first} KiB, then {last} KiB");
    assert!(node.metrics().sum("cache_evicted_total", &[]) > 5000);
}

/// The resolver's process is killed fifty times while queries go on: those for the node's own names notice
/// nothing, and it comes back.
#[test]
fn the_resolver_dies_fifty_times() {
    let address = SocketAddr::new(V4, crate::common::daemon::free_port());
    let setup = Setup::new().section(&format!("[resolver]\nenabled = true\naddress = '{address}'")).route(
        "resolve",
        "qname-suffix in { example }",
        "resolve",
        "",
    );
    let (is_sound, told) = setup.check();
    if !is_sound && told.contains("feature") {
        return crate::common::skip::skipped("this build has no resolver");
    }
    assert!(is_sound, "{told}");
    let node = setup.start();
    let child = || resolvers(node.daemon.id(), address.port());
    let native = |round: usize| {
        let ask = |n: usize| query(&format!("{n}.{round}.10.in-addr.arpa"), 12);
        for reply in all_of(node.address(), 200, 16, Duration::from_secs(5), ask) {
            assert_eq!(Answer::of(&reply.expect("a reply")).rcode, NXDOMAIN);
        }
    };
    for round in 0..50 {
        let found = child();
        if let [process] = found[..] {
            let pid = nix::unistd::Pid::from_raw(process.cast_signed());
            nix::sys::signal::kill(pid, Signal::SIGKILL).expect("it is ours");
        }
        native(round);
        // Nobody resolves at the moment, and that is said in time.
        let answer = node.ask(&format!("n{round}.example"), A);
        assert!([SERVFAIL, NXDOMAIN, 0].contains(&answer.rcode), "{answer:?}");
        thread::park_timeout(Duration::from_millis(20));
    }
    // It is started again with longer and longer pauses.
    let began = std::time::Instant::now();
    while child().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(70), "it does not come back");
        thread::park_timeout(Duration::from_millis(100));
    }
    native(50);
    assert_eq!(node.metrics().sum("refused_syscalls_total", &[]), 0);
}

/// The processes of `as112d resolver` below a node's.
fn resolvers(node: u32, port: u16) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("it is mounted").filter_map(Result::ok);
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_ours = |process: &u32| {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let own = fs::read(format!("/proc/{node}/environ")).unwrap_or_default();
        let family = |text: &[u8]| {
            let all: Vec<Vec<u8>> = text.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
            all.into_iter().find(|variable| variable.starts_with(b"AS112D_TEST_FAMILY="))
        };
        let _ = port;
        line.contains("as112d\0resolver") && family(&environment) == family(&own)
    };
    numbers.filter(is_ours).collect()
}

/// A resolver of somebody else's in the place of ours.
#[test]
fn an_unbound_resolves() {
    let address = SocketAddr::new(V4, crate::common::daemon::free_port());
    let server = Upstream::start_at(address, |seen| vec![seen.truth()]);
    let node = Setup::new()
        .section(&format!("[resolver]\nenabled = false\naddress = '{address}'"))
        .route("resolve", "qname-suffix in { example }", "resolve", "")
        .start();
    let answer = node.ask("a.example", A);
    assert_eq!(answer.address(), Some(truth("a.example")));
    // It is asked as a resolver is: with RD.
    assert!(server.seen()[0].packet[2] & 1 == 1);
    drop(server);
    let lost = node.ask("b.example", A);
    assert_eq!(lost.rcode, SERVFAIL);
    let server = Upstream::start_at(address, |seen| vec![seen.truth()]);
    ask_until(&node, "c.example", A, |answer| answer.rcode == 0);
    wait_until("it is asked", || server.count() > 0);
}
