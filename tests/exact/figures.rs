//! Where the numbers are shown, and whether they are the expected ones.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use as112d::limits::SERVICE_TIME_EVERY;
use as112d::stats::counters::{FAMILIES, Family};
use serde_json::{Value, json};

use crate::common::daemon::PATIENCE;
use crate::expected::{Counts, Expected, json_key, sum};

pub fn get(http: SocketAddr, path: &str, accept: &str) -> String {
    let mut stream = TcpStream::connect(http).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split_once("\r\n\r\n").expect("a head and a body").1.to_owned()
}

/// The counters of a family in JSON, by the values of its labels. A node without rules has no families of the
/// platform.
pub fn leaves(value: &Value) -> Vec<(Vec<String>, u64)> {
    if value.is_null() {
        return Vec::new();
    }
    let Value::Object(object) = value else {
        return vec![(Vec::new(), value.as_u64().unwrap_or_else(|| panic!("{value} is no count")))];
    };
    let below = object.iter().flat_map(|(label, value)| {
        leaves(value).into_iter().map(move |(mut labels, count)| {
            labels.insert(0, label.clone());
            (labels, count)
        })
    });
    below.collect()
}

/// The families that the packets alone decide: not the turns of time, not samples, which depend on what each
/// shard got, and not what concerns shards alone.
fn is_exact(family: &Family) -> bool {
    !family.by_shard && !["tcp_turns", "source_samples"].contains(&json_key(family))
}

pub fn check_json(expected: &Expected, stats: &Value) {
    for family in FAMILIES.iter().filter(|family| is_exact(family)) {
        let found = leaves(&stats["counters"][json_key(family)]);
        for (labels, count) in &found {
            assert_eq!(*count, expected.of(family, labels), "{} {labels:?}", family.name);
        }
        let all: u64 = found.iter().map(|(_, count)| count).sum();
        assert_eq!(all, expected.sum(json_key(family)), "{}", family.name);
    }
    assert_eq!(stats["tcp_connections"], 0);
}

/// What the shards have by themselves: in sum every counter of UDP, and of what concerns shards alone what
/// follows from it.
pub fn check_shards(expected: &Expected, stats: &Value, shards: usize) {
    let blocks = stats["shards"].as_array().expect("a list of shards");
    assert_eq!(blocks.len(), shards);
    for family in FAMILIES.iter().filter(|family| is_exact(family)) {
        let mut found = Counts::new();
        for (labels, count) in blocks.iter().flat_map(|shard| leaves(&shard["counters"][json_key(family)])) {
            *found.entry((family.name, labels)).or_default() += count;
        }
        for (key, count) in &found {
            assert_eq!(count, expected.udp.get(key).unwrap_or(&0), "{key:?} of shards");
        }
        assert_eq!(found.values().sum::<u64>(), sum(&expected.udp, json_key(family)), "{}", family.name);
    }
    let of = |shard: &Value, key: &str| {
        leaves(&shard["counters"][key]).iter().map(|(_, count)| count).sum::<u64>()
    };
    let all = |key: &str| blocks.iter().map(|shard| of(shard, key)).sum::<u64>();
    // An update that is left unanswered is both.
    let both = expected.udp.get(&("as112_queries_dropped_total", vec!["update".to_owned()])).unwrap_or(&0);
    let [queries, dropped, sent] =
        ["queries", "queries_dropped", "responses_by_transport"].map(|key| sum(&expected.udp, key));
    assert_eq!(all("shard_datagrams"), queries + dropped - both);
    assert_eq!(all("shard_sent"), sent);
    for none in ["ring_cq_overflow", "ring_short_submissions", "send_errors", "socket_drops", "tcp_turns"] {
        assert_eq!(all(none), 0, "{none}");
    }
    let exhausted = blocks.iter().filter_map(|shard| shard["counters"]["ring_rearms"]["no_buffers"].as_u64());
    assert_eq!(all("ring_buffers_exhausted"), exhausted.sum::<u64>());
    let every = stats["source_sample_every"].as_u64().expect("a number");
    let mut samples = sum(&expected.tcp, "queries") / every;
    for shard in blocks {
        assert_eq!(of(shard, "source_samples"), of(shard, "queries") / every);
        samples += of(shard, "queries") / every;
        let timed = of(shard, "shard_datagrams") / u64::from(SERVICE_TIME_EVERY);
        assert_eq!(shard["service_time"]["samples"], timed);
        let (received, batches) = (of(shard, "shard_datagrams"), of(shard, "shard_batches"));
        assert!(
            received > 0 && batches > 0 && batches <= received,
            "{batches} batches, {received} datagrams"
        );
        assert!(of(shard, "shard_turns") >= batches && of(shard, "shard_busy_nanoseconds") > 0);
    }
    assert_eq!(stats["counters"]["source_samples"], samples);
}

/// All that asked are one address of each family.
pub fn check_sources(stats: &Value) {
    assert_eq!(stats["unique_sources"], json!({"ipv4": 1, "ipv6": 1, "ipv6_64": 1}));
}

/// The samples of a text for Prometheus: name, values of the labels, number.
fn samples(text: &str) -> Vec<(&str, Vec<String>, &str)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line| {
        let (sample, number): (&str, &str) = str::rsplit_once(line, ' ').expect("a number behind a space");
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let values =
            labels.split("=\"").skip(1).map(|rest| rest.split_once('"').expect("quoted").0.to_owned());
        (name, values.collect(), number)
    };
    lines.map(sample).collect()
}

/// Prometheus has the same numbers: every sample of every exact family, every bucket of every histogram, and
/// what `stats`, the document of JSON, has of the shards.
pub fn check_prometheus(expected: &Expected, text: &str, stats: &Value) {
    let samples = samples(text);
    let of = |name: &str| -> Vec<(Vec<String>, u64)> {
        let found = samples.iter().filter(|sample| sample.0 == name);
        let whole =
            |number: &str| number.parse().unwrap_or_else(|_| panic!("{name} {number} is no whole number"));
        found.map(|(_, labels, number)| (labels.clone(), whole(number))).collect()
    };
    let total = |name: &str| of(name).iter().map(|(_, count)| count).sum::<u64>();
    for family in FAMILIES.iter().filter(|family| is_exact(family) && !family.name.ends_with("_sum")) {
        let (name, key) = (family.name, json_key(family));
        if family.bin_len().is_none() {
            for (labels, count) in of(name) {
                assert_eq!(count, expected.of(family, &labels), "{name} {labels:?}");
            }
            assert_eq!(total(name), expected.sum(key), "{name}");
            continue;
        }
        let sizes = expected.family(key);
        let buckets = of(&format!("{name}_bucket"));
        assert!(buckets.len() > 50, "{name} has buckets");
        for (labels, count) in buckets {
            let bound: f64 = labels[1].parse().unwrap_or(f64::INFINITY);
            let is_below = |(bin, _): &(&Vec<String>, &u64)| {
                bin[0] == labels[0] && bin[1].parse::<f64>().expect("a size") <= bound
            };
            let below: u64 = sizes.iter().filter(is_below).map(|(_, count)| count).sum();
            assert_eq!(count, below, "{name}_bucket {labels:?}");
        }
        assert_eq!(total(&format!("{name}_count")), expected.sum(key), "{name}_count");
        for (labels, bytes) in expected.family(&format!("{key}_sum")) {
            assert!(of(&format!("{name}_sum")).contains(&(labels, bytes)), "{name}_sum {bytes}");
        }
    }
    assert_eq!(total("as112_tcp_connections"), 0);
    let moves = |family: &&Family| family.name.contains("turns") || family.name.contains("nanoseconds");
    for family in FAMILIES.iter().filter(|family| family.by_shard && !moves(family)) {
        let shown: u64 = leaves(&stats["counters"][json_key(family)]).iter().map(|(_, count)| count).sum();
        assert_eq!(total(family.name), shown, "{}", family.name);
    }
}

/// The shape of Radar has the same numbers once more: as percentages, and by time.
pub fn check_radar(expected: &Expected, http: SocketAddr) {
    // A range that is relative ends before the quarter of an hour that is not over.
    let db = rusqlite::Connection::open_in_memory().expect("a database");
    let yesterday = "SELECT strftime('dateStart=%Y-%m-%dT00:00:00Z&dateEnd=2100-01-01', 'now', '-1 day')";
    let dates: String = db.query_row(yesterday, [], |row| row.get(0)).expect("a date");
    let ask = |path: &str| -> Value {
        let text = get(http, &format!("/client/v4/radar/as112/{path}{dates}"), "*/*");
        let document: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(document["success"], true, "{text}");
        document["result"].clone()
    };
    let queries = expected.sum("queries");
    let numbers = |value: &Value| -> Vec<f64> {
        let texts = value.as_array().expect("a list").iter();
        texts.map(|text| text.as_str().and_then(|text| text.parse().ok()).expect("a number")).collect()
    };
    let values = numbers(&ask("timeseries?aggInterval=1w&")["serie_0"]["values"]);
    assert_eq!(values.iter().sum::<f64>(), queries as f64);
    let supported = |key: &str| {
        let with = expected.sum(key);
        BTreeMap::from([("SUPPORTED".to_owned(), with), ("NOT_SUPPORTED".to_owned(), queries - with)])
    };
    let by = |key: &str, label: usize, name: fn(&str) -> String| {
        let mut groups = BTreeMap::<String, u64>::new();
        for (labels, count) in expected.family(key) {
            *groups.entry(name(&labels[label])).or_default() += count;
        }
        groups
    };
    for (dimension, groups) in [
        ("DNSSEC", supported("queries_do")),
        ("EDNS", supported("queries_edns")),
        ("IP_VERSION", by("queries", 2, |family| family.replace("ip", "IP"))),
        ("PROTOCOL", by("queries", 1, str::to_uppercase)),
        ("QUERY_TYPE", by("queries_by_type", 0, str::to_owned)),
        ("RESPONSE_CODE", by("responses", 0, str::to_owned)),
    ] {
        let all: u64 = groups.values().sum();
        let percentage = |name: &str| {
            let count = groups.get(name).copied().unwrap_or_default();
            if count == 0 {
                0.0
            } else {
                format!("{:.6}", count as f64 * 100.0 / all as f64).parse().expect("it is one")
            }
        };
        let summary = ask(&format!("summary/{dimension}?"))["summary_0"].as_object().expect("groups").clone();
        for (name, shown) in &summary {
            let shown: f64 = shown.as_str().and_then(|text| text.parse().ok()).expect("a percentage");
            assert_eq!(shown, percentage(name), "{dimension} {name}");
        }
        assert!(groups.keys().all(|name| summary.contains_key(name)), "{dimension}: {summary:?}");
        let series = ask(&format!("timeseries_groups/{dimension}?aggInterval=1w&"))["serie_0"].clone();
        // All of it is in one interval, but on the one night of the week on which the next begins.
        if values.iter().filter(|value| **value > 0.0).count() == 1 {
            for name in groups.keys() {
                assert_eq!(
                    numbers(&series[name]).iter().sum::<f64>(),
                    percentage(name),
                    "{dimension} {name}"
                );
            }
        }
    }
}
