//! Every bound and size of the second program, each with its reason. Those of the formats are the node's
//! ([`as112d::limits`]).

mod publish;

use std::time::Duration;

pub use publish::*;

/// Bytes of a pointer or a roll as it lies at a carrier: a line of JSON with a reason in it, and the
/// signatures of a dozen keys. Also the largest report.
pub const VALUE_LEN_MAX: u64 = 16 << 10;

/// Bytes of the log of a tree in a folder that are read: some ten thousand lines, the newest.
pub const LOG_LEN_MAX: u64 = 4 << 20;

/// Bytes that are copied in one step: memory that a transfer takes, and what a transfer that broke off
/// repeats.
pub const COPY_LEN: usize = 128 << 10;

/// How long a server of NATS has to answer: a turn around the world, and a disk that syncs.
pub const NATS_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the hub has behind a leaf before the leaf's copy is read instead.
pub const HUB_TIMEOUT: Duration = Duration::from_millis(500);

/// The longest pause between two attempts to connect. Each pause is random below a bound that doubles from
/// one second on: a thousand nodes that lost the same server do not come back at once.
pub const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(60);

/// How often a silent server is asked whether it is there.
pub const NATS_PING: Duration = Duration::from_secs(20);

/// Messages of a subscription that wait here: all that are read at once, and the end. Of wake-ups more are
/// dropped by the client, and the poll finds what they were about.
pub const MESSAGES_WAITING_MAX: usize = 2 * MESSAGES_AT_ONCE;

/// Bytes of the buffer of a connection: a thousand simulated agents have one each.
pub const NATS_BUFFER_LEN: u16 = 8 << 10;

/// Chunks of an object that are on their way at once, of 128 KiB each: enough for a line of a hundred
/// milliseconds, and what a transfer that broke off repeats at most.
pub const CHUNKS_AT_ONCE: usize = 8;

/// Messages that are read at once where many are read: values, lines, reports of a kilobyte.
pub const MESSAGES_AT_ONCE: usize = 256;

/// Messages that are read of a stream in all: reports of ten thousand nodes, or the log of years.
pub const MESSAGES_MAX: usize = 1 << 20;

/// Pointers of a scope that the stream keeps.
pub const POINTERS_KEPT: i64 = 64;

/// How long lines of the log are kept at NATS.
pub const LOG_KEPT: Duration = Duration::from_secs(366 * 86_400);

/// How long minutes of nodes are kept at NATS: a collector may be away for that long.
pub const MINUTES_KEPT: Duration = Duration::from_secs(48 * 3600);

/// How long sketches of a day are kept at NATS.
pub const SKETCHES_KEPT: Duration = Duration::from_secs(8 * 86_400);

/// How often a tree in a folder is looked at: three small files.
pub const FOLDER_LOOK: Duration = Duration::from_secs(1);

/// How long a web server has to answer, and how long it may pause in the middle of something.
pub const WEB_TIMEOUT: Duration = Duration::from_secs(20);

/// Values of a web server that are kept with its word for them, so that they need not be sent again: those of
/// the three scopes, a manifest and its signatures.
pub const WEB_KEPT_MAX: usize = 16;

/// The longest pause between two attempts at something that failed.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Releases that a node keeps: what is current, what is good, what was before, and one that people may want
/// to look at.
pub const RELEASES_KEPT: usize = 4;

/// Objects that are fetched at once. More of them would only wait for the same line.
pub const OBJECTS_AT_ONCE: usize = 2;

/// From how many bytes on an object is large: nodes do not ask for it at the same moment.
pub const LARGE_LEN: u64 = 1 << 20;

/// Within which time they ask for it.
pub const SPREAD_MAX: Duration = Duration::from_secs(2);

/// How long a node has to say how it is.
pub const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a node has to carry out an order: a reload of a million zones, or a drain that waits for its
/// clients.
pub const ORDER_TIMEOUT: Duration = Duration::from_secs(900);

/// Bytes of the agent's log before it is cut: some five thousand lines.
pub const JOURNAL_LEN_MAX: u64 = 1 << 20;

/// Problems in a report: the first ones tell where to look.
pub const PROBLEMS_REPORTED: usize = 3;

/// Bytes of a report: a thousand of them each half minute are 35 KB a second for the hub.
pub const REPORT_LEN_MAX: usize = 1 << 10;

/// How often the source is read though nothing woke the agent: between half of it and one and a half times
/// that.
pub const LOOK_PAUSE: Duration = Duration::from_secs(10);

/// How often a node reports though nothing has changed, a quarter more or less.
pub const REPORT_PAUSE: Duration = Duration::from_secs(30);

/// The shortest pause between two reports: a node that flaps does not keep the hub busy.
pub const REPORT_PAUSE_MIN: Duration = Duration::from_millis(500);

/// How often the node is asked how it is.
pub const STATUS_PAUSE: Duration = Duration::from_secs(10);

/// The longest and the shortest pause between two questions to a node that bakes a release. In between it is
/// a tenth of the bake time.
pub const BAKE_LOOK_MAX: Duration = Duration::from_secs(5);
/// See [`BAKE_LOOK_MAX`].
pub const BAKE_LOOK_MIN: Duration = Duration::from_millis(500);

/// How often what woke the agent is read again, until it can be read: a subscriber hears of a value before it
/// is stored. The pauses double from [`STORED_PAUSE`] on, to a second in all.
pub const STORED_TRIES: u32 = 6;
/// See [`STORED_TRIES`].
pub const STORED_PAUSE: Duration = Duration::from_millis(15);

/// Bytes of a message of statistics: a minute of a node with a hundred zones of long names, or the registers
/// of three sketches.
pub const MESSAGE_LEN_MAX: i32 = 256 << 10;

/// How long an address of the node has to answer what a resolver would ask it.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause between the starts of two simulated agents.
pub const SIMULATION_START: Duration = Duration::from_millis(1);

/// How long a source has to be there for whoever fetches once.
pub const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// Probes in a row that must fail before a release is taken back for it: one query may be lost on any host.
pub const PROBES_FAILED: u32 = 2;

/// By how much an estimate of unique sources must grow before today's sketches are told again: their own
/// error is as large.
pub const SKETCH_CHANGE: f64 = 1.01;

/// How often a node tells today's sketches at most. Where sources come evenly, an estimate grows by a per
/// cent in each of the first hundred minutes and 270 times in the rest of the day: 370 times 48 KiB, so a
/// thousand nodes send 200 KB a second.
pub const SKETCH_EVERY_SECONDS: u64 = 60;

/// How often the collector looks for something new: a node's minute is a minute old by then anyway.
pub const COLLECT_EVERY: Duration = Duration::from_secs(1);

/// How often it reads the totals of all nodes: those of a thousand take a tenth of a second.
pub const TOTALS_EVERY: Duration = Duration::from_secs(10);

/// How often it asks nodes, and for reports, where nothing tells it that there is something new.
pub const ASK_EVERY: Duration = Duration::from_secs(15);

/// How long a node has to answer on its control socket: it may be storing a minute, and wait for its disk.
pub const NODE_ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long nothing may come of a stream before it is read from its beginning: it may be another one of the
/// same name. What counts already does not count again.
pub const STREAM_QUIET_MAX: Duration = Duration::from_secs(15 * 60);

/// How often something that is wrong again and again is said.
pub const SAID_AGAIN_AFTER: Duration = Duration::from_secs(600);
