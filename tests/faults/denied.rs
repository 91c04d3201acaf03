//! io_uring denied: by a filter of system calls, as containers do, and by the host's setting.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::common::daemon::{Daemon, V4, V6, free_port, program};
use crate::fault::{alone, beside, ended, honest_query, may, skipped};

/// The names of the variables by which a test tells its second self what to deny, and what to become.
const DENIED: &str = "AS112D_TEST_DENIED";
const ARGUMENTS: &str = "AS112D_TEST_ARGUMENTS";

const CALLS: [(&str, i64); 3] = [
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("io_uring_register", libc::SYS_io_uring_register),
    ("io_uring_enter", libc::SYS_io_uring_enter),
];

/// A daemon that gets `errno` from the system call. A filter cannot be taken off again, so this test is run a
/// second time, puts it on, and becomes the daemon.
pub fn without(call: i64, errno: i32, arguments: &[String]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a test knows itself"));
    command
        .args(["--exact", "denied::by_a_filter_of_system_calls", "--nocapture"])
        .env(DENIED, format!("{call} {errno}"))
        .env(ARGUMENTS, arguments.join("\n"))
        .stdout(Stdio::null());
    command
}

/// Becomes the daemon if this is the second run; else returns.
fn become_daemon_if_told() {
    let (Ok(denied), Ok(arguments)) = (std::env::var(DENIED), std::env::var(ARGUMENTS)) else { return };
    let (call, errno) = denied.split_once(' ').expect("two numbers");
    let rules = BTreeMap::from([(call.parse().expect("a number"), Vec::new())]);
    let errno = SeccompAction::Errno(errno.parse().expect("a number"));
    let arch = std::env::consts::ARCH.try_into().expect("an architecture with filters");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, errno, arch).expect("a sound filter");
    let filter: BpfProgram = filter.try_into().expect("a short filter");
    seccompiler::apply_filter(&filter).expect("a process may restrict itself");
    let error = Command::new(program()).args(arguments.lines()).exec();
    panic!("cannot become the daemon: {error}");
}

/// It serves over mmsg, and its announcement says why in one line, which contains `reason`.
fn assert_falls_back(daemon: &Daemon, reason: &str) {
    let said: Vec<&String> =
        daemon.announcement.iter().filter(|line| line.starts_with("datapath: mmsg (io_uring ")).collect();
    assert!(said.len() == 1 && said[0].contains(reason), "{reason}: {:?}", daemon.announcement);
    assert!(!said[0].contains("available: io_uring: "), "said twice: {}", said[0]);
    for ip in [V4, V6] {
        let reply = daemon.ask_udp(ip, &honest_query(7));
        assert_eq!((reply.len(), reply[3]), (119, 3));
        assert_eq!(daemon.ask_tcp(ip, &honest_query(7)), Some(reply));
    }
}

/// It says in one line why it did not start, and how to start all the same.
fn assert_refuses((code, said): (Option<i32>, String), reason: &str) {
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.starts_with("the io_uring datapath is not available: ") && said.contains(reason), "{said}");
    assert!(said.contains("`--datapath auto` finds one that works"), "{said}");
}

#[test]
fn by_a_filter_of_system_calls() {
    become_daemon_if_told();
    let _turn = beside();
    for (name, call) in CALLS {
        for (errno, text, hint) in [
            (
                libc::EPERM,
                "Operation not permitted (os error 1)",
                "allow io_uring in the container's seccomp profile",
            ),
            (
                libc::ENOSYS,
                "Function not implemented (os error 38)",
                "the container's seccomp profile blocks it",
            ),
        ] {
            let start = |datapath: &str| {
                let port = free_port();
                let arguments = Daemon::arguments(port, &["--shards", "2", "--datapath", datapath]);
                (without(call, errno, &arguments), port)
            };
            let (command, port) = start("auto");
            let daemon = Daemon::spawn(command, port);
            assert_falls_back(&daemon, text);
            assert_falls_back(&daemon, hint);
            assert_eq!(daemon.stop().0.code(), Some(0), "{name}");

            let said = ended(&mut start("io_uring").0);
            assert_refuses(said.clone(), text);
            assert_refuses(said, hint);
        }
    }
    let mut doctor = without(CALLS[0].1, libc::EPERM, &["doctor".to_owned()]);
    assert!(
        found_by(doctor.stdout(Stdio::piped())).contains(" denied by a seccomp filter, as containers have: ")
    );
}

/// What `doctor` says of io_uring where there is something to do about it.
fn found_by(doctor: &mut Command) -> String {
    let output = doctor.stderr(Stdio::null()).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("it is text");
    assert_eq!(output.status.code(), Some(1), "{text}");
    text.lines().find(|line| line.starts_with("do    io_uring ")).expect(&text).to_owned()
}

#[test]
fn sockets_to_commands_that_need_none() {
    let _turn = beside();
    let arguments = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for line in ["check", "zones", "query 10.in-addr.arpa SOA"] {
        let output = |mut command: Command| {
            let output = command.stdout(Stdio::piped()).output().expect("it runs");
            assert_eq!(output.status.code(), Some(0), "{line}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("it is text")
        };
        let mut plain = Command::new(program());
        plain.args(arguments(line));
        // What is denied here would show: fewer addresses, or an error. The test's own first words stand
        // before.
        let denied = output(without(libc::SYS_socket, libc::EPERM, &arguments(line)));
        let plain = output(plain);
        assert!(denied.ends_with(&plain), "{line}: {denied} is not {plain}");
    }
}

/// The host's setting, put back when dropped.
struct Setting {
    before: String,
}

impl Setting {
    const PATH: &str = "/proc/sys/kernel/io_uring_disabled";

    fn set(value: &str) -> Option<Self> {
        let before = fs::read_to_string(Self::PATH).ok()?;
        fs::write(Self::PATH, value).ok()?;
        Some(Self { before })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        fs::write(Self::PATH, &self.before).expect("what could be changed can be changed back");
    }
}

#[test]
fn by_the_setting_of_the_host() {
    let _turn = alone();
    if !may("set kernel.io_uring_disabled") {
        return;
    }
    let Some(setting) = Setting::set("2") else {
        return skipped("this host's kernel.io_uring_disabled is absent, or cannot be set");
    };
    let daemon = Daemon::start(&[]);
    let port = free_port();
    let refusal = ended(Command::new(program()).args(Daemon::arguments(port, &["--datapath", "io_uring"])));
    let found = Command::new(program()).arg("doctor").output().expect("it runs").stdout;
    // The host is as it was before anything is judged.
    drop(setting);
    let found = String::from_utf8(found).expect("it is text");
    assert!(found.contains("do    io_uring        forbidden to everybody by sysctl"), "{found}");
    assert_falls_back(&daemon, "set sysctl kernel.io_uring_disabled=0");
    assert_refuses(refusal, "set sysctl kernel.io_uring_disabled=0");
}
