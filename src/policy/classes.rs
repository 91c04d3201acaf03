//! Classes: values of a field that no rule tells apart. A query's class in a field says which lists it is in.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A class, by its place among those of its field.
pub(super) type Class = u32;

/// The lists that the values of each class are in.
#[derive(Clone, Debug)]
pub(super) struct Classes {
    by_lists: BTreeMap<Vec<u32>, Class>,
    /// Where the lists of a class end in `lists`; they begin where those of the class before end.
    ends: Vec<u32>,
    lists: Vec<u32>,
}

/// The first class is in no list.
impl Default for Classes {
    fn default() -> Self {
        Self { by_lists: BTreeMap::from([(Vec::new(), 0)]), ends: Vec::from([0]), lists: Vec::new() }
    }
}

impl Classes {
    /// The class of what is in these lists.
    pub(super) fn of(&mut self, mut lists: Vec<u32>) -> Class {
        lists.sort_unstable();
        lists.dedup();
        if let Some(class) = self.by_lists.get(&lists) {
            return *class;
        }
        let class = self.ends.len() as Class;
        self.lists.extend_from_slice(&lists);
        self.ends.push(self.lists.len() as u32);
        self.by_lists.insert(lists, class);
        class
    }

    /// No further classes.
    pub(super) fn finish(&mut self) {
        self.by_lists = BTreeMap::new();
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The lists of a class, sorted.
    pub(super) fn lists(&self, class: Class) -> &[u32] {
        let class = class as usize;
        let start = class.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.lists[start..self.ends[class] as usize]
    }

    /// Whether what is of this class is in a list.
    pub(super) fn holds(&self, class: Class, list: u32) -> bool {
        self.lists(class).binary_search(&list).is_ok()
    }
}
