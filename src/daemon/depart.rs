//! Upgrade: the node has a successor started, and leaves everything to it, without a packet lost.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, select};
use serde_json::json;

use super::handover::Successor;
use super::life::Node;
use super::succession::{Elder, Outcome};
use crate::control::orders::{Client, Order, Wish};
use crate::limits::{HANDOVER_DONE_MAX, KEEP_AFTER, SUCCESSION_TICK};
use crate::problem::Problem;

impl Node {
    pub(super) fn upgrade(&mut self, mut clients: Vec<Client>) {
        if let Some(under_way) = &mut self.succession.under_way {
            under_way.clients.append(&mut clients);
            return;
        }
        let begun = if self.is_ending() {
            Err((clients, "the node is already stopping".to_owned()))
        } else {
            let draining = self.is_draining();
            self.succession.begin(clients, draining)
        };
        match begun {
            Ok(()) => self.say("upgrade: starting a new process"),
            Err((clients, error)) => {
                self.say(&format!("upgrade: {error}; this process keeps serving"));
                clients.into_iter().for_each(|client| client.failed(&error, &[]));
            }
        }
    }

    /// What became of the upgrade. A successor that serves is given back.
    pub(super) fn upgraded(&mut self, outcome: Outcome) -> Option<Successor> {
        match outcome {
            // Somebody wants an end of it meanwhile: nobody is to serve in our place.
            Ok(successor) if self.is_ending() => {
                self.succession.kill();
                drop(successor);
                let clients = self.succession.take_clients();
                clients.into_iter().for_each(|client| client.failed("the node is stopping", &[]));
                None
            }
            Ok(successor) => Some(successor),
            Err(problems) => {
                let error = "the new process did not take over";
                self.say(&format!("upgrade: {error}"));
                problems.iter().for_each(|problem| self.say(&format!("upgrade: {problem}")));
                let clients = self.succession.take_clients();
                clients.into_iter().for_each(|client| client.failed(error, &problems));
                if std::mem::take(&mut self.succession.owes_reload) {
                    self.reload(Vec::new());
                }
                None
            }
        }
    }

    /// Leaves everything to `successor`, which serves already; serves the connections that are there, and
    /// ends.
    ///
    /// # Errors
    /// What went wrong with a successor that is gone again: this process has nothing left to serve with;
    /// whoever started it has to do so again.
    pub(super) fn depart(
        mut self,
        successor: Successor,
        orders: &Receiver<Order>,
    ) -> Result<(), Vec<Problem>> {
        // 1. Who sends a query is answered by the successor from now on, and who connects.
        self.systemd.wait_longer();
        self.control.leave();
        self.net.retire();
        if let Some(xdp) = self.xdp.take() {
            xdp.stop();
        }
        let history = self.watched.stop(&self.log);
        let closed = history.and_then(|history| history.close().ok());

        // 2. The rest is its own.
        let image = closed.as_ref().and_then(|closed| closed.image.as_deref());
        let lock = closed.as_ref().and_then(|closed| closed.lock.as_ref());
        self.systemd.forget(self.succession.handles.sockets.len());
        let left = successor.leave(image, lock, self.is_draining());
        let mut told: Vec<String> = orders.try_iter().filter_map(Order::leave).map(str::to_owned).collect();
        told.extend(std::mem::take(&mut self.succession.owes_reload).then(|| "reload".to_owned()));
        let control = match left {
            Ok(Some(control)) => control,
            // It has what this one had; that it is slow with its history is no reason to take the path away.
            Ok(None) => self.control.path(),
            Err(problems) => {
                self.upgraded(Err(problems.clone()));
                self.systemd.keep(&self.succession.handles.sockets);
                self.stop();
                return Err(problems);
            }
        };
        self.control.left_to(control.as_deref());
        if !told.is_empty() {
            successor.order(told);
        }
        let is_known = self.systemd.succeeded_by(successor.pid);
        let (pid, version) = (successor.pid, successor.version.clone());
        self.say(&format!("upgrade: process {pid}, version {version}, is serving"));
        for client in self.succession.take_clients() {
            client.done(json!({ "pid": pid, "version": version }));
        }
        self.let_drainers_go();
        self.control.stop();
        self.succession.handles = Arc::default();

        // 3. Connections last for a while; and those of a process before this one.
        self.linger(&successor, orders, is_known)?;
        self.net.stop();
        drop(self.succession.elder.take());
        let counted = closed.map(|closed| closed.counted_since(&self.board)).unwrap_or_default();
        successor.part(counted);
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
                self.net.stop();
                self.watched.stop_taps();
                // Who started this one starts another, once this is gone as well.
                return Err(Problem::alone(error));
            }
        }
        Ok(())
    }
}
