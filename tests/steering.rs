//! Steering for real: on the loopback a datagram is received on the CPU that sent it, so that a client that
//! is pinned knows which shard must answer. Nothing may be lost on the way, and every answer is right.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Instant;

use as112d::sys::cpu;
use common::daemon::{Daemon, PATIENCE, V4, V6};
use common::decode::Message;
use common::query;
use common::skip::skipped;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

/// A node of two shards on two CPUs.
struct Node {
    daemon: Daemon,
    http: SocketAddr,
    /// Datagrams of each shard when they were last asked for.
    seen: [u64; 2],
}

impl Node {
    fn start(arguments: &[&str]) -> Self {
        let daemon = Daemon::start(&[&["--shards", "2", "--http", "127.0.0.1:0"], arguments].concat());
        let http = daemon.http();
        Self { daemon, http, seen: [0, 0] }
    }

    /// How many datagrams each shard got since this was last asked, once they are `expected` together.
    fn shares(&mut self, expected: u64) -> [u64; 2] {
        let begin = Instant::now();
        loop {
            let now = self.datagrams();
            let shares = [now[0] - self.seen[0], now[1] - self.seen[1]];
            if shares.iter().sum::<u64>() >= expected || begin.elapsed() > PATIENCE {
                self.seen = now;
                return shares;
            }
        }
    }

    fn datagrams(&self) -> [u64; 2] {
        let mut stream = TcpStream::connect(self.http).expect("connected");
        stream
            .write_all(b"GET /stats.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let body = answer.split_once("\r\n\r\n").expect("a body").1;
        let stats: Value = serde_json::from_str(body).expect("JSON");
        [0, 1].map(|shard| stats["shards"][shard]["counters"]["shard_datagrams"].as_u64().expect("a count"))
    }
}

/// Asks `count` times, one after the other, from one port; every answer must come, and be right.
fn ask(address: SocketAddr, client: &UdpSocket, is_connected: bool, count: u16) {
    client.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    for id in 1..=count {
        let mut packet = query("1.1.168.192.in-addr.arpa", 12);
        packet[..2].copy_from_slice(&id.to_be_bytes());
        let sent = if is_connected { client.send(&packet) } else { client.send_to(&packet, address) };
        sent.expect("sent");
        let mut reply = [0; 2048];
        let (len, from) = client.recv_from(&mut reply).expect("an answer");
        let message = Message::decode(&reply[..len]).expect("sound");
        assert_eq!((from, message.header.id, message.header.rcode()), (address, id, 3));
        assert_eq!(reply[12..packet.len()], packet[12..]);
    }
}

/// The first two CPUs that a thread of ours can be on.
fn two_cpus() -> Option<[usize; 2]> {
    let cpus = cpu::affinity().expect("the kernel says");
    let two = cpus.first_chunk().copied();
    if two.is_none() {
        skipped("to steer between CPUs takes two");
    }
    two
}

fn datapaths() -> &'static [&'static str] {
    if as112d::sys::self_test().is_ok() { &["io_uring", "mmsg"] } else { &["mmsg"] }
}

#[test]
fn by_cpu_each_query_is_answered_where_it_was_received() {
    const CLIENTS: u64 = 8;
    const EACH: u16 = 25;
    let Some([a, b]) = two_cpus() else { return };
    for datapath in datapaths() {
        for order in [[a, b], [b, a]] {
            let cpus = format!("{},{}", order[0], order[1]);
            let mut node = Node::start(&["--cpus", &cpus, "--steer", "cpu", "--datapath", datapath]);
            let line = "steering: cpu (as configured)";
            assert!(
                node.daemon.announcement.iter().any(|told| told == line),
                "{:?}",
                node.daemon.announcement
            );
            for (shard, on) in order.into_iter().enumerate() {
                for ip in [V4, V6] {
                    let (asked, address) = (u64::from(EACH) * CLIENTS, node.daemon.address(ip));
                    let client = move || {
                        cpu::pin(on).expect("it is in the mask");
                        for client in 0..CLIENTS {
                            let socket = UdpSocket::bind((ip, 0)).expect("a socket");
                            let is_connected = client % 2 == 0;
                            if is_connected {
                                socket.connect(address).expect("connected");
                            }
                            ask(address, &socket, is_connected, EACH);
                        }
                    };
                    std::thread::scope(|scope| scope.spawn(client).join()).expect("every answer came");
                    let mut expected = [0, 0];
                    expected[shard] = asked;
                    assert_eq!(node.shares(asked), expected, "{datapath}, shards on {cpus}, client on {on}");
                }
            }
        }
    }
}

/// A socket that lets others of its kind have its port: one of them keeps it, and those that are connected
/// get the replies.
fn bind_beside(ip: IpAddr, port: u16) -> UdpSocket {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("set");
    socket.bind(&address.into()).expect("the port is ours");
    socket.into()
}

/// The kernel's own hash is one of addresses and ports: a flow that comes again from the same port stays
/// where it was. The hash that steering reads belongs to the packet: on the loopback it is that of the
/// client's socket, a new one for each socket that connects.
#[test]
fn by_hash_a_socket_stays_with_its_shard_and_a_new_one_may_not() {
    const SOCKETS: u16 = 40;
    const EACH: u16 = 5;
    for datapath in datapaths() {
        for (steer, ip) in [("off", V4), ("hash", V4), ("hash", V6)] {
            let mut node = Node::start(&["--steer", steer, "--datapath", datapath]);
            let keeper = bind_beside(ip, 0);
            let port = keeper.local_addr().expect("bound").port();
            let mut sockets_of = [0, 0];
            for _ in 0..SOCKETS {
                let socket = bind_beside(ip, port);
                socket.connect(node.daemon.address(ip)).expect("connected");
                ask(node.daemon.address(ip), &socket, true, EACH);
                let shares = node.shares(u64::from(EACH));
                let shard = shares.iter().position(|&share| share == u64::from(EACH));
                sockets_of[shard.unwrap_or_else(|| panic!("one socket, two shards: {shares:?}"))] += 1;
            }
            assert_eq!(sockets_of.iter().sum::<u16>(), SOCKETS);
            let shards_used = sockets_of.iter().filter(|&&count| count > 0).count();
            assert_eq!(
                shards_used,
                if steer == "off" { 1 } else { 2 },
                "{steer}, {datapath}: {sockets_of:?}"
            );
        }
    }
}

/// Sockets that never connect have no hash; the kernel's own then spreads them.
#[test]
fn by_hash_what_has_none_is_spread_all_the_same() {
    const CLIENTS: u64 = 64;
    let mut node = Node::start(&["--steer", "hash"]);
    for _ in 0..CLIENTS {
        ask(node.daemon.address(V4), &UdpSocket::bind((V4, 0)).expect("a socket"), false, 1);
    }
    let shares = node.shares(CLIENTS);
    assert!(shares.iter().sum::<u64>() == CLIENTS && shares.iter().all(|&share| share > 0), "{shares:?}");
}

#[test]
fn a_node_that_polls_answers() {
    for datapath in datapaths() {
        let mut node = Node::start(&["--busy-poll", "50", "--datapath", datapath]);
        let line = "busy polling: 50 microseconds before a shard sleeps";
        assert!(node.daemon.announcement.iter().any(|told| told == line), "{:?}", node.daemon.announcement);
        ask(node.daemon.address(V4), &UdpSocket::bind((V4, 0)).expect("a socket"), false, 100);
        assert_eq!(node.shares(100).iter().sum::<u64>(), 100);
    }
}
