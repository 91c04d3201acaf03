//! A known mix of 100,000 queries at every door, and every counter is what it must be: in JSON, in sum and by
//! shard, for Prometheus in both formats, in the history and in the shape of Radar, on both datapaths.

#[path = "../common/mod.rs"]
mod common;
mod expected;
mod figures;
mod rows;
mod sending;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use as112d::history::unix_time;
use as112d::limits::SERVICE_TIME_EVERY;
use common::daemon::{Daemon, PATIENCE};
use expected::Expected;
use figures::{check_json, check_prometheus, check_radar, check_shards, check_sources, get, leaves};
use sending::send_everything;
use serde_json::Value;

/// Queries of one run.
const QUERIES: u64 = 100_000;

/// A daemon with a zone and a history in `folder`, and where it serves HTTP.
fn start(folder: &Path, datapath: &str, shards: usize, update: &str) -> (Daemon, SocketAddr) {
    let text = format!(
        "[zones]\ndir = '.'\n[history]\ndir = '{datapath}-{shards}'\n[answers]\nupdate = '{update}'\n"
    );
    let config = folder.join("as112d.toml");
    fs::write(&config, text).expect("there is room");
    let (config, shards) = (config.display().to_string(), shards.to_string());
    let daemon = Daemon::start(&[
        "--config",
        &config,
        "--datapath",
        datapath,
        "--shards",
        &shards,
        "--http",
        "127.0.0.1:0",
    ]);
    let http = daemon.http();
    (daemon, http)
}

#[test]
fn every_counter_is_exact() {
    let folder = common::folder();
    fs::write(folder.path().join("big.example.zone"), rows::zone_text()).expect("there is room");
    for (datapath, shards, update) in
        [("io_uring", 1, "refused"), ("io_uring", 2, "drop"), ("mmsg", 1, "drop"), ("mmsg", 2, "refused")]
    {
        let (daemon, http) = start(folder.path(), datapath, shards, update);
        let (began, today) = (Instant::now(), day());
        let expected = send_everything(&daemon, update == "drop");
        let took = began.elapsed();
        assert_eq!(expected.sum("queries"), QUERIES);
        let stats = settled(http, &expected);
        check_json(&expected, &stats);
        check_shards(&expected, &stats, shards);
        // At midnight they are counted anew.
        if today == day() {
            check_sources(&stats);
        }
        let text = get(http, "/metrics", "text/plain");
        check_prometheus(&expected, &text, &stats);
        let text = get(http, "/metrics", "application/openmetrics-text");
        assert!(text.ends_with("# EOF\n"));
        check_prometheus(&expected, &text, &stats);
        let (status, said) = daemon.stop();
        assert_eq!(status.code(), Some(0));
        assert_eq!(said, [format!("stopped after {QUERIES} queries")]);

        // The last thing that a node does is to store; the next one has it.
        let (_next, http) = start(folder.path(), datapath, shards, update);
        check_radar(&expected, http);
        println!("report: exact_{datapath}_{shards}_shards_sent_ms {}", took.as_millis());
    }
}

/// The day in days of Unix time.
fn day() -> u64 {
    unix_time() / (24 * 3600)
}

/// The numbers once the last packets are counted, and a little later: no more may come.
#[expect(clippy::disallowed_methods, reason = "counters are read, not heard")]
fn settled(http: SocketAddr, expected: &Expected) -> Value {
    let read = || -> Value { serde_json::from_str(&get(http, "/stats.json", "*/*")).expect("JSON") };
    let began = Instant::now();
    loop {
        let stats = read();
        let is_there = |key: &str| {
            let all: u64 = leaves(&stats["counters"][key]).iter().map(|(_, count)| count).sum();
            all >= expected.sum(key)
        };
        let received = |shard: &Value| shard["counters"]["shard_datagrams"].as_u64().unwrap_or_default();
        let is_timed = |shard: &Value| {
            shard["service_time"]["samples"] == received(shard) / u64::from(SERVICE_TIME_EVERY)
        };
        let is_done = ["queries", "queries_dropped"].into_iter().all(is_there)
            && stats["tcp_connections"] == 0
            && stats["shards"].as_array().is_some_and(|shards| shards.iter().all(is_timed));
        if is_done || began.elapsed() > PATIENCE {
            std::thread::sleep(Duration::from_millis(300));
            return read();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
