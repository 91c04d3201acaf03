//! Replies that leave on duplicates: in order, from the right address, and lost by errno.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::*;
use crate::sys::sockets::{UdpOptions, bind_udp_group};

fn bound(address: &str) -> UdpSocket {
    bind_udp_group(address.parse().unwrap(), 1, &UdpOptions::default()).unwrap().remove(0)
}

fn client(address: &str) -> UdpSocket {
    let client = UdpSocket::bind(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client
}

#[test]
fn more_than_a_batch_leaves_by_the_sockets_that_were_asked() {
    let shard = [bound("127.0.0.1:0"), bound("127.0.0.2:0")];
    let clients = [client("127.0.0.1:0"), client("127.0.0.1:0")];
    let mut answering =
        Answering::new(shard.iter().map(|socket| socket.try_clone().unwrap()).collect()).unwrap();
    let sent = 3 * MMSG_BATCH + 5;
    for number in 0..sent {
        let (socket, to) = (number % 2, &clients[(number / 2) % 2]);
        let local = shard[socket].local_addr().unwrap().ip();
        let reply = vec![number as u8; 12 + number];
        answering.push(socket, &to.local_addr().unwrap(), local, &reply);
    }
    assert_eq!(answering.flush(), SendErrors::default());
    let mut reply = [0; SLOT_PAYLOAD_LEN];
    let mut seen = vec![0; sent];
    for (at, client) in clients.iter().enumerate() {
        for _ in (0..sent).filter(|number| (number / 2) % 2 == at) {
            let (len, from) = client.recv_from(&mut reply).unwrap();
            let number = len - 12;
            assert_eq!(reply[..len], vec![number as u8; len]);
            assert_eq!(from, shard[number % 2].local_addr().unwrap(), "{number}");
            seen[number] += 1;
        }
    }
    assert_eq!(seen, vec![1; sent]);
}

#[test]
fn at_a_wildcard_a_reply_leaves_from_the_address_that_was_asked() {
    for (wildcard, asked, here) in [("0.0.0.0:0", "127.0.0.9", "127.0.0.1:0"), ("[::]:0", "::1", "[::1]:0")] {
        let Ok(sockets) = bind_udp_group(wildcard.parse().unwrap(), 1, &UdpOptions::default()) else {
            continue; // No IPv6 here.
        };
        let port = sockets[0].local_addr().unwrap().port();
        let Ok(client) = UdpSocket::bind(here) else { continue };
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let asked = SocketAddr::new(asked.parse().unwrap(), port);
        let mut answering = Answering::new(sockets).unwrap();
        answering.push(0, &client.local_addr().unwrap(), asked.ip(), b"a reply of some bytes");
        assert_eq!(answering.flush().total(), 0);
        let mut reply = [0; 64];
        let (len, from) = client.recv_from(&mut reply).unwrap();
        assert_eq!((&reply[..len], from), (&b"a reply of some bytes"[..], asked));
    }
}

#[test]
fn what_the_kernel_does_not_take_is_counted_and_the_others_leave() {
    let shard = bound("127.0.0.1:0");
    let client = client("127.0.0.1:0");
    let mut answering = Answering::new(vec![shard]).unwrap();
    let (local, good) = (IpAddr::from(Ipv4Addr::LOCALHOST), client.local_addr().unwrap());
    let nowhere = SocketAddr::new(local, 0);
    answering.push(0, &good, local, &[1; 20]);
    answering.push(0, &nowhere, local, &[2; 20]);
    answering.push(0, &good, local, &[3; 20]);
    // What no slot holds, and a socket that is not there.
    answering.push(0, &good, local, &[4; SLOT_PAYLOAD_LEN + 1]);
    answering.push(1, &good, local, &[5; 20]);
    assert_eq!(answering.flush(), SendErrors { inval: 1, other: 2, ..SendErrors::default() });
    assert_eq!(answering.flush(), SendErrors::default(), "each is told once");
    let mut reply = [0; 64];
    for first in [1, 3] {
        assert_eq!(client.recv(&mut reply).unwrap(), 20);
        assert_eq!(reply[0], first);
    }
}
