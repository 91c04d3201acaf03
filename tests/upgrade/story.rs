//! One upgrade, looked at from all sides.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::Command;

use as112d::limits::SUCCESSION_TICK;

use crate::common::daemon::{PATIENCE, V4, free_port, read_message, send_message, wait_until};
use crate::common::query;
use crate::node::{Node, is_there, wait_for_end};

/// Asks so many times over UDP.
fn ask(node: &Node, count: u64) {
    (0..count).for_each(|_| assert!(node.daemon.ask_udp(V4, &query("10.in-addr.arpa.", 6)).len() > 50));
}

/// Totals go on, whether the history is in memory or in a file; and the history has every query once.
#[test]
fn totals_go_on_from_process_to_process() {
    let folder = crate::common::folder();
    for configuration in [String::new(), format!("[history]\ndir = \"{}\"\n", folder.path().display())] {
        let mut node = Node::start(&configuration, &["--shards", "2", "--http", "127.0.0.1:0"]);
        let http = node.daemon.http();
        ask(&node, 7);
        wait_until("seven queries are counted", || node.queries(http) == 7);
        for upgrades in 1..4 {
            node.upgrade();
            assert_eq!(node.queries(http), 7 * upgrades, "nothing is lost or counted twice");
            ask(&node, 7);
            wait_until("the new process counts on", || node.queries(http) == 7 * (upgrades + 1));
        }
        node.stop();
        if !configuration.is_empty() {
            let db = rusqlite::Connection::open(folder.path().join("history.sqlite")).expect("a history");
            let sum = "SELECT sum(count) FROM history WHERE family = 'as112_queries_total'";
            assert_eq!(db.query_row(sum, [], |row| row.get::<_, u64>(0)).expect("rows"), 28);
        }
    }
}

/// Whether a process has a thread of this name.
fn has_thread(pid: u64, name: &str) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").filter_map(Result::ok);
    let name_of = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
    threads.map(name_of).any(|found| found.trim() == name)
}

/// A connection that was there stays with the old process, and what it asks there is counted in the end.
#[test]
fn connections_are_served_to_their_end_and_counted() {
    let mut node = Node::start("", &["--http", "127.0.0.1:0"]);
    let (http, first) = (node.daemon.http(), node.process());
    let query = query("10.in-addr.arpa.", 6);
    let asked = |stream: &mut TcpStream| {
        send_message(stream, &query);
        assert!(read_message(stream).is_some_and(|reply| reply.len() > 50));
    };
    let mut of_first = node.daemon.tcp(V4);
    asked(&mut of_first);
    let second = node.upgrade();
    let mut of_second = node.daemon.tcp(V4);
    asked(&mut of_second);
    asked(&mut of_first);
    assert!(is_there(first));
    let third = node.upgrade();
    for _ in 0..5 {
        asked(&mut of_first);
        asked(&mut of_second);
    }
    // The second one waits for the word of the first.
    drop(of_second);
    wait_until("the second one has no connection", || !has_thread(second, "tcp"));
    asked(&mut of_first);
    // It would have gone by now, many times over.
    for _ in 0..10 {
        std::thread::park_timeout(SUCCESSION_TICK);
        assert!(is_there(first) && is_there(second) && is_there(third));
    }
    drop(of_first);
    wait_for_end(first);
    wait_for_end(second);
    wait_until("what the old ones have served is counted", || node.queries(http) == 14);
    node.stop();
}

#[test]
fn a_connection_is_served_for_so_long_and_no_longer() {
    let mut node = Node::start("[tcp]\ndrain_timeout = \"4s\"\n", &[]);
    let first = node.process();
    let mut stream = node.daemon.tcp(V4);
    let query = query("10.in-addr.arpa.", 6);
    send_message(&mut stream, &query);
    assert!(read_message(&mut stream).is_some());
    node.upgrade();
    let mut served = 0;
    loop {
        send_message(&mut stream, &query);
        if read_message(&mut stream).is_none() {
            break;
        }
        served += 1;
    }
    assert!(served > 0);
    wait_for_end(first);
    node.stop();
}

/// What a reload only names, an upgrade does: the datapath, and with the same sockets.
#[test]
fn the_datapath_changes_with_the_configuration() {
    let mut node = Node::start("", &["--shards", "2"]);
    for datapath in ["mmsg", "auto", "mmsg"] {
        node.configure(&format!("[server]\ndatapath = \"{datapath}\"\n"));
        node.upgrade();
        let found = node.ask("status")["datapath"] == "mmsg";
        assert_eq!(found, datapath == "mmsg" || as112d::sys::self_test().is_err());
        node.check_answers();
    }
    node.stop();
}

/// The sockets stay the same, and get the buffers that the configuration says by now; of theirs, one that is
/// larger stays so.
#[test]
fn buffers_grow_with_the_configuration() {
    let received = |lines: &[String]| -> Vec<u64> {
        let of_line =
            |line: &String| line.split_once("(buffers: receive ")?.1.split_once(" KiB")?.0.parse().ok();
        lines.iter().filter_map(of_line).collect()
    };
    let configuration = |kib: u64| format!("[server]\nrcvbuf = \"{kib}KiB\"\n");
    let mut node = Node::start(&configuration(64), &[]);
    assert_eq!(received(&node.daemon.announcement), [64; 2]);
    for (kib, expected) in [(128, 128), (32, 128)] {
        node.configure(&configuration(kib));
        node.upgrade();
        let said = std::iter::repeat_with(|| node.daemon.next_line());
        let said: Vec<String> = said.take_while(|line| !line.starts_with("control: ")).collect();
        assert_eq!(received(&said), [expected; 2], "{kib} KiB: {said:?}");
    }
    node.stop();
}

/// Sockets are spread over the shards that there are, and addresses come and go.
#[test]
fn shards_and_addresses_change_with_the_configuration() {
    let port = free_port();
    let configuration = |addresses: &[&str], shards: usize| {
        let listen: Vec<String> = addresses.iter().map(|ip| format!("\"{ip}:{port}\"")).collect();
        format!("[server]\nlisten = [{}]\nshards = {shards}\n", listen.join(", "))
    };
    let mut node = Node::with_configuration(port, &configuration(&["127.0.0.1"], 2));
    let reaches = |ip: &str| {
        // From many ports, so that every socket of the group is met.
        for _ in 0..20 {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            socket.send_to(&query("10.in-addr.arpa.", 6), format!("{ip}:{port}")).expect("sent");
            assert!(socket.recv(&mut [0; 1500]).expect("a reply") > 50);
        }
    };
    reaches("127.0.0.1");
    for (addresses, shards) in [
        (&["127.0.0.1", "127.0.0.2"][..], 4),
        (&["127.0.0.1", "127.0.0.2"], 1),
        (&["127.0.0.2"], 3),
        (&["127.0.0.1", "127.0.0.2"], 2),
    ] {
        node.configure(&configuration(addresses, shards));
        node.upgrade();
        assert_eq!(node.ask("status")["shards"], shards);
        addresses.iter().for_each(|ip| reaches(ip));
    }
    node.stop();
}

/// Each process takes the file of its control socket away, unless the next one has it.
#[test]
fn where_it_is_controlled_changes_with_the_configuration() {
    let port = free_port();
    let folder = crate::common::folder();
    let configuration = |name: &str| {
        let path = folder.path().join(name);
        let text = format!("[server]\nlisten = [\"127.0.0.1:{port}\"]\n[control]\npath = {path:?}\n");
        (text, path)
    };
    let (text, first) = configuration("first");
    let mut node = Node::with_configuration(port, &text);
    node.control.clone_from(&first);
    node.upgrade();
    let (text, second) = configuration("second");
    node.configure(&text);
    node.upgrade_to(second.clone());
    wait_until("the old one is gone", || !first.exists());
    assert!(second.exists());
    node.stop();
    assert!(!second.exists());
}

/// Who watches is sent to the successor, which goes on with a drain.
#[test]
fn those_who_watch_meet_the_successor_and_a_drain_goes_on() {
    let mut node = Node::start("", &[]);
    let watch = |node: &Node| {
        let mut stream = UnixStream::connect(node.path("control")).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.write_all(b"as112d 1 watch\n").expect("asked");
        BufReader::new(stream)
    };
    let line = |reader: &mut BufReader<UnixStream>| {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line, or the end");
        line
    };
    let mut watching = watch(&node);
    assert_eq!(line(&mut watching), "{\"state\":\"serving\"}\n");
    node.upgrade();
    assert_eq!(line(&mut watching), "", "the end of the line");
    let mut watching = watch(&node);
    assert_eq!(line(&mut watching), "{\"state\":\"serving\"}\n");
    node.ask("drain");
    assert_eq!(line(&mut watching), "{\"state\":\"draining\"}\n");
    node.upgrade();
    assert_eq!(line(&mut watching), "");
    wait_until("the drain goes on", || node.ask("status")["state"] == "draining");
    node.ask("undrain");
    assert_eq!(node.ask("status")["state"], "serving");
    node.stop();
}

/// SIGUSR2 is the other way to ask for it; and a new program lies where the old one lay.
#[test]
fn a_signal_upgrades_too() {
    let node = Node::start("", &[]);
    let first = node.process();
    node.daemon.signal(12);
    wait_until("another process serves", || node.process() != first);
    wait_for_end(first);
    node.check_answers();
    assert!(fs::symlink_metadata(node.path("control")).is_ok(), "the socket has its file");
    let port = node.daemon.port;
    node.stop();
    // Nobody holds the sockets any more.
    TcpListener::bind((V4, port)).expect("free");
    UdpSocket::bind((V4, port)).expect("free");
}

/// What the launcher has blocked is not blocked in what it starts.
#[test]
fn a_successor_without_filters_hears_signals_too() {
    let mut node = Node::start("[confine]\nseccomp = \"off\"\n", &[]);
    let successor = node.upgrade();
    let signal = |name: &str| {
        let status = Command::new("kill").args([name, &successor.to_string()]).status();
        assert!(status.expect("kill runs").success());
    };
    node.configure("no such key = 1\n");
    signal("-HUP");
    let stale = || node.ask("status")["configuration"]["stale"].is_object();
    wait_until("it reads its configuration again", stale);
    signal("-TERM");
    wait_for_end(successor);
}
