//! Files that a daemon writes to while it runs.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

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
