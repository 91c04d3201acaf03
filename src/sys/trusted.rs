//! What files are trusted for, and the one way to read them.
//!
//! Most files are the operator's own: they may hold what they will, as long as they do not change while they
//! are read. Those of a release are not: others write them, and only what was signed counts. Of each it is
//! known what it must be, and that is checked of the very bytes that are used: they are read once, and never
//! opened again. What is read in pieces is judged at its end. All verdicts are noted: whoever puts what was
//! read into effect asks for them first ([`Trust::broken`]).

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Take};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ring::digest::{Context, SHA256};

use super::beneath::Folder;
use super::files;

/// What a file must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// How many bytes it has.
    pub len: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
}

/// Why a file is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It is not there, or not among those that must be.
    Missing,
    /// It is a link, a pipe, a device or a directory.
    NotAFile,
    /// It has so many bytes too few.
    Short(u64),
    /// It has so many bytes too many.
    Long(u64),
    /// Its bytes are others.
    WrongHash,
    /// It is named from inside, and lies outside.
    BadPath,
    /// It cannot be read.
    Unreadable(String),
}

impl Broken {
    /// The same in one word that programs know.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotAFile => "not-a-file",
            Self::Short(_) => "short",
            Self::Long(_) => "long",
            Self::WrongHash => "wrong-hash",
            Self::BadPath => "bad-path",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// By what the kernel says.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => Self::Missing,
            // A socket has ENXIO, a directory EINVAL, as whatever else is no file.
            Some(libc::ELOOP | libc::EINVAL | libc::ENXIO | libc::EISDIR) => Self::NotAFile,
            Some(libc::EXDEV) => Self::BadPath,
            _ => Self::Unreadable(error.to_string()),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it is not there"),
            Self::NotAFile => f.write_str("it is a link, a pipe, a device or a directory, not a file"),
            Self::Short(bytes) => write!(f, "it has {bytes} bytes fewer than what was signed"),
            Self::Long(bytes) => write!(f, "it has {bytes} bytes more than what was signed"),
            Self::WrongHash => f.write_str("its bytes are not those that were signed"),
            Self::BadPath => f.write_str("it lies outside of the release"),
            Self::Unreadable(error) => write!(f, "it cannot be read: {error}"),
        }
    }
}

impl std::error::Error for Broken {}

/// What files are trusted for, by where they lie.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    sealed: Option<Arc<Sealed>>,
    /// Nothing outside of the sealed files is read.
    is_within: bool,
}

/// Files of which it is known what they must be.
#[derive(Debug)]
struct Sealed {
    /// Where they lie, by name.
    root: PathBuf,
    folder: Folder,
    /// By their paths below `root`.
    files: BTreeMap<PathBuf, Seal>,
    /// Of each that was read, what it was found to be. What was broken once stays so.
    verdicts: Mutex<BTreeMap<PathBuf, Option<Broken>>>,
}

impl Sealed {
    fn note(&self, path: &Path, broken: Option<Broken>) {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = verdicts.entry(path.to_owned()).or_default();
        *known = known.take().or(broken);
    }

    /// The same, and as what reading it has led to.
    fn refuse(&self, path: &Path, broken: Broken) -> io::Error {
        self.note(path, Some(broken.clone()));
        io::Error::other(broken)
    }

    fn open(self: &Arc<Self>, path: &Path) -> io::Result<Pieces> {
        let Some(seal) = self.files.get(path).copied() else {
            return Err(self.refuse(path, Broken::Missing));
        };
        let opened = self.folder.file(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (len, file) = opened.map_err(|error| self.refuse(path, Broken::of(&error)))?;
        if let Some(missing) = seal.len.checked_sub(len).filter(|bytes| *bytes > 0) {
            return Err(self.refuse(path, Broken::Short(missing)));
        }
        if len > seal.len {
            return Err(self.refuse(path, Broken::Long(len - seal.len)));
        }
        let hash =
            Hash { sealed: Arc::clone(self), path: path.to_owned(), seal, context: Context::new(&SHA256) };
        Ok(Pieces { file: file.take(seal.len), len: seal.len, kind: Kind::Sealed(Some(Box::new(hash))) })
    }
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        let both = self.sealed.as_ref().zip(other.sealed.as_ref());
        both.map_or_else(
            || self.sealed.is_none() && other.sealed.is_none(),
            |(one, other)| Arc::ptr_eq(one, other),
        )
    }
}

impl Trust {
    /// All files are the operator's own.
    pub const OWN: Self = Self { sealed: None, is_within: false };

    /// Files below `folder`, which is called `root`, must be these, and there are no others.
    #[must_use]
    pub fn sealed(root: PathBuf, folder: Folder, files: BTreeMap<PathBuf, Seal>) -> Self {
        let root = plain(&root).unwrap_or(root);
        let sealed = Sealed { root, folder, files, verdicts: Mutex::default() };
        Self { sealed: Some(Arc::new(sealed)), is_within: false }
    }

    /// For what the file or directory at `path` names: what is sealed names nothing that is not.
    #[must_use]
    pub fn named_by(&self, path: &Path) -> Self {
        let is_within = self.is_within || self.below(path).is_ok_and(|below| below.is_some());
        Self { sealed: self.sealed.clone(), is_within }
    }

    /// Whether nothing outside of the sealed files is read.
    #[must_use]
    pub const fn is_within(&self) -> bool {
        self.is_within
    }

    /// Whether `path` is below the sealed directory, and which of its files it is.
    fn below(&self, path: &Path) -> io::Result<Option<(&Arc<Sealed>, PathBuf)>> {
        let Some(sealed) = &self.sealed else { return Ok(None) };
        let plain = plain(path);
        match plain.as_deref().and_then(|path| path.strip_prefix(&sealed.root).ok()) {
            Some(below) => Ok(Some((sealed, below.to_owned()))),
            None if self.is_within || path.starts_with(&sealed.root) => {
                Err(sealed.refuse(path, Broken::BadPath))
            }
            None => Ok(None),
        }
    }

    /// Reads a file whole; of one of the operator's that is longer than `len_max` bytes one more, which
    /// tells.
    ///
    /// # Errors
    /// What the kernel says, that it is not a file, that it changes all the time, or is not what it must be.
    pub fn read(&self, path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
        if self.below(path)?.is_none() {
            return files::read(path, len_max);
        }
        self.open(path)?.whole(len_max)
    }

    /// Opens a file to read it in pieces, once.
    ///
    /// # Errors
    /// What the kernel says, that it is not a file, or not what it must be, as far as that is known now.
    pub fn open(&self, path: &Path) -> io::Result<Pieces> {
        if let Some((sealed, below)) = self.below(path)? {
            return sealed.open(&below);
        }
        let file = files::open(path)?;
        let before = stamp(&file)?;
        Ok(Pieces { file: file.take(u64::MAX), len: before.0, kind: Kind::Own(before) })
    }

    /// Whether a file is at `path`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn is_file(&self, path: &Path) -> io::Result<bool> {
        match self.below(path)? {
            Some((sealed, below)) => Ok(sealed.files.contains_key(&below)),
            None => Ok(path.metadata()?.is_file()),
        }
    }

    /// Whether a directory is at `path`.
    #[must_use]
    pub fn is_dir(&self, path: &Path) -> bool {
        match self.below(path) {
            Ok(Some((sealed, below))) => {
                sealed.files.keys().any(|file| *file != below && file.starts_with(&below))
            }
            Ok(None) => path.is_dir(),
            Err(_) => false,
        }
    }

    /// What is in the directory at `path`; of sealed files those that must be there, and nothing else.
    ///
    /// # Errors
    /// What the kernel says, also that there is none.
    pub fn entries(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let Some((sealed, below)) = self.below(path)? else {
            return fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect();
        };
        let inside = sealed.files.keys().filter_map(|file| file.strip_prefix(&below).ok());
        let mut names: Vec<PathBuf> =
            inside.filter_map(|rest| Some(path.join(rest.components().next()?))).collect();
        names.dedup();
        if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(names) }
    }

    /// Where the file at `path` really lies. There are no links among sealed files.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn real(&self, path: &Path) -> io::Result<PathBuf> {
        match self.below(path)? {
            Some((sealed, below)) => Ok(sealed.root.join(below)),
            None => path.canonicalize(),
        }
    }

    /// Reads the sealed files that nobody has read, and says of each that is not what it must be why. Nothing
    /// of what was read may take effect if there is one.
    #[must_use]
    pub fn broken(&self) -> Vec<(PathBuf, Broken)> {
        let Some(sealed) = &self.sealed else { return Vec::new() };
        let seen = || sealed.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        for path in sealed.files.keys() {
            let is_known = seen().contains_key(path);
            if !is_known {
                // What comes of it is noted.
                drop(sealed.open(path));
            }
        }
        let verdicts = seen();
        let broken = verdicts.iter().filter_map(|(path, verdict)| Some((path, verdict.clone()?)));
        broken.map(|(path, broken)| (sealed.root.join(path), broken)).collect()
    }
}

/// A path without `.` and `..`; nothing if it begins with that, or leads above the root.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                let is_name = matches!(plain.components().next_back(), Some(Component::Normal(_)));
                (is_name && plain.pop()).then_some(())?;
            }
            _ => plain.push(part),
        }
    }
    Some(plain)
}

/// What changes when a file is written.
type Stamp = (u64, i64, i64);

fn stamp(file: &File) -> io::Result<Stamp> {
    let found = file.metadata()?;
    Ok((found.len(), found.mtime(), found.mtime_nsec()))
}

/// A file that is read in pieces. What it was is known at its end alone.
#[derive(Debug)]
pub struct Pieces {
    file: Take<File>,
    len: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The operator's, as it was when it was opened.
    Own(Stamp),
    /// What was read of it so far, until there is a verdict.
    Sealed(Option<Box<Hash>>),
}

struct Hash {
    sealed: Arc<Sealed>,
    path: PathBuf,
    seal: Seal,
    context: Context,
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hash").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Pieces {
    /// How many bytes it had when it was opened.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether it had none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of it, in memory.
    ///
    /// # Errors
    /// That it is longer than `len_max`, what the kernel says, or that it is not what it must be.
    pub fn whole(mut self, len_max: u64) -> io::Result<Vec<u8>> {
        if self.len > len_max {
            let message = format!("it has {} bytes, over the limit of {len_max}", self.len);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        let mut bytes = Vec::with_capacity(self.len as usize);
        self.by_ref().take(len_max).read_to_end(&mut bytes)?;
        self.verdict()?;
        Ok(bytes)
    }

    /// Whether it is the file that it should be, now that it was read. What was not read is read for that.
    ///
    /// # Errors
    /// It is another one: somebody wrote to it, or it is not what it must be.
    pub fn verdict(mut self) -> io::Result<()> {
        self.judge()
    }

    fn judge(&mut self) -> io::Result<()> {
        if let Kind::Own(before) = &self.kind {
            return if stamp(self.file.get_ref())? == *before {
                Ok(())
            } else {
                Err(io::Error::new(io::ErrorKind::ResourceBusy, "it changed while it was read"))
            };
        }
        let rest = io::copy(self, &mut io::sink());
        let Kind::Sealed(hash) = &mut self.kind else { return Ok(()) };
        let Some(hash) = hash.take() else { return Ok(()) };
        let Hash { sealed, path, seal, context } = *hash;
        let broken = match rest {
            Err(error) => Some(Broken::Unreadable(error.to_string())),
            // It became shorter.
            Ok(_) if self.file.limit() > 0 => Some(Broken::Short(self.file.limit())),
            Ok(_) if context.finish().as_ref() != seal.sha256 => Some(Broken::WrongHash),
            Ok(_) => None,
        };
        sealed.note(&path, broken.clone());
        broken.map_or(Ok(()), |broken| Err(io::Error::other(broken)))
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        if let Kind::Sealed(Some(hash)) = &mut self.kind {
            hash.context.update(&buffer[..count]);
        }
        Ok(count)
    }
}

/// Whoever stops in the middle has used what came before.
impl Drop for Pieces {
    fn drop(&mut self) {
        if matches!(self.kind, Kind::Sealed(Some(_))) {
            // It is noted.
            let _ = self.judge();
        }
    }
}

#[cfg(test)]
mod tests;
