//! What announcers say of the routes to this node, for as long as they are connected.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::announce::report::{Report, Route};
use crate::limits::REPORT_ROUTES_MAX;

/// An announcer that is connected.
#[derive(Clone, Debug, Serialize)]
pub struct Announcer {
    /// Its process, where the kernel says.
    pub pid: Option<u32>,
    /// What it said last.
    #[serde(flatten)]
    pub report: Report,
}

/// Those that are connected. There is mostly one.
#[derive(Clone, Debug, Default)]
pub struct Announcers(Arc<Mutex<Vec<(u64, Announcer)>>>);

/// An announcer's entry, which goes with its connection.
#[derive(Debug)]
pub struct Entry {
    all: Announcers,
    number: u64,
}

impl Announcers {
    /// One more, which says something for the first time.
    #[must_use]
    pub fn enter(&self, pid: Option<u32>) -> Entry {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = all.last().map_or(0, |(last, _)| last + 1);
        all.push((number, Announcer { pid, report: Report::default() }));
        Entry { all: self.clone(), number }
    }

    /// All of them, as they are now.
    #[must_use]
    pub fn read(&self) -> Vec<Announcer> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(_, announcer)| announcer.clone()).collect()
    }

    /// The prefixes that any of them knows. One is announced where all that know it announce it: a router
    /// that has lost it is not made up for by another.
    #[must_use]
    pub fn routes(&self) -> Vec<Route> {
        let mut routes: Vec<Route> = Vec::new();
        for route in self.read().into_iter().flat_map(|announcer| announcer.report.routes) {
            match routes.iter_mut().find(|known| known.prefix == route.prefix) {
                Some(known) => {
                    known.announced &= route.announced;
                    known.held_seconds = known.held_seconds.max(route.held_seconds);
                    known.failing.extend(route.failing);
                }
                None => routes.push(route),
            }
        }
        routes
    }
}

impl Entry {
    /// It says how its routes are now.
    pub fn said(&self, mut report: Report) {
        report.routes.truncate(REPORT_ROUTES_MAX);
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.iter_mut().find(|(number, _)| *number == self.number);
        if let Some((_, announcer)) = own {
            announcer.report = report;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_an_entry_for_as_long_as_it_is_there() {
        let announcers = Announcers::default();
        let [first, second] = [1, 2].map(|pid| announcers.enter(Some(pid)));
        second.said(Report { router: "BIRD".to_owned(), ..Report::default() });
        let told = |announcers: &Announcers| -> Vec<(Option<u32>, String)> {
            announcers.read().into_iter().map(|one| (one.pid, one.report.router)).collect()
        };
        assert_eq!(told(&announcers), [(Some(1), String::new()), (Some(2), "BIRD".to_owned())]);
        drop(first);
        let third = announcers.enter(None);
        assert_eq!(told(&announcers), [(Some(2), "BIRD".to_owned()), (None, String::new())]);
        drop((second, third));
        assert!(announcers.read().is_empty());
    }
}
