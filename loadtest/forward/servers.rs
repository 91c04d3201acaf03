//! Forwarders with one upstream: our node, dnsdist, Unbound, Knot with mod-dnsproxy; and our node as it
//! answers by itself.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::super::bounds::PATIENCE;
use super::super::common::daemon::{V4, free_port, program};
use super::super::common::{folder, open_up, query};
use super::super::tools::find;
use super::super::{Outcome, fail, pause};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Our node, on the shard.
    Native,
    /// Another program of ours, as it answers by itself.
    Before,
    /// Our node, with a rule that concerns other listeners' queries only.
    NativeBesideRules,
    /// Our node: a worker answers.
    HandedOver,
    /// Our node: the upstream is asked, and the answer kept.
    Forward,
    /// Our node: the upstream is asked, and nothing is kept.
    ForwardUnkept,
    /// Our node, whose upstream never answers for names below silent.example.
    Silent,
    Dnsdist,
    /// dnsdist with a cache of packets.
    DnsdistCache,
    Unbound,
    Dnsproxy,
}

impl Subject {
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "as112d, native",
            Self::Before => "as112d before, native",
            Self::NativeBesideRules => "as112d, native beside rules",
            Self::HandedOver => "as112d, handed over",
            Self::Forward => "as112d",
            Self::ForwardUnkept => "as112d, nothing kept",
            Self::Silent => "as112d, silent upstream",
            Self::Dnsdist => "dnsdist",
            Self::DnsdistCache => "dnsdist, cache",
            Self::Unbound => "Unbound",
            Self::Dnsproxy => "Knot mod-dnsproxy",
        }
    }

    fn program(self) -> Option<&'static str> {
        match self {
            Self::Dnsdist | Self::DnsdistCache => Some("dnsdist"),
            Self::Unbound => Some("unbound"),
            Self::Dnsproxy => Some("knotd"),
            _ => None,
        }
    }

    pub fn is_there(self) -> bool {
        self.program().is_none_or(|program| find(program).is_some())
    }
}

/// A running server. It and its children are ended when it is dropped.
pub struct Server {
    pub address: SocketAddr,
    child: Child,
    dir: TempDir,
}

impl Server {
    /// Starts a server on a CPU, and waits until it answers.
    ///
    /// # Errors
    /// It does not start or answer; with what it said.
    pub fn start(subject: Subject, upstream: SocketAddr, cpu: usize) -> Outcome<Self> {
        let dir = folder();
        let address = SocketAddr::new(V4, free_port());
        let words = words(subject, dir.path(), address, upstream)?;
        Self::spawn(&words, dir, address, cpu)
    }

    /// Our node, which has a route to a server that never answers, and answers everything else by itself.
    ///
    /// # Errors
    /// As above.
    pub fn silent(nobody: SocketAddr, cpu: usize) -> Outcome<Self> {
        let dir = folder();
        let address = SocketAddr::new(V4, free_port());
        let words = words(Subject::Silent, dir.path(), address, nobody)?;
        Self::spawn(&words, dir, address, cpu)
    }

    /// Our node as the upstream.
    ///
    /// # Errors
    /// As above.
    pub fn upstream(program: &Path, cpu: usize) -> Outcome<Self> {
        let dir = folder();
        let address = SocketAddr::new(V4, free_port());
        let listen = address.to_string();
        let program = program.display().to_string();
        let words =
            [&program, "run", "--listen", &listen, "--shards", "1", "--http", "off", "--control", "off"];
        Self::spawn(&words.map(str::to_owned), dir, address, cpu)
    }

    /// Starts what these words say, in a directory that is its own; it answers for 10.in-addr.arpa, or is an
    /// echo.
    ///
    /// # Errors
    /// As above.
    pub fn spawn(words: &[String], dir: TempDir, address: SocketAddr, cpu: usize) -> Outcome<Self> {
        let said = fs::File::create(dir.path().join("said"))?;
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &cpu.to_string()]).args(words);
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said).process_group(0);
        let mut server = Self { address, child: command.spawn()?, dir };
        let socket = UdpSocket::bind((V4, 0))?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let (began, mut reply, query) = (Instant::now(), [0; 512], query("1.1.1.10.in-addr.arpa", 12));
        loop {
            let len = socket.send(&query).and_then(|_| socket.recv(&mut reply));
            if len.is_ok_and(|len| len > 12 && (reply[3] & 15 == 3 || reply[3..len] == query[3..])) {
                return Ok(server);
            }
            if server.child.try_wait()?.is_some() || began.elapsed() > PATIENCE {
                let said = fs::read_to_string(server.dir.path().join("said")).unwrap_or_default();
                return fail(format!("{words:?} does not answer; it said: {said}"));
            }
            pause(Duration::from_millis(20));
        }
    }

    /// Nanoseconds that all its threads have run.
    pub fn cpu_nanoseconds(&self) -> u64 {
        self.cpu_of("")
    }

    /// Nanoseconds that those threads have run whose names begin so.
    pub fn cpu_of(&self, name: &str) -> u64 {
        self.threads(name).iter().filter_map(|thread| ran(thread)).sum()
    }

    /// Its threads whose names begin so, as directories in /proc.
    pub fn threads(&self, name: &str) -> Vec<PathBuf> {
        let group = self.child.id();
        let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
        let threads = processes.filter_map(|process| threads_of(&process.path(), group)).flatten();
        let comm = |thread: &PathBuf| fs::read_to_string(thread.join("comm"));
        threads.filter(|thread| comm(thread).is_ok_and(|comm| comm.starts_with(name))).collect()
    }
}

/// The threads of a process, if it is of a group.
fn threads_of(process: &Path, group: u32) -> Option<Vec<PathBuf>> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let of: u32 = stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()?;
    let threads = (of == group).then(|| fs::read_dir(process.join("task")).ok())??;
    Some(threads.filter_map(|thread| Some(thread.ok()?.path())).collect())
}

/// Nanoseconds that a thread has run, in the kernel and outside.
fn ran(thread: &Path) -> Option<u64> {
    fs::read_to_string(thread.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.child.id().cast_signed());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn words(subject: Subject, dir: &Path, address: SocketAddr, upstream: SocketAddr) -> Outcome<Vec<String>> {
    let conf = dir.join("conf");
    let path = conf.display().to_string();
    let (text, words): (String, Vec<String>) = match subject {
        Subject::Dnsdist | Subject::DnsdistCache => {
            (dnsdist(subject, address, upstream), vec!["--supervised".to_owned(), "-C".to_owned(), path])
        }
        Subject::Unbound => (unbound(dir, address, upstream), vec!["-d".to_owned(), "-c".to_owned(), path]),
        Subject::Dnsproxy => (dnsproxy(dir, address, upstream), vec!["-c".to_owned(), path]),
        ours => {
            fs::create_dir(dir.join("rules.d"))?;
            fs::write(dir.join("rules.d/10.rules"), rules(ours, upstream))?;
            let listen = address.to_string();
            let words = ["run", "--config", &path, "--listen", &listen, "--shards", "1", "--http", "off"];
            let words = [&words[..], &["--control", "off"]].concat();
            (node(ours, upstream), words.into_iter().map(str::to_owned).collect())
        }
    };
    fs::write(&conf, text)?;
    open_up(dir);
    let program = match subject.program() {
        Some(name) => find(name).ok_or_else(|| format!("{name} is not installed"))?,
        None => program(),
    };
    Ok([vec![program.display().to_string()], words].concat())
}

/// Rules of our node.
fn rules(subject: Subject, upstream: SocketAddr) -> String {
    match subject {
        Subject::NativeBesideRules => {
            let suffixes: String = (0..1000).fold(String::new(), |mut all, n| {
                let _ = write!(all, " s{n}.example");
                all
            });
            format!("dst in {{ 192.0.2.1 }} and qname-suffix in {{{suffixes} }} refuse\n")
        }
        // It may concern every query, and the worker finds that it does not.
        Subject::HandedOver => format!("phase = post-cache and cache = stale forward {upstream}\n"),
        Subject::ForwardUnkept => "phase = response no-store\n".to_owned(),
        _ => String::new(),
    }
}

fn node(subject: Subject, upstream: SocketAddr) -> String {
    let route = |suffix: &str| {
        format!(
            "[[upstream]]\nname = 'up'\nservers = ['{upstream}']\n[[route]]\nname = 'all'\n\
             when = 'qname-suffix in {{ {suffix} }}'\nthen = 'forward upstream up'\nallow = ['127.0.0.0/8']\n"
        )
    };
    let rules = "[platform]\nrules = 'rules.d'\n";
    match subject {
        Subject::HandedOver | Subject::NativeBesideRules => rules.to_owned(),
        Subject::ForwardUnkept => format!("{rules}{}", route("in-addr.arpa")),
        Subject::Forward => route("in-addr.arpa"),
        Subject::Silent => route("silent.example"),
        _ => String::new(),
    }
}

/// What each dnsdist of ours begins with.
pub fn dnsdist_at(address: SocketAddr) -> String {
    format!("setLocal('{address}')\nsetACL({{'127.0.0.0/8'}})\nsetSecurityPollSuffix('')\n")
}

fn dnsdist(subject: Subject, address: SocketAddr, upstream: SocketAddr) -> String {
    let mut text = dnsdist_at(address);
    let _ = writeln!(text, "newServer({{address='{upstream}', sockets=4, healthCheckMode='up'}})");
    if subject == Subject::DnsdistCache {
        text += "getPool(''):setCache(newPacketCache(1000000, {maxTTL=86400, maxNegativeTTL=3600}))\n";
    }
    text
}

fn unbound(dir: &Path, address: SocketAddr, upstream: SocketAddr) -> String {
    let dir = dir.display();
    format!(
        "server:\n  interface: {}@{}\n  directory: \"{dir}\"\n  pidfile: \"{dir}/pid\"\n  \
         username: \"\"\n  chroot: \"\"\n  use-syslog: no\n  do-daemonize: no\n  num-threads: 1\n  \
         module-config: \"iterator\"\n  do-not-query-localhost: no\n  \
         access-control: 127.0.0.0/8 allow\n  unblock-lan-zones: yes\n  insecure-lan-zones: yes\n  \
         outgoing-range: 8192\n  num-queries-per-thread: 4096\n  so-rcvbuf: 4m\n\
         remote-control:\n  control-enable: no\n\
         forward-zone:\n  name: \".\"\n  forward-addr: {}@{}\n",
        address.ip(),
        address.port(),
        upstream.ip(),
        upstream.port()
    )
}

fn dnsproxy(dir: &Path, address: SocketAddr, upstream: SocketAddr) -> String {
    let dir = dir.display();
    format!(
        "server:\n  listen: {}@{}\n  rundir: \"{dir}\"\n  udp-workers: 1\n  tcp-workers: 1\n  \
         background-workers: 1\nlog:\n  - target: stderr\n    any: warning\ndatabase:\n  storage: \"{dir}\"\n\
         remote:\n  - id: up\n    address: {}@{}\nmod-dnsproxy:\n  - id: default\n    remote: up\n    \
         fallback: off\ntemplate:\n  - id: default\n    storage: \"{dir}\"\n    \
         global-module: mod-dnsproxy/default\n",
        address.ip(),
        address.port(),
        upstream.ip(),
        upstream.port()
    )
}
