//! What really carries queries: our sockets, and the connections.

use std::io;
use std::net::SocketAddr;

use mio::Registry;

use super::directory::Directory;
use super::network::{Address, Network, Port, Queued, TryKey};
use super::ports::{PORTS_IN_ALL, Ports};
use super::random::Random;
use super::streams::{Messages, Streams};
use super::wheel::Micros;
use crate::limits::STREAM_READ_LEN;
use crate::policy::upstream::Over;

/// Sockets and connections.
#[derive(Debug)]
pub(super) struct Io {
    pub(super) ports: Ports,
    pub(super) streams: Streams,
    /// What came over connections.
    pub(super) messages: Messages,
    random: Random,
    pub(super) now: Micros,
}

impl Io {
    /// Bytes at most.
    pub(super) const MEMORY_LEN: usize = Ports::MEMORY_LEN + Streams::MEMORY_LEN + 2 * STREAM_READ_LEN;

    pub(super) fn new(registry: &Registry, first: usize) -> io::Result<Self> {
        Ok(Self {
            ports: Ports::new(registry.try_clone()?, first),
            streams: Streams::new(registry.try_clone()?, first + PORTS_IN_ALL),
            messages: Messages::default(),
            random: Random::new()?,
            now: 0,
        })
    }

    /// Opens what the servers of a directory need.
    pub(super) fn want(&mut self, directory: &Directory) {
        for is_ipv6 in [false, true] {
            let is = |address: &Address| address.over == Over::Udp && address.socket.is_ipv6() == is_ipv6;
            // Without sockets its servers cannot be reached, which is counted with each query.
            let _ = self.ports.want(is_ipv6, directory.addresses().any(is));
        }
        self.streams.want(directory.addresses());
    }

    pub(super) fn is_restless(&self) -> bool {
        self.ports.is_restless() || !self.streams.is_empty()
    }

    /// Whether everything has left that is queued.
    pub(super) fn is_flushed(&self) -> bool {
        self.ports.is_flushed() && self.streams.given_back.is_empty()
    }
}

impl Network for Io {
    fn port(&mut self, is_ipv6: bool) -> Option<Port> {
        self.ports.port(is_ipv6, &mut self.random)
    }

    fn datagram(&mut self, id: u16, to: &SocketAddr, write: impl FnOnce(&mut [u8]) -> usize) {
        self.ports.push(id, to, write);
    }

    fn settled(&mut self, port: Port) {
        self.ports.settled(port);
    }

    fn forged(&mut self, port: Port) -> bool {
        self.ports.forged(port)
    }

    fn message(&mut self, _: u32, address: &Address, key: TryKey, query: &[u8]) -> Queued {
        self.streams.push(address, key, query, self.now)
    }
}
