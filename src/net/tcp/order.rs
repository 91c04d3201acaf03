//! Which connection makes room for another.
//!
//! First those that only linger, then those that rest, last those whose answers were not taken, or made; in
//! each class the one that has been there longest. A connection moves to the end of a class when it enters it
//! or is used in it, and time only advances: so each list is in order by itself, and the first to go is the
//! first of the first list that is not empty.

use std::time::Instant;

use super::lists::{Links, List};
use crate::limits::TCP_IDLE_TIMEOUT_MIN;

/// What a connection does, in the order in which they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// It is finished, and waits for the client's end.
    Lingers,
    /// It waits for a query.
    Rests,
    /// The client has not taken all its answers, or some are still made.
    Unsent,
}

/// The place of a connection: the least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) class: Class,
    /// Since when it lingers; when it was accepted, or its last query or the taking of its last answer; or
    /// when the last query came whose answer waits. The beginning of a message does not count.
    pub(super) since: Instant,
}

impl Rank {
    /// Whether the client uses the connection. Then so it does all those that would go later.
    pub(super) fn is_in_use(&self, now: Instant) -> bool {
        match self.class {
            Class::Lingers => false,
            Class::Rests => now.saturating_duration_since(self.since) < TCP_IDLE_TIMEOUT_MIN,
            Class::Unsent => true,
        }
    }
}

/// Some connections in their order.
#[derive(Debug, Default)]
pub(super) struct Order([List; 3]);

impl Order {
    /// Who goes first.
    pub(super) fn first(&self) -> Option<usize> {
        self.0.iter().find_map(List::first)
    }

    /// Adds one with a rank that no other had before.
    pub(super) fn add(&mut self, links: &mut Links, key: usize, rank: Rank) {
        links.push(&mut self.0[rank.class as usize], key);
    }

    /// Removes one that was added with this rank.
    pub(super) fn remove(&mut self, links: &mut Links, key: usize, rank: Rank) {
        links.remove(&mut self.0[rank.class as usize], key);
    }
}
