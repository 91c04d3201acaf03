//! Names on the wire (RFC 1035, section 3.1): one bounded walk, case-blind hash and compare, suffixes.
//!
//! The hash of a name is made of its wire form, eight bytes at a time, so a suffix is hashed where it
//! stands. A walk notes where the last labels begin; only suffixes of as many labels as names that we know
//! have are hashed at all. Nothing here needs more than a bounded loop, so the same hash can be made in eBPF.

use core::fmt;

use arrayvec::ArrayVec;

use super::consts::{HEADER_LEN, LABEL_LEN_MAX, LABELS_MAX, NAME_LEN_MAX};
use crate::limits::SLOT_PAYLOAD_LEN;

/// Why a name does not parse; the caller knows what that means for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// What of a packet a name is read in, from its first byte on: every place that a byte can name, one more
/// label and one more word. So no place within a name needs a check.
type Window = [u8; PLACES + u64::BITS as usize / 8];
/// Places in a window that a word may begin at: what an index is masked to.
const PLACES: usize = 512;
const _: () = assert!(PLACES.is_power_of_two() && PLACES > NAME_LEN_MAX + LABEL_LEN_MAX);
const _: () = assert!(HEADER_LEN + size_of::<Window>() <= SLOT_PAYLOAD_LEN);

/// Calls `read` with the window at `at`. A slot is longer than its packet, so it is nearly always there;
/// else a copy is, with zeros after the packet.
#[inline(always)]
fn in_window<R>(packet: &[u8], at: usize, read: impl FnOnce(&Window) -> R) -> R {
    match packet.get(at..).and_then(<[u8]>::first_chunk) {
        Some(window) => read(window),
        None => read(&padded(packet.get(at..).unwrap_or_default())),
    }
}

#[cold]
fn padded(bytes: &[u8]) -> Window {
    let mut window = [0; size_of::<Window>()];
    window[..bytes.len()].copy_from_slice(bytes);
    window
}

/// The eight bytes at `at` as a little-endian number.
#[inline(always)]
fn word(window: &Window, at: usize) -> u64 {
    let at = at & (PLACES - 1);
    u64::from_le_bytes(window[at..at + 8].try_into().expect("eight bytes are eight bytes"))
}

/// What one walk over a name in a packet found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Where the last eight suffixes begin, counted from the name's first byte: a byte for each, that of the
    /// root lowest.
    starts: u64,
    /// How many labels there are.
    labels: u8,
}

impl Walk {
    /// Labels of the suffixes that a walk has at hand: the reverse of an IPv4 address has six.
    pub const NEAR: usize = 7;

    /// Walks the uncompressed name at `at` in `packet`. A pointer, a label type other than 0, a name over 255
    /// bytes and one that leaves the packet are damage (RFC 1035, section 3.1; no pointer of a query is ever
    /// followed).
    ///
    /// # Errors
    /// [`Damaged`], with nothing to tell the cases apart: they get the same answer.
    #[inline(always)]
    pub fn new(packet: &[u8], at: usize) -> Result<Self, Damaged> {
        let walk = in_window(packet, at, Self::of)?;
        // What a window has behind the packet is no part of the name.
        if at + walk.len() > packet.len() { Err(Damaged) } else { Ok(walk) }
    }

    #[inline(always)]
    fn of(window: &Window) -> Result<Self, Damaged> {
        let (mut start, mut starts, mut labels, mut lens) = (0, 0, 0, 0);
        loop {
            starts = starts << 8 | start as u64;
            let len = window[start];
            if len == 0 {
                break;
            }
            lens |= len;
            labels += 1;
            start += usize::from(len) + 1;
            // The root byte is still to come. So 255 bytes hold at most 127 labels.
            if start > NAME_LEN_MAX - 1 {
                return Err(Damaged);
            }
        }
        // All at once: one that is too long has a bit that the others lack.
        if usize::from(lens) > LABEL_LEN_MAX { Err(Damaged) } else { Ok(Self { starts, labels }) }
    }

    /// Bytes of the name, its root included.
    #[inline]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no name is empty: the root has one byte")]
    pub fn len(&self) -> usize {
        usize::from(self.starts as u8) + 1
    }

    /// Labels of the name, the root not counted.
    #[inline]
    #[must_use]
    pub fn labels(&self) -> usize {
        usize::from(self.labels)
    }

    /// Where the suffix of `labels` labels, at most [`NEAR`](Self::NEAR) and no more than there are, begins,
    /// counted from the name's first byte.
    #[inline(always)]
    #[must_use]
    pub fn near_start(&self, labels: usize) -> usize {
        usize::from((self.starts >> (8 * labels as u32 % u64::BITS)) as u8)
    }

    /// Where the suffix of `labels` labels begins, counted from the first byte of the name, which is `name`;
    /// that of the root if there are not so many.
    #[inline]
    #[must_use]
    pub fn suffix_start(&self, name: &[u8], labels: usize) -> usize {
        match self.labels().checked_sub(labels) {
            None => self.near_start(0),
            Some(_) if labels <= Self::NEAR => self.near_start(labels),
            Some(before) => suffixes(name).nth(before).map_or(0, |suffix| name.len() - suffix.len()),
        }
    }
}
const _: () = assert!(LABEL_LEN_MAX + 1 == 64 && LABELS_MAX <= 127);

/// The wire forms of the name `wire`, of its parent, of its parent's parent ... down to the root.
pub fn suffixes(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(wire);
    core::iter::from_fn(move || {
        let suffix = rest?;
        let label_len = usize::from(*suffix.first()?);
        rest = if label_len > 0 { suffix.get(label_len + 1..) } else { None };
        Some(suffix)
    })
}

/// The hash of the `len` bytes of the uncompressed name at `at` in `packet`, or of a suffix of it, upper case
/// folded.
#[inline(always)]
#[must_use]
pub fn hash(packet: &[u8], at: usize, len: usize) -> u64 {
    in_window(packet, at, |window| {
        // The length takes part, so that no padding makes two names alike.
        let mut hash = len as u64;
        let mut start = 0;
        while start + 8 < len {
            hash = mix(hash ^ (word(window, start) | LOWER));
            start += 8;
        }
        // What is behind the name is cut off.
        let left = (len - start).min(8);
        mix(hash ^ ((word(window, start) | LOWER) & (u64::MAX >> ((64 - 8 * left) % 64))))
    })
}

/// The bit that makes a letter lower case, in eight bytes. It makes some other bytes alike too, which does no
/// harm to a hash: names that are found by it are compared.
pub(super) const LOWER: u64 = 0x2020_2020_2020_2020;

#[inline]
const fn mix(hash: u64) -> u64 {
    let hash = hash.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash ^ (hash >> 32)
}

/// Whether the uncompressed wire name `name` is `lower`, which is in lower case, but for ASCII case (RFC
/// 4343).
#[inline]
#[must_use]
pub fn is_but_for_case(lower: &[u8], name: &[u8]) -> bool {
    if lower.len() != name.len() {
        return false;
    }
    let differ = |a: &[u8; 8], b: &[u8; 8]| u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
    // The last eight bytes may overlap those before: that is cheaper than up to seven single ones.
    if let (Some(lower_last), Some(last)) = (lower.last_chunk(), name.last_chunk()) {
        let words = lower.as_chunks::<8>().0.iter().zip(name.as_chunks::<8>().0);
        if words.fold(differ(lower_last, last), |all, (a, b)| all | differ(a, b)) == 0 {
            // Most clients write names in lower case.
            return true;
        }
    }
    lower.eq_ignore_ascii_case(name)
}

/// Whether two uncompressed wire names are equal but for ASCII case (RFC 4343).
///
/// Length bytes are at most 63, below every letter, so the bytes of a name can be folded without telling
/// labels from lengths.
#[inline]
#[must_use]
pub fn eq_ignore_case(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// A name of our own: uncompressed, absolute, with the letter case that it was given.
#[derive(Clone)]
pub struct Name(ArrayVec<u8, NAME_LEN_MAX>);

impl Name {
    /// The root.
    #[must_use]
    pub fn root() -> Self {
        let mut wire = ArrayVec::new();
        wire.push(0);
        Self(wire)
    }

    /// The uncompressed name that `wire` begins with, and nothing of what follows.
    ///
    /// # Errors
    /// [`Damaged`] as [`Walk::new`].
    pub fn from_wire(wire: &[u8]) -> Result<Self, Damaged> {
        let len = Walk::new(wire, 0)?.len();
        Ok(Self(wire[..len].try_into().map_err(|_| Damaged)?))
    }

    /// The name's wire form.
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// The [`hash`] of this name.
    #[must_use]
    pub fn hash(&self) -> u64 {
        hash(&self.0, 0, self.0.len())
    }

    /// The labels from left to right, the root not among them.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        self.suffixes()
            .filter_map(|suffix| suffix[1..].get(..usize::from(suffix[0])).filter(|l| !l.is_empty()))
    }

    /// The wire forms of the name, of its parent, of its parent's parent ... down to the root.
    pub fn suffixes(&self) -> impl Iterator<Item = &[u8]> {
        suffixes(self.as_wire())
    }

    /// Labels of the name, the root not counted.
    #[must_use]
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// The name without its first label; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.suffixes()
            .nth(1)
            .map(|suffix| Self(suffix.try_into().expect("a suffix is at most as long as its name")))
    }

    /// `label` put before this name; `None` when the result would pass 255 bytes.
    #[must_use]
    pub fn prepend(&self, label: &[u8]) -> Option<Self> {
        debug_assert!((1..=LABEL_LEN_MAX).contains(&label.len()));
        let mut wire = ArrayVec::new();
        wire.push(label.len() as u8);
        wire.try_extend_from_slice(label).ok()?;
        wire.try_extend_from_slice(&self.0).ok()?;
        Some(Self(wire))
    }

    /// Whether the name is `apex` or below it.
    #[must_use]
    pub fn is_at_or_below(&self, apex: &Self) -> bool {
        self.suffixes().any(|suffix| eq_ignore_case(suffix, &apex.0))
    }

    /// Whether the first label is the asterisk label (RFC 4592, section 2.1.1).
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(b"\x01*")
    }

    /// The name in lower case: the form in which names are keys.
    #[must_use]
    pub fn to_lowercase(&self) -> Self {
        let mut lower = self.clone();
        lower.0.make_ascii_lowercase();
        lower
    }
}

/// As it is written: its bytes say less.
impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        eq_ignore_case(&self.0, &other.0)
    }
}

impl Eq for Name {}

/// Presentation form with its final dot (RFC 1035, section 5.1): `\.` and `\\` for the two special bytes,
/// `\DDD` for what cannot be printed.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() == 1 {
            return f.write_str(".");
        }
        for label in self.labels() {
            for &byte in label {
                match byte {
                    b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                        write!(f, "\\{}", char::from(byte))?;
                    }
                    b'!'..=b'~' => write!(f, "{}", char::from(byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(labels: &[&[u8]]) -> Vec<u8> {
        let mut wire = Vec::new();
        for label in labels {
            wire.push(label.len() as u8);
            wire.extend_from_slice(label);
        }
        wire.push(0);
        wire
    }

    #[test]
    fn walk_finds_every_suffix() {
        let packet = wire(&[b"a-label-of-17-byt", b"in-addr", b"arpa"]);
        let walk = Walk::new(&packet, 0).unwrap();
        assert_eq!((walk.len(), walk.labels()), (packet.len(), 3));
        assert_eq!(
            [0, 1, 2, 3, 4].map(|labels| walk.suffix_start(&packet, labels)),
            [packet.len() - 1, packet.len() - 6, packet.len() - 14, 0, packet.len() - 1]
        );
        for (labels, suffix) in [(1, &b"\x04arpa\0"[..]), (2, b"\x07IN-addr\x04ARPA\0"), (3, &packet)] {
            let start = walk.suffix_start(&packet, labels);
            let expected = Name::from_wire(suffix).unwrap().hash();
            assert_eq!(hash(&packet, start, walk.len() - start), expected, "{labels} labels");
        }
    }

    #[test]
    fn hash_is_the_same_with_and_without_room_behind_the_name() {
        let mut seen = std::collections::HashSet::new();
        for len in 1..=LABEL_LEN_MAX {
            let tight = wire(&[&vec![b'Q'; len]]);
            let mut roomy = tight.clone();
            roomy.extend_from_slice(&[0xEE; size_of::<Window>()]);
            assert_eq!(hash(&tight, 0, tight.len()), hash(&roomy, 0, tight.len()), "length {len}");
            assert!(seen.insert(hash(&tight, 0, tight.len())), "length {len} has a hash of its own");
        }
        assert_eq!(hash(b"\0", 0, 1), Name::root().hash());
    }

    #[test]
    fn every_suffix_is_where_it_begins() {
        for labels in [0, 1, Walk::NEAR, Walk::NEAR + 1, 40, LABELS_MAX] {
            let packet = wire(&vec![&b"x"[..]; labels]);
            let walk = Walk::new(&packet, 0).unwrap();
            assert_eq!((walk.len(), walk.labels()), (packet.len(), labels));
            for of in 0..=labels {
                assert_eq!(walk.suffix_start(&packet, of), 2 * (labels - of), "{of} of {labels}");
            }
            assert_eq!(walk.suffix_start(&packet, labels + 1), packet.len() - 1);
        }
    }

    #[test]
    fn names_in_lower_case_are_found_in_any_case() {
        let lower = wire(&[b"168", b"192", b"in-addr", b"arpa"]);
        let mixed = lower.to_ascii_uppercase();
        for start in [0, 4, 8, 16, lower.len() - 1] {
            assert!(is_but_for_case(&lower[start..], &mixed[start..]));
            assert!(!is_but_for_case(&lower[start..], &mixed[start / 2..]) || start == 0);
            for at in start..lower.len() {
                let mut other = mixed.clone();
                other[at] ^= 1;
                assert!(!is_but_for_case(&lower[start..], &other[start..]), "from {start}, byte {at}");
            }
        }
    }

    #[test]
    fn every_name_length_from_1_to_255_parses_and_256_does_not() {
        for len in 1..=NAME_LEN_MAX + 2 {
            let mut name = Vec::new();
            while name.len() + 1 < len {
                let label = (len - name.len() - 2).min(LABEL_LEN_MAX);
                if label == 0 {
                    break;
                }
                name.push(label as u8);
                name.extend(std::iter::repeat_n(b'x', label));
            }
            name.push(0);
            let walked = Walk::new(&name, 0).map(|walk| walk.len());
            assert_eq!(walked, if name.len() <= NAME_LEN_MAX { Ok(name.len()) } else { Err(Damaged) });
        }
    }

    #[test]
    fn damage_is_damage() {
        for packet in
            [&b""[..], b"\x01", b"\x01a", b"\x40a\0", b"\x80a\0", b"\xC0\x0C", b"\x3Fabc\0", b"\x01a\xC0\0"]
        {
            assert!(Walk::new(packet, 0).is_err(), "{packet:02x?}");
        }
    }

    #[test]
    fn names_print_compare_and_nest() {
        let name = Name::from_wire(b"\x03a.b\x02\x00\xFF\x07Example\0").unwrap();
        assert_eq!(name.to_string(), "a\\.b.\\000\\255.Example.");
        assert_eq!(name.parent().unwrap().to_string(), "\\000\\255.Example.");
        assert_eq!(name, name.to_lowercase());
        assert!(name.is_at_or_below(&Name::from_wire(b"\x07eXAMPLE\0").unwrap()));
        assert!(!name.is_at_or_below(&Name::from_wire(b"\x06xample\0").unwrap()));
        assert_eq!(Name::root().to_string(), ".");
        assert_eq!(Name::root().parent(), None);
        assert_eq!((Name::root().label_count(), name.label_count()), (0, 3));
    }
}
