//! The configuration, read again while the node serves. All of it is checked before any of it takes effect; a
//! mistake anywhere leaves everything as it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::Instant;

use crossbeam_channel::{Receiver, bounded};

use super::apps;
use super::placement::Placement;
use super::platform::Bounds;
use crate::board::Reloads;
use crate::config::loaded::{Loaded, Stamps};
use crate::config::platform::Platform;
use crate::config::{self, Config, Flags};
use crate::control::orders::Client;
use crate::history::unix_time;
use crate::limits::RELOAD_MAX;
use crate::problem::Problem;
use crate::stats::labels::Names;
use crate::tailor::Tailor;
use crate::zone::SpecialKind;

/// Where the configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// What goes before the file.
    pub flags: Flags,
}

impl Source {
    /// Reads it.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn read(&self) -> Result<Config, Vec<Problem>> {
        config::load(self.file.as_deref(), &self.flags)
    }
}

/// A configuration that was read again, with everything that it names.
#[derive(Debug)]
pub(super) struct Reloaded {
    pub(super) config: Config,
    pub(super) loaded: Loaded,
    /// The settings that differ from those in effect and take effect after a restart only.
    pub(super) need_restart: Vec<&'static str>,
}

impl Reloaded {
    /// Reads and checks everything. What has its name among `counted` is counted already; what is written for
    /// other programs calls the node `written_as`.
    ///
    /// # Errors
    /// Every mistake.
    pub(super) fn read(
        source: &Source,
        running: &Config,
        bounds: &Bounds,
        counted: &Names,
        written_as: &str,
    ) -> Result<Self, Vec<Problem>> {
        let mut config = source.read()?;
        // What a restart would refuse is refused now; but whether there is a user, a confined process cannot
        // see.
        Placement::here(&config)?;
        let mut need_restart = keep_what_stays(&mut config, running, written_as);
        need_restart.extend(keep_observations(&mut config, bounds.observations.as_deref()));
        let loaded = Loaded::read(&config, counted)?;
        bounds.check(loaded.snapshot.policy(), &apps::of(&loaded.snapshot))?;
        // Those that were read before are better than none.
        let missing: Vec<Problem> = [&loaded.unlearned[..], &loaded.unread].concat();
        if !missing.is_empty() {
            return Err(missing);
        }
        Ok(Self { config, loaded, need_restart })
    }
}

/// What has become of the maps.
#[derive(Debug)]
pub(super) struct MapsCourse {
    /// When the files that change by themselves were looked at.
    pub(super) looked: Instant,
    /// What they were like when they were read.
    pub(super) stamps: Stamps,
    /// Why the maps in effect are old ones, and since when.
    pub(super) stale: Option<(u64, Vec<Problem>)>,
}

impl MapsCourse {
    /// Maps that were read at the start, from files like these; what was wrong is not in effect.
    pub(super) fn new(reads: &Reloads, stamps: Stamps, problems: Vec<Problem>) -> Self {
        if !problems.is_empty() {
            reads.failed();
        }
        let stale = (!problems.is_empty()).then(|| (unix_time(), problems));
        Self { looked: Instant::now(), stamps, stale }
    }
}

/// Maps that were read again.
#[derive(Debug)]
pub(super) struct ReadMaps {
    /// What the files were like before.
    pub(super) stamps: Stamps,
    /// The maps; nothing if no file has changed.
    pub(super) tailor: Result<Option<Arc<Tailor>>, Vec<Problem>>,
}

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Extent {
    /// The maps.
    Maps,
    /// The configuration, and all that it names.
    Everything,
}

/// What was read.
#[derive(Debug)]
pub(super) enum Read {
    /// Maps alone.
    Maps(ReadMaps),
    /// Everything.
    Everything(Box<Reloaded>),
}

/// What reading has led to.
pub(super) type Outcome = Result<Read, Vec<Problem>>;

/// A reload in progress. A thread of its own reads: a file may lie on a disk that does not respond, and other
/// orders do not wait for that.
#[derive(Debug)]
pub(super) struct Reloading {
    /// How much is read.
    pub(super) extent: Extent,
    /// Who waits for the end of it.
    pub(super) clients: Vec<Client>,
    /// Who has asked since it began, and may have changed something since: so much is read again.
    pub(super) again: Option<(Extent, Vec<Client>)>,
    /// Who wants an upgrade after it.
    pub(super) upgrade: Option<Vec<Client>>,
    outcome: Receiver<Outcome>,
    began: Instant,
}

/// Reads configurations, one at a time.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Whether a thread still reads.
    is_reading: Arc<AtomicBool>,
}

impl Reader {
    /// Begins to `read`, at `now`.
    ///
    /// # Errors
    /// Why that cannot be.
    pub(super) fn begin(
        &mut self,
        extent: Extent,
        clients: Vec<Client>,
        now: Instant,
        read: impl FnOnce() -> Outcome + Send + 'static,
    ) -> Result<Reloading, (Vec<Client>, String)> {
        // One that was given up.
        if self.is_reading.load(Ordering::Acquire) {
            let error = "an earlier reload still waits for a file that does not respond";
            return Err((clients, error.to_owned()));
        }
        let (report, outcome) = bounded(1);
        let is_reading = Arc::clone(&self.is_reading);
        is_reading.store(true, Ordering::Release);
        let run = move || {
            let outcome = read();
            // Before it is known that there is one: whoever has it may begin the next.
            is_reading.store(false, Ordering::Release);
            // Nobody waits for what has taken too long.
            let _ = report.send(outcome);
        };
        match Builder::new().name("reload".to_owned()).spawn(run) {
            Ok(_) => Ok(Reloading { extent, clients, again: None, upgrade: None, outcome, began: now }),
            Err(error) => {
                self.is_reading.store(false, Ordering::Release);
                Err((clients, format!("cannot start a thread to read it: {error}")))
            }
        }
    }
}

impl Reloading {
    /// Where the outcome arrives.
    pub(super) fn outcome(&self) -> Receiver<Outcome> {
        self.outcome.clone()
    }

    /// Whether it takes too long.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        now.duration_since(self.began) >= RELOAD_MAX
    }
}

/// Whether the node's name is in what it writes for other programs.
fn writes_its_name(config: &Config) -> bool {
    config.dnstap.is_some() || config.export.folders().next().is_some()
}

/// Puts settings back to those that run, by their names, and notes which of them would have changed.
macro_rules! keep {
    ($config:ident, $changed:ident: $($name:literal: $($field:ident)+;)*) => {$(
        if $($config.$field != *$field)||+ {
            $changed.push($name);
            $($config.$field.clone_from($field);)+
        }
    )*};
}

/// Puts what only a restart changes back to what `running` has; which of that would have changed.
fn keep_what_stays(config: &mut Config, running: &Config, written_as: &str) -> Vec<&'static str> {
    let mut changed = keep_settings(config, running);
    changed.extend(keep_platform(&mut config.platform, &running.platform));
    // The rest of the cache is a habit of workers.
    if config.cache.size != running.cache.size {
        changed.push("[cache] size");
        config.cache.size = running.cache.size;
    }
    // Files and streams have one name from their beginning to their end.
    if writes_its_name(running) && config.identity.node != written_as {
        changed.push("[identity] node in [export] and [dnstap]");
    }
    changed
}

fn keep_settings(config: &mut Config, running: &Config) -> Vec<&'static str> {
    // Every setting by its name: one that is forgotten here does not compile.
    let Config {
        identity: _,
        nsid: _,
        version_txt: _,
        zones: _,
        edns_udp_size: _,
        update: _,
        drop: _,
        cookies: _,
        rate_limit: _,
        upstreams: _,
        routes: _,
        pops: _,
        tailoring: _,
        identity_zone: _,
        beacons: _, // Where they are observed: see there.
        databases: _,
        drain_time: _,
        announce: _, // Another process has these.
        listen,
        shards,
        cpus,
        steer,
        busy_poll,
        datapath,
        platform: _,
        cache: _,
        resolver,
        trace,
        user,
        rcvbuf,
        sndbuf,
        tcp,
        http,
        http_public,
        node_view,
        allowed_hosts,
        history,
        sample_every,
        export,
        xdp,
        control,
        confine,
        log,
        query_log,
        dnstap,
    } = running;
    let mut changed = Vec::new();
    // Of the log the level alone is taken over.
    let log = &crate::log::Settings { level: config.log.level, ..log.clone() };
    keep! { config, changed:
        "[server] listen": listen;
        "[server] shards": shards;
        "[server] cpus": cpus;
        "[server] steer": steer;
        "[server] busy_poll": busy_poll;
        "[server] datapath": datapath;
        "[resolver]": resolver;
        "[trace]": trace;
        "[server] user": user;
        "[server] rcvbuf": rcvbuf;
        "[server] sndbuf": sndbuf;
        "[tcp]": tcp;
        "[http]": http http_public node_view allowed_hosts;
        "[history] dir": history;
        "[sources] sample_every": sample_every;
        "[export]": export;
        "[xdp]": xdp;
        "[control] path": control;
        "[confine]": confine;
        "[log]": log;
        "[query_log]": query_log;
        "[dnstap]": dnstap;
    }
    changed
}

/// Beacons need the thread that observes them, which writes to one directory until the process ends.
fn keep_observations(config: &mut Config, running: Option<&Path>) -> Option<&'static str> {
    let beacons = config.beacons.as_mut()?;
    match running {
        Some(dir) if beacons.observations == dir => None,
        Some(dir) => {
            beacons.observations = dir.to_owned();
            Some("[beacons] observations")
        }
        None => {
            config.beacons = None;
            config.zones.specials.retain(|entry| entry.special.kind != SpecialKind::Beacon);
            Some("[beacons]")
        }
    }
}

fn keep_platform(platform: &mut Platform, running: &Platform) -> Vec<&'static str> {
    let Platform { workers, jobs, share, colo: _, rules: _, apps: _, query_timeout: _ } = running;
    let mut changed = Vec::new();
    keep! { platform, changed:
        "[platform] workers": workers;
        "[platform] jobs": jobs;
        "[platform] share": share;
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_restart_takes_is_named_and_left_as_it_is() {
        let running = Source::default().read().unwrap();
        let mut config = running.clone();
        let node = running.identity.node.clone();
        assert!(keep_what_stays(&mut config, &running, &node).is_empty());
        config.listen.pop();
        config.rcvbuf += 1;
        config.nsid = vec![1];
        let changed = keep_what_stays(&mut config, &running, &node);
        assert_eq!(changed, ["[server] listen", "[server] rcvbuf"]);
        assert_eq!((&config.listen, config.rcvbuf), (&running.listen, running.rcvbuf));
        assert_eq!(config.nsid, [1], "the rest is taken over");
    }

    #[test]
    fn a_name_that_is_written_for_others_stays_until_a_restart() {
        let mut running = Source::default().read().unwrap();
        let mut config = running.clone();
        config.identity.node = "other.example".to_owned();
        assert!(keep_what_stays(&mut config, &running, "first.example").is_empty(), "nobody is told it");
        running.export.dsc = Some("/nowhere".into());
        config.export = running.export.clone();
        let changed = ["[identity] node in [export] and [dnstap]"];
        assert_eq!(keep_what_stays(&mut config, &running, "first.example"), changed);
        assert_eq!(config.identity.node, "other.example", "answers have it");
        // It is told as long as it is so, and not only by the reload that changed it.
        running.identity.node.clone_from(&config.identity.node);
        assert_eq!(keep_what_stays(&mut config, &running, "first.example"), changed);
        assert!(keep_what_stays(&mut config, &running, "other.example").is_empty());
    }

    #[test]
    fn one_that_does_not_come_to_an_end_is_given_up_and_in_the_way_of_others() {
        let (stuck, hanging) = bounded::<()>(0);
        let (mut reader, began) = (Reader::default(), Instant::now());
        let problem = || Problem::alone("it was read");
        let read = move || {
            let _ = hanging.recv();
            Err(problem())
        };
        let all = Extent::Everything;
        let reloading = reader.begin(all, Vec::new(), began, read).unwrap();
        assert!(!reloading.is_overdue(began + RELOAD_MAX / 2) && reloading.is_overdue(began + RELOAD_MAX));
        drop(reloading);
        let (_, error) = reader.begin(all, Vec::new(), began, move || Err(problem())).unwrap_err();
        assert!(error.contains("does not respond"), "{error}");
        // The file comes in the end.
        drop(stuck);
        let reloading = loop {
            if let Ok(reloading) = reader.begin(all, Vec::new(), began, move || Err(problem())) {
                break reloading;
            }
            std::thread::yield_now();
        };
        assert_eq!(reloading.outcome().recv().unwrap().unwrap_err()[0].message, "it was read");
    }
}
