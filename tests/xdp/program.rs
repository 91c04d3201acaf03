//! The program by itself: frames go in and come out, no interface is there (BPF_PROG_TEST_RUN). Whatever
//! comes in is answered byte for byte as `serve` answers it, or passes as it came.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use as112d::limits::{NETWORKS_MAX, XDP_ALIVE};
use as112d::serve::limiter;
use as112d::serve::snapshot::{Settings, Snapshot};
use as112d::stats::counters::XDP_PASSED;
use as112d::xdp::{Fate, Filter, Growth, Port, Responder};
use as112d::zone;

use super::common::golden::{Case, Node};
use super::common::{options, policy, query, settings};
use super::frames::{CLIENT_MAC, Frame, Sum};
use super::may_load;
use super::mutate::{Dice, mutated};
use super::rig::{EMPTY, Rig, all_opts, filter, frame, snapshot, with_opt};

#[test]
fn golden_packets_get_what_the_sockets_send_or_pass() {
    if !may_load() {
        return;
    }
    let mut by_config = BTreeMap::<String, Vec<Case>>::new();
    for case in Case::all() {
        by_config.entry(case.config.clone()).or_default().push(case);
    }
    let mut answered = 0;
    for (config, cases) in by_config {
        let node = Node::load(&config);
        let mut rig = Rig::new(node.snapshot, Growth::Anywhere);
        for case in cases {
            for is_ipv6 in [false, true] {
                let port = case.peer.map_or(40_000, |peer| peer.port());
                let frame = Frame { source_port: port, ..frame(is_ipv6, &case.query) };
                rig.try_frame(&frame.bytes());
            }
        }
        answered += rig.answered;
        rig.assert_counts();
    }
    assert!(answered > 40, "most of the negative ones are answered: {answered}");
}

/// Everything that must be answered, in every dress: families, tags, checksums, padding, EDNS, letters.
#[test]
fn names_below_empty_zones_are_answered_in_every_dress() {
    if !may_load() {
        return;
    }
    for growth in [Growth::Anywhere, Growth::Before] {
        let mut rig = Rig::new(snapshot(), growth);
        let tags = [vec![], vec![(0x8100, 7)], vec![(0x8100, 0x2FFE)]];
        for (index, apex) in EMPTY.iter().enumerate() {
            let upper = apex.to_ascii_uppercase();
            let labels = ["a", "1.2", "a.b.c.d.e.f.g.h.i.j", &"y".repeat(63), "*", "_x.Ab"];
            for (number, label) in labels.iter().enumerate() {
                let name = format!("{label}.{}", if number % 2 == 0 { apex } else { &upper[..] });
                let qtype = [12, 1, 28, 255, 6, 65_280, 2, 43][(index + number) % 8];
                for (number, payload) in all_opts(&query(&name, qtype)).into_iter().enumerate() {
                    let frame = Frame {
                        tags: tags[number % 3].clone(),
                        sum: [Sum::Right, Sum::Wrong][usize::from(number % 5 == 0)],
                        padding: [0, 18, 46][number % 3],
                        ..frame(number % 2 == 1, &payload)
                    };
                    // What gets no longer is left to the sockets.
                    let is_answered = rig.try_frame(&frame.bytes());
                    assert!(is_answered || growth == Growth::Before, "{name} {qtype} {frame:?}");
                    let frame = Frame { sum: Sum::Zero, ..frame };
                    let is_answered = rig.try_frame(&frame.bytes());
                    assert!(is_answered == frame.source.is_ipv4() || growth == Growth::Before, "{frame:?}");
                }
            }
        }
        assert!(rig.passed_for("no_room") < rig.answered / 10, "{}", rig.passed_for("no_room"));
        rig.assert_counts();
    }
}

/// Everything that must pass, each for its reason.
#[test]
fn what_is_not_answered_passes_for_its_reason() {
    if !may_load() {
        return;
    }
    let mut rig = Rig::new(snapshot(), Growth::Anywhere);
    let ptr = query("1.0.0.10.in-addr.arpa", 12);
    assert!(rig.try_frame(&frame(false, &ptr).bytes()) && rig.try_frame(&frame(true, &ptr).bytes()));
    for (reason, frame) in passing_for_how_they_come(&ptr).into_iter().chain(passing_for_what_they_ask(&ptr))
    {
        let before = rig.passed_for(reason);
        assert!(!rig.try_frame(&frame.bytes()), "{reason}: {frame:?}");
        let all = XDP_PASSED.of(&rig.responder.totals()).to_vec();
        assert_eq!(rig.passed_for(reason), before + 1, "{reason}: {all:?} {frame:?}");
    }
    rig.assert_counts();
}

fn passing_for_how_they_come(ptr: &[u8]) -> Vec<(&'static str, Frame)> {
    let good = frame(false, ptr);
    let tagged = |tags: &[(u16, u16)]| Frame { tags: tags.to_vec(), ..good.clone() };
    let source = |ip: &str| Frame { source: ip.parse().expect("an address"), ..frame(ip.contains(':'), ptr) };
    let to =
        |ip: &str| Frame { destination: ip.parse().expect("an address"), ..frame(ip.contains(':'), ptr) };
    vec![
        ("elsewhere", Frame { to: [0xFF; 6], ..good.clone() }),
        ("elsewhere", Frame { to: CLIENT_MAC, ..good.clone() }),
        ("elsewhere", Frame { port: 54, ..good.clone() }),
        // VLANs that the host is not in, or not on this interface; a priority alone; two tags.
        ("elsewhere", tagged(&[(0x8100, 8)])),
        ("elsewhere", tagged(&[(0x8100, 9)])),
        ("elsewhere", tagged(&[(0x8100, 0x0FFF)])),
        ("elsewhere", tagged(&[(0x8100, 0xE000)])),
        ("elsewhere", tagged(&[(0x88A8, 7)])),
        ("elsewhere", tagged(&[(0x88A8, 7), (0x8100, 7)])),
        ("elsewhere", tagged(&[(0x8100, 7), (0x8100, 7)])),
        ("elsewhere", Frame { to: [0; 6], ..good.clone() }),
        ("elsewhere", to("192.0.2.54")),
        ("elsewhere", to("192.0.2.53")),
        ("elsewhere", to("2001:db8::1")),
        // An address of ours in the other family's form, at which no socket listens.
        (
            "elsewhere",
            Frame { destination: "::ffff:192.175.48.1".parse().expect("an address"), ..frame(true, ptr) },
        ),
        ("source", source("127.0.0.1")),
        ("source", source("0.1.2.3")),
        ("source", source("224.0.0.1")),
        ("source", source("255.255.255.255")),
        ("source", source("192.175.48.1")),
        ("source", source("192.175.48.200")),
        ("source", source("192.0.2.53")),
        ("source", source("::1")),
        ("source", source("::ffff:192.0.2.1")),
        ("source", source("fe80::1")),
        ("source", source("ff02::1")),
        ("source", source("2001:db8:53::1")),
        ("source", Frame { source_port: 0, ..good.clone() }),
        ("source", Frame { source_port: 19, ..good }),
        ("length", Frame { sum: Sum::Zero, ..frame(true, ptr) }),
        ("length", frame(false, &ptr[..12])),
        ("length", frame(false, &[ptr, &[0]].concat())),
        ("length", frame(false, &[ptr, &[0; 600]].concat())),
    ]
}

fn passing_for_what_they_ask(ptr: &[u8]) -> Vec<(&'static str, Frame)> {
    let asked = |name: &str, qtype: u16| frame(false, &query(name, qtype));
    let changed = |at: usize, value: u8| {
        let mut payload = ptr.to_vec();
        payload[at] = value;
        frame(false, &payload)
    };
    let opt = |version: u8, options: &[(u16, usize)]| {
        frame(true, &with_opt(ptr.to_vec(), 1232, 0, version, options))
    };
    let class = |class: u8| changed(ptr.len() - 1, class);
    vec![
        ("header", changed(2, 0x80)),
        ("header", changed(2, 0x28)),
        ("header", changed(2, 0x78)),
        ("header", changed(5, 2)),
        ("header", changed(5, 0)),
        ("header", changed(7, 1)),
        ("header", changed(9, 1)),
        ("header", changed(11, 2)),
        ("name", changed(12, 0xC0)),
        ("name", changed(12, 0x41)),
        ("name", frame(false, &ptr[..ptr.len() - 1])),
        ("type", class(3)),
        ("type", class(255)),
        ("type", asked("1.0.0.10.in-addr.arpa", 252)),
        ("type", asked("1.0.0.10.in-addr.arpa", 251)),
        ("edns", opt(1, &[])),
        ("edns", opt(0, &[(3, 0)])),
        ("edns", opt(0, &[(10, 8), (3, 4)])),
        ("edns", opt(0, &[(65_000, 0); 20])),
        ("apex", asked("10.in-addr.arpa", 6)),
        ("apex", asked("HOME.arpa", 2)),
        ("apex", asked("example.com", 12)),
        ("apex", asked("1.10.in-addr.arpa", 12)),
        ("outside", asked("hostname.as112.net", 16)),
        ("outside", asked("a.hostname.as112.arpa", 16)),
        ("outside", asked("a.full.test", 1)),
        ("outside", asked("a.172.in-addr.arpa", 1)),
        ("outside", asked("a.32.172.in-addr.arpa", 1)),
        ("outside", asked(".", 2)),
        ("outside", asked("com", 2)),
        // A name stands below these that the program does not know, or below this one does.
        ("outside", asked("1.20.172.in-addr.arpa", 12)),
        ("outside", asked("a.nine.labels.and.deeper.down.it.goes.with.them", 12)),
        ("outside", asked("a.labels.and.deeper.down.it.goes.with.them", 12)),
        ("outside", asked("a.long.test", 1)),
    ]
}

/// A node that stands still, and one that drains, answer nothing here.
#[test]
fn it_answers_only_while_the_node_lives_and_serves() {
    if !may_load() {
        return;
    }
    let mut rig = Rig::new(snapshot(), Growth::Anywhere);
    let frame = frame(false, &query("1.0.0.10.in-addr.arpa", 12)).bytes();
    assert!(rig.try_frame(&frame));
    rig.responder.serve(false);
    assert!(!rig.try_frame(&frame));
    assert_eq!(rig.passed_for("not_serving"), 1);
    rig.responder.serve(true);
    assert!(rig.try_frame(&frame));
    thread::park_timeout(XDP_ALIVE + Duration::from_millis(100));
    assert_eq!(rig.responder.run(&frame), Ok(Fate::Passes));
    assert_eq!(rig.passed_for("not_alive"), 1);
    assert!(rig.try_frame(&frame), "it lives again");
}

/// One in so many passes, that the sockets stay in use.
#[test]
fn a_sample_passes() {
    if !may_load() {
        return;
    }
    let filter = Filter { sample: 8, ..filter() };
    let mut responder = Responder::load(&filter, &snapshot(), Growth::Anywhere).expect("it loads");
    responder.serve(true);
    let frame = frame(true, &query("1.0.0.10.in-addr.arpa", 12)).bytes();
    let mut passed = 0;
    for _ in 0..8000 {
        responder.beat();
        passed += u32::from(responder.run(&frame) == Ok(Fate::Passes));
    }
    // Each CPU counts for itself.
    assert!((900..=1000).contains(&passed), "{passed}");
}

/// What is published is answered from at once, and nothing else; 200 times over.
#[test]
fn a_new_snapshot_is_in_force_when_it_is_published() {
    if !may_load() {
        return;
    }
    let mut rig = Rig::new(snapshot(), Growth::Anywhere);
    let frame = frame(false, &with_opt(query("1.0.0.10.in-addr.arpa", 12), 1232, 0, 0, &[])).bytes();
    for round in 0..200 {
        let zones = zone::load(&options(&[])).expect("the zones load");
        let settings = Settings { edns_udp_size: 600 + round, listeners: filter().listeners, ..settings() };
        rig.snapshot = Snapshot::new(&zones, settings).expect("sound");
        rig.responder.publish(&rig.snapshot);
        assert!(rig.try_frame(&frame), "round {round}");
    }
    rig.assert_counts();
}

/// A snapshot with the built-in zones and other settings.
pub(super) fn with(change: impl FnOnce(&mut Settings)) -> Snapshot {
    let zones = zone::load(&options(&[])).expect("the zones load");
    let mut settings = Settings { listeners: filter().listeners, ..settings() };
    change(&mut settings);
    Snapshot::new(&zones, settings).expect("sound")
}

/// With a rate limit or its dry run everything passes: the sockets have the table.
#[test]
fn with_a_rate_limit_the_sockets_answer() {
    if !may_load() {
        return;
    }
    let mut rig = Rig::new(with(|_| ()), Growth::Anywhere);
    let frame = frame(false, &query("1.0.0.10.in-addr.arpa", 12)).bytes();
    assert!(rig.try_frame(&frame));
    for dry_run in [false, true] {
        let exempt = Vec::new();
        let limit = limiter::Settings {
            per_second: 1000,
            dry_run,
            slip: 1,
            ipv4_prefix: 24,
            ipv6_prefix: 56,
            exempt,
        };
        rig.responder.publish(&with(|settings| settings.rate_limit = Some(limit)));
        assert!(!rig.try_frame(&frame));
    }
    assert_eq!(rig.passed_for("limited"), 2);
    rig.responder.publish(&with(|_| ()));
    assert!(rig.try_frame(&frame), "without one it answers again");
    rig.assert_counts();
}

/// Where rules may concern a listener the sockets answer, as they ask the rules; elsewhere nothing changes.
#[test]
fn where_rules_may_decide_the_sockets_answer() {
    if !may_load() {
        return;
    }
    let ruled = |text: &str| with(|settings| settings.policy = policy(text, &settings.listeners));
    let mut rig = Rig::new(with(|_| ()), Growth::Anywhere);
    let frames = [false, true].map(|is_ipv6| frame(is_ipv6, &query("1.0.0.10.in-addr.arpa", 12)).bytes());
    let answered = |rig: &mut Rig| frames.each_ref().map(|frame| rig.try_frame(frame));
    assert_eq!(answered(&mut rig), [true, true]);
    // Rules of a later phase may concern these names too.
    let later = "phase = post-cache and qtype in { PTR } and qname-suffix in { 10.in-addr.arpa } \
                 forward 192.0.2.1:53";
    for rules in ["any refuse", later] {
        rig.responder.publish(&ruled(rules));
        assert_eq!(answered(&mut rig), [false, false], "{rules}");
    }
    assert_eq!(rig.passed_for("policy"), 4);
    let on_one = ruled("dst in { 192.175.48.1 } refuse");
    rig.responder.publish(&on_one);
    assert_eq!(answered(&mut rig), [false, true], "each listener by itself");
    for rules in ["", "colo in { elsewhere } refuse", "dst in { 192.0.2.99 } refuse"] {
        rig.responder.publish(&ruled(rules));
        assert_eq!(answered(&mut rig), [true, true], "{rules}");
    }
    // Before a snapshot is anywhere, what its rules may concern passes, and what the old ones may still does.
    rig.responder.withhold(&on_one);
    assert_eq!(answered(&mut rig), [false, true]);
    rig.responder.withhold(&ruled("dst in { 2620:4f:8000::1 } refuse"));
    assert_eq!(answered(&mut rig), [false, false]);
    rig.responder.publish(&on_one);
    assert_eq!(answered(&mut rig), [false, true]);
    // The self-test asks where nothing is in the way.
    for rules in ["any refuse", "dst in { 192.175.48.1 } refuse", ""] {
        let node = ruled(rules);
        let mut responder = Responder::load(&filter(), &node, Growth::Anywhere).expect("it loads");
        assert_eq!(responder.self_test(&filter(), &node), Ok(()), "{rules}");
    }
    rig.assert_counts();
}

/// What the list of the node has is dropped, and nothing else, whatever the frame holds.
#[test]
fn networks_of_the_drop_list_are_dropped() {
    if !may_load() {
        return;
    }
    let ptr = query("1.0.0.10.in-addr.arpa", 12);
    let from = |ip: &str| Frame { source: ip.parse().expect("an address"), ..frame(ip.contains(':'), &ptr) };
    // As many as there can be, and some that tests ask from.
    let many = (0..NETWORKS_MAX as u32 - 4).map(|n| {
        let address = if n % 2 == 0 {
            IpAddr::from((0x0B00_0000 + (n << 9)).to_be_bytes())
        } else {
            IpAddr::from([0x2001, 0xDB8, 0x8000, n as u16, 0, 0, 0, 0])
        };
        ipnet::IpNet::new(address, if n % 2 == 0 { 24 } else { 64 }).expect("a network")
    });
    let few = ["198.51.100.0/24", "203.0.113.7/32", "2001:db8:7::/48", "2001:db8:9::9/128"];
    let drop: Vec<_> = many.chain(few.map(|net| net.parse().expect("a network"))).collect();
    let mut rig = Rig::new(with(|settings| settings.drop = drop), Growth::Anywhere);
    for dropped in [
        "198.51.100.0",
        "198.51.100.255",
        "203.0.113.7",
        "2001:db8:7::",
        "2001:db8:7:ffff:ffff:ffff:ffff:ffff",
        "2001:db8:9::9",
        "11.0.0.1",
        "11.0.4.255",
        "2001:db8:8000:1::5",
        "2001:db8:8000:ff1::5",
    ] {
        let before = rig.dropped;
        rig.try_frame(&from(dropped).bytes());
        assert_eq!(rig.dropped, before + 1, "{dropped}");
    }
    for answered in [
        "198.51.99.255",
        "198.51.101.0",
        "203.0.113.6",
        "203.0.113.8",
        "2001:db8:6:ffff:ffff:ffff:ffff:ffff",
        "2001:db8:8::",
        "2001:db8:9::8",
        "2001:db8:9::a",
        "11.0.1.0",
        "10.255.255.255",
        "2001:db8:8000::5",
        "223.255.255.255",
        "1.0.0.1",
        "3fff::1",
    ] {
        assert!(rig.try_frame(&from(answered).bytes()), "{answered}");
    }
    let before = rig.dropped;
    rig.try_frame(&Frame { payload: vec![1; 20], ..from("198.51.100.1") }.bytes());
    assert_eq!(rig.dropped, before + 1, "what it asks is of no matter");
    rig.assert_counts();
    rig.snapshot = with(|_| ());
    rig.responder.publish(&rig.snapshot);
    assert!(rig.try_frame(&from("198.51.100.1").bytes()), "without a list it is answered");
}

/// Frames by chance: good ones, damaged ones, cut ones, and ones that are nothing.
#[test]
fn a_million_frames_are_answered_as_the_sockets_do_or_pass() {
    if !may_load() {
        return;
    }
    let seed = std::env::var("XDP_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(112);
    let count: u64 =
        std::env::var("XDP_FRAMES").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000_000);
    let mut corpus = Vec::new();
    for apex in
        EMPTY.iter().chain(&["hostname.as112.net", "full.test", "nowhere.example", "2.20.172.in-addr.arpa"])
    {
        for label in ["a", "1.2.3", "x.Y.z"] {
            corpus.extend(all_opts(&query(&format!("{label}.{apex}"), 12)));
        }
        corpus.extend(all_opts(&query(&apex.to_ascii_uppercase(), 6)));
    }
    corpus.extend(Case::all().into_iter().map(|case| case.query));
    corpus.retain(|packet| packet.len() <= 1400);
    for growth in [Growth::Anywhere, Growth::Before] {
        let mut rig = Rig::new(snapshot(), growth);
        let mut dice = Dice::new(seed + growth as u64);
        for _ in 0..count / 2 {
            let frame = by_chance(&mut dice, &corpus);
            rig.try_frame(&frame);
        }
        rig.assert_counts();
        println!("report: {} of {} frames answered, seed {seed}", rig.answered, rig.answered + rig.passed);
        assert!(rig.answered > count / 12 && rig.passed > count / 12, "{} and {}", rig.answered, rig.passed);
    }
}

fn by_chance(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let is_ipv6 = dice.once_in(2);
    let payload = match dice.below(4) {
        0 => mutated(dice, corpus, &[]),
        _ => dice.pick(corpus).clone(),
    };
    let mut frame = frame(is_ipv6, &payload);
    let tags = if dice.once_in(16) { 2 } else { dice.below(2) };
    frame.tags = (0..tags)
        .map(|_| (*dice.pick(&[0x8100, 0x8100, 0x88A8]), *dice.pick(&[7, 0x6FFE, 7, 0x7007, 7, 7, 7, 9])))
        .collect();
    frame.sum = *dice.pick(&[Sum::Right, Sum::Right, Sum::Right, Sum::Wrong, Sum::Zero]);
    frame.padding = *dice.pick(&[0, 0, 0, 1, 18, 46]);
    frame.source_port = *dice.pick(&[1024, 2000, 30_000, 40_000, 50_000, 53, 5300, 65_535, 0, 37]);
    if dice.once_in(8) {
        let ips = match is_ipv6 {
            false => ["192.0.2.53", "192.175.48.77", "198.51.100.9", "127.0.0.1", "10.0.0.1"],
            true => ["2001:db8:53::1", "2620:4f:8000::77", "2001:db8:7::9", "::1", "fe80::7"],
        };
        let ip: IpAddr = dice.pick(&ips).parse().expect("an address");
        *if dice.once_in(2) { &mut frame.source } else { &mut frame.destination } = ip;
        frame.port = *dice.pick(&[53, 5300]);
    }
    let mut bytes = frame.bytes();
    if dice.once_in(8) {
        // Anything anywhere, the headers too; and an end anywhere.
        for _ in 0..=dice.below(3) {
            let (at, any) = (dice.below(bytes.len()), dice.roll() as u8);
            bytes[at] = *dice.pick(&[0, 1, 4, 6, 17, 0x40, 0x45, 0x60, 0x80, 0xC0, 0xFF, any, any]);
        }
    }
    if dice.once_in(16) {
        bytes.truncate(14 + dice.below(bytes.len() - 13));
    }
    bytes
}

/// A frame that is cut at every byte, with lengths that still say what they did.
#[test]
fn a_frame_may_end_anywhere() {
    if !may_load() {
        return;
    }
    let mut rig = Rig::new(snapshot(), Growth::Anywhere);
    for is_ipv6 in [false, true] {
        for tags in [vec![], vec![(0x8100, 7)]] {
            let payload =
                with_opt(query("1.2.3.168.192.in-addr.arpa", 12), 1232, 0x8000, 0, &[(10, 8), (12, 9)]);
            let whole = Frame { tags, ..frame(is_ipv6, &payload) }.bytes();
            assert!(rig.try_frame(&whole));
            for end in 14..whole.len() {
                assert!(!rig.try_frame(&whole[..end]), "cut at {end}");
            }
            // And the message itself, in a packet whose lengths are right.
            for end in 0..payload.len() {
                let is_answered = rig.try_frame(&frame(is_ipv6, &payload[..end]).bytes());
                assert!(!is_answered, "{end}");
            }
        }
    }
    rig.assert_counts();
}

/// What the kernel looks through to take the program grows with every branch; it is to stay far below the
/// million that it has patience for.
#[test]
fn the_verifier_has_little_to_do() {
    if !may_load() {
        return;
    }
    for (growth, most) in [(Growth::Anywhere, 200_000), (Growth::Before, 200_000)] {
        let mut rig = Rig::new(snapshot(), growth);
        if let Some(count) = rig.responder.verified_instructions().expect("the kernel tells") {
            println!("report: the verifier looks through {count} instructions ({growth:?})");
            assert!((1000..most).contains(&count), "{count}");
        }
    }
}

/// What the host has changed to is in force at once: another MAC, another VLAN, an address that is gone.
#[test]
fn a_changed_host_is_answered_for_as_it_is() {
    if !may_load() {
        return;
    }
    let mut rig = Rig::new(snapshot(), Growth::Anywhere);
    let good = frame(false, &query("1.0.0.10.in-addr.arpa", 12));
    let tagged = |id: u16| Frame { tags: vec![(0x8100, id)], ..good.clone() }.bytes();
    let other = Frame { destination: "192.0.2.53".parse().expect("an address"), port: 5300, ..good.clone() };
    let answered =
        |rig: &mut Rig| [good.bytes(), tagged(7), tagged(8), other.bytes()].map(|f| rig.try_frame(&f));
    assert_eq!(answered(&mut rig), [true, true, false, true]);
    let changed = |ports: Vec<Port>, absent: &[&str]| {
        let absent = absent.iter().map(|ip| ip.parse().expect("an address")).collect();
        Filter { ports, absent, ..filter() }
    };
    let port = Port { mac: super::frames::NODE_MAC, vlans: vec![8] };
    rig.responder.refresh(&changed(vec![port.clone()], &["192.0.2.53"])).expect("it fits");
    assert_eq!(answered(&mut rig), [true, false, true, false]);
    // An address that is gone is not answered for by a prefix either.
    rig.responder.refresh(&changed(vec![port], &["192.175.48.1"])).expect("it fits");
    assert_eq!(answered(&mut rig), [false, false, false, true]);
    rig.responder.refresh(&changed(vec![Port { mac: CLIENT_MAC, vlans: vec![] }], &[])).expect("it fits");
    assert_eq!(answered(&mut rig), [false; 4]);
    rig.responder.refresh(&filter()).expect("it fits");
    assert_eq!(answered(&mut rig), [true, true, false, true]);
    rig.assert_counts();
}

/// A frame that comes in while another is in work on the same CPU passes.
#[test]
fn two_frames_do_not_share_a_cpu() {
    if !may_load() {
        return;
    }
    let mut rig = Rig::new(snapshot(), Growth::Anywhere);
    let frame = frame(true, &query("1.0.0.10.in-addr.arpa", 12)).bytes();
    assert!(rig.try_frame(&frame));
    rig.responder.occupy(true);
    assert!(!rig.try_frame(&frame));
    assert_eq!(rig.passed_for("busy"), 1);
    rig.responder.occupy(false);
    assert!(rig.try_frame(&frame) && rig.try_frame(&frame));
    rig.assert_counts();
}

/// The self-test passes, leaves no trace in the counters and nothing answering; with a program that is told
/// something else than it is tried with, it fails.
#[test]
fn the_self_test_tells_a_program_that_answers_from_one_that_does_not() {
    if !may_load() {
        return;
    }
    let snapshot = snapshot();
    let ptr = frame(false, &query("1.0.0.10.in-addr.arpa", 12)).bytes();
    for absent in [vec![], vec!["192.175.48.1".parse().expect("an address")]] {
        let filter = Filter { sample: 1, absent, ..filter() };
        let mut responder = Responder::load(&filter, &snapshot, Growth::Anywhere).expect("it loads");
        assert_eq!(responder.self_test(&filter, &snapshot), Ok(()));
        assert_eq!(responder.totals().sum(XDP_PASSED), 0);
        assert_eq!(responder.run(&ptr), Ok(Fate::Passes), "it does not serve yet");
    }
    let mut responder = Responder::load(&filter(), &snapshot, Growth::Anywhere).expect("it loads");
    responder.occupy(true);
    let failed = responder.self_test(&filter(), &snapshot).unwrap_err();
    assert_eq!(failed, "the program fails its self-test: it does not answer");
    let zones = zone::load(&options(&[])).expect("the zones load");
    let settings = Settings { edns_udp_size: 700, listeners: filter().listeners, ..settings() };
    let other = Snapshot::new(&zones, settings).expect("sound");
    let failed = responder.self_test(&filter(), &other).unwrap_err();
    assert_eq!(failed, "the program fails its self-test: it answers otherwise than the sockets");
}
