//! Whole messages, as servers send them: one walk that checks everything, and what is to be known of them.
//!
//! A message is sound if each section has as many records as the header says, each name ends within 255 bytes
//! and its pointers lead backwards, rdata with names that may be compressed is as its type has it, there is
//! at most one OPT, and nothing is left over.

mod names;
mod opt;
mod renamed;
mod same;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::ops::Range;

use arrayvec::ArrayVec;

use super::consts::{HEADER_LEN, TTL_MAX, flag, rtype};
use super::name::Damaged;
use super::u16_at;
pub use opt::{Opt, Subnet};
pub use renamed::with_question;
pub use same::same;

/// Records whose TTLs are noted. A message with more is sound, but is not kept.
pub const TTLS_MAX: usize = 256;

/// The sections, as they are counted in the header.
const QUESTION: usize = 0;
const ANSWER: usize = 1;
const AUTHORITY: usize = 2;
const ADDITIONAL: usize = 3;

/// A sound message.
#[derive(Clone, Debug)]
pub struct Message {
    /// The 16 bits after the ID.
    pub flags: u16,
    /// Questions, answers, authorities, additional records: as counted in the header.
    pub counts: [u16; 4],
    /// Where the first question's name, type and class stand; empty without one.
    pub question: Range<usize>,
    /// Where the TTLs of all records but OPT stand, in their order.
    pub ttls: ArrayVec<u16, TTLS_MAX>,
    /// There are more than [`TTLS_MAX`].
    pub has_more_ttls: bool,
    /// The smallest TTL of all records but OPT; one with the top bit counts as 0 (RFC 2181, section 8).
    pub ttl_min: Option<u32>,
    /// The lesser of TTL and MINIMUM of the first SOA among the authorities (RFC 2308, section 5).
    pub negative_ttl: Option<u32>,
    /// Among the answers is a record of the type that the first question is for.
    pub has_answer: bool,
    /// The OPT, if there is one.
    pub opt: Option<Opt>,
}

/// A record, by its places in its message.
struct Record {
    /// The section that it stands in.
    section: usize,
    /// Its first byte: the owner's name.
    at: usize,
    /// The type field.
    fixed: usize,
    rtype: u16,
    rdata: Range<usize>,
}

impl Record {
    /// Where the TTL stands.
    const fn ttl_at(&self) -> usize {
        self.fixed + 4
    }
}

impl Message {
    /// Walks a message.
    ///
    /// # Errors
    /// [`Damaged`] if it is not sound.
    pub fn read(message: &[u8]) -> Result<Self, Damaged> {
        let mut read = Self {
            flags: u16_at(message, 2).ok_or(Damaged)?,
            counts: [0; 4],
            question: HEADER_LEN..HEADER_LEN,
            ttls: ArrayVec::new(),
            has_more_ttls: false,
            ttl_min: None,
            negative_ttl: None,
            has_answer: false,
            opt: None,
        };
        for (section, count) in read.counts.iter_mut().enumerate() {
            *count = u16_at(message, 4 + 2 * section).ok_or(Damaged)?;
        }
        // Where the parts stand is noted in 16 bits.
        if message.len() > usize::from(u16::MAX) {
            return Err(Damaged);
        }
        let mut asked = None;
        each_record(message, read.counts, |part| match part {
            Part::Question(question) => {
                if asked.is_none() {
                    asked = u16_at(message, question.end - 4);
                    read.question = question;
                }
                Ok(())
            }
            Part::Record(record) => read.note(message, &record, asked),
        })?;
        Ok(read)
    }

    fn note(&mut self, message: &[u8], record: &Record, asked: Option<u16>) -> Result<(), Damaged> {
        if record.rtype == rtype::OPT {
            if record.section != ADDITIONAL || self.opt.is_some() || record.fixed != record.at + 1 {
                return Err(Damaged);
            }
            self.opt = Some(Opt::read(message, record.at..record.rdata.end)?);
            return Ok(());
        }
        let names_end = names::in_rdata(message, record.rtype, record.rdata.clone(), |_| {})?;
        self.has_more_ttls |= self.ttls.try_push(record.ttl_at() as u16).is_err();
        let ttl = ttl(message, record.ttl_at())?;
        self.ttl_min = Some(self.ttl_min.map_or(ttl, |least| least.min(ttl)));
        if record.section == ANSWER {
            self.has_answer |= asked.is_some_and(|asked| asked == record.rtype || asked == rtype::ANY);
        }
        if record.section == AUTHORITY && record.rtype == rtype::SOA && self.negative_ttl.is_none() {
            // MINIMUM is the last of five numbers.
            self.negative_ttl = Some(self::ttl(message, names_end + 16)?.min(ttl));
        }
        Ok(())
    }

    /// The response code, with the bits of EDNS.
    #[must_use]
    pub fn rcode(&self) -> u16 {
        self.flags & flag::RCODE | self.opt.as_ref().map_or(0, |opt| u16::from(opt.extended_rcode) << 4)
    }

    /// Whether it was cut.
    #[must_use]
    pub const fn is_truncated(&self) -> bool {
        self.flags & flag::TC != 0
    }

    /// Where the noted TTLs stand in the message [`without_opt`].
    pub fn ttls_without_opt(&self) -> impl Iterator<Item = u16> {
        let opt = self.opt.as_ref().map_or(0..0, |opt| opt.span.clone());
        self.ttls.iter().map(move |&at| {
            // Records before the OPT stay where they are.
            if usize::from(at) < opt.start || opt.is_empty() { at } else { at - opt.len() as u16 }
        })
    }
}

/// A TTL, or MINIMUM. "If the top bit is set, treat the value as zero" (RFC 2181, section 8).
fn ttl(message: &[u8], at: usize) -> Result<u32, Damaged> {
    let bytes = message.get(at..at + 4).and_then(<[u8]>::first_chunk).ok_or(Damaged)?;
    let ttl = u32::from_be_bytes(*bytes);
    Ok(if ttl > TTL_MAX { 0 } else { ttl })
}

enum Part {
    /// Where a question stands.
    Question(Range<usize>),
    Record(Record),
}

/// Calls `note` with each question and each record.
fn each_record(
    message: &[u8],
    counts: [u16; 4],
    mut note: impl FnMut(Part) -> Result<(), Damaged>,
) -> Result<(), Damaged> {
    let mut at = HEADER_LEN;
    for (section, count) in counts.into_iter().enumerate() {
        for _ in 0..count {
            let fixed = names::skip(message, at)?;
            if section == QUESTION {
                let question = at..fixed + 4;
                at = question.end;
                if at > message.len() {
                    return Err(Damaged);
                }
                note(Part::Question(question))?;
                continue;
            }
            let rtype = u16_at(message, fixed).ok_or(Damaged)?;
            let rdata_at = fixed + 10;
            let len = usize::from(u16_at(message, rdata_at - 2).ok_or(Damaged)?);
            let record = Record { section, at, fixed, rtype, rdata: rdata_at..rdata_at + len };
            at = record.rdata.end;
            if at > message.len() {
                return Err(Damaged);
            }
            note(Part::Record(record))?;
        }
    }
    if at == message.len() { Ok(()) } else { Err(Damaged) }
}

/// Writes `message` without its OPT into `out`, which is emptied before; pointers stay right.
///
/// # Errors
/// [`Damaged`] if records stand after the OPT, and one of their names cannot be kept: it leads into the OPT,
/// or its meaning would change.
pub fn without_opt(message: &[u8], read: &Message, out: &mut Vec<u8>) -> Result<(), Damaged> {
    out.clear();
    let Some(opt) = &read.opt else {
        out.extend_from_slice(message);
        return Ok(());
    };
    let cut = &opt.span;
    out.extend_from_slice(message.get(..cut.start).ok_or(Damaged)?);
    out.extend_from_slice(message.get(cut.end..).ok_or(Damaged)?);
    let additional = read.counts[ADDITIONAL].checked_sub(1).ok_or(Damaged)?;
    out.get_mut(HEADER_LEN - 2..HEADER_LEN).ok_or(Damaged)?.copy_from_slice(&additional.to_be_bytes());
    // The OPT is the last record in what nearly everybody sends, and names lead backwards.
    if cut.end == message.len() { Ok(()) } else { move_pointers(message, read, cut, out) }
}

/// Corrects the pointers of what stood after the OPT.
#[cold]
fn move_pointers(message: &[u8], read: &Message, cut: &Range<usize>, out: &mut [u8]) -> Result<(), Damaged> {
    let mut moved = |at: usize| -> Result<(), Damaged> {
        match names::pointer(message, at)? {
            Some((at, target)) if target >= cut.end => {
                let target = (target - cut.len()) as u16 | super::consts::POINTER;
                let at = at - cut.len();
                out.get_mut(at..at + 2).ok_or(Damaged)?.copy_from_slice(&target.to_be_bytes());
                Ok(())
            }
            Some((_, target)) if target >= cut.start => Err(Damaged),
            _ => Ok(()),
        }
    };
    each_record(message, read.counts, |part| {
        let Part::Record(record) = part else { return Ok(()) };
        if record.at < cut.end {
            return Ok(());
        }
        let mut outcome = moved(record.at);
        names::in_rdata(message, record.rtype, record.rdata, |at| {
            outcome = outcome.and_then(|()| moved(at));
        })?;
        outcome
    })?;
    // A name may stand in bytes that are none by their type, and lead anywhere.
    if same(message, out) { Ok(()) } else { Err(Damaged) }
}
