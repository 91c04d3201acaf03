//! Connections that are begun, from addresses that are not the sender's, and never go on. They are the
//! kernel's to bear; the node has a queue that asks it to.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::common::daemon::{Daemon, V4, get, program, read_message, send_message, wait_until};
use crate::fault::{alone, honest_query, in_own_loopback, ping_pong, report, skipped, tcp_from, tool};
use crate::memory::{announced, held_at_most};

/// Networks for tests of speed (RFC 2544), where nobody is.
const FROM: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// No flood is longer, whatever becomes of the test.
const FLOOD_MAX: Duration = Duration::from_secs(60);

/// A raw socket of this protocol takes packets with their IP header.
const IPPROTO_RAW: i32 = 255;

/// The sum of RFC 1071.
fn checksum(bytes: impl Iterator<Item = u8>) -> u16 {
    let weighed = bytes.enumerate().map(|(at, byte)| u32::from(byte) << if at % 2 == 0 { 8 } else { 0 });
    let sum: u32 = weighed.sum();
    let once = (sum & 0xFFFF) + (sum >> 16);
    !(once as u16 + (once >> 16) as u16)
}

/// The first packet of a connection to a port of 127.0.0.1. The kernel fills in what the IP header leaves.
fn syn(number: u32, port: u16) -> [u8; 40] {
    let mut packet = [0; 40];
    packet[0] = 0x45;
    (packet[8], packet[9]) = (64, 6);
    packet[12..16].copy_from_slice(&(FROM.to_bits() + number % (1 << 17)).to_be_bytes());
    packet[16..20].copy_from_slice(&Ipv4Addr::LOCALHOST.octets());
    packet[20..22].copy_from_slice(&(1024 + (number % 60_000) as u16).to_be_bytes());
    packet[22..24].copy_from_slice(&port.to_be_bytes());
    packet[24..28].copy_from_slice(&number.wrapping_mul(2_654_435_761).to_be_bytes());
    // Five words, SYN, a window.
    (packet[32], packet[33], packet[34]) = (0x50, 0x02, 0xFF);
    // Addresses, protocol and length count too.
    let sum = checksum(packet[12..].iter().copied().chain([0, 6, 0, 20]));
    packet[36..38].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// SYNs as fast as one thread sends them, until it is told to end.
struct SynFlood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u32>,
}

impl SynFlood {
    fn start(port: u16) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(IPPROTO_RAW)));
        let socket = socket.expect("root may");
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut sent = 0;
            let began = Instant::now();
            while began.elapsed() < FLOOD_MAX && !stopped.load(Ordering::Relaxed) {
                assert_eq!(socket.send_to(&syn(sent, port), &to).expect("sent"), 40);
                sent += 1;
            }
            sent
        });
        Self { stop, thread }
    }

    fn goes_on(&self) -> bool {
        !self.thread.is_finished()
    }

    /// How many were sent.
    fn end(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only sends")
    }
}

/// What the kernel counts of TCP in this network under a name.
fn kernel_count(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/net/netstat").expect("the kernel counts");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let [names, values] = [(); 2].map(|()| lines.next().expect("a line").split_whitespace());
    let value = names.zip(values).find(|(other, _)| *other == name).expect("there is such a count").1;
    value.parse().expect("a number")
}

#[test]
fn a_flood_of_syn_keeps_nobody_honest_away() {
    let _turn = alone();
    if !in_own_loopback("syn_flood::a_flood_of_syn_keeps_nobody_honest_away") {
        return;
    }
    // What is sent back goes nowhere, but it can be sent.
    assert!(tool(&format!("ip route add {FROM}/15 dev lo")));
    if fs::read_to_string("/proc/sys/net/ipv4/tcp_syncookies").is_ok_and(|value| value.trim() == "0") {
        return skipped("this kernel has no SYN cookies");
    }
    for datapath in ["io_uring", "mmsg"] {
        let mut command = Command::new(program());
        let own = ["--http", "127.0.0.1:0", "--datapath", datapath];
        command.args(Daemon::arguments(5300, &own));
        let daemon = Daemon::spawn(command, 5300);
        let most = announced(&daemon.announcement, "bounded at ");
        let cookies = kernel_count("SyncookiesSent");

        let flood = SynFlood::start(5300);
        wait_until("the queue of the kernel is full", || kernel_count("SyncookiesSent") > cookies);
        let (began, mut honest, mut slowest) = (Instant::now(), 0, Duration::ZERO);
        while honest < 20 || began.elapsed() < Duration::from_secs(1) {
            let asked = Instant::now();
            let mut stream = tcp_from(honest, daemon.address(V4)).expect("a connection");
            send_message(&mut stream, &honest_query(1));
            assert_eq!(read_message(&mut stream).map(|reply| reply.len()), Some(119), "{datapath}: TCP");
            slowest = slowest.max(asked.elapsed());
            honest += 1;
            assert_eq!(ping_pong(&daemon.udp(V4), 10).len(), 10, "{datapath}: UDP");
        }
        assert!(flood.goes_on(), "{datapath}: all the while it goes on");
        let (sent, held) = (flood.end(), held_at_most(&daemon));
        report(&format!("syn_flood_{datapath}_sent"), sent);
        report(&format!("syn_flood_{datapath}_honest_tcp"), honest);
        report(&format!("syn_flood_{datapath}_honest_tcp_max_ms"), slowest.as_millis());
        assert!(held <= most, "{datapath}: {held} MiB held, {most} announced");

        // None but the honest ones was a connection, and all of those were counted.
        let counts = [
            "as112_tcp_connections_accepted_total",
            "as112_queries_total{service=\"direct\",transport=\"tcp\",family=\"ipv4\"}",
        ];
        wait_until("what was counted is shown", || {
            let metrics = get(daemon.http(), "/metrics");
            counts.iter().all(|name| metrics.contains(&format!("\n{name} {honest}\n")))
        });
        assert_eq!(daemon.stop().0.code(), Some(0));
    }
}
