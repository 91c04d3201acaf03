//! Bounds of rules, workers and what they ask.

use std::time::Duration;

/// How long a query may take that is handed over: resolvers ask again after 1 to 5 s (RFC 8767 suggests
/// 1.8 s for a stale answer).
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(2);
/// See [`QUERY_TIMEOUT`]; below this no answer comes from another continent.
pub const QUERY_TIMEOUT_FLOOR_MS: u64 = 100;
/// Nobody waits for longer, and a retiring process waits for as long.
pub const QUERY_TIMEOUT_CEILING_MS: u64 = 30_000;

/// Entries of `[[upstream]]`.
pub const UPSTREAMS_MAX: usize = 64;
/// Servers of one.
pub const UPSTREAM_SERVERS_MAX: usize = 16;
/// Bytes of the name of an upstream or a route: it stands in labels.
pub const PLATFORM_NAME_LEN_MAX: usize = 32;
/// One try with a server.
pub const UPSTREAM_TIMEOUT: Duration = Duration::from_millis(400);
/// See [`UPSTREAM_TIMEOUT`].
pub const UPSTREAM_TIMEOUT_FLOOR_MS: u64 = 10;
/// See [`UPSTREAM_TIMEOUT`].
pub const UPSTREAM_TIMEOUT_CEILING_MS: u64 = 10_000;
/// Tries of one query.
pub const UPSTREAM_TRIES: usize = 3;
/// More would be a flood on servers that are ill.
pub const UPSTREAM_TRIES_MAX: usize = 8;
/// The share of queries that measure another server than the best.
pub const UPSTREAM_EXPLORE: f32 = 0.02;
/// With more there would be little left to choose.
pub const UPSTREAM_EXPLORE_MAX: f32 = 0.5;

/// Entries of `[[route]]`: as many as there may be rules on a thread that answers.
pub const ROUTES_MAX: usize = 256;

/// Files in the directory of rules.
pub const RULE_FILES_MAX: usize = 256;
/// Bytes of all of them: room for 65,536 suffixes and as many prefixes.
pub const RULES_LEN_MAX: u64 = 16 << 20;

/// Memory of the cache of all workers together.
pub const CACHE_LEN_FLOOR: usize = 1 << 20;
/// See [`CACHE_LEN_FLOOR`].
pub const CACHE_LEN_CEILING: usize = 64 << 30;
/// "Caching resolvers cap TTLs at 7 days" (RFC 8767, section 4); the same for how long one may be stale.
pub const CACHE_TTL_CEILING_MS: u64 = 7 * 86_400_000;
/// "Values of one to three hours have been found to work well", of over a day not (RFC 2308, section 5).
pub const CACHE_NEGATIVE_CEILING_MS: u64 = 86_400_000;
/// "MUST cache resolution failures for at least 1 second", and not over 5 minutes (RFC 9520, section 3.2).
pub const CACHE_FAILURE_FLOOR_MS: u64 = 1000;
/// See [`CACHE_FAILURE_FLOOR_MS`].
pub const CACHE_FAILURE_CEILING_MS: u64 = 300_000;
/// The TTL of stale answers: "30 seconds is RECOMMENDED" (RFC 8767, section 4).
pub const CACHE_STALE_TTL_CEILING_MS: u64 = 3_600_000;

/// Memory of the resolver's process.
pub const RESOLVER_LEN: usize = 256 << 20;
/// See [`RESOLVER_LEN`]: the delegations of the root and the top-level domains in use, and its program.
pub const RESOLVER_LEN_FLOOR: usize = 64 << 20;
/// See [`RESOLVER_LEN`].
pub const RESOLVER_LEN_CEILING: usize = 64 << 30;
/// Where it listens: Unbound's custom for one that serves its own host only.
pub const RESOLVER_PORT: u16 = 5354;

/// One query in so many that workers have is traced.
pub const TRACE_EVERY: usize = 1024;

/// How long `query --live` waits for the reply: longer than any query may take.
pub const LIVE_TIMEOUT: Duration = Duration::from_millis(QUERY_TIMEOUT_CEILING_MS + 5_000);

/// Bytes of a file of certificates: those of a system have 220 KB.
pub const CERTIFICATES_LEN_MAX: u64 = 4 << 20;

/// Lines that `cache show` gets of each worker: what a person reads, and far below the bytes of an answer.
pub const CACHE_SHOWN_MAX: usize = 1000;
