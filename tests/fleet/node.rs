//! A real node that belongs to a fleet: what it answers, and what it says of its release.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::Output;
use std::time::Duration;

use as112d::control::client::exchange;
use as112d::release::ReleaseName;
use serde_json::{Value, json};

use crate::common::daemon::{Daemon, V4, get, program};
use crate::common::query;
use crate::publisher::{Fleet, saying, token};

const TXT: u16 = 16;
/// How long a reload may take on a busy machine: a large map is read by a build that is not optimised.
const PATIENCE: Duration = Duration::from_secs(120);

/// A node that runs, and its fleet.
pub struct Node {
    pub fleet: Fleet,
    pub daemon: Daemon,
}

impl Node {
    pub fn start(fleet: Fleet) -> Self {
        let daemon = Self::daemon(&fleet);
        Self { fleet, daemon }
    }

    fn daemon(fleet: &Fleet) -> Daemon {
        let (file, control) = (fleet.file(), fleet.beside("control"));
        let [file, control] = [&file, &control].map(|path| path.to_str().expect("a path"));
        Daemon::start(&[
            "--config",
            file,
            "--control",
            control,
            "--http",
            "127.0.0.1:0",
            "--datapath",
            "mmsg",
        ])
    }

    /// The same after a restart.
    pub fn restarted(self) -> Self {
        let Self { fleet, daemon } = self;
        let (status, said) = daemon.stop();
        assert!(status.success(), "{said:?}");
        Self::start(fleet)
    }

    /// The TXT record of the fleet's zone; nothing if the node does not have it.
    pub fn says(&self) -> Option<String> {
        self.text("fleet.example")
    }

    pub fn text(&self, name: &str) -> Option<String> {
        let reply = self.daemon.ask_udp(V4, &query(name, TXT));
        let count = u16::from_be_bytes([reply[6], reply[7]]);
        // The one record is the last, and its text the last of it.
        (count == 1).then(|| String::from_utf8_lossy(&reply[reply.len() - 16..]).into_owned())
    }

    /// What it answers to a word over the control socket.
    pub fn control(&self, word: &str) -> Value {
        let stream = UnixStream::connect(self.fleet.beside("control")).expect("it listens");
        let line = exchange(stream, word, Some(PATIENCE)).expect("an answer");
        serde_json::from_str(&line).expect("it is JSON")
    }

    /// Reloads; what is wrong with what it read, as lines.
    pub fn reload(&self) -> Result<(), String> {
        let answer = self.control("reload");
        if answer["ok"] == true {
            assert_eq!(answer["need_restart"], json!([]), "no release needs one");
            return Ok(());
        }
        let problems = answer["problems"].as_array().expect("a list").iter();
        let line = |problem: &Value| {
            let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
            format!("{}: {}", text("place"), text("message"))
        };
        Err(problems.map(line).collect::<Vec<_>>().join("\n"))
    }

    /// What `status` says of the release.
    pub fn release(&self) -> Value {
        self.control("status")["release"].clone()
    }

    /// Publishes a release that says this, and waits until the node does.
    pub fn publish(&self, number: u64, token: &str) -> ReleaseName {
        let name = self.fleet.release(number, &saying(token));
        self.fleet.want(number, &name);
        self.fleet.link("current", &name);
        self.reload().expect("it is right");
        assert_eq!(self.says().as_deref(), Some(token));
        name
    }

    /// Runs a command with the node's file.
    pub fn run(fleet: &Fleet, arguments: &[&str]) -> Output {
        let mut command = std::process::Command::new(program());
        command.args(arguments).arg("--config").arg(fleet.file()).output().expect("it runs")
    }
}

#[test]
fn a_node_serves_its_release_and_says_so() {
    let node = Node::start(Fleet::new(""));
    assert_eq!(node.says(), None);
    let release = node.release();
    assert_eq!(
        (&release["state"], &release["number"], &release["problems"]),
        (&json!("none"), &Value::Null, &json!([]))
    );
    assert!(node.daemon.announcement.iter().any(|line| line.contains("release: there is none yet")));
    let (one, two) = (token(), token());
    let name = node.publish(1, &one);
    let told = node.release();
    assert_eq!(told["name"], name.to_string());
    assert_eq!((&told["hash"], &told["state"]), (&json!(name.digest), &json!("current")));
    assert_eq!(told["verified_by"].as_array().map(Vec::len), Some(1));
    let name = node.publish(2, &two);
    let changed = node.release();
    assert_ne!(changed["answers"], told["answers"]);
    // The built-in zones are there as ever, and the node's name is its own.
    assert!(node.daemon.ask_udp(V4, &query("10.in-addr.arpa", 6))[7] == 1);
    let metrics = get(node.daemon.http(), "/metrics");
    let info = format!("as112_release_info{{number=\"2\",hash=\"{}\",state=\"current\"}} 1", name.digest);
    assert!(metrics.contains(&info), "{metrics}");
    assert!(metrics.contains("\nas112_release_problems 0\n"), "{metrics}");
    let node = node.restarted();
    assert_eq!(node.says(), Some(two));
    assert_eq!(node.release()["answers"], changed["answers"]);
    let line = format!("release: {name}, signed by ");
    assert!(
        node.daemon.announcement.iter().any(|said| said.contains(&line)),
        "{:?}",
        node.daemon.announcement
    );
}

/// The zones of two nodes are the same, though their names differ, and the order in which they read zones.
#[test]
fn nodes_that_answer_alike_have_one_number() {
    let zones = ["a.example", "b.example"];
    let block = |name: &&str| format!("[[zone]]\nname = '{name}'\ntemplate = 'dd-empty'\n");
    let local = |node: &str, zones: &mut dyn Iterator<Item = &&str>| {
        let blocks: String = zones.map(block).collect();
        format!("[identity]\nnode = '{node}'\n{blocks}")
    };
    let node = |local: &str| Node::start(Fleet::new(local)).release()["answers"].clone();
    let one = node(&local("one.example", &mut zones.iter()));
    assert_eq!(one, node(&local("two.example", &mut zones.iter().rev())));
    assert_ne!(one, node(&local("one.example", &mut zones[..1].iter())));
}

#[test]
fn commands_know_the_release() {
    let fleet = Fleet::new("");
    fleet.link("current", &fleet.release(7, &saying("x")));
    let checked = Node::run(&fleet, &["check"]);
    let out = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && out.contains("release    7-"), "{checked:?}");
    let shown = Node::run(&fleet, &["config", "show", "--origin"]);
    let out = String::from_utf8_lossy(&shown.stdout).into_owned();
    let place = "files/config.toml:2:8";
    assert!(shown.status.success() && out.contains("# with release 7-") && out.contains(place), "{shown:?}");
    let doctor = Node::run(&fleet, &["doctor"]);
    let out = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(out.contains("  releases"), "{out}");
    fs::write(fleet.of(&fleet.release(7, &saying("x")), "zones/fleet.example.zone"), "")
        .expect("there is room");
    let checked = Node::run(&fleet, &["check"]);
    let error = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(!checked.status.success() && error.contains("fleet.example.zone: short: it has "), "{error}");
}

/// Without [fleet] nothing is said of releases.
#[test]
fn a_node_of_no_fleet_has_no_release() {
    let fleet = Fleet::new("");
    fs::write(fleet.file(), "").expect("there is room");
    let node = Node::start(fleet);
    assert_eq!(node.release(), Value::Null);
    assert!(!get(node.daemon.http(), "/metrics").contains("as112_release"));
}
