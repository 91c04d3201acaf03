//! The agent's log in the node's folder: lines of JSON, for people who want to know what happened when. It is
//! cut before it gets long; what went before is kept once.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use as112d::release::layout;
use as112d::sys::files;
use serde_json::json;

use super::core::Line;
use crate::limits::JOURNAL_LEN_MAX;

/// Where lines go.
#[derive(Clone, Debug)]
pub struct Journal {
    path: PathBuf,
    old: PathBuf,
}

impl Journal {
    /// The log in a node's folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { path: folder.join(layout::LOG), old: folder.join(format!("{}.1", layout::LOG)) }
    }

    /// Writes a line. The time since the agent's start is there too: clocks may jump.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn write(&self, line: &Line, running: Duration) -> io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|found| found.len() > JOURNAL_LEN_MAX) {
            fs::rename(&self.path, &self.old)?;
        }
        let text = json!({
            "at": jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            "running": running.as_secs_f64(),
            "word": line.word,
            "release": line.release.map(|name| name.to_string()),
            "hash": line.release.map(|name| name.digest.to_string()),
            "text": line.text,
        });
        files::append(&self.path)?.write_all(format!("{text}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_and_the_log_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::new(folder.path());
        let text = "x".repeat(1000);
        let line = Line { word: "wanted", release: None, text };
        let lines = JOURNAL_LEN_MAX as usize / 1000 * 5 / 2;
        (0..lines).for_each(|_| journal.write(&line, Duration::from_secs(1)).unwrap());
        let len = |name: &str| fs::metadata(folder.path().join(name)).unwrap().len();
        assert!(len("log") < JOURNAL_LEN_MAX + 2000 && len("log.1") < JOURNAL_LEN_MAX + 2000);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        let written = fs::read_to_string(folder.path().join("log")).unwrap();
        for line in written.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["word"], "wanted");
        }
    }
}
