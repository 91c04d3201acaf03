//! What is known of one server: how fast it is, how good its answers are, whether it can be asked at all. No
//! I/O, a clock passed in.

use arrayvec::ArrayVec;

use super::wheel::Micros;
use crate::limits::{
    CIRCUIT_FAILURES, CIRCUIT_OPEN_MAX, CIRCUIT_OPEN_MIN, CIRCUIT_SILENCE, EDNS_RETRY_EVERY, GOODNESS_MIN,
    IN_FLIGHT_PER_SERVER_MAX, TRY_TIMEOUT_MAX, TRY_TIMEOUT_MIN,
};
use crate::stats::gauges::State;

/// The longest server's part of a cookie (RFC 7873, section 4).
pub(super) const SERVER_COOKIE_LEN_MAX: usize = 32;

/// What a server without a good answer in sight is worse by, in microseconds: as if each query had to wait
/// for the longest time-out first.
const PENALTY: f64 = TRY_TIMEOUT_MAX.as_micros() as f64;
/// The weight of the newest answer in the share of good ones.
const GOODNESS_WEIGHT: f64 = 1.0 / 16.0;

/// Whether a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Circuit {
    Closed,
    /// Not until then.
    Open(Micros),
    /// One query is on its way to find out.
    HalfOpen,
}

/// What is known of a server.
#[derive(Debug)]
pub(super) struct Server {
    /// The smoothed time to an answer and how much it varies (RFC 6298), in microseconds, once there was one.
    measured: Option<(f64, f64)>,
    /// The share of good answers, newer ones weighing more.
    goodness: f64,
    circuit: Circuit,
    /// For how long it was open last.
    opened_for: Micros,
    /// Failures since the last answer.
    failures: u32,
    /// When it answered last, or was asked for the first time.
    alive: Option<Micros>,
    /// When it was last seen to be back: by the answer that closed its circuit, or by a late one.
    recovered: Option<Micros>,
    /// It has not understood EDNS (RFC 6891), and is not tried with it until then.
    plain_until: Micros,
    /// Our part of the cookie, and what it gave us.
    pub(super) client_cookie: [u8; 8],
    server_cookie: ArrayVec<u8, SERVER_COOKIE_LEN_MAX>,
    /// Queries that it has not answered and that are not overdue.
    in_flight: u32,
}

impl Server {
    pub(super) fn new(client_cookie: [u8; 8]) -> Self {
        Self {
            measured: None,
            goodness: 1.0,
            circuit: Circuit::Closed,
            opened_for: 0,
            failures: 0,
            alive: None,
            recovered: None,
            plain_until: 0,
            client_cookie,
            server_cookie: ArrayVec::new(),
            in_flight: 0,
        }
    }

    /// A query leaves for it.
    pub(super) fn asked(&mut self, now: Micros, is_probe: bool) {
        self.in_flight += 1;
        self.alive.get_or_insert(now);
        if is_probe {
            self.circuit = Circuit::HalfOpen;
        }
    }

    /// That query is answered, overdue, or forgotten.
    pub(super) fn settled(&mut self) {
        self.in_flight -= 1;
    }

    /// It has answered, after `took` where that was measured, and maybe late. An answer that says nothing of
    /// the name is not good, but shows that the server is there: else anybody could make it look dead, by
    /// asking for names that nobody can resolve.
    pub(super) fn answered(&mut self, took: Option<Micros>, is_good: bool, is_late: bool, now: Micros) {
        if is_late || self.circuit != Circuit::Closed {
            self.recovered = Some(now);
        }
        if let Some(took) = took {
            let took = took as f64;
            self.measured = Some(match self.measured {
                // RFC 6298, section 2: alpha is 1/8, beta 1/4.
                Some((srtt, var)) => (srtt + (took - srtt) / 8.0, var + ((srtt - took).abs() - var) / 4.0),
                None => (took, took / 2.0),
            });
        }
        self.weigh(is_good);
        self.failures = 0;
        self.alive = Some(self.alive.unwrap_or(now).max(now));
        self.circuit = Circuit::Closed;
        self.opened_for = 0;
    }

    /// It has not answered in time, or what it sent was not a message.
    pub(super) fn failed(&mut self, now: Micros, is_probe: bool) {
        self.failed_for(now, is_probe, micros(CIRCUIT_OPEN_MAX));
    }

    /// Nobody is there. On this host that costs nobody anything, and is so while a process is started again:
    /// then it is tried at short intervals.
    pub(super) fn refused(&mut self, now: Micros, is_probe: bool, is_here: bool) {
        let most = if is_here { CIRCUIT_OPEN_MIN } else { CIRCUIT_OPEN_MAX };
        self.failed_for(now, is_probe, micros(most));
    }

    /// It has failed; its circuit opens for so long at most.
    fn failed_for(&mut self, now: Micros, is_probe: bool, most: Micros) {
        self.weigh(false);
        self.failures = self.failures.saturating_add(1);
        let is_silent = now.saturating_sub(self.alive.unwrap_or(now)) >= micros(CIRCUIT_SILENCE);
        let is_dead = self.circuit == Circuit::Closed && self.failures >= CIRCUIT_FAILURES && is_silent;
        if is_dead || (is_probe && self.circuit == Circuit::HalfOpen) {
            self.opened_for = (2 * self.opened_for).clamp(micros(CIRCUIT_OPEN_MIN), most);
            self.circuit = Circuit::Open(now.saturating_add(self.opened_for));
        }
    }

    /// Its probe was forgotten before anybody knew more: the next query is one.
    pub(super) fn probe_given_up(&mut self, now: Micros) {
        if self.circuit == Circuit::HalfOpen {
            self.circuit = Circuit::Open(now);
        }
    }

    fn weigh(&mut self, is_good: bool) {
        self.goodness += (f64::from(u8::from(is_good)) - self.goodness) * GOODNESS_WEIGHT;
    }

    /// Whether it was seen to be back after this moment.
    pub(super) fn has_recovered_since(&self, at: Micros) -> bool {
        self.recovered.is_some_and(|recovered| recovered > at)
    }

    /// Whether it can be asked like any other.
    pub(super) fn is_ready(&self) -> bool {
        self.circuit == Circuit::Closed && self.in_flight < IN_FLIGHT_PER_SERVER_MAX as u32
    }

    /// Whether it has mostly given answers that say nothing of the name, or none: others come before it.
    pub(super) fn is_poor(&self) -> bool {
        self.goodness < GOODNESS_MIN
    }

    /// Whether its circuit is open, and one query may find out whether it is back.
    pub(super) fn is_probe_due(&self, now: Micros) -> bool {
        matches!(self.circuit, Circuit::Open(until) if now >= until)
    }

    /// What a query that goes there has to expect, in microseconds; the least is the best. A server that is
    /// not known yet is asked once, and others wait for what comes of it.
    #[expect(clippy::cast_sign_loss, reason = "times and shares are not negative")]
    pub(super) fn score(&self) -> u64 {
        let expected = match self.measured {
            Some((srtt, var)) => srtt + 4.0 * var,
            None if self.in_flight == 0 => 0.0,
            None => PENALTY,
        };
        (expected + PENALTY * (1.0 - self.goodness)) as u64
    }

    /// The time that one try may take.
    #[expect(clippy::cast_sign_loss, reason = "times are not negative")]
    pub(super) fn timeout(&self) -> Micros {
        let (least, most) = (micros(TRY_TIMEOUT_MIN), micros(TRY_TIMEOUT_MAX));
        self.measured.map_or(most, |(srtt, var)| ((srtt + 4.0 * var) as u64).clamp(least, most))
    }

    /// The smoothed time to an answer, if there was one.
    #[expect(clippy::cast_sign_loss, reason = "times are not negative")]
    pub(super) fn srtt(&self) -> Option<Micros> {
        self.measured.map(|(srtt, _)| srtt as u64)
    }

    pub(super) const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(super) const fn state(&self) -> State {
        match self.circuit {
            Circuit::Closed => State::Closed,
            Circuit::HalfOpen => State::HalfOpen,
            Circuit::Open(_) => State::Open,
        }
    }

    /// Whether a query may have an OPT.
    pub(super) const fn takes_edns(&self, now: Micros) -> bool {
        now >= self.plain_until
    }

    /// It has answered with an OPT.
    pub(super) const fn edns_seen(&mut self) {
        self.plain_until = 0;
    }

    /// It has refused a query with an OPT and answered the same one without.
    pub(super) fn edns_refused(&mut self, now: Micros) {
        self.plain_until = now.saturating_add(micros(EDNS_RETRY_EVERY));
    }

    /// The server's part of the cookie; empty while there is none.
    pub(super) fn server_cookie(&self) -> &[u8] {
        &self.server_cookie
    }

    /// Keeps what it gave us; what cannot be one is not kept (RFC 7873, section 5.3).
    pub(super) fn keep_cookie(&mut self, cookie: &[u8]) {
        self.server_cookie.clear();
        if (8..=SERVER_COOKIE_LEN_MAX).contains(&cookie.len()) {
            self.server_cookie.try_extend_from_slice(cookie).expect("its length was looked at");
        }
    }
}

/// As the clock of the conductor counts.
pub(super) const fn micros(duration: std::time::Duration) -> Micros {
    duration.as_micros() as u64
}
