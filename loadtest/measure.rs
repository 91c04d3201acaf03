//! What is read from /proc, and the few statistics that the report needs.

use std::fs;
use std::path::Path;

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

use super::common::peers::processes;

/// Linux tells CPU time in hundredths of a second (USER_HZ), whatever its own clock is.
pub const TICKS_PER_SECOND: f64 = 100.0;

/// Median, least and most of some values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub count: usize,
}

impl Summary {
    /// `None` of no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let (upper, count) = (values.len() / 2, values.len());
        let median =
            if count % 2 == 1 { values[upper] } else { f64::midpoint(values[upper - 1], values[upper]) };
        Some(Self { median, min, max, count })
    }
}

/// Seconds of CPU time that a thread of ours and the children that have ended have used.
pub fn generator_cpu() -> f64 {
    let used = |who| {
        let usage = getrusage(who).expect("the kernel knows this process");
        [usage.user_time(), usage.system_time()]
            .iter()
            .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
            .sum::<f64>()
    };
    used(UsageWho::RUSAGE_THREAD) + used(UsageWho::RUSAGE_CHILDREN)
}

/// Seconds for which a CPU was not idle, and seconds in all. Work for interrupts counts.
pub fn cpu_busy(cpu: usize) -> (f64, f64) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    parse_busy(&stat, cpu).unwrap_or_default()
}

fn parse_busy(stat: &str, cpu: usize) -> Option<(f64, f64)> {
    let label = format!("cpu{cpu} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&label))?;
    // user nice system idle iowait irq softirq steal; what guests used is in user already.
    let ticks: Vec<f64> = line.split_whitespace().take(8).filter_map(|word| word.parse().ok()).collect();
    let total: f64 = ticks.iter().sum();
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    Some(((total - idle) / TICKS_PER_SECOND, total / TICKS_PER_SECOND))
}

/// Seconds of CPU time that the processes of a group have used: outside the kernel, and in it.
pub fn cpu_of_group(group: u32) -> (f64, f64) {
    let seconds = |ticks: u64| ticks as f64 / TICKS_PER_SECOND;
    processes(group)
        .fold((0.0, 0.0), |(user, system), (_, ticks)| (user + seconds(ticks[0]), system + seconds(ticks[1])))
}

/// Resident memory in KiB of the processes of a group (VmRSS).
pub fn resident_kib(group: u32) -> u64 {
    memory(group, "status", "VmRSS:")
}

/// The same, of which each process has its share of what it has in common with others (Pss).
pub fn proportional_kib(group: u32) -> u64 {
    memory(group, "smaps_rollup", "Pss:")
}

fn memory(group: u32, file: &str, label: &str) -> u64 {
    let kib = |folder: &Path| parse_kib(&fs::read_to_string(folder.join(file)).ok()?, label);
    processes(group).filter_map(|(folder, _)| kib(&folder)).sum()
}

fn parse_kib(text: &str, label: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(label))?.split_whitespace().next()?.parse().ok()
}

/// Datagrams that the kernel has sent for the network namespace of a process: a server's replies, if it is
/// alone there.
pub fn datagrams_sent(process: u32) -> Option<u64> {
    parse_datagrams(&fs::read_to_string(format!("/proc/{process}/net/snmp")).ok()?)
}

fn parse_datagrams(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let at = names.split(' ').position(|name| name == "OutDatagrams")?;
    values.split(' ').nth(at)?.parse().ok()
}

/// A number without what is behind its point; 0 for what is below.
#[expect(clippy::cast_sign_loss, reason = "it is at least 0")]
pub fn whole(number: f64) -> u64 {
    number.max(0.0) as u64
}

/// What kept a figure from being higher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// The server's CPU was busy all the time.
    Server,
    /// The generator's was.
    Generator,
    /// Both were.
    Both,
    /// Neither: the offered rate, or the time that each waited for the other.
    Neither,
}

impl Limit {
    /// By the shares of the time for which the two CPUs were busy.
    pub fn of(server: f64, generator: f64) -> Self {
        /// A CPU that waits for less than this is full: the ends of a run are quieter than its middle.
        const FULL: f64 = 0.94;
        match (server >= FULL, generator >= FULL) {
            (true, true) => Self::Both,
            (true, false) => Self::Server,
            (false, true) => Self::Generator,
            (false, false) => Self::Neither,
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Server => "the server's CPU",
            Self::Generator => "the generator's CPU",
            Self::Both => "both CPUs",
            Self::Neither => "neither CPU",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ends() {
        let summary = Summary::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!(summary, Summary { median: 2.0, min: 1.0, max: 3.0, count: 3 });
        assert!((Summary::of([4.0, 1.0, 2.0, 3.0]).unwrap().median - 2.5).abs() < 1e-9);
        assert!((Summary::of([7.0]).unwrap().median - 7.0).abs() < 1e-9);
        assert_eq!(Summary::of([]), None);
    }

    #[test]
    fn proc_is_read() {
        let stat = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 0 200 600 50 10 40 0 77 0\ncpu1 1 1 1 1 1 1 1 1 1 1\n";
        let (busy, total) = parse_busy(stat, 0).unwrap();
        assert!((busy - 3.5).abs() < 1e-9 && (total - 10.0).abs() < 1e-9, "{busy} of {total}");
        assert_eq!(parse_busy(stat, 7), None);
        let snmp =
            "Ip: A B\nIp: 1 2\nUdp: InDatagrams NoPorts InErrors OutDatagrams\nUdp: 5 6 7 8\nUdpLite: X\n";
        assert_eq!(parse_datagrams(snmp), Some(8));
        assert_eq!(parse_datagrams("Udp: A\nUdp: 1\n"), None);
        assert_eq!(parse_kib("Name:\tx\nVmRSS:\t   12345 kB\n", "VmRSS:"), Some(12_345));
        assert_eq!(parse_kib("Pss:   77 kB\nPss_Anon:  7 kB\n", "Pss:"), Some(77));
        assert!(cpu_busy(0).1 > 0.0);
        assert!(datagrams_sent(std::process::id()).is_some());
    }

    #[test]
    fn cpu_time_and_memory_of_ours_are_seen() {
        let before = generator_cpu();
        let mut sum = 0_u64;
        while generator_cpu() - before < 0.02 {
            sum = std::hint::black_box(sum.wrapping_mul(3) + 1);
        }
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let group = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(2).unwrap().parse().unwrap();
        let (resident, proportional) = (resident_kib(group), proportional_kib(group));
        assert!(resident > 1000 && (500..2 * resident).contains(&proportional), "{resident}, {proportional}");
        let (user, system) = cpu_of_group(group);
        assert!(user + system > 0.0, "{user}, {system}");
    }

    #[test]
    fn what_limits_is_what_is_full() {
        assert_eq!(Limit::of(0.99, 0.5), Limit::Server);
        assert_eq!(Limit::of(0.5, 0.99), Limit::Generator);
        assert_eq!(Limit::of(0.95, 0.95), Limit::Both);
        assert_eq!(Limit::of(0.6, 0.93), Limit::Neither);
    }
}
