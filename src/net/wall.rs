//! The time of day as a thread that serves knows it: looked up once a second, not for each packet.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time of day, at most a second old. It follows the host's clock wherever that is set.
#[derive(Debug)]
pub(super) struct WallClock {
    looked: Instant,
    unix_time: u32,
}

impl WallClock {
    pub(super) fn new() -> Self {
        Self { looked: Instant::now(), unix_time: unix_time() }
    }

    /// To be called whenever the thread knows that it is `now`.
    #[inline]
    pub(super) fn tick(&mut self, now: Instant) {
        if now.duration_since(self.looked) >= Duration::from_secs(1) {
            *self = Self { looked: now, unix_time: unix_time() };
        }
    }

    /// Seconds of Unix time, modulo 2^32.
    #[inline]
    pub(super) const fn unix_time(&self) -> u32 {
        self.unix_time
    }
}

/// Seconds of Unix time, modulo 2^32.
#[must_use]
pub fn unix_time() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_looked_at_once_a_second() {
        let mut clock = WallClock::new();
        let looked = clock.looked;
        clock.tick(looked + Duration::from_millis(999));
        assert_eq!(clock.looked, looked);
        clock.tick(looked + Duration::from_secs(1));
        assert_eq!(clock.looked, looked + Duration::from_secs(1));
        assert!(clock.unix_time() > 1_700_000_000);
    }
}
