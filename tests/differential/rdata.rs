//! Random rdata of every type that is read, some of it damaged: what is made of it, or that it is refused, is
//! what BIND's parser does, or a rule says why not.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use as112d::zone::{self, Identity, ZoneOptions};
use domain::base::iana::Rtype;

use super::generate::Random;

/// Records of each type.
const PER_TYPE: usize = 12;
const SEED: u64 = 112;

/// What is meant to differ: whose records, whether we read them (and BIND does not), and why.
const MEANT: [(&str, bool, &str); 4] = [
    ("EUI", false, "each group has two digits (RFC 7043, section 3.2)"),
    ("SSHFP", false, "a fingerprint is not empty (RFC 4255, section 3.1.3)"),
    ("URI", false, "a target is not empty (RFC 7553, section 4.4)"),
    ("IPSECKEY", true, "with algorithm 0 there is no key (RFC 4025, section 2.4)"),
];

/// The types, and the kinds of their values.
const TYPES: &[(&str, &str)] = &[
    ("A", "ipv4"),
    ("NS", "name"),
    ("MD", "name"),
    ("MF", "name"),
    ("CNAME", "name"),
    ("SOA", "name name u32 time time time time"),
    ("MB", "name"),
    ("MG", "name"),
    ("MR", "name"),
    ("PTR", "name"),
    ("HINFO", "string string"),
    ("MINFO", "name name"),
    ("MX", "u16 name"),
    ("TXT", "strings"),
    ("RP", "name name"),
    ("AFSDB", "u16 name"),
    ("X25", "digits"),
    ("ISDN", "digits string"),
    ("RT", "u16 name"),
    ("NSAP", "nsap"),
    ("PX", "u16 name name"),
    ("AAAA", "ipv6"),
    ("LOC", "loc"),
    ("EID", "hex"),
    ("NIMLOC", "hex"),
    ("SRV", "u16 u16 u16 name"),
    ("NAPTR", "u16 u16 string string regexp name"),
    ("KX", "u16 name"),
    ("CERT", "certtype u16 algorithm base64"),
    ("DNAME", "name"),
    ("APL", "prefixes"),
    ("SSHFP", "u8 sha"),
    ("IPSECKEY", "u8 gateway"),
    ("DHCID", "base64"),
    ("TLSA", "u8 u8 u8 hex"),
    ("SMIMEA", "u8 u8 u8 hex"),
    ("NINFO", "strings"),
    ("TALINK", "name name"),
    ("OPENPGPKEY", "base64"),
    ("CSYNC", "u32 u16 types"),
    ("ZONEMD", "u32 u8 digest"),
    ("SVCB", "u16 name params"),
    ("HTTPS", "u16 name params"),
    ("SPF", "strings"),
    ("NID", "u16 locator"),
    ("L32", "u16 ipv4"),
    ("L64", "u16 locator"),
    ("LP", "u16 name"),
    ("EUI48", "eui6"),
    ("EUI64", "eui8"),
    ("URI", "u16 u16 uri"),
    ("CAA", "u8 tag string"),
    ("AVC", "strings"),
    ("RESINFO", "strings"),
    ("WALLET", "strings"),
    ("TYPE65280", "generic"),
];

/// Kinds of values, and some of each.
const WORDS: &[(&str, &[&str])] = &[
    ("time", &["1", "3600", "1h30m", "1W", "2d"]),
    ("name", &["a.example.", "Rel", ".", "@", r"x\.y.example.", r"\000z.", "*.w.", "a.b.c.d.e.f.", "_x._y."]),
    ("ipv6", &["2001:db8::1", "::", "::ffff:192.0.2.1", "2001:DB8:0:1:2:3:4:5"]),
    (
        "string",
        &["a", "\"\"", "\"two words\"", r#""q\"\\\000\255""#, r"un\ quoted", "x;y", "\"x;(y\"", "\"%{,}\""],
    ),
    ("regexp", &["\"\"", "\"!^.*$!sip:info@example.com!\"", r#""!a(.)!\\1!""#]),
    ("uri", &["\"ftp://a/\"", r#""http://a/;x=\255""#, "\"\"", "ftp://a/"]),
    ("digits", &["1234", "\"311061700956\"", "0000"]),
    ("nsap", &["0x47.0005.80.005a00.0000", "0x4700", "0X47000580"]),
    ("base64", &["AQID", "AQIDBA==", "AQ ID", "AAIBY2/AuCccgoJbsaxcQc9TUapptP69"]),
    ("certtype", &["PKIX", "3", "OID", "65535", "acpkix"]),
    ("algorithm", &["RSASHA1", "8", "0", "255", "PRIVATEDNS", "ed25519"]),
    ("loc", &["45 25 0.000 N 75 42 0.000 W 80.00m 1m 10000m 10m", "0 S 180 E -1", "1 2 3.004 N 5 W 0m 20m"]),
    ("prefix", &["1:192.0.2.0/24", "1:0.0.0.0/0", "2:2001:db8::/32", "2:::/0", "1:192.0.2.1/8"]),
    ("type", &["A", "NS", "AAAA", "TYPE65280", "CAA", "MX"]),
    ("locator", &["2001:db8:0:1", "0014:4fff:ff20:ee64", "0:0:0:0"]),
    ("eui6", &["00-00-5e-00-53-2a", "FF-ff-00-01-02-03"]),
    ("eui8", &["00-00-5e-ef-10-00-00-2a"]),
    ("tag", &["issue", "iodef", "ISSUEWILD", "x1"]),
];

struct Maker(Random);

impl Maker {
    fn any<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.0.below(of.len())]
    }

    fn hex(&mut self, bytes: usize) -> String {
        (0..bytes).map(|_| format!("{:02x}", self.0.below(256))).collect()
    }

    fn list(&mut self, separator: &str, mut item: impl FnMut(&mut Self) -> String) -> String {
        let count = 1 + self.0.below(3);
        (0..count).map(|_| item(self)).collect::<Vec<_>>().join(separator)
    }

    fn value(&mut self, kind: &str) -> String {
        if let Some((_, words)) = WORDS.iter().find(|(of, _)| *of == kind) {
            return self.any(words).to_owned();
        }
        match kind {
            "u8" => self.0.below(256).to_string(),
            "u16" => self.0.below(65_536).to_string(),
            "u32" => self.0.below(1 << 32).to_string(),
            "ipv4" => format!("192.0.{}.{}", self.0.below(256), self.0.below(256)),
            "strings" => self.list(" ", |maker| maker.value("string")),
            "hex" => {
                let len = 1 + self.0.below(40);
                self.hex(len)
            }
            "sha" => match self.0.below(3) {
                0 => format!("1 {}", self.hex(20)),
                1 => format!("2 {}", self.hex(32)),
                _ => format!("7 {}", self.hex(5)),
            },
            "digest" => match self.0.below(3) {
                0 => format!("1 {}", self.hex(48)),
                1 => format!("2 {} {}", self.hex(30), self.hex(34)),
                _ => format!("7 {}", self.hex(12)),
            },
            "prefixes" => self.list(" ", |maker| maker.any(&["", "!"]).to_owned() + &maker.value("prefix")),
            "gateway" => {
                let kind = self.0.below(4);
                let gateway = [".", "192.0.2.1", "2001:db8::1", "gw.example."][kind];
                let key = self.any(&["1 # AQID", "2 # AQ==", "0 #"]).replace('#', gateway);
                format!("{kind} {key}")
            }
            "types" => self.list(" ", |maker| maker.value("type")),
            "params" => self.list(" ", Self::param),
            "generic" => {
                let len = self.0.below(9);
                format!(r"\# {len} {}", self.hex(len))
            }
            other => panic!("{other} is a kind of value"),
        }
    }

    fn param(&mut self) -> String {
        let param = self.any(&[
            "alpn=h2",
            "alpn=h2,h3",
            "alpn=\"h2,h3\"",
            "port=53",
            "ipv4hint=192.0.2.1,192.0.2.2",
            "ipv6hint=2001:db8::1",
            "ipv6hint=\"2001:db8::1,::\"",
            "ech=AQIDBA==",
            "dohpath=/q{?dns}",
            "mandatory=port port=8443",
            "mandatory=alpn,port alpn=h2 port=1",
            "alpn=h2 no-default-alpn",
            r"key1=\002h2",
            r"key3=\000\053",
            r"key4=\192\000\002\001",
            r"key5=\001",
            "key2 alpn=x",
            "key9=x",
            "key99",
            "key65391=\"a b\"",
            r"key1900=\000\255",
            // Not well formed, each in its own way.
            "alpn=",
            "alpn=a,,b",
            "alpn=,a",
            "alpn=a,",
            "port=+53",
            "port=65536",
            "port=",
            "ipv4hint=192.0.2.1,",
            "ipv4hint=,",
            "ipv6hint=1",
            "dohpath=q{?dns}",
            "dohpath=/q",
            "no-default-alpn",
            "no-default-alpn=x",
            "mandatory=mandatory",
            "mandatory=alpn",
            "mandatory=port,port port=1",
            r"key1=\003h2",
            "key3=x",
            r"key4=\001",
            r"key0=\000\001",
            "key01=x",
            "key65535=x",
            "key65536=x",
            "KEY9=x",
            "Port=1",
            "nokey=x",
            "key=x",
            r"alpn=a\\,b,c",
        ]);
        param.to_owned()
    }

    /// `rdata` as somebody might damage it.
    fn damaged(&mut self, rdata: &str) -> String {
        let mut words: Vec<&str> = rdata.split(' ').collect();
        let at = self.0.below(words.len());
        let mut text: Vec<char> = rdata.chars().collect();
        let place = self.0.below(text.len());
        match self.0.below(6) {
            0 => drop(words.pop()),
            1 => drop(words.remove(at)),
            2 => words.push("1"),
            3 => words.insert(at, words[at]),
            4 => {
                text.remove(place);
                return text.into_iter().collect();
            }
            _ => {
                text.insert(
                    place,
                    *['0', '9', 'x', '.', ',', '-', ':', '=', '+'].get(self.0.below(9)).expect("one of nine"),
                );
                return text.into_iter().collect();
            }
        }
        words.join(" ")
    }
}

/// What the code under test makes of each record: its rdata, or why not.
fn ours(dir: &Path, records: &[(&str, String)]) -> Vec<Result<Vec<u8>, String>> {
    let load = |index: usize, rtype: &str, rdata: &str| {
        let path = dir.join(format!("r{index}.zone"));
        let soa = if rtype == "SOA" { "" } else { "@ SOA ns host 1 2 3 4 5\n" };
        let owner = if rtype == "SOA" { "@" } else { "owner" };
        let text = format!("$TTL 1\n$ORIGIN example.\n{soa}@ NS ns\n{owner} {rtype} {rdata}\n");
        std::fs::write(&path, text).expect("the zone is written");
        let entry = zone::ZoneEntry {
            name: "example".to_owned(),
            source: zone::ZoneSource::File(path),
            force: false,
            place: String::new(),
        };
        let options = ZoneOptions {
            entries: vec![entry],
            identity: Identity { node: "node".to_owned(), ..Identity::default() },
            ..ZoneOptions::default()
        };
        let wanted = rtype.parse::<Rtype>().expect("a type").to_int();
        match zone::load(&options) {
            Ok(set) => {
                let zone = set.zones.last().expect("the zone was loaded");
                let record = zone.records().filter(|record| record.rtype == wanted).last();
                Ok(record.expect("the record is there").rdata)
            }
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        }
    };
    records.iter().enumerate().map(|(index, (rtype, rdata))| load(index, rtype, rdata)).collect()
}

/// What BIND makes of a record.
fn bind(rtype: &str, rdata: &str) -> Result<Vec<u8>, String> {
    let mut child = Command::new("named-rrchecker")
        .args(["-u", "-o", "example."])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("named-rrchecker runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(format!("IN {rtype} {rdata}\n").as_bytes()).expect("named-rrchecker reads");
    drop(stdin);
    let output = child.wait_with_output().expect("named-rrchecker ends");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, generic) = text.split_once(r"\# ").unwrap_or_else(|| panic!("{rtype} {rdata}: {text}"));
    let digits: Vec<u8> =
        generic.split_whitespace().skip(1).flat_map(str::bytes).filter(u8::is_ascii_hexdigit).collect();
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).expect("a digit")).expect("below 16");
    Ok(digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect())
}

#[test]
#[ignore = "needs named-rrchecker; tests/run installs it"]
fn rdata_is_read_as_bind_reads_it() {
    let seed = std::env::var("SEED").map_or(SEED, |seed| seed.parse().expect("SEED is a number"));
    let mut maker = Maker(Random(seed));
    let mut records: Vec<(&str, String)> = Vec::new();
    for &(rtype, kinds) in TYPES {
        // There is more to say of parameters than of anything else.
        let count = if kinds.contains("params") { PER_TYPE * 8 } else { PER_TYPE };
        for _ in 0..count {
            let rdata = kinds.split(' ').map(|kind| maker.value(kind)).collect::<Vec<_>>().join(" ");
            let is_damaged = maker.0.below(2) == 0;
            records.push((rtype, if is_damaged { maker.damaged(&rdata) } else { rdata }));
        }
    }
    let dir = tempfile::TempDir::new().expect("a directory");
    let (mut read, mut refused, mut faults) = (0, 0, Vec::new());
    for ((rtype, rdata), ours) in records.iter().zip(ours(dir.path(), &records)) {
        match (ours, bind(rtype, rdata)) {
            (Ok(ours), Ok(bind)) if ours == bind => read += 1,
            (Err(_), Err(_)) => refused += 1,
            (ours, bind)
                if ours.is_ok() != bind.is_ok()
                    && MEANT.iter().any(|(prefix, is_ours, _)| {
                        rtype.starts_with(prefix) && *is_ours == ours.is_ok()
                    }) => {}
            (ours, bind) => faults.push(format!("{rtype} {rdata}\n  {ours:02x?}\n  BIND: {bind:02x?}")),
        }
    }
    println!("report: SEED={seed}, {read} records read alike, {refused} refused alike");
    assert!(faults.is_empty(), "{} differ, SEED={seed}:\n{}", faults.len(), faults.join("\n"));
    assert!(read > records.len() / 3 && refused > records.len() / 8, "{read} read, {refused} refused");
}
