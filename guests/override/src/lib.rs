//! Rules as an application: the router of as112d, compiled from the sources of the node. It reads files of
//! rules, asks to be called in the phases that they name, and says of each query what they decide.

#![no_std]

extern crate alloc;

mod abi;
mod app;
mod json;
mod setup;

/// What is compiled from the sources of the node. Nothing of it is a copy.
#[path = "../../../src"]
#[allow(dead_code, unused_imports, reason = "the node uses more of it")]
mod node {
    pub mod dns;
    pub mod limits {
        mod limiting;
        mod policy;
        mod wire;

        pub use limiting::*;
        pub use policy::*;
        pub use wire::*;
    }
    pub mod policy;
    pub mod problem;
    pub mod stats {
        /// Nothing is counted by label here.
        pub mod labels {
            pub const RULE_NONE: &str = "none";
        }
        pub mod app_labels {
            pub const APP_NONE: &str = "none";
        }
    }
}

pub(crate) use node::{dns, limits, policy, problem, stats};
