//! What is known of resolvers and places, in bounded memory. It fades by the day, and two of them add up.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::heavy::{Heavy, ONE, decayed};
use super::observation::Observation;
use super::rtt::Histogram;
use super::subject::{Place, Subject};
use crate::limits::{LEARN_PLACE_SAMPLES, LEARNED_MAX, PLACES_MAX, POPS_MAX, RTTS_MAX};

/// After so many days nothing is left of the greatest weight.
const FADED_DAYS: u32 = 128;

/// Who was seen to use a resolver, or in a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Where they are.
    pub places: Heavy<Place>,
    /// Which groups of networks they come from.
    pub groups: Heavy<u16>,
    /// The last day on which one was seen, in days of Unix time.
    pub seen: u32,
}

impl Evidence {
    fn note(&mut self, place: Place, group: u16, weight: u32, day: u32) {
        self.places.add(place, weight);
        self.groups.add(group, weight);
        self.seen = self.seen.max(day);
    }

    /// Adds those of another.
    pub(super) fn merge(&mut self, other: &Self) {
        self.places.merge(&other.places);
        self.groups.merge(&other.groups);
        self.seen = self.seen.max(other.seen);
    }

    fn decay(&mut self) {
        self.places.decay();
        self.groups.decay();
    }

    /// Client networks, as weight.
    #[must_use]
    pub fn weight(&self) -> u64 {
        self.places.sum()
    }
}

/// What was decided of a subject, and what is wished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The PoP that it gets; `None` for what it would get if nothing were learned.
    pub pop: Option<String>,
    /// The day of the last change.
    pub since: u32,
    /// The PoP that would be better, or `None` as above; and since when that is so, in seconds of Unix time.
    pub wish: Option<(Option<String>, u64)>,
}

/// What was decided of the subjects of one map.
pub type Decisions = BTreeMap<Subject, Decision>;

/// All that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The day that all weights are of, in days of Unix time.
    pub(super) day: u32,
    /// How much of which file of observations was read, in bytes.
    pub read: BTreeMap<String, u64>,
    /// By resolver.
    pub(super) resolvers: BTreeMap<IpAddr, Evidence>,
    /// By country, place and autonomous system.
    pub(super) places: BTreeMap<Subject, Evidence>,
    /// The PoPs that have times.
    pub(super) pops: Vec<String>,
    /// By place, or country where there is no more of it, or autonomous system; and PoP.
    pub(super) rtts: BTreeMap<(Subject, u8), Histogram>,
    /// By the name of the map.
    pub(super) decisions: BTreeMap<String, Decisions>,
}

/// Where the times of a place are kept.
pub(super) fn spot(place: Place) -> Option<Subject> {
    place.at.map(Subject::Place).or_else(|| place.country.map(Subject::Country))
}

impl State {
    /// The day that all weights are of, in days of Unix time; 0 if nothing is known.
    #[must_use]
    pub fn day(&self) -> u32 {
        self.day
    }

    /// How many resolvers something is known of.
    #[must_use]
    pub fn resolvers(&self) -> usize {
        self.resolvers.len()
    }

    /// Adds what was observed.
    pub fn add(&mut self, observation: &Observation) {
        let day = observation.day();
        self.turn_to(day);
        let age = self.day - day;
        let weight = decayed(ONE, age);
        if weight == 0 {
            return;
        }
        let &Observation { resolver, place, asn, group, sends_subnet, .. } = observation;
        // What a resolver says of its clients goes before what was learned of it.
        if !sends_subnet {
            self.resolvers.entry(resolver).or_default().note(place, group, weight, day);
        }
        let country = place.country.map(Subject::Country);
        let of_as = asn.map(Subject::As);
        for subject in [country, place.at.map(Subject::Place), of_as].into_iter().flatten() {
            self.places.entry(subject).or_default().note(place, group, weight, day);
        }
        let is_large =
            |subject: &Subject| self.places[subject].weight() >= LEARN_PLACE_SAMPLES * u64::from(ONE);
        let measured = [spot(place), of_as.filter(is_large)];
        for (name, &ms) in &observation.rtts {
            let Some(pop) = self.pop(name) else { continue };
            for subject in measured.into_iter().flatten() {
                self.rtts.entry((subject, pop)).or_default().add(ms, age);
            }
        }
        self.keep_within_bounds();
    }

    /// The number of a PoP, if there may be one more.
    pub(super) fn pop(&mut self, name: &str) -> Option<u8> {
        if let Some(at) = self.pops.iter().position(|pop| pop == name) {
            return Some(at as u8);
        }
        (self.pops.len() < POPS_MAX).then(|| {
            self.pops.push(name.to_owned());
            (self.pops.len() - 1) as u8
        })
    }

    /// The times of a subject to a PoP.
    pub(super) fn times(&self, subject: Subject, pop: &str) -> Option<&Histogram> {
        let at = self.pops.iter().position(|known| known == pop)?;
        self.rtts.get(&(subject, at as u8))
    }

    /// Lets days go by until `day`, if it is not over yet.
    pub fn turn_to(&mut self, day: u32) {
        let days = day.saturating_sub(self.day);
        self.day = self.day.max(day);
        for _ in 0..days.min(FADED_DAYS) {
            for evidence in self.resolvers.values_mut().chain(self.places.values_mut()) {
                evidence.decay();
            }
            for histogram in self.rtts.values_mut() {
                histogram.decay();
            }
            self.rtts.retain(|_, histogram| !histogram.is_empty());
        }
    }

    /// Adds what another knows; where both have decided, this one's holds.
    pub fn merge(&mut self, mut other: Self) {
        self.turn_to(other.day);
        other.turn_to(self.day);
        for (resolver, evidence) in &other.resolvers {
            self.resolvers.entry(*resolver).or_default().merge(evidence);
        }
        for (subject, evidence) in &other.places {
            self.places.entry(*subject).or_default().merge(evidence);
        }
        for ((subject, pop), histogram) in &other.rtts {
            if let Some(pop) = self.pop(&other.pops[usize::from(*pop)]) {
                self.rtts.entry((*subject, pop)).or_default().merge(histogram);
            }
        }
        for (map, decisions) in other.decisions {
            let mine = self.decisions.entry(map).or_default();
            for (subject, decision) in decisions {
                mine.entry(subject).or_insert(decision);
            }
        }
        self.keep_within_bounds();
    }

    /// The lightest go where there are too many: some at once, as to find them takes a look at all.
    fn keep_within_bounds(&mut self) {
        prune(&mut self.resolvers, LEARNED_MAX, Evidence::weight);
        prune(&mut self.places, PLACES_MAX, Evidence::weight);
        prune(&mut self.rtts, RTTS_MAX, Histogram::samples);
    }
}

/// Removes the lightest once there are more than `max` and an eighth.
fn prune<K: Copy + Ord, V>(map: &mut BTreeMap<K, V>, max: usize, weight: impl Fn(&V) -> u64) {
    if map.len() <= max + max / 8 {
        return;
    }
    let mut weights: Vec<(u64, K)> = map.iter().map(|(key, value)| (weight(value), *key)).collect();
    weights.sort_unstable();
    for (_, key) in &weights[..weights.len() - max] {
        map.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::observation::DAY;

    fn observation(time: u64, resolver: [u8; 4]) -> Observation {
        let place = Place { country: Some(*b"JP"), at: crate::learn::subject::degrees(36, 140) };
        Observation {
            time,
            resolver: resolver.into(),
            place,
            asn: Some(64_500),
            group: 7,
            sends_subnet: false,
            rtts: [("nrt".to_owned(), 9)].into(),
        }
    }

    #[test]
    fn late_observations_count_what_is_left_of_them() {
        let mut early = State::default();
        early.add(&observation(20 * DAY, [192, 0, 2, 1]));
        early.add(&observation(23 * DAY, [192, 0, 2, 1]));
        let mut late = State::default();
        late.add(&observation(23 * DAY, [192, 0, 2, 1]));
        late.add(&observation(20 * DAY, [192, 0, 2, 1]));
        assert_eq!(early, late);
        let evidence = &early.resolvers[&IpAddr::from([192, 0, 2, 1])];
        assert_eq!((evidence.weight(), evidence.seen), (u64::from(ONE + decayed(ONE, 3)), 23));
        late.add(&observation(23 * DAY - 200 * DAY / 20, [192, 0, 2, 2]));
        late.turn_to(2000);
        assert_eq!(late.resolvers[&IpAddr::from([192, 0, 2, 1])].weight(), 0);
        assert!(late.rtts.is_empty());
    }

    #[test]
    fn a_resolver_that_says_its_clients_feeds_places_only() {
        let mut state = State::default();
        state.add(&Observation { sends_subnet: true, ..observation(DAY, [192, 0, 2, 1]) });
        assert_eq!((state.resolvers(), state.places.len(), state.rtts.len()), (0, 3, 1));
        assert_eq!(state.times(Subject::Country(*b"JP"), "nrt"), None, "it has a place of its own");
    }

    #[test]
    fn the_lightest_go() {
        let mut map: BTreeMap<u32, u64> = (0..9).map(|key| (key, u64::from(key % 3))).collect();
        prune(&mut map, 8, |weight| *weight);
        assert_eq!(map.len(), 9, "an eighth more is let in");
        map.insert(9, 5);
        prune(&mut map, 8, |weight| *weight);
        assert_eq!(map.keys().copied().collect::<Vec<_>>(), [1, 2, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn states_add_up() {
        let (mut both, mut one, mut other) = (State::default(), State::default(), State::default());
        for number in 0..40_u8 {
            let observation = observation(DAY * u64::from(number % 7 + 1), [192, 0, 2, number % 5]);
            both.add(&observation);
            if number < 20 { one.add(&observation) } else { other.add(&observation) }
        }
        one.merge(other);
        for (resolver, evidence) in &both.resolvers {
            assert!(evidence.weight().abs_diff(one.resolvers[resolver].weight()) < 8, "but for rounding");
        }
        assert_eq!(both.resolvers.len(), one.resolvers.len());
    }
}
