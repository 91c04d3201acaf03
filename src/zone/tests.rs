//! Zones as files: what loads, what is refused and where, and that neither ends in a panic.

mod doubtful;
mod packs;
mod printed;
mod refused;
mod special;

use std::fs;
use std::path::Path;

use super::*;
use crate::dns::consts::rtype;
use crate::limits::ZONES_MAX;
use crate::problem::Problem;

const NOTHING: ZoneOptions = ZoneOptions {
    direct: false,
    dname: false,
    special_use: false,
    dir: None,
    packs: Vec::new(),
    entries: Vec::new(),
    identity: Identity {
        node: String::new(),
        facility: None,
        location: None,
        loc: None,
        extra_txt: Vec::new(),
        unique_ip: Vec::new(),
        hostname_soa_mname: None,
        hostname_soa_rname: None,
    },
    pools: Vec::new(),
    specials: Vec::new(),
};

fn options() -> ZoneOptions {
    ZoneOptions { identity: Identity { node: "node".to_owned(), ..Identity::default() }, ..NOTHING }
}

fn everything() -> ZoneOptions {
    ZoneOptions { direct: true, dname: true, special_use: true, ..options() }
}

fn zone<'a>(set: &'a ZoneSet, apex: &str) -> &'a Zone {
    let apex = name_from_text(apex).unwrap();
    set.zones.iter().find(|zone| zone.apex() == apex).unwrap()
}

fn records(zone: &Zone) -> Vec<Record> {
    zone.records().collect()
}

/// Loads `text` as the file of the zone `example`; places without the directory.
fn load_example(text: &[u8]) -> Result<Vec<Record>, Vec<Problem>> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("example.zone"), text).unwrap();
    load_dir(dir.path()).map(|set| records(zone(&set, "example")))
}

fn load_dir(dir: &Path) -> Result<ZoneSet, Vec<Problem>> {
    load(&ZoneOptions { dir: Some(dir.to_owned()), ..options() }).map_err(|mut problems| {
        let prefix = format!("{}/", dir.display());
        problems.iter_mut().for_each(|problem| problem.place = problem.place.replace(&prefix, ""));
        problems
    })
}

fn shown(records: &[Record]) -> Vec<String> {
    let mut text = String::new();
    let zone = Zone::new(&Name::root(), Service::Configured, records);
    write_zone(&zone, &mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// What `text` has behind a good head; `None` for the head itself.
fn tail(text: &str) -> Vec<String> {
    let head = "@ 1h IN SOA ns hostmaster 1 2 3 4 5\n@ NS ns\n";
    let records = load_example(format!("{head}{text}").as_bytes());
    shown(&records.unwrap_or_else(|problems| panic!("{text}\n{problems:#?}")))[2..].to_vec()
}

#[test]
fn the_built_in_zones_are_those_of_the_rfcs() {
    let set = load(&everything()).unwrap();
    let count = |service| set.zones.iter().filter(|zone| zone.service == service).count();
    assert_eq!(
        [Service::Direct, Service::Dname, Service::Hostname, Service::Special, Service::Configured]
            .map(count),
        [19, 1, 2, 2, 0]
    );
    let numbers = b"\x00\x00\x00\x01\x00\x09\x3A\x80\x00\x00\x00\x3C\x00\x09\x3A\x80\x00\x09\x3A\x80";
    let direct_soa =
        [b"\x08prisoner\x04iana\x03org\0\x0Ahostmaster\x0Croot-servers\x03org\0", &numbers[..]].concat();
    let dname_soa =
        [b"\x09blackhole\x05as112\x04arpa\0\x03noc\x03dns\x05icann\x03org\0", &numbers[..]].concat();
    let direct_ns = [&b"\x0Bblackhole-1\x04iana\x03org\0"[..], b"\x0Bblackhole-2\x04iana\x03org\0"];
    let dname_ns = [&b"\x09blackhole\x05as112\x04arpa\0"[..]];
    for zone in &set.zones {
        let (apex, found) = (zone.apex(), records(zone));
        let of = |rtype| found.iter().filter(move |record| record.rtype == rtype);
        let is_dname = apex.to_string().ends_with("as112.arpa.");
        let (soa, ns) = if is_dname { (&dname_soa, &dname_ns[..]) } else { (&direct_soa, &direct_ns[..]) };
        assert_eq!(&found[0].rdata, soa, "{apex}");
        assert_eq!(of(rtype::NS).map(|record| record.rdata.as_slice()).collect::<Vec<_>>(), ns, "{apex}");
        let others = found.len() - 1 - ns.len();
        assert_eq!(others, if zone.service == Service::Hostname { 2 } else { 0 }, "{apex}");
        assert!(found.iter().all(|record| record.ttl == 604_800 && record.owner == apex));
    }
    let net = zone(&set, "hostname.as112.net");
    let net_records = records(net);
    assert_eq!(net_records[3].rdata, b"\x04node");
    assert_eq!(net_records[4].rdata, b"\x2fSee http://www.as112.net/ for more information.");
    assert_eq!(net_records[3..], {
        let mut arpa = records(zone(&set, "hostname.as112.arpa"))[2..].to_vec();
        arpa.iter_mut().for_each(|record| record.owner = net.apex());
        arpa
    });
}

#[test]
fn a_full_identity_makes_the_sample_of_the_rfc() {
    let identity = Identity {
        node: "node".to_owned(),
        facility: Some("Name of Facility or similar".to_owned()),
        location: Some("City, Country".to_owned()),
        loc: Some("45 25 0.000 N 75 42 0.000 W 80.00m 1m 10000m 10m".to_owned()),
        unique_ip: vec!["203.0.113.1".parse().unwrap()],
        extra_txt: vec!["first".to_owned(), "second".to_owned()],
        hostname_soa_mname: Some("server.example.net".to_owned()),
        hostname_soa_rname: Some("admin.example.net.".to_owned()),
    };
    let mut options = ZoneOptions { identity, ..NOTHING };
    let texts = |options: &ZoneOptions, apex: &str| {
        let lines = shown(&records(zone(&load(options).unwrap(), apex)));
        lines.iter().map(|line| line.split_once(" IN ").unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    let soa = "SOA server.example.net. admin.example.net. 1 604800 60 604800 604800";
    let loc = "LOC 45 25 0.000 N 75 42 0.000 W 80.00m 1.00m 10000.00m 10.00m";
    let place = r#"TXT "Name of Facility or similar" "City, Country""#;
    let see = r#"TXT "See http://www.as112.net/ for more information.""#;
    let extra = [r#"TXT "first""#, r#"TXT "second""#];
    let ns = ["NS blackhole-1.iana.org.", "NS blackhole-2.iana.org."];
    let ip = r#"TXT "Unique IP: 203.0.113.1.""#;
    assert_eq!(
        texts(&options, "hostname.as112.net"),
        [soa, ns[0], ns[1], place, see, ip, extra[0], extra[1], loc]
    );
    assert_eq!(
        texts(&options, "hostname.as112.arpa"),
        [soa, "NS blackhole.as112.arpa.", place, see, extra[0], extra[1], loc]
    );
    assert_eq!(missing(&options.identity), Vec::<String>::new());

    options.identity.unique_ip.push("2001:db8::1".parse().unwrap());
    options.identity.facility = None;
    let net = texts(&options, "hostname.as112.net");
    assert_eq!(net[3], r#"TXT "City, Country""#);
    assert_eq!(net[5], r#"TXT "Unique IP: 203.0.113.1 and 2001:db8::1.""#);
    assert_eq!(missing(&Identity::default()).len(), 5);
}

#[test]
fn a_bad_identity_is_refused_field_by_field() {
    type Change = fn(&mut Identity);
    let cases: [(Change, &str); 9] = [
        (|identity| identity.node.clear(), "node has 0 bytes"),
        (|identity| identity.node = "x".repeat(129), "node has 129 bytes"),
        (|identity| identity.facility = Some("x".repeat(256)), "facility has 256 bytes"),
        (|identity| identity.location = Some(String::new()), "location is empty"),
        (|identity| identity.extra_txt = vec!["x".repeat(256)], "extra_txt has 256 bytes"),
        (|identity| identity.unique_ip = vec!["2001:db8:1:2:3:4:5:6".parse().unwrap(); 12], "unique_ip has"),
        (|identity| identity.loc = Some("45 N".to_owned()), "loc: the LOC record ends before its E or W"),
        (|identity| identity.hostname_soa_mname = Some("a..b".to_owned()), "hostname_soa_mname: `a..b`"),
        (
            |identity| identity.hostname_soa_rname = Some("noc@example.net".to_owned()),
            "write a mailbox as a domain name",
        ),
    ];
    for (change, fragment) in cases {
        let mut options = options();
        change(&mut options.identity);
        let problems = load(&options).unwrap_err();
        assert!(
            problems.iter().all(|problem| problem.message.contains(fragment)),
            "{fragment}: {problems:?}"
        );
        assert!(problems.iter().all(|problem| problem.message.starts_with("identity: ")), "{problems:?}");
    }
}

#[test]
fn what_the_rfcs_print_loads_as_printed() {
    let set = load_example(include_bytes!("../../zones/db.hostname.as112.net")).unwrap();
    assert_eq!(set.len(), 7);
    let rfc7535 = "$ORIGIN AS112.ARPA.\n$TTL 3600\n\n\
        @       IN      SOA     BLACKHOLE.AS112.ARPA. NOC.DNS.ICANN.ORG. (\n\
        \x20                                1               ; serial\n\
        \x20                                10800           ; refresh\n\
        \x20                                3600            ; retry\n\
        \x20                                1209600         ; expire\n\
        \x20                                3600 )          ; negative cache TTL\n\n\
        \x20               NS      A.IANA-SERVERS.NET.\n\
        \x20               NS      B.IANA-SERVERS.NET.\n\
        \x20               NS      C.IANA-SERVERS.NET.\n\n\
        BLACKHOLE       A       192.31.196.1\n\
        \x20               AAAA    2001:4:112::1\n\n\
        HOSTNAME        NS      BLACKHOLE\n\n\
        EMPTY           NS      BLACKHOLE\n";
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("as112.arpa.zone"), rfc7535).unwrap();
    let set = load_dir(dir.path()).unwrap();
    let lines = shown(&records(zone(&set, "as112.arpa")));
    assert_eq!(lines.len(), 8);
    assert_eq!(
        lines[0],
        "AS112.ARPA. 3600 IN SOA BLACKHOLE.AS112.ARPA. NOC.DNS.ICANN.ORG. 1 10800 3600 1209600 3600"
    );
    assert_eq!(lines[5], "BLACKHOLE.AS112.ARPA. 3600 IN AAAA 2001:4:112::1");
    assert_eq!(lines[7], "EMPTY.AS112.ARPA. 3600 IN NS BLACKHOLE.AS112.ARPA.");
}

/// What operators write behind a good head, and the records that it is.
const READ: &[(&str, &[&str])] = &[
    ("a 1W A 192.0.2.1", &["a.example. 604800 IN A 192.0.2.1"]),
    ("a IN 1h30m A 192.0.2.1", &["a.example. 5400 IN A 192.0.2.1"]),
    (
        "$ttl 1M\na A 192.0.2.1\r\n\tAAAA 2001:db8::1\r\n",
        &["a.example. 60 IN A 192.0.2.1", "a.example. 60 IN AAAA 2001:db8::1"],
    ),
    ("$ORIGIN b\na TXT 1W 1h ; 1W", &[r#"a.b.example. 3600 IN TXT "1W" "1h""#]),
    (
        "1W TXT \"1W ; ( )\" (\n 1h30m ; )\n \"\\\"\" )",
        &[r#"1W.example. 3600 IN TXT "1W ; ( )" "1h30m" "\"""#],
    ),
    ("1h 1h TXT 1h", &[r#"1h.example. 3600 IN TXT "1h""#]),
    ("a TXT S\u{e3}o", &[r#"a.example. 3600 IN TXT "S\195\163o""#]),
    (
        "a LOC 45 25 N 75 42 W 80m",
        &["a.example. 3600 IN LOC 45 25 0.000 N 75 42 0.000 W 80.00m 1.00m 10000.00m 10.00m"],
    ),
    (
        "a LOC ( 0 N ; line\n 0 E\n -1 )",
        &["a.example. 3600 IN LOC 0 0 0.000 N 0 0 0.000 E -1.00m 1.00m 10000.00m 10.00m"],
    ),
    (r"a TYPE65280 \# 3 0102 03", &[r"a.example. 3600 IN TYPE65280 \# 3 010203"]),
    (r"a A \# 4 C0000201", &["a.example. 3600 IN A 192.0.2.1"]),
    ("a CLASS1 TYPE1 192.0.2.1", &["a.example. 3600 IN A 192.0.2.1"]),
    ("a AFSDB 1 Db", &["a.example. 3600 IN AFSDB 1 Db.example."]),
    ("a HTTPS 1 . alpn=\"h2,h3\" port=8443", &["a.example. 3600 IN HTTPS 1 . alpn=h2,h3 port=8443"]),
    // A key is digits of 0 to 9, and its value what is sent (RFC 9460, section 2.1).
    (r"a SVCB 1 . key65391=z key9=x key99", &[r#"a.example. 3600 IN SVCB 1 . key9="x" key99 key65391="z""#]),
    (
        r"a SVCB 1 . key1=\002h2 key3=\000\053 key4=\192\000\002\001",
        &["a.example. 3600 IN SVCB 1 . alpn=h2 port=53 ipv4hint=192.0.2.1"],
    ),
    (r"a SVCB 1 . alpn=a\\,b,c", &[r#"a.example. 3600 IN SVCB 1 . key1="\003a,b\001c""#]),
    ("www CNAME @", &["www.example. 3600 IN CNAME example."]),
    (
        "$ORIGIN b\nwww MX 10 @ ; @\n TXT @ \"@\"",
        &["www.b.example. 3600 IN MX 10 b.example.", r#"www.b.example. 3600 IN TXT "@" "@""#],
    ),
    ("$GENERATE 1-2 a$ A 192.0.2.$", &["a1.example. 3600 IN A 192.0.2.1", "a2.example. 3600 IN A 192.0.2.2"]),
    (
        "$GENERATE 0-20/10 b${0,3} 60 IN CNAME c${5,0,d}",
        &[
            "b000.example. 60 IN CNAME c5.example.",
            "b010.example. 60 IN CNAME c15.example.",
            "b020.example. 60 IN CNAME c25.example.",
        ],
    ),
    (
        r#"$GENERATE 10-10 h${0,0,x}-${0,4,X}-${-1,2,o} TXT "v $ $$ \$""#,
        &[r#"ha-000A-11.example. 3600 IN TXT "v 10 $ $""#],
    ),
    (
        "$GENERATE 255-256 ${0,7,n} PTR p-${0,8,N}-${0,2,n}-${0,1,n}.x.",
        &[
            "f.f.0.0.example. 3600 IN PTR p-F.F.0.0.-f.f-f.f.x.",
            "0.0.1.0.example. 3600 IN PTR p-0.0.1.0.-0.0.1-0.0.1.x.",
        ],
    ),
    ("*.a A 192.0.2.1", &["*.a.example. 3600 IN A 192.0.2.1"]),
    (r"a\.b\032c A 192.0.2.1", &[r"a\.b\032c.example. 3600 IN A 192.0.2.1"]),
    (
        "d NS ns.d\nns.d A 192.0.2.1\nx.d TXT hidden",
        &[
            "d.example. 3600 IN NS ns.d.example.",
            "ns.d.example. 3600 IN A 192.0.2.1",
            "x.d.example. 3600 IN TXT \"hidden\"",
        ],
    ),
    // Twice the same, but for the letter case of a name in it; and two TTLs in one RRset.
    ("a NS b\na NS B\nA NS b", &["a.example. 3600 IN NS b.example."]),
    ("a 9 TXT 1\na 5 TXT 2", &[r#"a.example. 5 IN TXT "1""#, r#"a.example. 5 IN TXT "2""#]),
];

#[test]
fn what_operators_write_is_read() {
    for (text, lines) in READ {
        assert_eq!(tail(text), *lines, "{text}");
    }
    // The SOA may stand anywhere, and comes first. A byte order mark is no part of the file.
    let records =
        load_example(b"\xEF\xBB\xBF@ 1d NS ns ; M\xFCnchen\n\n@ SOA ns hostmaster 1 1d 2H 3w 4m").unwrap();
    assert_eq!(
        shown(&records),
        [
            "example. 86400 IN SOA ns.example. hostmaster.example. 1 86400 7200 1814400 240",
            "example. 86400 IN NS ns.example.",
        ]
    );
}

#[test]
fn includes_inherit_and_give_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| fs::write(dir.path().join(path), text).unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    write(
        "example.zone",
        "$TTL 9\n@ SOA ns h 1 2 3 4 5\n@ NS ns\na TXT a\n$INCLUDE \"sub/one.inc\" sub\n TXT back\nb TXT b\n",
    );
    write("sub/one.inc", " TXT inherited\n$TTL 7\nc TXT c\n$INCLUDE two.inc\n$ORIGIN elsewhere.\n");
    write("sub/two.inc", "d TXT d");
    let set = load_dir(dir.path()).unwrap();
    assert_eq!(
        shown(&records(zone(&set, "example")))[2..],
        [
            r#"a.example. 9 IN TXT "a""#,
            r#"a.example. 9 IN TXT "inherited""#,
            r#"c.sub.example. 7 IN TXT "c""#,
            r#"d.sub.example. 7 IN TXT "d""#,
            r#"a.example. 9 IN TXT "back""#,
            r#"b.example. 9 IN TXT "b""#,
        ]
    );

    write("sub/two.inc", "\n\n$ORIGIN example.\na CNAME b\n");
    let problems = load_dir(dir.path()).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].place, "sub/two.inc:4");
    let other = format!("a.example. has a CNAME and, on {}/example.zone:4, other data", dir.path().display());
    assert!(problems[0].message.starts_with(&other), "{}", problems[0]);

    write("sub/two.inc", "\n\nd A x\nd A y");
    let problems = load_dir(dir.path()).unwrap_err();
    let places: Vec<&str> = problems.iter().map(|problem| problem.place.as_str()).collect();
    assert_eq!(places, ["sub/two.inc:3:5", "sub/two.inc:4:5"]);

    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::remove_file(dir.path().join("sub/two.inc")).unwrap();
    std::os::unix::fs::symlink(outside.path(), dir.path().join("sub/two.inc")).unwrap();
    let problems = load_dir(dir.path()).unwrap_err();
    assert!(problems[0].message.contains("outside the directory"), "{}", problems[0]);
    assert_eq!(problems[0].place, "sub/one.inc:4:10");
}

#[test]
fn a_directory_gives_its_zone_files_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| fs::write(dir.path().join(path), text).unwrap();
    let good = "$TTL 1\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n";
    write("b.example.zone", good);
    write("a.example.zone", good);
    write("c.example.zone~", "not read");
    let set = load_dir(dir.path()).unwrap();
    let names: Vec<String> = set.zones.iter().map(|zone| zone.apex().to_string()).collect();
    assert_eq!(names, ["hostname.as112.net.", "hostname.as112.arpa.", "a.example.", "b.example."]);

    write(".hidden.zone", "not read");
    write("A.EXAMPLE.zone", good);
    write("a..b.zone", good);
    write("arpa.zone", good);
    write("hostname.as112.net.zone", good);
    fs::create_dir(dir.path().join("x.zone")).unwrap();
    let found = load_dir(dir.path()).unwrap_err();
    for (place, fragment) in [
        ("a.example.zone", "is configured by"),
        ("a..b.zone", "empty label"),
        ("arpa.zone", "force = true"),
        ("hostname.as112.net.zone", "always served"),
        ("x.zone", "not a regular file"),
    ] {
        let problem = found.iter().find(|problem| problem.place == place);
        assert!(problem.is_some_and(|problem| problem.message.contains(fragment)), "{place}: {found:#?}");
    }
    assert_eq!(found.len(), 5, "{found:#?}");

    let problems = load_dir(&dir.path().join("absent")).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("cannot read the zone directory: No such file"), "{}", problems[0]);
}

#[test]
fn entries_are_checked_against_all_that_is_served() {
    let entry = |name: &str, source: ZoneSource, force: bool| ZoneEntry {
        name: name.to_owned(),
        source,
        force,
        place: format!("conf:{}", name.len()),
    };
    let load_entries = |entries: Vec<ZoneEntry>| load(&ZoneOptions { entries, ..everything() });
    let set = load_entries(vec![
        entry("d.f.ip6.arpa", ZoneSource::DdEmpty, false),
        entry("more.empty.as112.arpa", ZoneSource::DrEmpty, false),
        entry(".", ZoneSource::DdEmpty, true),
    ])
    .unwrap();
    assert_eq!(records(zone(&set, "D.F.ip6.arpa"))[1].rdata, b"\x0Bblackhole-1\x04iana\x03org\0");
    assert_eq!(records(zone(&set, "more.empty.as112.arpa")).len(), 2);
    assert_eq!(zone(&set, ".").service, Service::Configured);

    for (name, fragment) in [
        ("10.IN-ADDR.ARPA", "direct = false"),
        ("empty.as112.arpa.", "dname = false"),
        ("home.arpa", "special_use = false"),
        ("hostname.as112.arpa", "always served"),
        (".", "force = true"),
        ("arpa", "force = true"),
        ("in-addr.arpa", "force = true"),
        ("ip6.arpa.", "force = true"),
        ("a..b", "empty label"),
    ] {
        let problems = load_entries(vec![entry(name, ZoneSource::DdEmpty, false)]).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].place, format!("conf:{}", name.len()));
        assert!(problems[0].message.contains(fragment), "{}", problems[0]);
    }
    let problems = load_entries(vec![entry(".", ZoneSource::DdEmpty, false); ZONES_MAX]).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains(&format!("limit of {ZONES_MAX}")), "{}", problems[0]);

    let absent = entry("example", ZoneSource::File("/nowhere/example".into()), false);
    let problems = load_entries(vec![absent.clone(), absent]).unwrap_err();
    assert_eq!(problems.len(), 2);
    assert_eq!(
        problems[0].to_string(),
        "/nowhere/example: cannot read the zone file: No such file or directory (os error 2); \
         check the path and its permissions"
    );
    assert!(problems[1].message.contains("the zone example. is configured by conf:7"), "{}", problems[1]);
}
