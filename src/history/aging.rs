//! What becomes of rows as they age: they move to the next resolution and are forgotten after the last.

use std::collections::BTreeSet;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::schema::{DAY, MINUTE, mark, put_count, put_series, set_mark};
use super::sources::{BY_NETWORK, FAMILIES, OTHER};
use crate::limits::{HISTORY_CUT, HISTORY_DAYS_AT_ONCE, HISTORY_RESOLUTIONS, SOURCES_KEPT_MAX};

/// Gives days that are over a row of their own, moves rows that are old to the next resolution, and forgets
/// those of the last. Days before `days_until` have their rows.
pub(super) fn roll_up(transaction: &Transaction<'_>, now: u64, days_until: u64) -> rusqlite::Result<()> {
    let days_until = sum_days(transaction, now, days_until)?;
    for (resolution, kept_for) in HISTORY_RESOLUTIONS {
        move_on(transaction, resolution, now.saturating_sub(kept_for), days_until)?;
    }
    forget_uniques(transaction, now)
}

/// The name of the mark before which every day has its row.
pub(super) const DAYS_UNTIL: &str = "days_until";

/// Before when every day has a row of its own: where nothing says so, as in a file of an earlier version,
/// that is where finer rows begin.
pub(super) fn days_until(db: &Connection, now: u64) -> rusqlite::Result<u64> {
    match mark(db, DAYS_UNTIL)? {
        Some(until) => Ok(until),
        None => Ok(first_fine(db, 0)?.map_or(now - now % DAY, |start| start - start % DAY)),
    }
}

/// The first row from `from` on that is of less than a day.
pub(super) fn first_fine(db: &Connection, from: u64) -> rusqlite::Result<Option<u64>> {
    let query = "SELECT min((SELECT min(start) FROM counts WHERE resolution = column1 AND start >= ?))
                   FROM (VALUES (60), (900), (3600))";
    db.prepare_cached(query)?.query_row([from], |row| row.get(0))
}

/// Sums up days that are over, a few at a time: a file of an earlier version has years of them. The first
/// minute of a day still tells of sources of the day before.
fn sum_days(transaction: &Transaction<'_>, now: u64, mut until: u64) -> rusqlite::Result<u64> {
    let over = now.saturating_sub(MINUTE);
    let over = over - over % DAY;
    for _ in 0..HISTORY_DAYS_AT_ONCE {
        match first_fine(transaction, until)? {
            Some(start) if start < over => {
                let day = start - start % DAY;
                transaction
                    .prepare_cached(
                        "INSERT INTO counts SELECT ?1, ?2, series, sum(count) FROM counts
                          WHERE resolution IN (60, 900, 3600) AND start >= ?2 AND start < ?2 + ?1
                          GROUP BY series
                         ON CONFLICT DO UPDATE SET count = count + excluded.count",
                    )?
                    .execute([DAY, day])?;
                narrow(transaction, DAY, day)?;
                until = day + DAY;
            }
            _ => {
                until = until.max(over);
                break;
            }
        }
    }
    set_mark(transaction, DAYS_UNTIL, until)?;
    Ok(until)
}

/// Makes room in a history that has all that it may have: of the resolution with the most rows the oldest
/// part moves on before its time.
pub(super) fn make_room(db: &mut Connection) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (resolution, oldest, newest): (u64, u64, u64) = transaction.query_row(
        "SELECT resolution, min(start), max(start) FROM counts GROUP BY resolution
          ORDER BY count(*) DESC LIMIT 1",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let part = ((newest - oldest) / HISTORY_CUT).max(coarser(resolution).unwrap_or(resolution));
    let days_until = days_until(&transaction, newest)?;
    move_on(&transaction, resolution, oldest + part, days_until)?;
    forget_networks(&transaction)?;
    transaction.commit()
}

/// The next resolution, if there is one.
fn coarser(resolution: u64) -> Option<u64> {
    HISTORY_RESOLUTIONS.iter().map(|one| one.0).find(|&coarser| coarser > resolution)
}

/// Adds the rows of a resolution from before `before` to those of the next, or forgets them after the last.
/// Of days there are rows already.
fn move_on(
    transaction: &Transaction<'_>,
    resolution: u64,
    before: u64,
    days_until: u64,
) -> rusqlite::Result<()> {
    let coarser = coarser(resolution);
    // Whole rows of the coarser resolution, so that each of them is made at once.
    let whole = coarser.unwrap_or(resolution);
    let before = before - before % whole;
    if whole == DAY {
        transaction
            .prepare_cached("DELETE FROM counts WHERE resolution = ? AND start < ?")?
            .execute([resolution, before.min(days_until)])?;
        return Ok(());
    }
    let moved: Vec<(u64, i64, u64)> = transaction
        .prepare_cached(
            "SELECT start - start % ?1, series, sum(count) FROM counts WHERE resolution = ?2 AND start < ?3
              GROUP BY 1, 2",
        )?
        .query_map([whole, resolution, before], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    // First away, then in: there may be no room for both.
    transaction
        .prepare_cached("DELETE FROM counts WHERE resolution = ? AND start < ?")?
        .execute([resolution, before])?;
    let coarser = whole;
    let mut put = transaction.prepare_cached(
        "INSERT INTO counts VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
    )?;
    for (start, series, count) in &moved {
        put.execute(params![coarser, start, series, count])?;
    }
    let starts: BTreeSet<u64> = moved.iter().map(|row| row.0).collect();
    starts.into_iter().try_for_each(|start| narrow(transaction, coarser, start))
}

/// Of sources only the largest stay in a row of a coarser resolution: those of the finer rows together can be
/// many.
fn narrow(transaction: &Transaction<'_>, resolution: u64, start: u64) -> rusqlite::Result<()> {
    for family in FAMILIES {
        let other = format!("{{\"{}\":\"{OTHER}\"}}", family.label);
        let small = "SELECT series, count FROM counts JOIN series ON id = series
                      WHERE resolution = ?1 AND start = ?2 AND family = ?3 AND labels != ?4
                      ORDER BY count DESC, series LIMIT -1 OFFSET ?5";
        let parameters = params![resolution, start, family.name, other, SOURCES_KEPT_MAX];
        let rest: u64 = transaction
            .prepare_cached(&format!("SELECT coalesce(sum(count), 0) FROM ({small})"))?
            .query_row(parameters, |row| row.get(0))?;
        if rest == 0 {
            continue;
        }
        transaction
            .prepare_cached(&format!(
                "DELETE FROM counts WHERE resolution = ?1 AND start = ?2
                    AND series IN (SELECT series FROM ({small}))"
            ))?
            .execute(parameters)?;
        put_series(transaction, family.name, &other)?;
        put_count(transaction, (resolution, start), family.name, &other, rest)?;
    }
    Ok(())
}

/// Forgets what only concerned days that are over: the registers of their sketches, the estimates in the end,
/// and networks of which no row is left. Those change from minute to minute, and would fill the
/// file.
fn forget_uniques(transaction: &Transaction<'_>, now: u64) -> rusqlite::Result<()> {
    let yesterday = (now - now % DAY).saturating_sub(DAY);
    let emptied = transaction
        .prepare_cached("UPDATE uniques SET registers = NULL WHERE day < ? AND registers NOT NULL")?
        .execute([yesterday])?;
    if emptied == 0 {
        return Ok(());
    }
    let (_, kept_for) = HISTORY_RESOLUTIONS[HISTORY_RESOLUTIONS.len() - 1];
    transaction.execute("DELETE FROM uniques WHERE day < ?", [now.saturating_sub(kept_for)])?;
    forget_networks(transaction)
}

/// Forgets networks of which no row is left.
fn forget_networks(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction
        .execute(
            "DELETE FROM series WHERE family = ? AND id NOT IN (SELECT series FROM counts)",
            [BY_NETWORK.name],
        )
        .map(|_| ())
}
