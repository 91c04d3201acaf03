//! Many zones in one file: how they are told apart, and what is said of mistakes in them.

use std::io::{BufReader, Read};

use super::super::pack::{self, Part};
use super::*;
use crate::limits::{PACK_ENTRY_LEN_MAX, ZONE_PROBLEMS_MAX};

/// A reader that gives so many bytes at a time.
struct Sip<'a>(&'a [u8], usize);

impl Read for Sip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = self.1.min(buffer.len());
        self.0.read(&mut buffer[..len])
    }
}

/// The zones of a pack and what else is wrong with it, where so many bytes come at a time.
fn parts(text: &[u8], at_once: usize) -> (Vec<Part>, Vec<Problem>) {
    let mut parts = Vec::new();
    let mut source = BufReader::with_capacity(at_once, Sip(text, at_once));
    let done = pack::read("pack", &mut source, &mut |part| {
        parts.push(part);
        true
    });
    (parts, done.err().unwrap_or_default())
}

/// Loads a pack, and maybe a zone of its own besides; places without the directory.
fn load_pack(text: &[u8], more: &[(&str, &str)]) -> Result<ZoneSet, Vec<Problem>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("owners.zones");
    fs::write(&path, text).unwrap();
    let zones = dir.path().join("zones");
    fs::create_dir(&zones).unwrap();
    more.iter().for_each(|(name, text)| fs::write(zones.join(name), text).unwrap());
    let options = ZoneOptions { packs: vec![path], dir: Some(zones), ..options() };
    load(&options).map_err(|mut problems| {
        let prefix = format!("{}/", dir.path().display());
        for problem in &mut problems {
            problem.place = problem.place.replace(&prefix, "");
            problem.message = problem.message.replace(&prefix, "");
        }
        problems
    })
}

fn told(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

const PACK: &str = "\
; zones of owners
$TTL 1h
$ORIGIN a.example.
@ SOA ns.hoster.test. h.hoster.test. (
    1 2 3 ; numbers
    4 5 )
  NS ns.hoster.test.
www A 192.0.2.1
b.example. 60 SOA ns.hoster.test. h.hoster.test. 1 2 3 4 5
           60 NS ns.hoster.test.
$ORIGIN example.
c SOA ns.hoster.test. h.hoster.test. 1 2 3 4 5
c NS ns
www.c A 192.0.2.3
sub.c SOA ns h 1 2 3 4 5
      NS ns.hoster.test.
";

#[test]
fn each_soa_at_a_new_name_begins_a_zone() {
    let set = load_pack(PACK.as_bytes(), &[]).unwrap();
    let zones: Vec<String> = set.zones[2..].iter().map(|zone| zone.apex().to_string()).collect();
    assert_eq!(zones, ["a.example.", "b.example.", "c.example.", "sub.c.example."]);
    assert_eq!(
        shown(&records(zone(&set, "a.example"))),
        [
            "a.example. 3600 IN SOA ns.hoster.test. h.hoster.test. 1 2 3 4 5",
            "a.example. 3600 IN NS ns.hoster.test.",
            "www.a.example. 3600 IN A 192.0.2.1",
        ]
    );
    assert_eq!(
        shown(&records(zone(&set, "c.example")))[1..],
        ["c.example. 3600 IN NS ns.example.", "www.c.example. 3600 IN A 192.0.2.3",]
    );
    assert!(set.warnings.is_empty(), "{:?}", set.warnings);
}

/// Wherever a reading ends, be it within a word, a comment or parentheses.
#[test]
fn however_few_bytes_come_at_a_time_the_zones_are_the_same() {
    let whole = format!("{:?}", parts(PACK.as_bytes(), 1 << 20));
    for at_once in (1..64).chain([100, 1000]) {
        assert_eq!(format!("{:?}", parts(PACK.as_bytes(), at_once)), whole, "{at_once}");
        let crlf = PACK.replace('\n', "\r\n");
        let (zones, problems) = parts(crlf.as_bytes(), at_once);
        assert_eq!((zones.len(), problems.len()), (4, 0));
    }
    let with_mark = [b"\xEF\xBB\xBF", PACK.as_bytes()].concat();
    assert_eq!(format!("{:?}", parts(&with_mark, 2)), whole);
    // The last line may lack its end.
    assert_eq!(parts(PACK.trim_end().as_bytes(), 7).0.len(), 4);
    assert_eq!(parts(b"", 7).0.len(), 0);
}

/// What `as112d zones` prints is one.
#[test]
fn printed_zones_are_a_pack() {
    let set = load_pack(PACK.as_bytes(), &[]).unwrap();
    let mut text = String::new();
    for zone in &set.zones[2..] {
        text += "; zone\n";
        write_zone(zone, &mut text).unwrap();
    }
    let again = load_pack(text.as_bytes(), &[]).unwrap();
    for (zone, again) in set.zones.iter().zip(&again.zones) {
        assert_eq!((zone.apex(), records(zone)), (again.apex(), records(again)));
    }
}

/// A TTL that a zone has from its SOA is none of the next.
#[test]
fn ttls_that_were_not_given_end_with_their_zone() {
    let text = "a. SOA b. c. 1 2 3 4 5\na. NS b.\nb. 7 SOA b. c. 1 2 3 4 5\nb. NS b.test.\n\
                c. SOA b. c. 1 2 3 4 9\nc. NS b.test.\n";
    let set = load_pack(text.as_bytes(), &[]).unwrap();
    let ttls = |apex| records(zone(&set, apex)).iter().map(|record| record.ttl).collect::<Vec<_>>();
    assert_eq!([ttls("a"), ttls("b"), ttls("c")], [[5, 5], [7, 7], [9, 9]]);
    let no_default = set.warnings.iter().filter(|warning| warning.message.contains("no default TTL"));
    let places: Vec<_> = no_default.map(|warning| warning.place.rsplit(':').next().unwrap()).collect();
    assert_eq!(places, ["1", "5"]);
}

#[test]
fn mistakes_have_their_line_and_the_zones_around_them_are_read() {
    let good = "SOA ns.test. h.test. 1 2 3 4 5\n NS ns.test.\n";
    let text = format!(
        "$TTL 1\na. {good} A 192.0.2\nb. {good} CNAME x.\nc. SOA ns.test. h.test. 1 2 3 4 5\n\
         d. {good}A. {good}e. {good}$INCLUDE more\nf. {good}f. SOA x. y. 1 2 3 4 5\n"
    );
    let more = [("d.zone", "$TTL 1\n@ SOA a. b. 1 2 3 4 5\n@ NS ns.test.\n")];
    assert_eq!(
        told(&load_pack(text.as_bytes(), &more).unwrap_err()),
        [
            "owners.zones:4:4: `192.0.2` is not an IPv4 address, in the rdata of a record of type A",
            "owners.zones:7: b. has a CNAME and, on line 5, other data: keep one of the two",
            "owners.zones:8: the zone c. has no NS record at its apex: add one",
            "owners.zones:9: the zone d. is configured by zones/d.zone; remove one of the two",
            "owners.zones:11: the zone A. is configured by owners.zones:2; remove one of the two",
            "owners.zones:15:10: cannot include `more`: all of it stands in one file",
            "owners.zones:18: a second SOA at f.; the first is on line 16",
        ]
    );
    for (text, expected) in [
        ("$TTL 1\na. NS b.\n", "owners.zones:2: the pack begins with a record of no zone"),
        ("arpa. 1 SOA a. b. 1 2 3 4 5\n", "owners.zones:1: serving arpa. would hide"),
        (
            "hostname.as112.net. 1 SOA a. b. 1 2 3 4 5\n",
            "owners.zones:1: the zone hostname.as112.net. is built in",
        ),
        ("\u{0}a\0.", "owners.zones: the file is in UTF-16"),
        (
            "a. 1 SOA a. b. 1 2 3 4 5\na. 1 NS b.\n\nx. TXT ( a\n",
            "owners.zones:4:8: this `(` is never closed",
        ),
    ] {
        let problems = told(&load_pack(text.as_bytes(), &[]).unwrap_err());
        assert!(problems[0].starts_with(expected), "{text}: {problems:#?}");
    }
    let absent = load(&ZoneOptions { packs: vec!["/nowhere/pack".into()], ..options() }).unwrap_err();
    assert!(told(&absent)[0].starts_with("/nowhere/pack: cannot read the pack: No such file"), "{absent:?}");
}

/// Nothing grows with a file that is no pack.
#[test]
fn a_pack_that_is_all_mistakes_is_not_read_to_its_end() {
    let zones: String = (0..1000).map(|number| format!("z{number}. 1 SOA a. b. 1 2 3 4 5\n")).collect();
    let problems = load_pack(zones.as_bytes(), &[]).unwrap_err();
    assert_eq!(problems.len(), ZONE_PROBLEMS_MAX + 1);
    assert!(problems.last().unwrap().message.starts_with("too many errors"), "{:?}", problems.last());
    let problems = load_pack("a. 1 SOA a. b. 1 2 3 4 5\n!\n".repeat(500).as_bytes(), &[]).unwrap_err();
    assert!(problems.len() <= ZONE_PROBLEMS_MAX + 2, "{}", problems.len());

    let open = format!("a. 1 SOA a. b. 1 2 3 4 5\na. 1 TXT (\n{}", "x\n".repeat(PACK_ENTRY_LEN_MAX));
    let problems = told(&parts(open.as_bytes(), 1 << 16).1);
    assert_eq!(problems, ["pack:2: the record that begins here has over 1024 KiB: is a `)` missing?"]);
}
