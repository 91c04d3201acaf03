//! The mix on its way: so many packets at a time that no buffer overflows, for nothing may be lost.

use std::io::Write as _;
use std::net::{IpAddr, UdpSocket};

use as112d::limits::ERROR_REPLIES_PER_SECOND_MAX;
use socket2::{Domain, Protocol, Socket, Type};

use crate::QUERIES;
use crate::common::daemon::{Daemon, V4, V6, read_message, send_message};
use crate::common::query;
use crate::expected::{Door, Expected};
use crate::rows::{ANSWERED, BROKEN, FEW, Row, patched, rows};

/// Packets on their way at one time. Fewer than the smallest receive buffer of a kernel holds, also of the
/// largest replies.
const WINDOW: u64 = 64;
/// Sockets of a door, so that the kernel spreads them over the shards.
const SOCKETS: usize = 16;

/// Sends all rows at all doors, and more of the plainest query until there are [`QUERIES`]; what must have
/// been counted.
pub fn send_everything(daemon: &Daemon, with_drops: bool) -> Expected {
    let mut expected = Expected::default();
    let rows = rows(with_drops);
    for (ip, family) in [(V4, "ipv4"), (V6, "ipv6")] {
        let door = |transport| Door { transport, family, address: daemon.address(ip).to_string() };
        over_udp(daemon, ip, &door("udp"), &rows, &mut expected);
        over_tcp(daemon, ip, &door("tcp"), &rows, &mut expected);
    }
    if let Some(spoofed) = spoofed(daemon) {
        for port in [7, 13, 17, 19, 37, 464] {
            spoofed(port);
            expected.add("udp", "queries_dropped", &["bad_port"], 1);
        }
        (0..FEW).for_each(|_| spoofed(daemon.port));
        expected.add("udp", "queries_dropped", &["own_address"], FEW);
    }
    let door = Door { transport: "udp", family: "ipv4", address: daemon.address(V4).to_string() };
    let socket = daemon.udp(V4);
    over_the_cap(&socket, &door, &mut expected);
    let rest = QUERIES.checked_sub(expected.sum("queries")).expect("the mix has no more");
    let packet = query("1.2.3.10.in-addr.arpa", 12);
    ask(&[socket], &door, &Row { packet, copies: rest, effect: ANSWERED }, &mut expected);
    expected
}

fn over_udp(daemon: &Daemon, ip: IpAddr, door: &Door, rows: &[Row], expected: &mut Expected) {
    let mut sockets: Vec<_> = (0..SOCKETS).map(|_| daemon.udp(ip)).collect();
    for row in rows {
        ask(&sockets, door, row, expected);
        // So that rows with few packets have their turns everywhere.
        sockets.rotate_left(1);
    }
    let response = patched(query("a.example", 1), 2, &[0x80]);
    for (packet, reason) in [(vec![0; 11], "short"), (Vec::new(), "short"), (response, "response")] {
        for socket in sockets.iter().cycle().take(FEW as usize) {
            socket.send(&packet).expect("sent");
        }
        expected.add("udp", "queries_dropped", &[reason], FEW);
    }
}

/// Sends a row, a window at each socket in turn, and has a look at each reply.
fn ask(sockets: &[UdpSocket], door: &Door, row: &Row, expected: &mut Expected) {
    let Row { packet, copies, effect } = row;
    let mut reply: Option<Vec<u8>> = None;
    let mut left = *copies;
    for socket in sockets.iter().cycle() {
        let window = left.min(WINDOW);
        if window == 0 {
            break;
        }
        (0..window).for_each(|_| assert_eq!(socket.send(packet).expect("sent"), packet.len()));
        let replies = if effect.outcome.is_ok() { window } else { 0 };
        for _ in 0..replies {
            let mut buffer = [0; 4096];
            let len = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{effect:?}: {error}"));
            assert_eq!(buffer[..len], *reply.get_or_insert_with(|| buffer[..len].to_vec()), "{effect:?}");
        }
        left -= window;
    }
    expected.packets(door, effect, *copies, packet, reply.map_or(0, |reply| reply.len()));
}

/// A connection for each row, which we end, but where the node leaves a query unanswered: that ends it, as a
/// response does.
fn over_tcp(daemon: &Daemon, ip: IpAddr, door: &Door, rows: &[Row], expected: &mut Expected) {
    for Row { packet, copies, effect } in rows {
        let mut stream = daemon.tcp(ip);
        expected.add("tcp", "tcp_connections_accepted", &[], 1);
        if effect.outcome.is_err() {
            send_message(&mut stream, packet);
            assert_eq!(read_message(&mut stream), None);
            expected.packets(door, effect, 1, packet, 0);
            expected.add("tcp", "tcp_connections_closed", &["protocol"], 1);
            continue;
        }
        let mut first: Option<Vec<u8>> = None;
        let framed = [&(packet.len() as u16).to_be_bytes()[..], packet].concat();
        let mut left = *copies;
        while left > 0 {
            let window = left.min(WINDOW);
            stream.write_all(&framed.repeat(window as usize)).expect("sent");
            for _ in 0..window {
                let reply = read_message(&mut stream).unwrap_or_else(|| panic!("{effect:?}: closed"));
                assert_eq!(reply, *first.get_or_insert_with(|| reply.clone()), "{effect:?}");
            }
            left -= window;
        }
        expected.packets(door, effect, *copies, packet, first.expect("a reply").len());
        expected.add("tcp", "tcp_connections_closed", &["client"], 1);
    }
    let mut stream = daemon.tcp(ip);
    send_message(&mut stream, &patched(query("a.example", 1), 2, &[0x80]));
    assert_eq!(read_message(&mut stream), None);
    expected.add("tcp", "queries_dropped", &["response"], 1);
    expected.add("tcp", "tcp_connections_accepted", &[], 1);
    expected.add("tcp", "tcp_connections_closed", &["protocol"], 1);
}

/// Provokes the cap on errors of one shard. How many of them it answers depends on where its second ends;
/// the others must be counted as dropped. The reply to a query behind some errors says that those to the
/// errors are there, for all of them go one way.
fn over_the_cap(socket: &UdpSocket, door: &Door, expected: &mut Expected) {
    let packet = query("1.2.3.10.in-addr.arpa", 12);
    let broken = &packet[..20];
    let mark = patched(packet.clone(), 0, b"!!");
    let (mut sent, mut answered, mut marks, mut mark_len) = (0, 0, 0, 0);
    // A slow machine may see another second begin, and a third.
    while sent - answered < WINDOW {
        assert!(sent < 20 * u64::from(ERROR_REPLIES_PER_SECOND_MAX), "there is a cap");
        (0..WINDOW).for_each(|_| assert_eq!(socket.send(broken).expect("sent"), broken.len()));
        sent += WINDOW;
        socket.send(&mark).expect("sent");
        marks += 1;
        let mut reply = [0; 512];
        loop {
            let len = socket.recv(&mut reply).expect("a reply");
            if reply[..2] == mark[..2] {
                mark_len = len;
                break;
            }
            assert_eq!((len, reply[3] & 0xF), (12, 1), "the header of FORMERR");
            answered += 1;
        }
    }
    assert!(answered >= u64::from(ERROR_REPLIES_PER_SECOND_MAX) / 2, "{answered} errors were answered");
    expected.packets(door, &BROKEN, answered, broken, 12);
    expected.add("udp", "queries_dropped", &["error_cap"], sent - answered);
    expected.packets(door, &ANSWERED, marks, &mark, mark_len);
}

/// Sends a query to the daemon that claims to come from a port of 127.0.0.1; nothing without root's rights.
fn spoofed(daemon: &Daemon) -> Option<impl Fn(u16) + use<>> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc::IPPROTO_UDP))).ok()?;
    socket.set_header_included_v4(true).ok()?;
    let to = daemon.address(V4);
    Some(move |port: u16| {
        let payload = query("1.2.3.10.in-addr.arpa", 12);
        let udp_len = 8 + payload.len() as u16;
        // What is 0 the kernel fills in, but for the checksum of UDP, which may be left out.
        let mut packet =
            vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, libc::IPPROTO_UDP as u8, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1];
        for field in [port, to.port(), udp_len, 0] {
            packet.extend(field.to_be_bytes());
        }
        packet.extend(payload);
        socket.send_to(&packet, &to.into()).expect("sent");
    })
}
