//! The start, as steps. Each takes what the ones before it made; the first that fails ends the start.
//!
//! | step | what holds afterwards |
//! |---|---|
//! | [`load`](Start::load) | whatever can be wrong without opening anything has been found |
//! | [`ports`](Start::ports) | signals are orders; every address is open, and no thread runs |
//! | [`rights`](Start::rights) | the process has dropped its privileges |
//! | [`shards`](Start::shards) | the threads that serve have tested themselves and wait at their gates |
//! | [`take_over`](Start::take_over) | **the commit point**: from here on this process serves |
//! | [`past`](Start::past) | the history is open, and the board continues from it |
//! | [`doors`](Start::doors) | HTTP and the control socket are open |
//! | [`told`] | the operator and the service manager know; main has its filter |

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use crossbeam_channel::Sender;
use signal_hook::iterator::Signals;

use super::bound::Doors;
use super::handover::Estate;
use super::life::{Course, Node};
use super::logging::Logging;
use super::memory::{self, Footprint, Limit};
use super::origin::{Origin, left_over, no_thread};
use super::placement::Placement;
use super::reload::Source;
use super::said::Lines;
use super::succession::{Elder, Succession};
use super::systemd::Systemd;
use super::watched::{Remembered, Watch, Watched};
use super::xdp::{Prepared, Xdp};
use super::{confine, itself, taps};
use crate::board::Board;
use crate::config::Config;
use crate::config::loaded::Loaded;
use crate::control::orders::{self, Order};
use crate::control::{self, Control};
use crate::history::{self, Legacy, aggregator};
use crate::net::{Event, Net, Plan, THREAD_ADVICE};
use crate::problem::Problem;
use crate::serve::published::Published;
use crate::serve::snapshot::Snapshot;
use crate::sys::confine::{Class, Confined};
use crate::sys::sockets;

/// A start, and what it is made from.
pub(super) struct Start<'a> {
    pub(super) origin: &'a mut Origin,
    pub(super) config: Config,
    pub(super) logging: &'a mut Logging,
    pub(super) orders: Sender<Order>,
    pub(super) events: Sender<Event>,
}

/// What is known before anything is open.
struct Found {
    loaded: Loaded,
    placement: Placement,
    memory: memory::Bound,
}

/// What is open before any thread runs.
struct Ports {
    doors: Doors,
    taps: taps::Opened,
    /// Until a thread watches for them.
    signals: Option<Signals>,
    buffers: Vec<(usize, usize)>,
    /// Addresses that are on no interface yet: an anycast address may come later.
    absent: Vec<SocketAddr>,
    /// How many files may be open.
    descriptors: u64,
}

/// What serves, or is about to.
struct Shards {
    net: Net,
    published: Arc<Published>,
    today: Arc<AtomicU64>,
}

/// What people look at and give orders through.
struct Watching {
    board: Arc<Board>,
    watched: Watched,
    control: Control,
    xdp: Option<Xdp>,
    /// The process before this one, as long as it has connections.
    elder: Option<Elder>,
}

impl Start<'_> {
    /// The whole story.
    ///
    /// # Errors
    /// Why the node cannot start. Before the commit point nothing has been taken from anybody.
    pub(super) fn node(mut self, source: Source) -> Result<Node, Vec<Problem>> {
        let Found { loaded, placement, memory } = self.load()?;
        let Loaded { zones, snapshot, places } = loaded;
        let (zones, doubtful) = (zones.zones.len(), zones.warnings);
        let systemd = Systemd::from_environment(Instant::now());
        let mut ports = self.ports(&placement, &snapshot)?;
        let confined = self.rights(&source, &mut ports)?;
        let mut shards = self.shards(&placement, snapshot, &mut ports, &confined)?;
        let (estate, notes) = self.take_over(&mut shards.net, &placement, &mut ports)?;

        let Estate { legacy, draining } = estate;
        let remembered = self.past(legacy, &shards, &placement, &confined)?;
        let mut lines = Lines::begin(&self.config, zones, &ports.doors.http, &ports.buffers, &ports.absent);
        doubtful.iter().for_each(|warning| lines.warn(warning.to_string()));
        let xdp_lines = ports.doors.xdp.take_lines();
        lines.serving(&self.config, &shards.net, &placement, ports.descriptors, xdp_lines);
        lines.process(&confined, &memory);
        lines.kept(&self.config, &remembered);
        notes.into_iter().chain(left_over(&ports.doors.unwanted)).for_each(|note| lines.warn(note));
        lines.say(ports.doors.control.line());
        let web = ports.doors.http.addresses();
        let Doors { http, control, xdp, handles, .. } = ports.doors;
        let watch = Watch {
            http,
            places,
            today: Arc::clone(&shards.today),
            remembered,
            names: shards.published.newest().names().clone(),
            taps: ports.taps,
            xdp: xdp.places.clone(),
            is_draining: draining,
        };
        let watching = self.doors(watch, control, xdp, &mut shards.net, &placement)?;
        let Watching { board, watched, control, xdp, elder } = watching;

        self.reach_itself(&systemd, elder.is_some())?;
        lines.try_it(self.config.listen[0], elder.is_none() && self.logging.has_reader());
        let node = Node {
            source,
            config: self.config,
            zones,
            net: shards.net,
            published: shards.published,
            board,
            watched,
            control,
            systemd,
            log: self.logging.log.clone(),
            course: Course::new(Instant::now()),
            succession: Succession::new(self.origin.take_launcher(), handles, elder),
            xdp,
            web,
        };
        told(node, &lines, draining, &confined)
    }
}

/// The steps.
impl Start<'_> {
    fn load(&self) -> Result<Found, Vec<Problem>> {
        let loaded = Loaded::read(&self.config, Vec::new())?;
        let mut placement = Placement::with_user(&self.config)?;
        let memory = memory::Bound::new(&self.config, placement.places.len(), Footprint::now());
        placement.notes.extend(memory.within(Limit::here().as_ref())?);
        placement.notes.extend(self.config.notes());
        Ok(Found { loaded, placement, memory })
    }

    fn ports(&mut self, placement: &Placement, snapshot: &Snapshot) -> Result<Ports, Vec<Problem>> {
        // A signal that comes from here on is not lost.
        let signals = Some(orders::signals().map_err(no_signals)?);
        let descriptors = sockets::raise_nofile().unwrap_or_default();
        let doors = Doors::open(&self.config, placement, snapshot, self.origin.sockets()?)?;
        let buffers = doors.bound.buffers();
        let absent =
            self.config.listen.iter().copied().filter(|address| !sockets::is_local(*address)).collect();
        let taps = taps::open(&self.config, &self.logging.log).map_err(Problem::alone)?;
        Ok(Ports { doors, taps, signals, buffers, absent, descriptors })
    }

    fn rights(&self, source: &Source, ports: &mut Ports) -> Result<Confined, Vec<Problem>> {
        let control = ports.doors.control.dir();
        let confined =
            confine::give_up(&self.config, source.file.as_deref(), control).map_err(Problem::alone)?;
        // Threads come after that, and are as confined.
        if let Some(signals) = ports.signals.take() {
            orders::watch_signals(signals, &self.orders, &self.events, &confined).map_err(no_signals)?;
        }
        Ok(confined)
    }

    fn shards(
        &self,
        placement: &Placement,
        snapshot: Snapshot,
        ports: &mut Ports,
        confined: &Confined,
    ) -> Result<Shards, Vec<Problem>> {
        let today = Arc::new(AtomicU64::new(aggregator::day_of(history::unix_time())));
        let published = Published::new(snapshot);
        let plan = Plan {
            choice: self.config.datapath,
            busy_poll: self.config.busy_poll,
            cpus: placement.cpus(),
            groups: std::mem::take(&mut ports.doors.bound.groups),
            listeners: std::mem::take(&mut ports.doors.bound.listeners),
            tcp: self.config.tcp.clone(),
            published: Arc::clone(&published),
            ledgers: taps::ledgers(&self.config, &today),
            confined: confined.clone(),
        };
        let net = Net::start(plan, &self.events).map_err(|error| Problem::alone(error.to_string()))?;
        Ok(Shards { net, published, today })
    }

    /// The commit point.
    fn take_over(
        &mut self,
        net: &mut Net,
        placement: &Placement,
        ports: &mut Ports,
    ) -> Result<(Estate, Vec<String>), Vec<Problem>> {
        let Doors { bound, xdp, .. } = &mut ports.doors;
        self.origin.serve(net, &bound.adopted, placement.steering.as_ref(), xdp)
    }

    fn past(
        &self,
        legacy: Legacy,
        shards: &Shards,
        placement: &Placement,
        confined: &Confined,
    ) -> Result<Remembered, Vec<Problem>> {
        let (names, count) = (shards.published.newest().names().clone(), placement.places.len());
        let remembered = Remembered::open(&self.config, legacy, &names, count, confined);
        remembered.map_err(Problem::alone)
    }

    fn doors(
        &mut self,
        watch: Watch,
        control: control::Opened,
        xdp: Prepared,
        net: &mut Net,
        placement: &Placement,
    ) -> Result<Watching, Vec<Problem>> {
        let confined = net.confined.clone();
        self.logging.start(&self.events, &confined).map_err(|error| no_thread("the log", &error))?;
        let watched = Watched::start(watch, &self.config, net, placement, &self.events);
        let (watched, board) = watched.map_err(|error| no_thread("statistics", &error))?;
        let xdp = xdp.start(&board, &self.events, &confined).map_err(|error| no_thread("xdp", &error))?;
        let control = Control::start(control, self.orders.clone(), &self.events, &board);
        let control = control.map_err(|error| no_thread("control", &error))?;
        let elder = self.origin.done(control.path(), &board, &self.events, self.orders.clone())?;
        Ok(Watching { board, watched, control, xdp, elder })
    }

    /// A service manager that is told that the node serves is told the truth: the node asks itself. Where
    /// there is no manager it does not ask, as that would count; nor while another process would answer too.
    fn reach_itself(&self, systemd: &Systemd, is_successor: bool) -> Result<(), Vec<Problem>> {
        if is_successor || !systemd.is_there() {
            return Ok(());
        }
        itself::ask(&self.config.listen).map_err(Problem::alone)
    }
}

fn told(mut node: Node, lines: &Lines, draining: bool, confined: &Confined) -> Result<Node, Vec<Problem>> {
    node.begin(lines, draining);
    confined.thread(Class::Main).map_err(Problem::alone)?;
    Ok(node)
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn no_signals(error: io::Error) -> Vec<Problem> {
    Problem::alone(format!("cannot watch for signals: {error}; {THREAD_ADVICE}"))
}
