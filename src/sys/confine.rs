//! What this process gives up, once everything that takes rights is done.
//!
//! | file | what it knows |
//! |---|---|
//! | `rights.rs` | the user, the capabilities, no_new_privs |
//! | `files.rs` | landlock: which files may be opened, which ports connected to |
//! | `classes.rs` | for each class of threads the system calls that it makes, and no others |
//! | `filter.rs` | seccomp: the filter of a class, and the count of what it refused |
//!
//! [`process`] comes before any thread is started, because user, capabilities and landlock are a thread's own
//! and pass to the threads that it starts. Each thread then takes its filter with [`Confined::thread`], when
//! it has made what takes more than serving does (a ring), and before it looks at anything from outside.
//! Nothing of it can be taken back. Rings confine themselves (`ring/uring.rs`): a filter does not see what
//! goes through one.

mod classes;
mod files;
mod filter;
mod rights;

use std::fmt;
use std::io;
use std::path::PathBuf;

pub use classes::Class;
pub use filter::{Refused, refused};

/// How much a means of confinement is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Want {
    /// If the kernel has it.
    #[default]
    Auto,
    /// It, or no start.
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
    /// The rules of landlock.
    pub landlock: Want,
    /// The filters of seccomp.
    pub seccomp: Want,
    /// Files, and folders with all below, that may be read.
    pub read: Vec<PathBuf>,
    /// Folders below which files may be read, made, written and removed. Made where they are not there.
    pub write: Vec<PathBuf>,
    /// A folder of our own making, which becomes the user's: what is in it is taken away at the end.
    pub own: Option<PathBuf>,
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
    /// What was required cannot be had.
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

/// What became of a [`Plan`]; it gives the threads their filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confined {
    /// The user that the process runs as.
    pub user: String,
    /// What landlock holds it to: "files", "files and ports", or "off" and why.
    pub landlock: String,
    /// "on", or "off" and why.
    pub seccomp: String,
    /// What was asked for and is not there, or is weaker than one might think: a sentence each.
    pub notes: Vec<String>,
    has_filters: bool,
}

/// Confines this process for good. Open everything that takes rights before, and start threads after.
///
/// # Errors
/// [`ConfineError`]: it cannot be confined as it was asked for. It may be half-way and must end.
pub fn process(plan: &Plan) -> Result<Confined, ConfineError> {
    let threads = rights::threads();
    if threads > 1 {
        return Err(ConfineError::Threads(threads));
    }
    rights::bound()?;
    let mut confined = Confined::default();
    confined.user = rights::become_user(plan.user.as_deref(), plan.own.as_deref(), &mut confined.notes)?;
    rights::give_up()?;
    confined.landlock = files::confine(plan, &mut confined.notes)?;
    (confined.has_filters, confined.seccomp) = filter::available(plan.seccomp)?;
    if plan.seccomp == Want::Auto && !confined.has_filters {
        confined.notes.push(format!("no system call filter: {}", confined.seccomp));
    }
    Ok(confined)
}

impl Confined {
    /// Takes from the calling thread every system call but those of its class. A call that is refused gets
    /// EPERM and is counted ([`refused`]). Signals that others send are left to the thread that is here for
    /// them: a handler makes calls that the class of the thread it interrupts does not.
    ///
    /// # Errors
    /// If the kernel refuses the filter; the thread must end.
    pub fn thread(&self, class: Class) -> Result<(), String> {
        if !self.has_filters {
            return Ok(());
        }
        let blocked = filter::set_signals(class == Class::Signals);
        blocked.map_err(|error| format!("cannot set its signal mask: {error}"))?;
        filter::apply(class).map_err(|error| format!("cannot install its system call filter: {error}"))
    }
}

/// Becomes the user that [`process`] would, and gives up nothing else; says who that is.
///
/// # Errors
/// As those of [`process`].
pub fn become_user(user: Option<&str>) -> Result<String, ConfineError> {
    rights::become_user(user, None, &mut Vec::new())
}

#[cfg(test)]
mod tests;
