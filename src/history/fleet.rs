//! The history of a fleet: one file like a node's, with what all nodes counted together in the same tables,
//! and what each node has counted in all, and when it was heard. So whatever is made of a node's
//! history can be made of a fleet's.
//!
//! A minute counts once, whatever a carrier repeats: by node, epoch of its numbers, and number. One that is
//! late counts where it belongs. What never comes is missing: it is told ([`coverage`]), not guessed.

pub mod coverage;
pub mod message;
mod runs;
mod store;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rusqlite::Connection;

use super::compact::Row;
use super::db::Db;
use super::fault::Fault;
use super::schema::all_series;
use super::uniques::Sketches;
use super::{DAY, Lock, MINUTE, Stored, make_dir};
use crate::board::Base;
use crate::limits::{FLEET_CLOCK_OFF_MAX, FLEET_HISTORY_LEN_MAX, FLEET_MINUTE_AGE_MAX, FLEET_REPORT_LEN_MAX};
use crate::stats::labels::Names;
use crate::stats::uniques::KINDS;
use message::{OfMinute, OfSketches};

/// The file in the directory of a fleet's history.
pub const FILE: &str = "fleet.sqlite";

/// What a fleet's history has besides the tables of a node's.
const TABLES: &str = "
    -- The nodes that were heard: where each is, from when to when its minutes are, when it was heard last and
    -- by how much its clock is ahead; what it says of itself, and when it said so.
    CREATE TABLE IF NOT EXISTS fleet_nodes (
        node TEXT PRIMARY KEY,
        colo TEXT NOT NULL,
        began INTEGER NOT NULL,
        until INTEGER NOT NULL,
        heard INTEGER NOT NULL,
        ahead INTEGER NOT NULL,
        report TEXT,
        reported INTEGER
    ) STRICT, WITHOUT ROWID;
    -- Which numbers of minutes were heard, by node and epoch: runs such as '7-9 11-11'.
    CREATE TABLE IF NOT EXISTS fleet_heard (
        node TEXT NOT NULL,
        epoch TEXT NOT NULL,
        runs TEXT NOT NULL,
        heard INTEGER NOT NULL,
        PRIMARY KEY (node, epoch)
    ) STRICT, WITHOUT ROWID;
    -- How many seconds of a quarter of an hour, or of a day, a node has accounted for, and its queries in it.
    CREATE TABLE IF NOT EXISTS fleet_minutes (
        resolution INTEGER NOT NULL,
        start INTEGER NOT NULL,
        node TEXT NOT NULL,
        seconds INTEGER NOT NULL,
        queries INTEGER NOT NULL,
        PRIMARY KEY (resolution, start, node)
    ) STRICT, WITHOUT ROWID;
";

/// What a node said, and when that arrived, in seconds of Unix time.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Who said it: the carrier knows, as nobody may speak for another.
    pub node: String,
    /// When it arrived: by one clock for all nodes.
    pub arrived: u64,
    /// What it is.
    pub said: Said,
}

/// What a node says.
#[derive(Clone, Debug)]
pub enum Said {
    /// What it counted in a minute, with what was counted.
    Minute(Box<OfMinute>, Vec<Row>),
    /// Who asked it on a day: the registers of each kind.
    Sketches(Box<OfSketches>, Box<[Vec<u8>; KINDS.len()]>),
    /// How it is: JSON.
    Report(String),
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A minute.
    Minute,
    /// The sketches of a day.
    Sketches,
    /// A report.
    Report,
}

impl Said {
    /// Reads a message.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(kind: Kind, message: &[u8]) -> Result<Self, String> {
        match kind {
            Kind::Minute => OfMinute::read(message).map(|(of, rows)| Self::Minute(Box::new(of), rows)),
            Kind::Sketches => {
                OfSketches::read(message).map(|(of, kinds)| Self::Sketches(Box::new(of), Box::new(kinds)))
            }
            Kind::Report => {
                let text = std::str::from_utf8(message).map_err(|error| error.to_string())?;
                let report: serde_json::Value =
                    serde_json::from_str(text).map_err(|error| error.to_string())?;
                let fits = report.is_object() && text.len() <= FLEET_REPORT_LEN_MAX;
                fits.then(|| Self::Report(text.to_owned())).ok_or_else(|| "it is no report".to_owned())
            }
        }
    }
}

/// What became of what was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Minutes that count from now on.
    pub minutes: u64,
    /// Those that had counted already.
    pub repeated: u64,
    /// Those whose time is too long ago, and sketches of days that are settled.
    pub late: u64,
    /// What is of more nodes than there may be.
    pub strangers: u64,
}

/// The history of a fleet, to be written.
#[derive(Debug)]
pub struct FleetHistory {
    db: Db,
    place: Arc<ArcSwap<PathBuf>>,
    /// Nobody else writes it meanwhile.
    _lock: Option<Lock>,
}

impl FleetHistory {
    /// Opens the history in `dir`, or makes it, at `now`, in seconds of Unix time. Of one that was corrupted
    /// and is moved aside the second tells.
    ///
    /// # Errors
    /// If the directory or the file cannot be written, or another process has it.
    pub fn open(dir: &Path, now: u64) -> Result<(Self, Option<Fault>), Fault> {
        make_dir(dir, FILE).map_err(|error| Fault::of_system(&error))?;
        let lock = Lock::take(dir)?;
        let (db, news) = Db::in_file(&dir.join(FILE), FLEET_HISTORY_LEN_MAX, now)?;
        db.connection.execute_batch(TABLES).map_err(|error| Fault::of(&error, &db.place))?;
        let place = Arc::new(ArcSwap::from_pointee(db.place.clone()));
        Ok((Self { db, place, _lock: lock }, news))
    }

    /// Adds what was heard, at `now`. All of it or, with an error, nothing: what is offered again then is not
    /// taken for repeated.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn take(&mut self, heard: &[Heard], now: u64) -> Result<Taken, Fault> {
        let taken = self
            .db
            .put_with(now, |transaction, days_until| store::put(transaction, heard, (now, days_until)));
        taken.map_err(|error| Fault::of(&error, &self.db.place))
    }

    /// Expects nodes from `now` on, by name and colo, also those that were never heard.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn expect<'n>(
        &self,
        nodes: impl IntoIterator<Item = (&'n str, &'n str)>,
        now: u64,
    ) -> Result<(), Fault> {
        nodes
            .into_iter()
            .try_for_each(|node| store::expect(&self.db.connection, node, now))
            .map_err(|error| Fault::of(&error, &self.db.place))
    }

    /// A way to read it while it is written.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn reader(&self) -> rusqlite::Result<Stored> {
        Stored::open(Arc::clone(&self.place))
    }

    /// What all nodes have counted in all.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn totals(&self) -> Result<Base, Fault> {
        let bases = self.db.bases(&all_series(&Names::default()), 0);
        bases.map(|bases| bases.past).map_err(|error| Fault::of(&error, &self.db.place))
    }

    /// The last number that was heard of each node, with the epoch that it is of, the newest first: who asks
    /// nodes goes on from there.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn last_heard(&self, node: &str) -> Result<Option<(String, u64)>, Fault> {
        store::last_heard(&self.db.connection, node).map_err(|error| Fault::of(&error, &self.db.place))
    }
}

/// By how much a clock is ahead of ours, where that is more than a message may take.
fn clock_ahead(sent: u64, arrived: u64) -> i64 {
    let ahead = sent.cast_signed() - arrived.cast_signed();
    if ahead.unsigned_abs() > FLEET_CLOCK_OFF_MAX { ahead } else { 0 }
}

/// When a minute was, by our clock; `None` where that is too long ago.
fn placed(minute: u64, ahead: i64, arrived: u64) -> Option<u64> {
    let start = minute.checked_add_signed(-ahead)?;
    let start = start - start % MINUTE;
    let is_near = start + FLEET_MINUTE_AGE_MAX >= arrived && start <= arrived + FLEET_CLOCK_OFF_MAX;
    is_near.then_some(start)
}

/// The day that a node's day is by our clock. One that is off by hours has days that lie in two of ours: the
/// one with the larger part counts.
fn placed_day(day: u64, ahead: i64) -> Option<u64> {
    let noon = (day * DAY + DAY / 2).checked_add_signed(-ahead)?;
    Some(noon / DAY)
}

/// Sketches that registers were added to.
fn merged(sketches: &mut Sketches, registers: &[Vec<u8>; KINDS.len()]) {
    sketches.iter_mut().zip(registers).for_each(|(sketch, registers)| sketch.merge(registers));
}

/// Whether a database is that of a fleet.
fn is_fleet(db: &Connection) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM sqlite_schema WHERE name = 'fleet_nodes'")?.exists([])
}
