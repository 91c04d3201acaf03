//! Bounds of the hand-over to workers.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Jobs of a desk: at 20,000 queries a second 200 ms of them, after which a client has asked again. They are
/// made at the start, 2.4 KiB each, most of which is not touched before a job is used.
pub const JOBS: usize = 4096;
/// What may be configured.
pub const JOBS_RANGE: RangeInclusive<usize> = 64..=16_384;
/// Of those, what one rule may have: so one upstream that does not answer leaves the others half of them.
pub const JOBS_SHARE: usize = 2048;
/// Threads that work: more than that do not wait for upstreams but for processors.
pub const WORKERS_MAX: usize = 16;

/// Queries of one TCP connection whose replies are made elsewhere; with so many it is not read from. A client
/// that pipelines more has the rest in its own socket.
pub const TCP_PENDING_MAX: usize = 32;
/// After so long without another query, a connection that still waits for a reply is closed: no query takes
/// so long, so whoever should make it is gone.
pub const TCP_PENDING_TIMEOUT: Duration = Duration::from_secs(60);
