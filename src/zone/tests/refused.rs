//! What is refused, and the place that is named.

use super::*;

/// Texts behind a good head of two lines, and the one problem of each: the place behind `example.zone:` and a
/// part of the message.
const REFUSED: &[(&str, &str, &str)] = &[
    // The text.
    ("a A (192.0.2.1", "3:5", "never closed"),
    ("a A 192.0.2.1 )\n", "3:15", "without a `(`"),
    ("a TXT \"open\nb A 192.0.2.1", "3:7", "does not end on its line"),
    ("a TXT \"\\300\"", "3:8", "three digits up to 255"),
    ("a TXT x\\", "3:8", "three digits up to 255"),
    ("a A ((((((((( 192.0.2.1 )))))))))", "3:13", "too many nested `("),
    // Owners and headers.
    ("a..b A 192.0.2.1", "3:1", "empty label"),
    ("\"a\" A 192.0.2.1", "3:1", "without quotes"),
    ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa A 192.0.2.1", "3:1", "longer than 63"),
    ("a 1h IN", "3:6", "ends before its type"),
    ("a", "3:1", "ends before its type"),
    ("a 1h 1h A 192.0.2.1", "3:6", "unknown record type"),
    ("a IN IN A 192.0.2.1", "3:6", "unknown record type"),
    ("NS ns1", "3:4", "unknown record type"),
    ("a 1h30 A 192.0.2.1", "3:3", "not a time"),
    ("a 2147483648 A 192.0.2.1", "3:3", "at most 2147483647"),
    ("$TTL 4000W", "3:6", "at most 2147483647"),
    ("a CH TXT x", "3:3", "class IN"),
    // Directives.
    ("$TTL", "3:1", "needs a time"),
    ("$TTL 1 2", "3:8", "nothing else"),
    ("$ORIGIN a..", "3:9", "empty label"),
    ("$GENERATE", "3:1", "takes a range such as"),
    ("$GENERATE 1-9", "3:1", "the line is empty"),
    ("$GENERATE 9-1 a$ A 192.0.2.$", "3:11", "`9-1` is not a range"),
    ("$GENERATE 1-9/0 a$ A 192.0.2.$", "3:11", "`1-9/0` is not a range"),
    ("$GENERATE 1-9 a${x} A 192.0.2.$", "3:15", "may stand {offset,width,base}"),
    ("$GENERATE 1-9 a${-2} A 192.0.2.$", "3:15", "may stand {offset,width,base}"),
    ("$GENERATE 1-9 a${0,999} A 192.0.2.$", "3:15", "may stand {offset,width,base}"),
    (
        "$GENERATE 1-9 a$ A 192.0.$",
        "3:1",
        "is not an IPv4 address, in the rdata of a record of type A; generated: `a1 A",
    ),
    (r"$GENERATE 1-9 $TTL 1", "3:1", "ends before its type; generated: `1TTL 1`"),
    ("$GENERATE 1-9 a$", "3:1", "ends before its type; generated: `a1`"),
    ("$GENERATE 0-1000000 a$ A 192.0.2.1", "3:11", "more than 1000000 records"),
    ("$MAGIC", "3:1", "unknown directive"),
    ("$INCLUDE", "3:1", "takes a file"),
    ("$INCLUDE absent", "3:10", "No such file"),
    ("$INCLUDE ../../../../../../../../etc/hostname", "3:10", "outside the directory"),
    ("$INCLUDE /etc/passwd", "3:10", "outside the directory"),
    ("$INCLUDE .", "3:10", "not a regular file"),
    ("$INCLUDE example.zone", "3:10", "deeper than 8"),
    // Rdata.
    ("a A 192.0.2.256", "3:5", "`192.0.2.256` is not an IPv4 address"),
    ("a A ( ; here\n\n  192.0.2.256 )", "5:3", "`192.0.2.256` is not an IPv4 address"),
    ("a A 192.0.2.1 2", "3:15", "nothing may follow"),
    ("a MX ten mail", "3:6", "`ten` is not a number from 0 to 65535"),
    ("a MX 10", "3:6", "a value is missing"),
    ("a MX", "3:3", "a value is missing"),
    ("a MX 10 m..x", "3:9", "empty label"),
    ("a NS aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "3:6", "longer than 63 bytes"),
    ("a SOA a b 1 1W 1X 1W 1W", "3:16", "not a time"),
    ("a LOC 45 N 75 W", "3:15", "before its altitude"),
    ("a LOC", "3:3", "before its N or S"),
    ("a WKS x", "3:3", r"\# length hex"),
    ("a SRV 1 2 +3 x", "3:11", "`+3` is not a number"),
    ("a AAAA 2001:db8::g", "3:8", "is not an IPv6 address"),
    // The last value is missing, or not whole.
    ("a TLSA 3 1 1", "3:12", "a value is missing"),
    ("a SMIMEA 3 1 1", "3:14", "a value is missing"),
    ("a SSHFP 1 1", "3:11", "a value is missing"),
    ("a SSHFP 1 1 0102", "3:13", "2 bytes in hexadecimal where 20 are expected"),
    ("a OPENPGPKEY", "3:3", "a value is missing"),
    ("a DHCID", "3:3", "a value is missing"),
    ("a IPSECKEY 10 1 2 192.0.2.1", "3:19", "a value is missing"),
    ("a IPSECKEY 10 4 2 . AQ==", "3:17", "from 0 to 3"),
    ("a ZONEMD 1 1 1", "3:14", "a value is missing"),
    ("a CERT 1 2 8", "3:12", "a value is missing"),
    ("a TLSA 3 1 1 012", "3:14", "is not data in hexadecimal"),
    ("a OPENPGPKEY A=B", "3:14", "is not data in base64"),
    ("a URI 1 1 \"\"", "3:11", "is not a URI in quotes"),
    ("a URI 1 1 ftp://a/", "3:11", "is not a URI in quotes"),
    ("a CAA 0 is-sue x", "3:9", "is not a tag"),
    ("a EUI48 00-00-5e-00-53", "3:9", "is not an EUI such as"),
    ("a NID 1 0:0:0", "3:9", "is not 64 bits such as"),
    ("a APL 1:192.0.2.0/33", "3:7", "is not a prefix such as"),
    ("a CSYNC 1 1 WHAT", "3:13", "is not a record type"),
    ("a X25 123", "3:7", "is not four digits or more"),
    ("a NSAP 47", "3:8", "is not an NSAP address"),
    // Service parameters.
    ("a SVCB 1 . alpn=a,,abc", "3:12", "protocols of 1 to 255 bytes"),
    ("a SVCB 1 . alpn=,abc", "3:12", "protocols of 1 to 255 bytes"),
    ("a SVCB 1 . alpn=,", "3:12", "protocols of 1 to 255 bytes"),
    ("a SVCB 1 . alpn=abc,", "3:12", "protocols of 1 to 255 bytes"),
    ("a SVCB 1 . alpn", "3:12", "protocols of 1 to 255 bytes"),
    ("a SVCB 1 . ipv4hint=192.0.2.1,", "3:12", "IPv4 addresses with commas"),
    ("a SVCB 1 . ipv6hint=,::", "3:12", "IPv6 addresses with commas"),
    ("a SVCB 1 . port=+53", "3:12", "a number from 0 to 65535"),
    ("a SVCB 1 . dohpath=q{?dns}", "3:12", "a path with the variable dns"),
    ("a SVCB 1 . dohpath=/q", "3:12", "a path with the variable dns"),
    ("a SVCB 1 . alpn=a no-default-alpn=", "3:19", "it has none"),
    ("a SVCB 1 . no-default-alpn", "3:12", "no-default-alpn needs alpn"),
    ("a SVCB 1 . mandatory=port", "3:12", "mandatory needs port"),
    ("a SVCB 1 . mandatory=mandatory", "3:12", "the keys that must be understood"),
    ("a SVCB 1 . port=1 port=2", "3:19", "port is there twice"),
    ("a SVCB 1 . nokey=1", "3:12", "write it as keyNNNNN"),
    ("a SVCB 1 . key01=x", "3:12", "write it as keyNNNNN"),
    ("a SVCB 1 . key65536=x", "3:12", "write it as keyNNNNN"),
    ("a SVCB 1 . Port=1", "3:12", "write it as keyNNNNN"),
    (r"a SVCB 1 . key1=\003h2", "3:12", "not a value of alpn in the form in which it is sent"),
    (r"a SVCB 1 . key3=\053", "3:12", "not a value of port in the form in which it is sent"),
    (r"a A \# 5 C0000201", "3:8", "4 bytes follow, and not 5"),
    (r"a A \# 3 010203", "3:3", "not the RDATA of a record of type A"),
    (r"a NS \# 4 0161c000", "3:3", "not the RDATA of a record of type NS"),
    (r"a TXT \# 0", "3:3", "not the RDATA of a record of type TXT"),
    (r"a LOC \# 1 00", "3:3", "not the RDATA of a record of type LOC"),
    // Types.
    ("a DS 1 8 2 ABCD", "3:3", "signed zones are not served"),
    ("a DNSKEY 256 3 8 AA==", "3:3", "signed zones are not served"),
    ("a RRSIG x", "3:3", "signed zones are not served"),
    ("a NSEC b A", "3:3", "signed zones are not served"),
    ("a NSEC3 x", "3:3", "signed zones are not served"),
    ("a NSEC3PARAM 1 0 0 -", "3:3", "signed zones are not served"),
    ("a CDS 0 0 0 00", "3:3", "signed zones are not served"),
    ("a CDNSKEY 0 3 0 AA==", "3:3", "signed zones are not served"),
    (r"a TYPE24 \# 0", "3:3", "signed zones are not served"),
    (r"a OPT \# 0", "3:3", "a meta-type cannot be in a zone"),
    (r"a ANY \# 0", "3:3", "a meta-type cannot be in a zone"),
    ("a TSIG x", "3:3", "a meta-type cannot be in a zone"),
    (r"a TYPE0 \# 0", "3:3", "a meta-type cannot be in a zone"),
    // What stands together.
    ("@ SOA ns hostmaster 2 2 3 4 5", "3", "a second SOA at example.; the first is on line 1"),
    ("a SOA ns hostmaster 2 2 3 4 5", "3", "is allowed at the apex"),
    ("a CNAME b\n\na TXT x", "3", "on line 5, other data"),
    ("a CNAME b\na CNAME c", "4", "a second CNAME at a.example.; the first is on line 3"),
    ("a DNAME b\na DNAME c", "4", "a second DNAME"),
    ("a DNAME b\nx.y.A TXT x", "4", "below the DNAME on line 3"),
    ("a DNAME b\na NS c", "3", "has a DNAME and, on line 4, an NS"),
    ("*.a NS b", "3", "a wildcard cannot own NS records"),
    ("*.a DNAME b", "3", "a wildcard cannot own DNAME records"),
];

#[test]
fn every_mistake_is_refused_at_its_place() {
    for &(text, place, fragment) in REFUSED {
        let text = format!("@ 1h IN SOA ns hostmaster 1 2 3 4 5\n@ NS ns\n{text}");
        let problems = load_example(text.as_bytes()).unwrap_err();
        let [problem] = problems.as_slice() else { panic!("{text}\n{problems:#?}") };
        assert_eq!(problem.place, format!("example.zone:{place}"), "{text}\n{problem}");
        assert!(problem.message.contains(fragment), "{text}\n{problem}");
    }
}

#[test]
fn what_is_too_long_is_refused() {
    let label = "x".repeat(63);
    let name = format!("{label}.{label}.{label}.{label}");
    let string = "x".repeat(256);
    for (text, place, fragment) in [
        (format!("{name} A 192.0.2.1"), "3:1", "longer than 255 bytes"),
        (format!("a NS {name}"), "3:6", "longer than 255 bytes"),
        (format!("a TXT good {string} good"), "3:12", "longer than 255 bytes"),
        (format!("a HINFO x \"{string}\""), "3:11", "longer than 255 bytes"),
        (format!("a TXT {}", "x ".repeat(40_000)), "3:80005", "too long"),
        (format!("a TXT {}", "x ".repeat(70_000)), "3:132003", "too many values"),
    ] {
        let problems =
            load_example(format!("@ 1h IN SOA ns hostmaster 1 2 3 4 5\n@ NS ns\n{text}").as_bytes());
        let [problem] = &problems.unwrap_err()[..] else { panic!("{text}") };
        assert_eq!(problem.place, format!("example.zone:{place}"), "{problem}");
        assert!(problem.message.contains(fragment), "{problem}");
    }
}

#[test]
fn every_mistake_of_a_file_is_told_and_not_only_the_first() {
    let text = "@ 1h SOA ns hostmaster 1 2 3 4 (\n 5x )\na A x\n\n A y ; z\n\
        b TXT \"\u{fc}\" \"open\n\tMX 1 )";
    let problems = load_example(text.as_bytes()).unwrap_err();
    let places: Vec<&str> = problems.iter().map(|problem| problem.place.as_str()).collect();
    assert_eq!(
        places,
        ["example.zone:2:2", "example.zone:3:5", "example.zone:5:4", "example.zone:6:11", "example.zone:7:7",]
    );
    let junk = load_example(b"?\n".repeat(10_000).as_slice()).unwrap_err();
    assert!(junk.len() < 110, "{}", junk.len());
    assert!(junk.iter().any(|problem| problem.message.contains("too many errors")));
}

#[test]
fn a_zone_without_head_is_refused() {
    for (text, fragments) in [
        ("", &["no SOA record at its apex", "no NS record at its apex"][..]),
        ("@ 1 SOA a b 1 2 3 4 5", &["no NS record at its apex"]),
        ("@ 1 NS a", &["no SOA record at its apex"]),
        ("@ NS a", &["no TTL"]),
        (
            "$ORIGIN other.\n@ 1 SOA a b 1 2 3 4 5\n@ 1 NS a",
            &["has no SOA record: all records are outside of it, such as other.", "has no NS record: all"],
        ),
        ("\u{feff}", &["no SOA record at its apex", "no NS record at its apex"]),
        (" 1 NS a", &["there is no previous owner name"]),
    ] {
        let problems = load_example(text.as_bytes()).unwrap_err();
        assert_eq!(problems.len(), fragments.len(), "{text}: {problems:?}");
        for (problem, fragment) in problems.iter().zip(fragments) {
            assert!(problem.place.starts_with("example.zone"), "{problem}");
            assert!(problem.message.contains(fragment), "{problem}");
        }
    }
}

#[test]
fn an_rrset_that_fits_no_reply_is_refused() {
    let rrset = |count: usize| -> String {
        (0..count).map(|index| format!("a TXT \"{index:05}{}\"\n", "x".repeat(182))).collect()
    };
    assert_eq!(tail(&rrset(300)).len(), 300);
    let text = format!("@ 1h IN SOA ns hostmaster 1 2 3 4 5\n@ NS ns\n{}", rrset(301));
    let problems = load_example(text.as_bytes()).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].place, "example.zone:3");
    assert!(problems[0].message.contains("60200 bytes"), "{}", problems[0]);
}

#[test]
fn an_encoding_that_is_not_ascii_is_named() {
    let text = "$TTL 1\n@ SOA a b 1 2 3 4 5\n@ NS a\n";
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for source in [[b"\xFF\xFE", &little[..]].concat(), [b"\xFE\xFF", &big[..]].concat(), little, big] {
        let problems = load_example(&source).unwrap_err();
        let [problem, ..] = &problems[..] else { panic!("refused") };
        assert_eq!(
            problem.to_string(),
            "example.zone: the file is in UTF-16: save it as UTF-8, or as plain ASCII"
        );
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}
