//! Usual queries by kind: a cross product of labels. Each is counted once, and spread over the families that
//! they are of when somebody reads. So do the shards, and the program in the driver.

use arrayvec::ArrayVec;

use super::families::{
    QUERIES, QUERIES_BY_CLASS, QUERIES_BY_OPCODE, QUERIES_COOKIE, QUERIES_DO, QUERIES_EDNS, QUERIES_RD,
    RESPONSES, RESPONSES_BY_TRANSPORT,
};
use super::labels::{COOKIE, FAMILY, SERVICE, TRANSPORT, class_value, rcode_value};
use crate::dns::consts::{class, opcode, rcode};

/// What a usual query is counted by, besides its zone, type, address and sizes. It has opcode QUERY and class
/// IN, EDNS of version 0 if any, and no option but a cookie; its reply is not truncated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// A value of [`SERVICE`].
    pub service: usize,
    /// A value of [`TRANSPORT`].
    pub transport: usize,
    /// A value of [`FAMILY`].
    pub family: usize,
    /// Recursion is desired.
    pub recursion_desired: bool,
    /// EDNS: none, without DO, with it.
    pub edns: usize,
    /// A value of [`COOKIE`] and one, or 0 for none.
    pub cookie: usize,
    /// The response code is NXDOMAIN, else NOERROR.
    pub is_nxdomain: bool,
}

/// Values of a kind's labels, from the one that changes least, each with room for a power of two.
const LENS: [usize; 7] =
    [SERVICE.len, TRANSPORT.len, FAMILY.len, 2, EDNS_LEN.next_power_of_two(), 1 + COOKIE.len, 2];
const EDNS_LEN: usize = 3;
const _: () = assert!((1 + COOKIE.len).is_power_of_two() && TRANSPORT.len == 2 && FAMILY.len == 2);

/// Counters that one query counts in by its kind, at most.
const PLACES_MAX: usize = 9;

/// How many indices kinds have.
pub(super) const KINDS: usize = {
    let (mut product, mut at) = (1, 0);
    while at < LENS.len() {
        product *= LENS[at];
        at += 1;
    }
    product
};

impl Kind {
    /// Where it is counted.
    #[inline(always)]
    pub(super) fn index(self) -> usize {
        let values = [
            self.service,
            self.transport,
            self.family,
            usize::from(self.recursion_desired),
            self.edns,
            self.cookie,
            usize::from(self.is_nxdomain),
        ];
        values.into_iter().zip(LENS).fold(0, |index, (value, len)| index * len + value)
    }

    /// The kind of an index.
    pub(super) fn of(index: usize) -> Self {
        let mut values = [0; LENS.len()];
        let mut rest = index;
        for (value, len) in values.iter_mut().zip(LENS).rev() {
            (*value, rest) = (rest % len, rest / len);
        }
        let [service, transport, family, recursion_desired, edns, cookie, is_nxdomain] = values;
        let [recursion_desired, is_nxdomain] = [recursion_desired, is_nxdomain].map(|value| value == 1);
        Self { service, transport, family, recursion_desired, edns, cookie, is_nxdomain }
    }

    /// The counters of the families that one of it counts in.
    pub(super) fn places(self) -> impl Iterator<Item = usize> {
        let Self { service, transport, family, .. } = self;
        let rcode = if self.is_nxdomain { rcode::NXDOMAIN } else { rcode::NOERROR };
        let mut places = ArrayVec::<usize, PLACES_MAX>::new();
        places.extend([
            QUERIES.at([service, transport, family]),
            QUERIES_BY_OPCODE.at([usize::from(opcode::QUERY)]),
            QUERIES_BY_CLASS.at([class_value(class::IN)]),
            RESPONSES.at([rcode_value(rcode.into())]),
            RESPONSES_BY_TRANSPORT.at([transport, family]),
        ]);
        places.extend(self.recursion_desired.then(|| QUERIES_RD.at([])));
        places.extend((self.edns > 0).then(|| QUERIES_EDNS.at([0])));
        places.extend((self.edns == 2).then(|| QUERIES_DO.at([])));
        places.extend(self.cookie.checked_sub(1).map(|cookie| QUERIES_COOKIE.at([cookie])));
        places.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_an_index_of_its_own() {
        for index in 0..KINDS {
            let kind = Kind::of(index);
            assert_eq!(kind.index(), index, "{kind:?}");
            let more = [kind.recursion_desired, kind.edns > 0, kind.edns == 2, kind.cookie > 0];
            assert_eq!(kind.places().count(), 5 + more.iter().filter(|has| **has).count(), "{kind:?}");
        }
    }
}
