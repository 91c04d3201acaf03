//! The way of one query through the node, for a person: which rules are asked, which term decides, and what
//! comes of it. It is told from what the node serves from, and nothing is sent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use domain::base::Message;
use domain::base::iana::Rcode;

use crate::config::Config;
use crate::config::listen::covers;
use crate::dns::arrival::{Arrival, Pace, Transport};
use crate::dns::consts::flag;
use crate::dns::query::{Header, Query, parse};
use crate::limits::{SLOT_PAYLOAD_LEN, TCP_REPLY_LEN_MAX};
use crate::net;
use crate::policy::facts::{Cached, Facts, Outcome};
use crate::policy::phase::Phase;
use crate::policy::upstream::UpstreamId;
use crate::policy::{Action, Decision, Fallback, Policy, RuleId};
use crate::serve::snapshot::Snapshot;
use crate::serve::{Verdict, facts, native, serve};
use crate::stats::account::Account;

/// The way of the query `packet`: a line for each thing that decides, and at the end what the client gets or
/// who is asked for it.
///
/// # Errors
/// If it is not a query that rules could see.
pub fn why(snapshot: &Snapshot, arrival: &Arrival, packet: &[u8]) -> Result<Vec<String>, String> {
    let header = Header::read(packet, packet.len()).ok_or("it is too short for a query")?;
    let mut slot = slot(arrival, packet);
    let mut query = Query::default();
    let parsed = parse(&slot, packet.len(), &header, &mut query);
    parsed.map_err(|_| "it is malformed, or no query: no rule sees it")?;
    let mut way = Way { snapshot, arrival, packet, policy: snapshot.policy(), lines: Vec::new() };
    let packet_in_slot = slot.clone();
    let mut known = facts(arrival, &header, &packet_in_slot, &query);
    way.begin();
    let mut account = Account::default();
    let verdict = serve(snapshot, arrival, &mut slot, packet.len(), &mut account);
    if account.ruled.is_none() {
        let why = match snapshot.policy().is_free(arrival.listener) {
            true => "no rule concerns this listener",
            false => "not asked: something before the rules decides",
        };
        way.line(Phase::Route.name(), why);
        way.on_the_shard(verdict, &slot, &account, None);
        return Ok(way.lines);
    }
    let decision = way.phase(Phase::Route, &mut known);
    match verdict {
        Verdict::HandOff(_) => way.worker(&mut known, decision.taken),
        verdict => way.on_the_shard(verdict, &slot, &account, decision.taken),
    }
    Ok(way.lines)
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

/// The rule that has ended a phase, and what it does.
type Taken = Option<(RuleId, Action)>;

struct Way<'a> {
    snapshot: &'a Snapshot,
    arrival: &'a Arrival,
    packet: &'a [u8],
    policy: &'a Policy,
    lines: Vec<String>,
}

impl Way<'_> {
    fn line(&mut self, place: &str, text: impl AsRef<str>) {
        self.lines.push(format!(";; {place:<11} {}", text.as_ref()));
    }

    /// What the client gets, and the rule by which it does.
    fn verdict(&mut self, what: &str, by: Taken) {
        let rule = by.and_then(|(rule, _)| self.policy.rules().get(usize::from(rule)));
        let by = rule.map_or_else(String::new, |rule| format!(", by rule \"{}\"", rule.name));
        self.line("verdict", format!("{what}{by}"));
    }

    /// The query, and the rules that cannot be true here.
    fn begin(&mut self) {
        let over = if self.arrival.transport == Transport::Udp { "" } else { " over TCP" };
        let (from, to, listener) = (self.arrival.peer.ip(), self.arrival.local, self.arrival.listener);
        let asked = question(self.packet);
        self.lines.push(format!(";; {asked}  from {from} to {to}{over} (listener {listener})"));
        for folded in self.policy.folded() {
            self.line("folded", folded);
        }
    }

    /// The rules of a phase, and what it comes to.
    fn phase(&mut self, phase: Phase, known: &mut Facts<'_>) -> Decision {
        let (decision, explained) = self.policy.explained(phase, known);
        explained.iter().for_each(|explained| self.line(phase.name(), explained));
        known.tags = decision.tags;
        if let Some((_, upstream)) = decision.divert {
            let copy = format!("a copy goes to {}, and the answers are compared", self.upstream(upstream));
            self.line(phase.name(), copy);
        }
        decision
    }

    /// What a thread that answers makes of it.
    fn on_the_shard(&mut self, verdict: Verdict, slot: &[u8], account: &Account, by: Taken) {
        let is_native = matches!(by, None | Some((_, Action::Native | Action::Pass)));
        match verdict {
            Verdict::Reply(len) if is_native => self.native(&slot[..len], account, by),
            Verdict::Reply(len) => self.verdict(&reply(&slot[..len]), by),
            _ => self.verdict("no reply", by),
        }
    }

    /// What the node's own zones say.
    fn native(&mut self, message: &[u8], account: &Account, by: Taken) {
        let zones = &self.snapshot.names().zones;
        let zone = account.zone.map(|zone| zones.get(usize::from(zone.zone)).map_or("other", String::as_str));
        let zone = zone.map_or_else(|| "no zone".to_owned(), |zone| format!("zone {zone}"));
        self.line("native", zone);
        self.verdict(&format!("native, {}", reply(message)), by);
    }

    /// What a worker does with it. Nothing is asked here, so what the cache and the servers say is not known.
    fn worker(&mut self, known: &mut Facts<'_>, routed: Taken) {
        self.line("hand-over", routed.map_or("rules of later phases may concern it", |_| "to a worker"));
        let request = acting(self.phase(Phase::Request, known));
        let doing = request.or_else(|| routed.filter(|(_, action)| *action != Action::Pass));
        let is_asked = |doing: Taken| {
            matches!(doing, Some((_, Action::Forward(_) | Action::Resolve | Action::CacheOnly)))
        };
        if doing.is_some() && !is_asked(doing) {
            return self.by_itself(doing);
        }
        self.line("cache", "not known before; after a fresh answer the rules of the phase reply are next");
        known.later.cache = Some(Cached::Miss);
        let doing = acting(self.phase(Phase::PostCache, known)).or(doing);
        if !is_asked(doing) {
            return self.by_itself(doing);
        }
        self.exchange(known, doing);
    }

    /// A reply that a worker makes without asking anybody.
    fn by_itself(&mut self, by: Taken) {
        match by.map(|(_, action)| action) {
            Some(Action::Answer(rcode)) => self.verdict(&rcode_name(rcode), by),
            Some(Action::Drop) => self.verdict("no reply", by),
            Some(Action::Truncate) if self.arrival.transport == Transport::Udp => {
                self.verdict("truncated", by);
            }
            _ => {
                let (mut slot, mut account) = (slot(self.arrival, self.packet), Account::default());
                let len = self.packet.len();
                match native(self.snapshot, self.arrival, &mut slot, len, &mut account) {
                    Verdict::Reply(len) => self.native(&slot[..len], &account, by),
                    _ => self.verdict("no reply", by),
                }
            }
        }
    }

    /// Who is asked, and which rules see what comes of that.
    fn exchange(&mut self, known: &mut Facts<'_>, doing: Taken) {
        let Some((rule, action)) = doing else { return };
        let (what, asked) = match action {
            Action::Forward(upstream) => (format!("forward to {}", self.upstream(upstream)), Some(upstream)),
            Action::Resolve => ("resolve".to_owned(), self.policy.resolver()),
            _ => ("what the cache has".to_owned(), None),
        };
        if let Some(upstream) = asked.and_then(|asked| self.policy.upstreams().get(usize::from(asked))) {
            let servers: Vec<String> = upstream.servers.iter().map(ToString::to_string).collect();
            self.line("ask", format!("{}: {}", upstream.name, servers.join(", ")));
            known.later.upstream = asked;
            known.later.outcome = Some(Outcome::Ok);
            self.phase(Phase::Response, known);
        }
        self.phase(Phase::Reply, known);
        let fallback = self.policy.rules().get(usize::from(rule)).map(|rule| rule.fallback);
        let otherwise = match fallback.unwrap_or_default() {
            Fallback::Fail => "SERVFAIL",
            Fallback::Refuse => "REFUSED",
            Fallback::Native => "the native answer",
            Fallback::Drop => "no reply",
            Fallback::Next => "what the rules after it say",
            Fallback::Stale => "a stale answer or SERVFAIL",
        };
        self.verdict(&format!("{what}, else {otherwise}"), doing);
    }

    fn upstream(&self, id: UpstreamId) -> String {
        self.policy.upstreams().get(usize::from(id)).map_or_else(String::new, |found| found.name.clone())
    }
}

/// What a phase changes of what is done.
fn acting(decision: Decision) -> Taken {
    decision.taken.filter(|(_, action)| *action != Action::Pass)
}

fn rcode_name(rcode: u16) -> String {
    Rcode::checked_from_int(u8::try_from(rcode).unwrap_or(u8::MAX))
        .map_or_else(|| format!("RCODE{rcode}"), |rcode| rcode.to_string())
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
fn reply(message: &[u8]) -> String {
    let Some(header) = Header::read(message, message.len()) else { return "no reply".to_owned() };
    let flags = [(flag::AA, "AA"), (flag::TC, "TC")];
    let flags = flags.iter().filter(|(bit, _)| header.flags & bit != 0).map(|(_, name)| format!(", {name}"));
    let records = header.records.map(|count| count.to_string()).join("+");
    let rcode = rcode_name(header.flags & 0xF);
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
