//! Why a query gets what it gets.

use std::fs;

use super::places::{city, database};
use super::{NETWORKS, NRT, World, asking, list};
use crate::nets::places::Place;
use crate::tailor::facts::Fact;
use crate::tailor::why::{Asked, Found, Of, Why};
use crate::tailor::{Layer, Summary, Use};

fn why(world: &World, peer: &str, of: Option<&str>) -> Why {
    world.tailor().why(0, &asking(peer, of)).unwrap()
}

/// As a person would say it.
fn told(world: &World, found: Option<&Found>) -> String {
    let Some(Found { of, list, at, comment }) = found else { return "nothing".to_owned() };
    let of = match of {
        Of::Network(network) => network.to_string(),
        Of::Fact(fact) => fact.to_string(),
        Of::Around(Place { city, at, .. }) => format!("{} {:?}", city.as_deref().unwrap_or("?"), at.unwrap()),
        Of::Everybody => "everybody".to_owned(),
    };
    let names = list.iter().map(|pop| world.spec.pops[usize::from(*pop)].name.as_str());
    let list = names.collect::<Vec<_>>().join(",");
    let at = at
        .as_ref()
        .map(|(path, line)| format!(" {}:{line}", path.strip_prefix(world.dir.path()).unwrap().display()));
    format!("{of} {list}{} {comment}", at.unwrap_or_default()).trim_end().to_owned()
}

fn steps(world: &World, why: &Why) -> Vec<(Layer, bool, String)> {
    let step = |asked: &Asked| (asked.layer, asked.for_resolver, told(world, asked.found.as_ref()));
    why.steps.iter().map(step).collect()
}

#[test]
fn the_rule_that_decided_and_the_one_that_limits_the_scope() {
    let world = World::new(&[("networks", NETWORKS)]);
    let why = why(&world, "8.8.8.8", Some("11.1.4.0/24"));
    assert_eq!(
        steps(&world, &why),
        [(Layer::Networks, false, "11.1.0.0/16 nrt networks:4 Tokyo".to_owned())]
    );
    assert_eq!((why.choice.pop, why.choice.scope, &why.list, why.is_loaded), (NRT, 22, &list(&[NRT]), true));
    let block = why.block.unwrap();
    let limit = block.limit.unwrap();
    assert_eq!(block.network.to_string(), "11.1.4.0/22");
    assert_eq!(
        told(&world, limit.found.as_ref()),
        "11.1.2.0/24 fra networks:5 a network in a network in a network"
    );
    let without = why.without.unwrap();
    assert_eq!(
        (without.layer, told(&world, without.found.as_ref())),
        (Layer::Default, "everybody sfo".to_owned())
    );
}

#[test]
fn a_block_of_which_nothing_is_known_ends_somewhere_too() {
    let world = World::new(&[("networks", "11.0.0.0/8 nrt\n9.0.0.0/8 nrt\n2001:db8::/32 nrt")]);
    let limit = |client: &str| {
        let block = why(&world, "192.0.2.53", Some(client)).block.unwrap();
        let limit = block.limit.unwrap();
        (
            block.network.to_string(),
            told(&world, limit.found.as_ref()),
            limit.special.map(|of| of.to_string()),
        )
    };
    let text = str::to_owned;
    assert_eq!(limit("12.0.0.0/24"), (text("12.0.0.0/6"), text("11.0.0.0/8 nrt networks:1"), None));
    assert_eq!(limit("11.0.0.0/24"), (text("11.0.0.0/8"), text("nothing"), Some(text("10.0.0.0/8"))));
    assert_eq!(limit("10.1.0.0/24"), (text("10.0.0.0/8"), text("11.0.0.0/8 nrt networks:1"), None));
    assert_eq!(limit("2001:db9::/48"), (text("2001:db9::/32"), text("2001:db8::/32 nrt networks:3"), None));
    assert_eq!(why(&world, "192.0.2.53", Some("0.0.0.0/0")).block, None);
    let empty = World::new(&[]);
    let block = why(&empty, "192.0.2.53", Some("11.0.0.0/24")).block.unwrap();
    assert_eq!((block.network.to_string(), block.limit), (text("0.0.0.0/0"), None));
}

#[test]
fn a_resolver_s_layers_are_asked_one_by_one() {
    let learned = "192.221.162.8/32 nrt,sfo # 312 networks; JP 62 %, US 38 %; seen 2026-11-28\n";
    let mut world = World::new(&[("resolvers.txt", "192.0.2.0/24 fra"), ("learned.map", learned)]);
    let san_jose = city("San Jose", "US", "NA", [37.3, -121.9]);
    let path = database(world.dir.path(), "City.mmdb", [("192.221.160.0/19", san_jose)]);
    world.map().databases = vec![path];
    world.map().nearest = 2;
    world.map().by_country = vec![(*b"JP", list(&[NRT]))];
    world.spec.pops[0].at = Some([37.6, -122.4]);
    world.spec.pops[1].at = Some([35.8, 140.4]);
    let found = why(&world, "192.221.162.8", None);
    let line = "192.221.162.8/32 nrt,sfo learned.map:1 312 networks; JP 62 %, US 38 %; seen 2026-11-28";
    assert_eq!(
        steps(&world, &found),
        [(Layer::ByHand, true, "nothing".to_owned()), (Layer::Learned, true, line.to_owned())]
    );
    assert_eq!(found.steps[0].files, [world.path("resolvers.txt")]);
    let without = found.without.unwrap();
    assert_eq!(
        (without.layer, told(&world, without.found.as_ref())),
        (Layer::Nearest, "San Jose [37.3, -121.9] sfo,nrt".to_owned())
    );
    assert_eq!((found.choice.layer, found.block, found.choice.subnet), (Layer::Learned, None, Use::None));

    world.map().by_country = vec![(*b"US", list(&[NRT]))];
    let found = why(&world, "192.221.162.9", Some("198.51.100.0/24"));
    let last = found.steps.last().unwrap();
    assert_eq!(last.found.as_ref().unwrap().of, Of::Fact(Fact::Country(*b"US")));
    let layers: Vec<_> = found.steps.iter().map(|asked| (asked.layer, asked.for_resolver)).collect();
    let clients =
        [Layer::Networks, Layer::Places, Layer::As, Layer::Country, Layer::Continent, Layer::Nearest];
    let asked = clients.map(|layer| (layer, false)).into_iter();
    let asked = asked.chain([(Layer::ByHand, true), (Layer::Learned, true)]);
    assert!(layers.into_iter().eq(asked.chain(clients[..4].iter().map(|layer| (*layer, true)))));
}

#[test]
fn files_that_were_changed_are_not_what_decides() {
    let world = World::new(&[("networks", "11.0.0.0/8 nrt")]);
    let tailor = world.tailor();
    fs::write(world.path("networks"), "11.0.0.0/8 fra").unwrap();
    let why = tailor.why(0, &asking("192.0.2.53", Some("11.0.0.0/24"))).unwrap();
    assert_eq!((why.choice.pop, why.is_loaded), (NRT, false));
    fs::remove_file(world.path("networks")).unwrap();
    assert!(tailor.why(0, &asking("192.0.2.53", None)).is_err());
}

#[test]
fn a_map_says_what_caches_make_of_it() {
    let networks = "11.0.0.0/8 nrt\n11.1.2.0/24 fra\n11.1.3.0/25 fra\n2001:db8:0:1::/64 sfo";
    let world = World::new(&[("networks", networks), ("resolvers", "192.0.2.1/32 nrt")]);
    let tailor = world.tailor();
    let &Summary { ranges, median_scope, unseen, lists, memory_len, .. } = tailor.summaries().next().unwrap();
    assert_eq!((ranges, unseen, lists), ([19, 11], [1, 1], 3));
    assert_eq!(median_scope, [Some(9), Some(64)]);
    assert!((300..2_000).contains(&memory_len), "few ranges take little: {memory_len}");
    let tailor = World::new(&[]).tailor();
    let empty = tailor.summaries().next().unwrap();
    assert_eq!((empty.blocks, empty.median_scope, empty.ranges), ([1, 1], [None, None], [1, 1]));
    assert!(empty.memory_len < 1_000, "nothing takes nothing: {}", empty.memory_len);
}
