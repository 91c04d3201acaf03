//! A simulated kernel.
//!
//! With faults it does, by the numbers of a seed, whatever a kernel may do: completes in any order, ends receives for no
//! reason, takes a part of the queue, fails sends. Without faults it is a quiet one, to measure what lies above it.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::driver::Driver;
use super::kernel::{Completion, Entered, Kernel};
use super::slots::{Reply, Slot, Slots};
use crate::sys::datagram::{Arrived, Turn};

/// Datagrams that one receive takes before it lets others have their turn, as in Linux.
const FAIR: usize = 32;

/// A ring over the simulated kernel: as [`Ring`](super::Ring), but what arrives is delivered by hand.
pub struct SimRing(Driver<Sim>);

/// A reply that left the simulated kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The socket.
    pub socket: usize,
    /// To whom.
    pub peer: SocketAddr,
    /// From which address, if the ring chose it.
    pub source: Option<IpAddr>,
    /// What.
    pub bytes: Vec<u8>,
}

impl SimRing {
    /// A ring of so many sockets, all bound to a wildcard address if `wildcard`, and `slots` slots. It misbehaves by the
    /// numbers of `seed`, if there is one.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn new(sockets: usize, slots: u16, wildcard: bool, seed: Option<u64>) -> io::Result<Self> {
        let kernel = Sim {
            slots: Slots::new(slots, wildcard)?,
            buffers: (0..slots).collect(),
            submitted: VecDeque::new(),
            completed: VecDeque::new(),
            armed: vec![false; sockets],
            inbox: vec![VecDeque::new(); sockets],
            outbox: Vec::new(),
            faults: seed.map(Dice),
            failed: 0,
            stalled: false,
        };
        Ok(Self(Driver::new(kernel, sockets)))
    }

    /// Lets a datagram arrive at a socket, for the local address `local_ip`.
    pub fn deliver(&mut self, socket: usize, peer: SocketAddr, local_ip: Option<IpAddr>, datagram: &[u8]) {
        let arrived = Arrived { socket, peer, local_ip, len: datagram.len() };
        self.0.kernel_mut().inbox[socket].push_back((arrived, datagram.to_vec()));
    }

    /// As [`Ring::turn`](super::Ring::turn).
    ///
    /// # Errors
    ///
    /// Of the driver, if it lost its way.
    #[inline]
    pub fn turn(
        &mut self,
        wait: Duration,
        answer: &mut impl FnMut(&Arrived, &mut [u8]) -> Option<usize>,
    ) -> io::Result<Turn> {
        self.0.turn(wait, answer)
    }

    /// Takes the replies that have left.
    pub fn take_sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.0.kernel_mut().outbox)
    }
}

/// The kernel's side.
struct Sim {
    slots: Slots,
    /// Slots given to the kernel, in order.
    buffers: VecDeque<u16>,
    submitted: VecDeque<Submitted>,
    completed: VecDeque<Completion>,
    armed: Vec<bool>,
    inbox: Vec<VecDeque<(Arrived, Vec<u8>)>>,
    outbox: Vec<Sent>,
    faults: Option<Dice>,
    /// Sends that were made to fail.
    failed: usize,
    /// Someone waited while a datagram lay at a socket that was not armed: the real one would have slept on.
    stalled: bool,
}

enum Submitted {
    Arm(usize),
    Cancel(usize),
    Send(usize, Slot, Reply),
}

impl Kernel for Sim {
    fn slots(&mut self) -> &mut Slots {
        &mut self.slots
    }

    fn arm(&mut self, socket: usize) {
        self.submitted.push_back(Submitted::Arm(socket));
    }

    fn cancel(&mut self, socket: usize) {
        self.submitted.push_back(Submitted::Cancel(socket));
    }

    fn send(&mut self, socket: usize, slot: Slot, reply: Reply) {
        self.submitted.push_back(Submitted::Send(socket, slot, reply));
    }

    fn recycle(&mut self, slot: Slot) {
        let number = self.slots.put(slot);
        self.buffers.push_back(number);
    }

    fn enter(&mut self, wait: Duration) -> io::Result<Entered> {
        let queued = self.submitted.len();
        let take = if queued > 0 && self.chance(8) { self.below(queued) } else { queued };
        let mut entered = Entered { taken: 0, short: take < queued, overflow: false };
        // What was sent is recycled at the end only: receives of the same call do not get those slots.
        let mut free = Vec::new();
        for _ in 0..take {
            match self.submitted.pop_front() {
                Some(Submitted::Arm(socket)) => self.begin(socket),
                Some(Submitted::Cancel(socket)) => self.finish(socket, -libc::ECANCELED),
                Some(Submitted::Send(socket, slot, reply)) => {
                    free.push(self.transmit(socket, slot, reply));
                    entered.taken += 1;
                }
                None => {}
            }
        }
        for socket in 0..self.armed.len() {
            self.receive(socket);
        }
        free.into_iter().for_each(|slot| self.recycle(slot));
        if self.faults.is_some() {
            self.shuffle();
        }
        let waits = !wait.is_zero() && !entered.short && self.completed.is_empty();
        self.stalled |= waits && self.inbox.iter().any(|inbox| !inbox.is_empty());
        Ok(entered)
    }

    fn completion(&mut self) -> Option<Completion> {
        self.completed.pop_front()
    }
}

impl Sim {
    /// Arms a socket. Without a slot the first attempt ends it, as in Linux, even if nothing has arrived.
    fn begin(&mut self, socket: usize) {
        assert!(!std::mem::replace(&mut self.armed[socket], true), "armed twice");
        if self.buffers.is_empty() {
            self.finish(socket, -libc::ENOBUFS);
        }
    }

    /// Ends the receive of a socket, if it is armed.
    fn finish(&mut self, socket: usize, result: i32) {
        if std::mem::replace(&mut self.armed[socket], false) {
            self.completed.push_back(Completion::Receive { socket, result, slot: None, more: false });
        }
    }

    fn receive(&mut self, socket: usize) {
        if self.armed[socket] && self.chance(50) {
            let errno = if self.chance(2) { libc::ENOMEM } else { libc::ECANCELED };
            self.finish(socket, -errno);
        }
        for _ in 0..FAIR {
            if !self.armed[socket] || self.inbox[socket].is_empty() {
                return;
            }
            let Some(number) = self.buffers.pop_front() else {
                return self.finish(socket, -libc::ENOBUFS);
            };
            let Some((arrived, datagram)) = self.inbox[socket].pop_front() else { return };
            let mut slot = self.slots.take(number).expect("a buffer is with the kernel");
            let result = self.slots.simulate(&mut slot, &arrived, &datagram);
            let result = i32::try_from(result).expect("a slot is small");
            let more = !datagram.is_empty() && !self.chance(20);
            self.armed[socket] = more;
            self.completed.push_back(Completion::Receive { socket, result, slot: Some(slot), more });
        }
    }

    /// Sends, or fails to; gives the slot back.
    fn transmit(&mut self, socket: usize, mut slot: Slot, reply: Reply) -> Slot {
        if self.chance(10) {
            self.failed += 1;
            let errno = [libc::EAGAIN, libc::EPERM, libc::EMSGSIZE][self.below(3)];
            self.completed.push_back(Completion::SendFailed { errno });
            return slot;
        }
        let received = self.slots.payload_off();
        let (arrived, payload) = self.slots.lend(&mut slot, socket, received).expect("its head is as it was");
        let (peer, bytes) = (arrived.peer, payload[..reply.len].to_vec());
        self.outbox.push(Sent { socket, peer, source: reply.source, bytes });
        slot
    }

    /// Puts the completions in any order.
    fn shuffle(&mut self) {
        for last in (1..self.completed.len()).rev() {
            let other = self.below(last + 1);
            self.completed.swap(last, other);
        }
    }

    /// True once in `of` times, if there are faults.
    fn chance(&mut self, of: usize) -> bool {
        self.faults.is_some() && self.below(of) == 0
    }

    fn below(&mut self, bound: usize) -> usize {
        self.faults.as_mut().map_or(0, |dice| dice.below(bound))
    }
}

/// Numbers that look like chance (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)) as usize % bound
    }
}
