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

use super::xdp_host::{Host, ports};
use crate::board::{Board, State};
use crate::config::xdp::{XdpMode, XdpSettings};
use crate::limits::XDP_BEAT;
use crate::net::{self, Event};
use crate::serve::snapshot::Snapshot;
use crate::stats::counters::{Counters, XDP_LOST};
use crate::sys::bpf::AttachMode;
use crate::sys::confine::{Class, Confined};
use crate::sys::inherited::Inherited;
use crate::sys::netlink::Link;
use crate::xdp::{Growth, Responder};

/// The program, attached and silent, and what is to be said of it.
#[derive(Default)]
pub(super) struct Prepared {
    /// With what it is told of the host.
    responder: Option<(Responder, Host)>,
    /// Interfaces on which the process before this one has its program: its links.
    taken_over: Vec<OwnedFd>,
    /// Where the program is attached, for people.
    pub(super) places: Vec<String>,
    lines: Vec<String>,
}

impl Prepared {
    /// Loads the program, tries it and attaches it; it answers nothing yet. This takes rights.
    pub(super) fn new(
        settings: &XdpSettings,
        listeners: &[SocketAddr],
        snapshot: &Snapshot,
        inherited: &mut Inherited,
    ) -> Self {
        let mut prepared = Self::default();
        if settings.interfaces.is_empty() {
            return prepared;
        }
        let host = Host::new(settings, listeners);
        if let Err(why) = host.and_then(|host| prepared.load(host, settings, snapshot, inherited)) {
            prepared.lines.push(format!("xdp: off: {why}; the sockets answer everything"));
        }
        prepared
    }

    fn load(
        &mut self,
        mut host: Host,
        settings: &XdpSettings,
        snapshot: &Snapshot,
        inherited: &mut Inherited,
    ) -> Result<(), String> {
        let links = host.links()?;
        let mut found = Vec::new();
        for name in &settings.interfaces {
            match Link::find(&links, name) {
                Ok(link) => found.push(link),
                Err(error) => self.lines.push(format!("xdp: not on {name}: {error}")),
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        host.watch(found.iter().map(|link| link.index).collect());
        let filter = host.filter(&links);
        let mut responder = Responder::load(&filter, snapshot, Growth::Anywhere)?;
        responder.self_test(&filter, snapshot)?;
        for link in found {
            self.attach(&mut responder, &host, link, &links, settings.mode, inherited);
        }
        self.lines.extend(facts(&responder, settings, &host, snapshot));
        self.responder = Some((responder, host)).filter(|_| !self.places.is_empty());
        Ok(())
    }

    fn attach(
        &mut self,
        responder: &mut Responder,
        host: &Host,
        link: &Link,
        links: &[Link],
        mode: XdpMode,
        inherited: &mut Inherited,
    ) {
        let name = &link.name;
        if let Some(handle) = inherited.take_link(link.index) {
            self.taken_over.push(handle);
            self.places.push(place(name, link.xdp));
            return;
        }
        let is_veth = ports(links, link).any(|port| port.kind == "veth");
        let mut refused = String::new();
        for &mode in modes(mode, is_veth) {
            if mode == AttachMode::Native && host.loses_tags(link, links) {
                refused = format!(
                    "the host has VLANs on it, and it strips tags before the program sees them, so replies \
                     would leave without; `ethtool -K {name} rxvlan off txvlan off`"
                );
                break;
            }
            match responder.attach(link.index, mode) {
                Ok(()) => {
                    self.places.push(place(name, Some(mode)));
                    if is_veth && mode == AttachMode::Native {
                        self.lines.push(format!(
                            "xdp: {name} is a veth: in native mode its peer gets replies only if it has an \
                             XDP program too; else set mode = \"generic\""
                        ));
                    }
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
        if let Some((responder, _)) = &self.responder {
            let (zones, _) = responder.zones();
            let own = [
                format!("xdp: {} for {zones} zones", self.places.join(", ")),
                "xdp: the program passed its self-test; whether a NIC sends its replies shows only when \
                 another host asks"
                    .to_owned(),
            ];
            lines.splice(0..0, own);
        }
        lines
    }

    /// Puts the program in the place of that of the process before this one, now that this one serves; what
    /// is to be said of it. Unless the node is `draining` it answers from the first frame on.
    pub(super) fn take_over(&mut self, draining: bool) -> Vec<String> {
        let Some((responder, _)) = &mut self.responder else { return Vec::new() };
        if !self.taken_over.is_empty() {
            responder.beat();
            responder.serve(!draining);
        }
        let replaced = self.taken_over.drain(..).map(|link| responder.take_over(link));
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
        let own = self.responder.as_ref().map_or_else(|| Ok(Vec::new()), |(own, _)| own.links())?;
        let taken_over = self.taken_over.iter().map(OwnedFd::try_clone);
        own.into_iter().map(Ok).chain(taken_over).collect()
    }

    /// Gives it the threads that keep it going. Its counters are those of `board`.
    pub(super) fn start(
        self,
        board: &Arc<Board>,
        events: &Sender<Event>,
        confined: &Confined,
    ) -> io::Result<Option<Xdp>> {
        let Some((responder, host)) = self.responder else { return Ok(None) };
        let (responder, stop) = (Arc::new(responder), Arc::new(AtomicBool::new(false)));
        let lost = Arc::new(AtomicU64::new(0));
        let looking = {
            let (responder, stop, lost) = (Arc::clone(&responder), Arc::clone(&stop), Arc::clone(&lost));
            let confined = confined.clone();
            move || {
                confined.thread(Class::XdpHost)?;
                host.run(&responder, &lost, &stop);
                Ok(())
            }
        };
        // It asks the kernel what may wait for a driver, so the one that says that the node lives is another.
        let looker = net::spawn("xdp-host".to_owned(), events.clone(), looking)?.thread().clone();
        let rounds = Arc::<AtomicU64>::default();
        let keeper = Keeper {
            responder: Arc::clone(&responder),
            board: Arc::clone(board),
            counters: Arc::clone(&board.xdp.counters[0]),
            lost,
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
        Ok(Some(Xdp { responder, stop, rounds, handle, looker }))
    }
}

/// Where it is attached, for people.
fn place(name: &str, mode: Option<AttachMode>) -> String {
    match mode {
        Some(AttachMode::Native) => format!("{name} (native)"),
        Some(AttachMode::Generic) => format!("{name} (generic)"),
        None => name.to_owned(),
    }
}

/// Which modes to try, in that order. What is sent back from a veth in native mode is lost unless there is a
/// program at its peer, which may be in another namespace: nobody can look.
const fn modes(mode: XdpMode, is_veth: bool) -> &'static [AttachMode] {
    match mode {
        XdpMode::Auto if is_veth => &[AttachMode::Generic],
        XdpMode::Auto => &[AttachMode::Native, AttachMode::Generic],
        XdpMode::Native => &[AttachMode::Native],
        XdpMode::Generic => &[AttachMode::Generic],
    }
}

/// What the operator should know of it at the start.
fn facts(responder: &Responder, settings: &XdpSettings, host: &Host, snapshot: &Snapshot) -> Vec<String> {
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
    for listener in host.listeners().iter().filter(|listener| !is_covered(listener)) {
        lines.push(format!(
            "xdp: {listener} is a wildcard, so the node's addresses are unknown; listen on each, or list \
             them in [xdp] prefixes"
        ));
    }
    let is_ruled = |(index, _): &(usize, &SocketAddr)| !snapshot.policy().is_free(*index);
    for (_, listener) in host.listeners().iter().enumerate().filter(is_ruled) {
        lines.push(format!("xdp: rules concern queries to {listener}; the sockets answer those"));
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
    looker: Thread,
}

impl Xdp {
    /// Answers as long as the node wants to be asked.
    pub(super) fn change(&self, state: State) {
        self.responder.serve(state == State::Serving);
    }

    /// Leaves to the sockets what rules of `snapshot` may concern, which is about to be published.
    pub(super) fn withhold(&self, snapshot: &Snapshot) {
        self.responder.withhold(snapshot);
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
            self.handle.thread().unpark();
            thread::park_timeout(XDP_BEAT / 1000);
        }
    }

    /// Ends: everything goes to the sockets, and what was counted is on the board.
    pub(super) fn stop(self) {
        self.responder.serve(false);
        self.stop.store(true, Ordering::Relaxed);
        // The one that looks at the host is not waited for: it ends when the kernel has answered.
        self.looker.unpark();
        self.handle.thread().unpark();
        // A panic was reported when it happened.
        let _ = self.handle.join();
    }
}

/// Says that the node lives as long as any thread that serves moves, and takes over what was counted.
struct Keeper {
    responder: Arc<Responder>,
    board: Arc<Board>,
    counters: Arc<Counters>,
    lost: Arc<AtomicU64>,
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
            let mut totals = self.responder.totals();
            totals.add(XDP_LOST.at([]), self.lost.load(Ordering::Relaxed));
            self.counters.take_over(&totals);
            self.rounds.fetch_add(1, Ordering::Release);
            if is_last {
                return;
            }
            thread::park_timeout(XDP_BEAT);
        }
    }
}
