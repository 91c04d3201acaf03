//! The fields that rdata consists of: how each is read, how long it is, and how it is printed.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use domain::base::iana::{Rtype, SecurityAlgorithm};
use domain::utils::{base16, base64};

use super::entries::{Mistake, Token, name, seconds};
use super::text::{base64_bytes, hex, number, quoted, shorten};
use super::{loc, svcb};
use crate::dns;

/// One field of rdata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// A number of 8 bits.
    U8,
    /// A number of 16 bits.
    U16,
    /// A number of 32 bits.
    U32,
    /// A number of seconds in 32 bits, written with units or without.
    Time,
    /// A name in which letter case does not count (RFC 4034, section 6.2).
    Name,
    /// A name of the types after RFC 3597, which are equal only byte by byte.
    ExactName,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// One character-string.
    String,
    /// One character-string or more, to the end.
    Strings {
        /// At most so many.
        max: usize,
    },
    /// One character-string of digits (X25, RFC 1183, section 3.1).
    Digits,
    /// One string without its length, to the end.
    Text,
    /// The same, in quotes and not empty (RFC 7553, section 4.4).
    Uri,
    /// The tag of a CAA record (RFC 8659, section 4.1).
    Tag,
    /// Bytes in hexadecimal, to the end.
    Hex {
        /// At least so many.
        min: usize,
        /// How many there are, by the number of the algorithm, which is the field before.
        of: &'static [(u8, usize)],
    },
    /// Bytes in base64, to the end.
    Base64,
    /// The same, and missing where the third byte says that there is no key (RFC 4025, section 2.4).
    IpsecKey,
    /// Bytes in hexadecimal after `0x`, with dots (RFC 1706, section 5).
    Nsap,
    /// So many bytes in hexadecimal with hyphens (RFC 7043).
    Eui(usize),
    /// 64 bits as four groups of hexadecimal digits (RFC 6742).
    Locator,
    /// The type of a certificate, a number or a mnemonic (RFC 4398, section 2.1).
    CertType,
    /// A security algorithm, a number or a mnemonic (RFC 4034, appendix A.1).
    Algorithm,
    /// A list of types as a bitmap, to the end (RFC 4034, section 4.1.2).
    Types,
    /// A list of prefixes, to the end (RFC 3123).
    Prefixes,
    /// The gateway of an IPSECKEY record, of the type that its second byte says (RFC 4025, section 2.5).
    Gateway,
    /// The whole of a LOC record.
    Loc,
    /// Service parameters, to the end (RFC 9460).
    Params,
}

/// Certificate types with a mnemonic (RFC 4398, section 2.1).
const CERT_TYPES: [(&str, u16); 10] = [
    ("PKIX", 1),
    ("SPKI", 2),
    ("PGP", 3),
    ("IPKIX", 4),
    ("ISPKI", 5),
    ("IPGP", 6),
    ("ACPKIX", 7),
    ("IACPKIX", 8),
    ("URI", 253),
    ("OID", 254),
];

impl Field {
    /// Reads the field from `values` and adds its wire form to what was read of the rdata.
    pub(super) fn read(self, values: &mut Values<'_, '_>, rdata: &mut Vec<u8>) -> Result<(), Mistake> {
        match self {
            Self::U8 => rdata.push(values.number(u8::MAX)?),
            Self::U16 => rdata.extend(values.number(u16::MAX)?.to_be_bytes()),
            Self::U32 => rdata.extend(values.number(u32::MAX)?.to_be_bytes()),
            Self::Time => rdata.extend(seconds(values.next()?)?.to_be_bytes()),
            Self::Name | Self::ExactName => {
                rdata.extend_from_slice(name(values.next()?, values.origin)?.as_wire());
            }
            Self::Ipv4 => rdata.extend(values.parse::<Ipv4Addr>("an IPv4 address")?.octets()),
            Self::Ipv6 => rdata.extend(values.parse::<Ipv6Addr>("an IPv6 address")?.octets()),
            Self::String => rdata.extend(string(values.next()?)?),
            Self::Strings { max } => {
                rdata.extend(string(values.next()?)?);
                for token in values.take(max - 1) {
                    rdata.extend(string(token)?);
                }
            }
            Self::Digits => rdata.extend(values.word("four digits or more", |token| {
                string(token).ok().filter(|string| is_digits(&string[1..]))
            })?),
            Self::Text => rdata.extend(values.next()?.bytes()),
            Self::Uri => rdata.extend(values.word("a URI in quotes", |token| {
                Some(token.bytes()).filter(|bytes| token.is_quoted() && !bytes.is_empty())
            })?),
            Self::Tag => rdata.extend(values.word("a tag, letters and digits", |token| {
                string(token).ok().filter(|string| is_tag(&string[1..]))
            })?),
            Self::Hex { min, of } => rdata.extend(hex_field(values, min, of, rdata.last().copied())?),
            Self::IpsecKey if rdata.get(2) == Some(&0) && values.rest().is_empty() => {}
            Self::Base64 | Self::IpsecKey => rdata.extend(values.joined(base64_bytes, "in base64")?.1),
            Self::Nsap => {
                rdata.extend(
                    values.word("an NSAP address such as 0x47.0005.80", |token| nsap(&token.text()))?,
                );
            }
            Self::Eui(len) => rdata
                .extend(values.word("an EUI such as 00-00-5e-00-53-2a", |token| eui(&token.text(), len))?),
            Self::Locator => {
                rdata.extend(values.word("64 bits such as 2001:db8:0:1", |token| locator(&token.text()))?);
            }
            Self::CertType => rdata.extend(values.word("a type of certificates", cert_type)?),
            Self::Algorithm => rdata.extend(values.word("a security algorithm", algorithm)?),
            Self::Types => rdata.extend(bitmap(values)?),
            Self::Prefixes => {
                while !values.rest().is_empty() {
                    let what = "a prefix such as 1:192.0.2.0/24 or !2:2001:db8::/32";
                    rdata.extend(values.word(what, |token| prefix(&token.text()))?);
                }
            }
            Self::Gateway => match rdata.get(1) {
                Some(0) => rdata
                    .extend(values.word("`.`, for no gateway", |token| (token.raw == b".").then(Vec::new))?),
                Some(1) => return Self::Ipv4.read(values, rdata),
                Some(2) => return Self::Ipv6.read(values, rdata),
                Some(3) => return Self::ExactName.read(values, rdata),
                _ => return Err(values.last().mistake("a gateway type is a number from 0 to 3")),
            },
            Self::Loc => rdata.extend(location(values)?),
            Self::Params => rdata.extend(svcb::read(values.take(usize::MAX))?),
        }
        Ok(())
    }

    /// How many bytes of `rest` the field takes, after the fields in `ahead`; `None` where it is malformed.
    pub(super) fn len(self, rest: &[u8], ahead: &[u8]) -> Option<usize> {
        let all_if = |is_good: bool| is_good.then_some(rest.len());
        match self {
            Self::U8 | Self::Algorithm => Some(1),
            Self::U16 | Self::CertType => Some(2),
            Self::U32 | Self::Time | Self::Ipv4 => Some(4),
            Self::Locator => Some(8),
            Self::Ipv6 => Some(16),
            Self::Eui(len) => Some(len),
            Self::Name | Self::ExactName => Some(dns::name::Name::from_wire(rest).ok()?.as_wire().len()),
            Self::String => string_len(rest),
            Self::Digits => {
                string_len(rest).filter(|&len| len > 4 && rest[1..len].iter().all(u8::is_ascii_digit))
            }
            Self::Tag => string_len(rest).filter(|&len| is_tag(&rest[1..len])),
            Self::Strings { max } => {
                all_if(strings(rest).is_some_and(|strings| (1..=max).contains(&strings.len())))
            }
            Self::Text => Some(rest.len()),
            Self::IpsecKey if ahead.get(2) == Some(&0) => Some(rest.len()),
            Self::Uri | Self::Base64 | Self::IpsecKey | Self::Nsap => all_if(!rest.is_empty()),
            Self::Hex { min, of } => {
                all_if(match ahead.last().and_then(|algorithm| wanted_len(of, *algorithm)) {
                    Some(wanted) => rest.len() == wanted,
                    None => rest.len() >= min,
                })
            }
            Self::Types => all_if(types(rest).is_some()),
            Self::Prefixes => all_if(prefixes(rest).is_some()),
            Self::Gateway => match ahead.get(1)? {
                0 => Some(0),
                1 => Some(4),
                2 => Some(16),
                3 => Self::ExactName.len(rest, ahead),
                _ => None,
            },
            Self::Loc => all_if(loc::to_text(rest).is_some()),
            Self::Params => all_if(svcb::params(rest).is_some()),
        }
    }

    /// The presentation form of `wire`, which is as long as [`Field::len`] says; empty for an empty list,
    /// `None` where there is no form.
    pub(super) fn to_text(self, wire: &[u8], ahead: &[u8]) -> Option<String> {
        Some(match self {
            Self::U8 | Self::U16 | Self::U32 | Self::Time | Self::CertType | Self::Algorithm => {
                wire.iter().fold(0_u32, |number, &byte| number << 8 | u32::from(byte)).to_string()
            }
            Self::Name | Self::ExactName => dns::name::Name::from_wire(wire).ok()?.to_string(),
            Self::Ipv4 => Ipv4Addr::from(<[u8; 4]>::try_from(wire).ok()?).to_string(),
            Self::Ipv6 => Ipv6Addr::from(<[u8; 16]>::try_from(wire).ok()?).to_string(),
            Self::String | Self::Strings { .. } | Self::Digits => {
                strings(wire)?.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
            }
            Self::Text | Self::Uri => quoted(wire),
            Self::Tag => std::str::from_utf8(wire.get(1..)?).ok()?.to_owned(),
            Self::Hex { .. } => hex(wire),
            Self::Base64 | Self::IpsecKey => base64::encode_string(wire),
            Self::Nsap => format!("0x{}", hex(wire)),
            Self::Eui(_) => wire.iter().map(|byte| hex(&[*byte])).collect::<Vec<_>>().join("-"),
            Self::Locator => wire.chunks(2).map(hex).collect::<Vec<_>>().join(":"),
            Self::Types => {
                let types = types(wire)?.into_iter().map(|rtype| Rtype::from_int(rtype).to_string());
                types.collect::<Vec<_>>().join(" ")
            }
            Self::Prefixes => {
                let texts: Option<Vec<String>> = prefixes(wire)?.into_iter().map(prefix_text).collect();
                texts?.join(" ")
            }
            Self::Gateway => match ahead.get(1)? {
                0 => ".".to_owned(),
                1 => Self::Ipv4.to_text(wire, ahead)?,
                2 => Self::Ipv6.to_text(wire, ahead)?,
                _ => Self::ExactName.to_text(wire, ahead)?,
            },
            Self::Loc => loc::to_text(wire)?,
            Self::Params => svcb::to_text(wire)?,
        })
    }
}

/// The values of one record, of which the fields take one after the other.
#[derive(Debug)]
pub(super) struct Values<'t, 's> {
    rtype: Rtype,
    /// The type itself, and what follows it.
    rtype_token: Token<'s>,
    tokens: &'t [Token<'s>],
    /// How many were taken.
    taken: usize,
    /// What completes names.
    pub(super) origin: &'t dns::name::Name,
}

impl<'t, 's> Values<'t, 's> {
    /// None of `tokens` taken.
    pub(super) fn new(
        rtype: Rtype,
        rtype_token: Token<'s>,
        tokens: &'t [Token<'s>],
        origin: &'t dns::name::Name,
    ) -> Self {
        Self { rtype, rtype_token, tokens, taken: 0, origin }
    }

    /// The token that was taken last; that of the type before the first.
    pub(super) fn last(&self) -> Token<'s> {
        self.taken.checked_sub(1).map_or(self.rtype_token, |at| self.tokens[at])
    }

    fn next(&mut self) -> Result<&'t Token<'s>, Mistake> {
        let token = self.tokens.get(self.taken).ok_or_else(|| {
            self.last().mistake(format!("the {} record ends too early: a value is missing", self.rtype))
        })?;
        self.taken += 1;
        Ok(token)
    }

    fn rest(&self) -> &'t [Token<'s>] {
        &self.tokens[self.taken..]
    }

    /// The next values, at most so many.
    fn take(&mut self, most: usize) -> &'t [Token<'s>] {
        let rest = self.rest();
        let taken = &rest[..rest.len().min(most)];
        self.taken += taken.len();
        taken
    }

    /// Fails where a value is left.
    pub(super) fn end(&self) -> Result<(), Mistake> {
        let Some(extra) = self.rest().first() else { return Ok(()) };
        Err(extra.mistake(format!("nothing may follow the rdata of a record of type {}", self.rtype)))
    }

    fn is_not(&self, token: &Token<'_>, what: &str) -> Mistake {
        let text = shorten(&token.text());
        token.mistake(format!("`{text}` is not {what}, in the rdata of a record of type {}", self.rtype))
    }

    fn number<T: FromStr + Display + Copy>(&mut self, max: T) -> Result<T, Mistake> {
        let token = self.next()?;
        number(&token.text()).ok_or_else(|| self.is_not(token, &format!("a number from 0 to {max}")))
    }

    /// What `convert` makes of the next value.
    fn word(
        &mut self,
        what: &str,
        convert: impl FnOnce(&Token<'s>) -> Option<Vec<u8>>,
    ) -> Result<Vec<u8>, Mistake> {
        let token = self.next()?;
        convert(token).ok_or_else(|| self.is_not(token, what))
    }

    fn parse<T: FromStr>(&mut self, what: &str) -> Result<T, Mistake> {
        let token = self.next()?;
        token.text().parse().map_err(|_| self.is_not(token, what))
    }

    /// The bytes that all remaining tokens, at least one, say together, and the first token.
    fn joined(
        &mut self,
        decode: fn(&str) -> Option<Vec<u8>>,
        what: &str,
    ) -> Result<(&'t Token<'s>, Vec<u8>), Mistake> {
        let first = self.next()?;
        let text: String = [first].into_iter().chain(self.take(usize::MAX)).map(Token::text).collect();
        let bytes = decode(&text).ok_or_else(|| self.is_not(first, &format!("data {what}")))?;
        Ok((first, bytes))
    }

    /// Rdata as `\# length hex`.
    pub(super) fn generic(&mut self) -> Result<Vec<u8>, Mistake> {
        self.next()?;
        let len = usize::from(self.number(u16::MAX)?);
        let length_token = self.last();
        let bytes =
            if self.rest().is_empty() { Vec::new() } else { self.joined(hex_bytes, "in hexadecimal")?.1 };
        if bytes.len() != len {
            return Err(length_token.mistake(format!("{} bytes follow, and not {len}", bytes.len())));
        }
        Ok(bytes)
    }
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    base16::decode_vec(text).ok()
}

fn wanted_len(of: &[(u8, usize)], algorithm: u8) -> Option<usize> {
    of.iter().find(|(number, _)| *number == algorithm).map(|(_, len)| *len)
}

/// One character-string: its length and its bytes.
fn string(token: &Token<'_>) -> Result<Vec<u8>, Mistake> {
    let mut bytes = token.bytes();
    let len = u8::try_from(bytes.len()).map_err(|_| {
        token.mistake("the string is longer than 255 bytes: split it into several, each in quotes")
    })?;
    bytes.insert(0, len);
    Ok(bytes)
}

/// The length of the character-string that `wire` begins with, its own length byte counted.
fn string_len(wire: &[u8]) -> Option<usize> {
    let len = 1 + usize::from(*wire.first()?);
    (len <= wire.len()).then_some(len)
}

fn strings(wire: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut strings, mut rest) = (Vec::new(), wire);
    while !rest.is_empty() {
        let (string, after) = rest.split_at(string_len(rest)?);
        strings.push(&string[1..]);
        rest = after;
    }
    Some(strings)
}

fn hex_field(
    values: &mut Values<'_, '_>,
    min: usize,
    of: &[(u8, usize)],
    algorithm: Option<u8>,
) -> Result<Vec<u8>, Mistake> {
    let (token, bytes) = values.joined(hex_bytes, "in hexadecimal")?;
    let (len, wanted) = (bytes.len(), algorithm.and_then(|algorithm| wanted_len(of, algorithm)));
    match wanted {
        Some(wanted) if len != wanted => {
            Err(token.mistake(format!("{len} bytes in hexadecimal where {wanted} are expected")))
        }
        None if len < min => Err(token.mistake(format!("{len} bytes in hexadecimal, of at least {min}"))),
        _ => Ok(bytes),
    }
}

fn location(values: &mut Values<'_, '_>) -> Result<[u8; 16], Mistake> {
    let tokens = values.take(usize::MAX);
    let texts: Vec<String> = tokens.iter().map(Token::text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    loc::from_text(&texts).map_err(|refusal| {
        let token = tokens.get(refusal.token).copied().unwrap_or_else(|| values.last());
        token.mistake(refusal.message)
    })
}

fn cert_type(token: &Token<'_>) -> Option<Vec<u8>> {
    let text = token.text();
    let known = CERT_TYPES.iter().find(|(mnemonic, _)| text.eq_ignore_ascii_case(mnemonic));
    let number: u16 = known.map(|(_, number)| *number).or_else(|| number(&text))?;
    Some(number.to_be_bytes().into())
}

fn algorithm(token: &Token<'_>) -> Option<Vec<u8>> {
    let text = token.text().to_ascii_uppercase();
    let known = SecurityAlgorithm::from_mnemonic(text.as_bytes());
    Some(vec![known.map(SecurityAlgorithm::to_int).or_else(|| number(&text))?])
}

fn is_digits(text: &[u8]) -> bool {
    text.len() >= 4 && text.iter().all(u8::is_ascii_digit)
}

fn is_tag(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_alphanumeric)
}

fn nsap(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?.replace('.', "");
    hex_bytes(&digits).filter(|bytes| !bytes.is_empty())
}

fn eui(text: &str, len: usize) -> Option<Vec<u8>> {
    let groups: Vec<&str> = text.split('-').collect();
    (groups.len() == len && groups.iter().all(|group| group.len() == 2))
        .then(|| hex_bytes(&groups.concat()))?
}

fn locator(text: &str) -> Option<Vec<u8>> {
    let groups: Vec<&str> = text.split(':').collect();
    let is_good = groups.len() == 4 && groups.iter().all(|group| (1..=4).contains(&group.len()));
    is_good.then(|| hex_bytes(&groups.iter().map(|group| format!("{group:0>4}")).collect::<String>()))?
}

/// Windows of 256 types each, and in each a bitmap as long as it must be.
fn bitmap(values: &mut Values<'_, '_>) -> Result<Vec<u8>, Mistake> {
    let mut windows: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    for token in values.take(usize::MAX) {
        let rtype = Rtype::from_str(&token.text()).map_err(|_| values.is_not(token, "a record type"))?;
        let [window, low] = rtype.to_int().to_be_bytes();
        let bits = windows.entry(window).or_default();
        let at = usize::from(low / 8);
        bits.resize(bits.len().max(at + 1), 0);
        bits[at] |= 0x80 >> (low % 8);
    }
    let wire = windows.into_iter().flat_map(|(window, bits)| {
        let len = u8::try_from(bits.len()).expect("at most 32 bytes hold 256 bits");
        [window, len].into_iter().chain(bits)
    });
    Ok(wire.collect())
}

/// The types of a bitmap, or `None` where it is not in the one form that it has.
fn types(mut wire: &[u8]) -> Option<Vec<u16>> {
    let (mut types, mut before) = (Vec::new(), None);
    while let [window, len, rest @ ..] = wire {
        let bits = rest.get(..usize::from(*len)).filter(|bits| (1..=32).contains(&bits.len()))?;
        if before >= Some(*window) || bits.last() == Some(&0) {
            return None;
        }
        before = Some(*window);
        let first = u16::from(*window) << 8;
        types.extend(
            (0..)
                .zip(bits.iter().flat_map(|byte| (0..8).map(move |bit| byte << bit & 0x80 != 0)))
                .filter_map(|(low, is_set): (u16, bool)| is_set.then_some(first | low)),
        );
        wire = &rest[bits.len()..];
    }
    wire.is_empty().then_some(types)
}

/// One prefix of an APL record: `[!]family:address/length`.
fn prefix(text: &str) -> Option<Vec<u8>> {
    let (negated, text) = text.strip_prefix('!').map_or((0, text), |rest| (0x80, rest));
    let (family, text) = text.split_once(':')?;
    let (address, len) = text.split_once('/')?;
    let (family, address): (u8, Vec<u8>) = match family {
        "1" => (1, address.parse::<Ipv4Addr>().ok()?.octets().into()),
        "2" => (2, address.parse::<Ipv6Addr>().ok()?.octets().into()),
        _ => return None,
    };
    let len: u8 = number(len).filter(|&len: &u8| usize::from(len) <= address.len() * 8)?;
    // Zeros at the end are left out (RFC 3123, section 4).
    let used = address.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1);
    let mut wire = vec![0, family, len, negated | u8::try_from(used).ok()?];
    wire.extend_from_slice(&address[..used]);
    Some(wire)
}

/// The prefixes of an APL record, each with its head of four bytes.
fn prefixes(mut wire: &[u8]) -> Option<Vec<&[u8]>> {
    let mut prefixes = Vec::new();
    while !wire.is_empty() {
        let len = 4 + usize::from(wire.get(3)? & 0x7F);
        let prefix = wire.get(..len)?;
        let bits = match prefix[..2] {
            [0, 1] => 32,
            [0, 2] => 128,
            _ => u8::MAX,
        };
        if prefix[2] > bits
            || (len > 4 && prefix.last() == Some(&0))
            || (bits < 255 && len > 4 + usize::from(bits) / 8)
        {
            return None;
        }
        prefixes.push(prefix);
        wire = &wire[len..];
    }
    Some(prefixes)
}

fn prefix_text(prefix: &[u8]) -> Option<String> {
    let negated = if prefix[3] & 0x80 != 0 { "!" } else { "" };
    let mut octets = [0; 16];
    octets[..prefix.len() - 4].copy_from_slice(&prefix[4..]);
    let address = match prefix[1] {
        1 => Ipv4Addr::from(*octets.first_chunk::<4>()?).to_string(),
        2 => Ipv6Addr::from(octets).to_string(),
        _ => return None,
    };
    (prefix[0] == 0).then(|| format!("{negated}{}:{address}/{}", prefix[1], prefix[2]))
}
