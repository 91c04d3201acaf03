//! The statistics of a fleet: what nodes tell of their minutes ([`sender`], [`teller`]), who collects that
//! ([`collector`]), and where from ([`source`]). The history itself, the page, and all formats are those of
//! the node's library.

pub mod collector;
pub mod hub;
pub mod nodes;
pub mod sender;
pub mod source;
pub mod teller;
