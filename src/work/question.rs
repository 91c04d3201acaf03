//! What a query asks, read again from its packet: to decide, to look up, to ask others.

use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;

use super::cache::Key;
use super::conductor::Ask;
use crate::dns::arrival::{Arrival, Transport};
use crate::dns::consts::{HEADER_LEN, flag};
use crate::dns::query::{Header, Query, client_subnet, parse};
use crate::policy::Policy;
use crate::policy::facts::{Facts, Later, Tags};
use crate::policy::upstream::{Ecs, UpstreamId};

/// What a query asks with: its packet, and the client, where it is one that asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) client: Option<IpAddr>,
}

/// A query, read. What of it stands in the packet is read from there.
#[derive(Debug)]
pub(super) struct Question {
    header: Header,
    query: Query,
}

impl Question {
    /// Reads it. It was parsed before it was handed over.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        let header = Header::read(packet, packet.len())?;
        let mut query = Query::default();
        parse(packet, packet.len(), &header, &mut query).ok()?;
        Some(Self { header, query })
    }

    fn qname<'p>(&self, packet: Packet<'p>) -> &'p [u8] {
        &packet.bytes[HEADER_LEN..HEADER_LEN + self.query.question.name.len()]
    }

    /// Its name, type and class, as they stand in the packet.
    pub(super) fn bytes<'p>(&self, packet: &'p [u8]) -> &'p [u8] {
        &packet[HEADER_LEN..HEADER_LEN + self.query.question.name.len() + 4]
    }

    fn has(&self, flag: u16) -> bool {
        self.header.flags & flag != 0
    }

    fn dnssec_ok(&self) -> bool {
        self.query.opt.as_ref().is_some_and(|opt| opt.dnssec_ok)
    }

    /// Whether the client wants to know if the answer is authentic (RFC 6840, sections 5.7 and 5.8).
    pub(super) fn wants_authentic(&self) -> bool {
        self.has(flag::AD) || self.dnssec_ok()
    }

    /// What rules may know.
    pub(super) fn facts<'a>(
        &'a self,
        packet: &'a [u8],
        arrival: &Arrival,
        tags: Tags,
        later: Later,
    ) -> Facts<'a> {
        let Query { question, opt, .. } = &self.query;
        Facts {
            packet,
            qname: &question.name,
            qtype: question.qtype,
            qclass: question.qclass,
            opcode: self.header.opcode(),
            recursion_desired: self.header.is_recursion_desired(),
            has_edns: opt.is_some(),
            dnssec_ok: self.dnssec_ok(),
            has_ecs: opt.as_ref().is_some_and(|opt| opt.subnet.is_some()),
            src: arrival.peer,
            dst: arrival.local,
            listener: arrival.listener,
            is_tcp: arrival.transport != Transport::Udp,
            tags,
            later,
        }
    }

    /// Where the cache keeps what comes from an upstream; without one, what queries got that no route takes.
    pub(super) fn key<'p>(
        &self,
        policy: &Policy,
        upstream: Option<UpstreamId>,
        packet: Packet<'p>,
    ) -> Key<'p> {
        Key {
            view: upstream.map_or(0, |upstream| view(policy, upstream)),
            qname: self.qname(packet),
            qtype: self.query.question.qtype,
            qclass: self.query.question.qclass,
            dnssec_ok: self.dnssec_ok(),
            checking_disabled: self.has(flag::CD),
            subnet: upstream.and_then(|upstream| self.subnet(policy, upstream, packet)),
        }
    }

    /// What an upstream is asked.
    pub(super) fn ask<'p>(
        &self,
        policy: &Policy,
        upstream: UpstreamId,
        packet: Packet<'p>,
        deadline: Instant,
        is_alone: bool,
    ) -> Ask<'p> {
        Ask {
            upstream,
            qname: self.qname(packet),
            qtype: self.query.question.qtype,
            qclass: self.query.question.qclass,
            recursion_desired: self.has(flag::RD),
            checking_disabled: self.has(flag::CD),
            authentic_data: self.has(flag::AD),
            dnssec_ok: self.dnssec_ok(),
            subnet: self.subnet(policy, upstream, packet),
            deadline,
            is_alone,
            is_once: false,
        }
    }

    /// What an upstream is told of the client.
    fn subnet(&self, policy: &Policy, upstream: UpstreamId, packet: Packet<'_>) -> Option<IpNet> {
        match policy.upstreams().get(usize::from(upstream))?.ecs {
            Ecs::Strip => None,
            Ecs::Pass => self.own_subnet(packet.bytes),
            Ecs::Set { ipv4, ipv6 } => {
                let client = packet.client?.to_canonical();
                let bits = if client.is_ipv4() { ipv4 } else { ipv6 };
                IpNet::new(client, bits).ok().map(|net| net.trunc())
            }
        }
    }

    /// What the client says itself, if that is sound.
    fn own_subnet(&self, packet: &[u8]) -> Option<IpNet> {
        let Query { question, opt, .. } = &self.query;
        let subnet = client_subnet(packet, opt.as_ref()?, question.end).ok()??;
        IpNet::new(subnet.address(), subnet.source()).ok()
    }
}

/// The number of an upstream in the cache: made of its name, which stays the same over reloads; never 0
/// (FNV-1a).
fn view(policy: &Policy, upstream: UpstreamId) -> u32 {
    let name = policy.upstreams().get(usize::from(upstream)).map_or("", |upstream| &upstream.name);
    let add = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    name.bytes().fold(0x811C_9DC5, add).max(1)
}
