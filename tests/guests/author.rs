//! What the author's page says can be done as it says.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The code of the page: each block of Rust, and what stands before it.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once("```rust\n") {
        let (block, after) = after.split_once("```").expect("a block ends");
        blocks.push(block.to_owned());
        rest = after;
    }
    blocks
}

/// Each block is a whole source file, and its tests pass.
#[test]
fn the_code_of_the_page_builds_and_its_tests_pass() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/apps-authors.md")).expect("the page is there");
    let blocks = blocks(&page);
    assert!(blocks.len() >= 4, "{}", blocks.len());
    let sdk = root.join("guests/sdk");
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("target");
    for (number, block) in blocks.iter().enumerate() {
        let dir = folder.path().join(format!("block{number}"));
        fs::create_dir_all(dir.join("src")).expect("written");
        let manifest = format!(
            "[package]\nname = \"block{number}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\
             [dependencies]\nas112-guest = {{ path = {sdk:?} }}\n[workspace]\n"
        );
        fs::write(dir.join("Cargo.toml"), manifest).expect("written");
        fs::write(dir.join("src/lib.rs"), block).expect("written");
        let mut cargo = Command::new("cargo");
        cargo.args(["test", "--offline", "--lib"]).env("CARGO_TARGET_DIR", &target).current_dir(&dir);
        let output =
            cargo.env_remove("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER").output().expect("cargo");
        assert!(output.status.success(), "block {number}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
