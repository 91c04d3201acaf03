//! The counters as JSON. Keys are the names of the families without `as112_` and `_total`; labels nest in
//! their order.

use serde_json::{Map, Value, json};

use crate::board::Status;
use crate::board::host::{FAMILIES as HOST_FAMILIES, HOST};
use crate::board::observed::Percentiles;
use crate::board::process::PROCESS;
use crate::board::talkers::{Ranking, Top};
use crate::board::work::Work;
use crate::board::{Reading, sum_of};
use crate::stats::counters::{Family, Totals};
use crate::stats::uniques::KINDS;

/// The document of `/stats.json`.
///
/// `counters` has the sums over all threads, `shards` each shard's own, without what rules and workers do,
/// `platform` what workers have at hand, where there are any. Sizes are keyed by the least size of
/// a bin of 16 bytes, as RSSAC002 has them, and bins without a packet are left out. `top` is for the operator
/// alone: it names networks however little they ask.
#[must_use]
pub fn render(reading: &Reading<'_>, top: Option<&Top>) -> String {
    let facts = &reading.board.facts;
    let blocks = reading.board.shards.iter().zip(&reading.shards).enumerate();
    let shards: Vec<Value> = blocks
        .map(|(index, (block, totals))| {
            json!({
                "shard": index,
                "cpu": block.cpu,
                "busy_ratio": reading.observation.busy[index],
                "service_time": percentiles(&reading.observation.shards[index]),
                "counters": counters(reading, totals, |family| !family.is_of_platform()),
            })
        })
        .collect();
    let exports = reading.board.exports.iter().map(|(name, export)| ((*name).to_owned(), status(export)));
    let exports: Map<String, Value> = exports.collect();
    let lost: Map<String, Value> =
        reading.board.lost().map(|(log, lost)| (log.to_owned(), lost.into())).collect();
    let uniques: Map<String, Value> = KINDS
        .iter()
        .zip(reading.observation.uniques)
        .map(|(kind, count)| ((*kind).to_owned(), count.into()))
        .collect();
    let confined = &reading.board.confined;
    let refused: Vec<Value> = (reading.refused.iter())
        .map(|refused| json!({"thread": refused.class.name(), "call": refused.call, "count": refused.count}))
        .collect();
    let (succeeded, failed) = reading.board.reloads.counts();
    let mut document = json!({
        "node": reading.named.node,
        "site": reading.named.site,
        "version": facts.version,
        "datapath": facts.datapath,
        "datapath_reason": facts.reason,
        "datapath_queries": by_datapath(reading),
        "xdp": facts.xdp,
        "start_time_seconds": reading.started().as_secs_f64(),
        "uptime_seconds": reading.uptime.as_secs_f64(),
        "ready": reading.is_ready(),
        "state": reading.state.name(),
        "configuration": {
            "loaded_at": reading.board.reloads.loaded_at(),
            "is_current": reading.board.reloads.is_current(),
            "reloads": { "succeeded": succeeded, "failed": failed },
        },
        "confined": {
            "user": confined.user,
            "landlock": confined.landlock,
            "seccomp": confined.seccomp,
            "notes": confined.notes,
            "refused_syscalls": refused,
        },
        "tcp_connections": reading.tcp_connections,
        "announcers": reading.board.announcers.read(),
        "history": status(&reading.board.history),
        "exports": exports,
        "log_lines_lost": lost,
        "dnstap": reading.board.dnstap.as_ref().map(|dnstap| json!({
            "connected": dnstap.is_connected(),
            "frames_sent": dnstap.sent(),
            "frames_dropped": dnstap.dropped(),
        })),
        "service_time": percentiles(&reading.observation.all),
        "unique_sources": uniques,
        "top": top.map(|top| json!({"networks": ranking(&top.networks), "names": ranking(&top.names)})),
        "source_sample_every": facts.sample_every,
        "counters": counters(reading, &reading.total, |_| true),
        "shards": shards,
        "host": host(reading),
        "process": process(reading),
    });
    if let Some(work) = &reading.work {
        document["platform"] = platform(work);
    }
    format!("{document:#}\n")
}

fn host(reading: &Reading<'_>) -> Map<String, Value> {
    let of_family =
        |counts| HOST_FAMILIES.iter().zip(counts).map(|(name, count): (_, &Option<u64>)| (*name, *count));
    let families = HOST.iter().zip(&reading.host);
    families.map(|(family, counts)| (family.name.to_owned(), of_family(counts).collect())).collect()
}

fn process(reading: &Reading<'_>) -> Map<String, Value> {
    let values = PROCESS.iter().zip(reading.process);
    values.map(|(family, value)| (family.name.to_owned(), value.into())).collect()
}

fn by_datapath(reading: &Reading<'_>) -> Map<String, Value> {
    let by_datapath = reading.by_datapath().into_iter();
    by_datapath.map(|(datapath, queries)| (datapath.to_owned(), queries.into())).collect()
}

/// The most frequent values of a sample, each with its part of `samples`.
fn ranking(of: &Ranking) -> Value {
    let largest: Map<String, Value> =
        of.largest.iter().map(|(value, count)| (value.clone(), (*count).into())).collect();
    json!({"samples": of.samples, "largest": largest})
}

fn status(status: &Status) -> Value {
    json!({"place": *status.place(), "errors": status.errors(), "last_error": status.last_error()})
}

/// Times in nanoseconds.
fn percentiles(of: &Percentiles) -> Value {
    let Percentiles { samples, p50, p90, p99, p999, max } = of;
    json!({"samples": samples, "p50": p50, "p90": p90, "p99": p99, "p999": p999, "max": max})
}

/// What workers have at hand.
fn platform(work: &Work) -> Value {
    let upstreams = work.servers.iter().map(|server| {
        let now = json!({
            "state": server.state.name(),
            "srtt_seconds": server.srtt.map(|srtt| srtt.as_secs_f64()),
            "in_flight": server.in_flight,
        });
        (server.name.clone(), now)
    });
    let apps = work.apps.iter().map(|app| {
        let now = json!({
            "state": app.state.name(),
            "memory_bytes": app.memory,
            "held_queries": app.held,
        });
        (app.name.clone(), now)
    });
    json!({
        "workers": work.workers,
        "tasks": work.tasks,
        "cache": {"entries": work.cache_entries, "bytes": work.cache_bytes},
        "upstreams": upstreams.collect::<Map<String, Value>>(),
        "resolver": work.resolver.as_ref().map(|resolver| {
            json!({
                "state": resolver.phase.name(),
                "starts": resolver.starts,
                "ended": resolver.ended,
            })
        }),
        "apps": apps.collect::<Map<String, Value>>(),
    })
}

fn counters(reading: &Reading<'_>, totals: &Totals, is_wanted: fn(&Family) -> bool) -> Value {
    let mut all = Map::new();
    for family in reading.shown().filter(|family| is_wanted(family)) {
        all.insert(key(family).to_owned(), nested(reading, family, totals));
        if family.is_histogram() {
            let sum = sum_of(family);
            all.insert(key(sum).to_owned(), nested(reading, sum, totals));
        }
    }
    all.into()
}

fn key(family: &Family) -> &'static str {
    let name = family.name.strip_prefix("as112_").unwrap_or(family.name);
    name.strip_suffix("_total").unwrap_or(name)
}

/// A family without labels is a number, one with labels an object of objects.
fn nested(reading: &Reading<'_>, family: &Family, totals: &Totals) -> Value {
    let mut root = if family.labels.is_empty() { Value::from(0) } else { Value::Object(Map::new()) };
    for (labels, count) in reading.series(family, totals) {
        if count == 0 && family.is_histogram() {
            continue;
        }
        let leaf = labels.into_iter().fold(&mut root, |at, label| &mut at[label]);
        *leaf = if family.is_micros() { (count as f64 / 1e6).into() } else { count.into() };
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::tests::board;
    use crate::board::work::tests::board_with_workers;

    #[test]
    fn what_rules_and_workers_do_is_there_where_there_are_any() {
        let with = board_with_workers();
        let document: Value = serde_json::from_str(&render(&with.read(), None)).unwrap();
        let server = "lan/192.0.2.53:53";
        assert_eq!(document["counters"]["rule_hits"], json!({"none": 0, "lan": 9, "no-\"quotes\"": 0}));
        assert_eq!(document["counters"]["work_refused"]["lan"]["pool"], json!(2));
        assert_eq!(document["counters"]["upstream_seconds"], json!({server: {"0.000128": 3, "+Inf": 1}}));
        assert_eq!(document["counters"]["upstream_seconds_sum"][server], json!(5.0003));
        assert_eq!(
            document["platform"],
            json!({
                "workers": 1, "tasks": 5, "cache": {"entries": 7, "bytes": 1000},
                "upstreams": {
                    server: {"state": "closed", "srtt_seconds": 0.0015, "in_flight": 3},
                    "lan/[2001:db8::53]:53": {"state": "open", "srtt_seconds": null, "in_flight": 0},
                },
                "resolver": {"state": "waiting", "starts": 3, "ended": "killed by signal 9"},
                "apps": {"filter": {"state": "off", "memory_bytes": 131_072, "held_queries": 4}},
            })
        );
        assert_eq!(document["counters"]["app_metric"], json!({"filter": {"blocked_total": 3}}));
        assert_eq!(document["counters"]["app_verdicts"]["filter"]["fail"], json!(2));
        assert_eq!(document["shards"][1]["counters"].get("rule_hits"), None);
        let without = render(&board().read(), None);
        for part in ["rule_", "upstream", "worker", "cache_", "platform", "SERVFAIL", "guest", "app_"] {
            assert!(!without.contains(part), "{part}");
        }
    }

    #[test]
    fn the_document_has_facts_sums_and_shards() {
        let board = board();
        let document: Value = serde_json::from_str(&render(&board.read(), None)).unwrap();
        for (pointer, expected) in [
            ("/node", json!("node-1")),
            ("/site", json!("site-1")),
            ("/unique_sources", json!({"ipv4": 0, "ipv6": 0, "ipv6_64": 0})),
            ("/shards/1/service_time/samples", json!(0)),
            ("/version", json!("1.2.3")),
            ("/datapath_reason", json!("no \"ring\"\nhere")),
            ("/start_time_seconds", json!(1_700_000_000.5)),
            ("/ready", json!(true)),
            ("/tcp_connections", json!(3)),
            ("/history", json!({"place": "in memory", "errors": 0, "last_error": null})),
            ("/exports", json!({"dsc": {"place": "/dsc", "errors": 0, "last_error": null}})),
            (
                "/counters/queries/direct",
                json!({"udp": {"ipv4": 4, "ipv6": 0}, "tcp": {"ipv4": 0, "ipv6": 4}}),
            ),
            ("/log_lines_lost", json!({"node": 0, "queries": 0})),
            ("/dnstap", json!({"connected": false, "frames_sent": 0, "frames_dropped": 0})),
            ("/counters/queries_do", json!(0)),
            ("/counters/queries_by_zone", json!({"10.in-addr.arpa": 2, "other": 1})),
            ("/counters/query_size_bytes", json!({"udp": {"32": 2, "2048": 1}})),
            ("/counters/query_size_bytes_sum", json!({"udp": 2128, "tcp": 0})),
            ("/counters/response_size_bytes", json!({})),
            ("/shards/0/cpu", json!(7)),
            ("/shards/1/cpu", json!(null)),
            ("/shards/0/counters/shard_datagrams", json!(3)),
            ("/shards/1/counters/queries/direct/udp/ipv4", json!(1)),
        ] {
            assert_eq!(document.pointer(pointer), Some(&expected), "{pointer}");
        }
        assert!(document.pointer("/host/udp_in_errors/ipv4").unwrap().is_u64());
        assert!(document.pointer("/process/process_open_fds").unwrap().as_f64().unwrap() > 3.0);
        assert_eq!(document["shards"].as_array().unwrap().len(), 2);
    }
}
