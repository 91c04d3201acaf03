//! The language in one table: fields with their kinds and the phases in which they are known, operators,
//! actions with the phases that can do them, options. The parser, its messages and the reference are made
//! from it.

use super::phase::Phase;

/// Phases, a bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Phases(u8);

impl Phases {
    pub(super) const ALL: Self = Self::from_on(Phase::Route);

    /// This phase and all that follow it.
    pub(super) const fn from_on(first: Phase) -> Self {
        Self(0b11_1111 << first as u8 & 0b11_1111)
    }

    /// Up to this phase.
    const fn until(self, last: Phase) -> Self {
        Self(self.0 & ((0b10 << last as u8) - 1))
    }

    /// This phase alone.
    pub(super) const fn only(phase: Phase) -> Self {
        Self(1 << phase as u8)
    }

    pub(super) const fn has(self, phase: Phase) -> bool {
        self.0 >> phase as u8 & 1 == 1
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// In their order.
    pub(super) fn iter(self) -> impl Iterator<Item = Phase> {
        Phase::ALL.into_iter().filter(move |phase| self.has(*phase))
    }
}

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FieldId {
    Phase,
    Colo,
    Node,
    Listener,
    Dst,
    Src,
    Country,
    Asn,
    Transport,
    Family,
    Opcode,
    Qname,
    QnameSuffix,
    QnameLabels,
    Qtype,
    Qclass,
    Rd,
    Do,
    Edns,
    Ecs,
    Rcode,
    Outcome,
    Upstream,
    Rtt,
    Cache,
    Tag,
    App,
    Sample,
}

/// What the values of a field are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// One of these words, each of which stands for a number.
    Choice(&'static [(&'static str, u64)]),
    /// Any word.
    Text,
    /// An address that is listened on, or its number.
    Listener,
    /// An address or a network.
    Network,
    /// Two letters.
    Country,
    /// The number of an autonomous system.
    Asn,
    /// A number.
    Number,
    /// A domain name.
    Name,
    /// A type of records.
    Type,
    /// A class.
    Class,
    /// An operation code.
    Opcode,
    /// A response code.
    Rcode,
    /// A time.
    Time,
    /// The name of an upstream.
    Upstream,
    /// A tag.
    Tag,
    /// The name of an application.
    App,
    /// One in so many.
    Ratio,
}

impl Kind {
    /// Whether values are less or greater.
    pub(super) fn is_ordered(self) -> bool {
        matches!(self, Self::Number | Self::Time)
    }

    /// What it is, for a message and for the reference.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Choice(_) => "one of the words listed",
            Self::Text => "a word, compared letter for letter",
            Self::Listener => "an address that is listened on, with or without its port, or its place from 0",
            Self::Network => "an address or a network, such as `192.0.2.0/24`",
            Self::Country => "two letters, such as `PT`",
            Self::Asn => "an AS number, such as `AS112` or `112`",
            Self::Number => "a number",
            Self::Name => "a domain name in presentation format (`\\.` and `\\DDD` are escapes)",
            Self::Type => "a record type, such as `PTR` or `TYPE65280`",
            Self::Class => "a class, such as `IN` or `CLASS3`",
            Self::Opcode => "an operation code, such as `QUERY`, or its number",
            Self::Rcode => "a response code, such as `NXDOMAIN`, or its number",
            Self::Time => "a time, such as `300ms`",
            Self::Upstream => "the name of an `[[upstream]]`, `resolver`, or a server that a rule names",
            Self::Tag => "a tag that an earlier rule has set",
            Self::App => "the name of an application",
            Self::Ratio => "one in so many, such as `1/1000`",
        }
    }
}

/// A row of the table of fields.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) id: FieldId,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Where it is known.
    pub(super) phases: Phases,
    pub(super) meaning: &'static str,
}

const YES_NO: &[(&str, u64)] = &[("true", 1), ("false", 0), ("yes", 1), ("no", 0), ("1", 1), ("0", 0)];
const PHASES: &[(&str, u64)] = &[
    (Phase::Route.name(), Phase::Route as u64),
    (Phase::Request.name(), Phase::Request as u64),
    (Phase::PostCache.name(), Phase::PostCache as u64),
    (Phase::Response.name(), Phase::Response as u64),
    (Phase::Reply.name(), Phase::Reply as u64),
    (Phase::Done.name(), Phase::Done as u64),
];
/// Values of `family`.
pub(super) const IPV4: u64 = 4;
/// See [`IPV4`].
pub(super) const IPV6: u64 = 6;

const fn field(id: FieldId, name: &'static str, kind: Kind, first: Phase, meaning: &'static str) -> Field {
    Field { id, name, kind, phases: Phases::from_on(first), meaning }
}

/// All fields, in the order of [`FieldId`].
pub(super) static FIELDS: [Field; 28] = {
    use FieldId as Id;
    use Phase::{PostCache, Request, Response, Route};
    [
        field(Id::Phase, "phase", Kind::Choice(PHASES), Route, "the phase: where the rule is asked"),
        field(Id::Colo, "colo", Kind::Text, Route, "the location of the node: `[platform] colo`"),
        field(Id::Node, "node", Kind::Text, Route, "the name of the node: `[identity] node`"),
        field(Id::Listener, "listener", Kind::Listener, Route, "the listener that the query came to"),
        field(Id::Dst, "dst", Kind::Network, Route, "the address that was asked"),
        field(Id::Src, "src", Kind::Network, Route, "the address of the client"),
        field(Id::Country, "country", Kind::Country, Request, "the country of the client, by the databases"),
        field(Id::Asn, "asn", Kind::Asn, Request, "the AS of the client, by the databases"),
        field(
            Id::Transport,
            "transport",
            Kind::Choice(&[("udp", 0), ("tcp", 1)]),
            Route,
            "how the query came",
        ),
        field(
            Id::Family,
            "family",
            Kind::Choice(&[("ipv4", IPV4), ("ipv6", IPV6), ("4", IPV4), ("6", IPV6)]),
            Route,
            "the version of IP that it came over",
        ),
        field(Id::Opcode, "opcode", Kind::Opcode, Route, "the operation code"),
        field(Id::Qname, "qname", Kind::Name, Route, "the name that is asked for, without regard to case"),
        field(
            Id::QnameSuffix,
            "qname-suffix",
            Kind::Name,
            Route,
            "that name or one above it: whole labels, without regard to case",
        ),
        field(
            Id::QnameLabels,
            "qname-labels",
            Kind::Number,
            Route,
            "labels of the name, the root not counted",
        ),
        field(Id::Qtype, "qtype", Kind::Type, Route, "the type that is asked for"),
        field(Id::Qclass, "qclass", Kind::Class, Route, "the class that is asked for"),
        field(Id::Rd, "rd", Kind::Choice(YES_NO), Route, "recursion is desired"),
        field(Id::Do, "do", Kind::Choice(YES_NO), Route, "the DO bit is set"),
        field(Id::Edns, "edns", Kind::Choice(YES_NO), Route, "the query has EDNS"),
        field(Id::Ecs, "ecs", Kind::Choice(YES_NO), Route, "the query has a client subnet (RFC 7871)"),
        field(Id::Rcode, "rcode", Kind::Rcode, Response, "the response code of the response or reply"),
        field(
            Id::Outcome,
            "outcome",
            Kind::Choice(&[("ok", 0), ("timeout", 1), ("refused", 2), ("bad", 3)]),
            Response,
            "what came of asking: a response, none in time, no server to ask, none that can be used",
        ),
        field(Id::Upstream, "upstream", Kind::Upstream, Response, "who was asked"),
        field(Id::Rtt, "rtt", Kind::Time, Response, "the time that the response took"),
        field(
            Id::Cache,
            "cache",
            Kind::Choice(&[("hit", 0), ("stale", 1), ("miss", 2)]),
            PostCache,
            "what the cache had: an answer, one whose time has passed, nothing",
        ),
        field(Id::Tag, "tag", Kind::Tag, Route, "a tag of the query"),
        field(Id::App, "app", Kind::App, Request, "the application that answers"),
        field(
            Id::Sample,
            "sample",
            Kind::Ratio,
            Route,
            "chosen by a hash of name and client: the same query is always in or out",
        ),
    ]
};

impl FieldId {
    pub(super) fn row(self) -> &'static Field {
        &FIELDS[self as usize]
    }
}

/// An action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ActionId {
    Native,
    Answer,
    Refuse,
    Drop,
    Truncate,
    Forward,
    Resolve,
    App,
    CacheOnly,
    Retry,
    Pass,
    NoStore,
    Divert,
    Tag,
}

/// A row of the table of actions.
#[derive(Debug)]
pub(super) struct ActionRow {
    pub(super) id: ActionId,
    pub(super) name: &'static str,
    /// What follows the name, for messages and the reference.
    pub(super) usage: &'static str,
    /// Which phases can do it.
    pub(super) phases: Phases,
    /// It ends its phase.
    pub(super) is_terminal: bool,
    pub(super) meaning: &'static str,
}

const fn action(
    id: ActionId,
    name: &'static str,
    usage: &'static str,
    (first, last): (Phase, Phase),
    is_terminal: bool,
    meaning: &'static str,
) -> ActionRow {
    ActionRow { id, name, usage, phases: Phases::from_on(first).until(last), is_terminal, meaning }
}

/// All actions, in the order of [`ActionId`].
pub(super) static ACTIONS: [ActionRow; 14] = {
    use ActionId as Id;
    use Phase::{Done, PostCache, Reply, Request, Response, Route};
    [
        action(Id::Native, "native", "", (Route, PostCache), true, "the node's own zones answer"),
        action(
            Id::Answer,
            "answer",
            "RCODE",
            (Route, Reply),
            true,
            "a reply with this response code and no records",
        ),
        action(Id::Refuse, "refuse", "", (Route, Reply), true, "a reply with REFUSED and no records"),
        action(Id::Drop, "drop", "", (Route, Reply), true, "no reply"),
        action(
            Id::Truncate,
            "truncate",
            "",
            (Route, Reply),
            true,
            "an empty reply with TC, which sends the client to TCP",
        ),
        action(
            Id::Forward,
            "forward",
            "SERVER{,SERVER} | forward upstream NAME",
            (Route, PostCache),
            true,
            "these servers are asked: addresses with or without a port (53), or an `[[upstream]]`",
        ),
        action(Id::Resolve, "resolve", "", (Route, PostCache), true, "the resolver is asked"),
        action(
            Id::App,
            "app",
            "NAME",
            (Route, Done),
            true,
            "an application decides; where it passes, the rules after this one are asked",
        ),
        action(
            Id::CacheOnly,
            "cache-only",
            "",
            (Route, Request),
            true,
            "what the cache holds, be it stale; else the fallback",
        ),
        action(
            Id::Retry,
            "retry",
            "upstream NAME",
            (Response, Response),
            true,
            "the servers of another upstream are asked, and this response is not used",
        ),
        action(Id::Pass, "pass", "", (Route, Done), true, "no further rule of this phase is asked"),
        action(
            Id::NoStore,
            "no-store",
            "",
            (Response, Response),
            false,
            "the response does not go into the cache",
        ),
        action(
            Id::Divert,
            "divert",
            "SERVER",
            (Route, PostCache),
            false,
            "a copy goes to this server, and its answer is compared; the client sees nothing of it",
        ),
        action(Id::Tag, "tag", "NAME", (Route, Reply), false, "the query has this tag from here on"),
    ]
};

impl ActionId {
    pub(super) fn row(self) -> &'static ActionRow {
        &ACTIONS[self as usize]
    }
}

/// An operator, with what it is for.
pub(super) const OPERATORS: [(&str, &str); 8] = [
    ("=", "is this value"),
    ("!=", "is not this value"),
    ("in { A B }", "is one of these, with or without commas between them"),
    ("not in { A B }", "is not one of these"),
    ("<", "is less; numbers and times only, as the three that follow"),
    (">", "is greater"),
    ("<=", "is at most"),
    (">=", "is at least"),
];

/// An option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OptionId {
    DryRun,
    Log,
    Timeout,
    Fallback,
}

/// All options, in the order of [`OptionId`]: name, what follows it, what it does.
pub(super) const OPTIONS: [(OptionId, &str, &str, &str); 4] = [
    (OptionId::DryRun, "dry-run", "", "the rule counts what it matches, and does nothing else"),
    (OptionId::Log, "log", "", "queries that match are traced"),
    (OptionId::Timeout, "timeout", "TIME", "how long a query may take that is handed over, such as `300ms`"),
    (
        OptionId::Fallback,
        "fallback",
        "WAY",
        "what a query gets when the action cannot be done; without it, `fail`",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_where_their_ids_say() {
        assert!(FIELDS.iter().enumerate().all(|(at, field)| field.id as usize == at));
        assert!(ACTIONS.iter().enumerate().all(|(at, action)| action.id as usize == at));
        assert!(OPTIONS.iter().enumerate().all(|(at, option)| option.0 as usize == at));
    }

    #[test]
    fn phases_are_sets() {
        let names = |phases: Phases| phases.iter().map(Phase::name).collect::<Vec<_>>();
        assert_eq!(names(Phases::ALL).len(), 6);
        assert_eq!(names(Phases::only(Phase::Done).and(Phases::only(Phase::Route))), [""; 0]);
        assert_eq!(names(Phases::from_on(Phase::Reply)), ["reply", "done"]);
        assert_eq!(names(ActionId::CacheOnly.row().phases), ["route", "request"]);
        assert_eq!(names(Phases::only(Phase::PostCache)), ["post-cache"]);
    }
}
