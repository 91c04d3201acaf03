//! One worker: a thread that takes jobs, waits for upstreams, and sends replies.

use std::fmt;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use crossbeam_channel::Receiver;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::cache::Cache;
use super::conductor::Conductor;
use super::conductor::wheel::Wheel;
use super::guests::Guests;
use super::hands::Hands;
use super::orders::{CacheOrder, CacheOrderKind, Fate, Habits};
use super::peers::{Peers, Word};
use super::places::Places;
use super::query::Patience;
use super::replies::Bench;
use super::responses::Responses;
use super::sandbox::{Sandbox, Tools};
use super::snapshots::Snapshots;
use super::sockets::Sockets;
use super::task::{Waiting, Wants};
use super::tasks::Tasks;
use super::trace::Tracing;
use crate::limits::{
    IDENTITY_TEXTS_PER_SECOND_MAX, TCP_REPLY_LEN_MAX, WORK_COPIES_MAX, WORK_EVENTS_MAX, WORK_JOBS_A_TURN,
    WORK_SHOWN_MAX, WORK_TASKS_MAX, WORK_TICK,
};
use crate::log::Log;
use crate::serve::cap::Cap;
use crate::serve::job::{Inbox, TcpReturn};
use crate::serve::published::Follower;
use crate::stats::counters::{CACHE_EVICTED, SEND_ERRORS, WORKER_LOST, WORKER_TURNS};
use crate::stats::gauges::WorkerGauges;
use crate::stats::ledger::Ledger;
use crate::sys::answering::Answering;
use crate::sys::wake::Waker;

/// What wakes it; tokens from [`FIRST_TOKEN`] on are the conductor's, those after them the applications'.
const WAKER: Token = Token(0);
const FIRST_TOKEN: usize = 16;
const FIRST_OF_APPS: usize = FIRST_TOKEN + Conductor::TOKENS;

/// What one worker is made from.
pub(super) struct Setting {
    pub(super) inboxes: Vec<Inbox>,
    pub(super) waker: Waker,
    pub(super) sockets: Vec<Vec<UdpSocket>>,
    pub(super) tcp: Option<TcpReturn>,
    pub(super) follower: Follower,
    pub(super) habits: Arc<ArcSwap<Habits>>,
    pub(super) places: Places,
    pub(super) trace: Tracing,
    pub(super) log: Log,
    pub(super) ledger: Ledger,
    pub(super) words: Receiver<Word>,
    pub(super) peers: Peers,
    pub(super) fate: Arc<Fate>,
}

pub(super) struct Worker {
    poll: Poll,
    events: Events,
    waker: Waker,
    tcp: Option<TcpReturn>,
    snapshots: Snapshots,
    habits: Arc<ArcSwap<Habits>>,
    hands: Hands,
    responses: Responses,
    words: Receiver<Word>,
    fate: Arc<Fate>,
    gauges: Arc<WorkerGauges>,
    /// The desk whose jobs are taken first in the next turn.
    first: usize,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("tasks", &self.hands.tasks.len()).finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker that does nothing yet.
    ///
    /// # Errors
    /// No memory, or no descriptors.
    pub(super) fn new(setting: Setting) -> io::Result<Self> {
        let Setting { inboxes, waker, sockets, tcp, follower, habits, places, .. } = setting;
        let began = Instant::now();
        let answering = sockets.into_iter().map(Answering::new).collect::<io::Result<_>>()?;
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&waker.as_raw_fd()), WAKER, Interest::READABLE)?;
        let mut conductor = Conductor::new(poll.registry(), FIRST_TOKEN, began)?;
        let snapshots = Snapshots::new(follower);
        conductor.refresh(snapshots.newest(), began);
        let sandbox = Sandbox::new(Tools { places: places.clone(), log: setting.log });
        let gauges = Arc::new(WorkerGauges::new(conductor.gauges(), sandbox.gauges()));
        let sockets = Sockets::new(poll.registry(), FIRST_OF_APPS)?;
        let guests = Guests::new(sandbox, sockets, setting.peers);
        let mut hands = Hands {
            inboxes,
            answering,
            cache: Cache::new(&habits.load().cache),
            conductor,
            ledger: setting.ledger,
            tasks: Tasks::new(),
            copies: 0,
            wheel: Wheel::new(),
            began,
            patience: patience(&habits.load()),
            places,
            tracing: setting.trace,
            to_trace: 0,
            to_time: 0,
            wants: Wants::default(),
            spare_steps: None,
            bench: Bench::new(),
            texts: Cap::new(IDENTITY_TEXTS_PER_SECOND_MAX),
            found: Vec::new(),
            said: Vec::new(),
            guests,
            prefetches: Vec::new(),
            has_returned: false,
        };
        hands.refresh_apps(snapshots.newest(), began);
        let (words, fate) = (setting.words, setting.fate);
        let (events, responses) = (Events::with_capacity(WORK_EVENTS_MAX), Responses::default());
        Ok(Self {
            poll,
            events,
            waker,
            tcp,
            snapshots,
            habits,
            hands,
            responses,
            words,
            fate,
            gauges,
            first: 0,
        })
    }

    pub(super) fn gauges(&self) -> Arc<WorkerGauges> {
        Arc::clone(&self.gauges)
    }

    /// Makes turns until it is told to end.
    pub(super) fn run(&mut self) -> io::Result<()> {
        while !self.is_over() {
            self.sleep()?;
            self.turn(Instant::now());
        }
        let now = Instant::now();
        self.take_jobs(now);
        self.hands.end_all(now);
        self.hands.guests.sandbox.stop(now, &mut self.hands.ledger);
        self.end_turn(now);
        Ok(())
    }

    fn is_over(&self) -> bool {
        let is_done = || self.hands.queries() == 0 && self.hands.inboxes.iter().all(Inbox::is_over);
        self.fate.is_stopped() || self.fate.is_retired() && is_done()
    }

    /// Waits until something happens, or is due.
    fn sleep(&mut self) -> io::Result<()> {
        let Self { hands, words, .. } = self;
        let is_idle = || hands.inboxes.iter().all(Inbox::is_empty) && words.is_empty();
        let timeout = match self.waker.rest(is_idle) {
            true => self.until_due(Instant::now()),
            false => Duration::ZERO,
        };
        let polled = self.poll.poll(&mut self.events, Some(timeout));
        self.waker.awake();
        match polled {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    fn until_due(&self, now: Instant) -> Duration {
        let Hands { wheel, began, conductor, guests, .. } = &self.hands;
        let timer = wheel.next().map(|at| *began + Duration::from_micros(at));
        let of_apps = guests.are_there().then(|| guests.next_deadline(*began)).flatten();
        let due = [timer, conductor.next_deadline(), of_apps].into_iter().flatten().min();
        due.map_or(WORK_TICK, |due| due.saturating_duration_since(now).min(WORK_TICK))
    }

    /// Takes a newer snapshot, if there is one, and what a reload has changed besides.
    fn refresh(&mut self, now: Instant) {
        if self.snapshots.refresh(now) {
            let habits = self.habits.load();
            self.hands.refresh(self.snapshots.newest(), now);
            self.hands.cache.take_settings(&habits.cache);
            self.hands.patience = patience(&habits);
        }
    }

    fn turn(&mut self, now: Instant) {
        self.refresh(now);
        self.hands.texts.tick(now);
        for event in self.events.iter().filter(|event| event.token() != WAKER) {
            if event.token().0 >= FIRST_OF_APPS {
                self.hands.socket_ready(event.token().0, now);
                continue;
            }
            let is_bad = event.is_error() || event.is_read_closed() || event.is_write_closed();
            let (readable, writable) = (event.is_readable() || is_bad, event.is_writable() || is_bad);
            let Hands { conductor, ledger, .. } = &mut self.hands;
            conductor.ready(event.token().0, readable, writable, now, ledger);
        }
        let Hands { conductor, ledger, .. } = &mut self.hands;
        conductor.tick(now, ledger);
        self.take_responses(now);
        self.take_jobs(now);
        self.hands.prefetch(now);
        self.hands.tick_apps(now);
        let micros = self.hands.micros(now);
        while let Some(number) = self.hands.wheel.pop(micros) {
            self.hands.timer(number, now);
        }
        self.take_words(now);
        self.hands.serve_apps(now);
        let Hands { conductor, ledger, .. } = &mut self.hands;
        conductor.flush(now, ledger);
        // What could not be sent has finished already.
        self.take_responses(now);
        self.end_turn(now);
    }

    /// Takes a bounded number of jobs of each desk, another one first each time.
    fn take_jobs(&mut self, now: Instant) {
        let desks = self.hands.inboxes.len();
        for nth in 0..desks {
            let desk = (self.first + nth) % desks;
            for _ in 0..WORK_JOBS_A_TURN {
                let Some(job) = self.hands.inboxes[desk].take() else { break };
                if self.snapshots.find(job.way.serial).is_none() {
                    self.refresh(now);
                }
                let snapshot = self.snapshots.find(job.way.serial);
                self.hands.begin(job, desk, snapshot, now);
            }
        }
        self.first = (self.first + 1) % desks.max(1);
    }

    fn take_responses(&mut self, now: Instant) {
        self.responses.collect(&mut self.hands.conductor);
        while let Some(mut ended) = self.responses.pop() {
            self.hands.ended(&mut ended, now);
            self.responses.put(ended);
        }
    }

    fn take_words(&mut self, now: Instant) {
        while let Ok(word) = self.words.try_recv() {
            match word {
                Word::Order(order, answer) => {
                    let lines = self.carry_out(&order, now);
                    // Whoever gave it may have gone.
                    let _ = answer.try_send(lines);
                }
                Word::Purge { by, instance, token, qname, subtree } => {
                    let purged = self.hands.purge(&qname, subtree);
                    self.hands.guests.peers.purged(by, instance, token, purged);
                }
                Word::Purged { instance, token, count } => {
                    self.hands.purged_elsewhere(instance, token, count, now);
                }
            }
        }
        self.hands.guests.peers.say();
    }

    fn carry_out(&mut self, order: &CacheOrder, now: Instant) -> Vec<String> {
        let CacheOrder { name, subtree, kind } = order;
        match *kind {
            CacheOrderKind::Purge => vec![format!("{} entries purged", self.hands.purge(name, *subtree))],
            CacheOrderKind::Show(most) => {
                self.hands.cache.show(name, *subtree, most.min(WORK_SHOWN_MAX), now)
            }
        }
    }

    /// Sends the replies of the turn, and makes visible what was counted.
    fn end_turn(&mut self, now: Instant) {
        let queries = self.hands.queries();
        let Hands { answering, ledger, cache, has_returned, .. } = &mut self.hands;
        for answering in answering {
            let errors = answering.flush();
            if errors.total() == 0 {
                continue;
            }
            ledger.add(WORKER_LOST.at([]), errors.total());
            let kinds =
                [errors.again, errors.nobufs, errors.inval, errors.perm, errors.unreach, errors.other];
            for (kind, count) in kinds.into_iter().enumerate() {
                ledger.add(SEND_ERRORS.at([kind]), count);
            }
        }
        if std::mem::take(has_returned)
            && let Some(tcp) = &self.tcp
        {
            tcp.ring();
        }
        ledger.count(WORKER_TURNS.at([]));
        ledger.add(CACHE_EVICTED.at([]), u32::try_from(cache.take_evicted()).unwrap_or(u32::MAX));
        ledger.stopwatch.tick(now);
        ledger.end_batch();
        self.gauges.set(queries, cache.entries(), cache.bytes());
    }
}

fn patience(habits: &Habits) -> Patience {
    Patience { query: habits.query_timeout, stale: habits.cache.stale_after }
}

/// Bytes of one worker, but for its cache, its conductor and its ledger.
pub(super) const fn memory_len(shards: usize) -> usize {
    let waiting = size_of::<Option<Waiting>>() + size_of::<u32>() + Wheel::LEN;
    // A table doubles while it grows, and is there twice then.
    let tasks = 2 * (WORK_TASKS_MAX + WORK_COPIES_MAX) * waiting;
    shards * Answering::memory_len() + tasks + TCP_REPLY_LEN_MAX + size_of::<Worker>()
}
