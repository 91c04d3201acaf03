//! Upgrades one after the other while clients ask: no query is lost.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use as112d::sys::sockets;

use crate::common::daemon::{PATIENCE, V4, dropped_by_loopback, get, send_message, wait_until};
use crate::common::query;
use crate::common::skip::skipped;
use crate::node::Node;

/// Queries that a client over TCP has on the way.
const WINDOW: u16 = 16;

#[derive(Clone, Copy, PartialEq)]
enum Transport {
    Udp,
    Tcp,
}

/// How clients fared.
#[derive(Default)]
struct Tally {
    asked: AtomicU64,
    answered: AtomicU64,
}

fn numbered(id: u16) -> Vec<u8> {
    let mut query = query("1.168.192.in-addr.arpa.", 6);
    query[..2].copy_from_slice(&id.to_be_bytes());
    query
}

impl Tally {
    /// An open loop: a query each millisecond or so, whatever becomes of the others. What is not answered
    /// within seconds of the last one is lost, but for what the client itself had no room for.
    fn udp(&self, target: SocketAddr, stop: &AtomicBool) {
        let socket = UdpSocket::bind((V4, 0)).expect("a socket");
        socket.connect(target).expect("connected");
        socket.set_read_timeout(Some(Duration::from_secs(3))).expect("a time-out");
        let is_over = || stop.load(Ordering::Relaxed);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut id = 0_u16;
                while !is_over() {
                    id = id.wrapping_add(1);
                    socket.send(&numbered(id)).expect("sent");
                    self.asked.fetch_add(1, Ordering::Relaxed);
                    thread::park_timeout(Duration::from_millis(1));
                }
            });
            let mut reply = [0; 1500];
            loop {
                let began_over = is_over();
                match socket.recv(&mut reply) {
                    Ok(len) => {
                        assert!(len > 50 && reply[3] & 0xF == 3, "there is no such name");
                        self.answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) if began_over => break,
                    Err(_) => {}
                }
            }
        });
        let no_room = sockets::drops(&socket).expect("the kernel counts them");
        self.answered.fetch_add(u64::from(no_room), Ordering::Relaxed);
    }

    /// Connection after connection, with a few windows full on each.
    fn tcp(&self, target: SocketAddr, stop: &AtomicBool) {
        let mut reply = vec![0; 65_535];
        while !stop.load(Ordering::Relaxed) {
            let mut stream = TcpStream::connect(target).expect("a connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            for _ in 0..4 {
                (0..WINDOW).for_each(|id| send_message(&mut stream, &numbered(id)));
                self.asked.fetch_add(u64::from(WINDOW), Ordering::Relaxed);
                for _ in 0..WINDOW {
                    let mut prefix = [0; 2];
                    stream.read_exact(&mut prefix).expect("a reply");
                    let len = usize::from(u16::from_be_bytes(prefix));
                    stream.read_exact(&mut reply[..len]).expect("all of it");
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// Upgrades so many times while four clients ask.
fn storm(datapath: &str, transport: Transport, upgrades: u64) {
    let mut node = Node::start("", &["--shards", "2", "--datapath", datapath]);
    let (tally, stop) = (Tally::default(), AtomicBool::new(false));
    let (target, dropped) = (node.daemon.address(V4), dropped_by_loopback());
    thread::scope(|scope| {
        for _ in 0..4 {
            match transport {
                Transport::Udp => scope.spawn(|| tally.udp(target, &stop)),
                Transport::Tcp => scope.spawn(|| tally.tcp(target, &stop)),
            };
        }
        for _ in 0..upgrades {
            node.upgrade();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (asked, answered) = (tally.asked.load(Ordering::Relaxed), tally.answered.load(Ordering::Relaxed));
    let name = if transport == Transport::Udp { "udp" } else { "tcp" };
    println!("report: upgrade_{datapath}_{name}_lost {} of {asked} over {upgrades}", asked - answered);
    assert!(asked > 10 * upgrades, "{asked}");
    // Whatever else there is, the host lost it before a node saw it.
    let dropped = dropped_by_loopback() - dropped;
    assert!(asked - answered <= dropped, "{answered} of {asked} answered, {dropped} dropped by the host");
    node.stop();
}

#[test]
fn fifty_upgrades_lose_nothing() {
    storm("auto", Transport::Udp, 50);
}

#[test]
fn with_mmsg_upgrades_lose_nothing() {
    storm("mmsg", Transport::Udp, 10);
}

#[test]
fn upgrades_lose_nothing_over_tcp() {
    storm("auto", Transport::Tcp, 10);
    storm("mmsg", Transport::Tcp, 10);
}

/// The same as dnsperf sees it, at a steady rate over connections that last.
#[test]
fn dnsperf_loses_nothing() {
    if Command::new("dnsperf").arg("-h").output().is_err() {
        return skipped("there is no dnsperf");
    }
    for (mode, datapath, upgrades) in [("udp", "auto", 10), ("tcp", "auto", 4), ("udp", "mmsg", 4)] {
        let mut node = Node::start("", &["--shards", "2", "--datapath", datapath]);
        let dropped = dropped_by_loopback();
        fs::write(node.path("queries"), "1.168.192.in-addr.arpa PTR\n10.in-addr.arpa SOA\n")
            .expect("written");
        let port = node.daemon.port.to_string();
        let mut dnsperf = Command::new("dnsperf")
            .args(["-s", "127.0.0.1", "-p", &port, "-m", mode, "-Q", "5000", "-l", "6", "-t", "3", "-d"])
            .arg(node.path("queries"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("dnsperf runs");
        // It warms up first.
        thread::park_timeout(Duration::from_millis(300));
        for _ in 0..upgrades {
            node.upgrade();
        }
        let mut report = String::new();
        dnsperf.stdout.take().expect("piped").read_to_string(&mut report).expect("a report");
        assert!(dnsperf.wait().expect("it ends").success());
        let number = |name: &str| {
            let line = report.lines().find_map(|line| line.trim().strip_prefix(name)).expect(name);
            line.split_whitespace().next().expect("a number").parse::<u64>().expect("a number")
        };
        assert!(number("Queries sent:") > 5000, "{report}");
        let dropped = dropped_by_loopback() - dropped;
        assert!(number("Queries lost:") <= dropped, "{mode} {datapath}, {dropped} by the host: {report}");
        node.stop();
    }
}

/// What the kernel says that it has dropped at the sockets of a port.
fn dropped_at(port: u16) -> u64 {
    let of_table = |table: &str| -> u64 {
        let text = fs::read_to_string(table).unwrap_or_default();
        let at_port = |line: &&str| {
            let local = line.split_whitespace().nth(1).unwrap_or_default();
            local.rsplit(':').next().is_some_and(|found| u16::from_str_radix(found, 16) == Ok(port))
        };
        let drops = |line: &str| line.split_whitespace().last()?.parse::<u64>().ok();
        text.lines().skip(1).filter(at_port).filter_map(drops).sum()
    };
    of_table("/proc/net/udp") + of_table("/proc/net/udp6")
}

/// What the kernel drops at a socket is counted once, by whichever process has it then.
#[test]
fn drops_are_exact_over_upgrades() {
    let mut node = Node::start(
        "[server]\nrcvbuf = \"4KiB\"\n",
        &["--shards", "2", "--datapath", "mmsg", "--http", "127.0.0.1:0"],
    );
    let (http, target, port) = (node.daemon.http(), node.daemon.address(V4), node.daemon.port);
    let counted = || -> u64 {
        let text = get(http, "/metrics");
        let lines = text.lines().filter(|line| line.starts_with("as112_socket_drops_total{"));
        lines.map(|line| line.rsplit(' ').next().expect("a value").parse::<u64>().expect("a number")).sum()
    };
    let flood = |stop: &AtomicBool| {
        let socket = UdpSocket::bind((V4, 0)).expect("a socket");
        socket.connect(target).expect("connected");
        while !stop.load(Ordering::Relaxed) {
            (0..200).for_each(|id| drop(socket.send(&numbered(id))));
            thread::park_timeout(Duration::from_millis(2));
        }
    };
    for upgrades in 1..=4 {
        let (stop, before) = (AtomicBool::new(false), dropped_at(port));
        thread::scope(|scope| {
            let flooding: Vec<_> = (0..3).map(|_| scope.spawn(|| flood(&stop))).collect();
            wait_until("it drops some", || dropped_at(port) > before);
            node.upgrade();
            stop.store(true, Ordering::Relaxed);
            flooding.into_iter().for_each(|thread| thread.join().expect("it sends"));
        });
        let dropped = dropped_at(port);
        // Nothing comes any more: they are counted within a second, and there they stay.
        wait_until(&format!("{dropped} drops are counted after {upgrades}"), || counted() == dropped);
    }
    node.stop();
}
