//! The same queries to the daemon, to NSD and to Knot, with the same zones.

#[path = "../common/mod.rs"]
mod common;
mod exchange;
mod generate;
mod odd;
mod wire;

use std::collections::BTreeMap;
use common::NODE;
use common::daemon::{Daemon, V4};
use common::peers::{Kind, Peer, ZoneFile, zones_of_daemon};
use generate::{Generator, Query};
use wire::Reply;

#[test]
#[ignore = "needs nsd and knotd; tests/run installs them"]
fn explore() {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/zones");
    let dir = tempfile::TempDir::new().unwrap();
    let arguments = ["--zones", own, "--node", NODE];
    let zones = zones_of_daemon(dir.path(), &arguments);
    let is_own = |zone: &ZoneFile| std::path::Path::new(own).join(format!("{}.zone", zone.name)).exists();
    let seed = std::env::var("SEED").map_or(112, |s| s.parse().unwrap());
    let mut generator = Generator::new(seed, &zones, is_own);
    let daemon = Daemon::start(&arguments);
    let nsd = Peer::start(Kind::Nsd, &zones);
    let knot = Peer::start(Kind::Knot, &zones);
    let n: usize = std::env::var("N").map_or(20000, |s| s.parse().unwrap());
    let mut queries: Vec<Query> = (0..n).map(|_| generator.query()).collect();
    queries.extend((0..900).map(|_| generator.odd()));
    let tcp = std::env::var("TCP").is_ok();
    eprintln!("{} {} {}", daemon.address(V4), nsd.address(), knot.address()); let servers = [daemon.address(V4), nsd.address(), knot.address()];
    let t = std::time::Instant::now();
    let replies: Vec<Vec<_>> = std::thread::scope(|scope| {
        let h: Vec<_> = servers.iter().map(|&s| { let q = &queries; scope.spawn(move || if tcp {exchange::tcp(s, q)} else {exchange::udp(s, q)}) }).collect();
        h.into_iter().map(|h| h.join().unwrap()).collect()
    });
    eprintln!("{:?}", t.elapsed());
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let norm = |r: &Option<Vec<u8>>| r.as_ref().map(|r| Reply::decode(r).map(|r| {let mut r = r.as_sets(); if let Some(o) = &mut r.opt { o.options.retain(|(c, _)| *c == 3); } r}));
    for (i, q) in queries.iter().enumerate() {
        let r: Vec<_> = replies.iter().map(|s| norm(&s[i])).collect();
        let mut sig = format!("{:?} ", q.oddity);
        for (p, k) in [(1, "nsd"), (2, "knot")] {
            if r[0] == r[p] { continue }
            sig += k; sig += "[";
            match (&r[0], &r[p]) {
                (Some(Ok(a)), Some(Ok(b))) => {
                    if a.rcode != b.rcode || a.opcode != b.opcode { sig += &format!(" rcode {}/{} not {}/{}", b.opcode, b.rcode, a.opcode, a.rcode) }
                    if a.flags != b.flags { sig += &format!(" flags {:x} not {:x}", b.flags & 0x6f0, a.flags & 0x6f0) }
                    if a.question != b.question { sig += &format!(" q{}", b.question.len().min(1)) }
                    for s in 0..3 { if a.sections[s] != b.sections[s] {
                        let more = b.sections[s].iter().any(|x| !a.sections[s].contains(x));
                        let less = a.sections[s].iter().any(|x| !b.sections[s].contains(x));
                        sig += &format!(" s{s} {}{}", if more {"+"} else {""}, if less {"-"} else {""}) } }
                    if a.opt != b.opt { sig += &format!(" opt {:?} not {:?}", b.opt, a.opt) }
                    if a.tsig != b.tsig { sig += " tsig"; }
                }
                (a, b) => sig += &format!("{} not {}", match b {None=>"none".into(), Some(Err(e)) => format!("{e:?}"), Some(Ok(r))=>format!("rcode {}", r.rcode)}, match a {None=>"none".into(), Some(Err(e)) => format!("{e:?}"), Some(Ok(r))=>format!("rcode {}", r.rcode)}),
            }
            sig += "] ";
        }
        groups.entry(sig).or_default().push(i);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|g| std::cmp::Reverse(g.1.len()));
    for (sig, is) in groups {
        eprintln!("== {} {sig}", is.len());
        if !sig.contains('[') { continue }
        for &i in is.iter().take(3) {
            let t = format!("{:?}", queries[i]); let n = t.rfind(' ').unwrap(); eprintln!("   {:.250}", &t[..n]);
        }
        let i = is[0];
        let rs: Vec<_> = replies.iter().map(|s| norm(&s[i])).collect();
        for (p, k) in ["ours", "nsd", "knot"].iter().enumerate() {
            let t = format!("{:?}", rs[p]).replace("[\n    ", "[").replace(",\n    ", " | ").replace(",\n]", "]").replace("\n  ", " ");
            let same = (0..p).find(|&o| rs[o] == rs[p]);
            match same { Some(o) => eprintln!("      {k}: same as {o}"), None => eprintln!("      {k}: {}", &t[..t.len().min(700)]) }
        }
    }
}
