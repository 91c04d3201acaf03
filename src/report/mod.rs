//! What is made of the numbers: text for Prometheus, JSON for programs, the public page, files for others.

pub mod explain;
pub mod export;
pub mod json;
pub mod page;
pub mod prometheus;
pub mod radar;
pub mod statistics;
mod url;
