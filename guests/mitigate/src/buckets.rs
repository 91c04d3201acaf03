//! Buckets of tokens by network, in a table of fixed size.

use alloc::vec::Vec;

use as112_guest::Address;

/// Places of a set.
const WAYS: usize = 4;

#[derive(Clone, Copy)]
struct Bucket {
    network: Address,
    /// Thousandths.
    tokens: u32,
    /// When they were counted, in milliseconds.
    at_ms: u32,
}

/// The table. A network has its place in one set.
pub struct Buckets {
    sets: Vec<[Bucket; WAYS]>,
    rate: u32,
    /// Thousandths.
    burst: u32,
    seed: u64,
}

impl Buckets {
    /// Room for so many networks. `rate` is of a second.
    pub fn new(networks: u32, rate: u32, burst: u32, seed: u64) -> Self {
        let sets = (networks as usize + WAYS - 1) / WAYS;
        // Nobody comes from this network, so its bucket is as good as none.
        let none = Bucket { network: Address::V6([0xFF; 16]), tokens: 0, at_ms: 0 };
        Self {
            sets: alloc::vec![[none; WAYS]; sets.next_power_of_two()],
            rate,
            burst: burst.saturating_mul(1000),
            seed,
        }
    }

    /// Takes a token of a network; false if there is none.
    pub fn take(&mut self, network: Address, now_ms: u32) -> bool {
        let set = self.hash(network) as usize & (self.sets.len() - 1);
        let (rate, burst) = (self.rate, self.burst);
        let set = &mut self.sets[set];
        let known = set.iter().position(|bucket| bucket.network == network);
        let bucket = match known {
            Some(at) => &mut set[at],
            None => {
                // The clock turns over after 49 days, so ages are differences.
                let oldest = (0..WAYS).max_by_key(|at| now_ms.wrapping_sub(set[*at].at_ms)).unwrap_or(0);
                set[oldest] = Bucket { network, tokens: burst, at_ms: now_ms };
                &mut set[oldest]
            }
        };
        // A token a second is a thousandth a millisecond.
        let more = u64::from(now_ms.wrapping_sub(bucket.at_ms)) * u64::from(rate);
        bucket.tokens = (u64::from(bucket.tokens) + more).min(u64::from(burst)) as u32;
        bucket.at_ms = now_ms;
        match bucket.tokens.checked_sub(1000) {
            Some(left) => {
                bucket.tokens = left;
                true
            }
            None => false,
        }
    }

    fn hash(&self, network: Address) -> u64 {
        let hash = network
            .octets()
            .iter()
            .fold(self.seed, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x100_0000_01B3));
        let mixed = (hash ^ hash >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^ mixed >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_never_grows_and_the_busy_keep_their_place() {
        let mut buckets = Buckets::new(64, 1, 2, 7);
        let busy = Address::V4([10, 0, 0, 0]);
        assert!(buckets.take(busy, 0) && buckets.take(busy, 0));
        // In less than the second after which there is another token.
        for ms in 1..1000_u32 {
            for other in 0..2 {
                let [_, _, a, b] = ms.to_be_bytes();
                assert!(buckets.take(Address::V4([172, other, a, b]), ms));
            }
            // It asks all the time, so it is never the oldest; and it has no token.
            assert!(!buckets.take(busy, ms), "{ms}");
        }
        assert_eq!(buckets.sets.len() * WAYS, 64);
    }

    #[test]
    fn a_turn_of_the_clock_is_a_moment_like_any_other() {
        let mut buckets = Buckets::new(4, 1000, 1, 7);
        let network = Address::V4([10, 0, 0, 0]);
        assert!(buckets.take(network, u32::MAX));
        assert!(!buckets.take(network, u32::MAX));
        assert!(buckets.take(network, 0), "a millisecond later");
    }
}
