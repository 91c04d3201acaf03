//! A running node is upgraded: a new process takes its place, and nobody who asks notices.

#[path = "../common/mod.rs"]
mod common;

mod failures;
mod load;
mod manager;
mod node;
mod story;
