//! A query that is handed over to a worker, and the two ends of the hand-over.
//!
//! All jobs are made at the start. They circulate between the thread that answers and a worker, through two
//! queues in which neither waits. With none at hand, or when a rule has its share of them, the query gets the
//! rule's fallback in its slot.

use std::time::Instant;

use crate::dns::arrival::Arrival;
use crate::limits::QUERY_LEN_MAX;
use crate::policy::RuleId;
use crate::policy::facts::Tags;
use crate::stats::account::Account;

/// The rule of a query that no route takes, but which rules of later phases may concern: unless one of them
/// takes it, the node's own zones answer.
pub const UNROUTED: RuleId = RuleId::MAX;

/// What the router chose for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The rule that hands it over, or [`UNROUTED`].
    pub rule: RuleId,
    /// The snapshot that the rule is of.
    pub serial: u32,
}

/// A connection that a query came over: its key in the table, and which of those that have had this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The key.
    pub key: usize,
    /// How many connections had the key before.
    pub generation: u32,
}

/// A query that is handed over.
#[derive(Debug)]
pub struct Job {
    /// What becomes of it.
    pub way: Way,
    /// How it came in.
    pub arrival: Arrival,
    /// Which of the sockets of its shard.
    pub socket: usize,
    /// The connection, if it came over one.
    pub connection: Option<Connection>,
    /// What is known of it. Whoever makes the reply posts it.
    pub account: Account,
    /// What rules have tagged it with.
    pub tags: Tags,
    /// When it was taken in.
    pub asked: Instant,
    /// Bytes of the query.
    pub len: usize,
    /// The query.
    pub query: [u8; QUERY_LEN_MAX],
    /// Over TCP, the reply; empty for none, and then the connection is closed.
    pub reply: Vec<u8>,
}
