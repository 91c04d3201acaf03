//! The thread that reads what the others count: once a second it takes what they hand over, once a minute it
//! stores the history and says so to whoever writes files for other programs.
//!
//! It never waits for a thread that serves, and none of them waits for it: it polls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::fault::Fault;
use super::sources::Sources;
use super::uniques::UniquesOfDays;
use super::{DAY, History, Kept, Lent, MINUTE, unix_time};
use crate::board::Board;
use crate::board::remarks::Remarks;
use crate::limits::{AGGREGATOR_TICK, NAMES_QUEUED_MAX, SAMPLES_QUEUED_MAX};
use crate::nets::places::Places;
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

/// What it is told.
#[derive(Debug)]
pub enum Told {
    /// From now on sources are looked up in others.
    Places(Places),
    /// Store what was counted, and leave the history to a successor, which begins with what this is sent.
    /// What is told next is [`Resume`](Self::Resume), if anything.
    Lend(Sender<Result<Lent, String>>),
    /// Continue with the history.
    Resume,
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

    /// Looks once a second until nobody is left who could tell anything, and then once more, unless a
    /// successor has the history.
    pub fn run(mut self, board: &Board, told: &Receiver<Told>) {
        // Once a minute, whether or not the last one could be stored, and wherever the clock is set to.
        let mut minute = unix_time() / MINUTE;
        loop {
            let mut goes_on = true;
            match told.recv_timeout(AGGREGATOR_TICK) {
                Ok(Told::Places(places)) => self.sources.change_places(places),
                Ok(Told::Lend(to)) => {
                    self.lend(board, &to);
                    if !self.gets_it_back(told) {
                        return;
                    }
                    self.resume(board);
                }
                Ok(Told::Resume) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => goes_on = false,
            }
            let now = unix_time();
            self.gather(board, now);
            if !goes_on || now / MINUTE != minute {
                minute = now / MINUTE;
                self.store(board, now);
            }
            if !goes_on {
                self.end(board);
                return;
            }
        }
    }

    /// Waits for what becomes of a history that was lent.
    fn gets_it_back(&mut self, told: &Receiver<Told>) -> bool {
        loop {
            match told.recv() {
                Ok(Told::Places(places)) => self.sources.change_places(places),
                Ok(Told::Lend(_)) => {}
                Ok(Told::Resume) => return true,
                Err(_) => return false,
            }
        }
    }

    fn lend(&mut self, board: &Board, to: &Sender<Result<Lent, String>>) {
        let now = unix_time();
        self.gather(board, now);
        self.store(board, now);
        self.end(board);
        // Who does not wait for it any more says that it is to continue.
        let _ = to.send(self.history.lend().map_err(|error| error.to_string()));
    }

    fn resume(&mut self, board: &Board) {
        if let Err(fault) = self.history.resume(board) {
            self.tell(board, &fault, "; restart the node");
        }
    }

    fn end(&self, board: &Board) {
        if let Err(fault) = self.history.end() {
            board.log.error(format!("history: cannot be closed in order: {fault}"));
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
