//! What follows from where an address is: lists by measured place, AS, country, continent and distance.

use std::collections::HashMap;
use std::net::IpAddr;

use super::choice::Layer;
use super::facts::Fact;
use super::lists::Lists;
use super::nearest::Nearest;
use super::spec::{Map, Pop};
use crate::nets::places::{Database, Place, Places};
use crate::nets::{Key, Step, file};
use crate::problem::Problem;

/// The lists of a map by what is known of a place.
#[derive(Debug)]
pub(super) struct Geography {
    /// The choice, and the line where it stands if it is from a file.
    by: HashMap<(Layer, Fact), (u16, u32)>,
    nearest: Nearest,
}

/// The steps that databases make, of both families.
#[derive(Debug, Default)]
pub(super) struct BothSteps {
    pub(super) v4: Vec<Step<u32>>,
    pub(super) v6: Vec<Step<u128>>,
}

impl Geography {
    pub(super) fn new(map: &Map, pops: &[Pop], lists: &mut Lists<'_>, problems: &mut Vec<Problem>) -> Self {
        let mut by = HashMap::new();
        if let Some(path) = &map.places {
            file::read(path, true, problems, |line| {
                let (fact, choice) = (Fact::read(line.key)?, lists.read(line.value)?);
                let (first, number) = *by.entry((Layer::Places, fact)).or_insert((choice, line.number));
                if first == choice {
                    return Ok(());
                }
                Err(format!("{} stands on line {number} with another list; take one out", line.key))
            });
        }
        let configured = (map.by_as.iter().map(|(number, list)| (Layer::As, Fact::As(*number), list)))
            .chain(map.by_country.iter().map(|(code, list)| (Layer::Country, Fact::Country(*code), list)))
            .chain(
                map.by_continent.iter().map(|(code, list)| (Layer::Continent, Fact::Continent(*code), list)),
            );
        for (layer, fact, list) in configured {
            match lists.choice(list) {
                Ok(choice) => drop(by.insert((layer, fact), (choice, 0))),
                Err(message) => problems.push(Problem { place: map.place.clone(), message }),
            }
        }
        Self { by, nearest: Nearest::new(pops, map.nearest) }
    }

    /// Nothing of it needs a database.
    pub(super) fn is_empty(&self) -> bool {
        self.by.is_empty() && self.nearest.is_empty()
    }

    /// What there is for a place, the layer that decides first. Of the nearest there is no fact.
    pub(super) fn of(&self, place: &Place, lists: &mut Lists<'_>) -> Result<Vec<Told>, String> {
        let facts = Fact::of(place);
        let told =
            [Layer::Places, Layer::As, Layer::Country, Layer::Continent].into_iter().filter_map(|layer| {
                let mut of_layer = facts.into_iter().flatten();
                of_layer.find_map(|fact| {
                    let (choice, line) = *self.by.get(&(layer, fact))?;
                    Some(Told { layer, fact: Some(fact), choice, line })
                })
            });
        let mut told: Vec<Told> = told.collect();
        if let Some(list) = place.at.and_then(|at| self.nearest.list(at)) {
            told.push(Told { layer: Layer::Nearest, fact: None, choice: lists.choice(&list)?, line: 0 });
        }
        Ok(told)
    }

    /// What all networks that databases know get.
    pub(super) fn steps(&self, places: &Places, lists: &mut Lists<'_>) -> Result<BothSteps, String> {
        let mut matters = Matters::default();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for database in places.databases() {
            let (of_v4, of_v6) = self.walk(database, &mut matters, lists)?;
            (v4, v6) = (matters.both(&v4, &of_v4), matters.both(&v6, &of_v6));
        }
        let told = matters.all.iter().map(|matter| self.decide(*matter)).collect::<Vec<_>>();
        Ok(BothSteps { v4: decided(&v4, &told), v6: decided(&v6, &told) })
    }

    /// What one database knows, as far as it matters.
    fn walk(
        &self,
        database: &Database,
        matters: &mut Matters,
        lists: &mut Lists<'_>,
    ) -> Result<(Marks<u32>, Marks<u128>), String> {
        let (mut v4, mut v6) = (Marks::new(), Marks::new());
        // Networks share records.
        let mut seen: HashMap<usize, u32> = HashMap::new();
        for known in database.networks() {
            let known = known?;
            let number = match seen.get(&known.offset) {
                Some(number) => *number,
                None => {
                    let number = matters.number(self.matter(&known.place()?, lists)?);
                    seen.insert(known.offset, number);
                    number
                }
            };
            match known.first {
                IpAddr::V4(first) => mark(&mut v4, first.to_bits(), known.len, number),
                IpAddr::V6(first) => mark(&mut v6, first.to_bits(), known.len, number),
            }
        }
        Ok((v4, v6))
    }

    /// What of a place matters.
    fn matter(&self, place: &Place, lists: &mut Lists<'_>) -> Result<Matter, String> {
        let [asn, square, country, continent] = Fact::of(place);
        // Of what is known and has no list it only matters that it is known.
        let listed = |fact: Option<Fact>, layers: &[Layer]| {
            fact.map(|fact| {
                Some(fact).filter(|_| layers.iter().any(|layer| self.by.contains_key(&(*layer, fact))))
            })
        };
        let nearest = match place.at.and_then(|at| self.nearest.list(at)) {
            Some(list) => lists.choice(&list)?,
            None => 0,
        };
        Ok(Matter {
            asn: listed(asn, &[Layer::Places, Layer::As]),
            at: listed(square, &[Layer::Places]).map(|square| (square, nearest)),
            country: listed(country, &[Layer::Places, Layer::Country]),
            continent: listed(continent, &[Layer::Continent]),
        })
    }

    /// The choice of a place, and the layer that has it.
    fn decide(&self, matter: Matter) -> (u16, u8) {
        let (square, nearest) = matter.at.unwrap_or_default();
        let [asn, country, continent] = [matter.asn, matter.country, matter.continent].map(Option::flatten);
        let asked = [
            (Layer::Places, asn),
            (Layer::Places, square),
            (Layer::Places, country),
            (Layer::As, asn),
            (Layer::Country, country),
            (Layer::Continent, continent),
        ];
        let choice =
            asked.into_iter().find_map(|(layer, fact)| Some((self.by.get(&(layer, fact?))?.0, layer)));
        let (choice, layer) = choice.unwrap_or((nearest, Layer::Nearest));
        (choice, layer as u8)
    }
}

/// What a layer has for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) layer: Layer,
    pub(super) fact: Option<Fact>,
    pub(super) choice: u16,
    pub(super) line: u32,
}

/// As much of a place as decides. Outside, whether a database knows it; inside, whether a list is of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Matter {
    asn: Option<Option<Fact>>,
    /// The degree, and the choice of the nearest.
    at: Option<(Option<Fact>, u16)>,
    country: Option<Option<Fact>>,
    continent: Option<Option<Fact>>,
}

impl Matter {
    /// As [`Place::or`].
    fn or(self, other: Self) -> Self {
        Self {
            asn: self.asn.or(other.asn),
            at: self.at.or(other.at),
            country: self.country.or(other.country),
            continent: self.continent.or(other.continent),
        }
    }
}

/// From each address on the number of what matters there.
type Marks<K> = Vec<(K, u32)>;

/// Notes a network, which comes after all that were noted.
fn mark<K: Key>(marks: &mut Marks<K>, first: K, len: u8, number: u32) {
    let mut put = |first: K, number: u32| {
        marks.pop_if(|last| last.0 == first);
        if marks.last().map_or(0, |last| last.1) != number {
            marks.push((first, number));
        }
    };
    put(first, number);
    if let Some(next) = first.last(len).after() {
        put(next, 0);
    }
}

/// What marks decide. Of a mark that decides as the one before there is no step.
fn decided<K: Key>(marks: &Marks<K>, told: &[(u16, u8)]) -> Vec<Step<K>> {
    let steps = marks.iter().map(|(first, number)| {
        let (choice, tag) = told.get(*number as usize).copied().unwrap_or_default();
        Step { first: *first, choice, tag }
    });
    let mut steps: Vec<Step<K>> = steps.collect();
    steps.dedup_by_key(|step| step.choice);
    steps.shrink_to_fit();
    steps
}

/// All that matters anywhere, by numbers; 0 is nothing.
#[derive(Debug)]
struct Matters {
    all: Vec<Matter>,
    numbers: HashMap<Matter, u32>,
    /// What two databases together know.
    joined: HashMap<(u32, u32), u32>,
}

impl Default for Matters {
    fn default() -> Self {
        let nothing = Matter::default();
        Self { all: vec![nothing], numbers: HashMap::from([(nothing, 0)]), joined: HashMap::new() }
    }
}

impl Matters {
    fn number(&mut self, matter: Matter) -> u32 {
        *self.numbers.entry(matter).or_insert_with(|| {
            self.all.push(matter);
            (self.all.len() - 1) as u32
        })
    }

    fn join(&mut self, one: u32, other: u32) -> u32 {
        if one == 0 || other == 0 {
            return one.max(other);
        }
        if let Some(joined) = self.joined.get(&(one, other)) {
            return *joined;
        }
        let joined = self.number(self.all[one as usize].or(self.all[other as usize]));
        self.joined.insert((one, other), joined);
        joined
    }

    /// What two databases know; where both know something, the first one's word counts.
    fn both<K: Key>(&mut self, one: &Marks<K>, other: &Marks<K>) -> Marks<K> {
        let mut marks = Marks::new();
        let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
        let (mut of_one, mut of_other) = (0, 0);
        while let Some(first) = one.peek().into_iter().chain(other.peek()).map(|mark| mark.0).min() {
            of_one = one.next_if(|mark| mark.0 == first).map_or(of_one, |mark| mark.1);
            of_other = other.next_if(|mark| mark.0 == first).map_or(of_other, |mark| mark.1);
            let number = self.join(of_one, of_other);
            if marks.last().map_or(0, |last: &(K, u32)| last.1) != number {
                marks.push((first, number));
            }
        }
        marks
    }
}
