//! What puts a node in its place: the unit of systemd with what belongs to it, and the container's profile.
//! No service manager and no container runtime is needed: their own tools read the files, and the profile is
//! put on a node as a runtime would.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use as112d::limits;
use common::daemon::{Daemon, V4, V6, free_port, program};
use common::skip::skipped;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use serde_json::Value;

/// The exposure that `systemd-analyze security` may find, in tenths of a point of ten.
const EXPOSURE_MAX: &str = "--threshold=15";

fn packaging(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(path)
}

/// Runs a tool of the host; `None`, said, where it is not there.
fn tool(command: &mut Command) -> Option<Output> {
    let output = command.stdin(Stdio::null()).output();
    if output.is_err() {
        let name = command.get_program().to_string_lossy().into_owned();
        skipped(&format!("there is no {name} (Debian's package systemd)"));
    }
    output.ok()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn the_unit_leaves_little_exposed() {
    let mut command = Command::new("systemd-analyze");
    command
        .args(["security", "--offline=true", EXPOSURE_MAX, "--no-pager"])
        .arg(packaging("systemd/as112d.service"));
    let Some(output) = tool(&mut command) else { return };
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert!(!text.contains("ignoring"), "every line is understood: {text}");
    let line = text.lines().find(|line| line.contains("Overall exposure level")).expect("it sums up");
    let _ = writeln!(std::io::stderr(), "report: {}", line.trim());
}

/// The manager keeps a socket of each address for each shard, and one of TCP; what it has no room for is gone
/// after a crash. And a node that cannot start tries again without filling the host with its attempts.
#[test]
fn the_unit_has_room_for_all_sockets_and_waits_between_attempts() {
    let text = fs::read_to_string(packaging("systemd/as112d.service")).expect("it is there");
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let kept: usize = value("FileDescriptorStoreMax").and_then(|max| max.parse().ok()).expect("a number");
    assert!(kept >= 16 * (limits::SHARDS_MAX + 1), "{kept}");
    let pause = value("RestartSec").and_then(|pause| pause.strip_suffix('s')?.parse::<f64>().ok());
    assert!(pause.is_some_and(|seconds| seconds >= 1.0), "{pause:?}");
}

#[test]
fn the_unit_and_its_drop_ins_are_sound() {
    let folder = tempfile::tempdir().expect("a folder");
    let unit = folder.path().join("as112d.service");
    let text = fs::read_to_string(packaging("systemd/as112d.service")).expect("it is there");
    let here = program().display().to_string();
    fs::write(&unit, text.replace("/usr/bin/as112d", &here)).expect("there is room");
    let beside = folder.path().join("as112d.service.d");
    fs::create_dir(&beside).expect("there is room");
    let version = tool(Command::new("systemd-analyze").arg("--version"));
    let Some(version) = version.map(|output| said(&output)) else { return };
    let version: u32 = version.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let mut drop_ins = 0;
    for entry in fs::read_dir(packaging("../docs/examples/systemd/as112d.service.d")).expect("it is there") {
        let path = entry.expect("it can be read").path();
        let name = path.file_name().expect("it has one");
        // That is what the version is for which knows it.
        if path.extension().is_some_and(|extension| extension == "conf")
            && (version >= 253 || name != "notify-reload.conf")
        {
            fs::copy(&path, beside.join(name)).expect("there is room");
            drop_ins += 1;
        }
    }
    assert!(drop_ins >= 2);
    let Some(output) = tool(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit)) else {
        return;
    };
    let text = said(&output);
    assert!(output.status.success() && !text.contains("as112d.service"), "{text}");
}

#[test]
fn user_and_folders_are_made() {
    let root = tempfile::tempdir().expect("a folder");
    let below = |path: &str| root.path().join(path);
    fs::create_dir(below("etc")).expect("there is room");
    let option = format!("--root={}", root.path().display());
    let mut users = Command::new("systemd-sysusers");
    let Some(output) = tool(users.arg(&option).arg(packaging("systemd/as112d.sysusers"))) else { return };
    assert!(output.status.success(), "{}", said(&output));
    let line = fs::read_to_string(below("etc/passwd")).expect("it is made");
    assert!(line.starts_with("as112d:x:") && line.contains(":/var/lib/as112d:/usr/sbin/nologin"), "{line}");
    let mut folders = Command::new("systemd-tmpfiles");
    let folders = folders.arg("--create").arg(&option).arg(packaging("systemd/as112d.tmpfiles"));
    let Some(output) = tool(folders) else { return };
    for folder in ["run/as112d", "var/lib/as112d", "etc/as112d"] {
        // Only root can give the first two away.
        let is_there = below(folder).is_dir() || said(&output).contains("Operation not permitted");
        assert!(is_there, "{folder}: {}", said(&output));
    }
}

/// The variable by which a test tells its second self to become the daemon under the profile.
const ARGUMENTS: &str = "AS112D_TEST_PROFILED";

/// The names of the calls that the profile lets pass.
fn profile() -> Vec<String> {
    let text = fs::read_to_string(packaging("container/seccomp.json")).expect("it is there");
    let profile: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let blocks = profile["syscalls"].as_array().expect("a list");
    let allowed = blocks.iter().filter(|block| block["action"] == "SCMP_ACT_ALLOW");
    let names = allowed.flat_map(|block| block["names"].as_array().expect("a list"));
    names.map(|name| name.as_str().expect("a name").to_owned()).collect()
}

#[test]
fn the_profile_lets_a_node_work_with_rings() {
    if let Ok(arguments) = std::env::var(ARGUMENTS) {
        // A call that this processor's kernel does not have is nobody's.
        let numbers = profile().into_iter().filter_map(|name| name.parse::<syscalls::Sysno>().ok());
        let rules = numbers.map(|number| (i64::from(number.id()), Vec::new())).collect::<BTreeMap<_, _>>();
        let arch = std::env::consts::ARCH.try_into().expect("an architecture with filters");
        let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
        let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, arch).expect("a filter");
        let filter: BpfProgram = filter.try_into().expect("a short filter");
        seccompiler::apply_filter(&filter).expect("a process may restrict itself");
        let error = Command::new(program()).args(arguments.lines()).exec();
        panic!("cannot become the daemon: {error}");
    }
    let names = profile();
    for call in ["mount", "ptrace", "bpf", "unshare", "init_module", "keyctl", "userfaultfd"] {
        assert!(!names.iter().any(|name| name == call), "{call} is not for us");
    }
    let port = free_port();
    let arguments = Daemon::arguments(port, &["--datapath", "io_uring", "--shards", "2"]);
    let mut command = Command::new(std::env::current_exe().expect("a test knows itself"));
    command
        .args(["--exact", "the_profile_lets_a_node_work_with_rings", "--nocapture"])
        .env(ARGUMENTS, arguments.join("\n"))
        .stdout(Stdio::null());
    let daemon = Daemon::spawn(command, port);
    let confined = daemon.announcement.iter().find(|line| line.contains("confined: "));
    assert!(confined.is_some_and(|line| line.contains("seccomp on")), "{:?}", daemon.announcement);
    for ip in [V4, V6] {
        let reply = daemon.ask_udp(ip, &common::query("10.in-addr.arpa", 6));
        assert_eq!(daemon.ask_tcp(ip, &common::query("10.in-addr.arpa", 6)), Some(reply));
    }
    assert_eq!(daemon.stop().0.code(), Some(0));
}
