//! Bounds of what a manifest may say.

use std::time::Duration;

/// Bytes of a manifest. A long list is a file of its own, which `[config]` names.
pub const MANIFEST_LEN_MAX: u64 = 64 << 10;
/// Bytes of the configuration that an application gets, as JSON: a list of 50,000 names, which it reads
/// within the time of its start.
pub const APP_CONFIG_LEN_MAX: usize = 1 << 20;
/// Conditions of a router, each of which may list many names and networks.
pub const APP_ROUTER_MAX: usize = 64;
/// Upstreams that an application may name: a verdict says which in a byte, and nobody has more.
pub const APP_FORWARDS_MAX: usize = 32;
/// Names below which an application may purge.
pub const APP_PURGES_MAX: usize = 64;
/// Local sockets that an application may name.
pub const APP_SOCKETS_MAX: usize = 16;
/// Longest path of a local socket: `sun_path` has 108 bytes, the last of which is zero.
pub const SOCKET_PATH_LEN_MAX: usize = 107;
/// Counters that an application has of its own.
pub const APP_METRICS_MAX: usize = 16;
/// Longest name of one.
pub const APP_METRIC_LEN_MAX: usize = 64;
/// Files whose contents an application may be given.
pub const APP_FILES_MAX: usize = 16;

/// Where applications stand among each other, the smallest first.
pub const APP_ORDER: i32 = 100;

/// Linear memory of an instance.
pub const APP_MEMORY_LEN: usize = 4 << 20;
/// See [`APP_MEMORY_LEN`]: the area that host and guest share, and a page for all else.
pub const APP_MEMORY_LEN_FLOOR: usize = 128 << 10;
/// See [`APP_MEMORY_LEN`]: every worker may take as much for each application.
pub const APP_MEMORY_LEN_CEILING: usize = 256 << 20;
/// For one event: a decision takes a thousandth of that.
pub const APP_TIME: Duration = Duration::from_millis(1);
/// See [`APP_TIME`].
pub const APP_TIME_FLOOR_MS: u64 = 1;
/// See [`APP_TIME`]: all other queries of the worker wait for as long.
pub const APP_TIME_CEILING_MS: u64 = 100;
/// Queries that an instance holds.
pub const APP_IN_FLIGHT: usize = 1024;
/// See [`APP_IN_FLIGHT`]: as many as a worker has at a time.
pub const APP_IN_FLIGHT_MAX: usize = 16_384;
/// Jobs of each thread that answers.
pub const APP_QUEUE: usize = 256;
/// Exchanges that are under way for one query.
pub const APP_UPSTREAMS: usize = 4;
/// See [`APP_UPSTREAMS`]: more would make one query a flood.
pub const APP_UPSTREAMS_MAX: usize = 16;
/// Lines of the log in a second.
pub const APP_LOG_LINES: usize = 10;
/// See [`APP_LOG_LINES`]: what a person can look through afterwards.
pub const APP_LOG_LINES_MAX: usize = 1000;
/// The shortest pause after traps, and the longest, to which it doubles.
pub const APP_RESTART: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// See [`APP_RESTART`].
pub const APP_RESTART_FLOOR_MS: u64 = 100;
/// See [`APP_RESTART`].
pub const APP_RESTART_CEILING_MS: u64 = 3_600_000;
