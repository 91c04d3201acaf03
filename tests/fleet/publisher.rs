//! Somebody who publishes, and the folder of a node as an agent leaves it: written here, byte by byte, and
//! signed with keys that minisign knows.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use as112d::release::{Digest, ReleaseName};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common;

/// Somebody who may publish.
pub struct Person {
    pub public: String,
    secret: minisign::SecretKey,
}

impl Person {
    pub fn new() -> Self {
        let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("a key");
        Self { public: pair.pk.to_base64(), secret: pair.sk }
    }

    pub fn sign(&self, bytes: &[u8]) -> String {
        minisign::sign(None, &self.secret, bytes, Some("a test"), None).expect("signed").into_string()
    }
}

/// A fleet of one node: its publisher, its file and its folder.
pub struct Fleet {
    dir: TempDir,
    pub person: Person,
}

/// A TXT record that nobody can have known before.
pub fn token() -> String {
    let mut bytes = [0_u8; 8];
    let mut random = fs::File::open("/dev/urandom").expect("there is chance");
    std::io::Read::read_exact(&mut random, &mut bytes).expect("there is chance");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts a file in the place of whatever is there, which may be a link: what that leads to is never written
/// to.
fn place(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("it has one")).expect("there is room");
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir(path).expect("it is empty"),
        Ok(_) => fs::remove_file(path).expect("it is there"),
        Err(_) => {}
    }
    fs::File::create_new(path).and_then(|mut file| file.write_all(bytes)).expect("there is room");
}

/// A zone with this token at its apex.
pub fn zone(token: &str) -> String {
    format!("$TTL 60\n@ SOA ns.example. h.example. 1 2 3 4 5\n@ NS ns.example.\n@ TXT {token}\n")
}

/// A configuration that serves `zones/fleet.example.zone`.
pub const CONFIG: &str = "[[zone]]\nname = 'fleet.example'\nfile = 'zones/fleet.example.zone'\n";

/// The files of a release that says this token.
pub fn saying(token: &str) -> Vec<(&'static str, Vec<u8>)> {
    vec![("config.toml", CONFIG.into()), ("zones/fleet.example.zone", zone(token).into())]
}

impl Fleet {
    /// The node ams1 in the colo ams; `local` is more of its own file, which begins with `[fleet]`.
    pub fn new(local: &str) -> Self {
        let fleet = Self { dir: common::folder(), person: Person::new() };
        for folder in ["fleet/releases", "fleet/pointers", "fleet/eras"] {
            fs::create_dir_all(fleet.dir.path().join(folder)).expect("there is room");
        }
        fleet.write_local(&[&fleet.person], 1, local);
        fleet
    }

    /// Writes the node's own file, with the keys of these people.
    pub fn write_local(&self, people: &[&Person], threshold: usize, local: &str) {
        let keys: Vec<String> = people.iter().map(|person| format!("'{}'", person.public)).collect();
        let text = format!(
            "[fleet]\nname = 'as112'\ncolo = 'ams'\nnode = 'ams1'\ndir = 'fleet'\nkeys = [{}]\n\
             threshold = {threshold}\n{local}",
            keys.join(", ")
        );
        fs::write(self.file(), text).expect("there is room");
    }

    pub fn file(&self) -> PathBuf {
        self.dir.path().join("as112d.toml")
    }

    /// A path in the folder of releases.
    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join("fleet").join(path)
    }

    /// A path beside it.
    pub fn beside(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// The manifest of these files.
    pub fn manifest(number: u64, files: &[(&str, Vec<u8>)]) -> Value {
        let mut files: Vec<_> = files.iter().collect();
        files.sort();
        let file = |(path, bytes): &&(&str, Vec<u8>)| {
            let parts: Vec<&str> = path.split('/').collect();
            let scope = match parts[..] {
                [kind @ ("colo" | "node"), name, ..] => format!("{kind}/{name}"),
                _ => "fleet".to_owned(),
            };
            let kind = match parts.last() {
                Some(&"config.toml") => "config",
                Some(name) if name.ends_with(".zones") => "pack",
                Some(name) if name.ends_with(".rules") => "rules",
                Some(name) if name.ends_with(".zone") => "zone",
                Some(&("app.toml" | "app.wasm")) => "app",
                _ => "map",
            };
            let sha256 = Digest::of(bytes);
            json!({ "path": path, "len": bytes.len(), "sha256": sha256, "kind": kind, "for": scope })
        };
        let files: Vec<Value> = files.iter().map(file).collect();
        json!({ "format": 1, "fleet": "as112", "number": number, "made_at": "today", "files": files })
    }

    /// Puts a release into the folder, signed by these people.
    pub fn put(&self, manifest: &Value, files: &[(&str, Vec<u8>)], people: &[&Person]) -> ReleaseName {
        let bytes = serde_json::to_vec(manifest).expect("it is JSON");
        let number = manifest["number"].as_u64().expect("a number");
        let name = ReleaseName { number, digest: Digest::of(&bytes) };
        let at = self.at(&format!("releases/{name}"));
        fs::create_dir_all(at.join("files")).expect("there is room");
        fs::write(at.join("manifest.json"), &bytes).expect("there is room");
        let signatures: String = people.iter().map(|person| person.sign(&bytes)).collect();
        fs::write(at.join("manifest.sig"), signatures).expect("there is room");
        for (path, bytes) in files {
            place(&at.join("files").join(path), bytes);
        }
        name
    }

    /// The same, as the publisher does it.
    pub fn release(&self, number: u64, files: &[(&str, Vec<u8>)]) -> ReleaseName {
        self.put(&Self::manifest(number, files), files, &[&self.person])
    }

    /// A file of a release.
    pub fn of(&self, release: &ReleaseName, path: &str) -> PathBuf {
        self.at(&format!("releases/{release}/files/{path}"))
    }

    /// Lets a link lead to a release, as an agent does it.
    pub fn link(&self, link: &str, release: &ReleaseName) {
        self.link_to(link, Path::new(&format!("releases/{release}")));
    }

    pub fn link_to(&self, link: &str, target: &Path) {
        let new = self.at("new");
        symlink(target, &new).expect("there is room");
        fs::rename(new, self.at(link)).expect("it is there");
    }

    /// Publishes a pointer of the fleet.
    pub fn point(&self, serial: u64, more: Value) {
        let line = self.pointer("fleet", serial, more);
        fs::write(self.at("pointers/fleet"), line).expect("there is room");
    }

    /// The file of a pointer.
    pub fn pointer(&self, scope: &str, serial: u64, more: Value) -> String {
        let mut pointer = json!({
            "format": 1, "fleet": "as112", "scope": scope, "serial": serial,
            "by": "a test", "made_at": "today",
        });
        let Value::Object(more) = more else { panic!("a pointer is an object") };
        pointer.as_object_mut().expect("it is one").extend(more);
        let line = pointer.to_string();
        let signature = self.person.sign(line.as_bytes());
        format!("{line}\n{signature}")
    }

    /// A pointer that wants a release.
    pub fn want(&self, serial: u64, release: &ReleaseName) {
        self.point(serial, json!({ "kind": "want", "release": release }));
    }
}
