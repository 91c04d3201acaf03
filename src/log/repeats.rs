//! Lines that come again and again: the first few are written, the rest of their time is counted and told in
//! one line.

use std::collections::HashMap;
use std::time::{Instant, SystemTime};

use super::{Level, Line};
use crate::limits::{LOG_REPEATS_PER_TIME_MAX, LOG_REPEATS_TIME, LOG_REPEATS_TOLD_APART_MAX};

/// The lines of late.
#[derive(Debug, Default)]
pub(super) struct Repeats(HashMap<(Level, String), Repeat>);

#[derive(Debug)]
struct Repeat {
    since: Instant,
    /// How often it was written.
    written: u32,
    /// How often it was left out since.
    left_out: u64,
}

impl Repeats {
    /// Whether `line` is to be written.
    pub(super) fn admits(&mut self, line: &Line, now: Instant) -> bool {
        let key = (line.level, line.message.clone());
        if let Some(repeat) = self.0.get_mut(&key) {
            let is_few = repeat.written < LOG_REPEATS_PER_TIME_MAX;
            if is_few {
                repeat.written += 1;
            } else {
                repeat.left_out += 1;
            }
            return is_few;
        }
        // With more lines than are told apart they are not each other's repetitions.
        if self.0.len() < LOG_REPEATS_TOLD_APART_MAX {
            self.0.insert(key, Repeat { since: now, written: 1, left_out: 0 });
        }
        true
    }

    /// Forgets the lines whose time is over at `now`; with `None`, all. What is to be said of those that were
    /// left out.
    pub(super) fn over(&mut self, now: Option<Instant>) -> Vec<Line> {
        let is_over =
            |repeat: &Repeat| now.is_none_or(|now| now.duration_since(repeat.since) >= LOG_REPEATS_TIME);
        let over = self.0.extract_if(|_, repeat| is_over(repeat));
        let told = over.filter(|(_, repeat)| repeat.left_out > 0).map(|((level, message), repeat)| {
            let message = format!("repeated {} more times: {message}", repeat.left_out);
            Line { level, at: SystemTime::now(), message, fields: Vec::new() }
        });
        told.collect()
    }

    /// Whether there is something to tell later.
    pub(super) fn is_waiting(&self) -> bool {
        self.0.values().any(|repeat| repeat.left_out > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str) -> Line {
        Line { level: Level::Error, at: SystemTime::now(), message: message.to_owned(), fields: vec![] }
    }

    #[test]
    fn the_first_few_are_written_and_the_rest_is_counted() {
        let (mut repeats, began) = (Repeats::default(), Instant::now());
        let admitted = (0..100).filter(|_| repeats.admits(&line("full"), began)).count();
        assert_eq!(admitted, LOG_REPEATS_PER_TIME_MAX as usize);
        assert!(repeats.admits(&line("other"), began));
        assert!(repeats.is_waiting());
        let later = began + LOG_REPEATS_TIME;
        assert_eq!(repeats.over(Some(later - std::time::Duration::from_millis(1))), []);
        let told = repeats.over(Some(later));
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].level, told[0].message.as_str()), (Level::Error, "repeated 97 more times: full"));
        assert!(!repeats.is_waiting() && repeats.admits(&line("full"), later));
    }

    #[test]
    fn what_is_told_apart_is_bounded() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        for number in 0..2 * LOG_REPEATS_TOLD_APART_MAX {
            assert!(repeats.admits(&line(&number.to_string()), now));
        }
        assert_eq!(repeats.0.len(), LOG_REPEATS_TOLD_APART_MAX);
        assert!((0..10).all(|_| repeats.admits(&line("one more"), now)));
        assert_eq!(repeats.over(None), []);
        assert!(repeats.0.is_empty());
    }
}
