//! Successors that do not make it. The old process serves on, and says why.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::daemon::{V4, free_port, program, wait_until};
use crate::common::query;
use crate::common::skip::skipped;
use crate::node::{Node, wait_for_end};

fn executable(path: &Path, content: &[u8]) {
    fs::write(path, content).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("allowed");
}

/// The error and all problems.
fn told(answer: &Value) -> String {
    let problems = answer["problems"].as_array().into_iter().flatten();
    let problems = problems.map(|problem| format!("{} {}", problem["place"], problem["message"]));
    [answer["error"].to_string()].into_iter().chain(problems).collect::<Vec<_>>().join("; ")
}

#[test]
fn what_is_no_program_is_refused() {
    let mut node = Node::start("", &[]);
    let bad = node.path("bad");
    let image = fs::read(program()).expect("the program");
    for (content, expected) in [
        (&b"echo as a shell would"[..], "Exec format error"),
        (&b""[..], "Exec format error"),
        (&image[..4096], ""),
        (&image[..1 << 20], ""),
        (&b"#!/no/such/interpreter\n"[..], "No such file"),
    ] {
        executable(&bad, content);
        node.install(&bad);
        let told = told(&node.fail_to_upgrade());
        assert!(told.contains(expected), "{told}");
    }
    node.install(Path::new("/no/such/program"));
    assert!(told(&node.fail_to_upgrade()).contains("No such file"));
    node.install(Path::new("/bin/false"));
    assert!(told(&node.fail_to_upgrade()).contains("exit status: 1"));
    fs::set_permissions(&bad, fs::Permissions::from_mode(0o644)).expect("set");
    node.install(&bad);
    assert!(told(&node.fail_to_upgrade()).contains("Permission denied"));
    node.install(&program());
    node.upgrade();
    node.check_answers();
    node.stop();
}

#[test]
fn a_configuration_with_mistakes_is_refused_with_their_places() {
    let mut node = Node::start("", &[]);
    node.configure("[server]\nshard = 2\n");
    let answer = node.fail_to_upgrade();
    let place = answer["problems"][0]["place"].as_str().expect("a place");
    assert!(place.ends_with("as112d.toml:2:1"), "{answer}");
    node.configure("[server]\nlisten = [\"127.0.0.1:1\"]\n");
    // An address that somebody else has.
    let other = UdpSocket::bind((V4, 0)).expect("a socket");
    let taken = other.local_addr().expect("bound");
    node.configure(&format!("[http]\nlisten = \"{taken}\"\n[zones]\ndir = \"/no/such/folder\"\n"));
    assert!(told(&node.fail_to_upgrade()).contains("/no/such/folder"));
    node.configure("");
    node.upgrade();
    node.stop();
}

#[test]
fn an_address_that_cannot_be_had_is_refused() {
    let port = free_port();
    let other = UdpSocket::bind(("127.0.0.3", port)).expect("a socket");
    let configuration = |more: &str| format!("[server]\nlisten = [\"127.0.0.1:{port}\"{more}]\nshards = 1\n");
    let mut node = Node::with_configuration(port, &configuration(""));
    node.configure(&configuration(&format!(", \"127.0.0.3:{port}\"")));
    let told = told(&node.fail_to_upgrade());
    assert!(told.contains("another program listens there"), "{told}");
    drop(other);
    node.upgrade();
    node.stop();
}

/// One that crashes, ends, babbles or hangs, at every step that there is.
#[test]
fn at_every_step_one_may_crash_end_or_babble() {
    if !has_python() {
        return;
    }
    let mut node = Node::start("", &["--shards", "2"]);
    let successor = node.path("successor.py");
    executable(&successor, include_bytes!("successor.py"));
    node.install(&successor);
    for step in ["start", "hello", "sockets", "ready"] {
        for (then, expected) in
            [("crash", "signal: 9"), ("exit", "exit status: 7"), ("babble", "handover protocol")]
        {
            fs::write(node.path("script"), format!("{step} {then}")).expect("written");
            let told = told(&node.fail_to_upgrade());
            assert!(told.contains(expected), "{step} {then}: {told}");
        }
    }
    // Hanging takes as long as the node's patience: once, while it goes on to answer, and once called off.
    fs::write(node.path("script"), "sockets hang").expect("written");
    let (socket, stop) = (node.daemon.udp(V4), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut answered = 0;
            while !stop.load(Ordering::Relaxed) {
                socket.send(&query("10.in-addr.arpa.", 6)).expect("sent");
                assert!(socket.recv(&mut [0; 1500]).expect("a reply") > 50);
                answered += 1;
            }
            answered
        });
        let told = told(&node.fail_to_upgrade());
        stop.store(true, Ordering::Relaxed);
        assert!(told.contains("did not send `ready` in time") && told.contains("SIGKILL"), "{told}");
        assert!(asking.join().expect("it ends") > 100);
    });
    node.install(&program());
    node.upgrade();
    node.stop();
}

#[test]
fn an_end_calls_an_upgrade_off() {
    let node = Node::start("", &[]);
    let successor = node.path("successor.py");
    executable(&successor, include_bytes!("successor.py"));
    node.install(&successor);
    fs::write(node.path("script"), "hello hang").expect("written");
    let mut upgrading = node.command("upgrade").stderr(Stdio::null()).spawn().expect("it runs");
    let pid = || fs::read_to_string(node.path("pid")).ok()?.parse::<u64>().ok();
    wait_until("the successor is there", || pid().is_some());
    let began = Instant::now();
    node.ask("shutdown");
    assert!(began.elapsed() < Duration::from_secs(5), "it waits for nobody");
    assert_eq!(upgrading.wait().expect("it ends").code(), Some(1));
    wait_for_end(pid().expect("it was there"));
}

/// Whether there is a Python to play a successor; says that a test is skipped where there is none.
fn has_python() -> bool {
    let output = Command::new("python3").arg("--version").output();
    let is_there = output.is_ok_and(|output| output.status.success());
    if !is_there {
        skipped("there is no python3");
    }
    is_there
}

/// With `serving` the node is the successor's, and there is no way back: if that one ends then, the old
/// process ends as well. It says so to whoever asked for the upgrade, and by its exit code to whoever started
/// it, who starts another.
#[test]
fn one_that_ends_once_it_serves_takes_the_node_with_it() {
    if !has_python() {
        return;
    }
    for script in ["serving crash", "serving exit", "yours crash", "yours exit"] {
        let mut node = Node::start("", &["--shards", "2"]);
        let successor = node.path("successor.py");
        executable(&successor, include_bytes!("successor.py"));
        node.install(&successor);
        fs::write(node.path("script"), script).expect("written");
        let output = node.run("upgrade");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{script}: {text}");
        let answer = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{script}: no JSON: {text}"));
        assert!(told(&answer).contains("the new process did not take over"), "{script}: {text}");
        assert!(!told(&answer).contains("serves on"), "{script}: {text}");
        assert_eq!(node.daemon.ended().code(), Some(1), "{script}");
    }
}

/// The real program, killed at any moment of its way. Until it serves, the old process goes on as if nothing
/// had been; after that it ends with an error, as in the test before.
#[test]
fn one_that_is_killed_before_it_serves_leaves_the_old_one_as_it_was() {
    let mut node = Node::start("", &["--shards", "2"]);
    let wrapper = node.path("wrapper");
    let mut went_on = 0;
    for milliseconds in (0..100).step_by(4) {
        // It becomes the program, and another process kills it, unless that serves.
        let script = format!(
            "#!/bin/sh\n(sleep 0.{milliseconds:03}; kill -9 $$) >/dev/null 2>&1 3>&- &\nexec {} \"$@\"\n",
            program().display()
        );
        executable(&wrapper, script.as_bytes());
        node.install(&wrapper);
        let before = node.process();
        let output = node.run("upgrade");
        if output.status.success() {
            break;
        }
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        if !text.contains("this process keeps serving") {
            assert!(text.contains("the new process did not take over"), "{text}");
            assert_eq!(node.daemon.ended().code(), Some(1), "killed after {milliseconds} ms: {text}");
            break;
        }
        assert_eq!(node.process(), before);
        node.check_answers();
        went_on += 1;
    }
    println!("report: upgrade_killed_before_it_served {went_on}");
    assert!(went_on > 0, "the first ones cannot make it");
}

/// A SIGHUP that comes during an upgrade is obeyed after it, by whichever process serves then.
#[test]
fn a_signal_to_reload_is_obeyed_once_the_upgrade_is_over() {
    if !has_python() {
        return;
    }
    let mut node = Node::start("[identity]\nnode = \"first\"\n", &[]);
    let until = |node: &Node, wanted: &str| while !node.daemon.next_line().contains(wanted) {};
    let signal = |node: &Node| {
        node.daemon.signal(1);
        until(node, "reload: an upgrade is in progress");
        fs::write(node.path("go"), "").expect("written");
    };
    // The old one, after an upgrade that fails.
    let successor = node.path("successor.py");
    executable(&successor, include_bytes!("successor.py"));
    node.install(&successor);
    fs::write(node.path("script"), "hello wait").expect("written");
    let mut upgrading = node.command("upgrade").stderr(Stdio::null()).spawn().expect("it runs");
    wait_until("the successor is there", || node.path("pid").exists());
    node.configure("[identity]\nnode = \"second\"\n");
    signal(&node);
    assert_eq!(upgrading.wait().expect("it ends").code(), Some(1));
    wait_until("the old one has read its configuration", || node.ask("status")["node"] == "second");
    until(&node, "reload: serving ");
    // The new one, after one that succeeds: it is there when the signal comes, and waits to begin.
    fs::remove_file(node.path("go")).expect("it was there");
    let wrapper = node.path("wrapper");
    let script = format!(
        "#!/bin/sh\nfor _ in $(seq 1000); do test -e {} && break; sleep 0.02; done\nexec {} \"$@\"\n",
        node.path("go").display(),
        program().display()
    );
    executable(&wrapper, script.as_bytes());
    node.install(&wrapper);
    let before = node.process();
    let mut upgrading = node.command("upgrade").stdout(Stdio::null()).spawn().expect("it runs");
    until(&node, "upgrade: starting a new process");
    signal(&node);
    assert!(upgrading.wait().expect("it ends").success());
    assert_ne!(node.succeeded(), before);
    until(&node, "reload: serving ");
    node.stop();
}
