//! The OPT of a response (RFC 6891).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use ipnet::IpNet;

use super::super::consts::option;
use super::super::edns::{OPT_LEN, Span};
use super::super::name::Damaged;
use super::super::u16_at;

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
    /// The client subnet (RFC 7871); `None` as well if its family is unknown.
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

impl Opt {
    /// Reads the record that stands at `span`.
    pub(super) fn read(message: &[u8], span: Range<usize>) -> Result<Self, Damaged> {
        let record = message.get(span.clone()).ok_or(Damaged)?;
        let &[_, _, _, size_high, size_low, extended_rcode, version, flags, ..] = record else {
            return Err(Damaged);
        };
        let mut opt = Self {
            span: span.clone(),
            udp_size: u16::from_be_bytes([size_high, size_low]),
            extended_rcode,
            version,
            dnssec_ok: flags & 0x80 != 0,
            cookie: None,
            subnet: None,
            error: None,
        };
        let mut at = OPT_LEN;
        while at < record.len() {
            let code = u16_at(record, at).ok_or(Damaged)?;
            let len = usize::from(u16_at(record, at + 2).ok_or(Damaged)?);
            let data = record.get(at + 4..at + 4 + len).ok_or(Damaged)?;
            match code {
                option::COOKIE if opt.cookie.is_none() => {
                    opt.cookie = Some(Span { at: (span.start + at + 4) as u16, len: len as u16 });
                }
                option::CLIENT_SUBNET if opt.subnet.is_none() => opt.subnet = Subnet::read(data)?,
                option::EDE if opt.error.is_none() => opt.error = u16_at(data, 0),
                _ => {}
            }
            at += 4 + len;
        }
        Ok(opt)
    }
}

impl Subnet {
    fn read(data: &[u8]) -> Result<Option<Self>, Damaged> {
        let &[family_high, family_low, source, scope, ref address @ ..] = data else { return Err(Damaged) };
        let mut bytes = [0; 16];
        let most = match [family_high, family_low] {
            [0, 1] => 4,
            [0, 2] => 16,
            _ => return Ok(None),
        };
        // "ADDRESS, variable number of octets, ... truncated to the number of bits indicated by the SOURCE
        // PREFIX-LENGTH field, ... padded with 0 bits to pad to the end of the last octet needed".
        if usize::from(source) > 8 * most || usize::from(scope) > 8 * most {
            return Err(Damaged);
        }
        if address.len() != usize::from(source).div_ceil(8) {
            return Err(Damaged);
        }
        bytes[..address.len()].copy_from_slice(address);
        let address = match most {
            4 => Ipv4Addr::from_bits(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).into(),
            _ => Ipv6Addr::from(bytes).into(),
        };
        let subnet = Self { address, source, scope };
        if subnet.net(source).addr() == address { Ok(Some(subnet)) } else { Err(Damaged) }
    }

    /// The network of the first `bits` bits of the address: those of its family, at the most.
    #[must_use]
    pub fn net(&self, bits: u8) -> IpNet {
        let most = if self.address.is_ipv4() { 32 } else { 128 };
        IpNet::new(self.address, bits.min(most)).map_or_else(|_| IpNet::from(self.address), |net| net.trunc())
    }

    /// What the response is for.
    #[must_use]
    pub fn scope_net(&self) -> IpNet {
        self.net(self.scope)
    }
}
