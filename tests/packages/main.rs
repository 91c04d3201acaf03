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

/// Each file of this repository that a package installs, and where: of the deb, then of the rpm.
fn assets() -> [Vec<(String, String)>; 2] {
    let manifest: toml::Table =
        fs::read_to_string(root().join("Cargo.toml")).expect("it is there").parse().expect("it is TOML");
    let metadata = &manifest["package"]["metadata"];
    let text = |value: &toml::Value| value.as_str().expect("a path").to_owned();
    let rows = |kind: &str| metadata[kind]["assets"].as_array().expect("a list").clone();
    let deb = rows("deb").iter().map(|row| (text(&row[0]), format!("/{}", text(&row[1])))).collect();
    let rpm = rows("generate-rpm").iter().map(|row| (text(&row["source"]), text(&row["dest"]))).collect();
    [deb, rpm].map(|rows: Vec<_>| rows.into_iter().flat_map(|(source, to)| expanded(&source, &to)).collect())
}

/// An asset whose source may be a pattern (`docs/*.md`) and whose destination a directory, file by file.
fn expanded(source: &str, to: &str) -> Vec<(String, String)> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let sources = match source.split_once('*') {
        None => vec![source.to_owned()],
        Some((start, end)) => {
            let directory = start.rsplit_once('/').map_or("", |(directory, _)| directory);
            let entries = fs::read_dir(root().join(directory)).expect(source);
            let names = entries.map(|entry| entry.expect("it can be read").file_name());
            let paths = names.map(|name| format!("{directory}/{}", name.to_string_lossy()));
            let paths = paths.map(|path| path.trim_start_matches('/').to_owned());
            paths.filter(|path| path.starts_with(start) && path.ends_with(end)).collect()
        }
    };
    assert!(!sources.is_empty(), "{source} matches nothing");
    let to = |source: &str| if to.ends_with('/') { format!("{to}{}", name(source)) } else { to.to_owned() };
    sources.iter().map(|source| (source.clone(), to(source))).collect()
}

/// What the unit starts is what the packages install.
#[test]
fn the_unit_starts_the_program_of_the_package() {
    let unit = fs::read_to_string(root().join("packaging/systemd/as112d.service")).expect("there is a unit");
    for assets in assets() {
        let installed =
            |source: &str| assets.iter().find(|(from, _)| from == source).expect(source).1.clone();
        let (program, config) = (installed("target/release/as112d"), installed("packaging/as112d.toml"));
        let start =
            unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("it starts something");
        assert!(start.starts_with(&format!("{program} ")), "{start} is not {program}");
        assert!(start.contains(&config), "{start} has not {config}");
    }
    let manifest: toml::Table =
        fs::read_to_string(root().join("Cargo.toml")).expect("it is there").parse().expect("it is TOML");
    let units = &manifest["package"]["metadata"]["deb"]["systemd-units"];
    for key in ["enable", "start", "restart-after-upgrade", "stop-on-upgrade"] {
        assert_eq!(units[key].as_bool(), Some(false), "{key}");
    }
}

/// Every file below a directory, by its path from the root.
fn below(directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(directory)).expect(directory) {
        let entry = entry.expect("it can be read");
        let path = format!("{directory}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(below(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// What an operator may need is in the packages.
#[test]
fn documents_examples_and_units_are_packaged() {
    let mut missing = Vec::new();
    for (kind, assets) in ["deb", "rpm"].into_iter().zip(assets()) {
        for path in ["docs", "tuning", "packaging"].into_iter().flat_map(below) {
            // What makes a package is not in it; its scripts are named elsewhere, and cargo-deb finds two
            // files by itself.
            let is_elsewhere = path == "packaging/release"
                || path.starts_with("packaging/deb/")
                || path.starts_with("packaging/rpm/")
                || (kind == "deb" && path == "packaging/systemd/as112d.service")
                || (kind == "deb" && path == "packaging/systemd/as112d.sysusers");
            if !is_elsewhere && !assets.iter().any(|(source, _)| *source == path) {
                missing.push(format!("{kind}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "give these an asset in Cargo.toml: {missing:?}");
}

/// A reader of an installed document can follow its links.
#[test]
fn links_between_installed_documents_lead_somewhere() {
    let (mut dead, mut seen) = (Vec::new(), 0);
    for assets in assets() {
        let installed: BTreeSet<&Path> = assets.iter().map(|(_, to)| Path::new(to)).collect();
        for (source, to) in assets.iter().filter(|(source, _)| source.ends_with(".md")) {
            let text = fs::read_to_string(root().join(source)).expect("documents are text");
            for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link)
            {
                let file = link.split_once('#').map_or(link, |(file, _)| file);
                if file.is_empty() || file.starts_with("http") {
                    continue;
                }
                seen += 1;
                let mut target = Path::new(to).parent().expect("it is in a directory").to_owned();
                for part in Path::new(file) {
                    if part == ".." {
                        target.pop();
                    } else {
                        target.push(part);
                    }
                }
                if !installed.iter().any(|installed| installed.starts_with(&target)) {
                    dead.push(format!("{source}: {link}"));
                }
            }
        }
    }
    assert!(seen > 40, "links are seen: {seen}");
    assert!(dead.is_empty(), "these lead out of the package:\n{}", dead.join("\n"));
}

/// The configurations that are shipped are right, and the package's is that of a node that bothers nobody.
#[test]
fn the_packaged_configuration_is_right() {
    let shown = |path: &Path| {
        let shown = ["config", "show", "--effective", "--config"];
        printed(Command::new(common::daemon::program()).args(shown).arg(path))
    };
    let of_image = shown(&root().join("packaging/container/as112d.toml"));
    assert!(of_image.contains("listen = [\"0.0.0.0:53\"]"), "{of_image}");
    let path = root().join("packaging/as112d.toml");
    let shown = shown(&path);
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
    let scripts =
        ["packaging/release", "tests/packages/installed", "packaging/deb/prerm", "packaging/deb/postrm"]
            .map(|path| root().join(path));
    match Command::new("shellcheck").args(&scripts).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(_) => skipped("shellcheck is missing (Debian package shellcheck)"),
    }
    // What rpm runs has no first line that names the shell.
    let scripts = ["post", "preun", "postun"].map(|name| root().join("packaging/rpm").join(name));
    if let Ok(output) = Command::new("shellcheck").args(["--shell", "sh"]).args(&scripts).output() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
