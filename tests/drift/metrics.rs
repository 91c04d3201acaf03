//! The reference of the metrics: what a node exposes, asked of a node.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use crate::common::daemon::{Daemon, PATIENCE, V4, wait_until};
use crate::{common, echo};

const HEAD: &str = "\
# The metrics

What `/metrics` exposes, generated from a running node by `UPDATE=1 cargo test --test drift`. Counters start
at 0 unless the node has a history (`[history] dir`) and was last stopped in order. In OpenMetrics, if a
client asks for it, the names of families lack `_total` and `_info`. What rules, workers, upstream servers and
the cache count, from `as112_worker_tasks` to `as112_upstream_in_flight` and from `as112_rule_hits_total` to
`as112_worker_replies_lost_total`, is there only on a node with rules or routes, as are the response codes
from SERVFAIL on ([platform.md](platform.md)). What depends on the client, from `as112_pop_up` to
`as112_map_learned_networks` and from `as112_ecs_total` on, is there where anything does
([clients.md](clients.md)). Alerts are in
[examples/prometheus/as112d.rules.yml](examples/prometheus/as112d.rules.yml), a dashboard in
[examples/grafana/as112d.json](examples/grafana/as112d.json).

| metric | type | labels | meaning |
|---|---|---|---|
";

/// Labels whose values are those of a node, as are all of the families that tell what a node is.
const OF_A_NODE: [&str; 15] = [
    "address", "bits", "cpu", "le", "map", "node", "numa", "pool", "pop", "prefix", "route", "rule",
    "server", "shard", "zone",
];

/// Answers that depend on the client.
const CLIENTS: &str = "\
[[zone]]\nname = 'example.net'\nfile = 'example.net.zone'\n[[pop]]\nname = 'sfo'\n\
[[map]]\nname = 'world'\ndefault = ['sfo']\n\
[[pool]]\nname = 'web'\nmap = 'world'\nnames = ['www.example.net']\naddresses = { sfo = ['192.0.2.2'] }\n";

/// A family as it is exposed.
#[derive(Default)]
struct Family {
    help: String,
    kind: String,
    /// The values of each label, in the order in which they come.
    labels: Vec<(String, Vec<String>)>,
    samples: usize,
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect((V4, port)).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
}

/// A scrape of a node on which everything that can be configured is.
fn scrape() -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("as112d.toml");
    fs::write(
        folder.path().join("example.net.zone"),
        "@ 60 SOA ns h 1 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.1\n",
    )
    .expect("written");
    let text = echo::forwarded()
        + CLIENTS
        + "[history]\ndir = 'history'\n[export]\nrssac002 = 'rssac002'\ndsc = 'dsc'\n\
                [query_log]\nsample_every = 1000\nfile = 'queries.log'\n[dnstap]\nto = 'unix:dnstap.sock'\n";
    fs::write(&path, text).expect("written");
    let port = std::net::TcpListener::bind((V4, 0)).and_then(|one| one.local_addr()).expect("a port").port();
    let http = format!("127.0.0.1:{port}");
    let config = path.display().to_string();
    let control = folder.path().join("control").display().to_string();
    let arguments =
        ["--http", &http, "--datapath", "mmsg", "--node", "n", "--config", &config, "--control", &control];
    let daemon = Daemon::start(&arguments);
    // An announcer, too.
    let mut announcer = UnixStream::connect(&control).expect("a connection");
    let report = r#"{"router":"r","routes":[{"prefix":"192.0.2.0/24","announced":true}]}"#;
    writeln!(announcer, "as112d 1 announce\n{report}").expect("sent");
    let mut text = String::new();
    assert_eq!(daemon.ask_udp(V4, &common::query("a.example", 1))[3] & 0xF, 0, "it is forwarded");
    let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
    daemon.ask_udp(V4, &common::with_opt(common::query("www.example.net", 1), 1232, &subnet));
    wait_until("its routes are known, and how long the server takes", || {
        text = get(port, "/metrics");
        ["as112_route_announced{", "as112_upstream_srtt_seconds{", "as112_ecs_scope_bits_total{"]
            .iter()
            .all(|part| text.contains(part))
    });
    drop(announcer);
    assert_eq!(daemon.stop().0.code(), Some(0));
    text
}

fn families(scrape: &str) -> Vec<(String, Family)> {
    let mut order: Vec<String> = Vec::new();
    let mut all: BTreeMap<String, Family> = BTreeMap::new();
    for line in scrape.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("help");
            assert!(!all.contains_key(name), "{name} comes twice");
            order.push(name.to_owned());
            all.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            all.get_mut(name).expect("help comes before").kind = kind.to_owned();
        } else {
            // Samples follow the head of their family.
            let family = all.get_mut(order.last().expect("a head")).expect("it was noted");
            family.samples += 1;
            let labels =
                line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(all, _)| all);
            for pair in labels.split("\",") {
                let Some((name, value)) = pair.split_once("=\"") else { continue };
                let value = value.trim_end_matches('"').to_owned();
                match family.labels.iter_mut().find(|(known, _)| known == name) {
                    Some((_, values)) if values.contains(&value) => {}
                    Some((_, values)) => values.push(value),
                    None => family.labels.push((name.to_owned(), vec![value])),
                }
            }
        }
    }
    let mut taken = |name: String| {
        let family = all.remove(&name).expect("it was noted");
        (name, family)
    };
    order.into_iter().map(&mut taken).collect()
}

fn reference(families: &[(String, Family)]) -> String {
    let mut out = HEAD.to_owned();
    for (name, Family { help, kind, labels, .. }) in families {
        let of_a_node = name.ends_with("_info");
        let label = |(name, values): &(String, Vec<String>)| {
            if of_a_node || OF_A_NODE.contains(&name.as_str()) {
                return format!("`{name}`");
            }
            format!("`{name}` ({})", values.join(", "))
        };
        let labels: Vec<String> = labels.iter().map(label).collect();
        writeln!(out, "| `{name}` | {kind} | {} | {help} |", labels.join("; ")).expect("a String takes it");
    }
    out
}

#[test]
fn the_reference_is_what_a_node_exposes() {
    let families = families(&scrape());
    assert!(families.len() > 40, "{}", families.len());
    for (name, family) in &families {
        assert!(family.samples > 0, "{name} has no sample, so that its labels cannot be told");
        let is_ours = name.starts_with("as112_") || name.starts_with("process_");
        assert!(is_ours && !family.kind.is_empty(), "{name}");
    }
    let reference = reference(&families);
    assert!(reference.contains(
        "| `as112_queries_total` | counter | `service` (direct, dname, hostname, special, other); \
         `transport` (udp, tcp); `family` (ipv4, ipv6) | "
    ));
    super::check("docs/metrics.md", &reference);
}
