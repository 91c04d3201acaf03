//! What the service manager is told (sd_notify(3)): that the node serves, how it fares, and that every thread
//! that serves still makes turns.

use std::env;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::board::Board;
use crate::limits::{MANAGER_WAIT_MAX, WATCHDOG_WAIT_MAX};
use crate::sys::{clock, inherited, passing};

/// The service manager, if there is one. To tell it something never fails the node. Its socket is opened
/// once: later this process may open none.
#[derive(Debug)]
pub(super) struct Systemd {
    socket: Option<UnixDatagram>,
    /// How often it wants to hear that the node is alive, at the least.
    watchdog: Option<Duration>,
    fed: Instant,
    /// The turns of each thread when it was fed.
    turns: Vec<u64>,
    told: Instant,
    /// How many sockets of earlier processes it may keep.
    kept: usize,
    /// Whether the node ends.
    is_ending: bool,
}

/// Between two lines of status.
const STATUS_EVERY: Duration = Duration::from_secs(10);

impl Systemd {
    /// The one that started this process, as its environment says.
    pub(super) fn from_environment(now: Instant) -> Self {
        let socket = env::var("NOTIFY_SOCKET").ok().and_then(|path| connect(&path));
        // The variable that names a process is there where others of the service are not to feed it.
        // It is not there for a successor, as the launcher has taken it away.
        let is_ours = env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let watchdog = env::var("WATCHDOG_USEC").ok().filter(|_| is_ours).and_then(|usec| usec.parse().ok());
        let watchdog = watchdog.map(Duration::from_micros);
        let (turns, kept) = (Vec::new(), inherited::names_kept());
        Self { socket, watchdog, fed: now, turns, told: now, kept, is_ending: false }
    }

    /// Whether anybody is told anything.
    pub(super) fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    /// The node serves what it was told to.
    pub(super) fn ready(&self) {
        self.notify(&format!("READY=1{}", self.watchdog_again()));
    }

    /// With the next message the watchdog is fed, and as patient as it was at first.
    fn watchdog_again(&self) -> String {
        let usec = self.watchdog.map(|every| every.as_micros());
        usec.map_or_else(String::new, |usec| format!("\nWATCHDOG=1\nWATCHDOG_USEC={usec}"))
    }

    /// Something begins that may take long, and during which nobody feeds the watchdog, until [`ready`].
    ///
    /// [`ready`]: Self::ready
    pub(super) fn wait_longer(&self) {
        if self.watchdog.is_some() {
            self.notify(&format!("WATCHDOG=1\nWATCHDOG_USEC={}", WATCHDOG_WAIT_MAX.as_micros()));
        }
    }

    /// It reads its configuration.
    pub(super) fn reloading(&self) {
        // Both in one message: systemd 253 and later take one without the other for a failure.
        self.notify(&format!("RELOADING=1\nMONOTONIC_USEC={}", clock::monotonic_usec()));
    }

    /// Another process of the service is its main one now, and serves. Whether the manager has taken that:
    /// it ends the service with a main process of which it knows no successor.
    pub(super) fn succeeded_by(&self, pid: u32) -> bool {
        // In one message: the next one would be that of another than the main process.
        let message = format!("MAINPID={pid}\nREADY=1{}", self.watchdog_again());
        let mut is_told = self.socket.is_none();
        self.patiently(|manager| {
            is_told = manager.send(message.as_bytes()).is_ok();
            Ok(())
        });
        is_told
    }

    /// Leaves sockets with the manager, which gives them back if this process crashes: what comes
    /// meanwhile waits in them. Their names tell their order, which the manager does not keep. What it has of
    /// earlier processes it drops, as that may be of addresses that are no longer configured.
    pub(super) fn keep(&mut self, sockets: &[OwnedFd]) {
        let kept = std::mem::take(&mut self.kept);
        self.forget(kept);
        // What it does not keep is bound anew after a crash.
        self.patiently(|manager| {
            sockets.iter().enumerate().try_for_each(|(index, socket)| {
                // A socket with an error that was not fetched yet is no reason to drop it.
                let message = format!("FDSTORE=1\nFDNAME={}\nFDPOLL=0", inherited::name(index));
                passing::send_with(manager, message.as_bytes(), &[socket.as_fd()])
            })
        });
    }

    /// Removes that many sockets from the store: a successor leaves its own.
    pub(super) fn forget(&self, count: usize) {
        self.patiently(|manager| {
            (0..count).try_for_each(|index| {
                let message = format!("FDSTOREREMOVE=1\nFDNAME={}", inherited::name(index));
                manager.send(message.as_bytes()).map(drop)
            })
        });
    }

    /// Sends what must arrive, or many messages, for which the manager's queue may be too short. A
    /// manager that takes none for [`MANAGER_WAIT_MAX`] is ignored.
    fn patiently(&self, send: impl FnOnce(&UnixDatagram) -> io::Result<()>) {
        let Some(manager) = &self.socket else { return };
        let _ = manager.set_nonblocking(false).and_then(|()| send(manager));
        let _ = manager.set_nonblocking(true);
    }

    /// It ends, which may take as long as people are told to go elsewhere.
    pub(super) fn stopping(&mut self) {
        self.is_ending = true;
        self.notify(&format!("STOPPING=1{}", patience()));
    }

    /// Says how the node fares, and feeds the watchdog if every thread has made a turn since the last time: a
    /// stuck shard would swallow its share of the queries until the service is restarted.
    pub(super) fn tick(&mut self, board: &Board, rate: f64, now: Instant) {
        if self.socket.is_none() {
            return;
        }
        if now.duration_since(self.told) >= STATUS_EVERY {
            self.told = now;
            let (shards, state) = (board.shards.len(), board.life.state().name());
            let patience = if self.is_ending { patience() } else { String::new() };
            self.notify(&format!("STATUS={state}, shards: {shards}, {rate:.0} queries/s{patience}"));
        }
        // Twice as often as it takes, as sd_watchdog_enabled(3) advises.
        if self.watchdog.is_some_and(|every| now.duration_since(self.fed) >= every / 2) {
            self.feed(board.turns(), now);
        }
    }

    fn feed(&mut self, turns: Vec<u64>, now: Instant) {
        let is_first = self.turns.is_empty();
        if is_first || turns.iter().zip(&self.turns).all(|(turns, before)| turns > before) {
            self.notify("WATCHDOG=1");
            (self.fed, self.turns) = (now, turns);
        }
    }

    fn notify(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // A manager that takes no message will notice by itself what it misses.
            let _ = socket.send(message.as_bytes());
        }
    }
}

/// A node that ends says until the next line of status, and one more, that it is still at it.
fn patience() -> String {
    format!("\nEXTEND_TIMEOUT_USEC={}", (2 * STATUS_EVERY).as_micros())
}

/// A socket that never waits for the manager, unless it is told to, and then not for long.
fn connect(path: &str) -> Option<UnixDatagram> {
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(path),
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect_addr(&address.ok()?).ok()?;
    socket.set_write_timeout(Some(MANAGER_WAIT_MAX)).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_only_while_every_thread_moves() {
        let (ours, manager) = UnixDatagram::pair().unwrap();
        manager.set_nonblocking(true).unwrap();
        let now = Instant::now();
        let mut systemd = Systemd { socket: Some(ours), ..Systemd::from_environment(now) };
        let mut feed = |turns: [u64; 3]| {
            systemd.feed(turns.to_vec(), now);
            let mut message = [0; 64];
            manager.recv(&mut message).map(|len| message[..len].to_vec()).ok()
        };
        let fed = Some(b"WATCHDOG=1".to_vec());
        assert_eq!(feed([5, 0, 7]), fed);
        assert_eq!(feed([6, 1, 8]), fed);
        assert_eq!(feed([7, 1, 9]), None, "one stands still");
        assert_eq!(feed([9, 1, 11]), None);
        assert_eq!(feed([10, 2, 12]), fed, "it moves again");
    }
}
