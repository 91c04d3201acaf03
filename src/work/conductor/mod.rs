//! The exchange with upstream servers: who is asked, when somebody else is, and which answer is believed.

mod ask;
mod choose;
mod coalesce;
mod directory;
mod ended;
mod events;
mod exchange;
mod io;
mod judge;
mod network;
mod ports;
mod query;
mod random;
mod server;
mod stream;
mod streams;
mod table;
mod tls;
pub mod wheel;

#[cfg(test)]
mod tests;

use std::io::Result;
use std::sync::Arc;
use std::time::Instant;

use mio::Registry;

pub use crate::stats::gauges::{Gauges, ServerGauges, State};
pub use ask::{Ask, Asked, Finished, Waiter};

use crate::limits::{CONDUCTOR_HOUSEKEEPING_EVERY, MMSG_BATCH, PORT_BATCHES_PER_TURN_MAX};
use crate::policy::upstream::{Upstream, UpstreamId};
use crate::serve::snapshot::Snapshot;
use crate::stats::ledger::Ledger;
use crate::sys::datagrams::{self, Inbox, Received};
use io::Io;
use network::Port;
use ports::PORTS_IN_ALL;
use random::Random;
use server::micros;
use table::{Table, Turn};
use wheel::Micros;

/// One thread's exchange with upstream servers.
#[derive(Debug)]
pub struct Conductor {
    table: Table,
    io: Io,
    inbox: Inbox,
    gauges: Arc<Gauges>,
    /// The clock counts from then on.
    began: Instant,
    now: Micros,
    first: usize,
    /// When what is no query's is looked after.
    housekeeping: Option<Micros>,
    /// Sockets that may have more to read.
    unread: Vec<Port>,
}

impl Conductor {
    /// Tokens that it may use, from the first on.
    pub const TOKENS: usize = PORTS_IN_ALL + crate::limits::STREAMS_MAX;

    /// Nobody is known yet. Its sockets will be registered under tokens from `first` on.
    ///
    /// # Errors
    ///
    /// No memory, no descriptors, or no source of random numbers.
    pub fn new(registry: &Registry, first: usize, now: Instant) -> Result<Self> {
        Ok(Self {
            table: Table::new(Random::new()?),
            io: Io::new(registry, first)?,
            inbox: Inbox::new()?,
            gauges: Arc::default(),
            began: now,
            now: 0,
            first,
            housekeeping: None,
            unread: Vec::new(),
        })
    }

    fn micros(&self, at: Instant) -> Micros {
        micros(at.saturating_duration_since(self.began))
    }

    /// The clock of everything below: one that goes back stands still.
    fn clock(&mut self, now: Instant) -> Micros {
        self.now = self.now.max(self.micros(now));
        self.now
    }

    /// Takes the servers of `snapshot`. What is known of servers that stay is kept; what is being asked is
    /// not disturbed.
    pub fn refresh(&mut self, snapshot: &Arc<Snapshot>, now: Instant) {
        if !self.table.directory.has(snapshot.serial()) {
            let policy = snapshot.policy();
            let label = |upstream, place| policy.server_label(upstream, place);
            self.take(snapshot.serial(), policy.upstreams(), &label, now);
        }
    }

    /// As [`refresh`](Self::refresh), where there is no snapshot: the upstreams, and how their servers are
    /// counted.
    pub fn take(
        &mut self,
        serial: u32,
        upstreams: &[Upstream],
        label: &dyn Fn(UpstreamId, usize) -> usize,
        now: Instant,
    ) {
        self.io.now = self.clock(now);
        self.table.directory.take(serial, upstreams, label);
        self.io.want(&self.table.directory);
        self.show();
    }

    /// Asks an upstream of `snapshot`, which may be older than the one that was taken last.
    pub fn ask(
        &mut self,
        snapshot: &Arc<Snapshot>,
        ask: &Ask<'_>,
        waiter: Waiter,
        now: Instant,
        ledger: &mut Ledger,
    ) -> Asked {
        self.refresh(snapshot, now);
        self.ask_of(snapshot.serial(), ask, waiter, now, ledger)
    }

    /// As [`ask`](Self::ask), of upstreams that were taken under this number.
    pub fn ask_of(
        &mut self,
        serial: u32,
        ask: &Ask<'_>,
        waiter: Waiter,
        now: Instant,
        ledger: &mut Ledger,
    ) -> Asked {
        let (now, deadline) = (self.clock(now), self.micros(ask.deadline));
        let (table, mut turn) = self.turn(now, ledger);
        let asked = table.ask(serial, ask, deadline, waiter, &mut turn);
        let next = now.saturating_add(micros(CONDUCTOR_HOUSEKEEPING_EVERY));
        self.housekeeping.get_or_insert(next);
        asked
    }

    fn turn<'t>(&'t mut self, now: Micros, ledger: &'t mut Ledger) -> (&'t mut Table, Turn<'t, Io>) {
        self.io.now = now;
        (&mut self.table, Turn { net: &mut self.io, ledger, now })
    }

    /// This one does not want it any more.
    pub fn cancel(&mut self, waiter: Waiter) {
        self.table.cancel(waiter);
    }

    /// Something has happened at one of its sockets; errors count as both.
    pub fn ready(&mut self, token: usize, readable: bool, writable: bool, now: Instant, ledger: &mut Ledger) {
        // Each is read to its end and written as far as it takes: which of them it was does not matter.
        let _ = (readable, writable);
        let now = self.clock(now);
        let Some(at) = token.checked_sub(self.first) else { return };
        if at < PORTS_IN_ALL {
            self.read_port(at as Port, now, ledger);
        } else {
            self.io.now = now;
            self.io.streams.ready(at - PORTS_IN_ALL, now, &mut self.io.messages);
            self.take_messages(now, ledger);
        }
    }

    /// Reads datagrams, and errors.
    fn read_port(&mut self, port: Port, now: Micros, ledger: &mut Ledger) {
        for _ in 0..PORT_BATCHES_PER_TURN_MAX {
            let Some(socket) = self.io.ports.socket(port) else { return };
            let count = match self.inbox.receive(socket) {
                Received::Some(count) => count,
                Received::Error => {
                    self.take_errors(port, now, ledger);
                    continue;
                }
            };
            for message in 0..count {
                let Some((from, bytes)) = self.inbox.datagram(message) else { continue };
                self.io.now = now;
                let mut turn = Turn { net: &mut self.io, ledger, now };
                self.table.datagram(port, from, bytes, &mut turn);
            }
            if count == 0 {
                // Then it was an error that has woken us.
                self.take_errors(port, now, ledger);
            }
            if count < MMSG_BATCH {
                return;
            }
        }
        self.unread.push(port);
    }

    fn take_errors(&mut self, port: Port, now: Micros, ledger: &mut Ledger) {
        let Some(socket) = self.io.ports.socket(port) else { return };
        let mut errors = Vec::new();
        let has_more = datagrams::take_errors(socket, &mut |to, query| errors.push((to, query.to_vec())));
        for (to, query) in errors {
            let (table, mut turn) = self.turn(now, ledger);
            table.refused(port, to, &query, &mut turn);
        }
        if has_more {
            self.unread.push(port);
        }
    }

    /// Takes what came over connections, and what those that have ended owed.
    fn take_messages(&mut self, now: Micros, ledger: &mut Ledger) {
        let mut messages = std::mem::take(&mut self.io.messages);
        messages.drain(&mut |key, message: &mut [u8]| {
            let (table, mut turn) = self.turn(now, ledger);
            table.message(key, message, &mut turn);
        });
        self.io.messages = messages;
        // Each gives back what it owed once, and another try may end another connection: not without end.
        while let Some(given) = self.io.streams.given_back.pop() {
            let (table, mut turn) = self.turn(now, ledger);
            table.given_back(given.key, given.was_useful, &mut turn);
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant, ledger: &mut Ledger) {
        let now = self.clock(now);
        let (table, mut turn) = self.turn(now, ledger);
        table.expire(&mut turn);
        for port in std::mem::take(&mut self.unread) {
            self.read_port(port, now, ledger);
        }
        if self.io.streams.has_unread() {
            self.io.streams.read_on(now, &mut self.io.messages);
        }
        self.take_messages(now, ledger);
        if self.housekeeping.is_some_and(|at| at <= now) {
            self.flush_at(now, ledger);
            self.io.ports.housekeep(now);
            self.io.streams.housekeep(now);
            self.take_messages(now, ledger);
            self.show();
            let is_restless = self.table.in_use() > 0 || self.io.is_restless();
            self.housekeeping = is_restless.then(|| now.saturating_add(micros(CONDUCTOR_HOUSEKEEPING_EVERY)));
        }
    }

    /// Sends what is queued.
    pub fn flush(&mut self, now: Instant, ledger: &mut Ledger) {
        let now = self.clock(now);
        self.flush_at(now, ledger);
    }

    fn flush_at(&mut self, now: Micros, ledger: &mut Ledger) {
        // What the kernel does not take is tried elsewhere at once; each question has few tries, so this
        // ends.
        loop {
            self.io.ports.flush();
            self.io.streams.flush();
            self.take_messages(now, ledger);
            for port in std::mem::take(&mut self.io.ports.failing) {
                self.take_errors(port, now, ledger);
            }
            let lost = std::mem::take(&mut self.io.ports.lost);
            if lost.is_empty() && self.io.is_flushed() {
                return;
            }
            for (port, id) in lost {
                let (table, mut turn) = self.turn(now, ledger);
                table.lost(port, id, &mut turn);
            }
        }
    }

    /// Hands over what has finished since the last call.
    pub fn finished(&mut self, take: &mut impl FnMut(&Finished<'_>)) {
        self.table.finished(take);
    }

    /// When [`tick`](Self::tick) has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let is_now = !self.unread.is_empty() || self.io.streams.has_unread() || self.table.has_ended();
        let next = if is_now {
            Some(0)
        } else {
            [self.table.next_event(), self.housekeeping].into_iter().flatten().min()
        };
        next.map(|at| self.began + std::time::Duration::from_micros(at))
    }

    /// Whether no server of an upstream can be asked now.
    #[must_use]
    pub fn is_down(&self, snapshot: &Arc<Snapshot>, upstream: UpstreamId, now: Instant) -> bool {
        self.table.is_down(snapshot.serial(), upstream, self.micros(now))
    }

    /// Whether a server of an upstream was seen to be back after this moment; without one, any server.
    #[must_use]
    pub fn has_recovered_since(
        &self,
        snapshot: &Arc<Snapshot>,
        upstream: Option<UpstreamId>,
        at: Instant,
    ) -> bool {
        let target = upstream.map(|upstream| self.table.directory.find(snapshot.serial(), upstream));
        // Whom nobody has asked yet has not been away.
        target != Some(None) && self.table.directory.has_recovered_since(target.flatten(), self.micros(at))
    }

    /// What others can see of the servers.
    #[must_use]
    pub fn gauges(&self) -> Arc<Gauges> {
        Arc::clone(&self.gauges)
    }

    /// Lets others see the servers.
    fn show(&self) {
        self.table.directory.each_server(|label, server| {
            let srtt = std::time::Duration::from_micros(server.srtt().unwrap_or(0));
            self.gauges.server(label).set(server.state(), srtt, server.in_flight());
        });
    }

    /// Bytes of one at most.
    #[must_use]
    pub fn memory_len() -> usize {
        size_of::<Gauges>() + Table::MEMORY_LEN + Io::MEMORY_LEN + datagrams::batch_memory_len()
    }
}
