//! The shape of the configuration file, and every mistake in it. What the daemon runs with is
//! [`Config`](super::Config); here are the keys, their ranges and their fixed defaults.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::announce::Announce;
use super::answers::AnswersSpec;
use super::beacons::BeaconsSpec;
use super::cpus::{BusyPoll, Cpus, Shards, Steer};
use super::doors::ControlPath;
use super::doors::{HttpListen, NodeView};
use super::listen::Listen;
use super::logs::{DnstapSpec, LogSpec, QueryLogSpec};
use super::maps::MapSpec;
use super::platform::{CacheSpec, PlatformSpec, ResolverSpec, TraceSpec};
use super::pools::{IdentityZoneSpec, PoolSpec};
use super::pops::PopSpec;
use super::upstreams::{RouteSpec, UpstreamSpec};
use super::written::{Count, Given, Line, Mistake, Nsid, Origin, Size, Template, Text, Time, Written};
use super::xdp::XdpSpec;
use crate::limits::{
    CONFIG_MISTAKES_MAX, DRAIN_TIME_MAX_MS, EDNS_UDP_SIZE_MAX, EDNS_UDP_SIZE_MIN, NSID_LEN_MAX, SAMPLE_EVERY,
    SAMPLE_EVERY_MAX, SOCKET_BUFFER_MAX, SOCKET_BUFFER_MIN, TCP_BUFFERS_LEN_CEILING, TCP_BUFFERS_LEN_FLOOR,
    TCP_CONNECTIONS_CEILING, TCP_TIMEOUT_CEILING_MS, TCP_TIMEOUT_FLOOR_MS, UDP_RCVBUF_LEN, UDP_SNDBUF_LEN,
};
use crate::net::DatapathChoice;
use crate::net::tcp::TcpSettings;
use crate::problem::edits;
use crate::report::export::{self, dsc};
use crate::sys::confine::Want;

/// The file that documents every key; its lines are the examples in messages.
pub(super) const EXAMPLE: &str = include_str!("../../docs/examples/as112d.toml");

pub(super) type SocketBuffer = Size<SOCKET_BUFFER_MIN, SOCKET_BUFFER_MAX>;
pub(super) type UdpSize = Count<EDNS_UDP_SIZE_MIN, EDNS_UDP_SIZE_MAX>;
pub(super) type Connections = Count<1, TCP_CONNECTIONS_CEILING>;
pub(super) type DrainTime = Time<0, DRAIN_TIME_MAX_MS>;
pub(super) type Timeout = Time<TCP_TIMEOUT_FLOOR_MS, TCP_TIMEOUT_CEILING_MS>;
pub(super) type TcpBuffers = Size<TCP_BUFFERS_LEN_FLOOR, TCP_BUFFERS_LEN_CEILING>;
pub(super) type SampleEvery = Count<1, SAMPLE_EVERY_MAX>;

/// The file. An `Option` is a key whose default depends on the host, on another key, or is "nothing".
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Spec {
    pub(super) server: Server,
    pub(super) identity: Identity,
    pub(super) tcp: Tcp,
    pub(super) zones: Zones,
    pub(super) zone: Vec<Zone>,
    pub(super) answers: AnswersSpec,
    pub(super) pop: Vec<PopSpec>,
    pub(super) map: Vec<Spanned<MapSpec>>,
    pub(super) pool: Vec<Spanned<PoolSpec>>,
    pub(super) identity_zone: IdentityZoneSpec,
    pub(super) beacons: BeaconsSpec,
    pub(super) platform: PlatformSpec,
    pub(super) cache: CacheSpec,
    pub(super) upstream: Vec<UpstreamSpec>,
    pub(super) route: Vec<RouteSpec>,
    pub(super) resolver: ResolverSpec,
    pub(super) trace: TraceSpec,
    pub(super) http: Http,
    pub(super) history: History,
    pub(super) sources: Sources,
    pub(super) export: Export,
    pub(super) confine: Confine,
    pub(super) log: LogSpec,
    pub(super) query_log: QueryLogSpec,
    pub(super) dnstap: DnstapSpec,
    pub(super) xdp: XdpSpec,
    pub(super) control: Control,
    pub(super) announce: Announce,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [server] section")]
pub(super) struct Server {
    pub(super) listen: Option<Spanned<Vec<Given<Listen>>>>,
    pub(super) shards: Given<Shards>,
    pub(super) cpus: Option<Given<Cpus>>,
    pub(super) steer: Given<Steer>,
    pub(super) busy_poll: Given<BusyPoll>,
    pub(super) datapath: Given<DatapathChoice>,
    pub(super) edns_udp_size: Given<UdpSize>,
    pub(super) user: Option<Given<Line>>,
    pub(super) rcvbuf: Given<SocketBuffer>,
    pub(super) sndbuf: Given<SocketBuffer>,
    pub(super) drain_time: Option<Given<DrainTime>>,
    pub(super) drop: Vec<Given<IpNet>>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: None,
            shards: Given::default(Shards::Auto),
            cpus: None,
            steer: Given::default(Steer::Auto),
            busy_poll: Given::default(Count(0)),
            datapath: Given::default(DatapathChoice::Auto),
            edns_udp_size: Given::default(Count(EDNS_UDP_SIZE_MAX)),
            user: None,
            rcvbuf: Given::default(Size(UDP_RCVBUF_LEN)),
            sndbuf: Given::default(Size(UDP_SNDBUF_LEN)),
            drain_time: None,
            drop: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [identity] section")]
pub(super) struct Identity {
    pub(super) node: Option<Given<Text<NSID_LEN_MAX>>>,
    pub(super) facility: Option<Given<Line>>,
    pub(super) location: Option<Given<Line>>,
    pub(super) loc: Option<Given<Line>>,
    pub(super) extra_txt: Vec<Given<Line>>,
    pub(super) unique_ip: Vec<Given<IpAddr>>,
    pub(super) nsid: Option<Given<Nsid>>,
    pub(super) version_txt: Option<Given<Line>>,
    pub(super) hostname_soa_mname: Option<Given<Line>>,
    pub(super) hostname_soa_rname: Option<Given<Line>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [tcp] section")]
pub(super) struct Tcp {
    pub(super) connections_max: Given<Connections>,
    pub(super) connections_per_address_max: Given<Connections>,
    pub(super) message_timeout: Given<Timeout>,
    pub(super) idle_timeout: Given<Timeout>,
    pub(super) write_timeout: Given<Timeout>,
    pub(super) drain_timeout: Given<Timeout>,
    pub(super) buffers_max: Given<TcpBuffers>,
}

impl Default for Tcp {
    fn default() -> Self {
        let TcpSettings {
            connections_max,
            connections_per_client_max,
            message_timeout,
            idle_timeout,
            write_timeout,
            drain_timeout,
            buffers_len_max,
        } = TcpSettings::default();
        Self {
            connections_max: Given::default(Count(connections_max)),
            connections_per_address_max: Given::default(Count(connections_per_client_max)),
            message_timeout: Given::default(Time(message_timeout)),
            idle_timeout: Given::default(Time(idle_timeout)),
            write_timeout: Given::default(Time(write_timeout)),
            drain_timeout: Given::default(Time(drain_timeout)),
            buffers_max: Given::default(Size(buffers_len_max)),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [zones] section")]
pub(super) struct Zones {
    pub(super) direct: bool,
    pub(super) dname: bool,
    pub(super) special_use: bool,
    pub(super) dir: Option<PathBuf>,
    pub(super) packs: Vec<Given<Line>>,
}

impl Default for Zones {
    fn default() -> Self {
        Self { direct: true, dname: true, special_use: true, dir: None, packs: Vec::new() }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a [[zone]] block")]
pub(super) struct Zone {
    pub(super) name: Given<Line>,
    pub(super) file: Option<PathBuf>,
    pub(super) template: Option<Given<Template>>,
    #[serde(default)]
    pub(super) force: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [http] section")]
pub(super) struct Http {
    pub(super) listen: Option<Given<HttpListen>>,
    pub(super) public: Option<Given<HttpListen>>,
    pub(super) allowed_hosts: Vec<Given<Line>>,
    pub(super) node_view: Option<Given<NodeView>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [control] section")]
pub(super) struct Control {
    pub(super) path: Option<Given<ControlPath>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [history] section")]
pub(super) struct History {
    pub(super) dir: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [sources] section")]
pub(super) struct Sources {
    pub(super) sample_every: Given<SampleEvery>,
    pub(super) databases: Vec<Given<Line>>,
}

impl Sources {
    pub(super) fn sample_every(&self) -> NonZeroU32 {
        let every = u32::try_from(self.sample_every.value.0).ok().and_then(NonZeroU32::new);
        every.expect("its range begins at 1 and ends below 2^32")
    }
}

impl Default for Sources {
    fn default() -> Self {
        Self { sample_every: Given::default(Count(SAMPLE_EVERY as usize)), databases: Vec::new() }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [export] section")]
pub(super) struct Export {
    pub(super) rssac002: Option<PathBuf>,
    pub(super) dsc: Option<PathBuf>,
    pub(super) dsc_format: Given<dsc::Format>,
}

impl Default for Export {
    fn default() -> Self {
        Self { rssac002: None, dsc: None, dsc_format: Given::default(dsc::Format::default()) }
    }
}

impl Export {
    /// Paths begin in `dir`.
    pub(super) fn settings(self, dir: &Path) -> export::Settings {
        export::Settings {
            rssac002: self.rssac002.map(|path| dir.join(path)),
            dsc: self.dsc.map(|path| dir.join(path)),
            dsc_format: self.dsc_format.value,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [confine] section")]
pub(super) struct Confine {
    pub(super) landlock: Given<Want>,
    pub(super) seccomp: Given<Want>,
}

impl Default for Confine {
    fn default() -> Self {
        Self { landlock: Given::default(Want::Auto), seccomp: Given::default(Want::Auto) }
    }
}

impl Written for IpAddr {
    const EXPECTED: &'static str = "an address such as \"192.0.2.1\"";

    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("`{text}` is not an address; give one such as 192.0.2.1 or 2001:db8::1"))
    }
}

/// What the file says where it is right, and all that is wrong in it.
///
/// serde stops at the first mistake. So the value at fault is noted and taken out, and the rest is read
/// again, until nothing is wrong.
pub(super) fn read(text: &str) -> (Spec, Vec<Mistake>) {
    read_as(text, EXAMPLE)
}

/// The same for another kind of file, whose keys `example` shows.
pub(super) fn read_as<T: Default + DeserializeOwned>(text: &str, example: &'static str) -> (T, Vec<Mistake>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What a broken syntax left over would be blamed for what it does not say.
        let mistakes = errors
            .iter()
            .take(CONFIG_MISTAKES_MAX)
            .map(|error| Mistake::new(origin(error), format!("TOML syntax error: {}", error.message())));
        return (T::default(), mistakes.collect());
    }
    // Nearly always nothing is wrong, and with a hundred thousand zones a copy is large.
    if let Ok(spec) = T::deserialize(Deserializer::from(table)) {
        return (spec, Vec::new());
    }
    let table = DeTable::parse_recoverable(text).0;
    let span = table.span();
    let mut table = table.into_inner();
    let (mut mistakes, mut taken) = (Vec::new(), Vec::new());
    while mistakes.len() < CONFIG_MISTAKES_MAX {
        let error = match T::deserialize(Deserializer::from(Spanned::new(span.clone(), table.clone()))) {
            Ok(spec) => return (spec, mistakes),
            Err(error) => error,
        };
        let key = error.span().and_then(|span| take_out(&mut table, &span));
        // What is missing because it was taken out was told.
        if !missing(error.message()).is_some_and(|field| taken.iter().any(|taken| taken == field)) {
            mistakes.push(Mistake::new(origin(&error), explain(error.message(), key.as_deref(), example)));
        }
        let Some(key) = key else { break };
        taken.push(key);
    }
    (T::default(), mistakes)
}

fn origin(error: &toml::de::Error) -> Origin {
    Origin::File(error.span().map_or(0, |span| span.start))
}

/// Takes the entry or the list's element that `span` names out of `table`; the key that it was found under.
/// Elements go before the whole: a list of `[[zone]]` has the span of its first.
fn take_out(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let below = table.iter_mut().find_map(|(key, value)| {
        if take_element(value.get_mut(), span) {
            return Some(key.get_ref().to_string());
        }
        tables_of(value.get_mut()).into_iter().find_map(|table| take_out(table, span))
    });
    below.or_else(|| {
        let (key, _) = table.iter().find(|(key, value)| key.span() == *span || value.span() == *span)?;
        let key = key.get_ref().to_string();
        table.remove(key.as_str());
        Some(key)
    })
}

fn take_element(value: &mut DeValue<'_>, span: &Range<usize>) -> bool {
    let DeValue::Array(array) = value else { return false };
    let count = array.len();
    *array = array.iter().filter(|element| element.span() != *span).cloned().collect();
    array.len() < count
}

fn tables_of<'a, 'i>(value: &'a mut DeValue<'i>) -> Vec<&'a mut DeTable<'i>> {
    match value {
        DeValue::Table(table) => vec![table],
        DeValue::Array(array) => array.iter_mut().flat_map(|element| tables_of(element.get_mut())).collect(),
        _ => vec![],
    }
}

/// Lists that are empty unless somebody fills them, filled.
const LISTS: [(&str, &str); 12] = [
    ("drop", "drop = [\"198.51.100.0/24\"]"),
    ("packs", "packs = [\"owners.zones\"]"),
    ("extra_txt", "extra_txt = [\"noc@example.net\"]"),
    ("unique_ip", "unique_ip = [\"192.0.2.53\"]"),
    ("databases", "databases = [\"GeoLite2-Country.mmdb\"]"),
    ("allowed_hosts", "allowed_hosts = [\"node.example.net\"]"),
    ("interfaces", "interfaces = [\"eth0\"]"),
    ("rate_limit_exempt", "rate_limit_exempt = [\"192.0.2.0/24\"]"),
    ("prefixes", "prefixes = [\"192.175.48.0/24\"]"),
    ("vlans", "vlans = [7]"),
    ("servers", "servers = [\"192.0.2.54\"]"),
    ("allow", "allow = [\"192.0.2.0/24\"]"),
];

/// The message for an operator from serde's. Ours already say what to do. Of keys that it does not know,
/// serde says "unknown field `shard`, expected one of `listen`, `shards`"; of absent ones, "missing field
/// `name`".
fn explain(message: &str, key: Option<&str>, example: &'static str) -> String {
    if message.starts_with("unknown field") {
        let unknown = key.unwrap_or_default();
        let known = known(message);
        return match nearest(unknown, &known) {
            Some(word) => format!("unknown key `{unknown}`; did you mean `{word}`?"),
            None => format!("unknown key `{unknown}`; known keys: {}", known.join(", ")),
        };
    }
    let key = missing(message).or_else(|| key.filter(|_| message.starts_with("invalid type")));
    let message = message.replace("a sequence", "a list").replace("sequence", "list");
    let line = key.and_then(|key| {
        LISTS.iter().find(|(name, _)| *name == key).map(|(_, line)| *line).or_else(|| shown(key, example))
    });
    line.map_or_else(|| message.clone(), |line| format!("{message}; write it as in `{line}`"))
}

/// The key that is missing, if that is what serde's message says.
fn missing(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

/// The known keys, which end serde's message about an unknown one, each in backquotes.
fn known(message: &str) -> Vec<&str> {
    let (_, list) = message.rsplit_once(", expected ").unwrap_or_default();
    list.split('`').skip(1).step_by(2).collect()
}

/// The word that was probably meant: one letter may be wrong in a short one, one in four in a long one.
fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().map(|&word| (edits(unknown, word), word));
    let (distance, word) = distances.min()?;
    (distance <= 1 + unknown.len() / 4).then_some(word)
}

/// The line of an example file that shows `key`.
fn shown(key: &str, example: &'static str) -> Option<&'static str> {
    let mut lines = example.lines().map(|line| line.trim_start_matches("# "));
    let shows = |line: &&str| {
        *line == format!("[[{key}]]") || line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" = "))
    };
    lines.find(shows)
}

/// The sections that may be repeated.
#[cfg(test)]
pub(super) const BLOCKS: [&str; 6] = ["zone", "pop", "map", "pool", "upstream", "route"];

/// The keys that `section` knows; with "", the sections.
#[cfg(test)]
pub(super) fn known_keys(section: &str) -> Vec<String> {
    let text = match section {
        "" => "\"?\" = 0".to_owned(),
        block if BLOCKS.contains(&block) => format!("[[{block}]]\n\"?\" = 0"),
        _ => format!("[{section}]\n\"?\" = 0"),
    };
    let error = toml::from_str::<Spec>(&text).unwrap_err();
    known(error.message()).into_iter().map(str::to_owned).collect()
}
