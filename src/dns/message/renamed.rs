//! An answer to one question, as an answer to another.

use alloc::vec::Vec;

use super::super::consts::{HEADER_LEN, POINTER};
use super::super::name::eq_ignore_case;
use super::{Damaged, Message, Part, each_record, names};

/// Writes `message` into `out`, which is emptied before, with another question: its name, type and class. The
/// records whose owner was the name that `message` is about have the new one. No other name is changed, and
/// none is compressed after that.
///
/// # Errors
/// [`Damaged`] if it is not sound, or has become too long.
pub fn with_question(message: &[u8], question: &[u8], out: &mut Vec<u8>) -> Result<(), Damaged> {
    let read = Message::read(message)?;
    out.clear();
    out.extend_from_slice(message.get(..HEADER_LEN).ok_or(Damaged)?);
    out.extend_from_slice(question);
    let asked = message.get(read.question.clone()).and_then(<[u8]>::split_last_chunk::<4>);
    let (asked, _) = asked.ok_or(Damaged)?;
    each_record(message, read.counts, |part| {
        let Part::Record(record) = part else { return Ok(()) };
        let owner = names::whole(message, record.at)?.0;
        if eq_ignore_case(&owner, asked) {
            out.extend_from_slice(&(POINTER | HEADER_LEN as u16).to_be_bytes());
        } else {
            out.extend_from_slice(&owner);
        }
        out.extend_from_slice(&message[record.fixed..record.rdata.start]);
        let begin = out.len();
        // From the end of one name to the beginning of the next one.
        let (mut at, mut outcome) = (record.rdata.start, Ok(()));
        names::in_rdata(message, record.rtype, record.rdata.clone(), |name_at| {
            out.extend_from_slice(&message[at..name_at]);
            match names::whole(message, name_at) {
                Ok((name, end)) => {
                    out.extend_from_slice(&name);
                    at = end;
                }
                Err(damaged) => outcome = Err(damaged),
            }
        })?;
        outcome?;
        out.extend_from_slice(&message[at..record.rdata.end]);
        let len = u16::try_from(out.len() - begin).map_err(|_| Damaged)?;
        out[begin - 2..begin].copy_from_slice(&len.to_be_bytes());
        Ok(())
    })?;
    if out.len() > usize::from(u16::MAX) { Err(Damaged) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [u8; 12] = [0x12, 0x34, 0x84, 0, 0, 1, 0, 2, 0, 0, 0, 1];

    #[test]
    fn owners_follow_the_question_and_nothing_else_does() {
        // a.example CNAME b.example, b.example MX 5 a.example; an OPT.
        let mut message = HEADER.to_vec();
        message.extend(b"\x01A\x07example\0\0\x0f\0\x01");
        message.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01b\xc0\x0e");
        message.extend(b"\xc0\x27\0\x0f\0\x01\0\0\0\x3c\0\x04\0\x05\xc0\x0c");
        message.extend(b"\0\0\x29\x04\xd0\0\0\0\0\0\0");
        let mut out = Vec::new();
        let question = b"\x03www\x05Other\x04test\0\0\x0f\0\x01";
        with_question(&message, question, &mut out).unwrap();
        let mut expected = HEADER.to_vec();
        expected.extend(question);
        expected.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x0b\x01b\x07example\0");
        expected.extend(b"\x01b\x07example\0\0\x0f\0\x01\0\0\0\x3c\0\x0d\0\x05\x01A\x07example\0");
        expected.extend(b"\0\0\x29\x04\xd0\0\0\0\0\0\0");
        assert_eq!(out, expected);
        assert!(Message::read(&out).is_ok());
        for len in 0..message.len() {
            assert!(with_question(&message[..len], question, &mut out).is_err(), "{len}");
        }
    }
}
