//! Everything that a shard reads, in one immutable value.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use super::job::Way;
use super::limiter::{self, RateLimit};
use super::networks::Networks;
use crate::answer::{Answers, Extent};
use crate::dns::consts::{POINTER, UDP_LEN_MAX, class, rtype};
use crate::dns::cookie::Secrets;
use crate::dns::edns::{COOKIE_OPTION_LEN, OPT_LEN, SUBNET_OPTION_LEN_MAX};
use crate::dns::name::eq_ignore_case;
use crate::limits::{
    EDNS_UDP_SIZE_MAX, EDNS_UDP_SIZE_MIN, NSID_LEN_MAX, POOL_SERIES_MAX, POP_SERIES_MAX, TEXT_LEN_MAX,
};
use crate::policy::{Policy, Series};
use crate::problem::Problem;
use crate::stats::client::Tailored;
use crate::stats::labels::Names;
use crate::tailor::{Choice, Tailor};
use crate::zone::{SpecialKind, ZoneSet};

/// What a dynamic update (RFC 2136) gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpdatePolicy {
    /// REFUSED: the requestor stops there (RFC 2136, section 4.5).
    #[default]
    Refused,
    /// NOTIMP: the requestor tries the next server (RFC 2136, section 4.6).
    Notimp,
    /// Nothing.
    Drop,
}

/// DNS cookies (RFC 7873).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookies {
    /// What makes them ours.
    pub secrets: Secrets,
    /// They are checked and counted, and nothing else comes of it.
    pub dry_run: bool,
}

/// The applications of a snapshot, in the order in which
/// [`Action::App`](crate::policy::Action::App) numbers them. Nobody here looks into them: who runs them knows
/// the type.
#[derive(Clone, Debug, Default)]
pub struct Apps(Option<Arc<dyn Any + Send + Sync>>);

impl Apps {
    /// These.
    #[must_use]
    pub fn new<T: Any + Send + Sync>(apps: Arc<T>) -> Self {
        Self(Some(apps))
    }

    /// What they are, if they are of this type.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(self.0.as_ref()?).downcast().ok()
    }
}

/// Names that say who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityZone {
    /// TTL of their answers, in seconds.
    pub ttl: u32,
    /// Whose PoP they tell, if one's: a pool that has every PoP and no name.
    pub pool: Option<u16>,
}

/// What answers depend on besides the zones.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The largest UDP reply, and what our OPT says: 512 to 1232 bytes.
    pub edns_udp_size: u16,
    /// The payload of NSID (RFC 5001): at most 128 bytes.
    pub nsid: Vec<u8>,
    /// What id.server and hostname.bind say: 1 to 128 bytes.
    pub node: String,
    /// What version.bind and version.server say; `None` refuses them.
    pub version: Option<String>,
    /// What updates get.
    pub update: UpdatePolicy,
    /// Cookies; with `None` that option is ignored.
    pub cookies: Option<Cookies>,
    /// The rate limit of each network, if there is one.
    pub rate_limit: Option<limiter::Settings>,
    /// Networks that get nothing.
    pub drop: Vec<IpNet>,
    /// The addresses that we listen on: a packet that claims to come from one of them is dropped.
    pub listeners: Vec<SocketAddr>,
    /// Rules and routes.
    pub policy: Policy,
    /// What the applications that rules speak of are, for those who run them.
    pub apps: Apps,
    /// Which PoP a client gets. With it, even if there is no pool, client subnets are read and sent back.
    pub tailor: Option<Arc<Tailor>>,
    /// What the names that say who asks get.
    pub identity_zone: Option<IdentityZone>,
    /// A query below the name of beacons is answered over TCP alone: that proves who asks.
    pub beacons_over_tcp: bool,
    /// The counters that applications have of their own, in the order of those: the application, and what it
    /// calls the counter.
    pub metrics: Vec<(String, String)>,
    /// The zones that are counted under a name of their own already, in the order of their counters: they
    /// keep their places.
    pub series: Vec<String>,
    /// The pools that are counted under a name of their own already: they keep their places, too.
    pub pools: Vec<String>,
    /// And the PoPs.
    pub pops: Vec<String>,
}

/// What shards serve from.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) answers: Arc<Answers>,
    pub(super) edns_udp_size: u16,
    pub(super) nsid: Box<[u8]>,
    pub(super) chaos: Chaos,
    pub(super) update: UpdatePolicy,
    pub(super) cookies: Option<Cookies>,
    pub(super) policy: Policy,
    apps: Apps,
    pub(super) tailor: Option<Arc<Tailor>>,
    pub(super) identity_zone: Option<IdentityZone>,
    pub(super) beacons_over_tcp: bool,
    tailored: TailoredLabels,
    /// The number of its publication.
    pub(super) serial: u32,
    rate_limit: Option<RateLimit>,
    /// Networks that get nothing, if there are any.
    drop: Option<Networks>,
    listeners: Vec<SocketAddr>,
    /// The ports of the listeners: of each the bit that its last six bits name.
    ports: u64,
    names: Names,
}

impl Snapshot {
    /// Compiles zones and settings.
    ///
    /// # Errors
    /// Answers that are too long all together; else settings out of their range, and an identity whose
    /// largest answer would not fit a datagram without EDNS: "should fit within a 512-octet DNS/UDP datagram"
    /// (RFC 7534, section 3.5). OPT, NSID, client subnet and cookie count, so TC is never set.
    pub fn new(zones: &ZoneSet, settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut series = settings.series.clone();
        let (answers, extents) = Answers::compile(zones, &mut series).map_err(|problem| vec![problem])?;
        let with_cookie = settings.cookies.as_ref().is_some_and(|cookies| !cookies.dry_run);
        let cookie_len = if with_cookie { COOKIE_OPTION_LEN } else { 0 };
        let subnet_len = if settings.tailor.is_some() { SUBNET_OPTION_LEN_MAX } else { 0 };
        let opt_len = OPT_LEN + 4 + settings.nsid.len() + subnet_len + cookie_len;
        let mut problems = settings.problems();
        problems.extend(extents.iter().filter_map(|extent| too_long(extent, opt_len)));
        if !problems.is_empty() {
            return Err(problems);
        }
        let Series { rules, servers, apps } = settings.policy.series();
        let (mut pools, mut pops) = (settings.pools, settings.pops);
        let tailored = TailoredLabels::new(settings.tailor.as_deref(), &mut pools, &mut pops);
        let has_beacons = zones.specials.iter().any(|special| special.kind == SpecialKind::Beacon);
        let names = Names {
            zones: series,
            addresses: settings.listeners.iter().map(SocketAddr::to_string).collect(),
            rules: rules.clone(),
            servers: servers.clone(),
            apps: apps.clone(),
            metrics: settings.metrics,
            pools,
            pops,
            have_clients: settings.tailor.is_some() || has_beacons,
        };
        Ok(Self {
            answers: Arc::new(answers),
            edns_udp_size: settings.edns_udp_size,
            nsid: settings.nsid.into(),
            chaos: Chaos::new(&settings.node, settings.version.as_deref()),
            update: settings.update,
            cookies: settings.cookies,
            policy: settings.policy,
            apps: settings.apps,
            tailor: settings.tailor,
            identity_zone: settings.identity_zone,
            beacons_over_tcp: settings.beacons_over_tcp,
            tailored,
            serial: 0,
            rate_limit: settings.rate_limit.as_ref().map(RateLimit::new),
            drop: Some(Networks::new(&settings.drop)).filter(|drop| !drop.is_empty()),
            names,
            ports: settings.listeners.iter().fold(0, |ports, own| ports | port_bit(own.port())),
            listeners: settings.listeners,
        })
    }

    /// The applications that rules speak of.
    #[must_use]
    pub fn apps(&self) -> &Apps {
        &self.apps
    }

    /// Which PoP a client gets, where answers depend on that.
    #[must_use]
    pub fn tailor(&self) -> Option<&Arc<Tailor>> {
        self.tailor.as_ref()
    }

    /// What the names that say who asks get.
    #[must_use]
    pub fn identity_zone(&self) -> Option<&IdentityZone> {
        self.identity_zone.as_ref()
    }

    /// The same with other maps.
    #[must_use]
    pub fn with_tailor(&self, tailor: Arc<Tailor>) -> Self {
        Self { tailor: Some(tailor), ..self.clone() }
    }

    /// How a choice of a pool is counted.
    pub(super) fn tailored(&self, pool: u16, choice: &Choice) -> Tailored {
        Tailored {
            pool: self.tailored.pools.get(usize::from(pool)).copied().unwrap_or(POOL_SERIES_MAX as u8),
            pop: self.tailored.pops.get(usize::from(choice.pop)).copied().unwrap_or(POP_SERIES_MAX as u8),
            layer: choice.layer as u8,
            is_all_down: choice.is_all_down,
            place: pool,
        }
    }

    /// What zones and addresses are called where they are counted.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Rules and routes.
    #[inline]
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How the rule of a way is counted: a value of [`RULE`](crate::stats::labels::RULE); and how many jobs
    /// it may have at most.
    #[must_use]
    pub fn route_share(&self, way: Way) -> (usize, u32) {
        let rule = self.policy.rules().get(usize::from(way.rule));
        rule.map_or((0, u32::MAX), |rule| (usize::from(rule.label), rule.share.unwrap_or(u32::MAX)))
    }

    /// Which of the snapshots that this process has published.
    #[inline]
    #[must_use]
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// What is answered.
    #[must_use]
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// The largest UDP reply, in bytes, and what our OPT says.
    #[must_use]
    pub fn edns_udp_size(&self) -> u16 {
        self.edns_udp_size
    }

    /// The rate limit of each network, if there is one.
    #[inline]
    #[must_use]
    pub fn rate_limit(&self) -> Option<&RateLimit> {
        self.rate_limit.as_ref()
    }

    /// Whether nothing from this address gets an answer.
    #[inline]
    #[must_use]
    pub fn drops(&self, address: IpAddr) -> bool {
        self.drop.as_ref().is_some_and(|drop| drop.contains(address))
    }

    /// The networks that get nothing, if there are any.
    #[inline]
    #[must_use]
    pub fn dropped_networks(&self) -> Option<&Networks> {
        self.drop.as_ref()
    }

    /// Whether cookies are looked at, if only to count them.
    #[must_use]
    pub fn looks_at_cookies(&self) -> bool {
        self.cookies.is_some()
    }

    /// Whether a query with a valid cookie is above the rate limit.
    #[must_use]
    pub fn has_cookies(&self) -> bool {
        self.cookies.as_ref().is_some_and(|cookies| !cookies.dry_run)
    }

    /// Whether some listener may have this port: few have, often one, and clients rarely use it.
    #[inline]
    pub(super) fn may_listen_on(&self, port: u16) -> bool {
        self.ports & port_bit(port) != 0
    }

    /// Whether `peer` is one of our own listeners.
    #[inline]
    pub(super) fn is_listener(&self, peer: &SocketAddr) -> bool {
        self.may_listen_on(peer.port())
            && self.listeners.iter().any(|own| own.port() == peer.port() && own.ip() == peer.ip())
    }
}

/// How pools and PoPs are counted, by their places in the configuration.
#[derive(Clone, Debug, Default)]
struct TailoredLabels {
    pools: Vec<u8>,
    pops: Vec<u8>,
}

impl TailoredLabels {
    /// Those that have a counter already keep it; new ones are added to them as long as there is room.
    fn new(tailor: Option<&Tailor>, pools: &mut Vec<String>, pops: &mut Vec<String>) -> Self {
        let Some(tailor) = tailor else { return Self::default() };
        let place = |counted: &mut Vec<String>, max: usize, name: &str| {
            let known = counted.iter().position(|known| known == name);
            known.unwrap_or_else(|| {
                if counted.len() == max {
                    return max;
                }
                counted.push(name.to_owned());
                counted.len() - 1
            }) as u8
        };
        Self {
            pools: tailor.pool_names().map(|name| place(pools, POOL_SERIES_MAX, name)).collect(),
            pops: tailor.pop_names().map(|name| place(pops, POP_SERIES_MAX, name)).collect(),
        }
    }
}

impl Settings {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(EDNS_UDP_SIZE_MIN..=EDNS_UDP_SIZE_MAX).contains(&usize::from(self.edns_udp_size)) {
            problems.push(problem(format!("edns_udp_size is {}, not 512 to 1232", self.edns_udp_size)));
        }
        if self.nsid.len() > NSID_LEN_MAX {
            problems.push(problem(format!(
                "nsid has {} bytes, over the limit of {NSID_LEN_MAX}",
                self.nsid.len()
            )));
        }
        if self.node.is_empty() || self.node.len() > NSID_LEN_MAX {
            problems.push(problem(format!(
                "the node's name has {} bytes, not 1 to {NSID_LEN_MAX}",
                self.node.len()
            )));
        }
        if self.version.as_ref().is_some_and(|version| version.len() > TEXT_LEN_MAX) {
            problems.push(problem(format!("version_txt is over the {TEXT_LEN_MAX} bytes of a TXT string")));
        }
        problems
    }
}

fn port_bit(port: u16) -> u64 {
    1 << (port % 64)
}

/// What is wrong with an identity whose longest answer does not fit a datagram with OPT.
fn too_long(extent: &Extent, opt_len: usize) -> Option<Problem> {
    let len = extent.len + opt_len;
    let over = len.checked_sub(UDP_LEN_MAX + 1)? + 1;
    Some(problem(format!(
        "the identity is too long: the largest answer of {} would have {len} bytes, {over} too many \
         for a datagram (RFC 7534, section 3.5); shorten extra_txt, facility, location, nsid or the \
         SOA's names",
        extent.apex
    )))
}

fn problem(message: String) -> Problem {
    Problem::plain(message)
}

/// The answers in class CH (RFC 4892): one TXT record, TTL 0.
#[derive(Clone, Debug)]
pub(super) struct Chaos {
    node: Vec<u8>,
    version: Option<Vec<u8>>,
}

impl Chaos {
    fn new(node: &str, version: Option<&str>) -> Self {
        Self { node: text_record(node), version: version.map(text_record) }
    }

    /// The name of the node.
    pub(super) fn node(&self) -> &[u8] {
        &self.node[TEXT_AT..]
    }

    /// The record for a name in wire form, if it has one.
    pub(super) fn record(&self, name: &[u8]) -> Option<&[u8]> {
        let is = |known: &[u8]| eq_ignore_case(name, known);
        if is(b"\x02id\x06server\0") || is(b"\x08hostname\x04bind\0") {
            Some(&self.node)
        } else if is(b"\x07version\x04bind\0") || is(b"\x07version\x06server\0") {
            self.version.as_deref()
        } else {
            None
        }
    }
}

/// Where the text of a [`text_record`] stands: after owner, type, class, TTL and two lengths.
const TEXT_AT: usize = 13;

/// A TXT record of class CH whose owner is the question's name, at offset 12.
fn text_record(text: &str) -> Vec<u8> {
    let mut record = Vec::new();
    record.extend((POINTER | 12).to_be_bytes());
    record.extend(rtype::TXT.to_be_bytes());
    record.extend(class::CH.to_be_bytes());
    record.extend([0; 4]);
    record.extend((text.len() as u16 + 1).to_be_bytes());
    record.push(text.len() as u8);
    record.extend(text.bytes());
    record
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::dns::name::Name;
    use crate::limits::ZONE_SERIES_MAX;
    use crate::zone::{self, Identity, Record, Service, Special, Zone, ZoneOptions};

    pub(crate) fn snapshot(
        change: impl FnOnce(&mut Identity, &mut Settings),
    ) -> Result<Snapshot, Vec<String>> {
        let mut identity = Identity { node: "node1.example".to_owned(), ..Identity::default() };
        let mut settings = Settings {
            edns_udp_size: 1232,
            nsid: b"node1.example".to_vec(),
            node: identity.node.clone(),
            version: None,
            update: UpdatePolicy::Refused,
            cookies: None,
            rate_limit: None,
            drop: Vec::new(),
            policy: Policy::default(),
            apps: Apps::default(),
            tailor: None,
            identity_zone: None,
            beacons_over_tcp: false,
            metrics: Vec::new(),
            listeners: Vec::new(),
            series: Vec::new(),
            pools: Vec::new(),
            pops: Vec::new(),
        };
        change(&mut identity, &mut settings);
        let options =
            ZoneOptions { direct: true, dname: true, special_use: true, identity, ..ZoneOptions::default() };
        let zones = zone::load(&options).unwrap();
        let messages = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect();
        Snapshot::new(&zones, settings).map_err(messages)
    }

    /// A node whose zone t says who asks.
    pub(crate) fn identity(change: impl FnOnce(&mut Settings)) -> Snapshot {
        let name = Name::from_wire(b"\x01t\0").unwrap();
        let record =
            |rtype, rdata: &[u8]| Record { owner: name.clone(), rtype, ttl: 60, rdata: rdata.to_vec() };
        let records = vec![
            record(rtype::SOA, &[b"\x01t\0\x01t\0", &[0; 20][..]].concat()),
            record(rtype::NS, b"\x01t\0"),
        ];
        let zones = vec![Zone::new(&name, Service::Configured, &records)];
        let specials = vec![Special { name, is_wildcard: false, kind: SpecialKind::Identity }];
        let mut settings = None;
        snapshot(|_, given| {
            change(given);
            settings = Some(given.clone());
        })
        .unwrap();
        Snapshot::new(&ZoneSet { zones, specials, ..ZoneSet::default() }, settings.unwrap()).unwrap()
    }

    /// A snapshot whose NSID is `name`.
    pub(in super::super) fn named(name: &str) -> Snapshot {
        snapshot(|_, settings| settings.nsid = name.into()).unwrap()
    }

    #[test]
    fn zones_that_are_counted_keep_their_places() {
        let with = |series: &[&str]| {
            let series = series.iter().map(|&name| name.to_owned()).collect();
            snapshot(|_, settings| settings.series = series).unwrap().names().zones.clone()
        };
        let fresh = with(&[]);
        assert!(fresh.len() > 20 && fresh[0] != "gone.example");
        let kept = with(&["gone.example", &fresh[5]]);
        assert_eq!(kept[..2], ["gone.example".to_owned(), fresh[5].clone()]);
        assert_eq!(kept.len(), fresh.len() + 1, "the others come after them, each once");
        let full: Vec<String> = (0..ZONE_SERIES_MAX).map(|n| format!("z{n}.example")).collect();
        assert_eq!(with(&full.iter().map(String::as_str).collect::<Vec<_>>()), full);
    }

    #[test]
    fn an_identity_that_passes_512_bytes_is_refused_and_by_how_much() {
        // hostname.as112.arpa has the longer name: header, question, two TXT records, OPT with NSID, the
        // texts.
        let fixed = 12 + (21 + 4) + (12 + 14) + (12 + 48) + (11 + 4 + 13);
        let texts = |lens: &[usize]| {
            let texts: Vec<String> = lens.iter().map(|len| "x".repeat(*len)).collect();
            snapshot(|identity, _| identity.extra_txt = texts)
        };
        let left = 512 - fixed - 2 * 13;
        assert!(texts(&[200, left - 200]).is_ok());
        let messages = texts(&[200, left - 199]).unwrap_err();
        assert_eq!(messages.len(), 1, "{messages:?}");
        let wanted = "the largest answer of hostname.as112.arpa. would have 513 bytes, 1 too many";
        assert!(messages[0].contains(wanted), "{messages:?}");
    }

    #[test]
    fn names_in_the_soa_and_the_nsid_count_too() {
        let long = |nsid_len| {
            snapshot(|identity, settings| {
                identity.hostname_soa_mname = Some(["x".repeat(50), "y".repeat(50)].join("."));
                settings.nsid = vec![b'n'; nsid_len];
            })
        };
        assert!(long(13).is_ok());
        assert_eq!(long(128).unwrap_err().len(), 2, "of both hostname zones");
    }

    #[test]
    fn settings_out_of_range_are_told_each() {
        let messages = snapshot(|_, settings| {
            settings.edns_udp_size = 511;
            settings.nsid = vec![0; 129];
            settings.node.clear();
            settings.version = Some("v".repeat(256));
        });
        let messages = messages.unwrap_err();
        for fragment in ["edns_udp_size is 511", "nsid has 129", "name has 0 bytes", "over the 255 bytes"] {
            assert!(messages.iter().any(|message| message.contains(fragment)), "{fragment}: {messages:?}");
        }
    }
}
