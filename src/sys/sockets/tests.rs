//! Sockets of this host.

mod path_mtu;

use std::collections::HashSet;
use std::io::Read;

use super::*;

fn localhost() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

#[test]
fn a_group_shares_its_port_and_its_datagrams() {
    for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"] {
        let group = bind_udp_group(address.parse().unwrap(), 4, &UdpOptions::default()).unwrap();
        let ports: HashSet<u16> = group.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert_eq!((group.len(), ports.len()), (4, 1));
        let port = *ports.iter().next().unwrap();
        let loopback = if address.starts_with('[') { "::1" } else { "127.0.0.1" };
        for _ in 0..200 {
            let client = UdpSocket::bind((loopback, 0)).unwrap();
            client.send_to(b"x", (loopback, port)).unwrap();
        }
        let shares: Vec<usize> = group
            .iter()
            .map(|socket| {
                socket.set_nonblocking(true).unwrap();
                std::iter::from_fn(|| socket.recv(&mut [0; 8]).ok()).count()
            })
            .collect();
        assert_eq!(shares.iter().sum::<usize>(), 200);
        assert!(shares.iter().all(|&share| share > 0), "every member gets some: {shares:?}");
    }
}

/// A map that leaves no CPU out sends everything to its socket, whichever CPU this runs on; one that
/// names no CPU leaves it to the kernel, which spreads.
#[test]
fn a_steered_group_gives_datagrams_to_the_socket_that_was_chosen() {
    let all = |socket| Steering::Cpu((0..1024).map(|cpu| (cpu, socket)).collect());
    let options = UdpOptions { steering: Some(all(2)), ..UdpOptions::default() };
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let group = bind_udp_group(address.parse().unwrap(), 3, &options).unwrap();
        assert_eq!(shares(&group), [0, 0, 100], "{address}");
        steer(&group, &all(0)).unwrap();
        assert_eq!(shares(&group), [100, 0, 0], "{address}: a program replaces the one before");
        steer(&group, &Steering::Cpu(vec![])).unwrap();
        assert!(shares(&group).iter().all(|&share| share > 0), "{address}");
        steer(&group, &all(7)).unwrap();
        assert!(shares(&group).iter().all(|&share| share > 0), "{address}: there is no socket 7");
        steer(&group, &Steering::Hash).unwrap();
        assert_eq!(shares(&group).iter().sum::<usize>(), 100);
        steer(&group, &all(1)).unwrap();
        for _ in 0..2 {
            unsteer(&group).unwrap();
            assert!(shares(&group).iter().all(|&share| share > 0), "{address}: the kernel shares");
        }
    }
}

/// Sends 100 datagrams from as many ports; how many each socket got.
fn shares(group: &[UdpSocket]) -> Vec<usize> {
    let address = group[0].local_addr().unwrap();
    for _ in 0..100 {
        let client = UdpSocket::bind((address.ip(), 0)).unwrap();
        client.send_to(b"x", address).unwrap();
    }
    let share = |socket: &UdpSocket| {
        socket.set_nonblocking(true).unwrap();
        std::iter::from_fn(|| socket.recv(&mut [0; 8]).ok()).count()
    };
    group.iter().map(share).collect()
}

#[test]
fn steering_that_cannot_be_had_is_an_error() {
    let group = bind_udp_group(localhost(), 2, &UdpOptions::default()).unwrap();
    let long = Steering::Cpu((0..4000).map(|cpu| (2 * cpu, cpu)).collect());
    assert!(steer(&group, &long).unwrap_err().to_string().starts_with("steering was refused ("));
    steer(&group[..1], &long).expect("one socket needs no steering");
    let alone = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(steer(&[alone, UdpSocket::bind("127.0.0.1:0").unwrap()], &Steering::Hash).is_err());
}

#[test]
fn what_others_asked_of_a_socket_is_taken_back() {
    for address in ["127.0.0.1:0", "[::]:0"] {
        let address = address.parse().unwrap();
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).unwrap();
        common_options(&socket, address).unwrap();
        socket.bind(&address.into()).unwrap();
        let asked = FOREIGN_OPTIONS.map(|(level, name)| {
            set_option(&socket, level, name, 1).is_ok() && option(&socket, level, name) != Some(0)
        });
        assert!(asked.iter().filter(|&&asked| asked).count() > 10, "{asked:?}");
        let socket = UdpSocket::from(socket);
        adopt_udp(&socket, address, &UdpOptions::default()).unwrap();
        for ((level, name), asked) in FOREIGN_OPTIONS.into_iter().zip(asked) {
            let left = option(&socket2::SockRef::from(&socket), level, name);
            assert!(!asked || left == Some(0), "{address}: option {name} of {level} is {left:?}");
        }
    }
}

#[test]
fn sockets_poll_as_long_as_asked() {
    let options = UdpOptions { busy_poll: 50, ..UdpOptions::default() };
    match bind_udp_group(localhost(), 2, &options) {
        Ok(group) => assert!(group.iter().all(|socket| busy_poll(socket) == 50)),
        Err(error) => assert!(error.to_string().starts_with("busy polling was refused (")),
    }
    let plain = bind_udp_group(localhost(), 1, &UdpOptions::default()).unwrap();
    assert_eq!(busy_poll(&plain[0]), busy_poll(&UdpSocket::bind(localhost()).unwrap()), "the host's own");
}

fn busy_poll(socket: &UdpSocket) -> i32 {
    option(&socket2::SockRef::from(socket), libc::SOL_SOCKET, libc::SO_BUSY_POLL).unwrap()
}

fn option(socket: &Socket, level: i32, name: i32) -> Option<i32> {
    // Some have a byte or a longer value behind the number.
    let (mut number, mut len) = ([0_i32; 4], size_of::<[i32; 4]>() as libc::socklen_t);
    // SAFETY: the kernel writes at most `len` bytes to `number` and the length to `len`.
    let result = unsafe {
        let (value, len) = (number.as_mut_ptr().cast(), &raw mut len);
        libc::getsockopt(socket.as_raw_fd(), level, name, value, len)
    };
    (result == 0).then_some(number[0])
}

#[test]
fn a_second_instance_is_refused() {
    for shards in [1, 2] {
        let group = bind_udp_group(localhost(), shards, &UdpOptions::default()).unwrap();
        let taken = group[0].local_addr().unwrap();
        let begin = Instant::now();
        let error = bind_udp_group(taken, shards, &UdpOptions::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(begin.elapsed() >= Duration::from_millis(BIND_RETRY_MS_MAX), "it was tried again");
        let wildcard = SocketAddr::new("0.0.0.0".parse().unwrap(), taken.port());
        assert!(bind_udp_group(wildcard, shards, &UdpOptions::default()).is_err());
        drop(group);
        bind_udp_group(taken, shards, &UdpOptions::default()).unwrap();
    }
}

/// Another server's group is not joined either, although it would let us.
#[test]
fn a_foreign_group_is_not_joined() {
    let foreign = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    foreign.set_reuse_port(true).unwrap();
    foreign.bind(&localhost().into()).unwrap();
    let taken = foreign.local_addr().unwrap().as_socket().unwrap();
    let error = bind_udp_group(taken, 2, &UdpOptions::default()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_port_that_becomes_free_is_taken() {
    let group = bind_udp_group(localhost(), 2, &UdpOptions::default()).unwrap();
    let address = group[0].local_addr().unwrap();
    let holder = std::thread::spawn(move || {
        // What the holder does for some trials: wait for a datagram that does not come.
        group[0].set_read_timeout(Some(Duration::from_millis(2 * BIND_RETRY_PAUSE_MS))).unwrap();
        group[0].recv(&mut [0; 8]).unwrap_err();
    });
    bind_udp_group(address, 2, &UdpOptions::default()).unwrap();
    holder.join().unwrap();
}

#[test]
fn addresses_that_are_not_here_can_be_bound() {
    for address in ["192.0.2.77:0", "[2001:db8::77]:0"] {
        let address = address.parse().unwrap();
        assert_eq!(bind_udp_group(address, 2, &UdpOptions::default()).unwrap().len(), 2);
        bind_tcp(address, 16).unwrap();
    }
}

#[test]
fn buffers_are_as_asked_and_drops_are_seen() {
    let options = UdpOptions { rcvbuf: 8192, sndbuf: 16384, ..UdpOptions::default() };
    let socket = bind_udp_group(localhost(), 1, &options).unwrap().remove(0);
    assert_eq!(buffer_lens(&socket).unwrap(), (8192, 16384));
    assert_eq!(drops(&socket).unwrap(), 0);
    let client = UdpSocket::bind(localhost()).unwrap();
    for _ in 0..100 {
        client.send_to(&[0; 1000], socket.local_addr().unwrap()).unwrap();
    }
    socket.set_nonblocking(true).unwrap();
    let received = std::iter::from_fn(|| socket.recv(&mut [0; 1024]).ok()).count();
    assert_eq!(received + drops(&socket).unwrap() as usize, 100);
    assert!((1..100).contains(&received));
}

#[test]
fn tcp_listens_once_and_does_not_block() {
    let listener = bind_tcp(localhost(), 16).unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let mut client = std::net::TcpStream::connect(address).unwrap();
    drop(listener.accept().unwrap());
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(bind_tcp(address, 16).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    drop(listener);
    bind_tcp(address, 16).unwrap();
    assert!(bind_tcp("[::1]:0".parse().unwrap(), 16).is_ok());
}

#[test]
fn the_limit_of_files_is_the_hard_one() {
    let most = raise_nofile().unwrap();
    assert!(most >= 256);
    assert_eq!(raise_nofile().unwrap(), most);
}
