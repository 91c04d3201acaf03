//! The threads of the query log, of dnstap and of traces, where somebody wants them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};

use super::{logging, traces};
use crate::config::Config;
use crate::log::{self, Level, Log, Writer};
use crate::net::{self, Event};
use crate::stats::ledger::{LedgerSettings, Stream};
use crate::stats::tap::TapSettings;
use crate::sys::confine::{Class, Confined};
use crate::taps::{Dnstap, DnstapStatus, Identity, QueryLog, Taps};

/// What is opened before there are threads.
#[derive(Debug)]
pub(super) struct Opened {
    /// The log of the node.
    pub(super) log: Log,
    /// Where lines of the query log go.
    query_log: Log,
    /// Who writes them, where that is not the log.
    writer: Option<Writer>,
    /// How dnstap fares, where somebody gets it.
    pub(super) dnstap: Option<Arc<DnstapStatus>>,
    /// Traces, where they are wanted.
    pub(super) traces: traces::Opened,
}

/// Opens the file of the query log, if it has one of its own.
///
/// # Errors
/// Why it cannot be written, and what to do.
pub(super) fn open(config: &Config, log: &Log) -> Result<Opened, String> {
    let file = config.query_log.as_ref().and_then(|query_log| query_log.file.clone());
    let dnstap = config.dnstap.as_ref().map(|_| Arc::default());
    let (log, traces) = (log.clone(), traces::open(config, log)?);
    if file.is_none() {
        return Ok(Opened { query_log: log.clone(), log, writer: None, dnstap, traces });
    }
    let settings = log::Settings { level: Level::Info, format: config.log.format, file };
    let (query_log, writer) = log::open(&settings)?;
    Ok(Opened { log, query_log, writer: Some(writer), dnstap, traces })
}

/// What threads that answer count with, and what they copy out.
pub(super) fn ledgers(config: &Config, today: &Arc<AtomicU64>) -> LedgerSettings {
    let taps = TapSettings {
        query_log: config.query_log.as_ref().map(|query_log| query_log.sample_every),
        dnstap: config.dnstap.as_ref().map(|dnstap| dnstap.sample_every),
    };
    let (today, has_beacons) = (Arc::clone(today), config.beacons.is_some());
    LedgerSettings { sample_every: config.sample_every, today, taps, has_beacons }
}

/// The threads, running.
#[derive(Debug)]
pub(super) struct Running {
    taps: Option<JoinHandle<()>>,
    /// They end when this is dropped.
    stop: Option<Sender<()>>,
    query_log: Log,
    traces: traces::Running,
}

impl Opened {
    /// The query log, where it is not the log.
    pub(super) fn own_log(&self) -> Option<Log> {
        self.writer.is_some().then(|| self.query_log.clone())
    }

    /// Starts what is wanted, with what `streams` copy out.
    ///
    /// # Errors
    /// If there can be no further thread.
    pub(super) fn start(
        self,
        config: &Config,
        streams: &mut [Stream],
        events: &Sender<Event>,
        confined: &Confined,
    ) -> io::Result<Running> {
        let (stop, stopped) = bounded(0);
        let Self { log, query_log, writer, dnstap: status, traces } = self;
        let traces = traces.start(events, confined)?;
        if let Some(writer) = writer {
            logging::start(writer, "query-log", events, confined)?;
        }
        let dnstap = config.dnstap.as_ref().zip(status).map(|(settings, status)| {
            let identity = Identity {
                node: config.identity.node.clone(),
                version: concat!("as112d ", env!("CARGO_PKG_VERSION")).to_owned(),
            };
            let to = settings.to.clone();
            Dnstap::new(to, identity, settings.addresses, status, log)
        });
        let lines = config.query_log.as_ref();
        let lines = lines.map(|settings| QueryLog { log: query_log.clone(), addresses: settings.addresses });
        let taken: Vec<_> = streams.iter_mut().filter_map(|stream| stream.tapped.take()).collect();
        let taps = match taken.is_empty() {
            true => None,
            false => {
                let taps = Taps { taken, query_log: lines, dnstap };
                let confined = confined.clone();
                let run = move || confined.thread(Class::Taps).and_then(|()| taps.run(&stopped));
                Some(net::spawn("taps".to_owned(), events.clone(), run)?)
            }
        };
        Ok(Running { taps, stop: Some(stop), query_log, traces })
    }
}

impl Running {
    /// Reopens the file of the query log, after it was rotated.
    pub(super) fn reopen(&self) {
        self.query_log.reopen();
        self.traces.reopen();
    }

    /// Tells what was copied out, and ends. A reader who has stopped holds it up for a second at most.
    pub(super) fn stop(&mut self) {
        self.stop = None;
        self.traces.stop();
        // A panic was reported when it happened.
        let _ = self.taps.take().map(JoinHandle::join);
        self.query_log.flush();
    }
}
