//! What waits in this node: workers, as many as rules need, and what operators ask of them.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::life::Node;
use super::placement::Placement;
use super::why::{arrival, why};
use crate::config::Config;
use crate::config::platform::Workers as Wanted;
use crate::control::orders::Client;
use crate::control::questions::{OfCache, Why};
use crate::policy::Policy;
use crate::problem::Problem;
use crate::serve::job::JobSettings;
use crate::stats::counters::{RULE_HITS, RULE_WOULD};
use crate::stats::labels::RULE;
use crate::sys::confine::Confined;
use crate::work::cache;

/// The ports of DNS, and of DNS over TLS: workers may connect to them whatever the rules are at the start.
const USUAL_PORTS: [u16; 2] = [53, 853];

/// How many workers a node has with these rules.
///
/// # Errors
/// If they need one, and there are to be none.
pub fn workers(config: &Config, policy: &Policy) -> Result<usize, Vec<Problem>> {
    match config.platform.workers {
        Wanted::Auto => Ok(usize::from(policy.needs_workers())),
        Wanted::Count(0) if policy.needs_workers() => Err(Problem::alone(
            "a rule or route hands queries over to workers, and [platform] workers is 0; set it to \"auto\" \
             or a number, or remove the rule",
        )),
        Wanted::Count(count) => Ok(count),
    }
}

/// How much can be handed over.
pub(super) fn job_settings(config: &Config, workers: usize) -> JobSettings {
    JobSettings { workers, jobs: config.platform.jobs, share: config.platform.share }
}

/// The cache of one of so many workers: together they have what is configured.
pub(super) fn cache_settings(config: &Config, workers: usize) -> cache::Settings {
    cache::Settings { size: config.cache.size / workers.max(1), ..config.cache.clone() }
}

/// The ports of the servers that rules may ask.
fn ports(policy: &Policy) -> BTreeSet<u16> {
    policy.upstreams().iter().flat_map(|upstream| &upstream.servers).map(SocketAddr::port).collect()
}

/// What workers may connect to, where there are any.
pub(super) fn open_ports(policy: &Policy, workers: usize) -> Vec<u16> {
    if workers == 0 {
        return Vec::new();
    }
    ports(policy).into_iter().chain(USUAL_PORTS).collect()
}

/// Workers and rules, for a person: a word and a text each.
#[must_use]
pub fn told(
    config: &Config,
    policy: &Policy,
    placement: &Placement,
    workers: usize,
) -> Vec<(&'static str, String)> {
    let cpus: Vec<String> = placement
        .worker_cpus(workers)
        .iter()
        .map(|cpu| cpu.map_or_else(|| "any CPU".to_owned(), |cpu| format!("CPU {cpu}")))
        .collect();
    let wanted = config.platform.workers;
    let why = if workers == 0 { "no rule needs one".to_owned() } else { cpus.join(", ") };
    let mut lines = vec![("workers", format!("{workers} ({wanted}): {why}"))];
    lines.extend(policy.notes().into_iter().map(|note| ("rule", note)));
    lines.extend(policy.folded().iter().map(|folded| ("rule", folded.clone())));
    lines
}

/// What this process was started with, and cannot get more of.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    /// How many workers it has.
    pub(super) workers: usize,
    /// The ports that they may connect to; `None` where nothing limits that.
    ports: Option<Vec<u16>>,
}

impl Bounds {
    pub(super) fn new(workers: usize, ports: Vec<u16>, confined: &Confined) -> Self {
        Self { workers, ports: confined.limits_ports().then_some(ports) }
    }

    /// Whether rules that were read again can be in force in this process.
    ///
    /// # Errors
    /// What of them needs another.
    pub(super) fn check(&self, policy: &Policy) -> Result<(), Vec<Problem>> {
        if !policy.needs_workers() {
            return Ok(());
        }
        if self.workers == 0 {
            return Err(Problem::alone(
                "a rule or route hands queries over to workers, and this process was started without: \
                 restart it, or `as112d upgrade` it, which loses no query",
            ));
        }
        let Some(open) = &self.ports else { return Ok(()) };
        let closed = ports(policy).into_iter().filter(|port| !open.contains(port));
        let problems: Vec<Problem> = closed
            .map(|port| {
                Problem::plain(format!(
                    "a rule asks a server on port {port}, which this process may not connect to (landlock): \
                     restart it, or `as112d upgrade` it, which loses no query"
                ))
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

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
