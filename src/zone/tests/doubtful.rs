//! What is served with a warning.

use super::*;

/// The warnings about `text` as the file of the zone `apex`, without the directory.
fn warnings(apex: &str, text: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(format!("{apex}.zone")), text).unwrap();
    of_dir(dir.path())
}

fn of_dir(dir: &Path) -> Vec<String> {
    let set = load_dir(dir).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let prefix = format!("{}/", dir.display());
    set.warnings.iter().map(|warning| warning.to_string().replace(&prefix, "")).collect()
}

const HEAD: &str = "$TTL 1h\n@ SOA ns.x. host.x. 1 2 3 4 5\n@ NS ns.x.\n";

#[test]
fn what_is_hardly_meant_is_told_at_its_place() {
    for (text, expected) in [
        // What leads nowhere.
        (
            "@ NS ns",
            "example.zone:4: the NS leads to ns.example., which has no address here: add an A or AAAA record",
        ),
        ("a MX 1 m", "example.zone:4: the MX leads to m.example., which has no address"),
        ("_x._tcp SRV 1 2 3 s", "example.zone:4: the SRV leads to s.example., which has no address"),
        ("d NS ns.d", "example.zone:4: the delegation to ns.d.example. has no glue"),
        ("d NS other", "example.zone:4: the NS leads to other.example., which has no address"),
        ("a NS n\nn CNAME x.", "example.zone:4: the NS leads to n.example., which has a CNAME"),
        ("a MX 1 m\nm CNAME x.", "example.zone:4: the MX leads to m.example., which has a CNAME"),
        // A final dot that is missing.
        ("a CNAME v.example", "example.zone:4: v.example.example. ends with the name of the zone twice"),
        ("v.example A 192.0.2.1", "example.zone:4: v.example.example. ends with the name of the zone twice"),
        // What is left out.
        ("www.other. A 192.0.2.1", "example.zone:4: www.other. is outside the zone example. and is left out"),
    ] {
        let found = warnings("example", &format!("{HEAD}{text}"));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{text}: {found:#?}");
    }
    let reverse = format!("{HEAD}1 PTR host.example.com");
    let found = warnings("2.0.192.in-addr.arpa", &reverse);
    let [warning] = &found[..] else { panic!("{found:#?}") };
    let expected = ":4: the PTR leads to host.example.com.2.0.192.in-addr.arpa., in the reverse tree";
    assert!(warning.contains(expected), "{warning}");
}

#[test]
fn what_is_in_order_gets_no_warning() {
    for text in [
        "@ NS ns\nns A 192.0.2.1",
        "@ NS ns\nns AAAA 2001:db8::1",
        "@ NS ns.a\n*.a A 192.0.2.1",
        "d NS ns.d\nns.d A 192.0.2.1",
        "d NS ns.d.x.\nd NS ns.e\ne NS ns.e\nns.e A 192.0.2.1",
        // The address of a name below another delegation is there.
        "d NS ns.e\ne NS ns.x.",
        "a MX 0 .\na MX 1 m.x.\nb CNAME c\nc PTR b",
        "a.examples A 192.0.2.1",
    ] {
        assert_eq!(warnings("example", &format!("{HEAD}{text}")), [""; 0], "{text}");
    }
    assert_eq!(load(&everything()).unwrap().warnings, []);
}

#[test]
fn a_record_outside_the_zone_is_not_served() {
    let text = format!("{HEAD}a.other. A 192.0.2.1\na A 192.0.2.2\na.other. CNAME b");
    assert_eq!(shown(&load_example(text.as_bytes()).unwrap())[2..], ["a.example. 3600 IN A 192.0.2.2"]);
}

#[test]
fn a_file_without_ttl_takes_the_minimum_of_its_soa() {
    let text =
        "@ SOA ns.x. host.x. 1 2 3 4 600\n NS ns.x.\na 7 A 192.0.2.1\nb A 192.0.2.2\n$TTL 9\nc A 192.0.2.3\n";
    let ttls: Vec<u32> = load_example(text.as_bytes()).unwrap().iter().map(|record| record.ttl).collect();
    assert_eq!(ttls, [600, 600, 7, 600, 9]);
    let expected = "example.zone:1: the file has no default TTL, so the 600 s of the SOA's MINIMUM stand in: \
                    put `$TTL 1h` at its top";
    assert_eq!(warnings("example", text), [expected]);
    // With a TTL at the SOA the last one holds.
    let text = "@ 8 SOA ns.x. host.x. 1 2 3 4 600\n NS ns.x.\na 7 A 192.0.2.1\nb A 192.0.2.2\n";
    let ttls: Vec<u32> = load_example(text.as_bytes()).unwrap().iter().map(|record| record.ttl).collect();
    assert_eq!(ttls, [8, 8, 7, 7]);
    assert_eq!(warnings("example", text), [""; 0]);
}

#[test]
fn lines_may_end_as_on_old_macs() {
    let text = format!("{HEAD}a A 192.0.2.1 ; one\nb TXT \"x\"\n").replace('\n', "\r");
    let shown = shown(&load_example(text.as_bytes()).unwrap());
    assert_eq!(shown[2..], ["a.example. 3600 IN A 192.0.2.1", "b.example. 3600 IN TXT \"x\""]);
    let problems = load_example(format!("{text}c A x\r").as_bytes()).unwrap_err();
    assert_eq!(problems[0].place, "example.zone:6:5");
}

#[test]
fn files_that_are_passed_over_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| fs::write(dir.path().join(path), text).unwrap();
    write("example.zone", &format!("{HEAD}$INCLUDE hosts.inc\n"));
    write("hosts.inc", "a A 192.0.2.1\n");
    write(".hidden.db", "");
    fs::create_dir(dir.path().join("keys")).unwrap();
    assert_eq!(of_dir(dir.path()), [""; 0]);
    write("example.org.ZONE", HEAD);
    let place = dir.path().display();
    let rest = "only files such as example.com.zone are served";
    assert_eq!(of_dir(dir.path()), [format!("{place}: example.org.ZONE does not end in .zone: {rest}")]);
    write("db.example.net", HEAD);
    write("example.com.db", HEAD);
    let expected = format!("{place}: 3 files do not end in .zone, such as db.example.net: {rest}");
    assert_eq!(of_dir(dir.path()), [expected]);
}

#[test]
fn a_prefix_as_a_name_gets_a_hint() {
    for (name, reverse) in [
        ("10.0.0.0/8", "10.in-addr.arpa"),
        ("192.168.1.0", "1.168.192.in-addr.arpa"),
        ("192.0.2.0/25", "2.0.192.in-addr.arpa"),
        ("192.0.2.7", "7.2.0.192.in-addr.arpa"),
        ("fd00::/8", "d.f.ip6.arpa"),
        ("2001:db8::/32", "8.b.d.0.1.0.0.2.ip6.arpa"),
    ] {
        let entries = vec![ZoneEntry {
            name: name.to_owned(),
            source: ZoneSource::DdEmpty,
            force: false,
            place: "conf:1".to_owned(),
        }];
        let set = load(&ZoneOptions { entries, ..options() }).unwrap();
        let expected =
            format!("conf:1: {name}. is served as a name; for the reverse zone of addresses write {reverse}");
        assert_eq!(set.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }
}
