//! One connection as a state machine without I/O (RFC 1035, section 4.2.2; RFC 7766): bytes in, bytes out,
//! and the time is passed in.
//!
//! A connection that waits for its next query holds no buffer. Input is held only while a message is
//! incomplete, or while the client does not take its answers. Answers are held only while it does not: the
//! buffer that they are made in is lent for a turn.

use std::mem;
use std::time::{Duration, Instant};

use super::order::{Class, Rank};
use super::{Closed, TcpSettings};
use crate::dns::consts::HEADER_LEN;
use crate::limits::{
    QUERY_LEN_MAX, TCP_PENDING_MAX, TCP_PENDING_TIMEOUT, TCP_REPLY_LEN_MAX, TCP_UNSENT_LEN_MAX,
};
use crate::serve::Verdict;

/// Bytes of the length before each message.
const PREFIX_LEN: usize = 2;
/// Bytes of a message that are kept: one more than the longest query, so the length alone says "too
/// long".
const MESSAGE_LEN_KEPT: usize = QUERY_LEN_MAX + 1;

/// Where answers are made: the query in the first bytes, then the reply in their place.
pub(super) type Slot = [u8; TCP_REPLY_LEN_MAX];

/// What the driver has to do to a connection that comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Send FIN. The client may still be sending, and to close with its bytes unread would make the kernel
    /// send RST, which can overtake the last answers: so what still comes is read and thrown away until the
    /// client ends too.
    Fin,
    /// Close.
    Close(Closed),
}

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    /// Bytes that came and wait: the beginning of a message, or, when `stalled`, whatever followed the last
    /// message that was answered.
    held: Vec<u8>,
    /// Bytes of the message at the beginning of `held` that were thrown away because it is too long.
    skipped: usize,
    /// There were too many answers unsent, or pending, to look at what is held.
    stalled: bool,
    /// Queries that were handed over, and whose replies are made elsewhere.
    pending: usize,
    /// Answers, each after its length, that the client has not taken.
    unsent: Vec<u8>,
    /// Why the connection is to be closed when the answers are sent; nothing more is answered.
    finishing: Option<Closed>,
    /// The client's FIN was read.
    input_ended: bool,
    /// When our FIN was sent while the client's was still to come.
    lingers_since: Option<Instant>,
    /// When the first byte of the incomplete message came.
    message_since: Option<Instant>,
    /// When the last whole message came, or the connection.
    active_at: Instant,
    /// When the client last took bytes, or the first came to be taken.
    taken_at: Instant,
}

impl Conn {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            held: Vec::new(),
            skipped: 0,
            stalled: false,
            pending: 0,
            unsent: Vec::new(),
            finishing: None,
            input_ended: false,
            lingers_since: None,
            message_since: None,
            active_at: now,
            taken_at: now,
        }
    }

    /// Whether the connection should be read from: not while its answers pile up here or elsewhere,
    /// nor while it finishes, but again when it lingers.
    pub(super) const fn wants_input(&self) -> bool {
        match self.finishing {
            Some(_) => self.lingers_since.is_some() && !self.input_ended,
            None => !self.stalled && !self.is_full(),
        }
    }

    /// Lends a buffer for the answers of a turn to a connection that has none waiting; whether it takes it.
    pub(super) fn borrow(&mut self, output: &mut Vec<u8>) -> bool {
        let is_lent = self.unsent.is_empty();
        if is_lent {
            mem::swap(&mut self.unsent, output);
        }
        is_lent
    }

    /// Ends the turn: the buffer goes back if it was lent, and what the client has not taken moves to one of
    /// the connection's own. A large one of those gets smaller as the client takes what it holds.
    pub(super) fn give_back(&mut self, output: &mut Vec<u8>, is_lent: bool) {
        if is_lent {
            mem::swap(&mut self.unsent, output);
            self.unsent.extend_from_slice(output);
            output.clear();
        } else if self.unsent.len() < self.unsent.capacity() / 4 {
            self.unsent.shrink_to(2 * self.unsent.len());
        }
    }

    /// Takes `bytes` that were read and answers every message that is whole, as long as there is room for
    /// answers.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        now: Instant,
        slot: &mut Slot,
        answer: &mut impl FnMut(&mut [u8], usize) -> Verdict,
    ) {
        let mut held = mem::take(&mut self.held);
        let input = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(bytes);
            &held
        };
        let taken = self.answer_whole(input, now, slot, answer);
        self.hold(&input[taken..], now);
    }

    /// Answers held messages once the client has taken answers. Returns whether there was anything to
    /// answer, and so, perhaps, something new to send.
    pub(super) fn resume(
        &mut self,
        now: Instant,
        slot: &mut Slot,
        answer: &mut impl FnMut(&mut [u8], usize) -> Verdict,
    ) -> bool {
        let go_on = self.stalled && !self.is_full();
        if go_on {
            self.receive(&[], now, slot, answer);
        }
        go_on
    }

    /// Answers the whole messages at the beginning of `input`; returns the length of those that were
    /// answered.
    fn answer_whole(
        &mut self,
        input: &[u8],
        now: Instant,
        slot: &mut Slot,
        answer: &mut impl FnMut(&mut [u8], usize) -> Verdict,
    ) -> usize {
        let mut taken = 0;
        self.stalled = false;
        while self.finishing.is_none() && taken < input.len() {
            if self.is_full() {
                self.stalled = true;
                break;
            }
            let Some((&prefix, body)) = input[taken..].split_first_chunk::<PREFIX_LEN>() else { break };
            let len = usize::from(u16::from_be_bytes(prefix));
            if len < HEADER_LEN {
                self.finish(Closed::Protocol);
                break;
            }
            // What was skipped was behind the bytes that are kept, so that those are still here.
            let Some(body) = body.get(..len - self.skipped) else { break };
            taken += PREFIX_LEN + body.len();
            self.skipped = 0;
            self.message_since = None;
            self.active_at = now;
            let query = &body[..len.min(MESSAGE_LEN_KEPT)];
            slot[..query.len()].copy_from_slice(query);
            match answer(slot, query.len()) {
                Verdict::Reply(len) => self.push(&slot[..len], now),
                Verdict::Drop => self.finish(Closed::Protocol),
                Verdict::HandOff(_) => self.pending += 1,
            }
        }
        taken
    }

    /// Takes the reply to a query that was handed over: none closes the connection, as it does here. Replies
    /// leave in the order in which they are made (RFC 7766, section 6.2.1.1).
    pub(super) fn reply(&mut self, reply: Option<&[u8]>, now: Instant) {
        self.pending = self.pending.saturating_sub(1);
        match reply {
            Some(reply) => self.push(reply, now),
            None => self.finish(Closed::Protocol),
        }
    }

    /// Keeps what was not answered: everything when stalled, else the beginning of a message without its
    /// excess.
    fn hold(&mut self, rest: &[u8], now: Instant) {
        if self.finishing.is_some() || rest.is_empty() {
            return;
        }
        if self.stalled {
            self.held = rest.to_vec();
            return;
        }
        let kept_len = rest.len().min(PREFIX_LEN + MESSAGE_LEN_KEPT);
        self.skipped += rest.len() - kept_len;
        self.held = rest[..kept_len].to_vec();
        self.message_since.get_or_insert(now);
    }

    /// The client has sent FIN: what was due is sent, then the connection is closed. An incomplete message is
    /// lost.
    pub(super) fn end_input(&mut self) {
        self.input_ended = true;
        self.finish(Closed::Client);
    }

    fn finish(&mut self, reason: Closed) {
        self.finishing.get_or_insert(reason);
        self.held = Vec::new();
        self.message_since = None;
    }

    fn push(&mut self, reply: &[u8], now: Instant) {
        if self.unsent.is_empty() {
            self.taken_at = now;
        }
        let prefix = (reply.len() as u16).to_be_bytes();
        self.unsent.extend_from_slice(&prefix);
        self.unsent.extend_from_slice(reply);
    }

    /// What is to be sent, in one write.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.unsent
    }

    /// The client took the first `len` bytes of what is unsent.
    pub(super) fn sent(&mut self, len: usize, now: Instant) {
        self.unsent.drain(..len);
        self.taken_at = now;
    }

    const fn is_full(&self) -> bool {
        self.unsent.len() >= TCP_UNSENT_LEN_MAX || self.pending >= TCP_PENDING_MAX
    }

    /// Whether the client has all the answers to what was read.
    pub(super) const fn is_settled(&self) -> bool {
        self.unsent.is_empty() && self.pending == 0
    }

    /// To be asked when everything possible was sent: whether the connection has come to its end.
    pub(super) fn ending(&mut self, now: Instant) -> Option<Ending> {
        let reason = self.finishing?;
        if !self.is_settled() {
            return None;
        }
        if self.input_ended {
            return Some(Ending::Close(reason));
        }
        if self.lingers_since.is_some() {
            return None;
        }
        self.lingers_since = Some(now);
        Some(Ending::Fin)
    }

    /// The reason to give when the socket fails: one that lingers was closed for a reason of its own already.
    pub(super) fn failed(&self) -> Closed {
        self.finishing.filter(|_| self.lingers_since.is_some()).unwrap_or(Closed::Failed)
    }

    /// Which deadline has passed at `now`, if any, with `idle` as the current idle time.
    pub(super) fn overdue(&self, now: Instant, settings: &TcpSettings, idle: Duration) -> Option<Closed> {
        let passed = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        if self.lingers_since.is_some_and(|since| passed(since, settings.message_timeout)) {
            return self.finishing;
        }
        if self.message_since.is_some_and(|since| passed(since, settings.message_timeout)) {
            return Some(Closed::Message);
        }
        if !self.unsent.is_empty() {
            return passed(self.taken_at, settings.write_timeout).then_some(Closed::Unread);
        }
        if self.pending > 0 {
            return passed(self.active_at, TCP_PENDING_TIMEOUT).then_some(Closed::Idle);
        }
        let rests = self.message_since.is_none() && self.finishing.is_none();
        (rests && passed(self.rank().since, idle)).then_some(Closed::Idle)
    }

    /// Its place among those that make room for others.
    pub(super) fn rank(&self) -> Rank {
        if let Some(since) = self.lingers_since {
            return Rank { class: Class::Lingers, since };
        }
        if self.is_settled() {
            return Rank { class: Class::Rests, since: self.active_at.max(self.taken_at) };
        }
        Rank { class: Class::Unsent, since: self.active_at }
    }

    /// Bytes of buffers that the connection occupies.
    pub(super) fn buffered(&self) -> usize {
        self.held.capacity() + self.unsent.capacity()
    }
}

#[cfg(test)]
mod tests;
