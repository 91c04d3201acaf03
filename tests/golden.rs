//! The golden cases of `tests/golden`: each in this process, and through the running daemon over UDP and TCP,
//! IPv4 and IPv6, on every datapath. The same bytes come out of every door.
//!
//! `UPDATE=1 cargo test --test golden` rewrites the replies in the files; the difference is to be reviewed.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, Shutdown, UdpSocket};
use std::time::{Duration, Instant};

use as112d::dns::arrival::Pace;
use as112d::stats::counters::{FAMILIES, Family};

use common::daemon::{Daemon, PATIENCE, V4, V6, get, read_message, send_message, wait_until};
use common::golden::{Case, DOORS, Node, config_path, root};
use common::guest;
use common::order::Judge;
use common::skip::skipped;

/// Cases by the configuration that they name.
fn by_config() -> BTreeMap<String, Vec<Case>> {
    let mut configs = BTreeMap::<String, Vec<Case>>::new();
    for case in Case::all().into_iter().filter(|case| !guest::IS_BESIDE || case.config != guest::NARROWS) {
        configs.entry(case.config.clone()).or_default().push(case);
    }
    configs
}

#[test]
fn cases_hold_in_process() {
    let update = std::env::var_os("UPDATE").is_some_and(|value| value == "1");
    let mut wrong = Vec::new();
    for (config, cases) in by_config() {
        let node = Node::load(&config);
        for case in cases {
            wrong.extend(case.check(&case.outcomes(&node), update).err());
            for arrival in case.arrivals() {
                Judge::new(&node, arrival).ask(&case.query);
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases differ:\n\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn cases_move_every_counter_of_serve_and_use_every_file() {
    let cases = Case::all();
    assert!(cases.len() >= 120, "only {} cases", cases.len());
    let named: BTreeSet<&str> = cases
        .iter()
        .flat_map(|case| &case.counters)
        .flatten()
        .map(|name| name.split(['{', '*']).next().expect("a split has a first part"))
        .collect();
    // Those of the threads, which `serve` does not see, and of rules are counted elsewhere; and probes do not
    // come over loopback (src/serve/mod.rs and tests/routes.rs).
    let elsewhere = ["tcp_", "source_samples", "tapped", "xdp_", "probe_queries", "over_limit"];
    let is_elsewhere = |family: &Family| {
        family.by_shard || family.is_of_platform() || elsewhere.iter().any(|part| family.name.contains(part))
    };
    let of_serve = FAMILIES.iter().filter(|family| !is_elsewhere(family));
    let short = of_serve.map(|family| family.name.trim_start_matches("as112_").trim_end_matches("_total"));
    let forgotten: Vec<&str> = short.filter(|name| !named.contains(name)).collect();
    assert_eq!(forgotten, [""; 0], "no case moves them");

    let configs: BTreeSet<&str> = cases.iter().map(|case| &case.config[..]).collect();
    let files = std::fs::read_dir(root()).expect("the folder is there");
    let files = files.map(|file| file.expect("it can be read").path());
    let unused: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter(|path| !configs.contains(path.file_stem().expect("it has one").to_str().expect("ASCII")))
        .collect();
    assert!(unused.is_empty(), "no case uses {unused:?}");
}

#[test]
fn cases_hold_at_every_door_of_io_uring() {
    every_door("io_uring");
}

#[test]
fn cases_hold_at_every_door_of_mmsg() {
    every_door("mmsg");
}

fn every_door(datapath: &str) {
    // Cookies hold the time: tests/cookies.rs asks the daemon for them.
    for (config, cases) in by_config().into_iter().filter(|(config, _)| config != "cookies") {
        let node = Node::load(&config);
        // In tests/guests/ an application answers instead.
        let app = guest::IS_BESIDE.then(|| guest::node_with_app(&config));
        let path = app.as_ref().map_or_else(|| config_path(&config), |(_, path)| path.clone());
        let path = path.to_str().expect("the path is ASCII");
        let daemon = Daemon::start(&["--config", path, "--datapath", datapath, "--http", "127.0.0.1:0"]);
        let doors = [V4, V6].map(|ip| Door { daemon: &daemon, ip, udp: daemon.udp(ip) });
        // The node there has no limit to be over.
        for case in cases.iter().filter(|case| case.pace == Pace::Within) {
            let [udp, tcp] = case.outcomes(&node).map(|(reply, _)| reply);
            for door in &doors {
                let place =
                    |transport| format!("{} over {transport} at {}, {datapath}", case.name(), door.ip);
                door.ask_udp(case, udp.as_deref(), &place(DOORS[0]));
                door.ask_tcp(case, tcp.as_deref(), &place(DOORS[1]));
            }
        }
        drop(doors);
        if guest::IS_BESIDE {
            let counted = || guest::counted(&get(daemon.http(), "/metrics"));
            wait_until("what the application answered is counted", || counted().0 > cases.len() as u64);
            assert_eq!(counted().1, 0, "{config}: it failed");
        }
        // The threads did all that with the system calls that they kept.
        assert_eq!(daemon.stop().0.code(), Some(0), "{config}");
    }
}

/// One address of the daemon.
struct Door<'d> {
    daemon: &'d Daemon,
    ip: IpAddr,
    udp: UdpSocket,
}

/// A query whose reply shows that whatever came before has been dealt with, and the ID by which it is known.
fn liveness() -> Vec<u8> {
    let mut query = common::query("10.in-addr.arpa", 6);
    query[..2].copy_from_slice(&LIVENESS_ID);
    query
}

const LIVENESS_ID: [u8; 2] = [0xA1, 0x1E];

impl Door<'_> {
    /// The reply must come, and the one to the liveness query must be the next: there is one reply at most,
    /// and none is shown without waiting.
    fn ask_udp(&self, case: &Case, expected: Option<&[u8]>, place: &str) {
        assert_ne!(case.query.get(..2), Some(&LIVENESS_ID[..]), "{place}: the ID is taken");
        match case.peer {
            None => {
                self.udp.send(&case.query).expect("sent");
                // What a worker answers may overtake what a shard does.
                if !guest::IS_BESIDE {
                    self.udp.send(&liveness()).expect("sent");
                }
                if let Some(expected) = expected {
                    assert_eq!(receive(&self.udp), expected, "{place}");
                }
                if guest::IS_BESIDE {
                    self.udp.send(&liveness()).expect("sent");
                }
            }
            Some(peer) if peer.port() == 0 || peer.port() == 5300 => {
                // Port 0 is no source that the kernel gives, and that of the daemon is the daemon's.
                println!("{place}: only in process");
                return;
            }
            Some(peer) => {
                let Some(socket) = bind(self.ip, peer.port(), place) else { return };
                socket.connect(self.daemon.address(self.ip)).expect("connected");
                socket.send(&case.query).expect("sent");
                if guest::IS_BESIDE
                    && let Some(expected) = expected
                {
                    assert_eq!(receive(&socket), expected, "{place}");
                    return;
                }
                socket.set_nonblocking(true).expect("a socket can be that");
                // From another port: this one's liveness query would be dropped too.
                self.udp.send(&liveness()).expect("sent");
                assert_eq!(receive(&self.udp)[..2], LIVENESS_ID, "{place}");
                let mut buffer = [0; 65_535];
                match (socket.recv(&mut buffer), expected) {
                    (Ok(len), Some(expected)) => assert_eq!(buffer[..len], *expected, "{place}"),
                    (Err(error), None) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{place}"),
                    (got, _) => panic!("{place}: {got:?}"),
                }
                return;
            }
        }
        assert_eq!(receive(&self.udp)[..2], LIVENESS_ID, "{place}: more than was expected");
    }

    /// With a reply the connection stays and nothing else comes; without, it ends before a byte.
    fn ask_tcp(&self, case: &Case, expected: Option<&[u8]>, place: &str) {
        let mut stream = self.daemon.tcp(self.ip);
        send_message(&mut stream, &case.query);
        let Some(expected) = expected else {
            let mut rest = Vec::new();
            let end = stream.read_to_end(&mut rest);
            assert!(end.is_ok() && rest.is_empty(), "{place}: {end:?}, {rest:02x?}");
            return;
        };
        if !guest::IS_BESIDE {
            send_message(&mut stream, &liveness());
            stream.shutdown(Shutdown::Write).expect("connected");
        }
        let reply = read_message(&mut stream).unwrap_or_else(|| panic!("{place}: closed"));
        assert_eq!(reply, expected, "{place}");
        if guest::IS_BESIDE {
            send_message(&mut stream, &liveness());
            stream.shutdown(Shutdown::Write).expect("connected");
        }
        let next = read_message(&mut stream).unwrap_or_else(|| panic!("{place}: closed afterwards"));
        assert_eq!(next[..2], LIVENESS_ID, "{place}: more than was expected");
        assert_eq!(read_message(&mut stream), None, "{place}: more than was expected");
    }
}

/// A socket with a port of its own. Without the right to it the case is skipped; while another test has it,
/// this one waits.
fn bind(ip: IpAddr, port: u16, place: &str) -> Option<UdpSocket> {
    let began = Instant::now();
    loop {
        match UdpSocket::bind((ip, port)) {
            Ok(socket) => return Some(socket),
            Err(error) if error.kind() == ErrorKind::AddrInUse && began.elapsed() < PATIENCE => pause(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{place}: port {port}: {error}");
                skipped(&format!("{place}: port {port} takes root"));
                return None;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing tells when a port becomes free")]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_535];
    let len = socket.recv(&mut buffer).expect("a reply");
    buffer.truncate(len);
    buffer
}
