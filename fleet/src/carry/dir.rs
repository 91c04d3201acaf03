//! A fleet's tree in a folder: one that several hosts share, or the checkout of a repository that people
//! pull.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use as112d::sys::files;
use tokio::time::Instant;

use super::{Fault, Partial, Said, Wake};
use crate::limits::{COPY_LEN, FOLDER_LOOK, LOG_LEN_MAX, VALUE_LEN_MAX};

/// The folder of one fleet.
#[derive(Clone, Debug)]
pub struct Dir {
    root: PathBuf,
}

impl Dir {
    /// The tree of `fleet` below `path`.
    #[must_use]
    pub fn new(path: &Path, fleet: &str) -> Self {
        Self { root: path.join(fleet) }
    }

    pub(super) fn read(&self, name: &str, len_max: u64) -> Result<Option<Vec<u8>>, Fault> {
        let path = self.root.join(name);
        let bytes = match files::read(&path, len_max) {
            Err(error) if is_nothing(&error) => return self.nothing(),
            read => read.map_err(|error| failed(&path, &error))?,
        };
        if bytes.len() as u64 > len_max {
            return Err(Fault::TooLong(format!("{}: it has more than {len_max} bytes", path.display())));
        }
        Ok(Some(bytes))
    }

    /// Nothing has that name; unless the whole tree is gone, as with a file system that is not mounted.
    fn nothing<T>(&self) -> Result<Option<T>, Fault> {
        if self.root.is_dir() {
            return Ok(None);
        }
        Err(Fault::Away(format!("{}: there is no such folder", self.root.display())))
    }

    pub(super) fn list(&self, folder: &str) -> Result<Vec<String>, Fault> {
        let path = self.root.join(folder);
        let entries = match fs::read_dir(&path) {
            Err(error) if is_nothing(&error) => return Ok(self.nothing()?.unwrap_or_default()),
            entries => entries.map_err(|error| failed(&path, &error))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| failed(&path, &error))?.file_name();
            // What is written has a name that begins with a dot until it is whole.
            names.extend(name.to_str().filter(|name| !name.starts_with('.')).map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn fetch(&self, name: &str, partial: &mut Partial) -> Result<bool, Fault> {
        let path = self.root.join(name);
        let mut file = match files::open(&path) {
            Err(error) if is_nothing(&error) => return Ok(self.nothing::<()>()?.is_some()),
            opened => opened.map_err(|error| failed(&path, &error))?,
        };
        file.seek(SeekFrom::Start(partial.have())).map_err(|error| failed(&path, &error))?;
        let mut bytes = vec![0; COPY_LEN];
        loop {
            match file.read(&mut bytes).map_err(|error| failed(&path, &error))? {
                0 => return Ok(true),
                len => partial.push(&bytes[..len])?,
            }
        }
    }

    pub(super) fn store(&self, name: &str, bytes: &[u8]) -> Result<bool, Fault> {
        let path = self.root.join(name);
        if fs::metadata(&path).is_ok_and(|found| found.len() == bytes.len() as u64) {
            return Ok(false);
        }
        replace(&path, bytes).map(|()| true)
    }

    pub(super) fn store_file(&self, name: &str, file: &Path) -> Result<bool, Fault> {
        let path = self.root.join(name);
        let len = fs::metadata(file).map_err(|error| failed(file, &error))?.len();
        if fs::metadata(&path).is_ok_and(|found| found.len() == len) {
            return Ok(false);
        }
        let copy = || {
            let unfinished = unfinished(&path);
            fs::create_dir_all(files::folder_of(&path))?;
            fs::copy(file, &unfinished)?;
            File::open(&unfinished)?.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(files::folder_of(&path))?.sync_all()
        };
        copy().map_err(|error| failed(&path, &error)).map(|()| true)
    }

    pub(super) fn swap(&self, name: &str, old: Option<&[u8]>, new: &[u8]) -> Result<(), Fault> {
        // Held until the value is written; whoever ends without that leaves no lock behind.
        let _lock = self.lock()?;
        let found = self.read(name, VALUE_LEN_MAX)?;
        if found.as_deref() != old {
            return Err(Fault::Changed(found));
        }
        replace(&self.root.join(name), new)
    }

    fn lock(&self) -> Result<File, Fault> {
        let path = self.root.join(".lock");
        let file = files::append(&path).map_err(|error| failed(&path, &error))?;
        match files::lock(&file) {
            Ok(true) => Ok(file),
            Ok(false) => Err(Fault::Refused(format!(
                "{}: somebody else is changing the fleet at this moment; try again",
                path.display()
            ))),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    pub(super) fn append(&self, line: &str) -> Result<(), Fault> {
        let path = self.root.join("log");
        let write = || {
            let mut file = files::append(&path)?;
            // One write, so that two who append at once do not mix their lines.
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_all()
        };
        write().map_err(|error| failed(&path, &error))
    }

    pub(super) fn log(&self) -> Result<Vec<String>, Fault> {
        let path = self.root.join("log");
        let mut file = match files::open(&path) {
            Err(error) if is_nothing(&error) => return Ok(self.nothing()?.unwrap_or_default()),
            opened => opened.map_err(|error| failed(&path, &error))?,
        };
        let mut bytes = Vec::new();
        let mut read = || {
            let skipped = file.metadata()?.len().saturating_sub(LOG_LEN_MAX);
            file.seek(SeekFrom::Start(skipped))?;
            (&mut file).take(LOG_LEN_MAX).read_to_end(&mut bytes).map(|_| skipped)
        };
        let skipped = read().map_err(|error| failed(&path, &error))?;
        let text = String::from_utf8_lossy(&bytes);
        // The first one is cut where something was skipped.
        Ok(text.lines().skip(usize::from(skipped > 0)).map(str::to_owned).collect())
    }

    /// Whether there is such a folder.
    pub(super) fn takes_reports(&self) -> bool {
        self.root.join("status").is_dir()
    }

    /// Nodes report where the publisher has made a folder that they can write to.
    pub(super) fn report(&self, node: &str, text: &[u8]) -> Result<(), Fault> {
        let folder = self.root.join("status");
        if !folder.is_dir() {
            let way_out = "make it, writable for the nodes, if they should report there";
            return Err(Fault::Refused(format!("{}: there is no such folder; {way_out}", folder.display())));
        }
        replace(&folder.join(node), text)
    }

    pub(super) fn reports(&self) -> Result<Vec<Said>, Fault> {
        let mut said = Vec::new();
        for node in self.list("status")? {
            let name = format!("status/{node}");
            let Some(text) = self.read(&name, VALUE_LEN_MAX)? else { continue };
            let changed = fs::metadata(self.root.join(&name)).and_then(|found| found.modified());
            // A clock that was set back makes it new.
            let age = changed.ok().and_then(|changed| changed.elapsed().ok()).unwrap_or_default();
            said.push(Said { node, text, age });
        }
        Ok(said)
    }

    pub(super) fn wakes(&self, names: &[String]) -> Wakes {
        let files: Vec<PathBuf> = names.iter().map(|name| self.root.join(name)).collect();
        let seen = Wakes::look(&files);
        Wakes { files, seen, at: Instant::now() + FOLDER_LOOK }
    }

    pub(super) fn prepare(&self) -> Result<(), Fault> {
        for folder in ["pointers/colo", "pointers/node", "releases", "objects", "rolls"] {
            let path = self.root.join(folder);
            fs::create_dir_all(&path).map_err(|error| failed(&path, &error))?;
        }
        Ok(())
    }
}

/// Looks at files, again and again.
#[derive(Debug)]
pub struct Wakes {
    files: Vec<PathBuf>,
    seen: Vec<Option<Look>>,
    /// When they are looked at next, however often somebody stops waiting for that.
    at: Instant,
}

/// What tells that a file is another one: its number, its length, and when it was changed.
type Look = (u64, u64, Option<SystemTime>);

impl Wakes {
    fn look(files: &[PathBuf]) -> Vec<Option<Look>> {
        let look = |file: &PathBuf| {
            let found = fs::metadata(file).ok()?;
            Some((found.ino(), found.len(), found.modified().ok()))
        };
        files.iter().map(look).collect()
    }

    pub(super) async fn next(&mut self) -> Wake {
        loop {
            tokio::time::sleep_until(self.at).await;
            self.at = Instant::now() + FOLDER_LOOK;
            let found = Self::look(&self.files);
            if found != self.seen {
                self.seen = found;
                return Wake::Anything;
            }
        }
    }
}

/// Where a file is written before it has its name.
fn unfinished(path: &Path) -> PathBuf {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    files::replace(path, &unfinished(path), bytes).map_err(|error| failed(path, &error))
}

/// Whether there is nothing by that name.
fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn failed(path: &Path, error: &io::Error) -> Fault {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Fault::Refused(text),
        _ => Fault::Away(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, Dir) {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::new(folder.path(), "as112");
        dir.prepare().unwrap();
        (folder, dir)
    }

    #[test]
    fn what_is_stored_is_read_listed_and_fetched() {
        let (folder, dir) = tree();
        assert_eq!(dir.read("pointers/fleet", 10), Ok(None));
        assert_eq!(dir.store("releases/a/manifest.json", b"one"), Ok(true));
        assert_eq!(dir.store("releases/a/manifest.json", b"one"), Ok(false));
        assert_eq!(dir.read("releases/a/manifest.json", 3), Ok(Some(b"one".to_vec())));
        assert!(matches!(dir.read("releases/a/manifest.json", 2), Err(Fault::TooLong(_))));
        assert_eq!(dir.list("releases"), Ok(vec!["a".to_owned()]));
        assert_eq!(dir.list("none"), Ok(Vec::new()));

        let large: Vec<u8> = (0..COPY_LEN * 2 + 7).map(|at| (at % 251) as u8).collect();
        fs::write(folder.path().join("large"), &large).unwrap();
        assert_eq!(dir.store_file("objects/ab/abcd", &folder.path().join("large")), Ok(true));
        assert_eq!(dir.store_file("objects/ab/abcd", &folder.path().join("large")), Ok(false));
        // A part is there already, of another process.
        let path = folder.path().join("part");
        fs::write(&path, &large[..1000]).unwrap();
        let mut partial = Partial::open(&path, large.len() as u64).unwrap();
        assert_eq!((partial.have(), dir.fetch("objects/ab/abcd", &mut partial)), (1000, Ok(true)));
        assert!(partial.is_whole());
        partial.keep(&folder.path().join("whole")).unwrap();
        assert_eq!(fs::read(folder.path().join("whole")).unwrap(), large);
        let mut partial = Partial::open(&path, 5).unwrap();
        assert!(matches!(dir.fetch("objects/ab/abcd", &mut partial), Err(Fault::TooLong(_))));
        assert_eq!(dir.fetch("objects/ab/none", &mut partial), Ok(false));
    }

    #[test]
    fn a_value_changes_only_from_what_was_seen() {
        let (_folder, dir) = tree();
        dir.swap("pointers/colo/ams", None, b"one").unwrap();
        assert_eq!(dir.swap("pointers/colo/ams", None, b"two"), Err(Fault::Changed(Some(b"one".to_vec()))));
        dir.swap("pointers/colo/ams", Some(b"one"), b"two").unwrap();
        assert_eq!(dir.read("pointers/colo/ams", 3), Ok(Some(b"two".to_vec())));
        let lock = dir.lock().unwrap();
        assert!(matches!(dir.swap("pointers/colo/ams", Some(b"two"), b"three"), Err(Fault::Refused(_))));
        drop(lock);
        dir.swap("pointers/colo/ams", Some(b"two"), b"three").unwrap();
    }

    #[test]
    fn lines_and_reports_are_kept() {
        let (folder, dir) = tree();
        assert_eq!(dir.log(), Ok(Vec::new()));
        dir.append("one").unwrap();
        dir.append("two").unwrap();
        assert_eq!(dir.log(), Ok(vec!["one".to_owned(), "two".to_owned()]));
        assert!(matches!(dir.report("ams1", b"{}"), Err(Fault::Refused(_))));
        assert_eq!(dir.reports(), Ok(Vec::new()));
        fs::create_dir(folder.path().join("as112/status")).unwrap();
        dir.report("ams1", b"{}").unwrap();
        let said = dir.reports().unwrap();
        assert_eq!((said.len(), said[0].node.as_str(), said[0].text.as_slice()), (1, "ams1", &b"{}"[..]));
    }

    #[test]
    fn a_tree_that_is_gone_is_away_and_not_empty() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::new(folder.path(), "as112");
        assert!(matches!(dir.read("pointers/fleet", 10), Err(Fault::Away(_))));
        assert!(matches!(dir.list("releases"), Err(Fault::Away(_))));
        assert!(matches!(dir.log(), Err(Fault::Away(_))));
    }
}
