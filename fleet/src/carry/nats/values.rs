//! What changes: pointers and the roll, the log, and what nodes say of themselves. Streams, one message each.

use std::time::{Duration, SystemTime};

use async_nats::HeaderMap;
use async_nats::jetstream::stream::{Config, DiscardPolicy};
use serde_json::Value;

use super::Nats;
use super::direct::Kept;
use crate::carry::{Fault, Said};
use crate::limits::{
    LOG_KEPT, MESSAGE_LEN_MAX, MESSAGES_AT_ONCE, MESSAGES_MAX, MINUTES_KEPT, POINTERS_KEPT, SKETCHES_KEPT,
};
use crate::limits::{NATS_TIMEOUT, VALUE_LEN_MAX};

/// What the server answers to whom it was overtaken by ("wrong last sequence").
const OVERTAKEN: u64 = 10_071;

/// What nodes tell beside their reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// What was counted in a minute.
    Minutes,
    /// Sketches of sources, one for each day.
    Sketches,
}

/// Something of a [`Feed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its number in the stream: ask for what comes behind it.
    pub sequence: u64,
    /// Who told it, and what more its subject says: `ams1`, `ams1.2026-11-30`.
    pub by: String,
    /// When the server stored it, in seconds of Unix time: clocks of nodes may be off.
    pub at: u64,
    /// What it is.
    pub text: Vec<u8>,
}

impl Feed {
    const fn stream(self) -> &'static str {
        match self {
            Self::Minutes => "minutes",
            Self::Sketches => "sketches",
        }
    }

    const fn subject(self) -> &'static str {
        match self {
            Self::Minutes => "minute",
            Self::Sketches => "sketch",
        }
    }
}

impl Nats {
    fn stream(&self, what: &str) -> String {
        format!("fleet_{}_{what}", self.fleet)
    }

    pub(super) fn subject(&self, rest: &str) -> String {
        format!("fleet.{}.{rest}", self.fleet)
    }

    /// The subject of a value, if the name is one's.
    fn value_subject(&self, name: &str) -> Option<String> {
        if name == "rolls/current" {
            return Some(self.subject("roll"));
        }
        let scope = name.strip_prefix("pointers/")?;
        Some(self.subject(&format!("pointer.{}", scope.replace('/', "."))))
    }

    /// What has this name.
    pub(in crate::carry) async fn read(&self, name: &str, len_max: u64) -> Result<Option<Vec<u8>>, Fault> {
        let Some(subject) = self.value_subject(name) else { return self.read_object(name, len_max).await };
        let found = self.last(&self.for_values(), &self.stream("pointers"), &subject).await?;
        let Some(found) = found else { return Ok(None) };
        if found.payload.len() as u64 > len_max {
            return Err(Fault::TooLong(format!("{name}: it has more than {len_max} bytes")));
        }
        Ok(Some(found.payload.to_vec()))
    }

    /// The names in a folder of the tree.
    pub(in crate::carry) async fn list(&self, folder: &str) -> Result<Vec<String>, Fault> {
        let prefix = format!("{folder}/");
        let names = match folder.strip_prefix("pointers") {
            Some(_) => {
                let filter = self.subject("pointer.>");
                let kept = self.all("pointers", &filter, 1).await?;
                let begin = self.subject("pointer.");
                let scope =
                    |kept: &Kept| kept.subject.strip_prefix(&begin).map(|rest| rest.replace('.', "/"));
                kept.iter().filter_map(scope).map(|scope| format!("pointers/{scope}")).collect()
            }
            None => self.list_objects(&prefix).await?,
        };
        let below = |name: &String| Some(name.strip_prefix(&prefix)?.split('/').next()?.to_owned());
        let mut names: Vec<String> = names.iter().filter_map(below).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Replaces a value that is still `old`. Only the hub does.
    pub(in crate::carry) async fn swap(
        &self,
        name: &str,
        old: Option<&[u8]>,
        new: &[u8],
    ) -> Result<(), Fault> {
        let subject =
            self.value_subject(name).ok_or_else(|| Fault::Refused(format!("{name}: not a value")))?;
        let hub = [self.hub()];
        let stream = self.stream("pointers");
        let found = self.last(&hub, &stream, &subject).await?;
        if found.as_ref().map(|kept| &*kept.payload) != old {
            return Err(Fault::Changed(found.map(|kept| kept.payload.to_vec())));
        }
        let mut headers = HeaderMap::new();
        let sequence = found.map_or(0, |kept| kept.sequence).to_string();
        headers.insert("Nats-Expected-Last-Subject-Sequence", sequence.as_str());
        match self.put_message(subject.clone(), headers, new.to_vec()).await? {
            None => Ok(()),
            Some((OVERTAKEN, _)) => {
                let now = self.last(&hub, &stream, &subject).await?;
                Err(Fault::Changed(now.map(|kept| kept.payload.to_vec())))
            }
            Some((_, why)) => Err(Fault::Refused(format!("{}: {why}", self.url()))),
        }
    }

    /// Publishes into a stream; why the server did not store it, with its number.
    async fn put_message(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Vec<u8>,
    ) -> Result<Option<(u64, String)>, Fault> {
        let stored = self.ask(subject, headers, payload, NATS_TIMEOUT).await?;
        let answer: Value = serde_json::from_slice(&stored.payload).unwrap_or_default();
        let error = &answer["error"];
        if answer["seq"].is_u64() && error.is_null() {
            return Ok(None);
        }
        let text = error["description"].as_str().unwrap_or("it says nothing of what it stored").to_owned();
        Ok(Some((error["err_code"].as_u64().unwrap_or_default(), text)))
    }

    async fn tell_subject(&self, subject: String, payload: Vec<u8>) -> Result<(), Fault> {
        match self.put_message(subject, HeaderMap::new(), payload).await? {
            None => Ok(()),
            Some((_, why)) => Err(Fault::Refused(format!("{}: {why}", self.url()))),
        }
    }

    /// Adds a line to the log.
    pub(in crate::carry) async fn append(&self, line: &str) -> Result<(), Fault> {
        self.tell_subject(self.subject("log"), line.as_bytes().to_vec()).await
    }

    /// The lines of the log.
    pub(in crate::carry) async fn log(&self) -> Result<Vec<String>, Fault> {
        let kept = self.all("log", &self.subject("log"), 1).await?;
        Ok(kept.iter().map(|kept| String::from_utf8_lossy(&kept.payload).into_owned()).collect())
    }

    /// Replaces what a node says of itself.
    pub(in crate::carry) async fn report(&self, node: &str, text: &[u8]) -> Result<(), Fault> {
        self.tell_subject(self.subject(&format!("status.{node}")), text.to_vec()).await
    }

    /// What all nodes say of themselves.
    ///
    /// # Errors
    /// If the server is away, or refuses.
    pub async fn reports(&self) -> Result<Vec<Said>, Fault> {
        let kept = self.all("status", &self.subject("status.*"), 1).await?;
        let begin = self.subject("status.");
        let said = |kept: Kept| {
            let node = kept.subject.strip_prefix(&begin).unwrap_or_default().to_owned();
            Said { node, age: age(&kept.at), text: kept.payload.to_vec() }
        };
        let mut said: Vec<Said> = kept.into_iter().map(said).collect();
        said.sort_unstable_by(|one, other| one.node.cmp(&other.node));
        Ok(said)
    }

    /// Tells something of a feed, as node `by` (see [`Told::by`]).
    ///
    /// # Errors
    /// If the server is away, or refuses.
    pub async fn tell(&self, feed: Feed, by: &str, text: Vec<u8>) -> Result<(), Fault> {
        self.tell_subject(self.subject(&format!("{}.{by}", feed.subject())), text).await
    }

    /// What has been told behind the message with the number `after`, some of it: ask again until there is
    /// nothing.
    ///
    /// # Errors
    /// If the server is away, or refuses.
    pub async fn told(&self, feed: Feed, after: u64) -> Result<Vec<Told>, Fault> {
        let begin = self.subject(&format!("{}.", feed.subject()));
        let filter = format!("{begin}>");
        let stream = self.stream(feed.stream());
        let (kept, _) = self.some(&self.hub(), &stream, &filter, after + 1, MESSAGES_AT_ONCE).await?;
        let told = |kept: Kept| {
            let by = kept.subject.strip_prefix(&begin).unwrap_or_default().to_owned();
            let at = stored(&kept.at).and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
            Told {
                sequence: kept.sequence,
                by,
                at: at.unwrap_or_default().as_secs(),
                text: kept.payload.to_vec(),
            }
        };
        Ok(kept.into_iter().map(told).collect())
    }

    /// Everything of a stream whose subject `filter` matches.
    async fn all(&self, stream: &str, filter: &str, from: u64) -> Result<Vec<Kept>, Fault> {
        let (hub, stream) = (self.hub(), self.stream(stream));
        let (mut all, mut from) = (Vec::new(), from);
        loop {
            let (found, more) = self.some(&hub, &stream, filter, from, MESSAGES_AT_ONCE).await?;
            let Some(last) = found.last() else { return Ok(all) };
            from = last.sequence + 1;
            all.extend(found);
            if !more || all.len() > MESSAGES_MAX {
                return Ok(all);
            }
        }
    }

    /// Makes the streams and the object store of the fleet, where they are not there.
    pub(in crate::carry) async fn prepare(&self) -> Result<(), Fault> {
        self.connected(NATS_TIMEOUT).await?;
        let context = self.context();
        for config in self.streams() {
            if context.get_stream(&config.name).await.is_ok() {
                continue;
            }
            let made = context.create_stream(config).await;
            made.map_err(|error| Fault::Refused(format!("{}: {error}", self.url())))?;
        }
        self.prepare_objects().await
    }

    fn streams(&self) -> Vec<Config> {
        let stream = |what: &str, subjects: &[&str], kept: i64, max_age: Duration| Config {
            name: self.stream(what),
            subjects: subjects.iter().map(|rest| self.subject(rest)).collect(),
            max_messages_per_subject: kept,
            max_message_size: VALUE_LEN_MAX as i32,
            max_age,
            // What is refused is told; what is dropped nobody hears of.
            discard: if kept > 0 { DiscardPolicy::Old } else { DiscardPolicy::New },
            allow_direct: true,
            ..Config::default()
        };
        let forever = Duration::ZERO;
        vec![
            stream("pointers", &["pointer.>", "roll"], POINTERS_KEPT, forever),
            stream("status", &["status.*"], 1, forever),
            stream("log", &["log"], 0, LOG_KEPT),
            Config { max_message_size: MESSAGE_LEN_MAX, ..stream("minutes", &["minute.*"], 0, MINUTES_KEPT) },
            Config {
                max_message_size: MESSAGE_LEN_MAX,
                ..stream("sketches", &["sketch.>"], 1, SKETCHES_KEPT)
            },
        ]
    }
}

/// How long ago the server stored something, by our clock.
fn age(at: &str) -> Duration {
    stored(at).and_then(|stored| stored.elapsed().ok()).unwrap_or_default()
}

fn stored(at: &str) -> Option<SystemTime> {
    at.parse::<jiff::Timestamp>().map(SystemTime::from).ok()
}
