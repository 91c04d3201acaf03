//! Why the history cannot be used where it is wanted, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::sys::files;

/// Why the history cannot be opened or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind of fault.
    pub cause: Cause,
    /// What the system says.
    error: String,
}

/// A kind of fault, by what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Another node has the directory: its process, if it is known.
    Taken(Option<u32>),
    /// Another program has locked the file: its process, if it is known.
    Locked(Option<u32>),
    /// The file is corrupted, or not a database.
    Damaged,
    /// The file was corrupted, and is there now.
    MovedAside(PathBuf),
    /// A newer version of this program wrote it.
    Newer,
    /// Another program's database.
    Foreign,
    /// It may not be written.
    NotWritable,
    /// The disk is full.
    Full,
    /// The directory does not respond.
    Silent,
    /// A reader holds so many bytes of its log.
    LogHeld(u64),
    /// Anything else.
    Other,
}

impl Fault {
    pub(super) fn new(cause: Cause, error: impl fmt::Display) -> Self {
        Self { cause, error: error.to_string() }
    }

    /// Of SQLite, about a file; what its error says is without the cause where that says it better.
    pub(super) fn of(error: &rusqlite::Error, file: &Path) -> Self {
        let cause = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                let shared = with_suffix(file, "-shm");
                Cause::Locked(files::lock_holder(&[file, &shared]))
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Cause::Damaged,
            Some(ErrorCode::DiskFull) => Cause::Full,
            Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
                Cause::NotWritable
            }
            _ => Cause::Other,
        };
        Self::new(cause, error)
    }

    /// The same, of a corrupted file that was moved.
    pub(super) fn moved_aside(&self, to: PathBuf) -> Self {
        Self { cause: Cause::MovedAside(to), error: self.error.clone() }
    }

    /// Of the system, about the directory.
    pub(super) fn of_system(error: &io::Error) -> Self {
        let cause = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Cause::Full,
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotFound => Cause::NotWritable,
            _ => Cause::Other,
        };
        Self::new(cause, error)
    }

    /// The directory has not responded in time.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(Cause::Silent, "it does not respond")
    }
}

/// A file that SQLite keeps next to another.
pub(super) fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = |process: &Option<u32>| {
            process.map_or_else(|| "another process".to_owned(), |process| format!("process {process}"))
        };
        match &self.cause {
            Cause::Taken(by) => {
                write!(f, "{} uses it; give each node a directory of its own with [history] dir", process(by))
            }
            Cause::Locked(by) => write!(f, "{}; {} has locked it", self.error, process(by)),
            Cause::Damaged => write!(f, "{}; the file is corrupted", self.error),
            Cause::MovedAside(to) => write!(
                f,
                "{}; the corrupted file was moved to {}, and a new history begins",
                self.error,
                to.display()
            ),
            Cause::Newer => {
                write!(f, "{}; run the newer version that wrote it, or move the file away", self.error)
            }
            Cause::Foreign => write!(f, "{}; move the file away", self.error),
            Cause::NotWritable => {
                write!(f, "{}; give a directory that this node can write to with [history] dir", self.error)
            }
            Cause::Full => write!(f, "{}; free some space on its disk", self.error),
            Cause::LogHeld(len) => write!(
                f,
                "a reader of the file keeps its log at {} MiB; end that reader",
                len.div_ceil(1 << 20)
            ),
            Cause::Silent | Cause::Other => f.write_str(&self.error),
        }
    }
}
