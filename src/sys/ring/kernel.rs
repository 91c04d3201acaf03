//! What the driver needs of a kernel: the real one ([`super::uring`]), or the simulated one ([`super::sim`]).

use std::io;
use std::time::Duration;

use super::slots::{Reply, Slot, Slots};

/// The kernel's side of a ring. Work is queued, and happens in [`Kernel::enter`]; what came of it is read
/// with [`Kernel::completion`]. The queues hold all that the slots and sockets can make, so queueing cannot
/// fail.
pub(super) trait Kernel {
    /// The slots that this kernel fills.
    fn slots(&mut self) -> &mut Slots;

    /// Queues a multishot receive on `socket`. The driver arms no socket whose last receive has not ended.
    fn arm(&mut self, socket: usize);

    /// Queues the end of the receive on `socket`: it completes with ECANCELED.
    fn cancel(&mut self, socket: usize);

    /// Queues a reply to the peer of `slot`, on the socket where it came in. When the kernel has taken it the
    /// slot goes back to the kernel by itself, be the reply sent or not.
    fn send(&mut self, socket: usize, slot: Slot, reply: Reply);

    /// Gives a slot back to the kernel, at the latest with the next [`Kernel::enter`].
    fn recycle(&mut self, slot: Slot);

    /// One system call: hands over what is queued, receives, and waits up to `wait` for a first completion.
    /// Errors are those after which the ring is unusable.
    fn enter(&mut self, wait: Duration) -> io::Result<Entered>;

    /// The next completion.
    fn completion(&mut self) -> Option<Completion>;
}

/// What one [`Kernel::enter`] did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entered {
    /// Replies that the kernel took, including those that it then failed to send.
    pub(super) taken: u32,
    /// Queued work is left for the next time.
    pub(super) short: bool,
    /// The completion queue was too small.
    pub(super) overflow: bool,
}

/// A completion queue entry.
#[derive(Debug)]
pub(super) enum Completion {
    /// A completion of the multishot receive on `socket`.
    Receive {
        socket: usize,
        /// Bytes including the head, or a negative error number.
        result: i32,
        /// The slot with the datagram. An error may come with one too.
        slot: Option<Slot>,
        /// Whether the receive is still armed (IORING_CQE_F_MORE).
        more: bool,
    },
    /// A reply was not sent, by error number. (Successful sends post no completion: IOSQE_CQE_SKIP_SUCCESS.)
    SendFailed { errno: i32 },
    /// A cancellation is done; the driver ignores it.
    Other,
    /// Impossible: a slot that the kernel does not have, or a request that was never made.
    Nonsense,
}
