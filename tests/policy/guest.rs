//! The application `override` against the node: it is compiled from the same sources, and decides the same.
//! It runs as applications do, and what it wants of the outside is given to it here.
//!
//! `GUEST_PAIRS=` says how many pairs of a file and a query are compared.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use as112d::dns::arrival::{Arrival, Pace, Transport};
use as112d::dns::consts::{flag, rcode};
use as112d::log::Log;
use as112d::policy::facts::{Facts, Outcome, Tags};
use as112d::policy::phase::Phase;
use as112d::policy::{Action, Fallback, Policy, RuleId, check_hook};
use as112d::stats::counters::Totals;
use as112d::stats::families::{APP_METRICS, GUEST_HOSTCALLS_REFUSED, GUEST_REPLIES_BAD, GUEST_TRAPS};
use as112d::stats::ledger::{Ledger, LedgerSettings, Stream, ledger};
use as112d::work::Places;
use as112d::work::sandbox::call::{self, Call, Called, Order};
use as112d::work::sandbox::settings::{Allow, Isolation, Limits, Manifest};
use as112d::work::sandbox::{App, Apps, Engine, Sandbox, Tools};
use serde_json::json;

use crate::made::{COLO, FILE, LISTENERS, NODE, Of, Query, UPSTREAMS, compile, file, world};
use crate::mutate::Dice;
use crate::number;

/// What the application may ask, as its manifest names it.
const FORWARD: [&str; 6] =
    ["wan", "lan", "192.0.2.9:53", "192.0.2.9:5353", "[2001:db8::53]:53", "192.0.2.80:53"];
const METRICS: [&str; 4] = ["hits_total", "would_total", "asked_total", "unanswered_total"];

fn guest(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/override").join(file)
}

/// As its app.toml has it.
fn manifest(rules: &str, colo: &str) -> Manifest {
    let config = json!({
        "rules": { FILE: rules },
        "node": {
            "colo": colo,
            "node": NODE,
            "listeners": LISTENERS,
            "upstreams": UPSTREAMS[..2],
            "forward": FORWARD,
            "resolver": true,
            "databases": true,
        },
    });
    Manifest {
        name: "override".to_owned(),
        place: "app.toml:1".to_owned(),
        module: guest("override.wasm"),
        router: Vec::new(),
        fallback: Fallback::Fail,
        order: 0,
        isolation: Isolation::App,
        phases: Phase::ALL[1..].to_vec(),
        limits: Limits {
            memory: 8 << 20,
            time: Duration::from_millis(2),
            in_flight: 1024,
            queue: 256,
            upstreams: 4,
            // No line is refused, so that whatever else is refused is seen.
            log_lines: u32::MAX,
            restart: (Duration::from_secs(1), Duration::from_secs(60)),
        },
        allow: Allow {
            forward: FORWARD.map(str::to_owned).to_vec(),
            resolve: true,
            metrics: METRICS.map(str::to_owned).to_vec(),
            ..Allow::default()
        },
        config: config.to_string().into_bytes(),
    }
}

/// The application with these rules; why it does not start.
fn load(rules: &str, colo: &str, policy: Option<&Policy>) -> Result<App, Vec<String>> {
    let module = fs::read(guest("override.wasm")).expect("it is there");
    let mut check = |phase, text: &str| world(colo, |world| check_hook(world, phase, text));
    let app = App::load(&Engine::new(), manifest(rules, colo), &module, &mut check);
    let mut app = app.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let id = |name: &&str| {
        let known = policy?.upstreams().iter().position(|upstream| upstream.name == *name);
        // What no rule names is nobody's.
        Some(known.map_or(u16::MAX - 1, |id| id as u16))
    };
    app.upstreams = FORWARD.iter().filter_map(id).collect();
    app.resolver = policy.and_then(Policy::resolver);
    app.label = 1;
    app.metrics = (0..METRICS.len()).collect();
    Ok(app)
}

/// A worker's sandbox with the application alone.
struct Lab {
    sandbox: Sandbox,
    apps: Arc<Apps>,
    /// What the host finds of its hooks.
    hooks: Policy,
    ledger: Ledger,
    stream: Stream,
    now: Instant,
}

impl Lab {
    fn new(app: App, colo: &str) -> Self {
        let hooks: String = app
            .hooks
            .iter()
            .map(|hook| format!("phase = {} and ({}\n) pass\n", hook.phase.name(), hook.condition))
            .collect();
        let (ledger, stream) = ledger(&LedgerSettings::default());
        let mut lab = Self {
            sandbox: Sandbox::new(Tools { places: Places::default(), log: Log::silent() }),
            apps: Arc::new(Apps { apps: vec![Arc::new(app)] }),
            hooks: compile(&hooks, colo).unwrap_or_else(|problems| panic!("{problems:#?}\n{hooks}")),
            ledger,
            stream,
            now: Instant::now(),
        };
        lab.sandbox.refresh(&lab.apps, lab.now, &mut lab.ledger);
        lab
    }

    fn call(&mut self, phase: Phase, token: u32, query: &Query, reply: &[u8]) -> Called {
        let facts = query.facts();
        let transport = if facts.is_tcp { Transport::Tcp { keepalive: 0 } } else { Transport::Udp };
        let arrival = Arrival {
            transport,
            peer: facts.src,
            local: facts.dst,
            listener: facts.listener,
            unix_time: 0,
            pace: Pace::Within,
        };
        let call = Call {
            app: 0,
            phase,
            token,
            rule: 0,
            query: query.packet(),
            arrival: &arrival,
            reply,
            later: facts.later,
            deadline: self.now + Duration::from_secs(2),
            is_traced: false,
        };
        let called = self.sandbox.call(&self.apps, &call, self.now, &mut self.ledger);
        // As a worker does after each batch.
        self.ledger.end_batch();
        called
    }

    /// What it wants: it asks somebody.
    fn asked(&mut self) -> (impl Fn(&mut Self, call::Result<'_>) + use<>, Option<u16>, Duration) {
        let (instance, token, order) = self.sandbox.take_order().expect("it asks");
        assert!(self.sandbox.take_order().is_none(), "and nothing else");
        let Order::Ask { upstream, timeout, .. } = order else { panic!("{order:?}") };
        let tell = move |lab: &mut Self, result: call::Result<'_>| {
            lab.sandbox.done(instance, token, result, lab.now, &mut lab.ledger);
        };
        (tell, upstream, timeout)
    }

    fn finished(&mut self, token: u32) -> Option<Called> {
        let (query, called) = self.sandbox.take_finished()?;
        assert_eq!(query, token);
        Some(called)
    }

    fn totals(&mut self) -> Totals {
        self.ledger.end_batch();
        let mut totals = Totals::default();
        self.stream.counters.read(&mut totals);
        totals
    }
}

/// A reply to a query with this response code.
fn reply(query: &Query, rcode: u16) -> Vec<u8> {
    let end = 12 + query.facts().name().len() + 4;
    let mut reply = query.packet()[..end].to_vec();
    let flags = flag::QR | rcode & 0xF;
    reply[2..4].copy_from_slice(&flags.to_be_bytes());
    reply[11] = 0;
    reply
}

/// What the node makes of a query in a phase; the application is first asked after the phase `route`.
fn decided(
    policy: &Policy,
    phase: Phase,
    facts: &mut Facts<'_>,
    counts: &mut [u64; 4],
) -> Option<(RuleId, Action)> {
    if phase == Phase::Request {
        let taken =
            decided_in(policy, Phase::Route, facts, counts).filter(|(_, action)| *action != Action::Pass);
        if taken.is_some() {
            return taken;
        }
    }
    decided_in(policy, phase, facts, counts)
}

fn decided_in(
    policy: &Policy,
    phase: Phase,
    facts: &mut Facts<'_>,
    counts: &mut [u64; 4],
) -> Option<(RuleId, Action)> {
    let decision = policy.decide(phase, facts, &mut |hit| counts[usize::from(hit.is_dry_run)] += 1);
    facts.tags = decision.tags;
    decision.taken
}

/// The servers that a rule asks, one after the other, as an order names them.
fn servers(policy: &Policy, action: Action) -> Vec<Option<u16>> {
    let Action::Forward(id) = action else { return vec![policy.resolver()] };
    let upstream = &policy.upstreams()[usize::from(id)];
    if UPSTREAMS.contains(&&*upstream.name) {
        return vec![Some(id)];
    }
    let known = |server: String| policy.upstreams().iter().position(|known| known.name == server);
    let named = upstream.servers.iter().map(|server| known(server.to_string()));
    named.map(|known| Some(known.map_or(u16::MAX - 1, |id| id as u16))).collect()
}

/// One query through all phases up to one: the application says in each what the node decides. Returns what
/// was tried.
fn compare(lab: &mut Lab, policy: &Policy, query: &Query, token: u32, counts: &mut [u64; 4]) -> &'static str {
    let mut facts = Facts { tags: Tags(0), ..query.facts() };
    let shown = query.facts().later.rcode.map(|rcode| reply(query, rcode)).unwrap_or_default();
    let last = query.phase.max(Phase::Request);
    let mut tried = "pass";
    for phase in Phase::ALL.into_iter().filter(|phase| (Phase::Request..=last).contains(phase)) {
        let hits_before = counts[0] + counts[1];
        let taken = decided(policy, phase, &mut facts, counts);
        if counts[0] + counts[1] > hits_before {
            let mut is_called = false;
            let _ = lab.hooks.decide(phase, &query.facts(), &mut |_| is_called = true);
            assert!(is_called, "the hook of {} misses it", phase.name());
        }
        let called = lab.call(phase, token, query, &shown);
        let Some((rule, action)) = taken else {
            assert_eq!(called, Called::Pass);
            continue;
        };
        let (expected, name) = match action {
            Action::Answer(code) => (Called::Code(code, None), "answer"),
            Action::Drop => (Called::Drop, "drop"),
            Action::Retry(id) => (Called::Retry(id), "retry"),
            Action::Forward(_) | Action::Resolve => (Called::Later, "ask"),
            _ => (Called::Pass, "pass"),
        };
        assert_eq!(called, expected, "{}: {action:?}", policy.rules()[usize::from(rule)].name);
        tried = name;
        if name == "ask" {
            ask(lab, policy, query, token, (rule, action), counts);
        }
        if expected != Called::Pass {
            break;
        }
    }
    tried
}

/// A rule asks: each of its servers, until one answers; if none does, the fallback of the rule.
fn ask(
    lab: &mut Lab,
    policy: &Policy,
    query: &Query,
    token: u32,
    (rule, action): (RuleId, Action),
    counts: &mut [u64; 4],
) {
    let rule = &policy.rules()[usize::from(rule)];
    let servers = servers(policy, action);
    // The last answers, or nobody: by the ID of the query, which says nothing else.
    let is_answered = query.packet()[0].is_multiple_of(2);
    for (at, server) in servers.iter().enumerate() {
        let (tell, upstream, timeout) = lab.asked();
        assert_eq!(upstream, *server);
        let wanted = rule.timeout.filter(|_| *server != policy.resolver());
        assert_eq!(timeout, wanted.unwrap_or(Duration::from_secs(2)));
        counts[2] += 1;
        if is_answered && at + 1 == servers.len() {
            tell(lab, call::Result::Answer(&reply(query, 3)));
            assert_eq!(lab.finished(token), Some(Called::Reply));
            assert_eq!(lab.sandbox.reply()[3] & 0xF, 3);
            return;
        }
        tell(lab, call::Result::Unanswered(Outcome::Timeout));
        counts[3] += 1;
    }
    let expected = match rule.fallback {
        Fallback::Fail | Fallback::Stale => Called::Code(rcode::SERVFAIL.into(), Some(22)),
        Fallback::Refuse => Called::Code(rcode::REFUSED.into(), None),
        Fallback::Native | Fallback::Next => Called::Pass,
        Fallback::Drop => Called::Drop,
    };
    assert_eq!(lab.finished(token), Some(expected), "{:?}", rule.fallback);
}

#[test]
fn a_guest_decides_as_the_node_does() {
    let (seed, pairs) = (number("SEED", 112), number("GUEST_PAIRS", 5_000));
    let mut tried: HashMap<&str, usize> = HashMap::new();
    // An instance is started for each file, which takes as long as some hundred queries.
    let queries = (pairs / 20).clamp(500, 5000);
    for at in 0..pairs.div_ceil(queries) {
        let mut dice = Dice::new(seed as u64 ^ (at as u64) << 20);
        let text = file(&mut dice, Of::Guest);
        let colo = if dice.once_in(4) { "elsewhere" } else { COLO };
        let policy = compile(&text, colo).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
        let app = load(&text, colo, Some(&policy)).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
        let asked = |phase: &Phase| policy.asked_in(*phase).next().is_some();
        let mut phases: Vec<Phase> = Phase::ALL.into_iter().filter(asked).collect();
        if phases.first() == Some(&Phase::Route) {
            phases[0] = Phase::Request;
            phases.dedup();
        }
        assert_eq!(app.hooks.iter().map(|hook| hook.phase).collect::<Vec<_>>(), phases, "{text}");
        let mut lab = Lab::new(app, colo);
        let mut counts = [0; 4];
        for token in 1..=queries as u32 {
            let query = Query::on_the_wire(&mut dice);
            let compared = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                compare(&mut lab, &policy, &query, token, &mut counts)
            }));
            match compared {
                Ok(name) => *tried.entry(name).or_default() += 1,
                Err(_) => panic!("SEED={seed}, file {at}, query {token}\n{query:?}\n{text}"),
            }
        }
        let totals = lab.totals();
        let counted = [0, 1, 2, 3].map(|metric| totals.get(APP_METRICS.at([0, metric])));
        assert_eq!(counted, counts, "SEED={seed}, file {at}: hits, dry-runs, asked, unanswered\n{text}");
        for family in [&GUEST_TRAPS, &GUEST_HOSTCALLS_REFUSED, &GUEST_REPLIES_BAD] {
            assert_eq!(totals.sum(family), 0, "SEED={seed}, file {at}\n{text}");
        }
    }
    for name in ["pass", "answer", "drop", "retry", "ask"] {
        let times = tried.get(name).copied().unwrap_or_default();
        assert!(times > pairs / 2000, "{tried:?}: every verdict is tried");
    }
}

#[test]
fn mistakes_have_their_place() {
    for (rules, message) in [
        ("any drop\nqtpe = A drop\n", "rules.d/test.rules:2:1: unknown field `qtpe`; did you mean `qtype`?"),
        ("phase = response and any no-store", "rules.d/test.rules:1:1: `no-store` is not for an application"),
        ("any divert 192.0.2.80", "rules.d/test.rules:1:1: `divert` is not for an application"),
        (
            "phase = response and any retry upstream resolver",
            "rules.d/test.rules:1:1: `retry upstream resolver` is not",
        ),
        ("any truncate", "rules.d/test.rules:1:1: `truncate` is not for an application"),
        ("src in { 192.0.2.1 } cache-only", "rules.d/test.rules:1:1: `cache-only` is not for an application"),
        ("phase = request and any app other", "rules.d/test.rules:1:29: there are no applications"),
        (
            "\n phase = request and any forward upstream lan fallback stale",
            "rules.d/test.rules:2:2: `fallback stale` is not for an application",
        ),
        (
            "a: phase = request and any forward 192.0.2.99",
            "rules.d/test.rules:1:1: `[allow] forward` of the application does not name `192.0.2.99:53`",
        ),
        ("any forward upstream lan", "would make this an open resolver"),
    ] {
        let problems = load(rules, COLO, None).expect_err(rules);
        assert!(problems[0].contains(message), "{rules}: {problems:#?}");
    }
}

/// Hooks hold what rules ask, so that the application is woken for little else.
#[test]
fn hooks_say_what_rules_ask() {
    let hooks = |rules: &str| -> Vec<(Phase, String)> {
        let app = load(rules, COLO, None).unwrap_or_else(|problems| panic!("{problems:#?}"));
        app.hooks.into_iter().map(|hook| (hook.phase, hook.condition)).collect()
    };
    let article = include_str!("article.rules");
    let condition = article.split(" forward ").next().expect("it forwards");
    let named = article.replace("192.175.48.6:53", "192.0.2.9:53");
    assert_eq!(hooks(&named), [(Phase::PostCache, condition.to_owned())]);
    assert_eq!(load(&named, "elsewhere", None).expect("it starts").hooks, [], "nothing is asked there");
    assert_eq!(
        hooks("a: qtype = A or rd = no # one\n  drop\nphase = request and country = PT refuse\n"),
        [(Phase::Request, "qtype = A or rd = no # one\nor phase = request and country = PT".to_owned())]
    );
    assert_eq!(hooks("any tag x\nphase = reply and tag = x drop\n")[1], (Phase::Reply, "any".to_owned()));
    assert_eq!(hooks("phase in { route reply } and qtype = A drop\n")[0], (Phase::Request, "any".to_owned()));
    let server = "any forward 192.0.2.9\nphase = reply and upstream = 192.0.2.9:53 drop\n"
        .replace("any", "src = 192.0.2.1");
    assert_eq!(hooks(&server)[1], (Phase::Reply, "any".to_owned()), "the host does not know that one");
    let many: String = (0..300).map(|at| format!("qname = n{at}.example drop\n")).collect();
    assert_eq!(
        hooks(&many.replace("\nqname", "\nphase = request and qname")),
        [(Phase::Request, "any".to_owned())]
    );
}

/// The module is what its sources make.
#[test]
fn the_module_is_made_from_these_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = guest("override.lock");
    let check = Command::new("sha256sum").current_dir(root).args(["--check", "--quiet"]).arg(&lock).output();
    let check = check.expect("sha256sum is installed");
    let told = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(
        check.status.success(),
        "guests/override is made from other sources; run guests/build-override\n{told}"
    );
    // And of those that there are, each is in the lock and needs nothing but core and alloc.
    let lock = fs::read_to_string(lock).expect("it is there");
    let named: Vec<&str> =
        lock.lines().filter_map(|line| line.split_once("  ")).map(|(_, file)| file).collect();
    let rooms = ["src/policy", "src/dns", "guests/override/src"];
    for entry in rooms.into_iter().flat_map(|room| fs::read_dir(root.join(room)).expect("it is there")) {
        let path = entry.expect("an entry").path();
        let name = path.strip_prefix(root).expect("below").to_str().expect("UTF-8").to_owned();
        let is_code =
            path.extension().is_some_and(|extension| extension == "rs") && !name.ends_with("/tests.rs");
        assert!(!is_code || named.contains(&&*name), "{name} is not in the lock; run guests/build-override");
    }
    for file in named.iter().filter(|file| file.starts_with("src/")) {
        let text = fs::read_to_string(root.join(file)).expect("it is there");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        assert!(!code.contains("std::"), "{file}");
    }
    let len = fs::metadata(guest("override.wasm")).expect("it is there").len();
    assert!(len < 400 << 10, "{len} bytes");
}
