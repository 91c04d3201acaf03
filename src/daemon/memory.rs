//! How much memory the node can come to hold, whatever clients do. It is computed before the node serves,
//! from the configuration and from what loading took. With it an operator can give a host or a control group
//! as much, and no attack can make the kernel kill the process.

use std::fmt;
use std::fs;
use std::path::Path;

use super::platform;
use crate::board::{observed, talkers};
use crate::config::Config;
use crate::config::doors::HttpListen;
use crate::history::sources;
use crate::learn::collector;
use crate::limits::{
    ANSWERS_KEPT_LEN_MAX, DNSTAP_QUEUED_LEN_MAX, HISTORY_CACHE_LEN, HISTORY_CONNECTIONS,
    HISTORY_IN_MEMORY_LEN_MAX, HISTORY_WAITING_LEN_MAX, HTTP_ANSWERS_LEN_MAX, HTTP_CONNECTIONS_MAX,
    HTTP_HEAD_LEN_MAX, HTTP_PUBLIC_LEN_MAX, LEARNED_MAX, LOG_LINE_LEN_MAX, LOG_QUEUED_MAX,
    MEMORY_UNCOUNTED_LEN, RADAR_VALUES_MAX, TAPPED_LEN_MAX, TAPPED_MAX, THREAD_STACK_LEN,
};
use crate::net::{self, tcp};
use crate::problem::Problem;
use crate::serve::job::Desk;
use crate::stats::ledger;
use crate::tailor::spec::{Map, Spec};
use crate::work;
use crate::work::sandbox::Apps;
use crate::xdp;

/// Threads other than the shards: TCP, HTTP and the two that read the history for it, the aggregator,
/// exports, signals, control, log, taps, beacons, and some to come.
const OTHER_THREADS: usize = 14;
/// Bytes that one value of an answer about the past takes while the answer is made.
const VALUE_LEN: usize = 64;

/// Bytes that what was learned of one resolver takes: two ranges of IPv6 addresses, and a list.
const LEARNED_LEN: usize = 64;

/// What the process held at most while it loaded everything, and how large its program is.
#[derive(Clone, Copy, Debug)]
pub struct Footprint {
    /// The program and its libraries, mapped from their files.
    program: usize,
    /// Everything else.
    data: usize,
}

impl Footprint {
    /// As of now: to be called when all is loaded, and nothing serves yet.
    #[must_use]
    pub fn now() -> Self {
        let read = |file| fs::read_to_string(file).unwrap_or_default();
        Self::read(&read("/proc/self/status"), &read("/proc/self/maps"))
    }

    fn read(status: &str, maps: &str) -> Self {
        let kib = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let number = value.and_then(|value| value.split_whitespace().next()?.parse::<usize>().ok());
            number.unwrap_or_default() << 10
        };
        let data = kib("VmHWM").saturating_sub(kib("RssFile") + kib("RssShmem"));
        Self { program: maps.lines().filter_map(mapped_file_len).sum(), data }
    }
}

/// Bytes of a line of /proc/self/maps that is of a file.
fn mapped_file_len(line: &str) -> Option<usize> {
    let mut words = line.split_whitespace();
    let (begin, end) = words.next()?.split_once('-')?;
    words.nth(4).filter(|path| path.starts_with('/'))?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    address(end)?.checked_sub(address(begin)?)
}

/// The bound, and what it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Held once the node serves, in bytes.
    start: usize,
    /// What may come on top, of what and how much.
    grown: Vec<(&'static str, usize)>,
    /// In the kernel: the buffers of sockets, all full.
    kernel: usize,
}

impl Bound {
    /// Of a node with so many shards and workers, each of which has these applications.
    #[must_use]
    pub fn new(config: &Config, shards: usize, workers: usize, apps: &Apps, loaded: Footprint) -> Self {
        let threads = shards + 1 + workers;
        let ledgers = threads * (ledger::memory_len() + observed::memory_len());
        let serving = shards * net::memory_len_of_shard(config.listen.len()) + ledgers;
        let desks = (shards + 1) * desk_len(config, workers);
        let stacks = (shards + workers + OTHER_THREADS) * THREAD_STACK_LEN;
        let mut history = HISTORY_CONNECTIONS * HISTORY_CACHE_LEN;
        // While a directory cannot be used what is counted waits in memory.
        let in_memory =
            if config.history.is_some() { HISTORY_WAITING_LEN_MAX } else { HISTORY_IN_MEMORY_LEN_MAX };
        history += usize::try_from(in_memory).unwrap_or(usize::MAX);
        let heads = HTTP_CONNECTIONS_MAX * 4 * HTTP_HEAD_LEN_MAX;
        let public = if config.http_public == HttpListen::Off { 0 } else { heads + HTTP_PUBLIC_LEN_MAX };
        let answers = HTTP_ANSWERS_LEN_MAX + ANSWERS_KEPT_LEN_MAX;
        let http = heads + answers + public + RADAR_VALUES_MAX * VALUE_LEN;
        // Each has a queue of its own to each thread, and dnstap what it has not written.
        let tap = threads * TAPPED_MAX * 2 * TAPPED_LEN_MAX + DNSTAP_QUEUED_LEN_MAX;
        let taps = tap * (usize::from(config.query_log.is_some()) + usize::from(config.dnstap.is_some()));
        let driver = if config.xdp.interfaces.is_empty() { 0 } else { xdp::memory_len() };
        let sockets = shards * config.listen.len() * 2 * (config.rcvbuf + config.sndbuf);
        Self {
            start: loaded.program + loaded.data + serving + desks + stacks + MEMORY_UNCOUNTED_LEN,
            grown: vec![
                ("TCP", tcp::memory_len(&config.tcp)),
                ("history", history),
                ("HTTP", http),
                ("log and taps", LOG_QUEUED_MAX * LOG_LINE_LEN_MAX + taps),
                ("XDP", driver),
                ("workers", workers_len(config, shards, workers)),
                ("applications", workers * work::apps_memory_len(apps)),
                ("maps", maps_len(&config.tailoring)),
                ("beacons", config.beacons.as_ref().map_or(0, |_| collector::memory_len(threads))),
                ("sources", sources::memory_len(!config.databases.is_empty()) + talkers::memory_len()),
                // All that was loaded is loaded once more beside what is in use.
                ("reload", loaded.data),
            ],
            kernel: sockets + tcp::kernel_memory_len(&config.tcp),
        }
    }

    /// The bound without its parts.
    #[must_use]
    pub fn brief(&self) -> String {
        let (total, kernel) = (Mebibytes(self.total()), Mebibytes(self.kernel));
        format!("bounded at {total}, plus up to {kernel} of kernel socket buffers")
    }

    /// The bound in bytes, without what the kernel holds.
    #[must_use]
    pub fn total(&self) -> usize {
        self.start + self.grown.iter().map(|(_, len)| len).sum::<usize>()
    }

    /// Compares it with what this process may have.
    ///
    /// # Errors
    /// If that is less than the start takes: the kernel would kill it.
    pub fn within(&self, limit: Option<&Limit>) -> Result<Option<String>, Vec<Problem>> {
        let Some(limit) = limit.filter(|limit| limit.len < self.total()) else { return Ok(None) };
        let advice = "raise it, lower [tcp] buffers_max and connections_max, keep the history in a \
                      directory ([history] dir), or use fewer shards";
        if limit.len < self.start {
            return Err(Problem::alone(format!(
                "the node needs {} of memory to start, and {} is {}; {advice}",
                Mebibytes(self.start),
                limit.what,
                Mebibytes(limit.len)
            )));
        }
        Ok(Some(format!(
            "{} is {}, less than the node may need under attack: the kernel could kill it; {advice}",
            limit.what,
            Mebibytes(limit.len)
        )))
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total, start) = (Mebibytes(self.total()), Mebibytes(self.start));
        write!(f, "bounded at {total} (program, zones and threads {start}")?;
        let mut grown = self.grown.iter().filter(|(_, len)| *len > 0);
        grown.try_for_each(|(what, len)| write!(f, ", {what} {}", Mebibytes(*len)))?;
        write!(f, "), plus up to {} of kernel socket buffers", Mebibytes(self.kernel))
    }
}

/// What one thread that answers needs to hand queries over.
fn desk_len(config: &Config, workers: usize) -> usize {
    let settings = platform::job_settings(config, workers);
    if workers == 0 { 0 } else { Desk::memory_len(&settings) }
}

/// What workers can come to hold: the cache, what they ask and what waits for that, and the replies that go
/// back to connections.
fn workers_len(config: &Config, shards: usize, workers: usize) -> usize {
    if workers == 0 {
        return 0;
    }
    let each = work::memory_len(shards, &platform::cache_settings(config, workers));
    workers * each + Desk::replies_memory_len(&platform::job_settings(config, workers))
}

/// What maps can grow by while the node runs, old and new at once: by what was learned of resolvers, and by
/// what was measured of places, for which a database may say more than was asked of it before.
fn maps_len(spec: &Spec) -> usize {
    let of_map = |map: &Map| {
        let learned = usize::from(map.learned.is_some()) * LEARNED_MAX * LEARNED_LEN;
        let files = map.databases.iter().filter(|_| map.places.is_some());
        let databases: u64 = files.filter_map(|file| Some(fs::metadata(file).ok()?.len())).sum();
        2 * (learned + usize::try_from(databases).unwrap_or(usize::MAX / 4))
    };
    spec.maps.iter().map(of_map).sum()
}

/// Bytes as MiB, rounded up.
struct Mebibytes(usize);

impl fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.0.div_ceil(1 << 20))
    }
}

/// What this process may have, and whose limit that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Bytes.
    len: usize,
    /// Whose limit it is.
    what: &'static str,
}

impl Limit {
    /// The least of those that there are on this host: of the control group and those above it, of the
    /// process, and the memory itself.
    #[must_use]
    pub fn here() -> Option<Self> {
        Self::below(Path::new("/"))
    }

    /// As [`here`](Self::here), of a host whose files are below `root`.
    fn below(root: &Path) -> Option<Self> {
        let read = |path: &str| fs::read_to_string(root.join(path)).ok();
        let groups = read("proc/self/cgroup").unwrap_or_default();
        let of_groups = groups.lines().filter_map(|line| {
            let (_, line) = line.split_once(':')?;
            let (controllers, path) = line.split_once(':')?;
            let (mount, file) = if controllers.is_empty() {
                ("sys/fs/cgroup", "memory.max")
            } else if controllers.split(',').any(|controller| controller == "memory") {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            } else {
                return None;
            };
            // Within a container the path may be that of the host; then the root is the group's own.
            let folders = Path::new(path.trim_start_matches('/')).ancestors();
            let limits = folders.filter_map(|folder| {
                let text = fs::read_to_string(root.join(mount).join(folder).join(file)).ok()?;
                text.trim().parse::<usize>().ok()
            });
            limits.min()
        });
        let group = of_groups.min().map(|len| Self { len, what: "the limit of its control group" });
        let of_process = read("proc/self/limits").and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("Max address space"))?;
            line.split_whitespace().next()?.parse().ok()
        });
        let process = of_process.map(|len| Self { len, what: "its address space limit (ulimit -v)" });
        let of_host = read("proc/meminfo").and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
            line.split_whitespace().next()?.parse::<usize>().ok()
        });
        let host = of_host.map(|kib| Self { len: kib << 10, what: "the memory of this host" });
        [group, process, host].into_iter().flatten().min_by_key(|limit| limit.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Flags};

    const LOADED: Footprint = Footprint { program: 20 << 20, data: 10 << 20 };

    fn bound(change: impl FnOnce(&mut Config)) -> Bound {
        let mut config = config::load(None, &Flags::default()).unwrap();
        change(&mut config);
        Bound::new(&config, 2, 0, &Apps::default(), LOADED)
    }

    #[test]
    fn what_is_configured_counts() {
        const MIB: usize = 1 << 20;
        let total = |change: fn(&mut Config)| bound(change).total();
        let usual = total(|_| {});
        assert!((100 * MIB..500 * MIB).contains(&usual), "{usual}");
        assert!(total(|config| config.tcp.buffers_len_max += 64 * MIB) >= usual + 64 * MIB);
        assert!(total(|config| config.tcp.connections_max += 10_000) > usual + MIB);
        // While that cannot be used, minutes wait in memory.
        assert_eq!(total(|config| config.history = Some("history".into())), usual - (128 - 48) * MIB);
        assert!(total(|config| config.databases.push("places.mmdb".into())) > usual + MIB);
        assert!(total(|config| config.listen.push("192.0.2.1:53".parse().unwrap())) >= usual);
        // Of each of two shards and of TCP, and the frames that nobody takes.
        let queues = 3 * TAPPED_MAX * TAPPED_LEN_MAX;
        let with = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), text).unwrap();
            Bound::new(
                &config::load(Some(file.path()), &Flags::default()).unwrap(),
                2,
                0,
                &Apps::default(),
                LOADED,
            )
            .total()
        };
        let query_log = "[query_log]\nsample_every = 1\n";
        let dnstap = "[dnstap]\nto = 'unix:/run/dnstap.sock'\n";
        assert!(with(query_log) >= usual + queues);
        assert!(with(dnstap) >= usual + queues + DNSTAP_QUEUED_LEN_MAX);
        assert!(with(&[query_log, dnstap].concat()) >= usual + 2 * queues + DNSTAP_QUEUED_LEN_MAX);
        let maps = |line: &str| {
            with(&format!("[[pop]]\nname = 'a'\n[[map]]\nname = 'm'\ndefault = ['a']\n{line}\n"))
        };
        assert_eq!(maps(""), usual);
        assert_eq!(maps("learned = 'l'"), usual + 2 * LEARNED_MAX * LEARNED_LEN);
        let kernel = |change: fn(&mut Config)| bound(change).kernel;
        let sockets = |config: &Config| 2 * config.listen.len() * 2 * config.rcvbuf;
        let more = sockets(&config::load(None, &Flags::default()).unwrap());
        assert_eq!(kernel(|config| config.rcvbuf *= 2), kernel(|_| {}) + more);
    }

    /// Without workers nothing of them exists; with them, everything that they may hold.
    #[test]
    fn workers_count_with_their_jobs_and_the_cache() {
        let mut config = config::load(None, &Flags::default()).unwrap();
        let total =
            |config: &Config, workers| Bound::new(config, 2, workers, &Apps::default(), LOADED).total();
        let without = total(&config, 0);
        config.platform.jobs *= 4;
        config.cache.size *= 4;
        assert_eq!(total(&config, 0), without);
        let (one, two) = (total(&config, 1), total(&config, 2));
        assert!(one > without + (256 << 20) + 3 * 4096 * 2048, "the cache and the jobs of three threads");
        // The cache is of all together.
        assert!(two > one && two < one + (128 << 20), "{one} {two}");
        config.cache.size *= 2;
        assert!(total(&config, 2) >= two + (256 << 20));
    }

    #[test]
    fn what_loading_took_counts_twice_and_the_program_once() {
        let config = config::load(None, &Flags::default()).unwrap();
        let total =
            |program, data| Bound::new(&config, 2, 0, &Apps::default(), Footprint { program, data }).total();
        assert_eq!(total(1 << 20, 0), total(0, 0) + (1 << 20));
        assert_eq!(total(0, 1 << 20), total(0, 0) + (2 << 20));
    }

    #[test]
    fn a_process_knows_what_it_holds() {
        let status = "Name:\tx\nVmHWM:\t   22344 kB\nRssAnon:\t    6228 kB\nRssFile:\t   16116 kB\n";
        let maps = "55d0c0000000-55d0c0100000 r-xp 00000000 fe:00 12  /usr/bin/as112d\n\
                    7f0000000000-7f0000200000 rw-p 00000000 00:00 0 \n\
                    7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0  [stack]\n";
        let Footprint { program, data } = Footprint::read(status, maps);
        assert_eq!((program, data), (1 << 20, (22344 - 16116) << 10));
        let here = Footprint::now();
        assert!(here.program > 1 << 20 && here.data > 1 << 16, "{here:?}");
    }

    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn the_least_limit_is_the_one() {
        let meminfo = ("proc/meminfo", "MemTotal:       1048576 kB\nMemFree: 1 kB\n");
        let version_2 = ("proc/self/cgroup", "0::/system.slice/as112d.service\n");
        let of = |files: &[(&str, &str)]| {
            Limit::below(host(files).path()).map(|limit| (limit.len >> 20, limit.what))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[meminfo, version_2]), Some((1024, "the memory of this host")));
        let slice = ("sys/fs/cgroup/system.slice/memory.max", "268435456\n");
        let unit = ("sys/fs/cgroup/system.slice/as112d.service/memory.max", "max\n");
        let group = "the limit of its control group";
        assert_eq!(of(&[meminfo, version_2, slice, unit]), Some((256, group)), "of the group above");
        let version_1 = ("proc/self/cgroup", "5:devices:/\n4:memory:/docker/0123\n0::/\n");
        let limits = [("sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n")];
        assert_eq!(of(&[meminfo, version_1, limits[0]]), Some((128, group)), "of the container");
        let unlimited = [("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")];
        assert_eq!(of(&[meminfo, version_1, unlimited[0]]), Some((1024, "the memory of this host")));
        let line = "Max address space         67108864             67108864             bytes\n";
        let process = "its address space limit (ulimit -v)";
        assert_eq!(of(&[meminfo, ("proc/self/limits", line)]), Some((64, process)));
        let line = "Max address space         unlimited            unlimited            bytes\n";
        assert_eq!(of(&[("proc/self/limits", line)]), None);
    }

    #[test]
    fn too_little_to_start_is_refused_and_too_little_for_an_attack_is_noted() {
        let bound = bound(|_| {});
        let limit = |len| Limit { len, what: "the limit of its control group" };
        assert_eq!(bound.within(None).unwrap(), None);
        assert_eq!(bound.within(Some(&limit(bound.total()))).unwrap(), None);
        let note = bound.within(Some(&limit(bound.total() - 1))).unwrap().unwrap();
        assert!(
            note.starts_with("the limit of its control group is ") && note.contains("buffers_max"),
            "{note}"
        );
        let problems = bound.within(Some(&limit(bound.start - 1))).unwrap_err();
        assert!(problems[0].message.starts_with("the node needs "), "{problems:?}");
    }
}
