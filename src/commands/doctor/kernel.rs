//! What the kernel gives a node: rings, CPUs, files, time.

use std::io;

use super::finding::{Finding, TUNE};
use super::host::Host;
use crate::config::Config;
use crate::daemon::placement::Placement;
use crate::limits::{DESCRIPTORS_BESIDE, HTTP_CONNECTIONS_MAX};
use crate::net::DatapathChoice;
use crate::problem::Problem;
use crate::sys::{RingError, RingFeature, SelfTest};

/// The Linux that a ring of ours needs.
const RING_SINCE: (u32, u32) = (6, 1);

pub(super) fn version(host: &Host) -> Finding {
    let Some(release) = host.text("proc/sys/kernel/osrelease") else {
        return Finding::note("kernel", "/proc does not say which one this is");
    };
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < RING_SINCE {
        let text =
            format!("Linux {release}: io_uring needs 6.1 or later, mmsg is used until then; update it");
        return Finding::to_do("kernel", text);
    }
    Finding::good("kernel", format!("Linux {release}"))
}

/// Whether rings work here, and if not, what keeps them from it.
pub(super) fn rings(host: &Host, trial: Result<SelfTest, RingError>, choice: DatapathChoice) -> Finding {
    let error = match trial {
        Ok(SelfTest::Passed) => return Finding::good("io_uring", "works: the self-test passed"),
        Ok(SelfTest::Skipped) => {
            return Finding::note("io_uring", "can be set up; there is no 127.0.0.1 to test it on");
        }
        Err(error) => error,
    };
    if choice == DatapathChoice::Mmsg {
        return Finding::note("io_uring", format!("is not wanted, and would not work: {error}"));
    }
    let is_denied = matches!(&error, RingError::Refused { error, .. }
        if error.kind() == io::ErrorKind::PermissionDenied);
    let text = if is_denied { denied(host) } else { error.to_string() };
    let meanwhile =
        if choice == DatapathChoice::Auto { "mmsg is used until then" } else { "the node will not start" };
    Finding::to_do("io_uring", format!("{text}; {meanwhile}"))
}

/// Who denies rings, as far as the host tells.
fn denied(host: &Host) -> String {
    match host.number("proc/sys/kernel/io_uring_disabled") {
        Some(2) => "forbidden to everybody by sysctl kernel.io_uring_disabled = 2; set it to 0".to_owned(),
        Some(1) => {
            let group = host.text("proc/sys/kernel/io_uring_group").unwrap_or_default();
            format!(
                "kernel.io_uring_disabled is 1: only root and the members of group {group} \
                 (kernel.io_uring_group) have rings; set it to 0, or put the node's user into that group"
            )
        }
        _ if status(host, "Seccomp") == Some("2".to_owned()) => {
            "denied by a seccomp filter, as containers have: allow io_uring_setup, io_uring_enter and \
             io_uring_register in its profile"
                .to_owned()
        }
        _ => "denied, by neither sysctl nor seccomp: look at the security module's log (SELinux, AppArmor)"
            .to_owned(),
    }
}

/// A field of what the kernel says of this process.
fn status(host: &Host, field: &str) -> Option<String> {
    let text = host.text("proc/self/status")?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

pub(super) fn ring_features(found: io::Result<[RingFeature; 3]>, busy_poll: usize) -> Finding {
    let features = match found {
        Ok(features) => features,
        Err(error) => return Finding::note("ring features", format!("cannot be told: {error}")),
    };
    let there: Vec<&str> = features.iter().filter(|one| one.is_there).map(|one| one.name).collect();
    let lacking = features.iter().filter(|one| !one.is_there);
    let lacking: Vec<String> = lacking.map(|one| format!("{} (Linux {})", one.name, one.since)).collect();
    let there = if there.is_empty() { "what is needed".to_owned() } else { there.join(", ") };
    if busy_poll > 0 && lacking.iter().any(|name| name.starts_with("NAPI")) {
        let text =
            format!("{there}; busy_poll needs NAPI (Linux 6.9): give --datapath mmsg, or no --busy-poll");
        return Finding::to_do("ring features", text);
    }
    if lacking.is_empty() {
        return Finding::good("ring features", there);
    }
    Finding::good("ring features", format!("{there}; without {}, which is not needed", lacking.join(", ")))
}

/// Whether the configured shards have their CPUs.
pub(super) fn shards(placement: Result<Placement, Vec<Problem>>) -> Finding {
    match placement {
        Err(problems) => {
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Finding::to_do("shards", texts.join("; "))
        }
        Ok(placement) if placement.notes.is_empty() => {
            let text = format!("{}, steering {}", placement.places.len(), placement.steered);
            Finding::good("shards", text)
        }
        Ok(placement) => Finding::to_do("shards", placement.notes.join("; ")),
    }
}

/// Whether so many files may be open as a busy node has.
pub(super) fn limits(most: io::Result<u64>, config: &Config, shards: usize) -> Finding {
    let addresses = config.listen.len();
    let sockets = shards * (addresses + 1) + addresses + config.tcp.connections_max + HTTP_CONNECTIONS_MAX;
    let needed = (sockets + DESCRIPTORS_BESIDE) as u64;
    match most {
        Err(error) => Finding::note("limits", format!("cannot be told: {error}")),
        Ok(most) if most < needed => Finding::to_do(
            "limits",
            format!(
                "{most} open files are allowed here, and {needed} may be needed; raise LimitNOFILE \
                 (`ulimit -Hn`)"
            ),
        ),
        Ok(most) => {
            Finding::good("limits", format!("{most} open files are allowed here, {needed} may be needed"))
        }
    }
}

pub(super) fn clock(synchronised: io::Result<bool>) -> Finding {
    match synchronised {
        Ok(true) => Finding::good("clock", "is kept right"),
        Ok(false) => Finding::to_do(
            "clock",
            "nothing keeps it right, and the history and the files of RSSAC002 go by it; run chrony or \
             systemd-timesyncd",
        ),
        Err(error) => Finding::note("clock", format!("the kernel does not say whether it is right: {error}")),
    }
}

/// Shards read the clock once for each batch.
pub(super) fn clock_source(host: &Host) -> Finding {
    let folder = "sys/devices/system/clocksource/clocksource0";
    match host.text(&format!("{folder}/current_clocksource")) {
        None => Finding::note("clock source", "this host does not tell it"),
        Some(slow) if ["hpet", "acpi_pm", "refined-jiffies", "jiffies"].contains(&slow.as_str()) => {
            let others = host.text(&format!("{folder}/available_clocksource")).unwrap_or_default();
            let text = format!("{slow} takes microseconds to read; available are: {others} (tsc is best)");
            Finding::to_do("clock source", text)
        }
        Some(name) => Finding::good("clock source", name),
    }
}

pub(super) fn governor(host: &Host) -> Finding {
    let folder = "sys/devices/system/cpu";
    let cpus = host
        .names(folder)
        .into_iter()
        .filter(|name| name.strip_prefix("cpu").is_some_and(|number| number.parse::<usize>().is_ok()));
    let governors = cpus.filter_map(|cpu| host.text(&format!("{folder}/{cpu}/cpufreq/scaling_governor")));
    let governors: Vec<String> = governors.collect();
    match governors.iter().find(|governor| *governor != "performance") {
        Some(other) => {
            let text = format!(
                "the governor is {other}: a CPU that slowed down answers the next burst late; \
                 `{TUNE} --apply --only governor`"
            );
            Finding::to_do("CPU clock", text)
        }
        None if governors.is_empty() => {
            Finding::note("CPU clock", "the firmware or the hypervisor decides how fast a CPU runs")
        }
        None => Finding::good("CPU clock", "the governor is performance"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Verdict;
    use crate::commands::doctor::host::tests::host;
    use crate::config::{self, Flags};

    fn refused(kind: io::ErrorKind) -> Result<SelfTest, RingError> {
        Err(RingError::Refused { step: "io_uring_setup", error: kind.into() })
    }

    #[test]
    fn old_kernels_are_told() {
        for (release, verdict) in [
            ("6.18.44-fc", Verdict::Good),
            ("6.1.0-13-amd64", Verdict::Good),
            ("5.15.0", Verdict::Do),
            ("10.0", Verdict::Good),
        ] {
            let (_folder, host) = host(&[("proc/sys/kernel/osrelease", release)]);
            assert_eq!(version(&host).verdict, verdict, "{release}");
        }
        assert_eq!(version(&host(&[]).1).verdict, Verdict::Note);
    }

    #[test]
    fn who_denies_rings_is_named() {
        let disabled = "proc/sys/kernel/io_uring_disabled";
        for (files, told) in [
            (vec![(disabled, "2")], "kernel.io_uring_disabled = 2; set it to 0; mmsg is used until then"),
            (vec![(disabled, "1"), ("proc/sys/kernel/io_uring_group", "112")], "members of group 112"),
            (
                vec![(disabled, "0"), ("proc/self/status", "Name:\tx\nSeccomp:\t2\n")],
                "denied by a seccomp filter",
            ),
            (
                vec![(disabled, "0"), ("proc/self/status", "Seccomp:\t0\n")],
                "look at the security module's log",
            ),
        ] {
            let (_folder, host) = host(&files);
            let found = rings(&host, refused(io::ErrorKind::PermissionDenied), DatapathChoice::Auto);
            assert!(found.verdict == Verdict::Do && found.text.contains(told), "{found}");
        }
        let (_folder, host) = host(&[]);
        let other = |choice| rings(&host, refused(io::ErrorKind::OutOfMemory), choice);
        assert!(other(DatapathChoice::IoUring).text.ends_with("the node will not start"));
        assert_eq!(other(DatapathChoice::Mmsg).verdict, Verdict::Note);
        assert_eq!(rings(&host, Ok(SelfTest::Passed), DatapathChoice::Auto).verdict, Verdict::Good);
    }

    #[test]
    fn features_are_listed_and_asked_for_only_where_they_are_used() {
        let features = |napi| {
            let feature = |name, since, is_there| RingFeature { name, since, is_there };
            Ok([feature("A", "6.6", true), feature("NAPI", "6.9", napi), feature("C", "6.15", true)])
        };
        assert_eq!(ring_features(features(true), 50).to_string(), "good  ring features   A, NAPI, C");
        assert!(ring_features(features(false), 0).text.starts_with("A, C; without NAPI (Linux 6.9)"));
        assert_eq!(ring_features(features(false), 50).verdict, Verdict::Do);
        assert_eq!(ring_features(Err(io::ErrorKind::Other.into()), 0).verdict, Verdict::Note);
    }

    #[test]
    fn files_are_counted_from_the_configuration() {
        let mut config = config::load(None, &Flags::default()).unwrap();
        config.listen.truncate(1);
        config.tcp.connections_max = 100;
        let needed = 4 * 2 + 1 + 100 + HTTP_CONNECTIONS_MAX + DESCRIPTORS_BESIDE;
        assert_eq!(limits(Ok(needed as u64), &config, 4).verdict, Verdict::Good);
        let found = limits(Ok(needed as u64 - 1), &config, 4);
        assert!(found.verdict == Verdict::Do && found.text.contains(&format!("and {needed} may be needed")));
    }

    #[test]
    fn clocks_and_governors() {
        assert_eq!(clock(Ok(true)).verdict, Verdict::Good);
        assert_eq!(clock(Ok(false)).verdict, Verdict::Do);
        assert_eq!(clock(Err(io::ErrorKind::PermissionDenied.into())).verdict, Verdict::Note);
        let folder = "sys/devices/system/clocksource/clocksource0/current_clocksource";
        assert_eq!(clock_source(&host(&[(folder, "tsc")]).1).verdict, Verdict::Good);
        assert_eq!(clock_source(&host(&[(folder, "hpet")]).1).verdict, Verdict::Do);
        let of = |number: u8| format!("sys/devices/system/cpu/cpu{number}/cpufreq/scaling_governor");
        let (first, second) = (of(0), of(11));
        assert_eq!(governor(&host(&[(&first, "performance")]).1).verdict, Verdict::Good);
        assert_eq!(
            governor(&host(&[(&first, "performance"), (&second, "powersave")]).1).verdict,
            Verdict::Do
        );
        assert_eq!(governor(&host(&[]).1).verdict, Verdict::Note);
    }

    #[test]
    fn shards_have_their_cpus_or_not() {
        let placement = |notes: &[&str]| Placement {
            places: Vec::new(),
            steering: None,
            steered: "off".to_owned(),
            notes: notes.iter().map(|note| (*note).to_owned()).collect(),
            spare: Vec::new(),
        };
        assert_eq!(shards(Ok(placement(&[]))).verdict, Verdict::Good);
        assert_eq!(shards(Ok(placement(&["raise the quota"]))).verdict, Verdict::Do);
        let problem = Problem { place: String::new(), message: "no CPU 9".to_owned() };
        assert_eq!(shards(Err(vec![problem])), Finding::to_do("shards", "no CPU 9"));
    }
}
