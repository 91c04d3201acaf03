//! A simulated kernel.
//!
//! With faults it does, by the numbers of a seed, whatever a kernel may do: completes in any order, ends
//! receives for no reason, takes a part of the queue, fails sends. Without faults it is a quiet one, to
//! measure what lies above it.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::driver::Driver;
use super::kernel::{Completion, Entered, Kernel};
use super::slots::{Reply, Slot, Slots};
use crate::sys::datagram::{Arrived, Local, Turn};

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
    /// A ring of so many sockets, all bound to a wildcard address if `wildcard`, and `slots` slots. It
    /// misbehaves by the numbers of `seed`, if there is one.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn new(sockets: usize, slots: u16, wildcard: bool, seed: Option<u64>) -> io::Result<Self> {
        let kernel = Sim {
            slots: Slots::new(slots, vec![wildcard; sockets].into())?,
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

    /// Lets a datagram arrive at a socket.
    pub fn deliver(&mut self, socket: usize, peer: SocketAddr, local: Local, datagram: &[u8]) {
        let arrived = Arrived { socket, peer, local, len: datagram.len() };
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

    /// As [`Ring::end`](super::Ring::end); with the replies that left, taken or not.
    ///
    /// # Errors
    ///
    /// As [`Self::turn`].
    pub fn end(
        self,
        answer: &mut impl FnMut(&Arrived, &mut [u8]) -> Option<usize>,
    ) -> io::Result<(Turn, Vec<Sent>)> {
        let (turn, kernel) = self.0.end(answer)?;
        Ok((turn, kernel.outbox))
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
        let number = self.slots.recycle(slot);
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
    /// Arms a socket, which receives at once. Without a slot that ends it, as in Linux, even if nothing has
    /// arrived.
    fn begin(&mut self, socket: usize) {
        assert!(!std::mem::replace(&mut self.armed[socket], true), "armed twice");
        if self.buffers.is_empty() {
            self.finish(socket, -libc::ENOBUFS);
        }
        self.receive(socket);
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
            let mut slot = self.slots.take_filled(number).expect("a buffer is with the kernel");
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
        let (arrived, payload) =
            self.slots.datagram(&mut slot, socket, received).expect("its head is as it was");
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::limits::SLOT_PAYLOAD_LEN;

    const WAIT: Duration = Duration::from_millis(1);

    /// The other end of a ring: it numbers its queries, and knows which replies are due.
    struct Client {
        ring: SimRing,
        slots: usize,
        next: u64,
        /// Delivered, not yet seen by the closure.
        waiting: HashMap<u64, Arrived>,
        /// Answered, not yet sent.
        due: HashMap<u64, Arrived>,
        sum: Turn,
    }

    impl Client {
        fn new(sockets: usize, slots: u16, wildcard: bool, seed: u64) -> Self {
            let ring = SimRing::new(sockets, slots, wildcard, Some(seed)).unwrap();
            let (waiting, due) = (HashMap::new(), HashMap::new());
            Self { ring, slots: slots.into(), next: 0, waiting, due, sum: Turn::default() }
        }

        /// A query says its number over and over, from a peer and to an address that follow from it.
        fn deliver(&mut self, dice: &mut Dice, wildcard: bool) {
            let id = self.next;
            self.next += 1;
            let [.., high, low] = id.to_be_bytes();
            let socket = dice.below(self.ring.0.kernel().armed.len());
            let peer = SocketAddr::from(([10, 0, high, low], 1024 + u16::from(low)));
            let local = if wildcard { Local::Told(IpAddr::from([192, 0, 2, low])) } else { Local::Fixed };
            // One in eight has no byte: it ends the receive, and only its peer tells which it was.
            let words = [0, 1, 2, 3, 4, 5, 6, 300][dice.below(8)];
            let datagram = id.to_be_bytes().repeat(words);
            let len = datagram.len().min(SLOT_PAYLOAD_LEN);
            self.ring.deliver(socket, peer, local, &datagram);
            self.waiting.insert(id & 0xffff, Arrived { socket, peer, local, len });
        }

        fn id_of(peer: SocketAddr) -> u64 {
            let SocketAddr::V4(peer) = peer else { panic!("peers have IPv4") };
            let [.., high, low] = peer.ip().octets();
            u64::from(u16::from_be_bytes([high, low]))
        }

        fn turn(&mut self) -> Turn {
            let (waiting, due) = (&mut self.waiting, &mut self.due);
            let turn =
                self.ring.0.turn(WAIT, &mut |arrived, slot| answer(arrived, slot, waiting, due)).unwrap();
            self.check(turn.sent);
            self.sum += turn;
            turn
        }

        /// After a turn: every slot is with the kernel or holds a reply, and every reply is its query's own.
        fn check(&mut self, sent_count: u32) {
            let sim = self.ring.0.kernel_mut();
            assert!(!sim.stalled, "it waited while a socket was not armed");
            assert!(sim.completed.is_empty());
            let sending = sim.submitted.iter().filter(|entry| matches!(entry, Submitted::Send(..))).count();
            assert_eq!(sim.slots.in_kernel_count(), sim.buffers.len());
            assert_eq!(sim.buffers.len() + sending, self.slots, "a slot is lost or twice");
            let mut all: Vec<u16> = sim.buffers.iter().copied().collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), sim.buffers.len(), "a slot is with the kernel twice");
            let sent = self.ring.take_sent();
            assert_eq!(sent.len(), sent_count as usize);
            for Sent { socket, peer, source, bytes } in sent {
                let arrived = self.due.remove(&Self::id_of(peer)).expect("it was due, and once");
                let expected = Arrived {
                    socket,
                    peer,
                    local: source.map_or(Local::Fixed, Local::Told),
                    len: bytes.len(),
                };
                assert_eq!(expected, arrived);
                let id = !Self::id_of(peer);
                assert!(
                    bytes.chunks_exact(8).all(|word| word[6..] == id.to_be_bytes()[6..]),
                    "its own bytes"
                );
            }
        }
    }

    /// Turns all bits over; every seventh query gets no reply.
    fn answer(
        arrived: &Arrived,
        slot: &mut [u8],
        waiting: &mut HashMap<u64, Arrived>,
        due: &mut HashMap<u64, Arrived>,
    ) -> Option<usize> {
        let id = Client::id_of(arrived.peer);
        assert_eq!(waiting.remove(&id), Some(*arrived), "as it was sent, and once");
        assert!(slot[..arrived.len].chunks_exact(8).all(|word| word[6..] == id.to_be_bytes()[6..]));
        slot[..arrived.len].iter_mut().for_each(|byte| *byte = !*byte);
        // What lies behind the datagram may be scribbled over.
        slot[arrived.len..].iter_mut().take(16).for_each(|byte| *byte = 0xaa);
        if id.is_multiple_of(7) {
            return None;
        }
        due.insert(id, *arrived);
        Some(arrived.len)
    }

    /// Hundreds of thousands of steps of a kernel that does whatever it may.
    #[test]
    fn no_slot_and_no_datagram_is_lost_whatever_the_kernel_does() {
        let seeds = match std::env::var("SEED") {
            Ok(seed) => vec![seed.parse().expect("SEED is a number")],
            Err(_) => (0..40).collect(),
        };
        let mut sum = Turn::default();
        for seed in seeds {
            let mut dice = Dice(seed);
            let (slots, sockets, wildcard) = (1 << (seed % 7), 1 + dice.below(4), dice.below(2) == 0);
            let mut client = Client::new(sockets, slots, wildcard, seed);
            for _ in 0..1000 {
                for _ in 0..dice.below(2 * usize::from(slots) + 2) {
                    if client.waiting.len() + client.due.len() < 1000 {
                        client.deliver(&mut dice, wildcard);
                    }
                }
                client.turn();
                // Replies that the kernel failed to send are due for ever.
                if client.due.len() > 500 && client.ring.0.kernel().submitted.is_empty() {
                    assert!(client.sum.send_errors.total() as usize >= client.due.len());
                    client.due.clear();
                }
            }
            settle(&mut client);
            sum += client.sum;
            end(client, &mut dice, wildcard);
        }
        assert!(sum.received > 100_000, "{sum:?}");
        assert!(
            sum.rearms.no_buffers > 1000 && sum.rearms.empty > 1000 && sum.rearms.other > 1000,
            "{sum:?}"
        );
        assert!(sum.send_errors.again > 100 && sum.send_errors.perm > 100 && sum.send_errors.other > 100);
        assert!(sum.short_submits > 1000);
    }

    /// Without faults everything that is due comes, and every socket ends up armed.
    fn settle(client: &mut Client) {
        client.ring.0.kernel_mut().faults = None;
        // A ring of one slot takes three turns for each datagram.
        for _ in 0..4000 {
            let turn = client.turn();
            if client.waiting.is_empty() && turn == Turn::default() {
                break;
            }
        }
        assert!(client.waiting.is_empty(), "every datagram was lent");
        assert!(client.ring.0.kernel().submitted.is_empty());
        assert!(client.ring.0.kernel().armed.iter().all(|&armed| armed), "every socket is armed");
        assert_eq!(client.ring.0.kernel().buffers.len(), client.slots);
        let counted = client.sum.received;
        assert_eq!(u64::from(counted), client.next);
    }

    /// The end takes back all slots, and sends what it answers.
    fn end(mut client: Client, dice: &mut Dice, wildcard: bool) {
        client.due.clear();
        (0..client.slots.min(8)).for_each(|_| client.deliver(dice, wildcard));
        client.turn();
        let (waiting, due) = (&mut client.waiting, &mut client.due);
        let (_, kernel) =
            client.ring.0.end(&mut |arrived, slot| answer(arrived, slot, waiting, due)).unwrap();
        assert!(kernel.submitted.is_empty() && kernel.completed.is_empty());
        assert_eq!(kernel.buffers.len(), client.slots);
        assert!(kernel.armed.iter().all(|&armed| !armed));
        for sent in &kernel.outbox {
            due.remove(&Client::id_of(sent.peer)).expect("due, and once");
        }
        assert!(due.is_empty(), "every answer left");
    }

    /// A kernel without faults gives each reply in the turn after its query.
    #[test]
    fn a_reply_leaves_with_the_next_turn() {
        let mut ring = SimRing::new(1, 2, false, None).unwrap();
        let peer = "192.0.2.1:5353".parse().unwrap();
        ring.deliver(0, peer, Local::Fixed, b"ping");
        let mut echo = |arrived: &Arrived, _: &mut [u8]| Some(arrived.len);
        let first = ring.turn(WAIT, &mut echo).unwrap();
        assert_eq!((first.received, first.sent), (1, 0));
        assert!(ring.take_sent().is_empty());
        let second = ring.turn(WAIT, &mut echo).unwrap();
        assert_eq!((second.received, second.sent), (0, 1));
        assert_eq!(ring.take_sent(), [Sent { socket: 0, peer, source: None, bytes: b"ping".to_vec() }]);
        let (last, sent) = ring.end(&mut echo).unwrap();
        assert_eq!((last, sent), (Turn::default(), vec![]));
    }

    /// Without a slot a receive is not begun: it would end at once.
    #[test]
    fn a_receive_is_begun_once_for_each_slot_that_came_back() {
        let mut ring = SimRing::new(1, 1, false, None).unwrap();
        let peer = "192.0.2.1:5353".parse().unwrap();
        (0..10).for_each(|_| ring.deliver(0, peer, Local::Fixed, b"query"));
        let mut sum = Turn::default();
        for _ in 0..40 {
            sum += ring.turn(WAIT, &mut |arrived, _| Some(arrived.len)).unwrap();
        }
        assert_eq!((sum.received, sum.sent), (10, 10));
        assert!((9..=10).contains(&sum.rearms.no_buffers), "{sum:?}");
    }

    /// However few slots there are, a flood at one socket leaves some to the others.
    #[test]
    fn a_flood_at_one_socket_does_not_starve_another() {
        let peer = "192.0.2.1:5353".parse().unwrap();
        for slots in [1, 2, 4, 16, 32, 64, 128] {
            for quiet in [0, 1, 2] {
                let mut ring = SimRing::new(3, slots, false, None).unwrap();
                for round in 0..20 {
                    ring.deliver(quiet, peer, Local::Fixed, b"here too");
                    let mut seen = false;
                    for _ in 0..12 {
                        for flooded in (0..3).filter(|&socket| socket != quiet) {
                            (0..2 * slots).for_each(|_| ring.deliver(flooded, peer, Local::Fixed, b"flood"));
                        }
                        let mut answer = |arrived: &Arrived, _: &mut [u8]| {
                            seen |= arrived.socket == quiet;
                            Some(arrived.len)
                        };
                        ring.turn(WAIT, &mut answer).unwrap();
                    }
                    assert!(seen, "slots {slots}, socket {quiet}, round {round}");
                }
            }
        }
    }

    /// A receive that would fail for ever is an error, not a busy loop; and so is a slot out of nowhere.
    #[test]
    fn what_cannot_be_mended_is_an_error() {
        let mut ring = SimRing::new(1, 2, false, None).unwrap();
        ring.turn(WAIT, &mut |_, _| None).unwrap();
        ring.0.kernel_mut().finish(0, -libc::EBADF);
        let error = ring.turn(WAIT, &mut |_, _| None).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        let mut ring = SimRing::new(1, 2, false, None).unwrap();
        ring.0.kernel_mut().completed.push_back(Completion::Nonsense);
        assert!(ring.turn(WAIT, &mut |_, _| None).is_err());
    }
}
