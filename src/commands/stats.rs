//! `as112d stats`: what a running node counts, for people.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use crossbeam_channel::after;
use serde_json::Value;

use super::Failure;
use crate::cli::StatsOptions;
use crate::limits::{STATS_LEN_MAX, STATS_TIMEOUT, STATS_WATCH_EVERY};

/// Asks the node, and prints its numbers; with `--watch` again and again, until it does not answer.
///
/// # Errors
/// If no node answers (exit code 3), or what answers is no node.
pub fn stats(options: &StatsOptions) -> Result<String, Failure> {
    let url = options.url.as_deref().unwrap_or(DEFAULT_URL);
    let mut earlier: Option<(Instant, Value)> = None;
    loop {
        let text = fetch(url)?;
        let now: Value = serde_json::from_str(&text)
            .map_err(|error| no_node(url, &format!("its answer is not JSON: {error}")))?;
        let shown = if options.json {
            text
        } else {
            let since = earlier.as_ref().map(|(when, numbers)| (when.elapsed(), numbers));
            screen(&now, since)
        };
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
        earlier = Some((Instant::now(), now));
        after(STATS_WATCH_EVERY).recv().expect("this channel is never closed");
    }
}

const DEFAULT_URL: &str = "http://127.0.0.1:9112";

fn no_node(url: &str, reason: &str) -> Failure {
    let message =
        format!("no node answers at {url}: {reason}; is it running, and is this its --http? Give --url");
    Failure::no_answer(message)
}

/// The document that the node at `url` has.
fn fetch(url: &str) -> Result<String, Failure> {
    let host = url.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
    let host = host.filter(|host| !host.is_empty()).ok_or_else(|| {
        Failure::from(format!("`{url}` is no URL that can be asked; give one as {DEFAULT_URL}"))
    })?;
    exchange(host).map_err(|error| no_node(url, &error.to_string()))
}

/// One request, after which the server closes (HTTP/1.0), so that the answer ends where the connection does.
fn exchange(host: &str) -> io::Result<String> {
    let wrong = |message: &str| io::Error::new(io::ErrorKind::InvalidData, message);
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let with_port = if has_port { host.to_owned() } else { format!("{host}:80") };
    let addresses: Vec<SocketAddr> = with_port.to_socket_addrs()?.collect();
    let address = addresses.first().ok_or_else(|| wrong("the name has no address"))?;
    let mut stream = TcpStream::connect_timeout(address, STATS_TIMEOUT)?;
    stream.set_read_timeout(Some(STATS_TIMEOUT))?;
    stream.set_write_timeout(Some(STATS_TIMEOUT))?;
    write!(stream, "GET /stats.json HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(STATS_LEN_MAX).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| wrong("that is not HTTP"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(wrong(&format!("the status is {status}")));
    }
    Ok(body.to_owned())
}

/// One screen of 80 columns: rates since `earlier`, or since the start, and shares.
fn screen(now: &Value, earlier: Option<(Duration, &Value)>) -> String {
    let text = |key: &str| now[key].as_str().unwrap_or("?").to_owned();
    let uptime = now["uptime_seconds"].as_f64().unwrap_or_default();
    let (seconds, since) = match earlier {
        Some((passed, _)) => (passed.as_secs_f64(), "in the last seconds"),
        None => (uptime, "since the start"),
    };
    let before = earlier.map(|(_, numbers)| &numbers["counters"]);
    let more = |path: &[&str]| count(&now["counters"], path) - before.map_or(0, |old| count(old, path));
    let rate = |count: i64| count as f64 / seconds.max(1e-3);

    let queries = more(&["queries"]);
    let mut out = String::new();
    let mut line = |line: String| {
        let line: String = line.chars().take(80).collect();
        writeln!(out, "{}", line.trim_end()).expect("a String takes all that is written");
    };
    line(format!("{}  as112d {}  {}  up {}", text("node"), text("version"), text("datapath"), span(uptime)));
    line(String::new());
    let total = count(&now["counters"], &["queries"]);
    line(format!("queries    {:>12.1}/s   {total} in all; rates and shares {since}", rate(queries)));
    line(format!("replies    {:>12.1}/s", rate(more(&["responses"]))));
    line(format!("no reply   {:>12.1}/s", rate(more(&["queries_dropped"]))));
    let open = now["tcp_connections"].as_u64().unwrap_or_default();
    line(format!("TCP        {open:>12} connections open"));
    line(String::new());
    for (title, key) in [
        ("service", "queries"),
        ("type", "queries_by_type"),
        ("rcode", "responses"),
        ("zone", "queries_by_zone"),
        ("EDNS", "queries_edns"),
        ("no reply", "queries_dropped"),
    ] {
        line(format!("{title:<10} {}", shares(&now["counters"][key], before.map(|old| &old[key]))));
    }
    line(String::new());
    for (index, shard) in now["shards"].as_array().into_iter().flatten().enumerate() {
        let old = earlier.map(|(_, numbers)| &numbers["shards"][index]["counters"]);
        let more = |key: &str| count(&shard["counters"], &[key]) - old.map_or(0, |old| count(old, &[key]));
        let cpu = shard["cpu"].as_u64().map_or_else(|| "any CPU".to_owned(), |cpu| format!("CPU {cpu}"));
        let busy = more("shard_busy_nanoseconds") as f64 / 1e7 / seconds.max(1e-3);
        let (received, lost) = (rate(more("shard_datagrams")), more("socket_drops"));
        line(format!("shard {index:<4} {received:>12.1}/s   {busy:>5.1} % busy, {lost} lost, {cpu}"));
    }
    out
}

/// The largest parts of what a family counted, in per cent.
fn shares(now: &Value, before: Option<&Value>) -> String {
    let parts = now.as_object().into_iter().flatten().map(|(label, value)| {
        (count(value, &[]) - before.map_or(0, |old| count(&old[label], &[])), label.as_str())
    });
    let mut parts: Vec<(i64, &str)> = parts.filter(|(count, _)| *count > 0).collect();
    parts.sort_by_key(|&(count, label)| (-count, label));
    let all: i64 = parts.iter().map(|(count, _)| count).sum();
    let mut out = String::new();
    for (count, label) in parts {
        let part = format!("{label} {:.1} %", count as f64 * 100.0 / all as f64);
        // What does not fit the line is small.
        if out.len() + part.len() > 66 {
            break;
        }
        out.push_str(if out.is_empty() { "" } else { ", " });
        out.push_str(&part);
    }
    if out.is_empty() { "-".to_owned() } else { out }
}

/// The sum of all counters below a path.
fn count(value: &Value, path: &[&str]) -> i64 {
    let value = path.iter().fold(value, |value, key| &value[*key]);
    match value {
        Value::Object(object) => object.values().map(|value| count(value, &[])).sum(),
        _ => value.as_i64().unwrap_or_default(),
    }
}

/// A time for people.
fn span(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(direct: u64, other: u64, busy: u64) -> Value {
        json!({
            "node": "node-1", "version": "1.2.3", "datapath": "mmsg", "uptime_seconds": 100.5,
            "tcp_connections": 3,
            "counters": {
                "queries": {"direct": {"udp": {"ipv4": direct}}, "other": {"tcp": {"ipv6": other}}},
                "responses": {"NXDOMAIN": direct, "REFUSED": other},
                "queries_dropped": {"short": 0},
                "queries_by_type": {"PTR": direct + other},
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
        let now = document(3015, 1005, 10_050_000_000);
        let screen_since_start = screen(&now, None);
        for line in [
            "node-1  as112d 1.2.3  mmsg  up 1 min\n",
            "queries            40.0/s   4020 in all; rates and shares since the start\n",
            "no reply            0.0/s\n",
            "TCP                   3 connections open\n",
            "service    direct 75.0 %, other 25.0 %\n",
            "rcode      NXDOMAIN 75.0 %, REFUSED 25.0 %\n",
            "EDNS       -\n",
            "shard 0            30.0/s    10.0 % busy, 7 lost, CPU 4\n",
        ] {
            assert!(screen_since_start.contains(line), "{line}\n{screen_since_start}");
        }
        let later = screen(&document(3015, 1105, 11_050_000_000), Some((Duration::from_secs(2), &now)));
        for line in [
            "queries            50.0/s   4120 in all; rates and shares in the last seconds\n",
            "service    other 100.0 %\n",
            "shard 0             0.0/s    50.0 % busy, 0 lost, CPU 4\n",
        ] {
            assert!(later.contains(line), "{line}\n{later}");
        }
        assert!(later.lines().all(|line| line.chars().count() <= 80) && later.lines().count() <= 24);
    }

    #[test]
    fn shares_fit_the_line() {
        let many: Value = (0..50).map(|n| (format!("{n}.very.long.label.example"), json!(n))).collect();
        let line = shares(&many, None);
        assert!(line.starts_with("49.very.long.label.example 4.0 %, 48.") && line.len() <= 68, "{line}");
    }

    #[test]
    fn times_have_two_units_at_most() {
        for (seconds, text) in
            [(0.9, "0 s"), (61.0, "1 min"), (3660.0, "1 h 1 min"), (90_000.0, "1 d 1 h"), (-1.0, "0 s")]
        {
            assert_eq!(span(seconds), text);
        }
    }
}
