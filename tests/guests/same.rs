//! `guests/as112` answers byte for byte what the node answers.

use crate::common::golden::{Case, Node};
use crate::common::guest::{Guest, NARROWS};
use crate::common::{tcp, udp};
use crate::mutate::{self, Dice, mutated};

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
    let all = Case::all().iter().filter(|case| case.config != NARROWS).count();
    assert_eq!(cases, all, "a configuration is not compared");
    // Each by two doors, and twice.
    assert!(answered > 4 * 150 && passed > 4 * 5, "{answered} answered, {passed} passed of {cases}");
}

/// Queries by a grammar, as a node gets them and stranger ones, and golden ones that are damaged.
#[test]
fn many_random_queries_get_the_same() {
    let node = Node::load("identity");
    let seed = std::env::var("SEED").ok().map_or(112, |seed| seed.parse().expect("SEED is a number"));
    println!("SEED={seed}");
    let mut dice = Dice::new(seed);
    let corpus: Vec<Vec<u8>> = Case::all().into_iter().map(|case| case.query).collect();
    let mut slot = Vec::new();
    while guest(&node).asked().0 < 100_000 {
        let query =
            if dice.once_in(4) { mutated(&mut dice, &corpus, &[]) } else { mutate::packet(&mut dice) };
        let arrival = if dice.once_in(4) { tcp() } else { udp() };
        node.ask_in(&mut slot, &arrival, &query);
    }
}
