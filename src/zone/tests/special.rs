//! Names whose answers depend on who asks: which are refused, and what they replace.

use super::*;

const ZONE: &str = "@ 1h IN SOA ns hostmaster 1 2 3 4 5
@ NS ns
ns A 192.0.2.1
www A 192.0.2.2
www TXT kept
both A 192.0.2.3
both AAAA 2001:db8::3
both TXT gone
alias CNAME www
to DNAME elsewhere.test.
cut NS ns.cut
ns.cut A 192.0.2.4
leaf.deep TXT there
@ MX 10 pooled
@ MX 20 m.wild
";

fn entry(name: &str, kind: SpecialKind) -> SpecialEntry {
    let (name, is_wildcard) = name.strip_prefix("*.").map_or((name, false), |name| (name, true));
    let special = Special { name: name_from_text(name).unwrap(), is_wildcard, kind };
    SpecialEntry { special, place: format!("conf:{}", name.len()) }
}

/// Loads the zone `example` and these names; pool 0 has addresses, pool 1 has none.
fn load_with(specials: Vec<SpecialEntry>) -> Result<ZoneSet, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("example.zone"), ZONE).unwrap();
    let pools = vec![
        Pool { ttl: 60, variants: vec![vec!["198.51.100.1".parse().unwrap()]] },
        Pool { ttl: 60, variants: Vec::new() },
    ];
    load(&ZoneOptions { dir: Some(dir.path().to_owned()), pools, specials, ..everything() })
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

const POOL: SpecialKind = SpecialKind::Pool(0);

#[test]
fn a_name_that_a_zone_contradicts_is_refused_with_its_place() {
    let pool = |name: &str| vec![entry(name, POOL)];
    let refused = [
        (pool("www.example.org"), "conf:15: www.example.org is in no zone of this node; add its zone"),
        (pool("10.in-addr.arpa"), "conf:15: 10.in-addr.arpa. is in 10.in-addr.arpa., which is built in"),
        (pool("alias.example"), "conf:13: alias.example. has a CNAME in its zone: remove it"),
        (pool("to.example"), "conf:10: to.example. has a DNAME in its zone: remove it"),
        (pool("a.TO.example"), "is below the DNAME of to.example.: name what that leads to"),
        (pool("*.to.example"), "*.to.example. is below the DNAME of to.example."),
        (pool("cut.example"), "cut.example. is at or below the delegation of cut.example."),
        (pool("a.b.cut.example"), "a.b.cut.example. is at or below the delegation of cut.example."),
        (pool("*.cut.example"), "*.cut.example. is at or below the delegation of cut.example."),
        (vec![entry("x.example", SpecialKind::Pool(1))], "x.example. is in a pool without addresses"),
        (vec![entry("x.example", SpecialKind::Pool(2))], "x.example. is in a pool without addresses"),
        (
            vec![entry("x.example", POOL), entry("X.example", SpecialKind::Identity)],
            "conf:9: X.example. is named a second time; the first is at conf:9: keep one",
        ),
        (
            vec![entry("deep.example", SpecialKind::Identity)],
            "leaf.deep.example. is below deep.example., where every name says who asks",
        ),
        (
            vec![entry("y.x.example", POOL), entry("x.example", SpecialKind::Identity)],
            "y.x.example. is below x.example., where every name says who asks",
        ),
        (
            vec![entry("x.example", SpecialKind::Identity), entry("y.x.example", POOL)],
            "y.x.example. is below x.example., where every name says who asks",
        ),
        (
            vec![entry("b.example", SpecialKind::Beacon)],
            "conf:9: nothing stands below b.example.: give *.b.example. an address in its zone, or a pool",
        ),
    ];
    for (specials, expected) in refused {
        let problems = load_with(specials).unwrap_err();
        assert!(problems.len() == 1 && problems[0].contains(expected), "{expected}\n{problems:#?}");
    }
}

#[test]
fn what_a_zone_has_of_the_types_that_are_made_is_dropped_with_a_warning() {
    let specials = vec![
        entry("WWW.example", POOL),
        entry("both.example", SpecialKind::Identity),
        entry("*.wild.example", POOL),
        entry("pooled.example", POOL),
        entry("*.b.example", POOL),
        entry("b.example", SpecialKind::Beacon),
        entry("leaf.deep.example", POOL),
    ];
    let set = load_with(specials).unwrap();
    let warnings: Vec<String> = set.warnings.iter().map(ToString::to_string).collect();
    // The exchangers have addresses of pools, which the zone does not know.
    assert_eq!(
        warnings,
        [
            "conf:11: WWW.example. has A in its zone, which is not served: this replaces it",
            "conf:12: both.example. has A, AAAA, TXT in its zone, which is not served: this replaces it",
        ]
    );
    let left = shown(&records(zone(&set, "example")));
    let of = |name: &str| left.iter().filter(|record| record.starts_with(name)).collect::<Vec<_>>();
    assert_eq!(of("www."), ["www.example. 3600 IN TXT \"kept\""]);
    assert_eq!((of("both.").len(), of("ns.example").len(), of("leaf.").len()), (0, 1, 1));
    assert_eq!((set.specials.len(), set.pools.len()), (7, 2));
}
