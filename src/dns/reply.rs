//! The only code that writes a packet. A reply is made where the query stands: ID and question stay as the
//! client sent them, flags and counts are patched, and what follows the question is overwritten.

use arrayvec::ArrayVec;

use super::consts::{HEADER_LEN, POINTER, POINTER_TARGET_MAX, class, flag, opcode, rcode, rtype};
use super::cookie::Cookie;
use super::edns::{COOKIE_OPTION_LEN, OptReply, append_cookie};
use super::query::{Header, Tsig};

/// Longest TSIG of a reply: two names, the fixed part of a record and of its rdata.
const TSIG_LEN_MAX: usize = 255 + 10 + 255 + 16;

/// A reply in the making. Nothing of the packet is valid before [`finish`](Self::finish).
#[derive(Debug)]
pub struct Reply<'s> {
    slot: &'s mut [u8],
    end: usize,
    flags: u16,
    questions: u16,
    /// Answer, authority and additional records.
    records: [u16; 3],
}

impl<'s> Reply<'s> {
    /// A reply of the header alone, to the query whose header is `header`.
    #[inline]
    #[must_use]
    pub fn new(slot: &'s mut [u8], header: &Header) -> Self {
        // QR and the opcode; RD is copied for queries alone (RFC 1035, section 4.1.1), everything else begins
        // as 0.
        let kept = if header.opcode() == opcode::QUERY { 0x7800 | flag::RD } else { 0x7800 };
        let flags = flag::QR | (header.flags & kept);
        Self { slot, end: HEADER_LEN, flags, questions: 0, records: [0; 3] }
    }

    /// A reply that repeats the question, which ends at `question_end`.
    #[inline]
    #[must_use]
    pub fn with_question(slot: &'s mut [u8], header: &Header, question_end: usize) -> Self {
        Self { end: question_end, questions: 1, ..Self::new(slot, header) }
    }

    /// Sets the low four bits of the response code.
    #[inline]
    #[must_use]
    pub fn rcode(mut self, rcode: u8) -> Self {
        self.flags = (self.flags & 0xFFF0) | u16::from(rcode & 0xF);
        self
    }

    /// Sets AA or TC.
    #[inline]
    pub fn set(&mut self, flag: u16) {
        self.flags |= flag;
    }

    /// The offset after what has been written.
    #[inline]
    #[must_use]
    pub fn end(&self) -> usize {
        self.end
    }

    /// What has been written so far, the header's flags and counts excepted.
    #[inline]
    #[must_use]
    pub fn written(&self) -> &[u8] {
        &self.slot[..self.end]
    }

    /// Appends records in wire form and counts them.
    #[inline]
    pub fn append(&mut self, records: &[u8], counts: [u16; 3]) {
        self.slot[self.end..self.end + records.len()].copy_from_slice(records);
        self.end += records.len();
        for (sum, count) in self.records.iter_mut().zip(counts) {
            *sum += count;
        }
    }

    /// Writes a compression pointer to `target` over the two bytes at `at`.
    #[inline]
    pub fn write_pointer(&mut self, at: usize, target: usize) {
        debug_assert!(target <= POINTER_TARGET_MAX && target < at && at + 2 <= self.end);
        self.slot[at..at + 2].copy_from_slice(&(POINTER | target as u16).to_be_bytes());
    }

    /// Appends OPT.
    #[inline]
    pub fn opt(&mut self, opt: &OptReply<'_>) {
        let len = opt.len();
        opt.write(&mut self.slot[self.end..self.end + len]);
        self.end += len;
        self.records[2] += 1;
    }

    /// Appends a cookie to `opt`, which was appended last.
    #[cold]
    pub fn cookie(&mut self, opt: &OptReply<'_>, cookie: &Cookie) {
        let start = self.end - opt.len();
        self.end += COOKIE_OPTION_LEN;
        append_cookie(&mut self.slot[start..self.end], cookie);
    }

    /// Appends the TSIG made by [`bad_key`].
    #[inline]
    pub fn tsig(&mut self, tsig: &[u8]) {
        self.append(tsig, [0, 0, 1]);
    }

    /// Writes the header; the reply is the first so many bytes of the slot.
    #[inline]
    #[must_use]
    pub fn finish(self) -> usize {
        let [answers, authority, additional] = self.records;
        let words = [self.flags, self.questions, answers, authority, additional];
        for (bytes, word) in self.slot[2..HEADER_LEN].as_chunks_mut::<2>().0.iter_mut().zip(words) {
            *bytes = word.to_be_bytes();
        }
        self.end
    }
}

/// The TSIG that answers one whose key nobody has (RFC 8945, section 5.2.1): key, algorithm, time, fudge and
/// original ID copied, the MAC empty, the error BADKEY. It is made before the reply overwrites the query.
#[cold]
#[must_use]
pub fn bad_key(packet: &[u8], tsig: &Tsig) -> ArrayVec<u8, TSIG_LEN_MAX> {
    let mut record = ArrayVec::new();
    let rdata_len = (tsig.algorithm.len() + 16) as u16;
    // Both names have at most 255 bytes, so every part fits.
    for part in [
        &packet[tsig.key.clone()],
        &rtype::TSIG.to_be_bytes(),
        &class::ANY.to_be_bytes(),
        &[0; 4],
        &rdata_len.to_be_bytes(),
        &packet[tsig.algorithm.clone()],
        &packet[tsig.time.clone()],
        &[0; 2],
        &packet[tsig.original_id.clone()],
        &rcode::BADKEY.to_be_bytes(),
        &[0; 2],
    ] {
        record.extend(part.iter().copied());
    }
    record
}
