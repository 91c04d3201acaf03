//! Networks that lie within each other, of which the longest counts, as steps; and layers of steps, of which
//! the upper one counts wherever it says something.

use std::iter;

use super::intervals::{Key, Step};

/// What the addresses of a network have, but for those of a longer one. Packed: there may be millions.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(2))]
pub struct Rule<K: Copy> {
    /// The first address.
    pub first: K,
    /// What they have: not 0.
    pub choice: u16,
    /// The length of the prefix.
    pub len: u8,
}

/// The steps of rules that are in ascending order: by address, the shorter first, none twice.
pub fn steps<K: Key>(rules: &[Rule<K>], tag: u8) -> impl Iterator<Item = Step<K>> + Clone {
    let mut rules = rules.iter().peekable();
    // The networks that the address is in, the longest last: of each the address after it, and its choice.
    let mut open: Vec<(Option<K>, u16)> = Vec::new();
    let mut next = Some(K::MIN);
    iter::from_fn(move || {
        let first = next?;
        open.retain(|(end, _)| *end != Some(first));
        while let Some(rule) = rules.next_if(|rule| { rule.first } == first) {
            open.push((first.last(rule.len).after(), rule.choice));
        }
        let begins = rules.peek().map(|rule| rule.first);
        let ends = open.last().and_then(|(end, _)| *end);
        next = begins.into_iter().chain(ends).min();
        Some(Step { first, choice: open.last().map_or(0, |(_, choice)| *choice), tag })
    })
}

/// The steps of two layers as one: the lower one's where the upper one has nothing.
pub fn overlay<K: Key>(
    upper: impl Iterator<Item = Step<K>> + Clone,
    lower: impl Iterator<Item = Step<K>> + Clone,
) -> impl Iterator<Item = Step<K>> + Clone {
    let (mut upper, mut lower) = (upper.peekable(), lower.peekable());
    let nothing = Step { first: K::MIN, choice: 0, tag: 0 };
    let (mut above, mut below) = (nothing, nothing);
    iter::from_fn(move || {
        let firsts = upper.peek().into_iter().chain(lower.peek());
        let first = firsts.map(|step| step.first).min()?;
        above = upper.next_if(|step| step.first == first).unwrap_or(above);
        below = lower.next_if(|step| step.first == first).unwrap_or(below);
        Some(Step { first, ..if above.choice == 0 { below } else { above } })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(first: u32, len: u8, choice: u16) -> Rule<u32> {
        Rule { first, choice, len }
    }

    fn told(steps: impl Iterator<Item = Step<u32>>) -> Vec<(u32, u16, u8)> {
        steps.map(|step| (step.first, step.choice, step.tag)).collect()
    }

    #[test]
    fn the_longest_network_counts() {
        let rules = [
            rule(0x0B00_0000, 8, 1),
            rule(0x0B01_0000, 16, 2),
            rule(0x0B01_0000, 24, 3),
            rule(0x0B01_FF00, 24, 4),
            rule(0xFF00_0000, 8, 5),
        ];
        let expected = [
            (0, 0, 9),
            (0x0B00_0000, 1, 9),
            (0x0B01_0000, 3, 9),
            (0x0B01_0100, 2, 9),
            (0x0B01_FF00, 4, 9),
            (0x0B02_0000, 1, 9),
            (0x0C00_0000, 0, 9),
            (0xFF00_0000, 5, 9),
        ];
        assert_eq!(told(steps(&rules, 9)), expected);
        assert_eq!(told(steps(&[rule(0, 0, 1), rule(0, 32, 2)], 0)), [(0, 2, 0), (1, 1, 0)]);
        assert_eq!(told(steps(&[], 0)), [(0, 0, 0)]);
    }

    #[test]
    fn the_lower_layer_shows_where_the_upper_one_has_nothing() {
        let (upper, lower) = ([rule(0x0B01_0000, 16, 1)], [rule(0x0B00_0000, 8, 2), rule(0x0C00_0000, 8, 1)]);
        let both = overlay(steps(&upper, 5), steps(&lower, 6));
        let expected = [
            (0, 0, 6),
            (0x0B00_0000, 2, 6),
            (0x0B01_0000, 1, 5),
            (0x0B02_0000, 2, 6),
            (0x0C00_0000, 1, 6),
            (0x0D00_0000, 0, 6),
        ];
        assert_eq!(told(both), expected);
        assert_eq!(told(overlay(steps(&upper, 5), iter::empty()))[0], (0, 0, 0));
    }
}
