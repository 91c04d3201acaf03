//! A map, compiled: for each address its list.

use std::net::IpAddr;
use std::path::PathBuf;

use super::choice::{Layer, Use};
use super::geography::{BothSteps, Geography};
use super::lists::{self, Lists};
use super::networks::Networks;
use super::spec::{List, Map, Pop};
use crate::dns::ecs::Subnet;
use crate::nets::places::Places;
use crate::nets::{Intervals, Ipv6, Key, Rule, Step, Table, overlay, special, steps};
use crate::problem::Problem;

/// Both tables of a map.
#[derive(Debug)]
pub(super) struct Compiled {
    /// Clients, and resolvers of which nothing better is known: nothing, a special block or a list.
    clients: Table,
    /// Resolvers by hand and learned.
    resolvers: Table,
    lists: Vec<List>,
    default: List,
    uses_subnets: bool,
    /// Of each family how many rules are longer than what resolvers tell.
    pub(super) unseen: [usize; 2],
    /// Networks of resolvers that were learned.
    pub(super) learned: usize,
}

/// What a subnet decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct BySubnet<'a> {
    pub(super) subnet: Use,
    pub(super) scope: u8,
    /// If it does: the list, and the layer that has it.
    pub(super) decided: Option<(&'a List, Layer)>,
}

/// The databases that maps name, each set of them opened once.
#[derive(Debug, Default)]
pub(super) struct Opened<'a>(Vec<(&'a [PathBuf], Places)>);

impl<'a> Opened<'a> {
    fn places(&mut self, paths: &'a [PathBuf], problems: &mut Vec<Problem>) -> Places {
        if let Some((_, places)) = self.0.iter().find(|(of, _)| *of == paths) {
            return places.clone();
        }
        let (places, errors) = Places::open(paths);
        problems.extend(errors.into_iter().map(Problem::plain));
        self.0.push((paths, places.clone()));
        places
    }
}

impl Compiled {
    pub(super) fn new<'a>(
        map: &'a Map,
        pops: &[Pop],
        opened: &mut Opened<'a>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut lists = Lists::new(pops);
        let BothSteps { v4: places_v4, v6: places_v6 } = by_place(map, pops, opened, &mut lists, problems);
        let networks = Networks::read(&map.networks, false, &mut lists, problems);
        let unseen = networks.unseen();
        let Networks { v4, v6 } = networks;
        // The larger family first: what its rules took is used again for the other one.
        let of_v6 = Ipv6::new(clients(&v6, &places_v6, &special::IPV6));
        drop(v6);
        let clients = Table { v4: Intervals::new(clients(&v4, &places_v4, &special::IPV4)), v6: of_v6 };
        drop(v4);
        let by_hand = Networks::read(&map.resolvers, false, &mut lists, problems);
        let learned = Networks::read(&map.learned, true, &mut lists, problems);
        let resolvers = Table {
            v4: Intervals::new(resolvers(&by_hand.v4, &learned.v4)),
            v6: Ipv6::new(resolvers(&by_hand.v6, &learned.v6)),
        };
        let (default, uses_subnets) = (map.default.clone(), map.uses_subnets);
        let (lists, learned) = (lists.into_lists(), learned.v4.len() + learned.v6.len());
        Self { clients, resolvers, lists, default, uses_subnets, unseen, learned }
    }

    /// What the subnet of a query decides, and for whom that holds.
    #[inline]
    pub(super) fn by_subnet(&self, subnet: Option<&Subnet>) -> BySubnet<'_> {
        let undecided = |subnet| BySubnet { subnet, scope: 0, decided: None };
        let Some(subnet) = subnet else { return undecided(Use::None) };
        if !self.uses_subnets {
            return undecided(Use::Ignored);
        }
        if subnet.source() == 0 {
            return undecided(Use::Zero);
        }
        let found = self.clients.find(subnet.address());
        let decided = self.list(found.choice).map(|list| (list, Layer::from_number(found.tag)));
        let subnet = match (decided, found.choice) {
            (Some(_), _) => Use::Used,
            (None, 0) => Use::Unmapped,
            (None, _) => Use::Private,
        };
        BySubnet { subnet, scope: found.scope, decided }
    }

    /// What is known of a resolver.
    #[inline]
    pub(super) fn by_resolver(&self, resolver: IpAddr) -> (&List, Layer) {
        self.looked_up(&self.resolvers, resolver).unwrap_or_else(|| self.without_learned(resolver))
    }

    /// The same of one that is in no file of resolvers.
    #[inline]
    pub(super) fn without_learned(&self, resolver: IpAddr) -> (&List, Layer) {
        self.looked_up(&self.clients, resolver).unwrap_or((&self.default, Layer::Default))
    }

    #[inline]
    fn looked_up(&self, table: &Table, resolver: IpAddr) -> Option<(&List, Layer)> {
        let found = table.find(resolver.to_canonical());
        Some((self.list(found.choice)?, Layer::from_number(found.tag)))
    }

    /// The tables of clients.
    pub(super) fn clients(&self) -> &Table {
        &self.clients
    }

    /// How many different lists there are.
    pub(super) fn list_count(&self) -> usize {
        self.lists.len()
    }

    /// The list of those of whom nothing is known.
    #[inline]
    pub(super) fn default(&self) -> &List {
        &self.default
    }

    #[inline]
    fn list(&self, choice: u16) -> Option<&List> {
        self.lists.get(usize::from(choice.checked_sub(lists::FIRST)?))
    }

    /// Bytes that it takes.
    pub(super) fn memory_len(&self) -> usize {
        let lists = size_of_val(self.lists.as_slice());
        self.clients.memory_len() + self.resolvers.memory_len() + lists
    }
}

/// The steps of all layers below networks.
fn by_place<'a>(
    map: &'a Map,
    pops: &[Pop],
    opened: &mut Opened<'a>,
    lists: &mut Lists<'_>,
    problems: &mut Vec<Problem>,
) -> BothSteps {
    let geography = Geography::new(map, pops, lists, problems);
    if geography.is_empty() {
        return BothSteps::default();
    }
    let has_lists = !(map.by_as.is_empty() && map.by_country.is_empty() && map.by_continent.is_empty());
    if has_lists && map.databases.is_empty() {
        let (place, name) = (map.place.clone(), &map.name);
        let message = format!(
            "the map {name} has lists by as, country or continent, and no database says where an address is; \
             name one in `databases`"
        );
        problems.push(Problem { place, message });
    }
    let places = opened.places(&map.databases, problems);
    geography.steps(&places, lists).unwrap_or_else(|message| {
        problems.push(Problem { place: map.place.clone(), message });
        BothSteps::default()
    })
}

/// The table of clients. Special blocks are told apart only where anything else is known: else an answer
/// holds for everybody.
fn clients<'a, K: Key>(
    networks: &'a [Rule<K>],
    places: &'a [Step<K>],
    special: &'static [Rule<K>],
) -> impl Iterator<Item = Step<K>> + Clone + 'a {
    let is_known = !(networks.is_empty() && places.is_empty());
    let special = steps(if is_known { special } else { &[] }, Layer::Default as u8);
    overlay(overlay(steps(networks, Layer::Networks as u8), places.iter().copied()), special)
}

fn resolvers<'a, K: Key>(
    by_hand: &'a [Rule<K>],
    learned: &'a [Rule<K>],
) -> impl Iterator<Item = Step<K>> + Clone + 'a {
    overlay(steps(by_hand, Layer::ByHand as u8), steps(learned, Layer::Learned as u8))
}
