//! What a fleet says that it answered is what its nodes answered, to the last query: over nodes that are
//! killed, stopped and started again, one whose clock is a day ahead, and a collector that is killed.

mod hub;
mod process;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use as112d::history::fleet::FleetHistory;
use as112d::history::fleet::coverage::Coverage;
use as112d::report::export::rssac002;
use process::{Collector, Node, wait_until};
use serde_json::Value;

const DAY: u64 = 86_400;
/// A minute that is under way ends, is stored, asked for, and stored again.
const A_MINUTE_AND_MORE: Duration = Duration::from_secs(150);
/// Sources of each node; neighbours have half of them in common.
const SOURCES: u32 = 200;

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs()
}

/// A folder that nodes can use, whoever they become.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o777)).tempdir();
    folder.expect("a folder")
}

#[test]
fn a_fleet_has_answered_what_its_nodes_have() {
    check(6);
}

#[test]
#[ignore = "100 nodes; run it by name"]
fn a_hundred_nodes_have_answered_what_they_have() {
    check(100);
}

/// What was sent, by qtype.
type Sent = BTreeMap<&'static str, u64>;

fn check(count: usize) {
    let dir = folder();
    let began = unix_time();
    let mut nodes: Vec<Node> = (0..count).map(|number| Node::new(dir.path(), number)).collect();
    nodes[1].is_a_day_ahead = process::has_faketime();
    nodes.iter_mut().for_each(Node::start);
    let history = dir.path().join("fleet");
    let mut collector = Collector::start(&history, &nodes);
    let mut sent = Sent::new();
    send(&nodes, &mut sent);
    collector.wait_for(sent.values().sum());
    // Everything that they have counted is stored: a kill costs nothing but time.
    for number in [2, 5] {
        nodes[number].kill();
    }
    collector.kill();
    std::thread::park_timeout(Duration::from_secs(4));
    nodes[2].start();
    let killed = [nodes[5].name.clone(), nodes[2].name.clone()];
    let collector = Collector::start(&history, &nodes);
    nodes.remove(5);
    send(&nodes, &mut sent);
    // In the middle of a minute: it is stored in two parts.
    nodes[3].stop();
    nodes[3].start();
    send(&nodes[3..4], &mut sent);
    collector.wait_for(sent.values().sum());
    assert_told(&collector, &nodes, &sent);
    let said = collector.get("/1h.json");
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["coverage"]["nodes"], count);
    assert!(collector.get("/").contains(&format!("of {count} nodes, ")));
    // Sketches follow when they have grown.
    let union = u64::from(SOURCES / 2) * (count as u64 + 1);
    let near = |estimate: f64| (estimate / union as f64 - 1.0).abs() < 0.03;
    wait_until("sketches of all", A_MINUTE_AND_MORE, || {
        near(collector.sum("as112_unique_sources", &["kind=\"ipv4\""]))
    });
    drop(collector);
    assert_history(&history, began, &sent, &killed);
}

/// Sends each node a number of queries of its own, from sources of which its neighbours have half; all are
/// answered.
fn send(nodes: &[Node], sent: &mut Sent) {
    for node in nodes {
        let first = node.number as u32 * SOURCES / 2;
        let times = node.number as u64 % 5 + 1;
        for (name, qtype) in [("A", 1), ("PTR", 12)] {
            node.ask(first..first + SOURCES, qtype, times);
            *sent.entry(name).or_default() += u64::from(SOURCES) * times;
        }
    }
}

/// The page's numbers, those for Prometheus, and those in Radar's shape.
fn assert_told(collector: &Collector, nodes: &[Node], sent: &Sent) {
    let all: u64 = sent.values().sum();
    let of_nodes: u64 = nodes
        .iter()
        .map(|node| collector.count_at(&format!("/metrics?node={}", node.name), "as112_queries_total", &[]))
        .sum();
    let killed = collector.count_at("/metrics?node=node-5", "as112_queries_total", &[]);
    assert_eq!(of_nodes + killed, all, "node 5 may be gone, but not what it has answered");
    for (qtype, count) in sent {
        let label = format!("type=\"{qtype}\"");
        assert_eq!(collector.count("as112_queries_by_type_total", &[&label]), *count, "{qtype}");
    }
    assert_eq!(collector.count("as112_query_size_bytes_count", &["transport=\"udp\""]), all);
    let page: Value = serde_json::from_str(&collector.get("/1h.json")).expect("JSON");
    let queries = page["queries"].as_array().expect("a list").iter().filter_map(Value::as_u64).sum::<u64>();
    assert_eq!(queries + page["under_way"]["queries"].as_u64().expect("a number"), all);
    for (qtype, count) in sent {
        assert_eq!(page["dimensions"]["QUERY_TYPE"][qtype].as_u64(), Some(*count), "{qtype}");
    }
    let of_networks = page["sources"].as_object().expect("an object");
    assert!(!of_networks.contains_key("network"), "networks stay with their nodes");
    assert!(collector.get("/client/v4/radar/as112/summary/QUERY_TYPE?dateRange=1d").contains("\"PTR\": "));
}

/// What remains when all have ended: RSSAC002 of the day, and who was missing.
fn assert_history(dir: &Path, began: u64, sent: &Sent, killed: &[String; 2]) {
    let (history, _) = FleetHistory::open(dir, unix_time()).expect("a history");
    let stored = history.reader().expect("a reader");
    let now = unix_time();
    let (mut queries, mut responses, mut days) = (0, 0, began / DAY);
    while days <= now / DAY {
        let date = process::date(days * DAY);
        let answer = rssac002::answer(&stored, "test", &format!("/rssac002/{date}.yaml"), now + 2 * DAY);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.body.starts_with("# "), "{}", answer.body);
        let of = |key: &str| -> u64 {
            let line = answer.body.lines().find_map(|line| line.strip_prefix(key)).expect("its line");
            line.trim_start_matches(": ").parse().expect("a number")
        };
        queries += of("dns-udp-queries-received-ipv4");
        responses += of("dns-udp-responses-sent-ipv4");
        days += 1;
    }
    let all: u64 = sent.values().sum();
    assert_eq!((queries, responses), (all, all));
    let until = now - now % 60;
    let coverage = Coverage::of(&stored, (began, until)).expect("it is read").expect("it is a fleet's");
    let named: Vec<&str> = coverage.incomplete().iter().map(|node| node.name.as_str()).collect();
    killed.iter().for_each(|name| assert!(named.contains(&name.as_str()), "{name}: {coverage}"));
    assert_eq!(named[0], killed[0], "the one that is not there any more lacks most: {coverage}");
}
