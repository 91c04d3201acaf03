//! What the threads that serve are told.

use std::sync::atomic::{AtomicU8, Ordering};

const SERVE: u8 = 0;
const PAUSE: u8 = 1;
const RETIRE: u8 = 2;
const STOP: u8 = 3;

/// One word for all threads, which they look at in each turn: serve, retire, stop, none of which is
/// undone; but serving may be paused.
#[derive(Debug, Default)]
pub struct Orders(AtomicU8);

impl Orders {
    /// Another process is trying to serve: take nothing in, but be ready to.
    pub fn pause(&self) {
        // Whoever is about to end does so.
        let _ = self.0.compare_exchange(SERVE, PAUSE, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// It has failed: serve again.
    pub fn resume(&self) {
        let _ = self.0.compare_exchange(PAUSE, SERVE, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Another process serves: accept nothing new.
    pub fn retire(&self) {
        self.0.fetch_max(RETIRE, Ordering::Relaxed);
    }

    /// End.
    pub fn stop(&self) {
        self.0.fetch_max(STOP, Ordering::Relaxed);
    }

    /// Whether to keep serving.
    #[inline]
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.0.load(Ordering::Relaxed) == SERVE
    }

    /// Whether to wait for what comes of another process.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.0.load(Ordering::Relaxed) == PAUSE
    }

    /// Whether what was taken in may still be served to its end.
    #[must_use]
    pub fn is_retiring(&self) -> bool {
        self.0.load(Ordering::Relaxed) == RETIRE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_way_back_but_from_a_pause() {
        let orders = Orders::default();
        assert!(orders.is_serving() && !orders.is_retiring());
        orders.pause();
        assert!(orders.is_paused() && !orders.is_serving() && !orders.is_retiring());
        orders.resume();
        assert!(orders.is_serving() && !orders.is_paused());
        orders.pause();
        orders.retire();
        orders.resume();
        orders.pause();
        assert!(!orders.is_serving() && orders.is_retiring());
        orders.stop();
        orders.retire();
        assert!(!orders.is_serving() && !orders.is_retiring());
    }
}
