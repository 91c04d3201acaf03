mod waiting;

use super::sources::{BY_AS, BY_NETWORK, OTHER};
use rusqlite::params;

use super::schema::{SCHEMA, version};
use super::*;
use crate::board::tests::board;
use crate::board::{Block, Named};
use crate::limits::{HISTORY_RESOLUTIONS, SOURCES_KEPT_MAX};
use crate::stats::counters::{
    CACHE_LOOKS, CACHE_STORED, Counters, QUERIES, QUERIES_BY_ZONE, QUERY_BYTES, RULE_HITS, SHARD_RECEIVED,
    TCP_ACCEPTED,
};
use crate::stats::uniques::Uniques;

/// A minute somewhere in 2023.
const BEGAN: u64 = 1_699_999_260;

/// The thread of the first shard counts queries.
fn count(board: &Board, queries: u32) {
    board.shards[0].counters[0].add(QUERIES.at([0, 0, 0]), queries);
}

/// All that the history has of queries, in rows that begin at `from` or later.
fn sum(history: &History, from: u64) -> u64 {
    let query = "SELECT coalesce(sum(count), 0) FROM history WHERE family = ? AND start >= ?";
    history.connection().query_row(query, params![QUERIES.name, from], |row| row.get(0)).unwrap()
}

/// The rows of queries over UDP and IPv4: resolution, start, count.
fn rows(history: &History) -> Vec<(u64, u64, u64)> {
    let query = "SELECT resolution, start, count FROM history WHERE family = 'as112_queries_total'
                  AND labels ->> 'transport' = 'udp' AND labels ->> 'family' = 'ipv4' ORDER BY start";
    let mut query = history.connection().prepare(query).unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Stores with a clock that is believed, however far it jumps.
fn store(history: &mut History, board: &Board, now: u64) -> Result<Kept, Fault> {
    history.trust(now);
    history.store(board, &[], &UniquesOfDays::default(), now)
}

fn in_memory(board: &Board, now: u64) -> History {
    History::in_memory(&board.named.load().counted, board.shards.len(), now).unwrap().0
}

#[test]
fn a_minute_has_what_moved_in_it() {
    let board = board();
    let mut history = in_memory(&board, BEGAN + 5);
    store(&mut history, &board, BEGAN + 60).unwrap();
    assert_eq!(rows(&history), [(60, BEGAN, 4)]);
    // Nothing moved: no row.
    store(&mut history, &board, BEGAN + 120).unwrap();
    count(&board, 7);
    // Late by 5 s: it is still of the minute that ended.
    store(&mut history, &board, BEGAN + 185).unwrap();
    count(&board, 1);
    store(&mut history, &board, BEGAN + 190).unwrap();
    assert_eq!(rows(&history), [(60, BEGAN, 4), (60, BEGAN + 120, 7), (60, BEGAN + 180, 1)]);
    let of = |family: &str| -> Vec<(String, u64)> {
        let query = "SELECT labels, sum(count) FROM history WHERE family = ? GROUP BY labels ORDER BY labels";
        let mut query = history.connection().prepare(query).unwrap();
        query.query_map([family], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    let zone = |name: &str| format!("{{\"zone\":\"{name}\"}}");
    assert_eq!(of(QUERIES_BY_ZONE.name), [(zone("10.in-addr.arpa"), 2), (zone("other"), 1)]);
    assert_eq!(of(QUERY_BYTES.name), [("{\"transport\":\"udp\"}".to_owned(), 2128)]);
    assert_eq!(of(SHARD_RECEIVED.name), [], "what concerns the threads alone has no history");
}

#[test]
fn rows_move_to_the_next_resolution_on_time() {
    let board = board();
    let mut history = in_memory(&board, BEGAN);
    store(&mut history, &board, BEGAN + 60).unwrap();
    count(&board, 10);
    store(&mut history, &board, BEGAN + 120).unwrap();
    let quarter = BEGAN - BEGAN % 900;
    for (from, to, resolution) in [(quarter, 900, 60), (BEGAN - BEGAN % 3600, 3600, 900)] {
        let kept_for = HISTORY_RESOLUTIONS.iter().find(|one| one.0 == resolution).unwrap().1;
        // All of the coarser row must be old.
        let before = rows(&history);
        store(&mut history, &board, from + to + kept_for - 1).unwrap();
        assert_eq!(rows(&history), before);
        store(&mut history, &board, from + to + kept_for).unwrap();
        assert_eq!(rows(&history), [(to, from, 14)]);
    }
    let (hour, day) = (BEGAN - BEGAN % 3600, BEGAN - BEGAN % DAY);
    store(&mut history, &board, day + 401 * DAY - 1).unwrap();
    assert_eq!(rows(&history), [(3600, hour, 14)]);
    store(&mut history, &board, day + 401 * DAY).unwrap();
    assert_eq!(rows(&history), [(DAY, day, 14)]);
    store(&mut history, &board, day + 3654 * DAY - 1).unwrap();
    assert_eq!(rows(&history), [(DAY, day, 14)]);
    store(&mut history, &board, day + 3654 * DAY).unwrap();
    assert_eq!(rows(&history), []);
}

#[test]
fn in_eleven_years_no_query_is_lost_before_its_time() {
    let board = board();
    let mut history = in_memory(&board, BEGAN);
    // How many queries were counted in the time that began then.
    let mut counted = vec![(BEGAN, 8)];
    let mut now = BEGAN;
    let steps = [(60, 3000), (600, 2000), (DAY, 11 * 365), (60, 3000)];
    for (step, times) in steps {
        for turn in 0..times {
            store(&mut history, &board, now + step).unwrap();
            now += step;
            let queries = turn % 5;
            count(&board, queries);
            counted.push((now, u64::from(queries)));
            if turn % 250 == 0 {
                store(&mut history, &board, now).unwrap();
                // The last whole day that was forgotten, or the day before the first.
                let oldest = (now.saturating_sub(3653 * DAY) / DAY * DAY).max(BEGAN / DAY * DAY);
                let expected: u64 = counted.iter().filter(|one| one.0 >= oldest).map(|one| one.1).sum();
                assert_eq!(sum(&history, 0), expected, "at {now}");
            }
        }
    }
    for (at, (resolution, kept_for)) in HISTORY_RESOLUTIONS.into_iter().enumerate() {
        let coarser = HISTORY_RESOLUTIONS.get(at + 1).map_or(resolution, |next| next.0);
        let query = "SELECT min(start), count(*) FROM counts WHERE resolution = ?";
        let (oldest, rows): (u64, u64) = history
            .connection()
            .query_row(query, [resolution], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert!(oldest >= now - kept_for - coarser, "{resolution} s: from {oldest}");
        assert!(rows > 0 && rows <= (kept_for + coarser) / resolution * 20, "{resolution} s: {rows} rows");
    }
}

#[test]
fn totals_go_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = |board: &Board, shards| {
        History::open(folder.path(), &board.named.load().counted, shards, BEGAN).unwrap()
    };
    let first = board();
    let (mut history, bases) = open(&first, 2);
    assert_eq!((bases.tcp.total.sum(QUERIES), bases.shards.len(), bases.past.total.sum(QUERIES)), (0, 2, 0));
    store(&mut history, &first, BEGAN + 60).unwrap();
    drop(history);

    // The same again, and each thread goes on from what it had.
    let second = board();
    let (mut history, bases) = open(&second, 2);
    let of_shards: Vec<u64> = bases.shards.iter().map(|base| base.total.sum(QUERIES)).collect();
    assert_eq!((of_shards, bases.tcp.total.sum(QUERIES)), (vec![3, 1], 4));
    second.tcp.add_to_base(&bases.tcp);
    for (block, base) in second.shards.iter().zip(&bases.shards) {
        block.add_to_base(base);
    }
    let reading = second.read();
    assert_eq!((reading.total.sum(QUERIES), reading.total.sum(TCP_ACCEPTED)), (16, 10));
    assert_eq!(reading.shards[0].sum(SHARD_RECEIVED), 6);
    assert_eq!(reading.tcp_connections, 3, "connections of the last run are closed");
    store(&mut history, &second, BEGAN + 60).unwrap();
    assert_eq!(sum(&history, 0), 16, "what the last run counted is not counted again");
    drop(history);

    // A run with one shard less, and a zone that has another name: what is known of them is kept apart.
    let mut names = second.named.load().counted.clone();
    names.zones = vec!["moved.example".to_owned()];
    let (history, bases) = History::open(folder.path(), &names, 1, BEGAN).unwrap();
    assert_eq!(bases.shards.iter().map(|base| base.total.sum(QUERIES)).collect::<Vec<_>>(), [6]);
    assert_eq!((bases.past.total.sum(QUERIES), bases.tcp.total.sum(QUERIES)), (2, 8));
    assert_eq!(bases.shards[0].total.sum(QUERIES_BY_ZONE), 2, "those of `other`");
    drop(history);
    let (_, bases) = open(&second, 2);
    assert_eq!(bases.past.total.sum(QUERIES), 0, "both shards are back");
    assert_eq!(bases.shards[0].total.sum(QUERIES_BY_ZONE), 6);
}

#[test]
fn a_zone_that_comes_later_goes_on_from_what_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let open = |board: &Board, shards| {
        History::open(folder.path(), &board.named.load().counted, shards, BEGAN).unwrap().0
    };
    let late = "late.example".to_owned();
    let by_zone = |board: &Board| QUERIES_BY_ZONE.of(&board.read().total)[1];
    let rename = |board: &Board| {
        let mut named = Named::clone(&board.named.load());
        named.counted.zones.push(late.clone());
        board.named.store(named.into());
    };
    let count = |block: &Block| {
        block.counters[0].add(QUERIES_BY_ZONE.at([1]), 5);
    };
    let first = board();
    rename(&first);
    first.shards.iter().for_each(count);
    store(&mut open(&first, 2), &first, BEGAN + 60).unwrap();

    // It is served again from some time on. What the second shard had counted is not lost with the shard.
    let mut second = board();
    second.shards.truncate(1);
    let mut history = open(&second, 1);
    store(&mut history, &second, BEGAN + 120).unwrap();
    assert_eq!(by_zone(&second), 0);
    rename(&second);
    count(&second.shards[0]);
    store(&mut history, &second, BEGAN + 180).unwrap();
    assert_eq!(by_zone(&second), 15);
    store(&mut history, &second, BEGAN + 240).unwrap();
    assert_eq!(by_zone(&second), 15, "once");
    let query = "SELECT sum(count) FROM history WHERE family = ? AND labels ->> 'zone' = ?";
    let kept: u64 = history
        .connection()
        .query_row(query, [QUERIES_BY_ZONE.name, late.as_str()], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, 15, "what earlier runs counted is in the rows of their minutes, and in no other");
    drop(history);
    let (_, bases) = History::open(folder.path(), &second.named.load().counted, 1, BEGAN).unwrap();
    assert_eq!(
        (QUERIES_BY_ZONE.of(&bases.shards[0].total)[1], QUERIES_BY_ZONE.of(&bases.past.total)[1]),
        (10, 5)
    );
}

/// Rules come with a reload, to a node that had none; workers are counted together, however many there are.
#[test]
fn rules_and_workers_go_on_from_what_they_had() {
    let folder = tempfile::tempdir().unwrap();
    let with_rules = |board: &Board, rules: &[&str]| {
        let mut named = Named::clone(&board.named.load());
        named.counted.rules = rules.iter().map(|&rule| rule.to_owned()).collect();
        board.named.store(named.into());
    };
    let count = |counters: &Counters, rule| {
        counters.add(RULE_HITS.at([rule]), 3);
        counters.add(CACHE_LOOKS.at([0]), 2);
        counters.add(CACHE_STORED.at([]), 1);
    };
    let now_has = |board: &Board, rule: usize| {
        let total = board.read_exported().total;
        (RULE_HITS.of(&total)[rule], total.sum(CACHE_LOOKS), total.sum(CACHE_STORED))
    };
    let run = |board: &mut Board, workers: usize, now| {
        let names = board.named.load().counted.clone();
        let (history, bases) = History::open(folder.path(), &names, 2, now).unwrap();
        let counters: Vec<Arc<Counters>> = (0..workers).map(|_| Arc::default()).collect();
        board.workers = Block::of_workers(counters, bases.workers.clone());
        board
            .shards
            .iter()
            .zip(&bases.shards)
            .for_each(|(block, base)| block.base.store(base.clone().into()));
        history
    };
    let mut first = board();
    let mut history = run(&mut first, 2, BEGAN);
    store(&mut history, &first, BEGAN + 60).unwrap();
    with_rules(&first, &["none", "forward"]);
    count(&first.shards[0].counters[0], 1);
    first.workers.counters.iter().for_each(|worker| count(worker, 1));
    assert_eq!(now_has(&first, 1), (9, 6, 3));
    store(&mut history, &first, BEGAN + 120).unwrap();
    let kept = |family: &str| -> u64 {
        let query = "SELECT coalesce(sum(count), 0) FROM history WHERE family = ?";
        history.connection().query_row(query, [family], |row| row.get(0)).unwrap()
    };
    assert_eq!((kept(RULE_HITS.name), kept(CACHE_LOOKS.name)), (9, 6));
    assert_eq!(kept(CACHE_STORED.name), 0, "it has a total alone");
    history.end().unwrap();
    drop(history);

    // The rule stands elsewhere by now, and comes with a reload.
    let mut second = board();
    let mut history = run(&mut second, 1, BEGAN + 180);
    assert_eq!(now_has(&second, 2), (0, 0, 0));
    with_rules(&second, &["none", "new", "forward"]);
    store(&mut history, &second, BEGAN + 240).unwrap();
    assert_eq!(now_has(&second, 2), (9, 6, 3));
    count(&second.workers.counters[0], 2);
    store(&mut history, &second, BEGAN + 300).unwrap();
    assert_eq!(now_has(&second, 2), (12, 8, 4));
    assert_eq!(RULE_HITS.of(&second.workers.read())[2], 9, "both workers' and its own");
}

#[test]
fn what_is_no_history_of_ours_is_refused_with_advice() {
    let names = Names::default();
    let refused = |dir: &Path| {
        let fault = History::open(dir, &names, 1, BEGAN).unwrap_err();
        (fault.to_string(), fault.cause)
    };
    // Nobody may make a file there, not even root.
    for (dir, advice) in [("/proc", "give a directory"), ("/proc/version", "give a directory")] {
        let (said, cause) = refused(Path::new(dir));
        assert!(said.contains(advice) && cause == Cause::NotWritable, "{said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (history, _) = History::open(folder.path(), &names, 1, BEGAN).unwrap();
    let set = |pragma, value: u32| history.connection().pragma_update(None, pragma, value).unwrap();
    set("user_version", 99);
    let (said, cause) = refused(folder.path());
    assert!(said.starts_with("process ") && said.contains("uses it; "), "{said}");
    assert_eq!(cause, Cause::Taken(Some(std::process::id())));
    drop(history);
    let (said, cause) = refused(folder.path());
    assert!(said.starts_with("its version is 99, this program knows 3; run the newer"), "{said}");
    assert_eq!(cause, Cause::Newer);
    let db = Connection::open(folder.path().join(FILE)).unwrap();
    db.pragma_update(None, "application_id", 7).unwrap();
    drop(db);
    assert_eq!(refused(folder.path()).1, Cause::Foreign);
    assert!(examine(folder.path()).unwrap().contains("another program"));
}

#[test]
fn a_file_of_an_earlier_version_gets_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let db = Connection::open(folder.path().join(FILE)).unwrap();
    db.execute_batch(SCHEMA[0]).unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
    db.execute_batch("INSERT INTO series VALUES (1, 'f', '{}'); INSERT INTO counts VALUES (60, 60, 1, 5)")
        .unwrap();
    drop(db);
    let board = board();
    let (history, _) = History::open(folder.path(), &board.named.load().counted, 2, BEGAN).unwrap();
    let one = |query: &str| history.connection().query_row(query, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(one("SELECT count FROM history"), 5);
    assert_eq!(one("SELECT count(*) FROM names") + one("SELECT count(*) FROM uniques"), 0);
    assert_eq!(version(history.connection()).unwrap(), SCHEMA.len());
}

#[test]
fn of_sources_the_largest_remain() {
    let board = board();
    let mut history = in_memory(&board, BEGAN);
    let none = UniquesOfDays::default();
    let quarter = BEGAN - BEGAN % 900 + 900;
    // Each minute has its own networks, and one that is in all.
    for minute in 0..15 {
        let row = |network: String, count| Row { family: &BY_NETWORK, value: network, name: None, count };
        let small = (0..SOURCES_KEPT_MAX - 1).map(|at| row(format!("10.{minute}.{at}.0/24"), 1));
        let rows: Vec<Row<'_>> =
            small.chain([row("192.0.2.0/24".to_owned(), 5), row(OTHER.to_owned(), 2)]).collect();
        history.stored_at = quarter + minute * 60;
        history.store(&board, &rows, &none, quarter + minute * 60 + 60).unwrap();
    }
    let rows = |history: &History, resolution: u64| -> Vec<(String, u64)> {
        let query = "SELECT labels ->> 'network', count FROM history WHERE family = ? AND resolution = ?
                      ORDER BY count DESC";
        let mut query = history.connection().prepare(query).unwrap();
        let rows =
            query.query_map(params![BY_NETWORK.name, resolution], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(rows(&history, 60).len(), 15 * (SOURCES_KEPT_MAX + 1));
    store(&mut history, &board, quarter + 900 + 48 * 3600).unwrap();
    let kept = rows(&history, 900);
    assert_eq!((rows(&history, 60).len(), kept.len()), (0, SOURCES_KEPT_MAX + 1));
    let others = 15 * 2 + 14 * (SOURCES_KEPT_MAX as u64 - 1);
    assert_eq!(kept[..2], [(OTHER.to_owned(), others), ("192.0.2.0/24".to_owned(), 75)]);
}

#[test]
fn names_and_unique_sources_are_kept() {
    let board = board();
    let mut history = in_memory(&board, BEGAN);
    let day = BEGAN / DAY;
    let thread = Uniques::new(day);
    (1..=5).for_each(|last| thread.see([192, 0, 2, last].into()));
    let mut uniques = UniquesOfDays::default();
    uniques.gather(&thread, day);
    let rows = [Row { family: &BY_AS, value: "64500".to_owned(), name: Some("Example"), count: 64 }];
    history.store(&board, &rows, &uniques, BEGAN + 60).unwrap();
    let name = "SELECT name FROM names WHERE label = 'as' AND value = '64500'";
    assert_eq!(history.connection().query_row(name, [], |row| row.get::<_, String>(0)).unwrap(), "Example");
    let found = db::uniques(history.connection(), day).unwrap();
    assert_eq!((found.estimates(day), found.changed().count()), ([5, 0, 0], 0));
    let count = |query: &str| history.connection().query_row(query, [], |row| row.get::<_, u64>(0)).unwrap();
    let networks = "SELECT count(*) FROM series WHERE family = 'as112_sources_by_network'";
    history
        .connection()
        .execute("INSERT INTO series VALUES (NULL, 'as112_sources_by_network', '{}')", [])
        .unwrap();
    assert_eq!(count(networks), 1);
    // Two days on only the estimate remains.
    store(&mut history, &board, BEGAN + 2 * DAY).unwrap();
    let count = |query: &str| history.connection().query_row(query, [], |row| row.get::<_, u64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM uniques WHERE registers IS NULL AND sources = 5"), 1);
    assert_eq!((count(networks), count("SELECT count(*) FROM uniques")), (0, 3));
    assert_eq!(db::uniques(history.connection(), day).unwrap().estimates(day), [0, 0, 0]);
    // Ten years on nothing: the day goes when the registers of a later one do.
    let gone = day * DAY + HISTORY_RESOLUTIONS[3].1 + 1;
    for (now, left) in [(gone - 1, 3), (gone, 0)] {
        let later = now / DAY - 2;
        let (thread, mut uniques) = (Uniques::new(later), UniquesOfDays::default());
        thread.see([192, 0, 2, 1].into());
        uniques.gather(&thread, later);
        history.trust(now);
        history.store(&board, &[], &uniques, now).unwrap();
        let count =
            |query: &str| history.connection().query_row(query, [], |row| row.get::<_, u64>(0)).unwrap();
        let of_day = format!("SELECT count(*) FROM uniques WHERE day = {}", day * DAY);
        assert_eq!((count(&of_day), count("SELECT count(*) FROM uniques")), (left, left + 3), "at {now}");
    }
}

#[test]
fn a_clock_that_jumps_costs_an_hour() {
    let board = board();
    let mut history = in_memory(&board, BEGAN);
    store(&mut history, &board, BEGAN + 60).unwrap();
    let none = UniquesOfDays::default();
    let before = rows(&history);
    // A minute in which it is 2099, as it were.
    history.store(&board, &[], &none, BEGAN + 76 * 365 * DAY).unwrap();
    assert_eq!((rows(&history), history.stored_until()), (before.clone(), BEGAN + 60 + 3600));
    count(&board, 5);
    history.store(&board, &[], &none, BEGAN + 180).unwrap();
    count(&board, 6);
    history.store(&board, &[], &none, BEGAN + 240).unwrap();
    assert_eq!(history.stored_until(), BEGAN + 240);
    let far = BEGAN + 76 * 365 * DAY;
    let far = far - far % 60;
    assert_eq!(rows(&history), [before[0], (60, BEGAN + 180, 6), (60, far, 5)]);
}

#[test]
fn a_history_that_is_full_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let board = board();
    let (mut history, _) = History::open(folder.path(), &board.named.load().counted, 2, BEGAN).unwrap();
    let pages: u64 = history.connection().query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    history.connection().pragma_update_and_check(None, "max_page_count", pages + 3, |_| Ok(())).unwrap();
    // In a day of minutes there are more rows than the pages hold.
    for minute in 0..1440 {
        count(&board, 1);
        history.stored_at = BEGAN + minute * 60;
        history.trust(BEGAN);
        history.store(&board, &[], &UniquesOfDays::default(), BEGAN + minute * 60 + 60).unwrap();
    }
    let total = board.read().total.sum(QUERIES);
    assert_eq!(sum(&history, 0), total, "of what was counted nothing is lost");
    let of = |resolution| rows(&history).iter().filter(|row| row.0 == resolution).count();
    assert!(of(60) > 100 && of(900) > 10, "{} minutes, {} quarters", of(60), of(900));
}

#[test]
fn series_are_forgotten_without_a_look_at_all_counts() {
    let history = in_memory(&board(), BEGAN);
    let is_checked: bool =
        history.connection().query_row("PRAGMA foreign_keys", [], |row| row.get(0)).unwrap();
    assert!(!is_checked);
}

/// All that a look back sums up, by days and by quarters of an hour.
fn looked_back(history: &History, span: (u64, u64)) -> [u64; 2] {
    [DAY, 900].map(|step| {
        let floor = |time: u64| time - time % step;
        let found = lookback::counted(history.connection(), QUERIES, None, span, (step, floor)).unwrap();
        found.values().flat_map(|counts| counts.values()).sum()
    })
}

#[test]
fn days_have_rows_beside_the_finer_ones_and_nothing_counts_twice() {
    let board = board();
    let began = BEGAN - BEGAN % DAY + DAY / 2;
    let mut history = in_memory(&board, began);
    // What the board has counted already, and a query in each hour of 40 days.
    let hours = 40 * 24;
    for hour in 1..=hours {
        store(&mut history, &board, began + hour * 3600).unwrap();
        count(&board, 1);
    }
    let end = began + hours * 3600;
    let of_days = "SELECT count(*), sum(count) FROM counts JOIN series ON id = series
                    WHERE resolution = 86400 AND family = ? AND labels ->> 'transport' = 'udp'";
    let (rows, sum_of_days): (u64, u64) = history
        .connection()
        .query_row(of_days, [QUERIES.name], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    // The first half day has what was counted before, and the last one is not over.
    assert_eq!((rows, sum_of_days), (40, 4 + 12 - 1 + 39 * 24));
    assert_eq!(sum(&history, 0), 8 + hours - 1, "the view has each count once");
    for (from, to) in [(0, end), (began + DAY, end), (began + DAY + 3600, end - 7 * 3600), (end - 3600, end)]
    {
        let finer: u64 = history
            .connection()
            .query_row(
                "SELECT coalesce(sum(count), 0) FROM counts JOIN series ON id = series
                  WHERE resolution < 86400 AND family = ? AND start >= ? AND start < ?",
                params![QUERIES.name, from, to],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(looked_back(&history, (from, to)), [finer, finer], "{from} to {to}");
    }
    assert_eq!(lookback::began(history.connection()).unwrap(), Some(began));
    let (days, today) = (began + DAY / 2, end - end % DAY);
    let cuts = |step| lookback::cuts(history.connection(), (began, end), step).unwrap();
    assert_eq!((cuts(DAY), cuts(900)), ([began, days, today, end], [began, end, end, end]));

    // A minute of a day that has its row already, as it has waited for long.
    let fold = |history: &mut History, start: u64| {
        count(&board, 7);
        history.stored_at = start;
        store(history, &board, end).unwrap();
    };
    fold(&mut history, began + 3 * DAY);
    assert_eq!(looked_back(&history, (0, end)), [8 + hours + 7, 8 + hours + 7]);
}

#[test]
fn a_file_of_an_earlier_version_gets_rows_of_days_a_few_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let db = Connection::open(folder.path().join(FILE)).unwrap();
    db.execute_batch(SCHEMA[0]).unwrap();
    db.execute_batch(SCHEMA[1]).unwrap();
    db.pragma_update(None, "user_version", 2).unwrap();
    let board = board();
    let series = all_series(&board.named.load().counted);
    let labels = series[QUERIES.at([0, 0, 0])].labels.as_str();
    db.execute("INSERT INTO series VALUES (1, ?, ?)", [QUERIES.name, labels]).unwrap();
    db.execute_batch("INSERT INTO totals VALUES ('shard 0', 1, 5000)").unwrap();
    let now = BEGAN - BEGAN % DAY + 3600;
    db.execute_batch("BEGIN").unwrap();
    // Days, then hours of 100 days.
    for (resolution, start, end) in [(DAY, now - 120 * DAY, now - 100 * DAY), (3600, now - 100 * DAY, now)] {
        let start = start - start % DAY;
        let end = end - end % resolution;
        for start in (start..end).step_by(resolution as usize) {
            db.execute("INSERT INTO counts VALUES (?, ?, 1, ?)", [resolution, start, resolution / 3600])
                .unwrap();
        }
    }
    db.execute_batch("COMMIT").unwrap();
    drop(db);
    let (mut history, bases) = History::open(folder.path(), &board.named.load().counted, 2, now).unwrap();
    // It does not say whether it has ended in order.
    assert_eq!((bases.shards[0].total.sum(QUERIES), bases.shards[0].exported().sum(QUERIES)), (5000, 0));
    board.shards[0].add_to_base(&bases.shards[0]);
    let days = |history: &History| {
        let query = "SELECT count(*) FROM counts WHERE resolution = 86400";
        history.connection().query_row(query, [], |row| row.get::<_, u64>(0)).unwrap()
    };
    let all = 120 * 24 + 1;
    assert_eq!((days(&history), sum(&history, 0)), (20, all));
    assert_eq!(looked_back(&history, (0, now)), [all, all]);
    history.stored_at = now;
    store(&mut history, &board, now + 60).unwrap();
    assert!((21..=40).contains(&days(&history)), "a few at a time: {}", days(&history));
    assert_eq!(looked_back(&history, (0, now)), [all, all]);
    for minute in 2..20 {
        store(&mut history, &board, now + minute * 60).unwrap();
    }
    assert_eq!(days(&history), 120);
    assert_eq!((sum(&history, 0), looked_back(&history, (0, now))), (all + 8, [all, all]));
}

#[test]
fn a_log_that_a_reader_holds_makes_minutes_wait() {
    let folder = tempfile::tempdir().unwrap();
    let board = board();
    let (mut history, _) = History::open(folder.path(), &board.named.load().counted, 2, BEGAN).unwrap();
    store(&mut history, &board, BEGAN + 60).unwrap();
    let reader = Connection::open(folder.path().join(FILE)).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM counts").unwrap();
    reader.query_row("SELECT count(*) FROM counts", [], |row| row.get::<_, u64>(0)).unwrap();
    // Others write, too.
    let other = Connection::open(folder.path().join(FILE)).unwrap();
    other.execute_batch("CREATE TABLE ballast (bytes BLOB)").unwrap();
    for _ in 0..70 {
        other.execute("INSERT INTO ballast VALUES (zeroblob(1048576))", []).unwrap();
    }
    count(&board, 2);
    let Ok(Kept::Waits(fault)) = store(&mut history, &board, BEGAN + 120) else { panic!("it is held") };
    assert!(matches!(fault.cause, Cause::LogHeld(_)), "{fault}");
    assert!(board.history.log_len() > 64 << 20 && fault.to_string().contains("; end that reader"), "{fault}");
    reader.execute_batch("COMMIT").unwrap();
    count(&board, 3);
    assert_eq!(store(&mut history, &board, BEGAN + 180), Ok(Kept::Stored));
    assert_eq!(rows(&history), [(60, BEGAN, 4), (60, BEGAN + 60, 2), (60, BEGAN + 120, 3)]);
    assert!(board.history.log_len() < 64 << 20);
}
