//! A fleet for Prometheus: the counters of a node's history by place, or of one node, and how each node is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use super::{COARSE_SIZES, Format, Text};
use crate::board::sum_of;
use crate::history::fleet::coverage::{Coverage, Known, known, totals};
use crate::history::{DAY, MINUTE, Stored};
use crate::limits::FLEET_SETTLED_AFTER;
use crate::stats::counters::{FAMILIES, Family};
use crate::stats::uniques::KINDS;

/// What has become of messages since the collector has started.
#[derive(Debug, Default)]
pub struct Collected([AtomicU64; Outcome::ALL.len()]);

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It counts.
    Counted,
    /// It had counted already.
    Repeated,
    /// It came when its time was settled.
    Late,
    /// It is not a message.
    Malformed,
    /// It is of more nodes than there may be.
    Stranger,
}

impl Outcome {
    const ALL: [Self; 5] = [Self::Counted, Self::Repeated, Self::Late, Self::Malformed, Self::Stranger];

    const fn name(self) -> &'static str {
        ["counted", "repeated", "late", "malformed", "stranger"][self as usize]
    }
}

impl Collected {
    /// Notes so many more.
    pub fn add(&self, outcome: Outcome, more: u64) {
        self.0[outcome as usize].fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize].load(Ordering::Relaxed)
    }
}

/// Counters with the labels of their place, by those of their own.
type Samples = BTreeMap<(String, String), u64>;

/// Everything of a fleet at `now`, of all nodes by colo or of `node` alone.
///
/// # Errors
/// Those of the disk.
pub fn render(
    stored: &Stored,
    collected: &Collected,
    node: Option<&str>,
    (now, format): (u64, Format),
) -> rusqlite::Result<String> {
    let mut nodes = known(stored, now)?;
    nodes.retain(|known| node.is_none_or(|name| name == known.name));
    let mut text = Text { out: String::new(), format };
    text.nodes(&nodes, now);
    text.collected(collected);
    let until = (now - now % MINUTE).saturating_sub(FLEET_SETTLED_AFTER);
    if let Some(coverage) = Coverage::of(stored, (until.saturating_sub(3600), until))? {
        text.covered(&coverage, node);
    }
    text.sources_of_all(stored, now)?;
    let mut families: BTreeMap<String, Samples> = BTreeMap::new();
    for (place, family, labels, total) in totals(stored, node)? {
        families.entry(family).or_default().insert((place, labels), total);
    }
    let label = if node.is_some() { "node" } else { "colo" };
    for family in FAMILIES.iter().filter(|family| !family.name.ends_with("_sum")) {
        let Some(samples) = families.get(family.name) else { continue };
        match family.bin_len() {
            Some(bin_len) => {
                let none = Samples::new();
                let sums = families.get(sum_of(family).name).unwrap_or(&none);
                text.sizes_by_place(family, bin_len, label, (samples, sums));
            }
            None => {
                text.head(family.name, "counter", family.help);
                for ((place, labels), total) in samples {
                    text.sample_of_place(family.name, (label, place), labels, &[], *total);
                }
            }
        }
    }
    if format == Format::OpenMetrics {
        text.out.push_str("# EOF\n");
    }
    Ok(text.out)
}

/// A release by its number and hash, as reports name it: `41-abcdef12`, or an object with both.
fn release(said: &Value) -> Option<(String, String)> {
    match said {
        Value::String(name) => name.split_once('-').map(|(number, hash)| (number.into(), hash.into())),
        Value::Object(named) => {
            let hash = named.get("hash").or_else(|| named.get("digest")).and_then(Value::as_str)?;
            Some((named.get("number")?.to_string(), hash.to_owned()))
        }
        _ => None,
    }
}

/// Whether a node has not what it should have, or serves something else than what it has.
fn drifts(report: &Map<String, Value>) -> bool {
    let said = |key: &str| report.get(key).unwrap_or(&Value::Null);
    let is_other = release(said("wants")).is_some_and(|wants| release(said("has")) != Some(wants));
    is_other || said("drift") == true
}

impl Text {
    fn nodes(&mut self, nodes: &[Known], now: u64) {
        let name = "as112_fleet_nodes";
        self.head(name, "gauge", "Nodes of the fleet that were heard within the last 30 days, by colo.");
        let mut colos: BTreeMap<&str, u64> = BTreeMap::new();
        nodes.iter().for_each(|node| *colos.entry(&node.colo).or_default() += 1);
        colos.iter().for_each(|(colo, nodes)| self.sample(name, &[("colo", colo)], nodes));
        type Value = fn(&Known, u64) -> Option<i64>;
        let gauges: [(&str, &str, Value); 4] = [
            ("as112_fleet_report_age_seconds", "Time since the last report of a node.", |node, now| {
                Some(now.saturating_sub(node.report.as_ref()?.1).cast_signed())
            }),
            (
                "as112_fleet_minute_age_seconds",
                "Time since the end of the last minute that a node has told of.",
                |node, now| (node.until > 0).then(|| now.saturating_sub(node.until).cast_signed()),
            ),
            (
                "as112_fleet_clock_ahead_seconds",
                "How far the clock of a node is ahead, where that is more than a message may take.",
                |node, _| Some(node.ahead),
            ),
            ("as112_fleet_drift", "1 while a node does not have what it should have.", |node, _| {
                Some(drifts(&node.report.as_ref()?.0).into())
            }),
        ];
        for (name, help, value) in gauges {
            self.head(name, "gauge", help);
            for node in nodes {
                if let Some(value) = value(node, now) {
                    self.sample(name, &[("node", &node.name), ("colo", &node.colo)], value);
                }
            }
        }
        let name = "as112_fleet_release_info";
        self.head(name, "info", "Release that a node has.");
        for node in nodes {
            let has = node.report.as_ref().and_then(|(report, _)| release(report.get("has")?));
            if let Some((number, hash)) = has {
                let labels =
                    [("node", &*node.name), ("colo", &node.colo), ("number", &number), ("hash", &hash)];
                self.sample(name, &labels, 1);
            }
        }
    }

    fn collected(&mut self, collected: &Collected) {
        let name = "as112_fleet_messages_total";
        self.head(name, "counter", "Messages of nodes that were received, by what became of them.");
        for outcome in Outcome::ALL {
            self.sample(name, &[("result", outcome.name())], collected.get(outcome));
        }
    }

    fn covered(&mut self, coverage: &Coverage, only: Option<&str>) {
        let name = "as112_fleet_coverage_ratio";
        self.head(name, "gauge", "Part of the last hour that a node has accounted for.");
        let nodes = coverage.nodes.iter().filter(|node| only.is_none_or(|only| only == node.name));
        for node in nodes.filter(|node| node.expected > 0) {
            let ratio = node.seconds as f64 / node.expected as f64;
            self.sample(name, &[("node", &node.name), ("colo", &node.colo)], ratio);
        }
    }

    /// Who asked the whole fleet today.
    fn sources_of_all(&mut self, stored: &Stored, now: u64) -> rusqlite::Result<()> {
        let name = "as112_unique_sources";
        self.head(name, "gauge", "Unique sources of queries today (UTC), estimated with HyperLogLog.");
        let mut query =
            stored.connection().prepare_cached("SELECT sources FROM uniques WHERE day = ? AND kind = ?")?;
        for kind in KINDS {
            let mut rows = query.query(rusqlite::params![now - now % DAY, kind])?;
            let sources: u64 = rows.next()?.map_or(Ok(0), |row| row.get(0))?;
            self.sample(name, &[("kind", kind)], sources);
        }
        Ok(())
    }

    fn sample_of_place(
        &mut self,
        name: &str,
        place: (&str, &str),
        labels: &str,
        more: &[(&str, &str)],
        value: u64,
    ) {
        let own: Map<String, Value> = serde_json::from_str(labels).unwrap_or_default();
        let own = own.iter().filter_map(|(label, value)| Some((label.as_str(), value.as_str()?)));
        let labels: Vec<(&str, &str)> =
            std::iter::once(place).chain(own).chain(more.iter().copied()).collect();
        self.sample(name, &labels, value);
    }

    /// One cumulative histogram for each place and value of the label before the bins.
    fn sizes_by_place(
        &mut self,
        family: &Family,
        bin_len: usize,
        place: &'static str,
        (samples, sums): (&Samples, &Samples),
    ) {
        self.head(family.name, "histogram", family.help);
        let bins = family.labels.last().map_or(0, |label| label.len);
        let bins_name = family.labels.last().map_or("", |label| label.name);
        let mut histograms: BTreeMap<(&str, String), BTreeMap<usize, u64>> = BTreeMap::new();
        for ((of, labels), total) in samples {
            let mut labels: Map<String, Value> = serde_json::from_str(labels).unwrap_or_default();
            let size = labels.remove(bins_name).and_then(|size| size.as_str()?.parse().ok());
            let histogram = histograms.entry((of, Value::from(labels).to_string())).or_default();
            *histogram.entry(size.unwrap_or(usize::MAX)).or_default() += total;
        }
        let open_from = bins.saturating_sub(1) * bin_len;
        let fine = (1..COARSE_SIZES[0] / bin_len).map(|bin| bin * bin_len);
        let bounds = fine.chain(COARSE_SIZES.into_iter().filter(|&size| size <= open_from));
        let bounds: Vec<usize> = bounds.collect();
        let bucket = format!("{}_bucket", family.name);
        for ((of, labels), histogram) in histograms {
            let at = (place, of);
            for size in &bounds {
                let below = histogram.range(..size).map(|(_, count)| count).sum();
                let bound = format!("{}.0", size - 1);
                self.sample_of_place(&bucket, at, &labels, &[("le", &bound)], below);
            }
            let count = histogram.values().sum();
            self.sample_of_place(&bucket, at, &labels, &[("le", "+Inf")], count);
            let sum = sums.get(&(of.to_owned(), labels.clone())).copied().unwrap_or_default();
            self.sample_of_place(&format!("{}_sum", family.name), at, &labels, &[], sum);
            self.sample_of_place(&format!("{}_count", family.name), at, &labels, &[], count);
        }
    }
}
