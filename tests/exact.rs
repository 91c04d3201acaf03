//! A known mix of queries at every door, and every counter is what it must be: in JSON, for Prometheus, in
//! sum and by shard, on both datapaths.

mod common;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use as112d::stats::counters::{FAMILIES, Family};
use as112d::stats::labels::Values;
use common::daemon::{Daemon, PATIENCE, V4, V6, read_message, send_message};
use common::{query, question, wire_name, with_opt};
use serde_json::Value;

/// What one packet must count, apart from where it came in.
#[derive(Clone, Debug)]
struct Effect {
    service: &'static str,
    zone: Option<&'static str>,
    question: Option<(&'static str, &'static str)>,
    opcode: &'static str,
    /// The version, DO, NSID.
    edns: Option<(&'static str, bool, bool)>,
    rcode: &'static str,
    truncated_over_udp: bool,
}

const ANSWERED: Effect = Effect {
    service: "direct",
    zone: Some("10.in-addr.arpa"),
    question: Some(("PTR", "IN")),
    opcode: "QUERY",
    edns: None,
    rcode: "NXDOMAIN",
    truncated_over_udp: false,
};
/// For what is in no zone of ours.
const ELSEWHERE: Effect = Effect { service: "other", zone: None, rcode: "REFUSED", ..ANSWERED };
/// For what has no question that could be read.
const BROKEN: Effect = Effect { question: None, rcode: "FORMERR", ..ELSEWHERE };

struct Row {
    packet: Vec<u8>,
    /// How often it is sent at each door. FORMERR and NOTIMP stay below 1,000 a second in all.
    copies: u32,
    effect: Effect,
}

const MANY: u32 = 500;
const FEW: u32 = 30;

/// The types that have a name in `queries_by_type`.
const TYPES: [(u16, &str); 29] = [
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (12, "PTR"),
    (13, "HINFO"),
    (15, "MX"),
    (16, "TXT"),
    (17, "RP"),
    (28, "AAAA"),
    (29, "LOC"),
    (33, "SRV"),
    (35, "NAPTR"),
    (39, "DNAME"),
    (43, "DS"),
    (44, "SSHFP"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (52, "TLSA"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (99, "SPF"),
    (249, "TKEY"),
    (250, "TSIG"),
    (251, "IXFR"),
    (252, "AXFR"),
    (255, "ANY"),
    (257, "CAA"),
];

/// A zone of the operator's: one answer is too long for a datagram without EDNS, one name grows too long.
fn zone_text() -> String {
    let text = "x".repeat(250);
    let long = ["a", "b", "c"].map(|letter| letter.repeat(60)).join(".");
    format!(
        "$ORIGIN big.example.\n@ 60 IN SOA ns n 1 2 3 4 5\n@ 60 IN NS ns\nns 60 IN A 192.0.2.1\n\
         text 60 IN TXT \"{text}\" \"{text}\" \"{text}\"\ngrows 60 IN DNAME {long}.big.example.\n"
    )
}

fn patched(mut packet: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    packet[at..at + bytes.len()].copy_from_slice(bytes);
    packet
}

fn rows() -> Vec<Row> {
    let name = "1.2.3.10.in-addr.arpa";
    let typed = |name, named: &'static str| Effect { question: Some((named, "IN")), ..effect_of(name) };
    let mut rows = Vec::new();
    let mut add = |copies, packet, effect| rows.push(Row { packet, copies, effect });
    for (qtype, named) in TYPES.into_iter().chain([(3, "other"), (258, "other"), (65_535, "other")]) {
        let effect = match named {
            "AXFR" | "IXFR" => Effect { question: Some((named, "IN")), ..ELSEWHERE },
            _ => typed(name, named),
        };
        add(FEW, query(name, qtype), effect);
    }
    add(MANY, query("1.1.168.192.in-addr.arpa", 12), effect_of("168.192.in-addr.arpa"));
    add(MANY, query("10.in-addr.arpa", 6), Effect { rcode: "NOERROR", ..typed(name, "SOA") });
    add(MANY, query("x.empty.as112.arpa", 12), effect_of("empty.as112.arpa"));
    add(MANY, query("x.home.arpa", 1), typed("home.arpa", "A"));
    add(
        MANY,
        query("hostname.as112.net", 16),
        Effect { rcode: "NOERROR", ..typed("hostname.as112.net", "TXT") },
    );
    add(MANY, query("www.example.org", 1), Effect { question: Some(("A", "IN")), ..ELSEWHERE });

    // EDNS: none of it, DO, NSID, both, a version that nobody has.
    let with = |do_bit, nsid| {
        let options: &[u8] = if nsid { &[0, 3, 0, 0] } else { &[] };
        let packet = with_opt(query(name, 12), 1232, options);
        let flags_at = packet.len() - options.len() - 4;
        patched(packet, flags_at, &[if do_bit { 0x80 } else { 0 }])
    };
    for (do_bit, nsid) in [(false, false), (true, false), (false, true), (true, true)] {
        add(MANY, with(do_bit, nsid), Effect { edns: Some(("0", do_bit, nsid)), ..ANSWERED });
    }
    let version = patched(with(true, false), with(true, false).len() - 5, &[1]);
    add(FEW, version, Effect { edns: Some(("other", true, false)), rcode: "BADVERS", ..ELSEWHERE });

    // Classes.
    let chaos = |name: &str, qtype| question(&wire_name(name), qtype, 3);
    add(FEW, chaos("id.server", 16), Effect { question: Some(("TXT", "CH")), rcode: "NOERROR", ..ELSEWHERE });
    add(FEW, chaos("no.server", 16), Effect { question: Some(("TXT", "CH")), ..ELSEWHERE });
    for (qclass, named) in [(4, "HS"), (254, "NONE"), (255, "ANY"), (77, "other")] {
        let effect = Effect { question: Some(("PTR", named)), ..ELSEWHERE };
        add(FEW, question(&wire_name(name), 12, qclass), effect);
    }

    // Operation codes, and what does not parse.
    add(FEW, patched(query(name, 12), 2, &[4 << 3]), Effect { opcode: "NOTIFY", rcode: "NOTIMP", ..BROKEN });
    let update = patched(query("10.in-addr.arpa", 6), 2, &[5 << 3]);
    add(FEW, update, Effect { opcode: "UPDATE", rcode: "REFUSED", question: None, ..ANSWERED });
    add(FEW, patched(query(name, 12), 4, &[0, 2]), BROKEN);
    add(FEW, query(name, 12)[..20].to_vec(), BROKEN);
    add(FEW, patched(query(name, 12), 10, &[0, 1]), Effect { rcode: "FORMERR", ..ELSEWHERE });

    // A signature by a key that nobody has.
    let mut signed = patched(query(name, 12), 10, &[0, 1]);
    let algorithm = wire_name("hmac-sha256");
    signed.extend([1, b'k', 0, 0, 250, 0, 255, 0, 0, 0, 0, 0, algorithm.len() as u8 + 16]);
    signed.extend(algorithm);
    signed.extend([0; 16]);
    add(FEW, signed, Effect { rcode: "NOTAUTH", ..ELSEWHERE });

    // The operator's zone.
    let own = Effect { service: "other", zone: Some("big.example"), ..ANSWERED };
    let text = Effect { question: Some(("TXT", "IN")), rcode: "NOERROR", truncated_over_udp: true, ..own };
    add(FEW, query("text.big.example", 16), text);
    let grown = format!("{}.grows.big.example", "d".repeat(60));
    add(FEW, query(&grown, 12), Effect { rcode: "YXDOMAIN", ..own });
    rows
}

/// What a query for PTR counts that is in the zone that `name` ends in, and gets NXDOMAIN.
fn effect_of(name: &'static str) -> Effect {
    let (service, zone) = match name {
        "168.192.in-addr.arpa" => ("direct", name),
        "empty.as112.arpa" => ("dname", name),
        "home.arpa" => ("special", name),
        "hostname.as112.net" => ("hostname", name),
        _ => ("direct", "10.in-addr.arpa"),
    };
    Effect { service, zone: Some(zone), ..ANSWERED }
}

/// Counters by the name of their family and the values of their labels.
#[derive(Debug, Default)]
struct Expected(BTreeMap<(String, Vec<String>), u64>);

impl Expected {
    fn add(&mut self, family: &str, labels: &[&str], count: u64) {
        let name = family_named(family).name.to_owned();
        *self.0.entry((name, labels.iter().map(|&label| label.to_owned()).collect())).or_default() += count;
    }

    fn of(&self, family: &Family, labels: &[String]) -> u64 {
        self.0.get(&(family.name.to_owned(), labels.to_vec())).copied().unwrap_or_default()
    }

    fn sum(&self, family: &str) -> u64 {
        let name = family_named(family).name;
        self.0.iter().filter(|((family, _), _)| family == name).map(|(_, count)| count).sum()
    }

    /// One packet that came in at a door, and its reply.
    fn packet(&mut self, door: &Door, effect: &Effect, len: usize, reply: &[u8]) {
        let Door { transport, family, address } = door;
        self.add("queries", &[effect.service, transport, family], 1);
        self.add("queries_by_address", &[address], 1);
        self.add("queries_by_opcode", &[effect.opcode], 1);
        if let Some(zone) = effect.zone {
            let by_zone = if effect.opcode == "UPDATE" { "updates" } else { "queries_by_zone" };
            self.add(by_zone, &[zone], 1);
        }
        if let Some((qtype, qclass)) = effect.question {
            self.add("queries_by_type", &[qtype], 1);
            self.add("queries_by_class", &[qclass], 1);
        }
        if let Some((version, do_bit, nsid)) = effect.edns {
            self.add("queries_edns", &[version], 1);
            self.add("queries_do", &[], u64::from(do_bit));
            self.add("queries_nsid", &[], u64::from(nsid));
        }
        // It is echoed where it counts.
        self.add("queries_rd", &[], u64::from(reply[2] & 1));
        self.add("queries_oversize", &[], u64::from(len > 2048));
        self.add("responses", &[effect.rcode], 1);
        self.add("responses_by_transport", &[transport, family], 1);
        self.add("responses_truncated", &[], u64::from(effect.truncated_over_udp && *transport == "udp"));
        for (name, len) in [("query_size_bytes", len), ("response_size_bytes", reply.len())] {
            self.add(name, &[transport, &(len / 16 * 16).to_string()], 1);
            self.add(&format!("{name}_sum"), &[transport], len as u64);
        }
    }
}

/// A family by its name in JSON.
fn family_named(key: &str) -> &'static Family {
    let is_it = |family: &&Family| json_key(family) == key;
    FAMILIES.iter().find(is_it).unwrap_or_else(|| panic!("no family {key}"))
}

fn json_key(family: &Family) -> &'static str {
    family.name.trim_start_matches("as112_").trim_end_matches("_total")
}

struct Door {
    transport: &'static str,
    family: &'static str,
    address: String,
}

/// Sends all rows at all doors, each after the reply to the last; what must have been counted.
fn send_everything(daemon: &Daemon) -> Expected {
    let mut expected = Expected::default();
    let rows = rows();
    for (ip, family) in [(V4, "ipv4"), (V6, "ipv6")] {
        let address = daemon.address(ip).to_string();
        let door = Door { transport: "udp", family, address: address.clone() };
        // Several sockets, so that the kernel spreads them over the shards.
        let sockets: Vec<_> = (0..16).map(|_| daemon.udp(ip)).collect();
        let mut reply = [0; 4096];
        let mut turns = sockets.iter().cycle();
        for Row { packet, copies, effect } in &rows {
            for socket in turns.by_ref().take(*copies as usize) {
                socket.send(packet).expect("sent");
                let len = socket.recv(&mut reply).unwrap_or_else(|error| panic!("{effect:?}: {error}"));
                expected.packet(&door, effect, packet.len(), &reply[..len]);
            }
        }
        for (packet, reason) in [
            (vec![0; 11], "short"),
            (Vec::new(), "short"),
            (patched(query("a.example", 1), 2, &[0x80]), "response"),
        ] {
            for socket in turns.by_ref().take(FEW as usize) {
                socket.send(&packet).expect("sent");
                expected.add("queries_dropped", &[reason], 1);
            }
        }
        let door = Door { transport: "tcp", family, address };
        for Row { packet, copies, effect } in &rows {
            let mut stream = daemon.tcp(ip);
            for _ in 0..*copies {
                send_message(&mut stream, packet);
                let reply = read_message(&mut stream).unwrap_or_else(|| panic!("{effect:?}: closed"));
                expected.packet(&door, effect, packet.len(), &reply);
            }
            expected.add("tcp_connections_accepted", &[], 1);
            expected.add("tcp_connections_closed", &["client"], 1);
        }
        // A response over TCP ends the connection.
        let mut stream = daemon.tcp(ip);
        send_message(&mut stream, &patched(query("a.example", 1), 2, &[0x80]));
        assert_eq!(read_message(&mut stream), None);
        expected.add("queries_dropped", &["response"], 1);
        expected.add("tcp_connections_accepted", &[], 1);
        expected.add("tcp_connections_closed", &["protocol"], 1);
    }
    expected
}

fn get(http: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(http).expect("a connection");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: n\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split_once("\r\n\r\n").expect("a head and a body").1.to_owned()
}

/// The counters of a family in JSON, by the values of its labels.
fn leaves(value: &Value) -> Vec<(Vec<String>, u64)> {
    let Value::Object(object) = value else {
        return vec![(Vec::new(), value.as_u64().unwrap_or_else(|| panic!("{value} is no count")))];
    };
    let below = object.iter().flat_map(|(label, value)| {
        leaves(value).into_iter().map(move |(mut labels, count)| {
            labels.insert(0, label.clone());
            (labels, count)
        })
    });
    below.collect()
}

/// The families that are not exact, because time or chance has a part in them; and those of shards.
fn is_exact(family: &Family) -> bool {
    !family.by_shard && !["tcp_turns", "source_samples"].contains(&json_key(family))
}

fn check_json(expected: &Expected, stats: &Value) {
    for family in FAMILIES.iter().filter(|family| is_exact(family)) {
        let found = leaves(&stats["counters"][json_key(family)]);
        for (labels, count) in &found {
            assert_eq!(*count, expected.of(family, labels), "{} {labels:?}", family.name);
        }
        let sum: u64 = found.iter().map(|(_, count)| count).sum();
        assert_eq!(sum, expected.sum(json_key(family)), "{}", family.name);
    }
}

fn check_shards(expected: &Expected, stats: &Value, shards: usize) {
    let of = |shard: &Value, key: &str| {
        leaves(&shard["counters"][key]).iter().map(|(_, count)| count).sum::<u64>()
    };
    let blocks = stats["shards"].as_array().expect("a list of shards");
    assert_eq!(blocks.len(), shards);
    let sum = |key: &str| blocks.iter().map(|shard| of(shard, key)).sum::<u64>();
    let over_udp = |key: &str| -> u64 {
        let name = family_named(key).name;
        let counts = expected
            .0
            .iter()
            .filter(|((family, labels), _)| family == name && labels.iter().any(|label| label == "udp"));
        counts.map(|(_, count)| count).sum()
    };
    let dropped = expected.sum("queries_dropped") - 2;
    assert_eq!(sum("shard_datagrams"), over_udp("queries") + dropped);
    assert_eq!(sum("shard_sent"), over_udp("responses_by_transport"));
    assert_eq!(sum("queries"), over_udp("queries"));
    for none in ["ring_cq_overflow", "ring_short_submissions", "send_errors", "socket_drops", "tcp_turns"] {
        assert_eq!(sum(none), 0, "{none}");
    }
    for shard in blocks {
        let (received, batches) = (of(shard, "shard_datagrams"), of(shard, "shard_batches"));
        assert!(
            received > 0 && batches > 0 && batches <= received,
            "{batches} batches, {received} datagrams"
        );
        assert!(of(shard, "shard_turns") >= batches && of(shard, "shard_busy_nanoseconds") > 0);
    }
}

/// Prometheus has the same numbers: every sample of every exact family, and the histograms' last buckets.
fn check_prometheus(expected: &Expected, text: &str) {
    let samples: BTreeMap<&str, &str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' ')).collect();
    let number = |name: &str| -> u64 {
        samples.get(name).unwrap_or_else(|| panic!("no {name}")).parse().expect("a whole number")
    };
    for family in FAMILIES.iter().filter(|family| is_exact(family)) {
        let is_sizes = family.labels.iter().any(|label| matches!(label.values, Values::Bins(_)));
        if is_sizes {
            for transport in ["udp", "tcp"] {
                let counted = expected
                    .0
                    .iter()
                    .filter(|((name, labels), _)| name == family.name && labels[0] == transport);
                let (mut all, mut small) = (0, 0);
                for ((_, labels), count) in counted {
                    all += count;
                    small += if labels[1].parse::<usize>().expect("a size") < 64 { *count } else { 0 };
                }
                let name = family.name;
                assert_eq!(number(&format!("{name}_count{{transport=\"{transport}\"}}")), all);
                assert_eq!(number(&format!("{name}_bucket{{transport=\"{transport}\",le=\"+Inf\"}}")), all);
                assert_eq!(number(&format!("{name}_bucket{{transport=\"{transport}\",le=\"63.0\"}}")), small);
            }
            continue;
        }
        let mut sum = 0;
        for (sample, value) in &samples {
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            if name == family.name {
                let values = labels
                    .split("=\"")
                    .skip(1)
                    .map(|rest| rest.split_once('"').expect("quoted").0.to_owned());
                let count: u64 = value.parse().expect("a whole number");
                assert_eq!(count, expected.of(family, &values.collect::<Vec<_>>()), "{sample}");
                sum += count;
            }
        }
        assert_eq!(sum, expected.sum(json_key(family)), "{}", family.name);
    }
    assert_eq!(number("as112_tcp_connections"), 0);
}

#[test]
fn every_counter_is_exact() {
    let folder = tempfile::tempdir().expect("there is room for a file");
    std::fs::write(folder.path().join("big.example.zone"), zone_text()).expect("there is room for a file");
    let folder = folder.path().to_str().expect("a plain path");
    for datapath in ["io_uring", "mmsg"] {
        for shards in [1, 2] {
            let count = shards.to_string();
            let daemon = Daemon::start(&[
                "--datapath",
                datapath,
                "--shards",
                &count,
                "--zones",
                folder,
                "--http",
                "127.0.0.1:0",
            ]);
            let line = daemon.announcement.iter().find_map(|line| line.strip_prefix("statistics: http://"));
            let http = line
                .and_then(|line| line.split('/').next())
                .expect("it says where")
                .parse()
                .expect("an address");
            let expected = send_everything(&daemon);
            let stats = settled(http, expected.sum("queries"), expected.sum("queries_dropped"));
            println!("{datapath}, {shards} shards: {} queries", expected.sum("queries"));
            check_json(&expected, &stats);
            check_shards(&expected, &stats, shards);
            check_prometheus(&expected, &get(http, "/metrics"));
            let (status, said) = daemon.stop();
            assert_eq!(status.code(), Some(0));
            assert_eq!(said, [format!("stopped after {} queries", expected.sum("queries"))]);
        }
    }
}

/// The numbers once the last packets are counted, and a little later: no more may come.
#[expect(clippy::disallowed_methods, reason = "counters are read, not heard")]
fn settled(http: SocketAddr, queries: u64, dropped: u64) -> Value {
    let read = || -> Value { serde_json::from_str(&get(http, "/stats.json")).expect("JSON") };
    let began = Instant::now();
    loop {
        let stats = read();
        let sum = |key: &str| leaves(&stats["counters"][key]).iter().map(|(_, count)| count).sum::<u64>();
        let is_done =
            sum("queries") >= queries && sum("queries_dropped") >= dropped && stats["tcp_connections"] == 0;
        if is_done || began.elapsed() > PATIENCE {
            std::thread::sleep(Duration::from_millis(300));
            return read();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
