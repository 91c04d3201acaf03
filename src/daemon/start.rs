//! The start, as steps. Each takes what the ones before it made; the first that fails ends the start.
//!
//! | step | what holds afterwards |
//! |---|---|
//! | [`load`](Start::load) | whatever can be wrong without opening anything has been found |
//! | [`ports`](Start::ports) | every address is open, and no thread runs |
//! | [`rights`](Start::rights) | the process has dropped its privileges; signals are orders |
//! | [`shards`](Start::shards) | the threads that serve have tested themselves and wait at their gates |
//! | [`serve`](Origin::serve) | they serve; a process before this one has paused |
//! | [`past`](Start::past) | the history is open, and the board continues from it |
//! | [`doors`](Start::doors) | HTTP and the control socket are open, but let nobody in |
//! | [`prove`](Start::prove) | the node answers itself; all that can fail has been done |
//! | [`commit`](Start::commit) | **the commit point**: everything is this process's |
//! | [`told`] | the operator and the service manager know; main has its filter |

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Instant;

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender};

use super::bound::{Bound, Doors};
use super::handover::{Condition, Estate};
use super::life::{Course, Node};
use super::logging::Logging;
use super::memory::{self, Footprint, Limit};
use super::origin::{Origin, left_over, no_signals, no_thread};
use super::placement::Placement;
use super::platform::{Hired, Tools};
use super::reload::{MapsCourse, Source};
use super::resolver::Supervisor;
use super::said::Lines;
use super::succession::{Elder, Succession};
use super::systemd::Systemd;
use super::watched::{Remembered, Watch, Watched};
use super::xdp::{Prepared, Xdp};
use super::{apps, confine, itself, platform, taps};
use crate::board::Board;
use crate::board::pops::Pops;
use crate::config::Config;
use crate::config::loaded::Loaded;
use crate::control::orders::{self, Client, Order, Wish};
use crate::control::{self, Control};
use crate::history::{self, Legacy, aggregator};
use crate::net::{Event, Net, Plan};
use crate::nets::places::Places;
use crate::problem::Problem;
use crate::serve::published::Published;
use crate::serve::snapshot::Snapshot;
use crate::stats::labels::Names;
use crate::sys::confine::{Class, Confined};
use crate::sys::sockets::{self, UdpOptions};
use crate::web::Explain;
use crate::work::Workers;

/// A start, and what it is made from.
pub(super) struct Start<'a> {
    pub(super) origin: &'a mut Origin,
    pub(super) config: Config,
    pub(super) logging: &'a mut Logging,
    pub(super) orders: Sender<Order>,
    pub(super) events: Sender<Event>,
    pub(super) happened: &'a Receiver<Event>,
}

/// What is known before anything is open.
struct Found {
    loaded: Loaded,
    placement: Placement,
    memory: memory::Bound,
    workers: usize,
}

/// What is open before any thread runs.
struct Ports {
    doors: Doors,
    taps: taps::Opened,
    buffers: Vec<(usize, usize)>,
    /// Addresses that are on no interface yet: an anycast address may come later.
    absent: Vec<SocketAddr>,
    /// How many files may be open.
    descriptors: u64,
}

/// What serves, or is about to.
struct Shards {
    net: Net,
    workers: Workers,
    /// Where workers look clients up.
    places: Arc<ArcSwap<Places>>,
    published: Arc<Published>,
    today: Arc<AtomicU64>,
}

impl Shards {
    fn stop(&mut self) {
        self.workers.stop();
        self.net.stop();
    }
}

/// What people look at and give orders through.
struct Watching {
    board: Arc<Board>,
    watched: Watched,
    control: Control,
}

/// What the commit has brought.
struct Taken {
    estate: Estate,
    xdp: Option<Xdp>,
    /// The process before this one, as long as it has connections.
    elder: Option<Elder>,
    /// What is to be said of it.
    notes: Vec<String>,
}

impl Start<'_> {
    /// The whole story.
    ///
    /// # Errors
    /// Why the node cannot start. Before the commit point nothing has been taken from anybody.
    pub(super) fn node(mut self, source: Source) -> Result<Node, Vec<Problem>> {
        let Found { loaded, placement, memory, workers } = self.load()?;
        let Loaded { zones, snapshot, places, beacons, unread, unlearned, stamps } = loaded;
        let (zones, doubtful) = zones.counted();
        let systemd = Systemd::from_environment(Instant::now());
        let mut ports = self.ports(&placement, &snapshot)?;
        let open = platform::open_ports(snapshot.policy(), workers);
        let confined = self.rights(&source, &mut ports, &open)?;
        let sockets = apps::sockets(&apps::of(&snapshot));
        let bounds = platform::Bounds::new(&self.config, workers, open, sockets, &confined);
        self.origin.heard()?;
        let mut shards = self.shards(&placement, snapshot, &mut ports, &confined, workers, &places)?;
        let legacy = self.serve(&mut shards).inspect_err(|_| shards.stop())?;
        let remembered = self.past(legacy, &shards, &placement, &confined);
        let remembered = remembered.inspect_err(|_| shards.stop())?;
        let mut lines = Lines::begin(&self.config, zones, &ports.doors.http, &ports.buffers, &ports.absent);
        doubtful.iter().chain(&unlearned).chain(&unread).for_each(|warning| lines.warn(warning.to_string()));
        let xdp_lines = ports.doors.xdp.take_lines();
        lines.serving(&self.config, &shards.net, &placement, ports.descriptors, xdp_lines);
        let newest = shards.published.newest();
        lines.rules(newest.policy(), workers);
        lines.apps(&apps::of(&newest), newest.policy());
        lines.process(&confined, &memory);
        lines.kept(&self.config, &remembered);
        left_over(&ports.doors.unwanted).into_iter().for_each(|note| lines.warn(note));
        lines.say(ports.doors.control.line());
        let web = ports.doors.http.addresses();
        let Doors { bound, http, control, xdp, handles, .. } = ports.doors;
        let watch = Watch {
            http,
            explain: self.explain(),
            places,
            today: Arc::clone(&shards.today),
            remembered,
            names: shards.published.newest().names().clone(),
            taps: ports.taps,
            beacons,
            xdp: xdp.places.clone(),
        };
        let watching = self.doors(watch, control, &mut shards, &placement);
        let mut watching = watching.inspect_err(|_| shards.stop())?;
        let proven = self.prove(&systemd, &placement, &confined);
        let taken = proven.and_then(|()| self.commit(&watching, &bound, xdp, &placement, &mut shards.net));
        // What was read is answered, and what was counted is stored, for a process that continues.
        let Taken { estate, xdp, elder, notes } = taken.inspect_err(|_| {
            shards.stop();
            watching.watched.stop(&self.logging.log);
        })?;
        notes.into_iter().for_each(|note| lines.warn(note));
        lines.try_it(self.config.listen[0], elder.is_none() && self.logging.has_reader());
        let Watching { board, watched, control } = watching;
        board.tailor.store(shards.published.newest().tailor().cloned());
        let course = Course::new(&self.config, MapsCourse::new(&board.maps, stamps, unlearned));
        let succession = Succession::new(self.origin.take_launcher(), handles, elder);
        let resolver = self.resolver(&succession, &confined, &board).unwrap_or_else(|error| {
            lines.warn(format!("the resolver cannot be started: {error}"));
            None
        });
        let node = Node {
            source,
            config: self.config,
            zones,
            net: shards.net,
            workers: shards.workers,
            places: shards.places,
            published: shards.published,
            board,
            watched,
            control,
            systemd,
            log: self.logging.log.clone(),
            course,
            bounds,
            succession,
            xdp,
            resolver,
            web,
        };
        told(node, &lines, &estate.condition, &confined)
    }
}

/// The steps.
impl Start<'_> {
    fn load(&self) -> Result<Found, Vec<Problem>> {
        let loaded = Loaded::read(&self.config, &Names::default())?;
        let mut placement = Placement::with_user(&self.config)?;
        let workers = platform::workers(&self.config, loaded.snapshot.policy())?;
        let apps = apps::of(&loaded.snapshot);
        let shards = placement.places.len();
        let memory = memory::Bound::new(&self.config, shards, workers, &apps, Footprint::now());
        placement.notes.extend(memory.within(Limit::here().as_ref())?);
        placement.notes.extend(self.config.notes());
        Ok(Found { loaded, placement, memory, workers })
    }

    fn ports(&mut self, placement: &Placement, snapshot: &Snapshot) -> Result<Ports, Vec<Problem>> {
        // A signal that comes from here on is not lost.
        self.origin.keep_signals()?;
        let descriptors = sockets::raise_nofile().unwrap_or_default();
        let doors = Doors::open(&self.config, placement, snapshot, self.origin.sockets()?)?;
        let buffers = doors.bound.buffers();
        let absent =
            self.config.listen.iter().copied().filter(|address| !sockets::is_local(*address)).collect();
        let taps = taps::open(&self.config, &self.logging.log).map_err(Problem::alone)?;
        Ok(Ports { doors, taps, buffers, absent, descriptors })
    }

    fn rights(
        &mut self,
        source: &Source,
        ports: &mut Ports,
        upstreams: &[u16],
    ) -> Result<Confined, Vec<Problem>> {
        let control = ports.doors.control.dir();
        let confined = confine::give_up(&self.config, source.file.as_deref(), control, upstreams)
            .map_err(Problem::alone)?;
        // Threads come after that, and are as confined.
        if let Some(signals) = self.origin.take_signals() {
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
        workers: usize,
        places: &Places,
    ) -> Result<Shards, Vec<Problem>> {
        let today = Arc::new(AtomicU64::new(aggregator::day_of(history::unix_time())));
        let published = Published::new(snapshot);
        let hired = Hired::new(&self.config, placement.places.len(), workers);
        let mut hired =
            hired.map_err(|error| Problem::alone(format!("{error}; raise the limit of open files")))?;
        let ledgers = taps::ledgers(&self.config, &today);
        let plan = Plan {
            choice: self.config.datapath,
            busy_poll: self.config.busy_poll,
            cpus: placement.cpus(),
            groups: std::mem::take(&mut ports.doors.bound.groups),
            listeners: std::mem::take(&mut ports.doors.bound.listeners),
            tcp: self.config.tcp.clone(),
            published: Arc::clone(&published),
            ledgers: ledgers.clone(),
            desks: std::mem::take(&mut hired.desks),
            confined: confined.with_wakers(hired.wakers()),
            is_successor: self.origin.is_successor(),
        };
        let mut net = Net::start(plan, &self.events).map_err(|error| Problem::alone(error.to_string()))?;
        let places = Arc::new(ArcSwap::from_pointee(places.clone()));
        let tools = Tools {
            config: &self.config,
            placement,
            net: &mut net,
            published: Arc::clone(&published),
            ledgers,
            places: Arc::clone(&places),
            trace: ports.taps.traces.tracing.clone(),
            log: self.logging.log.clone(),
            confined,
        };
        let workers = hired.start(tools, &self.events).map_err(Problem::alone);
        let workers = workers.inspect_err(|_| net.stop())?;
        Ok(Shards { net, workers, places, published, today })
    }

    /// Opens the gates, once it is known which PoPs are up.
    fn serve(&mut self, shards: &mut Shards) -> Result<Legacy, Vec<Problem>> {
        let (pops, newest) = (&self.config.pops, shards.published.newest());
        let believe = |condition: &Condition| Pops::of(pops, &condition.pops).believe(&newest);
        self.origin.serve(&mut shards.net, believe)
    }

    /// Who asks over HTTP is told what the control socket would be.
    fn explain(&self) -> Explain {
        let orders = self.orders.clone();
        Box::new(move |asked| {
            let (client, answer) = Client::new();
            // A node that takes no orders any more lets the client go.
            let _ = orders.send(Order { wish: Wish::Explain(asked), client });
            answer
        })
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
        shards: &mut Shards,
        placement: &Placement,
    ) -> Result<Watching, Vec<Problem>> {
        let Shards { net, workers, .. } = shards;
        let confined = net.confined.clone();
        self.logging.start(&self.events, &confined).map_err(|error| no_thread("the log", &error))?;
        let watched = Watched::start(watch, &self.config, net, workers, placement, &self.events);
        let (watched, board) = watched.map_err(|error| no_thread("statistics", &error))?;
        let control = Control::start(control, self.orders.clone(), &self.events, &board);
        let control = control.map_err(|error| no_thread("control", &error))?;
        Ok(Watching { board, watched, control })
    }

    /// Tries what is left to do, as far as that can fail.
    fn prove(
        &self,
        systemd: &Systemd,
        placement: &Placement,
        confined: &Confined,
    ) -> Result<(), Vec<Problem>> {
        self.reach_itself(systemd)?;
        if !self.origin.is_successor() {
            return Ok(());
        }
        if let Some(steering) = &placement.steering {
            // A group of its own, of the same size.
            let options = UdpOptions { steering: Some(steering.clone()), ..UdpOptions::default() };
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let tried = sockets::bind_udp_group(any, placement.places.len(), &options);
            tried.map_err(|error| Problem::alone(error.to_string()))?;
        }
        // The filter cannot be taken off again: another thread tries it on.
        let confined = confined.clone();
        let trying = thread::Builder::new().spawn(move || confined.thread(Class::Main));
        let tried = trying.map_err(|error| no_thread("a filter", &error))?.join();
        tried.unwrap_or_else(|_| Err("it panicked".to_owned())).map_err(Problem::alone)
    }

    /// A service manager that is told that the node serves is told the truth: the node asks itself. So is a
    /// process that is about to leave everything to this one, and does not answer meanwhile. On loopback,
    /// where that would be counted as a client's query, only the manager is told.
    fn reach_itself(&self, systemd: &Systemd) -> Result<(), Vec<Problem>> {
        let is_asked = |address: &SocketAddr| {
            let ip = address.ip();
            systemd.is_there() || self.origin.is_successor() && !ip.is_loopback() && !ip.is_unspecified()
        };
        let asked: Vec<SocketAddr> = self.config.listen.iter().copied().filter(is_asked).collect();
        itself::ask(&asked).map_err(Problem::alone)
    }

    /// The resolver is nobody's concern but of those whose queries go to it.
    fn resolver(
        &self,
        succession: &Succession,
        confined: &Confined,
        board: &Arc<Board>,
    ) -> Result<Option<Supervisor>, String> {
        if !self.config.resolver.as_ref().is_some_and(|resolver| resolver.enabled) {
            return Ok(None);
        }
        let launcher = succession.launcher()?;
        let started = Supervisor::start(launcher, confined, &self.events, board);
        started.map(Some).map_err(|error| error.to_string())
    }

    /// The commit point.
    fn commit(
        &self,
        watching: &Watching,
        bound: &Bound,
        mut xdp: Prepared,
        placement: &Placement,
        net: &mut Net,
    ) -> Result<Taken, Vec<Problem>> {
        let Watching { board, control, .. } = watching;
        let events = (&self.events, self.happened);
        let (mut estate, elder) = self.origin.done(control.path(), board, events, self.orders.clone())?;

        // Nothing from here on ends the start: nobody else serves.
        net.count_drops(std::mem::take(&mut estate.drops));
        estate.untold.add_to(board);
        let steered = bound.adopted.steer(placement.steering.as_ref());
        let mut notes: Vec<String> = steered.err().map(|error| error.to_string()).into_iter().collect();
        notes.extend(xdp.take_over(estate.condition.draining));
        let xdp = xdp.start(board, &self.events, &net.confined).unwrap_or_else(|error| {
            notes.push(format!("xdp: off: no thread: {error}; the sockets answer everything"));
            None
        });
        Ok(Taken { estate, xdp, elder, notes })
    }
}

fn told(
    mut node: Node,
    lines: &Lines,
    condition: &Condition,
    confined: &Confined,
) -> Result<Node, Vec<Problem>> {
    node.begin(lines, condition);
    confined.thread(Class::Main).map_err(Problem::alone)?;
    Ok(node)
}
