//! A release on its way: stages, stops, and the way back.

use serde_json::json;

use crate::desk::{Desk, USAGE};

/// Ten nodes, two of them in ams, which is the first stage.
const NODES: [(&str, &str); 10] = [
    ("ams1", "ams"),
    ("ams2", "ams"),
    ("fra1", "fra"),
    ("fra2", "fra"),
    ("lon1", "lon"),
    ("lon2", "lon"),
    ("nrt1", "nrt"),
    ("nrt2", "nrt"),
    ("sfo1", "sfo"),
    ("sfo2", "sfo"),
];

fn staged() -> (Desk, String) {
    let desk = Desk::bare();
    let key = desk.keygen("ann");
    let roll = "[roll]\nstages = [\"colo/ams\", \"50%\", \"all\"]\nbake = \"90s\"\n";
    desk.settings(&[&key], 1, &["ann"], roll);
    let first = desk.publish("one", &["--to", "fleet"]);
    for (node, colo) in NODES {
        desk.report(node, &first, &[("colo", json!(colo)), ("answers", json!("aaaa"))]);
    }
    (desk, first)
}

/// Nodes do what the tree says: each takes what its pointers want.
fn obey(desk: &Desk) {
    let status = desk.run(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status.out).unwrap();
    for node in status["nodes"].as_array().unwrap() {
        let (name, wants) = (node["node"].as_str().unwrap(), node["wants"].as_str().unwrap());
        let more = [("colo", node["colo"].clone()), ("answers", json!(wants))];
        desk.report(name, wants, &more);
    }
}

/// How many nodes have a release.
fn have(desk: &Desk, release: &str) -> usize {
    NODES.iter().filter(|(node, _)| desk.read(&format!("tree/as112/status/{node}")).contains(release)).count()
}

#[test]
fn a_release_goes_from_stage_to_stage() {
    let (desk, first) = staged();
    let second = desk.publish("two", &[]);
    assert_eq!(desk.pointer("colo/ams")["release"]["number"], 2);
    assert_eq!(desk.pointer("colo/ams")["bake"], 90);
    assert_eq!(desk.pointer("fleet")["release"]["number"], 1);
    let told = desk.run(&["promote"]).off();
    assert!(told.contains("not yet: colo/ams: 0 of 2 healthy, 2 behind"), "{told}");
    let status = desk.run(&["status"]).off();
    assert!(status.contains("at colo/ams: 0 of 2 healthy, 2 behind; next 50%"), "{status}");
    obey(&desk);
    assert_eq!(have(&desk, &second), 2);
    // A stage is not left out.
    assert!(desk.run(&["promote", "all"]).fails(USAGE).contains("50% comes before all"));
    assert!(desk.run(&["promote", "10%"]).fails(USAGE).contains("is not a stage of this roll"));
    desk.run(&["promote", "50%"]).ok();
    let pointer = desk.pointer("fleet");
    assert_eq!((&pointer["share"], &pointer["otherwise"]["number"]), (&json!(50), &json!(1)));
    obey(&desk);
    let half = have(&desk, &second);
    assert!((2..=10).contains(&half) && have(&desk, &first) == 10 - half, "{half}");
    desk.run(&["promote"]).ok();
    obey(&desk);
    assert_eq!(have(&desk, &second), 10);
    assert!(desk.pointer("fleet").get("share").is_none());
    // The first stage follows the fleet again.
    assert_eq!(desk.pointer("colo/ams")["kind"], "follow");
    assert!(desk.run(&["promote"]).ok().contains("all have 2-"));
    let status = desk.run(&["status"]).ok();
    assert!(status.contains(&format!("    10 with {second}, answers {second}")), "{status}");
    assert!(desk.run(&["promote", "50%"]).ok().contains("has reached all already"));
    let log = desk.run(&["log"]).ok();
    assert_eq!(log.matches(" promoted ").count(), 2, "{log}");
}

#[test]
fn it_goes_by_itself_until_all_have_it() {
    let (desk, _) = staged();
    let second = desk.publish("two", &[]);
    let done = std::thread::scope(|scope| {
        let promote = scope.spawn(|| desk.run(&["promote", "--auto"]));
        while !promote.is_finished() {
            obey(&desk);
        }
        promote.join().unwrap()
    });
    assert!(done.err.contains("goes to 50%") && done.err.contains("goes to all"), "{done:?}");
    assert!(done.ok().starts_with(&format!("all have {second}: 10 of 10 healthy")));
    assert_eq!(have(&desk, &second), 10);
}

#[test]
fn one_of_the_first_stage_that_fails_stops_it() {
    let (desk, first) = staged();
    let second = desk.publish("two", &[]);
    obey(&desk);
    let more = [("colo", json!("ams")), ("fell", json!(second)), ("problems", json!(["probe: no answer"]))];
    desk.report("ams2", &first, &more);
    for args in [&["promote"][..], &["promote", "--auto"], &["promote", "50%"]] {
        let told = desk.run(args).off();
        assert!(told.contains("goes no further: ams2, of the first stage: probe: no answer"), "{told}");
    }
    let status = desk.run(&["status"]).off();
    let line = status.lines().find(|line| line.starts_with("ams2")).unwrap();
    assert!(line.contains(" failed ") && line.ends_with("probe: no answer"), "{line}");
    // The others never had it; rolling back takes it from the one that still has.
    assert_eq!(desk.pointer("fleet")["release"]["number"], 1);
    assert!(desk.run(&["rollback"]).ok().contains(&format!("fleet goes back to {first}")));
    assert_eq!(desk.pointer("colo/ams")["kind"], "follow");
    obey(&desk);
    assert_eq!(have(&desk, &first), 10);
    desk.run(&["status"]).ok();
    // What was rolled back does not begin again by itself.
    assert!(desk.run(&["promote", "--auto"]).fails(USAGE).contains("no pointer names 2-"));
    assert!(desk.run(&["promote"]).fails(USAGE).contains("begin with `promote colo/ams`"));
    assert!(desk.run(&["log"]).ok().contains(" stopped "));
}

#[test]
fn who_is_silent_is_not_waited_for_and_not_called_healthy() {
    let (desk, _) = staged();
    desk.publish("two", &[]);
    obey(&desk);
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(500);
    let age = |node: &str| {
        let file = std::fs::File::options().write(true).open(desk.path(&format!("tree/as112/status/{node}")));
        file.unwrap().set_modified(old).unwrap();
    };
    age("ams1");
    let told = desk.run(&["promote", "--json"]).json();
    assert_eq!((&told["nodes"]["silent"], &told["nodes"]["healthy"]), (&json!(1), &json!(1)), "{told}");
    let status = desk.run(&["status"]).off();
    assert!(status.lines().any(|line| line.starts_with("ams1") && line.contains(" silent ")), "{status}");
    // Nobody of the first stage is heard of: that is no reason to go on.
    desk.run(&["rollback"]).ok();
    desk.publish("three", &[]);
    age("ams2");
    assert!(desk.run(&["promote"]).off().contains("colo/ams: no node has been heard of"));
}

#[test]
fn all_at_once_is_typed_out_and_in_the_log() {
    let (desk, _) = staged();
    desk.publish("two", &[]);
    assert_eq!(desk.run(&["promote", "--all-at-once"]).code, USAGE);
    assert_eq!(desk.pointer("fleet")["release"]["number"], 1);
    desk.run(&["promote", "--all-at-once", "--reason", "the other one is worse"]).ok();
    let pointer = desk.pointer("fleet");
    assert_eq!(pointer["release"]["number"], 2);
    assert_eq!(pointer["reason"], "the other one is worse");
    let log = desk.run(&["log", "--json"]).json();
    let last = log.as_array().unwrap().last().unwrap();
    assert_eq!((&last["what"], &last["all_at_once"]), (&json!("promoted"), &json!(true)), "{last}");
}

#[test]
fn a_held_fleet_stays_and_goes_on_when_it_is_told() {
    let (desk, first) = staged();
    desk.publish("two", &[]);
    obey(&desk);
    let told = desk.run(&["hold", "--reason", "looking"]).ok();
    assert!(
        told.contains("fleet stays with what it has") && told.contains("colo/ams has a pointer of its own"),
        "{told}"
    );
    assert!(desk.run(&["promote"]).fails(USAGE).contains("the fleet is held"));
    assert!(desk.run(&["promote", "--auto"]).off().contains("goes no further: the fleet is held"));
    desk.run(&["hold", "--colo", "lon"]).ok();
    desk.run(&["rollback", "1"]).ok();
    assert_eq!(desk.pointer("colo/lon")["kind"], "hold");
    desk.run(&["hold", "--colo", "lon", "--end"]).ok();
    assert_eq!(desk.pointer("colo/lon")["kind"], "follow");
    obey(&desk);
    assert_eq!(have(&desk, &first), 10);
}

#[test]
fn one_colo_goes_back_alone() {
    let (desk, first) = staged();
    let second = desk.publish("two", &["--all-at-once", "--reason", "small"]);
    obey(&desk);
    assert_eq!(have(&desk, &second), 10);
    desk.run(&["rollback", "--colo", "fra"]).ok();
    obey(&desk);
    assert_eq!((have(&desk, &first), have(&desk, &second)), (2, 8));
    desk.run(&["rollback", "--node", "lon1"]).ok();
    obey(&desk);
    assert_eq!((have(&desk, &first), have(&desk, &second)), (3, 7));
    assert!(desk.run(&["rollback", "--node", "lon1"]).fails(USAGE).contains("there is no release before"));
    assert!(desk.run(&["rollback", "1", "--colo", "fra"]).ok().contains("should have 1-"));
}

#[test]
fn a_drain_says_for_how_long_and_changes_no_release() {
    let (desk, _) = staged();
    desk.publish("two", &[]);
    let before = desk.pointer("colo/ams");
    desk.run(&["drain", "ams", "--for", "30m", "--reason", "new switch"]).ok();
    let drained = desk.pointer("colo/ams");
    assert_eq!((&drained["drain"], &drained["release"]), (&json!(1800), &before["release"]));
    assert!(drained["serial"].as_u64() > before["serial"].as_u64());
    desk.run(&["drain", "fra2"]).ok();
    assert_eq!(
        (&desk.pointer("node/fra2")["kind"], &desk.pointer("node/fra2")["drain"]),
        (&json!("follow"), &json!(3600))
    );
    desk.run(&["undrain", "node/fra2"]).ok();
    assert_eq!(desk.pointer("node/fra2")["drain"], 0);
    assert!(desk.run(&["status"]).out.contains("colo/ams         want 2-"));
    assert_eq!(desk.run(&["drain", "ams", "--for", "soon"]).code, USAGE);
}
