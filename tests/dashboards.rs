//! The Grafana dashboard and the alerts for Prometheus, against the metrics that a node has: whatever they
//! ask for exists, and whatever may be lost is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use as112d::announce::report::{Report, Route};
use as112d::board::Status;
use as112d::board::announcers::Announcers;
use as112d::board::host::Host;
use as112d::board::observed::Observed;
use as112d::board::pops::{Health, Pops, State as PopState};
use as112d::board::process::Process;
use as112d::board::resolver::Resolver;
use as112d::board::{Block, Board, Facts, Life, Named, Reloads};
use as112d::log::Log;
use as112d::report::export::{Settings, dsc};
use as112d::report::prometheus::{Format, render};
use as112d::stats::counters::{Counters, ECS_SCOPE, ECS_SOURCE, FAMILIES, Totals};
use as112d::stats::gauges::{AppGauges, AppState, Gauges, State, WorkerGauges};
use as112d::stats::labels::Names;
use as112d::sys::confine::Confined;
use as112d::tailor::Tailor;
use as112d::tailor::spec::{Map, Pop, Spec};
use serde_json::Value;

const ALERTS: &str = include_str!("../docs/examples/prometheus/as112d.rules.yml");
const ALERT_TESTS: &str = include_str!("alerts.yml");
const DASHBOARD: &str = include_str!("../docs/examples/grafana/as112d.json");

/// Labels that Prometheus adds to whatever it scrapes.
const TARGET_LABELS: [&str; 2] = ["instance", "job"];

/// In the name of a family that counts what is lost, fails or is in trouble.
const TROUBLE: [&str; 9] =
    ["drop", "error", "overflow", "failed", "forged", "paused", "exhausted", "lost", "refused"];

/// Names of samples, each with its labels and their values.
type Metrics = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// All that a node tells Prometheus.
fn metrics() -> Metrics {
    let block = || Block {
        cpu: None,
        numa_node: None,
        counters: vec![Arc::new(Counters::default())],
        base: ArcSwap::default(),
    };
    let servers = Arc::<Gauges>::default();
    servers.server(0).set(State::Closed, Duration::from_millis(1), 0);
    let apps = Arc::<AppGauges>::default();
    apps.app(1).set(AppState::Running, 65_536, 0);
    let exports =
        Settings { rssac002: Some("/".into()), dsc: Some("/".into()), dsc_format: dsc::Format::Xml };
    let resolver = Resolver::default();
    resolver.note(|status| status.starts = 1);
    let board = Board {
        log: Log::silent(),
        query_log: Some(Log::silent()),
        dnstap: Some(Arc::default()),
        facts: Facts {
            sample_every: 64,
            version: "0",
            datapath: "mmsg".to_owned(),
            reason: "so".to_owned(),
            xdp: Vec::new(),
            started: SystemTime::now(),
            since: Instant::now(),
        },
        named: ArcSwap::from_pointee(Named {
            node: "n".to_owned(),
            site: "s".to_owned(),
            location: None,
            unique_ip: Vec::new(),
            further: Vec::new(),
            prefixes: Vec::new(),
            counted: Names {
                zones: vec!["10.in-addr.arpa".to_owned()],
                addresses: vec!["[::1]:53".to_owned()],
                rules: vec!["none".to_owned(), "lan".to_owned()],
                servers: vec!["lan/192.0.2.53:53".to_owned()],
                apps: vec!["none".to_owned(), "filter".to_owned()],
                metrics: vec![("filter".to_owned(), "blocked_total".to_owned())],
                pools: vec!["web".to_owned()],
                pops: vec!["sfo".to_owned()],
                have_clients: true,
            },
        }),
        shards: vec![block()],
        tcp: Block { counters: vec![Arc::new(prefix_lengths())], ..block() },
        xdp: block(),
        workers: block(),
        resolver,
        gauges: vec![Arc::new(WorkerGauges::new(servers, apps))],
        past: ArcSwap::default(),
        history: Status::new(String::new()),
        exports: exports.statuses(),
        observed: Observed::new(2),
        host: Host::open(),
        process: Process::open(),
        confined: Confined::default(),
        life: Life::default(),
        announcers: Announcers::default(),
        pops: ArcSwap::from_pointee(pops()),
        tailor: Some(Arc::new(map())).into(),
        reloads: Reloads::default(),
        maps: Reloads::default(),
    };
    let announcer = board.announcers.enter(None);
    announcer.said(Report {
        routes: vec![Route {
            prefix: "192.0.2.0/24".parse().expect("a prefix"),
            announced: true,
            held_seconds: None,
            failing: Vec::new(),
        }],
        ..Report::default()
    });
    read(&render(&board.read(), Format::Text))
}

/// Prefix lengths, which are shown once there is one.
fn prefix_lengths() -> Counters {
    let (counted, mut totals) = (Counters::default(), Totals::default());
    [ECS_SOURCE, ECS_SCOPE].into_iter().for_each(|family| totals.add(family.at([0, 24]), 1));
    counted.take_over(&totals);
    counted
}

fn pops() -> Pops {
    Pops { states: vec![PopState::new("sfo".to_owned(), Health::None)], heard: None }
}

/// A map that sends everybody to one PoP.
fn map() -> Tailor {
    let default = [0].into_iter().collect();
    let map = Map::new("world", default);
    let spec =
        Spec { pops: vec![Pop { name: "sfo".to_owned(), at: None }], maps: vec![map], pools: Vec::new() };
    Tailor::new(&spec, Arc::default()).expect("there is nothing to read")
}

/// The samples of an exposition.
fn read(text: &str) -> Metrics {
    let mut metrics = Metrics::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.split_once(['{', ' ']).expect("a sample");
        let of_name = metrics.entry(name.to_owned()).or_default();
        for (label, value) in labels.split("\",").filter_map(|label| label.split_once("=\"")) {
            let value = value.split('"').next().unwrap_or_default();
            of_name.entry(label.to_owned()).or_default().insert(value.to_owned());
        }
    }
    metrics.insert("up".to_owned(), BTreeMap::new());
    metrics
}

/// A metric in an expression: its name, and what it selects: label, operator, value.
type Selector<'a> = (&'a str, Vec<(&'a str, &'a str, &'a str)>);

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Label, operator and value of `label="value"`.
fn matcher(text: &str) -> (&str, &str, &str) {
    let text = text.trim();
    let (label, rest) = text.split_at(text.find(|c| !is_word(c)).expect("an operator"));
    let (operator, value) = rest.split_at(rest.find('"').expect("a value in quotes"));
    (label, operator, value.trim_matches('"'))
}

/// The metrics that an expression asks for.
fn selectors(expression: &str) -> Vec<Selector<'_>> {
    let starts = ["as112_", "process_", "up{"].into_iter().flat_map(|start| expression.match_indices(start));
    let selector = |(at, _): (usize, &str)| {
        let rest = &expression[at..];
        let (name, rest) = rest.split_at(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
        let braces = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |pair| pair.0);
        (name, braces.split(',').filter(|text| !text.trim().is_empty()).map(matcher).collect())
    };
    starts.map(selector).collect()
}

/// What is wrong in an expression.
fn faults(expression: &str, metrics: &Metrics) -> Vec<String> {
    let mut faults = Vec::new();
    let mut labels: BTreeSet<&str> = TARGET_LABELS.into_iter().collect();
    for (name, matchers) in selectors(expression) {
        let Some(known) = metrics.get(name) else {
            faults.push(format!("{name} does not exist"));
            continue;
        };
        labels.extend(known.keys().map(String::as_str));
        for (label, operator, value) in matchers {
            let in_use = known.get(label);
            let is_there = |value: &str| in_use.is_some_and(|values| values.contains(value));
            match operator {
                _ if TARGET_LABELS.contains(&label) => {}
                _ if in_use.is_none() => faults.push(format!("{name} has no label {label}")),
                "=" | "!=" | "=~" | "!~" => faults.extend(
                    value
                        .split('|')
                        .filter(|value| !is_there(value))
                        .map(|v| format!("{name}: no {label} {v}")),
                ),
                _ => faults.push(format!("{name}: what is {operator}?")),
            }
        }
    }
    for (_, rest) in expression.match_indices("by (").map(|(at, by)| expression.split_at(at + by.len())) {
        let by = rest.split(')').next().unwrap_or_default().split(',').map(str::trim);
        faults.extend(
            by.filter(|label| !labels.contains(label)).map(|label| format!("by {label}: nobody has it")),
        );
    }
    faults
}

/// A rule for an alert, as its text has it.
struct Alert {
    name: &'static str,
    expression: String,
    text: &'static str,
}

fn alerts() -> Vec<Alert> {
    let alert = |text: &'static str| {
        let name = text.lines().next().expect("a name");
        let (_, rest) = text.split_once("expr:").unwrap_or_else(|| panic!("{name} has an expression"));
        let (expression, _) = rest.split_once("\n        for:").unwrap_or_else(|| panic!("{name} waits"));
        Alert { name, expression: expression.trim_start_matches([' ', '|']).to_owned(), text }
    };
    ALERTS.split("- alert: ").skip(1).map(alert).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).expect("JSON")
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    panels
        .flat_map(|panel| std::iter::once(panel).chain(panel["panels"].as_array().into_iter().flatten()))
        .collect()
}

fn expressions(dashboard: &Value) -> Vec<&str> {
    let targets = panels(dashboard).into_iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().expect("an expression")).collect()
}

#[test]
fn faults_are_found() {
    let metrics = metrics();
    assert!(metrics["as112_queries_total"]["service"].contains("direct"));
    assert!(metrics["as112_send_errors_total"]["errno"].contains("ENOBUFS"));
    for (expression, fault) in [
        ("rate(as112_querys_total[5m])", "as112_querys_total does not exist"),
        ("as112_queries_total{rcode=\"A\"}", "as112_queries_total has no label rcode"),
        ("as112_queries_total{service=\"any\"}", "as112_queries_total: no service any"),
        ("x{a=\"b\"} + as112_responses_total{rcode=~\"NXDOMAIN|NX\"}", "as112_responses_total: no rcode NX"),
        ("sum by (instance, qtype) (as112_queries_total)", "by qtype: nobody has it"),
    ] {
        assert_eq!(faults(expression, &metrics), [fault]);
    }
    let right = "sum by (instance, service) (rate(as112_queries_total{family!=\"ipv4\", job=\"x\"}[5m]))";
    assert_eq!(faults(right, &metrics), [""; 0]);
}

#[test]
fn alerts_ask_for_what_exists_and_say_what_to_do() {
    let metrics = metrics();
    let mut names = BTreeSet::new();
    for Alert { name, expression, text } in alerts() {
        assert!(!selectors(&expression).is_empty(), "{name}: {expression}");
        assert_eq!(faults(&expression, &metrics), [""; 0], "{name}");
        assert!(names.insert(name), "{name} is there twice");
        assert!(
            ["critical", "warning", "info"].iter().any(|s| text.contains(&format!("severity: {s}\n"))),
            "{name}"
        );
        for annotation in ["summary", "description", "action"] {
            let has_it = |line: &str| {
                line.trim()
                    .strip_prefix(annotation)
                    .is_some_and(|rest| rest.starts_with(": ") && rest.len() > 20)
            };
            assert!(text.lines().any(has_it), "{name} has a {annotation}");
        }
        // What a person reads may name keys of the configuration, and metrics.
        assert_eq!(faults(text, &metrics), [""; 0], "{name}");
        let fires = ALERT_TESTS.matches(&format!("alertname=\"{name}\"")).count();
        assert!(fires > 0, "tests/alerts.yml shows {name} firing");
    }
    assert!(names.len() > 20);
}

#[test]
fn no_loss_is_without_an_alert_and_a_panel() {
    let families = FAMILIES.iter().map(|family| family.name);
    let samples = metrics();
    let other = samples.keys().map(String::as_str);
    let trouble: BTreeSet<&str> =
        families.chain(other).filter(|name| TROUBLE.iter().any(|word| name.contains(word))).collect();
    assert!(trouble.len() >= 12, "{trouble:?}");
    let alerts: String = alerts().into_iter().map(|alert| alert.expression).collect();
    let dashboard = dashboard();
    let panels = expressions(&dashboard).concat();
    for name in trouble {
        for (what, text) in [("alert", &alerts), ("panel", &panels)] {
            let is_asked = selectors(text).into_iter().any(|(asked, _)| asked == name);
            assert!(is_asked, "no {what} asks for {name}");
        }
    }
}

/// Where what was dropped is a share of all datagrams, those that XDP answers are among them: no shard sees
/// them.
#[test]
fn a_share_of_all_datagrams_has_those_of_xdp() {
    let alerts: Vec<String> = alerts().into_iter().map(|alert| alert.expression).collect();
    let dashboard = dashboard();
    let all = alerts.iter().map(String::as_str).chain(expressions(&dashboard));
    let asks = |text: &str, name: &str| selectors(text).iter().any(|(asked, _)| *asked == name);
    let is_share =
        |text: &&str| asks(text, "as112_socket_drops_total") && asks(text, "as112_shard_datagrams_total");
    let shares: Vec<&str> = all.filter(is_share).collect();
    assert_eq!(shares.len(), 2, "{shares:?}");
    for share in shares {
        let of_xdp = selectors(share).into_iter().any(|(name, matchers)| {
            name == "as112_datapath_queries_total" && matchers.contains(&("datapath", "=", "xdp"))
        });
        assert!(of_xdp, "{share}");
    }
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard = dashboard();
    let metrics = metrics();
    let mut ids = BTreeSet::new();
    let mut places = Vec::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().expect("a title");
        assert!(!title.is_empty() && ids.insert(panel["id"].as_u64().expect("a number")), "{title}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a place"));
        assert!(w > 0 && h > 0 && x + w <= 24, "{title}");
        let is_over = |(other_x, other_y, other_w, other_h): &(u64, u64, u64, u64)| {
            x < other_x + other_w && *other_x < x + w && y < other_y + other_h && *other_y < y + h
        };
        assert!(!places.iter().any(is_over), "{title} lies over another panel");
        places.push((x, y, w, h));
        if panel["type"] == "row" {
            continue;
        }
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str();
        assert!(unit.is_some_and(|unit| !unit.is_empty()), "{title} has a unit");
        assert!(
            panel["description"].as_str().is_some_and(|text| text.ends_with('.')),
            "{title} is described"
        );
        let targets = panel["targets"].as_array().expect("targets");
        let refs: BTreeSet<&str> = targets.iter().filter_map(|target| target["refId"].as_str()).collect();
        assert!(!targets.is_empty() && refs.len() == targets.len(), "{title}");
        for source in targets.iter().chain([panel]).map(|one| &one["datasource"]) {
            assert_eq!(
                (&source["type"], &source["uid"]),
                (&"prometheus".into(), &"${datasource}".into()),
                "{title}"
            );
        }
    }
    for expression in expressions(&dashboard) {
        assert_eq!(faults(expression, &metrics), [""; 0], "{expression}");
        for (name, matchers) in selectors(expression) {
            assert!(matchers.contains(&("instance", "=~", "$instance")), "{name} in {expression}");
        }
    }
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let variable = |name: &str| variables.iter().find(|one| one["name"] == name).expect("it is there");
    assert_eq!(
        (&variable("datasource")["type"], &variable("datasource")["query"]),
        (&"datasource".into(), &"prometheus".into())
    );
    let definition = variable("instance")["definition"].as_str().expect("a query");
    assert_eq!(definition, "label_values(as112_ready, instance)");
    assert!(metrics.contains_key("as112_ready"));
    assert!(
        dashboard["schemaVersion"].is_u64() && dashboard["uid"] == "as112d" && dashboard["title"] == "as112d"
    );
}

/// What promtool says of a file of rules, or of tests.
fn promtool(what: &str, file: &Path) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new("promtool")
        .args([what, "rules"])
        .arg(file)
        .current_dir(root)
        .output()
        .expect("promtool is there");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
#[ignore = "needs promtool; tests/run installs it"]
fn promtool_accepts_the_alerts_and_they_fire_when_they_should() {
    let said = promtool("check", Path::new("docs/examples/prometheus/as112d.rules.yml"));
    assert!(said.contains(&format!("SUCCESS: {} rules found", alerts().len())), "{said}");
    let said = promtool("test", Path::new("tests/alerts.yml"));
    assert!(said.contains("SUCCESS"), "{said}");
}

#[test]
#[ignore = "needs promtool; tests/run installs it"]
fn promtool_parses_every_expression_of_the_dashboard() {
    // As rules: promtool has no other way to parse an expression by itself. JSON is YAML.
    let dashboard = dashboard();
    let rules: Vec<Value> = expressions(&dashboard)
        .iter()
        .enumerate()
        .map(|(index, expression)| {
            let expression = expression.replace("$__rate_interval", "5m").replace("$instance", ".*");
            serde_json::json!({"record": format!("panel:{index}"), "expr": expression})
        })
        .collect();
    let count = rules.len();
    let file = tempfile::NamedTempFile::new().expect("a file");
    let groups = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    fs::write(file.path(), groups.to_string()).expect("there is room");
    let said = promtool("check", file.path());
    assert!(said.contains(&format!("SUCCESS: {count} rules found")), "{said}");
}

//------------ Compose ---

/// What compose mounts: paths in containers, and what lies there.
fn mounted() -> BTreeMap<String, PathBuf> {
    let container = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/container");
    let compose = fs::read_to_string(container.join("compose.yaml")).expect("it is there");
    let volumes = compose.lines().filter_map(|line| line.trim().strip_prefix("- ."));
    let mounted = volumes.map(|volume| {
        let (here, there) = volume.split_once(':').expect("a path, a colon, a path");
        let there = there.strip_suffix(":ro").expect("nothing of ours is written to");
        (there.to_owned(), container.join(format!(".{here}")))
    });
    mounted.collect()
}

/// What is not there would be made, as a directory.
#[test]
fn what_compose_mounts_is_there() {
    let mounted = mounted();
    assert_eq!(mounted.len(), 5, "{mounted:?}");
    for file in mounted.values() {
        assert!(file.is_file(), "{}", file.display());
    }
    let dashboards = &mounted["/etc/grafana/provisioning/dashboards/as112d.yaml"];
    let dashboards = fs::read_to_string(dashboards).expect("it is there");
    let path = dashboards.lines().find_map(|line| line.trim().strip_prefix("path: ")).expect("a path");
    assert!(mounted.contains_key(&format!("{path}/as112d.json")), "{path}");
}

#[test]
#[ignore = "needs promtool; tests/run installs it"]
fn promtool_accepts_what_compose_gives_prometheus() {
    let folder = tempfile::tempdir().expect("a folder");
    for (there, file) in mounted() {
        if let Some(name) = there.strip_prefix("/etc/prometheus/") {
            fs::copy(file, folder.path().join(name)).expect("there is room");
        }
    }
    let config = folder.path().join("prometheus.yml");
    let output = Command::new("promtool").args(["check", "config"]).arg(config).output();
    let output = output.expect("promtool is there");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 rule files found"), "{said}");
}
