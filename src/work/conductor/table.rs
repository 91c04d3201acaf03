//! All questions that are being asked: who joins whom, who is asked next, and which answer is taken. No I/O,
//! a clock passed in; what goes out is queued with a [`Network`].

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::time::Duration;

use super::ask::{Ask, Asked as Became, Finished, Waiter};
use super::choose::Pick;
use super::coalesce::{AsIs, Coalesce};
use super::directory::Directory;
use super::ended::Ended;
use super::exchange::{Exchange, Progress, Try, Via};
use super::network::{Network, Port, Queued};
use super::query::{Asked, Outgoing, header_flags};
use super::random::Random;
use super::wheel::{Micros, Wheel};
use crate::dns::consts::{HEADER_LEN, NAME_LEN_MAX, flag};
use crate::dns::name;
use crate::limits::{
    ANSWERED_REMEMBERED, EXCHANGES_MAX, EXCHANGES_SPARE, TRIES_IN_ALL_MAX, UPSTREAM_QUERY_LEN_MAX,
    WAITERS_MAX, WAITERS_PER_EXCHANGE_MAX,
};
use crate::policy::facts::Outcome;
use crate::policy::upstream::{Choose, Over, UpstreamId};
use crate::stats::counters::{COALESCED, UPSTREAM_QUERIES};
use crate::stats::labels::{
    TRIAL_TIMEOUT, TRIAL_UNREACHABLE, WORK_REFUSED_TASKS, WORK_REFUSED_UPSTREAM, WORK_REFUSED_WAITERS,
};
use crate::stats::ledger::Ledger;

const NONE: u32 = u32::MAX;
/// IDs that are drawn before a port is taken for full; there are 65,536 of them.
const ID_DRAWS: usize = 16;

/// Where a try is, by what its answer will have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) exchange: u32,
    pub(super) nth: u8,
}

/// What a call works with besides the table.
pub(super) struct Turn<'t, N> {
    pub(super) net: &'t mut N,
    pub(super) ledger: &'t mut Ledger,
    pub(super) now: Micros,
}

/// All questions.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) directory: Directory,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) free: Vec<u32>,
    /// Where the tries over UDP are, by port and ID.
    pub(super) ids: HashMap<u32, Place, BuildHasherDefault<AsIs>>,
    /// Ports and IDs of late, and the servers that they were for: what comes twice is not forged.
    pub(super) answered: Box<[(u32, u32)]>,
    pub(super) coalesce: Coalesce,
    pub(super) wheel: Wheel,
    pub(super) random: Random,
    /// The question that each waits for.
    pub(super) waiting: Vec<u32>,
    pub(super) ended: Ended,
}

/// The key of a port and an ID.
pub(super) fn key(port: Port, id: u16) -> u32 {
    u32::from(port) << 16 | u32::from(id)
}

/// Where a key is remembered when its answer has come.
pub(super) fn answered_place(key: u32) -> usize {
    key.wrapping_mul(0x9E37_79B1) as usize % ANSWERED_REMEMBERED
}

impl Table {
    /// Bytes at most.
    pub(super) const MEMORY_LEN: usize = EXCHANGES_MAX
        * (size_of::<Exchange>()
            + 4
            + Wheel::LEN
            + 2 * size_of::<(u64, u32)>()
            + 4 * size_of::<(u32, Place)>())
        + ANSWERED_REMEMBERED * size_of::<(u32, u32)>()
        + WAITERS_MAX * 4;

    pub(super) fn new(random: Random) -> Self {
        Self {
            directory: Directory::new(),
            // Pages of it are touched when they are needed.
            exchanges: Vec::with_capacity(EXCHANGES_MAX),
            free: Vec::new(),
            ids: HashMap::with_capacity_and_hasher(EXCHANGES_MAX / 16, BuildHasherDefault::default()),
            answered: vec![(NONE, NONE); ANSWERED_REMEMBERED].into(),
            coalesce: Coalesce::with_capacity(EXCHANGES_MAX / 16),
            wheel: Wheel::new(),
            random,
            waiting: Vec::new(),
            ended: Ended::default(),
        }
    }

    /// Questions that have not ended.
    pub(super) fn in_use(&self) -> usize {
        self.exchanges.len() - self.free.len()
    }

    pub(super) fn next_event(&self) -> Option<Micros> {
        self.wheel.next()
    }

    /// Whether no server can be asked now.
    pub(super) fn is_down(&self, serial: u32, upstream: UpstreamId, now: Micros) -> bool {
        let target = self.directory.find(serial, upstream);
        target.is_some_and(|target| self.directory.choice(target, 0, now).is_down())
    }

    /// Hands over what has ended.
    pub(super) fn finished(&mut self, take: &mut impl FnMut(&Finished<'_>)) {
        self.ended.drain(take);
    }

    pub(super) fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Asks, or waits with who asks the same.
    pub(super) fn ask<N: Network>(
        &mut self,
        serial: u32,
        ask: &Ask<'_>,
        deadline: Micros,
        waiter: Waiter,
        turn: &mut Turn<'_, N>,
    ) -> Became {
        let Some(target) = self.directory.find(serial, ask.upstream) else {
            return Became::Refused(WORK_REFUSED_UPSTREAM);
        };
        let number = waiter.0 as usize;
        if number >= WAITERS_MAX || ask.qname.len() > NAME_LEN_MAX {
            return Became::Refused(WORK_REFUSED_TASKS);
        }
        if self.waiting.len() <= number {
            self.waiting.resize(number + 1, NONE);
        }
        self.cancel(waiter);
        let mut lower = [0; NAME_LEN_MAX];
        let lower = &mut lower[..ask.qname.len()];
        lower.copy_from_slice(ask.qname);
        lower.make_ascii_lowercase();
        let asked = Asked {
            qtype: ask.qtype,
            qclass: ask.qclass,
            flags: header_flags(ask.recursion_desired, ask.authentic_data, ask.checking_disabled),
            dnssec_ok: ask.dnssec_ok,
            subnet: ask.subnet,
        };
        let alike = Asked { flags: asked.flags & !flag::AD, ..asked };
        let hash = self.coalesce.hash(target, lower, &alike);
        if !ask.is_alone
            && let Some(at) = self.coalesce.find(hash)
            && self.exchanges[at as usize].is(target, lower, &asked)
        {
            return self.join(at, waiter, deadline, turn);
        }
        if self.in_use() >= EXCHANGES_MAX {
            return Became::Refused(WORK_REFUSED_TASKS);
        }
        let choice = self.directory.choice(target, self.name_hash(target, lower, hash), turn.now);
        let Some(first) = choice.first(&mut self.random) else {
            return Became::Refused(WORK_REFUSED_UPSTREAM);
        };
        let at = self.begin(target, ask.qname, &asked, hash);
        let exchange = &mut self.exchanges[at as usize];
        exchange.waiters.push((waiter, deadline));
        exchange.is_once = ask.is_once;
        exchange.is_shared = !ask.is_alone;
        if exchange.is_shared {
            self.coalesce.add(hash, at);
        }
        self.waiting[number] = at;
        self.first_try(at, first.pick, turn);
        if let Some(pick) = first.copy
            && self.in_use() < EXCHANGES_SPARE
        {
            self.copy(target, ask.qname, &asked, hash, pick, turn);
        }
        Became::Waiting
    }

    fn join<N: Network>(
        &mut self,
        at: u32,
        waiter: Waiter,
        deadline: Micros,
        turn: &mut Turn<'_, N>,
    ) -> Became {
        let exchange = &mut self.exchanges[at as usize];
        if exchange.waiters.len() >= WAITERS_PER_EXCHANGE_MAX {
            return Became::Refused(WORK_REFUSED_WAITERS);
        }
        let is_first = exchange.waiters.first().is_none_or(|&(_, others)| deadline < others);
        exchange.waiters.push((waiter, deadline));
        self.waiting[waiter.0 as usize] = at;
        turn.ledger.count(COALESCED.at([]));
        if is_first {
            self.set_timer(at);
        }
        Became::Joined
    }

    /// The hash that servers are chosen by: with `hash` the same name is asked of the same server, whoever
    /// asks and whenever.
    fn name_hash(&self, target: u16, lower: &[u8], hash: u64) -> u64 {
        match self.directory.target(target).choose {
            Choose::Hash => name::hash(lower, 0, lower.len()),
            Choose::Fastest | Choose::Order => hash,
        }
    }

    /// A question's place.
    fn begin(&mut self, target: u16, qname: &[u8], asked: &Asked, hash: u64) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.exchanges.push(Exchange::new());
            self.exchanges.len() as u32 - 1
        });
        self.directory.hold(target);
        let known = self.directory.target(target);
        let exchange = &mut self.exchanges[at as usize];
        exchange.begin(target, qname, asked, hash, known.tries);
        if known.is_case_random {
            self.random.change_case(&mut exchange.qname);
        }
        at
    }

    fn first_try<N: Network>(&mut self, at: u32, pick: Pick, turn: &mut Turn<'_, N>) {
        self.exchanges[at as usize].tries_left -= 1;
        if self.try_at(at, pick, Manner::default(), turn) {
            self.set_timer(at);
        } else {
            self.go_on(at, turn);
        }
    }

    /// Asks one more server the same, to measure it.
    fn copy<N: Network>(
        &mut self,
        target: u16,
        qname: &[u8],
        asked: &Asked,
        hash: u64,
        pick: Pick,
        turn: &mut Turn<'_, N>,
    ) {
        let at = self.begin(target, qname, asked, hash);
        let exchange = &mut self.exchanges[at as usize];
        (exchange.is_over, exchange.is_copy, exchange.tries_left) = (true, true, 0);
        if self.try_at(at, pick, Manner::default(), turn) {
            self.set_timer(at);
        } else {
            self.end_if_settled(at, turn);
        }
    }

    pub(super) fn set_timer(&mut self, at: u32) {
        let exchange = &self.exchanges[at as usize];
        let timeout = self.directory.target(exchange.target).timeout;
        self.wheel.set(at, exchange.next_event(timeout));
    }

    /// One waits no more.
    pub(super) fn cancel(&mut self, waiter: Waiter) {
        let Some(at) = self.waiting.get_mut(waiter.0 as usize) else { return };
        let at = std::mem::replace(at, NONE);
        let Some(exchange) = self.exchanges.get_mut(at as usize) else { return };
        exchange.waiters.retain(|&(other, _)| other != waiter);
        if exchange.waiters.is_empty() {
            // It ends with its next event: what comes until then still measures.
            exchange.is_over = true;
            self.leave(at);
            self.set_timer(at);
        }
    }

    /// Nobody joins it from now on.
    fn leave(&mut self, at: u32) {
        let exchange = &mut self.exchanges[at as usize];
        if std::mem::take(&mut exchange.is_shared) {
            self.coalesce.remove(exchange.hash, at);
        }
    }

    /// Sends the question to one server. False if it cannot be sent.
    pub(super) fn try_at<N: Network>(
        &mut self,
        at: u32,
        pick: Pick,
        manner: Manner,
        turn: &mut Turn<'_, N>,
    ) -> bool {
        let exchange = &mut self.exchanges[at as usize];
        let target = self.directory.target(exchange.target);
        let number = target.servers[pick.place];
        (exchange.last, exchange.tried) = (pick.place as u8, exchange.tried | 1 << pick.place);
        if exchange.tries.is_full() {
            return false;
        }
        let nth = exchange.tries.len();
        let server = &self.directory.known[number as usize];
        let address = self.directory.address(number);
        let is_stream = manner.is_stream || address.over != Over::Udp;
        let has_edns = !manner.is_plain && server.takes_edns(turn.now);
        let has_cookie = has_edns && target.has_cookies;
        let server_cookie = server.server_cookie();
        let mut one = Try {
            place: pick.place as u8,
            server: number,
            via: Via::Stream,
            progress: Progress::Waiting,
            sent: turn.now,
            due: 0,
            has_edns,
            has_cookie,
            has_server_cookie: has_cookie && !server_cookie.is_empty(),
            is_probe: pick.is_probe,
            is_timed: true,
            is_plain_again: manner.is_plain,
        };
        let mut outgoing = Outgoing {
            id: 0,
            qname: &exchange.qname,
            asked: &exchange.asked,
            has_edns,
            cookie: has_cookie.then_some((&server.client_cookie, server_cookie)),
            is_padded: matches!(address.over, Over::Tls { .. }),
        };
        if is_stream {
            outgoing.id = self.random.id();
            let mut query = [0; UPSTREAM_QUERY_LEN_MAX];
            let len = outgoing.write(&mut query);
            match turn.net.message(number, address, exchange.key(at, nth), &query[..len]) {
                Queued::Open => {}
                Queued::Opening => one.is_timed = false,
                Queued::No => return self.unsent(at, &one, turn),
            }
        } else {
            let Some(port) = turn.net.port(address.socket.is_ipv6()) else {
                return self.unsent(at, &one, turn);
            };
            let mut ids = (0..ID_DRAWS).map(|_| self.random.id());
            let Some(id) = ids.find(|&id| !self.ids.contains_key(&key(port, id))) else {
                return self.unsent(at, &one, turn);
            };
            outgoing.id = id;
            turn.net.datagram(id, &address.socket, |out| outgoing.write(out));
            one.via = Via::Udp { port, id };
            self.ids.insert(key(port, id), Place { exchange: at, nth: nth as u8 });
        }
        // Nobody else is asked after the last one, nor while it is not known whether a server is back.
        let is_patient = exchange.tries_left == 0 || pick.is_probe || !one.is_timed;
        let most = target.timeout;
        one.due = turn.now.saturating_add(if is_patient { most } else { server.timeout().min(most) });
        exchange.tries.push(one);
        self.directory.server_mut(number).asked(turn.now, pick.is_probe);
        true
    }

    /// A try that did not come to be.
    fn unsent<N: Network>(&mut self, at: u32, one: &Try, turn: &mut Turn<'_, N>) -> bool {
        self.count(at, one.place, TRIAL_UNREACHABLE, turn);
        self.directory.server_mut(one.server).failed(turn.now, one.is_probe);
        false
    }

    pub(super) fn count<N: Network>(&self, at: u32, place: u8, trial: usize, turn: &mut Turn<'_, N>) {
        let target = self.directory.target(self.exchanges[at as usize].target);
        let label = usize::from(target.labels[usize::from(place)]);
        turn.ledger.count(UPSTREAM_QUERIES.at([label, trial]));
    }

    /// Asks another server, or hopes for those that were asked, or ends without an answer.
    pub(super) fn go_on<N: Network>(&mut self, at: u32, turn: &mut Turn<'_, N>) {
        loop {
            let exchange = &mut self.exchanges[at as usize];
            if exchange.is_over {
                return self.end_if_settled(at, turn);
            }
            if exchange.tries_left == 0 || exchange.tries.len() >= TRIES_IN_ALL_MAX {
                break;
            }
            let (target, hash) = (exchange.target, exchange.hash);
            let (tried, last) = (exchange.tried, usize::from(exchange.last));
            let hash = match self.directory.target(target).choose {
                Choose::Hash => name::hash(&exchange.qname, 0, exchange.qname.len()),
                Choose::Fastest | Choose::Order => hash,
            };
            let choice = self.directory.choice(target, hash, turn.now);
            let Some(pick) = choice.other(tried).or_else(|| choice.again(last)) else { break };
            let exchange = &mut self.exchanges[at as usize];
            if exchange.is_too_soon(pick.place, turn.now) {
                break;
            }
            exchange.tries_left -= 1;
            if self.try_at(at, pick, Manner::default(), turn) {
                return self.set_timer(at);
            }
        }
        let exchange = &self.exchanges[at as usize];
        if exchange.hope_until(self.directory.target(exchange.target).timeout) > turn.now {
            return self.set_timer(at);
        }
        self.end_without_answer(at, turn);
    }

    fn end_without_answer<N: Network>(&mut self, at: u32, turn: &mut Turn<'_, N>) {
        let exchange = &mut self.exchanges[at as usize];
        if !exchange.error.is_empty() {
            let (place, rtt) = (exchange.error_place, exchange.error_rtt);
            let mut error = std::mem::take(&mut exchange.error);
            self.end(at, Outcome::Ok, &mut error, place, rtt, turn);
            error.clear();
            self.exchanges[at as usize].error = error;
            return;
        }
        let outcome = match exchange.failures {
            failures if failures.timed_out => Outcome::Timeout,
            failures if failures.malformed => Outcome::Bad,
            _ => Outcome::Refused,
        };
        let place = exchange.last;
        self.end(at, outcome, &mut [], place, 0, turn);
    }

    /// Tells those who wait. What still comes measures, if there is room for that.
    pub(super) fn end<N: Network>(
        &mut self,
        at: u32,
        outcome: Outcome,
        message: &mut [u8],
        place: u8,
        rtt: Micros,
        turn: &mut Turn<'_, N>,
    ) {
        self.leave(at);
        let exchange = &mut self.exchanges[at as usize];
        for &(waiter, _) in &exchange.waiters {
            self.waiting[waiter.0 as usize] = NONE;
        }
        // Letter cases were between us and the server.
        if let Some(name) = message.get_mut(HEADER_LEN..HEADER_LEN + exchange.qname.len())
            && name.eq_ignore_ascii_case(&exchange.qname)
        {
            name.make_ascii_lowercase();
        }
        let upstream = self.directory.target(exchange.target).upstream;
        let waiters = exchange.waiters.drain(..).map(|(waiter, _)| waiter);
        let (server, rtt) = (usize::from(place), Duration::from_micros(rtt));
        self.ended.add(waiters, outcome, message, upstream, server, rtt);
        exchange.is_over = true;
        self.end_if_settled(at, turn);
    }

    /// Frees the place of a question that nobody waits for, when nothing more is to be learned.
    pub(super) fn end_if_settled<N: Network>(&mut self, at: u32, turn: &mut Turn<'_, N>) {
        let exchange = &self.exchanges[at as usize];
        debug_assert!(exchange.is_over && exchange.waiters.is_empty());
        let is_settled = exchange.open_tries().next().is_none();
        if !is_settled && self.in_use() < EXCHANGES_SPARE && exchange.late_until() > turn.now {
            return self.set_timer(at);
        }
        for nth in 0..self.exchanges[at as usize].tries.len() {
            let one = self.exchanges[at as usize].tries[nth];
            if one.progress != Progress::Done {
                self.count(at, one.place, TRIAL_TIMEOUT, turn);
                // One that is overdue has failed already, and another may be on its way.
                if one.is_probe && one.progress == Progress::Waiting {
                    self.directory.server_mut(one.server).probe_given_up(turn.now);
                }
                self.settle(at, nth, turn);
            }
        }
        self.wheel.stop(at);
        let exchange = &mut self.exchanges[at as usize];
        exchange.tries.clear();
        exchange.in_use = false;
        exchange.generation = exchange.generation.wrapping_add(1);
        let target = exchange.target;
        self.directory.release(target);
        self.free.push(at);
    }

    /// Nothing more is expected of a try.
    pub(super) fn settle<N: Network>(&mut self, at: u32, nth: usize, turn: &mut Turn<'_, N>) {
        let one = &mut self.exchanges[at as usize].tries[nth];
        let progress = std::mem::replace(&mut one.progress, Progress::Done);
        if progress == Progress::Waiting {
            self.directory.known[one.server as usize].settled();
        }
        if let (Via::Udp { port, id }, true) = (one.via, progress != Progress::Done) {
            let key = key(port, id);
            self.ids.remove(&key);
            self.answered[answered_place(key)] = (key, one.server);
            turn.net.settled(port);
        }
    }
}

/// How a server is asked, where it is not asked as usual.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    /// Over a connection.
    pub(super) is_stream: bool,
    /// Without EDNS.
    pub(super) is_plain: bool,
}
