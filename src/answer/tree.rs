//! Zones as trees, and the algorithm of RFC 1034, section 4.3.2, with RFC 4592 (wildcards) and RFC 6672
//! (DNAME): what a name gets, in records. It runs when answers are compiled; at run time its results are
//! looked up.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::dns::consts::{rcode, rtype};
use crate::dns::name::Name;
use crate::limits::CHAIN_LINKS_MAX;
use crate::zone::{Zone, ZoneSet};

/// Records of one owner and type.
#[derive(Clone, Debug)]
pub(super) struct RrSet<'z> {
    pub(super) rtype: u16,
    pub(super) ttl: u32,
    pub(super) rdatas: Vec<Cow<'z, [u8]>>,
}

/// A name that exists. Without records it is an empty non-terminal.
#[derive(Debug)]
pub(super) struct Owner<'z> {
    pub(super) name: Name,
    pub(super) rrsets: BTreeMap<u16, RrSet<'z>>,
}

/// One zone by name.
#[derive(Debug)]
pub(super) struct ZoneTree<'z> {
    pub(super) apex: &'z Name,
    pub(super) owners: HashMap<Vec<u8>, Owner<'z>>,
}

/// All zones by apex.
#[derive(Debug)]
pub(super) struct Tree<'z> {
    zones: HashMap<Vec<u8>, ZoneTree<'z>>,
}

/// Where a name falls.
#[derive(Clone, Copy)]
pub(super) enum NameMatch<'t> {
    /// On a name that exists.
    Exact(&'t ZoneTree<'t>, &'t Owner<'t>),
    /// On no name, but on a wildcard.
    Wildcard(&'t ZoneTree<'t>, &'t Owner<'t>),
    /// On a zone cut (`true`) or below it.
    Cut(&'t ZoneTree<'t>, &'t Owner<'t>, bool),
    /// Below a DNAME.
    Dname(&'t Owner<'t>),
    /// Within a zone, on nothing.
    Nothing(&'t ZoneTree<'t>),
    /// In no zone of ours.
    Outside,
}

/// The owner of a record of an answer.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a name holds its bytes itself; these live only while zones are compiled"
)]
pub(super) enum OwnerName {
    /// The name that was looked up, known only at run time.
    Question,
    /// A name of ours.
    Known(Name),
}

/// The type that stands for all that an owner does not hold.
pub(super) const NO_TYPE: u16 = 0;

/// An answer in records.
#[derive(Debug)]
pub(super) struct Model<'t> {
    pub(super) answer: Vec<(OwnerName, RrSet<'t>)>,
    pub(super) authority: Vec<(Name, RrSet<'t>)>,
    pub(super) additional: Vec<(Name, RrSet<'t>)>,
    pub(super) rcode: u8,
    pub(super) authoritative: bool,
    /// The types that the owners on the way hold, for [`NO_TYPE`]: for others the answer is the same.
    pub(super) types: BTreeSet<u16>,
    /// The chain came back to the wildcard that it began at.
    pub(super) looped: bool,
}

fn key(name: &Name) -> Vec<u8> {
    name.as_wire().to_ascii_lowercase()
}

impl<'z> Tree<'z> {
    pub(super) fn new(set: &'z ZoneSet) -> Self {
        Self { zones: set.zones.iter().map(|zone| (key(&zone.apex), ZoneTree::new(zone))).collect() }
    }

    pub(super) fn zone(&self, apex: &Name) -> Option<&ZoneTree<'z>> {
        self.zones.get(&key(apex))
    }

    /// The zone with the longest apex at or above `name`.
    pub(super) fn zone_of(&self, name: &Name) -> Option<&ZoneTree<'z>> {
        let name = key(name);
        let mut suffix = &name[..];
        loop {
            if let Some(zone) = self.zones.get(suffix) {
                return Some(zone);
            }
            suffix = suffix.get(1 + usize::from(suffix[0])..).filter(|rest| !rest.is_empty())?;
        }
    }

    pub(super) fn place(&self, name: &Name) -> NameMatch<'_> {
        self.zone_of(name).map_or(NameMatch::Outside, |zone| zone.place(name))
    }

    /// What `qtype` gets at `start`. `looked_up` is the name there, when it is known.
    pub(super) fn resolve<'t>(
        &'t self,
        start: NameMatch<'t>,
        looked_up: Option<&Name>,
        qtype: u16,
    ) -> Model<'t> {
        let mut model = Model::new();
        let mut visited: Vec<Name> = looked_up.into_iter().cloned().collect();
        let mut owner_name = looked_up.cloned().map_or(OwnerName::Question, OwnerName::Known);
        let mut place = start;
        for links in 0.. {
            let target = match place {
                NameMatch::Exact(zone, owner) | NameMatch::Wildcard(zone, owner) => {
                    // Only the answer to all others needs them; for each type it would be quadratic.
                    if qtype == NO_TYPE {
                        model.types.extend(owner.rrsets.keys());
                    }
                    match owner.rrsets.get(&rtype::CNAME) {
                        Some(_) if qtype != rtype::CNAME && links == CHAIN_LINKS_MAX => return model,
                        Some(cname) if qtype != rtype::CNAME => {
                            model.answer.push((owner_name, cname.clone()));
                            Name::from_wire(&cname.rdatas[0]).expect("checked when the zone was loaded")
                        }
                        _ => return self.data(model, owner_name, zone, owner, qtype),
                    }
                }
                NameMatch::Cut(zone, cut, at_cut) => {
                    model.types.insert(rtype::DS);
                    if at_cut && qtype == rtype::DS {
                        return model.negative(zone);
                    }
                    model.authoritative = links > 0;
                    return model.referral(zone, cut);
                }
                NameMatch::Dname(..) if links == CHAIN_LINKS_MAX => return model,
                NameMatch::Dname(owner) => match model.synthesise(&owner_name, owner) {
                    Some(target) => target,
                    None => return model,
                },
                NameMatch::Nothing(zone) => {
                    model.rcode = rcode::NXDOMAIN;
                    return model.negative(zone);
                }
                NameMatch::Outside => return model,
            };
            if visited.contains(&target) {
                return model;
            }
            place = self.place(&target);
            model.looped |= same_wildcard(start, place);
            visited.push(target.clone());
            owner_name = OwnerName::Known(target);
        }
        model
    }

    /// The end of a chain: the records of `owner`, or that there are none.
    fn data<'t>(
        &'t self,
        mut model: Model<'t>,
        name: OwnerName,
        zone: &'t ZoneTree<'t>,
        owner: &'t Owner<'t>,
        qtype: u16,
    ) -> Model<'t> {
        // The DS of an apex belongs to the parent (RFC 4035, section 3.1.4.1).
        if owner.name == *zone.apex
            && let Some(parent) = zone.apex.parent().and_then(|parent| self.zone_of(&parent))
        {
            model.types.insert(rtype::DS);
            if qtype == rtype::DS {
                return model.negative(parent);
            }
        }
        match owner.rrsets.get(&qtype) {
            Some(rrset) => model.answer.push((name, rrset.clone())),
            None => return model.negative(zone),
        }
        model
    }

    /// What ANY gets (RFC 8482): everything over TCP, one set over UDP, the SOA where there is one, else the
    /// lowest type.
    pub(super) fn any<'t>(
        &'t self,
        place: NameMatch<'t>,
        looked_up: Option<&Name>,
        whole: bool,
    ) -> Model<'t> {
        let (NameMatch::Exact(zone, owner) | NameMatch::Wildcard(zone, owner)) = place else {
            return self.resolve(place, looked_up, rtype::ANY);
        };
        let mut model = Model::new();
        let name = looked_up.cloned().map_or(OwnerName::Question, OwnerName::Known);
        let sets = owner.rrsets.values().cloned().map(|rrset| (name.clone(), rrset));
        match owner.rrsets.get(&rtype::SOA) {
            _ if whole => model.answer.extend(sets),
            Some(soa) => model.answer.push((name.clone(), soa.clone())),
            None => model.answer.extend(sets.take(1)),
        }
        if model.answer.is_empty() { model.negative(zone) } else { model }
    }
}

impl<'z> ZoneTree<'z> {
    fn new(zone: &'z Zone) -> Self {
        let mut owners = HashMap::<Vec<u8>, Owner<'z>>::new();
        for record in &zone.records {
            // The owner, and every empty non-terminal between it and the apex.
            let mut name = Some(record.owner.clone());
            while let Some(here) = name.filter(|name| name.is_at_or_below(&zone.apex)) {
                let owner = owners.entry(key(&here));
                if matches!(owner, std::collections::hash_map::Entry::Occupied(_)) {
                    break;
                }
                name = here.parent();
                owner.or_insert(Owner { name: here, rrsets: BTreeMap::new() });
            }
            let owner = owners.get_mut(&key(&record.owner)).expect("a record stands at or below its apex");
            let empty = || RrSet { rtype: record.rtype, ttl: record.ttl, rdatas: Vec::new() };
            owner
                .rrsets
                .entry(record.rtype)
                .or_insert_with(empty)
                .rdatas
                .push(Cow::Borrowed(&record.rdata[..]));
        }
        Self { apex: &zone.apex, owners }
    }

    /// Where a name at or below the apex falls: from the apex downward, as a cut or a DNAME hides what is
    /// below it.
    fn place(&self, name: &Name) -> NameMatch<'_> {
        let depth = name.label_count() - self.apex.label_count();
        let suffixes: Vec<&[u8]> = name.suffixes().take(depth + 1).collect();
        let mut encloser = None;
        for (above, suffix) in suffixes.into_iter().enumerate().rev() {
            let Some(owner) = self.owners.get(&suffix.to_ascii_lowercase()) else { break };
            if self.is_cut(owner) {
                return NameMatch::Cut(self, owner, above == 0);
            }
            if above == 0 {
                return NameMatch::Exact(self, owner);
            }
            if owner.rrsets.contains_key(&rtype::DNAME) {
                return NameMatch::Dname(owner);
            }
            encloser = Some(owner);
        }
        match encloser.and_then(|encloser| self.wildcard(encloser)) {
            Some(wildcard) => NameMatch::Wildcard(self, wildcard),
            None => NameMatch::Nothing(self),
        }
    }

    /// What the zone holds for a name server: at its name, which a cut may hide from queries, or at a
    /// wildcard.
    fn server<'t>(&'t self, name: &Name) -> Option<&'t Owner<'t>> {
        let wildcard = || match name.is_at_or_below(self.apex).then(|| self.place(name)) {
            Some(NameMatch::Wildcard(_, owner)) => Some(owner),
            _ => None,
        };
        self.owners.get(&key(name)).or_else(wildcard)
    }

    pub(super) fn is_cut(&self, owner: &Owner<'_>) -> bool {
        owner.rrsets.contains_key(&rtype::NS) && owner.name != *self.apex
    }

    /// The wildcard right below `encloser` (RFC 4592, section 3.3.1).
    pub(super) fn wildcard(&self, encloser: &Owner<'_>) -> Option<&Owner<'z>> {
        self.owners.get(&key(&encloser.name.prepend(b"*")?))
    }

    /// The SOA as negative answers carry it: with the lesser of its own TTL and its MINIMUM (RFC 2308,
    /// section 3).
    fn negative_soa(&self) -> RrSet<'_> {
        let soa = &self.owners[&key(self.apex)].rrsets[&rtype::SOA];
        let minimum = soa.rdatas[0].last_chunk().map_or(soa.ttl, |minimum| u32::from_be_bytes(*minimum));
        RrSet { ttl: soa.ttl.min(minimum), ..soa.clone() }
    }
}

impl<'t> Model<'t> {
    fn new() -> Self {
        Self {
            answer: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
            rcode: rcode::NOERROR,
            authoritative: true,
            types: BTreeSet::new(),
            looped: false,
        }
    }

    fn negative(mut self, zone: &'t ZoneTree<'t>) -> Self {
        self.authority.push((zone.apex.clone(), zone.negative_soa()));
        self
    }

    /// The NS set of a cut, and the addresses that the zone holds for its servers.
    fn referral(mut self, zone: &'t ZoneTree<'t>, cut: &'t Owner<'t>) -> Self {
        let servers = &cut.rrsets[&rtype::NS];
        self.authority.push((cut.name.clone(), servers.clone()));
        for server in &servers.rdatas {
            let name = Name::from_wire(server).expect("checked when the zone was loaded");
            let Some(owner) = zone.server(&name) else { continue };
            for address in [rtype::A, rtype::AAAA] {
                self.additional.extend(owner.rrsets.get(&address).map(|set| (name.clone(), set.clone())));
            }
        }
        self
    }

    /// Adds a DNAME, once, and the CNAME made from it; gives the new name, or `None` when that would be too
    /// long.
    fn synthesise(&mut self, name: &OwnerName, owner: &'t Owner<'t>) -> Option<Name> {
        let OwnerName::Known(name) = name else {
            unreachable!("a name below a DNAME that is known only at run time is followed at run time");
        };
        let dname = &owner.rrsets[&rtype::DNAME];
        let is_written = self.answer.iter().any(|(name, set)| {
            set.rtype == rtype::DNAME && matches!(name, OwnerName::Known(name) if *name == owner.name)
        });
        if !is_written {
            self.answer.push((OwnerName::Known(owner.name.clone()), dname.clone()));
        }
        let prefix = &name.as_wire()[..name.as_wire().len() - owner.name.as_wire().len()];
        let Ok(target) = Name::from_wire(&[prefix, &dname.rdatas[0]].concat()) else {
            self.rcode = rcode::YXDOMAIN;
            return None;
        };
        let rdatas = vec![Cow::Owned(target.as_wire().to_vec())];
        let cname = RrSet { rtype: rtype::CNAME, ttl: dname.ttl, rdatas };
        self.answer.push((OwnerName::Known(name.clone()), cname));
        Some(target)
    }
}

fn same_wildcard(a: NameMatch<'_>, b: NameMatch<'_>) -> bool {
    matches!((a, b), (NameMatch::Wildcard(_, a), NameMatch::Wildcard(_, b)) if std::ptr::eq(a, b))
}
