//! Beacons over HTTP: the script of a page, tickets, and hits. Anybody may send them, from any page; nothing
//! is kept but what [`learn`](crate::learn) makes of it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, HOST, HeaderMap, HeaderName,
    HeaderValue,
};
use hyper::{Method, Request, StatusCode};
use rand::rngs::{StdRng, SysRng};
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use super::node::{Answer, plain, response};
use crate::config::beacons::Beacons as Settings;
use crate::learn::collector::{Hits, now, rtts};
use crate::learn::join::{Hit, Terms};
use crate::learn::subject::km;
use crate::learn::ticket::Network;
use crate::limits::{BEACON_BODY_LEN_MAX, BEACON_CONNECTIONS_MAX, BEACON_TARGETS_MAX, FORWARDED_LEN_MAX};
use crate::tailor::spec::Pop;

/// Where everything of beacons is.
pub(super) const ROOT: &str = "/beacon";
const SCRIPT: &str = "/beacon.js";
const TICKET: &str = "/beacon/ticket";
const HIT: &str = "/beacon/hit";
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");
const TIMING: HeaderName = HeaderName::from_static("timing-allow-origin");
const METHODS: &str = "GET, HEAD, POST, OPTIONS";

/// What beacons are served from; a reload may change it, and end them.
#[derive(Debug)]
pub struct Beacons {
    served: ArcSwapOption<Served>,
    hits: Hits,
    random: Mutex<StdRng>,
}

/// What a page gets.
#[derive(Debug)]
pub struct Served {
    settings: Settings,
    pops: Vec<Pop>,
    script: Bytes,
    terms: Arc<Terms>,
}

impl Served {
    /// Beacons of a node that has these PoPs.
    #[must_use]
    pub fn new(settings: Settings, pops: Vec<Pop>, terms: Arc<Terms>) -> Self {
        let script = include_str!("beacon.js").replace("SAMPLE_EVERY", &settings.sample_every.to_string());
        Self { settings, pops, script: script.into(), terms }
    }

    /// What a page shall measure: the PoPs that are nearest to the client, as far as that is known, and one
    /// by chance.
    fn targets(&self, client: IpAddr, random: &mut StdRng) -> serde_json::Map<String, serde_json::Value> {
        let mut left: Vec<&(String, String)> = self.settings.targets.iter().collect();
        let here = if left.is_empty() { None } else { self.terms.places.place(client).at };
        let away = |name: &str| {
            let at = self.pops.iter().find(|pop| pop.name == name)?.at?;
            Some(km(here?, at))
        };
        let away = |name: &str| away(name).unwrap_or(f64::INFINITY);
        left.sort_by(|one, other| away(&one.0).total_cmp(&away(&other.0)));
        let mut targets = serde_json::Map::new();
        while targets.len() < BEACON_TARGETS_MAX && !left.is_empty() {
            let is_by_chance = here.is_none() || targets.len() + 1 == BEACON_TARGETS_MAX;
            let at = if is_by_chance { random.next_u32() as usize % left.len() } else { 0 };
            let (name, url) = left.remove(at);
            targets.insert(name.clone(), url.as_str().into());
        }
        targets
    }
}

impl Beacons {
    /// Beacons, which are served once [`change`](Self::change) has said what; hits are left there.
    ///
    /// # Errors
    /// Why there is no chance to be had.
    pub fn new(hits: Hits) -> Result<Self, String> {
        let random =
            StdRng::try_from_rng(&mut SysRng).map_err(|error| format!("no random numbers: {error}"))?;
        Ok(Self { served: ArcSwapOption::empty(), hits, random: Mutex::new(random) })
    }

    /// From now on pages get this, or nothing.
    pub fn change(&self, served: Option<Served>) {
        self.served.store(served.map(Arc::new));
    }

    /// What they get now.
    pub(super) fn served(&self) -> Option<Arc<Served>> {
        self.served.load_full()
    }

    /// The answer to a request below [`ROOT`]; `others` has a count for each that is being answered, and one
    /// of its own.
    pub(super) async fn answer(
        &self,
        served: &Served,
        request: Request<Incoming>,
        peer: IpAddr,
        others: &Arc<()>,
    ) -> Answer {
        let one = Arc::clone(others);
        let is_full = Arc::strong_count(&one) > BEACON_CONNECTIONS_MAX + 1;
        let client = client(request.headers(), peer, |address| served.settings.trusts(address));
        let method = request.method().clone();
        let answer = match (request.uri().path(), &method) {
            (SCRIPT | TICKET | HIT, &Method::OPTIONS) => {
                response(StatusCode::NO_CONTENT, "text/plain", Bytes::new())
            }
            (HIT, &Method::GET | &Method::POST) => {
                self.hit(served, request, client, is_full).await;
                response(StatusCode::NO_CONTENT, "text/plain", Bytes::new())
            }
            (SCRIPT | TICKET, &Method::GET | &Method::HEAD) if is_full => {
                plain(StatusCode::SERVICE_UNAVAILABLE, "Too many beacons: try again later.\n")
            }
            (SCRIPT, &Method::GET | &Method::HEAD) => {
                response(StatusCode::OK, "text/javascript; charset=utf-8", served.script.clone())
            }
            (TICKET, &Method::GET | &Method::HEAD) => {
                response(StatusCode::OK, "application/json", self.ticket(served, client).into())
            }
            (SCRIPT | TICKET | HIT, _) => {
                let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.\n");
                answer.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
                answer
            }
            _ => plain(StatusCode::NOT_FOUND, "Not found. Try /beacon.js, /beacon/ticket or /beacon/hit.\n"),
        };
        open_to_all(answer)
    }

    /// A ticket for a client, as JSON.
    fn ticket(&self, served: &Served, client: IpAddr) -> String {
        let mut bytes = [0; 6];
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        random.fill_bytes(&mut bytes);
        let targets = served.targets(client, &mut random);
        drop(random);
        let nonce = served.terms.key.ticket(now(), bytes, Network::of(client));
        let name = format!("{nonce}.{}", served.settings.zone);
        let hit = format!("https://{name}{HIT}?t={nonce}");
        json!({ "name": name, "hit": hit, "targets": targets }).to_string()
    }

    /// Leaves a hit for the thread that joins it. Where there are too many its body is not waited for.
    async fn hit(&self, served: &Served, request: Request<Incoming>, client: IpAddr, is_full: bool) {
        let Some(label) = label(&request, &served.settings.zone) else { return };
        let is_known = |name: &str| served.pops.iter().any(|pop| pop.name == name);
        let body = Limited::new(request.into_body(), BEACON_BODY_LEN_MAX);
        let read = if is_full { None } else { body.collect().await.ok() };
        let rtts = read.map(|body| rtts(&body.to_bytes(), is_known)).unwrap_or_default();
        self.hits.offer(Hit { label, client, rtts });
    }
}

/// Any page may send and time it.
fn open_to_all(mut answer: Answer) -> Answer {
    let all = || HeaderValue::from_static("*");
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, all());
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(TIMING, all());
    answer
}

/// The address of a client: of those that proxies have added the last one that is not a proxy's own, where
/// the proxy is trusted.
fn client(headers: &HeaderMap, peer: IpAddr, trusts: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer.to_canonical();
    let values = headers.get_all(FORWARDED).iter().collect::<Vec<_>>();
    if values.iter().map(|value| value.len()).sum::<usize>() > FORWARDED_LEN_MAX {
        return client;
    }
    let texts = values.iter().rev().flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    for text in texts {
        if !trusts(client) {
            break;
        }
        let Ok(address) = text.trim().parse::<IpAddr>() else { break };
        client = address.to_canonical();
    }
    client
}

/// The label of a hit's ticket: the name that the client has asked for has it in front of the zone's; else it
/// is in the query.
fn label<B>(request: &Request<B>, zone: &str) -> Option<Vec<u8>> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().host().or(host).unwrap_or_default().to_ascii_lowercase();
    let host = host.rsplit_once(':').map_or(&*host, |(name, _)| name).trim_end_matches('.');
    let of_host = host.strip_suffix(zone).and_then(|front| front.strip_suffix('.'));
    let of_query = || request.uri().query()?.split('&').find_map(|pair| pair.strip_prefix("t="));
    of_host.or_else(of_query).map(|label| label.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let request = headers
            .iter()
            .fold(Request::builder().uri(uri), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap()
    }

    #[test]
    fn a_label_is_in_the_name_or_in_the_query() {
        let of = |uri, headers: &[_]| {
            label(&request(uri, headers), "b.example.net").map(|label| String::from_utf8(label).unwrap())
        };
        assert_eq!(of("/beacon/hit", &[("host", "ABC.b.Example.net:8443")]).unwrap(), "abc");
        assert_eq!(of("https://abc.b.example.net./beacon/hit", &[]).unwrap(), "abc");
        assert_eq!(of("/beacon/hit?x=1&t=def", &[("host", "www.example.net")]).unwrap(), "def");
        assert_eq!(of("/beacon/hit", &[("host", "b.example.net")]), None);
        assert_eq!(of("/beacon/hit", &[("host", "ab.example.net")]), None);
        assert_eq!(of("/beacon/hit", &[]), None);
    }

    #[test]
    fn the_last_address_that_is_not_a_proxys_is_the_clients() {
        let trusts = |address: IpAddr| address.is_loopback() || address == IpAddr::from([192, 0, 2, 9]);
        let of = |peer: &str, forwarded: &[&str]| {
            let headers: Vec<_> = forwarded.iter().map(|value| ("x-forwarded-for", *value)).collect();
            client(request("/", &headers).headers(), peer.parse().unwrap(), trusts).to_string()
        };
        assert_eq!(of("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(of("::ffff:127.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(of("127.0.0.1", &["10.0.0.1, 198.51.100.1, 192.0.2.9"]), "198.51.100.1");
        assert_eq!(of("127.0.0.1", &["10.0.0.1", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(of("203.0.113.7", &["198.51.100.1"]), "203.0.113.7", "nobody trusts it");
        assert_eq!(of("127.0.0.1", &["unknown"]), "127.0.0.1");
        assert_eq!(of("127.0.0.1", &["unknown, 192.0.2.9"]), "192.0.2.9");
        assert_eq!(of("127.0.0.1", &[&"198.51.100.1,".repeat(100)]), "127.0.0.1");
    }
}
