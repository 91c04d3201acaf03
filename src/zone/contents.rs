//! What a zone file says, before anybody has judged it.

use std::collections::HashMap;

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
    /// What was wrong.
    pub(super) problems: Vec<Problem>,
    /// What is served, but is hardly meant.
    pub(super) warnings: Vec<Problem>,
}

impl Contents {
    /// `file:line` of a record.
    pub(super) fn place(&self, placed: &Placed) -> String {
        format!("{}:{}", self.files[placed.file], placed.line)
    }
}

/// The records of each owner, by its [`key`], as indices of [`Contents::records`] in their order.
pub(super) type Owners = HashMap<Vec<u8>, Vec<usize>>;

/// What names are compared by: the wire form in lower case.
pub(super) fn key(name: &Name) -> Vec<u8> {
    name.to_lowercase().as_wire().to_vec()
}
