//! What a release may say, and what its configuration becomes together with the node's own.

use as112d::config::laid::{ALLOWED, Says};
use as112d::config::loaded;
use as112d::config::{Config, Flags, load};
use as112d::zone::ZoneSource;

use crate::publisher::{Fleet, saying, zone};

/// The configuration with the current release over it.
fn config(fleet: &Fleet) -> Result<Config, Vec<String>> {
    let read = load(Some(&fleet.file()), &Flags::default());
    read.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// The same with all that it names.
fn compiled(fleet: &Fleet) -> Result<usize, Vec<String>> {
    let read = loaded::load(Some(&fleet.file()), &Flags::default());
    let count = read.map(|(_, zones, _)| zones.counted().0);
    count.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn laid(local: &str, files: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let fleet = Fleet::new(local);
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(path, text)| (*path, text.as_bytes().to_vec())).collect();
    let name = fleet.release(1, &files);
    fleet.link("current", &name);
    config(&fleet)
}

#[test]
fn without_a_release_the_nodes_own_file_counts() {
    let fleet = Fleet::new("[server]\nedns_udp_size = 1000\n");
    let config = config(&fleet).expect("it is right");
    assert!(config.release.is_none() && config.fleet.is_some());
    assert_eq!(config.edns_udp_size, 1000);
}

#[test]
fn the_more_exact_file_counts_and_blocks_replace_those_of_their_name() {
    let local = "[server]\nedns_udp_size = 1000\nrcvbuf = '1MiB'\n[[zone]]\nname = 'own.example'\n\
                 template = 'dd-empty'\n";
    let colo = "[server]\nedns_udp_size = 1100\n[[zone]]\nname = 'b.example'\ntemplate = 'dr-empty'\n";
    let node =
        "[[zone]]\nname = 'c.example'\ntemplate = 'dd-empty'\n[zones]\npacks = ['node/ams1/x.zones']\n";
    let fleet = "[server]\nedns_udp_size = 1050\ndrop = ['192.0.2.0/24']\n[[zone]]\nname = 'a.example'\n\
                 template = 'dd-empty'\n[[zone]]\nname = 'b.example'\ntemplate = 'dd-empty'\n";
    let config = laid(
        local,
        &[
            ("config.toml", fleet),
            ("colo/ams/config.toml", colo),
            ("colo/lhr/config.toml", "this is of others"),
            ("node/ams1/config.toml", node),
            ("node/ams1/x.zones", ""),
        ],
    )
    .expect("it is right");
    assert_eq!((config.edns_udp_size, config.rcvbuf, config.drop.len()), (1100, 1 << 20, 1));
    let zones: Vec<_> = config.zones.entries.iter().map(|zone| (zone.name.as_str(), &zone.source)).collect();
    let names: Vec<&str> = zones.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["own.example", "a.example", "b.example", "c.example"]);
    assert!(matches!(zones[2].1, ZoneSource::DrEmpty), "that of the colo");
    let release = config.release.expect("there is one");
    assert_eq!(config.zones.packs, [release.root.join("node/ams1/x.zones")]);
}

#[test]
fn a_release_says_nothing_of_what_is_each_nodes_own() {
    for (line, message) in [
        ("[server]\nlisten = ['as112']", "config.toml:2:1: not-allowed: [server] listen is each node's own"),
        ("[server]\nuser = 'root'", "config.toml:2:1: not-allowed: [server] user"),
        ("[identity]\nnode = 'other'", "config.toml:1:2: not-allowed: [identity] is each node's own"),
        ("[control]\npath = 'x'", "config.toml:1:2: not-allowed: [control]"),
        ("[confine]\nseccomp = 'off'", "config.toml:1:2: not-allowed: [confine]"),
        ("[announce]\nrouter = 'command'", "config.toml:1:2: not-allowed: [announce]"),
        ("[fleet]\nname = 'other'", "config.toml:1:2: not-allowed: [fleet]"),
        ("[answers]\ncookie_secrets = 'x'", "config.toml:2:1: not-allowed: [answers] cookie_secrets"),
        ("[cache]\nsize = '1GiB'", "config.toml:2:1: not-allowed: [cache] size"),
        ("[[pop]]\nname = 'a'\nfile = 'x'", "config.toml:3:1: not-allowed: [pop] file"),
        (
            "[zones]\ndirekt = true",
            "config.toml:2:1: not-allowed: [zones] direkt is not for releases; did you mean `direct`?",
        ),
        ("[server]\nedns_udp_size = 99999", "config.toml:2:17: `99999` is out of range"),
        ("[server", "TOML syntax error"),
        (
            "[zones]\npacks = ['/etc/passwd']",
            "config.toml:2:10: bad-path: `/etc/passwd` is not a path in a release",
        ),
        ("[zones]\npacks = ['../../x']", "config.toml:2:10: bad-path: `../../x`"),
        (
            "[zones]\npacks = ['other.zones']",
            "config.toml:2:10: missing: the release has no file `other.zones`",
        ),
        ("[zones]\ndir = 'zones'", "config.toml:2:7: missing: the release has no directory `zones`"),
        ("[platform]\napps = '/etc'", "config.toml:2:8: bad-path"),
    ] {
        let problems = laid("", &[("config.toml", line)]).expect_err(line);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(message), "{line}: {problems:?}");
        assert!(problems[0].contains("/releases/1-"), "{problems:?}");
    }
}

#[test]
fn a_mistake_has_the_place_where_it_stands() {
    let files = [
        ("config.toml", "[server]\nedns_udp_size = 1000\n"),
        ("node/ams1/config.toml", "\n\n[zones]\ndir = 7\n"),
    ];
    let problems = laid("[http]\nlisten = 'off'\n", &files).expect_err("it is wrong");
    assert!(problems[0].contains("node/ams1/config.toml:4:7: invalid type"), "{problems:?}");
    let problems = laid("[http]\nlisten = 'of'\n", &files[..1]).expect_err("it is wrong");
    assert!(problems[0].contains("as112d.toml:9:10: "), "{problems:?}");
    let two = "[[zone]]\nname = 'a.example'\ntemplate = 'dd-empty'\n";
    let fleet = Fleet::new(two);
    let name = fleet.release(1, &[("config.toml", format!("{two}{two}").into())]);
    fleet.link("current", &name);
    let problems = compiled(&fleet).expect_err("it is there twice");
    assert!(problems[0].contains("config.toml:5:8: the zone a.example. is configured by"), "{problems:?}");
}

#[test]
fn what_an_application_or_a_zone_names_lies_in_the_release() {
    let manifest = "name = 'thief'\nmodule = 'app.wasm'\nrouter = ['any']\n[allow]\n\
                    files = ['/etc/hostname']\n[config]\nsecret = 'file:/etc/hostname'\n";
    let fleet = Fleet::new("");
    let name = fleet.release(
        1,
        &[
            ("config.toml", b"[platform]\napps = 'apps'\n".to_vec()),
            ("apps/thief/app.toml", manifest.into()),
            ("apps/thief/app.wasm", b"\0asm".to_vec()),
        ],
    );
    fleet.link("current", &name);
    let problems = compiled(&fleet).expect_err("it leads outside");
    assert!(problems.iter().any(|problem| problem.contains("/etc/hostname: bad-path: ")), "{problems:?}");
    let include = format!("{}$INCLUDE /etc/hostname\n", zone("x"));
    let mut files = saying("x");
    files[1].1 = include.into();
    let name = fleet.release(2, &files);
    fleet.link("current", &name);
    let problems = compiled(&fleet).expect_err("it leads outside");
    assert!(problems[0].contains("bad-path"), "{problems:?}");
    files[1].1 = format!("{}$INCLUDE more\n", zone("x")).into();
    files.push(("zones/more", b"a TXT more\n".to_vec()));
    let name = fleet.release(3, &files);
    fleet.link("current", &name);
    assert_eq!(compiled(&fleet).expect("it is right"), 25);
}

/// A database of one network.
fn database() -> Vec<u8> {
    let mut writer = mmdb_writer::Writer::new("City");
    let network: ipnet::IpNet = "127.0.0.0/8".parse().expect("a network");
    let record = serde_json::json!({ "country": { "iso_code": "PT" } });
    writer.insert(network, &record).expect("a record");
    writer.to_bytes().expect("a database")
}

/// Every file that a loader may read of a release is checked by it: each has another byte, one by one.
#[test]
fn every_loader_checks_what_it_reads() {
    let config = "[zones]\ndir = 'zones'\npacks = ['many.zones']\n[platform]\nrules = 'rules'\n\
                  [[pop]]\nname = 'p'\n[[map]]\nname = 'm'\ndefault = ['p']\nnetworks = ['nets']\n\
                  resolvers = ['resolvers']\nlearned = 'learned'\nplaces = 'places'\n\
                  databases = ['city.mmdb']\ncountry = { PT = ['p'] }\n[sources]\ndatabases = ['more.mmdb']\n\
                  [[pool]]\nname = 'web'\nmap = 'm'\nnames = ['www.fleet.example']\n\
                  addresses = { p = ['192.0.2.1'] }\n";
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("config.toml", config.into()),
        ("zones/fleet.example.zone", (zone("x") + "www A 192.0.2.9\n").into()),
        ("many.zones", b"$TTL 1\nmany.example. SOA a. b. 1 2 3 4 5\nmany.example. NS a.\n".to_vec()),
        ("rules/a.rules", b"# nothing\n".to_vec()),
        ("nets", b"192.0.2.0/24 p\n".to_vec()),
        ("resolvers", b"192.0.2.0/24 p\n".to_vec()),
        ("learned", b"192.0.2.0/24 p\n".to_vec()),
        ("places", b"as:64500 p\n".to_vec()),
        ("city.mmdb", database()),
        ("more.mmdb", database()),
        ("unread", b"nobody reads it\n".to_vec()),
    ];
    let fleet = Fleet::new("");
    let name = fleet.release(1, &files);
    fleet.link("current", &name);
    compiled(&fleet).expect("it is right");
    for (path, bytes) in &files {
        let mut other = bytes.clone();
        let last = other.len() - 1;
        other[last] = b' ';
        std::fs::write(fleet.of(&name, path), other).expect("there is room");
        let problems = compiled(&fleet).expect_err(path);
        let place = fleet.of(&name, path).display().to_string();
        let is_told = problems.iter().any(|problem| problem.starts_with(&format!("{place}: wrong-hash: ")));
        assert!(is_told && problems.len() == 1, "{path}: {problems:?}");
        std::fs::write(fleet.of(&name, path), bytes).expect("there is room");
    }
    compiled(&fleet).expect("it is right again");
}

#[test]
fn paths_are_told_from_settings() {
    let paths = ALLOWED.iter().flat_map(|(section, keys)| {
        keys.iter().filter(|(_, says)| *says != Says::Setting).map(move |(key, _)| format!("{section}.{key}"))
    });
    let paths: Vec<String> = paths.collect();
    assert_eq!(
        paths,
        [
            "zones.dir",
            "zones.packs",
            "zone.file",
            "map.networks",
            "map.resolvers",
            "map.learned",
            "map.places",
            "map.databases",
            "platform.rules",
            "platform.apps",
            "upstream.tls_ca",
            "sources.databases"
        ]
    );
}
