//! Zones become tails. For every name that answers something, its exact set and the rule for what is below
//! it.

use std::hash::{BuildHasher as _, Hasher as _};
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::tail::Encoder;
use super::tree::{Model, NO_TYPE, NameMatch, Owner, OwnerName, Tree, ZoneTree};
use super::{Answers, Dname, Kind, Link, Node, Rule, Set, Span, Tail, TailId};
use crate::dns::consts::{HEADER_LEN, NAME_LEN_MAX, rcode, rtype};
use crate::dns::name::{Name, Walk, suffixes};
use crate::dns::reply::{BLOCK_LEN, Head};
use crate::dns::suffix::{Known, ending, suffix_hash};
use crate::limits::{ANSWERS_LEN_MAX, RRSET_LEN_MAX, TCP_REPLY_LEN_MAX, ZONE_SERIES_MAX};
use crate::problem::Problem;
use crate::stats::account::ZoneLabels;
use crate::stats::labels::{SERVICE_HOSTNAME, SERVICE_OTHER};
use crate::zone::{Service, SpecialKind, Zone, ZoneSet};

/// The longest answer over UDP that a hostname zone can give, before OPT.
#[derive(Clone, Debug)]
pub struct Extent {
    /// The zone's apex.
    pub apex: Name,
    /// Bytes, header and question included, for the longest name that gets the answer.
    pub len: usize,
}

impl Answers {
    /// Compiles a set of zones. With the answers comes the extent of each hostname zone, in the order of the
    /// set. Zones that have no series yet are added to `series`, as long as there is room.
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
        let mut tree = Tree::new(set);
        let mut compiler = Compiler {
            out: Self::with_room(&set.zones),
            shared: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            made: HashTable::new(),
            spare: Vec::new(),
            extent: 0,
            len_max,
            is_full: false,
        };
        let mut extents = Vec::new();
        // Those of ours first: an operator may have more zones than there are series.
        let with = |is_configured: bool| {
            set.zones.iter().filter(move |zone| (zone.service == Service::Configured) == is_configured)
        };
        for zone in with(false).chain(with(true)) {
            if series.len() == ZONE_SERIES_MAX {
                break;
            }
            name_series(series, &zone.apex());
        }
        let series: HashMap<&str, u8> = (0..).zip(&*series).map(|(at, name)| (name.as_str(), at)).collect();
        // The nodes of zones whose answers others have as well: a million zones of a hoster have as few as
        // they differ in more than their apex.
        let (parents, mut patterns) = (tree.parents(), HashMap::<Vec<u8>, Range<usize>>::new());
        for (place, zone) in set.zones.iter().enumerate() {
            let labels = labels(&series, zone);
            let is_configured = zone.service == Service::Configured;
            let alike = tree.alike(place, &parents).filter(|_| is_configured);
            let alike = alike.map(|records| pattern(records, zone.apex_wire()));
            if let Some(nodes) = alike.as_ref().and_then(|key| patterns.get(&**key)) {
                compiler.repeat(nodes.clone(), zone.apex_wire(), labels);
            } else {
                let first = compiler.out.nodes.len();
                compiler.zone(&tree, tree.at(place), labels);
                let is_alone = alike.is_some() && !tree.leads_elsewhere(tree.at(place));
                if let Some(key) = alike.filter(|_| is_alone) {
                    patterns.insert(key, first..compiler.out.nodes.len());
                }
            }
            if compiler.is_full {
                return Err(too_large(&zone.apex(), len_max));
            }
            if zone.service == Service::Hostname {
                extents.push(Extent { apex: zone.apex(), len: compiler.extent });
            }
            tree.tidy();
        }
        let mut answers = compiler.out;
        answers.index();
        Ok((answers, extents))
    }

    /// Nothing yet, and room for an owner in each of these zones: most that are many have no other.
    fn with_room(zones: &[Zone]) -> Self {
        let mut answers = Self::empty();
        answers.nodes.reserve_exact(zones.len());
        answers.bytes.reserve_exact(zones.iter().map(|zone| zone.apex_wire().len()).sum());
        answers
    }

    fn empty() -> Self {
        Self {
            table: Box::new([0; 2]),
            shift: u64::BITS - 1,
            nodes: Vec::new(),
            depths: 0,
            beginnings: Default::default(),
            types: Vec::new(),
            tails: Vec::new(),
            relocations: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// Builds the table over the nodes, at most a quarter full, and notes their depths and what they begin
    /// with.
    fn index(&mut self) {
        let mut hashes = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let name = &self.bytes[node.name.range()];
            let labels = suffixes(name).count() - 1;
            self.depths |= 1 << labels;
            self.beginnings[labels.min(Walk::NEAR + 1)].add(name);
            hashes.push(suffix_hash(ending(name, name.len(), &mut None), name, 0, name.len()));
        }
        let len = (hashes.len() * 4 + 2).next_power_of_two();
        let highest = u64::BITS - len.ilog2();
        // Names that are few, as those of AS112 are, have bits of their hashes that are all different.
        let tried = if hashes.len() > CHOSEN_MAX { 1 } else { highest / 2 };
        let tables = (0..tried).map(|less| (highest - less, table(&hashes, len, highest - less)));
        let best = tables.min_by_key(|(_, (_, further))| *further);
        if let Some((shift, (table, _))) = best {
            (self.shift, self.table) = (shift, table);
        }
        self.bytes.extend([0; BLOCK_LEN]);
    }
}

/// Up to so many names several tables are made, and the best is taken.
const CHOSEN_MAX: usize = 1024;

/// The table of that length with the hashes from bit `shift` on, and how many places names stand beyond
/// theirs.
fn table(hashes: &[u64], len: usize, shift: u32) -> (Box<[u32]>, usize) {
    let (mut table, mut further) = (vec![0; len].into_boxed_slice(), 0);
    for (index, hash) in hashes.iter().enumerate() {
        let mut place = (hash >> shift) as usize & (len - 1);
        while table[place] != 0 {
            place = (place + 1) & (len - 1);
            further += 1;
        }
        table[place] = index as u32 + 1;
    }
    (table, further)
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
    /// That somebody asks is noted.
    is_beacon: bool,
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
fn labels(series: &HashMap<&str, u8>, zone: &Zone) -> ZoneLabels {
    let service = match zone.service {
        Service::Direct => 0,
        Service::Dname => 1,
        Service::Hostname => SERVICE_HOSTNAME,
        Service::Special => 3,
        Service::Configured => SERVICE_OTHER as u8,
    };
    let zone = series.get(series_name(&zone.apex()).as_str()).copied().unwrap_or(ZONE_SERIES_MAX as u8);
    ZoneLabels { service, zone }
}

/// What zones have in common whose answers are alike: their records, the length of their first label, and
/// what is above them.
fn pattern(records: usize, apex: &[u8]) -> Vec<u8> {
    let (first, parent) = apex.split_at(1 + usize::from(apex[0]));
    let mut key = Vec::with_capacity(size_of::<usize>() + 1 + parent.len());
    key.extend(records.to_ne_bytes());
    key.push(first.len() as u8);
    key.extend(parent.iter().map(u8::to_ascii_lowercase));
    key
}

/// A tail to be.
struct Encoded {
    encoder: Box<Encoder>,
    head: Head,
}

impl Encoded {
    /// Whether it is made already, as `tail` of `answers`.
    fn is(&self, tail: &Tail, answers: &Answers) -> bool {
        let Encoder { bytes, relocations, .. } = &*self.encoder;
        (tail.head, tail.len()) == (self.head, bytes.len())
            // Of those that are too long nobody gets the bytes.
            && (bytes.len() > TCP_REPLY_LEN_MAX
                || answers.bytes[tail.bytes.range()] == *bytes
                    && answers.relocations[tail.relocations.range()] == *relocations)
    }
}

/// Tails that follow each other.
#[derive(Clone, Copy)]
struct Made {
    hash: u64,
    first: TailId,
    count: u32,
}

fn kind(place: NameMatch<'_>, followed: bool, is_beacon: bool) -> Kind {
    match place.special() {
        Some(SpecialKind::Pool(pool)) => Kind::Tailored { pool, is_beacon },
        Some(SpecialKind::Identity) => Kind::Identity,
        _ if followed => Kind::Followed { is_beacon },
        _ if is_beacon => Kind::Beacon,
        _ => Kind::Plain,
    }
}

/// The answer for each variant of the pool of a tailored name; where it has no addresses, and at other names,
/// there is one.
fn variants<'t>(tree: &Tree<'_>, place: NameMatch<'_>, model: Model<'t>) -> Vec<Model<'t>> {
    match tree.pool(place).filter(|_| model.has_addresses()) {
        Some(pool) => pool.variants.iter().map(|addresses| model.with_addresses(addresses)).collect(),
        None => vec![model],
    }
}

struct Compiler {
    out: Answers,
    /// Bytes that are in the arena already, for equal tails to share them.
    shared: HashTable<Span>,
    hasher: DefaultHashBuilder,
    /// Each series, by all that it holds.
    made: HashTable<Made>,
    /// Encoders that are of no use at the moment.
    #[expect(clippy::vec_box, reason = "each is moved in and out for every tail, and it is large")]
    spare: Vec<Box<Encoder>>,
    extent: usize,
    /// Bytes that the arena may hold.
    len_max: usize,
    /// Something did not fit: the answers are of no use.
    is_full: bool,
}

impl Compiler {
    /// Makes the nodes of a zone, in the order of the names: the same zones always make the same answers.
    fn zone(&mut self, tree: &Tree<'_>, zone: &ZoneTree, labels: ZoneLabels) {
        self.extent = 0;
        let mut owners: Vec<&Owner> = zone.owners.values().collect();
        owners.sort_unstable_by(|a, b| a.name.as_wire().cmp(b.name.as_wire()));
        for owner in owners {
            self.owner(tree, zone, owner, labels);
        }
    }

    /// Makes the nodes of a zone that answers as another one does, whose nodes these are. Their apexes are of
    /// the same length.
    fn repeat(&mut self, nodes: Range<usize>, apex: &[u8], labels: ZoneLabels) {
        for node in nodes {
            let mut node = self.out.nodes[node];
            let name = self.renamed(node.name, apex).to_ascii_lowercase();
            (node.name, node.known) = (self.once(&name), Known::new(&name));
            node.zone = labels;
            self.relink(&mut node.exact, apex);
            if let Rule::Set(set) = &mut node.below {
                self.relink(set, apex);
            }
            self.out.nodes.push(node);
        }
    }

    /// Where an alias leads within the zone it does so within another one.
    fn relink(&mut self, set: &mut Set, apex: &[u8]) {
        if let Some(link) = &mut set.link
            && link.is_within
        {
            let target = self.renamed(link.target, apex);
            link.target = self.bytes(&target);
        }
    }

    /// A name of a zone as it is in the zone `apex`, whose name is of the same length.
    fn renamed(&self, name: Span, apex: &[u8]) -> Vec<u8> {
        let name = &self.out.bytes[name.range()];
        [&name[..name.len() - apex.len()], apex].concat()
    }

    /// Makes the node of an owner, unless another zone or a cut hides it.
    fn owner<'t>(&mut self, tree: &'t Tree<'_>, zone: &'t ZoneTree, owner: &'t Owner, labels: ZoneLabels) {
        let name = &owner.name;
        let is_ours = tree.zone_of(name).is_some_and(|deepest| std::ptr::eq(deepest, zone));
        let place = tree.place(name);
        if !is_ours || matches!(place, NameMatch::Cut(_, _, false)) {
            return;
        }
        let [exact, below] = tree.notes(name);
        let exact = self.set(tree, place, Asked { node: name, name: Some(name), is_beacon: exact });
        let below = Asked { node: name, name: None, is_beacon: below };
        let below = if let NameMatch::Cut(..) = place {
            Rule::Set(self.set(tree, NameMatch::Cut(zone, owner, false), below))
        } else if owner.rrsets.contains_key(&rtype::DNAME) {
            Rule::Dname(self.dname(owner))
        } else if let Some(wildcard) = zone.wildcard(owner) {
            Rule::Set(self.set(tree, NameMatch::Wildcard(zone, wildcard), below))
        } else {
            Rule::Set(self.set(tree, NameMatch::Nothing(zone), below))
        };
        let lower = name.to_lowercase();
        let (name, known) = (self.once(lower.as_wire()), Known::new(lower.as_wire()));
        // Those who ask below the zones that say who answers are to be seen.
        let is_hostname = labels.service == SERVICE_HOSTNAME;
        let is_empty_zone = zone.owners.len() == 1 && !is_hostname;
        self.out.nodes.push(Node { name, known, zone: labels, is_empty_zone, exact, below });
    }

    /// Makes the tails of a place: one for each type that it holds or leads to, one for all others, two for
    /// ANY. Those with addresses of a pool are made for each of its variants.
    fn set<'t>(&mut self, tree: &'t Tree<'_>, place: NameMatch<'t>, asked: Asked<'_>) -> Set {
        let other = tree.resolve(place, asked.name, NO_TYPE);
        let mut types = Vec::new();
        for &qtype in &other.types {
            let models = variants(tree, place, tree.resolve(place, asked.name, qtype));
            types.push((qtype, self.tails(&models, asked)));
        }
        let plain = self.tail(&other, asked);
        let any = match place {
            NameMatch::Exact(..) | NameMatch::Wildcard(..) => {
                let any_udp = variants(tree, place, tree.any(place, asked.name, false));
                let any_udp = self.tails(&any_udp, asked);
                let any_tcp = variants(tree, place, tree.any(place, asked.name, true));
                [any_udp, self.all_sets(&any_tcp, asked).unwrap_or(any_udp)]
            }
            // There is nothing that only some types have.
            _ => [plain; 2],
        };
        let span = Span { start: self.out.types.len() as u32, len: types.len() as u32 };
        self.out.types.extend(types);
        Set {
            types: span,
            other: plain,
            any,
            link: self.cname_link(place, asked),
            kind: kind(place, other.followed, asked.is_beacon),
        }
    }

    /// Makes tails that follow each other, and gives the first.
    fn tails(&mut self, models: &[Model<'_>], asked: Asked<'_>) -> TailId {
        let encoded = self.encoded(models, asked);
        let len = encoded.iter().map(|tail| tail.encoder.bytes.len()).max().unwrap_or(0);
        self.extent = self.extent.max(HEADER_LEN + asked.name_len_max() + 4 + len);
        self.series(encoded)
    }

    fn encoded(&mut self, models: &[Model<'_>], asked: Asked<'_>) -> Vec<Encoded> {
        let encode = |model: &Model<'_>| {
            let mut encoder = self.encoder(asked.node);
            let counts = encoder.model(model);
            Encoded { encoder, head: Head::new(model.rcode, model.authoritative, counts) }
        };
        models.iter().map(encode).collect()
    }

    fn encoder(&mut self, node: &Name) -> Box<Encoder> {
        let Some(mut encoder) = self.spare.pop() else { return Box::new(Encoder::new(node)) };
        encoder.begin(node);
        encoder
    }

    fn tail(&mut self, model: &Model<'_>, asked: Asked<'_>) -> TailId {
        self.tails(std::slice::from_ref(model), asked)
    }

    /// The answers to ANY over TCP; none where one is longer than an RRset may be: it may not fit a message.
    fn all_sets(&mut self, models: &[Model<'_>], asked: Asked<'_>) -> Option<TailId> {
        let encoded = self.encoded(models, asked);
        let fits = encoded.iter().all(|tail| tail.encoder.bytes.len() <= RRSET_LEN_MAX);
        fits.then(|| self.series(encoded))
    }

    /// Puts tails after each other, unless the same were made before. As a tail does not say where its owner
    /// is, a thousand names of a pool have the same ones, and so have most names of a hundred thousand zones
    /// of one hoster.
    fn series(&mut self, encoded: Vec<Encoded>) -> TailId {
        let mut hasher = self.hasher.build_hasher();
        encoded.iter().for_each(|tail| hasher.write(&tail.encoder.bytes));
        let hash = hasher.finish();
        let out = &self.out;
        let is_it = |made: &Made| {
            let tails = out.tails[made.first.0 as usize..].iter().take(made.count as usize);
            made.hash == hash
                && made.count as usize == encoded.len()
                && encoded.iter().zip(tails).all(|(encoded, tail)| encoded.is(tail, out))
        };
        if let Some(made) = self.made.find(hash, is_it) {
            let first = made.first;
            self.spare.extend(encoded.into_iter().map(|encoded| encoded.encoder));
            return first;
        }
        let first = TailId(self.out.tails.len() as u32);
        let made = Made { hash, first, count: encoded.len() as u32 };
        self.made.insert_unique(hash, made, |made| made.hash);
        encoded.into_iter().for_each(|encoded| self.push(encoded));
        first
    }

    fn push(&mut self, encoded: Encoded) {
        let Encoded { encoder, head } = encoded;
        let len = encoder.bytes.len() as u32;
        let is_kept = encoder.bytes.len() <= TCP_REPLY_LEN_MAX;
        let bytes = if is_kept { self.bytes(&encoder.bytes) } else { Span::default() };
        let start = self.out.relocations.len() as u32;
        self.out.relocations.extend(encoder.relocations.iter().filter(|_| is_kept));
        let relocations = Span { start, len: self.out.relocations.len() as u32 - start };
        self.out.tails.push(Tail { bytes, relocations, len, head });
        self.spare.push(encoder);
    }

    /// A tail with the records of one owner alone.
    fn record(&mut self, encoder: Box<Encoder>, count: u16) -> TailId {
        self.series(vec![Encoded { encoder, head: Head::new(rcode::NOERROR, true, [count, 0, 0]) }])
    }

    /// The CNAME of a place alone, for chains that are followed at run time.
    fn cname_link(&mut self, place: NameMatch<'_>, asked: Asked<'_>) -> Option<Link> {
        let (NameMatch::Exact(zone, owner) | NameMatch::Wildcard(zone, owner)) = place else { return None };
        let cname = owner.rrsets.get(&rtype::CNAME)?;
        let mut encoder = self.encoder(asked.node);
        let name = if asked.name.is_some() { encoder.node() } else { OwnerName::Question };
        let count = encoder.rrset(&name, cname);
        let record = self.record(encoder, count);
        let target = &cname.rdatas[0];
        let is_within = Name::from_wire(target).is_ok_and(|target| target.is_at_or_below(&zone.apex));
        Some(Link { record, target: self.bytes(target), is_within })
    }

    fn dname(&mut self, owner: &Owner) -> Dname {
        let dname = &owner.rrsets[&rtype::DNAME];
        let mut encoder = self.encoder(&owner.name);
        let count = encoder.rrset(&encoder.node(), dname);
        let record = self.record(encoder, count);
        Dname { record, target: self.bytes(&dname.rdatas[0]), ttl: dname.ttl }
    }

    /// Puts bytes into the arena, unless they are there.
    fn bytes(&mut self, bytes: &[u8]) -> Span {
        let arena = &self.out.bytes;
        if let Some(&span) =
            self.shared.find(self.hasher.hash_one(bytes), |span| arena[span.range()] == *bytes)
        {
            return span;
        }
        let span = self.once(bytes);
        let (hasher, arena) = (&self.hasher, &self.out.bytes);
        let hash_of = |span: &Span| hasher.hash_one(&arena[span.range()]);
        self.shared.insert_unique(hash_of(&span), span, hash_of);
        span
    }

    /// Puts bytes into the arena that nobody shares.
    fn once(&mut self, bytes: &[u8]) -> Span {
        if self.out.bytes.len() + bytes.len() > self.len_max {
            self.is_full = true;
            return Span::default();
        }
        let span = Span { start: self.out.bytes.len() as u32, len: bytes.len() as u32 };
        self.out.bytes.extend_from_slice(bytes);
        span
    }
}

#[cfg(test)]
mod tests;
