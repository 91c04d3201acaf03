//! Directories of observations: a file a day, which nodes only append to, and which is read on from where the
//! last reading has ended.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::observation::Observation;
use super::state::State;
use crate::limits::{OBSERVATION_LEN_MAX, OBSERVATION_PROBLEMS_MAX};

/// How the names of files end.
pub const EXTENSION: &str = "jsonl";

/// What came of a reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// How many observations there were.
    pub count: u64,
    /// Lines that were none; the first of them with their place.
    pub refused: u64,
    /// See there.
    pub problems: Vec<String>,
}

/// Adds to `state` what the files of a directory have that is new, up to this time. The first line that is
/// later ends the reading of its file: it waits for its time.
///
/// # Errors
/// What cannot be read.
pub fn read(dir: &Path, state: &mut State, until: u64) -> Result<Reading, (PathBuf, io::Error)> {
    let of = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(of(dir))? {
        let path = entry.map_err(of(dir))?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            names.extend(path.file_name().and_then(|name| Some(name.to_str()?.to_owned())));
        }
    }
    names.sort();
    let mut reading = Reading::default();
    let mut read = BTreeMap::new();
    for name in names {
        let path = dir.join(&name);
        let from = state.read.get(&name).copied().unwrap_or(0);
        let end = file(&path, from, state, until, &mut reading).map_err(of(&path))?;
        read.insert(name, end);
    }
    state.read = read;
    Ok(reading)
}

/// Reads a file on from this byte; where the reading has ended.
fn file(path: &Path, from: u64, state: &mut State, until: u64, reading: &mut Reading) -> io::Result<u64> {
    let mut file = File::open(path)?;
    // One that is shorter than it was is another one.
    let mut end = if file.metadata()?.len() < from { 0 } else { from };
    file.seek(SeekFrom::Start(end))?;
    let mut file = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let len = file.by_ref().take(OBSERVATION_LEN_MAX as u64 + 2).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            if len <= OBSERVATION_LEN_MAX {
                // It is still being written, or there is no more.
                return Ok(end);
            }
            let Some(rest) = skip_line(&mut file)? else { return Ok(end) };
            refuse(reading, path, end, &format!("the line has more than {OBSERVATION_LEN_MAX} bytes"));
            end += len as u64 + rest;
            continue;
        }
        match str::from_utf8(&line).map_err(|error| error.to_string()).and_then(Observation::read) {
            Ok(observation) if observation.time > until => return Ok(end),
            Ok(observation) => {
                reading.count += 1;
                state.add(&observation);
            }
            Err(why) => refuse(reading, path, end, &why),
        }
        end += len as u64;
    }
}

fn refuse(reading: &mut Reading, path: &Path, at: u64, why: &str) {
    reading.refused += 1;
    if reading.problems.len() < OBSERVATION_PROBLEMS_MAX {
        reading.problems.push(format!("{}: byte {at}: {why}; the line is passed over", path.display()));
    }
}

/// Passes over the rest of a line, however long; how long, if it has an end.
fn skip_line(file: &mut impl BufRead) -> io::Result<Option<u64>> {
    let mut skipped = 0;
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let len = end.map_or(bytes.len(), |end| end + 1);
        file.consume(len);
        skipped += len as u64;
        if end.is_some() {
            return Ok(Some(skipped));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn line(time: u64) -> String {
        format!("{{\"time\":{time},\"resolver\":\"192.0.2.1\",\"country\":\"JP\",\"group\":1}}\n")
    }

    #[test]
    fn files_are_read_on_and_not_ahead() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("2026-11-28.jsonl");
        fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
        let long = format!("{}\n", "x".repeat(5 * OBSERVATION_LEN_MAX));
        fs::write(&path, [&line(100), "nonsense\n", &long, &line(200), &line(300)].concat()).unwrap();
        let mut state = State::default();
        let reading = read(folder.path(), &mut state, 200).unwrap();
        assert_eq!((reading.count, reading.refused, reading.problems.len()), (2, 2, 2));
        assert!(reading.problems[0].contains("2026-11-28.jsonl: byte 61: not an observation"), "{reading:?}");
        assert_eq!(read(folder.path(), &mut state, 299).unwrap(), Reading::default());
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&line(301).as_bytes()[..20]).unwrap();
        assert_eq!(read(folder.path(), &mut state, 400).unwrap().count, 1, "half a line is none");
        file.write_all(&line(301).as_bytes()[20..]).unwrap();
        assert_eq!(read(folder.path(), &mut state, 400).unwrap().count, 1);
        fs::write(&path, line(302)).unwrap();
        assert_eq!(read(folder.path(), &mut state, 400).unwrap().count, 1, "another file of that name");
        fs::remove_file(&path).unwrap();
        assert_eq!(read(folder.path(), &mut state, 400).unwrap(), Reading::default());
        assert!(state.read.is_empty());
        assert_eq!(read(&path, &mut state, 400).unwrap_err().0, path);
    }
}
