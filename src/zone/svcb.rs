//! Service parameters: the tail of SVCB and HTTPS records (RFC 9460).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use domain::utils::base64;

use super::entries::{Mistake, Token, unescape};
use super::text::{base64_bytes, number, quoted, shorten};

/// The keys that have a name, as their numbers (RFC 9460, section 14.3.2; RFC 9461; RFC 9540).
const NAMES: [&str; 9] =
    ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp"];
const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6HINT: u16 = 6;
const DOHPATH: u16 = 7;
const OHTTP: u16 = 8;

/// The wire form of the parameters in `tokens`, in the order of their keys.
pub(super) fn read(tokens: &[Token<'_>]) -> Result<Vec<u8>, Mistake> {
    let mut params: BTreeMap<u16, (Token<'_>, Vec<u8>)> = BTreeMap::new();
    let mut tokens = tokens.iter().copied().peekable();
    while let Some(token) = tokens.next() {
        let at = token.raw.iter().position(|&byte| byte == b'=');
        let key_text = &token.raw[..at.unwrap_or(token.raw.len())];
        let key = key(key_text).ok_or_else(|| {
            let text = shorten(&token.text());
            token.mistake(format!(
                "`{text}` does not begin with a SvcParamKey that is known here: write it as keyNNNNN"
            ))
        })?;
        let value = match at {
            None => Vec::new(),
            Some(at) if at + 1 == token.raw.len() => {
                let next = tokens.next_if(|next| next.glued && next.is_quoted());
                next.map_or_else(Vec::new, |next| next.bytes())
            }
            Some(at) => unescape(&token.raw[at + 1..]),
        };
        // What is written as keyNNNNN is the value as it is sent (RFC 9460, section 2.1).
        let is_wire = key_text.starts_with(b"key");
        let wire = if is_wire { Some(value) } else { from_text(key, at.is_some(), &value) };
        let wire =
            wire.filter(|wire| is_good(key, wire) && u16::try_from(wire.len()).is_ok()).ok_or_else(|| {
                let what = if is_wire { "in the form in which it is sent" } else { "" };
                token.mistake(format!(
                    "this is not a value of {}{}{what}: {}",
                    name(key),
                    if is_wire { " " } else { "" },
                    hint(key)
                ))
            })?;
        if params.insert(key, (token, wire)).is_some() {
            return Err(token.mistake(format!("{} is there twice: keep one of the two", name(key))));
        }
    }
    let values = params.iter().map(|(&key, (_, value))| (key, value.as_slice())).collect();
    if let Some((key, absent)) = absent(&values) {
        let message = format!("{} needs {}: add that one, or remove both", name(key), name(absent));
        return Err(params[&key].0.mistake(message));
    }
    let mut wire = Vec::new();
    for (key, (_, value)) in params {
        wire.extend(key.to_be_bytes());
        wire.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        wire.extend(value);
    }
    Ok(wire)
}

/// The parameters of `wire`; `None` where it is malformed.
pub(super) fn params(mut wire: &[u8]) -> Option<BTreeMap<u16, &[u8]>> {
    let mut params = BTreeMap::new();
    while !wire.is_empty() {
        let (head, rest) = wire.split_first_chunk::<4>()?;
        let (key, len) = (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
        let (value, after) = rest.split_at_checked(usize::from(len))?;
        if params.last_key_value().is_some_and(|(&last, _)| last >= key) || !is_good(key, value) {
            return None;
        }
        params.insert(key, value);
        wire = after;
    }
    absent(&params).is_none().then_some(params)
}

/// A key whose parameter needs another one, and the key of that one (RFC 9460, sections 7.1.1 and 8).
fn absent(params: &BTreeMap<u16, &[u8]>) -> Option<(u16, u16)> {
    let mandatory = params.get(&MANDATORY).copied().unwrap_or_default();
    let mandatory = numbers(mandatory).map(|key| (MANDATORY, key));
    let alpn = params.contains_key(&NO_DEFAULT_ALPN).then_some((NO_DEFAULT_ALPN, ALPN));
    mandatory.chain(alpn).find(|(_, needed)| !params.contains_key(needed))
}

/// The presentation form of `wire`.
pub(super) fn to_text(wire: &[u8]) -> Option<String> {
    let texts = params(wire)?.into_iter().map(|(key, value)| match value_text(key, value) {
        Some(text) if text.is_empty() => name(key),
        Some(text) => format!("{}={text}", name(key)),
        None => format!("key{key}={}", quoted(value)),
    });
    Some(texts.collect::<Vec<_>>().join(" "))
}

/// The number of a key: its name, or `key` and a number without needless zeros.
fn key(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(at) = NAMES.iter().position(|name| *name == text) {
        return u16::try_from(at).ok();
    }
    let digits = text.strip_prefix("key").filter(|digits| !digits.starts_with('0') || *digits == "0")?;
    number(digits)
}

fn name(key: u16) -> String {
    NAMES.get(usize::from(key)).map_or_else(|| format!("key{key}"), |name| (*name).to_owned())
}

/// What a value of `key` looks like, as the end of a sentence.
fn hint(key: u16) -> &'static str {
    match key {
        MANDATORY => "give the keys that must be understood, with commas, such as alpn,port",
        ALPN => "give protocols of 1 to 255 bytes with commas, such as h2,h3",
        NO_DEFAULT_ALPN | OHTTP => "it has none",
        PORT => "give a number from 0 to 65535",
        IPV4HINT => "give IPv4 addresses with commas",
        ECH => "give an ECHConfigList in base64",
        IPV6HINT => "give IPv6 addresses with commas",
        DOHPATH => "give a path with the variable dns, such as /dns-query{?dns}",
        _ => "it has at most 65535 bytes",
    }
}

/// The wire form of a value in the form that its key has; `None` where it is not in it.
fn from_text(key: u16, is_given: bool, value: &[u8]) -> Option<Vec<u8>> {
    let text = || std::str::from_utf8(value).ok();
    match key {
        MANDATORY => {
            let mut keys =
                text()?.split(',').map(|text| self::key(text.as_bytes())).collect::<Option<Vec<_>>>()?;
            keys.sort_unstable();
            Some(keys.into_iter().flat_map(u16::to_be_bytes).collect())
        }
        ALPN => {
            let mut wire = Vec::new();
            for id in list(value)? {
                wire.push(u8::try_from(id.len()).ok()?);
                wire.extend(id);
            }
            Some(wire)
        }
        NO_DEFAULT_ALPN | OHTTP => (!is_given).then(Vec::new),
        PORT => Some(number::<u16>(text()?)?.to_be_bytes().into()),
        IPV4HINT => {
            let octets =
                text()?.split(',').map(|text| text.parse().map(|address: Ipv4Addr| address.octets()));
            octets.collect::<Result<Vec<_>, _>>().ok().map(|octets| octets.concat())
        }
        IPV6HINT => {
            let octets =
                text()?.split(',').map(|text| text.parse().map(|address: Ipv6Addr| address.octets()));
            octets.collect::<Result<Vec<_>, _>>().ok().map(|octets| octets.concat())
        }
        ECH => base64_bytes(text()?),
        _ => Some(value.to_vec()),
    }
}

/// The items of a list with commas, in which `\,` and `\\` are a comma and a backslash of an item (RFC 9460,
/// appendix A.1).
fn list(value: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut items = vec![Vec::new()];
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' => items.push(Vec::new()),
            b'\\' => items.last_mut()?.push(bytes.next().filter(|next| matches!(next, b',' | b'\\'))?),
            _ => items.last_mut()?.push(byte),
        }
    }
    Some(items)
}

fn numbers(wire: &[u8]) -> impl Iterator<Item = u16> {
    wire.chunks_exact(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// The items of `alpn`.
fn protocols(mut wire: &[u8]) -> Option<Vec<&[u8]>> {
    let mut ids = Vec::new();
    while let [len, rest @ ..] = wire {
        let (id, after) = rest.split_at_checked(usize::from(*len)).filter(|(id, _)| !id.is_empty())?;
        ids.push(id);
        wire = after;
    }
    (!ids.is_empty()).then_some(ids)
}

/// Whether `wire` is a value of `key`.
fn is_good(key: u16, wire: &[u8]) -> bool {
    let is_list_of = |len: usize| !wire.is_empty() && wire.len().is_multiple_of(len);
    match key {
        MANDATORY => {
            is_list_of(2)
                && numbers(wire).next() != Some(MANDATORY)
                && numbers(wire).is_sorted_by(|a, b| a < b)
        }
        ALPN => protocols(wire).is_some(),
        NO_DEFAULT_ALPN | OHTTP => wire.is_empty(),
        PORT => wire.len() == 2,
        IPV4HINT => is_list_of(4),
        IPV6HINT => is_list_of(16),
        ECH => !wire.is_empty(),
        DOHPATH => std::str::from_utf8(wire).is_ok_and(is_dohpath),
        _ => true,
    }
}

/// A URI template relative to the root, with the variable `dns` (RFC 9461, section 5; RFC 6570).
fn is_dohpath(text: &str) -> bool {
    let mut expressions =
        text.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(inner, _)| inner));
    text.starts_with('/')
        && expressions.any(|expression| {
            let variables = expression.trim_start_matches(['+', '#', '.', '/', ';', '?', '&']);
            variables.split(',').any(|variable| variable == "dns")
        })
}

/// A value in the form that its key has; `None` where it has none that reads back.
fn value_text(key: u16, wire: &[u8]) -> Option<String> {
    let join = |texts: Vec<String>| texts.join(",");
    Some(match key {
        MANDATORY => join(numbers(wire).map(name).collect()),
        ALPN => {
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-./_".contains(byte);
            let ids = protocols(wire)?;
            if !ids.iter().all(|id| id.iter().all(is_plain)) {
                return None;
            }
            join(ids.into_iter().map(|id| String::from_utf8_lossy(id).into_owned()).collect())
        }
        NO_DEFAULT_ALPN | OHTTP => String::new(),
        PORT => numbers(wire).next()?.to_string(),
        IPV4HINT => {
            join(wire.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets).to_string()).collect())
        }
        IPV6HINT => {
            join(wire.as_chunks::<16>().0.iter().map(|octets| Ipv6Addr::from(*octets).to_string()).collect())
        }
        ECH => base64::encode_string(wire),
        DOHPATH => quoted(wire),
        _ if wire.is_empty() => String::new(),
        _ => return None,
    })
}
