//! DNS cookies (RFC 7873), with the server's part as RFC 9018 makes it: every server that has the secret
//! makes the same and accepts it.
//!
//! ```text
//! client: 8 bytes | version: 1 | reserved: 3 | timestamp: 4 | SipHash-2-4 of all that, and the address: 8
//! ```

use core::fmt;
use core::net::IpAddr;

use arrayvec::ArrayVec;

use super::consts::COOKIE_VERSION;
use super::siphash::{Key, siphash_2_4};
use crate::limits::COOKIE_SECRETS_MAX;

/// Bytes of the client's part.
const CLIENT_LEN: usize = 8;
/// Bytes of a cookie with both parts, as we make them.
pub const COOKIE_LEN: usize = 24;
/// How old a cookie may be, in seconds, how far ahead of our clock its own may be (a negative age), and the
/// age from which on a new one is sent (RFC 9018, section 4.3).
const AGE_MAX: i32 = 3600;
const AHEAD_MAX: i32 = -300;
const AGE_RENEWED: i32 = 1800;

/// Both parts of a cookie.
pub type Cookie = [u8; COOKIE_LEN];

/// Whether an option of this many bytes can be a cookie (RFC 7873, section 4).
#[inline]
#[must_use]
pub const fn is_well_formed(len: usize) -> bool {
    matches!(len, 8 | 16..=40)
}

/// What makes our cookies ours. It does not show in any output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(Key);

impl Secret {
    /// The secret of 16 bytes.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        let [low, high] = [0, 8].map(|at| word(&bytes, at));
        Self([low, high])
    }

    /// The hash in a cookie for `address` that begins with these two words.
    fn hash(self, client: u64, head: u64, address: IpAddr) -> u64 {
        match address {
            IpAddr::V4(address) => {
                let last = u64::from(u32::from_le_bytes(address.octets())) | 20 << 56;
                siphash_2_4(self.0, &[client, head], last)
            }
            IpAddr::V6(address) => {
                let octets = address.octets();
                siphash_2_4(self.0, &[client, head, word(&octets, 0), word(&octets, 8)], 32 << 56)
            }
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The secrets of a server: cookies are made with the first, and those made with any are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets(pub ArrayVec<Secret, COOKIE_SECRETS_MAX>);

/// What the server's part of a cookie turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There was none.
    Absent,
    /// Ours and fresh.
    Fresh,
    /// Ours and valid, but old, or made with a secret that is no longer the current one.
    Old,
    /// Made with one of our secrets too long ago, or in what is the future by our clock.
    Expired,
    /// Not made with any of our secrets for this client.
    Unknown,
}

impl Standing {
    /// Whether the client got the cookie from us at this address, which shows that the address is its own.
    #[inline]
    #[must_use]
    pub const fn is_valid(self) -> bool {
        matches!(self, Self::Fresh | Self::Old)
    }
}

impl Secrets {
    /// The cookie that answers `received`, which is well-formed, from `peer` at `now`, in seconds of Unix
    /// time modulo 2^32; and what `received` was. A fresh one is given back as it came.
    ///
    /// Without a secret nothing is ours, and the cookie is `received`'s first part and zeros.
    #[inline(never)]
    #[must_use]
    pub fn answer(&self, received: &[u8], peer: IpAddr, now: u32) -> (Cookie, Standing) {
        // A socket of IPv6 has IPv4 clients as mapped addresses; another server may not.
        let peer = peer.to_canonical();
        let mut cookie = [0; COOKIE_LEN];
        let standing = match <&Cookie>::try_from(received) {
            Ok(received) => {
                cookie = *received;
                self.standing(received, peer, now)
            }
            Err(_) if received.len() == CLIENT_LEN => Standing::Absent,
            Err(_) => Standing::Unknown,
        };
        if standing != Standing::Fresh {
            let client = received.first_chunk().copied().unwrap_or([0; CLIENT_LEN]);
            cookie = self.fresh(client, peer, now);
        }
        (cookie, standing)
    }

    fn standing(&self, cookie: &Cookie, peer: IpAddr, now: u32) -> Standing {
        if cookie[CLIENT_LEN] != COOKIE_VERSION {
            return Standing::Unknown;
        }
        // The reserved bytes are hashed as they came.
        let (client, head, hash) = (word(cookie, 0), word(cookie, 8), word(cookie, 16));
        let made_with = self.0.iter().position(|secret| secret.hash(client, head, peer) == hash);
        let Some(made_with) = made_with else { return Standing::Unknown };
        // Serial number arithmetic (RFC 1982): the timestamp wraps in 2106.
        let age = now.wrapping_sub(((head >> 32) as u32).swap_bytes()) as i32;
        match age {
            AHEAD_MAX..=AGE_RENEWED if made_with == 0 => Standing::Fresh,
            AHEAD_MAX..=AGE_MAX => Standing::Old,
            _ => Standing::Expired,
        }
    }

    fn fresh(&self, client: [u8; CLIENT_LEN], peer: IpAddr, now: u32) -> Cookie {
        let mut cookie = [0; COOKIE_LEN];
        cookie[..8].copy_from_slice(&client);
        cookie[8] = COOKIE_VERSION;
        cookie[12..16].copy_from_slice(&now.to_be_bytes());
        if let Some(secret) = self.0.first() {
            let hash = secret.hash(word(&cookie, 0), word(&cookie, 8), peer);
            cookie[16..].copy_from_slice(&hash.to_le_bytes());
        }
        cookie
    }
}

/// The eight bytes at `at`, from the lowest; zero beyond the end.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        let digits = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
        assert_eq!(text.len(), 2 * N);
        core::array::from_fn(digits)
    }

    fn secrets(texts: &[&str]) -> Secrets {
        Secrets(texts.iter().map(|text| Secret::new(bytes(text))).collect())
    }

    const FIRST: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";

    /// RFC 9018, appendix A.1 to A.4.
    #[test]
    fn the_examples_of_the_standard_hold() {
        let learned: Cookie = bytes("2464c4abcf10c957010000005cf79f111f8130c3eee29480");
        let renewed: Cookie = bytes("2464c4abcf10c957010000005cf7a871d4a564a1442aca77");
        let (first, peer) = (secrets(&[FIRST]), "198.51.100.100".parse().unwrap());
        assert_eq!(first.answer(&learned[..8], peer, 1_559_731_985), (learned, Standing::Absent));
        assert_eq!(first.answer(&learned, peer, 1_559_734_385), (renewed, Standing::Old));

        // The reserved bytes are not 0, and belong to what is hashed.
        let reserved: Cookie = bytes("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
        let fresh: Cookie = bytes("fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e");
        let peer = "203.0.113.203".parse().unwrap();
        assert_eq!(first.answer(&reserved, peer, 0x5CF7_8F71 + 9), (reserved, Standing::Fresh));
        assert_eq!(first.answer(&reserved, peer, 1_559_734_700), (fresh, Standing::Expired));

        let old: Cookie = bytes("22681ab97d52c298010000005cf7c57926556bd0934c72f8");
        let new: Cookie = bytes("22681ab97d52c298010000005cf7c609a6bb79d16625507a");
        let rolled = secrets(&["445536bcd2513298075a5d379663c962", "dd3bdf9344b678b185a6f5cb60fca715"]);
        let peer = "2001:db8:220:1:59de:d0f4:8769:82b8".parse().unwrap();
        assert_eq!(rolled.answer(&old, peer, 1_559_741_961), (new, Standing::Old));
        assert_eq!(rolled.answer(&new, peer, 1_559_741_961), (new, Standing::Fresh));
    }

    #[test]
    fn a_cookie_is_of_one_client_one_secret_and_one_hour() {
        let (ours, peer) = (secrets(&[FIRST]), "198.51.100.100".parse().unwrap());
        let made = 4_294_967_000; // The timestamp wraps within the next hour.
        let (cookie, _) = ours.answer(&[7; 8], peer, made);
        let standing = |cookie: &[u8], peer: &str, age: i32| {
            let now = made.wrapping_add_signed(age);
            let (answer, standing) = ours.answer(cookie, peer.parse().unwrap(), now);
            assert_eq!(answer[..8], cookie[..8]);
            assert_eq!(answer == *cookie, standing == Standing::Fresh);
            standing
        };
        for (age, expected) in [
            (-301, Standing::Expired),
            (-300, Standing::Fresh),
            (0, Standing::Fresh),
            (1800, Standing::Fresh),
            (1801, Standing::Old),
            (3600, Standing::Old),
            (3601, Standing::Expired),
        ] {
            assert_eq!(standing(&cookie, "198.51.100.100", age), expected, "{age}");
            assert_eq!(standing(&cookie, "::ffff:198.51.100.100", age), expected, "{age}, mapped");
        }
        assert_eq!(standing(&cookie, "198.51.100.101", 0), Standing::Unknown);
        for at in 0..COOKIE_LEN {
            let mut other = cookie;
            other[at] ^= 1;
            assert_eq!(standing(&other, "198.51.100.100", 0), Standing::Unknown, "byte {at}");
        }
        let theirs = secrets(&["e5e973e5a6b2a43f48e7dc849e37bfce"]);
        assert_eq!(theirs.answer(&cookie, peer, made).1, Standing::Unknown);
        for len in 16..=40 {
            let expected = if len == COOKIE_LEN { Standing::Fresh } else { Standing::Unknown };
            let long = [&cookie[..], &[0; 16]].concat();
            assert_eq!(ours.answer(&long[..len], peer, made).1, expected, "{len} bytes");
        }
    }

    #[test]
    fn lengths_are_those_of_the_standard() {
        let well_formed: Vec<usize> = (0..100).filter(|&len| is_well_formed(len)).collect();
        assert_eq!(well_formed, [8].into_iter().chain(16..=40).collect::<Vec<_>>());
    }

    #[test]
    fn a_secret_does_not_show() {
        assert_eq!(format!("{:?}", Secret::new([0xAB; 16])), "Secret");
    }
}
