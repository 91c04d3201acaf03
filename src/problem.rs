//! A mistake, as whoever made it is told of it.

use std::fmt;

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
