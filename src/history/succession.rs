//! What a process leaves to the one that succeeds it: the history, where it was in memory, and what it counts
//! after it has closed it, as connections live on for a while. Counters go by their names, as the successor
//! may have other ones.

use std::collections::HashMap;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::db::{self, Db};
use super::fault::Fault;
use super::schema::{Series, all_series};
use super::{Bases, History, Lock, Opening, open};
use crate::board::{Base, Block, Board};
use crate::limits::{HISTORY_OPEN_WAIT_MAX, HISTORY_WAITING_LEN_MAX};
use crate::stats::counters::Totals;
use crate::stats::labels::Names;

/// A counter that moved: its family, its labels as a JSON object, and how far.
pub type Counted = (String, String, u64);

/// A history that was closed.
#[derive(Debug)]
pub struct Closed {
    /// Everything that is in memory.
    pub image: Option<Vec<u8>>,
    /// The lock of its directory.
    pub lock: Option<OwnedFd>,
    series: Vec<Series>,
    taken: Vec<Totals>,
}

/// What a process before this one has left of its history.
#[derive(Debug, Default)]
pub struct Legacy {
    /// What it had in memory.
    pub image: Option<Vec<u8>>,
    /// The lock of its directory.
    pub lock: Option<Lock>,
}

impl History {
    /// Marks that the run has ended in order: the next one counts on exactly. To be called when nothing is
    /// counted any more, and everything is stored.
    ///
    /// # Errors
    /// Those of the disk. The next run then begins at 0.
    pub fn end(&self) -> Result<(), Fault> {
        let home = match (&self.dir, &self.memory) {
            // What waits in memory is lost to the file, which then is not where this run ended.
            (Some(_), Some(memory)) => Some(memory),
            (Some(_), None) => self.file.as_ref(),
            (None, memory) => memory.as_ref(),
        };
        home.map_or(Ok(()), Db::end).map_err(|error| Fault::of(&error, Path::new("")))
    }

    /// Closes it. From now on somebody else may write it.
    ///
    /// # Errors
    /// If there is no memory for the image.
    pub fn close(self) -> rusqlite::Result<Closed> {
        let Self { memory, lock, series, taken, .. } = self;
        let image = |db: Db| db.connection.serialize("main").map(|data| data.to_vec());
        let image = memory.map(image).transpose()?;
        let lock = lock.and_then(|lock| lock.descriptor().ok());
        Ok(Closed { image, lock, series, taken })
    }

    /// Opens the history in `dir`, where one is given, on a thread of its own that begins with `confine`: a
    /// directory that does not respond is not waited for longer than [`HISTORY_OPEN_WAIT_MAX`]. While it
    /// cannot be used, the history is in memory, and why is the second that is given back. It goes on from
    /// what a process before this one has left.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn begin(
        dir: Option<&Path>,
        legacy: Legacy,
        names: &Names,
        shards: usize,
        now: u64,
        confine: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Result<(Self, Bases), Fault> {
        let Legacy { image, lock } = legacy;
        let Some(dir) = dir else {
            // An image that this program does not know is as good as none.
            let from_image = image.and_then(|image| Self::in_memory_from(&image, names, shards, now).ok());
            return from_image.map_or_else(|| Self::in_memory(names, shards, now), Ok);
        };
        let waiting = image.and_then(|image| waiting(&image, names, shards, now));
        // What waits is newer than what the file has.
        let is_late = waiting.is_some();
        let opening = Opening::start(dir.to_owned(), names.clone(), shards, lock, is_late, now, confine);
        let (mut history, bases) = match waiting {
            Some((memory, bases)) => {
                let mut history = Self::new(Some(dir.to_owned()), names, &bases, now);
                history.place.store(std::sync::Arc::new(memory.place.clone()));
                history.memory = Some(memory);
                (history, bases)
            }
            None => match opening.0.recv_timeout(HISTORY_OPEN_WAIT_MAX) {
                Ok(Ok(opened)) => return Ok(Self::opened(dir, opened, names, now)),
                Ok(Err((fault, bases))) => {
                    let bases = bases.unwrap_or_else(|| Bases::none(shards));
                    return Self::wait_in_memory(Some(dir.to_owned()), Some(fault), names, bases, now);
                }
                Err(_) => Self::wait_in_memory(Some(dir.to_owned()), None, names, Bases::none(shards), now)?,
            },
        };
        history.opening = Some(opening);
        Ok((history, bases))
    }
}

/// What waited in the memory of the process before this one, and what that had counted.
fn waiting(image: &[u8], names: &Names, shards: usize, now: u64) -> Option<(Db, Bases)> {
    let mut memory = db::in_memory(Some(image), HISTORY_WAITING_LEN_MAX, now, shards + 2).ok()?;
    let bases = memory.begin(&all_series(names), shards, false, now).ok()?;
    Some((memory, bases))
}

impl Opening {
    fn start(
        dir: PathBuf,
        names: Names,
        shards: usize,
        lock: Option<Lock>,
        is_late: bool,
        now: u64,
        confine: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Self {
        let (send, opened) = crossbeam_channel::bounded(1);
        let run = move || {
            // One that cannot be confined opens nothing, and nobody may be left who wants it.
            if confine().is_ok() {
                let _ = send.send(open(&dir, &all_series(&names), shards, lock, is_late, now));
            }
        };
        // Without a thread the other end hears nothing, and opens it by itself.
        let _ = std::thread::Builder::new().name("history".to_owned()).spawn(run);
        Self(opened)
    }
}

impl Closed {
    /// What was counted since it was stored for the last time, of all threads together.
    #[must_use]
    pub fn counted_since(&self, board: &Board) -> Vec<Counted> {
        let mut since = vec![0; self.series.len()];
        let blocks = board.shards.iter().chain([&board.tcp]);
        for (block, taken) in blocks.zip(&self.taken) {
            let now = Block::read(block);
            for (at, (now, before)) in now.counts().iter().zip(taken.counts()).enumerate() {
                since[at] += now.saturating_sub(*before);
            }
        }
        let counted = self.series.iter().zip(since).filter(|(_, count)| *count > 0);
        counted.map(|(series, count)| (series.family.to_owned(), series.labels.clone(), count)).collect()
    }
}

/// What the process before this one has counted, in the counters of this one. What this one does not count is
/// left out.
#[must_use]
pub fn totals(counted: &[Counted], names: &Names) -> Base {
    let series = all_series(names);
    // Of values that share the name `other` the last is the one that counts.
    let places: HashMap<(&str, &str), usize> =
        series.iter().enumerate().map(|(at, series)| ((series.family, series.labels.as_str()), at)).collect();
    let mut totals = Totals::default();
    for (family, labels, count) in counted {
        if let Some(&at) = places.get(&(family.as_str(), labels.as_str())) {
            totals.add(at, *count);
        }
    }
    Base { total: totals, left_out: Totals::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::tests::board;
    use crate::history::{UniquesOfDays, unix_time};
    use crate::stats::counters::{QUERIES, TCP_ACCEPTED, Tally};

    fn count(block: &Block, at: usize, count: u32) {
        let mut tally = Tally::default();
        tally.add(at, count);
        block.counters.fold(&mut tally);
    }

    #[test]
    fn totals_and_minutes_go_on_from_an_image() {
        let (first, second) = (board(), board());
        let now = unix_time();
        let (mut history, _) =
            History::in_memory(&first.named.load().counted, first.shards.len(), now).unwrap();
        count(&first.shards[0], QUERIES.at([0, 0, 0]), 7);
        history.store(&first, &[], &UniquesOfDays::default(), now).unwrap();
        let kept = |history: &History| {
            let query = "SELECT coalesce(sum(count), 0) FROM history WHERE family = ?";
            history.connection().query_row(query, [QUERIES.name], |row| row.get::<_, u64>(0)).unwrap()
        };
        let before = kept(&history);
        assert!(before >= 7);
        let closed = history.close().unwrap();
        let image = closed.image.as_ref().unwrap();
        let (history, bases) =
            History::in_memory_from(image, &second.named.load().counted, second.shards.len(), now).unwrap();
        assert_eq!(bases.shards[0].total.counts(), first.shards[0].read().counts());
        assert_eq!(kept(&history), before);
        let reader = history.reader().unwrap();
        let query = "SELECT count(*) FROM totals";
        assert!(reader.connection().query_row(query, [], |row| row.get::<_, u64>(0)).unwrap() > 0);
        assert!(History::in_memory_from(&[7; 4096], &second.named.load().counted, 1, now).is_err());
    }

    #[test]
    fn what_is_counted_after_the_end_is_told_by_name() {
        let (first, second) = (board(), board());
        let (mut history, _) =
            History::in_memory(&first.named.load().counted, first.shards.len(), 0).unwrap();
        history.store(&first, &[], &UniquesOfDays::default(), 0).unwrap();
        let closed = history.close().unwrap();
        assert!(closed.counted_since(&first).is_empty());
        count(&first.tcp, TCP_ACCEPTED.at([]), 3);
        count(&first.tcp, QUERIES.at([1, 1, 0]), 5);
        count(&first.shards[1], QUERIES.at([1, 1, 0]), 1);
        let mut counted = closed.counted_since(&first);
        assert_eq!(counted.len(), 2);
        counted.push(("as112_of_another_version_total".to_owned(), "{}".to_owned(), 9));
        let before = second.read().total;
        second.tcp.add_to_base(&totals(&counted, &second.named.load().counted));
        let after = second.read().total;
        assert_eq!(after.counts()[QUERIES.at([1, 1, 0])], before.counts()[QUERIES.at([1, 1, 0])] + 6);
        assert_eq!(after.sum(TCP_ACCEPTED), before.sum(TCP_ACCEPTED) + 3);
        assert_eq!(after.counts().iter().sum::<u64>(), before.counts().iter().sum::<u64>() + 9);
    }
}
