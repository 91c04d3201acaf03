//! Queries from a grammar whose words are the names of the zones: most of them meet something that has a
//! rule.

use std::fmt;
use std::str::FromStr as _;

use as112d::dns::consts::{NAME_LEN_MAX, class, flag, rtype};
use domain::base::iana::Rtype;

use crate::common::peers::ZoneFile;
use crate::common::wire_name;
use crate::odd::Oddity;
use crate::wire;

/// A packet to be sent, and what it is made of.
#[derive(Clone)]
pub struct Query {
    /// The ID is filled in when it is sent.
    pub packet: Vec<u8>,
    pub name: Vec<u8>,
    pub qtype: u16,
    pub qclass: u16,
    pub opt: Option<Opt>,
    /// What is wrong or unusual with it.
    pub oddity: Option<Oddity>,
}

/// The OPT of a query.
#[derive(Clone, Debug, Default)]
pub struct Opt {
    pub size: u16,
    pub version: u8,
    /// DO and Z.
    pub flags: u16,
    /// Options in wire form.
    pub options: Vec<u8>,
}

impl Query {
    /// An ordinary query without OPT.
    pub fn new(name: &[u8], qtype: u16, qclass: u16) -> Self {
        let mut packet = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        packet.extend(name);
        packet.extend(qtype.to_be_bytes());
        packet.extend(qclass.to_be_bytes());
        Self { packet, name: name.to_vec(), qtype, qclass, opt: None, oddity: None }
    }

    pub fn with_opt(mut self, opt: Opt) -> Self {
        append_record(&mut self.packet, 2, &opt.record(&[0]));
        self.opt = Some(opt);
        self
    }

    /// The name as replies are compared: in lower case.
    pub fn lower(&self) -> Vec<u8> {
        self.name.to_ascii_lowercase()
    }

    /// The question section, also of a packet that was made to miss it.
    pub fn question(&self) -> Vec<u8> {
        [&self.name[..], &self.qtype.to_be_bytes(), &self.qclass.to_be_bytes()].concat()
    }
}

impl Opt {
    pub fn record(&self, owner: &[u8]) -> Vec<u8> {
        let mut record = owner.to_vec();
        record.extend(rtype::OPT.to_be_bytes());
        record.extend(self.size.to_be_bytes());
        record.extend([0, self.version]);
        record.extend(self.flags.to_be_bytes());
        record.extend((self.options.len() as u16).to_be_bytes());
        record.extend(&self.options);
        record
    }
}

/// Appends a record and counts it in `section` (0 to 2: answer, authority, additional).
pub fn append_record(packet: &mut Vec<u8>, section: usize, record: &[u8]) {
    packet.extend(record);
    packet[7 + 2 * section] += 1;
}

impl fmt::Debug for Query {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packet, name, qtype, qclass, opt, oddity } = self;
        let kind = Rtype::from_int(*qtype);
        writeln!(out, "{oddity:?} {kind} CLASS{qclass} {opt:?} {}", wire::text(name))?;
        packet.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// SplitMix64: small, and every seed is as good as any other.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number from 0 up to, but not including, `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// Names outside of every zone, and those that only class CH knows.
const OUTSIDE: [&str; 24] = [
    ".",
    "arpa",
    "in-addr.arpa",
    "172.in-addr.arpa",
    "15.172.in-addr.arpa",
    "32.172.in-addr.arpa",
    "192.in-addr.arpa",
    "169.in-addr.arpa",
    "110.in-addr.arpa",
    "x10.in-addr.arpa",
    "as112.arpa",
    "as112.net",
    "ip6.arpa",
    "com",
    "test",
    "xexample.com",
    "example.co",
    "example.com.invalid",
    "outside.invalid",
    "iana.org",
    "id.server",
    "hostname.bind",
    "version.bind",
    "version.server",
];

/// Words that the zones use, so that what is put together of them often exists.
const LABELS: [&[u8]; 30] = [
    b"www",
    b"WWW",
    b"bar",
    b"foo",
    b"host",
    b"ns1",
    b"ns",
    b"deleg",
    b"a",
    b"b",
    b"c",
    b"x",
    b"*",
    b"ent",
    b"wild",
    b"sub",
    b"again",
    b"deep",
    b"below",
    b"1",
    b"10",
    b"168",
    b"255",
    b"\0",
    b".",
    b"a.b",
    b"\xff\xfe",
    b" ",
    b"_tcp",
    b"0123456789012345678901234567890123456789012345678901234567890ab",
];

const COMMON_TYPES: [u16; 16] = [
    rtype::A,
    rtype::A,
    rtype::AAAA,
    rtype::NS,
    rtype::SOA,
    rtype::PTR,
    rtype::TXT,
    rtype::MX,
    rtype::CNAME,
    rtype::DNAME,
    rtype::DS,
    rtype::DS,
    rtype::ANY,
    rtype::SRV,
    rtype::LOC,
    rtype::DNSKEY,
];

const RARE_TYPES: [u16; 22] = [
    0,
    10,
    13,
    24,
    25,
    38,
    rtype::OPT,
    rtype::RRSIG,
    rtype::NSEC,
    rtype::NSEC3,
    rtype::NSEC3PARAM,
    64,
    65,
    128,
    248,
    rtype::TKEY,
    rtype::IXFR,
    rtype::AXFR,
    253,
    254,
    257,
    65_280,
];

/// What is said about zones: the names that own records, and those that stand in rdata.
pub struct Generator {
    pub random: Random,
    /// Owners and the types that they hold: of the zones that are built in, and of those of this test.
    owners: [Vec<(Vec<u8>, Vec<u16>)>; 2],
    targets: Vec<Vec<u8>>,
    /// The apexes of the zones of this test.
    apexes: Vec<Vec<u8>>,
}

impl Generator {
    /// Reads the words from zone files with one record a line, as the daemon prints them. `is_own` says which
    /// zones are those of this test.
    pub fn new(seed: u64, zones: &[ZoneFile], is_own: impl Fn(&ZoneFile) -> bool) -> Self {
        let apexes = zones.iter().filter(|zone| is_own(zone)).map(|zone| wire_name(&zone.name)).collect();
        let owners = [Vec::new(), Vec::new()];
        let mut generator = Self { random: Random(seed), owners, targets: Vec::new(), apexes };
        for zone in zones {
            let text = std::fs::read_to_string(&zone.path).expect("the zone was written");
            for line in text.lines().filter(|line| !line.is_empty()) {
                let words: Vec<&str> = line.split(' ').collect();
                let [owner, _ttl, _class, kind, rdata @ ..] = &words[..] else { panic!("no record: {line}") };
                generator.owner(wire_name(owner), kind, usize::from(is_own(zone)));
                let names = rdata.iter().filter(|word| word.ends_with('.') && !word.contains('"'));
                generator.targets.extend(names.map(|name| wire_name(name)));
            }
        }
        generator
    }

    fn owner(&mut self, name: Vec<u8>, kind: &str, place: usize) {
        let kind = Rtype::from_str(kind).expect("the daemon prints types that exist").to_int();
        let owners = &mut self.owners[place];
        match owners.iter_mut().find(|(known, _)| *known == name) {
            Some((_, types)) => types.push(kind),
            None => owners.push((name, vec![kind])),
        }
    }

    /// A query without fault.
    pub fn query(&mut self) -> Query {
        let random = &mut self.random;
        let (mut name, types) = match random.below(100) {
            0..8 => (random.pick(&self.apexes), Vec::new()),
            8..62 => random.pick(&self.owners[1]),
            62..80 => random.pick(&self.owners[0]),
            80..92 => (random.pick(&self.targets), Vec::new()),
            _ => (wire_name(random.pick(&OUTSIDE)), Vec::new()),
        };
        self.change(&mut name);
        let (qtype, qclass) = self.type_and_class(&mut name, &types);
        let random = &mut self.random;
        if random.percent(30) {
            for byte in name.iter_mut().filter(|byte| byte.is_ascii_alphabetic()) {
                *byte ^= (random.next() as u8) & 0x20;
            }
        }
        let mut query = Query::new(&name, qtype, qclass);
        let mut flags = if random.percent(50) { flag::RD } else { 0 };
        for (bit, percent) in [(0x20, 10), (0x10, 10), (0x40, 3), (0x80, 3), (flag::AA, 3), (flag::TC, 3)] {
            flags |= if random.percent(percent) { bit } else { 0 };
        }
        query.packet[2..4].copy_from_slice(&flags.to_be_bytes());
        if random.percent(60) { query.with_opt(self.opt()) } else { query }
    }

    /// Makes of a name one beside, below or above it; mostly it stays what it is.
    fn change(&mut self, name: &mut Vec<u8>) {
        let random = &mut self.random;
        match random.below(100) {
            0..42 => {}
            42..62 => prepend(name, random.pick(&LABELS)),
            62..72 => (0..2 + random.below(4)).for_each(|_| prepend(name, random.pick(&LABELS))),
            72..78 => {
                // The longest name there is, or one that is a little shorter.
                let room = random.below(4);
                while name.len() + 2 + room <= NAME_LEN_MAX {
                    let len = (NAME_LEN_MAX - room - name.len() - 1).min(1 + random.below(63));
                    let label = random.bytes(len);
                    prepend(name, &label);
                }
            }
            78..86 if name[0] != 0 => {
                name.drain(..=usize::from(name[0]));
                prepend(name, random.pick(&LABELS));
            }
            86..94 if name[0] != 0 => drop(name.drain(..=usize::from(name[0]))),
            94..97 => prepend(name, b"*"),
            _ => {
                let len = 1 + random.below(12);
                let label = random.bytes(len);
                prepend(name, &label);
            }
        }
    }

    fn type_and_class(&mut self, name: &mut Vec<u8>, types: &[u16]) -> (u16, u16) {
        let random = &mut self.random;
        let qtype = match random.below(100) {
            0..35 if !types.is_empty() => random.pick(types),
            0..80 => random.pick(&COMMON_TYPES),
            80..92 => random.pick(&RARE_TYPES),
            _ => random.next() as u16,
        };
        match random.below(100) {
            0..96 => (qtype, class::IN),
            96..98 => {
                *name = wire_name(random.pick(&OUTSIDE[20..]));
                (if random.percent(70) { rtype::TXT } else { qtype }, class::CH)
            }
            _ => (qtype, random.pick(&[0, class::CH, 2, 4, 254, class::ANY, 65_535])),
        }
    }

    fn opt(&mut self) -> Opt {
        let random = &mut self.random;
        let size = random.pick(&[0, 511, 512, 513, 700, 1000, 1231, 1232, 1233, 1400, 4096, 65_535]);
        let mut opt = Opt { size, ..Opt::default() };
        if random.percent(40) {
            opt.flags |= 0x8000;
        }
        if random.percent(5) {
            opt.flags |= random.next() as u16 & 0x7FFF;
        }
        if random.percent(60) {
            return opt;
        }
        // Never twice the same: to two NSID, NSD writes a reply that does not parse.
        let mut kinds: Vec<usize> = (0..9).collect();
        for _ in 0..=random.below(2) {
            let kind = kinds.swap_remove(random.below(kinds.len()));
            let (code, data): (u16, Vec<u8>) = match kind {
                0 => (3, Vec::new()),
                1 => (3, b"ignored".to_vec()),
                2 => (10, random.bytes(8)),
                3 => (10, random.bytes(24)),
                4 => (8, vec![0, 1, 24, 0, 192, 0, 2]),
                5 => (12, vec![0; 20]),
                6 => (9, Vec::new()),
                7 => (11, Vec::new()),
                _ => (65_001 + random.next() as u16 % 100, random.bytes(7)),
            };
            kinds.retain(|kind| code != 3 || *kind > 1);
            opt.options.extend(code.to_be_bytes());
            opt.options.extend((data.len() as u16).to_be_bytes());
            opt.options.extend(data);
        }
        opt
    }
}

/// Puts a label before a name, unless it would be too long.
fn prepend(name: &mut Vec<u8>, label: &[u8]) {
    if name.len() + 1 + label.len() <= NAME_LEN_MAX {
        name.splice(0..0, std::iter::once(label.len() as u8).chain(label.iter().copied()));
    }
}
