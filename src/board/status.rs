//! How something that is written to a disk fares.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

/// How the history or an export fares, for whoever reads the board.
#[derive(Debug)]
pub struct Status {
    place: ArcSwap<String>,
    /// Whether it waits in memory for a directory that cannot be used.
    waits: AtomicBool,
    /// Bytes of what is written ahead of it.
    log_len: AtomicU64,
    written_at: AtomicU64,
    errors: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Status {
    /// One without an error, at `place`.
    #[must_use]
    pub fn new(place: String) -> Self {
        Self {
            place: ArcSwap::from_pointee(place),
            waits: AtomicBool::new(false),
            log_len: AtomicU64::new(0),
            written_at: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            last_error: Mutex::new(None),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> Arc<String> {
        self.place.load_full()
    }

    /// From now on it is there.
    pub fn moved(&self, place: String) {
        self.place.store(Arc::new(place));
    }

    /// Whether the history waits in memory for its directory.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Notes whether it does.
    pub fn set_waits(&self, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
    }

    /// Bytes of the history's write-ahead log.
    #[must_use]
    pub fn log_len(&self) -> u64 {
        self.log_len.load(Ordering::Relaxed)
    }

    /// Notes how many there are.
    pub fn set_log_len(&self, len: u64) {
        self.log_len.store(len, Ordering::Relaxed);
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
