//! The threads around the one that decides: those that probe, the one that follows the daemon, and those that
//! wait for signals and for the end of ExaBGP.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2};
use signal_hook::iterator::Signals;

use super::probe::{Over, ProbedHost, ask};
use super::settings::Settings;
use super::state::News;
use super::watch::{self, Daemon, Reports};
use crate::limits::ANNOUNCE_TCP_EVERY;

/// What threads tell the one that decides.
pub(super) enum Event {
    /// An address was probed; `round` is that of the probers.
    Probed { round: usize, route: usize, address: usize, result: Result<(), String> },
    /// The daemon said something.
    Told(News),
    /// Withdraw everything and end; why.
    Stop(String),
    /// End, and leave what is announced to the next process.
    Leave,
    /// Read the settings again.
    Reload,
}

/// The threads that probe. They end when this is dropped.
pub(super) struct Probers {
    pub(super) round: usize,
    now: Vec<Sender<()>>,
}

impl Probers {
    pub(super) fn start(settings: &Settings, round: usize, events: &Sender<Event>) -> io::Result<Self> {
        let (interval, timeout) = (settings.interval, settings.timeout);
        let mut probers = Self { round, now: Vec::new() };
        for (route, (_, addresses)) in settings.routes.iter().enumerate() {
            for (address, &at) in addresses.iter().enumerate() {
                let (now, asked) = bounded(1);
                probers.now.push(now);
                let events = events.clone();
                let run = move || {
                    let mut turns = Turns::default();
                    loop {
                        let next = Instant::now() + interval;
                        let over = turns.over();
                        let result = ask(at, ProbedHost::This, over, timeout).map(|_| ());
                        turns.ended(over, result.is_ok());
                        if events.send(Event::Probed { round, route, address, result }).is_err() {
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
        Ok(probers)
    }

    /// Probes everything without waiting for its time.
    pub(super) fn probe_now(&self) {
        // One that is asked already will do so.
        for now in &self.now {
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

/// Hears what the daemon says, and tells it `reports`.
pub(super) fn follow_daemon(
    daemon: Daemon,
    every: Duration,
    reports: Receiver<String>,
    events: Sender<Event>,
) -> io::Result<()> {
    let reports = Reports::start(reports)?;
    let tell = move |news| events.send(Event::Told(news)).is_ok();
    let run = move || watch::follow(&daemon, every, &reports, tell);
    thread::Builder::new().name("daemon".to_owned()).spawn(run)?;
    Ok(())
}

/// The end of the terminal that we were started from is ours too (SIGHUP): nothing stays announced that
/// nobody watches. Where there is none, that signal asks for the settings to be read again.
pub(super) fn watch_signals(has_terminal: bool, events: &Sender<Event>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR2])?;
    let events = events.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let event = match signal {
                SIGHUP if !has_terminal => Event::Reload,
                SIGUSR2 => Event::Leave,
                _ => Event::Stop(format!("signal {signal}")),
            };
            if events.send(event).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// ExaBGP says `done` or `error` to each line, which must be read; and when it ends, so do we.
pub(super) fn watch_stdin(events: &Sender<Event>) -> io::Result<()> {
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
