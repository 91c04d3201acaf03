//! The life of `as112d announce`: probes come in, the router is told.
//!
//! Each address has a thread that probes it; others follow the daemon and wait for signals. All send what
//! they see to this one, which alone knows the state and speaks with the router.
//!
//! What an earlier run has announced is announced still when the next one starts: it stays, if the first
//! probes are good. So this program can be updated and restarted, and no neighbour notices.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use ipnet::IpNet;

use super::report::{Report, Route};
use super::router::{Router, Teller};
use super::settings::Settings;
use super::state::{News, State};
use super::threads::{Event, Probers, follow_daemon, watch_signals, watch_stdin};
use super::watch::Daemon;
use crate::limits::{
    ANNOUNCE_EVENTS_MAX, ANNOUNCE_WITHDRAW_MAX, REPORT_EVERY, REPORT_REASON_LEN_MAX, ROUTER_RETRY_EVERY,
};
use crate::log::Log;

/// Where an announcer runs.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The daemon that it follows.
    pub daemon: Daemon,
    /// The file for what is announced, where the router has none.
    pub memory: Option<PathBuf>,
    /// Whether it was started from a terminal.
    pub has_terminal: bool,
    /// Where what it does is told.
    pub log: Log,
}

/// Announces until a signal, and then withdraws everything, unless another process is to follow. `again`
/// reads the settings again.
///
/// # Errors
/// If it cannot start, or cannot withdraw at the end.
pub fn announce(
    settings: Settings,
    around: Surroundings,
    again: impl Fn() -> Result<Settings, String>,
) -> Result<(), String> {
    let Surroundings { daemon, memory, has_terminal, log } = around;
    let (sender, events) = bounded(ANNOUNCE_EVENTS_MAX);
    let cannot = |error: io::Error| format!("cannot start: {error}");
    watch_signals(has_terminal, &sender).map_err(cannot)?;
    if settings.router == Router::Exabgp {
        watch_stdin(&sender).map_err(cannot)?;
    }
    let (reports, to_tell) = bounded(1);
    let every = settings.interval.min(ROUTER_RETRY_EVERY);
    let mut announcer = Announcer::new(settings, memory, reports, log);
    announcer.adopt();
    announcer.settle();
    let mut probers = announcer.probe(0, &sender).map_err(cannot)?;
    follow_daemon(daemon, every, to_tell, sender.clone()).map_err(cannot)?;
    loop {
        match announcer.turn(&events, &probers) {
            End::Left => return Ok(()),
            End::Stopped => return announcer.withdraw_for_good(&events),
            End::Reload => match again() {
                Ok(settings) if announcer.is_changed(&settings) => {
                    let round = probers.round + 1;
                    announcer.change(settings);
                    probers = announcer.probe(round, &sender).map_err(cannot)?;
                }
                Ok(_) => announcer.log.info("reload: nothing has changed"),
                Err(why) => announcer.log.error(format!("reload: {why}; the old settings stay in effect")),
            },
        }
    }
}

/// Withdraws everything, once: for what cleans up after an `announce` that was killed.
///
/// # Errors
/// If the router does not take it.
pub fn withdraw(settings: Settings, memory: Option<PathBuf>) -> Result<(), String> {
    Announcer::new(settings, memory, bounded(1).0, Log::silent()).withdraw()
}

/// How a round of an announcer ends.
enum End {
    Stopped,
    Left,
    Reload,
}

//------------ Announcer ---

struct Announcer {
    settings: Settings,
    state: State,
    teller: Teller,
    /// What was last to be announced, by route.
    wanted: Vec<bool>,
    /// Why the last probe of each address failed, by route.
    failures: Vec<Vec<Option<String>>>,
    /// When a router that did not take a change is told again, and why it did not.
    retry: Option<(Instant, String)>,
    /// The last report and its time, and where they go.
    reported: Option<(Instant, Report)>,
    reports: Sender<String>,
    log: Log,
}

impl Announcer {
    fn new(settings: Settings, memory: Option<PathBuf>, reports: Sender<String>, log: Log) -> Self {
        let routes = &settings.routes;
        Self {
            state: State::new(settings.damping, routes.iter().map(|(_, addresses)| addresses.len())),
            teller: Teller::new(settings.router.clone(), nets(routes), memory),
            wanted: vec![false; routes.len()],
            failures: no_failures(routes),
            retry: None,
            reported: None,
            reports,
            log,
            settings,
        }
    }

    /// Takes what an earlier run has announced for announced.
    fn adopt(&mut self) {
        let now = Instant::now();
        for (route, is_announced) in self.teller.found().into_iter().enumerate() {
            if is_announced {
                self.log.info(format!("{} is announced already", self.settings.routes[route].0));
                self.state.adopt(route, now);
                self.wanted[route] = true;
            }
        }
    }

    fn probe(&self, round: usize, events: &Sender<Event>) -> io::Result<Probers> {
        let routes = &self.settings.routes;
        let addresses: usize = routes.iter().map(|(_, addresses)| addresses.len()).sum();
        self.log.info(format!("probing {addresses} addresses of {} prefixes", routes.len()));
        Probers::start(&self.settings, round, events)
    }

    /// Continues until something ends it.
    fn turn(&mut self, events: &Receiver<Event>, probers: &Probers) -> End {
        loop {
            match events.recv_timeout(ROUTER_RETRY_EVERY) {
                Ok(Event::Probed { round, route, address, result }) if round == probers.round => {
                    self.probed(route, address, result);
                }
                // Of probers that have other addresses.
                Ok(Event::Probed { .. }) => {}
                Ok(Event::Told(news)) => {
                    self.state.told(news);
                    self.log.info(match news {
                        News::Serving => "the daemon is serving",
                        News::Leaving => "the daemon is draining or stopping",
                        News::Gone => "the daemon is gone",
                    });
                    if news == News::Gone {
                        probers.probe_now();
                    }
                }
                Ok(Event::Stop(why)) => {
                    self.log.info(format!("{why}: withdrawing everything"));
                    return End::Stopped;
                }
                Ok(Event::Leave) => {
                    self.log.info("leaving what is announced to the next process");
                    return End::Left;
                }
                Ok(Event::Reload) => return End::Reload,
                // Somebody may wait for it that a router is told again, or for the end of a hold-down.
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return End::Stopped,
            }
            self.settle();
        }
    }

    fn probed(&mut self, route: usize, address: usize, result: Result<(), String>) {
        self.state.probed(route, address, result.is_ok());
        let (net, addresses) = &self.settings.routes[route];
        // Told once, where it makes a difference: an address that stays down is nothing new.
        if let Err(reason) = &result
            && self.wanted[route]
        {
            self.log.warning(format!("{net}: probe of {} failed: {reason}", addresses[address]));
        }
        self.failures[route][address] = result.err();
    }

    /// Tells the router what is new.
    fn settle(&mut self) {
        let now = Instant::now();
        let before = std::mem::replace(&mut self.wanted, self.state.settle(now));
        let is_new = self.wanted != before;
        for (route, (net, _)) in self.settings.routes.iter().enumerate() {
            let held = self.state.held_for(route, now);
            let held =
                held.map_or_else(String::new, |held| format!("; held down for {:.1} s", held.as_secs_f64()));
            match (before[route], self.wanted[route]) {
                (false, true) => self.log.each(format!("announcing {net}"), vec![]),
                (true, false) => self.log.each(format!("withdrawing {net}{held}"), vec![]),
                _ => {}
            }
        }
        let is_due = is_new || self.retry.as_ref().is_none_or(|(at, _)| now >= *at);
        // A router is not told to announce what nobody has probed.
        if self.state.is_judged() && is_due && !self.teller.has_told(&self.wanted) {
            self.tell(is_new);
        }
        self.report(now);
    }

    fn tell(&mut self, is_new: bool) {
        let result = self.teller.tell(&self.wanted);
        if let Err(reason) = &result
            && (is_new || self.retry.is_none())
        {
            self.log.error(format!("{reason}; retrying every second"));
        } else if result.is_ok() && self.retry.is_some() {
            self.log.info("the router accepts changes again");
        }
        self.retry = result.err().map(|reason| (Instant::now() + ROUTER_RETRY_EVERY, reason));
    }

    /// Tells the daemon how things stand, if that is new or was told long ago.
    fn report(&mut self, now: Instant) {
        let short = |reason: &String| reason.chars().take(REPORT_REASON_LEN_MAX).collect::<String>();
        let routes = self.settings.routes.iter().enumerate().map(|(route, (prefix, addresses))| {
            let failures = addresses.iter().zip(&self.failures[route]);
            let failing =
                failures.filter_map(|(at, why)| Some(format!("{}: {}", at.ip(), short(why.as_ref()?))));
            Route {
                prefix: *prefix,
                announced: self.wanted[route],
                held_seconds: self.state.held_for(route, now).map(|held| held.as_secs()),
                failing: failing.collect(),
            }
        });
        let report = Report {
            router: self.settings.router.to_string(),
            refused: self.retry.as_ref().map(|(_, reason)| short(reason)),
            routes: routes.collect(),
        };
        let is_old = |(told, last): &(Instant, Report)| {
            now.duration_since(*told) >= REPORT_EVERY || !last.is_same(&report)
        };
        if self.reported.as_ref().is_none_or(is_old) {
            let line = serde_json::to_string(&report).expect("names and numbers have a form in JSON");
            // One that has not gone out yet is followed by this one in a moment.
            if self.reports.try_send(line).is_ok() {
                self.reported = Some((now, report));
            }
        }
    }

    fn is_changed(&self, settings: &Settings) -> bool {
        self.kept(settings.clone()) != self.settings
    }

    /// What `settings` come to: the router stays as it is, and of a prefix that is not theirs nothing is
    /// asked from then on.
    fn kept(&self, mut settings: Settings) -> Settings {
        settings.router.clone_from(&self.settings.router);
        for (net, _) in &self.settings.routes {
            if !settings.routes.iter().any(|(other, _)| other == net) {
                settings.routes.push((*net, Vec::new()));
            }
        }
        settings
    }

    /// Goes over to other settings. What is announced stays so, or is probed again where its addresses are
    /// others.
    fn change(&mut self, settings: Settings) {
        if settings.router != self.settings.router {
            self.log.warning("reload: the router has changed; restart `as112d announce` to apply it");
        }
        let settings = self.kept(settings);
        let old = &self.settings.routes;
        let at = |net: &IpNet| old.iter().position(|(other, _)| other == net);
        let routes = settings.routes.iter().map(|route| {
            let (net, addresses) = route;
            (addresses.len(), at(net).filter(|at| old[*at] == *route))
        });
        let mut state = self.state.changed(settings.damping, routes);
        let announced: Vec<bool> =
            settings.routes.iter().map(|(net, _)| at(net).is_some_and(|at| self.wanted[at])).collect();
        for (route, (net, addresses)) in settings.routes.iter().enumerate() {
            let is_as_it_was = at(net).is_some_and(|at| old[at].1 == *addresses);
            if announced[route] && !is_as_it_was && !addresses.is_empty() {
                state.adopt(route, Instant::now());
            }
        }
        self.teller.change(nets(&settings.routes));
        self.failures = no_failures(&settings.routes);
        (self.state, self.wanted, self.settings) = (state, announced, settings);
        self.log.info("reload: the new settings are in effect");
        self.settle();
    }

    fn withdraw(&mut self) -> Result<(), String> {
        self.teller.tell(&vec![false; self.settings.routes.len()])
    }

    /// Withdraws everything, again and again for as long as a supervisor may wait, or until it is told to
    /// stop once more.
    fn withdraw_for_good(&mut self, events: &Receiver<Event>) -> Result<(), String> {
        let until = Instant::now() + ANNOUNCE_WITHDRAW_MAX;
        let mut is_first = true;
        loop {
            let Err(reason) = self.withdraw() else { return Ok(()) };
            if std::mem::take(&mut is_first) {
                self.log.error(format!("{reason}; retrying every second"));
            }
            let next = Instant::now() + ROUTER_RETRY_EVERY;
            if next > until {
                return Err(format!("{reason}; what is announced stays so"));
            }
            while let Ok(event) = events.recv_deadline(next) {
                if let Event::Stop(why) = event {
                    return Err(format!("{why} again: {reason}; what is announced stays so"));
                }
            }
        }
    }
}

fn nets(routes: &[(IpNet, Vec<SocketAddr>)]) -> Vec<IpNet> {
    routes.iter().map(|(net, _)| *net).collect()
}

fn no_failures(routes: &[(IpNet, Vec<SocketAddr>)]) -> Vec<Vec<Option<String>>> {
    routes.iter().map(|(_, addresses)| vec![None; addresses.len()]).collect()
}
