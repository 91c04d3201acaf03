//! What rules are asked about.

use core::net::SocketAddr;
use core::time::Duration;

use super::upstream::UpstreamId;
use crate::dns::arrival::{Arrival, Transport};
use crate::dns::consts::HEADER_LEN;
use crate::dns::name::Walk;
use crate::dns::query::{Header, Query};

/// The tags of a query, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tags(pub u64);

/// What is known of a query.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The packet; the question's name stands after the header.
    pub packet: &'a [u8],
    /// Where its labels begin.
    pub qname: &'a Walk,
    /// The type.
    pub qtype: u16,
    /// The class.
    pub qclass: u16,
    /// The operation code.
    pub opcode: u8,
    /// Recursion is desired.
    pub recursion_desired: bool,
    /// It has an OPT.
    pub has_edns: bool,
    /// The DO bit.
    pub dnssec_ok: bool,
    /// It has a client subnet (RFC 7871).
    pub has_ecs: bool,
    /// Who asks.
    pub src: SocketAddr,
    /// The address that was asked.
    pub dst: SocketAddr,
    /// The listener, by its place among those configured.
    pub listener: usize,
    /// It came over TCP.
    pub is_tcp: bool,
    /// What earlier rules have tagged it with.
    pub tags: Tags,
    /// What is known on a worker only.
    pub later: Later,
}

impl<'a> Facts<'a> {
    /// The name that is asked for, as it came.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        self.packet.get(HEADER_LEN..HEADER_LEN + self.qname.len()).unwrap_or_default()
    }
}

/// What rules may ask of a query that has just come in.
#[inline]
#[must_use]
pub fn facts<'a>(arrival: &Arrival, header: &Header, packet: &'a [u8], query: &'a Query) -> Facts<'a> {
    let Query { question, opt, .. } = query;
    Facts {
        packet,
        qname: &question.name,
        qtype: question.qtype,
        qclass: question.qclass,
        opcode: header.opcode(),
        recursion_desired: header.is_recursion_desired(),
        has_edns: opt.is_some(),
        dnssec_ok: opt.as_ref().is_some_and(|opt| opt.dnssec_ok),
        has_ecs: opt.as_ref().is_some_and(|opt| opt.subnet.is_some()),
        src: arrival.peer,
        dst: arrival.local,
        listener: arrival.listener,
        is_tcp: arrival.transport != Transport::Udp,
        tags: Tags::default(),
        later: Later::default(),
    }
}

/// What is known of a query from the phase `request` on; each `None` until it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Later {
    /// Where the client is, by the databases.
    pub country: Option<[u8; 2]>,
    /// Its autonomous system.
    pub asn: Option<u32>,
    /// What the cache has had.
    pub cache: Option<Cached>,
    /// Who was asked.
    pub upstream: Option<UpstreamId>,
    /// How long the response took.
    pub rtt: Option<Duration>,
    /// What came of asking.
    pub outcome: Option<Outcome>,
    /// The response code of the response or reply, with the bits of EDNS.
    pub rcode: Option<u16>,
}

/// What the cache had for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cached {
    /// An answer.
    Hit,
    /// One whose time has passed.
    Stale,
    /// Nothing.
    Miss,
}

/// What came of asking an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A response.
    Ok,
    /// None in time.
    Timeout,
    /// Nobody listens there, or all circuits are open.
    Refused,
    /// None that can be used.
    Bad,
}
