//! `as112d stats`: the counters of a running node, for people.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use crossbeam_channel::after;
use serde_json::Value;

use super::asking::Node;
use super::change::{Change, Sampled, span};
use super::failure::Failure;
use crate::cli::StatsOptions;
use crate::limits::{STATS_RATE_OVER, STATS_WATCH_EVERY};
use crate::stats::labels::CACHE_HITS;

/// Asks the node twice, and prints rates in between and shares of all; with `--watch` it continues, with
/// shares in between as well, until the node does not answer. Numbers for programs are those of one answer.
///
/// # Errors
/// If no node answers (exit code 3), or what answers is not a node.
pub fn stats(options: &StatsOptions) -> Result<String, Failure> {
    let node = Node::find(&options.node, options.url.as_deref())?;
    let ask = || node.ask().map_err(|reason| node.no_answer(&reason));
    let mut earlier = None;
    if !options.json {
        earlier = Some(ask()?.1);
        pause(STATS_RATE_OVER);
    }
    let mut is_first = true;
    loop {
        let (text, now) = ask()?;
        let before = earlier.as_ref();
        let shown = if options.json { text } else { screen(&now, before, before.filter(|_| !is_first)) };
        if !options.watch {
            return Ok(shown);
        }
        // A terminal is cleared; JSON is a document after the other.
        let clear = if options.json { "" } else { "\x1b[H\x1b[2J" };
        let mut out = io::stdout().lock();
        if out.write_all(format!("{clear}{shown}").as_bytes()).and_then(|()| out.flush()).is_err() {
            // Nobody watches any more.
            return Ok(String::new());
        }
        drop(out);
        (earlier, is_first) = (Some(now), false);
        pause(STATS_WATCH_EVERY);
    }
}

fn pause(time: Duration) {
    after(time).recv().expect("this channel is never closed");
}

/// One screen of 80 columns: rates since `earlier`, and shares since `shares_since` or of all.
fn screen(now: &Value, earlier: Option<&Value>, shares_since: Option<&Value>) -> String {
    let text = |key: &str| now[key].as_str().unwrap_or("?").to_owned();
    let uptime = span(now["uptime_seconds"].as_f64().unwrap_or_default());
    let change = Change::new(now, earlier);
    let of_shares = Change::new(now, shares_since);
    let since = if of_shares.is_since_start() { "since counting began" } else { "of the last seconds" };
    let counters = change.at("counters");

    let queries = counters.at("queries");
    let mut out = String::new();
    let mut line = |line: String| {
        let line: String = line.chars().take(80).collect();
        writeln!(out, "{}", line.trim_end()).expect("a String takes all that is written");
    };
    line(format!("{}  as112d {}  {}  up {uptime}", text("node"), text("version"), text("datapath")));
    line(String::new());
    let total = queries.total();
    line(format!("queries    {:>12.1}/s   {total} in total; shares {since}", queries.rate()));
    let places = now["xdp"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !places.is_empty() {
        let places: Vec<&str> = places.iter().filter_map(Value::as_str).collect();
        let rate = change.at("datapath_queries").at("xdp").rate();
        line(format!("XDP        {rate:>12.1}/s   on {}", places.join(", ")));
    }
    line(format!("replies    {:>12.1}/s", counters.at("responses").rate()));
    line(format!("unanswered {:>12.1}/s", counters.at("queries_dropped").rate()));
    let open = now["tcp_connections"].as_u64().unwrap_or_default();
    line(format!("TCP        {open:>12} connections open"));
    line(String::new());
    for (title, key) in [
        ("service", "queries"),
        ("type", "queries_by_type"),
        ("rcode", "responses"),
        ("zone", "queries_by_zone"),
        ("unanswered", "queries_dropped"),
    ] {
        line(format!("{title:<10} {}", shares(&of_shares.at("counters").at(key).shares())));
    }
    let over_limit = of_shares.at("counters").at("queries_over_limit").shares();
    if over_limit.iter().any(|(_, count)| *count > 0) {
        line(format!("over limit {}", shares(&over_limit)));
    }
    for (title, key) in [("networks", "networks"), ("names", "names")] {
        if let Some(Sampled { parts, samples }) = Sampled::of(now, key) {
            line(format!("{title:<10} {}", shares_of(&parts, samples)));
        }
    }
    platform(change, of_shares).into_iter().for_each(&mut line);
    let all = of_shares.at("counters").at("queries").count();
    let part = |key: &str| percent(of_shares.at("counters").at(key).count(), all);
    line(format!("EDNS       {}, DO {}", part("queries_edns"), part("queries_do")));
    line(String::new());
    for (index, shard) in now["shards"].as_array().into_iter().flatten().enumerate() {
        let cpu = shard["cpu"].as_u64().map_or_else(|| "any CPU".to_owned(), |cpu| format!("CPU {cpu}"));
        let of = change.at("shards").at(index).at("counters");
        let (received, lost) = (of.at("shard_datagrams").rate(), of.at("socket_drops").count());
        let busy = of.at("shard_busy_nanoseconds").rate() / 1e7;
        line(format!("shard {index:<4} {received:>12.1}/s   {busy:>5.1} % busy, {lost} dropped, {cpu}"));
    }
    out
}

/// What rules and workers do, where there are any.
fn platform(change: Change<'_>, of_shares: Change<'_>) -> Vec<String> {
    let (counters, of_shares) = (change.at("counters"), of_shares.at("counters"));
    let mut lines = Vec::new();
    if counters.now["rule_hits"].is_object() {
        lines.push(format!("rule       {}", shares(&of_shares.at("rule_hits").shares())));
    }
    let now = &change.now["platform"];
    if !now.is_object() {
        return lines;
    }
    let looks = of_shares.at("cache_lookups");
    let hits = CACHE_HITS.map(|result| looks.at(result).count()).iter().sum();
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    lines.push(format!(
        "workers    {:>12.1}/s   {} waiting, {:.1}/s got a fallback",
        counters.at("worker_queries").rate(),
        number(&now["tasks"]),
        counters.at("work_refused").rate(),
    ));
    lines.push(format!(
        "cache      {} of lookups answered, {} entries, {:.1} MiB",
        percent(hits, looks.count()),
        number(&now["cache"]["entries"]),
        number(&now["cache"]["bytes"]) as f64 / f64::from(1 << 20),
    ));
    for (name, server) in now["upstreams"].as_object().into_iter().flatten() {
        let state = match server["state"].as_str() {
            Some("closed") => "up",
            Some("half-open") => "trying",
            _ => "down",
        };
        let srtt = server["srtt_seconds"].as_f64().map(|srtt| format!("{:.1} ms", srtt * 1e3));
        let rate = counters.at("upstream_queries").at(name.as_str()).rate();
        lines.push(format!("upstream   {rate:>12.1}/s   {name} {state} {}", srtt.unwrap_or_default()));
    }
    lines
}

/// A part in per cent of all, where there is any.
fn percent(part: u64, all: u64) -> String {
    if all == 0 { "-".to_owned() } else { format!("{:.1} %", part as f64 * 100.0 / all as f64) }
}

/// The largest parts in per cent of their sum.
fn shares(parts: &[(String, u64)]) -> String {
    shares_of(parts, parts.iter().map(|(_, count)| count).sum())
}

/// The largest parts in per cent of all.
fn shares_of(parts: &[(String, u64)], all: u64) -> String {
    let mut out = String::new();
    for (label, count) in parts {
        let part = format!("{label} {}", percent(*count, all));
        // What does not fit the line is small.
        if out.len() + part.len() > 66 {
            break;
        }
        out.push_str(if out.is_empty() { "" } else { ", " });
        out.push_str(&part);
    }
    if out.is_empty() { "-".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(uptime: f64, direct: u64, other: u64, busy: u64) -> Value {
        json!({
            "node": "node-1", "version": "1.2.3", "datapath": "mmsg", "uptime_seconds": uptime,
            "tcp_connections": 3,
            "counters": {
                "queries": {"direct": {"udp": {"ipv4": direct}}, "other": {"tcp": {"ipv6": other}}},
                "responses": {"NXDOMAIN": direct, "REFUSED": other},
                "queries_dropped": {"short": 0},
                "queries_by_type": {"PTR": direct + other},
                "queries_edns": {"0": direct}, "queries_do": other,
                "queries_over_limit": {"truncated": other - 5, "dropped": 0},
            },
            "shards": [
                {"cpu": 4, "counters": {
                    "shard_datagrams": direct, "shard_busy_nanoseconds": busy, "socket_drops": 7,
                }},
            ],
        })
    }

    #[test]
    fn one_screen_says_rates_and_shares() {
        let now = document(100.5, 3015, 1005, 10_050_000_000);
        let first = screen(&now, Some(&document(0.5, 15, 5, 50_000_000)), None);
        for line in [
            "node-1  as112d 1.2.3  mmsg  up 1 min\n",
            "queries            40.0/s   4020 in total; shares since counting began\n",
            "unanswered          0.0/s\n",
            "TCP                   3 connections open\n",
            "service    direct 75.0 %, other 25.0 %\n",
            "rcode      NXDOMAIN 75.0 %, REFUSED 25.0 %\n",
            "unanswered -\n",
            "over limit truncated 100.0 %\n",
            "EDNS       75.0 %, DO 25.0 %\n",
            "shard 0            30.0/s    10.0 % busy, 0 dropped, CPU 4\n",
        ] {
            assert!(first.contains(line), "{line}\n{first}");
        }
        let later = screen(&document(102.5, 3015, 1105, 11_050_000_000), Some(&now), Some(&now));
        for line in [
            "queries            50.0/s   4120 in total; shares of the last seconds\n",
            "service    other 100.0 %\n",
            "shard 0             0.0/s    50.0 % busy, 0 dropped, CPU 4\n",
        ] {
            assert!(later.contains(line), "{line}\n{later}");
        }
        assert!(later.lines().all(|line| line.chars().count() <= 80) && later.lines().count() <= 24);
    }

    #[test]
    fn who_asks_most_is_shown_where_the_node_says_so() {
        let mut now = document(100.5, 3015, 1005, 10_050_000_000);
        assert!(!screen(&now, None, None).contains("networks"));
        now["top"] = json!({
            "networks": {"samples": 40, "largest": {"192.0.2.0/24": 9, "2001:db8:1::/48": 11}},
            "names": {"samples": 0, "largest": {}},
        });
        let shown = screen(&now, None, None);
        assert!(
            shown.contains("networks   2001:db8:1::/48 27.5 %, 192.0.2.0/24 22.5 %\nnames      -\n"),
            "{shown}"
        );
    }

    #[test]
    fn what_rules_and_workers_do_is_shown_where_there_are_any() {
        let mut now = document(100.5, 3015, 1005, 10_050_000_000);
        assert!(!screen(&now, None, None).contains("rule"));
        let counters = json!({
            "rule_hits": {"none": 0, "lan": 30, "block": 10},
            "worker_queries": 201, "work_refused": {"lan": {"pool": 0}},
            "cache_lookups": {"fresh": 100, "stale": 50, "miss": 50},
            "upstream_queries": {"lan/192.0.2.53:53": {"answered": 402}},
        });
        now["counters"].as_object_mut().unwrap().extend(counters.as_object().unwrap().clone());
        let shown = screen(&now, None, None);
        assert!(
            shown.contains("rule       lan 75.0 %, block 25.0 %\n") && !shown.contains("workers"),
            "{shown}"
        );
        now["platform"] = json!({
            "workers": 1, "tasks": 12, "cache": {"entries": 7, "bytes": 3 << 19},
            "upstreams": {
                "lan/192.0.2.53:53": {"state": "closed", "srtt_seconds": 0.0015, "in_flight": 3},
                "lan/192.0.2.54:53": {"state": "open", "srtt_seconds": null, "in_flight": 0},
            },
        });
        let shown = screen(&now, None, None);
        for line in [
            "workers             2.0/s   12 waiting, 0.0/s got a fallback\n",
            "cache      75.0 % of lookups answered, 7 entries, 1.5 MiB\n",
            "upstream            4.0/s   lan/192.0.2.53:53 up 1.5 ms\n",
            "upstream            0.0/s   lan/192.0.2.54:53 down\n",
        ] {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
    }

    #[test]
    fn shares_fit_the_line() {
        let many: Vec<_> = (0..50).rev().map(|n| (format!("{n}.very.long.label.example"), n)).collect();
        let line = shares(&many);
        assert!(line.starts_with("49.very.long.label.example 4.0 %, 48.") && line.len() <= 68, "{line}");
    }
}
