//! The io_uring datapath: one ring for each shard, its sockets, and its slots.
//!
//! | file | what it knows |
//! |---|---|
//! | `driver.rs` | what to arm, lend, send and recycle; no unsafe code |
//! | `slots.rs` | the memory of the slots, and who holds each |
//! | `kernel.rs` | what the driver needs of a kernel |
//! | `uring.rs` | the real kernel, and the proof of when a slot may go back |
//! | [`sim`] | a kernel that misbehaves on purpose, for tests; and a quiet one, for benches |
//! | `self_test.rs` | whether this host's ring does what we rely on |
//! | `features.rs` | what it has beyond that |

use std::fmt;
use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use super::datagram::{Arrived, Turn};
use super::mmsg::Mmsg;
use crate::limits::{RING_SLOTS_MAX, SHARD_SOCKETS_MAX};
use driver::Driver;
use uring::Uring;

mod driver;
mod features;
mod kernel;
mod self_test;
#[doc(hidden)]
pub mod sim;
mod slots;
mod uring;

pub use features::{RingFeature, ring_features};
pub use self_test::{SelfTest, self_test};

/// An io_uring with its sockets. It belongs to the thread that made it.
pub struct Ring(Box<Driver<Uring>>);

impl Ring {
    /// Sets up a ring on the calling thread that answers on `sockets`, with `slots` slots (made a power of
    /// two, at most [`RING_SLOTS_MAX`]). Sockets bound to a wildcard address should ask for the address of
    /// each datagram, as those of [`sockets`](super::sockets) do; they must be in blocking mode.
    ///
    /// With `busy_poll` over 0 the ring polls the network card's queues for so many microseconds before it
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
        let wildcard = any_wildcard(&sockets).map_err(step)?;
        let count = sockets.len();
        Ok(Self(Box::new(Driver::new(Uring::new(sockets, slots, wildcard, busy_poll)?, count))))
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
        turn += Mmsg::new(kernel.into_sockets())?.end(answer)?;
        Ok(turn)
    }

    /// The sockets, in the order in which they were given.
    #[must_use]
    pub fn sockets(&self) -> &[UdpSocket] {
        self.0.kernel().sockets()
    }
}

/// Whether any socket is bound to a wildcard address, so that each datagram says which address was asked.
pub(super) fn any_wildcard(sockets: &[UdpSocket]) -> io::Result<bool> {
    sockets.iter().try_fold(false, |any, socket| Ok(any || socket.local_addr()?.ip().is_unspecified()))
}

/// Why there is no ring to be used.
#[derive(Debug)]
pub enum RingError {
    /// The kernel refused a step of the set-up.
    Refused {
        /// The system call, or its operation.
        step: &'static str,
        /// What it said.
        error: io::Error,
    },
    /// The ring works otherwise than we rely on.
    Untrusted {
        /// What was tried and did not come out.
        trial: &'static str,
    },
}

impl RingError {
    /// What an operator can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        let Self::Refused { step, error } = self else {
            return "this kernel's io_uring has a bug; update the kernel";
        };
        if *step == uring::NAPI {
            return "busy polling with io_uring needs Linux 6.9 or later";
        }
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                "set sysctl kernel.io_uring_disabled=0 (or 1, with the node in kernel.io_uring_group), and \
                 allow io_uring in the container's seccomp profile"
            }
            Some(libc::ENOSYS | libc::EOPNOTSUPP) => {
                "the kernel lacks io_uring, or the container's seccomp profile blocks it"
            }
            Some(libc::ENOMEM) => "raise LimitMEMLOCK, or the memory limit of the container",
            Some(libc::EINVAL) => "the kernel is too old: Linux 6.1 or later is needed",
            Some(libc::EMFILE | libc::ENFILE) => "raise LimitNOFILE",
            _ => "io_uring cannot be used on this host",
        }
    }
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { step, error } => write!(f, "{step}: {error}; {}", self.hint()),
            Self::Untrusted { trial } => write!(f, "self-test failed: {trial}; {}", self.hint()),
        }
    }
}

impl std::error::Error for RingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused { error, .. } => Some(error),
            Self::Untrusted { .. } => None,
        }
    }
}
