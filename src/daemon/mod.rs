//! The control plane: configuration, start and stop. It may block and fail; a shard never calls it.

pub mod announce;
pub mod config;
pub mod cpus;
pub mod http;
pub mod listen;
pub mod placement;
mod spec;
pub mod written;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::SystemTime;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::limits::TCP_BACKLOG;
use crate::net::{self, Event, Net, Plan};
use crate::report::aggregator::{self, Aggregator};
use crate::report::export::{self, Exports};
use crate::report::history::{self, Bases, History, Stored};
use crate::report::observed::Observed;
use crate::report::sources::{Places, Sources};
use crate::report::{Block, Board, Facts};
use crate::serve::snapshot::{Settings, Snapshot};
use crate::stats::counters::QUERIES;
use crate::stats::labels::Names;
use crate::stats::ledger::LedgerSettings;
use crate::sys::sockets::UdpOptions;
use crate::sys::{sockets, user};
use crate::zone::{self, Problem, ZoneSet};

use http::{NodeView, Opened};

use config::{Config, CpuList};
use placement::{Host, Placement};

/// Loads and compiles everything that `config` names, and opens nothing.
///
/// # Errors
/// Every mistake in the zones; if there is none, every one in what is made of them.
pub fn prepare(config: &Config) -> Result<(ZoneSet, Snapshot), Vec<Problem>> {
    let zones = zone::load(&config.zones)?;
    let settings = Settings {
        edns_udp_size: config.edns_udp_size,
        nsid: config.nsid.clone(),
        node: config.identity.node.clone(),
        version: config.version_txt.clone(),
        update: config.update,
        listeners: config.listen.clone(),
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

/// Serves until SIGTERM or SIGINT. What it has to say goes to `out`.
///
/// # Errors
/// Why it cannot start, or which of its threads has ended unbidden.
pub fn run(config: &Config, out: &mut impl Write) -> Result<(), Vec<Problem>> {
    // 1. Everything that can be wrong without opening anything is found first.
    let (zones, snapshot) = prepare(config)?;
    let places = places(config)?;
    let placement = host(config)?;
    let cpus = placement.cpus();

    // 2. From here on signals are events: one that comes during the start is not lost.
    let (events, happened) = unbounded();
    watch_signals(&events).map_err(|error| failure(format!("cannot watch for signals: {error}")))?;

    // 3. Addresses, all of them, before any thread runs.
    let descriptors = sockets::raise_nofile().unwrap_or_default();
    let bound = Bound::open(config, &placement)?;
    let buffers = bound.buffers();
    let http = http::open(config.http).map_err(|(address, error)| vec![no_http(address, &error)])?;

    // 4. Shards and the TCP thread. They serve when this returns.
    let names = snapshot.names().clone();
    let today = Arc::new(AtomicU64::new(aggregator::day_of(history::unix_time())));
    let plan = Plan {
        choice: config.datapath,
        busy_poll: config.busy_poll,
        cpus: cpus.clone(),
        groups: bound.groups,
        listeners: bound.listeners,
        tcp: config.tcp.clone(),
        snapshot: Arc::new(snapshot),
        ledgers: LedgerSettings { sample_every: config.sample_every, today: Arc::clone(&today) },
    };
    let mut net = Net::start(plan, &events).map_err(|error| failure(error.to_string()))?;

    // 5. What took rights is done.
    if let Some(name) = &config.user {
        user::drop_privileges(name)
            .map_err(|error| failure(format!("cannot become user {name}: {error}")))?;
    }

    // 6. Let people watch.
    let remembered = Remembered::open(config.history.as_deref(), &names, cpus.len()).map_err(failure)?;
    let Remembered { history, mut bases, readers: [stored, for_exports], place, line: history_line } =
        remembered;
    let uniques = std::mem::take(&mut bases.uniques);
    let board = board(config, &net, &placement, names, bases, place);
    let board = Arc::new(board);
    let mut lines = describe(config, &net, &placement, &buffers, zones.zones.len(), descriptors);
    lines.extend(http_line(&http));
    lines.push(history_line);
    lines.extend(export_lines(&config.export));
    let exports = Exports::open(&config.export, for_exports, &board, history::unix_time());
    let sources = Sources::new(places);
    let aggregator = Aggregator::new(net.take_streams(), today, sources, uniques, history, exports);
    let watched =
        Watched::start(http, config.node_view, stored, aggregator, &board, &events).map_err(|error| {
            failure(format!("cannot start a thread for statistics: {error}; free some memory"))
        })?;

    // 7. Say what is there. Nobody to listen is no reason to stop.
    lines.push(try_line(config));
    let _ = lines.iter().try_for_each(|line| writeln!(out, "{line}"));

    // 8. Wait.
    let ended = wait(&happened);

    // 9. Stop: what has come in is answered, then the sockets close.
    board.ready.store(false, Ordering::Relaxed);
    net.stop();
    watched.stop();
    let queries = net.totals().sum(QUERIES);
    let _ = writeln!(out, "stopped after {queries} {}", if queries == 1 { "query" } else { "queries" });
    ended
}

/// Waits for a signal, or for the news that a thread has died.
fn wait(happened: &Receiver<Event>) -> Result<(), Vec<Problem>> {
    match happened.recv() {
        Ok(Event::Stop) | Err(_) => Ok(()),
        Ok(Event::Died { thread, reason }) => {
            Err(failure(format!("the thread {thread} ended: {reason}; please report this")))
        }
    }
}

fn watch_signals(events: &Sender<Event>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let events = events.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for _ in signals.forever() {
            if events.send(Event::Stop).is_err() {
                return;
            }
        }
    })?;
    Ok(())
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

/// The sockets of every address.
struct Bound {
    groups: Vec<(SocketAddr, Vec<UdpSocket>)>,
    listeners: Vec<TcpListener>,
}

impl Bound {
    /// Opens every address for UDP and TCP; reports all that cannot be opened.
    fn open(config: &Config, placement: &Placement) -> Result<Self, Vec<Problem>> {
        let shards = placement.places.len();
        let options = UdpOptions {
            rcvbuf: config.rcvbuf,
            sndbuf: config.sndbuf,
            busy_poll: config.busy_poll,
            steering: placement.steering.clone(),
        };
        let mut bound = Self { groups: Vec::new(), listeners: Vec::new() };
        let mut problems = Vec::new();
        for &address in &config.listen {
            match sockets::bind_udp_group(address, shards, &options) {
                Ok(group) => bound.groups.push((address, group)),
                Err(error) => problems.push(cannot_listen(address, "UDP", &error)),
            }
            match sockets::bind_tcp(address, TCP_BACKLOG) {
                Ok(listener) => bound.listeners.push(listener),
                Err(error) => problems.push(cannot_listen(address, "TCP", &error)),
            }
        }
        if problems.is_empty() { Ok(bound) } else { Err(problems) }
    }

    /// The receive and send buffer that the kernel gave each address, in bytes.
    fn buffers(&self) -> Vec<(usize, usize)> {
        let first = |group: &[UdpSocket]| group.first().and_then(|socket| sockets::buffer_lens(socket).ok());
        self.groups.iter().map(|(_, group)| first(group).unwrap_or_default()).collect()
    }
}

/// Why an address cannot be had, and what to do.
fn cannot_listen(address: SocketAddr, protocol: &str, error: &io::Error) -> Problem {
    let port = address.port();
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another program listens there: `ss -lnp 'sport = :{port}'` names it; stop it, or choose another \
             address with --listen"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "port {port} takes root or the capability CAP_NET_BIND_SERVICE: start as root, run `setcap \
             cap_net_bind_service=+ep` on the program, or choose a port above 1023 with --listen"
        ),
        io::ErrorKind::AddrNotAvailable => {
            "no interface has that address: add it to one (`ip address add`), or leave it out".to_owned()
        }
        _ if sockets::is_family_unknown(error) => {
            "this host does not speak that protocol: leave the address out".to_owned()
        }
        // What was refused is no matter of the address, and the message says what it is.
        io::ErrorKind::Other => {
            "leave out --busy-poll or --steer, whichever it is, or start as root".to_owned()
        }
        _ => "choose another address with --listen".to_owned(),
    };
    Problem {
        place: String::new(),
        message: format!("cannot listen on {address} ({protocol}): {error}; {advice}"),
    }
}

/// Why HTTP cannot be served where it was asked for.
fn no_http(address: SocketAddr, error: &io::Error) -> Problem {
    let message = format!(
        "cannot serve HTTP on {address}: {error}; choose another address with --http, or give --http off"
    );
    Problem { place: String::new(), message }
}

/// Where the numbers of this node stand. They go on from `bases`.
fn board(
    config: &Config,
    net: &Net,
    placement: &Placement,
    names: Names,
    bases: Bases,
    history: String,
) -> Board {
    let blocks = net.counters().iter().map(Arc::clone);
    let cpus = placement.places.iter().map(|place| place.cpu).chain([None]);
    let bases_of_blocks = bases.shards.into_iter().chain([bases.tcp]);
    let blocks = blocks.zip(cpus).zip(bases_of_blocks);
    let mut shards: Vec<Block> = blocks
        .map(|((counters, cpu), base)| Block {
            cpu: cpu.map(|cpu| cpu.number),
            numa_node: cpu.map(|cpu| cpu.node),
            counters,
            base,
        })
        .collect();
    let tcp = shards.pop().expect("the block of TCP is there, and the last");
    let facts = Facts {
        node: config.identity.node.clone(),
        site: config.identity.facility.as_ref().unwrap_or(&config.identity.node).clone(),
        version: env!("CARGO_PKG_VERSION"),
        datapath: net.datapath.to_string(),
        reason: net.reason.clone(),
        sample_every: config.sample_every.get(),
        started: SystemTime::now(),
    };
    Board {
        facts,
        names,
        shards,
        tcp,
        past: bases.past,
        history: history::Status::new(history),
        exports: config.export.statuses(),
        observed: Observed::new(net.counters().len()),
        ready: AtomicBool::new(true),
    }
}

/// The history as it was opened.
struct Remembered {
    history: History,
    bases: Bases,
    /// For those who read it beside the aggregator: HTTP and the exports.
    readers: [Stored; 2],
    /// Where it is.
    place: String,
    /// What to tell the operator of that.
    line: String,
}

impl Remembered {
    /// Opens the history in `dir`; in memory where that is not given or cannot be had.
    fn open(dir: Option<&Path>, names: &Names, shards: usize) -> Result<Self, String> {
        let now = history::unix_time();
        let with_readers = |(history, bases): (History, Bases)| {
            let reader = || history.reader().map_err(|error| error.to_string());
            let readers = [reader()?, reader()?];
            Ok::<_, String>((history, bases, readers))
        };
        let open = |dir| History::open(dir, names, shards, now).and_then(with_readers);
        let why = match dir.map(|dir| (dir, open(dir))) {
            Some((dir, Ok((history, bases, readers)))) => {
                let place = dir.join(history::FILE).display().to_string();
                let line = format!("history: {place}");
                return Ok(Self { history, bases, readers, place, line });
            }
            Some((dir, Err(error))) => {
                format!(
                    "{} cannot be used: {error}; totals begin at 0; give a folder that this node may write \
                     with [history] dir",
                    dir.display()
                )
            }
            None => "[history] dir would keep it".to_owned(),
        };
        let (history, bases, readers) = History::in_memory(names, shards, now).and_then(with_readers)?;
        let place = "in memory".to_owned();
        Ok(Self { history, bases, readers, line: format!("history: {place} ({why})"), place })
    }
}

/// The threads that watch: that of HTTP, if there is one, and the aggregator.
struct Watched {
    http: Option<JoinHandle<()>>,
    stop_http: Arc<AtomicBool>,
    aggregator: JoinHandle<()>,
    /// The aggregator ends when this is dropped.
    stop_aggregator: Sender<()>,
}

impl Watched {
    fn start(
        http: Opened,
        node_view: NodeView,
        stored: Stored,
        aggregator: Aggregator,
        board: &Arc<Board>,
        events: &Sender<Event>,
    ) -> io::Result<Self> {
        let stop_http = Arc::new(AtomicBool::new(false));
        let (flag, for_http) = (Arc::clone(&stop_http), Arc::clone(board));
        let http = match http {
            Opened::At(listener) => {
                let run = move || http::run(listener, for_http, stored, node_view, &flag);
                Some(net::spawn("http".to_owned(), events.clone(), run)?)
            }
            Opened::Busy(_) | Opened::Off => None,
        };
        let (stop_aggregator, stopped) = bounded(0);
        let board = Arc::clone(board);
        let run = move || {
            aggregator.run(&board, &stopped);
            Ok(())
        };
        let aggregator = net::spawn("aggregator".to_owned(), events.clone(), run)?;
        Ok(Self { http, stop_http, aggregator, stop_aggregator })
    }

    fn stop(self) {
        self.stop_http.store(true, Ordering::Relaxed);
        drop(self.stop_aggregator);
        // A panic was reported when it happened.
        let _ = self.http.map(JoinHandle::join);
        let _ = self.aggregator.join();
    }
}

/// What an operator wants to see at the start, line by line.
fn describe(
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

fn http_line(http: &Opened) -> Option<String> {
    match http {
        Opened::At(listener) => {
            let address = listener.local_addr().ok()?;
            Some(format!("statistics: http://{address}/metrics"))
        }
        Opened::Busy(error) => {
            let address = http::DEFAULT_ADDRESS;
            Some(format!("statistics: none, {address} cannot be had ({error}); choose another with --http"))
        }
        Opened::Off => None,
    }
}

/// Where files for other programs go, and what is in the way of that. It may be gone when they are due.
fn export_lines(settings: &export::Settings) -> Vec<String> {
    let line = |(name, dir): (&str, &Path)| match export::check_folder(dir) {
        Ok(()) => format!("export: {name} to {}", dir.display()),
        Err(error) => format!("export: {}", cannot_write(&format!("[export] {name}"), dir, &error)),
    };
    settings.folders().map(line).collect()
}

fn cannot_write(key: &str, dir: &Path, error: &str) -> String {
    format!("{} cannot be written: {error}; give a folder that this node may write with {key}", dir.display())
}

fn try_line(config: &Config) -> String {
    let first = config.listen[0];
    format!("try: dig @{} -p {} -x 192.168.1.1", to_ask(first.ip()), first.port())
}

/// The address at which to ask who listens at `ip`: behind a wildcard, the loopback of the same family.
fn to_ask(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
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

    #[test]
    fn behind_a_wildcard_the_loopback_is_asked() {
        for (ip, asked) in [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.1", "192.0.2.1")] {
            assert_eq!(to_ask(ip.parse().unwrap()).to_string(), asked);
        }
    }
}
