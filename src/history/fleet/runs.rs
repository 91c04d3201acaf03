//! Which numbers of minutes were heard: runs of numbers without a gap, as few as there are.

use crate::limits::FLEET_RUNS_MAX;

/// The runs, from first to last, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs(Vec<(u64, u64)>);

impl Runs {
    /// Reads what [`text`](Self::text) wrote.
    pub(super) fn read(text: &str) -> Self {
        let run = |run: &str| {
            let (first, last) = run.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        Self(text.split(' ').filter_map(run).collect())
    }

    /// As `7-9 11-11`.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|(first, last)| format!("{first}-{last}")).collect::<Vec<_>>().join(" ")
    }

    /// The last number.
    pub(super) fn last(&self) -> Option<u64> {
        self.0.last().map(|run| run.1)
    }

    /// Notes a number. Whether it is new.
    pub(super) fn add(&mut self, number: u64) -> bool {
        let at = self.0.partition_point(|run| run.1 < number);
        if self.0.get(at).is_some_and(|run| run.0 <= number) {
            return false;
        }
        let touches_next = self.0.get(at).is_some_and(|run| run.0 == number + 1);
        let touches_last = at > 0 && self.0[at - 1].1 + 1 == number;
        match (touches_last, touches_next) {
            (true, true) => self.0[at - 1].1 = self.0.remove(at).1,
            (true, false) => self.0[at - 1].1 = number,
            (false, true) => self.0[at].0 = number,
            (false, false) => self.0.insert(at, (number, number)),
        }
        if self.0.len() > FLEET_RUNS_MAX {
            let (first, _) = self.0.remove(0);
            self.0[0].0 = first;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_new_once_in_whatever_order() {
        let mut runs = Runs::default();
        for (number, text) in
            [(5, "5-5"), (7, "5-5 7-7"), (6, "5-7"), (9, "5-7 9-9"), (8, "5-9"), (4, "4-9"), (1, "1-1 4-9")]
        {
            assert!(runs.add(number) && !runs.add(number), "{number}");
            assert_eq!(runs.text(), text);
            assert_eq!(Runs::read(text), runs);
        }
        assert_eq!(Runs::read(""), Runs::default());
    }

    #[test]
    fn of_too_many_the_oldest_become_one() {
        let mut runs = Runs::default();
        (0..=FLEET_RUNS_MAX as u64).for_each(|number| assert!(runs.add(10 * number)));
        assert_eq!(runs.0.len(), FLEET_RUNS_MAX);
        assert!(runs.text().starts_with("0-10 20-20 "));
        assert!(!runs.add(5), "what comes of a gap that was given up is heard no more");
        assert!(runs.add(15));
    }
}
