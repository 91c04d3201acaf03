//! Query sets that look like what an AS112 node gets, the same for the same seed.
//!
//! A set has two forms. The text of dnsperf (`NAME TYPE` a line; kxdpgun and flamethrower read it too) holds
//! ordinary queries. The binary form (a length of two bytes and a message, as over TCP; dnsperf's `-B`) also
//! holds what a line cannot say: EDNS options, letter case, dynamic updates and TKEY as Windows sends them.

use std::fmt::Write as _;

use as112d::dns::consts::rcode;
use as112d::serve::snapshot::Snapshot;

use super::common::{ask, node, udp, wire_name};
use super::mutate::Dice;
use super::servers::OPERATOR;

/// Zones, and how many of a thousand queries are for each. The blocks of home routers lead; 172.16.0.0/12 is
/// what container networks make of it.
pub const ZONES: [(&str, usize); 22] = [
    ("168.192.in-addr.arpa", 390),
    ("10.in-addr.arpa", 340),
    ("16.172.in-addr.arpa", 45),
    ("17.172.in-addr.arpa", 40),
    ("18.172.in-addr.arpa", 20),
    ("19.172.in-addr.arpa", 8),
    ("20.172.in-addr.arpa", 8),
    ("21.172.in-addr.arpa", 4),
    ("22.172.in-addr.arpa", 4),
    ("23.172.in-addr.arpa", 3),
    ("24.172.in-addr.arpa", 3),
    ("25.172.in-addr.arpa", 3),
    ("26.172.in-addr.arpa", 3),
    ("27.172.in-addr.arpa", 3),
    ("28.172.in-addr.arpa", 3),
    ("29.172.in-addr.arpa", 3),
    ("30.172.in-addr.arpa", 4),
    ("31.172.in-addr.arpa", 6),
    ("254.169.in-addr.arpa", 50),
    ("empty.as112.arpa", 35),
    ("home.arpa", 20),
    ("service.arpa", 5),
];

/// Types, and how many of a thousand queries below a zone ask for each.
const TYPES: [(&str, u16, usize); 8] = [
    ("PTR", 12, 915),
    ("SOA", 6, 30),
    ("A", 1, 16),
    ("AAAA", 28, 12),
    ("SRV", 33, 9),
    ("TXT", 16, 7),
    ("NS", 2, 6),
    ("ANY", 255, 5),
];

/// How many of a thousand queries are for a zone itself, and how many for the node's identity.
const APEX: usize = 12;
const IDENTITY: usize = 2;
/// How many queries for a name below a zone are those of service discovery (RFC 6763, section 11).
const DISCOVERY: usize = 40;

/// Shares of the binary form, of a thousand queries each.
const UPDATE: usize = 20;
const TKEY: usize = 5;
const MIXED_CASE: usize = 60;
const EDNS: usize = 780;
/// Of those with EDNS.
const DO: usize = 600;
const NSID: usize = 15;
const ECS: usize = 25;
const COOKIE: usize = 150;

const TYPE_ANY: u16 = 255;
const TYPE_CNAME: u16 = 5;
const TYPE_PTR: u16 = 12;
const TYPE_SOA: u16 = 6;
const TYPE_TKEY: u16 = 249;

/// A line of the text form.
struct Line {
    name: String,
    rtype: &'static str,
    number: u16,
}

/// Messages in one piece of memory, each with what it should get.
pub struct QuerySet {
    bytes: Vec<u8>,
    /// Where each message ends.
    ends: Vec<usize>,
    expected: Vec<Expected>,
    /// The lines that the messages were made of; empty for a set of the binary form.
    pub text: String,
}

/// What the answer to a query must be, as our own code says it without a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    pub rcode: u8,
    /// Where the question ends in the query, and in the reply.
    pub question_end: u16,
    /// Whether every server has to agree on the code: on queries they do, on updates and TKEY not.
    pub by_all: bool,
}

impl QuerySet {
    /// Ordinary queries, with EDNS and DO as `dnsperf -e -D` sends them, and their text.
    pub fn ordinary(seed: u64, count: usize) -> Self {
        let (mut dice, mut set) = (Dice::new(seed), Self::new());
        let judge = node(&[]);
        for _ in 0..count {
            let line = line(&mut dice);
            let _ = writeln!(set.text, "{} {}", line.name, line.rtype);
            let opt = opt(4096, true, &[]);
            let packet =
                message(&header(1, 0, [1, 0, 0, 1]), &question(&wire_name(&line.name), line.number), &opt);
            set.push(&judge, &packet);
        }
        set
    }

    /// All that a node gets, with the options and the oddities.
    pub fn mixed(seed: u64, count: usize) -> Self {
        // Another stream than that of the ordinary set, so that neither is a part of the other.
        let (mut dice, mut set) = (Dice::new(!seed), Self::new());
        let judge = node(&[]);
        for _ in 0..count {
            let packet = mixed(&mut dice);
            set.push(&judge, &packet);
        }
        set
    }

    /// Queries for names that none of so many zones of an operator has, with EDNS and DO.
    pub fn operators(zones: usize, count: usize) -> Self {
        let mut dice = Dice::new(zones as u64);
        let messages = (0..count).map(|number| {
            let name = operators_name(number, dice.below(zones));
            message(
                &header(1, 0, [1, 0, 0, 1]),
                &question(&wire_name(&name), TYPE_PTR),
                &opt(4096, true, &[]),
            )
        });
        Self::of(messages, rcode::NXDOMAIN)
    }

    /// Messages with a question, which all get this code.
    pub fn of(messages: impl IntoIterator<Item = Vec<u8>>, rcode: u8) -> Self {
        let mut set = Self::new();
        messages.into_iter().for_each(|packet| set.keep(&packet, rcode, true));
        set
    }

    fn new() -> Self {
        Self { bytes: Vec::new(), ends: Vec::new(), expected: Vec::new(), text: String::new() }
    }

    fn push(&mut self, judge: &Snapshot, packet: &[u8]) {
        let reply = ask(judge, &udp(), packet).expect("no query of a set is dropped");
        let (opcode, rcode) = (packet[2] >> 3 & 15, reply[3] & 15);
        self.keep(packet, rcode, opcode == 0 && [rcode::NOERROR, rcode::NXDOMAIN].contains(&rcode));
    }

    fn keep(&mut self, packet: &[u8], rcode: u8, by_all: bool) {
        let question_end =
            12 + packet[12..].iter().position(|&byte| byte == 0).expect("the root ends a name") + 5;
        self.bytes.extend(packet);
        self.ends.push(self.bytes.len());
        self.expected.push(Expected { rcode, question_end: question_end as u16, by_all });
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// A message, and what it should get.
    #[inline]
    pub fn get(&self, index: usize) -> (&[u8], Expected) {
        let begin = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        (&self.bytes[begin..self.ends[index]], self.expected[index])
    }

    /// The binary form.
    pub fn binary(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + 2 * self.len());
        for index in 0..self.len() {
            let (packet, _) = self.get(index);
            out.extend((packet.len() as u16).to_be_bytes());
            out.extend(packet);
        }
        out
    }

    /// The text form as kxdpgun reads it: D asks for EDNS and DO.
    pub fn text_for_kxdpgun(&self) -> String {
        self.text.lines().map(|line| format!("{line} D\n")).collect()
    }
}

/// A name that a zone of an operator does not have.
pub fn operators_name(number: usize, zone: usize) -> String {
    format!("x{number}.y.z{zone}.{OPERATOR}")
}

/// One of the entries, each as often as its weight says; the weights add up to a thousand.
fn weighted<'a, T>(dice: &mut Dice, entries: &'a [T], weight: impl Fn(&T) -> usize) -> &'a T {
    let mut left = dice.below(entries.iter().map(&weight).sum());
    entries
        .iter()
        .find(|entry| {
            let hit = left < weight(entry);
            left = left.saturating_sub(weight(entry));
            hit
        })
        .expect("what is left is below the sum of the weights")
}

fn of_thousand(dice: &mut Dice, share: usize) -> bool {
    dice.below(1000) < share
}

fn line(dice: &mut Dice) -> Line {
    if of_thousand(dice, IDENTITY) {
        let name = *dice.pick(&["hostname.as112.net", "hostname.as112.arpa"]);
        return Line { name: name.to_owned(), rtype: "TXT", number: 16 };
    }
    let zone = weighted(dice, &ZONES, |zone| zone.1).0;
    if of_thousand(dice, APEX) {
        let (rtype, number) =
            *dice.pick(&[("SOA", TYPE_SOA), ("SOA", TYPE_SOA), ("NS", 2), ("ANY", TYPE_ANY)]);
        return Line { name: zone.to_owned(), rtype, number };
    }
    let &(rtype, number, _) = weighted(dice, &TYPES, |rtype| rtype.2);
    Line { name: name_below(dice, zone, number), rtype, number }
}

/// A name below a zone, as those who ask have them: the whole address below a reverse zone, a host elsewhere.
fn name_below(dice: &mut Dice, zone: &str, rtype: u16) -> String {
    let mut name = String::new();
    if rtype == TYPE_PTR && of_thousand(dice, DISCOVERY) {
        name += *dice.pick(&["lb._dns-sd._udp.", "b._dns-sd._udp.", "db._dns-sd._udp."]);
    } else if rtype == 33 {
        name += *dice.pick(&["_ldap._tcp.", "_kerberos._tcp.", "_http._tcp."]);
    }
    let labels = zone.strip_suffix(".in-addr.arpa").map(|octets| 4 - octets.split('.').count());
    match (labels, zone) {
        (Some(octets), _) => (0..octets).for_each(|_| {
            let _ = write!(name, "{}.", dice.below(256));
        }),
        // Where a DNAME of a reverse zone leads: what is left of an address.
        (None, "empty.as112.arpa") => (0..3).for_each(|_| {
            let _ = write!(name, "{}.", dice.below(256));
        }),
        _ => {
            let host = dice.pick(&["router", "printer", "nas", "tv", "phone", "camera"]);
            let _ = write!(name, "{host}-{}.", dice.below(10_000));
        }
    }
    name + zone
}

/// One message of the binary form.
fn mixed(dice: &mut Dice) -> Vec<u8> {
    if of_thousand(dice, UPDATE) {
        return update(dice);
    }
    if of_thousand(dice, TKEY) {
        return tkey(dice);
    }
    let line = line(dice);
    let mut name = wire_name(&line.name);
    if of_thousand(dice, MIXED_CASE) {
        mix_case(dice, &mut name);
    }
    let opt = of_thousand(dice, EDNS).then(|| mixed_opt(dice));
    // RD from stub resolvers, CD from validators; the rest is what full resolvers send.
    let flags = *dice.pick(&[0, 0, 0, 0x0100, 0x0100, 0x0010]);
    let head = header(flags >> 8 & 1, 0, [1, 0, 0, u16::from(opt.is_some())]);
    let mut packet = message(&head, &question(&name, line.number), &opt.unwrap_or_default());
    packet[3] |= (flags & 0xFF) as u8;
    packet
}

/// As resolvers that hide their queries' randomness in letters do.
fn mix_case(dice: &mut Dice, name: &mut [u8]) {
    for byte in name.iter_mut().filter(|byte| byte.is_ascii_lowercase()) {
        if dice.once_in(2) {
            byte.make_ascii_uppercase();
        }
    }
}

fn mixed_opt(dice: &mut Dice) -> Vec<u8> {
    let mut options = Vec::new();
    if of_thousand(dice, NSID) {
        options.extend([0, 3, 0, 0]);
    }
    if of_thousand(dice, ECS) {
        // RFC 7871: family 1, source prefix 24, scope 0, and the first three octets of 198.51.100.0.
        options.extend([0, 8, 0, 7, 0, 1, 24, 0, 198, 51, 100]);
    }
    if of_thousand(dice, COOKIE) {
        // RFC 7873: a client cookie of eight bytes.
        options.extend([0, 10, 0, 8]);
        options.extend(dice.roll().to_be_bytes());
    }
    let size = *dice.pick(&[1232, 1232, 4096, 4096, 1400, 512]);
    let is_do = of_thousand(dice, DO);
    opt(size, is_do, &options)
}

/// What Windows sends for each address it gets by DHCP: replace the PTR records of the address (RFC 2136).
fn update(dice: &mut Dice) -> Vec<u8> {
    let zone = weighted(dice, &ZONES[..19], |zone| zone.1).0;
    let owner = wire_name(&name_below(dice, zone, TYPE_SOA));
    let host = wire_name(&format!("desktop-{}.corp.example", dice.below(100_000)));
    // Prerequisite: no CNAME there (class NONE). Then: delete the RRset (class ANY), add one record.
    let mut records = record(&owner, TYPE_CNAME, 254, 0, &[]);
    records.extend(record(&owner, TYPE_PTR, 255, 0, &[]));
    records.extend(record(&owner, TYPE_PTR, 1, 1200, &host));
    message(&header(0, 5, [1, 1, 2, 0]), &question(&wire_name(zone), TYPE_SOA), &records)
}

/// What Windows sends when an update was refused: it asks for a key (RFC 3645), for the refused server.
fn tkey(dice: &mut Dice) -> Vec<u8> {
    let id = dice.below(1 << 16);
    let name = wire_name(&format!("{id}-ms-7.1-4a2b.1f0e6c7d-9b3a-11ec-8d3d-0242ac120003"));
    let mut data = wire_name("gss-tsig");
    let (inception, expiration) = (1_700_000_000_u32, 1_700_086_400_u32);
    data.extend(inception.to_be_bytes());
    data.extend(expiration.to_be_bytes());
    // Mode 3 (GSS-API), no error, and a token of which a server that has no keys reads nothing.
    data.extend([0, 3, 0, 0, 0, 64]);
    data.extend([0x60; 64]);
    data.extend([0, 0]);
    let mut packet = message(&header(0, 0, [1, 0, 0, 1]), &question(&name, TYPE_TKEY), &[]);
    let class_at = packet.len() - 2;
    packet[class_at..].copy_from_slice(&TYPE_ANY.to_be_bytes());
    packet.extend(record(&name, TYPE_TKEY, TYPE_ANY, 0, &data));
    packet
}

/// A header with the ID 0, which whoever sends it sets.
fn header(rd: u16, opcode: u8, counts: [u16; 4]) -> [u8; 12] {
    let mut header = [0; 12];
    header[2] = opcode << 3 | (rd & 1) as u8;
    for (field, count) in header[4..].chunks_exact_mut(2).zip(counts) {
        field.copy_from_slice(&count.to_be_bytes());
    }
    header
}

fn message(header: &[u8], question: &[u8], rest: &[u8]) -> Vec<u8> {
    [header, question, rest].concat()
}

fn question(name: &[u8], rtype: u16) -> Vec<u8> {
    [name, &rtype.to_be_bytes(), &[0, 1]].concat()
}

fn record(owner: &[u8], rtype: u16, class: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let len = (data.len() as u16).to_be_bytes();
    [owner, &rtype.to_be_bytes(), &class.to_be_bytes(), &ttl.to_be_bytes(), &len, data].concat()
}

fn opt(size: u16, is_do: bool, options: &[u8]) -> Vec<u8> {
    record(&[0], 41, size, if is_do { 0x8000 } else { 0 }, options)
}

#[cfg(test)]
mod tests {
    use super::super::bounds::SAMPLE;
    use super::super::common::decode::second_opinion;
    use super::*;

    const SEED: u64 = 112;

    #[test]
    fn a_seed_is_a_set() {
        for make in [QuerySet::ordinary, QuerySet::mixed] {
            let (one, same, other) = (make(SEED, 1000), make(SEED, 1000), make(SEED + 1, 1000));
            assert_eq!(one.binary(), same.binary());
            assert_eq!((&one.text, &one.expected), (&same.text, &same.expected));
            assert_ne!(one.binary(), other.binary());
            assert_eq!(make(SEED, 300).binary(), one.binary()[..make(SEED, 300).binary().len()]);
        }
    }

    /// What the repository holds is what the generator makes: `--make-queries 112` renews it.
    #[test]
    fn the_samples_are_of_their_seed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/loadtest/queries");
        let read = |name: &str| std::fs::read(format!("{folder}/{name}")).unwrap();
        assert_eq!(read("sample.txt"), QuerySet::ordinary(SEED, SAMPLE).text.as_bytes());
        assert_eq!(read("sample.bin"), QuerySet::mixed(SEED, SAMPLE).binary());
    }

    #[test]
    fn weights_are_of_a_thousand() {
        assert_eq!(ZONES.iter().map(|zone| zone.1).sum::<usize>(), 1000);
        assert_eq!(TYPES.iter().map(|rtype| rtype.2).sum::<usize>(), 1000);
    }

    #[test]
    fn ordinary_sets_are_ptr_dominated_and_uneven() {
        let set = QuerySet::ordinary(SEED, 20_000);
        let count = |fragment: &str| set.text.lines().filter(|line| line.ends_with(fragment)).count();
        assert!((17_000..18_800).contains(&count(" PTR")), "{}", count(" PTR"));
        for rtype in [" SOA", " NS", " TXT", " ANY", " A", " AAAA", " SRV"] {
            assert!((40..1200).contains(&count(rtype)), "{rtype}: {}", count(rtype));
        }
        let of_zone = |zone: &str| set.text.lines().filter(|line| line.contains(zone)).count();
        assert!(
            of_zone("168.192.in-addr") > of_zone(".10.in-addr")
                && of_zone(".10.in-addr") > 10 * of_zone("home.arpa")
        );
        // Below an empty zone there is nothing; at its top, and of the node itself, there is.
        let positive = set.expected.iter().filter(|expected| expected.rcode == rcode::NOERROR).count();
        assert!((200..400).contains(&positive), "{positive}");
        assert!(set.expected.iter().all(|expected| expected.by_all));
        let different: std::collections::HashSet<&str> = set.text.lines().collect();
        assert!(different.len() > 18_000, "{}", different.len());
    }

    #[test]
    fn mixed_sets_hold_what_a_line_cannot_say() {
        let set = QuerySet::mixed(SEED, 20_000);
        let packets: Vec<&[u8]> = (0..set.len()).map(|index| set.get(index).0).collect();
        let share =
            |is: &dyn Fn(&[u8]) -> bool| packets.iter().filter(|packet| is(packet)).count() * 1000 / 20_000;
        let holds = |packet: &[u8], bytes: &[u8]| packet.windows(bytes.len()).any(|window| window == bytes);
        assert!((15..25).contains(&share(&|packet| packet[2] >> 3 == 5)), "updates");
        assert!((3..8).contains(&share(&|packet| holds(packet, b"\x08gss-tsig"))), "TKEY");
        assert!((720..780).contains(&share(&|packet| packet[11] == 1)), "EDNS");
        let nsid = share(&|packet| holds(packet, &[0, 3, 0, 0]));
        assert!((8..22).contains(&nsid), "NSID: {nsid}");
        assert!((14..26).contains(&share(&|packet| holds(packet, &[0, 8, 0, 7, 0, 1, 24, 0]))), "ECS");
        assert!((95..140).contains(&share(&|packet| holds(packet, &[0, 10, 0, 8]))), "cookies");
        assert!((430..490).contains(&share(&|packet| holds(packet, &[0, 0, 0x80, 0, 0]))), "DO");
        let is_mixed = |packet: &[u8]| packet[12..].iter().any(u8::is_ascii_uppercase) && packet[2] == 0;
        assert!(share(&is_mixed) > 20, "mixed case");
        // Every one of them parses, TKEY and updates included, and comes back out of the binary form.
        packets.iter().for_each(|packet| assert!(second_opinion(packet).is_ok(), "{packet:02x?}"));
        let (mut rest, mut number) = (&set.binary()[..], 0);
        while let [high, low, tail @ ..] = rest {
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            assert_eq!(&tail[..len], packets[number]);
            (rest, number) = (&tail[len..], number + 1);
        }
        assert_eq!(number, packets.len());
    }
}
