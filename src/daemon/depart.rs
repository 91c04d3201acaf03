//! Upgrade: the node has a successor started, and leaves everything to it, without a packet lost.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, select};
use serde_json::json;

use super::handover::{Condition, Successor};
use super::life::Node;
use super::reload::Extent;
use super::succession::{Elder, Step};
use crate::control::orders::{Client, Order, Wish};
use crate::history::Lent;
use crate::limits::{HANDOVER_DONE_MAX, KEEP_AFTER, SUCCESSION_TICK};
use crate::problem::Problem;

impl Node {
    pub(super) fn upgrade(&mut self, mut clients: Vec<Client>) {
        if let Some(under_way) = &mut self.succession.under_way {
            under_way.clients.append(&mut clients);
            return;
        }
        if let Some(reloading) = &mut self.course.reloading {
            reloading.upgrade.get_or_insert_default().append(&mut clients);
            return;
        }
        let begun = if self.is_ending() {
            Err((clients, "the node is already stopping".to_owned()))
        } else {
            let condition = self.condition();
            self.succession.begin(clients, condition)
        };
        match begun {
            Ok(()) => self.say("upgrade: starting a new process"),
            Err((clients, error)) => {
                self.say(&format!("upgrade: {error}; this process keeps serving"));
                clients.into_iter().for_each(|client| client.failed(&error, &[]));
            }
        }
    }

    /// What a successor has to know and cannot read anywhere.
    fn condition(&self) -> Condition {
        Condition { draining: self.is_draining(), pops: self.board.pops.load().states.clone() }
    }

    /// Does what an upgrade needs next. A successor to which everything was left is given back.
    pub(super) fn upgrade_on(&mut self, step: Step) -> Option<(Successor, Lent)> {
        match step {
            Step::Serves => {
                self.pause();
                None
            }
            // Somebody wants an end of it meanwhile: nobody is to serve in our place.
            Step::Proven(successor, _) if self.is_ending() => {
                self.upgrade_failed(&Problem::alone(successor.abort()));
                None
            }
            Step::Proven(successor, mut lent) => match self.commit(&successor, &mut lent) {
                Ok(()) => Some((successor, lent)),
                Err(mut problems) => {
                    problems.extend(Problem::alone(successor.abort()));
                    self.upgrade_failed(&problems);
                    None
                }
            },
            Step::Failed(problems) => {
                self.upgrade_failed(&problems);
                None
            }
        }
    }

    /// Takes in nothing more and lends the history: the successor serves, and shows what it can do. All of it
    /// can be undone.
    fn pause(&mut self) {
        let Some(under_way) = &mut self.succession.under_way else { return };
        // It was called off: the one that leads the successor sees that there is nobody who sends.
        let Some(lend) = under_way.lend.take() else { return };
        match self.net.pause() {
            Ok(drops) => {
                under_way.paused = Some(drops);
                self.watched.lend(lend);
            }
            Err(error) => {
                self.net.resume();
                // It waits for that.
                let _ = lend.send(Err(error.to_string()));
            }
        }
    }

    /// Leaves everything to `successor`, for good.
    fn commit(&mut self, successor: &Successor, lent: &mut Lent) -> Result<(), Vec<Problem>> {
        let under_way = self.succession.under_way.as_mut();
        let drops = under_way.and_then(|under_way| under_way.paused.clone()).unwrap_or_default();
        if let Some(xdp) = &self.xdp {
            xdp.settle();
        }
        successor.commit(self.condition(), drops, lent.untold(&self.board))
    }

    /// Continues as before.
    fn upgrade_failed(&mut self, problems: &[Problem]) {
        let under_way = self.succession.under_way.take();
        let (clients, paused) =
            under_way.map(|under_way| (under_way.clients, under_way.paused)).unwrap_or_default();
        if paused.is_some() {
            self.net.resume();
            self.watched.resume();
        }
        if let Some(xdp) = &self.xdp {
            xdp.change(self.board.life.state());
        }
        let error =
            if self.is_ending() { "the node is stopping" } else { "the new process did not take over" };
        self.say(&format!("upgrade: {error}"));
        problems.iter().for_each(|problem| self.say(&format!("upgrade: {problem}")));
        clients.into_iter().for_each(|client| client.failed(error, problems));
        if std::mem::take(&mut self.succession.owes_reload) {
            self.reload(Extent::Everything, Vec::new());
        }
    }

    /// Everything is `successor`'s, and it continues from what was `lent`: serves the connections that are
    /// there, and ends.
    ///
    /// # Errors
    /// What went wrong with a successor that is gone again: this process has nothing left to serve with;
    /// whoever started it has to do so again.
    pub(super) fn depart(
        mut self,
        successor: &Successor,
        mut lent: Lent,
        orders: &Receiver<Order>,
    ) -> Result<(), Vec<Problem>> {
        // 1. Nothing new comes to this process.
        self.systemd.wait_longer();
        self.control.leave();
        self.control.left_to(successor.control.as_deref());
        self.net.retire();
        self.workers.retire();
        if let Some(xdp) = self.xdp.take() {
            xdp.stop();
        }
        if let Some(resolver) = self.resolver.take() {
            resolver.leave();
        }
        successor.tell(lent.untold(&self.board));
        let mut told: Vec<String> = orders.try_iter().filter_map(Order::leave).map(str::to_owned).collect();
        told.extend(std::mem::take(&mut self.succession.owes_reload).then(|| "reload".to_owned()));
        // What ends the node ends both.
        let ends = told.iter().any(|word| Wish::from_word(word) == Some(Wish::Stop));
        if !told.is_empty() {
            successor.order(told);
        }

        // 2. Everybody who needs to know is told.
        self.systemd.forget(self.succession.handles.sockets.len());
        let is_known = self.systemd.succeeded_by(successor.pid);
        let (pid, version) = (successor.pid, &successor.version);
        self.say(&format!("upgrade: process {pid}, version {version}, is serving"));
        let clients = self.succession.under_way.take().map(|under_way| under_way.clients);
        for client in clients.unwrap_or_default() {
            client.done(json!({ "pid": pid, "version": version }));
        }
        self.let_drainers_go();
        self.control.stop();
        self.watched.stop(&self.log);
        self.succession.handles = Arc::default();

        // 3. Connections last for a while; and those of a process before this one.
        if !ends {
            self.linger(successor, orders, is_known)?;
        }
        self.workers.stop();
        self.net.stop();
        drop(self.succession.elder.take());
        successor.tell(lent.untold(&self.board));
        self.say("upgrade: complete; this process ends");
        self.watched.stop_taps();
        Ok(())
    }

    /// Serves the connections that are there, and those of a process before this one, to their end. Meanwhile
    /// the manager hears of `successor`, if it has not yet, and that one of what signals want.
    ///
    /// # Errors
    /// If the successor ends.
    fn linger(
        &mut self,
        successor: &Successor,
        orders: &Receiver<Order>,
        mut is_known: bool,
    ) -> Result<(), Vec<Problem>> {
        let (began, pid) = (Instant::now(), successor.pid);
        while !self.net.is_over()
            || !self.workers.is_over()
            || self.succession.elder.as_ref().is_some_and(Elder::is_there)
            || !is_known && began.elapsed() < HANDOVER_DONE_MAX
        {
            select! {
                recv(orders) -> order => {
                    // What is to end is the node, as long as this process is taken for it; then what is left
                    // of this process.
                    let ends = order.as_ref().is_ok_and(|order| order.wish == Wish::Stop);
                    let word = order.ok().and_then(Order::leave);
                    if let Some(word) = word.filter(|_| !ends || began.elapsed() < KEEP_AFTER) {
                        successor.order(vec![word.to_owned()]);
                    }
                    if ends {
                        break;
                    }
                }
                default(SUCCESSION_TICK) => {}
            }
            is_known = is_known || self.systemd.succeeded_by(pid);
            if successor.has_ended() {
                let error = format!("process {pid}, which replaced this one, has ended");
                self.log.error(&error);
                self.workers.stop();
                self.net.stop();
                self.watched.stop_taps();
                // Who started this one starts another, once this is gone as well.
                return Err(Problem::alone(error));
            }
        }
        // What came in the last moment was meant for the node too.
        let late: Vec<String> = orders.try_iter().filter_map(Order::leave).map(str::to_owned).collect();
        if began.elapsed() < KEEP_AFTER && !late.is_empty() {
            successor.order(late);
        }
        Ok(())
    }
}
