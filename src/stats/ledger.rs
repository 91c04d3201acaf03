//! What one thread counts with, and what of it the one that reports can read: counters, sketches of the
//! sources, a sample of them, service times, and where somebody wants them copies of queries. Neither end
//! ever waits for the other.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use super::account::Account;
use super::counters::{Counters, Place, SAMPLES, SAMPLES_DROPPED, TAPPED, TAPPED_DROPPED, Tally};
use super::qname::Qname;
use super::tap::{self, Passed, Taken, Tap, TapSettings};
use super::times::{self, Stopwatch, Times};
use super::uniques::Uniques;
use crate::limits::{NAMES_QUEUED_MAX, SAMPLES_QUEUED_MAX};

/// What all ledgers of a node have in common.
#[derive(Clone, Debug)]
pub struct LedgerSettings {
    /// The source of one query in this many is handed over, per thread.
    pub sample_every: NonZeroU32,
    /// The day (UTC) in days of Unix time, as whoever reports sees it.
    pub today: Arc<AtomicU64>,
    /// What is copied out.
    pub taps: TapSettings,
}

impl Default for LedgerSettings {
    fn default() -> Self {
        Self { sample_every: NonZeroU32::MIN, today: Arc::default(), taps: TapSettings::default() }
    }
}

/// What one thread counts with.
#[derive(Debug)]
pub struct Ledger {
    tally: Tally,
    counters: Arc<Counters>,
    uniques: Arc<Uniques>,
    today: Arc<AtomicU64>,
    sample_every: u32,
    /// Queries until the next sample.
    to_sample: u32,
    samples: Producer<IpAddr>,
    names: Producer<Qname>,
    tap: Option<Box<Tap>>,
    /// How long queries take.
    pub stopwatch: Stopwatch,
}

/// The other end of a [`Ledger`].
#[derive(Debug)]
pub struct Stream {
    /// The counters, as of the last fold.
    pub counters: Arc<Counters>,
    /// Who asked.
    pub uniques: Arc<Uniques>,
    /// Sources of queries, one in so many.
    pub samples: Consumer<IpAddr>,
    /// What was asked for, of the same queries.
    pub names: Consumer<Qname>,
    /// How long queries took.
    pub times: Times,
    /// Copies of queries, where somebody wants them.
    pub tapped: Option<Taken>,
}

/// A ledger and its other end.
#[must_use]
pub fn ledger(settings: &LedgerSettings) -> (Ledger, Stream) {
    let counters = Arc::new(Counters::default());
    let uniques = Arc::new(Uniques::new(settings.today.load(Ordering::Relaxed)));
    let (sampled, samples) = RingBuffer::new(SAMPLES_QUEUED_MAX);
    let (named, names) = RingBuffer::new(NAMES_QUEUED_MAX);
    let (stopwatch, times) = times::pair();
    let (tap, tapped) = tap::tap(settings.taps).map(|(tap, taken)| (Box::new(tap), taken)).unzip();
    let ledger = Ledger {
        tally: Tally::default(),
        counters: Arc::clone(&counters),
        uniques: Arc::clone(&uniques),
        today: Arc::clone(&settings.today),
        sample_every: settings.sample_every.get(),
        to_sample: settings.sample_every.get(),
        samples: sampled,
        names: named,
        tap,
        stopwatch,
    };
    (ledger, Stream { counters, uniques, samples, names, times, tapped })
}

/// Bytes of one, with its other end.
#[must_use]
pub fn memory_len() -> usize {
    let histograms = 2 * times::histogram::<u32>().distinct_values() * size_of::<u32>();
    let samples = SAMPLES_QUEUED_MAX * size_of::<IpAddr>() + NAMES_QUEUED_MAX * size_of::<Qname>();
    Counters::memory_len() + Tally::memory_len() + size_of::<Uniques>() + samples + histograms
}

impl Ledger {
    /// Looks at the packet in the first `len` bytes of `slot` before it is answered there.
    #[inline]
    pub fn see(&mut self, slot: &[u8], len: usize, peer: SocketAddr, local: SocketAddr) {
        if let Some(tap) = &mut self.tap {
            tap.see(slot, len, peer, local);
        }
    }

    /// Counts a packet from `source` and its reply.
    #[inline]
    pub fn post(&mut self, account: &Account, source: IpAddr, reply: Option<&[u8]>) {
        if account.post(reply, &mut self.tally) {
            self.uniques.see(source);
            self.to_sample -= 1;
            if self.to_sample == 0 {
                self.sample(source, reply);
            }
            if self.tap.is_some() {
                self.tap(account, reply);
            }
        }
    }

    /// Hands over what was seen, if it is its turn.
    #[inline(never)]
    fn tap(&mut self, account: &Account, reply: Option<&[u8]>) {
        let Some(tap) = &mut self.tap else { return };
        match tap.pass(account, reply) {
            Passed::Unseen => {}
            Passed::Taken => self.tally.count(TAPPED.at([])),
            Passed::Lost => self.tally.count(TAPPED_DROPPED.at([])),
        }
    }

    /// Hands over a source, and what it asked for. Where the queue is full, whoever reports is late, and the
    /// sample is lost.
    #[cold]
    fn sample(&mut self, source: IpAddr, reply: Option<&[u8]>) {
        self.to_sample = self.sample_every;
        self.tally.count(SAMPLES.at([]));
        if self.samples.push(source).is_err() {
            self.tally.count(SAMPLES_DROPPED.at([]));
        }
        if !self.names.is_full()
            && let Some(name) = reply.and_then(Qname::of)
        {
            // There is room, and nobody else adds.
            let _ = self.names.push(name);
        }
    }

    /// Counts one.
    #[inline]
    pub fn count(&mut self, at: impl Place) {
        self.tally.count(at);
    }

    /// Counts several.
    #[inline]
    pub fn add(&mut self, at: impl Place, count: u32) {
        self.tally.add(at, count);
    }

    /// Makes visible what was counted, and begins a new day when there is one. Once per batch.
    #[inline]
    pub fn fold(&mut self) {
        self.counters.fold(&mut self.tally);
        self.uniques.turn_to(self.today.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::counters::{PROBES, QUERIES, Totals};
    use crate::stats::labels::DROPPED_SHORT;
    use crate::stats::uniques::Sketch;

    fn settings(every: u32) -> LedgerSettings {
        LedgerSettings {
            sample_every: NonZeroU32::new(every).unwrap(),
            today: Arc::new(7.into()),
            taps: TapSettings::default(),
        }
    }

    fn totals(stream: &Stream) -> Totals {
        let mut totals = Totals::default();
        stream.counters.read(&mut totals);
        totals
    }

    fn source(number: usize) -> IpAddr {
        IpAddr::from([192, 0, (number >> 8) as u8, number as u8])
    }

    #[test]
    fn every_so_many_queries_a_source_is_handed_over() {
        let (mut ledger, mut stream) = ledger(&settings(3));
        let dropped = Account { dropped: Some(DROPPED_SHORT), ..Account::default() };
        for number in 1..=10 {
            ledger.post(&dropped, source(99), None);
            ledger.post(&Account::default(), source(number), Some(&[0; 12]));
        }
        assert_eq!(totals(&stream).sum(QUERIES), 0, "nothing is visible before the fold");
        ledger.fold();
        assert_eq!(totals(&stream).sum(QUERIES), 10);
        let sampled: Vec<IpAddr> = std::iter::from_fn(|| stream.samples.pop().ok()).collect();
        assert_eq!(sampled, [3, 6, 9].map(source));
        let mut sketches: [Sketch; 3] = Default::default();
        stream.uniques.merge_into(7, &mut sketches);
        assert_eq!(sketches[0].estimate(), 10, "what is dropped is no query");
    }

    #[test]
    fn a_probe_is_counted_as_that_alone() {
        let taps = TapSettings { query_log: None, dnstap: Some(NonZeroU32::MIN) };
        let (mut ledger, mut stream) = ledger(&LedgerSettings { taps, ..settings(1) });
        let at = SocketAddr::from(([192, 175, 48, 1], 53));
        for transport in [0, 1, 1] {
            ledger.see(&[0; 12], 12, at, at);
            let probe = Account { is_probe: true, transport, family: 1, ..Account::default() };
            ledger.post(&probe, at.ip(), Some(&[0; 12]));
        }
        ledger.fold();
        let totals = totals(&stream);
        assert_eq!(PROBES.of(&totals), [0, 1, 0, 2], "one over UDP, two over TCP, all over IPv6");
        assert_eq!(totals.counts().iter().sum::<u64>(), 3, "nothing else has counted");
        let mut sketches: [Sketch; 3] = Default::default();
        stream.uniques.merge_into(7, &mut sketches);
        assert_eq!((sketches[0].estimate(), stream.samples.pop().ok()), (0, None));
        stream.tapped.as_mut().unwrap().take(|_| panic!("nobody is told of a probe"));
    }

    #[test]
    fn samples_that_nobody_takes_are_lost_and_counted() {
        let (mut ledger, mut stream) = ledger(&settings(1));
        let over = 5;
        for number in 0..SAMPLES_QUEUED_MAX + over {
            ledger.post(&Account::default(), source(number), Some(&[0; 12]));
        }
        ledger.fold();
        let totals = totals(&stream);
        assert_eq!(totals.sum(SAMPLES), (SAMPLES_QUEUED_MAX + over) as u64);
        assert_eq!(totals.sum(SAMPLES_DROPPED), over as u64);
        assert_eq!(std::iter::from_fn(|| stream.samples.pop().ok()).count(), SAMPLES_QUEUED_MAX);
    }

    #[test]
    fn queries_are_copied_out_and_counted() {
        let taps = TapSettings { query_log: None, dnstap: NonZeroU32::new(2) };
        let (mut ledger, mut stream) = ledger(&LedgerSettings { taps, ..settings(64) });
        let at = SocketAddr::from(([127, 0, 0, 1], 53));
        let mut ask = |account: &Account, number: u8| {
            ledger.see(&[number; 12], 12, at, at);
            ledger.post(account, at.ip(), Some(&[number; 12]));
            ledger.fold();
        };
        for number in 0..2 * crate::limits::TAPPED_MAX + 4 {
            ask(&Account::default(), number as u8);
            ask(&Account { dropped: Some(DROPPED_SHORT), ..Account::default() }, 99);
        }
        let totals = totals(&stream);
        assert_eq!(totals.sum(TAPPED), crate::limits::TAPPED_MAX as u64);
        assert_eq!(totals.sum(TAPPED_DROPPED), 2);
        let mut first = None;
        stream.tapped.as_mut().unwrap().take(|record| {
            first.get_or_insert_with(|| record.query().unwrap().to_vec());
        });
        assert_eq!(first, Some(vec![1; 12]));
    }

    #[test]
    fn a_day_begins_with_a_fold() {
        let settings = settings(64);
        let (mut ledger, stream) = ledger(&settings);
        settings.today.store(8, Ordering::Relaxed);
        assert!(stream.uniques.has(7) && !stream.uniques.has(8));
        ledger.fold();
        assert!(stream.uniques.has(7) && stream.uniques.has(8));
    }
}
