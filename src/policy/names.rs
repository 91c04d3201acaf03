//! All names that rules list, in one table: one pass over the labels of a query finds the longest of them
//! that is at or above its name, and with it every list that the name is in, however many there are.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use super::classes::{Class, Classes};
use crate::dns::consts::HEADER_LEN;
use crate::dns::name::{Name, Walk, hash, is_but_for_case};

/// A name that some rule lists.
#[derive(Clone, Debug)]
struct Node {
    hash: u64,
    /// In lower case, in `Names::bytes`.
    start: u32,
    len: u8,
    /// The lists that the name itself is in.
    exact: Class,
    /// The lists that names below it are in, unless a longer name is found.
    below: Class,
}

/// The table.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// Open addressing by hash: an index into `nodes` plus one, or 0.
    table: Box<[u32]>,
    nodes: Vec<Node>,
    /// How many labels the names have, from the most to the fewest, each number once.
    depths: Vec<u8>,
    bytes: Vec<u8>,
}

/// What the table is made from.
#[derive(Debug, Default)]
pub(super) struct NamesBuilder {
    /// By name in lower case: the lists of names, and those of suffixes, that it stands in.
    lists: BTreeMap<Vec<u8>, [Vec<u32>; 2]>,
}

impl NamesBuilder {
    /// Puts a name into a list: it alone, or all below it too.
    pub(super) fn add(&mut self, list: u32, name: &Name, is_suffix: bool) {
        let lists = self.lists.entry(name.as_wire().to_ascii_lowercase()).or_default();
        let list_of = &mut lists[usize::from(is_suffix)];
        // Lists are added one after the other.
        if list_of.last() != Some(&list) {
            list_of.push(list);
        }
    }

    /// The table, and which lists each class is in. Class 0 is in none.
    pub(super) fn build(self) -> (Names, Classes) {
        let mut classes = Classes::default();
        let mut names = Names::default();
        if self.lists.is_empty() {
            return (names, classes);
        }
        names.table = vec![0; (2 * self.lists.len()).next_power_of_two().max(2)].into();
        for (wire, [itself, _]) in &self.lists {
            let name = Name::from_wire(wire).expect("it was a name");
            let above = name.suffixes().filter_map(|suffix| self.lists.get(suffix));
            let mut lists: Vec<u32> = above.flat_map(|[_, suffixes]| suffixes.iter().copied()).collect();
            let below = classes.of(lists.clone());
            lists.extend(itself);
            let exact = classes.of(lists);
            let depth = name.label_count() as u8;
            names.insert(wire, Node { hash: name.hash(), start: 0, len: wire.len() as u8, exact, below });
            if !names.depths.contains(&depth) {
                names.depths.push(depth);
            }
        }
        names.depths.sort_unstable_by(|a, b| b.cmp(a));
        (names, classes)
    }
}

impl Names {
    fn insert(&mut self, wire: &[u8], mut node: Node) {
        node.start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(wire);
        let mask = self.table.len() - 1;
        let mut at = node.hash as usize & mask;
        while self.table[at] != 0 {
            at = (at + 1) & mask;
        }
        self.nodes.push(node);
        self.table[at] = self.nodes.len() as u32;
    }

    /// The class of the question's name.
    #[inline]
    pub(super) fn class(&self, packet: &[u8], walk: &Walk) -> Class {
        let labels = walk.labels();
        let Some(name) = packet.get(HEADER_LEN..HEADER_LEN + walk.len()) else { return 0 };
        for &depth in &self.depths {
            let depth = usize::from(depth);
            if depth > labels {
                continue;
            }
            let start = walk.suffix_start(name, depth);
            let suffix = &name[start..];
            if let Some(node) = self.probe(hash(packet, HEADER_LEN + start, suffix.len()), suffix) {
                return if depth == labels { node.exact } else { node.below };
            }
        }
        0
    }

    #[inline]
    fn probe(&self, hash: u64, name: &[u8]) -> Option<&Node> {
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        // The table is at most half full, so that an empty place ends every probe.
        loop {
            let node = &self.nodes[(self.table[at] as usize).checked_sub(1)?];
            let start = node.start as usize;
            if node.hash == hash && is_but_for_case(&self.bytes[start..start + usize::from(node.len)], name) {
                return Some(node);
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(labels: &[&str]) -> Name {
        labels.iter().rev().fold(Name::root(), |name, label| name.prepend(label.as_bytes()).unwrap())
    }

    #[test]
    fn the_longest_name_tells_every_list() {
        let mut builder = NamesBuilder::default();
        builder.add(0, &name(&["example"]), true);
        builder.add(1, &name(&["WWW", "example"]), false);
        builder.add(2, &name(&["a", "www", "example"]), true);
        builder.add(3, &Name::root(), false);
        let (names, classes) = builder.build();
        let lists = |labels: &[&str]| {
            let mut packet = vec![0; HEADER_LEN];
            packet.extend_from_slice(name(labels).as_wire());
            let class = names.class(&packet, &Walk::new(&packet, HEADER_LEN).unwrap());
            (0..4).filter(|list| classes.holds(class, *list)).collect::<Vec<u32>>()
        };
        assert_eq!(lists(&["example"]), [0]);
        assert_eq!(lists(&["www", "EXAMPLE"]), [0, 1]);
        assert_eq!(lists(&["x", "www", "example"]), [0]);
        assert_eq!(lists(&["x", "A", "www", "example"]), [0, 2]);
        assert!(lists(&["xexample"]).is_empty());
        assert_eq!(lists(&[]), [3]);
        let (none, _) = NamesBuilder::default().build();
        let packet = [0; HEADER_LEN + 1];
        assert_eq!(none.class(&packet, &Walk::new(&packet, HEADER_LEN).unwrap()), 0);
    }
}
