//! What the other tests rest on: the scripted server, and a node that forwards.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use crate::common::daemon::{PATIENCE, V4};
use crate::common::query;
use crate::node::{Answer, NXDOMAIN, Setup, ask_within};
use crate::upstream::{FORGED, Upstream, truth};

#[test]
fn a_scripted_server_does_as_it_is_told() {
    let server = Upstream::start(|seen| match &seen.name()[..] {
        "silent.example" => vec![],
        "twice.example" => vec![seen.truth(), seen.truth().wrong_port()],
        "late.example" => vec![seen.truth().after(Duration::from_millis(80))],
        "forged.example" => vec![
            seen.reply().a(FORGED, 1).wrong_id(),
            seen.reply().a(FORGED, 1).wrong_question(),
            seen.reply().a(FORGED, 1).wrong_case(),
        ],
        _ => vec![seen.reply().rcode(3).soa(60, 5).opt(0, &[])],
    });
    let patience = Duration::from_millis(300);
    let ask = |name: &str| ask_within(server.address, &query(name, 1), patience);
    assert!(ask("silent.example").0.is_none());
    let (answer, took) = ask("late.example");
    assert_eq!(answer.expect("an answer").address(), Some(truth("late.example")));
    assert!(took >= Duration::from_millis(80));
    let answer = ask("none.example").0.expect("an answer");
    assert_eq!(answer.rcode, NXDOMAIN);

    let socket = UdpSocket::bind((V4, 0)).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let next = || {
        let mut reply = [0; 512];
        let (len, from) = socket.recv_from(&mut reply).expect("a reply");
        (reply[..len].to_vec(), from)
    };
    socket.send_to(&query("twice.example", 1), server.address).expect("sent");
    let (first, second) = (next(), next());
    assert_eq!(first.0, second.0);
    assert_ne!(first.1.port(), second.1.port());
    let asked = query("forged.example", 1);
    socket.send_to(&asked, server.address).expect("sent");
    let forged: Vec<Vec<u8>> = (0..3).map(|_| next().0).collect();
    assert_ne!(forged[0][..2], asked[..2]);
    assert_eq!(forged[1][..2], asked[..2]);
    assert_ne!(forged[1][12..20].to_ascii_lowercase(), asked[12..20].to_ascii_lowercase());
    assert_eq!(forged[2][12..20].to_ascii_lowercase(), asked[12..20].to_ascii_lowercase());
    assert_ne!(forged[2][12..20], asked[12..20]);
    assert_eq!(server.asked_for("twice.example"), 1);
    assert_eq!(server.count(), 5);
}

/// A route, an upstream, a client: the answer comes, is cached, and what no route takes is native.
#[test]
fn a_route_forwards() {
    let server = Upstream::start(|seen| vec![seen.truth().authoritative()]);
    let node = Setup::new()
        .upstream("up", &[server.address], "")
        .route("forward", "qname-suffix in { example }", "forward upstream up", "")
        .start();
    for ask in [crate::node::Node::ask, crate::node::Node::ask_tcp] {
        let answer = ask(&node, "a.example", 1);
        assert_eq!(answer.address(), Some(truth("a.example")), "{answer:?}");
        // It says that recursion is available.
        assert_eq!(answer.flags & 0x80, 0x80, "{answer:?}");
    }
    assert_eq!(server.asked_for("a.example"), 1, "the second answer is the cache's");
    let native = node.ask("1.168.192.in-addr.arpa", 12);
    assert_eq!(native.rcode, NXDOMAIN);
    assert_eq!(native.flags & 0x0480, 0x0400, "authoritative, without recursion");
    assert_eq!(server.count(), 1);
    node.wait_for("handed_over_total", &["=\"forward\""], 2);
}

/// Whose the route is not gets what there was without it: REFUSED, as from a node without routes.
#[test]
fn a_route_is_for_those_that_it_allows() {
    let server = Upstream::start(|seen| vec![seen.truth()]);
    let node = Setup::new()
        .upstream("up", &[server.address], "")
        .section(
            "[[route]]\nname = 'forward'\nwhen = 'any'\nthen = 'forward upstream up'\n\
             allow = ['127.0.0.2/32']",
        )
        .start();
    let ask = |from: [u8; 4]| {
        let socket = UdpSocket::bind((IpAddr::from(from), 0)).expect("a socket");
        socket.connect(node.address()).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        socket.send(&query("a.example", 1)).expect("sent");
        let mut reply = [0; 512];
        let len = socket.recv(&mut reply).expect("a reply");
        Answer::of(&reply[..len])
    };
    assert_eq!(ask([127, 0, 0, 2]).address(), Some(truth("a.example")));
    let without = Setup::new().start();
    let refused = ask([127, 0, 0, 3]);
    let native = without.ask("a.example", 1);
    assert_eq!((refused.rcode, refused.flags), (native.rcode, native.flags));
    assert_eq!(server.count(), 1);
}

/// Without `allow` it would be an open resolver, and no node starts as one.
#[test]
fn no_open_resolver() {
    let open = |then: &str| {
        Setup::new()
            .upstream("up", &["127.0.0.1:5399"], "")
            .section("[resolver]\nenabled = false\naddress = '127.0.0.1:5398'")
            .section(&format!("[[route]]\nname = 'open'\nwhen = 'any'\nthen = '{then}'"))
    };
    for then in ["forward upstream up", "forward 127.0.0.1:5399", "resolve", "cache-only"] {
        let (is_sound, said) = open(then).check();
        assert!(!is_sound && said.contains("allow"), "{then}: {said}");
    }
    let (is_sound, said) = open("refuse").check();
    assert!(is_sound, "{said}");
    for (rule, expected) in [
        ("any forward 127.0.0.1:5399", false),
        ("src in { 127.0.0.0/8 } forward 127.0.0.1:5399", true),
        ("not src in { 10.0.0.0/8 } forward 127.0.0.1:5399", false),
        ("src in { 127.0.0.0/8 } or qtype = PTR forward 127.0.0.1:5399", false),
        ("qtype = PTR and src in { 127.0.0.0/8 } forward 127.0.0.1:5399", true),
    ] {
        let (is_sound, said) = Setup::new().rules("10.rules", rule).check();
        assert_eq!(is_sound, expected, "{rule}: {said}");
    }
}
