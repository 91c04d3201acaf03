//! Our UDP sockets: some for each family, each on a random port, one of which is replaced every second. A
//! batch leaves through one of them, chosen at random.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::network::Port;
use super::random::Random;
use super::server::micros;
use super::wheel::Micros;
use crate::limits::{
    FORGED_PER_PORT_MAX, MMSG_BATCH, PORT_BUFFER_LEN, PORT_RENEWED_EVERY, PORTS, PORTS_OLD_MAX,
};
use crate::sys::datagrams::{self, Outbox};

/// Sockets of both families, with those that only wait.
pub(super) const PORTS_IN_ALL: usize = 2 * (PORTS + PORTS_OLD_MAX);
const _: () = assert!(PORTS_IN_ALL <= Port::MAX as usize + 1);

/// One socket.
#[derive(Debug)]
struct Slot {
    socket: UdpSocket,
    is_ipv6: bool,
    /// Queries whose answers are waited for.
    waiting: u32,
    /// What came and answered nothing.
    forged: u32,
    /// Another one has its place: it goes when nothing is waited for.
    is_old: bool,
}

/// The sockets of a family that queries leave through.
#[derive(Debug, Default)]
struct Family {
    current: Vec<Port>,
    /// The place in `current` that is renewed next.
    next: usize,
    /// Sockets that are old.
    old: usize,
    /// The batch that is being made, its socket, and the IDs in it.
    outbox: Option<Outbox>,
    batch: Option<Port>,
    ids: Vec<u16>,
    is_wanted: bool,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Ports {
    slots: Vec<Option<Slot>>,
    families: [Family; 2],
    registry: Registry,
    first: usize,
    renewed: Micros,
    /// When sockets that could not be had were tried for last.
    tried: Micros,
    /// Something has left since then.
    is_used: bool,
    /// Datagrams that the kernel did not take.
    pub(super) lost: Vec<(Port, u16)>,
    /// A socket in which errors wait.
    pub(super) failing: Vec<Port>,
}

impl Ports {
    /// Bytes at most, but for what the kernel keeps.
    pub(super) const MEMORY_LEN: usize = 2 * datagrams::batch_memory_len()
        + PORTS_IN_ALL * size_of::<Option<Slot>>()
        + 2 * MMSG_BATCH * size_of::<u16>();

    /// None yet.
    pub(super) fn new(registry: Registry, first: usize) -> Self {
        Self {
            slots: (0..PORTS_IN_ALL).map(|_| None).collect(),
            families: Default::default(),
            registry,
            first,
            renewed: 0,
            tried: 0,
            is_used: false,
            lost: Vec::new(),
            failing: Vec::new(),
        }
    }

    /// From now on a family is used, or not.
    ///
    /// # Errors
    ///
    /// There is no socket of this family.
    pub(super) fn want(&mut self, is_ipv6: bool, is_wanted: bool) -> io::Result<()> {
        let family = &mut self.families[usize::from(is_ipv6)];
        family.is_wanted = is_wanted;
        if !is_wanted {
            for port in std::mem::take(&mut family.current) {
                self.retire(port);
            }
            return Ok(());
        }
        if family.outbox.is_none() {
            family.outbox = Some(Outbox::new()?);
            family.ids.reserve(MMSG_BATCH);
        }
        while self.families[usize::from(is_ipv6)].current.len() < PORTS {
            match self.open(is_ipv6) {
                Ok(port) => self.families[usize::from(is_ipv6)].current.push(port),
                // Some are better than none.
                Err(_) if !self.families[usize::from(is_ipv6)].current.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn open(&mut self, is_ipv6: bool) -> io::Result<Port> {
        let at = self.slots.iter().position(Option::is_none).ok_or(io::ErrorKind::QuotaExceeded)?;
        let socket = datagrams::open(is_ipv6, PORT_BUFFER_LEN)?;
        let token = Token(self.first + at);
        self.registry.register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)?;
        self.slots[at] = Some(Slot { socket, is_ipv6, waiting: 0, forged: 0, is_old: false });
        Ok(at as Port)
    }

    /// Nothing leaves through it from now on.
    fn retire(&mut self, port: Port) {
        let Some(slot) = &mut self.slots[usize::from(port)] else { return };
        slot.is_old = true;
        self.families[usize::from(slot.is_ipv6)].old += 1;
    }

    /// Puts another socket in the place of one. False if there cannot be one now.
    fn replace(&mut self, is_ipv6: bool, place: usize) -> bool {
        let family = &self.families[usize::from(is_ipv6)];
        if family.old >= PORTS_OLD_MAX || place >= family.current.len() {
            return false;
        }
        let Ok(port) = self.open(is_ipv6) else { return false };
        let old = std::mem::replace(&mut self.families[usize::from(is_ipv6)].current[place], port);
        self.retire(old);
        true
    }

    /// Renews a socket of each family if it is time and there was traffic, tries again for those that could
    /// not be had, and closes old ones. Nothing is queued.
    pub(super) fn housekeep(&mut self, now: Micros) {
        let is_due = now.saturating_sub(self.tried) >= micros(PORT_RENEWED_EVERY);
        for is_ipv6 in [false, true] {
            let family = &self.families[usize::from(is_ipv6)];
            if is_due && family.is_wanted && family.current.len() < PORTS {
                self.tried = now;
                // Without any, queries go on being unreachable.
                let _ = self.want(is_ipv6, true);
            }
        }
        if self.is_used && now.saturating_sub(self.renewed) >= micros(PORT_RENEWED_EVERY) {
            (self.renewed, self.is_used) = (now, false);
            for is_ipv6 in [false, true] {
                let family = &mut self.families[usize::from(is_ipv6)];
                let place = family.next;
                family.next = (place + 1) % PORTS;
                self.replace(is_ipv6, place);
            }
        }
        for slot in &mut self.slots {
            if let Some(old) = slot
                && old.is_old
                && old.waiting == 0
            {
                self.families[usize::from(old.is_ipv6)].old -= 1;
                // Closing it takes it out of the poll.
                *slot = None;
            }
        }
    }

    /// Whether [`housekeep`](Self::housekeep) will have something to do.
    pub(super) fn is_restless(&self) -> bool {
        self.is_used || self.families.iter().any(|family| family.old > 0)
    }

    pub(super) fn socket(&self, port: Port) -> Option<&UdpSocket> {
        self.slots.get(usize::from(port))?.as_ref().map(|slot| &slot.socket)
    }

    /// The socket that the next datagram of a family leaves through.
    pub(super) fn port(&mut self, is_ipv6: bool, random: &mut Random) -> Option<Port> {
        let family = &mut self.families[usize::from(is_ipv6)];
        if family.outbox.as_ref().is_some_and(Outbox::is_full) {
            self.send(is_ipv6);
        }
        let family = &mut self.families[usize::from(is_ipv6)];
        if family.batch.is_none() && !family.current.is_empty() {
            family.batch = Some(family.current[random.below(family.current.len())]);
        }
        family.batch
    }

    /// Queues a datagram for the socket that was told last.
    pub(super) fn push(&mut self, id: u16, to: &SocketAddr, write: impl FnOnce(&mut [u8]) -> usize) {
        let family = &mut self.families[usize::from(to.is_ipv6())];
        let (Some(outbox), Some(port)) = (&mut family.outbox, family.batch) else { return };
        outbox.push(to, write);
        family.ids.push(id);
        self.is_used = true;
        if let Some(slot) = &mut self.slots[usize::from(port)] {
            slot.waiting += 1;
        }
    }

    /// Sends what is queued.
    pub(super) fn flush(&mut self) {
        self.send(false);
        self.send(true);
    }

    fn send(&mut self, is_ipv6: bool) {
        let family = &mut self.families[usize::from(is_ipv6)];
        let (Some(outbox), Some(port)) = (&mut family.outbox, family.batch.take()) else { return };
        let Some(slot) = &self.slots[usize::from(port)] else { return };
        let (ids, lost) = (&family.ids, &mut self.lost);
        let has_errors = outbox.send(&slot.socket, &mut |place, _| lost.push((port, ids[place])));
        family.ids.clear();
        if has_errors {
            self.failing.push(port);
        }
    }

    /// Whether all that was queued has been sent.
    pub(super) fn is_flushed(&self) -> bool {
        self.failing.is_empty() && self.families.iter().all(|family| family.batch.is_none())
    }

    pub(super) fn settled(&mut self, port: Port) {
        if let Some(slot) = &mut self.slots[usize::from(port)] {
            slot.waiting -= 1;
        }
    }

    /// See [`Network::forged`](super::network::Network::forged).
    pub(super) fn forged(&mut self, port: Port) -> bool {
        let Some(slot) = &mut self.slots[usize::from(port)] else { return false };
        slot.forged += 1;
        if slot.is_old || slot.forged < FORGED_PER_PORT_MAX {
            return false;
        }
        slot.forged = 0;
        let is_ipv6 = slot.is_ipv6;
        let place = self.families[usize::from(is_ipv6)].current.iter().position(|&current| current == port);
        place.is_some_and(|place| self.replace(is_ipv6, place))
    }
}
