//! What people say in signed files: reasons, names, dates. It is shown in terminals and in logs.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::refused::{Code, Refused, shown};

/// A text of one line, of `MAX` characters at most, that does not control a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Words<const MAX: usize>(String);

impl<const MAX: usize> Words<MAX> {
    /// These words.
    ///
    /// # Errors
    /// They are too long, or have a character that is not for reading.
    pub fn new(text: impl Into<String>) -> Result<Self, Refused> {
        let text = text.into();
        if text.chars().count() > MAX {
            let words = format!("`{}` is longer than {MAX} characters; say it in fewer", shown(&text));
            return Err(Refused::new(Code::TooLarge, words));
        }
        // Separators of lines and paragraphs, and what changes the direction of writing, hide what follows.
        let hides = |c: char| {
            c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
                || matches!(c, '\u{2066}'..='\u{2069}' | '\u{feff}')
        };
        match text.chars().find(|c| hides(*c)) {
            None => Ok(Self(text)),
            Some(c) => {
                let words = format!(
                    "a text has the character U+{:04X}, which is not for reading; leave it out",
                    c as u32
                );
                Err(Refused::new(Code::NotAllowed, words))
            }
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> TryFrom<String> for Words<MAX> {
    type Error = Refused;

    fn try_from(text: String) -> Result<Self, Refused> {
        Self::new(text)
    }
}

impl<const MAX: usize> fmt::Display for Words<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_refused() {
        assert_eq!(Words::<5>::new("gr\u{fc}n!").unwrap().as_str(), "gr\u{fc}n!");
        assert_eq!(Words::<5>::new("longer").unwrap_err().code, Code::TooLarge);
        for bad in ["a\nb", "\u{1b}[2J", "a\u{202e}b", "a\u{2028}", "\u{7f}", "\u{9b}"] {
            assert_eq!(Words::<5>::new(bad).unwrap_err().code, Code::NotAllowed, "{bad:?}");
        }
    }
}
