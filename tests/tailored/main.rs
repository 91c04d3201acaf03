//! Answers that depend on the client, of the running daemon.

#[path = "../common/mod.rs"]
mod common;
mod never_empty;
mod reload;
mod story;
