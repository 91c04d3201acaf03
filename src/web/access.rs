//! Who may look. The public listener has nothing that the public may not see; this is about the operator's.
//!
//! Two kinds of strangers come from this host. A browser here may show a page of somebody whose name has been
//! made to lead to 127.0.0.1 (DNS rebinding): its requests have that name in `Host`. And a proxy here passes
//! on what the world asks: what it adds or changes gives it away, as far as it does. One that changes
//! nothing and keeps quiet cannot be told from a client, which is why a proxy is to be pointed at the public
//! listener.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Request, StatusCode, Version};

use super::node::{Answer, plain};
use crate::config::doors::NodeView;
use crate::report::page::operator;

/// The path of the numbers for Prometheus.
pub(super) const METRICS: &str = "/metrics";
/// That of what a client gets, explained.
pub(super) const EXPLAIN: &str = "/explain";
/// That of the numbers as JSON.
pub(super) const STATS: &str = "/stats.json";

/// Who may look at what on the operator's listener.
#[derive(Clone, Debug)]
pub struct Access {
    /// Who may see the operator's view.
    pub node_view: NodeView,
    /// Names by which the listener is reached, besides localhost and addresses.
    pub allowed_hosts: Vec<String>,
}

/// Headers that browsers and the usual programs on a command line send, besides those that begin with `sec-`,
/// which no script can set. A proxy adds others.
const OF_CLIENTS: [&str; 19] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "cookie",
    "dnt",
    "host",
    "if-modified-since",
    "if-none-match",
    "keep-alive",
    "origin",
    "pragma",
    "priority",
    "referer",
    "te",
    "upgrade-insecure-requests",
    "user-agent",
];

impl Access {
    /// Why a client may not have what it asks for, if so. The listener is at `local`, the client at `peer`.
    pub(super) fn refusal<B>(&self, request: &Request<B>, local: SocketAddr, peer: IpAddr) -> Option<Answer> {
        match request.uri().path() {
            operator::PATH | EXPLAIN => self.refusal_of(true, request, local, peer),
            METRICS | STATS => self.refusal_of(false, request, local, peer),
            _ => None,
        }
    }

    /// Whether a client may see the operator's view.
    pub(super) fn shows_view<B>(&self, request: &Request<B>, local: SocketAddr, peer: IpAddr) -> bool {
        self.refusal_of(true, request, local, peer).is_none()
    }

    fn refusal_of<B>(
        &self,
        is_view: bool,
        request: &Request<B>,
        local: SocketAddr,
        peer: IpAddr,
    ) -> Option<Answer> {
        let for_this_host = is_view && self.node_view == NodeView::Loopback;
        if for_this_host && !(peer.to_canonical().is_loopback() && is_direct(request)) {
            return Some(plain(
                StatusCode::FORBIDDEN,
                "The operator's view answers clients on this host only, and not through a proxy, unless \
                 [http] node_view opens it.\n",
            ));
        }
        let is_local = local.ip().to_canonical().is_loopback();
        ((for_this_host || is_local) && !self.knows_host(request)).then(|| {
            plain(
                StatusCode::MISDIRECTED_REQUEST,
                "This name is not known here: use localhost or the address, or list the name in [http] \
                 allowed_hosts.\n",
            )
        })
    }

    /// Whether the name that the client has asked for is one that nobody else can have made to lead here. A
    /// request without any is not a browser's.
    fn knows_host<B>(&self, request: &Request<B>) -> bool {
        let mut hosts = request.headers().get_all(HOST).iter();
        let (first, second) = (hosts.next(), hosts.next());
        let host = match (request.uri().host(), first, second) {
            // It goes before the header (RFC 9112, section 3.2.2).
            (Some(host), _, None) => host,
            (None, Some(host), None) => host.to_str().map_or("?", without_port),
            (None, None, None) => return true,
            (_, _, Some(_)) => return false,
        };
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_name = |name: &str| name.eq_ignore_ascii_case(host.strip_suffix('.').unwrap_or(host));
        address.parse::<IpAddr>().is_ok()
            || is_name("localhost")
            || self.allowed_hosts.iter().any(|name| is_name(name))
    }
}

/// Without the port after it; the colons of an address in brackets stay.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// Whether it looks as if no proxy had passed it on. By default nginx speaks HTTP/1.0 or closes the
/// connection; the others add a header.
fn is_direct<B>(request: &Request<B>) -> bool {
    let is_known = |name: &str| OF_CLIENTS.contains(&name) || name.starts_with("sec-");
    let closes = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"keep-alive");
    request.version() == Version::HTTP_11
        && request.headers().contains_key(HOST)
        && request.headers().keys().all(|name| is_known(name.as_str()))
        && !request.headers().get_all(CONNECTION).iter().any(closes)
}
