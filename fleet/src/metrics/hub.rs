//! Streams of NATS, read by direct gets from the last message on that is in the history. At a start they are
//! read from their beginning: two days, and all of it counts already or does from now on.

use std::collections::HashMap;
use std::time::Instant;

use as112d::history::fleet::Kind;
use as112d::history::unix_time;

use super::source::Message;
use crate::carry::{Feed, Nats};
use crate::limits::{ASK_EVERY, STREAM_QUIET_MAX};

/// A stream, and how far it was read.
#[derive(Debug)]
struct Place {
    feed: Feed,
    kind: Kind,
    /// The last message that is in the history, and the last that was read.
    taken: u64,
    read: u64,
    /// When anything came of it.
    moved: Instant,
}

impl Place {
    fn new(feed: Feed, kind: Kind) -> Self {
        Self { feed, kind, taken: 0, read: 0, moved: Instant::now() }
    }
}

/// The hub.
#[derive(Debug)]
pub struct Hub {
    nats: Nats,
    places: [Place; 2],
    /// When reports were asked for, and when the last one of each node had arrived.
    asked: Option<Instant>,
    reported: HashMap<String, u64>,
}

impl Hub {
    pub(super) fn new(nats: Nats) -> Self {
        let places = [Place::new(Feed::Minutes, Kind::Minute), Place::new(Feed::Sketches, Kind::Sketches)];
        Self { nats, places, asked: None, reported: HashMap::new() }
    }

    pub(super) async fn next(&mut self) -> (Vec<Message>, Vec<String>) {
        let (mut messages, mut faults) = (Vec::new(), Vec::new());
        for place in &mut self.places {
            match self.nats.told(place.feed, place.taken).await {
                Ok(told) => {
                    if let Some(last) = told.last() {
                        (place.read, place.moved) = (last.sequence, Instant::now());
                    } else if place.moved.elapsed() > STREAM_QUIET_MAX {
                        (place.taken, place.read, place.moved) = (0, 0, Instant::now());
                    }
                    messages.extend(told.into_iter().map(|told| {
                        // Of sketches the subject has the day, too.
                        let node = told.by.split('.').next().unwrap_or_default().to_owned();
                        Message { kind: place.kind, node, arrived: told.at, text: told.text }
                    }));
                }
                Err(fault) => faults.push(fault.to_string()),
            }
        }
        if self.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY) {
            self.asked = Some(Instant::now());
            match self.nats.reports().await {
                Ok(said) => messages.extend(self.new_reports(said)),
                Err(fault) => faults.push(fault.to_string()),
            }
        }
        (messages, faults)
    }

    fn new_reports(&mut self, said: Vec<crate::carry::Said>) -> Vec<Message> {
        let now = unix_time();
        let mut new = Vec::new();
        for said in said {
            let arrived = now.saturating_sub(said.age.as_secs());
            let last = self.reported.insert(said.node.clone(), arrived);
            // Seconds are rounded twice.
            if last.is_none_or(|last| arrived > last + 1) {
                new.push(Message { kind: Kind::Report, node: said.node, arrived, text: said.text });
            }
        }
        new
    }

    pub(super) fn taken(&mut self) {
        self.places.iter_mut().for_each(|place| place.taken = place.read);
    }
}
