//! What applications want of the outside, carried out: exchanges with upstreams, timers, purges, sockets.
//! Whatever comes of an order goes back to the instance that gave it, if that is still there.

use std::sync::Arc;
use std::time::Instant;

use super::cache::Found;
use super::conductor::wheel::Wheel;
use super::conductor::{Asked, Waiter};
use super::guests::{Errand, Exchange, Guests, Timer};
use super::hands::Hands;
use super::question::{Packet, Question};
use super::responses::Ended;
use super::sandbox::call::{Order, Result};
use super::sandbox::{Apps, InstanceId};
use super::task::Waiting;
use crate::limits::{
    GUEST_EXCHANGES_MAX, GUEST_GENERATION_KEPT, GUEST_TIMERS_MAX, WORK_ERRANDS_A_TURN,
    WORK_EXCHANGES_OF_APPS_MAX, WORK_SNAPSHOTS_MAX,
};
use crate::policy::facts::Outcome;
use crate::serve::snapshot::Snapshot;
use crate::stats::counters::CACHE_PURGED;
use crate::stats::labels::WORK_REFUSED_DEADLINE;

/// Bytes of what so many applications may have under way.
pub(super) fn memory_len(apps: usize) -> usize {
    let known = size_of::<((InstanceId, u32), Errand)>();
    let timer = size_of::<Option<Timer>>() + size_of::<u32>() + Wheel::LEN + known;
    let waiting = size_of::<Option<Waiting>>() + size_of::<Exchange>() + Wheel::LEN + known;
    // A table doubles while it grows, and there may be two generations.
    4 * apps * (GUEST_TIMERS_MAX * timer + GUEST_EXCHANGES_MAX * waiting)
}

impl Hands {
    /// There is a newer snapshot.
    pub(super) fn refresh(&mut self, snapshot: &Arc<Snapshot>, now: Instant) {
        self.conductor.refresh(snapshot, now);
        self.refresh_apps(snapshot, now);
    }

    /// Queries, and copies of some, that have not been answered yet.
    pub(super) const fn queries(&self) -> usize {
        self.tasks.len() - self.guests.exchanges
    }

    /// There is a newer snapshot. Where neither it nor an older one has applications, nothing is done.
    pub(super) fn refresh_apps(&mut self, snapshot: &Arc<Snapshot>, now: Instant) {
        let guests = &mut self.guests;
        let apps = snapshot.apps().get::<Apps>().filter(|apps| !apps.apps.is_empty());
        if apps.is_none() && !guests.are_there() {
            return;
        }
        let apps = apps.unwrap_or_default();
        guests.sandbox.refresh(&apps, now, &mut self.ledger);
        if let Some((.., replaced)) = guests.snapshots.last_mut() {
            replaced.get_or_insert(now);
        }
        if guests.snapshots.len() == WORK_SNAPSHOTS_MAX {
            guests.snapshots.remove(0);
        }
        guests.snapshots.push((apps, Arc::clone(snapshot), None));
        self.serve_apps(now);
    }

    /// Time has passed for applications.
    pub(super) fn tick_apps(&mut self, now: Instant) {
        if !self.guests.are_there() {
            return;
        }
        if self.guests.sandbox.next_deadline().is_some_and(|at| at <= now) {
            self.guests.sandbox.tick(now, &mut self.ledger);
            self.forget_snapshots(now);
        }
        let micros = self.micros(now);
        while let Some(number) = self.guests.wheel.pop(micros) {
            self.timer_of_app(number, now);
        }
        self.serve_apps(now);
    }

    /// Snapshots go when no instance of theirs is left; the last, if it has no applications.
    fn forget_snapshots(&mut self, now: Instant) {
        let snapshots = &mut self.guests.snapshots;
        let is_kept = |since: &Instant| now.saturating_duration_since(*since) <= 2 * GUEST_GENERATION_KEPT;
        snapshots.retain(|(.., replaced)| replaced.as_ref().is_none_or(is_kept));
        if let [(apps, ..)] = &snapshots[..]
            && apps.apps.is_empty()
            && self.guests.sandbox.next_deadline().is_none()
        {
            snapshots.clear();
        }
    }

    fn timer_of_app(&mut self, number: u32, now: Instant) {
        let Some(timer) = self.guests.timers.take(number) else { return };
        if timer.at > now {
            self.guests.wheel.set(number, self.micros(timer.at));
            return self.guests.timers.put(number, timer);
        }
        self.guests.timers.release(number);
        let Timer { instance, token, .. } = timer;
        self.guests.under_way.remove(&(instance, token));
        self.tell_app(instance, token, Result::Time, now);
    }

    fn tell_app(&mut self, instance: InstanceId, token: u32, result: Result<'_>, now: Instant) {
        self.guests.sandbox.done(instance, token, result, now, &mut self.ledger);
    }

    /// Purges the cache of this worker; how many entries that were.
    pub(super) fn purge(&mut self, qname: &[u8], subtree: bool) -> u64 {
        let purged = self.cache.purge(qname, subtree);
        self.ledger.add(CACHE_PURGED.at([]), u32::try_from(purged).unwrap_or(u32::MAX));
        purged
    }

    /// Another worker has purged so many entries for an application of this one.
    pub(super) fn purged_elsewhere(&mut self, instance: InstanceId, token: u32, count: u64, now: Instant) {
        if let Some(purged) = self.guests.peers.hear(instance, token, count) {
            self.tell_app(instance, token, Result::Purged(purged), now);
            self.serve_apps(now);
        }
    }

    /// Something happened at a local socket.
    pub(super) fn socket_ready(&mut self, token: usize, now: Instant) {
        let Guests { sandbox, sockets, .. } = &mut self.guests;
        let ledger = &mut self.ledger;
        sockets.ready(token, &mut |instance, token, result| {
            sandbox.done(instance, token, result, now, ledger);
        });
    }

    /// Continues with queries that applications have finished, and carries out what they want, as far as one
    /// turn has time for that.
    pub(super) fn serve_apps(&mut self, now: Instant) {
        if !self.guests.are_there() {
            return;
        }
        self.take_finished(now);
        for _ in 0..WORK_ERRANDS_A_TURN {
            let Some((instance, token, order)) = self.guests.sandbox.take_order() else { break };
            self.carry_out(instance, token, order, now);
            self.take_finished(now);
        }
    }

    fn carry_out(&mut self, instance: InstanceId, token: u32, order: Order, now: Instant) {
        match order {
            Order::Ask { upstream, query, is_cached, timeout } => {
                let snapshot = self.guests.snapshot_of(instance);
                let upstream =
                    snapshot.as_ref().and_then(|snapshot| upstream.or_else(|| snapshot.policy().resolver()));
                if let (Some(snapshot), Some(upstream)) = (snapshot, upstream) {
                    let until = now + timeout;
                    let exchange = Exchange { instance, token, query, upstream, is_cached, snapshot, until };
                    self.ask_for(Box::new(exchange), now);
                } else {
                    self.tell_app(instance, token, Result::Unanswered(Outcome::Refused), now);
                }
            }
            Order::Timer(time) => {
                let at = now + time;
                let Some(number) = self.guests.timers.reserve(usize::MAX) else { return };
                self.guests.timers.put(number, Timer { instance, token, at });
                let micros = self.micros(at);
                self.guests.wheel.set(number, micros);
                self.guests.under_way.insert((instance, token), Errand::Timer(number));
            }
            Order::Cancel(token) => match self.guests.under_way.remove(&(instance, token)) {
                Some(Errand::Exchange(number)) => self.drop_exchange(number),
                Some(Errand::Timer(number)) => {
                    self.guests.wheel.stop(number);
                    self.guests.timers.release(number);
                }
                None => {}
            },
            Order::Purge { qname, subtree } => {
                let here = self.purge(&qname, subtree);
                if let Some(purged) = self.guests.peers.purge(instance, token, &qname, subtree, here) {
                    self.tell_app(instance, token, Result::Purged(purged), now);
                }
            }
            Order::Open(_) | Order::Send(..) | Order::Receive(_) | Order::Close(_) => {
                let Guests { sandbox, sockets, .. } = &mut self.guests;
                let ledger = &mut self.ledger;
                sockets.carry_out(instance, token, order, &mut |instance, token, result| {
                    sandbox.done(instance, token, result, now, ledger);
                });
            }
        }
    }

    /// Asks an upstream, or takes what the cache has.
    fn ask_for(&mut self, exchange: Box<Exchange>, now: Instant) {
        let Exchange { instance, token, upstream, until, .. } = *exchange;
        let refused = Result::Unanswered(Outcome::Refused);
        let Some(question) = Question::read(&exchange.query) else {
            return self.tell_app(instance, token, refused, now);
        };
        if exchange.is_cached && self.has_cached(&exchange, &question, now) {
            return;
        }
        let number = (self.guests.exchanges < WORK_EXCHANGES_OF_APPS_MAX)
            .then(|| self.tasks.reserve(usize::MAX))
            .flatten();
        let Some(number) = number else { return self.tell_app(instance, token, refused, now) };
        let snapshot = Arc::clone(&exchange.snapshot);
        let packet = Packet { bytes: &exchange.query, client: None };
        let ask = question.ask(snapshot.policy(), upstream, packet, until, false);
        match self.conductor.ask(&snapshot, &ask, Waiter(number), now, &mut self.ledger) {
            Asked::Waiting | Asked::Joined => {
                self.wheel.set(number, self.micros(until));
                self.guests.under_way.insert((instance, token), Errand::Exchange(number));
                self.tasks.put(number, Waiting::Exchange(exchange));
                self.guests.exchanges += 1;
            }
            Asked::Refused(reason) => {
                self.tasks.release(number);
                let is_late = reason == WORK_REFUSED_DEADLINE;
                let outcome = if is_late { Outcome::Timeout } else { Outcome::Refused };
                self.unanswered(&exchange, &question, outcome, now);
            }
        }
    }

    /// Whether the cache has an answer, which the application then has, or knows that there is none.
    fn has_cached(&mut self, exchange: &Exchange, question: &Question, now: Instant) -> bool {
        let Exchange { instance, token, .. } = *exchange;
        let packet = Packet { bytes: &exchange.query, client: None };
        let key = question.key(exchange.snapshot.policy(), Some(exchange.upstream), packet);
        match self.look(&key, now) {
            Found::Fresh | Found::Prefetch | Found::Held => self.give_found(exchange, now),
            Found::Failure => self.tell_app(instance, token, Result::Unanswered(Outcome::Refused), now),
            Found::Stale | Found::Miss => return false,
        }
        true
    }

    /// The application gets what was found in the cache.
    fn give_found(&mut self, exchange: &Exchange, now: Instant) {
        let mut found = std::mem::take(&mut self.found);
        has_id_of(&mut found, &exchange.query);
        self.tell_app(exchange.instance, exchange.token, Result::Answer(&found), now);
        self.found = found;
    }

    /// Nobody has answered: the application has what is stale, if there is something and it wants that.
    fn unanswered(&mut self, exchange: &Exchange, question: &Question, outcome: Outcome, now: Instant) {
        if exchange.is_cached {
            let packet = Packet { bytes: &exchange.query, client: None };
            let key = question.key(exchange.snapshot.policy(), Some(exchange.upstream), packet);
            match self.cache.look(&key, now, &mut self.found) {
                Found::Stale => {
                    self.cache.stale_tried(&key, now);
                    return self.give_found(exchange, now);
                }
                Found::Fresh | Found::Prefetch | Found::Held => return self.give_found(exchange, now),
                Found::Miss if outcome != Outcome::Refused => self.cache.fail(&key, now),
                Found::Miss | Found::Failure => {}
            }
        }
        self.tell_app(exchange.instance, exchange.token, Result::Unanswered(outcome), now);
    }

    /// An exchange of an application has ended.
    pub(super) fn exchange_ended(
        &mut self,
        number: u32,
        exchange: &Exchange,
        ended: &mut Ended,
        now: Instant,
    ) {
        self.free_exchange(number, exchange);
        let Some(question) = Question::read(&exchange.query) else { return };
        let response = ended.response();
        if response.outcome != Outcome::Ok {
            return self.unanswered(exchange, &question, response.outcome, now);
        }
        if exchange.is_cached && response.is_answer() {
            let packet = Packet { bytes: &exchange.query, client: None };
            let key = question.key(exchange.snapshot.policy(), Some(exchange.upstream), packet);
            self.store_once(&key, ended, now);
        }
        has_id_of(&mut ended.bare, &exchange.query);
        self.tell_app(exchange.instance, exchange.token, Result::Answer(&ended.bare), now);
    }

    /// The time of an exchange is up.
    pub(super) fn exchange_due(&mut self, number: u32, exchange: Box<Exchange>, now: Instant) {
        if exchange.until > now {
            self.wheel.set(number, self.micros(exchange.until));
            return self.tasks.put(number, Waiting::Exchange(exchange));
        }
        self.conductor.cancel(Waiter(number));
        self.free_exchange(number, &exchange);
        if let Some(question) = Question::read(&exchange.query) {
            self.unanswered(&exchange, &question, Outcome::Timeout, now);
        }
    }

    fn free_exchange(&mut self, number: u32, exchange: &Exchange) {
        self.guests.under_way.remove(&(exchange.instance, exchange.token));
        self.wheel.stop(number);
        self.tasks.release(number);
        self.guests.exchanges -= 1;
    }

    /// Nobody waits for it.
    pub(super) fn drop_exchange(&mut self, number: u32) {
        self.conductor.cancel(Waiter(number));
        self.wheel.stop(number);
        self.tasks.release(number);
        self.guests.exchanges -= 1;
    }
}

/// An answer has the ID of the query, whoever was asked for it before.
fn has_id_of(message: &mut [u8], query: &[u8]) {
    if let (Some(id), Some(own)) = (message.get_mut(..2), query.get(..2)) {
        id.copy_from_slice(own);
    }
}
