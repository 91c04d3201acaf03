//! Equal questions: the next one waits with the first, which is being asked.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};

use super::query::Asked;

/// Where the questions are that can be joined, by hashes that nobody foretells.
#[derive(Debug, Default)]
pub(super) struct Coalesce {
    keys: RandomState,
    exchanges: HashMap<u64, u32, BuildHasherDefault<AsIs>>,
}

impl Coalesce {
    /// Room for so many.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            keys: RandomState::new(),
            exchanges: HashMap::with_capacity_and_hasher(capacity, BuildHasherDefault::default()),
        }
    }

    /// The hash of a question to an upstream. `lower` is the name in lower case.
    pub(super) fn hash(&self, target: u16, lower: &[u8], asked: &Asked) -> u64 {
        let mut hasher = self.keys.build_hasher();
        hasher.write(lower);
        let fixed = u64::from(target) << 48
            | u64::from(asked.qtype) << 32
            | u64::from(asked.qclass) << 16
            | u64::from(asked.flags | u16::from(asked.dnssec_ok));
        hasher.write_u64(fixed);
        if let Some(subnet) = asked.subnet {
            subnet.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// The question that may be an equal one: whoever asks compares.
    pub(super) fn find(&self, hash: u64) -> Option<u32> {
        self.exchanges.get(&hash).copied()
    }

    /// Lets others join a question; not if another one has its hash.
    pub(super) fn add(&mut self, hash: u64, exchange: u32) {
        self.exchanges.entry(hash).or_insert(exchange);
    }

    /// Nobody joins it from now on.
    pub(super) fn remove(&mut self, hash: u64, exchange: u32) {
        if let Entry::Occupied(entry) = self.exchanges.entry(hash)
            && *entry.get() == exchange
        {
            entry.remove();
        }
    }
}

/// Hashes numbers that are random already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        debug_assert!(false, "only numbers are hashed as they are");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    /// The table takes its place from low bits and its tag from high ones.
    fn write_u32(&mut self, number: u32) {
        self.0 = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
