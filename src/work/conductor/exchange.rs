//! One question's life: its waiters, and the servers that were asked.

use arrayvec::ArrayVec;

use super::ask::Waiter;
use super::network::{Port, TryKey};
use super::query::Asked;
use super::wheel::Micros;
use crate::dns::consts::NAME_LEN_MAX;
use crate::dns::name::eq_ignore_case;
use crate::limits::{CACHE_STALE_RETRY, CIRCUIT_OPEN_MAX, LATE_WAIT, SAME_SERVER_AFTER, TRIES_IN_ALL_MAX};

use super::server::micros;

/// No time at all.
pub(super) const NEVER: Micros = Micros::MAX;

/// How a try went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    Udp { port: Port, id: u16 },
    Stream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Its answer is waited for.
    Waiting,
    /// Its time is up, but its answer would still be taken.
    Overdue,
    /// Nothing more is expected.
    Done,
}

/// One query to one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Try {
    /// The server's place in its upstream, and its number.
    pub(super) place: u8,
    pub(super) server: u32,
    pub(super) via: Via,
    pub(super) progress: Progress,
    pub(super) sent: Micros,
    pub(super) due: Micros,
    pub(super) has_edns: bool,
    /// Our part of the cookie was sent; the server's part was.
    pub(super) has_cookie: bool,
    pub(super) has_server_cookie: bool,
    pub(super) is_probe: bool,
    /// The time to its answer is the server's, and not that of opening a connection.
    pub(super) is_timed: bool,
    /// The server did not understand the same with EDNS.
    pub(super) is_plain_again: bool,
}

/// Why tries failed, where none brought a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Failures {
    pub(super) timed_out: bool,
    pub(super) malformed: bool,
}

/// A question.
#[derive(Debug)]
pub(super) struct Exchange {
    /// As it is sent.
    pub(super) qname: ArrayVec<u8, NAME_LEN_MAX>,
    pub(super) asked: Asked,
    pub(super) target: u16,
    /// Of the question, for those who ask the same.
    pub(super) hash: u64,
    /// Who waits, each until when.
    pub(super) waiters: Vec<(Waiter, Micros)>,
    pub(super) tries: ArrayVec<Try, TRIES_IN_ALL_MAX>,
    /// Servers that were asked, a bit for each place; and the last one.
    pub(super) tried: u64,
    pub(super) last: u8,
    pub(super) tries_left: u8,
    pub(super) bad_cookies: u8,
    pub(super) failures: Failures,
    /// The last response that says nothing of the name, and whose it is.
    pub(super) error: Vec<u8>,
    pub(super) error_place: u8,
    pub(super) error_rtt: Micros,
    /// No server is asked twice, and an answer is hoped for as long as anybody waits.
    pub(super) is_once: bool,
    /// Others may join.
    pub(super) is_shared: bool,
    /// Nobody waits for it now: what still comes only measures.
    pub(super) is_over: bool,
    /// From the beginning nobody has waited.
    pub(super) is_copy: bool,
    pub(super) in_use: bool,
    pub(super) generation: u32,
}

impl Exchange {
    pub(super) fn new() -> Self {
        let asked = Asked { qtype: 0, qclass: 0, flags: 0, dnssec_ok: false, subnet: None };
        Self {
            qname: ArrayVec::new(),
            asked,
            target: 0,
            hash: 0,
            waiters: Vec::new(),
            tries: ArrayVec::new(),
            tried: 0,
            last: 0,
            tries_left: 0,
            bad_cookies: 0,
            failures: Failures::default(),
            error: Vec::new(),
            error_place: 0,
            error_rtt: 0,
            is_once: false,
            is_shared: false,
            is_over: false,
            is_copy: false,
            in_use: false,
            generation: 0,
        }
    }

    /// Begins another life, with the buffers of the last one.
    pub(super) fn begin(&mut self, target: u16, qname: &[u8], asked: &Asked, hash: u64, tries: u8) {
        debug_assert!(!self.in_use && self.tries.is_empty() && self.waiters.is_empty());
        self.qname.clear();
        // Names are checked where they come in; what is too long is cut, and nobody answers it.
        let _ = self.qname.try_extend_from_slice(&qname[..qname.len().min(NAME_LEN_MAX)]);
        self.asked = *asked;
        (self.target, self.hash, self.tries_left) = (target, hash, tries);
        (self.tried, self.last, self.bad_cookies) = (0, 0, 0);
        self.failures = Failures::default();
        self.error.clear();
        (self.is_once, self.is_shared, self.is_over) = (false, false, false);
        (self.is_copy, self.in_use) = (false, true);
    }

    /// Whether it asks the same.
    pub(super) fn is(&self, target: u16, lower: &[u8], asked: &Asked) -> bool {
        let alike = |asked: &Asked| Asked { flags: asked.flags & !crate::dns::consts::flag::AD, ..*asked };
        self.target == target && alike(&self.asked) == alike(asked) && eq_ignore_case(&self.qname, lower)
    }

    pub(super) fn key(&self, exchange: u32, nth: usize) -> TryKey {
        TryKey { exchange, generation: self.generation, nth: nth as u8 }
    }

    /// Tries whose answers would be taken.
    pub(super) fn open_tries(&self) -> impl Iterator<Item = &Try> {
        self.tries.iter().filter(|one| one.progress != Progress::Done)
    }

    /// The last moment at which an answer is hoped for when nobody else can be asked: each server gets all
    /// the time that one may take, and that after which it may be asked again.
    pub(super) fn hope_until(&self, timeout: Micros) -> Micros {
        let least = match (self.is_once, self.tries_left) {
            (true, _) => NEVER,
            (false, 0) => timeout,
            (false, _) => timeout.max(micros(SAME_SERVER_AFTER)),
        };
        self.open_tries().map(|one| one.due.max(one.sent.saturating_add(least))).max().unwrap_or(0)
    }

    /// Whether it is too soon to ask this server again, as its answer may still come.
    pub(super) fn is_too_soon(&self, place: usize, now: Micros) -> bool {
        let least = if self.is_once { NEVER } else { micros(SAME_SERVER_AFTER) };
        self.tries.iter().any(|one| {
            let is_open = self.is_once || one.progress != Progress::Done;
            usize::from(one.place) == place && is_open && one.sent.saturating_add(least) > now
        })
    }

    /// Until when late answers are waited for. A server that was stopped has what it was asked in its buffer:
    /// where it is not asked again before long, that answer is the first that shows it is back.
    pub(super) fn late_until(&self) -> Micros {
        let wait = |one: &Try| match one.via {
            Via::Udp { .. } if one.is_probe => CIRCUIT_OPEN_MAX,
            Via::Udp { .. } if self.is_once => CACHE_STALE_RETRY,
            _ => LATE_WAIT,
        };
        let late = |one: &Try| one.due.max(one.sent.saturating_add(micros(wait(one))));
        self.open_tries().map(late).max().unwrap_or(0)
    }

    /// When something is to be done; `timeout` is what one try may take at most.
    pub(super) fn next_event(&self, timeout: Micros) -> Micros {
        let due = self.tries.iter().filter(|one| one.progress == Progress::Waiting).map(|one| one.due).min();
        let due = due.unwrap_or(NEVER);
        if self.is_over {
            return due.min(self.late_until());
        }
        let deadline = self.waiters.iter().map(|&(_, deadline)| deadline).min().unwrap_or(NEVER);
        // While a try is waiting, hope is longer than it.
        let hope = if due == NEVER { self.hope_until(timeout) } else { NEVER };
        due.min(deadline).min(hope)
    }
}
