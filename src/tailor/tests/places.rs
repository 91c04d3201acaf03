//! Lists by where addresses are.

use std::fs;
use std::path::Path;

use ipnet::IpNet;
use mmdb_writer::Value::{self, Double, U32};

use super::{FRA, NRT, SFO, World, asking, list};
use crate::nets::places::{Place, Places, Square};
use crate::tailor::{Layer, Use};

pub(super) fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

pub(super) fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.map(|(key, value)| (key.to_owned(), value)).into())
}

pub(super) fn database<const N: usize>(
    dir: &Path,
    name: &str,
    records: [(&str, Value); N],
) -> std::path::PathBuf {
    let mut writer = mmdb_writer::Writer::new(name);
    for (network, record) in records {
        writer.insert_value(network.parse::<IpNet>().unwrap(), record).unwrap();
    }
    let path = dir.join(name);
    fs::write(&path, writer.to_bytes().unwrap()).unwrap();
    path
}

/// As MaxMind has it.
pub(super) fn city(name: &str, country: &str, continent: &str, [north, east]: [f64; 2]) -> Value {
    map([
        ("city", map([("names", map([("en", text(name))]))])),
        ("continent", map([("code", text(continent))])),
        ("country", map([("iso_code", text(country))])),
        ("location", map([("latitude", Double(north)), ("longitude", Double(east))])),
    ])
}

fn number(number: u32) -> Value {
    map([("autonomous_system_number", U32(number))])
}

/// Tokyo, San Jose, Lisbon and a place without coordinates; two ASes across.
fn world(files: &[(&str, &str)]) -> World {
    let mut world = World::new(files);
    let cities = [
        ("126.0.0.0/8", city("Tokyo", "JP", "AS", [35.7, 139.7])),
        ("73.0.0.0/8", city("San Jose", "US", "NA", [37.3, -121.9])),
        ("2001:8a0::/32", city("Lisbon", "PT", "EU", [38.7, -9.1])),
        ("41.0.0.0/8", map([("country", map([("iso_code", text("NA"))]))])),
    ];
    let ases =
        [("126.1.0.0/16", number(64_500)), ("126.2.0.0/16", number(64_501)), ("99.0.0.0/8", number(64_500))];
    let dir = world.dir.path().to_owned();
    world.map().databases = vec![database(&dir, "City.mmdb", cities), database(&dir, "ASN.mmdb", ases)];
    for (pop, at) in [(SFO, [37.6, -122.4]), (NRT, [35.8, 140.4]), (FRA, [50.0, 8.6])] {
        world.spec.pops[usize::from(pop)].at = Some(at);
    }
    world
}

fn decided(world: &World, client: &str) -> (u8, Layer, u8) {
    let choice = world.tailor().choose(0, &asking("192.0.2.53", Some(client)));
    (choice.pop, choice.layer, choice.scope)
}

#[test]
fn networks_then_as_then_country_then_continent_then_distance() {
    let mut world = world(&[("networks", "126.1.2.0/24 sfo")]);
    world.map().by_as = vec![(64_500, list(&[FRA]))];
    world.map().by_country = vec![(*b"JP", list(&[SFO, FRA])), (*b"NA", list(&[FRA, SFO]))];
    world.map().by_continent = vec![(*b"NA", list(&[NRT]))];
    world.map().nearest = 2;
    assert_eq!(decided(&world, "126.1.2.0/24"), (SFO, Layer::Networks, 24));
    assert_eq!(decided(&world, "126.1.128.0/24"), (FRA, Layer::As, 17));
    assert_eq!(decided(&world, "126.2.0.0/24"), (SFO, Layer::Country, 15));
    // Namibia is a country and North America a continent, and both are NA.
    assert_eq!(decided(&world, "41.0.0.0/24"), (FRA, Layer::Country, 8));
    assert_eq!(decided(&world, "73.0.0.0/24"), (NRT, Layer::Continent, 8));
    assert_eq!(decided(&world, "2001:8a0::/48"), (FRA, Layer::Nearest, 32));
    assert_eq!(decided(&world, "99.0.0.0/24"), (FRA, Layer::As, 8), "from the second database alone");
    let choice = world.tailor().choose(0, &asking("2001:8a0::53", Some("10.0.0.0/8")));
    assert_eq!(
        (choice.pop, choice.layer, choice.subnet, choice.scope),
        (FRA, Layer::Nearest, Use::Private, 8)
    );
}

#[test]
fn what_was_measured_counts_before_what_is_configured() {
    let places = "\
# as112d measured places 1
country:JP nrt,sfo # 4,810 samples
as:64501 fra
place:37/-122 fra,sfo
country:US nrt
";
    let mut world = world(&[("places.map", places)]);
    world.map().places = Some(world.path("places.map"));
    world.map().by_as = vec![(64_500, list(&[FRA])), (64_501, list(&[SFO]))];
    world.map().by_country = vec![(*b"JP", list(&[SFO]))];
    assert_eq!(decided(&world, "126.2.0.0/24"), (FRA, Layer::Places, 16));
    assert_eq!(decided(&world, "126.1.0.0/24"), (NRT, Layer::Places, 15));
    assert_eq!(decided(&world, "73.0.0.0/24"), (FRA, Layer::Places, 8));
    assert_eq!(decided(&world, "99.0.0.0/24"), (FRA, Layer::As, 8));
    for (line, message) in [
        (
            "country:jp nrt",
            "`country:jp` is not a place; write it as in country:JP, as:64500 or place:35/139",
        ),
        (
            "place:91/0 nrt",
            "`place:91/0` is not a place; write it as in country:JP, as:64500 or place:35/139",
        ),
        ("as:AS1 nrt", "`as:AS1` is not a place; write it as in country:JP, as:64500 or place:35/139"),
        (
            "11.0.0.0/8 nrt",
            "`11.0.0.0/8` is not a place; write it as in country:JP, as:64500 or place:35/139",
        ),
        ("country:US iad", "there is no PoP `iad`; name one of [[pop]]"),
    ] {
        fs::write(world.path("places.map"), line).unwrap();
        assert_eq!(world.problems(), [format!("places.map:1: {message}")]);
    }
    fs::write(world.path("places.map"), "country:JP nrt\ncountry:JP nrt\ncountry:JP sfo").unwrap();
    assert_eq!(
        world.problems(),
        ["places.map:3: country:JP stands on line 1 with another list; take one out"]
    );
    fs::remove_file(world.path("places.map")).unwrap();
    assert_eq!(decided(&world, "126.2.0.0/24"), (SFO, Layer::As, 15), "Japan has the same list");
}

/// Databases by ip-location-db have flat records.
#[test]
fn both_forms_of_records_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let flat = map([
        ("city", text("Tokyo")),
        ("country_code", text("JP")),
        ("latitude", Value::Float(35.5)),
        ("longitude", U32(139)),
    ]);
    let path = database(dir.path(), "flat.mmdb", [("126.0.0.0/8", flat), ("41.0.0.0/8", map([]))]);
    let (places, errors) = Places::open(&[path]);
    assert_eq!(errors, [""; 0]);
    let known = Place {
        asn: None,
        country: Some(*b"JP"),
        continent: Some(*b"AS"),
        at: Some([35.5, 139.0]),
        city: Some("Tokyo".to_owned()),
    };
    assert_eq!(places.place("126.0.0.1".parse().unwrap()), known);
    assert_eq!(places.place("41.0.0.1".parse().unwrap()), Place::default());
    assert_eq!(Square::of([35.7, 139.7]).to_string(), "35/139");
    assert_eq!(Square::of([-26.2, -0.5]).to_string(), "-27/-1");
    assert_eq!("-27/-1".parse(), Ok(Square { north: -27, east: -1 }));
}

/// Whatever a database holds, tables say what it says of each address.
#[test]
fn tables_and_databases_agree() {
    let mut world = world(&[]);
    world.map().by_as = vec![(64_501, list(&[SFO]))];
    world.map().by_continent = vec![(*b"AS", list(&[NRT])), (*b"EU", list(&[FRA]))];
    let (places, _) = Places::open(&world.map().databases.clone());
    let tailor = world.tailor();
    for high in 0..=255 {
        for low in 0..4 {
            let address = std::net::IpAddr::from([high, low, 0, 0]);
            let place = places.place(address);
            let expected = match (place.asn, place.continent.as_ref()) {
                (Some(64_501), _) => Some(SFO),
                (_, Some(b"AS")) => Some(NRT),
                (_, Some(b"EU")) => Some(FRA),
                _ => None,
            };
            let choice = tailor.choose(0, &asking("192.0.2.53", Some(&format!("{address}/16"))));
            assert_eq!((choice.subnet == Use::Used).then_some(choice.pop), expected, "{address}");
        }
    }
}

#[test]
fn what_needs_a_database_says_so() {
    let mut world = World::new(&[]);
    world.map().by_country = vec![(*b"JP", list(&[NRT]))];
    assert_eq!(
        world.problems(),
        ["as112d.toml:12:1: the map world has lists by as, country or continent, and no database says \
          where an address is; name one in `databases`"]
    );
    world.map().databases = vec![world.path("absent.mmdb")];
    let problems = world.problems();
    assert!(problems[0].starts_with("absent.mmdb: "), "{problems:?}");
    let ases = database(
        world.dir.path(),
        "ASN.mmdb",
        [("192.0.2.0/24", map([("autonomous_system_number", text("?"))]))],
    );
    world.map().databases = vec![ases];
    let problems = world.problems();
    assert!(problems[0].starts_with("as112d.toml:12:1: ASN.mmdb: cannot read a record: "), "{problems:?}");
}
