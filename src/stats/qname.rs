//! The qname of a sampled query, in a piece of memory of one size.

use std::fmt;

use crate::dns::consts::HEADER_LEN;
use crate::dns::name::{Name, Walk, suffixes};
use crate::dns::u16_at;

/// Bytes that are kept: the longest name of a reverse zone, 32 nibbles below ip6.arpa, has 74.
const LEN_MAX: usize = 78;

/// A qname in lower case. Of one that is too long the last labels are kept: what floods a node with long
/// names makes up their first ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Qname {
    wire: [u8; LEN_MAX],
    len: u8,
    is_cut: bool,
}

impl Qname {
    /// That of a message, if it has one.
    #[must_use]
    pub fn of(message: &[u8]) -> Option<Self> {
        if u16_at(message, 4) != Some(1) {
            return None;
        }
        let walk = Walk::new(message, HEADER_LEN).ok()?;
        let whole = message.get(HEADER_LEN..HEADER_LEN + walk.len())?;
        let kept = suffixes(whole).find(|suffix| suffix.len() <= LEN_MAX)?;
        let mut wire = [0; LEN_MAX];
        wire[..kept.len()].copy_from_slice(kept);
        wire.make_ascii_lowercase();
        Some(Self { wire, len: kept.len() as u8, is_cut: kept.len() < whole.len() })
    }
}

impl fmt::Display for Qname {
    /// As in a zone file, with a `*` for labels that were left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_cut {
            f.write_str("*.")?;
        }
        match Name::from_wire(&self.wire[..self.len.into()]) {
            Ok(name) => name.fmt(f),
            Err(_) => f.write_str("?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(labels: &[&[u8]]) -> Vec<u8> {
        let mut message = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in labels {
            message.push(label.len() as u8);
            message.extend_from_slice(label);
        }
        message.extend([0, 0, 12, 0, 1]);
        message
    }

    fn text(labels: &[&[u8]]) -> Option<String> {
        Some(Qname::of(&message(labels))?.to_string())
    }

    #[test]
    fn names_are_kept_in_lower_case() {
        assert_eq!(text(&[b"1", b"10", b"IN-addr", b"Arpa"]).unwrap(), "1.10.in-addr.arpa.");
        assert_eq!(text(&[]).unwrap(), ".");
        assert_eq!(text(&[b"a.b\x00"]).unwrap(), "a\\.b\\000.");
        let of_ipv6: Vec<&[u8]> = (0..32).map(|_| &b"F"[..]).chain([&b"ip6"[..], b"arpa"]).collect();
        assert_eq!(text(&of_ipv6).unwrap(), format!("{}ip6.arpa.", "f.".repeat(32)));
    }

    #[test]
    fn of_a_long_name_the_end_is_kept() {
        assert_eq!(text(&[&[b'a'; 63], b"10", b"in-addr", b"arpa"]).unwrap(), "*.10.in-addr.arpa.");
        assert_eq!(text(&[&b"x"[..]; 127]).unwrap(), format!("*.{}", "x.".repeat(38)));
    }

    #[test]
    fn without_a_question_there_is_none() {
        let mut without = message(&[b"a"]);
        without[5] = 0;
        assert_eq!(Qname::of(&without), None);
        for len in 0..message(&[b"abc"]).len() - 4 {
            assert_eq!(Qname::of(&message(&[b"abc"])[..len]), None, "{len} bytes");
        }
    }
}
