//! `as112d top`: a running node, live on a terminal.
//!
//! Three threads tell the one that draws what happens: one reads keys, one asks the node, one waits for
//! signals. So a node that does not answer delays no key.

mod state;
mod view;

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _};
use std::ops::ControlFlow;
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::asking::Node;
use super::failure::Failure;
use crate::cli::TopOptions;
use crate::limits::TOP_EVENTS_MAX;
use state::State;

/// Shows the node until somebody has seen enough. Once it has answered, it may go away and come back.
///
/// # Errors
/// If no node answers at first (exit code 3), what answers is not a node, or there is no terminal to draw on.
pub fn top(options: &TopOptions) -> Result<String, Failure> {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        let message = "top needs a terminal; use `as112d stats` or `as112d stats --watch` instead";
        return Err(message.to_owned().into());
    }
    let node = Node::find(&options.node, options.url.as_deref())?;
    let (_, numbers) = node.ask().map_err(|reason| node.no_answer(&reason))?;
    let state = State::new(node.url(), numbers);
    let failed = |error: io::Error| {
        Failure::from(format!("cannot use the terminal: {error}; use `as112d stats` instead"))
    };
    let (events, happened) = bounded(TOP_EVENTS_MAX);
    let requests = listen(node, &events).map_err(failed)?;
    // A panic restores the terminal as well: this sets a hook for it.
    let terminal = ratatui::try_init().map_err(failed)?;
    let ended = watch(terminal, state, &happened, &requests);
    ratatui::restore();
    ended.map(|()| String::new()).map_err(failed)
}

/// What the one that draws is told.
enum Happened {
    Input(io::Result<Event>),
    Answer(Result<Value, String>),
    Signal,
}

/// Starts the threads that tell. The node is asked when something is sent into the channel.
fn listen(node: Node, events: &Sender<Happened>) -> io::Result<Sender<()>> {
    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        thread::Builder::new().name(name.to_owned()).spawn(run).map(drop)
    };
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let signalled = events.clone();
    // Each ends when nobody listens any more, or with the program.
    let wait = move || while signals.wait().next().is_some() && signalled.send(Happened::Signal).is_ok() {};
    spawn("signals", Box::new(wait))?;

    let typed = events.clone();
    let read = move || {
        loop {
            let input = event::read();
            let is_last = input.is_err();
            if typed.send(Happened::Input(input)).is_err() || is_last {
                return;
            }
        }
    };
    spawn("keys", Box::new(read))?;

    let (requests, asked) = bounded(1);
    let answered = events.clone();
    let ask = move || {
        for () in asked {
            let answer = node.ask().map(|(_, numbers)| numbers).map_err(|reason| reason.to_string());
            if answered.send(Happened::Answer(answer)).is_err() {
                return;
            }
        }
    };
    spawn("asking", Box::new(ask))?;
    Ok(requests)
}

/// Draws, and waits for what happens next.
fn watch(
    mut terminal: DefaultTerminal,
    mut state: State,
    happened: &Receiver<Happened>,
    requests: &Sender<()>,
) -> io::Result<()> {
    let mut asked = Instant::now();
    loop {
        terminal.draw(|frame| view::draw(frame, &mut state))?;
        match happened.recv_deadline(asked + state.interval()) {
            Ok(Happened::Input(input)) => {
                if let Event::Key(key) = input?
                    && key.kind != KeyEventKind::Release
                    && let ControlFlow::Break(()) = state.key(key)
                {
                    return Ok(());
                }
            }
            Ok(Happened::Answer(answer)) => state.take(answer, Instant::now()),
            Err(RecvTimeoutError::Timeout) => {
                asked = Instant::now();
                // The node may be busy with the last question.
                if !state.is_paused
                    && let Err(TrySendError::Disconnected(())) = requests.try_send(())
                {
                    return Err(io::Error::other("the thread that asks the node ended"));
                }
            }
            Ok(Happened::Signal) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
