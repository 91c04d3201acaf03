//! Whether PoPs are up: `as112d watch`, a process of its own, finds out and tells the node. The node itself
//! probes nothing and reads no file of health; it connects nowhere, and waits for nothing that hangs here.

mod file;
mod probe;
mod report;
mod settings;
mod threads;
mod watcher;

pub use report::{Report, Seen};
pub use settings::{Probe, ProbeTo, Settings, Watched, Way};
pub use watcher::{Surroundings, watch};
