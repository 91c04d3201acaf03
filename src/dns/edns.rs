//! OPT, the pseudo-record of EDNS (RFC 6891): what a query asks with it, and the one we answer with.
//!
//! ```text
//! 00 | 00 29 | UDP payload size | extended rcode | version | DO, Z | RDLEN | options: code, length, data ...
//! ```

use core::ops::Range;

use super::consts::{option, rtype};
use super::cookie::{COOKIE_LEN, Cookie};
use super::ecs::{SUBNET_LEN_MAX, Subnet};
use super::name::Damaged;
use super::u16_at;

/// Bytes of an OPT record without options.
pub const OPT_LEN: usize = 11;
/// Bytes of an option with a cookie.
pub const COOKIE_OPTION_LEN: usize = 4 + COOKIE_LEN;
/// Bytes of the longest option with a client subnet.
pub const SUBNET_OPTION_LEN_MAX: usize = 4 + SUBNET_LEN_MAX;
/// The DO bit in the low half of the TTL field (RFC 3225).
pub(super) const DNSSEC_OK: u8 = 0x80;

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
    /// Where the cookie stands in the packet (RFC 7873), if one was sent. Nobody here reads it; of several
    /// the first counts.
    pub cookie: Option<Span>,
    /// Where the data of the first client subnet stands (RFC 7871), if one was sent.
    pub subnet: Option<Span>,
    /// There are more of them.
    pub(super) has_more_subnets: bool,
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
    /// One of version 0 without options.
    #[must_use]
    pub fn plain(dnssec_ok: bool) -> Self {
        Self { dnssec_ok, ..Self::default() }
    }

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
            subnet: None,
            has_more_subnets: false,
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
            if code == option::COOKIE && self.cookie.is_none() {
                // A packet that is read in full has 2,048 bytes at most.
                self.cookie = Some(Span { at: (at + 4) as u16, len: len as u16 });
            }
            if code == option::CLIENT_SUBNET {
                self.note_subnet(Span { at: (at + 4) as u16, len: len as u16 });
            }
            at += 4 + len;
        }
        if at == packet.len() { Ok(()) } else { Err(Damaged) }
    }

    #[inline]
    fn note_subnet(&mut self, span: Span) {
        self.has_more_subnets = self.subnet.is_some();
        self.subnet.get_or_insert(span);
    }

    /// The data of each option with that code in the `rdata` of a packet that was read.
    #[cold]
    pub(super) fn options(packet: &[u8], rdata: Range<usize>, wanted: u16) -> impl Iterator<Item = &[u8]> {
        let mut at = rdata.start;
        let options = core::iter::from_fn(move || {
            let header = packet.get(at..rdata.end)?;
            let (code, len) = (u16_at(header, 0)?, usize::from(u16_at(header, 2)?));
            at += 4 + len;
            Some((code, header.get(4..4 + len)?))
        });
        options.filter(move |(code, _)| *code == wanted).map(|(_, data)| data)
    }
}

/// The OPT of a reply. Options are written in this order: NSID, keepalive, extended error; a client subnet is
/// inserted after NSID, a cookie is appended.
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

    /// Where in the record a client subnet stands: options are in the order of their codes.
    pub(super) fn subnet_at(&self) -> usize {
        OPT_LEN + self.nsid.map_or(0, |nsid| 4 + nsid.len())
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
    let at = record.len() - COOKIE_OPTION_LEN;
    write_option(&mut record[at..], option::COOKIE, cookie);
    write_options_len(record);
}

/// Inserts a client subnet at `at` into an OPT, which has all of `record` but as many of its last bytes as
/// the option takes.
pub(super) fn insert_subnet(record: &mut [u8], at: usize, subnet: &Subnet) {
    let len = subnet.option_len();
    record.copy_within(at..record.len() - len, at + len);
    write_option(&mut record[at..], option::CLIENT_SUBNET, subnet.data());
    write_options_len(record);
}

/// Writes how many bytes the options of an OPT have.
fn write_options_len(record: &mut [u8]) {
    let options_len = (record.len() - OPT_LEN) as u16;
    record[9..11].copy_from_slice(&options_len.to_be_bytes());
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
