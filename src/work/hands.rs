//! What a worker does for a query: the effects of its life, and what comes of each.

use std::sync::Arc;
use std::time::Instant;

use super::cache::{Cache, Found, Key, Stored};
use super::conductor::wheel::Wheel;
use super::conductor::{Asked, Conductor, Waiter};
use super::guests::Guests;
use super::places::{Place, Places};
use super::query::{Effect, Event, Looked, Patience, Query, Reply, Rules};
use super::question::Question;
use super::replies::{Bench, Material};
use super::responses::Ended;
use super::task::{Task, Waiting, Wants, label, name, rules};
use super::tasks::Tasks;
use super::trace::{Steps, Tracing};
use crate::dns::arrival::Arrival;
use crate::limits::{PHASE_TIME_EVERY, WORK_LATE_AFTER, WORK_PREFETCHES_A_TURN, WORK_TASKS_MAX};
use crate::policy::phase::Phase;
use crate::policy::upstream::UpstreamId;
use crate::policy::{Decision, Hit, Policy, RuleId};
use crate::serve::cap::Cap;
use crate::serve::identity;
use crate::serve::job::{Inbox, Job};
use crate::serve::snapshot::Snapshot;
use crate::stats::counters::{
    CACHE_LOOKS, CACHE_STORED, PHASE_TIME, PHASE_TIME_SUM, RULE_HITS, RULE_WOULD, TRACES, WORK_REFUSED,
    WORKER_JOBS,
};
use crate::stats::labels::{
    CACHE_FAILURE, CACHE_FRESH, CACHE_MISS, CACHE_PREFETCH, CACHE_STALE, DROPPED_LATE, DROPPED_RULE,
    DROPPED_SHORT, WORK_REFUSED_LATE, WORK_REFUSED_TASKS, phase_bin,
};
use crate::stats::ledger::Ledger;
use crate::sys::answering::Answering;

/// All that a worker does it with.
pub(super) struct Hands {
    pub(super) inboxes: Vec<Inbox>,
    pub(super) answering: Vec<Answering>,
    pub(super) cache: Cache,
    pub(super) conductor: Conductor,
    pub(super) ledger: Ledger,
    pub(super) tasks: Tasks<Waiting>,
    /// Some of the tasks are copies.
    pub(super) copies: usize,
    pub(super) wheel: Wheel,
    /// What the wheel counts from.
    pub(super) began: Instant,
    pub(super) patience: Patience,
    pub(super) places: Places,
    pub(super) tracing: Tracing,
    /// Queries until the next one that is traced.
    pub(super) to_trace: u32,
    /// Queries until the next one whose phases are timed.
    pub(super) to_time: u32,
    pub(super) wants: Wants,
    /// Where the steps of the next query are noted that may be traced.
    pub(super) spare_steps: Option<Box<Steps>>,
    pub(super) bench: Bench,
    /// Of replies over UDP that say who asks, which are longer than their query.
    pub(super) texts: Cap,
    /// What the cache had for the query that was looked up last.
    pub(super) found: Vec<u8>,
    /// What an application said last.
    pub(super) said: Vec<u8>,
    pub(super) guests: Guests,
    /// Queries without a client that are to begin.
    pub(super) prefetches: Vec<Task>,
    /// The thread of TCP was given something back.
    pub(super) has_returned: bool,
}

impl Hands {
    /// Takes a job of a desk.
    pub(super) fn begin(
        &mut self,
        job: Box<Job>,
        desk: usize,
        snapshot: Option<&Arc<Snapshot>>,
        now: Instant,
    ) {
        self.ledger.count(WORKER_JOBS.at([]));
        let is_late = now.saturating_duration_since(job.asked) > WORK_LATE_AFTER;
        let Some(snapshot) = snapshot.filter(|_| !is_late) else {
            return self.drop_late(job, desk, snapshot);
        };
        self.wants.see(snapshot);
        let is_sampled = self.is_sampled() || job.is_traced;
        let steps = self.tracing.to.as_ref().filter(|_| is_sampled || self.wants.traces);
        let steps = steps.map(|_| self.spare_steps.take().unwrap_or_default());
        let query = Query::new(job.asked, job.connection.is_some(), self.patience);
        let phase = self.is_timed().then_some((Phase::Route, job.asked));
        let task = Task { steps, is_sampled, phase, ..Task::new(query, job, Some(desk), snapshot) };
        self.carry(task, Event::Begin, None, now);
    }

    /// Its client has asked again.
    fn drop_late(&mut self, mut job: Box<Job>, desk: usize, snapshot: Option<&Arc<Snapshot>>) {
        let rule = snapshot.map_or(0, |snapshot| snapshot.route_share(job.way).0);
        self.ledger.count(WORK_REFUSED.at([rule, WORK_REFUSED_LATE]));
        job.account.dropped = Some(DROPPED_LATE);
        self.ledger.post(&job.account, job.arrival.peer.ip(), None);
        self.give_back(job, desk);
    }

    /// Whether it is the turn of this query to be traced.
    fn is_sampled(&mut self) -> bool {
        let Some(every) = self.tracing.sample_every else { return false };
        self.to_trace = self.to_trace.checked_sub(1).unwrap_or_else(|| every.get() - 1);
        self.to_trace == 0
    }

    /// Whether it is the turn of this query to have its phases timed.
    fn is_timed(&mut self) -> bool {
        self.to_time = self.to_time.checked_sub(1).unwrap_or(PHASE_TIME_EVERY - 1);
        self.to_time == 0
    }

    /// Records how long a query was in a phase, if it is one of those: it is in another now, or at its end.
    fn time(&mut self, phase: &mut Option<(Phase, Instant)>, next: Option<Phase>) {
        let Some((last, since)) = *phase else { return };
        if next == Some(last) {
            return;
        }
        let now = Instant::now();
        let took = u64::try_from(now.saturating_duration_since(since).as_micros()).unwrap_or(u64::MAX);
        self.ledger.count(PHASE_TIME.at([last as usize, phase_bin(took)]));
        self.ledger.add(PHASE_TIME_SUM.at([last as usize]), u32::try_from(took).unwrap_or(u32::MAX));
        *phase = next.map(|next| (next, now));
    }

    /// Carries a query through its life, until it waits or ends.
    pub(super) fn carry(
        &mut self,
        mut task: Task,
        event: Event,
        mut ended: Option<&mut Ended>,
        now: Instant,
    ) {
        let snapshot = Arc::clone(&task.snapshot);
        self.wants.see(&snapshot);
        let policy = snapshot.policy();
        let rules = rules(policy);
        let Some(mut question) = Question::read(task.packet().bytes) else { return self.unreadable(task) };
        let mut effect = task.query.step(event, &rules);
        loop {
            if let Some(steps) = &mut task.steps {
                steps.note(name(effect), task.job.asked);
            }
            let about = About { policy, question: &question, now };
            let event = match effect {
                Effect::Decide(phase, after) => {
                    self.time(&mut task.phase, Some(phase));
                    Event::Decided(self.decide(&mut task, &about, phase, after))
                }
                Effect::Call(phase, rule, app) => {
                    self.call(&mut task, &about, (phase, rule, app), ended.as_deref_mut())
                }
                Effect::LookUp(view) => Event::Looked(self.look_up(&task, &about, view)),
                Effect::Ask(upstream) => self.ask(&mut task, &about, &rules, upstream),
                Effect::Copy(rule, upstream) => self.copy(&mut task, &about, rule, upstream),
                Effect::Store => self.store(&task, &about, ended.as_deref_mut()),
                Effect::Fail => {
                    self.cache.fail(&about.key(&task), now);
                    Event::Done
                }
                Effect::Refused(rule, reason) => {
                    self.ledger.count(WORK_REFUSED.at([label(policy, rule), reason]));
                    Event::Done
                }
                Effect::Make(reply) => self.make(&mut task, &about, reply, ended.as_deref_mut()),
                Effect::Send => self.send(&mut task, &about, ended.as_deref_mut()),
                Effect::Wait => return self.park(task, &rules, ended.as_deref_mut()),
                Effect::End => return self.end(task),
            };
            if let Some(other) = self.changed_by(&mut task, event) {
                question = other;
            }
            effect = task.query.step(event, &rules);
        }
    }

    /// It was parsed before it was handed over, so this does not happen.
    fn unreadable(&mut self, mut task: Task) {
        task.job.account.dropped = Some(DROPPED_SHORT);
        self.ledger.post(&task.job.account, task.client(), None);
        self.end(task);
    }

    fn decide(
        &mut self,
        task: &mut Task,
        about: &About<'_>,
        phase: Phase,
        after: Option<RuleId>,
    ) -> Decision {
        let Task { query, job, place, changed, .. } = task;
        let policy = about.policy;
        if phase == Phase::Route && after.is_none() {
            // The shard has decided.
            let rule = policy.rules().get(usize::from(job.way.rule));
            return Decision {
                taken: rule.map(|rule| (job.way.rule, rule.action)),
                divert: job.divert,
                tags: job.tags,
                is_traced: job.is_traced,
                ..Decision::default()
            };
        }
        let unchanged = Decision { tags: query.tags(), ..Decision::default() };
        if !policy.has_rules(phase) {
            return unchanged;
        }
        let mut later = query.later();
        if phase != Phase::Route {
            let look = || self.places.look(job.arrival.peer.ip());
            let place = if self.wants.places { *place.get_or_insert_with(look) } else { Place::default() };
            (later.country, later.asn) = (place.country, place.asn);
        }
        let packet = changed.as_deref().unwrap_or(&job.query);
        let facts = about.question.facts(packet, &job.arrival, query.tags(), later);
        let ledger = &mut self.ledger;
        let mut note = |hit: Hit| {
            let family = if hit.is_dry_run { RULE_WOULD } else { RULE_HITS };
            ledger.count(family.at([label(policy, Some(hit.rule))]));
        };
        match after {
            Some(after) => policy.decide_after(phase, after, &facts, &mut note),
            None => policy.decide(phase, &facts, &mut note),
        }
    }

    /// Looks into the cache, and counts what it has: that is in `found`.
    pub(super) fn look(&mut self, key: &Key<'_>, now: Instant) -> Found {
        let found = self.cache.look(key, now, &mut self.found);
        let counted = match found {
            Found::Fresh => CACHE_FRESH,
            Found::Prefetch => CACHE_PREFETCH,
            Found::Stale | Found::Held => CACHE_STALE,
            Found::Failure => CACHE_FAILURE,
            Found::Miss => CACHE_MISS,
        };
        self.ledger.count(CACHE_LOOKS.at([counted]));
        found
    }

    fn look_up(&mut self, task: &Task, about: &About<'_>, view: Option<UpstreamId>) -> Looked {
        let key = about.question.key(about.policy, view, task.packet());
        let found = self.look(&key, about.now);
        let looked = match found {
            Found::Fresh | Found::Prefetch => Looked::Fresh,
            Found::Stale => Looked::Stale,
            Found::Held if self.is_back(task, &key, view) => Looked::Stale,
            Found::Held => Looked::Held,
            Found::Failure => Looked::Failure,
            Found::Miss => Looked::Miss,
        };
        if found == Found::Prefetch
            && self.prefetches.len() < WORK_PREFETCHES_A_TURN
            && let Some(query) = task.query.prefetch(about.now)
        {
            let twin = task.job.twin();
            let (place, changed) = (task.place, task.changed.clone());
            self.prefetches.push(Task { place, changed, ..Task::new(query, twin, None, &task.snapshot) });
        }
        looked
    }

    /// Whether a server is back that was tried in vain for what is stale: then there is no reason to wait.
    fn is_back(&self, task: &Task, key: &Key<'_>, view: Option<UpstreamId>) -> bool {
        let tried = self.cache.held_since(key);
        tried.is_some_and(|tried| self.conductor.has_recovered_since(&task.snapshot, view, tried))
    }

    /// The number of a query, which it may get now.
    pub(super) fn number(&mut self, task: &mut Task) -> Option<u32> {
        let most = WORK_TASKS_MAX + self.copies + self.guests.exchanges;
        task.number = task.number.or_else(|| self.tasks.reserve(most));
        task.number
    }

    fn ask(&mut self, task: &mut Task, about: &About<'_>, rules: &Rules<'_>, upstream: UpstreamId) -> Event {
        let Some(number) = self.number(task) else { return Event::NotAsked(WORK_REFUSED_TASKS) };
        let deadline = task.query.deadline(rules);
        let mut ask = about.question.ask(about.policy, upstream, task.packet(), deadline, false);
        ask.is_once = task.query.has_something();
        match self.conductor.ask(&task.snapshot, &ask, Waiter(number), about.now, &mut self.ledger) {
            Asked::Waiting | Asked::Joined => Event::Asked,
            Asked::Refused(reason) => Event::NotAsked(reason),
        }
    }

    /// Stores a response: all who waited for it have asked the same.
    pub(super) fn store_once(&mut self, key: &Key<'_>, ended: &mut Ended, now: Instant) {
        if ended.stored.replace(key.view) != Some(key.view) {
            match self.cache.store(key, &ended.message, ended.scope, now) {
                Stored::Positive | Stored::Negative => self.ledger.count(CACHE_STORED.at([])),
                Stored::Failure | Stored::No(_) => {}
            }
        }
    }

    fn store(&mut self, task: &Task, about: &About<'_>, ended: Option<&mut Ended>) -> Event {
        let Some(ended) = ended else { return Event::Done };
        let key = about.key(task);
        self.store_once(&key, ended, about.now);
        Event::Done
    }

    fn make(&mut self, task: &mut Task, about: &About<'_>, reply: Reply, ended: Option<&mut Ended>) -> Event {
        task.reply = reply;
        if reply == Reply::App {
            self.said.clear();
            self.said.extend_from_slice(self.guests.sandbox.reply());
        }
        if reply == (Reply::Stale { is_tried: true }) {
            self.cache.stale_tried(&about.key(task), about.now);
        }
        let arrival = task.job.arrival;
        let rcode = self.make_for(task, about, &arrival, ended);
        if rcode.is_none() {
            task.job.account.dropped.get_or_insert(DROPPED_RULE);
        }
        Event::Made(rcode)
    }

    /// Makes the reply of a query as if it had arrived so.
    pub(super) fn make_for(
        &mut self,
        task: &mut Task,
        about: &About<'_>,
        arrival: &Arrival,
        ended: Option<&mut Ended>,
    ) -> Option<u16> {
        let mut renamed = Vec::new();
        let reply = self.rename(task, arrival, ended.as_deref(), &mut renamed);
        let Task { query, job, snapshot, changed, .. } = task;
        let mut account = job.account;
        let (response, rcode) = match ended {
            Some(ended) => (&mut ended.bare[..], ended.rcode.unwrap_or_default()),
            None => (&mut [][..], 0),
        };
        let upstream = match reply {
            Reply::Response => query.later().upstream,
            Reply::App => None,
            _ => query.view().flatten(),
        };
        let [mut cached, mut response] = [&mut self.found[..], response];
        let mut said = &self.said[..];
        if changed.is_some() {
            match reply {
                Reply::Response => response = &mut renamed,
                Reply::App if task.reply == Reply::Native => said = &renamed,
                _ => cached = &mut renamed,
            }
        }
        let mut with = Material {
            snapshot,
            arrival,
            packet: job.query(),
            cached,
            said,
            response,
            rcode,
            is_routed: query.view().flatten().is_some(),
            wants_authentic: about.question.wants_authentic(),
            upstream,
        };
        let rcode = self.bench.make(reply, &mut with, &mut account);
        job.account = account;
        rcode
    }

    /// Sends the reply that was made last, and counts the query.
    fn send(&mut self, task: &mut Task, about: &About<'_>, ended: Option<&mut Ended>) -> Event {
        let Task { job, desk, .. } = task;
        let arrival = job.arrival;
        if job.connection.is_none() && identity::has_texts(&job.account) && !self.texts.admits() {
            self.bench.empty();
        }
        let reply = Some(self.bench.reply()).filter(|reply| !reply.is_empty());
        if let Some(reply) = reply {
            if job.connection.is_some() {
                job.reply.extend_from_slice(reply);
            } else if let Some(answering) = desk.and_then(|desk| self.answering.get_mut(desk)) {
                answering.push(job.socket, &arrival.peer, arrival.local.ip(), reply);
            }
        }
        self.ledger.see(&job.query, job.len, &arrival.peer, &arrival.local);
        self.ledger.post(&job.account, arrival.peer.ip(), reply);
        task.reply_len = reply.map(<[u8]>::len);
        if let Some(number) = task.copy.take() {
            self.compare(number, task, about, ended);
        }
        Event::Done
    }

    /// The query waits. Without a client it does so without the job, which others need.
    fn park(&mut self, mut task: Task, rules: &Rules<'_>, ended: Option<&mut Ended>) {
        if let Some(phase) = task.query.held_in() {
            self.keep(&mut task, phase, ended);
        }
        let Some(number) = task.number else { return self.end(task) };
        if !task.query.has_client()
            && let Some(desk) = task.desk.take()
        {
            let twin = task.job.twin();
            self.give_back(std::mem::replace(&mut task.job, twin), desk);
        }
        if let Some((at, _)) = task.query.timer(rules) {
            self.wheel.set(number, self.micros(at));
        }
        self.tasks.put(number, Waiting::Query(task));
    }

    fn end(&mut self, mut task: Task) {
        if let Some(number) = task.number {
            self.wheel.stop(number);
            self.tasks.release(number);
        }
        self.time(&mut task.phase, None);
        self.trace(&mut task);
        if let Some(desk) = task.desk {
            self.give_back(task.job, desk);
        }
    }

    /// Tells what became of a query, if somebody wants to know; where they are late, it is lost.
    fn trace(&mut self, task: &mut Task) {
        let is_traced = task.is_traced();
        let Some(mut steps) = task.steps.take() else { return };
        if let Some(to) = self.tracing.to.as_ref().filter(|_| is_traced) {
            let (later, rule) = (task.query.later(), task.query.rule());
            let trace = steps.trace(&task.job, task.snapshot.policy(), rule, &later, task.reply_len);
            let is_dropped = to.try_send(Box::new(trace)).is_err();
            self.ledger.count(TRACES.at([usize::from(is_dropped)]));
        }
        steps.clear();
        self.spare_steps = Some(steps);
    }

    fn give_back(&mut self, job: Box<Job>, desk: usize) {
        self.has_returned |= job.connection.is_some();
        if let Some(inbox) = self.inboxes.get_mut(desk) {
            inbox.give_back(job);
        }
    }

    /// As the wheel counts.
    pub(super) fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }

    /// The timer of a number is due, or what it is for was moved.
    pub(super) fn timer(&mut self, number: u32, now: Instant) {
        // What was finished just in time may be this one.
        self.take_finished(now);
        match self.tasks.take(number) {
            Some(Waiting::Query(task)) => {
                let timer = task.query.timer(&rules(task.snapshot.policy()));
                match timer.filter(|(at, _)| *at <= now) {
                    Some((_, event)) => self.due(number, task, event, now),
                    None => {
                        if let Some((at, _)) = timer {
                            self.wheel.set(number, self.micros(at));
                        }
                        self.tasks.put(number, Waiting::Query(task));
                    }
                }
            }
            Some(copy @ Waiting::Copy(_)) => {
                self.tasks.put(number, copy);
                self.conductor.cancel(Waiter(number));
                self.copy_answered(number, &[]);
            }
            Some(Waiting::Exchange(exchange)) => self.exchange_due(number, exchange, now),
            None => {}
        }
    }

    fn due(&mut self, number: u32, task: Task, event: Event, now: Instant) {
        if event == Event::Deadline {
            self.conductor.cancel(Waiter(number));
        }
        if task.query.held_in().is_some() {
            self.guests.sandbox.forget(number);
            return self.go_on(task, event, now);
        }
        self.carry(task, event, None, now);
    }

    /// Ends all that waits, now.
    pub(super) fn end_all(&mut self, now: Instant) {
        let numbers: Vec<u32> = self.tasks.numbers().collect();
        for number in numbers {
            self.take_finished(now);
            match self.tasks.take(number) {
                Some(Waiting::Query(task)) => self.due(number, task, Event::Deadline, now),
                Some(Waiting::Copy(_)) => {
                    self.conductor.cancel(Waiter(number));
                    self.drop_copy(number);
                }
                Some(Waiting::Exchange(_)) => self.drop_exchange(number),
                None => {}
            }
        }
    }

    /// An exchange has ended.
    pub(super) fn ended(&mut self, ended: &mut Ended, now: Instant) {
        let waiters = std::mem::take(&mut ended.waiters);
        for Waiter(number) in &waiters {
            match self.tasks.take(*number) {
                Some(Waiting::Query(task)) => {
                    self.wheel.stop(*number);
                    self.carry(task, Event::Finished(ended.response()), Some(ended), now);
                }
                Some(copy @ Waiting::Copy(_)) => {
                    self.tasks.put(*number, copy);
                    self.copy_answered(*number, &ended.message);
                }
                Some(Waiting::Exchange(exchange)) => self.exchange_ended(*number, &exchange, ended, now),
                None => {}
            }
        }
        ended.waiters = waiters;
    }

    /// Begins what is to be fetched again.
    pub(super) fn prefetch(&mut self, now: Instant) {
        while let Some(task) = self.prefetches.pop() {
            self.carry(task, Event::Begin, None, now);
        }
    }
}

/// What a query is about, and when.
pub(super) struct About<'a> {
    pub(super) policy: &'a Policy,
    pub(super) question: &'a Question,
    pub(super) now: Instant,
}

impl About<'_> {
    /// Where the cache was looked into.
    fn key<'j>(&self, task: &'j Task) -> Key<'j> {
        self.question.key(self.policy, task.query.view().flatten(), task.packet())
    }
}
