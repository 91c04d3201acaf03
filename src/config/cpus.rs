//! How an operator says where shards run. What that comes to on a host is
//! [`placement`](mod@crate::daemon::placement)'s.

use std::fmt;
use std::num::NonZero;

use super::written::{Count, Written, choice};
use crate::limits::{BUSY_POLL_US_MAX, CPUS_MAX, SHARDS_MAX};

/// How many shards there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shards {
    /// One for each CPU that may be used.
    Auto,
    /// So many, at most [`SHARDS_MAX`].
    Count(NonZero<usize>),
}

impl Written for Shards {
    const EXPECTED: &'static str = "a number of shards, or \"auto\"";
    const INTEGER: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        match text.parse::<NonZero<usize>>() {
            _ if text == "auto" => Ok(Self::Auto),
            Ok(count) if count.get() <= SHARDS_MAX => Ok(Self::Count(count)),
            _ => Err(format!("`{text}` is not a number of shards; give 1 to {SHARDS_MAX}, or \"auto\"")),
        }
    }
}

impl fmt::Display for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

/// The CPUs that shards are pinned to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cpus {
    /// These, in this order; none comes twice.
    List(Vec<usize>),
    /// Those that the interrupts of this interface's receive queues come to.
    Nic(String),
    /// Those of a NUMA node.
    Node(usize),
    /// One thread of each core.
    Physical,
}

/// Longest name of an interface (IFNAMSIZ, less the NUL after it).
const INTERFACE_LEN_MAX: usize = 15;

impl Written for Cpus {
    const EXPECTED: &'static str = "CPUs, such as \"0-7,16-23\", \"nic:eth0\", \"node:0\" or \"physical\"";

    fn read(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("nic", name)) => {
                let is_name = (1..=INTERFACE_LEN_MAX).contains(&name.len())
                    && name.chars().all(|c| c.is_ascii_graphic() && c != '/');
                let wrong = || {
                    format!(
                        "`{name}` is not an interface name; give one that `ip link` lists, such as \
                         \"nic:eth0\""
                    )
                };
                is_name.then(|| Self::Nic(name.to_owned())).ok_or_else(wrong)
            }
            Some(("node", number)) => {
                let number = number.parse().ok().filter(|&node| node < CPUS_MAX);
                number.map(Self::Node).ok_or_else(|| {
                    format!("`{text}` is not a NUMA node; give one that `lscpu` lists, such as \"node:0\"")
                })
            }
            _ if text == "physical" => Ok(Self::Physical),
            _ => list(text).map(Self::List),
        }
    }
}

/// Numbers in the kernel's list format: `0-7,16-23`. Their order is kept.
fn list(text: &str) -> Result<Vec<usize>, String> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse().ok().filter(|&cpu| cpu < CPUS_MAX);
        let range = number(first).zip(number(last)).filter(|(first, last)| first <= last);
        let (first, last) = range.ok_or_else(|| {
            let max = CPUS_MAX - 1;
            format!(
                "`{part}` is not a CPU or a range of CPUs; give a list such as \"0-7,16-23\", up to {max}, \
                 or \"nic:eth0\", \"node:0\", \"physical\""
            )
        })?;
        for cpu in first..=last {
            if cpus.contains(&cpu) {
                return Err(format!("CPU {cpu} is listed twice; list it once"));
            }
            cpus.push(cpu);
        }
    }
    Ok(cpus)
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(cpus) => CpuList(cpus).fmt(f),
            Self::Nic(name) => write!(f, "nic:{name}"),
            Self::Node(number) => write!(f, "node:{number}"),
            Self::Physical => f.write_str("physical"),
        }
    }
}

/// Prints CPUs in the kernel's list format.
#[derive(Clone, Copy, Debug)]
pub struct CpuList<'a>(
    /// Their numbers.
    pub &'a [usize],
);

impl fmt::Display for CpuList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, run) in self.0.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match run {
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                only => write!(f, "{comma}{}", only[0])?,
            }
        }
        Ok(())
    }
}

/// Which shard gets a datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Steer {
    /// By CPU where shards follow the queues of a NIC, else as `Off`.
    #[default]
    Auto,
    /// As the kernel does by itself: by a hash of addresses and ports.
    Off,
    /// The shard on the CPU that received it.
    Cpu,
    /// By the flow hash that the NIC computed.
    Hash,
}

impl Steer {
    const NAMES: [(&str, Self); 4] =
        [("auto", Self::Auto), ("off", Self::Off), ("cpu", Self::Cpu), ("hash", Self::Hash)];
}

impl Written for Steer {
    const EXPECTED: &'static str = "\"auto\", \"off\", \"cpu\" or \"hash\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &Self::NAMES)
    }
}

impl fmt::Display for Steer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, steer)| steer == self).map(|(name, _)| name);
        f.write_str(name.expect("every choice has a name"))
    }
}

/// Microseconds for which a shard polls the NIC before it sleeps; 0 for not at all.
pub type BusyPoll = Count<0, BUSY_POLL_US_MAX>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists() {
        let read = |text| match Cpus::read(text) {
            Ok(Cpus::List(cpus)) => Ok(cpus),
            Ok(other) => panic!("{other} is not a list"),
            Err(message) => Err(message),
        };
        assert_eq!(read("3"), Ok(vec![3]));
        assert_eq!(read("0-3,8,6-7"), Ok(vec![0, 1, 2, 3, 8, 6, 7]));
        assert_eq!(read("8191").unwrap(), [8191]);
        assert_eq!(read("0-8191").map(|cpus| cpus.len()), Ok(8192));
        assert_eq!(read("0-4,3"), Err("CPU 3 is listed twice; list it once".to_owned()));
        for bad in
            ["", "a", "3-1", "1,", "-1", "1-", "8192", "0-99999999999999999999", "1 ,2", "0-1-2", "core:1"]
        {
            let message = read(bad).unwrap_err();
            assert!(message.contains("is not a CPU or a range of CPUs; give a list"), "{bad}: {message}");
        }
    }

    #[test]
    fn cpus_by_what_they_are_near_to() {
        for (text, cpus) in [
            ("nic:eth0", Cpus::Nic("eth0".to_owned())),
            ("nic:enp59s0f0np0.7", Cpus::Nic("enp59s0f0np0.7".to_owned())),
            ("node:0", Cpus::Node(0)),
            ("node:17", Cpus::Node(17)),
            ("physical", Cpus::Physical),
            ("4-7,0", Cpus::List(vec![4, 5, 6, 7, 0])),
        ] {
            assert_eq!(Cpus::read(text).as_ref(), Ok(&cpus));
            assert_eq!(cpus.to_string(), text);
        }
        for bad in ["nic:", "nic:a/b", "nic:sixteen-letters-", "nic:a b"] {
            assert!(Cpus::read(bad).unwrap_err().contains("is not an interface name; give one"), "{bad}");
        }
        for bad in ["node:", "node:x", "node:-1", "node:8192"] {
            assert!(Cpus::read(bad).unwrap_err().contains("is not a NUMA node; give one"), "{bad}");
        }
    }

    #[test]
    fn shards() {
        assert_eq!(Shards::read("auto"), Ok(Shards::Auto));
        assert_eq!(Shards::read("1024").map(|shards| shards.to_string()), Ok("1024".to_owned()));
        for bad in ["0", "-1", "1025", "", "Auto", "1.5"] {
            assert!(Shards::read(bad).unwrap_err().ends_with("give 1 to 1024, or \"auto\""), "{bad}");
        }
    }

    #[test]
    fn steering_and_polling() {
        for (name, steer) in Steer::NAMES {
            assert_eq!((Steer::read(name), steer.to_string()), (Ok(steer), name.to_owned()));
        }
        let message = Steer::read("rss").unwrap_err();
        assert_eq!(message, "`rss` is not a valid value; give \"auto\", \"off\", \"cpu\" or \"hash\"");
        assert_eq!(BusyPoll::read("50").map(|Count(micros)| micros), Ok(50));
        assert!(BusyPoll::read("1001").unwrap_err().ends_with("give a whole number from 0 to 1000"));
    }
}
