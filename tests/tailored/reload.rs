//! Maps are read again while clients ask as fast as they are answered: no query is lost, and every answer is
//! of the old maps or of the new ones, the address and how far it holds alike.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::daemon::{
    Configured, Daemon, V4, dropped_by_loopback, read_message, send_message, wait_until,
};
use crate::common::{query, with_opt};

const A: u16 = 1;
/// Queries that a client has on the way.
const WINDOW: u16 = 32;

/// A node with the PoPs a, b, c and d, whose addresses end in these letters, and one map.
pub struct Node {
    pub configured: Configured,
    pub daemon: Daemon,
}

impl Node {
    /// Its tailored name.
    pub const NAME: &str = "www.example.net.";

    /// Starts it with `map` in its map, after `prepare` has written what that needs.
    pub fn start(map: &str, prepare: impl Fn(&Configured)) -> Self {
        let pops: String = ["a", "b", "c", "d"].map(|name| format!("[[pop]]\nname = '{name}'\n")).concat();
        let addresses = (b'a'..=b'd').map(|pop| format!("{} = ['198.51.100.{pop}']", char::from(pop)));
        let addresses = addresses.collect::<Vec<_>>().join(", ");
        let configured = Configured::new(&format!(
            "[[zone]]\nname = 'example.net'\nfile = 'example.net.zone'\n{pops}\
             [[map]]\nname = 'world'\ndefault = ['a']\n{map}\
             [[pool]]\nname = 'web'\nmap = 'world'\nnames = ['www.example.net']\n\
             addresses = {{ {addresses} }}\n"
        ));
        let zone = "$TTL 60\n@ SOA a. b. 1 2 3 4 5\n@ NS ns.example.org.\n";
        fs::write(configured.path("example.net.zone"), zone).expect("there is room");
        prepare(&configured);
        let control = configured.path("control").display().to_string();
        let arguments = ["--config", &configured.config, "--control", &control, "--shards", "2"];
        let daemon = Daemon::start(&arguments);
        Self { configured, daemon }
    }

    /// What it answers to a word on its control socket.
    pub fn order(&self, word: &str) -> Value {
        order(&self.configured.path("control"), word)
    }

    /// The reply for a client of this /24.
    pub fn asked(&self, client: [u8; 4]) -> Vec<u8> {
        self.daemon.ask_udp(V4, &for_client(client, 1))
    }
}

fn order(control: &Path, word: &str) -> Value {
    let mut stream = UnixStream::connect(control).expect("the control socket");
    writeln!(stream, "as112d 1 {word}").expect("asked");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("an answer");
    serde_json::from_str(&answer).expect("JSON")
}

/// A query for a client of this /24.
fn for_client([a, b, c, _]: [u8; 4], id: u16) -> Vec<u8> {
    let mut packet = with_opt(query(Node::NAME, A), 1232, &[0, 8, 0, 7, 0, 1, 24, 0, a, b, c]);
    packet[..2].copy_from_slice(&id.to_be_bytes());
    packet
}

/// The PoP of a reply, and SCOPE, 0 if it has no subnet.
pub fn chosen(reply: &[u8]) -> (u8, u8) {
    let answer = query(Node::NAME, A).len();
    assert_eq!((reply[3] & 0xF, reply[7]), (0, 1), "one address: {reply:?}");
    let option = reply[answer + 16..].windows(7).position(|seven| seven == [0, 8, 0, 7, 0, 1, 24]);
    (reply[answer + 15], option.map_or(0, |at| reply[answer + 16 + at + 7]))
}

/// Networks of 11/8, each of this length, in turn of two PoPs that no other length has.
fn networks(length: u8) -> String {
    let network = |number: u32| {
        let address = std::net::Ipv4Addr::from(11 << 24 | number << (32 - length));
        format!("{address}/{length} {}\n", char::from(pop_of(length, number)))
    };
    (0..1 << (length - 8)).map(network).collect()
}

fn pop_of(length: u8, number: u32) -> u8 {
    b"abcd"[usize::from(length == 17) * 2 + number as usize % 2]
}

/// What a client gets of the networks of this length.
fn expected(length: u8, client: [u8; 4]) -> (u8, u8) {
    let number = (u32::from_be_bytes(client) & 0x00FF_FFFF) >> (32 - length);
    (pop_of(length, number), length)
}

/// Puts networks in the place of others, all at once.
fn put(node: &Node, text: &str) {
    let (new, file) = (node.configured.path("new"), node.configured.path("networks.txt"));
    fs::write(&new, text).expect("there is room");
    fs::rename(new, file).expect("it is ours");
}

/// How clients fared.
#[derive(Default)]
struct Tally {
    answered: AtomicU64,
    lost: AtomicU64,
    mixed: AtomicU64,
    next: AtomicU64,
}

impl Tally {
    /// Clients all over 11/8.
    fn clients(&self) -> Vec<[u8; 4]> {
        let first = self.next.fetch_add(u64::from(WINDOW), Ordering::Relaxed);
        let client = |number: u64| {
            let [.., b, c, _, _] = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32).to_be_bytes();
            [11, b, c, 0]
        };
        (first..first + u64::from(WINDOW)).map(client).collect()
    }

    fn note(&self, reply: &[u8], clients: &[[u8; 4]]) {
        let id = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
        let is_sound = [16, 17].contains(&chosen(reply).1);
        let is_whole = chosen(reply) == expected(chosen(reply).1.clamp(16, 17), clients[id]);
        let counter = if is_sound && is_whole { &self.answered } else { &self.mixed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks over UDP, always a window full; whoever is not answered for long is lost.
    fn udp(&self, socket: &UdpSocket, stop: &AtomicBool) {
        let mut reply = [0; 1500];
        while !stop.load(Ordering::Relaxed) {
            let clients = self.clients();
            for (id, client) in (0..).zip(&clients) {
                socket.send(&for_client(*client, id)).expect("sent");
            }
            for _ in &clients {
                match socket.recv(&mut reply) {
                    Ok(len) => self.note(&reply[..len], &clients),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        self.lost.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// The same over one connection.
    fn tcp(&self, stream: &mut TcpStream, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let clients = self.clients();
            for (id, client) in (0..).zip(&clients) {
                send_message(stream, &for_client(*client, id));
            }
            for _ in &clients {
                self.note(&read_message(stream).expect("a reply"), &clients);
            }
        }
    }
}

/// Bytes that a process holds, without its program, of which it gives back what is not needed.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("it is told");
    line.split_whitespace().next().expect("a number").parse::<u64>().expect("KiB") << 10
}

/// With AS112D_RELOAD_RATE reloads go on for a minute, while so many queries a second are answered at least:
/// for a release build on a machine that does nothing else.
#[test]
fn three_hundred_reloads_of_maps_lose_nothing_and_mix_nothing() {
    const RELOADS: usize = 300;
    let rate = std::env::var("AS112D_RELOAD_RATE").ok().map(|rate| rate.parse::<f64>().expect("a number"));
    let pace = rate.map_or(Duration::ZERO, |_| Duration::from_secs(60) / RELOADS as u32);
    let node = Node::start("networks = ['networks.txt']\n", |configured| {
        fs::write(configured.path("networks.txt"), networks(16)).expect("there is room");
    });
    let texts = [networks(16), networks(17)];
    let (tally, stop, dropped) = (Tally::default(), AtomicBool::new(false), dropped_by_loopback());
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..3 {
            let (tally, stop, socket) = (&tally, &stop, node.daemon.udp(V4));
            scope.spawn(move || tally.udp(&socket, stop));
        }
        let (clients, stopped, mut stream) = (&tally, &stop, node.daemon.tcp(V4));
        scope.spawn(move || clients.tcp(&mut stream, stopped));
        for round in 1..=RELOADS {
            let due = pace * round as u32;
            while began.elapsed() < due {
                thread::park_timeout(due.saturating_sub(began.elapsed()));
            }
            put(&node, &texts[round % 2]);
            let answer = node.order("reload maps");
            assert!(answer["ok"] == true && answer["maps"] == 1, "{answer}");
            // Whoever asks after the order gets the new answer, from whichever shard.
            let (length, client) = (16 + (round % 2) as u8, [11, round as u8, 200, 0]);
            for _ in 0..4 {
                assert_eq!(chosen(&node.asked(client)), expected(length, client), "round {round}");
            }
        }
        // One that is wrong changes nothing.
        put(&node, "11.0.0.0/8 b\n11.1.2.3/16 b\n");
        let answer = node.order("reload maps");
        let problem = &answer["problems"][0];
        assert!(answer["ok"] == false && problem["message"].to_string().contains("11.1.0.0/16"), "{answer}");
        assert!(problem["place"].as_str().is_some_and(|place| place.ends_with("networks.txt:2")), "{answer}");
        for number in 0..=255 {
            let client = [11, number, 100, 0];
            assert_eq!(chosen(&node.asked(client)), expected(16, client));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let [answered, lost, mixed] =
        [&tally.answered, &tally.lost, &tally.mixed].map(|counter| counter.load(Ordering::Relaxed));
    let took = began.elapsed().as_secs_f64();
    let answered_a_second = answered as f64 / took;
    println!("report: {RELOADS} reloads of maps in {took:.1} s, {answered_a_second:.0} answered a second");
    assert!(answered > 10 * RELOADS as u64, "{answered}");
    assert!(rate.is_none_or(|rate| answered_a_second >= rate), "{answered_a_second:.0} a second");
    let dropped = dropped_by_loopback() - dropped;
    assert!(lost <= dropped && mixed == 0, "{lost} lost, {dropped} by the host; {mixed} mixed");
    assert_eq!(node.order("status")["maps"]["count"], 1);
    assert!(node.daemon.stop().0.success());
}

/// What was replaced is given back, also while most threads wait for queries and still have an old map.
#[test]
fn maps_that_are_read_again_take_no_more_memory() {
    let node = Node::start("networks = ['networks.txt']\n", |configured| {
        fs::write(configured.path("networks.txt"), networks(16)).expect("there is room");
    });
    let texts = [networks(16), networks(17)];
    let mut early = 0;
    for round in 1..=100 {
        put(&node, &texts[round % 2]);
        assert_eq!(node.order("reload maps")["ok"], true);
        if (5..=10).contains(&round) {
            early = early.max(resident(node.daemon.id()));
        }
    }
    wait_until("no more is resident than after ten reloads", || {
        resident(node.daemon.id()) <= early + early / 20
    });
    assert!(node.daemon.stop().0.success());
}

/// Looks until the node's choice for its neighbour is this one; it looks at files once a minute.
fn becomes(node: &Node, pop: u8) {
    let began = Instant::now();
    let now = || chosen(&node.daemon.ask_udp(V4, &query(Node::NAME, A))).0;
    while now() != pop {
        assert!(began.elapsed() < Duration::from_secs(300), "{} is not given in time", char::from(pop));
        thread::park_timeout(Duration::from_millis(200));
    }
}

/// What programs write is taken over by itself; what they write wrongly is told once, and changes nothing.
#[test]
fn what_was_learned_comes_into_force_by_itself() {
    let node = Node::start("learned = 'learned.map'\n", |_| {});
    let learned = node.configured.path("learned.map");
    becomes(&node, b'a');
    fs::write(&learned, "127.0.0.1/32 b # 312 networks\n").expect("there is room");
    becomes(&node, b'b');
    let failed = |node: &Node| !node.order("status")["maps"]["stale"].is_null();
    assert!(!failed(&node));
    fs::write(&learned, "127.0.0.1/32 nowhere\n").expect("there is room");
    let began = Instant::now();
    while !failed(&node) {
        assert!(began.elapsed() < Duration::from_secs(300), "nobody looks");
        thread::park_timeout(Duration::from_millis(200));
    }
    becomes(&node, b'b');
    let (status, lines) = node.daemon.stop();
    assert!(status.success());
    let told = lines.iter().filter(|line| line.contains("learned.map:1")).count();
    assert_eq!(told, 1, "{lines:#?}");
}

/// Orders for maps and for everything at the same time: each is told the truth of what was read after it.
#[test]
fn reloads_of_all_kinds_at_the_same_time_are_all_answered() {
    let node = Node::start("networks = ['networks.txt']\n", |configured| {
        fs::write(configured.path("networks.txt"), networks(16)).expect("there is room");
    });
    let control = node.configured.path("control");
    thread::scope(|scope| {
        for word in ["reload maps", "reload", "reload maps", "reload"] {
            let control = &control;
            scope.spawn(move || (0..20).for_each(|_| assert_eq!(order(control, word)["ok"], true, "{word}")));
        }
    });
    put(&node, &networks(17));
    assert_eq!(node.order("reload maps")["ok"], true);
    let client = [11, 9, 200, 0];
    assert_eq!(chosen(&node.asked(client)), expected(17, client));
    assert!(node.daemon.stop().0.success());
}

/// A node that tailors nothing has no maps to read.
#[test]
fn without_pools_there_is_nothing_to_read() {
    let configured = Configured::new("");
    let control = configured.path("control").display().to_string();
    let daemon = Daemon::start(&["--config", &configured.config, "--control", &control]);
    let node = Node { configured, daemon };
    let answer = node.order("reload maps");
    assert!(answer["ok"] == false && answer["error"].to_string().contains("no [[pool]]"), "{answer}");
    assert_eq!(node.order("status")["maps"], Value::Null);
    assert!(node.daemon.stop().0.success());
}
