//! What a zone may hold, but nobody means: a name that leads nowhere, or a dot that was forgotten.

use std::collections::HashSet;

use super::contents::{Contents, Owners, key};
use super::{Record, rdata};
use crate::dns::consts::rtype;
use crate::dns::name::Name;
use crate::problem::Problem;

/// Everything odd about the records of a zone that is fit to be served, in their order.
pub(super) fn warnings<'a>(
    apex: &'a Name,
    contents: &'a Contents,
    owners: &'a Owners,
    addressed: &'a HashSet<Vec<u8>>,
) -> impl Iterator<Item = Problem> + 'a {
    let lint = Lint { apex, twice: twice(apex), is_reverse: is_reverse(apex), contents, owners, addressed };
    contents.records.iter().filter_map(move |placed| {
        let message = lint.record(&placed.record)?;
        Some(Problem { place: contents.place(placed), message })
    })
}

struct Lint<'a> {
    apex: &'a Name,
    /// The apex below itself: what a name becomes whose final dot was forgotten.
    twice: Option<Name>,
    is_reverse: bool,
    contents: &'a Contents,
    owners: &'a Owners,
    /// Names, in lower case, that have addresses elsewhere.
    addressed: &'a HashSet<Vec<u8>>,
}

impl Lint<'_> {
    /// What is odd about `record`.
    fn record(&self, record: &Record) -> Option<String> {
        let (owner, apex) = (&record.owner, self.apex);
        if !owner.is_at_or_below(apex) {
            return Some(format!(
                "{owner} is outside the zone {apex} and is left out: check its trailing dot"
            ));
        }
        let names = rdata::names(record.rtype, &record.rdata);
        if let Some(twice) = &self.twice
            && let Some(name) =
                [&record.owner].into_iter().chain(&names).find(|name| name.is_at_or_below(twice))
        {
            return Some(format!("{name} ends with the name of the zone twice: is its final dot missing?"));
        }
        let target = names.last().filter(|name| name.is_at_or_below(self.apex))?;
        let what = match record.rtype {
            rtype::NS => "NS",
            rtype::MX => "MX",
            rtype::SRV => "SRV",
            rtype::PTR if self.is_reverse => {
                return Some(format!(
                    "the PTR leads to {target}, in the reverse tree: is its final dot missing?"
                ));
            }
            _ => return None,
        };
        if self.holds(target, &[rtype::CNAME]) {
            return Some(format!(
                "the {what} leads to {target}, which has a CNAME: name what that leads to instead"
            ));
        }
        if self.has_address(target) {
            return None;
        }
        let is_delegation = record.rtype == rtype::NS && record.owner != *self.apex;
        if is_delegation && target.is_at_or_below(&record.owner) {
            return Some(format!("the delegation to {target} has no glue: add an A or AAAA record for it"));
        }
        (!self.is_delegated(target)).then(|| {
            format!("the {what} leads to {target}, which has no address here: add an A or AAAA record")
        })
    }

    /// Whether `name` is there with one of `types`.
    fn holds(&self, name: &Name, types: &[u16]) -> bool {
        let records = self.owners.get(&self.contents.records, name.as_wire());
        records.iter().any(|&index| types.contains(&self.contents.records[index].record.rtype))
    }

    /// Whether the zone has an address for `name`, there or at a wildcard above it.
    fn has_address(&self, name: &Name) -> bool {
        let wildcard = |above: &[u8]| Name::from_wire(above).ok()?.prepend(b"*");
        let has = |name: &Name| {
            self.holds(name, &[rtype::A, rtype::AAAA])
                || (!self.addressed.is_empty() && self.addressed.contains(&key(name)))
        };
        has(name) || name.suffixes().skip(1).filter_map(wildcard).any(|name| has(&name))
    }

    /// Whether `name` is at or below a delegation, and may have its addresses there.
    fn is_delegated(&self, name: &Name) -> bool {
        let names = name.suffixes().filter_map(|suffix| Name::from_wire(suffix).ok());
        let mut below_apex = names.take_while(|name| name.label_count() > self.apex.label_count());
        below_apex.any(|name| self.holds(&name, &[rtype::NS]))
    }
}

fn twice(apex: &Name) -> Option<Name> {
    let labels: Vec<&[u8]> = apex.labels().collect();
    let twice = labels.iter().rev().try_fold(apex.clone(), |name, label| name.prepend(label));
    twice.filter(|_| !labels.is_empty())
}

fn is_reverse(apex: &Name) -> bool {
    let is_below = |tree: &[u8]| Name::from_wire(tree).is_ok_and(|tree| apex.is_at_or_below(&tree));
    is_below(b"\x07in-addr\x04arpa\0") || is_below(b"\x03ip6\x04arpa\0")
}
