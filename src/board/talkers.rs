//! Who asks most just now, and for what: from the sample of the last one or two minutes, in bounded memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use crate::limits::{TALKERS_SHOWN, TALKERS_TOLD_APART_MAX};
use crate::stats::qname::Qname;

/// Bits that are kept of an address, IPv4 and IPv6. No whole address is kept.
const NETWORK_BITS: (u8, u8) = (24, 48);

/// The network of an address, which is all that is kept of it.
#[must_use]
pub fn network(source: IpAddr) -> IpNet {
    let bits = if source.is_ipv4() { NETWORK_BITS.0 } else { NETWORK_BITS.1 };
    IpNet::new(source, bits).expect("no address is shorter").trunc()
}

/// Those of now. One thread adds, any may read; those that serve do neither.
#[derive(Debug, Default)]
pub struct Talkers(Mutex<Minutes>);

/// What was sampled in this minute, and in the one before.
#[derive(Debug, Default)]
pub struct Minutes {
    minute: u64,
    current: Sampled,
    before: Sampled,
}

#[derive(Debug, Default)]
struct Sampled {
    networks: Frequent<IpNet>,
    names: Frequent<Qname>,
}

/// The most frequent ones, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Top {
    /// Networks that asked.
    pub networks: Ranking,
    /// Names that were asked for.
    pub names: Ranking,
}

/// The most frequent values of a sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranking {
    /// How many there are of each, at least.
    pub largest: Vec<(String, u64)>,
    /// Of how many.
    pub samples: u64,
}

impl Talkers {
    fn minutes(&self) -> MutexGuard<'_, Minutes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where samples of `now`, in seconds of Unix time, are added.
    pub fn at(&self, now: u64) -> MutexGuard<'_, Minutes> {
        let mut minutes = self.minutes();
        if minutes.minute != now / 60 {
            minutes.minute = now / 60;
            minutes.before = std::mem::take(&mut minutes.current);
        }
        minutes
    }

    /// The most frequent ones as of now.
    #[must_use]
    pub fn top(&self) -> Top {
        let minutes = self.minutes();
        let Minutes { current, before, .. } = &*minutes;
        Top {
            networks: Ranking::of([&current.networks, &before.networks]),
            names: Ranking::of([&current.names, &before.names]),
        }
    }
}

impl Minutes {
    /// A query came from `source`.
    pub fn add_source(&mut self, source: IpAddr) {
        self.current.networks.add(network(source));
    }

    /// It asked for `name`.
    pub fn add_name(&mut self, name: Qname) {
        self.current.names.add(name);
    }
}

impl Ranking {
    fn of<K: Copy + Eq + Hash + ToString>(minutes: [&Frequent<K>; 2]) -> Self {
        let mut sums = HashMap::<K, u64>::new();
        for (key, count) in minutes.iter().flat_map(|minute| &minute.counts) {
            *sums.entry(*key).or_default() += count;
        }
        let mut all: Vec<(K, u64)> = sums.into_iter().collect();
        if all.len() > TALKERS_SHOWN {
            all.select_nth_unstable_by_key(TALKERS_SHOWN - 1, |(_, count)| std::cmp::Reverse(*count));
            all.truncate(TALKERS_SHOWN);
        }
        let mut largest: Vec<_> = all.into_iter().map(|(key, count)| (key.to_string(), count)).collect();
        largest.sort_by(|(key, count), (other_key, other)| other.cmp(count).then_with(|| key.cmp(other_key)));
        Self { largest, samples: minutes.iter().map(|minute| minute.samples).sum() }
    }
}

/// The most frequent of any number of values (Misra and Gries, 1982): whatever is more than one in
/// [`TALKERS_TOLD_APART_MAX`] is here, counted short by no more than that part of all.
#[derive(Debug)]
struct Frequent<K> {
    counts: HashMap<K, u64>,
    samples: u64,
}

impl<K> Default for Frequent<K> {
    fn default() -> Self {
        Self { counts: HashMap::new(), samples: 0 }
    }
}

impl<K: Eq + Hash> Frequent<K> {
    fn add(&mut self, key: K) {
        self.samples += 1;
        if self.counts.len() < TALKERS_TOLD_APART_MAX || self.counts.contains_key(&key) {
            *self.counts.entry(key).or_default() += 1;
            return;
        }
        // Each takes one from all, itself included: that is paid for by those that were added before.
        self.counts.retain(|_, count| {
            *count -= 1;
            *count > 0
        });
    }
}

/// Bytes of all of it.
#[must_use]
pub const fn memory_len() -> usize {
    // A hash map is at most 7/8 full; beside those of two minutes there is their sum.
    let entries = (TALKERS_TOLD_APART_MAX * 8 / 7).next_power_of_two();
    4 * entries * (size_of::<(IpNet, u64)>() + size_of::<(Qname, u64)>() + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> Qname {
        let label = format!("{number:08}");
        let question = [&[8], label.as_bytes(), b"\0\0\x0c\0\x01"].concat();
        Qname::of(&[&[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], &question[..]].concat()).unwrap()
    }

    #[test]
    fn the_largest_come_first_with_what_they_are_parts_of() {
        let talkers = Talkers::default();
        let mut minutes = talkers.at(60);
        for (source, times) in
            [("192.0.2.1", 2), ("198.51.100.9", 5), ("2001:db8:1:2::3", 3), ("192.0.2.2", 2)]
        {
            (0..times).for_each(|_| minutes.add_source(source.parse().unwrap()));
        }
        drop(minutes);
        let networks = talkers.top().networks;
        let largest: Vec<_> = networks.largest.iter().map(|(net, count)| (net.as_str(), *count)).collect();
        assert_eq!(largest, [("198.51.100.0/24", 5), ("192.0.2.0/24", 4), ("2001:db8:1::/48", 3)]);
        assert_eq!((networks.samples, talkers.top().names), (12, Ranking::default()));
    }

    #[test]
    fn what_was_before_the_last_minute_is_forgotten() {
        let talkers = Talkers::default();
        let samples = || talkers.top().names.samples;
        talkers.at(61).add_name(name(1));
        talkers.at(119).add_name(name(1));
        talkers.at(120).add_name(name(2));
        assert_eq!(samples(), 3);
        assert_eq!(talkers.top().names.largest[0], ("00000001.".to_owned(), 2));
        drop(talkers.at(180));
        assert_eq!(samples(), 1);
        drop(talkers.at(240));
        assert_eq!(talkers.top(), Top::default());
    }

    /// A flood of names that are asked for once each does not hide one that is asked for often, whenever that
    /// begins; and takes no more memory.
    #[test]
    fn what_is_frequent_is_found_among_any_number_of_others() {
        let talkers = Talkers::default();
        let mut minutes = talkers.at(0);
        let flood = 20 * TALKERS_TOLD_APART_MAX;
        for number in 0..flood {
            minutes.add_name(name(1000 + number));
            if number > flood / 2 && number % 10 == 0 {
                minutes.add_name(name(7));
            }
            assert!(minutes.current.names.counts.len() <= TALKERS_TOLD_APART_MAX);
        }
        drop(minutes);
        let Ranking { largest, samples } = talkers.top().names;
        let asked = flood as u64 / 20 - 1;
        let (found, count) = &largest[0];
        assert_eq!((found.as_str(), largest.len()), ("00000007.", TALKERS_SHOWN));
        let short = samples / TALKERS_TOLD_APART_MAX as u64 + 1;
        assert!((asked - short..=asked).contains(count), "{count} of {asked}");
    }
}
