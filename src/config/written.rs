//! Values as an operator writes them, in the file and on the command line alike: text in; out comes the
//! value, or one sentence that ends in what to write instead.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};
use toml::Spanned;

use crate::limits::{NSID_LEN_MAX, PLATFORM_NAME_LEN_MAX, TEXT_LEN_MAX};
use crate::net::DatapathChoice;
use crate::report::export::dsc;
use crate::serve::UpdatePolicy;

/// A value with a written form.
pub trait Written: Sized {
    /// What the value is, for messages about a value of another kind.
    const EXPECTED: &'static str;
    /// Whether the file may say it as an integer.
    const INTEGER: bool = false;
    /// Whether the file may say it with a decimal point.
    const FRACTION: bool = false;

    /// The value that `text` says.
    ///
    /// # Errors
    /// One sentence: what is wrong with the text and what to write.
    fn read(text: &str) -> Result<Self, String>;
}

/// Where a setting came from, in the order in which mistakes are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// It was not given.
    Default,
    /// An option of the command line.
    Flag(&'static str),
    /// The file, from this byte on.
    File(usize),
}

/// A mistake, before its place is spelled out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mistake {
    pub(super) origin: Origin,
    pub(super) message: String,
}

impl Mistake {
    pub(super) fn new(origin: Origin, message: impl Into<String>) -> Self {
        Self { origin, message: message.into() }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Given<T> {
    pub(super) value: T,
    pub(super) origin: Origin,
}

impl<T> Given<T> {
    pub(super) fn default(value: T) -> Self {
        Self { value, origin: Origin::Default }
    }

    pub(super) fn flag(name: &'static str, value: T) -> Self {
        Self { value, origin: Origin::Flag(name) }
    }
}

impl<'de, T: Written> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// The value alone: `Spanned` adds the place to what can be read by itself.
        struct Bare<T>(T);
        impl<'de, T: Written> Deserialize<'de> for Bare<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Reader(PhantomData)).map(Bare)
            }
        }
        let spanned = Spanned::<Bare<T>>::deserialize(deserializer)?;
        let Range { start, .. } = spanned.span();
        Ok(Self { value: spanned.into_inner().0, origin: Origin::File(start) })
    }
}

/// Hands the text of a TOML string, or of a number where that will do, to [`Written::read`].
struct Reader<T>(PhantomData<T>);

impl<T: Written> Visitor<'_> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::read(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        if !T::INTEGER {
            return Err(E::invalid_type(Unexpected::Signed(number), &self));
        }
        T::read(&number.to_string()).map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        if !T::FRACTION {
            return Err(E::invalid_type(Unexpected::Float(number), &self));
        }
        T::read(&number.to_string()).map_err(E::custom)
    }
}

//------------ Numbers ---

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug)]
pub struct Count<const MIN: usize, const MAX: usize>(
    /// The number.
    pub usize,
);

impl<const MIN: usize, const MAX: usize> Written for Count<MIN, MAX> {
    const EXPECTED: &'static str = "a whole number";
    const INTEGER: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(format!("`{text}` is out of range; give a whole number from {MIN} to {MAX}")),
        }
    }
}

/// Bytes, from `MIN` to `MAX`, with their unit: `64MiB`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size<const MIN: usize, const MAX: usize>(pub(super) usize);

/// The units of [`Size`], largest first.
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl<const MIN: usize, const MAX: usize> Written for Size<MIN, MAX> {
    const EXPECTED: &'static str = "a size such as \"8MiB\"";
    const INTEGER: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        let bytes = quantity(text, &SIZE_UNITS).ok_or_else(|| {
            format!("`{text}` is not a size; give a number with B, KiB, MiB or GiB, such as \"8MiB\"")
        })?;
        match usize::try_from(bytes) {
            Ok(bytes) if (MIN..=MAX).contains(&bytes) => Ok(Self(bytes)),
            _ => Err(format!("`{text}` is out of range; give {} to {}", SizeText(MIN), SizeText(MAX))),
        }
    }
}

/// Prints a size with the largest unit that leaves no fraction.
pub struct SizeText(
    /// Bytes.
    pub usize,
);

impl fmt::Display for SizeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as u64;
        let (unit, of) = SIZE_UNITS.iter().find(|(_, of)| bytes.is_multiple_of(*of)).expect("1 divides all");
        write!(f, "{}{unit}", bytes / of)
    }
}

/// A time from `MIN_MS` to `MAX_MS` milliseconds, with its unit: `10s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time<const MIN_MS: u64, const MAX_MS: u64>(
    /// The time.
    pub Duration,
);

/// The units of [`Time`], largest first.
const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl<const MIN_MS: u64, const MAX_MS: u64> Written for Time<MIN_MS, MAX_MS> {
    const EXPECTED: &'static str = "a time such as \"10s\"";
    const INTEGER: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        let ms = quantity(text, &TIME_UNITS).ok_or_else(|| {
            format!("`{text}` is not a time; give a number with ms, s, m, h or d, such as \"10s\"")
        })?;
        if !(MIN_MS..=MAX_MS).contains(&ms) {
            return Err(format!("`{text}` is out of range; give {} to {}", time(MIN_MS), time(MAX_MS)));
        }
        Ok(Self(Duration::from_millis(ms)))
    }
}

/// Milliseconds with the largest unit that leaves no fraction.
fn time(ms: u64) -> String {
    let unit = TIME_UNITS.iter().find(|(_, of)| ms >= *of && ms.is_multiple_of(*of));
    unit.map_or_else(|| "0s".to_owned(), |(unit, of)| format!("{}{unit}", ms / of))
}

/// A number directly followed by one of `units`, in the smallest of them.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, of) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*of)
}

//------------ Texts ---

/// A line of text.
pub(super) type Line = Text<TEXT_LEN_MAX>;

/// A text of 1 to `MAX` bytes without control characters.
#[derive(Clone, Debug)]
pub struct Text<const MAX: usize>(
    /// The text.
    pub String,
);

impl<const MAX: usize> Written for Text<MAX> {
    const EXPECTED: &'static str = "a quoted string";

    fn read(text: &str) -> Result<Self, String> {
        match text.len() {
            0 => Err("the value is empty; give one, or leave the setting out".to_owned()),
            len if len > MAX => Err(format!("the value is {len} bytes long; shorten it to at most {MAX}")),
            _ if text.contains(char::is_control) => {
                Err("the value has a control character; give one line of plain text".to_owned())
            }
            _ => Ok(Self(text.to_owned())),
        }
    }
}

/// What something is called that stands in rules, in files and in labels.
#[derive(Clone, Debug)]
pub(super) struct Label(pub(super) String);

impl Written for Label {
    const EXPECTED: &'static str = "a name such as \"lan\"";

    fn read(text: &str) -> Result<Self, String> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_name = (1..=PLATFORM_NAME_LEN_MAX).contains(&text.len()) && text.chars().all(is_part);
        is_name.then(|| Self(text.to_owned())).ok_or_else(|| {
            format!(
                "`{text}` is not a name; give 1 to {PLATFORM_NAME_LEN_MAX} letters, digits, hyphens, dots \
                 or underscores"
            )
        })
    }
}

/// The names of blocks of one kind, each once.
pub(super) struct Names {
    what: &'static str,
    taken: BTreeSet<String>,
}

impl Names {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, taken: BTreeSet::new() }
    }

    /// Notes a name that another block has too.
    pub(super) fn take(&mut self, name: &Given<Label>, mistakes: &mut Vec<Mistake>) {
        let Given { value: Label(name), origin } = name;
        if !self.taken.insert(name.clone()) {
            let message = format!("another {} is called `{name}`; choose another name", self.what);
            mistakes.push(Mistake::new(*origin, message));
        }
    }
}

/// What the NSID option says (RFC 5001): text, or `0x` and hexadecimal digits.
#[derive(Clone, Debug)]
pub(super) struct Nsid(pub(super) Vec<u8>);

impl Written for Nsid {
    const EXPECTED: &'static str = "a string, or hexadecimal digits such as \"0xC0FFEE\"";

    fn read(text: &str) -> Result<Self, String> {
        let Some(digits) = text.strip_prefix("0x") else {
            return Text::<NSID_LEN_MAX>::read(text).map(|Text(text)| Self(text.into_bytes()));
        };
        match octets(digits.as_bytes()) {
            Some(bytes) if (1..=NSID_LEN_MAX).contains(&bytes.len()) => Ok(Self(bytes)),
            _ => Err(format!(
                "`{text}` is not an NSID; after 0x give 1 to {NSID_LEN_MAX} pairs of hexadecimal digits"
            )),
        }
    }
}

/// The bytes that pairs of hexadecimal digits say.
#[must_use]
pub fn octets(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, odd) = digits.as_chunks::<2>();
    let byte = |&[high, low]: &[u8; 2]| {
        let digit = |c: u8| char::from(c).to_digit(16);
        u8::try_from(digit(high)? << 4 | digit(low)?).ok()
    };
    pairs.iter().map(byte).collect::<Option<Vec<u8>>>().filter(|_| odd.is_empty())
}

//------------ Choices ---

impl DatapathChoice {
    const NAMES: [(&str, Self); 3] =
        [("auto", Self::Auto), ("io_uring", Self::IoUring), ("mmsg", Self::Mmsg)];
}

impl Written for DatapathChoice {
    const EXPECTED: &'static str = "\"auto\", \"io_uring\" or \"mmsg\"";

    fn read(text: &str) -> Result<Self, String> {
        choice::<Self>(text, &Self::NAMES)
    }
}

impl fmt::Display for DatapathChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, choice)| choice == self).map(|(name, _)| name);
        f.write_str(name.expect("every choice has a name"))
    }
}

impl Written for UpdatePolicy {
    const EXPECTED: &'static str = "\"refused\", \"notimp\" or \"drop\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &[("refused", Self::Refused), ("notimp", Self::Notimp), ("drop", Self::Drop)])
    }
}

impl Written for dsc::Format {
    const EXPECTED: &'static str = "\"xml\" or \"json\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &[("xml", Self::Xml), ("json", Self::Json)])
    }
}

/// Whose records a zone has that the operator adds without a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Template {
    DdEmpty,
    DrEmpty,
}

impl Written for Template {
    const EXPECTED: &'static str = "\"dd-empty\" or \"dr-empty\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &[("dd-empty", Self::DdEmpty), ("dr-empty", Self::DrEmpty)])
    }
}

pub(super) fn choice<T: Copy + Written>(text: &str, names: &[(&str, T)]) -> Result<T, String> {
    let found = names.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    found.ok_or_else(|| format!("`{text}` is not a valid value; give {}", T::EXPECTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_carry_their_unit() {
        type Any = Size<1, { usize::MAX }>;
        for (text, bytes) in [("1B", 1), ("3KiB", 3 << 10), ("64MiB", 64 << 20), ("2GiB", 2 << 30)] {
            assert_eq!(Any::read(text).unwrap().0, bytes);
            assert_eq!(SizeText(bytes).to_string(), text);
        }
        for bad in [
            "",
            "1",
            "MiB",
            "1MB",
            "1 MiB",
            "1.5MiB",
            "-1B",
            "99999999999999999999GiB",
            "18446744073709551615KiB",
        ] {
            assert!(Any::read(bad).unwrap_err().contains("is not a size; give"), "{bad}");
        }
        let small = Size::<4096, 8192>::read("4095B").unwrap_err();
        assert_eq!(small, "`4095B` is out of range; give 4KiB to 8KiB");

        type Timeout = Time<1000, 3_600_000>;
        for (text, ms) in [("1000ms", 1000), ("2s", 2000), ("60m", 3_600_000), ("1h", 3_600_000)] {
            assert_eq!(Timeout::read(text).unwrap().0, Duration::from_millis(ms));
        }
        assert!(Timeout::read("10").unwrap_err().contains("give a number with ms, s, m, h or d"));
        assert!(Timeout::read("999ms").unwrap_err().ends_with("give 1s to 1h"));
        assert!(Timeout::read("61m").is_err());
        assert!(Time::<10, 90_000>::read("2m").unwrap_err().ends_with("give 10ms to 90s"));
        assert!(Time::<0, 604_800_000>::read("8d").unwrap_err().ends_with("give 0s to 7d"));
    }

    #[test]
    fn nsid_is_text_or_hexadecimal() {
        let read = |text: &str| Nsid::read(text).map(|Nsid(bytes)| bytes);
        assert_eq!(read("node-1").unwrap(), b"node-1");
        assert_eq!(read("0xC0ffee00").unwrap(), [0xC0, 0xFF, 0xEE, 0]);
        assert_eq!(read(&format!("0x{}", "ab".repeat(128))).unwrap().len(), 128);
        for bad in ["0x", "0xA", "0xGG", "0xABC", "0x+1"] {
            assert!(read(bad).unwrap_err().contains("pairs of hexadecimal digits"), "{bad}");
        }
        assert!(read(&format!("0x{}", "ab".repeat(129))).is_err());
        assert!(read(&"x".repeat(129)).unwrap_err().ends_with("at most 128"));
        assert!(read("").is_err());
    }

    #[test]
    fn texts_are_short_plain_lines() {
        assert_eq!(
            Text::<5>::read("Łódź").unwrap_err(),
            "the value is 7 bytes long; shorten it to at most 5"
        );
        assert_eq!(Text::<7>::read("Łódź").unwrap().0, "Łódź");
        assert!(Text::<7>::read("a\nb").unwrap_err().contains("control character"));
    }

    #[test]
    fn choices_name_each_other() {
        assert_eq!(UpdatePolicy::read("drop"), Ok(UpdatePolicy::Drop));
        assert_eq!(
            DatapathChoice::read("uring").unwrap_err(),
            "`uring` is not a valid value; give \"auto\", \"io_uring\" or \"mmsg\""
        );
        for (name, choice) in DatapathChoice::NAMES {
            assert_eq!((DatapathChoice::read(name), choice.to_string()), (Ok(choice), name.to_owned()));
        }
    }
}
