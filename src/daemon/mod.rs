//! The control plane: configuration, start, what a running node is asked to do, and stop. It may block and
//! fail; a shard never calls it.

mod bound;
pub mod confine;
pub mod handover;
mod itself;
mod life;
pub mod logging;
pub mod memory;
mod origin;
pub mod placement;
mod reload;
mod said;
mod succession;
mod systemd;
mod taps;
mod watched;
pub mod xdp;

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use crossbeam_channel::{Sender, unbounded};

use crate::config::Config;
use crate::control::Control;
use crate::control::orders::{self, Order};
use crate::history::sources::Places;
use crate::history::{self, aggregator};
use crate::net::{Event, Net, Plan};
use crate::problem::Problem;
use crate::report::export;
use crate::serve::published::Published;
use crate::serve::snapshot::{Settings, Snapshot};
use crate::sys::confine::{Class, Confined};
use crate::sys::{sockets, user};
use crate::zone::{self, ZoneSet};

use bound::Doors;
use life::{Course, End, Node};
use logging::Logging;
use memory::{Limit, Loaded};
pub use origin::Origin;
use origin::left_over;
use placement::{Host, Placement};
pub use reload::Source;
pub use said::is_absent;
use said::{Lines, cannot_write};
use succession::Succession;
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

/// Serves what `source` says, which is `config`, until it is told to end. What it has to say goes to the log.
///
/// # Errors
/// Why it cannot start, or which of its threads has ended unbidden.
pub fn run(
    origin: &mut Origin,
    source: Source,
    config: Config,
    logging: &mut Logging,
) -> Result<(), Vec<Problem>> {
    let (orders, ordered) = unbounded();
    let (events, happened) = unbounded();
    let started = start(origin, (source, config), (orders, events), logging);
    let mut node = origin.tell(started)?;

    // Serve, and do as ordered.
    match node.live(&ordered, &happened) {
        // Leave everything to a successor, which serves already.
        Ok(End::Succeeded(successor)) => node.depart(successor, &ordered),
        // Stop: what has come in is answered, then the sockets close.
        Ok(End::Ordered) => {
            node.stop();
            Ok(())
        }
        Err(problems) => {
            node.stop();
            Err(problems)
        }
    }
}

/// The story of a start.
fn start(
    origin: &mut Origin,
    (source, config): (Source, Config),
    (orders, events): (Sender<Order>, Sender<Event>),
    logging: &mut Logging,
) -> Result<Node, Vec<Problem>> {
    // 1. Everything that can be wrong without opening anything is found first.
    let (zones, snapshot) = prepare(&config, Vec::new())?;
    let places = places(&config)?;
    let mut placement = host(&config)?;
    let memory = memory::Bound::new(&config, placement.places.len(), Loaded::now());
    placement.notes.extend(memory.within(Limit::here().as_ref())?);
    let systemd = Systemd::from_environment(Instant::now());

    // 2. From here on signals are orders: one that comes during the start is not lost.
    let signals = orders::signals().map_err(no_signals)?;

    // 3. Addresses, all of them, before any thread runs.
    let descriptors = sockets::raise_nofile().unwrap_or_default();
    let Doors { bound, http, control, mut xdp, handles, unwanted } =
        Doors::open(&config, &placement, &snapshot, origin.sockets()?)?;
    let (buffers, absent) = (bound.buffers(), absent(&config.listen));
    let taps = taps::open(&config, &logging.log).map_err(failure)?;

    // 4. What took rights is done: from here on we have none. Threads come after that, and are as confined.
    let confined = confine::give_up(&config, source.file.as_deref(), control.dir()).map_err(failure)?;
    orders::watch_signals(signals, &orders, &events, &confined).map_err(no_signals)?;

    // 5. Shards and the TCP thread. They test themselves, and wait at their gates when this returns.
    let names = snapshot.names().clone();
    let today = Arc::new(AtomicU64::new(aggregator::day_of(history::unix_time())));
    let published = Published::new(snapshot);
    let plan = plan(&config, &placement, (bound.groups, bound.listeners), &published, &today, &confined);
    let mut net = Net::start(plan, &events).map_err(|error| failure(error.to_string()))?;

    // 6. From here on this process serves: instead of the one that it succeeds, if there is one.
    let (estate, notes) = origin.serve(&mut net, &bound.adopted, placement.steering.as_ref(), &mut xdp)?;

    // 7. Let people watch, and give orders.
    logging.start(&events, &confined).map_err(|error| no_thread("the log", &error))?;
    let mut lines = Lines::begin(&config, zones.zones.len(), &http, &buffers, &absent);
    lines.serving(&config, &net, &placement, descriptors, xdp.take_lines());
    lines.process(&confined, &memory);
    let remembered = Remembered::open(&config, estate.image.as_deref(), &names, placement.places.len());
    let remembered = remembered.map_err(failure)?;
    lines.kept(&config, &remembered);
    notes.into_iter().chain(left_over(&unwanted)).for_each(|note| lines.warn(note));
    lines.say(control.line());
    let (on, is_draining, web) = (xdp.places.clone(), estate.draining, http.address());
    let watch = Watch { http, places, today, remembered, names, taps, xdp: on, is_draining };
    let watched = Watched::start(watch, &config, &mut net, &placement, &events);
    let (watched, board) = watched.map_err(|error| no_thread("statistics", &error))?;
    let xdp = xdp.start(&board, &events, &confined).map_err(|error| no_thread("xdp", &error))?;
    let control = Control::start(control, orders.clone(), &events, &board);
    let control = control.map_err(|error| no_thread("control", &error))?;
    let elder = origin.done(control.path(), &board, &events, orders)?;

    // 8. Say what is there.
    reach_itself(&config, &systemd, elder.is_some())?;
    lines.try_it(config.listen[0], elder.is_none() && logging.has_reader());
    let succession = Succession::new(origin.take_launcher(), handles, elder);
    let mut node = Node {
        source,
        config,
        zones: zones.zones.len(),
        net,
        published,
        board,
        watched,
        control,
        systemd,
        log: logging.log.clone(),
        course: Course::new(Instant::now()),
        succession,
        xdp,
        web,
    };
    node.begin(&lines, estate.draining);
    confined.thread(Class::Main).map_err(failure).map(|()| node)
}

/// Of these addresses those that are on no interface yet: an anycast address may come later.
fn absent(listen: &[SocketAddr]) -> Vec<SocketAddr> {
    listen.iter().copied().filter(|address| !sockets::is_local(*address)).collect()
}

/// A service manager that is told that the node serves is told the truth: the node asks itself. Where there
/// is no manager it does not ask, as that would count; nor beside a process that would answer as well.
fn reach_itself(config: &Config, systemd: &Systemd, is_successor: bool) -> Result<(), Vec<Problem>> {
    if is_successor || !systemd.is_there() { Ok(()) } else { itself::ask(&config.listen).map_err(failure) }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn no_signals(error: io::Error) -> Vec<Problem> {
    failure(format!("cannot watch for signals: {error}"))
}

fn plan(
    config: &Config,
    placement: &Placement,
    (groups, listeners): (Vec<(SocketAddr, Vec<UdpSocket>)>, Vec<TcpListener>),
    published: &Arc<Published>,
    today: &Arc<AtomicU64>,
    confined: &Confined,
) -> Plan {
    Plan {
        choice: config.datapath,
        busy_poll: config.busy_poll,
        cpus: placement.cpus(),
        groups,
        listeners,
        tcp: config.tcp.clone(),
        published: Arc::clone(published),
        ledgers: taps::ledgers(config, today),
        confined: confined.clone(),
    }
}

fn no_thread(what: &str, error: &io::Error) -> Vec<Problem> {
    failure(format!("cannot start a thread for {what}: {error}; free some memory"))
}

/// What `config` takes of this host, found without opening anything: where each shard goes.
///
/// # Errors
/// CPUs that this process may not use, or that are not there; a user that does not exist.
pub fn host(config: &Config) -> Result<Placement, Vec<Problem>> {
    let mut problems = Vec::new();
    let placement = placement(config).map_err(|error| problems.extend(error));
    if let Some(name) = &config.user
        && let Err(error) = user::exists(name)
    {
        problems.extend(failure(format!("user {name}: {error}")));
    }
    placement.ok().filter(|_| problems.is_empty()).ok_or(problems)
}

/// Where each shard goes.
fn placement(config: &Config) -> Result<Placement, Vec<Problem>> {
    let host = Host::here().map_err(|error| format!("cannot read the CPUs of this process: {error}"));
    host.and_then(|host| Placement::decide(config, &host)).map_err(failure)
}

/// What is wrong with the folders and files that the node is to write to. Of that, the files of logs alone
/// keep it from serving.
#[must_use]
pub fn folders(config: &Config) -> Vec<Problem> {
    let exports = config.export.folders().map(|(name, dir)| (format!("[export] {name}"), dir));
    let history = config.history.as_deref().map(|dir| ("[history] dir".to_owned(), dir));
    let problem = |(key, dir): (String, &Path)| {
        let error = export::check_folder(dir).err()?;
        Some(failure(cannot_write(&key, dir, &error)))
    };
    let of_folders = history.into_iter().chain(exports).filter_map(problem);
    of_folders.chain(logging::check(config).map(failure)).flatten().collect()
}

fn failure(message: String) -> Vec<Problem> {
    vec![Problem { place: String::new(), message }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Cpus, Flags};
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
