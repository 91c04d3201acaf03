//! A shard: one thread, its sockets, and the loop that lends each datagram to [`serve`].

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Datapath, NetError};
use crate::dns::consts::rcode;
use crate::limits::{ERROR_REPLIES_PER_SECOND_MAX, RING_SLOTS, SHARD_TICK};
use crate::serve::snapshot::Snapshot;
use crate::serve::{Arrival, Transport, Verdict, serve};
use crate::stats::account::Account;
use crate::stats::counters::{
    Counters, SEND_ERRORS, SHARD_BATCHES, SHARD_OVERFLOWS, SHARD_REARMS, SHARD_RECEIVED, SHARD_SENT,
    SHARD_SHORT, Tally,
};
use crate::stats::labels::DROPPED_ERROR_CAP;
use crate::sys::{Arrived, Mmsg, Ring, Turn};

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
    counters: Arc<Counters>,
}

impl Shard {
    pub(super) fn new(
        sockets: Vec<(SocketAddr, UdpSocket)>,
        snapshot: Arc<Snapshot>,
        counters: Arc<Counters>,
    ) -> Self {
        let (locals, sockets) = sockets.into_iter().unzip();
        let answering = Answering { locals, snapshot, tally: Tally::default(), cap: ErrorCap::new() };
        Self { sockets, answering, counters }
    }

    /// Makes the engine. The shard keeps a second descriptor of each socket until it serves, so that another
    /// engine can still be made from them.
    pub(super) fn engine(&mut self, datapath: Datapath) -> Result<Engine, NetError> {
        let failed = |reason: String| NetError::Datapath { datapath, reason };
        let sockets: io::Result<Vec<UdpSocket>> = self.sockets.iter().map(UdpSocket::try_clone).collect();
        let sockets = sockets.map_err(|error| failed(error.to_string()))?;
        match datapath {
            Datapath::IoUring => {
                Ring::new(sockets, RING_SLOTS).map(Engine::Ring).map_err(|error| failed(error.to_string()))
            }
            Datapath::Mmsg => Mmsg::new(sockets).map(Engine::Mmsg).map_err(|error| failed(error.to_string())),
        }
    }

    /// Serves until `stop`.
    pub(super) fn serve(mut self, mut engine: Engine, stop: &AtomicBool) -> io::Result<()> {
        self.sockets.clear();
        while !stop.load(Ordering::Relaxed) {
            let turn = engine.turn(SHARD_TICK, &mut |arrived, slot| self.answering.answer(arrived, slot))?;
            self.fold(&turn);
        }
        let turn = engine.end(&mut |arrived, slot| self.answering.answer(arrived, slot))?;
        self.fold(&turn);
        Ok(())
    }

    /// Ends a batch: what was counted becomes visible, and the clock is read.
    fn fold(&mut self, turn: &Turn) {
        let tally = &mut self.answering.tally;
        if turn.received > 0 {
            tally.add(SHARD_RECEIVED.at([]), turn.received);
            tally.count(SHARD_BATCHES.at([]));
        }
        tally.add(SHARD_SENT.at([]), turn.sent);
        tally.add(SHARD_OVERFLOWS.at([]), turn.overflows);
        tally.add(SHARD_SHORT.at([]), turn.short_submits);
        let errors = &turn.send_errors;
        let kinds = [errors.again, errors.nobufs, errors.inval, errors.perm, errors.unreach, errors.other];
        for (kind, count) in kinds.into_iter().enumerate() {
            tally.add(SEND_ERRORS.at([kind]), count);
        }
        for (cause, count) in
            [turn.rearms.no_buffers, turn.rearms.empty, turn.rearms.other].into_iter().enumerate()
        {
            tally.add(SHARD_REARMS.at([cause]), count);
        }
        self.counters.fold(tally);
        self.answering.cap.tick(Instant::now());
    }
}

/// What it takes to answer a datagram.
#[derive(Debug)]
struct Answering {
    /// The address of each socket.
    locals: Vec<SocketAddr>,
    snapshot: Arc<Snapshot>,
    tally: Tally,
    cap: ErrorCap,
}

impl Answering {
    #[inline]
    fn answer(&mut self, arrived: &Arrived, slot: &mut [u8]) -> Option<usize> {
        let mut local = self.locals[arrived.socket];
        if let Some(ip) = arrived.local_ip {
            local.set_ip(ip);
        }
        let listener = arrived.socket;
        let arrival = Arrival { transport: Transport::Udp, peer: arrived.peer, local, listener };
        let mut account = Account::default();
        let len = match serve(&self.snapshot, &arrival, slot, arrived.len, &mut account) {
            Verdict::Reply(len) if self.cap.admits(slot[3] & 0xF) => Some(len),
            Verdict::Reply(_) => {
                account.dropped = Some(DROPPED_ERROR_CAP);
                None
            }
            Verdict::Drop => None,
        };
        account.post(len.map(|len| &slot[..len]), &mut self.tally);
        len
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
