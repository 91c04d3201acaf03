//! Bounds of workers and of the queries that they have.

use std::time::Duration;

use super::SERVICE_TIME_EVERY;

/// Upstreams that one query asks: its own, and two that rules of phase `response` try instead. A client waits
/// for a third no longer.
pub const WORK_EXCHANGES_MAX: u8 = 3;
/// How often a query gets the fallback `next`: each is another rule to be tried, within the same time.
pub const WORK_NEXT_MAX: u8 = 3;
/// Queries of one worker that wait for something: 100,000 a second with an upstream that takes 160 ms.
pub const WORK_TASKS_MAX: usize = 16_384;
/// Copies of queries that were sent to be compared, and wait.
pub const WORK_COPIES_MAX: usize = 4096;
/// Age of a job at which its client has asked again, or soon will.
pub const WORK_LATE_AFTER: Duration = Duration::from_millis(200);
/// How long snapshots are kept that were replaced: no job that is not late is older.
pub const WORK_SNAPSHOT_KEPT: Duration = Duration::from_secs(1);
const _: () = assert!(WORK_SNAPSHOT_KEPT.as_millis() > 2 * WORK_LATE_AFTER.as_millis());
/// Snapshots that are kept: reloads within that time.
pub const WORK_SNAPSHOTS_MAX: usize = 16;
/// Jobs that a worker takes from one desk in a turn, before it looks at its sockets again.
pub const WORK_JOBS_A_TURN: usize = 64;
/// How long a worker sleeps at most: a snapshot is published when each has seen it.
pub const WORK_TICK: Duration = Duration::from_millis(20);
/// How long all workers together may take for an order, such as to purge: each looks once a turn.
pub const WORK_ORDER_MAX: Duration = Duration::from_secs(2);
/// Orders that wait for a worker. Whoever gives them waits for the answer.
pub const WORK_ORDERS_MAX: usize = 16;
/// Lines that each worker shows of its cache.
pub const WORK_SHOWN_MAX: usize = 1000;
/// Traces that wait to be written.
pub const TRACES_QUEUED_MAX: usize = 1024;
/// One query in so many of a worker has the times of its phases recorded, as service times are.
pub const PHASE_TIME_EVERY: u32 = SERVICE_TIME_EVERY;
/// Steps of a query that are noted: three exchanges, and all phases as often as they are asked again.
pub const TRACE_STEPS_MAX: usize = 32;
/// What applications may note of one query, all together.
pub const TRACE_SPANS_MAX: usize = 64;
/// Entries of the cache that a worker begins to fetch again in one turn.
pub const WORK_PREFETCHES_A_TURN: usize = 16;
/// Events of sockets that one look takes.
pub const WORK_EVENTS_MAX: usize = 256;
/// How long a response takes in the way of a query that is told, unless somebody says otherwise: as from a
/// server in the same region.
pub const SUPPOSED_RTT: Duration = Duration::from_millis(10);
/// Bytes of a line of a batch of queries whose way is told: the longest name, escaped, and all options.
pub const BATCH_LINE_LEN_MAX: u64 = 4096;
/// Orders of applications that a worker carries out in one turn, before it looks at everything else again:
/// each may call an instance, which takes a millisecond at most.
pub const WORK_ERRANDS_A_TURN: usize = 64;
/// Exchanges of applications with upstreams that a worker has at a time: as many as 32 of them may have.
pub const WORK_EXCHANGES_OF_APPS_MAX: usize = 32 * 1024;
const _: () = assert!(WORK_TASKS_MAX + WORK_COPIES_MAX + WORK_EXCHANGES_OF_APPS_MAX < super::WAITERS_MAX);
/// Local sockets that all instances of a worker have open at a time.
pub const WORK_SOCKETS_MAX: usize = 512;
