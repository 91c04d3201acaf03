//! Numbers for the tests.

pub(super) use crate::serve::tests::Random;

impl Random {
    /// Mostly short, sometimes long, rarely near 65,536.
    pub(super) fn len(&mut self, max: usize) -> usize {
        let magnitude_max = if self.below(16) == 0 { 17 } else { 10 };
        let magnitude = 1 << self.below(magnitude_max);
        self.below(magnitude).min(max)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let words = (0..len.div_ceil(4)).flat_map(|_| (self.below(1 << 32) as u32).to_le_bytes());
        words.take(len).collect()
    }
}
