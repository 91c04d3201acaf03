//! What the threads that serve are told.

use std::sync::atomic::{AtomicU8, Ordering};

const SERVE: u8 = 0;
const RETIRE: u8 = 1;
const STOP: u8 = 2;

/// One word for all threads, which they look at in each turn. It only ever advances: serve, retire, stop.
#[derive(Debug, Default)]
pub struct Orders(AtomicU8);

impl Orders {
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
    fn there_is_no_way_back() {
        let orders = Orders::default();
        assert!(orders.is_serving() && !orders.is_retiring());
        orders.retire();
        assert!(!orders.is_serving() && orders.is_retiring());
        orders.stop();
        orders.retire();
        assert!(!orders.is_serving() && !orders.is_retiring());
    }
}
