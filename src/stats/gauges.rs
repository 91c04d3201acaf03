//! What other threads can see of a worker now, of the servers that it asks and of its instances of
//! applications, by the label of each: one writer, and nobody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::app_labels::APP;
use super::labels::SERVER;

/// Whether a server is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// It is.
    #[default]
    Closed,
    /// One query finds out.
    HalfOpen,
    /// Not for now: it has failed too often.
    Open,
}

impl State {
    /// As it is shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

/// The servers with labels of their own, and `other`.
#[derive(Debug)]
pub struct Gauges([ServerGauges; SERVER.len]);

/// Those of one label.
#[derive(Debug, Default)]
pub struct ServerGauges {
    state: AtomicU8,
    srtt_micros: AtomicU32,
    in_flight: AtomicU32,
}

impl Default for Gauges {
    fn default() -> Self {
        Self(std::array::from_fn(|_| ServerGauges::default()))
    }
}

impl Gauges {
    /// Those of a value of [`SERVER`].
    #[must_use]
    pub fn server(&self, label: usize) -> &ServerGauges {
        &self.0[label]
    }
}

impl ServerGauges {
    /// Whether it is asked.
    #[must_use]
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::Closed,
            1 => State::HalfOpen,
            _ => State::Open,
        }
    }

    /// How long it takes to answer, smoothed (RFC 6298); zero while that is not known.
    #[must_use]
    pub fn srtt(&self) -> Duration {
        Duration::from_micros(self.srtt_micros.load(Ordering::Relaxed).into())
    }

    /// Queries that it has not answered yet.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Only the thread that asks it may call this.
    pub fn set(&self, state: State, srtt: Duration, in_flight: u32) {
        self.state.store(state as u8, Ordering::Relaxed);
        let micros = u32::try_from(srtt.as_micros()).unwrap_or(u32::MAX);
        self.srtt_micros.store(micros, Ordering::Relaxed);
        self.in_flight.store(in_flight, Ordering::Relaxed);
    }
}

/// Whether an application is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum AppState {
    /// There was one of this name.
    #[default]
    Gone,
    /// It is.
    Running,
    /// It has no instance yet.
    Starting,
    /// Not for now: it has trapped too often.
    Off,
}

impl AppState {
    /// As it is shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Off => "off",
        }
    }
}

/// The applications with labels of their own, and `other`.
#[derive(Debug)]
pub struct AppGauges([OneApp; APP.len]);

/// Those of one label.
#[derive(Debug, Default)]
pub struct OneApp {
    state: AtomicU8,
    memory: AtomicU64,
    held: AtomicU32,
}

impl Default for AppGauges {
    fn default() -> Self {
        Self(std::array::from_fn(|_| OneApp::default()))
    }
}

impl AppGauges {
    /// Those of a value of [`APP`].
    #[must_use]
    pub fn app(&self, label: usize) -> &OneApp {
        &self.0[label]
    }
}

impl OneApp {
    /// Whether it is called.
    #[must_use]
    pub fn state(&self) -> AppState {
        match self.state.load(Ordering::Relaxed) {
            0 => AppState::Gone,
            1 => AppState::Running,
            2 => AppState::Starting,
            _ => AppState::Off,
        }
    }

    /// Bytes of the memory of its instances.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Queries that it holds.
    #[must_use]
    pub fn held(&self) -> u32 {
        self.held.load(Ordering::Relaxed)
    }

    /// Only the worker that calls it may call this.
    pub fn set(&self, state: AppState, memory: u64, held: u32) {
        self.state.store(state as u8, Ordering::Relaxed);
        self.memory.store(memory, Ordering::Relaxed);
        self.held.store(held, Ordering::Relaxed);
    }
}

/// What a worker has at hand.
#[derive(Debug, Default)]
pub struct WorkerGauges {
    /// The servers that it asks: the gauges of its conductor.
    pub servers: Arc<Gauges>,
    /// Its instances of applications: the gauges of its sandbox.
    pub apps: Arc<AppGauges>,
    tasks: AtomicU64,
    cache_entries: AtomicU64,
    cache_bytes: AtomicU64,
}

impl WorkerGauges {
    /// Those of a worker with a conductor and a sandbox that have these.
    #[must_use]
    pub fn new(servers: Arc<Gauges>, apps: Arc<AppGauges>) -> Self {
        Self { servers, apps, ..Self::default() }
    }

    /// Queries that it has not answered yet.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.tasks.load(Ordering::Relaxed)
    }

    /// Entries of its cache.
    #[must_use]
    pub fn cache_entries(&self) -> u64 {
        self.cache_entries.load(Ordering::Relaxed)
    }

    /// Bytes of its cache.
    #[must_use]
    pub fn cache_bytes(&self) -> u64 {
        self.cache_bytes.load(Ordering::Relaxed)
    }

    /// Only the worker may call this.
    pub fn set(&self, tasks: usize, cache_entries: usize, cache_bytes: usize) {
        self.tasks.store(tasks as u64, Ordering::Relaxed);
        self.cache_entries.store(cache_entries as u64, Ordering::Relaxed);
        self.cache_bytes.store(cache_bytes as u64, Ordering::Relaxed);
    }
}
