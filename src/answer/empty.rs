//! Zones with nothing below their apex, for whoever answers without a lookup for each name: in such a zone
//! all names but one have the same answer.

use super::{Answers, Base, Node, Rule, Span};
use crate::dns::consts::rcode;
use crate::dns::reply::Head;
use crate::stats::account::ZoneLabels;

/// A name that exists, in lower case, and the zone that it is the apex of where that zone is empty.
#[derive(Debug)]
pub struct Existing<'a> {
    /// The name's wire form.
    pub name: &'a [u8],
    /// What names below it get, if they all get the same.
    pub empty: Option<EmptyZone<'a>>,
}

/// What is below the apex of an empty zone.
#[derive(Debug)]
pub struct EmptyZone<'a> {
    /// How the zone is counted.
    pub labels: ZoneLabels,
    /// The records after the question: the zone's SOA, as NXDOMAIN has it.
    pub records: &'a [u8],
    /// The compression pointers in them.
    pub pointers: Vec<Pointer>,
}

/// A compression pointer in the records of an [`EmptyZone`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pointer {
    /// Where it stands, from the first byte of the records.
    pub at: u16,
    /// Where it points, from the apex in the qname, or from the first byte of the records.
    pub delta: u16,
    /// Which of the two.
    pub is_from_records: bool,
}

impl Answers {
    /// All names that exist. (The zones that say who answers are not among the empty ones.) A name that
    /// does not is below none of them but those that it ends in; so where it ends in the apex of an empty
    /// zone and in nothing longer, it gets what that zone says.
    pub fn existing(&self) -> impl Iterator<Item = Existing<'_>> {
        self.nodes.iter().map(|node| Existing { name: self.slice(node.name), empty: self.empty_zone(node) })
    }

    fn empty_zone(&self, node: &Node) -> Option<EmptyZone<'_>> {
        let Rule::Set(below) = &node.below else { return None };
        let tail = &self.tails[below.other.0 as usize];
        // Both are so for an empty zone, whatever is asked; that they are is looked at all the same.
        let is_one_answer = below.types.len == 0 && below.link.is_none() && below.is_plain();
        let is_negative = tail.head == Head::new(rcode::NXDOMAIN, true, [0, 1, 0]);
        let any = &self.tails[below.any[0].0 as usize];
        let is_of_any =
            self.slice(any.bytes) == self.slice(tail.bytes) && any.head.counts() == tail.head.counts();
        if !(node.is_empty_zone && is_one_answer && is_negative && is_of_any) {
            return None;
        }
        let pointers = self.relocations[tail.relocations.range()].iter().map(|relocation| Pointer {
            at: relocation.at,
            delta: relocation.delta,
            is_from_records: relocation.base == Base::Tail,
        });
        Some(EmptyZone { labels: node.zone, records: self.slice(tail.bytes), pointers: pointers.collect() })
    }

    fn slice(&self, span: Span) -> &[u8] {
        &self.bytes[span.range()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::consts::rtype;
    use crate::dns::name::Name;
    use crate::zone::{Record, Service, Special, SpecialKind, Zone, ZoneSet};

    fn zone(apex: &[u8], more: &[&[u8]]) -> Zone {
        let apex = Name::from_wire(apex).unwrap();
        let record =
            |owner: Name, rtype, rdata: &[u8]| Record { owner, rtype, ttl: 60, rdata: rdata.to_vec() };
        let soa = [apex.as_wire(), apex.as_wire(), &[0; 20]].concat();
        let mut records =
            vec![record(apex.clone(), rtype::SOA, &soa), record(apex.clone(), rtype::NS, apex.as_wire())];
        records.extend(more.iter().map(|label| record(apex.prepend(label).unwrap(), rtype::TXT, b"\x01x")));
        Zone::new(&apex, Service::Configured, &records)
    }

    #[test]
    fn zones_without_a_second_name_are_empty() {
        let zones = vec![
            zone(b"\x05Empty\0", &[]),
            zone(b"\x04full\0", &[b"www"]),
            zone(b"\x04wild\0", &[b"*"]),
            zone(b"\x05below\x05empty\0", &[]),
        ];
        let (answers, _) =
            Answers::compile(&ZoneSet { zones, ..ZoneSet::default() }, &mut Vec::new()).unwrap();
        let empty = |name: &[u8]| {
            let found = answers.existing().find(|existing| existing.name == name).unwrap();
            found.empty.map(|zone| (zone.records.len(), zone.pointers))
        };
        // The owner and both names of the SOA are the apex.
        let pointer = |at| Pointer { at, delta: 0, is_from_records: false };
        let expected = Some((12 + 2 + 2 + 20, vec![pointer(0), pointer(12), pointer(14)]));
        assert_eq!(empty(b"\x05empty\0"), expected);
        assert_eq!(empty(b"\x05below\x05empty\0"), expected);
        for name in [&b"\x04full\0"[..], b"\x03www\x04full\0", b"\x04wild\0"] {
            assert_eq!(empty(name), None);
        }
        // Nor are those where it matters that somebody asks, or who.
        for kind in [SpecialKind::Beacon, SpecialKind::Identity] {
            let name = Name::from_wire(b"\x05empty\0").unwrap();
            let specials = vec![Special { name, is_wildcard: false, kind }];
            let set = ZoneSet { zones: vec![zone(b"\x05empty\0", &[])], specials, ..ZoneSet::default() };
            let (answers, _) = Answers::compile(&set, &mut Vec::new()).unwrap();
            assert!(answers.existing().all(|existing| existing.empty.is_none()), "{kind:?}");
        }
    }
}
