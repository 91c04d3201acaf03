//! A query, as an application sees it, and one that it holds.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;

use crate::abi::{flag, request, REQUEST_LEN, UPSTREAM_NONE};
use crate::name::Name;
use crate::reply::Reply;
use crate::verdict::Verdict;
use crate::{runtime, tasks};

/// A point in a query's life at which applications are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Before the cache is looked at.
    Request = 1,
    /// The cache has nothing fresh.
    PostCache = 2,
    /// An upstream has responded, or has not.
    Response = 3,
    /// There is a reply, from wherever.
    Reply = 4,
    /// It has been sent.
    Done = 5,
}

/// An IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// IPv4.
    V4([u8; 4]),
    /// IPv6.
    V6([u8; 16]),
}

impl Address {
    /// Its bytes, in network order.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        match self {
            Self::V4(octets) => octets,
            Self::V6(octets) => octets,
        }
    }

    /// The address with all bits after the first so many cleared: the network that it is in.
    #[must_use]
    pub fn network(mut self, bits: u8) -> Self {
        let octets: &mut [u8] = match &mut self {
            Self::V4(octets) => octets,
            Self::V6(octets) => octets,
        };
        for (at, octet) in octets.iter_mut().enumerate() {
            let kept = usize::from(bits).saturating_sub(8 * at).min(8);
            *octet &= !(0xFF_u32 >> kept) as u8;
        }
        self
    }
}

/// Prints the address as is usual.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4([a, b, c, d]) => write!(f, "{}.{}.{}.{}", a, b, c, d),
            Self::V6(octets) => fmt_v6(octets, f),
        }
    }
}

/// RFC 5952: the longest run of zeros is left out.
fn fmt_v6(octets: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut groups = [0_u16; 8];
    for (group, pair) in groups.iter_mut().zip(octets.chunks_exact(2)) {
        *group = u16::from_be_bytes([pair[0], pair[1]]);
    }
    let (mut best, mut best_len, mut at) = (8, 1, 0);
    while at < 8 {
        let len = groups[at..].iter().take_while(|group| **group == 0).count();
        if len > best_len {
            best = at;
            best_len = len;
        }
        at += len.max(1);
    }
    let mut at = 0;
    while at < 8 {
        if at == best {
            f.write_str("::")?;
            at += best_len;
        } else {
            if at > 0 && at != best + best_len {
                f.write_str(":")?;
            }
            write!(f, "{:x}", groups[at])?;
            at += 1;
        }
    }
    Ok(())
}

/// What came of asking an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody was asked.
    None,
    /// A response.
    Response,
    /// None in time.
    Timeout,
    /// Nobody is there.
    Unreachable,
    /// Nothing that can be read.
    Unreadable,
}

/// A query, and what the host knows of it.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    request: &'a [u8],
    packet: &'a [u8],
    question_end: usize,
}

impl<'a> Query<'a> {
    /// `request` has [`REQUEST_LEN`] bytes.
    pub(crate) fn new(request: &'a [u8], packet: &'a [u8]) -> Self {
        let len = u32_at(request, request::QUERY_LEN) as usize;
        let packet = packet.get(..len).unwrap_or(packet);
        let question_end = usize::from(u16_at(request, request::QUESTION_END));
        let is_in_bounds = (12 + 1 + 4..=packet.len()).contains(&question_end);
        Self { request, packet, question_end: if is_in_bounds { question_end } else { packet.len().min(17) } }
    }

    /// The whole message, as the client sent it.
    #[must_use]
    pub fn packet(&self) -> &'a [u8] {
        self.packet
    }

    pub(crate) fn question_end(&self) -> usize {
        self.question_end
    }

    /// The name that is asked for.
    #[must_use]
    pub fn qname(&self) -> Name<'a> {
        Name::trusted(self.packet.get(12..self.question_end - 4).unwrap_or_default())
    }

    /// The type that is asked for.
    #[must_use]
    pub fn qtype(&self) -> u16 {
        u16_at(self.request, request::QTYPE)
    }

    /// The class.
    #[must_use]
    pub fn qclass(&self) -> u16 {
        u16_at(self.request, request::QCLASS)
    }

    /// The phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.request[request::PHASE] {
            2 => Phase::PostCache,
            3 => Phase::Response,
            4 => Phase::Reply,
            5 => Phase::Done,
            _ => Phase::Request,
        }
    }

    /// The query's number, which no other query has at the same time.
    #[must_use]
    pub fn token(&self) -> u32 {
        u32_at(self.request, request::TOKEN)
    }

    fn has(&self, flag: u8) -> bool {
        self.request[request::FLAGS] & flag != 0
    }

    /// It came over TCP.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        self.has(flag::TCP)
    }

    /// Recursion is desired.
    #[must_use]
    pub fn is_recursion_desired(&self) -> bool {
        self.has(flag::RD)
    }

    /// The client has EDNS.
    #[must_use]
    pub fn has_edns(&self) -> bool {
        self.has(flag::EDNS)
    }

    /// The client wants DNSSEC's records.
    #[must_use]
    pub fn is_dnssec_ok(&self) -> bool {
        self.has(flag::DO)
    }

    /// The cache had an answer.
    #[must_use]
    pub fn is_cache_hit(&self) -> bool {
        self.has(flag::CACHE_HIT)
    }

    /// The cache's answer is stale.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.has(flag::STALE)
    }

    /// It is traced: spans are kept.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.has(flag::TRACED)
    }

    /// The client's address.
    #[must_use]
    pub fn peer(&self) -> Address {
        self.address(request::PEER)
    }

    /// The client's port.
    #[must_use]
    pub fn peer_port(&self) -> u16 {
        u16_at(self.request, request::PEER_PORT)
    }

    /// The address that was asked.
    #[must_use]
    pub fn local(&self) -> Address {
        self.address(request::LOCAL)
    }

    /// The port that was asked.
    #[must_use]
    pub fn local_port(&self) -> u16 {
        u16_at(self.request, request::LOCAL_PORT)
    }

    fn address(&self, at: usize) -> Address {
        let mut octets = [0; 16];
        octets.copy_from_slice(&self.request[at..at + 16]);
        if self.request[request::FAMILY] == 6 {
            return Address::V6(octets);
        }
        Address::V4([octets[0], octets[1], octets[2], octets[3]])
    }

    /// The listener that took it, by its place in the node's configuration.
    #[must_use]
    pub fn listener(&self) -> u16 {
        u16_at(self.request, request::LISTENER)
    }

    /// Nanoseconds of Unix time.
    #[must_use]
    pub fn unix_ns(&self) -> u64 {
        u64_at(self.request, request::UNIX_NS)
    }

    /// When its time is up, in nanoseconds of Unix time: then it gets the fallback, held or not.
    #[must_use]
    pub fn deadline_ns(&self) -> u64 {
        u64_at(self.request, request::DEADLINE_NS)
    }

    /// The client's country (ISO 3166), where the host has looked it up.
    #[must_use]
    pub fn country(&self) -> Option<[u8; 2]> {
        let country = [self.request[request::COUNTRY], self.request[request::COUNTRY + 1]];
        Some(country).filter(|country| *country != [0; 2])
    }

    /// The client's autonomous system, where the host has looked it up.
    #[must_use]
    pub fn asn(&self) -> Option<u32> {
        Some(u32_at(self.request, request::ASN)).filter(|asn| *asn != 0)
    }

    /// The response code of the reply so far, with the bits of EDNS.
    #[must_use]
    pub fn rcode(&self) -> u16 {
        u16_at(self.request, request::RCODE)
    }

    /// Who was asked, by the place in the manifest's `[allow] forward`.
    #[must_use]
    pub fn upstream(&self) -> Option<u16> {
        Some(u16_at(self.request, request::UPSTREAM)).filter(|upstream| *upstream != UPSTREAM_NONE)
    }

    /// What came of asking.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self.request[request::OUTCOME] {
            1 => Outcome::Response,
            2 => Outcome::Timeout,
            3 => Outcome::Unreachable,
            4 => Outcome::Unreadable,
            _ => Outcome::None,
        }
    }

    /// Bytes of the reply so far.
    pub(crate) fn reply_len(&self) -> usize {
        u32_at(self.request, request::REPLY_LEN) as usize
    }

    /// Holds the query: `make` makes a task, which ends it by [`Held::end`]. Meanwhile other queries are
    /// answered.
    ///
    /// ```
    /// # use as112_guest::{App, Query, Reply, Start, StartError, Verdict, forward};
    /// # struct Relay;
    /// # impl App for Relay {
    /// # fn start(_: &mut Start<'_>) -> Result<Self, StartError> { Ok(Self) }
    /// fn query(&mut self, query: Query<'_>, _: Reply<'_>) -> Verdict {
    ///     query.later(|held| async move {
    ///         match forward("lan", held.query().packet()).await {
    ///             Ok(answer) => held.end(|_, reply| reply.copy(&answer.message()).send()),
    ///             Err(_) => held.end(|_, _| Verdict::fail()),
    ///         }
    ///     })
    /// }
    /// # }
    /// ```
    pub fn later<F: Future<Output = ()> + 'static>(&self, make: impl FnOnce(Held) -> F) -> Verdict {
        let mut request = Box::new([0; REQUEST_LEN]);
        request.copy_from_slice(self.request);
        tasks::spawn(make(Held { request, packet: self.packet.to_vec(), is_ended: false }));
        Verdict::later()
    }
}

impl fmt::Debug for Query<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query").field("qname", &self.qname()).field("qtype", &self.qtype()).finish()
    }
}

/// A query that is held. If it goes without having been ended, the query gets the fallback.
#[derive(Debug)]
pub struct Held {
    request: Box<[u8; REQUEST_LEN]>,
    packet: Vec<u8>,
    is_ended: bool,
}

impl Held {
    /// The query.
    #[must_use]
    pub fn query(&self) -> Query<'_> {
        Query::new(&self.request[..], &self.packet)
    }

    /// Ends the query. (From within a task: where the query is still being handed over, it fails.)
    pub fn end(mut self, make: impl FnOnce(Query<'_>, Reply<'_>) -> Verdict) {
        self.is_ended = true;
        runtime::end(self.query(), make);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.is_ended {
            runtime::end(self.query(), |_, _| Verdict::fail());
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn addresses_are_printed_as_usual() {
        let v6 = |groups: [u16; 8]| {
            let mut octets = [0; 16];
            for (pair, group) in octets.chunks_exact_mut(2).zip(groups) {
                pair.copy_from_slice(&group.to_be_bytes());
            }
            Address::V6(octets)
        };
        assert_eq!(Address::V4([192, 0, 2, 1]).to_string(), "192.0.2.1");
        for groups in [
            [0; 8],
            [0, 0, 0, 0, 0, 0, 0, 1],
            [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1],
            [0x2001, 0, 0, 1, 0, 0, 0, 1],
            [1, 0, 3, 4, 5, 6, 7, 8],
            [1, 2, 3, 4, 5, 6, 0, 0],
            [1, 2, 3, 4, 5, 6, 7, 8],
        ] {
            let usual = std::net::Ipv6Addr::new(
                groups[0], groups[1], groups[2], groups[3], groups[4], groups[5], groups[6], groups[7],
            );
            // 2001::1:0:0:0:1 has two runs: the longest one is left out.
            assert_eq!(v6(groups).to_string(), usual.to_string());
        }
    }

    #[test]
    fn networks_are_cut_at_every_bit() {
        let address = Address::V4([0xFF; 4]);
        assert_eq!(address.network(0), Address::V4([0; 4]));
        assert_eq!(address.network(1), Address::V4([0x80, 0, 0, 0]));
        assert_eq!(address.network(20), Address::V4([0xFF, 0xFF, 0xF0, 0]));
        assert_eq!(address.network(32), address);
        assert_eq!(address.network(255), address);
    }
}
