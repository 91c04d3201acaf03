//! What a guest makes is taken for what it is: bytes of a stranger. A reply is a whole message that answers
//! the question which was asked; whatever else is the host's to say, the host says.

use super::abi::{QUERY_LEN, REPLY_LEN};
use super::area;
use crate::dns::consts::{HEADER_LEN, flag};
use crate::dns::message::{Message, without_opt};
use crate::dns::name::eq_ignore_case;
use crate::limits::{QUERY_LEN_MAX, TCP_REPLY_LEN_MAX};
use crate::stats::app_labels::{BAD_REPLY_LENGTH, BAD_REPLY_MALFORMED, BAD_REPLY_QUESTION};

/// Why it is not taken: a value of [`BAD_REPLY`](crate::stats::app_labels::BAD_REPLY).
pub(super) type Bad = usize;

/// What of a reply's flags is the guest's to say: RA and the response code, and AA with leave.
const GUESTS: u16 = flag::RA | flag::RCODE;
/// What of them the query says.
const QUERYS: u16 = OPCODE | flag::RD | flag::CD;
const OPCODE: u16 = 0x7800;

/// Reads the reply in the first `len` bytes of `made` to a query whose question ends at `question_end`, and
/// writes it into `out`: with the query's ID, opcode, RD, CD and question, QR, without OPT, TC and AD, and
/// without AA unless that `is_authoritative`.
pub(super) fn reply(
    made: &[u8],
    len: usize,
    query: &[u8],
    question_end: usize,
    is_authoritative: bool,
    out: &mut Vec<u8>,
) -> Result<(), Bad> {
    let in_bounds = HEADER_LEN..=REPLY_LEN.min(TCP_REPLY_LEN_MAX);
    let made = made.get(..len).filter(|made| in_bounds.contains(&made.len())).ok_or(BAD_REPLY_LENGTH)?;
    let message = Message::read(made).map_err(|_| BAD_REPLY_MALFORMED)?;
    let (asked, answered) = (&query[HEADER_LEN..question_end], &made[message.question.clone()]);
    if message.counts[0] != 1 || !is_same(asked, answered) {
        return Err(BAD_REPLY_QUESTION);
    }
    without_opt(made, &message, out).map_err(|_| BAD_REPLY_MALFORMED)?;
    let guests = if is_authoritative { GUESTS | flag::AA } else { GUESTS };
    let asked_flags = u16::from_be_bytes([query[2], query[3]]);
    let flags = flag::QR | message.flags & guests | asked_flags & QUERYS;
    out[..2].copy_from_slice(&query[..2]);
    out[2..4].copy_from_slice(&flags.to_be_bytes());
    out[HEADER_LEN..question_end].copy_from_slice(asked);
    Ok(())
}

/// Whether two questions are the same, but for the case of letters in their names.
fn is_same(asked: &[u8], answered: &[u8]) -> bool {
    let parts = asked.split_last_chunk::<4>().zip(answered.split_last_chunk::<4>());
    parts.is_some_and(|((name, kind), (its_name, its_kind))| {
        kind == its_kind && eq_ignore_case(name, its_name)
    })
}

/// Reads the question of the query in the first `len` bytes of `made`, and writes the query that was asked
/// with it into `out`.
pub(super) fn changed(
    made: &[u8],
    len: usize,
    query: &[u8],
    question_end: usize,
    out: &mut Vec<u8>,
) -> Result<(), Bad> {
    let in_bounds = HEADER_LEN..=QUERY_LEN;
    let made = made.get(..len).filter(|made| in_bounds.contains(&made.len())).ok_or(BAD_REPLY_LENGTH)?;
    let (_, changed) = area::read(made).ok_or(BAD_REPLY_MALFORMED)?;
    let (header, asked) = area::read(query).ok_or(BAD_REPLY_MALFORMED)?;
    out.clear();
    out.extend_from_slice(&query[..4]);
    // An OPT has no names that lead elsewhere; of anything else nobody knows what it means with another
    // question.
    let is_opt_alone = header.records == [0, 0, 1] && asked.opt.is_some();
    out.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(is_opt_alone)]);
    out.extend_from_slice(&made[HEADER_LEN..changed.question.end]);
    if is_opt_alone {
        out.extend_from_slice(&query[question_end..]);
    }
    if out.len() > QUERY_LEN_MAX { Err(BAD_REPLY_LENGTH) } else { Ok(()) }
}
