//! Every number that bounds a load test, each with its reason. What an option asks for beyond is refused.

use std::time::Duration;

/// Rounds of a section. Five give a median that one disturbed round does not move.
pub const ROUNDS: usize = 5;
pub const ROUNDS_MAX: usize = 25;

/// Seconds of one run of a tool: CPU time is told in hundredths of a second, so four make them small.
pub const SECONDS: u64 = 4;
pub const SECONDS_MAX: u64 = 60;
/// Seconds of one trial while a best rate is searched.
pub const TRIAL_SECONDS: u64 = 2;

/// One run in which a node of ours changes again and again: 50 upgrades take as long.
pub const CHANGES_SECONDS: Duration = Duration::from_secs(30);

/// Queries a second that anybody may be sent. A loopback does a tenth of it.
pub const RATE_MAX: u64 = 5_000_000;
/// Where the search for a best rate begins: every server does it on every host.
pub const RATE_BEGIN: u64 = 20_000;
/// Where the search for a ceiling begins and how it grows; it ends after so many rates that brought no
/// more answers.
pub const CEILING_BEGIN: u64 = 200_000;
pub const CEILING_GROWTH: f64 = 1.25;
pub const CEILING_MISSES: usize = 3;

/// Trials of one search: eight doublings reach [`RATE_MAX`], and the others halve what is left to 3 %.
pub const TRIALS_MAX: usize = 16;
/// A search ends when what holds and what does not are so close.
pub const SEARCH_PRECISION: f64 = 0.03;

/// Different queries of a set: past what any cache of answers by name holds cheaply.
pub const QUERIES: usize = 200_000;
pub const QUERIES_MAX: usize = 2_000_000;
/// Queries that flamethrower gets: its time runs while it reads them, and it needs a second for some
/// 50,000.
pub const FLAME_QUERIES: usize = 5_000;
/// Queries of a sample that is kept in the repository, and of the check of each server before it is loaded.
pub const SAMPLE: usize = 400;

/// Sockets of the generator: as many flows as a group of shards needs to get even shares.
pub const SOCKETS: usize = 16;
pub const SOCKETS_MAX: usize = 256;
/// Datagrams of one call of sendmmsg or recvmmsg.
pub const VOLLEY: usize = 32;
/// A query without a reply is lost after this long, and a later reply is a stray.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// Connections of the TCP runs, and queries under way on all of them.
pub const TCP_CONNECTIONS: usize = 20;
pub const TCP_OUTSTANDING: usize = 200;

/// Time for a server to answer for all its zones, of which there may be a million, and for one to end
/// before it is killed.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// Time that a tool may take beyond the seconds it was given.
pub const TOOL_GRACE: Duration = Duration::from_secs(20);

/// Zones, shards and addresses with which servers are compared, as far as the host has the CPUs.
pub const ZONES: [usize; 5] = [24, 1000, 10_000, MANY_ZONES[0], MANY_ZONES[1]];
/// Those at which something is aimed at.
pub const MANY_ZONES: [usize; 2] = [100_000, 1_000_000];
/// So many zones of an operator ours has as entries of its configuration; more are a pack.
pub const ENTRIES_MAX: usize = 100_000;
pub const SHARDS: [usize; 4] = [1, 2, 4, 8];
pub const ADDRESSES: [usize; 2] = [1, 10];

/// The shares of the peers' best rate at which latency is measured, in percent.
pub const LOADS: [u64; 4] = [25, 50, 75, 90];
/// The loss, as a share of the queries, up to which a rate counts as sustained.
pub const LOSS_MAX: f64 = 0.001;
