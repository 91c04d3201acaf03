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
    // RFC 9715: no reply is fragmented. The largest fits the smallest MTU of IPv6, so no news of a path's
    // MTU, which anybody may forge, is needed, and neither option heeds any. PROBE (Linux 2.6.22) sets DF,
    // with which the kernel makes up no IP ID: a hash and an atomic for each reply. With INTERFACE (Linux
    // 3.14) not even the host learns of a forgery; in IPv4 it would clear DF.
    let (level, discover, unfragmented, pktinfo) = if address.is_ipv4() {
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE, libc::IP_PKTINFO)
    } else {
        let interface = libc::IPV6_PMTUDISC_INTERFACE;
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, interface, libc::IPV6_RECVPKTINFO)
    };
    set_option(socket, level, discover, unfragmented)?;
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
mod tests;
