//! What a worker does where a rule names an application: it asks that, and keeps what a query needs that the
//! application holds.

use std::time::Instant;

use super::conductor::Waiter;
use super::hands::{About, Hands};
use super::query::{Event, Reply};
use super::question::Question;
use super::replies::with_room;
use super::responses::Ended;
use super::sandbox::Apps;
use super::sandbox::call::{Call, Called};
use super::task::{Kept, Task, Waiting, rules};
use crate::dns::arrival::Arrival;
use crate::dns::consts::rcode;
use crate::dns::message::{Message, with_question, without_opt};
use crate::limits::TCP_REPLY_LEN_MAX;
use crate::policy::RuleId;
use crate::policy::phase::Phase;
use crate::serve::{self, Verdict};
use crate::stats::labels::{WORK_REFUSED_APP, WORK_REFUSED_TASKS};

impl Hands {
    /// Asks an application.
    pub(super) fn call(
        &mut self,
        task: &mut Task,
        about: &About<'_>,
        (phase, rule, app): (Phase, RuleId, u16),
        ended: Option<&mut Ended>,
    ) -> Event {
        let Some(apps) = task.snapshot.apps().get::<Apps>() else { return Event::NotAsked(WORK_REFUSED_APP) };
        let Some(token) = self.number(task) else { return Event::NotAsked(WORK_REFUSED_TASKS) };
        let mut later = task.query.later();
        if let Some(place) = task.place {
            (later.country, later.asn) = (place.country, place.asn);
        }
        let reply = match (phase, ended) {
            (Phase::Response, Some(ended)) => &ended.bare,
            (Phase::Reply, _) => self.bench.reply(),
            (Phase::Done, _) if task.reply_len.is_some() => self.bench.reply(),
            _ => &[],
        };
        // A router shows it before anything else, as a hook of that phase would.
        let phase = if phase == Phase::Route { Phase::Request } else { phase };
        let call = Call {
            app,
            phase,
            token,
            rule,
            query: task.job.query(),
            arrival: &task.job.arrival,
            reply,
            later,
            deadline: task.query.deadline(&rules(about.policy)),
            is_traced: task.is_traced(),
        };
        let called = self.guests.sandbox.call(&apps, &call, about.now, &mut self.ledger);
        self.take_spans(Some(task));
        if let Some(steps) = &mut task.steps
            && let Some(app) = apps.apps.get(usize::from(app))
        {
            steps.note_app(&app.manifest.name, phase.name(), word(called));
        }
        Event::Called(called)
    }

    /// Others use the same places while an application holds a query.
    pub(super) fn keep(&mut self, task: &mut Task, phase: Phase, ended: Option<&mut Ended>) {
        let mut kept = Kept::default();
        match phase {
            Phase::Response => kept.ended = ended.map(|ended| ended.keep()),
            Phase::Reply => {
                kept.reply.extend_from_slice(self.bench.reply());
                // What it was made of goes: the whole of it can no longer be compared.
                if let Some(copy) = task.copy.take_if(|_| self.bench.is_truncated()) {
                    self.conductor.cancel(Waiter(copy));
                    self.drop_copy(copy);
                }
            }
            _ => return,
        }
        task.kept = Some(Box::new(kept));
    }

    /// Continues with a query that an application held.
    pub(super) fn go_on(&mut self, mut task: Task, event: Event, now: Instant) {
        let mut kept = task.kept.take();
        if let Some(kept) = kept.as_ref().filter(|_| task.query.held_in() == Some(Phase::Reply)) {
            self.bench.put(&kept.reply);
        }
        self.carry(task, event, kept.as_mut().and_then(|kept| kept.ended.as_mut()), now);
    }

    /// Continues with all queries that applications have finished.
    pub(super) fn take_finished(&mut self, now: Instant) {
        self.take_spans(None);
        while let Some((number, called)) = self.guests.sandbox.take_finished() {
            match self.tasks.take(number) {
                Some(Waiting::Query(mut task)) => {
                    self.wheel.stop(number);
                    if let Some(steps) = &mut task.steps {
                        steps.note_finished(word(called));
                    }
                    let event = Event::Called(called);
                    let _ = self.changed_by(&mut task, event);
                    self.go_on(task, event, now);
                }
                Some(other) => self.tasks.put(number, other),
                None => {}
            }
        }
    }

    /// The question of a query, if an application has just given it another one. That was read already.
    pub(super) fn changed_by(&self, task: &mut Task, event: Event) -> Option<Question> {
        if event != Event::Called(Called::Changed) {
            return None;
        }
        let packet = self.guests.sandbox.query();
        let question = Question::read(packet)?;
        task.changed = Some(packet.into());
        Some(question)
    }

    /// The answer to the question that a query got from an application, as an answer to the client's: into
    /// `out`. What the reply is made of then.
    pub(super) fn rename(
        &self,
        task: &mut Task,
        arrival: &Arrival,
        ended: Option<&Ended>,
        out: &mut Vec<u8>,
    ) -> Reply {
        let (reply, Some(changed)) = (task.reply, &task.changed) else { return task.reply };
        let mut own = Vec::new();
        let answer = match reply {
            Reply::Cached | Reply::Stale { .. } => &self.found,
            Reply::Response => ended.map_or(&own, |ended| &ended.bare),
            Reply::Native => {
                let mut slot = vec![0; TCP_REPLY_LEN_MAX];
                slot[..changed.len()].copy_from_slice(changed);
                let (roomy, account) = (with_room(arrival), &mut task.job.account);
                if let Verdict::Reply(len) =
                    serve::native(&task.snapshot, &roomy, &mut slot, changed.len(), account)
                {
                    let read = Message::read(&slot[..len]);
                    let bare = read.and_then(|read| without_opt(&slot[..len], &read, &mut own));
                    // Our own answers are sound.
                    debug_assert!(bare.is_ok(), "it cannot be read");
                }
                &own
            }
            Reply::App | Reply::Code(..) | Reply::Truncated | Reply::None => return reply,
        };
        let asked = Question::read(task.job.query());
        let question = asked.as_ref().map(|asked| asked.bytes(task.job.query())).unwrap_or_default();
        match with_question(answer, question, out) {
            // It is made as what an application says is.
            Ok(()) if reply == Reply::Native => Reply::App,
            Ok(()) => reply,
            Err(_) => Reply::Code(rcode::SERVFAIL.into(), None),
        }
    }

    /// What applications note in traces: of the query that one is asked about now, and of those that wait.
    fn take_spans(&mut self, mut asked: Option<&mut Task>) {
        while let Some(span) = self.guests.sandbox.take_span() {
            let task = match (&mut asked, self.tasks.get_mut(span.query)) {
                (Some(task), _) if task.number == Some(span.query) => &mut **task,
                (_, Some(Waiting::Query(task))) => task,
                _ => continue,
            };
            let apps = task.snapshot.apps().get::<Apps>().unwrap_or_default();
            let app = apps.apps.iter().find(|app| app.label == span.label);
            if let (Some(steps), Some(app)) = (&mut task.steps, app) {
                steps.note_span(&app.manifest.name, span.kind, span.text, task.job.asked);
            }
        }
    }
}

/// What an application has said, as it is counted.
const fn word(called: Called) -> &'static str {
    match called {
        Called::Pass => "pass",
        Called::Reply => "reply",
        Called::Code(..) => "rcode",
        Called::Drop => "drop",
        Called::Later => "later",
        Called::Changed => "changed",
        Called::Retry(_) => "retry",
        Called::Failed => "fail",
    }
}
