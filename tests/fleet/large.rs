//! Large files in a release: they are checked as they are read, and are in force at once.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crate::common::daemon::{V4, is_as_shipped};
use crate::common::query;
use crate::node::Node;
use crate::publisher::{Fleet, token, zone};

const SOA: u16 = 6;

/// A map of so many networks, a line of some 50 bytes each.
fn networks(count: u32) -> String {
    let mut text = String::new();
    for number in 0..count {
        let network = Ipv4Addr::from(0x0B00_0000 + number * 16);
        let _ = writeln!(text, "{network}/28 p # the network of customer {number:010}");
    }
    text
}

fn pack(count: u32) -> String {
    let mut text = "$TTL 60\n".to_owned();
    for number in 0..count {
        let _ = writeln!(text, "$ORIGIN owner{number}.example.\n@ SOA a. b. 1 2 3 4 5\n\tNS a.\n");
    }
    text
}

#[test]
fn a_map_of_100_mb_and_a_pack_of_many_zones_are_checked_and_served() {
    // A build without optimisation reads as much in ten times as long.
    let (lines, zones) = if is_as_shipped() { (2_000_000, 200_000) } else { (100_000, 20_000) };
    let says = token();
    let config = "[zones]\npacks = ['owners.zones']\n[[zone]]\nname = 'fleet.example'\nfile = 'fleet.zone'\n\
                  [[pop]]\nname = 'p'\n[[map]]\nname = 'm'\ndefault = ['p']\nnetworks = ['networks']\n\
                  [[pool]]\nname = 'web'\nmap = 'm'\nnames = ['www.fleet.example']\n\
                  addresses = { p = ['192.0.2.1'] }\n";
    let mut files = vec![
        ("config.toml", config.as_bytes().to_vec()),
        ("fleet.zone", format!("{}www A 192.0.2.9\n", zone(&says)).into_bytes()),
        ("networks", networks(lines).into_bytes()),
        ("owners.zones", pack(zones).into_bytes()),
    ];
    assert!(!is_as_shipped() || files[2].1.len() > 100 << 20, "{} bytes", files[2].1.len());
    let node = Node::start(Fleet::new(""));
    let name = node.fleet.release(1, &files);
    node.fleet.want(1, &name);
    node.fleet.link("current", &name);
    let began = std::time::Instant::now();
    node.reload().expect("it is right");
    println!("{} bytes of networks and {zones} zones in {:?}", files[2].1.len(), began.elapsed());
    assert_eq!(node.says().as_ref(), Some(&says));
    let last = format!("owner{}.example", zones - 1);
    assert_eq!(node.daemon.ask_udp(V4, &query(&last, SOA))[7], 1);
    // One byte of it in the middle, where it is a comment: nothing but its hash tells.
    for path in [2, 3] {
        let middle = files[path].1.len() / 2;
        let at = files[path].1[middle..].iter().position(|byte| *byte == b'\n').expect("lines") + middle - 1;
        let was = files[path].1[at];
        files[path].1[at] = if was == b'.' { b' ' } else { was ^ 1 };
        std::fs::write(node.fleet.of(&name, files[path].0), &files[path].1).expect("there is room");
        let problems = node.reload().expect_err("a byte is another one");
        assert!(
            problems.starts_with(&format!("{}: wrong-hash: ", node.fleet.of(&name, files[path].0).display()))
        );
        files[path].1[at] = was;
        std::fs::write(node.fleet.of(&name, files[path].0), &files[path].1).expect("there is room");
    }
    assert_eq!(node.says(), Some(says));
    node.reload().expect("it is right again");
}
