//! Bounds of the exchange with upstream servers.

/// One more than the highest number that may wait for an answer: the queries of a worker, and their copies.
pub const WAITERS_MAX: usize = 1 << 16;
