//! Workers with the desk of a shard and that of TCP, both played by the test, and clients that ask it.

use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, after, unbounded};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::dns::arrival::{Arrival, Pace, Transport};
use crate::limits::SLOT_PAYLOAD_LEN;
use crate::log::Log;
use crate::policy::phase::Phase;
use crate::policy::upstream::{Choose, Ecs, Over, UpstreamId};
use crate::policy::{self, Phrase, Policy, Series, Source, World, upstream};
use crate::serve::job::{Connection, Desk, Job, JobSettings, Taken, TcpReturn, desk};
use crate::serve::published::Published;
use crate::serve::snapshot::Snapshot;
use crate::serve::snapshot::tests::snapshot;
use crate::serve::{self, Verdict, serve};
use crate::stats::account::Account;
use crate::stats::counters::{Family, Totals};
use crate::stats::ledger::LedgerSettings;
use crate::sys::confine::Confined;
use crate::sys::threads::Event;
use crate::sys::wake::Waker;
use crate::work::sandbox::settings::Manifest;
use crate::work::sandbox::{self, Apps};
use crate::work::trace::{Trace, traces};
use crate::work::{Habits, Place, Places, Plan, Workers, cache};

/// How long anything is waited for: a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const JOBS: usize = 256;

/// What workers are started with.
pub(super) struct Start<'a> {
    pub(super) rules: &'a str,
    pub(super) upstreams: &'a [(&'a str, SocketAddr)],
    pub(super) cache: cache::Settings,
    pub(super) query_timeout: Duration,
    pub(super) workers: usize,
    pub(super) trace_every: Option<NonZeroU32>,
    pub(super) apps: Vec<Guest>,
}

/// An application: its manifest and its module.
#[derive(Clone)]
pub(super) struct Guest {
    pub(super) manifest: Manifest,
    pub(super) module: Vec<u8>,
    /// Where it is asked besides.
    pub(super) hooks: Vec<(Phase, &'static str)>,
}

impl Guest {
    pub(super) fn new(name: &str, module: Vec<u8>) -> Self {
        Self { manifest: sandbox::tests::manifest(name), module, hooks: Vec::new() }
    }

    fn in_rules(&self) -> policy::Guest {
        let phrase = |text: &str| Phrase { text: text.to_owned(), place: "app.toml:1".to_owned() };
        policy::Guest {
            name: self.manifest.name.clone(),
            hooks: self.hooks.iter().map(|(phase, condition)| (*phase, phrase(condition))).collect(),
            fallback: self.manifest.fallback,
            queue: self.manifest.limits.queue,
            ..policy::Guest::default()
        }
    }
}

impl<'a> Start<'a> {
    pub(super) fn with(rules: &'a str, upstreams: &'a [(&'a str, SocketAddr)]) -> Self {
        let (cache, query_timeout) = (cache::Settings::default(), Duration::from_secs(2));
        Self { rules, upstreams, cache, query_timeout, workers: 1, trace_every: None, apps: Vec::new() }
    }
}

/// The applications, as those who load them make them: counted by their number, from 1 on.
fn load(guests: &[Guest], upstreams: &[(&str, SocketAddr)]) -> Apps {
    let place = |name: &String| upstreams.iter().position(|(known, _)| known == name).unwrap() as UpstreamId;
    let load = |(number, guest): (usize, &Guest)| {
        let mut app = sandbox::tests::load(guest.manifest.clone(), &guest.module).unwrap();
        app.upstreams = guest.manifest.allow.forward.iter().map(place).collect();
        (app.label, app.metrics) = (number + 1, Vec::new());
        Arc::new(app)
    };
    Apps { apps: guests.iter().enumerate().map(load).collect() }
}

pub(super) fn compile(rules: &str, upstreams: &[(&str, SocketAddr)], guests: &[Guest]) -> Snapshot {
    let policy = policy(rules, upstreams, guests);
    let apps = load(guests, upstreams);
    snapshot(|_, settings| {
        settings.policy = policy;
        if !guests.is_empty() {
            settings.apps = serve::snapshot::Apps::new(Arc::new(apps));
        }
    })
    .unwrap()
}

pub(super) fn policy(rules: &str, upstreams: &[(&str, SocketAddr)], guests: &[Guest]) -> Policy {
    let in_rules: Vec<policy::Guest> = guests.iter().map(Guest::in_rules).collect();
    let upstream = |(name, server): &(&str, SocketAddr)| upstream::Upstream {
        name: (*name).to_owned(),
        servers: vec![*server],
        over: Over::Udp,
        choose: Choose::Fastest,
        timeout: Duration::from_millis(200),
        tries: 2,
        explore: 0.0,
        case_randomization: true,
        cookies: true,
        ecs: Ecs::Strip,
    };
    let upstreams: Vec<upstream::Upstream> = upstreams.iter().map(upstream).collect();
    let world = World {
        colo: "test1",
        node: "node1.example",
        listeners: &[],
        upstreams: &upstreams,
        guests: &in_rules,
        resolver: None,
        series: Series::default(),
        has_databases: true,
    };
    let files = [Source { path: "test.rules", text: rules }];
    let policy = Policy::compile(&files, &[], &world);
    policy.unwrap_or_else(|problems| panic!("{rules}: {problems:?}"))
}

/// Running workers, and those whom they serve.
pub(super) struct Floor {
    pub(super) workers: Workers,
    pub(super) published: Arc<Published>,
    shard: Desk,
    tcp: Desk,
    listener: UdpSocket,
    client: UdpSocket,
    /// Jobs that have not come back.
    pub(super) out: usize,
    tcp_poll: Poll,
    pub(super) traces: Receiver<Box<Trace>>,
    events: Receiver<Event>,
    last_id: u16,
    /// How long ago what is handed over was taken in.
    pub(super) age: Duration,
}

impl Floor {
    pub(super) fn start(start: &Start<'_>) -> Self {
        let published = Published::new(compile(start.rules, start.upstreams, &start.apps));
        let wakers: Vec<Waker> = (0..start.workers).map(|_| Waker::new().unwrap()).collect();
        let settings = JobSettings { workers: start.workers, jobs: JOBS, share: JOBS };
        let (shard, of_shard) = desk(&settings, &wakers);
        let (tcp, of_tcp) = desk(&settings, &wakers);
        let tcp_poll = Poll::new().unwrap();
        let tcp_return = TcpReturn::new().unwrap();
        let mut source = SourceFd(&tcp_return.as_raw_fd());
        tcp_poll.registry().register(&mut source, Token(0), Interest::READABLE).unwrap();
        let (trace, traces) = traces(start.trace_every);
        let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (report, events) = unbounded();
        let plan = Plan {
            cpus: vec![None; start.workers],
            inboxes: of_shard.into_iter().zip(of_tcp).map(|(shard, tcp)| vec![shard, tcp]).collect(),
            wakers,
            sockets: vec![vec![listener.try_clone().unwrap()]],
            tcp: Some(tcp_return),
            published: Arc::clone(&published),
            habits: Habits { cache: start.cache.clone(), query_timeout: start.query_timeout },
            ledgers: LedgerSettings::default(),
            places: Places::new(|ip| {
                let country = Some(if ip.is_loopback() { *b"PT" } else { *b"DE" });
                Place { country, asn: Some(112) }
            }),
            confined: Confined::default(),
            trace,
            log: Log::silent(),
        };
        let workers = Workers::start(plan, &report).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (out, last_id, age) = (0, 0, Duration::ZERO);
        Self { workers, published, shard, tcp, listener, client, out, tcp_poll, traces, events, last_id, age }
    }

    /// Hands a query over as the shard would. What the shard answers itself is returned.
    pub(super) fn hand_over(&mut self, query: &[u8], connection: Option<Connection>) -> Option<Vec<u8>> {
        let is_tcp = connection.is_some();
        let transport = if is_tcp { Transport::Tcp { keepalive: 300 } } else { Transport::Udp };
        let (peer, local) = (self.client.local_addr().unwrap(), self.listener.local_addr().unwrap());
        let arrival = Arrival { transport, peer, local, listener: 0, unix_time: 0, pace: Pace::Within };
        let snapshot = self.published.newest();
        let mut slot = vec![0; if is_tcp { 65_535 } else { SLOT_PAYLOAD_LEN }];
        slot[..query.len()].copy_from_slice(query);
        let mut account = Account::default();
        let way = match serve(&snapshot, &arrival, &mut slot, query.len(), &mut account) {
            Verdict::HandOff(way) => way,
            Verdict::Reply(len) => return Some(slot[..len].to_vec()),
            Verdict::Drop => return Some(Vec::new()),
        };
        let taken = Taken {
            arrival: &arrival,
            socket: 0,
            connection,
            account: &account,
            label: snapshot.route_share(way).0,
            share: u32::MAX,
            asked: Instant::now() - self.age,
            packet: query,
        };
        let desk = if is_tcp { &mut self.tcp } else { &mut self.shard };
        desk.hand_over(way, &taken).unwrap();
        desk.wake();
        self.out += 1;
        None
    }

    /// A new query.
    pub(super) fn query(&mut self, name: &str, qtype: u16) -> Vec<u8> {
        self.last_id += 1;
        let mut query = self.last_id.to_be_bytes().to_vec();
        query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        query.extend(wire(name));
        query.extend(qtype.to_be_bytes());
        query.extend([0, 1]);
        query
    }

    /// Asks for an address; the query must be handed over. Its ID.
    pub(super) fn send(&mut self, name: &str) -> u16 {
        let query = self.query(name, 1);
        assert_eq!(self.hand_over(&query, None), None, "{name} is not handed over");
        self.last_id
    }

    /// The next reply to the client; none when no job is out any more.
    pub(super) fn receive(&mut self) -> Option<Vec<u8>> {
        let begun = Instant::now();
        let mut packet = [0; 65_535];
        loop {
            self.collect();
            // Replies leave before their turn ends, and jobs may come back before that.
            let was_out = self.out;
            for _ in 0..3 {
                if let Ok((len, from)) = self.client.recv_from(&mut packet) {
                    assert_eq!(from, self.listener.local_addr().unwrap(), "from the address that was asked");
                    return Some(packet[..len].to_vec());
                }
            }
            if was_out == 0 {
                return None;
            }
            assert!(begun.elapsed() < PATIENCE, "no reply, and {} jobs are out", self.out);
        }
    }

    /// Asks, and waits for the reply.
    pub(super) fn ask(&mut self, name: &str) -> Option<Vec<u8>> {
        let id = self.send(name);
        let reply = self.receive()?;
        assert_eq!(reply[..2], id.to_be_bytes(), "the reply is to another query");
        Some(reply)
    }

    /// Response code and answers of the reply; none without one.
    pub(super) fn result(&mut self, name: &str) -> Option<(u8, u16)> {
        self.ask(name).map(|reply| (reply[3] & 0xF, u16::from_be_bytes([reply[6], reply[7]])))
    }

    fn collect(&mut self) {
        while let Some(job) = self.shard.returned() {
            self.out -= 1;
            self.shard.put(job);
        }
    }

    /// Asks over TCP, and waits until the job comes back: its reply.
    pub(super) fn ask_tcp(&mut self, name: &str) -> Vec<u8> {
        let query = self.query(name, 1);
        let connection = Connection { key: 7, generation: 3 };
        assert_eq!(self.hand_over(&query, Some(connection)), None, "{name} is not handed over");
        let mut events = Events::with_capacity(1);
        let job: Box<Job> = loop {
            self.tcp_poll.poll(&mut events, Some(PATIENCE)).unwrap();
            assert!(!events.is_empty(), "the thread of TCP is not woken");
            if let Some(job) = self.tcp.returned() {
                break job;
            }
        };
        self.out -= 1;
        assert_eq!(job.connection, Some(connection));
        let reply = job.reply.clone();
        self.tcp.put(job);
        reply
    }

    /// Waits until this is so.
    pub(super) fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < PATIENCE, "never: {what}");
            pause(Duration::from_millis(2));
        }
    }

    /// Waits until every job is back, and nothing waits any more.
    pub(super) fn idle(&mut self) {
        self.until("all jobs are back", |floor| {
            floor.collect();
            floor.out == 0
        });
        self.until("nothing waits", |floor| floor.workers.gauges().iter().all(|gauges| gauges.tasks() == 0));
        assert!(self.events.is_empty(), "no worker ends unasked");
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.workers.counters().iter().for_each(|counters| counters.read(&mut totals));
        totals
    }

    /// The counters of a family, once they add up to that.
    pub(super) fn counted(&mut self, family: &'static Family, sum: u64) -> Vec<u64> {
        self.until(family.name, |floor| floor.totals().sum(family) >= sum);
        let totals = self.totals();
        assert_eq!(totals.sum(family), sum, "{}", family.name);
        family.of(&totals).to_vec()
    }

    /// New rules are in force.
    pub(super) fn reload(&mut self, rules: &str, upstreams: &[(&str, SocketAddr)]) {
        self.reload_apps(rules, upstreams, &[]);
    }

    /// The same, with other applications.
    pub(super) fn reload_apps(&mut self, rules: &str, upstreams: &[(&str, SocketAddr)], apps: &[Guest]) {
        assert!(self.published.publish(compile(rules, upstreams, apps), PATIENCE), "workers do not take it");
    }

    /// The desks go away, as when shards retire.
    pub(super) fn close_desks(&mut self) {
        let none = JobSettings { workers: 0, jobs: 0, share: 0 };
        (self.shard, self.tcp) = (desk(&none, &[]).0, desk(&none, &[]).0);
    }
}

/// Lets time pass.
pub(super) fn pause(time: Duration) {
    let _ = after(time).recv();
}

/// A name in wire form.
pub(super) fn wire(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend(label.bytes());
    }
    wire.push(0);
    wire
}
