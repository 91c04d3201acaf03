//! The records of a zone, packed. A node has a million zones, and most of those of one owner differ in
//! nothing but their name: so names are written relative to the apex where they can be, and zones with equal
//! bytes share them.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Record;
use crate::dns::consts::rtype;
use crate::dns::name::{Name, eq_ignore_case, suffixes};

/// What stands before the names of an rdata of this type, in bytes, and how many names there are: those that
/// a message may compress (RFC 3597, section 4).
#[must_use]
pub const fn compressible(rtype: u16) -> Option<(usize, usize)> {
    match rtype {
        rtype::NS | rtype::CNAME | rtype::PTR => Some((0, 1)),
        rtype::MX => Some((2, 1)),
        rtype::SOA => Some((0, 2)),
        _ => None,
    }
}

/// Records in their order. Two that are equal are those of zones which differ in their apex alone.
#[derive(Clone, Debug)]
pub(super) struct Records {
    bytes: Arc<[u8]>,
}

/// Records are compared by what they share, which is all of them or nothing.
impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bytes, &other.bytes) || self.bytes == other.bytes
    }
}

impl Eq for Records {}

impl Hash for Records {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl Records {
    /// Packs the records of the zone `apex`.
    pub(super) fn new<'r>(apex: &Name, records: impl IntoIterator<Item = &'r Record>) -> Self {
        let mut pack = Pack { apex, bytes: vec![1] };
        records.into_iter().for_each(|record| pack.record(record));
        Self { bytes: pack.bytes.into() }
    }

    /// Whether zones with these records, whose apexes have one parent and first labels of one length, answer
    /// alike, each for itself, as long as no other zone is below theirs. Not where a name in them is that of
    /// the zone but for its case, nor with DNAMEs.
    pub(super) fn are_alike(&self) -> bool {
        self.bytes[0] == 1
    }

    /// What tells these records from all others that are there at the same time, if others may share them.
    pub(super) fn shared(&self) -> Option<usize> {
        (Arc::strong_count(&self.bytes) > 1).then(|| self.bytes.as_ptr().addr())
    }

    /// The records of the zone `apex`.
    pub(super) fn iter<'a>(&'a self, apex: &'a [u8]) -> impl Iterator<Item = Record> + 'a {
        let mut rest = Packed(&self.bytes[1..]);
        std::iter::from_fn(move || (!rest.0.is_empty()).then(|| rest.record(apex)))
    }
}

/// Names end with the apex, or with nothing more.
const RELATIVE: u8 = 1;
const ABSOLUTE: u8 = 0;
/// An rdata is bytes, or has names in it.
const PLAIN: u8 = 0;
const NAMED: u8 = 1;

struct Pack<'a> {
    apex: &'a Name,
    bytes: Vec<u8>,
}

impl Pack<'_> {
    fn record(&mut self, record: &Record) {
        self.name(record.owner.as_wire());
        self.bytes.extend(record.rtype.to_be_bytes());
        self.bytes.extend(record.ttl.to_be_bytes());
        if record.rtype == rtype::DNAME {
            self.bytes[0] = 0;
        }
        if self.named(record).is_none() {
            self.bytes.push(PLAIN);
            self.rest(&record.rdata);
        }
    }

    /// An rdata with names; `None` for another one.
    fn named(&mut self, record: &Record) -> Option<()> {
        let (before, names) = compressible(record.rtype)?;
        let (head, mut rest) = record.rdata.split_at_checked(before)?;
        let mut ends = [0; 2];
        for end in &mut ends[..names] {
            let len = Name::from_wire(rest).ok()?.as_wire().len();
            (*end, rest) = (len, &rest[len..]);
        }
        self.bytes.push(NAMED);
        self.bytes.extend_from_slice(head);
        let mut at = before;
        for len in &ends[..names] {
            self.name(&record.rdata[at..at + len]);
            at += len;
        }
        self.rest(rest);
        Some(())
    }

    fn rest(&mut self, bytes: &[u8]) {
        self.bytes.extend((bytes.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    fn name(&mut self, wire: &[u8]) {
        let prefix = self.prefix(wire);
        let (kind, prefix) = prefix.map_or((ABSOLUTE, wire), |prefix| (RELATIVE, prefix));
        self.bytes.extend([kind, prefix.len() as u8]);
        self.bytes.extend_from_slice(prefix);
    }

    /// What of a name stands before the apex, if that is written in it as everywhere else.
    fn prefix<'w>(&mut self, wire: &'w [u8]) -> Option<&'w [u8]> {
        let apex = self.apex.as_wire();
        let end = suffixes(wire).find(|suffix| suffix.len() == apex.len())?;
        if !eq_ignore_case(end, apex) {
            return None;
        }
        if end != apex {
            self.bytes[0] = 0;
            return None;
        }
        wire.strip_suffix(apex)
    }
}

/// What was packed here, so it is there.
struct Packed<'a>(&'a [u8]);

impl<'a> Packed<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn name(&mut self, apex: &[u8], wire: &mut Vec<u8>) {
        let (kind, len) = (self.byte(), self.byte());
        wire.extend_from_slice(self.take(len.into()));
        if kind == RELATIVE {
            wire.extend_from_slice(apex);
        }
    }

    fn record(&mut self, apex: &[u8]) -> Record {
        let mut rdata = Vec::new();
        self.name(apex, &mut rdata);
        let owner = Name::from_wire(&rdata).expect("what was packed was a name");
        let rtype = self.u16();
        let ttl = u32::from(self.u16()) << 16 | u32::from(self.u16());
        rdata.clear();
        if self.byte() == NAMED {
            let (before, names) = compressible(rtype).unwrap_or_default();
            rdata.extend_from_slice(self.take(before));
            (0..names).for_each(|_| self.name(apex, &mut rdata));
        }
        let len = self.u16();
        rdata.extend_from_slice(self.take(len.into()));
        Record { owner, rtype, ttl, rdata }
    }
}

#[cfg(test)]
mod tests {
    use super::super::name_from_text;
    use super::*;

    fn name(text: &str) -> Name {
        name_from_text(text).unwrap()
    }

    fn record(owner: &str, rtype: u16, rdata: &[&[u8]]) -> Record {
        Record { owner: name(owner), rtype, ttl: 0x0102_0304, rdata: rdata.concat() }
    }

    fn wire(text: &str) -> Vec<u8> {
        name(text).as_wire().to_vec()
    }

    /// As a zone `apex` has them; every name in them ends with it or with `other`.
    fn records(apex: &str, other: &str) -> Vec<Record> {
        let at = |label: &str| if apex == "." { label.to_owned() } else { format!("{label}{apex}") };
        vec![
            record(apex, rtype::SOA, &[&wire(&at("ns.")), &wire(other), &[7; 20]]),
            record(apex, rtype::NS, &[&wire(&at("ns."))]),
            record(&at("*.a."), rtype::MX, &[&[0, 1], &wire(apex)]),
            record(&at("www."), rtype::CNAME, &[&wire(&format!("www.{other}"))]),
            record(&at("t."), rtype::TXT, &[b"\x01t"]),
            record(&at("none."), 65_280, &[]),
        ]
    }

    #[test]
    fn what_is_packed_comes_out_as_it_was() {
        for (apex, other) in [("example", "test"), ("Exa-MPLE.Test", "test"), (".", "test"), ("a.b.c", "b.c")]
        {
            let packed = Records::new(&name(apex), &records(apex, other));
            let found: Vec<Record> = packed.iter(name(apex).as_wire()).collect();
            assert_eq!(found, records(apex, other), "{apex}");
            let same_case = |(a, b): (&Record, &Record)| a.owner.as_wire() == b.owner.as_wire();
            assert!(found.iter().zip(&records(apex, other)).all(same_case));
        }
        // What is not as its type has it, and what is long.
        let long = vec![0; 65_535];
        for odd in [&[][..], &[1], &[1, b'a'], &long] {
            let odd = record("example", rtype::NS, &[odd]);
            assert_eq!(Records::new(&name("example"), [&odd]).iter(&wire("example")).next(), Some(odd));
        }
    }

    #[test]
    fn zones_that_differ_in_their_apex_alone_are_equal() {
        let packed = |apex: &str, records: &[Record]| Records::new(&name(apex), records);
        let one = packed("a.example", &records("a.example", "test"));
        assert_eq!(one, packed("bb.test", &records("bb.test", "test")));
        assert_ne!(one, packed("a.example", &records("a.example", "test2")));
        assert!(one.are_alike());
        // A label that merely ends as the apex does is no name below it.
        let odd = record("x\\001a.example", rtype::TXT, &[b"\0"]);
        let odd = packed("a.example", std::slice::from_ref(&odd)).iter(&wire("b.example")).next().unwrap();
        assert_eq!(odd.owner, name("x\\001a.example"));

        // Another case of the name is kept, but then they are not alike; nor with a DNAME.
        let cased = record("www.A.example", rtype::TXT, &[b"\0"]);
        let cased_packed = packed("a.example", std::slice::from_ref(&cased));
        assert_eq!(
            cased_packed.iter(&wire("a.example")).next().unwrap().owner.as_wire(),
            cased.owner.as_wire()
        );
        assert!(!cased_packed.are_alike());
        let dname = record("www.a.example", rtype::DNAME, &[&wire("test")]);
        assert!(!packed("a.example", std::slice::from_ref(&dname)).are_alike());
    }

    #[test]
    fn only_what_is_shared_has_a_mark() {
        let one = Records::new(&name("a"), &records("a", "test"));
        assert_eq!(one.shared(), None);
        let two = one.clone();
        assert!(one.shared().is_some() && one.shared() == two.shared());
    }
}
