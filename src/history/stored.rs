//! The history for those who only read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rusqlite::{Connection, InterruptHandle};

use super::{db, lookback};
use crate::limits::HISTORY_READ_WAIT_MAX;

/// The history for those who only read.
#[derive(Debug)]
pub struct Stored {
    db: Connection,
    /// Where that is, and where the history is by now.
    at: Arc<PathBuf>,
    place: Arc<ArcSwap<PathBuf>>,
}

impl Stored {
    /// A reader of what is at a place, and follows it.
    pub(super) fn open(place: Arc<ArcSwap<PathBuf>>) -> rusqlite::Result<Self> {
        let at = place.load_full();
        Ok(Self { db: connect(&at)?, at, place })
    }

    /// What to ask.
    pub(crate) const fn connection(&self) -> &Connection {
        &self.db
    }

    /// The start of the oldest counts.
    #[must_use]
    pub fn began(&self) -> Option<u64> {
        lookback::began(&self.db).ok().flatten()
    }

    /// Something that takes long.
    #[cfg(test)]
    pub fn count_for_ever(&self) -> rusqlite::Result<u64> {
        let query = "WITH RECURSIVE all_numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM all_numbers)
                     SELECT count(*) FROM all_numbers";
        self.db.query_row(query, [], |row| row.get(0))
    }

    /// What ends a question that takes too long, from another thread.
    #[must_use]
    pub fn interrupt(&self) -> InterruptHandle {
        self.db.get_interrupt_handle()
    }

    /// Goes to where the history is by now. Whether that is elsewhere.
    pub fn follow(&mut self) -> bool {
        let place = self.place.load_full();
        if Arc::ptr_eq(&place, &self.at) {
            return false;
        }
        // What cannot be opened now is tried again by the next one who asks.
        connect(&place).is_ok_and(|db| {
            (self.db, self.at) = (db, place);
            true
        })
    }
}

fn connect(place: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(place)?;
    db.busy_timeout(HISTORY_READ_WAIT_MAX)?;
    db::sort_in_memory(&db)?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}
