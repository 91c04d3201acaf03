//! Files that a daemon reads, and that it writes to while it runs.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
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
