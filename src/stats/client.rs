//! What is counted of a query because of its client: its subnet, and the point of presence that it got.

use super::client_labels::{ECS_FORMERR, ECS_IGNORED, TAILORED_ALL_DOWN, identity_value};
use super::counters::{
    BEACON_QUERIES, Counters, ECS, ECS_SCOPE, ECS_SOURCE, IDENTITY, TAILORED, TAILORED_BY,
};
use crate::dns::ecs::Subnet;

/// What is known of one packet's client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// What became of its subnet: a value of [`ECS_RESULT`](super::client_labels::ECS_RESULT).
    pub result: u8,
    /// The subnet, where it is sound.
    pub subnet: Option<Prefixes>,
    /// What was chosen for it.
    pub tailored: Option<Tailored>,
    /// The type, where it asked for its own identity.
    pub identity: Option<u16>,
    /// It asked for the name of a beacon.
    pub is_beacon: bool,
}

/// How much of a client a subnet says, and how much of it the answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixes {
    /// The address is IPv6.
    pub is_ipv6: bool,
    /// SOURCE.
    pub source: u8,
    /// SCOPE.
    pub scope: u8,
}

/// A choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tailored {
    /// A value of [`POOL`](super::client_labels::POOL).
    pub pool: u8,
    /// A value of [`POP`](super::client_labels::POP).
    pub pop: u8,
    /// A value of [`TAILORED_LAYER`](super::client_labels::TAILORED_LAYER): what decided.
    pub layer: u8,
    /// No point of presence is up.
    pub is_all_down: bool,
    /// The pool by its place in the configuration, for whoever explains the answer.
    pub place: u16,
}

impl Client {
    /// One whose subnet is sound, and that nothing depends on yet.
    #[must_use]
    pub fn with(subnet: &Subnet) -> Self {
        let prefixes = Prefixes { is_ipv6: subnet.is_ipv6(), source: subnet.source(), scope: subnet.scope() };
        Self { result: ECS_IGNORED, subnet: Some(prefixes), ..Self::default() }
    }

    /// One whose subnet is not sound.
    #[must_use]
    pub fn with_unsound() -> Self {
        Self { result: ECS_FORMERR, ..Self::default() }
    }

    /// Counts it.
    #[cold]
    pub(super) fn post(&self, counters: &Counters) {
        counters.count(ECS.at([usize::from(self.result)]));
        if let Some(Prefixes { is_ipv6, source, scope }) = self.subnet {
            counters.count(ECS_SOURCE.at([usize::from(is_ipv6), usize::from(source)]));
            counters.count(ECS_SCOPE.at([usize::from(is_ipv6), usize::from(scope)]));
        }
        if let Some(Tailored { pool, pop, layer, is_all_down, .. }) = self.tailored {
            counters.count(TAILORED.at([usize::from(pool), usize::from(pop)]));
            let by = if is_all_down { TAILORED_ALL_DOWN } else { usize::from(layer) };
            counters.count(TAILORED_BY.at([by]));
        }
        if let Some(qtype) = self.identity {
            counters.count(IDENTITY.at([identity_value(qtype)]));
        }
        if self.is_beacon {
            counters.count(BEACON_QUERIES.at([]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::counters::Totals;

    #[test]
    fn a_client_is_counted_by_what_became_of_it() {
        let counters = Counters::default();
        let mut client =
            Client::with(&Subnet::read(&[0, 2, 56, 0, 0x24, 0, 0x12, 0x34, 0x56, 0, 0]).unwrap());
        client.post(&counters);
        client.result = 1;
        client.subnet.as_mut().unwrap().scope = 32;
        client.tailored = Some(Tailored { pool: 3, pop: 64, layer: 7, is_all_down: false, place: 3 });
        client.post(&counters);
        let all_down = Tailored { pool: 3, pop: 64, layer: 7, is_all_down: true, place: 3 };
        Client { tailored: Some(all_down), ..Client::default() }.post(&counters);
        Client::with_unsound().post(&counters);
        Client { identity: Some(16), is_beacon: true, ..Client::default() }.post(&counters);
        let mut totals = Totals::default();
        counters.read(&mut totals);
        for (at, count) in [
            (ECS.at([0]), 2),
            (ECS.at([1]), 1),
            (ECS.at([usize::from(ECS_IGNORED)]), 1),
            (ECS.at([usize::from(ECS_FORMERR)]), 1),
            (ECS_SOURCE.at([1, 56]), 2),
            (ECS_SCOPE.at([1, 0]), 1),
            (ECS_SCOPE.at([1, 32]), 1),
            (TAILORED.at([3, 64]), 2),
            (TAILORED_BY.at([7]), 1),
            (TAILORED_BY.at([TAILORED_ALL_DOWN]), 1),
            (IDENTITY.at([2]), 1),
            (BEACON_QUERIES.at([]), 1),
        ] {
            assert_eq!(totals.get(at), count, "{at:?}");
        }
        assert_eq!(totals.counts().iter().sum::<u64>(), 15);
    }
}
