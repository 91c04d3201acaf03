//! Releases that are no good: the node refuses them, or does worse with them. The agent goes back without
//! asking anybody.

use std::time::Duration;

use as112d_fleet::carry::Access;
use serde_json::json;

use crate::common::daemon::wait_until;
use crate::publisher::token;
use crate::site::{Publisher, Site, saying};

/// A node that has a release, follows a folder, and has baked.
fn settled(old: &str) -> (tempfile::TempDir, Publisher, Site) {
    let tree = tempfile::tempdir().expect("a folder");
    let source = format!("dir:{}", tree.path().display());
    let publisher = Publisher::new(&source, &Access::default());
    std::fs::create_dir(tree.path().join("as112/status")).expect("there is room");
    publisher.publish(1, old);
    let mut site = Site::new("ams1", &format!("{}\nsource = '{source}'", publisher.keys()));
    site.serve();
    site.follow();
    site.answers(old);
    (tree, publisher, site)
}

fn reported(publisher: &Publisher, verdict: &str) -> bool {
    publisher.report("ams1").is_some_and(|report| report["verdict"] == verdict)
}

#[test]
fn a_release_that_the_node_refuses_is_taken_back_and_not_tried_again() {
    let (old, new) = (token(), token());
    let (_tree, publisher, mut site) = settled(&old);
    let broken = vec![
        ("config.toml", crate::publisher::CONFIG.into()),
        ("zones/fleet.example.zone", b"this is no zone\n".to_vec()),
    ];
    let name = publisher.release(2, &broken);
    publisher.want(2, &name);
    wait_until("it has gone back", || reported(&publisher, "fell-back"));
    let report = publisher.report("ams1").expect("it reports");
    assert_eq!(report["fell"], json!(name.to_string()), "{report}");
    assert!(report["has"].as_str().expect("it has one").starts_with("1-"), "{report}");
    assert!(report["problems"][0].as_str().expect("it says why").contains("fleet.example.zone"), "{report}");
    assert_eq!(site.answer().as_deref(), Some(old.as_str()));
    // Neither it nor the next agent tries it again.
    site.kill_agent();
    site.follow();
    std::thread::park_timeout(Duration::from_secs(3));
    assert_eq!(site.said().matches("fell-back").count(), 1, "{}", site.said());
    assert_eq!(site.answer().as_deref(), Some(old.as_str()));
    publisher.publish(3, &new);
    site.answers(&new);
    wait_until("all is well", || reported(&publisher, "settled"));
}

#[test]
fn a_release_that_makes_answers_fail_is_taken_back_while_it_bakes() {
    let (old, new) = (token(), token());
    let (_tree, publisher, site) = settled(&old);
    // All that is right in form: the node serves it, and does not answer as an AS112 node does.
    let mut files = saying(&new);
    files[0].1 = format!("[zones]\ndirect = false\ndname = false\n{}", crate::publisher::CONFIG).into_bytes();
    let name = publisher.release(2, &files);
    publisher.point("fleet", 2, json!({ "kind": "want", "release": name, "bake": 30 }));
    wait_until("it has gone back", || reported(&publisher, "fell-back"));
    let report = publisher.report("ams1").expect("it reports");
    assert_eq!(report["fell"], json!(name.to_string()), "{report}");
    assert_eq!(site.answer().as_deref(), Some(old.as_str()));
    assert!(site.said().contains("fell-back") && site.said().contains("probe: "), "{}", site.said());
}

#[test]
fn a_release_that_is_good_is_kept_after_its_trial() {
    let (old, new) = (token(), token());
    let (_tree, publisher, site) = settled(&old);
    let name = publisher.release(2, &saying(&new));
    publisher.point("fleet", 2, json!({ "kind": "want", "release": name, "bake": 2 }));
    site.answers(&new);
    wait_until("it bakes", || reported(&publisher, "baking"));
    wait_until("it is good", || reported(&publisher, "settled"));
    assert!(std::fs::read_link(site.at("good")).expect("a link").ends_with(name.to_string()));
    // A hold keeps it there, whatever the fleet wants.
    publisher.point("node/ams1", 1, json!({ "kind": "hold" }));
    wait_until("it is held", || reported(&publisher, "held"));
    publisher.publish(3, &token());
    std::thread::park_timeout(Duration::from_secs(3));
    assert_eq!(site.answer().as_deref(), Some(new.as_str()));
    publisher.point("node/ams1", 2, json!({ "kind": "follow", "drain": 600 }));
    wait_until("it is drained", || {
        publisher
            .report("ams1")
            .is_some_and(|report| report["drained"] == true && report["state"] == "draining")
    });
    publisher.point("node/ams1", 3, json!({ "kind": "follow", "drain": 0 }));
    wait_until("it is in service", || {
        publisher.report("ams1").is_some_and(|report| report["state"] == "serving")
    });
    assert!(publisher.report("ams1").expect("it reports")["has"].as_str().expect("one").starts_with("3-"));
}
