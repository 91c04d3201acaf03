//! Names by hash: a query is hashed once, from the right, and each of its suffixes is looked up on the way.

use alloc::vec::Vec;

use as112_guest::{Name, NameBuf, StartError};

/// What a name is listed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Blocked = 0,
    Excepted = 1,
}

/// A table of hashes, at most half full; a place with 0 is free. The lowest bit is the entry, and no part of
/// the hash.
pub struct List {
    seed: u64,
    table: Vec<u64>,
    len: usize,
}

const LABELS_MAX: usize = 127;

impl List {
    /// An empty one. Nobody can look for names with the same hash who does not know the seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, table: alloc::vec![0; 64], len: 0 }
    }

    /// Adds the names of a list: one on each line, at its end.
    pub fn read(&mut self, text: &str, entry: Entry) -> Result<(), StartError> {
        for (number, line) in text.split('\n').enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            // In a hosts file an address comes first.
            let name = match line.split_ascii_whitespace().last() {
                Some(name) => name,
                None => continue,
            };
            let name = name.parse::<NameBuf>().map_err(|error| {
                StartError::from(["line ", &decimal(number + 1), ": ", error.message()].concat())
            })?;
            let mut hash = 0;
            self.walk(name.as_name(), |suffix| hash = suffix);
            self.insert(hash, entry);
        }
        Ok(())
    }

    /// What the longest suffix of a name that is listed is listed as.
    pub fn find(&self, name: Name<'_>) -> Option<Entry> {
        let mut found = None;
        self.walk(name, |hash| found = self.get(hash).or(found));
        found
    }

    /// Gives the hash of each suffix of a name, from the root to the whole of it.
    fn walk(&self, name: Name<'_>, mut each: impl FnMut(u64)) {
        let wire = name.as_wire();
        let mut starts = [0_u8; LABELS_MAX + 1];
        let (mut labels, mut at) = (0, 0);
        while let Some(&len @ 1..=63) = wire.get(at) {
            starts[labels & LABELS_MAX] = at as u8;
            labels += 1;
            at += 1 + usize::from(len);
        }
        let mut hash = self.seed;
        each(spread(hash));
        for start in starts[..labels].iter().rev() {
            let start = usize::from(*start);
            let len = usize::from(wire[start]);
            // With its length, so that the boundary counts.
            for byte in &wire[start..=start + len] {
                // FNV-1a.
                hash = (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x100_0000_01B3);
            }
            each(spread(hash));
        }
    }

    fn get(&self, hash: u64) -> Option<Entry> {
        let mask = self.table.len() - 1;
        let mut at = (hash >> 32) as usize & mask;
        loop {
            match self.table[at] {
                0 => return None,
                known if known & !1 == hash => {
                    return Some(if known & 1 == 0 { Entry::Blocked } else { Entry::Excepted })
                }
                _ => at = (at + 1) & mask,
            }
        }
    }

    fn insert(&mut self, hash: u64, entry: Entry) {
        if self.len * 2 >= self.table.len() {
            let larger = alloc::vec![0; self.table.len() * 2];
            for known in core::mem::replace(&mut self.table, larger) {
                if known != 0 {
                    self.put(known);
                }
            }
        }
        self.len += 1;
        self.put(hash | entry as u64);
    }

    /// Puts it at a free place, or over what has the same hash.
    fn put(&mut self, entry: u64) {
        let mask = self.table.len() - 1;
        let mut at = (entry >> 32) as usize & mask;
        while self.table[at] != 0 && self.table[at] & !1 != entry & !1 {
            at = (at + 1) & mask;
        }
        self.table[at] = entry;
    }
}

/// Lets each bit of a hash depend on all; never 0, and even.
fn spread(hash: u64) -> u64 {
    let mixed = (hash ^ hash >> 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 29) & !1 | 2
}

fn decimal(number: usize) -> alloc::string::String {
    let mut digits = Vec::new();
    let mut rest = number;
    loop {
        digits.insert(0, char::from(b'0' + (rest % 10) as u8));
        rest /= 10;
        if rest == 0 {
            return digits.into_iter().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_finds_its_names_and_no_others() {
        let mut list = List::new(0x1234_5678_9ABC_DEF0);
        let names: Vec<String> = (0..50_000).map(|number| format!("n{number}.example")).collect();
        list.read(&names.join("\n"), Entry::Blocked).unwrap();
        for number in 0..50_000 {
            let find = |text: String| list.find(text.parse::<NameBuf>().unwrap().as_name());
            assert_eq!(find(format!("www.n{number}.example")), Some(Entry::Blocked));
            assert_eq!(find(format!("m{number}.example")), None);
        }
        assert!(list.table.len() == 131_072, "{}", list.table.len());
    }

    #[test]
    fn numbers_are_decimal() {
        assert_eq!([decimal(0), decimal(7), decimal(1230)], ["0", "7", "1230"]);
    }
}
