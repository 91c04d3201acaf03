//! The router: rules and routes, compiled to one decision for each phase of a query's life.
//!
//! No I/O, no clock; nothing here allocates once a [`Policy`] is made.

mod compiled;
pub mod facts;
pub mod phase;
mod reference;
mod rule;
pub mod upstream;
mod world;

pub use compiled::Policy;
pub use reference::reference;
pub use rule::{Action, Decision, Fallback, Hit, Route, Rule, RuleId};
pub use world::{Series, Source, World};
