//! What the host knows of one instance: what it is allowed, what it holds, and what it wants.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use rand::rngs::StdRng;
use wasmi::errors::HostError;

use wasmi::{Memory, ResourceLimiter};
use wasmi_core::LimiterError;

use super::abi::REQUEST_LEN;
use super::app::{App, Registered};
use super::call::{Called, Order};
use crate::limits::{GUEST_SPANS_MAX, GUEST_TABLE_LEN_MAX, GUEST_TABLES_MAX};
use crate::log::Log;
use crate::policy::phase::Phase;
use crate::stats::app_labels::{APP_VERDICT, BAD_REPLY, HOSTCALL_REFUSED};

use super::super::places::Places;

/// Why a hostcall ends its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Its time is up.
    Time,
    /// Too many hostcalls.
    Calls,
    /// An address outside of the guest's memory.
    Pointer,
    /// It registers what it did not when it was loaded.
    Hooks,
    /// Not the end: somebody has to look at a condition.
    Condition,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl HostError for Stop {}

/// What the host has at hand for all instances.
#[derive(Clone, Debug)]
pub struct Tools {
    /// Where clients are.
    pub places: Places,
    /// Where lines of guests go.
    pub log: Log,
}

/// What an instance is doing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doing {
    /// `as112_start` runs: hooks may be registered.
    pub is_start: bool,
    /// The query that it is about.
    pub query: Option<u32>,
    /// That one is traced.
    pub is_traced: bool,
    /// Spans that it may still note.
    pub spans_left: u32,
    /// Hostcalls that it may still make.
    pub calls_left: u32,
    /// The time, in nanoseconds of Unix time.
    pub unix_ns: u64,
    /// The time on a clock that is never set.
    pub ticks_ns: u64,
    /// The same.
    pub now: Instant,
}

/// A query that an instance holds.
#[derive(Debug)]
pub(super) struct Held {
    /// The request, as it was.
    pub request: [u8; REQUEST_LEN],
    /// The query, and after it the reply so far.
    pub bytes: Vec<u8>,
    pub query_len: usize,
    pub question_end: usize,
    pub phase: Phase,
    /// The application as this query knows it.
    pub app: Arc<App>,
    /// Exchanges that were begun for it and have not ended.
    pub exchanges: usize,
    pub is_traced: bool,
    pub spans_left: u32,
}

impl Held {
    pub(super) fn query(&self) -> &[u8] {
        &self.bytes[..self.query_len]
    }

    pub(super) fn reply(&self) -> &[u8] {
        &self.bytes[self.query_len..]
    }
}

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Exchange,
    Timer,
    Purge,
    /// A socket that is to be opened, or is open.
    Open,
    /// Bytes for a socket.
    Send(u32, usize),
    /// What can be read from one.
    Receive(u32),
}

/// An order that has not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub kind: Kind,
    /// The query that it was given for.
    pub query: Option<u32>,
}

/// A local socket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Socket {
    /// It can be used.
    pub is_open: bool,
    /// The other side has closed, or it could not be opened.
    pub is_closed: bool,
    /// Somebody waits for what can be read.
    pub is_receiving: bool,
}

/// A query that a guest has finished.
#[derive(Debug)]
pub(super) struct Finished {
    pub query: u32,
    pub called: Called,
    pub message: Vec<u8>,
}

/// A mark that a guest sets in the trace of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The query's number.
    pub query: u32,
    /// The application, by its label.
    pub label: usize,
    /// 0 something begins, 1 it ends, 2 it happens.
    pub kind: u8,
    /// What.
    pub text: String,
}

/// What is to be counted, until somebody with a ledger comes.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub is_any: bool,
    pub refused: [u32; HOSTCALL_REFUSED.len],
    pub verdicts: [u32; APP_VERDICT.len],
    pub bad: [u32; BAD_REPLY.len],
    pub memory_refused: u32,
    pub log_dropped: u32,
    /// The guest's own, by their place in `[allow] metrics`.
    pub metrics: Vec<u32>,
}

/// Lines that a guest may still log in this second.
#[derive(Debug)]
pub(super) struct Lines {
    pub left: u32,
    pub since: Instant,
}

/// One instance, from the host's side.
#[derive(Debug)]
pub(super) struct Host {
    pub app: Arc<App>,
    pub tools: Tools,
    pub random: StdRng,
    pub began: Instant,
    /// The guest's memory, and where the area begins in it.
    pub memory: Option<Memory>,
    pub area: usize,
    pub doing: Doing,
    /// Fuel that the hostcall has burnt besides.
    pub spent: u64,
    pub held: HashMap<u32, Held>,
    pub pending: HashMap<u32, Pending>,
    pub sockets: HashMap<u32, Socket>,
    /// Exchanges and timers among what is pending.
    pub exchanges: usize,
    pub timers: usize,
    pub unsent: usize,
    /// Exchanges of the query of this event, which is not held.
    pub exchanges_of_this: usize,
    last_token: u32,
    pub orders: VecDeque<(u32, Order)>,
    pub finished: VecDeque<Finished>,
    pub spans: VecDeque<Span>,
    pub counts: Counts,
    pub lines: Lines,
    /// What a trial logs: nobody else hears of it.
    pub logged: Option<Vec<String>>,
    /// What a trial registers.
    pub registered: Vec<Registered>,
    pub is_trial: bool,
}

impl Host {
    pub(super) fn new(app: &Arc<App>, tools: &Tools, random: StdRng, now: Instant) -> Self {
        let limits = &app.manifest.limits;
        Self {
            tools: tools.clone(),
            random,
            began: now,
            memory: None,
            area: 0,
            doing: Doing {
                is_start: false,
                query: None,
                is_traced: false,
                spans_left: 0,
                calls_left: 0,
                unix_ns: 0,
                ticks_ns: 0,
                now,
            },
            spent: 0,
            held: HashMap::new(),
            pending: HashMap::new(),
            sockets: HashMap::new(),
            exchanges: 0,
            timers: 0,
            unsent: 0,
            exchanges_of_this: 0,
            last_token: 0,
            orders: VecDeque::new(),
            finished: VecDeque::new(),
            spans: VecDeque::new(),
            counts: Counts { metrics: vec![0; app.manifest.allow.metrics.len()], ..Counts::default() },
            lines: Lines { left: limits.log_lines, since: now },
            logged: None,
            registered: Vec::new(),
            is_trial: false,
            app: Arc::clone(app),
        }
    }

    /// A token that no order has.
    pub(super) fn token(&mut self) -> u32 {
        loop {
            self.last_token =
                self.last_token.checked_add(1).filter(|token| *token <= i32::MAX as u32).unwrap_or(1);
            let token = self.last_token;
            if !self.pending.contains_key(&token) && !self.sockets.contains_key(&token) {
                return token;
            }
        }
    }

    /// Gives an order, and notes that it is under way.
    pub(super) fn order(&mut self, kind: Kind, order: Order) -> u32 {
        let token = self.token();
        self.pending.insert(token, Pending { kind, query: self.doing.query });
        self.orders.push_back((token, order));
        token
    }

    /// An order has ended, or nobody waits for it.
    pub(super) fn end(&mut self, token: u32) -> Option<Pending> {
        let pending = self.pending.remove(&token)?;
        match pending.kind {
            Kind::Exchange => {
                self.exchanges -= 1;
                if let Some(held) = pending.query.and_then(|query| self.held.get_mut(&query)) {
                    held.exchanges = held.exchanges.saturating_sub(1);
                }
            }
            Kind::Timer => self.timers -= 1,
            Kind::Send(_, len) => self.unsent -= len,
            Kind::Receive(socket) => {
                if let Some(socket) = self.sockets.get_mut(&socket) {
                    socket.is_receiving = false;
                }
            }
            Kind::Purge | Kind::Open => {}
        }
        Some(pending)
    }

    /// Nobody waits for what is done with a socket.
    pub(super) fn end_of_socket(&mut self, socket: u32) {
        let is_of = |(token, pending): (&u32, &Pending)| match pending.kind {
            Kind::Send(of, _) | Kind::Receive(of) => of == socket,
            Kind::Open => *token == socket,
            _ => false,
        };
        let tokens: Vec<u32> =
            self.pending.iter().filter(|pair| is_of(*pair)).map(|(token, _)| *token).collect();
        for token in tokens {
            self.end(token);
        }
    }

    /// An event is about to begin, on account of a query or of none.
    pub(super) fn begin(&mut self, query: Option<u32>, is_traced: bool, calls: u32) {
        let held = query.and_then(|query| self.held.get(&query));
        self.doing.query = query;
        self.doing.is_traced = held.map_or(is_traced, |held| held.is_traced);
        self.doing.spans_left = held.map_or(GUEST_SPANS_MAX, |held| held.spans_left);
        self.doing.calls_left = calls;
        self.exchanges_of_this = 0;
    }
}

impl ResourceLimiter for Host {
    fn memory_growing(
        &mut self,
        _: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, LimiterError> {
        let is_granted = desired <= self.app.manifest.limits.memory;
        if !is_granted || maximum.is_some_and(|maximum| desired > maximum) {
            self.counts.memory_refused += 1;
            self.counts.is_any = true;
        }
        Ok(is_granted)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool, LimiterError> {
        let is_granted = desired <= GUEST_TABLE_LEN_MAX;
        if !is_granted {
            self.counts.memory_refused += 1;
            self.counts.is_any = true;
        }
        Ok(is_granted)
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        GUEST_TABLES_MAX
    }

    fn memories(&self) -> usize {
        1
    }
}
