//! Those who watch: the history, the aggregator, HTTP; and the board that they read.

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use crossbeam_channel::{Sender, unbounded};

use super::placement::Placement;
use super::taps;
use crate::board::host::Host;
use crate::board::observed::Observed;
use crate::board::{Block, Board, Facts, Life, Named, Reloads, Status};
use crate::config::Config;
use crate::history::aggregator::{Aggregator, Minutes, Told};
use crate::history::sources::{Places, Sources};
use crate::history::{self, Bases, History, Lent, Stored};
use crate::net::{self, Event, Net};
use crate::report::export::Exports;
use crate::stats::labels::Names;
use crate::sys::confine::{Class, Confined};
use crate::web::{self, Door, Opened};

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
        counters: Arc::default(),
        base: ArcSwap::from_pointee(bases.xdp),
    };
    let blocks = blocks.zip(cpus).zip(bases_of_blocks);
    let mut shards: Vec<Block> = blocks
        .map(|((counters, cpu), base)| Block {
            cpu: cpu.map(|cpu| cpu.number),
            numa_node: cpu.map(|cpu| cpu.node),
            counters,
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
        past: ArcSwap::from_pointee(bases.past),
        history: Status::new(history),
        exports: config.export.statuses(),
        observed: Observed::new(net.counters().len()),
        host: Host::open(),
        confined: net.confined.clone(),
        life: Life::default(),
        reloads: Reloads::new(history::unix_time()),
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
    /// Why it is not where it was wanted.
    pub(super) lost: Option<String>,
}

impl Remembered {
    /// Opens the history in its directory; in memory where that is not given or not available. There it
    /// continues from `image`, which a process before this one has left.
    pub(super) fn open(
        config: &Config,
        image: Option<&[u8]>,
        names: &Names,
        shards: usize,
    ) -> Result<Self, String> {
        let now = history::unix_time();
        let with_readers = |(history, bases): (History, Bases)| {
            let reader = || history.reader().map_err(|error| error.to_string());
            let readers = [reader()?, reader()?];
            Ok::<_, String>((history, bases, readers))
        };
        let open = |dir| History::open(dir, names, shards, now).and_then(with_readers);
        let (line, lost) = match config.history.as_deref().map(|dir| (dir, open(dir))) {
            Some((dir, Ok((history, bases, readers)))) => {
                let place = dir.join(history::FILE).display().to_string();
                let line = format!("history: {place}");
                return Ok(Self { history, bases, readers, place, line, lost: None });
            }
            Some((dir, Err(error))) => {
                let lost = format!(
                    "{} cannot be used for the history: {error}; totals start at 0; give a directory that \
                     this node can write to with [history] dir",
                    dir.display()
                );
                ("history: in memory, lost at exit", Some(lost))
            }
            None => ("history: in memory, lost at exit (set [history] dir to keep it)", None),
        };
        // An image that this program does not know is as good as none.
        let from_image = image.and_then(|image| History::in_memory_from(image, names, shards, now).ok());
        let in_memory = from_image.map_or_else(|| History::in_memory(names, shards, now), Ok);
        let (history, bases, readers) = in_memory.and_then(with_readers)?;
        let place = "in memory".to_owned();
        Ok(Self { history, bases, readers, place, line: line.to_owned(), lost })
    }
}

/// The threads that watch: that of HTTP, if there is one, the aggregator, and those of what is copied out.
pub(super) struct Watched {
    http: Option<JoinHandle<()>>,
    door: Arc<Door>,
    aggregator: Option<JoinHandle<()>>,
    /// It ends after the aggregator.
    exports: Option<JoinHandle<()>>,
    /// Where the aggregator is told things; it ends when this is dropped.
    told: Option<Sender<Told>>,
    taps: Option<taps::Running>,
}

/// What the watchers are made from.
pub(super) struct Watch {
    pub(super) http: Opened,
    pub(super) places: Places,
    pub(super) today: Arc<AtomicU64>,
    pub(super) remembered: Remembered,
    pub(super) names: Names,
    pub(super) taps: taps::Opened,
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
    let board = Arc::clone(board);
    let run = move || {
        confined.thread(Class::Exports)?;
        exports.run(&board, &told);
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
        placement: &Placement,
        events: &Sender<Event>,
    ) -> io::Result<(Self, Arc<Board>)> {
        let Watch { http, places, today, remembered, names, taps, xdp } = watch;
        let Remembered { history, mut bases, readers: [stored, for_exports], place, .. } = remembered;
        let uniques = mem::take(&mut bases.uniques);
        let mut board = board(config, net, placement, names, bases, place, &taps);
        board.facts.xdp = xdp;
        let board = Arc::new(board);
        let mut streams = net.take_streams();
        let taps = taps.start(config, &mut streams, events, &net.confined)?;
        let confined = net.confined.clone();
        let (minutes, exports) = exports(config, for_exports, &board, events, confined)?.unzip();
        let sources = Sources::new(places);
        let aggregator = Aggregator::new(streams, today, sources, uniques, history, minutes);
        let node_view = config.node_view;
        let door = Arc::<Door>::default();
        let (for_door, for_http) = (Arc::clone(&door), Arc::clone(&board));
        let http = match http {
            Opened::At(listener) => {
                let confined = net.confined.clone();
                let run = move || web::run(listener, for_http, stored, node_view, &for_door, &confined);
                Some(net::spawn("http".to_owned(), events.clone(), run)?)
            }
            Opened::Busy(_) | Opened::Off => None,
        };
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
        Ok((Self { http, door, aggregator, exports, told, taps }, board))
    }

    /// HTTP is served from now on.
    pub(super) fn open(&self) {
        self.door.open();
    }

    /// Stores what was counted, and leaves the history to a successor, which gets it from `to`. Meanwhile
    /// nobody is served over HTTP, whose numbers would be another's.
    pub(super) fn lend(&self, to: Sender<Result<Lent, String>>) {
        self.door.close();
        self.tell(Told::Lend(to));
    }

    /// Goes on, where the successor has failed.
    pub(super) fn resume(&self) {
        self.tell(Told::Resume);
        self.door.open();
    }

    /// From now on sources are looked up in `places`.
    pub(super) fn change_places(&self, places: Places) {
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
    pub(super) fn stop(&mut self) {
        self.door.stop();
        self.told = None;
        let threads = [self.http.take(), self.aggregator.take(), self.exports.take()];
        for thread in threads.into_iter().flatten() {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}
