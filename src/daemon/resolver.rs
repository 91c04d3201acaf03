//! The resolver, a process that the launcher starts: it is watched, and started again when it has ended.
//!
//! Two of them may share the address for a moment: at an upgrade the new process starts its own before that
//! of the old one is ended, so there is always one.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::board::Board;
use crate::board::resolver::{Phase, Status};
use crate::limits::{RESOLVER_LEAVE_AFTER, RESOLVER_START_MAX, RESOLVER_WAIT_MAX, RESOLVER_WAIT_MIN};
use crate::net::{self, Event};
use crate::sys::confine::{Class, Confined};
use crate::sys::launcher::{Launcher, READY};
use crate::sys::passing::Passage;

/// How long it is waited before each start.
#[derive(Debug, Default)]
struct Waits(Duration);

impl Waits {
    /// After the end of one that took queries for so long, or did not come so far.
    fn after(&mut self, ran: Option<Duration>) -> Duration {
        let has_recovered = ran.is_some_and(|ran| ran >= RESOLVER_WAIT_MIN);
        let doubled = if has_recovered { Duration::ZERO } else { self.0 * 2 };
        self.0 = doubled.clamp(RESOLVER_WAIT_MIN, RESOLVER_WAIT_MAX);
        self.0
    }
}

/// Who sees to it that there is a resolver. Dropped, it ends that.
#[derive(Debug)]
pub struct Supervisor {
    /// Its end is the word to end.
    off: Option<Passage>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Has a resolver started, and again each time that it has ended.
    ///
    /// # Errors
    /// If there can be no thread that watches it.
    pub fn start(
        launcher: Arc<Launcher>,
        confined: &Confined,
        events: &Sender<Event>,
        board: &Arc<Board>,
    ) -> io::Result<Self> {
        let (off, is_off) = Passage::pair()?;
        let watch = Watch { launcher, is_off, board: Arc::clone(board) };
        let confined = confined.clone();
        let watch = move || {
            confined.thread(Class::Elder)?;
            watch.all();
            Ok(())
        };
        let thread = Some(net::spawn("resolver".to_owned(), events.clone(), watch)?);
        Ok(Self { off: Some(off), thread })
    }

    /// Ends the resolver when that of the process that succeeds this one has had time to start.
    pub(super) fn leave(self) {
        let leave = move || {
            let until = Instant::now() + RESOLVER_LEAVE_AFTER;
            while let left = until.saturating_duration_since(Instant::now())
                && !left.is_zero()
            {
                thread::park_timeout(left);
            }
            drop(self);
        };
        // Without a thread it ends at once.
        drop(thread::Builder::new().name("leave".to_owned()).spawn(leave));
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.off = None;
        if let Some(thread) = self.thread.take() {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// The thread's part.
struct Watch {
    launcher: Arc<Launcher>,
    is_off: Passage,
    board: Arc<Board>,
}

impl Watch {
    fn all(&self) {
        let mut waits = Waits::default();
        loop {
            let ran = self.one();
            let ended = self.launcher.kill_resolver().unwrap_or_else(|error| error.to_string());
            if self.is_off.has_ended() {
                self.note(|status| status.phase = Phase::Ended);
                return;
            }
            let (ended, ran) = match ran {
                Ok(ran) => (ended, ran),
                Err(error) => (error.to_string(), None),
            };
            let wait = waits.after(ran);
            self.board.log.warning(format!(
                "the resolver has ended ({ended}); it is started again in {} s",
                wait.as_secs()
            ));
            self.note(|status| (status.phase, status.ended) = (Phase::Waiting, Some(ended)));
            if self.is_off.await_end(wait) {
                self.note(|status| status.phase = Phase::Ended);
                return;
            }
        }
    }

    /// The life of one resolver: how long it took queries.
    fn one(&self) -> io::Result<Option<Duration>> {
        self.note(|status| (status.phase, status.starts) = (Phase::Starting, status.starts + 1));
        let line = self.launcher.launch_resolver()?;
        let is_ready = line.await_message(Some(RESOLVER_START_MAX), Some(&self.is_off)).is_ok()
            && line.receive(READY.len(), Some(RESOLVER_START_MAX)).is_ok_and(|said| said.bytes == READY);
        if !is_ready {
            return Ok(None);
        }
        let began = Instant::now();
        self.note(|status| status.phase = Phase::Running);
        self.board.log.info("the resolver takes queries");
        // It says nothing more.
        let _ = line.await_message(None, Some(&self.is_off));
        Ok(Some(began.elapsed()))
    }

    fn note(&self, change: impl FnOnce(&mut Status)) {
        self.board.resolver.note(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_until_one_has_run_for_a_while() {
        let mut waits = Waits::default();
        let mut after = |ran: Option<u64>| waits.after(ran.map(Duration::from_millis)).as_secs();
        assert_eq!([None, None, Some(999), None].map(&mut after), [1, 2, 4, 8]);
        assert_eq!([Some(1000), None, Some(60_000), Some(0)].map(&mut after), [1, 2, 1, 2]);
        assert_eq!([None; 7].map(&mut after), [4, 8, 16, 32, 60, 60, 60]);
    }
}
