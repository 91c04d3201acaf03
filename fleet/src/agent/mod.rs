//! What follows a fleet's releases on a node: it hears of pointers, fetches what they want, has the node take
//! it, and goes back if that was no good.
//!
//! [`core`] decides, without I/O and without a clock; [`driver`] does it. Nothing that comes from a source is
//! believed before it is verified, and the node verifies it once more.

pub mod core;
pub mod drain;
mod driver;
pub mod fetch;
pub mod folder;
pub mod journal;
pub mod keys;
pub mod node;
pub mod report;
pub mod retry;
pub mod settings;
mod shared;
pub mod terms;
pub mod watch;

pub use driver::Agent;
pub use report::Report;
pub use settings::Settings;
