//! What /sys and /proc tell of processors and NICs. It reads below a root directory, so a recorded
//! host can be read as well as this one, and it decides nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::limits::CPUS_MAX;

/// A processor that is online: a hardware thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Its number, as in affinity masks.
    pub number: usize,
    /// The socket that it is in.
    pub package: usize,
    /// The lowest number among the threads of its core: two threads of a core have the same.
    pub core: usize,
    /// The NUMA node whose memory is near.
    pub node: usize,
    /// The scheduler keeps everything away from it that does not ask for it (isolcpus=).
    pub isolated: bool,
}

/// The processors of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Those that are online, in the order of their numbers.
    pub cpus: Vec<Cpu>,
}

impl Topology {
    /// Reads the processors of the host whose file system is below `root`. What a kernel does not tell (one
    /// without NUMA, a container that hides /sys) is as on a plain machine: one node, one thread to a core.
    ///
    /// # Errors
    ///
    /// If it does not even tell which processors are online.
    pub fn read(root: &Path) -> io::Result<Self> {
        let folder = root.join("sys/devices/system/cpu");
        let isolated = list(&folder.join("isolated")).unwrap_or_default();
        let nodes = nodes(root);
        let cpu = |number: usize| {
            let topology = folder.join(format!("cpu{number}/topology"));
            let threads = list(&topology.join("core_cpus_list"))
                .or_else(|_| list(&topology.join("thread_siblings_list")));
            let first = threads.ok().and_then(|threads| threads.first().copied());
            Cpu {
                number,
                package: number_in(&topology.join("physical_package_id")).unwrap_or(0),
                core: first.unwrap_or(number),
                node: nodes.get(&number).copied().unwrap_or(0),
                isolated: isolated.contains(&number),
            }
        };
        Ok(Self { cpus: list(&folder.join("online"))?.into_iter().map(cpu).collect() })
    }

    /// The processor with this number, if it is online.
    #[must_use]
    pub fn cpu(&self, number: usize) -> Option<&Cpu> {
        self.cpus.binary_search_by_key(&number, |cpu| cpu.number).ok().map(|at| &self.cpus[at])
    }

    /// Whether any processor is in this NUMA node.
    #[must_use]
    pub fn has_node(&self, node: usize) -> bool {
        self.cpus.iter().any(|cpu| cpu.node == node)
    }
}

/// The node of each processor that is in one.
fn nodes(root: &Path) -> BTreeMap<usize, usize> {
    let folder = root.join("sys/devices/system/node");
    let mut nodes = BTreeMap::new();
    for node in list(&folder.join("online")).unwrap_or_default() {
        let cpus = list(&folder.join(format!("node{node}/cpulist"))).unwrap_or_default();
        nodes.extend(cpus.into_iter().map(|cpu| (cpu, node)));
    }
    nodes
}

/// A receive queue of a NIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its number.
    pub number: usize,
    /// The interrupt that it raises, if that can be told.
    pub irq: Option<u32>,
    /// The processors that the interrupt may come to.
    pub cpus: Vec<usize>,
}

/// A network interface and its receive queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Whether a device backs it. Loopback, veth, bridges and tunnels have none, and no interrupts.
    pub is_physical: bool,
    /// The queues, in the order of their numbers.
    pub queues: Vec<Queue>,
    /// Whether the kernel hands received packets on to other processors (RPS).
    pub has_rps: bool,
}

impl Interface {
    /// Reads the interface `name` of the host below `root`.
    ///
    /// # Errors
    ///
    /// If there is no such interface.
    pub fn read(root: &Path, name: &str) -> io::Result<Self> {
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(io::ErrorKind::NotFound.into());
        }
        let folder = root.join("sys/class/net").join(name);
        let mut numbers: Vec<usize> = entries(&folder.join("queues"))?
            .iter()
            .filter_map(|entry| entry.strip_prefix("rx-")?.parse().ok())
            .collect();
        numbers.sort_unstable();
        let has_rps = numbers.iter().any(|number| {
            let mask = fs::read_to_string(folder.join(format!("queues/rx-{number}/rps_cpus")));
            mask.is_ok_and(|mask| mask.contains(|digit: char| digit != '0' && digit.is_ascii_hexdigit()))
        });
        let irqs = queue_irqs(root, &folder, name);
        let queue = |number| {
            // Some NICs have one interrupt for all queues.
            let irq = irqs.get(&Some(number)).or_else(|| irqs.get(&None)).copied();
            Queue { number, irq, cpus: irq.map(|irq| irq_cpus(root, irq)).unwrap_or_default() }
        };
        let queues = numbers.into_iter().map(queue).collect();
        Ok(Self { is_physical: folder.join("device").exists(), queues, has_rps })
    }
}

/// The interrupt of each receive queue; with `None`, the one that serves all.
fn queue_irqs(root: &Path, folder: &Path, interface: &str) -> BTreeMap<Option<usize>, u32> {
    // The interrupts of a NIC are the device's; of a virtio NIC, those of the device that carries it.
    let own = ["device/msi_irqs", "device/../msi_irqs"].iter().find_map(|path| {
        // The second climbs from where the link leads, not from where it stands.
        let (device, rest) = path.split_once('/')?;
        let device = fs::canonicalize(folder.join(device)).ok()?;
        entries(&device.join(rest)).ok().filter(|irqs| !irqs.is_empty())
    });
    let own: Vec<u32> = own.unwrap_or_default().iter().filter_map(|irq| irq.parse().ok()).collect();
    let interrupts = fs::read_to_string(root.join("proc/interrupts")).unwrap_or_default();
    let mut irqs = BTreeMap::new();
    for line in interrupts.lines() {
        let Some((irq, rest)) = line.trim_start().split_once(':') else { continue };
        let Ok(irq) = irq.parse::<u32>() else { continue };
        // After the counts and the controller come the names of the devices that share the interrupt.
        let Some(action) = rest.split_whitespace().next_back() else { continue };
        if own.contains(&irq) || own.is_empty() && action.contains(interface) {
            if let Some(queue) = receive_queue(action) {
                irqs.insert(Some(queue), irq);
            } else if action == interface {
                irqs.insert(None, irq);
            }
        }
    }
    irqs
}

/// The receive queue that an interrupt's name tells: `eth0-TxRx-3`, `i40e-eth0-TxRx-3`, `eth0-rx-3`,
/// `virtio2-input.3`, `mlx5_comp3@pci:0000:3b:00.0`, `nfp-0000:05:00.0-rxtx-3`.
fn receive_queue(action: &str) -> Option<usize> {
    let name = action.split('@').next()?.to_ascii_lowercase();
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = name[kind.len()..].parse().ok()?;
    let kind = kind.trim_end_matches(['-', '.', '_']);
    ["rx", "rxtx", "tx-rx", "input", "comp"].iter().any(|word| kind.ends_with(word)).then_some(number)
}

/// The processors that an interrupt comes to, or may come to where the kernel tells no more.
fn irq_cpus(root: &Path, irq: u32) -> Vec<usize> {
    let folder = root.join(format!("proc/irq/{irq}"));
    let told = |name| list(&folder.join(name)).ok().filter(|cpus| !cpus.is_empty());
    told("effective_affinity_list").or_else(|| told("smp_affinity_list")).unwrap_or_default()
}

/// The names in a directory.
fn entries(folder: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

fn number_in(path: &PathBuf) -> Option<usize> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The numbers of a file in the kernel's list format: `0-3,8`. Numbers past those that a kernel may have are
/// left out.
fn list(path: &Path) -> io::Result<Vec<usize>> {
    let text = fs::read_to_string(path)?;
    let mut numbers = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, format!("`{part}` is not a CPU list"));
        let (first, last): (usize, usize) = (first.parse().map_err(wrong)?, last.parse().map_err(wrong)?);
        numbers.extend(first..=last.min(CPUS_MAX - 1));
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_tells_its_processors() {
        let topology = Topology::read(Path::new("/")).unwrap();
        for number in super::super::cpu::affinity().unwrap() {
            assert_eq!(topology.cpu(number).map(|cpu| cpu.number), Some(number));
        }
        assert_eq!(topology.cpu(usize::MAX), None);
        let loopback = Interface::read(Path::new("/"), "lo").unwrap();
        assert!(!loopback.is_physical && loopback.queues.iter().all(|queue| queue.irq.is_none()));
        for name in ["no-such-if0", "", ".", "..", "../net/lo"] {
            assert_eq!(Interface::read(Path::new("/"), name).unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    }

    #[test]
    fn lists_are_those_of_the_kernel() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            list(&path).map_err(|error| error.kind())
        };
        assert_eq!(read("\n"), Ok(vec![]));
        assert_eq!(read("0-2,8,5\n"), Ok(vec![0, 1, 2, 5, 8]));
        assert_eq!(read("8190-99999999999\n"), Ok(vec![8190, 8191]));
        assert_eq!(read("3-1"), Ok(vec![]));
        assert_eq!(read("0-x"), Err(io::ErrorKind::InvalidData));
    }

    #[test]
    fn names_of_interrupts_tell_the_queue() {
        for (action, queue) in [
            ("eth0-TxRx-3", Some(3)),
            ("i40e-ens1f0-TxRx-12", Some(12)),
            ("ice-eth0-TxRx-0", Some(0)),
            ("eth0-rx-1", Some(1)),
            ("eth0-rxtx-2", Some(2)),
            ("eth0-Tx-Rx-7", Some(7)),
            ("virtio2-input.4", Some(4)),
            ("mlx5_comp5@pci:0000:3b:00.0", Some(5)),
            ("virtio2-output.4", None),
            ("eth0-tx-1", None),
            ("mlx5_async0@pci:0000:3b:00.0", None),
            ("virtio2-config", None),
            ("eth0", None),
            ("nvme0q3", None),
        ] {
            assert_eq!(receive_queue(action), queue, "{action}");
        }
    }
}
