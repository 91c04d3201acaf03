//! Where replies leave from, and those that cannot leave.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use as112d::net::tcp::TcpSettings;
use as112d::net::{Datapath, DatapathChoice, Net, Plan};
use as112d::serve::published::Published;
use as112d::stats::counters::{SEND_ERRORS, SHARD_RECEIVED, SHARD_SENT, Totals};
use as112d::stats::labels::{ERRNO, Names};
use as112d::stats::ledger::LedgerSettings;
use as112d::sys::confine::Confined;
use as112d::sys::sockets::{self, UdpOptions};
use crossbeam_channel::unbounded;

use crate::common::daemon::{Daemon, PATIENCE, V4, V6, free_port, program, read_message, send_message};
use crate::common::node;
use crate::fault::{
    beside, collect_ids, honest_query, in_own_loopback, ping_pong, report, skipped, tool, wait_until,
};

#[test]
fn behind_a_wildcard_they_leave_from_the_address_that_was_asked() {
    let _turn = beside();
    let v4 = |last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
    for datapath in ["io_uring", "mmsg"] {
        let port = free_port();
        let mut command = Command::new(program());
        command.args(["--datapath", datapath, "--shards", "2"]);
        command.args(["--listen", &format!("0.0.0.0:{port}"), "--listen", &format!("[::]:{port}")]);
        let daemon = Daemon::spawn(command, port);
        for asked in [v4(1), v4(2), v4(77), V6] {
            let address = SocketAddr::new(asked, port);
            let anywhere: IpAddr = if asked.is_ipv4() {
                Ipv4Addr::UNSPECIFIED.into()
            } else {
                std::net::Ipv6Addr::UNSPECIFIED.into()
            };
            // Several ports, so that every shard is asked.
            for id in 0..16 {
                let client = UdpSocket::bind((anywhere, 0)).expect("a socket");
                client.set_read_timeout(Some(PATIENCE)).expect("a time-out");
                client.send_to(&honest_query(id), address).expect("sent");
                let mut reply = [0; 512];
                assert_eq!(client.recv_from(&mut reply).expect("a reply"), (119, address), "{datapath}");
                assert_eq!(reply[..2], id.to_be_bytes());
            }
            let mut stream = TcpStream::connect(address).expect("a connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            send_message(&mut stream, &honest_query(9));
            assert_eq!(read_message(&mut stream).map(|reply| reply.len()), Some(119), "{datapath}");
        }
        assert_eq!(daemon.stop().0.code(), Some(0));
    }
}

/// Queries that wait in the socket before anybody answers.
const WAITING: usize = 400;

/// A server in this process, whose counters can be read.
struct Server {
    net: Net,
    address: SocketAddr,
}

impl Server {
    /// Binds; `before` may send queries to the address, and spoil the way back; then serves.
    fn start(choice: DatapathChoice, options: &UdpOptions, before: impl FnOnce(SocketAddr)) -> Self {
        let sockets = sockets::bind_udp_group(SocketAddr::new(V4, 0), 1, options).expect("a port is free");
        let address = sockets[0].local_addr().expect("it is bound");
        before(address);
        let plan = Plan {
            choice,
            busy_poll: 0,
            cpus: vec![None],
            groups: vec![(address, sockets)],
            listeners: Vec::new(),
            tcp: TcpSettings::default(),
            published: Published::new(node(&[])),
            ledgers: LedgerSettings::default(),
            desks: Vec::new(),
            confined: Confined::default(),
            is_successor: false,
        };
        let mut net = Net::start(plan, &unbounded().0).expect("it starts");
        net.open().expect("it serves");
        Self { net, address }
    }

    /// What was counted once all that is sent was seen: `received` datagrams.
    fn totals(&self, received: u64) -> Totals {
        let seen = || self.net.totals().sum(SHARD_RECEIVED) >= received;
        assert!(wait_until(PATIENCE, seen).is_some(), "{received} of {:?}", self.net.totals());
        // The failures of a batch are counted with the batch, or with the next.
        let settled = || self.net.totals().sum(SHARD_SENT) + lost(&self.net.totals()) >= received;
        assert!(wait_until(PATIENCE, settled).is_some(), "{received} of {:?}", self.net.totals());
        self.net.totals()
    }
}

fn lost(totals: &Totals) -> u64 {
    totals.sum(SEND_ERRORS)
}

fn lost_to(totals: &Totals, errno: &str) -> u64 {
    let names = Names::default();
    let value = (0..ERRNO.len).find(|value| names.value(&ERRNO, *value) == errno);
    SEND_ERRORS.of(totals)[value.expect("an error that is counted")]
}

fn client(ip: IpAddr, to: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind((ip, 0)).expect("a socket");
    client.connect(to).expect("connected");
    client
}

fn datapaths() -> Vec<DatapathChoice> {
    if as112d::sys::self_test().is_err() {
        skipped("this host denies io_uring; only mmsg is tried");
        return vec![DatapathChoice::Mmsg];
    }
    vec![DatapathChoice::IoUring, DatapathChoice::Mmsg]
}

#[test]
fn one_that_has_no_way_back_is_lost_alone_and_counted() {
    let _turn = beside();
    if !in_own_loopback("replies::one_that_has_no_way_back_is_lost_alone_and_counted") {
        return;
    }
    let stranger: IpAddr = "198.51.100.9".parse().expect("an address");
    for (index, datapath) in datapaths().into_iter().enumerate() {
        assert!(tool("ip address replace 198.51.100.9/32 dev lo"));
        let ordinary = UdpSocket::bind((V4, 0)).expect("a socket");
        let mut server = Server::start(datapath, &UdpOptions::default(), |address| {
            ordinary.connect(address).expect("connected");
        });
        assert_eq!(server.net.datapath == Datapath::IoUring, datapath == DatapathChoice::IoUring);
        let spoiled = client(stranger, server.address);
        assert_eq!(ping_pong(&spoiled, 1).len(), 1, "there is a way back at first");
        let mut received = 1;
        for (kind, route) in ["prohibit", "unreachable", "blackhole"].into_iter().enumerate() {
            assert!(tool("ip route flush table local 198.51.100.9/32"));
            assert!(tool(&format!("ip route add table local {route} 198.51.100.9/32")));
            // Good and bad in turn, so that they stand in one batch.
            for id in 0..50 {
                ordinary.send(&honest_query(id)).expect("sent");
                spoiled.send(&honest_query(id)).expect("sent");
            }
            received += 100;
            assert_eq!(collect_ids(&ordinary, 50).len(), 50, "{datapath:?}: the others get theirs");
            let totals = server.totals(received);
            let counts = ["EPERM", "EHOSTUNREACH", "EINVAL"].map(|errno| lost_to(&totals, errno));
            let expected: Vec<u64> = (0..3).map(|counted| if counted <= kind { 50 } else { 0 }).collect();
            assert_eq!(counts[..], expected[..], "{datapath:?}, {route}: {totals:?}");
            assert_eq!(totals.sum(SHARD_SENT) + lost(&totals), received, "{datapath:?}: {totals:?}");
        }
        assert!(tool("ip route flush table local 198.51.100.9/32"));
        assert!(tool("ip route add table local local 198.51.100.9/32 dev lo src 198.51.100.9"));
        assert_eq!(ping_pong(&spoiled, 100).len(), 100, "{datapath:?}, run {index}: the way is there again");
        server.net.stop();
    }
}

#[test]
fn those_beyond_a_full_send_buffer_are_lost_alone_and_counted() {
    let _turn = beside();
    if !in_own_loopback("replies::those_beyond_a_full_send_buffer_are_lost_alone_and_counted") {
        return;
    }
    let slow = "tc qdisc add dev lo root tbf rate 8kbit burst 2000 limit 1000000";
    if !tool(slow) || !tool("tc qdisc del dev lo root") {
        return skipped("the network cannot be slowed down without tc and its token bucket");
    }
    for datapath in datapaths() {
        let ordinary = UdpSocket::bind((V4, 0)).expect("a socket");
        let options = UdpOptions { rcvbuf: 4 << 20, sndbuf: 4 << 10, ..UdpOptions::default() };
        let mut server = Server::start(datapath, &options, |address| {
            ordinary.connect(address).expect("connected");
            (0..WAITING).for_each(|id| {
                ordinary.send(&honest_query(id as u16)).expect("sent");
            });
            assert!(tool(slow));
        });
        let totals = server.totals(WAITING as u64);
        assert!(lost_to(&totals, "EAGAIN") > 0 && totals.sum(SHARD_SENT) > 0, "{datapath:?}: {totals:?}");
        assert_eq!(totals.sum(SHARD_SENT) + lost(&totals), WAITING as u64, "{datapath:?}: {totals:?}");
        report(&format!("send_buffer_full_{datapath:?}_lost"), lost_to(&totals, "EAGAIN"));
        assert!(tool("tc qdisc del dev lo root"));
        // What the queue still held went with it, or came.
        ordinary.set_read_timeout(Some(Duration::from_millis(50))).expect("a time-out");
        while ordinary.recv(&mut [0; 512]).is_ok() {}
        assert_eq!(ping_pong(&ordinary, 1000).len(), 1000, "{datapath:?}: then all is well");
        server.net.stop();
    }
}
