//! How a node does while a release is on trial: what it counts then, against what it counted before.

use std::net::SocketAddr;
use std::time::Duration;

use as112d::announce::probe::{ProbedHost, probe_all};
use serde_json::Value;

use crate::gates::{Checks, Reading, judge};
use crate::limits::{PROBE_TIMEOUT, PROBES_FAILED};

/// What was seen of a node.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// The oldest reading of what is compared with: an hour of it at most.
    earlier: Option<Reading>,
    /// The last reading before the release.
    before: Option<(Reading, u64)>,
    /// The first one with it.
    during: Option<Reading>,
    is_baking: bool,
    probed: Option<Result<(), String>>,
    /// Probes that failed in a row.
    misses: u32,
    is_probing: bool,
}

/// How far back what is compared with goes.
const BEFORE_MAX: Duration = Duration::from_secs(3600);

impl Watch {
    /// The node has another release from now on; whether that is on trial.
    pub fn begin(&mut self, is_baking: bool) {
        self.is_baking = is_baking;
        self.during = None;
        self.probed = None;
        self.misses = 0;
        self.is_probing = false;
    }

    /// Takes in what the node says of itself: what is worse than before, if it bakes.
    pub fn saw(&mut self, status: &Value, is_baking: bool, now: Duration) -> Vec<String> {
        let Some((reading, rss_len)) = reading(status, now) else { return Vec::new() };
        if !is_baking || !self.is_baking {
            let is_old = self.earlier.is_none_or(|earlier| {
                earlier.start != reading.start || reading.at.saturating_sub(earlier.at) > BEFORE_MAX
            });
            if is_old {
                self.earlier =
                    self.before.map(|(before, _)| before).filter(|before| before.start == reading.start);
                self.earlier = self.earlier.or(Some(reading));
            }
            self.before = Some((reading, rss_len));
            return Vec::new();
        }
        let during = *self.during.get_or_insert(reading);
        let before = self.before.and_then(|(before, _)| before.since(&self.earlier?));
        let starts = self.before.map_or(reading.start, |(before, _)| before.start);
        let checks = Checks {
            reload: Ok(()),
            probe: self.probed.clone().filter(|probed| probed.is_ok() || self.misses >= PROBES_FAILED),
            // A start is known by its time: another one is one more.
            starts: (0, u64::from(starts != reading.start)),
            rss_len: (self.before.map(|(_, rss_len)| rss_len), rss_len),
            memory_len_max: None,
        };
        let fallen = judge(before.as_ref(), reading.since(&during).as_ref(), &checks);
        fallen.iter().map(ToString::to_string).collect()
    }

    /// The addresses to probe, if no probe is under way.
    pub fn probe(&mut self, status: &Value) -> Option<Vec<SocketAddr>> {
        if self.is_probing {
            return None;
        }
        self.is_probing = true;
        let addresses = status["listen"].as_array().into_iter().flatten();
        Some(addresses.filter_map(|address| address.as_str()?.parse().ok()).collect())
    }

    /// What came of the probes.
    pub fn probed(&mut self, probed: Result<(), String>) {
        self.misses = if probed.is_ok() { 0 } else { self.misses + 1 };
        self.probed = Some(probed);
        // And again, as long as the release is on trial.
        self.is_probing = false;
    }
}

/// What a node has counted, and its memory.
fn reading(status: &Value, now: Duration) -> Option<(Reading, u64)> {
    let health = &status["health"];
    let count = |key: &str| health[key].as_u64();
    let reading = Reading {
        at: now,
        start: status["started"].as_u64()?.wrapping_mul(1 << 22) ^ status["pid"].as_u64()?,
        received: count("received")?,
        answered: count("answered")?,
        failed: count("failed")?,
        dropped: count("dropped")?,
        cpu: Duration::try_from_secs_f64(health["cpu_seconds"].as_f64()?).ok()?,
    };
    // A number of bytes is exact in a float.
    Some((reading, format!("{:.0}", health["rss"].as_f64()?).parse().ok()?))
}

/// Asks each address what a resolver would ask it. A thread of its own waits for the answers.
pub(super) async fn probe(addresses: Vec<SocketAddr>) -> Result<(), String> {
    let probed = tokio::task::spawn_blocking(move || {
        let results = probe_all(&addresses, ProbedHost::This, PROBE_TIMEOUT);
        let failed =
            addresses.iter().zip(results).filter_map(|(address, result)| Some((address, result.err()?)));
        failed.map(|(address, why)| format!("{address}: {why}")).collect::<Vec<_>>()
    });
    match probed.await {
        Ok(failed) if failed.is_empty() => Ok(()),
        Ok(failed) => Err(failed.join(", ")),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(received: u64, failed: u64) -> Value {
        json!({
            "started": 1_700_000_000, "pid": 7, "listen": ["127.0.0.1:53", "[::1]:53"],
            "health": {
                "received": received, "answered": received, "failed": failed, "dropped": 0,
                "cpu_seconds": received as f64 / 100_000.0, "rss": 12_582_912.0,
            },
        })
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_worse_than_before_is_told_while_it_bakes_alone() {
        let mut watch = Watch::default();
        for second in 0..10 {
            assert_eq!(watch.saw(&status(second * 100_000, 0), false, at(second * 10)), Vec::<String>::new());
        }
        watch.begin(true);
        assert_eq!(watch.saw(&status(1_000_000, 0), true, at(100)), Vec::<String>::new());
        assert_eq!(watch.saw(&status(1_100_000, 0), true, at(110)), Vec::<String>::new());
        let worse = watch.saw(&status(1_200_000, 50_000), true, at(120));
        assert!(worse.len() == 1 && worse[0].starts_with("failed: "), "{worse:?}");
        let mut restarted = status(100, 0);
        restarted["pid"] = 8.into();
        let worse = watch.saw(&restarted, true, at(130));
        assert!(worse.iter().any(|worse| worse.starts_with("starts: ")), "{worse:?}");
        assert_eq!(watch.saw(&status(1_300_000, 1_000_000), false, at(140)), Vec::<String>::new());
        assert_eq!(watch.saw(&json!({}), true, at(150)), Vec::<String>::new(), "a node that does not tell");
    }

    #[test]
    fn one_probe_may_be_lost() {
        let mut watch = Watch::default();
        watch.begin(true);
        let now = status(0, 0);
        assert_eq!(watch.probe(&now).map(|addresses| addresses.len()), Some(2));
        assert_eq!(watch.probe(&now), None, "one at a time");
        for (probed, falls) in [
            (Err("x".to_owned()), false),
            (Ok(()), false),
            (Err("x".to_owned()), false),
            (Err("x".to_owned()), true),
        ] {
            watch.probed(probed);
            assert!(watch.probe(&now).is_some());
            let worse = watch.saw(&now, true, at(1));
            assert_eq!(!worse.is_empty(), falls, "{worse:?}");
        }
    }
}
