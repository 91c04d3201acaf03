//! A node while it runs: it waits for orders, carries them out one after the other, and ends.

use std::iter;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, after, never, select};
use serde_json::{Value, json};

use super::handover::{Condition, Successor};
use super::origin::died;
use super::platform::{Bounds, habits};
use super::reload::{self, Extent, MapsCourse, Read, Reader, Reloaded, Reloading, Source};
use super::resolver::Supervisor;
use super::said::Lines;
use super::succession::{Step, Succession};
use super::systemd::Systemd;
use super::watched::{Watched, named};
use super::xdp::Xdp;
use super::{apps, confine};
use crate::board::{Board, State};
use crate::config::Config;
use crate::config::loaded::Loaded;
use crate::control::Control;
use crate::control::orders::{Client, Order, Wish, problems_as_json};
use crate::history::{Lent, unix_time};
use crate::limits::{
    DRAIN_TIMES_MAX, DRAINED_BELOW, KEEP_AFTER, LIFE_TICK, ORDERS_WAITING_MAX, PUBLISH_WAIT_MAX, RELOAD_MAX,
};
use crate::log::Log;
use crate::net::{Event, Net};
use crate::nets::places::Places;
use crate::problem::Problem;
use crate::report::statistics;
use crate::serve::published::Published;
use crate::stats::counters::{QUERIES, XDP_LOST, XDP_PASSED};
use crate::sys;
use crate::web::Addresses;
use crate::work::Workers;

/// A node that serves, and all that belongs to it.
pub(super) struct Node {
    pub(super) source: Source,
    pub(super) config: Config,
    pub(super) zones: usize,
    pub(super) net: Net,
    pub(super) workers: Workers,
    /// Where workers look clients up.
    pub(super) places: Arc<ArcSwap<Places>>,
    pub(super) published: Arc<Published>,
    pub(super) board: Arc<Board>,
    pub(super) watched: Watched,
    pub(super) control: Control,
    pub(super) systemd: Systemd,
    pub(super) log: Log,
    pub(super) course: Course,
    /// What workers it has, and what they may do.
    pub(super) bounds: Bounds,
    pub(super) succession: Succession,
    pub(super) xdp: Option<Xdp>,
    /// Who sees to the resolver, if this node runs one.
    pub(super) resolver: Option<Supervisor>,
    /// Where HTTP is served.
    pub(super) web: Addresses,
}

/// Why a node ends.
pub(super) enum End {
    /// It was told to.
    Ordered,
    /// Another process serves in its place, and continues from what it was lent.
    Succeeded(Successor, Lent),
}

/// What has become of a node since it began.
#[derive(Debug)]
pub(super) struct Course {
    /// Why the configuration in effect is an old one, and since when.
    stale: Option<(u64, Vec<Problem>)>,
    /// Settings of the configuration that are not in effect.
    need_restart: Vec<&'static str>,
    pub(super) maps: MapsCourse,
    pace: Pace,
    draining: Option<Draining>,
    /// When the manager is given the sockets.
    keep_at: Option<Instant>,
    pub(super) reloading: Option<Reloading>,
    /// A thread explains something.
    pub(super) is_explaining: Arc<AtomicBool>,
    pub(super) reader: Reader,
    /// What the node is called in what is written for other programs.
    written_as: String,
}

impl Course {
    pub(super) fn new(config: &Config, maps: MapsCourse) -> Self {
        let pace = Pace { looked: maps.looked, queries: 0, rate: 0.0 };
        Self {
            stale: None,
            need_restart: Vec::new(),
            maps,
            pace,
            draining: None,
            keep_at: None,
            reloading: None,
            is_explaining: Arc::default(),
            reader: Reader::default(),
            written_as: config.identity.node.clone(),
        }
    }
}

/// How many queries a second there are.
#[derive(Debug)]
struct Pace {
    looked: Instant,
    queries: u64,
    rate: f64,
}

impl Pace {
    /// Looks again; over the time since the last look, which is a second at least.
    fn look(&mut self, queries: u64, now: Instant) {
        let passed = now.duration_since(self.looked);
        if passed >= Duration::from_secs(1) {
            self.rate = (queries - self.queries) as f64 / passed.as_secs_f64();
            (self.looked, self.queries) = (now, queries);
        }
    }
}

/// A drain in progress.
#[derive(Debug)]
struct Draining {
    began: Instant,
    /// Queries a second when it began.
    rate: f64,
    /// Who waits until it is over.
    clients: Vec<Client>,
    is_over: bool,
    /// Whether the node ends with it.
    ends: bool,
}

impl Draining {
    /// Whether no more queries arrive, or it has lasted long enough.
    fn is_done(&self, time: Duration, rate: f64, now: Instant) -> bool {
        let lasted = now.duration_since(self.began);
        let has_fallen = rate <= (self.rate * DRAINED_BELOW).max(1.0);
        lasted >= time && (has_fallen || lasted >= time * DRAIN_TIMES_MAX)
    }
}

/// Orders one after the other, those that ask for the same merged into one; but each stop counts.
fn merged(orders: impl Iterator<Item = Order>) -> Vec<(Wish, Vec<Client>)> {
    let mut wishes: Vec<(Wish, Vec<Client>)> = Vec::new();
    for Order { wish, client } in orders {
        match wishes.last_mut() {
            Some((same, clients)) if *same == wish && wish != Wish::Stop => clients.push(client),
            _ => wishes.push((wish, vec![client])),
        }
    }
    wishes
}

impl Node {
    /// Carries out what is ordered until the order is to end.
    ///
    /// # Errors
    /// Which thread has ended by itself.
    pub(super) fn live(
        &mut self,
        orders: &Receiver<Order>,
        events: &Receiver<Event>,
    ) -> Result<End, Vec<Problem>> {
        loop {
            select! {
                recv(self.succession.steps()) -> step => {
                    let step = step.unwrap_or_else(|_| Step::Failed(Problem::alone("its thread has ended")));
                    if let Some((successor, lent)) = self.upgrade_on(step) {
                        return Ok(End::Succeeded(successor, lent));
                    }
                }
                recv(events) -> event => {
                    if let Ok(event) = event {
                        return Err(died(event));
                    }
                }
                recv(orders) -> order => {
                    let Ok(order) = order else {
                        // The threads that take them have died; that is told too, and this may come first.
                        let ended = "the signal and control threads have ended; please report this";
                        return Err(Problem::alone(ended));
                    };
                    let waiting = orders.try_iter().take(ORDERS_WAITING_MAX);
                    let wishes = merged(iter::once(order).chain(waiting));
                    wishes.into_iter().for_each(|(wish, clients)| self.carry_out(&wish, clients));
                }
                recv(self.reloaded()) -> outcome => {
                    let died = || Err(Problem::alone("its thread has ended; please report this"));
                    self.end_reload(outcome.unwrap_or_else(|_| died()));
                }
                recv(after(LIFE_TICK)) -> _ => {}
            }
            let now = Instant::now();
            if self.course.reloading.as_ref().is_some_and(|reloading| reloading.is_overdue(now)) {
                let error =
                    format!("it was not read within {} s: a file does not respond", RELOAD_MAX.as_secs());
                self.end_reload(Err(Problem::alone(error)));
            }
            self.board.life.set_can_upgrade(self.succession.obstacle().is_none());
            self.course.pace.look(self.board.queries(), now);
            self.systemd.tick(&self.board, self.course.pace.rate, now);
            self.keep_sockets(now);
            self.look_at_maps(now);
            self.published.settle();
            // An upgrade that is called off by the end comes to its own end first.
            if self.has_drained(now) && !self.succession.is_under_way() {
                return Ok(End::Ordered);
            }
        }
    }

    fn carry_out(&mut self, wish: &Wish, clients: Vec<Client>) {
        match wish {
            Wish::Status => clients.into_iter().for_each(|client| client.done(self.status())),
            Wish::Reload => self.reload(Extent::Everything, clients),
            Wish::ReloadMaps => self.reload(Extent::Maps, clients),
            Wish::Drain => self.drain(clients, false),
            Wish::Stop => self.drain(clients, true),
            Wish::Undrain => self.undrain(clients),
            Wish::Statistics => statistics::tell(&self.board, &self.log),
            Wish::Verbosity(level) => {
                self.log.set_level(*level);
                clients.into_iter().for_each(|client| client.done(json!({ "level": level.name() })));
            }
            Wish::Upgrade => self.upgrade(clients),
            Wish::Rules => clients.into_iter().for_each(|client| client.done(self.rules())),
            Wish::Apps => clients.into_iter().for_each(|client| client.done(self.apps())),
            Wish::Why(asked) => self.why(asked, clients),
            Wish::Cache(asked) => self.cache(asked, clients),
            Wish::Explain(asked) => self.explain(asked, clients),
            Wish::Pops => clients.into_iter().for_each(|client| client.done(self.tell_pops())),
            Wish::Pop(order) => self.order_pop(order, clients),
            Wish::Seen(report) => self.pops_seen(report),
        }
    }

    /// Says what is there, to people and to the service manager.
    pub(super) fn begin(&mut self, lines: &Lines, condition: &Condition) {
        lines.log(&self.log);
        self.begin_pops(&condition.pops);
        if condition.draining {
            self.drain(Vec::new(), false);
        }
        if let Some(xdp) = &self.xdp {
            xdp.change(self.board.life.state());
        }
        self.watched.open();
        self.control.begin();
        self.systemd.ready();
        // The manager listens to its main process, which a successor becomes in a moment.
        let wait = if self.succession.elder.is_some() { KEEP_AFTER } else { Duration::ZERO };
        self.course.keep_at = Some(Instant::now() + wait);
        self.board.life.set_can_upgrade(self.succession.obstacle().is_none());
        self.keep_sockets(Instant::now());
        sys::forget_code();
    }

    /// Leaves the sockets with the manager, once it is time for that.
    fn keep_sockets(&mut self, now: Instant) {
        if self.course.keep_at.is_some_and(|at| now >= at) {
            self.course.keep_at = None;
            self.systemd.keep(&self.succession.handles.sockets);
        }
    }

    pub(super) fn say(&self, line: &str) {
        self.log.info(line);
    }

    fn change(&mut self, state: State) {
        self.board.life.change(state);
        if let Some(xdp) = &self.xdp {
            xdp.change(state);
        }
        self.control.tell(state);
    }

    //------------ Reload ---

    pub(super) fn reload(&mut self, extent: Extent, clients: Vec<Client>) {
        if extent == Extent::Everything {
            self.systemd.reloading();
            // Whoever has moved the files of the logs asks for this too.
            self.log.reopen();
            self.watched.reopen();
        }
        if self.succession.is_under_way() {
            let error = "an upgrade is in progress, and the new process reads the configuration anyway; \
                         reload again once it serves";
            // Who sent a signal cannot be told so.
            self.succession.owes_reload |= clients.iter().any(Client::is_signal);
            self.log.warning("reload: an upgrade is in progress; deferred until it is done");
            clients.into_iter().for_each(|client| client.failed(error, &[]));
            return self.systemd.ready();
        }
        if let Some(reloading) = &mut self.course.reloading {
            let (most, waiting) = reloading.again.get_or_insert((extent, Vec::new()));
            *most = extent.max(*most);
            waiting.extend(clients);
            return;
        }
        if extent == Extent::Maps {
            return self.begin_maps(clients, None);
        }
        let counted = self.board.named.load().counted.clone();
        let (source, running) = (self.source.clone(), self.config.clone());
        let (written_as, bounds) = (self.course.written_as.clone(), self.bounds.clone());
        let read = move || Reloaded::read(&source, &running, &bounds, &counted, &written_as);
        let read = move || read().map(Box::new).map(Read::Everything);
        match self.course.reader.begin(extent, clients, Instant::now(), read) {
            Ok(reloading) => self.course.reloading = Some(reloading),
            Err((clients, error)) => {
                self.reload_failed(clients, Problem::alone(error));
                self.systemd.ready();
            }
        }
    }

    /// Where the outcome of a reload in progress arrives.
    fn reloaded(&self) -> Receiver<reload::Outcome> {
        self.course.reloading.as_ref().map_or_else(never, Reloading::outcome)
    }

    /// Ends a reload, and begins what has waited for that.
    fn end_reload(&mut self, outcome: reload::Outcome) {
        let Some(Reloading { extent, clients, again, upgrade, .. }) = self.course.reloading.take() else {
            return;
        };
        match (outcome, extent) {
            (Ok(Read::Everything(reloaded)), _) => self.take_over(*reloaded, clients),
            (Ok(Read::Maps(read)), _) => self.take_over_maps(read, clients),
            (Err(problems), Extent::Everything) => self.reload_failed(clients, problems),
            (Err(problems), Extent::Maps) => self.maps_failed(clients, problems),
        }
        sys::forget_code();
        match again {
            Some((extent, clients)) => {
                self.reload(extent, clients);
                if let Some(reloading) = &mut self.course.reloading {
                    reloading.upgrade = upgrade;
                    return;
                }
            }
            None if extent == Extent::Everything => self.systemd.ready(),
            None => {}
        }
        if let Some(clients) = upgrade {
            self.upgrade(clients);
        }
    }

    fn reload_failed(&mut self, clients: Vec<Client>, problems: Vec<Problem>) {
        self.board.reloads.failed();
        let error = "the new configuration has errors; the old one stays in effect";
        self.log.error(format!("reload: {error}"));
        problems.iter().for_each(|problem| self.log.error(format!("reload: {problem}")));
        clients.into_iter().for_each(|client| client.failed(error, &problems));
        let since = self.course.stale.as_ref().map_or_else(unix_time, |(since, _)| *since);
        self.course.stale = Some((since, problems));
    }

    fn take_over(&mut self, reloaded: Reloaded, clients: Vec<Client>) {
        let Reloaded { config, loaded, need_restart } = reloaded;
        let Loaded { zones, snapshot, places, beacons, stamps, .. } = loaded;
        let (zones, doubtful) = zones.counted();
        // What is counted has its name before it counts.
        self.board.named.store(Arc::new(named(&config, snapshot.names().clone())));
        self.places.store(Arc::new(places.clone()));
        self.watched.change(&config, places, beacons);
        if let Some(xdp) = &self.xdp {
            xdp.withhold(&snapshot);
        }
        self.workers.change(habits(&config, self.bounds.workers));
        self.reload_pops(&config.pops, &snapshot);
        let is_everywhere = self.published.publish(snapshot, PUBLISH_WAIT_MAX);
        if let Some(xdp) = &self.xdp {
            xdp.publish(&self.published.newest());
        }
        self.board.reloads.succeeded(unix_time());
        self.maps_changed(stamps);
        // What somebody has set since the last one stays, unless the file says something else now.
        if config.log.level != self.config.log.level {
            self.log.set_level(config.log.level);
        }
        (self.config, self.zones, self.course.stale) = (config, zones, None);
        self.course.need_restart = need_restart;
        self.say(&format!("reload: serving {zones} zones"));
        doubtful.iter().for_each(|warning| self.log.warning(format!("reload: {warning}")));
        self.config.notes().into_iter().for_each(|note| self.log.warning(format!("reload: {note}")));
        for name in self.course.need_restart.clone() {
            self.log.warning(format!("reload: {name} has changed; restart or upgrade to apply it"));
        }
        let done = json!({ "zones": zones, "need_restart": self.course.need_restart });
        for client in clients {
            if is_everywhere {
                client.done(done.clone());
            } else {
                client.failed("a serving thread is stuck and still uses the old configuration", &[]);
            }
        }
    }

    //------------ Drain ---

    fn drain(&mut self, clients: Vec<Client>, ends: bool) {
        let now = Instant::now();
        let rate = self.course.pace.rate;
        let is_second = ends && self.course.draining.as_ref().is_some_and(|draining| draining.ends);
        let draining = self.course.draining.get_or_insert_with(|| Draining {
            began: now,
            rate,
            clients: Vec::new(),
            is_over: false,
            ends: false,
        });
        draining.ends |= ends;
        draining.clients.extend(clients);
        // The second time there is no patience left.
        draining.is_over |= is_second;
        if self.board.life.state() == State::Serving {
            self.change(State::Draining);
            if !self.config.drain_time.is_zero() {
                self.say("draining: queries that still arrive are answered");
            }
        }
        if ends {
            self.succession.call_off();
            self.systemd.stopping();
        }
    }

    pub(super) const fn is_draining(&self) -> bool {
        self.course.draining.is_some()
    }

    pub(super) fn is_ending(&self) -> bool {
        self.course.draining.as_ref().is_some_and(|draining| draining.ends)
    }

    /// Answers those who wait for the end of a drain that a successor continues, or of this node.
    pub(super) fn let_drainers_go(&mut self) {
        let waiting = self.course.draining.take().map(|draining| draining.clients).unwrap_or_default();
        waiting
            .into_iter()
            .for_each(|client| client.failed("another process has taken over; ask again", &[]));
    }

    fn undrain(&mut self, clients: Vec<Client>) {
        match self.course.draining.take() {
            Some(draining) if draining.ends => {
                self.course.draining = Some(draining);
                clients.into_iter().for_each(|client| client.failed("the node is already stopping", &[]));
            }
            draining => {
                let waiting = draining.map(|draining| draining.clients).unwrap_or_default();
                waiting.into_iter().for_each(|client| client.failed("the drain was cancelled", &[]));
                if self.board.life.state() == State::Draining {
                    self.change(State::Serving);
                    self.say("serving again");
                }
                clients.into_iter().for_each(|client| client.done(json!({})));
            }
        }
    }

    /// Ends a drain whose time has come. Whether the node ends with it.
    fn has_drained(&mut self, now: Instant) -> bool {
        let Some(draining) = &mut self.course.draining else { return false };
        let time = self.config.drain_time;
        draining.is_over |= draining.is_done(time, self.course.pace.rate, now);
        if draining.is_over && !draining.ends {
            draining.clients.drain(..).for_each(|client| client.done(json!({})));
        }
        draining.is_over && draining.ends
    }

    /// Ends: what has come in is answered, then the sockets close.
    pub(super) fn stop(mut self) {
        self.change(State::Stopping);
        // The sockets close when their threads have answered.
        self.succession.handles = Arc::default();
        // What was handed over is answered while those are there who pass it on.
        self.workers.stop();
        self.net.stop();
        self.watched.stop_taps();
        drop(self.resolver.take());
        if let Some(xdp) = self.xdp.take() {
            xdp.stop();
        }
        self.watched.stop(&self.log);
        let queries = self.board.queries();
        let refused = confine::refusals(&sys::confine::refused());
        refused.into_iter().for_each(|line| self.log.warning(line));
        self.log.info(format!("stopped after {queries} {}", if queries == 1 { "query" } else { "queries" }));
        let clients = self.course.draining.map(|draining| draining.clients).unwrap_or_default();
        clients.into_iter().for_each(|client| client.done(json!({ "queries": queries })));
        self.control.stop();
    }

    //------------ Telling ---

    fn status(&self) -> Value {
        let facts = &self.board.facts;
        let xdp = self.board.xdp.read_own();
        let named = self.board.named.load();
        let started = facts.started.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let stale = self
            .course
            .stale
            .as_ref()
            .map(|(since, problems)| json!({ "since": since, "problems": problems_as_json(problems) }));
        json!({
            "version": facts.version,
            "pid": std::process::id(),
            "node": named.node,
            "site": named.site,
            "state": self.board.life.state().name(),
            "started": started.as_secs(),
            "datapath": facts.datapath,
            "datapath_reason": facts.reason,
            "xdp": facts.xdp,
            "xdp_answered": xdp.sum(QUERIES),
            "xdp_passed": xdp.sum(XDP_PASSED),
            "xdp_lost": xdp.sum(XDP_LOST),
            "shards": self.board.shards.len(),
            "workers": self.bounds.workers,
            "rules": self.published.newest().policy().rules().len(),
            "apps": apps::of(&self.published.newest()).apps.len(),
            "listen": self.config.listen,
            "http": self.web.operator,
            "http_public": self.web.public,
            "zones": self.zones,
            "queries": self.board.queries(),
            "queries_per_second": self.course.pace.rate,
            "probes": self.board.probes(),
            "configuration": {
                "file": self.source.file,
                "loaded_at": self.board.reloads.loaded_at(),
                "stale": stale,
                "need_restart": self.course.need_restart,
            },
            "limiting": self.config.limiting(),
            "maps": self.maps(),
            "history": *self.board.history.place(),
            // Why there can be no upgrade, if there cannot.
            "upgrade_obstacle": self.succession.obstacle(),
            "announcers": self.board.announcers.read(),
            "log_level": self.log.level().name(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When so much of its time has passed, and so many queries a second are left of 1000: is a drain over?
    fn is_done(percent: u32, rate: f64) -> bool {
        let (began, time) = (Instant::now(), Duration::from_secs(10));
        let draining = Draining { began, rate: 1000.0, clients: Vec::new(), is_over: false, ends: false };
        draining.is_done(time, rate, began + time * percent / 100)
    }

    #[test]
    fn a_drain_waits_for_its_time_then_for_silence_and_for_that_not_for_ever() {
        assert!(!is_done(99, 0.0) && is_done(100, 0.0));
        assert!(is_done(100, 10.0) && !is_done(100, 10.1), "one in a hundred may be left");
        let most = DRAIN_TIMES_MAX * 100;
        assert!(!is_done(most - 1, 1000.0) && is_done(most, 1000.0));
    }

    #[test]
    fn the_same_orders_are_merged_but_the_second_stop_is_one_of_its_own() {
        let orders = |wishes: &[Wish]| {
            let order = |wish: &Wish| Order { wish: wish.clone(), client: Client::default() };
            let merged = merged(wishes.iter().map(order)).into_iter();
            merged.map(|(wish, clients)| (wish, clients.len())).collect::<Vec<_>>()
        };
        use Wish::{Drain, Reload, Stop};
        assert_eq!(orders(&[Reload, Reload, Drain, Reload]), [(Reload, 2), (Drain, 1), (Reload, 1)]);
        assert_eq!(orders(&[Stop, Stop, Stop]), [(Stop, 1), (Stop, 1), (Stop, 1)]);
    }
}
