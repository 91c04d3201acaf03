//! `as112d apps new NAME`: the beginning of an application, with the SDK that belongs to this node.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::AppsNewOptions;
use crate::config::apps::is_name;
use crate::problem::Problem;

/// Files of the SDK, by their paths.
macro_rules! sdk {
    ($($path:literal)*) => {
        &[$(($path, include_str!(concat!("../../../guests/sdk/", $path)))),*]
    };
}

/// The SDK, as it is in this source: so what is begun speaks the interface of this node, and builds without a
/// network.
const SDK: &[(&str, &str)] = sdk![
    "Cargo.lock" "Cargo.toml" "README.md" "src/abi.rs" "src/app.rs" "src/consts.rs" "src/host.rs"
    "src/json.rs"
    "src/lib.rs" "src/message.rs" "src/mock.rs" "src/name.rs" "src/orders.rs" "src/query.rs" "src/reply.rs"
    "src/runtime.rs" "src/sys/heap.rs" "src/sys/mod.rs" "src/sys/native.rs" "src/sys/wasm.rs" "src/tasks.rs"
    "src/verdict.rs"
];

/// The files of an application, in which NAME stands for its name and CRATE for that in Rust.
const FILES: [(&str, &str); 6] = [
    ("Cargo.toml", include_str!("new/Cargo.toml.txt")),
    (".cargo/config.toml", include_str!("new/config.toml.txt")),
    (".gitignore", "/target\n"),
    ("README.md", include_str!("new/README.md")),
    ("app.toml", include_str!("new/app.toml")),
    ("src/lib.rs", include_str!("new/lib.rs.txt")),
];

/// Writes a new application; what there is to do next.
///
/// # Errors
/// A name that no application can have, a directory that is there already, and what the file system says.
pub fn new(options: &AppsNewOptions) -> Result<String, Vec<Problem>> {
    let AppsNewOptions { name, parent } = options;
    is_name(name).map_err(Problem::alone)?;
    let dir = parent.as_deref().unwrap_or_else(|| Path::new("")).join(name);
    if dir.symlink_metadata().is_ok() {
        return Err(Problem::alone(format!("{} is there already; choose another name", dir.display())));
    }
    let own = FILES.iter().map(|(path, text)| (PathBuf::from(path), filled(text, name)));
    let sdk = SDK.iter().map(|(path, text)| (Path::new("sdk").join(path), (*text).to_owned()));
    for (path, text) in own.chain(sdk) {
        let path = dir.join(path);
        let write = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(&path, text)
        };
        write().map_err(|error| {
            vec![Problem {
                place: path.display().to_string(),
                message: format!("cannot be written: {error}"),
            }]
        })?;
    }
    let mut out = format!("{} is written. Next:\n", dir.display());
    for line in [
        format!("cd {}", dir.display()),
        "cargo test".to_owned(),
        "cargo build --release --target wasm32-unknown-unknown".to_owned(),
        format!("cp target/wasm32-unknown-unknown/release/{}.wasm {name}.wasm", name.replace('-', "_")),
        "as112d apps try . www.blocked.example A".to_owned(),
    ] {
        writeln!(out, "  {line}").expect("a String takes all that is written");
    }
    out += "README.md there says what a toolchain needs, and how a node gets it.\n";
    Ok(out)
}

fn filled(text: &str, name: &str) -> String {
    text.replace("CRATE", &name.replace('-', "_")).replace("NAME", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files below a directory, with what is in them.
    fn files(dir: &Path, below: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, below, found);
            } else {
                let name = path.strip_prefix(below).unwrap().display().to_string();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }

    /// A file that was added to the SDK and is not written would be missing at the first build.
    #[test]
    fn the_sdk_is_written_whole() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/sdk");
        let mut found = Vec::new();
        files(&sdk.join("src"), &sdk, &mut found);
        found.sort();
        let mut written: Vec<(String, String)> =
            SDK.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        written.retain(|(path, _)| path.starts_with("src/"));
        written.sort();
        assert_eq!(written, found);
    }

    #[test]
    fn an_application_is_begun_once_and_its_manifest_is_right() {
        let parent = tempfile::tempdir().unwrap();
        let options =
            |name: &str| AppsNewOptions { name: name.to_owned(), parent: Some(parent.path().to_owned()) };
        let told = new(&options("my-block")).unwrap();
        let dir = parent.path().join("my-block");
        assert!(told.contains("release/my_block.wasm my-block.wasm"), "{told}");
        let manifest = fs::read_to_string(dir.join("app.toml")).unwrap();
        crate::config::apps::parse(&manifest, &dir).unwrap();
        let mut written = Vec::new();
        files(&dir, &dir, &mut written);
        for (path, text) in written.iter().filter(|(path, _)| !path.starts_with("sdk/")) {
            assert!(!text.contains("NAME") && !text.contains("CRATE"), "{path}");
        }
        let again = new(&options("my-block")).unwrap_err();
        assert!(again[0].message.ends_with("is there already; choose another name"), "{again:?}");
        assert!(new(&options("My_Block")).unwrap_err()[0].message.contains("is not a name; give 1 to 32"));
    }
}
