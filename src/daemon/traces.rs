//! The file of traces, and the thread that writes them there.

use std::io;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::logging;
use crate::config::Config;
use crate::log::{self, Format, Level, Log, Writer};
use crate::net::{self, Event};
use crate::sys::confine::{Class, Confined};
use crate::work::trace::{self, Trace, Tracing};

/// What is opened before there are threads.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// What workers need.
    pub(super) tracing: Tracing,
    /// Where their traces come out, and what writes them.
    file: Option<(Receiver<Box<Trace>>, Log, Writer)>,
}

/// Opens the file of traces, if they are wanted.
///
/// # Errors
/// Why it cannot be written, and what to do.
pub(super) fn open(config: &Config) -> Result<Opened, String> {
    let Some(wanted) = &config.trace else { return Ok(Opened::default()) };
    let file = Some(wanted.file.clone());
    let (log, writer) = log::open(&log::Settings { level: Level::Info, format: Format::Json, file })?;
    let (tracing, traces) = trace::traces(Some(wanted.sample_every));
    Ok(Opened { tracing, file: Some((traces, log, writer)) })
}

/// The threads, running, where there are any.
#[derive(Debug, Default)]
pub(super) struct Running {
    thread: Option<JoinHandle<()>>,
    /// It ends when this is dropped.
    stop: Option<Sender<()>>,
    log: Option<Log>,
}

impl Opened {
    /// Starts them.
    ///
    /// # Errors
    /// If there can be no further thread.
    pub(super) fn start(self, events: &Sender<Event>, confined: &Confined) -> io::Result<Running> {
        let Some((traces, log, writer)) = self.file else { return Ok(Running::default()) };
        logging::start(writer, "trace-log", events, confined)?;
        let (stop, stopped) = bounded::<()>(0);
        let (lines, confined) = (log.clone(), confined.clone());
        let run = move || {
            confined.thread(Class::Taps)?;
            trace::run(&traces, &stopped, |trace| lines.each("trace", vec![("trace", trace.json())]));
            Ok(())
        };
        let thread = Some(net::spawn("traces".to_owned(), events.clone(), run)?);
        Ok(Running { thread, stop: Some(stop), log: Some(log) })
    }
}

impl Running {
    /// Reopens the file, after it was rotated.
    pub(super) fn reopen(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
    }

    /// Writes what there still is, and ends.
    pub(super) fn stop(&mut self) {
        self.stop = None;
        // A panic was reported when it happened.
        let _ = self.thread.take().map(JoinHandle::join);
        if let Some(log) = &self.log {
            log.flush();
        }
    }
}
