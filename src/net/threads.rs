//! The threads that serve: how they start together, and how they end.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::drops::{Seen, SocketDrops};
use super::orders::Orders;
use super::probe;
use super::tcp::{Serving, TcpDriver, TcpSettings};
use super::udp::{Listener, Pauses, Shard, ShardSocket};
use super::{Datapath, DatapathChoice, NetError};
use crate::limits::{RING_SLOTS, STUCK_AFTER};
use crate::serve::job::{Desk, TcpReturn};
use crate::serve::limiter::Limiter;
use crate::serve::published::Published;
use crate::stats::counters::{Counters, Totals};
use crate::stats::ledger::{self, Ledger, LedgerSettings, Stream};
use crate::sys::confine::{Class, Confined};
use crate::sys::threads::{Event, spawn};
use crate::sys::{self, Ring, SelfTest, cpu};

/// What the threads are made from.
#[derive(Debug)]
pub struct Plan {
    /// What datapath is wanted.
    pub choice: DatapathChoice,
    /// Microseconds for which a ring polls the NIC before its shard sleeps. (For mmsg, the sockets
    /// have SO_BUSY_POLL.)
    pub busy_poll: usize,
    /// For each shard the CPU that it is pinned to, if any.
    pub cpus: Vec<Option<usize>>,
    /// For each address its sockets. There is one for each shard, but for those that were there before this
    /// process: of those a shard may have several, or several shards one.
    pub groups: Vec<(SocketAddr, Vec<UdpSocket>)>,
    /// The listeners for TCP.
    pub listeners: Vec<TcpListener>,
    /// The bounds of TCP.
    pub tcp: TcpSettings,
    /// What to serve.
    pub published: Arc<Published>,
    /// What the threads count with.
    pub ledgers: LedgerSettings,
    /// Where queries are handed over: one for each shard, and last that of TCP. None without workers.
    pub desks: Vec<Desk>,
    /// How the threads are confined.
    pub confined: Confined,
    /// Another process has the sockets, and counts their drops until [`Net::count_drops`].
    pub is_successor: bool,
}

/// Threads that serve: the shards, and one for TCP.
#[derive(Debug)]
pub struct Net {
    /// The datapath that all of them use.
    pub datapath: Datapath,
    /// Why it is that one.
    pub reason: String,
    /// How the process is confined.
    pub confined: Confined,
    counters: Vec<Arc<Counters>>,
    streams: Vec<Stream>,
    /// Of each thread; shards first.
    gates: Vec<Sender<Datapath>>,
    threads: Vec<JoinHandle<()>>,
    /// What shards say once their gates are open.
    serving: Receiver<()>,
    /// What all threads say once they have paused.
    paused: Receiver<Vec<SocketDrops>>,
    /// Where shards learn from where on drops are theirs to count.
    drops: Seen,
    orders: Arc<Orders>,
    tcp_return: Option<TcpReturn>,
    /// Of each shard second handles of its sockets, where queries are handed over.
    handles: Vec<Vec<UdpSocket>>,
}

impl Net {
    /// Starts the threads and lets each shard test itself. They wait at their gates when this returns, and
    /// nothing is taken from any socket.
    ///
    /// # Errors
    /// [`NetError`]; no thread is left.
    pub fn start(plan: Plan, events: &Sender<Event>) -> Result<Self, NetError> {
        let (datapath, reason) = choose(plan.choice)?;
        let (serve, serving) = bounded(plan.cpus.len());
        let (pauses, paused) = bounded(plan.cpus.len() + 1);
        let mut net = Self {
            datapath,
            reason,
            confined: plan.confined.clone(),
            counters: Vec::new(),
            streams: Vec::new(),
            gates: Vec::new(),
            threads: Vec::new(),
            serving,
            paused,
            drops: Seen::default(),
            orders: Arc::default(),
            tcp_return: None,
            handles: Vec::new(),
        };
        match net.start_threads(plan, serve, pauses, events) {
            Ok(()) => Ok(net),
            Err(error) => {
                net.stop();
                Err(error)
            }
        }
    }

    fn start_threads(
        &mut self,
        plan: Plan,
        serving: Sender<()>,
        paused: Sender<Vec<SocketDrops>>,
        events: &Sender<Event>,
    ) -> Result<(), NetError> {
        let Plan { choice, busy_poll, cpus, groups, listeners, tcp, published, ledgers, confined, .. } = plan;
        let is_successor = plan.is_successor;
        let mut desks = plan.desks.into_iter();
        let dealt = deal(groups, cpus.len()).map_err(NetError::Socket)?;
        let (ready, readies) = bounded(cpus.len());
        for (index, (given, cpu)) in dealt.into_iter().zip(cpus).enumerate() {
            if desks.len() > 0 {
                let handles: io::Result<_> = given.iter().map(|given| given.socket.try_clone()).collect();
                self.handles.push(handles.map_err(NetError::Socket)?);
            }
            let pauses = Pauses { begun: paused.clone(), over: self.new_gate() };
            let ours_from = is_successor.then(|| Arc::clone(&self.drops));
            let shard =
                Shard::new(given, published.follow(), self.new_ledger(&ledgers), desks.next(), ours_from);
            let (datapath, ready, serving) = (self.datapath, ready.clone(), serving.clone());
            let confined = confined.clone();
            let start = Start { cpu, datapath, busy_poll, ready, pauses, serving, confined };
            let orders = Arc::clone(&self.orders);
            self.spawn(format!("udp-{index}"), events, move || start.run(shard, &orders))?;
        }
        drop((ready, serving));
        self.gather(choice, &readies)?;

        let driver = TcpDriver::new(listeners, tcp).map_err(NetError::Tcp)?;
        let desk = desks.next();
        if desk.is_some() {
            self.tcp_return = Some(driver.waker().map_err(NetError::Tcp)?);
        }
        let gate = self.new_gate();
        let serving = Serving::new(published.follow(), self.new_ledger(&ledgers), desk);
        let mut serving = serving.telling(paused);
        let orders = Arc::clone(&self.orders);
        self.spawn("tcp".to_owned(), events, move || {
            if gate.recv().is_err() {
                return Ok(());
            }
            confined.thread(Class::Tcp)?;
            driver.run(&orders, &mut serving).map_err(|error| format!("epoll failed: {error}"))
        })
    }

    /// Opens the gates. All threads serve when this returns.
    ///
    /// # Errors
    /// Why a shard cannot, now that it should. Others may serve already: the process must end.
    pub fn open(&mut self) -> Result<(), NetError> {
        self.open_gates();
        let shards = self.counters.len() - 1;
        if self.serving.iter().take(shards).count() == shards { Ok(()) } else { Err(NetError::Ended) }
    }

    fn open_gates(&self) {
        for gate in &self.gates {
            // A thread that is gone has reported it; one that was told before and has not looked yet will.
            let _ = gate.try_send(self.datapath);
        }
    }

    /// Takes nothing more in, until [`resume`](Self::resume) or for good: another process serves. When this
    /// returns, shards have answered what they had received, and the thread of TCP serves the connections
    /// that it has. Up to where the drops of each socket were counted.
    ///
    /// # Errors
    /// If a thread is stuck. The others may have paused: resume.
    pub fn pause(&self) -> Result<Vec<SocketDrops>, NetError> {
        // What a thread has said too late the last time is no matter of this one.
        self.paused.try_iter().for_each(drop);
        self.orders.pause();
        let deadline = Instant::now() + STUCK_AFTER;
        let mut seen = Vec::new();
        for _ in 0..self.counters.len() {
            seen.extend(self.paused.recv_deadline(deadline).map_err(|_| NetError::Stuck)?);
        }
        Ok(seen)
    }

    /// Takes in again what comes.
    pub fn resume(&self) {
        self.orders.resume();
        self.open_gates();
    }

    /// From now on drops of the sockets are this process's to count, from `seen` on.
    pub fn count_drops(&self, seen: Vec<SocketDrops>) {
        // It is said once.
        let _ = self.drops.set(seen.into_iter().collect());
    }

    fn new_gate(&mut self) -> Receiver<Datapath> {
        let (gate, opened) = bounded(1);
        self.gates.push(gate);
        opened
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

    /// Waits until every shard has pinned itself, made its ring and passed its test. Where one cannot have a
    /// ring, with `auto` none has.
    fn gather(
        &mut self,
        choice: DatapathChoice,
        reports: &Receiver<Result<(), NetError>>,
    ) -> Result<(), NetError> {
        for _ in 0..self.threads.len() {
            match reports.recv().map_err(|_| NetError::Ended)? {
                Err(NetError::Datapath { datapath: Datapath::IoUring, reason })
                    if choice == DatapathChoice::Auto =>
                {
                    self.datapath = Datapath::Mmsg;
                    self.reason = format!("io_uring failed on a shard: {reason}");
                }
                report => report?,
            }
        }
        Ok(())
    }

    /// Leaves the sockets to a successor, which serves already. Shards answer what they have received, and
    /// are gone when this returns. The thread of TCP accepts nothing more and serves the connections that it
    /// has, for its configured time at most.
    pub fn retire(&mut self) {
        self.orders.retire();
        self.gates.clear();
        let shards = self.threads.len().saturating_sub(1);
        for thread in self.threads.drain(..shards) {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }

    /// Whether all threads have ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Tells the threads to end and waits for them. What has been received is answered.
    pub fn stop(&mut self) {
        self.gates.clear();
        self.orders.stop();
        for thread in self.threads.drain(..) {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }

    /// What wakes the thread of TCP when it is given jobs back.
    #[must_use]
    pub fn tcp_return(&self) -> Option<TcpReturn> {
        self.tcp_return.clone()
    }

    /// Of each shard second handles of its sockets, in their order, for those who reply in its place. There
    /// are none without desks, and none at the second call.
    #[must_use]
    pub fn take_handles(&mut self) -> Vec<Vec<UdpSocket>> {
        std::mem::take(&mut self.handles)
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

/// Bytes of a shard with so many sockets. A ring takes more than the batch of mmsg.
#[must_use]
pub fn memory_len_of_shard(sockets: usize) -> usize {
    Ring::memory_len(RING_SLOTS, sockets) + Limiter::memory_len()
}

/// Decides between the ring and mmsg before anything depends on it. `Auto` prefers the ring, however many
/// addresses there are, because of how they compare where a shard is busy: in a flood mmsg takes 6 to 8 %
/// more CPU for an answer and gives 10 % fewer. With a few dozen queries under way it takes 3 % less at one
/// address, where it has no poll(2), and as much at ten (loadtest/README.md).
fn choose(choice: DatapathChoice) -> Result<(Datapath, String), NetError> {
    if choice == DatapathChoice::Mmsg {
        return Ok((Datapath::Mmsg, "as configured".to_owned()));
    }
    match sys::self_test() {
        Ok(SelfTest::Passed) => Ok((Datapath::IoUring, "its self-test passed".to_owned())),
        Ok(SelfTest::Skipped) => {
            Ok((Datapath::IoUring, "its self-test was skipped: no loopback interface is up".to_owned()))
        }
        Err(error) if choice == DatapathChoice::Auto => {
            Ok((Datapath::Mmsg, format!("io_uring is not available: {error}")))
        }
        Err(error) => Err(NetError::Datapath { datapath: Datapath::IoUring, reason: error.to_string() }),
    }
}

/// Deals the sockets of each address out to so many shards, in turn. No socket is left over, as there may be
/// queries in it. Where an address has fewer sockets than there are shards, some have one in common: a socket
/// that joined the group would be given queries before anybody serves them.
fn deal(groups: Vec<(SocketAddr, Vec<UdpSocket>)>, shards: usize) -> io::Result<Vec<Vec<ShardSocket>>> {
    let mut dealt: Vec<Vec<ShardSocket>> = (0..shards).map(|_| Vec::new()).collect();
    for (index, (local, group)) in groups.into_iter().enumerate() {
        let listener = Listener { local, index };
        for shard in group.len()..shards {
            let socket = group[shard % group.len()].try_clone()?;
            dealt[shard].push(ShardSocket { socket, listener, is_second: true });
        }
        for (nth, socket) in group.into_iter().enumerate() {
            dealt[nth % shards].push(ShardSocket { socket, listener, is_second: false });
        }
    }
    Ok(dealt)
}

/// What a shard's thread does before it serves.
struct Start {
    cpu: Option<usize>,
    datapath: Datapath,
    busy_poll: usize,
    ready: Sender<Result<(), NetError>>,
    /// Its gate says which datapath to serve with; closed instead of used when the start has failed
    /// elsewhere.
    pauses: Pauses,
    serving: Sender<()>,
    confined: Confined,
}

impl Start {
    /// Pins the thread before anything is allocated, for the ring and its memory to be near the CPU; when
    /// it has its datapath, confines it; then serves.
    fn run(self, mut shard: Shard, orders: &Orders) -> Result<(), String> {
        let Self { cpu, datapath, busy_poll, ready, pauses, serving, confined } = self;
        // Another of the datapath's kind is asked a few questions first.
        let tested = |shard: &mut Shard, datapath: Datapath| {
            probe::probe(datapath, busy_poll, shard.snapshot())?;
            shard.udp(datapath, busy_poll)
        };
        let udp = pin(cpu).and_then(|()| tested(&mut shard, datapath));
        let (report, udp) = match udp {
            Ok(udp) => (Ok(()), Some(udp)),
            Err(error) => (Err(error), None),
        };
        // If the receiver of the reports is gone, so is the gate.
        let _ = ready.send(report);
        drop(ready);
        let Ok(chosen) = pauses.over.recv() else { return Ok(()) };
        let udp = match udp {
            Some(udp) if chosen == datapath => udp,
            udp => {
                drop(udp);
                tested(&mut shard, chosen).map_err(|error| error.to_string())?
            }
        };
        confined.thread(match chosen {
            Datapath::IoUring => Class::ShardRing,
            Datapath::Mmsg => Class::ShardMmsg,
        })?;
        let _ = serving.send(());
        drop(serving);
        shard.serve(udp, orders, &pauses).map_err(|error| format!("the {chosen} datapath failed: {error}"))
    }
}

fn pin(cpu: Option<usize>) -> Result<(), NetError> {
    let Some(cpu) = cpu else { return Ok(()) };
    cpu::pin(cpu).map_err(|error| NetError::Pin { cpu, error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::sockets::{UdpOptions, bind_udp_group};

    /// For each shard the listener of each of its sockets, and whether it is another's too.
    fn dealt(groups: &[usize], shards: usize) -> Vec<Vec<(usize, bool)>> {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let bind = |len: &usize| (any, bind_udp_group(any, *len, &UdpOptions::default()).unwrap());
        let dealt = deal(groups.iter().map(bind).collect(), shards).unwrap();
        let of_shard = |given: Vec<ShardSocket>| {
            given.iter().map(|given| (given.listener.index, given.is_second)).collect()
        };
        dealt.into_iter().map(of_shard).collect()
    }

    #[test]
    fn no_socket_is_left_over_and_no_shard_goes_without() {
        let (own, second) = (false, true);
        assert_eq!(dealt(&[2, 2], 2), [[(0, own), (1, own)], [(0, own), (1, own)]]);
        assert_eq!(dealt(&[5], 2), [vec![(0, own); 3], vec![(0, own); 2]]);
        assert_eq!(
            dealt(&[1, 3], 3),
            [[(0, own), (1, own)], [(0, second), (1, own)], [(0, second), (1, own)],]
        );
    }
}
