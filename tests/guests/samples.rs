//! Each sample does what it says, as the module that is committed, with its own manifest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use as112d::config::apps::Described;
use as112d::dns::arrival::Transport;
use as112d::log::Log;
use as112d::policy::facts::Later;
use as112d::policy::phase::Phase;
use as112d::stats::ledger::{Ledger, LedgerSettings, Stream, ledger};
use as112d::work::Places;
use as112d::work::sandbox::call::{self, Call, Called, Order};
use as112d::work::sandbox::{App, Apps, Engine, InstanceId, Sandbox, Tools};

use crate::common::guest::{described, module};
use crate::common::{question, udp, wire_name};

/// A sandbox with one sample.
struct Lab {
    sandbox: Sandbox,
    apps: Arc<Apps>,
    now: Instant,
    ledger: Ledger,
    _stream: Stream,
}

impl Lab {
    fn new(name: &str) -> Self {
        Self::with(described(name))
    }

    fn with(described: Described) -> Self {
        let name = described.manifest.name.clone();
        let mut app = App::load(&Engine::new(), described.manifest, &module(&name), &mut |_, _| Ok(()))
            .unwrap_or_else(|problems| panic!("{problems:?}"));
        app.metrics = (0..app.manifest.allow.metrics.len()).collect();
        let apps = Arc::new(Apps { apps: vec![Arc::new(app)] });
        let (mut ledger, stream) = ledger(&LedgerSettings::default());
        let mut sandbox = Sandbox::new(Tools { places: Places::default(), log: Log::silent() });
        let now = Instant::now();
        sandbox.refresh(&apps, now, &mut ledger);
        Self { sandbox, apps, now, ledger, _stream: stream }
    }

    fn call(&mut self, phase: Phase, token: u32, query: &[u8], reply: &[u8], is_tcp: bool) -> Called {
        let mut arrival = udp();
        if is_tcp {
            arrival.transport = Transport::Tcp { keepalive: 0 };
        }
        let call = Call {
            app: 0,
            phase,
            token,
            rule: 0,
            query,
            arrival: &arrival,
            reply,
            later: Later { rcode: Some(2), ..Later::default() },
            deadline: self.now + Duration::from_secs(2),
            is_traced: false,
        };
        let called = self.sandbox.call(&self.apps, &call, self.now, &mut self.ledger);
        self.ledger.end_batch();
        called
    }

    fn ask(&mut self, name: &str, qtype: u16) -> Called {
        self.call(Phase::Request, 7, &question(&wire_name(name), qtype, 1), &[], false)
    }

    fn order(&mut self) -> (InstanceId, u32, Order) {
        self.sandbox.take_order().expect("it wants something")
    }

    fn done(&mut self, instance: InstanceId, token: u32, result: call::Result<'_>) {
        self.sandbox.done(instance, token, result, self.now, &mut self.ledger);
    }
}

#[test]
fn filter_blocks_what_its_file_lists() {
    let mut lab = Lab::new("filter");
    assert_eq!(lab.apps.apps[0].hooks.len(), 1);
    for (name, called) in [
        ("blocked.example", Called::Code(3, Some(15))),
        ("www.Tracker.example", Called::Code(3, Some(15))),
        ("xblocked.example", Called::Pass),
        ("example", Called::Pass),
    ] {
        assert_eq!(lab.ask(name, 1), called, "{name}");
    }
}

/// Long lists take memory piece by piece, and each piece moves; all names are still there.
#[test]
fn filter_takes_a_long_list() {
    let mut described = described("filter");
    let names: Vec<String> = (0..3000).map(|number| format!("n{number}.example")).collect();
    described.manifest.config = serde_json::json!({ "lists": [names.join("\n")] }).to_string().into_bytes();
    let mut lab = Lab::with(described);
    for number in (0..3000).step_by(7) {
        assert_eq!(lab.ask(&format!("www.n{number}.example"), 1), Called::Code(3, Some(15)), "{number}");
        assert_eq!(lab.ask(&format!("m{number}.example"), 1), Called::Pass, "{number}");
    }
}

/// What is held is freed: more than would fit at one time.
#[test]
fn purge_holds_and_frees_for_ever() {
    let mut lab = Lab::new("purge");
    let name = format!("{}.example.com.name.purge.internal", ["a".repeat(60).as_str(); 3].join("."));
    for round in 0..2000 {
        assert_eq!(lab.ask(&name, 16), Called::Later, "{round}");
        let (instance, token, _) = lab.order();
        lab.done(instance, token, call::Result::Purged(round));
        assert_eq!(lab.sandbox.take_finished(), Some((7, Called::Reply)), "{round}");
    }
    lab.sandbox.tick(lab.now + Duration::from_secs(1), &mut lab.ledger);
    assert!(lab.sandbox.gauges().app(0).memory() < 512 << 10, "it has grown");
}

#[test]
fn mitigate_limits_a_network_and_sends_it_to_tcp() {
    let mut lab = Lab::new("mitigate");
    let burst = (0..200).take_while(|_| lab.ask("1.10.in-addr.arpa", 12) == Called::Pass).count();
    assert_eq!(burst, 100);
    assert_eq!(lab.ask("1.10.in-addr.arpa", 12), Called::Reply);
    assert!(lab.sandbox.reply().len() > 1232, "no datagram takes it");
    let query = question(&wire_name("1.10.in-addr.arpa"), 12, 1);
    assert_eq!(lab.call(Phase::Request, 7, &query, &[], true), Called::Pass);
}

#[test]
fn log_connects_writes_and_connects_again() {
    let mut lab = Lab::new("log");
    let (instance, socket, order) = lab.order();
    assert!(matches!(&order, Order::Open(path) if path.ends_with("log.sock")), "{order:?}");
    lab.done(instance, socket, call::Result::Bytes(&[]));
    let query = question(&wire_name("lost.example"), 12, 1);
    assert_eq!(lab.call(Phase::Done, 7, &query, &query, false), Called::Pass);
    // Lines are gathered for a moment.
    let (_, timer, order) = lab.order();
    assert!(matches!(order, Order::Timer(_)), "{order:?}");
    lab.done(instance, timer, call::Result::Time);
    let (_, send, order) = lab.order();
    let Order::Send(to, bytes) = order else { panic!("{order:?}") };
    assert_eq!(to, socket);
    let line: serde_json::Value = serde_json::from_slice(&bytes).expect("a line of JSON");
    assert_eq!(line["name"], "lost.example.");
    assert_eq!((&line["type"], &line["rcode"]), (&12.into(), &2.into()));
    // The other side goes: it is closed, and opened again after a pause.
    lab.done(instance, send, call::Result::Closed);
    let (_, _, order) = lab.order();
    assert!(matches!(order, Order::Close(_)), "{order:?}");
    let (_, timer, order) = lab.order();
    assert!(matches!(order, Order::Timer(pause) if pause == Duration::from_secs(1)), "{order:?}");
    lab.done(instance, timer, call::Result::Time);
    let (_, socket, order) = lab.order();
    assert!(matches!(order, Order::Open(_)), "{order:?}");
    lab.done(instance, socket, call::Result::Bytes(&[]));
    let (_, _, order) = lab.order();
    assert!(matches!(&order, Order::Send(_, again) if *again == bytes), "{order:?}");
}

#[test]
fn purge_waits_for_the_purge_and_tells() {
    let mut lab = Lab::new("purge");
    assert_eq!(lab.ask("www.example.com.tree.purge.internal", 16), Called::Later);
    let (instance, token, order) = lab.order();
    let Order::Purge { qname, subtree } = order else { panic!("{order:?}") };
    assert_eq!((&qname[..], subtree), (&wire_name("www.example.com")[..], true));
    lab.done(instance, token, call::Result::Purged(12));
    assert_eq!(lab.sandbox.take_finished(), Some((7, Called::Reply)));
    assert!(lab.sandbox.reply().ends_with(b"\x0a12 entries"));
    // What the manifest does not allow is refused, and said so.
    let called = lab.ask("example.org.name.purge.internal", 16);
    assert_eq!(called, Called::Code(5, Some(18)));
}
