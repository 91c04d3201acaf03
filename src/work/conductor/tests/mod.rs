//! The exchange against servers that are not there, with a network and a clock of the tests' own; then over
//! loopback.

mod circuits;
mod connections;
mod lies;
mod loopback;
mod sim;
mod storms;
mod streams;
mod waiting;
