//! The control plane: configuration, start, what a running node is asked to do, and stop. It may block and
//! fail; a shard never calls it.

pub mod announce;
mod bound;
pub mod config;
pub mod control;
pub mod cpus;
pub mod http;
mod itself;
mod life;
pub mod listen;
pub mod logging;
mod orders;
pub mod placement;
mod reload;
mod said;
mod spec;
mod systemd;
mod taps;
mod watched;
pub mod written;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use crossbeam_channel::unbounded;

use crate::log::{Log, Writer};
use crate::net::{self, Net, Plan};
use crate::report::sources::Places;
use crate::report::{aggregator, export, history};
use crate::serve::published::Published;
use crate::serve::snapshot::{Settings, Snapshot};
use crate::stats::ledger::LedgerSettings;
use crate::sys::{sockets, user};
use crate::zone::{self, Problem, ZoneSet};

use bound::{Bound, no_http};
use config::Config;
use control::Control;
use life::{Course, Node};
use placement::{Host, Placement};
pub use reload::Source;
use said::{cannot_write, describe, export_lines, http_line, taps_lines, try_line};
use systemd::Systemd;
use watched::{Remembered, Watch, Watched};

/// Loads and compiles everything that `config` names, and opens nothing. The zones of `series` are counted
/// already, and keep their places.
///
/// # Errors
/// Every mistake in the zones; if there is none, every one in what is made of them.
pub fn prepare(config: &Config, series: Vec<String>) -> Result<(ZoneSet, Snapshot), Vec<Problem>> {
    let zones = zone::load(&config.zones)?;
    let settings = Settings {
        edns_udp_size: config.edns_udp_size,
        nsid: config.nsid.clone(),
        node: config.identity.node.clone(),
        version: config.version_txt.clone(),
        update: config.update,
        listeners: config.listen.clone(),
        series,
    };
    let snapshot = Snapshot::new(&zones, settings)?;
    Ok((zones, snapshot))
}

/// Reads the databases of places that `config` names.
///
/// # Errors
/// Every one that cannot be read.
pub fn places(config: &Config) -> Result<Places, Vec<Problem>> {
    Places::open(&config.databases).map_err(|errors| errors.into_iter().flat_map(failure).collect())
}

/// Serves what `source` says, which is `config`, until it is told to end. What it has to say goes to `log`. Its
/// writer is taken once there may be threads.
///
/// # Errors
/// Why it cannot start, or which of its threads has ended unbidden.
pub fn run(
    source: Source,
    config: Config,
    log: &Log,
    writer: &mut Option<Writer>,
) -> Result<(), Vec<Problem>> {
    log.take_panics();
    // 1. Everything that can be wrong without opening anything is found first.
    let (zones, snapshot) = prepare(&config, Vec::new())?;
    let places = places(&config)?;
    let placement = host(&config)?;
    let systemd = Systemd::from_environment(Instant::now());

    // 2. From here on signals are orders: one that comes during the start is not lost.
    let (orders, ordered) = unbounded();
    let (events, happened) = unbounded();
    orders::watch_signals(&orders).map_err(|error| failure(format!("cannot watch for signals: {error}")))?;

    // 3. Addresses, all of them, before any thread runs.
    let descriptors = sockets::raise_nofile().unwrap_or_default();
    let bound = Bound::open(&config, &placement)?;
    let buffers = bound.buffers();
    let http = http::open(config.http).map_err(|(address, error)| vec![no_http(address, &error)])?;
    let control = control::open(&config.control).map_err(failure)?;
    let taps = taps::open(&config, log).map_err(failure)?;

    // 4. What took rights is done.
    if let Some(name) = &config.user {
        user::drop_privileges(name)
            .map_err(|error| failure(format!("cannot become user {name}: {error}")))?;
    }

    // 5. Shards and the TCP thread. They serve when this returns.
    let names = snapshot.names().clone();
    let today = Arc::new(AtomicU64::new(aggregator::day_of(history::unix_time())));
    let published = Published::new(snapshot);
    let plan = Plan {
        choice: config.datapath,
        busy_poll: config.busy_poll,
        cpus: placement.cpus(),
        groups: bound.groups,
        listeners: bound.listeners,
        tcp: config.tcp.clone(),
        published: Arc::clone(&published),
        ledgers: LedgerSettings {
            sample_every: config.sample_every,
            today: Arc::clone(&today),
            taps: logging::taps(config.query_log.as_ref(), config.dnstap.as_ref()),
        },
    };
    let mut net = Net::start(plan, &events).map_err(|error| failure(error.to_string()))?;

    // 6. Let people watch, and give orders.
    let writer = writer.take().map(|writer| net::spawn("log".to_owned(), events.clone(), || writer.run()));
    writer.transpose().map_err(|error| no_thread("the log", &error))?;
    let mut lines = describe(&config, &net, &placement, &buffers, zones.zones.len(), descriptors);
    lines.extend(http_line(&http));
    lines.push(control.line());
    let remembered = Remembered::open(config.history.as_deref(), &names, placement.places.len());
    let remembered = remembered.map_err(failure)?;
    lines.push(remembered.line.clone());
    lines.extend(export_lines(&config.export));
    lines.extend(taps_lines(&config));
    let mut streams = net.take_streams();
    let dnstap = taps.dnstap.clone();
    let taps = taps.start(&config, &mut streams, log, &events).map_err(|error| no_thread("taps", &error))?;
    let watch = Watch { http, places, today, remembered, names, streams, log: log.clone(), dnstap };
    let watched = Watched::start(watch, &config, &net, &placement, &events);
    let (watched, board) = watched.map_err(|error| no_thread("statistics", &error))?;
    let control = Control::start(control, orders, &events).map_err(|error| no_thread("control", &error))?;

    // 7. Who is told that the node serves is told the truth. (Otherwise nobody is asked: it would count.)
    if systemd.is_there() {
        let absent = itself::ask(&config.listen).map_err(failure)?;
        lines.extend(absent.iter().map(|address| format!("note: {address} is on no interface yet")));
    }

    // 8. Say what is there.
    lines.push(try_line(&config));
    let (zones, course) = (zones.zones.len(), Course::new(Instant::now()));
    let log = log.clone();
    let mut node =
        Node { source, config, zones, net, published, board, watched, control, systemd, taps, log, course };
    node.begin(&lines);

    // 9. Serve, and do as ordered.
    let ended = node.live(&ordered, &happened);

    // 10. Stop: what has come in is answered, then the sockets close.
    node.stop();
    ended
}

fn no_thread(what: &str, error: &std::io::Error) -> Vec<Problem> {
    failure(format!("cannot start a thread for {what}: {error}; free some memory"))
}

/// What `config` takes of this host, found without opening anything: where each shard goes.
///
/// # Errors
/// CPUs that this process may not use, or that are not there; a user that does not exist.
pub fn host(config: &Config) -> Result<Placement, Vec<Problem>> {
    let mut problems = Vec::new();
    let host = Host::here().map_err(|error| format!("cannot read the CPUs of this process: {error}"));
    let placement = host.and_then(|host| Placement::decide(config, &host));
    let placement = placement.map_err(|message| problems.extend(failure(message)));
    if let Some(name) = &config.user
        && let Err(error) = user::exists(name)
    {
        problems.extend(failure(format!("user {name}: {error}")));
    }
    placement.ok().filter(|_| problems.is_empty()).ok_or(problems)
}

/// What is wrong with the folders that the node is to write to. None of it keeps it from serving.
#[must_use]
pub fn folders(config: &Config) -> Vec<Problem> {
    let exports = config.export.folders().map(|(name, dir)| (format!("[export] {name}"), dir));
    let history = config.history.as_deref().map(|dir| ("[history] dir".to_owned(), dir));
    let problem = |(key, dir): (String, &Path)| {
        let error = export::check_folder(dir).err()?;
        Some(failure(cannot_write(&key, dir, &error)))
    };
    history.into_iter().chain(exports).filter_map(problem).flatten().collect()
}

fn failure(message: String) -> Vec<Problem> {
    vec![Problem { place: String::new(), message }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::config::{Cpus, Flags};
    use crate::sys::cpu;

    #[test]
    fn all_that_the_host_lacks_is_reported() {
        let mut config = config::load(None, &Flags::default()).unwrap();
        let last = *cpu::affinity().unwrap().last().unwrap();
        config.cpus = Some(Cpus::List(vec![last]));
        assert_eq!(host(&config).unwrap().cpus(), [Some(last)]);
        config.cpus = Some(Cpus::List(vec![last, 8191]));
        config.user = Some("no-such-user-here".to_owned());
        let problems = host(&config).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].message.starts_with("CPU 8191 is not online"), "{problems:?}");
        assert!(
            problems[1].message.starts_with("user no-such-user-here: there is no such user; "),
            "{problems:?}"
        );
    }
}
