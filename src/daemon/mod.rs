//! The control plane: configuration, start and stop. It may block and fail; a shard never calls it.

pub mod config;
pub mod listen;
mod spec;
pub mod written;
