//! Somebody else writes to the folder of releases, as the agent's user: the node refuses, answers as
//! before, and names what is wrong.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::node::Node;
use crate::publisher::{Fleet, Person, saying, token};

/// A node that serves its second release; the first one is still there, and is the good one.
fn serving() -> (Node, String, [as112d::release::ReleaseName; 2]) {
    let node = Node::start(Fleet::new(""));
    let (one, two) = (token(), token());
    let first = node.publish(1, &one);
    node.fleet.link("good", &first);
    let second = node.publish(2, &two);
    (node, two, [first, second])
}

/// The node refuses to read what is there, says why, and answers as before.
fn refuses(node: &Node, says: &str, words: &str) {
    let problems = node.reload().expect_err(words);
    assert!(problems.contains(words), "{problems}");
    assert_eq!(node.says().as_deref(), Some(says));
    let told = node.release();
    assert_eq!((&told["state"], &told["number"]), (&json!("current"), &json!(2)));
    assert!(told["problems"].to_string().contains(words), "{told}");
}

#[test]
fn a_release_that_nobody_signed_or_somebody_else() {
    let (node, two, [_, second]) = serving();
    let (three, other) = (token(), Person::new());
    let files = saying(&three);
    let manifest = Fleet::manifest(3, &files);
    for (people, words) in [
        (&[][..], "manifest.json: too-few-signatures"),
        (&[&other][..], "manifest.json: too-few-signatures: signed by 0"),
    ] {
        let name = node.fleet.put(&manifest, &files, people);
        node.fleet.link("current", &name);
        refuses(&node, &two, words);
    }
    // Its signature is of another file.
    let name = node.fleet.put(&manifest, &files, &[]);
    let [from, to] = [&second, &name].map(|name| node.fleet.at(&format!("releases/{name}/manifest.sig")));
    fs::copy(from, &to).expect("it is there");
    refuses(&node, &two, "manifest.json: bad-signature");
    fs::remove_file(to).expect("it is there");
    refuses(&node, &two, "manifest.sig: too-few-signatures: there are no signatures");
    // Even with a pointer that somebody has made up.
    let line = node.fleet.pointer("fleet", 3, json!({ "kind": "want", "release": name }));
    let (line, _) = line.split_once('\n').expect("two parts");
    let forged = format!("{line}\n{}", other.sign(line.as_bytes()));
    fs::write(node.fleet.at("pointers/fleet"), forged).expect("there is room");
    let name = node.fleet.put(&manifest, &files, &[&node.fleet.person]);
    node.fleet.link("current", &name);
    refuses(&node, &two, "pointers/fleet: too-few-signatures");
    // Signed it is, but nobody has published it.
    node.fleet.want(2, &second);
    refuses(&node, &two, "fleet/current: not-allowed: it is 3-");
    node.fleet.want(3, &name);
    node.reload().expect("now it is wanted");
    assert_eq!(node.says(), Some(three));
}

#[test]
fn an_edited_file_in_the_current_release() {
    let (node, two, [_, second]) = serving();
    let at = node.fleet.of(&second, "zones/fleet.example.zone");
    let text = fs::read_to_string(&at).expect("it is there");
    fs::write(&at, text.replace(&two, &token())).expect("there is room");
    refuses(&node, &two, "zones/fleet.example.zone: wrong-hash: ");
    // After a restart it is still there: the node takes the last good release, and then none.
    let node = node.restarted();
    let told = node.release();
    assert_eq!((&told["state"], &told["number"]), (&json!("good"), &json!(1)));
    assert!(node.says().is_some_and(|says| says != two));
    let line = "release: the current one is refused; serving 1-";
    assert!(node.daemon.announcement.iter().any(|said| said.contains(line)));
    assert!(told["problems"].to_string().contains("fleet.example.zone: wrong-hash"), "{told}");
    let good = node.fleet.at("good");
    let target = fs::read_link(&good).expect("a link");
    fs::write(node.fleet.at("").join(target).join("files/config.toml"), "").expect("there is room");
    let node = node.restarted();
    let told = node.release();
    assert_eq!((&told["state"], &told["number"]), (&json!("fallback"), &json!(null)));
    assert_eq!(node.says(), None);
    assert_eq!(
        node.daemon.ask_udp(crate::common::daemon::V4, &crate::common::query("10.in-addr.arpa", 6))[7],
        1
    );
    assert!(node.daemon.announcement.iter().any(|said| said.contains("release: none can be used")));
    // Put right again, a reload takes it.
    fs::write(node.fleet.of(&second, "zones/fleet.example.zone"), text).expect("there is room");
    node.reload().expect("it is right");
    assert_eq!(node.says(), Some(two));
}

#[test]
fn another_release_an_older_one_and_a_pointer_of_yesterday() {
    let (node, two, [first, second]) = serving();
    let yesterday = node.fleet.pointer("fleet", 1, json!({ "kind": "want", "release": first }));
    node.fleet.link("current", &first);
    refuses(&node, &two, "fleet/current: older: it is 1-");
    fs::write(node.fleet.at("pointers/fleet"), yesterday).expect("there is room");
    refuses(&node, &two, "pointers/fleet: older: serial 1");
    fs::remove_dir_all(node.fleet.at("pointers")).expect("it is there");
    refuses(&node, &two, "fleet/current: older: it is 1-");
    fs::remove_file(node.fleet.at("current")).expect("it is there");
    refuses(&node, &two, "fleet/current: missing");
    symlink("/etc", node.fleet.at("current")).expect("there is room");
    refuses(&node, &two, "fleet/current: bad-path");
    // A whole folder of somebody else's.
    let other = Fleet::new("");
    other.link("current", &other.release(9, &saying(&token())));
    fs::rename(node.fleet.at(""), node.fleet.beside("old")).expect("it is there");
    symlink(other.at(""), node.fleet.at("").to_str().expect("a path").trim_end_matches('/'))
        .expect("there is room");
    node.reload().expect_err("nobody has signed that");
    assert_eq!(node.says().as_deref(), Some(&*two));
    let _ = second;
}

/// It forgets what was wrong when all is right again.
#[test]
fn a_release_put_right_is_taken() {
    let (node, two, [_, second]) = serving();
    let at = node.fleet.of(&second, "config.toml");
    let text = fs::read(&at).expect("it is there");
    fs::write(&at, "[zones]\ndirect = false\n").expect("there is room");
    refuses(&node, &two, "files/config.toml: short: ");
    fs::write(&at, text).expect("there is room");
    node.reload().expect("it is right");
    assert_eq!(node.release()["problems"], json!([]));
}
