//! Workers whose rules ask nobody.

use std::time::Duration;

use super::harness::{Floor, JOBS, Start, policy, wire};
use crate::dns::arrival::{Arrival, Pace, Transport};
use crate::limits::SLOT_PAYLOAD_LEN;
use crate::serve::snapshot::tests::identity;
use crate::serve::{Verdict, native};
use crate::stats::account::Account;
use crate::stats::counters::{DROPPED, QUERIES, RULE_HITS, WORK_REFUSED, WORKER_JOBS};
use crate::work::{CacheOrder, CacheOrderKind};

/// What the shard would answer.
fn native_reply(floor: &Floor, query: &[u8]) -> Vec<u8> {
    let snapshot = floor.published.newest();
    let (peer, local) = ("127.0.0.1:4000".parse().unwrap(), "127.0.0.1:53".parse().unwrap());
    let transport = Transport::Udp;
    let arrival = Arrival { transport, peer, local, listener: 0, unix_time: 0, pace: Pace::Within };
    let mut slot = vec![0; SLOT_PAYLOAD_LEN];
    slot[..query.len()].copy_from_slice(query);
    let verdict = native(&snapshot, &arrival, &mut slot, query.len(), &mut Account::default());
    let Verdict::Reply(len) = verdict else { panic!("{verdict:?}") };
    slot[..len].to_vec()
}

#[test]
fn what_no_rule_takes_is_answered_as_on_the_shard() {
    let rules = "later: phase = request and qtype = TXT and country = DE answer REFUSED";
    let mut floor = Floor::start(&Start::with(rules, &[]));
    for qtype in [16, 1, 12, 6, 2] {
        let query = floor.query("1.2.10.in-addr.arpa", qtype);
        let at_once = floor.hand_over(&query, None);
        let reply = at_once.clone().or_else(|| floor.receive()).unwrap();
        assert_eq!(reply, native_reply(&floor, &query), "type {qtype}");
        assert_eq!(at_once.is_none(), qtype == 16, "only what a rule may concern is handed over");
    }
    floor.idle();
    floor.counted(QUERIES, 1);
    floor.counted(WORKER_JOBS, 1);
}

#[test]
fn rules_of_every_phase_answer() {
    let rules = "
        one: phase = request and qname = one.10.in-addr.arpa answer NOTIMP
        two: phase = request and qname = two.10.in-addr.arpa drop
        three: phase = post-cache and qname = three.10.in-addr.arpa refuse
        four: phase = reply and qname = four.10.in-addr.arpa and rcode = NXDOMAIN answer SERVFAIL
        five: phase = request and qname = five.10.in-addr.arpa and country = PT and asn = AS112 truncate
        six: phase = done and qname = six.10.in-addr.arpa pass log
        seven: phase = request and qname = seven.10.in-addr.arpa tag blue
        eight: phase = reply and tag = blue refuse
    ";
    let mut floor = Floor::start(&Start::with(rules, &[]));
    let mut result = |label: &str| floor.result(&format!("{label}.10.in-addr.arpa"));
    assert_eq!(result("one"), Some((4, 0)));
    assert_eq!(result("two"), None);
    assert_eq!(result("three"), Some((5, 0)));
    assert_eq!(result("four"), Some((2, 0)));
    assert_eq!(result("six"), Some((3, 0)));
    assert_eq!(result("seven"), Some((5, 0)));
    let truncated = floor.ask("five.10.in-addr.arpa").unwrap();
    assert_eq!(truncated[2] & 2, 2, "TC");
    floor.idle();
    let hits = floor.counted(RULE_HITS, 8);
    assert_eq!(hits[1..9], [1; 8], "each of them once");
    let trace = floor.traces.try_recv().unwrap();
    assert_eq!(trace.question[12..], [&wire("six.10.in-addr.arpa")[..], &[0, 1, 0, 1]].concat());
    assert!(floor.traces.try_recv().is_err(), "nobody else is traced");
    let steps: Vec<&str> = trace.steps.iter().map(|(step, _)| *step).collect();
    let wanted = ["route", "request", "lookup", "post-cache", "make", "reply", "send", "done", "end"];
    assert_eq!(steps, wanted, "all of them, though it was chosen by the last");
    assert!(trace.steps.is_sorted_by_key(|(_, at)| *at));
}

#[test]
fn one_query_in_so_many_is_traced() {
    let rules = "later: phase = request and qname-suffix = 10.in-addr.arpa refuse";
    let start = Start { trace_every: std::num::NonZeroU32::new(3), ..Start::with(rules, &[]) };
    let mut floor = Floor::start(&start);
    for nth in 0..9 {
        assert_eq!(floor.result(&format!("{nth}.10.in-addr.arpa")), Some((5, 0)));
    }
    floor.idle();
    let traced: Vec<u8> = floor.traces.try_iter().map(|trace| trace.question[13] - b'0').collect();
    assert_eq!(traced, [2, 5, 8]);
}

#[test]
fn replies_over_tcp_go_back_with_their_jobs() {
    let rules = "
        one: phase = request and qname = drop.10.in-addr.arpa drop
        two: phase = request and qname = keep.10.in-addr.arpa pass
    ";
    let mut floor = Floor::start(&Start::with(rules, &[]));
    let reply = floor.ask_tcp("keep.10.in-addr.arpa");
    assert_eq!(reply[3] & 0xF, 3);
    assert_eq!(floor.ask_tcp("drop.10.in-addr.arpa"), [0_u8; 0], "the connection is closed");
    floor.idle();
}

/// Queries that a worker answers are no way around what a shard sends at most.
#[test]
fn texts_that_say_who_asks_are_capped_here_too() {
    let rules = "later: phase = request and qname-suffix = t and country = DE refuse";
    let mut floor = Floor::start(&Start::with(rules, &[]));
    let snapshot = identity(|settings| settings.policy = policy(rules, &[], &[]));
    floor.published.publish(snapshot, Duration::from_secs(20));
    let mut ask = |qtype: u16, count: usize| {
        for _ in 0..count {
            let query = floor.query("who.t", qtype);
            assert_eq!(floor.hand_over(&query, None), None, "it is handed over");
        }
        let replies = (0..count).map(|_| floor.receive().unwrap());
        // TC, the number of answers, and whether there is more than a question.
        replies.map(|reply| (reply[2] & 2, reply[7], reply.len() > 23)).collect::<Vec<_>>()
    };
    let (whole, emptied) = ((0, 4, true), (2, 0, false));
    assert_eq!(ask(16, 1), [whole]);
    // More than a worker may send in one second; a busy machine needs some more of them.
    let bursts = (1..=200).map(|_| ask(16, JOBS / 2)).inspect(|burst| {
        assert!(burst.iter().all(|reply| [whole, emptied].contains(reply)), "{burst:?}");
    });
    let needed = bursts.take_while(|burst| !burst.contains(&emptied)).count();
    assert!((7..200).contains(&needed), "{needed}");
    assert_eq!(ask(1, 1), [(0, 1, true)], "addresses are as short as their query");
    floor.idle();
}

#[test]
fn workers_end_when_told_or_when_nobody_hands_over_any_more() {
    let rules = "later: phase = request and qname-suffix = 10.in-addr.arpa refuse";
    let mut floor = Floor::start(&Start { workers: 2, ..Start::with(rules, &[]) });
    for nth in 0..20 {
        assert_eq!(floor.result(&format!("{nth}.10.in-addr.arpa")), Some((5, 0)));
    }
    floor.workers.retire();
    assert_eq!(floor.result("still.10.in-addr.arpa"), Some((5, 0)), "somebody hands over still");
    floor.idle();
    floor.close_desks();
    floor.until("they end", |floor| floor.workers.is_over());

    let mut floor = Floor::start(&Start::with(rules, &[]));
    floor.workers.stop();
    assert!(floor.workers.is_over());
}

#[test]
fn orders_are_answered_by_every_worker() {
    let rules = "later: phase = request and qname-suffix = 10.in-addr.arpa refuse";
    let mut floor = Floor::start(&Start { workers: 3, ..Start::with(rules, &[]) });
    let order = CacheOrder { name: wire("example"), subtree: true, kind: CacheOrderKind::Purge };
    assert_eq!(floor.workers.order(&order).len(), 3);
    let caches = floor.workers.caches();
    floor.workers.stop();
    let gone = [0, 1, 2].map(|index| format!("worker {index} does not answer"));
    assert_eq!(caches.order(&order), gone);
}

#[test]
fn a_job_that_waited_for_too_long_is_dropped() {
    let rules = "later: phase = request and qname-suffix = 10.in-addr.arpa refuse";
    let mut floor = Floor::start(&Start::with(rules, &[]));
    floor.age = Duration::from_secs(1);
    assert_eq!(floor.result("1.10.in-addr.arpa"), None);
    assert_eq!(floor.counted(WORK_REFUSED, 1)[4], 1, "of no route, as late");
    assert_eq!(floor.counted(DROPPED, 1)[10], 1);
    floor.idle();
}
