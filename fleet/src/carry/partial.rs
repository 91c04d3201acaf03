//! A file on its way to a node: what has arrived of it, and where its rest begins at the carrier.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::carry::Fault;
use crate::limits::COPY_LEN;

/// What has arrived of a file. It stays where the process ends, and is continued by the next one. What it
/// holds is only worth something once all of it has been hashed.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    file: File,
    have: u64,
    len: u64,
    place: String,
}

impl Partial {
    /// The file at `path`, of `len` bytes once it is whole. What is there is continued.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(path: &Path, len: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let found = file.metadata()?.len();
        let mut partial = Self { path: path.to_owned(), file, have: 0, len, place: String::new() };
        let noted = std::fs::read_to_string(place_of(path)).unwrap_or_default();
        let (have, place) = match noted.split_once(' ').map(|(have, place)| (have.parse(), place)) {
            // It ended between a step and its note.
            Some((Ok(have), place)) if have <= found => (have, place),
            _ => (found, ""),
        };
        // More than it may have: it is another one's.
        let (have, place) = if have > len { (0, "") } else { (have, place) };
        partial.rewind(have)?;
        partial.place.push_str(place);
        Ok(partial)
    }

    /// Bytes that have arrived.
    #[must_use]
    pub const fn have(&self) -> u64 {
        self.have
    }

    /// Bytes that it has when it is whole.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing has arrived.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.have == 0
    }

    /// Whether all has arrived.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.have == self.len
    }

    /// Where the rest begins, in the words of the carrier that wrote it down; empty at the beginning.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Adds what has arrived.
    ///
    /// # Errors
    /// What the kernel says, or that it is more than there is.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let have = self.have + bytes.len() as u64;
        if have > self.len {
            return Err(Fault::TooLong(format!("the carrier sends more than {} bytes of it", self.len)));
        }
        self.file.write_all(bytes).map_err(|error| self.failed(&error))?;
        self.have = have;
        Ok(())
    }

    /// Notes where the rest begins.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn note(&mut self, place: String) -> Result<(), Fault> {
        let noted = format!("{} {place}", self.have);
        std::fs::write(place_of(&self.path), noted).map_err(|error| self.failed(&error))?;
        self.place = place;
        Ok(())
    }

    /// Begins again.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn restart(&mut self) -> Result<(), Fault> {
        self.place.clear();
        let restarted = self.rewind(0).and_then(|()| remove(&place_of(&self.path)));
        restarted.map_err(|error| self.failed(&error))
    }

    fn rewind(&mut self, have: u64) -> io::Result<()> {
        self.file.set_len(have)?;
        self.file.seek(SeekFrom::Start(have))?;
        self.have = have;
        Ok(())
    }

    /// Shows everything that has arrived to `see`, in order.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn each(&mut self, mut see: impl FnMut(&[u8])) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut bytes = vec![0; COPY_LEN];
        loop {
            match self.file.read(&mut bytes)? {
                // The rest comes behind it.
                0 => return self.file.seek(SeekFrom::Start(self.have)).map(drop),
                len => see(&bytes[..len]),
            }
        }
    }

    /// Has it on the disk, and gives it its name; the folder is the caller's to sync.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn keep(self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, path)?;
        remove(&place_of(&self.path))
    }

    /// Removes it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn discard(self) -> io::Result<()> {
        remove(&self.path)?;
        remove(&place_of(&self.path))
    }

    fn failed(&self, error: &io::Error) -> Fault {
        Fault::Refused(format!("{}: {error}", self.path.display()))
    }
}

/// Where the place is noted.
fn place_of(path: &Path) -> PathBuf {
    path.with_extension("place")
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_arrived_is_continued_as_far_as_it_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abcd");
        let mut partial = Partial::open(&path, 10).unwrap();
        assert!(partial.is_empty() && partial.place().is_empty());
        partial.push(b"0123").unwrap();
        partial.note("seq 7".to_owned()).unwrap();
        partial.push(b"45").unwrap();
        drop(partial);
        let mut partial = Partial::open(&path, 10).unwrap();
        assert_eq!((partial.have(), partial.place()), (4, "seq 7"));
        assert!(partial.push(b"456789a").is_err(), "more than there is");
        partial.push(b"456789").unwrap();
        assert!(partial.is_whole());
        let mut seen = Vec::new();
        partial.each(|bytes| seen.extend_from_slice(bytes)).unwrap();
        assert_eq!(seen, b"0123456789");
        partial.restart().unwrap();
        assert_eq!((partial.have(), partial.place()), (0, ""));
        partial.push(b"01").unwrap();
        drop(partial);
        // Nothing is noted: what is there counts. A shorter file of that name is another one.
        assert_eq!(Partial::open(&path, 10).unwrap().have(), 2);
        assert_eq!(Partial::open(&path, 1).unwrap().have(), 0);
        Partial::open(&path, 1).unwrap().discard().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
