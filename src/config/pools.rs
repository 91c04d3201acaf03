//! Names that have an address for each PoP, and names that say who asks: `[[pool]]` and `[identity_zone]`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::maps::{Table, number};
use super::pops::Pop;
use super::written::{Count, Given, Label, Line, Mistake, Names, Origin, Text, Time, Written, choice};
use crate::dns::name::Name;
use crate::limits::{
    IDENTITY_NAMES_MAX, POOL_ADDRESSES_MAX, POOL_NAMES_MAX, POOL_TTL, POOLS_MAX, TAILORED_TTL_CEILING_MS,
    WEIGHT_MAX,
};
use crate::serve::snapshot::IdentityZone;
use crate::tailor::spec::{self, Map, Spread};
use crate::zone::{self, Special, SpecialEntry, SpecialKind};

type Ttl = Time<0, TAILORED_TTL_CEILING_MS>;
type Weight = Count<1, WEIGHT_MAX>;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    First,
    Weighted,
}

impl Written for Kind {
    const EXPECTED: &'static str = "\"first\" or \"weighted\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &[("first", Self::First), ("weighted", Self::Weighted)])
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a [[pool]] block")]
pub(super) struct PoolSpec {
    name: Given<Label>,
    map: Given<Label>,
    names: Vec<Given<Line>>,
    ttl: Option<Given<Ttl>>,
    spread: Option<Given<Kind>>,
    addresses: Table<Label, Vec<Given<IpAddr>>>,
    #[serde(default)]
    weights: Table<Label, Given<Weight>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [identity_zone] section")]
pub(super) struct IdentityZoneSpec {
    names: Vec<Given<Line>>,
    ttl: Given<Ttl>,
    map: Option<Given<Label>>,
}

impl Default for IdentityZoneSpec {
    fn default() -> Self {
        Self { names: Vec::new(), ttl: Given::default(Time(Duration::ZERO)), map: None }
    }
}

/// What a pool that has no names of its own is called: no other has such a name.
const IDENTITY: &str = "[identity_zone]";

/// Pools as they are made, in all rooms that have a part of them.
#[derive(Default)]
pub(super) struct Made {
    /// As `tailor` has them.
    pub(super) chosen: Vec<spec::Pool>,
    /// As `zone` has them.
    pub(super) served: Vec<zone::Pool>,
    /// The names.
    pub(super) specials: Vec<SpecialEntry>,
    /// What says who asks.
    pub(super) identity: Option<IdentityZone>,
}

/// Makes pools and notes mistakes.
pub(super) struct Maker<'a> {
    pub(super) pops: &'a [Pop],
    pub(super) maps: &'a [Map],
    /// What seems to be absent is absent.
    pub(super) read_whole: bool,
    /// Spells out where something stands.
    pub(super) place: &'a dyn Fn(Origin) -> String,
    pub(super) mistakes: &'a mut Vec<Mistake>,
}

impl Maker<'_> {
    /// All pools and the names that say who asks.
    pub(super) fn make(mut self, specs: Vec<Spanned<PoolSpec>>, identity: IdentityZoneSpec) -> Made {
        if let Some(one) = specs.get(POOLS_MAX) {
            let message = format!("more than {POOLS_MAX} pools; put names with the same addresses into one");
            self.mistake(one.get_ref().name.origin, message);
        }
        let mut made = Made::default();
        let (mut pools, mut taken) = (Names::new("pool"), BTreeMap::new());
        for (spec, at) in specs.into_iter().take(POOLS_MAX).zip(0..) {
            let origin = Origin::File(spec.span().start);
            let spec = spec.into_inner();
            pools.take(&spec.name, self.mistakes);
            let (chosen, served) = self.pool(&spec, origin);
            let by = format!("is in the pool {}", chosen.name);
            if let Some(one) = spec.names.get(POOL_NAMES_MAX) {
                let message = format!("a pool has at most {POOL_NAMES_MAX} names; make another pool");
                self.mistake(one.origin, message);
            }
            if spec.names.is_empty() && self.read_whole {
                self.mistake(origin, format!("the pool {} has no names; list one in `names`", chosen.name));
            }
            let names = spec.names.into_iter().take(POOL_NAMES_MAX);
            made.specials
                .extend(names.filter_map(|name| self.special(name, SpecialKind::Pool(at), &by, &mut taken)));
            made.chosen.push(chosen);
            made.served.push(served);
        }
        made.identity = self.identity(identity, &mut made, &mut taken);
        made
    }

    fn mistake(&mut self, origin: Origin, message: impl Into<String>) {
        self.mistakes.push(Mistake::new(origin, message));
    }

    fn pool(&mut self, spec: &PoolSpec, origin: Origin) -> (spec::Pool, zone::Pool) {
        let name = spec.name.value.0.clone();
        let map = self.map(&spec.map);
        let mut variants = Vec::new();
        for (pop, addresses) in &spec.addresses.0 {
            let Some(pop_at) = number(pop, self.pops, self.read_whole, self.mistakes) else { continue };
            self.check_addresses(pop, addresses);
            let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.value).collect();
            // That it has none was told.
            if !addresses.is_empty() {
                variants.push((pop_at as u8, addresses));
            }
        }
        // In the order of the PoPs, whatever the order in the file.
        variants.sort_unstable_by_key(|(pop, _)| *pop);
        if spec.addresses.0.is_empty() && self.read_whole {
            self.mistake(origin, format!("the pool {name} has no addresses; give those of a PoP"));
        }
        if self.read_whole {
            self.check_families(&name, origin, &variants);
        }
        if let Some(map) = map.map(|map| &self.maps[map])
            && self.read_whole
            && !(map.default.is_empty() || variants.is_empty())
            && !variants.iter().any(|(pop, _)| map.default.contains(pop))
        {
            let all: Vec<&str> = map.default.iter().map(|&pop| self.name_of(pop)).collect();
            let message = format!(
                "the pool {name} has addresses for no PoP of the default of the map {}, which is {}; give \
                 those of one, so that nobody gets an empty answer",
                map.name,
                all.join(", ")
            );
            self.mistake(origin, message);
        }
        let spread = self.spread(spec, &variants);
        let ttl = spec.ttl.as_ref().map_or(POOL_TTL.as_secs() as u32, |ttl| self.seconds(ttl));
        let (pops, addresses) = variants.into_iter().unzip();
        let place = (self.place)(origin);
        let chosen = spec::Pool { name, place, map: map.unwrap_or_default(), variants: pops, spread };
        (chosen, zone::Pool { ttl, variants: addresses })
    }

    fn name_of(&self, pop: u8) -> &str {
        &self.pops[usize::from(pop)].name
    }

    fn map(&mut self, name: &Given<Label>) -> Option<usize> {
        let found = self.maps.iter().position(|map| map.name == name.value.0);
        if found.is_none() && self.read_whole {
            let message = format!("there is no map `{}`; add a [[map]] block with this name", name.value.0);
            self.mistake(name.origin, message);
        }
        found
    }

    fn check_addresses(&mut self, pop: &Given<Label>, addresses: &[Given<IpAddr>]) {
        if addresses.is_empty() && self.read_whole {
            let message = format!("the PoP {} has no address; give one, or leave it out", pop.value.0);
            self.mistake(pop.origin, message);
        }
        for (at, Given { value, origin }) in addresses.iter().enumerate() {
            if value.is_unspecified() || value.is_multicast() {
                self.mistake(*origin, format!("{value} is not the address of a server; remove it"));
            }
            if addresses[..at].iter().any(|earlier| earlier.value == *value) {
                self.mistake(*origin, format!("{value} is listed twice; remove one"));
            }
            let of_family = addresses[..at].iter().filter(|one| one.value.is_ipv4() == value.is_ipv4());
            if of_family.count() == POOL_ADDRESSES_MAX {
                let message = format!("a PoP has at most {POOL_ADDRESSES_MAX} addresses of a family");
                self.mistake(*origin, message);
            }
        }
    }

    /// A type that one PoP has and another does not would exist for some clients and not for others.
    fn check_families(&mut self, name: &str, origin: Origin, variants: &[(u8, Vec<IpAddr>)]) {
        for (rtype, is_of) in [("A", IpAddr::is_ipv4 as fn(&IpAddr) -> bool), ("AAAA", IpAddr::is_ipv6)] {
            let pop = |has: bool| {
                let of = variants.iter().find(|(_, addresses)| addresses.iter().any(is_of) == has);
                of.map(|&(pop, _)| self.name_of(pop))
            };
            if let (Some(with), Some(without)) = (pop(true), pop(false)) {
                let message = format!(
                    "the pool {name} has {rtype} for {with} and none for {without}; give all PoPs one, or \
                     none: a type that exists must exist for everyone"
                );
                self.mistake(origin, message);
            }
        }
    }

    fn spread(&mut self, spec: &PoolSpec, variants: &[(u8, Vec<IpAddr>)]) -> Spread {
        let kind = spec.spread.as_ref().map(|spread| spread.value).unwrap_or_default();
        if kind == Kind::First {
            if let Some((pop, _)) = spec.weights.0.first() {
                let message = "`weights` are for `spread = \"weighted\"`; remove one of the two";
                self.mistake(pop.origin, message);
            }
            return Spread::First;
        }
        let mut weights = vec![1; variants.len()];
        for (pop, weight) in &spec.weights.0 {
            let Some(number) = number(pop, self.pops, self.read_whole, self.mistakes) else { continue };
            match variants.iter().position(|(one, _)| usize::from(*one) == number) {
                Some(at) => weights[at] = weight.value.0 as u16,
                None if self.read_whole => {
                    let message = format!("the PoP {} has a weight and no addresses; remove it", pop.value.0);
                    self.mistake(pop.origin, message);
                }
                None => {}
            }
        }
        Spread::Weighted(weights)
    }

    fn seconds(&mut self, given: &Given<Ttl>) -> u32 {
        let ttl = given.value.0;
        if ttl.subsec_nanos() != 0 {
            self.mistake(given.origin, "a TTL is whole seconds; give such a number, as in \"60s\"");
        }
        ttl.as_secs() as u32
    }

    /// A name; `taken` has those that have been used, and what for.
    fn special(
        &mut self,
        given: Given<Line>,
        kind: SpecialKind,
        by: &str,
        taken: &mut BTreeMap<(Vec<u8>, bool), String>,
    ) -> Option<SpecialEntry> {
        let Given { value: Text(text), origin } = given;
        let (is_wildcard, bare) = match text.strip_prefix("*.") {
            Some(bare) => (true, bare),
            None => (false, text.as_str()),
        };
        let name: Name = match zone::name_from_text(bare) {
            Ok(name) => name,
            Err(message) => {
                self.mistake(origin, format!("{message}; give a name such as www.example.net"));
                return None;
            }
        };
        if is_wildcard && kind == SpecialKind::Identity {
            let message = format!("names below {bare} say who asks anyway; write `{bare}`");
            self.mistake(origin, message);
        }
        let key = (name.to_lowercase().as_wire().to_vec(), is_wildcard);
        if let Some(earlier) = taken.insert(key, by.to_owned()) {
            self.mistake(origin, format!("{text} {earlier} already; remove one of the two"));
        }
        let special = Special { name, is_wildcard, kind };
        Some(SpecialEntry { special, place: (self.place)(origin) })
    }

    fn identity(
        &mut self,
        spec: IdentityZoneSpec,
        made: &mut Made,
        taken: &mut BTreeMap<(Vec<u8>, bool), String>,
    ) -> Option<IdentityZone> {
        if let Some(one) = spec.names.get(IDENTITY_NAMES_MAX) {
            let message = format!("`names` has more than {IDENTITY_NAMES_MAX} names; remove some");
            self.mistake(one.origin, message);
        }
        let ttl = self.seconds(&spec.ttl);
        let map = spec.map.as_ref().and_then(|map| self.map(map));
        if spec.names.is_empty() {
            return None;
        }
        let names = spec.names.into_iter().take(IDENTITY_NAMES_MAX);
        made.specials
            .extend(names.filter_map(|name| {
                self.special(name, SpecialKind::Identity, "is in [identity_zone]", taken)
            }));
        let pool = map.map(|map| {
            let variants = (0..self.pops.len()).map(|pop| pop as u8).collect();
            let (name, place) = (IDENTITY.to_owned(), String::new());
            made.chosen.push(spec::Pool { name, place, map, variants, spread: Spread::First });
            (made.chosen.len() - 1) as u16
        });
        Some(IdentityZone { ttl, pool })
    }
}
