//! What clients would get if nothing had been learned: a decision has to be better than that.

use std::net::IpAddr;
use std::sync::Arc;

use super::subject::{Place, km};
use crate::limits::LIST_LEN_MAX;
use crate::nets::places::continent;
use crate::problem::Problem;
use crate::tailor::spec::{List, Map, Pool, Pop, Spec, Spread};
use crate::tailor::{Asking, PopId, Tailor};

/// A map without what was learned.
#[derive(Debug)]
pub struct Unlearned {
    tailor: Tailor,
}

impl Unlearned {
    /// Reads all that this map names but what was learned of resolvers and, where that cannot be read, of
    /// places.
    ///
    /// # Errors
    /// Every mistake in the files.
    pub fn new(spec: &Spec, map: usize) -> Result<Self, Vec<Problem>> {
        let alone = |spec: &Spec| Spec {
            pops: spec.pops.clone(),
            maps: vec![Map { learned: None, ..spec.maps[map].clone() }],
            pools: vec![Pool {
                name: String::new(),
                place: String::new(),
                map: 0,
                variants: (0..spec.pops.len()).map(|pop| pop as PopId).collect(),
                spread: Spread::First,
            }],
        };
        let read = |spec: &Spec| Tailor::new(&alone(spec), Arc::default());
        let tailor = read(spec).or_else(|_| read(&spec.without_learned()))?;
        Ok(Self { tailor })
    }

    /// What a resolver gets.
    #[must_use]
    pub fn of_resolver(&self, resolver: IpAddr) -> PopId {
        self.tailor.choose(0, &Asking { peer: resolver, id: 0, subnet: None }).pop
    }

    /// What a client in a place gets, as far as no network is told: by its country, its continent, and what
    /// is nearest.
    #[must_use]
    pub fn of_place(&self, place: Place) -> PopId {
        let Spec { pops, maps, .. } = self.tailor.spec();
        of_place(&maps[0], pops, place)
    }
}

fn of_place(map: &Map, pops: &[Pop], place: Place) -> PopId {
    let of = |lists: &[([u8; 2], List)], code: [u8; 2]| {
        lists.iter().find(|(listed, _)| *listed == code).and_then(|(_, list)| list.first().copied())
    };
    let by_country = place.country.and_then(|code| of(&map.by_country, code));
    let by_continent = || place.country.and_then(continent).and_then(|code| of(&map.by_continent, code));
    let nearest = || {
        let here = place.at.filter(|_| (1..=LIST_LEN_MAX).contains(&map.nearest))?.middle();
        let away = pops.iter().zip(0..).filter_map(|(pop, id)| Some((km(here, pop.at?), id)));
        away.min_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, id)| id)
    };
    let found = by_country.or_else(by_continent).or_else(nearest);
    found.or_else(|| map.default.first().copied()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::subject::Degrees;

    #[test]
    fn a_place_gets_what_its_country_has_or_what_is_near() {
        let folder = tempfile::tempdir().unwrap();
        let resolvers = folder.path().join("resolvers.txt");
        std::fs::write(&resolvers, "192.0.2.1/32 fra\n").unwrap();
        let learned = folder.path().join("learned.map");
        std::fs::write(&learned, "192.0.2.2/32 fra\n").unwrap();
        let pop = |name: &str, at| Pop { name: name.to_owned(), at: Some(at) };
        let list = |pop| List::from_iter([pop]);
        let map = Map { resolvers: vec![resolvers], learned: Some(learned), ..Map::new("world", list(1)) };
        let pops = vec![pop("sfo", [37.6, -122.4]), pop("nrt", [35.8, 140.4]), pop("fra", [50.0, 8.6])];
        let spec = Spec { pops, maps: vec![map], pools: Vec::new() };
        let unlearned = Unlearned::new(&spec, 0).unwrap();
        let of_resolver = |text: &str| unlearned.of_resolver(text.parse().unwrap());
        assert_eq!((of_resolver("192.0.2.1"), of_resolver("192.0.2.2")), (2, 1));
        let by_country = vec![(*b"NZ", list(2))];
        let by_continent = vec![(*b"SA", list(2))];
        let map = Map { by_country, by_continent, nearest: 2, ..spec.maps[0].clone() };
        let of = |country: &[u8; 2], at| of_place(&map, &spec.pops, Place { country: Some(*country), at });
        assert_eq!(of(b"NZ", Degrees::new(-36.8, 174.8)), 2);
        assert_eq!(of(b"BR", Degrees::new(-23.6, -46.6)), 2);
        assert_eq!(of(b"US", Degrees::new(37.3, -121.9)), 0);
        assert_eq!(of(b"US", None), 1);
    }
}
