//! From what an operator has put there to applications: each module is checked and tried, before any of them
//! is relied on.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Described, read_dir};
use crate::config::Config;
use crate::config::certificates::with_roots;
use crate::config::rules::world;
use crate::policy::phase::Phase;
use crate::policy::{Action, Guest, Phrase, Policy, Rule, Series, World, check_hook};
use crate::problem::Problem;
use crate::stats::labels::Names;
use crate::work::sandbox::settings::Manifest;
use crate::work::sandbox::{App, Apps, Engine};

/// Applications that can be started, and what they are among rules.
#[derive(Debug, Default)]
pub struct Loaded {
    apps: Vec<App>,
    guests: Vec<Guest>,
}

/// The applications of the configuration.
///
/// # Errors
/// Every mistake in their manifests; without any, all that is wrong with their modules.
pub fn load(config: &Config) -> Result<Loaded, Vec<Problem>> {
    let described = config.platform.apps.as_deref().map_or_else(|| Ok(Vec::new()), read_dir)?;
    load_all(config, described)
}

/// These applications, as a node of this configuration would have them.
///
/// # Errors
/// All that is wrong with their modules.
pub fn load_all(config: &Config, described: Vec<Described>) -> Result<Loaded, Vec<Problem>> {
    if described.is_empty() {
        return Ok(Loaded::default());
    }
    let engine = Engine::new();
    let upstreams = with_roots(&config.upstreams)?;
    let mut guests: Vec<Guest> = described.iter().map(Described::guest).collect();
    let (mut apps, mut problems) = (Vec::new(), Vec::new());
    // Conditions of hooks may speak of all applications, but hooks are not known yet.
    let known = world(config, &upstreams, &guests, Series::default());
    for Described { mut manifest, module, .. } in described {
        manifest.config = told(&manifest.config, &known, &manifest.allow.forward);
        let mut check = |phase, text: &str| check_hook(&known, phase, text);
        match App::load(&engine, manifest, &module, &mut check) {
            Ok(app) => apps.push(app),
            Err(mistakes) => problems.extend(mistakes),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    for (guest, app) in guests.iter_mut().zip(&apps) {
        let place = app.manifest.module.display().to_string();
        let phrase = |text: &String| Phrase { text: text.clone(), place: place.clone() };
        guest.hooks = app.hooks.iter().map(|hook| (hook.phase, phrase(&hook.condition))).collect();
    }
    Ok(Loaded { apps, guests })
}

/// What a value of a manifest's `[config]` is that the node fills in with what rules may speak of here.
const NODE: &str = "node:";

/// The configuration of an application, with [`NODE`] filled in.
fn told(config: &[u8], world: &World<'_>, forward: &[String]) -> Vec<u8> {
    // It was made from a manifest: it is a map, but for one that has mistakes.
    let Ok(Value::Object(mut values)) = serde_json::from_slice(config) else { return config.to_vec() };
    for value in values.values_mut().filter(|value| **value == NODE) {
        *value = json!({
            "colo": world.colo,
            "node": world.node,
            "listeners": world.listeners,
            "upstreams": world.upstreams.iter().map(|upstream| &*upstream.name).collect::<Vec<_>>(),
            "resolver": world.resolver.is_some(),
            "databases": world.has_databases,
            "forward": forward,
        });
    }
    Value::Object(values).to_string().into_bytes()
}

impl Loaded {
    /// What they are among rules.
    #[must_use]
    pub fn guests(&self) -> &[Guest] {
        &self.guests
    }

    /// As this policy has numbered all that they ask and are counted by. Names of their own counters are put
    /// among `counted`.
    #[must_use]
    pub fn settled(self, policy: &Policy, counted: &mut Names) -> Arc<Apps> {
        let settle = |(number, mut app): (u16, App)| {
            app.upstreams = policy.forwards(number).to_vec();
            app.resolver = policy.resolver();
            app.label = policy.app_label(number);
            let metrics = &app.manifest.allow.metrics;
            app.metrics = metrics.iter().map(|name| counted.place_metric(&app.manifest.name, name)).collect();
            Arc::new(app)
        };
        Arc::new(Apps { apps: (0..).zip(self.apps).map(settle).collect() })
    }
}

/// What an operator should know of applications, though it is not a mistake.
#[must_use]
pub fn notes(apps: &Apps, policy: &Policy) -> Vec<String> {
    let note = |(number, app): (u16, &Arc<App>)| {
        let Manifest { name, router, allow, .. } = &app.manifest;
        let is_its = |rule: &&Rule| rule.action == Action::App(number);
        if !policy.rules().iter().any(|rule| is_its(&rule)) {
            return Some(format!(
                "application {name}: nothing calls it: it has no router and no hooks, and no rule names it"
            ));
        }
        let asks = allow.resolve || !allow.forward.is_empty();
        let is_for_all = |rule: &Rule| rule.phase == Phase::Route && rule.is_for_all;
        let takes_all = !router.is_empty() && policy.rules().iter().filter(is_its).any(is_for_all);
        (asks && takes_all).then(|| {
            format!(
                "application {name}: it may ask others, and its router does not name clients \
                 (`src in {{ ... }}`): if it asks for whoever asks it, this node is an open resolver"
            )
        })
    };
    (0..).zip(&apps.apps).filter_map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_is_told_of_the_node_if_it_wants() {
        let text = "[server]\nlisten = ['192.0.2.53:53']\n[identity]\nnode = 'n1.example'\n\
                    [platform]\ncolo = 'test1'\n\
                    [[upstream]]\nname = 'lan'\nservers = ['192.0.2.1']\n[resolver]\naddress = '192.0.2.9'\n";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let config = crate::config::load(Some(file.path()), &Default::default()).unwrap();
        let known = world(&config, &config.upstreams, &[], Series::default());
        let config = br#"{"a":"node:","b":["node:"],"c":"node"}"#;
        let told: Value = serde_json::from_slice(&told(config, &known, &["lan".to_owned()])).unwrap();
        let wanted = json!({
            "a": {
                "colo": "test1",
                "node": "n1.example",
                "listeners": ["192.0.2.53:53"],
                "upstreams": ["lan"],
                "resolver": true,
                "databases": false,
                "forward": ["lan"],
            },
            "b": ["node:"],
            "c": "node",
        });
        assert_eq!(told, wanted);
    }
}
