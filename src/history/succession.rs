//! What a process leaves to the one that succeeds it: the history, where it was in memory, and what it counts
//! after it has closed it, as connections live on for a while. Counters go by their names, as the successor
//! may have other ones.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::schema::{SCHEMA, Series, all_series, version};
use super::{History, bases};
use crate::board::{Block, Board};
use crate::stats::counters::Totals;
use crate::stats::labels::Names;

/// A counter that moved: its family, its labels as a JSON object, and how far.
type Counted = (String, String, u64);

/// What a successor goes on from. The history stays open, but is not written: the successor may fail.
#[derive(Debug)]
pub struct Lent {
    /// Everything, if it is in memory.
    pub image: Option<Vec<u8>>,
    series: Vec<Series>,
    /// What was told of each block.
    told: Vec<Totals>,
}

/// What was counted that no history has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untold {
    /// By the threads that serve.
    pub sockets: Vec<Counted>,
    /// In the driver.
    pub xdp: Vec<Counted>,
}

impl History {
    /// What a successor goes on from, which may write it from now on, until [`resume`](Self::resume).
    ///
    /// # Errors
    /// If there is no memory for the image.
    pub fn lend(&self) -> rusqlite::Result<Lent> {
        let image = || self.db.serialize("main").map(|data| data.to_vec());
        let image = self.is_in_memory.then(image).transpose()?;
        Ok(Lent { image, series: self.series.clone(), told: self.stored.clone() })
    }

    /// Goes on, as the successor has failed. What it had counted and stored is added to `board`.
    ///
    /// # Errors
    /// Those of the disk; or the successor was of a version that has changed the file, which this one then
    /// leaves alone.
    pub fn resume(&mut self, board: &Board) -> Result<(), String> {
        let version = version(&self.db).map_err(|error| error.to_string())?;
        if version != SCHEMA.len() {
            // Each store fails from now on, and is reported.
            self.db.pragma_update(None, "query_only", true).map_err(|error| error.to_string())?;
            return Err(format!("its version is {version} by now, this program knows {}", SCHEMA.len()));
        }
        let found = bases(&self.db, &self.series, board.shards.len()).map_err(|error| error.to_string())?;
        let blocks = found.shards.iter().chain([&found.tcp, &found.xdp]);
        for ((block, found), stored) in board.blocks().zip(blocks).zip(&mut self.stored) {
            let more = found.since(stored);
            block.add_to_base(&more);
            *stored += &more;
        }
        // What is of shards that this process does not have, nobody has counted here.
        board.past.rcu(|past| {
            let mut sum = Totals::clone(past);
            sum += &found.past.since(past);
            sum
        });
        Ok(())
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
        let (xdp, others) = since.split_last().expect("the driver has a block, and the last");
        others.iter().for_each(|totals| sockets += totals);
        Untold { sockets: named(&sockets), xdp: named(xdp) }
    }
}

impl Untold {
    /// Adds it to `board`, which goes on from there.
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
fn totals(counted: &[Counted], names: &Names) -> Totals {
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
    totals
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
            history.db.query_row(query, [QUERIES.name], |row| row.get::<_, u64>(0)).unwrap()
        };
        let before = kept(&history);
        assert!(before >= 7);
        let lent = history.lend().unwrap();
        let image = lent.image.as_ref().unwrap();
        let (history, bases) =
            History::in_memory_from(image, &second.named.load().counted, second.shards.len(), now).unwrap();
        assert_eq!(bases.shards[0].counts(), first.shards[0].read().counts());
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

    /// A successor that fails has served, counted and stored meanwhile: the process that goes on has that.
    #[test]
    fn what_a_successor_that_failed_has_stored_is_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second, now) = (board(), board(), unix_time());
        let open = |board: &Board, shards| {
            History::open(dir.path(), &board.named.load().counted, shards, now).unwrap()
        };
        let (mut history, _) = open(&first, first.shards.len());
        let at = QUERIES.at([0, 0, 0]);
        count(&first.shards[0], at, 7);
        history.store(&first, &[], &UniquesOfDays::default(), now).unwrap();
        let before = first.read().total.counts()[at];
        drop(history.lend().unwrap());
        {
            let (mut of_second, bases) = open(&second, second.shards.len());
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
        let (_, bases) = open(&first, first.shards.len());
        let stored: u64 = bases.shards.iter().map(|totals| totals.counts()[at]).sum();
        assert_eq!(stored, first.shards.iter().map(|block| block.read().counts()[at]).sum::<u64>());
        // One that has changed the file leaves it to those that know it.
        history.db.pragma_update(None, "user_version", 99).unwrap();
        assert!(history.resume(&first).unwrap_err().starts_with("its version is 99 by now"));
        count(&first.shards[1], at, 1);
        assert!(history.store(&first, &[], &UniquesOfDays::default(), now).is_err());
    }
}
