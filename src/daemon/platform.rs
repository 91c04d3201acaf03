//! What waits in this node: workers, as many as rules need, and what operators ask of them.

use serde_json::{Value, json};

use super::life::Node;
use super::why::{arrival, why};
use crate::control::orders::Client;
use crate::control::questions::{OfCache, Why};
use crate::stats::counters::{RULE_HITS, RULE_WOULD};
use crate::stats::labels::RULE;

/// What operators ask.
impl Node {
    /// Rules and routes in their order, and how often each has matched since the counts began.
    pub(super) fn rules(&self) -> Value {
        let snapshot = self.published.newest();
        let policy = snapshot.policy();
        let totals = self.board.read().total;
        let (hits, would) = (RULE_HITS.of(&totals), RULE_WOULD.of(&totals));
        let rules = policy.rules().iter().map(|rule| {
            // The last value is of all that have no counter of their own.
            let label = Some(usize::from(rule.label)).filter(|label| *label < RULE.len - 1);
            json!({
                "name": rule.name,
                "place": rule.place,
                "phase": rule.phase.name(),
                "state": if rule.dry_run { "dry-run" } else { "in force" },
                "hits": label.map(|label| hits[label]),
                "would": label.map(|label| would[label]),
            })
        });
        json!({ "rules": rules.collect::<Vec<_>>(), "folded": policy.folded() })
    }

    /// The way of a query, by what is served now.
    pub(super) fn why(&self, asked: &Why, clients: Vec<Client>) {
        let to = asked.to.unwrap_or(self.config.listen[0]);
        let told = arrival(&self.config, asked.is_tcp, asked.from, Some(to))
            .and_then(|arrival| why(&self.published.newest(), &arrival, &asked.packet));
        for client in clients {
            match &told {
                Ok(lines) => client.done(json!({ "lines": lines, "to": to })),
                Err(error) => client.failed(error, &[]),
            }
        }
    }

    /// Shows or removes what the cache has.
    pub(super) fn cache(&self, asked: &OfCache, clients: Vec<Client>) {
        let _ = asked;
        for client in clients {
            client.failed("this node has no cache: no rule needs a worker", &[]);
        }
    }
}
