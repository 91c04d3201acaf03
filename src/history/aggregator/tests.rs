use std::time::{Duration, Instant};

use super::*;
use crate::board::tests::board;
use crate::history::Stored;
use crate::history::sources::BY_NETWORK;
use crate::limits::SERVICE_TIME_EVERY;
use crate::nets::places::Places;
use crate::stats::account::Account;
use crate::stats::ledger::{Ledger, LedgerSettings, ledger};

const NOW: u64 = 1_700_000_000;

/// An aggregator of two threads, and what they count with.
fn aggregator(board: &Board) -> (Aggregator, Vec<Ledger>, Stored) {
    let today = Arc::new(AtomicU64::new(day_of(NOW)));
    let settings = LedgerSettings { today: Arc::clone(&today), ..LedgerSettings::default() };
    let (ledgers, streams) = (0..2).map(|_| ledger(&settings)).unzip();
    let history = History::in_memory(&board.named.load().counted, board.shards.len(), NOW).unwrap().0;
    let stored = history.reader().unwrap();
    let sources = Sources::new(Places::default());
    (Aggregator::new(streams, today, sources, UniquesOfDays::default(), history, None), ledgers, stored)
}

fn ask(ledger: &mut Ledger, last: u8) {
    ledger.post(&Account::default(), [192, 0, 2, last].into(), Some(&[0; 12]));
}

fn count(stored: &Stored, query: &str) -> u64 {
    stored.connection().query_row(query, [], |row| row.get(0)).unwrap()
}

#[test]
fn what_threads_hand_over_is_seen_and_stored() {
    let board = board();
    let (mut aggregator, mut ledgers, stored) = aggregator(&board);
    for (ledger, sources) in ledgers.iter_mut().zip([1..=10, 6..=15]) {
        sources.for_each(|last| ask(ledger, last));
        ledger.stopwatch.record(Duration::from_micros(3), 2 * SERVICE_TIME_EVERY);
        ledger.stopwatch.tick(Instant::now() + Duration::from_secs(2));
        ledger.end_batch();
    }
    aggregator.gather(&board, NOW);
    let observation = board.observed.read();
    assert_eq!((observation.uniques, observation.all.samples), ([15, 0, 0], 4));
    assert_eq!(observation.shards.iter().map(|shard| shard.samples).collect::<Vec<_>>(), [2, 2, 0]);

    aggregator.store(&board, NOW + 60);
    let networks = format!("SELECT sum(count) FROM history WHERE family = '{}'", BY_NETWORK.name);
    let uniques = "SELECT sources FROM uniques WHERE kind = 'ipv4'";
    // The board counts 8 queries: they are shared out as the sample is.
    assert_eq!((count(&stored, &networks), count(&stored, uniques)), (8, 15));
    aggregator.store(&board, NOW + 120);
    assert_eq!(count(&stored, &networks), 8, "what was stored is not stored again");
}

#[test]
fn a_day_ends_when_the_aggregator_says_so() {
    let board = board();
    let (mut aggregator, mut ledgers, stored) = aggregator(&board);
    let midnight = (day_of(NOW) + 1) * DAY;
    ask(&mut ledgers[0], 1);
    aggregator.gather(&board, midnight - 1);
    ledgers[0].end_batch();
    ask(&mut ledgers[0], 2);
    aggregator.gather(&board, midnight);
    // It has not looked yet: this is still of the day before.
    ask(&mut ledgers[0], 3);
    ledgers[0].end_batch();
    ask(&mut ledgers[0], 4);
    aggregator.gather(&board, midnight + 1);
    assert_eq!(board.observed.read().uniques[0], 1);
    aggregator.store(&board, midnight + 60);
    let of = |day: u64| {
        count(&stored, &format!("SELECT sources FROM uniques WHERE day = {day} AND kind = 'ipv4'"))
    };
    assert_eq!((of(midnight - DAY), of(midnight)), (3, 1));
}

#[test]
fn what_could_not_be_stored_is_stored_later() {
    let board = board();
    let (mut aggregator, mut ledgers, stored) = aggregator(&board);
    ask(&mut ledgers[1], 1);
    aggregator.gather(&board, NOW);
    let networks =
        format!("SELECT coalesce(sum(count), 0) FROM history WHERE family = '{}'", BY_NETWORK.name);
    aggregator.history.forbid(true);
    aggregator.store(&board, NOW + 60);
    assert_eq!((board.history.errors(), count(&stored, &networks)), (1, 0));
    aggregator.history.forbid(false);
    aggregator.store(&board, NOW + 120);
    assert_eq!((board.history.errors(), count(&stored, &networks)), (1, 8));
}

#[test]
fn the_thread_stores_once_more_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let board = board();
    let (mut aggregator, _, _) = aggregator(&board);
    let open = || History::open(folder.path(), &board.named.load().counted, 2, unix_time()).unwrap();
    aggregator.history = open().0;
    let (stop, stopped) = bounded(0);
    drop(stop);
    aggregator.run(&board, &stopped);
    let (_, bases) = open();
    assert_eq!(bases.tcp.total.sum(crate::stats::counters::QUERIES), 4);
    assert_eq!(board.history.errors(), 0);
}

#[test]
fn the_newest_minute_takes_the_place_of_one_that_nobody_fetched() {
    let (minutes, told) = Minutes::queue();
    let minute = |now| Minute { now, stored_until: now - 1 };
    minutes.tell(minute(60));
    assert_eq!(told.try_recv(), Ok(minute(60)));
    for now in [120, 180, 240] {
        minutes.tell(minute(now));
    }
    assert_eq!(told.try_recv(), Ok(minute(240)));
    drop(minutes);
    assert!(told.recv().is_err(), "the end of the aggregator is the end of the queue");
}
