//! Questions that have ended, until somebody takes them: side by side in buffers that stay.

use std::time::Duration;

use super::ask::{Finished, Waiter};
use crate::policy::facts::Outcome;
use crate::policy::upstream::UpstreamId;

/// Those that have ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    list: Vec<One>,
    waiters: Vec<Waiter>,
    messages: Vec<u8>,
}

#[derive(Debug)]
struct One {
    /// Where its waiters and its message end; they begin where those before it end.
    waiters_end: usize,
    message_end: usize,
    outcome: Outcome,
    upstream: UpstreamId,
    server: usize,
    rtt: Duration,
}

impl Ended {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds one, unless nobody waits for it.
    pub(super) fn add(
        &mut self,
        waiters: impl Iterator<Item = Waiter>,
        outcome: Outcome,
        message: &[u8],
        upstream: UpstreamId,
        server: usize,
        rtt: Duration,
    ) {
        let before = self.waiters.len();
        self.waiters.extend(waiters);
        if self.waiters.len() == before {
            return;
        }
        self.messages.extend_from_slice(message);
        let (waiters_end, message_end) = (self.waiters.len(), self.messages.len());
        self.list.push(One { waiters_end, message_end, outcome, upstream, server, rtt });
    }

    /// Hands all over.
    pub(super) fn drain(&mut self, take: &mut impl FnMut(&Finished<'_>)) {
        let (mut waiters_at, mut message_at) = (0, 0);
        for one in self.list.drain(..) {
            take(&Finished {
                waiters: &self.waiters[waiters_at..one.waiters_end],
                outcome: one.outcome,
                message: &self.messages[message_at..one.message_end],
                upstream: one.upstream,
                server: one.server,
                rtt: one.rtt,
            });
            (waiters_at, message_at) = (one.waiters_end, one.message_end);
        }
        self.waiters.clear();
        self.messages.clear();
    }
}
