//! All that is kept under one key.

use std::time::Duration;

use ipnet::IpNet;

use super::answer::{Answer, Millis};
use super::settings::Settings;
use crate::limits::{CACHE_ENTRY_MIN, CACHE_FAILURE_TTL_MAX, CACHE_SCOPES_MAX, CACHE_STALE_RETRY};

/// All that is kept under one key.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The answer to queries without a client subnet.
    plain: Option<Answer>,
    /// Answers for clients of a network. One for all of them has a prefix of no bits.
    scoped: Vec<(IpNet, Answer)>,
    /// How many purges there had been when it was last seen that none concerns it.
    pub(super) generation: u64,
    /// How many failures there were in a row, as far as that matters.
    failures: u8,
    /// Until when servers are not asked, as they have failed (RFC 9520); 0 without a failure.
    failed_until: Millis,
    /// Until when servers are not asked as long as there is a stale answer (RFC 8767).
    held_until: Millis,
    /// What it takes, its key included.
    weight: u32,
}

impl Entry {
    /// The answer for a client: that for the smallest network that it is in (RFC 7871, section 7.3.1). A
    /// client of whom nothing is sent gets what was asked for without a subnet, or what is for all.
    pub(super) fn find(&mut self, subnet: Option<IpNet>) -> Option<&mut Answer> {
        let for_all = |scope: &IpNet| scope.prefix_len() == 0;
        match subnet {
            None if self.plain.is_some() => self.plain.as_mut(),
            None => self.scoped.iter_mut().find(|(scope, _)| for_all(scope)).map(|(_, answer)| answer),
            Some(subnet) => {
                let fits = |scope: &IpNet| for_all(scope) || scope.contains(&subnet);
                let fitting = self.scoped.iter_mut().filter(|(scope, _)| fits(scope));
                fitting.max_by_key(|(scope, _)| scope.prefix_len()).map(|(_, answer)| answer)
            }
        }
    }

    /// Keeps an answer instead of what there was for the same clients. Servers are well again.
    pub(super) fn put(&mut self, scope: Option<IpNet>, answer: Answer) {
        self.recover();
        let Some(scope) = scope else {
            self.plain = Some(answer);
            return;
        };
        if let Some((kept, old)) = self.scoped.iter_mut().find(|(kept, _)| is_same(*kept, scope)) {
            (*kept, *old) = (scope, answer);
        } else if self.scoped.len() < CACHE_SCOPES_MAX {
            self.scoped.reserve_exact(1);
            self.scoped.push((scope, answer));
        } else if let Some(first) = self.scoped.iter_mut().min_by_key(|(_, answer)| answer.ends()) {
            *first = (scope, answer);
        }
    }

    /// Forgets what there was for the same clients: a newer response says something that is not kept.
    pub(super) fn drop_answer(&mut self, scope: Option<IpNet>) {
        self.recover();
        match scope {
            None => self.plain = None,
            Some(scope) => self.scoped.retain(|(kept, _)| !is_same(*kept, scope)),
        }
    }

    fn recover(&mut self) {
        (self.failures, self.failed_until, self.held_until) = (0, 0, 0);
    }

    /// Servers have failed. Several queries may learn of one failure: that counts once. A failure long after
    /// the last one is a first one.
    pub(super) fn fail(&mut self, settings: &Settings, now: Millis) {
        if now < self.failed_until {
            return;
        }
        let most = millis(CACHE_FAILURE_TTL_MAX);
        if now.saturating_sub(self.failed_until) > most {
            self.failures = 0;
        }
        let doubled = millis(settings.failure_ttl).saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.failed_until = now.saturating_add(doubled.min(most));
        self.hold(now);
    }

    /// A stale answer is good enough for a while.
    pub(super) fn hold(&mut self, now: Millis) {
        self.held_until = now.saturating_add(millis(CACHE_STALE_RETRY));
    }

    pub(super) fn has_failed(&self, now: Millis) -> bool {
        now < self.failed_until
    }

    /// Milliseconds for which servers are not asked yet.
    pub(super) fn failed_for(&self, now: Millis) -> Millis {
        self.failed_until.saturating_sub(now)
    }

    /// When servers were last tried in vain.
    pub(super) fn held_since(&self) -> Option<Millis> {
        self.held_until.checked_sub(millis(CACHE_STALE_RETRY))
    }

    pub(super) fn is_held(&self, now: Millis) -> bool {
        now < self.held_until
    }

    /// All answers, with whom they are for.
    pub(super) fn answers(&self) -> impl Iterator<Item = (Option<IpNet>, &Answer)> {
        let plain = self.plain.iter().map(|answer| (None, answer));
        plain.chain(self.scoped.iter().map(|(scope, answer)| (Some(*scope), answer)))
    }

    /// Reckons up what it takes, with a key of `key_len` bytes.
    pub(super) fn weigh(&mut self, key_len: usize) {
        let answers: usize = self.answers().map(|(_, answer)| taken(answer.len())).sum();
        let scoped = taken(self.scoped.capacity() * size_of::<(IpNet, Answer)>());
        let all = taken(key_len) + taken(size_of::<Self>()) + scoped + answers;
        self.weight = all.max(CACHE_ENTRY_MIN) as u32;
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight.into()
    }
}

/// Whether two scopes are for the same clients: no bits are those of all, in either family.
fn is_same(a: IpNet, b: IpNet) -> bool {
    a == b || a.prefix_len() + b.prefix_len() == 0
}

fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// Bytes that the allocator takes for so many: four sizes between two powers of two, and multiples of 16.
fn taken(len: usize) -> usize {
    len.next_multiple_of((len.next_power_of_two() / 8).max(16))
}
