//! What becomes of minutes while the file cannot be used, and of counters over the end of a run.

use super::*;

/// What is told of a directory that has `bytes` for a file, and the files that it has then.
fn damaged(bytes: impl FnOnce(&Path)) -> (Fault, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    bytes(&folder.path().join(FILE));
    assert!(examine(folder.path()).is_some_and(|said| said.contains("corrupted")));
    let (mut history, bases) = History::open(folder.path(), &Names::default(), 2, BEGAN).unwrap();
    assert_eq!(bases.tcp.total.sum(QUERIES), 0);
    let board = board();
    assert_eq!(store(&mut history, &board, BEGAN + 60), Ok(Kept::Stored));
    let fault = history.take_news().unwrap();
    drop(history);
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    (fault, names.map(|name| name.into_string().unwrap()).collect())
}

#[test]
fn a_damaged_file_is_moved_aside() {
    let aside = format!("{FILE}.damaged-{BEGAN}");
    let no_database = |file: &Path| fs::write(file, "not a database, but long".repeat(500)).unwrap();
    let (fault, files) = damaged(no_database);
    assert!(fault.to_string().contains(&format!("{aside}, and a new history begins")), "{fault}");
    assert!(files.contains(&aside) && files.contains(&FILE.to_owned()), "{files:?}");
}

#[test]
fn one_that_is_damaged_while_the_node_runs_costs_no_minute() {
    let folder = tempfile::tempdir().unwrap();
    let board = board();
    let (mut history, _) = History::open(folder.path(), &board.named.load().counted, 2, BEGAN).unwrap();
    assert_eq!(store(&mut history, &board, BEGAN + 60), Ok(Kept::Stored));
    history.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let file = folder.path().join(FILE);
    let len = fs::metadata(&file).unwrap().len();
    let pages = fs::OpenOptions::new().write(true).open(&file).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&pages, &vec![0xA5; len as usize - 4096], 4096).unwrap();
    history.connection().execute_batch("PRAGMA shrink_memory").unwrap();
    count(&board, 5);
    let Ok(Kept::Waits(fault)) = store(&mut history, &board, BEGAN + 120) else { panic!("it is damaged") };
    assert!(matches!(fault.cause, Cause::MovedAside(_)), "{fault}");
    count(&board, 6);
    history.attend(&board, &mut UniquesOfDays::default(), BEGAN + 180);
    assert_eq!(store(&mut history, &board, BEGAN + 180), Ok(Kept::Stored));
    assert_eq!(rows(&history), [(60, BEGAN + 60, 5), (60, BEGAN + 120, 6)]);
    assert!(folder.path().join(format!("{FILE}.damaged-{}", BEGAN + 120)).exists());
    assert_eq!(board.read().total.sum(QUERIES), 19);
    history.end().unwrap();
    drop(history);
    let (_, bases) = History::open(folder.path(), &board.named.load().counted, 2, BEGAN).unwrap();
    let known: u64 = bases.blocks().map(|base| base.total.sum(QUERIES)).sum();
    assert_eq!(known, 19, "totals are in the new file");
}

#[test]
fn minutes_that_could_not_be_stored_wait_and_are_stored_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let board = board();
    let (mut history, _) = History::open(folder.path(), &board.named.load().counted, 2, BEGAN).unwrap();
    store(&mut history, &board, BEGAN + 60).unwrap();
    history.forbid(true);
    for minute in 2..=4 {
        count(&board, u32::try_from(minute).unwrap());
        let Ok(Kept::Waits(fault)) = store(&mut history, &board, BEGAN + minute * 60) else {
            panic!("it cannot be written");
        };
        assert!(fault.to_string().starts_with("attempt to write a readonly database; "), "{fault}");
        assert!(board.history.waits());
    }
    assert_eq!(sum(&history, 0), 8, "readers have what is stored");
    assert_eq!(history.stored_until(), BEGAN + 240, "a test's clock");
    history.forbid(false);
    count(&board, 5);
    assert_eq!(store(&mut history, &board, BEGAN + 300), Ok(Kept::Stored));
    assert!(!board.history.waits());
    let of_minutes = (2..=5).map(|minute| (60, BEGAN + (minute - 1) * 60, minute));
    assert_eq!(rows(&history), [(60, BEGAN, 4)].into_iter().chain(of_minutes).collect::<Vec<_>>());
    assert_eq!(sum(&history, 0), board.read().total.sum(QUERIES));
}

#[test]
fn a_long_outage_is_rolled_up_as_it_waits() {
    let folder = tempfile::tempdir().unwrap();
    let board = board();
    let (mut history, _) = History::open(folder.path(), &board.named.load().counted, 2, BEGAN).unwrap();
    history.forbid(true);
    let began = BEGAN - BEGAN % DAY + DAY;
    history.stored_at = began;
    let minutes = 4 * 24 * 60;
    for minute in 1..=minutes {
        count(&board, 1);
        assert!(matches!(store(&mut history, &board, began + minute * 60), Ok(Kept::Waits(_))));
    }
    history.forbid(false);
    assert_eq!(store(&mut history, &board, began + minutes * 60 + 60), Ok(Kept::Stored));
    assert_eq!(sum(&history, 0), 8 + minutes);
    for day in 0..4 {
        let query = "SELECT sum(count) FROM history WHERE family = ? AND start >= ? AND start < ?";
        let (from, to) = (began + day * DAY, began + (day + 1) * DAY);
        let of_day: u64 =
            history.connection().query_row(query, params![QUERIES.name, from, to], |row| row.get(0)).unwrap();
        assert_eq!(of_day, 1440 + if day == 0 { 8 } else { 0 }, "day {day}");
    }
    let of = |resolution| rows(&history).iter().filter(|row| row.0 == resolution).count();
    assert!(of(60) >= 2880 && of(900) >= 96, "{} minutes, {} quarters", of(60), of(900));
}

#[test]
fn a_directory_that_can_be_used_later_gets_what_waited() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("past");
    let first = board();
    let (mut history, _) = History::open(&dir, &first.named.load().counted, 2, BEGAN).unwrap();
    store(&mut history, &first, BEGAN + 60).unwrap();
    history.end().unwrap();
    drop(history);
    // A file is in its place when the next run begins.
    let away = folder.path().join("away");
    fs::rename(&dir, &away).unwrap();
    fs::write(&dir, "").unwrap();
    let second = board();
    let names = &second.named.load().counted;
    let legacy = Legacy::default();
    let begun = History::begin(Some(&dir), legacy, names, 2, BEGAN + 120, || Ok(()));
    let (mut history, bases) = begun.unwrap();
    assert_eq!(history.trouble().unwrap().cause, Cause::NotWritable);
    assert_eq!((bases.tcp.total.sum(QUERIES), history.shown_place()), (0, "in memory".to_owned()));
    let mut reader = history.reader().unwrap();
    let mut uniques = UniquesOfDays::default();
    history.attend(&second, &mut uniques, BEGAN + 180);
    assert!(matches!(store(&mut history, &second, BEGAN + 180), Ok(Kept::Waits(_))));
    fs::remove_file(&dir).unwrap();
    fs::rename(&away, &dir).unwrap();
    count(&second, 2);
    history.attend(&second, &mut uniques, BEGAN + 240);
    assert_eq!(store(&mut history, &second, BEGAN + 240), Ok(Kept::Stored));
    assert_eq!(rows(&history), [(60, BEGAN, 4), (60, BEGAN + 120, 4), (60, BEGAN + 180, 2)]);
    // The life of the node has all; its counters go on from where they were.
    assert_eq!(second.read().total.sum(QUERIES), 8 + 8 + 2);
    assert_eq!(second.read_exported().total.sum(QUERIES), 8 + 2);
    assert!(reader.follow() && !reader.follow());
    let query = "SELECT count(*) FROM counts WHERE resolution = 60";
    assert!(reader.connection().query_row(query, [], |row| row.get::<_, u64>(0)).unwrap() > 0);
    assert_eq!(*second.history.place(), dir.join(FILE).display().to_string());
    // And so do those of the next run.
    history.end().unwrap();
    drop(history);
    let (_, bases) = History::open(&dir, names, 2, BEGAN).unwrap();
    let known = |of: fn(&Base) -> Totals| bases.blocks().map(|base| of(base).sum(QUERIES)).sum::<u64>();
    assert_eq!((known(|base| base.total.clone()), known(Base::exported)), (18, 10));
}

#[test]
fn counters_go_on_exactly_or_begin_at_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let names = board().named.load().counted.clone();
    // A run that counts 8 queries: what it goes on from, of its life and in /metrics.
    let run = |ends: bool| {
        let board = board();
        let (mut history, bases) = History::open(folder.path(), &names, 2, BEGAN).unwrap();
        board.blocks().zip(bases.blocks()).for_each(|(block, base)| block.add_to_base(base));
        board.past.store(Arc::new(bases.past));
        store(&mut history, &board, BEGAN + 60).unwrap();
        if ends {
            history.end().unwrap();
        }
        [board.read(), board.read_exported()].map(|reading| reading.total.sum(QUERIES) - 8)
    };
    assert_eq!(run(true), [0, 0]);
    assert_eq!(run(true), [8, 8]);
    // One that is killed: the next begins at 0, and the one after that goes on from there.
    assert_eq!(run(false), [16, 16]);
    assert_eq!(run(true), [24, 0]);
    assert_eq!(run(true), [32, 8]);
    assert_eq!(run(false), [40, 16]);
    assert_eq!(run(false), [48, 0]);
    assert_eq!(run(true), [56, 0]);
}
