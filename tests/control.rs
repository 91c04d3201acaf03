//! A running node is asked, over its control socket and by signals.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use as112d::limits::CONTROL_CLIENTS_MAX;
use common::daemon::{Daemon, PATIENCE, V4, free_port, program, wait_until};
use common::{query, question};
use serde_json::Value;
use tempfile::TempDir;

/// A node with a configuration and a control socket in a folder of its own.
struct Node {
    daemon: Daemon,
    folder: TempDir,
}

impl Node {
    fn start(configuration: &str, further: &[&str]) -> Self {
        let folder = common::folder();
        fs::write(folder.path().join("as112d.toml"), configuration).expect("it works");
        let (config, control) = (at(&folder, "as112d.toml"), at(&folder, "control"));
        let daemon = Daemon::start(&[&["--config", &config, "--control", &control], further].concat());
        Self { daemon, folder }
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    fn configure(&self, text: &str) {
        fs::write(self.folder.path().join("as112d.toml"), text).expect("it works");
    }

    /// The next line that it says, other than of who ordered something.
    fn next_line(&self) -> String {
        loop {
            let line = self.daemon.next_line();
            if !line.contains(": ordered by uid ") {
                return line;
            }
        }
    }

    /// Runs a command that speaks to the node.
    fn run(&self, command: &str) -> Output {
        run(command, &self.control())
    }

    /// Runs one that has to go well; what it prints with --json.
    fn ask(&self, command: &str) -> Value {
        let output = Command::new(program())
            .args([command, "--json", "--control"])
            .arg(self.control())
            .output()
            .expect("it works");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn state(&self) -> String {
        self.ask("status")["state"].as_str().expect("it works").to_owned()
    }

    /// What id.server says, by a query of its own: the record ends with the text.
    fn identity(&self) -> String {
        let reply = self.daemon.ask_udp(V4, &question(b"\x02id\x06server\0", 16, 3));
        String::from_utf8_lossy(&reply[reply.len() - 5..]).into_owned()
    }
}

fn at(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

fn run(command: &str, control: &Path) -> Output {
    Command::new(program()).arg(command).arg("--control").arg(control).output().expect("it works")
}

/// A configuration whose node has a name of five letters, and something more.
fn named(name: &str, more: &str) -> String {
    format!("[identity]\nnode = \"{name}\"\n{more}")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_reload_is_in_force_when_the_command_returns_and_a_wrong_one_changes_nothing() {
    let node = Node::start(&named("first", ""), &[]);
    assert_eq!(node.identity(), "first");
    node.configure(&named("after", "[[zone]]\nname = \"new.example\"\ntemplate = \"dd-empty\"\n"));
    let zones = node.ask("reload")["zones"].as_u64().unwrap();
    assert_eq!(node.identity(), "after");
    let reply = node.daemon.ask_udp(V4, &query("x.new.example.", 1));
    assert_eq!(reply[3] & 0xF, 3, "the new zone says NXDOMAIN");
    assert_eq!(node.ask("status")["zones"], zones);

    // Two mistakes: each with its place, and everything as before.
    node.configure("[identity]\nnode = \"wrong\"\n[server]\nshards = 0\nrcvbuf = \"1\"\n");
    let output = node.run("reload");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("as112d.toml:4:10: ") && said.contains("as112d.toml:5:10: "), "{said}");
    assert_eq!(node.identity(), "after");
    let status = text(&node.run("status").stdout);
    assert!(status.contains("\nrunning an old configuration since "), "{status}");
    assert!(status.contains("as112d.toml:4:10: "), "{status}");
    assert_eq!(node.next_line(), format!("reload: serving {zones} zones"));
    assert!(node.next_line().starts_with("error: reload: the new configuration has errors"));

    // What needs a restart is said by name, and the rest is in force.
    node.configure(&named("third", "[server]\nsndbuf = \"1MiB\"\n"));
    assert_eq!(node.ask("reload")["need_restart"], serde_json::json!(["[server] sndbuf"]));
    assert_eq!(node.identity(), "third");
    assert!(!text(&node.run("status").stdout).contains("an old configuration"));
}

#[test]
fn zone_files_are_read_again_and_a_broken_one_keeps_the_old() {
    let zones = common::folder();
    let file = zones.path().join("z.example.zone");
    let zone = |text: &str| {
        let soa = "@ 60 IN SOA a. b. 1 60 60 60 60\n@ 60 IN NS ns.example.net.\n";
        fs::write(&file, format!("{soa}@ 60 IN TXT {text}\n")).unwrap();
    };
    zone("older");
    let dir = zones.path().display().to_string();
    let node = Node::start(&named("first", ""), &["--zones", &dir]);
    let txt = || {
        let reply = node.daemon.ask_udp(V4, &query("z.example.", 16));
        text(&reply[reply.len() - 5..])
    };
    assert_eq!(txt(), "older");
    zone("newer");
    node.ask("reload");
    assert_eq!(txt(), "newer");
    fs::write(&file, "@ 60 IN SOA broken").unwrap();
    let said = text(&node.run("reload").stderr);
    assert!(said.contains("z.example.zone:1:"), "{said}");
    assert_eq!(txt(), "newer");
    fs::remove_file(&file).unwrap();
    node.ask("reload");
    assert_eq!(node.daemon.ask_udp(V4, &query("z.example.", 16))[3] & 0xF, 5, "refused: the zone is gone");
}

#[test]
fn a_drain_is_told_at_once_can_be_taken_back_and_ends_with_a_shutdown() {
    let node = Node::start("[server]\ndrain_time = \"300ms\"\n", &["--http", "127.0.0.1:0"]);
    let mut watch = UnixStream::connect(node.control()).unwrap();
    watch.write_all(b"as112d 1 watch\n").unwrap();
    watch.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut watch = BufReader::new(watch).lines();
    let mut told = || watch.next().transpose().unwrap();
    assert_eq!(told().unwrap(), r#"{"state":"serving"}"#);
    let began = Instant::now();
    node.ask("drain");
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(told().unwrap(), r#"{"state":"draining"}"#);
    assert_eq!(node.state(), "draining");
    assert_eq!(
        node.daemon.ask_udp(V4, &query("1.10.in-addr.arpa.", 12))[3] & 0xF,
        3,
        "it answers all the same"
    );
    node.ask("undrain");
    assert_eq!(told().unwrap(), r#"{"state":"serving"}"#);
    assert_eq!(node.state(), "serving");
    assert_eq!(node.ask("shutdown")["queries"], 1);
    assert_eq!(told().unwrap(), r#"{"state":"draining"}"#);
    assert_eq!(told().unwrap(), r#"{"state":"stopping"}"#);
    assert_eq!(told(), None, "the end of the process ends the line");
    let control = node.control();
    let (status, _) = node.daemon.wait();
    assert!(status.success());
    assert!(!control.exists(), "the socket is taken away");
    assert_eq!(run("status", &control).status.code(), Some(3));
}

#[test]
fn the_second_signal_to_end_ends_now() {
    let node = Node::start("[server]\ndrain_time = \"10m\"\n", &[]);
    node.daemon.signal(15);
    assert_eq!(node.next_line(), "draining: queries that still arrive are answered");
    assert_eq!(node.state(), "draining");
    assert!(text(&node.run("undrain").stderr).contains("already stopping"));
    let (status, lines) = node.daemon.stop();
    assert!(status.success());
    assert_eq!(lines.last().expect("it says something"), "stopped after 0 queries");
}

#[test]
fn signals_reload_and_write_statistics() {
    let node = Node::start(&named("first", ""), &[]);
    node.configure(&named("after", ""));
    node.daemon.signal(1);
    assert!(node.next_line().starts_with("reload: serving "));
    assert_eq!(node.identity(), "after");
    // What is counted is seen once its batch is over.
    while node.ask("status")["queries"] == 0 {}
    node.daemon.signal(10);
    assert!(node.next_line().starts_with("statistics node=after uptime_seconds="));
    let counted = r#"statistics family=as112_queries_total count={"other/udp/ipv4":1}"#;
    assert_eq!(node.next_line(), counted);
}

#[test]
fn the_socket_is_for_the_owner_and_group_and_two_nodes_do_not_share_it() {
    let node = Node::start("", &[]);
    let control = node.control();
    assert_eq!(fs::metadata(&control).unwrap().permissions().mode() & 0o777, 0o660);
    let second = |control: &Path| {
        Command::new(program())
            .args(Daemon::arguments(free_port(), &["--control", &control.display().to_string()]))
            .output()
            .unwrap()
    };
    let said = text(&second(&control).stderr);
    let answers = format!("another node answers there (process {}); choose another path", node.daemon.id());
    assert!(said.contains(&answers), "{said}");
    // What is no socket is left alone.
    let file = node.folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    assert!(text(&second(&file).stderr).contains("it exists and is not a socket"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");

    // One that was killed leaves its file, which the next one takes.
    let path = node.folder.path().join("left");
    let killed = Daemon::start(&["--control", &path.display().to_string()]);
    killed.signal(9);
    killed.wait();
    assert!(path.exists());
    let next = Daemon::start(&["--control", &path.display().to_string()]);
    assert!(run("status", &path).status.success());
    assert!(next.stop().0.success());
}

#[test]
fn a_default_path_that_is_taken_is_skipped_with_one_line() {
    let dir = common::folder();
    let start = || {
        let port = free_port();
        let mut command = Command::new(program());
        let arguments = Daemon::arguments(port, &["--control", "?"]);
        command.args(arguments.iter().filter(|word| !["--control", "?"].contains(&word.as_str())));
        command.env("RUNTIME_DIRECTORY", dir.path());
        Daemon::spawn(command, port)
    };
    let path = dir.path().join("control");
    let line = |daemon: &Daemon| {
        daemon.announcement.iter().find(|line| line.starts_with("control: ")).unwrap().clone()
    };
    let first = start();
    assert_eq!(line(&first), format!("control: {}", path.display()));
    let second = start();
    let skipped = format!(
        "control: off; {}: another node answers there (process {}) (choose another path with --control)",
        path.display(),
        first.id()
    );
    assert_eq!(line(&second), skipped);
    assert!(second.stop().0.success());
    assert!(run("status", &path).status.success(), "the first one still has it");
    assert!(first.stop().0.success());
}

#[test]
fn what_is_no_request_is_told_so_and_nobody_is_kept_waiting_by_others() {
    let node = Node::start("", &[]);
    let silent: Vec<UnixStream> = (0..20).map(|_| UnixStream::connect(node.control()).unwrap()).collect();
    for line in ["", "status", "as112d 2 status", "as112d 1 dance", &"x".repeat(5000)] {
        let mut stream = UnixStream::connect(node.control()).unwrap();
        stream.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.contains("malformed request; start it with `as112d 1`"), "{line}: {answer}");
    }
    assert_eq!(node.state(), "serving");
    drop(silent);
}

/// A connection that has asked for something, and what it hears.
fn asked(node: &Node, word: &str) -> (UnixStream, Value) {
    let mut stream = UnixStream::connect(node.control()).expect("it works");
    stream.set_read_timeout(Some(PATIENCE)).expect("it works");
    writeln!(stream, "as112d 1 {word}").expect("it works");
    let mut line = String::new();
    BufReader::new(stream.try_clone().expect("it works")).read_line(&mut line).expect("it works");
    (stream, serde_json::from_str(&line).expect("JSON"))
}

#[test]
fn those_who_watch_leave_room_for_orders() {
    let node = Node::start("", &[]);
    let watched: Vec<_> = (0..CONTROL_CLIENTS_MAX).map(|_| asked(&node, "watch")).collect();
    let serving = watched.iter().filter(|(_, heard)| heard["state"] == "serving").count();
    assert_eq!(serving, CONTROL_CLIENTS_MAX / 2);
    assert!(watched.iter().all(|(_, heard)| heard["state"] == "serving" || heard["ok"] == false));
    assert_eq!(node.state(), "serving");
    drop(watched);
    wait_until("places are free again", || asked(&node, "watch").1["state"] == "serving");
}

#[test]
fn who_orders_something_is_logged() {
    let node = Node::start("", &[]);
    node.ask("status");
    node.ask("drain");
    let (uid, said) = (fs::metadata(node.folder.path()).expect("it is there").uid(), node.daemon.next_line());
    assert!(said.starts_with(&format!("drain: ordered by uid {uid}, process ")), "{said}");
}

/// What an announcer says is shown for as long as it is there; what is not a report ends its connection.
#[test]
fn an_announcer_tells_how_the_routes_are() {
    let node = Node::start("", &["--http", "127.0.0.1:0"]);
    let metrics = || common::daemon::get(node.daemon.http(), "/metrics");
    let has = |line: &str| metrics().lines().any(|known| known == line);
    assert!(has("as112_announcers_connected 0"));
    let (mut stream, heard) = asked(&node, "announce");
    assert_eq!(heard["state"], "serving");
    let report = r#"{"router":"BIRD","of":"later","routes":[{"prefix":"192.175.48.0/24","announced":true},
        {"prefix":"192.31.196.0/24","announced":false,"held_seconds":7,
         "failing":["192.31.196.1: <none>"]}]}"#;
    writeln!(stream, "{}", report.replace('\n', " ")).expect("it works");
    wait_until("it is known", || has("as112_route_announced{prefix=\"192.175.48.0/24\"} 1"));
    for line in [
        "as112_announcers_connected 1",
        "as112_route_announced{prefix=\"192.31.196.0/24\"} 0",
        "as112_route_held_down{prefix=\"192.175.48.0/24\"} 0",
        "as112_route_held_down{prefix=\"192.31.196.0/24\"} 1",
        "as112_route_failing_addresses{prefix=\"192.31.196.0/24\"} 1",
    ] {
        assert!(has(line), "{line}: {}", metrics());
    }
    let told = &node.ask("status")["announcers"][0];
    assert_eq!((&told["router"], &told["pid"]), (&"BIRD".into(), &std::process::id().into()));
    let status = text(&node.run("status").stdout);
    assert!(
        status.contains("192.31.196.0/24 withdrawn, held down for 7 s; 192.31.196.1: <none>\n"),
        "{status}"
    );
    let page = common::daemon::get(node.daemon.http(), "/node");
    assert!(
        page.contains("192.31.196.0/24 withdrawn, held down for 7\u{202f}s (192.31.196.1: &lt;none&gt;)"),
        "{page}"
    );

    for what in ["no report", "{}", "{\"router\":\"x\",\"routes\":[{\"prefix\":\"x\",\"announced\":true}]}"] {
        let (mut other, _) = asked(&node, "announce");
        writeln!(other, "{what}").expect("it works");
        assert!(matches!(other.read(&mut [0]), Ok(0) | Err(_)), "{what}");
    }
    let (mut endless, _) = asked(&node, "announce");
    let _ = endless.write_all(&vec![b' '; 1 << 20]);
    assert!(matches!(endless.read(&mut [0]), Ok(0) | Err(_)));
    drop(stream);
    wait_until("it is forgotten", || has("as112_announcers_connected 0"));
    assert!(!metrics().contains("as112_route_announced{"));
}

#[test]
fn a_client_that_went_away_leaves_its_place_and_one_that_has_only_said_all_waits() {
    let node = Node::start("[server]\ndrain_time = \"10m\"\n", &[]);
    let ask = |word: &str| {
        let mut stream = UnixStream::connect(node.control()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // Where there is no place the connection ends at once.
        let _ = stream.write_all(format!("as112d 1 {word}\n").as_bytes());
        stream
    };
    let mut waits = ask("drain");
    waits.shutdown(std::net::Shutdown::Write).unwrap();
    let gone: Vec<UnixStream> = (1..CONTROL_CLIENTS_MAX).map(|_| ask("drain")).collect();
    let is_full = || !BufReader::new(ask("status")).read_line(&mut String::new()).is_ok_and(|len| len > 0);
    wait_until("there is no place for another", is_full);
    drop(gone);
    wait_until("their places are free", || !is_full());
    node.ask("undrain");
    let mut answer = String::new();
    waits.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("the drain was cancelled"), "{answer}");
}

#[test]
fn the_service_manager_hears_when_the_node_serves_reloads_and_ends() {
    let dir = common::folder();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let any = || {
        let mut message = [0; 512];
        let len = manager.recv(&mut message).unwrap();
        text(&message[..len])
    };
    // The sockets that it is given to keep are another matter.
    let heard = || std::iter::repeat_with(any).find(|message| !message.starts_with("FDSTORE")).unwrap();
    let port = free_port();
    let control = at(&dir, "control");
    let mut command = Command::new("sh");
    // The watchdog is for the process that the variable names: this one, as it becomes the node.
    let script = "WATCHDOG_PID=$$ WATCHDOG_USEC=1000000 exec \"$@\"";
    command.args(["-c", script, "sh"]).arg(program());
    command.args(Daemon::arguments(port, &["--control", &control])).env("NOTIFY_SOCKET", &path);
    let daemon = Daemon::spawn(command, port);
    // It may also have its sockets kept, between any two.
    let heard = || std::iter::repeat_with(&heard).find(|message| !message.starts_with("FDSTORE")).unwrap();
    let ready = "READY=1\nWATCHDOG=1\nWATCHDOG_USEC=1000000";
    assert_eq!(heard(), ready);
    let next = || std::iter::repeat_with(&heard).find(|message| !message.starts_with("WATCHDOG=1")).unwrap();
    assert_eq!(heard(), "WATCHDOG=1", "all threads make turns");
    daemon.signal(1);
    let reloading = next();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert!(reloading.rsplit('=').next().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(next(), ready, "and as patient as before");
    let (status, _) = daemon.stop();
    assert!(status.success());
    assert_eq!(next(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=20000000");
}

/// What every command needs to find the node is in its configuration; what is not there, the node tells.
#[test]
fn clients_follow_the_configuration_and_the_running_node() {
    let folder = common::folder();
    let file = folder.path().join("as112d.toml");
    let settings = "[identity]\nnode = 'first'\n[control]\npath = 'own'\n[http]\nlisten = '127.0.0.1:0'\n";
    fs::write(&file, settings).unwrap();
    let port = free_port();
    let mut command = Command::new(program());
    let listen = [format!("127.0.0.1:{port}"), format!("192.0.2.112:{port}")];
    command.args(["--listen", &listen[0], "--listen", &listen[1], "--shards", "1", "--config"]).arg(&file);
    let daemon = Daemon::spawn(command, port);
    let absent = "192.0.2.112 is on no interface of this host yet";
    let warned = daemon.announcement.iter().filter(|line| **line == format!("warning: {absent}")).count();
    assert_eq!(warned, 1, "{:?}", daemon.announcement);

    let client = |arguments: &[&str]| {
        let output = Command::new(program()).args(arguments).arg("--config").arg(&file).output().unwrap();
        (output.status.code(), text_of(&output))
    };
    let (code, said) = client(&["status"]);
    assert!(code == Some(0) && said.contains(&format!("\nwarning        {absent}\n")), "{said}");
    assert!(said.contains(&format!("\nweb            http://{}/\n", daemon.http())), "{said}");
    for arguments in [&["reload"][..], &["verbosity", "info"], &["drain"], &["undrain"]] {
        let (code, said) = client(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
    }
    let (code, said) = client(&["stats"]);
    assert!(code == Some(0) && said.starts_with("first  as112d "), "{said}");
    let site = folder.path().join("site");
    let (code, said) = client(&["site", &site.display().to_string()]);
    assert!(code == Some(0) && site.join("index.html").exists(), "{said}");
    let (_, said) = client(&["doctor"]);
    let node = said.lines().find(|line| line.contains("  node  ")).expect(&said);
    assert!(node.starts_with("good  node            as112d "), "{node}");

    // What it listens on it tells as well; of these addresses nobody can reach the second.
    let own = folder.path().join("own").display().to_string();
    let output = Command::new(program()).args(["probe", "--control", &own]).output().unwrap();
    let said = text_of(&output);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 2), "{said}");
    assert!(text(&output.stdout).starts_with(&format!("127.0.0.1:{port} answers (")), "{said}");
    assert!(text(&output.stderr).starts_with(&format!("192.0.2.112:{port}: UDP: ")), "{said}");

    let (code, said) = client(&["shutdown"]);
    assert_eq!(code, Some(0), "{said}");
    daemon.wait();
    let (code, said) = client(&["status"]);
    assert!(code == Some(3) && said.contains("there is no socket"), "{said}");
}

fn text_of(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn a_probe_of_a_node_that_cannot_be_asked_fails() {
    let node = Node::start("", &[]);
    let address = node.daemon.address(V4).to_string();
    let probe = |control: &Path| {
        let arguments = ["probe", "--timeout", "5s", "--address", &address, "--control"];
        Command::new(program()).args(arguments).arg(control).output().unwrap()
    };
    assert!(probe(&node.control()).status.success());
    let output = probe(&node.folder.path().join("mistyped"));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("/mistyped: no node answers there; "), "{said}");
}

#[test]
fn a_second_node_says_that_one_runs_already() {
    let node = Node::start("", &[]);
    let control = node.control().display().to_string();
    let second = || {
        let arguments = Daemon::arguments(node.daemon.port, &["--control", &control]);
        Command::new(program()).args(arguments).output().unwrap()
    };
    let said = text(&second().stderr);
    let port = node.daemon.port;
    let expected = format!(
        "cannot listen on 127.0.0.1:{port} and [::1]:{port} (UDP and TCP): address in use; as112d already \
         runs here (process {}): ",
        node.daemon.id()
    );
    assert!(said.starts_with(&expected) && said.lines().count() == 1, "{said}");
}

#[test]
fn a_mistyped_control_path_makes_no_tree() {
    let folder = common::folder();
    let path = folder.path().join("a/b/control");
    let start = |path: &Path| {
        let arguments = Daemon::arguments(free_port(), &["--control", &path.display().to_string()]);
        let output = Command::new(program()).args(arguments).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let (code, said) = start(&path);
    assert_eq!(code, Some(1), "{said}");
    let above = folder.path().join("a");
    assert!(said.contains(&format!("control: the directory {} does not exist; ", above.display())), "{said}");
    assert!(!above.exists());
    // Its own directory it makes.
    let control = above.join("control").display().to_string();
    let daemon = Daemon::start(&["--control", &control]);
    assert!(run("status", Path::new(&control)).status.success());
    assert!(daemon.stop().0.success());
}
