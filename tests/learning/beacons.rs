//! Beacons of a running node: tickets and hits over HTTP, the queries of resolvers, what is observed, and
//! what `as112d learn` makes of it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use as112d::limits::{BEACON_BODY_LEN_MAX, BEACON_CONNECTIONS_MAX};
use serde_json::Value;

use crate::common::daemon::{Configured, Daemon, PATIENCE, V4, get, program, wait_until};
use crate::common::{query, with_opt};

const A: u16 = 1;
const DAY: u64 = 86_400;
/// The resolver of the story, as far as a host alone can have one.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 162);

/// A node with two PoPs whose map is learned, that knows where two networks are.
fn configured(more: &str) -> Configured {
    let configured = Configured::new(&format!(
        "[[pop]]\nname = 'sfo'\nat = [37.6, -122.4]\n[[pop]]\nname = 'nrt'\nat = [35.8, 140.4]\n\
         [[map]]\nname = 'world'\nlearned = 'learned.map'\nplaces = 'places.map'\ndatabases = ['City.mmdb']\n\
         default = ['sfo']\n\
         [[pool]]\nname = 'web'\nmap = 'world'\nnames = ['www.example.net']\n\
         addresses = {{ sfo = ['54.192.145.25'], nrt = ['54.192.234.226'] }}\n\
         [[zone]]\nname = 'example.net'\nfile = 'example.net.zone'\n\
         [beacons]\nzone = 'b.example.net'\nkey_file = 'beacon.key'\ntrusted = ['127.0.0.1']\n\
         sample_every = 1\n{more}"
    ));
    let zone = "@ 60 IN SOA ns hostmaster 1 60 60 60 60\n@ 60 IN NS ns\nns 60 IN A 192.0.2.1\n\
                *.b 60 IN A 192.0.2.80\n";
    fs::write(configured.path("example.net.zone"), zone).expect("there is room");
    fs::write(configured.path("beacon.key"), "0123456789abcdef0123456789ABCDEF\n").expect("there is room");
    let mut writer = mmdb_writer::Writer::new("City");
    for (network, code, at) in [("126.0.0.0/8", "JP", [35.7, 139.7]), ("73.0.0.0/8", "US", [37.3, -121.9])] {
        use mmdb_writer::Value::{Double, Map, String};
        let map = |entries: Vec<(&str, mmdb_writer::Value)>| {
            Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
        };
        let location = map(vec![("latitude", Double(at[0])), ("longitude", Double(at[1]))]);
        let country = map(vec![("iso_code", String(code.to_owned()))]);
        let network: ipnet::IpNet = network.parse().expect("a network");
        writer.insert_value(network, map(vec![("country", country), ("location", location)])).expect("room");
    }
    fs::write(configured.path("City.mmdb"), writer.to_bytes().expect("a database")).expect("there is room");
    configured
}

/// All that comes back for these bytes.
fn exchange(http: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(http).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// A client behind a proxy that is trusted.
fn forwarded(http: SocketAddr, first: &str, client: &str, host: &str, body: &str) -> String {
    let len = body.len();
    exchange(
        http,
        &format!(
            "{first} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {client}\r\n\
             Content-Length: {len}\r\n\r\n{body}"
        ),
    )
}

fn ticket(http: SocketAddr, client: &str) -> Value {
    let answer = forwarded(http, "GET /beacon/ticket", client, "www.example.net", "");
    serde_json::from_str(answer.split_once("\r\n\r\n").expect("a head").1).expect("JSON")
}

/// The reply to a query from the address of a resolver.
fn ask_from(daemon: &Daemon, resolver: Ipv4Addr, packet: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind((resolver, 0)).expect("an address of this host");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    socket.send_to(packet, daemon.address(V4)).expect("sent");
    let mut reply = vec![0; 4096];
    let len = socket.recv(&mut reply).expect("a reply");
    reply.truncate(len);
    reply
}

/// The address that the last record of a reply without EDNS holds.
fn address(reply: &[u8]) -> Ipv4Addr {
    let octets: [u8; 4] = reply[reply.len() - 4..].try_into().expect("four octets");
    octets.into()
}

/// A client visits a page.
fn visit(daemon: &Daemon, client: &str, resolver: Ipv4Addr) {
    let ticket = ticket(daemon.http(), client);
    let name = ticket["name"].as_str().expect("a name");
    assert_eq!(address(&ask_from(daemon, resolver, &query(name, A))), Ipv4Addr::new(192, 0, 2, 80));
    let answer = forwarded(daemon.http(), "POST /beacon/hit", client, name, "{\"nrt\":9,\"fra\":1}");
    assert!(answer.starts_with("HTTP/1.1 204 No Content\r\n"), "{answer}");
}

fn counted(daemon: &Daemon, result: &str) -> u64 {
    let metrics = get(daemon.http(), "/metrics");
    let name = format!("as112_beacons_total{{result=\"{result}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("no {result}: {metrics}")).parse().expect("a number")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs()
}

fn learn(configured: &Configured, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(["learn", "--config", &configured.config]).args(arguments).output().expect("it runs")
}

fn learn_at(configured: &Configured, at: u64) -> String {
    let output = learn(configured, &["--once", "--at", &at.to_string()]);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

/// Every file of a folder, whole.
fn files(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder).expect("it can be read") {
        let path = entry.expect("it can be read").path();
        bytes.extend(if path.is_dir() { files(&path) } else { fs::read(&path).expect("it can be read") });
    }
    bytes
}

/// A resolver whose users are mostly in Japan gives them what is near them, once beacons have told; and no
/// file tells who they were.
#[test]
fn a_resolver_gets_what_is_near_its_users() {
    let configured = configured("[history]\ndir = 'history'\n");
    let daemon = configured.start();
    let www = || address(&ask_from(&daemon, RESOLVER, &query("www.example.net", A)));
    let (sfo, nrt) = (Ipv4Addr::new(54, 192, 145, 25), Ipv4Addr::new(54, 192, 234, 226));
    assert_eq!(www(), sfo);
    let clients: Vec<String> = (0..62)
        .map(|number| format!("126.{number}.0.77"))
        .chain((0..38).map(|number| format!("73.{number}.0.77")))
        .collect();
    clients.iter().for_each(|client| visit(&daemon, client, RESOLVER));
    wait_until("all are joined", || counted(&daemon, "joined") == 100);
    // The same clients again are no more of them.
    visit(&daemon, &clients[0], RESOLVER);
    wait_until("it is joined", || counted(&daemon, "joined") == 101);

    let (first, second) = (now() + 1, now() + 1 + DAY);
    let said = learn_at(&configured, first);
    assert!(said.starts_with("100 observations, 0 malformed; 1 resolvers\n"), "{said}");
    assert_eq!(fs::read_to_string(configured.path("learned.map")).expect("a map").lines().count(), 1);
    let said = learn_at(&configured, second);
    assert!(said.contains("127.0.0.162/32: what it gets unlearned -> nrt"), "{said}");
    let map = fs::read_to_string(configured.path("learned.map")).expect("a map");
    let lines: Vec<&str> = map.lines().collect();
    assert_eq!(lines.len(), 2, "{map}");
    assert!(lines[1].starts_with("127.0.0.162/32 nrt # 79 networks; JP 62 %, US 38 %; "), "{map}");
    daemon.signal(1);
    wait_until("the map is in effect", || www() == nrt);
    // The same once more changes nothing but what the time says.
    let state = fs::read(configured.path("learned.state")).expect("a state");
    learn_at(&configured, second);
    assert_eq!(fs::read(configured.path("learned.state")).expect("a state"), state);
    assert_eq!(fs::read_to_string(configured.path("learned.map")).expect("a map"), map);
    // Another node takes over what this one knows.
    let exported = learn(&configured, &["--export"]);
    assert_eq!(exported.stdout, state);
    fs::write(configured.path("exported"), &exported.stdout).expect("there is room");
    fs::remove_file(configured.path("learned.state")).expect("it is there");
    let from = configured.path("exported").display().to_string();
    assert_eq!(learn(&configured, &["--import", &from]).stdout, b"1 resolvers, 0 before\n");
    assert_eq!(daemon.stop().0.code(), Some(0));

    let folder = Path::new(&configured.config).parent().expect("a folder");
    let kept = files(folder);
    for client in clients {
        let network = client.strip_suffix(".77").expect("it ends so");
        let is_there = |text: &str| kept.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!is_there(&client) && !is_there(&format!("{network}.0")), "{client} is kept somewhere");
    }
}

#[test]
fn each_hit_is_counted_by_what_became_of_it() {
    let daemon = configured("").start();
    let http = daemon.http();
    let hit = |client: &str, host: &str| {
        let answer = forwarded(http, "GET /beacon/hit", client, host, "");
        assert!(answer.starts_with("HTTP/1.1 204 No Content\r\n"), "{answer}");
    };
    let name = ticket(http, "126.0.0.1")["name"].as_str().expect("a name").to_owned();
    hit("73.0.0.1", &name);
    hit("126.0.0.1", "nonsense.b.example.net");
    // Whoever has the name of another resolver's query brings it once.
    hit("126.0.0.200", &name);
    hit("126.0.0.1", &name);
    ask_from(&daemon, RESOLVER, &query(&name, A));
    wait_until("all are counted", || {
        ["network", "mac", "twice", "joined"].iter().all(|result| counted(&daemon, result) == 1)
    });
    assert_eq!(daemon.stop().0.code(), Some(0));
}

#[test]
fn a_resolver_that_says_its_client_is_observed_so() {
    let configured = configured("");
    let daemon = configured.start();
    let ticket = ticket(daemon.http(), "126.0.0.1");
    let name = ticket["name"].as_str().expect("a name");
    let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 126, 0, 0];
    ask_from(&daemon, RESOLVER, &with_opt(query(name, A), 1232, &subnet));
    forwarded(daemon.http(), "POST /beacon/hit", "126.0.0.1", name, "{\"sfo\":119.6}");
    wait_until("it is joined", || counted(&daemon, "joined") == 1);
    let line = String::from_utf8(files(&configured.path("observations"))).expect("text");
    let observed: Value = serde_json::from_str(&line).expect("a line");
    assert_eq!(observed["resolver"], "127.0.0.162");
    assert_eq!((&observed["country"], &observed["at"]), (&"JP".into(), &serde_json::json!([35, 139])));
    assert_eq!((&observed["subnet"], &observed["rtt"]), (&true.into(), &serde_json::json!({ "sfo": 120 })));
    assert_eq!(daemon.stop().0.code(), Some(0));
}

/// Over UDP anybody can ask in the name of a resolver.
#[test]
fn resolvers_may_have_to_prove_their_address() {
    let daemon = configured("verify = 'tcp'\n").start();
    let ticket = ticket(daemon.http(), "126.0.0.1");
    let name = ticket["name"].as_str().expect("a name");
    let reply = ask_from(&daemon, RESOLVER, &query(name, A));
    assert_eq!(reply[2] & 2, 2, "TC");
    forwarded(daemon.http(), "POST /beacon/hit", "126.0.0.1", name, "");
    // By now it would have been joined.
    let other = self::ticket(daemon.http(), "126.0.0.1");
    let other = other["name"].as_str().expect("a name");
    forwarded(daemon.http(), "POST /beacon/hit", "126.0.0.1", other, "");
    forwarded(daemon.http(), "POST /beacon/hit", "126.0.0.1", other, "");
    wait_until("the last is counted", || counted(&daemon, "twice") == 1);
    assert_eq!(counted(&daemon, "joined"), 0);
    let reply = daemon.ask_tcp(V4, &query(name, A)).expect("a reply");
    assert_eq!((reply[2] & 2, address(&reply)), (0, Ipv4Addr::new(192, 0, 2, 80)));
    assert_eq!(daemon.stop().0.code(), Some(0));
}

#[test]
fn http_of_beacons_keeps_its_bounds() {
    let targets =
        "targets = { sfo = 'https://sfo.example.net/ping', nrt = 'https://nrt.example.net/ping' }\n";
    let daemon = configured(targets).start();
    let http = daemon.http();
    let request =
        |line: &str, more: &str| exchange(http, &format!("{line} HTTP/1.1\r\nHost: localhost\r\n{more}"));
    let script = request("GET /beacon.js", "\r\n");
    assert!(
        script.starts_with("HTTP/1.1 200 OK\r\n") && script.contains("Math.random() * 1 >= 1"),
        "{script}"
    );
    let ticket = request("GET /beacon/ticket", "\r\n");
    for answer in
        [&script, &ticket, &request("POST /beacon/hit", "\r\n"), &request("OPTIONS /beacon/hit", "\r\n")]
    {
        let head = answer.split("\r\n\r\n").next().expect("a head").to_ascii_lowercase();
        for line in ["access-control-allow-origin: *", "timing-allow-origin: *", "cache-control: no-store"] {
            assert!(head.lines().any(|found| found == line), "{line}: {head}");
        }
        assert!(!head.contains("set-cookie"), "{head}");
    }
    let ticket: Value = serde_json::from_str(ticket.split_once("\r\n\r\n").expect("a head").1).expect("JSON");
    let name = ticket["name"].as_str().expect("a name");
    let label = name.strip_suffix(".b.example.net").expect("it is below the zone");
    assert_eq!(label.len(), 26);
    assert_eq!(ticket["hit"], format!("https://{name}/beacon/hit?t={label}"));
    assert_eq!(ticket["targets"]["nrt"], "https://nrt.example.net/ping");
    let long = "x".repeat(BEACON_BODY_LEN_MAX + 1);
    for (line, more, status) in [
        ("POST /beacon/hit?t=x", format!("Content-Length: {}\r\n\r\n{long}", long.len()), "204"),
        ("POST /beacon/hit?t=x", "Content-Length: 4\r\n\r\n\u{1}{{{".to_owned(), "204"),
        ("GET /beacon/hit", "\r\n".to_owned(), "204"),
        ("DELETE /beacon/hit", "\r\n".to_owned(), "405"),
        ("POST /beacon/ticket", "\r\n".to_owned(), "405"),
        ("GET /beacon/other", "\r\n".to_owned(), "404"),
    ] {
        let answer = request(line, &more);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
    }
    // Clients that do not send what they promised: beacons have no more room, all else has.
    let slow: Vec<TcpStream> = (0..BEACON_CONNECTIONS_MAX)
        .map(|_| {
            let mut stream = TcpStream::connect(http).expect("a connection");
            let head = "POST /beacon/hit?t=x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n";
            stream.write_all(head.as_bytes()).expect("sent");
            stream
        })
        .collect();
    let mut was_full = false;
    for _ in 0..20 {
        assert_eq!(get(http, "/healthz"), "ok\n");
        was_full |= request("GET /beacon/ticket", "\r\n").starts_with("HTTP/1.1 503 ");
        thread::park_timeout(Duration::from_millis(20));
    }
    drop(slow);
    assert!(was_full, "there was room for all");
    wait_until("there is room again", || request("GET /beacon/ticket", "\r\n").starts_with("HTTP/1.1 200 "));
    assert_eq!(daemon.stop().0.code(), Some(0));
    // A node without beacons has none of it.
    let other = Configured::new("").start();
    for path in ["/beacon.js", "/beacon/ticket", "/beacon/hit"] {
        let answer = exchange(other.http(), &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
    assert_eq!(other.stop().0.code(), Some(0));
}

/// A reload changes what beacons are made of, ends them and begins them again; not where they are written.
#[test]
fn beacons_are_read_again() {
    let configured = configured("");
    let daemon = configured.start();
    let (http, first) = (daemon.http(), fs::read_to_string(&configured.config).expect("a configuration"));
    let reload = |text: &str, effect: &str, is_there: &dyn Fn(&str) -> bool| {
        fs::write(&configured.config, text).expect("there is room");
        daemon.signal(1);
        let script = || exchange(http, "GET /beacon.js HTTP/1.1\r\nHost: localhost\r\n\r\n");
        wait_until(effect, || is_there(&script()));
    };
    let old = ticket(http, "126.0.0.1")["name"].as_str().expect("a name").to_owned();
    fs::write(configured.path("beacon.key"), "9".repeat(32)).expect("there is room");
    let other =
        first.replace("sample_every = 1", "sample_every = 7").replace("['127.0.0.1']", "['192.0.2.1']");
    reload(&other, "one view in seven", &|script| script.contains("Math.random() * 7 >= 1"));
    forwarded(http, "POST /beacon/hit", "126.0.0.1", &old, "");
    wait_until("a ticket under the old key is not ours", || counted(&daemon, "mac") == 1);
    // Nobody believes the proxy any more: it is the client itself.
    let name = ticket(http, "126.0.0.1")["name"].as_str().expect("a name").to_owned();
    ask_from(&daemon, RESOLVER, &query(&name, A));
    forwarded(http, "POST /beacon/hit", "73.0.0.1", &name, "");
    wait_until("it is joined", || counted(&daemon, "joined") == 1);

    let (without, section) = other.split_once("[beacons]").expect("a section");
    reload(without, "there are none", &|script| script.starts_with("HTTP/1.1 404 "));
    reload(&format!("{without}[beacons]{section}observations = 'other'\n"), "there are some", &|script| {
        script.starts_with("HTTP/1.1 200 ")
    });
    visit(&daemon, "127.0.0.1", RESOLVER);
    wait_until("it is joined", || counted(&daemon, "joined") == 2);
    assert!(!configured.path("other").exists());
    let (status, lines) = daemon.stop();
    assert_eq!(status.code(), Some(0));
    let told = |what: &str| {
        let told = format!("{what} has changed; restart or upgrade to apply it");
        lines.iter().filter(|line| line.contains(&told)).count()
    };
    assert_eq!((told("[beacons] observations"), told("[beacons]")), (1, 0), "{lines:#?}");

    // Whoever begins without them has no thread for them.
    fs::write(&configured.config, without).expect("there is room");
    let daemon = configured.start();
    fs::write(&configured.config, &other).expect("there is room");
    daemon.signal(1);
    wait_until("it is told", || {
        get(daemon.http(), "/metrics").contains("as112_config_reloads_total{result=\"succeeded\"} 1")
    });
    let answer = exchange(daemon.http(), "GET /beacon.js HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let (_, lines) = daemon.stop();
    let told =
        lines.iter().any(|line| line.contains("[beacons] has changed; restart or upgrade to apply it"));
    assert!(told, "{lines:#?}");
}

/// What is wrong is said before anything is written.
#[test]
fn learning_refuses_what_it_cannot_use() {
    let configured = configured("");
    let refused = |arguments: &[&str], said: &str| {
        let output = learn(&configured, arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(said), "{arguments:?}: {text}");
    };
    refused(&["--once"], "observations: cannot be read");
    fs::create_dir(configured.path("observations")).expect("it is not there");
    fs::write(configured.path("learned.state"), "nonsense\n").expect("there is room");
    refused(&["--once"], "learned.state:1: not a line of a learned state");
    fs::remove_file(configured.path("learned.state")).expect("it is there");
    refused(&["--at", "0"], "--once");
    refused(&["--once", "--at", "noon"], "not a time");
    learn_at(&configured, 2 * DAY + 1);
    refused(&["--once", "--at", "86400"], "is of a later time than --at");
    fs::write(configured.path("beacon.key"), "short").expect("there is room");
    let check =
        Command::new(program()).args(["check", "--config", &configured.config]).output().expect("it runs");
    let said = String::from_utf8_lossy(&[check.stdout, check.stderr].concat()).into_owned();
    assert!(said.contains("beacon.key: is not a key; give 32 hexadecimal digits"), "{said}");
}
