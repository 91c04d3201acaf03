//! Files that say which PoPs are up: `nrt down`, a line for each; a PoP without a line is up. Whoever writes
//! one writes another file next to it and renames that: nobody reads half of it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::limits::HEALTH_FILE_LEN_MAX;

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    len: u64,
    seconds: i64,
    nanoseconds: i64,
}

/// As it is now.
pub(super) fn stamp(path: &Path) -> io::Result<Stamp> {
    let found = fs::metadata(path)?;
    Ok(Stamp {
        inode: found.ino(),
        len: found.len(),
        seconds: found.mtime(),
        nanoseconds: found.mtime_nsec(),
    })
}

/// The lines of a file: names, and whether each is up.
///
/// # Errors
/// Why it cannot be read, and what is wrong with it, with its line.
pub(super) fn read(path: &Path) -> Result<Vec<(String, bool)>, String> {
    let file = path.display();
    let mut text = String::new();
    let read =
        File::open(path).and_then(|found| found.take(HEALTH_FILE_LEN_MAX + 1).read_to_string(&mut text));
    read.map_err(|error| format!("{file}: {error}"))?;
    if text.len() as u64 > HEALTH_FILE_LEN_MAX {
        return Err(format!("{file}: it is longer than {HEALTH_FILE_LEN_MAX} bytes"));
    }
    parse(&text).map_err(|(line, message)| format!("{file}:{line}: {message}"))
}

fn parse(text: &str) -> Result<Vec<(String, bool)>, (usize, String)> {
    let mut found: Vec<(String, bool)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
        let (name, is_up) = match words[..] {
            [] => continue,
            [name, "up"] => (name, true),
            [name, "down"] => (name, false),
            _ => return Err((number, format!("`{}` is not a PoP and `up` or `down`", line.trim()))),
        };
        if found.iter().any(|(known, _)| known == name) {
            return Err((number, format!("{name} already has a line; remove one")));
        }
        found.push((name.to_owned(), is_up));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_of_a_pop_whether_it_is_up() {
        let found = parse("# maintenance\nnrt down\n\n  sfo\tup # since noon\n").unwrap();
        assert_eq!(found, [("nrt".to_owned(), false), ("sfo".to_owned(), true)]);
        assert_eq!(parse(""), Ok(vec![]));
        for (text, line, told) in [
            ("nrt down\nsfo", 2, "`sfo` is not a PoP and `up` or `down`"),
            ("nrt Down", 1, "`nrt Down` is not a PoP and `up` or `down`"),
            ("nrt up now", 1, "`nrt up now` is not"),
            ("nrt up\n\nnrt down", 3, "nrt already has a line"),
        ] {
            let (number, message) = parse(text).unwrap_err();
            assert!(number == line && message.starts_with(told), "{text}: {number}: {message}");
        }
    }

    #[test]
    fn a_file_that_is_written_has_another_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pops.health");
        assert!(stamp(&path).is_err() && read(&path).unwrap_err().contains("pops.health: No such file"));
        fs::write(&path, "nrt down\n").unwrap();
        let first = stamp(&path).unwrap();
        assert_eq!(stamp(&path).unwrap(), first);
        // Of the same length, maybe at the same time: one that is renamed over it is another file.
        let beside = folder.path().join("new");
        fs::write(&beside, "sfo down\n").unwrap();
        fs::rename(&beside, &path).unwrap();
        assert_ne!(stamp(&path).unwrap(), first);
        assert_eq!(read(&path), Ok(vec![("sfo".to_owned(), false)]));
        fs::write(&path, "x".repeat(HEALTH_FILE_LEN_MAX as usize + 1)).unwrap();
        assert!(read(&path).unwrap_err().contains("longer than"));
    }
}
