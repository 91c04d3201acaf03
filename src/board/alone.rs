//! A board of a program that answers nothing itself, and has the numbers of others.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;

use super::announcers::Announcers;
use super::host::Host;
use super::life::{Life, Reloads};
use super::observed::Observed;
use super::process::Process;
use super::resolver::Resolver;
use super::{Base, Block, Board, Facts, Named, Status};
use crate::log::Log;
use crate::stats::labels::Names;
use crate::sys::confine::Confined;

impl Board {
    /// One without threads, of what is called `name`; its numbers are those of [`past`](Self::past).
    #[must_use]
    pub fn without_threads(name: &str, version: &'static str, log: Log) -> Self {
        let none = || Block::of_workers(Vec::new(), Base::default());
        Self {
            facts: Facts {
                version,
                datapath: String::new(),
                reason: String::new(),
                xdp: Vec::new(),
                sample_every: 1,
                started: SystemTime::now(),
                since: Instant::now(),
            },
            named: ArcSwap::from_pointee(Named {
                node: name.to_owned(),
                site: name.to_owned(),
                location: None,
                unique_ip: Vec::new(),
                further: Vec::new(),
                prefixes: Vec::new(),
                counted: Names::default(),
            }),
            shards: Vec::new(),
            tcp: none(),
            xdp: none(),
            workers: none(),
            gauges: Vec::new(),
            resolver: Resolver::default(),
            past: Arc::<Base>::default().into(),
            history: Status::new(String::new()),
            exports: Vec::new(),
            observed: Observed::new(0),
            host: Host::open(),
            process: Process::open(),
            confined: Confined::default(),
            log,
            query_log: None,
            dnstap: None,
            life: Life::default(),
            reloads: Reloads::default(),
            maps: Reloads::default(),
            tailor: Default::default(),
            announcers: Announcers::default(),
            pops: ArcSwap::default(),
            fleet: Default::default(),
        }
    }
}
