//! The committed modules are what their sources make.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use as112d::config::apps::hexadecimal;
use as112d::work::sandbox::module::sha256;

use crate::common::golden::{Case, Node};
use crate::common::guest::{dir, module};
use crate::common::skip::skipped;

/// Those that `guests/build` makes.
const NAMES: [&str; 5] = ["as112", "filter", "log", "mitigate", "purge"];
/// Bytes of a committed module, at most.
const MODULE_LEN_MAX: usize = 50_000;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn committed_modules_are_small_and_locked() {
    let lock = fs::read_to_string(root().join("guests/wasm.lock")).expect("it is there");
    for name in NAMES {
        let bytes = module(name);
        assert!(bytes.len() < MODULE_LEN_MAX, "{name} has {} bytes", bytes.len());
        let line = format!("{}  {name}/{name}.wasm", hexadecimal(&sha256(&bytes)));
        assert!(
            lock.lines().any(|locked| locked == line),
            "guests/wasm.lock lacks `{line}`: run guests/build"
        );
    }
}

/// With the compiler that made them the bytes are the same; with another one that makes WebAssembly what they
/// do is.
#[test]
fn guests_are_what_their_sources_make() {
    let out = tempfile::tempdir().expect("a folder");
    let output = Command::new(root().join("guests/build")).arg("--out").arg(out.path()).output();
    let output = output.expect("bash is there");
    match output.status.code() {
        Some(0) => {
            for name in NAMES {
                let made = fs::read(out.path().join(format!("{name}.wasm"))).expect("it was made");
                assert!(made == module(name), "{name}.wasm is not what its sources make: run guests/build");
            }
        }
        // Not Debian 12, or nothing can be fetched.
        Some(1 | 3) => match by_another_compiler(out.path()) {
            Some(made) => does_the_same(&fs::read(made).expect("it was made")),
            None => skipped("no compiler here makes WebAssembly"),
        },
        _ => panic!("{}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// `as112` as another compiler makes it, if one is there.
fn by_another_compiler(out: &Path) -> Option<PathBuf> {
    for target in ["wasm32v1-none", "wasm32-unknown-unknown"] {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--offline", "--locked", "--target", target]);
        let built = cargo.env("CARGO_TARGET_DIR", out).current_dir(dir("as112")).output();
        if built.is_ok_and(|output| output.status.success()) {
            return Some(out.join(target).join("release/as112.wasm"));
        }
    }
    None
}

fn does_the_same(module: &[u8]) {
    for config in ["default", "identity"] {
        let node = Node::beside(config, module);
        for case in Case::all().iter().filter(|case| case.config == config) {
            case.outcomes(&node);
        }
        assert!(node.guest.expect("it is beside").asked().0 > 0);
    }
}
