//! What a node was told to do when: what it has a right to answer by.

use std::sync::Mutex;
use std::time::Instant;

/// Which version was in force when.
#[derive(Default)]
pub struct Calendar(Mutex<Vec<(usize, Instant, Option<Instant>)>>);

impl Calendar {
    /// A change to a version begins.
    pub fn begins(&self, version: usize) {
        self.0.lock().expect("nobody panics").push((version, Instant::now(), None));
    }

    /// It is done: no earlier one is in force.
    pub fn is_done(&self) {
        let mut all = self.0.lock().expect("nobody panics");
        let earlier = all.len() - 1;
        for (.., until) in &mut all[..earlier] {
            until.get_or_insert_with(Instant::now);
        }
    }

    /// Whether a version of which this is true was in force after `at`.
    pub fn had(&self, at: Instant, is_it: impl Fn(usize) -> bool) -> bool {
        // What was handed over before a change is finished by the rules that took it.
        let all = self.0.lock().expect("nobody panics");
        let mut since = all.iter().filter(|(.., until)| until.is_none_or(|until| until >= at));
        since.any(|(version, ..)| is_it(*version))
    }
}
