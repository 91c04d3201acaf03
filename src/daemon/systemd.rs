//! What the service manager is told (sd_notify(3)): that the node serves, how it fares, and that every thread
//! that serves still makes turns.

use std::env;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::report::Board;
use crate::sys::clock;

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
}

/// Between two lines of status.
const STATUS_EVERY: Duration = Duration::from_secs(10);

impl Systemd {
    /// The one that started this process, as its environment says.
    pub(super) fn from_environment(now: Instant) -> Self {
        let socket = env::var("NOTIFY_SOCKET").ok().and_then(|path| connect(&path));
        // The variable that names a process is there where others of the service are not to feed it.
        let is_ours = env::var("WATCHDOG_PID").is_ok_and(|pid| pid == std::process::id().to_string());
        let watchdog = env::var("WATCHDOG_USEC").ok().filter(|_| is_ours).and_then(|usec| usec.parse().ok());
        let watchdog = watchdog.map(Duration::from_micros);
        Self { socket, watchdog, fed: now, turns: Vec::new(), told: now }
    }

    /// Whether anybody is told anything.
    pub(super) fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    /// The node serves what it was told to.
    pub(super) fn ready(&self) {
        self.notify("READY=1");
    }

    /// It reads its configuration.
    pub(super) fn reloading(&self) {
        // Both in one message: systemd 253 and later take one without the other for a failure.
        self.notify(&format!("RELOADING=1\nMONOTONIC_USEC={}", clock::monotonic_usec()));
    }

    /// It ends.
    pub(super) fn stopping(&self) {
        self.notify("STOPPING=1");
    }

    /// Says how the node fares, and feeds the watchdog if every thread has made a turn since the last time: a
    /// stuck shard would swallow its share of the queries until the service is started anew.
    pub(super) fn tick(&mut self, board: &Board, rate: f64, now: Instant) {
        if self.socket.is_none() {
            return;
        }
        if now.duration_since(self.told) >= STATUS_EVERY {
            self.told = now;
            let (shards, state) = (board.shards.len(), board.life.state().name());
            self.notify(&format!("STATUS={state}, shards: {shards}, {rate:.0} queries/s"));
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

/// A socket that never waits for the manager.
fn connect(path: &str) -> Option<UnixDatagram> {
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(path),
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect_addr(&address.ok()?).ok()?;
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
        let mut systemd =
            Systemd { socket: Some(ours), watchdog: None, fed: now, turns: Vec::new(), told: now };
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
