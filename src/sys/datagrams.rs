//! Datagrams to many servers and from them, in batches, through UDP sockets that are not connected.
//!
//! A socket that is not connected hears of a refused port only if it asks for errors (IP_RECVERR, ip(7)):
//! they wait in a queue of its own, each with the datagram that caused it, and one call on the socket fails.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

use socket2::{Domain, Protocol, Socket, Type};

use super::address::{self, SOCKADDR_LEN_MAX};
use super::datagram::Local;
use super::memory::message_head;
use super::mmsg::batch::Batch;
use super::sockets::set_option;
use crate::limits::{ICMP_ERRORS_PER_CALL_MAX, MMSG_BATCH};

/// A socket of one family on a port of the kernel's choice, which is random. It reports refused ports, and
/// never waits.
///
/// # Errors
///
/// No descriptor, no free port, or no such family on this host.
pub fn open(is_ipv6: bool, buffer_len: usize) -> io::Result<UdpSocket> {
    let (domain, any): (_, SocketAddr) = if is_ipv6 {
        (Domain::IPV6, (Ipv6Addr::UNSPECIFIED, 0).into())
    } else {
        (Domain::IPV4, (Ipv4Addr::UNSPECIFIED, 0).into())
    };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    if is_ipv6 {
        socket.set_only_v6(true)?;
        set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
    } else {
        set_option(&socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
    }
    // The kernel gives what it may; less is no reason not to ask.
    let _ = socket.set_recv_buffer_size(buffer_len);
    socket.bind(&any.into())?;
    Ok(socket.into())
}

/// What a receive came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many datagrams; there is probably more if it is a whole batch.
    Some(usize),
    /// An error is waiting: see [`take_errors`].
    Error,
}

/// Room for a batch of datagrams that came.
pub struct Inbox(Batch);

impl Inbox {
    /// With all its memory.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn new() -> io::Result<Self> {
        Batch::new().map(Self)
    }

    /// Receives a batch, if there is any. What was received before is gone.
    pub fn receive(&mut self, socket: &UdpSocket) -> Received {
        match self.0.receive(socket.as_raw_fd(), libc::MSG_DONTWAIT) {
            Ok(received) => Received::Some(received),
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR | libc::ENOMEM | libc::ENOBUFS) => Received::Some(0),
                _ => Received::Error,
            },
        }
    }

    /// Lends a datagram of the batch that was received last: who sent it, and its bytes. One that is as long
    /// as [`SLOT_PAYLOAD_LEN`](crate::limits::SLOT_PAYLOAD_LEN) was cut.
    pub fn datagram(&mut self, message: usize) -> Option<(SocketAddr, &mut [u8])> {
        let (arrived, payload) = self.0.datagram(message, 0, false)?;
        debug_assert_eq!(arrived.local, Local::Fixed);
        Some((arrived.peer, &mut payload[..arrived.len]))
    }
}

/// A batch of datagrams that will leave through one socket.
pub struct Outbox(Batch);

impl Outbox {
    /// With all its memory.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn new() -> io::Result<Self> {
        Batch::new().map(Self)
    }

    /// Datagrams that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.queued()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether another one does not fit.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() == MMSG_BATCH
    }

    /// Adds a datagram to `server`, which `write` writes, and says how many bytes it has. There must be room:
    /// without it nothing is added.
    pub fn push(&mut self, server: &SocketAddr, write: impl FnOnce(&mut [u8]) -> usize) {
        debug_assert!(!self.is_full(), "the batch is sent when it is full");
        if !self.is_full() {
            self.0.compose(self.len(), server, write);
        }
    }

    /// Sends what waits. `lost` is called with the place in the batch of each datagram that the kernel does
    /// not take, and why. True if there may be errors in the socket: see [`take_errors`].
    pub fn send(&mut self, socket: &UdpSocket, lost: &mut impl FnMut(usize, i32)) -> bool {
        let all = self.len();
        let mut has_errors = false;
        // An error that waits in the socket is told once, by whatever is called next, and is not about what
        // is sent now: each datagram is tried again once.
        let mut is_again = false;
        while !self.is_empty() {
            let at = all - self.len();
            match self.0.send(socket.as_raw_fd()) {
                Ok(_) => is_again = false,
                Err(error) => match error.raw_os_error().unwrap_or(0) {
                    libc::EINTR => {}
                    _ if !is_again => (is_again, has_errors) = (true, true),
                    errno => {
                        let count = if errno == libc::EAGAIN { self.len() } else { 1 };
                        (at..at + count).for_each(|message| lost(message, errno));
                        self.0.skip(count);
                        is_again = false;
                    }
                },
            }
        }
        self.0.forget();
        has_errors
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbox")
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outbox of {}", self.len())
    }
}

/// Bytes of an [`Inbox`] or an [`Outbox`].
#[must_use]
pub const fn batch_memory_len() -> usize {
    Batch::MEMORY_LEN
}

/// Calls `take` with each error that waits in a socket: whom the datagram was for, and what of its beginning
/// came back. Whoever sends ICMP may have made it up, so it is worth what the bytes are worth. True if there
/// may be more.
pub fn take_errors(socket: &UdpSocket, take: &mut impl FnMut(SocketAddr, &[u8])) -> bool {
    for _ in 0..ICMP_ERRORS_PER_CALL_MAX {
        let mut name = [0; SOCKADDR_LEN_MAX];
        let mut payload = [0; ERROR_PAYLOAD_LEN];
        // What kind of error it is does not matter: none of them brings an answer.
        let mut iovec = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: payload.len() };
        let name_len = SOCKADDR_LEN_MAX as libc::socklen_t;
        let mut head = message_head(name.as_mut_ptr().cast(), name_len, &raw mut iovec, ptr::null_mut(), 0);
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        // SAFETY: `head` names `name`, `iovec` and by it `payload`, with their lengths; all live until the
        // end of this turn of the loop, and none is borrowed while the kernel writes.
        let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut head, flags) };
        let Ok(len) = usize::try_from(len) else { return false };
        if let Some(server) = address::decode(&name) {
            take(server, &payload[..len.min(ERROR_PAYLOAD_LEN)]);
        }
    }
    true
}

/// Bytes of a datagram that is returned with an error which are looked at: header and question of any query.
const ERROR_PAYLOAD_LEN: usize = 512;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::limits::SLOT_PAYLOAD_LEN;

    fn bound(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket
    }

    fn at_loopback(socket: &UdpSocket) -> SocketAddr {
        let any = socket.local_addr().unwrap();
        let ip: std::net::IpAddr =
            if any.is_ipv6() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        SocketAddr::new(ip, any.port())
    }

    /// Waits for something that the kernel does soon.
    fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "in time");
        }
    }

    fn push(outbox: &mut Outbox, to: SocketAddr, bytes: &[u8]) {
        outbox.push(&to, |out| {
            out[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        });
    }

    #[test]
    fn batches_go_to_many_and_come_from_many() {
        for (is_ipv6, address) in [(false, "127.0.0.1:0"), (true, "[::1]:0")] {
            let (ours, peers) = (open(is_ipv6, 1 << 20).unwrap(), [(); 3].map(|()| bound(address)));
            let (mut outbox, mut inbox) = (Outbox::new().unwrap(), Inbox::new().unwrap());
            for number in 0..MMSG_BATCH {
                let to = peers[number % 3].local_addr().unwrap();
                push(&mut outbox, to, &[number as u8; 40]);
            }
            assert!(outbox.is_full());
            outbox.send(&ours, &mut |_, errno| panic!("{errno}"));
            assert!(outbox.is_empty());
            for number in 0..MMSG_BATCH {
                let mut bytes = [0; 100];
                let (len, from) = peers[number % 3].recv_from(&mut bytes).unwrap();
                assert_eq!((&bytes[..len], from), (&[number as u8; 40][..], at_loopback(&ours)));
                peers[number % 3].send_to(&bytes[..number], from).unwrap();
            }
            let mut lens = Vec::new();
            while lens.len() < MMSG_BATCH {
                let Received::Some(count) = inbox.receive(&ours) else { panic!("no error waits") };
                for message in 0..count {
                    let (from, bytes) = inbox.datagram(message).unwrap();
                    assert!(peers.iter().any(|peer| peer.local_addr().unwrap() == from));
                    lens.push(bytes.len());
                }
            }
            lens.sort_unstable();
            assert_eq!(lens, (0..MMSG_BATCH).collect::<Vec<_>>());
            assert_eq!(inbox.receive(&ours), Received::Some(0));
        }
    }

    #[test]
    fn what_is_too_long_fills_its_slot() {
        let (ours, peer) = (open(false, 1 << 20).unwrap(), bound("127.0.0.1:0"));
        peer.send_to(&[7; 3000], at_loopback(&ours)).unwrap();
        let mut inbox = Inbox::new().unwrap();
        until(|| (inbox.receive(&ours) == Received::Some(1)).then_some(()));
        assert_eq!(inbox.datagram(0).unwrap().1, [7; SLOT_PAYLOAD_LEN]);
    }

    #[test]
    fn a_refused_port_is_told_with_what_was_sent_and_hinders_nothing_else() {
        for (is_ipv6, address) in [(false, "127.0.0.1:0"), (true, "[::1]:0")] {
            let nobody = bound(address).local_addr().unwrap();
            let (ours, peer) = (open(is_ipv6, 1 << 20).unwrap(), bound(address));
            let mut outbox = Outbox::new().unwrap();
            push(&mut outbox, nobody, b"refused");
            outbox.send(&ours, &mut |_, errno| panic!("{errno}"));
            // The error is in the socket by now; what is sent next leaves all the same.
            push(&mut outbox, peer.local_addr().unwrap(), b"taken");
            push(&mut outbox, peer.local_addr().unwrap(), b"as well");
            assert!(outbox.send(&ours, &mut |_, errno| panic!("{errno}")), "it tells that there are errors");
            let mut bytes = [0; 16];
            assert_eq!(peer.recv_from(&mut bytes).unwrap().0, 5);
            assert_eq!(peer.recv_from(&mut bytes).unwrap().0, 7);
            let mut errors = Vec::new();
            until(|| {
                take_errors(&ours, &mut |to, query| errors.push((to, query.to_vec())));
                (!errors.is_empty()).then_some(())
            });
            assert_eq!(errors, [(nobody, b"refused".to_vec())]);
            push(&mut outbox, nobody, b"again");
            outbox.send(&ours, &mut |_, errno| panic!("{errno}"));
            let mut inbox = Inbox::new().unwrap();
            until(|| (inbox.receive(&ours) == Received::Error).then_some(()));
        }
    }

    #[test]
    fn what_the_kernel_does_not_take_is_told_by_its_place() {
        let (ours, peer) = (open(false, 1 << 20).unwrap(), bound("127.0.0.1:0"));
        let mut outbox = Outbox::new().unwrap();
        let to = peer.local_addr().unwrap();
        push(&mut outbox, to, b"one");
        push(&mut outbox, SocketAddr::from(([127, 0, 0, 1], 0)), b"two");
        push(&mut outbox, to, b"three");
        push(&mut outbox, "[::1]:53".parse().unwrap(), b"four");
        let mut lost = Vec::new();
        outbox.send(&ours, &mut |place, errno| lost.push((place, errno)));
        assert_eq!(lost, [(1, libc::EINVAL), (3, libc::EAFNOSUPPORT)]);
        let mut bytes = [0; 16];
        assert_eq!(peer.recv_from(&mut bytes).unwrap().0, 3);
        assert_eq!(peer.recv_from(&mut bytes).unwrap().0, 5);
    }

    #[test]
    fn ports_are_random() {
        let sockets: Vec<_> = (0..64).map(|_| open(false, 1 << 16).unwrap()).collect();
        let ports: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        let steps = ports.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 64).count();
        assert!(steps < 8, "{ports:?}");
    }
}
