//! What is made of zones: how much of it, that it has a bound, and that sharing it changes no answer.

use super::*;
use crate::zone::{Pool, Record, Special, Zone};

/// A zone with an RRset of 10,000 bytes and so many aliases of it, no two of one TTL.
fn aliases(count: u32) -> ZoneSet {
    let apex = Name::from_wire(b"\x07example\0").unwrap();
    let target = apex.prepend(b"big").unwrap();
    let record = |owner: &Name, rtype, ttl, rdata: &[u8]| Record {
        owner: owner.clone(),
        rtype,
        ttl,
        rdata: rdata.to_vec(),
    };
    let soa = [apex.as_wire(), apex.as_wire(), &[0; 20]].concat();
    let mut records = vec![
        record(&apex, rtype::SOA, 60, &soa),
        record(&apex, rtype::NS, 60, apex.as_wire()),
        record(&target, 65_280, 60, &[0; 10_000]),
    ];
    records.extend((0..count).map(|ttl| {
        let owner = apex.prepend(format!("alias{ttl}").as_bytes()).unwrap();
        record(&owner, rtype::CNAME, ttl, target.as_wire())
    }));
    let zones = vec![Zone::new(&apex, Service::Configured, &records)];
    ZoneSet { zones, ..ZoneSet::default() }
}

/// Adds records to the first zone.
fn add(set: &mut ZoneSet, more: impl Iterator<Item = Record>) {
    let zone = &mut set.zones[0];
    let records: Vec<Record> = zone.records().chain(more).collect();
    *zone = Zone::new(&zone.apex(), zone.service, &records);
}

#[test]
fn more_records_than_a_message_counts_are_no_matter() {
    let mut set = aliases(0);
    let apex = set.zones[0].apex();
    // ANY over TCP asks for them all.
    let more = (0..70_000_u32).map(|number| Record {
        owner: apex.clone(),
        rtype: 65_280 + (number / 5000) as u16,
        ttl: 60,
        rdata: (number as u16).to_be_bytes().to_vec(),
    });
    add(&mut set, more);
    assert!(Answers::compile(&set, &mut Vec::new()).is_ok());
}

/// There is nothing that TC=1 over TCP could make a client do.
#[test]
fn any_over_tcp_gets_one_set_where_all_do_not_fit() {
    for (count, is_whole) in [(5, true), (7, false)] {
        let mut set = aliases(0);
        let apex = set.zones[0].apex();
        let more = (0..count).map(|number| Record {
            owner: apex.clone(),
            rtype: 65_280 + number,
            ttl: 60,
            rdata: vec![0; 10_000],
        });
        add(&mut set, more);
        let (answers, _) = Answers::compile(&set, &mut Vec::new()).unwrap();
        let any = |over_tcp: bool| {
            let apex = answers.nodes.iter().find(|node| node.name.len as usize == apex.as_wire().len());
            answers.select(&apex.unwrap().exact, rtype::ANY, over_tcp)
        };
        let sets = 1 + 1 + count;
        assert_eq!(
            (any(false).head.counts(), any(true).answers() == usize::from(sets)),
            ([1, 0, 0], is_whole)
        );
        assert!(is_whole || any(true).head.counts() == [1, 0, 0], "{count}");
    }
}

#[test]
fn the_types_of_a_name_are_gathered_once_and_not_for_each_of_them() {
    const TYPES: u16 = 20_000;

    let mut set = aliases(0);
    let owner = set.zones[0].apex().prepend(b"many").unwrap();
    let numbers = 1000..1000 + TYPES;
    let record = |rtype| Record { owner: owner.clone(), rtype, ttl: 60, rdata: vec![0] };
    add(&mut set, numbers.map(record));
    let tree = Tree::new(&set);
    let types = |qtype| tree.resolve(tree.place(&owner), None, qtype).types.len();
    assert_eq!((types(NO_TYPE), types(1000)), (usize::from(TYPES), 0));
    // Were it quadratic, this would take minutes.
    let (answers, _) = Answers::compile(&set, &mut Vec::new()).unwrap();
    assert!(answers.types.len() >= usize::from(TYPES));
}

#[test]
fn names_of_a_pool_share_their_tails() {
    let count = |names: u32| {
        let mut set = aliases(0);
        let apex = set.zones[0].apex();
        let addresses = |last: u8| vec![[192, 0, 2, last].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()];
        set.pools = vec![Pool { ttl: 60, variants: (1..=20).map(addresses).collect() }];
        let special = |number: u32| {
            let name = apex.prepend(format!("www{number}").as_bytes()).unwrap();
            Special { name, is_wildcard: number % 2 == 1, kind: SpecialKind::Pool(0) }
        };
        set.specials = (0..names).map(special).collect();
        Answers::compile(&set, &mut Vec::new()).unwrap().0.tails.len()
    };
    let (few, many) = (count(4), count(104));
    // What is left is for other types, and for the names below.
    assert!(many - few < 100 * 20, "{few} {many}");
    assert!(few > 2 * 3 * 20, "those of a name and those of a wildcard, for A, AAAA and ANY: {few}");
}

/// All that is answered, node by node, in words that do not tell where it lies.
fn described(answers: &Answers) -> Vec<String> {
    let tail = |id: TailId| {
        let Tail { bytes, relocations, len, head } = answers.tails[id.0 as usize];
        let bytes = &answers.bytes[bytes.range()];
        let relocations = &answers.relocations[relocations.range()];
        format!("{bytes:02x?} {relocations:?} {len} {head:?}")
    };
    let set = |set: &Set| {
        let types = answers.types[set.types.range()].iter().map(|(rtype, id)| (*rtype, tail(*id)));
        let link = set.link.map(|link| (tail(link.record), &answers.bytes[link.target.range()]));
        let any = set.any.map(tail);
        format!("{:?} {} {any:?} {link:?} {:?}", types.collect::<Vec<_>>(), tail(set.other), set.kind)
    };
    let node = |node: &Node| {
        let name = Name::from_wire(&answers.bytes[node.name.range()]).unwrap();
        let walk = Walk::new(name.as_wire(), 0).unwrap();
        let found = answers.find(name.as_wire(), 0, walk).map(|found| found.node_start);
        assert_eq!(found, Some(0), "it is found where it is");
        let below = match &node.below {
            Rule::Set(below) => set(below),
            Rule::Dname(dname) => {
                format!("{} {:?} {}", tail(dname.record), &answers.bytes[dname.target.range()], dname.ttl)
            }
        };
        format!("{name} {:?} {} {} | {below}", node.zone, node.is_empty_zone, set(&node.exact))
    };
    let mut nodes: Vec<String> = answers.nodes.iter().map(node).collect();
    nodes.sort();
    nodes
}

/// Zones whose records are equal share what is compiled, but only where their answers are.
#[test]
fn zones_that_share_answers_have_those_of_their_own() {
    const HEAD: &str = "SOA ns.hoster.test. h.hoster.test. 1 2 3 4 5\n NS ns.hoster.test.\n";
    let bodies = [
        "",
        " NS ns\nns A 192.0.2.1\n MX 5 mail\nmail CNAME ns\n",
        "www CNAME @\n* CNAME www\na.b.c TXT x\nloop CNAME loop\n",
        "out CNAME www.x.one.test.\nfar CNAME a.nowhere.\n",
        "own SRV 1 1 1 www.a1.one.test.\nptr PTR www.a1.one.test.\nalias CNAME ptr.A1.one.test.\n",
        "d DNAME e\ne TXT x\nf CNAME x.d\n",
        "cut NS ns.cut\nns.cut A 192.0.2.1\n*.w CNAME y.w\n",
    ];
    let mut pack = "$TTL 60\n".to_owned();
    let mut apexes = Vec::new();
    for (number, body) in bodies.iter().enumerate() {
        for parent in ["one.test", "TWO.test", "."] {
            for label in ["x", "a", "b", "cc", "DD", "e\\.e", "cut"] {
                let dot = if parent == "." { "" } else { "." };
                apexes.push((format!("{label}{number}{dot}{parent}").replace("x0", "x"), *body));
            }
        }
    }
    // Some with others below them, and one above.
    for (apex, body) in [("www.b2.one.test", 1), ("c.DD2.one.test", 0), ("one.test", 2), ("ns.a1", 0)] {
        apexes.push((apex.to_owned(), bodies[body]));
    }
    for (apex, body) in &apexes {
        pack += &format!("$ORIGIN {}.\n@ {HEAD}{body}", apex.trim_end_matches('.'));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pack");
    std::fs::write(&path, pack).unwrap();
    let identity = crate::zone::Identity { node: "n".to_owned(), ..Default::default() };
    let options = crate::zone::ZoneOptions { packs: vec![path], identity, ..Default::default() };
    let mut set = crate::zone::load(&options).unwrap();
    let name = |text: &str| crate::zone::name_from_text(text).unwrap();
    set.pools = vec![Pool { ttl: 60, variants: vec![vec![[192, 0, 2, 9].into()]] }];
    set.specials = vec![
        Special { name: name("p.b1.one.test"), is_wildcard: false, kind: SpecialKind::Pool(0) },
        Special { name: name("cc2.one.test"), is_wildcard: false, kind: SpecialKind::Beacon },
    ];
    assert!(set.zones.iter().filter(|zone| zone.alike().is_some()).count() > 50);
    let alone = |zone: &Zone| {
        let records: Vec<Record> = zone.records().collect();
        Zone::new(&zone.apex(), zone.service, &records)
    };
    let each = ZoneSet { zones: set.zones.iter().map(alone).collect(), ..set.clone() };
    assert!(each.zones.iter().all(|zone| zone.alike().is_none()));
    let compiled = |set: &ZoneSet| Answers::compile(set, &mut Vec::new()).unwrap().0;
    let (shared, each) = (described(&compiled(&set)), described(&compiled(&each)));
    assert!(shared.len() > apexes.len() * 2);
    for (shared, each) in shared.iter().zip(&each) {
        assert_eq!(shared, each);
    }
    assert_eq!(shared.len(), each.len());
}

#[test]
fn answers_that_multiply_are_refused() {
    assert!(Answers::compile_within(&aliases(8), &mut Vec::new(), 100_000).is_ok());
    let problem = Answers::compile_within(&aliases(10), &mut Vec::new(), 100_000).unwrap_err();
    assert!(problem.message.contains("example. exceed 100000 bytes"), "{problem}");
}
