//! A node whose program lies in a folder of its own, so that another can be put in its place.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::daemon::{Daemon, V4, free_port, get, program, wait_until};
use crate::common::{self, query};

pub struct Node {
    pub daemon: Daemon,
    pub folder: TempDir,
    /// Where it is controlled.
    pub control: PathBuf,
    /// The processes that took over, of which the last one may live.
    successors: Vec<u64>,
}

impl Node {
    /// Starts a node on a port of its own, with a configuration file and further arguments.
    pub fn start(configuration: &str, further: &[&str]) -> Self {
        Self::start_with(configuration, further, |_| {})
    }

    /// As [`start`](Self::start); `prepare` may change the command.
    pub fn start_with(configuration: &str, further: &[&str], prepare: impl Fn(&mut Command)) -> Self {
        let port = free_port();
        let arguments = |own: &[&str]| Daemon::arguments(port, &[own, further].concat());
        Self::begin(port, configuration, arguments, prepare)
    }

    /// Starts one whose addresses, with this port, are in its configuration; where it is controlled may be.
    pub fn with_configuration(port: u16, configuration: &str) -> Self {
        let begin = ["run", "--http", "off"];
        Self::begin(
            port,
            configuration,
            |own| begin.iter().chain(own).map(ToString::to_string).collect(),
            |_| {},
        )
    }

    fn begin(
        port: u16,
        configuration: &str,
        arguments: impl Fn(&[&str]) -> Vec<String>,
        prepare: impl Fn(&mut Command),
    ) -> Self {
        let folder = common::folder();
        symlink(program(), folder.path().join("as112d")).expect("linked");
        fs::write(folder.path().join("as112d.toml"), configuration).expect("written");
        let [config, control] = ["as112d.toml", "control"].map(|name| folder.path().join(name));
        let [config, control_word] = [&config, &control].map(|path| path.display().to_string());
        let own = ["--config", &config, "--control", &control_word];
        let own = if configuration.contains("[control]") { &own[..2] } else { &own };
        let mut command = Command::new(folder.path().join("as112d"));
        command.args(arguments(own));
        prepare(&mut command);
        Self { daemon: Daemon::spawn(command, port), folder, control, successors: Vec::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn configure(&self, text: &str) {
        fs::write(self.path("as112d.toml"), text).expect("written");
    }

    /// Puts another program in the place of this one.
    pub fn install(&self, program: &Path) {
        let new = self.path("as112d.new");
        symlink(program, &new).expect("linked");
        fs::rename(new, self.path("as112d")).expect("renamed");
    }

    /// A command that speaks to the node.
    pub fn command(&self, word: &str) -> Command {
        let mut command = Command::new(program());
        command.args([word, "--json", "--control"]).arg(&self.control);
        command
    }

    pub fn run(&self, word: &str) -> Output {
        self.command(word).output().expect("it runs")
    }

    /// Runs a command that has to go well; what it prints.
    pub fn ask(&self, command: &str) -> Value {
        let output = self.run(command);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// The process that answers.
    pub fn process(&self) -> u64 {
        self.ask("status")["pid"].as_u64().expect("a number")
    }

    /// Upgrades; the process that serves then.
    pub fn upgrade(&mut self) -> u64 {
        self.upgrade_to(self.control.clone())
    }

    /// Upgrades to a process that is controlled there.
    pub fn upgrade_to(&mut self, control: PathBuf) -> u64 {
        let before = self.process();
        let pid = self.ask("upgrade")["pid"].as_u64().expect("a number");
        self.control = control;
        self.successors.push(pid);
        assert_ne!(pid, before);
        assert_eq!(self.process(), pid, "no command meets the old one");
        pid
    }

    /// After an upgrade that somebody else has asked for: the process that serves now, which ends with this.
    pub fn succeeded(&mut self) -> u64 {
        let pid = self.process();
        self.successors.push(pid);
        pid
    }

    /// An upgrade that has to fail; why it did, as JSON.
    pub fn fail_to_upgrade(&self) -> Value {
        let before = self.process();
        let output = self.run("upgrade");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert_eq!(self.process(), before, "the old one keeps serving");
        self.check_answers();
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
    }

    /// Whether UDP and TCP are answered.
    pub fn check_answers(&self) {
        let query = query("1.168.192.in-addr.arpa.", 6);
        assert!(self.daemon.ask_udp(V4, &query).len() > 50);
        assert!(self.daemon.ask_tcp(V4, &query).is_some_and(|reply| reply.len() > 50));
    }

    /// Queries in all, as the node counts them.
    pub fn queries(&self, http: SocketAddr) -> u64 {
        let text = get(http, "/metrics");
        let lines = text.lines().filter(|line| line.starts_with("as112_queries_total{"));
        lines.map(|line| line.rsplit(' ').next().expect("a value").parse::<u64>().expect("a number")).sum()
    }

    /// Ends the last process, and sees that the first one has ended well.
    pub fn stop(mut self) {
        self.ask("shutdown");
        if let Some(last) = self.successors.pop() {
            wait_for_end(last);
        }
        let Self { daemon, .. } = &mut self;
        let first = u64::from(daemon.id());
        wait_for_end(first);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.daemon.end_family();
    }
}

/// Whether a process runs. One that nobody has waited for yet does not.
pub fn is_there(pid: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

pub fn wait_for_end(pid: u64) {
    wait_until(&format!("process {pid} ends"), || !is_there(pid));
}
