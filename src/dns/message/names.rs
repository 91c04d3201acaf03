//! Names in a whole message, where they may be compressed (RFC 1035, section 4.1.4).

use core::ops::Range;

use arrayvec::ArrayVec;

use super::super::consts::{HEADER_LEN, LABEL_LEN_MAX, NAME_LEN_MAX, POINTER, rtype};
use super::super::name::Damaged;
use super::super::u16_at;

/// A name, uncompressed; to be compared in lower case.
pub(super) type Lower = ArrayVec<u8, NAME_LEN_MAX>;

/// Follows the name at `at` to its end, calls `label` with the place of each label's length, and `pointer`
/// with the place and the target of each pointer. The offset after the name, where it stands.
///
/// Each pointer leads to a part that stands wholly before the one that it ends: "a prior occurrence of the
/// same name". So this ends too, and no name depends on what stands after it.
fn follow(
    message: &[u8],
    at: usize,
    mut label: impl FnMut(Range<usize>),
    mut pointer: impl FnMut(usize, usize),
) -> Result<usize, Damaged> {
    // Where the name goes on behind its first pointer is no matter of who reads on.
    let mut end = None;
    let (mut part, mut at, mut len) = (at, at, 0);
    let mut message = message;
    loop {
        let first = usize::from(*message.get(at).ok_or(Damaged)?);
        if first <= LABEL_LEN_MAX {
            let next = at + 1 + first;
            len += 1 + first;
            if len > NAME_LEN_MAX || next > message.len() {
                return Err(Damaged);
            }
            label(at..next);
            if first == 0 {
                return Ok(end.unwrap_or(next));
            }
            at = next;
        } else {
            let word = u16_at(message, at).ok_or(Damaged)?;
            let target = usize::from(word & !POINTER);
            if word & POINTER != POINTER || target < HEADER_LEN || target >= part {
                return Err(Damaged);
            }
            pointer(at, target);
            end.get_or_insert(at + 2);
            message = &message[..part];
            (part, at) = (target, target);
        }
    }
}

/// The offset after the name at `at`, all of which is checked.
pub(super) fn skip(message: &[u8], at: usize) -> Result<usize, Damaged> {
    follow(message, at, |_| {}, |_, _| {})
}

/// The place and the target of the pointer that the name at `at` ends with, where it stands.
pub(super) fn pointer(message: &[u8], at: usize) -> Result<Option<(usize, usize)>, Damaged> {
    let mut first = None;
    follow(
        message,
        at,
        |_| {},
        |at, target| {
            first.get_or_insert((at, target));
        },
    )?;
    Ok(first)
}

/// The name at `at` in lower case, and the offset after it.
pub(super) fn lower(message: &[u8], at: usize) -> Result<(Lower, usize), Damaged> {
    let (mut name, end) = whole(message, at)?;
    name.make_ascii_lowercase();
    Ok((name, end))
}

/// The name at `at`, uncompressed, and the offset after it.
pub(super) fn whole(message: &[u8], at: usize) -> Result<(Lower, usize), Damaged> {
    let mut name = Lower::new();
    let end = follow(
        message,
        at,
        |label| {
            // It fits: `follow` counts.
            let _ = name.try_extend_from_slice(&message[label]);
        },
        |_, _| {},
    )?;
    Ok((name, end))
}

/// Calls `name` with the place of each name in the rdata of a record that may be compressed, and returns what
/// is left after the last one. Only these are looked for: "receiving servers MUST decompress" the types of
/// RFC 1035 and a few others (RFC 3597, section 4), and in no other a pointer is one. Names in DNAME and KX,
/// which may not be compressed, are read as if they were.
///
/// # Errors
/// Rdata that is not as its type has it.
pub(super) fn in_rdata(
    message: &[u8],
    rtype: u16,
    rdata: Range<usize>,
    mut name: impl FnMut(usize),
) -> Result<usize, Damaged> {
    let (before, names, after) = match rtype {
        rtype::NS | rtype::MD | rtype::MF | rtype::CNAME | rtype::MB | rtype::MG | rtype::MR => {
            (0, 1, Some(0))
        }
        rtype::PTR | rtype::DNAME => (0, 1, Some(0)),
        rtype::SOA => (0, 2, Some(20)),
        rtype::MINFO | rtype::RP => (0, 2, Some(0)),
        rtype::MX | rtype::AFSDB | rtype::RT | rtype::KX => (2, 1, Some(0)),
        rtype::PX => (2, 2, Some(0)),
        rtype::SRV => (6, 1, Some(0)),
        rtype::SIG => (18, 1, None),
        rtype::NXT => (0, 1, None),
        rtype::NAPTR => (naptr_texts(message, &rdata)?, 1, Some(0)),
        _ => return Ok(rdata.start),
    };
    let mut at = rdata.start + before;
    for _ in 0..names {
        if at >= rdata.end {
            return Err(Damaged);
        }
        name(at);
        at = skip(message, at)?;
    }
    match after {
        Some(after) if at + after != rdata.end => Err(Damaged),
        _ if at > rdata.end => Err(Damaged),
        _ => Ok(at),
    }
}

/// Bytes before the name of a NAPTR: two numbers and three texts (RFC 3403, section 4.1).
fn naptr_texts(message: &[u8], rdata: &Range<usize>) -> Result<usize, Damaged> {
    let rdata = message.get(rdata.clone()).ok_or(Damaged)?;
    (0..3).try_fold(4, |at, _| Ok(at + 1 + usize::from(*rdata.get(at).ok_or(Damaged)?)))
}
