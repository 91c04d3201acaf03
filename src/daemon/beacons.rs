//! The thread that joins both sides of beacons, where they are wanted.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use crossbeam_channel::{Sender, bounded};

use crate::config::Config;
use crate::learn::collector::{Collector, Settings};
use crate::learn::join::Terms;
use crate::log::Log;
use crate::net::{self, Event};
use crate::report::export::{cannot_write, check_folder};
use crate::stats::counters::Counters;
use crate::stats::ledger::Stream;
use crate::sys::confine::{Class, Confined};
use crate::web;

/// The thread, running.
#[derive(Debug)]
pub(super) struct Running {
    thread: JoinHandle<()>,
    /// It ends when this is dropped.
    stop: Sender<()>,
    /// What it judges by.
    terms: Arc<ArcSwap<Terms>>,
    /// What HTTP serves of them.
    served: Arc<web::Beacons>,
}

/// Starts it, if there are beacons, with what `streams` tell; and what it counts with.
///
/// # Errors
/// If there can be no further thread.
pub(super) fn start(
    config: &Config,
    terms: Option<Terms>,
    log: &Log,
    streams: &mut [Stream],
    (events, confined): (&Sender<Event>, &Confined),
) -> io::Result<Option<(Running, Arc<Counters>)>> {
    let Some((dir, terms)) = config.beacons.as_ref().map(|beacons| &beacons.observations).zip(terms) else {
        return Ok(None);
    };
    let swapped = Arc::new(ArcSwap::from_pointee(terms.clone()));
    let settings = Settings { terms: Arc::clone(&swapped), dir: dir.clone(), log: log.clone() };
    let sightings = streams.iter_mut().filter_map(|stream| stream.sightings.take()).collect();
    let (collector, hits, counters) = Collector::new(settings, sightings);
    let served = Arc::new(web::Beacons::new(hits).map_err(io::Error::other)?);
    let (stop, stopped) = bounded(0);
    let (confined, log, dir) = (confined.clone(), log.clone(), dir.clone());
    let run = move || {
        confined.thread(Class::Exports)?;
        if let Err(error) = check_folder(&dir) {
            log.warning(cannot_write("[beacons] observations", &dir, &error));
        }
        collector.run(&stopped);
        Ok(())
    };
    let thread = net::spawn("beacons".to_owned(), events.clone(), run)?;
    let running = Running { thread, stop, terms: swapped, served };
    running.change(config, Some(terms));
    Ok(Some((running, counters)))
}

impl Running {
    /// From now on beacons are as `config` says, judged by these terms; without them there are none.
    pub(super) fn change(&self, config: &Config, terms: Option<Terms>) {
        let served = config.beacons.clone().zip(terms).map(|(settings, terms)| {
            let terms = Arc::new(terms);
            self.terms.store(Arc::clone(&terms));
            web::Served::new(settings, config.tailoring.pops.clone(), terms)
        });
        self.served.change(served);
    }

    /// What HTTP serves of them.
    pub(super) fn served(&self) -> Arc<web::Beacons> {
        Arc::clone(&self.served)
    }

    /// Ends it; what has been joined is written.
    pub(super) fn stop(self) -> JoinHandle<()> {
        drop(self.stop);
        self.thread
    }
}
