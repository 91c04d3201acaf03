//! What may wait: workers, the life of a query, the cache, and the exchange with upstreams.

pub mod cache;
pub mod conductor;
mod query;
