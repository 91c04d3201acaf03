//! `as112d doctor`: whether this host is good for a node. One line for each thing: good, or what to do.
//!
//! | file | what it knows |
//! |---|---|
//! | `host.rs` | the host's files and tools |
//! | `kernel.rs` | the kernel, its rings, clock and limits |
//! | `network.rs` | NICs, buffers, connection tracking, addresses, routes |
//! | `bundle.rs` | everything that a report of a fault needs, in one file |

mod bundle;
mod finding;
mod host;
mod kernel;
mod network;

use std::io::{self, Write as _};

use serde_json::Value;

use super::asking::{DEFAULT_URL, Node, Whereabouts};
use super::failure::Failure;
use crate::cli::{DoctorOptions, NodeOptions};
use crate::config::doors::ControlPath;
use crate::config::{self, Config, Flags};
use crate::daemon::placement::Placement;
use crate::sys::netlink::Netlink;

use finding::{Finding, Verdict};
use host::Host;

/// Looks at this host, with the configuration in mind, and prints what it finds.
///
/// # Errors
/// If there is something to do; if the bundle cannot be written.
pub fn doctor(options: &DoctorOptions) -> Result<String, Failure> {
    let serve = &options.serve;
    let path = serve.config.config.as_deref();
    let mut findings = Vec::new();
    let config = match config::load(path, &serve.flags()) {
        Ok(config) => {
            findings.push(Finding::good("configuration", "valid; `as112d check` looks at the zones too"));
            config
        }
        Err(problems) => {
            let (count, first) = (problems.len(), problems.first().map(ToString::to_string));
            let text = format!("{count} mistakes: {}; `as112d check` has all", first.unwrap_or_default());
            findings.push(Finding::to_do("configuration", text));
            // The host is looked at all the same, as for a node without a configuration.
            config::load(None, &Flags::default())?
        }
    };
    let host = Host::here();
    findings.extend(examine(&host, &config));
    let (status, node) = (status(options), find(options)?);
    findings.push(running(node.ask().map(|(_, numbers)| numbers).as_ref(), node.url()));
    findings.extend(status.as_ref().and_then(in_force));

    let report: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    if let Some(file) = &options.bundle {
        let text = bundle::collect(&host, &report, serve, &node, status.as_ref());
        bundle::write(file, &text).map_err(|error| {
            format!(
                "cannot write {}: {error}; give a new file in a directory that you may write to",
                file.display()
            )
        })?;
    }
    let to_do = findings.iter().filter(|finding| finding.verdict == Verdict::Do).count();
    if to_do == 0 {
        return Ok(report);
    }
    // Who reads us may have read enough; what there is to do is in the exit code as well.
    let _ = io::stdout().lock().write_all(report.as_bytes());
    Err(format!("{to_do} to do: see the lines that begin with `do`").into())
}

/// All that can be told of the host without a node.
fn examine(host: &Host, config: &Config) -> Vec<Finding> {
    let placement = Placement::with_user(config);
    let shards = placement.as_ref().map_or(1, |placement| placement.places.len());
    let mut findings = vec![
        kernel::version(host),
        kernel::rings(host, crate::sys::self_test(), config.datapath),
        kernel::ring_features(crate::sys::ring_features(), config.busy_poll),
        kernel::shards(placement),
        kernel::limits(crate::sys::sockets::raise_nofile(), config, shards),
        kernel::clock(crate::sys::clock::is_synchronised()),
        kernel::clock_source(host),
        kernel::governor(host),
        network::buffers(host, config),
    ];
    findings.extend(network::cards(host, shards));
    findings.push(network::connection_tracking(host));
    findings.push(network::addresses(host, &config.listen, network::is_here));
    findings.push(network::routes(&config.listen, network::has_route));
    findings.push(network::reverse_path(host));
    let links = Netlink::open().and_then(|mut netlink| netlink.links());
    findings.extend(network::xdp(host, config, links, crate::xdp::is_loadable));
    findings
}

/// Whether a node runs here, and what it has lost.
fn running(numbers: Result<&Value, &io::Error>, url: &str) -> Finding {
    let numbers = match numbers {
        Ok(numbers) => numbers,
        Err(error) => {
            let text = format!("none answers at {url} ({error}); if it is elsewhere, give --config or --url");
            return Finding::note("node", text);
        }
    };
    let text = |key: &str| numbers[key].as_str().unwrap_or("?").to_owned();
    let shards = numbers["shards"].as_array().map(Vec::as_slice).unwrap_or_default();
    let lost: u64 = shards.iter().map(|shard| sum(&shard["counters"]["socket_drops"])).sum();
    let uptime = numbers["uptime_seconds"].as_f64().unwrap_or_default();
    let what = format!("as112d {} on {}, up {:.0} s", text("version"), text("datapath"), uptime);
    if lost > 0 {
        return Finding::to_do(
            "node",
            format!(
                "{what}: {lost} datagrams dropped because a receive buffer was full; raise rcvbuf or the \
                 number of shards"
            ),
        );
    }
    Finding::good("node", format!("{what}: no datagram dropped"))
}

/// The node that is meant, if it may be asked over its control socket.
fn meant(options: &DoctorOptions) -> Option<NodeOptions> {
    let control = match &options.serve.serving.control {
        Some(ControlPath::At(path)) => Some(path.clone()),
        Some(ControlPath::Off) => return None,
        Some(ControlPath::IfFree) | None => None,
    };
    Some(NodeOptions { config: options.serve.config.config.clone(), control })
}

/// What it says of itself over its control socket, if there is one and we may ask.
fn status(options: &DoctorOptions) -> Option<Value> {
    Whereabouts::of(&meant(options)?).ok()?.status()
}

/// Where it serves HTTP; the usual place where nobody says otherwise.
fn find(options: &DoctorOptions) -> Result<Node, Failure> {
    match (&options.url, meant(options)) {
        (Some(url), _) => Node::at(url.clone()),
        (None, Some(meant)) => Node::find(&meant, None).or_else(|_| Node::at(DEFAULT_URL.to_owned())),
        (None, None) => Node::at(DEFAULT_URL.to_owned()),
    }
}

/// Whether what it has in effect is what is on disk.
fn in_force(status: &Value) -> Option<Finding> {
    let configuration = &status["configuration"];
    if configuration["stale"].is_object() {
        let text = "the node runs an old configuration: the new one has mistakes; see `as112d status`";
        return Some(Finding::to_do("in effect", text));
    }
    let waiting: Vec<&str> =
        configuration["need_restart"].as_array()?.iter().filter_map(Value::as_str).collect();
    if !waiting.is_empty() {
        let text = format!("not until a restart or an upgrade: {}", waiting.join(", "));
        return Some(Finding::to_do("in effect", text));
    }
    match status["state"].as_str() {
        Some("draining") => Some(Finding::note(
            "in effect",
            "the node is draining: its routes are withdrawn; see `as112d undrain`",
        )),
        _ => Some(Finding::good("in effect", "the configuration as the node last read it")),
    }
}

/// The sum of all numbers in a value.
fn sum(value: &Value) -> u64 {
    match value {
        Value::Number(number) => number.as_u64().unwrap_or_default(),
        Value::Object(values) => values.values().map(sum).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_finding_is_one_line() {
        assert_eq!(Finding::good("clock", "is right").to_string(), "good  clock           is right");
        assert_eq!(Finding::to_do("clock", "set it").to_string(), "do    clock           set it");
        assert_eq!(Finding::note("clock", "?").to_string(), "-     clock           ?");
    }

    #[test]
    fn a_node_tells_what_it_lost() {
        let numbers = |drops: u64| {
            json!({"version": "1", "datapath": "mmsg", "uptime_seconds": 7.2,
                   "shards": [{"counters": {"socket_drops": {"[::1]:53": drops, "127.0.0.1:53": 1}}}]})
        };
        let found = running(Ok(&numbers(4)), DEFAULT_URL);
        assert!(
            found.verdict == Verdict::Do && found.text.contains("up 7 s: 5 datagrams dropped"),
            "{found}"
        );
        let none = json!({"shards": []});
        assert_eq!(running(Ok(&none), DEFAULT_URL).verdict, Verdict::Good);
        let gone = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(running(Err(&gone), DEFAULT_URL).verdict, Verdict::Note);
    }

    #[test]
    fn what_is_in_force_is_compared_with_what_is_on_disk() {
        let found = |stale: Value, waiting: Value, state: &str| {
            let configuration = json!({"stale": stale, "need_restart": waiting});
            in_force(&json!({"state": state, "configuration": configuration})).unwrap().verdict
        };
        assert_eq!(found(Value::Null, json!([]), "serving"), Verdict::Good);
        assert_eq!(found(Value::Null, json!([]), "draining"), Verdict::Note);
        assert_eq!(found(Value::Null, json!(["[tcp]"]), "serving"), Verdict::Do);
        assert_eq!(found(json!({"since": 1}), json!([]), "serving"), Verdict::Do);
        assert_eq!(in_force(&json!({})), None);
    }

    /// Whatever host this is: each line is one line, and says something.
    #[test]
    fn this_host_is_examined() {
        let config = config::load(None, &Flags::default()).unwrap();
        let findings = examine(&Host::here(), &config);
        assert!(findings.len() >= 13, "{findings:#?}");
        for finding in findings {
            assert!(!finding.text.is_empty() && !finding.text.contains('\n'), "{finding}");
        }
    }
}
