//! How a query came in.

use core::net::SocketAddr;

/// How a query came in: what of its transport may matter to the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram.
    Udp,
    /// A message of a connection.
    Tcp {
        /// What the keepalive option says when it is asked for (RFC 7828): the idle time-out in units of 100
        /// ms.
        keepalive: u16,
    },
}

/// What a rate limit has for a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// Its network is within the limit, or there is none.
    #[default]
    Within,
    /// It is over the limit: a truncated reply, which sends a resolver to TCP.
    Slip,
    /// It is over the limit: no reply.
    Drop,
    /// It is over a limit that only counts.
    DryRun,
    /// It is over the limit, which is not for its network.
    Exempt,
}

/// What an answer may know of the outside.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The transport.
    pub transport: Transport,
    /// Who asks.
    pub peer: SocketAddr,
    /// The address and port that were asked.
    pub local: SocketAddr,
    /// The listener that took it, by its place among those configured.
    pub listener: usize,
    /// Seconds of Unix time, modulo 2^32: cookies have an age (RFC 9018, section 4.3).
    pub unix_time: u32,
    /// What a rate limit has for it, unless it has a valid cookie.
    pub pace: Pace,
}
