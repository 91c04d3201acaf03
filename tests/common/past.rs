//! A history as a busy node would have it, made up, written with the program's own tables.

use std::path::Path;

use as112d::history::{FILE, History};
use as112d::stats::labels::Names;
use rusqlite::{Connection, params};

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 3600;

/// A counter, and its parts of a thousand of all queries.
type Weight = (&'static str, &'static str, f64);

const WEIGHTS: &[Weight] = &[
    ("as112_queries_total", r#"{"service":"direct","transport":"udp","family":"ipv4"}"#, 880.0),
    ("as112_queries_total", r#"{"service":"direct","transport":"udp","family":"ipv6"}"#, 40.0),
    ("as112_queries_total", r#"{"service":"direct","transport":"tcp","family":"ipv4"}"#, 12.0),
    ("as112_queries_total", r#"{"service":"dname","transport":"udp","family":"ipv6"}"#, 48.0),
    ("as112_queries_total", r#"{"service":"other","transport":"udp","family":"ipv4"}"#, 20.0),
    ("as112_queries_by_type_total", r#"{"type":"PTR"}"#, 781.3),
    ("as112_queries_by_type_total", r#"{"type":"SOA"}"#, 96.0),
    ("as112_queries_by_type_total", r#"{"type":"NS"}"#, 31.0),
    ("as112_queries_by_type_total", r#"{"type":"A"}"#, 28.2),
    ("as112_queries_by_type_total", r#"{"type":"AAAA"}"#, 17.0),
    ("as112_queries_by_type_total", r#"{"type":"TXT"}"#, 9.0),
    ("as112_queries_by_type_total", r#"{"type":"SRV"}"#, 6.0),
    ("as112_queries_by_type_total", r#"{"type":"ANY"}"#, 4.0),
    ("as112_queries_by_type_total", r#"{"type":"DS"}"#, 2.5),
    ("as112_queries_by_type_total", r#"{"type":"MX"}"#, 2.0),
    ("as112_queries_by_type_total", r#"{"type":"HTTPS"}"#, 0.4),
    ("as112_queries_by_type_total", r#"{"type":"other"}"#, 3.0),
    ("as112_queries_edns_total", r#"{"version":"0"}"#, 711.0),
    ("as112_queries_do_total", "{}", 433.0),
    ("as112_responses_total", r#"{"rcode":"NXDOMAIN"}"#, 861.0),
    ("as112_responses_total", r#"{"rcode":"NOERROR"}"#, 96.0),
    ("as112_responses_total", r#"{"rcode":"REFUSED"}"#, 42.0),
    ("as112_responses_total", r#"{"rcode":"FORMERR"}"#, 0.6),
    ("as112_queries_by_zone_total", r#"{"zone":"10.in-addr.arpa"}"#, 422.0),
    ("as112_queries_by_zone_total", r#"{"zone":"168.192.in-addr.arpa"}"#, 318.0),
    ("as112_queries_by_zone_total", r#"{"zone":"16.172.in-addr.arpa"}"#, 61.0),
    ("as112_queries_by_zone_total", r#"{"zone":"254.169.in-addr.arpa"}"#, 55.0),
    ("as112_queries_by_zone_total", r#"{"zone":"empty.as112.arpa"}"#, 48.0),
    ("as112_queries_by_zone_total", r#"{"zone":"17.172.in-addr.arpa"}"#, 21.0),
    ("as112_queries_by_zone_total", r#"{"zone":"31.172.in-addr.arpa"}"#, 17.0),
    ("as112_queries_by_zone_total", r#"{"zone":"20.172.in-addr.arpa"}"#, 12.0),
    ("as112_queries_by_zone_total", r#"{"zone":"18.172.in-addr.arpa"}"#, 9.0),
    ("as112_queries_by_zone_total", r#"{"zone":"home.arpa"}"#, 8.0),
    ("as112_queries_by_zone_total", r#"{"zone":"hostname.as112.net"}"#, 1.2),
    ("as112_queries_by_zone_total", r#"{"zone":"other"}"#, 27.0),
    ("as112_query_size_bytes", r#"{"transport":"udp","size":"32"}"#, 176.0),
    ("as112_query_size_bytes", r#"{"transport":"udp","size":"48"}"#, 521.0),
    ("as112_query_size_bytes", r#"{"transport":"udp","size":"64"}"#, 208.0),
    ("as112_query_size_bytes", r#"{"transport":"tcp","size":"64"}"#, 12.0),
    ("as112_query_size_bytes", r#"{"transport":"udp","size":"80"}"#, 61.0),
    ("as112_query_size_bytes", r#"{"transport":"udp","size":"96"}"#, 21.0),
    ("as112_query_size_bytes", r#"{"transport":"udp","size":"512"}"#, 0.3),
    ("as112_query_size_bytes_sum", r#"{"transport":"udp"}"#, 56_000.0),
    ("as112_response_size_bytes", r#"{"transport":"udp","size":"96"}"#, 241.0),
    ("as112_response_size_bytes", r#"{"transport":"udp","size":"112"}"#, 488.0),
    ("as112_response_size_bytes", r#"{"transport":"udp","size":"128"}"#, 176.0),
    ("as112_response_size_bytes", r#"{"transport":"udp","size":"144"}"#, 72.0),
    ("as112_response_size_bytes", r#"{"transport":"tcp","size":"256"}"#, 22.0),
    ("as112_response_size_bytes_sum", r#"{"transport":"udp"}"#, 119_000.0),
    ("as112_sources_by_country", r#"{"country":"US"}"#, 302.0),
    ("as112_sources_by_country", r#"{"country":"DE"}"#, 181.0),
    ("as112_sources_by_country", r#"{"country":"PT"}"#, 166.0),
    ("as112_sources_by_country", r#"{"country":"BR"}"#, 92.0),
    ("as112_sources_by_country", r#"{"country":"other"}"#, 259.0),
    ("as112_sources_by_as", r#"{"as":"64496"}"#, 213.0),
    ("as112_sources_by_as", r#"{"as":"64500"}"#, 148.0),
    ("as112_sources_by_as", r#"{"as":"64511"}"#, 87.0),
    ("as112_sources_by_as", r#"{"as":"other"}"#, 552.0),
    ("as112_sources_by_network", r#"{"network":"192.0.2.0/24"}"#, 53.0),
    ("as112_sources_by_network", r#"{"network":"2001:db8:12::/48"}"#, 38.0),
    ("as112_sources_by_network", r#"{"network":"198.51.100.0/24"}"#, 24.0),
    ("as112_sources_by_network", r#"{"network":"203.0.113.0/24"}"#, 0.000_02),
    ("as112_sources_by_network", r#"{"network":"other"}"#, 885.0),
];

/// Queries in the minute that begins at `time`: a tide by day, less of it at the end of a week, some noise.
fn queries(time: u64) -> f64 {
    let day = (time % DAY) as f64 / DAY as f64;
    let tide = 1.0 + 0.42 * ((day - 0.35) * std::f64::consts::TAU).sin() + 0.1 * (day * 25.0).sin();
    let weekend = if (time / DAY + 3) % 7 > 4 { 0.78 } else { 1.0 };
    let growth = 1.0 + (time / DAY % 365) as f64 / 2000.0;
    let noise = 0.97 + ((time / 900).wrapping_mul(2_654_435_761) % 997) as f64 / 997.0 * 0.06;
    61_000.0 * tide * weekend * growth * noise
}

/// Writes into `dir` a history that ends at `now`: 48 hours by minutes and, before, `days` by quarters, and
/// `years` more by hours.
pub fn write(dir: &Path, now: u64, days: u64, years: bool) {
    write_alone(dir, now, days, years);
    crate::common::open_up(dir);
}

fn write_alone(dir: &Path, now: u64, days: u64, years: bool) {
    let (history, _) = History::open(dir, &Names::default(), 1, now).expect("a history");
    drop(history);
    let mut db = Connection::open(dir.join(FILE)).expect("it opens");
    let transaction = db.transaction().expect("a transaction");
    for (id, (family, labels, _)) in WEIGHTS.iter().enumerate() {
        transaction
            .execute("INSERT INTO series VALUES (?, ?, ?)", params![id as i64, family, labels])
            .expect("it fits");
    }
    let minutes = now - 2 * DAY - now % 900;
    let quarters = minutes - days * DAY;
    let quarters = quarters - quarters % DAY;
    let mut spans = vec![(MINUTE, minutes, now), (900, quarters, minutes)];
    if years {
        let hours = quarters - 380 * DAY;
        spans.extend([(3600, hours, quarters), (DAY, hours - 400 * DAY, hours)]);
    }
    for (resolution, start, end) in spans {
        let mut insert = transaction.prepare("INSERT INTO counts VALUES (?, ?, ?, ?)").expect("a statement");
        for start in (start..end).step_by(resolution as usize) {
            let all = queries(start) * (resolution / MINUTE) as f64;
            for (id, (.., weight)) in WEIGHTS.iter().enumerate() {
                let count = (all * weight / 1000.0) as i64;
                insert.execute(params![resolution, start, id as i64, count]).expect("it fits");
            }
        }
    }
    for (label, value, name) in [
        ("country", "US", "United States"),
        ("country", "DE", "Germany"),
        ("country", "PT", "Portugal"),
        ("country", "BR", "Brazil"),
        ("as", "64496", "Example <Transit> & \"Sons\""),
        ("as", "64500", "Documentation Networks"),
    ] {
        transaction
            .execute("INSERT INTO names VALUES (?, ?, ?)", params![label, value, name])
            .expect("it fits");
    }
    let today = now - now % DAY;
    for back in 1..=40 {
        let day = today - back * DAY;
        let ipv4 = queries(day) * 1.9;
        for (kind, sources) in [("ipv4", ipv4), ("ipv6", ipv4 * 0.31), ("ipv6_64", ipv4 * 0.27)] {
            transaction
                .execute("INSERT INTO uniques VALUES (?, ?, ?, NULL)", params![day, kind, sources as i64])
                .expect("it fits");
        }
    }
    transaction.commit().expect("there is room");
}
