//! `as112d resolver`: it resolves from a root of the test's own, whose zones real servers have, and a node
//! keeps it running.
#![cfg(feature = "resolver")]

mod common;
#[path = "platform/load.rs"]
#[allow(dead_code, reason = "only its open loop is used")]
mod load;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use common::daemon::{Daemon, PATIENCE, V4, free_port, get, program};
use common::decode::{ADDITIONAL, ANSWER, AUTHORITY, Message, second_opinion};
use common::peers::{Kind, Peer, ZoneFile};
use common::skip::skipped;
use common::{query, with_opt};
use load::{Tally, open_loop};

const A: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const MX: u16 = 15;
const TXT: u16 = 16;
const RRSIG: u16 = 46;
const NSEC: u16 = 47;

/// A root, a top-level domain and a zone below it, each on a server of its own at port 53 of an address of
/// its own.
struct World {
    dir: tempfile::TempDir,
    _servers: [Peer; 3],
}

impl World {
    /// `None` where port 53 cannot be had.
    fn make() -> Option<Self> {
        Self::make_with(|_, _| {})
    }

    /// As [`make`](Self::make), when `sign` has signed the root's file in its directory.
    fn make_with(sign: impl FnOnce(&Path, &Path)) -> Option<Self> {
        static WORLDS: AtomicU8 = AtomicU8::new(0);
        let world = WORLDS.fetch_add(1, Ordering::Relaxed);
        let servers = [1, 2, 3].map(|server| Ipv4Addr::new(127, 53, world, server));
        for address in servers {
            if let Err(error) = UdpSocket::bind((address, 53)) {
                skipped(&format!("port 53 of {address} takes root ({error})"));
                return None;
            }
        }
        let [root_at, test_at, example_at] = servers;
        let dir = common::folder();
        let soa = "$TTL 300\n@ SOA ns noc 1 7200 900 1209600 60\n";
        let zone = |name: &str, records: &str| {
            let path = dir.path().join(format!("zone{name}"));
            fs::write(&path, format!("{soa}{records}")).expect("a zone is written");
            ZoneFile { name: name.to_owned(), path }
        };
        let long: String =
            (0..12).map(|number| format!("long TXT \"{}{number}\"\n", "x".repeat(200))).collect();
        let root = zone(
            ".",
            &format!(
                "@ NS ns.own-root.\nns.own-root. A {root_at}\ntest. NS ns.test.\nns.test. A {test_at}\n"
            ),
        );
        sign(dir.path(), &root.path);
        let test = zone(
            "test",
            &format!("@ NS ns\nns A {test_at}\nexample NS ns.example\nns.example A {example_at}\n"),
        );
        let example = zone(
            "example.test",
            &format!(
                "@ NS ns\n@ MX 10 www\n*.any A 192.0.2.3\nns A {example_at}\nwww A 192.0.2.1\n\
                 www A 192.0.2.2\nalias CNAME www\n{long}"
            ),
        );
        let at = |address: Ipv4Addr| SocketAddr::from((address, 53));
        let servers = [
            Peer::start_at(Kind::Nsd, at(root_at), &[root]),
            Peer::start_at(Kind::Knot, at(test_at), &[test]),
            Peer::start_at(Kind::Nsd, at(example_at), &[example]),
        ];
        fs::write(
            dir.path().join("root.hints"),
            format!(". NS ns.own-root.\nns.own-root. 3600 IN A {root_at}\n"),
        )
        .expect("hints are written");
        Some(Self { dir, _servers: servers })
    }

    fn hints(&self) -> PathBuf {
        self.dir.path().join("root.hints")
    }

    /// A configuration with a resolver at `port`.
    fn configuration(&self, port: u16, further: &str) -> PathBuf {
        let path = self.dir.path().join(format!("as112d-{port}.toml"));
        let text = format!(
            "[resolver]\nenabled = true\naddress = '127.0.0.1:{port}'\nhints = 'root.hints'\n{further}"
        );
        fs::write(&path, text).expect("it is written");
        path
    }
}

/// A resolver that the test has started. It is killed when dropped.
struct Resolver {
    child: Child,
}

impl Resolver {
    fn start(arguments: &[&str], address: SocketAddr) -> Self {
        let mut command = Command::new(program());
        command.arg("resolver").args(arguments).stdin(Stdio::null());
        let resolver = Self { child: command.spawn().expect("it starts") };
        await_that("it answers", || ask_within(address, &query("ns.own-root", A), PATIENCE / 20).is_some());
        resolver
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so.
#[expect(clippy::disallowed_methods, reason = "there is no event to wait for")]
fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + 6 * PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it is never so that {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ask_within(address: SocketAddr, query: &[u8], within: Duration) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind((V4, 0)).expect("a socket");
    socket.connect(address).expect("connected");
    socket.set_read_timeout(Some(within)).expect("a time-out");
    let mut reply = vec![0; 65_535];
    // Where nobody listens, there is an error instead of a reply.
    let len = socket.send(query).and_then(|_| socket.recv(&mut reply)).ok()?;
    reply.truncate(len);
    (reply[..2] == query[..2]).then_some(reply)
}

/// Asks as clients do: again, if need be.
fn ask(address: SocketAddr, query: &[u8]) -> Vec<u8> {
    let replies = || ask_within(address, query, PATIENCE);
    (0..3).find_map(|_| replies()).unwrap_or_else(|| panic!("no reply to {query:02x?}"))
}

fn ask_tcp(address: SocketAddr, queries: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut stream = TcpStream::connect(address).expect("it is accepted");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    for query in queries {
        stream.write_all(&[&(query.len() as u16).to_be_bytes()[..], query].concat()).expect("sent");
    }
    let message = |_| {
        let mut len = [0; 2];
        stream.read_exact(&mut len).expect("a length");
        let mut message = vec![0; u16::from_be_bytes(len).into()];
        stream.read_exact(&mut message).expect("a message");
        message
    };
    queries.iter().map(message).collect()
}

/// Code, and the types of the records of each section.
fn said(reply: &[u8]) -> (u16, [Vec<u16>; 3]) {
    second_opinion(reply).unwrap_or_else(|fault| panic!("{fault}: {reply:02x?}"));
    let message = Message::decode(reply).unwrap_or_else(|fault| panic!("{fault}: {reply:02x?}"));
    let types = |section| message.section(section).map(|record| record.rtype).filter(|&rtype| rtype != 41);
    (message.header.rcode(), [ANSWER, AUTHORITY, ADDITIONAL].map(|section| types(section).collect()))
}

#[test]
fn it_resolves_from_the_root() {
    let Some(world) = World::make() else { return };
    let address = SocketAddr::new(V4, free_port());
    let (at, hints) = (address.to_string(), world.hints());
    let resolver = Resolver::start(&["--address", &at, "--hints", hints.to_str().expect("text")], address);

    /// A name, a type, the response code, and the types of the answer and of the authority.
    type Case = (&'static str, u16, u16, &'static [u16], &'static [u16]);
    let cases: [Case; 6] = [
        ("www.example.test", A, 0, &[A, A], &[]),
        ("ALIAS.example.test", A, 0, &[CNAME, A, A], &[]),
        ("example.test", MX, 0, &[MX], &[]),
        ("nothing.example.test", A, 3, &[], &[SOA]),
        ("www.example.test", TXT, 0, &[], &[SOA]),
        ("nothing", A, 3, &[], &[SOA]),
    ];
    for _ in 0..2 {
        for (name, rtype, code, answers, authorities) in cases {
            let asked = with_opt(query(name, rtype), 1232, &[]);
            for reply in [ask(address, &asked), ask_tcp(address, std::slice::from_ref(&asked)).remove(0)] {
                let (rcode, [answer, authority, _]) = said(&reply);
                assert_eq!(
                    (rcode, &answer[..], &authority[..]),
                    (code, answers, authorities),
                    "{name} {rtype}"
                );
                // QR, RD as asked, RA; no AA, TC, AD.
                assert_eq!((reply[2], reply[3] & 0xF0), (0x81, 0x80), "{name}");
                assert_eq!(
                    reply[12..asked.len() - 11],
                    asked[12..asked.len() - 11],
                    "the question as it was asked"
                );
            }
        }
    }
    // Too long for a datagram, but not for a connection; many answers on one, in any order.
    let long = query("long.example.test", TXT);
    let reply = ask(address, &long);
    assert_eq!((reply[2] & 2, said(&reply).1), (2, [vec![], vec![], vec![]]), "truncated");
    let mut queries: Vec<Vec<u8>> = (0..50).map(|_| long.clone()).collect();
    for (number, query) in queries.iter_mut().enumerate() {
        query[1] = number as u8;
    }
    let mut replies = ask_tcp(address, &queries);
    replies.sort_by_key(|reply| reply[1]);
    for (number, reply) in replies.iter().enumerate() {
        assert_eq!((reply[1], said(reply).1[0].len()), (number as u8, 12));
    }
    // What is no query gets nothing, what is a strange one an error.
    let mut response = long.clone();
    response[2] |= 0x80;
    for nothing in [&b"nonsense"[..], &long[..20], &response] {
        assert_eq!(ask_within(address, nothing, PATIENCE / 50), None, "{nothing:02x?}");
    }
    let mut notify = long.clone();
    notify[2] |= 0x20;
    assert_eq!(ask(address, &notify)[3] & 0xF, 4);
    assert_eq!(ask(address, &[0, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])[3] & 0xF, 1);

    is_confined(resolver.child.id(), 256 << 20);
    drop(resolver);
    assert_eq!(ask_within(address, &long, PATIENCE / 50), None);
}

/// Runs a tool of BIND; what it prints.
fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} starts: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text").trim().to_owned()
}

/// A new key for the root: its DNSKEY record. The files stay in `dir`.
fn root_key(dir: &str) -> String {
    let name = tool("dnssec-keygen", &["-q", "-K", dir, "-a", "ECDSAP256SHA256", "-f", "KSK", "."]);
    let record = fs::read_to_string(format!("{dir}/{name}.key")).expect("the key is there");
    record.lines().filter(|line| !line.starts_with(';')).collect()
}

/// In the fourth byte of the header.
const AD: u8 = 0x20;
const CD: u8 = 0x10;

fn with_bits(name: &str, rtype: u16, dnssec_ok: bool, bits: u8) -> Vec<u8> {
    let mut asked = with_opt(query(name, rtype), 1232, &[]);
    let flags_at = asked.len() - 4;
    asked[flags_at] |= if dnssec_ok { 0x80 } else { 0 };
    asked[3] |= bits;
    asked
}

#[test]
fn what_a_root_has_signed_is_validated() {
    let mut key = String::new();
    let world = World::make_with(|dir, root| {
        let (dir, root) = (dir.to_str().expect("text"), root.to_str().expect("text"));
        key = root_key(dir);
        tool("dnssec-signzone", &["-q", "-z", "-S", "-K", dir, "-d", dir, "-o", ".", "-f", root, root]);
    });
    let Some(world) = world else { return };
    let other = common::folder();
    let other = root_key(other.path().to_str().expect("text"));
    let hints = fs::read_to_string(world.hints()).expect("they were written");
    for (key, is_right) in [(&key, true), (&other, false)] {
        fs::write(world.hints(), format!("{hints}{key}\n")).expect("hints are written");
        let address = SocketAddr::new(V4, free_port());
        let (at, hints) = (address.to_string(), world.hints());
        let _resolver =
            Resolver::start(&["--address", &at, "--hints", hints.to_str().expect("text")], address);
        let told = |name: &str, rtype: u16, dnssec_ok: bool, bits: u8| {
            let reply = ask(address, &with_bits(name, rtype, dnssec_ok, bits));
            let (code, [answers, authorities, _]) = said(&reply);
            (code, reply[3] & AD != 0, answers, authorities)
        };
        if !is_right {
            for (dnssec_ok, bits) in [(false, 0), (true, 0), (true, AD)] {
                assert_eq!(told("ns.own-root", A, dnssec_ok, bits).0, 2, "it is signed by somebody else");
            }
            // Who validates, gets what there is to validate (RFC 4035, section 3.2.2; RFC 6840, section 5.9).
            for bits in [CD, CD | AD] {
                assert_eq!(told("ns.own-root", A, false, bits), (0, false, vec![A], vec![]));
                assert_eq!(told("ns.own-root", A, true, bits), (0, false, vec![A, RRSIG], vec![]));
                let (code, is_authentic, _, authorities) = told("nothing", A, true, bits);
                assert!((code, is_authentic) == (3, false) && authorities.contains(&SOA), "{authorities:?}");
                assert!(authorities.contains(&RRSIG) && authorities.contains(&NSEC), "{authorities:?}");
                assert_eq!(told("www.example.test", A, false, bits), (0, false, vec![A, A], vec![]));
            }
            // That is no answer for anybody else.
            assert_eq!(told("ns.own-root", A, true, 0).0, 2);
            continue;
        }
        assert_eq!(told("ns.own-root", A, false, 0), (0, false, vec![A], vec![]));
        assert_eq!(told("ns.own-root", A, false, AD), (0, true, vec![A], vec![]));
        assert_eq!(told("ns.own-root", A, true, AD | CD), (0, false, vec![A, RRSIG], vec![]), "unchecked");
        assert_eq!(told("ns.own-root", A, true, 0), (0, true, vec![A, RRSIG], vec![]));
        let (code, is_authentic, _, authorities) = told("nothing", A, true, 0);
        assert!((code, is_authentic) == (3, true) && authorities.contains(&SOA), "{authorities:?}");
        assert_eq!(told("nothing", A, false, 0), (3, false, vec![], vec![SOA]));
        // Below a delegation that is proven to be unsigned.
        assert_eq!(told("www.example.test", A, true, AD), (0, false, vec![A, A], vec![]));
    }
}

/// Memory and cores are limited; nothing of what root may do is left.
fn is_confined(id: u32, memory: usize) {
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).expect("it runs");
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).expect("the kernel says it");
        line[name.len()..].split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(limit("Max address space")[..2], [memory.to_string(), memory.to_string()]);
    assert_eq!(limit("Max core file size")[..2], ["0", "0"]);
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("the kernel says it");
        line[name.len()..].split_whitespace().next().expect("a value").to_owned()
    };
    assert_eq!((&field("NoNewPrivs:")[..], &field("CapEff:")[..]), ("1", "0000000000000000"));
    assert_eq!((&field("Seccomp:")[..], &field("Threads:")[..]), ("2", "1"));
    assert_ne!(field("Uid:"), "0");
    assert!(field("VmRSS:").parse::<usize>().expect("a number") * 1024 < memory);
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    let dir = common::folder();
    let path = |name: &str| dir.path().join(name).to_str().expect("text").to_owned();
    let (hints, none, config) = (path("hints"), path("none"), path("as112d.toml"));
    fs::write(&hints, "; nothing\nns. A 10.0.0.1\nns. A 10.0.0\n").expect("it is written");
    fs::write(&config, "[resolver]\nenabled = true\nmemory = '1KiB'\n").expect("it is written");
    let taken = UdpSocket::bind((V4, 0)).expect("a socket");
    let taken = taken.local_addr().expect("it is bound").to_string();
    let there = format!("{hints}:3: `10.0.0` is not an address");
    let cases: [(&[&str], i32, &str); 7] = [
        (&["--address", "192.0.2.1:53"], 1, "not a loopback address"),
        (&["--address", "127.0.0.1:0"], 1, "has port 0"),
        (&["--address", "localhost"], 2, "invalid"),
        (&["--hints", &none], 1, "No such file"),
        (&["--hints", &hints], 1, &there),
        (&["--config", &config], 1, "as112d.toml:3:10: `1KiB` is out of range"),
        (&["--address", &taken], 1, "cannot resolve at"),
    ];
    for (arguments, code, expected) in cases {
        let output = Command::new(program()).arg("resolver").args(arguments).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

/// The resolvers that were started with a configuration.
fn resolvers(config: &Path) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("/proc is mounted").filter_map(Result::ok);
    let ids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    let is_one = |id: &u32| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let mut words = line.split(|&byte| byte == 0);
        words.any(|word| word == b"resolver")
            && words.any(|word| word == config.as_os_str().as_encoded_bytes())
    };
    ids.filter(is_one).collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a resolver that dies at once is another case")]
fn a_node_keeps_one_running() {
    let Some(world) = World::make() else { return };
    let port = free_port();
    let (config, address) = (world.configuration(port, ""), SocketAddr::new(V4, port));
    let control = world.dir.path().join("control");
    let arguments =
        ["--control", control.to_str().expect("text"), "--config", config.to_str().expect("text")];
    let arguments = [&arguments[..], &["--http", "127.0.0.1:0"]].concat();
    let daemon = Daemon::start(&arguments);
    let metric = |line: &str| get(daemon.http(), "/metrics").lines().any(|other| other == line);
    let www = query("www.example.test", A);
    let answers =
        || ask_within(address, &www, PATIENCE / 20).is_some_and(|reply| said(&reply).1[0] == [A, A]);
    await_that("it answers", answers);
    let [first] = resolvers(&config)[..] else { panic!("there is one") };
    is_confined(first, 256 << 20);

    await_that("it is told", || metric("as112_resolver_up 1") && metric("as112_resolver_starts_total 1"));

    // Killed, it comes back, and the node does not notice.
    let mut before = first;
    let native = query("1.1.168.192.in-addr.arpa", 12);
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(1100));
        kill(Pid::from_raw(before.cast_signed()), Signal::SIGKILL).expect("it runs");
        assert_eq!(daemon.ask_udp(V4, &native)[3] & 0xF, 3);
        await_that("another one answers", || answers() && resolvers(&config).iter().any(|id| *id != before));
        let [now] = resolvers(&config)[..] else { panic!("there is one") };
        assert_ne!(now, before);
        before = now;
    }
    await_that("its starts are counted", || metric("as112_resolver_starts_total 5"));
    let state: Value = serde_json::from_str(&get(daemon.http(), "/stats.json")).expect("JSON");
    let resolver = &state["platform"]["resolver"];
    let ended = resolver["ended"].as_str().unwrap_or_default();
    assert!(resolver["starts"] == 5 && ended.contains("signal"), "{resolver}");

    // At an upgrade there is always one, and in the end one.
    let upgrade =
        Command::new(program()).args(["upgrade", "--control"]).arg(&control).output().expect("it runs");
    assert!(upgrade.status.success(), "{}", String::from_utf8_lossy(&upgrade.stderr));
    let deadline = Instant::now() + 6 * PATIENCE;
    while resolvers(&config).contains(&before) {
        assert!(Instant::now() < deadline, "the old one never ends");
        let reply = ask_within(address, &www, PATIENCE);
        assert!(reply.is_some() || !resolvers(&config).contains(&before), "there is always one");
    }
    await_that("there is one that answers", || resolvers(&config).len() == 1 && answers());

    // With the node it ends, however that ends.
    let stopped =
        Command::new(program()).args(["shutdown", "--control"]).arg(&control).output().expect("it runs");
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    await_that("none is left", || resolvers(&config).is_empty());
    await_that("the node has ended", || UnixStream::connect(&control).is_err());
    drop(daemon);
    let daemon = Daemon::start(&arguments);
    await_that("it answers", answers);
    kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGKILL).expect("it runs");
    await_that("none is left", || resolvers(&config).is_empty());
}

/// How long after its end the resolver is started again, as documented: a second at first, and after each
/// that ran for less than a second twice as long.
const WAIT: Duration = Duration::from_secs(1);
/// What a busy machine may take to start it, and the node to notice: it tries once a second.
const START: Duration = Duration::from_secs(10);

/// Killed fifty times while queries go on: those for the node's own names notice nothing; those that are
/// resolved get the right data or an error, and the right data again in time.
#[test]
#[expect(clippy::disallowed_methods, reason = "it is killed after it has run for a while")]
fn killed_fifty_times_under_load() {
    let Some(world) = World::make() else { return };
    let port = free_port();
    let config = world.configuration(
        port,
        "[[route]]\nname = 'resolve'\nwhen = 'qname-suffix in { example.test }'\nthen = 'resolve'\n\
         allow = ['127.0.0.0/8']\n",
    );
    let daemon = Daemon::start(&["--config", config.to_str().expect("text")]);
    let node = daemon.address(V4);
    let mut asked = 0;
    // A name that nobody has asked for.
    let mut is_right = || {
        asked += 1;
        let reply = ask_within(node, &query(&format!("n{asked}.any.example.test"), A), PATIENCE);
        reply.is_some_and(|reply| said(&reply).1[0] == [A] && reply.ends_with(&[192, 0, 2, 3]))
    };
    await_that("it resolves", &mut is_right);

    let (is_over, native, resolved) = (AtomicBool::new(false), Tally::default(), Tally::default());
    let by_number = |number: u64| query(&format!("{number}.1.168.192.in-addr.arpa"), 12);
    let is_native = |_: u64, reply: &[u8], _: Instant| match reply[3] & 0xF {
        3 => Ok(()),
        code => Err(format!("code {code}")),
    };
    let to_resolve = |number: u64| query(&format!("l{number}.any.example.test"), A);
    let is_resolved = |_: u64, reply: &[u8], _: Instant| match reply[3] & 0xF {
        0 if said(reply).1[0] == [A] && reply.ends_with(&[192, 0, 2, 3]) => Ok(()),
        2 => Ok(()),
        code => Err(format!("code {code}: {reply:02x?}")),
    };
    let mut slowest = Duration::ZERO;
    std::thread::scope(|scope| {
        scope.spawn(|| open_loop(node, 1000, &native, &is_over, &by_number, &is_native));
        scope.spawn(|| open_loop(node, 100, &resolved, &is_over, &to_resolve, &is_resolved));
        let mut kills = || {
            let mut wait = WAIT;
            for round in 0..50 {
                // The last four as soon as they are there.
                let is_soon = round >= 46;
                if !is_soon {
                    std::thread::sleep(WAIT + WAIT / 20);
                }
                wait = if is_soon { 2 * wait } else { WAIT };
                let [process] = resolvers(&config)[..] else { panic!("there is one") };
                let killed = Instant::now();
                kill(Pid::from_raw(process.cast_signed()), Signal::SIGKILL).expect("it runs");
                if is_soon && round < 49 {
                    await_that(
                        "there is another one",
                        || matches!(resolvers(&config)[..], [another] if another != process),
                    );
                } else {
                    await_that("it resolves again", &mut is_right);
                    assert!(killed.elapsed() <= wait + START, "{:?} for {wait:?}", killed.elapsed());
                    slowest = slowest.max(killed.elapsed().saturating_sub(wait));
                }
            }
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut kills));
        is_over.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    println!("report: resolver_back {slowest:?} after its wait at most; {} resolved", resolved.answered());
    native.check();
    resolved.check();
    assert_eq!((native.lost(), resolved.lost()), (0, 0), "of {} and {}", native.asked(), resolved.asked());
}
