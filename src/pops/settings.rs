//! What a watcher works with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The PoPs that are watched, by their names.
pub type Settings = Vec<Watched>;

/// A PoP that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its name.
    pub name: String,
    /// How.
    pub way: Way,
}

/// How it is known whether a PoP is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is probed.
    Probe(Probe),
    /// A file says so.
    File(PathBuf),
}

/// A probe, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What is asked.
    pub to: ProbeTo,
    /// From the beginning of a probe to that of the next.
    pub every: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// Failed probes in a row that take a PoP down.
    pub fall: u32,
    /// Good ones that bring it up.
    pub rise: u32,
}

/// What a PoP is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeTo {
    /// To accept a connection.
    Tcp(SocketAddr),
    /// For this path by HTTP, which must get a status from 200 to 299.
    Http(SocketAddr, String),
}
