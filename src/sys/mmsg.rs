//! The datapath over recvmmsg(2) and sendmmsg(2): for hosts without a usable io_uring, and as good as it
//! there.
//!
//! One batch of slots serves all sockets of a shard in turn: receive a batch, answer it in place, send the
//! replies, go to the next socket. The arrays that the kernel reads are filled in once; a turn resets only
//! what the kernel changed.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use super::datagram::{Arrived, Turn};
use super::sockets::wildcards;
use crate::limits::{DRAIN_BATCHES_MAX, MMSG_BATCH, SHARD_SOCKETS_MAX};
use batch::Batch;

pub(super) mod batch;

/// Sockets that are read with recvmmsg and answered with sendmmsg.
pub struct Mmsg {
    sockets: Vec<UdpSocket>,
    wildcards: Box<[bool]>,
    batch: Batch,
    /// For poll(2), one for each socket; used if there are several.
    polled: Vec<libc::pollfd>,
    /// The receive time-out of the only socket, as last set.
    timeout: Option<Duration>,
    /// Some socket's last batch was full, so there is probably more: asking poll would be a waste.
    more: bool,
}

impl Mmsg {
    /// Sets up the arrays for `sockets`, which stay in blocking mode. Those bound to a wildcard address
    /// should ask for the address of each datagram, as those of [`sockets`](super::sockets) do.
    ///
    /// # Errors
    ///
    /// No memory, or more than [`SHARD_SOCKETS_MAX`] sockets.
    pub fn new(sockets: Vec<UdpSocket>) -> io::Result<Self> {
        let wildcards = wildcards(&sockets)?;
        Self::of(sockets, wildcards)
    }

    /// As [`Self::new`], where it is known which sockets are bound to wildcard addresses.
    pub(super) fn of(sockets: Vec<UdpSocket>, wildcards: Box<[bool]>) -> io::Result<Self> {
        if sockets.len() > SHARD_SOCKETS_MAX {
            return Err(io::ErrorKind::ArgumentListTooLong.into());
        }
        let pollfd =
            |socket: &UdpSocket| libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let polled = sockets.iter().map(pollfd).collect();
        Ok(Self { sockets, wildcards, batch: Batch::new()?, polled, timeout: None, more: false })
    }

    /// One turn: waits up to `wait` for a datagram, then receives at most one batch from each socket, lends
    /// each datagram to `answer`, and sends the replies. As [`Ring::turn`](super::Ring::turn), but the
    /// replies leave at once.
    ///
    /// # Errors
    ///
    /// Those after which a socket is of no use.
    #[inline]
    pub fn turn(
        &mut self,
        wait: Duration,
        answer: &mut impl FnMut(&Arrived, &mut [u8]) -> Option<usize>,
    ) -> io::Result<Turn> {
        let mut turn = Turn::default();
        if self.sockets.len() == 1 && !wait.is_zero() {
            self.set_timeout(wait)?;
            self.exchange(0, libc::MSG_WAITFORONE, &mut turn, answer)?;
            return Ok(turn);
        }
        // With a full batch, all sockets are tried: a flood at one of them must not hide the others.
        let try_all = std::mem::take(&mut self.more) || wait.is_zero();
        if !try_all && !self.poll(wait)? {
            return Ok(turn);
        }
        for socket in 0..self.sockets.len() {
            if try_all || self.polled[socket].revents != 0 {
                let full = self.exchange(socket, libc::MSG_DONTWAIT, &mut turn, answer)?;
                self.more |= full;
            }
        }
        Ok(turn)
    }

    /// Answers what is queued in the sockets, at most [`DRAIN_BATCHES_MAX`] batches of each, and closes them.
    ///
    /// # Errors
    ///
    /// As [`Self::turn`]; the sockets are closed all the same.
    pub fn end(mut self, answer: &mut impl FnMut(&Arrived, &mut [u8]) -> Option<usize>) -> io::Result<Turn> {
        let mut turn = Turn::default();
        for socket in 0..self.sockets.len() {
            for _ in 0..DRAIN_BATCHES_MAX {
                if !self.exchange(socket, libc::MSG_DONTWAIT, &mut turn, answer)? {
                    break;
                }
            }
        }
        Ok(turn)
    }

    /// The sockets, in the order in which they were given.
    #[must_use]
    pub fn sockets(&self) -> &[UdpSocket] {
        &self.sockets
    }

    /// Receives one batch, answers it and sends the replies. True if the batch was full.
    #[inline]
    fn exchange(
        &mut self,
        socket: usize,
        flags: libc::c_int,
        turn: &mut Turn,
        answer: &mut impl FnMut(&Arrived, &mut [u8]) -> Option<usize>,
    ) -> io::Result<bool> {
        let fd = self.sockets[socket].as_raw_fd();
        let received = self.receive(fd, flags)?;
        for message in 0..received {
            let Some((arrived, payload)) = self.batch.datagram(message, socket, self.wildcards[socket])
            else {
                turn.unaddressed += 1;
                continue;
            };
            turn.received += 1;
            if let Some(len) = answer(&arrived, payload) {
                debug_assert!(len <= payload.len(), "a reply is within its slot");
                let len = len.min(payload.len());
                self.batch.queue(message, len, arrived.local.told());
            }
        }
        turn.sent += self.batch.send_all(fd, &mut turn.send_errors);
        Ok(received == MMSG_BATCH)
    }

    /// Receives a batch; none if nothing came, or the kernel is out of memory for now.
    fn receive(&mut self, fd: RawFd, flags: libc::c_int) -> io::Result<usize> {
        match self.batch.receive(fd, flags) {
            Ok(received) => Ok(received),
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR | libc::ENOMEM | libc::ENOBUFS | libc::ECONNREFUSED) => Ok(0),
                _ => Err(error),
            },
        }
    }

    /// Waits up to `wait` for any socket to have something. False if none has.
    fn poll(&mut self, wait: Duration) -> io::Result<bool> {
        // Rounded up: a wait of less than a millisecond must not become a busy loop.
        let wait_ms = libc::c_int::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(libc::c_int::MAX);
        let count = self.polled.len() as libc::nfds_t;
        // SAFETY: `polled` has `count` entries, lent to the kernel for this call alone.
        let ready = unsafe { libc::poll(self.polled.as_mut_ptr(), count, wait_ms) };
        if ready >= 0 {
            return Ok(ready > 0);
        }
        let error = io::Error::last_os_error();
        if matches!(error.raw_os_error(), Some(libc::EINTR | libc::ENOMEM)) { Ok(false) } else { Err(error) }
    }

    fn set_timeout(&mut self, wait: Duration) -> io::Result<()> {
        if self.timeout != Some(wait) {
            // Zero would mean for ever; the kernel counts microseconds.
            self.sockets[0].set_read_timeout(Some(wait.max(Duration::from_micros(1))))?;
            self.timeout = Some(wait);
        }
        Ok(())
    }
}
