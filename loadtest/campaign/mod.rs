//! The load test as a story: make the query sets, take the sections one after the other, write the report.
//! Within a section rounds are outermost and servers within, so that what disturbs the host disturbs all.

mod changes;
mod drive;
mod growth;
mod sections;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indicatif::ProgressBar;
use tempfile::TempDir;

use super::bounds::{FLAME_QUERIES, QUERIES, SAMPLE, SECONDS, TRIAL_SECONDS};
use super::common::NODE;
use super::common::peers::{ZoneFile, zones_of_daemon};
use super::host::Host;
use super::netns::Place;
use super::queries::QuerySet;
use super::report::{Report, Section, ServerFacts};
use super::servers::{Server, Setting, Subject};
use super::{Outcome, Peer, TestOptions, command_line, fail, progress_bar};

/// Queries of the sets of a quick run: making them takes most of its time otherwise.
const QUICK_QUERIES: usize = 5_000;
/// One trial of it.
const QUICK_TRIAL: Duration = Duration::from_millis(200);

/// The query sets in all the forms that tools read.
struct Files {
    text: PathBuf,
    text_for_flame: PathBuf,
    text_for_kxdpgun: PathBuf,
    binary: PathBuf,
}

/// Everything that the sections share.
struct Campaign<'a> {
    rounds: usize,
    seconds: u64,
    /// How long one trial of a search lasts.
    trial: Duration,
    is_quick: bool,
    /// The CPUs that this process might use when it began.
    allowed: Vec<usize>,
    server_cpu: usize,
    generator_cpu: usize,
    subjects: Vec<Subject>,
    zones: Vec<ZoneFile>,
    ordinary: QuerySet,
    mixed: QuerySet,
    files: Files,
    stop: &'a AtomicBool,
    bar: ProgressBar,
    report: Report,
    /// The sections that came to no end, and why.
    failed: Vec<String>,
}

/// Runs the load test and writes its report.
///
/// # Errors
/// A server of ours cannot be started, replies are wrong, or the report cannot be written; interrupted.
pub fn run(options: &TestOptions, stop: &AtomicBool) -> Outcome<()> {
    let dir = TempDir::new()?;
    let mut campaign = Campaign::new(options, &dir, stop)?;
    let sections = if options.sections.is_empty() { &Section::ALL[..] } else { &options.sections };
    for &section in sections {
        if let Err(error) = campaign.section(section) {
            campaign.failed.push(format!("{section:?}: {error}"));
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    campaign.bar.finish_and_clear();
    // What a failure or an interruption leaves is shown too.
    campaign.report.skipped.extend(campaign.failed.iter().cloned());
    let (report, mut failed) = (&campaign.report, campaign.failed);
    if !report.samples.is_empty() || !report.starts.is_empty() || !report.changes.is_empty() {
        report.write(&options.report)?;
        report.verify(&options.report)?;
        println!("{}", report.headline());
        println!("report: {}", options.report.join("report.html").display());
    } else {
        failed.push("nothing was measured".to_owned());
    }
    report.skipped.iter().for_each(|skipped| println!("not measured: {skipped}"));
    failed.extend(report.wrong());
    if failed.is_empty() { Ok(()) } else { fail(failed.join("\n")) }
}

impl<'a> Campaign<'a> {
    fn new(options: &TestOptions, dir: &TempDir, stop: &'a AtomicBool) -> Outcome<Self> {
        let count = if options.quick { QUICK_QUERIES } else { QUERIES };
        let (ordinary, mixed) =
            (QuerySet::ordinary(options.seed, count), QuerySet::mixed(options.seed, count));
        let path = |name: &str| dir.path().join(name);
        let files = Files {
            text: path("text"),
            text_for_flame: path("flame"),
            text_for_kxdpgun: path("kxdpgun"),
            binary: path("binary"),
        };
        std::fs::write(&files.text, &ordinary.text)?;
        let first: Vec<&str> = ordinary.text.lines().take(FLAME_QUERIES).collect();
        std::fs::write(&files.text_for_flame, first.join("\n") + "\n")?;
        std::fs::write(&files.text_for_kxdpgun, ordinary.text_for_kxdpgun())?;
        std::fs::write(&files.binary, mixed.binary())?;
        let mut report = Report {
            began: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            command: command_line(),
            seed: options.seed,
            rounds: if options.quick { 1 } else { options.rounds },
            queries: count,
            is_quick: options.quick,
            host: Host::read(),
            ..Report::default()
        };
        let subjects = subjects(&options.against, &mut report.skipped);
        let allowed = as112d::sys::cpu::affinity()?;
        let (server_cpu, generator_cpu) = cpus(options, &allowed, &mut report.skipped)?;
        // What this process sends itself, and what it reads, is the generator's work.
        as112d::sys::cpu::pin(generator_cpu)?;
        Ok(Self {
            rounds: report.rounds,
            seconds: if options.quick { 1 } else { options.seconds as u64 },
            trial: if options.quick {
                QUICK_TRIAL
            } else {
                Duration::from_secs((options.seconds as u64).min(TRIAL_SECONDS))
            },
            is_quick: options.quick,
            allowed,
            server_cpu,
            generator_cpu,
            subjects,
            zones: zones_of_daemon(dir.path(), &["--node", NODE]),
            ordinary,
            mixed,
            files,
            stop,
            bar: progress_bar(),
            report,
            failed: Vec::new(),
        })
    }

    /// Says what is being done, and ends where the person at the terminal wants it.
    fn step(&self, text: &str) -> Outcome<()> {
        if self.stop.load(Ordering::Relaxed) {
            return fail("interrupted");
        }
        self.bar.set_message(text.to_owned());
        if self.bar.is_hidden() {
            eprintln!("{text}");
        }
        Ok(())
    }

    /// Starts those that are asked for, and checks what they answer before anybody measures how fast. A
    /// server of others that does not serve here is named and left out.
    fn start(&mut self, subjects: &[Subject], place: &Place) -> Outcome<Vec<Server>> {
        let mut servers = Vec::new();
        for &subject in subjects {
            self.step(&format!("{} starts", subject.name()))?;
            match self.checked(subject, place) {
                Ok(server) => {
                    self.note(&server);
                    servers.push(server);
                }
                Err(error) if subject.is_peer() => self.skip(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(servers)
    }

    /// Starts a server whose answers are right.
    fn checked(&self, subject: Subject, place: &Place) -> Outcome<Server> {
        let cpus = [self.server_cpu];
        let server = Server::start(subject, &Setting::new(place, &self.zones, &cpus))?;
        let count = if self.is_quick { SAMPLE / 4 } else { SAMPLE };
        // What sends a reply from the driver needs a program at our end, which is kxdpgun's.
        if !Subject::IN_DRIVER.contains(&server.subject) {
            server.check(&self.ordinary, count)?;
            server.check(&self.mixed, count)?;
        }
        Ok(server)
    }

    /// Names what is not measured, once.
    fn skip(&mut self, what: String) {
        if !self.report.skipped.contains(&what) {
            self.report.skipped.push(what);
        }
    }

    /// Keeps a server's version and its first command line for the report.
    fn note(&mut self, server: &Server) {
        let name = server.subject.name();
        if self.report.servers.iter().all(|known| known.name != name) {
            let (version, command) = (server.subject.version(), server.command.clone());
            let configuration = server.configuration();
            self.report.servers.push(ServerFacts { name: name.to_owned(), version, command, configuration });
            let order =
                |facts: &ServerFacts| Subject::ALL.iter().position(|subject| subject.name() == facts.name);
            self.report.servers.sort_by_key(order);
        }
    }

    /// The order of the servers in a round: another one is first each time.
    fn order(&self, round: usize, count: usize) -> impl Iterator<Item = usize> + use<> {
        (0..count).map(move |index| (index + round) % count)
    }
}

/// What can be measured of what was asked for.
fn subjects(against: &[Peer], skipped: &mut Vec<String>) -> Vec<Subject> {
    let is_wanted = |subject: &Subject| match subject {
        Subject::Ours(_) | Subject::Echo(_) => true,
        Subject::Nsd => against.contains(&Peer::Nsd),
        Subject::Knot => against.contains(&Peer::Knot),
        Subject::Bind => against.contains(&Peer::Bind),
        Subject::OursInDriver | Subject::KnotInDriver => false,
    };
    let mut found: Vec<Subject> = Subject::ALL.into_iter().filter(is_wanted).collect();
    let without_ring = as112d::sys::self_test().err().map(|error| format!("io_uring: {error}"));
    if let Some(why) = without_ring {
        found.retain(|subject| !subject.name().ends_with("io_uring"));
        skipped.push(why);
    }
    found.retain(|subject| subject.missing().map(|why| skipped.push(why)).is_none());
    found
}

/// The CPUs of the servers and of the generator.
fn cpus(options: &TestOptions, allowed: &[usize], skipped: &mut Vec<String>) -> Outcome<(usize, usize)> {
    if !allowed.contains(&options.server_cpu) {
        return fail(format!(
            "this process may not use CPU {}; choose another with --server-cpu: {allowed:?}",
            options.server_cpu
        ));
    }
    if allowed.contains(&options.generator_cpu) && options.generator_cpu != options.server_cpu {
        return Ok((options.server_cpu, options.generator_cpu));
    }
    if let Some(other) = allowed.iter().find(|&&cpu| cpu != options.server_cpu) {
        return Ok((options.server_cpu, *other));
    }
    skipped.push(
        "a CPU for the generator: there is only one, so the generator takes its time from the servers"
            .to_owned(),
    );
    Ok((options.server_cpu, options.server_cpu))
}
const _: () = assert!(SECONDS >= TRIAL_SECONDS);
