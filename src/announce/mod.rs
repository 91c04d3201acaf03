//! What is announced to the routers, and when. A node of AS112 shares its addresses with others, so one
//! that does not answer must be gone from the routing tables for the next one to take its place.
//!
//! [`probe`] asks as the public does, `watch` hears what the daemon says of itself, [`state`] decides, and
//! [`router`] tells. It is a process of its own: it outlives the daemon that it watches.

mod announcer;
pub mod probe;
pub mod report;
pub mod router;
pub mod service;
mod settings;
pub mod state;
mod threads;
mod watch;

pub use announcer::{Surroundings, announce, withdraw};
pub use settings::Settings;
pub use watch::{Daemon, Reports, follow};
