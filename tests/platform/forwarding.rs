//! Real servers behind the node: what comes through it is what they say when they are asked directly.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use as112d::dns::consts::rtype;
use hickory_proto::rr::RecordType;
use tempfile::TempDir;

use crate::common::daemon::{V4, read_message, send_message};
use crate::common::decode::second_opinion;
use crate::common::lab::is_there;
use crate::common::peers::ZoneFile;
use crate::common::skip::skipped;
use crate::common::{folder, query};
use crate::load::all_of;
use crate::node::{Answer, Node, SERVFAIL, Setup};
use crate::servers::{Kind, Server, TLS_NAME, certificates};

const QUERIES: usize = 10_000;
const WINDOW: usize = 32;
const PATIENCE: Duration = Duration::from_secs(5);
/// The zone; another beside it is what its DNAME and a CNAME lead to.
const ZONE: &str = "kinds.example";

/// Zone files with all kinds of answers, signed where dnssec-signzone is there.
fn zones(folder: &Path) -> Vec<ZoneFile> {
    let mut text = format!(
        "$TTL 3600\n$ORIGIN {ZONE}.\n@ SOA ns hostmaster 1 3600 600 86400 900\n@ NS ns\nns A 192.0.2.1\n\
         ns AAAA 2001:db8::1\n@ MX 10 mail\n@ MX 20 mail.elsewhere.example.\nmail A 192.0.2.25\n\
         @ TXT \"v=spf1 -all\"\n@ CAA 0 issue \"ca.example\"\n_dns._udp SRV 1 2 53 ns\n*.wild A 192.0.2.77\n\
         *.wild TXT \"wild\"\ntree DNAME branch\nleaf.branch A 192.0.2.80\nempty.non.terminal A 192.0.2.9\n\
         Mixed.Case A 192.0.2.10\nout CNAME somewhere.elsewhere.example.\nchain9 A 192.0.2.99\n\
         sub NS ns.sub\nns.sub A 192.0.2.200\n"
    );
    for n in 0..9 {
        let _ = writeln!(text, "chain{n} CNAME chain{}", n + 1);
    }
    for n in 0..500 {
        let _ = writeln!(text, "h{n} A 10.1.{}.{}\nh{n} AAAA 2001:db8::{n:x}", n / 256, n % 256);
    }
    for n in 0..60 {
        let _ = writeln!(
            text,
            "many A 10.2.0.{n}\nbig{n} TXT \"{}\" \"{}\"",
            "x".repeat(250),
            "y".repeat(9 * n % 255)
        );
        // Over what UDP carries: these come over TCP.
        for part in 0..12 {
            let _ = writeln!(text, "huge{n} TXT \"{part}{}\"", "z".repeat(200));
        }
    }
    let path = folder.join("kinds.zone");
    fs::write(&path, text).expect("written");
    let path = if is_there("dnssec-signzone") { sign(folder) } else { path };
    vec![ZoneFile { name: ZONE.to_owned(), path }]
}

fn sign(folder: &Path) -> std::path::PathBuf {
    let run = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).current_dir(folder).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run("dnssec-keygen", &["-a", "ECDSAP256SHA256", "-f", "KSK", ZONE]);
    run("dnssec-keygen", &["-a", "ECDSAP256SHA256", ZONE]);
    run("dnssec-signzone", &["-S", "-P", "-o", ZONE, "-f", "kinds.signed", "kinds.zone"]);
    folder.join("kinds.signed")
}

/// All kinds of queries, by number.
fn question(n: usize) -> Vec<u8> {
    let types = [1, 28, 16, 15, 2, 6, 12, 33, 48, 43, 257, rtype::ANY, 65, 35, 52];
    let pick = n.wrapping_mul(2_654_435_761) >> 7;
    let name = match n % 16 {
        0..=3 => format!("h{}", pick % 600),
        4 => format!("big{}", pick % 70),
        5 => format!("huge{}", pick % 62),
        6 => format!("chain{}", pick % 10),
        7 => format!("{}.wild", pick % 900),
        8 => format!("leaf{}.tree", if pick.is_multiple_of(2) { "" } else { "s" }),
        9 => format!("nothing{}", pick % 900),
        10 => ["out", "many", "mixed.case", "MIXED.case", "non.terminal", "terminal"][pick % 6].to_owned(),
        11 => ["_dns._udp", "ns", "mail", "chain9", "tree", "branch"][pick % 6].to_owned(),
        12 => format!("a{}.sub", pick % 30),
        13 => format!("H{}", pick % 500),
        14 => format!("{}.h{}", pick % 9, pick % 400),
        _ => "@".to_owned(),
    };
    let name = if name == "@" { ZONE.to_owned() } else { format!("{name}.{ZONE}") };
    let qtype = if n.is_multiple_of(3) { types[(n / 3) % types.len()] } else { [1, 28, 16][n / 3 % 3] };
    let mut packet = query(&name, qtype);
    // Without EDNS, with it, and with DO; some turn checking off.
    match n / 7 % 4 {
        0 => {}
        1 => packet = crate::common::with_opt(packet, 1232, &[]),
        which => {
            packet = crate::common::with_opt(packet, if which == 2 { 1232 } else { 4096 }, &[]);
            let at = packet.len() - 4;
            packet[at] = 0x80;
        }
    }
    if n.is_multiple_of(11) {
        packet[3] |= 0x10;
    }
    packet
}

/// A reply as it is compared: response code, and each section as a set, in lower case. TTLs stand beside.
#[derive(Debug, PartialEq)]
struct Said {
    rcode: u8,
    sections: [Vec<String>; 2],
}

fn said(packet: &[u8]) -> (Said, BTreeMap<String, u32>) {
    let message = second_opinion(packet).unwrap_or_else(|why| panic!("{why}: {packet:02x?}"));
    let mut ttls = BTreeMap::new();
    let mut section = |records: &[hickory_proto::rr::Record]| {
        let mut all: Vec<String> = records
            .iter()
            .map(|record| {
                let text = format!("{} {:?} {}", record.name, record.record_type(), record.data);
                let text = text.to_ascii_lowercase();
                ttls.insert(text.clone(), record.ttl);
                text
            })
            .collect();
        all.sort();
        all
    };
    let sections = [section(&message.answers), section(&message.authorities)];
    (Said { rcode: packet[3] & 15, sections }, ttls)
}

/// Over UDP, and over TCP for what is cut.
fn ask_all(to: SocketAddr) -> Vec<Vec<u8>> {
    let all = all_of(to, QUERIES, WINDOW, PATIENCE, question);
    let mut stream = None;
    let mut whole = |n: usize, reply: Option<Vec<u8>>| {
        let reply = reply.unwrap_or_else(|| panic!("{to}: {n} is not answered: {:02x?}", question(n)));
        if reply[2] & 2 == 0 {
            return reply;
        }
        for _ in 0..3 {
            let open = stream.get_or_insert_with(|| {
                let open = std::net::TcpStream::connect(to).expect("connected");
                open.set_read_timeout(Some(PATIENCE)).expect("a time-out");
                open
            });
            send_message(open, &question(n));
            match read_message(open) {
                Some(reply) => return reply,
                // It had enough of this connection.
                None => stream = None,
            }
        }
        panic!("{to}: {n} is cut over UDP and not answered over TCP");
    };
    all.into_iter().enumerate().map(|(n, reply)| whole(n, reply)).collect()
}

/// Of ANY, a resolver says what it happens to have (RFC 8482).
fn is_any(n: usize) -> bool {
    second_opinion(&question(n)).expect("a query").queries[0].query_type() == RecordType::ANY
}

fn compare(what: &str, kind: Kind, direct: &[Vec<u8>], through: &[Vec<u8>]) {
    let mut different = Vec::new();
    for n in (0..QUERIES).filter(|&n| kind != Kind::Unbound || !is_any(n)) {
        let ((direct, ttls), (through, left)) = (said(&direct[n]), said(&through[n]));
        let is_older = left.iter().all(|(record, ttl)| ttls.get(record).is_none_or(|whole| ttl <= whole));
        if direct != through || !is_older {
            different.push((n, direct, through));
        }
    }
    let first = different.first().map(|(n, direct, through)| {
        format!("{:?}\ndirectly {direct:#?}\nthrough the node {through:#?}", second_opinion(&question(*n)))
    });
    assert!(
        different.is_empty(),
        "{what}: {} differ; the first: {}",
        different.len(),
        first.unwrap_or_default()
    );
}

fn node(server: &Server, over: &str, certificates: &Path) -> Node {
    let (address, keys) = match over {
        "tls" => {
            let ca = certificates.join("ca.pem").display().to_string();
            (server.tls, format!("over = 'tls'\ntls_name = '{TLS_NAME}'\ntls_ca = '{ca}'\ntimeout = '2s'"))
        }
        other => (server.address, format!("over = '{other}'\ntimeout = '2s'")),
    };
    Setup::new()
        .upstream("server", &[address], &keys)
        .route("all", "any", "forward upstream server", "")
        .start()
}

fn through(kind: Kind, overs: &[&str]) {
    if !kind.is_there() || !Kind::Nsd.is_there() {
        return;
    }
    let folder: TempDir = folder();
    certificates(folder.path());
    let zones = zones(folder.path());
    let nsd = (kind == Kind::Unbound).then(|| Server::start(Kind::Nsd, &zones, folder.path(), None));
    let behind = nsd.as_ref().map(|nsd| nsd.address);
    let server = Server::start(kind, &zones, folder.path(), behind);
    let direct = ask_all(server.address);
    for over in overs {
        let node = node(&server, over, folder.path());
        compare(&format!("{kind:?} over {over}"), kind, &direct, &ask_all(node.address()));
        let metrics = node.metrics();
        // A resolver fails where a delegation leads to nobody, and that is passed on.
        assert!(kind == Kind::Unbound || metrics.sum("work_refused_total", &[]) == 0);
        assert!(metrics.sum("cache_lookups_total", &["=\"fresh\""]) > 0, "it has a cache");
    }
}

#[test]
fn nsd_over_udp_tcp_tls() {
    through(Kind::Nsd, &["udp", "tcp", "tls"]);
}

#[test]
fn knot_over_udp_tcp() {
    through(Kind::Knot, &["udp", "tcp"]);
}

#[test]
fn bind_over_udp_tcp_tls() {
    through(Kind::Bind, &["udp", "tcp", "tls"]);
}

#[test]
fn unbound_over_udp_tcp_tls() {
    through(Kind::Unbound, &["udp", "tcp", "tls"]);
}

/// Whoever cannot prove its name is not believed: another authority, another name.
#[test]
fn tls_is_verified() {
    if !Kind::Nsd.is_there() {
        return skipped("nsd is missing (Debian package nsd)");
    }
    let folder = folder();
    certificates(folder.path());
    let zones = zones(folder.path());
    let server = Server::start(Kind::Nsd, &zones, folder.path(), None);
    let start = |ca: &str, name: &str| {
        let ca = folder.path().join(ca).display().to_string();
        let keys = format!("over = 'tls'\ntls_name = '{name}'\ntls_ca = '{ca}'\ntimeout = '1s'\ntries = 1");
        Setup::new()
            .upstream("server", &[server.tls], &keys)
            .route("all", "any", "forward upstream server", "")
            .start()
    };
    let ask = |node: &Node| Answer::of(&node.daemon.ask_udp(V4, &query(&format!("h1.{ZONE}"), 1)));
    assert_eq!(ask(&start("ca.pem", TLS_NAME)).rcode, 0);
    assert_eq!(ask(&start("other-ca.pem", TLS_NAME)).rcode, SERVFAIL);
    assert_eq!(ask(&start("ca.pem", "another.example")).rcode, SERVFAIL);
}
