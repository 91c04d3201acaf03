//! The exchange against servers that are not there: a network of the tests' own, and their clock.

mod circuits;
mod lies;
mod sim;
mod storms;
mod waiting;
