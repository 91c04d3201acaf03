//! A release on its way through a fleet of real nodes with real agents, by the commands that an operator
//! types. What nodes have is told by what they answer over DNS.

#[path = "../common/mod.rs"]
mod common;
#[path = "../fleet/publisher.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod publisher;
#[path = "../fleet_agent/site.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod site;

use std::fs;
use std::process::{Command, Output, Stdio};

use common::daemon::wait_until;
use publisher::{CONFIG, token, zone};
use serde_json::Value;
use site::Site;

/// A publisher's directory with a tree in it, and a node in each of two colos, of which ams is the first
/// stage.
struct Fleet {
    dir: tempfile::TempDir,
    ams: Site,
    fra: Site,
}

impl Fleet {
    /// All nodes have the first release, which answers `token`.
    fn new(token: &str, bake: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let key = command(&dir, &["keygen", "ann", "--no-password", "--json"]);
        let key: Value = serde_json::from_slice(&key.stdout).expect("JSON");
        let key = key["key"].as_str().expect("the public key").to_owned();
        let settings = format!(
            "fleet = 'as112'\nat = 'dir:tree'\nkeys = ['{key}']\nsecret_keys = ['ann.key']\nby = 'ann'\n\
             [roll]\nstages = ['colo/ams', 'all']\nbake = '{bake}'\n"
        );
        fs::write(dir.path().join("fleet.toml"), settings).expect("there is room");
        fs::create_dir_all(dir.path().join("site/zones")).expect("there is room");
        fs::create_dir_all(dir.path().join("tree/as112/status")).expect("there is room");
        let source = format!("keys = ['{key}']\nsource = 'dir:{}'", dir.path().join("tree").display());
        let mut fleet = Self { dir, ams: Site::new("ams1", &source), fra: Site::new("fra1", &source) };
        let file = fleet.fra.file();
        let text = fs::read_to_string(&file).expect("it is there").replace("colo = 'ams'", "colo = 'fra'");
        fs::write(file, text).expect("there is room");
        fleet.say(token, "");
        fleet.ok(&["publish", "site", "--to", "fleet"]);
        for node in [&mut fleet.ams, &mut fleet.fra] {
            node.serve();
            node.follow();
        }
        fleet.ams.answers(token);
        fleet.fra.answers(token);
        fleet.settle();
        fleet
    }

    /// Writes what is to be published: an answer, and settings of all nodes.
    fn say(&self, token: &str, settings: &str) {
        let site = self.dir.path().join("site");
        fs::write(site.join("config.toml"), format!("{settings}{CONFIG}")).expect("there is room");
        fs::write(site.join("zones/fleet.example.zone"), zone(token)).expect("there is room");
    }

    fn run(&self, args: &[&str]) -> (i32, String) {
        let output = command(&self.dir, args);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().expect("it ended by itself"), String::from_utf8(text).expect("text"))
    }

    fn ok(&self, args: &[&str]) -> String {
        let (code, text) = self.run(args);
        assert_eq!(code, 0, "{args:?}: {text}");
        text
    }

    /// Waits until all is well, as `status` has it.
    fn settle(&self) {
        wait_until("all nodes are fine", || self.run(&["status"]).0 == 0);
    }

    /// What `status` says of a node.
    fn state(&self, node: &str) -> String {
        let (_, text) = self.run(&["status"]);
        text.lines().find(|line| line.starts_with(node)).unwrap_or_default().to_owned()
    }
}

fn command(dir: &tempfile::TempDir, args: &[&str]) -> Output {
    let mut command = Command::new(site::program());
    command.args(args).current_dir(dir.path()).stdin(Stdio::null()).output().expect("it runs")
}

#[test]
fn a_good_release_reaches_all_and_the_first_stage_first() {
    let (one, two) = (token(), token());
    let fleet = Fleet::new(&one, "3s");
    fleet.say(&two, "");
    fleet.ok(&["publish", "site"]);
    fleet.ams.answers(&two);
    assert_eq!(fleet.fra.answer().as_deref(), Some(one.as_str()));
    // While it bakes there it does not go on.
    let (code, text) = fleet.run(&["promote"]);
    assert!(code == 1 && text.contains("not yet: colo/ams"), "{text}");
    let text = fleet.ok(&["promote", "--auto"]);
    assert!(text.contains("2 of 2 healthy"), "{text}");
    assert_eq!(fleet.fra.answer().as_deref(), Some(two.as_str()));
    // Nodes of one release answer alike, by the same number that `check` says.
    let status = fleet.ok(&["status", "--json"]);
    let status: Value = serde_json::from_str(&status).expect("JSON");
    let check: Value = serde_json::from_str(&fleet.ok(&["check", "site", "--json"])).expect("JSON");
    assert_eq!(status["groups"].as_array().expect("groups").len(), 1, "{status}");
    assert_eq!(status["groups"][0]["answers"], check["nodes"][0]["answers"], "{status}");
    // And back.
    fleet.ok(&["rollback"]);
    fleet.ams.answers(&one);
    fleet.fra.answers(&one);
}

#[test]
fn a_release_that_does_harm_stays_with_the_first_stage_and_not_for_long() {
    let (one, two) = (token(), token());
    let fleet = Fleet::new(&one, "60s");
    fleet.say(&two, "[zones]\ndirect = false\ndname = false\n");
    fleet.ok(&["publish", "site", "--without-as112-zones", "somebody was in a hurry"]);
    let (code, text) = fleet.run(&["promote", "--auto"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("goes no further: ams1, of the first stage: "), "{text}");
    fleet.ams.answers(&one);
    assert!(fleet.state("ams1").contains(" failed "), "{}", fleet.state("ams1"));
    // The other one never had it.
    assert_eq!(fleet.fra.answer().as_deref(), Some(one.as_str()));
    assert!(!fleet.fra.said().contains("2-"), "{}", fleet.fra.said());
    assert!(fleet.state("fra1").contains(" fine "), "{}", fleet.state("fra1"));
    fleet.ok(&["rollback"]);
    fleet.settle();
    let log = fleet.ok(&["log"]);
    assert!(log.contains("somebody was in a hurry") && log.contains(" stopped "), "{log}");
}

#[test]
fn a_colo_is_drained_and_returns() {
    let one = token();
    let fleet = Fleet::new(&one, "1s");
    fleet.ok(&["drain", "ams", "--for", "10m", "--reason", "new switch"]);
    wait_until("it is drained", || fleet.state("ams1").contains(" drained "));
    assert!(fleet.state("fra1").contains(" fine "), "{}", fleet.state("fra1"));
    fleet.ok(&["undrain", "ams"]);
    wait_until("it is in service", || fleet.state("ams1").contains(" fine "));
    // By itself, too.
    fleet.ok(&["drain", "node/fra1", "--for", "2s"]);
    wait_until("it is drained", || fleet.state("fra1").contains(" drained "));
    wait_until("it returns by itself", || fleet.state("fra1").contains(" fine "));
    assert_eq!(fleet.ams.answer().as_deref(), Some(one.as_str()));
}
