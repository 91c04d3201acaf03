//! How something that is written to a disk fares.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How the history or an export fares, for whoever reads the board.
#[derive(Debug)]
pub struct Status {
    /// Where it is.
    pub place: String,
    written_at: AtomicU64,
    errors: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Status {
    /// One without an error, at `place`.
    #[must_use]
    pub const fn new(place: String) -> Self {
        Self { place, written_at: AtomicU64::new(0), errors: AtomicU64::new(0), last_error: Mutex::new(None) }
    }

    /// When this process last wrote it, in seconds of Unix time; `None` where it has not yet.
    #[must_use]
    pub fn written_at(&self) -> Option<u64> {
        Some(self.written_at.load(Ordering::Acquire)).filter(|at| *at > 0)
    }

    /// Notes that it was written at `now`.
    pub fn written(&self, now: u64) {
        self.written_at.store(now, Ordering::Release);
    }

    /// How many times it could not be stored or written.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Why not, the last time.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that it could not be, and why.
    pub fn failed(&self, error: impl Display) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }
}
