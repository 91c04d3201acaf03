//! Files of rules and queries, made by dice.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use as112d::dns::consts::HEADER_LEN;
use as112d::dns::name::Walk;
use as112d::policy::facts::{Cached, Facts, Later, Outcome, Tags};
use as112d::policy::phase::Phase;
use as112d::policy::upstream::Upstream;
use as112d::policy::{Policy, Series, Source, World};
use serde_json::{Value, json};

use crate::mutate::Dice;

pub(crate) const FILE: &str = "rules.d/test.rules";
pub(crate) const COLO: &str = "test1";
pub(crate) const NODE: &str = "node1.example";
/// What is listened on. The second is a wildcard.
pub(crate) const LISTENERS: [&str; 3] = ["192.0.2.53:53", "[::]:53", "192.175.48.6:53"];
pub(crate) const UPSTREAMS: [&str; 3] = ["lan", "wan", "resolver"];

/// What rules may speak of, given to `see`.
pub(crate) fn world<R>(colo: &str, see: impl FnOnce(&World<'_>) -> R) -> R {
    let servers = |address: &str| vec![address.parse().expect("an address")];
    let upstreams = [
        Upstream::of_servers(UPSTREAMS[0].to_owned(), servers("192.0.2.1:53")),
        Upstream::of_servers(UPSTREAMS[1].to_owned(), servers("192.0.2.2:53")),
    ];
    see(&World {
        colo,
        node: NODE,
        listeners: &LISTENERS.map(|listener| listener.parse().expect("an address")),
        upstreams: &upstreams,
        guests: &[],
        resolver: Some(Upstream::of_servers(UPSTREAMS[2].to_owned(), servers("127.0.0.1:5354"))),
        series: Series::default(),
        has_databases: true,
    })
}

/// A file of rules, compiled.
pub(crate) fn compile(text: &str, colo: &str) -> Result<Policy, Vec<String>> {
    let compiled = world(colo, |world| Policy::compile(&[Source { path: FILE, text }], &[], world));
    compiled.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// Labels of names, as they are written and as they are.
const LABELS: [(&str, &[u8]); 9] = [
    ("arpa", b"arpa"),
    ("in-addr", b"in-addr"),
    ("10", b"10"),
    ("168", b"168"),
    ("x10", b"x10"),
    ("Example", b"eXample"),
    ("a\\.b", b"A.b"),
    ("\\000\\255\\044", b"\x00\xFF,"),
    ("w\\{w", b"w{W"),
];
const TYPES: [(&str, u16); 7] =
    [("A", 1), ("ptr", 12), ("PTR", 12), ("AAAA", 28), ("TYPE65280", 65280), ("ANY", 255), ("HTTPS", 65)];
const CLIENTS: [&str; 6] =
    ["192.0.2.1", "192.0.2.200", "198.51.100.7", "10.255.255.255", "2001:db8::1", "fe80::1:2"];
const NETWORKS: [&str; 10] = [
    "192.0.2.0/24",
    "192.0.2.1",
    "192.0.2.128/25",
    "198.51.100.0/24",
    "0.0.0.0/0",
    "10.0.0.0/8",
    "2001:db8::/32",
    "::/0",
    "fe80::/10",
    "192.175.48.0/24",
];
const TAGS: [&str; 3] = ["one", "two", "three"];
const COUNTRIES: [&str; 3] = ["PT", "de", "US"];
const RCODES: [(&str, u16); 5] =
    [("NOERROR", 0), ("servfail", 2), ("NXDOMAIN", 3), ("REFUSED", 5), ("23", 23)];
const ASES: [(&str, u32); 3] = [("AS112", 112), ("64512", 64_512), ("4294967295", u32::MAX)];
const RTTS: [(&str, u64); 4] = [("500us", 500), ("20ms", 20_000), ("1s", 1_000_000), ("2m", 120_000_000)];
const YES_NO: [&str; 6] = ["true", "false", "yes", "no", "1", "0"];

fn labels(dice: &mut Dice) -> Vec<usize> {
    // Most names end alike, so that they meet.
    let mut labels: Vec<usize> = (0..dice.below(3)).map(|_| dice.below(LABELS.len())).collect();
    if dice.below(3) > 0 {
        labels.extend([3, 1, 0].iter().skip(dice.below(3)));
    }
    labels
}

fn name(dice: &mut Dice) -> String {
    let labels = labels(dice);
    if labels.is_empty() {
        return ".".to_owned();
    }
    let words: Vec<&str> = labels.iter().map(|label| LABELS[*label].0).collect();
    words.join(".") + if dice.once_in(3) { "." } else { "" }
}

/// The fields that a phase knows, and a value for each.
fn value(dice: &mut Dice, field: &str) -> String {
    match field {
        "phase" => dice.pick(&Phase::ALL).name().to_owned(),
        "colo" => (*dice.pick(&["test1", "test2", "elsewhere"])).to_owned(),
        "node" => (*dice.pick(&["node1.example", "node2.example"])).to_owned(),
        "listener" => {
            (*dice.pick(&["0", "1", "2", "7", "192.0.2.53:53", "192.175.48.6", "[::]:53", "192.0.2.53:54"]))
                .to_owned()
        }
        "dst" | "src" => (*dice.pick(&NETWORKS)).to_owned(),
        "country" => (*dice.pick(&COUNTRIES)).to_owned(),
        "asn" => dice.pick(&ASES).0.to_owned(),
        "transport" => (*dice.pick(&["udp", "tcp"])).to_owned(),
        "family" => (*dice.pick(&["ipv4", "ipv6", "4", "6"])).to_owned(),
        "opcode" => (*dice.pick(&["QUERY", "notify", "5", "OPCODE0"])).to_owned(),
        "qname" | "qname-suffix" => name(dice),
        "qname-labels" => dice.below(6).to_string(),
        "qtype" => dice.pick(&TYPES).0.to_owned(),
        "qclass" => (*dice.pick(&["IN", "CH", "ANY", "CLASS1"])).to_owned(),
        "rd" | "do" | "edns" | "ecs" => (*dice.pick(&YES_NO)).to_owned(),
        "rcode" => dice.pick(&RCODES).0.to_owned(),
        "outcome" => (*dice.pick(&["ok", "timeout", "refused", "bad"])).to_owned(),
        "upstream" => (*dice.pick(&UPSTREAMS)).to_owned(),
        "rtt" => dice.pick(&RTTS).0.to_owned(),
        "cache" => (*dice.pick(&["hit", "stale", "miss"])).to_owned(),
        "tag" => (*dice.pick(&TAGS)).to_owned(),
        "sample" => (*dice.pick(&["1/2", "2/3", "1/10", "7/7"])).to_owned(),
        other => panic!("no values for {other}"),
    }
}

const OF_ROUTE: [&str; 18] = [
    "colo",
    "node",
    "listener",
    "dst",
    "src",
    "transport",
    "family",
    "opcode",
    "qname",
    "qname-suffix",
    "qname-labels",
    "qtype",
    "qclass",
    "rd",
    "do",
    "edns",
    "ecs",
    "tag",
];
const OF_REQUEST: [&str; 2] = ["country", "asn"];
const OF_POST_CACHE: [&str; 1] = ["cache"];
const OF_RESPONSE: [&str; 4] = ["rcode", "outcome", "upstream", "rtt"];

fn test(dice: &mut Dice, phase: Phase) -> String {
    if dice.once_in(25) {
        return "any".to_owned();
    }
    if dice.once_in(25) {
        return format!("sample {} {}", dice.pick(&["=", "!="]), value(dice, "sample"));
    }
    let mut fields = OF_ROUTE.to_vec();
    // Those that decide most, more often.
    fields.extend(["qtype", "qname-suffix", "qname-suffix", "src"]);
    let later: [&[&str]; 3] = [&OF_REQUEST, &OF_POST_CACHE, &OF_RESPONSE];
    later.iter().take(phase as usize).for_each(|more| fields.extend(*more));
    let field = *dice.pick(&fields);
    if dice.below(2) > 0 {
        let ordered = matches!(field, "qname-labels" | "rtt");
        let op = *dice.pick(if ordered { &["=", "!=", "<", ">", "<=", ">="][..] } else { &["=", "!=", "="] });
        return format!("{field} {op} {}", value(dice, field));
    }
    let values: Vec<String> = (0..1 + dice.below(4)).map(|_| value(dice, field)).collect();
    let not = if dice.once_in(4) { "not " } else { "" };
    format!("{field} {not}in {{ {} }}", values.join(*dice.pick(&[" ", ", ", ",\n  ", " # or\n"])))
}

fn cond(dice: &mut Dice, phase: Phase, depth: usize) -> String {
    let parts = 1 + dice.below(3);
    let mut text = String::new();
    for at in 0..parts {
        if at > 0 {
            text += *dice.pick(&[" and ", " and ", " or ", "\n  and ", "\n or\t"]);
        }
        if dice.once_in(6) {
            text += "not ";
        }
        if depth < 3 && dice.once_in(4) {
            let _ = write!(text, "({})", cond(dice, phase, depth + 1));
        } else {
            text += &test(dice, phase);
        }
    }
    text
}

/// Whose rules they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// The node's.
    Node,
    /// An application's, which cannot do all that the node can.
    Guest,
}

/// What the node alone can do.
const OF_NODE: [&str; 5] = ["cache-only", "no-store", "divert", "truncate", " fallback stale"];

/// A rule without a name.
fn rule(dice: &mut Dice, of: Of) -> String {
    let phase = *dice.pick(&[
        Phase::Route,
        Phase::Route,
        Phase::Route,
        Phase::Request,
        Phase::PostCache,
        Phase::Response,
        Phase::Reply,
        Phase::Done,
    ]);
    let mut actions = vec!["pass", "pass"];
    if phase != Phase::Done {
        actions.extend(["answer", "refuse", "drop", "truncate", "tag", "tag", "tag"]);
    }
    if phase <= Phase::PostCache {
        actions.extend(["native", "forward", "forward upstream", "resolve", "divert"]);
    }
    if phase <= Phase::Request {
        actions.push("cache-only");
    }
    if phase == Phase::Response {
        actions.extend(["retry upstream", "no-store", "no-store"]);
    }
    let can = |word: &&str| of == Of::Node || !OF_NODE.contains(word);
    actions.retain(can);
    let action = *dice.pick(&actions);
    let argument = match action {
        "answer" => (*dice.pick(&["NXDOMAIN", "notimp", "2"])).to_owned(),
        "tag" => (*dice.pick(&TAGS)).to_owned(),
        "forward" => {
            (*dice.pick(&["192.0.2.9", "192.0.2.9:5353 , [2001:db8::53]:53", "2001:db8::53"])).to_owned()
        }
        "divert" => "192.0.2.80:53".to_owned(),
        "forward upstream" | "retry upstream" => (*dice.pick(&UPSTREAMS)).to_owned(),
        _ => String::new(),
    };
    let mut cond = cond(dice, phase, 0);
    let asks = matches!(action, "forward" | "forward upstream" | "resolve" | "cache-only");
    if phase == Phase::Route && asks {
        cond = format!("src in {{ {} {} }} and ({cond})", value(dice, "src"), value(dice, "src"));
    }
    if phase != Phase::Route || dice.once_in(3) {
        cond = match dice.below(4) {
            0 => format!("({cond}) and phase = {}", phase.name()),
            1 => format!("phase in {{ {} }} and ({cond})", phase.name()),
            _ => format!("phase = {} and ({cond})", phase.name()),
        };
    }
    let mut options = String::new();
    let all =
        [" dry-run", " log", " timeout 300ms", " fallback stale", " fallback drop", "\n  fallback next"];
    for option in all.into_iter().filter(can) {
        if dice.once_in(8) && !(option.contains("fallback") && options.contains("fallback")) {
            options += option;
        }
    }
    format!("{cond} {action} {argument}{options}")
}

/// A file of 1 to 60 rules.
pub(crate) fn file(dice: &mut Dice, of: Of) -> String {
    let len = 1 + dice.below(60);
    let mut text = String::new();
    for at in 0..len {
        if dice.once_in(5) {
            text += "# a comment: qtype = A drop\n\n";
        }
        if dice.once_in(2) {
            let _ = write!(text, "rule-{at}{}", dice.pick(&[": ", " : ", ":\n ", ":"]));
        }
        text += &rule(dice, of);
        text += *dice.pick(&["\n", "\n", "\n\n", " # done\n"]);
    }
    text
}

/// A short file with a word or a few letters changed; at times not at all.
pub(crate) fn damaged(dice: &mut Dice) -> String {
    let mut text: String = (0..1 + dice.below(3)).map(|_| rule(dice, Of::Node) + "\n").collect();
    for _ in 0..dice.below(4) {
        let mut words: Vec<String> = text.split_inclusive(char::is_whitespace).map(str::to_owned).collect();
        let at = dice.below(words.len());
        match dice.below(6) {
            0 => drop(words.remove(at)),
            1 => {
                let other = dice.below(words.len());
                words.swap(at, other);
            }
            2 => {
                let other = dice.below(words.len());
                words.insert(at, words[other].clone());
            }
            3 => words.truncate(at + 1),
            _ => {
                let chars = "{}(),=<>!#:\\.\"*/ \n-0129aAtxé\u{0}";
                let c = chars.chars().nth(dice.below(chars.chars().count())).unwrap_or('x');
                let word: Vec<char> = words[at].chars().collect();
                let place = dice.below(word.len().max(1));
                let mut word = word;
                match dice.below(3) {
                    0 => word.insert(place, c),
                    1 => drop(word.get(place).is_some().then(|| word.remove(place))),
                    _ => drop(word.get_mut(place).map(|old| *old = c)),
                }
                words[at] = word.into_iter().collect();
            }
        }
        if words.is_empty() {
            words.push("x".to_owned());
        }
        text = words.concat();
    }
    text
}

/// A query at a moment of its life.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) phase: Phase,
    pub(crate) tags: Vec<String>,
    labels: Vec<Vec<u8>>,
    packet: Vec<u8>,
    walk: Walk,
    src: SocketAddr,
    dst: SocketAddr,
    listener: usize,
    qtype: u16,
    qclass: u16,
    opcode: u8,
    bits: [bool; 5],
    later: Later,
}

fn sometimes<T>(dice: &mut Dice, value: T) -> Option<T> {
    (!dice.once_in(4)).then_some(value)
}

impl Query {
    /// One that may have these tags.
    pub(crate) fn new(dice: &mut Dice, tags: &[String]) -> Self {
        let labels: Vec<Vec<u8>> = labels(dice).iter().map(|label| LABELS[*label].1.to_vec()).collect();
        let mut packet = vec![0; HEADER_LEN];
        for label in &labels {
            packet.push(label.len() as u8);
            packet.extend_from_slice(label);
        }
        packet.push(0);
        let walk = Walk::new(&packet, HEADER_LEN).expect("a name");
        let listener = dice.below(LISTENERS.len());
        let address: SocketAddr = LISTENERS[listener].parse().expect("an address");
        let src = |dice: &mut Dice, is_v4: Option<bool>| loop {
            let ip = dice.pick(&CLIENTS).parse().expect("an address");
            let address = SocketAddr::new(ip, 1024 + dice.below(60_000) as u16);
            if is_v4.is_none_or(|is_v4| address.is_ipv4() == is_v4) {
                return address;
            }
        };
        // A listener with an address of its own is asked there, over its version of IP.
        let (src, dst) = if address.ip().is_unspecified() {
            (src(dice, None), src(dice, None))
        } else {
            (src(dice, Some(address.is_ipv4())), address)
        };
        let phase = *dice.pick(&[
            Phase::Route,
            Phase::Route,
            Phase::Request,
            Phase::PostCache,
            Phase::Response,
            Phase::Reply,
            Phase::Done,
        ]);
        let country = dice.pick(&COUNTRIES).to_ascii_uppercase();
        let later = Later {
            country: sometimes(dice, [country.as_bytes()[0], country.as_bytes()[1]]),
            asn: Some(dice.pick(&ASES).1),
            cache: {
                let cached = *dice.pick(&[Cached::Hit, Cached::Stale, Cached::Miss]);
                sometimes(dice, cached)
            },
            upstream: {
                let upstream = dice.below(UPSTREAMS.len()) as u16;
                sometimes(dice, upstream)
            },
            rtt: {
                let rtt = dice.pick(&RTTS).1 + dice.below(2) as u64;
                sometimes(dice, Duration::from_micros(rtt))
            },
            outcome: Some(*dice.pick(&[Outcome::Ok, Outcome::Timeout, Outcome::Refused, Outcome::Bad])),
            rcode: {
                let rcode = dice.pick(&RCODES).1;
                sometimes(dice, rcode)
            },
        };
        Self {
            phase,
            tags: tags.iter().filter(|_| dice.once_in(4)).cloned().collect(),
            labels,
            packet,
            walk,
            src,
            dst,
            listener,
            qtype: dice.pick(&TYPES).1,
            qclass: *dice.pick(&[1, 1, 3, 255]),
            opcode: *dice.pick(&[0, 0, 4, 5]),
            bits: [(); 5].map(|()| dice.once_in(2)),
            later,
        }
    }

    /// What of it can be in a packet, and be told to an application: a whole packet, addresses of one family, and
    /// nothing unknown that is taken for something.
    pub(crate) fn on_the_wire(dice: &mut Dice) -> Self {
        let mut query = Self::new(dice, &[]);
        query.opcode = 0;
        let [_, recursion_desired, dnssec_ok, has_edns, has_ecs] = &mut query.bits;
        *dnssec_ok &= *has_edns;
        *has_ecs &= *has_edns;
        let (id, rd) = (dice.below(1 << 16) as u16, u8::from(*recursion_desired));
        query.packet[..2].copy_from_slice(&id.to_be_bytes());
        query.packet[2..6].copy_from_slice(&[rd, 0, 0, 1]);
        query.packet.extend([query.qtype, query.qclass].map(u16::to_be_bytes).concat());
        if *has_edns {
            let options: &[u8] = if *has_ecs { b"\0\x08\0\x07\0\x01\x18\0\xC0\0\x02" } else { b"" };
            query.packet[11] = 1;
            query.packet.extend(b"\0\0\x29\x04\xD0\0\0");
            query.packet.extend([if *dnssec_ok { 0x80 } else { 0 }, 0, 0, options.len() as u8]);
            query.packet.extend(options);
        }
        if query.src.is_ipv4() != query.dst.is_ipv4() {
            query.dst =
                if query.src.is_ipv4() { "192.0.2.77:53" } else { "[2001:db8::77]:53" }.parse().expect("one");
        }
        query.later.cache = query.later.cache.or(Some(Cached::Miss));
        // Nobody tells an application that the resolver was asked.
        query.later.upstream = query.later.upstream.filter(|upstream| *upstream < 2);
        query
    }

    pub(crate) fn packet(&self) -> &[u8] {
        &self.packet
    }

    pub(crate) fn facts(&self) -> Facts<'_> {
        let [is_tcp, recursion_desired, dnssec_ok, has_edns, has_ecs] = self.bits;
        Facts {
            packet: &self.packet,
            qname: &self.walk,
            qtype: self.qtype,
            qclass: self.qclass,
            opcode: self.opcode,
            recursion_desired,
            has_edns,
            dnssec_ok,
            has_ecs,
            src: self.src,
            dst: self.dst,
            listener: self.listener,
            is_tcp,
            tags: Tags(0),
            later: self.later,
        }
    }

    /// As the other evaluator is told of it.
    pub(crate) fn told(&self) -> Value {
        let [is_tcp, rd, dnssec_ok, edns, ecs] = self.bits.map(u8::from);
        let hex = |label: &Vec<u8>| label.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let later = &self.later;
        json!({
            "phase": self.phase.name(),
            "tags": self.tags,
            "labels": self.labels.iter().map(hex).collect::<Vec<_>>(),
            "src": self.src.ip().to_string(),
            "dst": self.dst.ip().to_string(),
            "listener": self.listener,
            "qtype": self.qtype,
            "qclass": self.qclass,
            "opcode": self.opcode,
            "transport": if is_tcp == 1 { "tcp" } else { "udp" },
            "rd": rd,
            "do": dnssec_ok,
            "edns": edns,
            "ecs": ecs,
            "country": later.country.map(|letters| String::from_utf8_lossy(&letters).into_owned()),
            "asn": later.asn,
            "cache": later.cache.map(|cached| match cached {
                Cached::Hit => "hit",
                Cached::Stale => "stale",
                Cached::Miss => "miss",
            }),
            "upstream": later.upstream.map(|upstream| UPSTREAMS[usize::from(upstream)]),
            "rtt": later.rtt.map(|rtt| rtt.as_micros() as u64),
            "outcome": later.outcome.map(|outcome| match outcome {
                Outcome::Ok => "ok",
                Outcome::Timeout => "timeout",
                Outcome::Refused => "refused",
                Outcome::Bad => "bad",
            }),
            "rcode": later.rcode,
        })
    }
}
