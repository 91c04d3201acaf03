//! A fleet as its publisher and its nodes have it: a tree at some carrier, real nodes, real agents. What
//! nodes serve is told by what they answer over DNS.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use as112d::release::{Digest, ReleaseName, layout};
use as112d_fleet::carry::{Access, Address, Carrier};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::common;
use crate::common::daemon::{Daemon, PATIENCE};
use crate::common::hub::Hub;
use crate::publisher::Fleet;

/// The second program.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("AS112D_FLEET_BIN") {
        return path.into();
    }
    let path = common::daemon::program().with_file_name("as112d-fleet");
    assert!(path.exists(), "{} is not there; build it: cargo build -p as112d-fleet", path.display());
    path
}

/// The files of a release that answers `token`.
pub fn saying(token: &str) -> Vec<(&'static str, Vec<u8>)> {
    crate::publisher::saying(token)
}

/// Whoever publishes.
pub struct Publisher {
    pub carrier: Carrier,
    runtime: Runtime,
    fleet: Fleet,
}

impl Publisher {
    /// One who publishes to `address`.
    pub fn new(address: &str, access: &Access) -> Self {
        let address: Address = address.parse().expect("an address");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let carrier = runtime.block_on(async {
            let carrier = Carrier::open(&address, access, "as112").await.expect("it can be opened");
            carrier.prepare().await.expect("it can be prepared");
            carrier
        });
        Self { carrier, runtime, fleet: Fleet::new("") }
    }

    /// Connects to a hub that was away: between its tasks this runtime hears of nothing.
    pub fn connect_again(&mut self, hub: &Hub) {
        let address: Address = hub.url().parse().expect("an address");
        self.carrier = self.runtime.block_on(async {
            let carrier =
                Carrier::open(&address, &Access::default(), "as112").await.expect("it can be opened");
            carrier.ready(PATIENCE).await.expect("the hub is there");
            carrier
        });
    }

    /// Runs something to its end.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Publishes the files of a release; no node wants it yet.
    pub fn release(&self, number: u64, files: &[(&str, Vec<u8>)]) -> ReleaseName {
        let bytes = serde_json::to_vec(&Fleet::manifest(number, files)).expect("it is JSON");
        let name = ReleaseName { number, digest: Digest::of(&bytes) };
        let signatures = self.fleet.person.sign(&bytes);
        self.wait(async {
            for (_, bytes) in files {
                self.store(&layout::object(&Digest::of(bytes)), bytes).await;
            }
            self.store(&format!("releases/{}/manifest.json", name.digest), &bytes).await;
            self.store(&format!("releases/{}/manifest.sig", name.digest), signatures.as_bytes()).await;
        });
        name
    }

    async fn store(&self, name: &str, bytes: &[u8]) {
        self.carrier.store(name, bytes).await.unwrap_or_else(|fault| panic!("{name}: {fault}"));
    }

    /// Publishes a pointer of a scope.
    pub fn point(&self, scope: &str, serial: u64, more: Value) {
        let line = self.fleet.pointer(scope, serial, more);
        let name = format!("pointers/{scope}");
        self.wait(async {
            let old = self.carrier.read(&name, 1 << 16).await.expect("it is there");
            self.carrier.swap(&name, old.as_deref(), line.as_bytes()).await.expect("nobody else changes it");
        });
    }

    /// Publishes a release that answers `token`, and has all nodes want it.
    pub fn publish(&self, number: u64, token: &str) -> ReleaseName {
        let name = self.release(number, &saying(token));
        self.want(number, &name);
        name
    }

    /// Has all nodes want a release, without a trial.
    pub fn want(&self, serial: u64, release: &ReleaseName) {
        self.point("fleet", serial, json!({ "kind": "want", "release": release, "bake": 0 }));
    }

    /// The keys, as a node's file names them.
    pub fn keys(&self) -> String {
        format!("keys = ['{}']", self.fleet.person.public)
    }

    /// What a node has reported last.
    pub fn report(&self, node: &str) -> Option<Value> {
        let reports = self.wait(self.carrier.reports()).expect("the hub tells");
        let said = reports.into_iter().find(|said| said.node == node)?;
        serde_json::from_slice(&said.text).ok()
    }
}

/// A node and its agent.
pub struct Site {
    dir: TempDir,
    pub name: String,
    pub daemon: Option<Daemon>,
    agent: Option<Child>,
}

impl Site {
    /// A node of this name, whose file has `fleet` in `[fleet]`. Neither it nor its agent runs yet.
    pub fn new(name: &str, fleet: &str) -> Self {
        Self::within(common::folder(), name, fleet)
    }

    /// The same in this folder.
    pub fn within(dir: TempDir, name: &str, fleet: &str) -> Self {
        let text = format!(
            "[control]\npath = '{}'\n[fleet]\nname = 'as112'\ncolo = 'ams'\nnode = '{name}'\ndir = '{}'\n\
             min_free = '0%'\n{fleet}\n",
            dir.path().join("control").display(),
            dir.path().join("fleet").display()
        );
        fs::write(dir.path().join("as112d.toml"), text).expect("there is room");
        Self { dir, name: name.to_owned(), daemon: None, agent: None }
    }

    pub fn file(&self) -> PathBuf {
        self.dir.path().join("as112d.toml")
    }

    /// A path in its folder of releases.
    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join("fleet").join(path)
    }

    /// Starts the node.
    pub fn serve(&mut self) {
        let file = self.file();
        let control = self.dir.path().join("control");
        let (file, control) = (file.display().to_string(), control.display().to_string());
        self.daemon = Some(Daemon::start(&["--config", &file, "--control", &control, "--datapath", "mmsg"]));
    }

    /// Starts its agent.
    pub fn follow(&mut self) {
        self.agent = Some(self.command("agent").spawn().expect("the agent starts"));
    }

    /// A command of the second program about this node.
    pub fn command(&self, word: &str) -> Command {
        let mut command = Command::new(program());
        command.arg(word).arg("--config").arg(self.file()).stdin(Stdio::null());
        let log = fs::OpenOptions::new().append(true).create(true).open(self.dir.path().join("said"));
        command.stderr(log.expect("there is room"));
        command
    }

    /// Kills its agent at once.
    pub fn kill_agent(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().expect("it can be killed");
            agent.wait().expect("it is our child");
        }
    }

    /// What its agent has said.
    pub fn said(&self) -> String {
        fs::read_to_string(self.dir.path().join("said")).unwrap_or_default()
    }

    /// What the node answers: the text at fleet.example, if it serves that zone.
    pub fn answer(&self) -> Option<String> {
        let daemon = self.daemon.as_ref().expect("the node runs");
        ask(daemon.port, "fleet.example")
    }

    /// Waits until the node answers this; how long that took.
    pub fn answers(&self, token: &str) -> Duration {
        self.answers_within(token, PATIENCE * 2)
    }

    pub fn answers_within(&self, token: &str, patience: Duration) -> Duration {
        let began = Instant::now();
        loop {
            let answer = self.answer();
            if answer.as_deref() == Some(token) {
                return began.elapsed();
            }
            assert!(
                began.elapsed() < patience,
                "{} answers {answer:?} and not {token}; its agent said:\n{}",
                self.name,
                self.said()
            );
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.kill_agent();
        if std::thread::panicking() {
            eprintln!("the agent of {} said:\n{}", self.name, self.said());
        }
    }
}

/// The first text of the TXT record at a name, which the node at this port of loopback has.
pub fn ask(port: u16, name: &str) -> Option<String> {
    let mut query = vec![0x11, 0x2d, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).expect("a label"));
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 16, 0, 1]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(("127.0.0.1", port)).expect("connected");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    socket.send(&query).expect("sent");
    let mut reply = [0; 512];
    let len = socket.recv(&mut reply).expect("a reply");
    let records = u16::from_be_bytes([reply[6], reply[7]]);
    // Behind the question: a name of two bytes, type, class, TTL, length, and the length of the text.
    let text = reply.get(query.len() + 13..len).filter(|_| records > 0)?;
    let text_len = usize::from(reply[query.len() + 12]);
    Some(String::from_utf8_lossy(text.get(..text_len)?).into_owned())
}

/// All objects and releases of a node's folder: that each is what its name says, and that no more is there
/// than may be.
pub fn check_folder(fleet: &Path) {
    for folder in fs::read_dir(fleet.join("objects")).expect("it is there") {
        for object in fs::read_dir(folder.expect("it can be read").path()).expect("it is there") {
            let path = object.expect("it can be read").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let found = Digest::of(&fs::read(&path).expect("it can be read"));
            assert_eq!(found.to_string(), name, "an object that is not what it is called");
        }
    }
    let releases = fs::read_dir(fleet.join("releases")).expect("it is there").count();
    assert!(releases <= 4, "{releases} releases");
}
