//! Files that a daemon reads, and that it writes to while it runs.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufRead as _, BufReader, Read, Seek as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::limits::FILE_READINGS_MAX;

/// Reads a file whole; of one that is longer than `len_max` bytes one more, which tells. The beginning of one
/// version is not read with the end of another, unless its writer pauses in the middle: what was read is
/// compared with the file, and read again where they differ.
///
/// A pipe or a device is refused: what it holds may never come, or never end.
///
/// # Errors
/// What the kernel says, that it is not a file, or that it keeps changing.
pub fn read(path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
    let mut file = open(path)?;
    for _ in 0..FILE_READINGS_MAX {
        let mut bytes = Vec::new();
        file.by_ref().take(len_max + 1).read_to_end(&mut bytes)?;
        file.rewind()?;
        if is_still(file.by_ref().take(len_max + 1), &bytes)? {
            return Ok(bytes);
        }
        file.rewind()?;
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, "it changed while it was read"))
}

/// Whether `file` holds these bytes and no more.
fn is_still(file: impl Read, mut bytes: &[u8]) -> io::Result<bool> {
    let mut file = BufReader::new(file);
    loop {
        let found = file.fill_buf()?;
        if found.is_empty() {
            return Ok(bytes.is_empty());
        }
        let Some(rest) = bytes.strip_prefix(found) else { return Ok(false) };
        bytes = rest;
        let len = found.len();
        file.consume(len);
    }
}

/// Opens a file to read it, if it is one.
///
/// # Errors
/// What the kernel says, or that it is a pipe or a device.
pub fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let kind = file.metadata()?.file_type();
    // A directory fails when it is read.
    if kind.is_file() || kind.is_dir() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "a pipe or a device, not a file"))
}

/// Opens a file to append lines to, and makes it if it is not there, readable for its group. Neither the open
/// nor a write waits for the reader of a pipe of that name (O_NONBLOCK); a terminal does not become ours
/// (O_NOCTTY). No symbolic link is followed (O_NOFOLLOW): whoever can write to the directory would have root
/// write to any file; those of /dev are nobody's to change.
///
/// # Errors
/// What the kernel says: of a pipe that nobody reads, ENXIO; or that it is a link.
pub fn append(path: &Path) -> io::Result<File> {
    let follow = if path.starts_with("/dev") { 0 } else { libc::O_NOFOLLOW };
    let opened = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | follow)
        .open(path);
    opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) => {
            io::Error::new(io::ErrorKind::InvalidInput, "it is a symbolic link, which is not followed")
        }
        _ => error,
    })
}

/// Gives a file that lines are appended to, and that is root's, to a user who will open it again.
///
/// # Errors
/// As those of [`append`], or that it cannot be given away.
pub fn give(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let file = append(path)?;
    let found = file.metadata()?;
    // A device or a pipe of root's is others' too.
    if !found.is_file() || found.uid() != 0 {
        return Ok(());
    }
    std::os::unix::fs::fchown(&file, Some(uid), Some(gid))
}

/// The directory that `path` is in.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or_else(|| Path::new("."))
}

/// Puts a file with this text at `path`, whole or not at all, even if the host loses its power; a directory
/// that is not there is made. It is written at `unfinished` first, in the same directory: what a crash has
/// left there is removed, and nothing that somebody has put there is followed or written to (O_EXCL).
///
/// # Errors
/// What the kernel says. Nothing is left at `unfinished` then.
pub fn replace(path: &Path, unfinished: &Path, text: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let write = || {
        fs::create_dir_all(folder)?;
        match fs::remove_file(unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::create_new(unfinished)?;
        io::Write::write_all(&mut file, text)?;
        file.sync_all()?;
        fs::rename(unfinished, path)?;
        File::open(folder)?.sync_all()
    };
    write().inspect_err(|_| {
        // On a full disk even the part of a file is in the way. It may not be there.
        let _ = fs::remove_file(unfinished);
    })
}

/// Sets the mode of the socket at `path`, and of nothing else that may be put there meanwhile by whoever can
/// write to its directory.
///
/// # Errors
/// What the kernel says, or that no socket is there.
pub fn set_socket_mode(path: &Path, mode: u32) -> io::Result<()> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path)?;
    if !file.metadata()?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a socket"));
    }
    // A handle of this kind takes no fchmod(2).
    fs::set_permissions(format!("/proc/self/fd/{}", file.as_raw_fd()), Permissions::from_mode(mode))
}

/// Takes the lock on a whole file for whoever holds this description of it (an OFD lock): descriptors that
/// are copies of this one, also in other processes, hold the same lock. Whether it was free.
///
/// # Errors
/// What the kernel says; a file system may have no locks.
pub fn lock(file: &File) -> io::Result<bool> {
    match lock_call(file, libc::F_OFD_SETLK) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether anybody else holds such a lock, or a lock of a process.
#[must_use]
pub fn is_locked(file: &File) -> bool {
    lock_call(file, libc::F_OFD_GETLK).is_ok_and(|lock| i32::from(lock.l_type) != libc::F_UNLCK)
}

/// Which other process has a lock on one of these files to write, as far as the kernel tells. None of them is
/// opened: a process that closes a file loses the locks that it has on it.
#[must_use]
pub fn lock_holder(paths: &[&Path]) -> Option<u32> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let inodes: Vec<u64> = paths.iter().filter_map(|path| Some(fs::metadata(path).ok()?.ino())).collect();
    locks.lines().find_map(|line| {
        // Such as `1: POSIX  ADVISORY  WRITE 1234 08:02:5678 120 120`.
        let mut words = line.split_whitespace().skip_while(|word| *word != "WRITE").skip(1);
        let process = words.next()?.parse().ok().filter(|process| *process != std::process::id())?;
        let inode = words.next()?.rsplit_once(':')?.1.parse().ok()?;
        inodes.contains(&inode).then_some(process)
    })
}

fn lock_call(file: &File, command: libc::c_int) -> io::Result<libc::flock> {
    // SAFETY: a lock is plain numbers, for which all zeros are a value: from the beginning to the end.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: the descriptor is open, and `lock` is ours, read and written during the call only.
    if unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) } == 0 {
        Ok(lock)
    } else {
        Err(io::Error::last_os_error())
    }
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

    /// Whoever can write to the directory has put links there, to have others write elsewhere.
    #[test]
    fn nothing_is_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("precious"), "as it was").unwrap();
        for name in ["node.log", "page.new"] {
            std::os::unix::fs::symlink(at("precious"), at(name)).unwrap();
        }
        let error = append(&at("node.log")).unwrap_err().to_string();
        assert!(error.starts_with("it is a symbolic link"), "{error}");
        append(Path::new("/dev/stderr")).map(drop).unwrap_or_default();
        replace(&at("page"), &at("page.new"), b"text").unwrap();
        assert_eq!(fs::read(at("page")).unwrap(), b"text");
        assert!(fs::symlink_metadata(at("page")).unwrap().is_file());
        assert!(fs::symlink_metadata(at("page.new")).is_err());
        assert_eq!(fs::read(at("precious")).unwrap(), b"as it was");
    }

    #[test]
    fn a_file_is_replaced_in_one_piece_and_a_failure_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (path, unfinished) = (folder.path().join("a/b"), folder.path().join("a/.b.new"));
        for text in ["one", "two"] {
            replace(&path, &unfinished, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        // A file cannot take the place of a directory.
        fs::create_dir(folder.path().join("a/c")).unwrap();
        replace(&folder.path().join("a/c"), &unfinished, b"three").unwrap_err();
        assert!(!unfinished.exists());
    }

    #[test]
    fn a_file_is_read_as_far_as_it_may_be_long() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["", "some", &"more ".repeat(5000)] {
            fs::write(file.path(), text).unwrap();
            assert_eq!(read(file.path(), text.len() as u64).unwrap(), text.as_bytes());
            assert_eq!(read(file.path(), 1).unwrap(), &text.as_bytes()[..text.len().min(2)]);
        }
    }

    #[test]
    fn another_version_is_noticed_wherever_it_differs() {
        let text = "x".repeat(20_000);
        assert!(is_still(text.as_bytes(), text.as_bytes()).unwrap());
        for at in [0, 8191, 8192, 19_999] {
            let mut other = text.clone();
            other.replace_range(at..=at, "y");
            assert!(!is_still(other.as_bytes(), text.as_bytes()).unwrap());
            assert!(!is_still(&text.as_bytes()[..at], text.as_bytes()).unwrap(), "shorter");
            assert!(!is_still(text.as_bytes(), &text.as_bytes()[..at]).unwrap(), "longer");
        }
    }
}
