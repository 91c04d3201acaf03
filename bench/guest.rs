//! What a worker pays for a guest: the same source natively, and as a guest in the sandbox: a query that is
//! passed, one that is answered, and one that is passed after a hostcall. Each bench checks what it times.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};

use as112d::dns::arrival::{Arrival, Pace, Transport};
use as112d::log::Log;
use as112d::policy::Fallback;
use as112d::policy::facts::Later;
use as112d::policy::phase::Phase;
use as112d::stats::ledger::{self, LedgerSettings};
use as112d::work::Places;
use as112d::work::sandbox::call::{Call, Called};
use as112d::work::sandbox::settings::{Allow, Isolation, Limits, Manifest};
use as112d::work::sandbox::{App, Apps, Engine, Sandbox, Tools};

#[path = "guest/decide.rs"]
mod decide;

use decide::{Decision, decide};

static GUEST: &[u8] = include_bytes!("guest/guest.wasm");

fn manifest(isolation: Isolation, time: Duration) -> Manifest {
    Manifest {
        name: "bench".to_owned(),
        place: "app.toml".to_owned(),
        module: "guest.wasm".into(),
        router: Vec::new(),
        fallback: Fallback::Fail,
        order: 100,
        isolation,
        phases: vec![Phase::Request, Phase::PostCache],
        limits: Limits {
            memory: 4 << 20,
            time,
            in_flight: 1024,
            queue: 256,
            upstreams: 4,
            log_lines: 10,
            restart: (Duration::from_secs(1), Duration::from_secs(60)),
        },
        allow: Allow { authoritative: true, ..Allow::default() },
        config: Vec::new(),
    }
}

fn load(manifest: Manifest, module: &[u8]) -> Arc<Apps> {
    let app = App::load(&Engine::new(), manifest, module, &mut |_, _| Ok(())).expect("a guest");
    Arc::new(Apps { apps: vec![Arc::new(app)] })
}

fn query(name: &[u8]) -> Vec<u8> {
    [b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0", name, b"\0\x0c\0\x01"].concat()
}

/// What calls a guest in a phase.
struct Bench {
    sandbox: Sandbox,
    apps: Arc<Apps>,
    ledger: ledger::Ledger,
    arrival: Arrival,
    now: Instant,
}

impl Bench {
    fn new(apps: Arc<Apps>) -> Self {
        let tools = Tools { places: Places::default(), log: Log::silent() };
        let (mut ledger, _) = ledger::ledger(&LedgerSettings::default());
        let (mut sandbox, now) = (Sandbox::new(tools), Instant::now());
        sandbox.refresh(&apps, now, &mut ledger);
        let address = |text: &str| text.parse().expect("an address");
        let arrival = Arrival {
            transport: Transport::Udp,
            peer: address("192.0.2.7:4242"),
            local: address("192.175.48.1:53"),
            listener: 0,
            unix_time: 0,
            pace: Pace::default(),
        };
        Self { sandbox, apps, ledger, arrival, now }
    }

    fn call(&mut self, phase: Phase, query: &[u8]) -> Called {
        let call = Call {
            app: 0,
            phase,
            token: 1,
            rule: 0,
            query,
            arrival: &self.arrival,
            reply: &[],
            later: Later::default(),
            deadline: self.now + Duration::from_secs(2),
            is_traced: false,
        };
        self.sandbox.call(&self.apps, &call, self.now, &mut self.ledger)
    }
}

fn guest(criterion: &mut Criterion) {
    let passed = query(b"\x03www\x04some\x07example\x03com\0");
    let answered = query(b"\x013\x012\x011\x0210\x07in-ADDR\x04arpa\0");
    let mut reply = [0; 4096];
    for (name, query, wanted) in
        [("pass", &passed, Decision::Pass), ("answer", &answered, Decision::Reply(answered.len() + 64))]
    {
        assert_eq!(decide(query, &mut reply), wanted);
        criterion.bench_function(&format!("guest/native {name}"), |bencher| {
            bencher.iter(|| decide(black_box(query), black_box(&mut reply)));
        });
    }
    let mut bench = Bench::new(load(manifest(Isolation::App, Duration::from_millis(1)), GUEST));
    for (name, phase, query, wanted) in [
        ("pass", Phase::Request, &passed, Called::Pass),
        ("answer", Phase::Request, &answered, Called::Reply),
        ("pass with a hostcall", Phase::PostCache, &passed, Called::Pass),
    ] {
        assert_eq!(bench.call(phase, query), wanted);
        criterion.bench_function(&format!("guest/sandbox {name}"), |bencher| {
            bencher.iter(|| bench.call(phase, black_box(query)));
        });
    }
    let mut bench = Bench::new(load(manifest(Isolation::Query, Duration::from_millis(1)), GUEST));
    assert_eq!(bench.call(Phase::Request, &passed), Called::Pass);
    criterion.bench_function("guest/sandbox pass, an instance for each query", |bencher| {
        bencher.iter(|| bench.call(Phase::Request, black_box(&passed)));
    });
    criterion.bench_function("guest/load", |bencher| {
        bencher.iter(|| load(manifest(Isolation::App, Duration::from_millis(1)), black_box(GUEST)));
    });
}

/// How long a guest that does nothing but count takes to burn the fuel of 100 ms: what
/// `FUEL_A_MILLISECOND` was chosen by.
fn fuel(criterion: &mut Criterion) {
    let wasm = wat::parse_str(include_str!("../guests/hostile/loop.wat")).expect("a module");
    let limits = manifest(Isolation::App, Duration::from_millis(100));
    let apps = load(limits, &wasm);
    let query = query(b"\x01a\0");
    criterion.bench_function("guest/100 ms of fuel", |bencher| {
        bencher.iter_custom(|times| {
            (0..times)
                .map(|_| {
                    let mut bench = Bench::new(Arc::clone(&apps));
                    let began = Instant::now();
                    assert_eq!(bench.call(Phase::Request, &query), Called::Failed);
                    began.elapsed()
                })
                .sum()
        });
    });
}

criterion_group!(benches, guest, fuel);
criterion_main!(benches);
