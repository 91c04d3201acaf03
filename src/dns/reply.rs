//! The only code that writes a packet. A reply is made where the query stands: ID and question stay as the
//! client sent them, flags and counts are patched, and what follows the question is overwritten.

use arrayvec::ArrayVec;

use super::Room;
use super::consts::{HEADER_LEN, POINTER, POINTER_TARGET_MAX, class, flag, opcode, rcode, rtype};
use super::cookie::Cookie;
use super::ecs::Subnet;
use super::edns::{COOKIE_OPTION_LEN, DNSSEC_OK, OPT_LEN, OptReply, append_cookie, insert_subnet};
use super::query::{Header, Plain, Tsig};

/// Longest TSIG of a reply: two names, the fixed part of a record and of its rdata.
const TSIG_LEN_MAX: usize = 255 + 10 + 255 + 16;

/// A header after the ID, as a reply has it that repeats the question, with these records and without OPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Flags, and all counts but the last, as they stand in a packet.
    first: [u8; 8],
    additional: u16,
}

impl Head {
    /// One with so many answer, authority and additional records.
    #[must_use]
    pub fn new(rcode: u8, authoritative: bool, counts: [u16; 3]) -> Self {
        let aa = if authoritative { flag::AA } else { 0 };
        let [flags, questions, answers, authority] =
            [flag::QR | aa | u16::from(rcode & 0xF), 1, counts[0], counts[1]].map(u16::to_be_bytes);
        let [[a, b], [c, d], [e, f], [g, h]] = [flags, questions, answers, authority];
        Self { first: [a, b, c, d, e, f, g, h], additional: counts[2] }
    }

    /// The response code.
    #[inline]
    #[must_use]
    pub const fn rcode(&self) -> u8 {
        self.first[1] & 0xF
    }

    /// Whether AA is set.
    #[inline]
    #[must_use]
    pub const fn is_authoritative(&self) -> bool {
        self.first[0] & (flag::AA >> 8) as u8 != 0
    }

    /// Answer, authority and additional records.
    #[inline]
    #[must_use]
    pub const fn counts(&self) -> [u16; 3] {
        let [_, _, _, _, a, b, c, d] = self.first;
        [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]), self.additional]
    }
}

/// Bytes that a [`PlainReply`] copies at once, if its records take no more, as a SOA with usual names does.
pub const BLOCK_LEN: usize = 96;

/// The reply to a [`Plain`] query, where it is sure to fit.
#[derive(Debug)]
pub struct PlainReply<'r> {
    room: &'r mut Room,
    end: usize,
}

impl<'r> PlainReply<'r> {
    /// A reply that repeats the question.
    #[inline(always)]
    #[must_use]
    pub fn new(room: &'r mut Room, query: &Plain) -> Self {
        Self { room, end: query.end }
    }

    /// The offset after what has been written.
    #[inline(always)]
    #[must_use]
    pub fn end(&self) -> usize {
        self.end
    }

    /// Appends records.
    #[inline(always)]
    pub fn append(&mut self, records: &[u8]) {
        self.room[self.end..self.end + records.len()].copy_from_slice(records);
        self.end += records.len();
    }

    /// Appends records, the first `len` bytes of `block`. What is after them in the slot is overwritten too.
    #[inline(always)]
    pub fn append_block(&mut self, block: &[u8; BLOCK_LEN], len: usize) {
        self.room[self.end..self.end + BLOCK_LEN].copy_from_slice(block);
        self.end += len;
    }

    /// Writes a compression pointer to `target` over the two bytes at `at`.
    #[inline(always)]
    pub fn write_pointer(&mut self, at: usize, target: usize) {
        debug_assert!(target <= POINTER_TARGET_MAX && target < at && at + 2 <= self.end);
        self.room[at..at + 2].copy_from_slice(&(POINTER | target as u16).to_be_bytes());
    }

    /// Appends OPT, if the query has one, and writes the header; the reply is the first so many bytes.
    #[inline(always)]
    #[must_use]
    pub fn finish(self, query: &Plain, head: &Head, udp_size: u16) -> usize {
        let Self { room, mut end } = self;
        let mut additional = head.additional;
        if let Some(dnssec_ok) = query.opt {
            let room = &mut room[end..end + OPT_LEN];
            let flags = if dnssec_ok { u64::from(DNSSEC_OK) } else { 0 };
            let fields = u64::from(rtype::OPT) << 16 | u64::from(udp_size.swap_bytes()) << 24 | flags << 56;
            // As two numbers, of which the second begins within the first.
            room[..8].copy_from_slice(&fields.to_le_bytes());
            room[3..].copy_from_slice(&(fields >> 24).to_le_bytes());
            end += OPT_LEN;
            additional += 1;
        }
        let rd = u64::from(room[2] & (flag::RD >> 8) as u8);
        room[2..10].copy_from_slice(&(u64::from_le_bytes(head.first) | rd).to_le_bytes());
        room[10..HEADER_LEN].copy_from_slice(&additional.to_be_bytes());
        end
    }
}

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

    /// Turns the `count` records from `at` on, which are all that was appended since and equally long: the
    /// first is the one that `turn`, of 65,536, falls on.
    pub fn turn(&mut self, at: usize, count: usize, turn: u16) {
        let records = &mut self.slot[at..self.end];
        if let Some(len) = records.len().checked_div(count) {
            records.rotate_left(len * ((usize::from(turn) * count) >> 16));
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

    /// Inserts a client subnet into `opt`, which was appended last.
    #[inline]
    pub fn subnet(&mut self, opt: &OptReply<'_>, subnet: &Subnet) {
        let start = self.end - opt.len();
        self.end += subnet.option_len();
        insert_subnet(&mut self.slot[start..self.end], opt.subnet_at(), subnet);
    }

    /// Appends a cookie to the OPT that was appended last and has `opt_len` bytes.
    #[inline]
    pub fn cookie(&mut self, opt_len: usize, cookie: &Cookie) {
        let start = self.end - opt_len;
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
