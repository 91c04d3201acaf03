//! The thread that reads what the others count: once a second it takes what they hand over, once a minute it
//! stores the history and says so to whoever writes files for other programs.
//!
//! It never waits for a thread that serves, and none of them waits for it: it polls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::fault::Fault;
use super::sources::{Places, Sources};
use super::uniques::UniquesOfDays;
use super::{DAY, History, Kept, MINUTE, unix_time};
use crate::board::Board;
use crate::board::remarks::Remarks;
use crate::limits::{AGGREGATOR_TICK, NAMES_QUEUED_MAX, SAMPLES_QUEUED_MAX};
use crate::stats::ledger::Stream;

/// A minute that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minute {
    /// When it ended, in seconds of Unix time.
    pub now: u64,
    /// The history has everything up to then.
    pub stored_until: u64,
}

/// Where minutes go in. A newer one replaces one that nobody has fetched yet: a slow reader is late, and the
/// aggregator never waits.
#[derive(Debug)]
pub struct Minutes(Sender<Minute>, Receiver<Minute>);

impl Minutes {
    /// Both ends of a queue of one.
    #[must_use]
    pub fn queue() -> (Self, Receiver<Minute>) {
        let (sender, receiver) = bounded(1);
        (Self(sender, receiver.clone()), receiver)
    }

    fn tell(&self, minute: Minute) {
        let Self(sender, waiting) = self;
        if let Err(TrySendError::Full(minute)) = sender.try_send(minute) {
            // Nobody else sends: there is room now, whoever took the older one.
            let _ = waiting.try_recv();
            let _ = sender.try_send(minute);
        }
    }
}

/// What it reads, and what it makes of it.
#[derive(Debug)]
pub struct Aggregator {
    streams: Vec<Stream>,
    /// Tells the threads what day it is, in days of Unix time.
    today: Arc<AtomicU64>,
    sources: Sources,
    /// The queries of this run when the sources were last stored.
    queries: u64,
    uniques: UniquesOfDays,
    history: History,
    minutes: Option<Minutes>,
    remarks: Remarks,
}

/// The day of a time in seconds, both of Unix time.
#[must_use]
pub const fn day_of(now: u64) -> u64 {
    now / DAY
}

impl Aggregator {
    /// One that reads `streams`, whose threads learn from `today` what day it is. It tells of `minutes` where
    /// somebody wants to know.
    #[must_use]
    pub fn new(
        streams: Vec<Stream>,
        today: Arc<AtomicU64>,
        sources: Sources,
        uniques: UniquesOfDays,
        history: History,
        minutes: Option<Minutes>,
    ) -> Self {
        Self { streams, today, sources, uniques, history, minutes, remarks: Remarks::default(), queries: 0 }
    }

    /// Looks once a second until nobody is left who could send other databases of places, and then once more.
    /// Gives the history back.
    pub fn run(mut self, board: &Board, places: &Receiver<Places>) -> History {
        // Once a minute, whether or not the last one could be stored, and wherever the clock is set to.
        let mut minute = unix_time() / MINUTE;
        loop {
            let goes_on = match places.recv_timeout(AGGREGATOR_TICK) {
                Ok(places) => {
                    self.sources.change_places(places);
                    true
                }
                Err(end) => end == RecvTimeoutError::Timeout,
            };
            let now = unix_time();
            self.gather(board, now);
            if !goes_on || now / MINUTE != minute {
                minute = now / MINUTE;
                self.store(board, now);
            }
            if !goes_on {
                if let Err(fault) = self.history.end() {
                    board.log.error(format!("history: cannot be closed in order: {fault}"));
                }
                return self.history;
            }
        }
    }

    /// Takes what the threads have handed over, and tells them what day it is.
    fn gather(&mut self, board: &Board, now: u64) {
        let today = self.today.load(Ordering::Relaxed);
        for (index, stream) in self.streams.iter_mut().enumerate() {
            // No more than there can be now: a thread may hand over as fast as this one takes.
            let samples = std::iter::from_fn(|| stream.samples.pop().ok());
            let names = std::iter::from_fn(|| stream.names.pop().ok());
            let mut talkers = board.observed.talkers.at(now);
            for source in samples.take(SAMPLES_QUEUED_MAX) {
                self.sources.count(source);
                talkers.add_source(source);
            }
            names.take(NAMES_QUEUED_MAX).for_each(|name| talkers.add_name(name));
            drop(talkers);
            if let Some(fault) = self.sources.take_fault() {
                board.log.warning(format!("{fault}; what it would tell is unknown"));
            }
            self.uniques.gather(&stream.uniques, today);
            stream.times.take(|times| board.observed.add_times(index, times));
        }
        let at = Instant::now();
        self.remarks.look(board, at);
        board.observed.look_at_busy(at, board.busy());
        board.observed.look(now, self.uniques.estimates(today), self.sources.unreadable());
        self.today.store(day_of(now), Ordering::Relaxed);
    }

    /// Tells of what is wrong with the history.
    fn tell(&self, board: &Board, fault: &Fault, then: &str) {
        board.log.error(format!("history: {fault}{then}"));
        board.history.failed(fault);
    }

    /// Stores the minute, and tells of it. While its directory cannot be used it waits in memory.
    fn store(&mut self, board: &Board, now: u64) {
        self.history.attend(board, &mut self.uniques, now);
        if let Some(trouble) = self.history.take_news() {
            self.tell(board, &trouble, "");
        }
        let queries = board.queries();
        let rows = self.sources.rows(queries - self.queries);
        match self.history.store(board, &rows, &self.uniques, now) {
            Ok(kept) => {
                self.queries = queries;
                self.sources.clear();
                self.uniques.stored();
                match kept {
                    Kept::Stored => board.log.debug("history: the minute is stored"),
                    Kept::Waits(fault) => self.tell(board, &fault, "; this minute waits in memory"),
                }
            }
            Err(fault) => self.tell(board, &fault, "; this minute will be stored with the next one"),
        }
        if let Some(minutes) = &self.minutes {
            minutes.tell(Minute { now, stored_until: self.history.stored_until() });
        }
    }
}

#[cfg(test)]
mod tests;
