//! Zones become tails. For every name that answers something, its exact set and the rule for what is below
//! it.

use std::collections::HashMap;

use super::tail::Encoder;
use super::tree::{Model, NO_TYPE, NameMatch, Owner, OwnerName, Tree, ZoneTree};
use super::{Answers, Dname, Link, Node, Rule, Set, Span, Tail, TailId};
use crate::dns::consts::{HEADER_LEN, NAME_LEN_MAX, rtype};
use crate::dns::name::Name;
use crate::limits::{ANSWERS_LEN_MAX, RRSET_LEN_MAX, TCP_REPLY_LEN_MAX, ZONE_SERIES_MAX};
use crate::problem::Problem;
use crate::stats::account::ZoneLabels;
use crate::stats::labels::{SERVICE_HOSTNAME, SERVICE_OTHER};
use crate::zone::{Service, Zone, ZoneSet};

/// The longest answer over UDP that a zone can give, before OPT.
#[derive(Clone, Debug)]
pub struct Extent {
    /// The zone's apex.
    pub apex: Name,
    /// What the zone is for.
    pub service: Service,
    /// How it is counted.
    pub labels: ZoneLabels,
    /// Bytes, header and question included, for the longest name that gets the answer.
    pub len: usize,
}

impl Answers {
    /// Compiles a set of zones. With the answers comes the extent of each zone, in the order of the set.
    /// Zones that have no series yet are added to `series`, as long as there is room.
    ///
    /// # Errors
    /// The answers pass [`ANSWERS_LEN_MAX`] bytes.
    pub fn compile(set: &ZoneSet, series: &mut Vec<String>) -> Result<(Self, Vec<Extent>), Problem> {
        Self::compile_within(set, series, ANSWERS_LEN_MAX)
    }

    fn compile_within(
        set: &ZoneSet,
        series: &mut Vec<String>,
        len_max: usize,
    ) -> Result<(Self, Vec<Extent>), Problem> {
        let tree = Tree::new(set);
        let (out, shared) = (Self::empty(), HashMap::new());
        let mut compiler = Compiler { tree: &tree, out, shared, extent: 0, len_max, is_full: false };
        let mut extents = Vec::new();
        // Those of ours first: an operator may have more zones than there are series.
        let (configured, own): (Vec<&Zone>, Vec<&Zone>) =
            set.zones.iter().partition(|zone| zone.service == Service::Configured);
        own.into_iter().chain(configured).for_each(|zone| name_series(series, &zone.apex));
        for zone in &set.zones {
            let Some(zone_tree) = tree.zone(&zone.apex) else { continue };
            compiler.extent = 0;
            let labels = labels(series, zone);
            let mut owners: Vec<&Owner<'_>> = zone_tree.owners.values().collect();
            // In the order of the names: the same zones always make the same answers.
            owners.sort_unstable_by(|a, b| a.name.as_wire().cmp(b.name.as_wire()));
            for owner in owners {
                compiler.owner(zone_tree, owner, labels);
                if compiler.is_full {
                    return Err(too_large(&zone.apex, len_max));
                }
            }
            let (apex, len) = (zone.apex.clone(), compiler.extent);
            extents.push(Extent { apex, service: zone.service, labels, len });
        }
        let mut answers = compiler.out;
        answers.index();
        Ok((answers, extents))
    }

    fn empty() -> Self {
        Self {
            table: Box::new([0]),
            nodes: Vec::new(),
            depths: Vec::new(),
            types: Vec::new(),
            tails: Vec::new(),
            relocations: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// Builds the table over the nodes, at most half full, and notes their depths.
    fn index(&mut self) {
        let labels =
            |node: &Node| Name::from_wire(&self.bytes[node.name.range()]).map(|name| name.label_count());
        self.depths = self.nodes.iter().flat_map(labels).map(|labels| labels as u8).collect();
        self.depths.sort_unstable_by(|a, b| b.cmp(a));
        self.depths.dedup();
        let len = (self.nodes.len() * 2 + 2).next_power_of_two();
        let mut table = vec![0; len].into_boxed_slice();
        for (index, node) in self.nodes.iter().enumerate() {
            let mut at = node.hash as usize & (len - 1);
            while table[at] != 0 {
                at = (at + 1) & (len - 1);
            }
            table[at] = index as u32 + 1;
        }
        self.table = table;
    }
}

/// The answers do not fit, and `apex` is the zone at which that was seen.
fn too_large(apex: &Name, len_max: usize) -> Problem {
    let message = format!(
        "the answers of all zones up to {apex} exceed {len_max} bytes; each alias of a large \
         RRset counts it again: shorten the RRset, or remove aliases"
    );
    Problem::plain(message)
}

/// What the tails of one set have in common.
#[derive(Clone, Copy)]
struct Asked<'a> {
    /// The owner that a lookup matches.
    node: &'a Name,
    /// The name looked up, where the set is for one name alone.
    name: Option<&'a Name>,
}

impl Asked<'_> {
    fn name_len_max(&self) -> usize {
        self.name.map_or(NAME_LEN_MAX, |name| name.as_wire().len())
    }
}

/// Gives a zone a series of its own, if it has none and there is one left.
fn name_series(series: &mut Vec<String>, apex: &Name) {
    let name = series_name(apex);
    if series.len() < ZONE_SERIES_MAX && !series.contains(&name) {
        series.push(name);
    }
}

/// What a zone's series is called: without the final dot.
fn series_name(apex: &Name) -> String {
    let text = apex.to_string();
    text.strip_suffix('.').filter(|text| !text.is_empty()).map_or_else(|| text.clone(), str::to_owned)
}

/// How a zone is counted.
fn labels(series: &[String], zone: &Zone) -> ZoneLabels {
    let service = match zone.service {
        Service::Direct => 0,
        Service::Dname => 1,
        Service::Hostname => SERVICE_HOSTNAME,
        Service::Special => 3,
        Service::Configured => SERVICE_OTHER as u8,
    };
    let name = series_name(&zone.apex);
    let place = series.iter().position(|series| *series == name).unwrap_or(ZONE_SERIES_MAX);
    ZoneLabels { service, zone: place as u8 }
}

struct Compiler<'t> {
    tree: &'t Tree<'t>,
    out: Answers,
    /// Bytes that are in the arena already, for equal tails to share them.
    shared: HashMap<Vec<u8>, Span>,
    extent: usize,
    /// Bytes that the arena may hold.
    len_max: usize,
    /// Something did not fit: the answers are of no use.
    is_full: bool,
}

impl<'t> Compiler<'t> {
    /// Makes the node of an owner, unless another zone or a cut hides it.
    fn owner(&mut self, zone: &'t ZoneTree<'t>, owner: &'t Owner<'t>, labels: ZoneLabels) {
        let name = &owner.name;
        let is_ours = self.tree.zone_of(name).is_some_and(|deepest| std::ptr::eq(deepest, zone));
        let place = self.tree.place(name);
        if !is_ours || matches!(place, NameMatch::Cut(_, _, false)) {
            return;
        }
        let exact = self.set(place, Asked { node: name, name: Some(name) });
        let below = Asked { node: name, name: None };
        let below = if let NameMatch::Cut(..) = place {
            Rule::Set(self.set(NameMatch::Cut(zone, owner, false), below))
        } else if owner.rrsets.contains_key(&rtype::DNAME) {
            Rule::Dname(self.dname(owner))
        } else if let Some(wildcard) = zone.wildcard(owner) {
            Rule::Set(self.set(NameMatch::Wildcard(zone, wildcard), below))
        } else {
            Rule::Set(self.set(NameMatch::Nothing(zone), below))
        };
        let lower = name.to_lowercase();
        let name = self.bytes(lower.as_wire());
        // Those who ask below the zones that say who answers are to be seen.
        let is_hostname = labels.service == SERVICE_HOSTNAME;
        let is_empty_zone = zone.owners.len() == 1 && !is_hostname;
        self.out.nodes.push(Node { hash: lower.hash(), name, zone: labels, is_empty_zone, exact, below });
    }

    /// Makes the tails of a place: one for each type that it holds or leads to, one for all others, two for
    /// ANY.
    fn set(&mut self, place: NameMatch<'t>, asked: Asked<'_>) -> Set {
        let other = self.tree.resolve(place, asked.name, NO_TYPE);
        let mut types = Vec::new();
        for &qtype in &other.types {
            let model = self.tree.resolve(place, asked.name, qtype);
            types.push((qtype, self.tail(&model, asked)));
        }
        let any_udp = self.tail(&self.tree.any(place, asked.name, false), asked);
        let any_tcp = self.all_sets(&self.tree.any(place, asked.name, true), asked).unwrap_or(any_udp);
        let span = Span { start: self.out.types.len() as u32, len: types.len() as u32 };
        self.out.types.extend(types);
        Set {
            types: span,
            other: self.tail(&other, asked),
            any: [any_udp, any_tcp],
            link: self.cname_link(place, asked),
            looped: other.looped,
        }
    }

    fn tail(&mut self, model: &Model<'_>, asked: Asked<'_>) -> TailId {
        let mut encoder = Encoder::new(asked.node);
        let counts = encoder.model(model);
        self.extent = self.extent.max(HEADER_LEN + asked.name_len_max() + 4 + encoder.bytes.len());
        self.push(encoder, counts, model.rcode, model.authoritative)
    }

    /// The answer to ANY over TCP; none where it is longer than an RRset may be, and so may not fit a message.
    fn all_sets(&mut self, model: &Model<'_>, asked: Asked<'_>) -> Option<TailId> {
        let mut encoder = Encoder::new(asked.node);
        let counts = encoder.model(model);
        let fits = encoder.bytes.len() <= RRSET_LEN_MAX;
        fits.then(|| self.push(encoder, counts, model.rcode, model.authoritative))
    }

    fn push(&mut self, encoder: Encoder, counts: [u16; 3], rcode: u8, authoritative: bool) -> TailId {
        let Encoder { mut bytes, mut relocations, .. } = encoder;
        let len = bytes.len() as u32;
        if bytes.len() > TCP_REPLY_LEN_MAX {
            bytes.clear();
            relocations.clear();
        }
        let bytes = self.bytes(&bytes);
        let span = Span { start: self.out.relocations.len() as u32, len: relocations.len() as u32 };
        self.out.relocations.extend(relocations);
        self.out.tails.push(Tail { bytes, relocations: span, len, counts, rcode, authoritative });
        TailId(self.out.tails.len() as u32 - 1)
    }

    /// The CNAME of a place alone, for chains that are followed at run time.
    fn cname_link(&mut self, place: NameMatch<'t>, asked: Asked<'_>) -> Option<Link> {
        let (NameMatch::Exact(_, owner) | NameMatch::Wildcard(_, owner)) = place else { return None };
        let cname = owner.rrsets.get(&rtype::CNAME)?;
        let mut encoder = Encoder::new(asked.node);
        let name = if asked.name.is_some() { encoder.node() } else { OwnerName::Question };
        let count = encoder.rrset(&name, cname);
        let record = self.push(encoder, [count, 0, 0], 0, true);
        Some(Link { record, target: self.bytes(&cname.rdatas[0]) })
    }

    fn dname(&mut self, owner: &Owner<'_>) -> Dname {
        let dname = &owner.rrsets[&rtype::DNAME];
        let mut encoder = Encoder::new(&owner.name);
        let count = encoder.rrset(&encoder.node(), dname);
        let record = self.push(encoder, [count, 0, 0], 0, true);
        Dname { record, target: self.bytes(&dname.rdatas[0]), ttl: dname.ttl }
    }

    /// Puts bytes into the arena, once.
    fn bytes(&mut self, bytes: &[u8]) -> Span {
        if let Some(&span) = self.shared.get(bytes) {
            return span;
        }
        if self.out.bytes.len() + bytes.len() > self.len_max {
            self.is_full = true;
            return Span::default();
        }
        let span = Span { start: self.out.bytes.len() as u32, len: bytes.len() as u32 };
        self.out.bytes.extend_from_slice(bytes);
        self.shared.insert(bytes.to_vec(), span);
        span
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::{Record, Zone};

    /// A zone with an RRset of 10,000 bytes and so many aliases of it, no two of one TTL.
    fn aliases(count: u32) -> ZoneSet {
        let apex = Name::from_wire(b"\x07example\0").unwrap();
        let target = apex.prepend(b"big").unwrap();
        let record = |owner: &Name, rtype, ttl, rdata: &[u8]| Record {
            owner: owner.clone(),
            rtype,
            ttl,
            rdata: rdata.to_vec(),
        };
        let soa = [apex.as_wire(), apex.as_wire(), &[0; 20]].concat();
        let mut records = vec![
            record(&apex, rtype::SOA, 60, &soa),
            record(&apex, rtype::NS, 60, apex.as_wire()),
            record(&target, 65_280, 60, &[0; 10_000]),
        ];
        records.extend((0..count).map(|ttl| {
            let owner = apex.prepend(format!("alias{ttl}").as_bytes()).unwrap();
            record(&owner, rtype::CNAME, ttl, target.as_wire())
        }));
        ZoneSet { zones: vec![Zone { apex, service: Service::Configured, records }], ..ZoneSet::default() }
    }

    #[test]
    fn more_records_than_a_message_counts_are_no_matter() {
        let mut set = aliases(0);
        let Zone { apex, records, .. } = &mut set.zones[0];
        // ANY over TCP asks for them all.
        records.extend((0..70_000_u32).map(|number| Record {
            owner: apex.clone(),
            rtype: 65_280 + (number / 5000) as u16,
            ttl: 60,
            rdata: (number as u16).to_be_bytes().to_vec(),
        }));
        assert!(Answers::compile(&set, &mut Vec::new()).is_ok());
    }

    /// There is nothing that TC=1 over TCP could make a client do.
    #[test]
    fn any_over_tcp_gets_one_set_where_all_do_not_fit() {
        for (count, is_whole) in [(5, true), (7, false)] {
            let mut set = aliases(0);
            let Zone { apex, records, .. } = &mut set.zones[0];
            let apex = apex.clone();
            records.extend((0..count).map(|number| Record {
                owner: apex.clone(),
                rtype: 65_280 + number,
                ttl: 60,
                rdata: vec![0; 10_000],
            }));
            let (answers, _) = Answers::compile(&set, &mut Vec::new()).unwrap();
            let any = |over_tcp: bool| {
                let apex = answers.nodes.iter().find(|node| node.name.len as usize == apex.as_wire().len());
                answers.select(&apex.unwrap().exact, rtype::ANY, over_tcp)
            };
            let sets = 1 + 1 + count;
            assert_eq!((any(false).counts, any(true).counts[0] == sets), ([1, 0, 0], is_whole));
            assert!(is_whole || any(true).counts == [1, 0, 0], "{count}");
        }
    }

    #[test]
    fn the_types_of_a_name_are_gathered_once_and_not_for_each_of_them() {
        const TYPES: u16 = 20_000;

        let mut set = aliases(0);
        let Zone { apex, records, .. } = &mut set.zones[0];
        let owner = apex.prepend(b"many").unwrap();
        let numbers = 1000..1000 + TYPES;
        records.extend(numbers.map(|rtype| Record { owner: owner.clone(), rtype, ttl: 60, rdata: vec![0] }));
        let tree = Tree::new(&set);
        let types = |qtype| tree.resolve(tree.place(&owner), None, qtype).types.len();
        assert_eq!((types(NO_TYPE), types(1000)), (usize::from(TYPES), 0));
        // Were it quadratic, this would take minutes.
        let (answers, _) = Answers::compile(&set, &mut Vec::new()).unwrap();
        assert!(answers.types.len() >= usize::from(TYPES));
    }

    #[test]
    fn answers_that_multiply_are_refused() {
        assert!(Answers::compile_within(&aliases(8), &mut Vec::new(), 100_000).is_ok());
        let problem = Answers::compile_within(&aliases(10), &mut Vec::new(), 100_000).unwrap_err();
        assert!(problem.message.contains("example. exceed 100000 bytes"), "{problem}");
    }
}
