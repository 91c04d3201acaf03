//! What requests are answered from, and the form of every answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http_body_util::{Either, Full};
use hyper::body::{Body as _, Bytes};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde_json::Value;
use tokio::sync::oneshot;

use super::events::Events;
use crate::board::Board;
use crate::board::recent::{Pace, Recent};
use crate::history::{InterruptHandle, Stored, unix_time};
use crate::limits::{ANSWERS_KEPT_LEN_MAX, ANSWERS_KEPT_MAX, HISTORY_RESOLUTIONS};
use crate::report::explain::Question;
use crate::report::page::{self, Figures, Span};

/// Has an answer explained: what comes is as the control socket has it.
pub type Explain = Box<dyn Fn(Question) -> oneshot::Receiver<Value> + Send + Sync>;

/// The figures that were read, and when.
pub(super) type Kept = HashMap<Span, (Instant, Arc<Figures>)>;

/// What requests are answered from.
pub(super) struct Node {
    pub(super) board: Arc<Board>,
    /// Until the end, when a reader closes it.
    pub(super) stored: Mutex<Option<Stored>>,
    pub(super) explain: Explain,
    /// Who reads it, by number, and how that is ended.
    pub(super) reading: Mutex<Option<(u64, InterruptHandle)>>,
    /// Numbers for those who read.
    pub(super) asked: AtomicU64,
    /// Answers about the past.
    pub(super) answers: Mutex<Answers>,
    /// Since when queries are counted, in seconds of Unix time.
    pub(super) began: AtomicU64,
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
    pub(super) fn new(board: Arc<Board>, stored: Stored, explain: Explain, began: u64) -> Self {
        Self {
            board,
            explain,
            stored: Mutex::new(Some(stored)),
            reading: Mutex::default(),
            asked: AtomicU64::new(0),
            answers: Mutex::default(),
            began: AtomicU64::new(began),
            all_move: AtomicBool::new(true),
            recent: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// Takes a sample of the pace.
    pub(super) fn note(&self) {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).note(&self.board, Instant::now());
    }

    pub(super) fn pace(&self) -> Pace {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).pace()
    }

    /// What a visitor sees first of the page.
    pub(super) fn first_span(&self) -> Span {
        Span::first_at(unix_time().saturating_sub(self.began.load(Ordering::Relaxed)))
    }

    /// Does `read` with the history, unless somebody else reads it.
    pub(super) fn with_history<T>(&self, read: impl FnOnce(&Stored) -> T) -> Option<T> {
        let mut stored = self.stored.try_lock().ok()?;
        let stored = stored.as_mut()?;
        if stored.follow() {
            self.note_began(stored);
        }
        Some(read(stored))
    }

    /// Notes since when the history counts.
    pub(super) fn note_began(&self, stored: &Stored) {
        let began = stored.began().unwrap_or_else(unix_time);
        self.began.store(began, Ordering::Relaxed);
    }

    fn reader(&self) -> MutexGuard<'_, Option<(u64, InterruptHandle)>> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for a question of this number, which [`Asked`] ends.
    pub(super) fn answer_from_history<T>(&self, number: u64, read: impl FnOnce(&Stored) -> T) -> Option<T> {
        self.with_history(|stored| {
            *self.reader() = Some((number, stored.interrupt()));
            let answer = read(stored);
            *self.reader() = None;
            answer
        })
    }

    /// The live numbers as they stand.
    pub(super) fn news(&self) -> String {
        page::news(&self.board.read(), &self.pace())
    }
}

/// A question about the past. When it is dropped nobody waits for the answer.
pub(super) struct Asked {
    node: Arc<Node>,
    pub(super) number: u64,
}

impl Asked {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self { node: Arc::clone(node), number: node.asked.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // Who reads takes its number back under the same lock: nobody else is interrupted.
        match &*self.node.reader() {
            Some((number, handle)) if *number == self.number => handle.interrupt(),
            _ => {}
        }
    }
}

/// Answers that were made from the history, by path and query, as long as they would be the same.
#[derive(Default)]
pub(super) struct Answers {
    /// The quarter of an hour that they are of.
    quarter: u64,
    len: usize,
    made: HashMap<(String, String), (&'static str, Bytes)>,
}

impl Answers {
    /// One that was made in this quarter of an hour.
    pub(super) fn get(&self, asked: &(String, String), now: u64) -> Option<(&'static str, Bytes)> {
        (self.quarter == now / QUARTER).then(|| self.made.get(asked).cloned()).flatten()
    }

    /// Keeps one, if there is room.
    pub(super) fn keep(&mut self, asked: (String, String), now: u64, answer: (&'static str, Bytes)) {
        if self.quarter != now / QUARTER {
            *self = Self { quarter: now / QUARTER, ..Self::default() };
        }
        let len = asked.0.len() + asked.1.len() + answer.1.len();
        if self.made.len() < ANSWERS_KEPT_MAX && self.len + len <= ANSWERS_KEPT_LEN_MAX {
            self.len += len;
            self.made.insert(asked, answer);
        }
    }
}

/// Radar's times end with a quarter of an hour.
const QUARTER: u64 = HISTORY_RESOLUTIONS[1].0;

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
    use std::time::Duration;

    use super::*;
    use crate::board::tests::board;
    use crate::history::History;
    use crate::stats::labels::Names;

    #[test]
    fn answers_are_kept_for_a_quarter_of_an_hour_and_not_without_bound() {
        let mut answers = Answers::default();
        let asked = |query: &str| ("/path".to_owned(), query.to_owned());
        let (now, answer) = (900 * 1_900_000, ("text/plain", Bytes::from_static(b"answer")));
        assert!(answers.get(&asked("a"), now).is_none());
        answers.keep(asked("a"), now, answer.clone());
        assert_eq!(answers.get(&asked("a"), now + 899), Some(answer.clone()));
        assert!(answers.get(&asked("b"), now).is_none() && answers.get(&asked("a"), now + 900).is_none());
        answers.keep(asked("b"), now + 900, answer.clone());
        assert!(answers.get(&asked("a"), now + 900).is_none());
        for number in 0..2 * ANSWERS_KEPT_MAX {
            answers.keep(asked(&number.to_string()), now + 900, answer.clone());
        }
        assert_eq!(answers.made.len(), ANSWERS_KEPT_MAX);
        let mut answers = Answers::default();
        for number in 0..3 {
            let answer = ("text/plain", Bytes::from(vec![0; ANSWERS_KEPT_LEN_MAX / 2 - 100]));
            answers.keep(asked(&number.to_string()), now, answer);
        }
        assert_eq!(answers.made.len(), 2);
    }

    #[test]
    fn a_question_ends_when_nobody_waits_for_its_answer() {
        let (history, _) = History::in_memory(&Names::default(), 2, 0).unwrap();
        let stored = history.reader().unwrap();
        let node = Arc::new(Node::new(Arc::new(board()), stored, Box::new(|_| oneshot::channel().1), 0));
        let (question, later) = (Asked::new(&node), Asked::new(&node));
        let (number, reader) = (question.number, Arc::clone(&node));
        let (begun, begins) = std::sync::mpsc::channel();
        let reading = std::thread::spawn(move || {
            reader.answer_from_history(number, |stored| {
                begun.send(()).unwrap();
                stored.count_for_ever()
            })
        });
        begins.recv().unwrap();
        assert!(node.answer_from_history(later.number, |_| ()).is_none(), "one reads at a time");
        // Of the wrong question nothing ends.
        drop(later);
        assert!(!reading.is_finished());
        drop(question);
        // What has not come to its first step yet when it is interrupted goes on: it is told again.
        while !reading.is_finished() {
            drop(Asked { node: Arc::clone(&node), number });
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let error = reading.join().unwrap().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "interrupted");
        assert_eq!(node.answer_from_history(9, |_| 7), Some(7), "and nobody after it");
    }

    #[test]
    fn answers_that_nobody_takes_have_a_bound() {
        let untaken = Untaken::new(7);
        assert!(untaken.add(6) && !untaken.add(2) && untaken.add(1));
        assert!(!untaken.add(1) && !untaken.add(usize::MAX) && untaken.add(0));
        untaken.remove(1);
        assert!(untaken.add(1) && !untaken.add(1));
    }
}
