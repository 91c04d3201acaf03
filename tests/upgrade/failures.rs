//! Successors that do not make it. The old process serves on, and says why.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::daemon::{PATIENCE, V4, free_port, get, program, wait_until};
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
    for step in ["start", "hello", "sockets", "ready", "serving", "history", "done", "yours"] {
        for (then, expected) in
            [("crash", "signal: 9"), ("exit", "exit status: 7"), ("babble", "handover protocol")]
        {
            fs::write(node.path("script"), format!("{step} {then}")).expect("written");
            let told = told(&node.fail_to_upgrade());
            assert!(told.contains(expected), "{step} {then}: {told}");
        }
    }
    // Hanging takes as long as the node's patience: once, while it continues to answer, and once called off.
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

/// A stop is obeyed at every step: both processes end, in order.
#[test]
fn an_end_calls_an_upgrade_off() {
    if !has_python() {
        return;
    }
    for step in ["start", "hello", "sockets", "ready", "serving", "history", "done"] {
        let mut node = Node::start("", &[]);
        let successor = node.path("successor.py");
        executable(&successor, include_bytes!("successor.py"));
        node.install(&successor);
        fs::write(node.path("script"), format!("{step} hang")).expect("written");
        let mut upgrading = node.command("upgrade").stderr(Stdio::null()).spawn().expect("it runs");
        let pid = || fs::read_to_string(node.path("pid")).ok()?.parse::<u64>().ok();
        wait_until("the successor is there", || pid().is_some());
        let pid = pid().expect("it was there");
        let began = Instant::now();
        node.ask("shutdown");
        assert!(began.elapsed() < PATIENCE, "{step}: it waits for nobody");
        assert_eq!(upgrading.wait().expect("it ends").code(), Some(1), "{step}");
        wait_for_end(pid);
        assert!(node.daemon.ended().success(), "{step}");
    }
}

/// The same with the real program, at any moment: before the commit, in it, and after it. Both end, whoever
/// has the node by then, and nobody holds its sockets any more.
#[test]
fn a_stop_at_any_moment_of_an_upgrade_ends_both() {
    for milliseconds in (0..160).step_by(8) {
        let mut node = Node::start("", &["--shards", "2"]);
        let mut upgrading =
            node.command("upgrade").stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        std::thread::park_timeout(Duration::from_millis(milliseconds));
        node.daemon.signal(15);
        let status = node.daemon.ended();
        assert!(status.success(), "{milliseconds} ms: {status}");
        // Either it was called off, or it had succeeded, or nobody had asked for it yet.
        let code = upgrading.wait().expect("it ends").code();
        assert!(code.is_some());
        // A stop that came when the old process had ended stopped nobody.
        if code == Some(0) {
            node.run("shutdown");
        }
        wait_until("nobody listens any more", || {
            TcpListener::bind((V4, node.daemon.port)).is_ok()
                && UdpSocket::bind((V4, node.daemon.port)).is_ok()
        });
    }
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

/// Once it has taken everything the node is the successor's: if that one ends then, the old process ends as
/// well, as any node does. It says so by its exit code to whoever started it, who starts another.
#[test]
fn one_that_ends_when_everything_is_its_own_takes_the_node_with_it() {
    if !has_python() {
        return;
    }
    for script in ["taken crash", "taken exit"] {
        let mut node = Node::start("", &["--shards", "2"]);
        let successor = node.path("successor.py");
        executable(&successor, include_bytes!("successor.py"));
        node.install(&successor);
        fs::write(node.path("script"), script).expect("written");
        // A connection that is still served keeps the old process there to see it.
        let _connection = node.daemon.tcp(V4);
        assert!(node.run("upgrade").status.success(), "{script}: it had everything");
        assert_eq!(node.daemon.ended().code(), Some(1), "{script}");
    }
}

/// The real program, killed at any moment of its way. Unless the upgrade has succeeded, the old process
/// continues as if nothing had been.
#[test]
fn one_that_is_killed_at_any_moment_leaves_the_old_one_or_nobody_needs_it() {
    let mut node = Node::start("", &["--shards", "2"]);
    let wrapper = node.path("wrapper");
    let mut went_on = 0;
    for milliseconds in (0..).step_by(8) {
        // It becomes the program, and another process kills it.
        let script = format!(
            "#!/bin/sh\n(sleep {}.{:03}; kill -9 $$) >/dev/null 2>&1 3>&- &\nexec {} \"$@\"\n",
            milliseconds / 1000,
            milliseconds % 1000,
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
        assert!(text.contains("this process keeps serving"), "killed after {milliseconds} ms: {text}");
        assert_eq!(node.process(), before);
        node.check_answers();
        went_on += 1;
    }
    println!("report: upgrade_killed_before_the_commit {went_on}");
    assert!(went_on > 0, "the first ones cannot make it");
    // What ends now is the node.
    node.daemon.ended();
}

/// What a successor has answered before it was killed is lost, but for that nothing is: the counts of the old
/// one continue, and its history.
#[test]
fn an_upgrade_that_fails_in_the_trial_changes_no_count() {
    if !has_python() {
        return;
    }
    let folder = crate::common::folder();
    for configuration in [String::new(), format!("[history]\ndir = \"{}\"\n", folder.path().display())] {
        let node = Node::start(&configuration, &["--shards", "2", "--http", "127.0.0.1:0"]);
        let http = node.daemon.http();
        let successor = node.path("successor.py");
        executable(&successor, include_bytes!("successor.py"));
        node.install(&successor);
        let mut asked = 0;
        for step in ["serving", "history", "done", "yours"] {
            (0..7).for_each(|_| {
                assert!(node.daemon.ask_udp(V4, &query("10.in-addr.arpa.", 6)).len() > 50);
                asked += 1;
            });
            fs::write(node.path("script"), format!("{step} exit")).expect("written");
            node.fail_to_upgrade();
            // That asks twice.
            asked += 2;
            wait_until("all are counted", || node.queries(http) == asked);
        }
        node.stop();
        if !configuration.is_empty() {
            let db = rusqlite::Connection::open(folder.path().join("history.sqlite")).expect("a history");
            let sum = "SELECT sum(count) FROM history WHERE family = 'as112_queries_total'";
            assert_eq!(db.query_row(sum, [], |row| row.get::<_, u64>(0)).expect("rows"), asked);
        }
    }
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

/// A launcher that is gone is told before somebody needs it.
#[test]
fn a_node_that_cannot_be_upgraded_says_so() {
    let node = Node::start("", &["--http", "127.0.0.1:0"]);
    let http = node.daemon.http();
    let possible = |value: u8| get(http, "/metrics").contains(&format!("\nas112_upgrade_possible {value}\n"));
    assert!(possible(1) && node.ask("status")["upgrade_obstacle"].is_null());
    let of = format!("/proc/{0}/task/{0}/children", node.daemon.id());
    let children = fs::read_to_string(of).expect("the kernel tells");
    let is_launcher = |pid: &&str| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == "as112d-launch")
    };
    let launcher = children.split_whitespace().find(is_launcher).expect("it has one");
    assert!(Command::new("kill").args(["-9", launcher]).status().expect("kill runs").success());
    wait_until("it is missed", || possible(0));
    assert_eq!(node.ask("status")["upgrade_obstacle"], "the launcher has ended");
    let told = told(&node.fail_to_upgrade());
    assert!(told.contains("the launcher has ended, so a new process would lack the privileges"), "{told}");
    node.stop();
}
