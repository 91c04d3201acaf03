//! What the rest of the program sees of a ring.

use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use super::RingError;
use super::driver::Driver;
use super::uring::Uring;
use crate::limits::{RING_SLOTS_MAX, SHARD_SOCKETS_MAX};
use crate::sys::datagram::{Arrived, Turn};
use crate::sys::mmsg::Mmsg;
use crate::sys::sockets::wildcards;

/// An io_uring with its sockets. It belongs to the thread that made it.
pub struct Ring(Box<Driver<Uring>>);

impl Ring {
    /// Sets up a ring on the calling thread that answers on `sockets`, with `slots` slots (made a power of
    /// two, at most [`RING_SLOTS_MAX`]). Sockets bound to a wildcard address should ask for the address of
    /// each datagram, as those of [`sockets`](crate::sys::sockets) do; they must be in blocking mode.
    ///
    /// With `busy_poll` over 0 the ring polls the NIC's queues for so many microseconds before it
    /// sleeps.
    ///
    /// # Errors
    ///
    /// [`RingError`] if the kernel refuses a step: io_uring is denied, or older than Linux 6.1; for
    /// `busy_poll`, than Linux 6.9.
    pub fn new(sockets: Vec<UdpSocket>, slots: u16, busy_poll: usize) -> Result<Self, RingError> {
        let slots = slots.clamp(1, RING_SLOTS_MAX).next_power_of_two();
        let step = |error| RingError::Refused { step: "the sockets", error };
        if sockets.len() > SHARD_SOCKETS_MAX {
            return Err(step(io::ErrorKind::ArgumentListTooLong.into()));
        }
        let wildcards = wildcards(&sockets).map_err(step)?;
        let count = sockets.len();
        Ok(Self(Box::new(Driver::new(Uring::new(sockets, slots, wildcards, busy_poll)?, count))))
    }

    /// Bytes of one with so many slots and sockets: the slots, its queues, and what is known of each entry.
    #[must_use]
    pub fn memory_len(slots: u16, sockets: usize) -> usize {
        let slots = usize::from(slots.clamp(1, RING_SLOTS_MAX).next_power_of_two());
        Uring::memory_len(slots, sockets)
    }

    /// One turn, one system call: sends the replies of the last turn, receives, and waits up to `wait` for a
    /// first datagram; then lends each one to `answer`. The closure sees all of the slot, of which
    /// [`Arrived::len`] bytes are the datagram, and returns how many of them to send back to the peer from
    /// the address that was asked, or `None`.
    ///
    /// A turn may return early, and without a datagram.
    ///
    /// # Errors
    ///
    /// Those after which the ring is of no use: end it.
    #[inline]
    pub fn turn(
        &mut self,
        wait: Duration,
        answer: &mut impl FnMut(&Arrived, &mut [u8]) -> Option<usize>,
    ) -> io::Result<Turn> {
        self.0.turn(wait, answer)
    }

    /// Ends the ring: answers what it has received and what is queued in its sockets, and closes both. The
    /// ports are free when it returns. (Dropping the ring closes as well, but answers nothing.)
    ///
    /// # Errors
    ///
    /// As [`Self::turn`]; the sockets are closed all the same.
    pub fn end(self, answer: &mut impl FnMut(&Arrived, &mut [u8]) -> Option<usize>) -> io::Result<Turn> {
        let (mut turn, kernel) = self.0.end(answer)?;
        // The kernel is not asked again: a confined thread may not.
        let (sockets, wildcards) = kernel.into_sockets();
        turn += Mmsg::of(sockets, wildcards)?.end(answer)?;
        Ok(turn)
    }

    /// The sockets, in the order in which they were given.
    #[must_use]
    pub fn sockets(&self) -> &[UdpSocket] {
        self.0.kernel().sockets()
    }
}
