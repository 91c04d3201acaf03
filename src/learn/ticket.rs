//! Tickets of beacons: a name that nobody else asks for, which says when it was given, and to which network.
//!
//! ```text
//! label: base32, 26 characters, of: time: 4 bytes | random: 6 | proof: 4 | bond: 2
//! proof = HMAC-SHA-256(key, "proof" | time | random)
//! bond = HMAC-SHA-256(key, "bond" | time | random | network)
//! ```
//!
//! Whoever has the key can give tickets, such as the web server of the pages (docs/learning.md).

use std::fmt;
use std::net::IpAddr;

use ring::hmac;

use crate::limits::{BEACON_JOIN_MAX, BEACON_KEY_LEN};

/// Characters of a ticket's label.
pub const NONCE_LEN: usize = 26;
/// Bytes of it.
const BYTES: usize = 16;
/// The characters of base32 (RFC 4648, section 6), as resolvers that change the case of letters leave them.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// How far the clock of who gave a ticket may be ahead, in seconds.
const AHEAD_MAX: u64 = 5;

/// What a ticket is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce([u8; BYTES]);

/// Why a ticket is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// We have not given it.
    Proof,
    /// It is too old.
    Late,
    /// It was given to another network.
    Network,
}

impl Nonce {
    /// Reads a label, in any case of its letters.
    #[must_use]
    pub fn read(label: &[u8]) -> Option<Self> {
        if label.len() != NONCE_LEN {
            return None;
        }
        let mut number = 0_u128;
        let (last, most) = label.split_last()?;
        let value = |letter: &u8| ALPHABET.iter().position(|known| *known == letter.to_ascii_lowercase());
        for letter in most {
            number = number << 5 | value(letter)? as u128;
        }
        // Of the last one three bits are used, and the others are 0.
        let last = value(last)?;
        (last & 3 == 0).then(|| Self((number << 3 | (last >> 2) as u128).to_be_bytes()))
    }

    /// When it was given, in seconds of Unix time.
    fn given(&self) -> u64 {
        u64::from(u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]]))
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = u128::from_be_bytes(self.0);
        for at in 0..NONCE_LEN {
            let bits = match at + 1 {
                NONCE_LEN => number << 2,
                before => number >> (128 - 5 * before),
            };
            write!(f, "{}", char::from(ALPHABET[(bits & 31) as usize]))?;
        }
        Ok(())
    }
}

/// The network of a client, as far as it is looked at: 24 bits of IPv4 addresses, 48 of IPv6 addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network([u8; 7]);

impl Network {
    /// That of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        let mut bytes = [0; 7];
        match address.to_canonical() {
            IpAddr::V4(address) => {
                bytes[0] = 4;
                bytes[1..4].copy_from_slice(&address.octets()[..3]);
            }
            IpAddr::V6(address) => {
                bytes[0] = 6;
                bytes[1..7].copy_from_slice(&address.octets()[..6]);
            }
        }
        Self(bytes)
    }

    /// The larger one that it is part of: 16 bits of IPv4, 32 of IPv6.
    fn group(self) -> [u8; 5] {
        let [family, a, b, c, d, ..] = self.0;
        if family == 4 { [family, a, b, 0, 0] } else { [family, a, b, c, d] }
    }
}

impl fmt::Debug for Network {
    /// It does not show in any output.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

/// What makes tickets ours.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// The key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; BEACON_KEY_LEN]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    }

    fn hash<const LEN: usize>(&self, parts: &[&[u8]]) -> [u8; LEN] {
        let mut context = hmac::Context::with_key(&self.0);
        parts.iter().for_each(|part| context.update(part));
        let tag = context.sign();
        std::array::from_fn(|at| tag.as_ref()[at])
    }

    /// A ticket for a network, given at this time, with six bytes that nobody foretells.
    #[must_use]
    pub fn ticket(&self, now: u64, random: [u8; 6], network: Network) -> Nonce {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&(now as u32).to_be_bytes());
        bytes[4..10].copy_from_slice(&random);
        let proof: [u8; 4] = self.hash(&[b"proof", &bytes[..10]]);
        let bond: [u8; 2] = self.hash(&[b"bond", &bytes[..10], &network.0]);
        bytes[10..14].copy_from_slice(&proof);
        bytes[14..].copy_from_slice(&bond);
        Nonce(bytes)
    }

    /// Checks a ticket that a client of this network brings.
    ///
    /// # Errors
    /// Why it is of no use.
    pub fn check(&self, nonce: &Nonce, now: u64, network: Network) -> Result<(), Unfit> {
        self.check_given(nonce, now)?;
        let expected = self.hash::<2>(&[b"bond", &nonce.0[..10], &network.0]);
        if expected == nonce.0[14..] { Ok(()) } else { Err(Unfit::Network) }
    }

    /// Checks whether a ticket was given by us, and lately.
    ///
    /// # Errors
    /// Why it is of no use.
    pub fn check_given(&self, nonce: &Nonce, now: u64) -> Result<(), Unfit> {
        let expected = self.hash::<4>(&[b"proof", &nonce.0[..10]]);
        // Who guesses learns nothing from the time that this takes, but that it was wrong.
        if expected != nonce.0[10..14] {
            return Err(Unfit::Proof);
        }
        let given = nonce.given();
        let is_fresh = given <= now + AHEAD_MAX && now <= given + BEACON_JOIN_MAX.as_secs();
        if is_fresh { Ok(()) } else { Err(Unfit::Late) }
    }

    /// Which group of networks one is in, as an observation says it: one of 65,536, by a hash that nobody
    /// without the key can make.
    #[must_use]
    pub fn group(&self, network: Network) -> u16 {
        u16::from_be_bytes(self.hash(&[b"group", &network.group()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new([7; BEACON_KEY_LEN])
    }

    fn network(text: &str) -> Network {
        Network::of(text.parse().unwrap())
    }

    #[test]
    fn a_label_is_base32() {
        // RFC 4648, section 10, has "foobar" as MZXW6YTBOI.
        let mut bytes = [0; BYTES];
        bytes[..6].copy_from_slice(b"foobar");
        let text = Nonce(bytes).to_string();
        assert_eq!(text, "mzxw6ytboiaaaaaaaaaaaaaaaa");
        assert_eq!(Nonce::read(text.to_uppercase().as_bytes()), Some(Nonce(bytes)));
        let nonce = key().ticket(1_795_824_000, [1, 2, 3, 4, 5, 255], network("192.0.2.1"));
        assert_eq!(Nonce::read(nonce.to_string().as_bytes()), Some(nonce));
        for wrong in ["", "mzxw6ytboi", "mzxw6ytboiaaaaaaaaaaaaaaab", "mzxw6ytboi1aaaaaaaaaaaaaaa"] {
            assert_eq!(Nonce::read(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_ticket_is_for_one_network_and_a_minute() {
        let (key, now) = (key(), 1_795_824_000);
        let nonce = key.ticket(now, [9; 6], network("192.0.2.1"));
        let check = |now, client| key.check(&nonce, now, network(client));
        assert_eq!(check(now, "192.0.2.200"), Ok(()));
        assert_eq!(check(now + 60, "::ffff:192.0.2.7"), Ok(()));
        assert_eq!(check(now + 61, "192.0.2.1"), Err(Unfit::Late));
        assert_eq!(check(now - 5, "192.0.2.1"), Ok(()));
        assert_eq!(check(now - 6, "192.0.2.1"), Err(Unfit::Late));
        assert_eq!(check(now, "192.0.3.1"), Err(Unfit::Network));
        assert_eq!(check(now, "2001:db8::1"), Err(Unfit::Network));
        for at in 0..14 {
            let mut other = nonce;
            other.0[at] ^= 1;
            assert_eq!(key.check(&other, now, network("192.0.2.1")), Err(Unfit::Proof), "{at}");
        }
        let other = Key::new([8; BEACON_KEY_LEN]);
        assert_eq!(other.check(&nonce, now, network("192.0.2.1")), Err(Unfit::Proof));
    }

    #[test]
    fn groups_are_of_16_and_32_bits() {
        let group = |address: &str| key().group(network(address));
        assert_eq!(group("192.0.2.1"), group("192.0.255.1"));
        assert_ne!(group("192.0.2.1"), group("192.1.2.1"));
        assert_eq!(group("2001:db8:1::1"), group("2001:db8:ffff::1"));
        assert_ne!(group("2001:db8::1"), group("2001:db9::1"));
        assert_eq!(format!("{:?} {:?}", network("192.0.2.1"), key()), "Network Key");
    }
}
