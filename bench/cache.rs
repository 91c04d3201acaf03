//! The cache of a worker: hits, misses and stores, and what its entries really take of memory.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

use as112d::work::cache::{Cache, Found, Key, Settings, Stored};

/// As the program has it: what an entry takes depends on it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const A: u16 = 1;

fn qname(number: u32) -> Vec<u8> {
    let label = format!("host{number}");
    [&[label.len() as u8], label.as_bytes(), b"\x07example\x03org\0"].concat()
}

fn key(qname: &[u8]) -> Key<'_> {
    Key { view: 7, qname, qtype: A, qclass: 1, dnssec_ok: false, checking_disabled: false, subnet: None }
}

/// A response with two addresses, a name server and an OPT.
fn response(qname: &[u8]) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0x81, 0x80, 0, 1, 0, 2, 0, 1, 0, 1];
    message.extend_from_slice(qname);
    message.extend([0, 1, 0, 1]);
    for last in [1, 2] {
        message.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, last]);
    }
    message.extend([0xC0, 12, 0, 2, 0, 1, 0, 0, 14, 16, 0, 5, 2, b'n', b's', 0xC0, 12]);
    message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    message
}

/// A cache that has as much as it can hold, of that many names.
fn full(names: &[Vec<u8>], now: Instant) -> Cache {
    let mut cache = Cache::new(&Settings::default());
    for qname in names {
        assert_eq!(cache.store(&key(qname), &response(qname), None, now), Stored::Positive);
    }
    cache
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    let pages: usize = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("it is a number");
    pages * 4096
}

fn cache(criterion: &mut Criterion) {
    let now = Instant::now();
    let names: Vec<Vec<u8>> = (0..150_000).map(qname).collect();
    let before = resident();
    let mut cache = full(&names, now);
    let (taken, bytes) = (resident() - before, cache.bytes());
    println!("{} entries: {bytes} bytes are reckoned, {taken} are taken", cache.entries());
    assert!(cache.entries() == names.len() && cache.take_evicted() == 0);
    assert!(taken < Cache::memory_len(&Settings::default()), "it keeps to its bound");

    let mut out = Vec::with_capacity(4096);
    let mut group = criterion.benchmark_group("cache");
    let mut next = 0_usize;
    group.bench_function("hit, any of many", |bencher| {
        bencher.iter(|| {
            next = (next + 7919) % names.len();
            assert_ne!(cache.look(black_box(&key(&names[next])), now, &mut out), Found::Miss);
        });
    });
    group.bench_function("hit, the same", |bencher| {
        bencher.iter(|| assert_ne!(cache.look(black_box(&key(&names[9])), now, &mut out), Found::Miss));
    });
    let unknown = qname(1_000_000);
    group.bench_function("miss", |bencher| {
        bencher.iter(|| assert_eq!(cache.look(black_box(&key(&unknown)), now, &mut out), Found::Miss));
    });
    let answer = response(&names[9]);
    group.bench_function("store again", |bencher| {
        bencher.iter(|| cache.store(&key(&names[9]), black_box(&answer), None, now));
    });
    let mut number = 200_000;
    group.bench_function("store what makes room", |bencher| {
        bencher.iter_batched(
            || {
                number += 1;
                let qname = qname(number);
                (response(&qname), qname)
            },
            |(message, qname)| cache.store(&key(&qname), black_box(&message), None, now),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2));
    targets = cache
}
criterion_main!(benches);
