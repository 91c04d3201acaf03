//! Releases of a fleet, as a node reads them: what they may say, and what becomes of those that somebody has
//! changed. The agent is not there: whatever is in the folder, the node alone judges it.

#[path = "../common/mod.rs"]
mod common;

mod folder;
mod laid;
mod large;
mod lies;
mod node;
mod publisher;
mod taken_over;
