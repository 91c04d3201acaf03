//! Releases that are signed with real keys, and what becomes of them when somebody else has a hand in it.

mod damage;
mod eras;
mod keys;
mod manifests;
mod pointers;

use super::*;

/// Somebody who may publish.
struct Person {
    public: PublicKey,
    secret: minisign::SecretKey,
}

impl Person {
    fn new() -> Self {
        let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        Self { public: pair.pk.to_base64().parse().unwrap(), secret: pair.sk }
    }

    fn sign(&self, bytes: &[u8]) -> String {
        minisign::sign(None, &self.secret, bytes, Some("of a test"), None).unwrap().into_string()
    }
}

/// The signatures of some people, one after the other.
fn signed(bytes: &[u8], people: &[&Person]) -> String {
    people.iter().map(|person| person.sign(bytes)).collect()
}

fn keys(threshold: u8, people: &[&Person]) -> Keys {
    Keys::new(threshold, people.iter().map(|person| person.public.clone()).collect()).unwrap()
}

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn file(path: &str, contents: &[u8]) -> File {
    let path: RelPath = path.parse().unwrap();
    let scope = path.scope().unwrap();
    let kind = match path.parts().last() {
        Some(manifest::CONFIG) => manifest::Kind::Config,
        _ => manifest::Kind::Zone,
    };
    File { len: contents.len() as u64, sha256: Digest::of(contents), kind, scope, path }
}

fn manifest(number: u64) -> Manifest {
    Manifest {
        format: manifest::FORMAT,
        fleet: label("as112"),
        number,
        previous: None,
        made_at: Words::new("2026-11-30T12:00:00Z").unwrap(),
        min_version: None,
        keys: None,
        files: vec![
            file("colo/ams/config.toml", b"c"),
            file("config.toml", b"a"),
            file("node/ams1/config.toml", b"d"),
            file("zones/10.in-addr.arpa.zone", b"b"),
        ],
    }
}

fn pointer(scope: &str, serial: u64, release: Option<ReleaseName>) -> Pointer {
    Pointer {
        format: manifest::FORMAT,
        fleet: label("as112"),
        scope: scope.parse().unwrap(),
        serial,
        kind: if release.is_some() { pointer::Kind::Want } else { pointer::Kind::Hold },
        release,
        share: 100,
        otherwise: None,
        bake: None,
        drain: None,
        reason: None,
        by: Words::new("ann").unwrap(),
        made_at: Words::new("2026-11-30T12:00:00Z").unwrap(),
    }
}

fn name(number: u64) -> ReleaseName {
    ReleaseName { number, digest: Digest::of(&number.to_be_bytes()) }
}

/// The file of a pointer, signed.
fn file_of(pointer: &Pointer, people: &[&Person]) -> Vec<u8> {
    let line = pointer.to_line();
    let signatures = signed(line.as_bytes(), people);
    SignedLine { line: &line, signatures: &signatures }.to_file().into_bytes()
}

fn who() -> Who {
    Who { fleet: label("as112"), colo: Some(label("ams")), node: label("ams1") }
}
