//! The sandbox: applications of others, as WebAssembly, called in phases of a query's life.
//!
//! An application is loaded and checked before anything is changed ([`App`]); each worker has an instance of
//! it. Whatever an instance does comes back as a value: a verdict about a query, and orders for what it wants
//! of the outside, which the worker carries out. Nothing here waits.

pub mod abi;
pub mod call;
pub mod settings;
