//! The history of the counters: what was counted in each minute, and, as that ages, in each quarter of an
//! hour, hour and day. And the totals, which continue where the last run of the program left them.
//!
//! It is one SQLite file, which an operator may ask while the node runs. Its tables are in `SCHEMA`. While
//! the file cannot be used, minutes wait in a database in memory, with the same tables and the same rules for
//! what becomes of them as they age; the file gets them as they are once it can be used.

pub mod aggregator;
mod aging;
mod bases;
mod db;
pub mod fault;
mod lock;
pub mod lookback;
mod schema;
pub mod sources;
mod succession;
pub mod uniques;

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, TryRecvError};
use rusqlite::Connection;

use crate::board::{Base, Board};
use crate::limits::{
    HISTORY_AGED_AT_ONCE, HISTORY_IN_MEMORY_LEN_MAX, HISTORY_READ_WAIT_MAX, HISTORY_WAITING_LEN_MAX,
};
use crate::stats::counters::Totals;
use crate::stats::labels::Names;

pub use bases::{Bases, FILE};
use db::{Db, Minute};
use fault::{Cause, Fault};
pub use lock::Lock;
pub use rusqlite::InterruptHandle;
pub use schema::{DAY, MINUTE};
use schema::{Series, all_series};
use sources::Row;
pub use succession::{Legacy, Lent, Untold};
use uniques::UniquesOfDays;

/// The file of a directory, opened.
#[derive(Debug)]
struct Opened {
    db: Db,
    bases: Bases,
    /// Nobody else has it meanwhile.
    lock: Option<Lock>,
    /// What is to be told of it.
    news: Option<Fault>,
}

/// Why it is not, and what earlier runs counted where that can be read all the same.
type Unopened = Box<(Fault, Option<Bases>)>;

/// A directory that is being opened, on another thread.
#[derive(Debug)]
pub struct Opening(Receiver<Result<Opened, Unopened>>);

/// What became of a minute.
#[derive(Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is stored where the history is wanted.
    Stored,
    /// It waits in memory, and why.
    Waits(Fault),
}

/// The history, and what of it the program needs to have at hand.
#[derive(Debug)]
pub struct History {
    /// Where it is wanted; `None` for memory.
    dir: Option<PathBuf>,
    /// The file there.
    file: Option<Db>,
    lock: Option<Lock>,
    /// The file, while another thread is about to open it.
    opening: Option<Opening>,
    /// Why there is no file.
    trouble: Fault,
    /// What is to be told of the file that there is.
    news: Option<Fault>,
    /// Where minutes are while there is no file, or it cannot be written.
    memory: Option<Db>,
    /// What readers look at.
    place: Arc<ArcSwap<PathBuf>>,
    /// What zones and addresses were called the last time.
    names: Names,
    /// By where the counter stands in a block.
    series: Vec<Series>,
    /// What each block had counted when the last minute was kept, shards, TCP, XDP; and of the file's totals
    /// what the board continues from.
    taken: Vec<Totals>,
    known: Vec<Totals>,
    known_past: Totals,
    /// When the last minute was kept, in seconds of Unix time.
    stored_at: u64,
    /// Up to when everything is stored, without a jump of the clock.
    stored_until: u64,
}

impl History {
    /// Opens the history in `dir`, or makes it, for a node whose zones and addresses are `names`, `now` in
    /// seconds of Unix time.
    ///
    /// # Errors
    /// If the directory or the file cannot be written, or is not a history that this program knows.
    pub fn open(dir: &Path, names: &Names, shards: usize, now: u64) -> Result<(Self, Bases), Fault> {
        let opened =
            open(dir, &all_series(names), shards, None, false, now).map_err(|unopened| unopened.0)?;
        Ok(Self::opened(dir, opened, names, now))
    }

    fn opened(dir: &Path, opened: Opened, names: &Names, now: u64) -> (Self, Bases) {
        let Opened { db, bases, lock, news } = opened;
        let mut history = Self::new(Some(dir.to_owned()), names, &bases, now);
        history.place.store(Arc::new(db.place.clone()));
        (history.file, history.lock) = (Some(db), lock);
        history.news = news;
        (history, bases)
    }

    /// A history that ends with the program.
    ///
    /// # Errors
    /// If there is no memory.
    pub fn in_memory(names: &Names, shards: usize, now: u64) -> Result<(Self, Bases), Fault> {
        Self::wait_in_memory(None, None, names, Bases::none(shards), now)
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
    ) -> Result<(Self, Bases), Fault> {
        let mut memory =
            db::in_memory(Some(image), HISTORY_IN_MEMORY_LEN_MAX, now, Bases::blocks_of(shards))?;
        let series = all_series(names);
        let bases = memory.begin(&series, shards, false, now);
        let bases = bases.map_err(|error| Fault::of(&error, Path::new("")))?;
        let mut history = Self::new(None, names, &bases, now);
        history.place.store(Arc::new(memory.place.clone()));
        history.memory = Some(memory);
        Ok((history, bases))
    }

    /// A history in memory that continues from `bases`, which a file may have that cannot be used; it is
    /// moved to `dir` once that can be.
    fn wait_in_memory(
        dir: Option<PathBuf>,
        trouble: Option<Fault>,
        names: &Names,
        bases: Bases,
        now: u64,
    ) -> Result<(Self, Bases), Fault> {
        let mut history = Self::new(dir, names, &bases, now);
        history.trouble = trouble.unwrap_or(history.trouble);
        let memory = in_memory(&mut history.memory, history.dir.is_some(), history.taken.len(), now)?;
        let blocks: Vec<_> = bases.blocks().map(|base| (base.total.clone(), base.left_out.clone())).collect();
        // Readers find the totals there that the board begins with.
        memory
            .put(&Minute {
                start: now,
                now,
                series: &history.series,
                moved: &Totals::default(),
                blocks: &blocks,
                past: &bases.past,
                sources: &[],
                uniques: &UniquesOfDays::default(),
            })
            .map_err(|error| Fault::of(&error, Path::new("")))?;
        history.place.store(Arc::new(memory.place.clone()));
        Ok((history, bases))
    }

    fn new(dir: Option<PathBuf>, names: &Names, bases: &Bases, now: u64) -> Self {
        let totals: Vec<Totals> = bases.blocks().map(|base| base.total.clone()).collect();
        Self {
            dir,
            file: None,
            lock: None,
            opening: None,
            trouble: Fault::silent(),
            news: None,
            memory: None,
            place: Arc::default(),
            names: names.clone(),
            series: all_series(names),
            taken: totals.clone(),
            known: totals,
            known_past: bases.past.total.clone(),
            stored_at: now,
            stored_until: now,
        }
    }

    /// Up to when everything is stored where it is wanted. A clock that has jumped ahead is not believed at
    /// once.
    #[must_use]
    pub const fn stored_until(&self) -> u64 {
        self.stored_until
    }

    /// Why the history is not where it is wanted.
    #[must_use]
    pub fn trouble(&self) -> Option<&Fault> {
        (self.dir.is_some() && self.file.is_none()).then_some(&self.trouble)
    }

    /// What became of the file that was there.
    pub const fn take_news(&mut self) -> Option<Fault> {
        self.news.take()
    }

    /// Tries again to open a directory that could not be used. What its file has is added to `board` and
    /// `uniques`, which continue from there; /metrics leaves that out.
    pub fn attend(&mut self, board: &Board, uniques: &mut UniquesOfDays, now: u64) {
        let (None, Some(dir)) = (&self.file, self.dir.clone()) else { return };
        let opened = match self.opening.as_ref().map(|opening| opening.0.try_recv()) {
            Some(Err(TryRecvError::Empty)) => return,
            Some(Ok(opened)) => opened,
            // Its thread has ended without a word, or there was none.
            Some(Err(TryRecvError::Disconnected)) | None => {
                open(&dir, &self.series, board.shards.len(), self.lock.take(), true, now)
            }
        };
        self.opening = None;
        match opened {
            Ok(opened) => self.adopt(opened, board, uniques),
            Err(unopened) => self.trouble = unopened.0,
        }
    }

    fn adopt(&mut self, opened: Opened, board: &Board, uniques: &mut UniquesOfDays) {
        let Opened { db, bases, lock, news } = opened;
        for (index, (block, base)) in board.blocks().zip(bases.blocks()).enumerate() {
            let more = base.total.since(&self.known[index]);
            self.known[index] += &more;
            self.taken[index] += &more;
            block.add_to_base(&Base::left_out(more));
        }
        let more = bases.past.total.since(&self.known_past);
        self.known_past += &more;
        add_to_past(board, &Base::left_out(more));
        uniques.merge(bases.uniques);
        (self.file, self.lock, self.news) = (Some(db), lock, news);
    }

    /// Keeps what was counted since the last time, as of the minute in which that was, with `sources` and
    /// `uniques`, and rolls up what is old enough at `now`. All of it or, with an error, nothing; then the
    /// next time keeps it too. While the file cannot be written, it waits in memory.
    ///
    /// Time moves on by at most [`HISTORY_AGED_AT_ONCE`]: what a wrong clock makes old is gone for good, and
    /// after a long sleep there is much to do.
    ///
    /// # Errors
    /// If there is no memory either.
    pub fn store(
        &mut self,
        board: &Board,
        sources: &[Row<'_>],
        uniques: &UniquesOfDays,
        now: u64,
    ) -> Result<Kept, Fault> {
        self.rename(board)?;
        let blocks: Vec<(Totals, Totals)> =
            board.blocks().map(|block| (block.read(), block.base.load().left_out.clone())).collect();
        let mut moved = Totals::default();
        for ((total, _), taken) in blocks.iter().zip(&self.taken) {
            moved += &total.since(taken);
        }
        let minute = Minute {
            start: self.stored_at,
            now,
            series: &self.series,
            moved: &moved,
            blocks: &blocks,
            past: &board.past.load(),
            sources,
            uniques,
        };
        let stored = match &mut self.file {
            Some(file) => put_into_file(file, &minute, board),
            None => Err(self.trouble.clone()),
        };
        let kept = match stored {
            // What has waited comes after that: to move it is much in vain while there is no room.
            Ok(()) => match self.take_what_waits() {
                Ok(()) => Kept::Stored,
                Err(fault) => Kept::Waits(self.failed(fault, now)),
            },
            Err(fault) => {
                let memory = in_memory(&mut self.memory, self.dir.is_some(), self.taken.len(), now)?;
                memory.put(&minute).map_err(|error| Fault::of(&error, Path::new("")))?;
                if self.dir.is_some() { Kept::Waits(self.failed(fault, now)) } else { Kept::Stored }
            }
        };
        (self.taken, self.stored_at) = (blocks.into_iter().map(|(total, _)| total).collect(), now);
        if kept == Kept::Stored {
            board.history.written(now);
            self.stored_until = now.min(self.stored_until + HISTORY_AGED_AT_ONCE.as_secs());
        }
        board.history.set_waits(kept != Kept::Stored);
        self.show_place(board);
        Ok(kept)
    }

    /// Moves all that waits in memory to the file, at once.
    fn take_what_waits(&mut self) -> Result<(), Fault> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if let Some(memory) = &self.memory {
            file.take(memory).map_err(|error| Fault::of(&error, &file.place))?;
        }
        self.memory = None;
        Ok(())
    }

    /// What is to be told of a file that could not be written. One that is corrupted is moved aside; the next
    /// minute begins a new one.
    fn failed(&mut self, fault: Fault, now: u64) -> Fault {
        self.trouble = match self.file.take() {
            Some(file) if fault.cause == Cause::Damaged => {
                let place = file.place.clone();
                drop(file);
                db::move_aside(&place, now, &fault).unwrap_or_else(|error| error)
            }
            file => {
                self.file = file;
                fault
            }
        };
        self.trouble.clone()
    }

    /// Readers follow the history to where it is.
    fn show_place(&self, board: &Board) {
        let Some(db) = self.file.as_ref().or(self.memory.as_ref()) else { return };
        if **self.place.load() != db.place {
            self.place.store(Arc::new(db.place.clone()));
            board.history.moved(self.shown_place());
        }
    }

    /// Where it is, for people.
    #[must_use]
    pub fn shown_place(&self) -> String {
        self.file.as_ref().map_or_else(|| "in memory".to_owned(), |file| file.place.display().to_string())
    }

    /// Learns what zones are called that came since the last time. One that earlier runs counted
    /// continues from there.
    fn rename(&mut self, board: &Board) -> Result<(), Fault> {
        let named = board.named.load_full();
        if named.counted == self.names {
            return Ok(());
        }
        let series = all_series(&named.counted);
        // Of a file that is yet to be opened everything is learnt then.
        let home = if self.dir.is_some() { &mut self.file } else { &mut self.memory };
        if let Some(db) = home {
            let bases = db.bases(&series, board.shards.len());
            let mut bases = bases.map_err(|error| Fault::of(&error, &db.place))?;
            for base in bases.blocks_mut() {
                for totals in [&mut base.total, &mut base.left_out] {
                    let mut new = Totals::default();
                    for (at, &total) in totals.counts().iter().enumerate() {
                        if series[at].labels != self.series.get(at).map_or("", |known| &known.labels) {
                            new.add(at, total);
                        }
                    }
                    *totals = new;
                }
            }
            for (index, (block, base)) in board.blocks().zip(bases.blocks()).enumerate() {
                block.add_to_base(base);
                self.taken[index] += &base.total;
                self.known[index] += &base.total;
                db.add_totals(index, &base.total);
            }
            self.known_past += &bases.past.total;
            add_to_past(board, &bases.past);
        }
        (self.series, self.names) = (series, named.counted.clone());
        Ok(())
    }

    /// Ages at once to `now`, however far that is.
    #[cfg(test)]
    pub(super) fn trust(&mut self, now: u64) {
        self.stored_until = now;
        self.file.iter_mut().chain(&mut self.memory).for_each(|db| db.trust(now));
    }

    /// Makes every store into the file fail, or none.
    #[cfg(test)]
    pub(super) fn forbid(&self, is_forbidden: bool) {
        let db = self.file.as_ref().or(self.memory.as_ref()).expect("there is one");
        db.connection.pragma_update(None, "query_only", is_forbidden).expect("a pragma that there is");
    }

    /// What a test asks.
    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.file.as_ref().or(self.memory.as_ref()).expect("there is one").connection
    }

    /// A way to read it while the thread that stores does.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn reader(&self) -> rusqlite::Result<Stored> {
        let at = self.place.load_full();
        Ok(Stored { db: connect(&at)?, at, place: Arc::clone(&self.place) })
    }
}

/// Opens the file of a directory for a run that counts on from it, also one that has begun before
/// (`is_late`).
fn open(
    dir: &Path,
    series: &[Series],
    shards: usize,
    lock: Option<Lock>,
    is_late: bool,
    now: u64,
) -> Result<Opened, Unopened> {
    let lock = make_dir(dir)
        .map_err(|error| Fault::of_system(&error))
        .and_then(|()| lock.map_or_else(|| Lock::take(dir), |lock| Ok(Some(lock))))
        .map_err(|fault| Box::new((fault, None)))?;
    let readable = |fault: Fault| {
        let may_be_read = matches!(fault.cause, Cause::Full | Cause::NotWritable | Cause::Other);
        let bases = may_be_read.then(|| db::peek(dir, series, shards, now)).flatten();
        Box::new((fault, bases))
    };
    let (mut db, news) = Db::in_dir(dir, now).map_err(readable)?;
    let begun = db.begin(series, shards, is_late, now);
    let bases = begun.map_err(|error| readable(Fault::of(&error, &db.place)))?;
    Ok(Opened { db, bases, lock, news })
}

/// Makes the directory, and in it the file, which has the networks of clients: not for everybody to read.
fn make_dir(dir: &Path) -> std::io::Result<()> {
    if !dir.is_dir() {
        fs::create_dir_all(dir)?;
    }
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o640).open(dir.join(FILE));
    // That it is there already is well; what else is wrong SQLite tells.
    drop(made);
    Ok(())
}

/// The database in memory; a new one if there is none.
fn in_memory(memory: &mut Option<Db>, is_waiting: bool, blocks: usize, now: u64) -> Result<&mut Db, Fault> {
    if memory.is_none() {
        let len_max = if is_waiting { HISTORY_WAITING_LEN_MAX } else { HISTORY_IN_MEMORY_LEN_MAX };
        *memory = Some(db::in_memory(None, len_max, now, blocks)?);
    }
    Ok(memory.as_mut().expect("it was made"))
}

fn put_into_file(file: &mut Db, minute: &Minute<'_>, board: &Board) -> Result<(), Fault> {
    board.history.set_log_len(file.log_len().inspect_err(|fault| {
        if let Cause::LogHeld(len) = fault.cause {
            board.history.set_log_len(len);
        }
    })?);
    file.put(minute).map_err(|error| Fault::of(&error, &file.place))
}

fn add_to_past(board: &Board, more: &Base) {
    board.past.rcu(|past| {
        let mut past = Base::clone(past);
        past.add(more);
        past
    });
}

fn connect(place: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(place)?;
    db.busy_timeout(HISTORY_READ_WAIT_MAX)?;
    db::sort_in_memory(&db)?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}

/// The history for those who only read.
#[derive(Debug)]
pub struct Stored {
    db: Connection,
    /// Where that is, and where the history is by now.
    at: Arc<PathBuf>,
    place: Arc<ArcSwap<PathBuf>>,
}

impl Stored {
    /// What to ask.
    pub(super) const fn connection(&self) -> &Connection {
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

/// What is to be said of the history in `dir`, without a change to it: what is wrong with it, or who uses it.
#[must_use]
pub fn examine(dir: &Path) -> Option<String> {
    let wrong = db::wrong(&dir.join(FILE)).map(|fault| fault.to_string());
    wrong.or_else(|| {
        let process = lock::holder(dir)?;
        let process =
            process.map_or_else(|| "another process".to_owned(), |process| format!("process {process}"));
        Some(format!("in use by {process}"))
    })
}

/// Now, in seconds of Unix time.
#[must_use]
pub fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
