//! The history of the counters: what was counted in each minute, and, as that ages, in each quarter of an
//! hour, hour and day. And the totals, which continue where the last run of the program left them.
//!
//! It is one SQLite file, which an operator may ask while the node runs. Its tables are in `SCHEMA` below.

pub mod aggregator;
mod aging;
pub mod lookback;
mod schema;
pub mod sources;
mod succession;
pub mod uniques;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use crate::board::{Block, Board};
use crate::limits::{
    HISTORY_AGED_AT_ONCE, HISTORY_BUSY_MAX, HISTORY_IN_MEMORY_LEN_MAX, HISTORY_LEN_MAX, HISTORY_LOG_LEN_MAX,
    HISTORY_READ_WAIT_MAX,
};
use crate::stats::counters::Totals;
use crate::stats::labels::Names;
use crate::stats::uniques::KINDS;

pub use schema::{DAY, MINUTE};
use schema::{SCHEMA, Series, all_series, put_count, put_source, put_total, put_uniques, version};
use sources::Row;
pub use succession::{Lent, Untold};
use uniques::UniquesOfDays;

/// The file in the configured directory.
pub const FILE: &str = "history.sqlite";

/// What earlier runs counted.
#[derive(Debug, Default)]
pub struct Bases {
    /// For each shard.
    pub shards: Vec<Totals>,
    /// For the thread of TCP.
    pub tcp: Totals,
    /// For what was answered in the driver.
    pub xdp: Totals,
    /// For shards that no longer exist.
    pub past: Totals,
    /// Who asked today and yesterday.
    pub uniques: UniquesOfDays,
}

/// The file, and what of it the program needs to have at hand.
#[derive(Debug)]
pub struct History {
    db: Connection,
    /// What SQLite calls the file.
    place: PathBuf,
    is_in_memory: bool,
    /// What zones and addresses were called the last time.
    names: Names,
    /// By where the counter stands in a block.
    series: Vec<Series>,
    /// What each source had counted when it was last stored: shards, TCP, XDP.
    stored: Vec<Totals>,
    /// When that was, in seconds of Unix time.
    stored_at: u64,
    /// The same without a jump of the clock.
    stored_until: u64,
    /// As of when rows have aged: now, but for such a jump, or after a long absence.
    aged_to: u64,
}

impl History {
    /// Opens the history in `dir`, or makes it, for a node whose zones and addresses are `names`, `now` in
    /// seconds of Unix time.
    ///
    /// # Errors
    /// If the directory or the file cannot be written, or is not a history that this program knows.
    pub fn open(dir: &Path, names: &Names, shards: usize, now: u64) -> Result<(Self, Bases), String> {
        fs::create_dir_all(dir).map_err(|error| error.to_string())?;
        Self::new(dir.join(FILE), false, names, shards, now)
    }

    /// A history that ends with the program.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn in_memory(names: &Names, shards: usize, now: u64) -> Result<(Self, Bases), String> {
        let (_filled, place) = memory(None).map_err(|error| error.to_string())?;
        Self::new(place, true, names, shards, now)
    }

    /// A history that ends with the program and begins with what the one before it had, which left `image`.
    ///
    /// # Errors
    /// If there is no memory, or that is not a history that this program knows.
    pub fn in_memory_from(
        image: &[u8],
        names: &Names,
        shards: usize,
        now: u64,
    ) -> Result<(Self, Bases), String> {
        let (_filled, place) = memory(Some(image)).map_err(|error| error.to_string())?;
        Self::new(place, true, names, shards, now)
    }

    fn new(
        place: PathBuf,
        is_in_memory: bool,
        names: &Names,
        shards: usize,
        now: u64,
    ) -> Result<(Self, Bases), String> {
        let db = Connection::open(&place).map_err(|error| error.to_string())?;
        let len_max = if is_in_memory { HISTORY_IN_MEMORY_LEN_MAX } else { HISTORY_LEN_MAX };
        prepare(&db, len_max).map_err(|error| error.to_string())?;
        let version = version(&db).map_err(|error| error.to_string())?;
        if version != SCHEMA.len() {
            return Err(format!("its version is {version}, this program knows {}", SCHEMA.len()));
        }
        let series = all_series(names);
        let mut bases = bases(&db, &series, shards).map_err(|error| error.to_string())?;
        bases.uniques = uniques(&db, (now / DAY).saturating_sub(1)).map_err(|error| error.to_string())?;
        let stored = bases.shards.iter().chain([&bases.tcp, &bases.xdp]).cloned().collect();
        let newest: Option<u64> = db
            .query_row("SELECT max(start) FROM counts", [], |row| row.get(0))
            .map_err(|error| error.to_string())?;
        let aged_to = newest.unwrap_or(now).min(now);
        Ok((
            Self {
                db,
                place,
                is_in_memory,
                names: names.clone(),
                series,
                stored,
                stored_at: now,
                stored_until: now,
                aged_to,
            },
            bases,
        ))
    }

    /// Up to when everything is stored. A clock that has jumped ahead is not believed at once.
    #[must_use]
    pub const fn stored_until(&self) -> u64 {
        self.stored_until
    }

    /// Stores what was counted since the last time, as of the minute in which that was, with `sources` and
    /// `uniques`, and rolls up what is old enough at `now`. All of it or, with an error, nothing; then the
    /// next time stores it too. Where the history has all the room that it may have, it rolls up more.
    ///
    /// Time moves on by at most [`HISTORY_AGED_AT_ONCE`]: what a wrong clock makes old is gone for good, and
    /// after a long sleep there is much to do.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn store(
        &mut self,
        board: &Board,
        sources: &[Row<'_>],
        uniques: &UniquesOfDays,
        now: u64,
    ) -> rusqlite::Result<()> {
        match self.try_store(board, sources, uniques, now) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) && self.is_at_bound()? => {
                aging::make_room(&mut self.db)?;
                self.try_store(board, sources, uniques, now)
            }
            outcome => outcome,
        }
    }

    /// Whether it is our own bound on its size that is reached, rather than the disk's.
    fn is_at_bound(&self) -> rusqlite::Result<bool> {
        let pragma =
            |name: &str| self.db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, u64>(0));
        Ok(pragma("page_count")? >= pragma("max_page_count")?)
    }

    fn try_store(
        &mut self,
        board: &Board,
        sources: &[Row<'_>],
        uniques: &UniquesOfDays,
        now: u64,
    ) -> rusqlite::Result<()> {
        self.rename(board)?;
        let at_most = |before: u64| now.min(before + HISTORY_AGED_AT_ONCE.as_secs());
        let (stored_until, aged_to) = (at_most(self.stored_until), at_most(self.aged_to));
        let totals: Vec<Totals> = board.blocks().map(Block::read).collect();
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut moved = Totals::default();
        for (index, (totals, stored)) in totals.iter().zip(&self.stored).enumerate() {
            let source = source(index, board.shards.len());
            for (at, (&total, &before)) in totals.counts().iter().zip(stored.counts()).enumerate() {
                if total > before {
                    moved.add(at, total - before);
                    put_total(&transaction, &source, &self.series[at], total)?;
                }
            }
        }
        let start = self.stored_at - self.stored_at % MINUTE;
        for (series, &count) in self.series.iter().zip(moved.counts()) {
            if count > 0 && series.is_kept {
                put_count(&transaction, (MINUTE, start), series.family, &series.labels, count)?;
            }
        }
        sources.iter().try_for_each(|row| put_source(&transaction, start, row))?;
        uniques.changed().try_for_each(|(day, sketches)| put_uniques(&transaction, day, sketches))?;
        aging::roll_up(&transaction, aged_to)?;
        transaction.commit()?;
        board.history.written(now);
        (self.stored, self.stored_at) = (totals, now);
        (self.stored_until, self.aged_to) = (stored_until, aged_to);
        Ok(())
    }

    /// Learns what zones are called that came since the last time. One that earlier runs counted
    /// continues from there.
    fn rename(&mut self, board: &Board) -> rusqlite::Result<()> {
        let named = board.named.load_full();
        if named.counted == self.names {
            return Ok(());
        }
        let series = all_series(&named.counted);
        let mut bases = bases(&self.db, &series, board.shards.len())?;
        let blocks = bases.shards.iter_mut().chain([&mut bases.tcp, &mut bases.xdp, &mut bases.past]);
        for totals in blocks {
            let mut new = Totals::default();
            for (at, &total) in totals.counts().iter().enumerate() {
                if series[at].labels != self.series[at].labels {
                    new.add(at, total);
                }
            }
            *totals = new;
        }
        let known = bases.shards.iter().chain([&bases.tcp, &bases.xdp]);
        for ((block, base), stored) in board.blocks().zip(known).zip(&mut self.stored) {
            block.add_to_base(base);
            *stored += base;
        }
        board.past.rcu(|past| {
            let mut past = Totals::clone(past);
            past += &bases.past;
            past
        });
        (self.series, self.names) = (series, named.counted.clone());
        Ok(())
    }

    /// Ages at once to `now`, however far that is.
    #[cfg(test)]
    pub(super) const fn trust(&mut self, now: u64) {
        (self.stored_until, self.aged_to) = (now, now);
    }

    /// Makes every store fail, or none.
    #[cfg(test)]
    pub(super) fn forbid(&self, is_forbidden: bool) {
        self.db.pragma_update(None, "query_only", is_forbidden).expect("a pragma that there is");
    }

    /// A way to read it while the thread that stores does.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn reader(&self) -> rusqlite::Result<Stored> {
        let db = Connection::open(&self.place)?;
        db.busy_timeout(HISTORY_READ_WAIT_MAX)?;
        sort_in_memory(&db)?;
        db.pragma_update(None, "query_only", true)?;
        Ok(Stored(db))
    }
}

/// The history for those who only read.
#[derive(Debug)]
pub struct Stored(Connection);

impl Stored {
    /// What to ask.
    pub(super) const fn connection(&self) -> &Connection {
        &self.0
    }
}

/// A database in memory, filled from `image` if there is one, and what SQLite calls it. The connections of
/// this process share it by that name, as long as there is one.
fn memory(image: Option<&[u8]>) -> rusqlite::Result<(Connection, PathBuf)> {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let place = format!("file:/history-{}?vfs=memdb", MADE.fetch_add(1, Ordering::Relaxed));
    let mut db = Connection::open(&place)?;
    if let Some(image) = image {
        schema::fill(&mut db, image)?;
    }
    Ok((db, place.into()))
}

/// Now, in seconds of Unix time.
#[must_use]
pub fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
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
    // Even where nothing changes: whether we may write is known now rather than in a minute.
    transaction.pragma_update(None, "user_version", version.max(SCHEMA.len()))?;
    transaction.commit()
}

/// What is grouped and sorted has a row for each counter and step of time, and the process may open no file
/// elsewhere for it.
fn sort_in_memory(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_update(None, "temp_store", "MEMORY")
}

/// What the file calls the thread of this index: shards first, then the others.
fn source(index: usize, shards: usize) -> String {
    let beside = index.checked_sub(shards).and_then(|place| ["tcp", "xdp"].get(place));
    beside.map_or_else(|| format!("shard {index}"), |name| (*name).to_owned())
}

fn bases(db: &Connection, series: &[Series], shards: usize) -> rusqlite::Result<Bases> {
    // Of values that share the name `other` the last is the one that counts.
    let places: HashMap<(&str, &str), usize> =
        series.iter().enumerate().map(|(at, series)| ((series.family, series.labels.as_str()), at)).collect();
    let sources: HashMap<String, usize> =
        (0..shards + 2).map(|index| (source(index, shards), index)).collect();
    let mut bases = Bases { shards: vec![Totals::default(); shards], ..Bases::default() };
    let mut query =
        db.prepare("SELECT source, family, labels, total FROM totals JOIN series ON id = series")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (family, labels): (String, String) = (row.get(1)?, row.get(2)?);
        // A zone or an address that is no more has nothing to go on.
        let Some(&at) = places.get(&(family.as_str(), labels.as_str())) else { continue };
        let totals = match sources.get(&row.get::<_, String>(0)?) {
            Some(&index) if index == shards => &mut bases.tcp,
            Some(&index) if index > shards => &mut bases.xdp,
            Some(&index) => &mut bases.shards[index],
            None => &mut bases.past,
        };
        totals.add(at, row.get(3)?);
    }
    Ok(bases)
}

/// The sketches of unique sources that were stored of `day` and later, in days of Unix time.
fn uniques(db: &Connection, day: u64) -> rusqlite::Result<UniquesOfDays> {
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

#[cfg(test)]
mod tests;
