//! What requests are answered from, and the form of every answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http_body_util::{Either, Full};
use hyper::body::{Body as _, Bytes};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::events::Events;
use crate::board::Board;
use crate::board::recent::{Pace, Recent};
use crate::history::{Stored, unix_time};
use crate::report::page::{self, Figures, Span};

/// The figures that were read, and when.
pub(super) type Kept = HashMap<Span, (Instant, Arc<Figures>)>;

/// What requests are answered from.
pub(super) struct Node {
    pub(super) board: Arc<Board>,
    /// Until the end, when a reader closes it.
    pub(super) stored: Mutex<Option<Stored>>,
    /// Since when queries are counted, in seconds of Unix time.
    pub(super) began: u64,
    /// Whether every thread that serves makes turns.
    pub(super) all_move: AtomicBool,
    pub(super) recent: Mutex<Recent>,
    pub(super) kept: Mutex<Kept>,
}

/// Bytes of answers that clients have not taken, and how many there may be. One thread counts them.
pub(super) struct Untaken {
    sum: AtomicUsize,
    max: usize,
}

impl Untaken {
    pub(super) const fn new(max: usize) -> Self {
        Self { sum: AtomicUsize::new(0), max }
    }

    /// Adds an answer, if there is room for it.
    fn add(&self, len: usize) -> bool {
        let sum = self.sum.load(Ordering::Relaxed).saturating_add(len);
        let has_room = sum <= self.max;
        if has_room {
            self.sum.store(sum, Ordering::Relaxed);
        }
        has_room
    }

    /// The answer was taken, or will not be.
    pub(super) fn remove(&self, len: usize) {
        self.sum.store(self.sum.load(Ordering::Relaxed) - len, Ordering::Relaxed);
    }

    /// The answer, or that too many wait already. `holds` learns how long it is.
    pub(super) fn within_bound(&self, answer: Answer, holds: &AtomicUsize) -> Answer {
        let len = answer.body().size_hint().exact().unwrap_or_default();
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if !self.add(len) {
            return plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many responses are waiting to be read: try again later.\n",
            );
        }
        holds.store(len, Ordering::Relaxed);
        answer
    }
}

/// An answer in one piece, or a stream.
pub(super) type Answer = Response<Either<Full<Bytes>, Events>>;

impl Node {
    /// Takes a sample of the pace.
    pub(super) fn note(&self) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).note(&self.board, Instant::now());
    }

    pub(super) fn pace(&self) -> Pace {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).pace()
    }

    /// What a visitor sees first of the page.
    pub(super) fn first_span(&self) -> Span {
        Span::first_at(unix_time().saturating_sub(self.began))
    }

    /// The live numbers as they stand.
    pub(super) fn news(&self) -> String {
        page::news(&self.board.read(), &self.pace())
    }
}

pub(super) fn plain(status: StatusCode, text: &str) -> Answer {
    response(status, "text/plain; charset=utf-8", Bytes::copy_from_slice(text.as_bytes()))
}

pub(super) fn response(status: StatusCode, content_type: &str, body: Bytes) -> Answer {
    let mut response = Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content_type)
        .header(CACHE_CONTROL, "no-store")
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(CONTENT_SECURITY_POLICY, "default-src 'none'");
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response = response.header(ALLOW, "GET, HEAD");
    }
    response.body(Either::Left(Full::new(body))).expect("every header is a literal of ours")
}

/// What the browser may do with a document: another policy than "nothing".
pub(super) fn with_policy(mut answer: Answer, policy: &'static str) -> Answer {
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_nobody_takes_have_a_bound() {
        let untaken = Untaken::new(7);
        assert!(untaken.add(6) && !untaken.add(2) && untaken.add(1));
        assert!(!untaken.add(1) && !untaken.add(usize::MAX) && untaken.add(0));
        untaken.remove(1);
        assert!(untaken.add(1) && !untaken.add(1));
    }
}
