//! RSSAC002: what the operators of root servers publish of each day (UTC), one YAML document for each metric.
//!
//! The documents are those of version 3, of which there are four here: a node has no zone whose size or
//! loading would be of interest. They have two levels at most, numbers, and one text, so a few `writeln!` do
//! what a YAML library would; serde_yaml is no longer kept.

use std::fmt::Write as _;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::files::Files;
use crate::history::lookback::{ROWS, cuts};
use crate::history::{DAY, Stored};
use crate::limits::{HISTORY_RESOLUTIONS, RSSAC002_DAYS_PER_MINUTE_MAX};
use crate::report::radar::Answer;
use crate::stats::counters::{Family, QUERIES, QUERY_SIZES, REPLY_SIZES, RESPONSES, RESPONSES_BY_TRANSPORT};
use crate::stats::labels::{
    FAMILY, Label, QUERY_BIN, RCODE, RCODE_NUMBERS, REPLY_BIN, SIZE_BIN_LEN, TRANSPORT, Values,
};

/// What the export is called.
pub const NAME: &str = "rssac002";

/// Where the paths of days begin.
pub const ROOT: &str = "/rssac002/";

/// The first minute of a day still tells of sources of the day before.
const fn is_over(day: u64, now: u64) -> bool {
    day + DAY + HISTORY_RESOLUTIONS[0].0 <= now
}

/// A metric's name, and the lines of its document.
type Document = (&'static str, String);

/// The metrics, in the order of their documents.
const METRICS: [&str; 4] = ["traffic-volume", "rcode-volume", "traffic-sizes", "unique-sources"];

//------------ Files ---

/// Writes the files of each day that is over, in the layout that operators publish:
/// `YYYY/MM/METRIC/NODE-YYYYMMDD-METRIC.yaml`.
#[derive(Debug)]
pub(super) struct Days {
    files: Files,
    node: String,
    /// The first day that may lack files.
    next: u64,
}

impl Days {
    pub(super) const fn new(files: Files, node: String) -> Self {
        Self { files, node, next: 0 }
    }

    /// Writes what is missing of the days that the history has, where it has all up to `until`.
    pub(super) fn write(&mut self, stored: &Stored, until: u64) -> Result<(), String> {
        let db = stored.connection();
        let in_history = |error: rusqlite::Error| format!("the history: {error}");
        let mut written = 0;
        while written < RSSAC002_DAYS_PER_MINUTE_MAX {
            let day = next_day(db, self.next).map_err(in_history)?;
            let Some(day) = day.filter(|&day| is_over(day, until)) else { break };
            let date = date(db, day).map_err(in_history)?;
            let is_missing = |metric: &&str| {
                let path = self.files.dir.join(self.path(&date, metric));
                path.try_exists().map(|is_there| !is_there).unwrap_or(true)
            };
            let missing: Vec<&str> = METRICS.into_iter().filter(is_missing).collect();
            if !missing.is_empty() {
                written += 1;
                for (metric, text) in documents(db, &self.node, day, &date).map_err(in_history)? {
                    if missing.contains(&metric) {
                        self.files.write(&self.path(&date, metric), &text)?;
                    }
                }
            }
            self.next = day + DAY;
        }
        Ok(())
    }

    fn path(&self, date: &str, metric: &str) -> String {
        let (year, month, compact) = (&date[..4], &date[5..7], date.replace('-', ""));
        format!("{year}/{month}/{metric}/{}-{compact}-{metric}.yaml", self.files.node)
    }
}

/// The first day from `from` on of which the history has anything.
fn next_day(db: &Connection, from: u64) -> rusqlite::Result<Option<u64>> {
    let mut first: Option<u64> = None;
    let mut query = db.prepare_cached("SELECT min(start) FROM counts WHERE resolution = ? AND start >= ?")?;
    for (resolution, _) in HISTORY_RESOLUTIONS {
        let found: Option<u64> = query.query_row([resolution, from], |row| row.get(0))?;
        first = first.into_iter().chain(found).min();
    }
    Ok(first.map(|start| start - start % DAY))
}

//------------ HTTP ---

/// Answers a request for `path`, which is below [`ROOT`], at `now`: the documents of one day, one after the
/// other.
#[must_use]
pub fn answer(stored: &Stored, node: &str, path: &str, now: u64) -> Answer {
    let plain = |status, body: &str| Answer {
        status,
        content_type: "text/plain; charset=utf-8",
        body: format!("{body}\n"),
    };
    let named = path.strip_prefix(ROOT).and_then(|name| name.strip_suffix(".yaml"));
    let look = |text: &str| -> rusqlite::Result<Option<String>> {
        let db = stored.connection();
        let Some(day) = day_of(db, text)? else { return Ok(None) };
        let documents = if is_over(day, now) { documents(db, node, day, text)? } else { Vec::new() };
        Ok(Some(documents.into_iter().map(|(_, text)| text).collect()))
    };
    match named.map_or(Ok(None), look) {
        Err(error) => plain(503, &format!("The history cannot be read: {error}; try again later.")),
        Ok(None) => plain(404, "Not a day; use the form /rssac002/2026-01-31.yaml."),
        Ok(Some(text)) if text.is_empty() => plain(404, "No data for that day, or it is not over yet (UTC)."),
        Ok(Some(text)) => Answer { status: 200, content_type: "application/yaml", body: text },
    }
}

/// When the day begins that is written as `YYYY-MM-DD`.
fn day_of(db: &Connection, text: &str) -> rusqlite::Result<Option<u64>> {
    let seconds: Option<i64> = db.query_row("SELECT unixepoch(?)", [text], |row| row.get(0))?;
    let Some(day) = seconds.and_then(|seconds| u64::try_from(seconds).ok()) else { return Ok(None) };
    // SQLite takes times as well, and a 30th of February.
    Ok((day % DAY == 0 && date(db, day)? == text).then_some(day))
}

fn date(db: &Connection, day: u64) -> rusqlite::Result<String> {
    db.query_row("SELECT strftime('%Y-%m-%d', ?, 'unixepoch')", [day], |row| row.get(0))
}

//------------ Documents ---

/// The documents of a day; none if nothing was counted on it. What has no numbers has no document: sources
/// of a day when nobody looked at them.
fn documents(db: &Connection, node: &str, day: u64, date: &str) -> rusqlite::Result<Vec<Document>> {
    let volume = traffic_volume(db, day)?;
    if volume.is_empty() {
        return Ok(Vec::new());
    }
    let bodies = [
        volume,
        rcode_volume(db, day)?,
        traffic_sizes(db, day)?,
        unique_sources(db, day)?.unwrap_or_default(),
    ];
    let documents = METRICS.into_iter().zip(bodies).filter(|(_, body)| !body.is_empty());
    // What JSON has in quotes means the same to YAML.
    let service = serde_json::Value::from(node);
    let whole = |(metric, body): Document| {
        let head = format!(
            "---\nversion: rssac002v3\nservice: {service}\nstart-period: {date}T00:00:00Z\nmetric: {metric}\n"
        );
        (metric, head + &body)
    };
    Ok(documents.map(whole).collect())
}

/// What the history has of a family on a day, by one or two of its labels.
fn sums(
    db: &Connection,
    family: &Family,
    labels: (&str, Option<&str>),
    day: u64,
) -> rusqlite::Result<Vec<(String, String, u64)>> {
    // The table has its rows by time: those of other families are passed over by their number alone.
    let mut query = db.prepare_cached(&format!(
        "SELECT coalesce(labels ->> ?5, ''), coalesce(labels ->> ?6, ''), sum(count)
           FROM {ROWS} JOIN series ON id = series
          WHERE +series IN (SELECT id FROM series WHERE family = ?7)
          GROUP BY 1, 2"
    ))?;
    let [start, days, rest, end] = cuts(db, (day, day + DAY), DAY)?;
    let parameters = params![start, days, rest, end, labels.0, labels.1, family.name];
    query.query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

/// The values of a label that has the same on every node.
fn values(label: &Label) -> &'static [&'static str] {
    match label.values {
        Values::Fixed(values) | Values::Partly(values, _) => values,
        _ => &[],
    }
}

fn traffic_volume(db: &Connection, day: u64) -> rusqlite::Result<String> {
    let labels = (TRANSPORT.name, Some(FAMILY.name));
    let queries = sums(db, QUERIES, labels, day)?;
    let replies = sums(db, RESPONSES_BY_TRANSPORT, labels, day)?;
    let mut text = String::new();
    if queries.is_empty() && replies.is_empty() {
        return Ok(text);
    }
    for (what, counts) in [("queries-received", &queries), ("responses-sent", &replies)] {
        for transport in values(&TRANSPORT) {
            for family in values(&FAMILY) {
                let is_it = |(a, b, _): &&(String, String, u64)| a == transport && b == family;
                let count = counts.iter().find(is_it).map_or(0, |(_, _, count)| *count);
                line(&mut text, &format!("dns-{transport}-{what}-{family}"), count);
            }
        }
    }
    Ok(text)
}

fn rcode_volume(db: &Connection, day: u64) -> rusqlite::Result<String> {
    let counts = sums(db, RESPONSES, (RCODE.name, None), day)?;
    let mut text = String::new();
    // What is counted together has no number, and no line.
    let mut numbers: Vec<_> = values(&RCODE).iter().zip(RCODE_NUMBERS).collect();
    numbers.sort_unstable_by_key(|(_, number)| *number);
    for (name, number) in numbers {
        if let Some((_, _, count)) = counts.iter().find(|(rcode, _, _)| rcode == name) {
            line(&mut text, &number.to_string(), *count);
        }
    }
    Ok(text)
}

fn traffic_sizes(db: &Connection, day: u64) -> rusqlite::Result<String> {
    let mut text = String::new();
    let requests = sums(db, QUERY_SIZES, (TRANSPORT.name, Some(QUERY_BIN.name)), day)?;
    let responses = sums(db, REPLY_SIZES, (TRANSPORT.name, Some(REPLY_BIN.name)), day)?;
    for transport in values(&TRANSPORT) {
        for (what, counts, bins) in
            [("request", &requests, QUERY_BIN.len), ("response", &responses, REPLY_BIN.len)]
        {
            let open_from = (bins - 1) * SIZE_BIN_LEN;
            let of_transport = counts.iter().filter(|(of, _, _)| of == transport);
            let mut sizes: Vec<(usize, u64)> =
                of_transport.filter_map(|(_, size, count)| Some((size.parse().ok()?, *count))).collect();
            sizes.sort_unstable();
            let none = if sizes.is_empty() { " {}" } else { "" };
            writeln!(text, "{transport}-{what}-sizes:{none}").expect("a String takes all that is written");
            for (size, count) in sizes {
                let end =
                    if size < open_from { (size + SIZE_BIN_LEN - 1).to_string() } else { String::new() };
                line(&mut text, &format!("  {size}-{end}"), count);
            }
        }
    }
    Ok(text)
}

fn unique_sources(db: &Connection, day: u64) -> rusqlite::Result<Option<String>> {
    let mut query = db.prepare_cached("SELECT sources FROM uniques WHERE day = ? AND kind = ?")?;
    let mut text = String::new();
    let mut is_known = false;
    for (key, kind) in [("ipv4", "ipv4"), ("ipv6", "ipv6"), ("ipv6-aggregate", "ipv6_64")] {
        let sources: Option<u64> = query.query_row(params![day, kind], |row| row.get(0)).optional()?;
        is_known |= sources.is_some();
        line(&mut text, &format!("num-sources-{key}"), sources.unwrap_or(0));
    }
    Ok(is_known.then_some(text))
}

fn line(text: &mut String, key: &str, count: u64) {
    writeln!(text, "{key}: {count}").expect("a String takes all that is written");
}
