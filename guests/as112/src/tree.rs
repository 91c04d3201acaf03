//! A tree of labels, from the root down: which zone is the longest that a name is in.

use alloc::vec::Vec;

use as112_guest::Name;

/// Most labels of a name.
const LABELS_MAX: usize = 127;

/// The tree. The first node is the root.
pub struct Tree<T> {
    nodes: Vec<Node<T>>,
}

struct Node<T> {
    label: Vec<u8>,
    key: u64,
    children: Vec<u16>,
    value: Option<T>,
}

impl<T> Node<T> {
    fn new(label: Vec<u8>, key: u64) -> Self {
        Self { label, key, children: Vec::new(), value: None }
    }
}

/// The first eight bytes of a label in lower case, with zeros after its end: what tells labels apart but for the
/// longest.
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
        Self { nodes: alloc::vec![Node::new(Vec::new(), 0)] }
    }

    /// Puts something at a name.
    pub fn insert(&mut self, name: Name<'_>, value: T) {
        let labels: Vec<&[u8]> = name.labels().collect();
        let mut node = 0;
        for label in labels.iter().rev() {
            let key = key(label, 0, label.len());
            node = match self.child(node, key, label) {
                Some(child) => child,
                None => {
                    let child = self.nodes.len() as u16;
                    self.nodes.push(Node::new(label.to_ascii_lowercase(), key));
                    self.nodes[usize::from(node)].children.push(child);
                    child
                }
            };
        }
        self.nodes[usize::from(node)].value = Some(value);
    }

    fn child(&self, node: u16, key: u64, label: &[u8]) -> Option<u16> {
        let is_it = |child: &&u16| {
            let child = &self.nodes[usize::from(**child)];
            child.key == key
                && child.label.len() == label.len()
                && (label.len() <= 8 || child.label[8..].eq_ignore_ascii_case(&label[8..]))
        };
        self.nodes[usize::from(node)].children.iter().find(is_it).copied()
    }

    /// The longest suffix of a name at which something is, and what. The name stands in `packet` after the header.
    pub fn find<'n>(&self, name: Name<'n>, packet: &[u8]) -> Option<(Name<'n>, &T)> {
        let wire = name.as_wire();
        let mut starts = [0_u8; LABELS_MAX + 1];
        let (mut labels, mut at) = (0, 0);
        while let Some(&len @ 1..=63) = wire.get(at) {
            *starts.get_mut(labels)? = at as u8;
            labels += 1;
            at += 1 + usize::from(len);
        }
        let (mut node, mut found) = (0, None);
        for start in starts[..labels].iter().rev() {
            let start = usize::from(*start);
            let len = usize::from(wire[start]);
            let label = &wire[start + 1..start + 1 + len];
            node = match self.child(node, key(packet, 12 + start + 1, len), label) {
                Some(child) => child,
                None => break,
            };
            if let Some(value) = &self.nodes[usize::from(node)].value {
                found = Some((start, value));
            }
        }
        let (start, value) = found?;
        Some((Name::from_wire(&wire[start..]).ok()?, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use as112_guest::{query_for, NameBuf};

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
            let packet = query_for(name.as_name(), 1);
            tree.find(name.as_name(), &packet).map(|(at, index)| (at.to_string(), *index))
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
