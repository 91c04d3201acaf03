//! `[[pop]]`, `[[map]]`, `[[pool]]` and `[identity_zone]`.

use std::path::PathBuf;
use std::time::Duration;

use super::super::pops::Health;
use super::*;
use crate::pops::{Probe, ProbeTo};
use crate::tailor::spec::Spread;
use crate::zone::SpecialKind;

/// Two PoPs, a map with `map` in it, and a pool with `pool`.
fn with(map: &str, pool: &str) -> String {
    format!(
        "[[pop]]\nname = 'sfo'\n[[pop]]\nname = 'nrt'\nat = [35.76, 140]\n\
         [[map]]\nname = 'world'\n{map}\n[[pool]]\nname = 'web'\nmap = 'world'\n{pool}\n"
    )
}

const DEFAULT: &str = "default = ['sfo', 'nrt']";
const POOL: &str = "names = ['www.example.net']\naddresses = { sfo = ['192.0.2.1'], nrt = ['192.0.2.2'] }";

#[test]
fn each_kind_of_block_says_what_it_says() {
    let text = "[sources]\ndatabases = ['a.mmdb']\n\
        [[pop]]\nname = 'sfo'\nhealth = 'file'\n\
        [[pop]]\nname = 'nrt'\nat = [35.76, -140]\nprobe = { tcp = '203.0.113.7:443', fall = 1 }\n\
        [[pop]]\nname = 'fra'\nprobe = { http = 'http://[2001:db8::7]', every = '9s', timeout = '1s' }\n\
        [[map]]\nname = 'world'\nnetworks = ['n', '/m']\nresolvers = ['r']\nlearned = 'l'\nplaces = 'p'\n\
        as = { 64500 = ['nrt', 'sfo'], 7 = ['fra'] }\ncountry = { JP = ['nrt'] }\n\
        continent = { AS = ['nrt'] }\nnearest = 3\ndefault = ['sfo']\necs = 'ignore'\n\
        [[map]]\nname = 'plain'\ndefault = ['nrt']\ndatabases = ['b.mmdb']\n\
        [[pool]]\nname = 'web'\nmap = 'plain'\nnames = ['WWW.example.net', '*.cdn.example.net']\n\
        ttl = '5s'\nspread = 'weighted'\nweights = { nrt = 3 }\n\
        addresses = { nrt = ['192.0.2.2', '2001:db8::2'], sfo = ['192.0.2.1', '192.0.2.9', '2001:db8::1'] }\n\
        [[pool]]\nname = 'api'\nmap = 'world'\nnames = ['api.example.net']\n\
        addresses = { sfo = ['192.0.2.3'] }\n\
        [identity_zone]\nnames = ['whoami.example.net']\nmap = 'plain'\n";
    let Config { pops, tailoring, zones, identity_zone, .. } = load_text(text, &Flags::default()).unwrap();
    let [sfo, nrt, fra] = pops.as_slice() else { panic!("{pops:?}") };
    assert!(matches!(&sfo.health, Health::File(file) if file.ends_with("pops.health")), "{sfo:?}");
    let probe = |to, every, timeout, fall| {
        let (every, timeout) = (Duration::from_secs(every), Duration::from_secs(timeout));
        Health::Probe(Probe { to, every, timeout, fall, rise: 3 })
    };
    assert_eq!(nrt.at, Some([35.76, -140.0]));
    assert_eq!(nrt.health, probe(ProbeTo::Tcp("203.0.113.7:443".parse().unwrap()), 5, 2, 1));
    let page = ProbeTo::Http("[2001:db8::7]:80".parse().unwrap(), "/".to_owned());
    assert_eq!(fra.health, probe(page, 9, 1, 2));

    let names: Vec<&str> = tailoring.pops.iter().map(|pop| pop.name.as_str()).collect();
    assert_eq!((names.as_slice(), tailoring.pops[1].at), (&["sfo", "nrt", "fra"][..], nrt.at));
    let [world, plain] = tailoring.maps.as_slice() else { panic!("{tailoring:?}") };
    let files = |paths: &[PathBuf]| {
        let names = paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!((files(&world.networks), files(&world.resolvers)), ("n m".to_owned(), "r".to_owned()));
    assert_eq!((files(world.learned.as_slice()), files(world.places.as_slice())), ("l".into(), "p".into()));
    assert_eq!((files(&world.databases), files(&plain.databases)), ("a.mmdb".into(), "b.mmdb".into()));
    let mut by_as = world.by_as.iter().map(|(number, list)| (*number, list.to_vec())).collect::<Vec<_>>();
    by_as.sort();
    assert_eq!(by_as, [(7, vec![2]), (64500, vec![1, 0])]);
    assert_eq!((world.by_country[0].0, world.by_country[0].1.to_vec()), (*b"JP", vec![1]));
    assert_eq!((world.by_continent[0].0, world.by_continent[0].1.to_vec()), (*b"AS", vec![1]));
    assert_eq!((world.nearest, world.default.to_vec(), world.uses_subnets), (3, vec![0], false));
    assert_eq!((plain.nearest, plain.default.to_vec(), plain.uses_subnets), (0, vec![1], true));
    assert!(world.place.ends_with("as112d.toml:13:1"), "{}", world.place);

    // Variants are in the order of the PoPs. Names that say who asks have a pool without names.
    let [web, api, who] = tailoring.pools.as_slice() else { panic!("{tailoring:?}") };
    assert_eq!((web.map, web.variants.as_slice()), (1, &[0, 1][..]));
    assert_eq!(web.spread, Spread::Weighted(vec![1, 3]));
    assert_eq!((api.map, api.variants.as_slice(), &api.spread), (0, &[0][..], &Spread::First));
    assert_eq!((who.map, who.variants.as_slice()), (1, &[0, 1, 2][..]));
    assert_eq!(identity_zone, Some(IdentityZone { ttl: 0, pool: Some(2) }));
    assert_eq!(zones.pools.iter().map(|pool| pool.ttl).collect::<Vec<_>>(), [5, 60]);
    let addresses =
        |at: usize| zones.pools[0].variants[at].iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(addresses(0), ["192.0.2.1", "192.0.2.9", "2001:db8::1"]);
    assert_eq!(addresses(1), ["192.0.2.2", "2001:db8::2"]);
    let specials = zones.specials.iter().map(|entry| {
        let zone::Special { name, is_wildcard, kind } = &entry.special;
        (name.to_string(), *is_wildcard, *kind)
    });
    assert_eq!(
        specials.collect::<Vec<_>>(),
        [
            ("WWW.example.net.".to_owned(), false, SpecialKind::Pool(0)),
            ("cdn.example.net.".to_owned(), true, SpecialKind::Pool(0)),
            ("api.example.net.".to_owned(), false, SpecialKind::Pool(1)),
            ("whoami.example.net.".to_owned(), false, SpecialKind::Identity),
        ]
    );
    assert!(zones.specials[1].place.ends_with("as112d.toml:32:29"), "{}", zones.specials[1].place);
}

#[test]
fn without_a_block_nothing_depends_on_the_client() {
    let config = load_text("", &Flags::default()).unwrap();
    assert_eq!((config.tailoring, config.identity_zone), (tailor::spec::Spec::default(), None));
    assert!(config.pops.is_empty() && config.zones.specials.is_empty() && config.zones.pools.is_empty());
}

/// A text with one mistake, where `^` stands, and what is said of it.
fn holds(marked: &str, fragment: &str) {
    let at = marked.find('^').expect("a mark");
    let (before, text) = (&marked[..at], marked.replace('^', ""));
    let line = before.split('\n').count();
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let found = mistakes(&text);
    assert_eq!(found.len(), 1, "{text}: {found:#?}");
    assert!(found[0].starts_with(&format!("as112d.toml:{line}:{column}: ")), "{marked}: {found:#?}");
    assert!(found[0].contains(fragment), "{text}: {found:#?}");
}

/// Marks the first block of this kind.
fn at(block: &str, text: &str) -> String {
    text.replacen(block, &format!("^{block}"), 1)
}

#[test]
fn nobody_gets_an_empty_answer() {
    let text = with("networks = ['n']", POOL);
    let told = "as112d.toml:6:1: the map world has no default; name at least one PoP, so that nobody gets an \
                empty answer";
    assert_eq!(mistakes(&text), [told]);
    holds(&with("default = ^[]", POOL), "the list is empty; name at least one PoP");
    let one = "names = ['www.example.net']\naddresses = { nrt = ['192.0.2.2'] }";
    let told = "as112d.toml:9:1: the pool web has addresses for no PoP of the default of the map world, \
                which is sfo; give those of one, so that nobody gets an empty answer";
    assert_eq!(mistakes(&with("default = ['sfo']", one)), [told]);
    assert!(load_text(&with(DEFAULT, one), &Flags::default()).is_ok(), "the second of the list will do");
    let none = with(DEFAULT, "names = ['a.b']\naddresses = {}");
    holds(&at("[[pool]]", &none), "the pool web has no addresses; give those of a PoP");
    let none = "names = ['a.b']\naddresses = { ^sfo = [], nrt = ['192.0.2.2'] }";
    holds(&with("default = ['nrt']", none), "the PoP sfo has no address; give one, or leave it out");
}

#[test]
fn a_type_exists_for_everyone_or_for_nobody() {
    let pool = |addresses: &str| format!("names = ['www.example.net']\naddresses = {{ {addresses} }}");
    let told = "as112d.toml:9:1: the pool web has AAAA for nrt and none for sfo; give all PoPs one, or none: \
                a type that exists must exist for everyone";
    let text = pool("sfo = ['192.0.2.1'], nrt = ['192.0.2.2', '2001:db8::2']");
    assert_eq!(mistakes(&with(DEFAULT, &text)), [told]);
    let told = told.replace("AAAA for nrt and none for sfo", "A for sfo and none for nrt");
    let text = pool("sfo = ['192.0.2.1', '2001:db8::1'], nrt = ['2001:db8::2']");
    assert_eq!(mistakes(&with(DEFAULT, &text)), [told]);
    let text = pool("sfo = ['2001:db8::1'], nrt = ['2001:db8::2']");
    assert!(load_text(&with(DEFAULT, &text), &Flags::default()).is_ok(), "IPv6 alone");
}

#[test]
fn mistakes_about_pops() {
    let pop = |line: &str| format!("[[pop]]\nname = 'sfo'\n{line}\n");
    for (text, fragment) in [
        (pop("at = ^[37.6]"), "`at` is two numbers, degrees north and degrees east; give both"),
        (pop("at = [^-122.4, 37.6]"), "-122.4 is not a latitude, which comes first"),
        (pop("at = [37.6, ^181]"), "`181` is out of range; give degrees from -180 to 180"),
        (pop("at = ^'sfo'"), "write it as in `at = [37.62, -122.38]`"),
        (pop("health = ^'up'"), "give \"probe\", \"file\" or \"none\""),
        (pop("health = ^'probe'"), "nothing says how the PoP is probed; give `probe`"),
        (pop("health = 'none'\nprobe = ^{ tcp = '192.0.2.1:1' }"), "`probe` is for `health = \"probe\"`"),
        ("[[pop]]\nname = ^'sfo'\nfile = 'f'".to_owned(), "`file` of the PoP sfo is for `health = \"file\"`"),
        (pop("probe = ^{}"), "a probe is of `http` or of `tcp`; give one of the two"),
        (pop("probe = { tcp = ^'192.0.2.1' }"), "is not an address with its port, such as"),
        (pop("probe = { http = ^'http://a.example/' }"), "is not a URL with an address, such as"),
        (pop("probe = { http = ^'https://192.0.2.1/' }"), "is not a URL with an address, such as"),
        (
            pop("probe = { tcp = '192.0.2.1:1', every = '1s', timeout = ^'2s' }"),
            "`timeout` is longer than `every`",
        ),
        (pop("probe = { tcp = '192.0.2.1:1', ^fal = 2 }"), "unknown key `fal`; did you mean `fall`?"),
        (pop("[[pop]]\nname = ^'sfo'"), "another PoP is called `sfo`; choose another name"),
        ("[[pop]]\nname = ^'s f'".to_owned(), "`s f` is not a name; give 1 to 32 letters"),
    ] {
        holds(&text, fragment);
    }
    let many: String = (0..65).map(|n| format!("[[pop]]\nname = '{n}'\n")).collect();
    holds(&many.replace("'64'", "^'64'"), "more than 64 PoPs; remove some");
}

#[test]
fn mistakes_about_maps() {
    let map = |line: &str| with(&[DEFAULT, line].join("\n"), POOL);
    let based = |line: &str| map(&format!("databases = ['d']\n{line}"));
    for (text, fragment) in [
        (with("default = ['sfo', ^'ntr']", POOL), "there is no PoP `ntr`; did you mean `nrt`?"),
        (with("default = ['sfo', ^'amsterdam']", POOL), "add a [[pop]] block with this name"),
        (with("default = ['sfo', ^'sfo']", POOL), "the PoP sfo is listed twice; remove one"),
        (based("as = { ^AS1 = ['sfo'] }"), "`AS1` is not the number of an AS, such as 64500"),
        (based("as = { ^0 = ['sfo'] }"), "`0` is not the number of an AS"),
        (based("as = { 1 = ^[] }"), "the list is empty; name at least one PoP"),
        (
            based("country = { ^jp = ['nrt'] }"),
            "`jp` is not a country code (ISO 3166), such as JP, in capital letters",
        ),
        (based("continent = { ^JP = ['nrt'] }"), "`JP` is not a continent: AF, AN, AS, EU, NA, OC or SA"),
        (
            at("[[map]]", &map("country = { JP = ['nrt'] }")),
            "the map world has `country`, and no database says where a network is; name one in `databases`",
        ),
        (at("[[map]]", &map("nearest = 2")), "has `nearest`, and no database says where a network is"),
        (
            at("[[map]]", &based("nearest = 2").replace("at = [35.76, 140]\n", "")),
            "the map world has `nearest`, and no PoP has `at`; say where PoPs are",
        ),
        (based("nearest = ^9"), "give a whole number from 0 to 8"),
        (map("ecs = ^'yes'"), "give \"use\" or \"ignore\""),
        (map("^network = ['n']"), "unknown key `network`; did you mean `networks`?"),
        (map("networks = ^'n'"), "write it as in `networks = [\"networks.txt\"]`"),
        (map("databases = ['a', 'b', 'c', 'd', ^'e']"), "over the limit of 4"),
        (map("[[map]]\nname = ^'world'\ndefault = ['sfo']"), "another map is called `world`"),
    ] {
        holds(&text, fragment);
    }
    let many = (0..9).map(|n| format!("[[pop]]\nname = 'p{n}'\n")).collect::<String>();
    let text =
        format!("{many}[[map]]\nname = 'm'\ndefault = ['p0','p1','p2','p3','p4','p5','p6','p7',^'p8']\n");
    holds(&text, "a list has at most 8 PoPs; remove some");
}

#[test]
fn mistakes_about_pools() {
    let pool = |line: &str| with(DEFAULT, &[POOL, line].join("\n"));
    let named = |names: &str| with(DEFAULT, &POOL.replace("'www.example.net'", names));
    let addressed = |addresses: &str| with(DEFAULT, &POOL.replace("'192.0.2.1'", addresses));
    for (text, fragment) in [
        (pool("").replace("map = 'world'", "map = ^'word'"), "there is no map `word`; add a [[map]] block"),
        (pool("ttl = ^'8d'"), "give 0s to 7d"),
        (pool("ttl = ^'1500ms'"), "a TTL is whole seconds; give such a number, as in \"60s\""),
        (pool("spread = ^'last'"), "give \"first\" or \"weighted\""),
        (pool("weights = { ^sfo = 2 }"), "`weights` are for `spread = \"weighted\"`; remove one"),
        (pool("spread = 'weighted'\nweights = { sfo = ^0 }"), "give a whole number from 1 to 1000"),
        (pool("spread = 'weighted'\nweights = { ^ntr = 2 }"), "did you mean `nrt`?"),
        (at("[[pool]]", &named("")), "the pool web has no names; list one in `names`"),
        (named("^'a..b'"), "give a name such as www.example.net"),
        (named("'www.example.net', ^'WWW.example.net.'"), "is in the pool web already; remove one"),
        (addressed("'192.0.2.1', ^'www'"), "`www` is not an address; give one such as 192.0.2.1"),
        (addressed("'192.0.2.1', ^'192.0.2.1'"), "192.0.2.1 is listed twice; remove one"),
        (addressed("^'0.0.0.0'"), "0.0.0.0 is not the address of a server; remove it"),
        (addressed("^'224.0.0.1'"), "224.0.0.1 is not the address of a server; remove it"),
        (pool("").replace("{ sfo", "{ ^sfx"), "there is no PoP `sfx`; did you mean `sfo`?"),
        (
            pool("[identity_zone]\nnames = [^'www.example.net']"),
            "www.example.net is in the pool web already; remove one of the two",
        ),
        (pool("[identity_zone]\nnames = [^'*.who.example']"), "write `who.example`"),
        (pool("[identity_zone]\nnames = ['who.example']\nmap = ^'x'"), "there is no map `x`"),
        (pool("[identity_zone]\n^name = 'who.example'"), "did you mean `names`?"),
    ] {
        holds(&text, fragment);
    }
    let mut many = (10..27).map(|n| format!("'192.0.2.{n}'")).collect::<Vec<_>>();
    many[16].insert(0, '^');
    holds(&addressed(&many.join(",")), "a PoP has at most 16 addresses of a family");
    // A wildcard and the name itself are two names.
    assert!(load_text(&named("'cdn.example.net', '*.cdn.example.net'"), &Flags::default()).is_ok());
    // What was mistaken is not missed as well.
    holds(&pool("").replace("default = ['sfo', 'nrt']", "default = ^'sfo'"), "invalid type");
}

#[test]
fn a_map_that_nobody_asks_is_noted() {
    let notes = |text: &str| load_text(text, &Flags::default()).unwrap().notes();
    let more = "[[map]]\nname = 'spare'\ndefault = ['nrt']\n";
    let text = with(DEFAULT, POOL) + more;
    assert_eq!(notes(&text), ["no [[pool]] asks the map spare"]);
    assert!(notes(&(text + "[identity_zone]\nnames = ['who.example']\nmap = 'spare'\n")).is_empty());
}
