//! Datagrams to many servers and from them, in batches, through UDP sockets that are not connected.
//!
//! A socket that is not connected hears of a refused port only if it asks for errors (IP_RECVERR, ip(7)): they
//! wait in a queue of its own, each with the datagram that caused it, and one call on the socket fails.

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

    /// Whether there is no room for another.
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
        // An error that waits in the socket is told once, by whatever is called next, and is not about what is
        // sent now: each datagram is tried again once.
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
        self.0.clear();
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
        // SAFETY: `head` names `name`, `iovec` and by it `payload`, with their lengths; all live until the end
        // of this turn of the loop, and none is borrowed while the kernel writes.
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
