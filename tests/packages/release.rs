//! What packaging/release refuses, and what it makes, in a repository of its own where cargo and the
//! container engines are played.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::{printed, root};

/// Builds nothing; its package has one file.
const CARGO: &str = r#"#!/bin/sh
case $1 in
    deb)
        at=$(mktemp -d)
        mkdir -p "$at/DEBIAN" "$at/usr/bin"
        printf '%s: 1\n' Version Description Maintainer >"$at/DEBIAN/control"
        printf '%s\n' 'Package: as112d' 'Architecture: all' >>"$at/DEBIAN/control"
        echo program >"$at/usr/bin/as112d"
        for to; do :; done
        dpkg-deb --build "$at" "$to/as112d.deb" >&2
        rm -r "$at"
        ;;
    generate-rpm) for to; do :; done; echo rpm >"$to/as112d.rpm" ;;
esac
"#;

/// A repository in which v1.2.3 is checked out, and beside it the programs that are played.
struct Repository(TempDir);

impl Repository {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().expect("a directory"));
        for (path, text) in [
            (
                "tree/packaging/release",
                fs::read_to_string(root().join("packaging/release")).expect("it is there"),
            ),
            ("tree/Cargo.toml", "[package]\nversion = \"1.2.3\"\n".to_owned()),
            ("tree/README.md", "as112d\n".to_owned()),
            ("tree/.gitignore", "/target\n".to_owned()),
            ("bin/cargo", CARGO.to_owned()),
            ("bin/docker", "#!/bin/sh\nexit 1\n".to_owned()),
            ("bin/podman", "#!/bin/sh\nexit 1\n".to_owned()),
        ] {
            this.write(path, &text);
        }
        this.git("init --quiet");
        this.git("add .");
        this.git("commit --quiet --message first");
        this.git("tag v1.2.3");
        this
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        fs::write(&path, text).expect("it can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }

    fn git(&self, arguments: &str) {
        let who = ["-c", "user.name=a", "-c", "user.email=a@a.invalid", "-c", "commit.gpgSign=false"];
        let mut git = Command::new("git");
        printed(git.current_dir(self.path().join("tree")).args(who).args(arguments.split(' ')));
    }

    fn release(&self, tag: &str, to: &str) -> Output {
        let path = std::env::var("PATH").expect("there is one");
        Command::new(self.path().join("tree/packaging/release"))
            .args([tag, to])
            .current_dir(self.path())
            .env("PATH", format!("{}:{path}", self.path().join("bin").display()))
            .output()
            .expect("it can be started")
    }

    #[track_caller]
    fn refuses(&self, tag: &str, to: &str, reason: &str) {
        let output = self.release(tag, to);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(reason), "{said}");
        assert!(!self.path().join(to).join("SHA256SUMS").exists());
    }
}

#[test]
fn what_is_not_the_tag_is_not_released() {
    let repository = Repository::new();
    repository.refuses("v1.2.4", "out", "v1.2.4 is not v1.2.3, the version in Cargo.toml");
    repository.git("tag --delete v1.2.3");
    repository.refuses("v1.2.3", "out", "there is no tag v1.2.3");
    repository.git("tag --annotate --message release v1.2.3");
    repository.write("tree/new", "");
    repository.refuses("v1.2.3", "out", "?? new");
    repository.git("add new");
    repository.refuses("v1.2.3", "out", "A  new");
    repository.git("commit --quiet --message second");
    repository.refuses("v1.2.3", "out", "v1.2.3 is not checked out");
    repository.git("checkout --quiet v1.2.3");
    repository.write("out/there", "");
    repository.refuses("v1.2.3", "out", "out is not empty");
}

#[test]
fn a_release_is_made_twice_with_the_same_bytes() {
    let repository = Repository::new();
    let sums = ["first", "second"].map(|to| {
        let output = repository.release("v1.2.3", to);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("left out: the image"), "{said}");
        fs::read_to_string(repository.path().join(to).join("SHA256SUMS")).expect("it is there")
    });
    assert_eq!(sums[0], sums[1]);
    let names: Vec<&str> = sums[0].lines().filter_map(|line| line.split("  ").nth(1)).collect();
    let tarball = format!("as112d-1.2.3-{}-linux.tar.gz", std::env::consts::ARCH);
    assert_eq!(names, [tarball.as_str(), "as112d.deb", "as112d.rpm"]);
    let mut tar = Command::new("tar");
    let held = printed(tar.arg("tf").arg(repository.path().join("first").join(&tarball)));
    assert!(held.contains("as112d-1.2.3/usr/bin/as112d\n"), "{held}");
    assert!(held.contains("as112d-1.2.3/README.md\n"), "{held}");
    printed(
        Command::new("sha256sum")
            .args(["--check", "SHA256SUMS"])
            .current_dir(repository.path().join("first")),
    );
}
