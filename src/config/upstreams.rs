//! Who is asked for what this node does not answer itself, and which queries go there: `[[upstream]]` and
//! `[[route]]`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers;
use super::written::{Count, Given, Label, Line, Mistake, Names, Origin, Time, Written, choice};
use crate::limits::{
    ROUTES_MAX, UPSTREAM_EXPLORE, UPSTREAM_EXPLORE_MAX, UPSTREAM_SERVERS_MAX, UPSTREAM_TIMEOUT,
    UPSTREAM_TIMEOUT_CEILING_MS, UPSTREAM_TIMEOUT_FLOOR_MS, UPSTREAM_TRIES, UPSTREAM_TRIES_MAX,
    UPSTREAMS_MAX,
};
use crate::policy::upstream::{Choose, Ecs, Over, Roots, Upstream};
use crate::policy::{Fallback, Route};

/// The name of the upstream that the resolver is.
pub(super) const RESOLVER: &str = "resolver";

/// The port of DNS, and that of DNS over TLS (RFC 7858).
const DNS_PORT: u16 = 53;
const TLS_PORT: u16 = 853;

/// A server: its address, and the port where another is meant than the usual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Server {
    ip: IpAddr,
    port: Option<u16>,
}

impl Server {
    /// With the usual port.
    pub(super) fn at(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, self.port.unwrap_or(port))
    }
}

impl Written for Server {
    const EXPECTED: &'static str = "an address such as \"192.0.2.54\" or \"[2001:db8::54]:53\"";

    fn read(text: &str) -> Result<Self, String> {
        let bare = text.parse::<IpAddr>().ok().map(|ip| Self { ip, port: None });
        let whole = || text.parse::<SocketAddr>().ok();
        let whole = || whole().map(|at| Self { ip: at.ip(), port: Some(at.port()) });
        let server = bare.or_else(whole).ok_or_else(|| format!("`{text}` is not {}", Self::EXPECTED))?;
        match server.ip {
            _ if server.port == Some(0) => Err(format!("`{text}` has port 0; give a port from 1 to 65535")),
            ip if ip.is_unspecified() || ip.is_multicast() => {
                Err(format!("`{text}` is not the address of a server; give {}", Self::EXPECTED))
            }
            _ => Ok(server),
        }
    }
}

/// How servers are asked, without what belongs to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Transport {
    #[default]
    Udp,
    Tcp,
    Tls,
}

impl Written for Transport {
    const EXPECTED: &'static str = "\"udp\", \"tcp\" or \"tls\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &[("udp", Self::Udp), ("tcp", Self::Tcp), ("tls", Self::Tls)])
    }
}

const CHOICES: [(&str, Choose); 3] =
    [("fastest", Choose::Fastest), ("order", Choose::Order), ("hash", Choose::Hash)];

impl Written for Choose {
    const EXPECTED: &'static str = "\"fastest\", \"order\" or \"hash\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &CHOICES)
    }
}

impl Written for Ecs {
    const EXPECTED: &'static str = "\"strip\", \"pass\" or prefix lengths such as \"24/56\"";

    fn read(text: &str) -> Result<Self, String> {
        let lengths = || {
            let (ipv4, ipv6) = text.split_once('/')?;
            let (ipv4, ipv6) = (ipv4.parse().ok()?, ipv6.parse().ok()?);
            (ipv4 <= 32 && ipv6 <= 128).then_some(Self::Set { ipv4, ipv6 })
        };
        match text {
            "strip" => Ok(Self::Strip),
            "pass" => Ok(Self::Pass),
            _ => lengths().ok_or_else(|| format!("`{text}` is not a valid value; give {}", Self::EXPECTED)),
        }
    }
}

const FALLBACKS: [(&str, Fallback); 6] = [
    ("fail", Fallback::Fail),
    ("refuse", Fallback::Refuse),
    ("native", Fallback::Native),
    ("drop", Fallback::Drop),
    ("next", Fallback::Next),
    ("stale", Fallback::Stale),
];

/// A fallback as it is written.
#[must_use]
pub fn fallback_name(fallback: Fallback) -> &'static str {
    FALLBACKS.iter().find(|(_, known)| *known == fallback).map_or("", |(name, _)| name)
}

/// An upstream as it is in effect, with its keys.
#[must_use]
pub fn as_json(upstream: &Upstream) -> Value {
    let (over, tls_name) = match &upstream.over {
        Over::Udp => ("udp", None),
        Over::Tcp => ("tcp", None),
        Over::Tls { name, .. } => ("tls", Some(name)),
    };
    let choose = CHOICES.iter().find(|(_, known)| *known == upstream.choose).map(|(name, _)| name);
    let ecs = match upstream.ecs {
        Ecs::Strip => "strip".to_owned(),
        Ecs::Pass => "pass".to_owned(),
        Ecs::Set { ipv4, ipv6 } => format!("{ipv4}/{ipv6}"),
    };
    json!({
        "name": upstream.name,
        "servers": upstream.servers,
        "over": over,
        "tls_name": tls_name,
        "choose": choose,
        "timeout_ms": upstream.timeout.as_secs_f64() * 1000.0,
        "tries": upstream.tries,
        "explore": upstream.explore,
        "case_randomization": upstream.case_randomization,
        "cookies": upstream.cookies,
        "ecs": ecs,
    })
}

impl Written for Fallback {
    const EXPECTED: &'static str = "\"fail\", \"refuse\", \"native\", \"drop\", \"next\" or \"stale\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &FALLBACKS)
    }
}

/// A share of queries.
#[derive(Clone, Copy, Debug)]
struct Share(f32);

impl Written for Share {
    const EXPECTED: &'static str = "a share such as 0.02";
    const INTEGER: bool = true;
    const FRACTION: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        let share = text.parse().ok().filter(|share| (0.0..=UPSTREAM_EXPLORE_MAX).contains(share));
        share.map(Self).ok_or_else(|| format!("`{text}` is out of range; give 0 to {UPSTREAM_EXPLORE_MAX}"))
    }
}

//------------ Upstreams ---

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a [[upstream]] block")]
pub(super) struct UpstreamSpec {
    name: Given<Label>,
    servers: Vec<Given<Server>>,
    over: Option<Given<Transport>>,
    tls_name: Option<Given<Line>>,
    tls_ca: Option<PathBuf>,
    choose: Option<Given<Choose>>,
    timeout: Option<Given<Time<UPSTREAM_TIMEOUT_FLOOR_MS, UPSTREAM_TIMEOUT_CEILING_MS>>>,
    tries: Option<Given<Count<1, UPSTREAM_TRIES_MAX>>>,
    explore: Option<Given<Share>>,
    #[serde(default = "yes")]
    case_randomization: bool,
    #[serde(default = "yes")]
    cookies: bool,
    ecs: Option<Given<Ecs>>,
}

const fn yes() -> bool {
    true
}

impl UpstreamSpec {
    fn upstream(self, around: &Around<'_>, mistakes: &mut Vec<Mistake>) -> Upstream {
        let Around { dir, listen, read_whole } = *around;
        let Given { value: Label(name), origin } = self.name;
        let mut mistake = |origin: Origin, message: String| mistakes.push(Mistake::new(origin, message));
        let transport = self.over.as_ref().map(|over| over.value).unwrap_or_default();
        let over = match (transport, self.tls_name) {
            (Transport::Tls, None) if !read_whole => Over::Udp,
            (Transport::Tls, None) => {
                let message = format!(
                    "upstream `{name}` is asked over TLS, and nothing says whose certificate it must have; \
                     give `tls_name`"
                );
                mistake(self.over.as_ref().map_or(origin, |over| over.origin), message);
                Over::Udp
            }
            (Transport::Tls, Some(name)) => {
                let ca = self.tls_ca.map(|path| dir.join(path).into_os_string().into_string());
                let ca = ca.transpose().unwrap_or_else(|path| {
                    let message = format!("the path of `tls_ca`, {}, is not UTF-8", path.display());
                    mistake(name.origin, message);
                    None
                });
                Over::Tls { name: name.value.0, ca, roots: Roots::default() }
            }
            (_, Some(given)) => {
                mistake(given.origin, "`tls_name` is for `over = \"tls\"`; remove one of the two".to_owned());
                Over::Udp
            }
            (_, None) if self.tls_ca.is_some() => {
                mistake(origin, format!("`tls_ca` of upstream `{name}` is for `over = \"tls\"`"));
                Over::Udp
            }
            (Transport::Tcp, None) => Over::Tcp,
            (Transport::Udp, None) => Over::Udp,
        };
        if name == RESOLVER {
            mistake(origin, format!("`{RESOLVER}` is what [resolver] is called; choose another name"));
        }
        if self.servers.is_empty() && read_whole {
            mistake(origin, format!("upstream `{name}` has no servers; list one in `servers`"));
        }
        if let Some(one) = self.servers.get(UPSTREAM_SERVERS_MAX) {
            mistake(one.origin, format!("more than {UPSTREAM_SERVERS_MAX} servers; remove some"));
        }
        let port = if transport == Transport::Tls { TLS_PORT } else { DNS_PORT };
        let mut servers: Vec<SocketAddr> = Vec::new();
        for Given { value, origin } in self.servers.into_iter().take(UPSTREAM_SERVERS_MAX) {
            let at = value.at(port);
            if servers.contains(&at) {
                mistake(origin, format!("{at} is listed twice; remove one"));
            }
            if listen.contains(&at) {
                mistake(origin, format!("{at} is this node itself, which would ask itself; remove it"));
            }
            servers.push(at);
        }
        Upstream {
            name,
            servers,
            over,
            choose: self.choose.map(|choose| choose.value).unwrap_or_default(),
            timeout: self.timeout.map_or(UPSTREAM_TIMEOUT, |timeout| timeout.value.0),
            tries: self.tries.map_or(UPSTREAM_TRIES, |tries| tries.value.0) as u8,
            explore: self.explore.map_or(UPSTREAM_EXPLORE, |explore| explore.value.0),
            case_randomization: self.case_randomization,
            cookies: self.cookies,
            ecs: self.ecs.map(|ecs| ecs.value).unwrap_or_default(),
        }
    }
}

/// What is around upstreams.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// Where paths begin.
    pub(super) dir: &'a Path,
    /// Where the node itself listens.
    pub(super) listen: &'a [SocketAddr],
    /// Nothing was wrong in the file by itself. Else what seems to be absent may be what was mistaken.
    pub(super) read_whole: bool,
}

/// All upstreams.
pub(super) fn upstreams(
    specs: Vec<UpstreamSpec>,
    around: &Around<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Upstream> {
    if let Some(one) = specs.get(UPSTREAMS_MAX) {
        mistakes.push(Mistake::new(one.name.origin, format!("more than {UPSTREAMS_MAX} upstreams")));
    }
    let mut names = Names::new("upstream");
    let mut all = Vec::new();
    for spec in specs.into_iter().take(UPSTREAMS_MAX) {
        names.take(&spec.name, mistakes);
        all.push(spec.upstream(around, mistakes));
    }
    all
}

//------------ Routes ---

/// A text in the language of rules, of any number of lines. What is wrong with it is found where rules are
/// read.
#[derive(Clone, Debug)]
pub(super) struct Statement(pub(super) String);

impl Written for Statement {
    const EXPECTED: &'static str = "a quoted string";

    fn read(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a [[route]] block")]
pub(super) struct RouteSpec {
    name: Given<Label>,
    when: Given<Statement>,
    then: Given<Statement>,
    #[serde(default)]
    allow: Vec<Given<IpNet>>,
    fallback_action: Option<Given<Fallback>>,
}

/// All routes, with their places in the file.
pub(super) fn routes(
    specs: Vec<RouteSpec>,
    place: impl Fn(Origin) -> String,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Route> {
    if let Some(one) = specs.get(ROUTES_MAX) {
        let message = format!("more than {ROUTES_MAX} routes; put some together");
        mistakes.push(Mistake::new(one.name.origin, message));
    }
    let mut names = Names::new("route");
    let mut all = Vec::new();
    for RouteSpec { name, when, then, allow, fallback_action } in specs.into_iter().take(ROUTES_MAX) {
        names.take(&name, mistakes);
        all.push(Route {
            place: place(when.origin),
            name: name.value.0,
            when: when.value.0,
            then: then.value.0,
            allow: answers::networks("allow", &allow, mistakes),
            fallback: fallback_action.map(|fallback| fallback.value).unwrap_or_default(),
        });
    }
    all
}
