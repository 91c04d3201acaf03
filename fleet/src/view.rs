//! The fleet as its nodes report it: who has what, and who is in trouble.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use as112d::release::{Label, Pointer, Pointers, ReleaseName, Who};
use serde::Serialize;
use serde_json::Value;

use crate::carry::Said;
use crate::desk::AllPointers;
use crate::limits::SILENT_AFTER;
use crate::roll::{Seen, State};
use crate::settings::Settings;

/// What a node last said, as far as it was understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeView {
    /// The node.
    pub node: String,
    /// Its colo.
    pub colo: Option<String>,
    /// Its program.
    pub version: Option<String>,
    /// The release that it has, `41-abcdef12`.
    pub has: Option<String>,
    /// The release that the pointers want it to have.
    pub wants: Option<String>,
    /// Whether it watches itself.
    pub baking: bool,
    /// The release that it refused or fell back from.
    pub fell: Option<String>,
    /// The hash over its answers.
    pub answers: Option<String>,
    /// How it differs from what it should be.
    pub drift: Option<String>,
    /// What the node itself says: `serving`, `draining`; `gone` if it says nothing to its agent.
    pub state: Option<String>,
    /// Whether it is drained.
    pub drained: bool,
    /// What it complains of.
    pub problems: Vec<String>,
    /// Seconds since it was heard of; none if it never was.
    pub age: Option<u64>,
    /// How it is.
    pub trouble: Trouble,
}

/// How a node is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trouble {
    /// It refused the release that it should have, or fell back.
    Failed,
    /// Its agent reports, and the node itself does not answer.
    Gone,
    /// Nothing was heard of it for a while.
    Silent,
    /// It differs from what it should be.
    Drift,
    /// It does not have what it should.
    Behind,
    /// It complains of something, and does what it should.
    Complains,
    /// It watches itself.
    Baking,
    /// It is out of service, as was wanted.
    Drained,
    /// All is well.
    Fine,
}

impl Trouble {
    /// Whether somebody should look.
    #[must_use]
    pub fn is_off(self) -> bool {
        self < Self::Baking
    }

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Gone => "gone",
            Self::Silent => "silent",
            Self::Drift => "drift",
            Self::Behind => "behind",
            Self::Complains => "complains",
            Self::Baking => "baking",
            Self::Drained => "drained",
            Self::Fine => "fine",
        }
    }
}

/// What an agent says of a node that does not answer it.
const GONE: &str = "gone";

/// Text of a report, as a terminal may show it.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(200).collect()
}

fn text(report: &Value, key: &str) -> Option<String> {
    match &report[key] {
        Value::String(text) if !text.is_empty() => Some(clean(text)),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(list) if !list.is_empty() => {
            let parts: Vec<String> = list.iter().filter_map(Value::as_str).map(clean).collect();
            Some(parts.join(", "))
        }
        Value::Bool(true) => Some("yes".to_owned()),
        _ => None,
    }
}

/// The nodes that are known: by the settings, or as they have reported. What a pointer wants of each is what
/// counts, not what the node believes.
#[must_use]
pub fn nodes(settings: &Settings, fleet: &Label, said: &[Said], pointers: &AllPointers) -> Vec<NodeView> {
    let mut found = BTreeMap::new();
    for (node, colo) in &settings.nodes {
        found.insert(node.to_string(), (Some(colo.to_string()), None));
    }
    for said in said {
        let report: Value = serde_json::from_slice(&said.text).unwrap_or_default();
        let colo = text(&report, "colo");
        let known = found.remove(&said.node).and_then(|(colo, _)| colo);
        // Which colo a node is of is its own matter, unless the publisher has written it down.
        found.insert(said.node.clone(), (known.or(colo), Some((report, said.age))));
    }
    let mut nodes: Vec<NodeView> = found
        .into_iter()
        .filter_map(|(node, (colo, said))| {
            let who = Who {
                fleet: fleet.clone(),
                colo: colo.and_then(|colo| colo.parse().ok()),
                node: node.parse().ok()?,
            };
            Some(view(&who, said.as_ref(), pointers))
        })
        .collect();
    nodes.sort_by(|one, other| (one.trouble, &one.node).cmp(&(other.trouble, &other.node)));
    nodes
}

/// The pointers of one node.
#[must_use]
pub fn pointers_of(who: &Who, pointers: &AllPointers) -> Pointers {
    let mut its = Pointers::default();
    for pointer in who.scopes().filter_map(|scope| pointers.get(&scope)?.content()) {
        its.note(who, pointer.clone());
    }
    its
}

fn view(who: &Who, said: Option<&(Value, Duration)>, pointers: &AllPointers) -> NodeView {
    let its = pointers_of(who, pointers);
    let wants = its.effective().and_then(|pointer: &Pointer| pointer.wanted(who)).map(ToString::to_string);
    let none = Value::Null;
    let report = said.map_or(&none, |(report, _)| report);
    let age = said.map(|(_, age)| *age);
    let mut view = NodeView {
        node: who.node.to_string(),
        colo: who.colo.as_ref().map(ToString::to_string),
        version: text(report, "version"),
        has: text(report, "has"),
        wants,
        baking: report["baking"].as_bool().unwrap_or_else(|| !report["baking"].is_null()),
        fell: text(report, "fell"),
        answers: text(report, "answers"),
        drift: text(report, "drift"),
        state: text(report, "state"),
        drained: report["drained"].as_bool().unwrap_or_default(),
        problems: match &report["problems"] {
            Value::Array(list) => list.iter().filter_map(Value::as_str).map(clean).collect(),
            _ => vec![],
        },
        age: age.map(|age| age.as_secs()),
        trouble: Trouble::Fine,
    };
    view.trouble = trouble(&view, age);
    view
}

fn trouble(view: &NodeView, age: Option<Duration>) -> Trouble {
    if age.is_none_or(|age| age > SILENT_AFTER) {
        return Trouble::Silent;
    }
    match &view.wants {
        Some(wants) if view.fell.as_ref() == Some(wants) => Trouble::Failed,
        _ if view.state.as_deref() == Some(GONE) => Trouble::Gone,
        _ if view.drift.is_some() => Trouble::Drift,
        Some(wants) if view.has.as_ref() != Some(wants) => Trouble::Behind,
        _ if !view.problems.is_empty() => Trouble::Complains,
        _ if view.baking => Trouble::Baking,
        _ if view.drained => Trouble::Drained,
        _ => Trouble::Fine,
    }
}

/// The same nodes as a roll of `release` sees them.
#[must_use]
pub fn seen(nodes: &[NodeView], fleet: &Label, release: &ReleaseName) -> Vec<Seen> {
    let name = release.to_string();
    let one = |view: &NodeView| {
        let who = Who {
            fleet: fleet.clone(),
            colo: view.colo.as_ref().and_then(|colo| colo.parse().ok()),
            node: view.node.parse().ok()?,
        };
        let has_it = view.has.as_ref() == Some(&name);
        let state = if view.trouble == Trouble::Silent {
            State::Silent
        } else if view.fell.as_ref() == Some(&name) {
            State::Failed(view.problems.first().cloned().unwrap_or_else(|| "it says no reason".to_owned()))
        } else if has_it && view.trouble == Trouble::Gone {
            State::Failed("the node does not answer its agent".to_owned())
        } else if has_it && view.baking {
            State::Baking
        } else if has_it {
            State::Healthy
        } else {
            State::Behind
        };
        Some(Seen { who, state })
    };
    nodes.iter().filter_map(one).collect()
}

/// How many nodes answer alike: by release and hash of answers, the most first.
#[must_use]
pub fn groups(nodes: &[NodeView]) -> Vec<(String, String, usize)> {
    let mut groups: BTreeMap<(String, String), usize> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.age.is_some()) {
        let part = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        *groups.entry((part(&node.has), part(&node.answers))).or_default() += 1;
    }
    let mut groups: Vec<_> =
        groups.into_iter().map(|((has, answers), count)| (has, answers, count)).collect();
    groups.sort_by_key(|(_, _, count)| Reverse(*count));
    groups
}

#[cfg(test)]
mod tests {
    use as112d::release::{Digest, Refused, Scope, Signed, Words};
    use serde_json::json;

    use super::*;
    use crate::desk::Held;

    fn label(text: &str) -> Label {
        text.parse().unwrap()
    }

    fn name(number: u64) -> ReleaseName {
        ReleaseName { number, digest: Digest::of(&number.to_be_bytes()) }
    }

    fn pointers(scope: &str, number: u64) -> AllPointers {
        let scope: Scope = scope.parse().unwrap();
        let content = Pointer {
            format: 1,
            fleet: label("f"),
            scope: scope.clone(),
            serial: 1,
            kind: as112d::release::pointer::Kind::Want,
            release: Some(name(number)),
            share: 100,
            otherwise: None,
            bake: None,
            drain: None,
            reason: None,
            by: Words::new("ann").unwrap(),
            made_at: Words::new("now").unwrap(),
        };
        let read: Result<_, Refused> = Ok(Signed { content, digest: Digest::of(b""), by: vec![] });
        AllPointers::from([(scope, Held { raw: vec![], read })])
    }

    fn said(node: &str, report: &Value, age: u64) -> Said {
        Said { node: node.to_owned(), text: report.to_string().into_bytes(), age: Duration::from_secs(age) }
    }

    fn settings(nodes: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::read(None, Some(std::path::Path::new("/nowhere"))).unwrap();
        settings.nodes = nodes.iter().map(|(node, colo)| (label(node), label(colo))).collect();
        settings
    }

    #[test]
    fn those_in_trouble_come_first() {
        let has = name(41).to_string();
        let reports = [
            said("a", &json!({"has": has, "answers": "aa", "colo": "ams"}), 1),
            said("b", &json!({"has": has, "baking": true, "answers": "aa"}), 1),
            said("c", &json!({"has": name(40).to_string(), "answers": "bb"}), 1),
            said(
                "d",
                &json!({"has": name(40).to_string(), "fell": has, "problems": ["probe: \u{1b}[2J"]}),
                1,
            ),
            said("e", &json!({"has": has, "drift": ["answers differ"]}), 1),
            said("f", &json!({"has": has}), 500),
            said("g", &json!({"has": has, "drained": true}), 1),
            said("h", &json!({"has": has, "problems": ["disk: full"]}), 1),
            said("i", &json!("what"), 1),
            said("j", &json!({"has": has, "state": "gone"}), 1),
            said("../x", &json!({}), 1),
        ];
        let nodes = nodes(&settings(&[("z", "fra")]), &label("f"), &reports, &pointers("fleet", 41));
        let told: Vec<String> =
            nodes.iter().map(|node| format!("{} {}", node.node, node.trouble.word())).collect();
        assert_eq!(
            told,
            [
                "d failed",
                "j gone",
                "f silent",
                "z silent",
                "e drift",
                "c behind",
                "i behind",
                "h complains",
                "b baking",
                "g drained",
                "a fine"
            ]
        );
        assert_eq!(nodes[0].problems, ["probe: ?[2J"]);
        assert_eq!((nodes[3].colo.as_deref(), nodes[3].age), (Some("fra"), None));
        let off = nodes.iter().filter(|node| node.trouble.is_off()).count();
        assert_eq!(off, 8);
        let groups = groups(&nodes);
        assert_eq!(groups[0], (name(41).to_string(), "-".to_owned(), 5));
        assert_eq!(groups.iter().map(|(_, _, count)| count).sum::<usize>(), 10);
    }

    #[test]
    fn a_roll_sees_states() {
        let has = name(41).to_string();
        let reports = [
            said("a", &json!({"has": has, "colo": "ams"}), 1),
            said("b", &json!({"has": has, "baking": true}), 1),
            said("c", &json!({"has": "40-x", "fell": has, "problems": ["cpu: twice"]}), 1),
            said("d", &json!({"has": "40-x"}), 1),
            said("e", &json!({"has": has}), 500),
            said("f", &json!({"has": has, "state": "gone"}), 1),
        ];
        let nodes = nodes(&settings(&[]), &label("f"), &reports, &pointers("colo/ams", 41));
        let mut seen = seen(&nodes, &label("f"), &name(41));
        seen.sort_by_key(|seen| seen.who.node.to_string());
        let states: Vec<State> = seen.iter().map(|seen| seen.state.clone()).collect();
        assert_eq!(
            states,
            [
                State::Healthy,
                State::Baking,
                State::Failed("cpu: twice".to_owned()),
                State::Behind,
                State::Silent,
                State::Failed("the node does not answer its agent".to_owned()),
            ]
        );
        assert_eq!(seen[0].who.colo, Some(label("ams")));
        // Nothing is wanted of who is not in ams: there is no release that it could be behind.
        assert_eq!(nodes.iter().find(|node| node.node == "d").unwrap().trouble, Trouble::Fine);
    }

    #[test]
    fn the_publishers_list_says_where_a_node_is() {
        let reports = [said("a", &json!({"colo": "elsewhere"}), 1)];
        let nodes = nodes(&settings(&[("a", "ams")]), &label("f"), &reports, &AllPointers::new());
        assert_eq!(nodes[0].colo.as_deref(), Some("ams"));
    }
}
