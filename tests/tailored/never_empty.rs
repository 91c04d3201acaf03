//! Nobody gets an empty answer, whatever is down, gone or written wrongly.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::common::daemon::{Configured, V4, program};
use crate::common::tailored::{subnet, subnets, tailored};
use crate::common::{ask, folder, query, udp, with_opt};
use crate::reload::{Node, chosen};

const A: u16 = 1;
const AAAA: u16 = 28;

/// What is up decides which address is given, and nothing else: with nothing up it is as if all were.
#[test]
fn if_no_pop_is_up_answers_are_as_if_all_were() {
    let node = tailored(|_| ());
    let health = node.tailor().expect("it has maps").health();
    for (name, qtype) in [("www.example.net.", A), ("any.cdn.example.net.", AAAA), ("apex.test.", A)] {
        let replies = || {
            let subnets = subnets().into_iter().map(|text| subnet(&text)).chain([Vec::new()]);
            let ask = |options: Vec<u8>| ask(&node, &udp(), &with_opt(query(name, qtype), 1232, &options));
            subnets.map(|options| ask(options).expect("a reply")).collect::<Vec<_>>()
        };
        health.set(u64::MAX);
        let all_up = replies();
        assert!(all_up.iter().all(|reply| reply[7] > 0), "{name}: an answer for everybody");
        health.set(0);
        assert_eq!(replies(), all_up, "{name}");
        for up in [0b001, 0b010, 0b110] {
            health.set(up);
            assert!(replies().iter().all(|reply| reply[7] > 0), "{name} {up:b}: an answer for everybody");
        }
    }
}

/// A database in which all of 11/8 is of one country.
fn database(path: &Path, country: &str) {
    let mut writer = mmdb_writer::Writer::new("Country");
    let network: ipnet::IpNet = "11.0.0.0/8".parse().expect("a network");
    writer.insert(network, &json!({ "country": { "iso_code": country } })).expect("a record");
    fs::write(path, writer.to_bytes().expect("a database")).expect("there is room");
}

/// A database that is gone, or is none any more, leaves the map that was made of it in force.
#[test]
fn without_its_database_a_map_stays_as_it_is() {
    let node =
        Node::start("databases = ['country.mmdb']\ncountry = { PT = ['b'] }\n", |configured: &Configured| {
            database(&configured.path("country.mmdb"), "PT");
        });
    let client = [11, 7, 7, 0];
    assert_eq!(chosen(&node.asked(client)), (b'b', 8));
    let file = node.configured.path("country.mmdb");
    for is_removed in [true, false] {
        let spoiled = if is_removed { fs::remove_file(&file) } else { fs::write(&file, "no database") };
        spoiled.expect("it is ours");
        for word in ["reload maps", "reload"] {
            let answer = node.order(word);
            assert!(answer["ok"] == false && answer.to_string().contains("country.mmdb"), "{word}: {answer}");
            assert_eq!(chosen(&node.asked(client)), (b'b', 8));
        }
    }
    let status = node.order("status");
    assert!(status["maps"]["stale"]["problems"].to_string().contains("country.mmdb"), "{status}");
    database(&file, "NO");
    assert_eq!(node.order("reload maps")["ok"], true);
    assert_eq!(chosen(&node.asked(client)).0, b'a');
    assert_eq!(node.order("status")["maps"]["stale"], serde_json::Value::Null);
    assert!(node.daemon.stop().0.success());
}

/// What `as112d check` says of a configuration that it refuses, without the directory.
fn refused(files: &[(&str, &str)]) -> String {
    let folder = folder();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("there is room");
    }
    let config = folder.path().join("as112d.toml");
    let output = Command::new(program()).arg("check").arg("--config").arg(&config).output().expect("it runs");
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let told = String::from_utf8(output.stderr).expect("it is text");
    told.replace(&format!("{}/", folder.path().display()), "")
}

/// Every mistake is told with its place, and with what to write instead.
#[test]
fn what_would_be_empty_or_different_in_kind_is_refused_with_its_place() {
    let zone = ("example.net.zone", "$TTL 60\n@ SOA a. b. 1 2 3 4 5\n@ NS ns.example.org.\n");
    let config = "[[zone]]\nname = 'example.net'\nfile = 'example.net.zone'\n\
                  [[pop]]\nname = 'sfo'\n[[pop]]\nname = 'nrt'\n\
                  [[map]]\nname = 'world'\nnetworks = ['networks.txt']\ndefault = ['sfo']\n\
                  [[pool]]\nname = 'web'\nmap = 'world'\nnames = ['www.example.net']\n\
                  addresses = { sfo = ['192.0.2.1'], nrt = ['192.0.2.2'] }\n";
    let with = |from: &str, to: &str, networks: &str| {
        let config = config.replace(from, to);
        refused(&[zone, ("as112d.toml", &config), ("networks.txt", networks)])
    };
    assert_eq!(
        with("", "", "# clients\n11.1.2.3/16 nrt\n"),
        "networks.txt:2: 11.1.2.3/16 has bits beyond its length; write 11.1.0.0/16\n"
    );
    assert_eq!(
        with("", "", "11.1.0.0/16 nrt\n11.2.0.0/16 nrt\n11.1.0.0/16 sfo\n"),
        "networks.txt:3: 11.1.0.0/16 stands on line 1 with another list; take one out\n"
    );
    assert_eq!(
        with(", nrt = ['192.0.2.2']", ", nrt = ['192.0.2.2', '2001:db8::2']", ""),
        "as112d.toml:12:1: the pool web has AAAA for nrt and none for sfo; give all PoPs one, or none: a \
         type that exists must exist for everyone\n"
    );
    assert_eq!(
        with("default = ['sfo']\n", "", ""),
        "as112d.toml:8:1: the map world has no default; name at least one PoP, so that nobody gets an empty \
         answer\n"
    );
    assert_eq!(
        with("www.example.net", "www.example.org", ""),
        "as112d.toml:15:10: www.example.org is in no zone of this node; add its zone, or remove the name\n"
    );
    let told = with("", "", &"\n".repeat(4_194_305));
    assert_eq!(told, "networks.txt: 4,194,305 lines; at most 4,194,304\n");
}

/// What a program has learned, and wrote wrongly, keeps no node from starting; a reload refuses it.
#[test]
fn a_node_starts_without_what_was_learned_wrongly() {
    let node = Node::start("learned = 'learned.map'\n", |configured: &Configured| {
        fs::write(configured.path("learned.map"), "127.0.0.1/32 b\n127.0.0.2/33 b\n").expect("there is room");
    });
    let resolver: IpAddr = V4;
    let plain = || chosen(&node.daemon.ask_udp(resolver, &query(Node::NAME, A))).0;
    assert_eq!(plain(), b'a', "the default");
    for word in ["reload maps", "reload"] {
        let answer = node.order(word);
        assert!(answer["ok"] == false && answer.to_string().contains("learned.map:2"), "{word}: {answer}");
    }
    fs::write(node.configured.path("learned.map"), "127.0.0.1/32 b\n").expect("there is room");
    assert_eq!(node.order("reload maps")["ok"], true);
    assert_eq!(plain(), b'b');
    fs::remove_file(node.configured.path("learned.map")).expect("it is ours");
    assert_eq!(node.order("reload maps")["ok"], true, "what is missing is as if empty");
    assert_eq!(plain(), b'a');
    assert!(node.daemon.stop().0.success());
}
