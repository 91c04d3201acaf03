//! `as112d explain`, to the byte; and thousands of questions, whose explanation has to be what is answered.

mod common;
#[path = "common/fault.rs"]
#[allow(dead_code, reason = "a network of its own is all that is needed")]
mod fault;
#[path = "common/mutate.rs"]
#[allow(dead_code, reason = "its dice alone are needed")]
mod mutate;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use common::daemon::{Daemon, PATIENCE, V4, V6, get, program};
use domain::base::iana::Class;
use domain::base::opt::ClientSubnet;
use domain::base::{Message, MessageBuilder, Name, Rtype};
use domain::rdata::{A, Aaaa};
use ipnet::IpNet;
use mutate::Dice;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A directory with a configuration and what it names.
struct World(TempDir);

impl World {
    fn new(configuration: &str) -> Self {
        let world = Self(common::folder());
        world.write("as112d.toml", configuration);
        let zone = "@ 60 IN SOA a. b. 1 60 60 60 60\n@ 60 IN NS ns.example.com.\nplain A 203.0.113.99\n\
                    alias CNAME www\nother CNAME alias\n";
        world.write("example.net.zone", zone);
        world
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).expect("there is room");
    }

    /// A database in which networks are somewhere.
    fn database(&self, name: &str, records: &[(&str, Value)]) {
        let mut writer = mmdb_writer::Writer::new("Places");
        for (network, record) in records {
            writer.insert(network.parse::<IpNet>().expect("a network"), record).expect("a record");
        }
        fs::write(self.0.path().join(name), writer.to_bytes().expect("a database")).expect("there is room");
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn explain(&self, words: &str) -> String {
        let mut command = Command::new(program());
        command.arg("explain").args(words.split(' ')).args(["--config", &self.at("as112d.toml")]);
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }
}

//------------ Texts ---

/// Two PoPs of which a resolver's users, as was learned, are at the far one.
fn learned() -> World {
    let world = World::new(
        "[zones]\ndir = '.'\n\
         [[pop]]\nname = 'sfo'\nat = [37.62, -122.38]\n\
         [[pop]]\nname = 'nrt'\nat = [35.76, 140.39]\n\
         [[pop]]\nname = 'iad'\nat = [38.95, -77.46]\n\
         [[map]]\nname = 'world'\nresolvers = ['resolvers.txt']\nlearned = 'learned.map'\n\
         databases = ['City.mmdb']\nnearest = 3\ndefault = ['sfo', 'nrt']\n\
         [[pool]]\nname = 'web'\nmap = 'world'\nnames = ['www.example.net']\nttl = '60s'\n\
         addresses = { sfo = ['54.192.145.25'], nrt = ['54.192.234.226'], iad = ['203.0.113.9'] }\n",
    );
    world.write("resolvers.txt", "198.51.100.0/24 iad\n");
    let line = "192.221.162.8/32 nrt,sfo # 312 networks; JP 62 %, US 38 %; 87 ms, sfo 119 ms; \
                since 2026-11-16; seen 2026-11-28\n";
    world.write("learned.map", &("# one of many\n".repeat(211) + line));
    let san_jose = json!({
        "country": {"iso_code": "US"}, "continent": {"code": "NA"}, "city": {"names": {"en": "San Jose"}},
        "location": {"latitude": 37.3, "longitude": -121.9},
    });
    world.database("City.mmdb", &[("192.221.160.0/19", san_jose)]);
    world
}

const LEARNED: &str = "\
www.example.net. 60 IN A 54.192.234.226          PoP nrt, pool web, map world
  client subnet   none in the query
  by hand         no network of resolvers.txt holds 192.221.162.8
> learned         192.221.162.8/32 -> nrt, sfo   (learned.map:212)
                  312 networks; JP 62 %, US 38 %; 87 ms, sfo 119 ms; since 2026-11-16; seen 2026-11-28
  without it      nearest: sfo, iad, nrt          (37.3 N 121.9 W, San Jose, US)
  health          nrt up, sfo up
  reply           no client subnet; every client of this resolver may get this answer
";

/// Networks within each other.
fn nested() -> World {
    let world = World::new(
        "[zones]\ndir = '.'\n\
         [[pop]]\nname = 'sfo'\n[[pop]]\nname = 'nrt'\n[[pop]]\nname = 'fra'\n\
         [[map]]\nname = 'world'\nnetworks = ['networks.txt']\ndefault = ['sfo', 'nrt']\n\
         [[pool]]\nname = 'web'\nmap = 'world'\nnames = ['www.example.net']\nttl = '60s'\n\
         addresses = { sfo = ['198.51.100.1'], nrt = ['198.51.100.2'], fra = ['198.51.100.3'] }\n",
    );
    world.write("networks.txt", "11.0.0.0/8 sfo\n11.1.0.0/16 nrt\n11.1.2.0/24 fra\n");
    world
}

const NESTED: &str = "\
www.example.net. 60 IN A 198.51.100.2            PoP nrt, pool web, map world
> networks        11.1.0.0/16 -> nrt              (networks.txt:2)
  health          nrt up
  reply           SCOPE 22: 11.1.4.0/22 is the largest network with this answer; 11.1.2.0/24 -> fra is next \
(networks.txt:3)
";

#[test]
fn what_was_learned_is_explained_to_the_byte() {
    let world = learned();
    assert_eq!(world.explain("www.example.net A --resolver 192.221.162.8"), LEARNED);
    let told = world.explain("www.example.net A --resolver 198.51.100.7");
    assert!(told.contains("> by hand         198.51.100.0/24 -> iad          (resolvers.txt:1)\n"), "{told}");
    assert!(told.contains("  without it      default: sfo, nrt\n"), "{told}");
    let told = world.explain("www.example.net A --resolver 192.221.162.9");
    assert!(told.contains("  learned         no network of learned.map holds 192.221.162.9\n"), "{told}");
    let nearest = "> nearest         sfo, iad, nrt                   (37.3 N 121.9 W, San Jose, US)\n";
    assert!(told.contains(nearest), "{told}");
}

#[test]
fn what_limits_a_network_is_explained_to_the_byte() {
    let world = nested();
    assert_eq!(world.explain("www.example.net A --resolver 8.8.8.8 --subnet 11.1.4.0/24"), NESTED);
    let unmapped = "www.example.net A --subnet 13.0.0.0/24";
    let alias = "alias.example.net. 60 IN CNAME www.example.net.\n";
    let same = "  tailored        no: the answer is the same for everybody\n";
    for (question, lines) in [
        (unmapped, vec!["  networks        no network of networks.txt holds 13.0.0.0/24\n"]),
        (unmapped, vec!["  client subnet   nothing is known of 13.0.0.0/24; the resolver decides\n"]),
        (unmapped, vec!["  networks        no network of networks.txt holds 127.0.0.1\n"]),
        (
            unmapped,
            vec!["> default         sfo, nrt\n", "  reply           SCOPE 6: 12.0.0.0/6 is the largest"],
        ),
        (
            "www.example.net A --subnet 10.1.2.0/24",
            vec!["  client subnet   10.1.2.0/24 is in a special block; the resolver decides\n"],
        ),
        (
            "www.example.net A --subnet 0.0.0.0/0",
            vec!["  reply           SCOPE 0: every client may get this answer\n"],
        ),
        ("www.example.net MX --subnet 11.1.4.0/24", vec!["www.example.net. MX: NODATA\n", same]),
        ("nx.example.net A", vec!["nx.example.net. A: NXDOMAIN\n", same]),
        ("plain.example.net A", vec!["plain.example.net. 60 IN A 203.0.113.99\n", same]),
        (
            "alias.example.net A",
            vec![alias, "www.example.net. 60 IN A 198.51.100.1            PoP sfo, pool"],
        ),
        ("alias.example.net A --subnet 11.1.4.0/24", vec![alias, same]),
        ("www.example.org A", vec!["www.example.org. A: REFUSED\n"]),
    ] {
        let told = world.explain(question);
        assert!(lines.iter().all(|line| told.contains(line)), "{question}:\n{told}\n{lines:?}");
    }
}

/// The same from a running node, which knows which PoPs are up; and over HTTP for who may see its view.
#[test]
fn a_running_node_explains_what_it_answers() {
    let world = nested();
    let (config, control) = (world.at("as112d.toml"), world.at("control"));
    let daemon = Daemon::start(&["--config", &config, "--control", &control, "--http", "127.0.0.1:0"]);
    let question = "www.example.net A --resolver 8.8.8.8 --subnet 11.1.4.0/24";
    assert_eq!(world.explain(&format!("{question} --control {control}")), NESTED);
    let json = world.explain(&format!("{question} --json"));
    assert_eq!(
        world.explain(&format!("{question} --json --control {control}")),
        json,
        "without a node as well"
    );
    let drained = Command::new(program()).args(["pop", "nrt", "drain", "--control", &control]).output();
    assert!(drained.expect("it runs").status.success());
    let told = world.explain(&format!("{question} --control {control}"));
    let health = "  health          nrt drained; none is up, so as if all were\n";
    assert!(told.starts_with("www.example.net. 60 IN A 198.51.100.2 ") && told.contains(health), "{told}");
    let told = world.explain(&format!("www.example.net A --json --control {control}"));
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((&told["pop"], &told["health"]), (&json!("sfo"), &json!({"sfo": "up", "nrt": "drained"})));

    let path = "/explain?name=www.example.net&type=A&resolver=8.8.8.8&subnet=11.1.4.0/24";
    let told: Value = serde_json::from_str(&get(daemon.http(), path)).expect("JSON");
    assert_eq!(
        (&told["pop"], &told["scope"], &told["layer"]),
        (&json!("nrt"), &json!(22), &json!("networks"))
    );
    assert_eq!(told["block"]["next"]["found"]["network"], "11.1.2.0/24");
    for (path, host, status) in [
        ("/explain?name=www.example.net&colour=red", "localhost", "400 Bad Request"),
        (path, "rebound.example", "421 Misdirected Request"),
    ] {
        let mut stream = std::net::TcpStream::connect(daemon.http()).expect("a connection");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("sent");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("a status");
        assert!(line.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {line}");
    }
}

/// Files that were changed and are not loaded yet are not what decided.
#[test]
fn a_file_that_was_changed_since_is_told() {
    let world = nested();
    let (config, control) = (world.at("as112d.toml"), world.at("control"));
    let _daemon = Daemon::start(&["--config", &config, "--control", &control]);
    world.write("networks.txt", "11.0.0.0/8 fra\n");
    let told = world.explain(&format!("www.example.net A --subnet 11.1.4.0/24 --control {control}"));
    assert!(told.starts_with("www.example.net. 60 IN A 198.51.100.2 "), "{told}");
    assert!(
        told.ends_with("files have changed since they were loaded; reload the maps to apply them\n"),
        "{told}"
    );
}

//------------ Explained and answered ---

/// PoPs, each with a list that begins with it, so that it is seen who decided.
const POPS: [&str; 9] = ["net", "plc", "asn", "cty", "cnt", "nea", "hnd", "lrn", "dfl"];
/// Questions, and how often each layer has to decide among them.
const QUESTIONS: usize = 5000;
const OF_EACH: usize = 100;

/// A node on which every layer has something to say of some networks.
fn layers(dice: &mut Dice) -> World {
    let mut text = "[zones]\ndir = '.'\n".to_owned();
    for (at, pop) in POPS.iter().enumerate() {
        let east = if *pop == "nea" { 20.0 } else { 170.0 - at as f64 };
        text += &format!("[[pop]]\nname = '{pop}'\nat = [-20, {east}]\n");
    }
    text += "[[map]]\nname = 'world'\nnetworks = ['networks.txt']\nresolvers = ['resolvers.txt']\n\
             learned = 'learned.map'\nplaces = 'places.map'\ndatabases = ['places.mmdb']\n\
             as = { 64500 = ['asn', 'net'] }\ncountry = { JP = ['cty', 'asn'] }\n\
             continent = { EU = ['cnt', 'cty'] }\nnearest = 2\ndefault = ['dfl', 'net']\n";
    let addresses = |third: u8, is_dual: bool| {
        let of = |(at, pop): (usize, &&str)| {
            let v6 = if is_dual { format!(", '2001:db8:{third}::{at}'") } else { String::new() };
            format!("{pop} = ['192.0.{third}.{at}', '198.51.{third}.{at}'{v6}]")
        };
        (0..).zip(&POPS).map(of).collect::<Vec<_>>().join(", ")
    };
    for (pool, names, more, third) in [
        ("web", "'www.example.net', '*.cdn.example.net'", "", 1),
        ("dual", "'example.net', 'dual.example.net'", "", 2),
        ("weighed", "'weighed.example.net'", "spread = 'weighted'\n", 3),
    ] {
        let addresses = addresses(third, third == 2);
        let weights = POPS.map(|pop| format!("{pop} = {}", 1 + dice.below(5))).join(", ");
        let more = if more.is_empty() { String::new() } else { format!("{more}weights = {{ {weights} }}\n") };
        text += &format!(
            "[[pool]]\nname = '{pool}'\nmap = 'world'\nnames = [{names}]\nttl = '60s'\n{more}\
             addresses = {{ {addresses} }}\n"
        );
    }
    let world = World::new(&text);
    let of = |first: u8, list: &str| format!("{first}.0.0.0/8 {list}\n2a00:{first}::/32 {list}\n");
    let mut networks = of(30, "net,plc");
    for _ in 0..200 {
        let len = 9 + dice.below(18) as u8;
        let address = Ipv4Addr::from(30 << 24 | (dice.roll() as u32 & 0x00FF_FFFF));
        let network = IpNet::new(address.into(), len).expect("a length").trunc();
        let list = *dice.pick(&["net,plc", "net,asn,hnd", "net"]);
        if !networks.contains(&format!("{network} ")) {
            networks += &format!("{network} {list}\n");
        }
    }
    world.write("networks.txt", &networks);
    world.write("resolvers.txt", &of(40, "hnd,net"));
    world.write("learned.map", &of(41, "lrn,net # 20 networks"));
    world.write("places.map", "country:US plc,net # 400 samples\n");
    let mut records = Vec::new();
    for (first, record) in [
        (20, json!({"autonomous_system_number": 64500, "country": {"iso_code": "JP"}})),
        (21, json!({"country": {"iso_code": "JP"}, "continent": {"code": "AS"}})),
        (22, json!({"country": {"iso_code": "FR"}, "continent": {"code": "EU"}})),
        (
            23,
            json!({
                "country": {"iso_code": "ZA"}, "continent": {"code": "AF"},
                "location": {"latitude": -26.2, "longitude": 28.0},
            }),
        ),
        (24, json!({"country": {"iso_code": "US"}, "continent": {"code": "NA"}})),
    ] {
        records.push((format!("{first}.0.0.0/8"), record.clone()));
        records.push((format!("2a00:{first}::/32"), record));
    }
    let records: Vec<(&str, Value)> = records.iter().map(|(of, record)| (&**of, record.clone())).collect();
    world.database("places.mmdb", &records);
    world
}

/// An address of one of the networks above, or of none of them.
fn address(dice: &mut Dice, firsts: &[u8]) -> IpAddr {
    let first = *dice.pick(firsts);
    if dice.once_in(3) {
        let high = u128::from(0x2a00_u16) << 112
            | u128::from(u16::from_str_radix(&first.to_string(), 16).expect("digits")) << 96;
        return Ipv6Addr::from(high | u128::from(dice.roll()) << 16 | 1).into();
    }
    Ipv4Addr::from(u32::from(first) << 24 | (dice.roll() as u32 & 0x00FF_FFFE) | 1).into()
}

/// What a client sees of a reply.
#[derive(Debug, PartialEq)]
struct Seen {
    rcode: String,
    addresses: Vec<String>,
    scope: Option<u64>,
}

/// Asks from `resolver`, with a subnet.
fn ask(daemon: &Daemon, resolver: IpAddr, subnet: Option<IpNet>, name: &str, rtype: Rtype) -> Seen {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(0);
    let mut builder = builder.question();
    builder.push((Name::vec_from_str(name).expect("a name"), rtype, Class::IN)).expect("room");
    let mut builder = builder.additional();
    let opt = builder.opt(|opt| {
        opt.set_udp_payload_size(1232);
        subnet.map_or(Ok(()), |subnet| opt.push(&ClientSubnet::new(subnet.prefix_len(), 0, subnet.addr())))
    });
    opt.expect("room");
    let socket = UdpSocket::bind((resolver, 0)).expect("every address is this host's");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let to = daemon.address(if resolver.is_ipv4() { V4 } else { V6 });
    socket.send_to(&builder.finish(), to).expect("sent");
    let mut reply = vec![0; 4096];
    let len =
        socket.recv(&mut reply).unwrap_or_else(|error| panic!("{name} {rtype} from {resolver}: {error}"));
    reply.truncate(len);
    let message = Message::from_octets(reply).expect("a message");
    let mut addresses = Vec::new();
    for record in message.answer().expect("an answer section").map(|record| record.expect("a record")) {
        if let Ok(Some(a)) = record.to_record::<A>() {
            addresses.push(a.data().addr().to_string());
        } else if let Ok(Some(aaaa)) = record.to_record::<Aaaa>() {
            addresses.push(aaaa.data().addr().to_string());
        }
    }
    let subnet = message.opt().and_then(|opt| opt.opt().client_subnet());
    let scope = subnet.map(|subnet| subnet.scope_prefix_len().into());
    Seen { rcode: message.header().rcode().to_string(), addresses, scope }
}

/// What the node says that it answers.
fn explained(control: &Path, words: &str) -> Value {
    let mut stream = UnixStream::connect(control).expect("the node is there");
    writeln!(stream, "as112d 1 explain {words}").expect("sent");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("an answer");
    let told: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(told["ok"], true, "{words}: {told}");
    told["explained"].clone()
}

#[test]
fn what_is_explained_is_what_is_answered() {
    if !fault::in_own_loopback("what_is_explained_is_what_is_answered") {
        return;
    }
    for line in ["ip route add local 0.0.0.0/0 dev lo", "ip -6 route add local ::/0 dev lo"] {
        assert!(fault::tool(line), "{line}");
    }
    for family in ["ipv4", "ipv6"] {
        fs::write(format!("/proc/sys/net/{family}/ip_nonlocal_bind"), "1").expect("a network of its own");
    }
    let mut dice = Dice::new(112);
    let world = layers(&mut dice);
    let (config, control) = (world.at("as112d.toml"), world.at("control"));
    let daemon = Daemon::start(&["--config", &config, "--control", &control]);
    let names = ["www", "www", "dual", "a.cdn", "weighed", "alias", "plain", "nx", ""];
    let types = [Rtype::A, Rtype::A, Rtype::A, Rtype::AAAA, Rtype::MX, Rtype::ANY];
    let clients = [20, 21, 22, 23, 24, 30, 30, 40, 41, 10, 50];
    let resolvers = [20, 21, 22, 23, 24, 30, 40, 40, 41, 41, 50];
    let mut decided: BTreeMap<String, usize> = BTreeMap::new();
    for number in 0..QUESTIONS {
        if number == QUESTIONS / 2 {
            for pop in ["net", "hnd"] {
                let ordered =
                    Command::new(program()).args(["pop", pop, "drain", "--control", &control]).output();
                assert!(ordered.expect("it runs").status.success());
            }
        }
        let resolver = address(&mut dice, &resolvers);
        let subnet = (!dice.once_in(3)).then(|| {
            let address = address(&mut dice, &clients);
            let len = dice.below(if address.is_ipv4() { 33 } else { 129 }) as u8;
            let len = if dice.once_in(2) { if address.is_ipv4() { 24 } else { 56 } } else { len };
            IpNet::new(address, len).expect("a length").trunc()
        });
        let name = format!("{}.example.net.", dice.pick(&names)).trim_start_matches('.').to_owned();
        let rtype = *dice.pick(&types);
        let seen = ask(&daemon, resolver, subnet, &name, rtype);
        let option = subnet.map_or_else(|| "-".to_owned(), |subnet| subnet.to_string());
        let words = format!("udp {resolver} {option} {rtype} {name}");
        let told = explained(Path::new(&control), &words);
        let texts = |values: &Value| -> Vec<String> {
            let values = values.as_array().expect("a list").iter();
            values.map(|value| value.as_str().expect("text").to_owned()).collect()
        };
        let as_told = Seen {
            rcode: told["rcode"].as_str().expect("text").to_owned(),
            addresses: texts(&told["addresses"]),
            scope: told["scope"].as_u64(),
        };
        assert_eq!(seen, as_told, "{words}: {told}");
        if told["tailored"] == true {
            let pop = told["pop"].as_str().expect("a name");
            let place = POPS.iter().position(|known| *known == pop).expect("one of ours");
            let is_its = |address: &String| {
                let last = address.rsplit(['.', ':']).next().expect("there is one").to_owned();
                last == place.to_string() || (place == 0 && last.is_empty())
            };
            assert!(seen.addresses.iter().all(is_its), "{words}: {told}");
            *decided.entry(told["layer"].as_str().expect("a name").to_owned()).or_default() += 1;
        } else {
            assert_eq!(told["scope"].as_u64().unwrap_or(0), 0, "{words}: {told}");
        }
    }
    eprintln!("report: explained {QUESTIONS} {decided:?}");
    let layers =
        ["networks", "places", "as", "country", "continent", "nearest", "by_hand", "learned", "default"];
    for layer in layers {
        let count = decided.get(layer).copied().unwrap_or_default();
        assert!(count >= OF_EACH, "{layer} decided {count} times: {decided:?}");
    }
}
