//! What other threads can see of the servers, by the label of each: one writer, and nobody waits.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use crate::stats::labels::SERVER;

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
    pub(super) fn set(&self, state: State, srtt: Duration, in_flight: u32) {
        self.state.store(state as u8, Ordering::Relaxed);
        let micros = u32::try_from(srtt.as_micros()).unwrap_or(u32::MAX);
        self.srtt_micros.store(micros, Ordering::Relaxed);
        self.in_flight.store(in_flight, Ordering::Relaxed);
    }
}
