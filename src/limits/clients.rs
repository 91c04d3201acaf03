//! Bounds of answers that depend on the client.

use std::time::Duration;

/// Entries of `[[pop]]`: each has a bit of one word.
pub const POPS_MAX: usize = 64;
/// Entries of `[[map]]`.
pub const MAPS_MAX: usize = 16;
/// Entries of `[[pool]]`.
pub const POOLS_MAX: usize = 1024;
/// PoPs of one list: whoever gets the ninth has lost eight.
pub const LIST_LEN_MAX: usize = 8;
/// Different lists of one map: their numbers have 16 bits, of which special blocks need some.
pub const LISTS_MAX: usize = 65_000;
/// Lines of one file of networks.
pub const NETWORK_LINES_MAX: usize = 4 << 20;
/// Bytes of one: 64 for a line.
pub const NETWORKS_FILE_LEN_MAX: u64 = 256 << 20;
/// Bits of an address that lead to its range in a table: 4 MiB of a table with a million ranges.
pub const RANGE_INDEX_BITS_MAX: u8 = 20;
/// Bytes of one of its lines: what was learned of a resolver stands in a comment.
pub const NETWORK_LINE_LEN_MAX: usize = 1024;
/// Mistakes told of one: nobody fixes more at once.
pub const NETWORK_PROBLEMS_MAX: usize = 100;
/// Addresses of one PoP in a pool, by family: an answer that fits a datagram without EDNS.
pub const POOL_ADDRESSES_MAX: usize = 16;
/// Names of one pool.
pub const POOL_NAMES_MAX: usize = 1024;
/// Names of `[identity_zone]`.
pub const IDENTITY_NAMES_MAX: usize = 16;
/// Bytes of the records that say who asks: all there are for the longest addresses and names of a node and a
/// PoP, 387, and little more, as a forged source gets them too.
pub const IDENTITY_LEN_MAX: usize = 400;
/// How many there are: an address and, as TXT, resolver, port, transport, subnet, node and PoP.
pub const IDENTITY_RECORDS_MAX: usize = 7;
/// Such TXT over UDP that a shard or a worker sends a second; then it sends clients to TCP, which proves the
/// source.
pub const IDENTITY_TEXTS_PER_SECOND_MAX: u32 = 1000;
/// Bytes of a file that says which PoPs are up: 64 lines, with a comment on each.
pub const HEALTH_FILE_LEN_MAX: u64 = 64 << 10;
/// How often `as112d watch` looks whether such a file has changed.
pub const HEALTH_FILE_EVERY: Duration = Duration::from_secs(1);
/// Bytes of the first line of an answer over HTTP that a probe reads.
pub const STATUS_LINE_LEN_MAX: usize = 512;
/// How often `as112d watch` looks for a node that is not there.
pub const WATCH_RETRY_EVERY: Duration = Duration::from_secs(1);
/// Bytes of what it tells: of each PoP the name and a reason.
pub const HEALTH_REPORT_LEN_MAX: u64 = 128 << 10;
/// Slots that weights are dealt to: a PoP has a 64th of the answers at least.
pub const WEIGHT_SLOTS: usize = 64;
/// TTL of the addresses of a pool, unless the operator says something else: a PoP that goes is left within
/// a minute.
pub const POOL_TTL: Duration = Duration::from_secs(60);
/// Range of a TTL of answers that depend on the client, in milliseconds: what resolvers keep.
pub const TAILORED_TTL_CEILING_MS: u64 = 7 * 86_400_000;
/// A TTL below which resolvers ask so often that `check` says so.
pub const POOL_TTL_SHORT: Duration = Duration::from_secs(30);
/// Largest weight of a PoP: next to it, one of weight 1 has a thousandth of the answers.
pub const WEIGHT_MAX: usize = 1000;
/// Files of one kind that a map names.
pub const MAP_FILES_MAX: usize = 16;
/// Time from one probe of a PoP to the next, unless the operator says something else.
pub const POP_PROBE_EVERY: Duration = Duration::from_secs(5);
/// Time for its answer.
pub const POP_PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Failures in a row after which a PoP is down.
pub const POP_PROBE_FALL: u32 = 2;
/// Answers in a row after which it is up again.
pub const POP_PROBE_RISE: u32 = 3;
/// Time after which the files of maps that change by themselves are looked at again.
pub const MAPS_LOOK: Duration = Duration::from_secs(60);
/// Pools that have counters of their own: each has one for every PoP.
pub const POOL_SERIES_MAX: usize = 64;
/// PoPs that have: as many as there may be at a time.
pub const POP_SERIES_MAX: usize = POPS_MAX;
/// Resolvers of which something was learned: what `as112d learn` keeps, and writes.
pub const LEARNED_MAX: usize = 200_000;
