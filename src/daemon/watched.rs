//! Those who watch: the history, the aggregator, HTTP; and the board that they read.

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use crossbeam_channel::{Sender, unbounded};

use super::placement::Placement;
use super::{beacons, taps};
use crate::board::announcers::Announcers;
use crate::board::host::Host;
use crate::board::observed::Observed;
use crate::board::process::Process;
use crate::board::resolver::Resolver;
use crate::board::{Block, Board, Facts, Life, Named, Reloads, Status};
use crate::config::Config;
use crate::config::announce::served;
use crate::history::aggregator::{Aggregator, Minutes, Told};
use crate::history::fault::Fault;
use crate::history::sources::Sources;
use crate::history::{self, Bases, History, Legacy, Lent, Stored};
use crate::learn::join::Terms;
use crate::limits::{HISTORY_CLOSE_WAIT_MAX, WATCHED_TICK};
use crate::log::Log;
use crate::net::{self, Event, Net};
use crate::nets::places::Places;
use crate::report::export::Exports;
use crate::stats::labels::Names;
use crate::sys::confine::{Class, Confined};
use crate::web::{self, Access, Admission, Explain, Gate, Listeners};
use crate::work::Workers;

/// Where the numbers of this node stand. They continue from `bases`.
fn board(
    config: &Config,
    net: &Net,
    placement: &Placement,
    names: Names,
    bases: Bases,
    history: String,
    taps: &taps::Opened,
) -> Board {
    let blocks = net.counters().iter().map(Arc::clone);
    let cpus = placement.places.iter().map(|place| place.cpu).chain([None]);
    let bases_of_blocks = bases.shards.into_iter().chain([bases.tcp]);
    let xdp = Block {
        cpu: None,
        numa_node: None,
        counters: vec![Arc::default()],
        base: ArcSwap::from_pointee(bases.xdp),
    };
    let blocks = blocks.zip(cpus).zip(bases_of_blocks);
    let mut shards: Vec<Block> = blocks
        .map(|((counters, cpu), base)| Block {
            cpu: cpu.map(|cpu| cpu.number),
            numa_node: cpu.map(|cpu| cpu.node),
            counters: vec![counters],
            base: ArcSwap::from_pointee(base),
        })
        .collect();
    let tcp = shards.pop().expect("the block of TCP is there, and the last");
    let facts = Facts {
        version: env!("CARGO_PKG_VERSION"),
        datapath: net.datapath.to_string(),
        reason: net.reason.clone(),
        xdp: Vec::new(),
        sample_every: config.sample_every.get(),
        started: SystemTime::now(),
        since: Instant::now(),
    };
    Board {
        facts,
        named: ArcSwap::from_pointee(named(config, names)),
        shards,
        tcp,
        xdp,
        workers: Block::of_workers(Vec::new(), bases.workers),
        gauges: Vec::new(),
        resolver: Resolver::default(),
        past: ArcSwap::from_pointee(bases.past),
        history: Status::new(history),
        exports: config.export.statuses(),
        observed: Observed::new(net.counters().len()),
        host: Host::open(),
        process: Process::open(),
        confined: net.confined.clone(),
        life: Life::default(),
        announcers: Announcers::default(),
        pops: ArcSwap::default(),
        tailor: Default::default(),
        reloads: Reloads::new(history::unix_time()),
        maps: Reloads::new(history::unix_time()),
        log: taps.log.clone(),
        query_log: taps.own_log(),
        dnstap: taps.dnstap.clone(),
    }
}

/// What `config` calls things.
pub(super) fn named(config: &Config, counted: Names) -> Named {
    let identity = &config.identity;
    Named {
        node: identity.node.clone(),
        site: identity.facility.as_ref().unwrap_or(&identity.node).clone(),
        location: identity.location.clone(),
        unique_ip: identity.unique_ip.clone(),
        further: identity.extra_txt.clone(),
        prefixes: served(&config.listen),
        counted,
    }
}

/// The history as it was opened.
pub(super) struct Remembered {
    history: History,
    bases: Bases,
    /// For its readers other than the aggregator: HTTP and the exports.
    readers: [Stored; 2],
    /// Where it is.
    place: String,
    /// What to tell the operator of that.
    pub(super) line: String,
    /// Why it is not where it was wanted, or what became of the file that was there.
    lost: Option<Fault>,
}

impl Remembered {
    /// Opens the history in its directory; in memory where that is not given or not available. It continues
    /// from what a process before this one has left.
    pub(super) fn open(
        config: &Config,
        legacy: Legacy,
        names: &Names,
        shards: usize,
        confined: &Confined,
    ) -> Result<Self, String> {
        let dir = config.history.as_deref();
        let confined = confined.clone();
        let confine = move || confined.thread(Class::Aggregator);
        let begun = History::begin(dir, legacy, names, shards, history::unix_time(), confine);
        let (mut history, bases) = begun.map_err(|fault| fault.to_string())?;
        let reader = || history.reader().map_err(|error| error.to_string());
        let readers = [reader()?, reader()?];
        let place = history.shown_place();
        let why = history.trouble().cloned();
        let line = match (dir, &why) {
            (None, _) => "history: in memory, lost at exit (set [history] dir to keep it)".to_owned(),
            (_, Some(_)) => "history: in memory until its directory can be used".to_owned(),
            _ => format!("history: {place}"),
        };
        let lost = why.or_else(|| history.take_news());
        Ok(Self { history, bases, readers, place, line, lost })
    }

    /// What is wrong with the directory, for people.
    pub(super) fn trouble(&self, config: &Config) -> Option<String> {
        let (dir, fault) = (config.history.as_deref()?, self.lost.as_ref()?);
        let retried = if self.history.trouble().is_some() { "; retrying every minute" } else { "" };
        Some(format!("history: {}: {fault}{retried}", dir.display()))
    }
}

/// The threads that watch: that of HTTP, if there is one, the aggregator, and those of what is copied out.
pub(super) struct Watched {
    http: Option<JoinHandle<()>>,
    /// Whether HTTP is served.
    gate: Gate,
    aggregator: Option<JoinHandle<()>>,
    /// It ends after the aggregator.
    exports: Option<JoinHandle<()>>,
    /// Where the aggregator is told things; it ends when this is dropped.
    told: Option<Sender<Told>>,
    taps: Option<taps::Running>,
    beacons: Option<beacons::Running>,
}

/// What the watchers are made from.
pub(super) struct Watch {
    pub(super) http: Listeners,
    /// Who explains answers to those who ask over HTTP.
    pub(super) explain: Explain,
    pub(super) places: Places,
    pub(super) today: Arc<AtomicU64>,
    pub(super) remembered: Remembered,
    pub(super) names: Names,
    pub(super) taps: taps::Opened,
    /// What beacons are judged by, if there are any.
    pub(super) beacons: Option<Terms>,
    /// Where queries are answered in the driver.
    pub(super) xdp: Vec<String>,
}

/// Starts the thread that writes files for other programs, if any are wanted. It is told of minutes.
fn exports(
    config: &Config,
    stored: Stored,
    board: &Arc<Board>,
    events: &Sender<Event>,
    confined: Confined,
) -> io::Result<Option<(Minutes, JoinHandle<()>)>> {
    if config.export.folders().next().is_none() {
        return Ok(None);
    }
    let exports = Exports::open(&config.export, stored, board, history::unix_time());
    let (minutes, told) = Minutes::queue();
    let (board, settings) = (Arc::clone(board), config.export.clone());
    let run = move || {
        confined.thread(Class::Exports)?;
        exports.run(&settings, &board, &told);
        Ok(())
    };
    Ok(Some((minutes, net::spawn("exports".to_owned(), events.clone(), run)?)))
}

impl Watched {
    /// Starts the threads; and the board that they read, and others may read.
    pub(super) fn start(
        watch: Watch,
        config: &Config,
        net: &mut Net,
        workers: &mut Workers,
        placement: &Placement,
        events: &Sender<Event>,
    ) -> io::Result<(Self, Arc<Board>)> {
        let Watch { http, explain, places, today, remembered, names, taps, beacons, xdp } = watch;
        let Remembered { history, mut bases, readers: [stored, for_exports], place, lost, .. } = remembered;
        let uniques = mem::take(&mut bases.uniques);
        let mut board = board(config, net, placement, names, bases, place, &taps);
        board.workers.counters = workers.counters().to_vec();
        board.gauges = workers.gauges();
        board.facts.xdp = xdp;
        board.history.set_waits(history.trouble().is_some());
        lost.iter().for_each(|fault| board.history.failed(fault));
        // Those of workers come last: their times are not those of shards.
        let mut streams = net.take_streams();
        streams.extend(workers.take_streams());
        let around = (events, &net.confined);
        let beacons = beacons::start(config, beacons, &board.log, &mut streams, around)?;
        let beacons = beacons.map(|(running, counters)| {
            // Of what happens beside the serving threads: what it counts is none of theirs.
            board.workers.counters.push(counters);
            running
        });
        let board = Arc::new(board);
        let taps = taps.start(config, &mut streams, events, &net.confined)?;
        let confined = net.confined.clone();
        let (minutes, exports) = exports(config, for_exports, &board, events, confined)?.unzip();
        let sources = Sources::new(places);
        let aggregator = Aggregator::new(streams, today, sources, uniques, history, minutes);
        let access = Access { node_view: config.node_view, allowed_hosts: config.allowed_hosts.clone() };
        let gate = Gate::default();
        let for_clients = gate.clone();
        let for_http = Arc::clone(&board);
        let is_served = http.all().next().is_some();
        let confined = net.confined.clone();
        let access = (access, beacons.as_ref().map(beacons::Running::served));
        let run = move || web::run(http, for_http, stored, explain, access, &for_clients, &confined);
        let http = is_served.then(|| net::spawn("http".to_owned(), events.clone(), run)).transpose()?;
        let (sender, told) = unbounded();
        let for_aggregator = Arc::clone(&board);
        let confined = net.confined.clone();
        let run = move || {
            confined.thread(Class::Aggregator)?;
            aggregator.run(&for_aggregator, &told);
            Ok(())
        };
        let aggregator = net::spawn("aggregator".to_owned(), events.clone(), run)?;
        let (aggregator, told, taps) = (Some(aggregator), Some(sender), Some(taps));
        Ok((Self { http, gate, aggregator, exports, told, taps, beacons }, board))
    }

    /// HTTP is served from now on.
    pub(super) fn open(&self) {
        self.gate.set(Admission::Open);
    }

    /// Stores what was counted, and leaves the history to a successor, which gets it from `to`. Meanwhile
    /// nobody is served over HTTP, whose numbers would be another's.
    pub(super) fn lend(&self, to: Sender<Result<Lent, String>>) {
        self.gate.set(Admission::Closed);
        self.tell(Told::Lend(to));
    }

    /// Continues, where the successor has failed.
    pub(super) fn resume(&self) {
        self.tell(Told::Resume);
        self.gate.set(Admission::Open);
    }

    /// From now on sources are looked up in `places`; beacons are as `config` says, judged by these terms.
    pub(super) fn change(&self, config: &Config, places: Places, terms: Option<Terms>) {
        if let Some(beacons) = &self.beacons {
            beacons.change(config, terms);
        }
        self.tell(Told::Places(places));
    }

    fn tell(&self, told: Told) {
        // An aggregator that is gone has taken the process with it.
        let _ = self.told.as_ref().map(|aggregator| aggregator.send(told));
    }

    /// Reopens the file of the query log, after it was rotated.
    pub(super) fn reopen(&self) {
        if let Some(taps) = &self.taps {
            taps.reopen();
        }
    }

    /// Ends the threads of the taps, once nothing more is copied out.
    pub(super) fn stop_taps(&mut self) {
        if let Some(mut taps) = self.taps.take() {
            taps.stop();
        }
    }

    /// Ends the other threads; everything that was counted is stored, unless a successor has the history.
    /// None of them is waited for longer than it may take: one that hangs ends with the process.
    pub(super) fn stop(&mut self, log: &Log) {
        self.gate.set(Admission::Over);
        self.told = None;
        let began = Instant::now();
        for (what, thread) in [
            ("HTTP", self.http.take()),
            ("the history", self.aggregator.take()),
            ("exports", self.exports.take()),
            ("beacons", self.beacons.take().map(beacons::Running::stop)),
        ] {
            let Some(thread) = thread else { continue };
            while !thread.is_finished() && began.elapsed() < HISTORY_CLOSE_WAIT_MAX {
                thread::park_timeout(WATCHED_TICK);
            }
            if thread.is_finished() {
                // A panic was reported when it happened.
                let _ = thread.join();
            } else {
                log.error(format!("{what}: its thread hangs; this process ends without it"));
            }
        }
    }
}
