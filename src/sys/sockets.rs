//! Sockets: made, bound, and their options.
//!
//! A UDP address has one socket for each shard, a group that the kernel spreads datagrams over by the hash of
//! addresses and ports (SO_REUSEPORT). That option would also let a second instance of the server join the
//! group in silence and take a share of the queries. So the first socket of a group is bound without it,
//! which succeeds only where nobody listens; it takes the option afterwards, and the others join it.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::steering::Steering;
use crate::limits::{BIND_RETRY_MS_MAX, BIND_RETRY_PAUSE_MS, UDP_RCVBUF_LEN, UDP_SNDBUF_LEN};

/// What is asked of UDP sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// Bytes of queries that wait for the shard. The kernel may give less: see [`buffer_lens`].
    pub rcvbuf: usize,
    /// Bytes of replies that wait for the NIC; as `rcvbuf`.
    pub sndbuf: usize,
    /// Microseconds for which a socket polls the NIC before its reader sleeps; 0 for not at all.
    pub busy_poll: usize,
    /// How the sockets of a group share its datagrams; `None` leaves it to the kernel.
    pub steering: Option<Steering>,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self { rcvbuf: UDP_RCVBUF_LEN, sndbuf: UDP_SNDBUF_LEN, busy_poll: 0, steering: None }
    }
}

/// Binds `shards` sockets to one address (at least one), in the order in which the kernel numbers them. With
/// port 0 all get the port of the first. A busy address is tried again for half a second: a ring that was
/// killed lets go of it late.
///
/// # Errors
///
/// With the kind that the kernel gave: `AddrInUse` if anybody listens there, another instance of the server
/// included; `PermissionDenied` for ports below 1024 without the right to; `AddrNotAvailable` for an address
/// of another family. Others say what was refused.
pub fn bind_udp_group(
    address: SocketAddr,
    shards: usize,
    options: &UdpOptions,
) -> io::Result<Vec<UdpSocket>> {
    let first = retried(|| {
        let socket = udp_socket(address, options)?;
        socket.bind(&address.into())?;
        Ok(socket)
    })?;
    let mut group = Vec::with_capacity(shards.max(1));
    let bound = UdpSocket::from(first);
    if shards > 1 {
        socket2::SockRef::from(&bound).set_reuse_port(true)?;
    }
    let address = bound.local_addr()?;
    group.push(bound);
    while group.len() < shards {
        let socket = udp_socket(address, options)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        group.push(socket.into());
    }
    if let Some(steering) = &options.steering {
        steer(&group, steering)?;
    }
    Ok(group)
}

/// Lets `steering` choose among the sockets of a whole group, given in the order in which they were bound. It
/// is attached after the last of them was bound, because the kernel numbers sockets as they come: do it again
/// whenever one was added. When one closes the last takes its number, so a group that shrinks is steered
/// again as well; one that is about to close altogether need not be, as each of its sockets answers what it
/// is given.
///
/// # Errors
///
/// If the program is longer than the kernel takes, or the kernel refuses it.
pub fn steer(group: &[UdpSocket], steering: &Steering) -> io::Result<()> {
    let [first, _, ..] = group else {
        // A single socket is not in a reuseport group, and gets everything.
        return Ok(());
    };
    let refused = |error| io::Error::other(format!("steering was refused ({error})"));
    let mut program =
        steering.program(group.len()).ok_or_else(|| refused(io::ErrorKind::InvalidInput.into()))?;
    let len = u16::try_from(program.len()).expect("a program has at most 4096 steps");
    let program = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    // SAFETY: the kernel reads one sock_fprog and, behind its pointer, `len` steps of the vector that was
    // shadowed and lives until the end of this function; it copies both during the call.
    let result = unsafe {
        let (name, value) = (libc::SO_ATTACH_REUSEPORT_CBPF, (&raw const program).cast());
        libc::setsockopt(first.as_raw_fd(), libc::SOL_SOCKET, name, value, size_of_val(&program) as u32)
    };
    if result == 0 { Ok(()) } else { Err(refused(io::Error::last_os_error())) }
}

/// Leaves the sharing of a group's datagrams to the kernel, whatever steered it before.
///
/// # Errors
///
/// If the kernel refuses.
pub fn unsteer(group: &[UdpSocket]) -> io::Result<()> {
    let Some(first) = group.first() else { return Ok(()) };
    match set_option(&socket2::SockRef::from(first), libc::SOL_SOCKET, libc::SO_DETACH_REUSEPORT_BPF, 0) {
        // No program was attached.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result,
    }
}

/// Makes a socket that somebody else has bound like those of [`bind_udp_group`]; of its buffers, one that is
/// larger stays so.
///
/// # Errors
///
/// If an option is refused, or the socket takes IPv4 under an address of IPv6.
pub fn adopt_udp(socket: &UdpSocket, address: SocketAddr, options: &UdpOptions) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    let socket = socket2::SockRef::from(socket);
    if address.is_ipv6() && !socket.only_v6()? {
        let message = "it also receives IPv4; set BindIPv6Only=ipv6-only in the socket unit";
        return Err(io::Error::other(message));
    }
    FOREIGN_OPTIONS.iter().for_each(|&(level, name)| drop(set_option(&socket, level, name, 0)));
    udp_options(&socket, address, options, true)
}

/// What somebody else may have asked of a socket and we do not read, or would read wrongly: control messages
/// with each datagram, which take the room of ours (`Timestamping=` and `PassSecurity=` of systemd set some),
/// errors in place of datagrams, and datagrams that are several. What the kernel does not know is not set.
const FOREIGN_OPTIONS: [(libc::c_int, libc::c_int); 29] = [
    (libc::SOL_SOCKET, libc::SO_TIMESTAMP),
    (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS),
    (libc::SOL_SOCKET, libc::SO_TIMESTAMPING),
    (libc::SOL_SOCKET, libc::SO_RXQ_OVFL),
    (libc::SOL_SOCKET, libc::SO_WIFI_STATUS),
    (libc::SOL_SOCKET, libc::SO_PASSCRED),
    (libc::SOL_SOCKET, libc::SO_PASSSEC),
    (libc::SOL_SOCKET, SO_RCVMARK),
    (libc::SOL_SOCKET, SO_RCVPRIORITY),
    (libc::IPPROTO_IP, libc::IP_RECVTTL),
    (libc::IPPROTO_IP, libc::IP_RECVTOS),
    (libc::IPPROTO_IP, libc::IP_RECVOPTS),
    (libc::IPPROTO_IP, libc::IP_RETOPTS),
    (libc::IPPROTO_IP, libc::IP_PASSSEC),
    (libc::IPPROTO_IP, libc::IP_ORIGDSTADDR),
    (libc::IPPROTO_IP, IP_CHECKSUM),
    (libc::IPPROTO_IP, IP_RECVFRAGSIZE),
    (libc::IPPROTO_IP, libc::IP_RECVERR),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVHOPOPTS),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVDSTOPTS),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVRTHDR),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVPATHMTU),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVORIGDSTADDR),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVFRAGSIZE),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    (libc::SOL_UDP, libc::UDP_GRO),
    (libc::SOL_UDP, libc::UDP_SEGMENT),
];
// Numbers of the kernel that the C library's headers do not have.
const SO_RCVMARK: libc::c_int = 75;
const SO_RCVPRIORITY: libc::c_int = 82;
const IP_CHECKSUM: libc::c_int = 23;
const IP_RECVFRAGSIZE: libc::c_int = 25;

/// Listens on one address, not blocking, with room for `backlog` connections that were not accepted yet. Busy
/// addresses are tried again as in [`bind_udp_group`].
///
/// # Errors
///
/// As [`bind_udp_group`].
pub fn bind_tcp(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    retried(|| {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Connections of an earlier run that still wind down must not keep the port.
        socket.set_reuse_address(true)?;
        common_options(&socket, address)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(backlog)?;
        Ok(socket.into())
    })
}

/// The sizes of a socket's receive and send buffers, in bytes as they were asked for (the kernel doubles them
/// for its own use, and says so in socket(7)).
///
/// # Errors
///
/// If it is no longer a socket.
pub fn buffer_lens(socket: &UdpSocket) -> io::Result<(usize, usize)> {
    let socket = socket2::SockRef::from(socket);
    Ok((socket.recv_buffer_size()? / 2, socket.send_buffer_size()? / 2))
}

/// Whether packets to `address` come to this host. With `ip_nonlocal_bind` the kernel does not tell, and
/// every address is taken for one of this host.
#[must_use]
pub fn is_local(mut address: SocketAddr) -> bool {
    address.set_port(0);
    !UdpSocket::bind(address).is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

/// Datagrams that the kernel has dropped at this socket since it was made, as its receive buffer was full.
/// Counts to 2^32 and begins again.
///
/// # Errors
///
/// If the kernel does not say (before Linux 4.12).
pub fn drops(socket: &UdpSocket) -> io::Result<u32> {
    // From linux/sock_diag.h: the ninth of the numbers is sk_drops.
    const SK_MEMINFO_VARS: usize = 9;
    const SK_MEMINFO_DROPS: usize = 8;
    let mut numbers = [0_u32; SK_MEMINFO_VARS];
    let mut len = size_of_val(&numbers) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `numbers` and the length to `len`, during the call
    // only.
    let result = unsafe {
        let (value, len) = (numbers.as_mut_ptr().cast(), &raw mut len);
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, value, len)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(numbers[SK_MEMINFO_DROPS])
}

/// The number of a socket, which no other has while the host runs.
///
/// # Errors
///
/// If the kernel has none (before Linux 4.12).
pub fn cookie(socket: &UdpSocket) -> io::Result<u64> {
    let (mut cookie, mut len) = (0_u64, size_of::<u64>() as libc::socklen_t);
    // SAFETY: the kernel writes at most `len` bytes to `cookie` and the length to `len`, during the call
    // only.
    let result = unsafe {
        let (value, len) = ((&raw mut cookie).cast(), &raw mut len);
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_COOKIE, value, len)
    };
    if result == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

/// Whether the error says that the host does not speak the address's family, as one without IPv6.
#[must_use]
pub fn is_family_unknown(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

/// By socket: whether it is bound to a wildcard address: each datagram then tells which address was asked.
pub(super) fn wildcards(sockets: &[UdpSocket]) -> io::Result<Box<[bool]>> {
    sockets.iter().map(|socket| Ok(socket.local_addr()?.ip().is_unspecified())).collect()
}

/// Raises the number of files that the process may open to the most that it is allowed; returns it.
///
/// # Errors
///
/// If the kernel refuses, which it has no reason to.
pub fn raise_nofile() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit, ours, during the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel reads one rlimit, ours, during the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // Its type is narrower on 32-bit machines.
    #[allow(clippy::useless_conversion)]
    Ok(limit.rlim_cur.into())
}

/// A UDP socket with all its options, not bound yet.
fn udp_socket(address: SocketAddr, options: &UdpOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    common_options(&socket, address)?;
    udp_options(&socket, address, options, false)?;
    Ok(socket)
}

/// The options that a bound socket can be given as well.
fn udp_options(
    socket: &Socket,
    address: SocketAddr,
    options: &UdpOptions,
    is_shared: bool,
) -> io::Result<()> {
    // Replies are small, and are sent without DF (IP_PMTUDISC_OMIT, Linux 3.15): a forged "packet too big"
    // then changes nothing.
    let (level, discover, omit, pktinfo) = if address.is_ipv4() {
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT, libc::IP_PKTINFO)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT, libc::IPV6_RECVPKTINFO)
    };
    set_option(socket, level, discover, omit)?;
    if address.ip().is_unspecified() {
        // Replies must come from the address that was asked.
        set_option(socket, level, pktinfo, 1)?;
    }
    // Another process may keep using a shared socket: its buffers may grow, and never shrink.
    let (rcvbuf, sndbuf) =
        if is_shared { (socket.recv_buffer_size()? / 2, socket.send_buffer_size()? / 2) } else { (0, 0) };
    if options.rcvbuf > rcvbuf {
        buffer_len(socket, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, options.rcvbuf)?;
    }
    if options.sndbuf > sndbuf {
        buffer_len(socket, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, options.sndbuf)?;
    }
    if options.busy_poll > 0 {
        let micros = libc::c_int::try_from(options.busy_poll).unwrap_or(libc::c_int::MAX);
        set_option(socket, libc::SOL_SOCKET, libc::SO_BUSY_POLL, micros)
            .map_err(|error| io::Error::other(format!("busy polling was refused ({error})")))?;
    }
    Ok(())
}

/// What UDP and TCP have in common: one family only, and an address that may come later (anycast addresses
/// do, when the routing daemon or another unit adds them).
pub(super) fn common_options(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv4() {
        socket.set_freebind_v4(true)
    } else {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)
    }
}

/// Sets the size of a buffer past the host's limit if we may, or else up to it.
fn buffer_len(socket: &Socket, forced: libc::c_int, plain: libc::c_int, len: usize) -> io::Result<()> {
    // The kernel doubles the value in an int.
    let len = libc::c_int::try_from(len).unwrap_or(libc::c_int::MAX).min(libc::c_int::MAX / 2);
    match set_option(socket, libc::SOL_SOCKET, forced, len) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            set_option(socket, libc::SOL_SOCKET, plain, len)
        }
        result => result,
    }
}

pub(super) fn set_option(
    socket: &Socket,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the kernel reads the `len` bytes of `value` during the call only.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Tries again as long as the address is in use, at most [`BIND_RETRY_MS_MAX`].
pub(super) fn retried<T>(mut bind: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let begin = Instant::now();
    loop {
        match bind() {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && begin.elapsed() < Duration::from_millis(BIND_RETRY_MS_MAX) =>
            {
                // There is no event for a port that becomes free, so poll. This is the start, on the main
                // thread.
                #[allow(clippy::disallowed_methods)]
                std::thread::sleep(Duration::from_millis(BIND_RETRY_PAUSE_MS));
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
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
            let ports: HashSet<u16> =
                group.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
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
}
