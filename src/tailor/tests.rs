//! Maps as operators write them, and what clients and resolvers get.

mod partition;
mod places;
mod why;

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::spec::{List, Map, Pool, Pop, Spec, Spread};
use super::*;
use crate::dns::ecs::Subnet;

/// The PoPs of the tests.
const POPS: [&str; 3] = ["sfo", "nrt", "fra"];
const SFO: PopId = 0;
const NRT: PopId = 1;
const FRA: PopId = 2;

/// A directory with files, and the map of them: "networks" and "resolvers" if they are there, "learned".
pub(super) struct World {
    pub(super) dir: TempDir,
    pub(super) spec: Spec,
}

impl World {
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let path = |name: &str| dir.path().join(name);
        let of = |kind: &str| -> Vec<PathBuf> {
            let names = files.iter().map(|(name, _)| *name).filter(|name| name.starts_with(kind));
            names.map(path).collect()
        };
        let map = Map {
            place: "as112d.toml:12:1".to_owned(),
            networks: of("networks"),
            resolvers: of("resolvers"),
            learned: Some(path("learned.map")),
            ..Map::new("world", list(&[SFO]))
        };
        let pool = Pool {
            name: "web".to_owned(),
            place: "as112d.toml:30:1".to_owned(),
            map: 0,
            variants: vec![SFO, NRT, FRA],
            spread: Spread::First,
        };
        let pops = POPS.map(|name| Pop { name: name.to_owned(), at: None }).into();
        let spec = Spec { pops, maps: vec![map], pools: vec![pool] };
        Self { dir, spec }
    }

    pub(super) fn map(&mut self) -> &mut Map {
        &mut self.spec.maps[0]
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn tailor(&self) -> Tailor {
        Tailor::new(&self.spec, Arc::default()).unwrap()
    }

    /// What is wrong, with the files as they are named in the directory.
    fn problems(&self) -> Vec<String> {
        let told = |problem: &Problem| {
            let dir = format!("{}/", self.dir.path().display());
            problem.to_string().replace(&dir, "")
        };
        Tailor::new(&self.spec, Arc::default()).unwrap_err().iter().map(told).collect()
    }
}

pub(super) fn list(pops: &[PopId]) -> List {
    pops.iter().copied().collect()
}

/// A subnet as it is written, such as `11.1.3.0/24`.
pub(super) fn subnet(text: &str) -> Subnet {
    let (address, source) = text.split_once('/').unwrap();
    let source: u8 = source.parse().unwrap();
    let mut option = match address.parse().unwrap() {
        IpAddr::V4(address) => [&[0, 1, source, 0][..], &address.octets()].concat(),
        IpAddr::V6(address) => [&[0, 2, source, 0][..], &address.octets()].concat(),
    };
    option.truncate(4 + usize::from(source).div_ceil(8));
    Subnet::read(&option).unwrap()
}

pub(super) fn asking(peer: &str, of: Option<&str>) -> Asking {
    Asking { peer: peer.parse().unwrap(), id: 0x1234, subnet: of.map(subnet) }
}

/// Those of the vectors of client subnets.
const NETWORKS: &str = include_str!("../../tests/golden/clients/world.networks");

#[test]
fn a_subnet_decides_as_far_as_the_same_holds() {
    let tailor = World::new(&[("networks", NETWORKS)]).tailor();
    for (client, pop, scope, used) in [
        ("11.1.3.0/24", NRT, 24, Use::Used),
        ("11.1.2.0/24", FRA, 24, Use::Used),
        ("11.1.0.0/24", NRT, 23, Use::Used),
        ("11.1.4.0/24", NRT, 22, Use::Used),
        ("11.1.128.0/24", NRT, 17, Use::Used),
        ("11.2.0.0/24", SFO, 15, Use::Used),
        ("11.0.5.0/24", SFO, 16, Use::Used),
        ("11.0.0.0/8", SFO, 16, Use::Used),
        ("13.0.0.0/24", SFO, 8, Use::Unmapped),
        ("203.0.113.0/24", NRT, 24, Use::Used),
        ("198.18.5.0/24", SFO, 25, Use::Unmapped),
        ("198.18.5.128/25", NRT, 25, Use::Used),
        ("10.1.2.0/24", SFO, 13, Use::Private),
        ("10.9.3.0/24", FRA, 16, Use::Used),
        ("172.16.5.0/24", SFO, 12, Use::Private),
        ("127.0.0.0/24", SFO, 8, Use::Private),
        ("0.0.0.0/0", SFO, 0, Use::Zero),
        ("::/0", SFO, 0, Use::Zero),
        ("2400:1234:5600::/56", SFO, 32, Use::Used),
        ("2400:1235::/56", NRT, 32, Use::Used),
        ("2a00:aaaa:2::/48", FRA, 47, Use::Used),
        ("fd00:1::/56", SFO, 7, Use::Private),
    ] {
        let choice = tailor.choose(0, &asking("127.0.0.1", Some(client)));
        assert_eq!((choice.pop, choice.scope, choice.subnet), (pop, scope, used), "{client}");
        assert_eq!(choice.layer == Layer::Networks, used == Use::Used, "{client}");
        assert_eq!(choice.variant, u16::from(choice.pop));
    }
}

#[test]
fn where_nothing_is_known_an_answer_holds_for_everybody() {
    let tailor = World::new(&[("networks", "11.0.0.0/8 nrt")]).tailor();
    for client in ["2400::/32", "fd00::/8"] {
        let choice = tailor.choose(0, &asking("192.0.2.53", Some(client)));
        assert_eq!((choice.pop, choice.scope, choice.subnet), (SFO, 0, Use::Unmapped), "{client}");
    }
}

#[test]
fn a_resolver_is_known_by_hand_else_learned_else_as_a_client_is() {
    let mut world = World::new(&[
        ("networks", "192.0.0.0/8 nrt"),
        ("resolvers", "192.0.2.0/24 fra"),
        ("learned.map", "# as112d learned map 1\n192.0.2.1/32 sfo,nrt # 31 networks\n192.0.3.1/32 sfo\n"),
    ]);
    let decided = |world: &World, peer: &str, of: Option<&str>| {
        let choice = world.tailor().choose(0, &asking(peer, of));
        (choice.pop, choice.layer, choice.subnet, choice.scope)
    };
    assert_eq!(decided(&world, "192.0.2.1", None), (FRA, Layer::ByHand, Use::None, 0));
    assert_eq!(decided(&world, "::ffff:192.0.3.1", None), (SFO, Layer::Learned, Use::None, 0));
    assert_eq!(decided(&world, "192.0.4.1", None), (NRT, Layer::Networks, Use::None, 0));
    assert_eq!(decided(&world, "193.0.4.1", None), (SFO, Layer::Default, Use::None, 0));
    // A subnet that says nothing leaves it to the resolver; that holds for those of whom nothing is known.
    assert_eq!(decided(&world, "192.0.2.1", Some("193.0.0.0/24")), (FRA, Layer::ByHand, Use::Unmapped, 8));
    assert_eq!(decided(&world, "192.0.2.1", Some("192.0.0.0/24")), (NRT, Layer::Networks, Use::Used, 8));
    world.map().uses_subnets = false;
    assert_eq!(decided(&world, "192.0.2.1", Some("192.0.0.0/24")), (FRA, Layer::ByHand, Use::Ignored, 0));
    fs::remove_file(world.path("learned.map")).unwrap();
    assert_eq!(decided(&world, "192.0.3.1", None), (NRT, Layer::Networks, Use::None, 0));
}

#[test]
fn what_is_up_changes_the_pop_and_never_the_scope() {
    let mut world = World::new(&[("networks", "11.0.0.0/8 nrt,fra\n12.0.0.0/8 fra")]);
    world.spec.pools[0].variants = vec![SFO, NRT];
    let tailor = world.tailor();
    let given = |client: &str| {
        let choice = tailor.choose(0, &asking("192.0.2.53", Some(client)));
        (choice.pop, choice.scope, choice.layer, choice.is_all_down)
    };
    let (of_list, of_default) = ("11.0.0.0/24", "12.0.0.0/24");
    assert_eq!(given(of_list), (NRT, 8, Layer::Networks, false));
    assert_eq!(given(of_default), (SFO, 8, Layer::Default, false), "the pool has no PoP of that list");
    tailor.health().set(1 << FRA);
    assert_eq!(given(of_list), (NRT, 8, Layer::Networks, true), "as if all were up");
    assert_eq!(given(of_default), (SFO, 8, Layer::Default, true));
    tailor.health().set(1 << SFO);
    assert_eq!(given(of_list), (NRT, 8, Layer::Networks, true), "another list is another answer");
}

/// What was learned is often one PoP: where that is down, the answer is what it was before.
#[test]
fn what_was_learned_gives_way_while_its_pops_are_down() {
    let world = World::new(&[
        ("networks", "192.0.3.0/24 fra"),
        ("learned.map", "192.0.2.1/32 nrt # 31 networks\n192.0.3.1/32 nrt # 31 networks\n"),
    ]);
    let tailor = world.tailor();
    let given = |peer: &str| {
        let asking = asking(peer, None);
        let (choice, why) = (tailor.choose(0, &asking), tailor.why(0, &asking).unwrap());
        let decided = why.steps.last().map(|asked| asked.layer);
        assert!(why.choice == choice && why.is_loaded && decided == Some(choice.layer), "{why:?}");
        (choice.pop, choice.layer, choice.is_all_down)
    };
    assert_eq!(given("192.0.2.1"), (NRT, Layer::Learned, false));
    tailor.health().set(1 << SFO | 1 << FRA);
    assert_eq!(given("192.0.2.1"), (SFO, Layer::Default, false));
    assert_eq!(given("192.0.3.1"), (FRA, Layer::Networks, false));
    tailor.health().set(1 << SFO);
    assert_eq!(given("192.0.3.1"), (NRT, Layer::Learned, true), "none of either list is up");
}

#[test]
fn mistakes_have_their_place() {
    let networks = "\
11.0.0.0/8 sfo
11.1.2.3/16 nrt
11.1.0.0/33 nrt
11.1.0.0/+8 nrt
2001:db8::1/32 nrt
::ffff:11.1.0.0/112 nrt
nonsense sfo
12.0.0.0/8
12.0.0.0/8 nrtt
12.0.0.0/8 iad
12.0.0.0/8 nrt fra
12.0.0.0/8 nrt,nrt
11.0.0.0/8 nrt
11.0.0.0/8 sfo # again, the same
";
    let world = World::new(&[("networks", networks), ("networks.2", "11.0.0.0/8 sfo\n\n11.0.0.0/8 fra\n")]);
    assert_eq!(
        world.problems(),
        [
            "networks:2: 11.1.2.3/16 has bits beyond its length; write 11.1.0.0/16",
            "networks:3: /33 is not the length of a prefix; it has 0 to 32 bits",
            "networks:4: /+8 is not the length of a prefix; it has 0 to 32 bits",
            "networks:5: 2001:db8::1/32 has bits beyond its length; write 2001:db8::/32",
            "networks:6: `::ffff:11.1.0.0/112` is a network of IPv4; write 11.1.0.0/16",
            "networks:7: `nonsense` is not a network; write it as in 192.0.2.0/24 or 2001:db8::/32",
            "networks:8: no PoP; write it as in `192.0.2.0/24 nrt,sfo`",
            "networks:9: there is no PoP `nrtt`; did you mean `nrt`?",
            "networks:10: there is no PoP `iad`; name one of [[pop]]",
            "networks:11: `nrt fra` is not the name of a PoP; separate PoPs with commas",
            "networks:12: the PoP nrt stands there twice; take one out",
            "networks:13: 11.0.0.0/8 stands on line 1 with another list; take one out",
            "networks.2:3: 11.0.0.0/8 stands in networks:1 with another list; take one out",
        ]
    );
    let mut world = World::new(&[]);
    world.map().networks = vec![world.path("absent"), PathBuf::from("/dev/null")];
    let problems = world.problems();
    assert!(problems[0].starts_with("absent: cannot read the file: No such file"), "{problems:?}");
    assert!(problems[1].starts_with("/dev/null: cannot read the file: a pipe or a device"), "{problems:?}");
}

#[test]
fn a_file_of_mistakes_ends_after_the_first_hundred() {
    let world =
        World::new(&[("networks", &"?\n".repeat(1000)), ("resolvers", "\u{e4}".repeat(600).as_str())]);
    let problems = world.problems();
    assert_eq!(problems.len(), 102);
    assert_eq!(problems[100], "networks:100: there may be more mistakes; these were the first");
    assert_eq!(problems[101], "resolvers:1: a line of more than 1024 bytes; shorten its comment");
}
