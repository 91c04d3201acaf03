//! What a map is like: what caches make of it.

use super::lists;
use super::map::Compiled;

/// Of each family (IPv4, IPv6) what answers by subnet are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Ranges of addresses that have the same list.
    pub ranges: [usize; 2],
    /// Networks that answers are for: a resolver that asks for every client keeps so many answers.
    pub blocks: [u64; 2],
    /// SCOPE for half of the addresses that are known is this or shorter; `None` where none is known.
    pub median_scope: [Option<u8>; 2],
    /// Networks of the files that are longer than what most resolvers tell: 24 and 56 bits.
    pub unseen: [usize; 2],
    /// Different lists.
    pub lists: usize,
    /// Networks of resolvers that were learned.
    pub learned: usize,
    /// Bytes that the map takes.
    pub memory_len: usize,
}

impl Summary {
    pub(super) fn new(map: &Compiled) -> Self {
        let clients = map.clients();
        let (mut v4, mut v6) = (Lengths::default(), Lengths::default());
        clients.v4.ranges().for_each(|range| range.blocks(&mut |choice, len| v4.add(choice, len)));
        clients.v6.blocks(|choice, len| v6.add(choice, len));
        Self {
            ranges: [clients.v4.len(), clients.v6.len()],
            blocks: [v4.blocks(), v6.blocks()],
            median_scope: [v4.median(), v6.median()],
            unseen: map.unseen,
            lists: map.list_count(),
            learned: map.learned,
            memory_len: map.memory_len(),
        }
    }
}

/// How many blocks there are of each length.
struct Lengths {
    all: [u64; 129],
    /// Of addresses that something is known of.
    known: [u64; 129],
}

impl Default for Lengths {
    fn default() -> Self {
        Self { all: [0; 129], known: [0; 129] }
    }
}

impl Lengths {
    fn add(&mut self, choice: u16, len: u8) {
        self.all[usize::from(len)] += 1;
        self.known[usize::from(len)] += u64::from(choice >= lists::FIRST);
    }

    fn blocks(&self) -> u64 {
        self.all.iter().sum()
    }

    fn median(&self) -> Option<u8> {
        // A block of one bit more has half of the addresses.
        let sizes =
            || (0_u8..).zip(self.known).map(|(len, count)| (len, count as f64 * 0.5_f64.powi(len.into())));
        let half = sizes().map(|(_, size)| size).sum::<f64>() / 2.0;
        let mut sum = 0.0;
        let mut reaches = |size: f64| {
            sum += size;
            half > 0.0 && sum >= half
        };
        sizes().find(|(_, size)| reaches(*size)).map(|(len, _)| len)
    }
}
