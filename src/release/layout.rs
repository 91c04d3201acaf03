//! Where things lie: in the directory of a node, and in the tree of a source. Paths are relative, with
//! slashes, and the same in a directory, below a URL and as keys of a store.

use super::digest::Digest;
use super::manifest::ReleaseName;
use super::scope::Scope;

/// Files by what they hash to.
pub const OBJECTS: &str = "objects";
/// Releases: of a node with their files, of a source without.
pub const RELEASES: &str = "releases";
/// Of a node: a link to the release that it should serve.
pub const CURRENT: &str = "current";
/// Of a node: a link to the last release that has proved itself.
pub const GOOD: &str = "good";
/// Of a node: the highest number that it has taken.
pub const FLOOR: &str = "floor";
/// The pointers.
pub const POINTERS: &str = "pointers";
/// The releases that changed the keys, in their order.
pub const ERAS: &str = "eras";
/// What has happened, in lines of JSON.
pub const LOG: &str = "log";
/// Of a node: what is not complete.
pub const TMP: &str = "tmp";
/// In the directory of a release: its manifest.
pub const MANIFEST: &str = "manifest.json";
/// In the directory of a release: the signatures over its manifest.
pub const SIGNATURES: &str = "manifest.sig";
/// In the directory of a release of a node: its files, as links to objects.
pub const FILES: &str = "files";
/// Of a source: the roll-out that is under way.
pub const ROLL: &str = "rolls/current";

/// Where the object with this hash lies.
#[must_use]
pub fn object(digest: &Digest) -> String {
    let text = digest.to_string();
    format!("{OBJECTS}/{}/{text}", &text[..2])
}

/// Where a node keeps a release.
#[must_use]
pub fn release(name: &ReleaseName) -> String {
    format!("{RELEASES}/{name}")
}

/// Where a node keeps the pointer of a scope: it has one of each kind.
#[must_use]
pub fn pointer(scope: &Scope) -> String {
    let kind = match scope {
        Scope::Fleet => "fleet",
        Scope::Colo(_) => "colo",
        Scope::Node(_) => "node",
    };
    format!("{POINTERS}/{kind}")
}

/// Where the change of keys of this number lies, counted from 1.
#[must_use]
pub fn era(number: usize) -> String {
    format!("{ERAS}/{number:04}")
}

/// Where a source has the pointer of a scope, below what it has of the fleet.
#[must_use]
pub fn source_pointer(scope: &Scope) -> String {
    format!("{POINTERS}/{scope}")
}

/// Where a source has a release, below what it has of the fleet.
#[must_use]
pub fn source_release(digest: &Digest) -> String {
    format!("{RELEASES}/{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_documented() {
        let digest = Digest::of(b"abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(object(&digest), format!("objects/ba/{hex}"));
        assert_eq!(release(&ReleaseName { number: 41, digest }), "releases/41-ba7816bf");
        let scope: Scope = "colo/ams".parse().unwrap();
        assert_eq!(
            (pointer(&scope), pointer(&Scope::Fleet)),
            ("pointers/colo".into(), "pointers/fleet".into())
        );
        assert_eq!(source_pointer(&scope), "pointers/colo/ams");
        assert_eq!(source_release(&digest), format!("releases/{hex}"));
        assert_eq!(era(7), "eras/0007");
    }
}
