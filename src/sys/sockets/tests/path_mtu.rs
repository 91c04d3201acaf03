//! What replies make of the size of a path, in a network of the test's own.

use std::mem::MaybeUninit;
use std::process::Command;

use super::*;
use crate::limits::EDNS_UDP_SIZE_MAX;

const PATIENCE: Duration = Duration::from_secs(10);
/// Of the loopback here.
const MTU: usize = 1400;
/// Payload of a datagram that fits [`MTU`] in both families, and not what "packet too big" tells.
const LARGE: usize = 1300;

/// What passes the loopback, from the IP header on.
struct Wire(Socket);

impl Wire {
    fn tap() -> Self {
        let all = Protocol::from(i32::from((libc::ETH_P_ALL as u16).to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(all)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The next packet between these ports: each is seen as it leaves, and again as it arrives.
    fn packet(&self, server: SocketAddr, client: SocketAddr) -> Vec<u8> {
        let header_len = if client.is_ipv4() { 20 } else { 40 };
        let ports = [server.port().to_be_bytes(), client.port().to_be_bytes()].concat();
        loop {
            let mut packet = [MaybeUninit::uninit(); 2048];
            let len = self.0.recv(&mut packet).unwrap();
            // SAFETY: the kernel has written the first `len` bytes.
            let packet: Vec<u8> = packet[..len].iter().map(|byte| unsafe { byte.assume_init() }).collect();
            if packet.get(header_len..header_len + 4) == Some(&ports) {
                return packet;
            }
        }
    }
}

/// Tells the host, from nowhere, that a packet of its own was too big for the path to `client`.
fn forge_too_big(server: SocketAddr, packet: &[u8]) {
    let (protocol, mut message) = if server.is_ipv4() {
        (Protocol::ICMPV4, vec![3, 4, 0, 0, 0, 0, 2, 0x58])
    } else {
        (Protocol::ICMPV6, vec![2, 0, 0, 0, 0, 0, 5, 0])
    };
    let header_len = if server.is_ipv4() { 20 } else { 40 };
    message.extend_from_slice(&packet[..header_len + 8]);
    if server.is_ipv4() {
        let words = message.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
        let sum = words.sum::<u32>();
        let folded = (sum & 0xFFFF) + (sum >> 16);
        message[2..4].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    }
    let forger = Socket::new(Domain::for_address(server), Type::RAW, Some(protocol)).unwrap();
    forger.send_to(&message, &SocketAddr::new(server.ip(), 0).into()).unwrap();
}

/// What sending so many bytes to `client` comes to with path MTU discovery as TCP has it.
fn send_as_the_host_believes(server: SocketAddr, client: SocketAddr, len: usize) -> io::Result<usize> {
    let (level, discover, believes) = if server.is_ipv4() {
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO)
    };
    let other = UdpSocket::bind((server.ip(), 0)).unwrap();
    set_option(&socket2::SockRef::from(&other), level, discover, believes).unwrap();
    other.send_to(&vec![0; len], client)
}

fn is_too_long(result: io::Result<usize>) -> bool {
    result.is_err_and(|error| error.raw_os_error() == Some(libc::EMSGSIZE))
}

fn replies_are_whole_and_believe_no_news(server: &str, client: &str) {
    let wire = Wire::tap();
    let socket = bind_udp_group(server.parse().unwrap(), 1, &UdpOptions::default()).unwrap().remove(0);
    let client = UdpSocket::bind(client).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let (server, client_address) = (socket.local_addr().unwrap(), client.local_addr().unwrap());
    let send = |len: usize| {
        socket.send_to(&vec![7; len], client_address)?;
        let packet = wire.packet(server, client_address);
        if server.is_ipv4() {
            assert_eq!(packet[4..8], [0, 0, 0x40, 0], "no ID, and DF alone");
        } else {
            assert_eq!(packet[6], libc::IPPROTO_UDP as u8, "no fragment header");
        }
        assert_eq!(wire.packet(server, client_address), packet, "it arrives as it leaves");
        while client.recv_from(&mut [0; 2048]).unwrap() != (len, server) {}
        io::Result::Ok(packet)
    };
    send(EDNS_UDP_SIZE_MAX).unwrap();
    assert!(is_too_long(socket.send_to(&[7; MTU], client_address)), "nothing is fragmented");
    let packet = send(LARGE).unwrap();
    forge_too_big(server, &packet);
    for _ in 0..2 {
        assert_eq!(send(LARGE).unwrap().len(), packet.len(), "{server}");
    }
    // With PROBE the host has heard it, so the forgery was a good one; with INTERFACE not even that.
    let is_believed = is_too_long(send_as_the_host_believes(server, client_address, LARGE));
    assert_eq!(is_believed, server.is_ipv4());
    // It would have been a good one there, too.
    let other = UdpSocket::bind((server.ip(), 0)).unwrap();
    other.send_to(&[7; LARGE], client_address).unwrap();
    forge_too_big(server, &wire.packet(other.local_addr().unwrap(), client_address));
    assert!(is_too_long(send_as_the_host_believes(server, client_address, LARGE)));
    send(LARGE).unwrap();
}

#[test]
fn replies_are_never_fragmented_and_a_forged_path_mtu_changes_nothing() {
    let tested = std::thread::spawn(|| {
        // SAFETY: plain numbers; this thread alone moves to a new network.
        let has_moved = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0;
        let mut up = Command::new("ip");
        up.args(["link", "set", "lo", "up", "mtu", &MTU.to_string()]);
        if !has_moved || !up.status().is_ok_and(|status| status.success()) {
            return false;
        }
        replies_are_whole_and_believe_no_news("127.0.0.1:0", "127.0.0.2:0");
        replies_are_whole_and_believe_no_news("[::1]:0", "[::1]:0");
        true
    });
    if !tested.join().unwrap() {
        eprintln!("skipped: only root can make a network of its own, with `ip`");
    }
}
