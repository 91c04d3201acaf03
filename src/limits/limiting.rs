//! Bounds of what is answered, and of what is done about forged sources.

/// FORMERR and NOTIMP replies a shard sends over UDP in one second of its clock: enough for people who test,
/// too few to make two broken programs keep each other busy.
pub const ERROR_REPLIES_PER_SECOND_MAX: u32 = 1000;

/// Secrets of DNS cookies, and bytes of their file: the last, the current and the next (RFC 9018, section 5).
pub const COOKIE_SECRETS_MAX: usize = 3;
/// See [`COOKIE_SECRETS_MAX`].
pub const COOKIE_SECRETS_LEN_MAX: u64 = 4096;

/// Lines of the table of a rate limit, of eight networks each: 256 KiB for a shard, which stay in its cache.
pub const RATE_LIMIT_LINES: usize = 4096;
/// Most queries a second that one network can be limited to. Above, a rate is not kept to a few in a hundred.
pub const RATE_LIMIT_CEILING: usize = 1_000_000;
/// At least one in so many queries over a rate limit gets a reply: with fewer, resolvers would be cut off.
pub const RATE_LIMIT_SLIP_MAX: usize = 10;
/// Networks of a list that is looked up by address.
pub const NETWORKS_MAX: usize = 4096;
