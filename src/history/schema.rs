//! The tables of the history, and how a row is written.

use std::io;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde_json::{Map, Value, json};

use super::sources::Row;
use super::uniques::Sketches;
use crate::limits::HISTORY_RESOLUTIONS;
use crate::stats::counters::{
    CACHE_LOOKS, DIVERTED, DROPPED, FAMILIES, QUERIES, QUERIES_BY_TYPE, QUERIES_BY_ZONE, QUERIES_DO,
    QUERIES_EDNS, QUERY_BYTES, QUERY_SIZES, REPLY_BYTES, REPLY_SIZES, RESPONSES, RESPONSES_BY_TRANSPORT,
    RULE_HITS, TRUNCATED, UPDATES, UPSTREAM_QUERIES,
};
use crate::stats::labels::Names;
use crate::stats::uniques::KINDS;

/// Seconds between two stores.
pub const MINUTE: u64 = HISTORY_RESOLUTIONS[0].0;
/// Seconds of a day, the coarsest resolution.
pub const DAY: u64 = HISTORY_RESOLUTIONS[3].0;

/// The tables, as each version of the program that changed them did; `PRAGMA user_version` says how many of
/// these a file has. `history` is the view that people ask:
///
/// ```sql
/// SELECT datetime(start, 'unixepoch'), labels ->> 'type', count FROM history
///  WHERE resolution = 60 AND family = 'as112_queries_by_type_total';
/// ```
///
/// In the view, what was counted in any span of time is in one row, of one resolution: where it was rolled
/// up, the finer rows are gone. In the table, whole days have a row of their own in addition to the finer
/// ones, so a look back over a year reads no more than one row for each day.
pub(super) const SCHEMA: [&str; 3] = [
    "
    -- A counter: its family as in /metrics, its labels as a JSON object.
    CREATE TABLE series (
        id INTEGER PRIMARY KEY,
        family TEXT NOT NULL,
        labels TEXT NOT NULL,
        UNIQUE (family, labels)
    ) STRICT;
    -- All that a thread ever counted; source is 'shard 0' and so on, 'tcp', 'xdp' or 'workers'.
    CREATE TABLE totals (
        source TEXT NOT NULL,
        series INTEGER NOT NULL REFERENCES series,
        total INTEGER NOT NULL,
        PRIMARY KEY (source, series)
    ) STRICT, WITHOUT ROWID;
    -- What all threads counted in the `resolution` seconds from `start` on, in seconds of Unix time (UTC).
    -- Counters that did not move have no row.
    CREATE TABLE counts (
        resolution INTEGER NOT NULL,
        start INTEGER NOT NULL,
        series INTEGER NOT NULL REFERENCES series,
        count INTEGER NOT NULL,
        PRIMARY KEY (resolution, start, series)
    ) STRICT, WITHOUT ROWID;
    CREATE VIEW history AS
        SELECT resolution, start, family, labels, count FROM counts JOIN series ON id = series;
    ",
    "
    -- What people call a value of a label: a country by its code, an AS by its number.
    CREATE TABLE names (
        label TEXT NOT NULL,
        value TEXT NOT NULL,
        name TEXT NOT NULL,
        PRIMARY KEY (label, value)
    ) STRICT, WITHOUT ROWID;
    -- How many different sources asked on the day (UTC) that began at `day`, about, by kind: 'ipv4',
    -- 'ipv6', or 'ipv6_64', the networks of that length. Registers are those of the HyperLogLog, while the
    -- day may continue.
    CREATE TABLE uniques (
        day INTEGER NOT NULL,
        kind TEXT NOT NULL,
        sources INTEGER NOT NULL,
        registers BLOB,
        PRIMARY KEY (day, kind)
    ) STRICT;
    ",
    "
    -- What of a total /metrics leaves out, as its run did not end in order: a counter continues exactly, or
    -- it begins at 0.
    ALTER TABLE totals ADD COLUMN left_out INTEGER NOT NULL DEFAULT 0;
    -- What there is one of: 'clean' is there while the last run has ended in order and no other has begun;
    -- before 'days_until' every day has its row of a day.
    CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    DROP VIEW history;
    CREATE VIEW history AS
        SELECT resolution, start, family, labels, count FROM counts JOIN series ON id = series
         WHERE resolution < 86400 OR start < coalesce(
               (SELECT min((SELECT min(start) FROM counts WHERE resolution = column1)) / 86400 * 86400
                  FROM (VALUES (60), (900), (3600))), 9e18);
    ",
];

/// What a file of ours says that it is (`PRAGMA application_id`): "a112".
pub(super) const APPLICATION: u32 = 0x6131_3132;

/// The families that have a history. The others have totals alone: of the platform how long servers take and
/// why queries got a fallback, which matter while they happen, and have a series for each bin or pair.
pub(super) const KEPT: [&str; 18] = [
    QUERIES.name,
    QUERIES_BY_TYPE.name,
    QUERIES_BY_ZONE.name,
    QUERIES_EDNS.name,
    QUERIES_DO.name,
    UPDATES.name,
    RESPONSES.name,
    RESPONSES_BY_TRANSPORT.name,
    TRUNCATED.name,
    DROPPED.name,
    QUERY_SIZES.name,
    REPLY_SIZES.name,
    QUERY_BYTES.name,
    REPLY_BYTES.name,
    RULE_HITS.name(),
    DIVERTED.name(),
    UPSTREAM_QUERIES.name(),
    CACHE_LOOKS.name(),
];

/// A counter as the file names it.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) family: &'static str,
    pub(super) labels: String,
    pub(super) is_kept: bool,
}

pub(super) fn version(db: &Connection) -> rusqlite::Result<usize> {
    db.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// A mark, if it is there.
pub(super) fn mark(db: &Connection, name: &str) -> rusqlite::Result<Option<u64>> {
    db.prepare_cached("SELECT value FROM marks WHERE name = ?")?
        .query_row([name], |row| row.get(0))
        .optional()
}

pub(super) fn set_mark(db: &Connection, name: &str, value: u64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO marks VALUES (?, ?)")?.execute(params![name, value]).map(|_| ())
}

/// Every counter's name, by where it stands in a block; those of the platform where any of them is in use.
pub(super) fn all_series(names: &Names) -> Vec<Series> {
    let has_platform = names.have_platform() || names.have_clients;
    let families = FAMILIES.iter().filter(|family| !family.is_of_platform() || has_platform);
    let of_family = families.flat_map(|family| {
        (0..family.len()).map(|offset| {
            let values = names.values(family.labels, &family.values(offset)).into_iter();
            let labels = family.labels.iter().map(|label| label.name.to_owned());
            let labels: Map<String, Value> = labels.zip(values.map(Value::from)).collect();
            Series {
                family: family.name,
                labels: Value::from(labels).to_string(),
                is_kept: KEPT.contains(&family.name),
            }
        })
    });
    of_family.collect()
}

pub(super) fn put_series(transaction: &Transaction<'_>, family: &str, labels: &str) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT OR IGNORE INTO series (family, labels) VALUES (?, ?)")?
        .execute([family, labels])
        .map(|_| ())
}

pub(super) fn put_total(
    transaction: &Transaction<'_>,
    source: &str,
    series: &Series,
    (total, left_out): (u64, u64),
) -> rusqlite::Result<()> {
    put_series(transaction, series.family, &series.labels)?;
    transaction
        .prepare_cached(
            "INSERT INTO totals (source, series, total, left_out)
             SELECT ?, id, ?, ? FROM series WHERE family = ? AND labels = ?
             ON CONFLICT DO UPDATE SET total = excluded.total, left_out = excluded.left_out",
        )?
        .execute(params![source, total, left_out, series.family, series.labels])
        .map(|_| ())
}

/// Adds to the row of a resolution and start, and to that of the day where the day has one already; the
/// series is there already.
pub(super) fn put_late_count(
    transaction: &Transaction<'_>,
    (resolution, start): (u64, u64),
    family: &str,
    labels: &str,
    count: u64,
    days_until: u64,
) -> rusqlite::Result<()> {
    put_count(transaction, (resolution, start), family, labels, count)?;
    let day = start - start % DAY;
    if resolution < DAY && day < days_until {
        put_count(transaction, (DAY, day), family, labels, count)?;
    }
    Ok(())
}

/// Adds to the row of a resolution and start; the series is there already.
pub(super) fn put_count(
    transaction: &Transaction<'_>,
    (resolution, start): (u64, u64),
    family: &str,
    labels: &str,
    count: u64,
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO counts SELECT ?, ?, id, ? FROM series WHERE family = ? AND labels = ?
             ON CONFLICT DO UPDATE SET count = count + excluded.count",
        )?
        .execute(params![resolution, start, count, family, labels])
        .map(|_| ())
}

pub(super) fn put_source(
    transaction: &Transaction<'_>,
    start: u64,
    row: &Row<'_>,
    days_until: u64,
) -> rusqlite::Result<()> {
    let Row { family, value, name, count } = row;
    let labels = json!({family.label: value}).to_string();
    put_series(transaction, family.name, &labels)?;
    put_late_count(transaction, (MINUTE, start), family.name, &labels, *count, days_until)?;
    if let Some(name) = name {
        transaction.prepare_cached("INSERT OR REPLACE INTO names VALUES (?, ?, ?)")?.execute([
            family.label,
            value,
            name,
        ])?;
    }
    Ok(())
}

pub(super) fn put_uniques(
    transaction: &Transaction<'_>,
    day: u64,
    sketches: &Sketches,
) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO uniques VALUES (?, ?, ?, ?)")?;
    for (kind, sketch) in KINDS.iter().zip(sketches) {
        put.execute(params![day * DAY, kind, sketch.estimate(), sketch.registers()])?;
    }
    Ok(())
}

/// Copies an image into an empty database.
pub(super) fn fill(db: &mut Connection, image: &[u8]) -> rusqlite::Result<()> {
    let mut source = Connection::open_in_memory()?;
    source.deserialize_read_exact("main", io::Cursor::new(image), image.len(), true)?;
    match Backup::new(&source, db)?.step(-1)? {
        StepResult::Done => Ok(()),
        // Nobody else knows the two.
        _ => Err(rusqlite::Error::InvalidQuery),
    }
}
