//! The answer path without sockets: parse, lookup, reply, by case; and the compilation of the built-in zones.
//! Each bench checks the answer that it times.

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};

use as112d::limits::SLOT_PAYLOAD_LEN;
use as112d::serve::snapshot::Snapshot;
use as112d::serve::{Verdict, serve};
use as112d::stats::account::Account;
use as112d::stats::counters::{Counters, QUERIES, Tally, Totals};
use as112d::zone;

use common::{node, options, query, settings, udp, with_opt};

/// Case, query, length of the reply, response code.
fn cases() -> [(&'static str, Vec<u8>, usize, u8); 7] {
    const NSID: [u8; 4] = [0, 3, 0, 0];
    let longest = format!("{}10.in-addr.arpa", "1.".repeat(119));
    [
        ("PTR, NXDOMAIN", query("1.1.168.192.in-addr.arpa", 12), 119, 3),
        ("PTR, NXDOMAIN, EDNS", with_opt(query("1.1.168.192.in-addr.arpa", 12), 1232, &[]), 130, 3),
        ("PTR, NXDOMAIN, NSID", with_opt(query("1.1.168.192.in-addr.arpa", 12), 1232, &NSID), 147, 3),
        ("PTR, NXDOMAIN, 255 bytes", with_opt(query(&longest, 12), 1232, &[]), 359, 3),
        ("SOA", with_opt(query("168.192.in-addr.arpa", 6), 1232, &[]), 126, 0),
        ("TXT", with_opt(query("hostname.as112.net", 16), 1232, &[]), 133, 0),
        ("REFUSED", with_opt(query("www.example.com", 1), 1232, &[]), 50, 5),
    ]
}

fn answer(criterion: &mut Criterion) {
    let node = node(&[]);
    let arrival = udp();
    let mut group = criterion.benchmark_group("answer");
    for (name, query, len, rcode) in cases() {
        let mut slot = [0; SLOT_PAYLOAD_LEN];
        let mut account = Account::default();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                slot[..query.len()].copy_from_slice(&query);
                serve(&node, &arrival, black_box(&mut slot), query.len(), &mut account)
            });
        });
        slot[..query.len()].copy_from_slice(&query);
        let verdict = serve(&node, &arrival, &mut slot, query.len(), &mut account);
        assert_eq!((verdict, slot[3] & 0xF), (Verdict::Reply(len), rcode), "{name}");
    }
    group.finish();
}

/// What counting adds: a reply's account, and a fold for every 32.
fn count(criterion: &mut Criterion) {
    let node = node(&[]);
    let arrival = udp();
    let query = with_opt(query("1.1.168.192.in-addr.arpa", 12), 1232, &[]);
    let mut slot = [0; SLOT_PAYLOAD_LEN];
    let (mut tally, counters) = (Tally::default(), Counters::default());
    let mut batch = |count: bool| {
        for _ in 0..32 {
            slot[..query.len()].copy_from_slice(&query);
            let mut account = Account::default();
            let verdict = serve(&node, &arrival, black_box(&mut slot), query.len(), &mut account);
            assert_eq!(verdict, Verdict::Reply(130));
            if count {
                account.post(Some(&slot[..130]), &mut tally);
            }
        }
        counters.fold(&mut tally);
    };
    let mut group = criterion.benchmark_group("a batch of 32");
    group.bench_function("not counted", |bencher| bencher.iter(|| batch(false)));
    group.bench_function("counted", |bencher| bencher.iter(|| batch(true)));
    group.finish();
    let mut totals = Totals::default();
    counters.read(&mut totals);
    assert_eq!(totals.sum(QUERIES) % 32, 0);
    assert!(totals.sum(QUERIES) > 0);
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
