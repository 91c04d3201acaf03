//! One database of the history: the file, or one in memory.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::aging;
use super::bases::{Bases, FILE};
use super::fault::{Cause, Fault, with_suffix};
use super::schema::{
    self, APPLICATION, DAY, MINUTE, SCHEMA, Series, put_count, put_late_count, put_series, put_source,
    put_total, put_uniques, set_mark, version,
};
use super::sources::Row;
use super::uniques::UniquesOfDays;
use crate::board::Base;
use crate::limits::{
    HISTORY_AGED_AT_ONCE, HISTORY_BUSY_MAX, HISTORY_HELD_LOG_LEN_MAX, HISTORY_LEN_MAX, HISTORY_LOG_LEN_MAX,
};
use crate::stats::counters::Totals;
use crate::stats::uniques::KINDS;

/// The mark of a run that ended in order.
const CLEAN: &str = "clean";

/// A database, and what the program knows to be in it.
#[derive(Debug)]
pub(super) struct Db {
    pub(super) connection: Connection,
    /// What SQLite calls it.
    pub(super) place: PathBuf,
    /// What its totals of each block are: shards, TCP, XDP.
    totals: Vec<Totals>,
    /// As of when rows have aged: now, but for a jump of the clock, or after a long absence.
    aged_to: u64,
    /// Whether it was empty when it was opened, of totals too.
    is_new: bool,
}

/// What is to be stored at one time.
#[derive(Debug)]
pub(super) struct Minute<'a> {
    /// When it began.
    pub(super) start: u64,
    /// When it is over.
    pub(super) now: u64,
    /// By where a counter stands in a block.
    pub(super) series: &'a [Series],
    /// What was counted in it.
    pub(super) moved: &'a Totals,
    /// All that each block has counted, and what of it /metrics leaves out.
    pub(super) blocks: &'a [(Totals, Totals)],
    /// What threads counted that have ended.
    pub(super) past: &'a Base,
    pub(super) sources: &'a [Row<'a>],
    pub(super) uniques: &'a UniquesOfDays,
}

impl Db {
    /// Opens what SQLite calls `place`, for at most `len_max` bytes.
    pub(super) fn open(place: &Path, len_max: u64, now: u64) -> Result<Self, Fault> {
        let of_it = |error: rusqlite::Error| Fault::of(&error, place);
        let connection = Connection::open(place).map_err(of_it)?;
        known(&connection, place)?;
        prepare(&connection, len_max).map_err(of_it)?;
        let newest = "SELECT max((SELECT max(start) FROM counts WHERE resolution = column1))
                        FROM (VALUES (60), (900), (3600), (86400))";
        let newest: Option<u64> = connection.query_row(newest, [], |row| row.get(0)).map_err(of_it)?;
        let is_new = "SELECT NOT EXISTS (SELECT 1 FROM totals)";
        let is_new = connection.query_row(is_new, [], |row| row.get(0)).map_err(of_it)?;
        let aged_to = newest.unwrap_or(now).min(now);
        Ok(Self { connection, place: place.to_owned(), totals: Vec::new(), aged_to, is_new })
    }

    /// The file in `dir`. One that is corrupted is moved aside, and a new one begins; then why is told, too.
    pub(super) fn in_dir(dir: &Path, now: u64) -> Result<(Self, Option<Fault>), Fault> {
        let file = dir.join(FILE);
        match Self::open(&file, HISTORY_LEN_MAX, now) {
            Err(fault) if fault.cause == Cause::Damaged => {
                let aside = move_aside(&file, now, &fault)?;
                Ok((Self::open(&file, HISTORY_LEN_MAX, now)?, Some(aside)))
            }
            opened => Ok((opened?, None)),
        }
    }

    /// Begins a run, which counts on from what is returned. Counters continue exactly where the last run has
    /// ended in order and nobody has counted since, unless the run began before (`is_late`); else /metrics
    /// begins at 0. It is on the disk when this returns: a host that loses its power must find it there.
    pub(super) fn begin(
        &mut self,
        series: &[Series],
        shards: usize,
        is_late: bool,
        now: u64,
    ) -> rusqlite::Result<Bases> {
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let was_clean = transaction.execute("DELETE FROM marks WHERE name = ?", [CLEAN])? > 0;
        if !was_clean || is_late {
            transaction.execute("UPDATE totals SET left_out = total", [])?;
        }
        transaction.commit()?;
        self.connection.pragma_update(None, "synchronous", "NORMAL")?;
        let mut bases = bases(&self.connection, series, shards)?;
        bases.uniques = uniques(&self.connection, (now / DAY).saturating_sub(1))?;
        self.totals = bases.blocks().map(|base| base.total.clone()).collect();
        Ok(bases)
    }

    /// Marks that the run has ended in order.
    pub(super) fn end(&self) -> rusqlite::Result<()> {
        set_mark(&self.connection, CLEAN, 1)
    }

    /// Takes that back: the run continues.
    pub(super) fn go_on(&self) -> rusqlite::Result<()> {
        self.connection.execute("DELETE FROM marks WHERE name = ?", [CLEAN]).map(drop)
    }

    /// What is known of zones that have got their names since, which continues from there.
    pub(super) fn bases(&self, series: &[Series], shards: usize) -> rusqlite::Result<Bases> {
        bases(&self.connection, series, shards)
    }

    /// What the totals of a block were when they were last stored or read.
    pub(super) fn totals(&self, block: usize) -> &Totals {
        &self.totals[block]
    }

    /// Notes that a block continues from so much more.
    pub(super) fn add_totals(&mut self, block: usize, more: &Totals) {
        self.totals[block] += more;
    }

    /// Stores a minute. All of it or, with an error, nothing. Where the history has all the room that it may
    /// have, it rolls up more.
    pub(super) fn put(&mut self, minute: &Minute<'_>) -> rusqlite::Result<()> {
        self.with_room(|db| db.try_put(minute))
    }

    /// Takes over all that another database has, each minute as it is. All of it or, with an error, nothing.
    pub(super) fn take(&mut self, from: &Self) -> rusqlite::Result<()> {
        self.with_room(|db| {
            let transaction = db.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let days_until = aging::days_until(&transaction, db.aged_to)?;
            take(&transaction, &from.connection, days_until)?;
            transaction.commit()
        })
    }

    fn with_room(&mut self, put: impl Fn(&mut Self) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
        match put(self) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) && self.is_at_bound()? => {
                aging::make_room(&mut self.connection)?;
                put(self)
            }
            outcome => outcome,
        }
    }

    /// Whether it is our own bound on its size that is reached, rather than the disk's.
    fn is_at_bound(&self) -> rusqlite::Result<bool> {
        let pragma =
            |name: &str| self.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, u64>(0));
        Ok(pragma("page_count")? >= pragma("max_page_count")?)
    }

    fn try_put(&mut self, minute: &Minute<'_>) -> rusqlite::Result<()> {
        let Minute { start, now, series, moved, blocks, past, sources, uniques } = *minute;
        let aged_to = now.min(self.aged_to + HISTORY_AGED_AT_ONCE.as_secs());
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let days_until = aging::days_until(&transaction, now)?;
        let shards = blocks.len() - Bases::blocks_of(0);
        for (index, ((total, left_out), before)) in blocks.iter().zip(&self.totals).enumerate() {
            put_totals(&transaction, &source(index, shards), series, (total, left_out), before)?;
        }
        if self.is_new {
            // No thread of another run has a row of its own.
            put_totals(&transaction, PAST, series, (&past.total, &past.left_out), &Totals::default())?;
        }
        let start = start - start % MINUTE;
        for (series, &count) in series.iter().zip(moved.counts()) {
            if count > 0 && series.is_kept {
                put_series(&transaction, series.family, &series.labels)?;
                let at = (MINUTE, start);
                put_late_count(&transaction, at, series.family, &series.labels, count, days_until)?;
            }
        }
        sources.iter().try_for_each(|row| put_source(&transaction, start, row, days_until))?;
        uniques.changed().try_for_each(|(day, sketches)| put_uniques(&transaction, day, sketches))?;
        aging::roll_up(&transaction, aged_to, days_until)?;
        transaction.commit()?;
        self.totals = blocks.iter().map(|(total, _)| total.clone()).collect();
        (self.aged_to, self.is_new) = (aged_to, false);
        Ok(())
    }

    /// Bytes of the log. Where somebody who reads keeps it large, an error: the next minute would make it
    /// larger still.
    pub(super) fn log_len(&self) -> Result<u64, Fault> {
        let log = with_suffix(&self.place, "-wal");
        let len = || fs::metadata(&log).map_or(0, |file| file.len());
        if len() <= HISTORY_HELD_LOG_LEN_MAX {
            return Ok(len());
        }
        // Without a wait: whoever reads for hours reads on.
        let of_it = |error: rusqlite::Error| Fault::of(&error, &self.place);
        self.connection.busy_timeout(std::time::Duration::ZERO).map_err(of_it)?;
        let is_held = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))
            .map_err(of_it);
        self.connection.busy_timeout(HISTORY_BUSY_MAX).map_err(of_it)?;
        if is_held? { Err(Fault::new(Cause::LogHeld(len()), "its log is held")) } else { Ok(len()) }
    }

    /// Ages at once to `now`, however far that is.
    #[cfg(test)]
    pub(super) const fn trust(&mut self, now: u64) {
        self.aged_to = now;
    }
}

/// What the file calls threads of earlier runs, where it never knew them by themselves.
const PAST: &str = "past";

/// A database in memory, filled from `image` if there is one. The connections of this process share it by its
/// name, as long as there is one.
pub(super) fn in_memory(image: Option<&[u8]>, len_max: u64, now: u64, blocks: usize) -> Result<Db, Fault> {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let place = format!("file:/history-{}?vfs=memdb", MADE.fetch_add(1, Ordering::Relaxed));
    let of_it = |error: rusqlite::Error| Fault::of(&error, Path::new(""));
    let mut filled = Connection::open(&place).map_err(of_it)?;
    if let Some(image) = image {
        schema::fill(&mut filled, image).map_err(of_it)?;
    }
    let db = Db::open(Path::new(&place), len_max, now)?;
    Ok(Db { totals: vec![Totals::default(); blocks], ..db })
}

/// What a file says that cannot be opened to be written: what earlier runs counted, if anybody may read it.
/// Nobody who writes it may be there.
pub(super) fn peek(dir: &Path, series: &[Series], shards: usize, now: u64) -> Option<Bases> {
    let db = open_immutable(&dir.join(FILE))?;
    (version(&db).ok()? == SCHEMA.len()).then_some(())?;
    let mut bases = bases(&db, series, shards).ok()?;
    // It cannot be marked that somebody counts on from there.
    for base in bases.blocks_mut() {
        base.left_out.clone_from(&base.total);
    }
    bases.uniques = uniques(&db, (now / DAY).saturating_sub(1)).ok()?;
    Some(bases)
}

/// Opens a file to read it and nothing else: nothing is made next to it.
pub(super) fn open_immutable(file: &Path) -> Option<Connection> {
    let escaped: String = file.to_str()?.chars().map(escaped).collect();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags).ok()
}

/// A character of a path in a URI.
fn escaped(c: char) -> String {
    if "%?#".contains(c) { format!("%{:02x}", c as u32) } else { c.to_string() }
}

/// What is wrong with a file, as far as reading tells.
pub(super) fn wrong(file: &Path) -> Option<Fault> {
    if !file.exists() {
        return None;
    }
    let db = open_immutable(file)?;
    known(&db, file).err().or_else(|| {
        let check: rusqlite::Result<u64> =
            db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0));
        check.err().map(|error| Fault::of(&error, file))
    })
}

/// Whether this program knows what a database is.
fn known(db: &Connection, place: &Path) -> Result<(), Fault> {
    let of_it = |error: rusqlite::Error| Fault::of(&error, place);
    let found = version(db).map_err(of_it)?;
    let application: u32 = db.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(of_it)?;
    if ![0, APPLICATION].contains(&application) {
        return Err(Fault::new(Cause::Foreign, "it is a database of another program"));
    }
    if found > SCHEMA.len() {
        let error = format!("its version is {found}, this program knows {}", SCHEMA.len());
        return Err(Fault::new(Cause::Newer, error));
    }
    Ok(())
}

/// Moves a corrupted file out of the way, with what SQLite keeps next to it.
pub(super) fn move_aside(file: &Path, now: u64, fault: &Fault) -> Result<Fault, Fault> {
    let aside = with_suffix(file, &format!(".damaged-{now}"));
    for suffix in ["-wal", "-shm", ""] {
        match fs::rename(with_suffix(file, suffix), with_suffix(&aside, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound || suffix.is_empty() => {
                return Err(Fault::of_system(&error));
            }
            _ => {}
        }
    }
    Ok(fault.moved_aside(aside))
}

/// Makes the tables if there are none, and sets what a connection has for itself.
fn prepare(db: &Connection, len_max: u64) -> rusqlite::Result<()> {
    db.busy_timeout(HISTORY_BUSY_MAX)?;
    sort_in_memory(db)?;
    // With a log written ahead people may read while we write, and a killed program loses nothing that it had
    // stored. Only a host that loses its power may lose the last minutes, for want of an fsync in each.
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    // The log does not stay as long as somebody who reads for hours has made it.
    db.pragma_update_and_check(None, "journal_size_limit", HISTORY_LOG_LEN_MAX, |_| Ok(()))?;
    // A series is there before its counts. To check that would cost a walk through all counts for each series
    // that is forgotten.
    db.pragma_update(None, "foreign_keys", false)?;
    let page_len: u64 = db.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    db.pragma_update_and_check(None, "max_page_count", len_max / page_len, |_| Ok(()))?;
    let transaction = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    let version = version(&transaction)?;
    for step in SCHEMA.iter().skip(version) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    // Even where nothing changes: whether we may write is known now rather than in a minute.
    transaction.pragma_update(None, "user_version", version.max(SCHEMA.len()))?;
    transaction.commit()
}

/// What is grouped and sorted has a row for each counter and step of time, and the process may open no file
/// elsewhere for it.
pub(super) fn sort_in_memory(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "temp_store", "MEMORY")
}

/// What the file calls the thread of this index: shards first, then the others.
fn source(index: usize, shards: usize) -> String {
    let beside = index.checked_sub(shards).and_then(|place| ["tcp", "xdp", "workers"].get(place));
    beside.map_or_else(|| format!("shard {index}"), |name| (*name).to_owned())
}

/// Writes the totals of one source that are not what they were.
fn put_totals(
    transaction: &Transaction<'_>,
    source: &str,
    series: &[Series],
    (total, left_out): (&Totals, &Totals),
    before: &Totals,
) -> rusqlite::Result<()> {
    for (at, (series, &now)) in series.iter().zip(total.counts()).enumerate() {
        if now > before.get(at) {
            put_total(transaction, source, series, (now, left_out.get(at)))?;
        }
    }
    Ok(())
}

/// Adds all that `from` has to the database of `transaction`: each minute to its own.
fn take(transaction: &Transaction<'_>, from: &Connection, days_until: u64) -> rusqlite::Result<()> {
    let mut counts = from.prepare("SELECT resolution, start, family, labels, count FROM history")?;
    let mut rows = counts.query([])?;
    while let Some(row) = rows.next()? {
        let (family, labels): (String, String) = (row.get(2)?, row.get(3)?);
        put_series(transaction, &family, &labels)?;
        let at = (row.get(0)?, row.get(1)?);
        if at.0 == DAY {
            put_count(transaction, at, &family, &labels, row.get(4)?)?;
        } else {
            put_late_count(transaction, at, &family, &labels, row.get(4)?, days_until)?;
        }
    }
    let mut names = from.prepare("SELECT label, value, name FROM names")?;
    let mut rows = names.query([])?;
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO names VALUES (?, ?, ?)")?;
    while let Some(row) = rows.next()? {
        put.execute([row.get::<_, String>(0)?, row.get(1)?, row.get(2)?])?;
    }
    let mut uniques = from.prepare("SELECT day, kind, sources, registers FROM uniques")?;
    let mut rows = uniques.query([])?;
    let mut put = transaction.prepare_cached(
        "INSERT INTO uniques VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
            SET registers = iif(excluded.sources > sources, excluded.registers, registers),
                sources = max(sources, excluded.sources)",
    )?;
    while let Some(row) = rows.next()? {
        let (day, kind, sources): (u64, String, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        put.execute(rusqlite::params![day, kind, sources, row.get::<_, Option<Vec<u8>>>(3)?])?;
    }
    Ok(())
}

fn bases(db: &Connection, series: &[Series], shards: usize) -> rusqlite::Result<Bases> {
    // Of values that share the name `other` the last is the one that counts.
    let places: HashMap<(&str, &str), usize> =
        series.iter().enumerate().map(|(at, series)| ((series.family, series.labels.as_str()), at)).collect();
    let sources: HashMap<String, usize> =
        (0..Bases::blocks_of(shards)).map(|index| (source(index, shards), index)).collect();
    let mut bases = Bases { shards: vec![Base::default(); shards], ..Bases::default() };
    let mut query =
        db.prepare("SELECT source, family, labels, total, left_out FROM totals JOIN series ON id = series")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (family, labels): (String, String) = (row.get(1)?, row.get(2)?);
        // A zone or an address that is no more has nothing to go on.
        let Some(&at) = places.get(&(family.as_str(), labels.as_str())) else { continue };
        let base = match sources.get(&row.get::<_, String>(0)?) {
            Some(&index) => bases.blocks_mut().nth(index).expect("there is a base for each block"),
            None => &mut bases.past,
        };
        base.total.add(at, row.get(3)?);
        base.left_out.add(at, row.get(4)?);
    }
    Ok(bases)
}

/// The sketches of unique sources that were stored of `day` and later, in days of Unix time.
pub(super) fn uniques(db: &Connection, day: u64) -> rusqlite::Result<UniquesOfDays> {
    let mut found = UniquesOfDays::default();
    let mut query =
        db.prepare("SELECT day, kind, registers FROM uniques WHERE day >= ? AND registers NOT NULL")?;
    let mut rows = query.query([day * DAY])?;
    while let Some(row) = rows.next()? {
        let (start, kind): (u64, String) = (row.get(0)?, row.get(1)?);
        if let Some(kind) = KINDS.iter().position(|known| *known == kind) {
            found.of(start / DAY)[kind].merge(row.get_ref(2)?.as_blob().unwrap_or_default());
        }
    }
    found.stored();
    Ok(found)
}
