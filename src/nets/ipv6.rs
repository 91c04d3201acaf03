//! Addresses of IPv6. Nearly all that is written of them ends with the first 64 bits, so those have a table:
//! it takes half of the memory, and of the cache. Where a network of 64 bits holds more than one choice,
//! another table has its whole addresses.
//!
//! SCOPE is the same as with one table. A network that has an address outside has such a 64-bit network as a
//! whole or not at all, and may not have it, since it is not all the same. And around an address inside, that
//! it is not all the same shows within the 64-bit network itself.

use std::iter;
use std::mem;

use super::intervals::{Intervals, Key, Step, changes};

/// The choice of a 64-bit network that holds more than one.
const MANY: u16 = u16::MAX;

/// Ranges of IPv6 addresses that together have every address.
#[derive(Clone, Debug)]
pub struct Ipv6 {
    /// By the first 64 bits.
    halves: Intervals<u64>,
    /// Those within networks of [`MANY`]; in between it says nothing.
    whole: Intervals<u128>,
    len: usize,
}

impl Ipv6 {
    /// As [`Intervals::new`]; a choice is less than 65,535.
    #[must_use]
    pub fn new(steps: impl Iterator<Item = Step<u128>> + Clone) -> Self {
        let changes = changes(steps);
        let len = changes.clone().count().max(1);
        Self { halves: Intervals::new(halves(changes.clone())), whole: Intervals::new(within(changes)), len }
    }

    /// What an address has: choice, tag and SCOPE.
    #[inline]
    #[must_use]
    pub fn find(&self, address: u128) -> (u16, u8, u8) {
        let range = self.halves.find(half(address));
        if range.choice != MANY {
            return (range.choice, range.tag, range.scope(half(address)));
        }
        let range = self.whole.find(address);
        (range.choice, range.tag, range.scope(address))
    }

    /// The nearest address that has another choice, in the sense of [`Range::limit`](super::Range::limit).
    #[must_use]
    pub fn limit(&self, address: u128) -> Option<u128> {
        let range = self.halves.find(half(address));
        if range.choice == MANY {
            return self.whole.find(address).limit(address);
        }
        let limit = range.limit(half(address))?;
        let (first, is_after) = (u128::from(limit) << 64, limit > half(address));
        let nearest = if is_after { first } else { first.last(64) };
        // A network that holds many may begin or end as this range does; farther in is something else.
        let found = self.whole.find(nearest);
        let is_same = self.halves.find(limit).choice == MANY && found.choice == range.choice;
        if !is_same {
            return Some(nearest);
        }
        if is_after { found.last.after() } else { found.first.before() }
    }

    /// Gives each block to `each`, in order: its choice and its length.
    pub fn blocks(&self, mut each: impl FnMut(u16, u8)) {
        for range in self.halves.ranges() {
            if range.choice != MANY {
                range.blocks(&mut each);
                continue;
            }
            let last = u128::from(range.last) << 64 | u128::from(u64::MAX);
            let mut next = Some(u128::from(range.first) << 64);
            while let Some(first) = next.filter(|first| *first <= last) {
                let found = self.whole.find(first);
                let scope = found.scope(first);
                each(found.choice, scope);
                next = first.last(scope).after();
            }
        }
    }

    /// How many ranges there are: one at least.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "every address is in a range")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn memory_len(&self) -> usize {
        self.halves.memory_len() + self.whole.memory_len()
    }
}

const fn half(address: u128) -> u64 {
    (address >> 64) as u64
}

/// Steps by the first 64 bits.
fn halves(steps: impl Iterator<Item = Step<u128>> + Clone) -> impl Iterator<Item = Step<u64>> + Clone {
    let mut steps = steps.peekable();
    // What comes after a network that holds many.
    let mut after: Option<Step<u64>> = None;
    iter::from_fn(move || {
        let next = steps.peek().map(|next| half(next.first));
        if let Some(after) = after.take().filter(|after| next != Some(after.first)) {
            return Some(after);
        }
        let step = steps.next()?;
        let (first, mut last, mut holds_many) = (half(step.first), step, step.first as u64 != 0);
        while let Some(next) = steps.next_if(|next| half(next.first) == first) {
            (last, holds_many) = (next, true);
        }
        let Step { choice, tag, .. } = last;
        if !holds_many {
            return Some(Step { first, choice, tag });
        }
        after = first.after().map(|first| Step { first, choice, tag });
        Some(Step { first, choice: MANY, tag: 0 })
    })
}

/// Steps within the 64-bit networks that hold many.
fn within(steps: impl Iterator<Item = Step<u128>> + Clone) -> impl Iterator<Item = Step<u128>> + Clone {
    let mut steps = steps.peekable();
    let mut before = Step { first: 0, choice: 0, tag: 0 };
    let mut held = None;
    iter::from_fn(move || {
        if let Some(step) = held.take() {
            return Some(step);
        }
        loop {
            let step = steps.next()?;
            let before = mem::replace(&mut before, step);
            let goes_on = steps.peek().is_some_and(|next| half(next.first) == half(step.first));
            if step.first as u64 != 0 && half(before.first) != half(step.first) {
                held = Some(step);
                return Some(Step { first: step.first.first(64), ..before });
            }
            if step.first as u64 != 0 || goes_on {
                return Some(step);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(first: u128, choice: u16) -> Step<u128> {
        Step { first, choice, tag: 7 }
    }

    /// Both ways agree, whatever the boundaries are.
    #[test]
    fn two_tables_are_as_one() {
        let at = |half: u128, low: u128| half << 64 | low;
        let maps: [&[Step<u128>]; 6] = [
            &[step(0, 0)],
            &[step(0, 0), step(at(5, 0), 1), step(at(6, 0), 0)],
            &[step(0, 1), step(at(0, 1 << 32), 0), step(at(7, 9), 2), step(at(7, 10), 0)],
            &[step(0, 0), step(at(7, 9), 2), step(at(8, 0), 1), step(at(8, 1), 0), step(at(9, 5), 3)],
            &[step(0, 0), step(at(7, 0), 2), step(at(7, 1), 1), step(at(9, 1 << 63), 2)],
            &[step(0, 3), step(at(u64::MAX.into(), 1), 2), step(at(u64::MAX.into(), 2), 2)],
        ];
        for map in maps {
            let (one, both) = (Intervals::new(map.iter().copied()), Ipv6::new(map.iter().copied()));
            let edges = map.iter().map(|step| step.first).chain([at(6, 1), at(1 << 40, 0), u128::MAX]);
            for edge in edges {
                for address in
                    [edge.wrapping_sub(1), edge, edge.wrapping_add(1), edge.last(64), edge.first(64)]
                {
                    let expected = one.find(address);
                    let told = (expected.choice, expected.tag, expected.scope(address));
                    assert_eq!(both.find(address), told, "{address:x} {map:x?}");
                    assert_eq!(both.limit(address), expected.limit(address), "{address:x} {map:x?}");
                }
            }
            let (mut blocks, mut of_both) = (Vec::new(), Vec::new());
            one.ranges().for_each(|range| range.blocks(&mut |choice, len| blocks.push((choice, len))));
            both.blocks(|choice, len| of_both.push((choice, len)));
            assert_eq!(of_both, blocks);
        }
    }
}
