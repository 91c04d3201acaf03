//! What waits in this node: workers, as many as rules need.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use crossbeam_channel::Sender;

use super::placement::Placement;
use crate::config::Config;
use crate::config::platform::Workers as Wanted;
use crate::log::Log;
use crate::net::{Event, Net, THREAD_ADVICE};
use crate::nets::places::Places;
use crate::policy::Policy;
use crate::problem::Problem;
use crate::serve::job::{self, Desk, Inbox, JobSettings};
use crate::serve::published::Published;
use crate::stats::ledger::LedgerSettings;
use crate::sys::confine::Confined;
use crate::sys::wake::Waker;
use crate::work::sandbox::Apps;
use crate::work::trace::Tracing;
use crate::work::{self, Habits, Plan, Workers, cache};

/// The ports of DNS, and of DNS over TLS: workers may connect to them whatever the rules are at the start.
const USUAL_PORTS: [u16; 2] = [53, 853];

/// How many workers a node has with these rules.
///
/// # Errors
/// If they need one, and there are to be none.
pub fn workers(config: &Config, policy: &Policy) -> Result<usize, Vec<Problem>> {
    match config.platform.workers {
        Wanted::Auto => Ok(usize::from(policy.needs_workers())),
        Wanted::Count(0) if policy.needs_workers() => Err(Problem::alone(
            "a rule, a route or an application needs a worker, and [platform] workers is 0; set it to \
             \"auto\" or a number, or remove the rule or the application",
        )),
        Wanted::Count(count) => Ok(count),
    }
}

/// How much can be handed over.
pub(super) fn job_settings(config: &Config, workers: usize) -> JobSettings {
    JobSettings { workers, jobs: config.platform.jobs, share: config.platform.share }
}

/// What of the configuration workers take over with a reload.
pub(super) fn habits(config: &Config, workers: usize) -> Habits {
    Habits { cache: cache_settings(config, workers), query_timeout: config.platform.query_timeout }
}

/// The cache of each worker: together they have what is configured.
pub(super) fn cache_settings(config: &Config, workers: usize) -> cache::Settings {
    cache::Settings { size: config.cache.size / workers.max(1), ..config.cache.clone() }
}

/// The ports of the servers that rules may ask.
fn ports(policy: &Policy) -> BTreeSet<u16> {
    policy.upstreams().iter().flat_map(|upstream| &upstream.servers).map(SocketAddr::port).collect()
}

/// What workers may connect to, where there are any.
pub(super) fn open_ports(policy: &Policy, workers: usize) -> Vec<u16> {
    if workers == 0 {
        return Vec::new();
    }
    ports(policy).into_iter().chain(USUAL_PORTS).collect()
}

/// What threads that answer and workers share, before any of them is there.
#[derive(Default)]
pub(super) struct Hired {
    /// One for each shard, and last that of TCP; none without workers.
    pub(super) desks: Vec<Desk>,
    inboxes: Vec<Vec<Inbox>>,
    wakers: Vec<Waker>,
}

impl Hired {
    /// For so many of them.
    ///
    /// # Errors
    /// If there are no more descriptors.
    pub(super) fn new(config: &Config, shards: usize, workers: usize) -> io::Result<Self> {
        if workers == 0 {
            return Ok(Self::default());
        }
        let wakers: Vec<Waker> = (0..workers).map(|_| Waker::new()).collect::<io::Result<_>>()?;
        let settings = job_settings(config, workers);
        let mut inboxes: Vec<Vec<Inbox>> = (0..workers).map(|_| Vec::new()).collect();
        let mut desks = Vec::new();
        for _ in 0..=shards {
            let (desk, of_desk) = job::desk(&settings, &wakers);
            desks.push(desk);
            inboxes.iter_mut().zip(of_desk).for_each(|(inboxes, inbox)| inboxes.push(inbox));
        }
        Ok(Self { desks, inboxes, wakers })
    }

    /// What threads that answer wake workers with.
    pub(super) fn wakers(&self) -> Vec<RawFd> {
        self.wakers.iter().map(AsRawFd::as_raw_fd).collect()
    }

    /// Starts the workers.
    ///
    /// # Errors
    /// Why they cannot be; none is left.
    pub(super) fn start(self, tools: Tools<'_>, events: &Sender<Event>) -> Result<Workers, String> {
        let Tools { config, placement, net, published, ledgers, places, trace, log, confined } = tools;
        let workers = self.wakers.len();
        if workers == 0 {
            return Ok(Workers::default());
        }
        let tcp = net.tcp_return();
        let has_sockets = !super::apps::sockets(&super::apps::of(&published.newest())).is_empty();
        let confined = confined.with_local_sockets(has_sockets);
        let plan = Plan {
            cpus: placement.worker_cpus(workers),
            inboxes: self.inboxes,
            wakers: self.wakers,
            sockets: net.take_handles(),
            confined: confined.with_wakers(tcp.iter().map(AsRawFd::as_raw_fd).collect()),
            tcp,
            published,
            habits: habits(config, workers),
            ledgers,
            places: look_in(places),
            trace,
            log,
        };
        Workers::start(plan, events)
            .map_err(|error| format!("cannot start a worker: {error}; {THREAD_ADVICE}"))
    }
}

/// What workers are given.
pub(super) struct Tools<'a> {
    pub(super) config: &'a Config,
    pub(super) placement: &'a Placement,
    pub(super) net: &'a mut Net,
    pub(super) published: Arc<Published>,
    pub(super) ledgers: LedgerSettings,
    pub(super) places: Arc<ArcSwap<Places>>,
    pub(super) trace: Tracing,
    pub(super) log: Log,
    pub(super) confined: &'a Confined,
}

/// Workers look clients up in the databases of the last reload.
fn look_in(places: Arc<ArcSwap<Places>>) -> work::Places {
    work::Places::new(move |address| {
        let (country, asn) = places.load().look(address);
        work::Place { country, asn }
    })
}

/// Workers, rules and applications, for a person: a word and a text each.
#[must_use]
pub fn told(
    config: &Config,
    policy: &Policy,
    apps: &Apps,
    placement: &Placement,
    workers: usize,
) -> Vec<(&'static str, String)> {
    let cpus: Vec<String> = placement
        .worker_cpus(workers)
        .iter()
        .map(|cpu| cpu.map_or_else(|| "any CPU".to_owned(), |cpu| format!("CPU {cpu}")))
        .collect();
    let wanted = config.platform.workers;
    let why = if workers == 0 { "no rule needs one".to_owned() } else { cpus.join(", ") };
    let mut lines = vec![("workers", format!("{workers} ({wanted}): {why}"))];
    let rules = policy.notes().into_iter().chain(policy.folded().iter().cloned());
    lines.extend(rules.map(|rule| ("rule", rule.strip_prefix("rule ").unwrap_or(&rule).to_owned())));
    lines.extend(super::apps::told(apps, policy));
    lines
}

/// What this process was started with, and cannot get more of.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    /// How many workers it has.
    pub(super) workers: usize,
    /// The ports that they may connect to; `None` where nothing limits that.
    ports: Option<Vec<u16>>,
    /// The local sockets that applications may connect to.
    sockets: Vec<PathBuf>,
    /// Where the thread of beacons writes what is observed; `None` where there is no such thread.
    pub(super) observations: Option<PathBuf>,
}

impl Bounds {
    pub(super) fn new(
        config: &Config,
        workers: usize,
        ports: Vec<u16>,
        sockets: Vec<PathBuf>,
        confined: &Confined,
    ) -> Self {
        let observations = config.beacons.as_ref().map(|beacons| beacons.observations.clone());
        Self { workers, ports: confined.limits_ports().then_some(ports), sockets, observations }
    }

    /// Whether rules that were read again can be in effect in this process.
    ///
    /// # Errors
    /// What of them needs another.
    pub(super) fn check(&self, policy: &Policy, apps: &Apps) -> Result<(), Vec<Problem>> {
        if !policy.needs_workers() {
            return Ok(());
        }
        if self.workers == 0 {
            return Err(Problem::alone(
                "a rule, a route or an application needs a worker, and this process was started without: \
                 restart it, or `as112d upgrade` it, which loses no query",
            ));
        }
        let open = self.ports.as_ref();
        let closed = ports(policy).into_iter().filter(|port| open.is_some_and(|open| !open.contains(port)));
        let closed = closed.map(|port| {
            Problem::plain(format!(
                "a rule or an application asks a server on port {port}, which this process may not connect \
                 to (landlock): restart it, or `as112d upgrade` it, which loses no query"
            ))
        });
        let unknown = apps.apps.iter().flat_map(|app| {
            let paths = app.manifest.allow.sockets.iter().filter(|path| !self.sockets.contains(path));
            paths.map(|path| Problem {
                place: app.manifest.place.clone(),
                message: format!(
                    "the local socket {} is not one of those that this process was started with: restart it, \
                     or `as112d upgrade` it, which loses no query",
                    path.display()
                ),
            })
        });
        let problems: Vec<Problem> = closed.chain(unknown).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}
