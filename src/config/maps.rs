//! Which PoPs an address gets: `[[map]]`.

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use toml::Spanned;

use super::pops::Pop;
use super::written::{Count, Given, Label, Line, Mistake, Names, Origin, Written, choice};
use crate::limits::{DATABASES_MAX, LIST_LEN_MAX, MAP_FILES_MAX, MAPS_MAX};
use crate::problem::edits;
use crate::tailor::spec::{List, Map};

/// A table whose keys are values too, each with its place.
#[derive(Clone, Debug)]
pub(super) struct Table<K, V>(pub(super) Vec<(Given<K>, V)>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, K: Written, V: Deserialize<'de>> Deserialize<'de> for Table<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K, V>(PhantomData<(K, V)>);
        impl<'de, K: Written, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
            type Value = Table<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Table(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// The number of an autonomous system.
#[derive(Clone, Copy, Debug)]
struct AsNumber(u32);

impl Written for AsNumber {
    const EXPECTED: &'static str = "the number of an AS, such as 64500";
    const INTEGER: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|&number| number != 0);
        number.map(Self).ok_or_else(|| format!("`{text}` is not {}", Self::EXPECTED))
    }
}

/// A country.
#[derive(Clone, Copy, Debug)]
struct Country([u8; 2]);

impl Written for Country {
    const EXPECTED: &'static str = "a country code (ISO 3166), such as JP";

    fn read(text: &str) -> Result<Self, String> {
        let code = text.as_bytes().try_into().ok().filter(|code: &[u8; 2]| code.is_ascii());
        let code = code.filter(|code| code.iter().all(u8::is_ascii_uppercase));
        code.map(Self).ok_or_else(|| format!("`{text}` is not {}, in capital letters", Self::EXPECTED))
    }
}

/// A continent.
#[derive(Clone, Copy, Debug)]
struct Continent([u8; 2]);

impl Written for Continent {
    const EXPECTED: &'static str = "a continent: AF, AN, AS, EU, NA, OC or SA";

    fn read(text: &str) -> Result<Self, String> {
        const ALL: [&str; 7] = ["AF", "AN", "AS", "EU", "NA", "OC", "SA"];
        let code = text.as_bytes().try_into().ok().filter(|_| ALL.contains(&text));
        code.map(Self).ok_or_else(|| format!("`{text}` is not {}", Self::EXPECTED))
    }
}

/// Whether client subnets decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subnets {
    Use,
    Ignore,
}

impl Written for Subnets {
    const EXPECTED: &'static str = "\"use\" or \"ignore\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &[("use", Self::Use), ("ignore", Self::Ignore)])
    }
}

/// PoPs in the order of preference, each with its place.
type Listed = Spanned<Vec<Given<Label>>>;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a [[map]] block")]
pub(super) struct MapSpec {
    name: Given<Label>,
    #[serde(default)]
    networks: Vec<Given<Line>>,
    #[serde(default)]
    resolvers: Vec<Given<Line>>,
    learned: Option<Given<Line>>,
    places: Option<Given<Line>>,
    databases: Option<Vec<Given<Line>>>,
    #[serde(default, rename = "as")]
    by_as: Table<AsNumber, Listed>,
    #[serde(default, rename = "country")]
    by_country: Table<Country, Listed>,
    #[serde(default, rename = "continent")]
    by_continent: Table<Continent, Listed>,
    nearest: Option<Given<Count<0, LIST_LEN_MAX>>>,
    default: Option<Listed>,
    ecs: Option<Given<Subnets>>,
}

/// What is around maps.
pub(super) struct Around<'a> {
    /// Where paths begin.
    pub(super) dir: &'a Path,
    /// The PoPs that there are.
    pub(super) pops: &'a [Pop],
    /// The databases of `[sources]`.
    pub(super) databases: &'a [PathBuf],
    /// What seems to be absent is absent.
    pub(super) read_whole: bool,
}

/// All maps; `place` spells out where something stands.
pub(super) fn maps(
    specs: Vec<Spanned<MapSpec>>,
    around: &Around<'_>,
    place: impl Fn(Origin) -> String,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Map> {
    if let Some(one) = specs.get(MAPS_MAX) {
        let origin = one.get_ref().name.origin;
        mistakes.push(Mistake::new(origin, format!("more than {MAPS_MAX} maps; remove some")));
    }
    let mut names = Names::new("map");
    let mut all = Vec::new();
    for spec in specs.into_iter().take(MAPS_MAX) {
        let origin = Origin::File(spec.span().start);
        let spec = spec.into_inner();
        names.take(&spec.name, mistakes);
        all.push(spec.map(origin, place(origin), around, mistakes));
    }
    all
}

impl MapSpec {
    fn map(self, origin: Origin, place: String, around: &Around<'_>, mistakes: &mut Vec<Mistake>) -> Map {
        let name = self.name.value.0;
        let mut mistake = |message: String| mistakes.push(Mistake::new(origin, message));
        let databases = match self.databases {
            Some(_) => Vec::new(),
            None => around.databases.to_vec(),
        };
        let nearest = self.nearest.map_or(0, |nearest| nearest.value.0);
        if around.read_whole {
            if self.default.is_none() {
                let message = "has no default; name at least one PoP, so that nobody gets an empty answer";
                mistake(format!("the map {name} {message}"));
            }
            let by_place = [
                ("as", !self.by_as.0.is_empty()),
                ("country", !self.by_country.0.is_empty()),
                ("continent", !self.by_continent.0.is_empty()),
                ("nearest", nearest > 0),
            ];
            let is_blind = self.databases.as_ref().map_or(databases.is_empty(), Vec::is_empty);
            if let Some((key, _)) = by_place.into_iter().find(|(_, is_there)| *is_there && is_blind) {
                mistake(format!(
                    "the map {name} has `{key}`, and no database says where a network is; name one in \
                     `databases`, here or in [sources]"
                ));
            }
            if nearest > 0 && around.pops.iter().all(|pop| pop.at.is_none()) {
                mistake(format!("the map {name} has `nearest`, and no PoP has `at`; say where PoPs are"));
            }
        }
        let mut files = Files { dir: around.dir, mistakes };
        let (networks, resolvers) = (
            files.all("networks", self.networks, MAP_FILES_MAX),
            files.all("resolvers", self.resolvers, MAP_FILES_MAX),
        );
        let databases = match self.databases {
            Some(given) => files.all("databases", given, DATABASES_MAX),
            None => databases,
        };
        let one = |given: Option<Given<Line>>| given.map(|path| around.dir.join(path.value.0));
        let mut list = |given: &Listed| list(given, around, mistakes);
        Map {
            name,
            place,
            networks,
            resolvers,
            learned: one(self.learned),
            places: one(self.places),
            databases,
            by_as: self.by_as.0.iter().map(|(number, given)| (number.value.0, list(given))).collect(),
            by_country: self.by_country.0.iter().map(|(code, given)| (code.value.0, list(given))).collect(),
            by_continent: self
                .by_continent
                .0
                .iter()
                .map(|(code, given)| (code.value.0, list(given)))
                .collect(),
            nearest,
            default: self.default.as_ref().map(list).unwrap_or_default(),
            uses_subnets: self.ecs.is_none_or(|ecs| ecs.value == Subnets::Use),
        }
    }
}

struct Files<'a> {
    dir: &'a Path,
    mistakes: &'a mut Vec<Mistake>,
}

impl Files<'_> {
    fn all(&mut self, key: &str, given: Vec<Given<Line>>, max: usize) -> Vec<PathBuf> {
        if let Some(one) = given.get(max) {
            let message = format!("`{key}` has {} files, over the limit of {max}; remove some", given.len());
            self.mistakes.push(Mistake::new(one.origin, message));
        }
        given.into_iter().map(|path| self.dir.join(path.value.0)).collect()
    }
}

/// The PoPs of a list.
fn list(given: &Listed, around: &Around<'_>, mistakes: &mut Vec<Mistake>) -> List {
    let names = given.get_ref();
    if names.is_empty() && around.read_whole {
        let message = "the list is empty; name at least one PoP";
        mistakes.push(Mistake::new(Origin::File(given.span().start), message));
    }
    if let Some(one) = names.get(LIST_LEN_MAX) {
        let message = format!("a list has at most {LIST_LEN_MAX} PoPs; remove some");
        mistakes.push(Mistake::new(one.origin, message));
    }
    let mut list = List::new();
    for name in names.iter().take(LIST_LEN_MAX) {
        let Some(pop) = number(name, around.pops, around.read_whole, mistakes) else { continue };
        if list.contains(&(pop as u8)) {
            let message = format!("the PoP {} is listed twice; remove one", name.value.0);
            mistakes.push(Mistake::new(name.origin, message));
        }
        list.push(pop as u8);
    }
    list
}

/// Which PoP that is, by its place.
pub(super) fn number(
    name: &Given<Label>,
    pops: &[Pop],
    read_whole: bool,
    mistakes: &mut Vec<Mistake>,
) -> Option<usize> {
    let Given { value: Label(name), origin } = name;
    let found = pops.iter().position(|pop| pop.name == *name);
    if found.is_none() && read_whole {
        let likely = pops.iter().map(|pop| (edits(name, &pop.name), &pop.name)).min();
        let likely = likely.filter(|(distance, _)| *distance <= 1 + name.len() / 4);
        let message = match likely {
            Some((_, likely)) => format!("there is no PoP `{name}`; did you mean `{likely}`?"),
            None => format!("there is no PoP `{name}`; add a [[pop]] block with this name"),
        };
        mistakes.push(Mistake::new(*origin, message));
    }
    found
}
