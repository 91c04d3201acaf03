//! Under construction.
pub mod tcp;
