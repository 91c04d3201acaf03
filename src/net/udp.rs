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
use crate::stats::counters::{Counters, Tally};
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
        tally.received += turn.received;
        tally.sent += turn.sent;
        tally.send_again += turn.send_errors.again;
        tally.send_no_buffers += turn.send_errors.nobufs;
        tally.send_invalid += turn.send_errors.inval;
        tally.send_forbidden += turn.send_errors.perm;
        tally.send_unreachable += turn.send_errors.unreach;
        tally.send_other += turn.send_errors.other;
        tally.rearmed_no_buffers += turn.rearms.no_buffers;
        tally.rearmed_empty += turn.rearms.empty;
        tally.rearmed_other += turn.rearms.other;
        tally.short_submissions += turn.short_submits;
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
        let arrival = Arrival { transport: Transport::Udp, peer: arrived.peer, local };
        match serve(&self.snapshot, &arrival, slot, arrived.len, &mut self.tally) {
            Verdict::Reply(len) if self.cap.admits(slot[3] & 0xF, &mut self.tally) => Some(len),
            Verdict::Reply(_) | Verdict::Drop => None,
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

    /// Whether a reply with this response code may leave. One that may not is no query any more, but a drop.
    #[inline]
    fn admits(&mut self, rcode: u8, tally: &mut Tally) -> bool {
        let replies = match rcode {
            rcode::FORMERR => &mut tally.replies_formerr,
            rcode::NOTIMP => &mut tally.replies_notimp,
            _ => return true,
        };
        if self.left > 0 {
            self.left -= 1;
            return true;
        }
        *replies -= 1;
        tally.queries -= 1;
        tally.dropped_error_cap += 1;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_capped_by_the_second_and_counted_as_dropped() {
        let mut cap = ErrorCap::new();
        let began = cap.second_began;
        let mut tally = Tally::default();
        let mut admitted = |cap: &mut ErrorCap, code| {
            tally.queries += 1;
            tally.replies_formerr += 1;
            cap.admits(code, &mut tally)
        };
        let sent = (0..3000).filter(|_| admitted(&mut cap, rcode::FORMERR)).count();
        assert_eq!(sent, ERROR_REPLIES_PER_SECOND_MAX as usize);
        assert!(admitted(&mut cap, rcode::NXDOMAIN), "the cap is for errors alone");
        cap.tick(began + Duration::from_millis(999));
        assert!(!admitted(&mut cap, rcode::FORMERR));
        cap.tick(began + Duration::from_millis(1000));
        assert!(admitted(&mut cap, rcode::FORMERR));
        assert_eq!((tally.queries, tally.replies_formerr, tally.dropped_error_cap), (1002, 1002, 2001));
    }
}
