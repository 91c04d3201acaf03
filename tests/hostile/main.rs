//! Guests in a running node: those that mean no good, while others and the node's own zones go on unharmed;
//! and what a guest can do, seen from outside.
//!
//! | file | what |
//! |---|---|
//! | `node.rs` | a node with guests, and what it counts |
//! | `hostile.rs` | the guests of guests/hostile/, each with its counter and its fallback |
//! | `effects.rs` | guests that hold, ask others, retry, and are called in each phase |

#[path = "../common/mod.rs"]
mod common;
mod effects;
mod hostile;
mod node;
