//! Every kind of lie that can reach a node through its folder, each with a word that nobody can have known:
//! the node never says the false one.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::{Value, json};

use crate::node::Node;
use crate::publisher::{CONFIG, Fleet, saying, token, zone};

/// What somebody does to the file of a zone; they have no key.
type Lie = fn(&Path, &str);

const LIES: [(&str, &str, Lie); 11] = [
    ("a flipped bit", "wrong-hash", |path, _| {
        let mut bytes = fs::read(path).expect("it is there");
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        fs::write(path, bytes).expect("there is room");
    }),
    ("the end is missing", "short", |path, _| {
        let bytes = fs::read(path).expect("it is there");
        fs::write(path, &bytes[..bytes.len() / 2]).expect("there is room");
    }),
    ("more at the end", "long", |path, _| {
        let mut text = fs::read_to_string(path).expect("it is there");
        text.push_str("more TXT more\n");
        fs::write(path, text).expect("there is room");
    }),
    ("another file of the same length", "wrong-hash", |path, other| {
        fs::write(path, zone(other)).expect("there is room");
    }),
    ("nothing", "missing", |path, _| fs::remove_file(path).expect("it is there")),
    ("a symbolic link to what is right", "not-a-file", |path, _| {
        let right = path.with_extension("right");
        fs::rename(path, &right).expect("it is there");
        symlink(right, path).expect("there is room");
    }),
    ("a link to a file outside", "not-a-file", |path, other| {
        let outside = path.ancestors().nth(5).expect("the folder of the fleet").join("outside");
        fs::write(&outside, zone(other)).expect("there is room");
        fs::remove_file(path).expect("it is there");
        symlink(outside, path).expect("there is room");
    }),
    ("a pipe that nobody writes to", "not-a-file", |path, _| {
        fs::remove_file(path).expect("it is there");
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).expect("a pipe");
    }),
    ("a directory", "not-a-file", |path, _| {
        fs::remove_file(path).expect("it is there");
        fs::create_dir(path).expect("there is room");
    }),
    ("10 GB of nothing", "long", |path, _| {
        File::create(path).and_then(|file| file.set_len(10 << 30)).expect("a hole");
    }),
    ("a device, where one can be made", "not-a-file", |path, _| {
        fs::remove_file(path).expect("it is there");
        // /dev/zero never ends. Who is not root makes none.
        let mode = Mode::from_raw_mode(0o644);
        if mknodat(CWD, path, FileType::CharacterDevice, mode, makedev(1, 5)).is_err() {
            symlink("/dev/zero", path).expect("there is room");
        }
    }),
];

#[test]
fn no_file_is_believed() {
    let node = Node::start(Fleet::new(""));
    let mut says = token();
    node.publish(1, &says);
    for (number, (what, code, lie)) in (2..).zip(LIES) {
        let (new, other) = (token(), token());
        let name = node.fleet.release(number, &saying(&new));
        node.fleet.want(number, &name);
        let at = node.fleet.of(&name, "zones/fleet.example.zone");
        lie(&at, &other);
        node.fleet.link("current", &name);
        let problems = node.reload().expect_err(what);
        let line = format!("{}: {code}: ", at.display());
        assert!(problems.starts_with(&line), "{what}: {problems}");
        assert_eq!(node.says().as_ref(), Some(&says), "{what}");
        // What was meant comes through in the end.
        node.fleet.release(number, &saying(&new));
        node.reload().unwrap_or_else(|problems| panic!("{what}: {problems}"));
        assert_eq!(node.says().as_ref(), Some(&new), "{what}");
        says = new;
    }
}

/// A manifest that is signed, and yet says what no manifest may: whoever has the key may be mistaken.
#[test]
fn no_manifest_leads_outside_or_is_without_end() {
    let node = Node::start(Fleet::new(""));
    let says = token();
    node.publish(1, &says);
    let files = saying(&token());
    let with_file = |path: &str| {
        let mut manifest = Fleet::manifest(2, &files);
        let mut file = manifest["files"][0].clone();
        file["path"] = path.into();
        file["kind"] = "zone".into();
        manifest["files"].as_array_mut().expect("a list").push(file);
        manifest
    };
    let many = |count: usize| {
        let mut manifest = Fleet::manifest(2, &files);
        let of = manifest["files"][1].clone();
        let file = |number: usize| {
            let mut file = of.clone();
            file["path"] = format!("zz/{number:07}").into();
            file
        };
        manifest["files"] = (0..count).map(file).collect();
        manifest
    };
    let long = |len: u64| {
        let mut manifest = Fleet::manifest(2, &files);
        manifest["files"][1]["len"] = len.into();
        manifest
    };
    let lies: [(Value, &str); 8] = [
        (with_file("../../etc/passwd"), "manifest.json: unknown-format: not a manifest: "),
        (with_file("/etc/passwd"), "manifest.json: unknown-format: not a manifest: "),
        (with_file("zones/.hidden"), "manifest.json: unknown-format: not a manifest: "),
        (with_file("zones/fleet.example.zone"), "manifest.json: bad-path: "),
        (with_file("zones/fleet.example.zone/x"), "manifest.json: bad-path: "),
        (many(20_000), "manifest.json: too-many: 20000 files"),
        (many(80_000), "manifest.json: too-large: it has more than the 8388608 bytes"),
        (long(10 << 30), "manifest.json: too-large: it has 10737418240 bytes"),
    ];
    for (manifest, words) in lies {
        let name = node.fleet.put(&manifest, &files, &[&node.fleet.person]);
        node.fleet.want(2, &name);
        node.fleet.link("current", &name);
        let problems = node.reload().expect_err(words);
        let words = words.trim_start_matches("manifest.json: ");
        assert!(problems.contains("/manifest.json") || problems.contains("zone: "), "{problems}");
        assert!(problems.contains(words), "{words}: {problems}");
        assert_eq!(node.says().as_ref(), Some(&says));
        // A pointer that was seen stays seen: the next one is another.
        fs::remove_file(node.fleet.at("pointers/fleet")).expect("it is there");
    }
}

/// A right manifest with the files of two zones in each other's place.
#[test]
fn files_are_not_swapped() {
    let node = Node::start(Fleet::new(""));
    let says = token();
    node.publish(1, &says);
    let (one, two) = (token(), token());
    let config = format!("{CONFIG}[[zone]]\nname = 'other.example'\nfile = 'zones/other.zone'\n");
    let files = vec![
        ("config.toml", config.into_bytes()),
        ("zones/fleet.example.zone", zone(&one).into_bytes()),
        ("zones/other.zone", zone(&two).into_bytes()),
    ];
    let name = node.fleet.release(2, &files);
    node.fleet.want(2, &name);
    node.fleet.link("current", &name);
    let [a, b] = ["zones/fleet.example.zone", "zones/other.zone"].map(|path| node.fleet.of(&name, path));
    fs::rename(&a, node.fleet.at("x")).expect("it is there");
    fs::rename(&b, &a).expect("it is there");
    fs::rename(node.fleet.at("x"), &b).expect("it is there");
    let problems = node.reload().expect_err("they are swapped");
    assert_eq!(problems.matches(": wrong-hash: ").count(), 2, "{problems}");
    assert_eq!(node.says(), Some(says));
    node.fleet.release(2, &files);
    node.reload().expect("they are right");
    assert_eq!((node.says(), node.text("other.example")), (Some(one), Some(two)));
}

/// The pointer of somebody who has the key and no idea: it is refused as a whole.
#[test]
fn no_pointer_is_believed_that_says_nonsense() {
    let node = Node::start(Fleet::new(""));
    let says = token();
    let name = node.publish(1, &says);
    for more in [
        json!({ "kind": "want" }),
        json!({ "kind": "hold", "release": name }),
        json!({ "kind": "want", "release": name, "share": 0 }),
        json!({ "kind": "want", "release": name, "share": 50 }),
        json!({ "kind": "want", "release": name, "serial": 0 }),
        json!({ "kind": "want", "release": name, "more": 1 }),
        json!({ "kind": "want", "release": name, "by": "a\u{202e}b" }),
    ] {
        node.fleet.point(2, more.clone());
        let problems = node.reload().expect_err("it is nonsense");
        assert!(problems.contains("/pointers/fleet: "), "{more}: {problems}");
        assert_eq!(node.says().as_ref(), Some(&says));
    }
}
