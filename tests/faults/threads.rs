//! One thread dies: all of the process goes, so that a supervisor sees it. Never half a daemon.

use std::fs::{self, DirEntry};
use std::time::Instant;

use crate::common::daemon::{Daemon, PATIENCE, V4};
use crate::fault::{beside, ping_pong, report, wait_until};

/// The id of the thread of this name.
fn thread(daemon: &Daemon, name: &str) -> libc::pid_t {
    let is_it =
        |task: &DirEntry| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name);
    let find = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", daemon.id())).expect("it runs");
        tasks.filter_map(Result::ok).find(is_it)
    };
    // A thread names itself once it runs, which may be after the daemon has said that it serves.
    assert!(wait_until(PATIENCE, || find().is_some()).is_some(), "there is no thread {name}");
    let task = find().expect("it was there");
    task.file_name().to_str().and_then(|id| id.parse().ok()).expect("threads have numbers")
}

#[test]
fn a_thread_that_dies_takes_all_with_it() {
    let _turn = beside();
    for name in ["udp-0", "udp-1", "tcp", "http", "aggregator", "signals"] {
        let daemon = Daemon::start(&["--shards", "2", "--http", "127.0.0.1:0"]);
        assert_eq!(ping_pong(&daemon.udp(V4), 10).len(), 10);
        let id = thread(&daemon, name);
        // A signal to one thread, as a fault of its own would be. There is no command that sends one.
        // SAFETY: a system call that takes three numbers.
        #[allow(unsafe_code, reason = "a test may")]
        let sent = unsafe { libc::syscall(libc::SYS_tgkill, daemon.id(), id, libc::SIGABRT) };
        assert_eq!(sent, 0, "{name} is there to be signalled");
        let began = Instant::now();
        assert!(wait_until(PATIENCE, || !daemon.lives()).is_some(), "{name}: the rest goes on");
        report(&format!("dead_{name}_all_dead_ms"), began.elapsed().as_millis());
        assert_eq!(daemon.wait().0.code(), None, "{name}: it was a signal");
    }
}
