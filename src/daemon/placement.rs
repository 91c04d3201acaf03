//! Where each shard runs and which datagrams reach it, decided from what the operator wants and what the host
//! has; and why, for a person to read.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::Config;
use crate::config::cpus::{CpuList, Cpus, Shards, Steer};
use crate::limits::SHARDS_MAX;
use crate::problem::Problem;
use crate::sys::cpu;
use crate::sys::steering::Steering;
use crate::sys::topology::{Cpu, Interface, Topology};
use crate::sys::user;

/// What a host has, as far as placing shards goes.
#[derive(Clone, Debug)]
pub struct Host {
    /// Where its file system begins.
    pub root: PathBuf,
    /// Its processors.
    pub topology: Topology,
    /// The CPUs of our affinity mask, in order: what cpuset and taskset leave us of those that are online.
    pub mask: Vec<usize>,
    /// Isolated CPUs that are in no mask, and that a thread of ours can be pinned to all the same.
    pub isolated: Vec<usize>,
    /// How many threads can run at once, by the mask and by the CPU quota of the control group.
    pub parallelism: usize,
}

impl Host {
    /// This one.
    ///
    /// # Errors
    /// If the kernel does not say which CPUs we may use.
    pub fn here() -> io::Result<Self> {
        let root = PathBuf::from("/");
        let mask = cpu::affinity()?;
        // A container may hide /sys. Then every CPU is taken for a core of its own.
        let mut topology = Topology::read(&root).unwrap_or_default();
        let unknown: Vec<usize> =
            mask.iter().copied().filter(|&number| topology.cpu(number).is_none()).collect();
        topology.cpus.extend(unknown.into_iter().map(plain));
        topology.cpus.sort_unstable_by_key(|cpu| cpu.number);
        let beyond = topology.cpus.iter().filter(|cpu| cpu.isolated && !mask.contains(&cpu.number));
        let isolated = cpu::reachable(&beyond.map(|cpu| cpu.number).collect::<Vec<_>>());
        Ok(Self { root, topology, mask, isolated, parallelism: cpu::allowed_parallelism() })
    }

    fn cpu(&self, number: usize) -> Cpu {
        self.topology.cpu(number).copied().unwrap_or_else(|| plain(number))
    }

    /// The CPUs of the mask that were not set apart: those that may be taken without being named.
    fn common(&self) -> Vec<Cpu> {
        self.mask.iter().map(|&number| self.cpu(number)).filter(|cpu| !cpu.isolated).collect()
    }

    fn may_use(&self, number: usize) -> bool {
        self.mask.contains(&number) || self.isolated.contains(&number)
    }

    /// Why a CPU may not be used, and what to do.
    fn refuse(&self, number: usize) -> String {
        let usable = CpuList(&self.mask);
        if self.topology.cpu(number).is_none() {
            return format!("CPU {number} is not online on this host; list some of {usable}");
        }
        format!("this process may not use CPU {number}; list some of {usable}")
    }
}

fn plain(number: usize) -> Cpu {
    Cpu { number, package: 0, core: number, node: 0, isolated: false }
}

/// Where one shard runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardPlacement {
    /// The CPU that it is pinned to, if any.
    pub cpu: Option<Cpu>,
    /// The receive queues whose interrupts come to that CPU, each with its interrupt.
    pub queues: Vec<(usize, u32)>,
    /// Why there.
    pub why: String,
}

/// Where all shards run, and what reaches each.
#[derive(Clone, Debug)]
pub struct Placement {
    /// By shard.
    pub places: Vec<ShardPlacement>,
    /// How datagrams are steered; `None` leaves it to the kernel.
    pub steering: Option<Steering>,
    /// How, and why so.
    pub steered: String,
    /// What the operator should know of it.
    pub notes: Vec<String>,
    /// The CPUs that no shard is on, where shards are pinned.
    pub spare: Vec<usize>,
}

impl Placement {
    /// For each shard the CPU that it is pinned to.
    #[must_use]
    pub fn cpus(&self) -> Vec<Option<usize>> {
        self.places.iter().map(|place| place.cpu.map(|cpu| cpu.number)).collect()
    }

    /// For each worker the CPU that it is pinned to: one without a shard, as far as there are such.
    #[must_use]
    pub fn worker_cpus(&self, workers: usize) -> Vec<Option<usize>> {
        (0..workers).map(|worker| self.spare.get(worker).copied()).collect()
    }

    /// Places the shards that `config` wants on this host.
    ///
    /// # Errors
    /// CPUs that this process may not use, or that are not there.
    pub fn here(config: &Config) -> Result<Self, Vec<Problem>> {
        let host = Host::here().map_err(|error| format!("cannot read the CPUs of this process: {error}"));
        host.and_then(|host| Self::decide(config, &host)).map_err(Problem::alone)
    }

    /// The same for a process that has not dropped its privileges: it also checks that the user exists.
    ///
    /// # Errors
    /// As [`here`](Self::here); a user that does not exist.
    pub fn with_user(config: &Config) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let placement = Self::here(config).map_err(|error| problems.extend(error));
        if let Some(name) = &config.user
            && let Err(error) = user::exists(name)
        {
            problems.push(Problem::plain(format!("user {name}: {error}")));
        }
        placement.ok().filter(|_| problems.is_empty()).ok_or(problems)
    }

    /// Places the shards that `config` wants on `host`.
    ///
    /// # Errors
    /// What of it the host does not have, and what to give instead.
    pub fn decide(config: &Config, host: &Host) -> Result<Self, String> {
        let mut notes = Vec::new();
        let mut nic = None;
        let places = match &config.cpus {
            None => unpinned(config, host),
            Some(Cpus::List(listed)) => named(listed, host)?,
            Some(Cpus::Node(number)) => of_node(*number, host, &mut notes)?,
            Some(Cpus::Physical) => one_to_a_core(host, &mut notes)?,
            Some(Cpus::Nic(name)) => of_queues(nic.insert(Nic::read(name, host)?), host)?,
        };
        let wanted = match config.shards {
            Shards::Auto => places.len().min(SHARDS_MAX),
            Shards::Count(count) => count.get(),
        };
        if wanted > places.len() {
            let (of, mask) = (places.len(), Cpus::List(host.mask.clone()));
            let cpus = config.cpus.as_ref().unwrap_or(&mask);
            return Err(format!("{wanted} shards but only {of} CPUs in {cpus}; give fewer, or \"auto\""));
        }
        let cut = wanted < places.len();
        let places: Vec<ShardPlacement> = places.into_iter().take(wanted).collect();
        if wanted > host.parallelism && host.parallelism < host.mask.len() {
            notes.push(format!(
                "the control group's CPU quota is worth {} CPUs: {wanted} shards will be throttled in each \
                 period; raise the quota, or give --shards {}",
                host.parallelism, host.parallelism
            ));
        }
        let (steering, steered) = steer(config, host, &places, nic.as_ref().filter(|_| !cut))?;
        let taken =
            |cpu: &Cpu| places.iter().any(|place| place.cpu.is_some_and(|at| at.number == cpu.number));
        let spare = || host.common().into_iter().filter(|cpu| !taken(cpu)).map(|cpu| cpu.number).collect();
        let is_pinned = places.iter().all(|place| place.cpu.is_some());
        let spare = if is_pinned { spare() } else { Vec::new() };
        Ok(Self { places, steering, steered, notes, spare })
    }
}

//------------ Which CPUs ---

/// Nobody named CPUs: as many shards as can run at once, and the scheduler moves them.
fn unpinned(config: &Config, host: &Host) -> Vec<ShardPlacement> {
    let common = host.common();
    if common.is_empty() {
        // All that we were given is isolated, so it was given on purpose. The scheduler would leave every
        // thread where it began, on the first of them.
        return host
            .mask
            .iter()
            .map(|&number| place(host, number, "all CPUs in the affinity mask are isolated"))
            .collect();
    }
    let (shards, why) = match config.shards {
        Shards::Auto => (host.parallelism.min(common.len()), "one for each usable CPU"),
        Shards::Count(count) => (count.get(), "as configured"),
    };
    vec![ShardPlacement { cpu: None, queues: Vec::new(), why: why.to_owned() }; shards]
}

fn named(listed: &[usize], host: &Host) -> Result<Vec<ShardPlacement>, String> {
    if let Some(&number) = listed.iter().find(|&&number| !host.may_use(number)) {
        return Err(host.refuse(number));
    }
    Ok(listed.iter().map(|&number| place(host, number, "named")).collect())
}

fn of_node(number: usize, host: &Host, notes: &mut Vec<String>) -> Result<Vec<ShardPlacement>, String> {
    if !host.topology.has_node(number) {
        let nodes: BTreeSet<usize> = host.topology.cpus.iter().map(|cpu| cpu.node).collect();
        let nodes = nodes.into_iter().collect::<Vec<_>>();
        return Err(format!("no CPU is in NUMA node {number}; the nodes are {}", CpuList(&nodes)));
    }
    note_isolated(host, |cpu| cpu.node == number, notes);
    let cpus: Vec<Cpu> = host.common().into_iter().filter(|cpu| cpu.node == number).collect();
    let places = cores_first(&cpus).into_iter().map(|(cpu, thread)| {
        let why = match thread {
            0 => format!("a core of node {number}"),
            _ => format!("another thread of the core of CPU {}", cpu.core),
        };
        ShardPlacement { cpu: Some(cpu), queues: Vec::new(), why }
    });
    some(places.collect(), || format!("this process may not use any CPU of node {number}"))
}

fn one_to_a_core(host: &Host, notes: &mut Vec<String>) -> Result<Vec<ShardPlacement>, String> {
    note_isolated(host, |_| true, notes);
    let cpus = cores_first(&host.common()).into_iter().filter(|&(_, thread)| thread == 0);
    let places = cpus.map(|(cpu, _)| place(host, cpu.number, "a core of its own")).collect();
    some(places, || "this process may use isolated CPUs only".to_owned())
}

fn place(host: &Host, number: usize, why: &str) -> ShardPlacement {
    let cpu = host.cpu(number);
    let isolated = if cpu.isolated && why == "named" { ", isolated" } else { "" };
    ShardPlacement { cpu: Some(cpu), queues: Vec::new(), why: format!("{why}{isolated}") }
}

fn some(places: Vec<ShardPlacement>, none: impl FnOnce() -> String) -> Result<Vec<ShardPlacement>, String> {
    if places.is_empty() { Err(format!("{}; list some with --cpus", none())) } else { Ok(places) }
}

/// The CPUs, those that are their core's first before the others: two threads of a core share what it can do,
/// so with fewer shards than threads they are on different cores. With each, which thread of its
/// core it is among those given.
fn cores_first(cpus: &[Cpu]) -> Vec<(Cpu, usize)> {
    let before = |at: usize| cpus[..at].iter().filter(|cpu| cpu.core == cpus[at].core).count();
    let mut ranked: Vec<(Cpu, usize)> = cpus.iter().enumerate().map(|(at, cpu)| (*cpu, before(at))).collect();
    ranked.sort_by_key(|&(_, thread)| thread);
    ranked
}

/// Isolated CPUs serve those who name them: whoever set them apart had something in mind.
fn note_isolated(host: &Host, wanted: impl Fn(&Cpu) -> bool, notes: &mut Vec<String>) {
    let left =
        host.topology.cpus.iter().filter(|cpu| cpu.isolated && host.may_use(cpu.number) && wanted(cpu));
    let left: Vec<usize> = left.map(|cpu| cpu.number).collect();
    if !left.is_empty() {
        let cpus = CpuList(&left);
        notes.push(format!("isolated CPUs {cpus} are left out; `--cpus {cpus}` would use them"));
    }
}

//------------ The queues of a network card ---

/// An interface and what it is called.
struct Nic<'a> {
    name: &'a str,
    interface: Interface,
}

impl<'a> Nic<'a> {
    fn read(name: &'a str, host: &Host) -> Result<Self, String> {
        let interface = Interface::read(&host.root, name).map_err(|_| {
            format!("there is no interface {name}; give one that `ip link` lists, or list CPUs")
        })?;
        if !interface.is_physical {
            return Err(format!(
                "{name} is not a physical NIC, so its queues have no interrupts to follow; list \
                 CPUs instead, as in --cpus 0-3"
            ));
        }
        Ok(Self { name, interface })
    }

    /// Why shards that are on the CPUs of the queues should not be steered by CPU, if so.
    fn scatters(&self) -> Option<&'static str> {
        if self.interface.has_rps {
            return Some("RPS moves its packets to other CPUs");
        }
        let is_spread = self.interface.queues.iter().any(|queue| queue.cpus.len() != 1);
        is_spread.then_some("an interrupt of it may reach several CPUs")
    }
}

/// One shard for each queue, where the queue's interrupts come to. Queues that interrupt the same CPU have
/// one shard: a second could only take turns with it.
fn of_queues(nic: &Nic, host: &Host) -> Result<Vec<ShardPlacement>, String> {
    let name = nic.name;
    let mut places: Vec<ShardPlacement> = Vec::new();
    for queue in &nic.interface.queues {
        let number = queue.number;
        let (Some(irq), Some(&on)) = (queue.irq, queue.cpus.first()) else {
            return Err(format!(
                "the interrupt of queue {number} of {name} is unknown: no line of \
                 /proc/interrupts is named after it; list CPUs instead, as in --cpus 0-3"
            ));
        };
        if !host.may_use(on) {
            return Err(format!(
                "queue {number} of {name} interrupts CPU {on}, which this process may not use; bind \
                 interrupt {irq} to another (`/usr/share/as112d/tune --apply` does), or let the process use \
                 that CPU"
            ));
        }
        let cpu = host.cpu(on);
        match places.iter_mut().find(|place| place.cpu == Some(cpu)) {
            Some(place) => place.queues.push((number, irq)),
            None => {
                let isolated = if cpu.isolated { ", which is isolated" } else { "" };
                let why = match &queue.cpus[..] {
                    [_] => format!("interrupted by its queue{isolated}"),
                    several => {
                        format!("first of {} that its queue may interrupt{isolated}", CpuList(several))
                    }
                };
                places.push(ShardPlacement { cpu: Some(cpu), queues: vec![(number, irq)], why });
            }
        }
    }
    some(places, || format!("{name} has no receive queues"))
}

//------------ Steering ---

/// How datagrams are steered, and a sentence that says so. `nic` is the NIC whose every queue has its shard,
/// if there is one.
fn steer(
    config: &Config,
    host: &Host,
    places: &[ShardPlacement],
    nic: Option<&Nic>,
) -> Result<(Option<Steering>, String), String> {
    let off = |why: &str| Ok((None, format!("off ({why})")));
    let by_cpu = |why: &str| Ok((Some(Steering::Cpu(map(host, places))), format!("cpu ({why})")));
    let is_pinned = places.iter().all(|place| place.cpu.is_some());
    if places.len() == 1 && config.steer != Steer::Off {
        return off("one shard receives everything");
    }
    match config.steer {
        Steer::Off => off("as configured"),
        Steer::Hash => Ok((Some(Steering::Hash), "hash (as configured)".to_owned())),
        Steer::Cpu if is_pinned => by_cpu("as configured"),
        Steer::Cpu => Err("steering by CPU needs shards that are pinned; give --cpus as well, or another \
                           --steer"
            .to_owned()),
        Steer::Auto if config.listen.iter().all(|address: &SocketAddr| address.ip().is_loopback()) => {
            off("loopback only: a packet is received on the CPU that sent it")
        }
        Steer::Auto => match nic.map(|nic| (nic.name, nic.scatters())) {
            None => off("shards are not tied to NIC queues; see --cpus nic:IFACE"),
            Some((name, Some(why))) => off(&format!("{name}: {why}")),
            Some((name, None)) => by_cpu(&format!("each queue of {name} interrupts the CPU of its shard")),
        },
    }
}

/// For each CPU its shard: the one that is pinned to it, or else one on another thread of its core. What
/// other CPUs receive goes where the kernel sees fit.
fn map(host: &Host, places: &[ShardPlacement]) -> Vec<(usize, usize)> {
    let shard = |wanted: &dyn Fn(&Cpu) -> bool| {
        places.iter().position(|place| place.cpu.as_ref().is_some_and(wanted))
    };
    let of = |cpu: &Cpu| shard(&|at| at.number == cpu.number).or_else(|| shard(&|at| at.core == cpu.core));
    host.topology.cpus.iter().filter_map(|cpu| Some((cpu.number, of(cpu)?))).collect()
}

//------------ For people ---

impl fmt::Display for Placement {
    /// A table, and what there is to say of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["shard", "CPU", "core", "node", "queue", "IRQ", "why"].map(str::to_owned);
        let rows: Vec<[String; 7]> = std::iter::once(header)
            .chain(self.places.iter().enumerate().map(|(shard, place)| place.row(shard)))
            .collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..6).map(width).collect();
        for row in &rows {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "{cell:<width$}  ")?;
            }
            writeln!(f, "{}", row[6])?;
        }
        writeln!(f, "steering: {}", self.steered)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

impl ShardPlacement {
    fn row(&self, shard: usize) -> [String; 7] {
        let of_cpu = |tell: fn(&Cpu) -> String| self.cpu.as_ref().map_or_else(|| "-".to_owned(), tell);
        let each = |tell: fn(&(usize, u32)) -> String| match &self.queues[..] {
            [] => "-".to_owned(),
            queues => queues.iter().map(tell).collect::<Vec<_>>().join(","),
        };
        [
            shard.to_string(),
            self.cpu.map_or_else(|| "any".to_owned(), |cpu| cpu.number.to_string()),
            of_cpu(|cpu| format!("{}:{}", cpu.package, cpu.core)),
            of_cpu(|cpu| cpu.node.to_string()),
            each(|(queue, _)| queue.to_string()),
            each(|(_, irq)| irq.to_string()),
            self.why.clone(),
        ]
    }
}

// More tests, on recorded hosts, are in tests/placement.rs.

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Flags};

    #[test]
    fn all_that_the_host_lacks_is_reported() {
        let mut config = config::load(None, &Flags::default()).unwrap();
        let last = *cpu::affinity().unwrap().last().unwrap();
        config.cpus = Some(Cpus::List(vec![last]));
        let placement = Placement::with_user(&config).unwrap();
        assert_eq!(placement.cpus(), [Some(last)]);
        let free: Vec<Option<usize>> = placement.spare.iter().copied().map(Some).collect();
        assert!(!free.contains(&Some(last)), "a worker is where no shard is");
        let more = [&free[..], &[None]].concat();
        assert_eq!(placement.worker_cpus(more.len()), more, "what has no CPU of its own is on any");
        config.cpus = Some(Cpus::List(vec![last, 8191]));
        config.user = Some("no-such-user-here".to_owned());
        let problems = Placement::with_user(&config).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].message.starts_with("CPU 8191 is not online"), "{problems:?}");
        assert!(problems[1].message.starts_with("user no-such-user-here: no such user; "), "{problems:?}");
    }
}
