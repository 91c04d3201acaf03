//! How long queries take, from the receive of their batch to its submit. One in [`SERVICE_TIME_EVERY`] is
//! recorded, into a histogram that the thread fills while another one is being read: the two change places
//! through a pair of channels, without either side ever waiting.

use std::mem;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use hdrhistogram::Histogram;

use crate::limits::{SERVICE_TIME_DIGITS, SERVICE_TIME_EVERY, SERVICE_TIME_HANDED_EVERY, SERVICE_TIME_MAX};

/// Counts of times in nanoseconds.
pub type TimesHistogram<T> = Histogram<T>;

/// An empty histogram of times.
#[must_use]
pub fn histogram<T: hdrhistogram::Counter>() -> Histogram<T> {
    let max = SERVICE_TIME_MAX.as_nanos() as u64;
    Histogram::new_with_max(max, SERVICE_TIME_DIGITS).expect("the bound and the digits are in range")
}

/// The end of the thread that serves.
#[derive(Debug)]
pub struct Stopwatch {
    histogram: Histogram<u32>,
    /// Queries until the next one that is recorded.
    to_record: u32,
    handed: Instant,
    filled: Sender<Histogram<u32>>,
    emptied: Receiver<Histogram<u32>>,
}

/// The end of whoever reports.
#[derive(Debug)]
pub struct Times {
    filled: Receiver<Histogram<u32>>,
    emptied: Sender<Histogram<u32>>,
}

/// The two ends.
#[must_use]
pub fn pair() -> (Stopwatch, Times) {
    // There are two histograms; no more can be on the way.
    let (filled, to_read) = bounded(2);
    let (empty, emptied) = bounded(2);
    empty.send(histogram()).expect("there is room, and the other end is there");
    let stopwatch = Stopwatch {
        histogram: histogram(),
        to_record: SERVICE_TIME_EVERY,
        handed: Instant::now(),
        filled,
        emptied,
    };
    (stopwatch, Times { filled: to_read, emptied: empty })
}

impl Stopwatch {
    /// Notes that each of `queries` took so long. They are of one batch and share its time.
    #[inline]
    pub fn record(&mut self, took: Duration, queries: u32) {
        if queries < self.to_record {
            self.to_record -= queries;
            return;
        }
        let behind = queries - self.to_record;
        self.to_record = SERVICE_TIME_EVERY - behind % SERVICE_TIME_EVERY;
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.histogram.saturating_record_n(nanoseconds, 1 + behind / SERVICE_TIME_EVERY);
    }

    /// Hands the histogram over now and then, if there is anything in it and the last one has come back.
    #[inline]
    pub fn tick(&mut self, now: Instant) {
        if now.duration_since(self.handed) >= SERVICE_TIME_HANDED_EVERY {
            self.handed = now;
            self.hand_over();
        }
    }

    #[cold]
    #[inline(never)]
    fn hand_over(&mut self) {
        if self.histogram.is_empty() {
            return;
        }
        if let Ok(empty) = self.emptied.try_recv() {
            // With nobody there any more it is lost, as the process ends.
            let _ = self.filled.try_send(mem::replace(&mut self.histogram, empty));
        }
    }
}

impl Times {
    /// Gives each histogram that was handed over to `read`, and sends it back empty.
    pub fn take(&mut self, mut read: impl FnMut(&Histogram<u32>)) {
        for mut histogram in self.filled.try_iter() {
            read(&histogram);
            histogram.reset();
            // With nobody there any more nothing is needed.
            let _ = self.emptied.try_send(histogram);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(times: &mut Times) -> Vec<(u64, u64)> {
        let mut all = Vec::new();
        times.take(|histogram| {
            all.extend(
                histogram.iter_recorded().map(|one| (one.value_iterated_to(), one.count_at_value().into())),
            );
        });
        all
    }

    fn later(stopwatch: &Stopwatch) -> Instant {
        stopwatch.handed + SERVICE_TIME_HANDED_EVERY
    }

    #[test]
    fn one_query_in_so_many_is_recorded_whatever_the_batches() {
        let (mut stopwatch, mut times) = pair();
        for batch in [1, SERVICE_TIME_EVERY - 1, 10 * SERVICE_TIME_EVERY + 1, SERVICE_TIME_EVERY - 1, 0] {
            stopwatch.record(Duration::from_micros(50), batch);
        }
        stopwatch.tick(later(&stopwatch));
        let taken = taken(&mut times);
        assert_eq!(taken.iter().map(|one| one.1).sum::<u64>(), 12);
        assert!(taken.iter().all(|one| (49_500..=50_500).contains(&one.0)), "{taken:?}");
    }

    #[test]
    fn a_reader_that_is_slow_gets_all_later() {
        let (mut stopwatch, mut times) = pair();
        for round in 0..5 {
            stopwatch.record(Duration::from_micros(round), SERVICE_TIME_EVERY);
            let now = later(&stopwatch);
            stopwatch.tick(now);
        }
        let first: u64 = taken(&mut times).iter().map(|one| one.1).sum();
        assert_eq!(first, 1, "without an empty histogram the full one is filled further");
        stopwatch.tick(later(&stopwatch));
        assert_eq!(taken(&mut times).iter().map(|one| one.1).sum::<u64>(), 4);
        stopwatch.tick(later(&stopwatch));
        assert_eq!(taken(&mut times), [], "nothing is no news");
    }

    #[test]
    fn times_beyond_the_bounds_are_recorded_at_them() {
        let (mut stopwatch, mut times) = pair();
        stopwatch.record(Duration::MAX, SERVICE_TIME_EVERY);
        stopwatch.record(Duration::ZERO, SERVICE_TIME_EVERY);
        stopwatch.tick(later(&stopwatch));
        let taken = taken(&mut times);
        assert_eq!(taken.len(), 2);
        assert!(taken[1].0 as f64 > SERVICE_TIME_MAX.as_nanos() as f64 * 0.99, "{taken:?}");
    }
}
