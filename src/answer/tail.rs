//! Records become a tail: wire form, names compressed (RFC 1035, section 4.1.4), pointers as relocations.

use std::collections::HashMap;

use super::tree::{Model, OwnerName, RrSet};
use super::{Base, Relocation};
use crate::dns::consts::{class, rtype};
use crate::dns::name::Name;

/// Farthest place in a tail that a pointer may name. Pointers reach 16,383 bytes; before a tail stand at most
/// a question and the links of a chain, under 8,192 bytes.
const TAIL_TARGET_MAX: usize = 0x1FFF;

/// Records as bytes and relocations.
pub(super) struct Encoder {
    pub(super) bytes: Vec<u8>,
    pub(super) relocations: Vec<Relocation>,
    /// Where a name, in lower case, stands already.
    known: HashMap<Vec<u8>, (Base, u16)>,
    node: Name,
}

impl Encoder {
    /// An encoder for answers to names that are `node` or end in it: they hold `node` and its suffixes.
    pub(super) fn new(node: &Name) -> Self {
        let mut known = HashMap::new();
        let len = node.as_wire().len();
        for suffix in node.suffixes().filter(|suffix| suffix.len() > 1) {
            known.insert(suffix.to_ascii_lowercase(), (Base::Node, (len - suffix.len()) as u16));
        }
        Self { bytes: Vec::new(), relocations: Vec::new(), known, node: node.clone() }
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
        for rdata in &set.rdatas {
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
        let (before, names) = match rtype {
            rtype::NS | rtype::CNAME | rtype::PTR => (0, 1),
            rtype::MX => (2, 1),
            rtype::SOA => (0, 2),
            _ => (rdata.len(), 0),
        };
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
        for suffix in name.suffixes() {
            let key = suffix.to_ascii_lowercase();
            if let Some(&(base, delta)) = self.known.get(&key) {
                return self.pointer(base, delta);
            }
            self.learn(key, self.bytes.len());
            self.bytes.extend_from_slice(&suffix[..=usize::from(suffix[0])]);
        }
    }

    /// Notes where the suffixes of a name will stand that is about to be appended as it is.
    fn note(&mut self, wire: &[u8]) {
        let name = Name::from_wire(wire).expect("checked when the zone was loaded");
        let here = self.bytes.len();
        for suffix in name.suffixes() {
            self.learn(suffix.to_ascii_lowercase(), here + wire.len() - suffix.len());
        }
    }

    /// Notes that a name, in lower case, stands at `at`, unless it stands somewhere already.
    fn learn(&mut self, key: Vec<u8>, at: usize) {
        if key.len() > 1 && at <= TAIL_TARGET_MAX {
            self.known.entry(key).or_insert((Base::Tail, at as u16));
        }
    }

    fn pointer(&mut self, base: Base, delta: u16) {
        // A tail with pointers beyond 65,535 is too long for any message; its bytes are never used.
        self.relocations.push(Relocation { at: self.bytes.len() as u16, delta, base });
        self.bytes.extend_from_slice(&[0; 2]);
    }
}
