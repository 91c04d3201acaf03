//! The router: rules and routes, compiled to one decision for each phase of a query's life.
//!
//! No I/O, no clock; nothing here allocates once a [`Policy`] is made.

mod build;
mod check;
mod classes;
mod compile;
mod compiled;
mod draft;
mod engine;
mod explain;
mod expr;
pub mod facts;
mod guests;
mod language;
mod lexer;
mod lower;
mod names;
mod networks;
mod parse;
pub mod phase;
mod problems;
mod reference;
mod rule;
mod stage;
mod term;
#[cfg(test)]
mod tests;
mod tree;
pub mod upstream;
mod values;
mod world;

pub use compiled::Policy;
pub use guests::check_hook;
pub use parse::{Written, conditions};
pub use reference::reference;
pub use rule::{Action, Decision, Fallback, Hit, Route, Rule, RuleId};
pub use values::{rcode, rcode_text};
pub use world::{Guest, Phrase, Series, Source, World};
