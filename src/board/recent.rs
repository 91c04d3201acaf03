//! What the last seconds were like: a few samples of the counters, one a second.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Block, Board};
use crate::limits::NOW_SECONDS;
use crate::stats::counters::SHARD_RECEIVED;

/// The samples.
#[derive(Debug, Default)]
pub struct Recent(VecDeque<Sample>);

#[derive(Debug)]
struct Sample {
    at: Instant,
    queries: u64,
    /// Each shard's datagrams.
    shards: Vec<u64>,
}

/// What was done in a second, on the average of the last ones.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// Queries.
    pub queries: f64,
    /// Each shard's datagrams.
    pub shards: Vec<f64>,
}

impl Recent {
    /// Takes a sample at `now`.
    pub fn note(&mut self, board: &Board, now: Instant) {
        let shards: Vec<_> = board.shards.iter().map(Block::read_own).collect();
        self.0.truncate(NOW_SECONDS);
        self.0.push_front(Sample {
            at: now,
            queries: board.queries(),
            shards: shards.iter().map(|totals| totals.sum(SHARD_RECEIVED)).collect(),
        });
    }

    /// The pace between the first sample that is there and the last.
    #[must_use]
    pub fn pace(&self) -> Pace {
        let (Some(new), Some(old)) = (self.0.front(), self.0.back()) else { return Pace::default() };
        let seconds = new.at.duration_since(old.at).as_secs_f64().max(1e-3);
        let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 / seconds;
        let shards = new.shards.iter().zip(&old.shards);
        Pace {
            queries: rate(new.queries, old.queries),
            shards: shards.map(|(new, old)| rate(*new, *old)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::board::tests::board;
    use crate::stats::counters::QUERIES;

    #[test]
    fn the_pace_is_that_of_the_last_seconds() {
        let (board, began) = (board(), Instant::now());
        let mut recent = Recent::default();
        assert_eq!(recent.pace().queries, 0.0);
        for second in 0..30 {
            recent.note(&board, began + Duration::from_secs(second));
            let counters = &board.shards[1].counters[0];
            counters.add(QUERIES.at([0, 0, 0]), second as u32);
            counters.add(SHARD_RECEIVED.at([]), 5);
        }
        // Between the samples of second 19 and second 29: 19 to 28 queries a second.
        let pace = recent.pace();
        assert_eq!((pace.queries, &pace.shards[..]), (23.5, &[0.0, 5.0][..]));
    }

    #[test]
    fn queries_over_tcp_and_those_answered_in_the_driver_are_part_of_the_pace() {
        let (board, began) = (board(), Instant::now());
        let mut recent = Recent::default();
        recent.note(&board, began);
        for (block, transport, queries) in [(&board.tcp, 1, 30), (&board.xdp, 0, 1000)] {
            block.counters[0].add(QUERIES.at([0, transport, 0]), queries);
        }
        recent.note(&board, began + Duration::from_secs(10));
        let pace = recent.pace();
        assert_eq!((pace.queries, &pace.shards[..]), (103.0, &[0.0, 0.0][..]), "no shard had any of them");
    }
}
