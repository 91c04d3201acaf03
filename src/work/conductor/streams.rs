//! The connections to all servers: opened when there is a query for one, read and written when they are
//! ready.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::network::{Address, Queued, TryKey};
use super::stream::{Broken, Stream};
use super::tls::Client;
use super::wheel::Micros;
use crate::limits::{STREAM_READ_LEN, STREAM_READS_PER_TURN_MAX, STREAMS_MAX, STREAMS_PER_SERVER_MAX};
use crate::policy::upstream::{Over, Roots};

/// One connection.
#[derive(Debug)]
struct Slot {
    socket: TcpStream,
    stream: Stream,
    server: SocketAddr,
    over: Over,
    /// Something is queued that was not written.
    is_dirty: bool,
}

/// A connection that has ended, and what it owed.
#[derive(Debug)]
pub(super) struct GivenBack {
    pub(super) key: TryKey,
    pub(super) was_useful: bool,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Streams {
    slots: Vec<Option<Slot>>,
    registry: Registry,
    first: usize,
    /// For each name and those who may sign for it.
    clients: Vec<(String, Roots, Client)>,
    buffer: Box<[u8]>,
    /// Queries of connections that have ended.
    pub(super) given_back: Vec<GivenBack>,
    /// Connections that may have more to read.
    unread: Vec<usize>,
    is_dirty: bool,
}

impl Streams {
    /// Bytes at most.
    pub(super) const MEMORY_LEN: usize =
        STREAM_READ_LEN + STREAMS_MAX * (size_of::<Slot>() + Stream::MEMORY_LEN);

    pub(super) fn new(registry: Registry, first: usize) -> Self {
        Self {
            slots: (0..STREAMS_MAX).map(|_| None).collect(),
            registry,
            first,
            clients: Vec::new(),
            buffer: vec![0; STREAM_READ_LEN].into(),
            given_back: Vec::new(),
            unread: Vec::new(),
            is_dirty: false,
        }
    }

    /// Prepares TLS for a server; what is known of its sessions stays.
    pub(super) fn want<'a>(&mut self, addresses: impl Iterator<Item = &'a Address> + Clone) {
        let is_wanted = |name: &String, roots: &Roots| {
            let mut overs = addresses.clone().map(|address| &address.over);
            overs.any(|over| matches!(over, Over::Tls { name: n, roots: r, .. } if n == name && r == roots))
        };
        self.clients.retain(|(name, roots, _)| is_wanted(name, roots));
        for address in addresses {
            if let Over::Tls { name, roots, .. } = &address.over
                && self.client(name, roots).is_none()
                && let Some(client) = Client::new(name, roots)
            {
                self.clients.push((name.clone(), roots.clone(), client));
            }
        }
    }

    fn client(&self, name: &str, roots: &Roots) -> Option<&Client> {
        self.clients.iter().find(|(n, r, _)| n == name && r == roots).map(|(.., client)| client)
    }

    /// Queues a query for a connection to a server: the one with the least to do, or a new one while all that
    /// there are owe answers.
    pub(super) fn push(&mut self, address: &Address, key: TryKey, query: &[u8], now: Micros) -> Queued {
        let over = if address.over == Over::Udp { Over::Tcp } else { address.over.clone() };
        let there = |slot: &Option<Slot>| {
            slot.as_ref().is_some_and(|slot| slot.server == address.socket && slot.over == over)
        };
        let count = self.slots.iter().filter(|slot| there(slot)).count();
        let free =
            |slot: &Option<Slot>| there(slot) && slot.as_ref().is_some_and(|slot| !slot.stream.is_full());
        let places = (0..self.slots.len()).filter(|&at| free(&self.slots[at]));
        let pending = |at: usize| self.slots[at].as_ref().map_or(0, |slot| slot.stream.pending());
        let best = places.min_by_key(|&at| pending(at)).map(|at| (at, pending(at)));
        let at = match best {
            // Pipelining costs nothing while little waits; a slow answer holds up the others on some servers.
            Some((at, pending)) if pending < 8 || count >= STREAMS_PER_SERVER_MAX => at,
            _ if count < STREAMS_PER_SERVER_MAX => match self.open(address, over, now) {
                Some(at) => at,
                None => match best {
                    Some((at, _)) => at,
                    None => return Queued::No,
                },
            },
            _ => return Queued::No,
        };
        let Some(slot) = &mut self.slots[at] else { return Queued::No };
        (slot.is_dirty, self.is_dirty) = (true, true);
        match slot.stream.push(key, query, now) {
            Ok(()) if slot.stream.is_ready() => Queued::Open,
            Ok(()) => Queued::Opening,
            Err(Broken) => Queued::No,
        }
    }

    fn open(&mut self, address: &Address, over: Over, now: Micros) -> Option<usize> {
        let at = self.slots.iter().position(Option::is_none)?;
        let tls = match &over {
            Over::Tls { name, roots, .. } => Some(self.client(name, roots)?.connect()?),
            Over::Udp | Over::Tcp => None,
        };
        let mut socket = TcpStream::connect(address.socket).ok()?;
        // Queries are small, and none waits for another one's acknowledgement.
        let _ = socket.set_nodelay(true);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(&mut socket, Token(self.first + at), interest).ok()?;
        let stream = Stream::new(tls, now);
        self.slots[at] = Some(Slot { socket, stream, server: address.socket, over, is_dirty: true });
        Some(at)
    }

    /// Something has happened at a connection. What has come is added to `messages`.
    pub(super) fn ready(&mut self, at: usize, now: Micros, messages: &mut Messages) {
        let Some(Some(slot)) = self.slots.get_mut(at) else { return };
        let outcome = slot.ready(&mut self.buffer, now, messages);
        match outcome {
            Ok(true) => self.unread.push(at),
            Ok(false) => {}
            Err(Broken) => self.close(at),
        }
    }

    /// Reads on where there may be more.
    pub(super) fn read_on(&mut self, now: Micros, messages: &mut Messages) {
        for at in std::mem::take(&mut self.unread) {
            self.ready(at, now, messages);
        }
    }

    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Writes what is queued.
    pub(super) fn flush(&mut self) {
        if !std::mem::take(&mut self.is_dirty) {
            return;
        }
        for at in 0..self.slots.len() {
            if let Some(slot) = &mut self.slots[at]
                && std::mem::take(&mut slot.is_dirty)
                && slot.write().is_err()
            {
                self.close(at);
            }
        }
    }

    fn close(&mut self, at: usize) {
        let Some(mut slot) = self.slots[at].take() else { return };
        let was_useful = slot.stream.is_useful();
        self.given_back.extend(slot.stream.give_back().map(|key| GivenBack { key, was_useful }));
        let _ = self.registry.deregister(&mut slot.socket);
    }

    /// Closes connections that rest, or owe something and say nothing.
    pub(super) fn housekeep(&mut self, now: Micros) {
        for at in 0..self.slots.len() {
            if self.slots[at].as_ref().is_some_and(|slot| slot.stream.is_over(now)) {
                self.close(at);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }
}

impl Slot {
    /// Reads and writes as far as it goes. True if there may be more to read.
    fn ready(&mut self, buffer: &mut [u8], now: Micros, messages: &mut Messages) -> Result<bool, Broken> {
        if !self.stream.is_open() {
            match (self.socket.take_error(), self.socket.peer_addr()) {
                (Ok(None), Ok(_)) => self.stream.connected(now),
                (Ok(None), Err(error)) if error.kind() == io::ErrorKind::NotConnected => return Ok(false),
                _ => return Err(Broken),
            }
        }
        for _ in 0..STREAM_READS_PER_TURN_MAX {
            match self.socket.read(buffer) {
                Ok(0) => return Err(Broken),
                Ok(len) => self.stream.read(&buffer[..len], now)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.write()?;
                    return Ok(false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Broken),
            }
            while let Some((key, message)) = self.stream.next()? {
                messages.add(key, message);
            }
        }
        self.write()?;
        Ok(true)
    }

    fn write(&mut self) -> Result<(), Broken> {
        if !self.stream.is_open() {
            return Ok(());
        }
        loop {
            let bytes = self.stream.unwritten();
            if bytes.is_empty() {
                return Ok(());
            }
            match self.socket.write(bytes) {
                Ok(len) => self.stream.wrote(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Broken),
            }
        }
    }
}

/// Messages and the queries that they answer, side by side in a buffer that stays.
#[derive(Debug, Default)]
pub(super) struct Messages {
    list: Vec<(TryKey, usize)>,
    bytes: Vec<u8>,
}

impl Messages {
    pub(super) fn add(&mut self, key: TryKey, message: &[u8]) {
        self.bytes.extend_from_slice(message);
        self.list.push((key, self.bytes.len()));
    }

    /// Hands all over.
    pub(super) fn drain(&mut self, take: &mut impl FnMut(TryKey, &mut [u8])) {
        let mut at = 0;
        for (key, end) in self.list.drain(..) {
            take(key, &mut self.bytes[at..end]);
            at = end;
        }
        self.bytes.clear();
    }
}
