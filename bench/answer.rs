//! The answer path without sockets: parse, lookup, reply, by case; counting; and the compilation of zones.
//! Each bench checks the answer that it times.

mod cases;
#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};

use as112d::limits::SLOT_PAYLOAD_LEN;
use as112d::serve::snapshot::Snapshot;
use as112d::stats::account::Account;
use as112d::stats::counters::{QUERIES, Totals};
use as112d::zone;

use cases::{BATCH, batch, cases, new_ledger};
use common::{node, options, settings, udp};

fn answer(criterion: &mut Criterion) {
    let node = node(&[]);
    let arrival = udp();
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

fn compile(criterion: &mut Criterion) {
    let zones = zone::load(&options(&[])).expect("the built-in zones load");
    assert_eq!(zones.zones.len(), 24);
    criterion.bench_function("compile the built-in zones", |bencher| {
        bencher.iter(|| Snapshot::new(black_box(&zones), settings()).expect("they compile"));
    });
}

criterion_group!(benches, answer, count, compile);
criterion_main!(benches);
