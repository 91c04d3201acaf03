//! Which PoP a client gets. By the subnet that its resolver says, else by what is known of the resolver
//! ([`Layer`] has the order); and for whom the same holds: SCOPE (RFC 7871).
//!
//! A map says for each address a *list* of PoPs. A pool has a map, and the addresses of each PoP. Of the list
//! the first that is up is given; if none is, as if all were. SCOPE follows the list, never the PoP: what is
//! up does not change for whom an answer holds.

mod choice;
pub mod facts;
mod geography;
mod lists;
mod map;
mod nearest;
mod networks;
mod pool;
pub mod spec;
mod summary;
#[cfg(test)]
mod tests;
pub mod why;

use std::sync::{Arc, OnceLock};

use crate::problem::Problem;

pub use choice::{Asking, Choice, Health, Layer, Use};
pub use lists::list;
pub use spec::PopId;
pub use summary::Summary;

use map::{Compiled, Opened};
use pool::Variants;
use spec::Spec;
use why::Why;

/// Maps and pools, compiled. Immutable but for what is up.
#[derive(Debug)]
pub struct Tailor {
    health: Arc<Health>,
    spec: Spec,
    maps: Vec<Compiled>,
    pools: Vec<Variants>,
    /// What each map is like, once somebody has asked: to count its blocks takes as long as to look at all.
    summaries: Vec<OnceLock<Summary>>,
}

impl Tailor {
    /// Reads and compiles all that the maps name; `health` is of its PoPs.
    ///
    /// # Errors
    /// Every mistake in the files, with its place and what to do.
    pub fn new(spec: &Spec, health: Arc<Health>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut opened = Opened::default();
        let compile = |map| Compiled::new(map, &spec.pops, &mut opened, &mut problems);
        let maps: Vec<Compiled> = spec.maps.iter().map(compile).collect();
        let pools = spec.pools.iter().map(Variants::new).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let summaries = vec![OnceLock::new(); maps.len()];
        Ok(Self { health, spec: spec.clone(), maps, pools, summaries })
    }

    /// What is up.
    #[must_use]
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// What it was made from.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What the PoPs are called, in their order.
    pub fn pop_names(&self) -> impl Iterator<Item = &str> {
        self.spec.pops.iter().map(|pop| pop.name.as_str())
    }

    /// What the pools are called, in their order.
    pub fn pool_names(&self) -> impl Iterator<Item = &str> {
        self.spec.pools.iter().map(|pool| pool.name.as_str())
    }

    /// Which variant of a pool a query gets.
    #[inline]
    #[must_use]
    pub fn choose(&self, pool: u16, asking: &Asking) -> Choice {
        let pool = &self.pools[usize::from(pool)];
        let map = &self.maps[pool.map];
        let by_subnet = map.by_subnet(asking.subnet.as_ref());
        let (list, layer) = by_subnet.decided.unwrap_or_else(|| map.by_resolver(asking.peer));
        let up = self.health.up();
        let mut given = pool.give(list, up, asking).map(|given| (given, layer));
        // Nothing is learned of what comes next: that is what was known before.
        if layer == Layer::Learned && given.is_none_or(|(given, _)| given.is_all_down) {
            let (list, layer) = map.without_learned(asking.peer);
            let other = pool.give(list, up, asking).filter(|given| !given.is_all_down);
            given = other.map(|other| (other, layer)).or(given);
        }
        let (given, layer) = given
            .unwrap_or_else(|| (pool.give(map.default(), up, asking).unwrap_or_default(), Layer::Default));
        Choice {
            variant: pool.variant(given.pop),
            pop: given.pop,
            scope: by_subnet.scope,
            layer,
            subnet: by_subnet.subnet,
            is_all_down: given.is_all_down,
        }
    }

    /// What a map is like, for whoever wrote it: the maps in their order.
    pub fn summaries(&self) -> impl Iterator<Item = &Summary> {
        let known = self.summaries.iter().zip(&self.maps);
        known.map(|(summary, map)| summary.get_or_init(|| Summary::new(map)))
    }

    /// Why a query gets what it gets. The files and databases are read again for it.
    ///
    /// # Errors
    /// Those that can no longer be read.
    pub fn why(&self, pool: u16, asking: &Asking) -> Result<Why, Vec<Problem>> {
        let compiled = &self.maps[self.pools[usize::from(pool)].map];
        let map = &self.spec.maps[self.pools[usize::from(pool)].map];
        why::why(&self.spec.pops, map, compiled, self.choose(pool, asking), asking)
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn memory_len(&self) -> usize {
        self.maps.iter().map(Compiled::memory_len).sum()
    }
}
