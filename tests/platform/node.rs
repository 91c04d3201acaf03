//! A node with upstreams, routes and rules, and what it says of itself.

use std::fmt::{Display, Write as _};
use std::fs::{self, Permissions};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::daemon::{Daemon, PATIENCE, V4, free_port, get, program, wait_until};
use crate::common::decode::Message;
use crate::common::{self, query};

/// What a node is started with.
#[derive(Clone, Default)]
pub struct Setup {
    /// Lines of `[platform]`.
    platform: String,
    /// Further sections.
    sections: String,
    /// Files of rules: name and text.
    rules: Vec<(String, String)>,
    /// Further arguments of `run`; `PORT` in one, or in a section, is the node's port.
    arguments: Vec<String>,
}

impl Setup {
    pub fn new() -> Self {
        Self::default()
    }

    /// A line of `[platform]`.
    pub fn platform(mut self, line: &str) -> Self {
        let _ = writeln!(self.platform, "{line}");
        self
    }

    /// Lines of TOML for other sections.
    pub fn section(mut self, text: &str) -> Self {
        let _ = writeln!(self.sections, "{text}");
        self
    }

    /// An upstream with these servers; `further` are more keys.
    pub fn upstream(self, name: &str, servers: &[impl Display], further: &str) -> Self {
        let servers: Vec<String> = servers.iter().map(|server| format!("'{server}'")).collect();
        let servers = servers.join(", ");
        self.section(&format!("[[upstream]]\nname = '{name}'\nservers = [{servers}]\n{further}"))
    }

    /// A route for clients on the loopback; `further` are more keys.
    pub fn route(self, name: &str, when: &str, then: &str, further: &str) -> Self {
        self.section(&format!(
            "[[route]]\nname = '{name}'\nwhen = '{when}'\nthen = '{then}'\n\
             allow = ['127.0.0.0/8', '::1/128']\n\
             {further}"
        ))
    }

    /// A file of rules.
    pub fn rules(mut self, name: &str, text: &str) -> Self {
        self.rules.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Arguments of `run`; `PORT` in one is the node's port. With an address to listen on there is no other.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// The configuration file's text.
    pub fn text(&self) -> String {
        let rules = if self.rules.is_empty() { "" } else { "rules = 'rules.d'\n" };
        let platform = format!("{rules}{}", self.platform);
        let platform = if platform.is_empty() { String::new() } else { format!("[platform]\n{platform}") };
        format!("[identity]\nnode = 'node1.example'\n{platform}{}", self.sections)
    }

    /// The folder with all that a node reads.
    pub fn folder(&self) -> TempDir {
        let folder = common::folder();
        fs::write(folder.path().join("as112d.toml"), self.text()).expect("written");
        if !self.rules.is_empty() {
            fs::create_dir(folder.path().join("rules.d")).expect("a folder");
        }
        for (name, text) in &self.rules {
            fs::write(folder.path().join("rules.d").join(name), text).expect("written");
        }
        common::open_up(folder.path());
        if !self.rules.is_empty() {
            common::open_up(&folder.path().join("rules.d"));
        }
        folder
    }

    /// Whether it says itself where it listens.
    fn has_addresses(&self) -> bool {
        self.sections.contains("listen = [") || self.arguments.iter().any(|word| word == "--listen")
    }

    /// Starts a node on the loopback.
    pub fn start(&self) -> Node {
        let folder = self.folder();
        symlink(program(), folder.path().join("as112d")).expect("linked");
        let port = free_port();
        let [config, control] =
            ["as112d.toml", "control"].map(|name| folder.path().join(name).display().to_string());
        let own: Vec<String> =
            self.arguments.iter().map(|word| word.replace("PORT", &port.to_string())).collect();
        let further = ["--config", &config, "--control", &control, "--http", "127.0.0.1:0"];
        let further: Vec<&str> = further.into_iter().chain(own.iter().map(String::as_str)).collect();
        let mut command = Command::new(folder.path().join("as112d"));
        let text = self.text().replace("PORT", &port.to_string());
        fs::write(&config, &text).expect("written");
        if self.has_addresses() {
            command.arg("run").args(&further);
        } else {
            command.args(Daemon::arguments(port, &further));
        }
        Node { daemon: Daemon::spawn(command, port), folder }
    }

    /// `check` of a configuration: its output, and whether it is sound.
    pub fn check(&self) -> (bool, String) {
        let folder = self.folder();
        let mut command = Command::new(program());
        command.arg("check").arg("--config").arg(folder.path().join("as112d.toml"));
        let output = command.output().expect("it runs");
        (output.status.success(), said(&output))
    }
}

/// What a command printed, wherever.
pub fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

pub struct Node {
    pub daemon: Daemon,
    pub folder: TempDir,
}

impl Node {
    pub fn address(&self) -> SocketAddr {
        self.daemon.address(V4)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The reply to a question over UDP.
    pub fn ask(&self, name: &str, qtype: u16) -> Answer {
        Answer::of(&self.daemon.ask_udp(V4, &query(name, qtype)))
    }

    /// The reply to a question over TCP.
    pub fn ask_tcp(&self, name: &str, qtype: u16) -> Answer {
        Answer::of(&self.daemon.ask_tcp(V4, &query(name, qtype)).expect("a reply"))
    }

    /// A command that speaks to the node.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(words).arg("--control").arg(self.path("control"));
        command
    }

    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("it runs")
    }

    /// A command that has to go well; what it prints.
    pub fn tell(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        String::from_utf8(output.stdout).expect("text")
    }

    pub fn reload(&self) {
        self.tell(&["reload"]);
    }

    /// A reload that has to fail; what it says.
    pub fn fail_to_reload(&self) -> String {
        let output = self.run(&["reload"]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        said(&output)
    }

    /// Puts a file of rules in its place at once, as an operator should.
    pub fn write_rules(&self, name: &str, text: &str) {
        let new = self.path(".new");
        fs::write(&new, text).expect("written");
        fs::set_permissions(&new, Permissions::from_mode(0o666)).expect("it is ours");
        fs::rename(new, self.path("rules.d").join(name)).expect("renamed");
    }

    /// The process that serves.
    pub fn process(&self) -> u32 {
        let status: Value = serde_json::from_str(&self.tell(&["status", "--json"])).expect("status is JSON");
        u32::try_from(status["pid"].as_u64().expect("a number")).expect("a process")
    }

    pub fn metrics(&self) -> Metrics {
        Metrics(get(self.daemon.http(), "/metrics"))
    }

    /// Waits until a family of counters has come to so much.
    pub fn wait_for(&self, family: &str, labels: &[&str], least: u64) {
        wait_until(&format!("{family}{labels:?} is {least}"), || self.metrics().sum(family, labels) >= least);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.daemon.end_family();
    }
}

/// What `/metrics` said.
pub struct Metrics(pub String);

impl Metrics {
    /// The sum of a family over all its series that have these labels, each as `name="value"`.
    pub fn sum(&self, family: &str, labels: &[&str]) -> u64 {
        let family = format!("as112_{family}");
        let lines = self.0.lines().filter(|line| {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            name == family && labels.iter().all(|label| line.contains(label))
        });
        let value = |line: &str| line.rsplit(' ').next().and_then(|word| word.parse::<f64>().ok());
        let sum: f64 = lines.filter_map(value).sum();
        #[expect(clippy::cast_sign_loss, reason = "counters are never below 0")]
        let sum = sum as u64;
        sum
    }
}

/// A reply, decoded.
#[derive(Clone, Debug)]
pub struct Answer {
    pub packet: Vec<u8>,
    pub rcode: u16,
    /// The records of the answer section: type, TTL and data, where names stay as they are.
    pub records: Vec<(u16, u32, Vec<u8>)>,
    pub flags: u16,
}

pub const SERVFAIL: u16 = 2;
pub const NXDOMAIN: u16 = 3;
pub const REFUSED: u16 = 5;

impl Answer {
    pub fn of(packet: &[u8]) -> Self {
        let message = Message::decode(packet).unwrap_or_else(|why| panic!("{why}: {packet:02x?}"));
        let record = |record: &common::decode::Record| {
            (record.rtype, record.ttl, packet[record.rdata.clone()].to_vec())
        };
        Self {
            packet: packet.to_vec(),
            rcode: message.header.rcode(),
            records: message.section(common::decode::ANSWER).map(record).collect(),
            flags: message.header.flags,
        }
    }

    /// The address of the first A record.
    pub fn address(&self) -> Option<std::net::Ipv4Addr> {
        let (.., rdata) = self.records.iter().find(|(rtype, ..)| *rtype == 1)?;
        Some(<[u8; 4]>::try_from(&rdata[..]).ok()?.into())
    }

    /// The TTL of the first record.
    pub fn ttl(&self) -> Option<u32> {
        self.records.first().map(|(_, ttl, _)| *ttl)
    }

    /// Info codes of extended errors.
    pub fn errors(&self) -> Vec<u16> {
        let message = Message::decode(&self.packet).expect("it was decoded before");
        let Some(opt) = message.opt() else { return Vec::new() };
        let mut bytes = &self.packet[opt.rdata.clone()];
        let mut found = Vec::new();
        while bytes.len() >= 4 {
            let (code, len) = (
                u16::from_be_bytes([bytes[0], bytes[1]]),
                usize::from(bytes[2]) << 8 | usize::from(bytes[3]),
            );
            if code == 15 {
                found.push(u16::from_be_bytes([bytes[4], bytes[5]]));
            }
            bytes = &bytes[4 + len..];
        }
        found
    }
}

/// Asks one question from a socket of its own; `None` if nothing comes in `patience`. With the time it took.
pub fn ask_within(to: SocketAddr, query: &[u8], patience: Duration) -> (Option<Answer>, Duration) {
    let socket = UdpSocket::bind((V4, 0)).expect("a socket");
    socket.connect(to).expect("connected");
    socket.set_read_timeout(Some(patience)).expect("a time-out");
    let began = Instant::now();
    socket.send(query).expect("sent");
    let mut reply = [0; 4096];
    let len = socket.recv(&mut reply);
    (len.ok().map(|len| Answer::of(&reply[..len])), began.elapsed())
}

/// Waits until a name is answered so that `is_so`; gives the answer.
pub fn ask_until(node: &Node, name: &str, qtype: u16, is_so: impl Fn(&Answer) -> bool) -> Answer {
    let began = Instant::now();
    loop {
        let answer = node.ask(name, qtype);
        if is_so(&answer) {
            return answer;
        }
        assert!(began.elapsed() < 3 * PATIENCE, "{name} stays {answer:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
