//! The thread that joins both sides of beacons, and writes what is observed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use jiff::Timestamp;
use rtrb::Consumer;

use super::join::{self, Fate, Hit, Join, Terms};
use super::observation::{DAY, Observation};
use super::observed::EXTENSION;
use crate::limits::{BEACON_TICK, BEACONS_QUEUED_MAX, OBSERVED_POPS_MAX, RTT_MAX_MS};
use crate::log::Log;
use crate::stats::counters::{BEACONS, Counters};
use crate::stats::sightings::Sighting;
use crate::sys::files;

/// Where those who serve clients leave hits. Nobody waits: what a full queue does not take is counted.
#[derive(Clone, Debug)]
pub struct Hits {
    queue: Sender<Hit>,
    lost: Arc<AtomicU32>,
}

impl Hits {
    /// Leaves one.
    pub fn offer(&self, hit: Hit) {
        if self.queue.try_send(hit).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What a collector is made from.
#[derive(Debug)]
pub struct Settings {
    /// What both sides are judged by.
    pub terms: Arc<ArcSwap<Terms>>,
    /// The directory of what is observed.
    pub dir: PathBuf,
    /// Where an operator is told.
    pub log: Log,
}

/// Joins both sides of beacons.
#[derive(Debug)]
pub struct Collector {
    settings: Settings,
    join: Join,
    hits: Receiver<Hit>,
    lost: Arc<AtomicU32>,
    /// Of each thread that answers.
    sightings: Vec<Consumer<Sighting>>,
    counters: Arc<Counters>,
    /// The last line could not be written, which was told.
    is_failing: bool,
}

impl Collector {
    /// One for these queues; and where hits are left for it, and what it counts with.
    #[must_use]
    pub fn new(settings: Settings, sightings: Vec<Consumer<Sighting>>) -> (Self, Hits, Arc<Counters>) {
        let (queue, hits) = bounded(BEACONS_QUEUED_MAX);
        let (lost, counters) = (Arc::new(AtomicU32::new(0)), Arc::new(Counters::default()));
        let collector = Self {
            join: Join::default(),
            settings,
            hits,
            lost: Arc::clone(&lost),
            sightings,
            counters: Arc::clone(&counters),
            is_failing: false,
        };
        (collector, Hits { queue, lost }, counters)
    }

    /// Works until there is no more `stop`.
    pub fn run(mut self, stop: &Receiver<()>) {
        while stop.recv_timeout(BEACON_TICK) == Err(RecvTimeoutError::Timeout) {
            self.turn(now());
        }
    }

    /// Joins what has come since the last time.
    fn turn(&mut self, now: u64) {
        let terms = self.settings.terms.load_full();
        let mut observed = Vec::new();
        for queue in &mut self.sightings {
            // No more than there were: nobody keeps us here.
            for _ in 0..queue.slots() {
                let Ok(sighting) = queue.pop() else { break };
                let Sighting { label, resolver, sends_subnet, is_proven } = sighting;
                if is_proven || !terms.over_tcp {
                    observed.extend(self.join.see(&label, resolver, sends_subnet, now, &terms));
                }
            }
        }
        for _ in 0..self.hits.len() {
            let Ok(hit) = self.hits.try_recv() else { break };
            observed.extend(self.join.hit(hit, now, &terms));
        }
        self.join.forget(now);
        for fate in self.join.take_fates() {
            self.counters.count(BEACONS.at([fate as usize]));
        }
        self.counters.add(BEACONS.at([Fate::Full as usize]), self.lost.swap(0, Ordering::Relaxed));
        self.write(&observed, now);
    }

    fn write(&mut self, observed: &[Observation], now: u64) {
        if observed.is_empty() {
            return;
        }
        let text: String = observed.iter().map(Observation::line).collect();
        let path = file_of(&self.settings.dir, now);
        let written = append(&path, &text);
        if let Err(error) = &written
            && !self.is_failing
        {
            let path = path.display();
            self.settings.log.warning(format!(
                "{path}: cannot be written: {error}; what beacons tell is lost until it can; give \
                 [beacons] observations a directory that this node can write"
            ));
        }
        self.is_failing = written.is_err();
    }
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    files::append(path)?.write_all(text.as_bytes())
}

/// The file of a day.
fn file_of(dir: &Path, now: u64) -> PathBuf {
    let day = i64::try_from(now / DAY * DAY).ok().and_then(|at| Timestamp::from_second(at).ok());
    let day: String = day.unwrap_or(Timestamp::UNIX_EPOCH).to_string().chars().take(10).collect();
    dir.join(day).with_extension(EXTENSION)
}

/// Bytes that it and its queues take where so many threads answer.
#[must_use]
pub fn memory_len(threads: usize) -> usize {
    /// Of a hit, besides its own: a label, and the names of PoPs.
    const HIT_LEN: usize = 512;
    let hits = BEACONS_QUEUED_MAX * (size_of::<Hit>() + HIT_LEN);
    threads * BEACONS_QUEUED_MAX * size_of::<Sighting>() + hits + join::memory_len(HIT_LEN)
}

/// Seconds of Unix time.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The times that the body of a hit says, by PoP, in milliseconds: `{"sfo":142,"nrt":11}`. A body of another
/// form says nothing; PoPs that there are none of are left out.
#[must_use]
#[expect(clippy::cast_sign_loss, reason = "what is negative is left out")]
pub fn rtts(body: &[u8], is_pop: impl Fn(&str) -> bool) -> BTreeMap<String, u32> {
    let read: BTreeMap<String, f64> = serde_json::from_slice(body).unwrap_or_default();
    let within = |ms: &f64| (0.0..=f64::from(RTT_MAX_MS)).contains(ms);
    let sound = read.into_iter().filter(|(name, ms)| is_pop(name) && within(ms));
    sound.take(OBSERVED_POPS_MAX).map(|(name, ms)| (name, ms.round() as u32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::ticket::{Key, Network};
    use crate::limits::BEACON_KEY_LEN;
    use crate::nets::places::Places;
    use crate::stats::counters::Totals;
    use std::net::IpAddr;

    #[test]
    fn bodies_say_times() {
        let is_pop = |name: &str| ["nrt", "sfo"].contains(&name);
        let read = |body: &str| rtts(body.as_bytes(), is_pop).into_iter().collect::<Vec<_>>();
        assert_eq!(read("{\"sfo\":142.4,\"nrt\":11}"), [("nrt".to_owned(), 11), ("sfo".to_owned(), 142)]);
        assert_eq!(read("{\"sfo\":-1,\"nrt\":60001,\"fra\":7}"), []);
        for body in ["", "[]", "{\"sfo\":\"142\"}", "{\"sfo\":1e999}", "\u{0}"] {
            assert_eq!(read(body), [], "{body}");
        }
    }

    #[test]
    fn what_is_joined_is_written_without_the_client() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::new([7; BEACON_KEY_LEN]);
        let settings = |over_tcp| {
            let terms = Terms { key: key.clone(), over_tcp, places: Places::default() };
            Settings {
                terms: Arc::new(ArcSwap::from_pointee(terms)),
                dir: folder.path().join("observed"),
                log: Log::silent(),
            }
        };
        let (resolver, client): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "198.51.100.77".parse().unwrap());
        let now = 1_795_824_000;
        for (over_tcp, is_proven, joined) in [(false, false, 1), (true, false, 0), (true, true, 1)] {
            let (mut seen, sightings) = rtrb::RingBuffer::new(4);
            let (mut collector, hits, counters) = Collector::new(settings(over_tcp), vec![sightings]);
            let label = key.ticket(now, [1; 6], Network::of(client)).to_string();
            hits.offer(Hit { label: label.clone().into_bytes(), client, rtts: BTreeMap::new() });
            collector.turn(now);
            let label = label.as_bytes().try_into().unwrap();
            seen.push(Sighting { label, resolver, sends_subnet: false, is_proven }).unwrap();
            collector.turn(now + 1);
            let mut totals = Totals::default();
            counters.read(&mut totals);
            assert_eq!(totals.get(BEACONS.at([Fate::Joined as usize])), joined);
            drop(collector);
            hits.offer(Hit { label: Vec::new(), client, rtts: BTreeMap::new() });
            assert_eq!(hits.lost.load(Ordering::Relaxed), 1);
        }
        let text = fs::read_to_string(folder.path().join("observed/2026-11-28.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.starts_with("{\"time\":1795824001,\"resolver\":\"192.0.2.1\",\"group\":"), "{text}");
        assert!(!text.contains("198.51"), "{text}");
    }
}
