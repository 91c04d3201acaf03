//! How much of its nodes' time a fleet's history has, and which nodes are missing.

use std::fmt;

use rusqlite::{Connection, params};
use serde_json::{Map, Value};

use super::is_fleet;
use crate::history::{MINUTE, Stored};
use crate::limits::{FLEET_GAP_UNTOLD_MAX, FLEET_NAMED_MAX, FLEET_NODE_EXPECTED_FOR, HISTORY_RESOLUTIONS};

/// A node, in a span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Where it is; empty where nobody said.
    pub colo: String,
    /// The seconds that are accounted for, and those that should be.
    pub seconds: u64,
    /// See [`seconds`](Self::seconds).
    pub expected: u64,
    /// Its queries.
    pub queries: u64,
    /// The end of its last minute; 0 if there is none.
    pub until: u64,
    /// When it was heard last.
    pub heard: u64,
    /// By how many seconds its clock is ahead, where that is more than a message takes.
    pub ahead: i64,
}

impl Node {
    /// Whether all of its time is there.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.seconds + FLEET_GAP_UNTOLD_MAX >= self.expected
    }

    /// Whether there should be something, and there is nothing.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        self.seconds == 0 && !self.is_whole()
    }
}

/// The nodes of a fleet, in a span of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// By name.
    pub nodes: Vec<Node>,
}

impl Coverage {
    /// Reads how it is from `start` to before `end`, by whole quarters of an hour or days;
    /// `None` of the history of a node.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn of(stored: &Stored, span: (u64, u64)) -> rusqlite::Result<Option<Self>> {
        Self::read(stored.connection(), span)
    }

    /// The same of a connection.
    ///
    /// # Errors
    /// As those.
    pub(crate) fn read(db: &Connection, (start, end): (u64, u64)) -> rusqlite::Result<Option<Self>> {
        if !is_fleet(db)? {
            return Ok(None);
        }
        let [_, (quarter, quarters_kept), _, (day, _)] = HISTORY_RESOLUTIONS;
        let resolution = if start + quarters_kept >= end { quarter } else { day };
        let start = start - start % resolution;
        let mut query = db.prepare_cached(
            "SELECT nodes.node, colo, began, until, heard, ahead,
                    coalesce(sum(seconds), 0), coalesce(sum(queries), 0)
               FROM fleet_nodes AS nodes LEFT JOIN fleet_minutes AS minutes
                 ON resolution = ?1 AND start >= ?2 AND start < ?3 AND minutes.node = nodes.node
              WHERE heard >= ?4 GROUP BY nodes.node ORDER BY nodes.node",
        )?;
        let since = end.saturating_sub(FLEET_NODE_EXPECTED_FOR.as_secs());
        let rows = query.query_map(params![resolution, start, end, since], |row| {
            let began: u64 = row.get(2)?;
            let expected = end.saturating_sub(start.max(began));
            Ok(Node {
                name: row.get(0)?,
                colo: row.get(1)?,
                // What came of the minute after `end` is on top.
                seconds: row.get::<_, u64>(6)?.min(expected),
                expected,
                queries: row.get(7)?,
                until: row.get(3)?,
                heard: row.get(4)?,
                ahead: row.get(5)?,
            })
        })?;
        Ok(Some(Self { nodes: rows.collect::<rusqlite::Result<_>>()? }))
    }

    /// How many nodes have all of their time there.
    #[must_use]
    pub fn whole(&self) -> usize {
        self.nodes.iter().filter(|node| node.is_whole()).count()
    }

    /// The seconds of all nodes that are accounted for, and those that should be.
    #[must_use]
    pub fn seconds(&self) -> (u64, u64) {
        self.nodes.iter().fold((0, 0), |sum, node| (sum.0 + node.seconds, sum.1 + node.expected))
    }

    /// The same in minutes.
    #[must_use]
    pub fn minutes(&self) -> (u64, u64) {
        let (seconds, expected) = self.seconds();
        (seconds.div_ceil(MINUTE), expected.div_ceil(MINUTE))
    }

    /// Those of which something is missing, the most first.
    #[must_use]
    pub fn incomplete(&self) -> Vec<&Node> {
        let mut nodes: Vec<&Node> = self.nodes.iter().filter(|node| !node.is_whole()).collect();
        nodes.sort_by_key(|node| std::cmp::Reverse(node.expected - node.seconds));
        nodes
    }
}

/// For people, as `97 of 100 nodes, 99.1 % of node minutes; missing: ams1; in part: lis2 (83.3 %)`.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, expected) = self.seconds();
        let share = share(seconds, expected);
        write!(f, "{} of {} nodes, {share} of node minutes", self.whole(), self.nodes.len())?;
        let (missing, in_part): (Vec<&Node>, Vec<&Node>) =
            self.incomplete().into_iter().partition(|node| node.is_missing());
        let of_part = |node: &&Node| format!("{} ({})", node.name, self::share(node.seconds, node.expected));
        let missing: Vec<String> = missing.iter().map(|node| node.name.clone()).collect();
        let in_part: Vec<String> = in_part.iter().map(of_part).collect();
        for (what, nodes) in [("missing", missing), ("in part", in_part)] {
            if nodes.is_empty() {
                continue;
            }
            let named = nodes.len().min(FLEET_NAMED_MAX);
            write!(f, "; {what}: {}", nodes[..named].join(", "))?;
            if nodes.len() > named {
                write!(f, " and {} more", nodes.len() - named)?;
            }
        }
        Ok(())
    }
}

/// A share as people write it: all of it only where nothing is missing.
#[must_use]
pub fn share(part: u64, all: u64) -> String {
    let tenths = if part >= all { 1000 } else { u128::from(part) * 1000 / u128::from(all) };
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// A node as it is now: what is known of it, and what it last said of itself.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub colo: String,
    /// The end of its last minute.
    pub until: u64,
    /// By how many seconds its clock is ahead.
    pub ahead: i64,
    /// Its last report, and when it came.
    pub report: Option<(Map<String, Value>, u64)>,
}

/// All nodes that are expected at `now`.
///
/// # Errors
/// Those of the disk.
pub fn known(stored: &Stored, now: u64) -> rusqlite::Result<Vec<Known>> {
    let mut query = stored.connection().prepare_cached(
        "SELECT node, colo, until, ahead, report, reported FROM fleet_nodes WHERE heard >= ? ORDER BY node",
    )?;
    let since = now.saturating_sub(FLEET_NODE_EXPECTED_FOR.as_secs());
    let rows = query.query_map([since], |row| {
        let report: Option<String> = row.get(4)?;
        let report = report.and_then(|text| serde_json::from_str(&text).ok());
        let reported: Option<u64> = row.get(5)?;
        Ok(Known {
            name: row.get(0)?,
            colo: row.get(1)?,
            until: row.get(2)?,
            ahead: row.get(3)?,
            report: report.zip(reported),
        })
    })?;
    rows.collect()
}

/// What nodes have counted in all, by place (or of one node by its name), family and labels.
///
/// # Errors
/// Those of the disk.
pub fn totals(stored: &Stored, node: Option<&str>) -> rusqlite::Result<Vec<(String, String, String, u64)>> {
    let mut query = stored.connection().prepare_cached(
        "SELECT iif(?1 IS NULL, colo, source) AS place, family, labels, sum(total)
           FROM totals JOIN series ON id = series JOIN fleet_nodes ON node = source
          WHERE ?1 IS NULL OR source = ?1 GROUP BY family, place, series ORDER BY family, place, series",
    )?;
    query.query_map([node], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_who_is_missing() {
        let node = |name: &str, seconds, expected| Node {
            name: name.to_owned(),
            colo: String::new(),
            seconds,
            expected,
            queries: 0,
            until: 0,
            heard: 0,
            ahead: 0,
        };
        let mut coverage = Coverage { nodes: vec![node("a", 3600, 3600), node("b", 3598, 3600)] };
        assert_eq!(coverage.to_string(), "2 of 2 nodes, 99.9 % of node minutes");
        coverage.nodes.extend([node("c", 0, 3600), node("d", 3000, 3600), node("new", 0, 0)]);
        assert_eq!(
            coverage.to_string(),
            "3 of 5 nodes, 70.8 % of node minutes; missing: c; in part: d (83.3 %)"
        );
        coverage.nodes.extend((0..20).map(|number| node(&format!("m{number:02}"), 0, 60)));
        let line = coverage.to_string();
        assert!(
            line.contains("missing: c, m00, m01, m02, m03, m04, m05, m06 and 13 more; in part"),
            "{line}"
        );
        assert_eq!(Coverage::default().to_string(), "0 of 0 nodes, 100.0 % of node minutes");
    }
}
