//! Files below a directory that somebody else may write to: what is opened lies below it, whatever has been
//! put there. The kernel alone can see to that (openat2(2)): between a look at a path and its opening
//! anything may become a link.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2, readlinkat};

/// A directory. It stays the same one when its name is given to another.
#[derive(Debug)]
pub struct Folder(OwnedFd);

/// Nothing outside, no symbolic link, none of those of /proc.
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// A directory that others are opened below. No child gets it.
const FOLDER: OFlags = OFlags::CLOEXEC.union(OFlags::PATH).union(OFlags::DIRECTORY);

/// A file that is read. No child gets it, no terminal becomes ours, and nobody waits for the writer of a
/// pipe.
const FILE: OFlags = OFlags::CLOEXEC.union(OFlags::NOCTTY).union(OFlags::NONBLOCK);

impl Folder {
    /// Opens the directory at `path`, which is the operator's: links are followed.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::open(path, FOLDER, Mode::empty())?))
    }

    /// A directory below it.
    ///
    /// # Errors
    /// What the kernel says; of a link ELOOP.
    pub fn folder(&self, path: &Path) -> io::Result<Self> {
        Ok(Self(openat2(&self.0, path, FOLDER, Mode::empty(), BENEATH)?))
    }

    /// Opens a file below it to read it.
    ///
    /// # Errors
    /// What the kernel says: of a link ELOOP, of what is elsewhere EXDEV; EINVAL if it is not a file.
    pub fn file(&self, path: &Path) -> io::Result<File> {
        let file = File::from(openat2(&self.0, path, FILE, Mode::empty(), BENEATH)?);
        if file.metadata()?.is_file() {
            return Ok(file);
        }
        Err(io::Error::from_raw_os_error(libc::EINVAL))
    }

    /// What the symbolic link of this name says.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn link(&self, name: &Path) -> io::Result<PathBuf> {
        use std::os::unix::ffi::OsStringExt as _;
        let target = readlinkat(&self.0, name, Vec::new())?;
        Ok(std::ffi::OsString::from_vec(target.into_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_what_lies_below_is_opened() {
        let outside = tempfile::tempdir().unwrap();
        let at = outside.path().join("folder");
        fs::create_dir_all(at.join("a")).unwrap();
        fs::write(outside.path().join("secret"), "secret").unwrap();
        fs::write(at.join("a/file"), "text").unwrap();
        for (link, to) in [("link", "a/file"), ("up", "../secret"), ("a/whole", "/etc/passwd"), ("by", "a")] {
            symlink(to, at.join(link)).unwrap();
        }
        rustix::fs::mknodat(rustix::fs::CWD, at.join("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR, 0)
            .unwrap();
        let folder = Folder::open(&at).unwrap();
        let mut text = String::new();
        folder.file(Path::new("a/file")).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        folder.folder(Path::new("a")).unwrap().file(Path::new("file")).unwrap();
        for (path, error) in [
            ("link", libc::ELOOP),
            ("up", libc::ELOOP),
            ("a/whole", libc::ELOOP),
            ("by/file", libc::ELOOP),
            ("../secret", libc::EXDEV),
            ("a/../../secret", libc::EXDEV),
            ("/etc/passwd", libc::EXDEV),
            ("pipe", libc::EINVAL),
            ("a", libc::EINVAL),
            ("nothing", libc::ENOENT),
        ] {
            assert_eq!(folder.file(Path::new(path)).unwrap_err().raw_os_error(), Some(error), "{path}");
        }
        assert_eq!(folder.folder(Path::new("by")).unwrap_err().raw_os_error(), Some(libc::ELOOP));
        assert_eq!(folder.link(Path::new("up")).unwrap(), Path::new("../secret"));
    }

    #[test]
    fn it_stays_the_folder_that_it_was() {
        let outside = tempfile::tempdir().unwrap();
        let at = |name: &str| outside.path().join(name);
        fs::create_dir(at("one")).unwrap();
        fs::create_dir(at("two")).unwrap();
        fs::write(at("one/file"), "one").unwrap();
        let folder = Folder::open(&at("one")).unwrap();
        fs::rename(at("one"), at("three")).unwrap();
        fs::rename(at("two"), at("one")).unwrap();
        folder.file(Path::new("file")).unwrap();
    }
}
