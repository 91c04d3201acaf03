//! The sandbox: applications of others, as WebAssembly, called in phases of a query's life.
//!
//! An application is loaded and checked before anything is changed ([`App`]); each worker has an instance of
//! it. Whatever an instance does comes back as a value: a verdict about a query, and orders for what it wants
//! of the outside, which the worker carries out. Nothing here waits.

pub mod abi;
mod app;
pub mod area;
mod breaker;
pub mod call;
mod check;
mod guests;
mod host;
pub mod hostcalls;
mod instance;
mod judge;
mod load;
pub mod module;
mod reference;
mod sections;
pub mod settings;
mod slot;
pub mod verdict;

#[cfg(test)]
pub(super) mod tests;

pub use app::{App, Apps, Engine, Hook};
pub use guests::Sandbox;
pub use host::{Span, Tools};
pub use load::Check;
pub use reference::reference;
pub use slot::InstanceId;
