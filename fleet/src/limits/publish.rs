//! Bounds of the publisher's side: gates, rolls, and what commands print.

use std::time::Duration;

/// The share of queries that may go unanswered while a release is watched: those whose fate is not yet
/// counted.
pub const GATE_UNANSWERED: f64 = 0.001;
/// The share of errors among answers may grow so many times ...
pub const GATE_FAILED_TIMES: f64 = 2.0;
/// ... and by that much: a node without errors before may have one in a thousand.
pub const GATE_FAILED_MORE: f64 = 0.001;
/// The share of datagrams that the kernel drops may grow by that much: one in ten thousand.
pub const GATE_DROPPED_MORE: f64 = 0.0001;
/// CPU time of a query may grow so many times.
pub const GATE_CPU_TIMES: f64 = 1.5;
/// It is told from that of the process as a whole when there were so many queries in each window.
pub const GATE_CPU_QUERIES_MIN: u64 = 1_000;
/// And when the process takes so much of one CPU: below, the ticks of its clocks are what one sees.
pub const GATE_CPU_FLOOR: f64 = 0.01;
/// Memory may grow so many times, or by so many bytes, as the small process of a small node doubles by
/// itself.
pub const GATE_RSS_TIMES: f64 = 1.5;
/// See [`GATE_RSS_TIMES`].
pub const GATE_RSS_LEN_MORE: u64 = 32 << 20;

/// Stages of a roll: nobody watches more.
pub const ROLL_STAGES_MAX: usize = 16;
/// How long a node watches itself in a stage, unless somebody says otherwise: five minutes of its queries.
pub const BAKE_DEFAULT: Duration = Duration::from_secs(300);
/// The part of the nodes of a stage that were heard of, in percent, that must be healthy for the next one.
pub const QUORUM_DEFAULT: u8 = 95;
/// After the first stage so many nodes that failed stop the roll, or such a part of the stage in percent,
/// whichever is more.
pub const FAILED_NODES: usize = 2;
/// See [`FAILED_NODES`].
pub const FAILED_PERCENT: usize = 2;
/// A node that was not heard of for so long counts as silent: it reports each half minute.
pub const SILENT_AFTER: Duration = Duration::from_secs(120);
/// How often `promote --auto` and `status --watch` look.
pub const WATCH_EVERY: Duration = Duration::from_secs(2);

/// How long a node or a colo is drained unless somebody says otherwise.
pub const DRAIN_DEFAULT: Duration = Duration::from_secs(3600);

/// Bytes of `fleet.toml`, of a secret key, and of a password's file.
pub const SETTINGS_LEN_MAX: u64 = 1 << 20;
/// See [`SETTINGS_LEN_MAX`].
pub const SECRET_LEN_MAX: u64 = 4 << 10;
/// How long a command that signs may take: somebody may have to find a token, and to press its button.
pub const SIGN_WITH_MAX: Duration = Duration::from_secs(300);
/// Directories within directories of what becomes a release: a path has no more.
pub const DEPTH_MAX: usize = 64;
/// Lines of records that `--dry-run` shows of each kind of nodes; the rest is counted.
pub const DIFF_LINES_MAX: usize = 200;
/// Releases of a tree whose manifests are read to find the newest: those of some years.
pub const RELEASES_READ_MAX: usize = 10_000;
