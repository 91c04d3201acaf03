//! The steps in which a process is confined, and then each of its threads.

use std::os::fd::RawFd;

use super::classes::{Class, Granted};
use super::{ConfineError, Plan, Want, files, filter, rights};
use crate::sys::process::threads;

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
    granted: Granted,
}

/// Confines this process for good. Open everything that takes rights before, and start threads after.
///
/// # Errors
/// [`ConfineError`]: it cannot be confined as it was asked for. It may be half-way and must end.
pub fn process(plan: &Plan) -> Result<Confined, ConfineError> {
    let threads = threads();
    if threads > 1 {
        return Err(ConfineError::Threads(threads));
    }
    let mut confined = Confined::default();
    if plan.keeps_user {
        confined.user = rights::keep()?;
    } else {
        rights::bound()?;
        confined.user = rights::become_user(plan, &mut confined.notes)?;
        rights::give_up()?;
    }
    confined.landlock = files::confine(plan, &mut confined.notes)?;
    (confined.has_filters, confined.seccomp) = filter::available(plan.seccomp)?;
    if plan.seccomp == Want::Auto && !confined.has_filters {
        confined.notes.push(format!("no system call filter: {}", confined.seccomp));
    }
    Ok(confined)
}

impl Confined {
    /// Whether landlock holds the process to the ports of its plan: with its ABI 4 (Linux 6.7) it does.
    #[must_use]
    pub fn limits_ports(&self) -> bool {
        let version = self.landlock.strip_prefix("on, limited to ABI version ");
        let version = version.and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        self.landlock == "on" || version.is_some_and(|version| version >= 4)
    }

    /// The same for threads that write to these descriptors to wake each other.
    #[must_use]
    pub fn with_wakers(&self, wakers: Vec<RawFd>) -> Self {
        let granted = Granted { wakers, ..self.granted };
        Self { granted, ..self.clone() }
    }

    /// The same for workers that connect to local sockets, if they do.
    #[must_use]
    pub fn with_local_sockets(&self, local_sockets: bool) -> Self {
        let granted = Granted { local_sockets, ..self.granted.clone() };
        Self { granted, ..self.clone() }
    }

    /// Takes from the calling thread every system call but those of its class. A call that is refused gets
    /// EPERM and is counted ([`refused`](super::refused)). Signals that others send are left to the thread
    /// that is here for them: a handler makes calls that the class of the thread it interrupts does not.
    ///
    /// # Errors
    /// If the kernel refuses the filter; the thread must end.
    pub fn thread(&self, class: Class) -> Result<(), String> {
        if class.is_nice() {
            be_nice();
        }
        if !self.has_filters {
            return Ok(());
        }
        let blocked = filter::set_signals(class.takes_signals());
        blocked.map_err(|error| format!("cannot set its signal mask: {error}"))?;
        filter::apply(class, &self.granted)
            .map_err(|error| format!("cannot install its system call filter: {error}"))
    }
}

/// From now on the calling thread takes a CPU that nobody else wants. It may always want less.
fn be_nice() {
    // SAFETY: plain numbers; 0 is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
}

/// Becomes the user that [`process`] would, and drops nothing else; says which user that is.
///
/// # Errors
/// As those of [`process`].
pub fn become_user(user: Option<&str>) -> Result<String, ConfineError> {
    rights::become_user(&Plan { user: user.map(str::to_owned), ..Plan::default() }, &mut Vec::new())
}
