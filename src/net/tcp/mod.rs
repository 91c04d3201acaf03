//! DNS over TCP (RFC 7766, RFC 9210, RFC 7828).
//!
//! All connections of the process live in one table on one thread of their own. So no TCP peer can touch the
//! latency of datagrams, and every limit is exact. The thread never waits for a peer: the sockets do not
//! block, a partial message costs its bytes and nothing else, and connections take turns of bounded length.
//!
//! `conn.rs` is one connection without I/O, `table.rs` holds them all, `order.rs` knows which is closed for
//! another, `driver.rs` moves the bytes.

mod conn;
mod driver;
mod lists;
mod order;
#[cfg(test)]
mod random;
mod serving;
mod table;

use std::net::IpAddr;
use std::time::Duration;

use crate::dns::arrival::Arrival;
use crate::limits;
use crate::serve::Verdict;
use crate::serve::job::{Connection, Job};
pub use driver::TcpDriver;
pub use serving::Serving;
pub use table::memory_len;

/// The limits of the connections that an operator may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSettings {
    /// Connections of the process.
    pub connections_max: usize,
    /// Connections of one client: an address, for IPv6 its /64.
    pub connections_per_client_max: usize,
    /// Time for a whole message from its first byte.
    pub message_timeout: Duration,
    /// Idle time after the last answer, or the accept, while at most half of `connections_max` are open.
    pub idle_timeout: Duration,
    /// Time for which a client may take nothing of the answers that wait for it.
    pub write_timeout: Duration,
    /// How long connections are served that are there when a successor takes over.
    pub drain_timeout: Duration,
    /// Bytes of all buffers together.
    pub buffers_len_max: usize,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            connections_max: limits::TCP_CONNECTIONS_MAX,
            connections_per_client_max: limits::TCP_CONNECTIONS_PER_CLIENT_MAX,
            message_timeout: limits::TCP_MESSAGE_TIMEOUT,
            idle_timeout: limits::TCP_IDLE_TIMEOUT,
            write_timeout: limits::TCP_WRITE_TIMEOUT,
            drain_timeout: limits::TCP_DRAIN_TIMEOUT,
            buffers_len_max: limits::TCP_BUFFERS_LEN_MAX,
        }
    }
}

impl TcpSettings {
    /// The idle time while `open` connections are open: from a half-full table on it falls evenly,
    /// down to [`TCP_IDLE_TIMEOUT_MIN`](limits::TCP_IDLE_TIMEOUT_MIN) or to the setting where that is less.
    fn idle_in_force(&self, open: usize) -> Duration {
        let half = (self.connections_max / 2).max(1);
        let free = self.connections_max.saturating_sub(open).min(half);
        let idle = self.idle_timeout.mul_f64(free as f64 / half as f64);
        idle.max(self.idle_timeout.min(limits::TCP_IDLE_TIMEOUT_MIN))
    }
}

/// Bytes that the kernel may hold for the connections: both buffers, which it doubles.
#[must_use]
pub const fn kernel_memory_len(settings: &TcpSettings) -> usize {
    settings.connections_max * 2 * (limits::TCP_KERNEL_SEND_LEN + limits::TCP_KERNEL_RECEIVE_LEN)
}

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Closed {
    /// The client closed, and has what was due to it.
    Client,
    /// Idle for too long.
    Idle,
    /// A message was not whole in time.
    Message,
    /// The client did not take its answers.
    Unread,
    /// It made room for another: the table was full.
    RoomInTable,
    /// It made room for another of the same client.
    RoomOfClient,
    /// It was closed as it was accepted: its client has as many as it may, and uses them all.
    Refused,
    /// It held the most of buffers that were all used up.
    Buffers,
    /// It sent what gets no answer: a length under 12, a response, or what is configured to be dropped.
    Protocol,
    /// The socket failed; mostly, the client has reset it.
    Failed,
    /// The server stops.
    Stop,
}

/// What happens to connections, for counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcpEvent {
    /// A connection was accepted. Each is followed by one `Closed`.
    Opened,
    /// A connection was closed.
    Closed(Closed),
    /// A connection failed while it was accepted.
    AcceptFailed,
    /// The process ran out of descriptors or memory, and accepts nothing for a moment.
    AcceptPaused,
}

/// What the connections are served with. It runs on their thread, and must not wait.
pub trait TcpHandler {
    /// The thread has woken up: the moment to look for a newer snapshot.
    fn woken(&mut self);

    /// Whether a connection from this address is closed at once, which it counts.
    fn refuses(&mut self, _address: IpAddr) -> bool {
        false
    }

    /// Answers the query in the first `len` bytes of `slot` in its place. `slot` has
    /// [`TCP_REPLY_LEN_MAX`](limits::TCP_REPLY_LEN_MAX) bytes; `len` is at least 12, and over
    /// [`QUERY_LEN_MAX`](limits::QUERY_LEN_MAX) (by one) when the query was longer than that. After
    /// [`Verdict::Drop`] the connection is closed, once the answers already due are sent. With
    /// [`Verdict::HandOff`] it was handed over: a job [`returned`](Self::returned) will have its reply.
    fn answer(&mut self, arrival: &Arrival, connection: Connection, slot: &mut [u8], len: usize) -> Verdict;

    /// The next job that came back.
    fn returned(&mut self) -> Option<Box<Job>> {
        None
    }

    /// Frees a job whose reply was used.
    fn put(&mut self, _job: Box<Job>) {}

    /// The thread is about to sleep: the moment to wake those that were handed something.
    fn rests(&mut self) {}

    /// From now on nothing is accepted.
    fn paused(&mut self) {}

    /// Counts an event.
    fn count(&mut self, event: TcpEvent);
}
