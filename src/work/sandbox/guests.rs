//! The applications of one worker: their instances, over reloads, traps and time.

use std::sync::Arc;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};

use super::app::{App, Apps};
use super::call::{self, Call, Called, Order};
use super::host::{Span, Tools};
use super::slot::{Clock, InstanceId, Out, Slot, With};
use crate::limits::GUEST_TICK;
use crate::stats::app_labels::APP;
use crate::stats::gauges::{AppGauges, AppState};
use crate::stats::ledger::Ledger;

/// The applications of one worker.
#[derive(Debug)]
pub struct Sandbox {
    tools: Tools,
    random: StdRng,
    /// The number of the last instance.
    last: u32,
    current: Arc<Apps>,
    slots: Vec<Slot>,
    /// The slot of each application of `current`.
    of_current: Vec<usize>,
    out: Out,
    reply: Vec<u8>,
    query: Vec<u8>,
    clock: Option<Clock>,
    next_tick: Option<Instant>,
    gauges: Arc<AppGauges>,
}

/// What a slot needs, borrowed from fields that are not slots.
macro_rules! with {
    ($sandbox:ident, $now:ident, $ledger:ident) => {
        With {
            tools: &$sandbox.tools,
            random: &mut $sandbox.random,
            last: &mut $sandbox.last,
            clock: *$sandbox.clock.get_or_insert_with(|| Clock::read($now)),
            now: $now,
            ledger: $ledger,
            out: &mut $sandbox.out,
        }
    };
}

impl Sandbox {
    /// One without applications.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        // Without a seed of the kernel's there would be no worker either: its conductor asks for one.
        let random = StdRng::try_from_rng(&mut SysRng).unwrap_or_else(|_| StdRng::seed_from_u64(0));
        Self {
            tools,
            random,
            last: 0,
            current: Arc::default(),
            slots: Vec::new(),
            of_current: Vec::new(),
            out: Out::default(),
            reply: Vec::new(),
            query: Vec::new(),
            clock: None,
            next_tick: None,
            gauges: Arc::default(),
        }
    }

    /// There is a newer snapshot: new applications get instances next to those that go.
    pub fn refresh(&mut self, apps: &Arc<Apps>, now: Instant, ledger: &mut Ledger) {
        if Arc::ptr_eq(apps, &self.current) {
            return;
        }
        let mut with = with!(self, now, ledger);
        let mut is_new: Vec<bool> = vec![false; self.slots.len()];
        for app in &apps.apps {
            let is_its = |slot: &Slot| slot.replaced.is_none() && slot.app.is_same(app);
            if let Some(at) = self.slots.iter().position(is_its) {
                self.slots[at].adopt(app);
                is_new[at] = true;
            } else {
                self.slots.push(Slot::new(app, &mut with));
                is_new.push(true);
            }
        }
        for (slot, _) in self.slots.iter_mut().zip(is_new).filter(|(_, is_new)| !is_new) {
            slot.replaced.get_or_insert(now);
        }
        self.current = Arc::clone(apps);
        self.next_tick.get_or_insert(now + GUEST_TICK);
        self.find_current();
        self.show();
    }

    fn find_current(&mut self) {
        let slot = |app: &Arc<App>| self.slots.iter().position(|slot| Arc::ptr_eq(&slot.app, app));
        self.of_current = self.current.apps.iter().map(|app| slot(app).unwrap_or(usize::MAX)).collect();
    }

    /// Asks an application about a query.
    pub fn call(&mut self, apps: &Arc<Apps>, call: &Call<'_>, now: Instant, ledger: &mut Ledger) -> Called {
        let number = usize::from(call.app);
        let Some(app) = apps.apps.get(number) else { return Called::Failed };
        let slot = if Arc::ptr_eq(apps, &self.current) {
            self.of_current.get(number).copied()
        } else {
            self.slots.iter().position(|slot| slot.is_of(app))
        };
        let mut with = with!(self, now, ledger);
        let Some(slot) = slot.and_then(|slot| self.slots.get_mut(slot)) else { return Called::Failed };
        let called = slot.call(app, call, &mut self.reply, &mut with);
        if called == Called::Changed {
            std::mem::swap(&mut self.reply, &mut self.query);
        }
        self.show_changes();
        called
    }

    /// The reply of the last call, or of the query that was taken last: a whole message, without OPT.
    #[must_use]
    pub fn reply(&self) -> &[u8] {
        &self.reply
    }

    /// The query as it was changed by the last call, or the one that was taken last.
    #[must_use]
    pub fn query(&self) -> &[u8] {
        &self.query
    }

    /// What an instance is of, if it is still there.
    #[must_use]
    pub fn app_of(&self, instance: InstanceId) -> Option<&Arc<App>> {
        self.slots.iter().find(|slot| slot.id == instance && slot.has_instance()).map(|slot| &slot.app)
    }

    /// Whether there is something to be taken: orders, queries that were finished, or spans.
    #[must_use]
    pub fn has_something(&self) -> bool {
        let Out { orders, finished, spans, is_changed: _ } = &self.out;
        !(orders.is_empty() && finished.is_empty() && spans.is_empty())
    }

    /// Something that an instance wants.
    pub fn take_order(&mut self) -> Option<(InstanceId, u32, Order)> {
        self.out.orders.pop_front()
    }

    /// What came of an order.
    pub fn done(
        &mut self,
        instance: InstanceId,
        token: u32,
        result: call::Result<'_>,
        now: Instant,
        ledger: &mut Ledger,
    ) {
        let mut with = with!(self, now, ledger);
        // An instance that went is told nothing.
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == instance) {
            slot.done(token, result, &mut with);
        }
        self.show_changes();
    }

    /// A query that is no longer held: it was finished, or its instance went.
    pub fn take_finished(&mut self) -> Option<(u32, Called)> {
        let finished = self.out.finished.pop_front()?;
        match finished.called {
            Called::Reply => self.reply = finished.message,
            Called::Changed => self.query = finished.message,
            _ => {}
        }
        Some((finished.query, finished.called))
    }

    /// Something that an instance notes in the trace of a query.
    pub fn take_span(&mut self) -> Option<Span> {
        self.out.spans.pop_front()
    }

    /// A query's time is up: it is no longer held.
    pub fn forget(&mut self, query: u32) {
        for slot in &mut self.slots {
            if slot.forget(query) {
                return;
            }
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant, ledger: &mut Ledger) {
        let is_second = self.next_tick.is_some_and(|next| next <= now);
        if is_second {
            self.next_tick = Some(now + GUEST_TICK);
            // The clock may have been set.
            self.clock = Some(Clock::read(now));
        }
        let mut with = with!(self, now, ledger);
        let mut is_changed = is_second;
        for slot in &mut self.slots {
            if slot.off_until.is_some_and(|until| until <= now) && slot.replaced.is_none() {
                slot.come_back(&mut with);
                is_changed = true;
            } else if is_second {
                slot.tick(&mut with);
            }
            if slot.is_over(now) {
                slot.stop(&mut with);
                is_changed = true;
            }
        }
        let slots = self.slots.len();
        self.slots.retain(|slot| !slot.is_gone());
        if self.slots.len() < slots {
            self.find_current();
        }
        if is_changed {
            self.show();
        }
    }

    /// When [`tick`](Self::tick) has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.slots.is_empty() {
            return None;
        }
        let of_slots = self.slots.iter().filter_map(Slot::next_deadline);
        of_slots.chain(self.next_tick).min()
    }

    /// All instances are told that it is over, and go.
    pub fn stop(&mut self, now: Instant, ledger: &mut Ledger) {
        let mut with = with!(self, now, ledger);
        for slot in &mut self.slots {
            slot.stop(&mut with);
        }
        self.slots.clear();
        self.find_current();
        self.show();
    }

    /// What others can see.
    #[must_use]
    pub fn gauges(&self) -> Arc<AppGauges> {
        Arc::clone(&self.gauges)
    }

    #[inline]
    fn show_changes(&mut self) {
        if self.out.is_changed {
            self.show();
        }
    }

    fn show(&mut self) {
        self.out.is_changed = false;
        for label in 0..APP.len {
            let (mut state, mut memory, mut held) = (AppState::Gone, 0, 0);
            for slot in self.slots.iter().filter(|slot| slot.app.label == label) {
                memory += slot.memory_len();
                held += slot.held();
                if slot.replaced.is_none() {
                    state = slot.state();
                }
            }
            self.gauges.app(label).set(state, memory as u64, held as u32);
        }
    }

    /// Bytes of the instances of a worker, at most: twice while a reload replaces them.
    #[must_use]
    pub fn memory_len(apps: &Apps) -> usize {
        2 * apps.apps.iter().map(|app| app.memory_len()).sum::<usize>()
    }

    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// What the last event of an application has not burnt.
    #[must_use]
    pub fn fuel_left(&self, app: usize) -> Option<u64> {
        self.slots.get(*self.of_current.get(app)?)?.fuel_left()
    }
}
