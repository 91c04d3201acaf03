//! What is printed loads again, and what is damaged does no harm.

use std::collections::HashSet;

use super::*;

/// One record of every type that has a form, and what is hard to print.
const UGLY: &str = r#"
$TTL 1h
@ SOA ns hostmaster 4294967295 1W 1M 1h30m 0
  NS ns
  NS \@\$\;\(\).\000\255\032\.\\
ns A 192.0.2.1
  AAAA ::ffff:192.0.2.1
a\.b TXT "" "\"\\\000\255" ( unquoted\ blank
  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" )
  HINFO "PDP-11" Unix
c CNAME .
mx MX 0 .
  MX 65535 Mail.Example.ORG.
srv SRV 1 2 3 target
p PTR p.q.
d DNAME elsewhere.
caa CAA 0 issue "ca.example; a=b"
  CAA 128 iodef ""
naptr NAPTR 1 2 "s" "http+I2R" "!^.*$!\\\\1!" replacement
sshfp SSHFP 1 1 0123456789abcdef0123456789abcdef01234567
tlsa TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
rp RP mbox txt
minfo MINFO a b
mb MB a
  MG b
  MR c
svcb SVCB 0 target
  HTTPS 1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.1 key65000="odd \"value\""
  HTTPS 2 svc mandatory=alpn alpn="h2" no-default-alpn
loc LOC 1 2 3.004 S 5 6 7.008 E -9.10m 20m 300m 4000m
openpgp OPENPGPKEY AAECAwQ=
ipseckey IPSECKEY 10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==
  IPSECKEY 10 3 2 gateway AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==
zonemd ZONEMD 1 1 1 ( 0123456789abcdef0123456789abcdef0123456789abcdef
  0123456789abcdef0123456789abcdef0123456789abcdef )
old X25 311061700956
  ISDN 150862028003217 "004"
  NSAP 0x47.0005.80
  PX 1 a b
  EID abcd
  NINFO a "b c"
  TALINK a b
  AVC "app"
cert CERT PKIX 1 RSASHA1 AQID
  DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=
  SMIMEA 3 1 1 0123
apl APL 1:192.168.32.0/21 !1:192.168.38.0/28 2:2001:db8::/32 1:0.0.0.0/0
  APL
csync CSYNC 66 3 A NS AAAA TYPE65280
eui EUI48 00-00-5e-00-53-2a
  EUI64 00-00-5e-ef-10-00-00-2a
ilnp NID 10 14:4fff:ff20:ee64
  L32 10 192.0.2.1
  L64 10 2001:0DB8:1140:1000
  LP 10 l64
uri URI 10 1 "ftp://a/;x=\"\255"
info RESINFO qnamemin exterr=15
  WALLET a b
unknown TYPE65280 \# 0
  TYPE731 \# 6 abcd ef01 2345
  AFSDB 1 db
  SPF "v=spf1 -all"
*.wild A 192.0.2.7
"#;

#[test]
fn what_is_printed_loads_to_the_same_records() {
    let mut zones = load(&everything()).unwrap().zones;
    let ugly = load_example(UGLY.as_bytes()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(ugly.len(), 59);
    zones.push(Zone::new(&name_from_text("example").unwrap(), Service::Configured, &ugly));
    for zone in zones {
        let mut text = String::new();
        write_zone(&zone, &mut text).unwrap();
        let contents = file::read_text("printed", &text, &name_from_text("wrong.origin").unwrap());
        let (again, _) = check::check(&zone.apex(), contents, &HashSet::new())
            .unwrap_or_else(|problems| panic!("{text}{problems:#?}"));
        let stand = records(&zone);
        assert_eq!(again, stand, "{text}");
        let wires = |records: &[Record]| -> Vec<Vec<u8>> {
            records.iter().map(|record| record.owner.as_wire().to_vec()).collect()
        };
        assert_eq!(wires(&again), wires(&stand), "letter case");
        // Only what has no form.
        let generic = text.lines().filter(|line| line.contains(r"\# "));
        let generic: Vec<&str> = generic.map(|line| line.split(' ').nth(3).unwrap()).collect();
        let expected = ["TYPE65280", "TYPE731"];
        assert_eq!(generic, if zone.service == Service::Configured { &expected[..] } else { &[] });
    }
}

#[test]
fn damaged_zone_files_never_panic() {
    const PIECES: [&[u8]; 26] = [
        b"(",
        b")",
        b"\"",
        b"\\",
        b"\\#",
        b";",
        b"\n",
        b" ",
        b"\t",
        b"$",
        b"@",
        b".",
        b"..",
        b"*",
        b"\\000",
        b"\xFF",
        b"\r",
        b"1W",
        b"IN",
        b"TXT",
        b"LOC",
        b"HTTPS",
        b"99999999999",
        b"$INCLUDE x",
        b"$GENERATE 1-3 a$ ",
        b"${1,2,n}",
    ];
    let mut state: u64 = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x9E37_79B9);
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let origin = name_from_text("example").unwrap();
    let (mut good, mut bad) = (0, 0);
    for _ in 0..20_000 {
        // A few entries at a time: a mutation then meets each of them often, and the test is quick.
        let from = random(UGLY.len());
        let len = random(400);
        let mut text: Vec<u8> = UGLY.as_bytes()[from..UGLY.len().min(from + len)].to_vec();
        for _ in 0..random(4) {
            let at = random(text.len() + 1);
            match random(3) {
                0 => drop(text.splice(at..at, PIECES[random(PIECES.len())].iter().copied())),
                1 => text.truncate(at.max(text.len() / 2)),
                _ if at < text.len() => text[at] = u8::try_from(random(256)).unwrap(),
                _ => {}
            }
        }
        text.splice(0..0, *b"@ 1 SOA a b 1 2 3 4 5\n@ NS a\n");
        match check::check(&origin, file::read_text("fuzz", &text, &origin), &HashSet::new()) {
            Ok((records, _)) => {
                let zone = Zone::new(&origin, Service::Configured, &records);
                let mut printed = String::new();
                write_zone(&zone, &mut printed).unwrap();
                let again =
                    check::check(&origin, file::read_text("again", &printed, &origin), &HashSet::new());
                assert_eq!(
                    again.map(|(records, _)| records).as_ref(),
                    Ok(&records),
                    "{}\n{printed}",
                    text.escape_ascii()
                );
                good += 1;
            }
            Err(problems) => {
                assert!(
                    problems
                        .iter()
                        .all(|problem| !problem.message.is_empty() && !problem.message.contains('\n'))
                );
                bad += 1;
            }
        }
    }
    assert!(good > 100 && bad > 1000, "{good} good, {bad} bad: the mutations no longer try both");
}
