//! The same queries to the daemon, to NSD and to Knot, which serve the same zones: where the three do not
//! agree, a rule must say so. `SEED=` chooses other queries.

#[path = "../common/mod.rs"]
mod common;
mod exchange;
mod gdnsd;
mod generate;
#[allow(dead_code, reason = "a part is used")]
#[path = "../common/mutate.rs"]
mod mutate;
mod odd;
mod rdata;
mod rules;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use as112d::dns::consts::{flag, rcode, rtype};
use as112d::dns::message::Message;
use as112d::limits::ERROR_REPLIES_PER_SECOND_MAX;
use common::NODE;
use common::daemon::{Daemon, V4};
use common::decode::second_opinion;
use common::peers::{Kind, Peer, ZoneFile, zones_of_daemon};
use generate::{Generator, Query};
use rules::{Case, RULES};
use wire::Reply;

/// The zones of this test.
const ZONES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/zones");
const SEED: u64 = 112;
const UDP_QUERIES: usize = 21_000;
const TCP_QUERIES: usize = 2_500;
/// All of them may come within one second, in which a shard says FORMERR and NOTIMP only so often.
const UDP_ODDITIES: usize = ERROR_REPLIES_PER_SECOND_MAX as usize - 50;
const TCP_ODDITIES: usize = 1_500;

/// The three servers.
struct Servers {
    daemon: Daemon,
    peers: [Peer; 2],
}

impl Servers {
    fn addresses(&self) -> [SocketAddr; 3] {
        let [nsd, knot] = &self.peers;
        [self.daemon.address(V4), nsd.address(), knot.address()]
    }

    /// What each of the three replies to each query.
    fn ask(&self, queries: &[Query], over_tcp: bool) -> [Vec<Option<Vec<u8>>>; 3] {
        let ask = if over_tcp { exchange::tcp } else { exchange::udp };
        std::thread::scope(|scope| {
            let threads = self.addresses().map(|server| scope.spawn(move || ask(server, queries)));
            threads.map(|thread| thread.join().expect("the exchange went well"))
        })
    }
}

/// What came of all comparisons.
#[derive(Default)]
struct Report {
    /// How many answers equal those of: both peers, NSD, Knot, neither without a rule.
    equal: BTreeMap<&'static str, usize>,
    /// How often a rule was needed, by its name and the peer.
    rules: BTreeMap<(&'static str, &'static str), usize>,
    faults: Vec<String>,
}

impl Report {
    /// Compares the three replies to one query.
    fn compare(&mut self, servers: &Servers, query: &Query, over_tcp: bool, replies: [Option<&Vec<u8>>; 3]) {
        let [ours, nsd, knot] = replies;
        let ours = ours.map(|reply| {
            let decoded = decode(query, reply).compared();
            check(query, reply, &decoded);
            second_opinion(reply).unwrap_or_else(|fault| panic!("{query:?}: {fault}: {reply:02x?}"));
            decoded
        });
        let [ours_at, ..] = servers.addresses();
        let mut plain = Vec::new();
        for (peer, theirs) in servers.peers.iter().zip([nsd, knot]) {
            let theirs = theirs.map(|reply| decode(query, reply));
            let is_equal = theirs.as_ref().map(Reply::compared) == ours;
            plain.push(is_equal);
            if is_equal {
                continue;
            }
            let (peer_at, kind) = (peer.address(), peer.kind);
            let case = Case { query, over_tcp, peer: kind, peer_at, ours: ours.as_ref(), ours_at };
            let (meant, rules) = normalise(&case, theirs);
            if meant.as_ref().map(Reply::compared) == ours {
                let count = |rule| *self.rules.entry((rule, name(kind))).or_default() += 1;
                rules.into_iter().for_each(count);
            } else {
                self.faults.push(format!(
                    "{query:?}\n over TCP: {over_tcp}\n ours {ours:#?}\n {kind:?} after {rules:?} {:#?}",
                    meant.as_ref().map(Reply::compared)
                ));
            }
        }
        let verdict = match plain[..] {
            [true, true] => "both",
            [true, false] => "NSD alone",
            [false, true] => "Knot alone",
            _ => "neither without a rule",
        };
        *self.equal.entry(verdict).or_default() += 1;
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Nsd => "NSD",
        Kind::Knot => "Knot",
    }
}

fn decode(query: &Query, reply: &[u8]) -> Reply {
    // What servers send is what workers read.
    assert!(Message::read(reply).is_ok(), "{query:?}: {reply:02x?}");
    Reply::decode(reply).unwrap_or_else(|(at, why)| panic!("{query:?}: {why}, at {at} of {reply:02x?}"))
}

/// What is true of every reply of ours, whatever the peers do; that it parses to its last byte has been seen.
fn check(query: &Query, packet: &[u8], reply: &Reply) {
    let asked = u16::from_be_bytes([query.packet[2], query.packet[3]]);
    let opcode = (asked >> 11) as u8;
    assert!(packet[2] & 0x80 != 0 && reply.opcode == opcode, "{query:?}: {reply:?}");
    let echoed = if opcode == 0 { asked & flag::RD } else { 0 };
    assert_eq!(reply.flags & !(flag::AA | flag::TC), echoed, "{query:?}: {reply:?}");
    assert!(reply.question.is_empty() || reply.question == query.question(), "{query:?}: {reply:?}");
    let is_error = !matches!(reply.rcode, 0 | 3 | 6);
    if is_error {
        assert!(reply.sections.iter().all(Vec::is_empty) && !reply.has(flag::AA), "{query:?}: {reply:?}");
    }
    let is_refusal = is_error && reply.rcode != rcode::BADVERS;
    if is_refusal && reply.opt.is_none() && reply.tsig.is_none() {
        assert!(packet.len() <= query.packet.len(), "{query:?}: {reply:?}");
    }
}

/// What a peer would reply had it decided as we do, and the rules that say so.
fn normalise(case: &Case<'_>, mut reply: Option<Reply>) -> (Option<Reply>, Vec<&'static str>) {
    let mut used = Vec::new();
    for rule in &RULES {
        if let Some(meant) = (rule.apply)(case, reply.as_ref())
            && reply.as_ref().is_none_or(|reply| reply.compared() != meant.compared())
        {
            used.push(rule.name);
            reply = Some(meant);
        }
    }
    (reply, used)
}

#[test]
#[ignore = "needs nsd and knotd; tests/run installs them"]
fn answers_are_those_of_nsd_and_knot_or_meant_to_differ() {
    let seed = std::env::var("SEED").map_or(SEED, |seed| seed.parse().expect("SEED is a number"));
    let dir = tempfile::TempDir::new().expect("a folder");
    let arguments = ["--zones", ZONES, "--node", NODE];
    let zones = zones_of_daemon(dir.path(), &arguments);
    let is_own = |zone: &ZoneFile| Path::new(ZONES).join(format!("{}.zone", zone.name)).exists();
    let mut generator = Generator::new(seed, &zones, is_own);
    // The peers read what was written by hand, so that reading is compared too.
    let zones: Vec<ZoneFile> = zones
        .into_iter()
        .map(|zone| match is_own(&zone) {
            true => ZoneFile { path: Path::new(ZONES).join(format!("{}.zone", zone.name)), ..zone },
            false => zone,
        })
        .collect();
    let servers = Servers {
        daemon: Daemon::start(&arguments),
        peers: [Kind::Nsd, Kind::Knot].map(|kind| Peer::start(kind, &zones)),
    };
    let mut report = Report::default();
    for (over_tcp, ordinary, odd) in [(false, UDP_QUERIES, UDP_ODDITIES), (true, TCP_QUERIES, TCP_ODDITIES)] {
        let mut queries: Vec<Query> = (0..ordinary).map(|_| generator.query()).collect();
        queries.extend((0..odd).map(|_| generator.odd()));
        let [ours, nsd, knot] = servers.ask(&queries, over_tcp);
        for (index, query) in queries.iter().enumerate() {
            let replies = [&ours, &nsd, &knot].map(|replies| replies[index].as_ref());
            report.compare(&servers, query, over_tcp, replies);
        }
    }
    println!("report: SEED={seed}, equal to: {:?}", report.equal);
    for ((rule, peer), count) in &report.rules {
        println!("report: {count:5} {peer:4} {rule}");
    }
    let faults = &report.faults;
    assert!(
        faults.is_empty(),
        "{} differ, SEED={seed}; the first:\n{}",
        faults.len(),
        faults[..faults.len().min(12)].join("\n\n")
    );
    // What is rare does not come with every seed.
    for rule in RULES.iter().filter(|_| seed == SEED) {
        let is_used = report.rules.keys().any(|(name, _)| *name == rule.name);
        assert!(is_used, "nothing differs any more by the rule \"{}\" (meant: {})", rule.name, rule.meant);
    }
}

/// What this comparison once found, for those who run the tests without the peers.
#[test]
fn what_once_differed() {
    let path = |name: &str| format!("{ZONES}/{name}.zone");
    let names = ["example.com", "example.net"];
    let paths = names.map(path);
    let node = common::node(&[(names[0], &paths[0]), (names[1], &paths[1])]);
    let ask = |name, qtype| {
        let reply = common::ask(&node, &common::udp(), &common::query(name, qtype));
        Reply::decode(&reply.expect("a reply")).expect("it parses")
    };
    // Asked for CNAME, the one that a DNAME makes is the answer: it is not followed.
    let reply = ask("x.d-chain.example.com", rtype::CNAME);
    let types: Vec<u16> = reply.sections[0].iter().map(|record| record.rtype).collect();
    assert_eq!((reply.rcode, &types[..]), (0, &[rtype::DNAME, rtype::CNAME][..]), "{reply:?}");
    // The address of a server whose name only a wildcard covers is glue.
    let reply = ask("x.wildns.example.com", rtype::A);
    let [glue] = &reply.sections[2][..] else { panic!("{reply:?}") };
    assert_eq!(
        (wire::text(&glue.owner), &glue.rdata[..]),
        ("a.wild.example.com.".to_owned(), &[192, 0, 2, 10][..])
    );
}
