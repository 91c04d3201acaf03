//! Configurations and zones that are no files, are empty, end early, or change while they are read: the same
//! verdict from `check` and `run`, in bounded time, with a place and a way out.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::common::daemon::{PATIENCE, program};
use crate::fault::{argument, beside, tool, wait_until};

const ZONE: &str = "$ORIGIN example.\n$TTL 3600\n@ SOA ns.example. noc.example. 1 3600 600 86400 3600\n  \
                    NS ns.example.\nns A 192.0.2.1\nwww TXT \"a text\"\n";

/// Runs a command that must end by itself, and soon: what has been read may not be waited for.
fn ends(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program());
    let mut child: Child = command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let ended = wait_until(PATIENCE, || child.try_wait().expect("it is our child").is_some());
    if ended.is_none() {
        child.kill().expect("it is our child");
    }
    let output = child.wait_with_output().expect("it has ended");
    assert!(ended.is_some(), "{arguments:?} waits for what never comes");
    (output.status.code(), String::from_utf8(output.stderr).expect("it is text"))
}

fn assert_refused(arguments: &[&str], place: &Path) {
    let (code, said) = ends(arguments);
    assert_eq!(code, Some(1), "{arguments:?}: {said}");
    assert!(said.contains(argument(place)) && !said.contains("panicked"), "{arguments:?}: {said}");
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let _turn = beside();
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("folder")).expect("a folder");
    assert!(tool(&format!("mkfifo {}", argument(&path("pipe")))));
    std::os::unix::fs::symlink("loop", path("loop")).expect("a link");
    let odd = ["folder", "pipe", "loop", "absent"].map(path);
    for odd in odd.iter().map(std::path::PathBuf::as_path).chain([Path::new("/dev/zero")]) {
        assert_refused(&["check", "--config", argument(odd)], odd);
        assert_refused(&["run", "--config", argument(odd), "--http", "off"], odd);
        let config = path("as112d.toml");
        fs::write(&config, format!("[[zone]]\nname = 'example'\nfile = '{}'\n", argument(odd)))
            .expect("room");
        assert_refused(&["check", "--config", argument(&config)], odd);
    }
}

#[test]
fn a_zone_that_ends_anywhere_is_served_or_refused_with_its_place() {
    let _turn = beside();
    let dir = tempfile::tempdir().expect("a folder");
    let (zone, config) = (dir.path().join("example.zone"), dir.path().join("as112d.toml"));
    fs::write(&config, format!("[[zone]]\nname = 'example'\nfile = '{}'\n", argument(&zone))).expect("room");
    let mut served = 0;
    // At every third byte: a process for each takes its time.
    for len in (0..ZONE.len()).step_by(3) {
        fs::write(&zone, &ZONE[..len]).expect("room");
        let (code, said) = ends(&["check", "--config", argument(&config)]);
        match code {
            Some(0) => served += 1,
            _ => {
                assert_eq!(code, Some(1), "{len} bytes: {said}");
                assert!(said.contains(argument(&zone)), "{len} bytes: {said}");
            }
        }
    }
    assert!(served > 0 && served < ZONE.len() / 6, "{served}");
    for odd in ["\u{feff}", "\0", "\r\n", "$INCLUDE example.zone\n"] {
        fs::write(&zone, format!("{odd}{ZONE}")).expect("room");
        let (code, said) = ends(&["check", "--config", argument(&config)]);
        assert!(code == Some(0) || (code == Some(1) && said.contains(argument(&zone))), "{odd:?}: {said}");
    }
}
