//! What rules of the phase `route` make of a query, before anything else answers it.

use super::job::{UNROUTED, Way};
use super::snapshot::Snapshot;
use crate::dns::arrival::Arrival;
use crate::dns::consts::{HEADER_LEN, class, rcode, rtype};
use crate::dns::query::{Header, Query};
use crate::policy::facts::Tags;
pub use crate::policy::facts::facts;
use crate::policy::phase::Phase;
use crate::policy::{Action, Fallback, Hit, RuleId};
use crate::stats::account::Account;

/// What becomes of a query by the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Routed {
    /// What it gets without them.
    Native,
    /// A reply with this response code and no records.
    Answer(u16),
    /// A truncated reply.
    Truncate,
    /// No reply.
    Drop,
    /// A worker makes the reply.
    HandOff(Way),
    /// What the rules after the one that cannot be followed make of it.
    Next,
}

/// A query that rules are asked about.
pub(super) struct Asking<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) arrival: &'a Arrival,
    pub(super) header: &'a Header,
    /// The packet.
    pub(super) slot: &'a [u8],
    pub(super) query: &'a Query,
}

/// Asks the rules, those after `after` if that is given, and notes in `account` those that matched. Where
/// none ends the phase, and rules of later phases may concern the query, it is handed over all the same, if
/// the name is one of the node's own: unless one of them takes it, it is answered from there.
pub(super) fn route(asking: &Asking<'_>, after: Option<RuleId>, account: &mut Account) -> Routed {
    let Asking { snapshot, arrival, header, slot, query } = *asking;
    let policy = snapshot.policy();
    let question = &query.question;
    let mut facts = facts(arrival, header, slot, query);
    let mut ruled = account.ruled.unwrap_or_default();
    facts.tags = Tags(ruled.tags);
    let label = |rule: u16| policy.rules().get(usize::from(rule)).map_or(0, |rule| usize::from(rule.label));
    let mut note = |hit: Hit| ruled.note(label(hit.rule), hit.is_dry_run);
    let decision = match after {
        None => policy.decide(Phase::Route, &facts, &mut note),
        Some(after) => policy.decide_after(Phase::Route, after, &facts, &mut note),
    };
    facts.tags = decision.tags;
    ruled.tags = decision.tags.0;
    ruled.divert = ruled.divert.or(decision.divert);
    ruled.is_traced |= decision.is_traced;
    account.ruled = Some(ruled);

    let is_transfer = matches!(question.qtype, rtype::AXFR | rtype::IXFR);
    let hand_off = |rule| match is_transfer {
        true => Routed::Native,
        false => Routed::HandOff(Way { rule, serial: snapshot.serial() }),
    };
    // Who passes has had no further rule of this phase, and that is all.
    let taken = decision.taken.filter(|(_, action)| *action != Action::Pass);
    match (taken, ruled.divert) {
        // There is no answer that a copy's could be compared with.
        (Some((_, Action::Drop)), _) => Routed::Drop,
        (Some((rule, _)), Some(_)) | (None, Some((rule, _))) => hand_off(rule),
        (Some((rule, action)), None) => match action {
            Action::Answer(rcode) => Routed::Answer(rcode),
            // Over TCP the client is where it is sent to.
            Action::Truncate if !facts.is_tcp => Routed::Truncate,
            Action::Forward(_) | Action::Resolve | Action::App(_) | Action::CacheOnly => hand_off(rule),
            _ => Routed::Native,
        },
        (None, None) => {
            let is_concerned = question.qclass == class::IN && !is_transfer && policy.may_concern(&facts);
            let found = is_concerned.then(|| snapshot.answers().find(slot, HEADER_LEN, question.name));
            let Some(found) = found.flatten() else { return Routed::Native };
            // Whoever answers, it is a query of this zone.
            account.zone = Some(found.zone);
            hand_off(UNROUTED)
        }
    }
}

/// What a query gets here, when the worker that its rule needs cannot have it.
pub(super) fn without_worker(snapshot: &Snapshot, way: Way, is_tcp: bool) -> Routed {
    let Some(rule) = snapshot.policy().rules().get(usize::from(way.rule)) else { return Routed::Native };
    match rule.action {
        Action::Answer(rcode) => Routed::Answer(rcode),
        Action::Drop => Routed::Drop,
        Action::Truncate if !is_tcp => Routed::Truncate,
        Action::Forward(_) | Action::Resolve | Action::App(_) | Action::CacheOnly => match rule.fallback {
            Fallback::Fail | Fallback::Stale => Routed::Answer(u16::from(rcode::SERVFAIL)),
            Fallback::Refuse => Routed::Answer(u16::from(rcode::REFUSED)),
            Fallback::Native => Routed::Native,
            Fallback::Next => Routed::Next,
            Fallback::Drop => Routed::Drop,
        },
        _ => Routed::Native,
    }
}
