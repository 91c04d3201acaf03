//! A shard: one thread, its sockets, and the loop that lends each datagram to [`serve`].

use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::drops::{Drops, Seen, SocketDrops};
use super::hand_over::Handed;
use super::orders::Orders;
use super::wall::WallClock;
use super::{Datapath, NetError};
use crate::dns::arrival::{Arrival, Pace, Transport};
use crate::dns::consts::rcode;
use crate::dns::cookie::Standing;
use crate::limits::{ERROR_REPLIES_PER_SECOND_MAX, IDENTITY_TEXTS_PER_SECOND_MAX, RING_SLOTS, SHARD_TICK};
use crate::serve::cap::Cap;
use crate::serve::job::Desk;
use crate::serve::limiter::{Claim, Limiter};
use crate::serve::published::Follower;
use crate::serve::snapshot::Snapshot;
use crate::serve::{Verdict, identity, serve};
use crate::stats::account::Account;
use crate::stats::counters::{
    DROPPED, OVER_LIMIT, SEND_ERRORS, SHARD_BATCHES, SHARD_BUSY, SHARD_EXHAUSTED, SHARD_OVERFLOWS,
    SHARD_REARMS, SHARD_RECEIVED, SHARD_SENT, SHARD_SHORT, SHARD_TURNS,
};
use crate::stats::labels::{DROPPED_ERROR_CAP, DROPPED_UNADDRESSED};
use crate::stats::ledger::Ledger;
use crate::sys::{Arrived, Local, Mmsg, Ring, Turn};

/// The datapath of one shard.
pub(super) enum UdpIo {
    Ring(Ring),
    Mmsg(Mmsg),
}

impl UdpIo {
    /// An engine that answers on `sockets`, made by the thread that will turn it.
    pub(super) fn new(
        datapath: Datapath,
        sockets: Vec<UdpSocket>,
        busy_poll: usize,
    ) -> Result<Self, NetError> {
        let failed = |error: &dyn Display| NetError::Datapath { datapath, reason: error.to_string() };
        match datapath {
            Datapath::IoUring => {
                Ring::new(sockets, RING_SLOTS, busy_poll).map(Self::Ring).map_err(|error| failed(&error))
            }
            Datapath::Mmsg => Mmsg::new(sockets).map(Self::Mmsg).map_err(|error| failed(&error)),
        }
    }

    /// One turn: waits at most `wait`, lends the datagrams received, sends the replies.
    #[inline]
    pub(super) fn turn(
        &mut self,
        wait: Duration,
        answer: &mut impl FnMut(&Arrived, &mut [u8]) -> Option<usize>,
    ) -> io::Result<Turn> {
        match self {
            Self::Ring(ring) => ring.turn(wait, answer),
            Self::Mmsg(mmsg) => mmsg.turn(wait, answer),
        }
    }

    fn sockets(&self) -> &[UdpSocket] {
        match self {
            Self::Ring(ring) => ring.sockets(),
            Self::Mmsg(mmsg) => mmsg.sockets(),
        }
    }

    /// Answers what was received, and receives nothing more until the next turn.
    fn pause(&mut self, answer: &mut impl FnMut(&Arrived, &mut [u8]) -> Option<usize>) -> io::Result<Turn> {
        match self {
            Self::Ring(ring) => ring.pause(answer),
            // Each turn answers what it receives.
            Self::Mmsg(_) => Ok(Turn::default()),
        }
    }

    /// Answers what is still queued and closes the sockets.
    pub(super) fn end(
        self,
        answer: &mut impl FnMut(&Arrived, &mut [u8]) -> Option<usize>,
    ) -> io::Result<Turn> {
        match self {
            Self::Ring(ring) => ring.end(answer),
            Self::Mmsg(mmsg) => mmsg.end(answer),
        }
    }
}

/// A socket that a shard is given.
#[derive(Debug)]
pub(super) struct ShardSocket {
    pub(super) socket: UdpSocket,
    pub(super) listener: Listener,
    /// Another shard has it as well, and counts its drops (SO_MEMINFO counts per socket, not per descriptor).
    pub(super) is_second: bool,
}

/// The listener of a socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listener {
    /// Its address.
    pub(super) local: SocketAddr,
    /// Its index among the addresses that the node listens on.
    pub(super) index: usize,
}

/// How a shard pauses.
#[derive(Debug)]
pub(super) struct Pauses {
    /// Where it says that it has begun, with what it has seen dropped by then.
    pub(super) begun: Sender<Vec<SocketDrops>>,
    /// What wakes it when that is over.
    pub(super) over: Receiver<Datapath>,
}

/// What one shard owns.
#[derive(Debug)]
pub(super) struct Shard {
    /// The sockets until a datapath has them.
    sockets: Vec<UdpSocket>,
    answering: Answering,
    drops: Drops,
}

impl Shard {
    /// Where the process before this one has counted drops, it tells from where on they are ours to count.
    pub(super) fn new(
        given: Vec<ShardSocket>,
        snapshot: Follower,
        ledger: Ledger,
        desk: Option<Desk>,
        ours_from: Option<Seen>,
    ) -> Self {
        let counted =
            given.iter().map(|given| (&given.socket, (!given.is_second).then_some(given.listener.index)));
        let drops = Drops::new(counted, ours_from);
        let listeners = given.iter().map(|given| given.listener).collect();
        let sockets = given.into_iter().map(|given| given.socket).collect();
        let answering = Answering {
            listeners,
            snapshot,
            ledger,
            errors: Cap::new(ERROR_REPLIES_PER_SECOND_MAX),
            texts: Cap::new(IDENTITY_TEXTS_PER_SECOND_MAX),
            limiter: Limiter::default(),
            clock: WallClock::new(),
            desk,
            batch_began: None,
        };
        Self { sockets, answering, drops }
    }

    /// What it serves.
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.answering.snapshot
    }

    /// Makes the datapath. The shard keeps a second descriptor of each socket until it serves, so another
    /// [`UdpIo`] can still be made from them.
    pub(super) fn udp(&mut self, datapath: Datapath, busy_poll: usize) -> Result<UdpIo, NetError> {
        let sockets: io::Result<Vec<UdpSocket>> = self.sockets.iter().map(UdpSocket::try_clone).collect();
        let failed = |error: io::Error| NetError::Datapath { datapath, reason: error.to_string() };
        UdpIo::new(datapath, sockets.map_err(failed)?, busy_poll)
    }

    /// Serves until the orders say otherwise. Then it answers what is left in its sockets, which another
    /// process may hold too.
    pub(super) fn serve(mut self, mut udp: UdpIo, orders: &Orders, pauses: &Pauses) -> io::Result<()> {
        self.sockets.clear();
        self.turns(&mut udp, orders)?;
        while orders.is_paused() {
            self.pause(&mut udp, orders, pauses)?;
            self.turns(&mut udp, orders)?;
        }
        self.drops.read(udp.sockets(), &mut self.answering.ledger);
        let turn = udp.end(&mut |arrived, slot| self.answering.answer(arrived, slot))?;
        self.fold(&turn, Instant::now());
        Ok(())
    }

    /// Answers what was received and takes nothing more from its sockets until the pause is over. Meanwhile
    /// it makes turns, as it is well.
    fn pause(&mut self, udp: &mut UdpIo, orders: &Orders, pauses: &Pauses) -> io::Result<()> {
        let turn = udp.pause(&mut |arrived, slot| self.answering.answer(arrived, slot))?;
        self.drops.read(udp.sockets(), &mut self.answering.ledger);
        self.fold(&turn, Instant::now());
        // Nobody waits for it where the process ends.
        let _ = pauses.begun.send(self.drops.seen());
        while orders.is_paused() {
            // An order is given before the gate opens, or is gone.
            let _ = pauses.over.recv_timeout(SHARD_TICK);
            self.fold(&Turn::default(), Instant::now());
        }
        Ok(())
    }

    /// The path of a query, and nothing else: a function of its own for its machine code to be looked at
    /// (tests/layout.rs).
    #[inline(never)]
    fn turns(&mut self, udp: &mut UdpIo, orders: &Orders) -> io::Result<()> {
        while orders.is_serving() {
            let turn = udp.turn(SHARD_TICK, &mut |arrived, slot| self.answering.answer(arrived, slot))?;
            let now = Instant::now();
            self.drops.tick(now, udp.sockets(), &mut self.answering.ledger);
            self.fold(&turn, now);
        }
        Ok(())
    }

    /// Ends a turn, at `now`: its counts become visible to readers.
    fn fold(&mut self, turn: &Turn, now: Instant) {
        let Answering { ledger, batch_began, snapshot, desk, .. } = &mut self.answering;
        if let Some(desk) = desk {
            desk.end_turn();
        }
        ledger.count(SHARD_TURNS.at([]));
        if let Some(began) = batch_began.take() {
            // The replies are submitted by the next system call (io_uring) or were by the last (mmsg).
            let took = now.duration_since(began);
            ledger.add(SHARD_BUSY.at([]), u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
            ledger.add(SHARD_RECEIVED.at([]), turn.received);
            ledger.count(SHARD_BATCHES.at([]));
            ledger.stopwatch.record(took, turn.received);
        } else {
            // An idle shard switches to a newer snapshot too.
            snapshot.refresh();
        }
        ledger.stopwatch.tick(now);
        ledger.add(SHARD_SENT.at([]), turn.sent);
        ledger.add(DROPPED.at([DROPPED_UNADDRESSED]), turn.unaddressed);
        ledger.add(SHARD_EXHAUSTED.at([]), turn.rearms.no_buffers);
        ledger.add(SHARD_OVERFLOWS.at([]), turn.overflows);
        ledger.add(SHARD_SHORT.at([]), turn.short_submits);
        let errors = &turn.send_errors;
        let kinds = [errors.again, errors.nobufs, errors.inval, errors.perm, errors.unreach, errors.other];
        for (kind, count) in kinds.into_iter().enumerate() {
            ledger.add(SEND_ERRORS.at([kind]), count);
        }
        for (cause, count) in
            [turn.rearms.no_buffers, turn.rearms.empty, turn.rearms.other].into_iter().enumerate()
        {
            ledger.add(SHARD_REARMS.at([cause]), count);
        }
        ledger.end_batch();
        snapshot.rest();
        self.answering.errors.tick(now);
        self.answering.texts.tick(now);
        self.answering.clock.tick(now);
    }
}

/// What answering a datagram needs.
#[derive(Debug)]
struct Answering {
    /// The listener of each socket.
    listeners: Vec<Listener>,
    snapshot: Follower,
    ledger: Ledger,
    errors: Cap,
    texts: Cap,
    limiter: Limiter,
    clock: WallClock,
    /// Where queries are handed over, if there are workers.
    desk: Option<Desk>,
    /// When the first datagram of this turn was lent.
    batch_began: Option<Instant>,
}

impl Answering {
    #[inline]
    fn answer(&mut self, arrived: &Arrived, slot: &mut [u8]) -> Option<usize> {
        if self.batch_began.is_none() {
            let now = Instant::now();
            self.batch_began = Some(now);
            self.limiter.tick(now);
            self.snapshot.refresh();
        }
        let Listener { mut local, index: listener } = self.listeners[arrived.socket];
        if let Local::Told(ip) = arrived.local {
            local.set_ip(ip);
        }
        let peer = arrived.peer;
        let claim = self.snapshot.rate_limit().map(|limit| self.limiter.look(limit, peer.ip()));
        let pace = claim.map_or(Pace::Within, |claim| claim.pace);
        let unix_time = self.clock.unix_time();
        let arrival = Arrival { transport: Transport::Udp, peer, local, listener, unix_time, pace };
        self.ledger.see(slot, arrived.len, &arrival.peer, &arrival.local);
        let mut account = Account::default();
        let mut verdict = serve(&self.snapshot, &arrival, slot, arrived.len, &mut account);
        if let Verdict::HandOff(way) = verdict {
            let (socket, len, connection) = (arrived.socket, arrived.len, None);
            let asked = self.batch_began.unwrap_or_else(Instant::now);
            let handed = Handed { way, arrival: &arrival, socket, connection, asked, slot, len };
            match handed.over(self.desk.as_mut(), &self.snapshot, &mut self.ledger, &mut account) {
                Some(instead) => verdict = instead,
                None => {
                    // It is as good as answered, and counted by whoever answers it.
                    if let Some(claim) = &claim {
                        self.settle(claim, &account, true);
                    }
                    return None;
                }
            }
        }
        let len = match verdict {
            Verdict::Reply(len) if account.client.is_some() && !self.admits_texts(&account) => {
                Some(identity::emptied(slot, len))
            }
            Verdict::Reply(len) if !is_error(slot[3] & 0xF, &account) || self.errors.admits() => Some(len),
            Verdict::Reply(_) => {
                account.dropped = Some(DROPPED_ERROR_CAP);
                None
            }
            Verdict::Drop | Verdict::HandOff(_) => None,
        };
        self.ledger.post(&account, peer.ip(), len.map(|len| &slot[..len]));
        if let Some(claim) = &claim {
            self.settle(claim, &account, len.is_some());
        }
        len
    }
}

impl Answering {
    /// Whether the reply may hold texts that say who asks, which are longer than their query.
    #[cold]
    fn admits_texts(&mut self, account: &Account) -> bool {
        !identity::has_texts(account) || self.texts.admits()
    }

    /// Charges an answered query to its network, or counts what one over the limit got. A valid cookie shows
    /// that nobody has forged the source: it costs the network nothing.
    #[inline]
    fn settle(&mut self, claim: &Claim, account: &Account, is_answered: bool) {
        if let Some(over) = account.over_limit {
            return self.ledger.count(OVER_LIMIT.at([usize::from(over)]));
        }
        let has_proof = account.cookie.is_some_and(Standing::is_valid) && self.snapshot.has_cookies();
        if is_answered && claim.pace == Pace::Within && !has_proof && !account.is_probe {
            self.limiter.charge(claim);
        }
    }
}

/// Whether a reply with this response code is one of those that are capped: two programs that answer each
/// other's errors must not keep each other busy. What a rule says to a query is not an error.
#[inline]
fn is_error(rcode: u8, account: &Account) -> bool {
    matches!(rcode, rcode::FORMERR | rcode::NOTIMP) && account.ruled.is_none()
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;
    use crate::limits::SLOT_PAYLOAD_LEN;
    use crate::serve::published::Published;
    use crate::serve::snapshot::tests::{identity, snapshot};
    use crate::stats::counters::{SOCKET_DROPS, Totals};
    use crate::stats::ledger::{LedgerSettings, ledger};
    use crate::sys;
    use crate::sys::sockets::{self, UdpOptions, bind_udp_group};

    #[test]
    fn what_was_dropped_in_the_last_second_is_counted_at_the_end() {
        let options = UdpOptions { rcvbuf: 8192, sndbuf: 8192, ..UdpOptions::default() };
        let socket = bind_udp_group(SocketAddr::from(([127, 0, 0, 1], 0)), 1, &options).unwrap().remove(0);
        let local = socket.local_addr().unwrap();
        let listener = Listener { local, index: 0 };
        let second = socket.try_clone().unwrap();
        let (ledger, stream) = ledger(&LedgerSettings::default());
        let follower = Published::new(snapshot(|_, _| ()).unwrap()).follow();
        let given = vec![ShardSocket { socket, listener, is_second: false }];
        let mut shard = Shard::new(given, follower, ledger, None, None);
        let udp = shard.udp(Datapath::Mmsg, 0).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        (0..100).for_each(|_| assert_eq!(client.send_to(&[0; 1000], local).unwrap(), 1000));
        let lost = u64::from(sockets::drops(&second).unwrap());
        // It is to end before a second has passed, in which it would have asked anyway.
        let orders = Orders::default();
        orders.stop();
        shard.serve(udp, &orders, &pauses().0).unwrap();
        let mut totals = Totals::default();
        stream.counters.read(&mut totals);
        assert!(lost > 0 && totals.sum(SHARD_RECEIVED) == 100 - lost, "{lost} lost");
        assert_eq!(totals.sum(SOCKET_DROPS), lost);
    }

    struct End<'a>(&'a Orders);

    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.stop();
        }
    }

    /// A shard's side of its pauses, and the other.
    fn pauses() -> (Pauses, Receiver<Vec<SocketDrops>>, Sender<Datapath>) {
        let ((begun, told), (gate, over)) = (bounded(1), bounded(1));
        (Pauses { begun, over }, told, gate)
    }

    /// In a pause what comes is another's, and after it ours again.
    #[test]
    fn a_shard_that_pauses_leaves_what_comes_and_can_go_on() {
        let socket = bind_udp_group(SocketAddr::from(([127, 0, 0, 1], 0)), 1, &UdpOptions::default());
        let socket = socket.unwrap().remove(0);
        let (local, other) = (socket.local_addr().unwrap(), socket.try_clone().unwrap());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(local).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let datapaths = [Datapath::Mmsg, Datapath::IoUring];
        for datapath in datapaths.into_iter().take(if sys::self_test().is_ok() { 2 } else { 1 }) {
            let (ledger, stream) = ledger(&LedgerSettings::default());
            let follower = Published::new(snapshot(|_, _| ()).unwrap()).follow();
            let socket = other.try_clone().unwrap();
            let given = ShardSocket { socket, listener: Listener { local, index: 0 }, is_second: false };
            let (pauses, begun, gate) = pauses();
            let orders = Orders::default();
            std::thread::scope(|scope| {
                let orders = &orders;
                // Also where this fails the other thread ends.
                let _end = End(orders);
                let serving = scope.spawn(move || {
                    // A ring belongs to the thread that makes it.
                    let mut shard = Shard::new(vec![given], follower, ledger, None, None);
                    let udp = shard.udp(datapath, 0).unwrap();
                    shard.serve(udp, orders, &pauses)
                });
                let asked = |id: u8| {
                    let name = b"\x0210\x07in-addr\x04arpa\0\0\x06\0\x01";
                    client.send(&[&[0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], &name[..]].concat()).unwrap();
                };
                let answered = || {
                    let mut reply = [0; 1500];
                    assert!(client.recv(&mut reply).unwrap() > 12);
                    reply[1]
                };
                for round in 0..5 {
                    asked(round);
                    assert_eq!(answered(), round);
                    orders.pause();
                    assert_eq!(begun.recv().unwrap().len(), 1);
                    asked(100 + round);
                    let mut taken = [0; 1500];
                    assert!(other.recv(&mut taken).is_ok(), "it is there for another process");
                    assert_eq!(taken[1], 100 + round);
                    asked(200 + round);
                    orders.resume();
                    // It may have seen the order by itself, twice.
                    let _ = gate.try_send(datapath);
                    assert_eq!(answered(), 200 + round, "what waited is answered");
                }
                orders.pause();
                begun.recv().unwrap();
                orders.retire();
                drop(gate);
                serving.join().unwrap().unwrap();
            });
            let mut totals = Totals::default();
            stream.counters.read(&mut totals);
            assert_eq!(totals.sum(SHARD_RECEIVED), 10);
        }
    }

    #[test]
    fn what_a_rule_says_is_no_error() {
        let plain = Account::default();
        assert!(is_error(rcode::FORMERR, &plain) && is_error(rcode::NOTIMP, &plain));
        assert!(!is_error(rcode::NXDOMAIN, &plain), "the cap is for errors alone");
        let ruled = Account { ruled: Some(Default::default()), ..plain };
        assert!(!is_error(rcode::NOTIMP, &ruled), "a rule says so");
    }

    #[test]
    fn texts_that_say_who_asks_are_capped_by_the_second_and_then_sent_to_tcp() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let local = socket.local_addr().unwrap();
        let given = vec![ShardSocket { socket, listener: Listener { local, index: 0 }, is_second: false }];
        let (ledger, _stream) = ledger(&LedgerSettings::default());
        let mut shard = Shard::new(given, Published::new(identity(|_| ())).follow(), ledger, None, None);
        let mut slot = vec![0; SLOT_PAYLOAD_LEN];
        let mut ask = |shard: &mut Shard, qtype: u8| {
            let query = [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b't', 0, 0][..], &[qtype, 0, 1]].concat();
            slot[..query.len()].copy_from_slice(&query);
            let peer = SocketAddr::from(([127, 0, 0, 1], 40_000));
            let arrived = Arrived { socket: 0, peer, local: Local::Fixed, len: query.len() };
            let len = shard.answering.answer(&arrived, &mut slot).unwrap();
            // TC, the number of answers, and whether there is more than a question.
            (slot[2] & 2, slot[7], len > query.len())
        };
        // Whatever else is asked uses nothing of it.
        (0..2000).for_each(|_| assert_eq!(ask(&mut shard, 1), (0, 1, true)));
        (0..IDENTITY_TEXTS_PER_SECOND_MAX).for_each(|_| assert_eq!(ask(&mut shard, 16), (0, 4, true)));
        (0..1000).for_each(|_| assert_eq!(ask(&mut shard, 16), (2, 0, false)));
        assert_eq!(ask(&mut shard, 28).1, 0, "there is no address of the other family");
        assert_eq!(ask(&mut shard, 1), (0, 1, true));
        shard.fold(&Turn::default(), Instant::now() + Duration::from_secs(1));
        assert_eq!(ask(&mut shard, 16), (0, 4, true));
    }
}
