//! What carries queries to servers, as the table of questions sees it.

use std::net::SocketAddr;

use crate::policy::upstream::Over;

/// One of our UDP sockets, by its place.
pub(super) type Port = u8;

/// One try of one question. The generation tells questions apart that had the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TryKey {
    pub(super) exchange: u32,
    pub(super) generation: u32,
    pub(super) nth: u8,
}

/// Whom a server's state is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) socket: SocketAddr,
    pub(super) over: Over,
}

/// What became of a message for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queued {
    /// It leaves over a connection that is open.
    Open,
    /// It waits for one to open.
    Opening,
    /// All connections are full, or there is no way there.
    No,
}

/// What carries queries.
pub(super) trait Network {
    /// The socket that the next datagram of a family leaves through.
    fn port(&mut self, is_ipv6: bool) -> Option<Port>;

    /// Queues a datagram there; `write` writes it, and says how many bytes it has. An answer is waited for
    /// until [`settled`](Self::settled).
    fn datagram(&mut self, id: u16, to: &SocketAddr, write: impl FnOnce(&mut [u8]) -> usize);

    /// An answer is no longer waited for at that port, for one query.
    fn settled(&mut self, port: Port);

    /// Something came to a port that answers no query. True if there was so much of it that the port is
    /// left.
    fn forged(&mut self, port: Port) -> bool;

    /// Queues a message for a connection to a server, which is known by its number.
    fn message(&mut self, server: u32, address: &Address, key: TryKey, query: &[u8]) -> Queued;
}
