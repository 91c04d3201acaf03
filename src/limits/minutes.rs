//! Bounds of what a node tells its fleet of its minutes, and of a fleet's history.

use std::time::Duration;

use super::{CONTROL_ANSWER_LEN_MAX, HISTORY_AGED_AT_ONCE, HISTORY_RESOLUTIONS};

/// Minutes in one answer on the control socket: four hours. A collector that was away asks again.
pub const MINUTES_TOLD_MAX: usize = 240;
/// Bytes after which such an answer ends; its first minute is there however long it is. The families that a
/// history keeps have some 1,500 counters: with the longest names of zones a minute has 200 KiB.
pub const MINUTES_TOLD_LEN_MAX: usize = 512 << 10;
const _: () = assert!(MINUTES_TOLD_LEN_MAX as u64 + (256 << 10) < CONTROL_ANSWER_LEN_MAX);
/// Countries, and ASes, that a minute tells a fleet of: the largest. The others are one more, in sum.
pub const SOURCES_TOLD_MAX: usize = 20;
/// The longest time that is told as one minute: what a clock that jumps ahead leaves out does not count.
pub const MINUTE_SECONDS_MAX: u64 = HISTORY_AGED_AT_ONCE.as_secs();

/// Bytes of a fleet's history: of the sums a node's history in the same file has a fifth; and for each of a
/// thousand nodes 200 totals and their index (12 MB in all), 3,360 quarters of an hour and 3,653 days at 40
/// bytes (280 MB).
pub const FLEET_HISTORY_LEN_MAX: u64 = 2 << 30;
/// Nodes that a fleet's history knows; of what others say nothing is kept. Ten times what an operator of
/// AS112 has.
pub const FLEET_NODES_MAX: usize = 4096;
/// How long a node is expected to tell of its minutes after it was last heard: then it was taken down.
pub const FLEET_NODE_EXPECTED_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// Bytes of one message of a node: a minute with the longest names, or the registers of its sketches.
pub const FLEET_MESSAGE_LEN_MAX: usize = 256 << 10;
/// Bytes of a report that is kept.
pub const FLEET_REPORT_LEN_MAX: usize = 16 << 10;
/// Values of a label that names give, as of zones, that are told apart in a fleet; the others are `other`. A
/// node has at most 88 zones of its own.
pub const FLEET_LABEL_VALUES_MAX: usize = 1024;
/// The largest count in a minute that is believed: a hundred times what 100 Gbit/s of bytes make of it.
pub const FLEET_COUNT_MAX: u64 = 1 << 46;
/// How far the clock of a node may be off before its times are corrected by when they arrived. A message may
/// be late by as much.
pub const FLEET_CLOCK_OFF_MAX: u64 = 600;
/// How old a minute may be that is added: nodes forget theirs after two days, and a carrier after two more.
pub const FLEET_MINUTE_AGE_MAX: u64 = 2 * HISTORY_RESOLUTIONS[0].1;
/// After how long what was counted is expected to be there: a minute is stored when it is over, fetched
/// within half a minute, and carried.
pub const FLEET_SETTLED_AFTER: u64 = 120;
/// Seconds without an account of them that are not told: a node stores at whole seconds.
pub const FLEET_GAP_UNTOLD_MAX: u64 = 2;
/// Runs of numbers of minutes that were heard from one node and life of its history. Each time without the
/// node begins a run; of more the oldest are taken for one, and what is between them is heard no more.
pub const FLEET_RUNS_MAX: usize = 64;
/// Nodes that a coverage line names.
pub const FLEET_NAMED_MAX: usize = 8;
/// Messages that are stored in one transaction. A minute has some 150 rows: half a second's work.
pub const FLEET_TAKEN_AT_ONCE: usize = 512;
