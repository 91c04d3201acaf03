//! Files of lines that say what something gets, such as `11.1.0.0/16 nrt,sfo # since May`. They are read line
//! by line and not kept: they may be long.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::str;

use super::intervals::Key;
use crate::limits::{NETWORK_LINE_LEN_MAX, NETWORK_LINES_MAX, NETWORK_PROBLEMS_MAX, NETWORKS_FILE_LEN_MAX};
use crate::problem::Problem;
use crate::sys::files;

/// A line that says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number, from 1.
    pub number: u32,
    /// The first word.
    pub key: &'a str,
    /// The other ones.
    pub value: &'a str,
    /// What comes after `#`.
    pub comment: &'a str,
}

impl<'a> Line<'a> {
    fn new(number: u32, text: &'a str) -> Option<Self> {
        let (words, comment) = text.split_once('#').unwrap_or((text, ""));
        let words = words.trim();
        let (key, value) = words.split_once([' ', '\t']).unwrap_or((words, ""));
        let of = Self { number, key, value: value.trim_start(), comment: comment.trim() };
        (!key.is_empty()).then_some(of)
    }
}

/// A network, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// Its first address and its length.
    V4(u32, u8),
    /// The same of IPv6.
    V6(u128, u8),
}

impl Network {
    /// Reads `11.1.0.0/16`, or an address alone.
    ///
    /// # Errors
    /// What is wrong, and what to write.
    pub fn read(text: &str) -> Result<Self, String> {
        let (address, len) = text.split_once('/').map_or((text, None), |(before, len)| (before, Some(len)));
        let bits = |max: u8| match len {
            None => Ok(max),
            Some(len) => match len.parse() {
                Ok(bits) if bits <= max && len.bytes().all(|digit| digit.is_ascii_digit()) => Ok(bits),
                _ => Err(format!("/{len} is not the length of a prefix; it has 0 to {max} bits")),
            },
        };
        if let Ok(address) = address.parse::<Ipv4Addr>() {
            let len = bits(32)?;
            return Ok(Self::V4(exact(address.to_bits(), len, text)?, len));
        }
        let Ok(address) = address.parse::<Ipv6Addr>() else {
            return Err(format!("`{text}` is not a network; write it as in 192.0.2.0/24 or 2001:db8::/32"));
        };
        let len = bits(128)?;
        let first = exact(address.to_bits(), len, text)?;
        match address.to_ipv4_mapped() {
            Some(address) if len >= 96 => {
                Err(format!("`{text}` is a network of IPv4; write {address}/{}", len - 96))
            }
            _ => Ok(Self::V6(first, len)),
        }
    }

    /// If `address` is in it, its length.
    #[must_use]
    pub fn holds(self, address: IpAddr) -> Option<u8> {
        match (self, address) {
            (Self::V4(first, len), IpAddr::V4(address)) => {
                (address.to_bits().first(len) == first).then_some(len)
            }
            (Self::V6(first, len), IpAddr::V6(address)) => {
                (address.to_bits().first(len) == first).then_some(len)
            }
            _ => None,
        }
    }
}

fn exact<K: Key>(address: K, len: u8, text: &str) -> Result<K, String> {
    let first = address.first(len);
    if first == address {
        return Ok(first);
    }
    Err(format!("{text} has bits beyond its length; write {}/{len}", first.address()))
}

/// Gives every line of a file that says something to `each`. The mistakes that `each` finds are noted with
/// their place, up to a bound. If `may_be_absent`, a file that is not there is empty.
pub fn read(
    path: &Path,
    may_be_absent: bool,
    problems: &mut Vec<Problem>,
    mut each: impl FnMut(Line<'_>) -> Result<(), String>,
) {
    let mut reading = Reading { path, number: 0, found: Vec::new() };
    let read = reading.lines(&mut each);
    let mut found = reading.found;
    match read {
        Err(error) if may_be_absent && error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            let message = format!("cannot read the file: {error}; check the path and its permissions");
            found.push(Problem { place: path.display().to_string(), message });
        }
        Ok(()) => {}
    }
    problems.append(&mut found);
}

struct Reading<'a> {
    path: &'a Path,
    number: u32,
    found: Vec<Problem>,
}

impl Reading<'_> {
    fn lines(&mut self, each: &mut dyn FnMut(Line<'_>) -> Result<(), String>) -> io::Result<()> {
        let file = files::open(self.path)?;
        let version = |file: &std::fs::File| file.metadata().and_then(|of| Ok((of.len(), of.modified()?)));
        let before = version(&file)?;
        if before.0 > NETWORKS_FILE_LEN_MAX {
            self.refuse(format!("it is longer than {} MiB; divide it", NETWORKS_FILE_LEN_MAX >> 20));
            return Ok(());
        }
        let mut lines = BufReader::with_capacity(1 << 16, file);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let bound = NETWORK_LINE_LEN_MAX as u64 + 1;
            if lines.by_ref().take(bound).read_until(b'\n', &mut bytes)? == 0 {
                break;
            }
            self.number += 1;
            if self.number as usize > NETWORK_LINES_MAX {
                let all = self.number as usize + count_lines(&mut lines)?;
                self.refuse(format!("{} lines; at most {}", grouped(all), grouped(NETWORK_LINES_MAX)));
                return Ok(());
            }
            if bytes.len() > NETWORK_LINE_LEN_MAX {
                self.note(format!("a line of more than {NETWORK_LINE_LEN_MAX} bytes; shorten its comment"));
                return Ok(());
            }
            let said = match str::from_utf8(&bytes) {
                Ok(text) => Line::new(self.number, text).map_or(Ok(()), &mut *each),
                Err(_) => Err("not text in UTF-8; give a text file".to_owned()),
            };
            if let Err(message) = said {
                self.note(message);
                if self.found.len() >= NETWORK_PROBLEMS_MAX {
                    self.note("there may be more mistakes; these were the first".to_owned());
                    return Ok(());
                }
            }
        }
        if version(lines.get_ref())? != before {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "it changed while it was read"));
        }
        Ok(())
    }

    /// Something is wrong with the line.
    fn note(&mut self, message: String) {
        self.found.push(Problem { place: place(self.path, self.number), message });
    }

    /// Something is wrong with the file.
    fn refuse(&mut self, message: String) {
        self.found.push(Problem { place: self.path.display().to_string(), message });
    }
}

/// A line of a file, for messages.
#[must_use]
pub fn place(path: &Path, line: impl Display) -> String {
    format!("{}:{line}", path.display())
}

/// How many lines are left.
fn count_lines(lines: &mut impl BufRead) -> io::Result<usize> {
    let (mut count, mut is_begun) = (0, false);
    loop {
        let bytes = lines.fill_buf()?;
        let Some(last) = bytes.last() else { return Ok(count + usize::from(is_begun)) };
        is_begun = *last != b'\n';
        count += bytes.iter().filter(|byte| **byte == b'\n').count();
        let len = bytes.len();
        lines.consume(len);
    }
}

/// A number with its thousands apart.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
