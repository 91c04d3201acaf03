//! Threads that the process does not run without.

use std::io;
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::Sender;

use crate::limits::THREAD_STACK_LEN;

/// What the threads report once they run.
#[derive(Debug)]
pub enum Event {
    /// A thread ended by itself: the process must end too, and not run without it.
    Died {
        /// The thread's name.
        thread: String,
        /// Why.
        reason: String,
    },
}

/// Starts a thread whose unexpected end is reported.
///
/// # Errors
/// If there can be no further thread.
pub fn spawn(
    name: String,
    events: Sender<Event>,
    run: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let thread = name.clone();
    Builder::new().name(name).stack_size(THREAD_STACK_LEN).spawn(move || {
        let mut obituary = Obituary { thread, reason: "it panicked".to_owned(), events: Some(events) };
        match run() {
            Ok(()) => obituary.events = None,
            Err(reason) => obituary.reason = reason,
        }
    })
}

/// Reports the end of a thread when it is dropped, also by a panic.
struct Obituary {
    thread: String,
    reason: String,
    events: Option<Sender<Event>>,
}

impl Drop for Obituary {
    fn drop(&mut self) {
        if let Some(events) = &self.events {
            let event = Event::Died { thread: self.thread.clone(), reason: self.reason.clone() };
            // There is no receiver when the process ends.
            let _ = events.send(event);
        }
    }
}
