//! Hosts that lack something, or give the process only a part: no IPv6, no loopback, few CPUs, an ordinary
//! user.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::daemon::{Daemon, V4, V6, free_port, program};
use crate::fault::{
    argument, beside, config, ended, honest_query, in_own_loopback, in_own_network, may, refused, skipped,
    thread_status, tool, wait_until,
};

#[test]
fn without_ipv6_the_default_addresses_are_those_of_ipv4() {
    let _turn = beside();
    if !in_own_network("host::without_ipv6_the_default_addresses_are_those_of_ipv4") {
        return;
    }
    for scope in ["all", "default", "lo"] {
        fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "1").expect("it is our network");
    }
    assert!(tool("ip link set lo up"));
    let daemon = Daemon::spawn(Command::new(program()), 5300);
    let listening: Vec<&String> =
        daemon.announcement.iter().filter(|line| line.starts_with("listening on ")).collect();
    assert!(
        listening.len() == 1 && listening[0].starts_with("listening on 127.0.0.1:5300 ("),
        "{:?}",
        daemon.announcement
    );
    assert_eq!(daemon.ask_udp(V4, &honest_query(1)).len(), 119);
    assert_eq!(daemon.ask_tcp(V4, &honest_query(1)).map(|reply| reply.len()), Some(119));
    assert_eq!(daemon.stop().0.code(), Some(0));
}

#[test]
fn without_a_loopback_the_self_test_is_skipped_and_that_is_said() {
    let _turn = beside();
    if !in_own_network("host::without_a_loopback_the_self_test_is_skipped_and_that_is_said") {
        return;
    }
    if as112d::sys::self_test().is_err() {
        return skipped("this host denies io_uring");
    }
    let daemon = Daemon::spawn(Command::new(program()), 5300);
    let expected = "datapath: io_uring (its self-test was skipped: no loopback interface is up)";
    assert!(daemon.announcement.iter().any(|line| line == expected), "{:?}", daemon.announcement);
    // The loopback may come later.
    assert!(tool("ip link set lo up"));
    for ip in [V4, V6] {
        let here =
            daemon.announcement.iter().any(|line| line.contains(&format!("on {}", daemon.address(ip))));
        assert!(here || ip == V6, "{:?}", daemon.announcement);
        if here {
            assert_eq!(daemon.ask_udp(ip, &honest_query(1)).len(), 119);
        }
    }
    assert_eq!(daemon.stop().0.code(), Some(0));
}

#[test]
fn an_address_that_comes_later_is_served_when_it_is_there() {
    let _turn = beside();
    if !in_own_loopback("host::an_address_that_comes_later_is_served_when_it_is_there") {
        return;
    }
    for datapath in ["io_uring", "mmsg"] {
        let mut command = Command::new(program());
        command.args(["--datapath", datapath, "--http", "off", "--shards", "1"]);
        command.args(["--listen", "127.0.0.1:5300", "--listen", "192.0.2.77:5300"]);
        let daemon = Daemon::spawn(command, 5300);
        assert_eq!(daemon.ask_udp(V4, &honest_query(1)).len(), 119, "{datapath}: the others are there");
        assert!(tool("ip address add 192.0.2.77/32 dev lo"));
        let late = "192.0.2.77".parse().expect("an address");
        assert_eq!(daemon.ask_udp(late, &honest_query(2)).len(), 119, "{datapath}");
        assert_eq!(daemon.ask_tcp(late, &honest_query(3)).map(|reply| reply.len()), Some(119), "{datapath}");
        // It goes again: nothing but its own queries is lost.
        assert!(tool("ip address del 192.0.2.77/32 dev lo"));
        assert_eq!(daemon.ask_udp(V4, &honest_query(4)).len(), 119, "{datapath}");
        assert_eq!(daemon.stop().0.code(), Some(0), "{datapath}");
    }
}

/// A control group of this test; removed when dropped.
pub struct ControlGroup(PathBuf);

impl ControlGroup {
    /// Makes one under a controller's root with these settings; `None` where that cannot be.
    pub fn new(root: &str, settings: &[(&str, &str)]) -> Option<Self> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(root).join(format!("as112d-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).ok()?;
        let group = Self(path);
        settings.iter().all(|(file, value)| group.write(file, value)).then_some(group)
    }

    /// Writes a setting that exists. (A file that does not would be made where the root is no control group.)
    fn write(&self, file: &str, value: &str) -> bool {
        let path = self.0.join(file);
        path.exists() && fs::write(path, value).is_ok()
    }

    /// A daemon within, with these options.
    pub fn daemon(&self, further: &[&str]) -> Daemon {
        let port = free_port();
        Daemon::spawn(self.command(port, further), port)
    }

    /// As [`daemon`](Self::daemon), which must refuse to start; its exit code and what it said.
    pub fn ended(&self, further: &[&str]) -> (Option<i32>, String) {
        ended(&mut self.command(free_port(), further))
    }

    fn command(&self, port: u16, further: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(self.0.join("cgroup.procs"));
        command.arg(program()).args(Daemon::arguments(port, further));
        command
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // The kernel lets go of a process a moment after its parent has waited for it.
        let removed = wait_until(Duration::from_secs(2), || fs::remove_dir(&self.0).is_ok());
        assert!(removed.is_some() || std::thread::panicking(), "{} can be removed", self.0.display());
    }
}

/// Shards as announced and as there are; the announced line begins with `expected`.
fn assert_shards(daemon: &Daemon, count: usize, expected: &str) {
    let said = daemon.announcement.iter().any(|line| line.starts_with(expected));
    assert!(said, "{:?}", daemon.announcement);
    let threads = thread_status(daemon.id(), "Name");
    assert_eq!(threads.iter().filter(|(name, _)| name.starts_with("udp-")).count(), count, "{threads:?}");
    assert_eq!(daemon.ask_udp(V4, &honest_query(1)).len(), 119);
}

fn cpus() -> Vec<usize> {
    as112d::sys::cpu::affinity().expect("the kernel says")
}

/// Whether there is more than one CPU to take away.
fn has_cpus_to_take() -> bool {
    let many = cpus().len() > 1 && as112d::sys::cpu::allowed_parallelism() > 1;
    if !many {
        skipped("there is only one CPU");
    }
    many
}

#[test]
fn in_a_control_group_of_one_cpu_auto_is_one_shard() {
    let _turn = beside();
    if !has_cpus_to_take() || !may("make control groups") {
        return;
    }
    let first = cpus()[0].to_string();
    let kinds = [
        (
            "cpuset (version 1)",
            "/sys/fs/cgroup/cpuset",
            vec![("cpuset.cpus", &first[..]), ("cpuset.mems", "0")],
        ),
        ("quota (version 1)", "/sys/fs/cgroup/cpu", vec![("cpu.cfs_quota_us", "100000")]),
        ("cpuset (version 2)", "/sys/fs/cgroup", vec![("cpuset.cpus", &first[..])]),
        ("quota (version 2)", "/sys/fs/cgroup", vec![("cpu.max", "100000 100000")]),
    ];
    for (kind, root, settings) in kinds {
        let Some(group) = ControlGroup::new(root, &settings) else {
            skipped(&format!("no control group with a {kind} can be made here"));
            continue;
        };
        let daemon = group.daemon(&["--shards", "auto"]);
        assert_shards(&daemon, 1, "shards: 1, not pinned; ");
        assert_eq!(daemon.stop().0.code(), Some(0));
        if kind.starts_with("quota") {
            // A quota bounds time, and not on which CPUs it is spent.
            let last = cpus()[cpus().len() - 1].to_string();
            let daemon = group.daemon(&["--cpus", &last]);
            assert_shards(&daemon, 1, &format!("shards: 1, on CPUs {last}; "));
            assert_eq!(daemon.stop().0.code(), Some(0));
        }
    }
}

#[test]
fn with_an_affinity_mask_of_one_cpu_auto_is_one_shard() {
    let _turn = beside();
    if !has_cpus_to_take() {
        return;
    }
    if !tool("taskset --version") {
        return skipped("there is no taskset");
    }
    for cpu in cpus().into_iter().take(2) {
        let port = free_port();
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &cpu.to_string()]).arg(program());
        command.args(Daemon::arguments(port, &["--shards", "auto"]));
        let daemon = Daemon::spawn(command, port);
        assert_shards(&daemon, 1, "shards: 1, not pinned; ");
    }
}

#[test]
fn shards_are_pinned_to_the_cpus_listed() {
    let _turn = beside();
    // In falling order, to see that the order counts.
    let listed: Vec<String> = cpus().iter().rev().take(2).map(usize::to_string).collect();
    let daemon = Daemon::start(&["--cpus", &listed.join(",")]);
    let threads = thread_status(daemon.id(), "Cpus_allowed_list");
    let pinned = |name: &str| {
        let found = threads.iter().find(|(thread, _)| thread == name);
        found.map(|(_, cpus)| cpus.clone()).unwrap_or_else(|| panic!("no {name}: {threads:?}"))
    };
    for (index, cpu) in listed.iter().enumerate() {
        assert_eq!(&pinned(&format!("udp-{index}")), cpu, "{threads:?}");
    }
    assert_shards(&daemon, listed.len(), &format!("shards: {}, ", listed.len()));
    let others = threads.iter().filter(|(name, _)| !name.starts_with("udp-"));
    for (name, allowed) in others {
        assert!(cpus().len() == 1 || !listed.contains(allowed), "{name} is not pinned: {allowed}");
    }
}

#[test]
fn a_user_that_is_not_there_is_told_in_one_sentence() {
    let _turn = beside();
    let file = config("[server]\nuser = 'no-such-user-here'\n");
    let (listen, config) = (format!("127.0.0.1:{}", free_port()), argument(file.path()));
    let told = "user no-such-user-here: no such user; create it, or choose another\n";
    assert_eq!(refused(&["--config", config, "--listen", &listen]), (Some(1), told.to_owned()));
}

#[test]
fn a_user_is_what_is_left_of_root() {
    let _turn = beside();
    if !may("become another user") {
        return;
    }
    let file = config("[server]\nuser = 'nobody'\n");
    for datapath in ["io_uring", "mmsg"] {
        let arguments = ["--config", argument(file.path()), "--datapath", datapath, "--shards", "2"];
        let daemon = Daemon::start(&arguments);
        let id = daemon.id();
        let values = |line: &str| -> BTreeSet<String> {
            thread_status(id, line).into_iter().map(|(_, value)| value).collect()
        };
        let nobody = "65534\t65534\t65534\t65534".to_owned();
        assert_eq!(values("Uid"), BTreeSet::from([nobody.clone()]), "every thread");
        assert_eq!(values("Gid"), BTreeSet::from([nobody]));
        for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
            assert_eq!(values(set), BTreeSet::from(["0000000000000000".to_owned()]), "{set}");
        }
        for ip in [V4, V6] {
            let reply = daemon.ask_udp(ip, &honest_query(1));
            assert_eq!(daemon.ask_tcp(ip, &honest_query(1)), Some(reply));
        }
        assert_eq!(daemon.stop().0.code(), Some(0));
    }
}
