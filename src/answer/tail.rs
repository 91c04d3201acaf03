//! Records become a tail: wire form, names compressed (RFC 1035, section 4.1.4), pointers as relocations.

use super::tree::{Model, OwnerName, RrSet};
use super::{Base, Relocation};
use crate::dns::consts::{NAME_LEN_MAX, class, rtype};
use crate::dns::name::Name;
use crate::zone::compressible;

/// Farthest place in a tail that a pointer may name. Pointers reach 16,383 bytes; before a tail stand at most
/// a question and the links of a chain, under 8,192 bytes.
const TAIL_TARGET_MAX: usize = 0x1FFF;

/// Records as bytes and relocations.
pub(super) struct Encoder {
    pub(super) bytes: Vec<u8>,
    pub(super) relocations: Vec<Relocation>,
    known: Known,
    node: Name,
}

impl Encoder {
    /// An encoder for answers to names that are `node` or end in it: they hold `node` and its suffixes.
    pub(super) fn new(node: &Name) -> Self {
        let mut encoder =
            Self { bytes: Vec::new(), relocations: Vec::new(), known: Known::new(), node: Name::root() };
        encoder.begin(node);
        encoder
    }

    /// Begins again as a [`new`](Self::new) one. What it holds is of use: there are millions of tails.
    pub(super) fn begin(&mut self, node: &Name) {
        self.bytes.clear();
        self.relocations.clear();
        self.known.clear();
        self.known.learn(node.to_lowercase().as_wire(), node.as_wire().len(), Base::Node, 0);
        self.node.clone_from(node);
    }

    /// Appends all records of a model and counts them by section.
    pub(super) fn model(&mut self, model: &Model<'_>) -> [u16; 3] {
        // Records that pass 65,535 pass the length of every message too; such a tail is never sent.
        let mut counts = [0_u16; 3];
        for (owner, set) in &model.answer {
            counts[0] = counts[0].saturating_add(self.rrset(owner, set));
        }
        for (section, sets) in [(1, &model.authority), (2, &model.additional)] {
            for (owner, set) in sets {
                let count = self.rrset(&OwnerName::Known(owner.clone()), set);
                counts[section] = counts[section].saturating_add(count);
            }
        }
        counts
    }

    /// Appends the records of a set; gives their number.
    pub(super) fn rrset(&mut self, owner: &OwnerName, set: &RrSet<'_>) -> u16 {
        for rdata in set.rdatas.iter() {
            match owner {
                OwnerName::Question => self.pointer(Base::Name, 0),
                OwnerName::Known(name) => self.name(name),
            }
            self.bytes.extend_from_slice(&set.rtype.to_be_bytes());
            self.bytes.extend_from_slice(&class::IN.to_be_bytes());
            self.bytes.extend_from_slice(&set.ttl.to_be_bytes());
            let len_at = self.bytes.len();
            self.bytes.extend_from_slice(&[0; 2]);
            self.rdata(set.rtype, rdata);
            let len = (self.bytes.len() - len_at - 2) as u16;
            self.bytes[len_at..len_at + 2].copy_from_slice(&len.to_be_bytes());
        }
        set.rdatas.len() as u16
    }

    /// The node's own name as the owner of what follows.
    pub(super) fn node(&self) -> OwnerName {
        OwnerName::Known(self.node.clone())
    }

    /// Names in the rdata of these types alone may be compressed (RFC 3597, section 4).
    fn rdata(&mut self, rtype: u16, rdata: &[u8]) {
        let (before, names) = compressible(rtype).unwrap_or((rdata.len(), 0));
        if rtype == rtype::DNAME {
            // Not compressed itself, but what is made from it may point here.
            self.note(rdata);
        }
        let (head, mut rest) = rdata.split_at(before);
        self.bytes.extend_from_slice(head);
        for _ in 0..names {
            let name = Name::from_wire(rest).expect("checked when the zone was loaded");
            rest = &rest[name.as_wire().len()..];
            self.name(&name);
        }
        self.bytes.extend_from_slice(rest);
    }

    fn name(&mut self, name: &Name) {
        let lower = name.to_lowercase();
        let lower = lower.as_wire();
        let known = name.suffixes().find_map(|suffix| {
            let at = lower.len() - suffix.len();
            Some((at, self.known.place(&lower[at..])?))
        });
        let (new_len, known) = known.map_or((lower.len(), None), |(at, place)| (at, Some(place)));
        self.known.learn(lower, new_len, Base::Tail, self.bytes.len());
        self.bytes.extend_from_slice(&name.as_wire()[..new_len]);
        if let Some((base, delta)) = known {
            self.pointer(base, delta);
        }
    }

    /// Notes where the suffixes of a name will stand that is about to be appended as it is.
    fn note(&mut self, wire: &[u8]) {
        let name = Name::from_wire(wire).expect("checked when the zone was loaded");
        self.known.learn(name.to_lowercase().as_wire(), wire.len(), Base::Tail, self.bytes.len());
    }

    fn pointer(&mut self, base: Base, delta: u16) {
        // A tail with pointers beyond 65,535 is too long for any message; its bytes are never used.
        self.relocations.push(Relocation { at: self.bytes.len() as u16, delta, base });
        self.bytes.extend_from_slice(&[0; 2]);
    }
}

/// Where names stand already. A tail has a handful of them, and a node of many zones makes millions of tails:
/// so there is no table of hashes to be filled for each, but a list for each length of a name.
struct Known {
    /// The names, in lower case.
    names: Vec<u8>,
    places: Vec<Place>,
    /// By the length of a name: the last of the places of those, plus one.
    last: [u16; NAME_LEN_MAX + 1],
}

/// Where one name stands.
struct Place {
    /// Where it begins in [`Known::names`], and its length.
    start: u32,
    len: u8,
    /// The place before it among those of the same length, plus one.
    before: u16,
    base: Base,
    delta: u16,
}

// No two stand at the same byte that a pointer reaches, and the node has one for each label.
const _: () = assert!(TAIL_TARGET_MAX + NAME_LEN_MAX < u16::MAX as usize);

impl Known {
    const fn new() -> Self {
        Self { names: Vec::new(), places: Vec::new(), last: [0; NAME_LEN_MAX + 1] }
    }

    fn clear(&mut self) {
        self.names.clear();
        self.places.drain(..).for_each(|place| self.last[usize::from(place.len)] = 0);
    }

    /// Where `name`, in lower case, stands.
    fn place(&self, name: &[u8]) -> Option<(Base, u16)> {
        let mut next = self.last[name.len()];
        while let Some(place) = usize::from(next).checked_sub(1).map(|index| &self.places[index]) {
            if self.names[place.start as usize..].starts_with(name) {
                return Some((place.base, place.delta));
            }
            next = place.before;
        }
        None
    }

    /// Notes that `name`, in lower case, stands at `at`, and its suffixes that begin in its first `len` bytes
    /// after that; but none that stands somewhere already.
    fn learn(&mut self, name: &[u8], len: usize, base: Base, at: usize) {
        let start = self.names.len();
        let mut from = 0;
        while from < len && name[from] != 0 && at + from <= TAIL_TARGET_MAX {
            let suffix = &name[from..];
            if self.place(suffix).is_none() {
                if self.names.len() == start {
                    self.names.extend_from_slice(name);
                }
                let before = self.last[suffix.len()];
                let (start, len) = ((start + from) as u32, suffix.len() as u8);
                let place = Place { start, len, before, base, delta: (at + from) as u16 };
                self.places.push(place);
                self.last[suffix.len()] = self.places.len() as u16;
            }
            from += 1 + usize::from(name[from]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(labels: &[&str]) -> Name {
        let labels = labels.iter().flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
        Name::from_wire(&labels.chain([0]).collect::<Vec<u8>>()).unwrap()
    }

    /// The name at `at`, and where the next one begins.
    fn unpacked(encoder: &Encoder, mut at: usize) -> (Vec<u8>, usize) {
        let mut wire = Vec::new();
        loop {
            if let Ok(found) = encoder.relocations.binary_search_by_key(&at, |pointer| pointer.at.into()) {
                let Relocation { delta, base, .. } = encoder.relocations[found];
                assert!(usize::from(delta) <= TAIL_TARGET_MAX);
                match base {
                    Base::Node => wire.extend_from_slice(&encoder.node.as_wire()[usize::from(delta)..]),
                    _ => wire.extend(unpacked(encoder, delta.into()).0),
                }
                return (wire, at + 2);
            }
            let label = &encoder.bytes[at..=at + usize::from(encoder.bytes[at])];
            wire.extend_from_slice(label);
            at += label.len();
            if label == [0] {
                return (wire, at);
            }
        }
    }

    #[test]
    fn names_point_to_the_longest_suffix_that_stands_already_whatever_its_case() {
        let mut encoder = Encoder::new(&name(&["Zone", "example"]));
        for (labels, len) in [
            (&["ns", "zone", "EXAMPLE"][..], 3 + 2),
            (&["NS", "Zone", "example"], 2),
            (&["b", "other", "test"], 2 + 6 + 5 + 1),
            (&["a", "OTHER", "test"], 2 + 2),
            (&["example"], 2),
            (&["test"], 2),
            (&["zone"], 5 + 1),
            (&[], 1),
        ] {
            let before = encoder.bytes.len();
            encoder.name(&name(labels));
            assert_eq!(encoder.bytes.len() - before, len, "{labels:?}");
            let (wire, end) = unpacked(&encoder, before);
            assert!(wire.eq_ignore_ascii_case(name(labels).as_wire()), "{labels:?}");
            assert_eq!(end, encoder.bytes.len());
        }
    }

    /// As far as pointers reach and beyond, with names of many labels.
    #[test]
    fn a_tail_full_of_names_says_them_all() {
        let mut encoder = Encoder::new(&name(&["example"]));
        let texts: Vec<String> = (0..4000).map(|number| format!("{:013b}", number * 5 % 8192)).collect();
        let mut at = 0;
        for text in &texts {
            let labels: Vec<&str> = (0..text.len()).map(|digit| &text[digit..=digit]).collect();
            encoder.name(&name(&labels));
            let (wire, end) = unpacked(&encoder, at);
            assert_eq!(wire, name(&labels).as_wire());
            at = end;
        }
        assert!(encoder.bytes.len() > TAIL_TARGET_MAX && encoder.known.places.len() <= TAIL_TARGET_MAX);
    }
}
