//! One case for each rule of the RFCs.

use super::*;
use crate::limits::{CACHE_PURGES_MAX, CACHE_SCOPES_MAX};

/// RFC 1035, section 3.2.1; RFC 2181, section 5.2: the answer is kept for its smallest TTL, and they run out
/// together.
#[test]
fn ttls_run_out_by_age_and_the_smallest_counts() {
    let mut bench = Bench::new(|settings| settings.stale = Duration::ZERO);
    let qname = wire("www.example.org");
    let key = key(&qname);
    assert_eq!(bench.look(&key), Found::Miss);
    let extra = Record(2, rtype::A, 100, vec![192, 0, 2, 9]);
    assert_eq!(bench.store(&key, NOERROR | flag::AA, &[a(300, 1), a(400, 2), extra]), Stored::Positive);
    for (pass, left) in [(0.0, [300, 400, 100]), (0.9, [300, 400, 100]), (0.2, [299, 399, 99])] {
        bench.pass(pass);
        assert_eq!(bench.look(&key), Found::Fresh);
        assert_eq!(ttls(&bench.out), left);
    }
    assert_eq!(u16::from_be_bytes([bench.out[2], bench.out[3]]), NOERROR, "AA is gone, the rest is there");
    bench.pass(98.8);
    assert_eq!(bench.look(&key), Found::Prefetch);
    assert_eq!(ttls(&bench.out), [201, 301, 1]);
    bench.pass(0.1);
    assert_eq!(bench.look(&key), Found::Miss);
}

#[test]
fn the_bounds_of_ttls_hold() {
    let mut bench = Bench::new(|settings| {
        settings.ttl_min = Duration::from_secs(60);
        settings.ttl_max = Duration::from_secs(600);
        settings.negative_ttl_max = Duration::from_secs(90);
        settings.stale = Duration::ZERO;
    });
    let qname = wire("example.org");
    let key = key(&qname);
    let cases: [(u16, &[Record], &[u32]); 5] = [
        (NOERROR, &[a(5, 1), a(100, 2), a(9999, 3)], &[60, 100, 600]),
        (NOERROR, &[a(9999, 1)], &[600]),
        (NXDOMAIN, &[soa(10, 9999)], &[60]),
        (NXDOMAIN, &[soa(9999, 9999)], &[90]),
        (NXDOMAIN, &[soa(70, 9999)], &[70]),
    ];
    for (flags, records, expected) in cases {
        assert!(matches!(bench.store(&key, flags, records), Stored::Positive | Stored::Negative));
        assert_eq!(bench.look(&key), Found::Fresh);
        assert_eq!(ttls(&bench.out), expected);
        bench.pass(f64::from(*expected.iter().min().unwrap()) - 0.1);
        assert_ne!(bench.look(&key), Found::Miss);
        bench.pass(0.1);
        assert_eq!(bench.look(&key), Found::Miss);
    }
}

/// RFC 1035, section 3.2.1; RFC 2181, section 8.
#[test]
fn a_ttl_of_zero_is_not_kept_and_replaces_what_was() {
    let mut bench = Bench::new(|settings| settings.ttl_min = Duration::from_secs(60));
    let qname = wire("example.org");
    let key = key(&qname);
    for ttl in [0, 0x8000_0000, u32::MAX] {
        assert_eq!(bench.store(&key, NOERROR, &[a(300, 1)]), Stored::Positive);
        assert_eq!(bench.store(&key, NOERROR, &[a(300, 1), a(ttl, 2)]), Stored::No("it has a TTL of 0"));
        assert_eq!(bench.look(&key), Found::Miss, "{ttl}");
    }
    assert_eq!(bench.store(&key, NXDOMAIN, &[soa(300, 0)]), Stored::No("it has a TTL of 0"));
}

/// RFC 2308, section 5: the lesser of the SOA's TTL and its MINIMUM.
#[test]
fn negative_answers_are_kept_by_their_soa() {
    for flags in [NXDOMAIN, NOERROR] {
        let mut bench = Bench::new(|settings| settings.stale = Duration::ZERO);
        let qname = wire("nothing.example.org");
        let key = key(&qname);
        for (ttl, minimum, kept) in [(900, 5, 5), (5, 900, 5), (90_000, 90_000, 3600)] {
            assert_eq!(bench.store(&key, flags, &[soa(ttl, minimum)]), Stored::Negative);
            bench.pass(f64::from(kept) - 0.5);
            assert_eq!(bench.look(&key), Found::Fresh, "{kept}");
            assert_eq!(ttls(&bench.out), [1]);
            bench.pass(0.5);
            assert_eq!(bench.look(&key), Found::Miss, "{kept}");
        }
    }
}

/// RFC 2308, section 5: "Negative responses without SOA records SHOULD NOT be cached"; section 2.2: how
/// NODATA is told from a referral.
#[test]
fn negative_answers_without_a_soa_and_referrals_are_not_kept() {
    let mut bench = Bench::new(|_| {});
    let qname = wire("sub.example.org");
    let key = key(&qname);
    let ns = |section| Record(section, rtype::NS, 300, vec![2, b'n', b's', 0]);
    let why_not = Stored::No("it is negative without a SOA, or a referral");
    assert_eq!(bench.store(&key, NXDOMAIN, &[]), why_not);
    assert_eq!(bench.store(&key, NOERROR, &[]), why_not);
    assert_eq!(bench.store(&key, NOERROR, &[ns(1)]), why_not);
    assert_eq!(bench.store(&key, NOERROR, &[ns(1), Record(2, rtype::A, 300, vec![192, 0, 2, 1])]), why_not);
    assert_eq!(bench.look(&key), Found::Miss);
    // NODATA of type 1 has the name servers as well.
    assert_eq!(bench.store(&key, NOERROR, &[soa(300, 300), ns(1)]), Stored::Negative);
}

/// RFC 2308, section 2.1 and 2.2: a chain of CNAMEs, and what it leads to.
#[test]
fn chains_are_kept_as_long_as_their_weakest_link() {
    let mut bench = Bench::new(|settings| settings.stale = Duration::ZERO);
    let qname = wire("alias.example.org");
    let key = key(&qname);
    let alias = || Record(0, rtype::CNAME, 40, vec![1, b'x', 0]);
    for (flags, records, stored) in [
        (NXDOMAIN, vec![alias(), soa(300, 300)], Stored::Negative),
        (NOERROR, vec![alias(), soa(300, 300)], Stored::Negative),
        (NOERROR, vec![alias(), a(300, 1)], Stored::Positive),
        // It leads out of the zone of whom was asked.
        (NOERROR | flag::AA, vec![alias()], Stored::Positive),
    ] {
        assert_eq!(bench.store(&key, flags, &records), stored);
        bench.pass(39.5);
        assert_eq!(bench.look(&key), Found::Fresh);
        bench.pass(0.5);
        assert_eq!(bench.look(&key), Found::Miss);
    }
    // A resolver that says no more than that leaves out what matters.
    assert!(matches!(bench.store(&key, NOERROR, &[alias()]), Stored::No(_)));
    // Asked for the CNAME itself, it is the answer.
    assert_eq!(bench.store(&Key { qtype: rtype::CNAME, ..key }, NOERROR, &[alias()]), Stored::Positive);
}

/// RFC 9520, section 3.2: at least a second, at most five minutes, with a growing time.
#[test]
fn failures_are_kept_for_a_time_that_doubles() {
    let mut bench = Bench::new(|_| {});
    let qname = wire("example.org");
    let key = key(&qname);
    for seconds in [5.0, 10.0, 20.0, 40.0, 60.0, 60.0] {
        bench.cache.fail(&key, bench.now);
        bench.pass(1.0);
        // Others learn of the same failure.
        bench.cache.fail(&key, bench.now);
        bench.pass(seconds - 1.1);
        assert_eq!(bench.look(&key), Found::Failure, "{seconds}");
        bench.pass(0.1);
        assert_eq!(bench.look(&key), Found::Miss, "{seconds}");
    }
    assert_eq!(bench.look(&Key { qtype: rtype::TXT, ..key }), Found::Miss, "it is that of a key");
    // A long time without any: it is a first one again.
    bench.pass(61.0);
    bench.cache.fail(&key, bench.now);
    bench.pass(5.0);
    assert_eq!(bench.look(&key), Found::Miss);
    // A response ends it.
    bench.cache.fail(&key, bench.now);
    assert_eq!(bench.look(&key), Found::Failure);
    assert_eq!(bench.store(&key, NOERROR, &[a(1, 1)]), Stored::Positive);
    assert_eq!(bench.look(&key), Found::Fresh);
    bench.cache.fail(&key, bench.now);
    bench.pass(4.9);
    assert_eq!(bench.look(&key), Found::Held);
    // As may one that is not kept.
    assert!(matches!(bench.store(&key, NOERROR, &[a(0, 1)]), Stored::No(_)));
    assert_eq!(bench.look(&key), Found::Miss);
}

/// RFC 9520, section 2: SERVFAIL, REFUSED and all that is no answer.
#[test]
fn codes_that_are_no_answers_are_failures() {
    for code in [1, 2, 4, 5, 9, 10] {
        let mut bench = Bench::new(|_| {});
        let qname = wire("example.org");
        let key = key(&qname);
        assert_eq!(bench.store(&key, 0x8180 | code, &[a(300, 1)]), Stored::Failure, "{code}");
        assert_eq!(bench.look(&key), Found::Failure);
    }
    let mut bench = Bench::new(|_| {});
    let qname = wire("example.org");
    let key = key(&qname);
    assert!(matches!(bench.store(&key, 0x8186, &[a(300, 1)]), Stored::No(_)));
    // 16, whose high bits are in the OPT.
    let mut bad_version = response(&key, NOERROR, &[a(300, 1)]);
    let at = bad_version.len() - 6;
    bad_version[at] = 1;
    assert_eq!(bench.cache.store(&key, &bad_version, None, bench.now), Stored::Failure);
}

/// RFC 8767, sections 4 and 5: with a TTL of 30 seconds, for a bounded time, and servers are not tried each
/// time.
#[test]
fn stale_answers_are_given_for_want_of_fresh_ones() {
    let mut bench = Bench::new(|settings| settings.stale = Duration::from_secs(3600));
    let qname = wire("example.org");
    let key = key(&qname);
    let with_ad = NOERROR | flag::AD;
    assert_eq!(bench.store(&key, with_ad, &[a(300, 1), a(900, 2)]), Stored::Positive);
    assert_eq!(bench.look(&key), Found::Fresh);
    assert_eq!(bench.out[3] & 0x20, 0x20, "a fresh answer keeps AD");
    bench.pass(300.0);
    assert_eq!(bench.look(&key), Found::Stale);
    assert_eq!(ttls(&bench.out), [30, 30]);
    assert_eq!(bench.out[3] & 0x20, 0, "a stale one does not");
    bench.cache.stale_tried(&key, bench.now);
    bench.pass(29.9);
    assert_eq!(bench.look(&key), Found::Held);
    bench.pass(0.1);
    assert_eq!(bench.look(&key), Found::Stale, "a new try after 30 seconds");
    // A failure does not drive it out, and counts as a try.
    assert_eq!(bench.store(&key, 0x8182, &[]), Stored::Failure);
    assert_eq!(bench.look(&key), Found::Held);
    bench.pass(30.0);
    assert_eq!(bench.look(&key), Found::Stale);
    bench.pass(3600.0 - 60.1);
    assert_eq!(bench.look(&key), Found::Stale);
    bench.pass(0.1);
    assert_eq!(bench.look(&key), Found::Miss, "it was kept for an hour");
    // NXDOMAIN goes stale like any answer, and takes the place of one.
    assert_eq!(bench.store(&key, NXDOMAIN, &[soa(5, 5)]), Stored::Negative);
    bench.pass(5.0);
    assert_eq!((bench.look(&key), bench.out[3] & 0xF), (Found::Stale, 3));
}

#[test]
fn what_is_asked_for_is_fetched_again_once_before_its_time_has_passed() {
    let mut bench = Bench::new(|_| {});
    let qname = wire("example.org");
    let key = key(&qname);
    for hits in 0..5 {
        assert_eq!(bench.store(&key, NOERROR, &[a(100, 1)]), Stored::Positive);
        for _ in 0..hits {
            bench.pass(0.1);
            assert_eq!(bench.look(&key), Found::Fresh);
        }
        bench.pass(89.9 - 0.1 * f64::from(hits));
        assert_eq!(bench.look(&key), Found::Fresh, "more than a tenth is left");
        bench.pass(0.2);
        let expected = if hits + 2 >= 3 { Found::Prefetch } else { Found::Fresh };
        assert_eq!(bench.look(&key), expected, "{hits} hits before");
        bench.pass(0.1);
        // Now there were enough in any case.
        let expected = if expected == Found::Fresh { Found::Prefetch } else { Found::Fresh };
        assert_eq!(bench.look(&key), expected, "once");
    }
    let mut bench = Bench::new(|settings| settings.prefetch = false);
    assert_eq!(bench.store(&key, NOERROR, &[a(100, 1)]), Stored::Positive);
    bench.pass(99.0);
    assert!((0..9).all(|_| bench.look(&key) == Found::Fresh));
}

/// RFC 2181, section 9: a truncated answer is not kept. Nor is what does not belong here.
#[test]
fn what_is_no_answer_to_the_question_is_not_kept() {
    let mut bench = Bench::new(|_| {});
    let qname = wire("example.org");
    let key = key(&qname);
    let good = response(&key, NOERROR, &[a(300, 1)]);
    let mut no = |message: &[u8], why_not| {
        assert_eq!(bench.cache.store(&key, message, None, bench.now), Stored::No(why_not));
        assert_eq!(bench.cache.look(&key, bench.now, &mut Vec::new()), Found::Miss);
    };
    no(&response(&key, NOERROR | flag::TC, &[a(300, 1)]), "it is truncated");
    no(&response(&key, 0x0180, &[a(300, 1)]), "it is no response");
    no(&response(&key, NOERROR | 0x2800, &[a(300, 1)]), "it is no response");
    let other = wire("example.com");
    no(&response(&Key { qname: &other, ..key }, NOERROR, &[a(300, 1)]), "it has another question");
    no(&response(&Key { qtype: 28, ..key }, NOERROR, &[a(300, 1)]), "it has another question");
    no(&response(&Key { qclass: 3, ..key }, NOERROR, &[a(300, 1)]), "it has another question");
    no(&good[..good.len() - 1], "it is malformed");
    let many: Vec<Record> = (0..257).map(|_| a(300, 1)).collect();
    no(&response(&key, NOERROR, &many), "it has too many records");
    let huge = (0..16).map(|_| Record(0, rtype::TXT, 300, vec![0; 4000]));
    let huge: Vec<Record> = huge.chain([a(300, 1)]).collect();
    let message = response(&key, NOERROR, &huge);
    let mut small = Bench::new(|settings| settings.size = 64 << 10);
    let stored = small.cache.store(&key, &message, None, small.now);
    assert_eq!(stored, Stored::No("the cache is full"));
    assert_eq!(small.look(&key), Found::Miss);
    let mut none = Bench::new(|settings| settings.size = 0);
    assert!(matches!(none.cache.store(&key, &good, None, none.now), Stored::No(_)));
    none.cache.fail(&key, none.now);
    assert_eq!((none.look(&key), none.cache.bytes()), (Found::Miss, 0));
    // In another case it is the same.
    let upper = wire("EXAMPLE.org");
    let message = response(&Key { qname: &upper, ..key }, NOERROR, &[a(300, 1)]);
    assert_eq!(bench.cache.store(&key, &message, None, bench.now), Stored::Positive);
    assert_eq!(bench.look(&Key { qname: &wire("eXaMpLe.OrG"), ..key }), Found::Fresh);
}

#[test]
fn each_part_of_the_key_tells_answers_apart() {
    let mut bench = Bench::new(|_| {});
    let (qname, other) = (wire("example.org"), wire("a.example.org"));
    let key = key(&qname);
    let keys = [
        key,
        Key { view: 2, ..key },
        Key { qname: &other, ..key },
        Key { qtype: rtype::TXT, ..key },
        Key { qclass: class::CH, ..key },
        Key { dnssec_ok: true, ..key },
        Key { checking_disabled: true, ..key },
        Key { dnssec_ok: true, checking_disabled: true, ..key },
    ];
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(bench.look(key), Found::Miss, "{number}");
        let record = Record(0, key.qtype, 300, vec![3, number as u8, 0, 0]);
        assert_eq!(bench.store(key, NOERROR, &[record]), Stored::Positive);
    }
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(bench.look(key), Found::Fresh);
        assert_eq!(bench.out[bench.out.len() - 3], number as u8);
    }
    assert_eq!(bench.cache.entries(), keys.len());
}

/// RFC 7871, section 7.3.1.
#[test]
fn answers_are_for_the_clients_of_their_scope() {
    let mut bench = Bench::new(|_| {});
    let qname = wire("example.org");
    let of = |subnet: &str| Key { subnet: Some(subnet.parse().unwrap()), ..key(&qname) };
    let mut store = |subnet: &str, scope: Option<&str>, last: u8| {
        let key = of(subnet);
        let message = response(&key, NOERROR, &[a(300, last)]);
        bench.cache.store(&key, &message, scope.map(|scope| scope.parse().unwrap()), bench.now)
    };
    assert_eq!(store("192.0.2.0/24", Some("192.0.2.0/24"), 1), Stored::Positive);
    assert_eq!(store("192.0.2.0/24", Some("192.0.0.0/16"), 2), Stored::Positive);
    // "longer than the SOURCE PREFIX-LENGTH": as if it were that.
    assert_eq!(store("198.51.100.0/24", Some("198.51.100.7/32"), 3), Stored::Positive);
    assert_eq!(store("2001:db8::/48", Some("2001:db8::/32"), 4), Stored::Positive);
    assert!(matches!(store("192.0.2.0/24", Some("2001:db8::/32"), 9), Stored::No(_)));
    assert!(matches!(store("192.0.2.0/24", Some("198.51.100.0/24"), 9), Stored::No(_)));
    let mut found = |key: &Key<'_>| {
        (bench.cache.look(key, bench.now, &mut bench.out) == Found::Fresh).then(|| *bench.out.last().unwrap())
    };
    let clients = [
        ("192.0.2.0/24", Some(1)),
        ("192.0.2.128/25", Some(1)),
        ("192.0.3.0/24", Some(2)),
        ("192.0.0.0/15", None),
        ("198.51.100.0/24", Some(3)),
        ("198.51.101.0/24", None),
        ("2001:db8:9::/48", Some(4)),
        ("2001:db9::/48", None),
    ];
    for (client, expected) in clients {
        assert_eq!(found(&of(client)), expected, "{client}");
    }
    assert_eq!(found(&key(&qname)), None, "one of whom nothing is sent");
    // Scope 0, and no option in the response: for all, if there is nothing better.
    for (scope, last) in [(Some("0.0.0.0/0"), 5), (None, 6)] {
        let of_one = of("203.0.113.0/24");
        let message = response(&of_one, NOERROR, &[a(300, last)]);
        let scope = scope.map(|scope| scope.parse().unwrap());
        assert_eq!(bench.cache.store(&of_one, &message, scope, bench.now), Stored::Positive);
        let mut found = |key: &Key<'_>| {
            assert_eq!(bench.cache.look(key, bench.now, &mut bench.out), Found::Fresh);
            *bench.out.last().unwrap()
        };
        assert_eq!(
            ["192.0.2.0/24", "198.51.101.0/24", "2001:db9::/48"].map(|client| found(&of(client))),
            [1, last, last]
        );
        assert_eq!(found(&key(&qname)), last);
    }
    // What was asked without a subnet is for those without: an answer to us says nothing of a client.
    assert_eq!(bench.store(&key(&qname), NOERROR, &[a(300, 7)]), Stored::Positive);
    assert_eq!((bench.look(&key(&qname)), bench.out.last()), (Found::Fresh, Some(&7)));
    assert_eq!((bench.look(&of("2001:db9::/48")), bench.out.last()), (Found::Fresh, Some(&6)));
}

/// RFC 7871, section 11.2: the number of scopes of a name has a bound.
#[test]
fn a_name_has_so_many_scopes_and_the_first_to_end_makes_room() {
    let mut bench = Bench::new(|_| {});
    let qname = wire("example.org");
    for number in 0..=CACHE_SCOPES_MAX {
        let subnet: Option<IpNet> = Some(format!("10.{number}.0.0/16").parse().unwrap());
        let key = Key { subnet, ..key(&qname) };
        // That with number 7 ends first.
        let ttl = if number == 7 { 100 } else { 300 };
        let message = response(&key, NOERROR, &[a(ttl, number as u8)]);
        assert_eq!(bench.cache.store(&key, &message, subnet, bench.now), Stored::Positive);
    }
    for number in 0..=CACHE_SCOPES_MAX {
        let key = Key { subnet: Some(format!("10.{number}.1.0/24").parse().unwrap()), ..key(&qname) };
        assert_eq!(bench.look(&key), if number == 7 { Found::Miss } else { Found::Fresh }, "{number}");
    }
    assert_eq!(bench.cache.entries(), 1);
}

#[test]
fn a_purge_takes_what_it_says_and_nothing_else() {
    let names = ["org", "example.org", "www.example.org", "a.b.example.org", "xexample.org", "example.com"];
    // By name and by subtree: what is gone.
    let cases: [(&str, bool, &[&str]); 5] = [
        ("Example.ORG", false, &["example.org"]),
        ("example.org", true, &["example.org", "www.example.org", "a.b.example.org"]),
        ("b.example.org", true, &["a.b.example.org"]),
        ("", true, &names),
        ("nothing.example.org", true, &[]),
    ];
    for (purged, subtree, gone) in cases {
        let mut bench = Bench::new(|_| {});
        let wires = names.map(wire);
        let keys: Vec<Key<'_>> = wires
            .iter()
            .flat_map(|qname| [key(qname), Key { view: 9, dnssec_ok: true, qtype: rtype::NS, ..key(qname) }])
            .collect();
        for key in &keys {
            let rdata = if key.qtype == rtype::NS { vec![0] } else { vec![1, 2, 3, 4] };
            assert_eq!(bench.store(key, NOERROR, &[Record(0, key.qtype, 300, rdata)]), Stored::Positive);
            let of_client = Key { subnet: Some("192.0.2.0/24".parse().unwrap()), ..*key };
            bench.cache.store(&of_client, &response(key, 0x8182, &[]), None, bench.now);
        }
        assert_eq!(bench.cache.purge(&wire(purged), subtree), 2 * gone.len() as u64, "{purged} {subtree}");
        assert_eq!(bench.cache.purge(&wire(purged), subtree), 0, "nothing is left");
        for (key, name) in keys.iter().zip(names.iter().flat_map(|name| [name, name])) {
            let expected = if gone.contains(name) { Found::Miss } else { Found::Fresh };
            assert_eq!(bench.look(key), expected, "{name} after {purged} {subtree}");
            let shown = bench.cache.show(key.qname, false, 9, bench.now);
            assert_eq!(shown.is_empty(), gone.contains(name), "{shown:?}");
        }
        for key in &keys {
            // What comes later is not concerned, be it an answer or a failure.
            bench.cache.fail(key, bench.now);
            assert_ne!(bench.look(key), Found::Miss);
            assert!(matches!(bench.store(key, NXDOMAIN, &[soa(9, 9)]), Stored::Negative));
            assert_eq!(bench.look(key), Found::Fresh);
        }
    }
}

#[test]
fn purges_without_number_are_remembered_in_bounded_memory() {
    let mut bench = Bench::new(|settings| settings.size = 8 << 20);
    let names: Vec<Vec<u8>> =
        (0..3 * CACHE_PURGES_MAX).map(|number| wire(&format!("n{number}.org"))).collect();
    for qname in &names {
        assert_eq!(bench.store(&key(qname), NOERROR, &[a(300, 1)]), Stored::Positive);
    }
    for (number, qname) in names.iter().enumerate() {
        if number % 2 == 0 {
            assert_eq!(bench.cache.purge(qname, number % 4 == 0), 1);
            bench.cache.purge(&wire(&format!("other{number}.org")), true);
        }
        assert!(bench.cache.purges.len() <= CACHE_PURGES_MAX);
    }
    for (number, qname) in names.iter().enumerate() {
        assert_eq!(bench.look(&key(qname)) == Found::Fresh, number % 2 == 1, "{number}");
    }
}

#[test]
fn what_is_shown_is_what_there_is() {
    let mut bench = Bench::new(|_| {});
    let qname = wire("www.example.org");
    let key = Key { view: 0xABC, dnssec_ok: true, ..key(&qname) };
    assert!(bench.cache.show(&wire(""), true, 9, bench.now).is_empty());
    assert_eq!(bench.store(&key, NOERROR, &[a(300, 1)]), Stored::Positive);
    bench.pass(100.0);
    let line = "www.example.org. IN A DO view 00000abc: NOERROR, fresh for 200 s, 100 s old, 53 bytes";
    assert_eq!(bench.cache.show(&wire("EXAMPLE.org"), true, 9, bench.now), [line]);
    assert_eq!(bench.cache.show(&qname, false, 9, bench.now), [line]);
    assert!(bench.cache.show(&wire("example.org"), false, 9, bench.now).is_empty());
    assert!(bench.cache.show(&wire(""), true, 0, bench.now).is_empty());
    bench.pass(300.0);
    bench.cache.fail(&key, bench.now);
    let stale = "www.example.org. IN A DO view 00000abc: NOERROR, stale since 100 s, 400 s old, 53 bytes";
    let failed = "www.example.org. IN A DO view 00000abc: failed, not asked again for 5 s";
    assert_eq!(bench.cache.show(&qname, false, 9, bench.now), [stale, failed]);
    let subnet: Option<IpNet> = Some("192.0.2.0/24".parse().unwrap());
    let of_client = Key { subnet, ..key };
    bench.cache.store(&of_client, &response(&key, NXDOMAIN, &[soa(60, 60)]), subnet, bench.now);
    let shown = bench.cache.show(&qname, false, 9, bench.now);
    assert_eq!(
        shown[1].split_once(", ").unwrap().0,
        "www.example.org. IN A DO view 00000abc for 192.0.2.0/24: NXDOMAIN"
    );
}
