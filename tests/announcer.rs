//! The announcer itself: what the neighbour sees of its restarts and reloads, and what the node knows of it.

mod common;

use common::daemon::{program, wait_until};
use common::lab::{Lab, NO_HOLD_DOWN, Node, PREFIXES};

/// How the node sees its routes, by the control socket.
fn announcers(node: &Node) -> serde_json::Value {
    let line = format!("{} status --json --control {}/control", program().display(), node.folder.display());
    let status: serde_json::Value = serde_json::from_str(&node.run(&line)).expect("JSON");
    status["announcers"].clone()
}

/// Waits until the node knows of one announcer, which says so of each prefix.
fn wait_for_report(node: &Node, is_so: impl Fn(&serde_json::Value) -> bool) {
    wait_until("the node is told of its routes", || {
        let announcers = announcers(node);
        let routes = announcers[0]["routes"].as_array().cloned().unwrap_or_default();
        announcers[1].is_null() && routes.len() == 4 && routes.iter().all(&is_so)
    });
}

/// An update of the program, a restart, and other settings: the neighbour sees nothing of it.
#[test]
#[ignore = "needs root and BIRD; tests/run installs it"]
fn what_answers_stays_announced_while_the_announcer_is_restarted_or_reloaded() {
    let Some(lab) = Lab::new() else { return };
    let node = lab.node(1);
    let (_bird, mut announcer) = node.with_bird(NO_HOLD_DOWN);
    let daemon = node.daemon();
    lab.wait_for_routes(&PREFIXES);
    wait_for_report(&node, |route| route["announced"] == true);
    let before = lab.withdrawals();
    for restarts in 1..=3 {
        assert!(announcer.end("USR2"), "{}", lab.said());
        assert_eq!(announcers(&node), serde_json::json!([]));
        announcer = node.announce();
        node.wait_until_said("is announced already", 4 * restarts);
        wait_for_report(&node, |route| route["announced"] == true);
    }
    announcer.signal("HUP");
    node.wait_until_said("reload: nothing has changed", 1);
    node.configure(&node.for_bird("interval = '300ms'\nfall = 3\nhold_down = '10ms'"));
    announcer.signal("HUP");
    node.wait_until_said("reload: the new settings are in effect", 1);
    node.configure("router = 'bord'");
    announcer.signal("HUP");
    node.wait_until_said("the old settings stay in effect", 1);
    assert_eq!((lab.routes().len(), lab.withdrawals()), (4, before), "{}", lab.said());

    // A prefix whose addresses are not listened on any more goes, and comes back with them.
    node.configure_for("as112-dname", &node.for_bird(NO_HOLD_DOWN));
    announcer.signal("HUP");
    lab.wait_for_routes(&PREFIXES[2..]);
    node.configure(&node.for_bird(NO_HOLD_DOWN));
    announcer.signal("HUP");
    lab.wait_for_routes(&PREFIXES);

    // What does not answer the next one any more is withdrawn by it, at the first probe.
    assert!(announcer.end("USR2"));
    daemon.signal(9);
    drop(daemon);
    assert_eq!(lab.routes().len(), 4, "nobody watches");
    let announcer = node.announce();
    let gone = lab.wait_for_routes(&[]);
    println!("report: what died while nobody watched was gone {gone:.2?} after the announcer started");

    // A stop withdraws what answers.
    let _daemon = node.daemon();
    lab.wait_for_routes(&PREFIXES);
    assert!(announcer.stop());
    lab.wait_for_routes(&[]);
}

/// The node tells what its announcer has told it, for as long as that is there.
#[test]
#[ignore = "needs root and BIRD; tests/run installs it"]
fn the_node_knows_how_its_routes_are() {
    let Some(lab) = Lab::new() else { return };
    let node = lab.node(1);
    let (_bird, announcer) = node.with_bird("hold_down = '60m'\nhold_down_max = '60m'");
    let _daemon = node.daemon();
    wait_for_report(&node, |route| route["announced"] == true && route["failing"] == serde_json::json!([]));
    node.ask("drain");
    wait_for_report(&node, |route| route["announced"] == false && route["held_seconds"].is_null());
    node.ask("undrain");
    wait_for_report(&node, |route| route["announced"] == true);
    node.run("ip address del 192.31.196.1/32 dev lo");
    wait_for_report(&node, |route| {
        let failing = route["failing"].to_string();
        match route["prefix"].as_str() {
            Some("192.31.196.0/24") => {
                let is_held = route["held_seconds"].as_u64().is_some_and(|held| held > 3000);
                route["announced"] == false && is_held && failing.contains("192.31.196.1: ")
            }
            _ => route["announced"] == true && failing == "[]",
        }
    });
    let status =
        node.run(&format!("{} status --control {}/control", program().display(), node.folder.display()));
    assert!(status.contains("\nroute          192.31.196.0/24 withdrawn, held down for "), "{status}");
    assert!(status.contains("\nroute          192.175.48.0/24 announced\n"), "{status}");
    drop(announcer);
    wait_until("its entry is gone", || announcers(&node) == serde_json::json!([]));
}

/// The last withdrawal is tried until the router takes it.
#[test]
#[ignore = "needs root and BIRD; tests/run installs it"]
fn a_router_that_is_away_at_the_end_is_waited_for() {
    let Some(lab) = Lab::new() else { return };
    let node = lab.node(1);
    let folder = node.folder.display().to_string();
    let script = node.write(
        "router",
        &format!("#!/bin/sh\ntest ! -e {folder}/away || exit 1\necho $1 $2 >> {folder}/told\n"),
    );
    node.run(&format!("chmod +x {}", script.display()));
    node.configure(&format!("router = 'command'\ncommand = ['{}']\nrise = 1", script.display()));
    let _daemon = node.daemon();
    let announcer = node.announce();
    let told = |verb: &str| {
        let text = std::fs::read_to_string(node.folder.join("told")).unwrap_or_default();
        text.lines().rev().take(4).filter(|line| line.starts_with(verb)).count()
    };
    wait_until("all is announced", || told("announce") == 4);
    node.write("away", "");
    announcer.signal("TERM");
    node.wait_until_said("retrying every second", 1);
    std::fs::remove_file(node.folder.join("away")).expect("it is there");
    wait_until("all is withdrawn", || told("withdraw") == 4);
    assert!(announcer.ended());

    // What was left to the next one of a router without a file is found by it.
    let announcer = node.announce();
    wait_until("all is announced", || told("announce") == 4);
    assert!(announcer.end("USR2"));
    let lines = || std::fs::read_to_string(node.folder.join("told")).expect("it is there");
    let before = lines();
    let announcer = node.announce();
    node.wait_until_said("is announced already", 4);
    wait_until("it is told again", || lines().len() > before.len());
    assert!(!lines()[before.len()..].contains("withdraw"), "{}", lines());
    // A second signal ends what cannot be withdrawn.
    node.write("away", "");
    announcer.signal("TERM");
    node.wait_until_said("retrying every second", 2);
    assert!(!announcer.end("TERM"));
    node.wait_until_said("what is announced stays so", 1);
}
