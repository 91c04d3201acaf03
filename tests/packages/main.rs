//! The packages: built by the tools that build them for real, of the program as it is shipped, then
//! installed, used and removed in a copy of this host.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/fault.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod fault;
mod release;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fault::{may, skipped};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A tool that tests/run installs, or one of this host.
fn tool(name: &str) -> Command {
    let installed = root().join("target/tools/bin").join(name);
    let mut command = if installed.exists() { Command::new(installed) } else { Command::new(name) };
    command.current_dir(root());
    command
}

/// What a command prints, on both; it must succeed.
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}:\n{out}{err}");
    out + &err
}

/// The package of each tool, of the release build: `cargo build --release` makes it, as tests/run does.
fn package(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    assert!(root().join("target/release/as112d").exists(), "run `cargo build --release` first");
    let mut command = if name.ends_with(".deb") {
        let mut command = tool("cargo-deb");
        command.args(["--no-build", "--fast", "--profile", "release"]);
        command
    } else {
        let mut command = tool("cargo-generate-rpm");
        // What is packed well takes a tool that was built in debug minutes.
        command.args(["--payload-compress", "none"]);
        command
    };
    printed(command.arg("-o").arg(&path));
    path
}

fn installed_and_removed(name: &str) {
    if !may("install a package in a copy of this host") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let package = package(folder.path(), name);
    let said = printed(Command::new(root().join("tests/packages/installed")).arg(&package));
    assert!(said.contains("step: all done"), "{said}");
}

#[test]
#[ignore = "needs cargo-deb and the release build: tests/run"]
fn a_deb_is_installed_used_and_removed() {
    installed_and_removed("as112d.deb");
}

#[test]
#[ignore = "needs cargo-generate-rpm, rpm and the release build: tests/run"]
fn an_rpm_is_installed_used_and_removed() {
    installed_and_removed("as112d.rpm");
}

/// Where the distributions differ: pages are packed or not, zsh looks elsewhere, and one has a file on
/// copyright.
fn common_name(path: &str) -> Option<String> {
    let path = path.trim_start_matches('.').replace("zsh/site-functions", "zsh/vendor-completions");
    let path = path.trim_end_matches(".gz");
    (!path.ends_with('/') && !path.ends_with("/copyright")).then(|| path.to_owned())
}

#[test]
#[ignore = "needs both tools and the release build: tests/run"]
fn both_packages_hold_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let deb = printed(Command::new("dpkg-deb").arg("--contents").arg(package(folder.path(), "as112d.deb")));
    let rpm = printed(Command::new("rpm").args(["-qpl"]).arg(package(folder.path(), "as112d.rpm")));
    let of_deb = deb.lines().filter_map(|line| common_name(line.split_whitespace().nth(5)?));
    let of_rpm = rpm.lines().filter_map(common_name);
    let (deb, rpm): (BTreeSet<String>, BTreeSet<String>) = (of_deb.collect(), of_rpm.collect());
    assert!(deb.len() > 20, "{deb:?}");
    let differ: Vec<_> = deb.symmetric_difference(&rpm).collect();
    assert!(differ.is_empty(), "in one alone: {differ:?}");
}

/// What the unit starts is what the packages install.
#[test]
fn the_unit_starts_the_program_of_the_package() {
    let unit = fs::read_to_string(root().join("tuning/as112d.service")).expect("there is a unit");
    let manifest: toml::Table =
        fs::read_to_string(root().join("Cargo.toml")).expect("it is there").parse().expect("it is TOML");
    let metadata = &manifest["package"]["metadata"];
    let assets = metadata["deb"]["assets"].as_array().expect("a list");
    let installed = |source: &str| {
        let asset = assets.iter().find(|asset| asset[0].as_str() == Some(source)).expect(source);
        let to = asset[1].as_str().expect("a path");
        let name = if to.ends_with('/') { source.rsplit('/').next().unwrap_or_default() } else { "" };
        format!("/{to}{name}")
    };
    let (program, config) = (installed("target/release/as112d"), installed("tuning/packages/as112d.toml"));
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("it starts something");
    assert!(start.starts_with(&format!("{program} ")), "{start} is not {program}");
    assert!(start.contains(&config), "{start} has not {config}");
    let units = &metadata["deb"]["systemd-units"];
    for key in ["enable", "start", "restart-after-upgrade", "stop-on-upgrade"] {
        assert_eq!(units[key].as_bool(), Some(false), "{key}");
    }
}

/// What an operator may need is in the packages: everything in tuning/, in its place or among the documents.
#[test]
fn all_of_tuning_is_packaged() {
    let manifest: toml::Table =
        fs::read_to_string(root().join("Cargo.toml")).expect("it is there").parse().expect("it is TOML");
    let metadata = &manifest["package"]["metadata"];
    let sources = |assets: &toml::Value, key: Option<&str>| -> Vec<String> {
        let source = |asset: &toml::Value| key.map_or_else(|| asset[0].clone(), |key| asset[key].clone());
        let all = assets.as_array().expect("a list").iter().map(source);
        all.map(|source| source.as_str().expect("a path").to_owned()).collect()
    };
    let deb = sources(&metadata["deb"]["assets"], None);
    let rpm = sources(&metadata["generate-rpm"]["assets"], Some("source"));
    let mut missing = Vec::new();
    for entry in fs::read_dir(root().join("tuning")).expect("it is there") {
        let path = entry.expect("it can be read").path();
        let name = path.file_name().expect("it has one").to_string_lossy().into_owned();
        let is_packaged = |sources: &[String]| {
            let by_itself = format!("tuning/{name}");
            let within = format!("tuning/{name}/");
            sources.iter().any(|source| {
                *source == by_itself
                    || source.starts_with(&within)
                    || source == "tuning/*.md" && name.ends_with(".md")
            })
        };
        // cargo-deb finds units by itself.
        if !(name.ends_with(".service") || is_packaged(&deb)) || !is_packaged(&rpm) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "give these an asset in Cargo.toml, for deb and rpm: {missing:?}");
}

/// The configuration that is installed is right, and that of a node which bothers nobody.
#[test]
fn the_packaged_configuration_is_right() {
    let path = root().join("tuning/packages/as112d.toml");
    let shown = printed(
        Command::new(common::daemon::program())
            .args(["config", "show", "--effective", "--config"])
            .arg(&path),
    );
    assert!(shown.contains("listen = [\"127.0.0.1:5300\""), "{shown}");
    // With every line of it in use as well.
    let text = fs::read_to_string(&path).expect("it is there");
    let used: Vec<&str> = text
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|key| key.contains(" = ")).unwrap_or(line))
        .collect();
    let file = fault::config(&used.join("\n"));
    let shown = printed(
        Command::new(common::daemon::program()).args(["config", "show", "--config"]).arg(file.path()),
    );
    assert!(shown.contains("192.175.48.1:53") || shown.contains("listen = [\"as112\"]"), "{shown}");
}

#[test]
fn shellcheck_finds_nothing() {
    let scripts = ["packaging/release", "tests/packages/installed", "tuning/packages/deb/postrm"]
        .map(|path| root().join(path));
    match Command::new("shellcheck").args(&scripts).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(_) => skipped("shellcheck is missing (Debian package shellcheck)"),
    }
    // What rpm runs has no first line that names the shell.
    let scripts = ["post", "preun", "postun"].map(|name| root().join("tuning/packages/rpm").join(name));
    if let Ok(output) = Command::new("shellcheck").args(["--shell", "sh"]).args(&scripts).output() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
