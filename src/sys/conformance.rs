//! One suite for both datapaths, over real sockets on the loopback: the same queries get the same replies.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::sockets::{UdpOptions, bind_udp_group, set_option};
use super::{Arrived, Local, Mmsg, Ring, Turn};
use crate::limits::{RING_SLOTS, SLOT_PAYLOAD_LEN};

const TICK: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ring,
    Mmsg,
}

enum Datapath {
    Ring(Ring),
    Mmsg(Mmsg),
}

impl Datapath {
    fn new(kind: Kind, sockets: Vec<UdpSocket>, slots: u16) -> Self {
        match kind {
            Kind::Ring => Self::Ring(Ring::new(sockets, slots, 0).expect("these tests need io_uring")),
            Kind::Mmsg => Self::Mmsg(Mmsg::new(sockets).unwrap()),
        }
    }

    fn turn(
        &mut self,
        wait: Duration,
        answer: &mut impl FnMut(&Arrived, &mut [u8]) -> Option<usize>,
    ) -> io::Result<Turn> {
        match self {
            Self::Ring(ring) => ring.turn(wait, answer),
            Self::Mmsg(mmsg) => mmsg.turn(wait, answer),
        }
    }

    fn end(self, answer: &mut impl FnMut(&Arrived, &mut [u8]) -> Option<usize>) -> io::Result<Turn> {
        match self {
            Self::Ring(ring) => ring.end(answer),
            Self::Mmsg(mmsg) => mmsg.end(answer),
        }
    }
}

/// A datapath on a thread of its own, which turns the bytes of each query over until it is stopped.
struct Server {
    addresses: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(Turn, Vec<Arrived>)>,
}

impl Server {
    fn start(kind: Kind, addresses: &[&str], slots: u16) -> Self {
        Self::on(kind, addresses.iter().map(|address| bind(address)).collect(), slots)
    }

    fn on(kind: Kind, sockets: Vec<UdpSocket>, slots: u16) -> Self {
        let addresses = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut datapath = Datapath::new(kind, sockets, slots);
            let (mut sum, mut seen) = (Turn::default(), Vec::new());
            let mut answer = |arrived: &Arrived, slot: &mut [u8]| {
                seen.push(*arrived);
                invert(arrived, slot)
            };
            while !stopped.load(Ordering::Relaxed) {
                sum += datapath.turn(TICK, &mut answer).unwrap();
            }
            sum += datapath.end(&mut answer).unwrap();
            (sum, seen)
        });
        Self { addresses, stop, thread }
    }

    fn stop(self) -> (Turn, Vec<Arrived>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn bind(address: &str) -> UdpSocket {
    bind_udp_group(address.parse().unwrap(), 1, &UdpOptions::default()).unwrap().remove(0)
}

fn invert(arrived: &Arrived, slot: &mut [u8]) -> Option<usize> {
    assert_eq!(slot.len(), SLOT_PAYLOAD_LEN);
    slot[..arrived.len].iter_mut().for_each(|byte| *byte = !*byte);
    Some(arrived.len)
}

fn client(server: SocketAddr) -> UdpSocket {
    let any = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let client = UdpSocket::bind(any).unwrap();
    client.connect(server).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client
}

fn tell(client: &UdpSocket, query: &[u8]) {
    client.send(query).unwrap();
}

/// A query and its reply. The client is connected, so a reply from another address or port is not seen.
fn ask(client: &UdpSocket, query: &[u8]) -> Vec<u8> {
    tell(client, query);
    receive(client)
}

/// The next datagram, in a thread that may have made a ring.
pub(crate) fn receive(client: &UdpSocket) -> Vec<u8> {
    try_receive(client).unwrap()
}

/// A ring may have work for its thread while that waits here, and interrupts it.
fn try_receive(client: &UdpSocket) -> io::Result<Vec<u8>> {
    let mut reply = vec![0; 65_536];
    loop {
        match client.recv(&mut reply) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => {
                reply.truncate(result?);
                return Ok(reply);
            }
        }
    }
}

fn inverted(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

fn thousands_are_echoed(kind: Kind) {
    let server = Server::start(kind, &["127.0.0.1:0", "[::1]:0"], RING_SLOTS);
    for &address in &server.addresses {
        let clients: Vec<UdpSocket> = (0..4).map(|_| client(address)).collect();
        for round in 0..100_u64 {
            let query = |client: usize, part: u64| {
                let label = round << 16 | part << 8 | client as u64;
                label.to_be_bytes().repeat(1 + (label % 100) as usize)
            };
            for (number, client) in clients.iter().enumerate() {
                (0..8).for_each(|part| tell(client, &query(number, part)));
            }
            for (number, client) in clients.iter().enumerate() {
                // One client's queries share a socket of the server, so they are answered in order.
                (0..8).for_each(|part| assert_eq!(receive(client), inverted(&query(number, part))));
            }
        }
    }
    let (sum, seen) = server.stop();
    assert_eq!((sum.received, sum.sent, sum.send_errors.total()), (6400, 6400, 0));
    assert_eq!((sum.overflows, sum.short_submits), (0, 0));
    assert_eq!(seen.iter().filter(|arrived| arrived.socket == 0 && arrived.peer.is_ipv4()).count(), 3200);
    assert_eq!(seen.iter().filter(|arrived| arrived.socket == 1 && arrived.peer.is_ipv6()).count(), 3200);
    assert!(seen.iter().all(|arrived| arrived.local == Local::Fixed));
}

fn every_length_is_answered(kind: Kind) {
    let server = Server::start(kind, &["127.0.0.1:0"], RING_SLOTS);
    let client = client(server.addresses[0]);
    let lens = [0, 1, 12, 512, SLOT_PAYLOAD_LEN - 1, SLOT_PAYLOAD_LEN, SLOT_PAYLOAD_LEN + 1, 65_507, 0, 7];
    for (number, len) in lens.into_iter().enumerate() {
        let query = vec![number as u8; len];
        assert_eq!(ask(&client, &query), inverted(&query[..len.min(SLOT_PAYLOAD_LEN)]), "length {len}");
    }
    // Many empty ones at once: each ends a multishot receive.
    (0..100).for_each(|_| tell(&client, b""));
    (0..100).for_each(|_| assert_eq!(receive(&client), b""));
    let (sum, _) = server.stop();
    assert_eq!(sum.sent, 110);
    assert_eq!(sum.rearms.empty, if kind == Kind::Ring { 102 } else { 0 });
}

fn a_wildcard_answers_from_the_address_asked(kind: Kind) {
    let server = Server::start(kind, &["0.0.0.0:0", "[::]:0", "127.0.0.9:0"], RING_SLOTS);
    let asked = ["127.0.0.1", "127.0.0.2", "127.1.2.3", "::1", "127.0.0.9"];
    let sockets = [0, 0, 0, 1, 2];
    let mut expected = Vec::new();
    for (ip, socket) in asked.into_iter().zip(sockets) {
        let address = SocketAddr::new(ip.parse().unwrap(), server.addresses[socket].port());
        let client = client(address);
        for len in [5, 0, 900] {
            assert_eq!(ask(&client, &vec![1; len]), vec![254; len], "from {ip}");
            let local = if socket == 2 { Local::Fixed } else { Local::Told(address.ip()) };
            expected.push(Arrived { socket, peer: client.local_addr().unwrap(), local, len });
        }
    }
    let (sum, seen) = server.stop();
    assert_eq!(seen, expected);
    assert_eq!((sum.sent, sum.send_errors.total()), (15, 0));
}

/// What somebody else may have asked of a socket comes in front of the address and after it.
fn other_control_messages_leave_room_for_the_address(kind: Kind) {
    for stamp in [libc::SO_TIMESTAMP, libc::SO_TIMESTAMPNS] {
        let sockets = ["0.0.0.0:0", "[::]:0"].map(|address| {
            let socket = bind(address);
            let asked = if address.starts_with('[') {
                [libc::IPV6_RECVHOPLIMIT, libc::IPV6_RECVTCLASS].map(|name| (libc::IPPROTO_IPV6, name))
            } else {
                [libc::IP_RECVTTL, libc::IP_RECVTOS].map(|name| (libc::IPPROTO_IP, name))
            };
            for (level, name) in [(libc::SOL_SOCKET, stamp)].into_iter().chain(asked) {
                set_option(&SockRef::from(&socket), level, name, 1).unwrap();
            }
            socket
        });
        let server = Server::on(kind, sockets.into(), RING_SLOTS);
        let asked: Vec<SocketAddr> = ["127.0.0.2", "::1"]
            .into_iter()
            .zip(&server.addresses)
            .map(|(ip, address)| SocketAddr::new(ip.parse().unwrap(), address.port()))
            .collect();
        for &address in &asked {
            assert_eq!(ask(&client(address), b"where"), inverted(b"where"));
        }
        let (sum, seen) = server.stop();
        assert_eq!((sum.sent, sum.unaddressed), (2, 0));
        assert!(seen.iter().map(|arrived| arrived.local).eq(asked.iter().map(|a| Local::Told(a.ip()))));
    }
}

/// Rather than answer from wherever a route leads.
fn at_a_wildcard_a_datagram_without_its_address_is_dropped(kind: Kind) {
    let sockets = vec![bind("[::]:0"), bind("127.0.0.1:0")];
    set_option(&SockRef::from(&sockets[0]), libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 0).unwrap();
    let server = Server::on(kind, sockets, RING_SLOTS);
    let lost = client(SocketAddr::new("::1".parse().unwrap(), server.addresses[0].port()));
    (0..3).for_each(|_| tell(&lost, b"anybody?"));
    let other = client(server.addresses[1]);
    assert_eq!(ask(&other, b"another socket"), inverted(b"another socket"));
    let (sum, seen) = server.stop();
    assert_eq!((sum.received, sum.sent, sum.unaddressed, seen.len()), (1, 1, 3, 1));
    lost.set_read_timeout(Some(TICK)).unwrap();
    assert!(try_receive(&lost).is_err());
}

/// A ring of two slots under bursts: it runs dry over and over, and loses nothing.
fn tiny_rings_lose_nothing(kind: Kind) {
    for addresses in [&["127.0.0.1:0"][..], &["127.0.0.1:0", "0.0.0.0:0"]] {
        let server = Server::start(kind, addresses, 2);
        let clients: Vec<UdpSocket> = (0..4)
            .map(|number| {
                let mut address = server.addresses[number % addresses.len()];
                address.set_ip("127.0.0.1".parse().unwrap());
                client(address)
            })
            .collect();
        for round in 0..20_u8 {
            let query = |part: u8| [round, part].repeat(20);
            clients.iter().for_each(|client| (0..25).for_each(|part| tell(client, &query(part))));
            clients.iter().for_each(|client| {
                (0..25).for_each(|part| assert_eq!(receive(client), inverted(&query(part))));
            });
        }
        let (sum, _) = server.stop();
        assert_eq!((sum.received, sum.sent, sum.overflows), (2000, 2000, 0));
        assert_eq!(sum.rearms.no_buffers > 0, kind == Kind::Ring, "{sum:?}");
    }
}

/// A flood at one socket does not hide another, nor does silence at the first.
///
/// The flood is bounded by its replies: the sockets of a host share one queue of the kernel, and without a
/// bound it would overflow, and lose the datagrams of the other tests too.
fn sockets_do_not_hide_each_other(kind: Kind) {
    let server = Server::start(kind, &["127.0.0.1:0", "127.0.0.1:0", "[::1]:0"], 64);
    let (flooded, others) = (server.addresses[0], [server.addresses[1], server.addresses[2]]);
    let flooding = Arc::new(AtomicBool::new(true));
    let go_on = Arc::clone(&flooding);
    let (is_on, begun) = mpsc::channel();
    let flood = thread::spawn(move || {
        let client = client(flooded);
        client.set_read_timeout(Some(LONG / 5)).unwrap();
        while go_on.load(Ordering::Relaxed) {
            // So many are under way all the time: more than there are slots.
            (0..200).for_each(|_| tell(&client, &[0; 100]));
            while go_on.load(Ordering::Relaxed) && client.recv(&mut [0; 100]).is_ok() {
                let _ = is_on.send(());
                tell(&client, &[0; 100]);
            }
        }
    });
    begun.recv_timeout(4 * LONG).expect("the flood is answered");
    for &address in others.iter().cycle().take(200) {
        // A busy host may lose a few. A socket that is hidden never answers.
        let is_answered = (0..5).any(|_| {
            let client = client(address);
            client.set_read_timeout(Some(LONG / 5)).unwrap();
            tell(&client, b"still there?");
            try_receive(&client).is_ok_and(|reply| reply == inverted(b"still there?"))
        });
        assert!(is_answered, "{address}");
    }
    flooding.store(false, Ordering::Relaxed);
    flood.join().unwrap();
    let (_, seen) = server.stop();
    assert!(seen.iter().filter(|arrived| arrived.socket != 0).count() >= 200);
}

fn no_answer_is_no_reply_and_waiting_ends(kind: Kind) {
    let socket = bind("127.0.0.1:0");
    let client = client(socket.local_addr().unwrap());
    client.set_read_timeout(Some(TICK)).unwrap();
    let mut datapath = Datapath::new(kind, vec![socket], 4);
    // Nothing comes: it waits as long as it may, and with no wait not at all.
    let begin = Instant::now();
    assert_eq!(datapath.turn(5 * TICK, &mut |_, _| None).unwrap(), Turn::default());
    assert!(begin.elapsed() >= 4 * TICK && begin.elapsed() < LONG, "{:?}", begin.elapsed());
    let begin = Instant::now();
    assert_eq!(datapath.turn(Duration::ZERO, &mut |_, _| None).unwrap(), Turn::default());
    // Far less; but other tests keep the CPUs busy.
    assert!(begin.elapsed() < LONG / 5);
    // More than there are slots: those that are dropped come back too.
    let mut received = 0;
    for _ in 0..40 {
        client.send(b"query").unwrap();
        received += datapath.turn(TICK, &mut |_, _| None).unwrap().received;
    }
    received += datapath.end(&mut |_, _| None).unwrap().received;
    assert_eq!(received, 40);
    assert_eq!(try_receive(&client).unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// A query from port 0 cannot be answered: that reply alone is lost.
fn a_failing_reply_is_lost_alone(kind: Kind) {
    let raw = match Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: only root can send from port 0");
            return;
        }
        result => result.unwrap(),
    };
    for address in ["127.0.0.1:0", "0.0.0.0:0"] {
        let socket = bind(address);
        let mut target = socket.local_addr().unwrap();
        target.set_ip("127.0.0.1".parse().unwrap());
        let client = client(target);
        let mut datapath = Datapath::new(kind, vec![socket], 16);
        // A UDP header (RFC 768) without a source port or checksum, then 4 bytes.
        let mut from_port_0 = [0, 0, 0, 0, 0, 12, 0, 0, 1, 2, 3, 4];
        from_port_0[2..4].copy_from_slice(&target.port().to_be_bytes());
        let mut sum = Turn::default();
        for _ in 0..3 {
            client.send(b"before").unwrap();
            raw.send_to(&from_port_0, &target.into()).unwrap();
            raw.send_to(&from_port_0, &target.into()).unwrap();
            client.send(b"after").unwrap();
            for _ in 0..4 {
                sum += datapath.turn(TICK, &mut invert).unwrap();
            }
            assert_eq!(receive(&client), inverted(b"before"));
            assert_eq!(receive(&client), inverted(b"after"));
        }
        assert_eq!((sum.received, sum.sent, sum.send_errors.inval, sum.send_errors.total()), (12, 6, 6, 6));
        datapath.end(&mut invert).unwrap();
    }
}

fn the_end_answers_what_is_queued_and_frees_the_ports(kind: Kind) {
    for round in 0..10 {
        let sockets = vec![bind("127.0.0.1:0"), bind("[::1]:0")];
        let addresses: Vec<SocketAddr> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let clients: Vec<UdpSocket> = addresses.iter().map(|&address| client(address)).collect();
        let mut datapath = Datapath::new(kind, sockets, 16);
        let mut sum = Turn::default();
        for (number, client) in clients.iter().enumerate() {
            (0..100).for_each(|part| tell(client, &[part, number as u8]));
            if round % 2 == 0 {
                // Some of them are on their way through the ring.
                sum += datapath.turn(Duration::ZERO, &mut invert).unwrap();
            }
        }
        sum += datapath.end(&mut invert).unwrap();
        for address in addresses {
            UdpSocket::bind(address).expect("the port is free at once");
        }
        for (number, client) in clients.iter().enumerate() {
            (0..100).for_each(|part| assert_eq!(receive(client), [!part, !(number as u8)]));
        }
        assert_eq!((sum.received, sum.sent), (200, 200));
    }
}

/// Where io_uring is denied, as in containers, there is an error that says so, and the other datapath works.
#[test]
fn denied_rings_are_an_error_with_a_way_out() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
    for (errno, hint) in [(libc::EPERM, "kernel.io_uring_disabled"), (libc::ENOSYS, "lacks io_uring")] {
        // The filter holds for this thread only.
        let denied = thread::spawn(move || {
            let rules = [(libc::SYS_io_uring_setup, vec![])].into_iter().collect();
            let action = SeccompAction::Errno(errno.cast_unsigned());
            let arch = std::env::consts::ARCH.try_into().unwrap();
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch).unwrap();
            let program: BpfProgram = filter.try_into().unwrap();
            apply_filter(&program).unwrap();
            no_answer_is_no_reply_and_waiting_ends(Kind::Mmsg);
            let ring = Ring::new(vec![bind("127.0.0.1:0")], 4, 0).err().unwrap();
            [ring.to_string(), super::self_test().unwrap_err().to_string()]
        });
        for message in denied.join().unwrap() {
            assert!(message.contains(hint), "{message}");
        }
    }
}

macro_rules! suite {
    ($($test:ident)*) => {
        mod ring {
            use super::Kind;
            $(#[test] fn $test() { super::$test(Kind::Ring); })*
        }
        mod mmsg {
            use super::Kind;
            $(#[test] fn $test() { super::$test(Kind::Mmsg); })*
        }
    };
}

suite! {
    thousands_are_echoed
    every_length_is_answered
    a_wildcard_answers_from_the_address_asked
    other_control_messages_leave_room_for_the_address
    at_a_wildcard_a_datagram_without_its_address_is_dropped
    tiny_rings_lose_nothing
    sockets_do_not_hide_each_other
    no_answer_is_no_reply_and_waiting_ends
    a_failing_reply_is_lost_alone
    the_end_answers_what_is_queued_and_frees_the_ports
}
