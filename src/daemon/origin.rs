//! Where a process comes from: what it is given at its birth, and by whom.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::bound::Adopted;
use super::handover::{Estate, Predecessor};
use super::succession::Elder;
use super::xdp::Prepared;
use crate::board::Board;
use crate::control::orders::Order;
use crate::net::{Event, Net, THREAD_ADVICE};
use crate::problem::Problem;
use crate::sys::inherited::Inherited;
use crate::sys::launcher::{Launcher, Program};
use crate::sys::steering::Steering;

/// What is there before anything else is.
#[derive(Debug)]
pub struct Origin {
    /// Sockets that the service manager has opened, or kept from an earlier process.
    kept: Inherited,
    /// The process that this one succeeds.
    predecessor: Option<Predecessor>,
    /// Who starts a successor; or why nobody can.
    launcher: Result<Launcher, String>,
}

impl Origin {
    /// Finds all that out, and forks the launcher, while this process is small and whole: it has no thread,
    /// opened nothing, and has all rights that it was started with.
    ///
    /// # Errors
    /// If there is a process to succeed that cannot be reached.
    pub fn find() -> Result<Self, Vec<Problem>> {
        let kept = Inherited::from_service_manager();
        let predecessor = Predecessor::find()?;
        let launcher = if std::process::id() == 1 {
            Err("this is process 1 of a container, which ends with it: run it under an init process"
                .to_owned())
        } else {
            let launcher = Program::this().and_then(|program| Launcher::fork(&program));
            launcher.map_err(|error| error.to_string())
        };
        Ok(Self { kept, predecessor, launcher })
    }

    /// The sockets that there are. To ask for those of the predecessor tells it that all is well so far.
    ///
    /// # Errors
    /// If it is gone.
    pub(super) fn sockets(&mut self) -> Result<Inherited, Vec<Problem>> {
        match &self.predecessor {
            Some(predecessor) => predecessor.hello(),
            None => Ok(std::mem::take(&mut self.kept)),
        }
    }

    /// Opens the gates, with the leave of the process that this one succeeds; what that one leaves, and what
    /// is to be said of it.
    ///
    /// # Errors
    /// Why this process cannot serve.
    pub(super) fn serve(
        &self,
        net: &mut Net,
        adopted: &Adopted,
        steering: Option<&Steering>,
        xdp: &mut Prepared,
    ) -> Result<(Estate, Vec<String>), Vec<Problem>> {
        let draining = self.predecessor.as_ref().map_or(Ok(false), Predecessor::ready)?;
        net.open().map_err(|error| Problem::alone(error.to_string()))?;
        let steered = adopted.steer(steering);
        let mut notes: Vec<String> = steered.err().map(|error| error.to_string()).into_iter().collect();
        notes.extend(xdp.take_over(draining));
        let left = self.predecessor.as_ref().map_or_else(|| Ok(Estate::default()), Predecessor::serving);
        let estate = left.unwrap_or_else(|problems| {
            notes.extend(problems.iter().map(ToString::to_string));
            Estate::default()
        });
        Ok((estate, notes))
    }

    /// Who starts a successor, to be taken once.
    pub(super) fn take_launcher(&mut self) -> Result<Launcher, String> {
        std::mem::replace(&mut self.launcher, Err("it was taken".to_owned()))
    }

    /// Tells the process that this one succeeds that all is done, and where this one is controlled; gives
    /// back what waits for its end.
    ///
    /// # Errors
    /// If there can be no thread that waits.
    pub(super) fn done(
        &mut self,
        control: Option<PathBuf>,
        board: &Arc<Board>,
        events: &Sender<Event>,
        orders: Sender<Order>,
    ) -> Result<Option<Elder>, Vec<Problem>> {
        let Some(predecessor) = self.predecessor.take() else { return Ok(None) };
        let elder = Elder::wait(predecessor.done(control), board, events, orders);
        elder.map(Some).map_err(|error| no_thread("the previous process", &error))
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

/// What is to be said of sockets that nobody wants.
pub(super) fn left_over(inherited: &Inherited) -> Vec<String> {
    let line =
        |name: String| format!("the service manager opened {name}, but the configuration does not list it");
    inherited.left().into_iter().map(line).collect()
}

/// Why there is no thread for `what`.
pub(super) fn no_thread(what: &str, error: &io::Error) -> Vec<Problem> {
    Problem::alone(format!("cannot start a thread for {what}: {error}; {THREAD_ADVICE}"))
}
