//! The network and the clock of the tests.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::limits::{CIRCUIT_OPEN_MAX, FORGED_PER_PORT_MAX, UPSTREAM_QUERY_LEN_MAX};
use crate::policy::facts::Outcome;
use crate::policy::upstream::{Choose, Ecs, Over, Upstream};
use crate::stats::counters::{Place, Totals};
use crate::stats::ledger::{Ledger, LedgerSettings, Stream, ledger};
use crate::work::conductor::ask::{Ask, Asked, Waiter};
use crate::work::conductor::network::{Address, Network, Port, Queued, TryKey};
use crate::work::conductor::random::Random;
use crate::work::conductor::server::micros;
use crate::work::conductor::table::{Table, Turn};
use crate::work::conductor::wheel::Micros;

pub(super) const MS: Micros = 1000;
pub(super) const S: Micros = 1_000_000;
pub(super) const QNAME: &[u8] = b"\x03www\x07example\x03org\x00";

/// A query that left.
#[derive(Clone, Debug)]
pub(super) struct Left {
    pub(super) port: Port,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
    /// It went over a connection.
    pub(super) key: Option<TryKey>,
}

impl Left {
    pub(super) fn id(&self) -> u16 {
        u16::from_be_bytes([self.bytes[0], self.bytes[1]])
    }

    pub(super) fn has_edns(&self) -> bool {
        self.bytes[11] == 1
    }

    /// Where the question ends.
    pub(super) fn question_end(&self) -> usize {
        let mut at = 12;
        while self.bytes[at] != 0 {
            at += usize::from(self.bytes[at]) + 1;
        }
        at + 5
    }

    /// The cookie in it.
    pub(super) fn cookie(&self) -> Option<&[u8]> {
        let options = self.bytes.get(self.question_end() + 11..)?;
        (options.get(..2)? == [0, 10]).then(|| &options[4..4 + usize::from(options[3])])
    }

    /// A response without records, with an OPT if the query has one.
    pub(super) fn response(&self, rcode: u16) -> Vec<u8> {
        self.response_with(rcode, self.has_edns().then_some(&[]))
    }

    pub(super) fn response_with(&self, rcode: u16, options: Option<&[u8]>) -> Vec<u8> {
        let mut out = self.bytes[..self.question_end()].to_vec();
        (out[2], out[3]) = (0x84, rcode as u8 & 0xF);
        out[11] = u8::from(options.is_some());
        if let Some(options) = options {
            out.extend([0, 0, 41, 4, 208, (rcode >> 4) as u8, 0, 0, 0, 0, options.len() as u8]);
            out.extend(options);
        }
        out
    }

    /// With a cookie that has ours and this.
    pub(super) fn response_with_cookie(&self, rcode: u16, server: &[u8]) -> Vec<u8> {
        let client = &self.cookie().expect("there is one")[..8];
        let len = (8 + server.len()) as u8;
        self.response_with(rcode, Some(&[&[0, 10, 0, len], client, server].concat()))
    }
}

/// A network that holds what was sent.
#[derive(Debug, Default)]
pub(super) struct Net {
    pub(super) left: Vec<Left>,
    pub(super) waiting: HashMap<Port, u32>,
    forged: HashMap<Port, u32>,
    pub(super) port: Port,
    pub(super) ports_given_up: usize,
    pub(super) has_ports: bool,
    pub(super) streams: Option<Queued>,
}

impl Network for Net {
    fn port(&mut self, _: bool) -> Option<Port> {
        self.has_ports.then_some(self.port)
    }

    fn datagram(&mut self, id: u16, to: &SocketAddr, write: impl FnOnce(&mut [u8]) -> usize) {
        let mut bytes = vec![0xAA; UPSTREAM_QUERY_LEN_MAX];
        let len = write(&mut bytes);
        bytes.truncate(len);
        assert_eq!(id.to_be_bytes(), bytes[..2]);
        self.left.push(Left { port: self.port, to: *to, bytes, key: None });
        *self.waiting.entry(self.port).or_default() += 1;
    }

    fn settled(&mut self, port: Port) {
        *self.waiting.get_mut(&port).unwrap() -= 1;
    }

    fn forged(&mut self, port: Port) -> bool {
        let forged = self.forged.entry(port).or_default();
        *forged += 1;
        let is_enough = *forged >= FORGED_PER_PORT_MAX && port == self.port;
        if is_enough {
            *forged = 0;
            self.ports_given_up += 1;
            self.port = self.port.wrapping_add(1);
        }
        is_enough
    }

    fn message(&mut self, _: u32, address: &Address, key: TryKey, query: &[u8]) -> Queued {
        let queued = self.streams.unwrap_or(Queued::Open);
        if queued != Queued::No {
            let left = Left { port: 0, to: address.socket, bytes: query.to_vec(), key: Some(key) };
            self.left.push(left);
        }
        queued
    }
}

/// What has finished for one waiter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) waiter: u32,
    pub(super) outcome: Outcome,
    pub(super) message: Vec<u8>,
    pub(super) server: usize,
    pub(super) at: Micros,
}

pub(super) struct Sim {
    pub(super) table: Table,
    pub(super) net: Net,
    pub(super) now: Micros,
    latest: Micros,
    pub(super) done: Vec<Done>,
    ledger: Ledger,
    stream: Stream,
}

/// Servers on ports 1 and up, so many.
pub(super) fn upstream(servers: u16) -> Upstream {
    Upstream {
        name: "lan".to_owned(),
        servers: (1..=servers).map(|port| SocketAddr::from(([192, 0, 2, 1], port))).collect(),
        over: Over::Udp,
        choose: Choose::Fastest,
        timeout: Duration::from_millis(400),
        tries: 3,
        explore: 0.0,
        case_randomization: true,
        cookies: true,
        ecs: Ecs::Strip,
    }
}

impl Sim {
    pub(super) fn new(upstream: Upstream) -> Self {
        Self::seeded(upstream, 112)
    }

    pub(super) fn seeded(upstream: Upstream, seed: u64) -> Self {
        let mut table = Table::new(Random::from_seed(seed));
        table.directory.take(0, &[upstream], &|_, place| place.min(64));
        let (ledger, stream) = ledger(&LedgerSettings::default());
        let net = Net { has_ports: true, ..Net::default() };
        Self { table, net, now: S, latest: S, done: Vec::new(), ledger, stream }
    }

    pub(super) fn asking(qname: &[u8]) -> Ask<'_> {
        Ask {
            upstream: 0,
            qname,
            qtype: 12,
            qclass: 1,
            recursion_desired: true,
            checking_disabled: false,
            authentic_data: false,
            dnssec_ok: false,
            subnet: None,
            deadline: Instant::now(),
            is_alone: false,
            is_once: false,
        }
    }

    pub(super) fn ask_for(&mut self, ask: &Ask<'_>, waiter: u32, patience: Micros) -> Asked {
        let deadline = self.now + patience;
        let mut turn = Turn { net: &mut self.net, ledger: &mut self.ledger, now: self.now };
        let asked = self.table.ask(0, ask, deadline, Waiter(waiter), &mut turn);
        self.collect();
        asked
    }

    /// Asks for [`QNAME`], for two seconds.
    pub(super) fn ask(&mut self, waiter: u32) -> Asked {
        self.ask_for(&Self::asking(QNAME), waiter, 2 * S)
    }

    /// What has left since the last time.
    pub(super) fn left(&mut self) -> Vec<Left> {
        std::mem::take(&mut self.net.left)
    }

    /// The only query that has left.
    pub(super) fn only(&mut self) -> Left {
        let mut left = self.left();
        assert_eq!(left.len(), 1, "{left:?}");
        left.pop().unwrap()
    }

    /// A response to what left, from whom it went to.
    pub(super) fn respond(&mut self, left: &Left, mut message: Vec<u8>) {
        let mut turn = Turn { net: &mut self.net, ledger: &mut self.ledger, now: self.now };
        match left.key {
            Some(key) => self.table.message(key, &mut message, &mut turn),
            None => self.table.datagram(left.port, left.to, &mut message, &mut turn),
        }
        self.collect();
    }

    pub(super) fn datagram(&mut self, port: Port, from: SocketAddr, mut message: Vec<u8>) {
        let mut turn = Turn { net: &mut self.net, ledger: &mut self.ledger, now: self.now };
        self.table.datagram(port, from, &mut message, &mut turn);
        self.collect();
    }

    pub(super) fn refuse(&mut self, left: &Left, query: &[u8]) {
        let mut turn = Turn { net: &mut self.net, ledger: &mut self.ledger, now: self.now };
        self.table.refused(left.port, left.to, query, &mut turn);
        self.collect();
    }

    pub(super) fn give_back(&mut self, left: &Left, was_useful: bool) {
        let mut turn = Turn { net: &mut self.net, ledger: &mut self.ledger, now: self.now };
        self.table.given_back(left.key.unwrap(), was_useful, &mut turn);
        self.collect();
    }

    /// So much later.
    pub(super) fn pass(&mut self, time: Micros) {
        self.at(self.now + time);
    }

    /// The clock says so.
    pub(super) fn at(&mut self, now: Micros) {
        self.now = now;
        self.latest = self.latest.max(now);
        let mut turn = Turn { net: &mut self.net, ledger: &mut self.ledger, now };
        self.table.expire(&mut turn);
        self.collect();
    }

    pub(super) fn collect(&mut self) {
        let (done, at) = (&mut self.done, self.now);
        self.table.finished(&mut |finished| {
            for waiter in finished.waiters {
                done.push(Done {
                    waiter: waiter.0,
                    outcome: finished.outcome,
                    message: finished.message.to_vec(),
                    server: finished.server,
                    at,
                });
            }
        });
    }

    pub(super) fn totals(&mut self) -> Totals {
        self.ledger.end_batch();
        let mut totals = Totals::default();
        self.stream.counters.read(&mut totals);
        totals
    }

    /// The counter of a family with these values.
    pub(super) fn count(&mut self, at: impl Place) -> u64 {
        self.totals().get(at)
    }

    /// Lets all that may still come not come: then nothing is left of any question.
    pub(super) fn assert_nothing_is_left(&mut self) {
        self.net.streams = Some(Queued::No);
        self.at(self.latest);
        for _ in 0..2000 {
            self.pass(10 * MS);
        }
        // Late answers are waited for that long at most.
        self.pass(micros(CIRCUIT_OPEN_MAX));
        assert_eq!(self.table.in_use(), 0, "all places are free");
        assert!(self.table.ids.is_empty(), "{:?}", self.table.ids);
        assert!(self.net.waiting.values().all(|&waiting| waiting == 0), "{:?}", self.net.waiting);
        let known = &self.table.directory.known;
        assert!(known.iter().all(|server| server.in_flight() == 0), "{known:?}");
        assert_eq!(self.table.next_event(), None, "no timer is set");
    }
}
