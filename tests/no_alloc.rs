//! `serve` allocates nothing, nor does the hand-over: all golden queries, by both doors, without rules and
//! with them, under an allocator that counts. Nor does a lookup in a worker's cache.

mod common;
#[path = "policy/made.rs"]
#[allow(dead_code, reason = "files that are right are enough here")]
mod made;
#[path = "common/mutate.rs"]
#[allow(dead_code, reason = "the dice alone are used here")]
mod mutate;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use as112d::dns::message::Message;
use as112d::limits::TCP_REPLY_LEN_MAX;
use as112d::policy::phase::Phase;
use as112d::serve::job::{JobSettings, Taken, desk};
use as112d::serve::limiter::{self, Limiter, RateLimit};
use as112d::serve::snapshot::{Settings, Snapshot};
use as112d::serve::{Verdict, answer_code, fallback, identity, serve};
use as112d::stats::account::Account;
use as112d::stats::ledger::{LedgerSettings, ledger};
use as112d::stats::tap::TapSettings;
use as112d::sys::wake::Waker;
use as112d::work::cache::{self, Cache, Found, Key, Stored};
use as112d::zone;

use common::golden::{Case, Node};
use common::tailored::{subnet, subnets, tailored};
use common::{options, policy, query, settings, tcp, udp, with_opt};
use mutate::Dice;

thread_local! {
    /// Allocations of this thread. Constant and without a destructor, so that counting itself allocates
    /// nothing.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting by thread: the test harness has threads of its own.
struct Counting;

#[expect(unsafe_code, reason = "an allocator has no safe face; this one hands everything on")]
// SAFETY: every call goes to `System` with the arguments of the caller, who keeps the contract of
// `GlobalAlloc`, and what `System` returns is returned unchanged. Counting touches one thread-local number
// and never allocates or unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: `layout` is the caller's, who keeps `GlobalAlloc::alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from `alloc` above, which is `System`'s, with this `layout`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn serve_allocates_nothing() {
    let before = ALLOCATIONS.get();
    drop(black_box(vec![1_u8]));
    assert_eq!(ALLOCATIONS.get(), before + 1, "the allocator counts");

    let mut nodes = HashMap::new();
    let mut slot = vec![0; TCP_REPLY_LEN_MAX];
    // Every source is sampled, and every query is copied out, as far as there are records.
    let taps = TapSettings { query_log: Some(NonZeroU32::MIN), dnstap: Some(NonZeroU32::MIN) };
    let (mut ledger, _stream) = ledger(&LedgerSettings { taps, ..LedgerSettings::default() });
    let settings = limiter::Settings {
        per_second: 2,
        dry_run: false,
        slip: 1,
        ipv4_prefix: 24,
        ipv6_prefix: 56,
        exempt: vec!["192.0.2.0/24".parse().expect("a network")],
    };
    let (mut limiter, limit) = (Limiter::default(), RateLimit::new(&settings));
    for case in Case::all() {
        let node = nodes.entry(case.config.clone()).or_insert_with(|| Node::load(&case.config));
        for arrival in case.arrivals() {
            let len = case.query.len();
            slot[..len].copy_from_slice(&case.query);
            let before = ALLOCATIONS.get();
            limiter.tick(Instant::now());
            let claim = limiter.look(&limit, arrival.peer.ip());
            limiter.charge(&claim);
            ledger.see(&slot, len, &arrival.peer, &arrival.local);
            let mut account = Account::default();
            let verdict = serve(&node.snapshot, &arrival, &mut slot, len, &mut account);
            let reply = match verdict {
                Verdict::Reply(len) => Some(&slot[..len]),
                Verdict::Drop | Verdict::HandOff(_) => None,
            };
            ledger.post(&account, arrival.peer.ip(), reply);
            ledger.stopwatch.record(Duration::from_micros(1), 1000);
            ledger.stopwatch.tick(Instant::now() + Duration::from_secs(10));
            ledger.end_batch();
            let allocations = ALLOCATIONS.get() - before;
            assert_eq!(allocations, 0, "{}: {verdict:?} {account:?}", case.name());
        }
    }
}

/// The address of a PoP, by an alias, by a wildcard, of any type; who asks; beacons: with subnets or none.
#[test]
fn answers_that_depend_on_who_asks_allocate_nothing() {
    let strict = tailored(|settings| settings.beacons_over_tcp = true);
    let nodes = [tailored(|_| ()), strict];
    let (mut ledger, _stream) = ledger(&LedgerSettings::default());
    let mut slot = vec![0; TCP_REPLY_LEN_MAX];
    let names = ["www", "x.cdn", "alias", "q.apps", "www.to", "y.whoami", "who", "x.b", "x.t.b", "plain"];
    let mut options: Vec<Vec<u8>> = subnets().iter().step_by(9).map(|of| subnet(of)).collect();
    // None, and one that is not sound.
    options.extend([Vec::new(), vec![0, 8, 0, 0]]);
    for (name, qtype) in names.into_iter().flat_map(|name| [1, 15, 16, 28, 255].map(|qtype| (name, qtype))) {
        for option in &options {
            let query = with_opt(query(&format!("{name}.example.net"), qtype), 1232, option);
            for (node, arrival) in nodes.iter().flat_map(|node| [udp(), tcp()].map(|arrival| (node, arrival)))
            {
                slot[..query.len()].copy_from_slice(&query);
                let before = ALLOCATIONS.get();
                let mut account = Account::default();
                let verdict = serve(node, &arrival, &mut slot, query.len(), &mut account);
                let Verdict::Reply(mut len) = verdict else { panic!("{verdict:?}") };
                ledger.post(&account, arrival.peer.ip(), Some(&slot[..len]));
                if identity::has_texts(&account) {
                    len = identity::emptied(&mut slot, len);
                }
                ledger.end_batch();
                let allocations = ALLOCATIONS.get() - before;
                assert!(allocations == 0 && len > 12, "{name} {qtype} {option:?}: {allocations}");
            }
        }
    }
}

#[test]
fn a_lookup_in_the_cache_allocates_nothing() {
    let mut cache = Cache::new(&cache::Settings { size: 1 << 20, ..cache::Settings::default() });
    let qname = b"\x03www\x07example\x03org\0";
    let key = |qtype| Key {
        view: 1,
        qname,
        qtype,
        qclass: 1,
        dnssec_ok: true,
        checking_disabled: false,
        subnet: None,
    };
    let record = [&[0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 100, 0, 4][..], &[192, 0, 2, 1]].concat();
    let header = [0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    let message = [&header[..], qname, &[0, 1, 0, 1], &record].concat();
    let (now, mut out) = (Instant::now(), Vec::with_capacity(4096));
    assert_eq!(cache.store(&key(1), &message, None, now), Stored::Positive);
    cache.fail(&key(2), now);
    let mut found = Vec::with_capacity(9);
    let before = ALLOCATIONS.get();
    let read = black_box(Message::read(&message)).is_ok();
    for (qtype, after) in [(1, 0), (1, 1), (1, 95), (1, 96), (1, 200), (2, 1), (3, 0), (1, 200_000)] {
        found.push(cache.look(&key(qtype), now + Duration::from_secs(after), &mut out));
    }
    cache.stale_tried(&key(1), now + Duration::from_secs(200));
    found.push(cache.look(&key(1), now + Duration::from_secs(201), &mut out));
    assert_eq!(ALLOCATIONS.get() - before, 0);
    let (fresh, miss) = (Found::Fresh, Found::Miss);
    assert!(read);
    assert_eq!(
        found,
        [fresh, fresh, Found::Prefetch, fresh, Found::Stale, Found::Failure, miss, miss, Found::Held]
    );
}

/// One of each kind: what is decided in the slot, what is handed over, and what a later phase may concern.
const RULES: &str = "phase = post-cache and qname-suffix in { 10.in-addr.arpa } forward 192.0.2.1:53
    qtype in { TXT } and not qname-suffix in { as112.net } truncate
    qtype in { AAAA } answer NXDOMAIN
    qtype in { SOA } tag soa
    sample = 1/3 and qtype in { NS } drop
    src in { 0.0.0.0/0 ::/0 } and qname-suffix in { example.com 168.192.in-addr.arpa } forward 192.0.2.1:53";

#[test]
fn rules_and_the_hand_over_allocate_nothing() {
    let zones = zone::load(&options(&[])).expect("the zones load");
    let node = Snapshot::new(&zones, Settings { policy: policy(RULES, &[]), ..settings() }).expect("sound");
    let wakers = [Waker::new().expect("a descriptor")];
    // So few that some are refused, as what was handed over stays out for a while.
    let (mut desk, mut inboxes) = desk(&JobSettings { workers: 1, jobs: 8, share: 6 }, &wakers);
    let inbox = &mut inboxes[0];
    let mut slot = vec![0; TCP_REPLY_LEN_MAX];
    let mut out = vec![0; TCP_REPLY_LEN_MAX];
    let (mut ledger, _stream) = ledger(&LedgerSettings::default());
    let (mut handed, mut refused, mut ruled) = (0, 0, 0);
    for (number, case) in Case::all().iter().enumerate() {
        for arrival in case.arrivals() {
            let len = case.query.len();
            slot[..len].copy_from_slice(&case.query);
            let asked = Instant::now();
            let before = ALLOCATIONS.get();
            let mut account = Account::default();
            let mut verdict = serve(&node, &arrival, &mut slot, len, &mut account);
            if let Verdict::HandOff(way) = verdict {
                let ((label, share), packet) = (node.route_share(way), &slot[..len]);
                let (account_now, connection) = (account, None);
                let taken = Taken {
                    arrival: &arrival,
                    socket: 0,
                    connection,
                    account: &account_now,
                    label,
                    share,
                    asked,
                    packet,
                };
                if desk.hand_over(way, &taken).is_ok() {
                    handed += 1;
                } else {
                    refused += 1;
                    verdict = fallback(&node, way, &arrival, &mut slot, len, &mut account);
                }
            }
            if let Verdict::Reply(len) = verdict {
                ledger.post(&account, arrival.peer.ip(), Some(&slot[..len]));
            }
            if number % 16 == 0 {
                while let Some(job) = inbox.take() {
                    answer_code(&node, &job.arrival, job.query(), 2, None, &mut out);
                    inbox.give_back(job);
                }
            }
            desk.end_turn();
            ledger.end_batch();
            let allocations = ALLOCATIONS.get() - before;
            assert_eq!(allocations, 0, "{}: {verdict:?} {account:?}", case.name());
            ruled += u64::from(account.ruled.is_some());
        }
    }
    assert!(handed > 20 && refused > 20 && ruled > 400, "{handed} {refused} {ruled}");
}

#[test]
fn a_decision_allocates_nothing() {
    let (mut hits, mut dice) = (0, Dice::new(112));
    for _ in 0..50 {
        let text = made::file(&mut dice, made::Of::Node);
        let policy =
            made::compile(&text, made::COLO).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
        for _ in 0..100 {
            let query = made::Query::new(&mut dice, &[]);
            let (facts, rule) = (query.facts(), dice.below(10) as u16);
            let before = ALLOCATIONS.get();
            for phase in Phase::ALL {
                black_box(policy.decide(phase, &facts, &mut |_| hits += 1));
                black_box(policy.decide_after(phase, rule, &facts, &mut |_| hits += 1));
            }
            black_box(policy.may_concern(&facts));
            assert_eq!(ALLOCATIONS.get(), before, "{query:?}\n{text}");
        }
    }
    assert!(hits > 10_000, "{hits} rules matched");
}
