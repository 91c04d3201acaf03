//! Words into values, each kind in its own way.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr, SocketAddrV6};

use domain::base::iana::{Class, Opcode, OptRcode, Rtype};
use ipnet::IpNet;

use super::language::Kind;
use super::tree::{Mistake, Value};
use crate::dns::consts::{LABEL_LEN_MAX, NAME_LEN_MAX};
use crate::dns::name::Name;
use crate::limits::RULE_NAME_LEN_MAX;

/// The port of DNS.
const PORT: u16 = 53;

/// The value that a word is for a field of this kind.
pub(super) fn value(kind: Kind, word: &str, at: usize) -> Result<Value, Mistake> {
    match kind {
        Kind::Choice(words) => {
            let found = words.iter().find(|(name, _)| *name == word);
            found.map(|(_, number)| Value::Number(*number)).ok_or_else(|| {
                let known = words.iter().map(|(name, _)| *name);
                Mistake::unknown(at, format!("`{word}` is not a value of this field"), word, known)
            })
        }
        Kind::Text | Kind::Upstream | Kind::App => Ok(Value::Text(word.into())),
        Kind::Tag => label(word, at, "tag").map(Value::Text),
        Kind::Listener => listener(word, at),
        Kind::Network => network(word, at).map(Value::Network),
        Kind::Country => country(word, at),
        Kind::Asn => {
            let digits = strip(word, "AS").unwrap_or(word);
            number(digits, u32::MAX.into())
                .map(Value::Number)
                .ok_or_else(|| Mistake::new(at, format!("`{word}` is not an AS number; write it as `AS112`")))
        }
        Kind::Number => number(word, u32::MAX.into())
            .map(Value::Number)
            .ok_or_else(|| Mistake::new(at, format!("`{word}` is not a number"))),
        Kind::Name => name(word, at).map(|name| Value::Name(Box::new(name))),
        Kind::Type => code(word, at, &TYPES),
        Kind::Class => code(word, at, &CLASSES),
        Kind::Opcode => code(word, at, &OPCODES),
        Kind::Rcode => code(word, at, &RCODES),
        Kind::Time => time(word, at).map(Value::Number),
        Kind::Ratio => ratio(word, at),
    }
}

/// Digits and nothing else, up to `most`.
fn number(word: &str, most: u64) -> Option<u64> {
    let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    word.parse().ok().filter(|number| is_number && *number <= most)
}

/// What follows a prefix, in letters of either case.
fn strip<'w>(word: &'w str, prefix: &str) -> Option<&'w str> {
    let (before, rest) = word.split_at_checked(prefix.len())?;
    before.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Numbers with names.
struct Codes {
    what: &'static str,
    /// Before a number that has no name.
    prefix: &'static str,
    most: u16,
    named: fn(&str) -> Option<u16>,
    name: fn(u16) -> Option<&'static str>,
}

const TYPES: Codes = Codes {
    what: "a record type",
    prefix: "TYPE",
    most: u16::MAX,
    named: |word| Rtype::from_mnemonic(word.as_bytes()).map(Rtype::to_int),
    name: |code| Rtype::from_int(code).to_mnemonic_str(),
};
const CLASSES: Codes = Codes {
    what: "a class",
    prefix: "CLASS",
    most: u16::MAX,
    named: |word| match word.eq_ignore_ascii_case("ANY") {
        true => Some(Class::ANY.to_int()),
        false => Class::from_mnemonic(word.as_bytes()).map(Class::to_int),
    },
    name: |code| Class::from_int(code).to_mnemonic_str(),
};
const OPCODES: Codes = Codes {
    what: "an operation code",
    prefix: "OPCODE",
    most: 15,
    named: |word| Opcode::from_mnemonic(word.as_bytes()).map(|code| code.to_int().into()),
    name: |code| Opcode::from_int(u8::try_from(code).ok()?).to_mnemonic_str(),
};
const RCODES: Codes = Codes {
    what: "a response code",
    prefix: "RCODE",
    most: 4095,
    named: |word| {
        (0..=RCODES.most).find(|code| rcode_name(*code).is_some_and(|name| name.eq_ignore_ascii_case(word)))
    },
    name: rcode_name,
};

/// The response code that a word stands for, with the bits of EDNS.
#[must_use]
pub fn rcode(word: &str) -> Option<u16> {
    match code(word, 0, &RCODES) {
        Ok(Value::Number(code)) => u16::try_from(code).ok(),
        _ => None,
    }
}

/// A response code as it is written.
#[must_use]
pub fn rcode_text(code: u16) -> String {
    OptRcode::masked_from_int(code).to_string()
}

fn rcode_name(code: u16) -> Option<&'static str> {
    OptRcode::masked_from_int(code).to_mnemonic_str()
}

fn code(word: &str, at: usize, codes: &Codes) -> Result<Value, Mistake> {
    let digits = strip(word, codes.prefix).unwrap_or(word);
    let found = (codes.named)(word).or_else(|| number(digits, codes.most.into()).map(|code| code as u16));
    found.map(|code| Value::Number(code.into())).ok_or_else(|| {
        let known = (0..=codes.most).filter_map(codes.name);
        Mistake::unknown(at, format!("`{word}` is not {}", codes.what), word, known)
    })
}

/// The response code of an answer: what every client can be told.
pub(super) fn answer_code(word: &str, at: usize) -> Result<u16, Mistake> {
    match code(word, at, &RCODES)? {
        Value::Number(code @ 0..=15) => Ok(code as u16),
        _ => Err(Mistake::new(
            at,
            format!("`{word}` needs EDNS, which not all clients have; the response codes up to 15 do not"),
        )),
    }
}

/// A time in microseconds.
pub(super) fn time(word: &str, at: usize) -> Result<u64, Mistake> {
    let units = [("us", 1), ("ms", 1000), ("s", 1_000_000), ("m", 60_000_000)];
    let digits = word.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = units.iter().find(|(name, _)| *name == &word[digits.len()..]);
    let micros = number(digits, 1 << 40).zip(unit).map(|(number, (_, micros))| number * micros);
    micros.ok_or_else(|| {
        Mistake::new(at, format!("`{word}` is not a time; write it as `300ms`, with us, ms, s or m"))
    })
}

fn ratio(word: &str, at: usize) -> Result<Value, Mistake> {
    let parts = word.split_once('/').and_then(|(some, all)| {
        let most = u32::MAX.into();
        number(some, most).zip(number(all, most)).map(|(some, all)| (some as u32, all as u32))
    });
    match parts {
        Some((some, all)) if some <= all && some > 0 => Ok(Value::Ratio(some, all)),
        _ => Err(Mistake::new(at, format!("`{word}` is not a share; write it as `1/1000`"))),
    }
}

fn country(word: &str, at: usize) -> Result<Value, Mistake> {
    match word.to_ascii_uppercase().as_bytes() {
        [first @ b'A'..=b'Z', second @ b'A'..=b'Z'] => {
            Ok(Value::Number(u16::from_be_bytes([*first, *second]).into()))
        }
        _ => Err(Mistake::new(at, format!("`{word}` is not a country; write two letters, such as `PT`"))),
    }
}

fn network(word: &str, at: usize) -> Result<IpNet, Mistake> {
    let wrong = |example| Err(Mistake::new(at, format!("`{word}` is not an address or a network{example}")));
    if let Ok(address) = word.parse::<IpAddr>() {
        return Ok(address.into());
    }
    match word.split_once('/') {
        // Leading zeros mean octal elsewhere, and no number has a sign.
        Some((_, len)) if len != "0" && !len.starts_with(|c: char| ('1'..='9').contains(&c)) => wrong(""),
        Some(_) => match word.parse::<IpNet>() {
            Ok(network) if network.network() == network.addr() => Ok(network),
            Ok(network) => Err(Mistake::new(
                at,
                format!("`{word}` has bits set beyond its length; did you mean `{}`?", network.trunc()),
            )),
            Err(_) => wrong(""),
        },
        None if word.parse::<SocketAddr>().is_ok() => wrong("; a port is told by `listener`"),
        None => wrong(", such as `192.0.2.0/24`"),
    }
}

/// An address with or without a port; brackets around IPv6 where there is one.
fn address(word: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = word.parse::<IpAddr>() {
        return Some((address, None));
    }
    if let Some(inner) = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse().ok().filter(IpAddr::is_ipv6).map(|address| (address, None));
    }
    let (_, port) = word.rsplit_once(':')?;
    number(port, u16::MAX.into())?;
    word.parse::<SocketAddr>().ok().map(|address| (address.ip(), Some(address.port())))
}

fn listener(word: &str, at: usize) -> Result<Value, Mistake> {
    if let Some(place) = number(word, u16::MAX.into()) {
        return Ok(Value::Number(place));
    }
    address(word).map(|(address, port)| Value::Listener(address, port)).ok_or_else(|| {
        Mistake::new(at, format!("`{word}` is not a listener; write its address, such as `192.0.2.53:53`"))
    })
}

/// A server to ask.
pub(super) fn server(word: &str, at: usize) -> Result<SocketAddr, Mistake> {
    let Some((ip, port)) = address(word) else {
        let message = format!("`{word}` is not a server; write its address, such as `192.0.2.53:53`");
        return Err(Mistake::new(at, message));
    };
    let scoped = word.parse::<SocketAddrV6>().is_ok_and(|address| address.scope_id() != 0);
    if ip.is_unspecified() || ip.is_multicast() || port == Some(0) || scoped {
        return Err(Mistake::new(at, format!("`{word}` is not the address of one server")));
    }
    Ok(SocketAddr::new(ip, port.unwrap_or(PORT)))
}

/// A name that becomes the value of a label, or a tag.
pub(super) fn label(word: &str, at: usize, what: &str) -> Result<String, Mistake> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if word.is_empty() || word.len() > RULE_NAME_LEN_MAX || !word.bytes().all(is_plain) {
        let message = format!(
            "`{word}` cannot be the name of a {what}: it has letters, digits, `-`, `_` and `.`, and at most \
             {RULE_NAME_LEN_MAX} of them"
        );
        return Err(Mistake::new(at, message));
    }
    Ok(word.into())
}

/// The name of a rule.
pub(super) fn rule_name(word: &str, at: usize) -> Result<String, Mistake> {
    match label(word, at, "rule") {
        Ok(name) if matches!(&*name, "none" | "other") => Err(Mistake::new(
            at,
            format!("`{name}` is what queries without a rule of their own are counted as"),
        )),
        name => name,
    }
}

/// A domain name in presentation format (RFC 1035, section 5.1), absolute with or without its final dot.
fn name(word: &str, at: usize) -> Result<Name, Mistake> {
    let wrong = |why: &str| Mistake::new(at, format!("`{word}` is not a domain name: {why}"));
    let mut wire: Vec<u8> = Vec::new();
    let mut label: Vec<u8> = Vec::new();
    let mut bytes = word.bytes();
    // Whether the label is one asterisk, not escaped.
    let mut is_star = false;
    let mut end = |label: &mut Vec<u8>, is_star: bool| {
        if is_star && label.len() == 1 {
            return Err(wrong("`*` stands for nothing here; `qname-suffix` takes all that is below"));
        }
        if label.is_empty() || label.len() > LABEL_LEN_MAX {
            return Err(wrong("a label has 1 to 63 bytes"));
        }
        wire.push(label.len() as u8);
        wire.append(label);
        Ok(())
    };
    if word != "." {
        while let Some(byte) = bytes.next() {
            match byte {
                b'.' => end(&mut label, is_star)?,
                b'\\' => {
                    label.push(
                        escaped(&mut bytes).ok_or_else(|| wrong("`\\DDD` has three digits, up to 255"))?,
                    );
                    is_star = false;
                    continue;
                }
                _ => label.push(byte),
            }
            is_star = byte == b'*';
        }
        if !label.is_empty() {
            end(&mut label, is_star)?;
        }
    }
    wire.push(0);
    if wire.len() > NAME_LEN_MAX {
        return Err(wrong("it has more than 255 bytes"));
    }
    Name::from_wire(&wire).map_err(|_| wrong("it is malformed"))
}

/// The byte that an escape stands for; its backslash has been read.
fn escaped(bytes: &mut core::str::Bytes<'_>) -> Option<u8> {
    let first = bytes.next()?;
    if !first.is_ascii_digit() {
        return Some(first);
    }
    let digits = [first, bytes.next()?, bytes.next()?];
    number(core::str::from_utf8(&digits).ok()?, 255).map(|value| value as u8)
}
