//! Bounds of the resolver, a process of its own.

use std::time::Duration;

/// Queries that are resolved at a time; further ones are dropped, and asked again by whoever wants to know.
/// Each takes some kilobytes and has a socket at times.
pub const RESOLVER_QUERIES_MAX: usize = 1024;

/// Connections at a time; further ones wait to be accepted. The node has four for itself.
pub const RESOLVER_CONNECTIONS_MAX: usize = 64;

/// How long a connection may be idle, and may take for a message.
pub const RESOLVER_IDLE_MAX: Duration = Duration::from_secs(10);

/// How long a query is resolved at the most. Whoever asked waits no longer, but what was learned is kept.
pub const RESOLVER_TIME_MAX: Duration = Duration::from_secs(10);

/// Bytes of memory for each response that is kept: a decoded one of some records, kept twice if it was
/// validated.
pub const RESOLVER_RESPONSE_LEN: usize = 16 << 10;

/// One response in so many is kept for clients that validate themselves (CD), where the resolver validates:
/// they are few, and what is not kept is asked again.
pub const RESOLVER_UNCHECKED_SHARE: u64 = 8;

/// Delegations that are kept.
pub const RESOLVER_DELEGATIONS_MAX: usize = 4096;

/// How long after its end the resolver is started again: at first, and at the most. After one that took
/// queries for a second it is the first again: somebody kills it, or a query does, and others want answers.
pub const RESOLVER_WAIT_MIN: Duration = Duration::from_secs(1);
/// See [`RESOLVER_WAIT_MIN`].
pub const RESOLVER_WAIT_MAX: Duration = Duration::from_secs(60);

/// How long it may take from its start until it listens: it reads the configuration and a file of hints.
pub const RESOLVER_START_MAX: Duration = Duration::from_secs(10);

/// How long after an upgrade the resolver of the old process is ended: that of the new one takes queries long
/// before, and what the old one had is answered.
pub const RESOLVER_LEAVE_AFTER: Duration = Duration::from_secs(5);
