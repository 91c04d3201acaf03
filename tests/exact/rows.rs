//! The packets of the mix, and what each must count.

use as112d::limits::QUERY_LEN_MAX;

use crate::common::{query, question, wire_name, with_opt};

/// What one packet must count, apart from where it came in.
#[derive(Clone, Debug)]
pub struct Effect {
    pub service: &'static str,
    pub zone: Option<&'static str>,
    pub question: Option<(&'static str, &'static str)>,
    pub opcode: &'static str,
    /// The version, DO, NSID.
    pub edns: Option<(&'static str, bool, bool)>,
    pub cookie: Option<&'static str>,
    /// The response code, or why there is no reply.
    pub outcome: Result<&'static str, &'static str>,
    pub truncated_over_udp: bool,
}

pub const ANSWERED: Effect = Effect {
    service: "direct",
    zone: Some("10.in-addr.arpa"),
    question: Some(("PTR", "IN")),
    opcode: "QUERY",
    edns: None,
    cookie: None,
    outcome: Ok("NXDOMAIN"),
    truncated_over_udp: false,
};
/// For what is in no zone of ours.
const ELSEWHERE: Effect = Effect { service: "other", zone: None, outcome: Ok("REFUSED"), ..ANSWERED };
/// For what has no question that could be read.
pub const BROKEN: Effect = Effect { question: None, outcome: Ok("FORMERR"), ..ELSEWHERE };

pub struct Row {
    pub packet: Vec<u8>,
    /// How often it is sent at each door. Of what gets FORMERR and NOTIMP there are fewer than
    /// [`ERROR_REPLIES_PER_SECOND_MAX`](as112d::limits::ERROR_REPLIES_PER_SECOND_MAX) in all.
    pub copies: u64,
    pub effect: Effect,
}

const MANY: u64 = 2000;
pub const FEW: u64 = 30;
/// Of what gets an error that is capped.
const FEW_ERRORS: u64 = 10;

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
pub fn zone_text() -> String {
    let text = "x".repeat(250);
    let long = ["a", "b", "c"].map(|letter| letter.repeat(60)).join(".");
    format!(
        "$ORIGIN big.example.\n@ 60 IN SOA ns n 1 2 3 4 5\n@ 60 IN NS ns\nns 60 IN A 192.0.2.1\n\
         text 60 IN TXT \"{text}\" \"{text}\" \"{text}\"\ngrows 60 IN DNAME {long}.big.example.\n"
    )
}

pub fn patched(mut packet: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    packet[at..at + bytes.len()].copy_from_slice(bytes);
    packet
}

/// All that is sent, to a node that refuses updates or, `with_drops`, leaves them unanswered.
pub fn rows(with_drops: bool) -> Vec<Row> {
    let mut rows = zones_and_types();
    rows.extend(edns_and_classes());
    rows.extend(odd(with_drops));
    rows
}

/// A query like most.
const NAME: &str = "1.2.3.10.in-addr.arpa";

fn zones_and_types() -> Vec<Row> {
    let typed = |name, named: &'static str| Effect { question: Some((named, "IN")), ..effect_of(name) };
    let mut rows = Vec::new();
    let mut add = |copies, packet, effect| rows.push(Row { packet, copies, effect });
    for (qtype, named) in TYPES.into_iter().chain([(3, "other"), (258, "other"), (65_535, "other")]) {
        let effect = match named {
            "AXFR" | "IXFR" => Effect { question: Some((named, "IN")), ..ELSEWHERE },
            _ => typed(NAME, named),
        };
        add(FEW, query(NAME, qtype), effect);
    }
    add(MANY, query("1.1.168.192.in-addr.arpa", 12), effect_of("168.192.in-addr.arpa"));
    add(MANY, query("10.in-addr.arpa", 6), Effect { outcome: Ok("NOERROR"), ..typed(NAME, "SOA") });
    add(MANY, query("x.empty.as112.arpa", 12), effect_of("empty.as112.arpa"));
    add(MANY, query("x.home.arpa", 1), typed("home.arpa", "A"));
    add(
        MANY,
        query("hostname.as112.net", 16),
        Effect { outcome: Ok("NOERROR"), ..typed("hostname.as112.net", "TXT") },
    );
    add(MANY, query("www.example.org", 1), Effect { question: Some(("A", "IN")), ..ELSEWHERE });

    // The operator's zone.
    let own = Effect { service: "other", zone: Some("big.example"), ..ANSWERED };
    let text =
        Effect { question: Some(("TXT", "IN")), outcome: Ok("NOERROR"), truncated_over_udp: true, ..own };
    add(FEW, query("text.big.example", 16), text);
    let grown = format!("{}.grows.big.example", "d".repeat(60));
    add(FEW, query(&grown, 12), Effect { outcome: Ok("YXDOMAIN"), ..own });
    rows
}

fn edns_and_classes() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |copies, packet, effect| rows.push(Row { packet, copies, effect });
    // EDNS: none of it, DO, NSID, both, a version that nobody has.
    let with = |do_bit, nsid| {
        let options: &[u8] = if nsid { &[0, 3, 0, 0] } else { &[] };
        let packet = with_opt(query(NAME, 12), 1232, options);
        let flags_at = packet.len() - options.len() - 4;
        patched(packet, flags_at, &[if do_bit { 0x80 } else { 0 }])
    };
    for (do_bit, nsid) in [(false, false), (true, false), (false, true), (true, true)] {
        add(MANY, with(do_bit, nsid), Effect { edns: Some(("0", do_bit, nsid)), ..ANSWERED });
    }
    let version = patched(with(true, false), with(true, false).len() - 5, &[1]);
    add(FEW, version, Effect { edns: Some(("other", true, false)), outcome: Ok("BADVERS"), ..ELSEWHERE });

    for (len, state) in [(8, "client"), (24, "server"), (9, "malformed")] {
        let option = [vec![0, 10, 0, len], vec![7; len.into()]].concat();
        let packet = with_opt(query(NAME, 12), 1232, &option);
        add(FEW, packet, Effect { edns: Some(("0", false, false)), cookie: Some(state), ..ANSWERED });
    }

    // Classes, and a query that does not ask for recursion.
    add(FEW, patched(query(NAME, 12), 2, &[0]), ANSWERED);
    let chaos = |name: &str, qtype| question(&wire_name(name), qtype, 3);
    add(
        FEW,
        chaos("id.server", 16),
        Effect { question: Some(("TXT", "CH")), outcome: Ok("NOERROR"), ..ELSEWHERE },
    );
    add(FEW, chaos("no.server", 16), Effect { question: Some(("TXT", "CH")), ..ELSEWHERE });
    for (qclass, named) in [(4, "HS"), (254, "NONE"), (255, "ANY"), (77, "other")] {
        let effect = Effect { question: Some(("PTR", named)), ..ELSEWHERE };
        add(FEW, question(&wire_name(NAME), 12, qclass), effect);
    }
    rows
}

/// What is no plain query.
fn odd(with_drops: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |copies, packet, effect| rows.push(Row { packet, copies, effect });
    // Operation codes, and what does not parse.
    let opcodes =
        ["IQUERY", "STATUS", "3", "NOTIFY", "", "DSO", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
    for (opcode, named) in (1..).zip(opcodes).filter(|(opcode, _)| *opcode != 5) {
        let effect = Effect { opcode: named, outcome: Ok("NOTIMP"), ..BROKEN };
        add(FEW_ERRORS, patched(query(NAME, 12), 2, &[opcode << 3]), effect);
    }
    let update = patched(query("10.in-addr.arpa", 6), 2, &[5 << 3]);
    let outcome = if with_drops { Err("update") } else { Ok("REFUSED") };
    add(FEW, update, Effect { opcode: "UPDATE", outcome, question: None, ..ANSWERED });
    add(FEW_ERRORS, patched(query(NAME, 12), 4, &[0, 2]), BROKEN);
    add(FEW_ERRORS, query(NAME, 12)[..20].to_vec(), BROKEN);
    add(FEW_ERRORS, patched(query(NAME, 12), 10, &[0, 1]), Effect { outcome: Ok("FORMERR"), ..ELSEWHERE });
    // One byte too long: of what is longer still no more is read.
    let mut long = query(NAME, 12);
    long.resize(QUERY_LEN_MAX + 1, 0);
    add(FEW_ERRORS, long, Effect { outcome: Ok("FORMERR"), ..ELSEWHERE });

    // A signature by a key that nobody has.
    let mut signed = patched(query(NAME, 12), 10, &[0, 1]);
    let algorithm = wire_name("hmac-sha256");
    signed.extend([1, b'k', 0, 0, 250, 0, 255, 0, 0, 0, 0, 0, algorithm.len() as u8 + 16]);
    signed.extend(algorithm);
    signed.extend([0; 16]);
    add(FEW, signed, Effect { outcome: Ok("NOTAUTH"), ..ELSEWHERE });
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
