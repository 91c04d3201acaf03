//! Who waits for what.

use super::sim::{MS, QNAME, S, Sim, upstream};
use crate::limits::WAITERS_PER_EXCHANGE_MAX;
use crate::policy::facts::Outcome;
use crate::stats::counters::COALESCED;
use crate::stats::labels::{WORK_REFUSED_TASKS, WORK_REFUSED_WAITERS};
use crate::work::conductor::ask::{Ask, Asked, Waiter};

#[test]
fn equal_questions_are_asked_once_and_all_are_answered_once() {
    let mut sim = Sim::new(upstream(1));
    assert_eq!(sim.ask(0), Asked::Waiting);
    let all = WAITERS_PER_EXCHANGE_MAX as u32;
    for waiter in 1..all {
        let mixed = QNAME.to_ascii_uppercase();
        let mut ask = Sim::asking(&mixed);
        ask.authentic_data = waiter % 2 == 0;
        assert_eq!(sim.ask_for(&ask, waiter, 2 * S), Asked::Joined);
    }
    assert_eq!(sim.ask(all), Asked::Refused(WORK_REFUSED_WAITERS));
    let query = sim.only();
    sim.respond(&query, query.response(0));
    let mut waiters: Vec<u32> = sim.done.iter().map(|done| done.waiter).collect();
    waiters.sort_unstable();
    assert_eq!(waiters, (0..all).collect::<Vec<_>>());
    assert_eq!(sim.count(COALESCED.at([])), u64::from(all) - 1);
    assert_eq!(sim.ask(0), Asked::Waiting, "it is over: the next one asks");
    sim.assert_nothing_is_left();
}

#[test]
fn questions_that_differ_are_asked_each() {
    let mut sim = Sim::new(upstream(1));
    let changes: [&dyn Fn(&mut Ask<'static>); 9] = [
        &|_| {},
        &|ask| ask.qname = b"\x01b\x00",
        &|ask| ask.qtype = 1,
        &|ask| ask.qclass = 3,
        &|ask| ask.recursion_desired = false,
        &|ask| ask.checking_disabled = true,
        &|ask| ask.dnssec_ok = true,
        &|ask| ask.subnet = Some("192.0.2.0/24".parse().unwrap()),
        &|ask| ask.is_alone = true,
    ];
    for (waiter, change) in (0..).zip(changes) {
        let mut ask = Sim::asking(QNAME);
        change(&mut ask);
        assert_eq!(sim.ask_for(&ask, waiter, S), Asked::Waiting, "{waiter}");
    }
    assert_eq!(sim.left().len(), 9);
    let mut copy = Sim::asking(QNAME);
    copy.is_alone = true;
    assert_eq!(sim.ask_for(&copy, 20, S), Asked::Waiting, "a copy does not join");
    assert_eq!(sim.ask_for(&Sim::asking(QNAME), 21, S), Asked::Joined);
}

#[test]
fn each_has_a_deadline_of_its_own() {
    let mut sim = Sim::new(upstream(1));
    sim.ask_for(&Sim::asking(QNAME), 0, 2 * S);
    sim.ask_for(&Sim::asking(QNAME), 1, 50 * MS);
    sim.pass(60 * MS);
    assert_eq!(sim.done.len(), 1);
    assert_eq!((sim.done[0].waiter, sim.done[0].outcome), (1, Outcome::Timeout));
    let query = sim.only();
    sim.respond(&query, query.response(0));
    assert_eq!((sim.done[1].waiter, sim.done[1].outcome), (0, Outcome::Ok));
    sim.assert_nothing_is_left();
}

#[test]
fn who_gives_up_is_told_nothing_and_the_others_are() {
    let mut sim = Sim::new(upstream(1));
    for waiter in 0..3 {
        sim.ask(waiter);
    }
    sim.table.cancel(Waiter(1));
    sim.table.cancel(Waiter(1));
    sim.table.cancel(Waiter(77));
    let query = sim.only();
    sim.respond(&query, query.response(0));
    let waiters: Vec<u32> = sim.done.drain(..).map(|done| done.waiter).collect();
    assert_eq!(waiters, [0, 2]);
    sim.ask(5);
    sim.table.cancel(Waiter(5));
    assert_eq!(sim.ask(6), Asked::Waiting, "nobody joins what was given up");
    sim.assert_nothing_is_left();
    assert!(sim.done.iter().all(|done| done.waiter == 6));
}

#[test]
fn a_number_may_be_asked_again_and_a_strange_one_is_refused() {
    let mut sim = Sim::new(upstream(1));
    sim.ask(1);
    sim.ask_for(&Sim::asking(b"\x01b\x00"), 1, S);
    for query in sim.left() {
        sim.respond(&query, query.response(0));
    }
    assert_eq!(sim.done.len(), 1, "the first one was given up");
    assert_eq!(sim.ask(1 << 16), Asked::Refused(WORK_REFUSED_TASKS));
    assert_eq!(sim.ask(u32::MAX), Asked::Refused(WORK_REFUSED_TASKS));
}
