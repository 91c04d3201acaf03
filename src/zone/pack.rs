//! Packs: one file with many zones, which follow each other. A zone begins with its SOA, whose owner is the
//! apex, and ends where the next one begins. All else is as in a zone file, but that there is only one file:
//! `$ORIGIN` and `$TTL` hold until they are given again, in the zones that follow as well.
//!
//! A pack is read once, from its beginning to its end, and only what one zone takes is held at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Take};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::contents::{Contents, Placed};
use super::entries::{Entries, column};
use super::file::{Reader, Scope, foreign_encoding};
use crate::dns::consts::rtype;
use crate::dns::name::Name;
use crate::limits::{PACK_ENTRY_LEN_MAX, PACK_LEN_MAX, PACK_READ_LEN, ZONE_PROBLEMS_MAX};
use crate::problem::Problem;
use crate::sys::files;

/// One zone of a pack, not yet checked.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) apex: Name,
    /// The line of its SOA.
    pub(super) line: u32,
    pub(super) contents: Contents,
}

/// A pack that is a file, which nobody else writes while it is read.
#[derive(Debug)]
pub(super) struct PackFile {
    file: Take<File>,
    before: Stamp,
}

/// What changes when a file is written.
type Stamp = (u64, i64, i64);

fn stamp(file: &File) -> io::Result<Stamp> {
    let found = file.metadata()?;
    Ok((found.len(), found.mtime(), found.mtime_nsec()))
}

/// Opens the pack at `path`.
///
/// # Errors
/// It cannot be read, or is too long.
pub(super) fn open(path: &Path) -> Result<BufReader<PackFile>, Vec<Problem>> {
    let place = path.display().to_string();
    let opened = files::open(path).and_then(|file| Ok((stamp(&file)?, file)));
    let (before, file) = opened.map_err(|error| vec![unreadable(&place, &error)])?;
    if before.0 > PACK_LEN_MAX {
        let message = format!("longer than {} MiB: make two packs of it", PACK_LEN_MAX >> 20);
        return Err(vec![Problem { place, message }]);
    }
    Ok(BufReader::with_capacity(PACK_READ_LEN, PackFile { file: file.take(PACK_LEN_MAX), before }))
}

fn unreadable(place: &str, error: &io::Error) -> Problem {
    let message = format!("cannot read the pack: {error}; check the path and its permissions");
    Problem { place: place.to_owned(), message }
}

impl Read for PackFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl PackFile {
    /// Whether the file is the one that was opened, now that it was read.
    ///
    /// # Errors
    /// Somebody wrote to it.
    pub(super) fn check(&self, name: &str) -> Result<(), Vec<Problem>> {
        if stamp(self.file.get_ref()).is_ok_and(|now| now == self.before) {
            return Ok(());
        }
        let message = "it changed while it was read: write a new file and rename it".to_owned();
        Err(vec![Problem { place: name.to_owned(), message }])
    }
}

/// Reads the pack `name` and gives its zones in their order to `each`, as long as that wants more.
///
/// # Errors
/// What of the file belongs to no zone, or that it cannot be read.
pub(super) fn read(
    name: &str,
    source: &mut dyn BufRead,
    each: &mut dyn FnMut(Part) -> bool,
) -> Result<(), Vec<Problem>> {
    let scope = Scope::new(&Name::root(), PathBuf::new());
    let mut pack = Pack { name, reader: Reader::of_pack(), scope, zone: None, seen: 0, each, is_done: false };
    pack.begin();
    let (mut window, mut line, mut is_end) = (Vec::new(), 1, false);
    while !is_end && !pack.is_done {
        is_end = match more(source, &mut window) {
            Ok(is_end) => is_end,
            Err(error) => return Err(vec![unreadable(name, &error)]),
        };
        if line == 1
            && let Some(encoding) = foreign_encoding(&window)
        {
            let message = format!("the file is in {encoding}: save it as UTF-8, or as plain ASCII");
            return Err(vec![Problem { place: name.to_owned(), message }]);
        }
        // What follows the last line is not all there yet.
        let end = window.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let end = if is_end { window.len() } else { end };
        let used = pack.entries(&window[..end], &mut line, is_end);
        window.drain(..used);
        if window.len() > PACK_ENTRY_LEN_MAX {
            let message = format!(
                "the record that begins here has over {} KiB: is a `)` missing?",
                PACK_ENTRY_LEN_MAX >> 10
            );
            return Err(vec![Problem { place: format!("{name}:{line}"), message }]);
        }
    }
    pack.finish()
}

/// Appends what there is of `source` to `window`; whether that was all.
fn more(source: &mut dyn BufRead, window: &mut Vec<u8>) -> io::Result<bool> {
    let found = source.fill_buf()?;
    let len = found.len();
    window.extend_from_slice(found);
    source.consume(len);
    Ok(len == 0)
}

struct Pack<'a> {
    name: &'a str,
    reader: Reader,
    scope: Scope,
    /// The zone that is read, and the line of its SOA.
    zone: Option<(Name, u32)>,
    /// The records of the reader that are known to be of that zone.
    seen: usize,
    each: &'a mut dyn FnMut(Part) -> bool,
    is_done: bool,
}

impl Pack<'_> {
    /// Reads the entries of a part of the file, which begins at this line; how many bytes of it were
    /// complete.
    fn entries(&mut self, source: &[u8], line: &mut u32, is_end: bool) -> usize {
        let mut entries = Entries::from_line(source, *line);
        loop {
            let place = entries.place();
            let entry = entries.next();
            if entries.is_cut() && !is_end {
                *line = place.0;
                return place.1;
            }
            let Some(entry) = entry.filter(|_| !self.is_done) else {
                *line = entries.place().0;
                return source.len();
            };
            if let Err(mistake) = entry.and_then(|entry| self.reader.entry(&mut self.scope, &entry)) {
                let place = format!("{}:{}:{}", self.name, mistake.line, column(source, mistake.at));
                self.reader.contents.problems.push(Problem { place, message: mistake.message });
            }
            self.split();
            if self.reader.contents.problems.len() >= ZONE_PROBLEMS_MAX {
                self.give();
                self.is_done = true;
            }
        }
    }

    /// Gives away what is before the first SOA among the records that are new.
    fn split(&mut self) {
        while let Some(Placed { record, line, .. }) = self.reader.contents.records.get(self.seen) {
            let is_first = record.rtype == rtype::SOA
                && self.zone.as_ref().is_none_or(|(apex, _)| *apex != record.owner);
            if is_first {
                let (zone, seen) = ((record.owner.clone(), *line), self.seen);
                let records = self.reader.contents.records.split_off(seen);
                self.give();
                self.reader.contents.records = records;
                (self.zone, self.seen) = (Some(zone), 0);
            } else if self.zone.is_none() {
                let message = "the pack begins with a record of no zone: the first of each zone is its SOA";
                let place = format!("{}:{line}", self.name);
                self.reader.contents.problems.push(Problem { place, message: message.to_owned() });
                self.is_done = true;
            }
            self.seen += 1;
        }
    }

    /// Gives away the zone that was read.
    fn give(&mut self) {
        let Some((apex, line)) = self.zone.take().filter(|_| !self.is_done) else { return };
        let contents = Contents { begins: Some(line), ..std::mem::take(&mut self.reader.contents) };
        self.begin();
        self.is_done |= !(self.each)(Part { apex, line, contents });
    }

    fn begin(&mut self) {
        self.reader.contents.files.push(self.name.to_owned());
        self.seen = 0;
    }

    fn finish(mut self) -> Result<(), Vec<Problem>> {
        self.give();
        let problems = self.reader.contents.problems;
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}
