//! What an application is allowed, and what it is given: its manifest, read and checked.

use std::path::PathBuf;
use std::time::Duration;

use crate::policy::Fallback;
use crate::policy::phase::Phase;

/// Which queries an instance has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All of a worker's.
    #[default]
    App,
    /// One, and then it is thrown away. It can hold none.
    Query,
}

/// A condition of a manifest's `router`. Two are the same wherever they stand: what an application does does
/// not depend on that.
#[derive(Clone, Debug, Eq)]
pub struct Condition {
    /// In the language of rules.
    pub text: String,
    /// Where it stands: `file:line:column`.
    pub place: String,
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// What it is called.
    pub name: String,
    /// Where it stands.
    pub place: String,
    /// The file of the module.
    pub module: PathBuf,
    /// Which queries are its own.
    pub router: Vec<Condition>,
    /// What a query gets that it cannot handle.
    pub fallback: Fallback,
    /// Its place among applications, the smallest first.
    pub order: i32,
    /// Which queries an instance has.
    pub isolation: Isolation,
    /// The phases that it may be called in.
    pub phases: Vec<Phase>,
    /// Its bounds.
    pub limits: Limits,
    /// What it may do.
    pub allow: Allow,
    /// What it gets at its start: JSON.
    pub config: Vec<u8>,
}

/// The bounds of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory, of one instance.
    pub memory: usize,
    /// For one event; 100 times that for the start.
    pub time: Duration,
    /// Queries that it may hold.
    pub in_flight: usize,
    /// Jobs of each thread that answers.
    pub queue: usize,
    /// Exchanges under way for one query.
    pub upstreams: usize,
    /// Lines a second.
    pub log_lines: u32,
    /// The shortest and the longest pause after traps.
    pub restart: (Duration, Duration),
}

/// What an application may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// Names of upstreams, or addresses with ports, as they are written. `App::upstreams` says which they
    /// are.
    pub forward: Vec<String>,
    /// Ask the resolver.
    pub resolve: bool,
    /// Ask where an address is.
    pub geo: bool,
    /// Names below which it may purge the cache, in wire form.
    pub cache_purge: Vec<Box<[u8]>>,
    /// Local sockets that it may connect to.
    pub sockets: Vec<PathBuf>,
    /// Its counters.
    pub metrics: Vec<String>,
    /// Its replies may have AA.
    pub authoritative: bool,
}
