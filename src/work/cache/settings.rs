//! What a cache is like.

use std::time::Duration;

/// What a cache is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Bytes that all entries may take, and what they are kept in. With fewer than an entry takes nothing is
    /// kept.
    pub size: usize,
    /// The least time that an answer is kept, whatever its TTLs; but one with a TTL of 0 never is.
    pub ttl_min: Duration,
    /// The longest.
    pub ttl_max: Duration,
    /// The longest that NXDOMAIN and NODATA are kept (RFC 2308).
    pub negative_ttl_max: Duration,
    /// How long a first failure is kept (RFC 9520); each further one twice as long, up to a minute.
    pub failure_ttl: Duration,
    /// How long answers are kept after their time (RFC 8767).
    pub stale: Duration,
    /// How long a client waits for a fresh answer before it gets one whose time has passed.
    pub stale_after: Duration,
    /// The TTL of such an answer.
    pub stale_ttl: Duration,
    /// Answers that are asked for are fetched again shortly before their time has passed.
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
