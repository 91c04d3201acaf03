//! Counters: one block for each thread that counts, written by that thread alone, and read by anybody. What
//! they are is in [`families`](super::families).
//!
//! A thread counts with plain loads and stores: it is the only writer, so no addition needs to be atomic.
//! Nobody resets; whoever wants a rate keeps what he read before. Usual queries are counted by
//! [`kind`](super::kinds), and spread over the families when they are read.
//!
//! The families of the platform stand apart, at the end of the block: they are many times as many counters as
//! the others, and most nodes have no rule. They take no memory until one counts, and a type of their own
//! ([`OfPlatform`]) tells them from the others without a test for each count.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use super::families::*;
use super::kinds::{KINDS, Kind};
use crate::sys::Zeroed;

impl Family {
    /// The counters of this family in a block that was read.
    #[must_use]
    pub fn of<'t>(&self, totals: &'t Totals) -> &'t [u64] {
        totals.0.get(self.start..self.start + self.len()).unwrap_or(&NOTHING[..self.len()])
    }
}

/// Where a counter stands.
pub trait Place: Copy {
    /// Its place in a block.
    fn index(self) -> usize;

    /// Adds to it. For the owner of the counters alone.
    fn add_to(self, counters: &Counters, count: u32);
}

impl Place for usize {
    #[inline(always)]
    fn index(self) -> usize {
        self
    }

    #[inline(always)]
    fn add_to(self, counters: &Counters, count: u32) {
        raise(&counters.of_all[self], count);
    }
}

impl Place for PlatformPlace {
    fn index(self) -> usize {
        COUNTERS_OF_ALL + self.0
    }

    #[inline]
    fn add_to(self, counters: &Counters, count: u32) {
        if count > 0 {
            counters.has_platform.store(true, Ordering::Relaxed);
            raise(&counters.of_platform[self.0], count);
        }
    }
}

#[inline(always)]
fn raise(counter: &AtomicU64, count: u32) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(count.into()), Ordering::Relaxed);
}

/// The counters of a family of which nothing was counted.
static NOTHING: [u64; FAMILY_LEN_MAX] = [0; FAMILY_LEN_MAX];
/// The counters of one thread. Two cache lines apart from anybody else's: processors fetch lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub struct Counters {
    of_all: [AtomicU64; COUNTERS_OF_ALL],
    /// Usual queries, by the index of their kind.
    kinds: [AtomicU64; KINDS],
    of_platform: Zeroed<AtomicU64>,
    /// Any of the platform has counted.
    has_platform: AtomicBool,
}

/// Counters as they stood when they were read, or sums of them. Those of the platform are there once one of
/// them is not 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals(Vec<u64>);

impl Default for Counters {
    fn default() -> Self {
        Self {
            of_all: std::array::from_fn(|_| AtomicU64::new(0)),
            kinds: std::array::from_fn(|_| AtomicU64::new(0)),
            of_platform: Zeroed::new(COUNTERS_OF_PLATFORM),
            has_platform: AtomicBool::new(false),
        }
    }
}

impl Counters {
    /// Bytes of one, with all that it may take.
    pub(super) fn memory_len() -> usize {
        size_of::<Self>() + Zeroed::<AtomicU64>::memory_len(COUNTERS_OF_PLATFORM)
    }

    /// Counts one. For the owner alone: there is no lock and no atomic addition.
    #[inline]
    pub fn count(&self, at: impl Place) {
        self.add(at, 1);
    }

    /// Counts several. For the owner alone.
    #[inline]
    pub fn add(&self, at: impl Place, count: u32) {
        at.add_to(self, count);
    }

    /// Counts a usual query of this kind. For the owner alone.
    #[inline(always)]
    pub(super) fn count_kind(&self, kind: Kind) {
        raise(&self.kinds[kind.index()], 1);
    }

    /// Takes over what was counted elsewhere, in all. Only the owner may call this, and it
    /// counts nothing itself.
    pub fn take_over(&self, totals: &Totals) {
        let (of_all, of_platform) = totals.0.split_at(COUNTERS_OF_ALL);
        for (counter, total) in self.of_all.iter().zip(of_all) {
            counter.store(*total, Ordering::Relaxed);
        }
        if !of_platform.is_empty() {
            self.has_platform.store(true, Ordering::Relaxed);
        }
        for (counter, total) in self.of_platform.iter().zip(of_platform) {
            counter.store(*total, Ordering::Relaxed);
        }
    }

    /// Adds the counters, as they stand, to `totals`.
    pub fn read(&self, totals: &mut Totals) {
        if self.has_platform.load(Ordering::Relaxed) {
            totals.0.resize(COUNTERS, 0);
        }
        for (total, counter) in totals.0.iter_mut().zip(self.of_all.iter().chain(&*self.of_platform)) {
            *total += counter.load(Ordering::Relaxed);
        }
        for (index, counter) in self.kinds.iter().enumerate() {
            let queries = counter.load(Ordering::Relaxed);
            if queries > 0 {
                totals.add_kind(Kind::of(index), queries);
            }
        }
    }
}

impl Default for Totals {
    fn default() -> Self {
        Self(vec![0; COUNTERS_OF_ALL])
    }
}

impl AddAssign<&Self> for Totals {
    fn add_assign(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(total, count)| *total += count);
    }
}

impl Totals {
    /// Every counter, by where it stands in a block, to the last that can be other than 0.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.0
    }

    /// The counter that stands there.
    #[must_use]
    pub fn get(&self, at: impl Place) -> u64 {
        self.0.get(at.index()).copied().unwrap_or(0)
    }

    /// Adds to the counter that stands at `at`.
    pub fn add(&mut self, at: impl Place, count: u64) {
        if count > 0 && at.index() >= COUNTERS_OF_ALL {
            self.0.resize(COUNTERS, 0);
        }
        if let Some(total) = self.0.get_mut(at.index()) {
            *total += count;
        }
    }

    /// Adds usual queries of a kind to the families that count them.
    pub fn add_kind(&mut self, kind: Kind, queries: u64) {
        kind.places().for_each(|place| self.add(place, queries));
    }

    /// What is in these and was not in `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let before = before.0.iter().chain(std::iter::repeat(&0));
        Self(self.0.iter().zip(before).map(|(now, before)| now.saturating_sub(*before)).collect())
    }

    /// The sum of a family.
    #[must_use]
    pub fn sum(&self, family: &Family) -> u64 {
        family.of(self).iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_read_where_it_stands() {
        let counters = Counters::default();
        let last = COUNTERS_OF_ALL - 1;
        counters.count(0);
        counters.add(last, 5);
        counters.add(1, 0);
        counters.count(last);
        let mut totals = Totals::default();
        counters.read(&mut totals);
        counters.read(&mut totals);
        let counted: Vec<_> = totals.0.iter().enumerate().filter(|(_, count)| **count > 0).collect();
        assert_eq!(counted, [(0, &2), (last, &12)]);
    }

    #[test]
    fn what_the_platform_counts_is_read_where_it_stands() {
        let places = [RULE_HITS.at([0]), RULE_HITS.at([70]), UPSTREAM_RTT.at([64, 15]), WORKER_LOST.at([])];
        let (counters, mut totals) = (Counters::default(), Totals::default());
        counters.add(RULE_WOULD.at([9]), 0);
        counters.read(&mut totals);
        assert_eq!(totals.counts().len(), COUNTERS_OF_ALL, "nobody pays for what nobody counts");
        assert_eq!((totals.sum(RULE_HITS), totals.get(places[1])), (0, 0));
        for round in 1..=2 {
            places.iter().zip(1..).for_each(|(&place, count)| counters.add(place, count));
            counters.count(QUERIES.at([0, 0, 0]));
            let mut totals = Totals::default();
            counters.read(&mut totals);
            let expected: Vec<u64> = (1..5).map(|count| count * round).collect();
            assert_eq!(places.map(|place| totals.get(place)).to_vec(), expected);
            assert_eq!(totals.sum(QUERIES), round);
            assert_eq!(totals.counts().iter().sum::<u64>(), 11 * round);
            assert_eq!(RULE_HITS.of(&totals)[70], 2 * round);
        }
    }

    #[test]
    fn totals_with_and_without_the_platform_add_up() {
        let [mut with, mut without] = [Totals::default(), Totals::default()];
        with.add(CACHE_STORED.at([]), 3);
        without.add(QUERIES.at([0, 0, 0]), 1);
        without.add(CACHE_STORED.at([]), 0);
        let mut sum = without.clone();
        sum += &with;
        assert_eq!((sum.sum(CACHE_STORED), sum.sum(QUERIES)), (3, 1));
        assert_eq!((sum.since(&without).sum(CACHE_STORED), without.since(&sum).sum(QUERIES)), (3, 0));
        sum += &without;
        assert_eq!((sum.sum(CACHE_STORED), sum.sum(QUERIES)), (3, 2));
        let counters = Counters::default();
        counters.take_over(&sum);
        let mut read = Totals::default();
        counters.read(&mut read);
        assert_eq!(read, sum);
    }

    #[test]
    fn two_threads_share_no_pair_of_cache_lines() {
        assert_eq!((align_of::<Counters>(), size_of::<Counters>() % 128), (128, 0));
        // As they are made for shards: one after the other, with other things in between.
        let made: Vec<_> = (0..64).map(|n| (std::sync::Arc::<Counters>::default(), vec![0_u8; n])).collect();
        let pairs = |start: usize, len: usize| start / 128..=(start + len - 1) / 128;
        let mut seen = std::collections::HashMap::new();
        for (owner, (counters, _)) in made.iter().enumerate() {
            let blocks = [
                (&raw const **counters as usize, size_of::<Counters>()),
                (&raw const counters.of_platform[0] as usize, size_of_val(&*counters.of_platform)),
            ];
            for pair in blocks.into_iter().flat_map(|(start, len)| pairs(start, len)) {
                assert_eq!(seen.insert(pair, owner), None, "two blocks share a pair of lines");
            }
        }
    }
}
