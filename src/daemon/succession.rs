//! What it takes to have a successor, which is the program as it lies at its path now, with the configuration
//! as it is now; and what is left of the process before this one.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, never};

use super::bound::Handles;
use super::handover::{Giving, Late, Successor};
use crate::board::Board;
use crate::control::orders::{Client, Order, Wish};
use crate::history;
use crate::net::{self, Event};
use crate::problem::Problem;
use crate::sys::confine::Class;
use crate::sys::launcher::Launcher;
use crate::sys::passing::Passage;

/// What it takes to have a successor.
#[derive(Debug)]
pub(super) struct Succession {
    /// Who starts it; or why nobody can.
    pub(super) launcher: Result<Arc<Launcher>, String>,
    /// What it gets.
    pub(super) handles: Arc<Handles>,
    /// The process before this one, as long as it has connections.
    pub(super) elder: Option<Elder>,
    /// The upgrade in progress.
    pub(super) under_way: Option<UnderWay>,
    /// A signal to reload came meanwhile.
    pub(super) owes_reload: bool,
}

/// What comes of leading a successor to where it serves.
pub(super) type Outcome = Result<Successor, Vec<Problem>>;

#[derive(Debug)]
pub(super) struct UnderWay {
    /// Who waits for the end of it.
    pub(super) clients: Vec<Client>,
    outcome: Receiver<Outcome>,
    way_out: Passage,
}

impl Succession {
    pub(super) fn new(launcher: Result<Launcher, String>, handles: Handles, elder: Option<Elder>) -> Self {
        let (launcher, handles) = (launcher.map(Arc::new), Arc::new(handles));
        Self { launcher, handles, elder, under_way: None, owes_reload: false }
    }

    /// Has a successor started, which is led by a thread of its own: the node keeps serving meanwhile.
    pub(super) fn begin(
        &mut self,
        clients: Vec<Client>,
        draining: bool,
    ) -> Result<(), (Vec<Client>, String)> {
        match self.start(draining) {
            Ok((outcome, way_out)) => {
                self.under_way = Some(UnderWay { clients, outcome, way_out });
                Ok(())
            }
            Err(error) => Err((clients, error)),
        }
    }

    fn start(&self, draining: bool) -> Result<(Receiver<Outcome>, Passage), String> {
        let no_launcher = |error: &String| {
            format!("there is no launcher ({error}), so a new process would lack the privileges to start")
        };
        let launcher = self.launcher.as_ref().map_err(no_launcher)?;
        let giving =
            Giving::begin(launcher).map_err(|error| format!("{error}; put the program back in place"))?;
        let way_out = giving.way_out().map_err(|error| error.to_string())?;
        let (report, outcome) = bounded(1);
        let handles = Arc::clone(&self.handles);
        let lead = move || {
            // Nobody waits any more when the process ends.
            let _ = report.send(giving.finish(&handles.sockets, &handles.links, draining));
        };
        Builder::new().name("upgrade".to_owned()).spawn(lead).map_err(|error| error.to_string())?;
        Ok((outcome, way_out))
    }

    /// Where the outcome of an upgrade in progress arrives.
    pub(super) fn outcome(&self) -> Receiver<Outcome> {
        self.under_way.as_ref().map_or_else(never, |under_way| under_way.outcome.clone())
    }

    pub(super) const fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Calls an upgrade off. Its outcome comes all the same.
    pub(super) fn call_off(&self) {
        if let Some(under_way) = &self.under_way {
            under_way.way_out.close();
        }
    }

    /// Kills the successor that was started last.
    pub(super) fn kill(&self) {
        if let Ok(launcher) = &self.launcher {
            // One that is gone by itself is gone.
            let _ = launcher.kill();
        }
    }

    pub(super) fn take_clients(&mut self) -> Vec<Client> {
        self.under_way.take().map(|under_way| under_way.clients).unwrap_or_default()
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
    /// Waits for `late` on a thread of its own; what it counts goes on the board, what it was told to do into
    /// `orders`.
    ///
    /// # Errors
    /// If there can be no such thread.
    pub(super) fn wait(
        late: Late,
        board: &Arc<Board>,
        events: &Sender<Event>,
        orders: Sender<Order>,
    ) -> io::Result<Self> {
        let way_out = late.way_out()?;
        let board = Arc::clone(board);
        let wait = move || {
            board.confined.thread(Class::Elder)?;
            let obey = |word: &str| {
                if let Some(wish) = Wish::from_word(word) {
                    // A node that takes no orders any more ends.
                    let _ = orders.send(Order { wish, client: Client::default() });
                }
            };
            if let Some(counted) = late.wait(obey) {
                let names = &board.named.load().counted;
                board.tcp.add_to_base(&history::totals(&counted, names));
            }
            Ok(())
        };
        let thread = Some(net::spawn("elder".to_owned(), events.clone(), wait)?);
        Ok(Self { way_out, thread })
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
