//! Rdata between presentation form and wire form: each type is a row of fields.
//!
//! Not with the `domain` crate: as of 0.12.3 it lacks a third of the types that other servers read, and for
//! some of the rest it serves wrong bytes (`key1=` of an SVCB, records whose last value is missing).

use std::ops::Range;

use domain::base::iana::Rtype;

use super::entries::{Mistake, Token};
use super::field::{Field, Values};
use super::text::hex;
use crate::dns::name::Name;

/// What the rdata of `rtype` consists of; `None` for a type that is only written as `\# length hex`.
fn fields(rtype: Rtype) -> Option<&'static [Field]> {
    use Field::*;

    /// SHA-1 and SHA-256 (RFC 4255, RFC 6594).
    const FINGERPRINT: Field = Hex { min: 1, of: &[(1, 20), (2, 32)] };
    /// SHA-384 and SHA-512; a digest has at least 12 bytes (RFC 8976, section 2.2.4).
    const ZONE_DIGEST: Field = Hex { min: 12, of: &[(1, 48), (2, 64)] };
    const ANY_HEX: Field = Hex { min: 1, of: &[] };
    const STRINGS: Field = Strings { max: usize::MAX };

    Some(match rtype {
        Rtype::A => &[Ipv4],
        Rtype::NS | Rtype::MD | Rtype::MF | Rtype::CNAME | Rtype::MB | Rtype::MG | Rtype::MR => &[Name],
        Rtype::PTR | Rtype::DNAME => &[Name],
        Rtype::SOA => &[Name, Name, U32, Time, Time, Time, Time],
        Rtype::HINFO => &[String, String],
        Rtype::MINFO | Rtype::RP => &[Name, Name],
        Rtype::MX | Rtype::AFSDB | Rtype::RT | Rtype::KX => &[U16, Name],
        Rtype::TXT | Rtype::SPF | Rtype::NINFO | Rtype::AVC | Rtype::RESINFO | Rtype::WALLET => &[STRINGS],
        Rtype::X25 => &[Digits],
        Rtype::ISDN => &[Strings { max: 2 }],
        Rtype::NSAP => &[Nsap],
        Rtype::PX => &[U16, Name, Name],
        Rtype::AAAA => &[Ipv6],
        Rtype::LOC => &[Loc],
        Rtype::EID | Rtype::NIMLOC => &[ANY_HEX],
        Rtype::SRV => &[U16, U16, U16, Name],
        Rtype::NAPTR => &[U16, U16, String, String, String, Name],
        Rtype::CERT => &[CertType, U16, Algorithm, Base64],
        Rtype::APL => &[Prefixes],
        Rtype::SSHFP => &[U8, U8, FINGERPRINT],
        Rtype::IPSECKEY => &[U8, U8, U8, Gateway, IpsecKey],
        Rtype::DHCID | Rtype::OPENPGPKEY => &[Base64],
        Rtype::TLSA | Rtype::SMIMEA => &[U8, U8, U8, ANY_HEX],
        Rtype::TALINK => &[ExactName, ExactName],
        Rtype::CSYNC => &[U32, U16, Types],
        Rtype::ZONEMD => &[U32, U8, U8, ZONE_DIGEST],
        Rtype::SVCB | Rtype::HTTPS => &[U16, ExactName, Params],
        Rtype::NID | Rtype::L64 => &[U16, Locator],
        Rtype::L32 => &[U16, Ipv4],
        Rtype::LP => &[U16, ExactName],
        Rtype::EUI48 => &[Eui(6)],
        Rtype::EUI64 => &[Eui(8)],
        Rtype::URI => &[U16, U16, Uri],
        Rtype::CAA => &[U8, Tag, Text],
        _ => return None,
    })
}

/// The uncompressed rdata that stands in `tokens`, after the type in `rtype_token`. Names are completed by
/// `origin`.
pub(super) fn read<'s>(
    rtype: Rtype,
    rtype_token: Token<'s>,
    tokens: &[Token<'s>],
    origin: &Name,
) -> Result<Vec<u8>, Mistake> {
    let mut values = Values::new(rtype, rtype_token, tokens, origin);
    let rdata = match (fields(rtype), tokens) {
        (_, [first, ..]) if first.raw == b"\\#" => {
            let rdata = values.generic()?;
            if !is_well_formed(rtype.to_int(), &rdata) {
                let message = format!("this is not the RDATA of a record of type {rtype}");
                return Err(rtype_token.mistake(message));
            }
            rdata
        }
        (Some(fields), _) => {
            let mut rdata = Vec::new();
            for field in fields {
                field.read(&mut values, &mut rdata)?;
            }
            rdata
        }
        (None, _) => {
            return Err(rtype_token.mistake(format!(
                r"the RDATA of type {rtype} must be written as `\# length hex` (named-rrchecker -u does it)"
            )));
        }
    };
    values.end()?;
    if rdata.len() > usize::from(u16::MAX) {
        return Err(values.last().mistake("the RDATA is too long: a record has at most 65535 bytes"));
    }
    Ok(rdata)
}

/// The fields of `rdata`, and where in it each stands; `None` where they do not make up the whole of it.
fn split(rtype: u16, rdata: &[u8]) -> Option<Vec<(Field, Range<usize>)>> {
    let fields = fields(Rtype::from_int(rtype))?;
    let (mut at, mut parts) = (0, Vec::with_capacity(fields.len()));
    for &field in fields {
        let (ahead, rest) = rdata.split_at(at);
        let end = at + field.len(rest, ahead)?;
        rdata.get(at..end)?;
        parts.push((field, at..end));
        at = end;
    }
    (at == rdata.len()).then_some(parts)
}

/// Whether `rdata` is what a record of this type holds, its names whole and uncompressed. Types that nobody
/// here knows may hold anything (RFC 3597).
pub(super) fn is_well_formed(rtype: u16, rdata: &[u8]) -> bool {
    rdata.len() <= usize::from(u16::MAX)
        && (fields(Rtype::from_int(rtype)).is_none() || split(rtype, rdata).is_some())
}

/// The names in `rdata`.
pub(super) fn names(rtype: u16, rdata: &[u8]) -> Vec<Name> {
    let fields = split(rtype, rdata).unwrap_or_default().into_iter();
    let names = fields.filter(|(field, _)| matches!(field, Field::Name | Field::ExactName));
    names.filter_map(|(_, range)| Name::from_wire(&rdata[range]).ok()).collect()
}

/// The form in which equal rdata are equal bytes: letter case in the names of the older types folded (RFC
/// 4034, section 6.2).
pub(super) fn canonical(rtype: u16, rdata: &[u8]) -> Vec<u8> {
    let mut canonical = rdata.to_vec();
    for (field, range) in split(rtype, rdata).unwrap_or_default() {
        if field == Field::Name {
            canonical[range].make_ascii_lowercase();
        }
    }
    canonical
}

/// The presentation form on one line, or the generic one of RFC 3597 where there is no other.
pub(super) fn to_text(rtype: u16, rdata: &[u8]) -> String {
    let text = split(rtype, rdata).and_then(|parts| {
        let to_text = |(field, range): (Field, Range<usize>)| {
            field.to_text(&rdata[range.clone()], &rdata[..range.start])
        };
        let texts: Option<Vec<String>> = parts.into_iter().map(to_text).collect();
        Some(texts?.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" "))
    });
    text.unwrap_or_else(|| generic(rdata))
}

/// `\# length hex` (RFC 3597, section 5).
fn generic(rdata: &[u8]) -> String {
    let hex = hex(rdata);
    format!("\\# {}{}{hex}", rdata.len(), if hex.is_empty() { "" } else { " " })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::consts::rtype;

    #[test]
    fn damaged_rdata_is_told() {
        for (rtype, rdata, good) in [
            (rtype::A, &b"\xC0\x00\x02\x01"[..], true),
            (rtype::A, b"\xC0\x00\x02", false),
            (rtype::A, b"\xC0\x00\x02\x01\x01", false),
            (rtype::NS, b"\x01a\0", true),
            (rtype::NS, b"\x01a", false),
            (rtype::NS, b"\x01a\0\x01b\0", false),
            (rtype::NS, b"\x01a\xC0\x00", false),
            (rtype::MX, b"\0\x01\x01a\0", true),
            (rtype::TXT, b"", false),
            (rtype::TXT, b"\x02a", false),
            (rtype::LOC, b"\0", false),
            (65_280, b"", true),
            (65_280, b"\xC0\x00", true),
        ] {
            assert_eq!(is_well_formed(rtype, rdata), good, "type {rtype} {rdata:02x?}");
        }
    }

    #[test]
    fn only_the_names_of_older_types_are_folded() {
        assert_eq!(canonical(rtype::NS, b"\x01A\0"), b"\x01a\0");
        assert_eq!(canonical(rtype::MX, b"AB\x01A\0"), b"AB\x01a\0");
        assert_eq!(canonical(rtype::TXT, b"\x01A"), b"\x01A");
        assert_eq!(canonical(65_280, b"A"), b"A");
    }

    #[test]
    fn rdata_prints_or_is_generic() {
        for (rtype, rdata, text) in [
            (rtype::A, &b"\xC0\x00\x02\x01"[..], "192.0.2.1"),
            (rtype::NS, b"\x03n.s\0", r"n\.s."),
            (rtype::TXT, b"\x03a\"b\0\x01\xFF", r#""a\"b" "" "\255""#),
            (65_280, b"", r"\# 0"),
            (65_280, b"\x01\xAB", r"\# 2 01ab"),
            (rtype::A, b"\x01", r"\# 1 01"),
        ] {
            assert_eq!(to_text(rtype, rdata), text);
        }
    }
}
