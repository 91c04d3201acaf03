//! A node whose answers depend on who asks, in this process.
#![allow(dead_code, reason = "each test uses a part")]

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use as112d::serve::snapshot::{IdentityZone, Settings, Snapshot};
use as112d::tailor::spec::{List, Map, Pop, Spec, Spread};
use as112d::tailor::{Health, Tailor, spec};
use as112d::zone::{self, Pool, Special, SpecialEntry, SpecialKind, ZoneOptions, name_from_text};

use super::node::{options, settings};

/// The zone example.net.
const ZONE: &str = "@ 1h IN SOA ns hostmaster 1 2 3 4 300
@ NS ns
ns A 192.0.2.1
plain A 192.0.2.9
www A 192.0.2.66
www TXT static
static.cdn A 192.0.2.10
alias CNAME www
far CNAME alias
*.apps CNAME any.cdn
to DNAME @
who CNAME whoami
sub NS www
sub NS plain
*.b A 192.0.2.80
*.c.b CNAME www
";
/// The zone apex.test.
const APEX: &str = "@ 1h IN SOA ns hostmaster 1 2 3 4 300
@ NS ns
ns A 192.0.2.1
@ MX 10 ns
";

/// Who is in which PoP.
const NETWORKS: &str = include_str!("../golden/clients/world.networks");

const POPS: [&str; 3] = ["sfo", "nrt", "fra"];

/// The addresses of each PoP in the pool `web`, which has one each, and in `dual`.
const WEB: [&[&str]; 3] = [&["198.51.100.1"], &["198.51.100.2"], &["198.51.100.3"]];
const DUAL: [&[&str]; 3] = [
    &["198.51.100.11", "2001:db8:51::1"],
    &["198.51.100.12", "2001:db8:52::1"],
    &["198.51.100.13", "2001:db8:53::1", "198.51.100.14", "2001:db8:53::2", "198.51.100.15"],
];

/// The names that are special, and what they get.
const SPECIALS: [(&str, SpecialKind); 6] = [
    ("www.example.net", SpecialKind::Pool(0)),
    ("*.cdn.example.net", SpecialKind::Pool(1)),
    ("apex.test", SpecialKind::Pool(1)),
    ("*.t.b.example.net", SpecialKind::Pool(0)),
    ("whoami.example.net", SpecialKind::Identity),
    ("b.example.net", SpecialKind::Beacon),
];

/// That node; `change` has the last word.
pub fn tailored(change: impl FnOnce(&mut Settings)) -> Snapshot {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("it can be written");
        path
    };
    let networks = file("networks.txt", NETWORKS);
    let zones = [("example.net", ZONE), ("apex.test", APEX)].map(|(name, text)| (name, file(name, text)));
    let zones = zones.each_ref().map(|(name, path)| (*name, path.to_str().expect("ASCII")));
    let special = |(name, kind): (&str, SpecialKind)| {
        let (name, is_wildcard) = name.strip_prefix("*.").map_or((name, false), |name| (name, true));
        let name = name_from_text(name).expect("a name");
        SpecialEntry { special: Special { name, is_wildcard, kind }, place: String::new() }
    };
    let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect();
    let pool = |ttl, variants: [&[&str]; 3]| Pool { ttl, variants: variants.map(addresses).to_vec() };
    let options = ZoneOptions {
        pools: vec![pool(60, WEB), pool(30, DUAL)],
        specials: SPECIALS.map(special).to_vec(),
        ..options(&zones)
    };
    let zones = zone::load(&options).expect("the zones load");
    let mut default = List::new();
    default.push(0);
    let map = Map { networks: vec![networks], ..Map::new("world", default) };
    let pool = |name: &str| spec::Pool {
        name: name.to_owned(),
        place: String::new(),
        map: 0,
        variants: vec![0, 1, 2],
        spread: Spread::First,
    };
    let spec = Spec {
        pops: POPS.map(|name| Pop { name: name.to_owned(), at: None }).to_vec(),
        maps: vec![map],
        pools: ["web", "dual", "identity"].map(pool).to_vec(),
    };
    let tailor = Tailor::new(&spec, Arc::new(Health::default())).expect("the map is sound");
    let mut settings = Settings {
        tailor: Some(Arc::new(tailor)),
        identity_zone: Some(IdentityZone { ttl: 0, pool: Some(2) }),
        ..settings()
    };
    change(&mut settings);
    Snapshot::new(&zones, settings).expect("the settings are sound")
}

/// The option of a client subnet such as `11.1.3.0/24`.
pub fn subnet(text: &str) -> Vec<u8> {
    let (address, source) = text.split_once('/').expect("a length");
    let (address, source): (IpAddr, u8) =
        (address.parse().expect("an address"), source.parse().expect("a number"));
    let (family, octets) = match address {
        IpAddr::V4(address) => (1, address.octets().to_vec()),
        IpAddr::V6(address) => (2, address.octets().to_vec()),
    };
    let octets = &octets[..usize::from(source).div_ceil(8)];
    [&[0, 8, 0, 4 + octets.len() as u8, 0, family, source, 0], octets].concat()
}

/// Subnets of all kinds: in networks that are known, beside them, private, of no length.
pub fn subnets() -> Vec<String> {
    let mut subnets: Vec<String> =
        ["0.0.0.0/0", "::/0", "11.0.0.0/8", "10.1.2.0/24", "fd00:1::/56", "13.0.0.0/24"]
            .map(str::to_owned)
            .to_vec();
    subnets.extend((0..97).map(|n| format!("11.{}.{n}.0/24", n % 3)));
    subnets.extend((0..50).map(|n| format!("{}.0.0.0/16", n * 5)));
    subnets.extend((0..47).map(|n| format!("2{:03x}:{:x}::/48", n * 64, 0x1230 + n)));
    subnets
}
