//! What a guest says of a query, read from the number that it returns.

use super::abi::Word;
use crate::policy::phase::Phase;

/// A verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Reply,
    Code(u16, Option<u16>),
    Drop,
    Later,
    Changed,
    Retry(usize),
    Fail,
}

/// A verdict, as the reference shows it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its number.
    pub word: Word,
    /// What it is called.
    pub name: &'static str,
    /// The phases that it is allowed in. In `done` every verdict is taken as PASS.
    pub phases: &'static [Phase],
    /// What becomes of the query.
    pub meaning: &'static str,
}

const ALL: &[Phase] = &[Phase::Request, Phase::PostCache, Phase::Response, Phase::Reply, Phase::Done];
const BEFORE_DONE: &[Phase] = &[Phase::Request, Phase::PostCache, Phase::Response, Phase::Reply];

/// All verdicts, in the order of their numbers.
pub const VERDICTS: [Row; 8] = [
    Row {
        word: Word::Pass,
        name: "PASS",
        phases: ALL,
        meaning: "what it would have had without the application: rules after this one are asked, and in \
                  the end the node's own zones",
    },
    Row {
        word: Word::Reply,
        name: "REPLY",
        phases: BEFORE_DONE,
        meaning: "the message in the reply area, of `reply_len` bytes; it is never stored in the cache",
    },
    Row {
        word: Word::Rcode,
        name: "RCODE",
        phases: BEFORE_DONE,
        meaning: "a reply without records: bits 8 to 15 are the response code, bits 16 to 31 one more than \
                  the code of an extended error (RFC 8914), or 0 for none",
    },
    Row { word: Word::Drop, name: "DROP", phases: BEFORE_DONE, meaning: "no reply" },
    Row {
        word: Word::Later,
        name: "LATER",
        phases: BEFORE_DONE,
        meaning: "the guest holds the query, until it calls `finish` with the query's token, or the \
                  query's time is up; not with `isolation = \"query\"`",
    },
    Row {
        word: Word::Changed,
        name: "CHANGED",
        phases: &[Phase::Request],
        meaning: "the query in the area, of `query_len` bytes, replaces it from here on; only its question \
                  is taken, and the client's reply has the question that it asked",
    },
    Row {
        word: Word::Retry,
        name: "RETRY",
        phases: &[Phase::Response],
        meaning: "another upstream is asked: bits 8 to 15 are its place in `[allow] forward`",
    },
    Row {
        word: Word::Fail,
        name: "FAIL",
        phases: BEFORE_DONE,
        meaning: "it cannot be handled: the query gets the `fallback_action` of the manifest",
    },
];

impl Verdict {
    /// What a number says; `None` if nothing. Bits that mean nothing are zero.
    pub(super) fn read(number: i64) -> Option<Self> {
        let number = number.cast_unsigned();
        let row = VERDICTS.get(usize::from(number as u8))?;
        let rest = number >> 8;
        Some(match row.word {
            Word::Rcode if rest < 1 << 24 => {
                let error = (rest >> 8) as u16;
                Self::Code(rest as u16 & 0xFF, error.checked_sub(1))
            }
            Word::Retry if rest < 1 << 8 => Self::Retry(rest as usize),
            _ if rest != 0 => return None,
            Word::Pass => Self::Pass,
            Word::Reply => Self::Reply,
            Word::Drop => Self::Drop,
            Word::Later => Self::Later,
            Word::Changed => Self::Changed,
            Word::Fail => Self::Fail,
            Word::Rcode | Word::Retry => return None,
        })
    }

    /// Its number.
    pub(super) const fn word(self) -> Word {
        match self {
            Self::Pass => Word::Pass,
            Self::Reply => Word::Reply,
            Self::Code(..) => Word::Rcode,
            Self::Drop => Word::Drop,
            Self::Later => Word::Later,
            Self::Changed => Word::Changed,
            Self::Retry(_) => Word::Retry,
            Self::Fail => Word::Fail,
        }
    }

    /// Whether it may be said in a phase.
    pub(super) fn is_allowed(self, phase: Phase) -> bool {
        VERDICTS[self.word() as usize].phases.contains(&phase)
    }
}
