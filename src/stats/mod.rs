//! Numbers that shards count and others read.

pub mod counters;
