//! What it takes to have a successor, which is the program as it lies at its path now, with the configuration
//! as it is now; and what is left of the process before this one.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, never};

use super::bound::Handles;
use super::handover::{Condition, Giving, Late, Successor, Verdict};
use crate::board::Board;
use crate::control::orders::{Client, Order, Wish};
use crate::history::Lent;
use crate::limits::HANDOVER_LEND_MAX;
use crate::net::{self, Event, SocketDrops};
use crate::problem::Problem;
use crate::sys::confine::Class;
use crate::sys::launcher::Launcher;
use crate::sys::passing::Passage;

/// What it takes to have a successor.
#[derive(Debug)]
pub(super) struct Succession {
    /// Who starts it; or why nobody can.
    launcher: Result<Arc<Launcher>, String>,
    /// What it gets.
    pub(super) handles: Arc<Handles>,
    /// The process before this one, as long as it has connections.
    pub(super) elder: Option<Elder>,
    /// The upgrade in progress.
    pub(super) under_way: Option<UnderWay>,
    /// A signal to reload came meanwhile.
    pub(super) owes_reload: bool,
}

/// How far an upgrade has come.
#[derive(Debug)]
pub(super) enum Step {
    /// The successor serves: this process has to pause, and to lend its history.
    Serves,
    /// The successor has done everything that can fail, with that history.
    Proven(Successor, Lent),
    /// It is gone, or will be: this process has to continue.
    Failed(Vec<Problem>),
}

#[derive(Debug)]
pub(super) struct UnderWay {
    /// Who waits for the end of it.
    pub(super) clients: Vec<Client>,
    /// Where the history is to be sent, once.
    pub(super) lend: Option<Sender<Result<Lent, String>>>,
    /// In a pause: up to where the drops of sockets were counted.
    pub(super) paused: Option<Vec<SocketDrops>>,
    steps: Receiver<Step>,
    call_off: Passage,
}

impl Succession {
    pub(super) fn new(launcher: Result<Launcher, String>, handles: Handles, elder: Option<Elder>) -> Self {
        let (launcher, handles) = (launcher.map(Arc::new), Arc::new(handles));
        Self { launcher, handles, elder, under_way: None, owes_reload: false }
    }

    /// Who starts programs; or why nobody can.
    pub(super) fn launcher(&self) -> Result<Arc<Launcher>, String> {
        self.launcher.clone()
    }

    /// Why there can be no successor, if there cannot.
    pub(super) fn obstacle(&self) -> Option<String> {
        match &self.launcher {
            Ok(launcher) if launcher.is_there() => None,
            Ok(_) => Some("the launcher has ended".to_owned()),
            Err(error) => Some(format!("there is no launcher ({error})")),
        }
    }

    /// Has a successor started, which is led by a thread of its own: the node keeps serving meanwhile.
    pub(super) fn begin(
        &mut self,
        clients: Vec<Client>,
        condition: Condition,
    ) -> Result<(), (Vec<Client>, String)> {
        match self.start(condition) {
            Ok((steps, lend, call_off)) => {
                self.under_way = Some(UnderWay { clients, lend: Some(lend), paused: None, steps, call_off });
                Ok(())
            }
            Err(error) => Err((clients, error)),
        }
    }

    #[expect(clippy::type_complexity, reason = "the parts of an upgrade in progress")]
    fn start(
        &self,
        condition: Condition,
    ) -> Result<(Receiver<Step>, Sender<Result<Lent, String>>, Passage), String> {
        if let Some(obstacle) = self.obstacle() {
            return Err(format!("{obstacle}, so a new process would lack the privileges to start"));
        }
        let launcher = self.launcher.as_ref().map_err(String::clone)?;
        let begun = Giving::begin(launcher);
        let (giving, call_off) = begun.map_err(|error| format!("{error}; put the program back in place"))?;
        let (report, steps) = bounded(2);
        let (lend, lent) = bounded(1);
        let handles = Arc::clone(&self.handles);
        let lead = move || {
            let in_pause = || {
                // Nobody waits any more when the process ends.
                let _ = report.send(Step::Serves);
                let lent: Result<Result<Lent, String>, _> = lent.recv_timeout(HANDOVER_LEND_MAX);
                lent.unwrap_or_else(|error| {
                    Err(match error {
                        RecvTimeoutError::Timeout => "the history cannot be stored in time".to_owned(),
                        RecvTimeoutError::Disconnected => "the node is stopping".to_owned(),
                    })
                })
            };
            let led = giving.finish(&handles.sockets, &handles.links, condition, in_pause);
            let step = led.map_or_else(Step::Failed, |(successor, lent)| Step::Proven(successor, lent));
            let _ = report.send(step);
        };
        Builder::new().name("upgrade".to_owned()).spawn(lead).map_err(|error| error.to_string())?;
        Ok((steps, lend, call_off))
    }

    /// Where the steps of an upgrade in progress arrive.
    pub(super) fn steps(&self) -> Receiver<Step> {
        self.under_way.as_ref().map_or_else(never, |under_way| under_way.steps.clone())
    }

    pub(super) const fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Calls an upgrade off. Its last step comes all the same.
    pub(super) fn call_off(&mut self) {
        if let Some(under_way) = &mut self.under_way {
            under_way.call_off.close();
            under_way.lend = None;
        }
    }
}

/// The process before this one, which serves the connections that it has. A thread waits for what it still
/// counts.
#[derive(Debug)]
pub(super) struct Elder {
    way_out: Passage,
    thread: Option<JoinHandle<()>>,
}

impl Elder {
    /// Waits for `late` on a thread of its own: first for its verdict, which is given on, then for its end.
    /// What it counts meanwhile continues the board, what it was told to do into `orders`.
    ///
    /// # Errors
    /// If there can be no such thread.
    pub(super) fn wait(
        late: Late,
        board: &Arc<Board>,
        events: &Sender<Event>,
        orders: Sender<Order>,
    ) -> io::Result<(Self, Receiver<Verdict>)> {
        let way_out = late.way_out()?;
        let board = Arc::clone(board);
        let (report, verdict) = bounded(1);
        let wait = move || {
            board.confined.thread(Class::Elder)?;
            // A start that has failed waits for nothing.
            let _ = report.send(late.verdict());
            let obey = |word: &str| {
                if let Some(wish) = Wish::from_word(word) {
                    // A node that takes no orders any more ends.
                    let _ = orders.send(Order { wish, client: Client::default() });
                }
            };
            late.wait(obey, |untold| untold.add_to(&board));
            Ok(())
        };
        let thread = Some(net::spawn("elder".to_owned(), events.clone(), wait)?);
        Ok((Self { way_out, thread }, verdict))
    }

    pub(super) fn is_there(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Elder {
    fn drop(&mut self) {
        self.way_out.close();
        if let Some(thread) = self.thread.take() {
            // A panic was reported when it happened.
            let _ = thread.join();
        }
    }
}
