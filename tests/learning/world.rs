//! A synthetic world: cities with people, PoPs at airports, resolvers that work for people near them, in
//! their region, or on another continent. The network detours by chance: the nearest is not always the best.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use as112d::learn::observation::{DAY, Observation};
use as112d::learn::subject::{Degrees, Place};
use as112d::tailor::PopId;
use as112d::tailor::spec::Pop;

use crate::mutate::Dice;

/// Where people live: name, country, degrees north and east, millions.
pub const CITIES: [(&str, &[u8; 2], f64, f64, u32); 52] = [
    ("Tokyo", b"JP", 35.7, 139.7, 37),
    ("Osaka", b"JP", 34.7, 135.5, 19),
    ("Seoul", b"KR", 37.6, 127.0, 25),
    ("Beijing", b"CN", 39.9, 116.4, 20),
    ("Shanghai", b"CN", 31.2, 121.5, 27),
    ("Guangzhou", b"CN", 23.1, 113.3, 19),
    ("Hong Kong", b"HK", 22.3, 114.2, 7),
    ("Taipei", b"TW", 25.0, 121.5, 9),
    ("Manila", b"PH", 14.6, 121.0, 14),
    ("Jakarta", b"ID", -6.2, 106.8, 31),
    ("Singapore", b"SG", 1.3, 103.8, 6),
    ("Kuala Lumpur", b"MY", 3.1, 101.7, 8),
    ("Bangkok", b"TH", 13.8, 100.5, 15),
    ("Ho Chi Minh City", b"VN", 10.8, 106.7, 9),
    ("Dhaka", b"BD", 23.8, 90.4, 21),
    ("Kolkata", b"IN", 22.6, 88.4, 15),
    ("Delhi", b"IN", 28.6, 77.2, 31),
    ("Mumbai", b"IN", 19.1, 72.9, 21),
    ("Bangalore", b"IN", 13.0, 77.6, 13),
    ("Karachi", b"PK", 24.9, 67.0, 16),
    ("Dubai", b"AE", 25.2, 55.3, 4),
    ("Riyadh", b"SA", 24.7, 46.7, 8),
    ("Tehran", b"IR", 35.7, 51.4, 9),
    ("Istanbul", b"TR", 41.0, 29.0, 16),
    ("Moscow", b"RU", 55.8, 37.6, 17),
    ("Kyiv", b"UA", 50.5, 30.5, 3),
    ("Warsaw", b"PL", 52.2, 21.0, 3),
    ("Berlin", b"DE", 52.5, 13.4, 4),
    ("Frankfurt", b"DE", 50.1, 8.7, 3),
    ("Amsterdam", b"NL", 52.4, 4.9, 3),
    ("Paris", b"FR", 48.9, 2.4, 11),
    ("London", b"GB", 51.5, -0.1, 14),
    ("Madrid", b"ES", 40.4, -3.7, 7),
    ("Milan", b"IT", 45.5, 9.2, 5),
    ("Stockholm", b"SE", 59.3, 18.1, 2),
    ("Cairo", b"EG", 30.0, 31.2, 21),
    ("Lagos", b"NG", 6.5, 3.4, 15),
    ("Nairobi", b"KE", -1.3, 36.8, 5),
    ("Johannesburg", b"ZA", -26.2, 28.0, 10),
    ("Sydney", b"AU", -33.9, 151.2, 5),
    ("Auckland", b"NZ", -36.8, 174.8, 2),
    ("San Jose", b"US", 37.3, -121.9, 8),
    ("Los Angeles", b"US", 34.1, -118.2, 18),
    ("Seattle", b"US", 47.6, -122.3, 4),
    ("Dallas", b"US", 32.8, -96.8, 8),
    ("Chicago", b"US", 41.9, -87.6, 10),
    ("New York", b"US", 40.7, -74.0, 20),
    ("Miami", b"US", 25.8, -80.2, 6),
    ("Mexico City", b"MX", 19.4, -99.1, 22),
    ("Bogota", b"CO", 4.7, -74.1, 11),
    ("Sao Paulo", b"BR", -23.6, -46.6, 22),
    ("Buenos Aires", b"AR", -34.6, -58.4, 15),
];

const TOKYO: usize = 0;
const OSAKA: usize = 1;
pub const SAN_JOSE: usize = 41;
const LOS_ANGELES: usize = 42;

/// Airports with a PoP.
pub const POPS: [(&str, f64, f64); 20] = [
    ("nrt", 35.8, 140.4),
    ("icn", 37.5, 126.4),
    ("hkg", 22.3, 113.9),
    ("sin", 1.4, 104.0),
    ("bom", 19.1, 72.9),
    ("del", 28.6, 77.1),
    ("dxb", 25.3, 55.4),
    ("ist", 41.3, 28.7),
    ("fra", 50.0, 8.6),
    ("lhr", 51.5, -0.5),
    ("mad", 40.5, -3.6),
    ("arn", 59.7, 17.9),
    ("jnb", -26.1, 28.2),
    ("los", 6.6, 3.3),
    ("syd", -33.9, 151.2),
    ("sfo", 37.6, -122.4),
    ("dfw", 32.9, -97.0),
    ("iad", 38.9, -77.5),
    ("mia", 25.8, -80.3),
    ("gru", -23.4, -46.5),
];

/// What a resolver is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It stands in San Jose: 42 % of its users are in Tokyo, 20 % in Osaka, 38 % in California.
    Story,
    /// Most of its users are near.
    Local,
    /// They are in its country's part of the world.
    Regional,
    /// They are on another continent.
    Misplaced,
}

/// A resolver and its users.
#[derive(Clone, Debug)]
pub struct Resolver {
    pub kind: Kind,
    pub address: IpAddr,
    /// The city that it stands in.
    pub home: usize,
    /// Its users by city, as parts of 1.
    pub users: Vec<(usize, f64)>,
    /// Client networks seen a day.
    pub beacons: usize,
}

pub struct World {
    pub resolvers: Vec<Resolver>,
    /// Milliseconds from each city to each PoP.
    pub rtts: Vec<Vec<f64>>,
    pub seed: u64,
}

pub fn pops() -> Vec<Pop> {
    POPS.iter().map(|(name, north, east)| Pop { name: (*name).into(), at: Some([*north, *east]) }).collect()
}

fn chance(dice: &mut Dice) -> f64 {
    (dice.roll() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Chance with the shape of a bell: mean 0, variance 1 (Box and Muller).
fn bell(dice: &mut Dice) -> f64 {
    let (one, two) = (chance(dice).max(1e-12), chance(dice));
    (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos()
}

/// One of these, by their weights.
fn weighted(dice: &mut Dice, weights: impl Iterator<Item = (usize, f64)> + Clone) -> usize {
    let mut left = chance(dice) * weights.clone().map(|(_, weight)| weight).sum::<f64>();
    let mut last = 0;
    for (which, weight) in weights {
        last = which;
        left -= weight;
        if left < 0.0 {
            break;
        }
    }
    last
}

pub fn km(one: [f64; 2], other: [f64; 2]) -> f64 {
    let [north, east] = one.map(f64::to_radians);
    let [other_north, other_east] = other.map(f64::to_radians);
    let cosine =
        north.sin() * other_north.sin() + north.cos() * other_north.cos() * (east - other_east).cos();
    6371.0 * cosine.clamp(-1.0, 1.0).acos()
}

fn at(city: usize) -> [f64; 2] {
    [CITIES[city].2, CITIES[city].3]
}

pub fn nearest(place: [f64; 2]) -> usize {
    let away = |pop: usize| km(place, [POPS[pop].1, POPS[pop].2]);
    (0..POPS.len()).min_by(|one, other| away(*one).total_cmp(&away(*other))).expect("there are PoPs")
}

/// What a client in a place gets where nothing is measured.
pub fn of_place(place: Place) -> PopId {
    place.at.map_or(0, |at| nearest(at.middle()) as PopId)
}

impl World {
    /// A thousand resolvers; `sigma` is how much the network detours.
    pub fn new(seed: u64, sigma: f64) -> Self {
        let mut dice = Dice::new(seed);
        let rtts = (0..CITIES.len())
            .map(|city| {
                let rtt = |(_, north, east): &(&str, f64, f64)| {
                    8.0 + km(at(city), [*north, *east]) * 0.015 * (sigma * bell(&mut dice)).exp()
                };
                POPS.iter().map(rtt).collect()
            })
            .collect();
        let resolvers = (0..1000).map(|number| resolver(&mut dice, number)).collect();
        Self { resolvers, rtts, seed }
    }

    /// What each resolver gets where nothing is learned: the PoP that is nearest to it.
    pub fn base(&self) -> BTreeMap<IpAddr, PopId> {
        self.resolvers
            .iter()
            .map(|resolver| (resolver.address, nearest(at(resolver.home)) as PopId))
            .collect()
    }

    /// What is observed on a day, one in `thin` of it, in the order of time.
    pub fn day(&self, day: u64, thin: usize) -> Vec<Observation> {
        let mut dice = Dice::new(self.seed ^ (day << 32) ^ 0xDA);
        let mut seen = Vec::new();
        for resolver in &self.resolvers {
            for _ in 0..resolver.beacons {
                if thin > 1 && !dice.once_in(thin) {
                    continue;
                }
                let city = weighted(&mut dice, resolver.users.iter().copied());
                seen.push(self.observation(&mut dice, resolver.address, city, day));
            }
        }
        seen.sort_by_key(|observation| observation.time);
        seen
    }

    /// A user in a city, who has measured the nearest PoP and another.
    pub fn observation(&self, dice: &mut Dice, resolver: IpAddr, city: usize, day: u64) -> Observation {
        let [north, east] = at(city);
        let mut rtts = BTreeMap::new();
        for pop in [nearest(at(city)), dice.below(POPS.len())] {
            let noise = 1.0 + 0.1 * chance(dice);
            #[expect(clippy::cast_sign_loss, reason = "times are positive")]
            let rtt = (self.rtts[city][pop] * noise).round() as u32;
            rtts.insert(POPS[pop].0.to_owned(), rtt);
        }
        Observation {
            time: day * DAY + dice.below(DAY as usize) as u64,
            resolver,
            place: Place { country: Some(*CITIES[city].1), at: Degrees::new(north, east) },
            asn: None,
            group: dice.below(1 << 16) as u16,
            sends_subnet: false,
            rtts,
        }
    }

    /// The mean time of a resolver's users to a PoP.
    pub fn time(&self, resolver: &Resolver, pop: usize) -> f64 {
        resolver.users.iter().map(|(city, part)| part * self.rtts[*city][pop]).sum()
    }

    /// The PoP that is best for a resolver's users.
    pub fn best(&self, resolver: &Resolver) -> usize {
        let time = |pop: &usize| self.time(resolver, *pop);
        (0..POPS.len()).min_by(|one, other| time(one).total_cmp(&time(other))).expect("there are PoPs")
    }

    /// The mean time of all users where each resolver gets what `gets` says.
    pub fn mean(&self, gets: impl Fn(&Resolver) -> usize) -> f64 {
        let users = |resolver: &Resolver| resolver.beacons as f64;
        let time = |resolver: &Resolver| users(resolver) * self.time(resolver, gets(resolver));
        self.resolvers.iter().map(time).sum::<f64>() / self.resolvers.iter().map(users).sum::<f64>()
    }

    /// The time that half of the users of these resolvers have at most.
    pub fn median(&self, kind: Kind, gets: impl Fn(&Resolver) -> usize) -> f64 {
        let mut times = Vec::new();
        for resolver in self.resolvers.iter().filter(|resolver| resolver.kind == kind) {
            let pop = gets(resolver);
            let users = resolver.beacons as f64;
            times.extend(resolver.users.iter().map(|(city, part)| (self.rtts[*city][pop], users * part)));
        }
        times.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut left = times.iter().map(|time| time.1).sum::<f64>() / 2.0;
        let half = times.iter().find(|(_, part)| {
            left -= part;
            left <= 0.0
        });
        half.expect("somebody is there").0
    }
}

fn resolver(dice: &mut Dice, number: usize) -> Resolver {
    let people = || CITIES.iter().enumerate().map(|(city, of)| (city, f64::from(of.4)));
    let kind = match number {
        0 => Kind::Story,
        1..=700 => Kind::Local,
        701..=900 => Kind::Regional,
        _ => Kind::Misplaced,
    };
    let home = if kind == Kind::Story { SAN_JOSE } else { weighted(dice, people()) };
    let away = |city: usize| km(at(home), at(city));
    // So many of them live within so many kilometres of a city, the others anywhere.
    let spread = |near: f64, centre: usize, within: f64| {
        let parts = |is_wanted: bool| {
            let is_inside = |city: usize| km(at(centre), at(city)) < within;
            let of: Vec<_> = people().filter(|(city, _)| is_inside(*city) == is_wanted).collect();
            let sum: f64 = of.iter().map(|(_, weight)| weight).sum();
            (of, sum)
        };
        let ((inside, inner), (outside, outer)) = (parts(true), parts(false));
        let inside = inside.into_iter().map(move |(city, weight)| (city, near * weight / inner));
        let outside = outside.into_iter().map(move |(city, weight)| (city, (1.0 - near) * weight / outer));
        inside.chain(outside).collect::<Vec<_>>()
    };
    let users = match kind {
        Kind::Story => vec![(TOKYO, 0.42), (OSAKA, 0.20), (SAN_JOSE, 0.19), (LOS_ANGELES, 0.19)],
        Kind::Local => {
            let mut users = spread(0.98, home, 2500.0);
            users.iter_mut().for_each(|(_, part)| *part *= 0.1);
            users.push((home, 0.9));
            users
        }
        Kind::Regional => spread(0.98, home, 2500.0),
        Kind::Misplaced => {
            let abroad = people().filter(|(city, _)| (5000.0..10_000.0).contains(&away(*city)));
            let there = weighted(dice, abroad.collect::<Vec<_>>().into_iter());
            spread(0.95, there, 600.0)
        }
    };
    // Few are large, most are small.
    #[expect(clippy::cast_sign_loss, reason = "it is at least 1")]
    let beacons = match kind {
        Kind::Story => 100,
        _ => (12.0 * bell(dice).exp()).clamp(1.0, 200.0) as usize,
    };
    let address = Ipv4Addr::from(0x0B00_0001 + ((number as u32) << 8));
    Resolver { kind, address: address.into(), home, users, beacons }
}
