//! Prefix tables. An address is in one range of a table, and the range says what it is in and how far that
//! holds: the largest network around the address in which everything is the same. So networks that are told
//! for all addresses never overlap, and nothing of them is stored (RFC 7871, section 7.2.1).

pub mod file;
mod intervals;
mod ipv6;
pub mod places;
mod rules;
pub mod special;
mod table;

pub use intervals::{Intervals, Key, Range, Step};
pub use ipv6::Ipv6;
pub use rules::{Rule, overlay, steps};
pub use table::{Found, Table};
