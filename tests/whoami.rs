//! Names that say who asks, from a running node; and what `as112d zones` and `check` say of names whose
//! answers depend on that.

mod common;

use std::fs;
use std::net::{IpAddr, SocketAddr};

use assert_cmd::Command;

use common::daemon::{Daemon, V4, V6, program, read_message, send_message};
use common::packet::dissect;
use common::{NODE, folder, open_up, query};

const CONFIG: &str = r#"
[[zone]]
name = "example.net"
file = "example.net.zone"

[[pop]]
name = "sfo"
health = "none"

[[pop]]
name = "nrt"
health = "none"

[[map]]
name = "world"
networks = ["networks.txt"]
default = ["sfo"]

[[pool]]
name = "web"
map = "world"
names = ["www.example.net", "*.cdn.example.net"]
ttl = "60s"
addresses = { sfo = ["198.51.100.1"], nrt = ["198.51.100.2"] }

[identity_zone]
names = ["whoami.example.net"]
map = "world"
"#;

const ZONE: &str = "@ 1h IN SOA ns hostmaster 1 2 3 4 300
@ NS ns
ns A 192.0.2.1
www A 192.0.2.2
alias CNAME www
";

/// A directory with the configuration, changed, and its path.
fn configured(change: impl FnOnce(String) -> String) -> (tempfile::TempDir, String) {
    let dir = folder();
    let path = dir.path().join("as112d.toml");
    fs::write(&path, change(CONFIG.to_owned())).expect("it can be written");
    fs::write(dir.path().join("example.net.zone"), ZONE).expect("it can be written");
    fs::write(dir.path().join("networks.txt"), "::1/128 nrt\n").expect("it can be written");
    open_up(dir.path());
    let path = path.to_str().expect("ASCII").to_owned();
    (dir, path)
}

/// The records of a reply, as text.
fn answers(reply: &[u8]) -> Vec<String> {
    let text = dissect(reply);
    text.lines().filter_map(|line| line.trim().strip_prefix("; answer: ").map(str::to_owned)).collect()
}

#[test]
fn who_asks_is_told_at_every_door() {
    let (_dir, path) = configured(|config| config);
    for datapath in ["io_uring", "mmsg"] {
        let daemon = Daemon::start(&["--config", &path, "--datapath", datapath, "--node", NODE]);
        for (ip, pop) in [(V4, "sfo"), (V6, "nrt")] {
            let is_told = |own: SocketAddr, proto: &str, ask: &mut dyn FnMut(&[u8]) -> Vec<u8>| {
                let place = format!("{own} over {proto}, {datapath}");
                let (qtype, other, name) = match own.ip() {
                    IpAddr::V4(_) => (1, 28, "A"),
                    IpAddr::V6(_) => (28, 1, "AAAA"),
                };
                let owner = "x.whoami.example.net";
                let address = answers(&ask(&query(owner, qtype)));
                assert_eq!(address, [format!("{owner}. 0 IN {name} {}", own.ip())], "{place}");
                assert_eq!(answers(&ask(&query(owner, other))), [""; 0], "{place}");
                let (own, port) = (own.ip().to_string(), own.port().to_string());
                let texts =
                    [("ns", &own[..]), ("port", &port), ("proto", proto), ("node", NODE), ("pop", pop)]
                        .map(|(key, text)| format!("{owner}. 0 IN TXT \"{key}\" \"{text}\""));
                assert_eq!(answers(&ask(&query(owner, 16))), texts, "{place}");
            };
            let socket = daemon.udp(ip);
            let own = socket.local_addr().expect("it is bound");
            is_told(own, "udp", &mut |query| {
                let mut reply = vec![0; 65_535];
                socket.send(query).expect("sent");
                let len = socket.recv(&mut reply).expect("a reply");
                reply.truncate(len);
                reply
            });
            let mut stream = daemon.tcp(ip);
            let own = stream.local_addr().expect("it is connected");
            is_told(own, "tcp", &mut |query| {
                send_message(&mut stream, query);
                read_message(&mut stream).expect("a reply")
            });
        }
        assert_eq!(daemon.stop().0.code(), Some(0));
    }
}

/// What a command prints on stdout and stderr, and whether it succeeds.
fn run(command: &str, path: &str) -> (bool, String, String) {
    let output = Command::new(program()).args([command, "--config", path]).output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("as112d prints text");
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn zones_says_what_is_not_in_a_zone() {
    let (_dir, path) = configured(|config| config);
    let (succeeds, out, err) = run("zones", &path);
    assert!(succeeds, "{err}");
    let (_, zone) = out.split_once("; zone example.net.\n").expect("it is there");
    let special: Vec<&str> = zone.lines().filter(|line| line.starts_with(';')).collect();
    assert_eq!(
        special,
        [
            "; www.example.net. 60 IN A: tailored; PoPs: 2",
            "; *.cdn.example.net. 60 IN A: tailored; PoPs: 2",
            "; whoami.example.net. IN A AAAA TXT: who asks, here and below",
        ]
    );
    assert!(zone.contains("ns.example.net. 3600 IN A 192.0.2.1\n") && !zone.contains("192.0.2.2"), "{zone}");
}

#[test]
fn check_refuses_a_name_that_its_zone_contradicts_and_says_where() {
    for (name, message) in [
        ("alias.example.net", "alias.example.net. has a CNAME in its zone"),
        ("www.example.org", "www.example.org is in no zone of this node"),
    ] {
        let (_dir, path) = configured(|config| config.replace("www.example.net", name));
        let (succeeds, out, err) = run("check", &path);
        assert!(!succeeds, "{out}");
        let line = CONFIG.lines().position(|line| line.starts_with("names")).expect("it is there") + 1;
        let place = format!("as112d.toml:{line}:10: {message}");
        assert!(err.contains(&place), "{place}\n{err}");
    }
}
