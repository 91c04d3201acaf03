//! What is tried with a reply of an upstream: it reaches the conductor as a datagram does, and what the
//! conductor believes goes into the cache and to the client.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use as112d::dns::arrival::{Arrival, Pace, Transport};
use as112d::dns::message::Message;
use as112d::policy::facts::Outcome;
use as112d::policy::upstream::Upstream;
use as112d::serve::{Made, complete};
use as112d::stats::ledger::{Ledger, LedgerSettings, ledger};
use as112d::work::cache::{self, Cache, Found, Key};
use as112d::work::conductor::{Ask, Asked, Conductor, Waiter};
use mio::{Events, Poll};

use crate::bodies;

/// How long a query may take on a busy host, before something has hung.
const PATIENCE: Duration = Duration::from_secs(20);
const HEADER_LEN: usize = 12;
/// What is true.
const TRUTH: [u8; 4] = [192, 0, 2, 112];

/// A conductor, the server that it asks, and a cache.
struct Rig {
    server: UdpSocket,
    conductor: Conductor,
    poll: Poll,
    events: Events,
    ledger: Ledger,
    cache: Cache,
    asked: u32,
}

impl Rig {
    fn new() -> Self {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        server.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let (poll, now) = (Poll::new().expect("epoll"), Instant::now());
        let mut conductor = Conductor::new(poll.registry(), 0, now).expect("memory");
        let address = server.local_addr().expect("it is bound");
        // The time-out is that of a host that is never late.
        let upstream =
            Upstream { timeout: PATIENCE, ..Upstream::of_servers("lan".to_owned(), vec![address]) };
        conductor.take(0, &[upstream], &|_, place| place, now);
        let (ledger, _) = ledger(&LedgerSettings::default());
        let cache = Cache::new(&cache::Settings { size: 1 << 20, ..cache::Settings::default() });
        Self { server, conductor, poll, events: Events::with_capacity(64), ledger, cache, asked: 0 }
    }

    /// Asks for a name that nobody has asked for: the query as the server gets it, and from where.
    fn ask(&mut self) -> (Vec<u8>, Vec<u8>, SocketAddr) {
        self.asked += 1;
        let label = format!("fuzzed-{}", self.asked);
        let qname = [&[label.len() as u8][..], label.as_bytes(), b"\x07example\0"].concat();
        let now = Instant::now();
        let ask = Ask {
            upstream: 0,
            qname: &qname,
            qtype: 1,
            qclass: 1,
            recursion_desired: true,
            checking_disabled: false,
            authentic_data: false,
            dnssec_ok: self.asked.is_multiple_of(2),
            subnet: None,
            deadline: now + PATIENCE,
            is_alone: false,
            is_once: false,
        };
        let asked = self.conductor.ask_of(0, &ask, Waiter(1), now, &mut self.ledger);
        assert!(matches!(asked, Asked::Waiting), "{asked:?}");
        self.conductor.flush(now, &mut self.ledger);
        let mut query = vec![0; 512];
        let (len, from) = self.server.recv_from(&mut query).expect("it is asked");
        query.truncate(len);
        (qname, query, from)
    }

    /// Lets the conductor take what has come, without waiting; what has finished.
    fn turn(&mut self) -> Option<(Outcome, Vec<u8>)> {
        let Self { conductor, poll, events, ledger, .. } = self;
        // Interrupted, there will be another turn.
        let _ = poll.poll(events, Some(Duration::ZERO));
        let now = Instant::now();
        for event in events.iter() {
            conductor.ready(event.token().0, event.is_readable(), event.is_writable(), now, ledger);
        }
        conductor.tick(now, ledger);
        conductor.flush(now, ledger);
        let mut done = None;
        conductor.finished(&mut |finished| {
            assert_eq!(finished.waiters, [Waiter(1)]);
            assert!(done.is_none(), "each is told once");
            done = Some((finished.outcome, finished.message.to_vec()));
        });
        done
    }
}

/// The answer that is true, with the OPT of the query left out.
fn truth(query: &[u8], question_len: usize) -> Vec<u8> {
    let record = [&[0xC0, HEADER_LEN as u8, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4][..], &TRUTH].concat();
    let mut reply = [&query[..question_len], &record].concat();
    reply[2..HEADER_LEN].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    reply
}

/// Replies to one query, whose first byte says what they have of it, its ID and its question; then the true
/// one. What the conductor believed, unless that was the truth; empty if it has given up.
pub fn replies<'a>(all: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    thread_local! {
        static RIG: RefCell<Rig> = RefCell::new(Rig::new());
    }
    RIG.with_borrow_mut(|rig| {
        let (qname, query, from) = rig.ask();
        let question_len = HEADER_LEN + qname.len() + 4;
        let (mut done, mut has_question) = (None, false);
        for (number, bytes) in all.enumerate() {
            let Some((&has, rest)) = bytes.split_first() else { continue };
            let mut reply = rest.to_vec();
            if has & 1 == 1 && reply.len() >= 2 {
                reply[..2].copy_from_slice(&query[..2]);
            }
            if has & 2 == 2 && reply.len() >= HEADER_LEN {
                reply.splice(HEADER_LEN..HEADER_LEN, query[HEADER_LEN..question_len].iter().copied());
                has_question = true;
            }
            // A datagram may be empty, and may be too long for anybody.
            let _ = rig.server.send_to(&reply, from);
            if number % 32 == 0 {
                done = done.or_else(|| rig.turn());
            }
        }
        done = done.or_else(|| rig.turn());
        let began = Instant::now();
        let mut buffer = [0; 512];
        rig.server.set_nonblocking(true).expect("it does not wait");
        let _ = rig.server.send_to(&truth(&query, question_len), from);
        while done.is_none() {
            assert!(began.elapsed() < PATIENCE, "it never ends: {:?}", rig.conductor);
            // What asks again, as without EDNS, is told the truth.
            while let Ok((len, from)) = rig.server.recv_from(&mut buffer) {
                let _ = rig.server.send_to(&truth(&buffer[..len], question_len), from);
            }
            done = rig.turn();
        }
        rig.server.set_nonblocking(false).expect("it waits");
        let (outcome, message) = done?;
        let believed = judge(rig, &qname, outcome, &message);
        assert!(believed.is_none() || has_question, "nobody knows its letters: {believed:02x?}");
        believed
    })
}

/// What was believed is an answer to the query, and becomes a sound reply to a client; in the cache too.
fn judge(rig: &mut Rig, qname: &[u8], outcome: Outcome, message: &[u8]) -> Option<Vec<u8>> {
    if outcome != Outcome::Ok {
        assert!(matches!(outcome, Outcome::Bad | Outcome::Refused | Outcome::Timeout), "{outcome:?}");
        return Some(Vec::new());
    }
    let question = [qname, &[0, 1, 0, 1]].concat();
    assert_eq!(message[2] & 0xF8, 0x80, "a response to a query: {message:02x?}");
    if message[5] == 1 {
        assert_eq!(message[HEADER_LEN..HEADER_LEN + question.len()], question, "in lower case");
    }
    let read = Message::read(message).expect("what is malformed is no answer");
    let now = Instant::now();
    let key =
        Key { view: 1, qname, qtype: 1, qclass: 1, dnssec_ok: false, checking_disabled: false, subnet: None };
    let scope = read.opt.as_ref().and_then(|opt| opt.subnet).map(|subnet| subnet.scope_net());
    rig.cache.store(&key, message, scope, now);
    let (mut cached, mut bare) = (Vec::new(), Vec::new());
    let found = rig.cache.look(&key, now, &mut cached);
    assert!(matches!(found, Found::Fresh | Found::Miss | Found::Failure), "{found:?}");
    assert_eq!(found == Found::Fresh, !cached.is_empty());
    as112d::dns::message::without_opt(message, &read, &mut bare).ok()?;
    let asked = [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &question].concat();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
    let arrival = Arrival {
        transport: Transport::Udp,
        peer: address,
        local: address,
        listener: 0,
        unix_time: 0,
        pace: Pace::Within,
    };
    let mut out = vec![0; 65_535];
    for given in [&bare, &cached].into_iter().filter(|given| !given.is_empty()) {
        let made = Made { message: given, rcode: read.rcode() & 0xF, error: None, knows_subnet: false };
        let len = complete(bodies::node(), &arrival, &asked, &made, &mut out);
        let reply = &out[..len];
        assert!(len <= 512 && Message::read(reply).is_ok(), "{reply:02x?}");
        assert_eq!((&reply[..2], &reply[HEADER_LEN..asked.len()]), (&asked[..2], &asked[HEADER_LEN..]));
    }
    let is_true = message.ends_with(&TRUTH) && read.counts == [1, 1, 0, 0];
    (!is_true).then(|| message.to_vec())
}
