//! The application: which phases it asks for, and what it says of a query.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::abi::{self, Level, Shared, verdict};
use crate::dns::arrival::{Arrival, Pace, Transport};
use crate::dns::consts::rcode;
use crate::dns::name::Name;
use crate::dns::query::{Header, Query, parse};
use crate::limits::RULE_TESTS_MAX;
use crate::policy::facts::{Cached, Facts, Later, Outcome, Tags, facts};
use crate::policy::phase::Phase;
use crate::policy::{Action, Decision, Fallback, Hit, Policy, Rule, RuleId, Written, conditions};
use crate::problem::Problem;
use crate::setup::Setup;

/// Longest condition of a hook, in bytes: the host's bound. What is longer becomes `any`.
const CONDITION_LEN_MAX: usize = 16_384;
/// Queries whose tags are remembered from one phase to the next: as many as are held, and a few.
const TAGGED: usize = 1024;
/// Ticks after which nobody waits for an answer any more.
const PENDING_TICKS: u64 = 60;

/// The condition that is true of every query.
const ANY: &str = "any";
/// The host does not take it, or does not allow it.
const INVALID: i32 = -1;
/// See [`INVALID`].
const DENIED: i32 = -2;

/// Places of counters in `[allow] metrics`.
mod metric {
    pub(super) const HITS: i32 = 0;
    pub(super) const WOULD: i32 = 1;
    pub(super) const ASKED: i32 = 2;
    pub(super) const UNANSWERED: i32 = 3;
}

/// Extended errors (RFC 8914).
mod error {
    pub(super) const NO_REACHABLE_AUTHORITY: u16 = 22;
}

/// Whom a rule asks.
#[derive(Debug)]
enum Asked {
    Nobody,
    /// These, of `[allow] forward`: the next where one does not answer.
    Servers(Vec<usize>),
    Resolver,
}

/// A query that waits for an answer.
#[derive(Debug)]
struct Pending {
    query: u32,
    rule: RuleId,
    /// How many were asked before.
    tries: usize,
    since: u64,
}

/// The tags of a query that goes from phase to phase.
#[derive(Clone, Copy, Default)]
struct Tagged {
    query: u32,
    /// Who asked it, and its ID: numbers of queries are used again.
    peer: Option<(SocketAddr, [u8; 2])>,
    tags: Tags,
}

/// The application.
pub(crate) struct App {
    policy: Policy,
    setup: Setup,
    /// By rule.
    asked: Vec<Asked>,
    /// The upstream of the policy at each place of `[allow] forward`.
    upstreams: Vec<Option<u16>>,
    tagged: Vec<Tagged>,
    pending: BTreeMap<u32, Pending>,
    ticks: u64,
}

impl App {
    /// Reads the rules and asks to be called where they say so.
    pub(crate) fn start(config: &str) -> Result<Self, Vec<Problem>> {
        let setup = Setup::read(config).map_err(|problem| Vec::from([problem]))?;
        let policy = setup.compile()?;
        let (mut asked, mut problems) = (Vec::new(), Vec::new());
        for rule in policy.rules() {
            match asked_by(&policy, rule, &setup) {
                Ok(of_rule) => asked.push(of_rule),
                Err(message) => problems.push(Problem { place: rule.place.clone(), message }),
            }
        }
        if problems.is_empty() {
            hooks(&policy, &setup).map_err(|problem| Vec::from([problem]))?;
            let upstreams = setup.forward.iter().map(|to| upstream(&policy, to)).collect();
            let tagged = alloc::vec![Tagged::default(); TAGGED];
            return Ok(Self { policy, setup, asked, upstreams, tagged, pending: BTreeMap::new(), ticks: 0 });
        }
        Err(problems)
    }

    /// A query in a phase.
    pub(crate) fn query(&mut self, area: &mut Shared<'_>) -> i64 {
        let packet = area.query();
        let Some(header) = Header::read(packet, packet.len()) else { return verdict::PASS };
        let mut query = Query::default();
        if parse(packet, packet.len(), &header, &mut query).is_err() {
            return verdict::PASS;
        }
        let phase = phase(area.phase());
        let later = self.later(phase, area);
        let known = facts(&arrival(area), &header, packet, &query);
        let before = self.tags(area);
        let mut facts = Facts { later, tags: before, ..known };
        let (mut hits, mut would) = (0, 0);
        let mut note = |hit: Hit| if hit.is_dry_run { would += 1 } else { hits += 1 };
        // Rules of the phase `route` are asked where the application first sees a query.
        let phases = if phase == Phase::Request { &[Phase::Route, phase][..] } else { &[phase][..] };
        let (mut taken, mut is_traced) = (None, false);
        for phase in phases {
            let decision: Decision = self.policy.decide(*phase, &facts, &mut note);
            facts.tags = decision.tags;
            is_traced |= decision.is_traced;
            taken = decision.taken.filter(|(_, action)| *action != Action::Pass);
            if taken.is_some() {
                break;
            }
        }
        let tags = facts.tags;
        if is_traced {
            self.tell(phase, taken, &facts);
        }
        abi::count(metric::HITS, hits);
        abi::count(metric::WOULD, would);
        if tags != before {
            self.keep_tags(area, tags);
        }
        taken.map_or(verdict::PASS, |(rule, action)| self.act(area, rule, action))
    }

    /// What an action comes to.
    fn act(&mut self, area: &mut Shared<'_>, rule: RuleId, action: Action) -> i64 {
        match action {
            Action::Answer(code) => verdict::code(code, None),
            Action::Drop => verdict::DROP,
            Action::Retry(_) => match self.asked.get(usize::from(rule)) {
                Some(Asked::Servers(places)) => {
                    places.first().map_or(verdict::FAIL, |place| verdict::retry(*place))
                }
                _ => verdict::FAIL,
            },
            Action::Forward(_) | Action::Resolve => {
                let query = area.token();
                match self.ask(area, Pending { query, rule, tries: 0, since: self.ticks }) {
                    true => verdict::LATER,
                    false => self.fallback(rule),
                }
            }
            _ => verdict::PASS,
        }
    }

    /// Asks the next of those whom a rule asks; false if there is none who can be asked.
    fn ask(&mut self, area: &Shared<'_>, mut pending: Pending) -> bool {
        let Some(rule) = self.policy.rules().get(usize::from(pending.rule)) else { return false };
        let timeout = rule.timeout.unwrap_or(Duration::ZERO).as_millis() as u32;
        loop {
            let token = match self.asked.get(usize::from(pending.rule)) {
                Some(Asked::Servers(places)) => {
                    let place = places.get(pending.tries);
                    let to = place.and_then(|place| self.setup.forward.get(*place));
                    let Some(to) = to else { return false };
                    abi::forward(area, to, timeout)
                }
                Some(Asked::Resolver) if pending.tries == 0 => abi::resolve(area),
                _ => return false,
            };
            pending.tries += 1;
            if let Ok(token) = token {
                abi::count(metric::ASKED, 1);
                self.pending.insert(token, pending);
                return true;
            }
        }
    }

    /// Somebody has answered with so many bytes, or nobody has.
    pub(crate) fn done(&mut self, area: &mut Shared<'_>, token: u32, len: Option<usize>) {
        let Some(pending) = self.pending.remove(&token) else { return };
        let (query, rule) = (pending.query, pending.rule);
        if let Some(len) = len {
            area.set_reply_len(len);
            return abi::finish(area, query, verdict::REPLY);
        }
        abi::count(metric::UNANSWERED, 1);
        if abi::load(area, query) && !self.ask(area, pending) {
            abi::finish(area, query, self.fallback(rule));
        }
    }

    /// A second has passed.
    pub(crate) fn tick(&mut self) {
        self.ticks += 1;
        let now = self.ticks;
        self.pending.retain(|_, pending| now - pending.since <= PENDING_TICKS);
    }

    /// What a query gets when nobody can be asked as the rule says.
    fn fallback(&self, rule: RuleId) -> i64 {
        let rule = self.policy.rules().get(usize::from(rule));
        let fallback = rule.map_or(Fallback::Fail, |rule| rule.fallback);
        match fallback {
            Fallback::Fail | Fallback::Stale => {
                verdict::code(rcode::SERVFAIL.into(), Some(error::NO_REACHABLE_AUTHORITY))
            }
            Fallback::Refuse => verdict::code(rcode::REFUSED.into(), None),
            Fallback::Native | Fallback::Next => verdict::PASS,
            Fallback::Drop => verdict::DROP,
        }
    }

    /// What the host says of the later phases of a query.
    fn later(&self, phase: Phase, area: &Shared<'_>) -> Later {
        let [first, second] = area.country();
        let outcome = match area.outcome() {
            1 => Some(Outcome::Ok),
            2 => Some(Outcome::Timeout),
            3 => Some(Outcome::Refused),
            4 => Some(Outcome::Bad),
            _ => None,
        };
        let cache = match area.cached() {
            (_, true) => Some(Cached::Stale),
            (true, false) => Some(Cached::Hit),
            _ => (phase >= Phase::PostCache).then_some(Cached::Miss),
        };
        let micros = area.rtt_micros();
        Later {
            country: (first != 0).then_some([first, second]),
            asn: Some(area.asn()).filter(|asn| *asn != 0),
            cache,
            upstream: self.upstreams.get(area.upstream()).copied().flatten(),
            rtt: (micros > 0).then(|| Duration::from_micros(micros.into())),
            outcome,
            rcode: area.has_reply().then(|| area.rcode()),
        }
    }

    /// A line about a query that a rule with `log` has matched.
    fn tell(&self, phase: Phase, taken: Option<(RuleId, Action)>, facts: &Facts<'_>) {
        let rule = taken.and_then(|(rule, _)| self.policy.rules().get(usize::from(rule)));
        let comes = rule.map_or_else(|| "no rule".into(), |rule| format!("rule \"{}\"", rule.name));
        let Ok(name) = Name::from_wire(facts.name()) else { return };
        let (qtype, src) = (facts.qtype, facts.src.ip());
        abi::log(Level::Info, &format!("{name} TYPE{qtype} from {src}, phase {}: {comes}", phase.name()));
    }

    /// The place of a query among those whose tags are kept, and what it is known by.
    fn slot(area: &Shared<'_>) -> (usize, Tagged) {
        let query = area.token();
        let id = area.query().first_chunk().copied().unwrap_or_default();
        (query as usize % TAGGED, Tagged { query, peer: Some((area.peer(), id)), tags: Tags::default() })
    }

    /// The tags that a query has from earlier phases.
    fn tags(&self, area: &Shared<'_>) -> Tags {
        let (at, this) = Self::slot(area);
        let is_this = |known: &&Tagged| known.query == this.query && known.peer == this.peer;
        self.tagged.get(at).filter(is_this).map_or(Tags::default(), |known| known.tags)
    }

    fn keep_tags(&mut self, area: &Shared<'_>, tags: Tags) {
        let (at, this) = Self::slot(area);
        if let Some(known) = self.tagged.get_mut(at) {
            *known = Tagged { tags, ..this };
        }
    }
}

/// Whom a rule asks; what of it an application cannot do.
fn asked_by(policy: &Policy, rule: &Rule, setup: &Setup) -> Result<Asked, String> {
    let cannot = |what: &str, why: &str| Err(format!("`{what}` is not for an application: {why}"));
    let id = match rule.action {
        Action::Truncate => return cannot("truncate", "the node alone says that a reply is cut"),
        Action::NoStore => return cannot("no-store", "it has no say in what the cache keeps"),
        Action::Divert(_) => return cannot("divert", "it does not see what the node itself answers"),
        Action::CacheOnly => return cannot("cache-only", "it cannot look into the cache"),
        Action::App(_) => return cannot("app", "it cannot call another"),
        Action::Forward(id) | Action::Retry(id) => id,
        Action::Resolve if rule.fallback == Fallback::Stale => {
            return cannot("fallback stale", "it cannot look into the cache");
        }
        Action::Resolve => return Ok(Asked::Resolver),
        _ => return Ok(Asked::Nobody),
    };
    if rule.fallback == Fallback::Stale {
        return cannot("fallback stale", "it cannot look into the cache");
    }
    let Some(upstream) = policy.upstreams().get(usize::from(id)) else { return Ok(Asked::Nobody) };
    if policy.resolver() == Some(id) {
        if matches!(rule.action, Action::Retry(_)) {
            return cannot("retry upstream resolver", "it can retry with one of `[allow] forward`");
        }
        return Ok(Asked::Resolver);
    }
    let named = |name: &str| {
        let missing = || format!("`[allow] forward` of the application does not name `{name}`");
        setup.place(name).ok_or_else(missing)
    };
    let places = match &*upstream.servers {
        [] => Vec::from([named(&upstream.name)?]),
        servers => servers.iter().map(|server| named(&format!("{server}"))).collect::<Result<_, _>>()?,
    };
    Ok(Asked::Servers(places))
}

/// The upstream of the policy that is at a place of `[allow] forward`.
fn upstream(policy: &Policy, to: &str) -> Option<u16> {
    let server = crate::setup::address(to);
    let is_it = |name: &str| name == to || server.is_some() && crate::setup::address(name) == server;
    policy.upstreams().iter().position(|upstream| is_it(&upstream.name)).map(|id| id as u16)
}

/// Asks to be called in each phase in which a rule is asked: for queries that a rule may match.
fn hooks(policy: &Policy, setup: &Setup) -> Result<(), Problem> {
    let written: Vec<Written<'_>> = setup.files.iter().flat_map(|(_, text)| conditions(text)).collect();
    for phase in Phase::ALL {
        // The application is not called in `route`, and no condition is true of it where it is.
        let mut asked = match phase {
            Phase::Route => continue,
            Phase::Request => asked_in(policy, Phase::Route, &written),
            _ => Vec::new(),
        };
        let names_route = asked.iter().any(|written| written.asks_phase);
        asked.extend(asked_in(policy, phase, &written));
        if asked.is_empty() {
            continue;
        }
        let condition = if names_route { ANY.into() } else { condition(&asked) };
        let bit = 1 << phase as u8;
        // The host may not know all that rules name, such as a server that only they forward to.
        let hooked = abi::hook(bit, &condition).or_else(|refusal| match refusal {
            INVALID => abi::hook(bit, ANY),
            refusal => Err(refusal),
        });
        hooked.map_err(|refusal| {
            let why = match refusal {
                DENIED => "the manifest's `phases` does not name it",
                _ => "the host does not take the condition",
            };
            Problem::plain(format!("the phase `{}` is not to be had ({refusal}): {why}", phase.name()))
        })?;
    }
    Ok(())
}

/// The conditions of the rules that are asked in a phase.
fn asked_in<'t>(policy: &Policy, phase: Phase, written: &[Written<'t>]) -> Vec<Written<'t>> {
    policy.asked_in(phase).filter_map(|rule| written.get(usize::from(rule)).copied()).collect()
}

/// What any of the rules needs: their conditions, or `any` if the host cannot say.
fn condition(asked: &[Written<'_>]) -> String {
    let tests: usize = asked.iter().map(|written| written.tests).sum();
    // Only the application knows its tags.
    if tests > RULE_TESTS_MAX || asked.iter().any(|written| written.asks_tags) {
        return ANY.into();
    }
    let texts: Vec<&str> = asked.iter().map(|written| written.text).collect();
    let joined = texts.join("\nor ");
    if joined.len() > CONDITION_LEN_MAX { ANY.into() } else { joined }
}

fn phase(number: u8) -> Phase {
    Phase::ALL.get(usize::from(number)).copied().unwrap_or(Phase::Done)
}

fn arrival(area: &Shared<'_>) -> Arrival {
    let transport = if area.is_tcp() { Transport::Tcp { keepalive: 0 } } else { Transport::Udp };
    let (peer, local, listener) = (area.peer(), area.local(), area.listener());
    Arrival { transport, peer, local, listener, unix_time: 0, pace: Pace::Within }
}
