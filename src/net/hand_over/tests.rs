//! The way of a query to a worker and back, by real sockets: shards, TCP, and a worker that can be told to
//! rest.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::*;
use crate::dns::consts::rcode;
use crate::limits::TCP_REPLY_LEN_MAX;
use crate::net::tcp::TcpSettings;
use crate::net::{Datapath, DatapathChoice, Event, Net, Plan};
use crate::policy::{Policy, Series, Source, World};
use crate::serve::job::{Inbox, Job, JobSettings, TcpReturn, UNROUTED, desk};
use crate::serve::published::{Follower, Published};
use crate::serve::snapshot::tests::snapshot;
use crate::serve::{answer_code, native};
use crate::stats::counters::{
    DROPPED, Family, QUERIES, QUERIES_BY_ZONE, RESPONSES, RULE_HITS, SHARD_RECEIVED, SHARD_SENT, Totals,
};
use crate::stats::labels::{WORK_REFUSED_SHARE, rcode_value};
use crate::stats::ledger::{LedgerSettings, Stream, ledger};
use crate::sys::answering::Answering;
use crate::sys::confine::Confined;
use crate::sys::conformance::receive;
use crate::sys::sockets::{UdpOptions, bind_udp_group};
use crate::sys::wake::Waker;

const PATIENCE: Duration = Duration::from_secs(20);
/// What goes where: a name that a rule has a worker answer; names of ours that rules of a later phase may
/// concern; and one that a rule answers in the slot.
const RULES: &str =
    "far: src in { 127.0.0.0/8 ::1/128 } and qname-suffix in { far.test } forward 192.0.2.1:53
    later: phase = post-cache and qname-suffix in { 10.in-addr.arpa } forward 192.0.2.1:53
    here: qname-suffix in { here.test } answer NOERROR";

struct Worker {
    inboxes: Vec<Inbox>,
    /// Duplicates of each shard's.
    sockets: Vec<Vec<UdpSocket>>,
    rings: TcpReturn,
    waker: Waker,
    snapshot: Follower,
    ledger: Ledger,
    slot: Vec<u8>,
    /// It is to take nothing, and takes nothing.
    rests: Arc<[AtomicBool; 2]>,
    ends: Arc<AtomicBool>,
}

impl Worker {
    fn run(mut self) {
        let sockets = std::mem::take(&mut self.sockets);
        let mut answering: Vec<Answering> =
            sockets.into_iter().map(|sockets| Answering::new(sockets).unwrap()).collect();
        let (mut poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(8));
        let fd = self.waker.as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE).unwrap();
        loop {
            let is_last = self.ends.load(Ordering::Acquire);
            while self.rests[0].load(Ordering::Acquire) {
                self.rests[1].store(true, Ordering::Release);
                thread::yield_now();
            }
            self.rests[1].store(false, Ordering::Release);
            for at in 0..self.inboxes.len() {
                while let Some(job) = self.inboxes[at].take() {
                    let job = self.reply(job, answering.get_mut(at));
                    self.inboxes[at].give_back(job);
                }
            }
            for answering in &mut answering {
                assert_eq!(answering.flush().total(), 0);
            }
            self.rings.ring();
            self.ledger.end_batch();
            if is_last {
                return;
            }
            // Nothing but the waker ends this sleep.
            if self.waker.rest(|| self.inboxes.iter().all(Inbox::is_empty)) {
                poll.poll(&mut events, Some(Duration::from_secs(3600))).unwrap();
            }
            self.waker.awake();
        }
    }

    fn reply(&mut self, mut job: Box<Job>, answering: Option<&mut Answering>) -> Box<Job> {
        let (arrival, mut account, len) = (job.arrival, job.account, job.len);
        assert!(job.asked.elapsed() < PATIENCE);
        let len = if job.way.rule == UNROUTED {
            self.slot[..len].copy_from_slice(job.query());
            match native(&self.snapshot, &arrival, &mut self.slot, len, &mut account) {
                Verdict::Reply(len) => len,
                verdict => panic!("{verdict:?}"),
            }
        } else {
            let code = rcode::NXDOMAIN.into();
            answer_code(&self.snapshot, &arrival, job.query(), code, None, &mut self.slot)
        };
        let reply = &self.slot[..len];
        self.ledger.post(&account, arrival.peer.ip(), Some(reply));
        match answering {
            Some(answering) => answering.push(job.socket, &arrival.peer, arrival.local.ip(), reply),
            None => job.reply = reply.to_vec(),
        }
        job
    }
}

struct Rig {
    net: Net,
    stream: Stream,
    worker: Option<JoinHandle<()>>,
    rests: Arc<[AtomicBool; 2]>,
    ends: Arc<AtomicBool>,
    waker: Waker,
    udp: Vec<SocketAddr>,
    tcp: SocketAddr,
    events: Receiver<Event>,
}

impl Rig {
    fn start(choice: DatapathChoice, jobs: &JobSettings) -> Self {
        let bind = |address: &str| {
            let address: SocketAddr = address.parse().unwrap();
            let sockets = bind_udp_group(address, 2, &UdpOptions::default()).unwrap();
            (sockets[0].local_addr().unwrap(), sockets)
        };
        let groups = vec![bind("127.0.0.1:0"), bind("0.0.0.0:0")];
        // Each shard has the socket of its number from each group.
        let duplicates: Vec<Vec<UdpSocket>> = (0..2)
            .map(|shard| groups.iter().map(|(_, group)| group[shard].try_clone().unwrap()).collect())
            .collect();
        let udp: Vec<SocketAddr> = groups.iter().map(|(address, _)| *address).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = listener.local_addr().unwrap();
        let published = Published::new(
            snapshot(|_, settings| {
                let world = World {
                    colo: "",
                    node: "",
                    listeners: &udp,
                    upstreams: &[],
                    guests: &[],
                    resolver: None,
                    series: Series::default(),
                    has_databases: false,
                };
                let rules = Source { path: "test.rules", text: RULES };
                settings.policy = Policy::compile(&[rules], &[], &world).unwrap();
            })
            .unwrap(),
        );
        let waker = Waker::new().unwrap();
        let (desks, inboxes): (Vec<_>, Vec<_>) =
            (0..3).map(|_| desk(jobs, std::slice::from_ref(&waker))).unzip();
        let plan = Plan {
            choice,
            busy_poll: 0,
            cpus: vec![None; 2],
            groups,
            listeners: vec![listener],
            tcp: TcpSettings::default(),
            published: Arc::clone(&published),
            ledgers: LedgerSettings::default(),
            desks,
            confined: Confined::default(),
            is_successor: false,
        };
        let (tell, events) = unbounded();
        let mut net = Net::start(plan, &tell).unwrap();
        let (ledger, stream) = ledger(&LedgerSettings::default());
        let (rests, ends) = (Arc::<[AtomicBool; 2]>::default(), Arc::<AtomicBool>::default());
        let worker = Worker {
            inboxes: inboxes.into_iter().flatten().collect(),
            sockets: duplicates,
            rings: net.tcp_return().unwrap(),
            waker: waker.clone(),
            snapshot: published.follow(),
            ledger,
            slot: vec![0; TCP_REPLY_LEN_MAX],
            rests: Arc::clone(&rests),
            ends: Arc::clone(&ends),
        };
        let worker = Some(thread::spawn(move || worker.run()));
        net.open().unwrap();
        Self { net, stream, worker, rests, ends, waker, udp, tcp, events }
    }

    fn totals(&self) -> Totals {
        let mut totals = self.net.totals();
        self.stream.counters.read(&mut totals);
        totals
    }

    /// Waits until what was counted is so.
    fn wait(&self, family: &'static Family, count: u64) {
        let began = Instant::now();
        while self.totals().sum(family) < count {
            assert!(began.elapsed() < PATIENCE, "{}: {}", family.name, self.totals().sum(family));
            thread::park_timeout(Duration::from_millis(2));
        }
        assert_eq!(self.totals().sum(family), count, "{}", family.name);
    }

    /// The worker takes nothing from now on.
    fn rest(&self) {
        self.rests[0].store(true, Ordering::Release);
        let began = Instant::now();
        while !self.rests[1].load(Ordering::Acquire) {
            assert!(began.elapsed() < PATIENCE);
            self.waker.ring();
            thread::yield_now();
        }
    }

    fn go_on(&self) {
        self.rests[0].store(false, Ordering::Release);
    }

    fn end(&mut self) {
        self.net.stop();
        self.ends.store(true, Ordering::Release);
        self.waker.ring();
        self.worker.take().unwrap().join().unwrap();
        assert!(self.events.try_recv().is_err(), "no thread has died");
    }
}

fn query(id: u16, name: &str) -> Vec<u8> {
    let wire = crate::zone::name_from_text(name).unwrap();
    let head = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    [&head[..], wire.as_wire(), &[0, 12, 0, 1]].concat()
}

/// What is asked, the response code that it gets, and whether a worker makes the reply.
const ASKED: [(&str, u8, bool); 4] = [
    ("a.far.test", rcode::NXDOMAIN, true),
    ("1.0.0.10.in-addr.arpa", rcode::NXDOMAIN, true),
    ("1.1.168.192.in-addr.arpa", rcode::NXDOMAIN, false),
    ("x.here.test", rcode::NOERROR, false),
];

fn client() -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn ask_over_tcp(stream: &mut TcpStream, packet: &[u8]) -> Vec<u8> {
    stream.write_all(&[&(packet.len() as u16).to_be_bytes(), packet].concat()).unwrap();
    read_from_tcp(stream)
}

fn read_from_tcp(stream: &mut TcpStream) -> Vec<u8> {
    let mut prefix = [0; 2];
    stream.read_exact(&mut prefix).unwrap();
    let mut reply = vec![0; usize::from(u16::from_be_bytes(prefix))];
    stream.read_exact(&mut reply).unwrap();
    reply
}

fn datapaths() -> Vec<DatapathChoice> {
    let has_ring = crate::sys::self_test().is_ok();
    if has_ring { vec![DatapathChoice::Mmsg, DatapathChoice::IoUring] } else { vec![DatapathChoice::Mmsg] }
}

#[test]
fn each_query_is_answered_once_and_counted_once_by_whoever_answers() {
    const ROUNDS: usize = 40;
    for choice in datapaths() {
        let mut rig = Rig::start(choice, &JobSettings::default());
        assert_eq!(rig.net.datapath == Datapath::Mmsg, choice == DatapathChoice::Mmsg);
        // At a wildcard listener the reply comes from the address that was asked, or the client does not see
        // it.
        let asked = [rig.udp[0], SocketAddr::new(IpAddr::from([127, 0, 0, 8]), rig.udp[1].port())];
        let (mut of_udp, mut handed) = (0, 0);
        for round in 0..ROUNDS {
            let client = client();
            client.connect(asked[round % 2]).unwrap();
            // All at once, so that there are batches.
            for (number, (name, ..)) in ASKED.iter().enumerate() {
                client.send(&query(number as u16, name)).unwrap();
            }
            let mut seen = [0; ASKED.len()];
            for _ in ASKED {
                let reply = receive(&client);
                let number = usize::from(reply[1]);
                let (name, code, is_handed) = ASKED[number];
                assert_eq!((reply[3] & 0xF, reply[2] & 0x80), (code, 0x80), "{name}");
                assert!(reply[12..].starts_with(&query(0, name)[12..]));
                seen[number] += 1;
                (of_udp, handed) = (of_udp + 1, handed + u64::from(is_handed));
            }
            assert_eq!(seen, [1; ASKED.len()]);
        }
        let mut stream = TcpStream::connect(rig.tcp).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut of_tcp = 0;
        for _ in 0..ROUNDS {
            for (name, code, is_handed) in ASKED {
                assert_eq!(ask_over_tcp(&mut stream, &query(7, name))[3] & 0xF, code);
                (of_tcp, handed) = (of_tcp + 1, handed + u64::from(is_handed));
            }
        }
        rig.wait(QUERIES, of_udp + of_tcp);
        rig.end();
        let totals = rig.totals();
        assert_eq!((totals.sum(QUERIES), totals.sum(RESPONSES)), (of_udp + of_tcp, of_udp + of_tcp));
        assert_eq!((totals.sum(SHARD_RECEIVED), totals.sum(HANDED_OVER)), (of_udp, handed));
        assert_eq!(totals.sum(SHARD_SENT), of_udp / 2, "the others left from the worker");
        assert_eq!((totals.sum(WORK_REFUSED), totals.sum(DROPPED)), (0, 0));
        // Two of four are of our zones, be it a worker that answers; and two rules have matched.
        assert_eq!(totals.sum(QUERIES_BY_ZONE), (of_udp + of_tcp) / 2);
        assert_eq!(totals.sum(RULE_HITS), (of_udp + of_tcp) / 2);
    }
}

#[test]
fn a_worker_that_rests_costs_what_waits_for_it_and_no_more() {
    for choice in datapaths() {
        // Of the rule a share, and what is left of the jobs for the queries that no rule takes.
        let mut rig = Rig::start(choice, &JobSettings { workers: 1, jobs: 12, share: 8 });
        let (far, later, own) = (ASKED[0].0, ASKED[1].0, ASKED[2].0);
        rig.rest();
        let client = client();
        client.connect(rig.udp[0]).unwrap();
        let ask = |id: u16, name: &str| client.send(&query(id, name)).unwrap();
        let reply = || {
            let reply = receive(&client);
            (u16::from_be_bytes([reply[0], reply[1]]), reply[3] & 0xF)
        };
        (0..8).for_each(|id| assert!(ask(id, far) > 0));
        (10..14).for_each(|id| assert!(ask(id, later) > 0));
        for id in 100..200 {
            ask(id, far);
            assert_eq!(reply(), (id, rcode::SERVFAIL), "the fallback, from the shard");
            ask(id, later);
            assert_eq!(reply(), (id, rcode::NXDOMAIN), "as if there were no such rule");
            ask(id, own);
            assert_eq!(reply(), (id, rcode::NXDOMAIN), "it needs no worker");
        }
        // Over TCP answers overtake those that wait.
        let mut stream = TcpStream::connect(rig.tcp).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let waiting = query(1, far);
        stream.write_all(&[&(waiting.len() as u16).to_be_bytes(), &waiting[..]].concat()).unwrap();
        assert_eq!(ask_over_tcp(&mut stream, &query(2, own))[1], 2);
        rig.wait(HANDED_OVER, 13);
        rig.go_on();
        assert_eq!(read_from_tcp(&mut stream)[..4], [0, 1, 0x81, rcode::NXDOMAIN]);
        let mut late: Vec<u16> = (0..12).map(|_| reply().0).collect();
        late.sort_unstable();
        assert!(late.into_iter().eq((0..8).chain(10..14)));
        rig.wait(QUERIES, 12 + 300 + 2);
        let totals = rig.totals();
        let refused =
            |reason| -> u64 { (0..256).map(|label| totals.get(WORK_REFUSED.at([label, reason]))).sum() };
        assert_eq!((refused(WORK_REFUSED_SHARE), refused(WORK_REFUSED_POOL)), (100, 100));
        assert_eq!(totals.get(RESPONSES.at([rcode_value(rcode::SERVFAIL.into())])), 100);
        // All jobs are there again.
        for id in 200..300 {
            ask(id, far);
            assert_eq!(reply(), (id, rcode::NXDOMAIN));
        }
        rig.end();
        assert_eq!(rig.totals().sum(HANDED_OVER), 113);
    }
}

#[test]
fn without_a_desk_a_query_gets_its_fallback() {
    let mut account = Account::default();
    let (mut ledger, stream) = ledger(&LedgerSettings::default());
    let node = snapshot(|_, _| ()).unwrap();
    let address: SocketAddr = "127.0.0.1:5300".parse().unwrap();
    let arrival = Arrival {
        transport: crate::dns::arrival::Transport::Udp,
        peer: "127.0.0.1:4000".parse().unwrap(),
        local: address,
        listener: 0,
        unix_time: 0,
        pace: crate::dns::arrival::Pace::Within,
    };
    let packet = query(1, "1.0.0.10.in-addr.arpa");
    let mut slot = vec![0; 2112];
    slot[..packet.len()].copy_from_slice(&packet);
    let (way, asked, len) = (Way { rule: UNROUTED, serial: 0 }, Instant::now(), packet.len());
    let handed = Handed { way, arrival: &arrival, socket: 0, connection: None, asked, slot: &mut slot, len };
    let instead = handed.over(None, &node, &mut ledger, &mut account);
    assert!(matches!(instead, Some(Verdict::Reply(_))) && slot[3] & 0xF == rcode::NXDOMAIN);
    ledger.end_batch();
    let mut totals = Totals::default();
    stream.counters.read(&mut totals);
    assert_eq!((totals.sum(WORK_REFUSED), totals.sum(HANDED_OVER)), (1, 0));
}
