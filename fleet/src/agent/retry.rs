//! When something is tried again: after random pauses below a bound that doubles, so that a thousand nodes do
//! not try at once.

use std::time::Duration;

use crate::limits::RETRY_PAUSE_MAX;

/// The pauses between attempts at one thing.
#[derive(Clone, Debug)]
pub struct Retry {
    tries: u32,
    at: Option<Duration>,
    state: u64,
}

impl Retry {
    /// Another `seed` makes other pauses.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { tries: 0, at: None, state: seed | 1 }
    }

    /// It went well, or is another thing.
    pub const fn reset(&mut self) {
        self.tries = 0;
        self.at = None;
    }

    /// It failed.
    pub fn later(&mut self, now: Duration) {
        let bound = Duration::from_secs(1 << self.tries.min(6)).min(RETRY_PAUSE_MAX);
        self.tries += 1;
        let share = self.random() % 1024;
        // Never at once: what failed without waiting for anybody would keep the processor busy.
        self.at = Some(now + bound / 16 + bound * (share as u32) / 1024);
    }

    /// Whether it may be tried.
    #[must_use]
    pub fn is_due(&self, now: Duration) -> bool {
        self.at.is_none_or(|at| now >= at)
    }

    /// Until when it may not.
    #[must_use]
    pub fn until(&self, now: Duration) -> Option<Duration> {
        self.at.filter(|at| *at > now)
    }

    /// Nothing that anybody should be unable to foretell (xorshift64).
    const fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_differ_between_nodes() {
        let pauses = |seed| {
            let mut retry = Retry::new(seed);
            let mut pause = || {
                retry.later(Duration::ZERO);
                retry.until(Duration::ZERO).unwrap()
            };
            (0..20).map(|_| pause()).collect::<Vec<_>>()
        };
        let (one, other) = (pauses(2), pauses(0x5eed_0000));
        assert_ne!(one, other);
        for pauses in [one, other] {
            assert!(pauses[0] <= Duration::from_millis(1063), "{pauses:?}");
            assert!(pauses.iter().all(|pause| *pause <= RETRY_PAUSE_MAX.mul_f32(1.1)), "{pauses:?}");
            assert!(pauses[6..].iter().any(|pause| *pause > RETRY_PAUSE_MAX / 2), "{pauses:?}");
        }
        let mut retry = Retry::new(1);
        assert!(retry.is_due(Duration::ZERO));
        retry.later(Duration::from_secs(9));
        assert!(!retry.is_due(Duration::from_secs(9)) && retry.is_due(Duration::from_secs(11)));
        retry.reset();
        assert!(retry.is_due(Duration::ZERO));
    }
}
