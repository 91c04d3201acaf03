//! The life of a query in which nobody is asked: what the cache has and what servers say is supposed. It is
//! the same life as on a worker, with a clock of its own, so what is told of it is what a worker would do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::places::Places;
use super::query::{Effect, Event, Looked, Patience, Query, Response};
use super::replies::{Bench, Material};
use super::sandbox::call::{Call, Called};
use super::sandbox::{Apps, Sandbox, Tools};
use super::task::rules;
use crate::dns::arrival::{Arrival, Transport};
use crate::dns::consts::{HEADER_LEN, flag, rcode};
use crate::dns::message::Message;
use crate::limits::{QUERY_TIMEOUT_CEILING_MS, SAME_SERVER_AFTER, SUPPOSED_RTT};
use crate::log::Log;
use crate::policy::facts::{Later, Outcome, Tags};
use crate::policy::phase::Phase;
use crate::policy::upstream::{Upstream, UpstreamId};
use crate::policy::{self, Decision, Policy, RuleId};
use crate::serve::snapshot::Snapshot;
use crate::stats::account::Account;
use crate::stats::ledger::{Ledger, LedgerSettings, ledger};

pub use super::query::Reply;

//------------ What is supposed ---

/// What the cache has of the name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kept {
    /// An answer.
    Hit,
    /// One whose time has passed.
    Stale,
    /// That servers were asked in vain a short while ago.
    Failure,
    /// Nothing.
    #[default]
    Miss,
}

impl Kept {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Hit, "hit"), (Self::Stale, "stale"), (Self::Failure, "failure"), (Self::Miss, "miss")];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        named(&Self::ALL, self)
    }

    const fn looked(self) -> Looked {
        match self {
            Self::Hit => Looked::Fresh,
            Self::Stale => Looked::Stale,
            Self::Failure => Looked::Failure,
            Self::Miss => Looked::Miss,
        }
    }
}

/// What the cache has, and the response code of that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptAnswer {
    /// What it is.
    pub kept: Kept,
    /// Its response code.
    pub rcode: u16,
}

/// What the servers of an upstream say, or what the cache has of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saying<T> {
    /// Of which upstream; without it of any.
    pub upstream: Option<String>,
    /// What.
    pub what: T,
}

const OUTCOMES: [(Outcome, &str); 4] = [
    (Outcome::Ok, "ok"),
    (Outcome::Timeout, "timeout"),
    (Outcome::Refused, "refused"),
    (Outcome::Bad, "bad"),
];

/// As rules have it.
#[must_use]
pub fn outcome_name(outcome: Outcome) -> &'static str {
    named(&OUTCOMES, outcome)
}

impl Saying<KeptAnswer> {
    /// `[UPSTREAM=]WHAT[=RCODE]`.
    ///
    /// # Errors
    /// What there is, if it is something else.
    pub fn kept(text: &str) -> Result<Self, String> {
        let read = |text: &str| {
            let (what, rcode) = match text.split_once('=') {
                Some((what, rcode)) => (what, read_rcode(rcode)?),
                None => (text, rcode::NOERROR.into()),
            };
            Ok(KeptAnswer { kept: one_of(&Kept::ALL, what)?, rcode })
        };
        read(text).map(|what| Self { upstream: None, what }).or_else(|error| match text.split_once('=') {
            Some((upstream, rest)) => Ok(Self { upstream: Some(upstream.to_owned()), what: read(rest)? }),
            None => Err(error),
        })
    }
}

impl Saying<Outcome> {
    /// `[UPSTREAM=]OUTCOME`.
    ///
    /// # Errors
    /// What there is, if it is something else.
    pub fn outcome(text: &str) -> Result<Self, String> {
        Self::read(text, |word| one_of(&OUTCOMES, word))
    }
}

impl Saying<u16> {
    /// `[UPSTREAM=]RCODE`.
    ///
    /// # Errors
    /// If it is not a response code.
    pub fn rcode(text: &str) -> Result<Self, String> {
        Self::read(text, read_rcode)
    }
}

fn read_rcode(word: &str) -> Result<u16, String> {
    let unknown = || format!("`{word}` is not a response code, such as NXDOMAIN or 23");
    policy::rcode(word).ok_or_else(unknown)
}

impl<T> Saying<T> {
    fn read(text: &str, what: impl Fn(&str) -> Result<T, String>) -> Result<Self, String> {
        let (upstream, word) = match text.rsplit_once('=') {
            Some((upstream, word)) => (Some(upstream.to_owned()), word),
            None => (None, text),
        };
        Ok(Self { upstream, what: what(word)? })
    }

    fn is_of(&self, upstream: &str) -> bool {
        self.upstream.as_deref().is_none_or(|of| of == upstream)
    }
}

fn named<T: Copy + PartialEq>(all: &[(T, &'static str)], value: T) -> &'static str {
    all.iter().find(|(known, _)| *known == value).map_or("", |(_, name)| name)
}

fn one_of<T: Copy>(all: &[(T, &'static str)], text: &str) -> Result<T, String> {
    let found = all.iter().find(|(_, name)| *name == text).map(|(value, _)| *value);
    found.ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|(_, name)| *name).collect();
        format!("`{text}` is not one of {}", names.join(", "))
    })
}

/// What is supposed of everybody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supposed {
    /// What the cache has. Of several for an upstream the last one is meant.
    pub cache: Vec<Saying<KeptAnswer>>,
    /// What comes of asking. Of several for an upstream the last one is meant.
    pub outcomes: Vec<Saying<Outcome>>,
    /// The response codes of responses.
    pub rcodes: Vec<Saying<u16>>,
    /// How long responses take.
    pub rtt: Duration,
}

impl Default for Supposed {
    /// The cache has nothing, and servers answer.
    fn default() -> Self {
        Self { cache: Vec::new(), outcomes: Vec::new(), rcodes: Vec::new(), rtt: SUPPOSED_RTT }
    }
}

impl Supposed {
    /// The upstreams that it names.
    pub fn upstreams(&self) -> impl Iterator<Item = &str> {
        let of_cache = self.cache.iter().map(|saying| saying.upstream.as_deref());
        let of_outcomes = self.outcomes.iter().map(|saying| saying.upstream.as_deref());
        of_cache
            .chain(of_outcomes)
            .chain(self.rcodes.iter().map(|saying| saying.upstream.as_deref()))
            .flatten()
    }

    fn kept(&self, upstream: &str) -> KeptAnswer {
        let saying = self.cache.iter().rev().find(|saying| saying.is_of(upstream));
        saying.map_or_else(KeptAnswer::default, |saying| saying.what)
    }

    fn rcode_of(&self, upstream: &str) -> u16 {
        let saying = self.rcodes.iter().rev().find(|saying| saying.is_of(upstream));
        saying.map_or_else(|| rcode::NOERROR.into(), |saying| saying.what)
    }

    fn response(&self, upstream: &str) -> Response {
        let saying = self.outcomes.iter().rev().find(|saying| saying.is_of(upstream));
        let outcome = saying.map_or(Outcome::Ok, |saying| saying.what);
        let is_ok = outcome == Outcome::Ok;
        let rcode = is_ok.then(|| self.rcode_of(upstream));
        Response { outcome, rcode, rtt: is_ok.then_some(self.rtt) }
    }
}

//------------ What is told ---

/// What happens.
#[derive(Debug)]
pub enum Step<'a> {
    /// The cache was looked into, where it keeps what comes from an upstream.
    Looked(Kept, Option<UpstreamId>),
    /// An upstream is asked.
    Asked(UpstreamId),
    /// An application was asked in a phase, for a rule, and what it says.
    Called(Phase, RuleId, Called),
    /// A copy is sent.
    Copied(UpstreamId),
    /// What came of asking.
    Responded(Outcome, Option<u16>, Duration),
    /// The client has waited for long enough for something stale.
    StaleDue,
    /// The response is stored, where the cache keeps what comes from an upstream.
    Stored(Option<UpstreamId>),
    /// It is remembered there that asking has failed.
    Failed(Option<UpstreamId>),
    /// The fallback of this rule is made.
    FellBack(Option<RuleId>),
    /// A reply, its bytes and its response code; none where the client gets none. The bytes of what others
    /// say are those of a reply without records.
    Made {
        /// What it is made of.
        reply: Reply,
        /// See there.
        shown: Option<(&'a [u8], u16)>,
        /// What is counted of it.
        account: &'a Account,
        /// The rule that decides where the answer comes from.
        rule: Option<RuleId>,
    },
    /// The client has the reply that was made last, if there is one.
    Sent,
}

/// Who is told of it, and asks the rules.
pub trait Audience {
    /// What a phase comes to; with a rule, without that and those before it.
    fn decide(&mut self, phase: Phase, after: Option<RuleId>, tags: Tags, later: Later) -> Decision;
    /// Takes note of a step.
    fn tell(&mut self, step: &Step<'_>);
}

/// A query that a worker is given.
#[derive(Clone, Copy, Debug)]
pub struct Handed<'a> {
    /// What is served.
    pub snapshot: &'a Snapshot,
    /// How it came in.
    pub arrival: &'a Arrival,
    /// The query, which was parsed.
    pub packet: &'a [u8],
    /// What the shard has decided.
    pub decision: Decision,
    /// How long it may take.
    pub query_timeout: Duration,
    /// When its client gets what is stale.
    pub stale_after: Duration,
}

/// Lives through what a worker would do with a query.
pub fn rehearse(handed: &Handed<'_>, supposed: &Supposed, audience: &mut impl Audience) {
    let policy = handed.snapshot.policy();
    let rules = rules(policy);
    let mut now = Instant::now();
    let patience = Patience { query: handed.query_timeout, stale: handed.stale_after };
    let is_tcp = handed.arrival.transport != Transport::Udp;
    let mut query = Query::new(now, is_tcp, patience);
    let mut stage = Stage {
        handed,
        supposed,
        bench: Bench::new(),
        pending: None,
        account: Account::default(),
        guests: Guests::of(handed.snapshot, now),
        said: Vec::new(),
    };
    let mut failed = Vec::new();
    let mut effect = query.step(Event::Begin, &rules);
    loop {
        let event = match effect {
            Effect::Decide(Phase::Route, None) => Event::Decided(handed.decision),
            Effect::Decide(phase, after) => {
                Event::Decided(audience.decide(phase, after, query.tags(), query.later()))
            }
            Effect::Call(phase, rule, app) => {
                let called = stage.call(phase, rule, app, &query, now);
                audience.tell(&Step::Called(phase, rule, called));
                Event::Called(called)
            }
            Effect::LookUp(view) => {
                let KeptAnswer { kept, .. } = supposed.kept(upstream_name(policy, view));
                // What has failed on its way is known when the query comes by again.
                let (kept, looked) = match (kept, failed.contains(&view)) {
                    (Kept::Miss, true) => (Kept::Failure, Looked::Failure),
                    (Kept::Stale, true) => (kept, Looked::Held),
                    _ => (kept, kept.looked()),
                };
                audience.tell(&Step::Looked(kept, view));
                Event::Looked(looked)
            }
            Effect::Ask(upstream) => {
                audience.tell(&Step::Asked(upstream));
                stage.ask(policy, upstream, query.has_something(), now)
            }
            Effect::Copy(_, upstream) => done(audience, &Step::Copied(upstream)),
            Effect::Store => done(audience, &Step::Stored(query.view().flatten())),
            Effect::Fail => {
                failed.push(query.view().flatten());
                done(audience, &Step::Failed(query.view().flatten()))
            }
            Effect::Refused(rule, _) => done(audience, &Step::FellBack(rule)),
            Effect::Make(reply) => stage.make(reply, &query, audience),
            Effect::Send => done(audience, &Step::Sent),
            Effect::Wait => {
                let timer = query.timer(&rules);
                let Some((at, event)) = stage.next(timer) else { return };
                now = at;
                match event {
                    Event::StaleDue => audience.tell(&Step::StaleDue),
                    Event::Finished(Response { outcome, rcode, .. }) => {
                        audience.tell(&Step::Responded(outcome, rcode, now - query.asked()));
                    }
                    _ => audience.tell(&Step::Responded(Outcome::Timeout, None, now - query.asked())),
                }
                event
            }
            Effect::End => return,
        };
        effect = query.step(event, &rules);
    }
}

/// What an upstream is called; nothing without one.
fn upstream_name(policy: &Policy, id: Option<UpstreamId>) -> &str {
    id.and_then(|id| policy.upstreams().get(usize::from(id))).map_or("", |upstream| &upstream.name)
}

fn done(audience: &mut impl Audience, step: &Step<'_>) -> Event {
    audience.tell(step);
    Event::Done
}

/// What stands in for the world.
struct Stage<'a> {
    handed: &'a Handed<'a>,
    supposed: &'a Supposed,
    bench: Bench,
    /// What the exchange comes to, and when.
    pending: Option<(Instant, Response)>,
    account: Account,
    guests: Option<Guests>,
    /// What an application said last.
    said: Vec<u8>,
}

/// Applications that are called for a query which nobody sees.
struct Guests {
    apps: Arc<Apps>,
    sandbox: Sandbox,
    ledger: Ledger,
}

impl Guests {
    fn of(snapshot: &Snapshot, now: Instant) -> Option<Self> {
        let apps = snapshot.apps().get::<Apps>()?;
        let (mut ledger, _) = ledger(&LedgerSettings::default());
        let mut sandbox = Sandbox::new(Tools { places: Places::default(), log: Log::silent() });
        sandbox.refresh(&apps, now, &mut ledger);
        Some(Self { apps, sandbox, ledger })
    }
}

impl Stage<'_> {
    fn ask(&mut self, policy: &Policy, upstream: UpstreamId, has_something: bool, now: Instant) -> Event {
        let Some(asked) = policy.upstreams().get(usize::from(upstream)) else { return Event::Asked };
        let response = self.supposed.response(&asked.name);
        let takes = match response.outcome {
            Outcome::Ok => self.supposed.rtt,
            // With something stale at hand, an answer is hoped for as long as the query has time.
            Outcome::Timeout if has_something => Duration::from_millis(QUERY_TIMEOUT_CEILING_MS + 1),
            Outcome::Timeout => gives_up_after(asked),
            Outcome::Refused | Outcome::Bad => Duration::ZERO,
        };
        self.pending = Some((now + takes, response));
        Event::Asked
    }

    /// What an application says. What it wants of others is not carried out.
    fn call(&mut self, phase: Phase, rule: RuleId, app: u16, query: &Query, now: Instant) -> Called {
        let Handed { arrival, packet, query_timeout, .. } = *self.handed;
        let later = query.later();
        let response = message(packet, later.rcode.unwrap_or_default());
        let Some(Guests { apps, sandbox, ledger }) = &mut self.guests else { return Called::Failed };
        let call = Call {
            app,
            phase: if phase == Phase::Route { Phase::Request } else { phase },
            token: 1,
            rule,
            query: packet,
            arrival,
            reply: match phase {
                Phase::Response => &response,
                Phase::Reply | Phase::Done => self.bench.reply(),
                _ => &[],
            },
            later,
            deadline: now + query_timeout,
            is_traced: false,
        };
        let called = sandbox.call(apps, &call, now, ledger);
        if called == Called::Reply {
            self.said = sandbox.reply().to_vec();
        }
        called
    }

    /// What happens first, and when.
    fn next(&mut self, timer: Option<(Instant, Event)>) -> Option<(Instant, Event)> {
        let ends = self.pending.map(|(at, response)| (at, Event::Finished(response)));
        let first = match (ends, timer) {
            (Some(ends), Some(timer)) => Some(if timer.0 < ends.0 { timer } else { ends }),
            (ends, timer) => ends.or(timer),
        };
        if first.is_some_and(|(_, event)| event != Event::StaleDue) {
            self.pending = None;
        }
        first
    }

    fn make(&mut self, reply: Reply, query: &Query, audience: &mut impl Audience) -> Event {
        let Handed { snapshot, arrival, packet, .. } = *self.handed;
        let kept = self.supposed.kept(upstream_name(snapshot.policy(), query.view().flatten()));
        let mut cached = message(packet, kept.rcode);
        let code = query.later().rcode.unwrap_or_default();
        let mut response = message(packet, code);
        let mut with = Material {
            snapshot,
            arrival,
            packet,
            cached: &mut cached,
            response: &mut response,
            rcode: code,
            said: &mut self.said,
            is_routed: query.view().flatten().is_some(),
            wants_authentic: false,
            upstream: None,
        };
        let made = self.bench.make(reply, &mut with, &mut self.account);
        let bytes = self.bench.reply();
        let shown = made.map(|made| (bytes, Message::read(bytes).map_or(made, |read| read.rcode())));
        audience.tell(&Step::Made { reply, shown, account: &self.account, rule: query.rule() });
        Event::Made(made)
    }
}

/// How long it takes at most until there is no hope for an answer.
fn gives_up_after(upstream: &Upstream) -> Duration {
    let further = u32::from(upstream.tries.saturating_sub(1));
    let other_servers = further.min(u32::try_from(upstream.servers.len() - 1).unwrap_or(u32::MAX));
    upstream.timeout * (other_servers + 1)
        + upstream.timeout.max(SAME_SERVER_AFTER) * (further - other_servers)
}

/// A response without records to a query.
fn message(packet: &[u8], code: u16) -> Vec<u8> {
    let end = Message::read(packet).map_or(HEADER_LEN, |read| read.question.end);
    let mut message = packet[..end].to_vec();
    let flags = flag::QR | code & flag::RCODE;
    message[2..4].copy_from_slice(&flags.to_be_bytes());
    message[6..HEADER_LEN].fill(0);
    message
}
