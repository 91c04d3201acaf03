//! What a worker does with copies of queries: it sends them elsewhere, and compares what comes of them.

use super::conductor::{Asked, Waiter};
use super::divert::Copy;
use super::hands::{About, Hands};
use super::query::{Event, Reply};
use super::replies::with_room;
use super::responses::Ended;
use super::task::{Task, Waiting, label};
use crate::limits::WORK_COPIES_MAX;
use crate::policy::RuleId;
use crate::policy::upstream::UpstreamId;
use crate::stats::counters::DIVERTED;

impl Hands {
    /// Sends a copy, unless too many are out.
    pub(super) fn copy(
        &mut self,
        task: &mut Task,
        about: &About<'_>,
        rule: RuleId,
        upstream: UpstreamId,
    ) -> Event {
        let most = if self.copies < WORK_COPIES_MAX { usize::MAX } else { 0 };
        let Some(number) = self.tasks.reserve(most) else { return Event::Done };
        let deadline = about.now + self.patience.query;
        let ask = about.question.ask(about.policy, upstream, task.packet(), deadline, true);
        let mut copy = Copy::new(label(about.policy, Some(rule)));
        match self.conductor.ask(&task.snapshot, &ask, Waiter(number), about.now, &mut self.ledger) {
            Asked::Waiting | Asked::Joined => self.wheel.set(number, self.micros(deadline)),
            // There will be nothing to compare.
            Asked::Refused(_) => drop(copy.theirs(&[])),
        }
        self.copies += 1;
        self.tasks.put(number, Waiting::Copy(copy));
        task.copy = Some(number);
        Event::Done
    }

    /// The client has its reply, which the copy's answer is compared with: with the whole of it, however
    /// little the client can take.
    pub(super) fn compare(
        &mut self,
        number: u32,
        task: &mut Task,
        about: &About<'_>,
        ended: Option<&mut Ended>,
    ) {
        if self.bench.is_truncated() && task.reply != Reply::Truncated {
            let (account, roomy) = (task.job.account, with_room(&task.job.arrival));
            self.make_for(task, about, &roomy, ended);
            task.job.account = account;
        }
        let reply = self.bench.reply();
        let Some(Waiting::Copy(copy)) = self.tasks.get_mut(number) else { return };
        if reply.is_empty() {
            // There is nothing to compare.
            self.conductor.cancel(Waiter(number));
            return self.drop_copy(number);
        }
        if let Some(result) = copy.ours(reply) {
            self.compared(number, result);
        }
    }

    /// A copy has its answer; an empty one if there is none.
    pub(super) fn copy_answered(&mut self, number: u32, message: &[u8]) {
        self.wheel.stop(number);
        let Some(Waiting::Copy(copy)) = self.tasks.get_mut(number) else { return };
        if let Some(result) = copy.theirs(message) {
            self.compared(number, result);
        }
    }

    fn compared(&mut self, number: u32, result: usize) {
        if let Some(Waiting::Copy(copy)) = self.tasks.get_mut(number) {
            self.ledger.count(DIVERTED.at([copy.rule, result]));
        }
        self.drop_copy(number);
    }

    pub(super) fn drop_copy(&mut self, number: u32) {
        self.wheel.stop(number);
        self.tasks.release(number);
        self.copies -= 1;
    }
}
