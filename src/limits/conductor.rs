//! Bounds of the exchange with upstream servers.

use std::time::Duration;

use super::{MMSG_BATCH, QUERY_LEN_MAX, UPSTREAM_SERVERS_MAX, UPSTREAM_TRIES_MAX};

/// One more than the highest number that may wait for an answer: the queries of a worker, and their copies.
pub const WAITERS_MAX: usize = 1 << 16;
/// Questions that one thread asks at a time: as many as it has queries.
pub const EXCHANGES_MAX: usize = 16_384;
/// Questions at which nothing is asked that no client waits for, and late answers are not waited for.
pub const EXCHANGES_SPARE: usize = EXCHANGES_MAX / 2;
/// Who may wait for one answer: a popular name while a server is slow. What one thread walks over in some
/// microseconds.
pub const WAITERS_PER_EXCHANGE_MAX: usize = 4096;
/// Queries that one server is asked at a time: what one thread asks in 50 ms at its best. A server that has
/// so many open answers none.
pub const IN_FLIGHT_PER_SERVER_MAX: usize = 4096;
/// Tries for one question with those that ask a server once more: over TCP, without EDNS, with its cookie.
pub const TRIES_IN_ALL_MAX: usize = UPSTREAM_TRIES_MAX + 4;
/// Servers of one upstream: those that were asked are noted in the bits of a word.
pub const SERVERS_PER_UPSTREAM_MAX: usize = 64;
const _: () = assert!(UPSTREAM_SERVERS_MAX <= SERVERS_PER_UPSTREAM_MAX);

/// The least and the most that one try may take before another server is asked. Below the least, a busy host
/// would ask twice; above the most a client has lost its patience.
pub const TRY_TIMEOUT_MIN: Duration = Duration::from_millis(20);
/// See [`TRY_TIMEOUT_MIN`].
pub const TRY_TIMEOUT_MAX: Duration = Duration::from_millis(400);
/// When the same server is asked once more, where no other can be: what takes longer is lost, and not slow.
pub const SAME_SERVER_AFTER: Duration = Duration::from_millis(600);
/// The share of good answers below which a server is asked after all others, whatever its place.
pub const GOODNESS_MIN: f64 = 0.5;
/// How long an answer is waited for that nobody needs by then: it says that its server is slow, not dead.
/// Those to probes and to tries for what is stale are waited for until the next one.
pub const LATE_WAIT: Duration = Duration::from_secs(1);
/// How often a server that did not understand EDNS is tried with it again (RFC 6891, section 6.2.2, leaves
/// it to us).
pub const EDNS_RETRY_EVERY: Duration = Duration::from_secs(15 * 60);
/// Failures in a row after which a server is not asked, if it has not answered for [`CIRCUIT_SILENCE`]: more
/// than chance loses on a bad path.
pub const CIRCUIT_FAILURES: u32 = 5;
/// See [`CIRCUIT_FAILURES`]: a pause of a server that restarts is shorter.
pub const CIRCUIT_SILENCE: Duration = Duration::from_secs(2);
/// How long a server is not asked at first; doubled each time up to [`CIRCUIT_OPEN_MAX`].
pub const CIRCUIT_OPEN_MIN: Duration = Duration::from_secs(1);
/// See [`CIRCUIT_OPEN_MIN`]: then it is asked once a minute. A port of this host where nobody listens is
/// tried again after the least time: a resolver that was started again is asked at once.
pub const CIRCUIT_OPEN_MAX: Duration = Duration::from_secs(60);

/// Sockets of each family: 32 ports are five more bits to guess, and cost nothing over one (measured).
pub const PORTS: usize = 32;
/// Sockets of each family that still wait for answers after another has taken their place: one a second, for
/// as long as a late answer is waited for at most.
pub const PORTS_OLD_MAX: usize = 64;
/// How often a socket is replaced while there is traffic.
pub const PORT_RENEWED_EVERY: Duration = Duration::from_secs(1);
/// Receive buffer asked for each of them, in bytes: the answers to some batches come back at once.
pub const PORT_BUFFER_LEN: usize = 1 << 20;
/// Batches that are read from one socket before others have their turn.
pub const PORT_BATCHES_PER_TURN_MAX: usize = 16;
/// Datagrams at one port that answer nothing, after which it is left, and what waits there is asked over TCP
/// (as Unbound's unwanted-reply-threshold, for each port): an attacker begins with guessing the port again.
pub const FORGED_PER_PORT_MAX: u32 = 20;
/// Answers whose ID and port are remembered, to tell what comes twice from what is forged: those of some
/// tenths of a second.
pub const ANSWERED_REMEMBERED: usize = 8192;
/// Errors that one call takes from a socket.
pub const ICMP_ERRORS_PER_CALL_MAX: usize = 64;

/// Bytes of a query to a server: header, the longest name, and an OPT with a cookie and a client subnet,
/// padded to a block.
pub const UPSTREAM_QUERY_LEN_MAX: usize = 512;
const _: () = assert!(UPSTREAM_QUERY_LEN_MAX <= QUERY_LEN_MAX);
/// The UDP payload that we tell servers we take, in bytes (RFC 9715).
pub const UPSTREAM_UDP_SIZE: u16 = 1232;
/// Bytes of a response that says nothing of the name and is kept in case all servers say so; of a longer one
/// header and question.
pub const ERROR_KEPT_LEN_MAX: usize = 2048;

/// Connections to one server, and queries on each that it has not answered (RFC 7766, section 6.2.1.1, has no
/// number).
pub const STREAMS_PER_SERVER_MAX: usize = 4;
/// See [`STREAMS_PER_SERVER_MAX`].
pub const STREAM_PIPELINE_MAX: usize = 64;
/// Connections of one thread to all servers: sixteen servers with as many as they may have.
pub const STREAMS_MAX: usize = 64;
/// How long a connection rests before it is closed (RFC 7766, section 6.2.3, wants "a few seconds").
pub const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may be silent while it owes an answer: then it is closed, and another one opened.
pub const STREAM_SILENCE_MAX: Duration = Duration::from_secs(2);
/// Bytes that are read from a connection at once.
pub const STREAM_READ_LEN: usize = 16 << 10;
/// Readings of one connection before others have their turn.
pub const STREAM_READS_PER_TURN_MAX: usize = 16;

/// How often timers of no query are looked at: what others see of servers, old sockets, connections at rest.
pub const CONDUCTOR_HOUSEKEEPING_EVERY: Duration = Duration::from_millis(100);
/// Sets of upstreams that are remembered: queries that were handed over come by the last ones.
pub const UPSTREAM_VIEWS_MAX: usize = 4;
const _: () = assert!(MMSG_BATCH * 1000 < PORT_BUFFER_LEN);
const _: () = assert!(CIRCUIT_OPEN_MAX.as_secs() < PORTS_OLD_MAX as u64 * PORT_RENEWED_EVERY.as_secs());
