//! DSC: what DNS-OARC's collector writes of each minute, for presenters such as dsc-datatool: arrays of two
//! dimensions, in XML or JSON, in a file that is named after the end of its time.
//!
//! There are those of the collector's arrays that follow from our counters, with its names. Values that are
//! not told apart are in its `-:SKIPPED_SUM:-`. It sees packets, we count messages: `direction_vs_ipproto`
//! has queries and replies. `client_subnet`, `country_code` and `asn` are estimates from a sample.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::{fs, io};

use serde_json::{Value, json};

use super::files::Files;
use crate::board::Board;
use crate::history::Stored;
use crate::history::sources::{BY_AS, BY_COUNTRY, BY_NETWORK, OTHER};
use crate::limits::{DSC_CELLS_MAX, DSC_FILES_MAX, HISTORY_RESOLUTIONS};
use crate::stats::counters::{
    Family, QUERIES, QUERIES_BY_OPCODE, QUERIES_BY_TYPE, QUERIES_DO, QUERIES_EDNS, RESPONSES,
    RESPONSES_BY_TRANSPORT, Totals,
};
use crate::stats::labels::{RCODE_NUMBERS, type_number};

/// What the export is called.
pub const NAME: &str = "dsc";

/// How files are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As `*.dscdata.xml`.
    #[default]
    Xml,
    /// As `*.dscdata.json`.
    Json,
}

impl Format {
    const ALL: [Self; 2] = [Self::Xml, Self::Json];

    const fn suffix(self) -> &'static str {
        match self {
            Self::Xml => ".dscdata.xml",
            Self::Json => ".dscdata.json",
        }
    }
}

/// Writes a file for the time since the last one.
#[derive(Debug)]
pub(super) struct Minutes {
    files: Files,
    format: Format,
    since: u64,
    /// What was counted until then.
    before: Totals,
    /// What the history has of sources in the minute of `since`, and had then already.
    seen: Sources,
}

impl Minutes {
    pub(super) fn begin(files: Files, format: Format, stored: &Stored, board: &Board, now: u64) -> Self {
        // Estimates are not worth a start that fails.
        let seen = sources(stored, now).unwrap_or_default();
        Self { files, format, since: now, before: board.read().total, seen }
    }

    /// Writes the file of the time up to `now`. If it cannot be written, the next one has its time too.
    pub(super) fn write(&mut self, stored: &Stored, board: &Board, now: u64) -> Result<(), String> {
        if now <= self.since {
            // The clock was set back.
            self.since = now;
            return Ok(());
        }
        let in_history = |error: rusqlite::Error| format!("the history: {error}");
        let totals = board.read().total;
        let moved = totals.since(&self.before);
        let mut of_sources = sources(stored, self.since).map_err(in_history)?;
        for (source, count) in &mut of_sources {
            *count = count.saturating_sub(*self.seen.get(source).unwrap_or(&0));
        }
        let seen = sources(stored, now).map_err(in_history)?;
        let mut arrays = counted(&moved);
        arrays.extend(sampled(&of_sources));
        let text = match self.format {
            Format::Xml => xml(&arrays, self.since, now),
            Format::Json => format!("{:#}\n", json(&arrays, self.since, now)),
        };
        self.make_room().map_err(|error| format!("{}: {error}", self.files.dir.display()))?;
        self.files.write(&format!("{now}{}", self.format.suffix()), &text)?;
        (self.since, self.before, self.seen) = (now, totals, seen);
        Ok(())
    }

    /// Removes the oldest files if there would be too many with one more.
    fn make_room(&self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.files.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let stem = Format::ALL.iter().find_map(|format| name.strip_suffix(format.suffix()));
            if let Some(stop_time) = stem.and_then(|stem| stem.parse::<u64>().ok()) {
                files.push((stop_time, path));
            }
        }
        files.sort_unstable();
        let surplus = (files.len() + 1).saturating_sub(DSC_FILES_MAX);
        for (_, path) in files.into_iter().take(surplus) {
            match fs::remove_file(path) {
                // A presenter took it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
        Ok(())
    }
}

//------------ Arrays ---

/// One array. Its first dimension is `All` where there is but one row.
#[derive(Debug)]
struct Array {
    name: &'static str,
    dimensions: [&'static str; 2],
    /// Values of the first dimension, each with its cells.
    rows: Vec<(&'static str, Vec<Cell>)>,
}

/// A value of the second dimension, and its count.
type Cell = (String, u64);

/// The collector's names for values that are not told apart: how many, and their sum.
const SKIPPED: [&str; 2] = ["-:SKIPPED:-", "-:SKIPPED_SUM:-"];

impl Array {
    fn all(name: &'static str, dimension: &'static str, counts: impl Iterator<Item = Count>) -> Self {
        Self { name, dimensions: ["All", dimension], rows: vec![("ALL", cells(counts))] }
    }
}

/// A count of what one value stands for, or of several that are not told apart.
type Count = (Option<String>, u64);

/// The largest counts; those that do not fit, or whose value would need an escape, go together.
fn cells(counts: impl Iterator<Item = Count>) -> Vec<Cell> {
    // The collector writes others in base64. Ours are numbers, addresses and codes.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
    let mut cells = Vec::new();
    let mut skipped = [0, 0];
    let mut skip = |count| {
        skipped[0] += 1;
        skipped[1] += count;
    };
    for (value, count) in counts.filter(|(_, count)| *count > 0) {
        match value {
            Some(value) if value.chars().all(is_plain) => cells.push((value, count)),
            _ => skip(count),
        }
    }
    cells.sort_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
    cells.drain(DSC_CELLS_MAX.min(cells.len())..).for_each(|(_, count)| skip(count));
    if skipped[0] > 0 {
        cells.extend(SKIPPED.map(str::to_owned).into_iter().zip(skipped));
    }
    cells
}

/// The counters of a family in sums by one of its labels.
fn sums(family: &Family, label: usize, moved: &Totals) -> Vec<u64> {
    let mut sums = vec![0; family.labels[label].len];
    for (offset, count) in family.of(moved).iter().enumerate() {
        sums[family.values(offset)[label]] += count;
    }
    sums
}

/// The arrays that follow from counters.
fn counted(moved: &Totals) -> Vec<Array> {
    let numbered = |family, number: fn(usize) -> Option<u16>| {
        let by_value = sums(family, 0, moved).into_iter().enumerate();
        by_value.map(move |(value, count)| (number(value).map(|number| number.to_string()), count))
    };
    let named = |names: [&'static str; 2], counts: [u64; 2]| {
        names.into_iter().map(|name| Some(name.to_owned())).zip(counts)
    };
    let pair =
        |family, label| <[u64; 2]>::try_from(sums(family, label, moved)).expect("there are two values");
    let queries = moved.sum(QUERIES);
    let without = |count: u64| queries.saturating_sub(count);
    let (edns, dnssec_ok) = (moved.sum(QUERIES_EDNS), moved.sum(QUERIES_DO));
    let none = (Some("none".to_owned()), without(edns));
    let protocols = |counts| cells(named(["udp", "tcp"], counts));
    vec![
        Array::all("qtype", "Qtype", numbered(QUERIES_BY_TYPE, type_number)),
        Array::all("rcode", "Rcode", numbered(RESPONSES, |value| RCODE_NUMBERS.get(value).copied())),
        Array::all("opcode", "Opcode", numbered(QUERIES_BY_OPCODE, |value| u16::try_from(value).ok())),
        Array::all(
            "edns_version",
            "EDNSVersion",
            // Of versions only 0 has a counter.
            numbered(QUERIES_EDNS, |value| (value == 0).then_some(0)).chain([none]),
        ),
        // So the collector spells it.
        Array::all("do_bit", "D0", named(["clr", "set"], [without(dnssec_ok), dnssec_ok])),
        Array::all("dns_ip_version", "IPVersion", named(["IPv4", "IPv6"], pair(QUERIES, 2))),
        Array {
            name: "direction_vs_ipproto",
            dimensions: ["Direction", "IPProto"],
            rows: vec![
                ("sent", protocols(pair(RESPONSES_BY_TRANSPORT, 0))),
                ("recv", protocols(pair(QUERIES, 1))),
            ],
        },
    ]
}

//------------ Sources ---

/// Families of the history about sources: what the collector calls the array and its dimension.
const SOURCES: [(&str, &str, &str); 3] = [
    (BY_NETWORK.name, "client_subnet", "ClientSubnet"),
    (BY_COUNTRY.name, "country_code", "CountryCode"),
    (BY_AS.name, "asn", "ASN"),
];

/// Queries by family and value.
type Sources = BTreeMap<(String, String), u64>;

/// What the history has of sources from the minute of `from` on.
fn sources(stored: &Stored, from: u64) -> rusqlite::Result<Sources> {
    let minute = HISTORY_RESOLUTIONS[0].0;
    let mut query = stored.connection().prepare_cached(
        "SELECT family, coalesce(labels ->> 'network', labels ->> 'country', labels ->> 'as'), sum(count)
           FROM history WHERE resolution = ? AND start >= ? AND family IN (?, ?, ?) GROUP BY 1, 2",
    )?;
    let [network, country, asn] = SOURCES.map(|(family, _, _)| family);
    let parameters = rusqlite::params![minute, from - from % minute, network, country, asn];
    query.query_map(parameters, |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?.collect()
}

/// The arrays about sources, as far as the history has any.
fn sampled(sources: &Sources) -> Vec<Array> {
    let array = |(family, name, dimension)| {
        let of_family = sources.iter().filter(move |((of, _), count)| of == family && **count > 0);
        let counts = of_family.map(|((_, value), &count)| {
            // The collector leaves out how long a network's prefix is.
            let address = value.split('/').next().unwrap_or_default();
            ((value != OTHER).then(|| address.to_owned()), count)
        });
        let array = Array::all(name, dimension, counts);
        array.rows.iter().any(|(_, cells)| !cells.is_empty()).then_some(array)
    };
    SOURCES.into_iter().filter_map(array).collect()
}

//------------ Text ---

fn xml(arrays: &[Array], start: u64, stop: u64) -> String {
    let mut out = "<dscdata>\n".to_owned();
    let mut line = |text: std::fmt::Arguments<'_>| {
        writeln!(out, "{text}").expect("a String takes all that is written");
    };
    for Array { name, dimensions: [first, second], rows } in arrays {
        line(format_args!(
            "<array name=\"{name}\" dimensions=\"2\" start_time=\"{start}\" stop_time=\"{stop}\">"
        ));
        line(format_args!("  <dimension number=\"1\" type=\"{first}\"/>"));
        line(format_args!("  <dimension number=\"2\" type=\"{second}\"/>"));
        line(format_args!("  <data>"));
        for (value, cells) in rows {
            line(format_args!("    <{first} val=\"{value}\">"));
            for (value, count) in cells {
                line(format_args!("      <{second} val=\"{value}\" count=\"{count}\"/>"));
            }
            line(format_args!("    </{first}>"));
        }
        line(format_args!("  </data>\n</array>"));
    }
    out + "</dscdata>\n"
}

fn json(arrays: &[Array], start: u64, stop: u64) -> Value {
    let cell = |(value, count): &Cell| json!({"val": value, "count": count});
    let array = |Array { name, dimensions, rows }: &Array| {
        let [first, second] = *dimensions;
        let row = |(value, cells): &(&str, Vec<Cell>)| {
            let cells: Vec<Value> = cells.iter().map(cell).collect();
            json!({first: value, second: cells})
        };
        let data: Vec<Value> = rows.iter().map(row).collect();
        json!({
            "name": name,
            "start_time": start,
            "stop_time": stop,
            "dimensions": dimensions,
            "data": data,
        })
    };
    arrays.iter().map(array).collect()
}
