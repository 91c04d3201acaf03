//! Numbers for people: what a node counted between two times, or since its start.

use std::time::Duration;

use serde_json::Value;
use serde_json::value::Index;

/// A place in what a node says, as it is and as it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    /// What is there.
    pub(super) now: &'a Value,
    /// What was there; nothing where the time counts from the start.
    before: Option<&'a Value>,
    /// The time in between.
    pub(super) time: Duration,
}

/// No time is shorter: that would make a rate of nothing.
const INSTANT: Duration = Duration::from_millis(1);

impl<'a> Change<'a> {
    /// All that a node says `now`, and what it said `earlier`. If that was before it was started, or there is
    /// no earlier, all that it counted since the start.
    pub(super) fn new(now: &'a Value, earlier: Option<&'a Value>) -> Self {
        let number = |numbers: &Value, key: &str| numbers[key].as_f64().unwrap_or_default();
        let is_same_run = |before: &&Value| {
            let [started, uptime] =
                ["start_time_seconds", "uptime_seconds"].map(|key| number(now, key) - number(before, key));
            started == 0.0 && uptime >= 0.0
        };
        let before = earlier.filter(is_same_run);
        let since = before.map_or(0.0, |before| number(before, "uptime_seconds"));
        let time = number(now, "uptime_seconds") - since;
        Self { now, before, time: Duration::try_from_secs_f64(time).unwrap_or_default() }
    }

    /// Whether it is one since the start.
    pub(super) const fn is_since_start(&self) -> bool {
        self.before.is_none()
    }

    /// What is below.
    pub(super) fn at(self, key: impl Index + Copy) -> Self {
        Self {
            now: self.now.get(key).unwrap_or(&Value::Null),
            before: self.before.map(|before| before.get(key).unwrap_or(&Value::Null)),
            ..self
        }
    }

    /// The sum of all counters here.
    pub(super) fn total(self) -> u64 {
        sum(self.now)
    }

    /// By how much that grew.
    pub(super) fn count(self) -> u64 {
        self.total().saturating_sub(self.before.map_or(0, sum))
    }

    /// By how much it grew in a second.
    pub(super) fn rate(self) -> f64 {
        self.count() as f64 / self.time.max(INSTANT).as_secs_f64()
    }

    /// The same without a fraction.
    pub(super) fn whole_rate(self) -> u64 {
        let counted = u128::from(self.count()) * Duration::from_secs(1).as_nanos();
        u64::try_from(counted / self.time.max(INSTANT).as_nanos()).unwrap_or(u64::MAX)
    }

    /// What is right below: labels of a family, each with its own.
    pub(super) fn parts(self) -> impl Iterator<Item = (&'a str, Self)> {
        let labels = self.now.as_object().into_iter().flatten();
        labels.map(move |(label, _)| (label.as_str(), self.at(label.as_str())))
    }

    /// What grew of that, the largest first.
    pub(super) fn shares(self) -> Vec<(String, u64)> {
        ordered(self.parts().map(|(label, part)| (label.to_owned(), part.count())))
    }
}

/// The most frequent networks or names of the last minutes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sampled {
    /// Each with its count, the largest first.
    pub(super) parts: Vec<(String, u64)>,
    /// What is 100 per cent.
    pub(super) samples: u64,
}

impl Sampled {
    /// Those of `key`, where a node says any.
    pub(super) fn of(now: &Value, key: &str) -> Option<Self> {
        let of = now.get("top")?.get(key)?;
        let parts = of["largest"].as_object()?.iter();
        let parts = ordered(parts.map(|(value, count)| (value.clone(), sum(count))));
        Some(Self { parts, samples: sum(&of["samples"]) })
    }
}

/// Without what is 0, the largest first.
pub(super) fn ordered(parts: impl Iterator<Item = (String, u64)>) -> Vec<(String, u64)> {
    let mut parts: Vec<(String, u64)> = parts.filter(|(_, count)| *count > 0).collect();
    parts.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    parts
}

fn sum(value: &Value) -> u64 {
    match value {
        Value::Object(object) => object.values().map(sum).sum(),
        _ => value.as_u64().unwrap_or_default(),
    }
}

/// A time for people.
pub(super) fn span(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn numbers(started: u64, uptime: f64, a: u64, b: u64) -> Value {
        json!({
            "start_time_seconds": started, "uptime_seconds": uptime,
            "counters": {"queries": {"a": {"udp": a}, "b": {"udp": b, "tcp": 0}}},
        })
    }

    #[test]
    fn a_change_is_in_between_or_since_the_start() {
        let (before, now) = (numbers(1, 8.0, 10, 20), numbers(1, 10.0, 40, 20));
        let of = |earlier| Change::new(&now, earlier).at("counters").at("queries");
        let queries = of(None);
        assert_eq!((queries.total(), queries.count(), queries.rate()), (60, 60, 6.0));
        assert_eq!(queries.shares(), [("a".to_owned(), 40), ("b".to_owned(), 20)]);
        let queries = of(Some(&before));
        assert_eq!((queries.total(), queries.count(), queries.rate()), (60, 30, 15.0));
        assert_eq!((queries.whole_rate(), queries.time), (15, Duration::from_secs(2)));
        assert_eq!(queries.shares(), [("a".to_owned(), 30)]);
        assert_eq!(queries.at("nothing").at(3).total(), 0);
        assert_eq!((of(Some(&now)).count(), of(Some(&now)).rate()), (0, 0.0));
    }

    #[test]
    fn a_node_that_started_again_counts_from_there() {
        let (before, now) = (numbers(1, 500.0, 500, 500), numbers(2, 10.0, 10, 0));
        let change = Change::new(&now, Some(&before));
        assert!(change.is_since_start());
        assert_eq!(change.at("counters").at("queries").rate(), 1.0);
    }

    #[test]
    fn times_have_two_units_at_most() {
        for (seconds, text) in
            [(0.9, "0 s"), (61.0, "1 min"), (3660.0, "1 h 1 min"), (90_000.0, "1 d 1 h"), (-1.0, "0 s")]
        {
            assert_eq!(span(seconds), text);
        }
    }
}
