//! Domain names in wire form.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A domain name, uncompressed, in wire form: labels, each after its length, and the root's zero.
///
/// Two names are equal if they are but for the case of ASCII letters.
#[derive(Clone, Copy)]
pub struct Name<'a>(&'a [u8]);

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// A label has no bytes.
    EmptyLabel,
    /// A label has more than 63 bytes.
    LongLabel,
    /// It has more than 255 bytes.
    TooLong,
    /// A backslash is not followed by a character or three digits up to 255.
    Escape,
    /// The bytes are not a name: a pointer, another type of label, or an end without the root.
    Malformed,
}

impl<'a> Name<'a> {
    /// The root.
    pub const ROOT: Name<'static> = Name(&[0]);

    /// The name that `wire` is, with nothing left over.
    ///
    /// # Errors
    /// It is none.
    pub fn from_wire(wire: &'a [u8]) -> Result<Self, NameError> {
        let name = Self::at(wire, 0)?;
        if name.0.len() == wire.len() {
            Ok(name)
        } else {
            Err(NameError::Malformed)
        }
    }

    /// The uncompressed name that begins at `at`.
    ///
    /// # Errors
    /// There is none.
    pub fn at(bytes: &'a [u8], at: usize) -> Result<Self, NameError> {
        let mut end = at;
        loop {
            let len = usize::from(*bytes.get(end).ok_or(NameError::Malformed)?);
            end += 1 + len;
            if len > 63 {
                return Err(NameError::Malformed);
            }
            if end - at > 255 {
                return Err(NameError::TooLong);
            }
            if len == 0 {
                return Ok(Self(&bytes[at..end]));
            }
        }
    }

    /// A name that was checked before, such as a suffix of another one. With one that is none, a reply is not
    /// a message, and the node does not take it.
    #[must_use]
    pub const fn trust(wire: &'a [u8]) -> Self {
        Self(wire)
    }

    /// What the host has checked.
    pub(crate) fn trusted(wire: &'a [u8]) -> Self {
        Self(if wire.is_empty() { Self::ROOT.0 } else { wire })
    }

    /// Its wire form.
    #[must_use]
    pub fn as_wire(self) -> &'a [u8] {
        self.0
    }

    /// Bytes of the wire form.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // The root has one.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether it is the root.
    #[must_use]
    pub fn is_root(self) -> bool {
        self.0.len() == 1
    }

    /// Its labels, from the left; the root is not among them.
    pub fn labels(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.suffixes().filter_map(Name::first)
    }

    /// The label on the left; none of the root.
    #[must_use]
    pub fn first(self) -> Option<&'a [u8]> {
        let len = usize::from(*self.0.first()?);
        self.0.get(1..1 + len).filter(|label| !label.is_empty())
    }

    /// The name without its label on the left; none of the root.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        let len = usize::from(*self.0.first()?);
        let rest = self.0.get(1 + len..)?;
        if rest.is_empty() {
            None
        } else {
            Some(Self(rest))
        }
    }

    /// The name itself, then each name above it, and in the end the root.
    pub fn suffixes(self) -> impl Iterator<Item = Name<'a>> + Clone {
        core::iter::successors(Some(self), |name| name.parent())
    }

    /// Whether this is `other`, or below it.
    ///
    /// ```
    /// # use as112_guest::NameBuf;
    /// let name: NameBuf = "www.Example.com".parse().unwrap();
    /// let zone: NameBuf = "example.com".parse().unwrap();
    /// assert!(name.as_name().is_below_or_at(zone.as_name()));
    /// ```
    #[must_use]
    pub fn is_below_or_at(self, other: Name<'_>) -> bool {
        match self.0.len().checked_sub(other.0.len()) {
            // The boundary of a label has to be there, and not only the same bytes.
            Some(_) => self.suffixes().any(|suffix| suffix.0.len() == other.0.len() && suffix == other),
            None => false,
        }
    }
}

impl PartialEq<Name<'_>> for Name<'_> {
    fn eq(&self, other: &Name<'_>) -> bool {
        // Lengths of labels are below `A`, so they are compared as they are.
        eq_ignore_case(self.0, other.0)
    }
}

/// Whether bytes are equal but for the case of ASCII letters: eight at a time, as they mostly are equal.
fn eq_ignore_case(ours: &[u8], theirs: &[u8]) -> bool {
    let len = ours.len();
    if len != theirs.len() {
        return false;
    }
    let is_same = |at: usize| {
        let (ours, theirs) = (&ours[at..at + 8], &theirs[at..at + 8]);
        word(ours) == word(theirs) || ours.eq_ignore_ascii_case(theirs)
    };
    let mut at = 0;
    while at + 8 <= len {
        if !is_same(at) {
            return false;
        }
        at += 8;
    }
    // The last eight again, some of which were compared before.
    match len.checked_sub(8) {
        Some(last) => is_same(last),
        None => ours.eq_ignore_ascii_case(theirs),
    }
}

fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
}

impl Eq for Name<'_> {}

/// Prints the name as zone files have it, with the final dot.
impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for label in self.labels() {
            for &byte in label {
                match byte {
                    b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                        write!(f, "\\{}", byte as char)?
                    }
                    b'!'..=b'~' => write!(f, "{}", byte as char)?,
                    _ => write!(f, "\\{:03}", byte)?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A name that is known when the application is compiled, and is checked then. (Without `\\` in it.)
///
/// ```
/// use as112_guest::{name, Name};
///
/// const ZONE: Name<'static> = name!("10.in-addr.arpa");
/// assert_eq!(ZONE.as_wire(), b"\x0210\x07in-addr\x04arpa\0");
/// ```
///
/// ```compile_fail
/// const WRONG: as112_guest::Name<'static> = as112_guest::name!("a..b");
/// ```
#[macro_export]
macro_rules! name {
    ($text:expr) => {{
        const WIRE: [u8; $text.len() + 2] = $crate::wire($text);
        $crate::Name::trust(&WIRE)
    }};
}

/// The wire form of a name without its final dot, which is `N - 2` bytes long.
#[doc(hidden)]
#[must_use]
pub const fn wire<const N: usize>(text: &str) -> [u8; N] {
    let text = text.as_bytes();
    assert!(N == text.len() + 2 && N <= 255, "the name has more than 255 bytes");
    let mut wire = [0; N];
    let (mut at, mut label_at) = (0, 0);
    while at <= text.len() {
        if at == text.len() || text[at] == b'.' {
            let len = at - label_at;
            assert!(len > 0 && len < 64, "a label is empty, or has more than 63 bytes");
            wire[label_at] = len as u8;
            label_at = at + 1;
        } else {
            assert!(text[at] != b'\\', "read names with escapes when the application starts");
            wire[at + 1] = text[at];
        }
        at += 1;
    }
    wire
}

/// A domain name that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameBuf(Vec<u8>);

impl NameBuf {
    /// The name as a [`Name`].
    #[must_use]
    pub fn as_name(&self) -> Name<'_> {
        Name(&self.0)
    }

    /// A name from its wire form, with nothing left over.
    ///
    /// # Errors
    /// It is none.
    pub fn from_wire(wire: Vec<u8>) -> Result<Self, NameError> {
        Name::from_wire(&wire)?;
        Ok(Self(wire))
    }
}

impl From<Name<'_>> for NameBuf {
    fn from(name: Name<'_>) -> Self {
        Self(name.0.to_owned())
    }
}

/// Reads a name as people write it, with or without the final dot; `\.` is a dot within a label, and `\007`
/// a byte.
impl core::str::FromStr for NameBuf {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        let mut label_at = 0;
        if text != "." {
            wire.push(0);
            let mut bytes = text.bytes();
            while let Some(byte) = bytes.next() {
                if byte == b'.' {
                    end_label(&mut wire, label_at)?;
                    label_at = wire.len();
                    wire.push(0);
                } else if byte == b'\\' {
                    wire.push(escaped(&mut bytes)?);
                } else {
                    wire.push(byte);
                }
            }
            if text.is_empty() || wire.len() - label_at > 1 {
                end_label(&mut wire, label_at)?;
            } else {
                wire.pop(); // The final dot.
            }
        }
        wire.push(0);
        if wire.len() > 255 {
            return Err(NameError::TooLong);
        }
        Ok(Self(wire))
    }
}

fn end_label(wire: &mut [u8], label_at: usize) -> Result<(), NameError> {
    match wire.len() - label_at - 1 {
        0 => Err(NameError::EmptyLabel),
        len @ 1..=63 => {
            wire[label_at] = len as u8;
            Ok(())
        }
        _ => Err(NameError::LongLabel),
    }
}

fn escaped(bytes: &mut core::str::Bytes<'_>) -> Result<u8, NameError> {
    let first = bytes.next().ok_or(NameError::Escape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u32::from(first - b'0');
    for _ in 0..2 {
        let digit = bytes.next().filter(u8::is_ascii_digit).ok_or(NameError::Escape)?;
        value = value * 10 + u32::from(digit - b'0');
    }
    u8::try_from(value).map_err(|_| NameError::Escape)
}

impl NameError {
    /// What is wrong, in a few words.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::EmptyLabel => "a label is empty",
            Self::LongLabel => "a label has more than 63 bytes",
            Self::TooLong => "the name has more than 255 bytes",
            Self::Escape => "a backslash needs a character or three digits up to 255 after it",
            Self::Malformed => "the bytes are not a name",
        }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

/// The name as text, without the final dot.
#[must_use]
pub fn text(name: Name<'_>) -> String {
    let mut text = alloc::format!("{}", name);
    if text.len() > 1 {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Result<NameBuf, NameError> {
        text.parse()
    }

    #[test]
    fn text_becomes_wire_form_and_text_again() {
        for (text, wire) in [
            (".", &b"\0"[..]),
            ("arpa.", b"\x04arpa\0"),
            ("10.In-Addr.arpa", b"\x0210\x07In-Addr\x04arpa\0"),
            ("a\\.b.c", b"\x03a.b\x01c\0"),
            ("\\000\\255.x", b"\x02\0\xff\x01x\0"),
        ] {
            let read = name(text).unwrap();
            assert_eq!(read.as_name().as_wire(), wire, "{text}");
            assert_eq!(name(&read.as_name().to_string()).unwrap().as_name().as_wire(), wire);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for (text, error) in [
            ("", NameError::EmptyLabel),
            ("a..b", NameError::EmptyLabel),
            (".a", NameError::EmptyLabel),
            (&"a".repeat(64), NameError::LongLabel),
            (&"abc.".repeat(64), NameError::TooLong),
            ("a\\", NameError::Escape),
            ("a\\25", NameError::Escape),
            ("a\\256", NameError::Escape),
        ] {
            assert_eq!(name(text), Err(error), "{text}");
        }
        for wire in [&b""[..], b"\x01a", b"\x02a\0", b"\xc0\x0c", b"\x40\0", b"\0\0"] {
            assert!(Name::from_wire(wire).is_err(), "{wire:?}");
        }
    }

    #[test]
    fn a_suffix_is_one_of_whole_labels() {
        let below = |a: &str, b: &str| name(a).unwrap().as_name().is_below_or_at(name(b).unwrap().as_name());
        assert!(below("x.10.IN-ADDR.arpa", "10.in-addr.arpa"));
        assert!(below("10.in-addr.arpa", "10.in-addr.arpa"));
        assert!(below("a.b", "."));
        assert!(!below("x10.in-addr.arpa", "10.in-addr.arpa"));
        assert!(!below("in-addr.arpa", "10.in-addr.arpa"));
        // The bytes are the same, and the boundary is not one.
        assert!(!below("a\\0021b", "1b"));
    }
}
