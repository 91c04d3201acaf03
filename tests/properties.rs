//! What is true of every reply, over whole ranges instead of samples: types, classes, flags, lengths and
//! letter case of names, EDNS fields, and packets cut or changed at every byte. [`Judge`] holds each reply
//! against the order of decisions and decodes it strictly; `hickory-proto` decodes it once more.
//!
//! What cannot be enumerated is drawn from a seed; `SEED=n` draws others.

mod common;

use std::net::SocketAddr;

use as112d::limits::SLOT_PAYLOAD_LEN;
use as112d::serve::{Verdict, serve};
use as112d::stats::account::Account;

use common::decode::{ANSWER, AUTHORITY, Message, TYPE_SOA};
use common::golden::{Case, Node};
use common::order::Judge;
use common::tailored::{subnet, subnets, tailored};
use common::{question, tcp, udp, wire_name, with_opt};

const NOERROR: u16 = 0;
const NXDOMAIN: u16 = 3;
const REFUSED: u16 = 5;
const YXDOMAIN: u16 = 6;

/// Types that no zone of RFC 7534 holds.
const TYPE_PTR: u16 = 12;

fn header(reply: &[u8]) -> (u16, bool) {
    (u16::from(reply[3] & 0xF), reply[2] & 4 != 0)
}

/// The counts of answers and of authority records.
fn counts(reply: &[u8]) -> (u8, u8) {
    (reply[7], reply[9])
}

/// The judge's verdict is in; this is the reply.
fn ask<'j>(judge: &'j mut Judge<'_>, query: &[u8]) -> &'j [u8] {
    judge.ask(query).expect("a sound query is answered")
}

/// A query without OPT, and one with.
fn both(name: &[u8], qtype: u16, qclass: u16) -> [Vec<u8>; 2] {
    let plain = question(name, qtype, qclass);
    [plain.clone(), with_opt(plain, 1232, &[])]
}

#[test]
fn every_type() {
    let node = Node::load("identity");
    let places: [(&str, &[u16]); 4] = [
        ("10.in-addr.arpa", &[2, 6, 255]),
        ("hostname.as112.net", &[2, 6, 16, 29, 255]),
        ("1.10.in-addr.arpa", &[]),
        ("example.org", &[]),
    ];
    for (index, (name, held)) in places.into_iter().enumerate() {
        let mut judge = Judge::new(&node, udp());
        let [mut plain, mut edns] = both(&wire_name(name), 0, 1);
        let type_at = plain.len() - 4;
        for qtype in 0..=u16::MAX {
            for query in [&mut plain, &mut edns] {
                query[type_at..type_at + 2].copy_from_slice(&qtype.to_be_bytes());
                let reply = ask(&mut judge, query);
                let expected = match index {
                    _ if matches!(qtype, 251 | 252) => ((REFUSED, false), false, false),
                    0 | 1 if held.contains(&qtype) => ((NOERROR, true), true, false),
                    0 | 1 => ((NOERROR, true), false, true),
                    2 => ((NXDOMAIN, true), false, true),
                    _ => ((REFUSED, false), false, false),
                };
                let (answers, authority) = counts(reply);
                assert_eq!((header(reply), answers > 0, authority > 0), expected, "{name} {qtype}");
            }
        }
        assert_eq!(judge.asked, 2 * 65_536);
    }
}

/// Whatever the type, no subnet decides whether there is an answer: caches have negative ones for everybody.
#[test]
fn every_type_of_a_tailored_name_exists_for_every_subnet_or_for_none() {
    let node = tailored(|_| ());
    let mut slot = vec![0; SLOT_PAYLOAD_LEN];
    let options: Vec<Vec<u8>> = subnets().iter().map(|of| subnet(of)).collect();
    assert_eq!(options.len(), 200);
    for name in ["www.example.net", "x.cdn.example.net"] {
        let mut ask = |query: &[u8]| {
            slot[..query.len()].copy_from_slice(query);
            let verdict = serve(&node, &udp(), &mut slot, query.len(), &mut Account::default());
            assert!(matches!(verdict, Verdict::Reply(_)), "{verdict:?}");
            (slot[3] & 0xF, slot[7] > 0, slot[2] & 2)
        };
        let plain = question(&wire_name(name), 0, 1);
        let type_at = plain.len() - 4;
        let mut without = with_opt(plain.clone(), 1232, &[]);
        let mut with: Vec<Vec<u8>> =
            options.iter().map(|option| with_opt(plain.clone(), 1232, option)).collect();
        for qtype in (0..=u16::MAX).map(u16::to_be_bytes) {
            without[type_at..type_at + 2].copy_from_slice(&qtype);
            let expected = ask(&without);
            for query in &mut with {
                query[type_at..type_at + 2].copy_from_slice(&qtype);
                assert_eq!(ask(query), expected, "{name} {qtype:?} {query:?}");
            }
        }
    }
}

#[test]
fn every_class() {
    let node = Node::load("identity");
    let mut judge = Judge::new(&node, udp());
    for qclass in 0..=u16::MAX {
        for query in both(&wire_name("10.in-addr.arpa"), TYPE_SOA, qclass) {
            let expected = if qclass == 1 { (NOERROR, true) } else { (REFUSED, false) };
            assert_eq!(header(ask(&mut judge, &query)), expected, "{qclass}");
        }
        for query in both(&wire_name("version.server"), 16, qclass) {
            let expected = if qclass == 3 { NOERROR } else { REFUSED };
            assert_eq!(header(ask(&mut judge, &query)), (expected, false), "{qclass}");
        }
    }
}

/// All flags, opcodes and response codes of a query: 65,536 words.
#[test]
fn every_word_of_flags() {
    for config in ["default", "update-drop"] {
        let node = Node::load(config);
        for arrival in [udp(), tcp()] {
            let mut judge = Judge::new(&node, arrival);
            let [mut plain, mut edns] = both(&wire_name("1.1.168.192.in-addr.arpa"), TYPE_PTR, 1);
            let mut answered = 0;
            for flags in 0..=u16::MAX {
                let mut bare = plain[..12].to_vec();
                for query in [&mut plain, &mut edns, &mut bare] {
                    query[2..4].copy_from_slice(&flags.to_be_bytes());
                    answered += usize::from(judge.ask(query).is_some());
                }
            }
            // Half of the words have QR. Where updates are dropped, those with a sound zone section are.
            let dropped = if config == "default" { 0 } else { 2 * (1 << 11) };
            assert_eq!(answered, 3 * 32_768 - dropped, "{config}");
        }
    }
}

/// The judge knows which are sound, in words of its own.
#[test]
fn every_form_of_a_client_subnet() {
    let node = Node::load("clients");
    let mut judge = Judge::new(&node, udp());
    let query = question(&wire_name("www.example.net"), 1, 1);
    let (mut sound, mut asked) = (0, 0);
    let mut send = |data: &[u8]| {
        let option = [&[0, 8, 0, data.len() as u8][..], data].concat();
        let (rcode, _) = header(ask(&mut judge, &with_opt(query.clone(), 1232, &option)));
        assert!(rcode <= 1, "{data:?}");
        sound += u32::from(rcode == 0);
        asked += 1;
    };
    (0..4).for_each(|len| send(&[0, 1, 0, 0][..len]));
    for source in 0..=u8::MAX {
        // What it takes, and an octet less and one more.
        let needed = usize::from(source).div_ceil(8);
        let lens = [needed.checked_sub(1), Some(needed), Some(needed + 1)];
        for (family, scope) in (0..4).flat_map(|family| [(family, 0), (family, 1)]) {
            for len in lens.into_iter().flatten() {
                for last in [0, 1, 0x80, 0xFF] {
                    let mut data = [&[0, family, source, scope][..], &vec![11; len]].concat();
                    if let Some(octet) = data.get_mut(4..).and_then(<[u8]>::last_mut) {
                        *octet = last;
                    }
                    send(&data);
                }
            }
        }
    }
    // Of each prefix length all four where it ends with an octet, else the two that end in its first bit.
    assert_eq!((sound, asked), (4 + 4 * 4 + 28 * 2 + 4 + 16 * 4 + 112 * 2, 4 + 8 * 4 * (3 * 256 - 1)));
}

#[test]
fn every_source_port() {
    let node = Node::load("default");
    let query = question(&wire_name("10.in-addr.arpa"), TYPE_SOA, 1);
    let mut over_udp = Judge::new(&node, udp());
    let mut over_tcp = Judge::new(&node, tcp());
    let mut dropped = Vec::new();
    for port in 0..=u16::MAX {
        let peer = SocketAddr::from(([127, 0, 0, 1], port));
        over_udp.arrival.peer = peer;
        over_tcp.arrival.peer = peer;
        if over_udp.ask(&query).is_none() {
            dropped.push(port);
        }
        assert!(over_tcp.ask(&query).is_some(), "TCP from port {port}");
    }
    assert_eq!(dropped, [0, 7, 13, 17, 19, 37, 464, 5300]);
}

/// Names of `len` bytes that end in `suffix` (wire form), with labels as long, and as short, as can be.
fn names_of(len: usize, suffix: &[u8]) -> Vec<Vec<u8>> {
    // Of what is left before the suffix a label takes 2 to 64 bytes.
    let build = |label_max: usize| {
        let mut left = len.checked_sub(suffix.len()).filter(|left| *left != 1)?;
        let mut name = Vec::new();
        while left > 0 {
            // What stays must not be one byte, which is no label.
            let take = if left <= label_max { left } else { label_max.min(left - 2) };
            name.push((take - 1) as u8);
            name.extend((0..take - 1).map(|at| b'q' + (at % 10) as u8));
            left -= take;
        }
        name.extend(suffix);
        Some(name)
    };
    [64, 3].into_iter().filter_map(build).collect()
}

#[test]
fn every_length_of_a_name() {
    let node = Node::load("own");
    let mut judge = Judge::new(&node, udp());
    for len in 1..=255 {
        for name in names_of(len, &[0]) {
            assert_eq!(name.len(), len);
            for query in both(&name, TYPE_PTR, 1) {
                assert_eq!(header(ask(&mut judge, &query)), (REFUSED, false), "{len}");
            }
        }
    }
    for zone in &node.facts.zones {
        let mut overheads = Vec::new();
        for len in zone.len() + 2..=255 {
            for name in names_of(len, zone) {
                let query = question(&name, TYPE_PTR, 1);
                let reply = ask(&mut judge, &query);
                assert_eq!((header(reply), counts(reply)), ((NXDOMAIN, true), (0, 1)), "{len} {zone:?}");
                overheads.push(reply.len() - query.len());
                ask(&mut judge, &with_opt(query, 512, &[0, 3, 0, 0]));
            }
        }
        // The same records, wherever the question ends.
        overheads.dedup();
        assert_eq!(overheads.len(), 1, "{zone:?}");
    }
}

#[test]
fn every_length_of_a_name_below_a_dname() {
    let node = Node::load("own");
    let mut judge = Judge::new(&node, udp());
    for (owner, target) in [
        ("foo.example.com", "example.net"),
        ("to-root.dname.test", "."),
        ("to-empty.dname.test", "empty.as112.arpa"),
        ("to-out.dname.test", "example.org"),
        ("to-wild.dname.test", "a.wild.test"),
        ("to-cut.dname.test", "sub.cut.test"),
        ("grow.dname.test", "x.grow.dname.test"),
    ] {
        let (owner, target) = (wire_name(owner), wire_name(target));
        for len in owner.len() + 2..=255 {
            for name in names_of(len, &owner) {
                for size in [512, 1232] {
                    let query = with_opt(question(&name, 1, 1), size, &[]);
                    let reply = ask(&mut judge, &query);
                    let is_too_long = len - owner.len() + target.len() > 255;
                    if is_too_long {
                        assert_eq!((header(reply), counts(reply).0), ((YXDOMAIN, true), 1), "{len}");
                    }
                    // Below a DNAME that grows the name becomes too long in a later link.
                    let grows = target.len() > owner.len();
                    assert!(is_too_long || grows || header(reply).0 != YXDOMAIN, "{len}");
                }
            }
        }
    }
    // Here the new name is longer by far, and the borders are known.
    let owner = wire_name("long.dname.test");
    for len in owner.len() + 2..=255 {
        for name in names_of(len, &owner) {
            let rcode = if len - owner.len() <= 43 { NOERROR } else { YXDOMAIN };
            assert_eq!(header(ask(&mut judge, &question(&name, 1, 1))), (rcode, true), "{len}");
        }
    }
}

#[test]
fn every_count_of_labels() {
    let node = Node::load("own");
    let mut judge = Judge::new(&node, udp());
    for suffix in
        [".", "10.in-addr.arpa", "hostname.as112.arpa", "foo.example.com", "sub.cut.test", "a.wild.test"]
    {
        let suffix = wire_name(suffix);
        for labels in 0..=130 {
            let mut name = b"\x01a".repeat(labels);
            name.extend(&suffix);
            let is_name = name.len() <= 255;
            for query in both(&name, 1, 1) {
                let reply = ask(&mut judge, &query);
                assert_eq!(header(reply).0 == 1, !is_name, "{labels} labels");
                if !is_name {
                    assert_eq!(reply.len(), 12);
                }
            }
        }
    }
}

/// A generator of numbers that any seed starts (xorshift64*).
struct Seeded(u64);

impl Seeded {
    fn new() -> Self {
        let seed = std::env::var("SEED").ok().map_or(112, |seed| seed.parse().expect("SEED is a number"));
        println!("SEED={seed}");
        // Zero would stay zero.
        Self(seed ^ 0x9E37_79B9_7F4A_7C15 | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

/// Every combination of letter case of every zone's name where it has at most 11 letters, else as many drawn
/// ones.
#[test]
fn every_letter_case_of_every_zone() {
    const LETTERS_MAX: usize = 11;
    let node = Node::load("own");
    let mut judge = Judge::new(&node, udp());
    let mut seeded = Seeded::new();
    for zone in &node.facts.zones {
        let letters: Vec<usize> = (0..zone.len()).filter(|&at| zone[at].is_ascii_lowercase()).collect();
        let lower = question(&[b"\x03x1-", &zone[..]].concat(), TYPE_PTR, 1);
        let expected = ask(&mut judge, &lower)[lower.len()..].to_vec();
        let expected_header = judge.ask(&lower).expect("it was answered before")[..12].to_vec();
        for combination in 0..1_u64 << letters.len().min(LETTERS_MAX) {
            let bits = if letters.len() <= LETTERS_MAX { combination } else { seeded.next() };
            let mut query = lower.clone();
            // The header and the label before the zone come first.
            let chosen = letters.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1);
            chosen.for_each(|(_, at)| query[12 + 4 + at].make_ascii_uppercase());
            let reply = ask(&mut judge, &query);
            assert_eq!((&reply[..12], &reply[query.len()..]), (&expected_header[..], &expected[..]));
        }
    }
}

#[test]
fn every_size_of_edns() {
    let node = Node::load("own");
    let mut judge = Judge::new(&node, udp());
    for (name, whole) in [("t512.big.test", 523), ("u1232.big.test", 1232), ("u1233.big.test", 1233)] {
        let mut query = with_opt(question(&wire_name(name), 16, 1), 0, &[]);
        let size_at = query.len() - 8;
        for size in 0..=u16::MAX {
            query[size_at..size_at + 2].copy_from_slice(&size.to_be_bytes());
            let reply = ask(&mut judge, &query);
            let fits = whole <= usize::from(size.clamp(512, 1232));
            let expected = if fits { whole } else { query.len() };
            assert_eq!((reply.len(), reply[2] & 2 != 0), (expected, !fits), "{name} {size}");
        }
    }
}

/// The four bytes of OPT's TTL: extended rcode and version, and all flags with each of three versions.
#[test]
fn every_version_and_flag_of_edns() {
    let node = Node::load("default");
    let mut judge = Judge::new(&node, udp());
    let mut query = with_opt(question(&wire_name("10.in-addr.arpa"), TYPE_SOA, 1), 1232, &[0, 3, 0, 0]);
    let ttl_at = query.len() - 4 - 2 - 4;
    for word in 0..=u16::MAX {
        let [high, low] = word.to_be_bytes();
        for bytes in [[high, low, 0, 0], [0, 0, high, low], [0, 1, high, low], [255, 255, high, low]] {
            query[ttl_at..ttl_at + 4].copy_from_slice(&bytes);
            let message = Message::decode(ask(&mut judge, &query)).expect("it was judged");
            let opt = message.opt().expect("OPT is answered with OPT");
            let is_known = bytes[1] == 0;
            assert_eq!(opt.ttl, u32::from(!is_known) << 24 | u32::from(bytes[2] & 0x80) << 8, "{bytes:?}");
            assert_eq!(message.section(ANSWER).count(), usize::from(is_known));
            assert_eq!(message.section(AUTHORITY).count(), 0);
        }
    }
}

#[test]
fn every_option_of_edns() {
    let node = Node::load("default");
    for arrival in [udp(), tcp()] {
        let mut judge = Judge::new(&node, arrival);
        for code in 0..=u16::MAX {
            let [high, low] = code.to_be_bytes();
            for option in [&[high, low, 0, 0][..], &[high, low, 0, 3, 1, 2, 3], &[high, low, 0, 1]] {
                let query = with_opt(question(&wire_name("1.10.in-addr.arpa"), 1, 1), 1232, option);
                ask(&mut judge, &query);
            }
        }
    }
}

/// Golden queries that together hold everything that a query can hold.
const RICH: [&str; 14] = [
    "as112/nxdomain-opt",
    "as112/apex-any",
    "identity/ch-opt",
    "edns/option-several",
    "edns/version-1-nsid",
    "tsig/opt",
    "records/additional-skipped",
    "records/sig0-opt",
    "question/none-opt-nsid",
    "question/two",
    "update/in-zone",
    "dname/example-below",
    "delegation/opt",
    "wildcard/alias",
];

/// Queries with client subnets.
const WITH_SUBNETS: [&str; 5] =
    ["clients/nsid", "clients/two", "clients/alias", "clients/question-absent", "clients/2400-1234-5600-56"];

fn golden(names: &[&str]) -> Vec<Vec<u8>> {
    let cases = Case::all();
    let find = |name: &&str| {
        let file = format!("{name}.txt");
        cases.iter().find(|case| case.name() == file).unwrap_or_else(|| panic!("no case {name}"))
    };
    names.iter().map(find).map(|case| case.query.clone()).collect()
}

/// Every golden query, cut at every byte of its first 600.
#[test]
fn every_truncation() {
    let node = Node::load("own");
    for arrival in [udp(), tcp()] {
        let mut judge = Judge::new(&node, arrival);
        for case in Case::all() {
            for len in 0..=case.query.len().min(600) {
                judge.ask(&case.query[..len]);
            }
        }
        assert!(judge.asked > 20_000, "{}", judge.asked);
    }
}

/// Every value of every byte.
#[test]
fn every_change_of_one_byte() {
    for (config, names, least) in [("own", &RICH[..], 200_000), ("clients", &WITH_SUBNETS, 60_000)] {
        let node = Node::load(config);
        let mut judge = Judge::new(&node, udp());
        for query in golden(names) {
            let mut changed = query.clone();
            for at in 0..query.len() {
                for value in 0..=u8::MAX {
                    changed[at] = value;
                    judge.ask(&changed);
                }
                changed[at] = query[at];
            }
        }
        assert!(judge.asked > least, "{config}: {}", judge.asked);
    }
}

/// Two bytes drawn, each with any value: what one change hides, another may bring to light.
#[test]
fn many_changes_of_two_bytes() {
    let node = Node::load("own");
    let mut judge = Judge::new(&node, tcp());
    let mut seeded = Seeded::new();
    for query in golden(&RICH) {
        for _ in 0..10_000 {
            let mut changed = query.clone();
            for _ in 0..2 {
                let number = seeded.next();
                changed[(number >> 8) as usize % query.len()] = number as u8;
            }
            judge.ask(&changed);
        }
    }
}
