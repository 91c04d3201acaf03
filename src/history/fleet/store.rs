//! How what was heard gets into the tables.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde_json::{Map, Value};

use super::message::OfMinute;
use super::runs::Runs;
use super::{Heard, Said, Taken, clock_ahead, merged, placed, placed_day};
use crate::history::compact::{self, Row};
use crate::history::schema::{DAY, MINUTE, put_late_count, put_series};
use crate::history::uniques::Sketches;
use crate::limits::{FLEET_LABEL_VALUES_MAX, FLEET_NODE_EXPECTED_FOR, FLEET_NODES_MAX, HISTORY_RESOLUTIONS};
use crate::stats::counters::QUERIES;
use crate::stats::uniques::KINDS;

/// A quarter of an hour.
const QUARTER: (u64, u64) = HISTORY_RESOLUTIONS[1];
/// A day.
const OF_DAY: (u64, u64) = HISTORY_RESOLUTIONS[3];

/// What was heard, in sum: many minutes have the same rows.
#[derive(Default)]
struct Batch {
    /// By minute, family and labels.
    counts: BTreeMap<(u64, String, String), u64>,
    /// By node, family and labels.
    totals: BTreeMap<(String, String, String), u64>,
    /// By day.
    sketches: BTreeMap<u64, Sketches>,
}

/// Adds what was heard, at a time and with the time before which days have their rows.
pub(super) fn put(
    transaction: &Transaction<'_>,
    heard: &[Heard],
    (now, days_until): (u64, u64),
) -> rusqlite::Result<Taken> {
    let mut taken = Taken::default();
    let mut batch = Batch::default();
    for Heard { node, arrived, said } in heard {
        if !may_come(transaction, node)? {
            taken.strangers += 1;
            continue;
        }
        match said {
            Said::Minute(of, rows) => {
                let ahead = clock_ahead(of.sent, *arrived);
                let Some(start) = placed(of.minute, ahead, *arrived) else {
                    taken.late += 1;
                    continue;
                };
                if !is_new(transaction, node, of, *arrived)? {
                    taken.repeated += 1;
                    continue;
                }
                taken.minutes += 1;
                let queries = batch.add(transaction, node, start, rows)?;
                put_names(transaction, &of.names)?;
                put_node(transaction, (node, &of.colo), (start, of.seconds), *arrived, ahead)?;
                put_minute(transaction, node, start, (of.seconds, queries))?;
            }
            Said::Sketches(of, registers) => match placed_day(of.day, clock_ahead(of.sent, *arrived)) {
                // Of days before yesterday the registers are gone.
                Some(day) if day + 1 >= now / DAY && day * DAY <= now + DAY => {
                    merged(batch.sketches.entry(day).or_default(), registers);
                }
                _ => taken.late += 1,
            },
            Said::Report(report) => put_report(transaction, node, report, *arrived)?,
        }
    }
    batch.put(transaction, days_until)?;
    forget(transaction, now)?;
    Ok(taken)
}

impl Batch {
    /// Adds the rows of a minute. How many queries it had.
    fn add(&mut self, db: &Connection, node: &str, start: u64, rows: &[Row]) -> rusqlite::Result<u64> {
        let mut queries = 0;
        for (family, labels, count) in rows.iter().filter(|row| compact::is_told(&row.0)) {
            if family == QUERIES.name {
                queries += count;
            }
            let labels = self.told_apart(db, family, labels)?;
            *self.counts.entry((start, family.clone(), labels.clone())).or_default() += count;
            *self.totals.entry((node.to_owned(), family.clone(), labels)).or_default() += count;
        }
        Ok(queries)
    }

    /// The labels of a counter, or those of the others of its family: names that nodes give have no bound.
    fn told_apart(&self, db: &Connection, family: &str, labels: &str) -> rusqlite::Result<String> {
        let is_known = "SELECT 1 FROM series WHERE family = ? AND labels = ?";
        if db.prepare_cached(is_known)?.exists([family, labels])? {
            return Ok(labels.to_owned());
        }
        let known = "SELECT count(*) FROM series WHERE family = ?";
        let known: usize = db.prepare_cached(known)?.query_row([family], |row| row.get(0))?;
        let new = self.counts.keys().filter(|(_, of, _)| of == family).count();
        if known + new < FLEET_LABEL_VALUES_MAX {
            return Ok(labels.to_owned());
        }
        let mut labels: Map<String, Value> = serde_json::from_str(labels).unwrap_or_default();
        labels.values_mut().for_each(|value| *value = "other".into());
        Ok(Value::from(labels).to_string())
    }

    fn put(self, transaction: &Transaction<'_>, days_until: u64) -> rusqlite::Result<()> {
        for ((start, family, labels), count) in &self.counts {
            put_series(transaction, family, labels)?;
            put_late_count(transaction, (MINUTE, *start), family, labels, *count, days_until)?;
        }
        let mut add = transaction.prepare_cached(
            "INSERT INTO totals (source, series, total)
             SELECT ?, id, ? FROM series WHERE family = ? AND labels = ?
             ON CONFLICT DO UPDATE SET total = total + excluded.total",
        )?;
        for ((node, family, labels), count) in &self.totals {
            add.execute(params![node, count, family, labels])?;
        }
        self.sketches.iter().try_for_each(|(day, sketches)| put_sketches(transaction, *day, sketches))
    }
}

/// Whether a node is known, or there is room for one more.
fn may_come(db: &Connection, node: &str) -> rusqlite::Result<bool> {
    if db.prepare_cached("SELECT 1 FROM fleet_nodes WHERE node = ?")?.exists([node])? {
        return Ok(true);
    }
    let nodes: usize =
        db.prepare_cached("SELECT count(*) FROM fleet_nodes")?.query_row([], |row| row.get(0))?;
    Ok(nodes < FLEET_NODES_MAX)
}

/// Whether a minute was not heard before. From now on it was.
fn is_new(transaction: &Transaction<'_>, node: &str, of: &OfMinute, arrived: u64) -> rusqlite::Result<bool> {
    let text: Option<String> = transaction
        .prepare_cached("SELECT runs FROM fleet_heard WHERE node = ? AND epoch = ?")?
        .query_row([node, &of.epoch], |row| row.get(0))
        .optional()?;
    let mut runs = Runs::read(text.as_deref().unwrap_or_default());
    if !runs.add(of.seq) {
        return Ok(false);
    }
    transaction
        .prepare_cached("INSERT OR REPLACE INTO fleet_heard VALUES (?, ?, ?, ?)")?
        .execute(params![node, of.epoch, runs.text(), arrived])?;
    Ok(true)
}

fn put_node(
    transaction: &Transaction<'_>,
    (node, colo): (&str, &str),
    (start, seconds): (u64, u64),
    arrived: u64,
    ahead: i64,
) -> rusqlite::Result<()> {
    // A first minute that was not counted from its beginning was counted to its end.
    let began = start + MINUTE.saturating_sub(seconds);
    transaction
        .prepare_cached(
            "INSERT INTO fleet_nodes VALUES (?, ?, ?, ?, ?, ?, NULL, NULL) ON CONFLICT DO UPDATE SET
                colo = iif(excluded.colo = '', colo, excluded.colo), began = min(began, excluded.began),
                until = max(until, excluded.until), heard = max(heard, excluded.heard),
                ahead = excluded.ahead",
        )?
        .execute(params![node, colo, began, start + MINUTE, arrived, ahead])
        .map(|_| ())
}

/// Notes that there is a node.
pub(super) fn expect(db: &Connection, (node, colo): (&str, &str), now: u64) -> rusqlite::Result<()> {
    let query = "INSERT INTO fleet_nodes VALUES (?, ?, ?3, 0, ?3, 0, NULL, NULL)
                 ON CONFLICT DO UPDATE SET heard = max(heard, excluded.heard)";
    db.prepare_cached(query)?.execute(params![node, colo, now]).map(|_| ())
}

fn put_report(transaction: &Transaction<'_>, node: &str, report: &str, arrived: u64) -> rusqlite::Result<()> {
    let said: Value = serde_json::from_str(report).unwrap_or_default();
    let colo = said["colo"].as_str().unwrap_or_default();
    transaction
        .prepare_cached(
            "INSERT INTO fleet_nodes VALUES (?1, ?2, ?4, 0, ?4, 0, ?3, ?4) ON CONFLICT DO UPDATE SET
                colo = iif(excluded.colo = '', colo, excluded.colo), heard = max(heard, excluded.heard),
                report = iif(excluded.reported >= coalesce(reported, 0), excluded.report, report),
                reported = max(excluded.reported, coalesce(reported, 0))",
        )?
        .execute(params![node, colo, report, arrived])
        .map(|_| ())
}

fn put_minute(
    transaction: &Transaction<'_>,
    node: &str,
    start: u64,
    (seconds, queries): (u64, u64),
) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached(
        "INSERT INTO fleet_minutes VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
            seconds = seconds + excluded.seconds, queries = queries + excluded.queries",
    )?;
    for (resolution, _) in [QUARTER, OF_DAY] {
        put.execute(params![resolution, start - start % resolution, node, seconds, queries])?;
    }
    Ok(())
}

fn put_names(transaction: &Transaction<'_>, names: &Map<String, Value>) -> rusqlite::Result<()> {
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO names VALUES (?, ?, ?)")?;
    for of in compact::SOURCES {
        let values = names.get(of.label).and_then(Value::as_object).into_iter().flatten();
        for (value, name) in values {
            if let Some(name) = name.as_str() {
                put.execute([of.label, value, name])?;
            }
        }
    }
    Ok(())
}

/// Merges sketches with those of the day that are there: a source that asked two nodes is one.
fn put_sketches(transaction: &Transaction<'_>, day: u64, sketches: &Sketches) -> rusqlite::Result<()> {
    let mut get = transaction.prepare_cached("SELECT registers FROM uniques WHERE day = ? AND kind = ?")?;
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO uniques VALUES (?, ?, ?, ?)")?;
    for (kind, sketch) in KINDS.iter().zip(sketches) {
        let had: Option<Option<Vec<u8>>> =
            get.query_row(params![day * DAY, kind], |row| row.get(0)).optional()?;
        let mut sketch = sketch.clone();
        match had {
            Some(Some(registers)) => sketch.merge(&registers),
            // The day is settled: without its registers nothing can be added.
            Some(None) => continue,
            None => {}
        }
        put.execute(params![day * DAY, kind, sketch.estimate(), sketch.registers()])?;
    }
    Ok(())
}

/// Forgets nodes that were not heard for long, but not what they have counted, and rows that are old.
fn forget(transaction: &Transaction<'_>, now: u64) -> rusqlite::Result<()> {
    for (resolution, kept_for) in [QUARTER, OF_DAY] {
        transaction
            .prepare_cached("DELETE FROM fleet_minutes WHERE resolution = ? AND start < ?")?
            .execute([resolution, now.saturating_sub(kept_for)])?;
    }
    // Of an epoch that has ended nothing comes after that time.
    transaction
        .prepare_cached("DELETE FROM fleet_heard WHERE heard < ?")?
        .execute([now.saturating_sub(FLEET_NODE_EXPECTED_FOR.as_secs())])
        .map(|_| ())
}

/// The epoch of a node that was heard last, and its last number.
pub(super) fn last_heard(db: &Connection, node: &str) -> rusqlite::Result<Option<(String, u64)>> {
    let query = "SELECT epoch, runs FROM fleet_heard WHERE node = ? ORDER BY heard DESC LIMIT 1";
    let found: Option<(String, String)> =
        db.prepare_cached(query)?.query_row([node], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(found.and_then(|(epoch, runs)| Some((epoch, Runs::read(&runs).last()?))))
}
