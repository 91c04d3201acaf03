//! Programs that people use, against the running daemon on both datapaths: dig, kdig, nsupdate, dnsperf.

mod common;

use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Output, Stdio};

use common::NODE;
use common::daemon::{Daemon, V4, V6};
use tempfile::NamedTempFile;

const DATAPATHS: [&str; 2] = ["io_uring", "mmsg"];

fn start(datapath: &str) -> Daemon {
    Daemon::start(&["--datapath", datapath, "--node", NODE])
}

/// What a program prints that is given `input`; the words of `line` are its arguments.
fn run(line: &str, input: &str) -> Output {
    let mut words = line.split_whitespace();
    let program = words.next().expect("a program");
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// A program's output; it must have succeeded and have found no fault.
fn printed(line: &str) -> String {
    let output = run(line, "");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{line}: {text}");
    for fault in ["malformed", "mismatch", "FORMERR", "Truncated", "retrying", "timed out", "bad packet"] {
        assert!(!text.contains(fault), "{line}: {text}");
    }
    text
}

/// What dig and kdig are asked, and what both then print.
const QUERIES: [(&str, &[&str]); 11] = [
    (
        "1.1.168.192.in-addr.arpa PTR",
        &["NXDOMAIN", "qr aa rd;", "168.192.in-addr.arpa. 604800 IN SOA prisoner.iana.org."],
    ),
    ("+tcp 1.1.168.192.in-addr.arpa PTR", &["NXDOMAIN", "(TCP)"]),
    ("10.in-addr.arpa SOA", &["NOERROR", "10.in-addr.arpa. 604800 IN SOA prisoner.iana.org."]),
    ("10.in-addr.arpa NS", &["10.in-addr.arpa. 604800 IN NS blackhole-1.iana.org."]),
    ("+nsid 10.in-addr.arpa A", &["NOERROR", "\"node1.example\""]),
    ("+bufsize=512 10.in-addr.arpa AAAA", &["NOERROR", "1232"]),
    ("+dnssec 10.in-addr.arpa DNSKEY", &["NOERROR", "flags: do", "IN SOA"]),
    ("10.in-addr.arpa TYPE65280", &["NOERROR", "IN SOA"]),
    ("ch txt id.server", &["NOERROR", "CH TXT \"node1.example\""]),
    ("hostname.as112.net txt", &["NOERROR", "IN TXT \"node1.example\""]),
    ("www.example.com A", &["REFUSED", "qr rd;"]),
];

#[test]
#[ignore = "needs dig and kdig; tests/run installs them"]
fn dig_and_kdig_find_no_fault() {
    for datapath in DATAPATHS {
        let daemon = start(datapath);
        for ip in [V4, V6] {
            let family = if ip == V4 { "-4" } else { "-6" };
            for program in ["dig", "kdig"] {
                for (query, words) in QUERIES {
                    let line = format!("{program} {family} -p {} @{ip} {query}", daemon.port);
                    // Tabs, and spaces that make columns, are of no matter.
                    let text = printed(&line).split_whitespace().collect::<Vec<_>>().join(" ");
                    assert!(words.iter().all(|word| text.contains(word)), "{line}: {words:?} in {text}");
                }
            }
            let line = format!("dig {family} -p {} @{ip} +tcp +keepalive 10.in-addr.arpa SOA", daemon.port);
            assert!(printed(&line).contains("TCP KEEPALIVE: 10.0 secs"), "{line}");
        }
        assert_eq!(daemon.stop().0.code(), Some(0));
    }
}

/// A client whose update is refused must stop there: it asks no other server, and not again.
#[test]
#[ignore = "needs nsupdate; tests/run installs it"]
fn nsupdate_is_refused_and_stops() {
    for datapath in DATAPATHS {
        let daemon = start(datapath);
        let update = "update add 1.0.0.10.in-addr.arpa 60 PTR host.example.";
        let input = format!("server {V4} {}\nzone 10.in-addr.arpa\n{update}\nsend\n", daemon.port);
        for line in ["nsupdate", "nsupdate -v"] {
            let output = run(line, &input);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), said.trim()), (Some(2), "update failed: REFUSED"));
        }
        let (status, said) = daemon.stop();
        assert_eq!((status.code(), &said[..]), (Some(0), &["stopped after 2 queries".to_owned()][..]));
    }
}

/// A file of `count` different names below the zones of private addresses, every hundredth query one for an
/// apex.
fn query_file(count: usize) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    let mut text = String::new();
    for index in 0..count {
        let [_, b, c, d] = (index as u32).to_be_bytes();
        text += &match index % 100 {
            0 => format!("{}.172.in-addr.arpa SOA\n", 16 + index / 100 % 16),
            1..60 => format!("{d}.{c}.{b}.10.in-addr.arpa PTR\n"),
            60..90 => format!("{d}.{c}.{b}.168.192.in-addr.arpa PTR\n"),
            _ => format!("h{index}.empty.as112.arpa A\n"),
        };
    }
    file.write_all(text.as_bytes()).expect("it is written");
    file
}

/// What dnsperf counted.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    sent: u64,
    completed: u64,
    lost: u64,
    /// The codes that came, in their order in the output.
    rcodes: Vec<String>,
}

/// Runs dnsperf for `seconds` with further `options`. It has at most 100 queries outstanding, its default:
/// the answers pace it, and what is under way never fills the receive buffer of either side. So there is no
/// need for a rate, and a query that is lost was lost by the server.
fn dnsperf(options: &str, ip: IpAddr, port: u16, seconds: u32, file: &NamedTempFile) -> Counts {
    let path = file.path().display();
    let text = printed(&format!("dnsperf -e -D {options} -s {ip} -p {port} -l {seconds} -d {path}"));
    assert!(!text.contains("Warning"), "{text}");
    let field = |name: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(name));
        line.unwrap_or_else(|| panic!("no {name}: {text}"))
            .split_once(':')
            .expect("a value")
            .1
            .trim()
            .to_owned()
    };
    let number = |name: &str| -> u64 {
        field(name).split(' ').next().and_then(|word| word.parse().ok()).expect("a number")
    };
    let rcode = |part: &str| part.trim().split(' ').next().map(str::to_owned);
    Counts {
        sent: number("Queries sent"),
        completed: number("Queries completed"),
        lost: number("Queries lost"),
        rcodes: field("Response codes").split(',').filter_map(rcode).collect(),
    }
}

#[test]
#[ignore = "needs dnsperf; tests/run installs it"]
fn dnsperf_loses_nothing() {
    let file = query_file(200_000);
    for datapath in DATAPATHS {
        let daemon = start(datapath);
        for options in ["-c 16", "-m tcp -c 20"] {
            let counts = dnsperf(options, V4, daemon.port, 10, &file);
            assert!(counts.sent > 200_000, "each name was asked for: {datapath} {options} {counts:?}");
            assert_eq!((counts.completed, counts.lost), (counts.sent, 0), "{datapath} {options}");
            assert_eq!(counts.rcodes, ["NOERROR", "NXDOMAIN"], "{datapath} {options}");
            println!("report: dnsperf {options} on {datapath}: {} queries in 10 s, none lost", counts.sent);
        }
        assert_eq!(daemon.stop().0.code(), Some(0));
    }
}

/// What a query costs the program as it is shipped.
mod cost {
    use super::*;
    use common::daemon::is_as_shipped;
    use common::peers::{Kind, Peer, cpu_ticks, zones_of_daemon};
    use common::skip::skipped;

    /// Rounds, and seconds of each: odd, so that there is a median.
    const ROUNDS: usize = 3;
    const SECONDS: u32 = 3;
    /// The target is less than NSD's. On a machine that others use too, a run may be wrong by much: only what
    /// is beyond all noise fails.
    const NOISE: f64 = 5.0;

    /// CPU time that a server, whose process or group is `id`, uses for one query, in microseconds.
    fn round(id: u32, port: u16, file: &NamedTempFile) -> f64 {
        /// Linux tells CPU time in hundredths of a second (USER_HZ), whatever its own clock is.
        const TICK_US: f64 = 10_000.0;
        let before = cpu_ticks(id);
        let counts = dnsperf("-c 16", V4, port, SECONDS, file);
        (cpu_ticks(id) - before) as f64 * TICK_US / counts.completed as f64
    }

    #[test]
    #[ignore = "needs nsd and dnsperf; tests/run installs them"]
    fn a_query_costs_less_than_in_nsd() {
        if !is_as_shipped() {
            return skipped("only the program as it is shipped is worth measuring: AS112D_BIN");
        }
        let file = query_file(200_000);
        let dir = tempfile::TempDir::new().expect("a folder");
        let zones = zones_of_daemon(dir.path(), &["--node", NODE]);
        let daemons = DATAPATHS.map(start);
        let nsd = Peer::start(Kind::Nsd, &zones);
        let [io_uring, mmsg] = &daemons;
        let servers = [(nsd.group(), nsd.port), (io_uring.id(), io_uring.port), (mmsg.id(), mmsg.port)];
        let mut costs = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            for ((id, port), costs) in servers.iter().zip(&mut costs) {
                costs.push(round(*id, *port, &file));
            }
        }
        let [nsd, io_uring, mmsg] = costs.map(|mut costs| {
            costs.sort_by(f64::total_cmp);
            costs[ROUNDS / 2]
        });
        for (datapath, ours) in DATAPATHS.iter().zip([io_uring, mmsg]) {
            let ratio = ours / nsd;
            println!(
                "report: CPU per query: {datapath} {ours:.2} us, NSD {nsd:.2} us: {ratio:.2} (target: <1)"
            );
            assert!(ours < NOISE * nsd, "{datapath}: {ours:.2} us a query, NSD {nsd:.2} us");
        }
    }
}
