//! The minutes of a history in the order in which they were stored, for a fleet that asks for those after the
//! last one that it has.
//!
//! An entry never changes, and together they have what the history has of two days, each count once: so who
//! knows the numbers of entries counts nothing twice and leaves nothing out. A minute mostly has one entry,
//! which is not written twice: it is the minute's rows. Where more comes to a minute that has an entry, as
//! after a restart, the entry gets what it was, and the new one what came.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde_json::{Map, Value, json};

use super::History;
use super::compact::{self, Row, SOURCES};
use super::schema::{MINUTE, mark};
use crate::limits::{HISTORY_CUT, MINUTE_SECONDS_MAX, MINUTES_TOLD_LEN_MAX, MINUTES_TOLD_MAX};

/// The mark that tells this history from all others: numbers of entries are its own.
const EPOCH: &str = "epoch";

/// A minute that is about to get more.
#[derive(Debug)]
pub(super) struct Opened {
    start: u64,
    had: Vec<Row>,
}

/// What the history has of a minute and a fleet hears of.
fn rows(db: &Connection, start: u64) -> rusqlite::Result<Vec<Row>> {
    let mut query = db.prepare_cached(
        "SELECT family, labels, count FROM counts JOIN series ON id = series
          WHERE resolution = ? AND start = ? ORDER BY series",
    )?;
    let rows = query.query_map([MINUTE, start], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let told =
        rows.filter(|row: &rusqlite::Result<Row>| row.as_ref().map_or(true, |row| compact::is_told(&row.0)));
    told.collect()
}

/// Begins to add to the minute that begins at `start`. What its entry had is the entry's from now on.
pub(super) fn open(transaction: &Transaction<'_>, start: u64) -> rusqlite::Result<Opened> {
    let had = rows(transaction, start)?;
    let query = "SELECT 1 FROM minutes WHERE start = ? AND counts IS NULL";
    if transaction.prepare_cached(query)?.exists([start])? {
        let text = compact::write(had.clone()).to_string();
        transaction
            .prepare_cached("UPDATE minutes SET counts = ? WHERE start = ? AND counts IS NULL")?
            .execute(params![text, start])?;
    }
    Ok(Opened { start, had })
}

/// Notes what has come to a minute, in so many seconds.
pub(super) fn note(transaction: &Transaction<'_>, opened: Opened, seconds: u64) -> rusqlite::Result<()> {
    let Opened { start, had } = opened;
    let more = if had.is_empty() { None } else { Some(compact::since(&had, rows(transaction, start)?)) };
    let is_nothing = match &more {
        Some(more) => more.is_empty(),
        None => rows(transaction, start)?.is_empty(),
    };
    if seconds == 0 && is_nothing {
        return Ok(());
    }
    add(transaction, start, seconds, more.map(|more| compact::write(more).to_string()).as_deref())
}

fn add(
    transaction: &Transaction<'_>,
    start: u64,
    seconds: u64,
    counts: Option<&str>,
) -> rusqlite::Result<()> {
    // Numbers go with the time where they can: a file restored from a backup does not use those again
    // that it had when it was lost.
    transaction
        .prepare_cached(
            "INSERT INTO minutes SELECT max(coalesce(max(number), 0) + 1, ?1 / ?4), ?1, ?2, ?3 FROM minutes",
        )?
        .execute(params![start, seconds.min(MINUTE_SECONDS_MAX), counts, MINUTE])
        .map(|_| ())
}

/// An entry as it waits in memory: the start of its minute, seconds, counts.
type Waiting = (u64, u64, String);

/// The entries of a database in memory.
pub(super) fn waiting(from: &Connection) -> rusqlite::Result<Vec<Waiting>> {
    let mut query = from.prepare("SELECT start, seconds, counts FROM minutes ORDER BY number")?;
    let mut found = query.query([])?;
    let mut waiting = Vec::new();
    while let Some(row) = found.next()? {
        let start = row.get(0)?;
        let counts: Option<String> = row.get(2)?;
        let counts = counts
            .map_or_else(|| Ok(compact::write(rows(from, start)?).to_string()), Ok::<_, rusqlite::Error>)?;
        waiting.push((start, row.get(1)?, counts));
    }
    Ok(waiting)
}

/// Takes entries over, around `put`, which adds the rows of their minutes.
pub(super) fn take(
    transaction: &Transaction<'_>,
    waiting: &[Waiting],
    put: impl FnOnce() -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let starts: BTreeSet<u64> = waiting.iter().map(|entry| entry.0).collect();
    starts.into_iter().try_for_each(|start| open(transaction, start).map(drop))?;
    put()?;
    waiting.iter().try_for_each(|(start, seconds, counts)| add(transaction, *start, *seconds, Some(counts)))
}

/// Forgets the entries of minutes of which the rows go.
pub(super) fn forget(transaction: &Transaction<'_>, before: u64) -> rusqlite::Result<()> {
    transaction.prepare_cached("DELETE FROM minutes WHERE start < ?")?.execute([before]).map(|_| ())
}

/// Forgets the oldest part of the entries, where there is no more room.
pub(super) fn cut(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let query = "DELETE FROM minutes WHERE number <=
                    (SELECT min(number) + (max(number) - min(number)) / ? FROM minutes)";
    transaction.execute(query, [HISTORY_CUT]).map(|_| ())
}

/// The entries after a number, as many as fit an answer.
fn told(db: &Connection, after: u64) -> rusqlite::Result<Value> {
    let epoch = mark(db, EPOCH)?.unwrap_or_default();
    let head: u64 = db.query_row("SELECT coalesce(max(number), 0) FROM minutes", [], |row| row.get(0))?;
    let mut query = db.prepare_cached(
        "SELECT number, start, seconds, counts FROM minutes WHERE number > ? ORDER BY number LIMIT ?",
    )?;
    let mut found = query.query(params![after, MINUTES_TOLD_MAX])?;
    let (mut minutes, mut len) = (Vec::new(), 0);
    while let Some(row) = found.next()? {
        let (number, start, seconds): (u64, u64, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let counts = match row.get::<_, Option<String>>(3)? {
            Some(text) => serde_json::from_str(&text).unwrap_or_default(),
            None => compact::write(rows(db, start)?),
        };
        let names = names(db, &counts)?;
        let mut minute = json!({"seq": number, "minute": start, "seconds": seconds, "counts": counts});
        if !names.is_empty() {
            minute["names"] = names.into();
        }
        len += minute.to_string().len();
        if !minutes.is_empty() && len > MINUTES_TOLD_LEN_MAX {
            break;
        }
        minutes.push(minute);
    }
    Ok(json!({"epoch": format!("{epoch:016x}"), "head": head, "minutes": minutes}))
}

/// What people call the countries and ASes that are counted, by label and value.
fn names(db: &Connection, counts: &Value) -> rusqlite::Result<Map<String, Value>> {
    let mut query = db.prepare_cached("SELECT name FROM names WHERE label = ? AND value = ?")?;
    let mut names: Map<String, Value> = Map::new();
    for family in counts.as_array().into_iter().flatten() {
        let Some(of) = SOURCES.iter().find(|of| family[0] == of.name) else { continue };
        let values = family[2].as_array().into_iter().flatten().filter_map(|row| row[0].as_str());
        for value in values {
            if let Some(name) =
                query.query_row([of.label, value], |row| row.get::<_, String>(0)).optional()?
            {
                names.entry(of.label).or_insert_with(|| json!({}))[value] = name.into();
            }
        }
    }
    Ok(names)
}

impl History {
    /// What a fleet hears that asks for the minutes after a number: the epoch of the numbers, the last
    /// number, and the minutes. Those that wait in memory for a file get their numbers in the file.
    ///
    /// # Errors
    /// Why there is nothing to be had of the history now.
    pub fn minutes(&self, after: u64) -> Result<Value, String> {
        let home = if self.dir.is_some() { &self.file } else { &self.memory };
        let Some(db) = home else {
            return Err(format!("the history waits in memory: {}", self.trouble));
        };
        told(&db.connection, after).map_err(|error| format!("the history cannot be read: {error}"))
    }
}
