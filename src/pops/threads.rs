//! The threads around the one that decides: those that probe, those that look at files, and the one that
//! waits for signals.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::file;
use super::probe::probe;
use super::settings::{Probe, Watched, Way};
use crate::announce::state::News;
use crate::limits::HEALTH_FILE_EVERY;

/// What threads tell the one that decides. `round` is that of the settings they work with.
pub(super) enum Event {
    /// A PoP was probed, by its place in the settings.
    Probed { round: usize, pop: usize, result: Result<(), String> },
    /// A file was read, or cannot be.
    Read { round: usize, path: PathBuf, lines: Result<Vec<(String, bool)>, String> },
    /// The node said something.
    Told(News),
    /// End; why.
    Stop(String),
    /// Read the settings again.
    Reload,
}

/// The threads that look at PoPs. They end when this is dropped.
pub(super) struct Lookouts {
    pub(super) round: usize,
    _end: Sender<()>,
}

impl Lookouts {
    pub(super) fn start(settings: &[Watched], round: usize, events: &Sender<Event>) -> io::Result<Self> {
        let (end, ended) = bounded(0);
        let mut files: Vec<&Path> = Vec::new();
        for (pop, Watched { name, way }) in settings.iter().enumerate() {
            let (events, ended) = (events.clone(), ended.clone());
            match way {
                Way::Probe(settings) => {
                    let settings = settings.clone();
                    let run = move || probe_on(&settings, (round, pop), &events, &ended);
                    thread::Builder::new().name(format!("probe {name}")).spawn(run)?;
                }
                Way::File(path) if files.contains(&path.as_path()) => {}
                Way::File(path) => {
                    files.push(path);
                    let path = path.clone();
                    let run = move || look_on(&path, round, &events, &ended);
                    thread::Builder::new().name("file".to_owned()).spawn(run)?;
                }
            }
        }
        Ok(Self { round, _end: end })
    }
}

/// Whether the time has come, and not the end.
fn waits_until(next: Instant, ended: &Receiver<()>) -> bool {
    ended.recv_deadline(next) == Err(RecvTimeoutError::Timeout)
}

fn probe_on(settings: &Probe, (round, pop): (usize, usize), events: &Sender<Event>, ended: &Receiver<()>) {
    loop {
        let next = Instant::now() + settings.every;
        let result = probe(&settings.to, settings.timeout);
        if events.send(Event::Probed { round, pop, result }).is_err() || !waits_until(next, ended) {
            return;
        }
    }
}

fn look_on(path: &Path, round: usize, events: &Sender<Event>, ended: &Receiver<()>) {
    let mut last = None;
    loop {
        // Looked at before it is read: what is written meanwhile is seen the next time.
        let now = file::stamp(path).map_err(|error| error.kind());
        if last.as_ref() != Some(&now) {
            let lines = file::read(path);
            if events.send(Event::Read { round, path: path.to_owned(), lines }).is_err() {
                return;
            }
            last = Some(now);
        }
        if !waits_until(Instant::now() + HEALTH_FILE_EVERY, ended) {
            return;
        }
    }
}

/// The end of the terminal that we were started from is ours too. Where there is none, that signal asks for
/// the settings to be read again.
pub(super) fn watch_signals(has_terminal: bool, events: &Sender<Event>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let events = events.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let event = match signal {
                SIGHUP if !has_terminal => Event::Reload,
                _ => Event::Stop(format!("signal {signal}")),
            };
            if events.send(event).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// How long the one that decides waits for an event before it looks whether a report is due.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
