//! So many replies a second, of those that a node gives nobody more of.

use std::time::{Duration, Instant};

/// So many replies a second.
#[derive(Debug)]
pub struct Cap {
    per_second: u32,
    second_began: Instant,
    left: u32,
}

impl Cap {
    /// So many.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self { per_second, second_began: Instant::now(), left: per_second }
    }

    /// It is `now`: if a second has passed there are as many again.
    #[inline]
    pub fn tick(&mut self, now: Instant) {
        if now.duration_since(self.second_began) >= Duration::from_secs(1) {
            *self = Self { second_began: now, left: self.per_second, ..*self };
        }
    }

    /// Whether one more may leave.
    #[inline]
    pub fn admits(&mut self) -> bool {
        let may = self.left > 0;
        self.left -= u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_a_second() {
        let mut cap = Cap::new(1000);
        let began = cap.second_began;
        assert_eq!((0..3000).filter(|_| cap.admits()).count(), 1000);
        cap.tick(began + Duration::from_millis(999));
        assert!(!cap.admits());
        cap.tick(began + Duration::from_millis(1000));
        assert!(cap.admits());
    }
}
