//! What a run of the program counts on from.

use super::uniques::UniquesOfDays;
use crate::board::Base;

/// The file in the configured directory.
pub const FILE: &str = "history.sqlite";

/// What earlier runs counted.
#[derive(Debug, Default)]
pub struct Bases {
    /// For each shard.
    pub shards: Vec<Base>,
    /// For the thread of TCP.
    pub tcp: Base,
    /// For what was answered in the driver.
    pub xdp: Base,
    /// For the workers.
    pub workers: Base,
    /// For shards that no longer exist.
    pub past: Base,
    /// Who asked today and yesterday.
    pub uniques: UniquesOfDays,
}

impl Bases {
    /// How many blocks a node with this number of shards has.
    pub(super) const fn blocks_of(shards: usize) -> usize {
        shards + 3
    }

    /// Nothing was counted.
    pub(super) fn none(shards: usize) -> Self {
        Self { shards: vec![Base::default(); shards], ..Self::default() }
    }

    /// In the order of [`Board::blocks`](crate::board::Board::blocks).
    pub(super) fn blocks(&self) -> impl Iterator<Item = &Base> {
        self.shards.iter().chain([&self.tcp, &self.xdp, &self.workers])
    }

    /// All of them.
    pub(super) fn blocks_mut(&mut self) -> impl Iterator<Item = &mut Base> {
        self.shards.iter_mut().chain([&mut self.tcp, &mut self.xdp, &mut self.workers, &mut self.past])
    }
}
