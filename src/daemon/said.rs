//! What is said at the start, line by line.

use std::path::Path;

use super::placement::Placement;
use crate::announce::probe::reachable;
use crate::config::doors::DEFAULT_ADDRESS;
use crate::config::{Config, CpuList};
use crate::net::Net;
use crate::report::export;
use crate::web::Opened;

/// What an operator wants to see at the start, line by line.
pub(super) fn describe(
    config: &Config,
    net: &Net,
    placement: &Placement,
    buffers: &[(usize, usize)],
    zones: usize,
    descriptors: u64,
) -> Vec<String> {
    let pinned: Vec<usize> = placement.cpus().into_iter().flatten().collect();
    let where_to =
        if pinned.is_empty() { "on any CPU".to_owned() } else { format!("on CPUs {}", CpuList(&pinned)) };
    let count = placement.places.len();
    let shards = if count == 1 { "1 shard".to_owned() } else { format!("{count} shards") };
    let mut lines = vec![
        format!("as112d {} as {}, serving {zones} zones", env!("CARGO_PKG_VERSION"), config.identity.node),
        format!("datapath: {} ({})", net.datapath, net.reason),
        format!("{shards} {where_to}; at most {descriptors} open files"),
    ];
    if placement.steering.is_some() {
        lines.push(format!("steering: {}", placement.steered));
    }
    if config.busy_poll > 0 {
        lines.push(format!("busy polling for {} microseconds before a shard sleeps", config.busy_poll));
    }
    lines.extend(placement.notes.iter().map(|note| format!("note: {note}")));
    for (address, (receive, send)) in config.listen.iter().zip(buffers) {
        let (receive, send) = (receive / 1024, send / 1024);
        lines.push(format!("listening on {address} (buffers: receive {receive} KiB, send {send} KiB)"));
    }
    lines
}

pub(super) fn http_line(http: &Opened) -> Option<String> {
    match http {
        Opened::At(listener) => {
            let address = listener.local_addr().ok()?;
            Some(format!("statistics: http://{address}/metrics"))
        }
        Opened::Busy(error) => {
            let address = DEFAULT_ADDRESS;
            Some(format!("statistics: none, {address} cannot be had ({error}); choose another with --http"))
        }
        Opened::Off => None,
    }
}

/// Where files for other programs go, and what is in the way of that. It may be gone when they are due.
pub(super) fn export_lines(settings: &export::Settings) -> Vec<String> {
    let line = |(name, dir): (&str, &Path)| match export::check_folder(dir) {
        Ok(()) => format!("export: {name} to {}", dir.display()),
        Err(error) => format!("export: {}", cannot_write(&format!("[export] {name}"), dir, &error)),
    };
    settings.folders().map(line).collect()
}

pub(super) fn cannot_write(key: &str, dir: &Path, error: &str) -> String {
    format!("{} cannot be written: {error}; give a folder that this node can write with {key}", dir.display())
}

/// Who is told of queries.
pub(super) fn taps_lines(config: &Config) -> Vec<String> {
    let query_log = config.query_log.as_ref().map(|query_log| format!("query log: {query_log}"));
    let dnstap = config.dnstap.as_ref().map(|dnstap| format!("dnstap: {dnstap}"));
    query_log.into_iter().chain(dnstap).collect()
}

pub(super) fn try_line(config: &Config) -> String {
    let first = config.listen[0];
    format!("try: dig @{} -p {} -x 192.168.1.1", reachable(first.ip()), first.port())
}
