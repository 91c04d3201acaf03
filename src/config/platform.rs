//! What becomes of queries that rules concern: `[platform]`, `[cache]`, `[resolver]`, `[trace]`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::upstreams::{RESOLVER, Server};
use super::written::{Count, Given, Mistake, Origin, Size, Text, Time, Written};
use crate::limits::{
    CACHE_FAILURE_CEILING_MS, CACHE_FAILURE_FLOOR_MS, CACHE_LEN_CEILING, CACHE_LEN_FLOOR,
    CACHE_NEGATIVE_CEILING_MS, CACHE_STALE_TTL_CEILING_MS, CACHE_TTL_CEILING_MS, JOBS, JOBS_RANGE,
    JOBS_SHARE, NSID_LEN_MAX, QUERY_TIMEOUT, QUERY_TIMEOUT_CEILING_MS, QUERY_TIMEOUT_FLOOR_MS, RESOLVER_LEN,
    RESOLVER_LEN_CEILING, RESOLVER_LEN_FLOOR, RESOLVER_PORT, SAMPLE_EVERY_MAX, TRACE_EVERY, WORKERS_MAX,
};
use crate::policy::upstream::{Choose, Ecs, Over, Upstream};
use crate::work::cache;
use crate::work::otlp::Collector;

//------------ Workers and rules ---

/// How many threads there are for what may wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workers {
    /// One if a rule may hand a query over, else none.
    #[default]
    Auto,
    /// So many.
    Count(usize),
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Count(count) => count.fmt(f),
        }
    }
}

impl Written for Workers {
    const EXPECTED: &'static str = "\"auto\" or a whole number";
    const INTEGER: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let count = Count::<0, WORKERS_MAX>::read(text).map(|Count(count)| Self::Count(count));
        count.map_err(|message| format!("{message}, or \"auto\""))
    }
}

/// Workers, and the rules that hand queries over to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// How many workers.
    pub workers: Workers,
    /// Jobs of each thread that answers.
    pub jobs: usize,
    /// How many of them one rule may have.
    pub share: usize,
    /// What rules compare `colo` with.
    pub colo: String,
    /// The directory of the rules, if there is one.
    pub rules: Option<PathBuf>,
    /// The directory of the applications, if there is one.
    pub apps: Option<PathBuf>,
    /// How long a query may take that is handed over.
    pub query_timeout: Duration,
}

type Jobs = Count<{ *JOBS_RANGE.start() }, { *JOBS_RANGE.end() }>;
type QueryTimeout = Time<QUERY_TIMEOUT_FLOOR_MS, QUERY_TIMEOUT_CEILING_MS>;

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [platform] section")]
pub(super) struct PlatformSpec {
    workers: Given<Workers>,
    jobs: Given<Jobs>,
    share: Given<Count<1, { *JOBS_RANGE.end() }>>,
    colo: Option<Given<Text<NSID_LEN_MAX>>>,
    rules: Option<PathBuf>,
    apps: Option<PathBuf>,
    query_timeout: Given<QueryTimeout>,
}

impl Default for PlatformSpec {
    fn default() -> Self {
        Self {
            workers: Given::default(Workers::Auto),
            jobs: Given::default(Count(JOBS)),
            share: Given::default(Count(JOBS_SHARE)),
            colo: None,
            rules: None,
            apps: None,
            query_timeout: Given::default(Time(QUERY_TIMEOUT)),
        }
    }
}

impl PlatformSpec {
    /// With the file in `dir`, if there is one, of the node with this name.
    pub(super) fn settings(self, dir: Option<&Path>, node: &str, mistakes: &mut Vec<Mistake>) -> Platform {
        let (jobs, Given { value: share, origin }) = (self.jobs.value.0, self.share);
        // Only one that somebody chose can be a mistake.
        if share.0 > jobs && share.0 != JOBS_SHARE {
            let message = format!("one rule may have more jobs than there are; give at most {jobs}");
            mistakes.push(Mistake::new(origin, message));
        }
        // A directory beside the file is meant without being named.
        let directory = |given: Option<PathBuf>, usual: &str| match (given, dir) {
            (Some(given), Some(dir)) => Some(dir.join(given)),
            (Some(given), None) => Some(given),
            (None, dir) => dir.map(|dir| dir.join(usual)).filter(|beside| beside.is_dir()),
        };
        Platform {
            workers: self.workers.value,
            jobs,
            share: share.0.min(jobs),
            colo: self.colo.map_or_else(|| node.to_owned(), |colo| colo.value.0),
            rules: directory(self.rules, "rules.d"),
            apps: directory(self.apps, "apps.d"),
            query_timeout: self.query_timeout.value.0,
        }
    }
}

//------------ Cache ---

type Ttl = Time<0, CACHE_TTL_CEILING_MS>;

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [cache] section")]
pub(super) struct CacheSpec {
    size: Given<Size<CACHE_LEN_FLOOR, CACHE_LEN_CEILING>>,
    ttl_min: Given<Ttl>,
    ttl_max: Given<Ttl>,
    negative_ttl_max: Given<Time<0, CACHE_NEGATIVE_CEILING_MS>>,
    failure_ttl: Given<Time<CACHE_FAILURE_FLOOR_MS, CACHE_FAILURE_CEILING_MS>>,
    stale: Given<Ttl>,
    stale_after: Given<Time<0, QUERY_TIMEOUT_CEILING_MS>>,
    stale_ttl: Given<Time<1000, CACHE_STALE_TTL_CEILING_MS>>,
    prefetch: bool,
}

impl Default for CacheSpec {
    fn default() -> Self {
        let cache::Settings {
            size,
            ttl_min,
            ttl_max,
            negative_ttl_max,
            failure_ttl,
            stale,
            stale_after,
            stale_ttl,
            prefetch,
        } = cache::Settings::default();
        Self {
            size: Given::default(Size(size)),
            ttl_min: Given::default(Time(ttl_min)),
            ttl_max: Given::default(Time(ttl_max)),
            negative_ttl_max: Given::default(Time(negative_ttl_max)),
            failure_ttl: Given::default(Time(failure_ttl)),
            stale: Given::default(Time(stale)),
            stale_after: Given::default(Time(stale_after)),
            stale_ttl: Given::default(Time(stale_ttl)),
            prefetch,
        }
    }
}

impl CacheSpec {
    pub(super) fn settings(self, mistakes: &mut Vec<Mistake>) -> cache::Settings {
        let (ttl_min, ttl_max) = (self.ttl_min.value.0, self.ttl_max.value.0);
        if ttl_min > ttl_max {
            // Of the two, one was given.
            let origin = self.ttl_min.origin.max(self.ttl_max.origin);
            mistakes.push(Mistake::new(origin, "`ttl_min` is longer than `ttl_max`; shorten it"));
        }
        cache::Settings {
            size: self.size.value.0,
            ttl_min,
            ttl_max,
            negative_ttl_max: self.negative_ttl_max.value.0,
            failure_ttl: self.failure_ttl.value.0,
            stale: self.stale.value.0,
            stale_after: self.stale_after.value.0,
            stale_ttl: self.stale_ttl.value.0,
            prefetch: self.prefetch,
        }
    }
}

//------------ Resolver ---

/// Who resolves for routes that want that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolver {
    /// Whether the node runs it: else somebody else does.
    pub enabled: bool,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where resolution begins; `None` for the addresses that are built in.
    pub hints: Option<PathBuf>,
    /// Memory that it may use, in bytes.
    pub memory: usize,
}

impl Resolver {
    /// As rules ask it: half of the time of a query is for a second try, after the process was started again.
    #[must_use]
    pub fn upstream(&self, query_timeout: Duration) -> Upstream {
        Upstream {
            name: RESOLVER.to_owned(),
            servers: vec![self.address],
            over: Over::Udp,
            choose: Choose::Order,
            timeout: query_timeout / 2,
            tries: 2,
            explore: 0.0,
            case_randomization: false,
            cookies: false,
            ecs: Ecs::Strip,
        }
    }
}

/// Where resolution begins.
#[derive(Clone, Debug)]
struct Hints(Option<PathBuf>);

impl Written for Hints {
    const EXPECTED: &'static str = "\"builtin\" or a path such as \"/usr/share/dns/root.hints\"";

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "" => Err(format!("the path is empty; give {}", Self::EXPECTED)),
            "builtin" => Ok(Self(None)),
            path => Ok(Self(Some(path.into()))),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [resolver] section")]
pub(super) struct ResolverSpec {
    enabled: bool,
    address: Option<Given<Server>>,
    hints: Given<Hints>,
    memory: Given<Size<RESOLVER_LEN_FLOOR, RESOLVER_LEN_CEILING>>,
}

impl Default for ResolverSpec {
    fn default() -> Self {
        Self {
            enabled: false,
            address: None,
            hints: Given::default(Hints(None)),
            memory: Given::default(Size(RESOLVER_LEN)),
        }
    }
}

impl ResolverSpec {
    /// The resolver, if there is one: by this node, or at the address that was given. Paths begin in `dir`.
    pub(super) fn settings(
        self,
        dir: &Path,
        listen: &[SocketAddr],
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Resolver> {
        let Self { enabled, address, hints, memory } = self;
        if !enabled && address.is_none() {
            return None;
        }
        if enabled && !cfg!(feature = "resolver") {
            let message = "`enabled` in [resolver]: this program was built without its resolver; give the \
                           address of another one, or build it with `--features resolver`";
            mistakes.push(Mistake::new(Origin::Default, message));
        }
        if let Some(Given { value, origin }) = &address {
            let at = value.at(RESOLVER_PORT);
            if enabled && !at.ip().is_loopback() {
                let message = format!("the resolver would be open to {at}; give a loopback address");
                mistakes.push(Mistake::new(*origin, message));
            }
            if listen.contains(&at) {
                mistakes.push(Mistake::new(*origin, format!("{at} is this node itself; give another port")));
            }
        }
        let default = SocketAddr::from((Ipv4Addr::LOCALHOST, RESOLVER_PORT));
        Some(Resolver {
            enabled,
            address: address.map_or(default, |address| address.value.at(RESOLVER_PORT)),
            hints: hints.value.0.map(|path| dir.join(path)),
            memory: memory.value.0,
        })
    }
}

//------------ Traces ---

/// Which queries are traced besides those of rules with `log`, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Where to.
    pub to: TraceTo,
    /// One query in so many that workers have.
    pub sample_every: NonZeroU32,
}

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceTo {
    /// A file.
    File(PathBuf),
    /// A collector of OpenTelemetry.
    Otlp(Collector),
}

impl Trace {
    /// The file, if they go to one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.to {
            TraceTo::File(file) => Some(file),
            TraceTo::Otlp(_) => None,
        }
    }

    /// The port of the collector, if they go to one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match &self.to {
            TraceTo::File(_) => None,
            TraceTo::Otlp(collector) => Some(collector.address.port()),
        }
    }
}

impl Written for TraceTo {
    const EXPECTED: &'static str =
        "\"file:traces.json\", or a collector such as \"otlp:http://192.0.2.9:4318/v1/traces\"";

    fn read(text: &str) -> Result<Self, String> {
        let file = text.strip_prefix("file:").filter(|path| !path.is_empty());
        let collector = text.strip_prefix("otlp:http://").and_then(|url| {
            let (address, path) = url.split_at(url.find('/').unwrap_or(url.len()));
            let is_sound = path.bytes().all(|byte| byte.is_ascii_graphic());
            let path = if path.is_empty() { OTLP_PATH } else { path };
            let address = address.parse().ok().filter(|_| is_sound)?;
            Some(Collector { address, path: path.to_owned() })
        });
        let to = file.map(|file| Self::File(file.into())).or_else(|| collector.map(Self::Otlp));
        to.ok_or_else(|| format!("`{text}` is not a place for traces; give {}", Self::EXPECTED))
    }
}

/// Where collectors take traces (OTLP).
const OTLP_PATH: &str = "/v1/traces";

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [trace] section")]
pub(super) struct TraceSpec {
    to: Option<Given<TraceTo>>,
    sample_every: Given<Count<1, SAMPLE_EVERY_MAX>>,
}

impl Default for TraceSpec {
    fn default() -> Self {
        Self { to: None, sample_every: Given::default(Count(TRACE_EVERY)) }
    }
}

impl TraceSpec {
    /// Traces, if somebody gets them. Paths begin in `dir`.
    pub(super) fn settings(self, dir: &Path) -> Option<Trace> {
        let to = match self.to?.value {
            TraceTo::File(file) => TraceTo::File(dir.join(file)),
            to @ TraceTo::Otlp(_) => to,
        };
        let sample_every = u32::try_from(self.sample_every.value.0).ok().and_then(NonZeroU32::new);
        Some(Trace { to, sample_every: sample_every.expect("its range begins at 1 and ends below 2^32") })
    }
}
