//! Answers in the driver, and how they go along with the life of the node. Whatever is in the way of them is
//! one line, and the sockets answer everything.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Instant;

use crossbeam_channel::Sender;
use ipnet::IpNet;

use crate::board::{Board, State};
use crate::config::xdp::{XdpMode, XdpSettings};
use crate::limits::XDP_BEAT;
use crate::net::{self, Event};
use crate::serve::snapshot::Snapshot;
use crate::stats::counters::Counters;
use crate::sys::confine::{Class, Confined};
use crate::sys::inherited::Inherited;
use crate::sys::interface::{Interface, interface};
use crate::xdp::{AttachMode, Filter, Growth, Responder};

/// The program, attached and silent, and what is to be said of it.
#[derive(Default)]
pub(super) struct Prepared {
    responder: Option<Responder>,
    /// Interfaces on which the process before this one has its program, with its links.
    taken_over: Vec<(Interface, OwnedFd)>,
    /// Where the program is attached, for people.
    pub(super) places: Vec<String>,
    lines: Vec<String>,
}

impl Prepared {
    /// Loads the program and attaches it; it answers nothing yet. This takes rights.
    pub(super) fn new(
        settings: &XdpSettings,
        listeners: &[SocketAddr],
        snapshot: &Snapshot,
        inherited: &mut Inherited,
    ) -> Self {
        let mut prepared = Self::default();
        let mut found = Vec::new();
        for name in &settings.interfaces {
            match interface(name) {
                Ok(interface) => found.push((name, interface)),
                Err(error) => prepared.lines.push(format!("xdp: not on {name}: {error}")),
            }
        }
        if found.is_empty() {
            return prepared;
        }
        let filter = Filter {
            interfaces: found.iter().map(|(_, interface)| *interface).collect(),
            listeners: listeners.to_vec(),
            prefixes: settings.prefixes.clone(),
            sample: settings.sample,
        };
        match Responder::load(&filter, snapshot, Growth::Anywhere) {
            Ok(mut responder) => {
                for (name, interface) in found {
                    prepared.attach(&mut responder, name, interface, settings.mode, inherited);
                }
                prepared.lines.extend(facts(&responder, settings, listeners));
                prepared.responder = Some(responder).filter(|_| !prepared.places.is_empty());
            }
            Err(error) => prepared.lines.push(format!("xdp: off: {error}; the sockets answer everything")),
        }
        prepared
    }

    fn attach(
        &mut self,
        responder: &mut Responder,
        name: &str,
        interface: Interface,
        mode: XdpMode,
        inherited: &mut Inherited,
    ) {
        if let Some(link) = inherited.take_link(interface.index) {
            self.taken_over.push((interface, link));
            self.places.push(name.to_owned());
            return;
        }
        let mut refused = String::new();
        for &place in places(mode) {
            match responder.attach(interface.index, place) {
                Ok(()) => {
                    let place = if place == AttachMode::Native { "native" } else { "generic" };
                    self.places.push(format!("{name} ({place})"));
                    return;
                }
                Err(error) if refused.is_empty() => refused = error,
                Err(_) => {}
            }
        }
        self.lines.push(format!("xdp: not on {name}: {refused}"));
    }

    /// What is to be said of it, line by line.
    pub(super) fn take_lines(&mut self) -> Vec<String> {
        let mut lines = std::mem::take(&mut self.lines);
        if let Some(responder) = &self.responder {
            let (zones, _) = responder.zones();
            lines.insert(0, format!("xdp: {} for {zones} zones", self.places.join(", ")));
        }
        lines
    }

    /// Puts the program in the place of that of the process before this one, now that this one serves; what
    /// is to be said of it. Unless the node is `draining` it answers from the first frame on.
    pub(super) fn take_over(&mut self, draining: bool) -> Vec<String> {
        let Some(responder) = &mut self.responder else { return Vec::new() };
        if !self.taken_over.is_empty() {
            responder.beat();
            responder.serve(!draining);
        }
        let replaced = self.taken_over.drain(..).map(|(_, link)| responder.take_over(link));
        let told = |error: io::Error| {
            format!(
                "xdp: the previous process's program stays attached until that process ends: \
                 {error}; restart"
            )
        };
        replaced.filter_map(|result| result.err().map(told)).collect()
    }

    /// What a successor gets of it: the links.
    ///
    /// # Errors
    /// If there are no more descriptors.
    pub(super) fn handles(&self) -> io::Result<Vec<OwnedFd>> {
        let own = self.responder.as_ref().map_or_else(|| Ok(Vec::new()), Responder::links)?;
        let taken_over = self.taken_over.iter().map(|(_, link)| link.try_clone());
        own.into_iter().map(Ok).chain(taken_over).collect()
    }

    /// Gives it the thread that keeps it going. Its counters are those of `board`.
    pub(super) fn start(
        self,
        board: &Arc<Board>,
        events: &Sender<Event>,
        confined: &Confined,
    ) -> io::Result<Option<Xdp>> {
        let Some(responder) = self.responder else { return Ok(None) };
        let (responder, stop) = (Arc::new(responder), Arc::new(AtomicBool::new(false)));
        let rounds = Arc::<AtomicU64>::default();
        let keeper = Keeper {
            responder: Arc::clone(&responder),
            board: Arc::clone(board),
            counters: Arc::clone(&board.xdp.counters),
            stop: Arc::clone(&stop),
            rounds: Arc::clone(&rounds),
        };
        let confined = confined.clone();
        let keep = move || {
            confined.thread(Class::Xdp)?;
            keeper.run();
            Ok(())
        };
        let handle = net::spawn("xdp".to_owned(), events.clone(), keep)?;
        let thread = handle.thread().clone();
        Ok(Some(Xdp { responder, stop, rounds, handle, thread }))
    }
}

/// Where to try, first things first.
const fn places(mode: XdpMode) -> &'static [AttachMode] {
    match mode {
        XdpMode::Auto => &[AttachMode::Native, AttachMode::Generic],
        XdpMode::Native => &[AttachMode::Native],
        XdpMode::Generic => &[AttachMode::Generic],
    }
}

/// What the operator should know of it at the start.
fn facts(responder: &Responder, settings: &XdpSettings, listeners: &[SocketAddr]) -> Vec<String> {
    let (zones, left) = responder.zones();
    let mut lines = Vec::new();
    if left > 0 {
        let total = zones + left;
        lines.push(format!("xdp: {left} of {total} empty zones do not fit; the sockets answer them"));
    }
    let is_covered = |listener: &&SocketAddr| {
        let of_family = |prefix: &&IpNet| prefix.addr().is_ipv4() == listener.is_ipv4();
        !listener.ip().is_unspecified() || settings.prefixes.iter().any(|prefix| of_family(&prefix))
    };
    for listener in listeners.iter().filter(|listener| !is_covered(listener)) {
        lines.push(format!(
            "xdp: {listener} is a wildcard, so the node's addresses are unknown; listen on each, or list \
             them in [xdp] prefixes"
        ));
    }
    lines
}

/// The program while the node runs.
pub(super) struct Xdp {
    responder: Arc<Responder>,
    stop: Arc<AtomicBool>,
    /// How often the keeper has read what was counted.
    rounds: Arc<AtomicU64>,
    handle: JoinHandle<()>,
    thread: Thread,
}

impl Xdp {
    /// Answers as long as the node wants to be asked.
    pub(super) fn change(&self, state: State) {
        self.responder.serve(state == State::Serving);
    }

    /// Answers from `snapshot` when this returns.
    pub(super) fn publish(&self, snapshot: &Snapshot) {
        self.responder.publish(snapshot);
    }

    /// Answers nothing more, until it is told to; what was counted is on the board when this returns.
    pub(super) fn settle(&self) {
        self.responder.serve(false);
        // A round that has begun may have read before that.
        let enough = self.rounds.load(Ordering::Acquire) + 2;
        let until = Instant::now() + XDP_BEAT;
        while self.rounds.load(Ordering::Acquire) < enough && Instant::now() < until {
            self.thread.unpark();
            thread::park_timeout(XDP_BEAT / 1000);
        }
    }

    /// Ends: everything goes to the sockets, and what was counted is on the board.
    pub(super) fn stop(self) {
        self.responder.serve(false);
        self.stop.store(true, Ordering::Relaxed);
        self.thread.unpark();
        // A panic was reported when it happened.
        let _ = self.handle.join();
    }
}

/// Says that the node lives as long as any thread that serves moves, and takes over what was counted.
struct Keeper {
    responder: Arc<Responder>,
    board: Arc<Board>,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
}

impl Keeper {
    fn run(self) {
        let mut seen = Vec::new();
        loop {
            let is_last = self.stop.load(Ordering::Relaxed);
            let turns = self.board.turns();
            // One that moves is enough: a flood may keep the others from their CPUs, and then the sockets
            // are the last place where it should go.
            if seen.is_empty() || turns.iter().zip(&seen).any(|(turns, before)| turns > before) {
                self.responder.beat();
                seen = turns;
            }
            self.counters.take_over(&self.responder.totals());
            self.rounds.fetch_add(1, Ordering::Release);
            if is_last {
                return;
            }
            thread::park_timeout(XDP_BEAT);
        }
    }
}
