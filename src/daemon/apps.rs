//! Applications of a node: what an operator is told of them, and what a process can give them.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::apps::notes;
use crate::config::written::SizeText;
use crate::policy::{Action, Policy, rcode_text};
use crate::serve::snapshot::Snapshot;
use crate::work::sandbox::call::Called;
use crate::work::sandbox::settings::Manifest;
use crate::work::sandbox::{App, Apps};

/// The applications of a snapshot.
#[must_use]
pub fn of(snapshot: &Snapshot) -> Arc<Apps> {
    snapshot.apps().get::<Apps>().unwrap_or_default()
}

/// What an application may do besides looking at queries and answering them.
#[must_use]
pub fn may(manifest: &Manifest) -> String {
    let allow = &manifest.allow;
    let mut parts = Vec::new();
    let mut asked = allow.forward.clone();
    asked.extend(allow.resolve.then(|| "the resolver".to_owned()));
    if !asked.is_empty() {
        parts.push(format!("ask {}", asked.join(", ")));
    }
    if allow.geo {
        parts.push("look up where addresses are".to_owned());
    }
    if !allow.cache_purge.is_empty() {
        let names: Vec<String> = allow.cache_purge.iter().map(|name| shown(name)).collect();
        parts.push(format!("purge the cache below {}", names.join(", ")));
    }
    if !allow.sockets.is_empty() {
        let paths: Vec<String> = allow.sockets.iter().map(|path| path.display().to_string()).collect();
        parts.push(format!("connect to {}", paths.join(", ")));
    }
    if !allow.metrics.is_empty() {
        parts.push(format!("count {}", allow.metrics.join(", ")));
    }
    if allow.authoritative {
        parts.push("set AA in its replies".to_owned());
    }
    if parts.is_empty() { "nothing but answer what it is asked".to_owned() } else { parts.join("; ") }
}

/// What an application says of a query, for a person.
#[must_use]
pub fn verdict(called: Called, policy: &Policy) -> String {
    match called {
        Called::Pass => "PASS".to_owned(),
        Called::Reply => "REPLY".to_owned(),
        Called::Code(rcode, error) => {
            let error = error.map_or_else(String::new, |error| format!(", extended error {error}"));
            format!("RCODE {}{error}", rcode_text(rcode))
        }
        Called::Drop => "DROP".to_owned(),
        Called::Later => "LATER: it holds the query, and asks others first".to_owned(),
        Called::Changed => "CHANGED: it asks about another query".to_owned(),
        Called::Retry(upstream) => {
            let upstream = policy.upstreams().get(usize::from(upstream));
            format!("RETRY: {} is asked", upstream.map_or("?", |upstream| upstream.name.as_str()))
        }
        Called::Failed => "none that counts".to_owned(),
    }
}

/// A name in wire form, as text.
fn shown(wire: &[u8]) -> String {
    domain::base::Name::from_slice(wire).map_or_else(|_| "?".to_owned(), |name| format!("{name}."))
}

/// Applications, for a person: a word and a text each.
#[must_use]
pub fn told(apps: &Apps, policy: &Policy) -> Vec<(&'static str, String)> {
    let line = |(number, app): (u16, &Arc<App>)| {
        let Manifest { name, limits, .. } = &app.manifest;
        let rules = policy.rules().iter().filter(|rule| rule.action == Action::App(number));
        let mut phases: Vec<&str> = rules.map(|rule| rule.phase.name()).collect();
        phases.dedup();
        let called = if phases.is_empty() {
            "called by nothing".to_owned()
        } else {
            format!("called in {}", phases.join(", "))
        };
        let memory = SizeText(limits.memory);
        ("app", format!("{name}: {called}; at most {memory} an instance; may {}", may(&app.manifest)))
    };
    let lines = (0..).zip(&apps.apps).map(line);
    lines.chain(notes(apps, policy).into_iter().map(|note| ("note", note))).collect()
}

/// The local sockets that applications may connect to.
#[must_use]
pub fn sockets(apps: &Apps) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        apps.apps.iter().flat_map(|app| app.manifest.allow.sockets.iter().cloned()).collect();
    paths.sort();
    paths.dedup();
    paths
}
