//! A tree of labels, from the root down: which zone is the longest that a name is in.

use alloc::vec::Vec;

use as112_guest::Name;

/// Most labels of a name in the tree: their places fit one number.
const DEPTH_MAX: usize = 8;

/// The tree. The first node is the root.
pub struct Tree<T> {
    nodes: Vec<Node<T>>,
}

struct Node<T> {
    children: Vec<Child>,
    value: Option<T>,
}

struct Child {
    key: u64,
    label: Vec<u8>,
    node: usize,
}

/// The first eight bytes of a label in lower case, with zeros after its end: what tells labels apart but for
/// the longest.
fn key(bytes: &[u8], at: usize, len: usize) -> u64 {
    let word = match bytes.get(at..at + 8) {
        Some(word) => {
            u64::from_le_bytes([word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]])
        }
        None => {
            let rest = bytes.get(at..).unwrap_or_default();
            rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
        }
    };
    let word = if len < 8 { word & ((1 << (8 * len)) - 1) } else { word };
    // All eight at once: a byte is a capital if it is at least `A`, not over `Z`, and ASCII.
    const ONES: u64 = 0x0101_0101_0101_0101;
    let low = word & (0x7F * ONES);
    let from_a = low + (0x80 - u64::from(b'A')) * ONES;
    let after_z = low + (0x7F - u64::from(b'Z')) * ONES;
    let capitals = (from_a ^ after_z) & !word & (0x80 * ONES);
    word | capitals >> 2
}

impl<T> Tree<T> {
    /// A tree with nothing in it.
    pub fn new() -> Self {
        Self { nodes: alloc::vec![Node { children: Vec::new(), value: None }] }
    }

    /// Puts something at a name of at most eight labels.
    pub fn insert(&mut self, name: Name<'_>, value: T) {
        let labels: Vec<&[u8]> = name.labels().collect();
        assert!(labels.len() <= DEPTH_MAX);
        let mut node = 0;
        for label in labels.iter().rev() {
            let key = key(label, 0, label.len());
            node = match self.child(node, key, label) {
                Some(child) => child,
                None => {
                    let child = self.nodes.len();
                    self.nodes.push(Node { children: Vec::new(), value: None });
                    self.nodes[node].children.push(Child {
                        key,
                        label: label.to_ascii_lowercase(),
                        node: child,
                    });
                    child
                }
            };
        }
        self.nodes[node].value = Some(value);
    }

    #[inline]
    fn child(&self, node: usize, key: u64, label: &[u8]) -> Option<usize> {
        let is_it = |child: &&Child| {
            child.key == key
                && child.label.len() == label.len()
                && (label.len() <= 8 || child.label[8..].eq_ignore_ascii_case(&label[8..]))
        };
        self.nodes[node].children.iter().find(is_it).map(|child| child.node)
    }

    /// The longest suffix of a name at which something is, and what.
    #[inline]
    pub fn find<'n>(&self, name: Name<'n>) -> Option<(Name<'n>, &T)> {
        let wire = name.as_wire();
        // Where the last eight labels begin, the last one in the lowest byte: there is nothing below them.
        let (mut starts, mut labels, mut at) = (0_u64, 0, 0);
        while let Some(&len @ 1..=63) = wire.get(at) {
            starts = starts << 8 | at as u64;
            labels += 1;
            at += 1 + usize::from(len);
        }
        let (mut node, mut found) = (0, None);
        for _ in 0..labels.min(DEPTH_MAX) {
            let start = (starts & 0xFF) as usize;
            starts >>= 8;
            let len = usize::from(wire[start]);
            let label = &wire[start + 1..start + 1 + len];
            node = match self.child(node, key(wire, start + 1, len), label) {
                Some(child) => child,
                None => break,
            };
            if let Some(value) = &self.nodes[node].value {
                found = Some((start, value));
            }
        }
        let (start, value) = found?;
        Some((Name::trust(&wire[start..]), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use as112_guest::NameBuf;

    #[test]
    fn keys_are_lower_case_and_of_the_label_alone() {
        for byte in 0..=u8::MAX {
            for len in 0..=8 {
                let bytes = [byte; 16];
                let lower = [byte.to_ascii_lowercase(); 16];
                let expected = lower[..len].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
                assert_eq!(key(&bytes, 3, len), expected, "{byte} {len}");
                assert_eq!(key(&bytes[..len], 0, len), expected);
            }
        }
    }

    #[test]
    fn the_longest_zone_is_found() {
        let names = [".", "arpa", "10.in-addr.arpa", "a-very-long-label.arpa", "a-very-lone-label.arpa"];
        let mut tree = Tree::new();
        for (index, name) in names.iter().enumerate().skip(1) {
            tree.insert(name.parse::<NameBuf>().unwrap().as_name(), index);
        }
        let find = |text: &str| {
            let name: NameBuf = text.parse().unwrap();
            tree.find(name.as_name()).map(|(at, index)| (at.to_string(), *index))
        };
        let at = |index: usize| Some((format!("{}.", names[index]), index));
        assert_eq!((find("."), find("com"), find("10.in-addr.arpb")), (None, None, None));
        assert_eq!((find("arpa"), find("in-addr.arpa"), find("110.in-addr.arpa")), (at(1), at(1), at(1)));
        assert_eq!(find("x.y.10.in-addr.arpa"), at(2));
        assert_eq!(find("10.IN-ADDR.ARPA").unwrap().1, 2);
        assert_eq!((find("x.a-very-long-label.arpa"), find("a-very-lone-label.arpa")), (at(3), at(4)));
        assert_eq!(find("a-very-lost-label.arpa"), at(1));
        assert_eq!(find("A-VERY-LONG-LABEL.arpa").unwrap().1, 3);
    }
}
