//! How this process drops privileges, once everything that needs them is done.
//!
//! | file | what it knows |
//! |---|---|
//! | `rights.rs` | the user, the capabilities, no_new_privs |
//! | `files.rs` | landlock: which files may be opened, which ports connected to |
//! | `classes.rs` | for each class of threads the system calls that it makes, and no others |
//! | `filter.rs` | seccomp: the filter of a class, and the count of what it refused |
//!
//! [`process`](process()) comes before any thread is started, because user, capabilities and landlock are a
//! thread's own and pass to the threads that it starts. Each thread then takes its filter with
//! [`Confined::thread`], when it has made what takes more than serving does (a ring), and before it looks
//! at anything from outside. None of it can be undone. Rings confine themselves (`ring/uring.rs`): a filter
//! does not see what goes through one.

mod classes;
mod files;
mod filter;
mod process;
mod rights;

use std::fmt;
use std::io;
use std::path::PathBuf;

pub use classes::Class;
pub use filter::{Refused, refused};
pub use process::{Confined, become_user, process};

/// How much a means of confinement is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Want {
    /// If the kernel supports it.
    #[default]
    Auto,
    /// Required: without it the start fails.
    Required,
    /// Not at all.
    Off,
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Required => "required",
            Self::Off => "off",
        })
    }
}

/// What a process may do from now on.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The user to become. Without one, the first of `rights::USERS` that there is, if we are root.
    pub user: Option<String>,
    /// User and capabilities stay what they are: whoever has started the process works with files of its own.
    pub keeps_user: bool,
    /// The rules of landlock.
    pub landlock: Want,
    /// The filters of seccomp.
    pub seccomp: Want,
    /// Files, and directories with all below, that may be read.
    pub read: Vec<PathBuf>,
    /// Directories below which files may be read, made, written and removed. Created if missing.
    pub write: Vec<PathBuf>,
    /// A directory that we created, which becomes the user's: what is in it is removed at the end.
    pub own: Option<PathBuf>,
    /// Files of logs, which become the user's where they are root's: they are opened again.
    pub logs: Vec<PathBuf>,
    /// TCP ports that may be connected to.
    pub connect: Vec<u16>,
}

/// Why a process cannot be confined as it was asked for.
#[derive(Debug)]
pub enum ConfineError {
    /// There are threads already, which would stay as they are.
    Threads(usize),
    /// It cannot become that user.
    User {
        /// Who.
        user: String,
        /// Why not, and what to do.
        error: io::Error,
    },
    /// The kernel refused something that every kernel we run on has.
    Refused {
        /// What.
        what: &'static str,
        /// What it said.
        error: String,
    },
    /// What was required is not available.
    Unavailable {
        /// The key of the configuration.
        key: &'static str,
        /// Why not.
        reason: String,
    },
}

impl fmt::Display for ConfineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threads(count) => write!(
                f,
                "cannot confine the process: {count} threads run instead of one; please report this"
            ),
            Self::User { user, error } => write!(f, "cannot become user {user}: {error}"),
            Self::Refused { what, error } => write!(
                f,
                "cannot drop {what}: {error}; if the program runs in a sandbox, allow it \
                 there"
            ),
            Self::Unavailable { key, reason } => write!(
                f,
                "{key} is required but not available: {reason}; with `{key} = \"auto\"` in [confine] the \
                 node starts without"
            ),
        }
    }
}

impl std::error::Error for ConfineError {}

#[cfg(test)]
mod tests;
