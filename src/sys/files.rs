//! Files that a daemon reads, and that it writes to while it runs.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Opens a file to read it whole. A pipe or a device is refused: what it holds may never come, or never end.
///
/// # Errors
/// What the kernel says, or that it is no file.
pub fn read(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let kind = file.metadata()?.file_type();
    // What a folder is, reading says.
    if kind.is_file() || kind.is_dir() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a pipe or a device, not a file"))
}

/// Opens a file to append lines to, and makes it if it is not there, readable for its group. Neither the open
/// nor a write waits for who reads a pipe of that name; a terminal does not become ours.
///
/// # Errors
/// What the kernel says: of a pipe that nobody reads, ENXIO.
pub fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

/// Sets the mode of the socket at `path`, and of nothing else that somebody may put there meanwhile who can
/// write to its folder.
///
/// # Errors
/// What the kernel says, or that no socket is there.
pub fn set_socket_mode(path: &Path, mode: u32) -> io::Result<()> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path)?;
    if !file.metadata()?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no socket"));
    }
    // A handle of this kind takes no fchmod(2).
    fs::set_permissions(format!("/proc/self/fd/{}", file.as_raw_fd()), Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn the_mode_of_a_socket_is_set_and_of_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
        let _socket = UnixListener::bind(at("socket")).unwrap();
        fs::write(at("file"), "").unwrap();
        fs::set_permissions(at("file"), Permissions::from_mode(0o600)).unwrap();
        for (name, to) in [("to_file", "file"), ("to_socket", "socket")] {
            std::os::unix::fs::symlink(at(to), at(name)).unwrap();
        }
        set_socket_mode(&at("socket"), 0o660).unwrap();
        for name in ["file", "to_file", "to_socket", "nothing"] {
            assert!(set_socket_mode(&at(name), 0o666).is_err(), "{name}");
        }
        assert_eq!((mode("socket"), mode("file")), (0o660, 0o600));
    }
}
