//! Linked lists of keys: to add at the end, to take from the front and to remove in the middle takes the same
//! few steps however long a list is.

/// No key.
const NONE: u32 = u32::MAX;

/// The keys before and after one in its list.
#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
}

/// The links of keys that are each in at most one list. Which one that is, the caller knows.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<Link>);

/// One list. It is used with the same [`Links`] always.
#[derive(Debug)]
pub(super) struct List {
    first: u32,
    last: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

impl List {
    pub(super) fn first(&self) -> Option<usize> {
        (self.first != NONE).then_some(self.first as usize)
    }
}

impl Links {
    /// Bytes for each key.
    pub(super) const LEN: usize = size_of::<Link>();

    /// Adds `key`, which is in no list, at the end.
    pub(super) fn push(&mut self, list: &mut List, key: usize) {
        if key >= self.0.len() {
            self.0.resize(key + 1, Link { before: NONE, after: NONE });
        }
        let number = u32::try_from(key).expect("connections are counted in 32 bits");
        self.0[key] = Link { before: list.last, after: NONE };
        match self.0.get_mut(list.last as usize) {
            Some(last) => last.after = number,
            None => list.first = number,
        }
        list.last = number;
    }

    /// Removes `key` from the list that it is in.
    pub(super) fn remove(&mut self, list: &mut List, key: usize) {
        let Link { before, after } = self.0[key];
        match self.0.get_mut(before as usize) {
            Some(link) => link.after = after,
            None => list.first = after,
        }
        match self.0.get_mut(after as usize) {
            Some(link) => link.before = before,
            None => list.last = before,
        }
    }
}

/// Keys that wait for their turn, each once and in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    links: Links,
    list: List,
    len: usize,
}

impl Queue {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Adds `key`, which does not wait yet, at the end.
    pub(super) fn push(&mut self, key: usize) {
        self.links.push(&mut self.list, key);
        self.len += 1;
    }

    pub(super) fn pop(&mut self) -> Option<usize> {
        let first = self.list.first()?;
        self.remove(first);
        Some(first)
    }

    /// Removes `key`, which waits.
    pub(super) fn remove(&mut self, key: usize) {
        self.links.remove(&mut self.list, key);
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tcp::random::Random;

    #[test]
    fn two_lists_over_one_set_of_keys_do_as_vectors_do() {
        let (mut links, mut lists) = (Links::default(), [List::default(), List::default()]);
        let mut expected: [Vec<usize>; 2] = [Vec::new(), Vec::new()];
        let mut random = Random::new();
        for _ in 0..20_000 {
            let (key, to) = (random.below(40), random.below(2));
            match expected.iter().position(|list| list.contains(&key)) {
                Some(from) => {
                    links.remove(&mut lists[from], key);
                    expected[from].retain(|&other| other != key);
                }
                None => {
                    links.push(&mut lists[to], key);
                    expected[to].push(key);
                }
            }
            for (list, expected) in lists.iter().zip(&expected) {
                assert_eq!(list.first(), expected.first().copied());
                assert_eq!(list.last, expected.last().map_or(NONE, |&key| key as u32));
            }
        }
    }
}
