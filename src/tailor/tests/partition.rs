//! Random maps. For each query the PoP and SCOPE are compared with what follows from the rules by other
//! means, and a cache that does what RFC 7871 (section 7.3) has is filled in any order.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use super::{SFO, World, list};
use crate::dns::ecs::Subnet;
use crate::nets::{Key, special};
use crate::tailor::spec::{Pop, Spread};
use crate::tailor::{Asking, PopId, Tailor};

const MAPS: u64 = 50;
const QUERIES: usize = 2_000;
const RULES_MAX: u64 = 5_000;
const ORDERS: usize = 5;
const RESOLVER: &str = "192.0.2.53";

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

/// An address of either family, from the highest bit on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Prefix {
    is_v4: bool,
    /// Of IPv4 the first 32 bits.
    bits: u128,
    len: u8,
}

impl Prefix {
    fn new(is_v4: bool, bits: u128, len: u8) -> Self {
        Self { is_v4, bits: bits.first(len), len }
    }

    fn has(self, other: Self) -> bool {
        self.is_v4 == other.is_v4 && self.len <= other.len && other.bits.first(self.len) == self.bits
    }

    fn address(self) -> IpAddr {
        if self.is_v4 { ((self.bits >> 96) as u32).address() } else { self.bits.address() }
    }

    fn subnet(self) -> Subnet {
        super::subnet(&format!("{}/{}", self.address(), self.len))
    }
}

/// What addresses have, by the rules alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Has {
    Nothing,
    Special(u16),
    Pop(PopId),
}

/// A map: rules that lie within each other often, and whose PoPs are often the same as beside them.
struct Rules {
    rules: HashMap<Prefix, PopId>,
    pops: PopId,
}

impl Rules {
    fn new(random: &mut Random) -> Self {
        let most = 1 + random.below(RULES_MAX);
        let count = 1 + random.below(most);
        let pops = 1 + random.below(12) as PopId;
        let mut rules = HashMap::new();
        let mut all: Vec<Prefix> = Vec::new();
        for _ in 0..count {
            let is_v4 = random.below(2) == 0;
            let max = if is_v4 { 32 } else { 128 };
            let len = match random.below(8) {
                0 => random.below(max + 1),
                _ => random.below(max / 2) + max / 4,
            } as u8;
            let mut bits = u128::from(random.next()) << 64 | u128::from(random.next());
            // Within or beside one that is there.
            if random.below(4) != 0 && !all.is_empty() {
                let near = all[random.below(all.len() as u64) as usize];
                let common = near.len.saturating_sub(random.below(3) as u8);
                bits = near.bits.first(common) | bits & u128::beyond(common);
            }
            let rule = Prefix::new(is_v4, bits, len);
            // Whoever writes an IPv4 network in IPv6 is refused.
            if !is_v4 && rule.bits >> 32 == 0xFFFF {
                continue;
            }
            all.push(rule);
            rules.insert(rule, random.below(pops.into()) as PopId);
        }
        Self { rules, pops }
    }

    fn tailor(&self) -> Tailor {
        let name = |pop: PopId| format!("p{pop}");
        let mut text = String::new();
        for (rule, pop) in &self.rules {
            writeln!(text, "{}/{} {}", rule.address(), rule.len, name(*pop)).unwrap();
        }
        let mut world = World::new(&[("networks", &text)]);
        world.spec.pops = (0..self.pops).map(|pop| Pop { name: name(pop), at: None }).collect();
        world.spec.pools[0].variants = (0..self.pops).collect();
        world.spec.pools[0].spread = Spread::First;
        world.map().default = list(&[SFO]);
        world.tailor()
    }

    /// By every rule one after the other.
    fn has(&self, address: Prefix) -> Has {
        let rules = self.rules.iter().filter(|(rule, _)| rule.has(address));
        if let Some((_, pop)) = rules.max_by_key(|(rule, _)| rule.len) {
            return Has::Pop(*pop);
        }
        let blocks = blocks().filter(|(_, block)| block.has(address));
        blocks.map(|(number, _)| Has::Special(number)).next().unwrap_or(Has::Nothing)
    }

    fn tree(&self, is_v4: bool) -> Tree {
        let rules = self.rules.iter().filter(|(rule, _)| rule.is_v4 == is_v4);
        let rules: Vec<(Prefix, Has)> = rules.map(|(rule, pop)| (*rule, Has::Pop(*pop))).collect();
        if rules.is_empty() {
            return Tree::Leaf(Has::Nothing);
        }
        let special = blocks().filter(|(_, block)| block.is_v4 == is_v4);
        let special: Vec<_> = special.map(|(number, block)| (block, Has::Special(number))).collect();
        Tree::new(Prefix::new(is_v4, 0, 0), &rules, &special, Has::Nothing, Has::Nothing)
    }
}

fn blocks() -> impl Iterator<Item = (u16, Prefix)> {
    let v4 =
        special::IPV4.iter().map(|of| (of.choice, Prefix::new(true, u128::from(of.first) << 96, of.len)));
    v4.chain(special::IPV6.iter().map(|of| (of.choice, Prefix::new(false, of.first, of.len))))
}

/// The whole space halved until everything in a part is the same.
enum Tree {
    Leaf(Has),
    Halves(Box<[Self; 2]>),
}

impl Tree {
    /// Of the network `here`: rules and blocks that lie within it, and what it is in.
    fn new(here: Prefix, rules: &[(Prefix, Has)], special: &[(Prefix, Has)], rule: Has, block: Has) -> Self {
        let exact = |all: &[(Prefix, Has)]| all.iter().find(|(of, _)| *of == here).map(|(_, has)| *has);
        let (rule, block) = (exact(rules).unwrap_or(rule), exact(special).unwrap_or(block));
        if rules.iter().chain(special).all(|(of, _)| *of == here) {
            return Self::Leaf(if rule == Has::Nothing { block } else { rule });
        }
        let halves = [0, 1].map(|bit: u128| {
            let half = Prefix { bits: here.bits | bit << (127 - here.len), len: here.len + 1, ..here };
            let within = |all: &[(Prefix, Has)]| -> Vec<_> {
                all.iter().filter(|(of, _)| half.has(*of)).copied().collect()
            };
            Self::new(half, &within(rules), &within(special), rule, block)
        });
        match halves {
            [Self::Leaf(one), Self::Leaf(other)] if one == other => Self::Leaf(one),
            halves => Self::Halves(Box::new(halves)),
        }
    }

    fn leaves(&self) -> u64 {
        match self {
            Self::Leaf(_) => 1,
            Self::Halves(halves) => halves.iter().map(Self::leaves).sum(),
        }
    }

    /// How deep the leaf of an address is.
    fn depth(&self, address: Prefix) -> u8 {
        let (mut tree, mut depth) = (self, 0);
        while let Self::Halves(halves) = tree {
            tree = &halves[(address.bits >> (127 - depth) & 1) as usize];
            depth += 1;
        }
        depth
    }
}

/// Subnets of clients: of random length, in and around the rules.
fn queries(random: &mut Random, rules: &Rules) -> Vec<Prefix> {
    let mut all: Vec<Prefix> = rules.rules.keys().copied().chain(blocks().map(|(_, block)| block)).collect();
    all.sort_unstable_by_key(|prefix| (prefix.bits, prefix.len));
    let mut query = || {
        let near = all[random.below(all.len() as u64) as usize];
        let common = near.len.saturating_sub(random.below(3) as u8);
        let bits = u128::from(random.next()) << 64 | u128::from(random.next());
        let max: u8 = if near.is_v4 { 32 } else { 128 };
        let len = match random.below(3) {
            0 => max / 4 * 3,
            _ => random.below(u64::from(max) + 1) as u8,
        };
        Prefix::new(near.is_v4, near.bits.first(common) | bits & u128::beyond(common), len)
    };
    (0..QUERIES).map(|_| query()).collect()
}

/// The answer to a query and its SCOPE.
type Ask<'a> = &'a dyn Fn(Prefix) -> (PopId, u8);

/// A cache, as RFC 7871 has it (section 7.3): an answer is kept for as much of ADDRESS as SCOPE says, but not
/// for more than SOURCE; where SCOPE is longer, for queries of the same SOURCE alone, as for a SOURCE of 0.
#[derive(Default)]
struct Cache {
    kept: HashMap<Prefix, PopId>,
    kept_for_source: HashMap<Prefix, PopId>,
}

impl Cache {
    fn answer(&mut self, query: Prefix, ask: Ask<'_>) -> PopId {
        if let Some(pop) = self.kept_for_source.get(&query) {
            return *pop;
        }
        let wider = (0..=query.len).rev().map(|len| Prefix::new(query.is_v4, query.bits, len));
        if let Some(pop) = wider.filter(|_| query.len > 0).find_map(|network| self.kept.get(&network)) {
            return *pop;
        }
        let (pop, scope) = ask(query);
        if scope > query.len || query.len == 0 {
            self.kept_for_source.insert(query, pop);
        } else {
            self.kept.insert(Prefix::new(query.is_v4, query.bits, scope), pop);
        }
        pop
    }

    /// How many clients get another answer than who asks himself, with the cache filled in some orders.
    fn differences(queries: &[Prefix], random: &mut Random, ask: Ask<'_>) -> usize {
        let mut queries = queries.to_vec();
        let mut wrong = 0;
        for _ in 0..ORDERS {
            random.shuffle(&mut queries);
            let mut cache = Self::default();
            wrong += queries.iter().filter(|query| cache.answer(**query, ask) != ask(**query).0).count();
        }
        wrong
    }
}

#[test]
fn answers_divide_the_addresses_and_no_cache_mixes_them() {
    let mut random = Random(7871);
    let (mut of_matches, mut scopes) = (0, HashSet::new());
    for _ in 0..MAPS {
        let rules = Rules::new(&mut random);
        let tailor = rules.tailor();
        let trees = [true, false].map(|is_v4| rules.tree(is_v4));
        let summary = tailor.summaries().next().unwrap();
        assert_eq!(summary.blocks, [trees[0].leaves(), trees[1].leaves()]);
        let queries = queries(&mut random, &rules);
        let ask = |query: Prefix| {
            let asking = Asking { peer: RESOLVER.parse().unwrap(), id: 7, subnet: Some(query.subnet()) };
            let choice = tailor.choose(0, &asking);
            (choice.pop, choice.scope)
        };
        let by_resolver = match rules.has(Prefix::new(true, 0xC000_0235 << 96, 32)) {
            Has::Pop(pop) => pop,
            Has::Nothing | Has::Special(_) => SFO,
        };
        for query in &queries {
            let expected = match (query.len, rules.has(full(*query))) {
                (1.., Has::Pop(pop)) => pop,
                _ => by_resolver,
            };
            let depth = trees[usize::from(!query.is_v4)].depth(*query);
            let scope = if query.len == 0 { 0 } else { depth };
            assert_eq!(
                ask(*query),
                (expected, scope),
                "{}/{} by {:?}",
                query.address(),
                query.len,
                rules.rules
            );
            scopes.insert((query.is_v4, scope));
        }
        assert_eq!(Cache::differences(&queries, &mut random, &ask), 0);
        // What a server does that says the length of the rule that matched, or 0.
        let of_match = |query: Prefix| {
            let matches = rules.rules.keys().filter(|rule| rule.has(full(query)));
            (ask(query).0, matches.map(|rule| rule.len).max().unwrap_or(0))
        };
        if of_matches == 0 {
            of_matches += Cache::differences(&queries[..200], &mut random, &of_match);
        }
    }
    assert!(of_matches > 0, "the cache sees answers that overlap");
    assert!(scopes.len() > 100, "many lengths are there: {}", scopes.len());
}

/// The address of a subnet.
fn full(query: Prefix) -> Prefix {
    Prefix { len: if query.is_v4 { 32 } else { 128 }, ..query }
}
