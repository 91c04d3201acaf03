//! What a process leaves to the one that succeeds it: the history, where it was in memory, and what it counts
//! after it has closed it, as connections live on for a while. Counters go by their names, as the successor
//! may have other ones.

use std::collections::HashMap;

use super::History;
use super::schema::{Series, all_series};
use crate::board::{Block, Board};
use crate::stats::counters::Totals;
use crate::stats::labels::Names;

/// A counter that moved: its family, its labels as a JSON object, and how far.
pub type Counted = (String, String, u64);

/// A history that was closed.
#[derive(Debug)]
pub struct Closed {
    /// Everything, if it was in memory.
    pub image: Option<Vec<u8>>,
    series: Vec<Series>,
    stored: Vec<Totals>,
}

impl History {
    /// Closes it. From now on somebody else may write it.
    ///
    /// # Errors
    /// If there is no memory for the image.
    pub fn close(self) -> rusqlite::Result<Closed> {
        let Self { db, is_in_memory, series, stored, .. } = self;
        let image = is_in_memory.then(|| db.serialize("main").map(|data| data.to_vec())).transpose()?;
        Ok(Closed { image, series, stored })
    }
}

impl Closed {
    /// What was counted since it was stored for the last time, of all threads together.
    #[must_use]
    pub fn counted_since(&self, board: &Board) -> Vec<Counted> {
        let mut since = vec![0; self.series.len()];
        let blocks = board.shards.iter().chain([&board.tcp]);
        for (block, stored) in blocks.zip(&self.stored) {
            let now = Block::read(block);
            for (at, (now, before)) in now.counts().iter().zip(stored.counts()).enumerate() {
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
pub fn totals(counted: &[Counted], names: &Names) -> Totals {
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
        let closed = history.close().unwrap();
        let image = closed.image.as_ref().unwrap();
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
