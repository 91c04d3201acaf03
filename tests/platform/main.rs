//! The platform from outside: a node that forwards, caches and follows rules, between real servers or one
//! that does what a script says, and clients.
//!
//! | file | what |
//! |---|---|
//! | `upstream.rs` | a server that does what a script says |
//! | `node.rs`, `load.rs` | the node, and clients |
//! | `servers.rs` | Unbound, BIND, NSD, Knot, dnsdist |
//! | the others | the tests, by theme |

#[path = "../common/mod.rs"]
mod common;
mod load;
#[path = "../common/mutate.rs"]
#[allow(dead_code, reason = "only its dice are used")]
mod mutate;
mod node;
mod servers;
mod upstream;

mod article;
mod basics;
mod confined;
mod faults;
mod forgery;
mod forwarding;
mod live;
mod one_question;
mod phases;
mod rulebook;
mod rules;
mod streams;
mod why;
