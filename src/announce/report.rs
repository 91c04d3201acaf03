//! What the announcer tells the node of itself, a line of JSON at each change: the node shows it to people.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The state of all that an announcer announces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Who announces, in words.
    pub router: String,
    /// Why the router does not take a change, where it does not.
    #[serde(default)]
    pub refused: Option<String>,
    /// The prefixes.
    pub routes: Vec<Route>,
}

/// The state of a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The prefix.
    pub prefix: IpNet,
    /// Whether it is announced.
    pub announced: bool,
    /// For how many seconds it will not be, whatever its probes say.
    #[serde(default)]
    pub held_seconds: Option<u64>,
    /// The addresses whose last probe failed, each with the reason.
    #[serde(default)]
    pub failing: Vec<String>,
}

impl Report {
    /// Whether it says the same as another, but for time that has passed.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let timeless = |report: &Self| {
            let mut report = report.clone();
            for route in &mut report.routes {
                route.held_seconds = route.held_seconds.map(|_| 0);
            }
            report
        };
        timeless(self) == timeless(other)
    }
}
