//! Guest applications of [as112d](https://github.com/as112d/as112d), in Rust.
//!
//! An application is a module in WebAssembly that the node calls about queries. It says what becomes of each,
//! and reaches the outside by its host alone. This crate makes writing one as plain as writing a function: a
//! type that is an [`App`], and [`export!`].
//!
//! ```
//! #![cfg_attr(target_arch = "wasm32", no_std)]
//! use as112_guest::{ede, rcode, App, NameBuf, Query, Reply, Start, StartError, Verdict};
//!
//! /// Blocks one name, and all below.
//! struct Block(NameBuf);
//!
//! impl App for Block {
//!     fn start(start: &mut Start<'_>) -> Result<Self, StartError> {
//!         let name = start.config().get("name").and_then(|name| name.text());
//!         Ok(Self(name.ok_or("the key `name` is missing")?.parse()?))
//!     }
//!
//!     fn query(&mut self, query: Query<'_>, _: Reply<'_>) -> Verdict {
//!         if query.qname().is_below_or_at(self.0.as_name()) {
//!             return Verdict::rcode(rcode::NXDOMAIN).because(ede::BLOCKED);
//!         }
//!         Verdict::pass()
//!     }
//! }
//!
//! as112_guest::export!(Block);
//! # fn main() {
//! // On the author's machine, without a node:
//! use as112_guest::mock::{Host, Outcome};
//! let mut host = Host::<Block>::start(r#"{"name": "example.com"}"#).unwrap();
//! let asked: NameBuf = "www.example.com".parse().unwrap();
//! let query = as112_guest::query_for(asked.as_name(), as112_guest::rtype::A);
//! assert_eq!(host.query(&query), Outcome::Rcode(rcode::NXDOMAIN, Some(ede::BLOCKED)));
//! # }
//! ```
//!
//! **Replies** are made by [`Reply`], which counts, compresses and orders by itself; [`Prepared`] makes
//! records in advance where speed matters. **What takes time** is a future: [`forward`], [`resolve`],
//! [`sleep`], [`purge`], [`Socket`]. A query that has to wait is held by [`Query::later`]; [`spawn`] starts a
//! task of another kind. Nothing blocks, and one instance holds thousands of queries. **Hooks**
//! ([`Start::hook`]) let the application be called in other [phases](Phase), under a condition that the host
//! evaluates.
//!
//! Each of the node's worker threads has an instance of its own, with its own memory. After a panic or a trap
//! nothing of the instance is used again: a new one starts, and what it held gets the manifest's
//! `fallback_action`. So state that must last does not belong here.
//!
//! Built for WebAssembly the crate is `no_std`, with an allocator and a panic handler of its own. An
//! application that uses std takes it without default features.

#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg_attr(all(target_arch = "wasm32", feature = "rust-1-63"), feature(alloc_error_handler))]
#![warn(missing_docs)]
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]
#![deny(unsafe_op_in_unsafe_fn)]

#[doc(hidden)]
pub extern crate alloc;

pub mod abi;
mod app;
mod consts;
mod host;
mod json;
mod message;
#[cfg(not(target_arch = "wasm32"))]
pub mod mock;
mod name;
mod orders;
mod query;
mod reply;
mod runtime;
#[doc(hidden)]
pub mod sys;
mod tasks;
mod verdict;

#[doc(hidden)]
pub use core::format_args;

pub use app::{App, HookError, Start, StartError};
pub use consts::{class, ede, rcode, rtype};
pub use host::{geo, log, log_line, now, random, random_u64, ticks, Level, Metric, Place, Refused, Span};
pub use json::{NotJson, Value};
pub use message::{query_for, Malformed, Message, Record, Records, Section};
pub use name::{text, wire, Name, NameBuf, NameError};
pub use orders::{forward, forward_cached, forward_within, purge, resolve, sleep, Answer, Asking, Socket};
pub use query::{Address, Held, Outcome, Phase, Query};
pub use reply::{BuildError, Data, Prepared, Reply, Soa};
pub use tasks::{race, spawn, First, Signal};
pub use verdict::Verdict;

/// Makes an [`App`] the application of the module: exports the five functions that the node calls.
///
/// Natively it makes nothing, so that the same crate can be tested.
#[macro_export]
macro_rules! export {
    ($app:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            static GUEST: $crate::sys::Guest<$app> = $crate::sys::Guest::new();

            #[no_mangle]
            pub extern "C" fn as112_abi() -> i32 {
                $crate::abi::VERSION
            }

            #[no_mangle]
            pub extern "C" fn as112_area() -> i32 {
                $crate::sys::area()
            }

            #[no_mangle]
            pub extern "C" fn as112_start(_config_len: i32) -> i32 {
                GUEST.start()
            }

            #[no_mangle]
            pub extern "C" fn as112_event(kind: i32, token: i32, len: i32) -> i64 {
                GUEST.event(kind, token, len)
            }

            #[no_mangle]
            pub extern "C" fn as112_stop() {
                GUEST.stop();
            }
        };
    };
}
