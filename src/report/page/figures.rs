//! The numbers of the page for one range of time: what the history has, and what was counted since it was
//! last stored.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use serde_json::{Map, Value, json};

use super::span::{DAY, Span};
use crate::board::Reading;
use crate::history::lookback::{
    Counts, Dimension, ROWS, began, counted, cuts, groups, limited, not_stored, written,
};
use crate::history::sources::{FAMILIES, OTHER, SourceFamily, UNKNOWN};
use crate::history::{MINUTE, Stored};
use crate::limits::{SHOWN_GROUPS_MAX, SHOWN_SOURCE_QUERIES_MIN};
use crate::stats::counters::{
    Family, QUERIES, QUERIES_BY_ZONE, QUERY_BYTES, QUERY_SIZES, REPLY_BYTES, REPLY_SIZES, RESPONSES,
};
use crate::stats::uniques::KINDS;

/// Names and counts, the largest first.
pub(super) type Shares = Vec<(String, u64)>;

/// Where queries come from.
#[derive(Debug)]
pub(super) struct Sources {
    /// The label of the counters: country, as, network.
    pub(super) label: &'static str,
    pub(super) shares: Shares,
}

/// How many different sources asked on each day.
#[derive(Debug)]
pub(super) struct Uniques {
    /// When each day began, and its date.
    pub(super) days: Vec<u64>,
    pub(super) written: Vec<String>,
    /// By kind, for each day.
    pub(super) kinds: Vec<(&'static str, Vec<Option<u64>>)>,
}

/// Sizes of messages.
#[derive(Debug)]
pub(super) struct Sizes {
    /// Messages by the least size of their bin of 16 bytes.
    pub(super) bins: Counts,
    /// Bytes of all messages.
    pub(super) bytes: u64,
}

impl Sizes {
    pub(super) fn messages(&self) -> u64 {
        self.bins.values().sum()
    }
}

/// All of it.
#[derive(Debug)]
pub struct Figures {
    pub(super) span: Span,
    pub(super) start: u64,
    /// The end of the last whole step, and so the start of the one under way.
    pub(super) end: u64,
    pub(super) end_written: String,
    /// When each whole step begins, in seconds of Unix time and as ISO 8601 has it.
    pub(super) times: Vec<u64>,
    pub(super) written: Vec<String>,
    /// When counting began, and when this was read, in seconds of Unix time and as ISO 8601 has it.
    pub(super) began: u64,
    pub(super) began_written: String,
    pub(super) read: u64,
    pub(super) read_written: String,
    /// Queries in each whole step, as far as the history goes back; and in those of the time before.
    pub(super) queries: Vec<Option<u64>>,
    pub(super) earlier: Vec<Option<u64>>,
    /// Queries in the step under way, up to now.
    pub(super) under_way: u64,
    pub(super) replies: u64,
    pub(super) dimensions: Vec<(Dimension, Shares)>,
    pub(super) zones: Shares,
    pub(super) sources: Vec<Sources>,
    pub(super) uniques: Uniques,
    pub(super) query_sizes: Sizes,
    pub(super) reply_sizes: Sizes,
    /// The last days that are over and have counts, as `2026-01-31`.
    pub(super) whole_days: Vec<String>,
}

impl Figures {
    /// Reads what `span` has to show at `now`, in seconds of Unix time, when the counters stand as in
    /// `reading`.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn read(stored: &Stored, span: Span, now: u64, reading: &Reading<'_>) -> rusqlite::Result<Self> {
        let started = reading.started().as_secs().min(now);
        // A step is whole once the history has it: before, a part of it would look like a fall.
        let whole_until = reading.board.history.written_at().unwrap_or(started).min(now);
        // All of it as of one time, also if a minute is stored meanwhile.
        let db = stored.connection().unchecked_transaction()?;
        let db = &*db;
        // In its first minute the history knows less well than the node when that was.
        let began = began(db)?.filter(|began| began + MINUTE <= started).unwrap_or(started);
        let end = whole_until - whole_until % span.step();
        let start = end.saturating_sub(span.len());
        let times: Vec<u64> = (0..span.len() / span.step()).map(|step| start + step * span.step()).collect();
        let sums = Sums::read(db, start, now, reading)?;
        let by = |family: &Family, label: Option<&str>| Ok::<_, rusqlite::Error>(sums.by(family.name, label));
        let mut dimensions = Vec::new();
        for dimension in Dimension::ALL {
            let mut groups = groups(dimension, by)?;
            // Protocols that a node does not have are no news.
            groups.retain(|(name, _)| {
                dimension != Dimension::Protocol || !["HTTPS", "TLS"].contains(&name.as_str())
            });
            dimensions.push((dimension, shares(groups)));
        }
        let one = |family: &Family| sums.by(family.name, None).values().flat_map(Counts::values).sum();
        let sizes = |bins: &Family, bytes| Sizes { bins: sums.bins(bins.name), bytes: one(bytes) };
        let queries = steps(db, span, start, began)?;
        Ok(Self {
            span,
            start,
            end,
            end_written: written(db, &[end])?.remove(0),
            written: written(db, &times)?,
            began,
            began_written: written(db, &[began])?.remove(0),
            read: now,
            read_written: written(db, &[now])?.remove(0),
            earlier: steps(db, span, start.saturating_sub(span.back()), began)?,
            under_way: one(QUERIES).saturating_sub(queries.iter().flatten().sum()),
            queries,
            replies: one(RESPONSES),
            dimensions,
            zones: shares(sums.by(QUERIES_BY_ZONE.name, Some("zone")).into_iter().collect()),
            sources: sums.sources(&Names::read(db)?),
            uniques: Uniques::read(db, span, now)?,
            query_sizes: sizes(QUERY_SIZES, QUERY_BYTES),
            reply_sizes: sizes(REPLY_SIZES, REPLY_BYTES),
            whole_days: whole_days(db, now, began)?,
            times,
        })
    }

    /// All queries of the range, up to now.
    pub(super) fn total(&self) -> u64 {
        self.queries.iter().flatten().sum::<u64>() + self.under_way
    }

    /// Whether the node counts since before the range.
    pub(super) const fn is_full(&self) -> bool {
        self.began <= self.start
    }

    /// For how many seconds of this time queries were counted.
    fn counted_for(&self, start: u64, end: u64) -> u64 {
        end.saturating_sub(start.max(self.began)).max(1)
    }

    /// The seconds of the step under way.
    pub(super) fn under_way_for(&self) -> u64 {
        self.counted_for(self.end, self.read)
    }

    /// Queries a second in each step: whole ones, then the one under way.
    pub(super) fn rates(&self) -> Vec<Option<f64>> {
        let whole = self.times.iter().zip(&self.queries);
        let rate = |count: u64, seconds: u64| count as f64 / seconds as f64;
        let whole = whole
            .map(|(time, count)| Some(rate((*count)?, self.counted_for(*time, time + self.span.step()))));
        whole.chain([Some(rate(self.under_way, self.under_way_for()))]).collect()
    }

    /// Queries a second over all of the range.
    pub(super) fn mean(&self) -> f64 {
        self.total() as f64 / self.counted_for(self.start, self.read) as f64
    }

    /// The highest rate of a step that was counted from its beginning to its end.
    pub(super) fn peak(&self) -> Option<f64> {
        let steps = self.times.iter().zip(&self.queries).filter(|(time, _)| **time >= self.began);
        let counts = steps.filter_map(|(_, count)| *count);
        counts.max().map(|most| most as f64 / self.span.step() as f64)
    }

    /// As JSON, for programs: counts, not shares.
    pub(super) fn json(&self) -> Value {
        let object = |shares: &Shares| -> Map<String, Value> {
            shares.iter().map(|(name, count)| (name.clone(), (*count).into())).collect()
        };
        let sizes = |sizes: &Sizes| -> Value {
            let bins: Map<String, Value> =
                sizes.bins.iter().map(|(bin, count)| (bin.to_string(), (*count).into())).collect();
            json!({"bins": bins, "bytes": sizes.bytes})
        };
        let dimensions: Map<String, Value> = self
            .dimensions
            .iter()
            .map(|(of, shares)| (of.name().to_owned(), object(shares).into()))
            .collect();
        let sources: Map<String, Value> =
            self.sources.iter().map(|of| (of.label.to_owned(), object(&of.shares).into())).collect();
        let uniques: Map<String, Value> = self
            .uniques
            .kinds
            .iter()
            .map(|(kind, counts)| ((*kind).to_owned(), counts.clone().into()))
            .collect();
        json!({
            "range": self.span.name(),
            "read": self.read_written,
            "start": self.start,
            "end": self.end,
            "end_written": self.end_written,
            "step_seconds": self.span.step(),
            "times": self.written,
            "queries": self.queries,
            "queries_earlier": self.earlier,
            "earlier_seconds": self.span.back(),
            "under_way": {"queries": self.under_way, "seconds": self.under_way_for()},
            "replies": self.replies,
            "dimensions": dimensions,
            "zones": object(&self.zones),
            "sources": sources,
            "unique_sources": {"days": self.uniques.written, "kinds": uniques},
            "query_sizes": sizes(&self.query_sizes),
            "reply_sizes": sizes(&self.reply_sizes),
            "whole_days": self.whole_days,
        })
    }

    /// As lines of figure, series, where (a time, a name or a size) and count.
    pub(super) fn csv(&self) -> String {
        let mut lines = vec![["figure", "series", "of", "count"].map(str::to_owned)];
        let mut line = |figure: &str, series: &str, of: &str, count: u64| {
            lines.push([figure, series, of, &count.to_string()].map(str::to_owned));
        };
        for (series, counts) in [("now", &self.queries), ("earlier", &self.earlier)] {
            for (time, count) in self.written.iter().zip(counts) {
                count.iter().for_each(|count| line("queries", series, time, *count));
            }
        }
        let dimensions = self.dimensions.iter().map(|(of, shares)| ("dimension", of.name(), shares));
        let sources = self.sources.iter().map(|of| ("source", of.label, &of.shares));
        for (figure, series, shares) in dimensions.chain([("zone", "", &self.zones)]).chain(sources) {
            shares.iter().for_each(|(name, count)| line(figure, series, name, *count));
        }
        for (kind, counts) in &self.uniques.kinds {
            for (day, count) in self.uniques.written.iter().zip(counts) {
                count.iter().for_each(|count| line("unique_sources", kind, day, *count));
            }
        }
        for (series, sizes) in [("query", &self.query_sizes), ("reply", &self.reply_sizes)] {
            sizes.bins.iter().for_each(|(bin, count)| line("size", series, &bin.to_string(), *count));
        }
        let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
        lines.iter().map(|cells| cells.each_ref().map(quoted).join(",") + "\r\n").collect()
    }
}

/// The groups with counts by size, few enough to be shown.
fn shares(groups: Vec<(String, Counts)>) -> Shares {
    let sums = limited(groups, Some(SHOWN_GROUPS_MAX)).into_iter();
    let sums = sums.map(|(name, counts)| (name, counts.values().sum()));
    sums.filter(|(name, count)| *count > 0 || name != "other").collect()
}

/// Queries in each step from `start` on; `None` for steps before the history began.
fn steps(db: &Connection, span: Span, start: u64, began: u64) -> rusqlite::Result<Vec<Option<u64>>> {
    let step = span.step();
    let end = start + span.len();
    let counts = counted(db, QUERIES, None, (start, end), (step, |time| time - time % step))?.remove("");
    let counts = counts.unwrap_or_default();
    let of_step = |time| (time + step > began).then(|| counts.get(&time).copied().unwrap_or_default());
    Ok((0..span.len() / step).map(|index| of_step(start + index * step)).collect())
}

/// The days before today for which there is something to tell.
fn whole_days(db: &Connection, now: u64, began: u64) -> rusqlite::Result<Vec<String>> {
    let today = now - now % DAY;
    let days = (1..=7).map(|back| today.saturating_sub(back * DAY));
    let days: Vec<u64> = days.filter(|day| began < day + DAY).collect();
    dates(db, &days)
}

/// Days as `2026-01-31`.
fn dates(db: &Connection, days: &[u64]) -> rusqlite::Result<Vec<String>> {
    let date = |mut day: String| {
        day.truncate(10);
        day
    };
    Ok(written(db, days)?.into_iter().map(date).collect())
}

impl Uniques {
    fn read(db: &Connection, span: Span, now: u64) -> rusqlite::Result<Self> {
        let today = now - now % DAY;
        let first = today.saturating_sub((span.len() / DAY).max(30) * DAY);
        let mut query = db.prepare_cached(
            "SELECT day, kind, sources FROM uniques WHERE day >= ? AND day < ? ORDER BY day",
        )?;
        let mut rows = query.query(params![first, today])?;
        let mut found: BTreeMap<u64, BTreeMap<String, u64>> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            found.entry(row.get(0)?).or_default().insert(row.get(1)?, row.get(2)?);
        }
        let days: Vec<u64> =
            found.keys().next().map_or_else(Vec::new, |&day| (day..today).step_by(86_400).collect());
        let of_kind = |kind: &'static str| {
            let of_day = |day| found.get(day).and_then(|kinds| kinds.get(kind)).copied();
            (kind, days.iter().map(of_day).collect())
        };
        Ok(Self { kinds: KINDS.map(of_kind).into(), written: dates(db, &days)?, days })
    }
}

/// What values of labels are called.
struct Names(BTreeMap<(String, String), String>);

impl Names {
    fn read(db: &Connection) -> rusqlite::Result<Self> {
        let mut query = db.prepare_cached("SELECT label, value, name FROM names")?;
        let rows = query.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
        Ok(Self(rows.collect::<Result<_, _>>()?))
    }

    fn of(&self, label: &str, value: &str) -> String {
        let name = self.0.get(&(label.to_owned(), value.to_owned()));
        match (label, name) {
            ("as", Some(name)) => format!("AS{value} {name}"),
            ("as", None) => format!("AS{value}"),
            (_, Some(name)) => name.clone(),
            (_, None) => value.to_owned(),
        }
    }
}

/// What was counted from some time until now, by family and labels.
struct Sums(Vec<(String, Map<String, Value>, u64)>);

impl Sums {
    fn read(db: &Connection, start: u64, now: u64, reading: &Reading<'_>) -> rusqlite::Result<Self> {
        let mut query = db.prepare_cached(&format!(
            "SELECT family, labels, count FROM series JOIN
               (SELECT series, sum(count) AS count FROM {ROWS} GROUP BY series) ON id = series"
        ))?;
        let cuts = cuts(db, (start, now + 1), u64::MAX)?;
        let labels = |text: String| serde_json::from_str(&text).unwrap_or_default();
        let rows =
            query.query_map(cuts, |row| Ok((row.get(0)?, labels(row.get::<_, String>(1)?), row.get(2)?)))?;
        let mut sums = rows.collect::<Result<Vec<_>, _>>()?;
        let since = not_stored(db, reading)?.into_iter();
        sums.extend(since.map(|(family, text, count)| (family, labels(text), count)));
        Ok(Self(sums))
    }

    /// A family by one of its labels, or with none under "". All time is one interval.
    fn by(&self, family: &str, label: Option<&str>) -> BTreeMap<String, Counts> {
        let mut groups: BTreeMap<String, Counts> = BTreeMap::new();
        for (_, labels, count) in self.0.iter().filter(|(of, ..)| of == family) {
            let value = label.and_then(|label| labels.get(label)?.as_str()).unwrap_or_default();
            *groups.entry(value.to_owned()).or_default().entry(0).or_default() += count;
        }
        groups
    }

    fn bins(&self, family: &str) -> Counts {
        let groups = self.by(family, Some("size")).into_iter();
        groups.filter_map(|(size, counts)| Some((size.parse().ok()?, counts.values().sum()))).collect()
    }

    /// The sources that ask often enough to be shown; the others are `other`.
    fn sources(&self, names: &Names) -> Vec<Sources> {
        let of = |family: &'static SourceFamily| {
            let label = family.label;
            let mut groups = Vec::new();
            let mut other = Counts::new();
            for (value, counts) in self.by(family.name, Some(label)) {
                let sum = counts.values().sum::<u64>();
                if [OTHER, UNKNOWN].contains(&value.as_str()) || sum < SHOWN_SOURCE_QUERIES_MIN {
                    *other.entry(0).or_default() += sum;
                } else {
                    groups.push((names.of(label, &value), counts));
                }
            }
            // Nothing but `other` tells nothing.
            let is_told = !groups.is_empty();
            groups.push((OTHER.to_owned(), other));
            is_told.then(|| Sources { label, shares: shares(groups) })
        };
        FAMILIES.into_iter().filter_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_named_from_so_many_queries_on_and_not_before() {
        let family = FAMILIES.into_iter().find(|family| family.label == "network").unwrap();
        let shown = |counts: &[(&str, u64)]| {
            let row = |&(network, count): &(&str, u64)| {
                let labels = [(family.label.to_owned(), network.into())].into_iter().collect();
                (family.name.to_owned(), labels, count)
            };
            let sources = Sums(counts.iter().map(row).collect()).sources(&Names(BTreeMap::new()));
            sources.into_iter().map(|of| of.shares).next()
        };
        let least = SHOWN_SOURCE_QUERIES_MIN;
        let (first, second) = ("192.0.2.0/24", "198.51.100.0/24");
        assert_eq!(shown(&[(first, least - 1)]), None);
        let share = |value: &str, count| (value.to_owned(), count);
        let told = shown(&[(first, least), (second, least - 1)]);
        assert_eq!(told, Some(vec![share(first, least), share(OTHER, least - 1)]));
    }
}
