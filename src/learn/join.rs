//! The two sides of a beacon, joined: which resolver asked for a ticket's name, and which client brought it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;

use super::observation::{DAY, Observation};
use super::subject::{Degrees, Place};
use super::ticket::{Key, Network, Nonce, Unfit};
use crate::limits::{BEACON_FILTER_BITS, BEACON_JOIN_MAX, NONCES_MAX};
use crate::nets::places::Places;

/// What became of a hit: the values of [`BEACON`](crate::stats::client_labels::BEACON).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fate {
    /// Both sides are there.
    Joined,
    /// Its ticket is too old.
    Late,
    /// No resolver asked for it.
    Unknown,
    /// It was brought before.
    Twice,
    /// We have not given its ticket.
    Mac,
    /// Its ticket was given to another network.
    Network,
    /// A queue was full.
    Full,
}

/// A hit: a client has brought its ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The label of the ticket's name.
    pub label: Vec<u8>,
    /// The client.
    pub client: IpAddr,
    /// What it measured, by PoP, in milliseconds.
    pub rtts: BTreeMap<String, u32>,
}

/// What sides are judged by. A reload may change all of it.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What makes tickets ours.
    pub key: Key,
    /// Only resolvers whose address is proven count.
    pub over_tcp: bool,
    /// Where clients are.
    pub places: Places,
}

/// What is known of a ticket.
#[derive(Debug)]
enum Known {
    /// A resolver asked for its name.
    Seen { resolver: IpAddr, sends_subnet: bool },
    /// A client brought it.
    Brought { client: IpAddr, rtts: BTreeMap<String, u32> },
    /// Both.
    Joined,
}

/// Waits for the other side of each beacon.
#[derive(Debug, Default)]
pub struct Join {
    known: HashMap<Nonce, Known>,
    /// All of them, the oldest first, with the time until which they wait.
    ages: VecDeque<(u64, Nonce)>,
    filter: Filter,
    /// Fates to be counted.
    fates: Vec<Fate>,
}

impl Join {
    /// A resolver has asked for the name of this label. Of several that do, the first counts. What others ask
    /// for, and what is late, is passed over.
    pub fn see(
        &mut self,
        label: &[u8],
        resolver: IpAddr,
        sends_subnet: bool,
        now: u64,
        terms: &Terms,
    ) -> Option<Observation> {
        self.forget(now);
        let nonce = Nonce::read(label)?;
        terms.key.check_given(&nonce, now).ok()?;
        let resolver = resolver.to_canonical();
        match self.known.get_mut(&nonce) {
            Some(known @ Known::Brought { .. }) => {
                let Known::Brought { client, rtts } = std::mem::replace(known, Known::Joined) else {
                    return None;
                };
                self.joined(resolver, sends_subnet, client, rtts, now, terms)
            }
            Some(Known::Seen { .. } | Known::Joined) => None,
            None => {
                // One that has no room is counted when its client comes: as unknown.
                self.wait(nonce, Known::Seen { resolver, sends_subnet }, now);
                None
            }
        }
    }

    /// A client has brought its ticket.
    pub fn hit(&mut self, hit: Hit, now: u64, terms: &Terms) -> Option<Observation> {
        self.forget(now);
        let Hit { label, client, rtts } = hit;
        let nonce = Nonce::read(&label).ok_or(Unfit::Proof);
        let checked = nonce.and_then(|nonce| {
            terms.key.check(&nonce, now, Network::of(client))?;
            Ok(nonce)
        });
        let nonce = match checked {
            Ok(nonce) => nonce,
            Err(unfit) => {
                self.fates.push(match unfit {
                    Unfit::Proof => Fate::Mac,
                    Unfit::Late => Fate::Late,
                    Unfit::Network => Fate::Network,
                });
                return None;
            }
        };
        match self.known.get_mut(&nonce) {
            Some(known @ Known::Seen { .. }) => {
                let Known::Seen { resolver, sends_subnet } = std::mem::replace(known, Known::Joined) else {
                    return None;
                };
                self.joined(resolver, sends_subnet, client, rtts, now, terms)
            }
            Some(Known::Brought { .. } | Known::Joined) => {
                self.fates.push(Fate::Twice);
                None
            }
            None => {
                if !self.wait(nonce, Known::Brought { client, rtts }, now) {
                    self.fates.push(Fate::Full);
                }
                None
            }
        }
    }

    /// What became of hits since the last time.
    pub fn take_fates(&mut self) -> Vec<Fate> {
        std::mem::take(&mut self.fates)
    }

    /// Waits for the other side, if there is room.
    fn wait(&mut self, nonce: Nonce, known: Known, now: u64) -> bool {
        let has_room = self.known.len() < NONCES_MAX;
        if has_room {
            self.known.insert(nonce, known);
            self.ages.push_back((now + BEACON_JOIN_MAX.as_secs(), nonce));
        }
        has_room
    }

    /// Forgets what has waited long enough: by then no ticket of its age is taken.
    pub fn forget(&mut self, now: u64) {
        while let Some((_, nonce)) = self.ages.pop_front_if(|(until, _)| *until < now) {
            if let Some(Known::Brought { .. }) = self.known.remove(&nonce) {
                self.fates.push(Fate::Unknown);
            }
        }
    }

    /// What is observed: nothing where this network was seen to use this resolver today. This is the last
    /// that anybody knows of the client.
    fn joined(
        &mut self,
        resolver: IpAddr,
        sends_subnet: bool,
        client: IpAddr,
        rtts: BTreeMap<String, u32>,
        now: u64,
        terms: &Terms,
    ) -> Option<Observation> {
        self.fates.push(Fate::Joined);
        let network = Network::of(client);
        if !self.filter.is_new(now / DAY, resolver, network) {
            return None;
        }
        let found = terms.places.place(client);
        let is_code = |code: &[u8; 2]| code.iter().all(u8::is_ascii_uppercase);
        let at = found.at.and_then(|[north, east]| Degrees::new(north, east));
        let place = Place { country: found.country.filter(is_code), at };
        let group = terms.key.group(network);
        Some(Observation { time: now, resolver, place, asn: found.asn, group, sends_subnet, rtts })
    }
}

/// Bytes that it takes at most, where what a client measured takes so many.
pub(super) fn memory_len(measured: usize) -> usize {
    // A table has half of its places free, and a list has doubled.
    let each = 2 * (size_of::<(Nonce, Known)>() + 1) + 2 * size_of::<(u64, Nonce)>() + measured;
    NONCES_MAX * each + (BEACON_FILTER_BITS / 8) as usize
}

/// Which client networks were seen to use which resolver today: a Bloom filter, whose key nobody knows and
/// which is forgotten every day. Of a full one nobody can tell who is in it.
#[derive(Debug, Default)]
struct Filter {
    day: u64,
    hasher: RandomState,
    /// None before the first one.
    bits: Vec<u64>,
}

impl Filter {
    /// Bits of each that is in it.
    const EACH: u64 = 6;

    fn is_new(&mut self, day: u64, resolver: IpAddr, network: Network) -> bool {
        if day != self.day || self.bits.is_empty() {
            *self =
                Self { day, hasher: RandomState::new(), bits: vec![0; (BEACON_FILTER_BITS / 64) as usize] };
        }
        let hash = self.hasher.hash_one((resolver, network));
        let (mut at, step) = (hash, hash.rotate_left(32) | 1);
        let mut is_new = false;
        for _ in 0..Self::EACH {
            let bit = at % BEACON_FILTER_BITS;
            let word = &mut self.bits[(bit / 64) as usize];
            is_new |= *word >> (bit % 64) & 1 == 0;
            *word |= 1 << (bit % 64);
            at = at.wrapping_add(step);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BEACON_KEY_LEN;

    const NOW: u64 = 1_795_824_000;

    fn key() -> Key {
        Key::new([7; BEACON_KEY_LEN])
    }

    fn terms() -> Terms {
        Terms { key: key(), over_tcp: false, places: Places::default() }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn ticket(number: u32, client: &str) -> Vec<u8> {
        let [a, b, c, d] = number.to_be_bytes();
        key().ticket(NOW, [a, b, c, d, 0, 0], Network::of(ip(client))).to_string().into_bytes()
    }

    fn see(join: &mut Join, label: &[u8], resolver: &str, now: u64) -> Option<Observation> {
        join.see(label, ip(resolver), false, now, &terms())
    }

    fn hit(join: &mut Join, label: &[u8], client: &str, now: u64) -> Option<Observation> {
        let hit = Hit { label: label.to_vec(), client: ip(client), rtts: [("nrt".to_owned(), 9)].into() };
        join.hit(hit, now, &terms())
    }

    #[test]
    fn either_side_may_come_first() {
        let mut join = Join::default();
        let (one, other) = (ticket(1, "198.51.100.1"), ticket(2, "203.0.113.1"));
        assert_eq!(see(&mut join, &one, "192.0.2.1", NOW), None);
        // Another address of the same resolver, or the same one for another type.
        assert_eq!(see(&mut join, &one, "192.0.2.2", NOW), None);
        let observed = hit(&mut join, &one, "198.51.100.77", NOW + 60).unwrap();
        assert_eq!((observed.resolver, observed.time), (ip("192.0.2.1"), NOW + 60));
        assert_eq!((observed.rtts["nrt"], observed.sends_subnet), (9, false));
        assert_eq!(hit(&mut join, &other, "203.0.113.1", NOW + 60), None);
        let upper = other.to_ascii_uppercase();
        assert!(join.see(&upper, ip("::ffff:192.0.2.1"), true, NOW + 60, &terms()).unwrap().sends_subnet);
        assert_eq!(join.take_fates(), [Fate::Joined, Fate::Joined]);
        // Each only once.
        assert_eq!(hit(&mut join, &one, "198.51.100.1", NOW + 60), None);
        assert_eq!(see(&mut join, &other, "192.0.2.1", NOW + 60), None);
        assert_eq!(join.take_fates(), [Fate::Twice]);
    }

    #[test]
    fn each_fate_is_told() {
        let mut join = Join::default();
        let label = ticket(1, "198.51.100.1");
        hit(&mut join, b"nonsense", "198.51.100.1", NOW);
        hit(&mut join, &label, "203.0.113.1", NOW);
        hit(&mut join, &label, "198.51.100.1", NOW + 61);
        assert_eq!(join.take_fates(), [Fate::Mac, Fate::Network, Fate::Late]);
        hit(&mut join, &label, "198.51.100.1", NOW + 2);
        hit(&mut join, &label, "198.51.100.1", NOW + 2);
        assert_eq!(join.take_fates(), [Fate::Twice]);
        join.forget(NOW + 62);
        assert_eq!(join.take_fates(), []);
        join.forget(NOW + 63);
        assert_eq!(join.take_fates(), [Fate::Unknown]);
        assert!(join.known.is_empty() && join.ages.is_empty());
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut join = Join::default();
        for number in 0..NONCES_MAX as u32 {
            assert_eq!(see(&mut join, &ticket(number, "198.51.100.1"), "192.0.2.1", NOW), None);
        }
        let late = ticket(u32::MAX, "198.51.100.1");
        hit(&mut join, &late, "198.51.100.1", NOW);
        assert_eq!((join.take_fates(), join.known.len()), (vec![Fate::Full], NONCES_MAX));
        join.forget(NOW + 61);
        assert!(join.known.is_empty());
    }

    #[test]
    fn a_network_counts_once_a_day_for_a_resolver() {
        let mut join = Join::default();
        let mut count = |clients: &[&str], resolver: &str, day: u64| {
            let now = NOW + day * DAY;
            let seen = clients.iter().zip(0..).filter(|(client, number)| {
                let random = [*number, day as u8, resolver.len() as u8, 1, 1, 1];
                let label = key().ticket(now, random, Network::of(ip(client))).to_string();
                let seen = see(&mut join, label.as_bytes(), resolver, now);
                seen.or_else(|| hit(&mut join, label.as_bytes(), client, now)).is_some()
            });
            seen.count()
        };
        let clients = ["198.51.100.1", "198.51.100.2", "198.51.101.1", "2001:db8::1", "2001:db8:0:1::1"];
        assert_eq!(count(&clients, "192.0.2.1", 0), 3);
        assert_eq!(count(&clients, "192.0.2.111", 0), 3);
        assert_eq!(count(&clients, "192.0.2.1", 1), 3);
        assert_eq!(count(&["198.51.100.9"; 200], "192.0.2.1", 1), 0);
    }

    #[test]
    fn others_are_seldom_taken_for_each_other() {
        let mut filter = Filter::default();
        let resolver = ip("192.0.2.1");
        let network = |number: u32| Network::of(IpAddr::from((number << 8).to_be_bytes()));
        let new = (0..200_000).filter(|number| filter.is_new(1, resolver, network(*number))).count();
        assert!(new >= 199_990, "{new}");
        assert!((0..200_000).all(|number| !filter.is_new(1, resolver, network(number))));
    }
}
