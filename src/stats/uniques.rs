//! How many different sources ask in a day: a HyperLogLog of each thread's own (Flajolet and others, 2007),
//! read with the estimator of Ertl (arXiv 1702.01284, algorithm 6), which needs no corrections by table.
//!
//! A register has one writer and is stored to only when it grows: a source that was seen before costs
//! a load. Sketches of several threads, runs or nodes merge: the hash has no key of its own.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What is told apart: IPv4 addresses, IPv6 addresses, and IPv6 networks of 64 bits, as RSSAC002 has them.
pub const KINDS: [&str; 3] = ["ipv4", "ipv6", "ipv6_64"];
const IPV4: usize = 0;
const IPV6: usize = 1;
const IPV6_64: usize = 2;

/// Bits of the hash that choose a register: the standard error is 1.04 / sqrt(2^14), 0.8 %.
const PRECISION: u32 = 14;
/// Registers of a sketch, one byte each.
pub const REGISTERS: usize = 1 << PRECISION;
/// What a register can hold at most: one more than the bits that are left.
const RANK_MAX: usize = 64 - PRECISION as usize + 1;

type Shared = [AtomicU8; REGISTERS];

/// The sketches of one thread: today's, and those of the day before. The thread writes, anybody may read.
#[derive(Debug)]
#[repr(align(128))]
pub struct Uniques {
    /// By day modulo 2, and kind.
    days: [[Shared; KINDS.len()]; 2],
    /// What day each of the two is of, in days of Unix time.
    of: [AtomicU64; 2],
    /// The day that is being counted.
    day: AtomicU64,
}

/// No day.
const NEVER: u64 = u64::MAX;

impl Uniques {
    /// Nothing seen, on the given day.
    #[must_use]
    pub fn new(day: u64) -> Self {
        let sketch = || std::array::from_fn(|_| AtomicU8::new(0));
        let sketches = || std::array::from_fn(|_| sketch());
        let uniques = Self {
            days: [sketches(), sketches()],
            of: [NEVER, NEVER].map(AtomicU64::new),
            day: NEVER.into(),
        };
        uniques.turn_to(day);
        uniques
    }

    /// Notes that `source` asked. For the owner alone.
    #[inline]
    pub fn see(&self, source: IpAddr) {
        let sketches = &self.days[(self.day.load(Ordering::Relaxed) % 2) as usize];
        match source {
            IpAddr::V4(source) => raise(&sketches[IPV4], mixed(u64::from(source.to_bits()))),
            IpAddr::V6(source) => {
                let source = source.to_bits();
                let network = mixed((source >> 64) as u64);
                raise(&sketches[IPV6_64], network);
                raise(&sketches[IPV6], mixed(network ^ source as u64));
            }
        }
    }

    /// Begins `day` if it is another. For the owner alone, between two batches.
    #[inline]
    pub fn turn_to(&self, day: u64) {
        if self.day.load(Ordering::Relaxed) != day {
            self.begin(day);
        }
    }

    #[cold]
    fn begin(&self, day: u64) {
        let (sketches, of) = (&self.days[(day % 2) as usize], &self.of[(day % 2) as usize]);
        // A clock that is set back may come to the same day again: that goes on.
        if of.load(Ordering::Relaxed) != day {
            sketches.iter().flatten().for_each(|register| register.store(0, Ordering::Relaxed));
            // Who reads the new day finds the registers emptied.
            of.store(day, Ordering::Release);
        }
        self.day.store(day, Ordering::Relaxed);
    }

    /// Whether there are sketches of `day`.
    #[must_use]
    pub fn has(&self, day: u64) -> bool {
        self.of[(day % 2) as usize].load(Ordering::Acquire) == day
    }

    /// Adds what was seen on `day`, of which there are sketches, to `sketches`.
    pub fn merge_into(&self, day: u64, sketches: &mut [Sketch; KINDS.len()]) {
        for (sketch, shared) in sketches.iter_mut().zip(&self.days[(day % 2) as usize]) {
            for (register, shared) in sketch.0.iter_mut().zip(shared) {
                *register = (*register).max(shared.load(Ordering::Relaxed));
            }
        }
    }
}

/// Raises the register that the hash chooses to the place of the first 1 in the rest of it.
#[inline]
fn raise(sketch: &Shared, hash: u64) {
    let register = &sketch[(hash >> (64 - PRECISION)) as usize];
    // The bit after the rest bounds the rank where that is all zeros.
    let rank = (((hash << PRECISION) | (1 << (PRECISION - 1))).leading_zeros() + 1) as u8;
    if rank > register.load(Ordering::Relaxed) {
        register.store(rank, Ordering::Relaxed);
    }
}

/// Every bit of the result depends on every bit of `value` (the finalizer of SplitMix64).
#[inline]
const fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// A sketch to read: those of several threads, merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch(Box<[u8]>);

impl Default for Sketch {
    fn default() -> Self {
        Self(vec![0; REGISTERS].into())
    }
}

impl Sketch {
    /// The registers, to be kept.
    #[must_use]
    pub fn registers(&self) -> &[u8] {
        &self.0
    }

    /// Adds registers that were kept. Those of another size, or with what no register can hold, are not of
    /// ours and add nothing.
    pub fn merge(&mut self, registers: &[u8]) {
        if registers.len() == REGISTERS && registers.iter().all(|&rank| usize::from(rank) <= RANK_MAX) {
            self.0.iter_mut().zip(registers).for_each(|(one, &other)| *one = (*one).max(other));
        }
    }

    /// How many different sources were seen, about.
    #[must_use]
    #[expect(clippy::cast_sign_loss, reason = "no term is negative")]
    pub fn estimate(&self) -> u64 {
        let mut counts = [0_u32; RANK_MAX + 1];
        self.0.iter().for_each(|&rank| counts[usize::from(rank)] += 1);
        let registers = REGISTERS as f64;
        let mut z = registers * tau(1.0 - f64::from(counts[RANK_MAX]) / registers);
        for &count in counts[1..RANK_MAX].iter().rev() {
            z = 0.5 * (z + f64::from(count));
        }
        z += registers * sigma(f64::from(counts[0]) / registers);
        (registers * registers / (2.0 * std::f64::consts::LN_2 * z)).round() as u64
    }
}

/// x + x^2 + 2 x^4 + 4 x^8 + ...; infinite at 1.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// (1 - x - sum of (1 - x^(2^-k))^2 2^-k) / 3.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn estimates(uniques: &Uniques, day: u64) -> [u64; KINDS.len()] {
        let mut sketches: [Sketch; KINDS.len()] = Default::default();
        uniques.merge_into(day, &mut sketches);
        sketches.map(|sketch| sketch.estimate())
    }

    #[test]
    fn a_few_sources_are_counted_exactly_and_once() {
        let uniques = Uniques::new(5);
        assert_eq!(estimates(&uniques, 5), [0, 0, 0]);
        for _ in 0..3 {
            uniques.see(Ipv4Addr::new(192, 0, 2, 1).into());
            for host in 0..20_u128 {
                uniques.see(Ipv6Addr::from_bits(0x2001_0DB8 << 96 | (host % 2) << 64 | host).into());
            }
        }
        assert_eq!(estimates(&uniques, 5), [1, 20, 2]);
    }

    /// Addresses as they come: one after the other. Five standard errors are allowed.
    #[test]
    fn many_sources_are_counted_about_right() {
        for count in [1_000_u32, 30_000, 1_000_000] {
            let uniques = Uniques::new(0);
            for source in 0..count {
                uniques.see(Ipv4Addr::from_bits(0x0A00_0000 + source).into());
                // Every fourth in one network.
                let network = u128::from(source / 4) << 64;
                uniques.see(Ipv6Addr::from_bits(0x2001_0DB8 << 96 | network | u128::from(source)).into());
            }
            for (estimate, exact) in estimates(&uniques, 0).into_iter().zip([count, count, count / 4]) {
                let error = estimate as f64 / f64::from(exact) - 1.0;
                assert!(error.abs() < 5.0 * 1.04 / (REGISTERS as f64).sqrt(), "{estimate} of {exact}");
            }
        }
    }

    #[test]
    fn a_new_day_begins_empty_beside_the_old_one() {
        let uniques = Uniques::new(10);
        let see = |last| uniques.see(Ipv4Addr::new(192, 0, 2, last).into());
        see(1);
        uniques.turn_to(10);
        see(2);
        uniques.turn_to(11);
        see(3);
        assert_eq!((estimates(&uniques, 10)[0], estimates(&uniques, 11)[0]), (2, 1));
        uniques.turn_to(12);
        assert_eq!((estimates(&uniques, 11)[0], estimates(&uniques, 12)[0]), (1, 0));
        assert!(!uniques.has(10) && !uniques.has(13));
        // The clock is set back: what was of that day still is.
        uniques.turn_to(11);
        see(4);
        assert_eq!(estimates(&uniques, 11)[0], 2);
    }

    #[test]
    fn what_was_kept_merges_and_what_is_damaged_does_not() {
        let uniques = Uniques::new(0);
        (1..=9).for_each(|last| uniques.see(Ipv4Addr::new(192, 0, 2, last).into()));
        let mut sketches: [Sketch; KINDS.len()] = Default::default();
        uniques.merge_into(0, &mut sketches);
        let mut merged = Sketch::default();
        merged.merge(sketches[IPV4].registers());
        merged.merge(sketches[IPV4].registers());
        assert_eq!((merged.estimate(), &merged), (9, &sketches[IPV4]));
        merged.merge(&[1; REGISTERS - 1]);
        merged.merge(&[200; REGISTERS]);
        assert_eq!(merged.estimate(), 9);
    }

    #[test]
    fn full_registers_still_give_a_number() {
        let mut sketch = Sketch::default();
        sketch.merge(&[RANK_MAX as u8; REGISTERS]);
        assert!(sketch.estimate() > 1 << 60);
    }
}
