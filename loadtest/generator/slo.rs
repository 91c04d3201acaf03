//! The search for the highest rate at which a server keeps a promise: doubled until it fails, then halved in
//! between.

use std::str::FromStr;
use std::time::Duration;

use super::super::Outcome;
use super::super::bounds::{LOSS_MAX, RATE_MAX, SEARCH_PRECISION, TRIALS_MAX};
use super::super::measure::whole;
use super::Harvest;

/// What a rate must keep: a bound on a percentile of the latency, on the loss, or on both.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    /// Percentile (99 for p99) and its bound.
    pub latency: Option<(f64, Duration)>,
    /// Share of the queries that may be lost.
    pub loss: f64,
}

impl Default for Slo {
    fn default() -> Self {
        Self { latency: None, loss: LOSS_MAX }
    }
}

impl FromStr for Slo {
    type Err = String;

    /// `p99=1ms,loss=0.01%`
    fn from_str(text: &str) -> Result<Self, String> {
        let way_out = || format!("`{text}` is not a service level; give one such as p99=1ms,loss=0.01%");
        let mut slo = Self::default();
        for part in text.split(',') {
            let (key, value) = part.trim().split_once('=').ok_or_else(way_out)?;
            if key == "loss" {
                let percent: f64 = value.trim_end_matches('%').parse().map_err(|_| way_out())?;
                let loss = Some(percent / 100.0).filter(|loss| (0.0..1.0).contains(loss));
                slo.loss = loss.ok_or_else(way_out)?;
            } else {
                let percentile = key.strip_prefix('p').and_then(|digits| digits.parse().ok());
                let percentile = percentile.filter(|percentile| (0.0..100.0).contains(percentile));
                let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)];
                let bound = units.iter().find_map(|(unit, scale)| {
                    let number: f64 = value.strip_suffix(unit)?.parse().ok()?;
                    (number > 0.0 && number < 60.0 / scale).then(|| Duration::from_secs_f64(number * scale))
                });
                slo.latency = Some(percentile.zip(bound).ok_or_else(way_out)?);
            }
        }
        Ok(slo)
    }
}

impl Slo {
    /// Whether a harvest keeps it.
    pub fn holds(&self, harvest: &Harvest) -> bool {
        let is_fast = |(percentile, bound): (f64, Duration)| {
            harvest.latency_ms(percentile / 100.0) <= bound.as_secs_f64() * 1e3
        };
        harvest.loss() <= self.loss && self.latency.is_none_or(is_fast)
    }
}

/// The highest rate for which `trial` holds, 0 if there is none. It begins at `begin`, and goes up by
/// `growth` at a time. A rate that fails gets a second trial: on a host that does other things too, one bad
/// moment is no proof.
///
/// # Errors
/// Those of `trial`.
pub fn search(begin: u64, growth: f64, mut trial: impl FnMut(u64) -> Outcome<bool>) -> Outcome<u64> {
    let mut trials = 0;
    let mut twice = |rate: u64| -> Outcome<bool> {
        trials += 1;
        let holds = trial(rate)?;
        if holds || trials >= TRIALS_MAX {
            return Ok(holds);
        }
        trials += 1;
        trial(rate)
    };
    let (mut good, mut bad) = (0, begin.clamp(1, RATE_MAX));
    while bad < RATE_MAX && twice(bad)? {
        (good, bad) = (bad, whole(bad as f64 * growth).clamp(bad + 1, RATE_MAX));
    }
    for _ in 0..TRIALS_MAX {
        if (bad - good) as f64 <= SEARCH_PRECISION * bad as f64 {
            break;
        }
        let middle = good.midpoint(bad);
        if twice(middle)? { good = middle } else { bad = middle }
    }
    Ok(good)
}

#[cfg(test)]
mod tests {
    use super::super::super::bounds::RATE_BEGIN;
    use super::*;

    #[test]
    fn promises_are_read() {
        let slo: Slo = "p99=1ms,loss=0.01%".parse().unwrap();
        assert_eq!(slo, Slo { latency: Some((99.0, Duration::from_millis(1))), loss: 0.0001 });
        let slo: Slo = "p99.9=250us".parse().unwrap();
        assert_eq!(slo, Slo { latency: Some((99.9, Duration::from_micros(250))), loss: LOSS_MAX });
        assert_eq!("loss=1%".parse::<Slo>().unwrap(), Slo { latency: None, loss: 0.01 });
        for wrong in ["", "p99", "p100=1ms", "p99=1", "p99=0ms", "loss=100%", "loss=x", "x=1ms", "p99=1e9s"] {
            assert!(wrong.parse::<Slo>().unwrap_err().contains("give one such as"), "{wrong}");
        }
    }

    /// A server that keeps up to a rate, with a bad moment now and then.
    fn found(capacity: u64, bad_moment_every: usize, begin: u64, growth: f64) -> (u64, usize) {
        let mut trials = 0;
        let best = search(begin, growth, |rate| {
            trials += 1;
            Ok(rate <= capacity && (bad_moment_every == 0 || trials % bad_moment_every != 0))
        });
        (best.unwrap(), trials)
    }

    #[test]
    fn the_search_finds_what_a_simulated_server_can() {
        for capacity in [RATE_BEGIN, 33_333, 100_000, 347_000, 1_234_567, RATE_MAX / 2] {
            // From far below, and from what another round has found.
            let from_near = whole(capacity as f64 * 0.97);
            for (begin, growth) in [(RATE_BEGIN, 2.0), (from_near, 1.1), (2 * capacity, 1.1)] {
                let (best, trials) = found(capacity, 0, begin, growth);
                let is_close =
                    best <= capacity && best as f64 >= capacity as f64 * (1.0 - 2.0 * SEARCH_PRECISION);
                assert!(is_close, "{best} of {capacity}");
                assert!(trials <= 2 * TRIALS_MAX, "{trials}");
            }
            let (best, _) = found(capacity, 3, RATE_BEGIN, 2.0);
            assert!(
                best as f64 >= capacity as f64 * 0.9,
                "a bad moment is tried again: {best} of {capacity}"
            );
        }
        assert!(found(0, 0, RATE_BEGIN, 2.0).0 < RATE_BEGIN, "a server that keeps nothing");
        assert!(found(RATE_MAX, 0, RATE_BEGIN, 2.0).0 >= RATE_MAX / 2, "a server beyond all we may send");
    }

    #[test]
    fn errors_end_the_search() {
        assert_eq!(
            search(1000, 2.0, |_| super::super::fail("interrupted")).unwrap_err().to_string(),
            "interrupted"
        );
    }

    #[test]
    fn a_harvest_is_judged_by_both_bounds() {
        let mut harvest = Harvest::new();
        (1..=1000_u64).for_each(|number| harvest.latency.record(number * 1000).unwrap());
        (harvest.sent, harvest.lost) = (1000, 1);
        let holds = |text: &str| text.parse::<Slo>().unwrap().holds(&harvest);
        assert!(holds("p99=1ms,loss=0.1%") && holds("loss=0.1%"));
        assert!(!holds("p99=900us") && !holds("p50=1ms,loss=0.05%"));
    }
}
