//! What operators ask of the rules and the cache of a running node.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::apps::{self, may};
use super::life::Node;
use super::why::{Teller, arrival};
use crate::config::apps::hexadecimal;
use crate::config::upstreams::{self, fallback_name};
use crate::control::orders::Client;
use crate::control::questions::{OfCache, Why};
use crate::limits::CACHE_SHOWN_MAX;
use crate::policy::{Policy, Rule};
use crate::stats::app_labels::{APP_EVENT, APP_VERDICT, TRAP};
use crate::stats::counters::{APP_EVENTS, APP_VERDICTS, GUEST_TRAPS, RULE_HITS, RULE_WOULD};
use crate::stats::labels::{Label, RULE};
use crate::work::sandbox::App;
use crate::work::sandbox::settings::Manifest;
use crate::work::{CacheOrder, CacheOrderKind, Place};

/// Whether a rule does anything here.
fn state(policy: &Policy, id: usize, rule: &Rule) -> &'static str {
    if !u16::try_from(id).is_ok_and(|id| policy.is_asked(id)) {
        "folded"
    } else if rule.dry_run {
        "dry-run"
    } else {
        "in effect"
    }
}

/// Of a family whose labels are the application and another one, the counters of one application.
fn counts<'t>(family: &'t [u64], app: usize, other: &Label) -> &'t [u64] {
    family.get(app * other.len..(app + 1) * other.len).unwrap_or_default()
}

impl Node {
    /// Rules and routes in their order, and how often each has matched since the counts began.
    pub(super) fn rules(&self) -> Value {
        let snapshot = self.published.newest();
        let policy = snapshot.policy();
        let totals = self.board.read().total;
        let (hits, would) = (RULE_HITS.of(&totals), RULE_WOULD.of(&totals));
        let rules = policy.rules().iter().enumerate().map(|(id, rule)| {
            // The last value is of all that have no counter of their own.
            let label = Some(usize::from(rule.label)).filter(|label| *label < RULE.len - 1);
            json!({
                "name": rule.name,
                "place": rule.place,
                "phase": rule.phase.name(),
                "action": policy.done(rule),
                "fallback": fallback_name(rule.fallback),
                "state": state(policy, id, rule),
                "hits": label.map(|label| hits[label]),
                "would": label.map(|label| would[label]),
            })
        });
        json!({
            "rules": rules.collect::<Vec<_>>(),
            "folded": policy.folded(),
            "upstreams": policy.upstreams().iter().map(upstreams::as_json).collect::<Vec<_>>(),
        })
    }

    /// The applications in their order, and what they have done since the counts began.
    pub(super) fn apps(&self) -> Value {
        let snapshot = self.published.newest();
        let apps = apps::of(&snapshot);
        let reading = self.board.read();
        let totals = &reading.total;
        let states = reading.work.as_ref().map(|work| work.apps.as_slice()).unwrap_or_default();
        let names = snapshot.names();
        let row = |app: &Arc<App>| {
            let Manifest { name, place, order, .. } = &app.manifest;
            let now = states.iter().find(|state| state.name == *name);
            let verdicts = counts(APP_VERDICTS.of(totals), app.label, &APP_VERDICT);
            let verdicts = verdicts
                .iter()
                .enumerate()
                .map(|(value, count)| (names.value(&APP_VERDICT, value), json!(count)));
            json!({
                "name": name,
                "place": place,
                "order": order,
                "version": hexadecimal(&app.hash),
                "state": now.map_or("gone", |now| now.state.name()),
                "memory": now.map_or(0, |now| now.memory),
                "held": now.map_or(0, |now| now.held),
                "events": counts(APP_EVENTS.of(totals), app.label, &APP_EVENT).iter().sum::<u64>(),
                "verdicts": verdicts.collect::<Map<_, _>>(),
                "traps": counts(GUEST_TRAPS.of(totals), app.label, &TRAP).iter().sum::<u64>(),
                "may": may(&app.manifest),
            })
        };
        json!({ "apps": apps.apps.iter().map(row).collect::<Vec<_>>() })
    }

    /// The way of a query, by what is served now.
    pub(super) fn why(&self, asked: &Why, clients: Vec<Client>) {
        let to = asked.to.unwrap_or(self.config.listen[0]);
        let places = self.places.load();
        let place = |address| {
            let (country, asn) = places.look(address);
            Place { country, asn }
        };
        let snapshot = self.published.newest();
        let teller = Teller { snapshot: &snapshot, config: &self.config, place: &place, has_lines: true };
        let told = arrival(&self.config, asked.is_tcp, asked.from, Some(to))
            .and_then(|arrival| teller.tell(&arrival, &asked.packet, &asked.supposed));
        for client in clients {
            match &told {
                Ok(told) => client.done(json!({ "lines": told.lines, "to": to, "way": told.json })),
                Err(error) => client.failed(error, &[]),
            }
        }
    }

    /// Shows or removes what the cache has.
    pub(super) fn cache(&self, asked: &OfCache, clients: Vec<Client>) {
        if self.bounds.workers == 0 {
            let error = "this node has no cache: it has no worker, because no rule needs one";
            return clients.into_iter().for_each(|client| client.failed(error, &[]));
        }
        let OfCache { purges, subtree, name } = asked.clone();
        let kind = if purges { CacheOrderKind::Purge } else { CacheOrderKind::Show(CACHE_SHOWN_MAX) };
        let lines = self.workers.order(&CacheOrder { name, subtree, kind });
        for client in clients {
            client.done(json!({ "lines": lines }));
        }
    }
}
