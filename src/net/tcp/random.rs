//! Numbers for the tests.

/// SplitMix64, for a failure to be repeated: `SEED=... cargo test`.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Self {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(112);
        println!("SEED={seed}");
        Self(seed)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((mixed ^ (mixed >> 32)) % bound as u64) as usize
    }

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
