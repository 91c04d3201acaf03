//! Where a process comes from: what it is given at its birth, and by whom.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, select};
use signal_hook::iterator::Signals;

use super::handover::{Condition, Estate, Predecessor, Verdict};
use super::succession::Elder;
use crate::board::Board;
use crate::control::orders::{self, Order};
use crate::history::Legacy;
use crate::net::{Event, Net, THREAD_ADVICE};
use crate::problem::Problem;
use crate::sys::inherited::Inherited;
use crate::sys::launcher::{Launcher, Program};

/// What is there before anything else is.
#[derive(Debug)]
pub struct Origin {
    /// Sockets that the service manager has opened, or kept from an earlier process.
    kept: Inherited,
    /// The process that this one succeeds.
    predecessor: Option<Predecessor>,
    /// What that said of the node before this process served.
    condition: Condition,
    /// Who starts a successor; or why nobody can.
    launcher: Result<Launcher, String>,
    /// Until a thread watches for them.
    signals: Option<Signals>,
}

impl Origin {
    /// Finds all that out, and forks the launcher, while this process is small and whole: it has no thread,
    /// opened nothing, and has all rights it was started with. `config` is the file that a resolver reads.
    ///
    /// # Errors
    /// If there is a process to succeed that cannot be reached; or if signals cannot be watched.
    pub fn find(config: Option<&Path>) -> Result<Self, Vec<Problem>> {
        let signals = Some(orders::early_signals().map_err(no_signals)?);
        let kept = Inherited::from_service_manager();
        let predecessor = Predecessor::find()?;
        let launcher = if std::process::id() == 1 {
            Err("this is process 1 of a container, which ends with it: run it under an init process"
                .to_owned())
        } else {
            let programs = Program::this().and_then(|this| Ok((this, Program::resolver(config)?)));
            let launcher = programs.and_then(|(this, resolver)| Launcher::fork(&this, &resolver));
            launcher.map_err(|error| error.to_string())
        };
        Ok(Self { kept, predecessor, condition: Condition::default(), launcher, signals })
    }

    /// From now on no signal ends this process.
    pub(super) fn keep_signals(&self) -> Result<(), Vec<Problem>> {
        self.signals.as_ref().map_or(Ok(()), orders::keep_all).map_err(no_signals)
    }

    /// The signals, for the thread that watches for them.
    pub(super) const fn take_signals(&mut self) -> Option<Signals> {
        self.signals.take()
    }

    /// Whether there is a process that this one succeeds.
    pub(super) const fn is_successor(&self) -> bool {
        self.predecessor.is_some()
    }

    /// The sockets that there are. To ask for those of the predecessor tells it that all is well so far.
    ///
    /// # Errors
    /// If it is gone.
    pub(super) fn sockets(&mut self) -> Result<Inherited, Vec<Problem>> {
        match &mut self.predecessor {
            Some(predecessor) => predecessor.hello(),
            None => Ok(std::mem::take(&mut self.kept)),
        }
    }

    /// Looks at what came with them, now that privileges are dropped.
    ///
    /// # Errors
    /// If that is not what the predecessor should say.
    pub(super) fn heard(&mut self) -> Result<(), Vec<Problem>> {
        self.predecessor.as_mut().map_or(Ok(()), Predecessor::heard)
    }

    /// Opens the gates, with the leave of the process that this one succeeds, which pauses then; gives what
    /// that has left of its history. Before anything is answered, `believe` hears what the node is in.
    ///
    /// # Errors
    /// Why this process cannot serve. The gates may be open.
    pub(super) fn serve(
        &mut self,
        net: &mut Net,
        believe: impl FnOnce(&Condition),
    ) -> Result<Legacy, Vec<Problem>> {
        if let Some(predecessor) = &self.predecessor {
            self.condition = predecessor.ready()?;
            believe(&self.condition);
        }
        net.open().map_err(|error| Problem::alone(error.to_string()))?;
        self.predecessor.as_ref().map_or_else(|| Ok(Legacy::default()), Predecessor::serving)
    }

    /// Who starts a successor, to be taken once.
    pub(super) fn take_launcher(&mut self) -> Result<Launcher, String> {
        std::mem::replace(&mut self.launcher, Err("it was taken".to_owned()))
    }

    /// Tells the process that this one succeeds that everything was done that can fail, and where this one is
    /// controlled; waits for its word. What it leaves, and what waits for its end.
    ///
    /// # Errors
    /// If there can be no thread that waits; the predecessor calls it off; or a thread of this process has
    /// ended meanwhile.
    pub(super) fn done(
        &self,
        control: Option<PathBuf>,
        board: &Arc<Board>,
        events: (&Sender<Event>, &Receiver<Event>),
        orders: Sender<Order>,
    ) -> Result<(Estate, Option<Elder>), Vec<Problem>> {
        let Some(predecessor) = &self.predecessor else { return Ok((Estate::default(), None)) };
        let (events, happened) = events;
        let late = predecessor.late();
        let elder = late.and_then(|late| Elder::wait(late, board, events, orders));
        let (elder, verdict) = elder.map_err(|error| no_thread("the previous process", &error))?;
        // One that has died is missed by the thread as well.
        let _ = predecessor.done(control);
        let verdict = select! {
            recv(verdict) -> verdict => verdict.map_err(|_| Problem::alone("its thread has ended"))?,
            recv(happened) -> event => {
                let problems = event.map(died).unwrap_or_default();
                predecessor.refuse(&problems);
                return Err(problems);
            }
        };
        match verdict {
            Verdict::Yours(estate) => Ok((estate, Some(elder))),
            Verdict::Aborted(problems) => Err(problems),
            Verdict::Died => {
                let condition = self.condition.clone();
                Ok((Estate { condition, ..Estate::default() }, Some(elder)))
            }
        }
    }

    /// Hands the problems of the start on to whoever waits for its end.
    ///
    /// # Errors
    /// Those of `outcome`.
    pub fn tell<T>(&self, outcome: Result<T, Vec<Problem>>) -> Result<T, Vec<Problem>> {
        outcome.inspect_err(|problems| {
            if let Some(predecessor) = &self.predecessor {
                predecessor.refuse(problems);
            }
        })
    }
}

/// What is to be said of a thread that has ended by itself.
pub(super) fn died(event: Event) -> Vec<Problem> {
    let Event::Died { thread, reason } = event;
    Problem::alone(format!("thread {thread} ended: {reason}; please report this"))
}

/// What is to be said of sockets that nobody wants.
pub(super) fn left_over(inherited: &Inherited) -> Vec<String> {
    let line =
        |name: String| format!("the service manager opened {name}, but the configuration does not list it");
    inherited.left().into_iter().map(line).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
pub(super) fn no_signals(error: io::Error) -> Vec<Problem> {
    Problem::alone(format!("cannot watch for signals: {error}; {THREAD_ADVICE}"))
}

/// Why there is no thread for `what`.
pub(super) fn no_thread(what: &str, error: &io::Error) -> Vec<Problem> {
    Problem::alone(format!("cannot start a thread for {what}: {error}; {THREAD_ADVICE}"))
}
