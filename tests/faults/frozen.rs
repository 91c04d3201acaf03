//! A directory that does not respond, as on a network file system that is gone or a disk that dies: here a file
//! system that is frozen. What waits for it cannot even be killed, and nothing but that may wait.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::common::daemon::{Daemon, PATIENCE, V4, program};
use crate::common::{folder, query};
use crate::fault::{beside, ended, in_own_mounts, tool, wait_until};

/// For what has bounds of some ten seconds, on a busy machine.
const LONG: Duration = Duration::from_secs(60);
/// For the aggregator, which is first to be in a store, and then to be there for more than a minute.
const STUCK: Duration = Duration::from_secs(240);

/// A file system of its own, which can be frozen. It thaws and goes with this.
struct Disk {
    mounted: PathBuf,
}

/// Thaws a disk at the end, whatever becomes of the test: before that nobody can wait for the end of a process.
struct Frozen<'a>(&'a Disk);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        // It may have thawed already.
        tool(&format!("fsfreeze --unfreeze {}", self.0.mounted.display()));
    }
}

impl Disk {
    fn new(below: &Path) -> Self {
        let (image, mounted) = (below.join("image"), below.join("disk"));
        let file = fs::File::create(&image).expect("there is room");
        file.set_len(32 << 20).expect("there is room");
        fs::create_dir(&mounted).expect("there is room");
        assert!(tool(&format!("mkfs.ext4 -q {}", image.display())), "a file system");
        assert!(tool(&format!("mount -o loop {} {}", image.display(), mounted.display())), "a loop device");
        let disk = Self { mounted };
        std::os::unix::fs::chown(&disk.mounted, Some(65534), Some(65534)).expect("we are root");
        disk
    }

    /// A directory on it, which is there already.
    fn dir(&self, name: &str) -> PathBuf {
        let dir = self.mounted.join(name);
        fs::create_dir_all(&dir).expect("there is room");
        std::os::unix::fs::chown(&dir, Some(65534), Some(65534)).expect("we are root");
        dir
    }

    /// As long as what is returned is not dropped.
    fn freeze(&self) -> Frozen<'_> {
        assert!(tool(&format!("fsfreeze --freeze {}", self.mounted.display())), "it freezes");
        Frozen(self)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Who still uses it ends with its namespace.
        tool(&format!("umount --lazy {}", self.mounted.display()));
    }
}

/// A node whose directories are on a disk, and what it takes to ask and order it.
struct Case {
    config: String,
    control: String,
}

impl Case {
    fn new(below: &Path, settings: &str) -> Self {
        let config = below.join("as112d.toml");
        fs::write(&config, settings).expect("there is room");
        let control = below.join("control").display().to_string();
        Self { config: config.display().to_string(), control }
    }

    fn start(&self) -> Daemon {
        Daemon::start(&["--config", &self.config, "--control", &self.control, "--http", "127.0.0.1:0"])
    }

    fn order(&self, order: &str) -> Output {
        let mut command = Command::new(program());
        command.args([order, "--control", &self.control]).stdin(Stdio::null());
        command.output().expect("it ends by itself")
    }

    /// What `check` says, which must come to its end.
    fn check(&self) -> (Option<i32>, String) {
        let output = Command::new(program()).args(["check", "--config", &self.config]).output();
        let output = output.expect("it ends by itself");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }
}

fn answers(daemon: &Daemon) -> bool {
    daemon.ask_udp(V4, &query("1.1.168.192.in-addr.arpa", 12))[3] & 0xF == 3
}

/// Nobody has the port any more, whatever is left of the process.
fn is_free(port: u16) -> bool {
    UdpSocket::bind((V4, port)).is_ok() && TcpListener::bind((V4, port)).is_ok()
}

fn is_healthy(http: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(http).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: n\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.starts_with("HTTP/1.1 200 ")
}

/// From a start to an end with a directory that is frozen all the time.
fn lives_without(name: &str, settings: impl Fn(&Path) -> String) {
    let below = folder();
    let disk = Disk::new(below.path());
    let case = Case::new(below.path(), &settings(&disk.dir(name)));
    let mut daemon = None;
    let frozen = disk.freeze();
    let (code, said) = case.check();
    assert!(code == Some(0) && said.contains("does not respond"), "{name}: {code:?} {said}");
    let daemon = daemon.insert(case.start());
    let (http, port) = (daemon.http(), daemon.port);
    assert!(answers(daemon) && is_healthy(http), "{name}: {:?}", daemon.announcement);
    let reloaded = case.order("reload");
    assert!(reloaded.status.success(), "{name}: {reloaded:?}");
    let upgraded = case.order("upgrade");
    assert!(upgraded.status.success(), "{name}: {upgraded:?}");
    assert!(answers(daemon) && is_healthy(http), "{name}: the successor serves");
    let stopped = case.order("shutdown");
    assert!(stopped.status.success(), "{name}: {stopped:?}");
    assert!(wait_until(LONG, || is_free(port)).is_some(), "{name}: the port is free");
    drop(frozen);
    daemon.end_family();
}

#[test]
fn no_directory_is_waited_for() {
    let _turn = beside();
    if !in_own_mounts("frozen::no_directory_is_waited_for") {
        return;
    }
    lives_without("history", |dir| format!("[history]\ndir = '{}'\n", dir.display()));
    lives_without("dsc", |dir| format!("[export]\ndsc = '{}'\n", dir.display()));
}

#[test]
fn a_history_that_freezes_is_told_and_nothing_waits_for_it() {
    let _turn = beside();
    if !in_own_mounts("frozen::a_history_that_freezes_is_told_and_nothing_waits_for_it") {
        return;
    }
    let below = folder();
    let disk = Disk::new(below.path());
    let case = Case::new(below.path(), &format!("[history]\ndir = '{}'\n", disk.dir("history").display()));
    let daemon = case.start();
    let (http, port) = (daemon.http(), daemon.port);
    assert!(daemon.announcement.iter().any(|line| line.ends_with("/disk/history/history.sqlite")));
    let frozen = disk.freeze();
    assert!(wait_until(STUCK, || !is_healthy(http)).is_some(), "the aggregator hangs");
    assert!(answers(&daemon));
    let stopped = case.order("shutdown");
    assert!(stopped.status.success(), "{stopped:?}");
    assert!(wait_until(LONG, || is_free(port)).is_some());
    drop(frozen);
    let (status, said) = daemon.wait();
    assert!(status.success(), "{said:?}");
    assert!(said.iter().any(|line| line.contains("the history: its thread hangs")), "{said:?}");
    let (code, said) = ended(Command::new(program()).args(["check", "--config", &case.config]));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn exports_that_freeze_hold_up_nothing_else() {
    let _turn = beside();
    if !in_own_mounts("frozen::exports_that_freeze_hold_up_nothing_else") {
        return;
    }
    let below = folder();
    let disk = Disk::new(below.path());
    let history = below.path().join("history");
    fs::create_dir(&history).expect("there is room");
    std::os::unix::fs::chown(&history, Some(65534), Some(65534)).expect("we are root");
    let settings = format!(
        "[history]\ndir = '{}'\n[export]\ndsc = '{}'\n",
        history.display(),
        disk.dir("dsc").display()
    );
    let case = Case::new(below.path(), &settings);
    let daemon = case.start();
    let (http, port) = (daemon.http(), daemon.port);
    let frozen = disk.freeze();
    // The minute in which the thread of exports begins to hang is stored, and so is the one after it.
    let stored = || -> u64 {
        let db = rusqlite::Connection::open(history.join("history.sqlite")).expect("it is there");
        let query = "SELECT count(DISTINCT start) FROM history WHERE family = 'as112_queries_total'";
        db.query_row(query, [], |row| row.get(0)).expect("a number")
    };
    assert!(wait_until(STUCK, || answers(&daemon) && stored() >= 2).is_some(), "minutes are stored");
    assert!(is_healthy(http));
    let stopped = case.order("shutdown");
    assert!(stopped.status.success(), "{stopped:?}");
    assert!(wait_until(LONG, || is_free(port)).is_some());
    drop(frozen);
    let (status, said) = daemon.wait();
    assert!(status.success(), "{said:?}");
    assert!(said.iter().any(|line| line.contains("exports: its thread hangs")), "{said:?}");
}
