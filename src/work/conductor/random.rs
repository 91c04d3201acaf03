//! Numbers that nobody foretells (RFC 5452): ChaCha12, from a seed of the kernel's.

use std::io;

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};

/// A source of them.
#[derive(Debug)]
pub(super) struct Random(StdRng);

impl Random {
    /// # Errors
    ///
    /// The kernel has no seed.
    pub(super) fn new() -> io::Result<Self> {
        let seeded = StdRng::try_from_rng(&mut SysRng);
        seeded.map(Self).map_err(|error| io::Error::other(format!("no random numbers: {error}")))
    }

    /// The same numbers each time: for tests alone.
    #[cfg(test)]
    pub(super) fn from_seed(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    pub(super) fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// The ID of a query.
    pub(super) fn id(&mut self) -> u16 {
        self.0.next_u32() as u16
    }

    /// A number below `bound`, which is small: what its share is off by is below one in 2^40.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.word()) * bound as u128) >> 64) as usize
    }

    /// True in this share of all cases.
    #[expect(clippy::cast_sign_loss, reason = "a share is not negative there")]
    pub(super) fn is_in(&mut self, share: f32) -> bool {
        share > 0.0 && self.0.next_u32() < (f64::from(share) * f64::from(u32::MAX)) as u32
    }

    /// Gives each letter of a name a case of its own (0x20).
    pub(super) fn change_case(&mut self, name: &mut [u8]) {
        for eight in name.chunks_mut(64) {
            let mut bits = self.word();
            for byte in eight {
                // Lengths are below every letter.
                if byte.is_ascii_alphabetic() {
                    *byte ^= (bits as u8 & 1) << 5;
                }
                bits >>= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_change_and_nothing_else() {
        let mut random = Random::from_seed(112);
        let name = b"\x0cabcdefghijkl\x03@[`\x02z{\x00";
        let mut upper = [0; 20];
        for _ in 0..4000 {
            let mut changed = *name;
            random.change_case(&mut changed);
            assert!(changed.eq_ignore_ascii_case(name));
            for (count, byte) in upper.iter_mut().zip(changed) {
                *count += u32::from(byte.is_ascii_uppercase());
            }
        }
        for (count, byte) in upper.iter().zip(name) {
            let wanted = if byte.is_ascii_lowercase() { 1800..2200 } else { 0..1 };
            assert!(wanted.contains(count), "{count} of 4000 at {byte:#x}");
        }
    }

    /// Pearson's statistic of 256 bins has a mean of 255 and a deviation of 22.6.
    #[test]
    fn ids_are_uniform() {
        let mut random = Random::new().unwrap();
        let mut bins = [[0_u32; 256]; 2];
        for _ in 0..256 * 400 {
            let [high, low] = random.id().to_be_bytes();
            bins[0][usize::from(high)] += 1;
            bins[1][usize::from(low)] += 1;
        }
        for bins in bins {
            let chi: f64 = bins.iter().map(|&count| (f64::from(count) - 400.0).powi(2) / 400.0).sum();
            assert!((110.0..400.0).contains(&chi), "{chi}");
        }
    }

    #[test]
    fn shares_are_met() {
        let mut random = Random::from_seed(112);
        let hits = (0..100_000).filter(|_| random.is_in(0.02)).count();
        assert!((1700..2300).contains(&hits), "{hits}");
        assert!(!(0..1000).any(|_| random.is_in(0.0)));
        let mut seen = [0; 7];
        (0..7000).for_each(|_| seen[random.below(7)] += 1);
        assert!(seen.iter().all(|&count| (800..1200).contains(&count)), "{seen:?}");
    }
}
