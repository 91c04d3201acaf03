//! Why a query gets what it gets: each layer asked by itself, from what the operator wrote. The tables only
//! say what is given.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::choice::{Asking, Choice, Layer, Use};
use super::facts::Fact;
use super::geography::Geography;
use super::lists::{self, Lists, list};
use super::map::Compiled;
use super::spec::{List, Map, Pop};
use crate::nets::file::{self, Network};
use crate::nets::places::{Place, Places};
use crate::nets::{Key, Rule, special};
use crate::problem::Problem;

/// Why.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    /// What is given.
    pub choice: Choice,
    /// The list that decided. If the pool has none of its PoPs, the default's one is given.
    pub list: List,
    /// The layers that were asked, in order, up to the one that decided.
    pub steps: Vec<Asked>,
    /// What would decide without that one.
    pub without: Option<Asked>,
    /// For whom the answer holds, if the subnet was looked up.
    pub block: Option<Block>,
    /// The files say what the tables say. If not, they were changed and are not loaded yet.
    pub is_loaded: bool,
}

/// A layer that was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Which.
    pub layer: Layer,
    /// It was asked for the resolver, not for the subnet.
    pub for_resolver: bool,
    /// The files that have it, as they are configured.
    pub files: Vec<PathBuf>,
    /// What it has, if it has anything.
    pub found: Option<Found>,
}

/// What a layer has.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Of what.
    pub of: Of,
    /// The list.
    pub list: List,
    /// The file and the line, if it is from one.
    pub at: Option<(PathBuf, u32)>,
    /// The comment of that line.
    pub comment: String,
}

/// What a list is of.
#[derive(Clone, Debug, PartialEq)]
pub enum Of {
    /// A network.
    Network(IpNet),
    /// An AS, a degree, a country, a continent.
    Fact(Fact),
    /// The PoPs around a place.
    Around(Place),
    /// Everybody.
    Everybody,
}

/// For whom an answer holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The largest network around the subnet's address in which all get the same list.
    pub network: IpNet,
    /// Why it is not larger. `None` if it is everything.
    pub limit: Option<Limit>,
}

/// The nearest address that has another list.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// It.
    pub address: IpAddr,
    /// Its list.
    pub found: Option<Found>,
    /// Else the special block that it is in, if it is in one.
    pub special: Option<IpNet>,
}

pub(super) fn why(
    pops: &[Pop],
    map: &Map,
    compiled: &Compiled,
    choice: Choice,
    asking: &Asking,
) -> Result<Why, Vec<Problem>> {
    let has_looked = !matches!(choice.subnet, Use::None | Use::Zero | Use::Ignored);
    let client = asking.subnet.filter(|_| has_looked).map(|subnet| subnet.address());
    let resolver = asking.peer.to_canonical();
    let limit = client.filter(|_| choice.scope > 0).and_then(|client| compiled.clients().limit(client));
    let sources = Sources::new(pops, map, [client, Some(resolver), limit])?;

    let mut steps = client.map_or_else(Vec::new, |client| sources.clients(client, false));
    steps.push(sources.by_file(Layer::ByHand, resolver));
    steps.push(sources.by_file(Layer::Learned, resolver));
    steps.extend(sources.clients(resolver, true));
    let everybody = Found { of: Of::Everybody, list: map.default.clone(), at: None, comment: String::new() };
    let found = Some(everybody);
    steps.push(Asked { layer: Layer::Default, for_resolver: true, files: Vec::new(), found });

    // What was learned counts while one of its PoPs is up.
    let is_passed_over = |asked: &Asked| asked.layer == Layer::Learned && choice.layer != Layer::Learned;
    let mut having = (0..).zip(&steps).filter(|(_, asked)| asked.found.is_some() && !is_passed_over(asked));
    let decided: usize = having.next().map_or(0, |(at, _)| at);
    let without = having.next().map(|(_, asked)| asked.clone());
    steps.truncate(decided + 1);
    let list = steps.last().and_then(|asked| asked.found.as_ref()).map(|found| found.list.clone());
    let list = list.unwrap_or_default();
    let in_force = compiled.by_subnet(asking.subnet.as_ref()).decided;
    let in_force = in_force.unwrap_or_else(|| match compiled.by_resolver(asking.peer) {
        (_, Layer::Learned) if choice.layer != Layer::Learned => compiled.without_learned(asking.peer),
        known => known,
    });
    let in_force = in_force.0;
    let is_loaded = *in_force == list;
    let block = client.and_then(|client| {
        let network = IpNet::new(client, choice.scope).ok()?.trunc();
        Some(Block { network, limit: limit.map(|address| sources.limit(address)) })
    });
    Ok(Why { choice, list, steps, without, block, is_loaded })
}

/// All that the map names, read again, as far as it is about these addresses.
struct Sources<'a> {
    map: &'a Map,
    /// What files of networks have for an address, by layer.
    networks: Vec<(Layer, IpAddr, Found)>,
    /// What follows from where it is.
    places: Vec<(Layer, IpAddr, Found)>,
}

impl<'a> Sources<'a> {
    fn new(pops: &[Pop], map: &'a Map, addresses: [Option<IpAddr>; 3]) -> Result<Self, Vec<Problem>> {
        let addresses: Vec<IpAddr> = addresses.into_iter().flatten().collect();
        let mut problems = Vec::new();
        let mut networks = Vec::new();
        for layer in [Layer::Networks, Layer::ByHand, Layer::Learned] {
            let longest =
                longest(&files(map, layer), layer == Layer::Learned, pops, &addresses, &mut problems);
            networks.extend(longest.into_iter().map(|(address, found)| (layer, address, found)));
        }
        let places = by_place(pops, map, &addresses, &mut problems);
        if problems.is_empty() { Ok(Self { map, networks, places }) } else { Err(problems) }
    }

    /// The layers that clients are looked up in.
    fn clients(&self, address: IpAddr, for_resolver: bool) -> Vec<Asked> {
        let mut steps = vec![Asked { for_resolver, ..self.by_file(Layer::Networks, address) }];
        for layer in [Layer::Places, Layer::As, Layer::Country, Layer::Continent, Layer::Nearest] {
            let found = found(&self.places, layer, address);
            steps.push(Asked { layer, for_resolver, files: files(self.map, layer), found });
        }
        steps
    }

    fn by_file(&self, layer: Layer, address: IpAddr) -> Asked {
        let found = found(&self.networks, layer, address);
        Asked { layer, for_resolver: true, files: files(self.map, layer), found }
    }

    fn limit(&self, address: IpAddr) -> Limit {
        let found = self.clients(address, false).into_iter().find_map(|asked| asked.found);
        let special = special_block(address).filter(|_| found.is_none());
        Limit { address, found, special }
    }
}

fn found(all: &[(Layer, IpAddr, Found)], layer: Layer, address: IpAddr) -> Option<Found> {
    all.iter().find(|of| (of.0, of.1) == (layer, address)).map(|(.., found)| found.clone())
}

/// The files that have a layer.
fn files(map: &Map, layer: Layer) -> Vec<PathBuf> {
    match layer {
        Layer::Networks => map.networks.clone(),
        Layer::ByHand => map.resolvers.clone(),
        Layer::Learned => map.learned.iter().cloned().collect(),
        Layer::Places => map.places.iter().cloned().collect(),
        Layer::As | Layer::Country | Layer::Continent | Layer::Nearest => map.databases.clone(),
        Layer::Default => Vec::new(),
    }
}

/// Of each address the longest network of the files that has it.
fn longest(
    files: &[PathBuf],
    may_be_absent: bool,
    pops: &[Pop],
    addresses: &[IpAddr],
    problems: &mut Vec<Problem>,
) -> Vec<(IpAddr, Found)> {
    let mut longest: Vec<(IpAddr, u8, Found)> = Vec::new();
    for path in files {
        file::read(path, may_be_absent, problems, |line| {
            let network = Network::read(line.key)?;
            for &address in addresses {
                let Some(len) = network.holds(address) else { continue };
                let before = longest.iter().position(|(of, ..)| *of == address);
                if before.is_some_and(|at| longest[at].1 >= len) {
                    continue;
                }
                let found = Found {
                    of: Of::Network(IpNet::new_assert(address, len).trunc()),
                    list: list(line.value, pops)?,
                    at: Some((path.clone(), line.number)),
                    comment: line.comment.to_owned(),
                };
                before.map(|at| longest.swap_remove(at));
                longest.push((address, len, found));
            }
            Ok(())
        });
    }
    longest.into_iter().map(|(address, _, found)| (address, found)).collect()
}

/// Of each address what follows from where it is, by layer.
fn by_place(
    pops: &[Pop],
    map: &Map,
    addresses: &[IpAddr],
    problems: &mut Vec<Problem>,
) -> Vec<(Layer, IpAddr, Found)> {
    let mut lists = Lists::new(pops);
    let geography = Geography::new(map, pops, &mut lists, problems);
    if geography.is_empty() {
        return Vec::new();
    }
    let (places, errors) = Places::open(&map.databases);
    problems.extend(errors.into_iter().map(Problem::plain));
    let mut all = Vec::new();
    for &address in addresses {
        let place = places.place(address);
        match geography.of(&place, &mut lists) {
            Ok(told) => all.extend(told.into_iter().map(|told| (address, place.clone(), told))),
            Err(message) => problems.push(Problem { place: map.place.clone(), message }),
        }
    }
    let lists = lists.into_lists();
    let found = all.into_iter().filter_map(|(address, place, told)| {
        let list = lists.get(usize::from(told.choice.checked_sub(lists::FIRST)?))?.clone();
        let of = told.fact.map_or(Of::Around(place), Of::Fact);
        let file = map.places.clone().filter(|_| told.layer == Layer::Places);
        let at = file.map(|file| (file, told.line));
        Some((told.layer, address, Found { of, list, at, comment: String::new() }))
    });
    found.collect()
}

/// The special block of an address.
fn special_block(address: IpAddr) -> Option<IpNet> {
    fn of<K: Key>(blocks: &[Rule<K>], address: K) -> Option<IpNet> {
        let block = blocks.iter().rev().find(|block| address.first(block.len) == { block.first })?;
        IpNet::new({ block.first }.address(), block.len).ok()
    }
    match address {
        IpAddr::V4(address) => of(&special::IPV4, address.to_bits()),
        IpAddr::V6(address) => of(&special::IPV6, address.to_bits()),
    }
}
