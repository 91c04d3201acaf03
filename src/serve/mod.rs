//! One decision per packet. [`serve()`] performs no I/O, takes no lock, allocates nothing and never waits;
//! every transport calls it. What may wait is handed over to a worker ([`job`]), which makes the reply with
//! [`native`], [`complete`] and their like: they share all that a reply has besides its records.

mod again;
pub mod cap;
pub mod job;
pub mod limiter;
pub mod networks;
pub mod published;
mod route;
mod service;
pub mod snapshot;
#[cfg(test)]
pub(crate) mod tests;
mod usual;

pub use again::{Made, answer_code, complete, fallback, truncated};
pub use route::facts;
pub use service::{SOURCE_PORTS_REFUSED, Verdict, identity, native};
pub use snapshot::{Cookies, UpdatePolicy};
pub use usual::serve;
