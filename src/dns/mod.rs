//! The wire vocabulary of the DNS. Bytes in, values out: no I/O, no clock, no heap.

pub mod consts;
pub mod name;
