//! A node that has given up its rights: what is left of each thread, and what becomes of one that cannot.

use crate::common::daemon::{Daemon, PATIENCE, V4};
use crate::denied::without;
use crate::fault::{argument, beside, config, ended, honest_query, skipped, thread_status, wait_until};

/// The line of the announcement that says it.
fn confined(daemon: &Daemon) -> &str {
    let line = daemon.announcement.iter().find(|line| line.contains("confined: user "));
    line.expect("it says how it is confined")
}

#[test]
fn no_thread_has_more_than_it_needs() {
    let _turn = beside();
    for datapath in ["io_uring", "mmsg"] {
        let daemon = Daemon::start(&["--datapath", datapath, "--shards", "2", "--http", "127.0.0.1:0"]);
        assert!(!confined(&daemon).contains("user root"), "{}", confined(&daemon));
        for line in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
            let statuses = thread_status(daemon.id(), line);
            assert!(statuses.iter().all(|(_, value)| value == "0000000000000000"), "{line}: {statuses:?}");
        }
        let no_new_privs = thread_status(daemon.id(), "NoNewPrivs");
        assert!(no_new_privs.iter().all(|(_, value)| value == "1"), "{no_new_privs:?}");
        if !confined(&daemon).contains("seccomp on") {
            skipped("this host has no filters of system calls");
            continue;
        }
        // Those that watch are not waited for: they confine themselves before they serve anybody.
        let filters = || thread_status(daemon.id(), "Seccomp");
        wait_until(PATIENCE, || filters().len() >= 8 && filters().iter().all(|(_, value)| value == "2"));
        let filters = filters();
        assert!(filters.len() >= 8, "shards, TCP, HTTP, its readers, ...: {filters:?}");
        assert!(filters.iter().all(|(_, value)| value == "2"), "{datapath}: {filters:?}");
        assert_eq!(daemon.ask_udp(V4, &honest_query(7)).len(), 119);
        assert_eq!(daemon.stop().0.code(), Some(0));
    }
}

/// A node that cannot have `call`, with a line of the section on confinement.
fn started(call: i64, line: &str) -> (std::process::Command, tempfile::NamedTempFile, u16) {
    let file = config(&format!("[confine]\n{line}\n"));
    let port = crate::common::daemon::free_port();
    let arguments = Daemon::arguments(port, &["--config", argument(file.path())]);
    (without(call, libc::ENOSYS, &arguments), file, port)
}

#[test]
fn what_cannot_be_had_is_told_or_refused() {
    let _turn = beside();
    for (key, call, note) in [
        (
            "landlock",
            libc::SYS_landlock_create_ruleset,
            "warning: file access is not restricted (landlock): ",
        ),
        ("seccomp", libc::SYS_seccomp, "warning: no system call filter: "),
    ] {
        let (command, _file, port) = started(call, "");
        let daemon = Daemon::spawn(command, port);
        assert!(daemon.announcement.iter().any(|line| line.contains(note)), "{:?}", daemon.announcement);
        assert_eq!(daemon.ask_udp(V4, &honest_query(7)).len(), 119);
        assert_eq!(daemon.stop().0.code(), Some(0));

        let (mut command, _file, _) = started(call, &format!("{key} = \"required\""));
        let (code, said) = ended(&mut command);
        let told = format!("{key} is required but not available: ");
        assert!(code == Some(1) && said.contains(&told), "{said}");
        assert!(said.contains(&format!("with `{key} = \"auto\"` in [confine]")), "{said}");
    }
}

/// What the kernel says of the niceness of each thread of a process, by its name.
fn niceness(process: u32) -> Vec<(String, i32)> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    let nice = |text: String| {
        let (head, rest) = text.rsplit_once(") ")?;
        let (_, name) = head.split_once('(')?;
        Some((name.to_owned(), rest.split(' ').nth(16)?.parse().ok()?))
    };
    let read = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.ok()?.path().join("stat")).ok().and_then(nice)
    };
    tasks.filter_map(read).collect()
}

#[test]
fn what_can_wait_takes_no_cpu_that_a_shard_wants() {
    let _turn = beside();
    let folder = crate::common::folder();
    let file = config(&format!("[export]\ndsc = '{}'\n", folder.path().display()));
    let daemon = Daemon::start(&["--config", argument(file.path()), "--http", "127.0.0.1:0"]);
    let nice = |names: &[&str]| {
        let of_these = niceness(daemon.id()).into_iter().filter(|(name, _)| names.contains(&name.as_str()));
        of_these.map(|(_, nice)| nice).collect::<Vec<i32>>()
    };
    wait_until(PATIENCE, || nice(&["http", "aggregator", "exports"]) == [19; 3]);
    assert_eq!(nice(&["http", "aggregator", "exports"]), [19; 3], "{:?}", niceness(daemon.id()));
    // The readers of the history.
    assert_eq!(nice(&["tokio-rt-worker", "tokio-runtime-w"]), [19; 2], "{:?}", niceness(daemon.id()));
    assert_eq!(nice(&["udp-0", "tcp"]), [0; 2], "{:?}", niceness(daemon.id()));
    assert_eq!(daemon.stop().0.code(), Some(0));
}
