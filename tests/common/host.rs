//! Recorded hosts: a text file each in tests/hosts/, unpacked to a folder that stands for `/`.
//!
//! ```text
//! # a comment
//! path: text                      a file of one line
//! path:                           a file of the indented lines that follow
//!     line
//!     [130-145] {}: eth0-{-130}   a line for each number
//! path/cpu[0-62/2]/x: {},{+32}    a file for each number, here for each second one
//! path -> target                  a symbolic link
//! ```
//!
//! In what is made for each number, `{}` is that number, `{+32}` more and `{-32}` less, `{*2-260}` twice it
//! less 260. `{0 x62}` are 62 times `0`. A file that is named again replaces the one before.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder that looks like the root of a host.
pub struct RecordedHost {
    folder: TempDir,
}

impl RecordedHost {
    /// Unpacks tests/hosts/NAME.txt.
    pub fn unpack(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/hosts/{name}.txt"));
        let text = fs::read_to_string(path).expect("the host was recorded");
        let host = Self { folder: tempfile::tempdir().expect("a folder") };
        let mut lines = text.lines().filter(|line| !line.starts_with('#')).peekable();
        while let Some(line) = lines.next() {
            if let Some((path, target)) = line.split_once(" -> ") {
                symlink(target, host.parent_of(path)).expect("a link");
                continue;
            }
            // Paths hold colons too, but none that ends the line or has a space behind it.
            let (path, text) = match line.strip_suffix(':') {
                Some(path) => (path, ""),
                None => line.split_once(": ").expect(line),
            };
            let mut text = text.to_owned();
            while let Some(line) = lines.next_if(|line| line.starts_with("    ")) {
                let line = line.trim_start();
                let each: Vec<String> = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
                    Some((range, rest)) => numbers(range).map(|number| with(rest, number)).collect(),
                    None => vec![line.to_owned()],
                };
                text.push_str(&each.join("\n"));
                text.push('\n');
            }
            let text = repeated(text.trim_end_matches('\n'));
            match path.split_once('[').and_then(|(before, rest)| Some((before, rest.split_once(']')?))) {
                Some((before, (range, behind))) => numbers(range).for_each(|number| {
                    host.write(&format!("{before}{number}{behind}"), &with(&text, number));
                }),
                None => host.write(path, &text),
            }
        }
        host
    }

    /// What stands for `/`.
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of one line.
    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.parent_of(path), format!("{text}\n")).expect("written");
    }

    /// The path of a file, in a folder that exists.
    fn parent_of(&self, path: &str) -> PathBuf {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("it is below the root")).expect("a folder");
        path
    }
}

/// `0-62/2`: every second number from 0 to 62.
fn numbers(range: &str) -> impl Iterator<Item = i64> {
    let (range, by) = range.split_once('/').unwrap_or((range, "1"));
    let (first, last) = range.split_once('-').expect("a range");
    let number = |text: &str| text.parse::<i64>().expect("a number");
    (number(first)..=number(last)).step_by(usize::try_from(number(by)).expect("positive"))
}

/// The text with its braces filled in for one number.
fn with(text: &str, number: i64) -> String {
    filled(text, |inner| {
        let (factor, term) = match inner.strip_prefix('*') {
            Some(rest) => rest.split_at(rest.find(['+', '-'])?),
            None => ("1", inner),
        };
        let term: i64 = if term.is_empty() { 0 } else { term.parse().ok()? };
        Some((number * factor.parse::<i64>().ok()? + term).to_string())
    })
}

fn repeated(text: &str) -> String {
    filled(text, |inner| {
        let (word, times) = inner.rsplit_once(" x")?;
        Some(vec![word; times.parse().ok()?].join(" "))
    })
}

/// Replaces what stands in braces where `fill` knows by what.
fn filled(text: &str, fill: impl Fn(&str) -> Option<String>) -> String {
    let mut parts = text.split('{');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('}').and_then(|(inner, rest)| Some((fill(inner)?, rest))) {
            Some((value, rest)) => out += &(value + rest),
            None => out += &format!("{{{part}"),
        }
    }
    out
}
