//! Suffixes of names, as a table of names is asked for them: by the last bytes of the whole name, wherever it
//! stands, without regard to case.

use super::name::{LOWER, hash};

/// The last bytes of a name: what a suffix of it is looked up by.
pub type Ending = [u8; ENDING_LEN];
/// How many they are.
pub const ENDING_LEN: usize = 32;
/// As many as words, and bits of each.
type Words = [u64; ENDING_LEN / 8];

/// The ending of the uncompressed name that ends at `end` in `packet`; made in `short` if not so much is
/// before that. What it has of the packet before a suffix that is looked up, be it the header, does not
/// matter.
#[inline(always)]
#[must_use]
pub fn ending<'p>(packet: &'p [u8], end: usize, short: &'p mut Option<Ending>) -> &'p Ending {
    let before = packet.get(..end).unwrap_or_default();
    match before.last_chunk() {
        Some(ending) => ending,
        None => short.insert(short_ending(before)),
    }
}

#[cold]
fn short_ending(name: &[u8]) -> Ending {
    let mut ending = [0; ENDING_LEN];
    ending[ENDING_LEN - name.len()..].copy_from_slice(name);
    ending
}

#[inline(always)]
fn ending_word(ending: &Ending, n: usize) -> u64 {
    u64::from_le_bytes(ending[8 * n..8 * n + 8].try_into().expect("eight bytes are eight bytes"))
}

/// The hash of the suffix of `len` bytes, which is at `at` in `packet`, of a name with that ending; upper
/// case folded. Its high bits are the best.
#[inline(always)]
#[must_use]
pub fn suffix_hash(ending: &Ending, packet: &[u8], at: usize, len: usize) -> u64 {
    if len > ENDING_LEN { long_hash(ending, packet, at, len) } else { ending_hash(ending, len) }
}

#[cold]
fn long_hash(ending: &Ending, packet: &[u8], at: usize, len: usize) -> u64 {
    ending_hash(ending, ENDING_LEN) ^ hash(packet, at, len - ENDING_LEN)
}

#[inline(always)]
fn ending_hash(ending: &Ending, len: usize) -> u64 {
    // Factors that an instruction holds; the last one carries all to the high bits.
    const FACTORS: Words = [0x7FEB_352D, 0x6C8E_9CF5, 0x5851_F42D, 0x4F1B_BCDD];
    let masks = &FOLDED[len];
    let mut sum = len as u64;
    for n in 0..FACTORS.len() {
        sum ^= (ending_word(ending, n) & masks[n]).wrapping_mul(FACTORS[n]);
    }
    (sum ^ sum >> 32).wrapping_mul(0xFF51_AFD7_ED55_8CCD)
}

/// What of an ending belongs to a suffix, by its length.
static MASKS: [Words; ENDING_LEN + 1] = masks(0xFF);
/// The same without the bit that tells upper case from lower: of names that are alike by it one is found by
/// comparison.
static FOLDED: [Words; ENDING_LEN + 1] = masks(!(LOWER as u8));

const fn masks(byte: u8) -> [Words; ENDING_LEN + 1] {
    let mut masks = [[0; ENDING_LEN / 8]; ENDING_LEN + 1];
    let mut len = 0;
    while len <= ENDING_LEN {
        let mut at = ENDING_LEN - len;
        while at < ENDING_LEN {
            masks[len][at / 8] |= (byte as u64) << (8 * (at % 8));
            at += 1;
        }
        len += 1;
    }
    masks
}

/// A name of ours, as it is found in an [`Ending`].
#[derive(Clone, Copy, Debug)]
pub struct Known {
    words: Words,
    /// The bits that are compared: not those that tell upper case from lower, nor what is before the name.
    compared: Words,
}

impl Known {
    /// Of a name in lower case.
    #[must_use]
    pub fn new(lower: &[u8]) -> Self {
        let mut short = None;
        let ending = ending(lower, lower.len(), &mut short);
        let words: Words = core::array::from_fn(|n| ending_word(ending, n));
        let mut compared = MASKS[lower.len().min(ENDING_LEN)];
        for (word, compared) in words.iter().zip(&mut compared) {
            for (n, byte) in word.to_le_bytes().into_iter().enumerate() {
                if byte.is_ascii_lowercase() {
                    *compared &= !(0x20 << (8 * n));
                }
            }
        }
        Self { words, compared }
    }

    /// Whether a name with this ending ends in this one, as far as an ending reaches.
    #[inline(always)]
    #[must_use]
    pub fn ends(&self, ending: &Ending) -> bool {
        let differs = |n: usize| (self.words[n] ^ ending_word(ending, n)) & self.compared[n];
        differs(0) | differs(1) | differs(2) | differs(3) == 0
    }
}

/// Which labels names begin with, as far as 64 bits can say: what spares a lookup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beginnings(u64);

impl Beginnings {
    /// Notes a name in lower case.
    pub fn add(&mut self, lower: &[u8]) {
        match lower.first_chunk() {
            Some(bytes) => self.0 |= 1 << Self::bit(u32::from_le_bytes(*bytes)),
            // What is after it in a packet takes part.
            None => self.0 = u64::MAX,
        }
    }

    /// Whether one of them may be what begins with these bytes.
    #[inline(always)]
    #[must_use]
    pub fn may_have(self, bytes: [u8; 4]) -> bool {
        self.0 >> Self::bit(u32::from_le_bytes(bytes)) & 1 != 0
    }

    #[inline(always)]
    const fn bit(bytes: u32) -> u32 {
        (bytes | LOWER as u32).wrapping_mul(0x9E37_79B1) >> 26
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::name::suffixes;

    #[test]
    fn an_ending_tells_its_suffixes_whatever_their_case_and_what_is_before_them() {
        let lower = b"\x03a[9\x07192-168\x07in-addr\x11a-label-of-17-byt\x07example\x04arpa\0".to_vec();
        assert!(lower.len() > ENDING_LEN + 8);
        let packets = [lower.clone(), lower.to_ascii_uppercase()];
        let hash = |packet: &[u8], from: usize| {
            let ending = ending(packet, packet.len(), &mut None).to_owned();
            suffix_hash(&ending, packet, from, packet.len() - from)
        };
        let ends = |known: &Known, packet: &[u8]| known.ends(ending(packet, packet.len(), &mut None));
        let mut seen = std::collections::HashSet::new();
        for suffix in suffixes(&lower) {
            let (known, start) = (Known::new(suffix), lower.len() - suffix.len());
            assert!(seen.insert(hash(suffix, 0)));
            for before in [0, start] {
                for packet in &packets {
                    assert_eq!(hash(&packet[before..], start - before), hash(suffix, 0));
                    assert!(ends(&known, packet));
                }
            }
            for (at, flip) in (start..lower.len()).flat_map(|at| [1, 0x20, 0x80].map(|flip| (at, flip))) {
                let mut other = lower.clone();
                other[at] ^= flip;
                let is_same = other[start..].eq_ignore_ascii_case(suffix) || at + ENDING_LEN < lower.len();
                assert_eq!(ends(&known, &other), is_same, "{at} {flip:#x}");
            }
        }
    }

    #[test]
    fn beginnings_are_those_of_names_in_any_case() {
        let mut beginnings = Beginnings::default();
        beginnings.add(b"\x03abc\x04arpa\0");
        assert!(beginnings.may_have(*b"\x03abc") && beginnings.may_have(*b"\x03ABC"));
        assert!((0..=u8::MAX).any(|byte| !beginnings.may_have([3, b'a', b'b', byte])));
        beginnings.add(b"\x01a\0");
        assert!(
            (0..=u8::MAX).all(|byte| beginnings.may_have([1, b'a', 0, byte])),
            "the next byte is no part"
        );
    }
}
