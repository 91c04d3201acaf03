//! Answers that depend on who asks: which PoP, for how many clients, through aliases, and names that say who
//! that is.

mod common;
#[path = "common/mutate.rs"]
#[allow(dead_code, reason = "the dice alone are used here")]
mod mutate;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use as112d::dns::arrival::Arrival;
use as112d::dns::message::Message;
use as112d::limits::{IDENTITY_LEN_MAX, TCP_REPLY_LEN_MAX};
use as112d::serve::snapshot::Snapshot;
use as112d::serve::{Verdict, identity, serve};
use as112d::stats::account::Account;

use common::decode::{self, second_opinion};
use common::packet::dissect;
use common::tailored::{subnet, subnets, tailored};
use common::{ask, query, tcp, udp, with_opt};
use mutate::Dice;

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const ANY: u16 = 255;

/// Fields of the header of a reply.
const AA: u8 = 4;
const TC: u8 = 2;

/// A query; with a subnet it has an OPT.
fn asked(name: &str, qtype: u16, of: &str) -> Vec<u8> {
    let query = query(name, qtype);
    if of.is_empty() { query } else { with_opt(query, 1232, &subnet(of)) }
}

/// The records of a reply, without their owners where those are the name that was asked for, and SCOPE.
fn shown(reply: &[u8]) -> (Vec<String>, Option<u8>) {
    let text = dissect(reply);
    let name = text.lines().find_map(|line| line.trim().strip_prefix("; question: ")).expect("a question");
    let name = name.split(' ').next().expect("a name").to_owned();
    let records = text.lines().filter_map(|line| {
        let (section, record) = line.trim().strip_prefix("; ")?.split_once(": ")?;
        let record = record.strip_prefix(&format!("{name} ")).unwrap_or(record).replacen("IN ", "", 1);
        match section {
            "answer" => Some(record),
            "authority" if record.contains(" SOA ") => Some("SOA".to_owned()),
            "authority" => Some(format!("authority {record}")),
            "additional" if !record.contains("OPT") => Some(format!("additional {record}")),
            _ => None,
        }
    });
    let message = Message::read(reply).expect("a sound message");
    (records.collect(), message.opt.and_then(|opt| opt.subnet).map(|subnet| subnet.scope))
}

/// A name and a type, a subnet or none, and what they get: records and SCOPE.
type Row = (&'static str, u16, &'static str, &'static [&'static str], Option<u8>);

const ANSWERS: &[Row] = &[
    // A name of its own.
    ("www.example.net", A, "", &["60 A 198.51.100.1"], None),
    ("www.example.net", A, "0.0.0.0/0", &["60 A 198.51.100.1"], Some(0)),
    ("www.example.net", A, "11.1.3.0/24", &["60 A 198.51.100.2"], Some(24)),
    ("WWW.Example.net", A, "11.1.2.0/24", &["60 A 198.51.100.3"], Some(24)),
    ("www.example.net", A, "13.0.0.0/24", &["60 A 198.51.100.1"], Some(8)),
    ("www.example.net", A, "2a00:aaaa:2::/48", &["60 A 198.51.100.3"], Some(47)),
    ("www.example.net", AAAA, "11.1.3.0/24", &["SOA"], Some(0)),
    ("www.example.net", MX, "11.1.3.0/24", &["SOA"], Some(0)),
    ("www.example.net", TXT, "11.1.3.0/24", &["3600 TXT \"static\""], Some(0)),
    ("x.www.example.net", A, "11.1.3.0/24", &["SOA"], Some(0)),
    ("plain.example.net", A, "11.1.3.0/24", &["3600 A 192.0.2.9"], Some(0)),
    // A wildcard, and what is beside it.
    ("x.cdn.example.net", A, "11.1.3.0/24", &["30 A 198.51.100.12"], Some(24)),
    ("x.cdn.example.net", AAAA, "11.1.3.0/24", &["30 AAAA 2001:db8:52::1"], Some(24)),
    ("y.x.cdn.example.net", AAAA, "", &["30 AAAA 2001:db8:51::1"], None),
    ("*.cdn.example.net", A, "11.1.3.0/24", &["30 A 198.51.100.12"], Some(24)),
    ("x.cdn.example.net", MX, "11.1.3.0/24", &["SOA"], Some(0)),
    ("cdn.example.net", A, "11.1.3.0/24", &["SOA"], Some(0)),
    ("static.cdn.example.net", A, "11.1.3.0/24", &["3600 A 192.0.2.10"], Some(0)),
    ("x.static.cdn.example.net", A, "11.1.3.0/24", &["SOA"], Some(0)),
    // An apex.
    ("apex.test", A, "2400:1235::/56", &["30 A 198.51.100.12"], Some(32)),
    ("apex.test", AAAA, "2400:1235::/56", &["30 AAAA 2001:db8:52::1"], Some(32)),
    ("apex.test", NS, "11.1.3.0/24", &["3600 NS ns.apex.test."], Some(0)),
    ("apex.test", MX, "11.1.3.0/24", &["3600 MX 10 ns.apex.test."], Some(0)),
    ("x.apex.test", A, "11.1.3.0/24", &["SOA"], Some(0)),
    // Aliases: without a subnet to the end, with one up to what depends on it.
    (
        "alias.example.net",
        A,
        "",
        &["3600 CNAME www.example.net.", "www.example.net. 60 A 198.51.100.1"],
        None,
    ),
    ("alias.example.net", A, "11.1.3.0/24", &["3600 CNAME www.example.net."], Some(0)),
    ("alias.example.net", A, "0.0.0.0/0", &["3600 CNAME www.example.net."], Some(0)),
    ("alias.example.net", AAAA, "11.1.3.0/24", &["3600 CNAME www.example.net.", "SOA"], Some(0)),
    ("alias.example.net", CNAME, "11.1.3.0/24", &["3600 CNAME www.example.net."], Some(0)),
    (
        "far.example.net",
        A,
        "",
        &[
            "3600 CNAME alias.example.net.",
            "alias.example.net. 3600 CNAME www.example.net.",
            "www.example.net. 60 A 198.51.100.1",
        ],
        None,
    ),
    (
        "far.example.net",
        A,
        "11.1.3.0/24",
        &["3600 CNAME alias.example.net.", "alias.example.net. 3600 CNAME www.example.net."],
        Some(0),
    ),
    (
        "q.apps.example.net",
        AAAA,
        "",
        &["3600 CNAME any.cdn.example.net.", "any.cdn.example.net. 30 AAAA 2001:db8:51::1"],
        None,
    ),
    ("q.apps.example.net", AAAA, "11.1.3.0/24", &["3600 CNAME any.cdn.example.net."], Some(0)),
    ("q.apps.example.net", TXT, "11.1.3.0/24", &["3600 CNAME any.cdn.example.net.", "SOA"], Some(0)),
    (
        "www.to.example.net",
        A,
        "",
        &[
            "to.example.net. 3600 DNAME example.net.",
            "3600 CNAME www.example.net.",
            "www.example.net. 60 A 198.51.100.1",
        ],
        None,
    ),
    (
        "www.to.example.net",
        A,
        "11.1.3.0/24",
        &["to.example.net. 3600 DNAME example.net.", "3600 CNAME www.example.net."],
        Some(0),
    ),
    (
        "plain.to.example.net",
        A,
        "11.1.3.0/24",
        &[
            "to.example.net. 3600 DNAME example.net.",
            "3600 CNAME plain.example.net.",
            "plain.example.net. 3600 A 192.0.2.9",
        ],
        Some(0),
    ),
    // Glue is for everybody.
    (
        "x.sub.example.net",
        A,
        "11.1.3.0/24",
        &[
            "authority sub.example.net. 3600 NS www.example.net.",
            "authority sub.example.net. 3600 NS plain.example.net.",
            "additional plain.example.net. 3600 A 192.0.2.9",
        ],
        Some(0),
    ),
    // Who asks.
    ("whoami.example.net", A, "11.1.3.0/24", &["0 A 127.0.0.1"], Some(0)),
    ("x.whoami.example.net", A, "", &["0 A 127.0.0.1"], None),
    ("y.*.x.whoami.example.net", A, "", &["0 A 127.0.0.1"], None),
    ("whoami.example.net", AAAA, "11.1.3.0/24", &["SOA"], Some(0)),
    ("x.whoami.example.net", MX, "11.1.3.0/24", &["SOA"], Some(0)),
    ("x.whoami.example.net", NS, "", &["SOA"], None),
    (
        "who.example.net",
        A,
        "",
        &["3600 CNAME whoami.example.net.", "whoami.example.net. 0 A 127.0.0.1"],
        None,
    ),
    ("who.example.net", A, "11.1.3.0/24", &["3600 CNAME whoami.example.net."], Some(0)),
    ("who.example.net", AAAA, "", &["3600 CNAME whoami.example.net.", "SOA"], None),
    ("who.example.net", MX, "11.1.3.0/24", &["3600 CNAME whoami.example.net.", "SOA"], Some(0)),
];

#[test]
fn each_client_gets_its_pop_and_is_told_for_whom_that_holds() {
    let node = tailored(|_| ());
    for (name, qtype, of, expected, scope) in ANSWERS {
        let query = asked(name, *qtype, of);
        let reply = ask(&node, &udp(), &query).expect("a reply");
        let place = format!("{name} {qtype} {of}\n{}", dissect(&reply));
        assert_eq!(shown(&reply), (expected.iter().map(ToString::to_string).collect(), *scope), "{place}");
        let is_nxdomain = reply[3] & 0xF == 3;
        assert_eq!(
            is_nxdomain,
            name.starts_with("x.") && ["www", "static", "apex"].contains(&part(name)),
            "{place}"
        );
        assert_eq!((reply[2] & AA != 0, reply[2] & TC), (!name.contains("sub."), 0), "{place}");
        assert_eq!(ask(&node, &tcp(), &query).as_deref(), Some(&reply[..]), "over TCP: {place}");
    }
}

/// The second label of a name.
fn part(name: &str) -> &str {
    name.split('.').nth(1).expect("two labels")
}

#[test]
fn any_gets_one_set_over_udp_and_all_over_tcp_of_one_pop() {
    let node = tailored(|_| ());
    let of = |name: &str, arrival: &Arrival, of: &str| {
        shown(&ask(&node, arrival, &asked(name, ANY, of)).expect("a reply"))
    };
    let addresses = ["30 A 198.51.100.12", "30 AAAA 2001:db8:52::1"].map(str::to_owned);
    let (nrt, scope) = ("11.1.3.0/24", Some(24));
    assert_eq!(of("x.cdn.example.net", &udp(), nrt), (addresses[..1].to_vec(), scope));
    assert_eq!(of("x.cdn.example.net", &tcp(), nrt), (addresses.to_vec(), scope));
    let (static_too, of_tcp) = of("www.example.net", &tcp(), nrt);
    assert_eq!(
        (&static_too[..], of_tcp),
        (&["60 A 198.51.100.2", "3600 TXT \"static\""].map(str::to_owned)[..], scope)
    );
    // The SOA is the same for all.
    let (soa, of_soa) = of("apex.test", &udp(), nrt);
    assert!(soa.len() == 1 && soa[0].contains(" SOA "), "{soa:?}");
    assert_eq!(of_soa, Some(0));
    let (all, of_all) = of("apex.test", &tcp(), nrt);
    assert_eq!((all.len(), of_all), (5, scope));
    assert!(all.contains(&addresses[0]) && all.contains(&addresses[1]), "{all:?}");
    // An alias is all that its owner has.
    assert_eq!(
        of("alias.example.net", &udp(), nrt),
        (vec!["3600 CNAME www.example.net.".to_owned()], Some(0))
    );
    assert_eq!(of("www.to.example.net", &udp(), nrt).0.len(), 2, "a DNAME, and what is made of it");
}

#[test]
fn several_addresses_begin_with_another_for_another_query_and_never_for_a_subnet() {
    let node = tailored(|_| ());
    let fra = "11.1.2.0/24";
    for (qtype, count) in [(A, 3), (AAAA, 2)] {
        let mut firsts = vec![0_u32; count];
        let mut all: Option<BTreeSet<String>> = None;
        for id in 0..3000_u16 {
            let mut query = asked("x.cdn.example.net", qtype, fra);
            query[..2].copy_from_slice(&id.to_be_bytes());
            let (records, scope) = shown(&ask(&node, &udp(), &query).expect("a reply"));
            assert_eq!((records.len(), scope), (count, Some(24)));
            let sorted: BTreeSet<String> = records.iter().cloned().collect();
            let set = all.get_or_insert_with(|| sorted.clone());
            assert_eq!(*set, sorted, "the set is the same");
            firsts[sorted.iter().position(|record| *record == records[0]).expect("it is one")] += 1;
            if id % 100 == 0 {
                assert_eq!(shown(&ask(&node, &tcp(), &query).expect("a reply")).0, records, "over TCP");
                // Another subnet of the same PoP.
                let mut other = asked("x.cdn.example.net", qtype, "10.9.3.0/24");
                other[..2].copy_from_slice(&id.to_be_bytes());
                assert_eq!(shown(&ask(&node, &udp(), &other).expect("a reply")).0, records);
            }
        }
        let even = 3000 / count as u32;
        assert!(firsts.iter().all(|&times| times.abs_diff(even) < 200), "{firsts:?}");
    }
    // Other resolvers, one ID.
    let peers = (1..200_u8).map(|last| {
        let mut arrival = udp();
        arrival.peer = SocketAddr::from(([192, 0, 2, last], 40_000));
        shown(&ask(&node, &arrival, &asked("x.cdn.example.net", A, fra)).expect("a reply")).0
    });
    assert_eq!(peers.collect::<BTreeSet<_>>().len(), 3);
}

/// Some queries that depend on who asks: each with its ID and peer.
#[test]
fn subnets_never_decide_what_exists() {
    let node = tailored(|_| ());
    let names =
        ["www.example.net", "x.cdn.example.net", "apex.test", "alias.example.net", "x.whoami.example.net"];
    assert_eq!(subnets().len(), 200);
    for name in names {
        for qtype in [A, NS, CNAME, SOA, MX, TXT, AAAA, ANY, 43, 65, 65_280] {
            let plain = ask(&node, &udp(), &with_opt(query(name, qtype), 1232, &[])).expect("a reply");
            for of in subnets() {
                let reply = ask(&node, &udp(), &asked(name, qtype, &of)).expect("a reply");
                let kind = |reply: &[u8]| (reply[3] & 0xF, reply[7] > 0);
                assert_eq!(kind(&reply), kind(&plain), "{name} {qtype} {of}");
            }
        }
    }
}

/// The account of a query, and its reply.
fn accounted(node: &Snapshot, arrival: &Arrival, query: &[u8]) -> (Account, Vec<u8>) {
    let mut slot = vec![0xEE; TCP_REPLY_LEN_MAX];
    slot[..query.len()].copy_from_slice(query);
    let mut account = Account::default();
    let Verdict::Reply(len) = serve(node, arrival, &mut slot, query.len(), &mut account) else {
        panic!("no reply");
    };
    slot.truncate(len);
    (account, slot)
}

#[test]
fn queries_below_a_beacon_are_noted_and_may_be_sent_to_tcp() {
    let is_noted = |account: &Account| account.client.is_some_and(|client| client.is_beacon);
    let (plain, strict) = (tailored(|_| ()), tailored(|settings| settings.beacons_over_tcp = true));
    let below =
        ["x.b.example.net", "y.x.b.example.net", "b.b.example.net", "x.t.b.example.net", "x.c.b.example.net"];
    for name in below {
        for of in ["", "11.1.3.0/24"] {
            let query = asked(name, A, of);
            let (account, reply) = accounted(&plain, &udp(), &query);
            assert!(is_noted(&account) && reply[7] > 0, "{name}");
            let (account, over_tcp) = accounted(&strict, &tcp(), &query);
            assert!(is_noted(&account), "{name}");
            assert_eq!(over_tcp, reply);
            let (account, truncated) = accounted(&strict, &udp(), &query);
            assert!(is_noted(&account), "{name}");
            assert_eq!(
                (truncated[2] & TC, &truncated[6..11], truncated[3] & 0xF),
                (TC, &[0; 5][..], 0),
                "{name}"
            );
        }
    }
    for name in
        ["b.example.net", "www.example.net", "xb.example.net", "x.cdn.example.net", "whoami.example.net"]
    {
        assert!(!is_noted(&accounted(&strict, &udp(), &asked(name, A, "11.1.3.0/24")).0), "{name}");
    }
    // Nor is what an alias leads to: nobody has asked for that name.
    assert_eq!(shown(&accounted(&plain, &udp(), &asked("x.b.to.example.net", A, "")).1).0.len(), 3);
    assert!(!is_noted(&accounted(&strict, &udp(), &asked("x.b.to.example.net", A, "")).0));
}

/// The name that queries ask for who asks, its address of either family, and the SOA of its zone, as packets.
const WHOAMI: &str = "06 77686f616d69 07 6578616d706c65 03 6e6574 00";
const IPV4: &str = "c00c 0001 0001 00000005 0004 c0000235\n";
const IPV6: &str = "c00c 001c 0001 00000005 0010 20010db8 00000000 00000000 00000053";
const NEGATIVE: &str = "c013 0006 0001 0000012c 0026 026e73c013 0a686f73746d6173746572c013 \
    00000001 00000002 00000003 00000004 0000012c";

/// TXT records of two strings each.
fn texts(of: &[(&str, &str)]) -> String {
    let text = |(key, text): &(&str, &str)| {
        let (key_len, len) = (key.len(), text.len());
        let rdata_len = key_len + len + 2;
        format!("c00c 0010 0001 00000005 {rdata_len:04x} {key_len:02x} \"{key}\" {len:02x} \"{text}\"\n")
    };
    of.iter().map(text).collect()
}

/// A query of a type for who asks, or the reply to it: what comes before the question and after it, and an
/// option.
fn about(head: &str, qtype: u16, records: &str, option: &str) -> Vec<u8> {
    let opt = if option.is_empty() { String::new() } else { format!("00 0029 04d0 00000000 [ {option} ]") };
    let additional = u8::from(!option.is_empty());
    let text = format!("1234 {head} 00{additional:02x} {WHOAMI} {qtype:04x} 0001 {records} {opt}");
    common::packet::read(&text).unwrap_or_else(|reason| panic!("{text}: {reason}"))
}

#[test]
fn who_asks_is_told_to_the_byte() {
    let node = tailored(|settings| settings.identity_zone.as_mut().expect("it is there").ttl = 5);
    let (v4, v6, of_node) = ("192.0.2.53:4242", "[2001:db8::53]:53124", ("node", common::NODE));
    let (of_v4, port) = (("ns", "192.0.2.53"), ("port", "4242"));
    let bare = |proto| texts(&[of_v4, port, ("proto", proto), of_node, ("pop", "sfo")]);
    let nrt = [
        ("ns", "2001:db8::53"),
        ("port", "53124"),
        ("proto", "tcp"),
        ("ecs", "11.1.3.0/24/24"),
        of_node,
        ("pop", "nrt"),
    ];
    let fra = [of_v4, port, ("proto", "udp"), ("ecs", "2a00:aaaa:2::/48/48"), of_node, ("pop", "fra")];
    let (of_nrt, of_fra) = ("00080007000118000b0103", "0008000a000230002a00aaaa0002");
    let cases = [
        // The address of the resolver; of the other family there is none.
        (v4, udp(), A, "", "0001 0000", IPV4.to_owned(), ""),
        (v6, udp(), AAAA, "", "0001 0000", IPV6.to_owned(), ""),
        ("[::ffff:192.0.2.53]:4242", udp(), A, "", "0001 0000", IPV4.to_owned(), ""),
        (v4, udp(), AAAA, of_nrt, "0000 0001", NEGATIVE.to_owned(), of_nrt),
        // All that is known.
        (v4, udp(), TXT, "", "0005 0000", bare("udp"), ""),
        (v6, tcp(), TXT, of_nrt, "0006 0000", texts(&nrt), "00080007000118180b0103"),
        (v4, udp(), TXT, of_fra, "0006 0000", texts(&fra), "0008000a000230302a00aaaa0002"),
        // ANY: one set, or all.
        (v4, udp(), ANY, "", "0001 0000", IPV4.to_owned(), ""),
        (v4, tcp(), ANY, "", "0006 0000", IPV4.to_owned() + &bare("tcp"), ""),
    ];
    for (peer, arrival, qtype, option, counts, records, returned) in cases {
        let arrival = Arrival { peer: peer.parse().expect("an address"), ..arrival };
        let query = about("0100 0001 0000 0000", qtype, "", option);
        let expected = about(&format!("8500 0001 {counts}"), qtype, &records, returned);
        let reply = ask(&node, &arrival, &query).expect("a reply");
        assert!(reply == expected, "{arrival:?} {qtype}\n{}\n{}", dissect(&reply), dissect(&expected));
    }
}

#[test]
fn what_says_who_asks_is_short() {
    // The longest of everything.
    let node = tailored(|settings| settings.node = "n".repeat(128));
    let mut over_tcp = tcp();
    over_tcp.peer = "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().expect("an address");
    let over_udp = Arrival { transport: udp().transport, ..over_tcp };
    let of = "2001:db8:eeee:eeee:eeee:eeee:eeee:eeee/128";
    let name = format!("{}.whoami.example.net", ["x"; 117].join("."));
    let any = ask(&node, &over_tcp, &asked(&name, ANY, of)).expect("a reply");
    assert_eq!(any[7], 7, "an address and six texts");
    let (query_len, opt_len) = (query(&name, ANY).len(), 11 + 24);
    let records_len = any.len() - query_len - opt_len;
    assert!((350..=IDENTITY_LEN_MAX).contains(&records_len), "{records_len}");
    // Without EDNS a long name sends the client to TCP; a short one does not.
    for (name, is_truncated) in [(&name[..], true), ("whoami.example.net", false)] {
        let reply = ask(&node, &over_udp, &query(name, TXT)).expect("a reply");
        assert!(reply.len() <= 512 && (reply[2] & TC != 0) == is_truncated && (reply[7] > 0) != is_truncated);
    }
}

#[test]
fn a_reply_is_emptied_of_all_but_its_opt() {
    let node = tailored(|_| ());
    for (name, of) in
        [("whoami.example.net", "11.1.3.0/24"), ("whoami.example.net", ""), ("who.example.net", "")]
    {
        let query = asked(name, TXT, of);
        let (account, mut reply) = accounted(&node, &udp(), &query);
        assert!(identity::has_texts(&account) && reply[7] > 1, "{name}");
        let opt = reply.len() - if of.is_empty() { 0 } else { 11 + 11 };
        let opt = reply[opt..].to_vec();
        let len = reply.len();
        let len = identity::emptied(&mut reply, len);
        let head = [&query[..2], &[0x87, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(!of.is_empty())]].concat();
        let question = &query[12..self::query(name, TXT).len()];
        assert_eq!(reply[..len], [&head[..], question, &opt].concat(), "{name}");
    }
    let (account, _) = accounted(&node, &udp(), &asked("whoami.example.net", A, ""));
    assert!(!identity::has_texts(&account));
}

/// Names and types of all kinds, options that are damaged, and any size of datagrams.
#[test]
fn whatever_is_asked_the_reply_is_sound() {
    const LABELS: [&str; 14] =
        ["www", "cdn", "x", "alias", "far", "apps", "to", "who", "whoami", "b", "t", "c", "static", "*"];
    let (plain, strict) = (tailored(|_| ()), tailored(|settings| settings.beacons_over_tcp = true));
    let (mut dice, options) = (Dice::new(15), subnets());
    let (mut truncated, mut refused, mut told) = (0, 0, 0);
    for _ in 0..30_000 {
        let labels = (0..dice.below(4)).map(|_| LABELS[dice.below(LABELS.len())]);
        let mut name = labels.collect::<Vec<_>>().join(".");
        name += if name.is_empty() { "" } else { "." };
        name += if dice.below(8) == 0 { "apex.test" } else { "example.net" };
        let qtype = [A, NS, CNAME, SOA, MX, TXT, AAAA, ANY, 39, 43][dice.below(10)];
        let mut option = subnet(&options[dice.below(options.len())]);
        if dice.below(4) == 0 {
            let at = 4 + dice.below(option.len() - 4);
            option[at] ^= 1 << dice.below(8);
        }
        let size = dice.below(700) as u16;
        let query = match dice.below(4) {
            0 => query(&name, qtype),
            _ => with_opt(query(&name, qtype), size, &option),
        };
        let over_tcp = dice.below(3) == 0;
        let (node, arrival) =
            (if dice.below(2) == 0 { &plain } else { &strict }, if over_tcp { tcp() } else { udp() });
        let reply = ask(node, &arrival, &query).expect("a reply");
        let place = || format!("{}{}", dissect(&query), dissect(&reply));
        let message =
            decode::Message::decode(&reply).unwrap_or_else(|reason| panic!("{reason}\n{}", place()));
        second_opinion(&reply).unwrap_or_else(|reason| panic!("{reason}\n{}", place()));
        assert!(over_tcp || reply.len() <= usize::from(size.max(512)), "{}", place());
        truncated += u32::from(reply[2] & TC != 0);
        refused += u32::from(reply[3] & 0xF == 1);
        // The subnet comes back as it was sent, but for SCOPE.
        if let Some(opt) = message.opt().filter(|opt| opt.rdata.len() > 4) {
            let mut back = reply[opt.rdata.clone()].to_vec();
            told += u32::from(back[7] > 0);
            back[7] = 0;
            assert_eq!(back, option, "{}", place());
        }
    }
    assert!(truncated > 100 && refused > 1000 && told > 300, "{truncated} {refused} {told}");
}
