//! What a zone may not hold, although it reads well: whoever serves it may rely on every sentence here.
//!
//! Records outside the zone are left out with a warning, as BIND and Knot do. Exact duplicates of a record
//! are dropped without a word, as NSD and Knot do. Where the TTLs of an RRset differ, all get the lowest: RFC
//! 2181, section 5.2, calls the difference an error and lets a server that meets one do so. Data at and below
//! a delegation may stand and is kept; the answers leave it out.

use std::collections::{HashMap, HashSet};

use super::contents::{Contents, Owners, Placed};
use super::{Record, lint, rdata};
use crate::dns::consts::rtype;
use crate::dns::name::Name;
use crate::limits::{RRSET_LEN_MAX, ZONE_PROBLEMS_MAX};
use crate::problem::Problem;

/// Why records of this type are not served; `None` for those that are.
pub(super) fn type_refusal(rtype: u16) -> Option<&'static str> {
    /// KEY, SIG and NXT: DNSSEC before RFC 4034.
    const OLD_DNSSEC: [u16; 3] = [24, 25, 30];
    match rtype {
        rtype::DS => {
            Some("signed zones are not served, and a DS without signatures proves nothing: remove the record")
        }
        rtype::DNSKEY
        | rtype::RRSIG
        | rtype::NSEC
        | rtype::NSEC3
        | rtype::NSEC3PARAM
        | rtype::CDS
        | rtype::CDNSKEY => Some("signed zones are not served: give the unsigned zone"),
        old if OLD_DNSSEC.contains(&old) => Some("signed zones are not served: give the unsigned zone"),
        // Query types and meta types (RFC 6895, section 3.1), and zero, which is reserved.
        0 | rtype::OPT | 128..=255 => Some("a meta-type cannot be in a zone: remove the record"),
        _ => None,
    }
}

/// The records of a zone fit to be served, the SOA first, and warnings; or all that is wrong with them. The
/// names in `addressed` have addresses that the zone does not hold.
pub(super) fn check(
    apex: &Name,
    mut contents: Contents,
    addressed: &HashSet<Vec<u8>>,
) -> Result<(Vec<Record>, Vec<Problem>), Vec<Problem>> {
    let is_inside = |placed: &Placed| placed.record.owner.is_at_or_below(apex);
    let mut owners = Owners::new(&contents.records, (0..contents.records.len()).collect());
    if merge(&mut contents.records, &owners) {
        owners = Owners::new(&contents.records, (0..contents.records.len()).collect());
    }
    let outside: Vec<usize> =
        (0..contents.records.len()).filter(|&index| !is_inside(&contents.records[index])).collect();
    if !outside.is_empty() {
        let inside = (0..contents.records.len()).filter(|&index| is_inside(&contents.records[index]));
        owners = Owners::new(&contents.records, inside.collect());
    }
    let has_dname = contents.records.iter().any(|placed| placed.record.rtype == rtype::DNAME);
    let mut check = Check { apex, contents: &contents, owners, outside, has_dname, problems: Vec::new() };
    if contents.problems.is_empty() {
        check.apex();
    }
    // In the order in which the file first names them.
    let mut owners: Vec<&[usize]> = check.owners.groups().collect();
    owners.sort_unstable_by_key(|records| records[0]);
    let wrong: Vec<(usize, String)> = owners.into_iter().flat_map(|records| check.owner(records)).collect();
    wrong.into_iter().for_each(|(index, message)| check.refuse(index, message));
    let Check { owners, problems, outside, .. } = check;
    if !problems.is_empty() || !contents.problems.is_empty() {
        contents.problems.extend(problems);
        return Err(contents.problems);
    }
    let warnings: Vec<Problem> =
        lint::warnings(apex, &contents, &owners, addressed).take(ZONE_PROBLEMS_MAX).collect();
    contents.warnings.extend(warnings);
    let inside = contents.records.into_iter().filter(|placed| outside.is_empty() || is_inside(placed));
    let mut records: Vec<Record> = inside.map(|placed| placed.record).collect();
    // Stable: the others keep the order of the file.
    records.sort_by_key(|record| record.rtype != rtype::SOA);
    Ok((records, contents.warnings))
}

/// Drops duplicates and gives every RRset its lowest TTL. Whether there were duplicates.
fn merge(records: &mut Vec<Placed>, owners: &Owners) -> bool {
    let mut twice = HashSet::new();
    for group in owners.groups().filter(|group| group.len() > 1) {
        let mut ttls: HashMap<u16, u32> = HashMap::new();
        for &place in group {
            let Record { rtype, ttl, .. } = records[place].record;
            ttls.entry(rtype).and_modify(|lowest| *lowest = ttl.min(*lowest)).or_insert(ttl);
        }
        let mut seen = HashSet::new();
        for &place in group {
            let record = &mut records[place].record;
            record.ttl = ttls[&record.rtype];
            // Of a type of which there is one record there is no other.
            if ttls.len() < group.len()
                && !seen.insert((record.rtype, rdata::canonical(record.rtype, &record.rdata)))
            {
                twice.insert(place);
            }
        }
    }
    let mut place = 0..;
    records.retain(|_| place.next().is_some_and(|place| twice.is_empty() || !twice.contains(&place)));
    !twice.is_empty()
}

struct Check<'a> {
    apex: &'a Name,
    contents: &'a Contents,
    /// The records inside the zone.
    owners: Owners,
    /// The others.
    outside: Vec<usize>,
    /// There is a DNAME.
    has_dname: bool,
    problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    fn placed(&self, index: usize) -> &'a Placed {
        &self.contents.records[index]
    }

    fn refuse(&mut self, index: usize, message: String) {
        if self.problems.len() < ZONE_PROBLEMS_MAX {
            let place = self.contents.place(self.placed(index));
            self.problems.push(Problem { place, message });
        }
    }

    /// One SOA and at least one NS at the apex (RFC 1035, section 5.2). Asked only of a file that was read
    /// whole: what seems to be missing may stand on a line with a mistake.
    fn apex(&mut self) {
        let records = self.owners.get(&self.contents.records, self.apex.as_wire());
        let types: Vec<u16> = records.iter().map(|&index| self.placed(index).record.rtype).collect();
        for (wanted, name) in [(rtype::SOA, "SOA"), (rtype::NS, "NS")] {
            if !types.contains(&wanted) {
                let place = self.contents.zone_place();
                let message = match self.outside.first().map(|&index| self.placed(index)) {
                    Some(placed) if self.owners.is_empty() => format!(
                        "the zone {} has no {name} record: all records are outside of it, such as {}",
                        self.apex, placed.record.owner
                    ),
                    _ => format!("the zone {} has no {name} record at its apex: add one", self.apex),
                };
                self.problems.push(Problem { place, message });
            }
        }
    }

    /// What may not stand together at one owner, whose `records` these are.
    fn owner(&self, records: &[usize]) -> Vec<(usize, String)> {
        let owner = &self.placed(records[0]).record.owner;
        let is_apex = owner == self.apex;
        let rtype = |index: usize| self.placed(index).record.rtype;
        let of = |wanted: u16| records.iter().copied().filter(move |&index| rtype(index) == wanted);
        let first = |wanted: u16| of(wanted).next();

        let mut wrong: Vec<(usize, String)> = Vec::new();
        if let (false, Some(soa)) = (is_apex, first(rtype::SOA)) {
            wrong.push((soa, format!("a SOA is allowed at the apex, {}, only", self.apex)));
        }
        for (single, name) in [(rtype::SOA, "SOA"), (rtype::CNAME, "CNAME"), (rtype::DNAME, "DNAME")] {
            let mut several = of(single);
            let Some(first) = several.next() else { continue };
            for index in several {
                let first = self.where_from(first, index);
                wrong.push((index, format!("a second {name} at {owner}; the first is on {first}")));
            }
        }
        let other = records.iter().copied().find(|&index| rtype(index) != rtype::CNAME);
        if let (Some(cname), Some(other)) = (first(rtype::CNAME), other) {
            let other = self.where_from(other, cname);
            wrong.push((
                cname,
                format!("{owner} has a CNAME and, on {other}, other data: keep one of the two"),
            ));
        }
        if let (false, Some(dname), Some(ns)) = (is_apex, first(rtype::DNAME), first(rtype::NS)) {
            let ns = self.where_from(ns, dname);
            wrong.push((dname, format!("{owner} has a DNAME and, on {ns}, an NS: keep one of the two")));
        }
        for (found, name) in [(first(rtype::NS), "NS"), (first(rtype::DNAME), "DNAME")] {
            if let (true, Some(index)) = (owner.is_wildcard(), found) {
                wrong.push((index, format!("a wildcard cannot own {name} records: write out each name")));
            }
        }
        if let Some(dname) = self.dname_above(owner) {
            let dname = self.where_from(dname, records[0]);
            wrong.push((
                records[0],
                format!("{owner} is below the DNAME on {dname}, which hides it: remove one of the two"),
            ));
        }
        wrong.extend(self.too_long(records));
        wrong
    }

    /// Where a record stands, told to a reader who looks at record `from`.
    fn where_from(&self, index: usize, from: usize) -> String {
        let (placed, from) = (self.placed(index), self.placed(from));
        if placed.file == from.file { format!("line {}", placed.line) } else { self.contents.place(placed) }
    }

    /// A DNAME at a name above `owner` (RFC 6672, section 2.4).
    fn dname_above(&self, owner: &Name) -> Option<usize> {
        if !self.has_dname {
            return None;
        }
        let above = owner.label_count() - self.apex.label_count();
        owner.suffixes().skip(1).take(above).find_map(|suffix| {
            let mut records = self.owners.get(&self.contents.records, suffix).iter().copied();
            records.find(|&index| self.placed(index).record.rtype == rtype::DNAME)
        })
    }

    /// The first record of each RRset of one owner that no reply can hold.
    fn too_long(&self, records: &[usize]) -> Vec<(usize, String)> {
        // A pointer to the owner, type, class, TTL and length: 12 bytes.
        let len = |record: &Record| 12 + record.rdata.len();
        if records.iter().map(|&index| len(&self.placed(index).record)).sum::<usize>() <= RRSET_LEN_MAX {
            return Vec::new();
        }
        let mut rrsets: HashMap<u16, (usize, usize)> = HashMap::new();
        for &index in records {
            let record = &self.placed(index).record;
            rrsets.entry(record.rtype).or_insert((index, 0)).1 += len(record);
        }
        let too_long = rrsets.into_values().filter(|&(_, len)| len > RRSET_LEN_MAX);
        let mut too_long: Vec<_> = too_long
            .map(|(index, len)| {
                let message = format!(
                    "the RRset that begins here has {len} bytes; at most {RRSET_LEN_MAX} fit a reply"
                );
                (index, message)
            })
            .collect();
        too_long.sort_unstable();
        too_long
    }
}
