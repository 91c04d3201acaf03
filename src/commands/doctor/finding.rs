//! What was found, and how it is printed.

use std::fmt;

/// What tunes a host, where the packages put it.
pub(super) const TUNE: &str = "/usr/share/as112d/tune";

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    /// What it is about.
    pub(super) subject: String,
    /// What there is; with `Do`, what to do about it.
    pub(super) text: String,
}

/// What a finding means for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is as it should be.
    Good,
    /// There is something to do.
    Do,
    /// It cannot be told, or it is not there and nothing is lost by it.
    Note,
}

impl Finding {
    pub(super) fn new(verdict: Verdict, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { verdict, subject: subject.into(), text: text.into() }
    }

    pub(super) fn good(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Verdict::Good, subject, text)
    }

    pub(super) fn to_do(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Verdict::Do, subject, text)
    }

    pub(super) fn note(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Verdict::Note, subject, text)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Good => "good",
            Verdict::Do => "do",
            Verdict::Note => "-",
        };
        write!(f, "{verdict:<4}  {:<14}  {}", self.subject, self.text)
    }
}
