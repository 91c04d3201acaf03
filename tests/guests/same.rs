//! `guests/as112` answers byte for byte what the node answers.

use crate::common::golden::{Case, Node};
use crate::common::guest::Guest;
use crate::common::{tcp, udp};
use crate::mutate::Dice;

fn guest(node: &Node) -> &Guest {
    node.guest.as_ref().expect("nodes of this program have one")
}

#[test]
fn every_golden_packet_gets_the_same() {
    let (mut answered, mut passed, mut cases) = (0, 0, 0);
    let configs =
        ["default", "identity", "own", "small", "update-drop", "update-notimp", "cookies", "cookies-dry-run"];
    for config in configs {
        let node = Node::load(config);
        for case in Case::all().iter().filter(|case| case.config == config) {
            // The node compares.
            case.outcomes(&node);
            cases += 1;
        }
        let asked = guest(&node).asked();
        answered += asked.0;
        passed += asked.1;
    }
    assert_eq!(cases, Case::all().len(), "a configuration is not compared");
    // Each by two doors, and twice.
    assert!(answered > 4 * 150 && passed > 4 * 5, "{answered} answered, {passed} passed of {cases}");
}

/// Queries as a busy node gets them, and stranger ones.
#[test]
fn many_random_queries_get_the_same() {
    let node = Node::load("identity");
    let seed = std::env::var("SEED").ok().map_or(112, |seed| seed.parse().expect("SEED is a number"));
    println!("SEED={seed}");
    let mut dice = Dice::new(seed);
    let mut slot = Vec::new();
    while guest(&node).asked().0 < 100_000 {
        let query = query(&mut dice, &node.facts.zones);
        let arrival = if dice.below(4) == 0 { tcp() } else { udp() };
        node.ask_in(&mut slot, &arrival, &query);
    }
}

/// A query for a name at, above, below or near one of these zones, or anywhere.
fn query(dice: &mut Dice, zones: &[Vec<u8>]) -> Vec<u8> {
    let mut query = vec![0; 12];
    query[..2].copy_from_slice(&(dice.below(65_536) as u16).to_be_bytes());
    let flags = if dice.below(2) == 0 { 0x0100 } else { dice.below(65_536) as u16 & 0x07FF };
    query[2..4].copy_from_slice(&flags.to_be_bytes());
    query[5] = 1;
    let zone = &zones[dice.below(zones.len())];
    // Labels that are cut off, and labels that come before.
    let mut suffix = &zone[..];
    while suffix.len() > 1 && dice.below(8) == 0 {
        suffix = &suffix[1 + usize::from(suffix[0])..];
    }
    let mut name = Vec::new();
    for _ in 0..[0, 0, 1, 1, 2, 3, 4, 8, 30][dice.below(9)] {
        let len = [1, 2, 3, 3, 8, 9, 63][dice.below(7)];
        if name.len() + len + 1 + suffix.len() > 255 {
            break;
        }
        name.push(len as u8);
        let is_digits = dice.below(3) > 0;
        name.extend(
            (0..len).map(|_| if is_digits { b'0' + dice.below(10) as u8 } else { dice.below(256) as u8 }),
        );
    }
    name.extend_from_slice(suffix);
    if dice.below(4) == 0 {
        for byte in &mut name {
            if byte.is_ascii_lowercase() && dice.below(2) == 0 {
                byte.make_ascii_uppercase();
            }
        }
    }
    query.extend(name);
    let qtype = match dice.below(4) {
        0 => dice.below(65_536) as u16,
        _ => [1, 2, 5, 6, 12, 12, 12, 16, 28, 29, 43, 48, 255, 251, 252][dice.below(15)],
    };
    let qclass = if dice.below(16) > 0 { 1 } else { [0, 3, 4, 254, 255][dice.below(5)] };
    query.extend(qtype.to_be_bytes());
    query.extend(u16::to_be_bytes(qclass));
    if dice.below(2) == 0 {
        query[11] = 1;
        let options: &[u8] = match dice.below(4) {
            0 => &[0, 3, 0, 0],
            1 => &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8],
            2 => &[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2, 0, 11, 0, 0],
            _ => &[],
        };
        let size = [0, 512, 1232, 4096, 65_535][dice.below(5)];
        query.extend([0, 0, 41]);
        query.extend(u16::to_be_bytes(size));
        query.extend([0, 0, if dice.below(3) == 0 { 0x80 } else { 0 }, 0]);
        query.extend((options.len() as u16).to_be_bytes());
        query.extend(options);
    }
    query
}
