//! Copies of queries that are sent to a server under test, whose answer is compared with the one that the
//! client got. The two come in any order, or one never does.

use crate::dns::message;
use crate::stats::labels::{COMPARED_DIFFERS, COMPARED_SAME, COMPARED_TIMEOUT};

/// A copy of a query.
#[derive(Debug)]
pub(super) struct Copy {
    /// How the rule is counted that sends it: a value of the label of rules.
    pub(super) rule: usize,
    ours: Option<Vec<u8>>,
    /// An empty one: the server gave none.
    theirs: Option<Vec<u8>>,
}

impl Copy {
    pub(super) const fn new(rule: usize) -> Self {
        Self { rule, ours: None, theirs: None }
    }

    /// The client has got this. What comes of comparing, a value of `COMPARED`, once both are there.
    pub(super) fn ours(&mut self, reply: &[u8]) -> Option<usize> {
        self.ours = Some(reply.to_vec());
        self.compare()
    }

    /// The server has said this; nothing, if it is empty. What comes of comparing, once both are there.
    pub(super) fn theirs(&mut self, message: &[u8]) -> Option<usize> {
        self.theirs = Some(message.to_vec());
        self.compare()
    }

    fn compare(&self) -> Option<usize> {
        let (ours, theirs) = (self.ours.as_ref()?, self.theirs.as_ref()?);
        Some(match theirs.is_empty() {
            true => COMPARED_TIMEOUT,
            false if message::same(ours, theirs) => COMPARED_SAME,
            false => COMPARED_DIFFERS,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply with this response code.
    fn reply(rcode: u8) -> Vec<u8> {
        let mut reply = b"\x12\x34\x84\x00\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01".to_vec();
        reply[3] |= rcode;
        reply
    }

    #[test]
    fn the_two_answers_come_in_any_order() {
        for (ours, theirs, result) in [
            (reply(3), reply(3), COMPARED_SAME),
            (reply(3), reply(0), COMPARED_DIFFERS),
            (reply(3), Vec::new(), COMPARED_TIMEOUT),
        ] {
            let mut copy = Copy::new(1);
            assert_eq!((copy.ours(&ours), copy.theirs(&theirs)), (None, Some(result)));
            let mut copy = Copy::new(1);
            assert_eq!((copy.theirs(&theirs), copy.ours(&ours)), (None, Some(result)));
        }
    }
}
