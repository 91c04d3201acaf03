//! Numbers that shards count and others read.

pub mod account;
pub mod app_labels;
pub mod client;
pub mod client_labels;
pub mod counters;
pub mod families;
pub mod gauges;
pub mod kinds;
pub mod labels;
pub mod ledger;
pub mod qname;
pub mod sightings;
pub mod tap;
pub mod times;
pub mod uniques;
