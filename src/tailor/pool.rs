//! A pool: which PoP of a list is given.

use super::choice::Asking;
use super::spec::{Pool, PopId, Spread};
use crate::limits::POPS_MAX;

/// A pool, compiled.
#[derive(Debug)]
pub(super) struct Variants {
    /// The map, by its place.
    pub(super) map: usize,
    /// The PoPs that it has: a bit for each.
    has: u64,
    /// The variant of each PoP.
    of: [u16; POPS_MAX],
    /// With weights, that of each PoP.
    weights: Option<Box<[u16; POPS_MAX]>>,
}

/// The PoP that is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) pop: PopId,
    pub(super) is_all_down: bool,
}

impl Variants {
    pub(super) fn new(pool: &Pool) -> Self {
        let (mut has, mut of) = (0, [0; POPS_MAX]);
        let mut by_pop = [0; POPS_MAX];
        for (variant, &pop) in pool.variants.iter().enumerate() {
            has |= 1 << pop;
            of[usize::from(pop)] = variant as u16;
            if let Spread::Weighted(weights) = &pool.spread {
                by_pop[usize::from(pop)] = weights.get(variant).copied().unwrap_or(0);
            }
        }
        let weights = (pool.spread != Spread::First).then(|| Box::new(by_pop));
        Self { map: pool.map, has, of, weights }
    }

    /// The variant of a PoP.
    #[inline]
    pub(super) fn variant(&self, pop: PopId) -> u16 {
        self.of[usize::from(pop)]
    }

    /// Of the list's PoPs that the pool has, one that is up; if none is, as if all were. `None` if it has
    /// none of them.
    #[inline]
    pub(super) fn give(&self, list: &[PopId], up: u64, asking: &Asking) -> Option<Given> {
        if let Some(pop) = self.one(list, self.has & up, asking) {
            return Some(Given { pop, is_all_down: false });
        }
        self.one(list, self.has, asking).map(|pop| Given { pop, is_all_down: true })
    }

    #[inline]
    fn one(&self, list: &[PopId], among: u64, asking: &Asking) -> Option<PopId> {
        let mut candidates = list.iter().copied().filter(|pop| among >> pop & 1 != 0);
        match &self.weights {
            None => candidates.next(),
            Some(weights) => weighed(&candidates, weights, asking),
        }
    }
}

/// One of them by weight, the first if none weighs anything. It depends on the query and its resolver and
/// not on the client's subnet: others may be told the answer.
fn weighed(
    candidates: &(impl Iterator<Item = PopId> + Clone),
    weights: &[u16; POPS_MAX],
    asking: &Asking,
) -> Option<PopId> {
    let weight = |pop: PopId| u64::from(weights[usize::from(pop)]);
    let total: u64 = candidates.clone().map(weight).sum();
    // At most 8 weights of 16 bits, so nothing is lost above.
    let mut left = ((asking.hash() >> 32) * total) >> 32;
    let chosen = candidates.clone().find(|&pop| {
        let is_it = left < weight(pop);
        left = left.saturating_sub(weight(pop));
        is_it
    });
    chosen.or_else(|| candidates.clone().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(id: u16) -> Asking {
        Asking { peer: "192.0.2.53".parse().unwrap(), id, subnet: None }
    }

    fn pool(variants: &[PopId], spread: Spread) -> Variants {
        let (name, place) = ("web".to_owned(), String::new());
        Variants::new(&Pool { name, place, map: 0, variants: variants.to_vec(), spread })
    }

    #[test]
    fn the_first_that_is_up_is_given_and_if_none_is_as_if_all_were() {
        let pool = pool(&[4, 2, 63], Spread::First);
        let given =
            |list: &[PopId], up: u64| pool.give(list, up, &asking(7)).map(|of| (of.pop, of.is_all_down));
        assert_eq!(given(&[2, 4], u64::MAX), Some((2, false)));
        assert_eq!(given(&[2, 4], !(1 << 2)), Some((4, false)));
        assert_eq!(given(&[2, 4], 0), Some((2, true)));
        assert_eq!(given(&[3, 63], 1 << 3), Some((63, true)), "one that the pool has not is passed over");
        assert_eq!(given(&[3], u64::MAX), None);
        assert_eq!([4, 2, 63].map(|pop| pool.variant(pop)), [0, 1, 2]);
    }

    #[test]
    fn answers_are_dealt_by_weight() {
        let pool = pool(&[0, 1, 2, 3], Spread::Weighted(vec![1, 2, 0, 65_535]));
        let dealt = |list: &[PopId], up: u64| {
            let mut counts = [0_u32; 4];
            for id in 0..=u16::MAX {
                let given = pool.give(list, up, &asking(id)).unwrap();
                counts[usize::from(given.pop)] += 1;
            }
            counts
        };
        let [first, second, third, _] = dealt(&[0, 1, 2], u64::MAX);
        assert!((21_000..22_700).contains(&first) && first + second == 65_536 && third == 0, "{first}");
        assert_eq!(dealt(&[0, 1, 2], 0b101), [65_536, 0, 0, 0], "what weighs nothing gets nothing");
        assert_eq!(dealt(&[0, 1, 2], 0b100), [0, 0, 65_536, 0], "unless nothing else is left");
        assert!(dealt(&[0, 3], u64::MAX)[3] > 65_500);
    }
}
