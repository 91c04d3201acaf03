//! Bounds of the cache.

use std::time::Duration;

/// What an entry counts for at the least, in bytes. So the number of entries has a bound, and the tables that
/// hold them are made for it at once: they never grow, which would take twice their memory for a moment, and
/// some milliseconds. A small answer takes about as much.
pub const CACHE_ENTRY_MIN: usize = 256;

/// Client subnets of a name and type whose answers are kept (RFC 7871). "Implementations SHOULD limit the
/// number of networks and scopes" (section 11.2): a server can have one for each client.
pub const CACHE_SCOPES_MAX: usize = 32;

/// Purges that are remembered. With more, the entries that they concern are removed, which takes some
/// milliseconds for each ten thousand entries.
pub const CACHE_PURGES_MAX: usize = 1024;

/// Entries that a purge or an order to show is compared with. That takes 1 ms if few of them are concerned,
/// and some 15 ms if all are; meanwhile the worker does nothing else.
pub const CACHE_LOOKS_MAX: usize = 65_536;

/// Failures are kept for this long at the most: "MUST NOT cache a resolution failure for longer than 5
/// minutes" (RFC 9520, section 3.2), and servers that are well again should be seen soon.
pub const CACHE_FAILURE_TTL_MAX: Duration = Duration::from_secs(60);

/// How long servers are left alone after they were tried in vain for an answer whose time has passed: "no
/// more frequently than every 30 seconds" (RFC 8767, section 5).
pub const CACHE_STALE_RETRY: Duration = Duration::from_secs(30);

/// An answer is fetched again before its time has passed if it was asked for so often.
pub const CACHE_PREFETCH_HITS: u8 = 3;
