//! Applications from outside: guests of tests, in WebAssembly, in a running node.
//!
//! | file | what |
//! |---|---|
//! | `node.rs` | a node with applications, and what people ask it |
//! | `load.rs` of tests/platform | many queries at once |
//! | the others | the tests, by theme |

#[path = "../common/mod.rs"]
mod common;
#[path = "../platform/load.rs"]
#[allow(dead_code, reason = "tests/platform uses the rest")]
mod load;
mod node;

mod operator;
mod swaps;
