//! One thread dies: all of the process goes, so that a supervisor sees it. Never half a daemon. One that
//! stands still is told to whoever asks.

use std::fs::{self, DirEntry};
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use as112d::limits::STUCK_AFTER;

use crate::common::daemon::{Daemon, PATIENCE, V4};
use crate::fault::{beside, ping_pong, report, wait_until};

/// The id of the thread of this name.
fn id(daemon: &Daemon, name: &str) -> libc::pid_t {
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

/// A thread that stands still, as if it had met a fault of its own. It goes on when this is dropped.
struct Stopped(libc::pid_t);

impl Stopped {
    #[allow(unsafe_code, reason = "a test may")]
    fn new(thread: libc::pid_t) -> Self {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: a system call that takes four numbers.
        let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, none, none) };
        assert_eq!(seized, 0, "{}", io::Error::last_os_error());
        let stopped = Self(thread);
        // SAFETY: as above.
        let interrupted = unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, thread, none, none) };
        assert_eq!(interrupted, 0, "{}", io::Error::last_os_error());
        stopped
    }
}

impl Drop for Stopped {
    #[allow(unsafe_code, reason = "a test may")]
    fn drop(&mut self) {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: the status is not asked for. It returns when the thread stands, which is soon.
        unsafe { libc::waitpid(self.0, std::ptr::null_mut(), libc::__WALL) };
        // SAFETY: a system call that takes four numbers. If the thread is gone there is nothing to let go.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, none, none) };
    }
}

/// The health check by which a route is withdrawn fails while a thread stands still, though all others
/// answer.
#[test]
fn a_thread_that_stands_still_is_told_by_healthz() {
    let _turn = beside();
    let stop = |name: &str| {
        let daemon = Daemon::start(&["--shards", "2", "--http", "127.0.0.1:0"]);
        let is = |status: &str, body: &str| {
            let mut stream = TcpStream::connect(daemon.http()).expect("a connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            answer.starts_with(&format!("HTTP/1.1 {status} "))
                && answer.ends_with(&format!("\r\n\r\n{body}\n"))
        };
        let is_well = || is("200", "ok");
        assert!(is_well());
        let stopped = Stopped::new(id(&daemon, name));
        let is_stuck = || is("503", "A thread that serves DNS is stuck.");
        let took = wait_until(STUCK_AFTER + PATIENCE, is_stuck);
        report(&format!("stuck_{name}_told_ms"), took.expect("it is told").as_millis());
        drop(stopped);
        assert!(wait_until(PATIENCE, is_well).is_some(), "{name} goes on");
        assert_eq!(daemon.stop().0.code(), Some(0));
    };
    thread::scope(|scope| ["udp-1", "tcp"].into_iter().for_each(|name| drop(scope.spawn(|| stop(name)))));
}

#[test]
fn a_thread_that_dies_takes_all_with_it() {
    let _turn = beside();
    for name in ["udp-0", "udp-1", "tcp", "http", "aggregator", "signals"] {
        let daemon = Daemon::start(&["--shards", "2", "--http", "127.0.0.1:0"]);
        assert_eq!(ping_pong(&daemon.udp(V4), 10).len(), 10);
        let id = id(&daemon, name);
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
