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
    /// For shards that no longer exist.
    pub past: Base,
    /// Who asked today and yesterday.
    pub uniques: UniquesOfDays,
}

impl Bases {
    /// Nothing was counted.
    pub(super) fn none(shards: usize) -> Self {
        Self { shards: vec![Base::default(); shards], ..Self::default() }
    }

    /// In the order of [`Board::blocks`](crate::board::Board::blocks).
    pub(super) fn blocks(&self) -> impl Iterator<Item = &Base> {
        self.shards.iter().chain([&self.tcp, &self.xdp])
    }

    /// All of them.
    pub(super) fn blocks_mut(&mut self) -> impl Iterator<Item = &mut Base> {
        self.shards.iter_mut().chain([&mut self.tcp, &mut self.xdp, &mut self.past])
    }
}
