//! Mistakes, as whoever made them is told of them: with file, line and column, and what was probably meant.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::tree::Mistake;
use crate::problem::{Problem, edits};

/// Where the lines of a text begin, in bytes.
pub(super) fn line_starts(text: &str) -> Vec<usize> {
    core::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

/// What a text is called, and where its first byte stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    /// The file; of a route, its place.
    pub(super) path: &'a str,
    pub(super) text: &'a str,
    /// Its [`line_starts`].
    pub(super) lines: &'a [usize],
    /// The key of a route that the text is the value of.
    pub(super) key: Option<&'static str>,
}

impl Origin<'_> {
    /// Line and column, in characters from 1.
    pub(super) fn line_and_column(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at);
        let start = line.checked_sub(1).and_then(|line| self.lines.get(line)).copied().unwrap_or(0);
        let before = self.text.get(start..at).unwrap_or_default();
        (line.max(1), before.chars().count() + 1)
    }

    /// `file:line:column`; of a route, its place.
    pub(super) fn place(&self, at: usize) -> String {
        let (line, column) = self.line_and_column(at);
        match self.key {
            None => format!("{}:{line}:{column}", self.path),
            Some(_) => self.path.to_owned(),
        }
    }

    /// What is told of a mistake.
    pub(super) fn problem(&self, mistake: &Mistake) -> Problem {
        let mut message = mistake.message.clone();
        if let Some((word, known)) = &mistake.unknown {
            message += &hint(word, known);
        }
        if let Some(key) = self.key {
            let (line, column) = self.line_and_column(mistake.at);
            let line = if line > 1 { format!("line {line}, ") } else { String::new() };
            message = format!("`{key}`, {line}column {column}: {message}");
        }
        Problem { place: self.place(mistake.at), message }
    }
}

/// Lists up to this length are told whole.
const KNOWN_SHOWN: usize = 40;

/// What was probably meant: one letter may be wrong in a short word, one in four in a long one.
pub(super) fn hint(word: &str, known: &[String]) -> String {
    let distance = |known: &str| edits(&word.to_ascii_lowercase(), &known.to_ascii_lowercase());
    let nearest = known.iter().map(|known| (distance(known), known)).min();
    match nearest {
        Some((distance, nearest)) if distance <= 1 + word.len() / 4 => format!("; did you mean `{nearest}`?"),
        Some(_) if known.len() <= KNOWN_SHOWN => format!("; there are {}", known.join(", ")),
        _ => String::new(),
    }
}
