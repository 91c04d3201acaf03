//! Maps, read again by themselves: on an order, and when a file has changed that others than the operator
//! write. Zones and settings stay as they are, and so does what is known of PoPs.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use super::life::Node;
use super::reload::{Extent, Read, ReadMaps};
use crate::config::loaded::Stamps;
use crate::control::orders::{Client, problems_as_json};
use crate::history::unix_time;
use crate::limits::{MAPS_LOOK, PUBLISH_WAIT_MAX};
use crate::problem::Problem;
use crate::tailor::Tailor;

impl Node {
    /// Begins to read the maps, if files differ from those that `unless` was taken of.
    pub(super) fn begin_maps(&mut self, clients: Vec<Client>, unless: Option<Stamps>) {
        let Some(health) = self.published.newest().tailor().map(|tailor| Arc::clone(tailor.health())) else {
            let error = "no [[pool]] and no [identity_zone] is configured, so no map is asked";
            return clients.into_iter().for_each(|client| client.failed(error, &[]));
        };
        let spec = self.config.tailoring.clone();
        let read = move || {
            let stamps = Stamps::of(&spec);
            let tailor = match unless.is_some_and(|unless| unless == stamps) {
                true => Ok(None),
                false => Tailor::new(&spec, health).map(|tailor| Some(Arc::new(tailor))),
            };
            Ok(Read::Maps(ReadMaps { stamps, tailor }))
        };
        match self.course.reader.begin(Extent::Maps, clients, Instant::now(), read) {
            Ok(reloading) => self.course.reloading = Some(reloading),
            Err((clients, error)) => self.maps_failed(clients, Problem::alone(error)),
        }
    }

    /// Looks now and then whether a file has changed that others write; on the thread that reads, as the
    /// disk may not respond.
    pub(super) fn look_at_maps(&mut self, now: Instant) {
        let is_due = now.duration_since(self.course.maps.looked) >= MAPS_LOOK;
        let is_free = self.course.reloading.is_none() && !self.succession.is_under_way();
        if is_due && is_free && self.course.maps.stamps.are_any() {
            self.course.maps.looked = now;
            let stamps = self.course.maps.stamps.clone();
            self.begin_maps(Vec::new(), Some(stamps));
        }
    }

    pub(super) fn take_over_maps(&mut self, read: ReadMaps, clients: Vec<Client>) {
        let ReadMaps { stamps, tailor } = read;
        let tailor = match tailor {
            Ok(Some(tailor)) => tailor,
            Ok(None) => return,
            Err(problems) => {
                // It is told once, and not each time that somebody looks.
                self.course.maps.stamps = stamps;
                return self.maps_failed(clients, problems);
            }
        };
        let maps = self.config.tailoring.maps.len();
        let snapshot = self.published.newest().with_tailor(tailor);
        let is_everywhere = self.published.publish(snapshot, PUBLISH_WAIT_MAX);
        self.maps_changed(stamps);
        self.say(&format!("reload: {maps} {}", if maps == 1 { "map" } else { "maps" }));
        for client in clients {
            if is_everywhere {
                client.done(json!({ "maps": maps }));
            } else {
                client.failed("a serving thread is stuck and still uses the old maps", &[]);
            }
        }
    }

    /// The maps in effect are those of files that were like this.
    pub(super) fn maps_changed(&mut self, stamps: Stamps) {
        self.board.maps.succeeded(unix_time());
        self.board.tailor.store(self.published.newest().tailor().cloned());
        self.course.maps.stamps = stamps;
        self.course.maps.stale = None;
    }

    pub(super) fn maps_failed(&mut self, clients: Vec<Client>, problems: Vec<Problem>) {
        self.board.maps.failed();
        let error = "the new maps have errors; the old ones stay in effect";
        self.log.error(format!("reload: {error}"));
        problems.iter().for_each(|problem| self.log.error(format!("reload: {problem}")));
        clients.into_iter().for_each(|client| client.failed(error, &problems));
        let since = self.course.maps.stale.as_ref().map_or_else(unix_time, |(since, _)| *since);
        self.course.maps.stale = Some((since, problems));
    }

    /// What is to be said of the maps, if any is asked.
    pub(super) fn maps(&self) -> Value {
        let stale = self.course.maps.stale.as_ref();
        let stale =
            stale.map(|(since, problems)| json!({ "since": since, "problems": problems_as_json(problems) }));
        let told = json!({
            "count": self.config.tailoring.maps.len(),
            "loaded_at": self.board.maps.loaded_at(),
            "stale": stale,
        });
        self.published.newest().tailor().map_or(Value::Null, |_| told)
    }
}
