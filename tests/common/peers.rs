//! NSD and Knot with the same zones, on loopback, each in a folder of its own that goes with it.

use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::daemon::{PATIENCE, V4, free_port, program};
use super::{NODE, query};

/// A zone as the peers are told of it.
#[derive(Clone, Debug)]
pub struct ZoneFile {
    /// The apex in presentation form, without the last dot.
    pub name: String,
    pub path: PathBuf,
}

/// The zones that the daemon serves with `arguments`, as it prints them itself, each written to a file in
/// `dir`.
pub fn zones_of_daemon(dir: &Path, arguments: &[&str]) -> Vec<ZoneFile> {
    let output = Command::new(program()).args(["zones", "--format", "zone"]).args(arguments).output();
    let output = output.expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("zone files are ASCII");
    let zones = text.split("; zone ").skip(1).map(|zone| {
        let (name, records) = zone.split_once(".\n").expect("the name stands on a line of its own");
        let path = dir.join(format!("{name}.zone"));
        std::fs::write(&path, records).expect("the zone is written");
        ZoneFile { name: name.to_owned(), path }
    });
    zones.collect()
}

/// Which server a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nsd,
    Knot,
}

/// A running server. It and its children are ended when it is dropped.
pub struct Peer {
    child: Child,
    pub kind: Kind,
    /// The port.
    pub port: u16,
    address: SocketAddr,
    /// Its configuration, its files and what it said.
    dir: TempDir,
}

impl Peer {
    /// Starts a server with `zones`, one process or thread to answer UDP, and waits until it answers for each
    /// zone.
    pub fn start(kind: Kind, zones: &[ZoneFile]) -> Self {
        Self::start_at(kind, SocketAddr::new(V4, free_port()), zones)
    }

    /// As [`start`](Self::start), at an address.
    pub fn start_at(kind: Kind, address: SocketAddr, zones: &[ZoneFile]) -> Self {
        let dir = TempDir::new().expect("a folder");
        let port = address.port();
        let (program, configuration) = match kind {
            Kind::Nsd => ("nsd", nsd_configuration(dir.path(), address, zones)),
            Kind::Knot => ("knotd", knot_configuration(dir.path(), address, zones)),
        };
        let path = dir.path().join("conf");
        std::fs::write(&path, configuration).expect("the configuration is written");
        let said = std::fs::File::create(dir.path().join("said")).expect("a file");
        let mut command = Command::new(program);
        // Debian puts servers where the PATH of a user does not look.
        let paths = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{paths}:/usr/sbin:/usr/local/sbin"));
        if kind == Kind::Nsd {
            command.arg("-d");
        }
        command.arg("-c").arg(path).stdin(Stdio::null());
        command.stdout(said.try_clone().expect("a second handle")).stderr(said);
        // A group of its own: NSD forks, and what it forked must end too and counts as its work.
        let child = command.process_group(0).spawn();
        let child = child.unwrap_or_else(|error| panic!("{program} starts: {error}"));
        let peer = Self { child, kind, port, address, dir };
        peer.wait_for(zones);
        peer
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The group of its processes.
    pub fn group(&self) -> u32 {
        self.child.id()
    }

    /// Asks for each SOA until the answer is authoritative.
    fn wait_for(&self, zones: &[ZoneFile]) {
        let socket = UdpSocket::bind((V4, 0)).expect("a socket");
        socket.connect(self.address()).expect("connected");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a time-out");
        let deadline = Instant::now() + PATIENCE;
        let mut reply = [0; 4096];
        for zone in zones {
            let soa = query(&zone.name, 6);
            let answers = |reply: &mut [u8]| {
                let len = socket.send(&soa).and_then(|_| socket.recv(reply)).unwrap_or(0);
                len > 12 && reply[2] & 4 != 0 && reply[7] == 1
            };
            while !answers(&mut reply) {
                let said = std::fs::read_to_string(self.dir.path().join("said")).unwrap_or_default();
                assert!(
                    Instant::now() < deadline,
                    "{:?} does not serve {}; it said: {said}",
                    self.kind,
                    zone.name
                );
                pause();
            }
        }
    }

    fn signal(&self, signal: &str) {
        // The group may be gone already.
        let group = format!("-{}", self.group());
        let _ = Command::new("kill").args([signal, "--", &group]).stderr(Stdio::null()).status();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.signal("-TERM");
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            pause();
        }
        self.signal("-KILL");
        let _ = self.child.wait();
    }
}

/// Between two looks at a process that says nothing when it is ready or gone.
#[expect(clippy::disallowed_methods, reason = "there is no event to wait for")]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

/// Where the process `id` and, where it leads a group, all of that group are in /proc, each with its
/// processor time in clock ticks: outside the kernel, and in it.
pub fn processes(id: u32) -> impl Iterator<Item = (PathBuf, [u64; 2])> {
    let look = move |path: PathBuf| {
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        let own: u32 = stat.split(' ').next()?.parse().ok()?;
        // After the name, which may hold anything: state, parent, group; and 9 fields on utime and stime.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let group: u32 = fields.get(2)?.parse().ok()?;
        let ticks = [fields.get(11)?.parse().ok()?, fields.get(12)?.parse().ok()?];
        (own == id || group == id).then_some((path, ticks))
    };
    let processes = std::fs::read_dir("/proc").expect("/proc is mounted");
    processes.filter_map(move |entry| look(entry.ok()?.path()))
}

/// The processor time of all of those, in clock ticks.
pub fn cpu_ticks(id: u32) -> u64 {
    processes(id).map(|(_, [user, system])| user + system).sum()
}

/// NSD with one process to answer, its files in `dir`.
pub fn nsd_configuration(dir: &Path, address: SocketAddr, zones: &[ZoneFile]) -> String {
    let (dir, ip, port) = (dir.display(), address.ip(), address.port());
    let mut text = format!(
        r#"server:
  ip-address: {ip}@{port}
  server-count: 1
  username: ""
  chroot: ""
  database: ""
  zonesdir: "{dir}"
  zonelistfile: "{dir}/zone.list"
  xfrdfile: "{dir}/xfrd.state"
  xfrdir: "{dir}"
  pidfile: "{dir}/pid"
  logfile: "{dir}/log"
  identity: "{NODE}"
  nsid: "ascii_{NODE}"
  hide-version: yes
  minimal-responses: yes
  ipv4-edns-size: 1232
  ipv6-edns-size: 1232
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
remote-control:
  control-enable: no
"#
    );
    for ZoneFile { name, path } in zones {
        let _ = write!(text, "zone:\n  name: \"{name}\"\n  zonefile: \"{}\"\n", path.display());
    }
    text
}

/// Knot with one thread to answer, its files in `dir`.
pub fn knot_configuration(dir: &Path, address: SocketAddr, zones: &[ZoneFile]) -> String {
    let (dir, ip, port) = (dir.display(), address.ip(), address.port());
    let mut text = format!(
        r#"server:
  listen: {ip}@{port}
  rundir: "{dir}"
  identity: "{NODE}"
  nsid: "{NODE}"
  version: ""
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
  udp-max-payload: 1232
log:
  - target: stderr
    any: warning
database:
  storage: "{dir}"
template:
  - id: default
    storage: "{dir}"
    zonefile-sync: -1
    journal-content: none
zone:
"#
    );
    for ZoneFile { name, path } in zones {
        let _ = write!(text, "  - domain: \"{name}\"\n    file: \"{}\"\n", path.display());
    }
    text
}
