//! What is made of the counters: text for Prometheus, JSON for programs.
//!
//! A [`Board`] knows where the counters stand and what they are called. Whoever wants them takes a
//! [`Reading`], which costs the threads that count nothing: they are read with plain loads.

pub mod announcers;
pub mod host;
pub mod life;
pub mod observed;
pub mod pops;
pub mod process;
pub mod recent;
pub mod remarks;
pub mod resolver;
mod status;
pub mod talkers;
pub mod work;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use ipnet::IpNet;

use crate::log::Log;
use crate::stats::counters::{
    Counters, FAMILIES, Family, PROBES, QUERIES, SHARD_BUSY, SHARD_TURNS, TCP_ACCEPTED, TCP_CLOSED,
    TCP_TURNS, Totals,
};
use crate::stats::gauges::WorkerGauges;
use crate::stats::labels::Names;
use crate::sys::confine::{self, Confined, Refused};

use crate::tailor::Tailor;
use crate::taps;
use announcers::Announcers;
use host::{Host, HostCounts};
pub use life::{Life, Reloads, State};
use observed::{Observation, Observed};
use pops::Pops;
use process::{Process, ProcessValues};
use resolver::Resolver;
pub use status::Status;
use work::Work;

/// What things are called. It changes when the configuration is read again.
#[derive(Clone, Debug)]
pub struct Named {
    /// The node's name.
    pub node: String,
    /// The site that it stands at.
    pub site: String,
    /// Where that is, in words.
    pub location: Option<String>,
    /// Addresses that only this node has.
    pub unique_ip: Vec<IpAddr>,
    /// What else it says of itself: a contact, it may be.
    pub further: Vec<String>,
    /// The prefixes that it serves.
    pub prefixes: Vec<IpNet>,
    /// What zones and addresses are called where they are counted.
    pub counted: Names,
}

/// What does not change while the node runs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The version of the program.
    pub version: &'static str,
    /// How datagrams are received and sent.
    pub datapath: String,
    /// Why so.
    pub reason: String,
    /// Where queries are answered in the driver: interfaces, and how.
    pub xdp: Vec<String>,
    /// One query in this many is sampled for its source.
    pub sample_every: u32,
    /// When the node started.
    pub started: SystemTime,
    /// The same, of a clock that does not jump.
    pub since: Instant,
}

/// A thread's counters, or those of several that do the same and are counted together.
#[derive(Debug)]
pub struct Block {
    /// The CPU that the thread is pinned to.
    pub cpu: Option<usize>,
    /// The NUMA node of that CPU.
    pub numa_node: Option<usize>,
    /// What it counts into; of several threads what each does.
    pub counters: Vec<Arc<Counters>>,
    /// What a thread of this place counted in earlier runs of the program.
    pub base: ArcSwap<Base>,
}

/// What earlier runs of the program counted.
#[derive(Clone, Debug, Default)]
pub struct Base {
    /// All of it.
    pub total: Totals,
    /// What of it /metrics leaves out. A run that did not end in order has counted more than is known of it,
    /// so its counters cannot continue: a counter that falls to less than it was, but not to 0, is taken for
    /// one that has counted all of that since.
    pub left_out: Totals,
}

impl Base {
    /// One of which /metrics has nothing.
    #[must_use]
    pub fn left_out(total: Totals) -> Self {
        Self { left_out: total.clone(), total }
    }

    /// Adds another.
    pub fn add(&mut self, more: &Self) {
        self.total += &more.total;
        self.left_out += &more.left_out;
    }

    /// What /metrics has of it.
    #[must_use]
    pub fn exported(&self) -> Totals {
        self.total.since(&self.left_out)
    }
}

/// Where the numbers of a node stand.
#[derive(Debug)]
pub struct Board {
    /// What does not change.
    pub facts: Facts,
    /// What things are called.
    pub named: ArcSwap<Named>,
    /// The shards, in their order.
    pub shards: Vec<Block>,
    /// The thread of TCP.
    pub tcp: Block,
    /// What was answered in the driver.
    pub xdp: Block,
    /// The workers, all in one.
    pub workers: Block,
    /// What each of them has at hand.
    pub gauges: Vec<Arc<WorkerGauges>>,
    /// The resolver that this node runs, if it does.
    pub resolver: Resolver,
    /// What threads counted in earlier runs that have no successor in this one.
    pub past: ArcSwap<Base>,
    /// How the history fares.
    pub history: Status,
    /// The exports that are wanted, by name, and how each fares.
    pub exports: Vec<(&'static str, Status)>,
    /// What the aggregator found out.
    pub observed: Observed,
    /// Where the kernel counts for the host.
    pub host: Host,
    /// Where it counts for this process.
    pub process: Process,
    /// How the process is confined.
    pub confined: Confined,
    /// What the node has to say.
    pub log: Log,
    /// The query log, where it is not the same.
    pub query_log: Option<Log>,
    /// How dnstap fares, where somebody gets it.
    pub dnstap: Option<Arc<taps::DnstapStatus>>,
    /// Where in its life the node is.
    pub life: Life,
    /// How the reading of its configuration fares.
    pub reloads: Reloads,
    /// How the reading of its maps fares.
    pub maps: Reloads,
    /// The maps in effect, where answers depend on the client.
    pub tailor: ArcSwapOption<Tailor>,
    /// Those who announce the routes to the node.
    pub announcers: Announcers,
    /// Which PoPs are up.
    pub pops: ArcSwap<Pops>,
}

impl Board {
    /// The logs, by name, and how many lines each has lost.
    pub fn lost(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let logs = [("node", Some(&self.log)), ("queries", self.query_log.as_ref())];
        logs.into_iter().filter_map(|(name, log)| Some((name, log?.lost())))
    }

    /// The counters as they stand now.
    #[must_use]
    pub fn read(&self) -> Reading<'_> {
        self.read_with(|base| base.total.clone())
    }

    /// The same as a scraper may see it: counters that continue exactly, or begin at 0.
    #[must_use]
    pub fn read_exported(&self) -> Reading<'_> {
        self.read_with(Base::exported)
    }

    fn read_with(&self, of: fn(&Base) -> Totals) -> Reading<'_> {
        let read = |block: &Block| {
            let mut totals = of(&block.base.load());
            block.read_into(&mut totals);
            totals
        };
        let shards: Vec<Totals> = self.shards.iter().map(read).collect();
        let xdp = read(&self.xdp);
        let mut total = read(&self.tcp);
        total += &xdp;
        total += &read(&self.workers);
        shards.iter().for_each(|shard| total += shard);
        total += &of(&self.past.load());
        // Those of earlier runs are closed, if nobody lived to count it.
        let tcp = self.tcp.read_own();
        let named = self.named.load_full();
        Reading {
            board: self,
            work: Work::read(&self.gauges, &named.counted, self.resolver.status()),
            named,
            total,
            xdp,
            tcp_connections: tcp.sum(TCP_ACCEPTED).saturating_sub(tcp.sum(TCP_CLOSED)),
            shards,
            host: self.host.read(),
            process: self.process.read(),
            refused: confine::refused(),
            observation: self.observed.read(),
            uptime: self.facts.since.elapsed(),
            state: self.life.state(),
        }
    }

    /// All that count: the shards in their order, TCP, the driver, and the workers.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.shards.iter().chain([&self.tcp, &self.xdp, &self.workers])
    }

    /// The queries of this run of the program.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.sum_of_this_run(QUERIES)
    }

    /// What this host has asked itself in this run of the program, which is in no other count of queries.
    #[must_use]
    pub fn probes(&self) -> u64 {
        self.sum_of_this_run(PROBES)
    }

    fn sum_of_this_run(&self, family: &Family) -> u64 {
        self.blocks().map(|block| block.read_own().sum(family)).sum()
    }

    /// How long each shard has been busy, in nanoseconds.
    #[must_use]
    pub fn busy(&self) -> Vec<u64> {
        self.shards.iter().map(|block| block.read_own().sum(SHARD_BUSY)).collect()
    }

    /// How many turns each thread has made, shards first. One that makes none is stuck: even without a
    /// packet a thread makes some each second.
    #[must_use]
    pub fn turns(&self) -> Vec<u64> {
        let turns = |block: &Block| {
            let totals = block.read_own();
            totals.sum(SHARD_TURNS) + totals.sum(TCP_TURNS)
        };
        self.shards.iter().chain([&self.tcp]).map(turns).collect()
    }
}

impl Block {
    /// Those of all workers, who continue from `base`.
    #[must_use]
    pub fn of_workers(counters: Vec<Arc<Counters>>, base: Base) -> Self {
        Self { cpu: None, numa_node: None, counters, base: ArcSwap::from_pointee(base) }
    }

    /// The labels of a shard: its place among them, its CPU and NUMA node, `any` where it is not pinned.
    pub fn labels(&self, shard: usize) -> [(&'static str, String); 3] {
        let name =
            |number: Option<usize>| number.map_or_else(|| "any".to_owned(), |number| number.to_string());
        [("shard", shard.to_string()), ("cpu", name(self.cpu)), ("numa", name(self.numa_node))]
    }

    /// Adds what earlier runs counted and nobody knew of yet.
    pub fn add_to_base(&self, more: &Base) {
        self.base.rcu(|base| {
            let mut base = Base::clone(base);
            base.add(more);
            base
        });
    }

    /// What it has counted, with earlier runs.
    #[must_use]
    pub fn read(&self) -> Totals {
        let mut totals = self.base.load().total.clone();
        self.read_into(&mut totals);
        totals
    }

    /// The same without the base.
    #[must_use]
    pub fn read_own(&self) -> Totals {
        let mut totals = Totals::default();
        self.read_into(&mut totals);
        totals
    }

    fn read_into(&self, totals: &mut Totals) {
        self.counters.iter().for_each(|counters| counters.read(totals));
    }
}

/// The numbers of a node at one time.
#[derive(Debug)]
pub struct Reading<'a> {
    /// What they are numbers of.
    pub board: &'a Board,
    /// What things are called.
    pub named: Arc<Named>,
    /// The sum of all threads.
    pub total: Totals,
    /// Each shard's own.
    pub shards: Vec<Totals>,
    /// What was answered in the driver.
    pub xdp: Totals,
    /// What workers have at hand, where there are any.
    pub work: Option<Work>,
    /// TCP connections that are open. They are counted by one thread, but read one by one.
    pub tcp_connections: u64,
    /// What the host's network counts.
    pub host: HostCounts,
    /// What the process has and takes.
    pub process: ProcessValues,
    /// What threads were refused.
    pub refused: Vec<Refused>,
    /// What the aggregator found out.
    pub observation: Observation,
    /// Since the start.
    pub uptime: Duration,
    /// Where in its life the node is.
    pub state: State,
}

impl Reading<'_> {
    /// The queries by how they came: to the sockets for datagrams, to TCP, to the driver.
    #[must_use]
    pub fn by_datapath(&self) -> [(&str, u64); 3] {
        let [all, xdp] = [&self.total, &self.xdp].map(|totals| totals.sum(QUERIES));
        let tcp: u64 = (0..QUERIES.len())
            .filter(|at| QUERIES.values(*at)[1] == 1)
            .map(|at| QUERIES.of(&self.total)[at])
            .sum();
        [(&self.board.facts.datapath, all.saturating_sub(xdp + tcp)), ("tcp", tcp), ("xdp", xdp)]
    }

    /// Whether the node serves and wants to be asked.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == State::Serving
    }

    /// When the node started, since the Unix epoch.
    #[must_use]
    pub fn started(&self) -> Duration {
        self.board.facts.started.duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// The families that are shown by themselves, where there is anything that they count.
    pub fn shown(&self) -> impl Iterator<Item = &'static Family> + use<'_> {
        shown().filter(|family| family.is_in_use(&self.named.counted))
    }

    /// The counters of a family that are in use: what their labels say, and the count. Of zones and addresses
    /// those are the ones that have a name, and any that counted.
    pub fn series(&self, family: &Family, totals: &Totals) -> Vec<(Vec<String>, u64)> {
        let names = &self.named.counted;
        if !family.is_in_use(names) {
            return Vec::new();
        }
        let counters = family.of(totals).iter().enumerate();
        let in_use = counters.filter_map(|(offset, &count)| {
            let values = family.values(offset);
            let mut labels = family.labels.iter().zip(&values);
            let is_named = labels.all(|(label, &value)| value < names.len_in_use(label));
            (is_named || count > 0).then(|| (names.values(family.labels, &values), count))
        });
        in_use.collect()
    }
}

/// The families that are shown by themselves: not the sums of sizes and times, which are parts of histograms.
fn shown() -> impl Iterator<Item = &'static Family> {
    FAMILIES.iter().filter(|family| !family.name.ends_with("_sum"))
}

/// The family that has the sum of the sizes or times that `family` has the bins of.
pub fn sum_of(family: &Family) -> &'static Family {
    let is_sum = |sum: &&Family| sum.name.strip_suffix("_sum") == Some(family.name);
    FAMILIES.iter().find(is_sum).expect("the table has a sum for every histogram")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::stats::counters::{
        QUERIES_BY_ADDRESS, QUERIES_BY_ZONE, QUERY_BYTES, QUERY_SIZES, SHARD_RECEIVED,
    };
    use crate::stats::labels::{Values, ZONE};

    /// A board of two shards that counted a little, with a name that must be escaped.
    pub(crate) fn board() -> Board {
        let block = |cpu, counts: &[(usize, u32)]| {
            let counters = Arc::new(Counters::default());
            counts.iter().for_each(|&(at, count)| counters.add(at, count));
            Block { cpu, numa_node: cpu.map(|_| 1), counters: vec![counters], base: ArcSwap::default() }
        };
        let first = [
            (QUERIES.at([0, 0, 0]), 3),
            (QUERIES_BY_ZONE.at([0]), 2),
            (QUERIES_BY_ZONE.at([ZONE.len - 1]), 1),
            (QUERIES_BY_ADDRESS.at([0]), 3),
            (QUERY_SIZES.at([0, 2]), 2),
            (QUERY_SIZES.at([0, 128]), 1),
            (QUERY_BYTES.at([0]), 2128),
            (SHARD_RECEIVED.at([]), 3),
            (SHARD_BUSY.at([]), 1_500_000_000),
        ];
        let tcp = [
            (QUERIES.at([0, 1, 1]), 4),
            (TCP_ACCEPTED.at([]), 5),
            (TCP_CLOSED.at([0]), 2),
            (TCP_TURNS.at([]), 9),
        ];
        Board {
            facts: Facts {
                version: "1.2.3",
                datapath: "mmsg".to_owned(),
                reason: "no \"ring\"\nhere".to_owned(),
                xdp: Vec::new(),
                sample_every: 64,
                started: UNIX_EPOCH + Duration::from_millis(1_700_000_000_500),
                since: Instant::now(),
            },
            named: ArcSwap::from_pointee(Named {
                node: "node-1".to_owned(),
                site: "site-1".to_owned(),
                location: None,
                unique_ip: Vec::new(),
                further: Vec::new(),
                prefixes: Vec::new(),
                counted: Names {
                    zones: vec!["10.in-addr.arpa".to_owned()],
                    addresses: vec!["[::1]:53".to_owned()],
                    ..Names::default()
                },
            }),
            shards: vec![
                block(Some(7), &first),
                block(None, &[(QUERIES.at([0, 0, 0]), 1), (SHARD_TURNS.at([]), 6)]),
            ],
            tcp: block(None, &tcp),
            xdp: block(None, &[]),
            workers: Block::of_workers(Vec::new(), Base::default()),
            gauges: Vec::new(),
            resolver: Resolver::default(),
            past: ArcSwap::default(),
            history: Status::new("in memory".to_owned()),
            exports: vec![("dsc", Status::new("/dsc".to_owned()))],
            observed: Observed::new(3),
            host: Host::open(),
            process: Process::open(),
            confined: Confined::default(),
            log: Log::silent(),
            query_log: Some(Log::silent()),
            dnstap: Some(Arc::default()),
            life: Life::default(),
            announcers: Announcers::default(),
            pops: ArcSwap::default(),
            tailor: Default::default(),
            reloads: Reloads::new(1_700_000_000),
            maps: Reloads::new(1_700_000_000),
        }
    }

    #[test]
    fn a_reading_adds_up_all_threads() {
        let board = board();
        let reading = board.read();
        assert_eq!(reading.total.sum(QUERIES), 8);
        assert_eq!(reading.shards.iter().map(|shard| shard.sum(QUERIES)).collect::<Vec<_>>(), [3, 1]);
        assert_eq!(reading.tcp_connections, 3);
        assert_eq!(reading.state, State::Serving);
        assert_eq!(board.turns(), [0, 6, 9]);
    }

    #[test]
    fn values_without_a_name_show_once_they_count() {
        let board = board();
        let reading = board.read();
        let zones = reading.series(QUERIES_BY_ZONE, &reading.total);
        assert_eq!(zones, [(vec!["10.in-addr.arpa".to_owned()], 2), (vec!["other".to_owned()], 1)]);
        let addresses = reading.series(QUERIES_BY_ADDRESS, &reading.total);
        assert_eq!(addresses, [(vec!["[::1]:53".to_owned()], 3)]);
    }

    #[test]
    fn every_histogram_has_a_sum() {
        let histograms: Vec<&Family> = shown().filter(|family| family.is_histogram()).collect();
        assert_eq!(histograms.len(), 4);
        for family in histograms {
            let sum = sum_of(family);
            assert_eq!(sum.labels.len() + 1, family.labels.len(), "{}", sum.name);
            let is_of_times = matches!(family.labels.last().unwrap().values, Values::Times(_));
            assert_eq!((sum.is_micros(), family.bin_len().is_none()), (is_of_times, is_of_times));
        }
        assert_eq!(shown().count() + 4, FAMILIES.len());
    }
}
