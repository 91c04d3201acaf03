//! The heaviest of many things, in little room (the algorithm Space-Saving).

use crate::limits::{DECAY, HEAVIEST_MAX};

/// The weight of one: what is left of it after a day has to be a number too.
pub const ONE: u32 = 1024;

/// The heaviest things of a stream, with their weights. With more than [`HEAVIEST_MAX`] of them weights are
/// told too high, by the least of the others at most; the sum is exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heavy<T>(Vec<(T, u32)>);

impl<T> Default for Heavy<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy + Ord> Heavy<T> {
    /// Adds to the weight of one.
    pub fn add(&mut self, thing: T, weight: u32) {
        match self.0.binary_search_by_key(&thing, |entry| entry.0) {
            Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(weight),
            Err(at) if self.0.len() < HEAVIEST_MAX => self.0.insert(at, (thing, weight)),
            Err(_) => {
                // It takes the place of the lightest, and its weight.
                let lightest = self.0.iter().enumerate().min_by_key(|(_, entry)| (entry.1, entry.0));
                let Some((at, &(_, least))) = lightest else { return };
                self.0.remove(at);
                let at = self.0.partition_point(|entry| entry.0 < thing);
                self.0.insert(at, (thing, least.saturating_add(weight)));
            }
        }
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Self) {
        for &(thing, weight) in &other.0 {
            self.add(thing, weight);
        }
    }

    /// A day goes by.
    pub fn decay(&mut self) {
        for entry in &mut self.0 {
            entry.1 = decayed(entry.1, 1);
        }
        self.0.retain(|entry| entry.1 > 0);
    }

    /// The weight of all.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|entry| u64::from(entry.1)).sum()
    }

    /// The weight of the heaviest.
    #[must_use]
    pub fn most(&self) -> u64 {
        self.0.iter().map(|entry| u64::from(entry.1)).max().unwrap_or(0)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (T, u32)> {
        self.0.iter().copied()
    }
}

/// What is left of a weight after so many days.
#[must_use]
pub fn decayed(weight: u32, days: u32) -> u32 {
    let mut left = u64::from(weight);
    for _ in 0..days {
        if left == 0 {
            break;
        }
        left = left * DECAY / 1024;
    }
    left as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_exact_and_many_are_bounded() {
        let mut heavy = Heavy::default();
        for thing in 0..10_u16 {
            heavy.add(thing, ONE * u32::from(thing + 1));
        }
        assert_eq!((heavy.sum(), heavy.most(), heavy.len()), (u64::from(55 * ONE), u64::from(10 * ONE), 10));
        for thing in 100..1000 {
            heavy.add(thing, 1);
        }
        assert_eq!((heavy.sum(), heavy.len()), (u64::from(55 * ONE + 900), HEAVIEST_MAX));
        assert!(heavy.iter().any(|entry| entry == (9, 10 * ONE)), "the heaviest stays as it was");
    }

    #[test]
    fn half_is_left_after_three_days() {
        assert!((510..=513).contains(&decayed(ONE, 3)));
        assert_eq!((decayed(ONE, 0), decayed(ONE, 1), decayed(u32::MAX, 500)), (ONE, 813, 0));
        let mut heavy = Heavy::default();
        heavy.add(1, 1);
        heavy.decay();
        assert!(heavy.is_empty());
    }
}
