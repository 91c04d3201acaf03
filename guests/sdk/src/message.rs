//! Messages as they are read: the answers of upstreams, and replies so far.

use alloc::vec::Vec;
use core::fmt;

use crate::name::{Name, NameBuf};

/// A section of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who says so, or that there is nothing.
    Authority,
    /// What may be of use.
    Additional,
}

/// The bytes are not a message: something is cut short, left over or points nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message is malformed")
    }
}

/// A message with one question, walked from its first to its last byte.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    question_end: usize,
}

impl<'a> Message<'a> {
    /// The message that these bytes are.
    ///
    /// # Errors
    /// They are none with exactly one question and nothing left over.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if u16_at(bytes, 4) != Some(1) {
            return Err(Malformed);
        }
        let name = Name::at(bytes, 12).map_err(|_| Malformed)?;
        let message = Self { bytes, question_end: 12 + name.len() + 4 };
        let mut records = message.records();
        for _ in records.by_ref() {}
        if message.question_end <= bytes.len() && records.left == [0; 3] && records.at == bytes.len() {
            Ok(message)
        } else {
            Err(Malformed)
        }
    }

    /// One that was parsed before.
    pub(crate) fn trusted(bytes: &'a [u8]) -> Self {
        let name_len = Name::at(bytes, 12).map_or(1, Name::len);
        Self { bytes, question_end: 12 + name_len + 4 }
    }

    /// All of it.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The name of the question.
    #[must_use]
    pub fn qname(&self) -> Name<'a> {
        Name::trusted(self.bytes.get(12..self.question_end - 4).unwrap_or_default())
    }

    /// The type of the question.
    #[must_use]
    pub fn qtype(&self) -> u16 {
        u16_at(self.bytes, self.question_end - 4).unwrap_or(0)
    }

    /// Where the question ends.
    pub(crate) fn question_end(&self) -> usize {
        self.question_end
    }

    /// The response code, with the bits of EDNS.
    #[must_use]
    pub fn rcode(&self) -> u16 {
        let low = u16::from(self.bytes.get(3).map_or(0, |byte| byte & 0xF));
        let opt = self.records().find(|record| record.rtype == crate::rtype::OPT);
        low | opt.map_or(0, |opt| (opt.ttl >> 24) as u16) << 4
    }

    /// Whether AA is set.
    #[must_use]
    pub fn is_authoritative(&self) -> bool {
        self.bytes.get(2).map_or(false, |byte| byte & 4 != 0)
    }

    /// Whether TC is set.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.bytes.get(2).map_or(false, |byte| byte & 2 != 0)
    }

    /// The records of all sections, OPT among them.
    #[must_use]
    pub fn records(&self) -> Records<'a> {
        let count = |at| u16_at(self.bytes, at).unwrap_or(0);
        Records { bytes: self.bytes, at: self.question_end, left: [count(6), count(8), count(10)] }
    }
}

/// The records of a message, one after the other.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    left: [u16; 3],
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let section = self.left.iter().position(|left| *left > 0)?;
        let fixed = skip_name(self.bytes, self.at)?;
        let rdata_len = usize::from(u16_at(self.bytes, fixed + 8)?);
        let ttl = self.bytes.get(fixed + 4..fixed + 8)?;
        let end = fixed + 10 + rdata_len;
        self.bytes.get(fixed + 10..end)?;
        let record = Record {
            message: self.bytes,
            section: [Section::Answer, Section::Authority, Section::Additional][section],
            owner_at: self.at,
            rtype: u16_at(self.bytes, fixed)?,
            rclass: u16_at(self.bytes, fixed + 2)?,
            ttl: u32::from_be_bytes([ttl[0], ttl[1], ttl[2], ttl[3]]),
            rdata: (fixed + 10, end),
        };
        self.at = end;
        self.left[section] -= 1;
        Some(record)
    }
}

/// A record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    message: &'a [u8],
    owner_at: usize,
    rdata: (usize, usize),
    /// The section that it stands in.
    pub section: Section,
    /// The type.
    pub rtype: u16,
    /// The class.
    pub rclass: u16,
    /// The time to live, in seconds.
    pub ttl: u32,
}

impl<'a> Record<'a> {
    /// The owner; none if its pointers lead nowhere.
    #[must_use]
    pub fn owner(&self) -> Option<NameBuf> {
        expand(self.message, self.owner_at)
    }

    /// The data. Names in them may be compressed: [`name`](Self::name) reads those.
    #[must_use]
    pub fn rdata(&self) -> &'a [u8] {
        &self.message[self.rdata.0..self.rdata.1]
    }

    /// The name that begins at this byte of the data: 0 for NS, CNAME and PTR, 2 for MX.
    #[must_use]
    pub fn name(&self, at: usize) -> Option<NameBuf> {
        let at = self.rdata.0.checked_add(at)?;
        if at < self.rdata.1 {
            expand(self.message, at)
        } else {
            None
        }
    }
}

/// Where what follows the name at `at` begins. No pointer is followed.
fn skip_name(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    loop {
        match usize::from(*bytes.get(end)?) {
            0 => return Some(end + 1),
            len @ 1..=63 => end += 1 + len,
            0xC0..=0xFF => return Some(end + 2).filter(|end| *end <= bytes.len()),
            _ => return None,
        }
        if end - at > 254 {
            return None;
        }
    }
}

/// The name at `at`, its pointers followed. Each leads further to the front, so this ends.
fn expand(bytes: &[u8], at: usize) -> Option<NameBuf> {
    let (mut wire, mut at, mut before) = (Vec::new(), at, at);
    loop {
        let len = usize::from(*bytes.get(at)?);
        if len >= 0xC0 {
            let target = usize::from(u16_at(bytes, at)? & 0x3FFF);
            if target >= before {
                return None;
            }
            at = target;
            before = target;
            continue;
        }
        wire.extend_from_slice(bytes.get(at..=at + len)?);
        if len == 0 {
            return NameBuf::from_wire(wire).ok();
        }
        if wire.len() > 254 {
            return None;
        }
        at += 1 + len;
    }
}

/// The big-endian number at `at`.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// A query for a name and a type, to ask an upstream or the resolver with: class IN, with recursion desired.
///
/// ```
/// # use as112_guest::{query_for, rtype, NameBuf};
/// let name: NameBuf = "www.example.com".parse().unwrap();
/// let query = query_for(name.as_name(), rtype::A);
/// assert_eq!(query.len(), 12 + 17 + 4);
/// ```
#[must_use]
pub fn query_for(name: Name<'_>, qtype: u16) -> Vec<u8> {
    let mut query = Vec::with_capacity(16 + name.len());
    query.extend_from_slice(&[0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    query.extend_from_slice(name.as_wire());
    query.extend_from_slice(&qtype.to_be_bytes());
    query.extend_from_slice(&crate::class::IN.to_be_bytes());
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a.b.` MX 1 `x.b.`, with two pointers.
    const REPLY: &[u8] = b"\0\0\x84\0\0\x01\0\x01\0\0\0\0\x01a\x01b\0\0\x0f\0\x01\
        \xc0\x0c\0\x0f\0\x01\0\0\0\x3c\0\x06\0\x01\x01x\xc0\x0e";

    #[test]
    fn records_are_read() {
        let message = Message::parse(REPLY).unwrap();
        assert_eq!((message.qtype(), message.rcode(), message.is_authoritative()), (15, 0, true));
        let record = message.records().next().unwrap();
        assert_eq!((record.section, record.rtype, record.ttl), (Section::Answer, 15, 60));
        assert_eq!(record.owner().unwrap().as_name().to_string(), "a.b.");
        assert_eq!(record.name(2).unwrap().as_name().to_string(), "x.b.");
        assert_eq!((record.name(6), record.name(usize::MAX)), (None, None));
    }

    #[test]
    fn whatever_is_cut_or_changed_is_refused_or_read_without_harm() {
        for len in 0..REPLY.len() {
            assert!(Message::parse(&REPLY[..len]).is_err(), "{len}");
        }
        let longer = [REPLY, b"\0"].concat();
        assert!(Message::parse(&longer).is_err());
        let mut read = 0;
        for at in 0..REPLY.len() {
            for value in 0..=u8::MAX {
                let mut bytes = REPLY.to_vec();
                bytes[at] = value;
                let message = match Message::parse(&bytes) {
                    Ok(message) => message,
                    Err(Malformed) => continue,
                };
                for record in message.records() {
                    read += usize::from(record.owner().is_some() && record.name(2).is_some());
                }
                let _ = (message.qname(), message.rcode());
            }
        }
        assert!(read > 1000);
    }
}
