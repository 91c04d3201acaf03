//! Traces of chosen queries: when each step of a query's life was, and what came of it. A worker hands what
//! it has noted to a thread that writes it, and drops it where that is late.

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
use crate::limits::{TRACE_SPANS_MAX, TRACE_STEPS_MAX, TRACES_QUEUED_MAX};
use crate::policy::Policy;
use crate::policy::RuleId;
use crate::policy::facts::{Cached, Later, Outcome};
use crate::serve::job::Job;
use crate::taps::Addresses;

/// Which queries are traced, and where traces go.
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
    /// How long all of it took.
    pub took: Duration,
    /// The applications that were asked: in which phase, and what each said.
    pub apps: Vec<(String, &'static str, &'static str)>,
    /// What they noted.
    pub spans: Vec<Span>,
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

/// Something that an application noted of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The application.
    pub app: String,
    /// Whether something begins, ends or happens.
    pub kind: &'static str,
    /// What.
    pub text: String,
    /// When: since the query was taken in.
    pub at: Duration,
}

/// The steps of a query that is traced.
#[derive(Debug, Default)]
pub(super) struct Steps {
    steps: Vec<(&'static str, Duration)>,
    apps: Vec<(String, &'static str, &'static str)>,
    spans: Vec<Span>,
}

impl Steps {
    /// Notes a step, as far as there is room.
    pub(super) fn note(&mut self, step: &'static str, since: Instant) {
        if self.steps.len() < TRACE_STEPS_MAX {
            self.steps.push((step, since.elapsed()));
        }
    }

    /// Notes that an application was asked in a phase, and what it said.
    pub(super) fn note_app(&mut self, app: &str, phase: &'static str, word: &'static str) {
        if self.apps.len() < TRACE_STEPS_MAX {
            self.apps.push((app.to_owned(), phase, word));
        }
    }

    /// Notes what the application that was asked last says in the end.
    pub(super) fn note_finished(&mut self, word: &'static str) {
        if let Some((.., said)) = self.apps.last_mut() {
            *said = word;
        }
    }

    /// Notes what an application notes.
    pub(super) fn note_span(&mut self, app: &str, kind: u8, text: String, since: Instant) {
        if self.spans.len() < TRACE_SPANS_MAX {
            let kind = ["begin", "end", "event"].get(usize::from(kind)).copied().unwrap_or("event");
            self.spans.push(Span { app: app.to_owned(), kind, text, at: since.elapsed() });
        }
    }

    /// Forgets them.
    pub(super) fn clear(&mut self) {
        self.steps.clear();
        self.apps.clear();
        self.spans.clear();
    }

    /// The whole of it.
    pub(super) fn trace(
        &self,
        job: &Job,
        policy: &Policy,
        rule: Option<RuleId>,
        later: &Later,
        reply_len: Option<usize>,
    ) -> Trace {
        let took = job.asked.elapsed();
        let asked = SystemTime::now().checked_sub(took);
        let rule = rule.and_then(|rule| policy.rules().get(usize::from(rule)));
        let upstream = later.upstream.and_then(|upstream| policy.upstreams().get(usize::from(upstream)));
        Trace {
            asked: asked.unwrap_or(UNIX_EPOCH),
            client: job.arrival.peer,
            server: job.arrival.local,
            is_tcp: job.connection.is_some(),
            question: job.query().to_vec(),
            rule: rule.map(|rule| rule.name.clone()),
            steps: self.steps.clone(),
            took,
            apps: self.apps.clone(),
            spans: self.spans.clone(),
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
    /// As an object of JSON. Of the client its network is told, as everywhere.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| {
            object.insert(key.to_owned(), value);
        };
        let since = self.asked.duration_since(UNIX_EPOCH).unwrap_or_default();
        put("time", since.as_secs_f64().into());
        put("client", Addresses::Short.told(self.client.ip()).into());
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
        let apps = self.apps.iter().map(|(app, phase, word)| Value::from(vec![app.as_str(), phase, word]));
        put("apps", apps.collect::<Vec<Value>>().into());
        let span = |Span { app, kind, text, at }: &Span| {
            let [app, kind, text] = [app, *kind, text].map(Value::from);
            Value::from(vec![app, kind, text, micros(*at).into()])
        };
        put("spans", self.spans.iter().map(span).collect::<Vec<Value>>().into());
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::work) fn traced() -> Trace {
        let mut question = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x01a\0\0\x0c\0\x01".to_vec();
        question.extend([0; 11]);
        Trace {
            asked: UNIX_EPOCH + Duration::from_millis(1500),
            client: "192.0.2.7:4000".parse().unwrap(),
            server: "192.0.2.53:53".parse().unwrap(),
            is_tcp: false,
            question,
            rule: Some("lan".to_owned()),
            steps: vec![("route", Duration::ZERO), ("request", Duration::from_micros(12))],
            took: Duration::from_micros(40),
            apps: vec![("filter".to_owned(), "request", "pass")],
            spans: vec![Span {
                app: "filter".to_owned(),
                kind: "event",
                text: "not in the list".to_owned(),
                at: Duration::from_micros(11),
            }],
            cache: Some("miss"),
            upstream: Some("lan".to_owned()),
            rtt: Some(Duration::from_millis(3)),
            outcome: Some("ok"),
            rcode: Some(3),
            reply_len: Some(60),
        }
    }

    #[test]
    fn a_trace_is_an_object() {
        let wanted = serde_json::json!({
            "time": 1.5, "client": "192.0.2.0/24", "server": "192.0.2.53:53", "transport": "udp",
            "name": "a.", "type": "PTR", "class": "IN", "rule": "lan",
            "steps": [["route", 0], ["request", 12]], "apps": [["filter", "request", "pass"]],
            "spans": [["filter", "event", "not in the list", 11]],
            "cache": "miss", "upstream": "lan", "rtt": 3000,
            "outcome": "ok", "rcode": "NXDOMAIN", "reply_bytes": 60,
        });
        assert_eq!(traced().json(), wanted);
        let bare = Trace { question: vec![0; 5], rcode: Some(23), reply_len: None, ..traced() }.json();
        assert_eq!(
            (&bare["name"], &bare["rcode"], &bare["reply_bytes"]),
            (&Value::Null, &"23".into(), &Value::Null)
        );
    }

    #[test]
    fn what_waits_is_written_before_the_end_and_what_is_too_much_is_lost() {
        let (tracing, waiting) = traces(None);
        let to = tracing.to.unwrap();
        let sent = (0..TRACES_QUEUED_MAX + 5).filter(|_| to.try_send(Box::new(traced())).is_ok()).count();
        let (stop, stopped) = bounded::<()>(0);
        drop(stop);
        let mut written = 0;
        run(&waiting, &stopped, |_| written += 1);
        assert_eq!((sent, written), (TRACES_QUEUED_MAX, TRACES_QUEUED_MAX));
    }
}
