//! Random rules: in the language of the node, in that of dnsdist, and as an evaluator of our own sees them.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crate::mutate::Dice;

/// Some of a list, no two alike.
fn some<T: Copy + PartialEq>(dice: &mut Dice, of: &[T]) -> Vec<T> {
    let mut all = Vec::new();
    for _ in 0..=dice.below(3) {
        let next = *dice.pick(of);
        if !all.contains(&next) {
            all.push(next);
        }
    }
    all
}

/// What a rule asks.
#[derive(Clone, Debug)]
enum Term {
    Any,
    Qtype(Vec<&'static str>),
    Qname(String),
    Suffix(Vec<String>),
    Labels(&'static str, usize),
    Source(Vec<(Ipv4Addr, u8)>),
    Tcp(bool),
    Wants(bool),
    Colo(Vec<&'static str>),
    Not(Box<Self>),
    All(Vec<Self>),
    Either(Vec<Self>),
}

const TYPES: [(&str, u16); 6] =
    [("A", 1), ("PTR", 12), ("TXT", 16), ("AAAA", 28), ("SRV", 33), ("TYPE65280", 65_280)];
const LABELS: [&str; 6] = ["a", "b", "ab", "example", "10", "x10"];
/// Codes that no zone of the node answers with; each tells which rule it was, with the others by counters.
pub const CODES: [(&str, u16); 6] =
    [("NOTIMP", 4), ("YXDOMAIN", 6), ("YXRRSET", 7), ("NXRRSET", 8), ("NOTAUTH", 9), ("NOTZONE", 10)];
const COLOS: [&str; 3] = ["test1", "test2", "test3"];

/// A query.
#[derive(Clone, Debug)]
pub struct Query {
    pub name: String,
    pub qtype: (&'static str, u16),
    pub source: Ipv4Addr,
    pub over_tcp: bool,
    pub wants_recursion: bool,
}

fn name(dice: &mut Dice) -> String {
    let labels: Vec<&str> = (0..=dice.below(4)).map(|_| *dice.pick(&LABELS)).collect();
    labels.join(".")
}

impl Query {
    pub fn random(dice: &mut Dice) -> Self {
        let name = match name(dice) {
            name if dice.below(4) == 0 => name.to_ascii_uppercase(),
            name => name,
        };
        Self {
            name,
            qtype: *dice.pick(&TYPES),
            source: Ipv4Addr::new(127, 0, dice.below(2) as u8, 1 + dice.below(4) as u8),
            over_tcp: dice.below(5) == 0,
            wants_recursion: true,
        }
    }
}

impl Term {
    fn random(dice: &mut Dice, depth: usize, common: bool) -> Self {
        match dice.below(if depth == 0 { 8 } else { 12 }) {
            0 | 1 => Self::Qtype(some(dice, &TYPES.map(|(name, _)| name))),
            2 => Self::Qname(name(dice)),
            3 | 4 => Self::Suffix((0..=dice.below(3)).map(|_| name(dice)).collect()),
            5 => Self::Labels(dice.pick::<&str>(&["=", "<", ">", "<=", ">=", "!="]), dice.below(5)),
            6 => Self::Source(
                (0..=dice.below(2))
                    .map(|_| match dice.below(3) {
                        0 => (Ipv4Addr::new(127, 0, dice.below(2) as u8, 0), 24),
                        1 => (Ipv4Addr::new(127, 0, dice.below(2) as u8, 1 + dice.below(4) as u8), 32),
                        _ => (Ipv4Addr::new(127, 0, dice.below(2) as u8, 2), 31),
                    })
                    .collect(),
            ),
            7 => match dice.below(4) {
                0 => Self::Tcp(dice.below(2) == 0),
                1 => Self::Wants(dice.below(2) == 0),
                2 if !common => Self::Colo(some(dice, &COLOS)),
                _ => Self::Any,
            },
            8 => Self::Not(Box::new(Self::random(dice, depth - 1, common))),
            9 | 10 => {
                Self::All((0..2 + dice.below(2)).map(|_| Self::random(dice, depth - 1, common)).collect())
            }
            _ => {
                Self::Either((0..2 + dice.below(2)).map(|_| Self::random(dice, depth - 1, common)).collect())
            }
        }
    }

    fn matches(&self, query: &Query, colo: &str) -> bool {
        let name = query.name.to_ascii_lowercase();
        let labels = name.split('.').count();
        match self {
            Self::Any => true,
            Self::Qtype(types) => types.contains(&query.qtype.0),
            Self::Qname(other) => name == *other,
            Self::Suffix(all) => {
                all.iter().any(|suffix| name == *suffix || name.ends_with(&format!(".{suffix}")))
            }
            Self::Labels(operator, count) => match *operator {
                "=" => labels == *count,
                "!=" => labels != *count,
                "<" => labels < *count,
                ">" => labels > *count,
                "<=" => labels <= *count,
                _ => labels >= *count,
            },
            Self::Source(networks) => networks.iter().any(|(network, len)| {
                let mask = u32::MAX << (32 - len);
                u32::from(query.source) & mask == u32::from(*network) & mask
            }),
            Self::Tcp(is) => query.over_tcp == *is,
            Self::Wants(is) => query.wants_recursion == *is,
            Self::Colo(colos) => colos.contains(&colo),
            Self::Not(term) => !term.matches(query, colo),
            Self::All(terms) => terms.iter().all(|term| term.matches(query, colo)),
            Self::Either(terms) => terms.iter().any(|term| term.matches(query, colo)),
        }
    }

    /// In the language of the node.
    fn text(&self) -> String {
        let set = |values: Vec<String>, separator: &str| format!("{{ {} }}", values.join(separator));
        let owned = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>();
        let joined = |terms: &[Self], word: &str| {
            let parts: Vec<String> = terms.iter().map(|term| format!("({})", term.text())).collect();
            parts.join(&format!(" {word} "))
        };
        match self {
            Self::Any => "any".to_owned(),
            Self::Qtype(types) if types.len() == 1 => format!("qtype = {}", types[0]),
            Self::Qtype(types) => format!("qtype in {}", set(owned(types), " ")),
            Self::Qname(name) => format!("qname = {name}"),
            Self::Suffix(all) => format!("qname-suffix in {}", set(all.clone(), ", ")),
            Self::Labels(operator, count) => format!("qname-labels {operator} {count}"),
            Self::Source(networks) => {
                let networks = networks.iter().map(|(network, len)| format!("{network}/{len}")).collect();
                format!("src in {}", set(networks, " "))
            }
            Self::Tcp(is) => format!("transport = {}", if *is { "tcp" } else { "udp" }),
            Self::Wants(is) => format!("rd = {is}"),
            Self::Colo(colos) => format!("colo in {}", set(owned(colos), " ")),
            Self::Not(term) => format!("not ({})", term.text()),
            Self::All(terms) => joined(terms, "and"),
            Self::Either(terms) => joined(terms, "or"),
        }
    }

    /// In the language of dnsdist.
    fn lua(&self) -> String {
        let list = |words: Vec<String>| words.join(", ");
        let either = |words: Vec<String>| format!("OrRule({{{}}})", list(words));
        match self {
            Self::Any | Self::Colo(_) => "AllRule()".to_owned(),
            Self::Qtype(types) => either(
                types
                    .iter()
                    .map(|name| {
                        let (_, number) = TYPES.iter().find(|(other, _)| other == name).expect("it is there");
                        format!("QTypeRule({number})")
                    })
                    .collect(),
            ),
            Self::Qname(name) => format!("QNameRule('{name}.')"),
            Self::Suffix(all) => {
                let names = all.iter().map(|name| format!("newDNSName('{name}.')"));
                let nodes: Vec<String> =
                    names.map(|name| format!("SuffixMatchNodeRule(node({name}))")).collect();
                either(nodes)
            }
            Self::Labels(operator, count) => {
                let fits = |least: usize, most: usize| match least > most {
                    true => "NotRule(AllRule())".to_owned(),
                    false => format!("NotRule(QNameLabelsCountRule({least}, {most}))"),
                };
                match *operator {
                    "=" => fits(*count, *count),
                    "!=" => format!("NotRule({})", fits(*count, *count)),
                    "<" => {
                        if *count == 0 {
                            "NotRule(AllRule())".to_owned()
                        } else {
                            fits(0, count - 1)
                        }
                    }
                    ">" => fits(count + 1, 127),
                    "<=" => fits(0, *count),
                    _ => fits(*count, 127),
                }
            }
            Self::Source(networks) => {
                let masks = networks.iter().map(|(network, len)| format!("'{network}/{len}'")).collect();
                format!("NetmaskGroupRule(masks({{{}}}))", list(masks))
            }
            Self::Tcp(is) => format!("TCPRule({is})"),
            Self::Wants(true) => "RDRule()".to_owned(),
            Self::Wants(false) => "NotRule(RDRule())".to_owned(),
            Self::Not(term) => format!("NotRule({})", term.lua()),
            Self::All(terms) => format!("AndRule({{{}}})", list(terms.iter().map(Self::lua).collect())),
            Self::Either(terms) => either(terms.iter().map(Self::lua).collect()),
        }
    }
}

/// Rules, each of which answers with a code.
pub struct Rulebook {
    rules: Vec<(Term, usize)>,
}

impl Rulebook {
    /// So many random rules; with `common`, only what dnsdist can say too.
    pub fn random(dice: &mut Dice, count: usize, common: bool) -> Self {
        let mut rule = |_| (Term::random(dice, 2, common), dice.below(CODES.len()));
        Self { rules: (0..count).map(&mut rule).collect() }
    }

    /// The first rule that matches, and the code that it answers with.
    pub fn decide(&self, query: &Query, colo: &str) -> Option<(usize, u16)> {
        let rules = self.rules.iter().enumerate();
        let mut matching = rules.filter(|(_, (term, _))| term.matches(query, colo));
        matching.next().map(|(number, (_, code))| (number, CODES[*code].1))
    }

    /// In the language of the node; rule N is called `rN`.
    pub fn text(&self) -> String {
        self.rules.iter().enumerate().fold(String::new(), |mut text, (number, (term, code))| {
            let _ = writeln!(text, "r{number}: {} answer {}", term.text(), CODES[*code].0);
            text
        })
    }

    /// In the language of dnsdist; what no rule matches is SERVFAIL.
    pub fn lua(&self) -> String {
        let mut text = String::from(
            "function node(name) local nodes = newSuffixMatchNode() nodes:add(name) return nodes end\n\
             function masks(all) local group = newNMG() for _, mask in ipairs(all) do group:addMask(mask) \
             end return group end\n",
        );
        for (term, code) in &self.rules {
            let _ = writeln!(text, "addAction({}, RCodeAction({}))", term.lua(), CODES[*code].1);
        }
        text + "addAction(AllRule(), RCodeAction(DNSRCode.SERVFAIL))\n"
    }

    pub fn len(&self) -> usize {
        self.rules.len()
    }
}
