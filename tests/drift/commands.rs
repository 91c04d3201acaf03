//! Completions, from the tree of the command line.

use std::process::Command;

use as112d::cli::Cli;
use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use crate::common::skip::skipped;

const NAME: &str = "as112d";

/// The file of each shell's completions, as that shell looks for it.
const SHELLS: [(Shell, &str); 3] =
    [(Shell::Bash, "as112d"), (Shell::Zsh, "_as112d"), (Shell::Fish, "as112d.fish")];

fn completions() -> Vec<(String, String)> {
    let made = |(shell, name): (Shell, &str)| {
        let mut text = Vec::new();
        generate(shell, &mut Cli::command(), NAME, &mut text);
        (name.to_owned(), String::from_utf8(text).expect("scripts are text"))
    };
    SHELLS.map(made).into()
}

#[test]
fn completions_are_those_of_the_command_line() {
    super::check_folder("packaging/completions", &completions());
}

/// The completions of each shell in a folder of their own: those of the project may be written meanwhile.
fn completions_in(folder: &std::path::Path) {
    for (name, text) in completions() {
        std::fs::write(folder.join(name), text).expect("written");
    }
}

#[test]
fn shells_take_the_completions() {
    let folder = tempfile::tempdir().expect("a folder");
    completions_in(folder.path());
    for ((shell, name), checking) in
        SHELLS.into_iter().zip([vec!["bash", "-n"], vec!["zsh", "-n"], vec!["fish", "--no-execute"]])
    {
        let path = folder.path().join(name);
        match Command::new(checking[0]).arg(checking[1]).arg(&path).output() {
            Ok(output) => {
                assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
            }
            Err(_) => skipped(&format!("{} is missing", checking[0])),
        }
    }
}

/// Bash completes the commands and options that there are.
#[test]
fn bash_completes() {
    let folder = tempfile::tempdir().expect("a folder");
    completions_in(folder.path());
    let path = folder.path().join("as112d");
    let complete = |words: &str| {
        let script = format!(
            "source '{}'; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _as112d as112d \"${{COMP_WORDS[COMP_CWORD]}}\" ''; echo \"${{COMPREPLY[*]}}\"",
            path.display()
        );
        let output = Command::new("bash").args(["--norc", "-c", &script]).output().expect("bash runs");
        String::from_utf8(output.stdout).expect("it is text")
    };
    assert_eq!(complete("as112d doc"), "doctor\n");
    assert!(complete("as112d config show --e").contains("--effective"));
}
