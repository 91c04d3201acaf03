//! The samples in `guests/`: that they are what their sources make, and do what they say.
//!
//! In this program every node in this process has `guests/as112` beside it (`common/guest.rs`): whatever the one
//! is asked, the other is asked too, and must say the same. So the walks of `properties.rs` are walked here again.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/mutate.rs"]
mod mutate;
#[path = "../properties.rs"]
mod properties;

mod same;
