//! Records that are made in advance.

use alloc::vec::Vec;

use super::{BuildError, Reply, OPCODE_AND_RD, QR};
use crate::message::u16_at;
use crate::name::Name;
use crate::rtype;
use crate::verdict::Verdict;

/// Records that were made in advance for all names that end in one: what most queries get is then one copy
/// and a few pointers, which an interpreter does in a microsecond.
///
/// ```
/// # use as112_guest::{Data, NameBuf, Prepared};
/// let zone: NameBuf = "example.com".parse().unwrap();
/// let servers = Prepared::new(zone.as_name(), |reply| {
///     reply.authoritative().answer(zone.as_name(), 3600, Data::Ns(zone.as_name()))
/// });
/// assert!(servers.is_ok());
/// // Later: `reply.prepared(&servers, suffix)`
/// ```
#[derive(Clone, Debug)]
pub struct Prepared {
    node: Vec<u8>,
    records: Vec<u8>,
    pointers: Vec<Pointer>,
    /// The header's counts.
    counts: [u8; 8],
    flags: u16,
}

/// A compression pointer of prepared records.
#[derive(Clone, Copy, Debug)]
struct Pointer {
    /// Where it stands, from the first byte of the records.
    at: u16,
    /// Where it points, from the node's name or from the first byte of the records.
    delta: u16,
    /// Which of the two.
    is_from_node: bool,
}

impl Prepared {
    /// Prepares what `make` adds to a reply about `node`. The reply may have at most 4,096 bytes.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(node: Name<'_>, make: impl FnOnce(Reply<'_>) -> Reply<'_>) -> Result<Self, BuildError> {
        let query = crate::message::query_for(node, rtype::ANY);
        let mut out = alloc::vec![0; 4096];
        Self::of(node, make(Reply::new(&mut out, 0, &query, query.len())))
    }

    #[inline(never)]
    fn of(node: Name<'_>, mut reply: Reply<'_>) -> Result<Self, BuildError> {
        let (len, question_end) = (reply.finish()?, reply.question_end);
        let (counts, flags) = (reply.counts, reply.flags);
        let pointers = pointers(&reply.out[..len], question_end, &counts)?;
        let records = reply.out[question_end..len].to_vec();
        let [[a, b], [c, d], [e, f]] =
            [counts[0].to_be_bytes(), counts[1].to_be_bytes(), counts[2].to_be_bytes()];
        Ok(Self { node: node.as_wire().to_vec(), records, pointers, counts: [0, 1, a, b, c, d, e, f], flags })
    }
}

/// The compression pointers of the records after `question_end`.
fn pointers(message: &[u8], question_end: usize, counts: &[u16; 3]) -> Result<Vec<Pointer>, BuildError> {
    let mut pointers = Vec::new();
    let mut at = question_end;
    for _ in 0..counts.iter().map(|count| u32::from(*count)).sum() {
        at = note_name(message, at, question_end, &mut pointers)?;
        let rtype = u16_at(message, at).ok_or(BuildError::Data)?;
        let rdata_len = u16_at(message, at + 8).ok_or(BuildError::Data)?;
        at += 10;
        let end = at + usize::from(rdata_len);
        let (before, names) = match rtype {
            rtype::NS | rtype::CNAME | rtype::PTR => (0, 1),
            rtype::MX => (2, 1),
            rtype::SOA => (0, 2),
            _ => (0, 0),
        };
        at += before;
        for _ in 0..names {
            at = note_name(message, at, question_end, &mut pointers)?;
        }
        at = end;
    }
    Ok(pointers)
}

/// Notes the pointer of the name at `at`, if it has one; where the name ends.
fn note_name(
    message: &[u8],
    mut at: usize,
    question_end: usize,
    pointers: &mut Vec<Pointer>,
) -> Result<usize, BuildError> {
    loop {
        let len = *message.get(at).ok_or(BuildError::Data)?;
        if len == 0 {
            return Ok(at + 1);
        }
        if len < 0xC0 {
            at += 1 + usize::from(len);
            continue;
        }
        let target = usize::from(u16_at(message, at).ok_or(BuildError::Data)? & 0x3FFF);
        let is_from_node = target < question_end;
        let delta = target - if is_from_node { 12 } else { question_end };
        pointers.push(Pointer { at: (at - question_end) as u16, delta: delta as u16, is_from_node });
        return Ok(at + 2);
    }
}

impl Reply<'_> {
    /// The reply is what was prepared. `node` is the suffix of the qname that it was prepared for.
    ///
    /// This is the fast way: nothing is looked for and nothing is counted, so nothing may have been added
    /// before.
    pub fn prepared(self, prepared: &Prepared, node: Name<'_>) -> Verdict {
        match self.try_prepared(prepared, node) {
            Some(len) => Verdict::reply(len),
            None => Verdict::fail(),
        }
    }

    #[inline]
    pub(super) fn try_prepared(self, prepared: &Prepared, node: Name<'_>) -> Option<usize> {
        let Self { out, query, question_end, .. } = self;
        let question = query.get(..question_end)?;
        let node_at = question_end.checked_sub(4 + node.len())?;
        let is_its_suffix =
            question.as_ptr_range().end as usize - 4 == node.as_wire().as_ptr_range().end as usize;
        if self.end > 0 || !is_its_suffix || node != Name::trusted(&prepared.node) {
            return None;
        }
        let end = question_end + prepared.records.len();
        let reply = out.get_mut(..end)?;
        let (head, records) = reply.split_at_mut(question_end);
        head.copy_from_slice(question);
        records.copy_from_slice(&prepared.records);
        for pointer in &prepared.pointers {
            let base = if pointer.is_from_node { node_at } else { question_end };
            let target = base + usize::from(pointer.delta);
            let at = usize::from(pointer.at);
            // A question is short, and what is prepared has 4,096 bytes: a pointer reaches all of it.
            records.get_mut(at..at + 2)?.copy_from_slice(&(0xC000 | target as u16).to_be_bytes());
        }
        let flags = QR | u16_at(question, 2)? & OPCODE_AND_RD | prepared.flags;
        head.get_mut(2..4)?.copy_from_slice(&flags.to_be_bytes());
        head.get_mut(4..12)?.copy_from_slice(&prepared.counts);
        Some(end)
    }
}
