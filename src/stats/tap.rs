//! Queries and replies copied out whole, one in so many, for the query log and for dnstap.
//!
//! Records of one size go round between the thread that answers and the one that reports, through two queues
//! in which neither waits. All there are, are made at the start, and only where somebody wants them. With
//! none at hand whoever reports is late, and the sample is lost and counted.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::SystemTime;

use rtrb::{Consumer, Producer, RingBuffer};

use super::account::Account;
use crate::limits::{QUERY_LEN_MAX, TAPPED_LEN_MAX, TAPPED_MAX};

/// One query in this many is copied, per thread; `None` for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapSettings {
    /// For the query log.
    pub query_log: Option<NonZeroU32>,
    /// For dnstap.
    pub dnstap: Option<NonZeroU32>,
}

/// A query, its reply, and where they went.
#[derive(Debug)]
pub struct Tapped {
    /// The query log wants it.
    pub for_query_log: bool,
    /// dnstap wants it.
    pub for_dnstap: bool,
    /// A value of [`TRANSPORT`](super::labels::TRANSPORT).
    pub transport: usize,
    /// Who asked.
    pub peer: SocketAddr,
    /// The address that was asked.
    pub local: SocketAddr,
    /// When.
    pub asked: SystemTime,
    /// When the reply was made.
    pub answered: SystemTime,
    /// Bytes of the query.
    pub query_len: usize,
    /// Bytes of the reply; `None` where there was none.
    pub reply_len: Option<usize>,
    /// The query, and after it the reply, as far as there is room for the whole of each.
    bytes: [u8; TAPPED_LEN_MAX],
}

impl Tapped {
    fn empty() -> Self {
        let nowhere = SocketAddr::from(([0; 4], 0));
        Self {
            for_query_log: false,
            for_dnstap: false,
            transport: 0,
            peer: nowhere,
            local: nowhere,
            asked: SystemTime::UNIX_EPOCH,
            answered: SystemTime::UNIX_EPOCH,
            query_len: 0,
            reply_len: None,
            bytes: [0; TAPPED_LEN_MAX],
        }
    }

    /// Bytes of the query that were copied: all of them or none.
    fn query_copied(&self) -> usize {
        if self.query_len <= QUERY_LEN_MAX { self.query_len } else { 0 }
    }

    /// The query, unless it was too long to be copied.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        Some(&self.bytes[..self.query_copied()]).filter(|query| !query.is_empty())
    }

    /// The reply, if there was one that was not too long to be copied.
    #[must_use]
    pub fn reply(&self) -> Option<&[u8]> {
        self.bytes[self.query_copied()..].get(..self.reply_len?)
    }

    fn ask(&mut self, slot: &[u8], len: usize, peer: SocketAddr, local: SocketAddr) {
        (self.peer, self.local, self.query_len) = (peer, local, len);
        self.asked = SystemTime::now();
        let copied = self.query_copied();
        self.bytes[..copied].copy_from_slice(&slot[..copied]);
    }

    fn answer(&mut self, reply: Option<&[u8]>) {
        self.answered = SystemTime::now();
        self.reply_len = reply.map(<[u8]>::len);
        let rest = self.query_copied()..;
        if let Some(reply) = reply
            && let Some(room) = self.bytes[rest].get_mut(..reply.len())
        {
            room.copy_from_slice(reply);
        }
    }
}

/// The end of the thread that answers.
#[derive(Debug)]
pub(super) struct Tap {
    query_log: Countdown,
    dnstap: Countdown,
    /// The record that the next query which somebody wants is copied to.
    next: Option<Box<Tapped>>,
    empty: Consumer<Box<Tapped>>,
    filled: Producer<Box<Tapped>>,
}

/// The end of whoever reports.
#[derive(Debug)]
pub struct Taken {
    filled: Consumer<Box<Tapped>>,
    empty: Producer<Box<Tapped>>,
}

/// What became of a query at a tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// Nobody wanted it.
    Unseen,
    /// It was handed over.
    Taken,
    /// No record was at hand.
    Lost,
}

/// The two ends, where somebody wants something.
pub(super) fn tap(settings: TapSettings) -> Option<(Tap, Taken)> {
    if settings == TapSettings::default() {
        return None;
    }
    // All records fit either queue, so that there is always room for one.
    let (mut empties, empty) = RingBuffer::new(TAPPED_MAX);
    let (filled, to_read) = RingBuffer::new(TAPPED_MAX);
    while empties.push(Box::new(Tapped::empty())).is_ok() {}
    let tap = Tap {
        query_log: Countdown::new(settings.query_log),
        dnstap: Countdown::new(settings.dnstap),
        next: None,
        empty,
        filled,
    };
    Some((tap, Taken { filled: to_read, empty: empties }))
}

impl Tap {
    /// Copies what may be the next query that somebody wants: the packet in the first `len` bytes of `slot`,
    /// before it is answered there.
    pub(super) fn see(&mut self, slot: &[u8], len: usize, peer: SocketAddr, local: SocketAddr) {
        if !self.query_log.is_due() && !self.dnstap.is_due() {
            return;
        }
        if self.next.is_none() {
            self.next = self.empty.pop().ok();
        }
        if let Some(record) = &mut self.next {
            record.ask(slot, len, peer, local);
        }
    }

    /// Hands over the query that was seen last, if it is its turn.
    pub(super) fn pass(&mut self, account: &Account, reply: Option<&[u8]>) -> Passed {
        let (for_query_log, for_dnstap) = (self.query_log.pass(), self.dnstap.pass());
        if !for_query_log && !for_dnstap {
            return Passed::Unseen;
        }
        let Some(mut record) = self.next.take() else { return Passed::Lost };
        record.answer(reply);
        (record.for_query_log, record.for_dnstap) = (for_query_log, for_dnstap);
        record.transport = account.transport;
        let pushed = self.filled.push(record);
        debug_assert!(pushed.is_ok(), "there is room for all records");
        Passed::Taken
    }
}

impl Taken {
    /// Gives each record that was handed over to `read`, and sends it back. No more than there are.
    pub fn take(&mut self, mut read: impl FnMut(&Tapped)) {
        for _ in 0..TAPPED_MAX {
            let Ok(record) = self.filled.pop() else { return };
            read(&record);
            let pushed = self.empty.push(record);
            debug_assert!(pushed.is_ok(), "there is room for all records");
        }
    }
}

/// Queries until the next that somebody wants.
#[derive(Debug)]
struct Countdown {
    /// 0 for none.
    every: u32,
    left: u32,
}

impl Countdown {
    fn new(every: Option<NonZeroU32>) -> Self {
        let every = every.map_or(0, NonZeroU32::get);
        Self { every, left: every }
    }

    fn is_due(&self) -> bool {
        self.left == 1
    }

    /// Counts a query; whether it is one that is wanted.
    fn pass(&mut self) -> bool {
        let is_due = self.is_due();
        self.left = if is_due { self.every } else { self.left.saturating_sub(1) };
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(query_log: u32, dnstap: u32) -> TapSettings {
        TapSettings { query_log: NonZeroU32::new(query_log), dnstap: NonZeroU32::new(dnstap) }
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// One query of a few bytes.
    fn ask(tap: &mut Tap, number: u8) -> Passed {
        tap.see(&[number; 40], 20, at(1), at(2));
        tap.pass(&Account::default(), Some(&[number; 30]))
    }

    #[test]
    fn nothing_is_made_for_nobody() {
        assert!(tap(TapSettings::default()).is_none());
    }

    #[test]
    fn each_gets_one_in_so_many() {
        let (mut tap, mut taken) = tap(settings(2, 3)).unwrap();
        let passed: Vec<Passed> = (1..=6).map(|number| ask(&mut tap, number)).collect();
        let (unseen, is_taken) = (Passed::Unseen, Passed::Taken);
        assert_eq!(passed, [unseen, is_taken, is_taken, is_taken, unseen, is_taken]);
        let mut seen = Vec::new();
        taken.take(|record| {
            let number = record.query().unwrap()[0];
            assert_eq!((record.query(), record.reply()), (Some(&[number; 20][..]), Some(&[number; 30][..])));
            assert_eq!((record.query_len, record.reply_len), (20, Some(30)));
            assert_eq!((record.peer, record.local), (at(1), at(2)));
            assert!(record.asked <= record.answered);
            seen.push((number, record.for_query_log, record.for_dnstap));
        });
        assert_eq!(seen, [(2, true, false), (3, false, true), (4, true, false), (6, true, true)]);
    }

    #[test]
    fn what_was_no_query_is_not_counted() {
        let (mut tap, mut taken) = tap(settings(1, 0)).unwrap();
        tap.see(&[9; 40], 20, at(9), at(2));
        assert_eq!(ask(&mut tap, 1), Passed::Taken);
        let mut peers = Vec::new();
        taken.take(|record| peers.push(record.peer));
        assert_eq!(peers, [at(1)]);
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        let (mut tap, mut taken) = tap(settings(0, 1)).unwrap();
        let account = Account::default();
        let bytes = [1; 2 * TAPPED_LEN_MAX];
        for (query, reply) in [
            (QUERY_LEN_MAX, TAPPED_LEN_MAX - QUERY_LEN_MAX),
            (QUERY_LEN_MAX, TAPPED_LEN_MAX - QUERY_LEN_MAX + 1),
            (QUERY_LEN_MAX + 1, TAPPED_LEN_MAX),
            (QUERY_LEN_MAX + 1, 2 * TAPPED_LEN_MAX),
        ] {
            tap.see(&bytes, query, at(1), at(2));
            assert_eq!(tap.pass(&account, Some(&bytes[..reply])), Passed::Taken);
        }
        tap.see(&bytes, 12, at(1), at(2));
        assert_eq!(tap.pass(&account, None), Passed::Taken);
        let mut lens = Vec::new();
        taken.take(|record| {
            lens.push((record.query().map(<[u8]>::len), record.reply().map(<[u8]>::len)));
        });
        let (query, reply) = (QUERY_LEN_MAX, TAPPED_LEN_MAX - QUERY_LEN_MAX);
        assert_eq!(
            lens,
            [
                (Some(query), Some(reply)),
                (Some(query), None),
                (None, Some(TAPPED_LEN_MAX)),
                (None, None),
                (Some(12), None)
            ]
        );
    }

    #[test]
    fn records_that_nobody_sends_back_are_missed_and_counted() {
        let (mut tap, mut taken) = tap(settings(1, 0)).unwrap();
        for _ in 0..TAPPED_MAX {
            assert_eq!(ask(&mut tap, 1), Passed::Taken);
        }
        assert_eq!(ask(&mut tap, 2), Passed::Lost);
        assert_eq!(ask(&mut tap, 3), Passed::Lost);
        let mut count = 0;
        taken.take(|_| count += 1);
        assert_eq!(count, TAPPED_MAX);
        assert_eq!(ask(&mut tap, 4), Passed::Taken);
    }
}
