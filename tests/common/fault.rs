//! What the tests of faults share: turns, rights, networks of their own, floods and measures.

use std::collections::HashSet;
use std::fmt::Display;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::common::daemon::{PATIENCE, dropped_by_loopback, program};
use crate::common::query;
pub use crate::common::skip::skipped;

/// Time limits are so many times the figure that is promised: machines that test are busy.
pub const LENIENCY: u32 = 5;

//------------ Turns ---

static TURNS: RwLock<()> = RwLock::new(());

/// The turn of a test that neither minds others beside it nor disturbs them.
pub fn beside() -> RwLockReadGuard<'static, ()> {
    TURNS.read().unwrap_or_else(PoisonError::into_inner)
}

/// The turn of a test that measures time, floods, or changes the host for all. What a flood on the loopback
/// leaves no room for in the queue of a CPU is lost, whosever it is.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    TURNS.write().unwrap_or_else(PoisonError::into_inner)
}

/// Waits where there is nothing to wait for.
pub fn pause(time: Duration) {
    #[allow(clippy::disallowed_methods, reason = "the test is the clock here")]
    std::thread::sleep(time);
}

/// Looks until `condition` holds, for at most `limit`; the time that it took.
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> Option<Duration> {
    let began = Instant::now();
    loop {
        let holds = condition();
        let elapsed = began.elapsed();
        if holds {
            return Some(elapsed);
        }
        if elapsed > limit {
            return None;
        }
        pause(Duration::from_millis(2));
    }
}

//------------ Told past the harness, which hides what passing tests print ---

/// Prints a measured figure.
pub fn report(name: &str, value: impl Display) {
    let _ = writeln!(io::stderr(), "report: {name} {value}");
}

//------------ Rights and surroundings ---

/// Whether this process is root.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Whether this process is root; says that the test is skipped if not.
pub fn may(what: &str) -> bool {
    let root = is_root();
    if !root {
        skipped(&format!("only root can {what}"));
    }
    root
}

/// A command that runs as an ordinary user; `None`, said, where that cannot be.
pub fn as_nobody() -> Option<Command> {
    if !is_root() {
        return Some(Command::new(program()));
    }
    let setpriv = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program());
        command
    };
    if output(setpriv().arg("--version")).is_none_or(|output| !output.status.success()) {
        skipped("an ordinary user cannot run the binary, or there is no setpriv");
        return None;
    }
    Some(setpriv())
}

/// Runs a command to its end; `None` where there is no such command.
pub fn output(command: &mut Command) -> Option<Output> {
    command.stdin(Stdio::null()).output().ok()
}

/// Runs the daemon that must refuse to start; its exit code and what it said.
pub fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    ended(Command::new(program()).args(arguments))
}

/// Runs a command that must end by itself; its exit code and what it said.
pub fn ended(command: &mut Command) -> (Option<i32>, String) {
    let output = output(command).expect("it runs");
    (output.status.code(), String::from_utf8(output.stderr).expect("it is text"))
}

/// Runs a tool of the host; whether it was there and succeeded.
pub fn tool(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().expect("a command"));
    output(command.args(words)).is_some_and(|output| output.status.success())
}

/// Whether this process is already in a network of its own. If not, runs the test of this name again in one,
/// which goes with it, and false says that there is no more to do.
pub fn in_own_network(test: &str) -> bool {
    const MARK: &str = "AS112D_TEST_OWN_NETWORK";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    if !may("have a network of its own") {
        return false;
    }
    if !tool("unshare --net true") || !tool("ip link") {
        skipped("networks of one's own take unshare and ip, and a kernel that allows them");
        return false;
    }
    again_in("--net", MARK, test);
    false
}

/// As [`in_own_network`], with mounts of its own, and what it takes to freeze one.
pub fn in_own_mounts(test: &str) -> bool {
    const MARK: &str = "AS112D_TEST_OWN_MOUNTS";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    if !may("freeze a file system") {
        return false;
    }
    if !tool("unshare --mount true")
        || !tool("mkfs.ext4 -V")
        || !tool("fsfreeze --version")
        || !tool("losetup -f")
    {
        skipped("a file system of one's own takes unshare, mkfs.ext4, fsfreeze and a loop device");
        return false;
    }
    again_in("--mount", MARK, test);
    false
}

/// Runs the test of this name again, in a namespace of its own.
fn again_in(namespace: &str, mark: &str, test: &str) {
    let me = std::env::current_exe().expect("a test knows itself");
    let mut command = Command::new("unshare");
    command.arg(namespace).arg(me).args(["--exact", test, "--nocapture"]).env(mark, "1");
    let Output { status, stdout, stderr } = output(&mut command).expect("unshare runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(
        status.success() && stdout.contains(" 1 passed"),
        "in its own namespace ({namespace}):\n{stdout}{stderr}"
    );
    for line in stderr.lines().filter(|line| line.starts_with("report: ") || line.starts_with("skipped: ")) {
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// As [`in_own_network`], where the loopback is up.
pub fn in_own_loopback(test: &str) -> bool {
    let is_own = in_own_network(test);
    assert!(!is_own || tool("ip link set lo up"));
    is_own
}

/// A configuration file with `text`; it goes with the value.
pub fn config(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("there is room for a file");
    fs::write(file.path(), text).expect("there is room for a file");
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).expect("it is ours");
    file
}

/// The path as an argument.
pub fn argument(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

/// What /proc says of each thread of a process: its name, and the value of a line of its status.
pub fn thread_status(process: u32, line: &str) -> Vec<(String, String)> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    let value = |status: &str, name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
        found.expect("the kernel says so").to_owned()
    };
    tasks
        .filter_map(|task| {
            let path = task.expect("a thread").path().join("status");
            // A thread may have ended since the folder was read.
            let status = fs::read_to_string(path).ok()?;
            Some((value(&status, "Name"), value(&status, line)))
        })
        .collect()
}

//------------ Clients ---

/// A query whose answer every node has: 42 bytes, the answer 119.
pub fn honest_query(id: u16) -> Vec<u8> {
    let mut packet = query("1.1.168.192.in-addr.arpa", 12);
    packet[..2].copy_from_slice(&id.to_be_bytes());
    packet
}

/// Sends `count` queries to a connected socket one after the other; how long each answer took, in
/// microseconds. Each value stands for one query that was answered. One that got nothing is asked again, a
/// few times, where packets were dropped on their way since the last one that got nothing.
pub fn ping_pong(socket: &UdpSocket, count: u16) -> Histogram<u64> {
    const ASKED_MAX: usize = 5;
    let mut histogram = Histogram::new(3).expect("three digits");
    let mut dropped = dropped_by_loopback();
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a time-out");
    for id in 0..count {
        for _ in 0..ASKED_MAX {
            let began = Instant::now();
            socket.send(&honest_query(id)).expect("sent");
            if is_answered(socket, id) {
                histogram.record(began.elapsed().as_micros() as u64).expect("it resizes");
                break;
            }
            let before = std::mem::replace(&mut dropped, dropped_by_loopback());
            if dropped == before {
                // Nobody dropped it: there is a moment more for a host that stands still.
                socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
                if is_answered(socket, id) {
                    histogram.record(began.elapsed().as_micros() as u64).expect("it resizes");
                }
                socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a time-out");
                break;
            }
        }
    }
    histogram
}

/// Whether a node answers again, within a second. A flood that is over may have left its queue full: who
/// comes then gets nothing.
pub fn answers_again(socket: &UdpSocket) -> bool {
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a time-out");
    socket.send(&honest_query(0)).expect("sent");
    is_answered(socket, 0)
}

/// Whether the honest query of this ID is answered; late answers to others do not count.
fn is_answered(socket: &UdpSocket, id: u16) -> bool {
    let mut reply = [0; 512];
    while let Ok(len) = receive(socket, &mut reply) {
        if reply[..2] == id.to_be_bytes() {
            return len == 119;
        }
    }
    false
}

/// Receives, whatever interrupts: a ring that this thread has had may still be taken apart.
fn receive(socket: &UdpSocket, reply: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.recv(reply) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The IDs of the answers that wait in a socket, or come in time.
pub fn collect_ids(socket: &UdpSocket, expected: usize) -> HashSet<u16> {
    let mut ids = HashSet::new();
    let mut reply = [0; 512];
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    while ids.len() < expected {
        let Ok(len) = receive(socket, &mut reply) else { break };
        assert_eq!(len, 119);
        assert!(ids.insert(u16::from_be_bytes([reply[0], reply[1]])), "an answer came twice");
    }
    ids
}

/// A connection from one of many addresses of 127/8, so that no limit of one address is met.
pub fn tcp_from(number: usize, to: SocketAddr) -> io::Result<TcpStream> {
    let from = Ipv4Addr::new(127, 100, (number / 250) as u8, (1 + number % 250) as u8);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&to.into())?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

/// Asks a node over its control socket to read its configuration again; what it answers.
pub fn reload(control: &Path) -> Value {
    let mut stream = UnixStream::connect(control).expect("the control socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(b"as112d 1 reload\n").expect("asked");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("an answer");
    serde_json::from_str(&answer).expect("JSON")
}

/// Queries as fast as one thread sends them, until it is told to end.
pub struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Flood {
    pub fn start(to: SocketAddr) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.connect(to).expect("connected");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let query = honest_query(0xF100);
        let thread = std::thread::spawn(move || {
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                // Where nobody listens any more the kernel says so.
                sent += u64::from(socket.send(&query).is_ok());
            }
            sent
        });
        Self { stop, thread }
    }

    /// How many queries were sent.
    pub fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only sends")
    }
}
