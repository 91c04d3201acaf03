//! What becomes of rows as they age: they move to the next resolution and are forgotten after the last.

use std::collections::BTreeSet;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::schema::{DAY, put_count, put_series};
use super::sources::{BY_NETWORK, FAMILIES, OTHER};
use crate::limits::{HISTORY_CUT, HISTORY_RESOLUTIONS, SOURCES_KEPT_MAX};

/// Moves rows that are old to the next resolution, and forgets those of the last.
pub(super) fn roll_up(transaction: &Transaction<'_>, now: u64) -> rusqlite::Result<()> {
    for (resolution, kept_for) in HISTORY_RESOLUTIONS {
        move_on(transaction, resolution, now.saturating_sub(kept_for))?;
    }
    forget_uniques(transaction, now)
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
    move_on(&transaction, resolution, oldest + part)?;
    forget_networks(&transaction)?;
    transaction.commit()
}

/// The next resolution, if there is one.
fn coarser(resolution: u64) -> Option<u64> {
    HISTORY_RESOLUTIONS.iter().map(|one| one.0).find(|&coarser| coarser > resolution)
}

/// Adds the rows of a resolution from before `before` to those of the next, or forgets them after the last.
fn move_on(transaction: &Transaction<'_>, resolution: u64, before: u64) -> rusqlite::Result<()> {
    let coarser = coarser(resolution);
    // Whole rows of the coarser resolution, so that each of them is made at once.
    let whole = coarser.unwrap_or(resolution);
    let before = before - before % whole;
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
    let Some(coarser) = coarser else { return Ok(()) };
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
