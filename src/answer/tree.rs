//! Zones as trees, and the algorithm of RFC 1034, section 4.3.2, with RFC 4592 (wildcards) and RFC 6672
//! (DNAME): what a name gets, in records. It runs when answers are compiled; at run time its results are
//! looked up.
//!
//! Names whose answers depend on who asks stand in the trees like all others, and are found by whatever leads
//! to them. A tailored name has the addresses of the first variant of its pool.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use crate::dns::consts::{rcode, rtype};
use crate::dns::name::Name;
use crate::limits::{CHAIN_LINKS_MAX, TREE_SMALL_MAX, TREES_KEPT_MAX};
use crate::zone::{Apexes, Pool, Special, SpecialKind, Zone, ZoneSet};

/// Records of one owner and type.
#[derive(Clone, Debug)]
pub(super) struct RrSet<'z> {
    pub(super) rtype: u16,
    pub(super) ttl: u32,
    pub(super) rdatas: Cow<'z, [Vec<u8>]>,
}

/// A name that exists. Without records it is an empty non-terminal.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) name: Name,
    pub(super) rrsets: BTreeMap<u16, RrSet<'static>>,
    /// Its answers depend on who asks: a pool or the identity.
    pub(super) special: Option<SpecialKind>,
}

/// One zone by name.
#[derive(Debug)]
pub(super) struct ZoneTree {
    pub(super) apex: Name,
    pub(super) owners: HashMap<Vec<u8>, Owner>,
}

/// All zones by apex. Each becomes a tree when it is first asked for; of a million small ones few are kept.
#[derive(Debug)]
pub(super) struct Tree<'z> {
    set: &'z ZoneSet,
    apexes: Apexes,
    /// By the zone's place in the set.
    trees: Vec<OnceCell<Box<ZoneTree>>>,
    /// The places of the small trees, and how many owners they have all together.
    small: RefCell<Vec<usize>>,
    small_owners: Cell<usize>,
    /// By the place of their zone, but for beacons.
    specials: HashMap<usize, Vec<&'z Special>>,
    /// Queries for names below these are noted.
    beacons: Vec<&'z Name>,
}

/// Where a name falls.
#[derive(Clone, Copy)]
pub(super) enum NameMatch<'t> {
    /// On a name that exists.
    Exact(&'t ZoneTree, &'t Owner),
    /// On no name, but on a wildcard.
    Wildcard(&'t ZoneTree, &'t Owner),
    /// On a zone cut (`true`) or below it.
    Cut(&'t ZoneTree, &'t Owner, bool),
    /// Below a DNAME.
    Dname(&'t Owner),
    /// Within a zone, on nothing.
    Nothing(&'t ZoneTree),
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
#[derive(Clone, Debug)]
pub(super) struct Model<'t> {
    pub(super) answer: Vec<(OwnerName, RrSet<'t>)>,
    pub(super) authority: Vec<(Name, RrSet<'t>)>,
    pub(super) additional: Vec<(Name, RrSet<'t>)>,
    pub(super) rcode: u8,
    pub(super) authoritative: bool,
    /// The types that the owners on the way hold, for [`NO_TYPE`]: for others the answer is the same.
    pub(super) types: BTreeSet<u16>,
    /// Where the chain ends is known at run time: it came back to the wildcard that it began at, or to a name
    /// whose answer depends on who asks.
    pub(super) followed: bool,
}

impl<'t> NameMatch<'t> {
    /// What answers depend on there.
    pub(super) fn special(self) -> Option<SpecialKind> {
        match self {
            Self::Exact(_, owner) | Self::Wildcard(_, owner) => owner.special,
            _ => None,
        }
    }
}

fn key(name: &Name) -> Vec<u8> {
    name.as_wire().to_ascii_lowercase()
}

const fn is_address(rtype: u16) -> bool {
    matches!(rtype, rtype::A | rtype::AAAA)
}

impl<'z> Tree<'z> {
    pub(super) fn new(set: &'z ZoneSet) -> Self {
        let apexes = Apexes::new(&set.zones);
        let is_beacon = |special: &&Special| special.kind == SpecialKind::Beacon;
        let beacons = set.specials.iter().filter(is_beacon).map(|special| &special.name).collect();
        let mut specials: HashMap<usize, Vec<&Special>> = HashMap::new();
        for special in set.specials.iter().filter(|special| !is_beacon(special)) {
            if let Some(zone) = apexes.above(&set.zones, special.name.as_wire()) {
                specials.entry(zone).or_default().push(special);
            }
        }
        Self {
            set,
            apexes,
            trees: (0..set.zones.len()).map(|_| OnceCell::new()).collect(),
            small: RefCell::default(),
            small_owners: Cell::new(0),
            specials,
            beacons,
        }
    }

    /// The tree of the zone at that place of the set.
    pub(super) fn at(&self, zone: usize) -> &ZoneTree {
        self.trees[zone].get_or_init(|| {
            let mut tree = Box::new(ZoneTree::new(&self.set.zones[zone]));
            let specials = self.specials.get(&zone).into_iter().flatten();
            specials.for_each(|special| tree.add(special, &self.set.pools));
            if tree.owners.len() <= TREE_SMALL_MAX {
                self.small.borrow_mut().push(zone);
                self.small_owners.set(self.small_owners.get() + tree.owners.len());
            }
            tree
        })
    }

    /// Frees the trees of small zones if there are many: they are soon made again.
    pub(super) fn tidy(&mut self) {
        if *self.small_owners.get_mut() > TREES_KEPT_MAX {
            for zone in self.small.get_mut().drain(..) {
                self.trees[zone] = OnceCell::new();
            }
            self.small_owners.set(0);
        }
    }

    /// What zones other than that at this place, with equal records and an apex of that length below the same
    /// parent, have in common with it: all answers. `None` where something else has a say in them.
    pub(super) fn alike(&self, zone: usize, parents: &[bool]) -> Option<usize> {
        let alike = self.set.zones[zone].alike()?;
        (!parents[zone] && !self.specials.contains_key(&zone)).then_some(alike)
    }

    /// Of each zone whether another one or a beacon is below it.
    pub(super) fn parents(&self) -> Vec<bool> {
        let mut parents = vec![false; self.set.zones.len()];
        let above = |name: &[u8]| {
            let parent = name.get(1 + usize::from(name[0])..).filter(|parent| !parent.is_empty())?;
            self.apexes.above(&self.set.zones, parent)
        };
        for zone in &self.set.zones {
            // What is above that is marked by it.
            above(zone.apex_wire()).into_iter().for_each(|parent| parents[parent] = true);
        }
        for beacon in &self.beacons {
            let zone = self.apexes.above(&self.set.zones, beacon.as_wire());
            zone.into_iter().for_each(|zone| parents[zone] = true);
        }
        parents
    }

    /// Whether an alias of the zone leads into another one.
    pub(super) fn leads_elsewhere(&self, zone: &ZoneTree) -> bool {
        let aliases = zone.owners.values().filter_map(|owner| owner.rrsets.get(&rtype::CNAME));
        let mut targets = aliases.flat_map(|alias| alias.rdatas.iter());
        targets.any(|target| {
            let found = self.apexes.above(&self.set.zones, target);
            found.is_some_and(|found| *self.set.zones[found].apex_wire() != *zone.apex.as_wire())
        })
    }

    /// The pool of a tailored name.
    pub(super) fn pool(&self, place: NameMatch<'_>) -> Option<&'z Pool> {
        let Some(SpecialKind::Pool(pool)) = place.special() else { return None };
        self.set.pools.get(usize::from(pool))
    }

    /// Whether queries for `name` are noted, and for names below it that do not exist.
    pub(super) fn notes(&self, name: &Name) -> [bool; 2] {
        let is_below = self.beacons.iter().any(|beacon| name.is_at_or_below(beacon));
        [is_below && !self.beacons.contains(&name), is_below]
    }

    /// The zone with the longest apex at or above `name`.
    pub(super) fn zone_of(&self, name: &Name) -> Option<&ZoneTree> {
        Some(self.at(self.apexes.above(&self.set.zones, name.as_wire())?))
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
                            model.answer.push((owner_name, cname.lent()));
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
            model.followed |= same_wildcard(start, place) || place.special().is_some();
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
        zone: &'t ZoneTree,
        owner: &'t Owner,
        qtype: u16,
    ) -> Model<'t> {
        // The DS of an apex belongs to the parent (RFC 4035, section 3.1.4.1).
        if owner.name == zone.apex
            && let Some(parent) = zone.apex.parent().and_then(|parent| self.zone_of(&parent))
        {
            model.types.insert(rtype::DS);
            if qtype == rtype::DS {
                return model.negative(parent);
            }
        }
        match owner.rrsets.get(&qtype) {
            Some(rrset) => model.answer.push((name, rrset.lent())),
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
        let sets = owner.rrsets.values().map(|rrset| (name.clone(), rrset.lent()));
        match owner.rrsets.get(&rtype::SOA) {
            _ if whole => model.answer.extend(sets),
            Some(soa) => model.answer.push((name.clone(), soa.lent())),
            None => model.answer.extend(sets.take(1)),
        }
        if model.answer.is_empty() { model.negative(zone) } else { model }
    }
}

impl ZoneTree {
    fn new(zone: &Zone) -> Self {
        let mut tree = Self { apex: zone.apex(), owners: HashMap::new() };
        for record in zone.records() {
            let owner = tree.owner(&record.owner);
            let empty = || RrSet { rtype: record.rtype, ttl: record.ttl, rdatas: Cow::default() };
            owner.rrsets.entry(record.rtype).or_insert_with(empty).rdatas.to_mut().push(record.rdata);
        }
        tree
    }

    fn add(&mut self, special: &Special, pools: &[Pool]) {
        match special.kind {
            SpecialKind::Pool(pool) => {
                let pool = pools.get(usize::from(pool));
                let Some((name, pool)) = special.owner().zip(pool) else { return };
                let owner = self.owner(&name);
                owner.special = Some(special.kind);
                for rtype in [rtype::A, rtype::AAAA] {
                    let empty = RrSet { rtype, ttl: pool.ttl, rdatas: Cow::default() };
                    let rrset = empty.of(pool.variants.first().map_or(&[], Vec::as_slice));
                    owner.rrsets.remove(&rtype);
                    owner.rrsets.extend((!rrset.rdatas.is_empty()).then_some((rtype, rrset)));
                }
            }
            SpecialKind::Identity => {
                let names = [Some(special.name.clone()), special.name.prepend(b"*")];
                for name in names.into_iter().flatten() {
                    let owner = self.owner(&name);
                    owner.special = Some(special.kind);
                    owner.rrsets.retain(|rtype, _| ![rtype::A, rtype::AAAA, rtype::TXT].contains(rtype));
                }
            }
            SpecialKind::Beacon => {}
        }
    }

    /// The owner of that name, which is at or below the apex, and with it every empty non-terminal between
    /// the two.
    fn owner(&mut self, name: &Name) -> &mut Owner {
        let mut above = Some(name.clone());
        while let Some(here) = above.filter(|name| name.is_at_or_below(&self.apex)) {
            let Entry::Vacant(owner) = self.owners.entry(key(&here)) else { break };
            above = here.parent();
            owner.insert(Owner { name: here, rrsets: BTreeMap::new(), special: None });
        }
        self.owners.get_mut(&key(name)).expect("an owner stands at or below its apex")
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
    fn server<'t>(&'t self, name: &Name) -> Option<&'t Owner> {
        let wildcard = || match name.is_at_or_below(&self.apex).then(|| self.place(name)) {
            Some(NameMatch::Wildcard(_, owner)) => Some(owner),
            _ => None,
        };
        self.owners.get(&key(name)).or_else(wildcard)
    }

    pub(super) fn is_cut(&self, owner: &Owner) -> bool {
        owner.rrsets.contains_key(&rtype::NS) && owner.name != self.apex
    }

    /// The wildcard right below `encloser` (RFC 4592, section 3.3.1).
    pub(super) fn wildcard(&self, encloser: &Owner) -> Option<&Owner> {
        // What is below the identity says who asks, however deep.
        if encloser.special == Some(SpecialKind::Identity) && encloser.name.is_wildcard() {
            return self.owners.get(&key(&encloser.name));
        }
        self.owners.get(&key(&encloser.name.prepend(b"*")?))
    }

    /// The SOA as negative answers carry it: with the lesser of its own TTL and its MINIMUM (RFC 2308,
    /// section 3).
    fn negative_soa(&self) -> RrSet<'_> {
        let soa = &self.owners[&key(&self.apex)].rrsets[&rtype::SOA];
        let minimum = soa.rdatas[0].last_chunk().map_or(soa.ttl, |minimum| u32::from_be_bytes(*minimum));
        RrSet { ttl: soa.ttl.min(minimum), ..soa.lent() }
    }
}

impl<'t> Model<'t> {
    /// Whether it has addresses.
    pub(super) fn has_addresses(&self) -> bool {
        self.answer.iter().any(|(_, set)| is_address(set.rtype))
    }

    /// The same with other ones.
    pub(super) fn with_addresses(&self, addresses: &[IpAddr]) -> Self {
        let mut model = self.clone();
        for (_, set) in model.answer.iter_mut().filter(|(_, set)| is_address(set.rtype)) {
            *set = set.of(addresses);
        }
        model
    }

    fn new() -> Self {
        Self {
            answer: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
            rcode: rcode::NOERROR,
            authoritative: true,
            types: BTreeSet::new(),
            followed: false,
        }
    }

    fn negative(mut self, zone: &'t ZoneTree) -> Self {
        self.authority.push((zone.apex.clone(), zone.negative_soa()));
        self
    }

    /// The NS set of a cut, and the addresses that the zone holds for its servers.
    fn referral(mut self, zone: &'t ZoneTree, cut: &'t Owner) -> Self {
        let servers = &cut.rrsets[&rtype::NS];
        self.authority.push((cut.name.clone(), servers.lent()));
        for server in servers.rdatas.iter() {
            let name = Name::from_wire(server).expect("checked when the zone was loaded");
            // Glue is for everybody, so what depends on who asks is left out. It is never needed: below a cut
            // there is nothing of that kind.
            let Some(owner) = zone.server(&name).filter(|owner| owner.special.is_none()) else { continue };
            for address in [rtype::A, rtype::AAAA] {
                self.additional.extend(owner.rrsets.get(&address).map(|set| (name.clone(), set.lent())));
            }
        }
        self
    }

    /// Adds a DNAME, once, and the CNAME made from it; gives the new name, or `None` when that would be too
    /// long.
    fn synthesise(&mut self, name: &OwnerName, owner: &'t Owner) -> Option<Name> {
        let OwnerName::Known(name) = name else {
            unreachable!("a name below a DNAME that is known only at run time is followed at run time");
        };
        let dname = &owner.rrsets[&rtype::DNAME];
        let is_written = self.answer.iter().any(|(name, set)| {
            set.rtype == rtype::DNAME && matches!(name, OwnerName::Known(name) if *name == owner.name)
        });
        if !is_written {
            self.answer.push((OwnerName::Known(owner.name.clone()), dname.lent()));
        }
        let prefix = &name.as_wire()[..name.as_wire().len() - owner.name.as_wire().len()];
        let Ok(target) = Name::from_wire(&[prefix, &dname.rdatas[0]].concat()) else {
            self.rcode = rcode::YXDOMAIN;
            return None;
        };
        let rdatas = Cow::Owned(vec![target.as_wire().to_vec()]);
        let cname = RrSet { rtype: rtype::CNAME, ttl: dname.ttl, rdatas };
        self.answer.push((OwnerName::Known(name.clone()), cname));
        Some(target)
    }
}

impl RrSet<'_> {
    /// The same, of what is lent by this one.
    fn lent(&self) -> RrSet<'_> {
        RrSet { rdatas: Cow::Borrowed(&self.rdatas), ..*self }
    }

    /// The same with these addresses, as far as they are of its family.
    fn of(&self, addresses: &[IpAddr]) -> RrSet<'static> {
        let rdatas = addresses.iter().filter_map(|address| match address {
            IpAddr::V4(address) if self.rtype == rtype::A => Some(address.octets().to_vec()),
            IpAddr::V6(address) if self.rtype == rtype::AAAA => Some(address.octets().to_vec()),
            _ => None,
        });
        RrSet { rdatas: rdatas.collect(), ..*self }
    }
}

fn same_wildcard(a: NameMatch<'_>, b: NameMatch<'_>) -> bool {
    matches!((a, b), (NameMatch::Wildcard(_, a), NameMatch::Wildcard(_, b)) if std::ptr::eq(a, b))
}
