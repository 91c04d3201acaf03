//! What exchanges came to, kept until those who wait for it have had it: the conductor needs its buffers,
//! and a query that gets a response may ask something else.

use std::time::Duration;

use ipnet::IpNet;

use super::conductor::{Conductor, Finished, Waiter};
use super::query::Response;
use crate::dns::message::{Message, without_opt};
use crate::policy::facts::Outcome;

/// One exchange that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Who waited for it.
    pub(super) waiters: Vec<Waiter>,
    /// The response as it was received; empty without one.
    pub(super) message: Vec<u8>,
    /// The same without its OPT.
    pub(super) bare: Vec<u8>,
    /// Its response code.
    pub(super) rcode: Option<u16>,
    /// Which clients it is for (RFC 7871).
    pub(super) scope: Option<IpNet>,
    /// Where in the cache it was stored.
    pub(super) stored: Option<u32>,
    outcome: Outcome,
    rtt: Duration,
}

impl Ended {
    const fn new() -> Self {
        Self {
            waiters: Vec::new(),
            message: Vec::new(),
            bare: Vec::new(),
            rcode: None,
            scope: None,
            stored: None,
            outcome: Outcome::Bad,
            rtt: Duration::ZERO,
        }
    }

    fn fill(&mut self, finished: &Finished<'_>) {
        self.waiters.clear();
        self.waiters.extend_from_slice(finished.waiters);
        self.message.clear();
        self.message.extend_from_slice(finished.message);
        self.bare.clear();
        (self.rcode, self.scope, self.stored) = (None, None, None);
        (self.outcome, self.rtt) = (finished.outcome, finished.rtt);
        let read = Message::read(&self.message).ok();
        let is_sound = read.is_some_and(|read| {
            self.rcode = Some(read.rcode());
            self.scope = read.opt.as_ref().and_then(|opt| opt.subnet).map(|subnet| subnet.scope_net());
            without_opt(&self.message, &read, &mut self.bare).is_ok()
        });
        if !is_sound && self.outcome == Outcome::Ok {
            self.outcome = Outcome::Bad;
        }
    }

    /// The same, for one who keeps it for a while.
    pub(super) fn keep(&self) -> Self {
        let Self { message, bare, .. } = self;
        Self { waiters: Vec::new(), message: message.clone(), bare: bare.clone(), ..*self }
    }

    /// What a query is told of it.
    pub(super) fn response(&self) -> Response {
        let rtt = Some(self.rtt).filter(|_| !self.message.is_empty());
        Response { outcome: self.outcome, rcode: self.rcode, rtt }
    }
}

/// Those that have ended. They are used again and again.
#[derive(Debug, Default)]
pub(super) struct Responses {
    ended: Vec<Ended>,
    spare: Vec<Ended>,
}

impl Responses {
    /// Takes what has finished.
    pub(super) fn collect(&mut self, conductor: &mut Conductor) {
        let Self { ended, spare } = self;
        conductor.finished(&mut |finished| {
            let mut next = spare.pop().unwrap_or_else(Ended::new);
            next.fill(finished);
            ended.push(next);
        });
    }

    pub(super) fn pop(&mut self) -> Option<Ended> {
        self.ended.pop()
    }

    pub(super) fn put(&mut self, ended: Ended) {
        // A few of usual size are kept; a burst, or long answers over TCP, give their memory back.
        if self.spare.len() < Self::SPARE && ended.message.capacity() <= Self::SPARE_LEN {
            self.spare.push(ended);
        }
    }

    const SPARE: usize = 256;
    const SPARE_LEN: usize = 4096;
}
