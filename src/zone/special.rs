//! Names whose answers depend on who asks, in the zones that they belong to.
//!
//! They must exist for everybody or for nobody, so nothing of the zone may contradict them: no alias, no cut.
//! What a zone has of the types that are made for whoever asks is dropped with a warning; all else stays.

use std::collections::{HashMap, HashSet};

use super::contents::key;
use super::{Apexes, Record, Service, Special, SpecialEntry, SpecialKind, Zone, ZoneSet};
use crate::dns::consts::rtype;
use crate::dns::name::Name;
use crate::limits::ZONE_PROBLEMS_MAX;
use crate::problem::Problem;

/// The owners, in lower case, that have addresses although no zone holds them.
pub(super) fn addressed(entries: &[SpecialEntry]) -> HashSet<Vec<u8>> {
    let specials = entries.iter().map(|entry| &entry.special);
    let addressed = specials.filter(|special| special.kind != SpecialKind::Beacon);
    addressed.filter_map(Special::owner).map(|owner| key(&owner)).collect()
}

/// Puts special names into a set whose zones and pools are complete. All that is wrong with them.
pub(super) fn check(set: &mut ZoneSet, entries: &[SpecialEntry]) -> Vec<Problem> {
    let zones = Apexes::new(&set.zones);
    let mut check = Check {
        set,
        zones,
        indices: HashMap::new(),
        taken: HashMap::new(),
        identities: Vec::new(),
        replaced: HashMap::new(),
    };
    let (mut problems, mut specials) = (Vec::new(), Vec::new());
    for entry in entries {
        match check.entry(entry) {
            Ok(()) => specials.push(entry.special.clone()),
            Err(message) => problems.push(Problem { place: entry.place.clone(), message }),
        }
    }
    for entry in entries.iter().filter(|entry| entry.special.kind == SpecialKind::Beacon) {
        problems.extend(check.leads_nowhere(entry));
    }
    problems.truncate(ZONE_PROBLEMS_MAX);
    let Check { replaced, .. } = check;
    for (zone, owners) in replaced {
        let is_replaced = |owner: &Name, rtype| {
            owners.get(&key(owner)).is_some_and(|types: &Vec<u16>| types.contains(&rtype))
        };
        let zone = &mut set.zones[zone];
        let left: Vec<Record> =
            zone.records().filter(|record| !is_replaced(&record.owner, record.rtype)).collect();
        *zone = Zone::new(&zone.apex(), zone.service, &left);
    }
    set.specials = specials;
    problems
}

/// The types of each owner of a zone, by its name in lower case.
type Index = HashMap<Vec<u8>, Vec<u16>>;

struct Check<'s> {
    set: &'s mut ZoneSet,
    zones: Apexes,
    /// By the place of the zone: only of those that have special names.
    indices: HashMap<usize, Index>,
    /// Where each name was configured, by its owner in lower case.
    taken: HashMap<Vec<u8>, String>,
    identities: Vec<Name>,
    /// What is dropped, by the place of the zone.
    replaced: HashMap<usize, Index>,
}

impl Check<'_> {
    fn entry(&mut self, SpecialEntry { special, place }: &SpecialEntry) -> Result<(), String> {
        let owner = special.owner().filter(|_| !special.name.is_wildcard());
        let Some(owner) = owner else {
            return Err(format!("{} cannot have a wildcard below it: name another one", special.name));
        };
        let Some(at) = self.zone_of(&special.name) else {
            let owner = owner.to_string();
            let owner = owner.trim_end_matches('.');
            return Err(format!("{owner} is in no zone of this node; add its zone, or remove the name"));
        };
        let zone = &self.set.zones[at];
        if zone.service != Service::Configured {
            return Err(format!(
                "{owner} is in {}, which is built in: name one in a zone of yours",
                zone.apex()
            ));
        }
        let index = self.indices.entry(at).or_insert_with(|| index(zone));
        hidden(index, &zone.apex(), &owner)?;
        if special.kind == SpecialKind::Beacon {
            return Ok(());
        }
        if let SpecialKind::Pool(pool) = special.kind
            && self.set.pools.get(usize::from(pool)).is_none_or(|pool| pool.variants.is_empty())
        {
            return Err(format!("{owner} is in a pool without addresses: add some"));
        }
        if let Some(first) = self.taken.insert(key(&owner), place.clone()) {
            return Err(format!("{owner} is named a second time; the first is at {first}: keep one"));
        }
        let types = index.get(&key(&owner)).map_or(&[][..], Vec::as_slice);
        for (rtype, name) in [(rtype::CNAME, "CNAME"), (rtype::DNAME, "DNAME")] {
            if types.contains(&rtype) {
                return Err(format!("{owner} has a {name} in its zone: remove it, or take the name out"));
            }
        }
        if let Some(identity) = self.identities.iter().find(|identity| owner.is_at_or_below(identity)) {
            return Err(second_below(&owner, identity));
        }
        let made = match special.kind {
            SpecialKind::Identity => {
                let below = |name: &&Vec<u8>| is_below(name, &owner);
                if let Some(below) = index.keys().chain(self.taken.keys()).find(below)
                    && let Ok(below) = Name::from_wire(below)
                {
                    return Err(second_below(&below, &owner));
                }
                self.identities.push(owner.clone());
                &[(rtype::A, "A"), (rtype::AAAA, "AAAA"), (rtype::TXT, "TXT")][..]
            }
            _ => &[(rtype::A, "A"), (rtype::AAAA, "AAAA")],
        };
        let replaced = made.iter().filter(|(rtype, _)| types.contains(rtype));
        let (replaced, names): (Vec<u16>, Vec<&str>) = replaced.copied().unzip();
        if !replaced.is_empty() {
            let names = names.join(", ");
            let message = format!("{owner} has {names} in its zone, which is not served: this replaces it");
            self.replaced.entry(at).or_default().insert(key(&owner), replaced);
            self.set.warnings.push(Problem { place: place.clone(), message });
        }
        Ok(())
    }

    /// The zone with the longest apex at or above `name`, by its place.
    fn zone_of(&self, name: &Name) -> Option<usize> {
        self.zones.above(&self.set.zones, name.as_wire())
    }

    /// A beacon needs an address: of a wildcard in its zone, or of a pool.
    fn leads_nowhere(&self, SpecialEntry { special, place }: &SpecialEntry) -> Option<Problem> {
        let name = &special.name;
        let index = self.indices.get(&self.zone_of(name)?)?;
        let is_there = |owner: &Vec<u8>| *owner == key(name) || is_below(owner, name);
        let is_known = index.keys().chain(self.taken.keys()).any(is_there);
        (!is_known).then(|| Problem {
            place: place.clone(),
            message: format!("nothing stands below {name}: give *.{name} an address in its zone, or a pool"),
        })
    }
}

fn second_below(name: &Name, identity: &Name) -> String {
    format!("{name} is below {identity}, where every name says who asks: remove one of the two")
}

fn index(zone: &Zone) -> Index {
    let mut index = Index::new();
    for record in zone.records() {
        index.entry(key(&record.owner)).or_default().push(record.rtype);
    }
    index
}

/// Whether a name in lower case is below another.
fn is_below(name: &[u8], above: &Name) -> bool {
    Name::from_wire(name).is_ok_and(|name| name.is_at_or_below(above) && name != *above)
}

/// Nothing at or below a cut is ours, and nothing below a DNAME exists.
fn hidden(index: &Index, apex: &Name, owner: &Name) -> Result<(), String> {
    let lower = owner.to_lowercase();
    let depth = owner.label_count() - apex.label_count();
    for (above, suffix) in lower.suffixes().take(depth + 1).enumerate() {
        let Some(types) = index.get(suffix) else { continue };
        let name = Name::from_wire(suffix).map_or_else(|_| String::new(), |name| name.to_string());
        if above < depth && types.contains(&rtype::NS) {
            return Err(format!("{owner} is at or below the delegation of {name}: name one above it"));
        }
        if above > 0 && types.contains(&rtype::DNAME) {
            return Err(format!("{owner} is below the DNAME of {name}: name what that leads to"));
        }
    }
    Ok(())
}
