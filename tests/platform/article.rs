//! The published text of a router and of a rule, as they stand, in a network of namespaces: a node that
//! answers private names itself diverts them to an AS112 server where its location says so, and nowhere else.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::common::daemon::{Daemon, program, wait_until};
use crate::common::decode::{AUTHORITY, Message};
use crate::common::lab::{Namespace, Process};
use crate::common::packet::name_text;
use crate::common::peers::{ZoneFile, nsd_configuration};
use crate::common::skip::skipped;
use crate::common::{folder, open_up, query};
use crate::load::all_of;
use crate::node::{Answer, NXDOMAIN};

/// As published.
const ROUTER: &str = "dst in { 192.31.196.0/24 192.175.48.0/24 2001:4:112::/48 2620:4f:8000::/48 }";
/// As published.
const RULE: &str = "phase = post-cache and qtype in { PTR } and colo in { test1 test2 } and \
qname-suffix in { \
10.in-addr.arpa 16.172.in-addr.arpa 17.172.in-addr.arpa 18.172.in-addr.arpa 19.172.in-addr.arpa \
20.172.in-addr.arpa 21.172.in-addr.arpa 22.172.in-addr.arpa 23.172.in-addr.arpa 24.172.in-addr.arpa \
25.172.in-addr.arpa 26.172.in-addr.arpa 27.172.in-addr.arpa 28.172.in-addr.arpa 29.172.in-addr.arpa \
30.172.in-addr.arpa 31.172.in-addr.arpa 168.192.in-addr.arpa 254.169.in-addr.arpa } forward 192.175.48.6:53";

/// How many locations there have been, for their names and addresses.
static MADE: AtomicU8 = AtomicU8::new(0);

const QUERIES: usize = 10_000;
const WINDOW: usize = 48;
const PATIENCE: Duration = Duration::from_secs(5);

fn suffixes() -> Vec<&'static str> {
    let (_, list) = RULE.split_once("qname-suffix in { ").expect("it has some");
    let (list, _) = list.split_once(" }").expect("it ends");
    let all: Vec<&str> = list.split(' ').collect();
    assert_eq!(all.len(), 19);
    all
}

/// The AS112 server, and a node in each of some locations.
struct Story {
    locations: Vec<Location>,
    _nsd: Process,
    server: Namespace,
    _folder: TempDir,
}

struct Location {
    daemon: Daemon,
    address: SocketAddr,
    number: usize,
    /// It ends with what runs there.
    namespace: Namespace,
    folder: TempDir,
}

impl Story {
    /// `None`, said aloud, where there are no namespaces.
    fn begin(colos: &[&str]) -> Option<Self> {
        let Some(server) = Namespace::new("as112") else {
            skipped("networks of one's own take root and ip");
            return None;
        };
        let folder = folder();
        server.run("ip address add 192.175.48.6/32 dev lo");
        let zones: Vec<ZoneFile> = suffixes().iter().map(|name| zone(folder.path(), name)).collect();
        let address = SocketAddr::from(([192, 175, 48, 6], 53));
        let conf = folder.path().join("nsd.conf");
        fs::write(&conf, nsd_configuration(folder.path(), address, &zones)).expect("written");
        let mut command = server.command("nsd");
        command.arg("-d").arg("-c").arg(&conf);
        let nsd = Process::spawn(command, &folder.path().join("said"));
        server.run("nft add table ip watch");
        server.run("nft add chain ip watch in { type filter hook prerouting priority 0 ; }");
        let locations =
            colos.iter().enumerate().map(|(number, colo)| Location::new(&server, number + 1, colo));
        Some(Self { locations: locations.collect(), _nsd: nsd, server, _folder: folder })
    }

    /// Packets to port 53 that the AS112 server's network has had from a location.
    fn packets_from(&self, location: &Location) -> usize {
        let rules = self.server.run("nft list chain ip watch in");
        let source = format!("ip saddr {} ", inside(location.number, 2));
        let counters = rules.lines().filter(|line| line.contains(&source));
        let packets = counters.map(|line| {
            let (_, rest) = line.split_once("packets ").expect("a counter");
            rest.split(' ').next().expect("a number").parse::<usize>().expect("a number")
        });
        packets.sum()
    }
}

impl Location {
    fn new(server: &Namespace, number: usize, colo: &str) -> Self {
        let namespace = Namespace::new(colo).expect("a further namespace");
        server.run(&format!("ip link add to{number} type veth peer name as112 netns {}", namespace.0));
        let index = MADE.fetch_add(1, Ordering::Relaxed);
        let ours = format!("a{}n{index}", std::process::id());
        run_here(&format!("ip link add {ours} type veth peer name clients netns {}", namespace.0));
        for (place, device, address) in [
            (Some(server), format!("to{number}"), format!("{}/24", inside(number, 1))),
            (Some(&namespace), "as112".to_owned(), format!("{}/24", inside(number, 2))),
            (Some(&namespace), "clients".to_owned(), format!("{}/30", outside(index, 2))),
            (None, ours, format!("{}/30", outside(index, 1))),
        ] {
            let lines =
                [format!("ip address add {address} dev {device}"), format!("ip link set {device} up")];
            for line in lines {
                match place {
                    Some(place) => drop(place.run(&line)),
                    None => run_here(&line),
                }
            }
        }
        namespace.run(&format!("ip route add 192.175.48.6 via {}", inside(number, 1)));
        // An address of AS112 that the node itself serves.
        namespace.run("ip address add 192.31.196.1/32 dev lo");
        for protocol in ["udp", "tcp"] {
            let source = inside(number, 2);
            server.run(&format!("nft add rule ip watch in ip saddr {source} {protocol} dport 53 counter"));
        }
        let folder = folder();
        fs::create_dir(folder.path().join("rules.d")).expect("a folder");
        fs::write(folder.path().join("rules.d/10-test.rules"), RULE).expect("written");
        let control = folder.path().join("control").display().to_string();
        let address = SocketAddr::new(outside(index, 2), 53);
        let text = format!(
            "[identity]\nnode = 'node{number}.example'\n[server]\nlisten = ['{address}', '192.31.196.1:53']\n\
             shards = 1\n[http]\nlisten = '127.0.0.1:9112'\n[control]\npath = '{control}'\n\
             [platform]\ncolo = '{colo}'\nrules = 'rules.d'\n\
             [[route]]\nname = 'as112'\nwhen = '{ROUTER}'\nthen = 'native'\nfallback_action = 'fail'\n"
        );
        fs::write(folder.path().join("as112d.toml"), text).expect("written");
        open_up(folder.path());
        open_up(&folder.path().join("rules.d"));
        let mut command = namespace.command(program());
        command.arg("run").arg("--config").arg(folder.path().join("as112d.toml"));
        Self { daemon: Daemon::spawn(command, 53), address, number, namespace, folder }
    }

    fn ask(&self, queries: &[(String, u16)]) -> Vec<Answer> {
        let ask = |number: usize| query(&queries[number].0, queries[number].1);
        let all = all_of(self.address, queries.len(), WINDOW, PATIENCE, ask);
        let answers = all.into_iter().enumerate().map(|(number, reply)| {
            Answer::of(&reply.unwrap_or_else(|| panic!("{:?} is not answered", queries[number])))
        });
        answers.collect()
    }

    /// A series of `/metrics`, summed.
    fn counted(&self, family: &str, label: &str) -> usize {
        let url = "http://127.0.0.1:9112/metrics";
        let client = "import urllib.request, sys; print(urllib.request.urlopen(sys.argv[1]).read().decode())";
        let text = self.namespace.command("python3").args(["-c", client, url]).output().expect("it runs");
        let text = String::from_utf8_lossy(&text.stdout).into_owned();
        let lines = text
            .lines()
            .filter(|line| line.starts_with(&format!("as112_{family}{{")) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum()
    }
}

fn inside(number: usize, host: u8) -> IpAddr {
    IpAddr::from([10, 112, number as u8, host])
}

/// From what is for such tests (RFC 2544); another part of it for each process.
fn outside(index: u8, host: u8) -> IpAddr {
    IpAddr::from([198, 19, (std::process::id() & 255) as u8, index << 2 | host])
}

fn run_here(line: &str) {
    let mut words = line.split(' ');
    let mut command = std::process::Command::new(words.next().expect("a program"));
    let output = command.args(words).output().expect("it runs");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A zone that shows who has answered.
fn zone(folder: &Path, name: &str) -> ZoneFile {
    let path = folder.join(format!("{name}.zone"));
    let soa = "@ SOA diverted.example. hostmaster.example. 1 3600 600 86400 3600";
    fs::write(&path, format!("$TTL 3600\n{soa}\n@ NS diverted.example.\n")).expect("written");
    ZoneFile { name: name.to_owned(), path }
}

/// Whether the AS112 server beside the node has answered, by the SOA.
fn is_diverted(answer: &Answer) -> bool {
    let message = Message::decode(&answer.packet).expect("it was decoded before");
    let soa = message.section(AUTHORITY).find(|record| record.rtype == 6);
    soa.is_some_and(|soa| {
        let (mname, _) = crate::common::decode::name_at(&answer.packet, soa.rdata.start);
        name_text(&mname) == "diverted.example."
    })
}

/// PTR queries below the suffixes, no two alike.
fn concerned() -> Vec<(String, u16)> {
    let suffixes = suffixes();
    let name = |n: usize| format!("{}.{}.{}", n % 251, n / 251, suffixes[n % suffixes.len()]);
    (0..QUERIES).map(|n| (name(n), 12)).collect()
}

/// What the rule does not concern: other types, other names, and names that end so by letters alone.
fn unconcerned() -> Vec<(String, u16)> {
    let suffixes = suffixes();
    let one = |n: usize| {
        let suffix = suffixes[n % suffixes.len()];
        match n % 5 {
            0 => (format!("{}.{}.{suffix}", n % 251, n / 251), 1),
            1 => (format!("{}.{}.8.in-addr.arpa", n % 251, n / 251), 12),
            2 => (format!("{}.{}.x{suffix}", n % 251, n / 251), 12),
            3 => (format!("{}.{}.1{suffix}", n % 251, n / 251), 12),
            _ => (format!("{}.{}.{suffix}.example", n % 251, n / 251), 12),
        }
    };
    (0..QUERIES).map(one).collect()
}

fn tell_the_story() {
    let Some(story) = Story::begin(&["test1", "test3"]) else { return };
    let [test1, test3] = &story.locations[..] else { panic!("two locations") };
    // NSD says nothing when it is ready.
    wait_until("the AS112 server answers", || {
        let dig = "kdig @192.175.48.6 +time=1 +retry=0 +short 10.in-addr.arpa SOA";
        String::from_utf8_lossy(&story.server.line(dig).output().expect("it runs").stdout)
            .contains("diverted")
    });
    assert_eq!((story.packets_from(test1), story.packets_from(test3)), (0, 0));

    let (concerned, unconcerned) = (concerned(), unconcerned());
    for location in [test1, test3] {
        let answers = location.ask(&unconcerned);
        assert!(!answers.iter().any(is_diverted));
        assert_eq!(story.packets_from(location), 0, "{}", location.number);
    }
    let answers = test3.ask(&concerned);
    assert!(answers.iter().all(|answer| answer.rcode == NXDOMAIN && !is_diverted(answer)));
    assert_eq!(story.packets_from(test3), 0);

    let first = test1.ask(&concerned);
    let others: Vec<_> =
        first.iter().filter(|answer| answer.rcode != NXDOMAIN || !is_diverted(answer)).collect();
    assert!(others.is_empty(), "{} of {QUERIES}; the first: {:?}", others.len(), others.first());
    // Each query once; what a busy host made the node ask again, it counts as a time-out.
    let packets = story.packets_from(test1);
    let again = test1.counted("upstream_queries_total", "=\"timeout\"");
    assert_eq!(packets, QUERIES + again, "{again} were asked again");
    assert!(again < QUERIES / 50, "{again} were asked again");
    let hits = test1.counted("rule_hits_total", "10-test.rules:1");
    assert_eq!(hits, QUERIES);
    assert_eq!(test3.counted("rule_hits_total", "10-test.rules:1"), 0);

    let second = test1.ask(&concerned);
    assert!(second.iter().all(|answer| answer.rcode == NXDOMAIN && is_diverted(answer)));
    assert_eq!(story.packets_from(test1), packets, "the cache has them all");
    the_router_takes_as112(test1);
    drop(story);
}

/// What is sent to an address of AS112 is answered by the node itself, where the rule diverts too.
fn the_router_takes_as112(location: &Location) {
    let dig = "kdig @192.31.196.1 +time=2 +noall +authority +header 7.7.7.10.in-addr.arpa PTR";
    let said = location.namespace.run(dig);
    assert!(said.contains("NXDOMAIN") && !said.contains("diverted.example"), "{said}");
    assert_eq!(location.counted("rule_hits_total", "=\"as112\""), 1);
}

impl Drop for Location {
    fn drop(&mut self) {
        self.daemon.end_family();
        let _ = &self.folder;
    }
}

#[test]
fn the_story_as_published() {
    tell_the_story();
}

#[test]
fn the_story_again() {
    tell_the_story();
}

#[test]
fn the_story_a_third_time() {
    tell_the_story();
}
