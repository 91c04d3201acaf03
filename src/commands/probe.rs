//! `as112d probe`: do these addresses answer as they should?

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;

use serde_json::Value;

use super::announce;
use crate::announce::probe::{ProbedHost, probe_all};
use crate::announce::state::News;
use crate::cli::ProbeOptions;
use crate::config::doors::known_paths;
use crate::config::listen::Listen;
use crate::config::written::Written as _;
use crate::config::{self, Flags};
use crate::control::{WATCH, client};
use crate::limits::{PROBE_TIMEOUT, STATS_TIMEOUT};
use crate::problem::Problem;

/// Asks each address what a resolver would; a line for each that answers.
///
/// # Errors
/// Each address that does not, and why; and that the node drains or says nothing, where its control socket
/// was named.
pub fn probe(options: &ProbeOptions) -> Result<String, Vec<Problem>> {
    let addresses: Vec<SocketAddr> = match &options.config {
        Some(path) => config::load(Some(path), &Flags::default())?.listen,
        None if options.address.is_empty() => of_running_node(options),
        None => options.address.iter().flat_map(|listen| &listen.0).copied().collect(),
    };
    let place = if options.local { ProbedHost::This } else { ProbedHost::Any };
    let timeout = options.timeout.map_or(PROBE_TIMEOUT, |time| time.0);
    let mut out = String::new();
    let mut problems = Vec::new();
    for (address, result) in addresses.iter().zip(probe_all(&addresses, place, timeout)) {
        match result {
            Ok(took) => writeln!(out, "{address} answers ({:.2} ms)", took.as_secs_f64() * 1000.0)
                .expect("a String takes all that is written"),
            Err(message) => problems.push(Problem { place: address.to_string(), message }),
        }
    }
    // One that hangs would not say so either; it is asked last.
    if problems.is_empty()
        && let Some(control) = &options.control
        && let Some(message) = unwanted(announce::daemon(vec![control.clone()], WATCH).news(timeout))
    {
        problems.push(Problem { place: control.display().to_string(), message: message.to_owned() });
    }
    if problems.is_empty() {
        return Ok(out);
    }
    // What answers is worth knowing as well. Whoever does not read it has the exit code.
    let _ = io::stdout().lock().write_all(out.as_bytes());
    Err(problems)
}

/// Why nobody is to be sent to a node that says this over its control socket.
fn unwanted(news: Option<News>) -> Option<&'static str> {
    match news {
        Some(News::Serving) => None,
        Some(News::Leaving) => Some("the node is draining or stopping; withdraw its routes"),
        Some(News::Gone) | None => Some("no node answers there; give --control the socket of the node"),
    }
}

/// What the running node listens on; the service addresses where none says so.
fn of_running_node(options: &ProbeOptions) -> Vec<SocketAddr> {
    let paths = options.control.clone().map_or_else(known_paths, |path| vec![path]);
    let status = client::status(&paths, STATS_TIMEOUT).unwrap_or_default();
    let told = status["listen"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let told: Vec<SocketAddr> = told.filter_map(|text| text.parse().ok()).collect();
    if told.is_empty() { Listen::read("as112").expect("it is a name").0 } else { told }
}
