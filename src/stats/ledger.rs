//! What one thread counts with, and what of it the one that reports can read: counters, sketches of the
//! sources, a sample of them, service times, and where somebody wants them copies of queries. Neither end
//! ever waits for the other.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use super::account::Account;
use super::counters::{Counters, Place, SAMPLES, SAMPLES_DROPPED, TAPPED, TAPPED_DROPPED};
use super::qname::Qname;
use super::sightings::Sighting;
use super::tap::{self, Passed, Taken, Tap, TapSettings};
use super::times::{self, Stopwatch, Times};
use super::uniques::Uniques;
use crate::limits::{BEACONS_QUEUED_MAX, NAMES_QUEUED_MAX, SAMPLES_QUEUED_MAX};

/// What all ledgers of a node have in common.
#[derive(Clone, Debug)]
pub struct LedgerSettings {
    /// The source of one query in this many is handed over, per thread.
    pub sample_every: NonZeroU32,
    /// The day (UTC) in days of Unix time, as whoever reports sees it.
    pub today: Arc<AtomicU64>,
    /// What is copied out.
    pub taps: TapSettings,
    /// Whether somebody waits for queries for the names of beacons.
    pub has_beacons: bool,
}

impl Default for LedgerSettings {
    fn default() -> Self {
        let taps = TapSettings::default();
        Self { sample_every: NonZeroU32::MIN, today: Arc::default(), taps, has_beacons: false }
    }
}

/// What one thread counts with.
#[derive(Debug)]
pub struct Ledger {
    counters: Arc<Counters>,
    uniques: Arc<Uniques>,
    today: Arc<AtomicU64>,
    sample_every: u32,
    /// Queries until the next sample.
    to_sample: u32,
    samples: Producer<IpAddr>,
    names: Producer<Qname>,
    tap: Option<Box<Tap>>,
    sightings: Option<Producer<Sighting>>,
    /// Somebody wants to know of queries besides their counts: one test for all of them.
    is_watched: bool,
    /// How long queries take.
    pub stopwatch: Stopwatch,
}

/// The other end of a [`Ledger`].
#[derive(Debug)]
pub struct Stream {
    /// The counters.
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
    /// Queries for the names of beacons, where somebody waits for them.
    pub sightings: Option<Consumer<Sighting>>,
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
    let (sighted, sightings) = settings.has_beacons.then(|| RingBuffer::new(BEACONS_QUEUED_MAX)).unzip();
    let ledger = Ledger {
        counters: Arc::clone(&counters),
        uniques: Arc::clone(&uniques),
        today: Arc::clone(&settings.today),
        sample_every: settings.sample_every.get(),
        to_sample: settings.sample_every.get(),
        samples: sampled,
        names: named,
        is_watched: tap.is_some() || sighted.is_some(),
        tap,
        sightings: sighted,
        stopwatch,
    };
    (ledger, Stream { counters, uniques, samples, names, times, tapped, sightings })
}

/// Bytes of one, with its other end.
#[must_use]
pub fn memory_len() -> usize {
    let histograms = 2 * times::histogram::<u32>().distinct_values() * size_of::<u32>();
    let samples = SAMPLES_QUEUED_MAX * size_of::<IpAddr>() + NAMES_QUEUED_MAX * size_of::<Qname>();
    Counters::memory_len() + size_of::<Uniques>() + samples + histograms
}

impl Ledger {
    /// Looks at the packet in the first `len` bytes of `slot` before it is answered there.
    #[inline]
    pub fn see(&mut self, slot: &[u8], len: usize, peer: &SocketAddr, local: &SocketAddr) {
        if let Some(tap) = &mut self.tap {
            tap.see(slot, len, *peer, *local);
        }
    }

    /// Counts a packet from `source` and its reply.
    #[inline]
    pub fn post(&mut self, account: &Account, source: IpAddr, reply: Option<&[u8]>) {
        if account.post(reply, &self.counters) {
            self.uniques.see(source);
            self.to_sample -= 1;
            if self.to_sample == 0 {
                self.sample(source, reply);
            }
            if self.is_watched {
                self.tap(account, source, reply);
            }
        }
    }

    /// Hands over what was seen, if it is its turn, and each query for the name of a beacon. Where the queue
    /// is full it is lost: its client's hit will be counted as that of nobody.
    #[inline(never)]
    fn tap(&mut self, account: &Account, source: IpAddr, reply: Option<&[u8]>) {
        if let (Some(sightings), Some(client)) = (&mut self.sightings, &account.client)
            && client.is_beacon
        {
            let sends_subnet = client.subnet.is_some_and(|subnet| subnet.source > 0);
            let sighting =
                reply.and_then(|reply| Sighting::of(reply, source, sends_subnet, account.transport > 0));
            let _ = sighting.map(|sighting| sightings.push(sighting));
        }
        let Some(tap) = &mut self.tap else { return };
        match tap.pass(account, reply) {
            Passed::Unseen => {}
            Passed::Taken => self.counters.count(TAPPED.at([])),
            Passed::Lost => self.counters.count(TAPPED_DROPPED.at([])),
        }
    }

    /// Hands over a source, and what it asked for. Where the queue is full, whoever reports is late, and the
    /// sample is lost.
    #[cold]
    fn sample(&mut self, source: IpAddr, reply: Option<&[u8]>) {
        self.to_sample = self.sample_every;
        self.counters.count(SAMPLES.at([]));
        if self.samples.push(source).is_err() {
            self.counters.count(SAMPLES_DROPPED.at([]));
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
        self.counters.count(at);
    }

    /// Counts several.
    #[inline]
    pub fn add(&mut self, at: impl Place, count: u32) {
        self.counters.add(at, count);
    }

    /// Begins a new day when there is one. Once per batch.
    #[inline]
    pub fn end_batch(&mut self) {
        self.uniques.turn_to(self.today.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::client::{Client, Prefixes};
    use crate::stats::counters::{PROBES, QUERIES, Totals};
    use crate::stats::labels::DROPPED_SHORT;
    use crate::stats::uniques::Sketch;

    fn settings(every: u32) -> LedgerSettings {
        LedgerSettings {
            sample_every: NonZeroU32::new(every).unwrap(),
            today: Arc::new(7.into()),
            ..LedgerSettings::default()
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
        ledger.end_batch();
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
            ledger.see(&[0; 12], 12, &at, &at);
            let probe = Account { is_probe: true, transport, family: 1, ..Account::default() };
            ledger.post(&probe, at.ip(), Some(&[0; 12]));
        }
        ledger.end_batch();
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
        ledger.end_batch();
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
            ledger.see(&[number; 12], 12, &at, &at);
            ledger.post(account, at.ip(), Some(&[number; 12]));
            ledger.end_batch();
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
    fn queries_for_the_names_of_beacons_are_handed_over() {
        let (mut ledger, mut stream) = ledger(&LedgerSettings { has_beacons: true, ..settings(64) });
        let mut reply = vec![0; 12];
        reply.push(26);
        reply.extend([b'a'; 26]);
        let beacon = Client { is_beacon: true, ..Client::default() };
        let mut ask = |client: Option<Client>, transport: usize, reply: &[u8]| {
            ledger.post(&Account { client, transport, ..Account::default() }, source(1), Some(reply));
            stream.sightings.as_mut().unwrap().pop().ok()
        };
        let seen = |sends_subnet, is_proven| {
            Some(Sighting { label: [b'a'; 26], resolver: source(1), sends_subnet, is_proven })
        };
        let with = |source| {
            let subnet = Some(Prefixes { is_ipv6: false, source, scope: 0 });
            Some(Client { subnet, ..beacon })
        };
        assert_eq!(ask(Some(beacon), 0, &reply), seen(false, false));
        assert_eq!(ask(with(24), 1, &reply), seen(true, true));
        assert_eq!(ask(with(0), 0, &reply), seen(false, false), "the client wishes to be unknown");
        assert_eq!(ask(Some(Client::default()), 0, &reply), None);
        assert_eq!(ask(None, 0, &reply), None);
        assert_eq!(ask(Some(beacon), 0, &[0; 12]), None);
        for _ in 0..2 * BEACONS_QUEUED_MAX {
            let account = Account { client: Some(beacon), ..Account::default() };
            ledger.post(&account, source(1), Some(&reply));
        }
        let sightings = stream.sightings.as_mut().unwrap();
        assert_eq!(std::iter::from_fn(|| sightings.pop().ok()).count(), BEACONS_QUEUED_MAX);
    }

    #[test]
    fn a_day_begins_with_the_end_of_a_batch() {
        let settings = settings(64);
        let (mut ledger, stream) = ledger(&settings);
        settings.today.store(8, Ordering::Relaxed);
        assert!(stream.uniques.has(7) && !stream.uniques.has(8));
        ledger.end_batch();
        assert!(stream.uniques.has(7) && stream.uniques.has(8));
    }
}
