//! Keys, and what minisign says to what they sign.

use std::os::unix::fs::PermissionsExt as _;

use crate::desk::{Desk, USAGE, has_minisign};
use crate::skip::skipped;

#[test]
fn a_key_is_a_secret_and_a_public_file() {
    let desk = Desk::bare();
    let key = desk.keygen("ann");
    let mode = |name: &str| desk.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("ann.key"), mode("ann.pub")), (0o600, 0o644));
    assert!(desk.read("ann.pub").lines().nth(1) == Some(&key) && key.starts_with("RW"));
    // A key that is there is not written over.
    let secret = desk.read("ann.key");
    let told = desk.run(&["keygen", "ann", "--no-password"]).fails(1);
    assert!(told.contains("ann.key: ") && told.contains("name another one"), "{told}");
    assert_eq!(desk.read("ann.key"), secret);
    // Nobody is asked for a password where there is nobody.
    let told = desk.run(&["keygen", "bob"]).fails(USAGE);
    assert!(told.contains("--password-file or --no-password") && !desk.has("bob.key"), "{told}");
}

#[test]
fn the_key_of_a_node_is_one_of_nats() {
    let desk = Desk::bare();
    let told = desk.run(&["keygen", "ams1", "--node"]).ok();
    let seed = desk.read("ams1.nk");
    let pair = nkeys::KeyPair::from_seed(seed.trim()).unwrap();
    assert!(told.contains(&format!("nkey: {}", pair.public_key())), "{told}");
    assert!(pair.public_key().starts_with('U'));
    assert_eq!(desk.path("ams1.nk").metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn minisign_checks_what_is_published() {
    if !has_minisign() {
        return skipped("there is no minisign here");
    }
    let desk = Desk::new();
    desk.publish("one", &["--to", "fleet"]);
    let digest = desk.pointer("fleet")["release"]["digest"].as_str().unwrap().to_owned();
    let manifest = format!("tree/as112/releases/{digest}/manifest.json");
    let signature = format!("tree/as112/releases/{digest}/manifest.sig");
    let check = |file: &str, signature: &str| {
        desk.other("minisign", &["-V", "-p", "ann.pub", "-m", file, "-x", signature])
    };
    assert!(check(&manifest, &signature));
    for name in ["tree/as112/pointers/fleet", "tree/as112/rolls/current"] {
        let (line, _) = desk.split(name);
        assert!(check("line", "line.minisig"), "{name}");
        desk.write("line", &line.replace("as112", "as113"));
        assert!(!check("line", "line.minisig"), "{name}");
    }
}

#[test]
fn minisign_signs_what_is_published() {
    if !has_minisign() {
        return skipped("there is no minisign here");
    }
    let desk = Desk::bare();
    assert!(desk.other("minisign", &["-G", "-W", "-p", "bob.pub", "-s", "bob.key"]));
    let key = desk.read("bob.pub").lines().nth(1).unwrap().to_owned();
    desk.settings(&[&key], 1, &[], "");
    desk.write("site/config.toml", "");
    let publish = ["publish", "site", "--to", "fleet"];
    assert!(desk.run(&publish).fails(USAGE).contains("who signs?"));
    // As a command, and as a file that minisign made.
    desk.run(&[&publish[..], &["--sign-with", "minisign -S -s bob.key -m"]].concat()).ok();
    desk.run(&["hold", "--key", "bob.key"]).ok();
    assert_eq!(desk.pointer("fleet")["kind"], "hold");
    desk.run(&["promote", "all", "--sign-with", "false"]).fails(USAGE);
    assert_eq!(desk.pointer("fleet")["kind"], "hold");
}

#[test]
fn a_key_with_a_password_signs() {
    let desk = Desk::bare();
    desk.write("password", "sesame\n");
    let told = desk.run(&["keygen", "ann", "--password-file", "password", "--json"]).json();
    desk.settings(&[told["key"].as_str().unwrap()], 1, &["ann"], "");
    desk.write("site/config.toml", "");
    let publish = ["publish", "site", "--to", "fleet"];
    let told = desk.run(&publish).fails(USAGE);
    assert!(told.contains("ann.key: has a password") && told.contains("--key-password-file"), "{told}");
    desk.write("wrong", "simsim\n");
    let told = desk.run(&[&publish[..], &["--key-password-file", "wrong"]].concat()).fails(USAGE);
    assert!(told.contains("Wrong password"), "{told}");
    assert!(!desk.has("tree/as112/pointers/fleet"));
    desk.run(&[&publish[..], &["--key-password-file", "password"]].concat()).ok();
}
