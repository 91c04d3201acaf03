//! The labels of counters: their names and values. A value is an index; what it is called matters to readers
//! alone.

use crate::dns::consts::{class, rcode, rtype};
use crate::dns::cookie::Standing;
use crate::limits::{LISTEN_MAX, METRIC_SERIES_MAX, RULE_SERIES_MAX, SERVER_SERIES_MAX, ZONE_SERIES_MAX};

/// A label.
#[derive(Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// How many values it has.
    pub len: usize,
    /// What they are called.
    pub values: Values,
}

/// What the values of a label are called.
#[derive(Debug)]
pub enum Values {
    /// The same on every node.
    Fixed(&'static [&'static str]),
    /// The same on every node; after the first so many they are in use only where there are rules.
    Partly(&'static [&'static str], usize),
    /// The zones that are served, and `other`.
    Zones,
    /// The addresses that are listened on.
    Addresses,
    /// The rules and routes, and `other`.
    Rules,
    /// The servers that are asked, and `other`.
    Servers,
    /// The applications, and `other`.
    Apps,
    /// The application that has a counter of its own: the next label says which.
    OwnerOfMetric,
    /// Counters that applications have of their own, and `other`.
    Metrics,
    /// The pools of tailored names, and `other`.
    Pools,
    /// The points of presence, and `other`.
    Pops,
    /// Numbers; those of which nothing was counted are not shown.
    Numbers,
    /// Times, in powers of two of a number of microseconds: the end of the bin, in seconds; the last bin is
    /// open.
    Times(u64),
    /// Sizes in bytes, so many to a bin; the last bin is open.
    Bins(usize),
}

/// What the values are called that differ from node to node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The zones that have a counter of their own, without the final dot.
    pub zones: Vec<String>,
    /// The addresses that are listened on.
    pub addresses: Vec<String>,
    /// The rules and routes that have a counter of their own: first [`RULE_NONE`], where there are any.
    pub rules: Vec<String>,
    /// The servers that have a counter of their own: the upstream's name, a slash, the address.
    pub servers: Vec<String>,
    /// The applications that have a counter of their own: first [`APP_NONE`](super::app_labels::APP_NONE),
    /// where there are any.
    pub apps: Vec<String>,
    /// The counters of applications: the application's name, and the counter's.
    pub metrics: Vec<(String, String)>,
    /// The pools of tailored names that have a counter of their own.
    pub pools: Vec<String>,
    /// The points of presence that have a counter of their own.
    pub pops: Vec<String>,
    /// There is something that depends on the client.
    pub have_clients: bool,
}

impl Names {
    /// What the values of a family's labels are called, by which of them one counter is.
    #[must_use]
    pub fn values(&self, labels: &[&Label], values: &[usize]) -> Vec<String> {
        let own = |label: &&Label, value: usize| match label.values {
            Values::OwnerOfMetric => {
                self.metrics.get(values[labels.len() - 1]).map_or("other", |(app, _)| app).to_owned()
            }
            _ => self.value(label, value),
        };
        labels.iter().zip(values).map(|(label, value)| own(label, *value)).collect()
    }

    /// Finds room for a counter of an application, and says where: its place, if it has one, else a new one,
    /// else with the others.
    pub fn place_metric(&mut self, app: &str, metric: &str) -> usize {
        let is_it = |(its_app, its_metric): &(String, String)| its_app == app && its_metric == metric;
        self.metrics.iter().position(is_it).unwrap_or_else(|| {
            if self.metrics.len() < METRIC_SERIES_MAX {
                self.metrics.push((app.to_owned(), metric.to_owned()));
                return self.metrics.len() - 1;
            }
            METRIC_SERIES_MAX
        })
    }

    /// What a value of a label is called. For sizes it is the least of the bin, in bytes.
    #[must_use]
    pub fn value(&self, label: &Label, value: usize) -> String {
        match label.values {
            Values::Fixed(names) | Values::Partly(names, _) => names[value].to_owned(),
            Values::Bins(len) => (value * len).to_string(),
            Values::Times(_) if value + 1 == label.len => "+Inf".to_owned(),
            Values::Times(first) => format!("{}", (first << value) as f64 / 1e6),
            Values::Zones => self.zones.get(value).map_or("other", String::as_str).to_owned(),
            Values::Addresses => self.addresses.get(value).map_or("other", String::as_str).to_owned(),
            Values::Rules => self.rules.get(value).map_or("other", String::as_str).to_owned(),
            Values::Servers => self.servers.get(value).map_or("other", String::as_str).to_owned(),
            Values::Apps => self.apps.get(value).map_or("other", String::as_str).to_owned(),
            Values::Metrics => self.metrics.get(value).map_or("other", |(_, metric)| metric).to_owned(),
            Values::Pools => self.pools.get(value).map_or("other", String::as_str).to_owned(),
            Values::Pops => self.pops.get(value).map_or("other", String::as_str).to_owned(),
            Values::Numbers => value.to_string(),
            Values::OwnerOfMetric => "other".to_owned(),
        }
    }

    /// Whether there are rules or applications: else nothing of the platform counts.
    #[must_use]
    pub const fn have_platform(&self) -> bool {
        !self.rules.is_empty() || self.have_apps()
    }

    /// Whether there are applications.
    #[must_use]
    pub const fn have_apps(&self) -> bool {
        !self.apps.is_empty()
    }

    /// How many values of a label are in use.
    #[must_use]
    pub fn len_in_use(&self, label: &Label) -> usize {
        match label.values {
            Values::Partly(_, own) if !self.have_platform() => own,
            Values::Fixed(_) | Values::Partly(..) | Values::Bins(_) | Values::Times(_) => label.len,
            Values::Zones => self.zones.len(),
            Values::Addresses => self.addresses.len(),
            Values::Rules => self.rules.len(),
            Values::Servers => self.servers.len(),
            Values::Apps => self.apps.len(),
            Values::Metrics => self.metrics.len(),
            Values::Pools => self.pools.len(),
            Values::Pops => self.pops.len(),
            Values::Numbers => 0,
            Values::OwnerOfMetric => label.len,
        }
    }
}

impl Label {
    pub(super) const fn fixed(name: &'static str, values: &'static [&'static str]) -> Self {
        Self { name, len: values.len(), values: Values::Fixed(values) }
    }

    /// One of whose values the first `own` are in use on every node, the others where there are rules.
    const fn partly(name: &'static str, own: usize, values: &'static [&'static str]) -> Self {
        Self { name, len: values.len(), values: Values::Partly(values, own) }
    }

    const fn bins(len: usize) -> Self {
        Self { name: "size", len, values: Values::Bins(SIZE_BIN_LEN) }
    }
}

/// Bytes to a bin of the size families, as RSSAC002 has them.
pub const SIZE_BIN_LEN: usize = 16;

/// What the zone is for; `other` for zones of the operator and for names in no zone.
pub static SERVICE: Label = Label::fixed("service", &["direct", "dname", "hostname", "special", "other"]);
/// The index of `hostname` in [`SERVICE`].
pub const SERVICE_HOSTNAME: u8 = 2;
/// The index of `other` in [`SERVICE`].
pub const SERVICE_OTHER: usize = 4;
/// How it came.
pub static TRANSPORT: Label = Label::fixed("transport", &["udp", "tcp"]);
/// The address family.
pub static FAMILY: Label = Label::fixed("family", &["ipv4", "ipv6"]);
/// The zone: built-in ones, the first that were configured, and `other` after them.
pub static ZONE: Label = Label { name: "zone", len: ZONE_SERIES_MAX + 1, values: Values::Zones };
/// The address that was asked.
pub static ADDRESS: Label = Label { name: "address", len: LISTEN_MAX, values: Values::Addresses };
/// Query sizes: up to 2,048 bytes.
pub static QUERY_BIN: Label = Label::bins(2048 / SIZE_BIN_LEN + 1);
/// Reply sizes: up to 4,096 bytes, which only configured zones reach.
pub static REPLY_BIN: Label = Label::bins(4096 / SIZE_BIN_LEN + 1);
/// The operation code.
pub static OPCODE: Label = Label::fixed(
    "opcode",
    &[
        "QUERY", "IQUERY", "STATUS", "3", "NOTIFY", "UPDATE", "DSO", "7", "8", "9", "10", "11", "12", "13",
        "14", "15",
    ],
);
/// The response codes: the first `RCODES_OWN` are those that the node gives by itself, the others those
/// that the servers may say which it asks.
pub static RCODE: Label = Label::partly("rcode", RCODES_OWN, &RCODE_NAMES);
const RCODE_NAMES: [&str; RCODE_NUMBERS.len() + 1] = [
    "NOERROR",
    "FORMERR",
    "NXDOMAIN",
    "NOTIMP",
    "REFUSED",
    "YXDOMAIN",
    "NOTAUTH",
    "BADVERS",
    "BADCOOKIE",
    "SERVFAIL",
    "YXRRSET",
    "NXRRSET",
    "NOTZONE",
    "DSOTYPENI",
    "12",
    "13",
    "14",
    "15",
    "other",
];
/// See [`RCODE`].
const RCODES_OWN: usize = 9;
/// The response codes by number; what comes after them is counted together.
pub const RCODE_NUMBERS: [u16; 18] = [
    rcode::NOERROR as u16,
    rcode::FORMERR as u16,
    rcode::NXDOMAIN as u16,
    rcode::NOTIMP as u16,
    rcode::REFUSED as u16,
    rcode::YXDOMAIN as u16,
    rcode::NOTAUTH as u16,
    rcode::BADVERS,
    rcode::BADCOOKIE,
    2,
    7,
    8,
    10,
    11,
    12,
    13,
    14,
    15,
];
/// The values of [`RCODE`] for the numbers that a header can hold.
static RCODE_VALUES: [u8; 16] = {
    let mut values = [0; 16];
    let mut at = 0;
    while at < RCODE_NUMBERS.len() {
        if RCODE_NUMBERS[at] < 16 {
            values[RCODE_NUMBERS[at] as usize] = at as u8;
        }
        at += 1;
    }
    values
};
/// The value of [`RCODE`] for a response code, with the bits that EDNS has of it.
#[inline]
#[must_use]
pub const fn rcode_value(rcode: u16) -> usize {
    match rcode {
        0..16 => RCODE_VALUES[rcode as usize] as usize,
        rcode::BADVERS => RCODE_BADVERS,
        rcode::BADCOOKIE => RCODE_BADCOOKIE,
        _ => RCODE_NUMBERS.len(),
    }
}
/// The value of [`RCODE`] for BADVERS.
pub const RCODE_BADVERS: usize = 7;
/// The value of [`RCODE`] for BADCOOKIE.
pub const RCODE_BADCOOKIE: usize = 8;
/// What a cookie is by its length (RFC 7873, section 4): the client's alone, with a server's, or neither.
pub static COOKIE: Label = Label::fixed("state", &["client", "server", "malformed"]);
/// The value of [`COOKIE`] for a cookie of this many bytes.
#[inline]
#[must_use]
pub const fn cookie_value(len: usize) -> usize {
    match len {
        8 => 0,
        16..=40 => 1,
        _ => 2,
    }
}
/// What the server's part of a cookie turned out to be: the values of [`Standing`].
pub static COOKIE_STANDING: Label = Label::fixed("state", &["absent", "fresh", "old", "expired", "unknown"]);
const _: () = assert!(COOKIE_STANDING.len == Standing::Unknown as usize + 1);
/// The EDNS version.
pub static VERSION: Label = Label::fixed("version", &["0", "other"]);
/// Why a packet got no answer.
pub static DROPPED: Label = Label::partly(
    "reason",
    9,
    &[
        "short",
        "response",
        "bad_port",
        "own_address",
        "error_cap",
        "update",
        "unaddressed",
        "rate_limit",
        "drop_list",
        "rule",
        "late",
    ],
);
/// Values of [`DROPPED`].
pub const DROPPED_SHORT: usize = 0;
/// See [`DROPPED_SHORT`].
pub const DROPPED_RESPONSE: usize = 1;
/// See [`DROPPED_SHORT`].
pub const DROPPED_BAD_PORT: usize = 2;
/// See [`DROPPED_SHORT`].
pub const DROPPED_OWN_ADDRESS: usize = 3;
/// See [`DROPPED_SHORT`].
pub const DROPPED_ERROR_CAP: usize = 4;
/// See [`DROPPED_SHORT`].
pub const DROPPED_UPDATE: usize = 5;
/// See [`DROPPED_SHORT`]. It came to a wildcard address, and did not tell which address was asked.
pub const DROPPED_UNADDRESSED: usize = 6;
/// See [`DROPPED_SHORT`].
pub const DROPPED_RATE_LIMIT: usize = 7;
/// See [`DROPPED_SHORT`].
pub const DROPPED_LISTED: usize = 8;
/// See [`DROPPED_SHORT`]. A rule drops it, or the fallback of one.
pub const DROPPED_RULE: usize = 9;
/// See [`DROPPED_SHORT`]. It waited for a worker for so long that its client has asked again.
pub const DROPPED_LATE: usize = 10;
/// What a query over the rate limit of its network got: a truncated reply, BADCOOKIE, nothing; or an answer,
/// because the limit only counts, or is not for its network, or it had a valid cookie.
pub static OVER_LIMIT: Label =
    Label::fixed("result", &["truncated", "badcookie", "dropped", "dry_run", "exempt", "cookie"]);
/// Values of [`OVER_LIMIT`].
pub const OVER_LIMIT_TRUNCATED: usize = 0;
/// See [`OVER_LIMIT_TRUNCATED`].
pub const OVER_LIMIT_BADCOOKIE: usize = 1;
/// See [`OVER_LIMIT_TRUNCATED`].
pub const OVER_LIMIT_DROPPED: usize = 2;
/// See [`OVER_LIMIT_TRUNCATED`].
pub const OVER_LIMIT_DRY_RUN: usize = 3;
/// See [`OVER_LIMIT_TRUNCATED`].
pub const OVER_LIMIT_EXEMPT: usize = 4;
/// See [`OVER_LIMIT_TRUNCATED`].
pub const OVER_LIMIT_COOKIE: usize = 5;
/// Why a frame passed the program in the driver, as `xdp/program/responder.h` numbers it.
pub static XDP_REASON: Label = Label::partly(
    "reason",
    17,
    &[
        "elsewhere",
        "not_serving",
        "not_alive",
        "fragment",
        "length",
        "source",
        "header",
        "name",
        "type",
        "edns",
        "outside",
        "apex",
        "long",
        "no_room",
        "sampled",
        "busy",
        "limited",
        "policy",
    ],
);
/// Why a receive was begun again.
pub static REARM: Label = Label::fixed("cause", &["no_buffers", "empty", "other"]);
/// What the kernel said of a reply that it did not send.
pub static ERRNO: Label =
    Label::fixed("errno", &["EAGAIN", "ENOBUFS", "EINVAL", "EPERM", "EHOSTUNREACH", "other"]);
/// The value of [`CLOSED`] for a connection that was not let in.
pub const CLOSED_REFUSED: usize = 6;
/// Why a connection was closed.
pub static CLOSED: Label = Label::fixed(
    "reason",
    &[
        "client",
        "idle",
        "message",
        "unread",
        "table_full",
        "address_full",
        "refused",
        "buffers",
        "protocol",
        "failed",
        "stop",
    ],
);

/// The rule, by its name.
pub static RULE: Label = Label { name: "rule", len: RULE_SERIES_MAX + 1, values: Values::Rules };
/// The rule that handed a query over.
pub static ROUTE: Label = Label { name: "route", len: RULE_SERIES_MAX + 1, values: Values::Rules };
/// The first value of [`RULE`]: no rule.
pub const RULE_NONE: &str = "none";
/// The server that was asked.
pub static SERVER: Label = Label { name: "server", len: SERVER_SERIES_MAX + 1, values: Values::Servers };
/// Why a query got its fallback instead of what its rule says.
pub static WORK_REFUSAL: Label =
    Label::fixed("reason", &["pool", "share", "tasks", "waiters", "late", "deadline", "upstream", "app"]);
/// Values of [`WORK_REFUSAL`]: no job was free.
pub const WORK_REFUSED_POOL: usize = 0;
/// The rule had its share of jobs.
pub const WORK_REFUSED_SHARE: usize = 1;
/// The worker had as many queries as it can have.
pub const WORK_REFUSED_TASKS: usize = 2;
/// As many wait for the same answer as may.
pub const WORK_REFUSED_WAITERS: usize = 3;
/// It had waited for too long: it is dropped, as its client has asked again.
pub const WORK_REFUSED_LATE: usize = 4;
/// Its time was up.
pub const WORK_REFUSED_DEADLINE: usize = 5;
/// No server could be asked, or none gave an answer.
pub const WORK_REFUSED_UPSTREAM: usize = 6;
/// The application failed, or cannot be called.
pub const WORK_REFUSED_APP: usize = 7;
/// What came of one try at a server.
pub static TRIAL: Label = Label::fixed(
    "outcome",
    &["answered", "error", "truncated", "timeout", "unreachable", "malformed", "late"],
);
/// Values of [`TRIAL`]: an answer.
pub const TRIAL_ANSWERED: usize = 0;
/// A response code that says nothing of the name.
pub const TRIAL_ERROR: usize = 1;
/// Cut: it is asked again over TCP.
pub const TRIAL_TRUNCATED: usize = 2;
/// Nothing in time.
pub const TRIAL_TIMEOUT: usize = 3;
/// Its port was refused, or it could not be sent.
pub const TRIAL_UNREACHABLE: usize = 4;
/// It cannot be read.
pub const TRIAL_MALFORMED: usize = 5;
/// The answer came, but the query had another.
pub const TRIAL_LATE: usize = 6;
/// What did not match a query.
pub static FORGED: Label = Label::fixed("reason", &["id", "question", "case", "cookie"]);
/// Values of [`FORGED`]: no query left that port with that ID, or not to that server.
pub const FORGED_ID: usize = 0;
/// The question is another one.
pub const FORGED_QUESTION: usize = 1;
/// The letter case of its name is not that of the query.
pub const FORGED_CASE: usize = 2;
/// The cookie is not ours, or is not there.
pub const FORGED_COOKIE: usize = 3;
/// Up to which time a response took: from 64 us to a second.
pub static RTT_BIN: Label = Label { name: "le", len: 16, values: Values::Times(64) };
/// What becomes of a trace.
pub static TRACED: Label = Label::fixed("result", &["kept", "dropped"]);
/// The phases of a query's life.
pub static PHASE: Label =
    Label::fixed("phase", &["route", "request", "post-cache", "response", "reply", "done"]);
/// How long a query was in a phase: from 4 us to a second.
pub static PHASE_BIN: Label = Label { name: "le", len: 20, values: Values::Times(4) };
/// The value of [`RTT_BIN`] for a time in microseconds.
#[inline]
#[must_use]
pub fn rtt_bin(micros: u64) -> usize {
    time_bin(&RTT_BIN, micros)
}

/// The value of [`PHASE_BIN`] for a time in microseconds.
#[must_use]
pub fn phase_bin(micros: u64) -> usize {
    time_bin(&PHASE_BIN, micros)
}

#[inline]
fn time_bin(label: &Label, micros: u64) -> usize {
    let Values::Times(first) = label.values else { return 0 };
    let mut bin = 0;
    while bin < label.len - 1 && micros > first << bin {
        bin += 1;
    }
    bin
}
/// What a look into the cache found.
pub static CACHE_LOOK: Label =
    Label::fixed("result", &["fresh", "prefetch", "stale", "failure", "expired", "miss"]);
/// The values of [`CACHE_LOOK`] that answer a query.
pub const CACHE_HITS: [&str; 3] = ["fresh", "prefetch", "stale"];
/// Values of [`CACHE_LOOK`].
pub const CACHE_FRESH: usize = 0;
/// See [`CACHE_FRESH`].
pub const CACHE_PREFETCH: usize = 1;
/// See [`CACHE_FRESH`].
pub const CACHE_STALE: usize = 2;
/// See [`CACHE_FRESH`].
pub const CACHE_FAILURE: usize = 3;
/// See [`CACHE_FRESH`].
pub const CACHE_MISS: usize = 5;
/// What the other server said, compared with our own answer.
pub static COMPARED: Label = Label::fixed("result", &["same", "differs", "timeout"]);
/// Values of [`COMPARED`].
pub const COMPARED_SAME: usize = 0;
/// See [`COMPARED_SAME`].
pub const COMPARED_DIFFERS: usize = 1;
/// See [`COMPARED_SAME`].
pub const COMPARED_TIMEOUT: usize = 2;

/// The types that have a counter of their own, by number.
const TYPES: [(u16, &str); 29] = [
    (rtype::A, "A"),
    (rtype::NS, "NS"),
    (rtype::CNAME, "CNAME"),
    (rtype::SOA, "SOA"),
    (rtype::PTR, "PTR"),
    (13, "HINFO"),
    (rtype::MX, "MX"),
    (rtype::TXT, "TXT"),
    (17, "RP"),
    (rtype::AAAA, "AAAA"),
    (rtype::LOC, "LOC"),
    (rtype::SRV, "SRV"),
    (35, "NAPTR"),
    (rtype::DNAME, "DNAME"),
    (rtype::DS, "DS"),
    (44, "SSHFP"),
    (rtype::RRSIG, "RRSIG"),
    (rtype::NSEC, "NSEC"),
    (rtype::DNSKEY, "DNSKEY"),
    (52, "TLSA"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (99, "SPF"),
    (rtype::TKEY, "TKEY"),
    (rtype::TSIG, "TSIG"),
    (rtype::IXFR, "IXFR"),
    (rtype::AXFR, "AXFR"),
    (rtype::ANY, "ANY"),
    (257, "CAA"),
];
const TYPE_NAMES: [&str; TYPES.len() + 1] = {
    let mut names = ["other"; TYPES.len() + 1];
    let mut at = 0;
    while at < TYPES.len() {
        names[at] = TYPES[at].1;
        at += 1;
    }
    names
};
/// The type that was asked for.
pub static TYPE: Label = Label::fixed("type", &TYPE_NAMES);
/// The index of each type below 258.
static TYPE_INDEX: [u8; 258] = {
    let mut index = [TYPES.len() as u8; 258];
    let mut at = 0;
    while at < TYPES.len() {
        index[TYPES[at].0 as usize] = at as u8;
        at += 1;
    }
    index
};

/// The value of [`TYPE`] for a qtype.
#[inline]
#[must_use]
pub fn type_value(qtype: u16) -> usize {
    usize::from(*TYPE_INDEX.get(usize::from(qtype)).unwrap_or(&(TYPES.len() as u8)))
}

/// The number of a type by the value of [`TYPE`]; `None` for `other`.
#[must_use]
pub fn type_number(value: usize) -> Option<u16> {
    TYPES.get(value).map(|&(number, _)| number)
}

/// The class that was asked for.
pub static CLASS: Label = Label::fixed("class", &["IN", "CH", "HS", "NONE", "ANY", "other"]);

/// The value of [`CLASS`] for a qclass.
#[inline]
#[must_use]
pub const fn class_value(qclass: u16) -> usize {
    match qclass {
        class::IN => 0,
        class::CH => 1,
        4 => 2,
        254 => 3,
        class::ANY => 4,
        _ => 5,
    }
}

#[cfg(test)]
mod tests;
