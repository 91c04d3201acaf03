//! A line and the signatures over it, in one file: what may not come apart.

use super::digest::Digest;
use super::keys::{KeyId, Keys};
use super::refused::{Code, Refused};
use crate::limits::{POINTER_LEN_MAX, SIGNED_LINE_LEN_MAX};

/// A line, which is JSON, and what has signed exactly that line, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedLine<'a> {
    /// The line.
    pub line: &'a str,
    /// Signatures of minisign, one after the other.
    pub signatures: &'a str,
}

impl<'a> SignedLine<'a> {
    /// Reads a file.
    ///
    /// # Errors
    /// It is too long, is not text, or has only one line.
    pub fn parse(file: &'a [u8]) -> Result<Self, Refused> {
        let too_large = |len: usize, max: usize| {
            Refused::new(Code::TooLarge, format!("{len} bytes; at most {max} are read"))
        };
        if file.len() > POINTER_LEN_MAX {
            return Err(too_large(file.len(), POINTER_LEN_MAX));
        }
        let text = str::from_utf8(file)
            .map_err(|_| Refused::new(Code::UnknownFormat, "it is not UTF-8; fetch it again"))?;
        let (line, signatures) = text.split_once('\n').ok_or_else(|| {
            Refused::new(Code::Short, "it ends with the line that should be signed; fetch it again")
        })?;
        if line.len() > SIGNED_LINE_LEN_MAX {
            return Err(too_large(line.len(), SIGNED_LINE_LEN_MAX));
        }
        Ok(Self { line, signatures })
    }

    /// Which keys have signed it: as many as must.
    ///
    /// # Errors
    /// As [`Keys::verify`].
    pub fn verify(&self, keys: &Keys) -> Result<Vec<KeyId>, Refused> {
        keys.verify(self.line.as_bytes(), self.signatures)
    }

    /// What the line is known by.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.line.as_bytes())
    }

    /// The file of both.
    #[must_use]
    pub fn to_file(&self) -> String {
        format!("{}\n{}", self.line, self.signatures)
    }
}
