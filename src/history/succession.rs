//! What a process leaves to the one that succeeds it: the history, where it was in memory, and what it counts
//! after it has closed it, as connections live on for a while. Counters go by their names, as the successor
//! may have other ones.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::db::{self, Db};
use super::fault::{Cause, Fault};
use super::schema::{SCHEMA, Series, all_series, version};
use super::{Bases, History, Lock, Opening, add_to_past, open};
use crate::board::{Base, Block, Board};
use crate::limits::{HISTORY_OPEN_WAIT_MAX, HISTORY_WAITING_LEN_MAX};
use crate::stats::counters::Totals;
use crate::stats::labels::Names;

/// A counter that moved: its family, its labels as a JSON object, and how far.
type Counted = (String, String, u64);

/// What a successor continues from. The history stays open, but is not written: the successor may fail.
#[derive(Debug)]
pub struct Lent {
    /// Everything that is in memory.
    pub image: Option<Vec<u8>>,
    /// The lock of its directory.
    pub lock: Option<OwnedFd>,
    series: Vec<Series>,
    /// What was told of each block.
    told: Vec<Totals>,
}

/// What was counted that no history has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untold {
    /// By the threads that serve, and by workers.
    pub sockets: Vec<Counted>,
    /// In the driver.
    pub xdp: Vec<Counted>,
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
    /// counted from now on, and everything is stored.
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

    /// What a successor continues from, which may write it from now on, until [`resume`](Self::resume).
    ///
    /// # Errors
    /// If there is no memory for the image.
    pub fn lend(&self) -> rusqlite::Result<Lent> {
        let image = |db: &Db| db.connection.serialize("main").map(|data| data.to_vec());
        let image = self.memory.as_ref().map(image).transpose()?;
        let lock = self.lock.as_ref().and_then(|lock| lock.descriptor().ok());
        Ok(Lent { image, lock, series: self.series.clone(), told: self.taken.clone() })
    }

    /// Continues, as the successor has failed. What it had counted and stored in the file is added to
    /// `board`.
    ///
    /// # Errors
    /// Those of the disk; or the successor was of a version that has changed the file, which this one then
    /// leaves alone: minutes wait in memory.
    pub fn resume(&mut self, board: &Board) -> Result<(), Fault> {
        let of_it = |error: &rusqlite::Error| Fault::of(error, Path::new(""));
        if let Some(memory) = &self.memory {
            memory.go_on().map_err(|error| of_it(&error))?;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let version = version(&file.connection).map_err(|error| of_it(&error))?;
        if version != SCHEMA.len() {
            self.file = None;
            self.trouble = Fault::new(Cause::Newer, format!("its version is {version} by now"));
            return Err(self.trouble.clone());
        }
        file.go_on().map_err(|error| of_it(&error))?;
        let found = file.bases(&self.series, board.shards.len()).map_err(|error| of_it(&error))?;
        for (index, (block, base)) in board.blocks().zip(found.blocks()).enumerate() {
            let more = base.total.since(file.totals(index));
            self.known[index] += &more;
            self.taken[index] += &more;
            file.add_totals(index, &more);
            block.add_to_base(&Base { total: more, left_out: Totals::default() });
        }
        // What is of shards that this process does not have, nobody has counted here.
        let more = found.past.total.since(&board.past.load().total);
        self.known_past += &more;
        add_to_past(board, &Base { total: more, left_out: Totals::default() });
        Ok(())
    }

    /// Opens the history in `dir`, where one is given, on a thread of its own that begins with `confine`: a
    /// directory that does not respond is not waited for longer than [`HISTORY_OPEN_WAIT_MAX`]. While it
    /// cannot be used, the history is in memory, and why is the second that is given back. It continues from
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
                Ok(Err(unopened)) => {
                    let (fault, bases) = *unopened;
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
    let mut memory =
        db::in_memory(Some(image), HISTORY_WAITING_LEN_MAX, now, Bases::blocks_of(shards)).ok()?;
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

impl Lent {
    /// What was counted since it was told for the last time; from now on that is told.
    pub fn untold(&mut self, board: &Board) -> Untold {
        let now: Vec<Totals> = board.blocks().map(Block::read).collect();
        let since: Vec<Totals> = now.iter().zip(&self.told).map(|(now, told)| now.since(told)).collect();
        self.told = now;
        let named = |totals: &Totals| {
            let counted = self.series.iter().zip(totals.counts()).filter(|(_, count)| **count > 0);
            counted.map(|(series, count)| (series.family.to_owned(), series.labels.clone(), *count)).collect()
        };
        let mut sockets = Totals::default();
        // After the shards come TCP, the driver and the workers.
        let of_driver = board.shards.len() + 1;
        let of_sockets = since.iter().enumerate().filter(|(block, _)| *block != of_driver);
        of_sockets.for_each(|(_, totals)| sockets += totals);
        Untold { sockets: named(&sockets), xdp: named(&since[of_driver]) }
    }
}

impl Untold {
    /// Adds it to `board`, which continues from there.
    pub fn add_to(&self, board: &Board) {
        let names = &board.named.load().counted;
        board.tcp.add_to_base(&totals(&self.sockets, names));
        board.xdp.add_to_base(&totals(&self.xdp, names));
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sockets.is_empty() && self.xdp.is_empty()
    }
}

/// What the process before this one has counted, in the counters of this one. What this one does not count is
/// left out.
#[must_use]
fn totals(counted: &[Counted], names: &Names) -> Base {
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
    use crate::history::{Kept, UniquesOfDays, unix_time};
    use crate::stats::counters::{QUERIES, TCP_ACCEPTED};

    fn count(block: &Block, at: usize, count: u32) {
        block.counters[0].add(at, count);
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
        let lent = history.lend().unwrap();
        let image = lent.image.as_ref().unwrap();
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
        let mut lent = history.lend().unwrap();
        assert!(lent.untold(&first).is_empty());
        count(&first.tcp, TCP_ACCEPTED.at([]), 3);
        count(&first.tcp, QUERIES.at([1, 1, 0]), 5);
        count(&first.shards[1], QUERIES.at([1, 1, 0]), 1);
        count(&first.xdp, QUERIES.at([0, 0, 0]), 4);
        let mut untold = lent.untold(&first);
        assert_eq!((untold.sockets.len(), untold.xdp.len()), (2, 1));
        assert!(lent.untold(&first).is_empty(), "it is told once");
        untold.sockets.push(("as112_of_another_version_total".to_owned(), "{}".to_owned(), 9));
        let (before, in_driver) = (second.read().total, second.xdp.read());
        untold.add_to(&second);
        let after = second.read().total;
        assert_eq!(after.counts()[QUERIES.at([1, 1, 0])], before.counts()[QUERIES.at([1, 1, 0])] + 6);
        assert_eq!(after.sum(TCP_ACCEPTED), before.sum(TCP_ACCEPTED) + 3);
        assert_eq!(after.counts().iter().sum::<u64>(), before.counts().iter().sum::<u64>() + 13);
        assert_eq!(second.xdp.read().sum(QUERIES), in_driver.sum(QUERIES) + 4);
    }

    /// A successor that fails has served, counted and stored meanwhile: the process that continues has that.
    #[test]
    fn what_a_successor_that_failed_has_stored_is_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second, now) = (board(), board(), unix_time());
        let begin = |board: &Board, lock| {
            let legacy = Legacy { image: None, lock };
            let names = board.named.load().counted.clone();
            History::begin(Some(dir.path()), legacy, &names, board.shards.len(), now, || Ok(())).unwrap()
        };
        let (mut history, _) = begin(&first, None);
        let at = QUERIES.at([0, 0, 0]);
        count(&first.shards[0], at, 7);
        history.store(&first, &[], &UniquesOfDays::default(), now).unwrap();
        let before = first.read().total.counts()[at];
        history.end().unwrap();
        let lent = history.lend().unwrap();
        {
            let (mut of_second, bases) = begin(&second, lent.lock.map(Lock::inherited));
            assert!(bases.shards[0].left_out.counts().iter().all(|count| *count == 0), "it goes on exactly");
            second
                .shards
                .iter()
                .zip(&bases.shards)
                .for_each(|(block, base)| block.base.store(base.clone().into()));
            count(&second.shards[1], at, 5);
            of_second.store(&second, &[], &UniquesOfDays::default(), now).unwrap();
        }
        history.resume(&first).unwrap();
        let of_second = first.read().total.counts()[at] - before;
        assert!(of_second >= 5, "{of_second}");
        history.resume(&first).unwrap();
        assert_eq!(first.read().total.counts()[at], before + of_second, "once");
        count(&first.shards[1], at, 2);
        history.store(&first, &[], &UniquesOfDays::default(), now).unwrap();
        let file = history.file.as_ref().unwrap().bases(&history.series, first.shards.len()).unwrap();
        let stored: u64 = file.shards.iter().map(|base| base.total.counts()[at]).sum();
        assert_eq!(stored, first.shards.iter().map(|block| block.read().counts()[at]).sum::<u64>());
        // One that has changed the file leaves it to those that know it; minutes wait.
        history.connection().pragma_update(None, "user_version", 99).unwrap();
        assert_eq!(history.resume(&first).unwrap_err().cause, Cause::Newer);
        count(&first.shards[1], at, 1);
        assert!(matches!(
            history.store(&first, &[], &UniquesOfDays::default(), now),
            Ok(Kept::Waits(fault)) if fault.cause == Cause::Newer
        ));
    }
}
