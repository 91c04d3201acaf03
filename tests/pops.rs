//! Which PoPs are up: `as112d watch` probes and tells the node, files say so, people order it; and what is
//! answered follows, over reloads and upgrades.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};

use common::daemon::{Daemon, PATIENCE, V4, program, wait_until};
use common::query;
use serde_json::Value;
use tempfile::TempDir;

const SFO: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const NRT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

/// A node whose clients get sfo, else nrt.
struct Node {
    daemon: Daemon,
    folder: TempDir,
}

impl Node {
    /// `sfo` and `nrt` are what is written of the two but their names.
    fn start(sfo: &str, nrt: &str) -> Self {
        let folder = common::folder();
        let zone = "@ 60 IN SOA a. b. 1 60 60 60 60\n@ 60 IN NS ns.example.com.\n";
        fs::write(folder.path().join("example.net.zone"), zone).expect("there is room");
        let (config, control) = (at(&folder, "as112d.toml"), at(&folder, "control"));
        fs::write(&config, configuration(sfo, nrt)).expect("there is room");
        let daemon = Daemon::start(&["--config", &config, "--control", &control]);
        Self { daemon, folder }
    }

    fn configure(&self, sfo: &str, nrt: &str) {
        fs::write(self.folder.path().join("as112d.toml"), configuration(sfo, nrt)).expect("there is room");
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(program());
        command.args(words.split(' ')).arg("--control").arg(self.folder.path().join("control"));
        command
    }

    /// What a command prints that has to go well.
    fn run(&self, words: &str) -> String {
        let output = self.command(words).output().expect("it runs");
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// What the node says of a PoP.
    fn pop(&self, name: &str) -> Value {
        let told: Value = serde_json::from_str(&self.run("pop --json")).expect("JSON");
        let pops = told["pops"].as_array().expect("a list");
        pops.iter().find(|pop| pop["name"] == name).unwrap_or_else(|| panic!("{name}: {told}")).clone()
    }

    fn wait_for(&self, name: &str, up: bool) {
        wait_until(&format!("{name} up: {up}"), || self.pop(name)["up"] == up);
    }

    /// The address that is answered.
    fn answer(&self) -> Ipv4Addr {
        let reply = self.daemon.ask_udp(V4, &query("www.example.net.", 1));
        let address: [u8; 4] = reply[reply.len() - 4..].try_into().expect("four bytes");
        address.into()
    }
}

/// A successor is nobody's child: it ends with the test all the same.
impl Drop for Node {
    fn drop(&mut self) {
        self.daemon.end_family();
    }
}

fn at(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

fn configuration(sfo: &str, nrt: &str) -> String {
    format!(
        "[zones]\ndir = '.'\n\
         [[pop]]\nname = 'sfo'\n{sfo}\n\
         [[pop]]\nname = 'nrt'\n{nrt}\n\
         [[map]]\nname = 'world'\ndefault = ['sfo', 'nrt']\n\
         [[pool]]\nname = 'web'\nmap = 'world'\nnames = ['www.example.net']\nttl = '60s'\n\
         addresses = {{ sfo = ['{SFO}'], nrt = ['{NRT}'] }}\n"
    )
}

/// `as112d watch`, until it is dropped.
struct Watcher {
    child: Child,
    lines: Receiver<String>,
}

impl Watcher {
    fn start(node: &Node) -> Self {
        let mut command = node.command("watch");
        command.arg("--config").arg(node.folder.path().join("as112d.toml"));
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    /// Waits for a line that holds this.
    fn says(&self, part: &str) {
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.contains(part)) {
            let line = self.lines.recv_timeout(PATIENCE);
            said.push(line.unwrap_or_else(|_| panic!("`{part}` was not said: {said:#?}")));
        }
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that answers each request with a status that can be changed.
struct Site {
    status: Arc<AtomicU16>,
    port: u16,
}

impl Site {
    fn start() -> Self {
        let listener = TcpListener::bind((V4, 0)).expect("a port");
        let port = listener.local_addr().expect("it has one").port();
        let status = Arc::new(AtomicU16::new(200));
        let told = Arc::clone(&status);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut asked = [0; 512];
                let _ = stream.read(&mut asked);
                let status = told.load(Ordering::Relaxed);
                let _ = write!(stream, "HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n");
            }
        });
        Self { status, port }
    }

    fn is(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// What is written of a PoP that is probed here.
    fn probe(&self) -> String {
        let url = format!("http://127.0.0.1:{}/healthz", self.port);
        format!("probe = {{ http = '{url}', every = '300ms', timeout = '300ms', fall = 2, rise = 2 }}")
    }
}

/// Writes a file as its format wants it: whole, and then renamed.
fn write_whole(path: &Path, text: &str) {
    let beside: PathBuf = path.with_extension("new");
    fs::write(&beside, text).expect("there is room");
    fs::rename(&beside, path).expect("it can be renamed");
}

#[test]
fn what_a_watcher_probes_is_answered_while_it_is_up() {
    let site = Site::start();
    let node = Node::start(&site.probe(), "");
    assert_eq!(
        (node.pop("sfo")["up"].clone(), node.answer()),
        (true.into(), SFO),
        "nobody has said otherwise"
    );
    assert!(node.run("pop").contains("is `as112d watch` running?"));
    site.is(503);
    let watcher = Watcher::start(&node);
    watcher.says("sfo is down: the status is 503");
    node.wait_for("sfo", false);
    assert_eq!((node.pop("sfo")["why"].as_str(), node.answer()), (Some("the status is 503"), NRT));
    let told = node.run("pop");
    assert!(told.contains("probes say down (the status is 503)") && !told.contains("running?"), "{told}");

    // Another configuration, and another process: it stays down.
    node.configure(&site.probe(), "at = [35.76, 140.39]");
    node.run("reload");
    assert_eq!((node.pop("sfo")["up"].clone(), node.answer()), (false.into(), NRT));
    node.run("upgrade");
    assert_eq!((node.pop("sfo")["up"].clone(), node.answer()), (false.into(), NRT));

    // The successor is told what the watcher sees from then on.
    site.is(204);
    node.wait_for("sfo", true);
    assert_eq!(node.answer(), SFO);
}

#[test]
fn a_node_that_starts_again_is_told_what_a_watcher_knows() {
    let closed = TcpListener::bind((V4, 0)).expect("a port").local_addr().expect("it has one");
    let probe = format!("probe = {{ tcp = '{closed}', every = '300ms', timeout = '300ms', fall = 1 }}");
    let mut node = Node::start(&probe, "");
    let watcher = Watcher::start(&node);
    watcher.says("sfo is down: connection refused");
    node.wait_for("sfo", false);
    let (config, control) = (at(&node.folder, "as112d.toml"), at(&node.folder, "control"));
    let daemon = Daemon::start(&["--config", &config, "--control", "off"]);
    std::mem::replace(&mut node.daemon, daemon).stop();
    watcher.says("the node is gone");
    let daemon = Daemon::start(&["--config", &config, "--control", &control]);
    std::mem::replace(&mut node.daemon, daemon).stop();
    node.wait_for("sfo", false);
    assert_eq!(node.answer(), NRT);
}

#[test]
fn a_file_says_which_are_up() {
    let file = "health = 'file'";
    let node = Node::start(file, file);
    let path = node.folder.path().join("pops.health");
    let watcher = Watcher::start(&node);
    watcher.says("pops.health: No such file");
    assert_eq!(node.answer(), SFO, "a file that is not there says nothing");
    write_whole(&path, "# at night\nsfo down\nlax down\n");
    watcher.says("no PoP with this file is called lax");
    node.wait_for("sfo", false);
    assert_eq!((node.pop("nrt")["up"].clone(), node.answer()), (true.into(), NRT));
    assert!(node.run("pop").contains("its file says down"));
    // A mistake leaves what was read before.
    write_whole(&path, "sfo up\nnrt dwon\n");
    watcher.says("pops.health:2: `nrt dwon` is not a PoP and `up` or `down`");
    assert_eq!(node.answer(), NRT);
    // None is up: as if all were.
    write_whole(&path, "sfo down\nnrt down\n");
    node.wait_for("nrt", false);
    assert_eq!(node.answer(), SFO);
    write_whole(&path, "");
    node.wait_for("nrt", true);
    node.wait_for("sfo", true);
}

#[test]
fn a_pop_is_drained_by_hand_and_that_is_kept() {
    let node = Node::start("", "");
    assert_eq!(node.run("pop sfo drain").split_whitespace().collect::<Vec<_>>()[..2], ["sfo", "down"]);
    assert_eq!(node.answer(), NRT);
    node.run("reload");
    assert_eq!(node.answer(), NRT);
    node.run("upgrade");
    assert_eq!((node.pop("sfo")["by_hand"].as_str(), node.answer()), (Some("drain"), NRT));
    node.run("pop nrt drain");
    assert_eq!(node.answer(), SFO, "none is up: as if all were");
    node.run("pop sfo auto");
    node.run("pop nrt auto");
    assert_eq!(node.answer(), SFO);
    let failed = node.command("pop lax drain").output().expect("it runs");
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(!failed.status.success() && said.contains("no PoP is called lax; there are sfo, nrt"), "{said}");
    assert!(!node.command("pop sfo").output().expect("it runs").status.success(), "nothing was ordered");
}

#[test]
fn what_is_up_by_hand_is_so_whatever_a_watcher_says() {
    let node = Node::start("health = 'file'", "");
    fs::write(node.folder.path().join("pops.health"), "sfo down\n").expect("there is room");
    node.run("pop sfo up");
    let watcher = Watcher::start(&node);
    watcher.says("sfo is down: ");
    wait_until("the node is told", || node.pop("sfo")["seen"] == false);
    assert_eq!((node.pop("sfo")["up"].clone(), node.answer()), (true.into(), SFO));
    node.run("pop sfo auto");
    assert_eq!(node.answer(), NRT);
}

/// A watcher reads its configuration again; and one with nothing to watch says so.
#[test]
fn a_watcher_goes_over_to_other_settings() {
    let site = Site::start();
    let node = Node::start("", "");
    let idle = node.command("watch").arg("--config").arg(at(&node.folder, "as112d.toml")).output();
    let said = String::from_utf8(idle.expect("it runs").stderr).expect("text");
    assert!(said.contains("no PoP is to be watched"), "{said}");

    node.configure(&site.probe(), "");
    let watcher = Watcher::start(&node);
    watcher.says("watching 1 PoP");
    watcher.says("sfo is up");
    node.configure("nonsense", "");
    watcher.signal("-HUP");
    watcher.says("the old settings stay in effect");
    node.configure(&site.probe(), "health = 'file'");
    watcher.signal("-HUP");
    watcher.says("watching 2 PoPs");
    watcher.signal("-TERM");
    watcher.says("the node keeps what it was told last");
}
