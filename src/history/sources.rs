//! Who asks, from a sample: queries by network, and by country and AS where the operator supplies databases
//! in MaxMind's format. Counts are estimates: the sample's share of all queries. No whole address is kept.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::board::talkers::network;
use crate::limits::{SOURCES_KEPT_MAX, SOURCES_TOLD_APART_MAX};
use crate::nets::places::Places;

/// A family of the history: queries by what is known of their source.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceFamily {
    /// Its name.
    pub name: &'static str,
    /// Its one label.
    pub label: &'static str,
}

/// Queries by country, as ISO 3166 has it.
pub const BY_COUNTRY: SourceFamily = SourceFamily { name: "as112_sources_by_country", label: "country" };
/// Queries by the number of the AS.
pub const BY_AS: SourceFamily = SourceFamily { name: "as112_sources_by_as", label: "as" };
/// Queries by network: 24 bits of IPv4 addresses, 48 of IPv6 addresses.
pub const BY_NETWORK: SourceFamily = SourceFamily { name: "as112_sources_by_network", label: "network" };
/// All of them.
pub const FAMILIES: [&SourceFamily; 3] = [&BY_COUNTRY, &BY_AS, &BY_NETWORK];

/// Bytes that the name of a country or an AS takes: few have more than 40.
const TEXT_LEN_USUAL: usize = 48;
/// Queries from sources that have something in common.
#[derive(Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// What they have in common.
    pub family: &'static SourceFamily,
    /// The value of its label.
    pub value: String,
    /// What people call that.
    pub name: Option<&'a str>,
    /// How many there were, about.
    pub count: u64,
}

/// What is not among the largest.
pub const OTHER: &str = "other";
/// What no database knows.
pub const UNKNOWN: &str = "unknown";

/// Counts by something that may have many values, up to a bound.
#[derive(Debug)]
struct Counts<K> {
    counts: HashMap<K, u64>,
    /// Those of values that came when the bound was reached.
    other: u64,
}

/// Bytes of all that is counted in a minute, with and without databases of places.
#[must_use]
pub fn memory_len(with_places: bool) -> usize {
    // A hash map is at most 7/8 full and doubles: the new one and the old one are there at once.
    let entries = (SOURCES_TOLD_APART_MAX * 8 / 7).next_power_of_two() * 3 / 2;
    let map = |entry_len: usize| entries * (entry_len + 1);
    let sorted = SOURCES_TOLD_APART_MAX * size_of::<(&IpNet, u64)>();
    let networks = map(size_of::<(IpNet, u64)>()) + sorted;
    if !with_places {
        return networks;
    }
    // Keys and names are texts, each in a piece of memory of its own; nodes of the tree are half full.
    let texts = SOURCES_TOLD_APART_MAX * TEXT_LEN_USUAL;
    let names = SOURCES_TOLD_APART_MAX * 2 * size_of::<((&str, String), String)>();
    networks + 2 * (map(size_of::<(String, u64)>()) + texts) + 2 * (names + 2 * texts)
}

impl<K: Hash + Eq + Ord + Clone + ToString> Counts<K> {
    fn new() -> Self {
        Self { counts: HashMap::new(), other: 0 }
    }

    /// Whether it is told apart from others.
    fn count(&mut self, key: K) -> bool {
        let is_told = self.counts.len() < SOURCES_TOLD_APART_MAX || self.counts.contains_key(&key);
        if is_told {
            *self.counts.entry(key).or_default() += 1;
        } else {
            self.other += 1;
        }
        is_told
    }

    /// The largest, and the rest as [`OTHER`]; each times `scale`.
    fn largest(&self, scale: f64) -> Vec<(String, u64)> {
        let mut all: Vec<(&K, u64)> = self.counts.iter().map(|(key, &count)| (key, count)).collect();
        all.sort_unstable_by(|(key, count), (other_key, other)| other.cmp(count).then(key.cmp(other_key)));
        let kept = all.len().min(SOURCES_KEPT_MAX);
        let other = self.other + all[kept..].iter().map(|(_, count)| count).sum::<u64>();
        let rows = all[..kept].iter().map(|(key, count)| (key.to_string(), scaled(*count, scale)));
        rows.chain((other > 0).then(|| (OTHER.to_owned(), scaled(other, scale)))).collect()
    }
}

/// What was sampled since the history was last stored.
#[derive(Debug)]
pub struct Sources {
    places: Places,
    /// How many sources were counted.
    samples: u64,
    countries: Counts<String>,
    ases: Counts<String>,
    networks: Counts<IpNet>,
    /// What countries and ASes are called, by label and value.
    names: BTreeMap<(&'static str, String), String>,
    faults: Faults,
}

/// Records of databases that could not be read. They tell nothing, and that is told once.
#[derive(Debug, Default)]
struct Faults {
    count: u64,
    /// The first one, until it is told.
    first: Option<String>,
}

impl Sources {
    /// Nothing yet.
    #[must_use]
    pub fn new(places: Places) -> Self {
        Self {
            places,
            samples: 0,
            countries: Counts::new(),
            ases: Counts::new(),
            networks: Counts::new(),
            names: BTreeMap::new(),
            faults: Faults::default(),
        }
    }

    /// From now on sources are looked up in `places`.
    pub fn change_places(&mut self, places: Places) {
        self.places = places;
        self.names.clear();
        self.faults = Faults::default();
    }

    /// How many records of the databases in use could not be read.
    #[must_use]
    pub const fn unreadable(&self) -> u64 {
        self.faults.count
    }

    /// The first record that could not be read, and why; once.
    pub const fn take_fault(&mut self) -> Option<String> {
        self.faults.first.take()
    }

    /// Counts the source of a query.
    pub fn count(&mut self, source: IpAddr) {
        self.samples += 1;
        self.networks.count(network(source));
        if self.places.is_empty() {
            return;
        }
        let (mut country, mut number) = (None, None);
        for record in self.places.records(source) {
            let record = match record {
                Ok(record) => record,
                Err(fault) => {
                    if self.faults.count == 0 {
                        self.faults.first = Some(fault);
                    }
                    self.faults.count += 1;
                    continue;
                }
            };
            if let Some(code) = record.country() {
                country.get_or_insert_with(|| (code.to_owned(), record.country_name().map(str::to_owned)));
            }
            if let Some(found) = record.number() {
                let name = record.organization.map(str::to_owned);
                number.get_or_insert_with(|| (found.to_string(), name));
            }
        }
        let unknown = || (UNKNOWN.to_owned(), None);
        let (country, number) = (country.unwrap_or_else(unknown), number.unwrap_or_else(unknown));
        for (family, counts, (value, name)) in
            [(&BY_COUNTRY, &mut self.countries, country), (&BY_AS, &mut self.ases, number)]
        {
            // What is not told apart needs no name.
            if let (true, Some(name)) = (counts.count(value.clone()), name) {
                self.names.entry((family.label, value)).or_insert(name);
            }
        }
    }

    /// What the history is to keep, of a sample of `queries`. The rate is what it was: samples are lost where
    /// there are more than the aggregator takes.
    #[must_use]
    pub fn rows(&self, queries: u64) -> Vec<Row<'_>> {
        let scale = queries as f64 / self.samples.max(1) as f64;
        let of = |family: &'static SourceFamily, rows: Vec<(String, u64)>| {
            rows.into_iter().map(move |(value, count)| {
                let name = self.names.get(&(family.label, value.clone())).map(String::as_str);
                Row { family, value, name, count }
            })
        };
        of(&BY_COUNTRY, self.countries.largest(scale))
            .chain(of(&BY_AS, self.ases.largest(scale)))
            .chain(of(&BY_NETWORK, self.networks.largest(scale)))
            .collect()
    }

    /// Begins again, once all is stored.
    pub fn clear(&mut self) {
        let (places, faults) = (std::mem::take(&mut self.places), std::mem::take(&mut self.faults));
        *self = Self { faults, ..Self::new(places) };
    }
}

/// A count of samples as one of queries.
#[expect(clippy::cast_sign_loss, reason = "neither is negative")]
fn scaled(count: u64, scale: f64) -> u64 {
    (count as f64 * scale).round() as u64
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use mmdb_writer::Value::{self, U16, U32, U64};

    use super::*;

    fn opened(paths: &[PathBuf]) -> Places {
        let (places, errors) = Places::open(paths);
        assert_eq!(errors, [""; 0]);
        places
    }

    fn text(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
        Value::Map(entries.map(|(key, value)| (key.to_owned(), value)).into())
    }

    fn named(english: &str) -> Value {
        map([("de", text("?")), ("en", text(english))])
    }

    fn autonomous_system(number: Value) -> Value {
        map([("autonomous_system_number", number), ("autonomous_system_organization", text("Example"))])
    }

    /// A database with records of the types that are written here: a published one has these, and what reads
    /// it must take no others for granted.
    fn database<const N: usize>(folder: &Path, name: &str, records: [(&str, Value); N]) -> PathBuf {
        let mut writer = mmdb_writer::Writer::new(name);
        for (network, record) in records {
            writer.insert_value(network.parse::<IpNet>().unwrap(), record).unwrap();
        }
        let path = folder.join(name);
        std::fs::write(&path, writer.to_bytes().unwrap()).unwrap();
        path
    }

    #[test]
    fn of_an_address_only_the_network_remains() {
        for (address, expected) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
            ("::ffff:192.0.2.77", "::/48"),
        ] {
            assert_eq!(network(address.parse().unwrap()).to_string(), expected);
        }
    }

    #[test]
    fn the_largest_are_kept_and_the_rest_is_other() {
        let mut sources = Sources::new(Places::default());
        for number in 0..SOURCES_KEPT_MAX as u32 + 50 {
            for _ in 0..=u32::from(number == 70) {
                sources.count(IpAddr::from((0x0A00_0000 | number << 8 | 9).to_be_bytes()));
            }
        }
        let rows = sources.rows(64 * (SOURCES_KEPT_MAX as u64 + 51));
        assert_eq!(rows.len(), SOURCES_KEPT_MAX + 1, "without a database there are networks alone");
        assert!(rows.iter().all(|row| *row.family == BY_NETWORK && row.name.is_none()));
        let told = |at: usize| (rows[at].value.as_str(), rows[at].count);
        assert_eq!([told(0), told(1)], [("10.0.70.0/24", 128), ("10.0.0.0/24", 64)]);
        assert_eq!(told(SOURCES_KEPT_MAX), (OTHER, 50 * 64));
        sources.clear();
        assert_eq!(sources.rows(0), []);
    }

    #[test]
    fn databases_tell_country_and_as() {
        let folder = tempfile::tempdir().unwrap();
        let country = |code: &str, name: &str| {
            let country = [("geoname_id", U32(2_264_397)), ("iso_code", text(code)), ("names", named(name))];
            map([("continent", map([("code", text("EU"))])), ("country", map(country))])
        };
        let countries = [
            ("192.0.2.0/25", country("PT", "Portugal")),
            ("2001:db8::/32", map([("country", map([("iso_code", text("NO"))]))])),
        ];
        let countries = database(folder.path(), "GeoLite2-Country", countries);
        let ases =
            database(folder.path(), "GeoLite2-ASN", [("192.0.2.0/24", autonomous_system(U32(64_500)))]);
        let mut sources = Sources::new(opened(&[countries, ases]));
        for source in ["192.0.2.1", "192.0.2.2", "192.0.2.200", "2001:db8::1", "198.51.100.1"] {
            sources.count(source.parse().unwrap());
        }
        let rows = sources.rows(50);
        let told = |family: &SourceFamily| -> Vec<(&str, Option<&str>, u64)> {
            let rows = rows.iter().filter(|row| row.family == family);
            rows.map(|row| (row.value.as_str(), row.name, row.count)).collect()
        };
        assert_eq!(told(&BY_COUNTRY), [("PT", Some("Portugal"), 20), (UNKNOWN, None, 20), ("NO", None, 10)]);
        assert_eq!(told(&BY_AS), [("64500", Some("Example"), 30), (UNKNOWN, None, 20)]);
        assert_eq!(told(&BY_NETWORK).len(), 3);
        assert_eq!((sources.unreadable(), sources.take_fault()), (0, None));
    }

    /// GeoLite2-ASN has uint32; other makers' tools write what a number fits in.
    #[test]
    fn the_number_of_an_as_may_have_any_width() {
        for (number, expected) in
            [(U16(64_500), "64500"), (U32(4_200_000_000), "4200000000"), (U64(4_200_000_000), "4200000000")]
        {
            let folder = tempfile::tempdir().unwrap();
            let ases = database(folder.path(), "GeoLite2-ASN", [("192.0.2.0/24", autonomous_system(number))]);
            let mut sources = Sources::new(opened(&[ases]));
            sources.count("192.0.2.1".parse().unwrap());
            let rows = sources.rows(1);
            let row = rows.iter().find(|row| row.family == &BY_AS).unwrap();
            assert_eq!((row.value.as_str(), row.name), (expected, Some("Example")));
        }
    }

    #[test]
    fn records_that_cannot_be_read_are_counted_and_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let records = [("192.0.2.0/24", autonomous_system(text("AS64500"))), ("198.51.100.0/24", text("PT"))];
        let ases = database(folder.path(), "ASN", records);
        let mut sources = Sources::new(opened(std::slice::from_ref(&ases)));
        for source in ["192.0.2.1", "203.0.113.1", "198.51.100.1"] {
            sources.count(source.parse().unwrap());
        }
        let told = sources.take_fault().unwrap();
        assert!(told.starts_with(&format!("{}: cannot read a record: ", ases.display())), "{told}");
        sources.clear();
        sources.count("192.0.2.1".parse().unwrap());
        assert_eq!((sources.unreadable(), sources.take_fault()), (3, None));
        let unknown = |rows: &[Row]| rows.iter().find(|row| row.family == &BY_AS).unwrap().value == UNKNOWN;
        assert!(unknown(&sources.rows(1)));
        sources.change_places(Places::default());
        assert_eq!(sources.unreadable(), 0);
    }

    #[test]
    fn what_is_no_database_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text.mmdb");
        std::fs::write(&text, "no database").unwrap();
        let ases = database(folder.path(), "ASN", [("192.0.2.0/24", autonomous_system(U32(64_500)))]);
        let (places, errors) = Places::open(&[text.clone(), ases, folder.path().join("absent.mmdb")]);
        assert_eq!((places.databases().len(), errors.len()), (1, 2), "what is a database is used");
        assert!(errors[0].starts_with(&format!("{}: ", text.display())), "{errors:?}");
        assert!(errors.iter().all(|error| error.ends_with("give a database in MaxMind's format (.mmdb)")));
    }

    #[test]
    fn what_cannot_be_told_apart_is_counted_all_the_same() {
        let mut counts = Counts::new();
        for key in 0..SOURCES_TOLD_APART_MAX as u64 + 10 {
            counts.count(key);
            counts.count(0);
        }
        let all: u64 = counts.largest(1.0).iter().map(|row| row.1).sum();
        assert_eq!(all, 2 * (SOURCES_TOLD_APART_MAX as u64 + 10));
        assert_eq!(counts.counts.len(), SOURCES_TOLD_APART_MAX);
    }
}
