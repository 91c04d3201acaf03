//! Maps: how long a million rules of each family take to load, how much memory, and what an answer costs.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};

use as112d::dns::ecs::Subnet;
use as112d::tailor::spec::{List, Map, Pool, Pop, Spec, Spread};
use as112d::tailor::{Asking, Tailor};

/// As the program has it: what remains of loading depends on it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RULES: usize = 1_000_000;
const POPS: u64 = 32;
/// The variable with the file that a child is to load.
const MAP: &str = "AS112D_BENCH_MAP";

/// splitmix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

/// Networks of /8 to /24 and of /20 to /56, most of them long, as in tables of routes.
fn networks(state: &mut u64) -> String {
    let mut text = String::new();
    for _ in 0..RULES {
        let len = if random(state).is_multiple_of(2) { 24 } else { 8 + random(state) % 17 };
        let address = Ipv4Addr::from(random(state) as u32 & u32::MAX << (32 - len));
        writeln!(text, "{address}/{len} p{}", random(state) % POPS).expect("it takes text");
        let len = if random(state).is_multiple_of(2) { 48 } else { 20 + random(state) % 37 };
        let bits = u128::from(random(state) >> 3 | 1 << 61) << 64;
        let address = Ipv6Addr::from(bits & u128::MAX << (128 - len));
        writeln!(text, "{address}/{len} p{}", random(state) % POPS).expect("it takes text");
    }
    // Of the same network only one may be there.
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.dedup_by_key(|line| line.split(' ').next().unwrap_or_default());
    lines.join("\n")
}

fn spec(path: Option<&Path>) -> Spec {
    let pops = (0..POPS).map(|pop| Pop { name: format!("p{pop}"), at: None }).collect();
    let map = Map {
        networks: path.map(Path::to_owned).into_iter().collect(),
        ..Map::new("world", List::from_iter([0]))
    };
    let (name, place) = ("web".to_owned(), String::new());
    let variants = (0..POPS as u8).collect();
    let pool = Pool { name, place, map: 0, variants, spread: Spread::First };
    Spec { pops, maps: vec![map], pools: vec![pool] }
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    let pages: usize = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("it is a number");
    pages * 4096
}

fn asking(address: IpAddr, source: u8) -> Asking {
    let mut option = match address {
        IpAddr::V4(address) => [&[0, 1, source, 0][..], &address.octets()].concat(),
        IpAddr::V6(address) => [&[0, 2, source, 0][..], &address.octets()].concat(),
    };
    option.truncate(4 + usize::from(source / 8));
    let subnet = Subnet::read(&option).expect("it is sound");
    Asking { peer: Ipv4Addr::new(192, 0, 2, 53).into(), id: 7, subnet: Some(subnet) }
}

/// Loads a map, and says what that took. In a process of its own: memory that was used before would be used
/// again.
fn load(path: &Path) {
    let before = resident();
    let began = Instant::now();
    let tailor = Tailor::new(&spec(Some(path)), Arc::default()).expect("the map is sound");
    let took = began.elapsed();
    // What is freed goes back to the system after a while, when anything is allocated again.
    std::thread::park_timeout(Duration::from_millis(200));
    drop(black_box(vec![0_u8; 1 << 20]));
    println!(
        "2 x {RULES} rules: {took:?}, {} MB more resident, {} MB in tables",
        resident().saturating_sub(before) / 1_000_000,
        tailor.memory_len() / 1_000_000
    );
    println!("{:?}", tailor.summaries().next().expect("there is a map"));
}

fn tailor(criterion: &mut Criterion) {
    if let Some(path) = env::var_os(MAP) {
        load(path.as_ref());
        return;
    }
    let mut state = 112;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("networks.txt");
    fs::write(&path, networks(&mut state)).expect("it is written");
    let child = env::current_exe().and_then(|exe| Command::new(exe).arg("--bench").env(MAP, &path).status());
    assert!(child.is_ok_and(|status| status.success()));
    let tailor = Tailor::new(&spec(Some(&path)), Arc::default()).expect("the map is sound");

    let mut group = criterion.benchmark_group("tailor");
    group.sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    let v4 = |state: &mut u64| asking(Ipv4Addr::from(random(state) as u32 & 0xFFFF_FF00).into(), 24);
    let v6 = |state: &mut u64| {
        let bits = u128::from((random(state) >> 3 | 1 << 61) & !0xFFFF) << 64;
        asking(Ipv6Addr::from(bits).into(), 48)
    };
    let random_v4: Vec<Asking> = (0..1 << 16).map(|_| v4(&mut state)).collect();
    let random_v6: Vec<Asking> = (0..1 << 16).map(|_| v6(&mut state)).collect();
    let hot: Vec<Asking> = random_v4[..10_000].to_vec();
    let without: Vec<Asking> = hot.iter().map(|asking| Asking { subnet: None, ..*asking }).collect();
    for (name, all) in
        [("random_24", random_v4), ("hot_24", hot), ("random_48", random_v6), ("by_resolver", without)]
    {
        let mut at = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                at = (at + 1) % all.len();
                tailor.choose(black_box(0), &all[at])
            });
        });
    }
    group.finish();
}

criterion_group!(benches, tailor);
criterion_main!(benches);
