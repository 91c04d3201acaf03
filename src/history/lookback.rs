//! Questions that more than one reader has to the history: since when it counts, how a family's counts lie in
//! time, how queries divide by a dimension, and what it does not have yet.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, params};

use super::aging::{days_until, first_fine};
use super::schema::{DAY, all_series};
use super::sources::{OTHER, SourceFamily, UNKNOWN};
use crate::board::Reading;
use crate::stats::counters::{Family, QUERIES, QUERIES_BY_TYPE, QUERIES_DO, QUERIES_EDNS, RESPONSES};

/// By what queries are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// Whether the DO bit is set.
    Dnssec,
    /// Whether there is an OPT.
    Edns,
    /// IPv4 or IPv6.
    IpVersion,
    /// UDP or TCP.
    Protocol,
    /// The qtype.
    QueryType,
    /// The rcode.
    ResponseCode,
}

impl Dimension {
    /// All, the most telling first.
    pub const ALL: [Self; 6] =
        [Self::QueryType, Self::ResponseCode, Self::Protocol, Self::IpVersion, Self::Edns, Self::Dnssec];

    /// What the API calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dnssec => "DNSSEC",
            Self::Edns => "EDNS",
            Self::IpVersion => "IP_VERSION",
            Self::Protocol => "PROTOCOL",
            Self::QueryType => "QUERY_TYPE",
            Self::ResponseCode => "RESPONSE_CODE",
        }
    }

    /// The groups that are there even if nothing was counted.
    const fn groups(self) -> &'static [&'static str] {
        match self {
            Self::Dnssec | Self::Edns => &["SUPPORTED", "NOT_SUPPORTED"],
            Self::IpVersion => &["IPv4", "IPv6"],
            // A node has neither of the last two.
            Self::Protocol => &["UDP", "TCP", "HTTPS", "TLS"],
            Self::QueryType | Self::ResponseCode => &[],
        }
    }
}

/// The start of the oldest counts.
pub fn began(db: &Connection) -> rusqlite::Result<Option<u64>> {
    let fine = first_fine(db, 0)?;
    // The row of a day that has finer ones too begins with the day, whenever counting did.
    let query = "SELECT min(start) FROM counts WHERE resolution = 86400 AND start < ?";
    let day: Option<u64> =
        db.query_row(query, [fine.map_or(i64::MAX as u64, |start| start - start % DAY)], |row| row.get(0))?;
    Ok(day.or(fine))
}

/// What was counted since the history was last stored, of the families that it keeps, by family and labels.
/// It has the totals as they were then.
pub fn not_stored(db: &Connection, reading: &Reading<'_>) -> rusqlite::Result<Vec<(String, String, u64)>> {
    let mut query = db.prepare_cached(
        "SELECT family, labels, sum(total) FROM totals JOIN series ON id = series GROUP BY series",
    )?;
    let rows = query.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
    let stored: HashMap<(String, String), u64> = rows.collect::<Result<_, _>>()?;
    let series = all_series(&reading.named.counted).into_iter().zip(reading.total.counts());
    let since = series.filter(|(series, total)| series.is_kept && **total > 0).map(|(series, total)| {
        let name = (series.family.to_owned(), series.labels);
        let count = total.saturating_sub(stored.get(&name).copied().unwrap_or_default());
        (name.0, name.1, count)
    });
    Ok(since.filter(|(.., count)| *count > 0).collect())
}

/// The rows that have what was counted in a span of time, each count in one of them, where `?1` to `?4` are
/// [`cuts`] of that span.
pub const ROWS: &str = "(
    SELECT start, series, count FROM counts
     WHERE resolution IN (60, 900, 3600) AND start >= ?1 AND start < ?2
    UNION ALL SELECT start, series, count FROM counts WHERE resolution = 86400 AND start >= ?2 AND start < ?3
    UNION ALL SELECT start, series, count FROM counts
     WHERE resolution IN (60, 900, 3600) AND start >= ?3 AND start < ?4)";

/// Where a span of time is cut: between the second and the third of these times rows of days have what is
/// asked for by `step` seconds, before and after it finer ones. In sums and by days those are the whole days,
/// of which there are few rows; else days of which the finer rows are gone.
pub fn cuts(db: &Connection, (start, end): (u64, u64), step: u64) -> rusqlite::Result<[u64; 4]> {
    let next_day = start.next_multiple_of(DAY);
    let (from, to) = if step < DAY {
        (start, first_fine(db, 0)?.unwrap_or(end))
    } else {
        (next_day, days_until(db, end)?.min(end))
    };
    let to = (to - to % DAY).min(end);
    Ok(if from < to { [start, from, to, end] } else { [start, end, end, end] })
}

/// By the start of the interval.
pub type Counts = BTreeMap<u64, u64>;

/// A family by one of its labels, or with none in sum under "": what was counted from `start` to before
/// `end`. `floor` gives the start of the interval of `step` seconds that a time is in.
pub fn counted(
    db: &Connection,
    family: &Family,
    label: Option<&str>,
    span: (u64, u64),
    (step, floor): (u64, impl Fn(u64) -> u64),
) -> rusqlite::Result<BTreeMap<String, Counts>> {
    let [start, days, rest, end] = cuts(db, span, step)?;
    // The table has its rows by time: those of other families are passed over by their number alone.
    let mut query = db.prepare_cached(&format!(
        "SELECT start, coalesce(labels ->> ?5, ''), sum(count) FROM {ROWS} JOIN series ON id = series
          WHERE +series IN (SELECT id FROM series WHERE family = ?6)
          GROUP BY 1, 2"
    ))?;
    let mut rows = query.query(params![start, days, rest, end, label, family.name])?;
    let mut groups: BTreeMap<String, Counts> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (start, count): (u64, u64) = (row.get(0)?, row.get(2)?);
        *groups.entry(row.get(1)?).or_default().entry(floor(start)).or_default() += count;
    }
    Ok(groups)
}

/// The groups of a dimension, made of what `by` knows of a family by a label: first those that are always
/// there, then the others by name.
pub fn groups<E>(
    dimension: Dimension,
    by: impl Fn(&Family, Option<&str>) -> Result<BTreeMap<String, Counts>, E>,
) -> Result<Vec<(String, Counts)>, E> {
    let supported = |family| {
        let with = by(family, None)?.remove("").unwrap_or_default();
        let mut without = by(QUERIES, None)?.remove("").unwrap_or_default();
        for (time, count) in &mut without {
            *count = count.saturating_sub(with.get(time).copied().unwrap_or_default());
        }
        Ok(BTreeMap::from([("SUPPORTED".to_owned(), with), ("NOT_SUPPORTED".to_owned(), without)]))
    };
    let mut found = match dimension {
        Dimension::Dnssec => supported(QUERIES_DO)?,
        Dimension::Edns => supported(QUERIES_EDNS)?,
        Dimension::IpVersion => {
            let families = by(QUERIES, Some("family"))?.into_iter();
            families.map(|(name, counts)| (name.replace("ipv", "IPv"), counts)).collect()
        }
        Dimension::Protocol => {
            let transports = by(QUERIES, Some("transport"))?.into_iter();
            transports.map(|(name, counts)| (name.to_ascii_uppercase(), counts)).collect()
        }
        Dimension::QueryType => by(QUERIES_BY_TYPE, Some("type"))?,
        Dimension::ResponseCode => by(RESPONSES, Some("rcode"))?,
    };
    let always = dimension.groups().iter().map(|&name| (name.to_owned(), found.remove(name)));
    let mut groups: Vec<_> = always.map(|(name, counts)| (name, counts.unwrap_or_default())).collect();
    groups.extend(found);
    Ok(groups)
}

/// The largest groups by themselves, the rest together as `other`.
pub fn limited(mut groups: Vec<(String, Counts)>, limit: Option<usize>) -> Vec<(String, Counts)> {
    let Some(limit) = limit else { return groups };
    let is_other = |name: &str| name == "other";
    groups.sort_by_key(|(name, counts)| (is_other(name), std::cmp::Reverse(counts.values().sum::<u64>())));
    let shown = groups.iter().take(limit).take_while(|(name, _)| !is_other(name)).count();
    let mut other = Counts::new();
    for (time, count) in groups.drain(shown..).flat_map(|(_, counts)| counts) {
        *other.entry(time).or_default() += count;
    }
    if !other.is_empty() {
        groups.push(("other".to_owned(), other));
    }
    groups
}

/// Sources of queries by what they have in common.
#[derive(Debug)]
pub struct Top {
    /// The queries of all, also of those that are not known.
    pub total: u64,
    /// The largest first.
    rows: Vec<TopRow>,
}

/// Queries from sources that have something in common.
#[derive(Debug, PartialEq, Eq)]
pub struct TopRow {
    /// What they have in common: the value of the family's label.
    pub value: String,
    /// What people call that; the value where it has no name.
    pub name: String,
    /// How many, about.
    pub count: u64,
}

impl Top {
    /// Those that are known by themselves, the largest first.
    pub fn known(&self) -> impl Iterator<Item = &TopRow> {
        self.rows.iter().filter(|row| ![OTHER, UNKNOWN].contains(&row.value.as_str()))
    }
}

/// The sources of queries from `start` to before `end`.
pub fn top(db: &Connection, family: &SourceFamily, span: (u64, u64)) -> rusqlite::Result<Top> {
    let [start, days, rest, end] = cuts(db, span, u64::MAX)?;
    let mut query = db.prepare_cached(&format!(
        "SELECT place, coalesce(name, place), count FROM
            (SELECT labels ->> ?5 AS place, sum(count) AS count FROM {ROWS} JOIN series ON id = series
              WHERE +series IN (SELECT id FROM series WHERE family = ?6) GROUP BY 1)
           LEFT JOIN names ON label = ?5 AND value = place ORDER BY count DESC, place"
    ))?;
    let rows = query
        .query_map(params![start, days, rest, end, family.label, family.name], |row| {
            Ok(TopRow { value: row.get(0)?, name: row.get(1)?, count: row.get(2)? })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Top { total: rows.iter().map(|row| row.count).sum(), rows })
}

/// Times as ISO 8601 has them.
pub fn written(db: &Connection, times: &[u64]) -> rusqlite::Result<Vec<String>> {
    let mut query = db.prepare_cached("SELECT strftime('%Y-%m-%dT%H:%M:%SZ', ?, 'unixepoch')")?;
    times.iter().map(|time| query.query_row([time], |row| row.get(0))).collect()
}
