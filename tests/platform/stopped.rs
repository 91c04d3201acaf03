//! An upstream that is stopped and goes on, in a network of its own that counts its packets: what goes on
//! meanwhile, what it is asked, and how soon it is asked again.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::common::daemon::wait_until;
use crate::common::lab::{Namespace, Process, is_there, printed};
use crate::common::peers::{ZoneFile, knot_configuration};
use crate::common::skip::skipped;
use crate::common::{folder, query, with_opt};
use crate::load::{Tally, open_loop};
use crate::node::{Answer, NXDOMAIN, Node, SERVFAIL, Setup, ask_until};

const A: u16 = 1;
/// Names that are known before the server stops.
const KEYS: usize = 20;
/// Stale answers are given after this time at the latest, on an idle machine.
const STALE_WITHIN: Duration = Duration::from_millis(1900);
/// A server that is back is noticed within this time.
const BACK_WITHIN: Duration = Duration::from_secs(2);
/// What a busy machine adds.
const BUSY: Duration = Duration::from_secs(2);
/// How often the counters are read.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A Knot behind a link of its own.
struct Server {
    knot: Process,
    namespace: Namespace,
    address: SocketAddr,
    _folder: TempDir,
}

impl Server {
    /// `None`, said aloud, where there are no namespaces.
    fn start() -> Option<Self> {
        static MADE: AtomicU8 = AtomicU8::new(0);
        let Some(namespace) = Namespace::new("stopped").filter(|_| is_there("nft")) else {
            skipped("networks of one's own take root and ip");
            return None;
        };
        // From what is for such tests (RFC 2544); another part of it for each process.
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let host = |host: u8| format!("198.18.{}.{}", std::process::id() & 255, number << 2 | host);
        let ours = format!("s{}n{number}", std::process::id());
        let here = |line: &str| printed(Command::new("ip").args(line.split(' ')));
        here(&format!("link add {ours} type veth peer name link0 netns {}", namespace.0));
        here(&format!("address add {}/30 dev {ours}", host(1)));
        here(&format!("link set {ours} up"));
        namespace.run(&format!("ip address add {}/30 dev link0", host(2)));
        namespace.run("ip link set link0 up");
        let folder = folder();
        let path = folder.path().join("zone");
        let soa = "$TTL 1\n@ 5 SOA ns hostmaster 1 3600 600 86400 5\n@ NS ns\nns A 192.0.2.53\n";
        let keys: String = (0..KEYS).map(|key| format!("{key:02} A 192.0.2.{}\n", key + 1)).collect();
        fs::write(&path, format!("{soa}{keys}*.new 60 A 192.0.2.250\n")).expect("written");
        let zone = ZoneFile { name: "stopped.example".to_owned(), path };
        let address: SocketAddr = format!("{}:53", host(2)).parse().expect("an address");
        let conf = folder.path().join("conf");
        fs::write(&conf, knot_configuration(folder.path(), address, &[zone])).expect("written");
        let mut command = namespace.command("knotd");
        command.arg("-c").arg(&conf);
        let knot = Process::spawn(command, &folder.path().join("said"));
        let server = Self { knot, namespace, address, _folder: folder };
        server.watch();
        Some(server)
    }

    /// Counts what comes for each of the names, and all that comes.
    fn watch(&self) {
        self.namespace.run("nft add table ip watch");
        self.namespace.run("nft add chain ip watch in { type filter hook prerouting priority 0 ; }");
        for protocol in ["udp", "tcp"] {
            self.namespace.run(&format!("nft add rule ip watch in {protocol} dport 53 counter"));
        }
        for key in 0..KEYS {
            // A label of two digits comes first after the headers of UDP and DNS.
            let digits = format!("{key:02}");
            let [tens, ones] = digits.as_bytes() else { panic!("two digits") };
            let label = format!("@th,160,24 0x02{tens:02x}{ones:02x}");
            self.namespace.run(&format!("nft add rule ip watch in udp dport 53 {label} counter"));
        }
    }

    /// Packets since the beginning: of UDP and TCP, and then for each name.
    fn packets(&self) -> (usize, Vec<usize>) {
        let rules = self.namespace.run("nft list chain ip watch in");
        let mut counts = rules.lines().filter_map(|line| {
            let (_, rest) = line.split_once("packets ")?;
            rest.split(' ').next()?.parse::<usize>().ok()
        });
        let all = counts.by_ref().take(2).sum();
        (all, counts.collect())
    }

    fn node(&self) -> Node {
        Setup::new()
            .upstream("up", &[self.address], "timeout = '400ms'")
            .route("all", "any", "forward upstream up", "")
            .section("[cache]\nprefetch = false")
            .start()
    }
}

/// All names are known, and then no longer fresh.
fn begin(server: &Server, node: &Node) {
    ask_until(node, "ns.stopped.example", A, |answer| answer.rcode == 0);
    for key in 0..KEYS {
        ask_until(node, &name(key), A, |answer| answer.address() == Some(address(key)));
    }
    wait_until("the last one is stale", || server.packets().1.iter().all(|&count| count > 0));
    thread::park_timeout(Duration::from_millis(1200));
}

fn name(key: usize) -> String {
    format!("{key:02}.stopped.example")
}

fn address(key: usize) -> std::net::Ipv4Addr {
    [192, 0, 2, key as u8 + 1].into()
}

fn is_stale(answer: &Answer) -> bool {
    answer.errors() == [3]
}

/// Asks for one of the names until it is answered afresh; how long that took.
fn until_fresh(node: &Node, key: usize) -> Duration {
    let began = Instant::now();
    let asked = with_opt(query(&name(key), A), 1232, &[]);
    wait_until("it is answered afresh", || {
        let answer = Answer::of(&node.daemon.ask_udp(crate::common::daemon::V4, &asked));
        answer.address() == Some(address(key)) && answer.ttl() <= Some(1) && !is_stale(&answer)
    });
    began.elapsed()
}

/// How all packets came in: when there were how many, as often as somebody looks.
fn watch(server: &Server, is_over: &AtomicBool, seen: &Mutex<Vec<(Instant, usize)>>) {
    while !is_over.load(Ordering::Relaxed) {
        let at = Instant::now();
        let (all, _) = server.packets();
        seen.lock().expect("nobody panics").push((at, all));
        thread::park_timeout(LOOK_EVERY);
    }
}

/// Half a minute: stale answers go on, each name is asked for at most once, and when it is known that the
/// server is away it gets one probe in each step of the back-off, whatever is asked.
#[test]
fn answers_go_on_and_the_server_is_left_alone() {
    let Some(server) = Server::start() else { return };
    let node = server.node();
    begin(&server, &node);
    let (before, by_key_before) = server.packets();
    let (is_over, seen, tally) = (AtomicBool::new(false), Mutex::default(), Tally::default());
    let late = Mutex::new(Vec::new());
    server.knot.signal("STOP");
    let stopped = Instant::now();
    // Names that are known, and names that nobody has asked for.
    let key = |number: u64| number.is_multiple_of(2).then_some((number / 2) as usize % KEYS);
    let ask = |number: u64| {
        let name = key(number).map_or_else(|| format!("n{number}.new.stopped.example"), name);
        with_opt(query(&name, A), 1232, &[])
    };
    let judge = |number: u64, reply: &[u8], at: Instant| {
        let answer = Answer::of(reply);
        let Some(key) = key(number) else {
            return if answer.rcode == SERVFAIL { Ok(()) } else { Err(format!("{answer:?}")) };
        };
        late.lock().expect("nobody panics").push((at.elapsed(), at - stopped));
        let is_right = answer.address() == Some(address(key)) && answer.ttl() == Some(30);
        if is_right && is_stale(&answer) { Ok(()) } else { Err(format!("{answer:?}")) }
    };
    thread::scope(|scope| {
        scope.spawn(|| watch(&server, &is_over, &seen));
        scope.spawn(|| {
            thread::park_timeout(Duration::from_secs(28));
            is_over.store(true, Ordering::Relaxed);
        });
        open_loop(node.address(), 40, &tally, &is_over, &ask, &judge);
    });
    let (all, by_key) = server.packets();
    server.knot.signal("CONT");
    let back = until_fresh(&node, 0).max(until_fresh(&node, KEYS - 1));

    tally.check();
    assert_eq!(tally.lost(), 0);
    let mut late = late.into_inner().expect("nobody panics");
    late.sort_unstable();
    let (worst, when) = late[late.len() - 1];
    println!("report: platform_stale_within {worst:?} at most, for a query {when:?} after the stop");
    // What is later had to wait for the machine.
    let in_time = late.iter().filter(|(took, _)| *took <= STALE_WITHIN).count();
    assert!(in_time >= late.len() * 9 / 10, "{:?}", &late[in_time..]);
    for (key, (now, before)) in by_key.iter().zip(&by_key_before).enumerate() {
        assert!(now - before <= 1, "{} was asked for {} times", name(key), now - before);
    }
    let seen = seen.into_inner().expect("nobody panics");
    let steps: Vec<(Duration, usize)> = seen
        .windows(2)
        .filter(|pair| pair[1].1 > pair[0].1)
        .map(|pair| (pair[1].0 - stopped, pair[1].1 - pair[0].1))
        .collect();
    println!("report: platform_stopped_packets {} in all, {steps:?}", all - before);
    // It takes two seconds of silence to believe it, and what was on its way then.
    let probes: Vec<_> =
        steps.iter().filter(|(at, _)| *at > Duration::from_millis(3200) + BUSY / 2).collect();
    assert!(probes.iter().all(|(_, count)| *count == 1), "{steps:?}");
    assert!((2..=4).contains(&probes.len()), "{steps:?}");
    let gaps: Vec<Duration> = probes.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(gaps.iter().all(|gap| *gap > Duration::from_millis(1800)), "{steps:?}");
    assert!(gaps.windows(2).all(|pair| pair[1] > pair[0] * 3 / 2), "each step is longer: {steps:?}");
    println!("report: platform_back_within {back:?}");
    assert!(back <= BACK_WITHIN + BUSY, "{back:?}");
}

/// However long it was away, and whatever was asked: two names, or many.
#[test]
fn a_server_that_goes_on_is_asked_at_once() {
    let Some(server) = Server::start() else { return };
    let node = server.node();
    let mut worst = Duration::ZERO;
    for (away, keys) in [(1, 2), (4, KEYS), (12, 1), (12, KEYS)] {
        begin(&server, &node);
        server.knot.signal("STOP");
        let stopped = Instant::now();
        while stopped.elapsed() < Duration::from_secs(away) {
            for key in 0..keys {
                assert_eq!(node.ask(&name(key), A).address(), Some(address(key)));
            }
            thread::park_timeout(Duration::from_millis(50));
        }
        server.knot.signal("CONT");
        worst = (0..keys).map(|key| until_fresh(&node, key)).fold(worst, Duration::max);
    }
    println!("report: platform_fresh_within {worst:?}");
    assert!(worst <= BACK_WITHIN + BUSY, "{worst:?}");
}

/// The packets of one name that does not exist, whose zone has a minimum of five seconds.
#[test]
fn what_does_not_exist_is_asked_for_every_five_seconds() {
    let Some(server) = Server::start() else { return };
    let node = server.node();
    ask_until(&node, "ns.stopped.example", A, |answer| answer.rcode == 0);
    let before = server.packets().0;
    let began = Instant::now();
    let (mut seen, mut times) = (before, Vec::new());
    while times.len() < 3 {
        assert_eq!(node.ask("none.stopped.example", A).rcode, NXDOMAIN);
        let (now, at) = (server.packets().0, began.elapsed());
        if now > seen {
            assert_eq!(now, seen + 1);
            times.push(at);
        }
        seen = now;
        assert!(at < Duration::from_secs(60), "it is never asked for again: {times:?}");
        thread::park_timeout(Duration::from_millis(20));
    }
    let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    println!("report: platform_negative_again {gaps:?}");
    let is_right = |gap: &Duration| (4500..7000).contains(&gap.as_millis());
    assert!(gaps.iter().all(is_right), "{gaps:?}");
}
