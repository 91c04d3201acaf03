//! "From California to California by way of Tokyo", with its very addresses, as docs/clients.md tells it: the
//! configuration is docs/examples/clients/. It has a network of its own, where the addresses of resolvers are
//! ours.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::common::daemon::{Daemon, PATIENCE, V4, get, is_as_shipped, program, wait_until};
use crate::common::decode::{ANSWER, Message};
use crate::common::skip::skipped;
use crate::common::{folder, open_up, query, with_opt};

const GOOGLE: &str = "8.8.8.8";
const OPENDNS: &str = "208.67.222.222";
/// In San Jose; most of its users are in Japan.
const LEVEL3: &str = "192.221.162.8";
const LEVEL3_LOS_ANGELES: &str = "8.0.22.0";

const SFO: &str = "54.192.145.25";
const NRT: &str = "54.192.234.226";

const WWW: &str = "www.example.net";
const DAY: u64 = 86_400;

/// Set where the test runs once more, inside its network.
const INSIDE: &str = "AS112D_INSIDE";

#[test]
fn from_california_to_california_by_way_of_tokyo() {
    if std::env::var_os(INSIDE).is_some() {
        return story();
    }
    let addresses = [GOOGLE, OPENDNS, LEVEL3, LEVEL3_LOS_ANGELES];
    let add = addresses.map(|address| format!("ip address add {address}/32 dev lo")).join(" && ");
    let script = format!("ip link set lo up && {add} && exec \"$@\"");
    let inside = |program: &Path| {
        let mut command = Command::new("unshare");
        command.args(["--net", "--", "sh", "-c", &script, "sh"]).arg(program).env(INSIDE, "1");
        command
    };
    if !inside("true".as_ref()).status().is_ok_and(|status| status.success()) {
        return skipped("networks of one's own take unshare and ip, and a kernel that allows them");
    }
    let mut again = inside(&std::env::current_exe().expect("this program has a path"));
    again.args(["--exact", "story::from_california_to_california_by_way_of_tokyo", "--nocapture"]);
    assert!(again.status().expect("it runs").success());
}

/// Where the node is asked.
#[derive(Clone, Copy)]
struct Doors {
    dns: SocketAddr,
    http: SocketAddr,
}

impl Doors {
    /// The addresses that a resolver gets, and SCOPE if the reply has a client subnet.
    fn ask(&self, resolver: &str, name: &str, subnet: Option<&str>) -> (Vec<Ipv4Addr>, Option<u8>) {
        let option = subnet.map(|subnet| {
            let net: ipnet::Ipv4Net = subnet.parse().expect("a network");
            let octets = usize::from(net.prefix_len()).div_ceil(8);
            let head = [0, 8, 0, 4 + octets as u8, 0, 1, net.prefix_len(), 0];
            [&head[..], &net.addr().octets()[..octets]].concat()
        });
        let packet = with_opt(query(name, 1), 1232, &option.unwrap_or_default());
        let socket = UdpSocket::bind((resolver, 0)).expect("the address is ours");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        socket.connect(self.dns).expect("connected");
        socket.send(&packet).expect("sent");
        let mut reply = [0; 1232];
        let len = socket.recv(&mut reply).expect("a reply");
        let message = Message::decode(&reply[..len]).expect("it is sound");
        assert_eq!(message.header.rcode(), 0, "{name}");
        let addresses = message.section(ANSWER).filter(|record| record.rtype == 1);
        let address = |rdata: &[u8]| Ipv4Addr::from(<[u8; 4]>::try_from(rdata).expect("four octets"));
        let addresses = addresses.map(|record| address(&reply[record.rdata.clone()])).collect();
        let opt = message.opt().expect("an OPT");
        let options = &reply[opt.rdata.clone()];
        (addresses, options.get(..2).filter(|code| *code == [0, 8]).map(|_| options[7]))
    }

    /// What a page's visitor does: a ticket, its name through a resolver, and the hit.
    fn visit(&self, client: &str, resolver: &str) {
        let ticket: Value = serde_json::from_str(&self.get("/beacon/ticket", client)).expect("JSON");
        let name = ticket["name"].as_str().expect("a name");
        let nonce = name.strip_suffix(".b.example.net").expect("below the zone");
        assert_eq!(self.ask(resolver, name, None).0, [Ipv4Addr::new(203, 0, 113, 80)]);
        assert_eq!(self.get(&format!("/beacon/hit?t={nonce}"), client), "");
    }

    /// The body of an answer to a client behind a proxy.
    fn get(&self, path: &str, client: &str) -> String {
        let mut stream = TcpStream::connect(self.http).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: www.example.net\r\nX-Forwarded-For: {client}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 20"), "{path}: {head}");
        body.to_owned()
    }
}

/// The node, and the files that it and the learner share.
struct Node {
    folder: tempfile::TempDir,
    daemon: Daemon,
    doors: Doors,
}

impl Node {
    fn start() -> Self {
        let folder = folder();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/clients");
        for file in fs::read_dir(examples).expect("the example is there") {
            let file = file.expect("it can be read");
            fs::copy(file.path(), folder.path().join(file.file_name())).expect("there is room");
        }
        fs::write(folder.path().join("City.mmdb"), places()).expect("there is room");
        fs::write(folder.path().join("beacon.key"), "000102030405060708090a0b0c0d0e0f\n").expect("room");
        fs::create_dir(folder.path().join("observations")).expect("there is room");
        open_up(folder.path());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (config, control) = (path("as112d.toml"), path("control"));
        let checked = run(&["check", "--config", &config]);
        assert!(checked.contains("example.net"), "{checked}");
        let daemon = Daemon::start(&["--config", &config, "--http", "127.0.0.1:0", "--control", &control]);
        let doors = Doors { dns: daemon.address(V4), http: daemon.http() };
        Self { folder, daemon, doors }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The one address of a resolver without a client subnet.
    fn www(&self, resolver: &str) -> String {
        let (addresses, scope) = self.doors.ask(resolver, WWW, None);
        assert_eq!((addresses.len(), scope), (1, None));
        addresses[0].to_string()
    }

    /// The address that it gets with one, and SCOPE.
    fn www_for(&self, resolver: &str, subnet: &str) -> (String, u8) {
        let (addresses, scope) = self.doors.ask(resolver, WWW, Some(subnet));
        assert_eq!(addresses.len(), 1);
        (addresses[0].to_string(), scope.expect("the reply has the subnet"))
    }

    fn metric(&self, name: &str) -> u64 {
        let text = get(self.daemon.http(), "/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |count| count.parse().expect("a count"))
    }

    /// The lines of observations that the node has written.
    fn observations(&self) -> Vec<String> {
        let files = fs::read_dir(self.path("observations")).expect("it can be read");
        let text = |file: fs::DirEntry| fs::read_to_string(file.path()).expect("text");
        let all: String = files.map(|file| text(file.expect("it can be read"))).collect();
        all.lines().map(str::to_owned).collect()
    }

    /// Learns at a time, and has the node read what came of it.
    fn learn(&self, at: u64) -> String {
        let said = run(&["learn", "--once", "--at", &at.to_string(), "--config", &self.path("as112d.toml")]);
        run(&["reload", "--maps", "--control", &self.path("control")]);
        said
    }

    fn learned(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("learned.map")).expect("it is there");
        text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
    }

    fn explained(&self, more: &[&str]) -> String {
        let config = self.path("as112d.toml");
        run(&[&["explain", WWW, "A", "--config", &config][..], more].concat())
    }
}

/// What the program prints.
fn run(arguments: &[&str]) -> String {
    let output = Command::new(program()).args(arguments).output().expect("it runs");
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}{}", told(&output.stdout), told(&output.stderr));
    told(&output.stdout)
}

/// A database of the places in the story.
fn places() -> Vec<u8> {
    let place = |country: &str, [north, east]: [f64; 2]| {
        let country = json!({ "iso_code": country });
        json!({ "country": country, "location": { "latitude": north, "longitude": east } })
    };
    let california = place("US", [37.3, -121.9]);
    let japan = place("JP", [35.7, 139.7]);
    let mut writer = mmdb_writer::Writer::new("City");
    for (network, record) in [
        ("54.241.0.0/16", &california),
        ("73.0.0.0/8", &california),
        ("192.221.160.0/19", &california),
        ("126.0.0.0/8", &japan),
        ("175.41.192.0/18", &japan),
        ("41.0.0.0/8", &place("ZA", [-26.2, 28.0])),
    ] {
        writer.insert(network.parse::<ipnet::IpNet>().expect("a network"), record).expect("a record");
    }
    writer.to_bytes().expect("a database")
}

fn story() {
    let node = Node::start();
    let unchanged = || {
        assert_eq!(node.www_for(GOOGLE, "54.241.14.0/24"), (SFO.to_owned(), 16));
        assert_eq!(node.www_for(GOOGLE, "175.41.192.0/24"), (NRT.to_owned(), 18));
        assert_eq!(node.www(OPENDNS), SFO);
    };
    unchanged();
    // Nobody knows yet whose resolver it is.
    assert_eq!((node.www(LEVEL3), node.www(LEVEL3_LOS_ANGELES)), (SFO.to_owned(), SFO.to_owned()));
    let identity = node.doors.ask(LEVEL3, "resolver-identity.example.net", None).0;
    assert_eq!(identity.iter().map(ToString::to_string).collect::<Vec<_>>(), [LEVEL3]);

    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    (1..=62).for_each(|k| node.doors.visit(&format!("126.{k}.0.7"), LEVEL3));
    (1..=38).for_each(|k| node.doors.visit(&format!("73.{k}.0.7"), LEVEL3));
    wait_until("all are joined", || node.metric("as112_beacons_total{result=\"joined\"}") == 100);
    wait_until("all are written", || node.observations().len() == 100);
    let told = node.observations().concat();
    assert!(!told.contains("126.") && !told.contains("73."), "no client is in it: {told}");

    let first = now + 600;
    node.learn(first);
    assert_eq!(node.www(LEVEL3), SFO, "what is wanted once may be an accident");
    let said = node.learn(first + DAY);
    assert_eq!(node.www(LEVEL3), NRT, "{said}");
    unchanged();
    let learned = node.learned();
    assert!(learned.len() == 1 && learned[0].starts_with(&format!("{LEVEL3}/32 nrt # ")), "{learned:?}");
    let (line, _) = learned[0].split_once("; since").expect("it says since when");
    let page = include_str!("../../docs/clients.md");
    assert!(page.contains(&format!("{line}; since ")), "docs/clients.md quotes {line}");
    let explained = node.explained(&["--resolver", LEVEL3]);
    for part in [NRT, "> learned", &format!("{LEVEL3}/32 -> nrt"), "JP 62 %, US 38 %"] {
        assert!(explained.contains(part), "{part}\n{explained}");
    }
    // The subnet goes before what was learned.
    assert_eq!(node.www_for(LEVEL3, "73.1.0.0/24"), (SFO.to_owned(), 8));

    flood(&node, first + DAY + 600);
    japan_leaves(&node, first + DAY);
    unchanged();
    assert!(node.daemon.stop().0.success());
}

/// One network with very many beacons counts once.
fn flood(node: &Node, at: u64) {
    // As many as a visitor of bad will sends in a day; of what is not optimised fewer.
    let each = if is_as_shipped() { 25_000 } else { 250 };
    let before = node.metric("as112_beacons_total{result=\"joined\"}");
    let full = || node.metric("as112_beacons_total{result=\"full\"}");
    let doors = node.doors;
    thread::scope(|scope| {
        for thread in 1..=4 {
            let client = format!("41.1.1.{thread}");
            scope.spawn(move || (0..each).for_each(|_| doors.visit(&client, LEVEL3)));
        }
    });
    // More than there is room for in a minute are dropped, and counted.
    let joined = || node.metric("as112_beacons_total{result=\"joined\"}") - before;
    wait_until("they are joined or dropped", || joined() + full() == 4 * each);
    assert!(joined() >= (4 * each).min(50_000), "{} joined, {} dropped", joined(), full());
    wait_until("one is written", || node.observations().len() == 101);
    let said = node.learn(at);
    assert!(said.starts_with("1 observations, 0 malformed"), "{said}");
    assert_eq!(node.www(LEVEL3), NRT);
    assert_eq!(node.learned().len(), 1);
}

/// Without visitors from Japan its resolver is California's again, in less than a week.
fn japan_leaves(node: &Node, since: u64) {
    let mut evaluations = None;
    for day in 1..=10 {
        let at = since + day * DAY;
        let line = |k: u64| {
            json!({
                "time": at - 3600 + k, "resolver": LEVEL3, "country": "US", "at": [37, -122], "group": k,
            })
        };
        let lines: String = (1..=38).map(|k| format!("{}\n", line(k))).collect();
        fs::write(format!("{}/later-{day:02}.jsonl", node.path("observations")), lines).expect("room");
        let said = node.learn(at);
        assert!(said.starts_with("38 observations, 0 malformed"), "{said}");
        if node.www(LEVEL3) == SFO {
            evaluations.get_or_insert(day);
        } else {
            assert_eq!(evaluations, None, "it stays");
        }
    }
    assert!(matches!(evaluations, Some(2..=6)), "{evaluations:?}");
}
