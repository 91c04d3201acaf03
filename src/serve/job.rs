//! A query that is handed over to a worker, and the two ends of the hand-over.
//!
//! All jobs are made at the start. They circulate between the thread that answers and a worker, through two
//! queues in which neither waits. With none at hand, or when a rule has its share of them, the query gets the
//! rule's fallback in its slot.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Instant;

use bytes::BytesMut;
use rtrb::{Consumer, Producer, PushError, RingBuffer};

use crate::dns::arrival::{Arrival, Pace, Transport};
use crate::dns::consts::HEADER_LEN;
use crate::dns::name::{self, Walk};
use crate::limits::{JOBS, JOBS_SHARE, QUERY_LEN_MAX, TCP_PENDING_MAX, TCP_REPLY_LEN_MAX};
use crate::policy::RuleId;
use crate::policy::facts::Tags;
use crate::policy::upstream::UpstreamId;
use crate::stats::account::Account;
use crate::stats::labels::{RULE, WORK_REFUSED_POOL, WORK_REFUSED_SHARE};
use crate::sys::wake::Waker;

/// The rule of a query that no route takes, but which rules of later phases may concern: unless one of them
/// takes it, the node's own zones answer.
pub const UNROUTED: RuleId = RuleId::MAX;

/// What the router chose for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The rule that hands it over: that which ends the phase, whatever its action, as a rule before it may
    /// want a copy of the query; where none ends it the rule that wants the copy, or [`UNROUTED`].
    pub rule: RuleId,
    /// The snapshot that the rule is of.
    pub serial: u32,
}

/// A connection that a query came over: its key in the table, and which of those that have had this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The key.
    pub key: usize,
    /// How many connections had the key before.
    pub generation: u32,
}

/// A query that is handed over.
#[derive(Debug)]
pub struct Job {
    /// What becomes of it.
    pub way: Way,
    /// How it came in.
    pub arrival: Arrival,
    /// Which of the sockets of its shard.
    pub socket: usize,
    /// The connection, if it came over one.
    pub connection: Option<Connection>,
    /// What is known of it, which rules have matched among that. Whoever makes the reply posts it.
    pub account: Account,
    /// What rules have tagged it with.
    pub tags: Tags,
    /// A rule, and the upstream that it sends a copy to.
    pub divert: Option<(RuleId, UpstreamId)>,
    /// A rule wants it traced.
    pub is_traced: bool,
    /// When it was taken in.
    pub asked: Instant,
    /// Bytes of the query.
    pub len: usize,
    /// The query.
    pub query: BytesMut,
    /// Over TCP, the reply; empty for none, and then the connection is closed.
    pub reply: Vec<u8>,
    /// How the rule that hands it over is counted: a value of the label of rules.
    label: usize,
}

impl Job {
    /// With room for the longest query in `query`.
    fn empty(query: BytesMut) -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let (transport, pace) = (Transport::Udp, Pace::Within);
        Self {
            way: Way { rule: UNROUTED, serial: 0 },
            arrival: Arrival { transport, peer: nowhere, local: nowhere, listener: 0, unix_time: 0, pace },
            socket: 0,
            connection: None,
            account: Account::default(),
            tags: Tags::default(),
            divert: None,
            is_traced: false,
            asked: Instant::now(),
            len: 0,
            query,
            reply: Vec::new(),
            label: 0,
        }
    }

    /// The query.
    #[must_use]
    pub fn query(&self) -> &[u8] {
        &self.query[..self.len]
    }

    /// The same query, for a worker that continues with it when the job has gone back. It belongs to no desk.
    #[must_use]
    pub fn twin(&self) -> Box<Self> {
        let mut twin = Box::new(Self::empty(BytesMut::from(self.query())));
        (twin.way, twin.arrival, twin.account) = (self.way, self.arrival, self.account);
        (twin.tags, twin.asked, twin.len) = (self.tags, self.asked, self.len);
        twin
    }
}

/// What is handed over.
#[derive(Debug)]
pub struct Taken<'a> {
    /// How it came in.
    pub arrival: &'a Arrival,
    /// Which of the sockets of its shard.
    pub socket: usize,
    /// The connection, if it came over one.
    pub connection: Option<Connection>,
    /// What is known of it.
    pub account: &'a Account,
    /// How the rule that hands it over is counted: a value of the label of rules.
    pub label: usize,
    /// How many jobs that rule may have, if they are fewer than any may.
    pub share: u32,
    /// When it was taken in.
    pub asked: Instant,
    /// The query, which has been parsed.
    pub packet: &'a [u8],
}

/// How much can be handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSettings {
    /// Threads that take jobs.
    pub workers: usize,
    /// Jobs of a desk.
    pub jobs: usize,
    /// Of those, what one rule may have.
    pub share: usize,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self { workers: 1, jobs: JOBS, share: JOBS_SHARE }
    }
}

/// Where one thread hands over.
#[derive(Debug)]
pub struct Desk {
    /// The jobs at hand.
    #[expect(clippy::vec_box, reason = "jobs are large, and move between queues as pointers")]
    free: Vec<Box<Job>>,
    /// Of each rule the jobs that are out.
    taken: Box<[u32; RULE.len]>,
    share: u32,
    /// One for each worker.
    sides: Vec<Side>,
}

/// A desk's ends of the queues to one worker and back.
#[derive(Debug)]
struct Side {
    given: Producer<Box<Job>>,
    back: Consumer<Box<Job>>,
    waker: Waker,
    /// It was given something in this turn.
    is_due: bool,
}

/// Wakes the thread of TCP: it was given jobs back.
#[derive(Clone, Debug)]
pub struct TcpReturn(Waker);

impl TcpReturn {
    /// What wakes it, whatever it does.
    ///
    /// # Errors
    /// No descriptor, or no memory.
    pub fn new() -> io::Result<Self> {
        let waker = Waker::new()?;
        // It never says that it is awake.
        let _ = waker.rest(|| true);
        Ok(Self(waker))
    }

    /// Wakes it. Once for all that was given back in a turn.
    pub fn ring(&self) {
        self.0.ring();
    }
}

impl AsRawFd for TcpReturn {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Where one worker takes the jobs of one desk.
#[derive(Debug)]
pub struct Inbox {
    given: Consumer<Box<Job>>,
    back: Producer<Box<Job>>,
}

/// A desk with all its jobs, and an inbox for each worker; `wakers` are the workers'.
#[must_use]
pub fn desk(settings: &JobSettings, wakers: &[Waker]) -> (Desk, Vec<Inbox>) {
    // All jobs fit any queue, so that there is always room for one.
    let side = |waker: &Waker| {
        let (given, to_take) = RingBuffer::new(settings.jobs);
        let (back, returned) = RingBuffer::new(settings.jobs);
        let waker = waker.clone();
        (Side { given, back: returned, waker, is_due: false }, Inbox { given: to_take, back })
    };
    let (sides, inboxes) = wakers.iter().map(side).unzip();
    let mut queries = BytesMut::zeroed(settings.jobs * QUERY_LEN_MAX);
    let desk = Desk {
        free: (0..settings.jobs).map(|_| Box::new(Job::empty(queries.split_to(QUERY_LEN_MAX)))).collect(),
        taken: Box::new([0; RULE.len]),
        share: u32::try_from(settings.share).unwrap_or(u32::MAX),
        sides,
    };
    (desk, inboxes)
}

impl Desk {
    /// Hands a query over, or says why not: a value of the label of refusals.
    ///
    /// # Errors
    /// No job is at hand, or the rule has its share of them.
    pub fn hand_over(&mut self, way: Way, taken: &Taken<'_>) -> Result<(), usize> {
        let share = self.share.min(taken.share);
        let has_share = |desk: &Self| desk.taken.get(taken.label).is_some_and(|of_rule| *of_rule < share);
        if self.free.is_empty() || !has_share(self) {
            self.collect();
        }
        if !has_share(self) {
            return Err(WORK_REFUSED_SHARE);
        }
        let worker = if self.sides.len() > 1 { home(taken.packet) as usize % self.sides.len() } else { 0 };
        let side = self.sides.get_mut(worker).filter(|side| !side.given.is_abandoned());
        let side = side.ok_or(WORK_REFUSED_POOL)?;
        let mut job = self.free.pop().ok_or(WORK_REFUSED_POOL)?;
        job.fill(way, taken);
        // There is room for all jobs; and who frees one here would touch a count that others share.
        if let Err(PushError::Full(job)) = side.given.push(job) {
            debug_assert!(false, "there is room for all jobs");
            self.free.push(job);
            return Err(WORK_REFUSED_POOL);
        }
        side.is_due = true;
        self.taken[taken.label] += 1;
        Ok(())
    }

    /// Collects the jobs that are done, and wakes the workers that sleep and were given something. Once a
    /// turn.
    #[inline]
    pub fn end_turn(&mut self) {
        self.wake();
        self.collect();
    }

    /// Wakes the workers that sleep and were given something.
    #[inline]
    pub fn wake(&mut self) {
        for side in &mut self.sides {
            if mem::take(&mut side.is_due) {
                side.waker.ring();
            }
        }
    }

    /// The next job that is done, where its reply is needed: it is to be [`put`](Self::put) back.
    pub fn returned(&mut self) -> Option<Box<Job>> {
        self.sides.iter_mut().find_map(|side| side.back.pop().ok())
    }

    /// Frees a job that is done.
    pub fn put(&mut self, mut job: Box<Job>) {
        // The next one may have a reply of another length, or none.
        job.reply = Vec::new();
        if let Some(of_rule) = self.taken.get_mut(job.label) {
            *of_rule = of_rule.saturating_sub(1);
        }
        self.free.push(job);
    }

    fn collect(&mut self) {
        while let Some(job) = self.returned() {
            self.put(job);
        }
    }

    /// Bytes of one with its jobs and queues.
    #[must_use]
    pub const fn memory_len(settings: &JobSettings) -> usize {
        let queues = 2 * settings.workers * settings.jobs * size_of::<Box<Job>>();
        let free = settings.jobs * size_of::<Box<Job>>();
        size_of::<Self>()
            + size_of::<[u32; RULE.len]>()
            + queues
            + free
            + settings.jobs * (size_of::<Job>() + QUERY_LEN_MAX)
    }

    /// Bytes of the replies that go back to connections: what the jobs of one may hold, and what the buffer
    /// of one connection, which is twice there while it grows, may hold on top of what is counted for it.
    #[must_use]
    pub const fn replies_memory_len(settings: &JobSettings) -> usize {
        (settings.jobs + 4 * TCP_PENDING_MAX) * TCP_REPLY_LEN_MAX
    }
}

impl Job {
    fn fill(&mut self, way: Way, taken: &Taken<'_>) {
        let len = taken.packet.len().min(QUERY_LEN_MAX);
        let ruled = taken.account.ruled.unwrap_or_default();
        self.way = way;
        self.arrival = *taken.arrival;
        self.socket = taken.socket;
        self.connection = taken.connection;
        self.account = *taken.account;
        self.tags = Tags(ruled.tags);
        self.divert = ruled.divert;
        self.is_traced = ruled.is_traced;
        self.asked = taken.asked;
        self.len = len;
        self.query[..len].copy_from_slice(&taken.packet[..len]);
        self.label = taken.label;
    }
}

/// What a query's worker is chosen by, for equal questions to have the same: the hash of its name.
fn home(packet: &[u8]) -> u64 {
    // It has been parsed.
    Walk::new(packet, HEADER_LEN).map_or(0, |walk| name::hash(packet, HEADER_LEN, walk.len()) >> 32)
}

impl Inbox {
    /// The next job.
    pub fn take(&mut self) -> Option<Box<Job>> {
        self.given.pop().ok()
    }

    /// Gives back a job that is done.
    pub fn give_back(&mut self, job: Box<Job>) {
        let pushed = self.back.push(job);
        debug_assert!(pushed.is_ok(), "there is room for all jobs");
    }

    /// Whether there is no job.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// Whether there will never be a job again: the desk is gone.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.given.is_abandoned() && self.given.is_empty()
    }
}

#[cfg(test)]
mod tests;
