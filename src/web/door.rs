//! Whether anybody is let in: another process may have the same listener.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

const CLOSED: u8 = 0;
const OPEN: u8 = 1;
const STOPPED: u8 = 2;

/// One that is closed at first.
#[derive(Debug, Default)]
pub struct Door {
    state: AtomicU8,
    news: Notify,
}

impl Door {
    /// Everybody is let in.
    pub fn open(&self) {
        self.change(OPEN);
    }

    /// Nobody is: who connects waits.
    pub fn close(&self) {
        self.change(CLOSED);
    }

    /// Nobody will be.
    pub fn stop(&self) {
        self.change(STOPPED);
    }

    fn change(&self, state: u8) {
        self.state.store(state, Ordering::Relaxed);
        self.news.notify_one();
    }

    pub(super) fn is_open(&self) -> bool {
        self.state.load(Ordering::Relaxed) == OPEN
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state.load(Ordering::Relaxed) == STOPPED
    }

    /// Waits until it is opened, closed or stopped, if that was not seen yet.
    pub(super) async fn changed(&self) {
        self.news.notified().await;
    }
}
