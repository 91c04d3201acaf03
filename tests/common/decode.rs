//! A strict decoder of DNS messages. It is written for the tests and shares nothing with the code that makes
//! the replies: every name, count and length is checked, and so is that nothing is left over.

use std::ops::Range;

use hickory_proto::op::Message as HickoryMessage;
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder};

/// The sections behind the question, as `Record::section` counts them.
pub const ANSWER: usize = 0;
pub const AUTHORITY: usize = 1;
pub const ADDITIONAL: usize = 2;

pub const TYPE_SOA: u16 = 6;
pub const TYPE_OPT: u16 = 41;
pub const TYPE_TSIG: u16 = 250;

/// The header (RFC 1035, section 4.1.1).
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub id: u16,
    pub flags: u16,
    /// Questions, answers, authority and additional records.
    pub counts: [u16; 4],
}

impl Header {
    pub fn opcode(&self) -> u16 {
        self.flags >> 11 & 0xF
    }

    pub fn rcode(&self) -> u16 {
        self.flags & 0xF
    }

    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

#[derive(Clone, Debug)]
pub struct Question {
    /// Uncompressed, with the letter case of the message.
    pub name: Vec<u8>,
    pub qtype: u16,
    pub qclass: u16,
    /// Where it stands in the message.
    pub span: Range<usize>,
}

#[derive(Clone, Debug)]
pub struct Record {
    pub section: usize,
    /// Uncompressed, with the letter case of the message.
    pub owner: Vec<u8>,
    pub rtype: u16,
    pub class: u16,
    pub ttl: u32,
    /// Where it stands in the message, from its owner on.
    pub span: Range<usize>,
    /// Where its type field stands: 10 bytes before its rdata.
    pub fixed: usize,
    pub rdata: Range<usize>,
}

/// A message in which all was found sound.
#[derive(Debug)]
pub struct Message {
    pub header: Header,
    pub questions: Vec<Question>,
    pub records: Vec<Record>,
}

impl Message {
    /// Decodes a whole message.
    ///
    /// # Errors
    /// What is wrong, and at which offset: damage of any kind, bytes left over, a compression pointer that
    /// does not aim at a label of a name before it, or one where none may be (RFC 3597, section 4).
    pub fn decode(packet: &[u8]) -> Result<Self, String> {
        let mut reader = Reader::new(packet);
        let header = reader.header()?;
        let [questions, records @ ..] = header.counts;
        let questions = (0..questions).map(|_| reader.question()).collect::<Result<_, _>>()?;
        let mut all = Vec::new();
        for (section, count) in records.into_iter().enumerate() {
            for _ in 0..count {
                all.push(reader.record(section)?);
            }
        }
        if reader.at != packet.len() {
            return Err(format!("{} bytes behind the last record", packet.len() - reader.at));
        }
        Ok(Self { header, questions, records: all })
    }

    pub fn section(&self, section: usize) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.section == section)
    }

    pub fn opt(&self) -> Option<&Record> {
        self.records.iter().find(|record| record.rtype == TYPE_OPT)
    }
}

/// Reads a message from front to back.
pub struct Reader<'p> {
    packet: &'p [u8],
    pub at: usize,
    /// Where the labels, and the roots, of the names so far stand: what a pointer may aim at.
    labels: Vec<usize>,
}

impl<'p> Reader<'p> {
    pub fn new(packet: &'p [u8]) -> Self {
        Self { packet, at: 0, labels: Vec::new() }
    }

    pub fn header(&mut self) -> Result<Header, String> {
        Ok(Header {
            id: self.u16()?,
            flags: self.u16()?,
            counts: [self.u16()?, self.u16()?, self.u16()?, self.u16()?],
        })
    }

    pub fn question(&mut self) -> Result<Question, String> {
        let start = self.at;
        let name = self.name(false)?;
        let (qtype, qclass) = (self.u16()?, self.u16()?);
        Ok(Question { name, qtype, qclass, span: start..self.at })
    }

    pub fn record(&mut self, section: usize) -> Result<Record, String> {
        let start = self.at;
        let owner = self.name(true)?;
        let fixed = self.at;
        let (rtype, class) = (self.u16()?, self.u16()?);
        let ttl = u32::from(self.u16()?) << 16 | u32::from(self.u16()?);
        let len = usize::from(self.u16()?);
        let rdata = self.at..self.at + len;
        if rdata.end > self.packet.len() {
            return Err(format!("the rdata at {} leaves the message", rdata.start));
        }
        self.rdata(rtype, rdata.end)?;
        if self.at != rdata.end {
            return Err(format!("the rdata at {} ends at {}, not {}", rdata.start, self.at, rdata.end));
        }
        Ok(Record { section, owner, rtype, class, ttl, span: start..rdata.end, fixed, rdata })
    }

    /// Passes the rdata of a type whose form is known. Names are compressed in the types of RFC 1035 alone.
    fn rdata(&mut self, rtype: u16, end: usize) -> Result<(), String> {
        match rtype {
            1 => self.skip(4),
            2 | 5 | 12 => self.name(true).map(drop),
            6 => {
                self.name(true)?;
                self.name(true)?;
                self.skip(20)
            }
            15 => {
                self.skip(2)?;
                self.name(true).map(drop)
            }
            16 => {
                while self.at < end {
                    let len = usize::from(self.u8()?);
                    self.skip(len)?;
                }
                Ok(())
            }
            28 | 29 => self.skip(16),
            33 => {
                self.skip(6)?;
                self.name(false).map(drop)
            }
            39 => self.name(false).map(drop),
            TYPE_OPT => {
                while self.at < end {
                    self.skip(2)?;
                    self.sized()?;
                }
                Ok(())
            }
            TYPE_TSIG => {
                self.name(false)?;
                self.skip(8)?;
                self.sized()?;
                self.skip(4)?;
                self.sized()
            }
            _ => self.skip(end - self.at),
        }
    }

    /// A name, uncompressed.
    fn name(&mut self, may_point: bool) -> Result<Vec<u8>, String> {
        let mut wire = Vec::with_capacity(64);
        let mut own_labels = Vec::with_capacity(8);
        let mut end = None;
        let mut at = self.at;
        loop {
            let len =
                *self.packet.get(at).ok_or_else(|| format!("the name at {} leaves the message", self.at))?;
            if len < 0x40 {
                if end.is_none() {
                    own_labels.push(at);
                }
                let next = at + 1 + usize::from(len);
                wire.extend_from_slice(
                    self.packet
                        .get(at..next)
                        .ok_or_else(|| format!("the label at {at} leaves the message"))?,
                );
                if wire.len() > 255 {
                    return Err(format!("the name at {} is over 255 bytes", self.at));
                }
                at = next;
                if len == 0 {
                    break;
                }
            } else {
                let low = *self.packet.get(at + 1).ok_or_else(|| format!("half a pointer at {at}"))?;
                let target = usize::from(len & 0x3F) << 8 | usize::from(low);
                if len < 0xC0 || !may_point {
                    return Err(format!("at {at} stands {len:02x}, where a label must be"));
                }
                if target >= self.at || !self.labels.contains(&target) {
                    return Err(format!(
                        "the pointer at {at} aims at {target}: no label of a name before it"
                    ));
                }
                end.get_or_insert(at + 2);
                at = target;
            }
        }
        self.at = end.unwrap_or(at);
        self.labels.append(&mut own_labels);
        Ok(wire)
    }

    fn sized(&mut self) -> Result<(), String> {
        let len = usize::from(self.u16()?);
        self.skip(len)
    }

    fn skip(&mut self, len: usize) -> Result<(), String> {
        self.at += len;
        if self.at <= self.packet.len() { Ok(()) } else { Err("the message ends too early".to_owned()) }
    }

    fn u8(&mut self) -> Result<u8, String> {
        let at = self.at;
        self.skip(1)?;
        Ok(self.packet[at])
    }

    fn u16(&mut self) -> Result<u16, String> {
        Ok(u16::from(self.u8()?) << 8 | u16::from(self.u8()?))
    }
}

/// The name at `at` of a message that was decoded before, uncompressed, and the offset behind it.
pub fn name_at(packet: &[u8], mut at: usize) -> (Vec<u8>, usize) {
    let mut wire = Vec::new();
    let mut end = None;
    loop {
        let len = usize::from(packet[at]);
        if len >= 0xC0 {
            end.get_or_insert(at + 2);
            at = (len & 0x3F) << 8 | usize::from(packet[at + 1]);
            continue;
        }
        wire.extend_from_slice(&packet[at..at + 1 + len]);
        at += 1 + len;
        if len == 0 {
            return (wire, end.unwrap_or(at));
        }
    }
}

/// Whether the decoder of another project reads the message too, with nothing left over.
///
/// # Errors
/// Its error, or how much it left.
pub fn second_opinion(packet: &[u8]) -> Result<HickoryMessage, String> {
    let mut decoder = BinDecoder::new(packet);
    let message = HickoryMessage::read(&mut decoder).map_err(|error| error.to_string())?;
    if decoder.is_empty() { Ok(message) } else { Err(format!("{} bytes are left over", decoder.len())) }
}
