//! What was answered before.

use std::time::Duration;

/// What the cache keeps, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Memory of all workers' caches together, in bytes.
    pub size: usize,
    /// Shorter times to live are lengthened to this.
    pub ttl_min: Duration,
    /// Longer ones are shortened.
    pub ttl_max: Duration,
    /// The same of negative answers.
    pub negative_ttl_max: Duration,
    /// How long a failure is remembered (RFC 9520).
    pub failure_ttl: Duration,
    /// How long an answer may be served beyond its time (RFC 8767).
    pub stale: Duration,
    /// When a client gets that, if there is no other.
    pub stale_after: Duration,
    /// The time to live that it has then.
    pub stale_ttl: Duration,
    /// What is asked for often is asked again before its time is over.
    pub prefetch: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            size: 64 << 20,
            ttl_min: Duration::ZERO,
            ttl_max: Duration::from_secs(86_400),
            negative_ttl_max: Duration::from_secs(3600),
            failure_ttl: Duration::from_secs(5),
            stale: Duration::from_secs(86_400),
            stale_after: Duration::from_millis(1800),
            stale_ttl: Duration::from_secs(30),
            prefetch: true,
        }
    }
}
