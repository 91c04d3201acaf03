//! What is made from the code and kept beside it: man pages, completions, the references of the configuration
//! and of the metrics. Each must be what the code makes of it now; `UPDATE=1 cargo test --test drift` writes
//! them.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/echo.rs"]
mod echo;

mod apps;
mod commands;
mod configuration;
mod man;
mod metrics;
mod pages;
mod rules;

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// That the file is so; with `UPDATE` in the environment, makes it so.
fn check(path: &str, made: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().expect("it is below the root")).expect("a folder");
        fs::write(&file, made).expect("written");
        return;
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let line = made.lines().zip(kept.lines()).position(|(made, kept)| made != kept);
    let line = line.unwrap_or_else(|| made.lines().count().min(kept.lines().count()));
    assert!(
        kept == made,
        "{path}:{} is not what the code makes of it; run `UPDATE=1 cargo test --test drift` and look at the \
         difference. The code says:\n{}",
        line + 1,
        made.lines().nth(line).unwrap_or("(nothing more)")
    );
}

/// That the folder holds these files and no others, which nothing would update.
fn check_folder(path: &str, files: &[(String, String)]) {
    let kept: Vec<PathBuf> = fs::read_dir(root().join(path))
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("a folder that can be read").path())
        .filter(|path| !files.iter().any(|(name, _)| path.ends_with(name)))
        .collect();
    for (name, text) in files {
        check(&format!("{path}/{name}"), text);
    }
    if std::env::var_os("UPDATE").is_some() {
        kept.iter().for_each(|path| fs::remove_file(path).expect("removed"));
        return;
    }
    assert!(kept.is_empty(), "these are made by nothing: {kept:?}");
}
