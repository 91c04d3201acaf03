//! The answer path without sockets: parse, lookup, answer by case, counting, a batch through a simulated
//! ring; and the compilation of zones. Each bench checks the answer that it times.

mod cases;
#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

use as112d::answer::Answers;
use as112d::dns::arrival::Arrival;
use as112d::dns::consts::HEADER_LEN;
use as112d::dns::name::Walk;
use as112d::dns::query::{Header, Query, parse};
use as112d::limits::{RING_SLOTS, SLOT_PAYLOAD_LEN};
use as112d::serve::snapshot::Snapshot;
use as112d::serve::{Verdict, serve};
use as112d::stats::account::Account;
use as112d::stats::counters::{QUERIES, Totals};
use as112d::sys::Local;
use as112d::sys::ring::sim::SimRing;
use as112d::zone::{self, ZoneEntry, ZoneSource};

use cases::{BATCH, arrival, batch, cases, new_ledger, slot};
use common::{node, options, settings, udp};

/// Zones of a node that serves many beside the built-in ones.
const MANY: usize = 10_000;

fn parts(criterion: &mut Criterion) {
    let zones = zone::load(&options(&[])).expect("the built-in zones load");
    let (answers, _) = Answers::compile(&zones, &mut Vec::new()).expect("they compile");
    let mut group = criterion.benchmark_group("parse");
    for case in cases() {
        let slot = slot(&case.query);
        let read = || {
            let mut query = Query::default();
            let header = Header::read(&slot, case.query.len()).expect("it is there");
            parse(black_box(&slot), case.query.len(), &header, &mut query).map(|()| query.question.end)
        };
        group.bench_function(case.name, |bencher| bencher.iter(read));
        assert_eq!(read(), Ok(case.question_end()), "{}", case.name);
    }
    group.finish();
    let mut group = criterion.benchmark_group("look up");
    for case in cases() {
        let slot = slot(&case.query);
        let walk = Walk::new(&slot, HEADER_LEN).expect("a name");
        let find = || answers.find(black_box(&slot), HEADER_LEN, walk).map(|found| found.node_start);
        group.bench_function(case.name, |bencher| bencher.iter(find));
        assert_eq!(find(), case.apex_at, "{}", case.name);
    }
    group.finish();
}

fn answer(criterion: &mut Criterion) {
    let node = node(&[]);
    let arrival = arrival();
    let mut group = criterion.benchmark_group("answer");
    for case in cases() {
        let mut slot = [0; SLOT_PAYLOAD_LEN];
        let mut account = Account::default();
        group.bench_function(case.name, |bencher| {
            bencher.iter(|| case.answer(&node, &arrival, black_box(&mut slot), &mut account));
        });
        case.check(case.answer(&node, &arrival, &mut slot, &mut account), &slot);
    }
    group.finish();
}

/// What counting adds: a reply's account, its source, and a fold for every batch.
fn count(criterion: &mut Criterion) {
    let node = node(&[]);
    let [usual, ..] = cases();
    let (mut ledger, stream) = new_ledger();
    let mut group = criterion.benchmark_group("a batch of 32");
    group.bench_function("not counted", |bencher| bencher.iter(|| batch(&node, &usual, None)));
    group.bench_function("counted", |bencher| bencher.iter(|| batch(&node, &usual, Some(&mut ledger))));
    group.finish();
    let mut totals = Totals::default();
    stream.counters.read(&mut totals);
    assert!(totals.sum(QUERIES) > 0 && totals.sum(QUERIES).is_multiple_of(BATCH as u64));
}

/// A whole batch through the driver of a ring, over a kernel that is simulated: what it costs beside the real
/// one's work. (That of the simulation, which copies each datagram, is in it.)
fn ring(criterion: &mut Criterion) {
    let node = node(&[]);
    let [usual, ..] = cases();
    let Arrival { peer, .. } = udp();
    let mut ring = SimRing::new(1, RING_SLOTS, false, None).expect("there is memory");
    let mut turn = || {
        for _ in 0..BATCH {
            ring.deliver(0, peer, Local::Fixed, &usual.query);
        }
        // The second turn takes the replies of the first.
        let mut answered = 0;
        for _ in 0..2 {
            let turn = ring.turn(Duration::ZERO, &mut |arrived, slot| {
                let arrival = Arrival { peer: arrived.peer, ..udp() };
                match serve(&node, &arrival, slot, arrived.len, &mut Account::default()) {
                    Verdict::Reply(len) => Some(len),
                    Verdict::Drop | Verdict::HandOff(_) => None,
                }
            });
            answered += turn.expect("it turns").received;
        }
        (answered, ring.take_sent())
    };
    criterion.bench_function("a batch of 32 through the ring", |bencher| bencher.iter(&mut turn));
    let (answered, sent) = turn();
    assert_eq!((answered as usize, sent.len()), (BATCH, BATCH));
    assert!(sent.iter().all(|sent| sent.bytes.len() == usual.len && sent.bytes[3] & 0xF == usual.rcode));
}

fn compile(criterion: &mut Criterion) {
    let built_in = zone::load(&options(&[])).expect("the built-in zones load");
    assert_eq!(built_in.zones.len(), 24);
    let mut many = options(&[]);
    many.entries.extend((0..MANY).map(|number| ZoneEntry {
        name: format!("zone-{number}.example"),
        source: ZoneSource::DdEmpty,
        force: false,
        place: String::new(),
    }));
    let many = zone::load(&many).expect("they load");
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    for (name, zones) in [("the built-in zones", &built_in), ("10,000 zones", &many)] {
        let compile = || Snapshot::new(black_box(zones), settings()).expect("they compile");
        group.bench_function(name, |bencher| bencher.iter(compile));
        let last = zones.zones.last().expect("there is a zone").apex().to_string();
        let asked = common::query(&format!("x.{}", last.trim_end_matches('.')), 12);
        let reply = common::ask(&compile(), &udp(), &asked).expect("a reply");
        assert_eq!(reply[3] & 0xF, if name == "10,000 zones" { 3 } else { reply[3] & 0xF }, "{last}");
    }
    group.finish();
}

criterion_group!(benches, parts, answer, count, ring, compile);
criterion_main!(benches);
