//! Why something is not accepted.

use std::fmt;

use crate::problem::Problem;

/// Characters of what somebody sent that are shown: as many as fit a line with what is wrong with them.
const SHOWN_MAX: usize = 60;

/// The kind of a refusal, by a word that does not change: reports and tests tell refusals apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// A signature that is not one, or not over these bytes.
    BadSignature,
    /// Not enough of the fleet's keys have signed.
    TooFewSignatures,
    /// It is of another fleet, or of another scope than where it was found.
    WrongFleet,
    /// The bytes are not those that the manifest names.
    WrongHash,
    /// Fewer bytes than there should be.
    Short,
    /// More bytes than there should be.
    Long,
    /// A path that could lead out of a release, or that is there twice.
    BadPath,
    /// A directory, a link or a device where a file should be.
    NotAFile,
    /// More files, keys or signatures than the bound.
    TooMany,
    /// Larger than the bound.
    TooLarge,
    /// Older than what is known.
    Older,
    /// Two that should be one: another content with the same number or serial.
    Replayed,
    /// It needs a newer program.
    NeedsVersion,
    /// It is not in a format that this program reads.
    UnknownFormat,
    /// It says what it may not say.
    NotAllowed,
    /// Something that should be there is missing.
    Missing,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::BadSignature,
        Self::TooFewSignatures,
        Self::WrongFleet,
        Self::WrongHash,
        Self::Short,
        Self::Long,
        Self::BadPath,
        Self::NotAFile,
        Self::TooMany,
        Self::TooLarge,
        Self::Older,
        Self::Replayed,
        Self::NeedsVersion,
        Self::UnknownFormat,
        Self::NotAllowed,
        Self::Missing,
    ];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::BadSignature => "bad-signature",
            Self::TooFewSignatures => "too-few-signatures",
            Self::WrongFleet => "wrong-fleet",
            Self::WrongHash => "wrong-hash",
            Self::Short => "short",
            Self::Long => "long",
            Self::BadPath => "bad-path",
            Self::NotAFile => "not-a-file",
            Self::TooMany => "too-many",
            Self::TooLarge => "too-large",
            Self::Older => "older",
            Self::Replayed => "replayed",
            Self::NeedsVersion => "needs-version",
            Self::UnknownFormat => "unknown-format",
            Self::NotAllowed => "not-allowed",
            Self::Missing => "missing",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why something is not accepted: the kind, the file if one is to blame, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The kind.
    pub code: Code,
    /// The file, or empty.
    pub file: String,
    /// What is wrong and what to do.
    pub words: String,
}

impl Refused {
    /// A refusal that no file is to blame for.
    #[must_use]
    pub fn new(code: Code, words: impl Into<String>) -> Self {
        Self { code, file: String::new(), words: words.into() }
    }

    /// The same, about this file, unless it names one already.
    #[must_use]
    pub fn of(mut self, file: impl fmt::Display) -> Self {
        if self.file.is_empty() {
            self.file = file.to_string();
        }
        self
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}: ", self.file)?;
        }
        write!(f, "{}: {}", self.code, self.words)
    }
}

impl std::error::Error for Refused {}

/// Part of what somebody sent, as it may be shown: its beginning, in ASCII that no terminal obeys.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).flat_map(char::escape_default).collect()
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self { place: refused.file, message: format!("{}: {}", refused.code, refused.words) }
    }
}
