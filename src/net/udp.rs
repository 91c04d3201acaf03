//! A shard: one thread, its sockets, and the loop that lends each datagram to [`serve`].

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Datapath, NetError};
use crate::dns::consts::rcode;
use crate::limits::{ERROR_REPLIES_PER_SECOND_MAX, RING_SLOTS, SHARD_TICK};
use crate::serve::published::Follower;
use crate::serve::{Arrival, Transport, Verdict, serve};
use crate::stats::account::Account;
use crate::stats::counters::{
    SEND_ERRORS, SHARD_BATCHES, SHARD_BUSY, SHARD_EXHAUSTED, SHARD_OVERFLOWS, SHARD_REARMS, SHARD_RECEIVED,
    SHARD_SENT, SHARD_SHORT, SHARD_TURNS, SOCKET_DROPS,
};
use crate::stats::labels::DROPPED_ERROR_CAP;
use crate::stats::ledger::Ledger;
use crate::sys::{Arrived, Mmsg, Ring, Turn, sockets};

/// The datapath of one shard.
pub(super) enum Engine {
    Ring(Ring),
    Mmsg(Mmsg),
}

impl Engine {
    /// One round: waits at most `wait`, lends what came in, sends what was answered.
    #[inline]
    fn turn(
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

    /// Answers what is still queued and closes the sockets.
    fn end(self, answer: &mut impl FnMut(&Arrived, &mut [u8]) -> Option<usize>) -> io::Result<Turn> {
        match self {
            Self::Ring(ring) => ring.end(answer),
            Self::Mmsg(mmsg) => mmsg.end(answer),
        }
    }
}

/// What one shard owns.
#[derive(Debug)]
pub(super) struct Shard {
    /// The sockets until an engine has them.
    sockets: Vec<UdpSocket>,
    answering: Answering,
    drops: Drops,
}

impl Shard {
    pub(super) fn new(sockets: Vec<(SocketAddr, UdpSocket)>, snapshot: Follower, ledger: Ledger) -> Self {
        let (locals, sockets) = sockets.into_iter().unzip();
        let answering = Answering { locals, snapshot, ledger, cap: ErrorCap::new(), batch_began: None };
        Self { sockets, answering, drops: Drops::new() }
    }

    /// Makes the engine. The shard keeps a second descriptor of each socket until it serves, so that another
    /// engine can still be made from them.
    pub(super) fn engine(&mut self, datapath: Datapath, busy_poll: usize) -> Result<Engine, NetError> {
        let failed = |reason: String| NetError::Datapath { datapath, reason };
        let sockets: io::Result<Vec<UdpSocket>> = self.sockets.iter().map(UdpSocket::try_clone).collect();
        let sockets = sockets.map_err(|error| failed(error.to_string()))?;
        match datapath {
            Datapath::IoUring => {
                let ring = Ring::new(sockets, RING_SLOTS, busy_poll);
                ring.map(Engine::Ring).map_err(|error| failed(error.to_string()))
            }
            Datapath::Mmsg => Mmsg::new(sockets).map(Engine::Mmsg).map_err(|error| failed(error.to_string())),
        }
    }

    /// Serves until `stop`.
    pub(super) fn serve(mut self, mut engine: Engine, stop: &AtomicBool) -> io::Result<()> {
        self.sockets.clear();
        self.turns(&mut engine, stop)?;
        self.drops.read(engine.sockets(), &mut self.answering.ledger);
        let turn = engine.end(&mut |arrived, slot| self.answering.answer(arrived, slot))?;
        self.fold(&turn, Instant::now());
        Ok(())
    }

    /// The path of a query, and nothing else: a function of its own, so that what it became can be looked at
    /// (tests/layout.rs).
    #[inline(never)]
    fn turns(&mut self, engine: &mut Engine, stop: &AtomicBool) -> io::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            let turn = engine.turn(SHARD_TICK, &mut |arrived, slot| self.answering.answer(arrived, slot))?;
            let now = Instant::now();
            self.drops.tick(now, engine.sockets(), &mut self.answering.ledger);
            self.fold(&turn, now);
        }
        Ok(())
    }

    /// Ends a turn, at `now`: what was counted becomes visible.
    fn fold(&mut self, turn: &Turn, now: Instant) {
        let Answering { ledger, batch_began, snapshot, .. } = &mut self.answering;
        ledger.count(SHARD_TURNS.at([]));
        // A shard that nobody asks changes over as well.
        snapshot.look();
        if let Some(began) = batch_began.take() {
            // The next system call submits the replies, or the last one has.
            let took = now.duration_since(began);
            ledger.add(SHARD_BUSY.at([]), u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
            ledger.add(SHARD_RECEIVED.at([]), turn.received);
            ledger.count(SHARD_BATCHES.at([]));
            ledger.stopwatch.record(took, turn.received);
        }
        ledger.stopwatch.tick(now);
        ledger.add(SHARD_SENT.at([]), turn.sent);
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
        ledger.fold();
        self.answering.cap.tick(now);
    }
}

/// What it takes to answer a datagram.
#[derive(Debug)]
struct Answering {
    /// The address of each socket.
    locals: Vec<SocketAddr>,
    snapshot: Follower,
    ledger: Ledger,
    cap: ErrorCap,
    /// When the first datagram of this turn was lent.
    batch_began: Option<Instant>,
}

impl Answering {
    #[inline]
    fn answer(&mut self, arrived: &Arrived, slot: &mut [u8]) -> Option<usize> {
        if self.batch_began.is_none() {
            self.batch_began = Some(Instant::now());
            self.snapshot.look();
        }
        let mut local = self.locals[arrived.socket];
        if let Some(ip) = arrived.local_ip {
            local.set_ip(ip);
        }
        let listener = arrived.socket;
        let arrival = Arrival { transport: Transport::Udp, peer: arrived.peer, local, listener };
        self.ledger.see(slot, arrived.len, arrival.peer, arrival.local);
        let mut account = Account::default();
        let len = match serve(&self.snapshot, &arrival, slot, arrived.len, &mut account) {
            Verdict::Reply(len) if self.cap.admits(slot[3] & 0xF) => Some(len),
            Verdict::Reply(_) => {
                account.dropped = Some(DROPPED_ERROR_CAP);
                None
            }
            Verdict::Drop => None,
        };
        self.ledger.post(&account, arrived.peer.ip(), len.map(|len| &slot[..len]));
        len
    }
}

/// What the kernel has dropped at each socket, asked for once a second: it takes a system call each.
#[derive(Debug)]
struct Drops {
    asked: Instant,
    /// By socket, as the kernel counts: to 2^32 and round again.
    seen: Vec<u32>,
}

impl Drops {
    fn new() -> Self {
        Self { asked: Instant::now(), seen: Vec::new() }
    }

    #[inline]
    fn tick(&mut self, now: Instant, sockets: &[UdpSocket], ledger: &mut Ledger) {
        if now.duration_since(self.asked) >= Duration::from_secs(1) {
            self.asked = now;
            self.read(sockets, ledger);
        }
    }

    #[cold]
    fn read(&mut self, sockets: &[UdpSocket], ledger: &mut Ledger) {
        self.seen.resize(sockets.len(), 0);
        for (listener, (socket, seen)) in sockets.iter().zip(&mut self.seen).enumerate() {
            // A kernel that does not say leaves the count at what it was.
            let Ok(drops) = sockets::drops(socket) else { continue };
            ledger.add(SOCKET_DROPS.at([listener]), drops.wrapping_sub(*seen));
            *seen = drops;
        }
    }
}

/// The bound on FORMERR and NOTIMP: two programs that answer each other's errors must not keep each other
/// busy.
#[derive(Debug)]
struct ErrorCap {
    second_began: Instant,
    left: u32,
}

impl ErrorCap {
    fn new() -> Self {
        Self { second_began: Instant::now(), left: ERROR_REPLIES_PER_SECOND_MAX }
    }

    #[inline]
    fn tick(&mut self, now: Instant) {
        if now.duration_since(self.second_began) >= Duration::from_secs(1) {
            *self = Self { second_began: now, left: ERROR_REPLIES_PER_SECOND_MAX };
        }
    }

    /// Whether a reply with this response code may leave.
    #[inline]
    fn admits(&mut self, rcode: u8) -> bool {
        if !matches!(rcode, rcode::FORMERR | rcode::NOTIMP) {
            return true;
        }
        let may = self.left > 0;
        self.left -= u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::counters::Totals;
    use crate::stats::ledger::{LedgerSettings, ledger};
    use crate::sys::sockets::{UdpOptions, bind_udp_group};

    #[test]
    fn drops_are_counted_once_by_socket() {
        let options = UdpOptions { rcvbuf: 8192, sndbuf: 8192, ..UdpOptions::default() };
        let bind = || bind_udp_group(SocketAddr::from(([127, 0, 0, 1], 0)), 1, &options).unwrap().remove(0);
        let sockets = [bind(), bind()];
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (mut drops, (mut ledger, stream)) = (Drops::new(), ledger(&LedgerSettings::default()));
        let mut counted = |after: u64| {
            drops.tick(drops.asked + Duration::from_millis(after), &sockets, &mut ledger);
            ledger.fold();
            let mut totals = Totals::default();
            stream.counters.read(&mut totals);
            SOCKET_DROPS.of(&totals)[..2].to_vec()
        };
        for _ in 0..100 {
            client.send_to(&[0; 1000], sockets[1].local_addr().unwrap()).unwrap();
        }
        let lost = u64::from(sockets::drops(&sockets[1]).unwrap());
        assert!(lost > 0);
        assert_eq!(counted(999), [0, 0], "the kernel is asked once a second");
        assert_eq!(counted(1000), [0, lost]);
        assert_eq!(counted(1000), [0, lost], "what was counted is not counted again");
    }

    #[test]
    fn errors_are_capped_by_the_second() {
        let mut cap = ErrorCap::new();
        let began = cap.second_began;
        let sent = (0..3000).filter(|_| cap.admits(rcode::FORMERR)).count();
        assert_eq!(sent, ERROR_REPLIES_PER_SECOND_MAX as usize);
        assert!(cap.admits(rcode::NXDOMAIN), "the cap is for errors alone");
        cap.tick(began + Duration::from_millis(999));
        assert!(!cap.admits(rcode::NOTIMP));
        cap.tick(began + Duration::from_millis(1000));
        assert!(cap.admits(rcode::NOTIMP));
    }
}
