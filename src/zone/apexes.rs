//! Zones by their apex: eight bytes a zone and a little room, as there may be a million.

use hashbrown::HashTable;

use super::Zone;
use crate::dns::name::{eq_ignore_case, hash, suffixes};

/// The places of zones in the set that they belong to, by apex.
#[derive(Clone, Debug, Default)]
pub struct Apexes {
    /// With half of the hash of each apex: so few names are compared.
    places: HashTable<(u32, u32)>,
    /// How many labels apexes have: the bit of each number. Of a name no other suffixes are looked up.
    depths: u128,
}

impl Apexes {
    /// Those of all `zones`.
    #[must_use]
    pub fn new(zones: &[Zone]) -> Self {
        let mut apexes = Self { places: HashTable::with_capacity(zones.len()), depths: 0 };
        (0..zones.len()).for_each(|place| apexes.insert(zones, place));
        apexes
    }

    /// Adds the zone at `place`. Of two with one apex the first is found.
    pub(super) fn insert(&mut self, zones: &[Zone], place: usize) {
        let apex = zones[place].apex_wire();
        if self.get(zones, apex).is_none() {
            let hash = hash_of(apex);
            self.places.insert_unique(spread(hash), (hash, place as u32), |(hash, _)| spread(*hash));
            self.depths |= 1 << depth(apex);
        }
    }

    /// The place of the zone with that apex, in wire form and whatever its case.
    #[must_use]
    pub fn get(&self, zones: &[Zone], apex: &[u8]) -> Option<usize> {
        let hash = hash_of(apex);
        let is_it = |(other, place): &(u32, u32)| {
            hash == *other && eq_ignore_case(zones[*place as usize].apex_wire(), apex)
        };
        self.places.find(spread(hash), is_it).map(|(_, place)| *place as usize)
    }

    /// The place of the zone with the longest apex at or above `name`, which is in wire form.
    #[must_use]
    pub fn above(&self, zones: &[Zone], name: &[u8]) -> Option<usize> {
        let depths = (0..=depth(name)).rev();
        suffixes(name).zip(depths).find_map(|(suffix, depth)| {
            (self.depths >> depth & 1 == 1).then(|| self.get(zones, suffix)).flatten()
        })
    }
}

/// Labels of a name in wire form, the root not counted: at most 127.
fn depth(name: &[u8]) -> usize {
    suffixes(name).count() - 1
}

fn hash_of(name: &[u8]) -> u32 {
    (hash(name, 0, name.len()) >> 16) as u32
}

/// As a table wants it: its first and its last bits tell.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::super::{Service, name_from_text};
    use super::*;

    #[test]
    fn the_longest_apex_is_found_whatever_its_case() {
        let name = |text: &str| name_from_text(text).unwrap();
        let deep = format!("{}example", "a.".repeat(119));
        let zones: Vec<Zone> = ["example", "b.A.Example", "c.test", &deep, "EXAMPLE"]
            .iter()
            .map(|apex| Zone::new(&name(apex), Service::Configured, &[]))
            .collect();
        let apexes = Apexes::new(&zones);
        for (text, place) in [
            ("example", Some(0)),
            ("eXample", Some(0)),
            ("a.example", Some(0)),
            ("B.a.example", Some(1)),
            ("x.y.b.a.example", Some(1)),
            ("test", None),
            ("c.test", Some(2)),
            (".", None),
            (&format!("a.{deep}"), Some(3)),
        ] {
            assert_eq!(apexes.above(&zones, name(text).as_wire()), place, "{text}");
        }
        assert_eq!(apexes.get(&zones, name("a.example").as_wire()), None);
        let root = [Zone::new(&name("."), Service::Configured, &[])];
        assert_eq!(Apexes::new(&root).above(&root, name("a.b").as_wire()), Some(0));
    }
}
