//! Disjoint ranges of addresses, in order, each with a choice; found by the first bits of an address and a
//! binary search among the ranges that begin with them.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::RANGE_INDEX_BITS_MAX;

/// An address as a number.
pub trait Key: Copy + Ord + Debug + Send + Sync + 'static {
    /// Its bits.
    const BITS: u8;
    /// The lowest address.
    const MIN: Self;
    /// The highest.
    const MAX: Self;

    /// The first `bits` bits: of 1 to 20.
    fn high(self, bits: u8) -> usize;
    /// How many bits two addresses have in common, from the first.
    fn common(self, other: Self) -> u8;
    /// The address before this one, unless it is the lowest.
    fn before(self) -> Option<Self>;
    /// The address after this one, unless it is the highest.
    fn after(self) -> Option<Self>;
    /// The bits that addresses of a network of `len` bits do not share.
    fn beyond(len: u8) -> Self;
    /// The first address of the network of `len` bits that this one is in.
    fn first(self, len: u8) -> Self;
    /// The last one.
    fn last(self, len: u8) -> Self;
    /// As an address; the first 64 bits of one of IPv6 as the first address with them.
    fn address(self) -> IpAddr;
}

macro_rules! key {
    ($($of:ty, $address:expr);*) => {$(
        impl Key for $of {
            const BITS: u8 = <$of>::BITS as u8;
            const MIN: Self = <$of>::MIN;
            const MAX: Self = <$of>::MAX;

            #[inline]
            fn high(self, bits: u8) -> usize {
                (self >> (<$of>::BITS - u32::from(bits))) as usize
            }

            #[inline]
            fn common(self, other: Self) -> u8 {
                (self ^ other).leading_zeros() as u8
            }

            #[inline]
            fn before(self) -> Option<Self> {
                self.checked_sub(1)
            }

            #[inline]
            fn after(self) -> Option<Self> {
                self.checked_add(1)
            }

            #[inline]
            fn beyond(len: u8) -> Self {
                <$of>::MAX.checked_shr(u32::from(len)).unwrap_or(0)
            }

            #[inline]
            fn first(self, len: u8) -> Self {
                self & !Self::beyond(len)
            }

            #[inline]
            fn last(self, len: u8) -> Self {
                self | Self::beyond(len)
            }

            fn address(self) -> IpAddr {
                ($address)(self)
            }
        }
    )*};
}

key!(
    u32, |bits| IpAddr::from(Ipv4Addr::from_bits(bits));
    u64, |bits| IpAddr::from(Ipv6Addr::from_bits(u128::from(bits) << 64));
    u128, |bits| IpAddr::from(Ipv6Addr::from_bits(bits))
);

/// From this address on, up to the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<K> {
    /// The address.
    pub first: K,
    /// What addresses have from here on; 0 is nothing.
    pub choice: u16,
    /// Whose word that is.
    pub tag: u8,
}

/// A range of addresses that have the same choice; its neighbours have others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<K> {
    /// The first address.
    pub first: K,
    /// The last one.
    pub last: K,
    /// What they have.
    pub choice: u16,
    /// Whose word that is; of neighbours that became one range, the first one's.
    pub tag: u8,
}

impl<K: Key> Range<K> {
    /// The length of the largest network that has `address` and lies within the range: that holds neither of
    /// the two addresses next to it. Two such networks, of one range or of two, never overlap.
    #[inline]
    #[must_use]
    pub fn scope(&self, address: K) -> u8 {
        let beside = |neighbour: Option<K>| neighbour.map_or(0, |other| address.common(other) + 1);
        beside(self.first.before()).max(beside(self.last.after()))
    }

    /// Of the two addresses next to the range the one that has more in common with `address`: it limits how
    /// long the network around that can be. `None` if the range is everything.
    #[must_use]
    pub fn limit(&self, address: K) -> Option<K> {
        let neighbours = [self.first.before(), self.last.after()].into_iter().flatten();
        neighbours.max_by_key(|beside| address.common(*beside))
    }

    /// Gives each of the networks that it divides into to `each`: its choice and its length.
    pub fn blocks(&self, each: &mut dyn FnMut(u16, u8)) {
        let mut next = Some(self.first);
        while let Some(first) = next.filter(|first| *first <= self.last) {
            let scope = self.scope(first);
            each(self.choice, scope);
            next = first.last(scope).after();
        }
    }
}

/// Ranges that together have every address.
#[derive(Clone, Debug)]
pub struct Intervals<K> {
    /// The first address of each range, in order; that of the first is the lowest there is.
    starts: Box<[K]>,
    /// Of each its choice and its tag, as bytes: a lookup needs both, and two lists are two cache misses.
    values: Box<[[u8; 3]]>,
    /// How many bits the index tells apart.
    index_bits: u8,
    /// Of the first range that begins with these bits or after them; and how many ranges there are.
    index: Box<[u32]>,
}

impl<K: Key> Intervals<K> {
    /// The ranges that begin with these steps, which are in ascending order. Neighbours of one choice become
    /// one range; before the first step is what comes with it.
    #[must_use]
    pub fn new(steps: impl Iterator<Item = Step<K>> + Clone) -> Self {
        let changes = changes(steps);
        // Counted first: a list that grows takes more than twice the memory.
        let len = changes.clone().count().max(1);
        let mut starts = Vec::with_capacity(len);
        let mut values = Vec::with_capacity(len);
        for Step { first, choice, tag } in changes {
            starts.push(if starts.is_empty() { K::MIN } else { first });
            let [low, high] = choice.to_le_bytes();
            values.push([low, high, tag]);
        }
        if starts.is_empty() {
            starts.push(K::MIN);
            values.push([0; 3]);
        }
        // An entry for each range or two: so a search has few steps left, and small tables are small.
        let index_bits = (starts.len().ilog2() as u8).clamp(1, RANGE_INDEX_BITS_MAX);
        let index = index(&starts, index_bits);
        Self { starts: starts.into(), values: values.into(), index_bits, index }
    }

    /// The range that has `address`.
    #[inline]
    #[must_use]
    pub fn find(&self, address: K) -> Range<K> {
        let high = address.high(self.index_bits);
        let (from, to) = (self.index[high] as usize, self.index[high + 1] as usize);
        // Of those that begin with these bits the ones up to the address; without any, the range before.
        let at = (from + self.starts[from..to].partition_point(|start| *start <= address)).saturating_sub(1);
        self.range(at)
    }

    fn range(&self, at: usize) -> Range<K> {
        let last = self.starts.get(at + 1).and_then(|next| next.before()).unwrap_or(K::MAX);
        let [low, high, tag] = self.values[at];
        Range { first: self.starts[at], last, choice: u16::from_le_bytes([low, high]), tag }
    }

    /// All ranges, in order.
    pub fn ranges(&self) -> impl Iterator<Item = Range<K>> {
        (0..self.starts.len()).map(|at| self.range(at))
    }

    /// How many ranges there are: one at least.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "every address is in a range")]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn memory_len(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.values) + size_of_val(&*self.index)
    }
}

/// The steps that change anything.
pub(super) fn changes<K: Key>(
    steps: impl Iterator<Item = Step<K>> + Clone,
) -> impl Iterator<Item = Step<K>> + Clone {
    let mut last = None;
    steps.filter(move |step| last.replace(step.choice) != Some(step.choice))
}

fn index<K: Key>(starts: &[K], bits: u8) -> Box<[u32]> {
    let mut at = 0;
    let firsts = (0..1 << bits).map(|high| {
        while starts.get(at).is_some_and(|start| start.high(bits) < high) {
            at += 1;
        }
        at as u32
    });
    let mut index = Vec::with_capacity((1 << bits) + 1);
    index.extend(firsts);
    index.push(starts.len() as u32);
    index.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_one_range_and_the_scope_keeps_within_it() {
        let steps = [(0, 0), (0x0B00_0000, 1), (0x0B01_0000, 2), (0x0B02_0000, 1), (0x0C00_0000, 0)];
        let table = Intervals::new(steps.into_iter().map(|(first, choice)| Step { first, choice, tag: 7 }));
        let found = |address: u32| (table.find(address).choice, table.find(address).scope(address));
        assert_eq!(found(0x0B00_0500), (1, 16));
        assert_eq!(found(0x0B01_8000), (2, 16));
        assert_eq!(found(0x0B02_0000), (1, 15));
        assert_eq!(found(0x0D00_0000), (0, 6));
        assert_eq!(found(0xFFFF_FFFF), (0, 1));
        assert_eq!((table.len(), table.find(7).tag), (5, 7));
        assert_eq!(Intervals::<u128>::new(std::iter::empty()).find(7).scope(7), 0);
    }
}
