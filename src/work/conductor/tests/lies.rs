//! Responses that are not what was asked for.

use std::net::SocketAddr;

use super::sim::{MS, QNAME, S, Sim, upstream};
use crate::policy::facts::Outcome;
use crate::stats::counters::{UPSTREAM_FORGED, UPSTREAM_QUERIES};
use crate::stats::labels::{
    FORGED_CASE, FORGED_COOKIE, FORGED_ID, TRIAL_ANSWERED, TRIAL_LATE, TRIAL_MALFORMED, TRIAL_TRUNCATED,
};

#[test]
fn an_answer_comes_up_as_it_was_sent_but_for_letter_case() {
    let mut sim = Sim::new(upstream(1));
    sim.ask(7);
    let query = sim.only();
    assert_ne!(&query.bytes[12..12 + QNAME.len()], QNAME, "its letters have a case of their own");
    let answer = query.response(3);
    sim.respond(&query, answer.clone());
    let done = sim.done.pop().unwrap();
    assert_eq!((done.waiter, done.outcome, done.server), (7, Outcome::Ok, 0));
    let mut wanted = answer;
    wanted[12..12 + QNAME.len()].copy_from_slice(QNAME);
    assert_eq!(done.message, wanted);
    assert_eq!(sim.count(UPSTREAM_QUERIES.at([0, TRIAL_ANSWERED])), 1);
    sim.assert_nothing_is_left();
}

/// Each bit of ID, header and question, one after the other: nothing of it is taken for the answer, except
/// for bits that say nothing of whose it is.
#[test]
fn no_bit_of_id_and_question_can_be_other() {
    let mut sim = Sim::new(upstream(1));
    sim.ask(1);
    let query = sim.only();
    let answer = query.response(0);
    let question = 12..query.question_end();
    for at in (0..2).chain([4, 5]).chain(question.clone()) {
        for bit in 0..8 {
            let mut lie = answer.clone();
            lie[at] ^= 1 << bit;
            sim.net.left.clear();
            let mut other = Sim::new(upstream(1));
            other.ask(1);
            let same = other.only();
            assert_eq!(same.bytes[..question.end], query.bytes[..question.end], "the same each time");
            other.respond(&same, lie);
            assert!(other.done.is_empty(), "byte {at}, bit {bit}");
            other.respond(&same, answer.clone());
            assert_eq!(other.done.len(), 1, "what is right is still taken");
        }
    }
    let mut query_back = answer.clone();
    query_back[2] &= 0x7F;
    sim.respond(&query, query_back);
    for len in 0..answer.len() {
        sim.respond(&query, answer[..len].to_vec());
        if !sim.done.is_empty() {
            assert_eq!(sim.done.pop().unwrap().outcome, Outcome::Bad, "{len}");
            break;
        }
    }
}

#[test]
fn only_who_was_asked_can_answer_and_only_where_it_left() {
    let mut sim = Sim::new(upstream(2));
    sim.ask(1);
    let query = sim.only();
    let answer = query.response(0);
    let elsewhere = [
        SocketAddr::from(([192, 0, 2, 2], query.to.port())),
        SocketAddr::from(([192, 0, 2, 1], query.to.port() ^ 3)),
        "[::ffff:192.0.2.1]:1".parse().unwrap(),
    ];
    for from in elsewhere {
        sim.datagram(query.port, from, answer.clone());
    }
    sim.datagram(query.port + 1, query.to, answer.clone());
    assert!(sim.done.is_empty());
    assert_eq!(sim.count(UPSTREAM_FORGED.at([FORGED_ID])), 4);
    sim.respond(&query, answer);
    assert_eq!(sim.done.len(), 1);
}

#[test]
fn a_case_that_is_lost_is_asked_for_over_tcp_where_it_does_not_matter() {
    let mut sim = Sim::new(upstream(1));
    sim.ask(1);
    let query = sim.only();
    let lower = |mut answer: Vec<u8>| {
        answer[12..12 + QNAME.len()].copy_from_slice(QNAME);
        answer
    };
    sim.respond(&query, lower(query.response(0)));
    assert!(sim.done.is_empty());
    assert_eq!(sim.count(UPSTREAM_FORGED.at([FORGED_CASE])), 1);
    let over_tcp = sim.only();
    assert!(over_tcp.key.is_some());
    sim.respond(&query, lower(query.response(0)));
    assert!(sim.left().is_empty(), "once is enough");
    sim.respond(&over_tcp, lower(over_tcp.response(3)));
    assert_eq!(sim.done[0].outcome, Outcome::Ok);
    sim.assert_nothing_is_left();
}

#[test]
fn a_case_that_was_not_random_may_be_another() {
    let mut upstream = upstream(1);
    upstream.case_randomization = false;
    let mut sim = Sim::new(upstream);
    sim.ask_for(&Sim::asking(b"\x03WwW\x00"), 1, S);
    let query = sim.only();
    assert_eq!(&query.bytes[12..17], b"\x03WwW\x00", "as the client wrote it");
    let mut answer = query.response(0);
    answer[12..17].copy_from_slice(b"\x03wWw\x00");
    sim.respond(&query, answer);
    assert_eq!(&sim.done[0].message[12..17], b"\x03www\x00");
}

#[test]
fn cookies_are_kept_sent_and_wanted_back() {
    let mut sim = Sim::new(upstream(1));
    sim.ask(1);
    let first = sim.only();
    let client = first.cookie().unwrap().to_vec();
    assert_eq!(client.len(), 8, "ours alone");
    sim.respond(&first, first.response_with_cookie(0, &[5; 16]));
    assert_eq!(sim.done.len(), 1);
    sim.ask(1);
    let second = sim.only();
    assert_eq!(second.cookie().unwrap(), [client.as_slice(), &[5; 16]].concat());
    // Without, and with the cookie of somebody else: TCP decides.
    sim.respond(&second, second.response(0));
    assert_eq!(sim.done.len(), 1);
    let over_tcp = sim.only();
    let mut wrong = second.response_with_cookie(0, &[5; 16]);
    let len = wrong.len();
    wrong[len - 20] ^= 1;
    sim.respond(&second, wrong);
    assert_eq!((sim.done.len(), sim.count(UPSTREAM_FORGED.at([FORGED_COOKIE]))), (1, 2));
    // It has forgotten cookies, which a connection shows, and the next query is answered as the first one
    // was.
    sim.respond(&over_tcp, over_tcp.response(0));
    assert_eq!(sim.done.len(), 2);
    sim.ask(1);
    let third = sim.only();
    assert_eq!(third.cookie().unwrap(), client);
    sim.respond(&third, third.response(0));
    assert_eq!(sim.done.len(), 3);
    sim.assert_nothing_is_left();
}

#[test]
fn a_bad_cookie_is_replaced_once_and_then_tcp_is_asked() {
    let mut sim = Sim::new(upstream(1));
    sim.ask(1);
    let first = sim.only();
    sim.respond(&first, first.response_with_cookie(23, &[6; 8]));
    let second = sim.only();
    assert!(second.key.is_none() && second.cookie().unwrap().ends_with(&[6; 8]));
    sim.respond(&second, second.response_with_cookie(23, &[7; 8]));
    let third = sim.only();
    assert!(third.key.is_some() && third.cookie().unwrap().ends_with(&[7; 8]));
    sim.respond(&third, third.response_with_cookie(0, &[7; 8]));
    assert_eq!(sim.done[0].outcome, Outcome::Ok);
    sim.assert_nothing_is_left();
}

#[test]
fn who_does_not_understand_edns_is_asked_without_for_a_quarter_of_an_hour() {
    for rcode in [1, 4] {
        let mut sim = Sim::new(upstream(1));
        sim.ask(1);
        let first = sim.only();
        assert!(first.has_edns());
        // Some repeat nothing.
        let mut header = first.response_with(rcode, None)[..12].to_vec();
        header[5] = 0;
        sim.respond(&first, header);
        let second = sim.only();
        assert!(!second.has_edns() && second.to == first.to);
        sim.respond(&second, second.response(0));
        assert_eq!(sim.done.len(), 1);
        sim.ask(1);
        let third = sim.only();
        assert!(!third.has_edns());
        sim.respond(&third, third.response(0));
        sim.pass(15 * 60 * S);
        sim.ask(1);
        assert!(sim.only().has_edns());
    }
}

/// A question that no server understands says nothing of EDNS.
#[test]
fn what_is_refused_with_and_without_edns_is_no_reason_to_leave_it() {
    let mut sim = Sim::new(upstream(1));
    sim.ask(1);
    for _ in 0..6 {
        for query in sim.left() {
            sim.respond(&query, query.response_with(1, None));
        }
    }
    assert_eq!(sim.done.len(), 1);
    assert_eq!(sim.done[0].message[3] & 0xF, 1, "it is passed on in the end");
    sim.ask(1);
    assert!(sim.only().has_edns());
}

#[test]
fn what_is_cut_is_asked_over_tcp_of_the_same_server() {
    let mut sim = Sim::new(upstream(3));
    sim.ask(1);
    let query = sim.only();
    let mut cut = query.response(0);
    cut[2] |= 2;
    sim.respond(&query, cut.clone());
    let over_tcp = sim.only();
    assert!(over_tcp.key.is_some() && over_tcp.to == query.to);
    sim.respond(&over_tcp, over_tcp.response(0));
    assert_eq!(sim.done[0].outcome, Outcome::Ok);
    let place = usize::from(query.to.port()) - 1;
    assert_eq!(sim.count(UPSTREAM_QUERIES.at([place, TRIAL_TRUNCATED])), 1);
    assert_eq!(sim.count(UPSTREAM_QUERIES.at([place, TRIAL_ANSWERED])), 1);
    sim.assert_nothing_is_left();
}

#[test]
fn a_late_answer_is_taken_and_the_other_one_measures() {
    let mut sim = Sim::new(upstream(2));
    sim.ask(1);
    let first = sim.only();
    sim.pass(410 * MS);
    let second = sim.only();
    assert_ne!(first.to, second.to);
    sim.respond(&first, first.response(0));
    assert_eq!(sim.done.len(), 1);
    sim.pass(5 * MS);
    sim.respond(&second, second.response(3));
    assert_eq!(sim.done.len(), 1, "it has one answer");
    let place = |left: &super::sim::Left| usize::from(left.to.port()) - 1;
    assert_eq!(sim.count(UPSTREAM_QUERIES.at([place(&first), TRIAL_ANSWERED])), 1);
    assert_eq!(sim.count(UPSTREAM_QUERIES.at([place(&second), TRIAL_LATE])), 1);
    sim.assert_nothing_is_left();
}

#[test]
fn what_comes_twice_is_no_attack() {
    let mut sim = Sim::new(upstream(1));
    for waiter in 0..200 {
        sim.ask(waiter);
        let query = sim.only();
        for _ in 0..3 {
            sim.respond(&query, query.response(0));
        }
    }
    assert_eq!((sim.done.len(), sim.net.ports_given_up), (200, 0));
    assert_eq!(sim.count(UPSTREAM_FORGED.at([FORGED_ID])), 400, "but it answers no query");
}

/// With and without a server that can be asked over TCP.
#[test]
fn a_hundred_thousand_forged_answers_are_survived() {
    for has_tcp in [true, false] {
        let mut sim = Sim::new(upstream(1));
        sim.net.streams = (!has_tcp).then_some(crate::work::conductor::network::Queued::No);
        sim.ask(1);
        let query = sim.only();
        let mut over_tcp = Vec::new();
        let mut forged = 0_u32;
        for number in 0..100_000_u32 {
            let mut lie = query.response(0);
            let id = query.id() ^ (number % 65_535 + 1) as u16;
            lie[..2].copy_from_slice(&id.to_be_bytes());
            sim.datagram(query.port, query.to, lie);
            forged += 1;
            over_tcp.extend(sim.left().into_iter().filter(|left| left.key.is_some()));
        }
        assert!(sim.done.is_empty(), "none of {forged} was believed");
        assert_eq!(sim.count(UPSTREAM_FORGED.at([FORGED_ID])), 100_000);
        assert_eq!(sim.net.ports_given_up, 1);
        if has_tcp {
            assert_eq!(over_tcp.len(), 1, "it was asked again over TCP, once");
            sim.respond(&over_tcp[0], over_tcp[0].response(0));
        } else {
            sim.respond(&query, query.response(0));
        }
        assert_eq!(sim.done.len(), 1);
        sim.assert_nothing_is_left();
    }
}

#[test]
fn what_is_no_message_sends_to_the_next_server() {
    let mut sim = Sim::new(upstream(2));
    sim.ask(1);
    let first = sim.only();
    let mut damaged = first.response(0);
    damaged.push(0);
    sim.respond(&first, damaged);
    let second = sim.only();
    assert_ne!(first.to, second.to);
    sim.respond(&second, second.response(0));
    assert_eq!(sim.done[0].outcome, Outcome::Ok);
    assert_eq!(sim.count(UPSTREAM_QUERIES.at([usize::from(first.to.port()) - 1, TRIAL_MALFORMED])), 1);
}

#[test]
fn a_client_subnet_goes_out_and_another_one_does_not_come_back() {
    let mut sim = Sim::new(upstream(1));
    let mut ask = Sim::asking(QNAME);
    ask.subnet = Some("192.0.2.0/24".parse().unwrap());
    sim.ask_for(&ask, 1, S);
    let query = sim.only();
    assert!(query.bytes.ends_with(&[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2]));
    let with = |address: [u8; 3]| {
        let mut options = vec![0, 8, 0, 7, 0, 1, 24, 16];
        options.extend(address);
        query.response_with(0, Some(&options))
    };
    sim.respond(&query, with([192, 0, 3]));
    assert!(sim.done.is_empty());
    sim.respond(&query, with([192, 0, 2]));
    assert_eq!(sim.done.len(), 1);
}
