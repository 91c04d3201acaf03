//! The whole exchange over loopback, against servers that do as they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use super::sim::{Sim, upstream};
use crate::policy::facts::Outcome;
use crate::policy::upstream::Upstream;
use crate::stats::counters::{Place, Totals, UPSTREAM_QUERIES};
use crate::stats::labels::{TRIAL_ANSWERED, TRIAL_UNREACHABLE};
use crate::stats::ledger::{Ledger, LedgerSettings, Stream, ledger};
use crate::work::conductor::{Ask, Asked, Conductor, State, Waiter};

/// How long something may take that takes milliseconds, on a host that is busy with other things.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
const FIRST: usize = 16;

/// A conductor, and a loop that is its worker.
pub(super) struct Rig {
    pub(super) conductor: Conductor,
    poll: Poll,
    ledger: Ledger,
    stream: Stream,
    /// What the clock says, where it stands still: nothing is ever late.
    pub(super) stopped: Option<Instant>,
    /// What has finished: by waiter.
    pub(super) done: BTreeMap<u32, (Outcome, Vec<u8>, usize)>,
}

impl Rig {
    pub(super) fn new(upstreams: &[Upstream]) -> Self {
        let poll = Poll::new().unwrap();
        let now = Instant::now();
        let mut conductor = Conductor::new(poll.registry(), FIRST, now).unwrap();
        conductor.take(0, upstreams, &|_, place| place, now);
        let (ledger, stream) = ledger(&LedgerSettings::default());
        Self { conductor, poll, ledger, stream, stopped: None, done: BTreeMap::new() }
    }

    fn now(&self) -> Instant {
        self.stopped.unwrap_or_else(Instant::now)
    }

    pub(super) fn ask(&mut self, ask: &Ask<'_>, waiter: u32) -> Asked {
        let now = self.now();
        let ask = Ask { deadline: now + Duration::from_secs(10), ..*ask };
        self.conductor.ask_of(0, &ask, Waiter(waiter), now, &mut self.ledger)
    }

    /// One turn of the loop: at most a tenth of a second.
    pub(super) fn turn(&mut self) {
        let mut events = Events::with_capacity(64);
        let now = self.now();
        self.conductor.flush(now, &mut self.ledger);
        let until = self.conductor.next_deadline().map(|at| at.saturating_duration_since(now));
        let wait = until.unwrap_or(PATIENCE).min(Duration::from_millis(100));
        self.poll.poll(&mut events, Some(wait)).unwrap();
        let now = self.now();
        for event in &events {
            let (readable, writable) = (event.is_readable(), event.is_writable());
            self.conductor.ready(event.token().0, readable, writable, now, &mut self.ledger);
        }
        self.conductor.tick(now, &mut self.ledger);
        let done = &mut self.done;
        self.conductor.finished(&mut |finished| {
            for waiter in finished.waiters {
                let what = (finished.outcome, finished.message.to_vec(), finished.server);
                assert!(done.insert(waiter.0, what).is_none(), "{waiter:?} is told twice");
            }
        });
    }

    pub(super) fn until(&mut self, mut is_so: impl FnMut(&mut Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.conductor);
            self.turn();
        }
    }

    /// Asks, and waits for what comes.
    pub(super) fn asked(&mut self, ask: &Ask<'_>) -> (Outcome, Vec<u8>, usize) {
        assert_eq!(self.ask(ask, 0), Asked::Waiting);
        self.until(|rig| rig.done.contains_key(&0));
        self.done.remove(&0).unwrap()
    }

    pub(super) fn count(&mut self, at: impl Place) -> u64 {
        self.ledger.end_batch();
        let mut totals = Totals::default();
        self.stream.counters.read(&mut totals);
        totals.get(at)
    }
}

/// A server over UDP that answers with what `answer` makes of each query, from the same socket. It tells of
/// each query where it came from.
struct Scripted {
    address: SocketAddr,
    seen: Receiver<(SocketAddr, Vec<u8>)>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Scripted {
    fn new(address: &str, answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let address = socket.local_addr().unwrap();
        let (tell, seen): (Sender<(SocketAddr, Vec<u8>)>, _) = channel();
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !is_over.load(Ordering::Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
                for answer in answer(&buffer[..len]) {
                    socket.send_to(&answer, from).unwrap();
                }
                let _ = tell.send((from, buffer[..len].to_vec()));
            }
        });
        Self { address, seen, over, thread: Some(thread) }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The query as a response without records.
fn echo(query: &[u8]) -> Vec<Vec<u8>> {
    let mut answer = query.to_vec();
    (answer[2], answer[3]) = (0x84, 3);
    vec![answer]
}

fn at(addresses: &[SocketAddr]) -> Upstream {
    Upstream { servers: addresses.to_vec(), ..upstream(1) }
}

pub(super) fn name(number: u32) -> Vec<u8> {
    let label = format!("name{number}");
    [&[label.len() as u8], label.as_bytes(), b"\x07example\x00"].concat()
}

#[test]
fn many_are_answered_through_many_ports_with_random_ids() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = Scripted::new(address, echo);
        let mut rig = Rig::new(&[at(&[server.address])]);
        let (mut number, began) = (0, Instant::now());
        // For more than a second, so that ports are renewed.
        while began.elapsed() < Duration::from_millis(2500) {
            for _ in 0..40 {
                assert_eq!(rig.ask(&Sim::asking(&name(number)), number % 60_000), Asked::Waiting);
                number += 1;
                if number % 8 == 0 {
                    rig.conductor.flush(Instant::now(), &mut rig.ledger);
                }
            }
            rig.until(|rig| rig.done.len() == 40);
            assert!(rig.done.values().all(|(outcome, ..)| *outcome == Outcome::Ok));
            rig.done.clear();
        }
        let seen: Vec<_> = server.seen.try_iter().collect();
        assert!(seen.len() >= number as usize && number > 400, "{number}");
        let ports: BTreeSet<u16> = seen.iter().map(|(from, _)| from.port()).collect();
        assert!(ports.len() >= 32, "{ports:?}");
        let early: BTreeSet<u16> = seen[..seen.len() / 3].iter().map(|(from, _)| from.port()).collect();
        let late: BTreeSet<u16> = seen[seen.len() * 2 / 3..].iter().map(|(from, _)| from.port()).collect();
        assert!(early.len() >= 16 && late.difference(&early).count() > 0, "{early:?} {late:?}");
        // Pearson's statistic of 16 bins, of both ends of the ID: a mean of 15 and a deviation of 5.5.
        for shift in [0, 12] {
            let mut bins = [0_u32; 16];
            seen.iter().for_each(|(_, query)| {
                bins[usize::from(u16::from_be_bytes([query[0], query[1]]) >> shift & 15)] += 1;
            });
            let wanted = seen.len() as f64 / 16.0;
            let chi: f64 = bins.iter().map(|&count| (f64::from(count) - wanted).powi(2) / wanted).sum();
            assert!(chi < 60.0, "{chi} {bins:?}");
        }
        let upper = seen
            .iter()
            .flat_map(|(_, query)| &query[13..16])
            .filter(|byte| byte.is_ascii_uppercase())
            .count();
        let share = upper as f64 / (3 * seen.len()) as f64;
        assert!((0.4..0.6).contains(&share), "{share}");
    }
}

#[test]
fn a_refused_port_fails_fast_and_the_next_server_answers() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let nobody = UdpSocket::bind(address).unwrap().local_addr().unwrap();
        let server = Scripted::new(address, echo);
        let mut ordered = at(&[nobody, server.address]);
        ordered.choose = crate::policy::upstream::Choose::Order;
        ordered.timeout = Duration::from_secs(9);
        let mut rig = Rig::new(&[ordered]);
        let began = Instant::now();
        let (outcome, _, place) = rig.asked(&Sim::asking(&name(1)));
        assert_eq!((outcome, place), (Outcome::Ok, 1));
        // The longest time-out of a try is 400 ms; the kernel tells at once.
        assert!(rig.count(UPSTREAM_QUERIES.at([0, TRIAL_UNREACHABLE])) == 1, "after {:?}", began.elapsed());
        let mut alone = Rig::new(&[at(&[nobody])]);
        assert_eq!(alone.asked(&Sim::asking(&name(2))).0, Outcome::Refused);
        assert_eq!(alone.count(UPSTREAM_QUERIES.at([0, TRIAL_UNREACHABLE])), 3);
    }
}

#[test]
fn a_family_that_is_not_there_is_unreachable() {
    // Documentation addresses have no route in a namespace without one, and no answer anywhere.
    let mut rig = Rig::new(&[at(&["[2001:db8::1]:53".parse().unwrap()])]);
    let (outcome, message, _) = rig.asked(&Sim::asking(&name(1)));
    assert!(outcome != Outcome::Ok && message.is_empty());
}

#[test]
fn gauges_show_servers() {
    let server = Scripted::new("127.0.0.1:0", echo);
    let mut rig = Rig::new(&[at(&[server.address])]);
    rig.asked(&Sim::asking(&name(1)));
    let gauges = rig.conductor.gauges();
    rig.until(|_| gauges.server(0).srtt() > Duration::ZERO);
    assert_eq!((gauges.server(0).state(), gauges.server(0).in_flight()), (State::Closed, 0));
    assert_eq!(rig.count(UPSTREAM_QUERIES.at([0, TRIAL_ANSWERED])), 1);
    let answered = rig.conductor.next_deadline();
    rig.until(|rig| rig.conductor.next_deadline().is_none() || rig.conductor.next_deadline() != answered);
}

#[test]
fn servers_change_while_questions_are_asked() {
    let (first, second) = (Scripted::new("127.0.0.1:0", |_| Vec::new()), Scripted::new("127.0.0.1:0", echo));
    let mut rig = Rig::new(&[at(&[first.address])]);
    assert_eq!(rig.ask(&Sim::asking(&name(1)), 1), Asked::Waiting);
    for serial in 1..20 {
        rig.conductor.take(serial, &[at(&[second.address])], &|_, place| place, Instant::now());
    }
    let now = Instant::now();
    let asked = name(2);
    let ask = Ask { deadline: now + PATIENCE, ..Sim::asking(&asked) };
    assert_eq!(rig.conductor.ask_of(19, &ask, Waiter(2), now, &mut rig.ledger), Asked::Waiting);
    rig.until(|rig| rig.done.len() == 2);
    assert_eq!(rig.done[&2].0, Outcome::Ok);
    assert_eq!(rig.done[&1].0, Outcome::Timeout, "by the server that it was for");
}
