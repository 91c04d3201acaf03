//! Shards: threads that move datagrams and connections between sockets and [`serve`](crate::serve::serve()).
//!
//! The datapath is chosen once, for the whole process: all shards use the ring, or none does.

pub mod tcp;
mod udp;

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::serve::published::Published;
use crate::stats::counters::{Counters, Totals};
use crate::stats::ledger::{self, Ledger, LedgerSettings, Stream};
use crate::sys::{self, SelfTest, cpu};

use tcp::{Serving, TcpDriver, TcpSettings};
use udp::Shard;

/// How datagrams are received and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datapath {
    /// One io_uring for each shard.
    IoUring,
    /// recvmmsg and sendmmsg.
    Mmsg,
}

/// What the operator asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DatapathChoice {
    /// The ring where it can be had and passes its test, else mmsg.
    #[default]
    Auto,
    /// The ring, or no start.
    IoUring,
    /// recvmmsg and sendmmsg.
    Mmsg,
}

impl std::fmt::Display for Datapath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::IoUring => "io_uring",
            Self::Mmsg => "mmsg",
        })
    }
}

/// Why the shards did not start.
#[derive(Debug)]
pub enum NetError {
    /// A shard could not be pinned to its CPU.
    Pin {
        /// The CPU.
        cpu: usize,
        /// What the kernel said.
        error: io::Error,
    },
    /// The datapath that was asked for cannot be had.
    Datapath {
        /// Which.
        datapath: Datapath,
        /// Why not, and what to do.
        reason: String,
    },
    /// A thread could not be started.
    Thread(io::Error),
    /// The listeners could not be watched.
    Tcp(io::Error),
}

impl std::fmt::Display for NetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pin { cpu, error } => {
                write!(f, "cannot pin a shard to CPU {cpu}: {error}; list other CPUs with --cpus")
            }
            Self::Datapath { datapath, reason } => {
                write!(f, "there is no {datapath} datapath: {reason}; `--datapath auto` finds one that works")
            }
            Self::Tcp(error) => {
                write!(
                    f,
                    "cannot watch the TCP listeners: {error}; raise the limit of open files (ulimit -n)"
                )
            }
            Self::Thread(error) => {
                write!(f, "cannot start a thread: {error}; raise the limit of processes (ulimit -u)")
            }
        }
    }
}

/// What the threads report once they run.
#[derive(Debug)]
pub enum Event {
    /// A thread ended although nobody told it to: the process must end too, never half dead.
    Died {
        /// The thread's name.
        thread: String,
        /// Why.
        reason: String,
    },
}

/// What the threads are made from.
#[derive(Debug)]
pub struct Plan {
    /// What datapath is wanted.
    pub choice: DatapathChoice,
    /// Microseconds for which a ring polls the network card before its shard sleeps. (For mmsg, the sockets
    /// have been told.)
    pub busy_poll: usize,
    /// For each shard the CPU that it is pinned to, if any.
    pub cpus: Vec<Option<usize>>,
    /// For each address its sockets, one for each shard.
    pub groups: Vec<(SocketAddr, Vec<UdpSocket>)>,
    /// The listeners for TCP.
    pub listeners: Vec<TcpListener>,
    /// The bounds of TCP.
    pub tcp: TcpSettings,
    /// What to serve.
    pub published: Arc<Published>,
    /// What the threads count with.
    pub ledgers: LedgerSettings,
}

/// Threads that serve: the shards, and one for TCP.
#[derive(Debug)]
pub struct Net {
    /// The datapath that all of them use.
    pub datapath: Datapath,
    /// Why it is that one.
    pub reason: String,
    counters: Vec<Arc<Counters>>,
    streams: Vec<Stream>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Net {
    /// Starts the threads. They serve when this returns.
    ///
    /// # Errors
    /// [`NetError`]; no thread is left behind.
    pub fn start(plan: Plan, events: &Sender<Event>) -> Result<Self, NetError> {
        let (datapath, reason) = choose(plan.choice)?;
        let mut net = Self {
            datapath,
            reason,
            counters: Vec::new(),
            streams: Vec::new(),
            threads: Vec::new(),
            stop: Arc::default(),
        };
        // On an error the gates are dropped on the way out of `start_threads`, which sends the shards home.
        match net.start_threads(plan, events) {
            Ok(()) => Ok(net),
            Err(error) => {
                net.stop();
                Err(error)
            }
        }
    }

    fn start_threads(&mut self, plan: Plan, events: &Sender<Event>) -> Result<(), NetError> {
        let Plan { choice, busy_poll, cpus, groups, listeners, tcp, published, ledgers } = plan;
        let mut sockets: Vec<Vec<(SocketAddr, UdpSocket)>> = cpus.iter().map(|_| Vec::new()).collect();
        for (address, group) in groups {
            for (shard, socket) in sockets.iter_mut().zip(group) {
                shard.push((address, socket));
            }
        }
        let (report, reports) = bounded(cpus.len());
        let mut gates = Vec::new();
        for (index, (sockets, cpu)) in sockets.into_iter().zip(cpus).enumerate() {
            let (gate, opened) = bounded(1);
            let shard = Shard::new(sockets, published.follow(), self.new_ledger(&ledgers));
            let start =
                Start { cpu, datapath: self.datapath, busy_poll, report: report.clone(), gate: opened };
            let stop = Arc::clone(&self.stop);
            self.spawn(format!("udp-{index}"), events, move || start.run(shard, &stop))?;
            gates.push(gate);
        }
        drop(report);
        self.gather(choice, &reports)?;

        let driver = TcpDriver::new(listeners, tcp).map_err(NetError::Tcp)?;
        let mut serving = Serving::new(published.follow(), self.new_ledger(&ledgers));
        let stop = Arc::clone(&self.stop);
        self.spawn("tcp".to_owned(), events, move || {
            driver.run(&stop, &mut serving).map_err(|error| format!("epoll failed: {error}"))
        })?;
        for gate in gates {
            // A shard that is gone has reported it.
            let _ = gate.send(self.datapath);
        }
        Ok(())
    }

    fn new_ledger(&mut self, settings: &LedgerSettings) -> Ledger {
        let (ledger, stream) = ledger::ledger(settings);
        self.counters.push(Arc::clone(&stream.counters));
        self.streams.push(stream);
        ledger
    }

    fn spawn(
        &mut self,
        name: String,
        events: &Sender<Event>,
        run: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Result<(), NetError> {
        let thread = spawn(name, events.clone(), run).map_err(NetError::Thread)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Waits until every shard has pinned itself and made its ring. Where one cannot have a ring, with `auto`
    /// none has.
    fn gather(
        &mut self,
        choice: DatapathChoice,
        reports: &Receiver<Result<(), NetError>>,
    ) -> Result<(), NetError> {
        for report in reports.iter().take(self.threads.len()) {
            match report {
                Err(NetError::Datapath { datapath: Datapath::IoUring, reason })
                    if choice == DatapathChoice::Auto =>
                {
                    self.datapath = Datapath::Mmsg;
                    self.reason = format!("no ring for every shard: {reason}");
                }
                report => report?,
            }
        }
        Ok(())
    }

    /// Tells the threads to end and waits for them. What has been received is answered.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }

    /// The counters of each shard, in their order, and last those of TCP.
    #[must_use]
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// What each thread tells whoever reports, in the order of [`counters`](Self::counters). There is one
    /// reader: the second call gets nothing.
    #[must_use]
    pub fn take_streams(&mut self) -> Vec<Stream> {
        std::mem::take(&mut self.streams)
    }

    /// The sum of all threads' counters.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.counters.iter().for_each(|counters| counters.read(&mut totals));
        totals
    }
}

/// Decides between the ring and mmsg before anything depends on it.
fn choose(choice: DatapathChoice) -> Result<(Datapath, String), NetError> {
    if choice == DatapathChoice::Mmsg {
        return Ok((Datapath::Mmsg, "as configured".to_owned()));
    }
    match sys::self_test() {
        Ok(SelfTest::Passed) => Ok((Datapath::IoUring, "its self-test passed".to_owned())),
        Ok(SelfTest::Skipped) => {
            Ok((Datapath::IoUring, "its self-test was skipped: there is no loopback".to_owned()))
        }
        Err(error) if choice == DatapathChoice::Auto => Ok((Datapath::Mmsg, format!("no io_uring: {error}"))),
        Err(error) => Err(NetError::Datapath { datapath: Datapath::IoUring, reason: error.to_string() }),
    }
}

/// What a shard's thread does before it serves.
struct Start {
    cpu: Option<usize>,
    datapath: Datapath,
    busy_poll: usize,
    report: Sender<Result<(), NetError>>,
    /// Says which datapath to serve with; closed instead of used when the start has failed elsewhere.
    gate: Receiver<Datapath>,
}

impl Start {
    /// Pins the thread before anything is allocated, so that the ring and its memory are near the CPU; then
    /// serves.
    fn run(self, mut shard: Shard, stop: &AtomicBool) -> Result<(), String> {
        let engine = self.pin().and_then(|()| shard.engine(self.datapath, self.busy_poll));
        let (report, engine) = match engine {
            Ok(engine) => (Ok(()), Some(engine)),
            Err(error) => (Err(error), None),
        };
        // Whoever waits for the reports may be gone; then so is the gate.
        let _ = self.report.send(report);
        drop(self.report);
        let Ok(datapath) = self.gate.recv() else { return Ok(()) };
        let engine = match engine {
            Some(engine) if datapath == self.datapath => engine,
            engine => {
                drop(engine);
                shard.engine(datapath, self.busy_poll).map_err(|error| error.to_string())?
            }
        };
        shard.serve(engine, stop).map_err(|error| format!("the {datapath} datapath failed: {error}"))
    }

    fn pin(&self) -> Result<(), NetError> {
        let Some(cpu) = self.cpu else { return Ok(()) };
        cpu::pin(cpu).map_err(|error| NetError::Pin { cpu, error })
    }
}

/// Starts a thread whose unexpected end is reported.
///
/// # Errors
/// If there can be no further thread.
pub fn spawn(
    name: String,
    events: Sender<Event>,
    run: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let thread = name.clone();
    Builder::new().name(name).spawn(move || {
        let mut obituary = Obituary { thread, reason: "it panicked".to_owned(), events: Some(events) };
        match run() {
            Ok(()) => obituary.events = None,
            Err(reason) => obituary.reason = reason,
        }
    })
}

/// Reports the end of a thread when it is dropped, also by a panic.
struct Obituary {
    thread: String,
    reason: String,
    events: Option<Sender<Event>>,
}

impl Drop for Obituary {
    fn drop(&mut self) {
        if let Some(events) = &self.events {
            let event = Event::Died { thread: self.thread.clone(), reason: self.reason.clone() };
            // Nobody listens any more when the process ends.
            let _ = events.send(event);
        }
    }
}
