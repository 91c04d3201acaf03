//! What a watcher tells the node: a line of JSON at each change, with all that it knows.

use serde::{Deserialize, Serialize};

/// All PoPs of which a watcher knows whether they are up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Those of which nothing is known yet are not among them.
    pub pops: Vec<Seen>,
}

/// A PoP as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Whether it is up.
    pub up: bool,
    /// Why not, or why the last probe failed.
    #[serde(default)]
    pub why: Option<String>,
}
