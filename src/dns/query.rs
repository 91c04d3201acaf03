//! A packet becomes a [`Query`] or a [`Reject`] that says which reply it gets.
//!
//! The checks stand in the order in which they decide: a packet with two faults gets the answer to the first.

use core::ops::Range;

use super::consts::{HEADER_LEN, UDP_LEN_MAX, class, flag, opcode, option, rtype};
use super::ecs::Subnet;
use super::edns::{DNSSEC_OK, OPT_LEN, Opt, Span};
use super::name::{Damaged, Walk};
use super::{Room, u16_at};
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

/// A query as nearly all are: opcode QUERY, one question, its class IN, and no record but an OPT, if any, of
/// version 0, without options and at the end. Of at most [`UDP_LEN_MAX`] bytes.
#[derive(Clone, Copy, Debug)]
pub struct Plain {
    /// The qname.
    pub name: Walk,
    /// The offset after the question.
    pub end: usize,
    /// The qtype.
    pub qtype: u16,
    /// Recursion is desired.
    pub recursion_desired: bool,
    /// The OPT, if there is one: the DO bit.
    pub opt: Option<bool>,
}

impl Plain {
    /// Reads the packet in the first `len` bytes of `room`; `None` if it is anything else, or malformed.
    #[inline(always)]
    #[must_use]
    pub fn read(room: &Room, len: usize) -> Option<Self> {
        // What each field must be, and the bits of it that matter here.
        const HEAD: (u64, u64) = (
            u64::from_le_bytes([0, 0, 0, 1, 0, 0, 0, 0]),
            u64::from_le_bytes([0xF8, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        );
        /// A header, a root label, type and class.
        const LEAST: usize = HEADER_LEN + 5;
        const OPT: (u64, u64) = (
            u64::from_le_bytes([0, 0, rtype::OPT as u8, 0, 0, 0, 0, 0]),
            u64::from_le_bytes([0xFF, 0xFF, 0xFF, 0, 0, 0, 0xFF, 0]),
        );
        let head = long(room, 2);
        if head & HEAD.1 != HEAD.0 || !(LEAST..=UDP_LEN_MAX).contains(&len) {
            return None;
        }
        // An OPT without options ends the packet, so any other is left before its name is walked.
        let opt_at = len - OPT_LEN;
        let (records_at, opt) = match u16::from_be_bytes([room[10], room[11]]) {
            0 => (len, None),
            1 => {
                let fixed = long(room, opt_at);
                if fixed & OPT.1 != OPT.0 || (room[opt_at + 9], room[opt_at + 10]) != (0, 0) {
                    return None;
                }
                (opt_at, Some(fixed >> 56 & u64::from(DNSSEC_OK) != 0))
            }
            _ => return None,
        };
        let name = Walk::new(room, HEADER_LEN).ok()?;
        let name_end = HEADER_LEN + name.len();
        let end = name_end + 4;
        let question = u32::from_be_bytes(*room[name_end..].first_chunk()?);
        if question as u16 != class::IN || end > records_at || opt.is_some() && end != records_at {
            return None;
        }
        let recursion_desired = head & u64::from(flag::RD >> 8) != 0;
        Some(Self { name, end, qtype: (question >> 16) as u16, recursion_desired, opt })
    }
}

/// The eight bytes at `at`, the first the lowest.
#[inline(always)]
fn long(room: &Room, at: usize) -> u64 {
    u64::from_le_bytes(room[at..at + 8].try_into().expect("eight bytes are eight bytes"))
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
        Some(_) if rdata.is_empty() => Ok(()),
        Some(opt) => opt.read_options(packet, rdata).map_err(damaged),
        None => Ok(()),
    }
}

/// The client subnet (RFC 7871) in a packet that was parsed, whose OPT is `opt` and whose records begin at
/// `records_at`. Of several the first counts.
///
/// # Errors
/// [`Damaged`] when one of them is not sound.
#[inline(never)]
pub fn client_subnet(packet: &[u8], opt: &Opt, records_at: usize) -> Result<Option<Subnet>, Damaged> {
    let Some(Span { at, len }) = opt.subnet else { return Ok(None) };
    let (at, len) = (usize::from(at), usize::from(len));
    let first = Subnet::read(packet.get(at..at + len).ok_or(Damaged)?)?;
    if opt.has_more_subnets {
        let header = Header::read(packet, packet.len()).ok_or(Damaged)?;
        let rdata = records(packet, records_at, header.records, &mut Query::default())?;
        for option in Opt::options(packet, rdata, option::CLIENT_SUBNET) {
            Subnet::read(option)?;
        }
    }
    Ok(Some(first))
}

impl Question {
    /// Reads the question after the header.
    #[inline(always)]
    fn read(&mut self, slot: &[u8], len: usize) -> Result<(), Damaged> {
        self.name = Walk::new(slot, HEADER_LEN)?;
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
