//! Where traces go, and the threads that bring them there.

use std::io;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::logging;
use crate::config::Config;
use crate::config::platform::TraceTo;
use crate::log::{self, Format, Level, Log, Writer};
use crate::net::{self, Event};
use crate::sys::confine::{Class, Confined};
use crate::work::otlp::{self, Collector};
use crate::work::trace::{self, Trace, Tracing};

/// What is opened before there are threads.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// What workers need.
    pub(super) tracing: Tracing,
    /// Where their traces come out, and what becomes of them.
    to: Option<(Receiver<Box<Trace>>, To)>,
}

#[derive(Debug)]
enum To {
    File(Log, Writer),
    /// The name that this node has there, and what hears of failures.
    Collector(Collector, String, Log),
}

/// Opens the file of traces, if they are wanted in one; `log` hears of collectors that take none.
///
/// # Errors
/// Why it cannot be written, and what to do.
pub(super) fn open(config: &Config, log: &Log) -> Result<Opened, String> {
    let Some(wanted) = &config.trace else { return Ok(Opened::default()) };
    let to = match &wanted.to {
        TraceTo::File(file) => {
            let settings =
                log::Settings { level: Level::Info, format: Format::Json, file: Some(file.clone()) };
            let (lines, writer) = log::open(&settings)?;
            To::File(lines, writer)
        }
        TraceTo::Otlp(collector) => {
            To::Collector(collector.clone(), config.identity.node.clone(), log.clone())
        }
    };
    let (tracing, traces) = trace::traces(Some(wanted.sample_every));
    Ok(Opened { tracing, to: Some((traces, to)) })
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
        let Some((traces, to)) = self.to else { return Ok(Running::default()) };
        let (stop, stopped) = bounded::<()>(0);
        let of_thread = confined.clone();
        let (log, run): (Option<Log>, Box<dyn FnOnce() + Send>) = match to {
            To::File(log, writer) => {
                logging::start(writer, "trace-log", events, confined)?;
                let lines = log.clone();
                let write = move |trace: &Trace| lines.each("trace", vec![("trace", trace.json())]);
                (Some(log), Box::new(move || trace::run(&traces, &stopped, write)))
            }
            To::Collector(collector, node, log) => {
                let warn = move |text| log.warning(text);
                (None, Box::new(move || otlp::run(&traces, &stopped, &collector, &node, warn)))
            }
        };
        let run = move || {
            of_thread.thread(Class::Taps)?;
            run();
            Ok(())
        };
        let thread = Some(net::spawn("traces".to_owned(), events.clone(), run)?);
        Ok(Running { thread, stop: Some(stop), log })
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
