//! A packet becomes a [`Query`] or a [`Reject`] that says which reply it gets.
//!
//! The checks stand in the order in which they decide: a packet with two faults gets the answer to the first.

use core::ops::Range;

use super::consts::{HEADER_LEN, class, flag, opcode, option, rtype};
use super::edns::Opt;
use super::name::{Damaged, Walk};
use super::u16_at;
use crate::limits::QUERY_LEN_MAX;

/// The header of a packet (RFC 1035, section 4.1.1) but for its ID, which nobody reads.
///
/// ```text
/// ID | QR OPCODE AA TC RD RA Z AD CD RCODE | QDCOUNT | ANCOUNT | NSCOUNT | ARCOUNT
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// The second 16-bit word.
    pub flags: u16,
    /// Questions.
    pub questions: u16,
    /// Answer, authority and additional records.
    pub records: [u16; 3],
}

impl Header {
    /// Reads the header; `None` when the packet, the first `len` bytes of `slot`, is shorter.
    #[inline]
    #[must_use]
    pub fn read(slot: &[u8], len: usize) -> Option<Self> {
        if len < HEADER_LEN {
            return None;
        }
        let bytes: &[u8; HEADER_LEN] = slot.first_chunk()?;
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        Some(Self { flags: word(2), questions: word(4), records: [word(6), word(8), word(10)] })
    }

    /// Whether this is a response; those are never answered.
    #[inline]
    #[must_use]
    pub fn is_response(&self) -> bool {
        self.flags & flag::QR != 0
    }

    /// Whether a query asks for recursion; with other operation codes the bit means nothing.
    #[inline]
    #[must_use]
    pub fn is_recursion_desired(&self) -> bool {
        self.flags & flag::RD != 0 && self.opcode() == opcode::QUERY
    }

    /// The operation code.
    #[inline]
    #[must_use]
    pub fn opcode(&self) -> u8 {
        (self.flags >> 11) as u8 & 0xF
    }
}

/// A question (RFC 1035, section 4.1.2); its name begins after the header.
#[derive(Debug, Default)]
pub struct Question {
    /// The qname.
    pub name: Walk,
    /// The offset after the question.
    pub end: usize,
    /// The qtype.
    pub qtype: u16,
    /// The qclass.
    pub qclass: u16,
}

/// Where the parts of a sound TSIG stand that a reply to it copies (RFC 8945, section 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tsig {
    /// The key's name.
    pub key: Range<usize>,
    /// The algorithm's name.
    pub algorithm: Range<usize>,
    /// The time signed and the fudge: 8 bytes.
    pub time: Range<usize>,
    /// The original ID: 2 bytes.
    pub original_id: Range<usize>,
}

/// A query that parsed: opcode QUERY, one question, sound records, EDNS version 0.
#[derive(Debug, Default)]
pub struct Query {
    /// The question.
    pub question: Question,
    /// The OPT record, when there is one.
    pub opt: Option<Opt>,
    /// The TSIG record, when there is one.
    pub tsig: Option<Tsig>,
}

/// Why a packet is not a [`Query`], and what its reply consists of. `question_end` is the offset after the
/// question, which the reply repeats.
#[derive(Debug, PartialEq, Eq)]
pub enum Reject {
    /// An opcode that we do not implement: NOTIMP, the header alone.
    Opcode,
    /// No question, more than one, or a malformed one: FORMERR, the header alone.
    Question,
    /// No question but a sound OPT and nothing else: FORMERR, header and OPT.
    QuestionAbsent(Opt),
    /// A dynamic update (RFC 2136); the zone section is the question.
    Update {
        /// See [`Reject`].
        question_end: usize,
    },
    /// Too long, or a malformed record: FORMERR with the question.
    Records {
        /// See [`Reject`].
        question_end: usize,
    },
    /// An EDNS version that we do not speak: BADVERS with question and OPT (RFC 6891, section 6.1.3).
    Version {
        /// See [`Reject`].
        question_end: usize,
        /// The OPT of the query.
        opt: Opt,
    },
}

/// Parses the packet in the first `len` bytes of `slot` into `query`, which is [`Query::default`] before.
/// What lies after them may be read, never believed: a slot is longer than its packet, and names are hashed
/// eight bytes at a time.
///
/// # Errors
/// A [`Reject`] says what reply the packet gets instead of an answer; `query` then holds a part of it.
#[inline]
pub fn parse(slot: &[u8], len: usize, header: &Header, query: &mut Query) -> Result<(), Reject> {
    let opcode = header.opcode();
    if opcode != opcode::QUERY && opcode != opcode::UPDATE {
        return Err(Reject::Opcode);
    }
    if header.questions != 1 {
        return Err(no_single_question(slot, len, header));
    }
    query.question.read(slot, len).map_err(|Damaged| Reject::Question)?;
    let question_end = query.question.end;
    if opcode == opcode::UPDATE {
        return Err(Reject::Update { question_end });
    }
    if len > QUERY_LEN_MAX {
        return Err(Reject::Records { question_end });
    }
    if header.records == [0; 3] {
        return Ok(());
    }
    let packet = &slot[..len];
    let damaged = |Damaged| Reject::Records { question_end };
    let rdata = records(packet, question_end, header.records, query).map_err(damaged)?;
    match &mut query.opt {
        Some(opt) if opt.version != 0 => Err(Reject::Version { question_end, opt: *opt }),
        Some(opt) => opt.read_options(packet, rdata).map_err(damaged),
        None => Ok(()),
    }
}

/// The client subnet in a packet that was parsed (RFC 7871), if one was sent; of several the last.
#[cold]
#[must_use]
pub fn client_subnet<'p>(packet: &'p [u8], query: &Query) -> Option<&'p [u8]> {
    query.opt.filter(|opt| opt.ecs)?;
    let header = Header::read(packet, packet.len())?;
    let rdata = records(packet, query.question.end, header.records, &mut Query::default()).ok()?;
    Opt::option(packet, rdata, option::CLIENT_SUBNET)
}

impl Question {
    /// Reads the question after the header.
    #[inline(always)]
    fn read(&mut self, slot: &[u8], len: usize) -> Result<(), Damaged> {
        self.name.read(slot, HEADER_LEN)?;
        let name_end = HEADER_LEN + self.name.len();
        self.end = name_end + 4;
        if self.end > len {
            return Err(Damaged);
        }
        self.qtype = u16_at(slot, name_end).ok_or(Damaged)?;
        self.qclass = u16_at(slot, name_end + 2).ok_or(Damaged)?;
        Ok(())
    }
}

/// QDCOUNT is not 1 (RFC 9619). With 0, a lone OPT says that the client will understand one.
#[cold]
fn no_single_question(slot: &[u8], len: usize, header: &Header) -> Reject {
    if header.questions != 0 || header.records != [0, 0, 1] || len > QUERY_LEN_MAX {
        return Reject::Question;
    }
    let packet = &slot[..len];
    let mut query = Query::default();
    let Ok(rdata) = records(packet, HEADER_LEN, header.records, &mut query) else { return Reject::Question };
    let Some(mut opt) = query.opt else { return Reject::Question };
    match opt.read_options(packet, rdata) {
        Ok(()) => Reject::QuestionAbsent(opt),
        Err(Damaged) => Reject::Question,
    }
}

/// Walks the records of all three sections from `at` on, and notes those that mean something to us; where the
/// rdata of the OPT stands. Each is at least 11 bytes, so the packet's length bounds the walk, whatever the
/// counts claim.
#[inline]
fn records(
    packet: &[u8],
    mut at: usize,
    counts: [u16; 3],
    query: &mut Query,
) -> Result<Range<usize>, Damaged> {
    let mut options = 0..0;
    for (section, count) in counts.into_iter().enumerate() {
        for _ in 0..count {
            if query.tsig.is_some() {
                return Err(Damaged); // TSIG must be the last record (RFC 8945, section 5.1).
            }
            let owner = at;
            let fixed = skip_owner(packet, at)?;
            let rtype = u16_at(packet, fixed).ok_or(Damaged)?;
            let rdata_len = usize::from(u16_at(packet, fixed + 8).ok_or(Damaged)?);
            let rdata = fixed + 10..fixed + 10 + rdata_len;
            if rdata.end > packet.len() {
                return Err(Damaged);
            }
            at = rdata.end;
            let is_additional = section == 2;
            if rtype == rtype::OPT {
                let owner_is_root = packet[owner] == 0;
                if !is_additional || !owner_is_root || query.opt.is_some() {
                    return Err(Damaged); // RFC 6891, section 6.1.1.
                }
                query.opt = Some(Opt::fixed(packet, fixed + 2).ok_or(Damaged)?);
                options = rdata;
            } else if rtype == rtype::TSIG {
                if !is_additional || u16_at(packet, fixed + 2) != Some(class::ANY) {
                    return Err(Damaged);
                }
                query.tsig = Some(tsig(packet, owner..fixed, rdata)?);
            }
        }
    }
    Ok(options)
}

/// The offset after the owner at `at`: labels up to the root or to one pointer, which is not followed.
#[inline]
fn skip_owner(packet: &[u8], at: usize) -> Result<usize, Damaged> {
    let mut end = at;
    loop {
        let len = *packet.get(end).ok_or(Damaged)?;
        match len {
            0 => return Ok(end + 1),
            1..=63 => end += usize::from(len) + 1,
            0xC0.. => return if end + 2 <= packet.len() { Ok(end + 2) } else { Err(Damaged) },
            _ => return Err(Damaged),
        }
        // With the root still to come a name of 255 bytes has at most 254 before it.
        if end - at > 254 {
            return Err(Damaged);
        }
    }
}

/// A TSIG whose fields fill its rdata exactly: algorithm, time and fudge, MAC, original ID, error, other
/// data. A pointer in its names is damage.
#[cold]
fn tsig(packet: &[u8], key: Range<usize>, rdata: Range<usize>) -> Result<Tsig, Damaged> {
    if Walk::new(packet, key.start)?.len() != key.len() {
        return Err(Damaged);
    }
    let within = &packet[..rdata.end];
    let algorithm = rdata.start..rdata.start + Walk::new(within, rdata.start)?.len();
    let time = algorithm.end..algorithm.end + 8;
    let mac_len = usize::from(u16_at(within, time.end).ok_or(Damaged)?);
    let original_id_at = time.end + 2 + mac_len;
    let other_len = usize::from(u16_at(within, original_id_at + 4).ok_or(Damaged)?);
    if original_id_at + 6 + other_len != rdata.end {
        return Err(Damaged);
    }
    Ok(Tsig { key, algorithm, time, original_id: original_id_at..original_id_at + 2 })
}
