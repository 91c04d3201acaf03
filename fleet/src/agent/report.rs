//! What a node says of itself to whoever looks after the fleet: a kilobyte of JSON. Nobody signs it: the
//! carrier sees to it that no other node writes there, and nothing that matters follows from it alone.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::core::Verdict;
use crate::limits::{PROBLEMS_REPORTED, REPORT_LEN_MAX};

/// A report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The node.
    pub node: String,
    /// Its colo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colo: Option<String>,
    /// The version of the agent.
    pub agent: String,
    /// The version of the node, if it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u64>,
    /// The state of the node: `serving`, `draining`, `stopping`; `gone`.
    pub state: String,
    /// The release that it should have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wants: Option<String>,
    /// The release that is current in its folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has: Option<String>,
    /// The release that the node says it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<String>,
    /// Where it says it comes from: `current`, `good`, `fallback`, `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The last release that has proved itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<String>,
    /// For how many seconds the agent has been of this verdict, by its monotonic clock.
    pub since: u64,
    /// The clock of the node, in seconds of Unix time: who gets this sees whether it is wrong.
    pub clock: u64,
    /// How it fares.
    pub verdict: Verdict,
    /// What is wrong, the first of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Whether the node serves something else than what is current.
    #[serde(default)]
    pub drift: bool,
    /// Its prefixes, and whether they are announced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<(String, bool)>,
    /// Queries a second.
    #[serde(default)]
    pub qps: f64,
    /// How many seconds ago the source was last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view_age: Option<u64>,
    /// The source.
    pub source: String,
    /// Whether the release is on trial.
    #[serde(default)]
    pub baking: bool,
    /// The release that was refused, or taken back, until another one is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fell: Option<String>,
    /// Whether a pointer has the node drained.
    #[serde(default)]
    pub drained: bool,
    /// A hash over the node's compiled answers: two nodes of one release with others differ in their programs
    /// or local files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<String>,
}

impl Report {
    /// Takes over what the node says of itself.
    pub fn hear(&mut self, status: Option<&Value>) {
        let Some(status) = status else {
            "gone".clone_into(&mut self.state);
            return;
        };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        self.version = text(&status["version"]);
        self.pid = status["pid"].as_u64();
        self.state = text(&status["state"]).unwrap_or_default();
        self.qps = (status["queries_per_second"].as_f64().unwrap_or_default() * 10.0).round() / 10.0;
        let release = &status["release"];
        self.serves = text(&release["name"]);
        self.from = text(&release["state"]);
        self.answers = text(&release["answers"]);
        let problems = release["problems"].as_array().into_iter().flatten().filter_map(text);
        self.problems.extend(problems);
        let routes = status["announcers"].as_array().into_iter().flatten();
        let routes = routes.flat_map(|announcer| announcer["routes"].as_array().into_iter().flatten());
        let route = |route: &Value| Some((text(&route["prefix"])?, route["announced"] == true));
        self.routes = routes.filter_map(route).collect();
    }

    /// As it is sent: no longer than a report may be. What is too long is cut, the problems first.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut report = self.clone();
        report.problems.truncate(PROBLEMS_REPORTED);
        for len_max in [200, 100, 50, 0] {
            for problem in &mut report.problems {
                let end = problem.char_indices().nth(len_max).map_or(problem.len(), |(at, _)| at);
                problem.truncate(end);
            }
            let bytes = serde_json::to_vec(&report).unwrap_or_default();
            if bytes.len() <= REPORT_LEN_MAX {
                return bytes;
            }
        }
        report.routes.clear();
        serde_json::to_vec(&report).unwrap_or_default()
    }

    /// Whether somebody wants to know of it now, and not only when the next one is due.
    #[must_use]
    pub fn differs(&self, other: &Self) -> bool {
        let told = |report: &Self| {
            let Self {
                state, wants, has, serves, good, verdict, problems, drift, routes, answers, fell, ..
            } = report;
            let texts =
                [state.clone(), format!("{wants:?} {has:?} {serves:?} {good:?} {answers:?} {fell:?}")];
            (texts, *verdict, problems.clone(), *drift, routes.clone())
        };
        told(self) != told(other)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> Report {
        let text = json!({
            "node": "ams1", "agent": "0.1.0", "state": "", "since": 1, "clock": 2, "verdict": "fell-back",
            "source": "nats://hub",
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_report_says_what_the_node_says_and_stays_short() {
        let mut said = report();
        let prefixes = ["192.175.48.0/24", "2620:4f:8000::/48", "192.31.196.0/24", "2001:4:112::/48"];
        let routes: Vec<Value> =
            prefixes.iter().map(|prefix| json!({"prefix": prefix, "announced": true})).collect();
        said.problems = (0..9).map(|number| format!("{number} {}", "\u{fc}\"".repeat(300))).collect();
        said.hear(Some(&json!({
            "version": "0.2.0", "pid": 7, "state": "serving", "queries_per_second": 10_000.123,
            "release": {
                "name": "41-abcdef12", "state": "current", "answers": "0123456789abcdef", "problems": ["x"],
            },
            "announcers": [{"routes": routes}],
        })));
        let bytes = said.to_bytes();
        assert!(bytes.len() <= REPORT_LEN_MAX, "{}", bytes.len());
        let read: Report = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((read.pid, read.qps, read.verdict), (Some(7), 10_000.1, Verdict::FellBack));
        assert_eq!((read.serves.as_deref(), read.from.as_deref()), (Some("41-abcdef12"), Some("current")));
        assert_eq!((read.problems.len(), read.routes.len()), (PROBLEMS_REPORTED, 4));
        said.hear(None);
        assert_eq!(said.state, "gone");
    }

    #[test]
    fn news_is_what_somebody_would_look_at() {
        let (one, mut other) = (report(), report());
        (other.since, other.clock, other.qps, other.view_age) = (9, 9, 9.0, Some(9));
        assert!(!one.differs(&other));
        other.fell = Some("41-abcdef12".to_owned());
        assert!(one.differs(&other));
    }
}
