//! The upstreams of the snapshots in use, and their servers. A server is known by its address and how it is
//! asked, whichever upstreams name it and however often they are read again.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

use super::choose::Choice;
use super::network::Address;
use super::server::{Server, micros};
use super::wheel::Micros;
use crate::limits::{SERVERS_PER_UPSTREAM_MAX, UPSTREAM_TRIES_MAX, UPSTREAM_VIEWS_MAX};
use crate::policy::upstream::{Choose, Upstream, UpstreamId};

/// An upstream of one snapshot.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) upstream: UpstreamId,
    /// The numbers of its servers, by their places.
    pub(super) servers: Vec<u32>,
    /// How they are counted, by their places.
    pub(super) labels: Vec<u8>,
    pub(super) choose: Choose,
    pub(super) explore: f32,
    pub(super) timeout: Micros,
    pub(super) tries: u8,
    pub(super) is_case_random: bool,
    pub(super) has_cookies: bool,
    /// Questions that are asked of it, and whether a snapshot in use has it. With neither it goes.
    exchanges: u32,
    is_seen: bool,
}

/// What a snapshot calls its upstreams.
#[derive(Debug)]
struct View {
    serial: u32,
    /// The number of each upstream's target.
    targets: Vec<u16>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Directory {
    /// What is known of each server, by its number.
    pub(super) known: Vec<Server>,
    /// Who it is; `None` for a number that is free.
    addresses: Vec<Option<Address>>,
    targets: Vec<Option<Target>>,
    /// The newest last.
    views: Vec<View>,
    secrets: RandomState,
}

impl Directory {
    pub(super) fn new() -> Self {
        Self {
            known: Vec::new(),
            addresses: Vec::new(),
            targets: Vec::new(),
            views: Vec::new(),
            secrets: RandomState::new(),
        }
    }

    /// Whether a snapshot's upstreams are here.
    pub(super) fn has(&self, serial: u32) -> bool {
        self.views.iter().any(|view| view.serial == serial)
    }

    /// Takes the upstreams of a snapshot. Of one with too many servers the first count.
    pub(super) fn take(
        &mut self,
        serial: u32,
        upstreams: &[Upstream],
        label: &dyn Fn(UpstreamId, usize) -> usize,
    ) {
        let targets = (0..).zip(upstreams).map(|(id, upstream)| {
            let addresses = upstream.servers.iter().take(SERVERS_PER_UPSTREAM_MAX);
            let addresses = addresses.map(|&socket| Address { socket, over: upstream.over.clone() });
            let servers: Vec<u32> = addresses.map(|address| self.server(address)).collect();
            let labels = (0..servers.len()).map(|place| label(id, place) as u8).collect();
            self.add(Target {
                upstream: id,
                servers,
                labels,
                choose: upstream.choose,
                explore: upstream.explore,
                timeout: micros(upstream.timeout),
                tries: usize::from(upstream.tries).clamp(1, UPSTREAM_TRIES_MAX) as u8,
                is_case_random: upstream.case_randomization,
                has_cookies: upstream.cookies,
                exchanges: 0,
                is_seen: true,
            })
        });
        let view = View { serial, targets: targets.collect() };
        let at = self.views.partition_point(|other| other.serial < serial);
        self.views.insert(at, view);
        if self.views.len() > UPSTREAM_VIEWS_MAX {
            // Not the one that somebody asks by now, though it may be the oldest.
            self.views.remove(usize::from(at == 0)).targets.into_iter().for_each(|target| {
                if let Some(gone) = &mut self.targets[usize::from(target)] {
                    gone.is_seen = false;
                }
            });
        }
        self.sweep();
    }

    fn add(&mut self, target: Target) -> u16 {
        let at = self.targets.iter().position(Option::is_none).unwrap_or(self.targets.len());
        if at == self.targets.len() {
            self.targets.push(None);
        }
        self.targets[at] = Some(target);
        at as u16
    }

    /// The number of a server.
    fn server(&mut self, address: Address) -> u32 {
        let is = |known: &Option<Address>| known.as_ref() == Some(&address);
        if let Some(at) = self.addresses.iter().position(is) {
            return at as u32;
        }
        // Each server gets a cookie of its own, which tells nothing of the others (RFC 7873, section 4.1).
        let server = Server::new(self.secrets.hash_one(address.socket).to_be_bytes());
        let at = self.addresses.iter().position(Option::is_none).unwrap_or(self.addresses.len());
        if at == self.addresses.len() {
            self.addresses.push(None);
            self.known.push(Server::new([0; 8]));
        }
        self.addresses[at] = Some(address);
        self.known[at] = server;
        at as u32
    }

    /// Forgets what nobody can ask now.
    fn sweep(&mut self) {
        for target in &mut self.targets {
            if target.as_ref().is_some_and(|target| !target.is_seen && target.exchanges == 0) {
                *target = None;
            }
        }
        for (server, address) in (0..).zip(&mut self.addresses) {
            let has = |target: &Target| target.servers.contains(&server);
            if !self.targets.iter().flatten().any(has) {
                *address = None;
            }
        }
    }

    /// The number of an upstream's target.
    pub(super) fn find(&self, serial: u32, upstream: UpstreamId) -> Option<u16> {
        // Nearly always the newest.
        let view = self.views.iter().rev().find(|view| view.serial == serial)?;
        view.targets.get(usize::from(upstream)).copied()
    }

    pub(super) fn target(&self, target: u16) -> &Target {
        self.targets[usize::from(target)].as_ref().expect("who asks keeps it")
    }

    /// A question is asked of it.
    pub(super) fn hold(&mut self, target: u16) {
        if let Some(target) = &mut self.targets[usize::from(target)] {
            target.exchanges += 1;
        }
    }

    /// It is no longer asked.
    pub(super) fn release(&mut self, target: u16) {
        let Some(held) = &mut self.targets[usize::from(target)] else { return };
        held.exchanges -= 1;
        if held.exchanges == 0 && !held.is_seen {
            self.sweep();
        }
    }

    pub(super) fn address(&self, server: u32) -> &Address {
        self.addresses[server as usize].as_ref().expect("a target names it")
    }

    /// Whether a server is at an address.
    pub(super) fn is_at(&self, server: u32, address: SocketAddr) -> bool {
        let known = self.addresses.get(server as usize).and_then(Option::as_ref);
        // What the kernel says of a scope is not what an operator has written.
        known.is_some_and(|known| known.socket.ip() == address.ip() && known.socket.port() == address.port())
    }

    pub(super) fn server_mut(&mut self, server: u32) -> &mut Server {
        &mut self.known[server as usize]
    }

    /// The choice among a target's servers.
    pub(super) fn choice(&self, target: u16, hash: u64, now: Micros) -> Choice<'_> {
        let target = self.target(target);
        Choice {
            choose: target.choose,
            explore: target.explore,
            servers: &target.servers,
            known: &self.known,
            hash,
            now,
        }
    }

    /// Whether a server of an upstream was seen to be back after this moment; without one, any server.
    pub(super) fn has_recovered_since(&self, target: Option<u16>, at: Micros) -> bool {
        let has = |server: &Server| server.has_recovered_since(at);
        match target {
            Some(target) => {
                self.target(target).servers.iter().any(|&server| has(&self.known[server as usize]))
            }
            None => self.known.iter().any(has),
        }
    }

    /// Calls `see` with the label of each server of the newest snapshot, and what is known of it.
    pub(super) fn each_server(&self, mut see: impl FnMut(usize, &Server)) {
        let Some(view) = self.views.last() else { return };
        for &target in &view.targets {
            let target = self.target(target);
            for (&server, &label) in target.servers.iter().zip(&target.labels) {
                see(usize::from(label), &self.known[server as usize]);
            }
        }
    }

    /// Those that are known.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &Address> + Clone {
        self.addresses.iter().flatten()
    }
}
