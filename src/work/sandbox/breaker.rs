//! When an application that traps is started again: at once, unless it traps too often.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::limits::{GUEST_TRAPS_FORGOTTEN, GUEST_TRAPS_MAX, GUEST_TRAPS_WITHIN};

/// The traps of one application in one thread.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    traps: ArrayVec<Instant, GUEST_TRAPS_MAX>,
    /// The pause that it had last.
    pause: Option<Duration>,
    last: Option<Instant>,
}

impl Breaker {
    /// An instance has trapped: for how long the application is off, if it is.
    pub(super) fn trapped(
        &mut self,
        now: Instant,
        (shortest, longest): (Duration, Duration),
    ) -> Option<Duration> {
        let ago = |then: &Instant| now.saturating_duration_since(*then);
        if self.last.as_ref().is_some_and(|last| ago(last) >= GUEST_TRAPS_FORGOTTEN) {
            self.pause = None;
        }
        self.last = Some(now);
        self.traps.retain(|trap| ago(trap) < GUEST_TRAPS_WITHIN);
        // There is room: with as many it is off, and they are forgotten.
        let _ = self.traps.try_push(now);
        if self.traps.len() < GUEST_TRAPS_MAX {
            return None;
        }
        Some(self.pause(shortest, longest))
    }

    /// It could not even be started: for how long it is off.
    pub(super) fn failed(&mut self, now: Instant, (shortest, longest): (Duration, Duration)) -> Duration {
        self.last = Some(now);
        self.pause(shortest, longest)
    }

    fn pause(&mut self, shortest: Duration, longest: Duration) -> Duration {
        self.traps.clear();
        let pause = self.pause.map_or(shortest, |pause| (pause * 2).min(longest));
        self.pause = Some(pause);
        pause
    }
}
