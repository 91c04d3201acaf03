//! How something that is written to a disk fares.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How the history or an export fares, for whoever reads the board.
#[derive(Debug)]
pub struct Status {
    /// Where it is.
    pub place: String,
    errors: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Status {
    /// One without an error, at `place`.
    #[must_use]
    pub const fn new(place: String) -> Self {
        Self { place, errors: AtomicU64::new(0), last_error: Mutex::new(None) }
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
