//! OPT, the pseudo-record of EDNS (RFC 6891): what a query asks with it, and the one we answer with.
//!
//! ```text
//! 00 | 00 29 | UDP payload size | extended rcode | version | DO, Z | RDLEN | options: code, length, data ...
//! ```

use core::ops::Range;

use super::consts::{option, rtype};
use super::cookie::{COOKIE_LEN, Cookie};
use super::name::Damaged;
use super::u16_at;

/// Bytes of an OPT record without options.
pub const OPT_LEN: usize = 11;
/// Bytes of an option with a cookie.
pub const COOKIE_OPTION_LEN: usize = 4 + COOKIE_LEN;
/// The DO bit in the low half of the TTL field (RFC 3225).
const DNSSEC_OK: u8 = 0x80;

/// What the OPT of a query says, as far as we act on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opt {
    /// The UDP payload that the client can take, in bytes, as it was sent: 0 to 65,535.
    pub udp_size: u16,
    /// The EDNS version.
    pub version: u8,
    /// The DO bit.
    pub dnssec_ok: bool,
    /// NSID was asked for (RFC 5001), with or without data.
    pub nsid: bool,
    /// The keepalive option was sent (RFC 7828).
    pub keepalive: bool,
    /// Where the cookie stands in the packet (RFC 7873), if one was sent. It is not looked into, and of
    /// several only the first counts.
    pub cookie: Option<Span>,
    /// A client subnet was sent (RFC 7871).
    pub ecs: bool,
}

/// A part of the packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Its offset.
    pub at: u16,
    /// Its bytes.
    pub len: u16,
}

impl Opt {
    /// Reads the fixed part of the OPT whose CLASS field stands at `class_at`; the caller has found it inside
    /// the packet.
    #[inline]
    pub(super) fn fixed(packet: &[u8], class_at: usize) -> Option<Self> {
        let &[size_high, size_low, _extended_rcode, version, flags, ..] =
            packet.get(class_at..class_at + 6)?
        else {
            return None;
        };
        Some(Self {
            udp_size: u16::from_be_bytes([size_high, size_low]),
            version,
            dnssec_ok: flags & DNSSEC_OK != 0,
            nsid: false,
            keepalive: false,
            cookie: None,
            ecs: false,
        })
    }

    /// Walks the options in the `rdata` of the packet. Unknown ones, and those that we do not answer,
    /// are passed over.
    ///
    /// # Errors
    /// [`Damaged`] when they do not fill the rdata exactly.
    #[inline]
    pub(super) fn read_options(&mut self, packet: &[u8], rdata: Range<usize>) -> Result<(), Damaged> {
        let packet = packet.get(..rdata.end).ok_or(Damaged)?;
        let mut at = rdata.start;
        while at < packet.len() {
            let code = u16_at(packet, at).ok_or(Damaged)?;
            let len = usize::from(u16_at(packet, at + 2).ok_or(Damaged)?);
            self.nsid |= code == option::NSID;
            self.keepalive |= code == option::TCP_KEEPALIVE;
            self.ecs |= code == option::CLIENT_SUBNET;
            if code == option::COOKIE && self.cookie.is_none() {
                // A packet that is read in full has 2,048 bytes at most.
                self.cookie = Some(Span { at: (at + 4) as u16, len: len as u16 });
            }
            at += 4 + len;
        }
        if at == packet.len() { Ok(()) } else { Err(Damaged) }
    }

    /// The last option with that code in the `rdata` of a packet that was read.
    #[cold]
    pub(super) fn option(packet: &[u8], rdata: Range<usize>, wanted: u16) -> Option<&[u8]> {
        let (mut at, mut found) = (rdata.start, None);
        while at < rdata.end {
            let len = usize::from(u16_at(packet, at + 2)?);
            let data = packet.get(at + 4..at + 4 + len)?;
            found = if u16_at(packet, at)? == wanted { Some(data) } else { found };
            at += 4 + len;
        }
        found
    }
}

/// The OPT of a reply. Options are written in this order: NSID, keepalive, extended error.
#[derive(Clone, Copy, Debug, Default)]
pub struct OptReply<'a> {
    /// The UDP payload that we can take, in bytes.
    pub udp_size: u16,
    /// The high eight bits of the response code.
    pub extended_rcode: u8,
    /// The DO bit of the query.
    pub dnssec_ok: bool,
    /// Who answers (RFC 5001).
    pub nsid: Option<&'a [u8]>,
    /// The idle time-out of the connection, in units of 100 ms (RFC 7828).
    pub keepalive: Option<u16>,
    /// An extended error without text (RFC 8914).
    pub error: Option<u16>,
}

impl OptReply<'_> {
    /// Bytes of the record.
    #[inline]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a record is never empty")]
    pub fn len(&self) -> usize {
        let nsid = self.nsid.map_or(0, |nsid| 4 + nsid.len());
        let fixed = |present: bool| if present { 6 } else { 0 };
        OPT_LEN + nsid + fixed(self.keepalive.is_some()) + fixed(self.error.is_some())
    }

    /// Writes the record into `out`, which has exactly [`len`](Self::len) bytes.
    #[inline]
    pub(super) fn write(&self, out: &mut [u8]) {
        let options_len = (out.len() - OPT_LEN) as u16;
        let (fixed, mut options) = out.split_at_mut(OPT_LEN);
        fixed[0] = 0;
        fixed[1..3].copy_from_slice(&rtype::OPT.to_be_bytes());
        fixed[3..5].copy_from_slice(&self.udp_size.to_be_bytes());
        fixed[5] = self.extended_rcode;
        fixed[6] = 0;
        fixed[7] = if self.dnssec_ok { DNSSEC_OK } else { 0 };
        fixed[8] = 0;
        fixed[9..11].copy_from_slice(&options_len.to_be_bytes());
        if let Some(nsid) = self.nsid {
            options = write_option(options, option::NSID, nsid);
        }
        if let Some(timeout) = self.keepalive {
            options = write_option(options, option::TCP_KEEPALIVE, &timeout.to_be_bytes());
        }
        if let Some(code) = self.error {
            options = write_option(options, option::EDE, &code.to_be_bytes());
        }
        debug_assert!(options.is_empty());
    }
}

/// Appends a cookie to an OPT, which has all of `record` but its last [`COOKIE_OPTION_LEN`] bytes.
pub(super) fn append_cookie(record: &mut [u8], cookie: &Cookie) {
    let (written, option) = record.split_at_mut(record.len() - COOKIE_OPTION_LEN);
    let options_len = (written.len() - OPT_LEN + COOKIE_OPTION_LEN) as u16;
    written[9..11].copy_from_slice(&options_len.to_be_bytes());
    write_option(option, option::COOKIE, cookie);
}

/// Writes one option at the beginning of `out` and returns what is left of it.
#[inline]
fn write_option<'o>(out: &'o mut [u8], code: u16, data: &[u8]) -> &'o mut [u8] {
    let (option, rest) = out.split_at_mut(4 + data.len());
    option[..2].copy_from_slice(&code.to_be_bytes());
    option[2..4].copy_from_slice(&(data.len() as u16).to_be_bytes());
    option[4..].copy_from_slice(data);
    rest
}
