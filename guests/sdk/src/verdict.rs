//! What an application says of a query.

use alloc::vec::Vec;

use crate::abi::word;

/// What an application says of a query.
///
/// What a phase does not allow is the application's fallback, as [`fail`](Self::fail) is. In the phase `done`
/// everything is taken as [`pass`](Self::pass): the reply has been sent.
#[derive(Debug)]
#[must_use = "the query gets what the verdict says"]
pub struct Verdict(Said);

#[derive(Debug)]
enum Said {
    Word(i64),
    /// The reply in the area, and its length.
    Reply(usize),
    /// A query with another question.
    Changed(Vec<u8>),
}

impl Verdict {
    /// It is not for this application: the query gets what it would have got without it.
    pub fn pass() -> Self {
        Self(Said::Word(word::PASS))
    }

    /// A reply without records, with this response code.
    ///
    /// ```
    /// # use as112_guest::{ede, rcode, Verdict};
    /// let verdict = Verdict::rcode(rcode::NXDOMAIN).because(ede::BLOCKED);
    /// ```
    pub fn rcode(rcode: u8) -> Self {
        Self(Said::Word(word::RCODE | i64::from(rcode) << 8))
    }

    /// With an extended error (RFC 8914), for clients that have EDNS. Only a reply that
    /// [`rcode`](Self::rcode) makes takes one, and no code above 65,534.
    pub fn because(self, error: u16) -> Self {
        match self.0 {
            Said::Word(word) if word & 0xFF == word::RCODE && error < u16::MAX => {
                Self(Said::Word(word & 0xFFFF | (i64::from(error) + 1) << 16))
            }
            said => Self(said),
        }
    }

    /// No reply. A TCP connection is closed.
    pub fn drop() -> Self {
        Self(Said::Word(word::DROP))
    }

    /// It cannot be handled: the query gets the manifest's `fallback_action`.
    pub fn fail() -> Self {
        Self(Said::Word(word::FAIL))
    }

    /// Another upstream is asked, by its place in the manifest's `[allow] forward`; in the phase `response`.
    pub fn retry(upstream: u8) -> Self {
        Self(Said::Word(word::RETRY | i64::from(upstream) << 8))
    }

    /// The query goes on with the question of this one; in the phase `request`. The client's reply has the
    /// question that it asked. [`query_for`](crate::query_for) makes one.
    pub fn changed(query: Vec<u8>) -> Self {
        Self(Said::Changed(query))
    }

    pub(crate) fn reply(len: usize) -> Self {
        Self(Said::Reply(len))
    }

    pub(crate) fn later() -> Self {
        Self(Said::Word(word::LATER))
    }

    pub(crate) fn is_later(&self) -> bool {
        matches!(self.0, Said::Word(word::LATER))
    }

    /// Puts into the area what belongs to it; gives the number for the host.
    pub(crate) fn write(self, area: &mut [u8]) -> i64 {
        use crate::abi::{request, QUERY_AT, QUERY_LEN};
        let mut len = |at: usize, len: usize| area[at..at + 4].copy_from_slice(&(len as u32).to_le_bytes());
        match self.0 {
            Said::Word(word) => word,
            Said::Reply(reply_len) => {
                len(request::REPLY_LEN, reply_len);
                word::REPLY
            }
            Said::Changed(query) if query.len() <= QUERY_LEN => {
                len(request::QUERY_LEN, query.len());
                area[QUERY_AT..QUERY_AT + query.len()].copy_from_slice(&query);
                word::CHANGED
            }
            Said::Changed(_) => word::FAIL,
        }
    }
}
