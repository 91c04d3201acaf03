//! Routes, end to end: a node in a network namespace announces its prefixes through a real router, queries reach it
//! from elsewhere, and when it does not answer any more the routes are gone.

mod common;

use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use common::daemon::program;
use common::lab::{Lab, Node, PREFIXES, Process, printed};

/// How soon routes must be gone.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// BIRD of a node as in the example, and the announcer that tells it. A fall holds down for a short time only, so that
/// a test can have many.
fn with_bird(node: &Node, further: &str) -> (Process, Process) {
    let folder = node.folder.display();
    node.configure(&format!(
        "router = 'bird'\nbird_file = '{folder}/bird.conf'\nbirdc = ['birdc', '-s', '{folder}/bird.ctl']\n{further}"
    ));
    let config = node.example("bird.conf");
    // The example includes bird*.conf of the folder in which it stands here.
    let moved = node.folder.join("main");
    std::fs::rename(config, &moved).expect("moved");
    let bird = node.start("bird", &format!("bird -f -c {} -s {folder}/bird.ctl", moved.display()));
    (bird, node.announce())
}

#[test]
#[ignore = "needs root and BIRD; tests/run installs it"]
fn routes_come_with_the_node_and_go_with_it() {
    let Some(lab) = Lab::new() else { return };
    let node = lab.node(1);
    let (_bird, announcer) = with_bird(&node, "hold_down = '10ms'\nhold_down_max = '10ms'");
    for (how, signal) in [("stop", 15), ("crash", 9), ("hang", 19)] {
        let daemon = node.daemon();
        let came = lab.wait_for_routes(&PREFIXES);
        let text =
            printed(lab.client(program().to_str().expect("a path")).args(["probe", "--address", "as112"]));
        assert_eq!(text.lines().count(), 8, "{text}");
        daemon.signal(signal);
        let gone = lab.wait_for_routes(&[]);
        println!(
            "report: {how}: routes came {came:.1?} after the daemon served, and were gone after {gone:.2?}"
        );
        assert!(gone < GONE_WITHIN, "{how}: {gone:?}\n{}", node.said());
    }
    assert!(announcer.stop(), "{}", node.said());
}
