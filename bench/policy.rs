//! What a shard pays for rules: one decision, of a query that no rule takes unless the name says so; and what
//! a reload pays. Each bench checks the decision that it times.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{Criterion, criterion_group, criterion_main};

use as112d::dns::consts::HEADER_LEN;
use as112d::dns::name::Walk;
use as112d::limits::SLOT_PAYLOAD_LEN;
use as112d::policy::facts::{Facts, Later, Tags};
use as112d::policy::phase::Phase;
use as112d::policy::{Policy, Series, Source, World};

fn compile(text: &str) -> Policy {
    let listeners: [SocketAddr; 2] =
        ["192.0.2.53:53", "192.175.48.6:53"].map(|listener| listener.parse().expect("an address"));
    let world = World {
        colo: "test1",
        node: "node1.example",
        listeners: &listeners,
        upstreams: &[],
        guests: &[],
        resolver: None,
        series: Series::default(),
        has_databases: false,
    };
    Policy::compile(&[Source { path: "f", text }], &[], &world).expect("rules")
}

/// Rules of all kinds, none of which takes the query.
fn rules(count: usize) -> String {
    let rule = |at: usize| match at % 5 {
        0 => format!("qname-suffix in {{ zone{at}.example a{at}.in-addr.arpa }} answer NXDOMAIN"),
        1 => format!("qtype in {{ TXT SRV }} and src in {{ 10.{}.{}.0/24 }} drop", at >> 8, at & 255),
        2 => format!("dst = 192.0.2.53 and qtype = PTR and src = 2001:db8:{at:x}::/48 refuse"),
        3 => format!("transport = tcp and qname-suffix = t{at}.arpa truncate"),
        _ => format!("(src = 203.0.113.{} or qname = x{at}.example) and rd = true pass", at & 255),
    };
    (0..count).map(|at| rule(at) + "\n").collect()
}

fn suffixes() -> String {
    let list = |rule: usize| (0..50).map(|at| format!("{at}.{rule}.10.in-addr.arpa ")).collect::<String>();
    (0..20).map(|rule| format!("qname-suffix in {{ {} }} refuse\n", list(rule))).collect()
}

fn decision(criterion: &mut Criterion) {
    let name = b"\x011\x03200\x03168\x03192\x07in-addr\x04arpa\0";
    // A slot is longer than its packet.
    let mut packet = [0; SLOT_PAYLOAD_LEN];
    packet[HEADER_LEN..HEADER_LEN + name.len()].copy_from_slice(name);
    let walk = Walk::new(&packet, HEADER_LEN).expect("a name");
    let facts = Facts {
        packet: &packet,
        qname: &walk,
        qtype: 12,
        qclass: 1,
        opcode: 0,
        recursion_desired: false,
        has_edns: true,
        dnssec_ok: false,
        has_ecs: false,
        src: "198.51.100.7:4711".parse().expect("an address"),
        dst: "192.175.48.6:53".parse().expect("an address"),
        listener: 1,
        is_tcp: false,
        tags: Tags(0),
        later: Later::default(),
    };
    let mut group = criterion.benchmark_group("decision");
    for (name, text, is_taken) in [
        ("rules of other listeners", "dst = 192.0.2.53 drop".to_owned(), false),
        ("1 rule", "qname-suffix = lan.example drop".to_owned(), false),
        ("1 rule, taken", "qname-suffix = 168.192.in-addr.arpa drop".to_owned(), true),
        ("100 rules", rules(100), false),
        ("1 suffix in 1 rule", "qname-suffix = 1.10.10.in-addr.arpa refuse".to_owned(), false),
        ("1,000 suffixes in 20 rules", suffixes(), false),
    ] {
        let policy = compile(&text);
        let decide = || policy.decide(Phase::Route, black_box(&facts), &mut |_| {}).taken.is_some();
        group.bench_function(name, |bencher| bencher.iter(decide));
        assert_eq!(decide(), is_taken, "{name}");
    }
    let later = compile(&suffixes().replace("qname-suffix", "phase = post-cache and qname-suffix"));
    group.bench_function("1,000 suffixes in 20 later rules", |bencher| {
        bencher.iter(|| later.may_concern(black_box(&facts)));
    });
    group.finish();
    let mut group = criterion.benchmark_group("compile rules");
    let later_rules: Vec<String> =
        rules(1000).lines().map(|rule| format!("phase = post-cache and {rule}")).collect();
    for (name, text) in [
        ("100 rules", rules(100)),
        ("1,000 suffixes", suffixes()),
        ("1,000 rules of a later phase", later_rules.join("\n")),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| compile(&text).rules().len()));
    }
    group.finish();
}

criterion_group!(benches, decision);
criterion_main!(benches);
