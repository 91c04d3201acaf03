//! The life of `as112d announce`: probes come in, the router is told.
//!
//! Each address has a thread that probes it; one more follows the daemon, one waits for signals. All send
//! what they see to this one, which alone knows the state and speaks with the router.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use ipnet::IpNet;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::probe::{Over, ProbedHost, ask};
use super::router::{Router, Teller};
use super::state::{Damping, News, State};
use super::watch::{self, Daemon};
use crate::limits::{ANNOUNCE_EVENTS_MAX, ANNOUNCE_TCP_EVERY, ROUTER_RETRY_EVERY};
use crate::log::Log;

/// What to announce, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The prefixes, each with what must answer for it.
    pub routes: Vec<(IpNet, Vec<SocketAddr>)>,
    /// Who announces.
    pub router: Router,
    /// How often an address is probed.
    pub interval: Duration,
    /// How long a probe may take.
    pub timeout: Duration,
    /// What is needed for a change.
    pub damping: Damping,
}

enum Event {
    Probed { route: usize, address: usize, result: Result<(), String> },
    Told(News),
    Stop(String),
}

/// Announces until a signal, and then withdraws everything. What it does goes to the log.
///
/// # Errors
/// If it cannot start, or cannot withdraw at the end.
pub fn announce(settings: &Settings, daemon: Daemon, log: &Log) -> Result<(), String> {
    let (sender, events) = bounded(ANNOUNCE_EVENTS_MAX);
    let cannot = |error: io::Error| format!("cannot start: {error}");
    watch_signals(&sender).map_err(cannot)?;
    if settings.router == Router::Exabgp {
        watch_stdin(&sender).map_err(cannot)?;
    }
    let mut announcer = Announcer::new(settings, log.clone());
    let addresses: usize = settings.routes.iter().map(|(_, addresses)| addresses.len()).sum();
    log.info(format!("probing {addresses} addresses of {} prefixes", settings.routes.len()));
    // Whatever an earlier run left behind goes first: nothing has been probed yet.
    announcer.settle();
    let probers = Probers::start(settings, &sender).map_err(cannot)?;
    follow_daemon(daemon, settings.interval.min(ROUTER_RETRY_EVERY), sender).map_err(cannot)?;
    announcer.turn_until_stop(&events, &probers);
    announcer.withdraw()
}

/// Withdraws everything, once: for what cleans up after an `announce` that was killed.
///
/// # Errors
/// If the router does not take it.
pub fn withdraw(settings: &Settings) -> Result<(), String> {
    Announcer::new(settings, Log::silent()).withdraw()
}

//------------ Announcer ---

struct Announcer<'a> {
    routes: &'a [(IpNet, Vec<SocketAddr>)],
    state: State,
    teller: Teller,
    /// What was last to be announced, by route.
    wanted: Vec<bool>,
    /// When a router that did not take a change is told again.
    retry: Option<Instant>,
    log: Log,
}

impl<'a> Announcer<'a> {
    fn new(settings: &'a Settings, log: Log) -> Self {
        let routes = &settings.routes;
        Self {
            routes,
            state: State::new(settings.damping, routes.iter().map(|(_, addresses)| addresses.len())),
            teller: Teller::new(settings.router.clone(), routes.iter().map(|(net, _)| *net).collect()),
            wanted: vec![false; routes.len()],
            retry: None,
            log,
        }
    }

    fn turn_until_stop(&mut self, events: &Receiver<Event>, probers: &Probers) {
        loop {
            match events.recv_timeout(ROUTER_RETRY_EVERY) {
                Ok(Event::Probed { route, address, result }) => self.probed(route, address, result),
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
                Ok(Event::Stop(why)) => return self.log.info(format!("{why}: withdrawing everything")),
                // Somebody may wait for it that a router is told again, or for the end of a hold-down.
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.settle();
        }
    }

    fn probed(&mut self, route: usize, address: usize, result: Result<(), String>) {
        self.state.probed(route, address, result.is_ok());
        let (net, addresses) = &self.routes[route];
        // Told once, where it makes a difference: an address that stays down is nothing new.
        if let Err(reason) = result
            && self.wanted[route]
        {
            self.log.warning(format!("{net}: probe of {} failed: {reason}", addresses[address]));
        }
    }

    /// Tells the router what is new.
    fn settle(&mut self) {
        let now = Instant::now();
        let before = std::mem::replace(&mut self.wanted, self.state.settle(now));
        let is_new = self.wanted != before;
        for (route, (net, _)) in self.routes.iter().enumerate() {
            let held = self.state.held_for(route, now);
            let held =
                held.map_or_else(String::new, |held| format!("; held down for {:.1} s", held.as_secs_f64()));
            match (before[route], self.wanted[route]) {
                (false, true) => self.log.each(format!("announcing {net}"), vec![]),
                (true, false) => self.log.each(format!("withdrawing {net}{held}"), vec![]),
                _ => {}
            }
        }
        let is_due = is_new || self.retry.is_none_or(|at| now >= at);
        if self.teller.has_told(&self.wanted) || !is_due {
            return;
        }
        let result = self.teller.tell(&self.wanted);
        if let Err(reason) = &result
            && (is_new || self.retry.is_none())
        {
            self.log.error(format!("{reason}; retrying every second"));
        } else if result.is_ok() && self.retry.is_some() {
            self.log.info("the router accepts changes again");
        }
        self.retry = result.err().map(|_| Instant::now() + ROUTER_RETRY_EVERY);
    }

    fn withdraw(&mut self) -> Result<(), String> {
        self.teller.tell(&vec![false; self.routes.len()])
    }
}

//------------ Threads ---

/// The threads that probe. They end with the channel that they send to.
struct Probers(Vec<Sender<()>>);

impl Probers {
    fn start(settings: &Settings, events: &Sender<Event>) -> io::Result<Self> {
        let (interval, timeout) = (settings.interval, settings.timeout);
        let mut probers = Vec::new();
        for (route, (_, addresses)) in settings.routes.iter().enumerate() {
            for (address, &at) in addresses.iter().enumerate() {
                let (now, asked) = bounded(1);
                probers.push(now);
                let events = events.clone();
                let run = move || {
                    let mut turns = Turns::default();
                    loop {
                        let next = Instant::now() + interval;
                        let over = turns.over();
                        let result = ask(at, ProbedHost::This, over, timeout).map(|_| ());
                        turns.ended(over, result.is_ok());
                        if events.send(Event::Probed { route, address, result }).is_err() {
                            return;
                        }
                        if asked.recv_deadline(next) == Err(RecvTimeoutError::Disconnected) {
                            return;
                        }
                    }
                };
                thread::Builder::new().name(format!("probe {at}")).spawn(run)?;
            }
        }
        Ok(Self(probers))
    }

    /// Probes everything without waiting for its time.
    fn probe_now(&self) {
        // One that is asked already will do so.
        for now in &self.0 {
            let _ = now.try_send(());
        }
    }
}

/// Which probes of an address ask over TCP too: the first, one in so many, and all after one that failed, so
/// nothing counts as well again before both are.
#[derive(Default)]
struct Turns {
    /// Good probes since the last one over TCP; `None` where the next must be.
    since_tcp: Option<usize>,
}

impl Turns {
    fn over(&self) -> Over {
        match self.since_tcp {
            Some(since) if since + 1 < ANNOUNCE_TCP_EVERY => Over::Udp,
            _ => Over::Both,
        }
    }

    fn ended(&mut self, over: Over, is_good: bool) {
        self.since_tcp = match over {
            _ if !is_good => None,
            Over::Both => Some(0),
            Over::Udp => self.since_tcp.map(|since| since + 1),
        };
    }
}

fn follow_daemon(daemon: Daemon, every: Duration, events: Sender<Event>) -> io::Result<()> {
    let tell = move |news| events.send(Event::Told(news)).is_ok();
    thread::Builder::new().name("daemon".to_owned()).spawn(move || watch::follow(&daemon, every, tell))?;
    Ok(())
}

/// A terminal that closes ends us as well: nothing stays announced that nobody watches.
fn watch_signals(events: &Sender<Event>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let events = events.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if events.send(Event::Stop(format!("signal {signal}"))).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// ExaBGP says `done` or `error` to each line, which must be read; and when it ends, so do we.
fn watch_stdin(events: &Sender<Event>) -> io::Result<()> {
    let events = events.clone();
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = events.send(Event::Stop("end of standard input".to_owned()));
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_good_probe_in_five_asks_over_tcp_and_each_after_a_bad_one() {
        let mut turns = Turns::default();
        let mut ask = |is_good: bool| {
            let over = turns.over();
            turns.ended(over, is_good);
            over == Over::Both
        };
        let good: Vec<bool> = (0..11).map(|_| ask(true)).collect();
        let tcp: Vec<usize> = (0..11).filter(|at| good[*at]).collect();
        assert_eq!(tcp, [0, 5, 10]);
        assert!(!ask(false), "it is not its turn");
        assert!(ask(false) && ask(true), "a bad one was before both");
        assert!(!ask(true));
    }
}
