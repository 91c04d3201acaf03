//! What was purged, and when: so a purge takes no time, however much it concerns.

use std::collections::HashMap;

use crate::dns::name::suffixes;
use crate::limits::CACHE_PURGES_MAX;

/// The purges since the last time that all entries were compared with them.
#[derive(Debug, Default)]
pub(super) struct Purges {
    /// How many there were.
    generation: u64,
    by_name: HashMap<Box<[u8]>, Last>,
}

/// The last purge of a name alone, and of it with all names below it; 0 for none.
#[derive(Debug, Default)]
struct Last {
    name: u64,
    subtree: u64,
}

impl Purges {
    /// How many there were.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether it is full.
    pub(super) fn is_full(&self) -> bool {
        self.by_name.len() >= CACHE_PURGES_MAX
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Forgets them all: no entry is left that they concern.
    pub(super) fn clear(&mut self) {
        self.by_name.clear();
    }

    /// Notes one. `qname` is in lower case.
    pub(super) fn add(&mut self, qname: &[u8], subtree: bool) {
        self.generation += 1;
        let last = self.by_name.entry(qname.into()).or_default();
        *(if subtree { &mut last.subtree } else { &mut last.name }) = self.generation;
    }

    /// Whether one concerns what was kept of a name when there had been `since` of them.
    pub(super) fn concerns(&self, qname: &[u8], since: u64) -> bool {
        if since == self.generation || self.by_name.is_empty() {
            return false;
        }
        if self.by_name.get(qname).is_some_and(|last| last.name > since) {
            return true;
        }
        suffixes(qname).any(|suffix| self.by_name.get(suffix).is_some_and(|last| last.subtree > since))
    }
}

/// Whether a name is `apex`, or with `subtree` below it; both in lower case.
pub(super) fn is_within(qname: &[u8], apex: &[u8], subtree: bool) -> bool {
    // Nearly all names end here: a walk that compares many is one over memory.
    if !qname.ends_with(apex) || !subtree {
        return qname == apex;
    }
    let apex_at = qname.len() - apex.len();
    let mut label_at = 0;
    while label_at < apex_at {
        label_at += 1 + usize::from(qname[label_at]);
    }
    label_at == apex_at
}
