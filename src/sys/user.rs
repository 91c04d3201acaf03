//! Becoming an ordinary user once the ports are bound.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// Bytes for the strings of one entry of the user database; grown on ERANGE up to [`ENTRY_LEN_MAX`].
const ENTRY_LEN: usize = 1024;
const ENTRY_LEN_MAX: usize = 1 << 20;

/// Makes all threads of the process run as `user`, with its groups, for good: there is no way back, and that
/// is tried. It also ends all capabilities, so bind ports and size buffers before.
///
/// # Errors
///
/// With what to do: the user does not exist (`NotFound`), we are not root (`PermissionDenied`), or the kernel
/// refuses. A process that got an error here may be half-way and must end.
pub fn drop_privileges(user: &str) -> io::Result<()> {
    let (name, uid, gid) = named(user)?;
    if own_uid() == uid {
        return Ok(());
    }
    if !is_root() {
        let way_out = "only root can change user; start as root, or leave `user` out";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, way_out));
    }
    // Groups first: the right to change them goes with the user. The C library applies each call to all
    // threads.
    // SAFETY: `name` is a C string that lives through the call.
    check(unsafe { libc::initgroups(name.as_ptr(), gid) })?;
    // SAFETY: plain numbers.
    check(unsafe { libc::setresgid(gid, gid, gid) })?;
    // SAFETY: plain numbers.
    check(unsafe { libc::setresuid(uid, uid, uid) })?;
    // SAFETY: plain numbers; it must fail.
    if unsafe { libc::setresuid(0, 0, 0) } == 0 {
        return Err(io::Error::other("the process could become root again"));
    }
    Ok(())
}

/// Whether there is such a user for [`drop_privileges`].
///
/// # Errors
///
/// As those of [`drop_privileges`] that tell of the user alone.
pub fn exists(user: &str) -> io::Result<()> {
    named(user).map(|_| ())
}

/// The numbers of a user and of its first group.
///
/// # Errors
///
/// As [`exists`].
pub fn ids(user: &str) -> io::Result<(u32, u32)> {
    named(user).map(|(_, uid, gid)| (uid, gid))
}

/// Whether this process is root.
#[must_use]
pub fn is_root() -> bool {
    own_uid() == 0
}

/// The number of the user that this process is.
#[must_use]
pub fn own_uid() -> u32 {
    // SAFETY: reads a number of this process.
    unsafe { libc::geteuid() }
}

/// The user's name for the C library, and its numbers; root is refused.
fn named(user: &str) -> io::Result<(CString, libc::uid_t, libc::gid_t)> {
    let invalid = |message| io::Error::new(io::ErrorKind::InvalidInput, message);
    let name = CString::new(user).map_err(|_| invalid("a name has no NUL"))?;
    let (uid, gid) = look_up(&name)?;
    if uid == 0 {
        return Err(invalid("it is root; choose an unprivileged user"));
    }
    Ok((name, uid, gid))
}

/// The numbers of a user and of its first group, from the user database.
fn look_up(name: &CString) -> io::Result<(libc::uid_t, libc::gid_t)> {
    let mut strings = vec![0; ENTRY_LEN];
    loop {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut found = ptr::null_mut();
        // SAFETY: `name` is a C string; `entry`, `strings` (with its length) and `found` are ours to be
        // written to, and all live through the call.
        let errno = unsafe {
            let (strings, len) = (strings.as_mut_ptr(), strings.len());
            libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), strings, len, &raw mut found)
        };
        match errno {
            libc::EINTR => {}
            libc::ERANGE if strings.len() < ENTRY_LEN_MAX => strings.resize(2 * strings.len(), 0),
            0 if !found.is_null() => {
                // SAFETY: it was found, so the call has filled `entry`; only numbers are read from it.
                let entry = unsafe { entry.assume_init() };
                return Ok((entry.pw_uid, entry.pw_gid));
            }
            // "Not found" has several spellings: getpwnam_r(3).
            0 | libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM => {
                return Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    "no such user; create it, or choose another",
                ));
            }
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_users_and_root_are_refused_with_a_way_out() {
        let error = drop_privileges("no-such-user-here").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("create it"), "{error}");
        assert_eq!(exists("no-such-user-here").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(exists("root").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(drop_privileges("root").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(drop_privileges("a\0b").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(look_up(&CString::new("root").unwrap()).unwrap(), (0, 0));
    }

    /// In a child, as there is no way back: it becomes `nobody`, and so do threads that it had started
    /// before.
    #[test]
    fn all_threads_of_a_child_change_for_good() {
        const MARK: &str = "AS112D_TEST_DROP_PRIVILEGES";
        if std::env::var_os(MARK).is_none() {
            if !is_root() {
                assert_eq!(drop_privileges("daemon").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
                return;
            }
            let me = std::env::current_exe().unwrap();
            let test = "sys::user::tests::all_threads_of_a_child_change_for_good";
            let output =
                std::process::Command::new(me).args(["--exact", test]).env(MARK, "1").output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
            return;
        }
        let (ask, asked) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            asked.recv().unwrap();
            std::fs::read_to_string("/proc/thread-self/status").unwrap()
        });
        let (uid, gid) = look_up(&CString::new("nobody").unwrap()).unwrap();
        drop_privileges("nobody").unwrap();
        drop_privileges("nobody").unwrap();
        ask.send(()).unwrap();
        let status = other.join().unwrap();
        let line = |name: &str, id: u32| format!("{name}:\t{id}\t{id}\t{id}\t{id}\n");
        assert!(status.contains(&line("Uid", uid)) && status.contains(&line("Gid", gid)), "{status}");
        assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    }
}
