//! Unique sources by day: the sketches of all threads, merged, with those of earlier runs.

use std::collections::BTreeMap;

use crate::stats::uniques::{KINDS, Sketch, Uniques};

/// A sketch for each of [`KINDS`].
pub type Sketches = [Sketch; KINDS.len()];

/// The sketches of today and yesterday, by day of Unix time.
#[derive(Debug, Default)]
pub struct UniquesOfDays(BTreeMap<u64, Day>);

#[derive(Debug, Default)]
struct Day {
    sketches: Sketches,
    /// What of it was stored.
    stored: Sketches,
}

impl UniquesOfDays {
    /// Adds what a thread has seen today, which is what the threads were told that it is. What it saw
    /// yesterday is looked at as well, for the last of that may have come after the last look.
    ///
    /// A thread empties the sketches of neither: it begins a day only when it is told to, in place of the day
    /// before the last.
    pub fn gather(&mut self, uniques: &Uniques, today: u64) {
        let is_kept = |day: u64| day == today || day.wrapping_add(1) == today;
        self.0.retain(|&day, _| is_kept(day));
        for day in [today.wrapping_sub(1), today].into_iter().filter(|&day| uniques.has(day)) {
            uniques.merge_into(day, self.of(day));
        }
    }

    /// The sketches of a day.
    pub fn of(&mut self, day: u64) -> &mut Sketches {
        &mut self.0.entry(day).or_default().sketches
    }

    /// How many different sources were seen on a day, about.
    #[must_use]
    pub fn estimates(&self, day: u64) -> [u64; KINDS.len()] {
        self.0.get(&day).map_or([0; KINDS.len()], |day| day.sketches.each_ref().map(Sketch::estimate))
    }

    /// Adds what another has seen, which is to be stored with the rest.
    pub fn merge(&mut self, other: Self) {
        for (day, of) in other.0 {
            self.of(day)
                .iter_mut()
                .zip(&of.sketches)
                .for_each(|(sketch, other)| sketch.merge(other.registers()));
        }
    }

    /// Days of which there is more than was stored.
    pub fn changed(&self) -> impl Iterator<Item = (u64, &Sketches)> {
        self.0.iter().filter(|(_, day)| day.sketches != day.stored).map(|(&day, of)| (day, &of.sketches))
    }

    /// All of it is stored now.
    pub fn stored(&mut self) {
        for day in self.0.values_mut() {
            day.stored.clone_from(&day.sketches);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn days_are_gathered_across_midnight() {
        let thread = Uniques::new(10);
        let see = |last| thread.see(Ipv4Addr::new(192, 0, 2, last).into());
        let mut days = UniquesOfDays::default();
        see(1);
        days.gather(&thread, 10);
        assert_eq!(
            days.changed().map(|one| one.0).collect::<Vec<_>>(),
            [10],
            "of the day before there is nothing"
        );
        days.stored();
        assert_eq!(days.changed().count(), 0);
        see(2);
        // The threads were told that it is day 11; this one has not looked yet.
        days.gather(&thread, 11);
        see(3);
        thread.turn_to(11);
        see(4);
        days.gather(&thread, 11);
        assert_eq!((days.estimates(10)[0], days.estimates(11)[0], days.estimates(12)[0]), (3, 1, 0));
        thread.turn_to(12);
        days.gather(&thread, 12);
        days.stored();
        assert_eq!((days.estimates(10)[0], days.estimates(11)[0]), (0, 1));
        // The clock was a day ahead: what was seen then is of no day that there is, and nothing is lost.
        thread.turn_to(11);
        see(5);
        days.gather(&thread, 11);
        assert_eq!((days.estimates(10)[0], days.estimates(11)[0], days.estimates(12)[0]), (0, 2, 0));
    }
}
