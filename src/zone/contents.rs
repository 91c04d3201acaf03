//! What a zone file says, before anybody has judged it.

use super::Record;
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
}
