//! The publisher's commands as an operator types them, on a tree in a directory, with real keys. Debian's
//! minisign is asked for its opinion of what they sign.

#![allow(clippy::unwrap_used, reason = "a test that fails says where; all of this is one")]

mod desk;
mod document;
mod keys;
mod lies;
mod people;
mod rolls;
#[path = "../../../tests/common/skip.rs"]
mod skip;

use desk::{Desk, USAGE};

#[test]
fn a_directory_is_checked_before_it_is_a_release() {
    let desk = Desk::new();
    desk.write("site/zones/example.com.zone", desk::ZONE);
    desk.write("site/config.toml", "[zones]\ndir = \"zones\"\n");
    let told = desk.run(&["check", "site"]).ok();
    assert!(told.contains("2 files"), "{told}");
    assert!(told.contains("any node: 25 zones, answers "), "{told}");
    assert!(told.ends_with("This can be published.\n"), "{told}");

    desk.write("site/zones/example.com.zone", "@ SOA nonsense\n");
    let told = desk.run(&["check", "site"]).fails(1);
    assert!(told.starts_with("site/zones/example.com.zone:1"), "{told}");

    desk.write("site/zones/example.com.zone", desk::ZONE);
    desk.write("site/config.toml", "[server]\nlisten = [\"192.0.2.1:53\"]\n");
    let told = desk.run(&["check", "site"]).fails(1);
    assert!(told.starts_with("site/config.toml:2"), "{told}");
}

#[test]
fn zones_of_as112_are_not_lost_by_mistake() {
    let desk = Desk::new();
    desk.write("site/config.toml", "[zones]\ndirect = false\n");
    let told = desk.run(&["publish", "site", "--to", "fleet"]).fails(1);
    assert!(told.contains("19 of the 22 zones of AS112 are missing, such as 10.in-addr.arpa"), "{told}");
    assert!(!desk.has("tree/as112/pointers/fleet"));
    let reason = ["--without-as112-zones", "only RFC 7535 here"];
    desk.run(&[&["publish", "site", "--to", "fleet"][..], &reason].concat()).ok();
    let log = desk.run(&["log"]).ok();
    assert!(log.contains("without_as112_zones=only RFC 7535 here"), "{log}");
}

#[test]
fn each_kind_of_nodes_is_loaded_for_itself() {
    let desk = Desk::bare();
    let key = desk.keygen("ann");
    desk.settings(&[&key], 1, &["ann"], "[colos]\nams = [\"ams1\"]\n");
    desk.write("site/zones/example.com.zone", desk::ZONE);
    desk.write("site/config.toml", "[zones]\ndir = \"zones\"\n");
    desk.write("site/colo/ams/extra.zone", desk::ZONE);
    desk.write(
        "site/colo/ams/config.toml",
        "[[zone]]\nname = \"ams.example\"\nfile = \"colo/ams/extra.zone\"\n",
    );
    desk.write("site/node/ams1/config.toml", "[zones]\nspecial_use = false\n");
    let told = desk.run(&["check", "site", "--json"]).json();
    let zones = |at: usize| (told["nodes"][at]["nodes"].clone(), told["nodes"][at]["zones"].clone());
    assert_eq!(zones(0), ("any node".into(), 25.into()));
    assert_eq!(zones(1), ("colo ams".into(), 26.into()));
    // The settings say that ams1 is in ams.
    assert_eq!(zones(2), ("node ams1".into(), 24.into()));
    assert_ne!(told["nodes"][0]["answers"], told["nodes"][1]["answers"]);
    // What is wrong for one colo alone keeps all from getting it.
    desk.write("site/colo/ams/extra.zone", "@ SOA nonsense\n");
    let told = desk.run(&["publish", "site", "--to", "colo/ams"]).fails(1);
    assert!(told.starts_with("site/colo/ams/extra.zone:1"), "{told}");
    assert!(!desk.has("tree/as112/pointers/colo/ams"));
}

#[test]
fn what_is_published_is_in_the_tree() {
    let desk = Desk::new();
    desk.write("site/config.toml", "");
    let told = desk.run(&["publish", "site", "--to", "fleet", "--json"]).json();
    let release = told["release"].as_str().unwrap().to_owned();
    assert!(release.starts_with("1-") && told["new"] == true, "{told}");
    let digest = told["digest"].as_str().unwrap();
    let manifest = desk.read(&format!("tree/as112/releases/{digest}/manifest.json"));
    assert!(
        manifest.contains("\"number\": 1") && manifest.contains("\"path\": \"config.toml\""),
        "{manifest}"
    );
    assert!(desk.has("tree/as112/rolls/current"));
    let pointer = desk.read("tree/as112/pointers/fleet");
    assert!(pointer.contains(digest) && pointer.contains("\"kind\":\"want\""), "{pointer}");
    // The same again is not another release.
    let again = desk.run(&["publish", "site", "--to", "fleet"]).ok();
    assert!(again.contains("has exactly these files already"), "{again}");
    desk.write("site/config.toml", "# other\n");
    let told = desk.run(&["publish", "site", "--to", "fleet", "--json"]).json();
    assert!(told["number"] == 2, "{told}");
    let status = desk.run(&["status"]).ok();
    assert!(
        status.contains("fleet            want 2-") && status.contains("no node has reported"),
        "{status}"
    );
    let log = desk.run(&["log", "--since", "1h"]).ok();
    assert!(log.lines().count() == 2 && log.contains("ann published"), "{log}");
}

#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let desk = Desk::new();
    desk.write("site/zones/example.com.zone", desk::ZONE);
    desk.write("site/config.toml", "[zones]\ndir = \"zones\"\n");
    let first = desk.run(&["publish", "site", "--dry-run"]);
    assert!(first.fails(USAGE).contains("there is no such"), "a tree that is not there");
    desk.run(&["publish", "site", "--to", "fleet"]).ok();
    let before = desk.tree();
    let same = desk.run(&["publish", "site", "--dry-run"]).ok();
    assert!(same.contains("release 2 against 1-") && same.contains(", as before"), "{same}");
    desk.write("site/zones/example.com.zone", &desk::ZONE.replace("192.0.2.1", "192.0.2.9"));
    desk.write("site/zones/example.net.zone", desk::ZONE);
    let told = desk.run(&["publish", "site", "--dry-run"]).ok();
    for line in [
        "  + file zones/example.net.zone",
        "  ~ file zones/example.com.zone",
        "  + zone example.net.",
        "  ~ zone example.com.",
        "      - www.example.com. 3600 IN A 192.0.2.1",
        "      + www.example.com. 3600 IN A 192.0.2.9",
    ] {
        assert!(told.lines().any(|told| told == line), "{line}\n{told}");
    }
    assert!(told.contains(" before\n") && !told.contains("as before"), "{told}");
    assert_eq!(desk.tree(), before);
}

#[test]
fn nobody_gets_a_release_by_accident() {
    let desk = Desk::new();
    desk.write("site/config.toml", "");
    // Nobody said who gets it first.
    assert!(desk.run(&["publish", "site"]).fails(USAGE).contains("who gets it first?"));
    desk.run(&["publish", "site", "--to", "fleet"]).ok();
    desk.write("site/config.toml", "# 2\n");
    desk.report("ams1", "1-0", &[]);
    desk.report("fra1", "1-0", &[]);
    let told = desk.run(&["publish", "site", "--to", "fleet"]).fails(USAGE);
    assert!(
        told.contains("that gives it to all nodes at once") && told.contains("--all-at-once --reason"),
        "{told}"
    );
    assert_eq!(desk.run(&["publish", "site", "--all-at-once"]).code, USAGE);
    desk.run(&["publish", "site", "--all-at-once", "--reason", "zone was wrong"]).ok();
    let log = desk.run(&["log"]).ok();
    assert!(log.contains("all_at_once=true") && log.contains("(zone was wrong)"), "{log}");
}

#[test]
fn usage_errors_say_what_to_do() {
    let desk = Desk::new();
    for (args, words) in [
        (&["hold", "--end"][..], "`promote` or `rollback NUMBER`"),
        (&["promote"], "there is no roll; begin one with `publish`"),
        (&["rollback"], "there is no release before"),
        (&["rollback", "7"], "there is no release 7"),
        (&["drain", "nobody"], "nobody has heard of nobody"),
        (&["drain", "a.b"], "is not a name"),
        (&["log", "--since", "yesterday"], "write 12h, 30d or 2026-11-30"),
        (&["status", "--at", "ftp://x"], "there is no such scheme"),
        (&["status", "--config", "missing.toml"], "missing.toml: "),
    ] {
        desk.write("tree/as112/pointers/.keep", "");
        let told = desk.run(args).fails(USAGE);
        assert!(told.contains(words), "{args:?}: {told}");
    }
}
