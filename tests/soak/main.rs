//! What takes long: each system call fails with each error at each of its places, and a node is killed five
//! hundred times. `tests/soak/run` runs it; `AS112D_SOAK_MINUTES` bounds each test.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/fault.rs"]
#[allow(dead_code, reason = "the tests of faults use all of it")]
mod fault;
#[path = "../common/inject.rs"]
mod inject;
#[path = "../common/supervised.rs"]
mod supervised;

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use fault::{LENIENCY, report, skipped};
use inject::{Fault, at_the_start, failing, has_strace, look, named, while_it_serves};
use supervised::{AWAY_MAX, kill_again_and_again};

/// Of a call that one thread makes more often, so many are tried, evenly spread.
const PLACES_MAX: usize = 12;
/// How often a node is killed on each datapath.
const KILLS: usize = 250;

/// When a test has to have ended.
fn end() -> Instant {
    let minutes = std::env::var("AS112D_SOAK_MINUTES").ok().and_then(|minutes| minutes.parse().ok());
    Instant::now() + Duration::from_secs(60 * minutes.unwrap_or(60))
}

/// What is tried, and how.
type Trial = (Fault, fn(&Fault) -> bool);

/// Every fault: first those of the start, at each place, then those of a node that serves.
fn faults(datapath: &'static str) -> Vec<Trial> {
    let seen = look(datapath);
    let mut all: Vec<Trial> = Vec::new();
    for (call, errors) in failing(&seen) {
        let (loader, count) = (seen.loader.get(call).copied().unwrap_or_default(), seen.all[call]);
        let step = (count - loader.min(count)).div_ceil(PLACES_MAX).max(1);
        for errno in errors {
            let at = |when| Fault { call: call.to_owned(), errno, when, datapath };
            all.extend(
                (loader + 1..=count)
                    .step_by(step)
                    .map(|nth| (at(nth.to_string()), at_the_start as fn(&_) -> _)),
            );
            all.push((at("1+2".to_owned()), while_it_serves));
            all.push((at("1+".to_owned()), at_the_start));
        }
    }
    // A call that always fails from the first on fails in the loader too, where there is one.
    all.retain(|(fault, _)| fault.when != "1+" || !seen.loader.contains_key(&fault.call));
    all
}

#[test]
#[ignore = "takes an hour; tests/soak/run runs it"]
fn each_call_fails_with_each_error_at_each_place() {
    if !has_strace() {
        return skipped("there is no strace, or it may not trace here");
    }
    let end = end();
    let mut failures = Vec::new();
    for datapath in ["auto", "mmsg"] {
        let all = faults(datapath);
        let mut tried = 0;
        for (fault, trial) in &all {
            if Instant::now() > end {
                break;
            }
            tried += 1;
            failures.extend(named(fault, *trial).err());
        }
        report(&format!("syscalls_{datapath}_tried_of"), format!("{tried} {}", all.len()));
        assert!(
            tried == all.len() || !failures.is_empty(),
            "{tried} of {} fit the time: give more",
            all.len()
        );
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
#[ignore = "takes minutes; tests/soak/run runs it"]
fn killed_five_hundred_times_it_is_back_each_time() {
    let end = end();
    for datapath in ["io_uring", "mmsg"] {
        let mut kills = 0..KILLS;
        let gaps = kill_again_and_again(datapath, || Instant::now() < end && kills.next().is_some());
        assert_eq!(gaps.len(), KILLS, "{datapath}: no more fit the time: give more");
        let mut histogram = Histogram::<u64>::new(3).expect("three digits");
        gaps.iter().for_each(|gap| histogram.record(gap.as_millis() as u64).expect("it resizes"));
        report(&format!("killed_{datapath}_median_gap_ms"), histogram.value_at_quantile(0.5));
        report(&format!("killed_{datapath}_longest_gap_ms"), histogram.max());
        assert!(Duration::from_millis(histogram.max()) < LENIENCY * AWAY_MAX, "{datapath}: {gaps:?}");
    }
}
