//! The history in the shape of Cloudflare Radar's API about AS112: a client that was written for that
//! can ask a node: `/client/v4/radar/as112/` with `timeseries`, `summary/{dimension}`,
//! `timeseries_groups/{dimension}`, `top/locations` and, which Radar has elsewhere, `top/ases`.
//!
//! What differs: numbers of `timeseries` are counts and say so (`RAW_VALUES`), and what a node does not
//! count, as one dimension within another, is refused with a sentence.

use std::borrow::Cow;
use std::collections::BTreeSet;

use rusqlite::Connection;
use serde_json::{Map, Value, json};

use super::url::parameters;
use crate::history::Stored;
use crate::history::lookback::{Counts, Dimension, Top, TopRow, counted, groups, limited, top, written};
use crate::history::sources::{self, SourceFamily};
use crate::limits::{
    HISTORY_RESOLUTIONS, RADAR_NAME_LEN_MAX, RADAR_SERIES_MAX, RADAR_TOP, RADAR_VALUES_MAX, SOURCES_KEPT_MAX,
};
use crate::stats::counters::QUERIES;

/// Where all paths begin.
pub const ROOT: &str = "/client/v4/radar/as112/";

/// What to answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// The Content-Type.
    pub content_type: &'static str,
    /// The text.
    pub body: String,
}

/// Why there is no result: a status code, and a sentence.
#[derive(Debug)]
struct Refusal(u16, String);

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self(503, format!("The history cannot be read: {error}; try again later."))
    }
}

fn bad<T>(sentence: String) -> Result<T, Refusal> {
    Err(Refusal(400, sentence))
}

/// Answers a request for `path`, which is below [`ROOT`], with the part of the URL after `?`, at `now` in
/// seconds of Unix time.
#[must_use]
pub fn answer(stored: &Stored, path: &str, query: &str, now: u64) -> Answer {
    let json_of = |status, value: &Value| Answer {
        status,
        content_type: "application/json",
        body: format!("{value:#}\n"),
    };
    let asked = Asked::read(stored.connection(), path, query, now);
    match asked.and_then(|asked| Ok((asked.result(stored.connection())?, asked))) {
        Ok((series, Asked { is_csv: true, .. })) => {
            Answer { status: 200, content_type: "text/csv; charset=utf-8", body: csv(&series) }
        }
        Ok((series, asked)) => match asked.meta(stored.connection(), now) {
            Ok(meta) => json_of(200, &envelope(asked.view, series, meta)),
            Err(Refusal(status, sentence)) => json_of(status, &refused(status, &sentence)),
        },
        Err(Refusal(status, sentence)) => json_of(status, &refused(status, &sentence)),
    }
}

fn envelope(view: View, series: Vec<(String, Columns)>, meta: Value) -> Value {
    let mut result = Map::from_iter([("meta".to_owned(), meta)]);
    for (name, columns) in series {
        let value = match view {
            View::Top(_) => rows(columns),
            _ => columns.into_iter().map(|(name, cell)| (name, Value::from(cell))).collect(),
        };
        result.insert(name, value);
    }
    json!({"success": true, "errors": [], "messages": [], "result": result})
}

fn refused(status: u16, sentence: &str) -> Value {
    let errors = [json!({"code": status, "message": sentence})];
    json!({"success": false, "errors": errors, "messages": [], "result": null})
}

//------------ What is asked ---

/// The names are in capitals; the older paths had them in small letters, and one in the plural.
fn dimension(name: &str) -> Result<Dimension, Refusal> {
    let name = name.to_ascii_uppercase();
    let name = if name == "RESPONSE_CODES" { "RESPONSE_CODE" } else { &name };
    Dimension::ALL.into_iter().find(|dimension| dimension.name() == name).ok_or_else(|| {
        let known = "DNSSEC, EDNS, IP_VERSION, PROTOCOL, QUERY_TYPE and RESPONSE_CODE";
        Refusal(404, format!("Unknown dimension; use one of {known}."))
    })
}

/// What kind of result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    Timeseries,
    Summary(Dimension),
    Groups(Dimension),
    Top(Place),
}

/// Where the sources are that queries are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    family: &'static SourceFamily,
    /// What a row calls the place, and its name.
    keys: [&'static str; 2],
}

const LOCATIONS: Place =
    Place { family: &sources::BY_COUNTRY, keys: ["clientCountryAlpha2", "clientCountryName"] };
const ASES: Place = Place { family: &sources::BY_AS, keys: ["clientASN", "clientASName"] };

impl View {
    fn read(path: &str) -> Result<Self, Refusal> {
        let rest = path.strip_prefix(ROOT).unwrap_or_default();
        match rest.split_once('/') {
            None if rest == "timeseries" => Ok(Self::Timeseries),
            Some(("summary", name)) => dimension(name).map(Self::Summary),
            Some(("timeseries_groups", name)) => dimension(name).map(Self::Groups),
            Some(("top", "locations")) => Ok(Self::Top(LOCATIONS)),
            Some(("top", "ases")) => Ok(Self::Top(ASES)),
            _ => Err(Refusal(
                404,
                format!(
                    "There is {ROOT}timeseries, {ROOT}summary/{{dimension}}, \
                     {ROOT}timeseries_groups/{{dimension}}, {ROOT}top/locations and {ROOT}top/ases; a node \
                     does not count places by a dimension."
                ),
            )),
        }
    }

    const fn dimension(self) -> Option<Dimension> {
        match self {
            Self::Timeseries | Self::Top(_) => None,
            Self::Summary(dimension) | Self::Groups(dimension) => Some(dimension),
        }
    }
}

/// A length of time that is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    written: &'static str,
    meta: &'static str,
    len: u64,
    /// How long the history has rows that are fine enough.
    reach: u64,
}

const INTERVALS: [Interval; 4] = {
    let [_, quarter, hour, day] = HISTORY_RESOLUTIONS;
    let week = 7 * day.0;
    [
        Interval { written: "15m", meta: "FIFTEEN_MINUTES", len: quarter.0, reach: quarter.1 },
        Interval { written: "1h", meta: "ONE_HOUR", len: hour.0, reach: hour.1 },
        Interval { written: "1d", meta: "ONE_DAY", len: day.0, reach: day.1 },
        Interval { written: "1w", meta: "ONE_WEEK", len: week, reach: day.1 },
    ]
};
const QUARTER: u64 = INTERVALS[0].len;
const DAY: u64 = INTERVALS[2].len;
const WEEK: u64 = INTERVALS[3].len;

impl Interval {
    /// The start of the interval that `time` is in. Weeks begin on Monday; 1970 began on a Thursday.
    fn floor(self, time: u64) -> u64 {
        let offset = if self.len == WEEK { 4 * DAY } else { 0 };
        time - time.saturating_sub(offset) % self.len
    }

    /// The one that was asked for, or the one that suits the first of the ranges.
    fn choose(written: Option<&str>, ranges: &[Range], now: u64) -> Result<Self, Refusal> {
        let oldest = ranges.iter().map(|range| range.start).min().unwrap_or(now);
        let reaches = |interval: &&Self| now.saturating_sub(oldest) <= interval.reach;
        let Some(written) = written else {
            let len = ranges.first().map_or(0, |range| range.end - range.start);
            // Two days of quarters, five weeks of hours, two years of days: not much over 800 values.
            let longest = [2 * DAY, 35 * DAY, 2 * 366 * DAY, u64::MAX];
            let mut suitable = INTERVALS.iter().zip(longest).filter(|one| len <= one.1).map(|one| one.0);
            return Ok(*suitable.find(reaches).unwrap_or(&INTERVALS[3]));
        };
        match INTERVALS.iter().find(|interval| interval.written == written) {
            None => bad("Unknown aggInterval; use 15m, 1h, 1d or 1w.".to_owned()),
            Some(interval) if reaches(&interval) => Ok(*interval),
            Some(interval) => bad(format!(
                "The history has no {written} intervals from before {} days ago; use a longer aggInterval.",
                interval.reach / DAY
            )),
        }
    }
}

/// From `start` to before `end`, in seconds of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: u64,
    end: u64,
}

impl Range {
    /// As `7d`, `2w` or `7dcontrol`.
    fn relative(text: &str, now: u64) -> Result<Self, Refusal> {
        let (span, is_control) = text.strip_suffix("control").map_or((text, false), |span| (span, true));
        let days = match span.split_at_checked(span.len().saturating_sub(1)) {
            Some((count, "d")) => count.parse().ok().filter(|days| (1..=364).contains(days)),
            Some((count, "w")) => {
                count.parse().ok().filter(|weeks| (1..=52).contains(weeks)).map(|weeks: u64| weeks * 7)
            }
            _ => None,
        };
        let Some(days) = days else {
            return bad("Unknown dateRange; use 1d to 364d or 1w to 52w, such as 7d or 7dcontrol.".into());
        };
        let end = now - now % QUARTER;
        // Whole weeks back, so that weekdays are compared with their like.
        let end = if is_control { end.saturating_sub(days.div_ceil(7) * WEEK) } else { end };
        Ok(Self { start: end.saturating_sub(days * DAY), end })
    }

    fn absolute(db: &Connection, start: &str, end: &str, now: u64) -> Result<Self, Refusal> {
        let time = |text: &str| {
            let is_date = text.len() >= 10
                && text.char_indices().take(10).all(|(at, c)| match at {
                    4 | 7 => c == '-',
                    _ => c.is_ascii_digit(),
                });
            // SQLite reads ISO 8601; what it cannot read is NULL.
            let seconds: Option<i64> =
                if is_date { db.query_row("SELECT unixepoch(?)", [text], |row| row.get(0))? } else { None };
            match seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
                Some(seconds) => Ok(seconds - seconds % QUARTER),
                None => bad("Invalid date; use the form 2026-01-31T12:00:00Z.".to_owned()),
            }
        };
        // The minute that is not over may be there in part.
        let (start, end) = (time(start)?, time(end)?.min(now - now % 60 + 60));
        let oldest = now.saturating_sub(INTERVALS[3].reach);
        if start >= end || start < oldest {
            return bad("dateStart must be before dateEnd, in the past, and at most 10 years ago.".to_owned());
        }
        Ok(Self { start, end })
    }
}

/// A request, understood.
#[derive(Debug)]
struct Asked {
    view: View,
    /// For each series what it is called, and its time.
    series: Vec<(String, Range)>,
    interval: Interval,
    /// How many groups are shown by themselves.
    limit: Option<usize>,
    is_csv: bool,
}

/// What Radar can tell apart and a node does not.
const NOT_COUNTED: [&str; 5] = ["continent", "location", "protocol", "queryType", "responseCode"];

impl Asked {
    fn read(db: &Connection, path: &str, query: &str, now: u64) -> Result<Self, Refusal> {
        let view = View::read(path)?;
        let mut given = parameters(query).or_else(bad)?;
        let mut take = |key: &str| given.remove(key).unwrap_or_default();
        let (dates, starts, ends) = (take("dateRange"), take("dateStart"), take("dateEnd"));
        let (names, intervals) = (take("name"), take("aggInterval"));
        let (per_group, limits, formats) = (take("limitPerGroup"), take("limit"), take("format"));
        if let Some(key) = given.keys().next() {
            return if NOT_COUNTED.contains(&key.as_str()) {
                bad(format!("Filtering by {key} is not supported; leave {key} out."))
            } else {
                bad("Unknown parameter; use aggInterval, dateRange, dateStart, dateEnd, limitPerGroup, \
                     limit, name or format."
                    .to_owned())
            };
        }
        let ranges = ranges(db, &dates, &starts, &ends, now)?;
        let interval = Interval::choose(intervals.first().map(String::as_str), &ranges, now)?;
        if matches!(view, View::Summary(_) | View::Top(_)) && !intervals.is_empty() {
            return bad("This covers the whole range; leave aggInterval out.".to_owned());
        }
        // What begins within an interval begins with it.
        let whole = |range: Range| Range { start: interval.floor(range.start), ..range };
        let names = series_names(view, names, ranges.len())?;
        Ok(Self {
            view,
            series: names.into_iter().zip(ranges.into_iter().map(whole)).collect(),
            interval,
            limit: limit(view, &per_group, &limits)?,
            is_csv: match formats.first().map(|format| format.to_ascii_uppercase()).as_deref() {
                None | Some("JSON") => false,
                Some("CSV") => true,
                Some(_) => return bad("Unknown format; use JSON or CSV.".to_owned()),
            },
        })
    }

    fn result(&self, db: &Connection) -> Result<Vec<(String, Columns)>, Refusal> {
        let mut left = RADAR_VALUES_MAX;
        let columns =
            |(name, range): &(String, Range)| Ok((name.clone(), self.columns(db, *range, &mut left)?));
        self.series.iter().map(columns).collect()
    }

    /// One series, if no more than `left` values of all series are made by it.
    fn columns(&self, db: &Connection, range: Range, left: &mut usize) -> Result<Columns, Refusal> {
        let span = (range.start, range.end);
        let by = |family: &_, label: Option<&str>| {
            counted(db, family, label, span, (self.step(), |time| self.interval.floor(time)))
        };
        if let View::Top(place) = self.view {
            return Ok(top_columns(place, &top(db, place.family, span)?, self.limit.unwrap_or(RADAR_TOP)));
        }
        let Some(dimension) = self.view.dimension() else {
            let counts = by(QUERIES, None)?.remove("").unwrap_or_default();
            let times: Vec<u64> = self.times(range).collect();
            take(left, 2 * times.len())?;
            let values = times.iter().map(|time| counts.get(time).unwrap_or(&0).to_string()).collect();
            return Ok(vec![
                ("timestamps".to_owned(), Cell::Many(written(db, &times)?)),
                ("values".to_owned(), Cell::Many(values)),
            ]);
        };
        let groups = limited(groups(dimension, by)?, self.limit);
        if matches!(self.view, View::Summary(_)) {
            let sums: Vec<u64> = groups.iter().map(|(_, counts)| counts.values().sum()).collect();
            let all: u64 = sums.iter().sum();
            let cells = groups.into_iter().zip(sums);
            return Ok(cells.map(|((name, _), sum)| (name, Cell::One(percentage(sum, all)))).collect());
        }
        let times: Vec<u64> = self.times(range).collect();
        take(left, (1 + groups.len()) * times.len())?;
        let at = |counts: &Counts, time: &u64| counts.get(time).copied().unwrap_or_default();
        let all: Vec<u64> =
            times.iter().map(|time| groups.iter().map(|(_, counts)| at(counts, time)).sum()).collect();
        let mut columns = vec![("timestamps".to_owned(), Cell::Many(written(db, &times)?))];
        columns.extend(groups.into_iter().map(|(name, counts)| {
            let values = times.iter().zip(&all).map(|(time, &all)| percentage(at(&counts, time), all));
            (name, Cell::Many(values.collect()))
        }));
        Ok(columns)
    }

    /// Seconds of an interval; of a sum, the whole time.
    const fn step(&self) -> u64 {
        if matches!(self.view, View::Summary(_)) { u64::MAX } else { self.interval.len }
    }

    /// When each interval begins.
    fn times(&self, range: Range) -> impl Iterator<Item = u64> {
        let len = self.interval.len;
        (range.start..range.end).step_by(usize::try_from(len).expect("a week has fewer seconds"))
    }

    fn meta(&self, db: &Connection, now: u64) -> Result<Value, Refusal> {
        let mut dates = Vec::new();
        for (_, range) in &self.series {
            let times = written(db, &[range.start, range.end])?;
            dates.push(json!({"startTime": times[0], "endTime": times[1]}));
        }
        let normalization = if self.view == View::Timeseries { "RAW_VALUES" } else { "PERCENTAGE" };
        let unit = if self.view == View::Timeseries { "requests" } else { "percentage" };
        let mut meta = json!({
            "dateRange": dates,
            "lastUpdated": written(db, &[now - now % 60])?[0],
            "normalization": normalization,
            "confidenceInfo": {"annotations": [], "level": 5},
            "units": [{"name": "*", "value": unit}],
        });
        if !matches!(self.view, View::Summary(_) | View::Top(_)) {
            meta["aggInterval"] = self.interval.meta.into();
        }
        Ok(meta)
    }
}

/// Takes `values` from what is left for an answer.
fn take(left: &mut usize, values: usize) -> Result<(), Refusal> {
    let Some(rest) = left.checked_sub(values) else {
        return bad(format!(
            "That would be more than {RADAR_VALUES_MAX} values; give fewer series, a longer aggInterval, a \
             shorter dateRange or a limitPerGroup."
        ));
    };
    *left = rest;
    Ok(())
}

fn ranges(
    db: &Connection,
    dates: &[String],
    starts: &[String],
    ends: &[String],
    now: u64,
) -> Result<Vec<Range>, Refusal> {
    if starts.len() != ends.len() || (!dates.is_empty() && !starts.is_empty()) {
        return bad("Use either dateRange, or dateStart and dateEnd in equal numbers.".to_owned());
    }
    if dates.len().max(starts.len()) > RADAR_SERIES_MAX {
        return bad(format!("Too many series; ask for at most {RADAR_SERIES_MAX}."));
    }
    let ranges: Vec<Range> = if !starts.is_empty() {
        let pairs = starts.iter().zip(ends);
        pairs.map(|(start, end)| Range::absolute(db, start, end, now)).collect::<Result<_, _>>()?
    } else if dates.is_empty() {
        vec![Range::relative("7d", now)?]
    } else {
        dates.iter().map(|text| Range::relative(text, now)).collect::<Result<_, _>>()?
    };
    let lens: BTreeSet<u64> = ranges.iter().map(|range| range.end - range.start).collect();
    if lens.len() > 1 {
        return bad("The ranges differ in length; all must be equally long.".to_owned());
    }
    Ok(ranges)
}

/// What the series are called: as was asked for, or by number.
fn series_names(view: View, names: Vec<String>, count: usize) -> Result<Vec<String>, Refusal> {
    let stem = match view {
        View::Summary(_) => "summary",
        View::Top(_) => "top",
        View::Timeseries | View::Groups(_) => "serie",
    };
    if names.is_empty() {
        return Ok((0..count).map(|index| format!("{stem}_{index}")).collect());
    }
    let is_plain = |name: &String| {
        (1..=RADAR_NAME_LEN_MAX).contains(&name.len())
            && name != "meta"
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    };
    let different: BTreeSet<&String> = names.iter().collect();
    if names.len() != count || different.len() != count || !names.iter().all(is_plain) {
        return bad(format!(
            "Give each of the {count} series a name of its own: up to {RADAR_NAME_LEN_MAX} letters, digits, \
             - and _, and not meta."
        ));
    }
    Ok(names)
}

fn limit(view: View, per_group: &[String], limits: &[String]) -> Result<Option<usize>, Refusal> {
    if let Some(limit) = limits.first() {
        return match limit.parse() {
            _ if !matches!(view, View::Top(_)) => bad("limit is for top; leave it out.".to_owned()),
            Ok(limit) if (1..=SOURCES_KEPT_MAX).contains(&limit) => Ok(Some(limit)),
            _ => bad(format!("Invalid limit; use a number from 1 to {SOURCES_KEPT_MAX}.")),
        };
    }
    let Some(limit) = per_group.first() else { return Ok(None) };
    if !matches!(view.dimension(), Some(Dimension::QueryType | Dimension::ResponseCode)) {
        return bad("limitPerGroup is for QUERY_TYPE and RESPONSE_CODE; leave it out.".to_owned());
    }
    match limit.parse() {
        Ok(limit) if limit >= 2 => Ok(Some(limit)),
        _ => bad("Invalid limitPerGroup; use a number of at least 2.".to_owned()),
    }
}

//------------ What is found ---

/// What a series has under one name.
#[derive(Debug)]
enum Cell {
    One(String),
    Many(Vec<String>),
}

type Columns = Vec<(String, Cell)>;

/// The places that are known, the largest first: what each is called, and its share of all that were sampled.
fn top_columns(place: Place, top: &Top, limit: usize) -> Columns {
    let known = || top.known().take(limit);
    let share = |row: &TopRow| percentage(row.count, top.total);
    vec![
        (place.keys[0].to_owned(), Cell::Many(known().map(|row| row.value.clone()).collect())),
        (place.keys[1].to_owned(), Cell::Many(known().map(|row| row.name.clone()).collect())),
        ("value".to_owned(), Cell::Many(known().map(share).collect())),
    ]
}

/// Columns as a list of objects.
fn rows(columns: Columns) -> Value {
    let mut rows: Vec<Map<String, Value>> = Vec::new();
    for (name, cell) in columns {
        let cells = match cell {
            Cell::One(text) => vec![text],
            Cell::Many(texts) => texts,
        };
        rows.resize_with(cells.len().max(rows.len()), Map::new);
        for (row, text) in rows.iter_mut().zip(cells) {
            row.insert(name.clone(), text.into());
        }
    }
    rows.into()
}

impl From<Cell> for Value {
    fn from(cell: Cell) -> Self {
        match cell {
            Cell::One(text) => text.into(),
            Cell::Many(texts) => texts.into(),
        }
    }
}

fn percentage(part: u64, all: u64) -> String {
    if all == 0 { "0".to_owned() } else { format!("{:.6}", part as f64 * 100.0 / all as f64) }
}

/// A column for each name of each series.
fn csv(series: &[(String, Columns)]) -> String {
    let columns: Vec<(String, &[String])> = series
        .iter()
        .flat_map(|(series, columns)| columns.iter().map(move |(name, cell)| (series, name, cell)))
        .map(|(series, name, cell)| {
            let cells = match cell {
                Cell::One(text) => std::slice::from_ref(text),
                Cell::Many(texts) => texts.as_slice(),
            };
            (format!("{series}.{name}"), cells)
        })
        .collect();
    let rows = columns.iter().map(|(_, cells)| cells.len()).max().unwrap_or_default();
    let head: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let row = |index| columns.iter().map(|(_, cells)| cells.get(index).map_or("", String::as_str)).collect();
    let lines = std::iter::once(head).chain((0..rows).map(row));
    lines.map(|cells| cells.into_iter().map(quoted).collect::<Vec<_>>().join(",") + "\r\n").collect()
}

/// A cell of a table, as RFC 4180 has it: names may hold commas.
fn quoted(cell: &str) -> Cow<'_, str> {
    if cell.contains([',', '"', '\r', '\n']) {
        return format!("\"{}\"", cell.replace('"', "\"\"")).into();
    }
    cell.into()
}

#[cfg(test)]
mod tests;
