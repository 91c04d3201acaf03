//! The user, the capabilities, and that no program that we could execute would have more.

use std::fs;
use std::io;

use caps::{CapSet, Capability, CapsHashSet};

use super::{ConfineError, Plan};
use crate::sys::{files, user};

/// The user that owns nothing, which other programs may run as too.
const NOBODY: &str = "nobody";
/// The default user: the one that packages create, else the one that owns nothing.
pub(super) const USERS: [&str; 2] = ["as112d", NOBODY];

/// Becomes the user of the `plan`, or where none is named and we are root the first of [`USERS`] that exists;
/// says which user we are. What the plan says becomes that user's.
pub(super) fn become_user(plan: &Plan, notes: &mut Vec<String>) -> Result<String, ConfineError> {
    // Rings count against RLIMIT_MEMLOCK once we are no longer root.
    raise_memlock();
    if let Some(user) = plan.user.as_deref() {
        give(plan, user, notes);
        return match user::drop_privileges(user) {
            Ok(()) => Ok(user.to_owned()),
            Err(error) => Err(ConfineError::User { user: user.to_owned(), error }),
        };
    }
    if !user::is_root() {
        return Ok(format!("uid {}", user::own_uid()));
    }
    let Some(user) = USERS.into_iter().find(|user| user::exists(user).is_ok()) else {
        notes.push(format!("running as root: there is no user {} or {}; create one", USERS[0], USERS[1]));
        return Ok("root".to_owned());
    };
    give(plan, user, notes);
    match user::drop_privileges(user) {
        Ok(()) => Ok(user.to_owned()),
        // A container may have no other user than its root.
        Err(error) if user::is_root() => {
            notes.push(format!("running as root: cannot become {user} ({error})"));
            Ok("root".to_owned())
        }
        Err(error) => Err(ConfineError::User { user: user.to_owned(), error }),
    }
}

/// Gives to a user what is to be its own, if we may. The files of logs, for it opens them again. And a
/// directory, with what is in it to its group: the removal of that depends on it, and so does access of the
/// group to the control socket; but not to the user that many programs share, who could all stop the node.
fn give(plan: &Plan, user: &str, notes: &mut Vec<String>) {
    let Ok((uid, gid)) = user::ids(user) else { return };
    for file in &plan.logs {
        // What is wrong with it has been told, or will be: it is open already.
        let _ = files::give(file, uid, gid);
    }
    let Some(folder) = plan.own.as_deref() else { return };
    if user == NOBODY {
        let note = "only root can use the control socket, as other programs run as nobody too; create a user \
                    as112d for the node";
        return notes.push(note.to_owned());
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let _ = std::os::unix::fs::lchown(entry.path(), None, Some(gid));
    }
    let _ = std::os::unix::fs::chown(folder, Some(uid), Some(gid));
}

/// As far as we may. Where it stays too low the ring says so when it is made.
fn raise_memlock() {
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `unlimited` is read during the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited) } == 0 {
        return;
    }
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is ours to be written to.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } == 0 {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is read during the call.
        unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
    }
}

/// Takes away what programs that we could execute might get. That takes a capability, so it comes before the
/// user; without it, [`give_up`] has the same effect.
pub(super) fn bound() -> Result<(), ConfineError> {
    if !caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false) {
        return Ok(());
    }
    // Those that a container has taken already are no matter.
    let bounding = caps::read(None, CapSet::Bounding).unwrap_or_default();
    bounding.into_iter().try_for_each(|capability| {
        caps::drop(None, CapSet::Bounding, capability)
            .map_err(|error| ConfineError::Refused { what: "capabilities", error: error.to_string() })
    })
}

/// Keeps what the process has, and the ways to get more closed; says who that is.
pub(super) fn keep() -> Result<String, ConfineError> {
    no_new_privs()?;
    Ok(format!("uid {}", user::own_uid()))
}

/// Drops every capability, and the ways to get one back.
pub(super) fn give_up() -> Result<(), ConfineError> {
    let refused = |what| move |error: String| ConfineError::Refused { what, error };
    no_new_privs()?;
    let none = CapsHashSet::new();
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        if caps::read(None, set).is_ok_and(|held| held.is_empty()) {
            continue;
        }
        let given_up = match set {
            CapSet::Ambient => caps::clear(None, set),
            _ => caps::set(None, set, &none),
        };
        given_up.map_err(|error| refused("capabilities")(error.to_string()))?;
    }
    Ok(())
}

fn no_new_privs() -> Result<(), ConfineError> {
    // SAFETY: plain numbers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error().to_string();
    Err(ConfineError::Refused { what: "new privileges", error })
}
