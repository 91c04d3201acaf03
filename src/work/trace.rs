//! Traces of chosen queries: when each step of a query's life was, and what came of it. A worker hands what it
//! has noted to a thread that writes it, and drops it where that is late.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use domain::base::Rtype;
use domain::base::iana::{Class, Rcode};
use serde_json::{Map, Value};

use crate::dns::consts::HEADER_LEN;
use crate::dns::name::Name;
use crate::dns::u16_at;
use crate::limits::{TRACE_STEPS_MAX, TRACES_QUEUED_MAX};
use crate::policy::Policy;
use crate::policy::RuleId;
use crate::policy::facts::{Cached, Later, Outcome};
use crate::serve::job::Job;

/// Which queries are traced, and who is told.
#[derive(Clone, Debug, Default)]
pub struct Tracing {
    /// One query in so many that a worker has, besides those that a rule with `log` chooses.
    pub sample_every: Option<NonZeroU32>,
    /// Where traces go; without it there are none.
    pub to: Option<Sender<Box<Trace>>>,
}

/// Tracing, and where the traces come out.
#[must_use]
pub fn traces(sample_every: Option<NonZeroU32>) -> (Tracing, Receiver<Box<Trace>>) {
    let (to, traces) = bounded(TRACES_QUEUED_MAX);
    (Tracing { sample_every, to: Some(to) }, traces)
}

/// The life of one query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// When it was taken in.
    pub asked: SystemTime,
    /// Who asked.
    pub client: SocketAddr,
    /// The address that was asked.
    pub server: SocketAddr,
    /// It came over TCP.
    pub is_tcp: bool,
    /// Its header and question.
    pub question: Vec<u8>,
    /// The rule that decided where the answer comes from.
    pub rule: Option<String>,
    /// Its steps, and when each began: since it was taken in.
    pub steps: Vec<(&'static str, Duration)>,
    /// What the cache had.
    pub cache: Option<&'static str>,
    /// Who was asked: the name of the upstream.
    pub upstream: Option<String>,
    /// How long that took.
    pub rtt: Option<Duration>,
    /// What came of it.
    pub outcome: Option<&'static str>,
    /// The response code of the reply.
    pub rcode: Option<u16>,
    /// Bytes of the reply; none was sent without.
    pub reply_len: Option<usize>,
}

/// The steps of a query that is traced.
#[derive(Debug)]
pub(super) struct Steps(Vec<(&'static str, Duration)>);

impl Steps {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self(Vec::with_capacity(TRACE_STEPS_MAX)))
    }

    /// Notes a step, as far as there is room.
    pub(super) fn note(&mut self, step: &'static str, since: Instant) {
        if self.0.len() < TRACE_STEPS_MAX {
            self.0.push((step, since.elapsed()));
        }
    }

    /// The whole of it.
    pub(super) fn trace(
        self,
        job: &Job,
        policy: &Policy,
        rule: Option<RuleId>,
        later: &Later,
        reply_len: Option<usize>,
    ) -> Trace {
        let asked = SystemTime::now().checked_sub(job.asked.elapsed());
        let rule = rule.and_then(|rule| policy.rules().get(usize::from(rule)));
        let upstream = later.upstream.and_then(|upstream| policy.upstreams().get(usize::from(upstream)));
        Trace {
            asked: asked.unwrap_or(UNIX_EPOCH),
            client: job.arrival.peer,
            server: job.arrival.local,
            is_tcp: job.connection.is_some(),
            question: job.query().to_vec(),
            rule: rule.map(|rule| rule.name.clone()),
            steps: self.0,
            cache: later.cache.map(|cached| match cached {
                Cached::Hit => "hit",
                Cached::Stale => "stale",
                Cached::Miss => "miss",
            }),
            upstream: upstream.map(|upstream| upstream.name.clone()),
            rtt: later.rtt,
            outcome: later.outcome.map(|outcome| match outcome {
                Outcome::Ok => "ok",
                Outcome::Timeout => "timeout",
                Outcome::Refused => "refused",
                Outcome::Bad => "bad",
            }),
            rcode: later.rcode,
            reply_len,
        }
    }
}

impl Trace {
    /// As an object of JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| {
            object.insert(key.to_owned(), value);
        };
        let since = self.asked.duration_since(UNIX_EPOCH).unwrap_or_default();
        put("time", since.as_secs_f64().into());
        put("client", self.client.ip().to_string().into());
        put("server", self.server.to_string().into());
        put("transport", if self.is_tcp { "tcp" } else { "udp" }.into());
        if let Some((name, qtype, qclass)) = self.asked_for() {
            put("name", name.to_string().into());
            put("type", Rtype::from_int(qtype).to_string().into());
            put("class", Class::from_int(qclass).to_string().into());
        }
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let step =
            |(name, at): &(&'static str, Duration)| Value::from(vec![Value::from(*name), micros(*at).into()]);
        put("rule", self.rule.clone().into());
        put("steps", self.steps.iter().map(step).collect::<Vec<Value>>().into());
        put("cache", self.cache.into());
        put("upstream", self.upstream.clone().into());
        put("rtt", self.rtt.map(micros).into());
        put("outcome", self.outcome.into());
        put("rcode", self.rcode.map(rcode).into());
        put("reply_bytes", self.reply_len.into());
        object.into()
    }

    fn asked_for(&self) -> Option<(Name, u16, u16)> {
        let name = Name::from_wire(self.question.get(HEADER_LEN..)?).ok()?;
        let end = HEADER_LEN + name.as_wire().len();
        Some((name, u16_at(&self.question, end)?, u16_at(&self.question, end + 2)?))
    }
}

fn rcode(rcode: u16) -> Cow<'static, str> {
    match u8::try_from(rcode).ok().filter(|rcode| *rcode < 16) {
        Some(low) => Rcode::masked_from_int(low).to_string().into(),
        None => rcode.to_string().into(),
    }
}

/// Gives each trace to `write` until there is no more `stop`; then what is left.
pub fn run(traces: &Receiver<Box<Trace>>, stop: &Receiver<()>, mut write: impl FnMut(&Trace)) {
    const LOOK: Duration = Duration::from_millis(200);
    while stop.try_recv() != Err(crossbeam_channel::TryRecvError::Disconnected) {
        match traces.recv_timeout(LOOK) {
            Ok(trace) => write(&trace),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
    traces.try_iter().take(TRACES_QUEUED_MAX).for_each(|trace| write(&trace));
}
