//! The driver of a ring, generic over the kernel: arm receives, lend slots, queue sends, recycle slots. No
//! unsafe code here, and no system call but `enter`.

use std::io;
use std::time::Duration;

use super::kernel::{Completion, Kernel};
use super::slots::Reply;
use crate::limits::RING_END_TURNS_MAX;
use crate::sys::datagram::{Arrived, Turn};

// An empty datagram ends the multishot receive of its socket, and what follows it is fetched with the next
// turn: of a flood that is half empty each turn answers two. A datagram then costs more than by recvmmsg
// (1.9 us for 1.3), and still less than a query, so it is no weapon; `ring_rearms_total` shows it.

/// The multishot receive of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receive {
    /// Running in the kernel, or queued.
    Armed,
    /// It has ended, and why.
    Ended(Cause),
}

/// Why a receive had to be armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Start,
    NoBuffers,
    Empty,
    Other,
}

/// A ring over a kernel, real or simulated.
pub(super) struct Driver<K> {
    kernel: K,
    /// By socket.
    receives: Box<[Receive]>,
    /// How many of them are armed.
    armed_count: usize,
    /// The socket that was armed first the last time.
    first: usize,
}

impl<K: Kernel> Driver<K> {
    /// A ring of so many sockets; nothing is armed before the first turn.
    pub(super) fn new(kernel: K, sockets: usize) -> Self {
        let receives = vec![Receive::Ended(Cause::Start); sockets].into_boxed_slice();
        Self { kernel, receives, armed_count: 0, first: 0 }
    }

    pub(super) const fn kernel(&self) -> &K {
        &self.kernel
    }

    pub(super) const fn kernel_mut(&mut self) -> &mut K {
        &mut self.kernel
    }

    /// One turn: re-arm what has ended, enter once (which sends the last turn's replies and receives), answer
    /// all.
    ///
    /// It waits only if every socket is armed. A successful send posts no completion, so a wait with an
    /// ended receive might have nothing to wake it.
    #[inline]
    pub(super) fn turn(
        &mut self,
        wait: Duration,
        answer: &mut impl FnMut(&Arrived, &mut [u8]) -> Option<usize>,
    ) -> io::Result<Turn> {
        let mut turn = Turn::default();
        if self.armed_count < self.receives.len() {
            self.rearm(&mut turn);
        }
        let wait = if self.armed_count == self.receives.len() { wait } else { Duration::ZERO };
        self.enter(wait, &mut turn, answer)?;
        Ok(turn)
    }

    /// Ends all receives, answering what they had received, and hands the replies over. What remains in the
    /// sockets is not read.
    pub(super) fn end(
        mut self,
        answer: &mut impl FnMut(&Arrived, &mut [u8]) -> Option<usize>,
    ) -> io::Result<(Turn, K)> {
        const PATIENCE: Duration = Duration::from_millis(10);
        let mut turn = Turn::default();
        for (socket, receive) in self.receives.iter().enumerate() {
            if *receive == Receive::Armed {
                self.kernel.cancel(socket);
            }
        }
        for _ in 0..RING_END_TURNS_MAX {
            let received_before = turn.received;
            let wait = if self.armed_count > 0 { PATIENCE } else { Duration::ZERO };
            let short_before = turn.short_submits;
            self.enter(wait, &mut turn, answer)?;
            // What this round received was answered, and the next one hands the answers over.
            let answered = turn.received > received_before;
            if self.armed_count == 0 && !answered && turn.short_submits == short_before {
                break;
            }
        }
        Ok((turn, self.kernel))
    }

    /// Re-arms multishot receives that have ended. After the queued replies, as those free slots; and only
    /// while the kernel has a slot, as without one the receive would end at once. What waits in the sockets
    /// meanwhile is not lost.
    #[cold]
    fn rearm(&mut self, turn: &mut Turn) {
        if self.kernel.slots().in_kernel_count() == 0 {
            return;
        }
        // The receive that is armed first gets the free buffers first: rotate, or a flood would take the last
        // ones every time.
        let sockets = self.receives.len();
        self.first = (self.first + 1) % sockets;
        for socket in (self.first..sockets).chain(0..self.first) {
            let Receive::Ended(cause) = self.receives[socket] else { continue };
            match cause {
                Cause::Start => {}
                Cause::NoBuffers => turn.rearms.no_buffers += 1,
                Cause::Empty => turn.rearms.empty += 1,
                Cause::Other => turn.rearms.other += 1,
            }
            self.kernel.arm(socket);
            self.receives[socket] = Receive::Armed;
            self.armed_count += 1;
        }
    }

    /// Enters once and handles all completions.
    #[inline]
    fn enter(
        &mut self,
        wait: Duration,
        turn: &mut Turn,
        answer: &mut impl FnMut(&Arrived, &mut [u8]) -> Option<usize>,
    ) -> io::Result<()> {
        let entered = self.kernel.enter(wait)?;
        turn.overflows += u32::from(entered.overflow);
        turn.short_submits += u32::from(entered.short);
        let failed_before = turn.send_errors.total();
        while let Some(completion) = self.kernel.completion() {
            match completion {
                Completion::Receive { socket, result, slot, more } => {
                    if !more {
                        self.ended(socket, result)?;
                    }
                    let Some(mut slot) = slot else { continue };
                    // A completion with an error may come with a slot, but without a datagram.
                    let received = usize::try_from(result).unwrap_or(0);
                    let Some((arrived, payload)) = self.kernel.slots().datagram(&mut slot, socket, received)
                    else {
                        let is_datagram = received >= self.kernel.slots().payload_off();
                        turn.unaddressed += u32::from(is_datagram);
                        self.kernel.recycle(slot);
                        continue;
                    };
                    turn.received += 1;
                    match answer(&arrived, payload) {
                        Some(len) => {
                            debug_assert!(len <= payload.len(), "a reply is within its slot");
                            let reply = Reply { len: len.min(payload.len()), source: arrived.local.told() };
                            self.kernel.send(socket, slot, reply);
                        }
                        None => self.kernel.recycle(slot),
                    }
                }
                Completion::SendFailed { errno } => turn.send_errors.count(errno),
                Completion::Other => {}
                Completion::Nonsense => {
                    return Err(io::Error::other("unexpected io_uring completion"));
                }
            }
        }
        // A failed send completes in the `enter` that took it.
        turn.sent += entered.taken.saturating_sub(turn.send_errors.total() - failed_before);
        Ok(())
    }

    /// Notes that the receive on `socket` has ended. Fails if it would end the same way for ever.
    #[cold]
    fn ended(&mut self, socket: usize, result: i32) -> io::Result<()> {
        let cause = match -result {
            libc::ENOBUFS => Cause::NoBuffers,
            errno @ (libc::EACCES
            | libc::EBADF
            | libc::EFAULT
            | libc::EINVAL
            | libc::EOPNOTSUPP
            | libc::ENOTSOCK) => {
                return Err(io::Error::from_raw_os_error(errno));
            }
            errno if errno > 0 => Cause::Other,
            _ => match usize::try_from(result) {
                Ok(received) if received <= self.kernel.slots().payload_off() => Cause::Empty,
                _ => Cause::Other,
            },
        };
        let receive = &mut self.receives[socket];
        if *receive == Receive::Armed {
            self.armed_count -= 1;
        }
        *receive = Receive::Ended(cause);
        Ok(())
    }
}
