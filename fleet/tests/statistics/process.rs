//! The processes: nodes, and their collector.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// The node's program: the one that is shipped, or the one that was built beside this test.
fn program() -> PathBuf {
    let built = || {
        let own = std::env::current_exe().expect("we run");
        own.parent().and_then(Path::parent).expect("two folders up").join("as112d")
    };
    let program = std::env::var_os("AS112D_BIN").map_or_else(built, PathBuf::from);
    assert!(program.exists(), "{} is not there; run `cargo build` first", program.display());
    program
}

fn fleet_program() -> PathBuf {
    let built = || env!("CARGO_BIN_EXE_as112d-fleet").into();
    std::env::var_os("AS112D_FLEET_BIN").map_or_else(built, PathBuf::from)
}

/// The library that changes a program's clock, where it is installed.
fn faketime() -> Option<String> {
    let asked = Command::new("faketime").args(["-f", "+0", "sh", "-c", "echo $LD_PRELOAD"]).output().ok()?;
    asked.status.success().then(|| String::from_utf8_lossy(&asked.stdout).trim().to_owned())
}

pub fn has_faketime() -> bool {
    let is_there = faketime().is_some();
    if !is_there {
        println!("skipped: there is no faketime");
    }
    is_there
}

pub fn wait_until(what: &str, patience: Duration, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < patience, "{what}: not within {patience:?}");
        std::thread::park_timeout(Duration::from_millis(200));
    }
}

/// A day as `2026-01-31`.
pub fn date(seconds: u64) -> String {
    let asked = Command::new("date").args(["-u", "-d", &format!("@{seconds}"), "+%F"]).output();
    String::from_utf8(asked.expect("date runs").stdout).expect("text").trim().to_owned()
}

/// A node that may be killed and come back.
pub struct Node {
    pub number: usize,
    pub name: String,
    pub is_a_day_ahead: bool,
    dir: PathBuf,
    address: SocketAddr,
    child: Option<Child>,
}

impl Node {
    pub fn new(dir: &Path, number: usize) -> Self {
        let name = format!("node-{number}");
        let dir = dir.join(&name);
        fs::create_dir(&dir).expect("a folder");
        // Whoever the node becomes may write there.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).expect("it is ours");
        // Free when it is asked for; nobody else is here.
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = socket.local_addr().expect("an address");
        let config = format!(
            "[identity]\nnode = '{name}'\n[history]\ndir = 'history'\n\
             [confine]\nlandlock = 'off'\nseccomp = 'off'\n[sources]\nsample_every = 1\n"
        );
        fs::write(dir.join("as112d.toml"), config).expect("there is room");
        Self { number, name, is_a_day_ahead: false, dir, address, child: None }
    }

    pub fn control(&self) -> PathBuf {
        self.dir.join("control")
    }

    pub fn start(&mut self) {
        let mut command = Command::new(program());
        let (config, control) = (self.dir.join("as112d.toml"), self.control());
        command.arg("run").arg("--config").arg(config).arg("--control").arg(control);
        command.args(["--listen", &self.address.to_string(), "--http", "off", "--shards", "1"]);
        command.args(["--datapath", "mmsg"]);
        if self.is_a_day_ahead {
            let library = faketime().expect("it was there");
            command
                .env("LD_PRELOAD", library)
                .env("FAKETIME", "+1d")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let log = fs::File::create(self.dir.join("log")).expect("a file");
        self.child = Some(command.stderr(log).stdin(Stdio::null()).spawn().expect("it starts"));
        wait_until(&self.name, PATIENCE, || UnixStream::connect(self.control()).is_ok() && self.serves());
    }

    fn serves(&self) -> bool {
        let Ok(mut stream) = UnixStream::connect(self.control()) else { return false };
        let mut line = String::new();
        stream.write_all(b"as112d 1 status\n").is_ok()
            && BufReader::new(stream).read_line(&mut line).is_ok()
            && line.contains("\"serving\"")
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        }
    }

    /// Ends it in order.
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        let id = child.id().to_string();
        assert!(Command::new("kill").arg(id).status().expect("kill runs").success());
        assert!(child.wait().expect("it ends").success());
    }

    /// Asks so many times from each of these sources; each query is answered.
    pub fn ask(&self, sources: Range<u32>, qtype: u8, times: u64) {
        let mut query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
        query.extend(b"\x011\x012\x013\x0210\x07in-addr\x04arpa\x00");
        query.extend([0, qtype, 0, 1]);
        for source in sources {
            let source = Ipv4Addr::from_bits(0x7F10_0000 + source);
            let socket = UdpSocket::bind((source, 0)).expect("all of 127/8 is here");
            socket.connect(self.address).expect("connected");
            socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            for _ in 0..times {
                socket.send(&query).expect("sent");
                let len = socket.recv(&mut [0; 512]).expect("a reply");
                assert!(len > 12);
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The collector of all nodes.
pub struct Collector {
    child: Child,
    http: SocketAddr,
}

impl Collector {
    /// One that asks nodes.
    pub fn start(dir: &Path, nodes: &[Node]) -> Self {
        let node = |node: &Node| {
            let (colo, socket) = (node.number % 3, node.control());
            ["--node".to_owned(), format!("{}@colo{colo}={}", node.name, socket.display())]
        };
        let arguments: Vec<String> = nodes.iter().flat_map(node).collect();
        Self::spawn(dir, &arguments)
    }

    /// One that reads what a hub has.
    pub fn of_hub(dir: &Path, url: &str) -> Self {
        Self::spawn(dir, &["--at".to_owned(), url.to_owned()])
    }

    fn spawn(dir: &Path, arguments: &[String]) -> Self {
        let mut command = Command::new(fleet_program());
        command.args(["metrics", "--fleet", "test", "--http", "127.0.0.1:0", "--dir"]).arg(dir);
        command.args(arguments);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it was piped")).lines();
        let http = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, address) = line.split_once("web: http://")?;
            address.trim_end_matches('/').parse().ok()
        });
        // Nobody keeps it from writing more.
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| println!("collector: {line}"));
        });
        Self { child, http: http.expect("it says where it is") }
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        body.to_owned()
    }

    /// The sum of a metric over all places, of the samples that have these labels.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.sum_at("/metrics", name, labels)
    }

    pub fn sum_at(&self, path: &str, name: &str, labels: &[&str]) -> f64 {
        let text = self.get(path);
        let is_it = |line: &&str| line.split(['{', ' ']).next() == Some(name);
        let samples =
            text.lines().filter(is_it).filter(|line| labels.iter().all(|label| line.contains(label)));
        samples.map(|line| line.rsplit_once(' ').expect("a value").1.parse::<f64>().expect("a number")).sum()
    }

    /// The same of a counter.
    pub fn count(&self, name: &str, labels: &[&str]) -> u64 {
        self.count_at("/metrics", name, labels)
    }

    pub fn count_at(&self, path: &str, name: &str, labels: &[&str]) -> u64 {
        let sum = self.sum_at(path, name, labels);
        #[expect(clippy::cast_sign_loss, reason = "counters are never below 0")]
        let count = sum as u64;
        count
    }

    /// Waits until it has so many queries; never more.
    pub fn wait_for(&self, queries: u64) {
        wait_until("all queries", super::A_MINUTE_AND_MORE, || {
            let has = self.count("as112_queries_total", &[]);
            assert!(has <= queries, "{has} of {queries}");
            has == queries
        });
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
