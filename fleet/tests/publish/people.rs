//! Several people: who must sign, whose keys change, and who comes second.

use crate::desk::{Desk, USAGE};

/// Ann and Bob, of whom both must sign.
fn two() -> Desk {
    let desk = Desk::bare();
    let keys = ["ann", "bob"].map(|name| desk.keygen(name));
    desk.settings(&[&keys[0], &keys[1]], 2, &[], "");
    desk.write("site/config.toml", "");
    desk
}

#[test]
fn nobody_gets_a_release_that_only_one_has_signed() {
    let desk = two();
    let told = desk.run(&["publish", "site", "--to", "fleet", "--key", "ann.key"]).ok();
    assert!(told.contains("1 more must sign before a node gets it"), "{told}");
    assert!(!desk.has("tree/as112/pointers/fleet") && !desk.has("tree/as112/rolls/current"));
    let status = desk.run(&["status"]).ok();
    assert!(status.contains("to be signed     release 1 of as112"), "{status}");
    assert!(status.contains("to be signed     pointer of fleet in as112: want 1-"), "{status}");
    let told = desk.run(&["publish", "--add-signature", "--dry-run"]).ok();
    assert!(told.lines().count() == 3 && told.contains("roll of 1-") && told.contains(" (ann 20"), "{told}");
    // The same person does not count twice.
    let told = desk.run(&["publish", "--add-signature", "--key", "ann.key"]).ok();
    assert!(told.contains("release 1 of as112: signed; 1 more must sign"), "{told}");
    assert!(!desk.has("tree/as112/pointers/fleet"));
    let told = desk.run(&["publish", "--add-signature", "--key", "bob.key", "--by", "bob"]).ok();
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines.len() == 3 && lines.iter().all(|line| line.ends_with(": signed, and in the tree")),
        "{told}"
    );
    assert_eq!(desk.pointer("fleet")["release"]["number"], 1);
    let status = desk.run(&["status", "--json"]).json();
    assert_eq!(status["pointers"][0]["signed_by"].as_array().unwrap().len(), 2, "{status}");
    assert!(status["to_be_signed"].as_array().unwrap().is_empty(), "{status}");
    assert!(desk.run(&["publish", "--add-signature", "--key", "bob.key"]).ok().contains("nothing waits"));
    assert!(desk.run(&["log"]).ok().contains(" bob signed "));
}

#[test]
fn one_who_has_both_keys_needs_nobody() {
    let desk = two();
    let both = ["--key", "ann.key", "--key", "bob.key"];
    desk.run(&[&["publish", "site", "--to", "fleet"][..], &both].concat()).ok();
    desk.run(&[&["hold"][..], &both].concat()).ok();
    assert_eq!(desk.pointer("fleet")["kind"], "hold");
    // Orders wait for the second as releases do.
    let told = desk.run(&["drain", "node/ams1", "--key", "ann.key"]).ok();
    assert!(told.contains("1 more must sign") && !desk.has("tree/as112/pointers/node/ams1"), "{told}");
    desk.run(&["publish", "--add-signature", "--key", "bob.key"]).ok();
    assert_eq!(desk.pointer("node/ams1")["drain"], 3600);
}

#[test]
fn somebody_elses_key_signs_nothing() {
    let desk = two();
    desk.keygen("eve");
    let told = desk.run(&["publish", "site", "--to", "fleet", "--key", "eve.key"]).fails(USAGE);
    assert!(told.contains("it is not a key of the fleet"), "{told}");
    assert!(!desk.has("tree/as112/pointers/fleet") && desk.run(&["log"]).ok().is_empty());
}

#[test]
fn what_nobody_of_the_fleet_has_signed_does_not_wait() {
    let desk = two();
    desk.run(&["publish", "site", "--to", "fleet", "--key", "ann.key"]).ok();
    // Whoever can write to the tree leaves something there, with a signature of their own and without.
    let line = "{\"format\":1,\"fleet\":\"as112\",\"scope\":\"node/ams1\",\"serial\":9,\"kind\":\"hold\",\
                \"by\":\"ann\",\"made_at\":\"now\"}";
    let digest = as112d::release::Digest::of(line.as_bytes());
    desk.write(&format!("tree/as112/drafts/{digest}/content"), line);
    desk.write(&format!("tree/as112/drafts/{digest}/0000000000000000.sig"), "not one");
    let told = desk.run(&["publish", "--add-signature", "--key", "bob.key"]).ok();
    assert!(told.lines().count() == 3 && !told.contains("hold"), "{told}");
    assert!(!desk.has("tree/as112/pointers/node/ams1"));
}

#[test]
fn what_waits_and_is_overtaken_does_not_take_effect() {
    let desk = two();
    desk.run(&["publish", "site", "--to", "fleet", "--key", "ann.key"]).ok();
    desk.write("site/config.toml", "# two\n");
    let both = ["--key", "ann.key", "--key", "bob.key"];
    desk.run(&[&["publish", "site", "--to", "fleet"][..], &both].concat()).ok();
    assert_eq!(desk.pointer("fleet")["release"]["number"], 2);
    desk.run(&["publish", "--add-signature", "--key", "bob.key"]).ok();
    assert_eq!(desk.pointer("fleet")["release"]["number"], 2);
}

#[test]
fn keys_change_with_those_before_and_those_after() {
    let desk = Desk::new();
    desk.publish("one", &["--to", "fleet"]);
    let bob = desk.keygen("bob");
    desk.write("site/config.toml", "# two\n");
    let publish = ["publish", "site", "--to", "fleet", "--new-keys", &bob];
    let told = desk.run(&publish).ok();
    assert!(told.contains("1 more must sign"), "{told}");
    assert_eq!(desk.pointer("fleet")["release"]["number"], 1);
    desk.run(&["publish", "--add-signature", "--key", "bob.key"]).ok();
    assert_eq!(desk.pointer("fleet")["release"]["number"], 2);
    assert!(desk.has("tree/as112/eras/0001/manifest.json") && desk.has("tree/as112/eras/0001/manifest.sig"));
    // Ann's key is of the past, though the settings still have it.
    assert!(desk.run(&["hold"]).fails(USAGE).contains("it is not a key of the fleet"));
    desk.write("site/config.toml", "# three\n");
    desk.run(&["publish", "site", "--to", "fleet", "--key", "bob.key"]).ok();
    // A rollback to before the change is Bob's, and the release is Ann's.
    desk.run(&["rollback", "1", "--key", "bob.key"]).ok();
    assert_eq!(desk.pointer("fleet")["release"]["number"], 1);
    // Settings that have the new key already mean the same.
    desk.settings(&[&bob], 1, &["bob"], "");
    let status = desk.run(&["status"]).ok();
    assert!(status.contains("fleet            want 1-"), "{status}");
    desk.run(&["hold"]).ok();
}

#[test]
fn two_who_publish_at_once_do_not_overwrite_each_other() {
    let desk = Desk::new();
    desk.publish("one", &["--to", "fleet"]);
    let works: Vec<_> = (0..6)
        .map(|at| {
            let site = format!("site{at}");
            desk.write(&format!("{site}/config.toml"), &format!("# {at}\n"));
            site
        })
        .collect();
    let codes: Vec<_> = std::thread::scope(|scope| {
        let run = |site: &String| {
            let args = ["publish", site.as_str(), "--to", "fleet"].map(str::to_owned);
            let desk = &desk;
            scope.spawn(move || desk.run(&args.each_ref().map(String::as_str)))
        };
        let threads: Vec<_> = works.iter().map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let done = codes.iter().filter(|done| done.code == 0).count();
    assert!(done >= 1, "{codes:?}");
    for other in codes.iter().filter(|done| done.code != 0) {
        let is_told = ["meanwhile", "a newer roll", "changing the fleet", "just written"]
            .iter()
            .any(|why| other.err.contains(why));
        assert!(other.code == USAGE && is_told, "{other:?}");
    }
    // Whoever came last is in the tree as a whole.
    let digest = desk.pointer("fleet")["release"]["digest"].as_str().unwrap().to_owned();
    assert!(desk.has(&format!("tree/as112/releases/{digest}/manifest.sig")));
    assert!(!desk.run(&["status"]).ok().contains("counts for nothing"));
}
