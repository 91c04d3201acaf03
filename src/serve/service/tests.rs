//! Where a packet comes from, and what that makes of it.

use std::net::SocketAddr;

use super::*;
use crate::serve::snapshot::tests::snapshot;

/// A wildcard listener has no address by which its own packets could be known: the one that the packet
/// was sent to tells it.
#[test]
fn at_a_wildcard_a_packet_from_the_address_that_it_was_sent_to_gets_nothing() {
    let wildcard = snapshot(|_, settings| settings.listeners = vec!["0.0.0.0:53".parse().unwrap()]);
    let wildcard = wildcard.unwrap();
    let dropped = |peer: &str, transport| {
        let local = "192.175.48.6:53".parse().unwrap();
        let peer = peer.parse().unwrap();
        let arrival = Arrival { transport, peer, local, listener: 0, unix_time: 0, pace: Pace::Within };
        let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x0210\x07in-addr\x04arpa\0\0\x06\0\x01";
        let (mut slot, mut account) = ([0; TCP_REPLY_LEN_MAX], Account::default());
        slot[..query.len()].copy_from_slice(query);
        let verdict = serve(&wildcard, &arrival, &mut slot, query.len(), &mut account);
        assert_eq!(verdict == Verdict::Drop, account.dropped.is_some());
        account.dropped
    };
    assert_eq!(dropped("192.175.48.6:53", Transport::Udp), Some(DROPPED_OWN_ADDRESS));
    for other in ["192.175.48.6:5353", "192.175.48.42:53"] {
        assert_eq!(dropped(other, Transport::Udp), None, "{other}");
    }
    assert_eq!(dropped("192.175.48.6:53", Transport::Tcp { keepalive: 0 }), None);
}

#[test]
fn what_a_host_asks_itself_is_a_probe_but_on_loopback() {
    let is_probe = |peer: &str, local: &str| {
        let [peer, local] = [peer, local].map(|ip| SocketAddr::new(ip.parse().unwrap(), 5353));
        let (transport, pace) = (Transport::Udp, Pace::Within);
        let arrival = Arrival { transport, peer, local, listener: 0, unix_time: 0, pace };
        opened(&arrival, 0, peer.ip() == local.ip()).is_probe
    };
    for own in ["192.175.48.6", "2620:4f:8000::42"] {
        assert!(is_probe(own, own), "{own}");
    }
    for (peer, local) in [
        ("192.175.48.42", "192.175.48.6"),
        ("2620:4f:8000::6", "2620:4f:8000::42"),
        ("192.0.2.1", "0.0.0.0"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
    ] {
        assert!(!is_probe(peer, local), "{peer} asks {local}");
    }
}
