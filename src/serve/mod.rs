//! One decision per packet.

use std::net::SocketAddr;

/// How a query came in: what of its transport may matter to the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram.
    Udp,
    /// A message of a connection.
    Tcp {
        /// What the keepalive option says when it is asked for (RFC 7828): the idle time-out in units of 100 ms.
        keepalive: u16,
    },
}

/// What `serve` may know of the outside.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The transport.
    pub transport: Transport,
    /// Who asks.
    pub peer: SocketAddr,
    /// The address and port that were asked.
    pub local: SocketAddr,
}

/// What becomes of a query. There is no third thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The first so many bytes of the slot are the reply.
    Reply(usize),
    /// No reply. A connection is closed once the answers already due are sent.
    Drop,
}

/// What becomes of a dynamic update (RFC 2136). RFC 7534 has the node refuse them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdatePolicy {
    /// REFUSED: the client stops at once.
    Refused,
    /// NOTIMP: the answer of a server that knows no updates.
    Notimp,
    /// No reply.
    Drop,
}
