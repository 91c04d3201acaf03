//! A mistake, as whoever made it is told of it.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// One mistake, with its place and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `file:line:column`, `file:line`, `file`, or empty where no file is to blame.
    pub place: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    /// One that has no place in a file.
    #[must_use]
    pub fn plain(message: impl Into<String>) -> Self {
        Self { place: String::new(), message: message.into() }
    }

    /// The only problem that there is, if it has no place in a file.
    #[must_use]
    pub fn alone(message: impl Into<String>) -> Vec<Self> {
        vec![Self::plain(message)]
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.message)
    }
}

/// How many letters are wrong, missing, too many or swapped with the next between two words: the smallest
/// such number (optimal string alignment).
#[must_use]
pub fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut rows = [vec![0; other.len() + 1], (0..=other.len()).collect(), vec![0; other.len() + 1]];
    let mut before = None;
    for (row, letter) in one.chars().enumerate() {
        let [last_but_one, last, this] = &mut rows;
        this[0] = row + 1;
        for (at, opposite) in other.iter().enumerate() {
            let changed = last[at] + usize::from(letter != *opposite);
            this[at + 1] = changed.min(last[at + 1] + 1).min(this[at] + 1);
            if at > 0 && before == Some(*opposite) && other[at - 1] == letter {
                this[at + 1] = this[at + 1].min(last_but_one[at - 1] + 1);
            }
        }
        before = Some(letter);
        rows.rotate_left(1);
    }
    rows[1][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_differ_are_counted() {
        for (one, other, is) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("dst", "dst", 0),
            ("dst", "src", 3),
            ("qtpye", "qtype", 1),
            ("qtyp", "qtype", 1),
            ("qqtype", "qtype", 1),
            ("qname-sufix", "qname-suffix", 1),
            ("ab", "ba", 1),
            ("kitten", "sitting", 3),
            ("gr\u{fc}n", "grun", 1),
        ] {
            assert_eq!((edits(one, other), edits(other, one)), (is, is), "{one} {other}");
        }
    }
}
