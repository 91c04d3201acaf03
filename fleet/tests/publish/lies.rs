//! A carrier that is in wrong hands, or lost what it had.

use std::fs;

use crate::desk::{Desk, USAGE};

#[test]
fn a_pointer_that_nobody_signed_counts_for_nothing() {
    let desk = Desk::new();
    desk.publish("one", &["--to", "fleet"]);
    let (line, signatures) = desk.split("tree/as112/pointers/fleet");
    desk.write(
        "tree/as112/pointers/fleet",
        &format!("{}\n{signatures}", line.replace("\"number\":1", "\"number\":9")),
    );
    let status = desk.run(&["status"]).off();
    assert!(status.contains("fleet            counts for nothing: bad-signature: "), "{status}");
    // A right one for another scope is not one for this.
    desk.write("tree/as112/pointers/fleet", &format!("{line}\n{signatures}"));
    desk.write("tree/as112/pointers/colo/ams", &format!("{line}\n{signatures}"));
    let status = desk.run(&["status"]).off();
    assert!(status.contains("colo/ams         counts for nothing: wrong-fleet: it is for fleet"), "{status}");
    // Publishing again puts it right.
    fs::remove_file(desk.path("tree/as112/pointers/colo/ams")).unwrap();
    desk.publish("two", &["--to", "fleet"]);
    desk.run(&["status"]).ok();
}

#[test]
fn an_object_that_is_something_else_is_found_before_anybody_gets_it() {
    let desk = Desk::new();
    let text = "# one\n";
    let digest = as112d::release::Digest::of(text.as_bytes());
    // As long as what it should be, so that nobody sends it again.
    desk.write(&format!("tree/as112/{}", as112d::release::layout::object(&digest)), "# two\n");
    desk.write("site/config.toml", text);
    let told = desk.run(&["publish", "site", "--to", "fleet"]).fails(USAGE);
    assert!(told.contains("the carrier has something else by that name"), "{told}");
    assert!(!desk.has("tree/as112/pointers/fleet"));
}

#[test]
fn a_tree_that_lost_its_pointers_does_not_go_back_in_time() {
    let desk = Desk::new();
    desk.publish("one", &["--to", "fleet"]);
    desk.publish("two", &["--to", "fleet"]);
    let before = desk.pointer("fleet");
    fs::remove_file(desk.path("tree/as112/pointers/fleet")).unwrap();
    fs::remove_file(desk.path("tree/as112/rolls/current")).unwrap();
    desk.publish("three", &["--to", "fleet"]);
    let now = desk.pointer("fleet");
    assert!(now["serial"].as_u64() >= before["serial"].as_u64(), "{now}");
    assert_eq!(now["release"]["number"], 3);
}

#[test]
fn a_release_that_is_not_whole_is_not_rolled_back_to() {
    let desk = Desk::new();
    let first = desk.publish("one", &["--to", "fleet"]);
    desk.publish("two", &["--to", "fleet"]);
    let digest = fs::read_dir(desk.path("tree/as112/releases"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.starts_with(first.split_once('-').unwrap().1))
        .unwrap();
    let manifest = format!("tree/as112/releases/{digest}/manifest.json");
    let good = desk.read(&manifest);
    desk.write(&manifest, &good.replace("config.toml", "config.tomm"));
    desk.run(&["rollback", "1"]).fails(USAGE);
    assert_eq!(desk.pointer("fleet")["release"]["number"], 2);
    desk.write(&manifest, &good);
    desk.run(&["rollback", "1"]).ok();
    assert_eq!(desk.pointer("fleet")["release"]["number"], 1);
}

#[test]
fn whatever_lies_in_the_tree_no_command_panics() {
    let desk = Desk::new();
    desk.publish("one", &["--to", "fleet"]);
    let junk = ["", "{}", "\n", "{\"format\":1}\nx", "\u{0}\u{1b}[2J\n", &"x".repeat(100_000)];
    for name in
        ["pointers/fleet", "pointers/node/x", "rolls/current", "status/x", "log", "releases/x/manifest.json"]
    {
        let path = format!("tree/as112/{name}");
        let good = desk.has(&path).then(|| desk.read(&path));
        for text in junk {
            desk.write(&path, text);
            for args in
                [&["status"][..], &["log"], &["promote"], &["rollback"], &["publish", "site", "--dry-run"]]
            {
                let done = desk.run(args);
                assert!(
                    (0..=2).contains(&done.code) && !done.err.contains("panicked"),
                    "{name}: {args:?}: {done:?}"
                );
                assert!(
                    !done.out.contains('\u{1b}') && !done.err.contains('\u{1b}'),
                    "{name}: {args:?}: {done:?}"
                );
            }
        }
        match good {
            Some(good) => desk.write(&path, &good),
            None => fs::remove_file(desk.path(&path)).unwrap(),
        }
    }
    desk.run(&["status"]).ok();
}
