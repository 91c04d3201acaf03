//! What is tried with bytes of a guest: they are its memory, its verdicts and the arguments of its hostcalls.
//! Whatever it does, the sandbox says what becomes of the query, what it hands on is sound, and a neighbour
//! answers as before. Bytes may also be a module.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use as112d::dns::arrival::{Arrival, Pace, Transport};
use as112d::dns::message::Message;
use as112d::log::Log;
use as112d::policy::Fallback;
use as112d::policy::facts::{Later, Outcome};
use as112d::policy::phase::Phase;
use as112d::stats::ledger::{self, Ledger, LedgerSettings};
use as112d::work::Places;
use as112d::work::sandbox::call::{Call, Called, Order, Result as Brought};
use as112d::work::sandbox::hostcalls::HOSTCALLS;
use as112d::work::sandbox::settings::{Allow, Isolation, Limits, Manifest};
use as112d::work::sandbox::{App, Apps, Engine, Sandbox, Tools};

/// What is handed to a guest as its reply area begins here: after it the guest keeps what it is fed.
const FED_AT: usize = 131_072;
/// Bytes that it is fed for an event.
const FED_LEN: usize = 256;

/// A guest that does with each query what it was fed: the first byte says which hostcall, then come its
/// arguments, then a verdict; and the rest lies in the area as the request, the query and the reply. It is
/// fed by the queries: what is asked is not for the node.
fn fed() -> Vec<u8> {
    let (mut imports, mut calls) = (String::new(), String::new());
    for (number, hostcall) in HOSTCALLS.iter().enumerate() {
        let kinds: Vec<String> =
            hostcall.parameters.iter().map(|(_, kind)| format!("{kind:?}").to_lowercase()).collect();
        let result = format!("{:?}", hostcall.result).to_lowercase();
        imports += &format!(
            "(import \"as112\" \"{}\" (func $h{number} (param {}) (result {result})))",
            hostcall.name,
            kinds.join(" ")
        );
        let load =
            |(at, kind): (usize, &String)| format!("({kind}.load (i32.const {})) ", FED_AT + 8 + 8 * at);
        let arguments: String = kinds.iter().enumerate().map(load).collect();
        calls += &format!(
            "(if (i32.eq (local.get $call) (i32.const {number})) (then (drop (call $h{number} {arguments}))))"
        );
    }
    let text = format!(
        "(module {imports} (memory (export \"memory\") 3)
           (func (export \"as112_abi\") (result i32) (i32.const 1))
           (func (export \"as112_area\") (result i32) (i32.const 0))
           (func (export \"as112_start\") (param i32) (result i32) (i32.const 0))
           (func (export \"as112_event\") (param i32 i32 i32) (result i64) (local $call i32)
             ;; What it is fed stands in the reply of the phase `reply`.
             (if (i32.eq (i32.load8_u (i32.const 8)) (i32.const 4)) (then
               (memory.copy (i32.const {FED_AT}) (i32.const 2240) (i32.const {FED_LEN}))))
             (local.set $call (i32.load8_u (i32.const {FED_AT})))
             {calls}
             ;; The request, the query and the reply are what it was fed, too.
             (if (i32.load8_u (i32.const {})) (then
               (memory.copy (i32.const 20) (i32.const {}) (i32.const 8))
               (memory.copy (i32.const 128) (i32.const {}) (i32.const 64))
               (memory.copy (i32.const 2240) (i32.const {}) (i32.const 100))))
             (i64.load (i32.const {}))))",
        FED_AT + 1,
        FED_AT + 64,
        FED_AT + 72,
        FED_AT + 136,
        FED_AT + 56,
    );
    wat::parse_str(text).expect("a module")
}

fn manifest() -> Manifest {
    Manifest {
        name: "fed".to_owned(),
        place: "app.toml".to_owned(),
        module: "fed.wasm".into(),
        router: Vec::new(),
        fallback: Fallback::Fail,
        order: 100,
        isolation: Isolation::App,
        phases: Phase::ALL[1..].to_vec(),
        limits: Limits {
            memory: 1 << 20,
            time: Duration::from_millis(1),
            in_flight: 8,
            queue: 256,
            upstreams: 2,
            log_lines: 10,
            restart: (Duration::from_secs(1), Duration::from_secs(60)),
        },
        allow: Allow {
            forward: vec!["lan".to_owned()],
            resolve: true,
            geo: true,
            cache_purge: vec![b"\0".as_slice().into()],
            sockets: vec!["/run/feed.sock".into()],
            metrics: vec!["seen_total".to_owned()],
            authoritative: false,
        },
        config: b"{}".to_vec(),
    }
}

struct Lab {
    sandbox: Sandbox,
    apps: Arc<Apps>,
    ledger: Ledger,
    now: Instant,
}

thread_local! {
    static LAB: RefCell<Lab> = RefCell::new(Lab::new());
}

impl Lab {
    fn new() -> Self {
        let load =
            |bytes: &[u8]| App::load(&Engine::new(), manifest(), bytes, &mut |_, _| Ok(())).expect("a guest");
        let neighbour = "(module (memory (export \"memory\") 2)
            (func (export \"as112_abi\") (result i32) (i32.const 1))
            (func (export \"as112_area\") (result i32) (i32.const 0))
            (func (export \"as112_start\") (param i32) (result i32) (i32.const 0))
            (func (export \"as112_event\") (param i32 i32 i32) (result i64) (i64.const 0x302)))";
        let mut app = load(&fed());
        (app.upstreams, app.resolver, app.metrics, app.label) = (vec![3], Some(7), vec![0], 1);
        let mut neighbour = load(&wat::parse_str(neighbour).expect("a module"));
        neighbour.label = 2;
        let apps = Arc::new(Apps { apps: vec![Arc::new(app), Arc::new(neighbour)] });
        let (mut ledger, _) = ledger::ledger(&LedgerSettings::default());
        let tools = Tools { places: Places::default(), log: Log::silent() };
        let (mut sandbox, now) = (Sandbox::new(tools), Instant::now());
        sandbox.refresh(&apps, now, &mut ledger);
        Self { sandbox, apps, ledger, now }
    }

    fn call(&mut self, app: u16, phase: Phase, token: u32, reply: &[u8]) -> Called {
        let address = |text: &str| text.parse().expect("an address");
        let arrival = Arrival {
            transport: Transport::Udp,
            peer: address("192.0.2.7:4242"),
            local: address("192.175.48.1:53"),
            listener: 0,
            unix_time: 0,
            pace: Pace::default(),
        };
        let call = Call {
            app,
            phase,
            token,
            rule: 0,
            query: QUERY,
            arrival: &arrival,
            reply,
            later: Later::default(),
            deadline: self.now + Duration::from_secs(2),
            is_traced: token.is_multiple_of(2),
        };
        self.sandbox.call(&self.apps, &call, self.now, &mut self.ledger)
    }

    /// What stands for a reply or a query is one.
    fn check(&self, called: Called) {
        if called == Called::Reply {
            let reply = self.sandbox.reply();
            let message = Message::read(reply).expect("a sound reply");
            assert_eq!(reply[..2], QUERY[..2]);
            assert_eq!(reply[12..QUERY.len()], QUERY[12..]);
            // A response to a query: besides, RD, RA and the code alone may be there.
            assert_eq!(message.flags & 0xFE70, 0x8000, "{message:?}");
            assert!(message.opt.is_none() && message.counts[0] == 1);
        }
        if called == Called::Changed {
            let query = self.sandbox.query();
            assert_eq!(query[..4], QUERY[..4]);
            assert_eq!(Message::read(query).expect("a sound query").counts, [1, 0, 0, 0]);
        }
    }

    /// Carries out what is wanted, in one way or another.
    fn orders(&mut self, dice: u8) {
        for _ in 0..20 {
            let Some((instance, token, order)) = self.sandbox.take_order() else { break };
            let brought = match (order, dice % 4) {
                (Order::Ask { query, .. }, 0) => {
                    let answer = [&query[..2], &[0x81, 0x80], &query[4..]].concat();
                    self.sandbox.done(instance, token, Brought::Answer(&answer), self.now, &mut self.ledger);
                    continue;
                }
                (Order::Ask { .. }, _) => Brought::Unanswered(Outcome::Timeout),
                (Order::Timer(_), _) => Brought::Time,
                (Order::Purge { .. }, _) => Brought::Purged(3),
                (Order::Cancel(_) | Order::Close(_), _) => continue,
                (Order::Open(_) | Order::Send(..) | Order::Receive(_), 0 | 1) => Brought::Bytes(&[1, 2, 3]),
                (Order::Open(_) | Order::Send(..) | Order::Receive(_), _) => Brought::Closed,
            };
            self.sandbox.done(instance, token, brought, self.now, &mut self.ledger);
        }
        while let Some((_, called)) = self.sandbox.take_finished() {
            self.check(called);
        }
        while self.sandbox.take_span().is_some() {}
    }
}

/// 1.0.10.in-addr.arpa PTR, with RD.
const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x011\x010\x0210\x07in-addr\x04arpa\0\0\x0c\0\x01";

/// Feeds a guest. Whether it had its way: no fallback.
pub fn guest(bytes: &[u8]) -> bool {
    let taken = LAB.with_borrow_mut(|lab| {
        let mut fed = bytes.to_vec();
        fed.resize(FED_LEN, 0);
        fed[0] %= HOSTCALLS.len() as u8 + 1;
        let token = 1 + u32::from(fed[2]) % 8;
        let first = lab.call(0, Phase::Reply, token, &fed);
        lab.check(first);
        lab.orders(fed[3]);
        let again = lab.call(0, Phase::Request, token + 8, &[]);
        lab.check(again);
        lab.orders(fed[3]);
        if fed[4].is_multiple_of(2) {
            lab.sandbox.forget(token);
        }
        assert_eq!(lab.call(1, Phase::Request, 99, &[]), Called::Code(3, None), "the neighbour is as ever");
        // What trapped too often is back.
        lab.now += Duration::from_secs(61);
        lab.sandbox.tick(lab.now, &mut lab.ledger);
        lab.orders(fed[3]);
        lab.ledger.end_batch();
        first != Called::Failed
    });
    let is_module = bytes.starts_with(b"\0asm");
    if is_module && let Err(problems) = App::load(&Engine::new(), manifest(), bytes, &mut |_, _| Ok(())) {
        assert!(
            !problems.is_empty() && problems.iter().all(|problem| problem.place == "fed.wasm"),
            "{problems:?}"
        );
    }
    taken
}
