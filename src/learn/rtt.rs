//! Round-trip times from a place to a PoP: a histogram whose half is forgotten every day.

use std::sync::LazyLock;

/// Steps, each a quarter longer than the one before.
pub const STEPS: usize = 32;
/// The weight of one sample.
pub const SAMPLE: u32 = 256;

/// Where the steps end, in tenths of a millisecond: 1 ms, 1.25 ms and so on.
static ENDS: LazyLock<[u64; STEPS]> = LazyLock::new(|| {
    let mut end = 1000;
    std::array::from_fn(|_| {
        let this = end / 100;
        end = end * 5 / 4;
        this
    })
});

/// Samples by how long they took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram(pub(super) [u32; STEPS]);

impl Histogram {
    /// Adds a sample in milliseconds, and its age in days.
    pub fn add(&mut self, ms: u32, days: u32) {
        let tenths = u64::from(ms) * 10;
        let step = ENDS.partition_point(|end| *end <= tenths).min(STEPS - 1);
        self.0[step] = self.0[step].saturating_add(SAMPLE.checked_shr(days).unwrap_or(0));
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Self) {
        for (mine, others) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(others);
        }
    }

    /// A day goes by.
    pub fn decay(&mut self) {
        for step in &mut self.0 {
            *step /= 2;
        }
    }

    /// How many samples there are.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.weight() / u64::from(SAMPLE)
    }

    fn weight(&self) -> u64 {
        self.0.iter().map(|step| u64::from(*step)).sum()
    }

    /// Nothing is left of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.weight() == 0
    }

    /// The time that half of the samples took at most, in tenths of a millisecond: samples of a step are
    /// spread evenly over it.
    #[must_use]
    pub fn median(&self) -> Option<u64> {
        let half = self.weight().div_ceil(2);
        let mut before = 0;
        for (step, &count) in self.0.iter().enumerate() {
            let count = u64::from(count);
            if count > 0 && before + count >= half {
                let begin = if step == 0 { 0 } else { ENDS[step - 1] };
                return Some(begin + (ENDS[step] - begin) * (half - before) / count);
            }
            before += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_near() {
        for ms in [1_u32, 9, 35, 80, 119, 300, 900] {
            let mut histogram = Histogram::default();
            for _ in 0..101 {
                histogram.add(ms, 0);
            }
            let (median, exact) = (histogram.median().unwrap(), u64::from(ms) * 10);
            assert!(median.abs_diff(exact) * 8 <= exact + 8, "{ms} ms: {median}");
            assert_eq!(histogram.samples(), 101);
        }
        assert_eq!(Histogram::default().median(), None);
        let mut histogram = Histogram::default();
        histogram.add(u32::MAX, 0);
        assert!(histogram.median().unwrap() > 8000);
    }

    #[test]
    fn yesterday_counts_half() {
        let mut histogram = Histogram::default();
        histogram.add(10, 0);
        histogram.decay();
        let mut late = Histogram::default();
        late.add(10, 1);
        assert_eq!(histogram, late);
        late.add(10, 40);
        assert_eq!(histogram, late, "what is too old counts nothing");
        for _ in 0..9 {
            histogram.decay();
        }
        assert!(histogram.is_empty());
    }
}
