//! The second program as a black box: what its exit codes say.

use std::fs;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_as112d-fleet")).args(arguments).output().expect("it runs")
}

#[test]
fn each_command_has_its_help() {
    let help = run(&["help"]);
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).expect("text");
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter(|line| line.as_bytes().get(2).is_some_and(u8::is_ascii_alphabetic))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for name in ["agent", "check", "fetch", "keygen", "publish", "status"] {
        assert!(commands.contains(&name), "{name} in {commands:?}");
    }
    for name in commands.into_iter().filter(|name| *name != "help") {
        assert!(run(&[name, "--help"]).status.success(), "{name}");
    }
}

#[test]
fn mistakes_say_where_they_are() {
    assert_eq!(run(&["agent", "--sources"]).status.code(), Some(2), "a usage error");
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), "[fleet]\nname = 'as112'\n").expect("there is room");
    let path = file.path().display().to_string();
    for command in ["agent", "fetch"] {
        let failed = run(&[command, "--config", &path]);
        assert_eq!(failed.status.code(), Some(1), "{command}");
        let said = String::from_utf8(failed.stderr).expect("text");
        assert!(said.starts_with(&format!("{path}: [fleet]: ")) && said.contains("key"), "{said}");
        let gone = run(&[command, "--config", "/nowhere"]);
        assert!(String::from_utf8_lossy(&gone.stderr).starts_with("/nowhere: "), "{gone:?}");
    }
}
