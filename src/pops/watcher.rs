//! The life of `as112d watch`: probes and files come in, the node is told.

use std::io;
use std::path::Path;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::report::{Report, Seen};
use super::settings::{Settings, Watched, Way};
use super::threads::{Event, LOOK_EVERY, Lookouts, watch_signals};
use crate::announce::state::{News, Standing};
use crate::announce::{Daemon, Reports, follow};
use crate::limits::{ANNOUNCE_EVENTS_MAX, REPORT_EVERY, REPORT_REASON_LEN_MAX, WATCH_RETRY_EVERY};
use crate::log::Log;

/// Where a watcher runs.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The node that it tells.
    pub daemon: Daemon,
    /// Whether it was started from a terminal.
    pub has_terminal: bool,
    /// Where what it sees is told.
    pub log: Log,
}

/// Watches until a signal. `again` reads the settings again.
///
/// # Errors
/// If it cannot start.
pub fn watch(
    settings: Settings,
    around: Surroundings,
    again: impl Fn() -> Result<Settings, String>,
) -> Result<(), String> {
    let Surroundings { daemon, has_terminal, log } = around;
    let (sender, events) = bounded(ANNOUNCE_EVENTS_MAX);
    let cannot = |error: io::Error| format!("cannot start: {error}");
    watch_signals(has_terminal, &sender).map_err(cannot)?;
    let (reports, to_tell) = bounded(1);
    follow_node(daemon, to_tell, sender.clone()).map_err(cannot)?;
    let mut watcher = Watcher::new(settings, reports, log);
    let mut lookouts = watcher.look(0, &sender).map_err(cannot)?;
    loop {
        match watcher.turn(&events, lookouts.round) {
            End::Stopped(why) => {
                watcher.log.info(format!("{why}: the node keeps what it was told last"));
                return Ok(());
            }
            End::Reload => match again() {
                Ok(settings) if settings != watcher.settings() => {
                    let round = lookouts.round + 1;
                    watcher.change(settings);
                    watcher.log.info("reload: the new settings are in effect");
                    lookouts = watcher.look(round, &sender).map_err(cannot)?;
                }
                Ok(_) => watcher.log.info("reload: nothing has changed"),
                Err(why) => watcher.log.error(format!("reload: {why}; the old settings stay in effect")),
            },
        }
    }
}

fn follow_node(daemon: Daemon, reports: Receiver<String>, events: Sender<Event>) -> io::Result<()> {
    let reports = Reports::start(reports)?;
    let tell = move |news| events.send(Event::Told(news)).is_ok();
    let run = move || follow(&daemon, WATCH_RETRY_EVERY, &reports, tell);
    std::thread::Builder::new().name("node".to_owned()).spawn(run)?;
    Ok(())
}

/// How a round of a watcher ends.
enum End {
    Stopped(String),
    Reload,
}

/// What is known of a PoP.
#[derive(Debug)]
struct Known {
    watched: Watched,
    judged: Judged,
    /// Why the last probe failed.
    why: Option<String>,
}

/// Whether it is up, if that is known yet: it is once the probes so far lead to the same from either state.
/// Until then the node believes what an earlier watcher told it.
#[derive(Clone, Copy, Debug)]
struct Judged([Standing; 2]);

impl Default for Judged {
    fn default() -> Self {
        Self([Standing::down(), Standing::up(0)])
    }
}

impl Judged {
    /// A file says so.
    const fn told(is_up: bool) -> Self {
        Self([if is_up { Standing::up(0) } else { Standing::down() }; 2])
    }

    fn is_up(self) -> Option<bool> {
        let [low, high] = self.0.map(|standing| standing.is_up());
        Some(low).filter(|_| low == high)
    }
}

struct Watcher {
    known: Vec<Known>,
    /// The last report and its time, and where they go.
    reported: Option<(Instant, Report)>,
    reports: Sender<String>,
    log: Log,
}

impl Watcher {
    fn new(settings: Settings, reports: Sender<String>, log: Log) -> Self {
        let mut watcher = Self { known: Vec::new(), reported: None, reports, log };
        watcher.change(settings);
        watcher
    }

    fn settings(&self) -> Settings {
        self.known.iter().map(|known| known.watched.clone()).collect()
    }

    /// Goes over to other settings. A PoP that is watched as before stays as it is.
    fn change(&mut self, settings: Settings) {
        let mut before = std::mem::take(&mut self.known);
        let same = |watched: Watched, before: &mut Vec<Known>| {
            let at = before.iter().position(|known| known.watched == watched);
            at.map_or_else(
                || Known { watched, judged: Judged::default(), why: None },
                |at| before.swap_remove(at),
            )
        };
        self.known = settings.into_iter().map(|watched| same(watched, &mut before)).collect();
    }

    fn look(&self, round: usize, events: &Sender<Event>) -> io::Result<Lookouts> {
        let count = self.known.len();
        self.log.info(format!("watching {count} {}", if count == 1 { "PoP" } else { "PoPs" }));
        Lookouts::start(&self.settings(), round, events)
    }

    /// Continues until something ends it.
    fn turn(&mut self, events: &Receiver<Event>, now: usize) -> End {
        loop {
            match events.recv_timeout(LOOK_EVERY) {
                Ok(Event::Probed { round, pop, result }) if round == now => self.probed(pop, result),
                Ok(Event::Read { round, path, lines }) if round == now => self.read(&path, lines),
                // Of lookouts that had other settings.
                Ok(Event::Probed { .. } | Event::Read { .. }) => {}
                Ok(Event::Told(News::Gone)) => {
                    self.log.warning("the node is gone; it is told when it is back");
                }
                Ok(Event::Told(news)) => self.log.debug(format!("the node says: {news:?}")),
                Ok(Event::Stop(why)) => return End::Stopped(why),
                Ok(Event::Reload) => return End::Reload,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return End::Stopped("the signals ended".to_owned()),
            }
            self.report(Instant::now());
        }
    }

    fn probed(&mut self, pop: usize, result: Result<(), String>) {
        let known = &mut self.known[pop];
        let Way::Probe(probe) = &known.watched.way else { return };
        let mut judged = known.judged;
        let is_good = result.is_ok();
        judged.0.iter_mut().for_each(|standing| standing.probed(is_good, probe.fall, probe.rise));
        self.judge(pop, judged, result.err());
    }

    /// What a file says holds for all PoPs that it is for.
    fn read(&mut self, path: &Path, lines: Result<Vec<(String, bool)>, String>) {
        let lines = match lines {
            Ok(lines) => lines,
            Err(why) => return self.log.error(format!("{why}; what was read before stays in effect")),
        };
        let of_it = |known: &Known| matches!(&known.watched.way, Way::File(of) if of == path);
        for (name, _) in &lines {
            if !self.known.iter().any(|known| of_it(known) && known.watched.name == *name) {
                self.log.warning(format!("{}: no PoP with this file is called {name}", path.display()));
            }
        }
        for pop in 0..self.known.len() {
            if of_it(&self.known[pop]) {
                let name = &self.known[pop].watched.name;
                let is_up = lines.iter().all(|(of, is_up)| of != name || *is_up);
                let why = (!is_up).then(|| format!("{} says so", path.display()));
                self.judge(pop, Judged::told(is_up), why);
            }
        }
    }

    fn judge(&mut self, pop: usize, judged: Judged, why: Option<String>) {
        let known = &mut self.known[pop];
        let before = known.judged.is_up();
        let why = why.map(|why| why.chars().take(REPORT_REASON_LEN_MAX).collect());
        (known.judged, known.why) = (judged, why);
        if judged.is_up() == before {
            return;
        }
        let name = &known.watched.name;
        match (judged.is_up(), &known.why) {
            (Some(false), Some(why)) => self.log.each(format!("{name} is down: {why}"), vec![]),
            (Some(true), _) => self.log.each(format!("{name} is up"), vec![]),
            _ => {}
        }
    }

    /// Tells the node how things stand, if that is new or was told long ago.
    fn report(&mut self, now: Instant) {
        let seen = |known: &Known| {
            let up = known.judged.is_up()?;
            // Of one that is up a probe that failed is nothing that the node must hear of at once.
            let why = known.why.clone().filter(|_| !up);
            Some(Seen { name: known.watched.name.clone(), up, why })
        };
        let report = Report { pops: self.known.iter().filter_map(seen).collect() };
        let is_same = |last: &Report| {
            let states = |report: &Report| {
                report.pops.iter().map(|seen| (seen.name.clone(), seen.up)).collect::<Vec<_>>()
            };
            states(last) == states(&report)
        };
        let is_old =
            |(told, last): &(Instant, Report)| now.duration_since(*told) >= REPORT_EVERY || !is_same(last);
        if self.reported.as_ref().is_none_or(is_old) {
            let line = serde_json::to_string(&report).expect("names and truths have a form in JSON");
            // One that has not gone out yet is followed by this one in a moment.
            if self.reports.try_send(line).is_ok() {
                self.reported = Some((now, report));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pops::{Probe, ProbeTo};

    fn probed(name: &str, fall: u32, rise: u32) -> Watched {
        let to = ProbeTo::Tcp(([127, 0, 0, 1], 1).into());
        let (every, timeout) = (Duration::from_secs(5), Duration::from_secs(2));
        Watched { name: name.to_owned(), way: Way::Probe(Probe { to, every, timeout, fall, rise }) }
    }

    fn filed(name: &str) -> Watched {
        Watched { name: name.to_owned(), way: Way::File("pops.health".into()) }
    }

    /// One that tells the receiver.
    fn watcher(settings: Settings) -> (Watcher, Receiver<String>) {
        let (reports, told) = bounded(8);
        (Watcher::new(settings, reports, Log::silent()), told)
    }

    /// What is known of each: `+` up, `-` down, `?` nothing.
    fn known(watcher: &Watcher) -> String {
        let sign = |known: &Known| match known.judged.is_up() {
            Some(true) => '+',
            Some(false) => '-',
            None => '?',
        };
        watcher.known.iter().map(sign).collect()
    }

    fn failed() -> Result<(), String> {
        Err("no reply".to_owned())
    }

    #[test]
    fn nothing_is_said_of_a_pop_before_enough_probes_agree() {
        let (mut watcher, _) = watcher(vec![probed("sfo", 2, 3)]);
        let mut after = |results: &[bool]| {
            let probe = |is_good: &bool| {
                watcher.probed(0, if *is_good { Ok(()) } else { failed() });
                known(&watcher)
            };
            results.iter().map(probe).collect::<String>()
        };
        assert_eq!(after(&[true, true, false, true, true, true]), "?????+");
        assert_eq!(after(&[false, true, false, false]), "+++-");
        assert_eq!(after(&[true, true, false, true, true, true]), "-----+");
    }

    #[test]
    fn the_node_is_told_what_is_new_at_once_and_the_rest_now_and_then() {
        let (mut watcher, told) = watcher(vec![probed("sfo", 1, 1), filed("nrt"), filed("jnb")]);
        let began = Instant::now();
        let report = |watcher: &mut Watcher, after: Duration| {
            watcher.report(began + after);
            told.try_recv().ok()
        };
        let second = Duration::from_secs(1);
        assert_eq!(report(&mut watcher, Duration::ZERO).as_deref(), Some(r#"{"pops":[]}"#));
        assert_eq!(report(&mut watcher, second), None);
        watcher.probed(0, failed());
        let line = r#"{"pops":[{"name":"sfo","up":false,"why":"no reply"}]}"#;
        assert_eq!(report(&mut watcher, second).as_deref(), Some(line));
        watcher.read(Path::new("pops.health"), Ok(vec![("jnb".to_owned(), false)]));
        let report_now = report(&mut watcher, second).expect("it is new");
        let report_now: Report = serde_json::from_str(&report_now).expect("a report");
        let states: Vec<(&str, bool)> = report_now.pops.iter().map(|pop| (&*pop.name, pop.up)).collect();
        assert_eq!(states, [("sfo", false), ("nrt", true), ("jnb", false)]);
        assert_eq!(report_now.pops[2].why.as_deref(), Some("pops.health says so"));
        assert_eq!(report(&mut watcher, second), None);
        assert!(report(&mut watcher, second + REPORT_EVERY).is_some());
        // What cannot be read changes nothing, and what another file says neither.
        watcher.read(Path::new("pops.health"), Err("it is gone".to_owned()));
        watcher.read(Path::new("other"), Ok(vec![("nrt".to_owned(), false)]));
        assert_eq!(known(&watcher), "-+-");
    }

    #[test]
    fn other_settings_leave_what_is_watched_as_before() {
        let (mut watcher, _) = watcher(vec![probed("sfo", 1, 1), filed("nrt")]);
        watcher.probed(0, failed());
        watcher.read(Path::new("pops.health"), Ok(vec![]));
        watcher.change(vec![filed("nrt"), probed("jnb", 1, 1), probed("sfo", 1, 1)]);
        assert_eq!(known(&watcher), "+?-");
        watcher.change(vec![probed("nrt", 1, 1), probed("sfo", 2, 1)]);
        assert_eq!(known(&watcher), "??");
    }
}
