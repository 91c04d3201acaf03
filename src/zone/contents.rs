//! What a zone file says, before anybody has judged it.

use std::cmp::Ordering;

use super::Record;
use crate::dns::name::Name;
use crate::problem::Problem;

/// A record and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// The record.
    pub(super) record: Record,
    /// The file, as an index of [`Contents::files`].
    pub(super) file: usize,
    /// The line on which the record begins.
    pub(super) line: u32,
}

/// All records of a zone file and of the files it includes, not yet checked.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The records, in their order.
    pub(super) records: Vec<Placed>,
    /// The names of the files. The first is the zone file itself.
    pub(super) files: Vec<String>,
    /// The line on which the zone begins, if it is one of many in its file.
    pub(super) begins: Option<u32>,
    /// What was wrong.
    pub(super) problems: Vec<Problem>,
    /// What is served, but is hardly meant.
    pub(super) warnings: Vec<Problem>,
}

impl Contents {
    /// Where the zone as a whole stands.
    pub(super) fn zone_place(&self) -> String {
        let file = self.files.first().cloned().unwrap_or_default();
        match self.begins {
            Some(line) => format!("{file}:{line}"),
            None => file,
        }
    }

    /// `file:line` of a record.
    pub(super) fn place(&self, placed: &Placed) -> String {
        format!("{}:{}", self.files[placed.file], placed.line)
    }
}

/// The records of each owner: their places in [`Contents::records`], in their order. Most zones have a
/// handful, so there is no table to be filled, but a list in the order of the names.
#[derive(Debug, Default)]
pub(super) struct Owners {
    places: Vec<usize>,
    /// Where the places of each owner begin.
    starts: Vec<usize>,
}

impl Owners {
    /// Those of the records that are among `places`.
    pub(super) fn new(records: &[Placed], mut places: Vec<usize>) -> Self {
        let name = |place: usize| &records[place].record.owner;
        // Stable: the places of one owner stay in their order.
        places.sort_by(|&a, &b| compare(name(a).as_wire(), name(b).as_wire()));
        let begins = |&at: &usize| at == 0 || name(places[at - 1]) != name(places[at]);
        let starts = (0..places.len()).filter(begins).collect();
        Self { places, starts }
    }

    /// The records of each owner, in the order of the names.
    pub(super) fn groups(&self) -> impl Iterator<Item = &[usize]> {
        (0..self.starts.len()).map(|index| self.group(index))
    }

    fn group(&self, index: usize) -> &[usize] {
        let end = self.starts.get(index + 1).copied().unwrap_or(self.places.len());
        &self.places[self.starts[index]..end]
    }

    /// The records of the name `name`, which is in wire form.
    pub(super) fn get(&self, records: &[Placed], name: &[u8]) -> &[usize] {
        let owner = |&start: &usize| compare(records[self.places[start]].record.owner.as_wire(), name);
        self.starts.binary_search_by(owner).map_or(&[], |index| self.group(index))
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// Some order of names in wire form, in which letter case does not count.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    let lower = |name: &'_ [u8], at: usize| name[at].to_ascii_lowercase();
    let differ = (0..a.len().min(b.len())).find(|&at| lower(a, at) != lower(b, at));
    differ.map_or_else(|| a.len().cmp(&b.len()), |at| lower(a, at).cmp(&lower(b, at)))
}

/// What names are compared by: the wire form in lower case.
pub(super) fn key(name: &Name) -> Vec<u8> {
    name.to_lowercase().as_wire().to_vec()
}
