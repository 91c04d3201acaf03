//! The way of one query through the node, for a person or a program: which rules are asked, which term
//! decides, and what comes of it. It is told from what the node serves from, and nothing is sent: what others
//! would say is supposed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use domain::base::Message;
use serde_json::{Map, Value, json};

use super::apps::{self, verdict};
use crate::config::Config;
use crate::config::listen::covers;
use crate::config::upstreams::fallback_name;
use crate::dns::arrival::{Arrival, Pace, Transport};
use crate::dns::consts::flag;
use crate::dns::query::{Header, Query, parse};
use crate::dns::{message, u16_at};
use crate::limits::{SLOT_PAYLOAD_LEN, TCP_REPLY_LEN_MAX};
use crate::net;
use crate::policy::facts::{Facts, Later, Outcome, Tags};
use crate::policy::phase::Phase;
use crate::policy::upstream::UpstreamId;
use crate::policy::{Action, Decision, Fallback, Hit, Policy, Rule, RuleId, rcode_text};
use crate::serve::job::UNROUTED;
use crate::serve::snapshot::Snapshot;
use crate::serve::{Verdict, facts, serve};
use crate::stats::account::Account;
use crate::work::Place;
use crate::work::rehearsal::{Audience, Handed, Kept, Reply, Step, Supposed, outcome_name, rehearse};
use crate::work::sandbox::call::Called;

/// What a query is told by.
pub struct Teller<'a> {
    /// What is served.
    pub snapshot: &'a Snapshot,
    /// What it was made from.
    pub config: &'a Config,
    /// Where clients are.
    pub place: &'a dyn Fn(IpAddr) -> Place,
    /// Lines for a person are wanted.
    pub has_lines: bool,
}

/// The way of a query.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// A line for each thing that decides, and at the end what the client gets.
    pub lines: Vec<String>,
    /// What came of it, for programs.
    pub json: Map<String, Value>,
}

impl Teller<'_> {
    /// The way of the query `packet`, where others say what is `supposed`.
    ///
    /// # Errors
    /// If it is not a query that rules could see, or an upstream is meant that there is not.
    pub fn tell(&self, arrival: &Arrival, packet: &[u8], supposed: &Supposed) -> Result<Told, String> {
        let policy = self.snapshot.policy();
        self.check(supposed)?;
        let header = Header::read(packet, packet.len()).ok_or("it is too short for a query")?;
        let mut slot = slot(arrival, packet);
        let mut query = Query::default();
        let parsed = parse(&slot, packet.len(), &header, &mut query);
        parsed.map_err(|_| "it is malformed, or no query: no rule sees it")?;
        let packet_in_slot = slot.clone();
        let known = facts(arrival, &header, &packet_in_slot, &query);
        let mut way = Way::new(self, arrival, packet, known);
        let mut account = Account::default();
        let verdict = serve(self.snapshot, arrival, &mut slot, packet.len(), &mut account);
        if account.ruled.is_none() {
            let why = match policy.is_free(arrival.listener) {
                true => "no rule concerns this listener",
                false => "not asked: something before the rules decides",
            };
            way.line(Phase::Route.name(), why);
            way.on_the_shard(verdict, &slot, &account);
            return Ok(way.end());
        }
        let decision = way.decide(Phase::Route, None, Tags::default(), Later::default());
        match verdict {
            Verdict::HandOff(handed) => {
                let by_rule = policy.rules().get(usize::from(handed.rule));
                let is_unrouted = handed.rule == UNROUTED;
                let why = if is_unrouted { "rules of later phases may concern it" } else { "to a worker" };
                way.line("hand-over", why);
                way.by = way.by.filter(|(rule, _)| *rule == handed.rule);
                let decision = Decision { taken: by_rule.map(|rule| (handed.rule, rule.action)), ..decision };
                let handed = Handed {
                    snapshot: self.snapshot,
                    arrival,
                    packet,
                    decision,
                    query_timeout: self.config.platform.query_timeout,
                    stale_after: self.config.cache.stale_after,
                };
                rehearse(&handed, supposed, &mut way);
            }
            verdict => way.on_the_shard(verdict, &slot, &account),
        }
        Ok(way.end())
    }

    fn check(&self, supposed: &Supposed) -> Result<(), String> {
        let names: Vec<&str> =
            self.snapshot.policy().upstreams().iter().map(|upstream| &*upstream.name).collect();
        match supposed.upstreams().find(|upstream| !names.contains(upstream)) {
            Some(other) if names.is_empty() => Err(format!("there is no upstream `{other}`, nor any other")),
            Some(other) => {
                Err(format!("there is no upstream `{other}`; those that there are: {}", names.join(", ")))
            }
            None => Ok(()),
        }
    }
}

/// How a query comes in: from this host to the first address of the configuration, unless others are given;
/// from a port where we do not listen, as what claims to come from ourselves gets no reply.
///
/// # Errors
/// If the node does not listen there.
pub fn arrival(
    config: &Config,
    is_tcp: bool,
    from: Option<IpAddr>,
    to: Option<SocketAddr>,
) -> Result<Arrival, String> {
    let (listen, local) = (&config.listen, to.unwrap_or(config.listen[0]));
    let listener = listen.iter().position(|&listener| covers(listener, local)).ok_or_else(|| {
        let all: Vec<String> = listen.iter().map(ToString::to_string).collect();
        format!("the node does not listen on {local}, but on {}", all.join(", "))
    })?;
    let keepalive = u16::try_from(config.tcp.idle_timeout.as_millis() / 100);
    let keepalive = keepalive.expect("a time-out of TCP ends at an hour");
    let is_ours = |port: u16| listen.iter().any(|listener| listener.port() == port);
    let port = (5353..).find(|&port| !is_ours(port)).expect("there are fewer listeners than ports");
    Ok(Arrival {
        transport: if is_tcp { Transport::Tcp { keepalive } } else { Transport::Udp },
        peer: SocketAddr::new(from.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), port),
        local,
        listener,
        unix_time: net::unix_time(),
        pace: Pace::Within,
    })
}

/// The packet where a reply to it has room.
fn slot(arrival: &Arrival, packet: &[u8]) -> Vec<u8> {
    let len = if arrival.transport == Transport::Udp { SLOT_PAYLOAD_LEN } else { TCP_REPLY_LEN_MAX };
    let mut slot = vec![0; len.max(packet.len())];
    slot[..packet.len()].copy_from_slice(packet);
    slot
}

/// What was told of one phase.
struct Asked {
    phase: Phase,
    taken: Option<(RuleId, Action)>,
    hits: Vec<Hit>,
}

struct Way<'a> {
    teller: &'a Teller<'a>,
    arrival: &'a Arrival,
    policy: &'a Policy,
    known: Facts<'a>,
    place: Option<Place>,
    lines: Vec<String>,
    json: Map<String, Value>,
    phases: Vec<Asked>,
    asked: Vec<String>,
    copies: Vec<String>,
    /// The rule that has said what the client gets, and whether that is its fallback.
    by: Option<(RuleId, bool)>,
    /// What comes of it, so far.
    verdict: String,
}

impl<'a> Way<'a> {
    /// The query, and the rules that cannot be true here.
    fn new(teller: &'a Teller<'a>, arrival: &'a Arrival, packet: &[u8], known: Facts<'a>) -> Self {
        let policy = teller.snapshot.policy();
        let mut way = Self {
            teller,
            arrival,
            policy,
            known,
            place: None,
            lines: Vec::new(),
            json: Map::new(),
            phases: Vec::new(),
            asked: Vec::new(),
            copies: Vec::new(),
            by: None,
            verdict: "no reply".to_owned(),
        };
        let is_tcp = arrival.transport != Transport::Udp;
        let over = if is_tcp { " over TCP" } else { "" };
        let (from, to, listener) = (arrival.peer.ip(), arrival.local, arrival.listener);
        let asked = question(packet);
        way.put("query", asked.clone());
        way.put("from", from.to_string());
        way.put("to", to.to_string());
        way.put("transport", if is_tcp { "tcp" } else { "udp" });
        if teller.has_lines {
            way.lines.push(format!(";; {asked}  from {from} to {to}{over} (listener {listener})"));
        }
        for folded in policy.folded() {
            way.line("folded", folded);
        }
        way
    }

    fn line(&mut self, place: &str, text: impl AsRef<str>) {
        if self.teller.has_lines {
            self.lines.push(format!(";; {place:<11} {}", text.as_ref()));
        }
    }

    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.json.insert(key.to_owned(), value.into());
    }

    /// Notes where in the cache something was put: by the name of the upstream; null without one.
    fn put_view(&mut self, key: &str, view: Option<UpstreamId>) {
        let view = view.map_or(Value::Null, |id| self.upstream(id).into());
        let all = self.json.entry(key).or_insert_with(|| json!([]));
        all.as_array_mut().into_iter().for_each(|all| all.push(view.clone()));
    }

    fn rule(&self, id: RuleId) -> Option<&'a Rule> {
        self.policy.rules().get(usize::from(id))
    }

    fn name(&self, id: RuleId) -> &'a str {
        self.rule(id).map_or("", |rule| &rule.name)
    }

    fn upstream(&self, id: UpstreamId) -> &'a str {
        self.policy.upstreams().get(usize::from(id)).map_or("", |known| &known.name)
    }

    /// What the client gets, where it comes from, and the rule by which it does.
    fn verdict(&mut self, source: &str, what: &str, shown: Option<(&[u8], u16)>, by: Option<RuleId>) {
        let rule = by.map(|by| self.name(by));
        let by = rule.map_or_else(String::new, |rule| format!(", by rule \"{rule}\""));
        self.verdict = format!("{what}{by}");
        let is_truncated = |(bytes, _): (&[u8], u16)| u16_at(bytes, 2).unwrap_or_default() & flag::TC != 0;
        self.put("source", source);
        self.put("rule", rule);
        self.put("rcode", shown.map(|(_, code)| rcode_text(code)));
        self.put("truncated", shown.is_some_and(is_truncated));
    }

    /// What a thread that answers makes of it.
    fn on_the_shard(&mut self, verdict: Verdict, slot: &[u8], account: &Account) {
        let shown = match verdict {
            Verdict::Reply(len) => {
                let code = message::Message::read(&slot[..len]).map_or(0, |read| read.rcode());
                Some((&slot[..len], code))
            }
            _ => None,
        };
        self.own(shown, account);
    }

    /// A reply for which nobody was asked.
    fn own(&mut self, shown: Option<(&[u8], u16)>, account: &Account) {
        let by = self.by.map(|(rule, _)| rule);
        let is_native = |action| matches!(action, Action::Native | Action::Pass);
        let is_native = match self.by {
            None => true,
            Some((rule, true)) => self.rule(rule).is_some_and(|rule| rule.fallback == Fallback::Native),
            Some((rule, false)) => self.rule(rule).is_some_and(|rule| is_native(rule.action)),
        };
        let source = match self.by {
            _ if is_native => "native",
            Some((_, true)) => "fallback",
            Some((rule, false)) if self.rule(rule).is_some_and(is_of_app) => "app",
            _ => "rule",
        };
        if is_native {
            let zones = &self.teller.snapshot.names().zones;
            let name = |zone: usize| zones.get(zone).map_or("other", String::as_str);
            let zone = account.zone.map(|zone| name(usize::from(zone.zone)));
            self.put("zone", zone);
            self.line("native", zone.map_or_else(|| "no zone".to_owned(), |zone| format!("zone {zone}")));
        }
        let told = shown.map_or_else(|| "no reply".to_owned(), |(bytes, code)| reply(bytes, code));
        let told = if is_native { format!("native, {told}") } else { told };
        self.verdict(source, &told, shown, by);
    }

    fn made(
        &mut self,
        reply: Reply,
        shown: Option<(&[u8], u16)>,
        account: &Account,
        routed_by: Option<RuleId>,
    ) {
        let code = shown.map_or_else(String::new, |(_, code)| rcode_text(code));
        match reply {
            Reply::Cached => self.verdict("cache", &format!("{code} from the cache"), shown, routed_by),
            Reply::Stale { .. } => {
                self.verdict("stale", &format!("{code} from the cache, stale"), shown, routed_by);
            }
            Reply::Response => {
                let from = self.asked.last().cloned().unwrap_or_default();
                let fallback = routed_by.and_then(|rule| self.rule(rule)).map(|rule| rule.fallback);
                let otherwise = otherwise(fallback.unwrap_or_default());
                let told = format!("{code} from {from}, else {otherwise}");
                self.verdict("upstream", &told, shown, routed_by);
            }
            Reply::App => {
                let told =
                    shown.map_or_else(|| "no reply".to_owned(), |(bytes, code)| self::reply(bytes, code));
                self.verdict("app", &told, shown, self.by.map(|(rule, _)| rule));
            }
            Reply::Native | Reply::Code(..) | Reply::Truncated | Reply::None => self.own(shown, account),
        }
    }

    /// All of it.
    fn end(mut self) -> Told {
        let verdict = std::mem::take(&mut self.verdict);
        self.line("verdict", verdict);
        let names = |way: &Self, hits: &[Hit], is_dry_run: bool| -> Vec<Value> {
            let hits = hits.iter().filter(|hit| hit.is_dry_run == is_dry_run);
            hits.map(|hit| way.name(hit.rule).into()).collect()
        };
        let phases = self.phases.iter().map(|asked| {
            let taken = asked.taken.map(|(rule, _)| self.name(rule));
            let does = asked.taken.and_then(|(rule, _)| self.rule(rule)).map(|rule| self.policy.done(rule));
            json!({
                "phase": asked.phase.name(),
                "rule": taken,
                "action": does,
                "hits": names(&self, &asked.hits, false),
                "would": names(&self, &asked.hits, true),
            })
        });
        let phases: Vec<Value> = phases.collect();
        let (mut hits, mut would) = (Map::new(), Map::new());
        for hit in self.phases.iter().flat_map(|asked| &asked.hits) {
            let counts = if hit.is_dry_run { &mut would } else { &mut hits };
            let count = counts.entry(self.name(hit.rule)).or_insert_with(|| 0.into());
            *count = (count.as_u64().unwrap_or_default() + 1).into();
        }
        self.put("phases", phases);
        self.put("hits", hits);
        self.put("would", would);
        let (asked, copies) = (std::mem::take(&mut self.asked), std::mem::take(&mut self.copies));
        self.put("asked", asked);
        self.put("copies", copies);
        Told { lines: self.lines, json: self.json }
    }
}

impl Audience for Way<'_> {
    fn decide(&mut self, phase: Phase, after: Option<RuleId>, tags: Tags, mut later: Later) -> Decision {
        if phase != Phase::Route && self.policy.needs_places() {
            let look = || (self.teller.place)(self.arrival.peer.ip());
            let place = *self.place.get_or_insert_with(look);
            (later.country, later.asn) = (place.country, place.asn);
        }
        (self.known.tags, self.known.later) = (tags, later);
        if self.teller.has_lines {
            let (_, explained) = self.policy.explained_after(phase, after, &self.known);
            explained.iter().for_each(|explained| self.line(phase.name(), explained));
        }
        let mut hits = Vec::new();
        let mut note = |hit: Hit| hits.push(hit);
        let decision = match after {
            Some(after) => self.policy.decide_after(phase, after, &self.known, &mut note),
            None => self.policy.decide(phase, &self.known, &mut note),
        };
        if let Some((_, upstream)) = decision.divert {
            let copy = format!("a copy goes to {}, and the answers are compared", self.upstream(upstream));
            self.line(phase.name(), copy);
        }
        let says = |action| match action {
            Action::Native | Action::Answer(_) | Action::Drop => phase != Phase::Done,
            Action::Truncate => !self.known.is_tcp,
            Action::Pass => phase == Phase::Route,
            _ => false,
        };
        if let Some((rule, _)) = decision.taken.filter(|(_, action)| says(*action)) {
            self.by = Some((rule, false));
        }
        if !self.policy.has_rules(phase) {
            return decision;
        }
        self.phases.push(Asked { phase, taken: decision.taken, hits });
        decision
    }

    fn tell(&mut self, step: &Step<'_>) {
        match *step {
            Step::Looked(kept, _) => {
                self.put("cache", kept.name());
                let has = match kept {
                    Kept::Hit => "it has an answer",
                    Kept::Stale => "it has an answer whose time has passed",
                    Kept::Failure => "servers were asked in vain a short while ago",
                    Kept::Miss => "it has nothing",
                };
                self.line("cache", format!("supposed: {has}"));
            }
            Step::Asked(id) => {
                let name = self.upstream(id);
                self.asked.push(name.to_owned());
                let servers = self.policy.upstreams().get(usize::from(id)).map(|upstream| &upstream.servers);
                let servers: Vec<String> = servers.into_iter().flatten().map(ToString::to_string).collect();
                self.line("ask", format!("{name}: {}", servers.join(", ")));
            }
            Step::Called(phase, rule, called) => self.called(phase, rule, called),
            Step::Copied(id) => self.copies.push(self.upstream(id).to_owned()),
            Step::Responded(outcome, code, since) => self.responded(outcome, code, since),
            Step::StaleDue => self.line("cache", "the client has waited for long enough"),
            Step::Stored(view) => {
                self.put_view("stored", view);
                self.line("cache", "the response is stored");
            }
            Step::Failed(view) => {
                self.put_view("failed", view);
                self.line("cache", "that nobody could answer is remembered");
            }
            Step::FellBack(rule) => {
                let fallback = rule.and_then(|rule| self.rule(rule)).map(|rule| rule.fallback);
                self.by = rule.filter(|_| fallback != Some(Fallback::Next)).map(|rule| (rule, true));
                let of = rule.map_or_else(String::new, |rule| format!(" of rule \"{}\"", self.name(rule)));
                let what = fallback_name(fallback.unwrap_or(Fallback::Native));
                self.line("fallback", format!("{what}{of}"));
            }
            Step::Made { reply, shown, account, rule } => self.made(reply, shown, account, rule),
            Step::Sent => {}
        }
    }
}

/// Whether an application does what a rule does.
const fn is_of_app(rule: &Rule) -> bool {
    matches!(rule.action, Action::App(_))
}

impl Way<'_> {
    fn called(&mut self, phase: Phase, rule: RuleId, called: Called) {
        let says = verdict(called, self.policy);
        let Some(Action::App(app)) = self.rule(rule).map(|rule| rule.action) else { return };
        let apps = apps::of(self.teller.snapshot);
        let name = apps.apps.get(usize::from(app)).map_or("", |app| app.manifest.name.as_str());
        self.line(phase.name(), format!("application \"{name}\" says {says}"));
        let all = self.json.entry("apps").or_insert_with(|| json!([]));
        let call = json!({ "app": name, "phase": phase.name(), "verdict": says });
        all.as_array_mut().into_iter().for_each(|all| all.push(call.clone()));
        if matches!(called, Called::Reply | Called::Code(..) | Called::Drop) && phase != Phase::Done {
            self.by = Some((rule, false));
        }
    }

    fn responded(&mut self, outcome: Outcome, code: Option<u16>, since: Duration) {
        let what = match (outcome, code) {
            (Outcome::Ok, code) => rcode_text(code.unwrap_or_default()),
            (Outcome::Timeout, _) => "none in time".to_owned(),
            (Outcome::Refused, _) => "nobody can be asked".to_owned(),
            (Outcome::Bad, _) => "none that can be used".to_owned(),
        };
        self.put("outcome", outcome_name(outcome));
        self.line("upstream", format!("supposed: {what}, {} ms after the query", since.as_millis()));
    }
}

/// What a client gets when there is no answer.
const fn otherwise(fallback: Fallback) -> &'static str {
    match fallback {
        Fallback::Fail => "SERVFAIL",
        Fallback::Refuse => "REFUSED",
        Fallback::Native => "the native answer",
        Fallback::Drop => "no reply",
        Fallback::Next => "what the rules after it say",
        Fallback::Stale => "a stale answer or SERVFAIL",
    }
}

/// The question, as dig has it.
fn question(packet: &[u8]) -> String {
    let found = Message::from_octets(packet).ok().and_then(|message| message.first_question());
    let text = |question: domain::base::Question<_>| {
        format!("{}. {} {}", question.qname(), question.qclass(), question.qtype())
    };
    found.map(text).unwrap_or_default()
}

/// What a reply says in its header.
fn reply(message: &[u8], code: u16) -> String {
    let Some(header) = Header::read(message, message.len()) else { return "no reply".to_owned() };
    let flags = [(flag::AA, "AA"), (flag::TC, "TC")];
    let flags = flags.iter().filter(|(bit, _)| header.flags & bit != 0).map(|(_, name)| format!(", {name}"));
    let records = header.records.map(|count| count.to_string()).join("+");
    let rcode = rcode_text(code);
    format!("{rcode}{}, {records} records, {} bytes", flags.collect::<String>(), message.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_comes_from_this_host_unless_somebody_else_is_named() {
        let mut config = crate::config::load(None, &Default::default()).unwrap();
        config.listen = vec!["192.0.2.1:53".parse().unwrap(), "[::]:5300".parse().unwrap()];
        let named = |is_tcp, from: Option<&str>, to: Option<&str>| {
            let (from, to) = (from.map(|from| from.parse().unwrap()), to.map(|to| to.parse().unwrap()));
            arrival(&config, is_tcp, from, to)
        };
        let plain = named(false, None, None).unwrap();
        assert_eq!((plain.transport, plain.local, plain.listener), (Transport::Udp, config.listen[0], 0));
        assert_eq!(named(true, None, None).unwrap().transport, Transport::Tcp { keepalive: 100 });
        let other = named(false, Some("2001:db8::1"), Some("[2001:db8::53]:5300")).unwrap();
        assert_eq!((other.peer.ip(), other.listener), ("2001:db8::1".parse().unwrap(), 1));
        let elsewhere = named(false, None, Some("192.0.2.2:53")).unwrap_err();
        assert_eq!(elsewhere, "the node does not listen on 192.0.2.2:53, but on 192.0.2.1:53, [::]:5300");
        // Whoever asks from an address of our own gets no answer.
        config.listen = (5353..5360).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect();
        assert!(!config.listen.contains(&arrival(&config, false, None, None).unwrap().peer));
    }
}
