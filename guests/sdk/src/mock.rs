//! A host for tests, natively: whatever an application may ask of its host is scripted, and what it did can
//! be looked at. Time passes when [`Host::advance`] says so.
//!
//! ```
//! use as112_guest::mock::{Outcome, Setup};
//! use as112_guest::{forward, query_for, rtype, App, NameBuf, Query, Reply, Start, StartError, Verdict};
//!
//! struct Relay;
//!
//! impl App for Relay {
//!     fn start(_: &mut Start<'_>) -> Result<Self, StartError> {
//!         Ok(Self)
//!     }
//!
//!     fn query(&mut self, query: Query<'_>, _: Reply<'_>) -> Verdict {
//!         query.later(|held| async move {
//!             match forward("lan", held.query().packet()).await {
//!                 Ok(answer) => held.end(|_, reply| reply.copy(&answer.message()).send()),
//!                 Err(_) => held.end(|_, _| Verdict::fail()),
//!             }
//!         })
//!     }
//! }
//!
//! let name: NameBuf = "printer.lan".parse().unwrap();
//! let query = query_for(name.as_name(), rtype::A);
//! // An upstream that answers with what it was asked, as a response.
//! let mut host = Setup::new("{}")
//!     .upstream("lan", |query| Some([&query[..2], &[0x85], &query[3..]].concat()))
//!     .start::<Relay>()
//!     .unwrap();
//! assert!(matches!(host.query(&query), Outcome::Reply(_)));
//! ```

pub(crate) mod calls;

use std::boxed::Box;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::string::{String, ToString};
use std::vec::Vec;

use crate::abi::{
    flag, kind, request, word, QUERY_AT, QUERY_LEN, REPLY_AT, REPLY_LEN, REQUEST_LEN, SCRATCH_AT, SCRATCH_LEN,
};
use crate::app::{App, StartError};
use crate::host::{Level, Place};
use crate::name::Name;
use crate::query::{Address, Phase};
use crate::runtime::Runtime;
use crate::sys;

/// A scripted server: a query comes in; an answer, or none in time.
type Server = Box<dyn FnMut(&[u8]) -> Option<Vec<u8>>>;

/// What the host knows and was told.
#[derive(Default)]
struct State {
    config: Vec<u8>,
    unix_ns: u64,
    ticks_ns: u64,
    next_token: i32,
    servers: BTreeMap<String, Server>,
    resolver: Option<Server>,
    places: Vec<(Address, Place)>,
    metrics: BTreeMap<u16, u64>,
    hooks: Vec<(Vec<Phase>, String)>,
    wrong_hook: Option<(String, u32, String)>,
    log: Vec<(Level, String)>,
    spans: Vec<String>,
    purged: Vec<(Vec<u8>, bool)>,
    sockets: BTreeMap<String, Peer>,
    open: BTreeMap<i32, String>,
    /// What is to be told at which tick, by token.
    due: Vec<(u64, i32, Told)>,
    finished: BTreeMap<u32, Outcome>,
    random: u64,
}

/// The other side of a local socket.
#[derive(Default)]
struct Peer {
    received: Vec<u8>,
    unread: VecDeque<Vec<u8>>,
    is_closed: bool,
    readers: Vec<i32>,
}

enum Told {
    Timer,
    Answer(Result<Vec<u8>, i32>),
    Bytes(Result<Vec<u8>, i32>),
}

std::thread_local! {
    static STATE: RefCell<State> = RefCell::new(State::default());
}

fn state<R>(f: impl FnOnce(&mut State) -> R) -> R {
    STATE.with(|state| f(&mut state.borrow_mut()))
}

/// Runs something that makes hostcalls without an application, such as an example of a document.
pub fn alone(f: impl FnOnce()) {
    let fresh = || {
        sys::with(|globals| globals.tasks.clear());
        state(|state| *state = State { next_token: 1, ..State::default() });
    };
    fresh();
    f();
    fresh();
}

/// What became of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What it would have had without the application.
    Pass,
    /// This reply. (The node makes ID, flags that are its own, OPT and truncation of it.)
    Reply(Vec<u8>),
    /// A reply without records: response code and extended error.
    Rcode(u8, Option<u16>),
    /// No reply.
    Drop,
    /// It is held; [`Host::outcome`] tells later.
    Held(u32),
    /// It goes on with this query.
    Changed(Vec<u8>),
    /// Another upstream.
    Retry(u8),
    /// The fallback.
    Fail,
}

impl Outcome {
    /// The reply, if that is what it is.
    #[must_use]
    pub fn reply(&self) -> Option<&[u8]> {
        match self {
            Self::Reply(reply) => Some(reply),
            _ => None,
        }
    }
}

/// A query, and how it comes.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// The message.
    pub packet: &'a [u8],
    /// The phase.
    pub phase: Phase,
    /// The client.
    pub peer: Address,
    /// The address that is asked.
    pub local: Address,
    /// Over TCP.
    pub is_tcp: bool,
    /// The reply so far.
    pub reply: &'a [u8],
    /// Spans are kept.
    pub is_traced: bool,
}

impl<'a> Ask<'a> {
    /// A query over UDP from 192.0.2.1, in the phase `request`.
    #[must_use]
    pub fn new(packet: &'a [u8]) -> Self {
        Self {
            packet,
            phase: Phase::Request,
            peer: Address::V4([192, 0, 2, 1]),
            local: Address::V4([192, 175, 48, 6]),
            is_tcp: false,
            reply: &[],
            is_traced: false,
        }
    }
}

/// What a host shall be like.
pub struct Setup(State);

impl Setup {
    /// A host that hands over this configuration: JSON.
    #[must_use]
    pub fn new(config: &str) -> Self {
        Self(State {
            config: config.as_bytes().to_vec(),
            next_token: 1,
            unix_ns: 1_700_000_000_000_000_000,
            ..State::default()
        })
    }

    /// An upstream of the manifest's `[allow] forward`. What it gives is the answer; `None` is a timeout.
    #[must_use]
    pub fn upstream(mut self, name: &str, server: impl FnMut(&[u8]) -> Option<Vec<u8>> + 'static) -> Self {
        self.0.servers.insert(name.to_string(), Box::new(server));
        self
    }

    /// The resolver.
    #[must_use]
    pub fn resolver(mut self, server: impl FnMut(&[u8]) -> Option<Vec<u8>> + 'static) -> Self {
        self.0.resolver = Some(Box::new(server));
        self
    }

    /// Where an address is.
    #[must_use]
    pub fn place(mut self, address: Address, place: Place) -> Self {
        self.0.places.push((address, place));
        self
    }

    /// A local socket of the manifest's `[allow] sockets`, at which somebody listens.
    #[must_use]
    pub fn socket(mut self, path: &str) -> Self {
        self.0.sockets.insert(path.to_string(), Peer::default());
        self
    }

    /// A condition of a hook that the host says is wrong, at which column and why.
    #[must_use]
    pub fn wrong_hook(mut self, condition: &str, column: u32, message: &str) -> Self {
        self.0.wrong_hook = Some((condition.to_string(), column, message.to_string()));
        self
    }

    /// Starts the application. There is one host for each thread: an earlier one is no more.
    ///
    /// # Errors
    /// What the application says.
    pub fn start<A: App>(self) -> Result<Host<A>, StartError> {
        sys::with(|globals| globals.tasks.clear());
        state(|state| *state = self.0);
        let runtime = Runtime::start()?;
        let mut host = Host { runtime, next_query: 1 };
        host.settle();
        Ok(host)
    }
}

/// A host, and an application that has started.
pub struct Host<A> {
    runtime: Runtime<A>,
    next_query: u32,
}

impl<A: App> Host<A> {
    /// A host that hands over this configuration (JSON), and knows nobody else.
    ///
    /// # Errors
    /// What the application says.
    pub fn start(config: &str) -> Result<Self, StartError> {
        Setup::new(config).start()
    }

    /// Asks the application about a query over UDP, in the phase `request`. Upstreams answer at once.
    pub fn query(&mut self, packet: &[u8]) -> Outcome {
        self.ask(&Ask::new(packet))
    }

    /// Asks the application about a query.
    pub fn ask(&mut self, ask: &Ask<'_>) -> Outcome {
        let number = self.next_query;
        self.next_query += 1;
        let head = head(ask, number);
        let said = self.event(&head, ask.packet, ask.reply);
        let outcome = sys::with(|globals| outcome(said, &globals.area.borrow().0, number));
        self.settle();
        match outcome {
            Outcome::Held(number) => self.outcome(number),
            outcome => outcome,
        }
    }

    /// What the application says, as a number: what is measured. `head` is a request, see [`head`].
    pub fn event(&mut self, head: &[u8; REQUEST_LEN], packet: &[u8], reply: &[u8]) -> i64 {
        sys::with(|globals| {
            let area = &mut globals.area.borrow_mut().0;
            area[..REQUEST_LEN].copy_from_slice(head);
            area[QUERY_AT..QUERY_AT + packet.len()].copy_from_slice(packet);
            area[REPLY_AT..REPLY_AT + reply.len()].copy_from_slice(reply);
        });
        self.runtime.event(kind::QUERY, 0, 0)
    }

    /// What has become of a query that was held.
    #[must_use]
    pub fn outcome(&self, number: u32) -> Outcome {
        state(|state| state.finished.get(&number).cloned()).unwrap_or(Outcome::Held(number))
    }

    /// Lets time pass: timers run out, upstreams have not answered, each second is told.
    pub fn advance(&mut self, ms: u64) {
        let until = state(|state| state.ticks_ns) + ms * 1_000_000;
        loop {
            self.settle();
            let (now, next) = state(|state| (state.ticks_ns, state.due.iter().map(|due| due.0).min()));
            let second = (now / 1_000_000_000 + 1) * 1_000_000_000;
            let next = next.unwrap_or(u64::MAX).min(second);
            if next > until {
                pass(until - now);
                return;
            }
            pass(next - now);
            if next == second {
                self.runtime.event(kind::TICK, 0, 0);
            }
        }
    }

    /// Tells the application that there is nothing more to come.
    pub fn stop(&mut self) {
        self.runtime.event(kind::STOP, 0, 0);
    }

    /// Tells whatever is due.
    fn settle(&mut self) {
        loop {
            let due = state(|state| {
                let now = state.ticks_ns;
                let at = state.due.iter().position(|(when, ..)| *when <= now)?;
                Some(state.due.remove(at))
            });
            match due {
                None => return,
                Some((_, token, Told::Timer)) => drop(self.runtime.event(kind::TIMER, token, 0)),
                Some((_, token, Told::Answer(told))) => self.done(token, told, REPLY_AT, REPLY_LEN),
                Some((_, token, Told::Bytes(told))) => self.done(token, told, SCRATCH_AT, SCRATCH_LEN),
            }
        }
    }

    fn done(&mut self, token: i32, told: Result<Vec<u8>, i32>, at: usize, most: usize) {
        let len = match told {
            Err(refused) => refused,
            Ok(bytes) => {
                let bytes = &bytes[..bytes.len().min(most)];
                sys::with(|globals| globals.area.borrow_mut().0[at..at + bytes.len()].copy_from_slice(bytes));
                bytes.len() as i32
            }
        };
        self.runtime.event(kind::DONE, token, len);
    }

    /// A counter of `[allow] metrics`.
    #[must_use]
    pub fn metric(&self, index: u16) -> u64 {
        state(|state| state.metrics.get(&index).copied().unwrap_or(0))
    }

    /// The lines that it has logged.
    #[must_use]
    pub fn log(&self) -> Vec<(Level, String)> {
        state(|state| state.log.clone())
    }

    /// The hooks that it has registered: phases and condition.
    #[must_use]
    pub fn hooks(&self) -> Vec<(Vec<Phase>, String)> {
        state(|state| state.hooks.clone())
    }

    /// The spans and events of traced queries, as text: `+lookup`, `-lookup`, `!something`.
    #[must_use]
    pub fn spans(&self) -> Vec<String> {
        state(|state| state.spans.clone())
    }

    /// What it has purged: names in wire form, and whether all below went too.
    #[must_use]
    pub fn purged(&self) -> Vec<(Vec<u8>, bool)> {
        state(|state| state.purged.clone())
    }

    /// What it has written to a local socket.
    #[must_use]
    pub fn sent(&self, path: &str) -> Vec<u8> {
        state(|state| state.sockets.get(path).map(|peer| peer.received.clone()).unwrap_or_default())
    }

    /// Writes to the application at a local socket.
    pub fn feed(&mut self, path: &str, bytes: &[u8]) {
        state(|state| {
            let now = state.ticks_ns;
            if let Some(peer) = state.sockets.get_mut(path) {
                match peer.readers.pop() {
                    Some(token) => state.due.push((now, token, Told::Bytes(Ok(bytes.to_vec())))),
                    None => peer.unread.push_back(bytes.to_vec()),
                }
            }
        });
        self.settle();
    }

    /// Closes a local socket, and lets nobody connect; or lets them again.
    pub fn listen(&mut self, path: &str, listens: bool) {
        state(|state| {
            let now = state.ticks_ns;
            if let Some(peer) = state.sockets.get_mut(path) {
                peer.is_closed = !listens;
                if !listens {
                    let readers = core::mem::take(&mut peer.readers);
                    state.due.extend(readers.into_iter().map(|token| (now, token, Told::Bytes(Err(CLOSED)))));
                    state.open.retain(|_, open| open != path);
                }
            }
        });
        self.settle();
    }
}

/// Tasks go with their application.
impl<A> Drop for Host<A> {
    fn drop(&mut self) {
        sys::with(|globals| globals.tasks.clear());
    }
}

fn pass(ns: u64) {
    state(|state| {
        state.ticks_ns += ns;
        state.unix_ns += ns;
    });
}

/// The request about a query.
#[must_use]
pub fn head(ask: &Ask<'_>, number: u32) -> [u8; REQUEST_LEN] {
    let mut head = [0; REQUEST_LEN];
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    let packet = ask.packet;
    let question_end = Name::at(packet, 12).map_or(12, |name| 12 + name.len() + 4).min(packet.len());
    let word = |at: usize| packet.get(at..at + 2).map_or(0, |word| u16::from_be_bytes([word[0], word[1]]));
    let has_opt = word(10) > 0;
    let mut flags = if packet.get(2).map_or(false, |byte| byte & 1 != 0) { flag::RD } else { 0 };
    flags |= if has_opt { flag::EDNS } else { 0 };
    flags |= if ask.is_tcp { flag::TCP } else { 0 };
    flags |= if ask.is_traced { flag::TRACED } else { 0 };
    let family = if let Address::V4(_) = ask.peer { 4 } else { 6 };
    put(request::SIZE, &(REQUEST_LEN as u32).to_le_bytes());
    put(request::TOKEN, &number.to_le_bytes());
    put(request::PHASE, &[ask.phase as u8, u8::from(ask.is_tcp), family, flags]);
    put(request::QTYPE, &word(question_end.saturating_sub(4)).to_le_bytes());
    put(request::QCLASS, &word(question_end.saturating_sub(2)).to_le_bytes());
    put(request::QUESTION_END, &(question_end as u16).to_le_bytes());
    put(request::QUERY_LEN, &(packet.len() as u32).to_le_bytes());
    put(request::REPLY_LEN, &(ask.reply.len() as u32).to_le_bytes());
    put(request::PEER, ask.peer.octets());
    put(request::LOCAL, ask.local.octets());
    put(request::PEER_PORT, &40_000_u16.to_le_bytes());
    put(request::LOCAL_PORT, &53_u16.to_le_bytes());
    let unix_ns = state(|state| state.unix_ns);
    put(request::UNIX_NS, &unix_ns.to_le_bytes());
    put(request::DEADLINE_NS, &(unix_ns + 2_000_000_000).to_le_bytes());
    let rcode = ask.reply.get(3).map_or(0, |byte| byte & 0xF);
    put(request::RCODE, &u16::from(rcode).to_le_bytes());
    put(request::UPSTREAM, &u16::MAX.to_le_bytes());
    head
}

/// What a number says.
fn outcome(said: i64, area: &[u8], number: u32) -> Outcome {
    let len = |at: usize| u32::from_le_bytes([area[at], area[at + 1], area[at + 2], area[at + 3]]) as usize;
    match said & 0xFF {
        word::PASS => Outcome::Pass,
        word::REPLY => Outcome::Reply(area[REPLY_AT..][..len(request::REPLY_LEN)].to_vec()),
        word::RCODE => Outcome::Rcode((said >> 8) as u8, ((said >> 16) as u16).checked_sub(1)),
        word::DROP => Outcome::Drop,
        word::LATER => Outcome::Held(number),
        word::CHANGED => {
            Outcome::Changed(area[QUERY_AT..][..len(request::QUERY_LEN).min(QUERY_LEN)].to_vec())
        }
        word::RETRY => Outcome::Retry((said >> 8) as u8),
        _ => Outcome::Fail,
    }
}

const DENIED: i32 = -2;
const NOT_FOUND: i32 = -4;
const TIMEOUT: i32 = -6;
const CLOSED: i32 = -8;
const INVALID: i32 = -1;

impl State {
    fn token(&mut self) -> i32 {
        self.next_token += 1;
        self.next_token - 1
    }

    fn tell(&mut self, in_ms: u64, told: Told) -> i32 {
        let token = self.token();
        self.due.push((self.ticks_ns + in_ms * 1_000_000, token, told));
        token
    }

    fn ask(&mut self, answer: Option<Vec<u8>>, timeout_ms: i32) -> i32 {
        let wait = if timeout_ms == 0 { 2000 } else { timeout_ms as u64 };
        match answer {
            Some(answer) => self.tell(0, Told::Answer(Ok(answer))),
            None => self.tell(wait, Told::Answer(Err(TIMEOUT))),
        }
    }
}
