//! What the aggregator found out in addition to the counters: how long queries take, and how many different
//! sources asked today.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::talkers::Talkers;
use crate::stats::times::{TimesHistogram, histogram};
use crate::stats::uniques::KINDS;

/// Upper bounds of the buckets in which service times are exposed, in nanoseconds.
pub const TIME_BOUNDS: [u64; 13] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    5_000_000,
    20_000_000,
    100_000_000,
];

/// What was found out. One thread adds, any may read; those that serve do neither.
#[derive(Debug)]
pub struct Observed {
    inner: Mutex<Inner>,
    /// Who asks most.
    pub talkers: Talkers,
}

#[derive(Debug)]
struct Inner {
    shards: Vec<ShardTimes>,
    /// The minute that `current` is of, once somebody looked.
    minute: Option<u64>,
    uniques: [u64; KINDS.len()],
    unreadable: u64,
    /// When busy times were last looked at, and what each shard had then.
    looked: Option<(Instant, Vec<u64>)>,
    busy: Vec<f64>,
}

/// The service times of one shard.
#[derive(Debug)]
struct ShardTimes {
    all: TimesHistogram<u64>,
    /// Those of this minute, and of the one before.
    current: TimesHistogram<u64>,
    before: TimesHistogram<u64>,
}

/// Bytes of what is kept of one thread.
#[must_use]
pub fn memory_len() -> usize {
    3 * histogram::<u64>().distinct_values() * size_of::<u64>()
}

/// How long queries took, in nanoseconds: the sample of the last one or two minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    /// How many were recorded.
    pub samples: u64,
    /// The median.
    pub p50: u64,
    /// 90 % took no longer.
    pub p90: u64,
    /// 99 % took no longer.
    pub p99: u64,
    /// 99.9 % took no longer.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

/// All service times since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TimeBuckets {
    /// How many took no longer than each of [`TIME_BOUNDS`].
    pub counts: [u64; TIME_BOUNDS.len()],
    /// How many there are.
    pub count: u64,
    /// Their sum in nanoseconds.
    pub sum: f64,
}

/// What was found out, as of one time.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// Each shard's service times.
    pub shards: Vec<Percentiles>,
    /// Those of all shards.
    pub all: Percentiles,
    /// Those of all shards since the start.
    pub buckets: TimeBuckets,
    /// Different sources today, by [`KINDS`].
    pub uniques: [u64; KINDS.len()],
    /// Records of databases of places that could not be read.
    pub unreadable: u64,
    /// The part of the last second in which each shard had something to do.
    pub busy: Vec<f64>,
    /// How long ago the aggregator looked.
    pub age: Duration,
}

impl Observed {
    /// Nothing yet, of this number of threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let times = || ShardTimes { all: histogram(), current: histogram(), before: histogram() };
        let shards = (0..threads).map(|_| times()).collect();
        let inner = Inner {
            shards,
            minute: None,
            uniques: [0; KINDS.len()],
            unreadable: 0,
            looked: None,
            busy: vec![0.0; threads],
        };
        Self { inner: Mutex::new(inner), talkers: Talkers::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds service times of a thread. Those of workers have the times of the servers in them that they ask,
    /// and are not kept.
    pub fn add_times(&self, thread: usize, times: &TimesHistogram<u32>) {
        let mut inner = self.inner();
        let Some(shard) = inner.shards.get_mut(thread) else { return };
        for one in times.iter_recorded() {
            let (value, count) = (one.value_iterated_to(), one.count_at_value().into());
            shard.all.saturating_record_n(value, count);
            shard.current.saturating_record_n(value, count);
        }
    }

    /// Notes how long each shard has been busy in all, in nanoseconds.
    pub fn look_at_busy(&self, at: Instant, busy: Vec<u64>) {
        let mut inner = self.inner();
        if let Some((before, had)) = &inner.looked {
            let passed = at.duration_since(*before).as_nanos() as f64;
            let ratio = |(&busy, &had): (&u64, &u64)| (busy - had) as f64 / passed;
            // A batch counts where it ends, so that one that began before can make it more than all.
            inner.busy = busy.iter().zip(had).map(|pair| ratio(pair).clamp(0.0, 1.0)).collect();
        }
        inner.looked = Some((at, busy));
    }

    /// Notes what there is at `now`, in seconds of Unix time.
    pub fn look(&self, now: u64, uniques: [u64; KINDS.len()], unreadable: u64) {
        let mut inner = self.inner();
        (inner.uniques, inner.unreadable) = (uniques, unreadable);
        // What came before the first look is of the same minute.
        if inner.minute.replace(now / 60).is_some_and(|minute| minute != now / 60) {
            for shard in &mut inner.shards {
                std::mem::swap(&mut shard.current, &mut shard.before);
                shard.current.reset();
            }
        }
    }

    /// What is known now.
    #[must_use]
    pub fn read(&self) -> Observation {
        let inner = self.inner();
        let (mut recent, mut all) = (histogram(), histogram());
        let shards = inner.shards.iter().map(|shard| {
            let mut of_shard = shard.before.clone();
            add(&mut of_shard, &shard.current);
            add(&mut recent, &of_shard);
            add(&mut all, &shard.all);
            Percentiles::of(&of_shard)
        });
        let shards = shards.collect();
        Observation {
            shards,
            all: Percentiles::of(&recent),
            buckets: TimeBuckets::of(&all),
            uniques: inner.uniques,
            unreadable: inner.unreadable,
            busy: inner.busy.clone(),
            age: inner.looked.as_ref().map_or(Duration::ZERO, |(looked, _)| looked.elapsed()),
        }
    }
}

fn add(sum: &mut TimesHistogram<u64>, part: &TimesHistogram<u64>) {
    sum.add(part).expect("all histograms of times have the same bounds");
}

impl Percentiles {
    fn of(times: &TimesHistogram<u64>) -> Self {
        let at = |quantile| times.value_at_quantile(quantile);
        Self {
            samples: times.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: times.max(),
        }
    }
}

impl TimeBuckets {
    fn of(times: &TimesHistogram<u64>) -> Self {
        let count = times.len();
        Self {
            counts: TIME_BOUNDS.map(|bound| times.count_between(0, bound)),
            count,
            sum: if count == 0 { 0.0 } else { times.mean() * count as f64 },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn times(values: &[u64]) -> TimesHistogram<u32> {
        let mut histogram = histogram();
        values.iter().for_each(|&value| histogram.saturating_record(value));
        histogram
    }

    #[test]
    fn nothing_observed_is_zero() {
        let observation = Observed::new(2).read();
        assert_eq!(observation.shards, [Percentiles::default(); 2]);
        assert_eq!(observation.all, Percentiles::default());
        assert_eq!(observation.buckets, TimeBuckets::default());
    }

    #[test]
    fn the_busy_part_is_of_the_last_look() {
        let observed = Observed::new(2);
        let began = Instant::now();
        assert_eq!(observed.read().busy, [0.0, 0.0]);
        observed.look_at_busy(began, vec![5_000_000_000, 0]);
        assert_eq!(observed.read().busy, [0.0, 0.0], "of one look there is no difference");
        observed.look_at_busy(began + Duration::from_secs(2), vec![5_500_000_000, 9_000_000_000]);
        assert_eq!(observed.read().busy, [0.25, 1.0]);
    }

    #[test]
    fn the_first_look_ends_no_minute() {
        let observed = Observed::new(1);
        observed.add_times(0, &times(&[1_500]));
        observed.look(119, [0; 3], 0);
        observed.look(120, [0; 3], 0);
        assert_eq!(observed.read().all.samples, 1);
    }

    #[test]
    fn percentiles_are_of_the_last_minutes_and_buckets_of_all() {
        let observed = Observed::new(2);
        observed.look(60, [0; 3], 0);
        observed.add_times(0, &times(&[1_500; 99]));
        observed.add_times(0, &times(&[150_000]));
        observed.add_times(1, &times(&[40_000]));
        observed.add_times(2, &times(&[90_000_000]));
        observed.look(119, [1, 2, 3], 0);
        let observation = observed.read();
        let near = |value: u64, expected: u64| value.abs_diff(expected) * 100 <= expected;
        assert_eq!((observation.shards[0].samples, observation.shards[1].samples), (100, 1));
        assert!(near(observation.all.p50, 1_500) && near(observation.all.max, 150_000), "{observation:?}");
        assert!(near(observation.shards[1].p50, 40_000), "{observation:?}");
        assert_eq!(observation.uniques, [1, 2, 3]);
        let buckets = observation.buckets;
        assert_eq!((buckets.counts[1], buckets.counts[5], buckets.count), (99, 100, 101));
        assert!((buckets.sum / (99.0 * 1_500.0 + 190_000.0) - 1.0).abs() < 0.01, "{buckets:?}");
        observed.look(120, [0; 3], 0);
        assert_eq!(observed.read().all.samples, 101, "the minute before still shows");
        observed.look(180, [0; 3], 0);
        let observation = observed.read();
        assert_eq!((observation.all.samples, observation.buckets.count), (0, 101));
    }
}
