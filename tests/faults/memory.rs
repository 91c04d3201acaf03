//! The bound on memory that the node announces, and clients who do what they can to pass it.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::common::daemon::{Daemon, PATIENCE, V4, get, program, read_message};
use crate::fault::{
    Flood, alone, answers_again, argument, beside, config, honest_query, may, pause, ping_pong, report,
    skipped, tool, wait_until,
};
use crate::host::ControlGroup;

/// A node whose bound is small, so that there is little room for what was forgotten: the history is in a
/// folder, and the buffers of TCP have 4 MiB.
fn small(dir: &std::path::Path) -> String {
    format!(
        "[tcp]\nbuffers_max = '4MiB'\nconnections_max = 1000\nconnections_per_address_max = 1000\n\
         [history]\ndir = '{}'\n[sources]\nsample_every = 1\n",
        dir.display()
    )
}

/// MiB behind a word of the line about memory in what the node says.
pub fn announced(announcement: &[String], before: &str) -> u64 {
    let line = announcement.iter().find(|line| line.starts_with("memory: ")).expect("a line on memory");
    let behind = line.split_once(before).unwrap_or_else(|| panic!("{before}: {line}")).1;
    behind.split_whitespace().next().expect("a number").parse().expect("a number")
}

/// What `check` says about the memory of a node that was started with these arguments.
fn checked(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = Command::new(program())
        .arg("check")
        .args(Daemon::arguments(daemon.port, arguments).into_iter().skip(1))
        .output()
        .expect("it runs");
    let said = String::from_utf8(output.stdout).expect("it is text");
    let line = said.lines().find_map(|line| line.strip_prefix("memory")).expect("a line on memory");
    format!("memory: {line}")
}

/// MiB that the process has held at most, rounded up.
pub fn held_at_most(daemon: &Daemon) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line on memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number").div_ceil(1024)
}

/// A query from each of so many networks, so that all are told apart.
fn from_many_networks(to: SocketAddr, count: u32) {
    for number in 0..count {
        let ip = Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 1).to_bits() + (number << 8));
        let socket = UdpSocket::bind((ip, 0)).expect("127/8 is ours");
        socket.send_to(&honest_query(1), to).expect("sent");
    }
}

/// A client that asks and takes nothing, until the node reads no more; what it could not send stays with it.
fn never_reads(to: SocketAddr) -> Option<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(2048).expect("set");
    socket.connect(&to.into()).ok()?;
    let mut stream = TcpStream::from(socket);
    stream.set_nonblocking(true).expect("set");
    let mut framed = vec![0, 42];
    framed.extend(honest_query(1));
    let burst = framed.repeat(2000);
    while stream.write(&burst).is_ok_and(|len| len > 0) {}
    Some(stream)
}

/// A client with all of the longest message but its last byte.
fn never_ends(to: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(to).ok()?;
    stream.set_nonblocking(true).expect("set");
    let mut message = vec![0xFF, 0xFF];
    message.resize(60_000, 0);
    // As much as the kernel takes is enough.
    let _ = stream.write(&message);
    Some(stream)
}

/// A look back over two years by the hour.
const LOOK_BACK: &str = "/client/v4/radar/as112/timeseries_groups/QUERY_TYPE?aggInterval=1h&dateRange=364d\
                         &dateRange=364d";

/// Clients of HTTP that ask for the longest answers and take nothing, or never end their head.
fn abuse_of_http(to: SocketAddr) -> Vec<TcpStream> {
    let heads = [
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        format!("GET {LOOK_BACK} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(7000)),
    ];
    let deaf = |head: &String| {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(2048).expect("set");
        socket.connect(&to.into()).ok()?;
        let mut stream = TcpStream::from(socket);
        stream.write_all(head.as_bytes()).ok()?;
        Some(stream)
    };
    heads.iter().cycle().take(48).filter_map(deaf).collect()
}

/// All of it at once for as long as `time`.
fn abuse(daemon: &Daemon, http: SocketAddr, time: Duration) {
    let looked_back = get(http, LOOK_BACK).len();
    assert!(looked_back > 500_000, "it is a long answer: {looked_back} bytes");
    as112d::sys::sockets::raise_nofile().expect("the kernel lets us");
    let address = daemon.address(V4);
    from_many_networks(address, 60_000);
    let flood = Flood::start(address);
    let began = Instant::now();
    while began.elapsed() < time {
        let _deaf: Vec<_> = (0..600).filter_map(|_| never_reads(address)).collect();
        let _endless: Vec<_> = (0..600).filter_map(|_| never_ends(address)).collect();
        let _http = abuse_of_http(http);
        pause(Duration::from_millis(1500));
    }
    assert!(flood.end() > 0);
    // It lives, and serves, once what the flood has left in the queue of a shard is answered.
    // So many clients come to every shard.
    let answers = || (0..20).all(|_| answers_again(&daemon.udp(V4)));
    assert!(wait_until(3 * PATIENCE, answers).is_some(), "it answers again");
}

#[test]
fn abuse_does_not_pass_what_was_announced() {
    let _turn = alone();
    let dir = crate::common::folder();
    let file = config(&small(dir.path()));
    for datapath in ["io_uring", "mmsg"] {
        let arguments = [
            "--config",
            argument(file.path()),
            "--datapath",
            datapath,
            "--shards",
            "2",
            "--http",
            "127.0.0.1:0",
        ];
        let daemon = Daemon::start(&arguments);
        let most = announced(&daemon.announcement, "bounded at ");
        let start = announced(&[checked(&daemon, &arguments)], "threads ");
        let before = held_at_most(&daemon);
        report(&format!("memory_{datapath}_announced_mib"), most);
        report(&format!("memory_{datapath}_at_start_mib"), before);
        assert!(before <= start, "{before} MiB at the start, {start} announced");
        abuse(&daemon, daemon.http(), Duration::from_secs(4));
        let held = held_at_most(&daemon);
        report(&format!("memory_{datapath}_under_abuse_mib"), held);
        assert!(held <= most, "{datapath}: {held} MiB held, {most} announced");
        // What is announced is no fantasy either: the abuse comes near enough to be one.
        assert!(held > before, "{datapath}: {held} MiB");
        assert_eq!(daemon.stop().0.code(), Some(0));
    }
}

#[test]
fn check_announces_what_run_does() {
    let _turn = beside();
    let dir = crate::common::folder();
    let file = config(&small(dir.path()));
    let arguments = ["--config", argument(file.path()), "--shards", "2"];
    let daemon = Daemon::start(&arguments);
    let checked = announced(&[checked(&daemon, &arguments)], "bounded at ");
    let running = announced(&daemon.announcement, "bounded at ");
    assert!(checked.abs_diff(running) <= 4, "{checked} and {running} MiB");
}

/// A control group that bounds memory, of whichever version there is.
fn group_with(mib: u64) -> Option<ControlGroup> {
    let bytes = (mib << 20).to_string();
    let kinds = [
        ("/sys/fs/cgroup/memory", vec![("memory.limit_in_bytes", bytes.as_str())]),
        ("/sys/fs/cgroup", vec![("memory.max", bytes.as_str())]),
    ];
    kinds.iter().find_map(|(root, settings)| ControlGroup::new(root, settings))
}

#[test]
fn within_a_control_group_as_large_as_announced_no_abuse_kills_it() {
    let _turn = alone();
    if !may("make control groups") {
        return;
    }
    let dir = crate::common::folder();
    let file = config(&small(dir.path()));
    let further = ["--config", argument(file.path()), "--shards", "1", "--http", "127.0.0.1:0"];
    let most = announced(&Daemon::start(&further).announcement, "bounded at ");
    let Some(group) = group_with(most) else {
        return skipped("no control group that bounds memory can be made here");
    };
    let daemon = group.daemon(&further);
    abuse(&daemon, daemon.http(), Duration::from_secs(2));
    assert_eq!(daemon.stop().0.code(), Some(0));
    drop(group);

    // With less it says so, and goes on; with far less it does not start.
    let group = group_with(most - 8).expect("as before");
    let daemon = group.daemon(&further);
    let note = "warning: the limit of its control group is ";
    assert!(daemon.announcement.iter().any(|line| line.starts_with(note)), "{:?}", daemon.announcement);
    assert_eq!(daemon.stop().0.code(), Some(0));
    drop(group);
    let group = group_with(16).expect("as before");
    let (code, said) = group.ended(&further);
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(
        said.starts_with("the node needs ") && said.contains("the limit of its control group is 16 MiB"),
        "{said}"
    );
}

#[test]
fn a_limit_of_address_space_is_noted() {
    let _turn = beside();
    if !tool("prlimit --version") {
        return skipped("there is no prlimit");
    }
    let daemon = Daemon::start_with(&[], |command| {
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        *command = Command::new("prlimit");
        command.arg(format!("--as={}", 192 << 20)).arg(program()).args(arguments);
    });
    let note = "warning: its address space limit (ulimit -v) is 192 MiB, less than the node may need";
    assert!(daemon.announcement.iter().any(|line| line.starts_with(note)), "{:?}", daemon.announcement);
    assert_eq!(ping_pong(&daemon.udp(V4), 100).len(), 100);
    assert_eq!(daemon.stop().0.code(), Some(0));
}

#[test]
fn connections_leave_no_memory_behind() {
    let _turn = beside();
    let daemon = Daemon::start(&[]);
    let round = |count: usize| {
        for number in 0..count {
            let mut stream = daemon.tcp(V4);
            let mut framed = vec![0, 42];
            framed.extend(honest_query(number as u16));
            stream.write_all(&framed).expect("sent");
            // One in two goes without its answer, by a reset.
            if number % 2 == 0 {
                assert!(read_message(&mut stream).is_some());
            } else {
                let gone = Socket::from(stream);
                gone.set_linger(Some(Duration::ZERO)).expect("set");
            }
        }
    };
    round(2000);
    let before = held_at_most(&daemon);
    round(8000);
    let after = held_at_most(&daemon);
    report("memory_after_2000_connections_mib", before);
    report("memory_after_10000_connections_mib", after);
    assert!(after <= before + 2, "{before} MiB, then {after}");
}
