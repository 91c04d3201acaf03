//! What may wait: workers, the life of a query, the cache, and the exchange with upstreams.
//!
//! Each worker is a thread with a cache and a conductor of its own; a name has one worker, so workers share
//! nothing. One sleeps until a desk, an upstream's socket or a timer has something for it.

pub mod cache;
mod calls;
pub mod conductor;
mod copies;
mod divert;
mod errands;
mod guests;
mod hands;
mod orders;
pub mod otlp;
mod peers;
mod places;
mod query;
mod question;
pub mod rehearsal;
mod replies;
mod responses;
pub mod sandbox;
mod snapshots;
mod sockets;
mod task;
mod tasks;
pub mod trace;
mod worker;

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::limits::{WORK_ORDER_MAX, WORK_ORDERS_MAX};
use crate::log::Log;
use crate::serve::job::{Inbox, TcpReturn};
use crate::serve::published::Published;
use crate::stats::counters::Counters;
use crate::stats::gauges::WorkerGauges;
use crate::stats::ledger::{self, LedgerSettings, Stream};
use crate::sys::confine::{Class, Confined};
use crate::sys::cpu;
use crate::sys::threads::{Event, spawn};
use crate::sys::wake::Waker;

use orders::Fate;
pub use orders::{CacheOrder, CacheOrderKind, Habits};
use peers::{Ear, Peers, Word};
pub use places::{Place, Places};
use trace::Tracing;
use worker::Worker;

/// What the workers are made from.
#[derive(Debug)]
pub struct Plan {
    /// For each worker the CPU that it is pinned to, if any.
    pub cpus: Vec<Option<usize>>,
    /// For each worker the inboxes of all desks: the shards', in their order, and last that of TCP.
    pub inboxes: Vec<Vec<Inbox>>,
    /// Who wakes each of them.
    pub wakers: Vec<Waker>,
    /// Of each shard the sockets that it was given, in their order. Workers have duplicates of them.
    pub sockets: Vec<Vec<UdpSocket>>,
    /// Wakes the thread of TCP when it is given jobs back.
    pub tcp: Option<TcpReturn>,
    /// What to serve.
    pub published: Arc<Published>,
    /// What a reload may change.
    pub habits: Habits,
    /// What the threads count with.
    pub ledgers: LedgerSettings,
    /// Where clients are.
    pub places: Places,
    /// How the threads are confined.
    pub confined: Confined,
    /// Which queries are traced, and where traces go.
    pub trace: Tracing,
    /// Where applications log.
    pub log: Log,
}

/// The threads.
#[derive(Debug, Default)]
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    wakers: Vec<Waker>,
    ears: Vec<Ear>,
    counters: Vec<Arc<Counters>>,
    streams: Vec<Stream>,
    gauges: Vec<Arc<WorkerGauges>>,
    habits: Option<Arc<ArcSwap<Habits>>>,
    fate: Arc<Fate>,
}

impl Workers {
    /// Starts the threads.
    ///
    /// # Errors
    /// No memory, no descriptors, no thread, or no such CPU; no thread is left.
    pub fn start(plan: Plan, events: &Sender<Event>) -> io::Result<Self> {
        let mut workers = Self::default();
        match workers.start_threads(plan, events) {
            Ok(()) => Ok(workers),
            Err(error) => {
                workers.stop();
                Err(error)
            }
        }
    }

    fn start_threads(&mut self, plan: Plan, events: &Sender<Event>) -> io::Result<()> {
        let Plan { cpus, inboxes, wakers, sockets, tcp, published, ledgers, confined, .. } = plan;
        let Plan { habits, places, trace, log, .. } = plan;
        let habits = Arc::new(ArcSwap::from_pointee(habits));
        self.habits = Some(Arc::clone(&habits));
        self.wakers.clone_from(&wakers);
        let (ready, readies) = bounded(inboxes.len());
        let heard: Vec<Receiver<Word>> = wakers.iter().map(|waker| self.ear(waker)).collect();
        for (index, ((inboxes, waker), words)) in inboxes.into_iter().zip(wakers).zip(heard).enumerate() {
            let duplicate = |of_shard: &Vec<UdpSocket>| of_shard.iter().map(UdpSocket::try_clone).collect();
            let sockets = sockets.iter().map(duplicate).collect::<io::Result<Vec<Vec<UdpSocket>>>>()?;
            let (ledger, stream) = ledger::ledger(&ledgers);
            self.counters.push(Arc::clone(&stream.counters));
            self.streams.push(stream);
            let setting = worker::Setting {
                inboxes,
                waker,
                sockets,
                tcp: tcp.clone(),
                follower: published.follow(),
                habits: Arc::clone(&habits),
                places: places.clone(),
                trace: trace.clone(),
                log: log.clone(),
                ledger,
                words,
                peers: Peers::new(index, self.ears.clone()),
                fate: Arc::clone(&self.fate),
            };
            let (ready, confined) = (ready.clone(), confined.clone());
            let cpu = cpus.get(index).copied().flatten();
            let run = move || run(setting, cpu, &ready, &confined);
            self.threads.push(spawn(format!("worker-{index}"), events.clone(), run)?);
        }
        drop(ready);
        for _ in 0..self.threads.len() {
            let gone = || io::Error::other("a worker ended during startup; please report this");
            self.gauges.push(readies.recv().map_err(|_| gone())??);
        }
        Ok(())
    }

    /// One more worker can be spoken to; what it hears.
    fn ear(&mut self, waker: &Waker) -> Receiver<Word> {
        let (words, heard) = bounded(WORK_ORDERS_MAX);
        self.ears.push(Ear { words, waker: waker.clone() });
        heard
    }

    /// The counters of each.
    #[must_use]
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// What each tells whoever reports, in the order of [`counters`](Self::counters). There is one reader:
    /// the second call gets nothing.
    #[must_use]
    pub fn take_streams(&mut self) -> Vec<Stream> {
        std::mem::take(&mut self.streams)
    }

    /// What others can see of each.
    #[must_use]
    pub fn gauges(&self) -> Vec<Arc<WorkerGauges>> {
        self.gauges.clone()
    }

    /// How to give orders, from any thread.
    #[must_use]
    pub fn caches(&self) -> Caches {
        Caches { ears: self.ears.clone() }
    }

    /// Gives all workers an order, and waits for what they say. See [`Caches::order`].
    #[must_use]
    pub fn order(&self, order: &CacheOrder) -> Vec<String> {
        self.caches().order(order)
    }

    /// They have other habits from the next snapshot on that is published.
    pub fn change(&self, habits: Habits) {
        if let Some(known) = &self.habits {
            known.store(Arc::new(habits));
        }
    }

    /// Wakes all of them: there is a newer snapshot.
    pub fn wake(&self) {
        self.wakers.iter().for_each(Waker::ring);
    }

    /// They end when what they have is done, and all desks are gone.
    pub fn retire(&mut self) {
        self.fate.seal(Fate::RETIRE);
        self.wake();
    }

    /// Whether all have ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Ends them and waits for them. What they have is answered, without waiting for upstreams.
    pub fn stop(&mut self) {
        self.fate.seal(Fate::STOP);
        self.wake();
        for thread in self.threads.drain(..) {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// Where orders for caches go.
#[derive(Clone, Debug)]
pub struct Caches {
    ears: Vec<Ear>,
}

impl Caches {
    /// Gives all workers an order, and waits for what they say: lines, for at most [`WORK_ORDER_MAX`].
    #[must_use]
    pub fn order(&self, order: &CacheOrder) -> Vec<String> {
        let until = Instant::now() + WORK_ORDER_MAX;
        let give = |ear: &Ear| {
            let (answer, answered) = bounded(1);
            let given = ear.words.send_deadline(Word::Order(order.clone(), answer), until);
            ear.waker.ring();
            given.is_ok().then_some(answered)
        };
        let given: Vec<Option<Receiver<Vec<String>>>> = self.ears.iter().map(give).collect();
        let answers = given.into_iter().enumerate().map(|(index, answered)| {
            let answer = answered.and_then(|answered| answered.recv_deadline(until).ok());
            answer.unwrap_or_else(|| vec![format!("worker {index} does not answer")])
        });
        answers.flatten().collect()
    }
}

/// What a worker's thread does.
fn run(
    setting: worker::Setting,
    cpu: Option<usize>,
    ready: &Sender<io::Result<Arc<WorkerGauges>>>,
    confined: &Confined,
) -> Result<(), String> {
    // Before anything is allocated, for its memory to be near the CPU.
    let pinned = cpu.map_or(Ok(()), cpu::pin);
    let mut worker = match pinned.and_then(|()| Worker::new(setting)) {
        Ok(worker) => worker,
        Err(error) => {
            // Whoever starts it is told, and ends.
            let _ = ready.send(Err(error));
            return Ok(());
        }
    };
    confined.thread(Class::Worker)?;
    let _ = ready.send(Ok(worker.gauges()));
    worker.run().map_err(|error| format!("epoll failed: {error}"))
}

/// Bytes of one worker, but for its ledger and the inboxes.
#[must_use]
pub fn memory_len(shards: usize, cache: &cache::Settings) -> usize {
    worker::memory_len(shards) + cache::Cache::memory_len(cache) + conductor::Conductor::memory_len()
}

/// Bytes of what one worker has for applications, with all that they may have under way.
#[must_use]
pub fn apps_memory_len(apps: &sandbox::Apps) -> usize {
    sandbox::Sandbox::memory_len(apps) + errands::memory_len(apps.apps.len())
}

#[cfg(test)]
mod tests;
