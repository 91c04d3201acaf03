//! Guests as text, of all kinds.

mod calls;
mod hostile;
mod life;
mod modules;
mod pointers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::call::{Call, Called};
use super::settings::{Allow, Isolation, Limits, Manifest};
use super::{App, Apps, Engine, Sandbox, Tools};
use crate::dns::arrival::{Arrival, Pace, Transport};
use crate::log::Log;
use crate::policy::Fallback;
use crate::policy::facts::Later;
use crate::policy::phase::Phase;
use crate::problem::Problem;
use crate::stats::counters::Totals;
use crate::stats::families::OfPlatform;
use crate::stats::ledger::{self, Ledger, LedgerSettings, Stream};
use crate::work::places::Places;

/// A manifest that allows nothing.
pub(in crate::work) fn manifest(name: &str) -> Manifest {
    Manifest {
        name: name.to_owned(),
        place: format!("apps.d/{name}/app.toml"),
        module: format!("apps.d/{name}/{name}.wasm").into(),
        router: Vec::new(),
        fallback: Fallback::Fail,
        order: 100,
        isolation: Isolation::App,
        phases: Phase::ALL[1..].to_vec(),
        limits: Limits {
            memory: 4 << 20,
            time: Duration::from_millis(1),
            in_flight: 4,
            queue: 256,
            upstreams: 2,
            log_lines: 3,
            restart: (Duration::from_secs(1), Duration::from_secs(60)),
        },
        allow: Allow::default(),
        config: b"{\"colour\":\"blue\"}".to_vec(),
    }
}

/// A guest in WAT: what every guest needs, and `more`, which has `event` and what it calls.
pub(in crate::work) fn guest(imports: &str, more: &str) -> Vec<u8> {
    let start = if more.contains("\"as112_start\"") {
        ""
    } else {
        "(func (export \"as112_start\") (param i32) (result i32) (i32.const 0))"
    };
    let text = format!(
        "(module {imports}
           (memory (export \"memory\") 4)
           (func (export \"as112_abi\") (result i32) (i32.const 1))
           (func (export \"as112_area\") (result i32) (i32.const 1024))
           {start}
           {more})"
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A guest whose events are `body`, with parameters `$kind`, `$token`, `$len`.
pub(in crate::work) fn event(imports: &str, body: &str) -> Vec<u8> {
    let head =
        "(func (export \"as112_event\") (param $kind i32) (param $token i32) (param $len i32) (result i64)";
    guest(imports, &format!("{head} {body})"))
}

/// Loads it; all conditions of hooks are right that do not contain `wrong`.
pub(in crate::work) fn load(manifest: Manifest, bytes: &[u8]) -> Result<App, Vec<Problem>> {
    let mut check = |_: Phase, condition: &str| match condition.find("wrong") {
        Some(at) => Err((at + 1, "unknown field `wrong`".to_owned())),
        None => Ok(()),
    };
    App::load(&Engine::new(), manifest, bytes, &mut check)
}

/// The query for 1.0.0.10.in-addr.arpa PTR, with RD.
pub(super) fn query() -> Vec<u8> {
    let mut query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    query.extend(b"\x011\x010\x010\x0210\x07in-addr\x04arpa\0\0\x0c\0\x01");
    query
}

pub(super) fn arrival() -> Arrival {
    Arrival {
        transport: Transport::Udp,
        peer: "192.0.2.7:4242".parse().unwrap(),
        local: "192.175.48.1:53".parse().unwrap(),
        listener: 3,
        unix_time: 0,
        pace: Pace::default(),
    }
}

/// A sandbox with applications, and what it counts with.
pub(super) struct Lab {
    pub(super) sandbox: Sandbox,
    pub(super) apps: Arc<Apps>,
    pub(super) now: Instant,
    pub(super) ledger: Ledger,
    pub(super) stream: Stream,
    pub(super) arrival: Arrival,
    pub(super) query: Vec<u8>,
    pub(super) is_traced: bool,
}

impl Lab {
    /// Applications are counted by their number, from 1 on.
    pub(super) fn new(apps: Vec<App>) -> Self {
        let tools = Tools { places: Places::default(), log: Log::silent() };
        Self::with(tools, apps)
    }

    pub(super) fn with(tools: Tools, apps: Vec<App>) -> Self {
        let (ledger, stream) = ledger::ledger(&LedgerSettings::default());
        let mut lab = Self {
            sandbox: Sandbox::new(tools),
            apps: Arc::default(),
            now: Instant::now(),
            ledger,
            stream,
            arrival: arrival(),
            query: query(),
            is_traced: false,
        };
        lab.refresh(apps);
        lab
    }

    pub(super) fn refresh(&mut self, apps: Vec<App>) {
        let numbered = apps.into_iter().enumerate().map(|(number, mut app)| {
            app.label = number + 1;
            app.metrics = (0..app.manifest.allow.metrics.len()).collect();
            Arc::new(app)
        });
        self.apps = Arc::new(Apps { apps: numbered.collect() });
        self.sandbox.refresh(&self.apps, self.now, &mut self.ledger);
    }

    pub(super) fn call(&mut self, app: u16, token: u32) -> Called {
        self.call_in(Phase::Request, app, token, &[], Later::default())
    }

    pub(super) fn call_in(
        &mut self,
        phase: Phase,
        app: u16,
        token: u32,
        reply: &[u8],
        later: Later,
    ) -> Called {
        let call = Call {
            app,
            phase,
            token,
            rule: 7,
            query: &self.query,
            arrival: &self.arrival,
            reply,
            later,
            deadline: self.now + Duration::from_secs(2),
            is_traced: self.is_traced,
        };
        self.sandbox.call(&self.apps, &call, self.now, &mut self.ledger)
    }

    pub(super) fn tick(&mut self, after: Duration) {
        self.now += after;
        self.sandbox.tick(self.now, &mut self.ledger);
    }

    pub(super) fn count<const N: usize>(&mut self, family: &'static OfPlatform, values: [usize; N]) -> u64 {
        self.ledger.end_batch();
        let mut totals = Totals::default();
        self.stream.counters.read(&mut totals);
        totals.get(family.at(values))
    }
}
