//! The samples in `guests/`: that they are what their sources make, and do what they say.
//!
//! In this program each node in this process has `guests/as112` beside it (`common/guest.rs`): whatever the
//! one is asked, the other is asked too, and must say the same. A daemon of the golden cases has it in its
//! place. So all cases of `golden.rs` and all walks of `properties.rs` are made here again.

#![allow(
    clippy::duplicate_mod,
    reason = "two programs of tests are part of this one, each with what is common"
)]

mod abi;
mod author;
mod build;
#[path = "../common/mod.rs"]
mod common;
#[path = "../golden.rs"]
mod golden;
#[path = "../common/mutate.rs"]
mod mutate;
#[path = "../properties.rs"]
mod properties;
mod same;
mod samples;
