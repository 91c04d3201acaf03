//! What a worker tells the sandbox, and what comes back.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::dns::arrival::Arrival;
use crate::policy::RuleId;
use crate::policy::facts::{Later, Outcome};
use crate::policy::phase::Phase;
use crate::policy::upstream::UpstreamId;

/// A query that an application is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The application, as [`Action::App`](crate::policy::Action::App) numbers them.
    pub app: u16,
    /// The phase.
    pub phase: Phase,
    /// The query's number, by which it is finished when it is held.
    pub token: u32,
    /// The rule or hook that asks.
    pub rule: RuleId,
    /// The query, whole.
    pub query: &'a [u8],
    /// How it arrived.
    pub arrival: &'a Arrival,
    /// The reply so far, in the phases that know one; else empty.
    pub reply: &'a [u8],
    /// What is known besides.
    pub later: Later,
    /// When its time is up.
    pub deadline: Instant,
    /// It is traced.
    pub is_traced: bool,
}

/// What an application says of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// It would rather have been without.
    Pass,
    /// The reply is the sandbox's `reply()`: a whole message, checked, without OPT.
    Reply,
    /// A response code, and what is wrong (RFC 8914).
    Code(u16, Option<u16>),
    /// No reply.
    Drop,
    /// It holds the query.
    Later,
    /// The query is another one: the sandbox's `query()`.
    Changed,
    /// Ask this upstream.
    Retry(UpstreamId),
    /// It gets the application's fallback.
    Failed,
}

/// Something that an application wants of the outside. Each has a token, under which the sandbox is told what
/// came of it.
#[derive(Clone, Debug)]
pub enum Order {
    /// Ask an upstream, or the resolver if that is `None`.
    Ask {
        /// Whom.
        upstream: Option<UpstreamId>,
        /// A whole query.
        query: Vec<u8>,
        /// Through the cache.
        is_cached: bool,
        /// For at most this long.
        timeout: Duration,
    },
    /// Wait.
    Timer(Duration),
    /// End that order: nothing is to be told of it.
    Cancel(u32),
    /// Remove from the cache.
    Purge {
        /// What, in wire form.
        qname: Box<[u8]>,
        /// And all below.
        subtree: bool,
    },
    /// Connect to a local socket.
    Open(PathBuf),
    /// Write to it.
    Send(u32, Vec<u8>),
    /// Tell when something can be read.
    Receive(u32),
    /// Close it.
    Close(u32),
}

/// What came of an order.
#[derive(Clone, Copy, Debug)]
pub enum Result<'a> {
    /// A message.
    Answer(&'a [u8]),
    /// None.
    Unanswered(Outcome),
    /// The time has passed.
    Time,
    /// So many entries were removed.
    Purged(u64),
    /// What was read, or that the socket is open.
    Bytes(&'a [u8]),
    /// The socket is closed, or cannot be opened.
    Closed,
}
