//! Where a packet comes from, and what that makes of it; client subnets in replies to all kinds of queries.

use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::dns::cookie::{Secret, Secrets};
use crate::dns::u16_at;
use crate::serve::serve;
use crate::serve::snapshot::tests::snapshot;
use crate::serve::snapshot::{Cookies, Settings};
use crate::serve::{Made, answer_code, complete, truncated};
use crate::stats::client::{Client, Prefixes};
use crate::stats::client_labels::{ECS_FORMERR, ECS_IGNORED};
use crate::tailor::Tailor;
use crate::tailor::spec::Spec;

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

/// Golden and properties compare the two: here is what goes which way.
#[test]
fn usual_queries_are_answered_in_one_pass() {
    let plain = |question: &[u8], options: Option<&[u8]>| {
        let mut packet = with_options(question, &[options.unwrap_or_default()]);
        if options.is_none() {
            packet.truncate(packet.len() - 11);
            packet[11] = 0;
        }
        packet
    };
    let node = snapshot(|_, _| ()).unwrap();
    let is_usual = |packet: &[u8], transport| asked(&node, &arriving(transport), packet).1.is_usual;
    let apex = b"\x0210\x07IN-ADDR\x04arpa\0\0\x06\0\x01";
    for question in [OURS, apex] {
        for options in [None, Some(&[][..])] {
            for transport in [Transport::Udp, Transport::Tcp { keepalive: 1 }] {
                assert!(is_usual(&plain(question, options), transport), "{question:02x?} {options:?}");
            }
        }
    }
    for other in [plain(OTHERS, None), plain(OURS, Some(NSID)), plain(OURS, Some(COOKIE))] {
        assert!(!is_usual(&other, Transport::Udp), "{other:02x?}");
    }
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

const NSID: &[u8] = &[0, 3, 0, 0];
const KEEPALIVE: &[u8] = &[0, 11, 0, 0];
const COOKIE: &[u8] = &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
const SUBNET: &[u8] = &[0, 8, 0, 7, 0, 1, 24, 0, 11, 1, 3];
const OURS: &[u8] = b"\x011\x0210\x07in-addr\x04arpa\0\0\x0c\0\x01";
const OTHERS: &[u8] = b"\x03www\x07example\x03com\0\0\x01\0\x01";

/// A node of which answers depend on the client, though no name has one yet.
fn tailored(change: impl FnOnce(&mut Settings)) -> Snapshot {
    let made = snapshot(|_, settings| {
        settings.tailor = Some(Arc::new(Tailor::new(&Spec::default(), Arc::default()).unwrap()));
        change(settings);
    });
    made.unwrap()
}

fn with_options(question: &[u8], options: &[&[u8]]) -> Vec<u8> {
    let options = options.concat();
    let questions = u8::from(!question.is_empty());
    let head = [0x12, 0x34, 1, 0, 0, questions, 0, 0, 0, 0, 0, 1];
    let opt = [0, 0, 41, 4, 0xD0, 0, 0, 0, 0, 0, options.len() as u8];
    [&head[..], question, &opt, &options].concat()
}

fn arriving(transport: Transport) -> Arrival {
    let [local, peer] = ["192.0.2.53:53", "198.51.100.7:4242"].map(|text| text.parse().unwrap());
    Arrival { transport, peer, local, listener: 0, unix_time: 7, pace: Pace::Within }
}

fn asked(node: &Snapshot, arrival: &Arrival, packet: &[u8]) -> (Vec<u8>, Account) {
    let (mut slot, mut account) = (vec![0xEE; TCP_REPLY_LEN_MAX], Account::default());
    slot[..packet.len()].copy_from_slice(packet);
    let Verdict::Reply(len) = serve(node, arrival, &mut slot, packet.len(), &mut account) else { panic!() };
    (slot[..len].to_vec(), account)
}

/// The options of the OPT that ends a reply, by code.
fn options(reply: &[u8]) -> Vec<(u16, &[u8])> {
    let opt = reply.windows(3).rposition(|part| part == [0, 0, 41]).expect("an OPT");
    let (mut rest, mut found) = (&reply[opt + 11..], Vec::new());
    assert_eq!(u16_at(reply, opt + 9), Some(rest.len() as u16));
    while !rest.is_empty() {
        let (code, len) = (u16_at(rest, 0).unwrap(), usize::from(u16_at(rest, 2).unwrap()));
        found.push((code, &rest[4..4 + len]));
        rest = &rest[4 + len..];
    }
    found
}

fn codes(reply: &[u8]) -> Vec<u16> {
    options(reply).into_iter().map(|(code, _)| code).collect()
}

#[test]
fn where_answers_depend_on_the_client_every_reply_has_its_subnet() {
    let node = tailored(|_| ());
    let plain = snapshot(|_, _| ()).unwrap();
    let axfr = b"\x0210\x07in-addr\x04arpa\0\0\xfc\0\x01";
    let chaos = b"\x02id\x06server\0\0\x10\0\x03";
    for question in [OURS, OTHERS, axfr, chaos, b""] {
        for transport in [Transport::Udp, Transport::Tcp { keepalive: 100 }] {
            let arrival = arriving(transport);
            let packet = with_options(question, &[SUBNET, KEEPALIVE, NSID]);
            let (reply, account) = asked(&node, &arrival, &packet);
            let (before, none) = asked(&plain, &arrival, &packet);
            // The same as elsewhere, but for the option: after NSID, before the others.
            let opt = before.windows(3).rposition(|part| part == [0, 0, 41]).unwrap();
            let at = opt + 11 + 4 + b"node1.example".len();
            let mut expected = [&before[..at], SUBNET, &before[at..]].concat();
            expected[opt + 10] += SUBNET.len() as u8;
            assert_eq!(reply, expected, "{question:?} {transport:?}");
            let prefixes = Some(Prefixes { is_ipv6: false, source: 24, scope: 0 });
            let client = Client { result: ECS_IGNORED, subnet: prefixes, ..Client::default() };
            assert_eq!((account.client, none.client), (Some(client), None));
            // Without the option nothing is other than elsewhere.
            let packet = with_options(question, &[NSID]);
            let (reply, account) = asked(&node, &arrival, &packet);
            assert_eq!((reply, account.client), (asked(&plain, &arrival, &packet).0, None));
        }
    }
}

#[test]
fn an_unsound_subnet_is_told_without_it() {
    let node = tailored(|_| ());
    let unsound = &[0, 8, 0, 3, 0, 1, 24][..];
    for question in [OURS, OTHERS] {
        for sent in [&[unsound][..], &[SUBNET, unsound], &[unsound, SUBNET]] {
            let packet = with_options(question, sent);
            let (reply, account) = asked(&node, &arriving(Transport::Udp), &packet);
            let opt = [0, 0, 41, 4, 0xD0, 0, 0, 0, 0, 0, 0];
            let head = [0x12, 0x34, 0x81, 1, 0, 1, 0, 0, 0, 0, 0, 1];
            assert_eq!(reply, [&head[..], question, &opt].concat());
            let client = Client { result: ECS_FORMERR, ..Client::default() };
            assert_eq!(account.client, Some(client));
        }
    }
    let packet = with_options(OURS, &[NSID, unsound]);
    assert_eq!(codes(&asked(&node, &arriving(Transport::Udp), &packet).0), [3]);
    let (reply, _) = asked(&node, &arriving(Transport::Udp), &with_options(b"", &[unsound]));
    assert_eq!((reply[3] & 0xF, codes(&reply)), (rcode::FORMERR, vec![]));
    // Whoever is over its rate is not told: its address may be somebody else's.
    let late = Arrival { pace: Pace::Slip, ..arriving(Transport::Udp) };
    let (reply, _) = asked(&node, &late, &with_options(OURS, &[unsound]));
    assert_eq!((reply[2] & 2, reply[3] & 0xF), (2, 0));
}

#[test]
fn a_subnet_and_a_cookie_get_on() {
    let secrets = Secrets([[1; 16]].map(Secret::new).into_iter().collect());
    let node = tailored(|settings| settings.cookies = Some(Cookies { secrets, dry_run: false }));
    let tcp = arriving(Transport::Tcp { keepalive: 100 });
    let (reply, _) = asked(&node, &tcp, &with_options(OTHERS, &[COOKIE, SUBNET, NSID, KEEPALIVE]));
    let told = options(&reply);
    assert_eq!(told.iter().map(|(code, _)| *code).collect::<Vec<_>>(), [3, 8, 11, 15, 10]);
    assert_eq!((told[1].1, &told[4].1[..8]), (&SUBNET[4..], &COOKIE[4..]));
    // A malformed one is FORMERR, and that has the subnet; with an unsound subnet it has not.
    let malformed = &[0, 10, 0, 1, 7][..];
    let formerr = |options: &[&[u8]]| {
        let (reply, _) = asked(&node, &tcp, &with_options(OURS, options));
        assert_eq!(reply[3] & 0xF, rcode::FORMERR);
        codes(&reply)
    };
    assert_eq!(formerr(&[SUBNET, malformed]), [8]);
    assert_eq!(formerr(&[&[0, 8, 0, 0], malformed]), [0; 0]);
    assert_eq!(formerr(&[&[0, 8, 0, 0], COOKIE, NSID]), [3, 10]);
    // Without a question a cookie is answered; not if the subnet says nothing.
    let (reply, _) = asked(&node, &tcp, &with_options(b"", &[SUBNET, COOKIE]));
    assert_eq!((reply[3] & 0xF, codes(&reply)), (rcode::NOERROR, vec![8, 10]));
    let (reply, _) = asked(&node, &tcp, &with_options(b"", &[&[0, 8, 0, 0], COOKIE]));
    assert_eq!((reply[3] & 0xF, codes(&reply)), (rcode::FORMERR, vec![10]));
}

#[test]
fn what_is_made_elsewhere_holds_for_the_subnet_that_its_maker_knew() {
    let node = tailored(|_| ());
    let (arrival, mut out) = (arriving(Transport::Udp), vec![0; TCP_REPLY_LEN_MAX]);
    let query = with_options(OURS, &[SUBNET]);
    let message = [&[0, 0, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], OURS].concat();
    let mut scope = |knows_subnet| {
        let made = Made { message: &message, rcode: 0, error: None, knows_subnet };
        let len = complete(&node, &arrival, &query, &made, &mut out);
        let told = options(&out[..len]);
        assert_eq!((told.len(), told[0].1.len()), (1, 7));
        told[0].1[3]
    };
    assert_eq!((scope(false), scope(true)), (0, 24));
    let len = answer_code(&node, &arrival, &query, 2, Some(23), &mut out);
    assert_eq!(codes(&out[..len]), [8, 15]);
    let len = truncated(&node, &arrival, &query, &mut out);
    assert_eq!((codes(&out[..len]), out[2] & 2), (vec![8], 2));
}

#[test]
fn the_room_of_a_subnet_counts() {
    // The longest one takes 24 bytes of the 512 that an identity has to fit.
    let texts = |len: usize, is_tailored: bool| {
        snapshot(|identity, settings| {
            identity.extra_txt = vec!["x".repeat(200), "y".repeat(len)];
            settings.tailor =
                is_tailored.then(|| Arc::new(Tailor::new(&Spec::default(), Arc::default()).unwrap()));
        })
    };
    let most = (0..255).rev().find(|len| texts(*len, false).is_ok()).unwrap();
    assert_eq!(texts(most - 24, true).err(), None);
    assert!(texts(most - 23, true).unwrap_err()[0].contains("513 bytes"));
}
