//! What the kernel has dropped at each socket, read once a second, as it takes a system call each.
//!
//! The kernel counts for a socket as long as that lives, whichever process has it. So that each drop is
//! counted by one, a process that hands its sockets over says up to where it has counted, and the next one
//! begins there.

use std::collections::HashMap;
use std::net::UdpSocket;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::stats::counters::SOCKET_DROPS;
use crate::stats::ledger::Ledger;
use crate::sys::sockets;

/// A socket, by the number that the kernel gives it for its life (SO_COOKIE), and how many drops were
/// counted. That wraps at 2^32, as the kernel's counter does.
pub type SocketDrops = (u64, u32);

/// Up to where the process before this one has counted, by socket, once it has said so. Looked at on the
/// thread that answers: it is never let go of there, which would be an atomic operation.
pub(super) type Seen = Arc<OnceLock<HashMap<u64, u32>>>;

/// The drops of the sockets of a shard.
#[derive(Debug)]
pub(super) struct Drops {
    asked: Instant,
    sockets: Vec<Counted>,
    /// What says from where on to count; until then drops are another process's to count.
    ours_from: Option<Seen>,
    /// Whether it counts.
    has_begun: bool,
}

#[derive(Debug)]
struct Counted {
    cookie: u64,
    /// The listener whose drops these are, if they are this shard's to count.
    listener: Option<usize>,
    seen: u32,
}

impl Drops {
    /// From now on, or from what `ours_from` says; what a socket dropped before is somebody else's to count.
    /// Of each socket the listener whose drops these are, if they are this shard's to count.
    pub(super) fn new<'a>(
        sockets: impl Iterator<Item = (&'a UdpSocket, Option<usize>)>,
        ours_from: Option<Seen>,
    ) -> Self {
        let sockets = sockets.map(|(socket, listener)| Counted {
            // A kernel without numbers for its sockets says no drops either.
            cookie: sockets::cookie(socket).unwrap_or_default(),
            listener,
            seen: sockets::drops(socket).unwrap_or_default(),
        });
        let has_begun = ours_from.is_none();
        Self { asked: Instant::now(), sockets: sockets.collect(), ours_from, has_begun }
    }

    #[inline]
    pub(super) fn tick(&mut self, now: Instant, sockets: &[UdpSocket], ledger: &mut Ledger) {
        if now.duration_since(self.asked) >= Duration::from_secs(1) {
            self.asked = now;
            self.read(sockets, ledger);
        }
    }

    #[cold]
    pub(super) fn read(&mut self, sockets: &[UdpSocket], ledger: &mut Ledger) {
        if !self.has_begun {
            let Some(seen) = self.ours_from.as_ref().and_then(|seen| seen.get()) else { return };
            for socket in &mut self.sockets {
                socket.seen = seen.get(&socket.cookie).copied().unwrap_or(socket.seen);
            }
            self.has_begun = true;
        }
        for (socket, counted) in sockets.iter().zip(&mut self.sockets) {
            // A kernel without SO_MEMINFO (before Linux 4.12) leaves the count as it was.
            let (Some(listener), Ok(drops)) = (counted.listener, sockets::drops(socket)) else { continue };
            ledger.add(SOCKET_DROPS.at([listener]), drops.wrapping_sub(counted.seen));
            counted.seen = drops;
        }
    }

    /// Up to where it has counted.
    pub(super) fn seen(&self) -> Vec<SocketDrops> {
        let own = self.sockets.iter().filter(|socket| socket.listener.is_some());
        own.map(|socket| (socket.cookie, socket.seen)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::stats::counters::Totals;
    use crate::stats::ledger::{LedgerSettings, ledger};
    use crate::sys::sockets::{UdpOptions, bind_udp_group};

    fn bind() -> UdpSocket {
        let options = UdpOptions { rcvbuf: 8192, sndbuf: 8192, ..UdpOptions::default() };
        bind_udp_group(SocketAddr::from(([127, 0, 0, 1], 0)), 1, &options).unwrap().remove(0)
    }

    /// The third is counted by another shard.
    fn given(sockets: &[UdpSocket]) -> impl Iterator<Item = (&UdpSocket, Option<usize>)> {
        sockets.iter().enumerate().map(|(index, socket)| (socket, Some(index).filter(|index| *index != 2)))
    }

    /// Sends it more than it has room for; how many it has dropped since it was made.
    fn overfill(socket: &UdpSocket) -> u64 {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = socket.local_addr().unwrap();
        (0..100).for_each(|_| assert_eq!(client.send_to(&[0; 1000], target).unwrap(), 1000));
        u64::from(sockets::drops(socket).unwrap())
    }

    #[test]
    fn drops_are_counted_once_by_socket() {
        let sockets = [bind(), bind(), bind()];
        // What was dropped before; then a socket that another shard has too.
        assert!(overfill(&sockets[0]) > 0);
        let mut drops = Drops::new(given(&sockets), None);
        let (mut ledger, stream) = ledger(&LedgerSettings::default());
        let mut counted = |after: u64| {
            drops.tick(drops.asked + Duration::from_millis(after), &sockets, &mut ledger);
            ledger.end_batch();
            let mut totals = Totals::default();
            stream.counters.read(&mut totals);
            SOCKET_DROPS.of(&totals)[..3].to_vec()
        };
        let lost = overfill(&sockets[1]);
        assert!(lost > 0 && overfill(&sockets[2]) > 0);
        assert_eq!(counted(999), [0, 0, 0], "the kernel is asked once a second");
        assert_eq!(counted(1000), [0, lost, 0]);
        assert_eq!(counted(1000), [0, lost, 0], "what was counted is not counted again");
    }

    /// Two processes have the same sockets: each drop is counted by one of them.
    #[test]
    fn what_one_process_has_counted_the_next_one_does_not() {
        let sockets = [bind()];
        let told = Seen::default();
        let (mut ledgers, mut streams) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let (ledger, stream) = ledger(&LedgerSettings::default());
            ledgers.push(ledger);
            streams.push(stream);
        }
        let mut counted = |index: usize, drops: &mut Drops| {
            drops.read(&sockets, &mut ledgers[index]);
            ledgers[index].end_batch();
            let mut totals = Totals::default();
            streams[index].counters.read(&mut totals);
            SOCKET_DROPS.of(&totals)[0]
        };
        let mut old = Drops::new(given(&sockets), None);
        let first = overfill(&sockets[0]);
        // The new one is there, and the old one still counts.
        let mut new = Drops::new(given(&sockets), Some(Arc::clone(&told)));
        let second = overfill(&sockets[0]);
        assert_eq!(counted(0, &mut old), second);
        // What comes now nobody has counted when the new one takes over.
        let third = overfill(&sockets[0]);
        assert_eq!(counted(1, &mut new), 0, "they are not its to count yet");
        told.set(old.seen().into_iter().collect()).unwrap();
        assert!(first > 0 && second > first && third > second);
        assert_eq!(counted(1, &mut new), third - second);
        assert_eq!(counted(1, &mut new), third - second);
    }
}
