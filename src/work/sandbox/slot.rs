//! One application in one worker: its instance, what is done when that traps, and how it goes.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use wasmi::Linker;

use super::abi::{
    Kind as Event, QUERY_AT, QUERY_LEN, REPLY_AT, REPLY_LEN, REQUEST_AT, Refusal, SCRATCH_AT, SCRATCH_LEN,
};
use super::app::App;
use super::area::{self, Times, UPSTREAM_NONE};
use super::breaker::Breaker;
use super::call::{self, Call, Called, Order};
use super::host::{Finished, Held, Host, Kind, Pending, Span, Tools};
use super::instance::{Instance, Trap, linker};
use super::judge::About;
use super::settings::Isolation;
use super::verdict::Verdict;
use crate::dns::consts::HEADER_LEN;
use crate::limits::{GUEST_GENERATION_KEPT, GUEST_HOSTCALLS_MAX, GUEST_SPANS_MAX, WORK_SNAPSHOT_KEPT};
use crate::policy::facts::Outcome;
use crate::stats::app_labels::{
    APP_EVENT_DONE, APP_EVENT_QUERY, APP_EVENT_START, APP_EVENT_STOP, APP_EVENT_TICK, APP_EVENT_TIMER,
    APP_VERDICT_FAIL, BAD_REPLY_VERDICT,
};
use crate::stats::counters::{
    APP_EVENTS, APP_METRICS, APP_VERDICTS, GUEST_CPU, GUEST_HOSTCALLS_REFUSED, GUEST_LOG_DROPPED,
    GUEST_MEMORY_REFUSED, GUEST_REPLIES_BAD, GUEST_TRAPS,
};
use crate::stats::gauges::AppState;
use crate::stats::ledger::Ledger;

/// One event in so many is measured.
const MEASURED_EVERY: u32 = 64;

/// An instance, by a number that no other of this worker ever has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InstanceId(pub u32);

/// What comes of events.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub orders: VecDeque<(InstanceId, u32, Order)>,
    pub finished: VecDeque<Finished>,
    pub spans: VecDeque<Span>,
    /// An application is on or off since.
    pub is_changed: bool,
}

/// From the clock that is never set to the one that is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    at: Instant,
    unix_ns: u64,
}

impl Clock {
    pub(super) fn read(now: Instant) -> Self {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { at: now, unix_ns: nanos(unix) }
    }

    /// Nanoseconds of Unix time.
    pub(super) fn unix_ns(self, then: Instant) -> u64 {
        match then.checked_duration_since(self.at) {
            Some(after) => self.unix_ns.saturating_add(nanos(after)),
            None => self.unix_ns.saturating_sub(nanos(self.at.saturating_duration_since(then))),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What a slot needs of the worker to do something.
#[derive(Debug)]
pub(super) struct With<'a> {
    pub tools: &'a Tools,
    pub random: &'a mut StdRng,
    /// The number of the last instance.
    pub last: &'a mut u32,
    pub clock: Clock,
    pub now: Instant,
    pub ledger: &'a mut Ledger,
    pub out: &'a mut Out,
}

/// One application.
#[derive(Debug)]
pub(super) struct Slot {
    pub app: Arc<App>,
    /// All that this is an instance of: the same, in snapshots of their own.
    apps: Vec<Weak<App>>,
    pub id: InstanceId,
    linker: Linker<Host>,
    instance: Option<Instance>,
    breaker: Breaker,
    /// It is off until then.
    pub off_until: Option<Instant>,
    /// There is a newer one since then.
    pub replaced: Option<Instant>,
    is_stopped: bool,
    to_measure: u32,
}

impl Slot {
    pub(super) fn new(app: &Arc<App>, with: &mut With<'_>) -> Self {
        let mut slot = Self {
            linker: linker(app),
            app: Arc::clone(app),
            apps: vec![Arc::downgrade(app)],
            id: InstanceId(0),
            instance: None,
            breaker: Breaker::default(),
            off_until: None,
            replaced: None,
            is_stopped: false,
            to_measure: MEASURED_EVERY,
        };
        if app.manifest.isolation == Isolation::App {
            slot.start(with);
        }
        slot
    }

    /// From here on it is the instance of the same application in a newer snapshot.
    pub(super) fn adopt(&mut self, app: &Arc<App>) {
        self.app = Arc::clone(app);
        self.apps.retain(|known| known.strong_count() > 0);
        self.apps.push(Arc::downgrade(app));
        // The next instance is one of this module, in the engine of this module.
        self.linker = linker(app);
        if let Some(instance) = &mut self.instance {
            instance.host_mut().app = Arc::clone(app);
        }
    }

    /// Whether this is an instance of it.
    pub(super) fn is_of(&self, app: &Arc<App>) -> bool {
        self.apps.iter().any(|known| known.as_ptr() == Arc::as_ptr(app))
    }

    pub(super) fn state(&self) -> AppState {
        match (&self.instance, self.off_until) {
            (_, Some(_)) => AppState::Off,
            (None, None) if self.app.manifest.isolation == Isolation::App => AppState::Starting,
            _ => AppState::Running,
        }
    }

    pub(super) const fn has_instance(&self) -> bool {
        self.instance.is_some()
    }

    pub(super) fn memory_len(&self) -> usize {
        self.instance.as_ref().map_or(0, Instance::memory_len)
    }

    pub(super) fn held(&self) -> usize {
        self.instance.as_ref().map_or(0, |instance| instance.host().held.len())
    }

    /// A fresh instance, with a number of its own.
    fn fresh(&mut self, with: &mut With<'_>) -> Result<Instance, Trap> {
        *with.last = with.last.wrapping_add(1);
        self.id = InstanceId(*with.last);
        let random = StdRng::seed_from_u64(with.random.next_u64());
        let mut host = Host::new(&self.app, with.tools, random, with.now);
        host.doing.unix_ns = with.clock.unix_ns(with.now);
        with.ledger.count(APP_EVENTS.at([self.app.label, APP_EVENT_START]));
        // What it registers was looked at when it was loaded.
        Instance::start(&self.linker, host, &mut |_| {}).map_err(|(trap, mut host)| {
            count(&self.app, &mut host, with.ledger);
            trap
        })
    }

    /// Starts it. If that fails it is off for a while.
    pub(super) fn start(&mut self, with: &mut With<'_>) {
        self.off_until = None;
        match self.fresh(with) {
            Ok(instance) => {
                self.instance = Some(instance);
                self.collect(with);
            }
            Err(trap) => {
                self.count_trap(trap, with);
                let pause = self.breaker.failed(with.now, self.app.manifest.limits.restart);
                self.turn_off(trap, pause, with);
            }
        }
    }

    fn count_trap(&self, trap: Trap, with: &mut With<'_>) {
        with.ledger.count(GUEST_TRAPS.at([self.app.label, trap.label()]));
    }

    fn turn_off(&mut self, trap: Trap, pause: Duration, with: &mut With<'_>) {
        self.off_until = Some(with.now + pause);
        with.out.is_changed = true;
        let (name, fallback) = (&self.app.manifest.name, self.app.manifest.fallback.name());
        with.tools.log.warning(format!(
            "app {name}: off for {} s: its queries get `{fallback}`. Last: {trap}",
            pause.as_secs_f32()
        ));
    }

    /// It has trapped: no byte of it is used again.
    fn trapped(&mut self, trap: Trap, with: &mut With<'_>) {
        self.count_trap(trap, with);
        self.clear(with);
        let restart = self.app.manifest.limits.restart;
        match self.breaker.trapped(with.now, restart) {
            Some(pause) => self.turn_off(trap, pause, with),
            None if self.app.manifest.isolation == Isolation::App && self.replaced.is_none() => {
                self.start(with);
            }
            None => {}
        }
    }

    /// The instance goes: what it holds gets the fallback, and its orders are void.
    pub(super) fn clear(&mut self, with: &mut With<'_>) {
        let Some(mut instance) = self.instance.take() else { return };
        let (id, host) = (self.id, instance.host_mut());
        count(&self.app, host, with.ledger);
        with.out.orders.extend(host.orders.drain(..).map(|(token, order)| (id, token, order)));
        with.out.finished.extend(host.finished.drain(..));
        for (query, _) in host.held.drain() {
            with.out.finished.push_back(Finished { query, called: Called::Failed, message: Vec::new() });
        }
        for (token, pending) in &host.pending {
            if matches!(pending.kind, Kind::Exchange | Kind::Timer) {
                with.out.orders.push_back((id, *token, Order::Cancel(*token)));
            }
        }
        with.out.orders.extend(host.sockets.keys().map(|token| (id, *token, Order::Close(*token))));
    }

    /// Moves out what the instance leaves after an event.
    fn collect(&mut self, with: &mut With<'_>) {
        let Some(instance) = &mut self.instance else { return };
        leave(self.id, &self.app, instance.host_mut(), with);
    }

    /// Asks it about a query; what goes with what it says stands in `message`.
    pub(super) fn call(
        &mut self,
        app: &Arc<App>,
        call: &Call<'_>,
        message: &mut Vec<u8>,
        with: &mut With<'_>,
    ) -> Called {
        if self.off_until.is_some() || call.query.len() < HEADER_LEN || call.query.len() > QUERY_LEN {
            return Called::Failed;
        }
        if self.app.manifest.isolation == Isolation::Query {
            match self.fresh(with) {
                Ok(instance) => self.instance = Some(instance),
                Err(trap) => {
                    self.trapped(trap, with);
                    return Called::Failed;
                }
            }
        }
        let Some(instance) = &mut self.instance else { return Called::Failed };
        let upstream = call.later.upstream.and_then(|upstream| app.upstream_place(upstream));
        let times =
            Times { unix_ns: with.clock.unix_ns(with.now), deadline_ns: with.clock.unix_ns(call.deadline) };
        let (request, question_end) = area::request(call, upstream.unwrap_or(UPSTREAM_NONE), times);
        let reply = &call.reply[..call.reply.len().min(REPLY_LEN)];
        instance.write([(REQUEST_AT, &request), (QUERY_AT, call.query), (REPLY_AT, reply)]);
        instance.host_mut().begin(Some(call.token), call.is_traced, GUEST_HOSTCALLS_MAX);
        let query_len = call.query.len() as i32;
        let number = match self.event(Event::Query, APP_EVENT_QUERY, call.token, query_len, with) {
            Ok(number) => number,
            Err(trap) => {
                self.trapped(trap, with);
                return Called::Failed;
            }
        };
        let about = About { app, phase: call.phase, query: call.query, question_end };
        let called = self.judge(&about, number, message, with);
        let called = if called == Called::Later {
            let held = Held {
                request,
                bytes: [call.query, reply].concat(),
                query_len: call.query.len(),
                question_end,
                phase: call.phase,
                app: Arc::clone(app),
                exchanges: 0,
                is_traced: call.is_traced,
                spans_left: GUEST_SPANS_MAX,
            };
            self.hold(call.token, held)
        } else {
            called
        };
        if self.app.manifest.isolation == Isolation::Query {
            self.clear(with);
        } else {
            self.collect(with);
        }
        called
    }

    fn judge(&self, about: &About<'_>, number: i64, message: &mut Vec<u8>, with: &mut With<'_>) -> Called {
        let Some(instance) = &self.instance else { return Called::Failed };
        let label = self.app.label;
        let verdict = Verdict::read(number);
        let word = verdict.map_or(APP_VERDICT_FAIL, |verdict| verdict.word() as usize);
        with.ledger.count(APP_VERDICTS.at([label, word]));
        let judged = verdict.ok_or(BAD_REPLY_VERDICT);
        let judged = judged.and_then(|verdict| about.judge(verdict, instance.area(), message));
        judged.unwrap_or_else(|bad| {
            with.ledger.count(GUEST_REPLIES_BAD.at([label, bad]));
            Called::Failed
        })
    }

    fn hold(&mut self, token: u32, mut held: Held) -> Called {
        let Some(instance) = &mut self.instance else { return Called::Failed };
        let host = instance.host_mut();
        if host.held.len() >= host.app.manifest.limits.in_flight {
            return Called::Failed;
        }
        held.exchanges = host.exchanges_of_this;
        held.spans_left = host.doing.spans_left;
        host.held.insert(token, held);
        Called::Later
    }

    /// Tells the instance of something. What it is about was said with `begin`.
    fn event(
        &mut self,
        event: Event,
        kind: usize,
        token: u32,
        len: i32,
        with: &mut With<'_>,
    ) -> Result<i64, Trap> {
        let Some(instance) = &mut self.instance else { return Err(Trap::Made) };
        let label = self.app.label;
        with.ledger.count(APP_EVENTS.at([label, kind]));
        let unix_ns = with.clock.unix_ns(with.now);
        let host = instance.host_mut();
        host.doing.now = with.now;
        host.doing.unix_ns = unix_ns;
        host.doing.ticks_ns = nanos(with.now.saturating_duration_since(host.began));
        self.to_measure -= 1;
        if self.to_measure > 0 {
            return instance.event(event, token, len);
        }
        self.to_measure = MEASURED_EVERY;
        let began = Instant::now();
        let outcome = instance.event(event, token, len);
        let took = began.elapsed().as_nanos().saturating_mul(u128::from(MEASURED_EVERY));
        with.ledger.add(GUEST_CPU.at([label]), u32::try_from(took).unwrap_or(u32::MAX));
        outcome
    }

    /// Tells it of something that is not a query.
    fn tell(
        &mut self,
        event: Event,
        kind: usize,
        token: u32,
        len: i32,
        query: Option<u32>,
        with: &mut With<'_>,
    ) {
        let Some(instance) = &mut self.instance else { return };
        instance.host_mut().begin(query, false, GUEST_HOSTCALLS_MAX);
        match self.event(event, kind, token, len, with) {
            Ok(_) => self.collect(with),
            Err(trap) => self.trapped(trap, with),
        }
    }

    /// A second has passed.
    pub(super) fn tick(&mut self, with: &mut With<'_>) {
        self.tell(Event::Tick, APP_EVENT_TICK, 0, 0, None, with);
    }

    /// There is nothing more to come: it goes.
    pub(super) fn stop(&mut self, with: &mut With<'_>) {
        // Whatever it does now, it is not started again.
        self.replaced.get_or_insert(with.now);
        self.tell(Event::Stop, APP_EVENT_STOP, 0, 0, None, with);
        self.clear(with);
        self.is_stopped = true;
    }

    /// Whether it may go: nothing of its snapshots is under way, or it has had its time.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.replaced.is_some_and(|since| {
            let age = now.saturating_duration_since(since);
            age >= GUEST_GENERATION_KEPT || age >= WORK_SNAPSHOT_KEPT && self.held() == 0
        })
    }

    /// It has been stopped.
    pub(super) fn is_gone(&self) -> bool {
        self.is_stopped
    }

    /// Its pause is over.
    pub(super) fn come_back(&mut self, with: &mut With<'_>) {
        self.off_until = None;
        if self.app.manifest.isolation == Isolation::App {
            self.start(with);
        }
    }

    /// When something is to be done about it.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let kept = if self.held() == 0 { WORK_SNAPSHOT_KEPT } else { GUEST_GENERATION_KEPT };
        self.replaced.map(|since| since + kept).or(self.off_until)
    }

    /// An order has ended.
    pub(super) fn done(&mut self, token: u32, result: call::Result<'_>, with: &mut With<'_>) {
        let Some(instance) = &mut self.instance else { return };
        let Some(Pending { kind, query }) = instance.host_mut().end(token) else { return };
        let socket = match kind {
            Kind::Open => Some(token),
            Kind::Send(socket, _) | Kind::Receive(socket) => Some(socket),
            _ => None,
        };
        let socket = socket.and_then(|socket| instance.host_mut().sockets.get_mut(&socket));
        let is_closed = matches!(result, call::Result::Closed);
        if let Some(socket) = socket {
            socket.is_closed |= is_closed;
            socket.is_open |= !is_closed;
        }
        let (bytes, at, most) = match &result {
            call::Result::Answer(answer) => (*answer, REPLY_AT, REPLY_LEN),
            call::Result::Purged(count) => (&count.to_le_bytes() as &[u8], SCRATCH_AT, SCRATCH_LEN),
            call::Result::Bytes(bytes) => (*bytes, SCRATCH_AT, SCRATCH_LEN),
            call::Result::Time | call::Result::Unanswered(_) | call::Result::Closed => {
                (&[] as &[u8], SCRATCH_AT, 0)
            }
        };
        let bytes = &bytes[..bytes.len().min(most)];
        instance.write([(at, bytes)]);
        let len = match result {
            call::Result::Unanswered(outcome) => refusal(outcome) as i32,
            call::Result::Closed => Refusal::Closed as i32,
            _ => bytes.len() as i32,
        };
        if kind == Kind::Timer {
            self.tell(Event::Timer, APP_EVENT_TIMER, token, 0, query, with);
        } else {
            self.tell(Event::Done, APP_EVENT_DONE, token, len, query, with);
        }
    }

    /// A query's time is up.
    pub(super) fn forget(&mut self, query: u32) -> bool {
        self.instance.as_mut().is_some_and(|instance| instance.host_mut().held.remove(&query).is_some())
    }

    pub(super) fn fuel_left(&self) -> Option<u64> {
        self.instance.as_ref().map(Instance::fuel_left)
    }
}

/// Why nobody has answered.
const fn refusal(outcome: Outcome) -> Refusal {
    match outcome {
        Outcome::Timeout => Refusal::Timeout,
        Outcome::Ok | Outcome::Refused => Refusal::Unreachable,
        Outcome::Bad => Refusal::Invalid,
    }
}

/// Moves out what an instance leaves.
fn leave(id: InstanceId, app: &App, host: &mut Host, with: &mut With<'_>) {
    if !host.orders.is_empty() {
        with.out.orders.extend(host.orders.drain(..).map(|(token, order)| (id, token, order)));
    }
    if !host.finished.is_empty() {
        with.out.finished.extend(host.finished.drain(..));
    }
    if !host.spans.is_empty() {
        with.out.spans.extend(host.spans.drain(..));
    }
    if host.counts.is_any {
        count(app, host, with.ledger);
    }
}

/// Counts what hostcalls have left to be counted.
fn count(app: &App, host: &mut Host, ledger: &mut Ledger) {
    let (label, counts) = (app.label, &mut host.counts);
    counts.is_any = false;
    let take = std::mem::take::<u32>;
    for (why, count) in counts.refused.iter_mut().enumerate().filter(|(_, count)| **count > 0) {
        ledger.add(GUEST_HOSTCALLS_REFUSED.at([label, why]), take(count));
    }
    for (verdict, count) in counts.verdicts.iter_mut().enumerate().filter(|(_, count)| **count > 0) {
        ledger.add(APP_VERDICTS.at([label, verdict]), take(count));
    }
    for (why, count) in counts.bad.iter_mut().enumerate().filter(|(_, count)| **count > 0) {
        ledger.add(GUEST_REPLIES_BAD.at([label, why]), take(count));
    }
    ledger.add(GUEST_MEMORY_REFUSED.at([label]), take(&mut counts.memory_refused));
    ledger.add(GUEST_LOG_DROPPED.at([label]), take(&mut counts.log_dropped));
    for (count, place) in counts.metrics.iter_mut().zip(&app.metrics) {
        ledger.add(APP_METRICS.at([0, *place]), take(count));
    }
}
