//! Single values that people write: names, numbers, bytes, and lengths of time.

use std::fmt::Write;
use std::str::FromStr;

use domain::base::name::UncertainName;
use domain::utils::base64;

use crate::dns::consts::LABEL_LEN_MAX;
use crate::dns::name::Name;

/// The name that `text` says in presentation form (RFC 1035, section 5.1). A missing final dot does not
/// matter: every name is taken as absolute.
///
/// # Errors
/// A sentence for people that quotes the name and says what is wrong with it.
pub fn name_from_text(text: &str) -> Result<Name, String> {
    resolve(text, &Name::root())
}

/// A name of letters, digits and what else needs no care, completed by `origin`. Most are such names; `None`
/// for any other, of which [`resolve`] says what it is.
pub(super) fn plain_name(text: &[u8], origin: &Name) -> Option<Name> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*' | b'/');
    let (text, origin) = text.strip_suffix(b".").map_or((text, origin.as_wire()), |text| (text, &[0]));
    let mut wire = Vec::with_capacity(text.len() + 1 + origin.len());
    for label in text.split(|&byte| byte == b'.') {
        if !(1..=LABEL_LEN_MAX).contains(&label.len()) || !label.iter().all(is_plain) {
            return None;
        }
        wire.push(label.len() as u8);
        wire.extend_from_slice(label);
    }
    wire.extend_from_slice(origin);
    Name::from_wire(&wire).ok()
}

/// As [`name_from_text`], with a name that has no final dot completed by `origin`.
pub(super) fn resolve(text: &str, origin: &Name) -> Result<Name, String> {
    if let Some(name) = plain_name(text.as_bytes(), origin) {
        return Ok(name);
    }
    if text.is_empty() {
        return Err("the name is empty (the root is `.`)".to_owned());
    }
    if !text.is_ascii() {
        return Err(format!("`{text}` is not ASCII: write an internationalised name as A-labels (xn--)"));
    }
    if text == "." {
        return Ok(Name::root());
    }
    if text.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(format!("`{}` contains a blank: write it as \\032 if it is meant", shorten(text)));
    }
    let name = UncertainName::<Vec<u8>>::from_str(text).map_err(|error| {
        // The errors of the crate are to be displayed only; what it says of labels and lengths is put into
        // words here.
        let reason = match error.to_string().as_str() {
            "empty label" => "has an empty label: two consecutive dots, or a leading one".to_owned(),
            "label length limit exceeded" | "long label" => "has a label longer than 63 bytes".to_owned(),
            "long domain name" => "is longer than 255 bytes".to_owned(),
            other => format!("is not a name ({other})"),
        };
        format!("`{}` {reason}", shorten(text))
    })?;
    let mut wire = name.as_slice().to_vec();
    if name.is_relative() {
        wire.extend_from_slice(origin.as_wire());
    }
    Name::from_wire(&wire)
        .map_err(|_| format!("`{}` is longer than 255 bytes with the origin `{origin}`", shorten(text)))
}

/// A number in decimal digits and nothing else, not even a sign.
pub(super) fn number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The bytes that `text` says in base64, at least one.
pub(super) fn base64_bytes(text: &str) -> Option<Vec<u8>> {
    base64::decode(text).ok().filter(|bytes: &Vec<u8>| !bytes.is_empty())
}

/// `bytes` in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `bytes` as a string in quotes.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut text = "\"".to_owned();
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\{byte:03}");
            }
        }
    }
    text.push('"');
    text
}

/// The beginning of `text`, short enough for a one-line message.
pub(super) fn shorten(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    if text.chars().count() <= SHOWN_MAX {
        return text.to_owned();
    }
    text.chars().take(SHOWN_MAX).chain("...".chars()).collect()
}

/// Seconds from a number, or from numbers with units as BIND, NSD and Knot read them: `1W`, `1h30m`; weeks,
/// days, hours, minutes, seconds, letter case ignored. `None` for anything else, or what passes 32 bits.
///
/// `M` is a minute, also in the zone files of RFC 7534.
pub(super) fn seconds_from_text(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let mut total: u32 = 0;
    let mut digits_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let unit: u32 = match byte.to_ascii_lowercase() {
            b'0'..=b'9' => continue,
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        let count: u32 = text[digits_from..at].parse().ok()?;
        total = total.checked_add(count.checked_mul(unit)?)?;
        digits_from = at + 1;
    }
    // A number without unit after one with a unit says nothing certain.
    (digits_from == text.len()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_absolute_with_and_without_their_dot() {
        for (text, wire) in [
            (".", &b"\0"[..]),
            ("example.COM", b"\x07example\x03COM\0"),
            ("example.com.", b"\x07example\x03com\0"),
            ("0/25.2.0.192.in-addr.arpa", b"\x040/25\x012\x010\x03192\x07in-addr\x04arpa\0"),
            (r"a\.b\000\\.c", b"\x05a.b\0\\\x01c\0"),
            ("*.example", b"\x01*\x07example\0"),
        ] {
            assert_eq!(name_from_text(text).unwrap().as_wire(), wire, "{text}");
        }
        let origin = name_from_text("example").unwrap();
        assert_eq!(resolve("www", &origin).unwrap().to_string(), "www.example.");
        assert_eq!(resolve("www.", &origin).unwrap().to_string(), "www.");
    }

    #[test]
    fn a_bad_name_is_told_apart() {
        let long_label = "x".repeat(64);
        let long_name = "abcdefg.".repeat(32);
        for (text, fragment) in [
            ("", "empty"),
            ("a..b", "empty label"),
            (".a", "empty label"),
            (long_label.as_str(), "longer than 63 bytes"),
            (long_name.as_str(), "longer than 255 bytes"),
            ("m\u{fc}nchen.example", "xn--"),
            (r"a\25", "is not a name"),
            (r"a\256", "is not a name"),
            ("a b", "blank"),
        ] {
            let message = name_from_text(text).unwrap_err();
            assert!(message.contains(fragment), "{text}: {message}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("604800", Some(604_800)),
            ("1W", Some(604_800)),
            ("1M", Some(60)),
            ("1m", Some(60)),
            ("1h30m", Some(5_400)),
            ("1w2D3h4M5s", Some(604_800 + 172_800 + 10_800 + 240 + 5)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("7102W", None),
            ("1h30", None),
            ("W", None),
            ("1y", None),
            ("1WW", None),
            ("", None),
            ("-1", None),
        ] {
            assert_eq!(seconds_from_text(text), seconds, "{text}");
        }
    }
}
