//! What differs between two releases: their files, and what a node answers with each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use as112d::release::{Manifest, Who};
use serde::Serialize;

use crate::limits::DIFF_LINES_MAX;
use crate::loads::Served;

/// What differs for one kind of nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Paths that are new, gone, or other.
    pub files_added: Vec<String>,
    /// See [`Diff::files_added`].
    pub files_removed: Vec<String>,
    /// See [`Diff::files_added`].
    pub files_changed: Vec<String>,
    /// Zones that are new, gone, or other.
    pub zones_added: Vec<String>,
    /// See [`Diff::zones_added`].
    pub zones_removed: Vec<String>,
    /// See [`Diff::zones_added`].
    pub zones_changed: Vec<String>,
    /// Records of the zones that changed, `-` or `+` in front; a bounded number.
    pub records: Vec<String>,
    /// How many more there are.
    pub records_more: usize,
    /// The hash over all answers before, and now.
    pub answers: (Option<String>, String),
}

impl Diff {
    /// Between what nodes have and what they would get.
    #[must_use]
    pub fn between(
        before: Option<(&Manifest, &Served)>,
        (manifest, served): (&Manifest, &Served),
        who: &Who,
    ) -> Self {
        let mut diff = Self::default();
        let hashes = |manifest: &Manifest| -> BTreeMap<String, String> {
            manifest.parts(who).map(|file| (file.path.to_string(), file.sha256.to_string())).collect()
        };
        let files = before.map(|(manifest, _)| hashes(manifest)).unwrap_or_default();
        [diff.files_added, diff.files_removed, diff.files_changed] = compared(&files, &hashes(manifest));
        let none = BTreeMap::new();
        let zones = before.map_or(&none, |(_, served)| &served.zones);
        [diff.zones_added, diff.zones_removed, diff.zones_changed] = compared(zones, &served.zones);
        for apex in diff.zones_changed.clone() {
            let lines = |zones: &BTreeMap<String, Vec<String>>| -> BTreeSet<String> {
                zones.get(&apex).into_iter().flatten().cloned().collect()
            };
            let (old, new) = (lines(zones), lines(&served.zones));
            let gone = old.difference(&new).map(|line| format!("- {line}"));
            for line in gone.chain(new.difference(&old).map(|line| format!("+ {line}"))) {
                if diff.records.len() < DIFF_LINES_MAX {
                    diff.records.push(line);
                } else {
                    diff.records_more += 1;
                }
            }
        }
        diff.answers = (before.map(|(_, served)| served.answers.clone()), served.answers.clone());
        diff
    }

    /// Whether nothing differs that a client could see.
    #[must_use]
    pub fn has_same_answers(&self) -> bool {
        self.answers.0.as_ref() == Some(&self.answers.1)
    }

    /// For people, below a line that names the kind of nodes.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut list = |what: &str, sign: char, names: &[String]| {
            for name in names {
                let _ = writeln!(out, "  {sign} {what} {name}");
            }
        };
        list("file", '+', &self.files_added);
        list("file", '-', &self.files_removed);
        list("file", '~', &self.files_changed);
        list("zone", '+', &self.zones_added);
        list("zone", '-', &self.zones_removed);
        list("zone", '~', &self.zones_changed);
        for line in &self.records {
            let _ = writeln!(out, "      {line}");
        }
        if self.records_more > 0 {
            let _ = writeln!(out, "      ... and {} more", self.records_more);
        }
        let _ = match &self.answers {
            (Some(before), now) if before == now => writeln!(out, "  answers {now}, as before"),
            (Some(before), now) => writeln!(out, "  answers {now}, and {before} before"),
            (None, now) => writeln!(out, "  answers {now}"),
        };
        out
    }
}

/// The names of what is new, gone, and other.
fn compared<T: PartialEq>(before: &BTreeMap<String, T>, now: &BTreeMap<String, T>) -> [Vec<String>; 3] {
    let names = |one: &BTreeMap<String, T>, keep: &dyn Fn(&String, &T) -> bool| -> Vec<String> {
        one.iter().filter(|(name, value)| keep(name, value)).map(|(name, _)| name.clone()).collect()
    };
    [
        names(now, &|name, _| !before.contains_key(name)),
        names(before, &|name, _| !now.contains_key(name)),
        names(now, &|name, value| before.get(name).is_some_and(|known| known != value)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(zones: &[(&str, &[&str])], answers: &str) -> Served {
        let zone = |(apex, lines): &(&str, &[&str])| {
            (apex.to_string(), lines.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        Served { zones: zones.iter().map(zone).collect(), answers: answers.to_owned(), warnings: vec![] }
    }

    fn manifest(files: &[(&str, &str)]) -> Manifest {
        let files: Vec<serde_json::Value> = files
            .iter()
            .map(|(path, text)| {
                serde_json::json!({
                    "path": path,
                    "len": text.len(),
                    "sha256": as112d::release::Digest::of(text.as_bytes()),
                    "kind": "zone",
                    "for": "fleet",
                })
            })
            .collect();
        let manifest = serde_json::json!({
            "format": 1, "fleet": "f", "number": 1, "made_at": "now", "files": files,
        });
        Manifest::parse(manifest.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_differs_is_named() {
        let who = Who { fleet: "f".parse().unwrap(), colo: None, node: "n".parse().unwrap() };
        let old = (
            manifest(&[("a", "1"), ("b", "1"), ("c", "1")]),
            served(&[("x.", &["1", "2"]), ("y.", &["1"])], "aa"),
        );
        let new = (
            manifest(&[("a", "1"), ("b", "2"), ("d", "1")]),
            served(&[("x.", &["2", "3"]), ("z.", &["1"])], "bb"),
        );
        let diff = Diff::between(Some((&old.0, &old.1)), (&new.0, &new.1), &who);
        assert_eq!(
            diff.text(),
            "  + file d\n  - file c\n  ~ file b\n  + zone z.\n  - zone y.\n  ~ zone x.\n\
             \x20     - 1\n      + 3\n  answers bb, and aa before\n"
        );
        assert!(!diff.has_same_answers());
        let same = Diff::between(Some((&old.0, &old.1)), (&old.0, &old.1), &who);
        assert_eq!((same.text().as_str(), same.has_same_answers()), ("  answers aa, as before\n", true));
        let first = Diff::between(None, (&new.0, &new.1), &who);
        assert_eq!((first.files_added.len(), first.zones_added.len()), (3, 2));
        assert!(!first.has_same_answers());
    }

    #[test]
    fn records_have_a_bound() {
        let lines: Vec<String> = (0..DIFF_LINES_MAX + 7).map(|at| format!("{at}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let who = Who { fleet: "f".parse().unwrap(), colo: None, node: "n".parse().unwrap() };
        let one = manifest(&[]);
        let (old, new) = (served(&[("x.", &[])], "a"), served(&[("x.", &lines)], "b"));
        let diff = Diff::between(Some((&one, &old)), (&one, &new), &who);
        assert_eq!((diff.records.len(), diff.records_more), (DIFF_LINES_MAX, 7));
        assert!(diff.text().contains("... and 7 more"));
    }
}
